//! Tones out of speech (ITU-T Q.23, Q.24): Goertzel filters on blocks of 12.75 ms at 8 kHz.
//!
//! ```text
//!       two blocks of one key, pure and in tune          two blocks without it
//! quiet ──────────────── Start ───────────────▶ sounding ──────── End ───────▶ quiet
//! ```
//! A block is short enough that any tone of 40 ms fills two of them, and too wide to tell the
//! frequencies exactly: those are told by how far the phase turns from block to block. Speech has
//! its energy elsewhere too, or does not keep both frequencies for 25 ms.

use std::f32::consts::{PI, TAU};

use super::{COLUMNS, Digit, DtmfEvent, KEYPAD, ROWS, Signal};
use crate::tone::amplitude;

/// Rate of the blocks, hertz.
const RATE: u32 = 8000;
/// Samples of a block.
const BLOCK: usize = 102;
/// Milliseconds of a block.
const BLOCK_MS: f32 = 12.75;

/// Weakest tone that counts, both frequencies together, dBm0: less than −25 dBm each (Q.24).
const LEVEL_MIN_DBM0: f64 = -36.0;
/// Share of the energy that is in the two frequencies, when a key begins. A tone of 20 ms reaches
/// 0.84, one of 40 ms under noise of −15 dB 0.96.
const PURE: f32 = 0.86;
/// The same for one block before the frequencies are known: what is 1.8 % off leaks.
const PURE_BLOCK: f32 = 0.6;
/// The same while a key is down, so that a click does not end it, and for either tone alone.
const PURE_HELD: f32 = 0.4;
const PURE_HELD_EACH: f32 = 0.04;
/// The same in a block that a tone fills in part, at its beginning or its end.
const PURE_EDGE: f32 = 0.1;
/// Most by which the high tone may be above the low one, decibels (Q.24: 4), with a margin.
const TWIST_MAX_DB: f32 = 5.0;
/// Most by which it may be below (Q.24: 8).
const REVERSE_TWIST_MAX_DB: f32 = 9.0;
/// Least by which a tone is above the others of its group, decibels.
const ABOVE_OTHERS_DB: f32 = 8.0;
/// Farthest from its frequency (Q.24: 1.8 % must pass, 3 % may be refused, 3.5 % must).
const OFF_MAX: f32 = 0.025;
/// Blocks without the tones that end a key: a break of 10 ms does not.
const MISSES: u8 = 2;

/// Finds the keys in one stream of samples.
#[derive(Clone, Debug)]
pub struct ToneDetector {
    decimator: Decimator,
    block: Block,
    filled: usize,
    /// The last two blocks, the latest first.
    previous: [Option<Spectrum>; 2],
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    Quiet,
    Sounding(Sounding),
}

#[derive(Clone, Debug)]
struct Sounding {
    key: Key,
    /// Amplitude of the low tone in a block that it fills.
    full: f32,
    /// Blocks it lasted before the last good one; what is inside a tone is full.
    blocks: f32,
    /// How much of the last good block it filled, and of the one after.
    tail: f32,
    rest: f32,
    misses: u8,
    volume_dbm0: i8,
}

/// Row and column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    row: usize,
    column: usize,
}

impl ToneDetector {
    /// For samples at `rate` hertz; `None` unless it is a multiple of 8000 up to 96000.
    pub fn new(rate: u32) -> Option<Self> {
        let decimator = Decimator::new(rate)?;
        let block = Block { samples: [0.0; BLOCK], filters: FILTERS.map(Goertzel::new) };
        Some(Self { decimator, block, filled: 0, previous: [None; 2], state: State::Quiet })
    }

    /// Listens to the next samples, of any number.
    pub fn hear(&mut self, pcm: &[i16], mut tell: impl FnMut(Signal)) {
        for sample in pcm {
            let Some(sample) = self.decimator.push(f32::from(*sample)) else { continue };
            self.block.samples[self.filled] = sample;
            self.filled += 1;
            if self.filled == BLOCK {
                self.filled = 0;
                self.judge(&mut tell);
            }
        }
    }

    /// The stream ends or breaks: a key that is down is up.
    pub fn reset(&mut self) -> Option<Signal> {
        self.filled = 0;
        self.previous = [None; 2];
        self.release()
    }

    /// Whether a key is down, or the last block sounds like one: what is passed on may be muted.
    pub fn is_suspicious(&self) -> bool {
        let sounding = matches!(self.state, State::Sounding(_));
        sounding || self.previous[0].is_some_and(|last| last.key(PURE_BLOCK).is_some())
    }

    fn judge(&mut self, tell: &mut impl FnMut(Signal)) {
        let now = self.block.spectrum();
        if let State::Sounding(sounding) = &mut self.state
            && !sounding.goes_on(&now)
        {
            self.release().into_iter().for_each(&mut *tell);
        }
        if let (State::Quiet, [Some(before), lead]) = (&self.state, self.previous)
            && let Some(mut sounding) = Sounding::begin(&before, &now)
        {
            sounding.led_by(lead.as_ref());
            let Sounding { key, volume_dbm0, .. } = sounding;
            self.state = State::Sounding(sounding);
            tell(Signal::Start { digit: key.digit(), volume_dbm0 });
        }
        self.previous = [Some(now), self.previous[0]];
    }

