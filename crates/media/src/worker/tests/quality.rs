//! How legs sound: what is told when the network turns bad, and what peers are told of it.

use super::*;
use crate::command::NoiseRemoval;
use crate::denoise::DenoiseSettings;
use crate::quality::{Direction, QualityChange};
use crate::reception;
use crate::xr::VoipMetrics;

/// Second, direction, and whether it was told as bad.
type Told = (u64, Direction, bool);

/// A customer who talks for a while through a network that changes with the second.
struct Talk {
    world: World,
    a: Slot,
    n: u16,
    second: u64,
    told: Vec<Told>,
    rng: Rng,
}

impl Talk {
    fn new(config: StreamConfig) -> Self {
        let mut world = World::new();
        let a = world.open(0, config);
        Self { world, a, n: 0, second: 0, told: Vec::new(), rng: Rng::new([3; 32]) }
    }

    /// Talks; of 100 packets this many are lost, and each is late by up to so much.
    fn talk(&mut self, seconds: u64, loss_percent: u64, late_ms: u64) {
        for _ in 0..seconds * 50 {
            self.world.tick(20);
            let is_lost = self.rng.below(100) < loss_percent;
            let late = Duration::from_millis(self.rng.below(late_ms + 1));
            let now = self.world.now + late;
            let mut datagram = packet(0, self.n, 1);
            self.n = self.n.wrapping_add(1);
            if !is_lost {
                let World { worker, wire, .. } = &mut self.world;
                worker.packet(now, self.a, Channel::Rtp, addr(CUSTOMER), &mut datagram, wire);
            }
            let second = self.second + u64::from(self.n) / 50;
            for event in std::mem::take(&mut self.world.wire.events) {
                if let MediaEvent::Quality { direction, change, .. } = event {
                    let is_bad = matches!(change, QualityChange::Degraded(_));
                    self.told.push((second, direction, is_bad));
                }
            }
        }
    }
}

#[test]
fn loss_is_told_once_when_it_has_lasted_and_once_when_it_is_over() {
    let mut talk = Talk::new(config(CUSTOMER, &[PCMU]));
    talk.talk(20, 0, 0);
    talk.talk(30, 20, 0);
    talk.talk(40, 0, 0);
    let [bad, good] = talk.told[..] else { panic!("{:?}", talk.told) };
    assert!((25..=27).contains(&bad.0) && bad.2, "{bad:?}");
    assert!((60..=62).contains(&good.0) && !good.2, "{good:?}");
    let stats = talk.world.close(talk.a);
    let summary = stats.summary.unwrap();
    assert!((4.0..9.0).contains(&summary.loss_percent), "{summary:?}");
    assert!(summary.worst_mos < 2.9 && summary.rating.mos > 3.2, "{summary:?}");
    assert!(stats.rating.unwrap().mos > 4.3, "the last second was good: {stats:?}");
}

#[test]
fn a_short_dropout_and_a_little_jitter_are_not_told() {
    let mut talk = Talk::new(config(CUSTOMER, &[PCMU]));
    for _ in 0..5 {
        talk.talk(10, 0, 19);
        talk.talk(3, 40, 19);
    }
    assert_eq!(talk.told, []);
}

#[test]
fn jitter_beyond_what_a_phone_evens_out_is_told_by_its_delay() {
    let mut talk = Talk::new(config(CUSTOMER, &[PCMU]));
    talk.talk(10, 0, 10);
    talk.talk(20, 0, 900);
    assert_eq!(talk.told.len(), 1, "{:?}", talk.told);
    talk.talk(40, 0, 10);
    assert_eq!(talk.told.len(), 2, "{:?}", talk.told);
}

/// A receiver report of the peer: so many of ours expected, so many lost.
fn received(highest: u32, total_lost: i32, jitter: u32) -> Vec<u8> {
    let ssrc = 0xa000;
    let block = reception::Block { ssrc, fraction_lost: 0, total_lost, highest, jitter };
    let received = Some(Received { block, last_report: 0, delay: 0 });
    let report = Report { ssrc: 1, cname: "phone", sent: None, received, goodbye: false };
    report.to_bytes().unwrap().to_vec()
}

