//! What is said to one listener: samples cut into packets of its own codec.
//!
//! ```text
//! samples ─▶ (resampler) ─▶ frames of 20 ms ─▶ encoder ─▶ payloads with numbers of their own
//! ```
//! The numbers are relative: [`crate::sender::Sender`] maps them to what the listener has seen
//! so far, as it maps those of a relayed source.

use crate::codec::{Effort, Encoder, Format, OpusFormat, OpusSettings};
use crate::command::{Codec, Payload};
use crate::ear::{Gap, Heard};
use crate::plc::Plc;
use crate::resampler::Resampler;
use crate::sound::{Ending, die_away, fade_in};

/// Longest payload made, bytes: with its headers it fits one Ethernet frame.
pub(crate) const PAYLOAD_MAX: usize = 1400;

/// Length of a frame, milliseconds, unless its payload would be too long.
const FRAME_MS: usize = 20;
const SHORT_FRAME_MS: usize = 10;
/// Samples of a frame at the highest rate.
const TICK_MAX: usize = 960;

/// The encoding half of a stream.
pub(crate) struct Mouth {
    payload: Payload,
    format: Format,
    encoder: Encoder,
    from_rate: u32,
    resampler: Option<Resampler>,
    /// Two frames: what is left of one packet, and a piece of the next.
    pcm: Box<[i16]>,
    filled: usize,
    /// The two frames before, for what would have come next.
    past: Box<[i16]>,
    /// Whether what comes next rises from nothing, and what dies away meanwhile.
    is_soft: bool,
    ending: Option<Box<Ending>>,
    /// Of the next packet.
    extended: u64,
    /// Of the first sample in `pcm`.
    timestamp: u32,
    /// Whether the next packet begins a talk spurt.
    marker: bool,
    /// The ear's run, and our own restarts.
    run: u32,
    heard_run: Option<u32>,
}

/// The numbers of a packet to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spoken {
    /// Changes when the numbers start anew.
    pub(crate) run: u32,
    /// Sequence number.
    pub(crate) extended: u64,
    /// Timestamp in units of the listener's clock.
    pub(crate) timestamp: u32,
    /// Start of a talk spurt.
    pub(crate) marker: bool,
}

/// The codec in which a listener is spoken to: its most preferred one of those we encode.
pub(crate) fn own_codec(payloads: &[Payload]) -> Option<(Payload, Format)> {
    payloads.iter().find_map(|payload| Some((*payload, Format::of(payload).ok()?)))
}

impl Mouth {
    /// A mouth for a listener with these payloads that wants Opus so, fed with samples at `from_rate` hertz. `None`
    /// when we encode none of them. Allocates, as nothing after it does.
    pub(crate) fn new(payloads: &[Payload], opus: OpusFormat, from_rate: u32) -> Option<Self> {
        let (payload, format) = own_codec(payloads)?;
        // RFC 7587 §6.1: what the listener cannot play is not coded.
        let format = Format { opus, ..format }.for_rate(from_rate.min(opus.max_playback_rate));
        let resampler = match from_rate == format.sample_rate {
            true => None,
            false => Some(Resampler::new(from_rate, format.sample_rate)?),
        };
        let encoder = Encoder::new(&format, OpusSettings::default()).ok()?;
        Some(Self {
            payload,
            encoder,
            from_rate,
            resampler,
            pcm: vec![0; 2 * frame_of(&format)].into(),
            filled: 0,
            past: vec![0; 2 * frame_of(&format)].into(),
            is_soft: false,
            ending: None,
            extended: 0,
            timestamp: 0,
            marker: true,
            run: 0,
            heard_run: None,
            format,
        })
    }

    /// Whether this mouth is what [`Self::new`] would make.
    pub(crate) fn is_for(&self, payloads: &[Payload], opus: OpusFormat, from_rate: u32) -> bool {
        let own = own_codec(payloads).map(|(payload, _)| payload);
        own == Some(self.payload) && opus == self.format.opus && from_rate == self.from_rate
    }

    /// Encodes with so much effort from now on.
    pub(crate) fn set_effort(&mut self, effort: Effort) {
        self.encoder.set_effort(effort);
    }

    /// Prepares for this much loss on the way to the listener, per cent.
    pub(crate) fn expect_loss(&mut self, percent: u8) {
        self.encoder.expect_loss(percent);
    }

    /// The loss it is prepared for, per cent.
    #[cfg(test)]
    pub(crate) fn expected_loss(&mut self) -> i32 {
        self.encoder.expected_loss()
    }

    /// The payload of its packets.
    pub(crate) fn payload(&self) -> &Payload {
        &self.payload
    }

    /// Rate of what it encodes, hertz.
    pub(crate) fn rate(&self) -> u32 {
        self.format.sample_rate
    }

