//! Two user agents of transactions and dialogs, and a network that loses, repeats, reorders and
//! spoils what they say.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base::{Rng, Time};
use bytes::Bytes;
use sip::dialog::{Dialog, ReliableUac, ReliableUas, SessionTimer};
use sip::message::{Host, Method, Name, Request, Response, StatusCode, parse_datagram};
use sip::transaction::{Config, Event, SentBy, TransactionId, Transactions};
use sip::transport::{FlowId, Source, Target, Transport};

use crate::edit::edited;
use crate::reader::Reader;

const STEPS_MAX: usize = 300;
/// Datagrams on the way; more are lost.
const NETWORK_MAX: usize = 32;
/// Longest life of a transaction that its user has ended: 64 T1 twice and some.
const REST: Duration = Duration::from_secs(200);
const FLOW: FlowId = FlowId(1);

const METHODS: [Method; 6] =
    [Method::Invite, Method::Bye, Method::Options, Method::Update, Method::Prack, Method::Info];

const STATUSES: [u16; 9] = [100, 180, 183, 200, 202, 302, 422, 487, 500];

/// The bytes are steps of the agents and of the network.
pub fn dialogs(bytes: &[u8]) {
    let mut reader = Reader::new(bytes);
    let reliable = reader.one_in(4);
    let mut world = World {
        now: Time::ZERO,
        ends: [End::new(0, reliable), End::new(1, reliable)],
        network: Vec::new(),
    };
    for _ in 0..STEPS_MAX {
        if reader.is_empty() {
            break;
        }
        world.step(&mut reader);
    }
    world.finish();
}

struct World {
    now: Time,
    ends: [End; 2],
    /// To whom, and what.
    network: Vec<(usize, Vec<u8>)>,
}

/// One user agent.
struct End {
    number: usize,
    transport: Transport,
    layer: Transactions,
    rng: Rng,
    dialog: Option<Dialog>,
    timer: SessionTimer,
    ours: ReliableUas,
    theirs: ReliableUac,
    clients: BTreeMap<TransactionId, Client>,
    servers: BTreeMap<TransactionId, Request>,
    calls: u32,
    out: Vec<Event>,
}

/// What a client transaction has told.
struct Client {
    request: Request,
    is_final: bool,
}

fn address(end: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1 + end as u8], 5060))
}

impl World {
    fn step(&mut self, reader: &mut Reader<'_>) {
        let now = self.now;
        let from = reader.below(2);
        let end = &mut self.ends[from];
        match reader.below(16) {
            0 | 1 => end.request(now, reader),
            2..=4 => end.respond(now, reader),
            5..=8 => self.deliver(reader, true),
            9 => self.deliver(reader, false),
            10 => drop(self.take(reader)),
            11 => self.pass(Duration::from_millis(u64::from(reader.number()))),
            12 => end.cancel(now, reader),
            13 => end.fail(now, reader),
            14 => end.restore(),
            _ => {
                let raw = reader.some(255).to_vec();
                self.arrive(from, &raw);
            }
        }
        self.carry();
    }

    fn take(&mut self, reader: &mut Reader<'_>) -> Option<(usize, Vec<u8>)> {
        let len = self.network.len();
        (len > 0).then(|| self.network.remove(reader.below(len)))
    }

    fn deliver(&mut self, reader: &mut Reader<'_>, once: bool) {
        let Some((to, bytes)) = self.take(reader) else { return };
        let changed = edited(&bytes, reader);
        self.arrive(to, &changed);
        if !once {
            self.network.push((to, bytes));
        }
    }

    fn arrive(&mut self, to: usize, bytes: &[u8]) {
        let Ok(message) = parse_datagram(Bytes::copy_from_slice(bytes)) else { return };
        let end = &mut self.ends[to];
        let source = end.source();
        end.layer.receive(self.now, message, source, &mut end.out);
    }

    /// Gives what the layers say to their users, and what they send to the network.
    fn carry(&mut self) {
        for end in &mut self.ends {
            // Bounded: an event leads to fewer.
            while !end.out.is_empty() {
                for event in std::mem::take(&mut end.out) {
                    if let Some(sent) = end.event(self.now, event)
                        && self.network.len() < NETWORK_MAX
                    {
                        self.network.push((1 - end.number, sent));
                    }
                }
            }
        }
    }

