//! What rsip's own parser and printer are known to get wrong, each shown to be right here.
#![allow(clippy::unwrap_used, reason = "a test")]

use bytes::Bytes;
use sip::message::{Message, Method, Name, Request, StatusCode, Uri, parse_datagram};

const BASE: &str = "Via: SIP/2.0/UDP a;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\n\
    Call-ID: x@y\r\nCSeq: 1 MESSAGE\r\n";

fn request(bytes: impl Into<Vec<u8>>) -> Request {
    match parse_datagram(Bytes::from(bytes.into())).unwrap() {
        Message::Request(request) => request,
        Message::Response(response) => panic!("{response:?}"),
    }
}

fn message(more: &str) -> Request {
    request(format!("MESSAGE sip:c@d SIP/2.0\r\n{BASE}{more}\r\n"))
}

#[test]
fn compact_names_are_known() {
    let lines = "k: timer\r\nc: a/b\r\ne: gzip\r\nm: <sip:m@n>\r\ns: subject\r\no: talk\r\nr: <sip:r@s>\r\n\
        b: <sip:b@b>\r\nx: 90\r\nu: dialog\r\ny: sig\r\nn: <x:y>\r\nd: queue\r\na: *\r\nj: *\r\n";
    let read = message(lines);
    for name in [
        Name::Supported,
        Name::ContentType,
        Name::ContentEncoding,
        Name::Contact,
        Name::Subject,
        Name::Event,
        Name::ReferTo,
        Name::ReferredBy,
        Name::SessionExpires,
        Name::AllowEvents,
        Name::Identity,
        Name::IdentityInfo,
        Name::RequestDisposition,
        Name::AcceptContact,
        Name::RejectContact,
    ] {
        assert!(read.headers.has(name), "{name}");
    }
}

#[test]
fn folds_and_space_before_the_colon_are_accepted() {
    let read = message("Subject  :  a\r\n   b \r\n\tc\r\n");
    assert_eq!(read.headers.get(Name::Subject), Some("a b c"));
}

#[test]
fn a_byte_that_is_no_utf8_refuses_nothing() {
    let mut bytes = format!("MESSAGE sip:c@d SIP/2.0\r\n{BASE}Subject: ").into_bytes();
    bytes.extend(b"caf\xe9\r\nX-After: still here\r\nContent-Length: 2\r\n\r\n\xff\xfe");
    let read = request(bytes);
    assert_eq!(read.headers.get(Name::Subject), Some("caf\u{fffd}"));
    assert_eq!(read.headers.get_named("X-After"), Some("still here"));
    assert_eq!(read.body.as_ref(), b"\xff\xfe");
}

#[test]
fn line_breaks_in_front_are_skipped() {
    let read = request(format!("\r\n\r\nMESSAGE sip:c@d SIP/2.0\r\n{BASE}\r\n"));
    assert_eq!(read.method, Method::Message);
}

#[test]
fn content_length_ends_the_body() {
    let text = format!(
        "MESSAGE sip:c@d SIP/2.0\r\n{BASE}Content-Length: 4\r\n\r\nbodyINVITE sip:c@d SIP/2.0\r\n"
    );
    assert_eq!(request(text).body, "body");
}

#[test]
fn binary_bodies_are_exact() {
    let body: Vec<u8> = (0..=255).collect();
    let sent = message("").with_body("application/octet-stream", body.clone());
    assert_eq!(request(sent.to_bytes().to_vec()).body, body);
}

#[test]
fn reason_phrases_are_printed_as_the_rfcs_write_them() {
    for (status, line) in [
        (183, "SIP/2.0 183 Session Progress\r\n"),
        (480, "SIP/2.0 480 Temporarily Unavailable\r\n"),
        (481, "SIP/2.0 481 Call/Transaction Does Not Exist\r\n"),
        (504, "SIP/2.0 504 Server Time-out\r\n"),
    ] {
        assert!(message("").response(StatusCode(status)).to_bytes().starts_with(line.as_bytes()));
    }
}

