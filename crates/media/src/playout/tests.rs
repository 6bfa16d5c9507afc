use std::f64::consts::TAU;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::codec::{Encoder, OpusFormat, OpusSettings};
use crate::speech::{rms, speech};

fn ms(ms: u64) -> Time {
    Time::ZERO + Duration::from_millis(ms)
}

fn tone(hertz: f64, rate: u32, len: usize) -> Vec<i16> {
    (0..len).map(|n| (8000.0 * (TAU * hertz * n as f64 / f64::from(rate)).sin()) as i16).collect()
}

/// Power beside one frequency, dB below all of it.
fn rest_db(samples: &[i16], hertz: f64, rate: u32) -> f64 {
    let (mut re, mut im, mut power) = (0.0, 0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        let (sin, cos) = (TAU * hertz * n as f64 / f64::from(rate)).sin_cos();
        re += f64::from(*sample) * cos;
        im += f64::from(*sample) * sin;
        power += f64::from(*sample).powi(2);
    }
    let tone = 2.0 * (re * re + im * im) / samples.len() as f64;
    10.0 * ((power - tone).max(1e-9) / power).log10()
}

/// A sender of 20 ms packets.
struct Sender {
    format: Format,
    encoder: Encoder,
    pcm: Vec<i16>,
    at: usize,
    sequence: u64,
    timestamp: u32,
}

impl Sender {
    fn new(format: Format, pcm: Vec<i16>) -> Self {
        let settings = OpusSettings { expected_loss_percent: 20, ..OpusSettings::default() };
        let encoder = Encoder::new(&format, settings).unwrap();
        Self { format, encoder, pcm, at: 0, sequence: 100, timestamp: 5000 }
    }

    fn next(&mut self) -> (u64, u32, Vec<u8>) {
        let samples = self.format.samples_of_ms(20);
        let mut payload = vec![0; 4000];
        let frame = &self.pcm[self.at..self.at + samples];
        let len = self.encoder.encode(frame, &mut payload).unwrap();
        payload.truncate(len);
        let packet = (self.sequence, self.timestamp, payload);
        self.at += samples;
        self.sequence += 1;
        self.timestamp = self.timestamp.wrapping_add(self.format.units(samples as i64) as u32);
        packet
    }
}

fn put(playout: &mut Playout, now: Time, packet: &(u64, u32, Vec<u8>), content: Content) -> Put {
    let (sequence, timestamp, payload) = packet;
    let incoming =
        Incoming { run: 1, sequence: *sequence, timestamp: *timestamp, content, payload };
    playout.put(now, &incoming)
}

/// What is heard of `pcm` at `rate`, packet `n` arriving at `20 n + delay(n)` milliseconds (`None`:
/// lost), pulled every 20 ms from 19 on.
fn play(
    format: Format,
    pcm: Vec<i16>,
    rate: u32,
    delay: impl Fn(u64) -> Option<u64>,
) -> (Vec<i16>, PlayoutStats) {
    let packets = pcm.len() / format.samples_of_ms(20);
    let mut sender = Sender::new(format, pcm);
    let mut playout = Playout::new(format, rate, 1).unwrap();
    let mut arrivals: Vec<_> = (0..packets as u64)
        .map(|n| (n, sender.next()))
        .filter_map(|(n, packet)| Some((20 * n + delay(n)?, packet)))
        .collect();
    arrivals.sort_by_key(|(at, _)| *at);
    let mut arrivals = arrivals.into_iter().peekable();
    let mut heard = Vec::new();
    for tick in 0..packets as u64 {
        let now = 20 * tick + 19;
        while let Some((at, packet)) = arrivals.next_if(|(at, _)| *at <= now) {
            put(&mut playout, ms(at), &packet, Content::Audio);
        }
        let mut out = vec![0; rate as usize / 50];
        playout.pull(ms(now), &mut out);
        heard.extend(out);
    }
    (heard, playout.stats())
}

fn codecs() -> [Format; 5] {
    [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::Opus, Codec::L16].map(|codec| {
        let clock = if codec == Codec::Opus { 48_000 } else { 8000 };
        let opus = OpusFormat::OURS;
        Format { opus, ..Format::new(codec, clock).unwrap() }
    })
}

