//! What a stream's peer says, as linear samples: decoded on arrival, noise removed.
//!
//! ```text
//! payload ─▶ decoder of its payload type ─▶ (resampler) ─▶ (noise removal) ─▶ samples at `rate`
//! ```
//! Packets are taken in order and at once: no jitter buffer, the listener's phone has one. What is
//! missing is told by [`Gap`]; it stays missing, so that the listener conceals it as its own loss,
//! unless the next packet brings it (Opus with forward error correction). Noise is removed once,
//! whoever hears it: one listener as packets come, others in a mix.

mod repair;

use std::ops::Range;
use std::time::Duration;

use crate::codec::{Decoder, Format, PACKET_MS_MAX, SAMPLES_MAX};
use crate::command::{Codec, NoiseRemoval, Payload};
use crate::denoise::{DenoiseSettings, Denoiser, RATES_HZ};
use crate::dtmf::{Signals, ToneDetector};
use crate::resampler::Resampler;
use repair::Repair;

/// Codecs of one stream that are decoded; a peer that agreed on more has the others relayed only.
const LINES_MAX: usize = 4;
/// Samples of 20 ms at the highest rate.
const FLUSH_MAX: usize = 960;
/// What decoders with a look-ahead and resamplers reach back.
const REACH: Duration = Duration::from_millis(10);
/// A step of the timestamps beyond this many seconds is a new start.
const STEP_MAX_S: u32 = 5;

/// The decoding half of a stream.
pub(crate) struct Ear {
    made_for: MadeFor,
    lines: Vec<Line>,
    /// Made with the first packet: a leg that is only ringing does not need it.
    denoiser: Option<Denoiser>,
    removes_noise: bool,
    /// Its hearers have heard what it hears as it came until now.
    leads_in: bool,
    /// They are to hear it so again.
    leads_out: bool,
    /// Finds keys among what is said, and what it has found in the last packet.
    detector: Option<Box<ToneDetector>>,
    tones: Signals,
    next: Option<Expected>,
    /// Counts the starts, so that a mouth sees each.
    runs: u32,
    /// Whether the last that it was given was comfort noise.
    is_quiet: bool,
    /// Samples that noise was removed from.
    #[cfg(test)]
    pub(crate) cleaned: usize,
}

/// What decides how an ear is built; another one needs another ear.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MadeFor {
    /// The stream's payloads.
    pub(crate) payloads: Vec<Payload>,
    /// Rate that its hearers use at most, hertz.
    pub(crate) rate: u32,
    /// Whether, and how, noise can be removed.
    pub(crate) noise: Option<DenoiseSettings>,
    /// Whether tones are keys.
    pub(crate) in_band: bool,
}

/// One codec of the peer.
struct Line {
    /// Payload type it sends.
    receive: u8,
    format: Format,
    decoder: Decoder,
    resampler: Option<Resampler>,
    /// Where noise is removed.
    repair: Option<Repair>,
}

/// What is missing right before a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Missing {
    packets: u64,
    /// At the rate of its line.
    samples: usize,
}

/// What stands for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stand {
    Nothing,
    /// What the packet repeats of it.
    Repeated,
    /// What may have been said.
    MadeUp,
}

/// The packet after the last one.
#[derive(Clone, Copy, Debug)]
struct Expected {
    run: u32,
    extended: u64,
    timestamp: u32,
    clock_rate: u32,
}

/// One packet's place in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    /// The run of the peer's numbers, see [`crate::reception::Arrival`].
    pub(crate) run: u32,
    /// Extended sequence number.
    pub(crate) extended: u64,
    /// RTP timestamp.
    pub(crate) timestamp: u32,
}

impl Position {
    /// That of the packet before, which was so many units long.
    fn earlier(self, units: i64) -> Self {
        let timestamp = self.timestamp.wrapping_sub(units as u32);
        Self { extended: self.extended - 1, timestamp, ..self }
    }
}

impl Expected {
    /// What is missing before a packet of the same stream in the same clock.
    fn missing_before(&self, position: Position, format: &Format) -> Option<Missing> {
        let step = position.timestamp.wrapping_sub(self.timestamp) as i32;
        let goes_on = self.run == position.run && self.clock_rate == format.clock_rate;
        let packets = position.extended.checked_sub(self.extended)?;
        let samples = usize::try_from(format.samples(i64::from(step))).ok()?;
        (goes_on && packets > 0 && samples > 0).then_some(Missing { packets, samples })
    }
}

