//! Whose packets count: the guarded latch of symmetric RTP (ATTACKS 19, 20; RFC 4961).
//!
//! ```text
//!           the address of SDP
//!   ┌──────────────────────────────────────────────────────┐
//!   │                                                      ▼
//! Open ── a likely source ──▶ Provisional ── it lasts ─▶ Settled
//!   ▲                              └─ the address of SDP ──▲
//!   └──────── aim(): the peer's address changed ───────────┘
//! ```
//! After a hold a NAT may have forgotten its phone, and give it another port: for as long as nothing comes
//! from the old one, another of that host is believed once it lasts ([`Latch::reopen`]).
//!
//! A likely source has the IP address of SDP or of the signalling. Phones behind NAT are found this
//! way: what they write into SDP is not where their packets come from. Nobody else is ever let in.
//! RTCP follows ([`crate::rtcp_latch`]).

use std::net::{IpAddr, SocketAddr};

use crate::rtp::Header;

/// Packets after which a likely source is settled, i.e. five seconds of audio: until then a packet
/// from the address of SDP corrects the latch.
pub const SETTLE_PACKETS: u16 = 250;
/// Packets in sequence that a source must send to be believed, when SDP names another port of the
/// very same host: no NAT explains that.
pub const PATIENCE_PACKETS: u16 = 10;

/// Which source is the peer.
#[derive(Clone, Debug, Default)]
pub struct Latch {
    expected: Option<SocketAddr>,
    signalling: Option<IpAddr>,
    state: State,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Open,
    Trying(Candidate),
    Provisional {
        from: SocketAddr,
        packets: u16,
    },
    Settled(SocketAddr),
    /// Audio flows again after a pause.
    Returning {
        from: SocketAddr,
        candidate: Option<Candidate>,
    },
}

/// A source that has to show patience.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    from: SocketAddr,
    ssrc: u32,
    next_sequence: u16,
    packets: u16,
}

impl Candidate {
    /// With one more packet, or another candidate.
    fn after(before: Option<Self>, from: SocketAddr, header: &Header) -> Self {
        let goes_on = before.filter(|known| {
            same(known.from, from)
                && known.ssrc == header.ssrc
                && known.next_sequence == header.sequence
        });
        let packets = goes_on.map_or(1, |known| known.packets + 1);
        let next_sequence = header.sequence.wrapping_add(1);
        Self { from, ssrc: header.ssrc, next_sequence, packets }
    }
}

/// What a valid packet from an admitted source means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Latched {
    /// It is from the peer.
    Peer,
    /// It is from the peer, which is known from this packet on.
    New,
    /// It is from the peer, which will not be another one any more.
    Settled,
    /// Not believed yet.
    Wait,
}

impl Latch {
    /// Sets whom to expect. The latch opens only when `expected` is another address than before;
    /// without one (nothing may be sent to the peer) it stays as it is.
    pub fn aim(&mut self, expected: Option<SocketAddr>, signalling: Option<IpAddr>) -> bool {
        self.signalling = signalling.map(|ip| ip.to_canonical());
        let moved = expected.is_some_and(|new| !self.expected.is_some_and(|old| same(old, new)));
        if moved {
            self.expected = expected;
            self.state = State::Open;
        }
        moved
    }

    /// Audio flows both ways again, as the signalling says. Whether other ports of a peer behind NAT may be
    /// the peer from now on; one that sends from where its SDP says does not move.
    pub fn reopen(&mut self) -> bool {
        let behind_nat = self.source().filter(|_| self.is_elsewhere());
        if let Some(from) = behind_nat {
            self.state = State::Returning { from, candidate: None };
        }
        behind_nat.is_some()
    }

    /// Whether a packet from `from` is worth looking at. This is asked before any other work.
    pub fn admits(&self, from: SocketAddr) -> bool {
        match self.state {
            State::Settled(peer) => same(peer, from),
            State::Provisional { from: peer, .. } => same(peer, from) || self.is_expected(from),
            State::Open | State::Trying(_) => self.is_expected(from) || self.is_likely(from),
            State::Returning { from: peer, .. } => {
                canonical(peer) == canonical(from) || self.is_expected(from)
            }
        }
    }

    /// Takes note of a valid packet from an admitted source.
    pub fn accept(&mut self, from: SocketAddr, header: &Header) -> Latched {
        match self.state {
            State::Settled(_) => Latched::Peer,
            _ if self.is_expected(from) => {
                let known = self.source().is_some_and(|peer| same(peer, from));
                self.state = State::Settled(from);
                if known { Latched::Settled } else { Latched::New }
            }
            State::Provisional { from, packets } if packets >= SETTLE_PACKETS => {
                self.state = State::Settled(from);
                Latched::Settled
            }
            State::Provisional { from, packets } => {
                self.state = State::Provisional { from, packets: packets + 1 };
                Latched::Peer
            }
            State::Returning { from: peer, .. } if same(peer, from) => {
                self.state = State::Provisional { from, packets: 0 };
                Latched::Peer
            }
            State::Returning { from: peer, candidate } => {
                let candidate = Candidate::after(candidate, from, header);
                let is_patient = candidate.packets > PATIENCE_PACKETS;
                self.state = match is_patient {
                    true => State::Provisional { from, packets: 0 },
                    false => State::Returning { from: peer, candidate: Some(candidate) },
                };
                if is_patient { Latched::New } else { Latched::Wait }
            }
            State::Open => self.attempt(from, header, None),
            State::Trying(candidate) => self.attempt(from, header, Some(candidate)),
        }
    }

