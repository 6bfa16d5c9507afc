//! What makes a request part of a server transaction: RFC 3261 §17.2.3.

use serde::{Deserialize, Serialize};

use crate::message::{Headers, Method, Name, Request, Via};

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
    pub(super) fn new(request: &Request, via: &Via, method: &Method) -> Self {
        let mut text = String::with_capacity(192);
        let rfc3261 = match via.rfc3261_branch() {
            Some(branch) => {
                text.push_str(branch);
                true
            }
            None => {
                text.push_str(&request.uri.to_string());
                false
            }
        };
        text.push('\n');
        push_sent_by(&mut text, via);
        if !rfc3261 {
            push_via(&mut text, via);
        }
        text.push('\n');
        let call = text.len();
        push_call(&mut text, &request.headers, method);
        Self { text, call, rfc3261 }
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

fn push_sent_by(text: &mut String, via: &Via) {
    use std::fmt::Write as _;
    let start = text.len();
    // Writing to a String does not fail.
    let _ = write!(text, "{}", via.host);
    text[start..].make_ascii_lowercase();
    if let Some(port) = via.port {
        let _ = write!(text, ":{port}");
    }
}

fn push_via(text: &mut String, via: &Via) {
    text.push('/');
    text.push_str(&via.transport);
    for (name, value) in via.params.iter() {
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
    let number = headers.get(Name::CSeq).and_then(|cseq| cseq.split_ascii_whitespace().next());
    let call_id = headers.get(Name::CallId).unwrap_or_default().trim_ascii();
    let from_tag = headers.get(Name::From).and_then(tag);
    for part in [call_id, number.unwrap_or_default(), method.as_str()] {
        text.push_str(part);
        text.push('\n');
    }
    text.push_str(from_tag.unwrap_or_default());
}

/// The tag of a From or To without reading the rest of it.
pub(super) fn tag(value: &str) -> Option<&str> {
    let params = match value.rfind('>') {
        Some(end) => &value[end + 1..],
        None => value,
    };
    params.split(';').skip(1).find_map(|param| {
        let (name, value) = param.split_once('=')?;
        name.trim_ascii().eq_ignore_ascii_case("tag").then_some(value.trim_ascii())
    })
}
