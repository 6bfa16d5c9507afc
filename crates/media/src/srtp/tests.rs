//! What a leg does with packets: two of ours against each other, and against webrtc-rs.

use proptest::prelude::*;
use rtc_srtp::context::Context;
use rtc_srtp::protection_profile::ProtectionProfile;

use super::*;

fn key(profile: Profile, seed: u8) -> MasterKey {
    let bytes: Vec<u8> = (0..profile.key_and_salt_len() as u8).map(|n| n ^ seed).collect();
    MasterKey::new(profile, &bytes).unwrap()
}

fn keying(profile: Profile, send: u8, receive: u8) -> Keying {
    Keying { profile, send: key(profile, send), receive: key(profile, receive) }
}

/// Two legs that face each other.
fn pair(profile: Profile) -> (Srtp, Srtp) {
    (Srtp::new(keying(profile, 1, 2)), Srtp::new(keying(profile, 2, 1)))
}

fn rtp(ssrc: u32, sequence: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, 0, 0, 0, 0, 0, 0, 160, 0, 0, 0, 0];
    packet[2..4].copy_from_slice(&sequence.to_be_bytes());
    packet[8..12].copy_from_slice(&ssrc.to_be_bytes());
    packet.extend_from_slice(payload);
    packet
}

fn report(ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x80, 200, 0, 6];
    packet.extend_from_slice(&ssrc.to_be_bytes());
    packet.extend_from_slice(&[7; 20]);
    packet
}

fn protect(srtp: &mut Srtp, clear: &[u8]) -> Result<Vec<u8>, Refused> {
    let mut buffer = [clear, &[0; OVERHEAD_MAX]].concat();
    let len = srtp.protect_rtp(&mut buffer, clear.len())?;
    buffer.truncate(len);
    Ok(buffer)
}

fn protect_rtcp(srtp: &mut Srtp, clear: &[u8]) -> Vec<u8> {
    let mut buffer = [clear, &[0; OVERHEAD_MAX]].concat();
    let len = srtp.protect_rtcp(&mut buffer, clear.len()).unwrap();
    buffer.truncate(len);
    buffer
}

fn unprotect(srtp: &mut Srtp, packet: &[u8]) -> Result<Vec<u8>, Reason> {
    let mut packet = packet.to_vec();
    let len = srtp.unprotect_rtp(&mut packet)?;
    packet.truncate(len);
    Ok(packet)
}

fn unprotect_rtcp(srtp: &mut Srtp, packet: &[u8]) -> Result<Vec<u8>, Reason> {
    let mut packet = packet.to_vec();
    let len = srtp.unprotect_rtcp(&mut packet)?;
    packet.truncate(len);
    Ok(packet)
}

fn theirs(profile: Profile, seed: u8) -> Context {
    let (name, salt) = match profile {
        Profile::AesCm128HmacSha1_80 => (ProtectionProfile::Aes128CmHmacSha1_80, 14),
        Profile::AesCm128HmacSha1_32 => (ProtectionProfile::Aes128CmHmacSha1_32, 14),
        Profile::AeadAes128Gcm => (ProtectionProfile::AeadAes128Gcm, 12),
    };
    let bytes: Vec<u8> = (0..30).map(|n| n ^ seed).collect();
    let provider = rtc_crypto::default_provider().unwrap();
    let (key, salt) = (&bytes[..16], &bytes[16..16 + salt]);
    Context::new(key, salt, name, None, None, provider.crypto()).unwrap()
}

#[test]
fn what_one_leg_protects_the_other_reads() {
    for profile in Profile::ALL {
        let (mut a, mut b) = pair(profile);
        for n in 0..5 {
            let clear = rtp(7, 65534u16.wrapping_add(n), &[n as u8; 160]);
            let packet = protect(&mut a, &clear).unwrap();
            assert_eq!(packet.len(), clear.len() + profile.rtp_overhead());
            assert!(!packet.windows(20).any(|part| part == [n as u8; 20]));
            assert_eq!(unprotect(&mut b, &packet), Ok(clear));
            let packet = protect_rtcp(&mut a, &report(7));
            assert_eq!(packet.len(), 28 + profile.rtcp_overhead());
            assert_eq!(
                packet[packet.len() - if profile == Profile::AeadAes128Gcm { 1 } else { 11 }],
                n as u8 + 1
            );
            assert_eq!(unprotect_rtcp(&mut b, &packet), Ok(report(7)));
        }
        assert_eq!(b.dropped(), Dropped::default());
    }
}

