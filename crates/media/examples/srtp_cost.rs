//! What SRTP costs: nanoseconds for a packet of 20 ms of G.711, best of several rounds.
//!
//! `cargo run --release -p media --example srtp_cost`
#![allow(clippy::print_stdout, clippy::disallowed_methods, clippy::unwrap_used)]

use std::time::Instant;

use media::srtp::{Keying, MasterKey, OVERHEAD_MAX, Profile, Srtp};

const PACKETS: u32 = 50_000;
const ROUNDS: u32 = 7;
const LEN: usize = 12 + 160;

/// Best mean of the rounds, for protecting and for unprotecting, nanoseconds.
fn cost(profile: Profile) -> (f64, f64) {
    let key = |seed| MasterKey::new(profile, &vec![seed; profile.key_and_salt_len()]).unwrap();
    let mut here = Srtp::new(Keying { profile, send: key(1), receive: key(2) });
    let mut there = Srtp::new(Keying { profile, send: key(2), receive: key(1) });
    let mut best = (f64::MAX, f64::MAX);
    let mut packets = vec![[0x55; LEN + OVERHEAD_MAX]; PACKETS as usize];
    let mut sequence = 0u16;
    for _ in 0..ROUNDS {
        for packet in &mut packets {
            packet[..4].copy_from_slice(&[0x80, 0, (sequence >> 8) as u8, sequence as u8]);
            sequence = sequence.wrapping_add(1);
        }
        let start = Instant::now();
        let mut len = 0;
        for packet in &mut packets {
            len = here.protect_rtp(packet, LEN).unwrap();
        }
        let protect = start.elapsed();
        let start = Instant::now();
        for packet in &mut packets {
            assert_eq!(there.unprotect_rtp(&mut packet[..len]), Ok(LEN));
        }
        let per_packet = |all: std::time::Duration| all.as_nanos() as f64 / f64::from(PACKETS);
        best = (best.0.min(per_packet(protect)), best.1.min(per_packet(start.elapsed())));
    }
    best
}

fn main() {
    println!("profile                  protect  unprotect  share of a core at 50+50 packets/s");
    for profile in Profile::ALL {
        let (protect, unprotect) = cost(profile);
        let share = (protect + unprotect) * 50.0 / 1e9 * 100.0;
        println!("{:24} {protect:4.0} ns    {unprotect:4.0} ns  {share:.4} %", profile.name());
    }
}