#[test]
fn ipv6_is_read_and_printed_in_brackets() {
    let uri: Uri = "sip:a@[2001:db8::1]:5070;lr".parse().unwrap();
    assert_eq!((uri.port, uri.to_string().as_str()), (Some(5070), "sip:a@[2001:db8::1]:5070;lr"));
}

#[test]
fn tel_uris_keep_their_plus() {
    let read = message("P-Asserted-Identity: <tel:+493012345>\r\n");
    let identity = read.headers.address(Name::PAssertedIdentity).unwrap();
    assert_eq!(identity.uri.user.as_deref(), Some("+493012345"));
    assert_eq!(identity.to_string(), "<tel:+493012345>");
}

#[test]
fn uri_headers_survive_for_attended_transfer() {
    let read = message("Refer-To: <sip:c@d?Replaces=id%40h%3Bto-tag%3D1%3Bfrom-tag%3D2>\r\n");
    let target = read.headers.address(Name::ReferTo).unwrap();
    let replaces =
        sip::message::Replaces::parse(&target.uri.headers.get("Replaces").unwrap()).unwrap();
    assert_eq!((&*replaces.call_id, &*replaces.to_tag, &*replaces.from_tag), ("id@h", "1", "2"));
    assert!(target.to_string().contains("?Replaces=id%40h%3Bto-tag%3D1%3Bfrom-tag%3D2"));
}

#[test]
fn instance_ids_and_quoted_parameters_are_read() {
    let read = message(
        "Contact: <sip:a@b;ob>;reg-id=1;+sip.instance=\"<urn:uuid:0;1>\";text=\"a, \\\"b\\\"\"\r\n",
    );
    let contact = read.contact().unwrap();
    assert_eq!(contact.params.value("+sip.instance"), Some("<urn:uuid:0;1>"));
    assert_eq!(contact.params.unquoted("text").unwrap(), "a, \"b\"");
    assert_eq!(contact.params.value("reg-id"), Some("1"));
}

#[test]
fn all_vias_of_a_list_are_seen() {
    let read = message("Via: SIP/2.0/TCP b, SIP/2.0/TLS c\r\n");
    assert_eq!(read.headers.vias().unwrap().len(), 3);
}

#[test]
fn methods_are_open_and_case_sensitive() {
    let text = format!("message sip:c@d SIP/2.0\r\n{}\r\n", BASE.replace("MESSAGE", "message"));
    assert_eq!(request(text).method, Method::Other("message".into()));
}

#[test]
fn credentials_pass_untouched() {
    let digest = "Digest username=\"a\", algorithm=SHA-256, qop=auth, nc=0000000a, response=\"00\"";
    let read = message(&format!("Authorization: {digest}\r\n"));
    assert_eq!(read.headers.get(Name::Authorization), Some(digest));
    assert!(read.to_bytes().windows(digest.len()).any(|w| w == digest.as_bytes()));
}

#[test]
fn later_headers_have_types() {
    let read = message(
        "Refer-To: <sip:r@s>\r\nReplaces: id;to-tag=1;from-tag=2\r\nSession-Expires: 90;refresher=uac\r\n\
         RAck: 1 2 INVITE\r\nRSeq: 7\r\nMin-SE: 90\r\nReason: Q.850;cause=16\r\nPath: <sip:p;lr>,<sip:q>\r\n\
         Retry-After: 18 (soon);duration=5\r\nExpires: 99999999999\r\n",
    );
    assert_eq!(read.headers.address(Name::ReferTo).unwrap().uri.to_string(), "sip:r@s");
    assert_eq!(&*read.replaces().unwrap().call_id, "id");
    assert_eq!(read.session_expires().unwrap().delta_secs, 90);
    assert_eq!((read.rack().unwrap().cseq, read.rseq(), read.min_se()), (2, Some(7), Some(90)));
    assert_eq!(read.headers.reason().unwrap().cause, Some(16));
    assert_eq!(read.headers.addresses(Name::Path).unwrap().len(), 2);
    assert_eq!((read.retry_after(), read.expires()), (Some(18), Some(u32::MAX)));
}