/// What is between two packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gap {
    /// Nothing: they follow each other.
    None,
    /// This many packets are lost, over this time in samples.
    Lost { packets: u64, samples: u64 },
    /// The peer was silent, over this time in samples.
    Pause { samples: u64 },
    /// Nothing connects them.
    Start,
}

/// A packet's sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    /// What was before it.
    pub(crate) gap: Gap,
    /// How many starts there have been.
    pub(crate) run: u32,
    /// Samples written.
    pub(crate) len: usize,
    /// How many of them, at the front, stand for packets that were lost before this one.
    pub(crate) front: usize,
    /// Their rate, hertz.
    pub(crate) rate: u32,
}

impl Heard {
    /// What was said, as far as anybody knows: without what is made up.
    pub(crate) fn said(&self) -> Range<usize> {
        if self.is_repeated() { 0..self.len } else { self.front..self.len }
    }

    /// Whether the front is what the packet repeats of the one before it.
    pub(crate) fn is_repeated(&self) -> bool {
        self.front > 0 && self.gap == Gap::None
    }
}

impl Ear {
    /// An ear for these payloads; `None` when none of them can be decoded. Allocates, as nothing
    /// after it and the first packet does.
    pub(crate) fn new(made_for: MadeFor) -> Option<Self> {
        let formats = made_for.payloads.iter().filter_map(|payload| {
            let format = Format::of(payload).ok()?.for_rate(made_for.rate);
            Some((payload.receive, format))
        });
        let formats: Vec<_> = formats.take(LINES_MAX).collect();
        let rate = formats.iter().map(|(_, format)| format.sample_rate).max()?;
        let line = |(receive, format): (u8, Format)| {
            let resampler = match format.sample_rate == rate {
                true => None,
                false => Some(Resampler::new(format.sample_rate, rate)?),
            };
            let decoder = Decoder::new(&format).ok()?;
            let repair = made_for.noise.is_some().then(|| Repair::new(&format));
            Some(Line { receive, format, decoder, resampler, repair })
        };
        let lines: Vec<_> = formats.into_iter().filter_map(line).collect();
        if lines.is_empty() {
            return None;
        }
        let made_for = MadeFor { rate, ..made_for };
        let removes_noise = made_for.noise.is_some();
        let in_band = Some(rate).filter(|_| made_for.in_band);
        let detector = in_band.and_then(ToneDetector::new).map(Box::new);
        let tones = Signals::default();
        Some(Self {
            made_for,
            lines,
            denoiser: None,
            removes_noise,
            leads_in: false,
            leads_out: false,
            detector,
            tones,
            next: None,
            runs: 0,
            is_quiet: false,
            #[cfg(test)]
            cleaned: 0,
        })
    }

    /// Goes on where another ear of the same stream was, as far as both do the same. What its
    /// hearers got past that one goes over into what is late by noise removal (N3).
    pub(crate) fn take_over(&mut self, old: Self) {
        let (removed, same_rate) = (old.is_processing(), old.rate() == self.rate());
        (self.next, self.runs, self.is_quiet) = (old.next, old.runs, old.is_quiet);
        for before in old.lines {
            let is_same =
                |line: &&mut Line| line.receive == before.receive && line.format == before.format;
            if let Some(line) = self.lines.iter_mut().find(is_same).filter(|_| same_rate) {
                line.decoder = before.decoder;
                line.resampler = before.resampler;
                line.repair = line.repair.take().map(|new| before.repair.unwrap_or(new));
            }
        }
        if same_rate && self.detector.is_some() && old.detector.is_some() {
            (self.detector, self.tones) = (old.detector, old.tones);
        }
        match old.denoiser.filter(|_| same_rate && self.is_processing()) {
            Some(mut denoiser) => {
                if old.leads_out {
                    denoiser.lead_in();
                }
                self.denoiser = Some(denoiser);
            }
            None => self.leads_in = !removed || !same_rate,
        }
        #[cfg(test)]
        {
            self.cleaned = old.cleaned;
        }
    }

    /// Its hearers have got what came as it was until now.
    pub(crate) fn lead_in(&mut self) {
        self.leads_in = true;
    }

