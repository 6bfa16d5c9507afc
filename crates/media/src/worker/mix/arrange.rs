//! Seats, rates and coders of a mix, made to fit the plan whenever it changes. Nothing of this is
//! done per packet or tick.

use super::{Beside, Conference, Joining, Playing, SEATS_MAX, Seated, Source, mixer};
use crate::codec::Format;
use crate::command::{BridgeId, Codec, Hear, Sources};
use crate::mixer::{MixerSettings, Seat, Seats};
use crate::mouth::own_codec;
use crate::resampler::Resampler;
use crate::stream::Stream;
use crate::worker::{Worker, stream};

use super::coder::{Coder, Tongue, seats};

/// Rates of mixes, hertz: those that music is kept in, and the one of Opus.
const RATES: [u32; 3] = [8000, 16_000, 48_000];
/// Highest rate of which every sound has samples.
const SOUND_RATE: u32 = 16_000;

impl Worker {
    /// A listener is told to hear a mix from now on: which stream it heard until now, if any.
    pub(in crate::worker) fn join_mix(&mut self, listener: usize, heard: Option<usize>) {
        let packets = heard
            .and_then(|heard| stream(&mut self.streams, heard))
            .map_or(0, |heard| heard.said.as_ref().map_or(0, |said| said.packets()));
        let Some(stream) = stream(&mut self.streams, listener) else { return };
        if !std::mem::take(&mut stream.lingers) {
            stream.joining = heard.map(|source| Joining { source, packets, ticks: 0 });
        }
        let conference = self.conferences.entry(stream.bridge);
        let conference = conference.or_insert_with(|| {
            self.mixes = self.mixes.wrapping_add(1);
            Box::new(Conference::new(RATES[0], self.mixes))
        });
        if !conference.listeners.contains(&listener) {
            conference.listeners.push(listener);
        }
    }

    /// A listener hears no mix from now on: it stays for the tick in which it is faded out.
    pub(in crate::worker) fn leave_mix(&mut self, listener: usize) {
        let Some(stream) = stream(&mut self.streams, listener) else { return };
        let was_in = stream.joining.take().is_none() && stream.seat.is_some();
        stream.lingers = was_in && stream.rtp_target().is_some();
        // A filter that begins anew is no continuation: both sides of it are faded.
        stream.parts = stream.lingers && stream.mouth.as_ref().is_some_and(|it| it.resamples());
        stream.goes_on_softly = stream.parts;
    }

    /// Something about a stream has changed that its call's mix depends on.
    pub(in crate::worker) fn rearrange(&mut self, slot: usize) {
        if let Some(bridge) = stream(&mut self.streams, slot).map(|stream| stream.bridge) {
            self.arrange(bridge);
        }
    }

    /// Makes the mix of a call what its listeners are to hear; without listeners there is none.
    pub(in crate::worker) fn arrange(&mut self, bridge: BridgeId) {
        let Some(mut conference) = self.conferences.remove(&bridge) else { return };
        let of_call = |stream: &Stream| stream.bridge == bridge;
        let streams = &mut self.streams;
        conference.listeners.retain(|slot| {
            stream(streams, *slot).is_some_and(|it| of_call(it) && it.is_mix_listener())
        });
        let mut plan = Vec::new();
        for &listener in &conference.listeners {
            let Some(Some(it)) = self.streams.get(listener) else { continue };
            let sources = it.mix_sources();
            let slots = sources.iter().filter_map(|id| self.ids.get(&id).copied());
            let is_here = |slot: &usize| {
                let source = self.streams.get(*slot).and_then(Option::as_ref);
                *slot != listener && source.is_some_and(|source| of_call(source))
            };
            plan.push((listener, slots.filter(is_here).collect::<Vec<_>>(), sources.sound()));
        }
        let is_source = |slot: usize| plan.iter().any(|(_, sources, _)| sources.contains(&slot));
        let listens = |slot: usize| plan.iter().any(|(listener, ..)| *listener == slot);
        let is_seated = |slot: usize| is_source(slot) || listens(slot);
        let gone = conference.clear_seats(&plan, is_seated);
        for slot in gone {
            self.unseat(slot, bridge);
        }
        if conference.listeners.is_empty() {
            return;
        }
        let all = plan.iter().flat_map(|(listener, sources, _)| sources.iter().chain([listener]));
        for &slot in all {
            let Some(it) = stream(&mut self.streams, slot) else { continue };
            it.seat = conference.seat(Seated::Stream(slot));
        }
        conference.set_rate(self.rate_of(&plan));
        for (listener, ..) in &plan {
            self.tune_said(*listener, is_source(*listener), conference.rate);
        }
        for &slot in plan.iter().flat_map(|(_, sources, _)| sources) {
            self.tune_said(slot, true, conference.rate);
        }
        conference.tell(&plan, self.mixing, &mut self.streams);
        self.conferences.insert(bridge, conference);
    }

