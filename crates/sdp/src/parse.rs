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

#[cfg(test)]
mod tests {
    use super::*;

    const START: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n";

    fn body(rest: &str) -> Result<Session, SdpError> {
        parse(format!("{START}{rest}").as_bytes())
    }

    #[test]
    fn every_line_lands_in_its_section() {
        let session = parse(
            b"v=0\r\no=alice 2890844526 2890842807 IN IP4 10.47.16.5\r\ns=SDP Seminar\r\n\
              i=ignored\r\nu=http://example.com\r\ne=a@example.com\r\np=+1\r\n\
              c=IN IP4 224.2.17.12/127\r\nb=AS:64\r\nb=TIAS:64000\r\nt=2873397496 2873404696\r\n\
              r=7d 1h 0 25h\r\nz=0 0\r\nk=clear:secret\r\na=recvonly\r\n\
              m=audio 49170/2 RTP/AVP 0 8\r\ni=x\r\nc=IN IP6 2001:db8::1\r\nb=X-Y:1\r\n\
              a=rtpmap:0 PCMU/8000\r\nm=video 51372 RTP/AVP 99\r\na=rtpmap:99 h263-1998/90000\r\n",
        )
        .unwrap();
        assert_eq!(&*session.origin.username, "alice");
        assert_eq!((session.origin.session_id, session.origin.version), (2890844526, 2890842807));
        assert_eq!(&*session.name, "SDP Seminar");
        assert_eq!(session.connection, Some(Host::Ip([224, 2, 17, 12].into())));
        assert_eq!(session.bandwidth.len(), 2);
        assert_eq!(session.attributes, [Attribute::flag("recvonly")]);
        let [audio, video] = &session.media[..] else { panic!("two streams") };
        assert_eq!((&audio.kind, audio.port, audio.port_count), (&MediaKind::Audio, 49170, 2));
        assert_eq!(audio.formats, ["0".into(), "8".into()]);
        assert_eq!(audio.connection, Some(Host::Ip("2001:db8::1".parse().unwrap())));
        assert_eq!(audio.bandwidth, [Bandwidth { kind: "X-Y".into(), value: 1 }]);
        assert_eq!(audio.attribute("rtpmap"), Some("0 PCMU/8000"));
        assert_eq!(session.connection_of(video), session.connection.as_ref());
        assert!(!session.to_string().contains("secret"));
    }

    #[test]
    fn what_phones_leave_out_or_misspell_is_forgiven() {
        for (text, streams) in [
            ("v=0\n", 0),
            ("\r\n\r\nv=0\r\n", 0),
            ("v=0\nm=audio 4000 RTP/AVP 0\n", 1),
            ("v=0\rm=audio 4000 RTP/AVP 0\r", 1),
            ("v=0\r\n\r\nm=audio 4000 RTP/AVP 0   \r\n\r\n", 1),
            ("v=0\r\no=\r\ns=\r\nt=\r\nm=AUDIO 4000 rtp/avp 0\r\n", 1),
            ("v=0\r\no=John Doe 1 1 IN IP4 192.0.2.1\r\nm=audio 4000 RTP/AVP 0", 1),
            ("v=0\r\no=x -1 99999999999999999999999 IN IP4 h\r\nm=audio 4000 RTP/AVP 0", 1),
            ("v=0\r\nX=unknown\r\ny=z\r\nm=audio 4000 RTP/AVP\r\na=\r\na=:x\r\nb=AS\r\nb=AS:-1", 1),
            ("v=0\r\ns=\u{e9}\u{0}", usize::MAX),
        ] {
            let count = parse(text.as_bytes()).map_or(usize::MAX, |s| s.media.len());
            assert_eq!(count, streams, "{text:?}");
        }
        let latin1 = parse(b"v=0\r\ns=B\xfcro\r\nm=audio 1 RTP/AVP 0\r\n").unwrap();
        assert_eq!(&*latin1.name, "B\u{fffd}ro");
    }