    /// Noise is to be removed no more: whether the end of what is late is still to be heard, and the
    /// ear to be kept for it (N3).
    pub(crate) fn lead_out(&mut self, wanted: &MadeFor) -> bool {
        let has_begun = self.is_processing() && self.denoiser.is_some();
        let ends = has_begun && wanted.noise.is_none() && wanted.payloads == self.made_for.payloads;
        if ends && !self.leads_out {
            self.leads_out = true;
            self.denoiser.iter_mut().for_each(Denoiser::lead_out);
        }
        ends && !self.has_led_out()
    }

    /// Whether its hearers hear what comes as it is.
    pub(crate) fn has_led_out(&self) -> bool {
        self.leads_out && self.denoiser.as_ref().is_some_and(Denoiser::has_led_out)
    }

    /// Whether this ear is what [`Self::new`] would make of it, or becomes it by
    /// [`Self::set_noise_removal`].
    pub(crate) fn is_for(&self, wanted: &MadeFor) -> bool {
        let MadeFor { payloads, rate: _, noise, in_band } = wanted;
        *payloads == self.made_for.payloads
            && noise.is_some() == self.made_for.noise.is_some()
            && !self.leads_out
            && *in_band == self.made_for.in_band
            && self.lines.iter().all(|line| {
                let rate = line.format.for_rate(wanted.rate).sample_rate;
                // Another rate would begin without what is known of the noise.
                rate == line.format.sample_rate
                    || (self.is_processing() && rate < line.format.sample_rate)
            })
    }

    /// Rate of its samples, hertz.
    pub(crate) fn rate(&self) -> u32 {
        self.made_for.rate
    }

    /// Switches noise removal, and how much is removed (N3).
    pub(crate) fn set_noise_removal(&mut self, noise: NoiseRemoval) {
        self.removes_noise = noise.enabled;
        self.made_for.noise = self.made_for.noise.map(|_| noise.settings);
        if let Some(denoiser) = &mut self.denoiser {
            denoiser.set_enabled(noise.enabled);
            denoiser.set_settings(noise.settings);
        }
    }

    /// Whether what it hears differs from what came, and must not be relayed past it.
    pub(crate) fn is_processing(&self) -> bool {
        self.made_for.noise.is_some() && RATES_HZ.contains(&self.made_for.rate)
    }

    /// How much older than its packet what is heard may be: noise removal holds it back, and decoders
    /// and resamplers reach back.
    pub(crate) fn age(&self) -> Duration {
        let held = self.denoiser.as_ref().map_or(0, Denoiser::delay_samples) as u64;
        let is_plain = |line: &Line| {
            line.resampler.is_none()
                && matches!(line.format.codec, Codec::Pcmu | Codec::Pcma | Codec::L16)
        };
        let reach = if self.lines.iter().all(is_plain) { Duration::ZERO } else { REACH };
        Duration::from_micros(held * 1_000_000 / u64::from(self.rate())) + reach
    }

    /// By how much the removal of noise makes what it hears late, milliseconds.
    pub(crate) fn delay_ms(&self) -> f64 {
        let late = self.denoiser.as_ref().map_or(0, Denoiser::delay_samples);
        late as f64 * 1000.0 / f64::from(self.rate())
    }

    /// Whether packets of this type can be heard.
    pub(crate) fn knows(&self, payload_type: u8) -> bool {
        self.lines.iter().any(|line| line.receive == payload_type)
    }

    /// Hears a packet that is later than all before. `None`: there is nothing in it to be heard.
    pub(crate) fn hear(
        &mut self,
        payload_type: u8,
        position: Position,
        payload: &[u8],
        out: &mut [i16; SAMPLES_MAX],
    ) -> Option<Heard> {
        let rate = self.rate();
        let line = self.lines.iter_mut().find(|line| line.receive == payload_type)?;
        if payload.is_empty() || line.decoder.is_pause(payload) {
            self.pass(position);
            return None;
        }
        let format = line.format;
        let mut own = [0; SAMPLES_MAX];
        let room = if line.resampler.is_some() { &mut own } else { &mut *out };
        let missing = self.next.and_then(|next| next.missing_before(position, &format));
        let Some((lost, samples, stand)) = line.decode(payload, missing, room) else {
            self.pass(position);
            return None;
        };
        let len = match &mut line.resampler {
            Some(resampler) => resampler.process(&own[..lost + samples], out),
            None => lost + samples,
        };
        let front = (lost * rate as usize / format.sample_rate as usize).min(len);
        let gap = match stand {
            Stand::Repeated => {
                let before = position.earlier(format.units(lost as i64));
                let gap = self.place(before, &format, lost + samples);
                // What was repeated had a number of its own.
                self.pass(position);
                gap
            }
            Stand::MadeUp | Stand::Nothing => self.place(position, &format, samples),
        };
        if let Some(detector) = &mut self.detector {
            let tones = &mut self.tones;
            detector.hear(&out[..len], |signal| tones.push(signal));
        }
        #[cfg(test)]
        self.count(len);
        let was_quiet = std::mem::take(&mut self.is_quiet);
        if let Some(denoiser) = self.denoiser() {
            if gap != Gap::None && front == 0 && !was_quiet {
                // The end of what was said before is not the beginning of this.
                denoiser.process_silence(&mut [0; FLUSH_MAX][..rate as usize / 50]);
            }
            denoiser.process(&mut out[..len]);
        }
        Some(Heard { gap, run: self.runs, len, front, rate })
    }

