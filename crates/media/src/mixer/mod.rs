//! A conference: who hears whom, and the sum that each listener hears.
//!
//! Sums are exact in integers, whatever their order. Listeners that hear the same share one [`Mix`],
//! so that it is encoded once. Whoever begins or ceases to be heard is faded over one tick. One
//! limiter serves the whole conference: a common gain keeps equal mixes equal.
//! Has no clock: its owner fills the frames of the sources and calls [`Mixer::mix`] once per tick.

mod level;
mod limiter;
mod speakers;

use std::f32::consts::PI;

use level::Level;
use limiter::Limiter;
use speakers::Speakers;

use crate::plc::Plc;

/// Seats of a conference: eight participants, supervisors, recorders, announcements.
pub const SEATS_MAX: usize = 16;

/// A place in the conference, below [`SEATS_MAX`]: of a source, a listener, or both.
pub type Seat = usize;
/// A set of seats: bit n is seat n.
pub type Seats = u16;

/// How a conference is mixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MixerSettings {
    /// Sources heard at once; of more, the loudest are, and who is spared.
    pub speakers_max: usize,
    /// Who is at most so many dB below the loudest is heard whatever others do; `None`: nobody for
    /// that reason.
    pub spared_db: Option<u8>,
    /// Sources that are heard whatever others do: announcements, tones, a whispering supervisor.
    pub always: Seats,
    /// Whether a source that has been silent for 0.3 s, or not above −60 dBov yet, is left out, so
    /// that listeners of the same talker share a mix.
    pub leaves_out_silence: bool,
    /// Whether voices are brought to the same loudness.
    pub normalises: bool,
}

impl Default for MixerSettings {
    fn default() -> Self {
        Self {
            speakers_max: SEATS_MAX,
            spared_db: None,
            always: 0,
            leaves_out_silence: true,
            normalises: false,
        }
    }
}

impl MixerSettings {
    /// How people are mixed: of more than four, those who are far below the loudest are left out,
    /// with the noise around them; nobody who clearly speaks ever is.
    pub fn of_people() -> Self {
        Self { speakers_max: 4, spared_db: Some(20), ..Self::default() }
    }
}

/// What one or more listeners hear in a tick.
#[derive(Debug)]
pub struct Mix {
    /// Who hears it.
    pub listeners: Seats,
    /// Who is heard in it, as the tick ends.
    pub heard: Seats,
    /// Who was heard by these listeners as the tick before ended.
    before: Seats,
    sum: Box<[i32]>,
    samples: Box<[i16]>,
}

impl Mix {
    /// The samples of the tick.
    pub fn samples(&self) -> &[i16] {
        &self.samples
    }
}

/// One conference.
pub struct Mixer {
    settings: MixerSettings,
    len: usize,
    sources: Box<[Source]>,
    /// Sources with a frame in this tick.
    present: Seats,
    /// The plan, by listener.
    hears: [Seats; SEATS_MAX],
    /// What each listener heard as the last tick ended.
    heard: [Seats; SEATS_MAX],
    /// Listeners for whom everything ends with the next tick.
    hushed: Seats,
    /// The first `used` are those of the last tick.
    mixes: Box<[Mix]>,
    used: usize,
    speakers: Speakers,
    limiter: Limiter,
    plc: Plc,
    /// Weights of a fade-in, of 2¹⁵.
    fade: Box<[i32]>,
}

/// Audio that somebody brings in.
struct Source {
    frame: Box<[i16]>,
    /// The frame of the tick before.
    last: Box<[i16]>,
    level: Level,
}

impl Mixer {
    /// A conference of `seats` (at most [`SEATS_MAX`]) with ticks of `len` samples at `rate` hertz.
    /// Nobody hears anybody yet. Allocates; nothing after it does.
    pub fn new(seats: usize, rate: u32, len: usize, settings: MixerSettings) -> Self {
        assert!(seats <= SEATS_MAX, "at most {SEATS_MAX} seats, not {seats}");
        let silence = || vec![0; len].into_boxed_slice();
        let source = |_| Source { frame: silence(), last: silence(), level: Level::new(rate, len) };
        let mix = |_| Mix {
            listeners: 0,
            heard: 0,
            before: 0,
            sum: vec![0; len].into(),
            samples: silence(),
        };
        let weight = |n| {
            let angle = PI * (n as f32 + 0.5) / len as f32;
            (32_768.0 * (0.5 - 0.5 * angle.cos())) as i32
        };
        Self {
            settings,
            len,
            sources: (0..seats).map(source).collect(),
            present: 0,
            hears: [0; SEATS_MAX],
            heard: [0; SEATS_MAX],
            hushed: 0,
            mixes: (0..seats).map(mix).collect(),
            used: 0,
            speakers: Speakers::default(),
            limiter: Limiter::new(rate, len),
            plc: Plc::new(rate),
            fade: (0..len).map(weight).collect(),
        }
    }

    /// Samples of a tick.
    pub fn tick_len(&self) -> usize {
        self.len
    }

    /// How it is mixed from the next tick on.
    pub fn set_settings(&mut self, settings: MixerSettings) {
        self.settings = settings;
    }

    /// Whom `listener` hears from the next tick on. Nobody hears themselves: the own bit is
    /// ignored, as are those of seats that do not exist.
    pub fn set_hears(&mut self, listener: Seat, sources: Seats) {
        self.hears[listener] = sources & !(1 << listener);
    }

    /// The frame of a source for the next tick, to be filled. A source that is not asked for is not
    /// there in that tick.
    pub fn frame(&mut self, source: Seat) -> &mut [i16] {
        self.present |= 1 << source;
        &mut self.sources[source].frame
    }

