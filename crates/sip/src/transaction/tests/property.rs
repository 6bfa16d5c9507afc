//! Whatever comes in whatever order: nothing leaks, and a restored layer goes on alike.

use proptest::prelude::*;

use super::*;

/// One thing that happens, chosen by `pick` among what there is.
#[derive(Clone, Copy, Debug)]
enum Op {
    Request { invite: bool, reliable: bool },
    Answer { pick: usize, status: u16 },
    Cancel { pick: usize },
    Receive { call: u8, method: u8, branch: u8, reliable: bool, to_tag: bool },
    Respond { pick: usize, status: u16 },
    SendFailed { pick: usize },
    FlowClosed,
    Pass { millis: u64 },
}

fn op() -> impl Strategy<Value = Op> {
    let status = || prop::sample::select(vec![100, 180, 200, 302, 487]);
    let pick = || 0..8usize;
    prop_oneof![
        3 => (any::<bool>(), any::<bool>())
            .prop_map(|(invite, reliable)| Op::Request { invite, reliable }),
        4 => (pick(), status()).prop_map(|(pick, status)| Op::Answer { pick, status }),
        2 => pick().prop_map(|pick| Op::Cancel { pick }),
        5 => (0..3u8, 0..5u8, 0..3u8, any::<bool>(), any::<bool>()).prop_map(
            |(call, method, branch, reliable, to_tag)| {
                Op::Receive { call, method, branch, reliable, to_tag }
            }
        ),
        4 => (pick(), status()).prop_map(|(pick, status)| Op::Respond { pick, status }),
        1 => pick().prop_map(|pick| Op::SendFailed { pick }),
        1 => Just(Op::FlowClosed),
        4 => (0..40_000u64).prop_map(|millis| Op::Pass { millis }),
    ]
}

/// The layer with a user and peers that keep what they saw.
#[derive(Clone, Debug, PartialEq)]
struct World {
    bench: Bench,
    /// Requests the layer sent.
    sent: Vec<Request>,
    clients: Vec<TransactionId>,
    servers: Vec<(TransactionId, Request)>,
}

fn transport(reliable: bool) -> Transport {
    if reliable { Transport::Tcp } else { Transport::Udp }
}

fn picked<T: Clone>(from: &[T], pick: usize) -> Option<T> {
    from.get(from.len().checked_sub(1 + pick)?).cloned()
}

impl World {
    fn new() -> Self {
        Self { bench: Bench::new(), sent: vec![], clients: vec![], servers: vec![] }
    }

    /// Does one thing; what the layer said.
    fn step(&mut self, op: Op) -> Vec<Event> {
        match op {
            Op::Request { invite, reliable } => {
                let method = if invite { "INVITE" } else { "OPTIONS" };
                let id = self.bench.request(ours(method), target(transport(reliable)));
                self.clients.push(id);
            }
            Op::Answer { pick, status } => {
                if let Some(request) = picked(&self.sent, pick) {
                    self.bench.receive(answer(&request, status), &source(Transport::Udp));
                }
            }
            Op::Cancel { pick } => {
                picked(&self.clients, pick).into_iter().for_each(|id| self.bench.cancel(id));
            }
            Op::Receive { call, method, branch, reliable, to_tag } => {
                let text = incoming(call, method, branch, to_tag);
                self.bench.receive(request(&text), &source(transport(reliable)));
            }
            Op::Respond { pick, status } => {
                if let Some((id, request)) = picked(&self.servers, pick) {
                    self.bench.respond(id, answer(&request, status));
                }
            }
            Op::SendFailed { pick } => {
                let servers = self.servers.iter().map(|(id, _)| *id);
                let ids: Vec<_> = self.clients.iter().copied().chain(servers).collect();
                picked(&ids, pick).into_iter().for_each(|id| self.bench.send_failed(id));
            }
            Op::FlowClosed => {
                self.bench.act(|layer, now, out| layer.flow_closed(now, FLOW, out));
            }
            Op::Pass { millis } => self.bench.pass(Duration::from_millis(millis)),
        }
        let said = self.bench.said();
        self.react(&said);
        said
    }

    /// The user accepts everything, and the peer keeps what was sent.
    fn react(&mut self, said: &[Event]) {
        for event in said {
            match event {
                Event::Send { bytes, .. } => {
                    if let Message::Request(request) = parse_datagram(bytes.clone()).unwrap()
                        && request.method != Method::Ack
                    {
                        self.sent.push(request);
                    }
                }
                Event::Request { request, source } => {
                    let id = self.bench.layer.accept_quietly(request, source);
                    self.servers.extend(id.map(|id| (id, request.clone())));
                }
                _ => {}
            }
        }
    }

    /// The user answers and gives up everything, then time passes.
    fn finish(&mut self) {
        for (id, request) in self.servers.clone() {
            self.bench.respond(id, answer(&request, 500));
        }
        for id in self.clients.clone() {
            self.bench.cancel(id);
        }
        self.bench.pass(Duration::from_secs(65));
    }
}

fn incoming(call: u8, method: u8, branch: u8, to_tag: bool) -> String {
    let method = ["INVITE", "ACK", "CANCEL", "BYE", "OPTIONS"][usize::from(method)];
    let branch = ["", ";branch=z9hG4bKa", ";branch=z9hG4bKb"][usize::from(branch)];
    let to_tag = if to_tag { ";tag=theirs" } else { "" };
    format!(
        "{method} sip:100@192.0.2.1 SIP/2.0
Via: SIP/2.0/UDP 198.51.100.7:5060{branch}
From: <sip:bob@198.51.100.7>;tag=theirs
To: <sip:100@192.0.2.1>{to_tag}
Call-ID: call-{call}
CSeq: 3 {method}"
    )
}

fn restored(layer: &Transactions) -> Transactions {
    serde_json::from_str(&serde_json::to_string(layer).unwrap()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn nothing_outlives_its_time(ops in prop::collection::vec(op(), 1..60)) {
        let mut world = World::new();
        for op in ops {
            world.step(op);
        }
        world.finish();
        prop_assert!(world.bench.layer.is_empty(), "{:?}", world.bench.layer);
        prop_assert_eq!(world.bench.layer.next_timeout(), None);
        // Nor do the indexes: a layer without transactions is one that restores to the same.
        prop_assert_eq!(&restored(&world.bench.layer), &world.bench.layer);
    }

    #[test]
    fn a_restored_layer_goes_on_alike(
        before in prop::collection::vec(op(), 1..40),
        after in prop::collection::vec(op(), 1..20),
    ) {
        let mut world = World::new();
        for op in before {
            world.step(op);
        }
        let mut other = world.clone();
        other.bench.layer = restored(&world.bench.layer);
        prop_assert_eq!(&other, &world);
        for op in after {
            prop_assert_eq!(other.step(op), world.step(op));
        }
        world.finish();
        other.finish();
        prop_assert_eq!(&other, &world);
    }
}