    /// The keys found in the last packet; `None` when tones are none.
    pub(crate) fn take_tones(&mut self) -> Option<Signals> {
        self.detector.as_ref()?;
        Some(std::mem::take(&mut self.tones))
    }

    /// Whether tones are keys.
    pub(crate) fn hears_tones(&self) -> bool {
        self.detector.is_some()
    }

    /// The stream broke off: a key that was down is up.
    pub(crate) fn forget_tones(&mut self) {
        if let Some(detector) = &mut self.detector {
            detector.reset();
        }
    }

    #[cfg(test)]
    fn count(&mut self, samples: usize) {
        self.cleaned += if self.made_for.noise.is_some() { samples } else { 0 };
    }

    fn denoiser(&mut self) -> Option<&mut Denoiser> {
        if self.denoiser.is_none() {
            self.denoiser = Denoiser::new(self.made_for.rate, self.made_for.noise?);
            if let Some(new) = &mut self.denoiser {
                new.set_enabled(self.removes_noise);
                match self.leads_in {
                    true => new.lead_in(),
                    false => new.begin_softly(),
                }
            }
        }
        self.denoiser.as_mut()
    }

    /// Comfort noise of the peer as samples: made as late and as low as noise removal makes noise (N4).
    pub(crate) fn lower(&mut self, pcm: &mut [i16]) {
        self.is_quiet = true;
        if let Some(denoiser) = self.denoiser() {
            denoiser.process_silence(pcm);
        }
    }

    /// Time passes in which nothing comes, in units of a clock.
    pub(crate) fn wait(&mut self, units: u64, clock_rate: u32) {
        if let Some(next) = self.next.as_mut().filter(|next| next.clock_rate == clock_rate) {
            next.timestamp = next.timestamp.wrapping_add(units as u32);
            self.is_quiet = true;
        }
    }

    /// How many starts there have been.
    pub(crate) fn run(&self) -> u32 {
        self.runs
    }

    /// Takes note of a packet that is not heard, so that it does not count as lost.
    pub(crate) fn pass(&mut self, position: Position) {
        if let Some(next) = self.next.as_mut().filter(|next| next.run == position.run) {
            next.extended = next.extended.max(position.extended + 1);
        }
    }

    /// How much later than the packet expected next a timestamp is, in units of its clock.
    pub(crate) fn ahead(&self, timestamp: u32) -> Option<i32> {
        self.next.map(|next| timestamp.wrapping_sub(next.timestamp) as i32)
    }

    fn place(&mut self, position: Position, format: &Format, samples: usize) -> Gap {
        let Position { run, extended, timestamp } = position;
        let units = format.units(samples as i64) as u32;
        let gap = self.gap(position, format);
        if gap == Gap::Start {
            self.runs = self.runs.wrapping_add(1);
        }
        self.next = Some(Expected {
            run,
            extended: extended + 1,
            timestamp: timestamp.wrapping_add(units),
            clock_rate: format.clock_rate,
        });
        gap
    }

