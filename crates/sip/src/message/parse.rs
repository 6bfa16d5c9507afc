//! Reading messages: one pass over the head, each header checked as it goes by.
//!
//! A header that is refused does not end the pass: the rest is still needed to answer the sender.

use std::borrow::Cow;
use std::sync::LazyLock;

use bytes::Bytes;
use memchr::memmem::Finder;

use super::error::{HeaderError, ParseError, ParseErrorKind, SyntaxError};
use super::headers::Headers;
use super::method::Method;
use super::name::Name;
use super::name_addr::RawNameAddr;
use super::request::{Message, Request, Response};
use super::scan::{self, List};
use super::status::StatusCode;
use super::uri::{RawUri, Uri};
use super::values::CSeq;
use super::via::RawVia;
use super::{MAX_HEADERS, MAX_LINE, MAX_MESSAGE, MAX_VALUES};

/// Headers of a usual message, so that their vector need not grow.
const USUAL_HEADERS: usize = 24;

/// The empty line after the headers; a finder costs more to make than to use.
static HEAD_END: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(b"\r\n\r\n"));

/// Reads the one message of a datagram, or of a frame cut by [`crate::framing::Decoder`].
///
/// Line breaks in front are skipped (RFC 3261 §7.5); what follows the body that Content-Length
/// announces is cut off, and a datagram that holds less is refused (§18.3).
pub fn parse_datagram(bytes: Bytes) -> Result<Message, ParseError> {
    let Some(start) = bytes.iter().position(|b| !matches!(b, b'\r' | b'\n' | 0)) else {
        return Err(ParseError::silent(ParseErrorKind::KeepAlive));
    };
    if bytes.len() - start > MAX_MESSAGE {
        return Err(ParseError::silent(ParseErrorKind::TooLarge));
    }
    let head_len = HEAD_END.find(&bytes[start..]);
    let head_end = head_len.map_or(bytes.len(), |len| start + len);
    let head = text(&bytes[start..head_end]);
    let (line, rest) = split_start_line(&head)?;
    let start_line = StartLine::read(line).map_err(ParseError::silent)?;
    let mut reader = Reader::new(&start_line);
    if head_len.is_none() {
        reader.refuse(ParseErrorKind::Truncated);
    }
    // RFC 3261 §25.1: only a quoted-pair lets it in; where one reader goes on another sees the end.
    let is_bare = |at: usize| at == 0 || rest.as_bytes()[at - 1] != b'\\';
    if memchr::memchr_iter(0, rest.as_bytes()).any(is_bare) {
        reader.refuse(ParseErrorKind::HeaderLine(SyntaxError("NUL")));
    }
    reader.read_lines(rest);
    reader.check_presence();
    let body = bytes.slice((head_end + 4).min(bytes.len())..);
    let body = reader.cut_body(body);
    reader.finish(start_line, body)
}

/// Refuses a message for a reason found outside it; its head says whom to answer.
pub(crate) fn refused(head: Bytes, kind: ParseErrorKind) -> ParseError {
    match parse_datagram(head) {
        Ok(Message::Request(request)) if request.method != Method::Ack => {
            let request = Request { body: Bytes::new(), ..request };
            ParseError { kind, partial: Some(Box::new(request)) }
        }
        Ok(_) => ParseError::silent(kind),
        Err(error) => ParseError { kind, ..error },
    }
}

/// Reads header lines alone, as in a `message/sipfrag` body or a multipart part's head.
pub fn parse_headers(text: &str) -> Result<Headers, ParseErrorKind> {
    let mut reader = Reader::unchecked();
    reader.read_lines(text.trim_end_matches(['\r', '\n']));
    match reader.error {
        Some(kind) => Err(kind),
        None => Ok(Headers::from_clean(reader.headers)),
    }
}

/// Bytes that are no UTF-8 become replacement characters; no allocation when all are.
fn text(bytes: &[u8]) -> Cow<'_, str> {
    // Checked first because it is several times faster than the lossy conversion.
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

fn split_start_line(head: &str) -> Result<(&str, &str), ParseError> {
    let end = memchr::memchr2(b'\r', b'\n', head.as_bytes()).unwrap_or(head.len());
    if end > MAX_LINE {
        return Err(ParseError::silent(ParseErrorKind::LineTooLong));
    }
    let (line, rest) = head.split_at(end);
    match rest.strip_prefix("\r\n") {
        Some(rest) => Ok((line, rest)),
        None if rest.is_empty() => Ok((line, rest)),
        None => Err(ParseError::silent(ParseErrorKind::NotSip)),
    }
}

