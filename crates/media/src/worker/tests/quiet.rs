//! A peer that tells how its silence sounds, and sends nothing until it speaks again.

use super::process::Phone;
use super::*;
use crate::command::NoiseRemoval;
use crate::denoise::DenoiseSettings;
use crate::record::{Container, PausePolicy, RecordCommand, RecordFormat, RecordingId, Side};

const CN: Payload = payload(Codec::ComfortNoise, 7, 13, 8000);
const L16: Payload = payload(Codec::L16, 5, 97, 8000);
const G722: Payload = payload(Codec::G722, 4, 9, 8000);
const RECORDING: RecordingId = RecordingId(1);

/// Removal by 22 dB.
fn removal(enabled: bool) -> Option<NoiseRemoval> {
    Some(NoiseRemoval { enabled, settings: DenoiseSettings { attenuation_limit_db: 22 } })
}

/// A customer who speaks and is silent in turn, and what an agent hears.
struct Talk {
    world: World,
    customer: Slot,
    agent: Slot,
    phone: Phone,
    heard: Vec<(Header, Vec<u8>)>,
    /// Time on top of a packet's that it takes to come, milliseconds: one after the other.
    jitter: &'static [u64],
    packets: usize,
}

impl Talk {
    fn new(customer: &[Payload], agent: &[Payload], noise_removal: Option<NoiseRemoval>) -> Self {
        let (mut world, a, b) = World::call(customer, agent);
        world.configure(a, StreamConfig { noise_removal, ..config(CUSTOMER, customer) });
        let phone = Phone::new(customer[0]);
        let (heard, jitter, packets) = (Vec::new(), &[7][..], 0);
        Self { world, customer: a, agent: b, phone, heard, jitter, packets }
    }

    /// One packet's time with a tick in it.
    fn step(&mut self, datagram: Option<Vec<u8>>) {
        let before = self.jitter[self.packets % self.jitter.len()];
        self.packets += 1;
        self.world.pass(before);
        if let Some(datagram) = datagram {
            self.world.receive(self.customer, Channel::Rtp, CUSTOMER, datagram);
        }
        self.world.pass(20 - before);
        self.world.worker.tick(self.world.now, &mut self.world.wire);
        self.heard.extend(self.world.heard(self.agent));
    }

    fn speak(&mut self, ms: usize) {
        for _ in 0..ms / 20 {
            let datagram = self.phone.say(1000.0, 20);
            self.step(Some(datagram));
        }
    }

    /// Tells of a silence of this level, and keeps it.
    fn be_silent(&mut self, level: u8, ms: usize) {
        let datagram = self.phone.packet(13, false, &[level]);
        let before = self.phone.sequence;
        self.phone.skip(20);
        self.step(Some(datagram));
        for _ in 1..ms / 20 {
            self.phone.skip(20);
            self.step(None);
        }
        self.phone.sequence = before.wrapping_add(1);
    }

    /// What was heard since the last call, as packets and samples.
    fn listen(&mut self, as_what: Payload) -> (Vec<Header>, Vec<i16>) {
        let heard = std::mem::take(&mut self.heard);
        let pcm = Phone::new(as_what).listen(&heard);
        (heard.into_iter().map(|(header, _)| header).collect(), pcm)
    }
}

fn dbov(pcm: &[i16]) -> f64 {
    let power = pcm.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>();
    10.0 * (power / pcm.len() as f64 / 32_768f64.powi(2)).max(1e-12).log10()
}

fn without_a_gap(headers: &[Header], units: u32) {
    for pair in headers.windows(2) {
        assert_eq!(pair[1].sequence.wrapping_sub(pair[0].sequence), 1);
        assert_eq!(pair[1].timestamp.wrapping_sub(pair[0].timestamp), units, "{pair:?}");
    }
}

#[test]
fn it_is_made_sound_for_one_who_does_not_know_it_until_speech_comes() {
    // As it comes; transcoded; with noise removal, on and off.
    for (agent, noise_removal, level) in [
        (L16, None, -40.0),
        (PCMU, None, -40.0),
        (G722, None, -40.0),
        (OPUS, None, -40.0),
        (L16, removal(false), -40.0),
        (L16, removal(true), -62.0),
        (PCMA, removal(true), -62.0),
    ] {
        let mut talk = Talk::new(&[L16, CN], &[agent], noise_removal);
        talk.speak(1000);
        talk.be_silent(40, 2000);
        talk.speak(1000);
        let what = format!("{:?} {noise_removal:?}", agent.codec);
        assert!((199..=201).contains(&talk.heard.len()), "{what}: {}", talk.heard.len());
        let rate = Phone::new(agent).format.sample_rate as usize;
        let (headers, pcm) = talk.listen(agent);
        without_a_gap(&headers, agent.clock_rate / 50);
        let is_lossy = agent.codec == Codec::Opus;
        let noise = dbov(&pcm[rate * 12 / 10..rate * 28 / 10]);
        assert!((noise - level).abs() < if is_lossy { 4.0 } else { 1.5 }, "{what}: {noise}");
        // The word is whole up to its end and from its beginning, and no packet is empty.
        for second in [pcm.len() / 4, pcm.len() * 3 / 4 + rate / 20] {
            let word = dbov(&pcm[second - rate / 40..second]);
            assert!((word + 15.3).abs() < 1.5, "{what}: {word} at {second}");
        }
        for (n, packet) in pcm.chunks(rate / 50).enumerate().skip(2) {
            assert!(dbov(packet) > level - 8.0, "{what}: a hole in packet {n}: {}", dbov(packet));
        }
    }
}

