//! A phone of ours over TLS, which says what a test wrote: its encryption is OpenSSL's.

use std::cell::Cell;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{ChildStdin, Command};
use std::time::Duration;

use crate::client::{Dialog, Message};
use crate::digest::{Credentials, Hash};
use crate::{Child, Server, eventually, password};

const PATIENCE: Duration = Duration::from_secs(10);

/// One connection of an extension that has not registered.
#[derive(Debug)]
pub struct SecureClient {
    _process: Child,
    input: ChildStdin,
    output: PathBuf,
    /// How much of the output has been read.
    taken: usize,
    extension: &'static str,
    uri: String,
    count: Cell<u32>,
}

impl SecureClient {
    /// Connects; the server's certificate must be good.
    pub fn start(server: &Server, extension: &'static str) -> Self {
        let output = server.dir().join(format!("secure-client-{extension}"));
        let mut command = Command::new("openssl");
        command.args(["s_client", "-quiet", "-verify_return_error", "-CAfile", "ca.pem"]);
        command.arg("-connect").arg(server.tls().to_string()).current_dir(server.dir());
        let mut process = Child::start(command, "openssl", &output);
        let input = process.stdin().expect("its input");
        let uri = format!("{};transport=tls", server.tls());
        Self { _process: process, input, output, taken: 0, extension, uri, count: Cell::new(0) }
    }

    /// Sends text.
    pub fn send(&mut self, text: &str) {
        self.input.write_all(text.as_bytes()).expect("the connection is up");
        self.input.flush().expect("the connection is up");
    }

    /// The next final answer.
    #[track_caller]
    pub fn receive_final(&mut self) -> Message {
        loop {
            let message = eventually(PATIENCE, || self.take());
            let message = message.unwrap_or_else(|| panic!("no answer: {}", self.text()));
            if message.status() >= 200 {
                return message;
            }
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.output).unwrap_or_default()).into_owned()
    }

    /// A whole message that has come; what OpenSSL itself says before it is left out.
    fn take(&mut self) -> Option<Message> {
        let text = self.text();
        let fresh = &text[self.taken..];
        let begin = fresh.find("SIP/2.0 ")?;
        let head = fresh[begin..].find("\r\n\r\n")? + 4;
        let message = Message::of(&fresh[begin..begin + head]);
        let len: usize = message.header("Content-Length").and_then(|len| len.parse().ok())?;
        let whole = fresh.get(begin..begin + head + len)?;
        self.taken += begin + head + len;
        Some(Message::of(whole))
    }

    fn next(&self) -> u32 {
        self.count.set(self.count.get() + 1);
        self.count.get()
    }

    /// What every request has.
    fn lines(&self, line: &str, seq: &str) -> String {
        let n = self.next();
        let extension = self.extension;
        format!(
            "{line} SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1:9;rport;branch=z9hG4bKsecure{extension}{n}\r\n\
             Max-Forwards: 70\r\nCSeq: {seq}\r\n\
             Contact: <sip:{extension}@127.0.0.1:9;transport=tls>\r\n"
        )
    }

    /// Calls a number with this description, in a call of its own, and proves who it is; the answer is
    /// still to come.
    pub fn invite(&mut self, number: &str, sdp: &str) {
        let (extension, uri) = (self.extension, format!("sip:{number}@{}", self.uri));
        let call = self.next();
        let request = |client: &Self, seq: u32, proof: &str| {
            let lines = client.lines(&format!("INVITE {uri}"), &format!("{seq} INVITE"));
            format!(
                "{lines}From: <sip:{extension}@hookflash.test>;tag=secure{call}\r\n\
                 To: <sip:{number}@hookflash.test>\r\nCall-ID: secure-{extension}-{call}\r\n{proof}\
                 Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}",
                sdp.len()
            )
        };
        self.send(&request(self, 1, ""));
        let challenged = self.receive_final();
        assert_eq!(challenged.status(), 401, "{challenged}");
        let challenge = challenged.challenge(Hash::Md5).expect("a challenge");
        let secret = password(extension);
        let proof = Credentials::answer(challenge, "INVITE", &uri, extension, secret).header();
        self.send(&request(self, 2, &format!("Authorization: {proof}\r\n")));
    }

    /// A request inside a dialog, without a body.
    pub fn within(&mut self, dialog: &Dialog, method: &str, seq: u32) {
        let Dialog { target, from, to, call_id } = dialog;
        let lines = self.lines(&format!("{method} {target}"), &format!("{seq} {method}"));
        self.send(&format!(
            "{lines}From: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nContent-Length: 0\r\n\r\n"
        ));
    }
}
