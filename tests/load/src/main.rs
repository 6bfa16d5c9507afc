//! `load`: what the server costs, measured from outside.
//!
//! `load calls RATE SECONDS [HOLD_MS]` · `load steps` · `load sipp` (the same with SIPp at both ends) ·
//! `load limits` (twice what a limit allows) · `load registers [PHONES]` ·
//! `load memory` · `load endurance [CALLS]` · `load start` · `load flood` · `load bench` (all of
//! them, as the tables of tests/load/README.md) · `load run` (a short run of calls) ·
//! `load mutations [SEED [DATAGRAMS [STREAMED]]]` · `load strays [PER_SECOND]` ·
//! `load connections [ADDRESSES [EACH]]` · `load guesses` · `load api` · `load heard [ROUNDS]` (from
//! a verb to its audio) · `load cycles [CALLS [CLIENTS [ROUNDS]]]` (calls through hold, consult, merge) ·
//! `load bare` (what a datagram costs here, whoever takes it).
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::error::Error;
use std::net::{TcpListener, UdpSocket};
use std::time::Duration;

use load::attacks::{connections, guesses, strays};
use load::bare;
use load::control::{cycles, latency};
use load::mutations::{self, Cases};
use load::server::{Limits, Plan, Server};
use load::sip::calls::{Agent, CallLoad, CallOutcome};
use load::sip::{calls, flood, register, sipp};
use load::talks;
use load::web;

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: u32| {
        arguments.get(at).and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    match arguments.first().map(String::as_str) {
        Some("calls") => {
            table_of_calls();
            measure_calls(number(1, 200), number(2, 10), number(3, 1000))
        }
        Some("run") => {
            table_of_calls();
            measure_calls(200, 5, 1000)
        }
        Some("bare") => bare_datagrams(),
        Some(bare::HOST) => bare::host(),
        Some("steps") => steps(),
        Some("sipp") => by_sipp(),
        Some("limits") => limits(),
        Some("registers") => registers(number(1, 10_000)),
        Some("memory") => memory(),
        Some("endurance") => endurance(number(1, 200_000)),
        Some("start") => start(),
        Some("flood") => floods(arguments.get(1).map(String::as_str)),
        Some("strays") => stray(number(1, 20_000)),
        Some("connections") => hold(number(1, 40), number(2, 500)),
        Some("guesses") => guess(),
        Some("talks") => talk(number(1, 10)),
        Some("api") => verbs(),
        Some("heard") => heard(number(1, 60)),
        Some("cycles") => cycle(number(1, 1000), number(2, 16), number(3, 3)),
        Some("mutations") => mutate(Cases {
            seed: number(1, 1).into(),
            udp: number(2, 1_000_000).into(),
            stream: number(3, 100_000).into(),
        }),
        Some("bench") => {
            bare_datagrams()?;
            steps()?;
            by_sipp()?;
            limits()?;
            registers(10_000)?;
            memory()?;
            start()?;
            floods(None)?;
            talk(10)?;
            verbs()?;
            heard(60)?;
            cycle(1000, 16, 3)?;
            endurance(200_000)
        }
        _ => Err("load bare|calls|run|steps|sipp|limits|registers|memory|endurance|start|flood|mutations|strays|\
                 connections|guesses|talks|api|heard|cycles|bench"
            .into()),
    }
}

/// How long a server that has just started is left alone at least, and how often it is looked at then
/// until it rests, at most.
const SETTLES_IN: Duration = Duration::from_secs(3);
const LOOKS_MAX: usize = 120;

fn server(extensions: u32) -> Result<Server, Box<dyn Error>> {
    started(plan(extensions)?)
}

fn started(plan: Plan) -> Result<Server, Box<dyn Error>> {
    let server = Server::start(plan)?;
    // It encodes its sounds in the background after the first answer: that is no cost of a call.
    std::thread::sleep(SETTLES_IN);
    for _ in 0..LOOKS_MAX {
        let before = server.cpu()?;
        std::thread::sleep(Duration::from_millis(500));
        if server.cpu()? - before < 0.005 {
            break;
        }
    }
    Ok(server)
}

