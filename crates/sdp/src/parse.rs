//! Bytes to a [`Session`]: as lenient as real phones need, as bounded as the wire needs.
//!
//! Lines may end in CRLF, LF or CR; `s=`, `t=` and `o=` may be missing; lines of unknown type are
//! skipped. What decides where media go (`m=`, its port and profile) must be exact.

use crate::SdpError;
use crate::session::{Attribute, Bandwidth, Host, Media, MediaKind, Origin, Protocol, Session};

/// Longest body, bytes.
pub const MAX_BODY: usize = 64 * 1024;
/// Longest line, bytes.
pub const MAX_LINE: usize = 8 * 1024;
/// Most streams of a session.
pub const MAX_MEDIA: usize = 16;
/// Most attributes of the session, and of each stream.
pub const MAX_ATTRIBUTES: usize = 256;
/// Most formats of a stream; RTP has only 128 numbers.
pub const MAX_FORMATS: usize = 256;
/// Bandwidth lines kept of the session, and of each stream; more are skipped.
pub const MAX_BANDWIDTHS: usize = 16;

/// Reads a session description.
///
/// # Errors
/// When it does not begin with `v=0`, exceeds a bound of this module, or has a line that cannot be
/// read (no `x=`, NUL, bad `m=`). All are the peer's fault: status 400.
pub fn parse(bytes: &[u8]) -> Result<Session, SdpError> {
    if bytes.len() > MAX_BODY {
        return Err(SdpError::TooLarge("body"));
    }
    let mut lines = bytes
        .split(|b| matches!(b, b'\r' | b'\n'))
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty());
    if lines.next() != Some(b"v=0") {
        return Err(SdpError::NotSdp);
    }
    let mut session = Session {
        origin: Origin::default(),
        name: "-".into(),
        connection: None,
        bandwidth: Vec::new(),
        attributes: Vec::new(),
        media: Vec::new(),
    };
    for line in lines {
        read_line(&mut session, line)?;
    }
    Ok(session)
}

fn read_line(session: &mut Session, line: &[u8]) -> Result<(), SdpError> {
    if line.len() > MAX_LINE {
        return Err(SdpError::TooLarge("line"));
    }
    let [letter, b'=', value @ ..] = line else {
        return Err(SdpError::Malformed('?'));
    };
    let letter = char::from(*letter);
    // RFC 8866 §9: a byte-string holds anything but NUL, CR and LF.
    if value.contains(&0) {
        return Err(SdpError::Malformed(letter));
    }
    let value = String::from_utf8_lossy(value);
    let value = value.trim();
    match letter {
        'm' => read_media(session, value),
        'a' => read_attribute(attributes(session), value),
        'c' => {
            let slot = match session.media.last_mut() {
                Some(media) => &mut media.connection,
                None => &mut session.connection,
            };
            // Several c= lines are layers of a multicast stream (RFC 8866 §5.7): the first counts.
            slot.get_or_insert(read_host(value).ok_or(SdpError::Malformed('c'))?);
            Ok(())
        }
        'b' => {
            read_bandwidth(session, value);
            Ok(())
        }
        'o' if session.media.is_empty() => {
            session.origin = read_origin(value);
            Ok(())
        }
        's' if session.media.is_empty() && !value.is_empty() => {
            session.name = value.into();
            Ok(())
        }
        // RFC 8866 §5 would refuse unknown letters; phones send them, and nothing hangs on them.
        _ => Ok(()),
    }
}

fn attributes(session: &mut Session) -> &mut Vec<Attribute> {
    match session.media.last_mut() {
        Some(media) => &mut media.attributes,
        None => &mut session.attributes,
    }
}

fn read_attribute(attributes: &mut Vec<Attribute>, text: &str) -> Result<(), SdpError> {
    let (name, value) = match text.split_once(':') {
        Some((name, value)) => (name.trim_end(), Some(value.trim_start().into())),
        None => (text, None),
    };
    if name.is_empty() {
        return Ok(());
    }
    if attributes.len() == MAX_ATTRIBUTES {
        return Err(SdpError::TooLarge("attributes"));
    }
    attributes.push(Attribute { name: name.into(), value });
    Ok(())
}

/// `audio 49170/2 RTP/AVP 0 8 101`
fn read_media(session: &mut Session, text: &str) -> Result<(), SdpError> {
    if session.media.len() == MAX_MEDIA {
        return Err(SdpError::TooLarge("streams"));
    }
    let media = media_of(text).ok_or(SdpError::Malformed('m'))?;
    if media.formats.len() > MAX_FORMATS {
        return Err(SdpError::TooLarge("formats"));
    }
    session.media.push(media);
    Ok(())
}

fn media_of(text: &str) -> Option<Media> {
    let mut words = text.split_whitespace();
    let kind = MediaKind::from_word(words.next()?);
    let port = words.next()?;
    let (port, port_count) = port.split_once('/').unwrap_or((port, "1"));
    Some(Media {
        kind,
        port: decimal(port)?,
        port_count: decimal(port_count)?,
        protocol: Protocol::from_word(words.next()?),
        formats: words.take(MAX_FORMATS + 1).map(Into::into).collect(),
        connection: None,
        bandwidth: Vec::new(),
        attributes: Vec::new(),
    })
}

/// `IN IP4 192.0.2.1`, or of a multicast address `IN IP4 224.2.1.1/127`. What is not an IP address
/// is kept as a name.
fn read_host(text: &str) -> Option<Host> {
    let address = text.split_whitespace().nth(2)?;
    let ip = address.split('/').next()?;
    Some(ip.parse().map_or_else(|_| Host::Name(address.into()), Host::Ip))
}

/// `- 2890844526 2890842807 IN IP4 192.0.2.1`. Nothing hangs on a peer's `o=`, so that what cannot
/// be read is the default.
fn read_origin(text: &str) -> Origin {
    let words: Vec<&str> = text.split_whitespace().collect();
    let Some((head, [id, version, net, family, address])) = words.split_last_chunk() else {
        return Origin::default();
    };
    let default = Origin::default();
    Origin {
        // A user name with blanks is against the rules, and seen.
        username: if head.is_empty() { default.username } else { head.join(" ").into() },
        session_id: long_number(id),
        version: long_number(version),
        address: read_host(&format!("{net} {family} {address}")).unwrap_or(default.address),
    }
}

/// A decimal number; one that does not fit 64 bits is the largest, another word 0.
fn long_number(word: &str) -> u64 {
    if word.is_empty() || !word.bytes().all(|b| b.is_ascii_digit()) {
        return 0;
    }
    word.parse().unwrap_or(u64::MAX)
}

fn read_bandwidth(session: &mut Session, text: &str) {
    let list = match session.media.last_mut() {
        Some(media) => &mut media.bandwidth,
        None => &mut session.bandwidth,
    };
    let Some((kind, value)) = text.split_once(':') else { return };
    let Some(value) = decimal(value.trim_start()) else { return };
    if !kind.is_empty() && list.len() < MAX_BANDWIDTHS {
        list.push(Bandwidth { kind: kind.into(), value });
    }
}

/// Digits only: `str::parse` alone would take `+5`.
pub(crate) fn decimal<T: std::str::FromStr>(word: &str) -> Option<T> {
    word.bytes().all(|b| b.is_ascii_digit()).then(|| word.parse().ok()).flatten()
}
