//! Mutated messages against a running server, beside questions that it has to answer (ATTACKS 3).

mod counters;
mod seeds;
mod stream;
mod udp;
mod watch;

use std::error::Error;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::server::Server;
use counters::{Counters, Over};
use watch::Watch;

pub use stream::Kind;

/// How many cases of each kind, and their seed.
#[derive(Clone, Copy, Debug)]
pub struct Cases {
    /// Every row of inputs follows from it.
    pub seed: u64,
    /// Datagrams.
    pub udp: u64,
    /// Messages over TCP, a connection each, and frames over WebSocket, some to a connection.
    pub stream: u64,
}

/// The most that the server's memory may have grown, kB.
const GROWTH_MAX_KB: u64 = 16 * 1024;

/// How long a call lives whose caller says nothing more: 64·T1 for its ACK, as long for the answer
/// to our BYE, and some.
const REST: Duration = Duration::from_secs(70);

/// What was played of one kind.
#[derive(Clone, Copy, Debug, Default)]
struct Played {
    cases: u64,
    /// Datagrams that came back, or connections that brought an answer.
    answers: u64,
    /// Messages that the server must have read: datagrams, or what there is in the streams by a
    /// reading of our own.
    messages: u64,
    /// Streams that it must have closed for what was in them.
    broken: u64,
}

impl Played {
    fn add(&mut self, other: &Self) {
        self.cases += other.cases;
        self.answers += other.answers;
        self.messages += other.messages;
        self.broken += other.broken;
    }
}

/// What one kind of cases did.
#[derive(Debug)]
pub struct Row {
    what: &'static str,
    played: Played,
    took: Duration,
    pings: watch::Pings,
    grown_kb: u64,
    peak_kb: u64,
}

impl Row {
    /// The row as one of the table [`run`] prints.
    pub fn cells(&self) -> String {
        let Self { what, played, took, pings, grown_kb, peak_kb } = self;
        let Played { cases, answers, messages, broken } = played;
        let speed = *cases as f64 / took.as_secs_f64();
        format!(
            "| {what} | {cases} | {messages}, {broken} | {answers} | {:.1} s | {speed:.0} | {} | {} | {:.1} / {:.1} ms | +{grown_kb}, at most +{peak_kb} kB |",
            took.as_secs_f64(),
            pings.sent,
            pings.lost,
            pings.at(0.99),
            pings.at(1.0),
        )
    }
}

/// Heading of the table.
pub const HEADING: &str = "\
| over | cases | messages, faults of streams: read by the server, to the last | answers | time | cases/s | pings | lost | ping p99 / longest | memory |
|---|---|---|---|---|---|---|---|---|---|";

/// Plays all cases; `each` gets a row as it is done, the last one is what is left 70 s after.
///
/// # Errors
/// When a socket fails, the server has ended, it has panicked, it has not read all there was to
/// read, or its memory has grown too much.
pub fn run(
    server: &mut Server,
    api: SocketAddr,
    cases: Cases,
    mut each: impl FnMut(&Row),
) -> Result<(), Box<dyn Error>> {
    let mut watched = Watched { before: server.resident_kb()?, server, api };
    let there = watched.server.address;
    let ws = SocketAddr::new(there.ip(), there.port() + 1);
    let Cases { seed, udp, stream } = cases;
    each(&watched.measured("UDP", Over::Datagrams, || udp::run(there, seed, udp))?);
    each(&watched.measured("TCP", Over::Streams, || stream::run(there, Kind::Tcp, seed, stream))?);
    each(
        &watched.measured("WebSocket", Over::Streams, || {
            stream::run(ws, Kind::WebSocket, seed, stream)
        })?,
    );
    let idle = watched.measured("(70 s later)", Over::Nothing, || {
        std::thread::sleep(REST);
        Ok(Played::default())
    })?;
    each(&idle);
    match idle.grown_kb {
        0..GROWTH_MAX_KB => Ok(()),
        grown => Err(format!("the server has grown by {grown} kB").into()),
    }
}

/// The server that the cases are played to.
struct Watched<'a> {
    server: &'a mut Server,
    api: SocketAddr,
    /// Its resident memory before, kB.
    before: u64,
}

impl Watched<'_> {
    /// One kind of cases; `play` says what it played.
    fn measured(
        &mut self,
        what: &'static str,
        over: Over,
        play: impl FnOnce() -> std::io::Result<Played>,
    ) -> Result<Row, Box<dyn Error>> {
        let counted = Counters::of(self.api)?;
        let watch = Watch::start(self.server.address)?;
        let begun = Instant::now();
        let played = play()?;
        let took = begun.elapsed();
        let pings = watch.stop();
        if !self.server.is_alive()? {
            return Err(format!("{what}: the server has ended:\n{}", self.server.log()?).into());
        }
        if let Some(line) = self.server.log()?.lines().find(|line| line.contains("panic")) {
            return Err(format!("{what}: {line}").into());
        }
        let read = Counters::of(self.api)?.show(&counted, over, &played);
        read.map_err(|unread| format!("{what}: {unread}"))?;
        let grown_kb = self.server.resident_kb()?.saturating_sub(self.before);
        let peak_kb = self.server.peak_kb()?.saturating_sub(self.before);
        Ok(Row { what, played, took, pings, grown_kb, peak_kb })
    }
}
