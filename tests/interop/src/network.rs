//! A network of a test's own, in which ways can be cut as they are out there: packets are lost, and
//! nobody says so.
//!
//! ```text
//!  the test: 10.77.1.1 … 10.77.1.20 ─── router ─── 10.77.0.1: the server
//! ```
//! Each of the three is a network namespace. They belong to the processes within them and end with
//! those; nothing outside is touched. Where no namespace may be made, a test says so and is skipped.

use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use crate::{Child, eventually};

/// What every address of the test begins with.
const PEERS: [u8; 3] = [10, 77, 1];
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// Set where a test runs within.
const WITHIN: &str = "HOOKFLASH_INTEROP_WITHIN";
/// How a test ends that cannot have its network, and how `unshare` does that may not make one.
const NO_NETWORK: [i32; 2] = [77, 1];
/// Whoever may make namespaces, and whoever may once they are root in a namespace of users.
const WAYS: [&[&str]; 2] = [&["--net"], &["--user", "--map-root-user", "--net"]];
/// How long a namespace is held, should nobody end it.
const HELD_S: &str = "600";

/// See the module.
#[derive(Debug)]
pub struct Network {
    server: Child,
    router: Child,
}

impl Network {
    /// Does `work` in a network of its own, in a process of its own: the test `name`, by its path
    /// in its binary, is started again there.
    pub fn within(name: &str, work: impl FnOnce(&Self)) {
        if std::env::var_os(WITHIN).is_some() {
            match Self::lay() {
                Ok(network) => return work(&network),
                Err(reason) => {
                    eprintln!("no network of its own: {reason}");
                    std::process::exit(NO_NETWORK[0]);
                }
            }
        }
        let mut reasons = String::new();
        for way in WAYS {
            match again(name, way) {
                Err(error) => reasons += &format!("unshare: {error}; "),
                Ok(Output { status, stderr, .. })
                    if status.code().is_some_and(|code| NO_NETWORK.contains(&code)) =>
                {
                    reasons += &format!("{}; ", String::from_utf8_lossy(&stderr).trim());
                }
                Ok(Output { status, stdout, stderr }) => {
                    let text =
                        [stdout, stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
                    assert!(status.success(), "within:\n{}\n{}", text[0], text[1]);
                    assert!(text[0].contains("1 passed"), "{name} is no test: {}", text[0]);
                    return;
                }
            }
        }
        eprintln!("SKIPPED {name}: network namespaces are not to be had here: {reasons}");
    }

    fn lay() -> io::Result<Self> {
        let network = Self { server: hold()?, router: hold()? };
        let (server, router) = (&network.server, &network.router);
        let (at_server, at_router) = (server.pid().to_string(), router.pid().to_string());
        ip(None, &["link", "set", "lo", "up"])?;
        ip(None, &["link", "add", "peers", "type", "veth", "peer", "peers", "netns", &at_router])?;
        let [a, b, c] = PEERS;
        for host in 1..=20 {
            ip(None, &["address", "add", &format!("{a}.{b}.{c}.{host}/24"), "dev", "peers"])?;
        }
        ip(None, &["link", "set", "peers", "up"])?;
        ip(None, &["route", "add", "10.77.0.0/24", "via", "10.77.1.254"])?;
        let pair = ["link", "add", "server", "type", "veth", "peer", "router", "netns", &at_server];
        ip(Some(router), &pair)?;
        for (device, address) in [("peers", "10.77.1.254/24"), ("server", "10.77.0.254/24")] {
            ip(Some(router), &["address", "add", address, "dev", device])?;
            ip(Some(router), &["link", "set", device, "up"])?;
        }
        let forward = "echo 1 > /proc/sys/net/ipv4/ip_forward";
        run(Some(router), &["sh", "-c", forward])?;
        ip(Some(server), &["link", "set", "lo", "up"])?;
        ip(Some(server), &["address", "add", &format!("{SERVER}/24"), "dev", "router"])?;
        ip(Some(server), &["link", "set", "router", "up"])?;
        ip(Some(server), &["route", "add", "default", "via", "10.77.0.254"])?;
        Ok(network)
    }

    /// An address of the test's: 1 to 20.
    pub fn at(&self, host: u8) -> Ipv4Addr {
        let [a, b, c] = PEERS;
        Ipv4Addr::new(a, b, c, host)
    }

    /// What the addresses of trunks begin with.
    pub(crate) fn peers(&self) -> [u8; 3] {
        PEERS
    }

    /// The address of the server.
    pub(crate) fn server(&self) -> Ipv4Addr {
        SERVER
    }

    /// The process in whose namespace the server is.
    pub(crate) fn holder(&self) -> u32 {
        self.server.pid()
    }

    /// From now on nothing gets from or to this address, and nobody is told.
    pub fn cut(&self, address: Ipv4Addr) {
        self.rule("add", address);
    }

    /// The way is there again.
    pub fn mend(&self, address: Ipv4Addr) {
        self.rule("delete", address);
    }

    fn rule(&self, what: &str, address: Ipv4Addr) {
        for direction in ["from", "to"] {
            let rule = ["rule", what, direction, &address.to_string(), "blackhole"];
            ip(Some(&self.router), &rule).expect("a rule of our own router");
        }
    }
}

/// The command that runs a program in the namespace that a process holds.
pub(crate) fn enter(holder: u32, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("nsenter");
    command.args(["--target", &holder.to_string(), "--net", "--"]).arg(program);
    command
}

fn again(name: &str, way: &[&str]) -> io::Result<Output> {
    let mut command = Command::new("unshare");
    command.args(way).arg("--").arg(std::env::current_exe()?);
    command.args([name, "--exact", "--nocapture"]).env(WITHIN, "1").output()
}

/// A process that does nothing in a namespace of its own.
fn hold() -> io::Result<Child> {
    let mut command = Command::new("unshare");
    command.args(["--net", "--", "sleep", HELD_S]);
    let mut child = Child::start(command, "unshare", Path::new("/dev/null"));
    let namespace = |of: &str| std::fs::read_link(format!("/proc/{of}/ns/net"));
    let (own, pid) = (namespace("self")?, child.pid().to_string());
    let is_apart = eventually(Duration::from_secs(5), || {
        if child.wait(Duration::ZERO).is_some() {
            return Some(false);
        }
        namespace(&pid).is_ok_and(|its| its != own).then_some(true)
    });
    match is_apart {
        Some(true) => Ok(child),
        Some(false) | None => Err(io::Error::other("no further namespaces")),
    }
}

fn ip(within: Option<&Child>, arguments: &[&str]) -> io::Result<()> {
    run(within, &[&["ip"], arguments].concat())
}

fn run(within: Option<&Child>, words: &[&str]) -> io::Result<()> {
    let mut command = match within {
        Some(child) => enter(child.pid(), words[0]),
        None => Command::new(words[0]),
    };
    let output = command.args(&words[1..]).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        Ok(())
    } else {
        Err(io::Error::other(format!("{}: {}", words.join(" "), said.trim())))
    }
}