    fn pass(&mut self, duration: Duration) {
        let until = self.now + duration;
        let next = |world: &Self| {
            let times = world.ends.iter().filter_map(|end| end.layer.next_timeout());
            times.min().filter(|next| *next <= until)
        };
        while let Some(at) = next(self) {
            self.now = self.now.max(at);
            for end in &mut self.ends {
                end.layer.expire(self.now, &mut end.out);
                assert!(end.layer.next_timeout().is_none_or(|next| next > self.now));
            }
            self.carry();
        }
        self.now = until;
    }

    /// The users end everything; time does the rest.
    fn finish(&mut self) {
        let now = self.now;
        for end in &mut self.ends {
            for (id, request) in end.servers.clone() {
                end.layer.respond(now, id, request.response(StatusCode(500)), &mut end.out);
            }
            for id in end.clients.keys() {
                end.layer.cancel(now, *id, None, &mut end.out);
            }
        }
        self.carry();
        self.network.clear();
        self.pass(REST);
        for end in &self.ends {
            assert!(end.layer.is_empty(), "{:?}", end.layer);
            assert!(end.clients.is_empty() && end.servers.is_empty(), "ended untold");
        }
    }
}

impl End {
    fn new(number: usize, reliable: bool) -> Self {
        let mut rng = Rng::from_u64(number as u64);
        let sent_by = SentBy::new(Host::Ip(address(number).ip()), Some(5060));
        Self {
            number,
            transport: if reliable { Transport::Tcp } else { Transport::Udp },
            layer: Transactions::new(Config::default(), sent_by, &mut rng),
            dialog: None,
            timer: SessionTimer::new(Duration::from_secs(1800), Duration::from_secs(90)),
            ours: ReliableUas::new(&mut rng),
            theirs: ReliableUac::default(),
            clients: BTreeMap::new(),
            servers: BTreeMap::new(),
            calls: 0,
            out: Vec::new(),
            rng,
        }
    }

    fn source(&self) -> Source {
        Source {
            flow: FLOW,
            transport: self.transport,
            remote: address(1 - self.number),
            local: address(self.number),
            tls_names: Arc::new([]),
        }
    }

    fn target(&self) -> Target {
        self.source().reply_target()
    }

    fn request(&mut self, now: Time, reader: &mut Reader<'_>) {
        let method = reader.pick(&METHODS).clone();
        let inside = self.dialog.as_mut().filter(|_| !reader.one_in(4));
        let mut request = match inside {
            Some(dialog) => dialog.request(method),
            None => outside(self.number, &mut self.calls, method),
        };
        self.timer.offer(&mut request.headers);
        let target = self.target();
        let id = self.layer.request(now, request.clone(), target, &mut self.rng, &mut self.out);
        self.clients.insert(id.expect("room"), Client { request, is_final: false });
    }

    fn respond(&mut self, now: Time, reader: &mut Reader<'_>) {
        let ids: Vec<_> = self.servers.keys().copied().collect();
        let Some(id) = reader.recent(&ids).copied() else { return };
        let request = self.servers[&id].clone();
        let status = StatusCode(*reader.pick(&STATUSES));
        let mut response = request.response(status);
        if status != StatusCode::TRYING {
            response.set_to_tag(&format!("e{}", self.number));
            response.headers.push(Name::Contact, format!("<sip:{}>", address(self.number)));
        }
        if status.is_success() {
            self.timer.answer(now, &request, &mut response);
        }
        if status.0 == 183 && request.method == Method::Invite {
            let t1 = Duration::from_millis(500);
            let Some(reliable) = self.ours.send(now, response, t1) else { return };
            response = reliable;
        }
        self.layer.respond(now, id, response, &mut self.out);
    }

    fn cancel(&mut self, now: Time, reader: &mut Reader<'_>) {
        let ids: Vec<_> = self.clients.keys().copied().collect();
        let Some(id) = reader.recent(&ids).copied() else { return };
        self.layer.cancel(now, id, Some("SIP;cause=200"), &mut self.out);
    }

    fn fail(&mut self, now: Time, reader: &mut Reader<'_>) {
        if reader.one_in(4) {
            return self.layer.flow_closed(now, FLOW, &mut self.out);
        }
        let ids: Vec<_> = self.clients.keys().chain(self.servers.keys()).copied().collect();
        let Some(id) = reader.recent(&ids).copied() else { return };
        self.layer.send_failed(now, id, &mut self.out);
    }

    fn restore(&mut self) {
        let saved = serde_json::to_string(&self.layer).expect("it can be saved");
        let restored: Transactions = serde_json::from_str(&saved).expect("and read");
        assert!(restored == self.layer, "the restored layer differs");
        self.layer = restored;
    }

