//! Comfort noise (RFC 3389): the noise of the other side while it sends nothing.

/// Reflection coefficients used at most; the rest of a packet is left unread.
pub const ORDER_MAX: usize = 16;
/// Level assumed until a packet tells another, −dBov.
pub const LEVEL_DEFAULT: u8 = 60;

/// RFC 3389 §3.1: 0 dBov is the power of a square wave at full scale.
const FULL_SCALE: f32 = 32_768.0;
/// Share of the way to a new level made in one sample: 63 % after 16 ms at 8 kHz.
const GLIDE: f32 = 1.0 / 128.0;

/// A source of noise as one sender described it.
#[derive(Clone, Debug)]
pub struct ComfortNoise {
    /// Amplitude asked for, and the one reached, of the white noise before the filter.
    target: f32,
    amplitude: f32,
    reflections: [f32; ORDER_MAX],
    order: usize,
    /// Backward errors of the lattice filter.
    memory: [f32; ORDER_MAX + 1],
    chance: u32,
}

impl ComfortNoise {
    /// White noise at [`LEVEL_DEFAULT`], fading in. Equal seeds give equal noise.
    pub fn new(seed: u32) -> Self {
        let mut noise = Self {
            target: 0.0,
            amplitude: 0.0,
            reflections: [0.0; ORDER_MAX],
            order: 0,
            memory: [0.0; ORDER_MAX + 1],
            chance: seed,
        };
        noise.update(&[LEVEL_DEFAULT]);
        noise
    }

    /// Takes the description of a packet: its level, and its spectrum where it has one. An empty
    /// payload changes nothing.
    pub fn update(&mut self, payload: &[u8]) {
        let Some((level, spectrum)) = payload.split_first() else { return };
        self.order = spectrum.len().min(ORDER_MAX);
        // The filter amplifies; what it will add is taken from the noise before it.
        let mut power = 1.0;
        for (reflection, index) in self.reflections.iter_mut().zip(spectrum) {
            // RFC 3389 §3.2: 127 means 0; 255 is reserved, and 0 would not be stable.
            *reflection = 258.0 / 32_768.0 * (f32::from((*index).clamp(1, 253)) - 127.0);
            power *= 1.0 - *reflection * *reflection;
        }
        let level = f32::from(level & 0x7f);
        self.target = FULL_SCALE * 10f32.powf(-level / 20.0) * power.sqrt();
    }

    /// Fills `out` with the noise; its level glides to the last one told.
    pub fn generate(&mut self, out: &mut [i16]) {
        for sample in out {
            self.amplitude += (self.target - self.amplitude) * GLIDE;
            let noise = self.white() * self.amplitude;
            *sample = self.filter(noise).round() as i16;
        }
    }

    /// Begins again from nothing at the next packet.
    pub fn reset(&mut self) {
        self.amplitude = 0.0;
        self.memory = [0.0; ORDER_MAX + 1];
    }

    /// The all-pole filter of the reflection coefficients, as a lattice: stable whatever comes.
    fn filter(&mut self, excitation: f32) -> f32 {
        let mut forward = excitation;
        for stage in (0..self.order).rev() {
            forward -= self.reflections[stage] * self.memory[stage];
            self.memory[stage + 1] = self.memory[stage] + self.reflections[stage] * forward;
        }
        self.memory[0] = forward;
        forward
    }

    /// Noise of power 1, near enough to Gaussian: four uniform bytes added up.
    fn white(&mut self) -> f32 {
        // A linear congruence is random enough to hear, and costs a nanosecond.
        self.chance = self.chance.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let mixed = self.chance ^ (self.chance >> 15);
        let sum: i32 = mixed.to_le_bytes().into_iter().map(i32::from).sum();
        // The variance of a uniform byte is (256² − 1) / 12; of four, four times that.
        (sum - 510) as f32 / 147.8
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn generate(payload: &[u8]) -> Vec<i16> {
        let mut noise = ComfortNoise::new(7);
        noise.update(payload);
        let mut out = vec![0; 32_000];
        noise.generate(&mut out);
        out.split_off(8000)
    }

    fn dbov(samples: &[i16]) -> f64 {
        let power: f64 = samples.iter().map(|s| f64::from(*s).powi(2)).sum();
        10.0 * (power / samples.len() as f64 / 32_768f64.powi(2)).log10()
    }

    #[test]
    fn the_level_is_the_one_told() {
        for level in [20, 30, 40, 50, 60, 70, 75] {
            let measured = dbov(&generate(&[level]));
            assert!((measured + f64::from(level)).abs() < 0.5, "{level}: {measured}");
        }
    }

    #[test]
    fn the_spectrum_changes_the_colour_and_not_the_level() {
        // A first coefficient of −0.8 lifts the low frequencies, +0.8 the high ones.
        let slope = |samples: &[i16]| {
            let steps: f64 = samples.windows(2).map(|w| f64::from(w[1] - w[0]).powi(2)).sum();
            steps / samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>()
        };
        let low = generate(&[30, 127 - 102]);
        let white = generate(&[30]);
        let high = generate(&[30, 127 + 102]);
        for samples in [&low, &white, &high] {
            assert!((dbov(samples) + 30.0).abs() < 1.0, "{}", dbov(samples));
        }
        assert!((slope(&white) - 2.0).abs() < 0.1, "{}", slope(&white));
        assert!(slope(&low) < 0.6 && slope(&high) > 3.4, "{} {}", slope(&low), slope(&high));
    }

    #[test]
    fn a_new_level_is_reached_without_a_step() {
        let mut noise = ComfortNoise::new(1);
        noise.update(&[20]);
        let mut out = [0; 8000];
        noise.generate(&mut out);
        assert!(dbov(&out[..16]) < -30.0, "{}", dbov(&out[..16]));
        noise.update(&[127]);
        noise.generate(&mut out);
        assert!(dbov(&out[..8]) > -30.0);
        assert!(out[4000..].iter().all(|sample| *sample == 0));
    }

    #[test]
    fn equal_seeds_make_equal_noise() {
        let mut out = [[0; 160]; 3];
        for (seed, out) in [5, 5, 6].into_iter().zip(&mut out) {
            let mut noise = ComfortNoise::new(seed);
            noise.update(&[30]);
            noise.generate(out);
        }
        assert_eq!(out[0], out[1]);
        assert_ne!(out[0], out[2]);
    }

    proptest! {
        #[test]
        fn no_payload_makes_the_filter_unstable(
            payload in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let mut noise = ComfortNoise::new(3);
            noise.update(&payload);
            noise.update(&[50]);
            noise.update(&payload);
            let mut out = [0; 4000];
            noise.generate(&mut out);
            prop_assert!(noise.memory.iter().all(|value| value.is_finite()));
        }
    }
}
