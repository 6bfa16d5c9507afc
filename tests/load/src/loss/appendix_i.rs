//! Packet-loss concealment as ITU-T G.711 Appendix I (1999) describes it, at 8 kHz in frames of
//! 10 ms: the measure for ours. Written from its text, without anything of ours in it.

/// Samples of a frame (App. I.1).
pub const FRAME: usize = 80;
/// Samples by which what it puts out is late (App. I.2.2): 3.75 ms.
pub const DELAY: usize = PITCH_MAX / 4;
/// Pitch periods looked for (App. I.2.3): 200 to 66.7 Hz.
const PITCH_MIN: usize = 40;
const PITCH_MAX: usize = 120;
/// Samples kept (App. I.2.2): 48.75 ms.
const HISTORY: usize = 3 * PITCH_MAX + DELAY;
/// Samples that are compared: 20 ms.
const COMPARED: usize = 160;
/// Step of the first, coarse look.
const COARSE: usize = 2;
/// Power below which likeness does not count.
const POWER_MIN: f32 = 250.0;
/// What each frame after the first takes away (App. I.2.7).
const ATTENUATION: f32 = 0.2;
/// By how much the way back is longer for each frame lost (App. I.2.6): 4 ms.
const RETURN: usize = 32;
/// Frames after which there is silence (App. I.2.7): 60 ms.
const FRAMES_MAX: usize = 6;

/// One stream.
#[derive(Clone, Debug)]
pub struct Concealment {
    /// What has been heard or made up, newest last.
    history: [f32; HISTORY],
    /// The history as the loss began.
    pitch_buffer: [f32; HISTORY],
    /// The quarter of a period before the loss, as it was.
    last_quarter: Vec<f32>,
    pitch: usize,
    /// Samples of [`Self::pitch_buffer`] that are repeated: one to three periods.
    repeated: usize,
    /// The next of them.
    offset: usize,
    /// Frames lost in a row.
    erased: usize,
}

impl Default for Concealment {
    fn default() -> Self {
        Self {
            history: [0.0; HISTORY],
            pitch_buffer: [0.0; HISTORY],
            last_quarter: vec![],
            pitch: PITCH_MAX,
            repeated: PITCH_MAX,
            offset: 0,
            erased: 0,
        }
    }
}

impl Concealment {
    /// Takes a frame that has come; puts out what is heard, [`DELAY`] samples late.
    pub fn good(&mut self, frame: &[i16; FRAME]) -> [i16; FRAME] {
        let mut speech = frame.map(f32::from);
        if self.erased > 0 {
            // App. I.2.6: longer after a longer loss, with what was made up as loud as it was.
            let len = (self.quarter() + (self.erased - 1) * RETURN).min(FRAME);
            let made_up = self.take(len);
            let gain = (1.0 - (self.erased - 1) as f32 * ATTENUATION).max(0.0);
            for (n, (sample, made_up)) in speech.iter_mut().zip(&made_up).enumerate() {
                let share = (n + 1) as f32 / len as f32;
                *sample = made_up * gain * (1.0 - share) + *sample * share;
            }
            self.erased = 0;
        }
        self.put_out(&speech)
    }

    /// Makes up for a frame that has not come.
    pub fn lost(&mut self) -> [i16; FRAME] {
        let speech = match self.erased {
            0 => self.begin(),
            1 | 2 => self.one_period_more(),
            _ => self.take(FRAME),
        };
        let mut speech: [f32; FRAME] = std::array::from_fn(|n| speech[n]);
        if self.erased >= FRAMES_MAX {
            speech.fill(0.0);
        } else if self.erased > 0 {
            // App. I.2.7: from the second frame on, 20 % less a frame.
            let first = 1.0 - (self.erased - 1) as f32 * ATTENUATION;
            for (n, sample) in speech.iter_mut().enumerate() {
                *sample *= (first - ATTENUATION * n as f32 / FRAME as f32).max(0.0);
            }
        }
        self.erased += 1;
        self.put_out(&speech)
    }

    /// App. I.2.4: the last period is repeated, its end joined to its beginning.
    fn begin(&mut self) -> Vec<f32> {
        self.pitch_buffer = self.history;
        self.pitch = self.find_pitch();
        self.last_quarter = self.pitch_buffer[HISTORY - self.quarter()..].to_vec();
        self.repeat(self.pitch);
        self.offset = 0;
        // What has not been put out yet is the joined end.
        let joined = HISTORY - self.quarter()..;
        self.history[joined.clone()].copy_from_slice(&self.pitch_buffer[joined]);
        self.take(FRAME)
    }