/// The first line; a refused request line still says enough to answer it.
#[derive(Debug)]
enum StartLine<'a> {
    Request { method: &'a str, uri: Result<RawUri<'a>, ParseErrorKind> },
    Response { status: StatusCode, reason: &'a str },
}

impl<'a> StartLine<'a> {
    fn read(line: &'a str) -> Result<Self, ParseErrorKind> {
        if line.get(..4).is_some_and(|s| s.eq_ignore_ascii_case("SIP/")) {
            return Self::read_status(line);
        }
        let (method, rest) = line.split_once(' ').ok_or(ParseErrorKind::NotSip)?;
        let (_, version) =
            rest.trim_end().rsplit_once([' ', '\t']).ok_or(ParseErrorKind::NotSip)?;
        let is_sip = version.get(..4).is_some_and(|s| s.eq_ignore_ascii_case("SIP/"));
        if !is_sip || !scan::is_token(method) {
            return Err(ParseErrorKind::NotSip);
        }
        Ok(Self::Request { method, uri: Self::read_uri(rest, version) })
    }

    // RFC 3261 §7.1: no white space but one space between the three parts.
    fn read_uri(rest: &'a str, version: &str) -> Result<RawUri<'a>, ParseErrorKind> {
        if !version.eq_ignore_ascii_case("SIP/2.0") {
            return Err(ParseErrorKind::Version);
        }
        let uri = rest.strip_suffix(version).and_then(|rest| rest.strip_suffix(' '));
        let uri = uri.ok_or(ParseErrorKind::StartLine(SyntaxError("stray white space")))?;
        let raw = RawUri::scan(uri).map_err(ParseErrorKind::Uri)?;
        match raw {
            // RFC 3261 §19.1.1, table 1: no headers in a Request-URI.
            RawUri::Sip(sip) if !sip.headers.is_empty() => {
                Err(ParseErrorKind::Uri(SyntaxError("headers in a Request-URI")))
            }
            RawUri::Sip(_) | RawUri::Tel { .. } | RawUri::Other { .. } => Ok(raw),
        }
    }

    fn read_status(line: &'a str) -> Result<Self, ParseErrorKind> {
        let (version, rest) = line.split_once(' ').ok_or(ParseErrorKind::NotSip)?;
        if !version.eq_ignore_ascii_case("SIP/2.0") {
            return Err(ParseErrorKind::Version);
        }
        let bad = ParseErrorKind::StartLine(SyntaxError("bad status code"));
        let (digits, reason) = rest.split_once(' ').unwrap_or((rest, ""));
        let code = scan::decimal(digits, 699).filter(|_| digits.len() == 3);
        let status = code.and_then(|code| StatusCode::new(u16::try_from(code).ok()?));
        Ok(Self::Response { status: status.ok_or(bad)?, reason })
    }
}

/// Headers that may stand once only, and Via: each has a bit in [`Reader::seen`].
const fn bit(name: Name) -> u8 {
    #[allow(clippy::wildcard_enum_match_arm, reason = "all others are of no interest")]
    match name {
        Name::Via => 1,
        Name::From => 2,
        Name::To => 4,
        Name::CallId => 8,
        Name::CSeq => 16,
        Name::MaxForwards => 32,
        Name::ContentLength => 64,
        _ => 0,
    }
}

const MANDATORY: [Name; 5] = [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq];

/// Which rules apply to the headers.
#[derive(Clone, Copy)]
enum Rules<'a> {
    /// A request of this method.
    Request(&'a str),
    /// Only what is needed to match it: a response refused is a call lost.
    Response,
    /// None: a fragment.
    None,
}

struct Reader<'a> {
    rules: Rules<'a>,
    headers: Vec<rsip::Header>,
    /// Bits of [`bit`].
    seen: u8,
    lines: usize,
    values: usize,
    content_length: Option<u64>,
    /// The first reason to refuse the message.
    error: Option<ParseErrorKind>,
}

impl<'a> Reader<'a> {
    fn new(start: &StartLine<'a>) -> Self {
        let mut reader = Self { headers: Vec::with_capacity(USUAL_HEADERS), ..Self::unchecked() };
        reader.rules = match start {
            StartLine::Request { method, uri } => {
                reader.error = uri.as_ref().err().cloned();
                Rules::Request(method)
            }
            StartLine::Response { .. } => Rules::Response,
        };
        reader
    }