#[test]
fn what_reaches_the_peer_is_told_by_its_reports() {
    let mut world = World::new();
    let a = world.open(0, config(CUSTOMER, &[PCMU]));
    world.hear(a, Hear::Music, None);
    let mut told = Vec::new();
    let (mut highest, mut lost) = (100, 0);
    for n in 0..24 {
        world.tick(5000);
        highest += 250;
        lost += if (4..10).contains(&n) { 60 } else { 0 };
        world.receive(a, Channel::Rtcp, "192.0.2.1:4001", received(highest, lost, 0));
        for event in std::mem::take(&mut world.wire.events) {
            if let MediaEvent::Quality { direction, change, .. } = event {
                told.push((n, direction, matches!(change, QualityChange::Degraded(_))));
            }
        }
    }
    assert_eq!(told, [(5, Direction::ToPeer, true), (12, Direction::ToPeer, false)]);
    let stats = world.close(a);
    assert!(stats.remote_rating.unwrap().mos > 4.3);
    assert_eq!((stats.remote_lost, stats.summary), (Some(360), None));
}

#[test]
fn opus_is_prepared_for_what_its_listener_loses() {
    let (mut world, a, b) = World::call(&[OPUS], &[PCMU]);
    let fec = crate::codec::OpusFormat::OURS;
    world.configure(a, StreamConfig { opus: fec, ..config(CUSTOMER, &[OPUS]) });
    let mut expected = Vec::new();
    let (mut highest, mut lost) = (100, 0);
    for n in 0..10u16 {
        for packet in 250 * n..250 * (n + 1) {
            world.pass(20);
            world.rtp(b, AGENT, 0, packet);
        }
        highest += 250;
        lost += if (3..5).contains(&n) { 50 } else { 0 };
        world.receive(a, Channel::Rtcp, "192.0.2.1:4001", received(highest, lost, 0));
        let stream = world.worker.streams[a.0].as_mut().unwrap();
        expected.push(stream.mouth.as_mut().unwrap().expected_loss());
    }
    assert_eq!(expected[..5], [10, 10, 10, 20, 20], "at once, and never less than is worth it");
    assert!(expected[5..].is_sorted_by(|a, b| a >= b) && expected[5] > 10, "{expected:?}");
    assert_eq!(expected[9], 10);
}

#[test]
fn a_peer_that_reports_nonsense_is_believed_no_more_than_was_sent() {
    let mut world = World::new();
    let a = world.open(0, config(CUSTOMER, &[PCMU]));
    for (highest, lost) in [(7, 0), (u32::MAX, i32::MAX), (3, -8_000_000), (0, 0x7f_ffff)] {
        world.receive(a, Channel::Rtcp, "192.0.2.1:4001", received(highest, lost, u32::MAX));
        world.tick(6000);
    }
    let told = |event: &MediaEvent| matches!(event, MediaEvent::Quality { .. });
    assert!(!world.wire.events.iter().any(told), "nothing was sent, so nothing was lost");
}

/// The VoIP metrics in the reports sent to the customer's RTCP port.
fn metrics_sent(wire: &Wire) -> Vec<Option<VoipMetrics>> {
    let reports = wire.sent.iter().filter(|(_, channel, ..)| *channel == Channel::Rtcp);
    reports.map(|(.., datagram)| rtcp::parse(datagram, 1).unwrap().metrics).collect()
}

#[test]
fn who_asks_for_it_is_told_how_it_sounds() {
    for voip_metrics in [false, true] {
        let mut talk = Talk::new(StreamConfig { voip_metrics, ..config(CUSTOMER, &[PCMU]) });
        talk.talk(20, 10, 0);
        let metrics = metrics_sent(&talk.world.wire);
        assert!(metrics.len() >= 2);
        assert_eq!(metrics.iter().any(Option::is_some), voip_metrics);
        if let Some(Some(last)) = metrics.last() {
            assert!((13..40).contains(&last.loss_rate), "{last:?}");
            assert!(last.mos_cq.is_some_and(|mos| (25..38).contains(&mos)), "{last:?}");
        }
    }
}

/// What the customer was told last.
fn last_metrics(world: &World) -> VoipMetrics {
    metrics_sent(&world.wire).into_iter().flatten().next_back().unwrap()
}

