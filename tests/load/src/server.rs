//! The server under load: a process of its own, measured from outside by what the kernel counts.

use std::error::Error;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::machine::cpu_seconds;
use crate::sip::text::ping;

/// Variable of the environment with the words of a command that runs the server, such as
/// `valgrind --tool=callgrind`; nothing: it runs by itself.
const TOOL: &str = "LOAD_UNDER";
/// How long a start, or an end, may take before it is given up; ten times that under a tool.
const START_MAX: Duration = Duration::from_secs(10);

/// A running `hookflash serve`; ended when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Where it listens (UDP).
    pub address: SocketAddr,
    directory: PathBuf,
}

/// What the configuration of a server under load says.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// SIP port on 127.0.0.1.
    pub port: u16,
    /// Extensions `1…`, each with the password [`password`] gives.
    pub extensions: u32,
    /// What it accepts of everybody.
    pub limits: Limits,
    /// What it accepts of the customers' trunk.
    pub trunk_limits: Limits,
    /// Whether it listens for TCP on the same port and for WebSockets of any page on the next one,
    /// too, and bans hardly anybody: who is banned is not read.
    pub for_mutations: bool,
    /// Where its API is served, if it is.
    pub api: Option<SocketAddr>,
    /// Entry points [`entry_point`], each leading to the extension of the same count.
    pub entry_points: u32,
}

/// Limits of a server or of a trunk.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Calls at once.
    pub calls_max: u32,
    /// New calls per second.
    pub calls_per_second_max: u32,
}

impl Limits {
    /// More than any load reaches.
    pub const NONE: Self = Self { calls_max: 100_000, calls_per_second_max: 1_000_000 };
}

/// Number of the `n`th entry point.
pub fn entry_point(n: u32) -> String {
    (4_930_100 + n).to_string()
}

/// Number of the `n`th extension.
pub fn extension(n: u32) -> String {
    (100_000 + n).to_string()
}

/// Its password.
pub fn password(n: u32) -> String {
    format!("load-secret-{n}")
}

impl Server {
    /// Starts the release binary beside this one in a fresh directory.
    ///
    /// # Errors
    /// When the binary is missing or does not answer OPTIONS in ten seconds.
    pub fn start(plan: Plan) -> Result<Self, Box<dyn Error>> {
        let directory = std::env::temp_dir().join(format!(
            "hookflash-load-{}-{}",
            std::process::id(),
            plan.port
        ));
        fs::create_dir_all(&directory)?;
        fs::write(directory.join("server.toml"), config(plan))?;
        let (server, _) = Self::start_in(directory, plan.port)?;
        Ok(server)
    }

