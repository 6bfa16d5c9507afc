//! What we send to a peer: one RTP session whose numbers go on, whatever is heard (INTEROP 6).

use std::time::Duration;

use base::Time;

use crate::rtp::Header;

/// An outgoing RTP stream: one SSRC, sequence +1, timestamps that never go back.
#[derive(Clone, Debug)]
pub struct Sender {
    ssrc: u32,
    /// Sequence number after the latest one sent.
    next_sequence: u16,
    /// First timestamp that does not overlap what has been sent.
    next_timestamp: u32,
    anchor: Option<Anchor>,
    feed: Option<Feed>,
    latest: Option<Latest>,
    packets: u64,
    bytes: u64,
}

/// Where real time and timestamps met, so that pauses have their length in timestamps.
#[derive(Clone, Copy, Debug)]
struct Anchor {
    at: Time,
    timestamp: u32,
    clock_rate: u32,
}

#[derive(Clone, Copy, Debug)]
struct Latest {
    at: Time,
    timestamp: u32,
    clock_rate: u32,
}

/// How the numbers of one source map to ours.
#[derive(Clone, Copy, Debug)]
struct Feed {
    origin: Origin,
    first_extended: u64,
    first_sequence: u16,
    /// Packets before this one can no longer be passed on.
    floor: u64,
    /// Added to a timestamp of the source.
    timestamp_offset: u32,
    clock_rate: u32,
    latest_audio: u32,
    /// Sequence number of the packet with that timestamp, extended.
    latest_extended: u64,
    latest_at: Time,
    /// How long its packets last, units of the clock.
    frame: u32,
}

/// Where a packet comes from: another origin is another source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Number of the source.
    pub source: usize,
    /// The run of its sender, see [`crate::reception::Arrival`].
    pub run: u32,
}

impl Origin {
    /// Our music.
    pub const MUSIC: Self = Self { source: usize::MAX, run: 0 };
    /// Our silence.
    pub const SILENCE: Self = Self { source: usize::MAX, run: 1 };
    /// Keys that we press, as named events.
    pub const KEYS: Self = Self { source: usize::MAX, run: 2 };
    /// The same as tones.
    pub const TONES: Self = Self { source: usize::MAX, run: 3 };
    /// A call progress tone.
    pub const TONE: Self = Self { source: usize::MAX, run: 4 };
    /// A sound that is played once.
    pub const ANNOUNCEMENT: Self = Self { source: usize::MAX, run: 6 };
    /// Comfort noise that we make between packets that we pass on.
    pub const NOISE: Self = Self { source: usize::MAX, run: 7 };
    /// What several say, mixed.
    pub const MIX: Self = Self { source: usize::MAX, run: 5 };
}

/// A packet to pass on.
#[derive(Clone, Copy, Debug)]
pub struct Relayed {
    /// Its source.
    pub origin: Origin,
    /// Its sequence number, extended.
    pub extended: u64,
    /// Whether it is the latest of its source so far.
    pub in_order: bool,
    /// Its header.
    pub header: Header,
    /// Payload type to send it with.
    pub payload_type: u8,
    /// Clock of its timestamp, hertz.
    pub clock_rate: u32,
    /// Whether the timestamp is that of audio: events repeat the one of their start.
    pub is_audio: bool,
    /// Bytes of payload.
    pub payload_len: usize,
}

/// A step of the source's timestamps that exceeds its arrival by this much is a new start, not a
/// pause.
const STEP_MAX: Duration = Duration::from_secs(5);
/// What a packet of unknown duration is taken to last.
const FRAME: Duration = Duration::from_millis(20);
/// The shortest and the longest packets there are.
const FRAME_MIN: Duration = Duration::from_millis(1);
const FRAME_MAX: Duration = Duration::from_millis(120);
/// How far our own packets may be ahead of real time: less than a tick, which may be late itself.
const AHEAD_MIN: Duration = Duration::from_millis(15);
/// How far our own packets may lag behind real time before they jump to it.
const LAG_MAX: Duration = Duration::from_millis(60);

