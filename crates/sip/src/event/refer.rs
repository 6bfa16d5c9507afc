//! What a REFER asks for (RFC 3515, RFC 3891 in its Refer-To, RFC 3892, RFC 4488).

use serde::{Deserialize, Serialize};

use crate::message::{Name, NameAddr, Replaces, Request, Scheme, StatusCode, Uri, UriHeaders};

/// A REFER that can be followed, as far as SIP goes: whether the number may be called is for the
/// dial plan (ATTACKS 15).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refer {
    /// Whom to call, without the headers of the URI.
    pub target: Uri,
    /// The dialog that the new call takes the place of: an attended transfer. Seen from the target
    /// of the Refer-To, i.e. its tags are the wrong way round for the transferor.
    pub replaces: Option<Replaces>,
    /// Who refers (RFC 3892), as it may be passed on: a name and an address, to be printed anew.
    /// `None` also where it cannot be read.
    pub referred_by: Option<NameAddr>,
    /// Whether progress is to be told by NOTIFY; `Refer-Sub: false` asks for none (RFC 4488 §4).
    pub subscribes: bool,
    /// CSeq number of the REFER: the id of its subscription (RFC 3515 §2.4.6).
    pub id: u32,
}

/// Longest Referred-By that is passed on, in bytes.
const REFERRED_BY_MAX: usize = 512;

impl Refer {
    /// Reads a REFER.
    ///
    /// # Errors
    /// The status to refuse it with: 400 without exactly one Refer-To that can be read (RFC 3515
    /// §2.4.2) or with a Replaces that cannot, 416 where it is no number to call, 501 where it
    /// asks for another method than INVITE.
    pub fn read(request: &Request) -> Result<Self, StatusCode> {
        let mut targets = request.headers.list(Name::ReferTo);
        let (Some(only), None) = (targets.next(), targets.next()) else {
            return Err(StatusCode::BAD_REQUEST);
        };
        let name_addr: NameAddr = only.parse().map_err(|_| StatusCode::BAD_REQUEST)?;
        let mut target = name_addr.uri;
        match target.scheme {
            Scheme::Sip | Scheme::Sips | Scheme::Tel => {}
            Scheme::Other(_) => return Err(StatusCode::UNSUPPORTED_URI_SCHEME),
        }
        let method = target.params.value("method");
        if method.is_some_and(|method| !method.eq_ignore_ascii_case("INVITE")) {
            return Err(StatusCode::NOT_IMPLEMENTED);
        }
        let replaces = target.headers.get("Replaces").map(|text| Replaces::parse(&text));
        let replaces = replaces.transpose().map_err(|_| StatusCode::BAD_REQUEST)?;
        // RFC 3261 §19.1.5: no other header of a stranger's URI gets into a request of ours.
        target.headers = UriHeaders::default();
        Ok(Self {
            target,
            replaces,
            referred_by: referrer(request),
            subscribes: !request
                .headers
                .get(Name::ReferSub)
                .is_some_and(|value| value.trim().eq_ignore_ascii_case("false")),
            id: request.headers.cseq().map_err(|_| StatusCode::BAD_REQUEST)?.seq,
        })
    }
}

