/// Amplitude from which a source is let in, −60 dBov, and up to which it is silent after that: one
/// step of the µ-law. Between them is what noise removal leaves, which would come and go otherwise.
const AUDIBLE: i16 = 33;
const SILENT: i16 = 8;
/// Milliseconds of silence after which it is left out.
const HANGOVER_MS: usize = 300;
/// Loudness falls by half in so many seconds once a voice ceases.
const RELEASE: f32 = 0.2;

/// Loudness to which voices are brought: −22 dBov while they speak.
const TARGET: f32 = 2600.0;
/// Most and least gain for that: ±12 dB.
const GAIN: (f32, f32) = (0.25, 4.0);
/// Change of that gain, dB per second.
const SLOPE: f32 = 6.0;
/// Speech is louder than this share of its own loudness, and than this amplitude (−46 dBov).
const SPEAKING: (f32, f32) = (0.4, 164.0);

/// Loudness of one source.
#[derive(Clone, Debug)]
pub(super) struct Level {
    /// Seconds of a tick.
    tick: f32,
    /// Amplitude (root of the mean square): up at once, down slowly.
    loudness: f32,
    /// Of the last frame.
    amplitude: f32,
    /// Samples since it was audible, and so many are a pause.
    silent: usize,
    pause: usize,
    /// Loudness while speaking, averaged over seconds; 0 before the first word.
    speech: f32,
    gain: f32,
}

impl Level {
    /// For ticks of `len` samples at `rate` hertz.
    pub(super) fn new(rate: u32, len: usize) -> Self {
        let pause = HANGOVER_MS * rate as usize / 1000;
        Self {
            tick: len as f32 / rate as f32,
            loudness: 0.0,
            amplitude: 0.0,
            silent: pause,
            pause,
            speech: 0.0,
            gain: 1.0,
        }
    }

    pub(super) fn reset(&mut self) {
        (self.loudness, self.amplitude, self.silent) = (0.0, 0.0, self.pause);
        (self.speech, self.gain) = (0.0, 1.0);
    }

    /// Takes note of a frame and returns the loudness.
    pub(super) fn measure(&mut self, frame: &[i16]) -> f32 {
        let (mut power, mut peak) = (0.0f32, 0);
        for sample in frame {
            peak = peak.max(sample.saturating_abs());
            power += f32::from(*sample) * f32::from(*sample);
        }
        let stays = self.is_audible() && peak > SILENT;
        let is_silent = peak < AUDIBLE && !stays;
        self.silent = if is_silent { self.silent.saturating_add(frame.len()) } else { 0 };
        self.amplitude = (power / frame.len().max(1) as f32).sqrt();
        let fallen = self.loudness * (-self.tick / RELEASE * std::f32::consts::LN_2).exp();
        self.loudness = self.amplitude.max(fallen);
        self.loudness
    }

    /// Whether it has been heard lately.
    pub(super) fn is_audible(&self) -> bool {
        self.silent < self.pause
    }

    /// Brings the frame just measured towards the common loudness, without a step.
    pub(super) fn normalise(&mut self, frame: &mut [i16]) {
        let is_speech = self.amplitude > SPEAKING.1 && self.amplitude > SPEAKING.0 * self.speech;
        if is_speech {
            let weight = if self.speech == 0.0 { 1.0 } else { self.tick };
            self.speech += (self.amplitude - self.speech) * weight;
        }
        let wanted = if self.speech == 0.0 { 1.0 } else { TARGET / self.speech };
        let most = 10f32.powf(SLOPE * self.tick / 20.0);
        let next = wanted.clamp(GAIN.0, GAIN.1).clamp(self.gain / most, self.gain * most);
        let step = (next - self.gain) / frame.len().max(1) as f32;
        for (n, sample) in frame.iter_mut().enumerate() {
            *sample = (f32::from(*sample) * (self.gain + step * n as f32)) as i16;
        }
        self.gain = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(amplitude: i16) -> [i16; 160] {
        std::array::from_fn(|n| if n % 2 == 0 { amplitude } else { -amplitude })
    }

    #[test]
    fn silence_is_left_out_after_a_while_and_a_voice_is_let_in_at_once() {
        let mut level = Level::new(8000, 160);
        assert!(!level.is_audible());
        level.measure(&square(32));
        assert!(!level.is_audible());
        level.measure(&square(33));
        assert!(level.is_audible());
        for tick in 1..=16 {
            level.measure(&square(8));
            assert_eq!(level.is_audible(), tick < 15, "{tick}");
        }
    }

    #[test]
    fn what_noise_removal_leaves_stays_until_it_ceases() {
        let mut level = Level::new(8000, 160);
        level.measure(&square(9));
        assert!(!level.is_audible());
        level.measure(&square(1000));
        for _ in 0..500 {
            level.measure(&square(9));
        }
        assert!(level.is_audible());
        for _ in 0..15 {
            level.measure(&square(0));
        }
        level.measure(&square(9));
        assert!(!level.is_audible());
    }

    #[test]
    fn loudness_rises_at_once_and_falls_by_half_in_a_fifth_of_a_second() {
        let mut level = Level::new(8000, 160);
        assert_eq!(level.measure(&square(4000)).round(), 4000.0);
        for _ in 0..9 {
            level.measure(&square(0));
        }
        let half = level.measure(&square(0));
        assert!((half - 2000.0).abs() < 5.0, "{half}");
    }

    #[test]
    fn a_quiet_voice_is_raised_and_a_loud_one_lowered_slowly() {
        for (amplitude, target) in [(1000, 2600.0), (8000, 2600.0), (200, 800.0), (100, 100.0)] {
            let mut level = Level::new(8000, 160);
            let mut last = f32::from(amplitude);
            for _ in 0..200 {
                let mut frame = square(amplitude);
                level.measure(&frame);
                level.normalise(&mut frame);
                let now = f32::from(frame[158]);
                let change = 20.0 * (now / last).log10();
                // Plus what is lost by whole numbers.
                assert!(change.abs() < 0.13 + 10.0 / now, "{amplitude}: {change} dB in 20 ms");
                last = now;
            }
            assert!((last / target - 1.0).abs() < 0.05, "{amplitude}: {last}");
        }
    }

    #[test]
    fn pauses_do_not_raise_the_noise() {
        let mut level = Level::new(8000, 160);
        for tick in 0..500 {
            let mut frame = square(if tick % 100 < 50 { 2600 } else { 150 });
            level.measure(&frame);
            level.normalise(&mut frame);
            assert!((level.gain - 1.0).abs() < 0.05, "{tick}: {}", level.gain);
        }
    }
}