    fn unchecked() -> Self {
        Self {
            rules: Rules::None,
            headers: Vec::new(),
            seen: 0,
            lines: 0,
            values: 0,
            content_length: None,
            error: None,
        }
    }

    fn refuse(&mut self, kind: ParseErrorKind) {
        self.error.get_or_insert(kind);
    }

    fn read_lines(&mut self, mut rest: &str) {
        while !rest.is_empty() {
            self.lines += 1;
            if self.lines > MAX_HEADERS {
                return self.refuse(ParseErrorKind::TooManyHeaders);
            }
            let whole = rest;
            let line;
            (line, rest) = self.split_line(rest);
            if !rest.starts_with([' ', '\t']) {
                self.read_line(line);
                continue;
            }
            // RFC 3261 §7.3.1: a fold counts as one space.
            let mut unfolded = String::from(line);
            while rest.starts_with([' ', '\t']) {
                let fold;
                (fold, rest) = self.split_line(rest);
                unfolded.truncate(scan::trim_end(&unfolded).len());
                unfolded.push(' ');
                unfolded.push_str(scan::trim_start(fold));
            }
            if whole.len() - rest.len() > MAX_LINE {
                self.refuse(ParseErrorKind::LineTooLong);
            } else {
                self.read_line(&unfolded);
            }
        }
    }

    /// A lone CR or LF ends no line; it is refused, as peers disagree about what it means.
    fn split_line<'t>(&mut self, text: &'t str) -> (&'t str, &'t str) {
        let Some(end) = memchr::memchr2(b'\r', b'\n', text.as_bytes()) else {
            return (text, "");
        };
        let (line, after) = text.split_at(end);
        if let Some(rest) = after.strip_prefix("\r\n") {
            return (line, rest);
        }
        self.refuse(ParseErrorKind::HeaderLine(SyntaxError("lone CR or LF")));
        (line, &after[1..])
    }

    fn read_line(&mut self, line: &str) {
        if line.len() > MAX_LINE {
            return self.refuse(ParseErrorKind::LineTooLong);
        }
        let Some(colon) = memchr::memchr(b':', line.as_bytes()) else {
            return self.refuse(ParseErrorKind::HeaderLine(SyntaxError("no colon")));
        };
        let text = scan::trim_end(&line[..colon]);
        let name = Name::parse(text);
        let value = scan::trim(&line[colon + 1..]);
        if name == Name::Other {
            if scan::is_token(text) {
                self.headers.push(rsip::Header::Other(text.into(), value.into()));
            } else {
                self.refuse(ParseErrorKind::HeaderLine(SyntaxError("name is no token")));
            }
            return;
        }
        let bit = bit(name);
        if bit & self.seen & !self::bit(Name::Via) != 0 && !matches!(self.rules, Rules::None) {
            return self.refuse(ParseErrorKind::Duplicate(name));
        }
        self.seen |= bit;
        if let Err(why) = self.check(name, value) {
            self.refuse(why);
        }
        if name != Name::ContentLength {
            self.headers.push(name.header(value.into()));
        }
    }

    fn check(&mut self, name: Name, value: &str) -> Result<(), ParseErrorKind> {
        let request = match self.rules {
            Rules::Request(_) => true,
            Rules::Response => false,
            Rules::None => return Ok(()),
        };
        let invalid = |why| ParseErrorKind::Header(HeaderError::Invalid(name, why));
        #[allow(clippy::wildcard_enum_match_arm, reason = "other headers are read when asked for")]
        match name {
            Name::Via => self.check_list(value, invalid, |via| RawVia::scan(via).map(drop)),
            Name::From | Name::To => RawNameAddr::scan(value).map(drop).map_err(invalid),
            Name::CSeq => self.check_cseq(value, invalid),
            Name::CallId if value.is_empty() || value.contains([' ', '\t']) => {
                Err(invalid(SyntaxError("not one word")))
            }
            Name::MaxForwards if request && scan::decimal(value, 255).is_none() => {
                Err(invalid(SyntaxError("not a number up to 255")))
            }
            Name::ContentLength => {
                self.content_length = scan::clamped_decimal(value, u64::MAX);
                self.content_length.map(drop).ok_or_else(|| invalid(SyntaxError("no number")))
            }
            Name::Contact if request && value == "*" => Ok(()),
            Name::Contact | Name::Route | Name::RecordRoute if request => {
                self.check_list(value, invalid, |addr| RawNameAddr::scan(addr).map(drop))
            }
            _ => Ok(()),
        }
    }

    fn check_list(
        &mut self,
        list: &str,
        invalid: impl Fn(SyntaxError) -> ParseErrorKind,
        check: impl Fn(&str) -> Result<(), SyntaxError>,
    ) -> Result<(), ParseErrorKind> {
        for value in List::new(list) {
            self.values += 1;
            if self.values > MAX_VALUES {
                return Err(ParseErrorKind::TooManyHeaders);
            }
            check(value).map_err(&invalid)?;
        }
        Ok(())
    }

    fn check_cseq(
        &self,
        value: &str,
        invalid: impl Fn(SyntaxError) -> ParseErrorKind,
    ) -> Result<(), ParseErrorKind> {
        let (_, cseq_method) = CSeq::split(value).map_err(invalid)?;
        match self.rules {
            Rules::Request(method) if method != cseq_method => Err(ParseErrorKind::CSeqMethod),
            Rules::Request(_) | Rules::Response | Rules::None => Ok(()),
        }
    }

    // RFC 3261 §8.1.1. Max-Forwards is not asked for: elements of RFC 2543 do not send it (§16.3).
    fn check_presence(&mut self) {
        if let Some(name) = MANDATORY.into_iter().find(|name| self.seen & bit(*name) == 0) {
            self.refuse(ParseErrorKind::Header(HeaderError::Missing(name)));
        }
    }

    fn cut_body(&mut self, mut body: Bytes) -> Bytes {
        let Some(length) = self.content_length else { return body };
        match usize::try_from(length) {
            Ok(length) if length <= body.len() => body.truncate(length),
            _ => self.refuse(ParseErrorKind::BodyShort),
        }
        body
    }

    fn finish(self, start: StartLine<'_>, body: Bytes) -> Result<Message, ParseError> {
        let needed = bit(Name::Via) | bit(Name::CSeq);
        let matchable = self.seen & needed == needed;
        let (headers, error) = (Headers::from_clean(self.headers), self.error);
        match (start, error) {
            (StartLine::Request { method, uri: Ok(uri) }, None) => {
                let (method, uri) = (Method::from_token(method), uri.to_uri());
                Ok(Message::Request(Request { method, uri, headers, body }))
            }
            (StartLine::Response { status, reason }, None) => {
                let reason = reason_phrase(status, reason);
                Ok(Message::Response(Response { status, reason, headers, body }))
            }
            // RFC 3261 §17.1.1.3: an ACK is never answered; without Via and CSeq no client would
            // know the answer for its own.
            (StartLine::Request { method, uri }, error) => {
                let kind = error.or_else(|| uri.as_ref().err().cloned());
                let answerable = method != "ACK" && matchable;
                let uri = uri.map_or_else(|_| Uri::sip("", "invalid", None), RawUri::to_uri);
                let method = Method::from_token(method);
                let request = Request { method, uri, headers, body: Bytes::new() };
                let kind = kind.unwrap_or(ParseErrorKind::NotSip);
                Err(ParseError { kind, partial: answerable.then(|| Box::new(request)) })
            }
            (StartLine::Response { .. }, Some(kind)) => Err(ParseError::silent(kind)),
        }
    }
}

