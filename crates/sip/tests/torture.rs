//! The torture messages of RFC 4475 and RFC 5118, each with the verdict the RFC recommends, and
//! ten thousand mutations of them.
#![allow(clippy::unwrap_used, reason = "a test")]

use bytes::Bytes;
use sip::framing::{Decoder, Frame};
use sip::message::{
    ContactList, Host, MAX_MESSAGE, Message, Method, Name, ParseErrorKind, Request, Response,
    Scheme, StatusCode, parse_datagram,
};

/// What has to become of a message.
enum Verdict {
    /// A request to be processed, and what has to be read in it.
    Request(fn(&Request)),
    /// A response to be processed, and what has to be read in it.
    Response(fn(&Response)),
    /// A request to be answered with this status.
    Refuse(u16),
    /// Dropped.
    Silence,
}

use Verdict::{Refuse, Silence};

macro_rules! dat {
    ($dir:literal, $name:literal) => {
        ($name, include_bytes!(concat!("torture/", $dir, "/", $name, ".dat")).as_slice())
    };
}

macro_rules! table {
    ($dir:literal: $($name:literal => $verdict:expr,)*) => {
        vec![$((dat!($dir, $name), $verdict),)*]
    };
}

type Row = ((&'static str, &'static [u8]), Verdict);

fn request(check: fn(&Request)) -> Verdict {
    Verdict::Request(check)
}

fn response(check: fn(&Response)) -> Verdict {
    Verdict::Response(check)
}

