//! The signalling socket with its transactions: one blocking UDP socket and one clock.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use base::{Rng, Time};
use bytes::Bytes;
use sip::message::{Host, Method, Name, NameAddr, Request, Uri, parse_datagram};
use sip::transaction::{Config, Event, SentBy, TransactionId, Transactions};
use sip::transport::{FlowId, Source, Target, Transport};

use super::Error;

/// Largest datagram.
const DATAGRAM_MAX: usize = 65_535;
/// Longest sleep, so that a signal is noticed.
const NAP: Duration = Duration::from_millis(100);
/// Events that wait for the owner.
const EVENTS_MAX: usize = 1024;
/// What we can do, told in every request and answer (RFC 3261 §13.2.1).
pub(super) const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE";

/// A user agent's socket.
pub(super) struct Endpoint {
    socket: UdpSocket,
    local: SocketAddr,
    server: SocketAddr,
    transactions: Transactions,
    pub(super) rng: Rng,
    started: Instant,
    events: VecDeque<Event>,
    stop: Arc<AtomicBool>,
}

impl Endpoint {
    /// Binds a socket on the address from which the server is reached.
    pub(super) fn new(server: SocketAddr, stop: Arc<AtomicBool>) -> Result<Self, Error> {
        let ip = local_ip(server)?;
        let socket = UdpSocket::bind(SocketAddr::new(ip, 0))?;
        let local = socket.local_addr()?;
        let mut rng = Rng::new(crate::seed()?);
        let sent_by = SentBy::new(Host::Ip(local.ip()), Some(local.port()));
        let transactions = Transactions::new(Config::default(), sent_by, &mut rng);
        let started = Instant::now();
        let events = VecDeque::new();
        Ok(Self { socket, local, server, transactions, rng, started, events, stop })
    }

    /// Where we are reached.
    pub(super) fn local(&self) -> SocketAddr {
        self.local
    }

    /// Whom we speak to.
    pub(super) fn server(&self) -> SocketAddr {
        self.server
    }

    /// Time since the start.
    pub(super) fn now(&self) -> Time {
        let nanos = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Time::from_nanos(nanos)
    }

    /// Whether the user wants an end.
    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Our Contact.
    pub(super) fn contact(&self, user: &str) -> NameAddr {
        NameAddr::new(Uri::sip(user, Host::Ip(self.local.ip()), Some(self.local.port())))
    }

    /// A request outside a dialog, numbered 1.
    pub(super) fn request(&mut self, method: Method, uri: Uri, from: &Uri, to: &Uri) -> Request {
        let tag = self.rng.token(12);
        let from = NameAddr::new(from.clone()).with_param("tag", Some(&tag));
        let mut request = Request::new(method.clone(), uri);
        let headers = &mut request.headers;
        headers.push(Name::MaxForwards, "70");
        headers.push(Name::From, from.to_string());
        headers.push(Name::To, NameAddr::new(to.clone()).to_string());
        headers.push(Name::CallId, self.rng.token(24));
        headers.push(Name::CSeq, format!("1 {method}"));
        headers.push(Name::Allow, ALLOW);
        headers.push(Name::UserAgent, concat!("Hookflash-UA/", env!("CARGO_PKG_VERSION")));
        request
    }

    fn target(&self) -> Target {
        // Always to the server that was named, as a phone with an outbound proxy does.
        let flow = Some(FlowId(0));
        Target { transport: Transport::Udp, addr: self.server, flow, tls_name: None }
    }

    /// Sends a request to the server in a transaction.
    pub(super) fn send(&mut self, request: Request) -> Result<TransactionId, Error> {
        let (now, target, mut out) = (self.now(), self.target(), Vec::new());
        let sent = self.transactions.request(now, request, target, &mut self.rng, &mut out);
        self.apply(out);
        sent.map_err(|full| Error::Failed(full.to_string()))
    }

    /// Sends the ACK of a 2xx.
    pub(super) fn send_ack(&mut self, ack: Request) {
        let (target, mut out) = (self.target(), Vec::new());
        self.transactions.send_ack(ack, target, &mut self.rng, &mut out);
        self.apply(out);
    }

    /// Gives an INVITE up.
    pub(super) fn cancel(&mut self, invite: TransactionId) {
        let (now, mut out) = (self.now(), Vec::new());
        self.transactions.cancel(now, invite, None, &mut out);
        self.apply(out);
    }

    /// Makes a server transaction; `None` when there are too many.
    pub(super) fn accept(&mut self, request: &Request, source: &Source) -> Option<TransactionId> {
        let (now, mut out) = (self.now(), Vec::new());
        let id = self.transactions.accept(now, request, source, &mut out);
        self.apply(out);
        id
    }

    /// Answers in a server transaction.
    pub(super) fn respond(&mut self, id: TransactionId, response: sip::message::Response) {
        let (now, mut out) = (self.now(), Vec::new());
        self.transactions.respond(now, id, response, &mut out);
        self.apply(out);
    }

