//! A dialog (RFC 3261 §12): ids, route set, remote target and sequence numbers of one peer-to-peer
//! relation. Knows no transaction and no media.
//!
//! ```text
//!  INVITE + 1xx with To tag ──▶ early ──2xx: route set taken anew──▶ confirmed
//!  INVITE + 2xx ──────────────────────────────────────────────────────▲
//! ```

use serde::{Deserialize, Serialize};

use crate::message::{
    Headers, Method, Name, NameAddr, Request, Response, StatusCode, Uri, UriHeaders,
};

/// What identifies a dialog, RFC 3261 §12.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DialogId {
    /// Call-ID.
    pub call_id: Box<str>,
    /// Our tag.
    pub local_tag: Box<str>,
    /// Their tag; empty when a peer of RFC 2543 sends none.
    pub remote_tag: Box<str>,
}

/// One dialog.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dialog {
    id: DialogId,
    local: NameAddr,
    remote: NameAddr,
    remote_target: Uri,
    route_set: Vec<NameAddr>,
    local_seq: u32,
    /// Empty until the far end sends its first request.
    remote_seq: Option<u32>,
    confirmed: bool,
    secure: bool,
}

/// Why no dialog can be made of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message lacks what a dialog is made of")]
pub struct NoDialog;

/// Most entries of a route set we keep.
pub const ROUTE_SET_MAX: usize = 32;
/// Numbers left free for the PRACKs that a forgotten dialog may have had.
const PRACKS_MAX: u32 = 64;

impl Dialog {
    /// The caller's side, from its INVITE and a response with a To tag. RFC 3261 §12.1.2.
    ///
    /// # Errors
    /// When a mandatory header is missing or cannot be read, or the route set is too long.
    pub fn uac(invite: &Request, response: &Response) -> Result<Self, NoDialog> {
        // A 1xx need not carry a Contact; until one comes requests go where the INVITE went.
        let remote_target = target(&response.headers).unwrap_or_else(|| invite.uri.clone());
        let secure = invite.uri.is_secure();
        Self::caller(&invite.headers, &response.headers, remote_target, secure)
    }

    /// The caller's side, from a 2xx alone: of a fork that nobody remembers, to be ACKed and hung
    /// up (RFC 3261 §13.2.2.4).
    ///
    /// # Errors
    /// As [`Self::uac`]; a 2xx without a Contact makes no dialog.
    pub fn stray(success: &Response) -> Result<Self, NoDialog> {
        let headers = &success.headers;
        let remote_target = target(headers).ok_or(NoDialog)?;
        let secure = remote_target.is_secure();
        let mut dialog = Self::caller(headers, headers, remote_target, secure)?;
        dialog.confirmed = true;
        // RFC 3261 §12.2.1.1 asks for growing numbers, not for adjacent ones.
        dialog.local_seq = dialog.local_seq.saturating_add(PRACKS_MAX);
        Ok(dialog)
    }

    fn caller(
        ours: &Headers,
        theirs: &Headers,
        remote_target: Uri,
        secure: bool,
    ) -> Result<Self, NoDialog> {
        let local = ours.from().map_err(|_| NoDialog)?;
        let remote = theirs.to().map_err(|_| NoDialog)?;
        let call_id = ours.call_id().map_err(|_| NoDialog)?;
        Ok(Self {
            id: id(call_id, &local, &remote),
            local,
            remote,
            remote_target,
            route_set: reversed_route_set(theirs)?,
            local_seq: ours.cseq().map_err(|_| NoDialog)?.seq,
            remote_seq: None,
            confirmed: false,
            secure,
        })
    }

    /// The callee's side, from an INVITE and the tag we answer with. RFC 3261 §12.1.1.
    ///
    /// # Errors
    /// As [`Self::uac`]; an INVITE without a SIP URI in its Contact makes no dialog.
    pub fn uas(invite: &Request, local_tag: &str) -> Result<Self, NoDialog> {
        let headers = &invite.headers;
        let mut local = headers.to().map_err(|_| NoDialog)?;
        local.set_tag(local_tag);
        let remote = headers.from().map_err(|_| NoDialog)?;
        let call_id = headers.call_id().map_err(|_| NoDialog)?;
        Ok(Self {
            id: id(call_id, &local, &remote),
            local,
            remote,
            remote_target: target(headers).ok_or(NoDialog)?,
            route_set: route_set(headers)?,
            local_seq: 0,
            remote_seq: Some(headers.cseq().map_err(|_| NoDialog)?.seq),
            confirmed: false,
            secure: invite.uri.is_secure(),
        })
    }

    /// Its identity.
    pub fn id(&self) -> &DialogId {
        &self.id
    }

    /// Whether a 2xx made it a confirmed dialog.
    pub fn is_confirmed(&self) -> bool {
        self.confirmed
    }

    /// Whether it was begun with a `sips:` URI, so that our Contact must be one too (RFC 3261
    /// §12.1.1, §12.1.2).
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// A 2xx was sent or came.
    pub fn confirm(&mut self) {
        self.confirmed = true;
    }

    /// The INVITE that we began it with got its 2xx. RFC 3261 §13.2.2.4: of what the early dialog
    /// knew, the route set and the remote target are taken anew from it.
    pub fn confirm_by(&mut self, success: &Response) {
        self.confirmed = true;
        if let Ok(route_set) = reversed_route_set(&success.headers) {
            self.route_set = route_set;
        }
        self.refresh_target(&success.headers);
    }

