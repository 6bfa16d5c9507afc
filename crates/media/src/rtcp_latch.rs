//! Whose reports count on a port of RTCP's own (ATTACKS 19: RTP and RTCP alike).
//!
//! RTP says who the peer is ([`Latch`]); RTCP follows it and never leads:
//!
//! ```text
//! RTP not heard yet    the address that SDP names for RTCP: believed, but nothing is settled by it
//! heard where SDP says that address; from another port of the same host: with the peer's SSRC only
//! heard elsewhere      its own port; another port of that host with the peer's SSRC; the next port
//!  (NAT)               is believed without it, but not answered
//! ```
//! The SSRC is 32 random bits that only the peer and we know (RFC 3550 §8): a neighbour behind the
//! same NAT, or another process on the phone's host, does not. Once settled only that source counts.

use std::net::SocketAddr;

use crate::latch::{Latch, same};

/// Where the peer's RTCP comes from.
#[derive(Clone, Copy, Debug, Default)]
pub struct RtcpLatch {
    expected: Option<SocketAddr>,
    settled: Option<SocketAddr>,
}

/// What a source of RTCP is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nobody we know.
    Stray,
    /// Probably the peer: its reports count, but it gets none.
    Plausible,
    /// The peer.
    Peer,
}

impl RtcpLatch {
    /// Sets what SDP names; another address opens the latch. Tells whether it was another.
    pub fn aim(&mut self, expected: Option<SocketAddr>) -> bool {
        let moved = expected.is_some_and(|new| !self.expected.is_some_and(|old| same(old, new)));
        if moved {
            self.expected = expected;
            self.settled = None;
        }
        moved
    }

    /// Opens it, as RTP has another source now; tells whether it was settled.
    pub fn open(&mut self) -> bool {
        self.settled.take().is_some()
    }

    /// What `from` is. `sender` is the SSRC that its packet begins with, in the clear with SRTCP
    /// too (RFC 3711 §3.4); `rtp` the latch of RTP, `peer` the SSRC of what came through that.
    pub fn standing(
        &self,
        from: SocketAddr,
        sender: Option<u32>,
        rtp: &Latch,
        peer: Option<u32>,
    ) -> Standing {
        let is_expected = self.expected.is_some_and(|expected| same(expected, from));
        if let Some(settled) = self.settled {
            return if same(settled, from) { Standing::Peer } else { Standing::Stray };
        }
        let Some(source) = rtp.source() else {
            return if is_expected { Standing::Plausible } else { Standing::Stray };
        };
        if is_expected && !rtp.is_elsewhere() {
            return Standing::Peer;
        }
        if source.ip().to_canonical() != from.ip().to_canonical() {
            return Standing::Stray;
        }
        // Of a peer where SDP says, the port of RTCP is known; behind NAT it is a guess.
        let is_next = source.port().checked_add(1) == Some(from.port());
        if source.port() == from.port() || (peer.is_some() && sender == peer) {
            Standing::Peer
        } else if rtp.is_elsewhere() && is_next {
            Standing::Plausible
        } else {
            Standing::Stray
        }
    }

    /// Takes note of a valid packet; tells whether its source is settled from now on.
    pub fn accept(&mut self, from: SocketAddr, standing: Standing) -> bool {
        let settles = standing == Standing::Peer && self.settled.is_none();
        if settles {
            self.settled = Some(from);
        }
        settles
    }

