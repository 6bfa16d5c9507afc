//! A small SIP client for what SIPp cannot do: SHA-256, forged and broken requests, repetitions.
//! It writes requests as text and reads answers line by line; it keeps no state but counters.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use crate::digest::{Credentials, Hash};
use crate::{eventually, password};

/// Longest wait for an answer that should come.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// A received message.
#[derive(Clone, Debug)]
pub struct Message {
    text: String,
}

impl Message {
    /// A message as a client would send it.
    pub fn of(text: &str) -> Self {
        Self { text: text.to_owned() }
    }

    /// Request or status line.
    pub fn start(&self) -> &str {
        self.text.lines().next().unwrap_or("")
    }

    /// Status of an answer; 0 for a request.
    pub fn status(&self) -> u16 {
        let mut words = self.start().split(' ');
        match words.next() {
            Some("SIP/2.0") => words.next().and_then(|word| word.parse().ok()).unwrap_or(0),
            Some(_) | None => 0,
        }
    }

    /// Method of a request, or of the request that is answered.
    pub fn method(&self) -> &str {
        self.header("CSeq").and_then(|cseq| cseq.split(' ').nth(1)).unwrap_or("")
    }

    /// Number of CSeq; 0 when there is none.
    pub fn seq(&self) -> u32 {
        let number = self.header("CSeq").and_then(|cseq| cseq.split(' ').next());
        number.and_then(|number| number.parse().ok()).unwrap_or(0)
    }

    /// All values of a header, in order.
    pub fn headers(&self, name: &str) -> Vec<&str> {
        let head = self.text.split("\r\n\r\n").next().unwrap_or("");
        let lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines
            .filter(|(known, _)| known.trim().eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .collect()
    }

    /// First value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).first().copied()
    }

    /// Everything after the empty line.
    pub fn body(&self) -> &str {
        self.text.split_once("\r\n\r\n").map_or("", |(_, body)| body)
    }

    /// The challenge that asks for `hash`.
    pub fn challenge(&self, hash: Hash) -> Option<&str> {
        let named = format!("algorithm={}", hash.name());
        let mut values = self.headers("WWW-Authenticate").into_iter();
        values.find(|value| value.split([',', ' ']).any(|part| part.trim() == named))
    }

    /// Names of all headers, in order: what an onlooker may compare.
    pub fn names(&self) -> Vec<&str> {
        let head = self.text.split("\r\n\r\n").next().unwrap_or("");
        head.lines().skip(1).filter_map(|line| Some(line.split_once(':')?.0)).collect()
    }

    /// As received.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What requests inside a dialog carry.
#[derive(Clone, Debug, PartialEq)]
pub struct Dialog {
    /// Request-URI.
    pub target: String,
    /// From, with our tag.
    pub from: String,
    /// To, with theirs.
    pub to: String,
    /// Call-ID.
    pub call_id: String,
}

impl Dialog {
    /// That of the caller, by the answer to its INVITE.
    pub fn of_caller(answer: &Message) -> Self {
        Self::new(answer, answer, "From", "To")
    }

    /// That of the callee, by the INVITE and the answer that it sent.
    pub fn of_callee(invite: &Message, answer: &Message) -> Self {
        Self::new(invite, answer, "To", "From")
    }

    fn new(contact: &Message, answer: &Message, from: &str, to: &str) -> Self {
        let header = |name: &str| answer.header(name).unwrap_or("").to_owned();
        let contact = contact.header("Contact").unwrap_or("");
        let target = contact.trim_start_matches('<').split('>').next().unwrap_or("");
        let (from, to, call_id) = (header(from), header(to), header("Call-ID"));
        Self { target: target.to_owned(), from, to, call_id }
    }
}

#[derive(Debug)]
enum Link {
    Udp(UdpSocket),
    Tcp(RefCell<(TcpStream, Vec<u8>)>),
}

/// One client, on one socket.
#[derive(Debug)]
pub struct Client {
    link: Link,
    local: SocketAddr,
    server: SocketAddr,
    count: Cell<u32>,
    /// Call-ID and From tag, until [`Self::renew`].
    identity: RefCell<String>,
}

impl Client {
    /// Over UDP from `local`, whose port may be 0.
    pub fn udp(local: SocketAddr, server: SocketAddr) -> Self {
        let socket = UdpSocket::bind(local).unwrap_or_else(|error| panic!("{local}: {error}"));
        socket.connect(server).unwrap();
        let local = socket.local_addr().unwrap();
        Self::new(Link::Udp(socket), local, server)
    }

