//! The server under test.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::client::Client;
use crate::setup::Places;
use crate::web::{TOKENS, Web};
use crate::{Child, GATEWAY, PASSWORDS, Ports, Record, Setup, TRUNK_PASSWORD, eventually};

const READY_WITHIN: Duration = Duration::from_secs(20);
const ENDS_WITHIN: Duration = Duration::from_secs(15);

/// Numbers that callers have or dial in many a test.
const NUMBERS: [&str; 5] = ["+4930100", "+4930200", "+4930555", "030123456", "+4930123456"];

/// A running `hookflash serve`.
#[derive(Debug)]
pub struct Server {
    process: Child,
    dir: PathBuf,
    ip: IpAddr,
    log_numbers: bool,
    places: Places,
    ports: Ports,
    is_over: bool,
}

/// What a server left behind.
#[derive(Debug)]
pub struct Ended {
    /// Its call records.
    pub records: Vec<Record>,
    /// Its log.
    pub log: String,
}

impl Server {
    /// Starts a server and waits until it answers.
    pub fn start(setup: &Setup) -> Self {
        Self::start_with(setup, |_| ())
    }

    /// Starts a server whose directory is `prepared` first: certificates and the like.
    pub fn start_with(setup: &Setup, prepared: impl FnOnce(&Path)) -> Self {
        let dir = new_dir();
        prepared(&dir);
        let mut ports = Ports::claim(setup.port_blocks);
        let places = places(setup, &mut ports);
        let config = dir.join("hookflash.toml");
        std::fs::write(&config, setup.toml(&places)).unwrap();
        let mut command = match setup.namespace {
            Some(holder) => crate::network::enter(holder, binary()),
            None => Command::new(binary()),
        };
        command.arg("serve").arg("--config").arg(&config).env_remove("RUST_LOG");
        command.envs(setup.env.iter().map(|(name, value)| (name, value)));
        if let Some(call) = setup.poison {
            command.env("HOOKFLASH_POISON_CALL", call.to_string());
        }
        let process = Child::start(command, "hookflash", &dir.join("log"));
        let (ip, log_numbers) = (setup.ip, setup.log_numbers);
        let mut server = Self { process, dir, ip, log_numbers, places, ports, is_over: false };
        let from = setup.namespace.map_or(setup.ip, |_| setup.peer(2).into());
        server.wait_until_ready(from);
        server
    }

    fn wait_until_ready(&mut self, from: IpAddr) {
        let answers = eventually(READY_WITHIN, || {
            if self.process.wait(Duration::ZERO).is_some() {
                panic!("the server has ended:\n{}", self.log());
            }
            let client = Client::at(from, self.sip());
            client.send(&client.request("OPTIONS", "probe"));
            client.receive_within(Duration::from_millis(300)).map(|answer| answer.status())
        });
        assert_eq!(answers, Some(200), "the server does not answer:\n{}", self.log());
    }

    /// Its address for SIP over UDP and TCP.
    pub fn sip(&self) -> SocketAddr {
        SocketAddr::new(self.ip, self.places.sip)
    }

    /// The same where it listens at another address, too.
    pub fn sip_at(&self, ip: impl Into<IpAddr>) -> SocketAddr {
        SocketAddr::new(ip.into(), self.places.sip)
    }

    /// Its address for SIP over TLS.
    pub fn tls(&self) -> SocketAddr {
        SocketAddr::new(self.ip, self.places.tls)
    }

    /// Its address for SIP over WebSocket.
    pub fn ws(&self) -> SocketAddr {
        SocketAddr::new(self.ip, self.places.ws)
    }

    /// Its address for SIP over secure WebSocket.
    pub fn wss(&self) -> SocketAddr {
        SocketAddr::new(self.ip, self.places.wss)
    }

    /// Where it expects the trunk `carrier`.
    pub fn carrier(&self) -> SocketAddr {
        self.places.carrier
    }

    /// Where it expects the trunk `backup`.
    pub fn backup(&self) -> SocketAddr {
        self.places.backup
    }

    /// Where it expects the trunk `registrar`.
    pub fn registrar(&self) -> SocketAddr {
        self.places.registrar
    }

    /// Someone with this token at its API.
    pub fn web(&self, token: &'static str) -> Web {
        Web::new(self.places.api, token)
    }

