//! ATTACKS 6: connections that say nothing, or never come to an end.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use interop::client::Client;
use interop::{Server, Setup, eventually};
use socket2::{Domain, Socket, Type};

use super::{descriptors, percentile};

/// What they say at first: nothing, one byte, half a message, keep-alives only, and a message that
/// goes on by a byte a second.
const HALVES: [&str; 5] =
    ["", "O", "OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/TCP", "\r\n\r\n", "OPTIONS sip:"];
/// Index of the last one.
const DRIPPING: usize = 4;
const DRIP: Duration = Duration::from_secs(1);
/// Longest that any of them may be open.
const OPEN_MAX: Duration = Duration::from_secs(32);
const PATIENCE: Duration = Duration::from_secs(60);
/// An honest client comes this often.
const PACE: Duration = Duration::from_millis(50);

/// What became of it.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Connections tried.
    pub tried: usize,
    /// Most that were open at a time.
    pub held: usize,
    /// The longest that one was open.
    pub longest: Duration,
    /// Connections that were still open in the end.
    pub left: usize,
    /// Questions of honest clients over connections of their own, and over UDP.
    pub asked: usize,
    /// Questions without an answer.
    pub lost: usize,
    /// How long answers took at the 99th percentile, milliseconds.
    pub p99_ms: f64,
    /// Descriptors of the server before, at most, and afterwards.
    pub descriptors: [usize; 3],
}

struct Slow {
    stream: TcpStream,
    kind: usize,
    opened: Instant,
    dripped: Instant,
}

impl Slow {
    fn open(from: Ipv4Addr, to: SocketAddr, kind: usize) -> Option<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).ok()?;
        socket.bind(&SocketAddr::from((from, 0)).into()).ok()?;
        socket.connect_timeout(&to.into(), Duration::from_secs(5)).ok()?;
        let mut stream = TcpStream::from(socket);
        stream.set_nonblocking(true).ok()?;
        let _ = stream.write_all(HALVES[kind].as_bytes());
        let opened = Instant::now();
        Some(Self { stream, kind, opened, dripped: opened })
    }

    /// Whether the server has not closed it by now.
    fn is_open(&mut self) -> bool {
        if self.kind == DRIPPING && self.dripped.elapsed() >= DRIP {
            self.dripped = Instant::now();
            let _ = self.stream.write_all(b"x");
        }
        match self.stream.read(&mut [0; 64]) {
            Ok(len) => len > 0,
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        }
    }
}

/// `each` connections from each of `addresses` addresses, as fast as they come, until the last is
/// closed; the time-outs are those of the default configuration.
pub fn run(addresses: u8, each: usize) -> Outcome {
    let server = Server::start(&Setup { log: "warn", ..Setup::default() });
    std::thread::sleep(Duration::from_secs(2));
    let before = descriptors(server.pid());
    let mut outcome = Outcome { descriptors: [before; 3], ..Outcome::default() };
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let honest = scope.spawn(|| ask(&server, &done));
        hold(&server, addresses, each, &mut outcome);
        done.store(true, Ordering::Relaxed);
        let (mut times, lost) = honest.join().expect("it ends");
        outcome.asked = times.len() + lost;
        outcome.lost = lost;
        outcome.p99_ms = percentile(&mut times, 0.99);
    });
    eventually(Duration::from_secs(5), || (descriptors(server.pid()) <= before).then_some(()));
    outcome.descriptors[2] = descriptors(server.pid());
    server.stop();
    outcome
}

fn hold(server: &Server, addresses: u8, each: usize, outcome: &mut Outcome) {
    let mut open: Vec<Slow> = Vec::new();
    let look = |open: &mut Vec<Slow>, outcome: &mut Outcome| {
        open.retain_mut(|slow| {
            let stays = slow.is_open();
            if !stays {
                outcome.longest = outcome.longest.max(slow.opened.elapsed());
            }
            stays
        });
        outcome.held = outcome.held.max(open.len());
        outcome.descriptors[1] = outcome.descriptors[1].max(descriptors(server.pid()));
    };
    for at in 0..each {
        for address in 0..addresses {
            let from = Ipv4Addr::new(127, 0, 2, address + 1);
            outcome.tried += 1;
            open.extend(Slow::open(from, server.sip(), at % HALVES.len()));
        }
        look(&mut open, outcome);
    }
    let began = Instant::now();
    while !open.is_empty() && began.elapsed() < PATIENCE {
        look(&mut open, outcome);
        std::thread::sleep(Duration::from_millis(20));
    }
    outcome.left = open.len();
}

/// Whether every one was closed in time.
pub fn is_in_time(outcome: &Outcome) -> bool {
    outcome.left == 0 && outcome.longest <= OPEN_MAX
}

/// An honest client: a connection of its own for each question, and a datagram.
fn ask(server: &Server, done: &AtomicBool) -> (Vec<Duration>, usize) {
    let datagrams = Client::at([127, 0, 0, 77], server.sip());
    let (mut times, mut lost) = (Vec::new(), 0);
    while !done.load(Ordering::Relaxed) {
        let asked = Instant::now();
        let by_connection = Client::tcp(server.sip());
        for client in [&by_connection, &datagrams] {
            let asked = if std::ptr::eq(client, &datagrams) { Instant::now() } else { asked };
            client.send(&client.request("OPTIONS", "ping"));
            match client.receive_within(Duration::from_secs(1)) {
                Some(answer) if answer.status() == 200 => times.push(asked.elapsed()),
                Some(_) | None => lost += 1,
            }
        }
        std::thread::sleep(PACE);
    }
    (times, lost)
}