    /// Over UDP from any port of an address.
    pub fn at(ip: impl Into<IpAddr>, server: SocketAddr) -> Self {
        Self::udp(SocketAddr::new(ip.into(), 0), server)
    }

    /// Over TCP.
    pub fn tcp(server: SocketAddr) -> Self {
        let stream = TcpStream::connect(server).unwrap();
        stream.set_nodelay(true).unwrap();
        let local = stream.local_addr().unwrap();
        Self::new(Link::Tcp(RefCell::new((stream, Vec::new()))), local, server)
    }

    /// The server's own connection to a listener of ours, which must come.
    pub fn accepted(listener: &TcpListener) -> Self {
        listener.set_nonblocking(true).unwrap();
        let accepted = eventually(PATIENCE, || listener.accept().ok());
        let (stream, server) = accepted.expect("a connection");
        stream.set_nonblocking(false).unwrap();
        let local = stream.local_addr().unwrap();
        Self::new(Link::Tcp(RefCell::new((stream, Vec::new()))), local, server)
    }

    fn new(link: Link, local: SocketAddr, server: SocketAddr) -> Self {
        let identity = format!("{:x}-{:x}", std::process::id(), local.port());
        let client =
            Self { link, local, server, count: Cell::new(0), identity: RefCell::new(identity) };
        client.renew();
        client
    }

    /// Its address.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Takes another Call-ID and From tag.
    pub fn renew(&self) {
        let new = format!("{:x}-{:x}-{}", std::process::id(), self.local.port(), self.next());
        self.identity.replace(new);
    }

    /// The present Call-ID.
    pub fn call_id(&self) -> String {
        format!("{}@interop", self.identity.borrow())
    }

    /// The present From tag.
    pub fn tag(&self) -> String {
        format!("t{}", self.identity.borrow())
    }

    fn next(&self) -> u32 {
        self.count.set(self.count.get() + 1);
        self.count.get()
    }

    fn transport(&self) -> &'static str {
        match self.link {
            Link::Udp(_) => "UDP",
            Link::Tcp(_) => "TCP",
        }
    }

    /// A fresh Via value.
    pub fn via(&self) -> String {
        let branch = format!("z9hG4bK{}{}", self.tag(), self.next());
        format!("SIP/2.0/{} {};rport;branch={branch}", self.transport(), self.local)
    }

    /// A request outside dialogs for `user` at the server, from the stranger `probe`, no body.
    pub fn request(&self, method: &str, user: &str) -> String {
        self.request_with(method, user, "probe", &[], "")
    }

    /// A request outside dialogs with more header lines and a body (SDP).
    pub fn request_with(
        &self,
        method: &str,
        user: &str,
        from: &str,
        lines: &[&str],
        body: &str,
    ) -> String {
        let at = if user.is_empty() { String::new() } else { format!("{user}@") };
        let (server, local) = (self.server, self.local);
        let mut text = format!(
            "{method} sip:{at}{server} SIP/2.0\r\nVia: {}\r\nMax-Forwards: 70\r\n\
             From: <sip:{from}@hookflash.test>;tag={}\r\nTo: <sip:{at}hookflash.test>\r\n\
             Call-ID: {}\r\nCSeq: {} {method}\r\nContact: <sip:{from}@{local}>\r\n",
            self.via(),
            self.tag(),
            self.call_id(),
            self.next(),
        );
        for line in lines {
            text.push_str(line);
            text.push_str("\r\n");
        }
        if !body.is_empty() {
            text.push_str("Content-Type: application/sdp\r\n");
        }
        text.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
        text
    }

    /// Sends text.
    pub fn send(&self, text: &str) {
        self.send_bytes(text.as_bytes());
    }