/// Headers with CSRCs, extensions and padding, both ways, over a roll-over.
#[test]
fn webrtc_rs_reads_and_writes_the_same_packets() {
    for profile in Profile::ALL {
        let (mut out, mut back) = (theirs(profile, 1), theirs(profile, 2));
        let mut ours = Srtp::new(keying(profile, 1, 2));
        for n in 0..8u16 {
            let mut clear = rtp(0xcafe, 65532u16.wrapping_add(n), &[3; 161]);
            match n % 4 {
                1 => {
                    clear[0] |= 2;
                    clear.splice(12..12, [9; 8]);
                }
                2 => {
                    clear[0] |= 0x10;
                    clear.splice(12..12, [0xbe, 0xde, 0, 1, 0x12, 1, 2, 3]);
                }
                3 => clear[0] |= 0x20,
                _ => {}
            }
            let packet = protect(&mut ours, &clear).unwrap();
            assert_eq!(out.decrypt_rtp(&packet).unwrap(), clear);
            let packet = back.encrypt_rtp(&clear).unwrap();
            assert_eq!(unprotect(&mut ours, &packet), Ok(clear), "{n}");
            let packet = protect_rtcp(&mut ours, &report(0xcafe));
            assert_eq!(out.decrypt_rtcp(&packet).unwrap(), report(0xcafe));
            let packet = back.encrypt_rtcp(&report(0xcafe)).unwrap();
            assert_eq!(unprotect_rtcp(&mut ours, &packet), Ok(report(0xcafe)));
        }
    }
}

#[test]
fn a_packet_changed_or_repeated_is_dropped_and_counted() {
    for profile in Profile::ALL {
        let (mut a, mut b) = pair(profile);
        let clear = rtp(7, 1, b"speech");
        let packet = protect(&mut a, &clear).unwrap();
        for at in 0..packet.len() {
            let mut changed = packet.clone();
            changed[at] ^= 0x40;
            assert!(unprotect(&mut b, &changed).is_err(), "{at}");
        }
        let early = b.dropped();
        assert_eq!(early.malformed + early.unauthenticated, packet.len() as u64);
        assert_eq!(unprotect(&mut b, &packet), Ok(clear));
        assert_eq!(unprotect(&mut b, &packet), Err(Reason::Replayed));
        let packet = protect_rtcp(&mut a, &report(7));
        for at in 0..packet.len() {
            let mut changed = packet.clone();
            changed[at] ^= 0x80;
            assert!(unprotect_rtcp(&mut b, &changed).is_err(), "{at}");
        }
        assert_eq!(unprotect_rtcp(&mut b, &packet), Ok(report(7)));
        assert_eq!(unprotect_rtcp(&mut b, &packet), Err(Reason::Replayed));
        assert_eq!(b.dropped().replayed, 2);
    }
}

#[test]
fn strangers_leave_no_trace() {
    let (mut a, mut b) = pair(Profile::AesCm128HmacSha1_80);
    let mut stranger = Srtp::new(keying(Profile::AesCm128HmacSha1_80, 8, 9));
    for n in 0..200 {
        // Among them the SSRC of the peer, far ahead.
        let packet = protect(&mut stranger, &rtp(n % 10 + 7, 30_000 + n as u16, b"noise")).unwrap();
        assert_eq!(unprotect(&mut b, &packet), Err(Reason::Unauthenticated));
    }
    assert_eq!(b.snapshot().receive, []);
    let clear = rtp(7, 1, b"speech");
    let packet = protect(&mut a, &clear).unwrap();
    assert_eq!(unprotect(&mut b, &packet), Ok(clear));
    assert_eq!(b.dropped().unauthenticated, 200);
}

#[test]
fn a_roll_over_with_loss_and_reorder_is_followed() {
    for profile in Profile::ALL {
        let (mut a, mut b) = pair(profile);
        // Three rounds in big steps, each wrap with its packets shuffled.
        let sequences = (0..40u64).map(|n| 60_000 + n * 5000 + n % 3);
        let packets: Vec<_> = sequences
            .map(|index| protect(&mut a, &rtp(7, index as u16, &index.to_be_bytes())).unwrap())
            .collect();
        for group in packets.chunks(3) {
            for packet in group.iter().rev() {
                let far = unprotect(&mut b, packet);
                // 10,000 behind is behind the window.
                assert!(far.is_ok() || far == Err(Reason::Replayed));
            }
        }
        let highest = b.snapshot().receive[0].rtp.unwrap().highest();
        assert_eq!(highest, 60_000 + 39 * 5000);
        assert_eq!(b.dropped().unauthenticated, 0);
    }
    let (mut a, mut b) = pair(Profile::AesCm128HmacSha1_80);
    let order = [65530u16, 65534, 1, 65533, 0, 65535, 3, 2, 65531];
    let mut sorted = order;
    sorted.sort_by_key(|n| n.wrapping_add(100));
    let sent: Vec<_> = sorted.map(|n| (n, protect(&mut a, &rtp(7, n, b"x")).unwrap())).into();
    for n in order {
        let packet = &sent.iter().find(|(number, _)| *number == n).unwrap().1;
        assert_eq!(unprotect(&mut b, packet), Ok(rtp(7, n, b"x")), "{n}");
    }
}

