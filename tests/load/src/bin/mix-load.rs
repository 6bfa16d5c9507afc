//! Conference load: CPU per participant, added delay and late ticks of the media engine alone.
//!
//! `mix-load [--conferences 1,10] [--parties 8] [--talkers 1] [--codec pcmu] [--seconds 20]
//! [--workers 1] [--host PATH]` starts `mix_host` of media-net in a process of its own for each
//! number of conferences and prints one table row each. With `--parties 2 --codec pcmu+pcma` it
//! measures calls that are transcoded. With one talker, the delay of its voice to all others is
//! taken from before the sending system call to the kernel's time of arrival. Beside the latest tick
//! of all there is what the machine itself was late by in the same time: the lateness of threads that
//! only wait for a 2 ms timer, one on each processor and above all others, and what the hypervisor
//! took away; and the latest tick of those seconds in which no such timer was late by a millisecond.
//! `--conferences 14 --codec opus --talkers 8 --seconds 60` loads a worker to some 80 %.

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use load::conference::{Outcome, Phones, Shape};
use load::machine::{Watch, cpu_seconds};
use load::rtp::resident_kb;

/// Below the ephemeral ports, and away from `rtp-load`.
const FIRST_PORT: u16 = 24_000;
const FIRST_PEER: u16 = 28_000;
/// What a word about late ticks is about, and some ticks before it.
const TOLD_NANOS: u64 = 1_200_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse()?;
    let mut out = std::io::stdout();
    writeln!(
        out,
        "| conferences × parties | codec | talkers | CPU per participant, % of a core | delay p50, ms | p99 | lost packets | resident, MB | load of the worker | latest tick | of seconds without a stall | bare timer: latest, p99.9, p99 | stolen |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|---|---|---|---|---|---|")?;
    for &conferences in &options.conferences {
        let shape = Shape { conferences, ..options.shape.clone() };
        writeln!(out, "{}", measure(&options, shape)?)?;
    }
    Ok(())
}

struct Options {
    conferences: Vec<u16>,
    shape: Shape,
    codec: String,
    seconds: u32,
    workers: u16,
    host: PathBuf,
}

impl Options {
    fn parse() -> Result<Self, Box<dyn Error>> {
        let host = std::env::current_exe()?.with_file_name("examples").join("mix_host");
        let shape = Shape { conferences: 1, parties: 8, talkers: 1, codecs: vec![] };
        let mut options = Self {
            conferences: vec![1, 10],
            shape,
            codec: "pcmu".to_owned(),
            seconds: 20,
            workers: 1,
            host,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or("an option without a value")?;
            match &*name {
                "--conferences" => {
                    options.conferences =
                        value.split(',').map(str::parse).collect::<Result<_, _>>()?;
                }
                "--parties" => options.shape.parties = value.parse()?,
                "--talkers" => options.shape.talkers = value.parse()?,
                "--codec" => options.codec = value,
                "--seconds" => options.seconds = value.parse()?,
                "--workers" => options.workers = value.parse()?,
                "--host" => options.host = value.into(),
                _ => return Err(format!("unknown option {name}").into()),
            }
        }
        options.shape.codecs = options.codec.split('+').map(str::to_owned).collect();
        Ok(options)
    }
}

fn measure(options: &Options, shape: Shape) -> Result<String, Box<dyn Error>> {
    let mut host = Host::start(options, &shape)?;
    let participants = shape.conferences * shape.parties;
    let mut phones = Phones::new(shape.clone(), FIRST_PORT, FIRST_PEER)?;
    let watch = Watch::start()?;
    phones.run(3)?; // latches settle, caches warm up; how late that makes ticks counts
    let before = cpu_seconds(host.0.id())?;
    let outcome = phones.run(options.seconds)?;
    let cpu = cpu_seconds(host.0.id())? - before;
    let resident = resident_kb(host.0.id())? as f64 / 1024.0;
    let machine = watch.stop()?;
    let late = Late::parse(&host.stop()?);
    let own = late.iter().filter(|late| !late.is_machines(&machine.stood_still));
    let stalled = late.len() - own.clone().count();
    let seconds = format!("{}; {stalled} of {} with one", latest_ms(own), late.len());
    let load = cpu / f64::from(options.seconds) / f64::from(options.workers) * 100.0;
    let percent = load * f64::from(options.workers) / f64::from(participants);
    let Outcome { packets: (sent, received), .. } = outcome;
    let delay = |share| match outcome.delay_ms(share) {
        Some(delay) if shape.talkers <= 1 => format!("{delay:.2}"),
        Some(_) | None => "–".to_owned(),
    };
    Ok(format!(
        "| {} × {} | {} | {} | {percent:.4} | {} | {} | {} | {resident:.1} | {load:.0} % | {} | {seconds} | {:.2}, {:.2}, {:.2} ms | {} ms |",
        shape.conferences,
        shape.parties,
        options.codec,
        shape.talkers,
        delay(50.0),
        delay(99.0),
        sent.saturating_sub(received),
        latest_ms(&late),
        machine.latest_ms,
        machine.p999_ms,
        machine.p99_ms,
        machine.stolen_ms,
    ))
}

/// What the host tells of late ticks: how late the latest was of the second before, and when it said so.
struct Late {
    at: u64,
    micros: u64,
}

impl Late {
    fn parse(told: &str) -> Vec<Self> {
        let late = told.lines().filter_map(|line| {
            let (at, micros) = line.strip_prefix("late ")?.split_once(' ')?;
            Some(Self { at: at.parse().ok()?, micros: micros.parse().ok()? })
        });
        late.collect()
    }

    /// Whether a processor stood still in its second, or just before it.
    fn is_machines(&self, stood_still: &[u64]) -> bool {
        stood_still.iter().any(|at| (self.at.saturating_sub(TOLD_NANOS)..=self.at).contains(at))
    }
}

fn latest_ms<'a>(late: impl IntoIterator<Item = &'a Late>) -> String {
    let latest = late.into_iter().map(|late| late.micros).max().unwrap_or(0);
    format!("{:.2} ms", latest as f64 / 1000.0)
}

/// The process under test.
struct Host(Child);

impl Host {
    fn start(options: &Options, shape: &Shape) -> Result<Self, Box<dyn Error>> {
        let numbers = [shape.conferences, shape.parties, FIRST_PORT, FIRST_PEER, options.workers];
        let mut child = Command::new(&options.host)
            .args(numbers.map(|number| number.to_string()))
            .arg(&options.codec)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error}", options.host.display()))?;
        let mut line = String::new();
        let output = child.stdout.as_mut().ok_or("no output")?;
        BufReader::with_capacity(16, output).read_line(&mut line)?;
        let host = Self(child);
        if line.trim() == "ready" { Ok(host) } else { Err("the host did not start".into()) }
    }

    /// Ends it; what it said last.
    fn stop(&mut self) -> Result<String, Box<dyn Error>> {
        drop(self.0.stdin.take());
        let mut told = String::new();
        self.0.stdout.take().ok_or("no output")?.read_to_string(&mut told)?;
        self.0.wait()?;
        Ok(told.trim().to_owned())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