impl Sender {
    /// A sender that has not sent anything.
    pub fn new(ssrc: u32, sequence: u16, timestamp: u32) -> Self {
        Self {
            ssrc,
            next_sequence: sequence,
            next_timestamp: timestamp,
            anchor: None,
            feed: None,
            latest: None,
            packets: 0,
            bytes: 0,
        }
    }

    /// Its SSRC.
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Packets sent.
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// Payload bytes sent.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What is heard changes: the next packet starts a new talk spurt.
    pub fn cut(&mut self) {
        self.feed = None;
    }

    /// Whether what was sent last came of this source, as it is.
    pub fn follows(&self, source: usize) -> bool {
        self.feed.is_some_and(|feed| feed.origin.source == source)
    }

    /// How long ago the last packet was sent; `None` when there was none.
    pub fn since_latest(&self, now: Time) -> Option<Duration> {
        Some(now - self.latest?.at)
    }

    /// A packet of our own need not be sent: its time passes all the same, and the next one begins a
    /// talk spurt.
    pub fn pause(&mut self, units: u32) {
        self.next_timestamp = self.next_timestamp.wrapping_add(units);
        self.feed = None;
    }

    /// A packet of the source is left out on purpose: the listener must not take it for lost.
    pub fn skip(&mut self, origin: Origin, extended: u64, in_order: bool) {
        let feed = self.feed.as_mut().filter(|feed| feed.origin == origin && in_order);
        if let Some(feed) = feed {
            feed.first_extended += 1;
            feed.floor = extended + 1;
        }
    }

    /// The RTP timestamp of `now` on the wire, for a sender report (RFC 3550 §6.4.1).
    pub fn timestamp_at(&self, now: Time) -> u32 {
        let Some(latest) = self.latest else { return self.next_timestamp };
        latest.timestamp.wrapping_add(samples(now - latest.at, latest.clock_rate))
    }

    /// The header to pass a packet on with; `None` when it is too late to be passed on.
    pub fn relay(&mut self, now: Time, packet: &Relayed) -> Option<Header> {
        let feed =
            self.feed.filter(|feed| feed.origin == packet.origin && feed.goes_on(now, packet));
        let Some(mut feed) = feed else { return self.switch(now, packet) };
        if packet.extended < feed.floor {
            return None; // overtaken: its number belongs to something else by now
        }
        let ahead = packet.extended.checked_sub(feed.first_extended)?;
        let header = Header {
            marker: packet.header.marker,
            payload_type: packet.payload_type,
            sequence: feed.first_sequence.wrapping_add(ahead as u16),
            timestamp: packet.header.timestamp.wrapping_add(feed.timestamp_offset),
            ssrc: self.ssrc,
        };
        if packet.in_order {
            self.next_sequence = header.sequence.wrapping_add(1);
            if packet.is_audio {
                feed.measure(packet);
                feed.latest_audio = packet.header.timestamp;
                feed.latest_extended = packet.extended;
                feed.latest_at = now;
                self.feed = Some(feed);
            }
        }
        let frame = if packet.is_audio { feed.frame } else { samples(FRAME, packet.clock_rate) };
        self.sent(now, &header, (packet.clock_rate, frame), packet.payload_len);
        Some(header)
    }

    /// The header of a packet of our own, 20 ms long.
    pub fn own(
        &mut self,
        now: Time,
        payload_type: u8,
        clock_rate: u32,
        payload_len: usize,
        origin: Origin,
    ) -> Header {
        let frame = samples(FRAME, clock_rate);
        self.own_lasting(now, (payload_type, clock_rate), payload_len, origin, frame)
    }

