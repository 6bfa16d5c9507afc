//! What the network is told of a frame: RNNoise's 42 features.

use std::sync::LazyLock;

use super::network::{BANDS, FEATURES};
use super::vector::Machine;

/// Cepstra that are remembered.
const MEMORY: usize = 8;
/// Cepstral coefficients whose change is a feature.
const DELTAS: usize = 6;
/// Energy of all bands below which there is nothing to hear.
const SILENCE: f32 = 0.04;

/// The cosine transform of the bands, by band, then coefficient.
static COSINES: LazyLock<[[f32; BANDS]; BANDS]> = LazyLock::new(|| {
    let entry = |band: usize, n: usize| {
        let angle = (band as f64 + 0.5) * n as f64 * std::f64::consts::PI / BANDS as f64;
        let scale = if n == 0 { 0.5_f64.sqrt() } else { 1.0 };
        (angle.cos() * scale * (2.0 / BANDS as f64).sqrt()) as f32
    };
    std::array::from_fn(|band| std::array::from_fn(|n| entry(band, n)))
});

/// The cepstra of the last frames.
#[derive(Clone, Debug)]
pub(super) struct Cepstra {
    last: [[f32; BANDS]; MEMORY],
    /// Squared distance of each from each other one; infinite from itself.
    distances: [[f32; MEMORY]; MEMORY],
    /// Where the next one goes.
    next: usize,
}

/// What was measured in one frame.
pub(super) struct Measured<'a> {
    /// Energy of each band.
    pub(super) energy: &'a [f32; BANDS],
    /// How alike each band is to itself a period before, -1 to 1.
    pub(super) alike: &'a [f32; BANDS],
    /// The period, samples of the network's rate.
    pub(super) period: usize,
}

impl Cepstra {
    pub(super) const fn new() -> Self {
        let mut distances = [[0.0; MEMORY]; MEMORY];
        let mut at = 0;
        while at < MEMORY {
            distances[at][at] = f32::INFINITY;
            at += 1;
        }
        Self { last: [[0.0; BANDS]; MEMORY], distances, next: 0 }
    }

    /// The features of the next frame; `None` when there is nothing to hear.
    #[inline(always)]
    pub(super) fn features(
        &mut self,
        machine: impl Machine,
        measured: &Measured<'_>,
    ) -> Option<[f32; FEATURES]> {
        let logs = logs(measured.energy);
        if measured.energy.iter().sum::<f32>() < SILENCE {
            return None;
        }
        let mut now = cosines(machine, &logs);
        now[0] -= 12.0;
        now[1] -= 4.0;
        let before = self.last[(self.next + MEMORY - 1) % MEMORY];
        let earlier = self.last[(self.next + MEMORY - 2) % MEMORY];
        self.remember(now);
        let mut features = [0.0; FEATURES];
        features[..BANDS].copy_from_slice(&now);
        for n in 0..DELTAS {
            features[n] = now[n] + before[n] + earlier[n];
            features[BANDS + n] = now[n] - earlier[n];
            features[BANDS + DELTAS + n] = now[n] - 2.0 * before[n] + earlier[n];
        }
        let alike = cosines(machine, measured.alike);
        features[BANDS + 2 * DELTAS..BANDS + 3 * DELTAS].copy_from_slice(&alike[..DELTAS]);
        features[BANDS + 2 * DELTAS] -= 1.3;
        features[BANDS + 2 * DELTAS + 1] -= 0.9;
        features[BANDS + 3 * DELTAS] = 0.01 * (measured.period as f32 - 300.0);
        features[BANDS + 3 * DELTAS + 1] = self.variability() - 2.1;
        Some(features)
    }

    fn remember(&mut self, now: [f32; BANDS]) {
        let at = self.next;
        self.last[at] = now;
        for other in (0..MEMORY).filter(|other| *other != at) {
            let differences = now.iter().zip(&self.last[other]).map(|(a, b)| (a - b) * (a - b));
            let distance = differences.sum();
            self.distances[at][other] = distance;
            self.distances[other][at] = distance;
        }
        self.next = (at + 1) % MEMORY;
    }

    /// How far each cepstrum is from the one most like it, on average.
    fn variability(&self) -> f32 {
        let nearest = |row: &[f32; MEMORY]| row.iter().copied().fold(1e15, f32::min);
        self.distances.iter().map(nearest).sum::<f32>() / MEMORY as f32
    }
}

/// Logarithms of the bands, none far below those before it.
fn logs(energy: &[f32; BANDS]) -> [f32; BANDS] {
    let (mut most, mut follow) = (-2.0_f32, -2.0_f32);
    energy.map(|energy| {
        let log = (1e-2 + energy).log10().max(most - 7.0).max(follow - 1.5);
        most = most.max(log);
        follow = (follow - 1.5).max(log);
        log
    })
}

#[inline(always)]
fn cosines(machine: impl Machine, bands: &[f32; BANDS]) -> [f32; BANDS] {
    let mut out = [0.0; BANDS];
    for (x, row) in bands.iter().zip(&*COSINES) {
        for n in 0..BANDS {
            out[n] = machine.mul_add(*x, row[n], out[n]);
        }
    }
    out
}
