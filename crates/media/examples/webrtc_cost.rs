//! What protection and browsers' legs cost: SRTP on top of a relayed leg, a handshake, a check, and
//! the memory of a leg whose keys are made by DTLS.
//!
//! `cargo run --release -p media --example webrtc_cost`
#![allow(clippy::print_stdout, clippy::disallowed_methods, clippy::disallowed_types)]
#![allow(clippy::unwrap_used, unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use base::Time;
use media::dtls::{Dtls, Event, Identity, Peer, Role};
use media::srtp::{Keying, MasterKey, Profile, Srtp};

/// Packets a second in each direction of a leg.
const PACKETS: u32 = 50;
const ROUNDS: usize = 7;
const PACKET_LEN: usize = 172;

/// Counts what is held.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() {
    for profile in Profile::ALL {
        let nanos = srtp(profile);
        let share = nanos * f64::from(PACKETS) * 1e-9 * 100.0;
        println!("SRTP {profile:?}: {nanos:.0} ns a packet both ways, {share:.4} % a leg");
    }
    let identities = [identity("a"), identity("b")];
    let micros = best(|| {
        let start = Instant::now();
        handshake(&identities);
        start.elapsed().as_secs_f64() * 1e6
    });
    println!("DTLS: {micros:.0} µs for both ends of a handshake");
    let before = HELD.load(Ordering::Relaxed);
    let (legs, keys): (Vec<_>, Vec<_>) = (0..100).map(|_| handshake(&identities)).unzip();
    let held = (HELD.load(Ordering::Relaxed) - before) / 200;
    println!("DTLS: {held} bytes held by an end with keys, its last flight included");
    let before = HELD.load(Ordering::Relaxed);
    let contexts: Vec<_> =
        keys.into_iter().flatten().map(|keys| Box::new(Srtp::new(keys))).collect();
    let held = (HELD.load(Ordering::Relaxed) - before) / contexts.len();
    println!("SRTP: {held} bytes a leg");
    drop(legs);
}

fn best(mut work: impl FnMut() -> f64) -> f64 {
    (0..ROUNDS).map(|_| work()).fold(f64::MAX, f64::min)
}

/// Protecting one packet and opening another, nanoseconds.
fn srtp(profile: Profile) -> f64 {
    let key = |byte| MasterKey::new(profile, &vec![byte; profile.key_and_salt_len()]).unwrap();
    let ours = Keying { profile, send: key(1), receive: key(2) };
    let theirs = Keying { profile, send: key(2), receive: key(1) };
    let (mut here, mut there) = (Srtp::new(ours), Srtp::new(theirs));
    let count = 60_000u32;
    let mut sequence = 0u16;
    best(|| {
        let start = Instant::now();
        for _ in 0..count {
            sequence = sequence.wrapping_add(1);
            let mut packet = [0x80; PACKET_LEN + 20];
            packet[2..4].copy_from_slice(&sequence.to_be_bytes());
            let len = here.protect_rtp(&mut packet, PACKET_LEN).unwrap();
            assert_eq!(there.unprotect_rtp(&mut packet[..len]), Ok(PACKET_LEN));
        }
        start.elapsed().as_secs_f64() * 1e9 / f64::from(count)
    })
}

fn identity(name: &str) -> Arc<Identity> {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    let key = made.signing_key.serialize_der();
    Arc::new(Identity::new(made.cert.der(), &key, Instant::now()).unwrap())
}

fn handshake([a, b]: &[Arc<Identity>; 2]) -> ([Dtls; 2], [Keying; 2]) {
    let peer = |role, of: &Identity| Peer { role, fingerprints: vec![of.fingerprint().clone()] };
    let mut client = Dtls::new(a.clone(), peer(Role::Client, b));
    let mut server = Dtls::new(b.clone(), peer(Role::Server, a));
    client.start(Time::ZERO);
    let mut keys = [None, None];
    while keys.iter().any(Option::is_none) {
        while let Some(datagram) = client.poll_transmit() {
            if let Some(Event::Keyed(made)) = server.handle(Time::ZERO, &datagram) {
                keys[1] = Some(made);
            }
        }
        while let Some(datagram) = server.poll_transmit() {
            if let Some(Event::Keyed(made)) = client.handle(Time::ZERO, &datagram) {
                keys[0] = Some(made);
            }
        }
    }
    ([client, server], keys.map(Option::unwrap))
}