    /// The same of a packet that lasts so many units of the clock. It follows what was sent before
    /// without a step of the timestamps, whatever that was, unless real time is far ahead.
    pub fn own_lasting(
        &mut self,
        now: Time,
        (payload_type, clock_rate): (u8, u32),
        payload_len: usize,
        origin: Origin,
        units: u32,
    ) -> Header {
        let going_on = self.feed.is_some_and(|feed| feed.origin == origin);
        let ideal = self.ideal(now, clock_rate);
        let lag = ideal.wrapping_sub(self.next_timestamp) as i32;
        let keep_pace = self.latest.is_some() && lag < samples(LAG_MAX, clock_rate) as i32;
        let header = Header {
            marker: !going_on,
            payload_type,
            sequence: self.next_sequence,
            timestamp: if keep_pace { self.next_timestamp } else { self.start(ideal) },
            ssrc: self.ssrc,
        };
        self.feed = Some(Feed {
            origin,
            first_extended: 0,
            first_sequence: header.sequence,
            floor: 0,
            timestamp_offset: 0,
            clock_rate,
            latest_audio: header.timestamp,
            latest_extended: 0,
            latest_at: now,
            frame: units,
        });
        self.next_sequence = header.sequence.wrapping_add(1);
        self.sent(now, &header, (clock_rate, units), payload_len);
        header
    }

    /// Whether a packet of our own would come before its time: those of the source before it came
    /// earlier in each other's wake than ticks do. Waiting a tick costs nothing, and without it each
    /// change to and fro would make the listener's delay longer. More is the drift of clocks.
    pub fn is_ahead(&mut self, now: Time, clock_rate: u32) -> bool {
        let ahead = self.next_timestamp.wrapping_sub(self.ideal(now, clock_rate)) as i32;
        let bounds = samples(AHEAD_MIN, clock_rate) as i32..samples(LAG_MAX, clock_rate) as i32;
        bounds.contains(&ahead)
    }

    /// First packet of another source: the next number, and a timestamp as much later as time has
    /// passed.
    fn switch(&mut self, now: Time, packet: &Relayed) -> Option<Header> {
        // A late one would take a number that later ones need.
        if !packet.in_order {
            return None;
        }
        let ideal = self.ideal(now, packet.clock_rate);
        let header = Header {
            // RFC 3551 §4.1: the marker tells the jitter buffer that it may adjust its delay.
            marker: packet.is_audio || packet.header.marker,
            payload_type: packet.payload_type,
            sequence: self.next_sequence,
            timestamp: self.start(ideal),
            ssrc: self.ssrc,
        };
        let frame = samples(FRAME, packet.clock_rate);
        self.feed = Some(Feed {
            origin: packet.origin,
            first_extended: packet.extended,
            first_sequence: header.sequence,
            floor: packet.extended,
            timestamp_offset: header.timestamp.wrapping_sub(packet.header.timestamp),
            clock_rate: packet.clock_rate,
            latest_audio: packet.header.timestamp,
            latest_extended: packet.extended,
            latest_at: now,
            frame,
        });
        self.next_sequence = header.sequence.wrapping_add(1);
        self.sent(now, &header, (packet.clock_rate, frame), packet.payload_len);
        Some(header)
    }

    /// `ideal`, unless that would go back.
    fn start(&self, ideal: u32) -> u32 {
        let back = (ideal.wrapping_sub(self.next_timestamp) as i32) < 0;
        if back { self.next_timestamp } else { ideal }
    }

    /// The timestamp real time asks for.
    fn ideal(&mut self, now: Time, clock_rate: u32) -> u32 {
        let anchor = match self.anchor {
            Some(anchor) if anchor.clock_rate == clock_rate => anchor,
            // RFC 7160 §4.1: with another clock, the time since the last packet counts in the new.
            Some(_) | None => {
                let pause = self.latest.map_or(Duration::ZERO, |latest| now - latest.at);
                let timestamp = self.latest.map_or(self.next_timestamp, |latest| latest.timestamp);
                Anchor {
                    at: now,
                    timestamp: timestamp.wrapping_add(samples(pause, clock_rate)),
                    clock_rate,
                }
            }
        };
        self.anchor = Some(anchor);
        anchor.timestamp.wrapping_add(samples(now - anchor.at, clock_rate))
    }

