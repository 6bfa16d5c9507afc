//! The server without a configuration, as `make run` starts it: what it prints is all that anybody
//! needs to talk, and nobody but this machine reaches it.
//!
//! Its ports are fixed, so it has a network of its own.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test fails loudly")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread::sleep;
use std::time::Duration;

use interop::{Baresip, Child, Network, Ports, eventually, hookflash, tone};

const PATIENCE: Duration = Duration::from_secs(20);
const TALK: Duration = Duration::from_millis(1500);

/// A demo and the home of whoever started it.
struct Demo {
    home: PathBuf,
    process: Child,
    /// How often it has been started.
    starts: u32,
}

impl Demo {
    fn start() -> Self {
        let home = std::env::temp_dir().join(format!("hookflash-demo-{}", std::process::id()));
        let _ = fs::remove_dir_all(&home); // of an older process with this id
        fs::create_dir_all(&home).unwrap();
        let process = run(&home, 1);
        let demo = Self { home, process, starts: 1 };
        demo.expect("the API is served");
        demo
    }

    /// Ends it as Ctrl-C does, and starts it again.
    fn start_again(&mut self) {
        self.end();
        self.starts += 1;
        self.process = run(&self.home, self.starts);
        self.expect("the API is served");
    }

    fn end(&mut self) {
        self.process.signal("INT");
        let status = self.process.wait(PATIENCE);
        assert!(status.is_some_and(|status| status.success()), "{status:?}\n{}", self.shown());
        assert!(!self.shown().to_lowercase().contains("panic"), "{}", self.shown());
    }

    /// All that its last start has shown: what it printed, and its log.
    fn shown(&self) -> String {
        fs::read_to_string(screen(&self.home, self.starts)).unwrap_or_default()
    }

    #[track_caller]
    fn expect(&self, words: &str) {
        let found = eventually(PATIENCE, || self.shown().contains(words).then_some(()));
        assert!(found.is_some(), "no {words:?}:\n{}", self.shown());
    }

    /// The lines for a baresip's accounts.
    fn accounts(&self) -> Vec<String> {
        let shown = self.shown();
        let lines = shown.lines().map(str::trim).filter(|line| line.starts_with("<sip:"));
        lines.map(str::to_owned).collect()
    }

    /// A `hookflash` command that the first start printed, with more arguments.
    #[track_caller]
    fn told(&self, verb: &str, more: &[&str]) -> Command {
        let printed = fs::read_to_string(screen(&self.home, 1)).unwrap();
        let mut told = printed.lines().filter_map(|line| line.trim().strip_prefix("hookflash "));
        let line = told.find(|line| line.split(' ').next() == Some(verb));
        let line = line.unwrap_or_else(|| panic!("no {verb} is told:\n{printed}"));
        let mut command = at_home(&self.home);
        command.args(line.split(' ')).args(more);
        command
    }

    fn file(&self) -> PathBuf {
        self.home.join("hookflash/demo.toml")
    }

    /// Where it has sockets that anybody can send to: each protocol's addresses.
    fn sockets(&self) -> BTreeSet<(&'static str, SocketAddr)> {
        let descriptors = fs::read_dir(format!("/proc/{}/fd", self.process.pid())).unwrap();
        let links = descriptors.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        let own: BTreeSet<String> = links
            .filter_map(|link| {
                let inode = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
                Some(inode.to_owned())
            })
            .collect();
        let mut sockets = BTreeSet::new();
        for protocol in ["tcp", "udp", "tcp6", "udp6", "raw", "raw6", "udplite"] {
            let table = fs::read_to_string(format!("/proc/self/net/{protocol}"));
            for line in table.unwrap_or_default().lines().skip(1) {
                let fields: Vec<_> = line.split_whitespace().collect();
                // proc(5): the local address, the state (0A is LISTEN), the inode.
                let (local, state, inode) = (fields[1], fields[3], fields[9]);
                if own.contains(inode) && (state == "0A" || !protocol.starts_with("tcp")) {
                    sockets.insert((protocol, address(local)));
                }
            }
        }
        sockets
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.shown());
        }
        let _ = fs::remove_dir_all(&self.home);
    }
}

/// A command of somebody who has nothing but a home.
fn at_home(home: &Path) -> Command {
    let mut command = hookflash();
    command.env("XDG_DATA_HOME", home).current_dir(home);
    command
}

fn screen(home: &Path, start: u32) -> PathBuf {
    home.join(format!("screen-{start}"))
}

fn run(home: &Path, start: u32) -> Child {
    let mut command = at_home(home);
    command.arg("serve");
    Child::start(command, "hookflash", &screen(home, start))
}

/// An address as /proc/net writes it: `0100007F:13C4`. What is no IPv4 is said to be anywhere.
fn address(text: &str) -> SocketAddr {
    let (ip, port) = text.split_once(':').unwrap();
    let port = u16::from_str_radix(port, 16).unwrap();
    let ip = match (ip.len(), u32::from_str_radix(ip, 16)) {
        (8, Ok(word)) => Ipv4Addr::from(word.to_le_bytes()),
        (_, _) => Ipv4Addr::UNSPECIFIED,
    };
    SocketAddr::from((ip, port))
}

#[track_caller]
fn hears(phone: Baresip, hz: f64, own_hz: f64) {
    let (samples, rate) = phone.heard();
    let seconds = tone::longest(&samples, rate, hz);
    assert!(seconds >= 1.0, "{hz} Hz for {seconds} s of {}", samples.len() as f64 / rate);
    assert!(tone::longest(&samples, rate, own_hz) < 0.1, "hears itself");
}

