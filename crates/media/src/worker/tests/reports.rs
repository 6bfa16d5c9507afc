//! Whose RTCP counts, and who gets ours (ATTACKS 19: RTP and RTCP alike).

use super::*;

/// SSRC of what the phones say.
const PEERS: u32 = 1;
const RTCP: &str = "192.0.2.1:4001";
const SAME_HOST: &str = "192.0.2.1:7777";
const NAT: &str = "198.51.100.77:61234";
const NAT_NEXT: &str = "198.51.100.77:61235";
const NAT_OTHER: &str = "198.51.100.77:50000";

/// Where our reports went within 16 s.
fn reported_to(world: &mut World, slot: Slot) -> Vec<SocketAddr> {
    world.wire.sent.clear();
    world.tick(16_000);
    let reports = world
        .wire
        .sent
        .iter()
        .filter(|(from, channel, ..)| *from == slot && *channel == Channel::Rtcp);
    let mut to: Vec<_> = reports.map(|(_, _, to, _)| *to).collect();
    to.dedup();
    to
}

#[test]
fn another_port_of_the_phones_own_host_is_a_stranger() {
    let (mut world, a, _) = World::call(&[PCMU], &[PCMU]);
    // Before RTP and after it, at any pace, whatever it says about itself but the peer's SSRC.
    for n in 0..2000u16 {
        world.receive(a, Channel::Rtcp, SAME_HOST, report(0xdead + u32::from(n), None));
        if n == 1000 {
            world.rtp(a, CUSTOMER, 0, 1);
        }
    }
    assert_eq!(reported_to(&mut world, a), [addr(RTCP)]);
    world.receive(a, Channel::Rtcp, RTCP, report(PEERS, None));
    assert_eq!(reported_to(&mut world, a), [addr(RTCP)]);
    let stats = world.close(a);
    assert_eq!((stats.rtcp_received, stats.strays_dropped), (1, 2000));
}

#[test]
fn what_keeps_a_silent_call_alive_is_the_peers_audio_and_no_report() {
    let timed_out = MediaEvent::RtpTimeout { stream: StreamId(0) };
    for (channel, from, lives) in [
        (Channel::Rtp, CUSTOMER, true),
        (Channel::Rtp, STRANGER, false),
        (Channel::Rtcp, RTCP, false),
        (Channel::Rtcp, SAME_HOST, false),
    ] {
        let (mut world, a, _) = World::call(&[PCMU], &[PCMU]);
        let limit = Some(Duration::from_secs(5));
        world.configure(a, StreamConfig { rtp_timeout: limit, ..config(CUSTOMER, &[PCMU]) });
        world.rtp(a, CUSTOMER, 0, 0);
        for n in 1..=8 {
            world.tick(1000);
            match channel {
                Channel::Rtp => world.rtp(a, from, 0, n),
                Channel::Rtcp => world.receive(a, channel, from, report(PEERS, None)),
            }
        }
        assert_eq!(!world.wire.events.contains(&timed_out), lives, "{channel:?} {from}");
    }
}

#[test]
fn who_has_told_how_its_silence_sounds_may_keep_it_for_as_long_as_it_reports() {
    let timed_out = MediaEvent::RtpTimeout { stream: StreamId(0) };
    let noise = payload(Codec::ComfortNoise, 7, 13, 8000);
    let (mut world, a, _) = World::call(&[PCMU, noise], &[PCMU]);
    let limit = Some(Duration::from_secs(5));
    world.configure(a, StreamConfig { rtp_timeout: limit, ..config(CUSTOMER, &[PCMU, noise]) });
    world.rtp(a, CUSTOMER, 0, 0);
    world.rtp(a, CUSTOMER, 13, 1);
    for _ in 0..30 {
        world.tick(1000);
        world.receive(a, Channel::Rtcp, RTCP, report(PEERS, None));
    }
    assert!(!world.wire.events.contains(&timed_out));
    for _ in 0..7 {
        world.tick(1000);
    }
    assert!(world.wire.events.contains(&timed_out), "it is gone");
}

