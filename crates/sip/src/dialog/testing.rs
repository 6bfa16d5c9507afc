//! What the tests of this module share.

use bytes::Bytes;

use crate::message::{Message, Request, Response, parse_datagram};

/// A message from its lines; indentation is taken away, an empty line ends the headers.
fn message(text: &str) -> Message {
    let lines: Vec<_> = text.trim_start().lines().map(str::trim).collect();
    let text = lines.join("\r\n");
    let text =
        if text.contains("\r\n\r\n") { text } else { format!("{}\r\n\r\n", text.trim_end()) };
    parse_datagram(Bytes::from(text)).unwrap()
}

pub(crate) fn request(text: &str) -> Request {
    let Message::Request(request) = message(text) else { panic!("no request: {text}") };
    request
}

pub(crate) fn response(text: &str) -> Response {
    let Message::Response(response) = message(text) else { panic!("no response: {text}") };
    response
}

/// An INVITE of Alice's with these further headers.
pub(crate) fn invite(more: &str) -> Request {
    request(&format!(
        "INVITE sip:bob@biloxi.example SIP/2.0
         Via: SIP/2.0/UDP pc33.atlanta.example;branch=z9hG4bK776
         Max-Forwards: 70
         From: Alice <sip:alice@atlanta.example>;tag=a-tag
         To: Bob <sip:bob@biloxi.example>
         Call-ID: a84b4c76e66710
         CSeq: 314159 INVITE
         Contact: <sip:alice@pc33.atlanta.example>
         {more}"
    ))
}

/// A response of Bob's to it.
pub(crate) fn answer(status: u16, more: &str) -> Response {
    response(&format!(
        "SIP/2.0 {status} Something
         Via: SIP/2.0/UDP pc33.atlanta.example;branch=z9hG4bK776
         From: Alice <sip:alice@atlanta.example>;tag=a-tag
         To: Bob <sip:bob@biloxi.example>;tag=b-tag
         Call-ID: a84b4c76e66710
         CSeq: 314159 INVITE
         {more}"
    ))
}

/// What comes out of a snapshot.
pub(crate) fn restored<T: serde::Serialize + serde::de::DeserializeOwned>(state: &T) -> T {
    serde_json::from_str(&serde_json::to_string(state).unwrap()).unwrap()
}
