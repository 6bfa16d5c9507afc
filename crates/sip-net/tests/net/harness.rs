//! A server with a simple core, and what a test needs to talk to it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use b2bua::io::{Input, Output, QueryId};
use base::Time;
use bytes::Bytes;
use sip::message::{Message, Request, StatusCode};
use sip::transaction::TransactionId;
use sip::transport::{FlowId, Source, Target, Transport};
use sip_net::{Certificates, Core, Ended, ListenSpec, NetConfig, Stats, bind};
use tokio::sync::{mpsc as async_mpsc, oneshot};

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_millis(1_500);

/// What the core was given.
#[derive(Clone, Debug)]
pub(crate) enum Seen {
    Request(Source),
    Response(Source),
    Broken,
    FlowClosed(FlowId),
    SendFailed(u64),
    Tick,
}

/// Answers every request with 200 and every broken one as its error says.
///
/// BYE: the connection is closed after the answer. INFO: a panic. MESSAGE: [`FLOOD`] answers.
/// SUBSCRIBE: the answer comes 30 ms later, on a tick.
pub(crate) struct TestCore {
    seen: mpsc::Sender<Seen>,
    later: Option<(Time, Target, Bytes)>,
}

/// Answers to MESSAGE, of 32 KiB each.
pub(crate) const FLOOD: usize = 64;

impl TestCore {
    fn request(&mut self, now: Time, source: &Source, request: &Request, out: &mut Vec<Output>) {
        let target = source.reply_target();
        let mut send = |bytes| {
            out.push(Output::Send { target: target.clone(), bytes, transaction: None });
        };
        let ok = request.response(StatusCode::OK);
        match request.method.as_str() {
            "INFO" => panic!("asked to"),
            "SUBSCRIBE" => {
                self.later = Some((now + Duration::from_millis(30), target, ok.to_bytes()));
            }
            "MESSAGE" => {
                let large = ok.with_body("text/plain", vec![b'x'; 32 * 1024]).to_bytes();
                (0..FLOOD).for_each(|_| send(large.clone()));
            }
            "BYE" => {
                send(ok.to_bytes());
                out.push(Output::CloseFlow(source.flow));
            }
            _ => send(ok.to_bytes()),
        }
    }
}

impl Core for TestCore {
    fn handle(&mut self, now: Time, input: Input, out: &mut Vec<Output>) {
        let seen = match input {
            Input::Sip { source, message: Ok(Message::Request(request)), .. } => {
                self.request(now, &source, &request, out);
                Seen::Request(source)
            }
            Input::Sip { source, message: Ok(Message::Response(_)), .. } => Seen::Response(source),
            Input::Sip { source, message: Err(error), .. } => {
                if let Some(response) = error.response() {
                    let (target, bytes) = (source.reply_target(), response.to_bytes());
                    out.push(Output::Send { target, bytes, transaction: None });
                }
                Seen::Broken
            }
            Input::FlowClosed(flow) => Seen::FlowClosed(flow),
            Input::SendFailed(transaction) => Seen::SendFailed(transaction.0),
            // A test says so to have something sent.
            Input::Resolved { query, targets } => {
                for target in targets {
                    let bytes = options("out").into();
                    let transaction = Some(TransactionId(query.0));
                    out.push(Output::Send { target, bytes, transaction });
                }
                return;
            }
            Input::Tick => {
                let (_, target, bytes) = self.later.take().unwrap();
                out.push(Output::Send { target, bytes, transaction: None });
                Seen::Tick
            }
            Input::Drain { .. } => return out.push(Output::Drained),
            Input::GiveUp
            | Input::ShortOfMemory(_)
            | Input::NoiseRemoval { .. }
            | Input::Media(_)
            | Input::Command { .. }
            | Input::Restore { .. } => return,
        };
        let _ = self.seen.send(seen);
    }

    fn next_timeout(&self) -> Option<Time> {
        self.later.as_ref().map(|(at, ..)| *at)
    }
}

/// A running server.
pub(crate) struct Server {
    pub(crate) addrs: Vec<SocketAddr>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) certificates: Certificates,
    seen: mpsc::Receiver<Seen>,
    inputs: async_mpsc::Sender<Input>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Ended>>,
}