    /// Whom `listener` hears by the plan.
    pub fn hears(&self, listener: Seat) -> Seats {
        self.hears[listener]
    }

    /// There is nothing in the frame of a source: it is not there in the next tick.
    pub fn leave_out(&mut self, source: Seat) {
        self.present &= !(1 << source);
    }

    /// `listener` has heard `source` until now, elsewhere: it goes on in the next tick instead of
    /// being faded in.
    pub fn welcome(&mut self, listener: Seat, source: Seat) {
        self.heard[listener] |= self.hears[listener] & (1 << source);
    }

    /// `listener` hears something else after the next tick: all it hears is faded out.
    pub fn hush(&mut self, listener: Seat) {
        self.hushed |= 1 << listener;
    }

    /// Empties a seat: who takes it after the next tick begins without a past.
    pub fn vacate(&mut self, seat: Seat) {
        self.hears[seat] = 0;
        self.heard[seat] = 0;
        self.sources[seat].level.reset();
    }

    /// Mixes a tick for `listeners`. The mixes are in [`Mixer::mixes`] until the next call.
    pub fn mix(&mut self, listeners: Seats) {
        let active = self.listen();
        self.let_go();
        self.used = 0;
        for listener in 0..self.sources.len() {
            if listeners & (1 << listener) == 0 {
                self.heard[listener] = 0;
                continue;
            }
            let is_hushed = self.hushed & (1 << listener) != 0;
            let hears = if is_hushed { 0 } else { self.hears[listener] & active };
            let before = std::mem::replace(&mut self.heard[listener], hears);
            self.share(listener, before);
        }
        let mixes = &mut self.mixes[..self.used];
        for mix in mixes.iter_mut() {
            add_up(mix, &self.sources, &self.fade);
        }
        self.limiter.limit(mixes);
        for source in &mut self.sources {
            std::mem::swap(&mut source.frame, &mut source.last);
        }
        (self.present, self.hushed) = (0, 0);
    }

    /// The mixes of the last tick, no two alike.
    pub fn mixes(&self) -> &[Mix] {
        &self.mixes[..self.used]
    }

    /// What a listener hears in the last tick; `None` when it was not among the listeners.
    pub fn heard_by(&self, listener: Seat) -> Option<&[i16]> {
        let mix = self.mixes().iter().find(|mix| mix.listeners & (1 << listener) != 0)?;
        Some(&mix.samples)
    }

    /// Gain of the limiter as the last tick ended, 0 to 1.
    pub fn gain(&self) -> f32 {
        self.limiter.gain()
    }

    /// Measures the sources and returns those to be heard.
    fn listen(&mut self) -> Seats {
        let mut loudness = [0.0; SEATS_MAX];
        let mut audible = 0;
        for (seat, source) in self.sources.iter_mut().enumerate() {
            if self.present & (1 << seat) == 0 {
                source.level.reset();
                continue;
            }
            loudness[seat] = source.level.measure(&source.frame);
            if source.level.is_audible() || !self.settings.leaves_out_silence {
                audible |= 1 << seat;
            }
            if self.settings.normalises {
                source.level.normalise(&mut source.frame);
            }
        }
        let always = self.settings.always & self.present;
        let MixerSettings { speakers_max, spared_db, .. } = self.settings;
        let spared = spared_db.map_or(f32::INFINITY, |db| 10f32.powf(-f32::from(db) / 20.0));
        self.speakers.choose(&loudness, audible & !always, speakers_max, spared) | always
    }

    /// Makes up a last frame of the sources that are gone, to be faded out.
    fn let_go(&mut self) {
        let heard = self.heard.iter().fold(0, |all, heard| all | heard);
        let gone = heard & !self.present;
        for (_, source) in self.sources.iter_mut().enumerate().filter(|(n, _)| gone & (1 << n) != 0)
        {
            self.plc.reset();
            self.plc.conceal(&source.last, &mut source.frame);
        }
    }

    /// Puts a listener to the mix that it hears.
    fn share(&mut self, listener: Seat, before: Seats) {
        let heard = self.heard[listener];
        let used = &mut self.mixes[..self.used];
        if let Some(mix) = used.iter_mut().find(|mix| mix.heard == heard && mix.before == before) {
            mix.listeners |= 1 << listener;
            return;
        }
        let mix = &mut self.mixes[self.used];
        (mix.listeners, mix.heard, mix.before) = (1 << listener, heard, before);
        self.used += 1;
    }
}

/// The exact sum of whom a mix is of, those who come and go faded.
fn add_up(mix: &mut Mix, sources: &[Source], fade: &[i32]) {
    mix.sum.fill(0);
    for (seat, source) in sources.iter().enumerate() {
        let bit = 1 << seat;
        match (mix.before & bit != 0, mix.heard & bit != 0) {
            (true, true) => add(&mut mix.sum, &source.frame),
            (false, true) => add_faded(&mut mix.sum, &source.frame, fade.iter()),
            (true, false) => add_faded(&mut mix.sum, &source.frame, fade.iter().rev()),
            (false, false) => {}
        }
    }
}

fn add(sum: &mut [i32], frame: &[i16]) {
    for (total, sample) in sum.iter_mut().zip(frame) {
        *total += i32::from(*sample);
    }
}

fn add_faded<'a>(sum: &mut [i32], samples: &[i16], weights: impl Iterator<Item = &'a i32>) {
    for ((total, sample), weight) in sum.iter_mut().zip(samples).zip(weights) {
        *total += (i32::from(*sample) * weight) >> 15;
    }
}

#[cfg(test)]
mod tests;