fn plan(extensions: u32) -> Result<Plan, Box<dyn Error>> {
    // Below the RTP range; whoever is first on a port keeps it.
    let is_free = |port: u16| {
        let tcp = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
        UdpSocket::bind(("127.0.0.1", port)).is_ok() && (port..port + 3).all(tcp)
    };
    let port = (6000..9000).find(|&port| is_free(port)).ok_or("no free port")?;
    Ok(Plan {
        port,
        extensions,
        limits: Limits::NONE,
        trunk_limits: Limits::NONE,
        for_mutations: false,
        api: None,
        entry_points: 1,
    })
}

/// The machine itself, to read the rest by.
fn bare_datagrams() -> Outcome {
    println!("\n## A datagram in and out, and nothing else\n");
    println!("| per second | sent | returned | CPU each |\n|---|---|---|---|");
    for per_second in [500, 1_000, 4_000, 10_000, 20_000, 40_000] {
        let outcome = bare::run(per_second, 5)?;
        println!(
            "| {per_second} | {} | {} | {:.1} µs |",
            outcome.sent, outcome.returned, outcome.cpu_us
        );
    }
    Ok(())
}

fn table_of_calls() {
    println!("| calls/s | held | completed | failed | CPU per call | set-up p50 / p99 |");
    println!("|---|---|---|---|---|---|");
}

/// Set-up and tear-down, without audio.
fn measure_calls(rate: u32, seconds: u32, hold_ms: u32) -> Outcome {
    let server = server(1)?;
    let agent = Agent::start()?;
    register::run(server.address, 1, 0, agent.address)?;
    let before = server.cpu()?;
    let outcome = calls::run(CallLoad {
        server: server.address,
        rate,
        duration: Duration::from_secs(seconds.into()),
        hold: Duration::from_millis(hold_ms.into()),
        entry_points: 1,
    })?;
    let cpu = server.cpu()? - before;
    println!("| {rate} | {} | {} |", outcome.peak, row(&outcome, cpu));
    complain(&outcome);
    Ok(())
}

/// Of what the calls died that did.
fn complain(outcome: &CallOutcome) {
    for (reason, count) in &outcome.reasons {
        eprintln!("{count} calls: {reason}");
    }
}

fn row(outcome: &CallOutcome, cpu: f64) -> String {
    format!(
        "{} | {} | {:.0} µs | {:.1} / {:.1} ms",
        outcome.completed,
        outcome.failed + outcome.turned_away,
        cpu * 1e6 / outcome.begun as f64,
        outcome.setup(0.5),
        outcome.setup(0.99)
    )
}

fn steps() -> Outcome {
    println!("\n## Calls, without audio\n");
    table_of_calls();
    for rate in [50, 200, 600, 1200, 2000, 2500] {
        measure_calls(rate, 10, 1000)?;
    }
    Ok(())
}

/// SIPp at both ends, on the same cores.
fn by_sipp() -> Outcome {
    println!("\n## Calls by SIPp\n");
    println!("| calls/s | calls | failed | repeated | CPU per call | mean set-up |");
    println!("|---|---|---|---|---|---|");
    for rate in [1200, 2000, 2500] {
        let server = server(1)?;
        let before = server.cpu()?;
        let outcome = sipp::run(&server, rate, rate * 8)?;
        let cpu = server.cpu()? - before;
        println!(
            "| {rate} | {} | {} | {} | {:.0} µs | {} ms |",
            outcome.calls,
            outcome.failed,
            outcome.repeated,
            cpu * 1e6 / f64::from(rate * 8),
            outcome.setup_ms
        );
    }
    Ok(())
}

/// Calls per second, and at once, for which a limit is set in [`limits`].
const LIMIT: u32 = 1000;

