//! SIPp 3.6, one process per role.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::{Child, Server, eventually, password};

/// Longest time any scenario may take, beside those that say otherwise.
const LIMIT: Duration = Duration::from_secs(20);

/// Where the scenario files are.
pub fn scenarios() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sipp-scenarios")
}

/// A SIPp about to be started, or running.
#[derive(Debug)]
pub struct Sipp {
    scenario: String,
    process: Option<Child>,
    dir: PathBuf,
    address: SocketAddr,
    by_tcp: bool,
    limit: Duration,
    arguments: Vec<String>,
}

impl Sipp {
    /// One run of a scenario at `ip`, on a port of its own.
    pub fn new(server: &mut Server, scenario: &str, ip: impl Into<IpAddr>) -> Self {
        let address = server.address(ip);
        Self::at(server, scenario, address)
    }

    /// One run of a scenario at `address`.
    pub fn at(server: &mut Server, scenario: &str, address: SocketAddr) -> Self {
        let file = scenarios().join(format!("{scenario}.xml"));
        assert!(file.exists(), "no {}", file.display());
        let dir = server.dir().join(format!("{scenario}-{}", address.port()));
        fs::create_dir_all(&dir).unwrap();
        let mut sipp = Self {
            scenario: scenario.to_owned(),
            process: None,
            dir,
            address,
            by_tcp: false,
            limit: LIMIT,
            arguments: Vec::new(),
        };
        let local = address.ip().to_string();
        // SIPp binds its media port and the one after the next.
        let (media, control) = (server.ports(3).to_string(), server.port().to_string());
        let port = address.port().to_string();
        sipp = sipp.with(&[&server.sip().to_string(), "-sf", &file.to_string_lossy()]);
        sipp = sipp.with(&["-i", &local, "-mi", &local, "-bind_local", "-p", &port]);
        sipp = sipp.with(&["-mp", &media, "-cp", &control, "-nostdin"]);
        sipp.with(&[
            "-trace_err",
            "-error_file",
            "errors",
            "-trace_msg",
            "-message_file",
            "messages",
        ])
    }

    /// More arguments.
    #[must_use]
    pub fn with(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|&argument| argument.to_owned()));
        self
    }

    /// The user part it calls.
    #[must_use]
    pub fn calling(self, number: &str) -> Self {
        self.with(&["-s", number])
    }

    /// Whose credentials it has: fields 0 and 1.
    #[must_use]
    pub fn as_user(self, extension: &str) -> Self {
        self.as_user_with(extension, password(extension))
    }

    /// Whose name it uses, with which password.
    #[must_use]
    pub fn as_user_with(self, extension: &str, password: &str) -> Self {
        let line = format!("{extension};[authentication username={extension} password={password}]");
        fs::write(self.dir.join("users.csv"), format!("SEQUENTIAL\n{line}\n")).unwrap();
        self.with(&["-inf", "users.csv"])
    }

    /// Over TCP.
    #[must_use]
    pub fn by_tcp(mut self) -> Self {
        self.by_tcp = true;
        self.with(&["-t", "t1"])
    }

    /// May take longer.
    #[must_use]
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts it, and waits until it listens.
    #[must_use]
    pub fn start(mut self) -> Self {
        let has = |name: &str| self.arguments.iter().any(|argument| argument == name);
        let mut command = Command::new("sipp");
        for (name, value) in [("-m", "1"), ("-recv_timeout", "8000"), ("-d", "300")] {
            if !has(name) {
                command.args([name, value]);
            }
        }
        let seconds = self.limit.as_secs().to_string();
        command.args(["-timeout", &seconds, "-timeout_error"]);
        command.args(&self.arguments).current_dir(&self.dir);
        let mut process = Child::start(command, "sipp", &self.dir.join("screen"));
        let bound = eventually(Duration::from_secs(5), || {
            let taken = is_bound(self.address, self.by_tcp);
            (taken || process.wait(Duration::ZERO).is_some()).then_some(())
        });
        self.process = Some(process);
        assert!(bound.is_some(), "{}", self.report("does not listen"));
        self
    }

    /// Waits for its end; everything must have gone as its scenario says.
    pub fn finish(mut self) {
        let limit = self.limit + Duration::from_secs(5);
        let status = self.process.as_mut().expect("started").wait(limit);
        let Some(status) = status else { panic!("{}", self.report("does not end")) };
        assert_eq!(status.code(), Some(0), "{}", self.report("failed"));
    }

    /// Messages it saw, for checks that scenarios cannot make.
    pub fn messages(&self) -> String {
        fs::read_to_string(self.dir.join("messages")).unwrap_or_default()
    }

    fn report(&self, what: &str) -> String {
        let file = |name: &str| fs::read_to_string(self.dir.join(name)).unwrap_or_default();
        let (errors, messages) = (file("errors"), file("messages"));
        let screen = if errors.is_empty() { file("screen") } else { String::new() };
        format!("{} {what}\n{screen}{errors}\n--- messages ---\n{messages}", self.scenario)
    }
}

/// Whether somebody has bound the port, as the kernel lists it: to try it would keep SIPp from it.
fn is_bound(address: SocketAddr, by_tcp: bool) -> bool {
    let table = match (by_tcp, address.is_ipv6()) {
        (false, false) => "/proc/net/udp",
        (false, true) => "/proc/net/udp6",
        (true, false) => "/proc/net/tcp",
        (true, true) => "/proc/net/tcp6",
    };
    let port = format!(":{:04X}", address.port());
    let text = fs::read_to_string(table).unwrap_or_default();
    text.lines().any(|line| line.split_whitespace().nth(1).is_some_and(|a| a.ends_with(&port)))
}
