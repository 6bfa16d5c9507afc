//! Relay load: CPU per call, loss and added delay of the media engine alone.
//!
//! `rtp-load [--mode relay] [--calls 50,200,400] [--seconds 20] [--workers 1] [--strays 0]
//! [--host PATH]` starts
//! `relay_host` of media-net in a process of its own for each number of calls, sends 20 ms G.711
//! packets in both directions of every call, evenly spread, and prints one table row each. Delay is
//! taken from before the sending system call to the kernel's time of arrival at the other phone. What
//! the host does with the packets is its `--mode`: see there; an algorithm's own delay inside the sound
//! is not seen, and phones that are to be protected protect and open their packets. With `--mode rtpengine`, Debian's rtpengine relays instead, in user space.

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use load::machine::cpu_seconds;
use load::rival::Rtpengine;
use load::rtp::{Load, Outcome, resident_kb};

/// Below the ephemeral ports, and away from what servers usually take.
const FIRST_PORT: u16 = 23_000;
const FIRST_PEER: u16 = 27_000;

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse()?;
    let mut out = std::io::stdout();
    writeln!(
        out,
        "| calls | CPU per call, % of a core | µs per packet | loss | delay p50, ms | p90 | p99 | p99.9 | memory per call, kB |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|---|---|")?;
    for &calls in &options.calls {
        let row = match &*options.mode {
            "rtpengine" => measure_rival(&options, calls)?,
            _ => measure(&options, calls)?,
        };
        writeln!(out, "{row}")?;
    }
    Ok(())
}

struct Options {
    calls: Vec<u16>,
    seconds: u32,
    workers: u16,
    /// Packets a second from a stranger.
    strays: u32,
    mode: String,
    host: PathBuf,
}

impl Options {
    fn parse() -> Result<Self, Box<dyn Error>> {
        let beside = std::env::current_exe()?.with_file_name("examples").join("relay_host");
        let mut options = Self {
            calls: vec![50, 200, 400],
            seconds: 20,
            workers: 1,
            strays: 0,
            mode: "relay".to_owned(),
            host: beside,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or("an option without a value")?;
            match &*name {
                "--calls" => {
                    options.calls = value.split(',').map(str::parse).collect::<Result<_, _>>()?;
                }
                "--seconds" => options.seconds = value.parse()?,
                "--workers" => options.workers = value.parse()?,
                "--strays" => options.strays = value.parse()?,
                "--mode" => options.mode = value,
                "--host" => options.host = value.into(),
                _ => return Err(format!("unknown option {name}").into()),
            }
        }
        Ok(options)
    }
}

fn measure(options: &Options, calls: u16) -> Result<String, Box<dyn Error>> {
    let mut host = Host::start(options, calls)?;
    let idle = resident_kb(host.0.id())?;
    let mut load = Load::new(calls, FIRST_PORT, FIRST_PEER)?;
    match &*options.mode {
        "relay" | "record" => {}
        "srtp" => load.protect([true; 2]),
        "srtp-one" => load.protect([false, true]),
        "denoise" => load.by_sequence(["pcmu"; 2])?,
        "transcode" => load.by_sequence(["pcmu", "g722"])?,
        "transcode-pcma" => load.by_sequence(["pcmu", "pcma"])?,
        "transcode-opus" => load.by_sequence(["pcmu", "opus"])?,
        mode => return Err(format!("unknown mode {mode}").into()),
    }
    load.run(2, 0)?; // latches settle, caches warm up
    let before = cpu_seconds(host.0.id())?;
    let outcome = load.run(options.seconds, options.strays)?;
    let cpu = cpu_seconds(host.0.id())? - before;
    let memory = resident_kb(host.0.id())?.saturating_sub(idle) / u64::from(calls);
    host.stop()?;
    Ok(format!("{} {memory} |", row(calls, options.seconds, cpu, &outcome)))
}

fn measure_rival(options: &Options, calls: u16) -> Result<String, Box<dyn Error>> {
    let engine = Rtpengine::start(calls, FIRST_PEER)?;
    let mut load = Load::towards(&engine.ports, FIRST_PEER)?;
    load.run(2, 0)?;
    let before = cpu_seconds(engine.id())?;
    let outcome = load.run(options.seconds, options.strays)?;
    let cpu = cpu_seconds(engine.id())? - before;
    Ok(format!("{} - |", row(calls, options.seconds, cpu, &outcome)))
}

fn row(calls: u16, seconds: u32, cpu: f64, outcome: &Outcome) -> String {
    let per_call = cpu / f64::from(seconds) / f64::from(calls) * 100.0;
    let per_packet = cpu / outcome.sent as f64 * 1e6;
    let loss = (1.0 - outcome.received() as f64 / outcome.sent as f64) * 100.0;
    let [p50, p90, p99, p999] = [50.0, 90.0, 99.0, 99.9].map(|share| outcome.delay_ms(share));
    format!(
        "| {calls} | {per_call:.4} | {per_packet:.2} | {loss:.3} % | {p50:.3} | {p90:.3} | {p99:.3} | {p999:.3} |"
    )
}

/// The process under test.
struct Host(Child);

impl Host {
    fn start(options: &Options, calls: u16) -> Result<Self, Box<dyn Error>> {
        let numbers = [calls, FIRST_PORT, FIRST_PEER, options.workers];
        let mut child = Command::new(&options.host)
            .args(numbers.map(|number| number.to_string()))
            .arg(&options.mode)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error}", options.host.display()))?;
        let mut line = String::new();
        let output = child.stdout.as_mut().ok_or("no output")?;
        BufReader::new(output).read_line(&mut line)?;
        let host = Self(child);
        if line.trim() == "ready" { Ok(host) } else { Err("the host did not start".into()) }
    }

    fn stop(&mut self) -> Result<(), Box<dyn Error>> {
        drop(self.0.stdin.take());
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