    /// The remote target: the Contact of the far end.
    pub fn remote_target(&self) -> &Uri {
        &self.remote_target
    }

    /// A target refresh (RFC 3261 §12.2.1.2, §12.2.2): the Contact of a re-INVITE or UPDATE, or of
    /// its 2xx. The route set never changes, and what went by `sips:` goes on so.
    pub fn refresh_target(&mut self, headers: &Headers) {
        if let Some(new) = target(headers)
            && (new.is_secure() || !self.remote_target.is_secure())
        {
            self.remote_target = new;
        }
    }

    /// Whether a request of the far end belongs here: Call-ID and both tags, RFC 3261 §12.2.2.
    pub fn matches(&self, headers: &Headers) -> bool {
        let DialogId { call_id, local_tag, remote_tag } = &self.id;
        let same = |address: NameAddr, tag: &str| address.tag().unwrap_or_default() == tag;
        headers.call_id().is_ok_and(|found| found == &**call_id)
            && headers.to().is_ok_and(|to| same(to, local_tag))
            && headers.from().is_ok_and(|from| same(from, remote_tag))
    }

    /// Where requests go next: the first route, or the remote target.
    pub fn next_hop(&self) -> &Uri {
        self.route_set.first().map_or(&self.remote_target, |route| &route.uri)
    }

    /// A request inside the dialog, RFC 3261 §12.2.1.1, numbered; ACK and CANCEL apart.
    pub fn request(&mut self, method: Method) -> Request {
        self.local_seq += 1;
        self.build(method, self.local_seq)
    }

    /// The ACK of a 2xx to the INVITE numbered `seq`, RFC 3261 §13.2.2.4.
    pub fn ack(&self, seq: u32) -> Request {
        self.build(Method::Ack, seq)
    }

    /// Gives a request that must be sent again (with credentials, say) the next number.
    pub fn renumber(&mut self, request: &mut Request) {
        self.local_seq += 1;
        request.headers.set(Name::CSeq, format!("{} {}", self.local_seq, request.method));
    }

    /// Checks tags and number of a request of the far end, RFC 3261 §12.2.2 (ATTACKS 14).
    ///
    /// # Errors
    /// 481 for one of another dialog, 500 for one that comes out of order, 400 for one without a
    /// number. ACK and CANCEL have the number of their INVITE and are not counted.
    pub fn check_request(&mut self, request: &Request) -> Result<(), StatusCode> {
        if !self.matches(&request.headers) {
            return Err(StatusCode::CALL_DOES_NOT_EXIST);
        }
        if matches!(request.method, Method::Ack | Method::Cancel) {
            return Ok(());
        }
        let seq = request.headers.cseq().map_err(|_| StatusCode::BAD_REQUEST)?.seq;
        if self.remote_seq.is_some_and(|last| seq <= last) {
            return Err(StatusCode::SERVER_INTERNAL_ERROR);
        }
        self.remote_seq = Some(seq);
        Ok(())
    }

    fn build(&self, method: Method, seq: u32) -> Request {
        let mut routes = self.route_set.clone();
        let mut uri = self.remote_target.clone();
        // RFC 3261 §12.2.1.1: a strict router first takes the Request-URI, the target goes last.
        if routes.first().is_some_and(|first| !first.uri.lr()) {
            let first = routes.remove(0);
            routes.push(NameAddr::new(uri));
            uri = first.uri;
        }
        let cseq = format!("{seq} {method}");
        let mut request = Request::new(method, as_request_uri(uri));
        for route in &routes {
            request.headers.push(Name::Route, route.to_string());
        }
        request.headers.push(Name::MaxForwards, "70");
        request.headers.push(Name::From, self.local.to_string());
        request.headers.push(Name::To, self.remote.to_string());
        request.headers.push(Name::CallId, &*self.id.call_id);
        request.headers.push(Name::CSeq, cseq);
        request
    }
}

fn id(call_id: &str, local: &NameAddr, remote: &NameAddr) -> DialogId {
    DialogId {
        call_id: call_id.into(),
        local_tag: local.tag().unwrap_or_default().into(),
        remote_tag: remote.tag().unwrap_or_default().into(),
    }
}

/// The Contact, where it is a SIP URI: nothing else can be a remote target (RFC 3261 §12.1.1).
fn target(headers: &Headers) -> Option<Uri> {
    let contact = headers.contact().ok()?;
    contact.uri.scheme.is_sip().then_some(contact.uri)
}

/// RFC 3261 §19.1.1, table 1: no headers and no method in a Request-URI, whatever a Contact says.
fn as_request_uri(mut uri: Uri) -> Uri {
    uri.headers = UriHeaders::default();
    uri.params.remove("method");
    uri
}

/// As the callee keeps it: in the order of Record-Route.
fn route_set(headers: &Headers) -> Result<Vec<NameAddr>, NoDialog> {
    let routes = headers.record_routes().map_err(|_| NoDialog)?;
    if routes.len() > ROUTE_SET_MAX { Err(NoDialog) } else { Ok(routes) }
}

/// As the caller keeps it.
fn reversed_route_set(headers: &Headers) -> Result<Vec<NameAddr>, NoDialog> {
    let mut routes = route_set(headers)?;
    routes.reverse();
    Ok(routes)
}

#[cfg(test)]
mod tests;