#[test]
fn a_source_first_heard_after_its_roll_over_is_understood() {
    for profile in Profile::ALL {
        let (mut a, mut b) = pair(profile);
        let lost = protect(&mut a, &rtp(7, 65535, b"x")).unwrap();
        let packet = protect(&mut a, &rtp(7, 0, b"x")).unwrap();
        assert_eq!(unprotect(&mut b, &packet), Ok(rtp(7, 0, b"x")));
        assert_eq!(unprotect(&mut b, &lost), Ok(rtp(7, 65535, b"x")));
    }
}

#[test]
fn a_change_of_ssrc_begins_anew_and_the_old_source_may_come_back() {
    let (mut a, mut b) = pair(Profile::AeadAes128Gcm);
    for ssrc in [1, 2, 1, 3] {
        for n in 0..3 {
            let sequence = a
                .snapshot()
                .send
                .iter()
                .find(|it| it.ssrc == ssrc)
                .map_or(65534, |it| it.rtp.unwrap().highest() as u16);
            let clear = rtp(ssrc, sequence.wrapping_add(1), &[n]);
            let packet = protect(&mut a, &clear).unwrap();
            assert_eq!(unprotect(&mut b, &packet), Ok(clear));
        }
    }
    assert_eq!(b.dropped(), Dropped::default());
}

#[test]
fn no_index_of_ours_is_used_twice() {
    let (mut a, _) = pair(Profile::AesCm128HmacSha1_80);
    protect(&mut a, &rtp(7, 1000, b"x")).unwrap();
    assert_eq!(protect(&mut a, &rtp(7, 1000, b"y")), Err(Refused::Repeated));
    protect(&mut a, &rtp(7, 990, b"late")).unwrap();
    assert_eq!(protect(&mut a, &rtp(7, 990, b"late")), Err(Refused::Repeated));
    assert_eq!(protect(&mut a, &rtp(7, 800, b"too late")), Err(Refused::Repeated));
    for ssrc in 100..100 + SOURCES_MAX as u32 - 1 {
        protect(&mut a, &rtp(ssrc, 1, b"x")).unwrap();
    }
    assert_eq!(protect(&mut a, &rtp(99, 1, b"x")), Err(Refused::TooManySources));
    assert!(protect(&mut a, &rtp(7, 1001, b"x")).is_ok());
}

#[test]
fn what_has_no_room_or_no_shape_is_refused() {
    for profile in Profile::ALL {
        let (mut a, _) = pair(profile);
        let clear = rtp(7, 1, b"x");
        let mut tight = clear.clone();
        tight.resize(clear.len() + profile.rtp_overhead() - 1, 0);
        assert_eq!(a.protect_rtp(&mut tight, clear.len()), Err(Refused::NoRoom));
        assert_eq!(a.protect_rtp(&mut tight, 5000), Err(Refused::NoRoom));
        assert_eq!(a.protect_rtp(&mut [0x80; 40], 11), Err(Refused::Malformed));
        assert_eq!(a.protect_rtp(&mut [0x9f; 70], 40), Err(Refused::Malformed));
        assert_eq!(a.protect_rtp(&mut [0; 70], 40), Err(Refused::Malformed));
        assert_eq!(a.protect_rtcp(&mut [0x80; 40], 7), Err(Refused::Malformed));
        let len = 30;
        let mut tight = vec![0x80; len + profile.rtcp_overhead() - 1];
        assert_eq!(a.protect_rtcp(&mut tight, len), Err(Refused::NoRoom));
        // Nothing was used up.
        assert!(a.snapshot().send.is_empty());
    }
}

