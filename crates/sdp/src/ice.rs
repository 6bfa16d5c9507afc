//! ICE in descriptions (RFC 8839): ours as a lite agent's, theirs as far as that needs it.

use std::net::{IpAddr, SocketAddr};

use base::{Redacted, Rng};
use serde::{Deserialize, Serialize};

use crate::parse::decimal;
use crate::{Attribute, LocalAudio, Media, Session};

/// Most candidates of one stream looked at.
pub const MAX_CANDIDATES: usize = 20;

/// RFC 8839 §5.4: at least 24 and 128 bits of chance. Ours have 5 in each character.
const UFRAG_LEN: usize = 8;
const PASSWORD_LEN: usize = 26;
const LEN_MAX: usize = 256;

/// A user name fragment and a password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IceCredentials {
    /// `a=ice-ufrag`, 4–256 characters.
    pub ufrag: Box<str>,
    /// `a=ice-pwd`, 22–256 characters.
    pub password: Redacted<Box<str>>,
}

/// What a peer says of ICE for one stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteIce {
    /// Theirs.
    pub credentials: IceCredentials,
    /// Whether it is a lite agent too: then nobody checks, and the addresses of the description
    /// hold (RFC 8445 §2.5).
    pub lite: bool,
    /// Its candidates for RTP over UDP that have an address, at most [`MAX_CANDIDATES`].
    pub candidates: Vec<SocketAddr>,
}

/// What is agreed on for ICE: who checks with what. New credentials of theirs are an ICE restart
/// (RFC 8839 §4.4.1.1.1), and ours are new then as well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IceAgreed {
    /// Ours: the peer's checks are authenticated with this password.
    pub local: IceCredentials,
    /// Theirs: their checks come from this user.
    pub remote: IceCredentials,
}

impl IceCredentials {
    pub(crate) fn fresh(rng: &mut Rng) -> Self {
        let ufrag = rng.token(UFRAG_LEN).into();
        Self { ufrag, password: Redacted::new(rng.token(PASSWORD_LEN).into()) }
    }

    /// Those of a stream, its own or else the session's.
    pub(crate) fn of(session: &Session, media: &Media) -> Option<Self> {
        let ufrag = session.attribute_of(media, "ice-ufrag").filter(|it| is_credential(it, 4))?;
        let password = session.attribute_of(media, "ice-pwd").filter(|it| is_credential(it, 22))?;
        Some(Self { ufrag: ufrag.into(), password: Redacted::new(password.into()) })
    }

    /// Our lines: these, and one candidate for each component.
    pub(crate) fn attributes(&self, local: &LocalAudio, rtcp_mux: bool) -> Vec<Attribute> {
        let mut all = vec![
            Attribute::new("ice-ufrag", self.ufrag.clone()),
            Attribute::new("ice-pwd", self.password.reveal().clone()),
        ];
        for component in 1..=if rtcp_mux { 1 } else { 2u16 } {
            all.push(candidate(
                component,
                local.address,
                local.rtp_port.saturating_add(component - 1),
            ));
        }
        all.push(Attribute::flag("end-of-candidates"));
        all
    }
}

impl RemoteIce {
    /// `None` without usable credentials: then ICE is not used.
    pub(crate) fn read(session: &Session, media: &Media) -> Option<Self> {
        let lines = media.attributes_named("candidate").take(MAX_CANDIDATES);
        Some(Self {
            credentials: IceCredentials::of(session, media)?,
            lite: session.attribute("ice-lite").is_some(),
            candidates: lines.filter_map(address_of).collect(),
        })
    }
}

/// RFC 8445 §5.1.2.1: a host candidate has type preference 126; we have one address, and RTP goes
/// before RTCP.
fn candidate(component: u16, ip: IpAddr, port: u16) -> Attribute {
    let priority = (126 << 24) + (0xffff << 8) + (256 - u32::from(component));
    Attribute::new("candidate", format!("1 {component} UDP {priority} {ip} {port} typ host"))
}

