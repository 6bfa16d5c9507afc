//! Our descriptions: one audio stream of ours, every other stream of the peer refused.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::session::{Attribute, Host, Media, MediaKind, Origin, Protocol, Session};
use crate::{Codec, Direction};

/// Where and how we receive on this leg.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalAudio {
    /// The address peers reach us at.
    pub address: IpAddr,
    /// Our RTP port; RTCP is on the next one unless multiplexed.
    pub rtp_port: u16,
    /// Whether we can multiplex RTCP onto the RTP port (RFC 5761).
    pub rtcp_mux: bool,
    /// How much audio we want in a packet, milliseconds.
    pub ptime: Option<u8>,
}

/// What our audio stream is to be in one description.
pub(crate) struct Audio<'a> {
    pub(crate) protocol: Protocol,
    pub(crate) codecs: &'a [Codec],
    pub(crate) direction: Direction,
    pub(crate) rtcp_mux: bool,
}

impl LocalAudio {
    /// A session with our audio stream at `index` of `lines`, the others refused.
    pub(crate) fn describe(
        &self,
        origin: Origin,
        lines: &[Media],
        index: usize,
        audio: &Audio<'_>,
    ) -> Session {
        let mut media: Vec<Media> = lines.iter().map(refused).collect();
        match media.get_mut(index) {
            Some(slot) => *slot = self.stream(audio),
            None => media.push(self.stream(audio)),
        }
        Session {
            origin,
            name: "-".into(),
            connection: Some(Host::Ip(self.address)),
            bandwidth: Vec::new(),
            attributes: Vec::new(),
            media,
        }
    }

    fn stream(&self, audio: &Audio<'_>) -> Media {
        let mut attributes: Vec<Attribute> =
            audio.codecs.iter().flat_map(Codec::attributes).collect();
        attributes.extend(self.ptime.map(|ms| Attribute::new("ptime", ms.to_string())));
        if audio.rtcp_mux {
            attributes.push(Attribute::flag("rtcp-mux"));
        }
        attributes.push(Attribute::flag(audio.direction.as_str()));
        Media {
            kind: MediaKind::Audio,
            port: self.rtp_port,
            port_count: 1,
            protocol: audio.protocol.clone(),
            formats: audio.codecs.iter().map(|c| c.payload_type.to_string().into()).collect(),
            connection: None,
            bandwidth: Vec::new(),
            attributes,
        }
    }
}

/// RFC 3264 §6: a refused stream has port 0 and at least one format, which means nothing.
pub(crate) fn refused(media: &Media) -> Media {
    Media {
        kind: media.kind.clone(),
        port: 0,
        port_count: 1,
        protocol: media.protocol.clone(),
        formats: vec![media.formats.first().cloned().unwrap_or_else(|| "0".into())],
        connection: None,
        bandwidth: Vec::new(),
        attributes: Vec::new(),
    }
}