/// No memory for a phrase that is the usual one.
fn reason_phrase(status: StatusCode, reason: &str) -> Cow<'static, str> {
    let usual = status.default_reason();
    if reason == usual { usual.into() } else { reason.to_owned().into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "Via: SIP/2.0/UDP a;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\n\
        Call-ID: x@y\r\nCSeq: 1 OPTIONS\r\n";

    fn parse(text: impl Into<Vec<u8>>) -> Result<Message, ParseError> {
        parse_datagram(Bytes::from(text.into()))
    }

    fn options(more: &str) -> Result<Message, ParseError> {
        parse(format!("OPTIONS sip:c@d SIP/2.0\r\n{BASE}{more}\r\n"))
    }

    fn refusal(result: Result<Message, ParseError>) -> ParseError {
        result.expect_err("must be refused")
    }

    #[test]
    fn a_plain_request_is_read() {
        let Ok(Message::Request(request)) = options("Max-Forwards: 70\r\n") else { panic!() };
        assert_eq!((&request.method, request.headers.len()), (&Method::Options, 6));
        assert!(request.body.is_empty());
    }

    #[test]
    fn noise_is_dropped_in_silence() {
        for (bytes, kind) in [
            (&b""[..], ParseErrorKind::KeepAlive),
            (b"\r\n\r\n", ParseErrorKind::KeepAlive),
            (b"\0\0\0\0", ParseErrorKind::KeepAlive),
            (b"jaK", ParseErrorKind::NotSip),
            (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", ParseErrorKind::NotSip),
            (b"HTTP/1.1 200 OK\r\n\r\n", ParseErrorKind::NotSip),
            (b"\x16\x03\x01\x02\x00\x01", ParseErrorKind::NotSip),
            (b"\x00\x01\x00\x00\x21\x12\xa4\x42", ParseErrorKind::NotSip),
            (b"\x80\x00\x12\x34", ParseErrorKind::NotSip),
            (b"INVITE sip:a@b SIP/2.0\nVia: x\n\n", ParseErrorKind::NotSip),
            (b"IN\"VITE sip:a@b SIP/2.0\r\n\r\n", ParseErrorKind::NotSip),
            (b"SIP/3.0 200 OK\r\n\r\n", ParseErrorKind::Version),
        ] {
            let error = refusal(parse(bytes));
            assert_eq!((&error.kind, error.response()), (&kind, None), "{bytes:?}");
        }
    }

    #[test]
    fn each_fault_has_its_kind_and_is_answered_with_400() {
        let header =
            |name, why| ParseErrorKind::Header(HeaderError::Invalid(name, SyntaxError(why)));
        for (more, kind) in [
            ("No colon\r\n", ParseErrorKind::HeaderLine(SyntaxError("no colon"))),
            ("Na me: x\r\n", ParseErrorKind::HeaderLine(SyntaxError("name is no token"))),
            (": x\r\n", ParseErrorKind::HeaderLine(SyntaxError("name is no token"))),
            ("X: a\0b\r\n", ParseErrorKind::HeaderLine(SyntaxError("NUL"))),
            ("X: a\nY: b\r\n", ParseErrorKind::HeaderLine(SyntaxError("lone CR or LF"))),
            ("X: a\rY: b\r\n", ParseErrorKind::HeaderLine(SyntaxError("lone CR or LF"))),
            ("f: <sip:a@b>;tag=2\r\n", ParseErrorKind::Duplicate(Name::From)),
            ("CSeq: 1 OPTIONS\r\n", ParseErrorKind::Duplicate(Name::CSeq)),
            (
                "Max-Forwards: 1\r\nMax-Forwards: 1\r\n",
                ParseErrorKind::Duplicate(Name::MaxForwards),
            ),
            ("Max-Forwards: 256\r\n", header(Name::MaxForwards, "not a number up to 255")),
            ("Max-Forwards: -1\r\n", header(Name::MaxForwards, "not a number up to 255")),
            ("Content-Length: 1\r\n", ParseErrorKind::BodyShort),
            ("Content-Length: 0, 0\r\n", header(Name::ContentLength, "no number")),
            ("Content-Length: +0\r\n", header(Name::ContentLength, "no number")),
            ("Content-Length:\r\n", header(Name::ContentLength, "no number")),
            ("l: 0\r\nContent-Length: 0\r\n", ParseErrorKind::Duplicate(Name::ContentLength)),
            ("Content-Length: 18446744073709551617\r\n", ParseErrorKind::BodyShort),
            ("Via: SIP/2.0/UDP\r\n", header(Name::Via, "Via without a host")),
            ("Contact: <sip:a@b\r\n", header(Name::Contact, "no closing >")),
            ("Route: sip\r\n", header(Name::Route, "URI without a scheme")),
        ] {
            let error = refusal(options(more));
            assert_eq!(error.kind, kind, "{more}");
            let response = error.response().expect(more);
            assert_eq!(response.status, StatusCode::BAD_REQUEST);
            assert_eq!(response.headers.len(), 5 + usize::from(more.starts_with("Via")), "{more}");
        }
    }

    #[test]
    fn missing_headers_are_named() {
        for (line, name) in BASE.split_inclusive("\r\n").zip(MANDATORY) {
            let error = refusal(parse(format!(
                "OPTIONS sip:c@d SIP/2.0\r\n{}\r\n",
                BASE.replace(line, "")
            )));
            assert_eq!(error.kind, ParseErrorKind::Header(HeaderError::Missing(name)));
            let lost = matches!(name, Name::Via | Name::CSeq);
            assert_eq!(error.partial.is_none(), lost, "{name}");
        }
    }

    #[test]
    fn start_lines_are_strict() {
        for (line, status) in [
            ("OPTIONS  sip:c@d SIP/2.0", 400),
            ("OPTIONS sip:c@d  SIP/2.0", 400),
            ("OPTIONS sip:c@d SIP/2.0 ", 400),
            ("OPTIONS sip:c@d\tSIP/2.0", 400),
            ("OPTIONS <sip:c@d> SIP/2.0", 400),
            ("OPTIONS c@d SIP/2.0", 400),
            ("OPTIONS sip:c@d SIP/2.1", 505),
            ("OPTIONS sip:c@d SIP/2.0a", 505),
        ] {
            let error = refusal(parse(format!("{line}\r\n{BASE}\r\n")));
            assert_eq!(error.response().map(|r| r.status.0), Some(status), "{line}");
        }
        assert!(parse(format!("OPTIONS sip:c@d sip/2.0\r\n{BASE}\r\n")).is_ok());
    }

    #[test]
    fn a_broken_ack_is_never_answered() {
        let ack = format!("ACK sip:c@d SIP/2.0\r\n{}\r\n", BASE.replace("OPTIONS", "ACK"));
        assert!(parse(ack.as_str()).is_ok());
        assert_eq!(refusal(parse(ack.replace("tag=1", "tag=\""))).response(), None);
        assert_eq!(refusal(parse(ack.replace("SIP/2.0\r\n", "SIP/2.1\r\n"))).response(), None);
    }

    #[test]
    fn status_lines_want_three_digits() {
        for (line, expected) in [
            ("SIP/2.0 200 OK", Some((200, "OK"))),
            ("sip/2.0 699 ", Some((699, ""))),
            ("SIP/2.0 180", Some((180, ""))),
            ("SIP/2.0 99 x", None),
            ("SIP/2.0 0200 x", None),
            ("SIP/2.0 700 x", None),
            ("SIP/2.0 +20 x", None),
            ("SIP/2.0  200 OK", None),
        ] {
            let read = parse(format!("{line}\r\n{BASE}\r\n"));
            let found = match &read {
                Ok(Message::Response(response)) => Some((response.status.0, &*response.reason)),
                _ => None,
            };
            assert_eq!(found, expected, "{line}");
        }
    }

    #[test]
    fn a_response_is_not_lost_for_a_header_it_is_not_matched_by() {
        let read =
            parse(format!("SIP/2.0 200 OK\r\n{BASE}Contact: ???\r\nMax-Forwards: x\r\n\r\n"));
        assert!(read.is_ok());
    }

    #[test]
    fn a_message_without_its_empty_line_is_answered() {
        let error = refusal(parse(format!("OPTIONS sip:c@d SIP/2.0\r\n{BASE}")));
        assert_eq!(error.kind, ParseErrorKind::Truncated);
        assert!(error.response().is_some());
    }

    #[test]
    fn sizes_are_bounded() {
        let long = "x".repeat(MAX_LINE);
        let fold = "x\r\n ".repeat(MAX_LINE / 3);
        for (more, kind) in [
            (format!("X: {long}\r\n"), ParseErrorKind::LineTooLong),
            (format!("X: {fold}\r\n"), ParseErrorKind::LineTooLong),
            ("X: y\r\n".repeat(MAX_HEADERS), ParseErrorKind::TooManyHeaders),
            (
                "Via: SIP/2.0/UDP b,SIP/2.0/UDP c\r\n".repeat(MAX_VALUES / 2),
                ParseErrorKind::TooManyHeaders,
            ),
            (
                "Route: <sip:a>\r\nm: <sip:b>\r\n".repeat(MAX_VALUES / 2),
                ParseErrorKind::TooManyHeaders,
            ),
        ] {
            let request = format!("OPTIONS sip:c@d SIP/2.0\r\n{BASE}{more}\r\n");
            let error = refusal(parse(request.as_str()));
            assert_eq!(error.kind, kind);
            assert!(error.response().is_some_and(|r| r.to_bytes().len() < 2 * request.len()));
        }
        assert_eq!(refusal(parse(vec![b'x'; MAX_MESSAGE + 1])).kind, ParseErrorKind::TooLarge);
        let line = format!("OPTIONS sip:{long} SIP/2.0\r\n{BASE}\r\n");
        assert_eq!(refusal(parse(line)).kind, ParseErrorKind::LineTooLong);
    }

    #[test]
    fn fragments_are_read_without_rules() {
        let headers =
            parse_headers("Content-Type: a/b\r\nContent-Length: 5\r\nf: x\r\nFrom: y\r\n\r\n");
        assert_eq!(headers.map(|h| h.len()), Ok(3));
        assert!(parse_headers("no colon\r\n").is_err());
    }
}
