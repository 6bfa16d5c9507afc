//! The built-in sounds: made by arithmetic for this program, free for any use (CC0).

use std::f64::consts::TAU;

use super::WIDE_RATE;

/// Notes of four chords (C, A minor, F, G with their sevenths), semitones from middle C.
const CHORDS: [[i32; 6]; 4] = [
    [-12, 0, 4, 7, 11, 16],
    [-15, -3, 4, 7, 9, 16],
    [-19, -7, 5, 9, 12, 16],
    [-17, -5, 5, 7, 11, 14],
];
const CHORD_SECONDS: f64 = 4.0;
/// Peak of one note: the whole stays about 20 dB below full scale.
const NOTE_PEAK: f64 = 2800.0;

/// Music on hold, 16 s at 16 kHz: four quiet chords. Each is broken upwards, and every note rings on
/// over the end of the loop.
pub fn melody() -> Vec<i16> {
    let chord_len = (CHORD_SECONDS * f64::from(WIDE_RATE)) as usize;
    let mut sum = vec![0.0; CHORDS.len() * chord_len];
    for (chord, notes) in CHORDS.iter().enumerate() {
        for (step, semitones) in notes.iter().enumerate() {
            let start = chord * chord_len + step * chord_len / 8;
            let hertz = 261.63 * 2f64.powf(f64::from(*semitones) / 12.0);
            pluck(&mut sum, start, 2 * chord_len, hertz);
        }
    }
    sum.into_iter().map(|sample| sample as i16).collect()
}

/// A sign that an announcement follows, 2 s at 16 kHz: three rising notes that ring out.
pub fn chime() -> Vec<i16> {
    let mut sum = vec![0.0; 2 * WIDE_RATE as usize];
    for (step, semitones) in [0, 4, 7].into_iter().enumerate() {
        let start = step * WIDE_RATE as usize / 4;
        let hertz = 523.25 * 2f64.powf(f64::from(semitones) / 12.0);
        let len = sum.len() - start;
        pluck(&mut sum, start, len, hertz);
    }
    sum.into_iter().map(|sample| sample as i16).collect()
}

/// Adds a soft string to a loop: a rounded attack, and partials that die away one after the other.
fn pluck(sum: &mut [f64], start: usize, len: usize, hertz: f64) {
    const PARTIALS: [(f64, f64); 3] = [(1.0, 0.75), (2.0, 0.2), (3.0, 0.05)];
    let per_sample = 1.0 / f64::from(WIDE_RATE);
    for (n, share) in PARTIALS {
        // A phasor that turns and shrinks: its imaginary part is the decaying sine.
        let (turn_sin, turn_cos) = (TAU * n * hertz * per_sample).sin_cos();
        let shrink = (-n * 0.9 * per_sample).exp();
        let attack_step = (-per_sample / 0.015).exp();
        let (mut re, mut im, mut missing) = (NOTE_PEAK * share, 0.0, 1.0);
        for i in 0..len {
            // Both ends of a note are silent.
            let fade = 1.0 - i as f64 / len as f64;
            let at = (start + i) % sum.len();
            sum[at] += im * (1.0 - missing) * fade;
            (re, im) = (
                (re * turn_cos - im * turn_sin) * shrink,
                (re * turn_sin + im * turn_cos) * shrink,
            );
            missing *= attack_step;
        }
    }
}