#[test]
fn the_roll_over_counter_stays_when_the_key_stays() {
    for profile in Profile::ALL {
        let (mut a, mut b) = pair(profile);
        for sequence in [65535, 0] {
            let packet = protect(&mut a, &rtp(7, sequence, b"x")).unwrap();
            unprotect(&mut b, &packet).unwrap();
        }
        // A re-INVITE that changes nothing, then one that changes the other direction only.
        b.rekey(keying(profile, 2, 1));
        b.rekey(keying(profile, 3, 1));
        a.rekey(keying(profile, 1, 3));
        let packet = protect(&mut a, &rtp(7, 1, b"x")).unwrap();
        assert_eq!(unprotect(&mut b, &packet), Ok(rtp(7, 1, b"x")));
        assert_eq!(b.snapshot().receive[0].rtp.unwrap().highest(), 65536 + 1);
        let packet = protect(&mut b, &rtp(9, 1, b"x")).unwrap();
        assert_eq!(unprotect(&mut a, &packet), Ok(rtp(9, 1, b"x")));
    }
}

/// RFC 4568 §7.1.4: a new key, a new context.
#[test]
fn a_new_key_begins_at_roll_over_zero_and_the_former_fades() {
    for profile in Profile::ALL {
        let (mut a, mut b) = pair(profile);
        for sequence in [65535, 0] {
            let packet = protect(&mut a, &rtp(7, sequence, b"x")).unwrap();
            unprotect(&mut b, &packet).unwrap();
        }
        let on_the_way: Vec<_> =
            (1..4).map(|n| protect(&mut a, &rtp(7, n, b"old")).unwrap()).collect();
        let report_on_the_way = protect_rtcp(&mut a, &report(7));
        a.rekey(keying(profile, 4, 2));
        b.rekey(keying(profile, 2, 4));
        assert_eq!(unprotect(&mut b, &on_the_way[0]), Ok(rtp(7, 1, b"old")));
        for n in 4..4 + u16::from(FORMER_PACKETS) - 1 {
            let packet = protect(&mut a, &rtp(7, n, b"new")).unwrap();
            assert_eq!(unprotect(&mut b, &packet), Ok(rtp(7, n, b"new")));
        }
        assert_eq!(a.snapshot().send[0].rtp.unwrap().highest() >> 16, 0);
        assert_eq!(unprotect(&mut b, &on_the_way[1]), Ok(rtp(7, 2, b"old")));
        assert_eq!(unprotect(&mut b, &on_the_way[1]), Err(Reason::Replayed));
        assert_eq!(unprotect_rtcp(&mut b, &report_on_the_way), Ok(report(7)));
        assert_eq!(unprotect_rtcp(&mut b, &report_on_the_way), Err(Reason::Replayed));
        let packet = protect(&mut a, &rtp(7, 100, b"new")).unwrap();
        assert_eq!(unprotect(&mut b, &packet), Ok(rtp(7, 100, b"new")));
        assert_eq!(unprotect(&mut b, &on_the_way[2]), Err(Reason::Unauthenticated));
    }
}

/// RFC 3711 §3.3.1: "after a re-keying occurs, the rollover counter always maintains its sequence".
#[test]
fn a_peer_that_keeps_its_roll_over_counter_under_a_new_key_is_understood() {
    for profile in Profile::ALL {
        let (mut a, mut b) = pair(profile);
        for n in 0..8u64 {
            let packet = protect(&mut a, &rtp(7, (n * 30_000) as u16, b"x")).unwrap();
            unprotect(&mut b, &packet).unwrap();
        }
        let mut kept = a.snapshot();
        assert_eq!(kept.send[0].rtp.unwrap().highest() >> 16, 3);
        kept.keying = keying(profile, 4, 2);
        let mut a = Srtp::restore(kept);
        b.rekey(keying(profile, 2, 4));
        for n in 8..11u64 {
            let clear = rtp(7, (n * 30_000) as u16, b"x");
            let packet = protect(&mut a, &clear).unwrap();
            assert_eq!(unprotect(&mut b, &packet), Ok(clear));
        }
        assert_eq!(b.snapshot().receive[0].rtp.unwrap().highest() >> 16, 4);
    }
}

