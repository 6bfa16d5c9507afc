//! Against nnnoiseless, the plain crate: the same network over features of our own making.

use std::f64::consts::TAU;

use base::Rng;
use nnnoiseless::DenoiseState;

use super::suppressor::Suppressor;
use super::vector::tests::anywhere;

const FRAME: usize = DenoiseState::FRAME_SIZE;

/// Five seconds of a voice with changing pitch and vowels, in noise, below `band` hertz. The same
/// at every rate.
fn voice_in_noise(rate_hz: usize, band: f64) -> Vec<i16> {
    let rate = rate_hz as f64;
    let mut rng = Rng::from_u64(3);
    // Noise as many tones, so that it is the same at all rates, too.
    let tones: Vec<(f64, f64)> = (0..150)
        .map(|_| (rng.below(band as u64) as f64, rng.below(1000) as f64 / 1000.0 * TAU))
        .collect();
    let sample = |n: usize| {
        let time = n as f64 / rate;
        let pitch = 130.0 + 40.0 * (TAU * 0.7 * time).sin();
        let phase = TAU * 130.0 * time - 40.0 / 0.7 * (TAU * 0.7 * time).cos();
        let formant = 700.0 + 400.0 * (TAU * 1.3 * time).sin();
        let loud = if (1.7 * time).fract() < 0.6 { (TAU * 3.0 * time).sin().powi(2) } else { 0.0 };
        let mut voice = 0.0;
        for harmonic in 1..60 {
            let hz = pitch * f64::from(harmonic);
            if hz < band {
                let distance = (hz - formant) / 300.0;
                let level = 0.05 + 1.0 / (1.0 + distance * distance);
                voice += level * (phase * f64::from(harmonic)).sin();
            }
        }
        let noise: f64 = tones.iter().map(|(hz, phase)| (TAU * hz * time + phase).sin()).sum();
        (2500.0 * loud * voice + 25.0 * noise) as i16
    };
    (0..5 * rate_hz).map(sample).collect()
}

fn ours(rate_hz: usize, pcm: &[i16]) -> Vec<f32> {
    let mut suppressor = Suppressor::plain(rate_hz as u32).expect("a rate of the list");
    let mut out = vec![0.0; pcm.len()];
    for (input, output) in pcm.chunks(rate_hz / 100).zip(out.chunks_mut(rate_hz / 100)) {
        suppressor.run(input, output, false);
    }
    out
}

fn plain(pcm: &[i16]) -> Vec<f32> {
    let mut state = DenoiseState::new();
    let mut out = vec![0.0; pcm.len()];
    for (input, output) in pcm.chunks(FRAME).zip(out.chunks_mut(FRAME)) {
        let input: Vec<f32> = input.iter().map(|x| f32::from(*x)).collect();
        state.process_frame(output, &input);
    }
    out
}

/// How far below `right` the difference is, dB, each `every`th sample of `right` counted.
fn agreement_db(right: &[f32], every: usize, ours: &[f32]) -> f64 {
    let (mut signal, mut difference) = (0.0, 0.0);
    for (right, ours) in right.iter().step_by(every).zip(ours) {
        signal += f64::from(*right).powi(2);
        difference += f64::from(right - ours).powi(2);
    }
    10.0 * (signal / difference).log10()
}

#[test]
fn at_the_networks_own_rate_it_is_the_plain_crate() {
    let pcm = voice_in_noise(48_000, 20_000.0);
    let right = plain(&pcm);
    for (kind, ours) in both_kinds(48_000, &pcm) {
        let agreement = agreement_db(&right, 1, &ours);
        assert!(agreement > 25.0, "{kind}: {agreement} dB");
    }
}

#[test]
fn at_lower_rates_it_does_what_the_plain_crate_does_at_48_khz() {
    for (rate, factor) in [(8000, 6), (16_000, 3), (24_000, 2)] {
        let band = rate as f64 * 0.45;
        let right = plain(&voice_in_noise(48_000, band));
        for (kind, ours) in both_kinds(rate, &voice_in_noise(rate, band)) {
            let agreement = agreement_db(&right, factor, &ours);
            assert!(agreement > 20.0, "{rate} Hz, {kind}: {agreement} dB");
        }
    }
}

/// What the code for this machine makes of it, and that for any: without AVX2 both are the same.
fn both_kinds(rate_hz: usize, pcm: &[i16]) -> [(&'static str, Vec<f32>); 2] {
    [("here", ours(rate_hz, pcm)), ("anywhere", anywhere(|| ours(rate_hz, pcm)))]
}

#[test]
fn a_machine_without_wide_vectors_does_the_same_as_one_with_them() {
    for rate in [8000, 16_000, 48_000] {
        let [(_, here), (_, there)] = both_kinds(rate, &voice_in_noise(rate, 3600.0));
        // Each rounds in its own way: that they differ at all shows that they are two.
        #[cfg(target_arch = "x86_64")]
        if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
            assert_ne!(here, there, "{rate} Hz: the same code twice");
        }
        let agreement = agreement_db(&here, 1, &there);
        assert!(agreement > 40.0, "{rate} Hz: {agreement} dB");
    }
}