#[test]
fn every_codec_comes_out_at_every_rate() {
    for format in codecs() {
        for rate in [8000, 16_000, 48_000] {
            let pcm = tone(700.0, format.sample_rate, format.sample_rate as usize);
            let (heard, stats) = play(format, pcm, rate, |_| Some(0));
            let steady = &heard[rate as usize / 2..];
            let level = rms(steady) / 8000.0 * 2f64.sqrt();
            assert!((0.93..1.07).contains(&level), "{:?} at {rate}: {level}", format.codec);
            let rest = rest_db(steady, 700.0, rate);
            assert!(rest < -25.0, "{:?} at {rate}: {rest} dB", format.codec);
            assert_eq!(
                (stats.concealed, stats.late, stats.dropped),
                (0, 0, 0),
                "{:?}",
                format.codec
            );
            assert!((stats.delay_ms - 19.0).abs() < 0.5, "{}", stats.delay_ms);
        }
    }
}

#[test]
fn nothing_is_changed_where_nothing_happens() {
    let format = Format::new(Codec::L16, 16_000).unwrap();
    let pcm: Vec<_> = (0..16_000).map(|n| (n * 7919 % 20_011) as i16).collect();
    let (heard, _) = play(format, pcm.clone(), 16_000, |_| Some(0));
    assert_eq!(heard, pcm);
}

#[test]
fn a_tone_stays_clean_through_jitter_and_back() {
    let format = Format::new(Codec::L16, 8000).unwrap();
    // Jitter of 60 ms for four seconds, then none.
    let delay = |n: u64| Some(if n < 200 { n * 7919 % 61 } else { 0 });
    let (heard, stats) = play(format, tone(500.0, 8000, 8000 * 12), 8000, delay);
    assert!(stats.delay_ms < 25.0, "{stats:?}");
    assert!(stats.shortened > 300, "{stats:?}");
    let step = heard[8000..].windows(3).map(|w| {
        let factor = 2.0 * (TAU * 500.0 / 8000.0).cos();
        (f64::from(w[2]) - factor * f64::from(w[1]) + f64::from(w[0])).abs()
    });
    // −50 dB of the full scale.
    let worst = step.fold(0.0, f64::max);
    assert!(worst < 104.0, "{worst}");
}

#[test]
fn lost_packets_are_made_up_and_counted() {
    for format in codecs() {
        let pcm = tone(437.0, format.sample_rate, 4 * format.sample_rate as usize);
        let lost = |n: u64| if n % 10 == 7 { None } else { Some(0) };
        let (heard, stats) = play(format, pcm, format.sample_rate, lost);
        let concealed = stats.concealed as f64 / stats.samples as f64;
        assert!((0.08..0.115).contains(&concealed), "{:?}: {concealed}", format.codec);
        assert!(stats.loss_percent > 3.0, "{:?}: {stats:?}", format.codec);
        // One more packet waits meanwhile.
        assert!((35.0..45.0).contains(&stats.delay_ms), "{:?}: {stats:?}", format.codec);
        let last = &heard[heard.len() / 2..];
        let rest = rest_db(last, 437.0, format.sample_rate);
        let level = rms(last) / 8000.0 * 2f64.sqrt();
        assert!((0.85..1.1).contains(&level), "{:?}: {level}", format.codec);
        assert!(rest < -6.0, "{:?}: {rest} dB", format.codec);
        assert!(stats.recovered == 0 || format.codec == Codec::Opus, "{:?}", format.codec);
    }
}

/// What is heard of speech in Opus whose packets in `lost` never come, in pulls of `tick_ms`.
fn with_losses(tick_ms: usize, fec: bool, lost: impl Fn(usize) -> bool) -> (f64, PlayoutStats) {
    let opus = OpusFormat { fec, ..OpusFormat::OURS };
    let format = Format { opus, ..Format::new(Codec::Opus, 48_000).unwrap() }.for_rate(16_000);
    let said = speech(16_000, 16_000 * 8);
    let mut sender = Sender::new(format, said.clone());
    let mut playout = Playout::new(format, 16_000, 1).unwrap();
    let (mut heard, mut sent) = (vec![], 0);
    for tick in 0..7900 / tick_ms {
        let now = tick * tick_ms;
        while 20 * sent <= now {
            let packet = sender.next();
            if !lost(sent) {
                put(&mut playout, ms(20 * sent as u64), &packet, Content::Audio);
            }
            sent += 1;
        }
        let mut out = vec![0; tick_ms * 16];
        playout.pull(ms(now as u64), &mut out);
        heard.extend(out);
    }
    let level = 20.0 * (rms(&heard[16_000 * 3..]) / rms(&said[16_000 * 3..])).log10();
    (level, playout.stats())
}