#[test]
fn one_who_knows_it_gets_it_as_low_as_noise_is_made() {
    for (noise_removal, level) in [(None, 40), (removal(false), 40), (removal(true), 62)] {
        let other_number = Payload { send: 72, ..CN };
        let mut talk = Talk::new(&[L16, CN], &[L16, other_number], noise_removal);
        talk.speak(1000);
        talk.be_silent(40, 2000);
        talk.speak(1000);
        let (told, spoken): (Vec<_>, Vec<_>) =
            talk.heard.iter().partition(|(header, _)| header.payload_type == 72);
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].1, [level]);
        // With noise removal, the end of the word comes with one packet more.
        let end = usize::from(noise_removal.is_some());
        assert_eq!(spoken.len(), 100 + end, "{noise_removal:?}");
        let sequence: Vec<_> = talk.heard.iter().map(|(header, _)| header.sequence).collect();
        assert!(sequence.windows(2).all(|pair| pair[1] == pair[0] + 1), "nothing seems lost");
        let timestamps: Vec<_> = spoken.iter().map(|(header, _)| header.timestamp).collect();
        let pause = timestamps[50 + end] - timestamps[49 + end];
        assert_eq!(pause, 160 * (101 - end as u32), "as long as it was");
        assert_eq!(told[0].0.timestamp - timestamps[49 + end], 160);
        assert_eq!(spoken[50 + end].0.marker, noise_removal.is_some(), "as the phone says, or we");
    }
}

#[test]
fn many_silences_do_not_make_a_call_later_and_later() {
    for (agent, noise_removal) in [(L16, None), (L16, removal(true)), (PCMU, None)] {
        let mut talk = Talk::new(&[L16, CN], &[agent], noise_removal);
        talk.jitter = &[0, 19, 3, 11, 19, 1, 0, 17];
        let began = talk.world.now;
        for n in 0..100 {
            talk.speak(100 + 20 * (n % 5));
            talk.be_silent(50, 140 + 20 * (n % 7));
        }
        let (headers, _) = talk.listen(agent);
        let elapsed = (talk.world.now - began).as_millis() as i64;
        let said = headers.len() as i64 * 20;
        // Speech that is passed on as it is begins when it comes: late, by some of a packet.
        let most = if agent == L16 && noise_removal.is_none() { elapsed / 50 } else { 60 };
        assert!((said - elapsed).abs() <= most, "{:?}: {said} in {elapsed}", agent.codec);
        let span = i64::from(headers[headers.len() - 1].timestamp - headers[0].timestamp) / 8 + 20;
        assert!((span - elapsed).abs() <= 60, "{:?}: {span} in {elapsed}", agent.codec);
        for pair in headers.windows(2) {
            let step = pair[1].timestamp.wrapping_sub(pair[0].timestamp);
            assert!((160..=320).contains(&step), "{step}");
        }
    }
}

#[test]
fn a_new_description_is_followed_and_no_step_is_heard() {
    let mut talk = Talk::new(&[L16, CN], &[L16], None);
    talk.speak(200);
    talk.be_silent(30, 1000);
    talk.be_silent(50, 1000);
    let (headers, pcm) = talk.listen(L16);
    without_a_gap(&headers, 160);
    for (from, level) in [(3200, -30.0), (11_200, -50.0)] {
        let noise = dbov(&pcm[from..from + 4800]);
        assert!((noise - level).abs() < 1.5, "{noise} instead of {level}");
    }
}