    #[test]
    fn nonsense_is_refused_with_400() {
        let long = "x".repeat(MAX_LINE);
        let numbers = "0 ".repeat(MAX_FORMATS + 1);
        for (text, error) in [
            ("", SdpError::NotSdp),
            ("hello", SdpError::NotSdp),
            ("v=1\r\n", SdpError::NotSdp),
            ("o=- 1 1 IN IP4 192.0.2.1\r\nv=0\r\n", SdpError::NotSdp),
            ("v=0\r\nhello\r\n", SdpError::Malformed('?')),
            ("v=0\r\nc=\r\n", SdpError::Malformed('c')),
            ("v=0\r\nc=IN IP4\r\n", SdpError::Malformed('c')),
            ("v=0\r\na=x\u{0}y\r\n", SdpError::Malformed('a')),
            ("v=0\r\nm=\r\n", SdpError::Malformed('m')),
            ("v=0\r\nm=audio 4000\r\n", SdpError::Malformed('m')),
            ("v=0\r\nm=audio 65536 RTP/AVP 0\r\n", SdpError::Malformed('m')),
            ("v=0\r\nm=audio -1 RTP/AVP 0\r\n", SdpError::Malformed('m')),
            ("v=0\r\nm=audio +4 RTP/AVP 0\r\n", SdpError::Malformed('m')),
            ("v=0\r\nm=audio 4000/x RTP/AVP 0\r\n", SdpError::Malformed('m')),
            (&format!("v=0\r\na={long}"), SdpError::TooLarge("line")),
            (&format!("v=0\r\nm=audio 1 RTP/AVP {numbers}"), SdpError::TooLarge("formats")),
        ] {
            assert_eq!(parse(text.as_bytes()), Err(error), "{}", &text[..text.len().min(60)]);
            assert_eq!(error.status(), 400);
        }
    }

    #[test]
    fn everything_the_wire_can_grow_has_its_bound() {
        let stream = "m=audio 4000 RTP/AVP 0\r\n";
        let candidate = "a=candidate:1 1 UDP 1 192.0.2.1 4000 typ host\r\n";
        for (text, error) in [
            (stream.repeat(MAX_MEDIA), None),
            (stream.repeat(MAX_MEDIA + 1), Some("streams")),
            (stream.repeat(1000), Some("streams")),
            (format!("{stream}{}", candidate.repeat(MAX_ATTRIBUTES)), None),
            (format!("{stream}{}", candidate.repeat(700)), Some("attributes")),
            (candidate.repeat(MAX_ATTRIBUTES + 1), Some("attributes")),
            (format!("a=x:{}\r\n", "y".repeat(50_000)), Some("line")),
            (format!("{stream}{}", "i=z\r\n".repeat(20_000)), Some("body")),
            (format!("{stream}{}", "b=AS:1\r\n".repeat(2000)), None),
        ] {
            let found = body(&text).err();
            assert_eq!(found, error.map(SdpError::TooLarge));
        }
        let session = body(&format!("{stream}{}", "b=AS:1\r\n".repeat(99))).unwrap();
        assert_eq!(session.media[0].bandwidth.len(), MAX_BANDWIDTHS);
    }

    #[test]
    fn what_is_no_ip_address_stays_a_name() {
        for (line, host) in [
            ("IN IP4 192.0.2.7", Host::Ip([192, 0, 2, 7].into())),
            ("IN IP4 224.2.1.1/127/3", Host::Ip([224, 2, 1, 1].into())),
            ("IN IP6 ::", Host::Ip([0u16; 8].into())),
            ("IN IP4 ::1", Host::Ip([0, 0, 0, 0, 0, 0, 0, 1].into())),
            ("IN IP4 phone.example.com", Host::Name("phone.example.com".into())),
            ("IN IP4 010.0.0.1", Host::Name("010.0.0.1".into())),
            ("IN IP4 256.0.0.1", Host::Name("256.0.0.1".into())),
            ("IN IP6 fe80::1%eth0", Host::Name("fe80::1%eth0".into())),
        ] {
            assert_eq!(read_host(line), Some(host), "{line}");
        }
    }
}