    fn gap(&self, position: Position, format: &Format) -> Gap {
        let Some(next) = self.next else { return Gap::Start };
        let step = position.timestamp.wrapping_sub(next.timestamp) as i32;
        let goes_on = next.run == position.run && next.clock_rate == format.clock_rate;
        let packets = position.extended.saturating_sub(next.extended);
        // Noise was made a little longer than the pause was.
        if self.is_quiet && goes_on && (-(next.clock_rate as i32)..=0).contains(&step) {
            return Gap::None;
        }
        if !goes_on || step < 0 || step as u32 > STEP_MAX_S * format.clock_rate {
            return Gap::Start;
        }
        // In samples of the ear, which are those of the decoder or finer.
        let rate = u64::from(self.rate());
        let samples = u64::from(step.unsigned_abs()) * rate / u64::from(format.clock_rate);
        match (step, packets) {
            (0, 0) => Gap::None,
            (_, 0) => Gap::Pause { samples },
            (_, packets) => Gap::Lost { packets, samples },
        }
    }
}

impl Line {
    /// Decodes a packet to `room`, behind what stands for what is missing before it: the samples of
    /// both. `None`: it cannot be decoded, or is too long.
    fn decode(
        &mut self,
        payload: &[u8],
        missing: Option<Missing>,
        room: &mut [i16; SAMPLES_MAX],
    ) -> Option<(usize, usize, Stand)> {
        let own = self.decoder.samples(payload).ok()?;
        // Longer packets would not fit at a higher rate.
        let longest = self.format.samples_of_ms(PACKET_MS_MAX);
        let missing = missing.filter(|missing| missing.samples + own <= longest);
        let lost = missing.map_or(0, |missing| missing.samples);
        let is_one = missing == Some(Missing { packets: 1, samples: own });
        let is_repeated = is_one && self.decoder.has_redundancy(payload);
        let can = self.repair.as_ref().is_some_and(|repair| repair.can(lost));
        let lost = if is_repeated || can { lost } else { 0 };
        let (before, now) = room.split_at_mut(lost);
        let is_repeated = is_repeated && self.decoder.decode_fec(payload, before);
        let is_concealed = can && !is_repeated && self.decoder.conceal(before);
        let samples = self.decoder.decode(payload, now).ok()?;
        if lost + samples > longest {
            return None;
        }
        if lost > 0 && !is_repeated && !can {
            room.copy_within(lost..lost + samples, 0);
            return Some((0, samples, Stand::Nothing));
        }
        if let Some(repair) = &mut self.repair {
            if can && !is_repeated && !is_concealed {
                repair.bridge(&now[..samples], before);
            }
            repair.hear(&room[..lost + samples]);
        }
        let stand = match lost {
            0 => Stand::Nothing,
            _ if is_repeated => Stand::Repeated,
            _ => Stand::MadeUp,
        };
        Some((lost, samples, stand))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Encoder, OpusFormat, OpusSettings};
    use crate::command::Codec;
    use crate::speech::{rms, speech};

    const fn payload(codec: Codec, number: u8, clock_rate: u32) -> Payload {
        Payload { codec, key: number, send: number, receive: number, clock_rate }
    }

    const PCMU: Payload = payload(Codec::Pcmu, 0, 8000);
    const G722: Payload = payload(Codec::G722, 9, 8000);
    const OPUS: Payload = payload(Codec::Opus, 111, 48_000);

    fn ear(payloads: &[Payload], rate: u32) -> Ear {
        Ear::new(MadeFor { payloads: payloads.to_vec(), rate, noise: None, in_band: false })
            .unwrap()
    }

    fn at(extended: u64, timestamp: u32) -> Position {
        Position { run: 1, extended, timestamp }
    }

    fn hear(ear: &mut Ear, position: Position) -> Gap {
        let mut out = [0; SAMPLES_MAX];
        ear.hear(0, position, &[0x55; 160], &mut out).unwrap().gap
    }

    #[test]
    fn what_is_between_packets_is_told() {
        let mut ear = ear(&[PCMU], 8000);
        assert_eq!(hear(&mut ear, at(10, u32::MAX - 100)), Gap::Start);
        assert_eq!(hear(&mut ear, at(11, 59)), Gap::None);
        assert_eq!(hear(&mut ear, at(14, 539)), Gap::Lost { packets: 2, samples: 320 });
        assert_eq!(hear(&mut ear, at(15, 8699)), Gap::Pause { samples: 8000 });
        assert_eq!(hear(&mut ear, at(16, 100)), Gap::Start, "it jumps back");
        let restarted = Position { run: 2, ..at(17, 260) };
        assert_eq!(hear(&mut ear, restarted), Gap::Start);
    }

