//! A voice a period ago: how alike a frame is to it, and how it fills what noise has hidden.

use realfft::num_complex::Complex32;

use super::features::Measured;
use super::network::BANDS;
use super::spectrum::Spectrum;

/// How alike the bands of two spectra are, -1 to 1, and the energy of those before; each line
/// counts by its `weight`.
#[inline(always)]
pub(super) fn compare<const LINES: usize>(
    spectrum: &Spectrum,
    energy: &[f32; BANDS],
    now: &[Complex32; LINES],
    before: &[Complex32; LINES],
    weight: impl Fn(usize) -> f32,
) -> ([f32; BANDS], [f32; BANDS]) {
    let lines: [f32; LINES] = std::array::from_fn(|k| weight(k) * power(before[k]));
    let energy_before = spectrum.sum(&lines);
    let lines: [f32; LINES] =
        std::array::from_fn(|k| weight(k) * (now[k].re * before[k].re + now[k].im * before[k].im));
    let mut alike = spectrum.sum(&lines);
    for ((alike, a), b) in alike.iter_mut().zip(energy).zip(&energy_before) {
        *alike /= (0.001 + a * b).sqrt();
    }
    (alike, energy_before)
}

/// Adds the sound a period ago where the network wants more of a voice than is there, and keeps
/// each band's power.
#[inline(always)]
pub(super) fn comb<const LINES: usize>(
    spectrum: &Spectrum,
    wanted: &[f32; BANDS],
    measured: &Measured<'_>,
    energy_before: &[f32; BANDS],
    now: &mut [Complex32; LINES],
    before: &[Complex32; LINES],
) {
    let Measured { energy, alike, period: _ } = *measured;
    let voices: [f32; BANDS] = std::array::from_fn(|band| {
        let (alike, gain) = (alike[band], wanted[band]);
        let share = match alike > gain {
            true => 1.0,
            false => {
                let (alike, gain) = (alike * alike, gain * gain);
                alike * (1.0 - gain) / (0.001 + gain * (1.0 - alike))
            }
        };
        (share.clamp(0.0, 1.0) * energy[band] / (1e-8 + energy_before[band])).sqrt()
    });
    let mut lines = [0.0; LINES];
    spectrum.spread(&voices, &mut lines);
    for ((now, before), voice) in now.iter_mut().zip(before).zip(&lines) {
        *now += before * voice;
    }
    powers(now, &mut lines);
    let louder = spectrum.sum(&lines);
    let levels = std::array::from_fn(|band| (energy[band] / (1e-8 + louder[band])).sqrt());
    spectrum.spread(&levels, &mut lines);
    for (now, level) in now.iter_mut().zip(&lines) {
        *now *= level;
    }
}

/// The power of each line.
#[inline(always)]
pub(super) fn powers(spectrum: &[Complex32], lines: &mut [f32]) {
    for (line, x) in lines.iter_mut().zip(spectrum) {
        *line = power(*x);
    }
}

#[inline(always)]
fn power(x: Complex32) -> f32 {
    x.re * x.re + x.im * x.im
}