// RFC 4475 §3.1.1: valid messages.
fn rfc4475_valid() -> Vec<Row> {
    table! { "rfc4475":
        "wsinv" => request(short_tortuous_invite),
        "intmeth" => request(wide_range_of_characters),
        "esc01" => request(|r| {
            assert_eq!(r.uri.user.as_deref(), Some("sips%3Auser%40example.com"));
            assert_eq!(r.uri.user_unescaped().unwrap(), "sips:user@example.com");
            assert_eq!(r.uri.host, Host::Name("example.net".into()));
            assert_eq!(r.to().unwrap().uri.user_unescaped().unwrap(), "user");
            let contact = r.contact().unwrap().uri;
            assert_eq!(contact.params.as_str(), ";%6C%72;n%61me=v%61lue%25%34%31");
            assert!(!contact.lr(), "an escaped name is another name");
        }),
        "escnull" => request(|r| {
            assert_eq!(r.to().unwrap().uri.user_unescaped().unwrap(), "null-\0-null");
            let ContactList::List(contacts) = r.contacts().unwrap() else { panic!("star") };
            assert_eq!(contacts[1].uri.user_unescaped().unwrap(), "\0\0");
        }),
        "esc02" => request(|r| {
            assert_eq!(r.method, Method::Other("RE%47IST%45R".into()));
            assert_eq!(r.to().unwrap().display.as_deref(), Some("%Z%45"));
            assert_eq!(r.headers.get_all(Name::Contact).count(), 2);
        }),
        "lwsdisp" => request(|r| {
            let from = r.from().unwrap();
            assert_eq!(from.display.as_deref(), Some("caller"));
            assert_eq!(from.tag(), Some("323"));
        }),
        "longreq" => request(|r| {
            assert_eq!(r.headers.vias().unwrap().len(), 34);
            assert_eq!(r.body.len(), 150);
            assert!(r.headers.vias().unwrap()[33].branch().unwrap().ends_with("branchvalue"));
        }),
        "dblreq" => request(|r| {
            assert_eq!(r.method, Method::Register);
            assert!(r.body.is_empty());
        }),
        "semiuri" => request(|r| {
            assert_eq!(r.uri.user_unescaped().unwrap(), "user;par=u@example.net");
            assert!(r.uri.params.is_empty());
            assert_eq!(r.headers.list(Name::Accept).count(), 6);
        }),
        "transports" => request(|r| {
            let vias = r.headers.vias().unwrap();
            let transports: Vec<_> = vias.iter().map(|v| &*v.transport).collect();
            assert_eq!(transports, ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"]);
        }),
        "mpart01" => request(|r| {
            assert_eq!(r.body.len(), 553);
            assert!(r.body.windows(4).any(|w| w == [0x30, 0x82, 0x01, 0x52]));
            let content_type = r.content_type().unwrap();
            assert!(content_type.is("multipart", "mixed"));
            assert_eq!(content_type.params.value("boundary"), Some("7a9cbec02ceef655"));
        }),
        "unreason" => response(|r| {
            assert_eq!(r.status, StatusCode::OK);
            assert!(r.reason.ends_with("девять - простое"));
        }),
        "noreason" => response(|r| {
            assert_eq!((r.status, &*r.reason), (StatusCode::TRYING, ""));
        }),
    }
}

fn short_tortuous_invite(r: &Request) {
    assert_eq!(r.uri.params.get("unknownparam"), Some(None));
    assert_eq!(r.to().unwrap().tag(), Some("1918181833n"));
    let from = r.from().unwrap();
    assert_eq!((from.display.as_deref(), from.tag()), (Some("J Rosenberg \\\""), Some("98asjd8")));
    assert_eq!(r.max_forwards(), Some(68));
    assert_eq!(r.cseq().unwrap().to_string(), "9 INVITE");
    let vias: Vec<_> = r.headers.vias().unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(
        vias,
        [
            "SIP/2.0/UDP 192.0.2.2;branch=390skdjuw",
            "SIP/2.0/TCP spindle.example.com;branch=z9hG4bK9ikj8",
            "SIP/2.0/UDP 192.168.255.111;branch=z9hG4bK30239",
        ]
    );
    assert_eq!(r.headers.get(Name::Subject), Some(""));
    let folded = r.headers.get_named("newfangledheader");
    assert_eq!(folded, Some("newfangled value continued newfangled value"));
    assert_eq!(r.headers.get_named("UnknownHeaderWithUnusualValue"), Some(";;,,;;,;"));
    assert!(r.routes().unwrap()[0].uri.lr());
    let contact = r.contact().unwrap();
    assert_eq!(contact.display.as_deref(), Some("Quoted string \"\""));
    assert_eq!(contact.params.as_str(), ";newparam=newvalue;secondparam;q=0.33");
    assert_eq!(contact.q_thousandths(), Some(330));
    assert_eq!(r.body.len(), 150);
}

fn wide_range_of_characters(r: &Request) {
    assert_eq!(r.method.as_str(), "!interesting-Method0123456789_*+`.%indeed'~");
    assert_eq!(r.cseq().unwrap().method, r.method);
    let user = "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*";
    assert_eq!(r.uri.user.as_deref(), Some(user));
    let password = "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)";
    assert_eq!(r.uri.password.as_deref(), Some(password));
    assert_eq!(r.to().unwrap().display.as_deref(), Some("BEL:\x07 NUL:\0 DEL:\x7f"));
    let from = r.from().unwrap();
    assert_eq!(from.display.as_deref(), Some("token1~` token2'+_ token3*%!.-"));
    assert_eq!(from.params.value("fromParam''~+*_!.-%"), Some("работающий"));
    assert_eq!(from.tag(), Some("_token~1'+`*%!-."));
    assert_eq!(r.headers.get_named("extensionheader-!.%*+_`'~"), Some("\u{feff}大停電"));
    assert_eq!(r.max_forwards(), Some(255));
}

// RFC 4475 §3.1.2: invalid messages.
fn rfc4475_invalid() -> Vec<Row> {
    table! { "rfc4475":
        "badinv01" => Refuse(400),
        "clerr" => Refuse(400),
        "ncl" => Refuse(400),
        "scalar02" => Refuse(400),
        "scalarlg" => Silence,
        "quotbal" => Refuse(400),
        "ltgtruri" => Refuse(400),
        "lwsruri" => Refuse(400),
        "lwsstart" => Refuse(400),
        "trws" => Refuse(400),
        "escruri" => Refuse(400),
        // The RFC lets an element that does not look at Date process it.
        "baddate" => request(|r| {
            assert_eq!(r.headers.get(Name::Date), Some("Fri, 01 Jan 2010 16:00:00 EST"));
        }),
        "regbadct" => Refuse(400),
        "badaspec" => Refuse(400),
        "baddn" => Refuse(400),
        "badvers" => Refuse(505),
        "mismatch01" => Refuse(400),
        "mismatch02" => Refuse(400),
        "bigcode" => Silence,
    }
}

// RFC 4475 §3.2 to §3.4: transaction, application layer and backward compatibility. What is no
// business of the message layer is accepted here, with what the layers above decide by.
fn rfc4475_layers() -> Vec<Row> {
    table! { "rfc4475":
        "badbranch" => Refuse(400),
        "insuf" => Refuse(400),
        "unkscm" => request(|r| {
            assert_eq!(r.uri.scheme, Scheme::Other("nobodyknowsthisscheme".into()));
        }),
        "novelsc" => request(|r| {
            assert_eq!(r.uri.scheme, Scheme::Other("soap.beep".into()));
            assert_eq!(r.uri.to_string(), "soap.beep://192.0.2.103:3002");
        }),
        "unksm2" => request(|r| {
            assert_eq!(r.to().unwrap().uri.scheme.as_str(), "isbn");
            assert_eq!(r.from().unwrap().uri.to_string(), "http://www.example.com");
        }),
        "bext01" => request(|r| {
            let required: Vec<_> = r.headers.list(Name::Require).collect();
            assert_eq!(required, ["nothingSupportsThis", "nothingSupportsThisEither"]);
        }),
        "invut" => request(|r| assert!(r.content_type().unwrap().is("application", "unknownformat"))),
        "regaut01" => request(|r| {
            let credentials = r.headers.get(Name::Authorization);
            assert_eq!(credentials, Some("NoOneKnowsThisScheme opaque-data=here"));
        }),
        "multi01" => Refuse(400),
        "mcl01" => Refuse(400),
        // Two Via: it is not ours to forward, nor was it sent to us (dropped by its branch).
        "bcast" => response(|r| assert_eq!(r.headers.vias().unwrap().len(), 2)),
        "zeromf" => request(|r| assert_eq!(r.max_forwards(), Some(0))),
        "cparam01" => request(|r| {
            let contact = r.contact().unwrap();
            assert!(contact.params.has("unknownparam") && contact.uri.params.is_empty());
        }),
        "cparam02" => request(|r| {
            let contact = r.contact().unwrap();
            assert!(contact.params.is_empty() && contact.uri.params.has("unknownparam"));
        }),
        "regescrt" => request(|r| {
            let contact = r.contact().unwrap();
            assert_eq!(contact.uri.headers.get("route").unwrap(), "<sip:sip.example.com>");
        }),
        "sdp01" => request(|r| {
            assert_eq!(r.headers.get(Name::Accept), Some("text/nobodyKnowsThis"));
        }),
        "inv2543" => request(|r| {
            assert_eq!((r.max_forwards(), r.via().unwrap().branch()), (None, None));
            assert_eq!(r.body.len(), 105);
            assert!(r.to().unwrap().params.has("user"));
        }),
    }
}

fn rfc5118() -> Vec<Row> {
    table! { "rfc5118":
        "ipv6-good" => request(|r| {
            assert_eq!(r.uri.to_string(), "sip:[2001:db8::10]");
            assert_eq!(r.via().unwrap().host.ip(), "2001:db8::9:1".parse().ok());
            assert_eq!(r.contact().unwrap().uri.to_string(), "sip:caller@[2001:db8::1]");
        }),
        "ipv6-bad" => Refuse(400),
        "port-ambiguous" => request(|r| {
            assert_eq!((r.uri.host.ip(), r.uri.port), ("2001:db8::10:5070".parse().ok(), None));
        }),
        "port-unambiguous" => request(|r| {
            assert_eq!((r.uri.host.ip(), r.uri.port), ("2001:db8::10".parse().ok(), Some(5070)));
        }),
        "via-received-param-with-delim" => request(received),
        "via-received-param-no-delim" => request(received),
        "ipv6-in-sdp" => request(|r| assert_eq!(r.body.len(), 251)),
        "mult-ip-in-header" => request(|r| {
            let vias = r.headers.vias().unwrap();
            assert_eq!(vias[0].port, Some(6050));
            assert_eq!(vias[1].host.to_string(), "192.0.2.1");
            assert_eq!(vias[2].received(), "192.0.2.200".parse().ok());
        }),
        "mult-ip-in-sdp" => request(|r| assert_eq!(r.body.len(), 189)),
        "ipv4-mapped-ipv6" => request(|r| {
            let via = r.via().unwrap();
            assert_eq!((via.host.to_string().as_str(), via.port), ("[::ffff:192.0.2.10]", Some(19823)));
        }),
        "ipv6-bug-abnf-3-colons" => request(|r| {
            assert_eq!(r.uri.host.ip(), "2001:db8::192.0.2.1".parse().ok());
        }),
        "ipv6-correct-abnf-2-colons" => request(|r| {
            assert_eq!(r.uri.host.ip(), "2001:db8::192.0.2.1".parse().ok());
        }),
    }
}

fn received(r: &Request) {
    assert_eq!(r.via().unwrap().received(), "2001:db8::9:255".parse().ok());
}

fn all() -> Vec<Row> {
    let parts = [rfc4475_valid(), rfc4475_invalid(), rfc4475_layers(), rfc5118()];
    parts.into_iter().flatten().collect()
}

#[test]
fn every_torture_message_gets_its_verdict() {
    assert_eq!(all().len(), 49 + 12);
    for ((name, bytes), verdict) in all() {
        let parsed = parse_datagram(Bytes::from_static(bytes));
        match (parsed, verdict) {
            (Ok(Message::Request(request)), Verdict::Request(check)) => check(&request),
            (Ok(Message::Response(response)), Verdict::Response(check)) => check(&response),
            (Err(error), Refuse(status)) => {
                let answer = error.response().expect(name);
                assert_eq!(answer.status.0, status, "{name}");
                assert!(answer.headers.has(Name::Via), "{name}");
            }
            (Err(error), Silence) => assert_eq!(error.response(), None, "{name}"),
            (other, _) => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn accepted_messages_survive_printing() {
    for ((name, bytes), _) in all() {
        let Ok(message) = parse_datagram(Bytes::from_static(bytes)) else { continue };
        if let Message::Response(response) = &message {
            assert_eq!(response.wire_len(), response.to_bytes().len(), "{name}");
        }
        if let Message::Request(request) = &message {
            let response = request.response(StatusCode::OK).with_to_tag("x");
            assert_eq!(response.wire_len(), response.to_bytes().len(), "{name}");
        }
        assert_eq!(parse_datagram(message.to_bytes()).as_ref(), Ok(&message), "{name}");
    }
}

/// Changes a message as a fuzzer would.
fn mutate(rng: &mut base::Rng, seeds: &[Row]) -> Vec<u8> {
    const PIECES: [&[u8]; 16] = [
        b"\r\n",
        b"\r",
        b"\n",
        b"\0",
        b"\"",
        b"<",
        b">",
        b";",
        b",",
        b"%",
        b"\\",
        b"\xff\xfe",
        b": ",
        b"Content-Length: 7\r\n",
        b"99999999999999999999",
        b"\r\n ",
    ];
    let pick = |rng: &mut base::Rng| seeds[rng.below(seeds.len() as u64) as usize].0.1;
    let mut bytes = pick(rng).to_vec();
    for _ in 0..=rng.below(2) {
        let at = rng.below(bytes.len() as u64 + 1) as usize;
        let len = (rng.below(30) as usize).min(bytes.len() - at);
        match rng.below(8) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..at + len)),
            2 => drop(bytes.splice(at..at, PIECES[rng.below(16) as usize].iter().copied())),
            3..=5 => bytes.iter_mut().skip(at).take(1).for_each(|b| *b = rng.next_u32() as u8),
            6 => {
                let other = pick(rng);
                let from = rng.below(other.len() as u64) as usize;
                bytes.splice(at..at, other[from..].iter().copied().take(200));
            }
            _ => drop(bytes.splice(at..at, bytes[at..at + len].repeat(9))),
        }
    }
    bytes
}

#[test]
fn ten_thousand_mutations_neither_panic_nor_change_in_printing() {
    let (mut rng, seeds) = (base::Rng::from_u64(4475), all());
    let mut accepted = 0;
    for case in 0..10_000 {
        let bytes = Bytes::from(mutate(&mut rng, &seeds));
        match parse_datagram(bytes.clone()) {
            Ok(message) => {
                accepted += 1;
                let printed = message.to_bytes();
                if printed.len() <= MAX_MESSAGE {
                    assert_eq!(parse_datagram(printed), Ok(message), "case {case}: {bytes:?}");
                }
            }
            Err(error) => {
                let answer = error.response().map(|answer| answer.to_bytes());
                let len = answer.as_ref().map_or(0, Bytes::len);
                assert!(len <= 2 * bytes.len(), "case {case}: {bytes:?} → {answer:?}");
            }
        }
    }
    assert!(accepted > 1_000, "only {accepted} accepted: the mutations are too coarse");
}

#[test]
fn a_stream_of_mutations_gives_the_same_frames_in_any_pieces() {
    let (mut rng, seeds) = (base::Rng::from_u64(5118), all());
    for case in 0..300 {
        let stream: Vec<u8> = (0..3).flat_map(|_| mutate(&mut rng, &seeds)).collect();
        let mut whole = Decoder::new();
        whole.push(&stream);
        let expected: Vec<_> = whole.by_ref().collect();
        let mut piecewise = Decoder::new();
        let mut seen = Vec::new();
        for piece in stream.chunks(1 + rng.below(3) as usize) {
            piecewise.push(piece);
            seen.extend(piecewise.by_ref());
        }
        // The answer to a fault may differ in how much of the message had arrived.
        let kinds = |frames: &[Result<Frame, sip::message::ParseError>]| -> Vec<Result<Frame, ParseErrorKind>> {
            frames.iter().cloned().map(|f| f.map_err(|e| e.kind)).collect()
        };
        assert_eq!(kinds(&seen), kinds(&expected), "case {case}: {stream:?}");
    }
}