    /// Length of a packet in units of the RTP clock.
    pub(crate) fn packet_units(&self) -> u32 {
        self.format.units(frame_of(&self.format) as i64) as u32
    }

    /// Whether it brings what it is told to another rate.
    pub(crate) fn resamples(&self) -> bool {
        self.resampler.is_some()
    }

    /// Whether the listener hears it.
    pub(crate) fn is_speaking(&self) -> bool {
        self.heard_run.is_some()
    }

    /// The listener hears something else from now on: what it said so far is not gone on with.
    pub(crate) fn leave(&mut self) {
        self.heard_run = None;
    }

    /// The same when what comes instead is at hand: 20 ms at [`Self::rate`], to which the end of
    /// what was said is added. Length of the packet; `None` when nothing was said or it does not fit.
    pub(crate) fn give_way(
        &mut self,
        pcm: &mut [i16],
        plc: &mut Plc,
        out: &mut [u8],
    ) -> Option<usize> {
        let ending = self.end(plc)?;
        die_away(ending.end(), pcm, self.rate());
        let frame = frame_of(&self.format);
        (pcm.len() == frame).then(|| self.encoder.encode(pcm, out).ok())?
    }

    /// The same, to be joined elsewhere; `None` when nothing was said.
    pub(crate) fn end(&mut self, plc: &mut Plc) -> Option<Ending> {
        self.heard_run.take()?;
        // What waits for the rest of its packet comes first.
        Some(Ending::new(&self.past, &self.pcm[..self.filled], self.rate(), plc))
    }

    /// What is said next rises from nothing, while something else dies away.
    pub(crate) fn begin_softly(&mut self, ending: Option<Box<Ending>>) {
        self.is_soft = true;
        self.ending = ending;
    }

    /// Says what an ear has heard; `send` gets each packet that is full.
    pub(crate) fn say(&mut self, heard: &Heard, pcm: &[i16], send: &mut impl FnMut(Spoken, &[u8])) {
        debug_assert_eq!(heard.rate, self.from_rate, "retuned when the rate changes");
        let joins = self.heard_run != Some(heard.run);
        self.heard_run = Some(heard.run);
        match heard.gap {
            Gap::None if !joins => {}
            Gap::Lost { packets, samples } if !joins => self.jump(packets, samples, send),
            Gap::Pause { samples } if !joins => {
                self.jump(0, samples, send);
                self.marker = true;
            }
            Gap::None | Gap::Lost { .. } | Gap::Pause { .. } | Gap::Start => self.restart(),
        }
        self.fill(pcm, send);
    }

    /// Numbers of a packet that is no audio (an event), whose timestamp is `ahead` units of a
    /// clock of `clock_rate` hertz after the audio said so far.
    pub(crate) fn aside(&mut self, ahead: i32, clock_rate: u32, marker: bool) -> Spoken {
        let filled = self.format.units(self.filled as i64);
        let ahead = i64::from(ahead) * i64::from(self.payload.clock_rate) / i64::from(clock_rate);
        let timestamp = self.timestamp.wrapping_add((filled + ahead) as u32);
        let extended = self.extended;
        self.extended += 1;
        Spoken { run: self.run, extended, timestamp, marker }
    }

    fn restart(&mut self) {
        self.run = self.run.wrapping_add(1);
        // What Opus foresees by what was said here before is a burst to who has heard something else.
        self.encoder.stand_alone(true);
        self.filled = 0;
        self.marker = true;
        if let Some(resampler) = &mut self.resampler {
            resampler.reset();
        }
    }

    /// Goes on later: what is left is said, and the time between is left out.
    fn jump(&mut self, packets: u64, samples: u64, send: &mut impl FnMut(Spoken, &[u8])) {
        let mut samples =
            (samples * u64::from(self.format.sample_rate) / u64::from(self.from_rate)) as usize;
        let frame = frame_of(&self.format);
        let rest = (frame - self.filled) % frame;
        if rest > 0 {
            let silence = rest.min(samples);
            self.pcm[self.filled..][..rest].fill(0);
            self.filled = frame;
            samples -= silence;
            self.flush(send);
        }
        // A lost packet of the source may have been more than one of ours.
        let frames = (samples / frame) as u64;
        self.extended += if packets == 0 { 0 } else { frames.clamp(1, 3 * packets) };
        let units = self.format.units(samples as i64) as u32;
        self.timestamp = self.timestamp.wrapping_add(units);
    }

