//! Who talks to the core, and how they write.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use sip::auth::params::AuthParams;
use sip::message::{Message, Name, Request};
use sip::transport::{FlowId, Source, Target, Transport};

/// The first of two trunks.
pub(super) const CARRIER: usize = 0;
/// Phones of 1001, by UDP and TCP, and of 1002.
pub(super) const PHONES: [usize; 3] = [2, 3, 4];
/// Nobody.
pub(super) const STRANGER: usize = 5;

/// Messages a peer remembers of each kind.
const MEMORY: usize = 12;
/// The UDP socket.
const UDP_FLOW: FlowId = FlowId(1);

/// One peer and what it has seen.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    pub(super) flow: FlowId,
    transport: Transport,
    user: &'static str,
    domain: &'static str,
    is_phone: bool,
    /// Requests it got, ACK aside.
    pub(super) requests: Vec<Request>,
    /// Messages it got that belong to a dialog.
    pub(super) dialogs: Vec<Message>,
    /// What it said.
    pub(super) sent: Vec<Vec<u8>>,
    nonce: Option<(String, u32)>,
    counter: u32,
}

/// All of them, in the order of the constants above.
pub(super) fn peers() -> Vec<Peer> {
    let udp = Transport::Udp;
    [
        ("127.0.0.2:5060", udp, "+49171555", "carrier.test", false),
        ("127.0.0.3:5060", udp, "+49172666", "backup.test", false),
        ("127.0.0.1:7001", udp, "1001", "hookflash.test", true),
        ("127.0.0.1:7002", Transport::Tcp, "1001", "hookflash.test", true),
        ("127.0.0.8:7003", udp, "1002", "hookflash.test", true),
        ("127.0.0.66:5060", udp, "1001", "hookflash.test", false),
    ]
    .into_iter()
    .enumerate()
    .map(|(at, (address, transport, user, domain, is_phone))| Peer {
        address: address.parse().expect("an address"),
        flow: if transport == udp { UDP_FLOW } else { FlowId(10 + at as u64) },
        transport,
        user,
        domain,
        is_phone,
        requests: Vec::new(),
        dialogs: Vec::new(),
        sent: Vec::new(),
        nonce: None,
        counter: 0,
    })
    .collect()
}

/// Keeps the latest.
pub(super) fn remember<T>(memory: &mut Vec<T>, new: T) {
    if memory.len() == MEMORY {
        memory.remove(0);
    }
    memory.push(new);
}

impl Peer {
    pub(super) fn source(&self) -> Source {
        Source {
            flow: self.flow,
            transport: self.transport,
            remote: self.address,
            local: "127.0.0.1:5060".parse().expect("an address"),
            tls_names: Arc::new([]),
        }
    }

    pub(super) fn target(&self) -> Target {
        self.source().reply_target()
    }

    /// Takes note of what the core sent.
    pub(super) fn receive(&mut self, message: &Message) {
        match message {
            Message::Request(request) => {
                if request.method != sip::message::Method::Ack {
                    remember(&mut self.requests, request.clone());
                }
            }
            Message::Response(response) => {
                for line in response.headers.get_all(Name::WwwAuthenticate).take(1) {
                    let params = AuthParams::parse(line).expect("a challenge of ours can be read");
                    self.nonce = params.raw("nonce").map(|nonce| (nonce.to_owned(), 0));
                }
            }
        }
        if message.headers().to().is_ok_and(|to| to.tag().is_some()) || self.requests.len() == 1 {
            remember(&mut self.dialogs, message.clone());
        }
    }

    /// The Authorization line for a request, once there is a nonce; for phones only.
    pub(super) fn authorization(&mut self, method: &str, uri: &str) -> Option<String> {
        let (nonce, count) = self.nonce.as_mut().filter(|_| self.is_phone)?;
        *count += 1;
        let password = format!("secret-{}", self.user);
        let answer = crate::auth::answer(method, uri, nonce, self.user, &password, *count);
        Some(format!("Authorization: {answer}\r\n"))
    }

    pub(super) fn register(&mut self, expires: &str) -> String {
        let (user, address) = (self.user, self.address);
        let contact = format!("Contact: <sip:{user}@{address}>;expires={expires}\r\n");
        self.write(
            "REGISTER",
            "sip:hookflash.test",
            &format!("sip:{user}@hookflash.test"),
            "",
            &contact,
        )
    }