    fn sent(
        &mut self,
        now: Time,
        header: &Header,
        (clock_rate, units): (u32, u32),
        payload_len: usize,
    ) {
        self.packets += 1;
        self.bytes += payload_len as u64;
        let end = header.timestamp.wrapping_add(units);
        if (end.wrapping_sub(self.next_timestamp) as i32) > 0 {
            self.next_timestamp = end;
            self.latest = Some(Latest { at: now, timestamp: header.timestamp, clock_rate });
        }
    }
}

impl Feed {
    /// Whether a packet's timestamp continues its source's. Some switch what they send without a
    /// new SSRC: for the listener it is a new start all the same.
    fn goes_on(&self, now: Time, packet: &Relayed) -> bool {
        if packet.clock_rate != self.clock_rate {
            return false;
        }
        if !packet.in_order || !packet.is_audio {
            return true;
        }
        let step = packet.header.timestamp.wrapping_sub(self.latest_audio) as i32;
        let most = samples(now - self.latest_at + STEP_MAX, packet.clock_rate);
        step >= 0 && step.unsigned_abs() <= most
    }

    /// Packets last as long as it is from one to the next, unless there is a pause between them.
    fn measure(&mut self, packet: &Relayed) {
        let step = packet.header.timestamp.wrapping_sub(self.latest_audio);
        let frames = samples(FRAME_MIN, self.clock_rate)..=samples(FRAME_MAX, self.clock_rate);
        let is_next = packet.extended == self.latest_extended + 1 && !packet.header.marker;
        if is_next && frames.contains(&step) {
            self.frame = step;
        }
    }
}