/// Twice what a limit allows is offered, for ten seconds.
fn limits() -> Outcome {
    println!("\n## Offered twice the limit\n");
    println!(
        "| limit | offered | served | of the limit | 503 with Retry-After | otherwise | \
         refusal p50 / p99 | set-up p50 / p99 | CPU per offered call |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let none = Limits::NONE;
    let rate = Limits { calls_per_second_max: LIMIT, ..none };
    let at_once = Limits { calls_max: LIMIT, ..none };
    for (what, limits, trunk_limits) in [
        ("1,000/s, server", rate, none),
        ("1,000/s, trunk", none, rate),
        ("1,000 at once, server", at_once, none),
        ("1,000 at once, trunk", none, at_once),
    ] {
        let server = started(Plan { limits, trunk_limits, ..plan(1)? })?;
        let agent = Agent::start()?;
        register::run(server.address, 1, 0, agent.address)?;
        let before = server.cpu()?;
        let seconds = 10;
        let outcome = calls::run(CallLoad {
            server: server.address,
            rate: 2 * LIMIT,
            duration: Duration::from_secs(seconds),
            // A call takes one second of a limit of calls at once.
            hold: Duration::from_secs(1),
            entry_points: 1,
        })?;
        let cpu = server.cpu()? - before;
        let allowed = f64::from(LIMIT) * seconds as f64;
        println!(
            "| {what} | {} | {} | {:.1} % | {} | {} | {:.1} / {:.1} ms | {:.1} / {:.1} ms | {:.0} µs |",
            outcome.begun,
            outcome.completed,
            100.0 * outcome.completed as f64 / allowed,
            outcome.turned_away,
            outcome.failed,
            outcome.refusal(0.5),
            outcome.refusal(0.99),
            outcome.setup(0.5),
            outcome.setup(0.99),
            cpu * 1e6 / outcome.begun as f64
        );
        complain(&outcome);
    }
    Ok(())
}

fn registers(phones: u32) -> Outcome {
    println!("\n## REGISTER with digest (401 + 200)\n");
    println!("| phones | per second | registered | CPU each |\n|---|---|---|---|");
    for rate in [500, 4000, 0] {
        let server = server(phones)?;
        let agent = Agent::start()?;
        let before = server.cpu()?;
        let begun = std::time::Instant::now();
        let done = register::run(server.address, phones.min(5_000), rate, agent.address)?;
        let speed = f64::from(done) / begun.elapsed().as_secs_f64();
        let cpu = server.cpu()? - before;
        println!("| {phones} | {speed:.0} | {done} | {:.1} µs |", cpu * 1e6 / f64::from(done));
    }
    Ok(())
}

fn memory() -> Outcome {
    println!("\n## Memory\n");
    println!("| what | resident | each |\n|---|---|---|");
    let server = server(10_000)?;
    let agent = Agent::start()?;
    let idle = server.resident_kb()?;
    println!("| idle, 10,000 extensions configured | {idle} kB | |");
    register::run(server.address, 10_000, 0, agent.address)?;
    std::thread::sleep(Duration::from_secs(34)); // the REGISTER transactions are forgotten
    let registered = server.resident_kb()?;
    let each = (registered.saturating_sub(idle)) as f64 / 10_000.0;
    println!("| 10,000 phones registered | {registered} kB | {each:.1} kB |");
    let mut held = 0;
    let holding = std::thread::scope(|scope| {
        let load = CallLoad {
            server: server.address,
            rate: 200,
            duration: Duration::from_secs(10),
            hold: Duration::from_secs(45),
            entry_points: 1,
        };
        let calls = scope.spawn(move || calls::run(load));
        std::thread::sleep(Duration::from_secs(44)); // INVITE transactions are gone, calls are up
        held = server.resident_kb().unwrap_or(0);
        calls.join()
    });
    let peak = holding.map_err(|_| "the generator failed")??.peak;
    let each = held.saturating_sub(registered) as f64 / peak as f64;
    println!("| {peak} calls held | {held} kB | {each:.1} kB |");
    Ok(())
}

/// Memory after many calls must be what it was.
fn endurance(calls: u32) -> Outcome {
    println!("\n## Endurance\n");
    println!("| calls made | failed | resident | CPU per call |\n|---|---|---|---|");
    let server = server(1)?;
    let agent = Agent::start()?;
    register::run(server.address, 1, 0, agent.address)?;
    let (mut made, mut failed) = (0, 0);
    while made < u64::from(calls) {
        let before = server.cpu()?;
        let outcome = calls::run(CallLoad {
            server: server.address,
            rate: 1000,
            duration: Duration::from_secs(25),
            hold: Duration::from_millis(100),
            entry_points: 1,
        })?;
        let cpu = server.cpu()? - before;
        made += outcome.begun;
        failed += outcome.failed + outcome.turned_away;
        let each = cpu * 1e6 / outcome.begun as f64;
        println!("| {made} | {failed} | {} kB | {each:.0} µs |", server.resident_kb()?);
        complain(&outcome);
    }
    std::thread::sleep(Duration::from_secs(36));
    println!("| 36 s after the last | | {} kB | |", server.resident_kb()?);
    Ok(())
}

/// From the start of the process to its first answer, with 10,000 registrations stored.
fn start() -> Outcome {
    println!("\n## Start\n");
    println!("| registrations stored | first answer |\n|---|---|");
    let server = server(10_000)?;
    let agent = Agent::start()?;
    let (server, empty) = server.restart()?;
    println!("| 0 | {:.0} ms |", empty.as_secs_f64() * 1000.0);
    register::run(server.address, 10_000, 0, agent.address)?;
    std::thread::sleep(Duration::from_secs(2)); // written behind
    let (mut server, mut took) = server.restart()?;
    println!("| 10,000 | {:.0} ms |", took.as_secs_f64() * 1000.0);
    for _ in 0..2 {
        (server, took) = server.restart()?;
        println!("| 10,000 | {:.0} ms |", took.as_secs_f64() * 1000.0);
    }
    Ok(())
}

/// Broken messages over every transport.
fn mutate(cases: Cases) -> Outcome {
    println!("\n## Mutated messages, seed {}\n\n{}", cases.seed, mutations::HEADING);
    let plan = plan(5)?;
    // Above the port of WebSocket.
    let api = std::net::SocketAddr::from(([127, 0, 0, 1], plan.port + 2));
    let mut server = started(Plan { for_mutations: true, api: Some(api), ..plan })?;
    let agent = Agent::start()?;
    register::run(server.address, 1, 0, agent.address)?;
    // What a server needs that works is not growth.
    let (duration, hold) = (Duration::from_secs(3), Duration::from_millis(200));
    calls::run(CallLoad { server: server.address, rate: 50, duration, hold, entry_points: 1 })?;
    mutations::run(&mut server, api, cases, |row| println!("{}", row.cells()))?;
    println!("\n{} calls came of it.", server.records()?);
    Ok(())
}

/// Strangers' audio and reports.
/// Calls with audio: the relay's figures, but of the server as a whole.
fn talk(seconds: u32) -> Outcome {
    println!("\n## Calls with audio\n");
    println!("| calls | noise removal | CPU per call, % of a core | lost | delay p50 / p99 |");
    println!("|---|---|---|---|---|");
    for (calls, removes_noise) in [(50, false), (200, false), (400, false), (100, true)] {
        let talked = talks::run(calls, seconds, removes_noise)?;
        let audio = talked.audio;
        let heard = match removes_noise {
            true => "| |".to_owned(),
            false => format!(
                "{} of {} | {:.3} / {:.3} ms |",
                audio.sent.saturating_sub(audio.received() as u64),
                audio.sent,
                audio.delay_ms(50.0),
                audio.delay_ms(99.0)
            ),
        };
        let (each, removal) =
            (100.0 * talked.cpu / f64::from(calls), if removes_noise { "on" } else { "off" });
        println!("| {calls} | {removal} | {each:.4} | {heard}");
    }
    Ok(())
}

fn stray(per_second: u32) -> Outcome {
    println!("\n## Strangers' RTP and RTCP\n");
    println!("| where | strays/s | calls | two-way | packets lost | injected | bled | CPU |");
    println!("|---|---|---|---|---|---|---|---|");
    let rows: [(&str, &dyn Fn() -> strays::Outcome); 2] = [
        ("at ten calls", &|| strays::on_calls(10, per_second, 10)),
        ("at every port, during set-ups", &|| strays::in_the_race(50, per_second)),
    ];
    for (name, run) in rows {
        let outcome = run();
        println!(
            "| {name} | {:.0} | {} | {} | {} of {} ({:.2} %) | {} | {} | {:.1} % |",
            outcome.strays as f64 / outcome.time.as_secs_f64(),
            outcome.calls,
            outcome.two_way,
            outcome.sent - outcome.arrived,
            outcome.sent,
            outcome.loss(),
            outcome.injected,
            outcome.bled,
            100.0 * outcome.cpu / outcome.time.as_secs_f64(),
        );
    }
    Ok(())
}

/// Connections that never come to a point.
fn hold(addresses: u32, each: u32) -> Outcome {
    println!("\n## Silent and partial connections\n");
    let outcome = connections::run(u8::try_from(addresses)?, each as usize);
    println!("| tried | held | longest | in time | honest lost | p99 | descriptors |");
    println!("|---|---|---|---|---|---|---|");
    println!(
        "| {} from {addresses} addresses | {} | {:.1} s | {} | {} of {} | {:.1} ms | {:?} |",
        outcome.tried,
        outcome.held,
        outcome.longest.as_secs_f64(),
        connections::is_in_time(&outcome),
        outcome.lost,
        outcome.asked,
        outcome.p99_ms,
        outcome.descriptors
    );
    Ok(())
}

/// Passwords tried, by one address at all extensions and by many at one.
fn guess() -> Outcome {
    println!("\n## Guessing for 30 s\n");
    println!("| addresses | tried | answered to one | let in | real user failed | p99 |");
    println!("|---|---|---|---|---|---|");
    for outcome in [guesses::run(1), guesses::run(200)] {
        println!(
            "| {} | {} | {} | {} of {} | {} of {} | {:.1} ms |",
            outcome.addresses,
            outcome.tried,
            outcome.answered,
            outcome.let_in[0],
            outcome.let_in[1],
            outcome.registered[1],
            outcome.registered[0],
            outcome.p99_ms
        );
    }
    Ok(())
}

/// Strangers' requests beside honest calls.
fn floods(only: Option<&str>) -> Outcome {
    println!("\n## Floods, beside 20 calls/s of a customer\n");
    println!(
        "| flood | per second | sources | calls failed | set-up p99 | CPU per request | memory |"
    );
    println!("|---|---|---|---|---|---|---|");
    use flood::Kind;
    let rates = [(10_000, 1), (10_000, 200), (30_000, 200)];
    let strangers = [Kind::Invite, Kind::Register, Kind::Options, Kind::Garbage];
    let others = [Kind::Guess, Kind::Repeated, Kind::Bye, Kind::Cancel, Kind::Ack, Kind::Response];
    let rows = strangers.map(|kind| (kind, &rates[..])).into_iter();
    let rows =
        rows.chain(others.map(|kind| (kind, &rates[1..2]))).chain([(Kind::Mixed, &rates[..])]);
    let rows: Vec<_> =
        rows.filter(|(kind, _)| only.is_none_or(|only| only == format!("{kind:?}"))).collect();
    for (kind, rates) in rows {
        for &(rate, sources) in rates {
            let server = server(1)?;
            let agent = Agent::start()?;
            register::run(server.address, 1, 0, agent.address)?;
            let (cpu, memory) = (server.cpu()?, server.resident_kb()?);
            let address = server.address;
            let duration = Duration::from_secs(8);
            let (calls, sent) = std::thread::scope(|scope| {
                let load = CallLoad {
                    server: address,
                    rate: 20,
                    duration,
                    hold: Duration::from_millis(200),
                    entry_points: 1,
                };
                let calls = scope.spawn(move || calls::run(load));
                let sent = flood::run(address, kind, rate, sources, duration);
                (calls.join(), sent)
            });
            let (calls, sent) = (calls.map_err(|_| "the generator failed")??, sent?);
            let cpu = (server.cpu()? - cpu) * 1e6 / sent as f64;
            let grown = server.resident_kb()?.saturating_sub(memory);
            println!(
                "| {kind:?} | {} | {sources} | {} of {} | {:.1} ms | {cpu:.1} µs | +{grown} kB |",
                sent / 8,
                calls.failed + calls.turned_away,
                calls.begun,
                calls.setup(0.99)
            );
        }
    }
    Ok(())
}

/// Round trips of the API while one call is up.
fn verbs() -> Outcome {
    println!("\n## Verbs of the API\n");
    println!("| verb | clients | per second | p50 / p99 | CPU each | failed |");
    println!("|---|---|---|---|---|---|");
    let plan = plan(1)?;
    let api = std::net::SocketAddr::from(([127, 0, 0, 1], plan.port + 2));
    let server = started(Plan { api: Some(api), ..plan })?;
    let agent = Agent::start()?;
    register::run(server.address, 1, 0, agent.address)?;
    let address = server.address;
    let call = std::thread::spawn(move || {
        let (duration, hold) = (Duration::from_secs(1), Duration::from_secs(40));
        let load = CallLoad { server: address, rate: 5, duration, hold, entry_points: 1 };
        calls::run(load).map_err(|e| e.to_string())
    });
    let (interaction, participant) = web::interaction(api)?;
    for clients in [1, 8, 32] {
        for is_read in [true, false] {
            let before = server.cpu()?;
            let lasts = Duration::from_secs(5);
            let (name, outcome) = match is_read {
                true => ("GET interaction", web::reads(api, &interaction, clients, lasts)?),
                false => {
                    ("PUT noise-suppression", web::switches(api, &participant, clients, lasts)?)
                }
            };
            let (cpu, count) = (server.cpu()? - before, outcome.took.len() as f64);
            println!(
                "| {name} | {clients} | {:.0} | {:.2} / {:.2} ms | {:.0} µs | {} |",
                count / outcome.elapsed,
                outcome.quantile(0.5),
                outcome.quantile(0.99),
                cpu * 1e6 / count,
                outcome.failed
            );
        }
    }
    drop(server);
    // Its server has gone: what became of the call is no figure.
    let _ = call.join();
    Ok(())
}

/// From a verb to the audio that it changes.
fn heard(rounds: u32) -> Outcome {
    println!("\n## From a verb of the API to what is heard\n");
    println!("| verb | times | p50 / p99 / longest | failed |\n|---|---|---|---|");
    for row in latency::run(rounds) {
        let [p50, p99, longest] = [0.5, 0.99, 1.0].map(|share| row.quantile(share));
        let times = row.took_ms.len();
        let (verb, failed) = (row.verb, row.failed);
        println!("| {verb} | {times} | {p50:.1} / {p99:.1} / {longest:.1} ms | {failed} |");
    }
    Ok(())
}

/// Calls at once, each through hold, consult, toggle and merge.
fn cycle(calls: u32, clients: u32, rounds: u32) -> Outcome {
    println!("\n## Calls at once, each through hold, consult, toggle, merge\n");
    println!("| calls | cycles each | verbs | per second | p50 / p99 | CPU a verb | failed |");
    println!("|---|---|---|---|---|---|---|");
    let plan = plan(2 * calls)?;
    let api = std::net::SocketAddr::from(([127, 0, 0, 1], plan.port + 2));
    let server = started(Plan { api: Some(api), entry_points: calls, ..plan })?;
    let agent = Agent::start()?;
    register::run(server.address, 2 * calls, 0, agent.address)?;
    // Where the phones' audio goes: into buffers that nobody reads.
    let _sinks = [UdpSocket::bind("127.0.0.1:60000")?, UdpSocket::bind("127.0.0.1:60002")?];
    let load = CallLoad {
        server: server.address,
        rate: 100,
        // As many as `calls`, and not one more.
        duration: Duration::from_millis(u64::from(calls) * 10 + 9),
        hold: Duration::from_secs(3600),
        entry_points: calls,
    };
    let callers = std::thread::spawn(move || calls::run(load).map_err(|error| error.to_string()));
    let up = cycles::interactions(api, calls)?;
    let before = server.cpu()?;
    let outcome = cycles::run(api, &up, clients as usize, rounds)?;
    let (cpu, verbs) = (server.cpu()? - before, outcome.took.len() as f64);
    println!(
        "| {calls} | {rounds} | {verbs} | {:.0} | {:.2} / {:.2} ms | {:.0} µs | {} |",
        verbs / outcome.elapsed,
        outcome.quantile(0.5),
        outcome.quantile(0.99),
        cpu * 1e6 / verbs,
        outcome.failures.len()
    );
    for failure in outcome.failures.iter().take(20) {
        eprintln!("{failure}");
    }
    cycles::end(api, &up)?;
    let ended = callers.join().map_err(|_| "the generator failed")??;
    eprintln!(
        "{} conferences, {} of {} calls ended well",
        outcome.merged, ended.completed, ended.begun
    );
    complain(&ended);
    Ok(())
}