    #[test]
    fn opus_is_decoded_at_the_rate_its_hearers_use() {
        let narrow = ear(&[OPUS], 8000);
        assert_eq!(narrow.rate(), 8000);
        assert!(narrow.is_for(&MadeFor {
            payloads: vec![OPUS],
            rate: 8000,
            noise: None,
            in_band: false
        }));
        assert!(!narrow.is_for(&MadeFor {
            payloads: vec![OPUS],
            rate: 16_000,
            noise: None,
            in_band: false
        }));
        assert_eq!(ear(&[PCMU, OPUS], 16_000).rate(), 16_000);
        assert_eq!(ear(&[PCMU], 48_000).rate(), 8000, "there is no more in it");
    }

    #[test]
    fn all_codecs_of_a_peer_come_out_at_one_rate() {
        let mut ear = ear(&[PCMU, G722, OPUS], 16_000);
        let mut out = [0; SAMPLES_MAX];
        let opus = Format::of(&OPUS).unwrap().for_rate(16_000);
        let mut packet = [0; 400];
        let len = Encoder::new(&opus, OpusSettings::default())
            .and_then(|mut encoder| encoder.encode(&[500; 320], &mut packet))
            .unwrap();
        for (number, payload) in [(0, &[0; 160][..]), (9, &[0; 160]), (111, &packet[..len])] {
            let heard = ear.hear(number, at(1, 0), payload, &mut out).unwrap();
            assert_eq!((heard.len, heard.rate), (320, 16_000), "{number}");
        }
    }

    /// Packets of 20 ms at 16 kHz, for a receiver that makes use of redundancy.
    fn opus_packets(pcm: &[i16]) -> Vec<Vec<u8>> {
        let opus = Format::of(&OPUS).unwrap().for_rate(16_000);
        let format = Format { opus: OpusFormat::OURS, ..opus };
        let settings = OpusSettings { expected_loss_percent: 20, ..OpusSettings::default() };
        let mut encoder = Encoder::new(&format, settings).unwrap();
        let mut encode = |frame: &[i16]| {
            let mut packet = [0; 400];
            let len = encoder.encode(frame, &mut packet).unwrap();
            packet[..len].to_vec()
        };
        pcm.chunks_exact(320).map(&mut encode).collect()
    }

    #[test]
    fn what_opus_lost_comes_with_the_next_packet_as_loud_as_it_was() {
        let packets = opus_packets(&speech(16_000, 320 * 200));
        let (mut whole, mut with_losses) = (ear(&[OPUS], 16_000), ear(&[OPUS], 16_000));
        let mut conceals = Decoder::new(&Format::of(&OPUS).unwrap().for_rate(16_000)).unwrap();
        let (mut powers, mut errors, mut repeated) = ([0.0; 2], [0.0; 2], 0);
        let mut right = [0; 320];
        for (n, packet) in packets.iter().enumerate() {
            let mut out = [0; SAMPLES_MAX];
            let place = at(n as u64, n as u32 * 960);
            let former = right;
            whole.hear(111, place, packet, &mut out).unwrap();
            right.copy_from_slice(&out[..320]);
            // One of ten is lost, and once two in a row.
            if n % 10 == 5 || n == 56 {
                continue;
            }
            let mut guess = [0; 320];
            if n % 10 == 6 {
                assert!(conceals.conceal(&mut guess));
            }
            conceals.decode(packet, &mut [0; SAMPLES_MAX]).unwrap();
            let heard = with_losses.hear(111, place, packet, &mut out).unwrap();
            // At the end of a syllable nothing is worth repeating.
            let is_repeated = conceals.has_redundancy(packet);
            let expected = match n {
                0 => (Gap::Start, 320),
                57 => (Gap::Lost { packets: 2, samples: 640 }, 320),
                n if n % 10 == 6 && is_repeated => (Gap::None, 640),
                n if n % 10 == 6 => (Gap::Lost { packets: 1, samples: 320 }, 320),
                _ => (Gap::None, 320),
            };
            assert_eq!((heard.gap, heard.len), expected, "{n}");
            if heard.len == 640 {
                repeated += 1;
                let wrong = |guess: &[i16]| {
                    former.iter().zip(guess).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>()
                };
                powers[0] += rms(&former).powi(2);
                powers[1] += rms(&out[..320]).powi(2);
                errors[0] += wrong(&out[..320]);
                errors[1] += wrong(&guess);
            }
        }
        let level = 10.0 * (powers[1] / powers[0]).log10();
        assert!(repeated > 12, "{repeated} of 19");
        assert!(level.abs() < 1.5, "{level} dB");
        assert!(errors[0] < 0.3 * errors[1], "{errors:?}");
    }