/// `1 1 UDP 2130706431 192.0.2.1 8998 typ host`. `None` for TCP, for RTCP, and for names: `.local`
/// ones are no business of ours (RFC 8839 §5.1).
fn address_of(value: &str) -> Option<SocketAddr> {
    let mut words = value.split_ascii_whitespace();
    let (_foundation, component, transport) = (words.next()?, words.next()?, words.next()?);
    let (_priority, ip, port) = (words.next()?, words.next()?, words.next()?);
    let fits = component == "1" && transport.eq_ignore_ascii_case("udp");
    fits.then(|| Some(SocketAddr::new(ip.parse().ok()?, decimal(port)?))).flatten()
}

/// RFC 8839 §5.4: letters, digits, `+` and `/`.
fn is_credential(text: &str, len_min: usize) -> bool {
    (len_min..=LEN_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(attributes: &str) -> Option<RemoteIce> {
        let text = format!("v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/AVP 0\r\n{attributes}");
        let session = crate::parse(text.as_bytes()).unwrap();
        RemoteIce::read(&session, &session.media[0])
    }

    const CREDENTIALS: &str = "a=ice-ufrag:9r3c\r\na=ice-pwd:u8GhlVUrGTSbHv5AK4Jp3S8u\r\n";

    #[test]
    fn candidates_with_an_address_are_kept() {
        let ice = read(&format!(
            "{CREDENTIALS}\
             a=candidate:1 1 UDP 2130706431 192.0.2.14 52458 typ srflx raddr 10.0.0.4 rport 5\r\n\
             a=candidate:1 2 UDP 2130705918 192.0.2.14 52459 typ host\r\n\
             a=candidate:2 1 udp 2113937151 0d1c.local 51556 typ host generation 0\r\n\
             a=candidate:3 1 tcp 1518280447 192.0.2.9 9 typ host tcptype active\r\n\
             a=candidate:4 1 udp 2113937151 2001:db8::1 51556 typ host\r\n\
             a=candidate:x\r\na=candidate:5 1 udp 1 192.0.2.1 70000 typ host\r\n"
        ));
        let ice = ice.unwrap();
        assert_eq!(
            ice.candidates,
            ["192.0.2.14:52458".parse().unwrap(), "[2001:db8::1]:51556".parse().unwrap(),]
        );
        assert_eq!((&*ice.credentials.ufrag, ice.lite), ("9r3c", false));
        assert!(!format!("{ice:?}").contains("u8Gh"));
        let many = "a=candidate:1 1 UDP 1 192.0.2.1 4000 typ host\r\n".repeat(200);
        let many = read(&format!("{CREDENTIALS}{many}")).unwrap();
        assert_eq!(many.candidates.len(), MAX_CANDIDATES);
    }

    #[test]
    fn credentials_that_are_none_are_no_ice() {
        let pwd = "a=ice-pwd:u8GhlVUrGTSbHv5AK4Jp3S8u";
        for attributes in [
            "",
            "a=ice-ufrag:9r3c",
            pwd,
            &format!("a=ice-ufrag:9r3\r\n{pwd}"),
            &format!("a=ice-ufrag:9r:3c\r\n{pwd}"),
            &format!("a=ice-ufrag:{}\r\n{pwd}", "x".repeat(257)),
            "a=ice-ufrag:9r3c\r\na=ice-pwd:short",
            "a=ice-ufrag:9r3c\r\na=ice-pwd:u8GhlVUrGTSbHv5A K4Jp3S8u",
        ] {
            assert_eq!(read(attributes), None, "{attributes}");
        }
    }

    #[test]
    fn ours_are_such_as_we_would_take() {
        let mut rng = Rng::from_u64(1);
        let local = LocalAudio {
            address: [192, 0, 2, 7].into(),
            rtp_port: 20_000,
            rtcp_mux: true,
            ptime: None,
        };
        for (rtcp_mux, components) in [(true, 1), (false, 2)] {
            let ours = IceCredentials::fresh(&mut rng);
            let lines: Vec<_> = ours.attributes(&local, rtcp_mux);
            let text: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
            let ice = read(&text).unwrap();
            assert_eq!(ice.credentials, ours);
            assert_eq!(ice.candidates, ["192.0.2.7:20000".parse().unwrap()]);
            assert_eq!(lines.len(), 3 + components);
            assert_eq!(lines[2].value(), "1 1 UDP 2130706431 192.0.2.7 20000 typ host");
            assert_eq!(lines.last().unwrap().to_string(), "a=end-of-candidates");
        }
    }
}
