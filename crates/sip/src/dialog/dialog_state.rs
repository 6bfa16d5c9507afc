//! A dialog (RFC 3261 §12): ids, route set, remote target and sequence numbers of one peer-to-peer
//! relation. Knows no transaction and no media.

use serde::{Deserialize, Serialize};

use crate::message::{Headers, Method, Name, NameAddr, Request, Response, StatusCode, Uri};

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
    remote_seq: Option<u32>,
    confirmed: bool,
}

/// Why no dialog can be made of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message lacks what a dialog is made of")]
pub struct NoDialog;

/// Most entries of a route set we keep.
pub const ROUTE_SET_MAX: usize = 32;

impl Dialog {
    /// The caller's side, from its INVITE and a response with a To tag. RFC 3261 §12.1.2.
    ///
    /// # Errors
    /// When a mandatory header is missing or cannot be read, or the route set is too long.
    pub fn uac(invite: &Request, response: &Response) -> Result<Self, NoDialog> {
        let local = invite.headers.from().map_err(|_| NoDialog)?;
        let remote = response.headers.to().map_err(|_| NoDialog)?;
        let mut route_set = route_set(&response.headers)?;
        route_set.reverse();
        let contact = response.headers.contact().map(|contact| contact.uri);
        // A 1xx need not carry a Contact; until one comes requests go where the INVITE went.
        let remote_target = contact.unwrap_or_else(|_| invite.uri.clone());
        let call_id = invite.headers.call_id().map_err(|_| NoDialog)?;
        let local_seq = invite.headers.cseq().map_err(|_| NoDialog)?.seq;
        Ok(Self {
            id: id(call_id, &local, &remote),
            local,
            remote,
            remote_target,
            route_set,
            local_seq,
            remote_seq: None,
            confirmed: false,
        })
    }

    /// The callee's side, from an INVITE and the tag we answer with. RFC 3261 §12.1.1.
    ///
    /// # Errors
    /// As [`Self::uac`]; an INVITE without a Contact makes no dialog.
    pub fn uas(invite: &Request, local_tag: &str) -> Result<Self, NoDialog> {
        let mut local = invite.headers.to().map_err(|_| NoDialog)?;
        local.set_tag(local_tag);
        let remote = invite.headers.from().map_err(|_| NoDialog)?;
        let contact = invite.headers.contact().map_err(|_| NoDialog)?;
        let call_id = invite.headers.call_id().map_err(|_| NoDialog)?;
        let remote_seq = invite.headers.cseq().map_err(|_| NoDialog)?.seq;
        Ok(Self {
            id: id(call_id, &local, &remote),
            local,
            remote,
            remote_target: contact.uri,
            route_set: route_set(&invite.headers)?,
            local_seq: 0,
            remote_seq: Some(remote_seq),
            confirmed: false,
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

    /// A 2xx was sent or came.
    pub fn confirm(&mut self) {
        self.confirmed = true;
    }

    /// The remote target: the Contact of the far end.
    pub fn remote_target(&self) -> &Uri {
        &self.remote_target
    }

    /// A target refresh (RFC 3261 §12.2.1.2, §12.2.2): the Contact of a re-INVITE or UPDATE, or of
    /// its 2xx. The route set never changes.
    pub fn refresh_target(&mut self, headers: &Headers) {
        if let Ok(contact) = headers.contact()
            && contact.uri.scheme.is_sip()
        {
            self.remote_target = contact.uri;
        }
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

    /// Checks the number of a request of the far end, RFC 3261 §12.2.2.
    ///
    /// # Errors
    /// 500 for one that comes out of order, 400 for one without a number.
    pub fn check_request(&mut self, request: &Request) -> Result<(), StatusCode> {
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
        let mut request = Request::new(method, uri);
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

fn route_set(headers: &Headers) -> Result<Vec<NameAddr>, NoDialog> {
    let routes = headers.record_routes().map_err(|_| NoDialog)?;
    if routes.len() > ROUTE_SET_MAX { Err(NoDialog) } else { Ok(routes) }
}
