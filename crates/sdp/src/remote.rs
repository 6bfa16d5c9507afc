//! What a peer's description says about its audio.

use std::net::{Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::codec::codecs_of;
use crate::parse::decimal;
use crate::session::{Host, Media, Protocol, Session};
use crate::{Codec, Direction, RemoteSecurity, StreamError};

/// Longest packet time believed, milliseconds; other values are as if not there.
pub const MAX_PTIME_MS: u8 = 240;

/// RFC 3611 §5.1.
pub(crate) const RTCP_XR: &str = "rtcp-xr";
pub(crate) const VOIP_METRICS: &str = "voip-metrics";

/// One audio stream of a peer, read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteAudio {
    /// Where they want to receive RTP. Check [`is_sendable`](crate::is_sendable) before sending.
    pub rtp: SocketAddr,
    /// Where they want to receive RTCP when it is not multiplexed (RFC 3605; else the next port).
    pub rtcp: SocketAddr,
    /// Whether they can multiplex RTCP onto the RTP port (RFC 5761).
    pub rtcp_mux: bool,
    /// Their codecs in their order, telephone events and comfort noise included.
    pub codecs: Vec<Codec>,
    /// The direction as they declare it, seen from them.
    pub direction: Direction,
    /// Whether they put us on hold: by `sendonly`, `inactive` or an unspecified address.
    pub held: bool,
    /// How much audio they want in a packet, milliseconds, 1–240.
    pub ptime: Option<u8>,
    /// How much audio a packet may have at most, milliseconds, 1–240.
    pub maxptime: Option<u8>,
    /// Whether they want to know how they sound to us (RFC 3611 §5: `rtcp-xr` with VoIP metrics).
    #[serde(default)]
    pub voip_metrics: bool,
    /// The transport profile.
    pub protocol: Protocol,
    /// Keys, fingerprints, ICE.
    #[serde(default)]
    pub security: RemoteSecurity,
    /// Whether the address is unspecified without ICE: nothing may be sent to them.
    unaddressed: bool,
}

impl RemoteAudio {
    /// Reads an audio stream of a session, of whatever transport profile.
    ///
    /// # Errors
    /// Without an IP address to send to, or without an audio codec.
    pub fn read(session: &Session, media: &Media) -> Result<Self, StreamError> {
        Self::read_with(session, media, &[])
    }

    /// As [`read`](Self::read), for an answer to an offer of ours that had these codecs.
    pub(crate) fn read_with(
        session: &Session,
        media: &Media,
        ours: &[Codec],
    ) -> Result<Self, StreamError> {
        let has_ice = session.uses_ice(media);
        let ip = match session.connection_of(media) {
            Some(Host::Ip(ip)) => *ip,
            // A browser's own name (`.local`): its checks tell where it is.
            Some(Host::Name(_)) if has_ice => Ipv4Addr::UNSPECIFIED.into(),
            Some(Host::Name(_)) => return Err(StreamError::HostName),
            None => return Err(StreamError::NoConnection),
        };
        let rtp = SocketAddr::new(ip, media.port);
        let rtcp_mux =
            ["rtcp-mux", "rtcp-mux-only"].iter().any(|name| media.attribute(name).is_some());
        let mut codecs = codecs_of(media, ours);
        // RFC 5761 §4: these numbers with the marker bit look like RTCP packet types.
        codecs.retain(|codec| !(rtcp_mux && (64..96).contains(&codec.payload_type)));
        if !codecs.iter().any(Codec::is_audio) {
            return Err(StreamError::NoCodec);
        }
        let direction = session.direction_of(media);
        // RFC 8839 §4.2: with ICE, 0.0.0.0 is a placeholder for candidates yet to come.
        let unaddressed = ip.is_unspecified() && !has_ice;
        Ok(Self {
            rtp,
            rtcp: rtcp_address(rtp, media.attribute("rtcp")),
            rtcp_mux,
            codecs,
            direction,
            held: unaddressed || !direction.receives(),
            ptime: packet_time(media, "ptime"),
            maxptime: packet_time(media, "maxptime"),
            voip_metrics: wants_voip_metrics(session, media),
            protocol: media.protocol.clone(),
            security: RemoteSecurity::read(session, media),
            unaddressed,
        })
    }

    /// The direction that holds, seen from them: with an unspecified address they receive nothing,
    /// whatever they declare (RFC 3264 §8.4, the hold of RFC 2543).
    pub fn effective_direction(&self) -> Direction {
        self.direction.and(Direction::new(true, !self.unaddressed))
    }
}

/// RFC 3605: `a=rtcp:53020 [IN IP4 126.16.64.4]`; without it the port after RTP's.
fn rtcp_address(rtp: SocketAddr, attribute: Option<&str>) -> SocketAddr {
    let next = SocketAddr::new(rtp.ip(), rtp.port().saturating_add(1));
    let Some(text) = attribute else { return next };
    let mut words = text.split_whitespace();
    let Some(port) = words.next().and_then(decimal).filter(|port| *port != 0) else { return next };
    let ip = words.nth(2).and_then(|ip| ip.parse().ok()).unwrap_or(rtp.ip());
    SocketAddr::new(ip, port)
}

/// RFC 3611 §5.1: `a=rtcp-xr:voip-metrics rcvr-rtt=all`; a media level line replaces one above.
fn wants_voip_metrics(session: &Session, media: &Media) -> bool {
    let formats = session.attribute_of(media, RTCP_XR);
    formats.is_some_and(|formats| formats.split_whitespace().any(|format| format == VOIP_METRICS))
}