/// Who refers, without what leads elsewhere (RFC 3261 §19.1.5) or means a part of the body that
/// stays here (`cid`, RFC 3892 §4).
fn referrer(request: &Request) -> Option<NameAddr> {
    let mut values = request.headers.list(Name::ReferredBy);
    let (Some(only), None) = (values.next(), values.next()) else { return None };
    let NameAddr { display, mut uri, params: _ } = only.parse().ok()?;
    match uri.scheme {
        Scheme::Sip | Scheme::Sips | Scheme::Tel => {}
        Scheme::Other(_) => return None,
    }
    uri.headers = UriHeaders::default();
    uri.password = None;
    let display = display.unwrap_or_default();
    let display: String = display.chars().filter(|c| !c.is_control()).collect();
    let referrer = NameAddr::new(uri).with_display(&display);
    (referrer.to_string().len() <= REFERRED_BY_MAX).then_some(referrer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialog::testing::request;

    fn refer(more: &str) -> Request {
        request(&format!(
            "REFER sip:us@192.0.2.1 SIP/2.0
             Via: SIP/2.0/UDP phone.example;branch=z9hG4bK776
             From: <sip:1001@pbx.example>;tag=a
             To: <sip:1002@pbx.example>;tag=b
             Call-ID: x
             CSeq: 93809823 REFER
             {more}"
        ))
    }

    #[test]
    fn t11_a_blind_transfer_names_its_target() {
        let read = Refer::read(&refer("Refer-To: \"Bob\" <sip:1003@pbx.example>")).unwrap();
        assert_eq!(read.target.to_string(), "sip:1003@pbx.example");
        assert_eq!((read.replaces, read.subscribes, read.id), (None, true, 93_809_823));
        let read = Refer::read(&refer("r: tel:+4930123\r\nb: sip:1001@pbx.example")).unwrap();
        assert_eq!(read.target.to_string(), "tel:+4930123");
        assert_eq!(read.referred_by.unwrap().to_string(), "<sip:1001@pbx.example>");
        let read = Refer::read(&refer("Refer-To: sip:1003@a;method=invite\r\nRefer-Sub: False"));
        assert!(!read.unwrap().subscribes);
    }

    #[test]
    fn t11_an_attended_transfer_names_the_dialog_it_replaces() {
        let to = "Refer-To: <sip:1003@pbx.example?Replaces=77%40host%3Bto-tag%3D1%3Bfrom-tag%3D2\
                  &Route=%3Csip:evil.example%3E>";
        let read = Refer::read(&refer(to)).unwrap();
        let replaces = read.replaces.unwrap();
        assert_eq!((&*replaces.call_id, &*replaces.to_tag), ("77@host", "1"));
        assert_eq!(read.target.to_string(), "sip:1003@pbx.example", "no header of it is followed");
    }

    /// RFC 3892 §3.
    #[test]
    fn who_refers_is_known_by_name_and_address_only() {
        let long = format!("<sip:{}@a>", "1".repeat(REFERRED_BY_MAX));
        for (said, kept) in [
            ("<sip:1001@a;user=phone>", Some("<sip:1001@a;user=phone>")),
            ("sips:1001@a;x=y", Some("<sips:1001@a>")),
            ("<tel:+4930123>", Some("<tel:+4930123>")),
            ("Agent <sip:1001@a>;cid=\"2UWQFN309shb3@a\"", Some("\"Agent\" <sip:1001@a>")),
            ("\"A\x01g\x7fe\\\"nt\" <sip:1001@a>", Some("\"Age\\\"nt\" <sip:1001@a>")),
            ("<sip:1001:secret@a?Route=%3Csip:b%3E>", Some("<sip:1001@a>")),
            ("<sip:1001%0d%0aRoute@a>", Some("<sip:1001%0d%0aRoute@a>")),
            ("<http://evil.example/x>", None),
            ("<javascript:alert(1)>", None),
            ("<sip:1001@a>, <sip:1002@a>", None),
            ("<sip:1001@a>\r\nReferred-By: <sip:1002@a>", None),
            ("<sip:1001@a", None),
            ("", None),
            (&long, None),
        ] {
            let read = Refer::read(&refer(&format!("Refer-To: sip:b@c\r\nReferred-By: {said}")));
            let referrer = read.unwrap().referred_by.map(|referrer| referrer.to_string());
            assert_eq!(referrer.as_deref(), kept, "{said}");
        }
    }

    #[test]
    fn what_cannot_be_followed_is_refused() {
        for (more, status) in [
            ("Subject: x", StatusCode::BAD_REQUEST),
            ("Refer-To: <sip:a@b>\r\nRefer-To: <sip:c@d>", StatusCode::BAD_REQUEST),
            ("Refer-To: <sip:a@b>, <sip:c@d>", StatusCode::BAD_REQUEST),
            ("Refer-To: <>", StatusCode::BAD_REQUEST),
            ("Refer-To: <sip:a@b?Replaces=77>", StatusCode::BAD_REQUEST),
            ("Refer-To: <http://evil.example/x>", StatusCode::UNSUPPORTED_URI_SCHEME),
            ("Refer-To: <file:///etc/passwd>", StatusCode::UNSUPPORTED_URI_SCHEME),
            ("Refer-To: <sip:a@b;method=BYE>", StatusCode::NOT_IMPLEMENTED),
        ] {
            assert_eq!(Refer::read(&refer(more)), Err(status), "{more}");
        }
    }
}