    /// The peer, once settled: where reports go.
    pub fn source(&self) -> Option<SocketAddr> {
        self.settled
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;
    use crate::rtp::Header;

    const SDP: &str = "192.0.2.1:4000";
    const SDP_RTCP: &str = "192.0.2.1:4001";
    const OTHER_PORT: &str = "192.0.2.1:7777";
    const NAT: &str = "198.51.100.7:61000";
    const NAT_NEXT: &str = "198.51.100.7:61001";
    const NAT_OTHER: &str = "198.51.100.7:50123";
    const STRANGER: &str = "203.0.113.9:4001";
    const SSRC: u32 = 0x1234_5678;

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// RTP as heard from `source`, or not at all.
    fn rtp(source: Option<&str>) -> Latch {
        let mut latch = Latch::default();
        let nat: IpAddr = addr(NAT).ip();
        latch.aim(Some(addr(SDP)), Some(nat));
        let header =
            Header { marker: false, payload_type: 0, sequence: 1, timestamp: 0, ssrc: SSRC };
        if let Some(source) = source {
            latch.accept(addr(source), &header);
        }
        latch
    }

    fn aimed() -> RtcpLatch {
        let mut latch = RtcpLatch::default();
        latch.aim(Some(addr(SDP_RTCP)));
        latch
    }

    #[test]
    fn rtcp_follows_rtp() {
        use Standing::{Peer, Plausible, Stray};
        // Where RTP is, where RTCP is from: without and with the peer's SSRC.
        let rows = [
            (None, SDP_RTCP, [Plausible, Plausible]),
            (None, SDP, [Stray, Stray]),
            (None, OTHER_PORT, [Stray, Stray]),
            (None, NAT, [Stray, Stray]),
            (Some(SDP), SDP_RTCP, [Peer, Peer]),
            (Some(SDP), SDP, [Peer, Peer]),
            (Some(SDP), OTHER_PORT, [Stray, Peer]),
            (Some(SDP), NAT_NEXT, [Stray, Stray]),
            (Some(NAT), NAT, [Peer, Peer]),
            (Some(NAT), NAT_NEXT, [Plausible, Peer]),
            (Some(NAT), NAT_OTHER, [Stray, Peer]),
            (Some(NAT), SDP_RTCP, [Stray, Stray]),
            (Some(SDP), STRANGER, [Stray, Stray]),
            (Some(NAT), STRANGER, [Stray, Stray]),
        ];
        for (source, from, expected) in rows {
            let rtp = rtp(source);
            let peer = source.map(|_| SSRC);
            let standing = [Some(SSRC + 1), Some(SSRC)]
                .map(|sender| aimed().standing(addr(from), sender, &rtp, peer));
            assert_eq!(standing, expected, "RTP from {source:?}, RTCP from {from}");
        }
    }

    #[test]
    fn once_settled_only_that_source_counts_until_rtp_or_sdp_moves() {
        let rtp = rtp(Some(NAT));
        let mut latch = aimed();
        let standing = |latch: &RtcpLatch, from, sender| {
            latch.standing(addr(from), Some(sender), &rtp, Some(SSRC))
        };
        assert!(!latch.accept(addr(NAT_NEXT), standing(&latch, NAT_NEXT, 1)), "only plausible");
        assert_eq!(latch.source(), None, "and not answered");
        assert!(latch.accept(addr(NAT_OTHER), standing(&latch, NAT_OTHER, SSRC)));
        assert_eq!(latch.source(), Some(addr(NAT_OTHER)));
        assert_eq!(standing(&latch, NAT_NEXT, SSRC), Standing::Stray);
        assert_eq!(standing(&latch, NAT_OTHER, 1), Standing::Peer, "its SSRC may change");
        assert!(!latch.aim(Some(addr(SDP_RTCP))), "a refresh");
        assert!(latch.open() && !latch.open());
        assert_eq!(standing(&latch, NAT_OTHER, 1), Standing::Stray);
        latch.accept(addr(NAT), standing(&latch, NAT, 1));
        assert!(latch.aim(Some(addr(OTHER_PORT))), "moved");
        assert_eq!(latch.source(), None);
    }

    #[test]
    fn without_an_ssrc_nobody_matches() {
        let rtp = rtp(Some(SDP));
        assert_eq!(aimed().standing(addr(OTHER_PORT), None, &rtp, None), Standing::Stray);
    }

    proptest! {
        /// Whatever comes: who has neither the peer's place nor its SSRC is never answered.
        #[test]
        fn strangers_never_latch(
            place in 0usize..3,
            steps in proptest::collection::vec(0usize..7, 0..100),
        ) {
            const SOURCES: [&str; 7] =
                [SDP, SDP_RTCP, OTHER_PORT, NAT, NAT_NEXT, NAT_OTHER, STRANGER];
            let source = [None, Some(SDP), Some(NAT)][place];
            let rtp = rtp(source);
            let mut latch = aimed();
            for step in steps {
                let from = addr(SOURCES[step]);
                let standing = latch.standing(from, Some(SSRC + 1), &rtp, source.map(|_| SSRC));
                latch.accept(from, standing);
                let known = [source, Some(SDP_RTCP)];
                let peers = latch.source().is_none_or(|latched| {
                    known.into_iter().flatten().any(|place| latched == addr(place))
                });
                prop_assert!(peers, "{:?}", latch.source());
            }
        }
    }
}