    /// Sends bytes; an unreachable server shows when nothing is received.
    pub fn send_bytes(&self, bytes: &[u8]) {
        match &self.link {
            Link::Udp(socket) => drop(socket.send(bytes)),
            Link::Tcp(link) => drop(link.borrow_mut().0.write_all(bytes)),
        }
    }

    /// The next message, or `None` when none comes in time or the connection is closed.
    pub fn receive_within(&self, limit: Duration) -> Option<Message> {
        let end = Instant::now() + limit;
        loop {
            let left = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            match &self.link {
                Link::Udp(socket) => {
                    socket.set_read_timeout(Some(left)).unwrap();
                    let mut buffer = [0; 65_536];
                    if let Ok(len) = socket.recv(&mut buffer) {
                        let text = String::from_utf8_lossy(&buffer[..len]).into_owned();
                        return Some(Message { text });
                    }
                }
                Link::Tcp(link) => {
                    let (stream, unread) = &mut *link.borrow_mut();
                    if let Some(message) = take_message(unread) {
                        return Some(message);
                    }
                    stream.set_read_timeout(Some(left)).unwrap();
                    let mut buffer = [0; 4096];
                    match stream.read(&mut buffer) {
                        Ok(0) => return None,
                        Ok(len) => unread.extend_from_slice(&buffer[..len]),
                        Err(_) => {}
                    }
                }
            }
            if Instant::now() >= end {
                return None;
            }
        }
    }

    /// The next message, which must come.
    pub fn receive(&self) -> Message {
        self.receive_within(PATIENCE).expect("an answer")
    }

    /// The next answer that is final.
    pub fn receive_final(&self) -> Message {
        loop {
            let message = self.receive();
            if message.status() >= 200 {
                return message;
            }
        }
    }

    /// The next final answer of the present call: earlier ones that were never acknowledged may
    /// still come again.
    pub fn receive_own_final(&self) -> Message {
        loop {
            let message = self.receive_final();
            if message.header("Call-ID") == Some(&self.call_id()) {
                return message;
            }
        }
    }

    /// The next request, which must be of this method.
    pub fn receive_request(&self, method: &str) -> Message {
        let message = self.receive();
        assert!(message.start().starts_with(method), "{message}");
        message
    }

    /// Sends a request and returns the final answer.
    pub fn ask(&self, request: &str) -> Message {
        self.send(request);
        self.receive_final()
    }