#[test]
fn a_restored_leg_goes_on() {
    for profile in Profile::ALL {
        let (mut a, mut b) = pair(profile);
        for sequence in [65535, 0, 2] {
            let packet = protect(&mut a, &rtp(7, sequence, b"x")).unwrap();
            unprotect(&mut b, &packet).unwrap();
            let packet = protect_rtcp(&mut a, &report(7));
            unprotect_rtcp(&mut b, &packet).unwrap();
        }
        let replayed = protect(&mut a, &rtp(7, 3, b"x")).unwrap();
        unprotect(&mut b, &replayed).unwrap();
        let text = serde_json::to_string(&[a.snapshot(), b.snapshot()]).unwrap();
        let [sender, receiver]: [Snapshot; 2] = serde_json::from_str(&text).unwrap();
        assert_eq!(receiver, b.snapshot());
        let (mut a, mut b) = (Srtp::restore(sender), Srtp::restore(receiver));
        let packet = protect(&mut a, &rtp(7, 500, b"x")).unwrap();
        assert_eq!(unprotect(&mut b, &packet), Ok(rtp(7, 500, b"x")));
        assert_eq!(unprotect(&mut b, &replayed), Err(Reason::Replayed));
        let packet = protect_rtcp(&mut a, &report(7));
        assert_eq!(unprotect_rtcp(&mut b, &packet), Ok(report(7)));
        assert!(a.snapshot().send[0].rtcp.unwrap().highest() > RTCP_SKIP);
    }
}

#[test]
fn a_restart_that_lost_count_finds_the_roll_over_counter() {
    for profile in Profile::ALL {
        let (mut a, b) = pair(profile);
        let mut last = Vec::new();
        for n in 0..30u64 {
            last = protect(&mut a, &rtp(7, (n * 30_000) as u16, b"x")).unwrap();
        }
        let mut b = Srtp::restore(Snapshot { receive: Vec::new(), ..b.snapshot() });
        assert!(unprotect(&mut b, &last).is_ok());
        assert_eq!(b.snapshot().receive[0].rtp.unwrap().highest(), 29 * 30_000);
        // Once found, no more is searched.
        assert!(!b.searching);
    }
}

#[test]
fn unencrypted_rtcp_is_refused() {
    let (_, mut b) = pair(Profile::AesCm128HmacSha1_80);
    let clear = [&report(7)[..], &[0, 0, 0, 1], &[0; 10]].concat();
    assert_eq!(unprotect_rtcp(&mut b, &clear), Err(Reason::Malformed));
}

#[test]
fn neither_keys_nor_snapshots_print() {
    let (a, _) = pair(Profile::AeadAes128Gcm);
    for shown in [format!("{a:?}"), format!("{:?}", a.snapshot())] {
        assert!(shown.contains("send: ***") && shown.contains("receive: ***"), "{shown}");
    }
}

proptest! {
    #[test]
    fn no_bytes_of_a_stranger_pass_or_panic(
        profile in prop::sample::select(&Profile::ALL[..]),
        mut bytes in prop::collection::vec(any::<u8>(), 0..200),
        version in any::<bool>(),
    ) {
        let (mut a, mut b) = pair(profile);
        if let (true, Some(first)) = (version, bytes.first_mut()) {
            *first = *first & 0x3f | 0x80;
        }
        prop_assert!(b.unprotect_rtp(&mut bytes.clone()).is_err());
        prop_assert!(b.unprotect_rtcp(&mut bytes.clone()).is_err());
        let len = bytes.len();
        bytes.resize(len + OVERHEAD_MAX, 0);
        if let Ok(len) = a.protect_rtp(&mut bytes.clone(), len) {
            prop_assert!(len <= bytes.len());
        }
        let _ = a.protect_rtcp(&mut bytes, len);
    }

    /// A channel that loses, repeats and reorders: each packet arrives at most once, and all that
    /// arrive within the window do.
    #[test]
    fn every_packet_arrives_once(
        profile in prop::sample::select(&Profile::ALL[..]),
        start in any::<u16>(),
        moves in prop::collection::vec((0usize..20, 0u8..10), 1..300),
    ) {
        let (mut a, mut b) = pair(profile);
        let mut there = std::collections::BTreeSet::new();
        let mut waiting: Vec<(u32, Vec<u8>)> = Vec::new();
        for (n, (which, what)) in moves.into_iter().enumerate() {
            let clear = rtp(7, start.wrapping_add(n as u16), &n.to_be_bytes());
            waiting.push((n as u32, protect(&mut a, &clear).unwrap()));
            if what == 0 || waiting.len() < 2 {
                continue;
            }
            let which = which % waiting.len();
            let (number, packet) = waiting[which].clone();
            let fresh = there.insert(number);
            prop_assert_eq!(unprotect(&mut b, &packet).is_ok(), fresh);
            if what != 1 {
                waiting.swap_remove(which);
            }
            waiting.retain(|(number, _)| number + 100 > n as u32);
        }
    }
}