    /// The peer, once known.
    pub fn source(&self) -> Option<SocketAddr> {
        match self.state {
            State::Open | State::Trying(_) => None,
            State::Provisional { from, .. }
            | State::Settled(from)
            | State::Returning { from, .. } => Some(from),
        }
    }

    /// The peer, when no packet can change it any more.
    pub fn settled(&self) -> Option<SocketAddr> {
        match self.state {
            State::Settled(from) => Some(from),
            State::Open
            | State::Trying(_)
            | State::Provisional { .. }
            | State::Returning { .. } => None,
        }
    }

    /// Whether the peer is known to send from elsewhere than SDP says, i.e. is behind NAT.
    pub fn is_elsewhere(&self) -> bool {
        self.source().is_some_and(|from| !self.is_expected(from))
    }

    fn attempt(&mut self, from: SocketAddr, header: &Header, before: Option<Candidate>) -> Latched {
        let suspicious = self.expected.is_some_and(|to| to.ip().to_canonical() == canonical(from));
        if !suspicious {
            self.state = State::Provisional { from, packets: 0 };
            return Latched::New;
        }
        let candidate = Candidate::after(before, from, header);
        if candidate.packets > PATIENCE_PACKETS {
            self.state = State::Provisional { from, packets: 0 };
            return Latched::New;
        }
        self.state = State::Trying(candidate);
        Latched::Wait
    }

    fn is_expected(&self, from: SocketAddr) -> bool {
        self.expected.is_some_and(|expected| same(expected, from))
    }

    fn is_likely(&self, from: SocketAddr) -> bool {
        let ip = canonical(from);
        self.signalling == Some(ip)
            || self.expected.is_some_and(|expected| expected.ip().to_canonical() == ip)
    }
}

/// Whether two addresses are one: IPv6 flow labels do not matter, nor how IPv4 is written.
pub fn same(a: SocketAddr, b: SocketAddr) -> bool {
    a.port() == b.port() && canonical(a) == canonical(b)
}

