//! What the body of a message is to us (RFC 3261 §8.2.3, RFC 5621): a session description, alone or
//! as a part of a multipart body; something to be ignored; or something that must be understood and
//! is not.

use bytes::Bytes;
use memchr::memmem;

use super::allow::ACCEPT;
use crate::message::{Headers, MediaType, Name, Request, Response, StatusCode, parse_headers};

/// Parts of one multipart body that are read; one with more is not understood.
pub const PARTS_MAX: usize = 8;
/// Multipart bodies inside each other that are read.
pub const DEPTH_MAX: usize = 2;
/// RFC 2046 §5.1.1.
const BOUNDARY_MAX: usize = 70;

/// Why a body cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Problem {
    /// It must be understood and is not.
    Foreign,
    /// The same, for the way it is packed.
    Encoded,
    /// A multipart body without its boundaries.
    Broken,
}

/// What became of a body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Reading {
    /// The first session description in it that is meant for its session.
    description: Option<Bytes>,
    problem: Option<Problem>,
}

/// Checks that we understand the body of a request, RFC 3261 §8.2.3, RFC 5621 §3.2.
///
/// # Errors
/// The 415 to answer, or the 400 to a multipart body that cannot be taken apart.
pub fn check(request: &Request) -> Result<(), Box<Response>> {
    let Some(problem) = read(&request.headers, &request.body, 0).problem else { return Ok(()) };
    let status = match problem {
        Problem::Foreign | Problem::Encoded => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Problem::Broken => StatusCode::BAD_REQUEST,
    };
    let mut response = request.response(status);
    if status == StatusCode::UNSUPPORTED_MEDIA_TYPE {
        response.headers.set(Name::Accept, ACCEPT);
    }
    if problem == Problem::Encoded {
        response.headers.set(Name::AcceptEncoding, "identity");
    }
    Err(Box::new(response))
}

/// The session description in a message's body, if it has one that is meant for its session.
/// Whether the rest of the body had to be understood is for [`check`] to say: what cannot be
/// refused (an answer, an ACK) is taken for its description.
pub fn description(headers: &Headers, body: &Bytes) -> Option<Bytes> {
    read(headers, body, 0).description
}

fn read(headers: &Headers, body: &Bytes, depth: usize) -> Reading {
    if body.is_empty() {
        return Reading::default();
    }
    let disposition = Disposition::of(headers);
    let kind = headers.content_type();
    let reading = if is_encoded(headers) {
        Reading::failed(Problem::Encoded)
    } else if let Some(kind) = kind.as_ref().filter(|kind| &*kind.kind == "multipart") {
        read_parts(kind, body, depth)
    } else if disposition.of_session && kind.is_some_and(|kind| kind.is("application", "sdp")) {
        Reading { description: Some(body.clone()), problem: None }
    } else {
        Reading::failed(Problem::Foreign)
    };
    // RFC 5621 §3.2: what need not be understood is ignored as a whole.
    if disposition.optional && reading.problem.is_some() { Reading::default() } else { reading }
}

/// RFC 5621 §3.1, RFC 2046 §5.1.
fn read_parts(kind: &MediaType, body: &Bytes, depth: usize) -> Reading {
    if depth == DEPTH_MAX {
        return Reading::failed(Problem::Foreign);
    }
    let boundary = kind.params.unquoted("boundary").unwrap_or_default();
    let Some(parts) = split(body, &boundary) else { return Reading::failed(Problem::Broken) };
    if parts.len() > PARTS_MAX {
        return Reading::failed(Problem::Foreign);
    }
    let readings = parts.iter().map(|part| match take_apart(part) {
        Some((headers, content)) => read(&headers, &content, depth + 1),
        None => Reading::failed(Problem::Broken),
    });
    if &*kind.subtype == "alternative" {
        // RFC 2046 §5.1.4: the last that is understood is the best.
        let understood = readings.filter(|reading| reading.problem.is_none());
        return understood.last().unwrap_or_else(|| Reading::failed(Problem::Foreign));
    }
    // RFC 2046 §5.1.7: what kind of multipart we don't know is mixed.
    readings.fold(Reading::default(), |all, part| Reading {
        description: all.description.or(part.description),
        problem: all.problem.or(part.problem),
    })
}

