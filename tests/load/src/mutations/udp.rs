//! Mutated datagrams: from strangers, and now and then from a trunk, whose calls go further.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use base::Rng;
use fuzz::mutation::Mutator;

use super::{Played, seeds};
use crate::sip::text::ping;

/// Addresses of strangers: 127.0.1.1 and up.
const STRANGERS: u8 = 64;
/// One case in so many is the trunk's: each call it begins lives for 32 s.
const TRUNK_ONE_IN: u64 = 256;
/// Cases between two questions whether the server has kept up; they fit its receive buffer.
const WINDOW: u64 = 32;
const PATIENCE: Duration = Duration::from_secs(5);

/// Plays so many cases.
///
/// # Errors
/// When a socket fails, or the server does not answer in between.
pub(super) fn run(server: SocketAddr, seed: u64, cases: u64) -> io::Result<Played> {
    let strangers = (1..=STRANGERS).map(|n| bind([127, 0, 1, n])).collect::<Result<Vec<_>, _>>()?;
    let trunk = bind([127, 0, 0, 2])?;
    let pace = UdpSocket::bind((Ipv4Addr::new(127, 0, 1, STRANGERS + 1), 0))?;
    pace.set_read_timeout(Some(PATIENCE))?;
    let mut mutator = Mutator::new(seeds::messages(server, "UDP")?, seed);
    let mut calls = Mutator::new(seeds::calls(server, trunk.local_addr()?), seed ^ 1);
    let mut rng = Rng::from_u64(seed ^ 2);
    let mut played = Played { cases, ..Played::default() };
    for n in 0..cases {
        let (socket, case) = match rng.below(TRUNK_ONE_IN) {
            0 => (&trunk, calls.next_input()),
            other => (&strangers[other as usize % strangers.len()], mutator.next_input()),
        };
        played.messages += u64::from(socket.send_to(&seeds::fresh(&case, n), server).is_ok());
        if n % WINDOW == WINDOW - 1 || n + 1 == cases {
            keep_pace(&pace, server, n)?;
            played.messages += 1;
            played.answers += strangers.iter().chain([&trunk]).map(drain).sum::<u64>();
        }
    }
    Ok(played)
}

fn bind(ip: [u8; 4]) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::from(ip), 0))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn drain(socket: &UdpSocket) -> u64 {
    let mut buffer = [0; 65_536];
    let mut answers = 0;
    while socket.recv(&mut buffer).is_ok() {
        answers += 1;
    }
    answers
}

/// The server reads in order: once this is answered, what went before has been read.
fn keep_pace(socket: &UdpSocket, server: SocketAddr, n: u64) -> io::Result<()> {
    let us = socket.local_addr()?;
    let mut buffer = [0; 4096];
    socket.send_to(ping(us, server, &format!("pace-{n}")).as_bytes(), server)?;
    socket.recv(&mut buffer).map(drop)
}