    /// What `hookflash top --once` prints, as it is seen by this token.
    pub fn top(&self, token: &str) -> String {
        let mut command = Command::new(binary());
        command.args(["top", "--once", "--api", &self.places.api.to_string()]);
        let output = command.env("HOOKFLASH_TOKEN", token).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Its directory; files of the test may live there too.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// A port of this test's own.
    pub fn port(&mut self) -> u16 {
        self.ports.take()
    }

    /// The first of so many ports in a row.
    pub fn ports(&mut self, len: u16) -> u16 {
        *self.ports.take_range(len, 1).start()
    }

    /// An address of this test's own.
    pub fn address(&mut self, ip: impl Into<IpAddr>) -> SocketAddr {
        SocketAddr::new(ip.into(), self.port())
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.dir.join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Registers a phone at `contact`, from there; a player may bind the address afterwards.
    pub fn register(&self, extension: &str, contact: SocketAddr) {
        let mut client = Client::udp(contact, self.sip());
        let answer = client.register(extension, 600);
        assert_eq!(answer.status(), 200, "{answer}\n{}", self.log());
    }

    /// Asks it to end, and goes on.
    pub fn terminate(&self) {
        self.process.terminate();
    }

    /// It was asked to end: it must do so by itself.
    pub fn wait_for_the_end(mut self) {
        let status = self.process.wait(ENDS_WITHIN);
        assert!(status.is_some_and(|status| status.success()), "{status:?}\n{}", self.log());
        self.is_over = true;
    }

    /// Sends it a signal by name, such as `HUP`.
    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// The ports it uses for audio.
    pub fn rtp(&self) -> std::ops::RangeInclusive<u16> {
        self.places.rtp.clone()
    }

    /// Ends the server by SIGTERM and checks how it leaves: with 0, no panic, no secret and no number
    /// told.
    pub fn stop(self) -> Ended {
        self.stop_and(|_| ())
    }

    /// The same; then `after` has its directory before it is removed.
    pub fn stop_and(self, after: impl FnOnce(&Path)) -> Ended {
        let ended = self.stop_poisoned(after);
        // ATTACKS 27, and STYLE: a caught panic counts.
        assert!(!ended.log.to_lowercase().contains("panic"), "{}", ended.log);
        ended
    }

    /// The same for a server in which a panic is what the test wants.
    pub fn stop_poisoned(self, after: impl FnOnce(&Path)) -> Ended {
        self.process.terminate();
        self.leave(after)
    }

    /// Kills the server, as a crash would; then `after` has its directory before it is removed.
    pub fn kill_and(mut self, after: impl FnOnce(&Path)) {
        self.process.signal("KILL");
        let status = self.process.wait(ENDS_WITHIN);
        assert!(status.is_some_and(|status| !status.success()), "{status:?}");
        self.is_over = true;
        after(&self.dir);
    }

    /// The same for a server that was asked to end before: it leaves by itself.
    pub fn leaves(self) -> Ended {
        self.leave(|_| ())
    }

    fn leave(mut self, after: impl FnOnce(&Path)) -> Ended {
        let status = self.process.wait(ENDS_WITHIN);
        let log = self.log();
        assert!(status.is_some_and(|status| status.success()), "{status:?}\n{log}");
        let passwords = PASSWORDS.iter().map(|(_, password)| *password);
        let secrets = passwords.chain(TOKENS);
        for secret in secrets.chain([TRUNK_PASSWORD, GATEWAY.1, "Digest username", "response=\""]) {
            assert!(!log.contains(secret), "the log tells {secret:?}:\n{log}");
        }
        let told = NUMBERS.iter().find(|number| log.contains(**number));
        assert!(self.log_numbers || told.is_none(), "the log tells {told:?}:\n{log}");
        self.is_over = true;
        let records = Record::read(&self.dir.join("data/calls.jsonl"));
        after(&self.dir);
        Ended { records, log }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.is_over && !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.dir);
        } else {
            eprintln!("files of the failed test: {}", self.dir.display());
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            eprintln!("{}", lines[lines.len().saturating_sub(60)..].join("\n"));
        }
    }
}

fn places(setup: &Setup, ports: &mut Ports) -> Places {
    let rtp_len = 48 + (setup.port_blocks - 1) * 100;
    let at = |host: u8, port| SocketAddr::from((setup.peer(host), port));
    Places {
        sip: ports.take(),
        tls: ports.take(),
        ws: ports.take(),
        wss: ports.take(),
        carrier: at(3, ports.take()),
        backup: at(4, ports.take()),
        registrar: at(5, ports.take()),
        api: SocketAddr::from(([127, 0, 0, 1], ports.take())),
        rtp: ports.take_range(rtp_len, 2),
    }
}

fn new_dir() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!(
        "hookflash-interop-{}-{}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    );
    let dir = std::env::temp_dir().join(name);
    let _ = std::fs::remove_dir_all(&dir); // of an older process with this id
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

/// The command `hookflash`, with nothing of our own environment that it would heed.
pub fn hookflash() -> Command {
    let mut command = Command::new(binary());
    for name in ["RUST_LOG", "HOOKFLASH_PASSWORD", "HOOKFLASH_TOKEN"] {
        command.env_remove(name);
    }
    command
}

/// The binary beside this executable, or above this test's; built when it is not there.
pub(crate) fn binary() -> PathBuf {
    let executable = std::env::current_exe().unwrap();
    let beside = executable.with_file_name("hookflash");
    if beside.exists() {
        return beside;
    }
    let profile = executable.parent().and_then(Path::parent).expect("target/<profile>/deps/test");
    let binary = profile.join("hookflash");
    if !binary.exists() {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
        cargo.args(["build", "--quiet", "-p", "server", "--bin", "hookflash", "--target-dir"]);
        cargo.arg(profile.parent().expect("target"));
        if profile.ends_with("release") {
            cargo.arg("--release");
        }
        let built = cargo.status().expect("cargo runs");
        assert!(built.success() && binary.exists(), "no {}", binary.display());
    }
    binary
}