/// The password of an account's line.
fn password(account: &str) -> &str {
    account.rsplit_once("auth_pass=").unwrap().1
}

fn text(output: &Output) -> String {
    let both = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    both.concat()
}

#[test]
fn only_this_machine_reaches_the_demo() {
    Network::within("only_this_machine_reaches_the_demo", |network| {
        let demo = Demo::start();
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let expected = [("tcp", at(5060)), ("tcp", at(5080)), ("tcp", at(8080)), ("udp", at(5060))];
        assert_eq!(demo.sockets(), expected.into());
        for (_, address) in expected.iter().filter(|(protocol, _)| *protocol == "tcp") {
            assert!(TcpStream::connect(address).is_ok(), "{address}");
            let from_outside = SocketAddr::from((network.at(1), address.port()));
            assert!(TcpStream::connect(from_outside).is_err(), "{from_outside} is open");
        }
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&demo.file()), mode(&demo.home.join("hookflash"))), (0o600, 0o700));
    });
}

#[test]
fn two_phones_with_the_printed_lines_hear_each_other() {
    Network::within("two_phones_with_the_printed_lines_hear_each_other", |_| {
        let mut demo = Demo::start();
        let accounts = demo.accounts();
        assert_eq!(accounts.len(), 5, "{}", demo.shown());
        let mut ports = Ports::claim(1);
        let mut phone = |number: &str, hz| {
            let named = format!("<sip:{number}@");
            let account = accounts.iter().find(|line| line.starts_with(&named)).unwrap();
            let phone = Baresip::start_given(account, demo.home.join(number), &mut ports, hz);
            demo.expect(&format!("registration extension={number} contacts=1"));
            phone
        };
        let (mut one, mut two) = (phone("1001", 440), phone("1002", 770));
        one.dial("1002");
        two.expect_event("CALL_INCOMING");
        two.command("accept", "");
        one.expect_event("CALL_ESTABLISHED");
        two.expect_event("CALL_ESTABLISHED");
        sleep(TALK);
        let sockets = demo.sockets();
        assert!(sockets.len() > 4, "none for audio: {sockets:?}");
        assert!(sockets.iter().all(|(_, at)| at.ip() == Ipv4Addr::LOCALHOST), "{sockets:?}");
        one.command("hangup", "");
        two.expect_event("CALL_CLOSED");
        hears(one, 770.0, 440.0);
        hears(two, 440.0, 770.0);
        demo.end();
    });
}

/// `hookflash answer` and `call` as they are printed: without a password, which they find themselves.
#[track_caller]
fn the_test_phones_talk(demo: &Demo) {
    let before = demo.shown().matches("registration extension=1001 contacts=1").count();
    let answer = demo.home.join("answer");
    let command = demo.told("answer", &["--calls", "1", "--tone", "700"]);
    let mut callee = Child::start(command, "hookflash answer", &answer);
    let is_known = || {
        let now = demo.shown().matches("registration extension=1001 contacts=1").count();
        (now > before).then_some(())
    };
    assert!(eventually(PATIENCE, is_known).is_some(), "{}", demo.shown());
    let caller = demo.told("call", &["--duration", "1.5"]).output().unwrap();
    assert!(caller.status.success(), "{}\n{}", text(&caller), demo.shown());
    assert!(text(&caller).contains("frequency 700 Hz"), "{}", text(&caller));
    let heard = || fs::read_to_string(&answer).unwrap();
    assert!(callee.wait(PATIENCE).is_some_and(|status| status.success()), "{}", heard());
    assert!(heard().contains("frequency 440 Hz"), "{}", heard());
}

#[test]
fn the_passwords_are_printed_once_and_stay() {
    Network::within("the_passwords_are_printed_once_and_stay", |_| {
        let mut demo = Demo::start();
        let accounts = demo.accounts();
        let first = fs::read_to_string(demo.file()).unwrap();
        let token = demo.shown();
        let token = token.split("Bearer ").nth(1).and_then(|rest| rest.split('\'').next());
        let token = token.expect("the admin's token").to_owned();
        assert_eq!(interactions(&token), 200);
        assert_eq!(interactions("another"), 401);
        the_test_phones_talk(&demo);
        let top = demo.told("top", &["--once"]).output().unwrap();
        assert!(top.status.success(), "{}", text(&top));

        demo.start_again();
        let shown = demo.shown();
        assert!(shown.contains("demo.toml"), "{shown}");
        let passwords = accounts.iter().map(|account| password(account));
        for secret in passwords.chain([token.as_str(), "auth_pass"]) {
            assert!(!shown.contains(secret), "told again: {shown}");
        }
        assert_eq!(fs::read_to_string(demo.file()).unwrap(), first);
        the_test_phones_talk(&demo);
        assert_eq!(interactions(&token), 200);
        // Whoever has typed a line into a phone need not do so again.
        let mut ports = Ports::claim(1);
        let phone = Baresip::start_given(&accounts[1], demo.home.join("old"), &mut ports, 440);
        demo.expect("registration extension=1002 contacts=1");
        drop(phone);
        demo.end();
    });
}

/// The status of the API's list of interactions, asked for with this token.
fn interactions(token: &str) -> u16 {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, 8080)).unwrap();
    let request = format!(
        "GET /v1/interactions HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\
         Authorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}
