//! The same load by SIPp, at both ends: `sipp-scenarios/load-customer.xml` and `load-agent.xml`.

use std::error::Error;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::register;
use crate::server::{Server, entry_point};

/// How long a call lasts, in milliseconds.
const HOLD_MS: u32 = 1000;
/// How long everything may take beyond the calls themselves.
const PATIENCE: Duration = Duration::from_secs(40);

/// What the customers' SIPp counted.
#[derive(Clone, Debug)]
pub struct SippOutcome {
    /// Calls that went as the scenario says.
    pub calls: u64,
    /// All others.
    pub failed: u64,
    /// Messages that it had to send again.
    pub repeated: u64,
    /// Mean time from INVITE to 200, in milliseconds.
    pub setup_ms: f64,
}

/// Ended by its id when dropped.
struct Sipp(Child);

impl Drop for Sipp {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// Makes `calls` calls, `rate` a second, of a second each.
///
/// # Errors
/// When SIPp is not there, does not end in time, or leaves no statistics.
pub fn run(server: &Server, rate: u32, calls: u32) -> Result<SippOutcome, Box<dyn Error>> {
    // Below the ports of audio, and not those of a server that may start meanwhile.
    let agent = SocketAddr::from(([127, 0, 0, 1], 9500));
    register::run(server.address, 1, 0, agent)?;
    let count = calls.to_string();
    let start = |scenario: &str, ip: &str, port: &str, more: &[&str]| {
        let file = interop::scenarios().join(scenario);
        let mut command = Command::new("sipp");
        command.arg(server.address.to_string()).arg("-sf").arg(file);
        command.args(["-i", ip, "-mi", ip, "-bind_local", "-p", port, "-nostdin"]);
        command.args(["-m", &count, "-l", &count, "-buff_size", "8388608"]).args(more);
        command.current_dir(server.directory()).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().map(Sipp).map_err(|error| format!("sipp: {error}"))
    };
    let _agent = start("load-agent.xml", "127.0.0.1", "9500", &["-mp", "9510"])?;
    std::thread::sleep(Duration::from_millis(500));
    let (number, rate_s, hold) = (entry_point(0), rate.to_string(), HOLD_MS.to_string());
    let more = ["-s", &number, "-r", &rate_s, "-d", &hold, "-mp", "9520"];
    let statistics = ["-trace_stat", "-stf", "statistics.csv", "-fd", "1"];
    let mut customer =
        start("load-customer.xml", "127.0.0.2", "9500", &[&more[..], &statistics].concat())?;
    let limit = Duration::from_secs((calls / rate).into()) + PATIENCE;
    let begun = Instant::now();
    while customer.0.try_wait()?.is_none() {
        if begun.elapsed() > limit {
            return Err("sipp does not end".into());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    outcome(&server.directory().join("statistics.csv"))
}

/// The last row of SIPp's statistics, by the names in the first.
fn outcome(file: &Path) -> Result<SippOutcome, Box<dyn Error>> {
    let text = fs::read_to_string(file)?;
    let mut lines = text.lines().filter(|line| !line.is_empty());
    let names: Vec<_> = lines.next().ok_or("no statistics")?.split(';').collect();
    let values: Vec<_> = lines.next_back().ok_or("no statistics")?.split(';').collect();
    let value = |name: &str| {
        let at = names.iter().position(|known| *known == name);
        let value = at.and_then(|at| values.get(at)).copied();
        value.ok_or_else(|| format!("no {name} in the statistics"))
    };
    let count = |name: &str| -> Result<u64, Box<dyn Error>> { Ok(value(name)?.parse()?) };
    Ok(SippOutcome {
        calls: count("SuccessfulCall(C)")?,
        failed: count("FailedCall(C)")?,
        repeated: count("Retransmissions(C)")?,
        setup_ms: milliseconds(value("ResponseTime1(C)")?)?,
    })
}

/// `00:00:00:001000`: hours, minutes, seconds, microseconds.
fn milliseconds(time: &str) -> Result<f64, Box<dyn Error>> {
    let mut total = 0.0;
    for (part, scale) in time.split(':').zip([3_600_000.0, 60_000.0, 1000.0, 0.001]) {
        total += part.parse::<f64>()? * scale;
    }
    Ok(total)
}
