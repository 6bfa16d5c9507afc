//! Between a stream's rate and the network's 48 kHz, by a whole factor.

use std::f64::consts::PI;

/// Zero crossings of the prototype on each side, at the lower rate: 1 ms at 8 kHz.
const HALF: usize = 8;
/// Share of the lower rate's band that passes.
const PASS: f64 = 0.94;
/// Longest filter: 2 · `HALF` · 6 + 1.
const TAPS_MAX: usize = 97;

/// Both directions for one stream: up to 48 kHz and back, each late by [`Self::DELAY`] samples of
/// the lower rate.
#[derive(Debug, Clone)]
pub(super) struct Polyphase {
    factor: usize,
    taps: Box<[f32]>,
    up: [f32; 2 * HALF + 1],
    down: Box<[f32]>,
}

impl Polyphase {
    /// Samples of the lower rate by which each direction is late.
    pub(super) const DELAY: usize = HALF;

    /// Frames of `frame` samples at the lower rate, `factor` times as many at the higher.
    pub(super) fn new(frame: usize, factor: usize) -> Self {
        Self {
            factor,
            taps: prototype(factor),
            up: [0.0; 2 * HALF + 1],
            down: vec![0.0; factor * (2 * HALF + frame)].into(),
        }
    }

    /// Samples by which a way up and down again is late.
    pub(super) fn round_trip(&self) -> usize {
        if self.factor == 1 { 0 } else { 2 * Self::DELAY }
    }

    /// One frame up: `output` holds `factor` times the samples of `input`.
    pub(super) fn up(&mut self, input: &[i16], output: &mut [f32]) {
        for (x, y) in input.iter().zip(output.chunks_exact_mut(self.factor)) {
            self.up.copy_within(1.., 0);
            self.up[2 * HALF] = f32::from(*x);
            for (phase, y) in y.iter_mut().enumerate() {
                let taps = self.taps[phase..].iter().step_by(self.factor);
                let sum: f32 = self.up.iter().rev().zip(taps).map(|(x, tap)| x * tap).sum();
                *y = sum * self.factor as f32;
            }
        }
    }

    /// One frame down.
    pub(super) fn down(&mut self, input: &[f32], output: &mut [f32]) {
        let kept = self.down.len() - input.len();
        self.down.copy_within(input.len().., 0);
        self.down[kept..].copy_from_slice(input);
        let newest = (0..).map(|n| kept + n * self.factor + 1);
        for (y, end) in output.iter_mut().zip(newest) {
            let past = &self.down[end.saturating_sub(self.taps.len())..end];
            *y = past.iter().rev().zip(&*self.taps).map(|(x, tap)| x * tap).sum();
        }
    }
}

/// A Blackman-windowed sinc of gain 1, cut off below the lower rate's Nyquist frequency.
fn prototype(factor: usize) -> Box<[f32]> {
    if factor == 1 {
        return [1.0].into();
    }
    let len = 2 * HALF * factor + 1;
    assert!(len <= TAPS_MAX, "factors up to 6");
    let centre = (len - 1) as f64 / 2.0;
    let tap = |i: usize| {
        let x = (i as f64 - centre) / factor as f64 * PASS;
        let sinc = if x == 0.0 { 1.0 } else { (PI * x).sin() / (PI * x) };
        let angle = 2.0 * PI * (i as f64 + 1.0) / (len as f64 + 1.0);
        sinc * (0.42 - 0.5 * angle.cos() + 0.08 * (2.0 * angle).cos())
    };
    let sum: f64 = (0..len).map(tap).sum();
    (0..len).map(|i| (tap(i) / sum) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn up_and_down_is_a_delay() {
        for factor in [1, 2, 3, 6] {
            let frame = 480 / factor;
            let mut poly = Polyphase::new(frame, factor);
            let rate = 48_000.0 / factor as f64;
            let sine = |n: i64| 10_000.0 * (2.0 * PI * 1000.0 * n as f64 / rate).sin();
            let mut high = [0.0; 480];
            let mut low = vec![0.0; frame];
            for block in 0..10_i64 {
                let first = block * frame as i64;
                let input: Vec<i16> = (first..).take(frame).map(|n| sine(n) as i16).collect();
                poly.up(&input, &mut high);
                poly.down(&high, &mut low);
                let late = poly.round_trip() as i64;
                let wrong =
                    (first..).zip(&low).map(|(n, y)| (sine(n - late) - f64::from(*y)).abs());
                let worst = wrong.fold(0.0, f64::max);
                assert!(block < 1 || worst < 20.0, "factor {factor}, block {block}: {worst}");
            }
        }
    }
}
