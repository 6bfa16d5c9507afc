//! A session description as data (RFC 8866 §5).

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::Direction;

/// A session description. Times, URIs, contacts and keys (`t=`, `r=`, `z=`, `u=`, `e=`, `p=`,
/// `i=`, `k=`) are not kept: a call has no use for them, and `k=` is obsolete (RFC 8866 §5.12).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// `o=`.
    pub origin: Origin,
    /// `s=`, `-` when missing or empty.
    pub name: Box<str>,
    /// The `c=` line above the first stream.
    pub connection: Option<Host>,
    /// `b=` lines above the first stream.
    pub bandwidth: Vec<Bandwidth>,
    /// `a=` lines above the first stream.
    pub attributes: Vec<Attribute>,
    /// The streams, in their order, which is their identity (RFC 3264 §8).
    pub media: Vec<Media>,
}

/// `o=`: who made this description, and which version of it (RFC 8866 §5.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// User name, `-` for none.
    pub username: Box<str>,
    /// Session id: the same for all descriptions of one session.
    pub session_id: u64,
    /// Version: one more with every change.
    pub version: u64,
    /// The maker's address; of no use but for uniqueness.
    pub address: Host,
}

impl Default for Origin {
    fn default() -> Self {
        Self {
            username: "-".into(),
            session_id: 0,
            version: 0,
            address: Host::Ip(IpAddr::from([0, 0, 0, 0])),
        }
    }
}

/// The address of an `o=` or `c=` line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Host {
    /// An IP address; the TTL or range of a multicast address is not kept.
    Ip(IpAddr),
    /// Anything else: never resolved.
    Name(Box<str>),
}

/// `b=`: a bandwidth (RFC 8866 §5.8).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bandwidth {
    /// `AS`, `TIAS`, `CT` …
    pub kind: Box<str>,
    /// Kilobit per second, bit per second for `TIAS`.
    pub value: u64,
}

/// `a=`: an attribute, with a value or as a flag.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attribute {
    /// Its name, as written.
    pub name: Box<str>,
    /// What follows the colon.
    pub value: Option<Box<str>>,
}

/// `m=` and what belongs to it: one stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Media {
    /// Audio, video …
    pub kind: MediaKind,
    /// Where its sender wants to receive; 0 = disabled or refused.
    pub port: u16,
    /// Number of ports, 1 when not written.
    pub port_count: u16,
    /// Transport profile.
    pub protocol: Protocol,
    /// Payload-type numbers for RTP, in order of preference.
    pub formats: Vec<Box<str>>,
    /// Its own `c=` line.
    pub connection: Option<Host>,
    /// Its `b=` lines.
    pub bandwidth: Vec<Bandwidth>,
    /// Its `a=` lines.
    pub attributes: Vec<Attribute>,
}

/// The kind of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MediaKind {
    /// `audio`
    Audio,
    /// `video`
    Video,
    /// `application` (data channels, BFCP)
    Application,
    /// `image` (T.38)
    Image,
    /// `text` (RFC 4103)
    Text,
    /// Another word, as written: a refusal repeats it.
    Other(Box<str>),
}

/// The transport profile of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protocol {
    /// `RTP/AVP` (RFC 3551)
    RtpAvp,
    /// `RTP/AVPF`: with early feedback (RFC 4585)
    RtpAvpf,
    /// `RTP/SAVP`: SRTP, keys by `crypto` (RFC 3711, RFC 4568)
    RtpSavp,
    /// `RTP/SAVPF` (RFC 5124)
    RtpSavpf,
    /// `UDP/TLS/RTP/SAVP`: SRTP, keys by DTLS (RFC 5764)
    UdpTlsRtpSavp,
    /// `UDP/TLS/RTP/SAVPF`: WebRTC (RFC 5764)
    UdpTlsRtpSavpf,
    /// Anything else, as written: a refusal repeats it.
    Other(Box<str>),
}

impl Session {
    /// The first attribute of this name above the streams: its value, `""` for a flag.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        find(&self.attributes, name)
    }

    /// The address of a stream of this session: its own, else the session's (RFC 8866 §5.7).
    pub fn connection_of<'a>(&'a self, media: &'a Media) -> Option<&'a Host> {
        media.connection.as_ref().or(self.connection.as_ref())
    }

    /// The direction a stream declares: its own, else the session's, else both ways (RFC 8866
    /// §6.7).
    pub fn direction_of(&self, media: &Media) -> Direction {
        declared(&media.attributes).or_else(|| declared(&self.attributes)).unwrap_or_default()
    }

    /// The first attribute of this name of a stream, or else of its session.
    pub fn attribute_of<'a>(&'a self, media: &'a Media, name: &str) -> Option<&'a str> {
        media.attribute(name).or_else(|| self.attribute(name))
    }

    /// Whether ICE is used for a stream (RFC 8839): then its `c=` line is only a default.
    pub fn uses_ice(&self, media: &Media) -> bool {
        media.attribute("ice-ufrag").is_some() || self.attribute("ice-ufrag").is_some()
    }
}