    fn fill(&mut self, mut pcm: &[i16], send: &mut impl FnMut(Spoken, &[u8])) {
        let frame = frame_of(&self.format);
        // At most one frame at a time comes out of a piece.
        let piece = (frame * self.from_rate as usize / self.format.sample_rate as usize).max(1);
        while !pcm.is_empty() {
            let (now, later) = pcm.split_at(piece.min(pcm.len()));
            pcm = later;
            let room = &mut self.pcm[self.filled..];
            let made = match &mut self.resampler {
                Some(resampler) => resampler.process(now, room),
                None => {
                    room[..now.len()].copy_from_slice(now);
                    now.len()
                }
            };
            self.filled += made;
            self.flush(send);
        }
    }

    /// The first frame after something else: it rises from nothing while that dies away.
    fn join(&mut self, frame: usize) {
        let rate = self.format.sample_rate;
        let pcm = &mut self.pcm[..frame];
        fade_in(pcm, rate);
        let Some(ending) = self.ending.take() else { return };
        let ending = ending.at(rate);
        let (mut lead, mut scratch) = ([0; TICK_MAX], [0; PAYLOAD_MAX]);
        let codec = self.payload.codec;
        let lead = &mut lead[..frame];
        // An encoder that refuses has no part in it.
        if let Ok(end) = ending.go_on_in(&mut self.encoder, codec, lead, &mut scratch) {
            die_away(end, pcm, rate);
        }
    }

    fn flush(&mut self, send: &mut impl FnMut(Spoken, &[u8])) {
        let frame = frame_of(&self.format);
        while self.filled >= frame {
            if std::mem::take(&mut self.is_soft) {
                self.join(frame);
                self.encoder.stand_alone(true);
            }
            let mut payload = [0; PAYLOAD_MAX];
            let len = self.encoder.encode(&self.pcm[..frame], &mut payload).unwrap_or(0);
            self.encoder.stand_alone(false);
            self.past.copy_within(frame.., 0);
            self.past[frame..].copy_from_slice(&self.pcm[..frame]);
            self.pcm.copy_within(frame..self.filled, 0);
            self.filled -= frame;
            // Opus says so when a frame need not be sent.
            let is_silent = self.payload.codec == Codec::Opus && len <= 2;
            if len > 0 && !is_silent {
                let (extended, timestamp) = (self.extended, self.timestamp);
                let spoken = Spoken { run: self.run, extended, timestamp, marker: self.marker };
                self.extended += 1;
                send(spoken, &payload[..len]);
            }
            self.marker = is_silent;
            self.timestamp = self.timestamp.wrapping_add(self.format.units(frame as i64) as u32);
        }
    }
}