    fn release(&mut self) -> Option<Signal> {
        let State::Sounding(sounding) = std::mem::replace(&mut self.state, State::Quiet) else {
            return None;
        };
        Some(Signal::End(DtmfEvent {
            digit: sounding.key.digit(),
            duration_ms: ((sounding.blocks + sounding.tail + sounding.rest) * BLOCK_MS).round()
                as u32,
            volume_dbm0: sounding.volume_dbm0,
        }))
    }
}

impl Sounding {
    /// Whether two blocks in a row are of one key.
    fn begin(before: &Spectrum, now: &Spectrum) -> Option<Self> {
        let key = now.key(PURE_BLOCK).filter(|key| before.key(PURE_BLOCK) == Some(*key))?;
        let gains = [key.row, ROWS.len() + key.column].map(|i| {
            let off = now.tones[i].off_tune(before.tones[i], FILTERS[i]);
            let in_tune = off.abs() <= OFF_MAX * FILTERS[i];
            in_tune.then(|| leakage(off))
        });
        let [low, high] = [gains[0]?, gains[1]?];
        let power =
            |block: &Spectrum| block.low(key).power() / low + block.high(key).power() / high;
        let energy = before.energy + now.energy;
        if power(before) + power(now) < PURE * energy {
            return None;
        }
        // Where the two are unlike, the weaker is filled in part.
        let full = before.low(key).power().max(now.low(key).power()).sqrt();
        let share = |block: &Spectrum| (block.low(key).power().sqrt() / full).min(1.0);
        let loudest = power(before).max(power(now));
        let reference = (amplitude(0.0) as f32).powi(2) * BLOCK as f32 / 2.0;
        let volume_dbm0 = (10.0 * (loudest / reference).log10()).clamp(-63.0, 0.0).round() as i8;
        let (blocks, tail) = (share(before), share(now));
        Some(Self { key, full, blocks, tail, rest: 0.0, misses: 0, volume_dbm0 })
    }

    /// The block before those in which it was found may have its beginning.
    fn led_by(&mut self, lead: Option<&Spectrum>) {
        let share = lead.map_or(0.0, |lead| self.edge(lead));
        if share > 0.0 {
            self.blocks = 1.0 + share;
        }
    }

    /// Takes the next block; false when the key is up.
    fn goes_on(&mut self, now: &Spectrum) -> bool {
        if now.holds(self.key) {
            // What was missing in between was a click.
            self.blocks += 1.0 + f32::from(self.misses);
            self.tail = self.share(now);
            self.rest = 0.0;
            self.misses = 0;
            return true;
        }
        if self.misses == 0 {
            self.rest = self.edge(now);
        }
        self.misses += 1;
        self.misses < MISSES
    }

    /// How much of a block the tone fills.
    fn share(&self, block: &Spectrum) -> f32 {
        (block.low(self.key).power().sqrt() / self.full).min(1.0)
    }

    /// The same for a block beside the tone: noise, or another key, is no part of it.
    fn edge(&self, block: &Spectrum) -> f32 {
        let is_part = block.purity(self.key) > PURE_EDGE && block.has_both(self.key);
        if is_part { self.share(block) } else { 0.0 }
    }
}

impl Key {
    fn digit(self) -> Digit {
        Digit(KEYPAD[self.row][self.column])
    }
}

/// Rows, then columns.
const FILTERS: [f32; 8] = [
    ROWS[0] as f32,
    ROWS[1] as f32,
    ROWS[2] as f32,
    ROWS[3] as f32,
    COLUMNS[0] as f32,
    COLUMNS[1] as f32,
    COLUMNS[2] as f32,
    COLUMNS[3] as f32,
];

/// What one block holds.
#[derive(Clone, Copy, Debug)]
struct Spectrum {
    /// By [`FILTERS`].
    tones: [Phasor; 8],
    /// Sum of squares.
    energy: f32,
}

/// One frequency of a block: its square is the energy in it.
#[derive(Clone, Copy, Debug)]
struct Phasor {
    re: f32,
    im: f32,
}

impl Spectrum {
    /// The key it sounds like, if that much of its energy is in two tones.
    fn key(&self, purity: f32) -> Option<Key> {
        if !self.is_loud() {
            return None;
        }
        let (rows, columns) = self.tones.split_at(ROWS.len());
        let key = Key { row: peak(rows)?, column: peak(columns)? };
        let twist_db = 10.0 * (self.high(key).power() / self.low(key).power()).log10();
        let is_even = (-REVERSE_TWIST_MAX_DB..=TWIST_MAX_DB).contains(&twist_db);
        (is_even && self.purity(key) >= purity).then_some(key)
    }

    /// Whether a key that is down goes on in it.
    fn holds(&self, key: Key) -> bool {
        self.is_loud() && self.purity(key) >= PURE_HELD && self.has_both(key)
    }

    fn has_both(&self, key: Key) -> bool {
        self.low(key).power().min(self.high(key).power()) >= PURE_HELD_EACH * self.energy
    }