impl Server {
    /// Listens without TLS.
    pub(crate) fn plain(transport: Transport, address: &str) -> Self {
        let listen = vec![ListenSpec::plain(transport, address.parse().unwrap())];
        Self::start(NetConfig { listen, ..NetConfig::default() })
    }

    pub(crate) fn start(config: NetConfig) -> Self {
        let bound = bind(config).unwrap();
        let addrs = bound.local_addrs().iter().map(|(_, address)| *address).collect();
        let (stats, certificates) = (bound.stats(), bound.certificates());
        let (seen_sender, seen) = mpsc::channel();
        let (inputs, input_receiver) = async_mpsc::channel(64);
        let (stop, stopped) = oneshot::channel();
        let core = TestCore { seen: seen_sender, later: None };
        let run = move || {
            bound.run(core, Box::new(|_| None), input_receiver, stopped).map(|(_, ended)| ended)
        };
        let thread = std::thread::spawn(move || run().unwrap());
        Self { addrs, stats, certificates, seen, inputs, stop: Some(stop), thread: Some(thread) }
    }

    /// The next thing the core was given.
    pub(crate) fn seen(&self) -> Seen {
        self.seen.recv_timeout(PATIENCE).expect("the core was given nothing")
    }

    /// Whether the core was given nothing more.
    pub(crate) fn idle(&self) -> bool {
        self.seen.recv_timeout(Duration::from_millis(100)).is_err()
    }

    pub(crate) fn input(&self, input: Input) {
        self.inputs.blocking_send(input).unwrap();
    }

    /// Has the core send an OPTIONS.
    pub(crate) fn send(&self, transaction: u64, target: Target) {
        self.input(Input::Resolved { query: QueryId(transaction), targets: vec![target] });
    }

    /// Waits for the end.
    pub(crate) fn join(&mut self) -> Ended {
        self.thread.take().unwrap().join().unwrap()
    }

    /// The stats once `done` holds.
    pub(crate) fn stats_when(
        &self,
        done: impl Fn(&sip_net::Snapshot) -> bool,
    ) -> sip_net::Snapshot {
        for _ in 0..150 {
            let stats = self.stats.snapshot();
            if done(&stats) {
                return stats;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{:?}", self.stats.snapshot());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

pub(crate) fn request(method: &str, call_id: &str) -> String {
    let cookie = "z9hG4bK";
    format!(
        "{method} sip:us@127.0.0.1 SIP/2.0\r\n\
         Via: SIP/2.0/UDP 127.0.0.1:5060;branch={cookie}{call_id};rport\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:test@127.0.0.1>;tag=1\r\n\
         To: <sip:us@127.0.0.1>\r\n\
         Call-ID: {call_id}\r\n\
         CSeq: 1 {method}\r\n\
         Contact: <sip:test@127.0.0.1>\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

pub(crate) fn options(call_id: &str) -> String {
    request("OPTIONS", call_id)
}

/// Where to send without a flow.
pub(crate) fn target(transport: Transport, addr: SocketAddr) -> Target {
    Target { transport, addr, flow: None, tls_name: None }
}

/// A TCP client that reads with patience.
pub(crate) fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Reads until `count` messages without bodies are there.
pub(crate) fn read_messages(stream: &mut impl Read, count: usize) -> String {
    let mut text = Vec::new();
    let mut room = [0; 4096];
    while text.windows(4).filter(|end| end == b"\r\n\r\n").count() < count {
        let read = stream.read(&mut room).expect("no answer");
        assert_ne!(read, 0, "closed after {:?}", String::from_utf8_lossy(&text));
        text.extend_from_slice(&room[..read]);
    }
    String::from_utf8(text).unwrap()
}

/// Whether the peer closes within patience; what it still sent is dropped.
pub(crate) fn closes(stream: &mut impl Read) -> bool {
    let mut room = [0; 4096];
    for _ in 0..10_000 {
        match stream.read(&mut room) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
    false
}

/// One OPTIONS and its answer.
pub(crate) fn ping(stream: &mut (impl Read + Write), call_id: &str) {
    stream.write_all(options(call_id).as_bytes()).unwrap();
    let answer = read_messages(stream, 1);
    assert!(answer.starts_with("SIP/2.0 200") && answer.contains(call_id), "{answer}");
}