/// Samples of a frame.
fn frame_of(format: &Format) -> usize {
    let long = format.samples_of_ms(FRAME_MS);
    let bytes = if format.codec == Codec::L16 { 2 } else { 1 };
    if long * bytes > PAYLOAD_MAX { format.samples_of_ms(SHORT_FRAME_MS) } else { long }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn payload(codec: Codec, number: u8, clock_rate: u32) -> Payload {
        Payload { codec, key: number, send: number, receive: number, clock_rate }
    }

    const ANY: OpusFormat = OpusFormat::OURS;
    const PCMU: Payload = payload(Codec::Pcmu, 0, 8000);
    const OPUS: Payload = payload(Codec::Opus, 111, 48_000);
    const L16: Payload = payload(Codec::L16, 97, 48_000);
    const EVENTS: Payload = payload(Codec::TelephoneEvent, 101, 8000);

    /// What comes of pieces of this many samples.
    fn say(mouth: &mut Mouth, gap: Gap, samples: usize) -> Vec<(Spoken, usize)> {
        let mut said = Vec::new();
        let heard = Heard { gap, run: 1, len: samples, front: 0, rate: mouth.from_rate };
        mouth.say(&heard, &vec![1000; samples], &mut |spoken, payload| {
            said.push((spoken, payload.len()));
        });
        said
    }

    #[test]
    fn packets_have_twenty_milliseconds_whatever_comes() {
        for piece in [80, 160, 240, 320, 480, 960] {
            let mut mouth = Mouth::new(&[PCMU], ANY, 8000).unwrap();
            let mut said = say(&mut mouth, Gap::Start, piece);
            for _ in 1..4800 / piece {
                said.extend(say(&mut mouth, Gap::None, piece));
            }
            assert_eq!(said.len(), 30, "{piece}");
            for (n, (spoken, len)) in said.iter().enumerate() {
                assert_eq!((spoken.extended, spoken.timestamp), (n as u64, n as u32 * 160));
                assert_eq!((spoken.marker, *len), (n == 0, 160));
            }
        }
    }

    #[test]
    fn the_first_codec_we_encode_is_spoken() {
        let other = payload(Codec::Other, 18, 8000);
        let mouth = Mouth::new(&[EVENTS, other, PCMU, OPUS], ANY, 8000).unwrap();
        assert_eq!(mouth.payload(), &PCMU);
        assert!(mouth.is_for(&[other, PCMU], ANY, 8000) && !mouth.is_for(&[OPUS], ANY, 8000));
        assert!(Mouth::new(&[other, EVENTS], ANY, 8000).is_none());
    }

    #[test]
    fn a_clock_of_48_khz_counts_in_its_units() {
        let mut mouth = Mouth::new(&[OPUS], ANY, 8000).unwrap();
        let said: Vec<_> = [Gap::Start, Gap::None, Gap::None]
            .into_iter()
            .flat_map(|gap| say(&mut mouth, gap, 160))
            .map(|(spoken, _)| spoken.timestamp)
            .collect();
        assert_eq!(said, [0, 960, 1920]);
    }

    #[test]
    fn linear_at_48_khz_is_cut_to_fit_a_frame_of_ethernet() {
        let mut mouth = Mouth::new(&[L16], ANY, 48_000).unwrap();
        let said = say(&mut mouth, Gap::Start, 960);
        assert_eq!(said.iter().map(|(_, len)| *len).collect::<Vec<_>>(), [960, 960]);
    }

    #[test]
    fn loss_is_loss_to_the_listener_and_a_pause_a_pause() {
        let mut mouth = Mouth::new(&[PCMU], ANY, 8000).unwrap();
        say(&mut mouth, Gap::Start, 160);
        let (lost, _) = say(&mut mouth, Gap::Lost { packets: 2, samples: 320 }, 160)[0];
        assert_eq!((lost.extended, lost.timestamp, lost.marker), (3, 480, false));
        let (late, _) = say(&mut mouth, Gap::Pause { samples: 8000 }, 160)[0];
        assert_eq!((late.extended, late.timestamp, late.marker), (4, 8640, true));
    }

    #[test]
    fn what_is_left_before_a_gap_is_said() {
        let mut mouth = Mouth::new(&[PCMU], ANY, 8000).unwrap();
        assert_eq!(say(&mut mouth, Gap::Start, 80).len(), 0);
        let said = say(&mut mouth, Gap::Pause { samples: 800 }, 160);
        let stamps: Vec<_> = said.iter().map(|(spoken, _)| spoken.timestamp).collect();
        assert_eq!(stamps, [0, 880]);
    }

    #[test]
    fn what_was_said_dies_away_in_what_comes_instead() {
        const LINEAR: Payload = payload(Codec::L16, 97, 8000);
        let mut mouth = Mouth::new(&[LINEAR], ANY, 8000).unwrap();
        let mut plc = Plc::new(8000);
        let mut out = [0; PAYLOAD_MAX];
        assert_eq!(mouth.give_way(&mut [0; 160], &mut plc, &mut out), None, "nothing was said");
        // Half a packet more than three, of 500 Hz.
        let sine = |n| (8000.0 * (f64::from(n) * std::f64::consts::TAU / 16.0).sin()) as i16;
        let pcm: Vec<_> = (0..560).map(sine).collect();
        let heard = Heard { gap: Gap::Start, run: 1, len: 560, front: 0, rate: 8000 };
        mouth.say(&heard, &pcm, &mut |_, _| {});
        assert!(mouth.is_speaking());
        let mut end = [0; 160];
        assert_eq!(mouth.give_way(&mut end, &mut plc, &mut out), Some(320));
        assert!(!mouth.is_speaking());
        let steps = (480..).zip(&end).map(|(n, sample)| (sample - sine(n)).abs());
        assert!(steps.take(8).all(|step| step < 300), "it goes on as it was: {end:?}");
        assert!(end[72..].iter().all(|sample| sample.abs() < 400), "{end:?}");
        assert_eq!(end[80..], [0; 80]);
        // What is said later begins from nothing, when asked to.
        mouth.begin_softly(None);
        let mut first = None;
        mouth.say(&Heard { gap: Gap::None, ..heard }, &[8000; 160], &mut |spoken, payload| {
            first = Some((spoken, i16::from_be_bytes([payload[0], payload[1]])));
        });
        let (spoken, sample) = first.unwrap();
        assert!(spoken.marker && sample < 100, "{sample}");
    }

    #[test]
    fn an_event_has_the_time_at_which_it_began() {
        let mut mouth = Mouth::new(&[OPUS], ANY, 8000).unwrap();
        say(&mut mouth, Gap::Start, 160);
        let event = mouth.aside(80, 8000, true);
        assert_eq!((event.extended, event.timestamp), (1, 960 + 480));
        let again = mouth.aside(80, 8000, false);
        assert_eq!((again.extended, again.timestamp), (2, 960 + 480));
    }
}
