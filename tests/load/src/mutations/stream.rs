//! Mutated byte streams, a connection of their own each, and mutated WebSocket frames.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use base::Rng;
use fuzz::mutation::Mutator;
use fuzz::websocket::{GREETING, frame};
use fuzz::{framing, websocket};
use socket2::{Domain, Socket, Type};

use super::{Played, seeds};

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// SIP.
    Tcp,
    /// SIP in frames.
    WebSocket,
}

/// Connections at once.
const THREADS: u64 = 4;
/// Whole frames of one WebSocket before the one that is mutated as a frame.
const FRAMES: u64 = 15;
/// How long the server may take to close when we have hung up.
const PATIENCE: Duration = Duration::from_secs(10);

/// Plays so many cases.
///
/// # Errors
/// When a socket fails.
pub(super) fn run(server: SocketAddr, kind: Kind, seed: u64, cases: u64) -> io::Result<Played> {
    let transport = if kind == Kind::Tcp { "TCP" } else { "WS" };
    let messages = seeds::messages(server, transport)?;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let share = cases / THREADS + u64::from(thread < cases % THREADS);
                let mut row = Row::new(messages.clone(), seed, thread);
                scope.spawn(move || row.play(server, kind, share))
            })
            .collect();
        let mut total = Played::default();
        for thread in threads {
            let done = thread.join().map_err(|_| io::Error::other("a generator panicked"))??;
            total.add(&done);
        }
        Ok(total)
    })
}

/// One thread's row of cases.
struct Row {
    messages: Mutator,
    frames: Mutator,
    greetings: Mutator,
    rng: Rng,
    /// Messages made so far, and those of the rows before.
    count: u64,
}

impl Row {
    fn new(messages: Vec<Vec<u8>>, seed: u64, thread: u64) -> Self {
        let seed = seed ^ (thread + 1) << 32;
        let masked = |text: &Vec<u8>| frame(0x81, [0; 4], text);
        let frames = messages.iter().map(masked).collect();
        Self {
            messages: Mutator::new(messages, seed),
            frames: Mutator::new(frames, seed ^ 1),
            greetings: Mutator::new(vec![GREETING.to_vec()], seed ^ 2),
            rng: Rng::from_u64(seed ^ 3),
            count: thread << 32,
        }
    }

    fn play(&mut self, server: SocketAddr, kind: Kind, cases: u64) -> io::Result<Played> {
        let mut played = Played::default();
        while played.cases < cases {
            // Many addresses: one of them has too few ports for so many connections.
            let from = Ipv4Addr::new(127, 0, 2, 1 + self.rng.below(250) as u8);
            let (len, bytes) = match kind {
                Kind::Tcp => (1, self.message()),
                Kind::WebSocket => self.websocket(cases - played.cases),
            };
            played.answers += u64::from(exchange(connect(from, server)?, &bytes)?);
            played.cases += len;
            let (messages, is_broken) = told(kind, &bytes);
            played.messages += messages;
            played.broken += u64::from(is_broken);
        }
        Ok(played)
    }

    fn message(&mut self) -> Vec<u8> {
        self.count += 1;
        seeds::fresh(&self.messages.next_input(), self.count)
    }

    /// A connection's bytes, and how many cases they are.
    fn websocket(&mut self, cases_max: u64) -> (u64, Vec<u8>) {
        if self.rng.below(16) == 0 {
            return (1, self.greetings.next_input());
        }
        let mut bytes = GREETING.to_vec();
        let whole = FRAMES.min(cases_max - 1);
        for _ in 0..whole {
            let text = self.message();
            // Text that is none would end the connection.
            let first = if std::str::from_utf8(&text).is_ok() { 0x81 } else { 0x82 };
            let mask = self.rng.next_u32().to_be_bytes();
            bytes.extend(frame(first, mask, &text));
        }
        bytes.extend(self.frames.next_input());
        (whole + 1, bytes)
    }
}

/// Messages that a connection finds in what it is sent, and whether it closes for a fault of SIP.
fn told(kind: Kind, bytes: &[u8]) -> (u64, bool) {
    match (kind, greeting_of(bytes)) {
        (Kind::Tcp, _) => {
            let (messages, is_broken) = framing::told_in(bytes);
            (messages as u64, is_broken)
        }
        (Kind::WebSocket, (GREETING, frames)) => (websocket::told_in(frames) as u64, false),
        (Kind::WebSocket, _) => (0, false),
    }
}

fn connect(from: Ipv4Addr, server: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    socket.connect(&server.into())?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Says it, hangs up and waits until the server does too; whether it said anything.
fn exchange(mut stream: TcpStream, bytes: &[u8]) -> io::Result<bool> {
    // The server may have had enough already.
    if stream.write_all(greeting_of(bytes).0).is_err() {
        return Ok(false);
    }
    let (greeting, rest) = greeting_of(bytes);
    let mut buffer = [0; 16 * 1024];
    let mut answered = false;
    if !greeting.is_empty() && !rest.is_empty() {
        // What comes with the greeting, in one read, is refused.
        answered = matches!(stream.read(&mut buffer), Ok(1..));
    }
    let _ = stream.write_all(rest);
    let _ = stream.shutdown(Shutdown::Write);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(answered),
            Ok(_) => answered = true,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(answered),
            Err(error) => return Err(error),
        }
    }
}

/// The good greeting, if it begins with one, and the rest.
fn greeting_of(bytes: &[u8]) -> (&[u8], &[u8]) {
    bytes.split_at(if bytes.starts_with(GREETING) { GREETING.len() } else { 0 })
}
