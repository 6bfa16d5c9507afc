//! Ports of a test's own, also while other tests run beside it.
//!
//! Ports come in blocks. A block is ours while we hold its first port: the kernel sees to it that
//! nobody else does, and frees it however the test ends. All blocks lie below what servers use for
//! RTP (10000 and up, also under load) and what the kernel gives to others (32768 and up).

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::ops::RangeInclusive;

const FIRST: u16 = 2_000;
const BLOCK_LEN: u16 = 100;
const BLOCKS: u16 = 80;
/// Where the first ports are held: an address that no test uses.
const GUARD: Ipv4Addr = Ipv4Addr::new(127, 255, 0, 1);

/// Some blocks of ports in a row.
#[derive(Debug)]
pub struct Ports {
    _guards: Vec<UdpSocket>,
    next: u16,
    end: u16,
}

impl Ports {
    /// Takes so many blocks of 99 ports each that are free for UDP and TCP.
    pub fn claim(blocks: u16) -> Self {
        // Tests begin in different places, so that they seldom meet.
        let start = u16::try_from(std::process::id() % u32::from(BLOCKS)).unwrap_or(0);
        (0..BLOCKS)
            .map(|at| (start + at) % BLOCKS)
            .filter(|at| at + blocks <= BLOCKS)
            .find_map(|at| Self::try_claim(FIRST + at * BLOCK_LEN, blocks))
            .expect("some block of ports is free")
    }

    fn try_claim(first: u16, blocks: u16) -> Option<Self> {
        let guard = |block| UdpSocket::bind((GUARD, first + block * BLOCK_LEN)).ok();
        let guards = (0..blocks).map(guard).collect::<Option<Vec<_>>>()?;
        let end = first + blocks * BLOCK_LEN;
        let is_guard = |port: &u16| (port - first).is_multiple_of(BLOCK_LEN);
        let all_free = (first..end).filter(|port| !is_guard(port)).all(is_free);
        all_free.then_some(Self { _guards: guards, next: first + 1, end })
    }

    /// One port for UDP and TCP, on any address.
    pub fn take(&mut self) -> u16 {
        self.take_range(1, 1).next().unwrap_or(0)
    }

    /// So many ports in a row, the first a multiple of `align`.
    pub fn take_range(&mut self, len: u16, align: u16) -> RangeInclusive<u16> {
        let first = self.next.next_multiple_of(align);
        self.next = first + len;
        assert!(self.next <= self.end, "more ports needed: claim more blocks");
        first..=self.next - 1
    }
}

fn is_free(port: u16) -> bool {
    let any = (Ipv4Addr::UNSPECIFIED, port);
    UdpSocket::bind(any).is_ok() && TcpListener::bind(any).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_claims_never_overlap() {
        let (mut one, mut two) = (Ports::claim(2), Ports::claim(1));
        let (one, two) = (one.take_range(50, 2), two.take_range(50, 2));
        assert!(one.end() < two.start() || two.end() < one.start());
        assert_eq!(one.start() % 2, 0);
    }
}
