//! SIP as the scripted peers see it: lines of text, split and glued by hand. It shares nothing with
//! the server's own parser, so that one cannot hide the other's mistakes.

/// A message. Names of headers are as written; look-ups ignore case and know the compact forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Msg {
    pub(crate) start: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

/// Compact forms, RFC 3261 §20, RFC 4028, RFC 3515.
const COMPACT: [(&str, &str); 9] = [
    ("v", "via"),
    ("f", "from"),
    ("t", "to"),
    ("i", "call-id"),
    ("m", "contact"),
    ("l", "content-length"),
    ("c", "content-type"),
    ("k", "supported"),
    ("x", "session-expires"),
];

fn same_name(a: &str, b: &str) -> bool {
    long(a).eq_ignore_ascii_case(long(b))
}

fn long(name: &str) -> &str {
    COMPACT.iter().find(|(short, _)| short.eq_ignore_ascii_case(name)).map_or(name, |(_, l)| l)
}

impl Msg {
    /// Reads what the server sent; `None` when it is not even text with a header part.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.split("\r\n");
        let start = lines.next()?.to_owned();
        let mut headers = Vec::new();
        for line in lines {
            let (name, value) = line.split_once(':')?;
            headers.push((name.trim().to_owned(), value.trim().to_owned()));
        }
        Some(Self { start, headers, body: body.to_owned() })
    }

    pub(crate) fn request(method: &str, uri: &str) -> Self {
        Self { start: format!("{method} {uri} SIP/2.0"), headers: Vec::new(), body: String::new() }
    }

    /// A response with what RFC 3261 §8.2.6.2 copies; `tag` goes into To when it has none.
    pub(crate) fn response(request: &Self, status: u16, tag: &str) -> Self {
        let start = format!("SIP/2.0 {status} {}", phrase(status));
        let mut response = Self { start, headers: Vec::new(), body: String::new() };
        for name in ["Via", "From", "To", "Call-ID", "CSeq", "Record-Route"] {
            for value in request.all(name) {
                let value = match name {
                    "To" if status > 100 && tag_of(value).is_none() => format!("{value};tag={tag}"),
                    _ => value.to_owned(),
                };
                response.headers.push((name.to_owned(), value));
            }
        }
        response
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn with_sdp(mut self, sdp: impl Into<String>) -> Self {
        self.body = sdp.into();
        self.with("Content-Type", "application/sdp")
    }

    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.remove(name);
        self.headers.push((name.to_owned(), value.into()));
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.headers.retain(|(known, _)| !same_name(known, name));
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut text = format!("{}\r\n", self.start);
        for (name, value) in &self.headers {
            text += &format!("{name}: {value}\r\n");
        }
        text += &format!("Content-Length: {}\r\n\r\n{}", self.body.len(), self.body);
        text.into_bytes()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let named = self.headers.iter().find(|(known, _)| same_name(known, name));
        named.map(|(_, value)| value.as_str())
    }

    pub(crate) fn all<'a, 'n>(
        &'a self,
        name: &'n str,
    ) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
        let named = self.headers.iter().filter(move |(known, _)| same_name(known, name));
        named.map(|(_, value)| value.as_str())
    }

    /// Whether a header's comma list has this token.
    pub(crate) fn lists(&self, name: &str, token: &str) -> bool {
        self.all(name).flat_map(|v| v.split(',')).any(|t| t.trim().eq_ignore_ascii_case(token))
    }

    /// The status, of a response.
    pub(crate) fn status(&self) -> Option<u16> {
        self.start.strip_prefix("SIP/2.0 ")?.split(' ').next()?.parse().ok()
    }

    /// The method: of the start line of a request, of CSeq of a response.
    pub(crate) fn method(&self) -> &str {
        match self.status() {
            None => self.start.split(' ').next().unwrap_or(""),
            Some(_) => self.get("CSeq").and_then(|c| c.split(' ').nth(1)).unwrap_or(""),
        }
    }

    pub(crate) fn uri(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or("")
    }

    pub(crate) fn cseq(&self) -> u32 {
        let number = self.get("CSeq").and_then(|c| c.split(' ').next());
        number.and_then(|number| number.parse().ok()).unwrap_or(0)
    }

    pub(crate) fn call_id(&self) -> &str {
        self.get("Call-ID").unwrap_or("")
    }

    pub(crate) fn sender_tag(&self) -> &str {
        self.get("From").and_then(tag_of).unwrap_or("")
    }

    pub(crate) fn to_tag(&self) -> &str {
        self.get("To").and_then(tag_of).unwrap_or("")
    }

    pub(crate) fn branch(&self) -> &str {
        self.get("Via").and_then(|via| param(via, "branch")).unwrap_or("")
    }

    /// The URI in Contact.
    pub(crate) fn contact(&self) -> Option<String> {
        self.get("Contact").map(|value| uri_in(value).to_owned())
    }

    /// Delta-seconds and refresher of Session-Expires.
    pub(crate) fn session_expires(&self) -> Option<(u64, Option<String>)> {
        let value = self.get("Session-Expires")?;
        let seconds = value.split(';').next()?.trim().parse().ok()?;
        Some((seconds, param(value, "refresher").map(str::to_owned)))
    }

    pub(crate) fn has_sdp(&self) -> bool {
        !self.body.is_empty() && self.get("Content-Type").is_some_and(|t| t.contains("sdp"))
    }

    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.split([';', ' ', '(']).next()?.trim().parse().ok()
    }
}

/// A parameter outside the angle brackets.
pub(crate) fn param<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    let outside = value.rsplit_once('>').map_or(value, |(_, after)| after);
    outside.split(';').find_map(|part| {
        let (key, value) = part.split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

pub(crate) fn tag_of(value: &str) -> Option<&str> {
    param(value, "tag")
}

/// The URI of a name-addr or addr-spec.
pub(crate) fn uri_in(value: &str) -> &str {
    match value.split_once('<') {
        Some((_, rest)) => rest.split('>').next().unwrap_or(rest),
        None => value.split(';').next().unwrap_or(value),
    }
}

fn phrase(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        183 => "Session Progress",
        200 => "OK",
        302 => "Moved Temporarily",
        401 => "Unauthorized",
        486 => "Busy Here",
        487 => "Request Terminated",
        491 => "Request Pending",
        503 => "Service Unavailable",
        _ => "As Scripted",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_reads_compact_names_tags_and_lists() {
        let msg = Msg::parse(
            b"INVITE sip:1@h SIP/2.0\r\nv: SIP/2.0/UDP h;branch=z9x\r\nf: \"A;tag=no\" <sip:a;tag=x@h>;tag=1\r\n\
              t: <sip:1@h>\r\nCSeq: 7 INVITE\r\nk: timer, 100rel\r\nx: 90;refresher=uas\r\n\r\n",
        )
        .unwrap();
        assert_eq!((msg.method(), msg.uri(), msg.cseq()), ("INVITE", "sip:1@h", 7));
        assert_eq!((msg.branch(), msg.sender_tag(), msg.to_tag()), ("z9x", "1", ""));
        assert!(msg.lists("Supported", "100REL"));
        assert_eq!(msg.session_expires(), Some((90, Some("uas".into()))));
        let answer = Msg::response(&msg, 200, "mine");
        assert_eq!(
            (answer.status(), answer.to_tag(), answer.method()),
            (Some(200), "mine", "INVITE")
        );
    }
}
