//! Signals that must pass as they are (N4): DTMF, ringback, busy, fax and modem tones.
//!
//! One or two lines, beside which there is no more than the noise that was there before, are a tone;
//! a vowel has other harmonics. What V.21 sends is in one narrow channel, where no voice is alone.
//! After a modem's answer (V.25, V.8) or the flags of a fax (T.30),
//! what follows is data, which sounds like noise: it passes for [`DATA_FRAMES`].

/// Lines in which tones are looked for: 300 to 3400 Hz.
const FIRST: usize = 6;
const LAST: usize = 68;
/// Lines on each side of a tone that have its power: 20 ms see it no sharper.
const WIDTH: usize = 2;
/// Least share of all power in one or two peaks. At 0.85 a twentieth of a woman's speech was tones.
const SHARE: f32 = 0.96;
/// What else there may be: a share of all, and so much of the noise.
const REST: f32 = 0.01;
const REST_OF_NOISE: f32 = 0.8;
/// Share of all power from which a peak is one of a tone's.
const PEAK: f32 = 0.05;
/// Least share of all power in a channel of V.21.
const CHANNEL: f32 = 0.9;
/// Least share of it in the frame before, in which the tone may have begun.
const SHARE_BEFORE: f32 = 0.6;
/// Share of all power that is in peaks which were there in the frame before.
const SHARE_KEPT: f32 = 0.5;
/// Least mean square of the samples: -45 dBm0.
const POWER: f32 = 16_000.0;
/// Tonal frames, less twice the others, from which a tone is passed on untouched: longer than a
/// vowel stays on one note.
const STEADY: u8 = 14;
const SCORE_MAX: u8 = 20;
/// The answer tone of modems and fax machines, 2100 Hz, and how long it must last: 400 ms.
const ANSWER: usize = 42;
const ANSWER_SHARE: f32 = 0.85;
const ANSWER_FRAMES: u8 = 40;
/// Frequencies of V.21 in lines: channel 1 (V.8 call menu), channel 2 (all of T.30).
const KEYING: [[usize; 2]; 2] = [[20, 24], [33, 37]];
/// Frames that each frequency of a pair must have been the louder one.
const KEYED: u8 = 6;
/// Frames with sound after which data are over: 120 s, more than a page takes.
const DATA_FRAMES: u16 = 12_000;

/// What is known of one stream.
#[derive(Clone, Debug)]
pub(super) struct Tones {
    peaks: Peaks,
    /// Those with which the score began: a voice moves away from them.
    first: Peaks,
    is_tonal: bool,
    score: u8,
    answer: u8,
    keyed: [[u8; 2]; 2],
    data: u16,
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// Speech or noise.
    Sound,
    /// Perhaps the beginning of a tone: [`Tones::lines`] are kept.
    Tonal,
    /// A tone, data or music: nothing may be changed.
    Steady,
}

/// Some of the lines of a spectrum, one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lines(u128);

impl Lines {
    /// None of them.
    pub(super) const NONE: Self = Self(0);

    /// Those of both.
    pub(super) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Calls `each` with every one.
    pub(super) fn each(self, mut each: impl FnMut(usize)) {
        let mut left = self.0;
        while left != 0 {
            each(left.trailing_zeros() as usize);
            left &= left - 1;
        }
    }
}

/// The strongest one or two lines and their share of all power.
#[derive(Clone, Copy, Debug, Default)]
struct Peaks {
    lines: [usize; 2],
    shares: [f32; 2],
}

impl Tones {
    pub(super) fn new() -> Self {
        Self {
            peaks: Peaks::default(),
            first: Peaks::default(),
            is_tonal: false,
            score: 0,
            answer: 0,
            keyed: [[0; 2]; 2],
            data: 0,
        }
    }

