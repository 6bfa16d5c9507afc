//! The binary as people meet it: what it prints and how it ends.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::process::{Command, Output};

fn hookflash(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hookflash"));
    command.args(arguments).env_remove("HOOKFLASH_PASSWORD").env_remove("RUST_LOG");
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A directory of this test's own, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("hookflash-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_printed_example_is_accepted_by_check() {
    let example = hookflash(&["config", "--example"]);
    assert!(example.status.success());
    let scratch = Scratch::new("example");
    let file = scratch.file("hookflash.toml", &text(&example.stdout));
    let check = hookflash(&["check", &file]);
    assert_eq!(check.status.code(), Some(0), "{}", text(&check.stderr));
    assert!(text(&check.stdout).contains("3 listeners, 2 extensions, 1 trunks"));
}

#[test]
fn a_bad_file_is_refused_by_check_and_by_serve_with_line_and_reason() {
    let scratch = Scratch::new("bad");
    let file =
        scratch.file("bad.toml", "[[listen]]\ntransport = 'udp'\naddress = 'here'\nprt = 1\n");
    for arguments in [&["check", &file][..], &["serve", "--config", &file]] {
        let refused = hookflash(arguments);
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}");
        let told = text(&refused.stderr);
        let lines: Vec<_> = told.lines().collect();
        assert_eq!(lines.len(), 2, "{told}");
        assert!(lines[0].starts_with(&format!("{file}:3: `address`")), "{told}");
        assert!(lines[1].starts_with(&format!("{file}:4: unknown key `prt`")), "{told}");
    }
}

#[test]
fn no_secret_of_a_bad_file_is_printed() {
    let scratch = Scratch::new("secret");
    let text_of_file = "[[listen]]\ntransport = 'udp'\naddress = '127.0.0.1:5060'\n\
        [[extension]]\nnumber = '1001'\npassword = 's3cr3t1001'\n";
    let file = scratch.file("bad.toml", text_of_file);
    let refused = hookflash(&["check", &file]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(!text(&refused.stderr).contains("s3cr3t"));
}

#[test]
fn usage_errors_end_with_2_and_help_with_0() {
    for (arguments, code) in [
        (&["--version"][..], 0),
        (&["--help"], 0),
        (&["serve", "--help"], 0),
        (&[], 2),
        (&["dance"], 2),
        (&["check"], 2),
        (&["call"], 2),
        (&["call", "--to", "1001", "--user", "1002", "--data-dir", "/nonexistent"], 2),
        (&["call", "--to", "1", "--user", "1", "--password", "12345678", "--play", "/none.wav"], 2),
        (&["check", "/nonexistent.toml"], 2),
    ] {
        assert_eq!(hookflash(arguments).status.code(), Some(code), "{arguments:?}");
    }
    assert_eq!(
        text(&hookflash(&["--version"]).stdout),
        format!("hookflash {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn a_dead_server_fails_the_health_check() {
    // The discard port: nobody answers SIP there.
    let live = hookflash(&["check", "--live", "127.0.0.1:9"]);
    assert_eq!(live.status.code(), Some(1));
    assert!(text(&live.stderr).contains("127.0.0.1:9 does not answer"));
}

#[test]
fn a_taken_port_is_told_and_ends_with_1() {
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let scratch = Scratch::new("taken");
    let config =
        format!("[log]\nformat = 'json'\n[[listen]]\ntransport = 'udp'\naddress = '{address}'\n");
    let file = scratch.file("hookflash.toml", &config);
    let data = scratch.0.join("data");
    let refused = hookflash(&["serve", "--config", &file, "--data-dir", data.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(1));
    let told = text(&refused.stderr);
    assert!(told.contains(&format!("cannot listen on UDP {address}")), "{told}");
    // One JSON object a line, and the reason once more for who reads no JSON.
    let (log, plain): (Vec<_>, Vec<_>) = told.lines().partition(|line| line.starts_with('{'));
    assert!(!log.is_empty() && plain.len() == 1, "{told}");
    for line in log {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(line["level"].is_string() && line["timestamp"].is_string());
    }
}
