//! The little of SIP that a load generator reads.

use std::net::SocketAddr;

/// The value of the first header of this name (as the server writes it), if any.
pub fn header<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    message.split("\r\n").find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// All Via lines, as they are to be copied into a response.
pub fn vias(message: &str) -> impl Iterator<Item = &str> {
    message.split("\r\n").filter(|line| line.starts_with("Via: "))
}

/// Status of a response; 0 for a request.
pub fn status(message: &str) -> u16 {
    let code = message.strip_prefix("SIP/2.0 ").and_then(|rest| rest.get(..3));
    code.and_then(|code| code.parse().ok()).unwrap_or(0)
}

/// A quoted parameter, `name="value"`.
pub fn quoted<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    value.split_once(&format!("{name}=\""))?.1.split('"').next()
}

/// A response to `request`; `tag` is added to To when it has none.
pub fn respond(request: &str, status: &str, tag: &str, contact: &str, body: &str) -> String {
    let mut text = format!("SIP/2.0 {status}\r\n");
    for via in vias(request) {
        text += via;
        text += "\r\n";
    }
    for name in ["From", "Call-ID", "CSeq"] {
        text += &format!("{name}: {}\r\n", header(request, name).unwrap_or_default());
    }
    let to = header(request, "To").unwrap_or_default();
    let tag = if to.contains(";tag=") { String::new() } else { format!(";tag={tag}") };
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    text += &format!(
        "To: {to}{tag}\r\nContact: <sip:{contact}>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    text
}

/// An SDP body of G.711 at a port of 127.0.0.1.
pub fn sdp(port: u16) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n"
    )
}

/// A question whether the server is there.
pub fn ping(us: SocketAddr, server: SocketAddr, id: &str) -> String {
    format!(
        "OPTIONS sip:{server} SIP/2.0\r\nVia: SIP/2.0/UDP {us};branch=z9hG4bK{id}\r\n\
         From: <sip:load@{us}>;tag=l\r\nTo: <sip:{server}>\r\nCall-ID: {id}\r\n\
         CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    )
}