    /// Hears the powers of the next frame's lines; `noise` is the power of all noise in them.
    pub(super) fn hear(&mut self, powers: &[f32], noise: f32) -> Signal {
        let total: f32 = powers.iter().sum();
        let peaks = Peaks::of(powers, total);
        let before = std::mem::replace(&mut self.peaks, peaks);
        let is_tonal = total > POWER
            && peaks.share() > SHARE
            && before.share() > SHARE_BEFORE
            && peaks.kept_of(&before) > SHARE_KEPT
            && (1.0 - peaks.share()) * total < REST * total + REST_OF_NOISE * noise;
        let is_keyed = total > POWER && is_keyed(powers, total);
        let is_other = self.peaks.kept_of(&self.first) < SHARE_KEPT;
        if self.score == 0 || is_tonal && !is_keyed && is_other {
            (self.score, self.first) = (0, self.peaks);
        }
        let is_tonal = is_tonal || is_keyed;
        self.is_tonal = is_tonal;
        self.score =
            if is_tonal { (self.score + 1).min(SCORE_MAX) } else { self.score.saturating_sub(2) };
        self.look_for_data(is_tonal);
        self.data = self.data.saturating_sub(u16::from(total > POWER));
        if self.data > 0 || self.score >= STEADY {
            Signal::Steady
        } else if is_tonal {
            Signal::Tonal
        } else {
            Signal::Sound
        }
    }

    /// The lines of what may be a tone in the last frame. What is beside them is not kept: it may
    /// be the noise around a vowel.
    pub(super) fn lines(&self) -> Lines {
        let mut lines = Lines::NONE;
        if self.is_tonal {
            for (line, share) in self.peaks.lines.iter().zip(self.peaks.shares) {
                if share > PEAK {
                    lines.0 |= ((1 << (2 * WIDTH + 1)) - 1) << (line - WIDTH);
                }
            }
        }
        lines
    }

    fn look_for_data(&mut self, is_tonal: bool) {
        let [line, _] = self.peaks.lines;
        if self.score == 0 {
            (self.answer, self.keyed) = (0, [[0; 2]; 2]);
        } else if is_tonal {
            if line == ANSWER && self.peaks.shares[0] > ANSWER_SHARE {
                self.answer = (self.answer + 1).min(ANSWER_FRAMES);
            }
            for (count, key) in self.keyed.iter_mut().flatten().zip(KEYING.iter().flatten()) {
                *count = (*count + u8::from(line.abs_diff(*key) <= 1)).min(KEYED);
            }
        }
        let is_keyed = self.keyed.contains(&[KEYED; 2]);
        if self.answer == ANSWER_FRAMES || is_keyed {
            self.data = DATA_FRAMES;
        }
    }
}

/// Whether all is in one channel of V.21.
fn is_keyed(powers: &[f32], total: f32) -> bool {
    KEYING
        .iter()
        .any(|[low, high]| powers[low - WIDTH..=high + WIDTH].iter().sum::<f32>() > CHANNEL * total)
}

impl Peaks {
    fn of(powers: &[f32], total: f32) -> Self {
        let first = Self::strongest(powers, |_| true);
        let second = Self::strongest(powers, |line| line.abs_diff(first) > WIDTH);
        let total = total.max(1.0);
        let around = |line: usize| line - WIDTH..=line + WIDTH;
        let share = powers[around(first)].iter().sum::<f32>() / total;
        let others = around(second).filter(|line| line.abs_diff(first) > WIDTH);
        let other = others.map(|line| powers[line]).sum::<f32>() / total;
        Self { lines: [first, second], shares: [share, other] }
    }

    fn strongest(powers: &[f32], allowed: impl Fn(usize) -> bool) -> usize {
        let (mut best, mut most) = (FIRST, -1.0);
        for line in (FIRST..=LAST).filter(|line| allowed(*line)) {
            if powers[line] > most {
                (best, most) = (line, powers[line]);
            }
        }
        best
    }

    fn share(&self) -> f32 {
        self.shares[0] + self.shares[1]
    }

    /// The share in peaks that were there before.
    fn kept_of(&self, before: &Self) -> f32 {
        let was = |line: usize| {
            let pairs = before.lines.iter().zip(before.shares);
            pairs.into_iter().any(|(old, share)| line.abs_diff(*old) <= 1 && share > 0.1)
        };
        let kept = self.lines.iter().zip(self.shares).filter(|(line, _)| was(**line));
        kept.map(|(_, share)| share).sum()
    }
}