    /// Acts on an event; what is to be sent.
    fn event(&mut self, now: Time, event: Event) -> Option<Vec<u8>> {
        match event {
            Event::Send { bytes, .. } => {
                // A peer's nonsense may come back to it; what is ours can be read.
                return Some(bytes.to_vec());
            }
            Event::Request { request, source } => self.requested(now, &request, &source),
            Event::Response { transaction, response, .. } => {
                self.responded(now, transaction, &response);
            }
            Event::TimedOut { transaction } | Event::TransportFailed { transaction } => {
                // A server transaction goes on.
                if let Some(client) = self.clients.get_mut(&transaction) {
                    assert!(!client.is_final, "{transaction} failed after its end");
                    client.is_final = true;
                }
            }
            Event::Cancelled { transaction } => {
                let request = self.servers.get(&transaction).expect("a CANCEL has its INVITE");
                assert_eq!(request.method, Method::Invite);
                let response = request.response(StatusCode(487)).with_to_tag("c");
                self.layer.respond(now, transaction, response, &mut self.out);
            }
            Event::Acked { transaction } | Event::AckTimedOut { transaction } => {
                assert!(self.servers.contains_key(&transaction), "{transaction} is over");
            }
            Event::Ended { transaction } => {
                let client = self.clients.remove(&transaction);
                assert!(client.as_ref().is_none_or(|client| client.is_final), "ended untold");
                let server = self.servers.remove(&transaction);
                assert!(client.is_some() != server.is_some(), "{transaction} ended twice");
            }
        }
        None
    }

    fn requested(&mut self, now: Time, request: &Request, source: &Source) {
        if let Some(dialog) = &mut self.dialog {
            let fits = dialog.matches(&request.headers);
            let checked = dialog.check_request(request);
            assert!(fits || checked.is_err());
            let counted = !matches!(request.method, Method::Ack | Method::Cancel);
            if checked.is_ok() && counted {
                assert!(dialog.check_request(request).is_err(), "believed twice: {request:?}");
                dialog.refresh_target(&request.headers);
            }
        } else if request.method == Method::Invite {
            self.dialog = Dialog::uas(request, &format!("e{}", self.number)).ok();
        }
        if request.method == Method::Ack {
            return;
        }
        if let Ok(rack) = request.rack() {
            self.ours.acknowledge(&rack);
        }
        if let Err(refusal) = self.timer.check_request(request) {
            return self.layer.reply_stateless(request, source, *refusal, &mut self.out);
        }
        if let Some(id) = self.layer.accept(now, request, source, &mut self.out) {
            self.servers.insert(id, request.clone());
        }
    }

    fn responded(&mut self, now: Time, id: Option<TransactionId>, response: &Response) {
        let _ = (self.theirs.receive(response), self.timer.too_small(response));
        let Some(id) = id else {
            assert!(response.status.is_success(), "a stray {response:?}");
            let _ = Dialog::stray(response).map(|dialog| dialog.ack(1));
            return;
        };
        let client = self.clients.get_mut(&id).expect("a response has its request");
        let invite = client.request.method == Method::Invite;
        if response.status.is_final() {
            // Forks of an INVITE may all succeed; nothing else ends twice.
            assert!(!client.is_final || invite && response.status.is_success(), "{response:?}");
            client.is_final = true;
        } else {
            assert!(!client.is_final, "{response:?} after the end");
        }
        if !invite {
            return;
        }
        if self.dialog.is_none() {
            self.dialog = Dialog::uac(&client.request, response).ok();
        }
        if response.status.is_success() {
            self.timer.accepted(now, response);
            let Some(dialog) = &mut self.dialog else { return };
            dialog.confirm_by(response);
            let ack = dialog.ack(client.request.cseq().map_or(1, |cseq| cseq.seq));
            let target = self.target();
            self.layer.send_ack(ack, target, &mut self.rng, &mut self.out);
        }
    }
}

fn outside(end: usize, calls: &mut u32, method: Method) -> Request {
    *calls += 1;
    let uri = format!("sip:x@{}", address(1 - end)).parse().expect("a URI");
    let cseq = format!("1 {method}");
    let mut request = Request::new(method, uri);
    for (name, value) in [
        (Name::From, format!("<sip:a@{}>;tag=e{end}", address(end))),
        (Name::To, format!("<sip:x@{}>", address(1 - end))),
        (Name::CallId, format!("call-{end}-{calls}")),
        (Name::CSeq, cseq),
        (Name::Contact, format!("<sip:{}>", address(end))),
        (Name::MaxForwards, "70".into()),
        (Name::Supported, "100rel, timer".into()),
    ] {
        request.headers.push(name, value);
    }
    request
}