#[test]
fn what_opus_repeats_is_played_as_loud_as_it_was_said() {
    // Pulls of 20 ms end with a packet, those of 15 in the midst of what is made up.
    for tick_ms in [20, 15] {
        let (whole, _) = with_losses(tick_ms, true, |_| false);
        let (level, stats) = with_losses(tick_ms, true, |n| n > 20 && n % 5 == 2);
        assert!(stats.recovered > 40, "{tick_ms}: {stats:?}");
        assert!((level - whole).abs() < 0.5, "{tick_ms}: {level} instead of {whole} dB");
        let (_, stats) = with_losses(tick_ms, false, |n| n > 20 && n % 5 == 2);
        assert_eq!(stats.recovered, 0, "{tick_ms}: nobody asked for it");
    }
}

#[test]
fn what_a_later_packet_told_of_a_lost_one_is_played_in_its_place() {
    let format = Format::new(Codec::L16, 8000).unwrap();
    let mut sender = Sender::new(format, tone(500.0, 8000, 8000 * 8));
    let mut playout = Playout::new(format, 8000, 1).unwrap();
    let (mut heard, mut lost) = (vec![], None);
    for tick in 0..390u64 {
        let (now, packet) = (20 * tick, sender.next());
        if tick % 5 == 2 {
            lost = Some(packet);
        } else {
            if let Some((sequence, timestamp, payload)) = lost.take() {
                let content = Content::Audio;
                let packet = Incoming { run: 1, sequence, timestamp, content, payload: &payload };
                playout.put_recovered(ms(now - 20), &packet);
            }
            put(&mut playout, ms(now), &packet, Content::Audio);
        }
        let mut out = [0; 160];
        playout.pull(ms(now + 5), &mut out);
        heard.extend(out);
    }
    let stats = playout.stats();
    assert!(stats.recovered > 60, "{stats:?}");
    assert!(stats.loss_percent > 10.0, "{stats:?}");
    assert!((20.0..30.0).contains(&stats.delay_ms), "one more waits: {stats:?}");
    let rest = rest_db(&heard[heard.len() / 2..][..16_000], 500.0, 8000);
    assert!(rest < -50.0, "nothing is made up: {rest} dB");
}

#[test]
fn a_late_packet_is_played_when_it_comes() {
    let format = Format::new(Codec::L16, 8000).unwrap();
    let pcm: Vec<_> = (0..8000).map(|n| (n / 160) as i16 + 1000).collect();
    // Packet 20 comes 15 ms too late, those after it in time.
    let (heard, stats) = play(format, pcm, 8000, |n| Some(if n == 20 { 35 } else { 0 }));
    // The one after it is here first only when it really overtakes it.
    assert_eq!(stats.late, 0);
    assert!(heard.contains(&1020), "it is heard");
}

#[test]
fn an_overtaken_packet_is_lost_and_its_late_coming_counted() {
    let format = Format::new(Codec::L16, 8000).unwrap();
    let pcm = tone(300.0, 8000, 8000);
    let (_, stats) = play(format, pcm, 8000, |n| Some(if n == 20 { 65 } else { 0 }));
    assert_eq!((stats.late, stats.concealed), (1, 160));
}