    /// App. I.2.5: the second and third frame repeat a period more each.
    fn one_period_more(&mut self) -> Vec<f32> {
        let offset = self.offset;
        let tail = self.take(self.quarter());
        self.offset = offset % self.pitch;
        self.repeat(self.repeated + self.pitch);
        let mut speech = self.take(FRAME);
        cross_fade(&tail, &mut speech);
        speech
    }

    /// Repeats this many samples from now on.
    fn repeat(&mut self, samples: usize) {
        self.repeated = samples;
        let quarter = self.quarter();
        let start = HISTORY - samples - quarter;
        let mut end: Vec<f32> = self.pitch_buffer[start..start + quarter].to_vec();
        cross_fade(&self.last_quarter, &mut end);
        self.pitch_buffer[HISTORY - quarter..].copy_from_slice(&end);
    }

    fn take(&mut self, len: usize) -> Vec<f32> {
        let repeated = &self.pitch_buffer[HISTORY - self.repeated..];
        let taken = repeated.iter().cycle().skip(self.offset).take(len).copied().collect();
        self.offset = (self.offset + len) % self.repeated;
        taken
    }

    fn quarter(&self) -> usize {
        self.pitch / 4
    }

    /// App. I.2.3: the lag of the greatest normalised correlation, every second sample first.
    fn find_pitch(&self) -> usize {
        let newest = HISTORY - COMPARED;
        let likeness = |lag: usize, step: usize| {
            let (mut power, mut product) = (0.0, 0.0);
            for n in (0..COMPARED).step_by(step) {
                let earlier = self.pitch_buffer[newest - lag + n];
                power += earlier * earlier;
                product += earlier * self.pitch_buffer[newest + n];
            }
            product / power.max(POWER_MIN).sqrt()
        };
        let best = |lags: Vec<usize>, step: usize| {
            let lags = lags.into_iter().map(|lag| (likeness(lag, step), lag));
            lags.max_by(|a, b| a.0.total_cmp(&b.0)).map_or(PITCH_MAX, |(_, lag)| lag)
        };
        let rough = best((PITCH_MIN..=PITCH_MAX).rev().step_by(COARSE).collect(), COARSE);
        best(((rough - 1).max(PITCH_MIN)..=(rough + 1).min(PITCH_MAX)).rev().collect(), 1)
    }

    fn put_out(&mut self, speech: &[f32; FRAME]) -> [i16; FRAME] {
        self.history.copy_within(FRAME.., 0);
        self.history[HISTORY - FRAME..].copy_from_slice(speech);
        std::array::from_fn(|n| self.history[HISTORY - FRAME - DELAY + n] as i16)
    }
}

/// Goes from `from` to the beginning of `to`, where the result is.
fn cross_fade(from: &[f32], to: &mut [f32]) {
    let len = from.len() as f32;
    for (n, (sample, from)) in to.iter_mut().zip(from).enumerate() {
        let share = (n + 1) as f32 / len;
        *sample = from * (1.0 - share) + *sample * share;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(n: usize, period: f64) -> i16 {
        (8000.0 * (n as f64 * std::f64::consts::TAU / period).sin()) as i16
    }

    /// A tone of which the frames in `lost` never come.
    fn play(period: f64, frames: usize, lost: impl Fn(usize) -> bool) -> Vec<i16> {
        let mut concealment = Concealment::default();
        (0..frames)
            .flat_map(|frame| match lost(frame) {
                true => concealment.lost(),
                false => {
                    concealment.good(&std::array::from_fn(|n| sine(frame * FRAME + n, period)))
                }
            })
            .collect()
    }

    #[test]
    fn without_loss_it_only_delays() {
        for (n, sample) in play(57.0, 20, |_| false).into_iter().enumerate().skip(DELAY) {
            assert_eq!(sample, sine(n - DELAY, 57.0));
        }
    }

    #[test]
    fn a_tone_of_a_whole_period_goes_on_through_a_lost_frame() {
        for (n, sample) in play(50.0, 30, |n| n == 20).into_iter().enumerate().skip(DELAY) {
            let wrong = i32::from(sample) - i32::from(sine(n - DELAY, 50.0));
            assert!(wrong.abs() < 50, "{n}: {wrong}");
        }
    }

    #[test]
    fn it_fades_from_10_ms_on_and_is_silent_after_60() {
        let heard = play(50.0, 30, |n| n >= 20);
        let peak = |frame: usize| {
            let first = frame * FRAME + DELAY;
            heard[first..first + FRAME].iter().map(|x| x.abs()).max().unwrap()
        };
        assert!(peak(20) > 7900);
        for (frame, share) in [(21, 1.0), (22, 0.8), (23, 0.6), (24, 0.4), (25, 0.2)] {
            let expected = 8000.0 * share;
            let found = f64::from(peak(frame));
            assert!((0.8 * expected..=expected + 1.0).contains(&found), "{frame}: {found}");
        }
        assert_eq!(peak(26), 0);
    }
}
