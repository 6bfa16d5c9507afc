//! One datagram: read, looked at from all sides, printed, read again.

use bytes::Bytes;
use sip::dialog::body;
use sip::message::{
    Headers, MAX_HEADERS, Message, Name, ParseError, Response, StatusCode, parse_datagram,
    parse_headers,
};

/// Above this, a folded or compact header may become too long when it is printed in full.
const MESSAGE_MAX: usize = 8 * 1024;

/// What is read prints as what reads the same; every typed view of it is taken; what is refused
/// has at most one answer, which is a message of ours.
pub fn message(bytes: &[u8]) {
    if bytes.len() > MESSAGE_MAX {
        return;
    }
    match parse_datagram(Bytes::copy_from_slice(bytes)) {
        Ok(message) => survey(&message),
        Err(error) => refused(&error),
    }
    let _ = std::str::from_utf8(bytes).map(parse_headers);
}

fn survey(message: &Message) {
    let printed = message.to_bytes();
    assert_eq!(parse_datagram(printed).as_ref(), Ok(message), "printed and read again");
    look(message.headers());
    let _ = format!("{message:?}");
    let description = body::description(message.headers(), message.body());
    assert!(description.is_none_or(|d| d.len() <= message.body().len()));
    let Message::Request(request) = message else { return };
    if let Err(refusal) = body::check(request) {
        answer(&refusal);
    }
    for status in [StatusCode::TRYING, StatusCode::RINGING, StatusCode::OK, StatusCode::BUSY_HERE] {
        answer(&request.response(status));
    }
}

fn refused(error: &ParseError) {
    let _ = format!("{error} {error:?}");
    assert!((400..600).contains(&error.status().code()));
    if let Some(response) = error.response() {
        assert_eq!(response.status, error.status());
        let printed = response.with_to_tag("t").to_bytes();
        let _ = parse_datagram(printed); // it repeats what was refused
    }
}

/// A response to a message that was accepted is one that everybody accepts, once and for all.
fn answer(response: &Response) {
    let tagged = response.clone().with_to_tag("t");
    let read = parse_datagram(tagged.to_bytes()).expect("an answer of ours can be read");
    let Message::Response(read) = read else { panic!("a response became a request") };
    assert!(read.to().is_ok_and(|to| to.tag().is_some()));
    assert_eq!(read.call_id(), response.call_id());
}

/// Takes every view of the headers.
pub(crate) fn look(headers: &Headers) {
    assert!(headers.len() <= MAX_HEADERS);
    let names: Vec<_> = headers.iter().map(|(name, _)| Name::parse(name)).collect();
    for name in names {
        let _ = (headers.addresses(name), headers.address(name));
        assert!(headers.list(name).all(|value| value.trim_matches([' ', '\t']) == value));
        let _ = headers.has_token(name, "100rel");
    }
    let _ = (headers.via(), headers.vias(), headers.from(), headers.to(), headers.call_id());
    let _ = (headers.cseq(), headers.contacts(), headers.contact(), headers.max_forwards());
    let _ = (headers.expires(), headers.min_expires(), headers.routes(), headers.record_routes());
    let _ = (headers.content_type(), headers.session_expires(), headers.min_se(), headers.rseq());
    let _ = (headers.rack(), headers.replaces(), headers.reasons().count(), headers.retry_after());
    take_apart(headers.clone());
}

/// Taking one value after the other off a list gives what reading it gives.
fn take_apart(mut headers: Headers) {
    for name in [Name::Via, Name::Route, Name::Contact] {
        let values: Vec<_> = headers.list(name).map(str::to_owned).collect();
        let popped: Vec<_> = std::iter::from_fn(|| headers.pop_front(name)).collect();
        assert_eq!(values, popped, "{name}");
    }
}