#[test]
fn before_the_first_packet_and_long_after_the_last_there_is_silence() {
    let format = Format::new(Codec::Pcmu, 8000).unwrap();
    let mut playout = Playout::new(format, 16_000, 1).unwrap();
    let mut out = [1; 320];
    assert_eq!(playout.pull(ms(0), &mut out), Heard::Silence);
    assert_eq!(out, [0; 320]);
    put(&mut playout, ms(1), &(1, 0, vec![0x80; 160]), Content::Audio);
    assert_eq!(playout.pull(ms(20), &mut out), Heard::Audio);
    for tick in 2..20 {
        playout.pull(ms(20 * tick + 5), &mut out);
    }
    assert_eq!(playout.pull(ms(400), &mut out), Heard::Silence);
    assert_eq!(out, [0; 320]);
    assert!(playout.stats().concealed <= 800, "{:?}", playout.stats());
}

#[test]
fn comfort_noise_is_made_until_speech_comes_again() {
    let format = Format::new(Codec::Pcmu, 8000).unwrap();
    let mut sender = Sender::new(format, tone(500.0, 8000, 8000));
    let mut playout = Playout::new(format, 8000, 1).unwrap();
    let mut out = [0; 160];
    for tick in 0..50 {
        let now = ms(20 * tick);
        if !(10..40).contains(&tick) {
            put(&mut playout, now, &sender.next(), Content::Audio);
        } else if tick == 10 {
            let (sequence, timestamp) = (sender.sequence, sender.timestamp);
            put(&mut playout, now, &(sequence, timestamp, vec![40]), Content::Noise);
            sender.sequence += 1;
            sender.timestamp += 30 * 160;
        }
        let heard = playout.pull(ms(20 * tick + 5), &mut out);
        match tick {
            0..10 | 40.. => assert_eq!(heard, Heard::Audio, "{tick}"),
            20..40 => {
                assert_eq!(heard, Heard::Noise, "{tick}");
                // −40 dBov are 328 units.
                assert!((200.0..500.0).contains(&rms(&out)), "{tick}: {}", rms(&out));
            }
            _ => {}
        }
    }
    let stats = playout.stats();
    assert_eq!((stats.concealed, stats.late), (0, 0), "{stats:?}");
    assert!(stats.delay_ms < 6.0, "{stats:?}");
}

#[test]
fn opus_pauses_and_goes_on() {
    let opus = OpusFormat { dtx: true, ..OpusFormat::OURS };
    let format = Format { opus, ..Format::new(Codec::Opus, 48_000).unwrap() }.for_rate(16_000);
    let mut pcm = tone(500.0, 16_000, 16_000);
    pcm.extend([0; 48_000]);
    pcm.extend(tone(500.0, 16_000, 16_000));
    let mut sender = Sender::new(format, pcm);
    let mut playout = Playout::new(format, 16_000, 1).unwrap();
    let (mut out, mut sent) = ([0; 320], 0);
    for tick in 0..240 {
        let packet = sender.next();
        if packet.2.len() > 2 {
            sent += 1;
            put(&mut playout, ms(20 * tick), &packet, Content::Audio);
        } else {
            // Neither sent nor counted.
            sender.sequence -= 1;
        }
        playout.pull(ms(20 * tick + 5), &mut out);
        assert!(!(80..195).contains(&tick) || rms(&out) < 60.0, "{tick}: {}", rms(&out));
        assert!(tick < 215 || rms(&out) > 3000.0, "{tick}: {}", rms(&out));
    }
    assert!(sent < 170, "{sent}");
    let stats = playout.stats();
    assert!(stats.concealed < 16_000 / 10 && stats.delay_ms < 6.0, "{stats:?}");
}

#[test]
fn keys_pressed_are_no_loss() {
    let format = Format::new(Codec::Pcmu, 8000).unwrap();
    let mut sender = Sender::new(format, tone(500.0, 8000, 8000));
    let mut playout = Playout::new(format, 8000, 1).unwrap();
    let mut out = [0; 160];
    let mut pressed_at = 0;
    for tick in 0..50 {
        let mut packet = sender.next();
        let content = if (20..30).contains(&tick) { Content::Event } else { Content::Audio };
        if tick == 20 {
            pressed_at = packet.1;
        }
        if content == Content::Event {
            // RFC 4733 §2.5.1.2: all packets of an event have the timestamp of its beginning.
            packet = (packet.0, pressed_at, vec![1, 10, 0, 160]);
        }
        put(&mut playout, ms(20 * tick), &packet, content);
        playout.pull(ms(20 * tick + 5), &mut out);
    }
    let stats = playout.stats();
    assert_eq!((stats.concealed, stats.late, stats.loss_percent), (0, 0, 0.0), "{stats:?}");
    assert!(rms(&out) > 4000.0);
}