    /// Takes a stream's place in a mix away.
    fn unseat(&mut self, slot: usize, bridge: BridgeId) {
        let Some(it) = stream(&mut self.streams, slot).filter(|it| it.bridge == bridge) else {
            return;
        };
        it.leave_seat();
        self.retune(slot);
    }

    /// Gives a stream that is heard a way into the mix, and takes it from one who is not.
    fn tune_said(&mut self, slot: usize, is_heard: bool, rate: u32) {
        let Some(it) = stream(&mut self.streams, slot) else { return };
        let rate_before = it.said.as_ref().map(|said| said.rate());
        let config = &it.config;
        match &mut it.said {
            said if !is_heard || it.seat.is_none() => *said = None,
            Some(said) => {
                said.configure(&config.payloads, config.noise_removal);
                said.set_rate(rate);
            }
            said @ None => {
                let (payloads, noise) = (&config.payloads, config.noise_removal);
                let source = Source::new(payloads, noise, rate, it.stats.codec, slot as u32);
                *said = Some(Box::new(source));
            }
        }
        if rate_before != it.said.as_ref().map(|said| said.rate()) {
            // What is recorded is what is mixed, as long as it is; and noise is removed at its rate.
            self.retune(slot);
        }
    }

    /// The lowest rate that loses nothing of what anybody says to anybody.
    fn rate_of(&self, plan: &[(usize, Vec<usize>, Option<Beside>)]) -> u32 {
        let get = |slot: usize| self.streams.get(slot).and_then(Option::as_ref);
        let mut rate = 0;
        for (listener, sources, sound) in plan {
            let own = get(*listener).map_or(0, |it| it.listening_rate());
            let said = sources.iter().filter_map(|slot| get(*slot)?.spoken_rate()).max();
            let most = said.max(sound.map(|_| SOUND_RATE)).unwrap_or(0);
            rate = rate.max(own.min(most));
        }
        RATES.into_iter().find(|known| *known >= rate).unwrap_or(RATES[2])
    }
}

impl Conference {
    /// Frees the seats of who is no longer part of the mix; their slots.
    fn clear_seats(
        &mut self,
        plan: &[(usize, Vec<usize>, Option<Beside>)],
        is_seated: impl Fn(usize) -> bool,
    ) -> Vec<usize> {
        let mut gone = Vec::new();
        for seated in &mut self.seats {
            match *seated {
                Seated::Stream(slot) if !is_seated(slot) => {
                    gone.push(slot);
                    *seated = Seated::Gone;
                }
                Seated::Sound(sound) if !plan.iter().any(|(.., beside)| *beside == Some(sound)) => {
                    *seated = Seated::Gone;
                }
                Seated::Stream(_) | Seated::Sound(_) | Seated::Gone | Seated::Nobody => {}
            }
        }
        gone
    }

    /// The seat of somebody, a free one if need be; `None` when all are taken: who comes too late
    /// neither hears nor is heard.
    fn seat(&mut self, who: Seated) -> Option<Seat> {
        let find = |seats: &[Seated; SEATS_MAX], who| seats.iter().position(|it| *it == who);
        let seat = find(&self.seats, who).or_else(|| find(&self.seats, Seated::Nobody))?;
        self.seats[seat] = who;
        Some(seat)
    }

    /// A higher rate, where one is needed. A lower one would be a change for nothing.
    fn set_rate(&mut self, rate: u32) {
        if rate <= self.rate {
            return;
        }
        // The old mix dies away while the new one begins.
        let listeners = self.coders.iter().fold(0, |all, coder| all | coder.users);
        self.mixer.mix(listeners);
        for coder in &mut self.coders {
            let rest = seats(coder.users).next().and_then(|seat| self.mixer.heard_by(seat));
            coder.set_rate(rate, rest);
        }
        self.rate = rate;
        self.mixer = mixer(rate);
        for playing in &mut self.sounds {
            playing.resampler = resampler(rate);
        }
        self.clock = 0;
    }