fn packet_time(media: &Media, name: &str) -> Option<u8> {
    decimal(media.attribute(name)?).filter(|ms| (1..=MAX_PTIME_MS).contains(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(connection: &str, attributes: &str) -> Result<RemoteAudio, StreamError> {
        let text = format!("v=0\r\n{connection}\r\nm=audio 4000 RTP/AVP 0\r\n{attributes}\r\n");
        let session = crate::parse(text.as_bytes()).unwrap();
        RemoteAudio::read(&session, &session.media[0])
    }

    const HERE: &str = "c=IN IP4 192.0.2.1";

    #[test]
    fn who_wants_voip_metrics_says_so() {
        for (attributes, expected) in [
            ("a=sendrecv", false),
            ("a=rtcp-xr:voip-metrics", true),
            ("a=rtcp-xr:rcvr-rtt=all:10000 stat-summary=loss,dup voip-metrics", true),
            ("a=rtcp-xr:pkt-loss-rle=100", false),
            ("a=rtcp-xr", false),
        ] {
            assert_eq!(read(HERE, attributes).unwrap().voip_metrics, expected, "{attributes}");
        }
        let above = format!("{HERE}\r\na=rtcp-xr:voip-metrics");
        assert!(read(&above, "a=sendrecv").unwrap().voip_metrics);
        assert!(!read(&above, "a=rtcp-xr:pkt-loss-rle").unwrap().voip_metrics);
    }

    #[test]
    fn every_hold_form_is_seen() {
        use Direction::{Inactive, RecvOnly, SendOnly, SendRecv};
        for (connection, attributes, declared, effective, held) in [
            (HERE, "", SendRecv, SendRecv, false),
            (HERE, "a=sendonly", SendOnly, SendOnly, true),
            (HERE, "a=inactive", Inactive, Inactive, true),
            (HERE, "a=recvonly", RecvOnly, RecvOnly, false),
            ("c=IN IP4 0.0.0.0", "", SendRecv, SendOnly, true),
            ("c=IN IP6 ::", "a=sendrecv", SendRecv, SendOnly, true),
            ("c=IN IP4 0.0.0.0", "a=recvonly", RecvOnly, Inactive, true),
            ("c=IN IP4 0.0.0.0", "a=inactive", Inactive, Inactive, true),
            (HERE, "c=IN IP4 0.0.0.0", SendRecv, SendOnly, true),
            ("c=IN IP4 192.0.2.1\r\na=sendonly", "", SendOnly, SendOnly, true),
            ("c=IN IP4 192.0.2.1\r\na=sendonly", "a=sendrecv", SendRecv, SendRecv, false),
            // ICE: the address is a placeholder.
            ("c=IN IP4 0.0.0.0", "a=ice-ufrag:abcd", SendRecv, SendRecv, false),
            ("c=IN IP4 0d1c.local", "a=ice-ufrag:abcd\r\na=sendonly", SendOnly, SendOnly, true),
        ] {
            let audio = read(connection, attributes).unwrap();
            let seen = (audio.direction, audio.effective_direction(), audio.held);
            assert_eq!(seen, (declared, effective, held), "{connection} {attributes}");
        }
    }

    #[test]
    fn rtcp_goes_to_the_next_port_unless_said_otherwise() {
        for (attributes, rtcp, mux) in [
            ("", "192.0.2.1:4001", false),
            ("a=rtcp:53020", "192.0.2.1:53020", false),
            ("a=rtcp:53020 IN IP4 192.0.2.9", "192.0.2.9:53020", false),
            ("a=rtcp:53020 IN IP4 host.example.com", "192.0.2.1:53020", false),
            ("a=rtcp:0", "192.0.2.1:4001", false),
            ("a=rtcp:70000", "192.0.2.1:4001", false),
            ("a=rtcp-mux\r\na=rtcp:4000", "192.0.2.1:4000", true),
            ("a=rtcp-mux-only", "192.0.2.1:4001", true),
        ] {
            let audio = read(HERE, attributes).unwrap();
            assert_eq!((audio.rtcp, audio.rtcp_mux), (rtcp.parse().unwrap(), mux), "{attributes}");
        }
    }

    #[test]
    fn absurd_packet_times_are_as_if_not_there() {
        for (attributes, ptime, maxptime) in [
            ("", None, None),
            ("a=ptime:20\r\na=maxptime:60", Some(20), Some(60)),
            ("a=ptime:0\r\na=maxptime:0", None, None),
            ("a=ptime:240\r\na=maxptime:241", Some(240), None),
            ("a=ptime:99999\r\na=maxptime:x", None, None),
            ("a=ptime:-20", None, None),
        ] {
            let audio = read(HERE, attributes).unwrap();
            assert_eq!((audio.ptime, audio.maxptime), (ptime, maxptime), "{attributes}");
        }
    }

    #[test]
    fn a_stream_without_address_or_codec_is_refused() {
        for (connection, attributes, error, status) in [
            ("a=x", "", StreamError::NoConnection, 400),
            ("c=IN IP4 phone.local", "", StreamError::HostName, 488),
            ("c=IN IP4 0.0.0.256", "", StreamError::HostName, 488),
            (HERE, "a=rtpmap:0 telephone-event/8000", StreamError::NoCodec, 488),
        ] {
            assert_eq!(read(connection, attributes), Err(error));
            assert_eq!(error.status(), status);
        }
    }

    #[test]
    fn numbers_that_look_like_rtcp_are_not_used_when_multiplexed() {
        for (mux, count) in [("", 2), ("a=rtcp-mux\r\n", 1)] {
            let text = format!(
                "v=0\r\n{HERE}\r\nm=audio 4000 RTP/AVP 0 72\r\na=rtpmap:72 opus/48000/2\r\n{mux}"
            );
            let session = crate::parse(text.as_bytes()).unwrap();
            let audio = RemoteAudio::read(&session, &session.media[0]).unwrap();
            assert_eq!(audio.codecs.len(), count);
        }
    }
}