    /// Whether the server has closed the connection by now.
    pub fn is_closed_within(&self, limit: Duration) -> bool {
        let Link::Tcp(link) = &self.link else { return false };
        let (stream, _) = &mut *link.borrow_mut();
        stream.set_read_timeout(Some(limit)).unwrap();
        let mut buffer = [0; 4096];
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
            }
        }
    }

    /// Registers an extension at this client's address, by MD5.
    pub fn register(&mut self, extension: &str, expires: u32) -> Message {
        self.register_by(extension, expires, Hash::Md5)
    }

    /// Registers an extension, answering the challenge of one kind.
    pub fn register_by(&mut self, extension: &str, expires: u32, hash: Hash) -> Message {
        let expires = format!("Expires: {expires}");
        let to = format!("To: <sip:{extension}@hookflash.test>");
        let request = |lines: &[&str]| {
            let text = self.request_with("REGISTER", "", extension, lines, "");
            let old = text.lines().find(|line| line.starts_with("To:")).unwrap().to_owned();
            text.replace(&old, &to)
        };
        let challenged = self.ask(&request(&[&expires]));
        assert_eq!(challenged.status(), 401, "{challenged}");
        let challenge = challenged.challenge(hash).expect("the challenge");
        let uri = format!("sip:{}", self.server);
        let answer =
            Credentials::answer(challenge, "REGISTER", &uri, extension, password(extension));
        self.ask(&request(&[&expires, &format!("Authorization: {}", answer.header())]))
    }

    /// A request that is challenged once, made by `request` from its further header lines, and
    /// answered as `extension`; the answer to it is still to come.
    pub fn send_with_digest(&self, extension: &str, request: &dyn Fn(&[&str]) -> String) {
        let unproven = request(&[]);
        let challenged = self.ask(&unproven);
        assert_eq!(challenged.status(), 401, "{challenged}");
        if challenged.method() == "INVITE" {
            self.send(&acknowledgement(&Message::of(&unproven), &challenged));
        }
        let challenge = challenged.challenge(Hash::Md5).expect("the challenge");
        let (method, uri) = (challenged.method().to_owned(), format!("sip:{}", self.server));
        let answer = Credentials::answer(challenge, &method, &uri, extension, password(extension));
        self.send(&request(&[&format!("Authorization: {}", answer.header())]));
    }

    /// An answer to a request: its Via, From, To (with `tag` when it has none), Call-ID and CSeq,
    /// then more header lines and a body (SDP).
    pub fn reply(&self, to: &Message, status: &str, lines: &[&str], body: &str) -> String {
        let mut text = format!("SIP/2.0 {status}\r\n");
        for name in ["Via", "Record-Route", "From", "To", "Call-ID", "CSeq"] {
            for value in to.headers(name) {
                let tag = if name == "To" && !value.contains("tag=") { ";tag=callee" } else { "" };
                text.push_str(&format!("{name}: {value}{tag}\r\n"));
            }
        }
        text.push_str(&format!("Contact: <sip:client@{}>\r\n", self.local));
        for line in lines {
            text.push_str(&format!("{line}\r\n"));
        }
        if !body.is_empty() {
            text.push_str("Content-Type: application/sdp\r\n");
        }
        text.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
        text
    }

    /// A request inside a dialog.
    pub fn within(&self, dialog: &Dialog, method: &str, seq: u32, body: &str) -> String {
        let Dialog { target, from, to, call_id } = dialog;
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        format!(
            "{method} {target} SIP/2.0\r\nVia: {}\r\nMax-Forwards: 70\r\nFrom: {from}\r\n\
             To: {to}\r\nCall-ID: {call_id}\r\nCSeq: {seq} {method}\r\n\
             Contact: <sip:client@{}>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            self.via(),
            self.local,
            body.len()
        )
    }

    /// A request inside a dialog with more header lines and a body (SDP).
    pub fn within_with(
        &self,
        dialog: &Dialog,
        method: &str,
        seq: u32,
        lines: &[&str],
        body: &str,
    ) -> String {
        let plain = self.within(dialog, method, seq, body);
        let (head, rest) = plain.split_once("\r\n").unwrap();
        let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        format!("{head}\r\n{lines}{rest}")
    }

    /// An SDP of this client: PCMU and PCMA.
    pub fn sdp(&self) -> String {
        let (kind, ip) = match self.local.ip() {
            IpAddr::V4(ip) => ("IP4", ip.to_string()),
            IpAddr::V6(ip) => ("IP6", ip.to_string()),
        };
        format!(
            "v=0\r\no=- 1 1 IN {kind} {ip}\r\ns=-\r\nc=IN {kind} {ip}\r\nt=0 0\r\n\
             m=audio 9000 RTP/AVP 0 8\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n"
        )
    }
}

/// What ends the repetitions of a refusal (RFC 3261 §17.1.1.3).
fn acknowledgement(invite: &Message, refusal: &Message) -> String {
    let of = |message: &Message, name: &str| message.header(name).unwrap_or("").to_owned();
    let target = invite.start().split(' ').nth(1).unwrap_or("");
    format!(
        "ACK {target} SIP/2.0\r\nVia: {}\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\n\
         Call-ID: {}\r\nCSeq: {} ACK\r\nContent-Length: 0\r\n\r\n",
        of(invite, "Via"),
        of(invite, "From"),
        of(refusal, "To"),
        of(invite, "Call-ID"),
        invite.seq(),
    )
}

fn take_message(unread: &mut Vec<u8>) -> Option<Message> {
    while unread.starts_with(b"\r\n") {
        unread.drain(..2);
    }
    let head = unread.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&unread[..head]).into_owned();
    let message = Message { text };
    let len: usize = message.header("Content-Length").and_then(|len| len.parse().ok()).unwrap_or(0);
    if unread.len() < head + len {
        return None;
    }
    let whole = unread.drain(..head + len).collect::<Vec<_>>();
    Some(Message { text: String::from_utf8_lossy(&whole).into_owned() })
}