    /// Tells the mixer who hears whom, and gives every listener a coder.
    fn tell(
        &mut self,
        plan: &[(usize, Vec<usize>, Option<Beside>)],
        settings: MixerSettings,
        streams: &mut [Option<Box<Stream>>],
    ) {
        let seat_of = |streams: &mut [Option<Box<Stream>>], slot| stream(streams, slot)?.seat;
        let mut listening = 0;
        for (listener, sources, beside) in plan {
            let Some(seat) = seat_of(streams, *listener) else { continue };
            let bits = sources.iter().filter_map(|slot| seat_of(streams, *slot));
            let mut hears = bits.fold(0, |all: Seats, seat| all | 1 << seat);
            if let Some(sound) = beside.and_then(|sound| self.seat(Seated::Sound(sound))) {
                hears |= 1 << sound;
            }
            self.mixer.set_hears(seat, hears);
            listening |= 1 << seat;
            if let Some(Some(it)) = streams.get(*listener) {
                self.tune_coder(seat, it);
            }
        }
        for seat in seats(!listening) {
            self.mixer.set_hears(seat, 0);
        }
        let is_mixed = |sound: Beside| self.seats.contains(&Seated::Sound(sound));
        self.sounds.retain(|playing| is_mixed(playing.sound));
        let mut always = self.confidants(listening);
        for (seat, seated) in self.seats.iter().enumerate() {
            let Seated::Sound(sound) = *seated else { continue };
            always |= 1 << seat;
            if !self.sounds.iter().any(|playing| playing.sound == sound) {
                let resampler = resampler(self.rate);
                self.sounds.push(Playing { sound, at: 0, resampler });
            }
        }
        self.mixer.set_settings(MixerSettings { always, ..settings });
        self.free_coders(listening, streams);
    }

    /// Who is heard by some and not by all others: who whispers is not left out for who speaks to all.
    fn confidants(&self, listening: Seats) -> Seats {
        let is_confidant = |seat: &Seat| {
            let hears = |listener: Seat| self.mixer.hears(listener) & (1 << seat) != 0;
            let mut others = seats(listening & !(1 << seat));
            let mut them = seats(listening);
            them.any(hears) && others.any(|listener| !hears(listener))
        };
        (0..SEATS_MAX).filter(is_confidant).fold(0, |all: Seats, seat| all | 1 << seat)
    }

    fn tune_coder(&mut self, seat: Seat, listener: &Stream) {
        let tongue = Tongue::of(&listener.config);
        let former = self.coders.iter().position(|coder| coder.users & (1 << seat) != 0);
        if former.is_some_and(|former| Some(self.coders[former].tongue()) == tongue) {
            return;
        }
        let new = tongue.and_then(|tongue| Coder::new(tongue, self.rate)).map(|mut coder| {
            if let Some(former) = former {
                // It may wish something else of the same codec.
                coder.follow(&self.coders[former]);
            }
            coder.users = 1 << seat;
            coder
        });
        if let Some(former) = former {
            self.coders[former].users &= !(1 << seat);
        }
        self.coders.extend(new);
    }

    /// Keeps as many coders of a kind as it has listeners.
    fn free_coders(&mut self, listening: Seats, streams: &mut [Option<Box<Stream>>]) {
        let mut wanted = Vec::new();
        for coder in &mut self.coders {
            coder.users &= listening;
        }
        let seated = seats(listening).filter_map(|seat| match self.seats[seat] {
            Seated::Stream(slot) => Some(slot),
            Seated::Nobody | Seated::Sound(_) | Seated::Gone => None,
        });
        for slot in seated {
            let Some(listener) = stream(streams, slot) else { continue };
            wanted.extend(Tongue::of(&listener.config));
        }
        // Those in use first, then as many free ones as there may be need for.
        self.coders.sort_by_key(|coder| coder.users == 0);
        self.coders.retain_mut(|coder| {
            coder.forget_twin();
            let found = wanted.iter().position(|tongue| *tongue == coder.tongue());
            found.is_some_and(|at| {
                wanted.swap_remove(at);
                true
            })
        });
    }
}

impl Stream {
    /// Whom it hears in the mix: who leaves hears only whom it goes on to hear.
    fn mix_sources(&self) -> Sources {
        match self.hear {
            Hear::Mix(sources) => sources,
            Hear::Stream(source) => Sources::from_iter([source]),
            Hear::Nothing | Hear::Music | Hear::Silence | Hear::Tone(_) => Sources::default(),
        }
    }

    /// Rate of what its peer says, hertz: of the codec it used last, or would use first.
    fn spoken_rate(&self) -> Option<u32> {
        let payloads = &self.config.payloads;
        let used = payloads.iter().find(|payload| Some(payload.codec) == self.stats.codec);
        let used = used.and_then(|payload| Format::of(payload).ok());
        let format = used.or_else(|| Some(own_codec(payloads)?.1))?;
        Some(format.sample_rate)
    }

    /// The rate above which it hears nothing more; 0 when we encode nothing that it understands.
    fn listening_rate(&self) -> u32 {
        let Some((_, format)) = own_codec(&self.config.payloads) else { return 0 };
        match format.codec == Codec::Opus {
            true => format.sample_rate.min(self.config.opus.max_playback_rate),
            false => format.sample_rate,
        }
    }
}

/// What sounds come through into a mix.
fn resampler(rate: u32) -> Option<Resampler> {
    (rate > SOUND_RATE).then(|| Resampler::new(SOUND_RATE, rate)).flatten()
}