    fn is_loud(&self) -> bool {
        let least = amplitude(LEVEL_MIN_DBM0) as f32;
        self.energy >= least.powi(2) * BLOCK as f32 / 2.0
    }

    /// Share of its energy that is in the tones of a key.
    fn purity(&self, key: Key) -> f32 {
        (self.low(key).power() + self.high(key).power()) / self.energy.max(1.0)
    }

    fn low(&self, key: Key) -> Phasor {
        self.tones[key.row]
    }

    fn high(&self, key: Key) -> Phasor {
        self.tones[ROWS.len() + key.column]
    }
}

/// The loudest of a group, if it is well above the others.
fn peak(group: &[Phasor]) -> Option<usize> {
    let powers = group.iter().map(|tone| tone.power());
    let (best, power) =
        powers.clone().enumerate().max_by(|(_, left), (_, right)| left.total_cmp(right))?;
    let others = powers.enumerate().filter(|(i, _)| *i != best);
    let loudest = others.map(|(_, power)| power).fold(0.0, f32::max);
    (power > loudest * 10f32.powf(ABOVE_OTHERS_DB / 10.0)).then_some(best)
}

impl Phasor {
    fn power(self) -> f32 {
        self.re * self.re + self.im * self.im
    }

    /// How far a tone is off `hertz`, hertz, by its phase one block before.
    fn off_tune(self, before: Self, hertz: f32) -> f32 {
        let turned = f32::atan2(self.im, self.re) - f32::atan2(before.im, before.re);
        let expected = TAU * (hertz * BLOCK as f32 / RATE as f32).fract();
        let turns = (turned - expected) / TAU;
        (turns - turns.round()) * RATE as f32 / BLOCK as f32
    }
}

/// Share of its energy that a filter gives of a tone so many hertz off.
fn leakage(off: f32) -> f32 {
    let x = PI * off * BLOCK as f32 / RATE as f32;
    if x.abs() < 1e-3 { 1.0 } else { (x.sin() / x).powi(2) }
}

#[derive(Clone, Debug)]
struct Block {
    samples: [f32; BLOCK],
    filters: [Goertzel; 8],
}

impl Block {
    fn spectrum(&self) -> Spectrum {
        let energy = self.samples.iter().map(|sample| sample * sample).sum();
        Spectrum { tones: self.filters.each_ref().map(|filter| filter.of(&self.samples)), energy }
    }
}

/// One frequency.
#[derive(Clone, Debug)]
struct Goertzel {
    sin: f32,
    cos: f32,
}

impl Goertzel {
    fn new(hertz: f32) -> Self {
        let (sin, cos) = (TAU * hertz / RATE as f32).sin_cos();
        Self { sin, cos }
    }

    /// Phase at the end of the block; the scale makes the square an energy.
    fn of(&self, samples: &[f32; BLOCK]) -> Phasor {
        let (mut last, mut before) = (0.0, 0.0);
        for sample in samples {
            (last, before) = (sample + 2.0 * self.cos * last - before, last);
        }
        let scale = (2.0 / BLOCK as f32).sqrt();
        Phasor { re: scale * (last - self.cos * before), im: scale * self.sin * before }
    }
}

/// Longest filter of the decimator.
const TAPS_MAX: usize = 8 * 12 + 1;

/// Brings a higher rate down to 8 kHz. What folds back lies above all tones.
#[derive(Clone, Debug)]
struct Decimator {
    factor: usize,
    taps: [f32; TAPS_MAX],
    /// The latest samples, at `next` the oldest.
    line: [f32; TAPS_MAX],
    len: usize,
    next: usize,
    phase: usize,
}

impl Decimator {
    fn new(rate: u32) -> Option<Self> {
        let factor = usize::try_from(rate / RATE).ok()?;
        if !rate.is_multiple_of(RATE) || !(1..=12).contains(&factor) {
            return None;
        }
        let len = if factor == 1 { 1 } else { 8 * factor + 1 };
        let mut taps = [0.0; TAPS_MAX];
        for (i, tap) in taps[..len].iter_mut().enumerate() {
            // Half of the band passes at −6 dB, under a Hann window.
            let x = i as f32 - (len / 2) as f32;
            let arg = PI * x / factor as f32;
            let sinc = if x == 0.0 { 1.0 } else { arg.sin() / arg };
            *tap = sinc * (0.5 + 0.5 * (TAU * x / (len + 1) as f32).cos());
        }
        let sum: f32 = taps.iter().sum();
        taps.iter_mut().for_each(|tap| *tap /= sum);
        Some(Self { factor, taps, line: [0.0; TAPS_MAX], len, next: 0, phase: 0 })
    }

    fn push(&mut self, sample: f32) -> Option<f32> {
        self.line[self.next] = sample;
        self.next = (self.next + 1) % self.len;
        self.phase = (self.phase + 1) % self.factor;
        if self.phase != 0 {
            return None;
        }
        let (newer, older) = self.line[..self.len].split_at(self.next);
        let line = older.iter().chain(newer);
        Some(line.zip(&self.taps).map(|(sample, tap)| sample * tap).sum())
    }
}