#[test]
fn a_phone_behind_nat_reports_from_where_its_ssrc_says() {
    // Its own port; another port of that host, by its SSRC; the next one is believed at most.
    let rows = [
        (NAT, 9, true, vec![addr(NAT)]),
        (NAT_OTHER, PEERS, true, vec![addr(NAT_OTHER)]),
        (NAT_OTHER, 9, false, vec![]),
        (NAT_NEXT, 9, true, vec![]),
        (NAT_NEXT, PEERS, true, vec![addr(NAT_NEXT)]),
        (STRANGER, PEERS, false, vec![]),
    ];
    for (from, ssrc, counts, answered) in rows {
        let (mut world, a, b) = World::call(&[PCMU], &[PCMU]);
        let behind_nat = StreamConfig {
            signalling_source: Some(addr(NAT).ip()),
            ..config("10.0.0.5:4000", &[PCMU])
        };
        world.configure(a, behind_nat);
        world.receive(a, Channel::Rtcp, from, report(ssrc, None));
        world.rtp(a, NAT, 0, 1);
        world.receive(a, Channel::Rtcp, from, report(ssrc, None));
        assert_eq!(reported_to(&mut world, a), answered, "{from} {ssrc}");
        // Audio goes where audio comes from, whatever RTCP does.
        world.wire.sent.clear();
        world.rtp(b, AGENT, 0, 1);
        assert_eq!(world.wire.sent.pop().unwrap().2, addr(NAT), "{from} {ssrc}");
        assert_eq!(world.close(a).rtcp_received, u64::from(counts), "{from} {ssrc}");
    }
}

#[test]
fn a_phone_whose_nat_has_forgotten_it_while_it_held_is_found_again() {
    let (mut world, a, b) = World::call(&[PCMU], &[PCMU]);
    let behind_nat = StreamConfig {
        signalling_source: Some(addr(NAT).ip()),
        ..config("10.0.0.5:4000", &[PCMU])
    };
    world.configure(a, behind_nat.clone());
    for sequence in 0..300 {
        world.rtp(a, NAT, 0, sequence);
    }
    assert!(world.wire.pins.contains(&(a, Channel::Rtp, Some(addr(NAT)))));
    world.configure(a, StreamConfig { send: false, ..behind_nat.clone() });
    world.tick(60_000);
    world.wire.pins.clear();
    world.configure(a, behind_nat);
    assert!(world.wire.pins.contains(&(a, Channel::Rtp, None)), "other ports are read again");
    world.wire.sent.clear();
    for sequence in 300..320 {
        world.rtp(a, NAT_OTHER, 0, sequence);
        world.rtp(a, STRANGER, 0, sequence);
    }
    assert_eq!(world.heard(b).len(), 10, "all but those that it takes to believe it");
    world.rtp(b, AGENT, 0, 1);
    assert_eq!(world.wire.sent.pop().unwrap().2, addr(NAT_OTHER));
}

#[test]
fn rtcp_moves_with_rtp() {
    let (mut world, a, _) = World::call(&[PCMU], &[PCMU]);
    let nat = addr(NAT).ip();
    world.configure(a, StreamConfig { signalling_source: Some(nat), ..config(CUSTOMER, &[PCMU]) });
    world.rtp(a, NAT, 0, 1);
    world.receive(a, Channel::Rtcp, NAT_OTHER, report(PEERS, None));
    assert_eq!(reported_to(&mut world, a), [addr(NAT_OTHER)]);
    // The address of SDP corrects the latch: what RTCP has learnt is over with it.
    world.wire.pins.clear();
    world.rtp(a, CUSTOMER, 0, 2);
    assert!(world.wire.pins.contains(&(a, Channel::Rtcp, None)));
    assert_eq!(reported_to(&mut world, a), [addr(RTCP)]);
    world.receive(a, Channel::Rtcp, NAT_OTHER, report(PEERS, None));
    assert_eq!(world.close(a).strays_dropped, 1);
}