#[test]
fn what_comes_too_late_to_be_played_counts_as_lost_and_is_told_apart() {
    let noise = NoiseRemoval { enabled: true, settings: DenoiseSettings::default() };
    // Relayed, the listener's own buffer has it in order; cleaned or coded anew it is too late, but
    // for those that only one has overtaken: after the first of them they are waited for.
    let rows = [
        (PCMU, None, 1, 0),
        (PCMU, None, 3, 0),
        (PCMA, None, 1, 0),
        (PCMA, None, 3, 25),
        (PCMU, Some(noise), 1, 0),
        (PCMU, Some(noise), 3, 25),
    ];
    for (agent, noise_removal, others, discard_rate) in rows {
        let (mut world, a, _) = World::call(&[PCMU], &[agent]);
        let voip_metrics = true;
        let config = config(CUSTOMER, &[PCMU]);
        world.configure(a, StreamConfig { noise_removal, voip_metrics, ..config });
        for n in 0..1500u16 {
            world.tick(20);
            // One of ten is overtaken by others.
            let sent = match (n % 10).checked_sub(3) {
                Some(at) if at < others => n + 1,
                Some(at) if at == others => n - others,
                Some(_) | None => n,
            };
            world.rtp(a, CUSTOMER, 0, sent);
        }
        let metrics = last_metrics(&world);
        assert!(metrics.discard_rate.abs_diff(discard_rate) <= 1, "{metrics:?}");
        assert_eq!((metrics.loss_rate, metrics.buffer_ms), (0, [0; 3]), "{metrics:?}");
        let is_cleaned = noise_removal.is_some();
        let expected = if is_cleaned { (16, 0b1000_0000) } else { (0, 0) };
        assert_eq!((metrics.end_system_ms, metrics.rx_config), expected);
        let stats = world.close(a);
        let summary = stats.summary.unwrap();
        assert_eq!(stats.lost, 0, "RFC 3550 counts what came");
        let is_discarded = discard_rate > 0;
        assert!((summary.loss_percent - if is_discarded { 10.0 } else { 0.0 }).abs() < 0.5);
        // G.113: 10 % of loss at random has Ie,eff = 27.
        assert_eq!(summary.rating.mos_listening < 3.5, is_discarded, "{summary:?}");
        assert_eq!(stats.rating.unwrap().mos_listening < 3.5, is_discarded, "{stats:?}");
    }
}

#[test]
fn in_a_mix_the_jitter_buffer_is_told_and_its_delay_is_rated() {
    let mut delays = vec![];
    for jitter_ms in [0, 100] {
        let mut talk = Talk::new(StreamConfig { voip_metrics: true, ..config(CUSTOMER, &[PCMU]) });
        let b = talk.world.open(1, config(AGENT, &[PCMU]));
        talk.world.hear(b, Hear::Mix([StreamId(0)].into_iter().collect()), None);
        talk.talk(40, 0, jitter_ms);
        let delay_ms = f64::from(talk.world.worker.playout(talk.a).unwrap().delay_ms);
        let metrics = last_metrics(&talk.world);
        let [nominal, maximum, ever] = metrics.buffer_ms;
        assert!((f64::from(nominal) - delay_ms).abs() < 25.0, "{delay_ms}: {metrics:?}");
        assert_eq!((maximum, ever, metrics.rx_config), (240, 240, 0b1011_0000));
        assert_eq!(metrics.end_system_ms, nominal + 20);
        let rating = talk.world.close(talk.a).summary.unwrap().rating;
        // The buffer and a packet; 0.024 a millisecond.
        let impaired = 0.024 * (delay_ms + 20.0);
        assert!((93.2 - rating.r - impaired).abs() < 0.5, "{rating:?}, {delay_ms} ms");
        delays.push(delay_ms);
    }
    assert!(delays[0] < 21.0 && delays[1] > delays[0] + 30.0, "{delays:?}");
}

#[test]
fn what_a_peer_says_of_itself_is_kept() {
    let mut world = World::new();
    let a = world.open(0, config(CUSTOMER, &[PCMU]));
    let metrics = VoipMetrics { ssrc: 0xa000, mos_cq: Some(31), ..VoipMetrics::default() };
    let report = Report { ssrc: 1, cname: "phone", sent: None, received: None, goodbye: false };
    let datagram = report.to_bytes_with(Some(&metrics)).unwrap().to_vec();
    world.receive(a, Channel::Rtcp, "192.0.2.1:4001", datagram);
    assert_eq!(world.close(a).peer_metrics, Some(metrics));
}
