//! Seven kinds of noise, the same in every run.

use std::f64::consts::TAU;

use base::Rng;

/// What surrounds the speaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noise {
    /// Equal power at all frequencies.
    White,
    /// Equal power per octave.
    Pink,
    /// Eight people talk elsewhere in the room.
    Babble,
    /// Rumble, and cars that come and go.
    Traffic,
    /// A fan with the hum of the mains.
    Fan,
    /// Somebody types.
    Keyboard,
    /// Things fall and doors slam.
    Bursts,
}

impl Noise {
    /// All of them, in the order of the tables.
    pub const ALL: [Self; 7] = [
        Self::White,
        Self::Pink,
        Self::Babble,
        Self::Traffic,
        Self::Fan,
        Self::Keyboard,
        Self::Bursts,
    ];

    /// `len` samples of it, at any level. `talkers` are the voices of the babble.
    pub fn samples(self, seed: u64, rate_hz: usize, len: usize, talkers: &[Vec<f64>]) -> Vec<f64> {
        let mut source = Source { rng: Rng::from_u64(seed), rate: rate_hz as f64, len };
        match self {
            Self::White => source.white(),
            Self::Pink => source.pink(),
            Self::Babble => source.babble(talkers),
            Self::Traffic => source.traffic(),
            Self::Fan => source.fan(),
            Self::Keyboard => source.keyboard(),
            Self::Bursts => source.bursts(),
        }
    }
}

struct Source {
    rng: Rng,
    rate: f64,
    len: usize,
}

