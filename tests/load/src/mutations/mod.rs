//! Mutated messages against a running server, beside questions that it has to answer (ATTACKS 3).

mod seeds;
mod stream;
mod udp;
mod watch;

use std::error::Error;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::server::Server;
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

/// What one kind of cases did.
#[derive(Debug)]
pub struct Row {
    what: &'static str,
    cases: u64,
    answers: u64,
    took: Duration,
    pings: watch::Pings,
    grown_kb: u64,
    peak_kb: u64,
}

impl Row {
    /// The row as one of the table [`run`] prints.
    pub fn cells(&self) -> String {
        let Self { what, cases, answers, took, pings, grown_kb, peak_kb } = self;
        let speed = *cases as f64 / took.as_secs_f64();
        format!(
            "| {what} | {cases} | {answers} | {:.1} s | {speed:.0} | {} | {} | {:.1} / {:.1} ms | +{grown_kb}, at most +{peak_kb} kB |",
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
| over | cases | answers | time | cases/s | pings | lost | ping p99 / longest | memory |
|---|---|---|---|---|---|---|---|---|";

/// Plays all cases; `each` gets a row as it is done, the last one is what is left 70 s after.
///
/// # Errors
/// When a socket fails, the server has ended, it has panicked, or its memory has grown too much.
pub fn run(
    server: &mut Server,
    cases: Cases,
    mut each: impl FnMut(&Row),
) -> Result<(), Box<dyn Error>> {
    let before = server.resident_kb()?;
    let there = server.address;
    let ws = SocketAddr::new(there.ip(), there.port() + 1);
    let Cases { seed, udp, stream } = cases;
    each(&measured(server, "UDP", before, || udp::run(there, seed, udp))?);
    each(&measured(server, "TCP", before, || stream::run(there, Kind::Tcp, seed, stream))?);
    each(&measured(server, "WebSocket", before, || {
        stream::run(ws, Kind::WebSocket, seed, stream)
    })?);
    let idle = measured(server, "(70 s later)", before, || {
        std::thread::sleep(REST);
        Ok((0, 0))
    })?;
    each(&idle);
    match idle.grown_kb {
        0..GROWTH_MAX_KB => Ok(()),
        grown => Err(format!("the server has grown by {grown} kB").into()),
    }
}

/// One kind of cases, watched; `play` says how many it played and how many answers there were.
fn measured(
    server: &mut Server,
    what: &'static str,
    before: u64,
    play: impl FnOnce() -> std::io::Result<(u64, u64)>,
) -> Result<Row, Box<dyn Error>> {
    let watch = Watch::start(server.address)?;
    let begun = Instant::now();
    let (cases, answers) = play()?;
    let took = begun.elapsed();
    let pings = watch.stop();
    if !server.is_alive()? {
        return Err(format!("{what}: the server has ended:\n{}", server.log()?).into());
    }
    if let Some(line) = server.log()?.lines().find(|line| line.contains("panic")) {
        return Err(format!("{what}: {line}").into());
    }
    let grown_kb = server.resident_kb()?.saturating_sub(before);
    let peak_kb = server.peak_kb()?.saturating_sub(before);
    Ok(Row { what, cases, answers, took, pings, grown_kb, peak_kb })
}
