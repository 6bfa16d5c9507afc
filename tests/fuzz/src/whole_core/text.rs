//! What peers may say, as lists to choose from.

use crate::reader::Reader;

pub(super) const STATUSES: &[&str] = &[
    "200 OK",
    "180 Ringing",
    "183 Session Progress",
    "100 Trying",
    "200 OK",
    "180 Ringing",
    "202 Accepted",
    "199 Early Dialog Terminated",
    "302 Moved Temporarily",
    "300 Multiple Choices",
    "401 Unauthorized",
    "407 Proxy Authentication Required",
    "404 Not Found",
    "408 Request Timeout",
    "422 Session Interval Too Small",
    "423 Interval Too Brief",
    "480 Temporarily Unavailable",
    "481 Call/Transaction Does Not Exist",
    "486 Busy Here",
    "487 Request Terminated",
    "488 Not Acceptable Here",
    "491 Request Pending",
    "500 Server Internal Error",
    "503 Service Unavailable",
    "603 Decline",
    "699 x",
];

pub(super) const IN_DIALOG: &[&str] = &[
    "ACK",
    "BYE",
    "INVITE",
    "UPDATE",
    "PRACK",
    "CANCEL",
    "INFO",
    "ACK",
    "BYE",
    "INVITE",
    "OPTIONS",
    "REFER",
    "NOTIFY",
    "MESSAGE",
    "SUBSCRIBE",
    "NONSENSE",
];

pub(super) const METHODS: &[&str] = &[
    "OPTIONS",
    "MESSAGE",
    "SUBSCRIBE",
    "NOTIFY",
    "PUBLISH",
    "REFER",
    "INFO",
    "BYE",
    "CANCEL",
    "ACK",
    "PRACK",
    "UPDATE",
    "REGISTER",
    "INVITE",
    "NONSENSE",
];

/// Header lines that a message may have, beside those it must have.
const EXTRAS: &[&str] = &[
    "",
    "",
    "",
    "Supported: timer, 100rel\r\nAllow: INVITE, ACK, BYE, CANCEL, UPDATE, PRACK\r\n",
    "Supported: 100rel\r\n",
    "Require: 100rel\r\nRSeq: 1\r\n",
    "Require: 100rel\r\nRSeq: 2\r\n",
    "RAck: 1 1 INVITE\r\n",
    "Session-Expires: 90;refresher=uas\r\nSupported: timer\r\nRequire: timer\r\n",
    "Session-Expires: 1800;refresher=uac\r\nSupported: timer\r\n",
    "Session-Expires: 10\r\nSupported: timer\r\n",
    "Min-SE: 7200\r\n",
    "Retry-After: 3600\r\n",
    "Reason: SIP;cause=200;text=\"Call completed elsewhere\"\r\n",
    "Contact: <sip:other@127.0.0.3:5060>, <sip:0442@127.0.0.2>\r\n",
    "Contact: <sip:loop@127.0.0.1:5060>\r\n",
    "Contact: <tel:+49302>\r\n",
    "Record-Route: <sip:127.0.0.2:5060;lr>\r\n",
    "Record-Route: <sip:127.0.0.3:5060>, <sip:proxy.test;lr>\r\n",
    "Proxy-Authenticate: Digest realm=\"carrier\", nonce=\"n\", qop=\"auth\"\r\n",
    "WWW-Authenticate: Digest realm=\"carrier\", nonce=\"n\", algorithm=MD5, stale=true\r\n",
    "P-Asserted-Identity: \"A\" <sip:+49171@carrier.test>, <tel:+49171>\r\nPrivacy: id\r\n",
    "X-Ticket: 42\r\nUser-to-User: 00;encoding=hex\r\n",
    "Replaces: call-1;to-tag=a;from-tag=b\r\nRequire: replaces\r\n",
    "Refer-To: <sip:0441234@127.0.0.1>\r\n",
    "Expires: 2\r\n",
    "Path: <sip:127.0.0.3;lr>\r\nSupported: path, outbound\r\n",
    "Content-Encoding: gzip\r\n",
    "Content-Disposition: render;handling=required\r\n",
];

pub(super) fn extras(reader: &mut Reader<'_>) -> &'static str {
    reader.pick::<&str>(EXTRAS)
}

/// A body: mostly a session description that can be agreed on.
pub(super) fn body(reader: &mut Reader<'_>) -> String {
    let choice = reader.below(16);
    let (host, formats, attributes) = match choice {
        0..=4 => ("127.0.0.9", "8 0 101", ""),
        5 => ("127.0.0.9", "8 0 101", "a=sendonly\r\n"),
        6 => ("0.0.0.0", "0", ""),
        7 => ("127.0.0.9", "0", "a=inactive\r\n"),
        8 => ("127.0.0.9", "9", "a=rtcp-mux\r\na=ptime:30\r\n"),
        9 => ("127.0.0.9", "111", "a=rtpmap:111 opus/48000/2\r\n"),
        10 => ("224.0.0.1", "8", ""),
        11 => ("127.0.0.9", "8", "m=video 5000 RTP/AVP 31\r\nm=audio 5002 RTP/AVP 0\r\n"),
        12 => return "not a session description".into(),
        _ => return String::new(),
    };
    format!(
        "v=0\r\no=- 1 {choice} IN IP4 127.0.0.9\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n\
         m=audio 4000 RTP/AVP {formats}\r\na=rtpmap:101 telephone-event/8000\r\n{attributes}"
    )
}