impl Source {
    /// Evenly between two values.
    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.rng.below(1 << 24) as f64 / f64::from(1 << 24)
    }

    /// About normal, of variance 1.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.between(0.0, 1.0)).sum::<f64>() - 6.0
    }

    fn white(&mut self) -> Vec<f64> {
        (0..self.len).map(|_| self.normal()).collect()
    }

    /// Noise below a frequency, one pole.
    fn low(&mut self, hz: f64) -> Vec<f64> {
        let keep = (-TAU * hz / self.rate).exp();
        let mut state = 0.0;
        self.white()
            .into_iter()
            .map(|x| {
                state = keep * state + (1.0 - keep) * x;
                state
            })
            .collect()
    }

    /// One-pole noises an octave and a half apart, of equal power each.
    fn pink(&mut self) -> Vec<f64> {
        let mut sum = vec![0.0; self.len];
        for step in 0..8 {
            let hz = 20.0 * 2.6_f64.powi(step);
            if hz < self.rate / 2.0 {
                let mut part = self.low(hz);
                scale_to(&mut part, 1.0);
                sum.iter_mut().zip(part).for_each(|(y, x)| *y += x);
            }
        }
        sum
    }

    fn babble(&mut self, talkers: &[Vec<f64>]) -> Vec<f64> {
        let mut sum = vec![0.0; self.len];
        for talker in talkers {
            let start = self.rng.below(talker.len() as u64) as usize;
            let loud = self.between(0.6, 1.0);
            let voice = talker.iter().cycle().skip(start);
            sum.iter_mut().zip(voice).for_each(|(y, x)| *y += loud * x);
        }
        sum
    }

    fn traffic(&mut self) -> Vec<f64> {
        let mut sum = self.low(150.0);
        scale_to(&mut sum, 1.0);
        let mut tyres = self.low(900.0);
        scale_to(&mut tyres, 1.0);
        let mut at = 0.0;
        while at < self.len as f64 {
            let (middle, width) =
                (at + self.between(0.3, 2.0) * self.rate, self.between(0.4, 1.0) * self.rate);
            let loud = self.between(0.8, 2.5);
            for (n, y) in sum.iter_mut().enumerate() {
                let distance = (n as f64 - middle) / width;
                *y += loud * tyres[n] * (-distance * distance).exp();
            }
            at += self.between(1.5, 4.0) * self.rate;
        }
        sum
    }

    fn fan(&mut self) -> Vec<f64> {
        let mut air = self.low(500.0);
        scale_to(&mut air, 1.0);
        let phases: Vec<f64> = (0..12).map(|_| self.between(0.0, TAU)).collect();
        let hum = |n: usize| -> f64 {
            let time = n as f64 / self.rate;
            let harmonic = |(at, phase): (usize, &f64)| {
                (TAU * 50.0 * (at + 1) as f64 * time + phase).sin() / (at + 1) as f64
            };
            let blades = 0.5 * (TAU * 233.0 * time).sin() + 0.3 * (TAU * 466.0 * time).sin();
            phases.iter().enumerate().map(harmonic).sum::<f64>() + blades
        };
        air.iter().enumerate().map(|(n, x)| x + 0.7 * hum(n)).collect()
    }

    fn keyboard(&mut self) -> Vec<f64> {
        let mut sum: Vec<f64> = self.low(2000.0).iter().map(|x| 0.05 * x).collect();
        let mut at = 0.0;
        while at < self.len as f64 {
            let loud = self.between(0.4, 1.0);
            self.click(&mut sum, at, loud);
            // The key comes up again.
            let up = at + self.between(0.06, 0.1) * self.rate;
            self.click(&mut sum, up, 0.4 * loud);
            at += self.between(0.09, 0.35) * self.rate;
        }
        sum
    }

    /// 15 ms of a few resonances and noise.
    fn click(&mut self, sum: &mut [f64], at: f64, loud: f64) {
        let hz =
            [self.between(250.0, 500.0), self.between(900.0, 1800.0), self.between(2000.0, 3400.0)];
        let decay = self.between(0.002, 0.005) * self.rate;
        for n in 0..(0.015 * self.rate) as usize {
            let time = n as f64;
            let ring: f64 = hz.iter().map(|hz| (TAU * hz * time / self.rate).sin()).sum();
            let x = loud * (ring + 0.8 * self.normal()) * (-time / decay).exp();
            if let Some(y) = sum.get_mut(at as usize + n) {
                *y += x;
            }
        }
    }

    fn bursts(&mut self) -> Vec<f64> {
        let mut sum: Vec<f64> = self.low(1000.0).iter().map(|x| 0.1 * x).collect();
        let mut at = self.between(0.1, 0.6) * self.rate;
        while at < self.len as f64 {
            let (loud, long) = (self.between(0.5, 1.5), self.between(0.05, 0.35) * self.rate);
            let mut part = Self {
                rng: Rng::from_u64(self.rng.next_u64()),
                rate: self.rate,
                len: long as usize,
            };
            let hz = self.between(300.0, 3000.0);
            let mut part = part.low(hz);
            scale_to(&mut part, loud);
            for (n, x) in part.into_iter().enumerate() {
                let rise = (n as f64 / (0.002 * self.rate)).min(1.0);
                let fall = (-3.0 * n as f64 / long).exp();
                if let Some(y) = sum.get_mut(at as usize + n) {
                    *y += x * rise * fall;
                }
            }
            at += self.between(0.3, 1.2) * self.rate;
        }
        sum
    }
}

/// Brings the root mean square of all samples to `level`.
pub fn scale_to(samples: &mut [f64], level: f64) {
    let power = samples.iter().map(|x| x * x).sum::<f64>() / samples.len().max(1) as f64;
    let factor = level / power.sqrt().max(1e-12);
    samples.iter_mut().for_each(|x| *x *= factor);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_noise_is_noise_and_the_same_each_time() {
        let talkers = [(0..4000).map(|n| f64::from(n % 50)).collect::<Vec<f64>>()];
        for noise in Noise::ALL {
            let first = noise.samples(1, 8000, 16_000, &talkers);
            assert_eq!(first, noise.samples(1, 8000, 16_000, &talkers), "{noise:?}");
            assert_eq!(first.len(), 16_000);
            assert!(first.iter().any(|x| x.abs() > 0.1) && first.iter().all(|x| x.is_finite()));
        }
    }
}
