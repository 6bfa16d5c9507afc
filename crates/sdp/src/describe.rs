//! Our descriptions: one audio stream of ours, every other stream of the peer refused.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::remote::{RTCP_XR, VOIP_METRICS};
use crate::security::Transport;
use crate::session::{Attribute, Host, Media, MediaKind, Origin, Session};
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
    pub(crate) transport: Transport,
    pub(crate) codecs: &'a [Codec],
    pub(crate) direction: Direction,
}

impl LocalAudio {
    /// A session with our audio stream at `index` of `lines`, the others refused.
    pub(crate) fn describe(
        &self,
        origin: Origin,
        lines: &[Media],
        index: usize,
        audio: Audio<'_>,
    ) -> Session {
        let mut media: Vec<Media> = lines.iter().map(refused).collect();
        let (stream, attributes) = self.stream(audio);
        match media.get_mut(index) {
            Some(slot) => *slot = stream,
            None => media.push(stream),
        }
        Session {
            origin,
            name: "-".into(),
            connection: Some(Host::Ip(self.address)),
            bandwidth: Vec::new(),
            attributes,
            media,
        }
    }

    /// Our stream, and its lines above the streams.
    fn stream(&self, audio: Audio<'_>) -> (Media, Vec<Attribute>) {
        let transport = audio.transport;
        let mut attributes: Vec<Attribute> =
            audio.codecs.iter().flat_map(Codec::attributes).collect();
        attributes.extend(self.ptime.map(|ms| Attribute::new("ptime", ms.to_string())));
        if transport.rtcp_mux {
            attributes.push(Attribute::flag("rtcp-mux"));
        }
        attributes.push(Attribute::new(RTCP_XR, VOIP_METRICS));
        attributes.push(Attribute::flag(audio.direction.as_str()));
        attributes.extend(transport.attributes);
        let media = Media {
            kind: MediaKind::Audio,
            port: self.rtp_port,
            port_count: 1,
            protocol: transport.protocol,
            formats: audio.codecs.iter().map(|c| c.payload_type.to_string().into()).collect(),
            connection: None,
            bandwidth: Vec::new(),
            attributes,
        };
        (media, transport.session)
    }
}

/// RFC 3264 §6: a refused stream has port 0 and at least one format, which means nothing. JSEP
/// §5.3.1: it keeps its name, by which browsers know the streams.
pub(crate) fn refused(media: &Media) -> Media {
    Media {
        kind: media.kind.clone(),
        port: 0,
        port_count: 1,
        protocol: media.protocol.clone(),
        formats: vec![media.formats.first().cloned().unwrap_or_else(|| "0".into())],
        connection: None,
        bandwidth: Vec::new(),
        attributes: media.attributes.iter().filter(|it| it.is("mid")).take(1).cloned().collect(),
    }
}