/// A duration in units of a clock, modulo 2³².
fn samples(duration: Duration, clock_rate: u32) -> u32 {
    (duration.as_nanos() * u128::from(clock_rate) / 1_000_000_000) as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SSRC: u32 = 0xcafe;

    fn ms(ms: u64) -> Time {
        Time::ZERO + Duration::from_millis(ms)
    }

    fn packet(source: usize, n: u64) -> Relayed {
        Relayed {
            origin: Origin { source, run: 1 },
            extended: 0x1_0000 + n,
            in_order: true,
            header: Header {
                marker: false,
                payload_type: 0,
                sequence: n as u16,
                timestamp: (n as u32).wrapping_mul(160).wrapping_add(source as u32 * 1_000_000),
                ssrc: source as u32,
            },
            payload_type: 8,
            clock_rate: 8000,
            is_audio: true,
            payload_len: 160,
        }
    }

    fn sender() -> Sender {
        Sender::new(SSRC, 65_534, u32::MAX - 100)
    }

    #[test]
    fn the_first_packet_has_the_numbers_it_was_given() {
        let header = sender().relay(ms(5), &packet(1, 77)).unwrap();
        let expected = Header {
            marker: true,
            payload_type: 8,
            sequence: 65_534,
            timestamp: u32::MAX - 100,
            ssrc: SSRC,
        };
        assert_eq!(header, expected);
    }

    #[test]
    fn loss_and_reordering_pass_through() {
        let mut sender = sender();
        let mut relay = |n, in_order| {
            let packet = Relayed { in_order, ..packet(1, n) };
            sender.relay(ms(n * 20), &packet).map(|header| header.sequence)
        };
        assert_eq!(relay(10, true), Some(65_534));
        assert_eq!(relay(13, true), Some(1), "two are missing");
        assert_eq!(relay(12, false), Some(0), "one comes late");
        assert_eq!(relay(14, true), Some(2));
        assert_eq!(relay(9, false), None, "that number belongs to the time before");
    }

    #[test]
    fn a_packet_left_out_leaves_no_gap() {
        let mut sender = sender();
        let mut sequences = Vec::new();
        for n in 0..6 {
            let packet = packet(1, n);
            if n == 2 || n == 3 {
                sender.skip(packet.origin, packet.extended, true);
            } else {
                sequences.push(sender.relay(ms(n * 20), &packet).unwrap().sequence);
            }
        }
        assert_eq!(sequences, [65_534, 65_535, 0, 1]);
        let late = Relayed { in_order: false, ..packet(1, 1) };
        assert!(sender.relay(ms(120), &late).is_none(), "its number may be another's");
    }

    #[test]
    fn a_pause_has_its_length_in_timestamps() {
        let mut sender = sender();
        let first = sender.relay(ms(0), &packet(1, 0)).unwrap();
        sender.cut();
        let second = sender.relay(ms(1000), &packet(2, 500)).unwrap();
        assert_eq!(second.timestamp.wrapping_sub(first.timestamp), 8000);
        assert_eq!(second.sequence.wrapping_sub(first.sequence), 1);
        assert!(second.marker);
    }

    #[test]
    fn music_follows_speech_and_speech_music() {
        let mut sender = sender();
        let speech = sender.relay(ms(0), &packet(1, 0)).unwrap();
        let music: Vec<_> =
            (1..4).map(|n| sender.own(ms(n * 20), 8, 8000, 160, Origin::MUSIC)).collect();
        let speech_again = sender.relay(ms(80), &packet(1, 4)).unwrap();
        let all: Vec<_> = [speech].into_iter().chain(music).chain([speech_again]).collect();
        for (i, pair) in all.windows(2).enumerate() {
            assert_eq!(pair[1].sequence.wrapping_sub(pair[0].sequence), 1, "{i}");
            assert_eq!(pair[1].timestamp.wrapping_sub(pair[0].timestamp), 160, "{i}");
        }
        let markers: Vec<_> = all.iter().map(|header| header.marker).collect();
        assert_eq!(markers, [true, true, false, false, true]);
    }

    #[test]
    fn a_packet_of_our_own_waits_for_its_time_but_not_for_a_clock_that_drifts() {
        let mut sender = sender();
        assert!(!sender.is_ahead(ms(0), 8000), "the first");
        sender.own(ms(0), 8, 8000, 160, Origin::MUSIC);
        sender.relay(ms(13), &packet(1, 1)).unwrap();
        assert!(sender.is_ahead(ms(20), 8000), "both have lasted 40 ms");
        assert!(!sender.is_ahead(ms(40), 8000));
        // Ours is 100 ms behind.
        for n in 2..8 {
            sender.relay(ms(40), &packet(1, n)).unwrap();
        }
        assert!(!sender.is_ahead(ms(40), 8000));
    }

    #[test]
    fn what_is_ours_begins_after_the_end_of_long_packets() {
        for (ms_each, units) in [(10, 80), (20, 160), (30, 240), (40, 320), (60, 480), (120, 960)] {
            for len in [3u64, 5] {
                let mut sender = sender();
                let mut last = 0;
                for n in 0..len {
                    let mut packet = packet(1, n);
                    packet.header.timestamp = n as u32 * units;
                    last = sender.relay(ms(n * ms_each), &packet).unwrap().timestamp;
                }
                let own = sender.own(ms((len - 1) * ms_each + 10), 8, 8000, 160, Origin::MUSIC);
                assert_eq!(own.timestamp.wrapping_sub(last), units, "{ms_each} ms, {len} packets");
            }
        }
    }

    #[test]
    fn a_pause_or_a_loss_is_no_long_packet() {
        for (step, marker) in [(1, true), (3, false)] {
            let mut sender = sender();
            let mut last = sender.relay(ms(0), &packet(1, 0)).unwrap().timestamp;
            for (n, ago) in [(1, 20), (1 + step, 80)] {
                let mut packet = packet(1, n);
                packet.header.marker = marker && n > 1;
                packet.header.timestamp = packet.header.timestamp.max(1_000_000 + ago * 8);
                last = sender.relay(ms(ago.into()), &packet).unwrap().timestamp;
            }
            let own = sender.own(ms(90), 8, 8000, 160, Origin::MUSIC);
            assert_eq!(own.timestamp.wrapping_sub(last), 160, "{marker}");
        }
    }

    #[test]
    fn what_need_not_be_sent_takes_its_time() {
        let mut sender = sender();
        let first = sender.own(ms(0), 8, 8000, 160, Origin::MIX);
        (1..3).for_each(|_| sender.pause(160));
        let next = sender.own(ms(60), 8, 8000, 160, Origin::MIX);
        assert_eq!(next.timestamp.wrapping_sub(first.timestamp), 480);
        assert_eq!(next.sequence.wrapping_sub(first.sequence), 1);
        assert!(next.marker);
    }

    #[test]
    fn our_own_packets_do_not_fall_behind_a_stall() {
        let mut sender = sender();
        let first = sender.own(ms(0), 0, 8000, 160, Origin::MUSIC);
        let late = sender.own(ms(500), 0, 8000, 160, Origin::MUSIC);
        assert_eq!(late.timestamp.wrapping_sub(first.timestamp), 4000);
        assert!(!late.marker);
    }

    #[test]
    fn events_keep_the_timestamp_of_their_start() {
        let mut sender = sender();
        sender.relay(ms(0), &packet(1, 0)).unwrap();
        let event = |n| Relayed {
            is_audio: false,
            header: Header { timestamp: packet(1, 1).header.timestamp, ..packet(1, n).header },
            ..packet(1, n)
        };
        let stamps: Vec<_> =
            (1..20).map(|n| sender.relay(ms(n * 20), &event(n)).unwrap().timestamp).collect();
        assert!(stamps.iter().all(|stamp| *stamp == stamps[0]), "{stamps:?}");
        let after = sender.relay(ms(400), &packet(1, 20)).unwrap();
        assert_eq!(after.timestamp.wrapping_sub(stamps[0]), 19 * 160);
        assert!(!after.marker, "the talk spurt goes on");
    }

    #[test]
    fn a_source_that_jumps_in_time_is_smoothed() {
        let mut sender = sender();
        let before = sender.relay(ms(0), &packet(1, 0)).unwrap();
        for (at, jump) in [(20, 0x7000_0000), (40, 0x1000_0000)] {
            let mut packet = packet(1, at / 20);
            packet.header.timestamp = jump;
            let after = sender.relay(ms(at), &packet).unwrap();
            assert_eq!(u64::from(after.timestamp.wrapping_sub(before.timestamp)), at * 8);
            assert!(after.marker);
        }
    }

    #[test]
    fn another_clock_goes_on_from_where_the_old_one_was() {
        let mut sender = sender();
        let narrow = sender.relay(ms(0), &packet(1, 0)).unwrap();
        let opus = Relayed { clock_rate: 48_000, ..packet(1, 1) };
        let wide = sender.relay(ms(20), &opus).unwrap();
        assert_eq!(wide.timestamp.wrapping_sub(narrow.timestamp), 960);
    }

    proptest! {
        /// One SSRC, sequence +1 and timestamps forward, whatever is heard when.
        #[test]
        fn numbers_go_on(steps in proptest::collection::vec((0usize..4, 1u64..90, any::<bool>()), 1..200)) {
            let mut sender = sender();
            let mut sent = [0u64; 3];
            let (mut now, mut previous): (u64, Option<Header>) = (0, None);
            for (source, pause, cut) in steps {
                now += pause;
                if cut {
                    sender.cut();
                }
                let header = match sent.get_mut(source) {
                    None => sender.own(ms(now), 0, 8000, 160, Origin::MUSIC),
                    Some(n) => {
                        *n += 1;
                        sender.relay(ms(now), &packet(source, *n)).unwrap()
                    }
                };
                if let Some(previous) = previous {
                    prop_assert_eq!(header.sequence.wrapping_sub(previous.sequence), 1);
                    let step = header.timestamp.wrapping_sub(previous.timestamp);
                    prop_assert!((1..80_000).contains(&step), "step {}", step);
                    prop_assert!(header.marker || !cut);
                }
                prop_assert_eq!(header.ssrc, SSRC);
                previous = Some(header);
            }
        }
    }
}