    /// The next event, or `None` at `until`, or when the user wants an end.
    pub(super) fn next(&mut self, until: Time) -> Result<Option<Event>, Error> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            if self.now() >= until || self.is_stopped() {
                return Ok(None);
            }
            self.step(until)?;
        }
    }

    /// Waits for the final response to a request, even when the user wants an end.
    pub(super) fn finish(&mut self, id: TransactionId, most: Duration) -> Result<(), Error> {
        let until = self.now() + most;
        loop {
            while let Some(event) = self.events.pop_front() {
                match event {
                    Event::Response { transaction: Some(answered), response, .. }
                        if answered == id && !response.status.is_provisional() =>
                    {
                        return Ok(());
                    }
                    Event::TimedOut { transaction } | Event::TransportFailed { transaction }
                        if transaction == id =>
                    {
                        return Ok(());
                    }
                    Event::Send { .. }
                    | Event::Request { .. }
                    | Event::Cancelled { .. }
                    | Event::Response { .. }
                    | Event::TimedOut { .. }
                    | Event::TransportFailed { .. }
                    | Event::AckTimedOut { .. }
                    | Event::Acked { .. }
                    | Event::Ended { .. } => {}
                }
            }
            if self.now() >= until {
                return Ok(());
            }
            self.step(until)?;
        }
    }

    /// Receives at most one message and fires what is due.
    fn step(&mut self, until: Time) -> Result<(), Error> {
        let timer = self.transactions.next_timeout().unwrap_or(until);
        let wait = (timer.min(until) - self.now()).clamp(Duration::from_millis(1), NAP);
        self.receive(wait)?;
        let (now, mut out) = (self.now(), Vec::new());
        self.transactions.expire(now, &mut out);
        self.apply(out);
        Ok(())
    }

    fn receive(&mut self, wait: Duration) -> Result<(), Error> {
        self.socket.set_read_timeout(Some(wait))?;
        let mut buffer = vec![0; DATAGRAM_MAX];
        let (len, remote) = match self.socket.recv_from(&mut buffer) {
            Ok(received) => received,
            Err(error) => return tolerate(error),
        };
        buffer.truncate(len);
        // Keep-alives and what is no SIP are no business of ours.
        let Ok(message) = parse_datagram(Bytes::from(buffer)) else { return Ok(()) };
        if remote.ip() != self.server.ip() {
            return Ok(());
        }
        let source = Source {
            flow: FlowId(0),
            transport: Transport::Udp,
            remote,
            local: self.local,
            tls_names: Arc::from([]),
        };
        let (now, mut out) = (self.now(), Vec::new());
        self.transactions.receive(now, message, source, &mut out);
        self.apply(out);
        Ok(())
    }

    fn apply(&mut self, out: Vec<Event>) {
        for event in out {
            if let Event::Send { target, bytes, transaction } = event {
                // A port that is closed shows as an error of a later call; time-outs cover it.
                let lost = self.socket.send_to(&bytes, target.addr).is_err();
                if let Some(id) = transaction.filter(|_| lost) {
                    let (now, mut failed) = (self.now(), Vec::new());
                    self.transactions.send_failed(now, id, &mut failed);
                    let rest = failed.into_iter().filter(|e| !matches!(e, Event::Send { .. }));
                    self.events.extend(rest);
                }
            } else if self.events.len() < EVENTS_MAX {
                self.events.push_back(event);
            }
        }
    }
}

/// Time-outs are no errors, nor is a peer's closed port (ICMP): retransmission covers it.
fn tolerate(error: io::Error) -> Result<(), Error> {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, Interrupted, TimedOut, WouldBlock};
    let harmless = [ConnectionRefused, ConnectionReset, Interrupted, TimedOut, WouldBlock];
    if harmless.contains(&error.kind()) { Ok(()) } else { Err(error.into()) }
}

/// Our address on the way to `server`. Nothing is sent.
pub(super) fn local_ip(server: SocketAddr) -> Result<IpAddr, Error> {
    let any: SocketAddr =
        if server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(any)?;
    socket.connect(server)?;
    Ok(socket.local_addr()?.ip())
}

/// How long a live server may take to answer: one retransmission after T1 has its chance.
const PING_MAX: Duration = Duration::from_secs(2);

/// Asks a server by OPTIONS whether it is well: the status, and how long it took.
pub(crate) fn ping(server: SocketAddr) -> Result<(u16, Duration), Error> {
    let mut endpoint = Endpoint::new(server, Arc::default())?;
    let host = Uri { user: None, ..Uri::sip("", Host::Ip(server.ip()), Some(server.port())) };
    let us = Uri::sip("health", Host::Ip(endpoint.local().ip()), Some(endpoint.local().port()));
    let mut request = endpoint.request(Method::Options, host.clone(), &us, &host);
    request.headers.push(Name::Contact, endpoint.contact("health").to_string());
    request.headers.push(Name::Accept, "application/sdp");
    let sent = endpoint.now();
    let until = sent + PING_MAX;
    let id = endpoint.send(request)?;
    while let Some(event) = endpoint.next(until)? {
        if let Event::Response { transaction: Some(answered), response, .. } = event
            && answered == id
            && !response.status.is_provisional()
        {
            return Ok((response.status.code(), endpoint.now() - sent));
        }
    }
    Err(Error::Failed(format!("{server} does not answer")))
}