    /// Stops the process and starts it again over the same data: how long until its first answer.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn restart(mut self) -> Result<(Self, Duration), Box<dyn Error>> {
        self.terminate()?;
        let (directory, port) = (self.directory.clone(), self.address.port());
        self.directory = PathBuf::new(); // not to be removed
        drop(self);
        Self::start_in(directory, port)
    }

    fn start_in(directory: PathBuf, port: u16) -> Result<(Self, Duration), Box<dyn Error>> {
        let binary = std::env::current_exe()?.with_file_name("hookflash");
        let log = fs::File::create(directory.join("server.log"))?;
        let started = Instant::now();
        let child = command_of(&binary)
            .arg("serve")
            .arg("--config")
            .arg(directory.join("server.toml"))
            .arg("--data-dir")
            .arg(directory.join("data"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .map_err(|error| format!("{}: {error}", binary.display()))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let server = Self { child, address, directory };
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.set_read_timeout(Some(Duration::from_millis(2)))?;
        let local = socket.local_addr()?;
        let mut answer = [0; 2048];
        for n in 0.. {
            let options = ping(local, address, &format!("start-{n}"));
            let sent = socket.send_to(options.as_bytes(), address);
            if sent.is_ok() && socket.recv(&mut answer).is_ok() {
                break;
            }
            if started.elapsed() > patience() {
                let log = fs::read_to_string(server.directory.join("server.log"));
                return Err(format!("no answer after ten seconds:\n{}", log?).into());
            }
        }
        Ok((server, started.elapsed()))
    }

    /// CPU time of all its threads so far, in seconds, to the nanosecond.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn cpu(&self) -> io::Result<f64> {
        cpu_seconds(self.child.id())
    }

    /// Its resident memory in kB.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn resident_kb(&self) -> io::Result<u64> {
        self.memory_kb("VmRSS:")
    }

    /// The most its resident memory ever was, in kB.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn peak_kb(&self) -> io::Result<u64> {
        self.memory_kb("VmHWM:")
    }

    fn memory_kb(&self, name: &str) -> io::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kb = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        kb.ok_or_else(|| io::Error::other(format!("no {name}")))
    }

    /// How many calls are in its records.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn records(&self) -> io::Result<usize> {
        let records = fs::read_to_string(self.directory.join("data/calls.jsonl"))?;
        Ok(records.lines().count())
    }

    /// Whether the process runs.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn is_alive(&mut self) -> io::Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Its log so far.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn log(&self) -> io::Result<String> {
        let bytes = fs::read(self.directory.join("server.log"))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Where its files are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn terminate(&mut self) -> io::Result<()> {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        let pid = self.child.id().to_string();
        Command::new("kill").arg("-TERM").arg(pid).status()?;
        let asked = Instant::now();
        while self.child.try_wait()?.is_none() {
            if asked.elapsed() > patience() {
                self.child.kill()?;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

/// The binary by itself, or run by the tool that [`TOOL`] names.
fn command_of(binary: &Path) -> Command {
    let tool = std::env::var(TOOL).unwrap_or_default();
    let mut words = tool.split_whitespace();
    let Some(first) = words.next() else { return Command::new(binary) };
    let mut command = Command::new(first);
    command.args(words).arg(binary);
    command
}

/// How long a start or an end may take.
fn patience() -> Duration {
    START_MAX * if std::env::var(TOOL).is_ok() { 10 } else { 1 }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.terminate().is_ok() && !self.directory.as_os_str().is_empty() {
            let _ = fs::remove_dir_all(&self.directory);
        }
    }
}

fn config(plan: Plan) -> String {
    let Plan { port, extensions, .. } = plan;
    let Limits { calls_max, calls_per_second_max } = plan.limits;
    let Limits { calls_max: trunk_calls, calls_per_second_max: trunk_rate } = plan.trunk_limits;
    let more = if plan.for_mutations { open_to_mutations(port) } else { String::new() };
    let mut text = format!(
        "[server]\nrealm = \"load.test\"\ndrain_limit_s = 1\n\
         [log]\nlevel = \"warn\"\n\
         [[listen]]\ntransport = \"udp\"\naddress = \"127.0.0.1:{port}\"\n\
         {more}\
         [sip]\ncalls_max = {calls_max}\ncalls_per_second_max = {calls_per_second_max}\n\
         [net]\nmessages_per_second_max = 1000000\nname_servers = [\"127.0.0.1:9\"]\n\
         websocket_origins = [\"*\"]\n\
         [media]\nipv4 = \"127.0.0.1\"\nport_min = 10000\nport_max = 59999\nport_quarantine_s = 1\n\
         codecs = [\"PCMU\", \"PCMA\"]\nrtp_timeout_s = 0\n\
         [registrar]\nqualify_s = 0\n\
         [[trunk]]\nname = \"customers\"\nnetworks = [\"127.0.0.2/32\"]\n\
         calls_max = {trunk_calls}\ncalls_per_second_max = {trunk_rate}\n"
    );
    for n in 0..plan.entry_points {
        let (number, extension) = (entry_point(n), extension(n));
        text += &format!("[[entry_point]]\nnumber = \"{number}\"\nextension = \"{extension}\"\n");
    }
    for n in 0..extensions {
        text += &format!(
            "[[extension]]\nnumber = \"{}\"\npassword = \"{}\"\n",
            extension(n),
            password(n)
        );
    }
    if let Some(api) = plan.api {
        let token = crate::web::TOKEN;
        text += &format!(
            "[api]\nlisten = \"{api}\"\n\
             [[api.token]]\nname = \"load\"\nrole = \"admin\"\ntoken = \"{token}\"\n"
        );
    }
    text
}

fn open_to_mutations(port: u16) -> String {
    let ws = port + 1;
    format!(
        "[security]\nguesses_max = 1000\nban_s = 1\n\
         [[listen]]\ntransport = \"tcp\"\naddress = \"127.0.0.1:{port}\"\n\
         [[listen]]\ntransport = \"ws\"\naddress = \"127.0.0.1:{ws}\"\n"
    )
}