    #[test]
    fn where_opus_repeats_nothing_the_loss_is_told() {
        // Nobody speaks: there is nothing that the encoder finds worth repeating.
        let packets = opus_packets(&[0; 320 * 20]);
        let mut ear = ear(&[OPUS], 16_000);
        let mut out = [0; SAMPLES_MAX];
        for (n, packet) in packets.iter().enumerate().filter(|(n, _)| *n != 15) {
            let heard = ear.hear(111, at(n as u64, n as u32 * 960), packet, &mut out).unwrap();
            let expected = match n {
                0 => Gap::Start,
                16 => Gap::Lost { packets: 1, samples: 320 },
                _ => Gap::None,
            };
            assert_eq!((heard.gap, heard.len), (expected, 320), "{n}");
        }
    }

    #[test]
    fn where_noise_is_removed_nothing_jumps_in_the_packet_after_a_loss() {
        const L16: Payload = payload(Codec::L16, 97, 8000);
        for lost in [1..2, 1..4, 1..6] {
            let noise = Some(DenoiseSettings::default());
            let made_for = MadeFor { payloads: vec![L16], rate: 8000, noise, in_band: false };
            let mut ear = Ear::new(made_for).unwrap();
            ear.set_noise_removal(NoiseRemoval {
                enabled: false,
                settings: DenoiseSettings::default(),
            });
            let sine = |n: usize| 8000.0 * (n as f64 * std::f64::consts::TAU / 20.0).sin();
            let mut heard = vec![];
            for n in 0..40 {
                let bytes: Vec<u8> = (160 * n..160 * (n + 1))
                    .flat_map(|at| (sine(at) as i16).to_be_bytes())
                    .collect();
                if lost.contains(&(n % 10)) {
                    continue;
                }
                let mut out = [0; SAMPLES_MAX];
                let place = at(n as u64, n as u32 * 160);
                let said = ear.hear(97, place, &bytes, &mut out).unwrap();
                let is_after = n % 10 == lost.end;
                let samples = 160 * lost.len();
                let is_made_up = is_after && lost.len() <= 3;
                assert_eq!(said.front, if is_made_up { samples } else { 0 }, "{n}");
                assert_eq!(said.said().len(), 160, "{n}");
                if is_after {
                    let packets = lost.len() as u64;
                    assert_eq!(said.gap, Gap::Lost { packets, samples: samples as u64 });
                }
                if n > 2 && (!is_after || is_made_up) {
                    heard.push(out[said.said()].to_vec());
                }
            }
            // What is left of a sine without it: a step or a corner in a packet is large.
            let factor = 2.0 * (std::f64::consts::TAU / 20.0).cos();
            for packet in heard {
                let left = packet
                    .windows(3)
                    .map(|w| (f64::from(w[2]) - factor * f64::from(w[1]) + f64::from(w[0])).abs());
                let worst = left.fold(0.0, f64::max);
                assert!(worst < 1500.0, "{lost:?}: {worst}");
            }
        }
    }

    #[test]
    fn what_is_no_sound_is_not_heard() {
        let mut ear = ear(&[PCMU, OPUS], 8000);
        let mut out = [0; SAMPLES_MAX];
        assert_eq!(ear.hear(0, at(1, 0), &[], &mut out), None, "empty");
        assert_eq!(ear.hear(0, at(1, 0), &[0; 1400], &mut out), None, "175 ms");
        assert_eq!(ear.hear(111, at(1, 0), &[8], &mut out), None, "a pause of Opus");
        assert_eq!(ear.hear(3, at(1, 0), &[8], &mut out), None, "GSM");
    }

    #[test]
    fn a_packet_that_is_no_audio_is_not_lost() {
        let mut ear = ear(&[PCMU], 8000);
        hear(&mut ear, at(1, 0));
        ear.pass(at(2, 160));
        ear.pass(at(3, 160));
        assert_eq!(hear(&mut ear, at(4, 480)), Gap::Pause { samples: 320 });
    }

    #[test]
    fn there_is_no_ear_for_what_can_only_be_relayed() {
        let payloads = vec![payload(Codec::Other, 18, 8000)];
        assert!(Ear::new(MadeFor { payloads, rate: 8000, noise: None, in_band: false }).is_none());
    }
}