impl Media {
    /// The first attribute of this name: its value, `""` for a flag.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        find(&self.attributes, name)
    }

    /// The values of all attributes of this name, in their order.
    pub fn attributes_named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.attributes.iter().filter(|a| a.is(name)).map(Attribute::value)
    }
}

impl Attribute {
    /// A flag: `a=name`.
    pub fn flag(name: &str) -> Self {
        Self { name: name.into(), value: None }
    }

    /// `a=name:value`.
    pub fn new(name: &str, value: impl Into<Box<str>>) -> Self {
        Self { name: name.into(), value: Some(value.into()) }
    }

    /// Whether it has this name; case does not matter, since phones differ.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// Its value, `""` for a flag.
    pub fn value(&self) -> &str {
        self.value.as_deref().unwrap_or_default()
    }

    /// Whether its value is a key or password.
    fn is_secret(&self) -> bool {
        ["crypto", "ice-pwd", "key-mgmt"].into_iter().any(|name| self.is(name))
    }
}

impl fmt::Debug for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a={}", self.name)?;
        match &self.value {
            None => Ok(()),
            Some(_) if self.is_secret() => f.write_str(":***"),
            Some(value) => write!(f, ":{value}"),
        }
    }
}

impl MediaKind {
    /// The word of the m-line.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Application => "application",
            Self::Image => "image",
            Self::Text => "text",
            Self::Other(word) => word,
        }
    }

    /// The kind a word means; case does not matter for the known ones.
    pub fn from_word(word: &str) -> Self {
        [Self::Audio, Self::Video, Self::Application, Self::Image, Self::Text]
            .into_iter()
            .find(|kind| kind.as_str().eq_ignore_ascii_case(word))
            .unwrap_or_else(|| Self::Other(word.into()))
    }
}

impl Protocol {
    /// The profile as the m-line has it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::RtpAvp => "RTP/AVP",
            Self::RtpAvpf => "RTP/AVPF",
            Self::RtpSavp => "RTP/SAVP",
            Self::RtpSavpf => "RTP/SAVPF",
            Self::UdpTlsRtpSavp => "UDP/TLS/RTP/SAVP",
            Self::UdpTlsRtpSavpf => "UDP/TLS/RTP/SAVPF",
            Self::Other(word) => word,
        }
    }

    /// The profile a word means; case does not matter for the known ones.
    pub fn from_word(word: &str) -> Self {
        [
            Self::RtpAvp,
            Self::RtpAvpf,
            Self::RtpSavp,
            Self::RtpSavpf,
            Self::UdpTlsRtpSavp,
            Self::UdpTlsRtpSavpf,
        ]
        .into_iter()
        .find(|protocol| protocol.as_str().eq_ignore_ascii_case(word))
        .unwrap_or_else(|| Self::Other(word.into()))
    }

    /// RTP in the clear.
    pub const fn is_plain_rtp(&self) -> bool {
        matches!(self, Self::RtpAvp | Self::RtpAvpf)
    }

    /// RTP under SRTP, keyed either way.
    pub const fn is_secure_rtp(&self) -> bool {
        matches!(self, Self::RtpSavp | Self::RtpSavpf | Self::UdpTlsRtpSavp | Self::UdpTlsRtpSavpf)
    }
}

fn find<'a>(attributes: &'a [Attribute], name: &str) -> Option<&'a str> {
    attributes.iter().find(|a| a.is(name)).map(Attribute::value)
}

fn declared(attributes: &[Attribute]) -> Option<Direction> {
    attributes.iter().find_map(|a| Direction::from_attribute(&a.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_passwords_do_not_print_in_debug() {
        for (attribute, shown) in [
            (Attribute::new("crypto", "1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0"), "a=crypto:***"),
            (Attribute::new("Crypto", "1 X inline:c2VjcmV0"), "a=Crypto:***"),
            (Attribute::new("ice-pwd", "asd88fgpdd777uzjYhagZg"), "a=ice-pwd:***"),
            (Attribute::new("ptime", "20"), "a=ptime:20"),
            (Attribute::flag("sendrecv"), "a=sendrecv"),
        ] {
            assert_eq!(format!("{attribute:?}"), shown);
        }
    }

    #[test]
    fn words_are_known_in_any_case_and_others_are_kept() {
        assert_eq!(MediaKind::from_word("AUDIO"), MediaKind::Audio);
        assert_eq!(MediaKind::from_word("message"), MediaKind::Other("message".into()));
        assert_eq!(Protocol::from_word("udp/tls/rtp/savpf"), Protocol::UdpTlsRtpSavpf);
        assert_eq!(Protocol::from_word("udptl").as_str(), "udptl");
        assert!(Protocol::RtpSavp.is_secure_rtp() && !Protocol::RtpSavp.is_plain_rtp());
        assert!(Protocol::RtpAvpf.is_plain_rtp());
    }
}
