//! A headless Chromium with a phone in a page (`browser/`): a fake microphone speaks a tone, and the
//! page measures what it hears.

use std::f64::consts::TAU;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::spawn;
use std::time::Duration;

use serde_json::Value;

use crate::{Server, password};

/// Of the page's own time-outs the longest is 15 s.
const PATIENCE: Duration = Duration::from_secs(40);
const RATE: u32 = 48_000;

/// A running Chromium; it ends with the driver's input.
#[derive(Debug)]
pub struct Chromium {
    driver: Child,
    input: Option<ChildStdin>,
    answers: Receiver<String>,
    errors: PathBuf,
}

/// What a page heard in some tenths of a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Mostly the tone.
    pub tone: u64,
    /// Nothing.
    pub silent: u64,
    /// Anything else.
    pub other: u64,
}

impl Chromium {
    /// A browser whose microphone hears a tone of `hz`, registered as `extension`.
    pub fn start(server: &Server, extension: &str, hz: u32) -> Self {
        let dir = server.dir().join(format!("chromium-{extension}"));
        fs::create_dir_all(&dir).unwrap();
        let microphone = dir.join("microphone.wav");
        fs::write(&microphone, tone(hz)).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser/chromium.mjs");
        let errors = dir.join("screen");
        let mut driver = Command::new("node")
            .arg(script)
            .args([&dir, &microphone])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&errors).unwrap())
            .spawn()
            .expect("node");
        let (input, output) = (driver.stdin.take().unwrap(), driver.stdout.take().unwrap());
        let browser = Self { driver, input: Some(input), answers: lines(output), errors };
        assert_eq!(browser.answer("start"), "ready");
        let url = format!("ws://{}/", server.ws());
        let password = password(extension);
        browser
            .run(&format!("phone.connect('{url}', 'hookflash.test', '{extension}', '{password}')"));
        browser
    }

    /// Has the page do something, and waits till it is done.
    pub fn run(&self, expression: &str) -> Value {
        self.begin(expression);
        self.answer(expression)
    }

    /// Has the page do something meanwhile; [`finish`](Self::finish) waits for it.
    pub fn begin(&self, expression: &str) {
        writeln!(self.input.as_ref().expect("it runs"), "{expression}").unwrap();
    }

    /// What came of what was begun.
    pub fn finish(&self) -> Value {
        self.answer("what was begun")
    }

    /// What it hears for a while.
    pub fn hears(&self, hz: u32, millis: u32) -> Heard {
        let counts = self.run(&format!("phone.heard({hz}, {millis})"));
        let count = |name: &str| counts[name].as_u64().unwrap();
        Heard { tone: count("tone"), silent: count("silent"), other: count("other") }
    }

    /// One of the facts that the connection tells of itself.
    pub fn fact(&self, name: &str) -> Value {
        self.run("phone.facts()")[name].clone()
    }

    fn answer(&self, to: &str) -> Value {
        let line = self.answers.recv_timeout(PATIENCE);
        let line = line.unwrap_or_else(|_| panic!("no answer to {to}\n{}", self.screen()));
        let mut answer: Value = serde_json::from_str(&line).unwrap();
        assert!(answer["error"].is_null(), "{to}: {}\n{}", answer["error"], self.screen());
        answer["ok"].take()
    }

    fn screen(&self) -> String {
        fs::read_to_string(&self.errors).unwrap_or_default()
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // Chromium is the driver's child, and ended by it: to kill the driver would leave it.
        drop(self.input.take());
        let _ = self.driver.wait();
    }
}

fn lines(output: ChildStdout) -> Receiver<String> {
    let (sender, receiver) = channel();
    spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Ten seconds of a tone in a WAV file; Chromium repeats it.
fn tone(hz: u32) -> Vec<u8> {
    let len = RATE * 10;
    let mut file = b"RIFF".to_vec();
    file.extend((36 + len * 2).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    file.extend(RATE.to_le_bytes());
    file.extend((RATE * 2).to_le_bytes());
    file.extend(b"\x02\0\x10\0data");
    file.extend((len * 2).to_le_bytes());
    for n in 0..len {
        let sample = 0.4 * (TAU * f64::from(hz) * f64::from(n) / f64::from(RATE)).sin();
        file.extend(((sample * 32767.0) as i16).to_le_bytes());
    }
    file
}