fn canonical(addr: SocketAddr) -> IpAddr {
    addr.ip().to_canonical()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SDP: &str = "192.0.2.1:4000";
    const PORT_OF_SDP_HOST: &str = "192.0.2.1:4002";
    const NAT: &str = "198.51.100.7:61000";
    const NAT_OTHER_PORT: &str = "198.51.100.7:61002";
    const STRANGER: &str = "203.0.113.9:4000";

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn aimed() -> Latch {
        let mut latch = Latch::default();
        latch.aim(Some(addr(SDP)), Some(addr(NAT).ip()));
        latch
    }

    fn header(sequence: u16) -> Header {
        Header { marker: false, payload_type: 0, sequence, timestamp: 0, ssrc: 1 }
    }

    /// One packet as the worker takes it; `None` = stray.
    fn packet(latch: &mut Latch, from: &str, sequence: u16) -> Option<Latched> {
        latch.admits(addr(from)).then(|| latch.accept(addr(from), &header(sequence)))
    }

    #[test]
    fn only_the_peer_latches() {
        use Latched::{New, Peer, Settled, Wait};
        type Step = (&'static str, Option<Latched>);
        let rows: &[(&str, &[Step])] = &[
            ("SDP", &[(SDP, Some(New)), (SDP, Some(Peer)), (NAT, None), (STRANGER, None)]),
            ("NAT", &[(NAT, Some(New)), (NAT, Some(Peer)), (NAT_OTHER_PORT, None)]),
            ("stranger", &[(STRANGER, None), (STRANGER, None), (SDP, Some(New))]),
            ("SDP corrects", &[(NAT, Some(New)), (SDP, Some(New)), (NAT, None), (SDP, Some(Peer))]),
            ("other port waits", &[(PORT_OF_SDP_HOST, Some(Wait)), (SDP, Some(New))]),
            ("NAT passes a candidate", &[(PORT_OF_SDP_HOST, Some(Wait)), (NAT, Some(New))]),
        ];
        for (name, steps) in rows {
            let mut latch = aimed();
            for (i, (from, expected)) in (0u16..).zip(*steps) {
                assert_eq!(packet(&mut latch, from, i), *expected, "{name}, step {i}");
            }
        }
        let _ = Settled;
    }

    #[test]
    fn another_port_of_the_same_host_needs_packets_in_sequence() {
        let mut latch = aimed();
        for i in 0..PATIENCE_PACKETS {
            assert_eq!(packet(&mut latch, PORT_OF_SDP_HOST, i), Some(Latched::Wait), "{i}");
            assert_eq!(latch.source(), None);
        }
        assert_eq!(
            packet(&mut latch, PORT_OF_SDP_HOST, PATIENCE_PACKETS),
            Some(Latched::New),
            "patient"
        );

        let mut latch = aimed();
        for i in 0..1000u16 {
            assert_eq!(packet(&mut latch, PORT_OF_SDP_HOST, i * 2), Some(Latched::Wait), "gaps");
        }
    }

    #[test]
    fn a_source_that_lasts_is_settled_and_then_not_even_sdp_changes_it() {
        let mut latch = aimed();
        assert_eq!(packet(&mut latch, NAT, 0), Some(Latched::New));
        for i in 0..SETTLE_PACKETS {
            assert_eq!(packet(&mut latch, NAT, i), Some(Latched::Peer));
            assert_eq!(latch.settled(), None);
        }
        assert_eq!(packet(&mut latch, NAT, 0), Some(Latched::Settled));
        assert_eq!(latch.settled(), Some(addr(NAT)));
        assert_eq!(packet(&mut latch, SDP, 0), None);
        assert!(latch.is_elsewhere());
    }

    #[test]
    fn after_a_hold_another_port_of_the_nat_is_believed_when_it_lasts() {
        let settled = |from: &str| {
            let mut latch = aimed();
            for i in 0..=SETTLE_PACKETS + 1 {
                packet(&mut latch, from, i);
            }
            assert_eq!(latch.settled(), Some(addr(from)));
            latch
        };
        let mut latch = settled(NAT);
        assert!(latch.reopen());
        assert_eq!((latch.source(), latch.settled()), (Some(addr(NAT)), None), "until it is known");
        assert_eq!(packet(&mut latch, STRANGER, 0), None);
        for i in 0..PATIENCE_PACKETS {
            assert_eq!(packet(&mut latch, NAT_OTHER_PORT, i), Some(Latched::Wait), "{i}");
        }
        let last = packet(&mut latch, NAT_OTHER_PORT, PATIENCE_PACKETS);
        assert_eq!((last, latch.source()), (Some(Latched::New), Some(addr(NAT_OTHER_PORT))));
        assert_eq!(packet(&mut latch, NAT, 0), None);
        // The old port still works.
        let mut latch = settled(NAT);
        latch.reopen();
        assert_eq!(packet(&mut latch, NAT_OTHER_PORT, 0), Some(Latched::Wait));
        assert_eq!(packet(&mut latch, NAT, 0), Some(Latched::Peer));
        assert_eq!(packet(&mut latch, NAT_OTHER_PORT, 1), None);
        // Who is where SDP says does not move, nor somebody who is not known yet.
        assert!(!settled(SDP).reopen() && !aimed().reopen());
    }

    #[test]
    fn only_another_address_opens_it_again() {
        let mut latch = aimed();
        packet(&mut latch, SDP, 0);
        assert!(!latch.aim(Some(addr(SDP)), None), "a refresh");
        assert!(!latch.aim(None, None), "held by 0.0.0.0");
        assert!(!latch.aim(Some(addr(SDP)), None), "and resumed");
        assert_eq!(latch.settled(), Some(addr(SDP)));
        assert!(latch.aim(Some(addr(STRANGER)), None), "moved");
        assert_eq!(latch.source(), None);
        assert_eq!(packet(&mut latch, SDP, 0), None, "the old place is a stray now");
        assert_eq!(packet(&mut latch, STRANGER, 0), Some(Latched::New));
    }

    #[test]
    fn nobody_is_expected_before_the_first_sdp() {
        let mut latch = Latch::default();
        assert_eq!(packet(&mut latch, SDP, 0), None);
        latch.aim(None, Some(addr(NAT).ip()));
        assert_eq!(packet(&mut latch, NAT, 0), Some(Latched::New));
    }

    #[test]
    fn mapped_addresses_are_the_same() {
        let mut latch = Latch::default();
        latch.aim(Some(addr("[::ffff:192.0.2.1]:4000")), None);
        assert_eq!(packet(&mut latch, SDP, 0), Some(Latched::New));
    }

    proptest! {
        /// Whatever comes in whatever order: a stranger is never the peer, and a settled peer stays.
        #[test]
        fn strangers_never_latch(steps in proptest::collection::vec(0usize..5, 0..600)) {
            const SOURCES: [&str; 5] = [SDP, PORT_OF_SDP_HOST, NAT, NAT_OTHER_PORT, STRANGER];
            let mut latch = aimed();
            let mut settled = None;
            for (i, step) in (0u16..).zip(steps) {
                packet(&mut latch, SOURCES[step], i);
                prop_assert_ne!(latch.source(), Some(addr(STRANGER)));
                prop_assert!(settled.is_none() || settled == latch.settled());
                settled = latch.settled();
            }
        }
    }
}