    pub(super) fn invite(&mut self, number: &str, body: String, extras: &str) -> String {
        let contact = if extras.contains("Contact:") { String::new() } else { self.contact() };
        self.request("INVITE", number, body, &format!("{contact}{extras}"))
    }

    /// A request outside dialogs.
    pub(super) fn request(
        &mut self,
        method: &str,
        number: &str,
        body: String,
        extras: &str,
    ) -> String {
        let uri = format!("sip:{number}@127.0.0.1");
        self.write(method, &uri, &uri, &body, extras)
    }

    fn contact(&self) -> String {
        format!("Contact: <sip:{}@{}>\r\n", self.user, self.address)
    }

    fn write(&mut self, method: &str, uri: &str, to: &str, body: &str, extras: &str) -> String {
        self.counter += 1;
        let Self { user, domain, counter, address, transport, .. } = self;
        let via = transport.as_str();
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/{via} {address};branch=z9hG4bK{user}{counter};rport\r\n\
             From: \"N\" <sip:{user}@{domain}>;tag=t{counter}\r\nTo: <{to}>\r\n\
             Call-ID: {user}-{counter}-{address}\r\nCSeq: 1 {method}\r\nMax-Forwards: 70\r\n{extras}{}",
            content(body)
        )
    }

    /// A response to a request of the core.
    pub(super) fn reply(
        &self,
        request: &Request,
        status: &str,
        fork: u8,
        body: String,
        extras: &str,
    ) -> String {
        let mut text = format!("SIP/2.0 {status}\r\n");
        for name in [Name::Via, Name::RecordRoute, Name::From, Name::CallId, Name::CSeq] {
            for value in request.headers.get_all(name) {
                let _ = write!(text, "{name}: {value}\r\n"); // a String takes it always
            }
        }
        let to = request.headers.get(Name::To).unwrap_or_default();
        let tag = if to.contains("tag=") { String::new() } else { format!(";tag=f{}", fork & 1) };
        let contact = if extras.contains("Contact:") { String::new() } else { self.contact() };
        text + &format!("To: {to}{tag}\r\n{contact}{extras}{}", content(&body))
    }

    /// A request inside the dialog that a message of the core belongs to.
    pub(super) fn inside(
        &mut self,
        known: &Message,
        method: &str,
        body: String,
        extras: &str,
    ) -> String {
        self.counter += 1;
        let headers = known.headers();
        let value = |name| headers.get(name).unwrap_or_default().to_owned();
        let (mut from, mut to) = (value(Name::From), value(Name::To));
        if matches!(known, Message::Request(_)) {
            std::mem::swap(&mut from, &mut to);
            if !from.contains("tag=") {
                from.push_str(";tag=f0");
            }
        }
        let known_seq = headers.cseq().map_or(1, |cseq| cseq.seq);
        let mut branch = format!("z9hG4bK{}i{}", self.user, self.counter);
        let mut seq = self.counter + 1;
        if matches!(method, "ACK" | "CANCEL") {
            seq = known_seq;
            let via = headers.via().ok().filter(|_| matches!(known, Message::Response(_)));
            let theirs = via.as_ref().and_then(|via| via.branch());
            // RFC 3261 §17.1.1.3: the ACK of a 2xx is a transaction of its own.
            let accepted = matches!(known, Message::Response(r) if r.status.is_success());
            if let Some(theirs) = theirs.filter(|_| !accepted) {
                branch = theirs.to_owned();
            }
        }
        let contact = headers.contact().map(|contact| contact.uri.to_string());
        let uri = contact.unwrap_or_else(|_| "sip:127.0.0.1".into());
        let rseq = headers.rseq().map(|rseq| format!("RAck: {rseq} {known_seq} INVITE\r\n"));
        let rack = rseq.filter(|_| method == "PRACK").unwrap_or_default();
        let own = if extras.contains("Contact:") { String::new() } else { self.contact() };
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/{} {};branch={branch}\r\nFrom: {from}\r\nTo: {to}\r\n\
             Call-ID: {}\r\nCSeq: {seq} {method}\r\nMax-Forwards: 70\r\n{own}{rack}{extras}{}",
            self.transport.as_str(),
            self.address,
            value(Name::CallId),
            content(&body)
        )
    }
}

fn content(body: &str) -> String {
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    format!("{kind}Content-Length: {}\r\n\r\n{body}", body.len())
}