impl Reading {
    fn failed(problem: Problem) -> Self {
        Self { description: None, problem: Some(problem) }
    }
}

/// What `Content-Disposition` says.
struct Disposition {
    /// RFC 3959: a description with another purpose describes another session.
    of_session: bool,
    /// RFC 3261 §20.11: what must be understood is not said to be optional.
    optional: bool,
}

impl Disposition {
    fn of(headers: &Headers) -> Self {
        let mut parts =
            headers.get(Name::ContentDisposition).unwrap_or_default().split(';').map(str::trim);
        let purpose = parts.next().unwrap_or_default();
        let of_session =
            ["", "session", "render"].iter().any(|known| known.eq_ignore_ascii_case(purpose));
        let optional = parts.any(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            name.trim_end().eq_ignore_ascii_case("handling")
                && value.trim().trim_matches('"').eq_ignore_ascii_case("optional")
        });
        Self { of_session, optional }
    }
}

fn is_encoded(headers: &Headers) -> bool {
    let packed = headers.list(Name::ContentEncoding).any(|e| !e.eq_ignore_ascii_case("identity"));
    // RFC 3261 §7.4.2: SIP is binary; only a gateway from mail would write anything else.
    let transfer = headers.get_named("Content-Transfer-Encoding").unwrap_or("binary");
    packed || !["7bit", "8bit", "binary"].iter().any(|plain| plain.eq_ignore_ascii_case(transfer))
}

/// The parts between the boundaries, at most one more than [`PARTS_MAX`]; `None` when the closing
/// boundary is missing.
fn split(body: &Bytes, boundary: &str) -> Option<Vec<Bytes>> {
    if boundary.is_empty() || boundary.len() > BOUNDARY_MAX {
        return None;
    }
    let mut parts = Vec::new();
    let mut begin = None;
    for (end, next) in boundaries(body, boundary) {
        if let Some(begin) = begin {
            parts.push(body.slice(std::cmp::min(begin, end)..end));
        }
        match next {
            Some(next) if parts.len() <= PARTS_MAX => begin = Some(next),
            Some(_) | None => return Some(parts),
        }
    }
    None
}

/// The lines that are boundaries: where what stands before ends, and where the next part begins,
/// if one does.
fn boundaries(body: &[u8], boundary: &str) -> impl Iterator<Item = (usize, Option<usize>)> {
    let dashed = format!("--{boundary}");
    let found: Vec<_> = memmem::find_iter(body, dashed.as_bytes()).take(4 * PARTS_MAX).collect();
    found.into_iter().filter_map(move |at| {
        let before = &body[..at];
        let end = match before {
            [] => 0,
            _ => before.strip_suffix(b"\r\n")?.len(),
        };
        let rest = &body[at + dashed.len()..];
        if rest.starts_with(b"--") {
            return Some((end, None));
        }
        let padding = rest.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
        let line_end = rest[padding..].strip_prefix(b"\r\n")?;
        Some((end, Some(body.len() - line_end.len())))
    })
}

/// A part's headers and its content.
fn take_apart(part: &Bytes) -> Option<(Headers, Bytes)> {
    if part.starts_with(b"\r\n") {
        return Some((Headers::new(), part.slice(2..)));
    }
    let end = memmem::find(part, b"\r\n\r\n");
    let (head, content) = match end {
        Some(end) => (&part[..end], part.slice(end + 4..)),
        None => (&part[..], Bytes::new()),
    };
    let headers = parse_headers(&String::from_utf8_lossy(head)).ok()?;
    Some((headers, content))
}

#[cfg(test)]
mod tests;