#[test]
fn it_is_taken_from_a_known_peer_even_if_nobody_agreed_on_it() {
    let (mut world, a, b) = World::call(&[PCMU], &[PCMU]);
    world.receive(a, Channel::Rtp, CUSTOMER, packet(13, 1, 1)[..HEADER_LEN + 1].to_vec());
    world.tick(100);
    assert!(world.heard(b).is_empty(), "nobody is known yet");
    world.rtp(a, CUSTOMER, 0, 2);
    world.receive(a, Channel::Rtp, STRANGER, packet(13, 3, 1)[..HEADER_LEN + 1].to_vec());
    world.tick(100);
    assert_eq!(world.heard(b).len(), 1);
    world.receive(a, Channel::Rtp, CUSTOMER, packet(13, 3, 1)[..HEADER_LEN + 1].to_vec());
    world.tick(1000);
    let heard = world.heard(b);
    assert!((50..=51).contains(&heard.len()), "{}", heard.len());
    assert!(heard.iter().all(|(header, payload)| header.payload_type == 0 && payload.len() == 160));
    let stats = world.close(a);
    assert_eq!((stats.malformed_dropped, stats.strays_dropped, stats.packets_received), (1, 1, 2));
}

#[test]
fn beside_opus_its_number_means_nothing() {
    let (mut world, a, _) = World::call(&[OPUS], &[OPUS]);
    world.rtp(a, CUSTOMER, 111, 1);
    world.rtp(a, CUSTOMER, 13, 2);
    assert_eq!(world.close(a).malformed_dropped, 1);
}

#[test]
fn it_is_recorded_as_noise() {
    for (noise_removal, agent, level) in
        [(None, &[L16][..], -40.0), (None, &[L16, CN], -40.0), (removal(true), &[L16, CN], -62.0)]
    {
        let mut talk = Talk::new(&[L16, CN], agent, noise_removal);
        let format =
            RecordFormat { container: Container::Wav, rate: 8000, pause: PausePolicy::Silence };
        let track = RecordCommand::Track {
            recording: RECORDING,
            stream: StreamId(0),
            side: Some(Side::Customer),
        };
        let start = RecordCommand::Start { recording: RECORDING, name: "quiet".into(), format };
        let World { worker, now, wire } = &mut talk.world;
        worker.record(*now, &start, None, wire).unwrap();
        worker.record(*now, &track, Some(talk.customer), wire).unwrap();
        talk.speak(1000);
        talk.be_silent(40, 2000);
        talk.speak(1000);
        let World { worker, now, wire } = &mut talk.world;
        worker.record(*now, &RecordCommand::Stop { recording: RECORDING }, None, wire).unwrap();
        let blocks = talk.world.wire.blocks.iter();
        let left: Vec<_> =
            blocks.flat_map(|it| it.samples.chunks_exact(2)).map(|two| two[0]).collect();
        assert!((31_500..=32_000).contains(&left.len()), "{}", left.len());
        let noise = dbov(&left[9000..23_000]);
        assert!((noise - level).abs() < 1.5, "{noise} instead of {level}");
        for (n, packet) in left[..31_000].chunks(160).enumerate().skip(2) {
            assert!(dbov(packet) > level - 8.0, "a hole at {n}: {}", dbov(packet));
        }
        assert!((dbov(&left[24_500..31_000]) + 15.3).abs() < 0.5);
    }
}

#[test]
fn keys_are_pressed_instead_of_it_and_it_ends_with_the_call_on_hold() {
    let mut talk = Talk::new(&[PCMU, CN, EVENTS], &[PCMU, EVENTS], None);
    talk.speak(200);
    talk.be_silent(40, 200);
    talk.heard.clear();
    let start = talk.phone.timestamp;
    for n in 1..=5u16 {
        let [high, low] = (160 * n).to_be_bytes();
        let end = if n == 5 { 0x80 } else { 0 };
        let now = std::mem::replace(&mut talk.phone.timestamp, start);
        let event = talk.phone.packet(101, n == 1, &[7, end | 10, high, low]);
        talk.phone.timestamp = now;
        talk.phone.skip(20);
        talk.step(Some(event));
    }
    let kinds: Vec<_> = talk.heard.iter().map(|(header, _)| header.payload_type).collect();
    assert_eq!(kinds, [101, 101, 101, 101, 101, 0], "and noise again when it is up");
    for _ in 0..10 {
        talk.step(None);
    }
    assert!((15..=17).contains(&talk.heard.len()), "{}", talk.heard.len());
    let held = StreamConfig { receive: false, ..config(CUSTOMER, &[PCMU, CN, EVENTS]) };
    talk.world.configure(talk.customer, held);
    talk.heard.clear();
    for _ in 0..10 {
        talk.step(None);
    }
    assert!(talk.heard.is_empty());
}

#[test]
fn between_relayed_packets_of_g722_nothing_bursts() {
    let mut talk = Talk::new(&[G722, CN], &[G722], None);
    for _ in 0..3 {
        talk.speak(500);
        talk.be_silent(55, 1000);
    }
    let (_, pcm) = talk.listen(G722);
    for n in 0..3 {
        let silence = &pcm[n * 24_000 + 8800..(n + 1) * 24_000 - 1600];
        let loudest = silence.chunks(80).map(dbov).fold(f64::MIN, f64::max);
        assert!(loudest < -45.0, "silence {n}: {loudest} dBov");
    }
}
