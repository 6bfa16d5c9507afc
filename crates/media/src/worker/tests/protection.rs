//! SRTP legs among plain ones (ATTACKS 22).

use super::*;
use crate::rtp::DATAGRAM_MAX;
use crate::srtp::{Keying, MasterKey, OVERHEAD_MAX, Profile, Srtp};

const G722: Payload = payload(Codec::G722, 4, 9, 8000);

fn keying(profile: Profile, [ours, theirs]: [u8; 2]) -> Keying {
    let key = |byte| MasterKey::new(profile, &vec![byte; profile.key_and_salt_len()]).unwrap();
    Keying { profile, send: key(ours), receive: key(theirs) }
}

/// The customer's side of what the server agreed to.
fn customer(profile: Profile) -> Srtp {
    Srtp::new(keying(profile, [2, 1]))
}

fn secure(profile: Profile, payloads: &[Payload]) -> StreamConfig {
    StreamConfig { srtp: Some(keying(profile, [1, 2])), ..config(CUSTOMER, payloads) }
}

fn protect(srtp: &mut Srtp, packet: &[u8]) -> Vec<u8> {
    let mut buffer = [0; DATAGRAM_MAX + OVERHEAD_MAX];
    buffer[..packet.len()].copy_from_slice(packet);
    let len = srtp.protect_rtp(&mut buffer, packet.len()).unwrap();
    buffer[..len].to_vec()
}

/// A customer with SRTP and an agent without.
fn call(profile: Profile, agent: &[Payload]) -> (World, Slot, Slot) {
    let (mut world, a, b) = World::call(&[PCMU], agent);
    world.configure(a, secure(profile, &[PCMU]));
    (world, a, b)
}

#[test]
fn a_secure_leg_and_a_plain_one_hear_each_other_in_every_profile() {
    for profile in Profile::ALL {
        for agent in [PCMU, G722] {
            let (mut world, a, b) = call(profile, &[agent]);
            let mut phone = customer(profile);
            for n in 1..=5 {
                let datagram = protect(&mut phone, &packet(0, n, 1));
                world.receive(a, Channel::Rtp, CUSTOMER, datagram);
                assert_eq!(world.heard(b).len(), 1, "{profile:?}");
                world.rtp(b, AGENT, agent.send, n);
                let (_, _, to, mut datagram) = world.wire.sent.pop().unwrap();
                assert_eq!(to, addr(CUSTOMER));
                let len = phone.unprotect_rtp(&mut datagram).unwrap();
                assert_eq!(len, HEADER_LEN + 160);
            }
        }
    }
}

#[test]
fn what_is_not_the_peers_is_dropped_and_counted_and_nothing_else() {
    let (mut world, a, b) = call(Profile::AesCm128HmacSha1_80, &[PCMU]);
    let mut phone = customer(Profile::AesCm128HmacSha1_80);
    world.rtp(a, CUSTOMER, 0, 1);
    let forged =
        protect(&mut Srtp::new(keying(Profile::AesCm128HmacSha1_80, [9, 9])), &packet(0, 1, 1));
    world.receive(a, Channel::Rtp, CUSTOMER, forged);
    world.receive(a, Channel::Rtcp, "192.0.2.1:4001", report(9, None));
    assert!(world.wire.events.is_empty(), "nothing of it is believed");
    let good = protect(&mut phone, &packet(0, 2, 1));
    world.receive(a, Channel::Rtp, CUSTOMER, good.clone());
    assert_eq!(world.heard(b).len(), 1);
    world.receive(a, Channel::Rtp, CUSTOMER, good);
    assert_eq!(world.heard(b).len(), 0, "replayed");
    let stats = world.close(a);
    assert_eq!((stats.unauthentic_dropped, stats.packets_received), (4, 1));
}

#[test]
fn the_same_keys_go_on_and_new_ones_begin_anew() {
    let profile = Profile::AesCm128HmacSha1_80;
    let (mut world, a, b) = call(profile, &[PCMU]);
    let mut phone = customer(profile);
    let say = |world: &mut World, phone: &mut Srtp, n| {
        let datagram = protect(phone, &packet(0, n, 1));
        world.receive(a, Channel::Rtp, CUSTOMER, datagram);
        world.heard(b).len()
    };
    // Over the wrap of the sequence number, with a re-INVITE in the middle that changes nothing.
    for n in [65_533, 65_534, 65_535, 0, 1] {
        assert_eq!(say(&mut world, &mut phone, n), 1, "{n}");
        world.configure(a, secure(profile, &[PCMU]));
    }
    let mut rekeyed = Srtp::new(keying(profile, [4, 3]));
    let change = StreamConfig { srtp: Some(keying(profile, [3, 4])), ..config(CUSTOMER, &[PCMU]) };
    world.configure(a, change);
    assert_eq!(say(&mut world, &mut rekeyed, 2), 1);
    assert_eq!(say(&mut world, &mut phone, 3), 1, "what was on the way");
}

#[test]
fn reports_are_protected_too() {
    let profile = Profile::AeadAes128Gcm;
    let (mut world, a, _) = call(profile, &[PCMU]);
    let mut phone = customer(profile);
    let datagram = protect(&mut phone, &packet(0, 1, 1));
    world.receive(a, Channel::Rtp, CUSTOMER, datagram);
    world.tick(8000);
    let reports: Vec<_> = std::mem::take(&mut world.wire.sent);
    let mut reports = reports.into_iter().filter(|(slot, ..)| *slot == a);
    let (.., mut datagram) = reports.next().unwrap();
    assert!(phone.unprotect_rtcp(&mut datagram).is_ok());
    let plain = report(5, None);
    let mut buffer = [0; 200];
    buffer[..plain.len()].copy_from_slice(&plain);
    let len = phone.protect_rtcp(&mut buffer, plain.len()).unwrap();
    world.receive(a, Channel::Rtcp, CUSTOMER, buffer[..len].to_vec());
    assert_eq!(world.close(a).rtcp_received, 1);
}