#[test]
fn another_source_and_a_jump_of_the_timestamps_are_followed_at_once() {
    let format = Format::new(Codec::Pcmu, 8000).unwrap();
    let mut sender = Sender::new(format, tone(500.0, 8000, 8000));
    let mut playout = Playout::new(format, 8000, 1).unwrap();
    let mut out = [0; 160];
    for tick in 0..50 {
        let (sequence, timestamp, payload) = sender.next();
        let (run, sequence, timestamp) = match tick {
            0..15 => (1, sequence, timestamp),
            15..30 => (1, sequence, timestamp.wrapping_sub(1_000_000)),
            _ => (2, sequence - 77, timestamp.wrapping_mul(3)),
        };
        // After the multiplication the steps are of three packets: the run is restarted each time.
        let timestamp = if run == 2 { timestamp / 3 } else { timestamp };
        let incoming =
            Incoming { run, sequence, timestamp, content: Content::Audio, payload: &payload };
        playout.put(ms(20 * tick), &incoming);
        assert_eq!(playout.pull(ms(20 * tick + 5), &mut out), Heard::Audio, "{tick}");
        assert!(tick == 0 || rms(&out) > 4000.0, "{tick}: {}", rms(&out));
    }
    assert_eq!(playout.stats().concealed, 0);
}

#[test]
fn an_owner_that_stood_still_drops_and_does_not_lag() {
    let format = Format::new(Codec::Pcmu, 8000).unwrap();
    let mut sender = Sender::new(format, tone(500.0, 8000, 16_000));
    let mut playout = Playout::new(format, 8000, 1).unwrap();
    let mut out = [0; 160];
    for tick in 0..100 {
        put(&mut playout, ms(20 * tick), &sender.next(), Content::Audio);
        if !(40..65).contains(&tick) {
            playout.pull(ms(20 * tick + 5), &mut out);
        }
    }
    let stats = playout.stats();
    assert!(stats.dropped >= 15, "{stats:?}");
    assert!(stats.delay_ms < 12.0, "{stats:?}");
}

#[test]
fn codecs_that_can_only_be_relayed_are_refused() {
    let other = Format { codec: Codec::Other, ..Format::new(Codec::Pcmu, 8000).unwrap() };
    assert!(matches!(Playout::new(other, 8000, 1), Err(CodecError::Unsupported)));
    let pcmu = Format::new(Codec::Pcmu, 8000).unwrap();
    assert!(matches!(Playout::new(pcmu, 44_100, 1), Err(CodecError::Unsupported)));
}

#[test]
fn it_may_move_to_another_thread() {
    fn is_send<T: Send>() {}
    is_send::<Playout>();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn whatever_comes_a_pull_fills_its_tick(
        packets in proptest::collection::vec(
            (0u64..60, 0u32..3, 0u64..90, any::<u32>(), 0usize..600, 0u8..8), 1..120),
        codec in 0usize..5,
        rate in 0usize..5,
    ) {
        let format = codecs()[codec];
        let rate = crate::codec::RATES[rate];
        let mut playout = Playout::new(format, rate, 7).unwrap();
        let bytes = [0x5a; 600];
        let mut now = 0;
        for (wait, run, sequence, timestamp, len, kind) in packets {
            now += wait;
            let content = match kind {
                0 => Content::Noise,
                1 => Content::Event,
                _ => Content::Audio,
            };
            // Most timestamps fit their numbers.
            let timestamp = if kind < 6 { sequence as u32 * 160 } else { timestamp };
            let payload = &bytes[..len];
            let incoming = Incoming { run: run / 2, sequence, timestamp, content, payload };
            playout.put(ms(now), &incoming);
            let mut out = vec![1; rate as usize / 50];
            playout.pull(ms(now), &mut out);
            prop_assert!(playout.line.pending() <= format.samples_of_ms(2 * PACKET_MS_MAX + 60));
        }
        let tick = playout.format().samples_of_ms(20) as u64;
        prop_assert_eq!(playout.stats().samples % tick, 0);
    }
}
