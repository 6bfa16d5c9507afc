//! What makes a request part of a server transaction: RFC 3261 §17.2.3.

use serde::{Deserialize, Serialize};

use super::top_via::TopVia;
use crate::message::{Headers, Method, Name, Request};

/// Everything that must be equal, as one text.
///
/// `branch ¶ sent-by ¶ call` under RFC 3261, `Request-URI ¶ top Via ¶ call` for the branches of
/// RFC 2543; `call` is Call-ID, CSeq number, method and From tag. RFC 3261 §17.2.3 asks only for
/// branch, sent-by and method; a retransmission, an ACK and a CANCEL have all of `call` in common
/// with their request too (§9.1, §17.1.1.3), and phones whose branches are not unique are told
/// apart by it. No line break can stand inside a part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Key {
    text: String,
    call: usize,
    rfc3261: bool,
}

impl Key {
    /// The key of a request, taken as one of `method`: an ACK and a CANCEL are looked up as their
    /// INVITE. Parameters that a receiver adds to the Via do not count.
    pub(super) fn new(request: &Request, via: &TopVia<'_>, method: &Method) -> Self {
        let mut text = String::with_capacity(192);
        let branch = via.rfc3261_branch();
        match branch {
            Some(branch) => text.push_str(branch),
            None => text.push_str(&request.uri.to_string()),
        }
        text.push('\n');
        let sent_by = text.len();
        text.push_str(via.sent_by());
        text[sent_by..].make_ascii_lowercase();
        if branch.is_none() {
            push_via(&mut text, via);
        }
        text.push('\n');
        let call = text.len();
        push_call(&mut text, &request.headers, method);
        Self { text, call, rfc3261: branch.is_some() }
    }

    /// Without spare memory, to be kept.
    pub(super) fn kept(mut self) -> Self {
        self.text.shrink_to_fit();
        self
    }

    /// The whole key.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The part that a request has in common with its copy on another path (§8.2.2.2).
    pub(super) fn call(&self) -> &str {
        &self.text[self.call..]
    }

    /// Whether the branch alone identifies the transaction.
    pub(super) const fn is_rfc3261(&self) -> bool {
        self.rfc3261
    }
}

fn push_via(text: &mut String, via: &TopVia<'_>) {
    text.push_str(via.protocol());
    for (name, value) in via.params() {
        if ["received", "rport"].iter().any(|added| name.eq_ignore_ascii_case(added)) {
            continue;
        }
        text.push(';');
        text.push_str(name);
        text.push('=');
        text.push_str(value.unwrap_or_default());
    }
}

// What is missing or malformed counts as it is: such a request is refused further up, and may be
// refused again.
fn push_call(text: &mut String, headers: &Headers, method: &Method) {
    let number = headers.get(Name::CSeq).map(number);
    let call_id = headers.get(Name::CallId).unwrap_or_default().trim_ascii();
    let from_tag = headers.get(Name::From).and_then(tag);
    for part in [call_id, number.unwrap_or_default(), method.as_str()] {
        text.push_str(part);
        text.push('\n');
    }
    text.push_str(from_tag.unwrap_or_default());
}

/// The number of a CSeq without its method.
pub(super) fn number(cseq: &str) -> &str {
    let cseq = cseq.trim_ascii_start();
    let end = cseq.bytes().position(|b| b.is_ascii_whitespace());
    &cseq[..end.unwrap_or(cseq.len())]
}

/// The tag of a From or To without reading the rest of it.
pub(super) fn tag(value: &str) -> Option<&str> {
    let mut rest = match memchr::memrchr(b'>', value.as_bytes()) {
        Some(end) => &value[end + 1..],
        None => value,
    };
    loop {
        let start = memchr::memchr(b';', rest.as_bytes())? + 1;
        rest = &rest[start..];
        let end = memchr::memchr(b';', rest.as_bytes()).unwrap_or(rest.len());
        if let Some((name, value)) = rest[..end].split_once('=')
            && name.trim_ascii().eq_ignore_ascii_case("tag")
        {
            return Some(value.trim_ascii());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_found() {
        for (value, expected) in [
            ("<sip:a@b>;tag=1", Some("1")),
            ("sip:a@b;tag=1", Some("1")),
            ("\"a;tag=x\" <sip:a@b;tag=y>;x=1; TAG = 2 ;z", Some("2")),
            ("<sip:a@b;tag=y>", None),
            ("<sip:a@b>;tagged=1", None),
            ("<sip:a@b>;tag", None),
            ("", None),
        ] {
            assert_eq!(tag(value), expected, "{value}");
        }
    }

    #[test]
    fn numbers_are_found() {
        for (cseq, expected) in [("1 INVITE", "1"), (" 22\tBYE", "22"), ("3", "3"), ("", "")] {
            assert_eq!(number(cseq), expected, "{cseq}");
        }
    }
}
