//! The main job, for real and over loopback: serve, register, call, hear, drain.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Read;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const PASSWORDS: [&str; 2] = ["first-long-password", "second-long-password"];

/// A server of this test's own, ended and removed with it.
struct Server {
    directory: PathBuf,
    port: u16,
    process: Option<Child>,
}

fn hookflash() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hookflash"));
    command.env_remove("HOOKFLASH_PASSWORD").env_remove("RUST_LOG");
    command
}

impl Server {
    fn new(name: &str, more: &str) -> Self {
        let directory =
            std::env::temp_dir().join(format!("hookflash-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let [first, second] = PASSWORDS;
        // Servers of tests that run at once must not meet in one range.
        let rtp = 10_000 + port % 200 * 100;
        let config = format!(
            "[log]\nredact_numbers = true\nlevel = \"debug\"\n{more}\n\
             [media]\nport_min = {rtp}\nport_max = {}\n\
             [[listen]]\ntransport = \"udp\"\naddress = \"127.0.0.1:{port}\"\n\
             [[listen]]\ntransport = \"tcp\"\naddress = \"127.0.0.1:{port}\"\n\
             [[extension]]\nnumber = \"1001\"\npassword = \"{first}\"\n\
             [[extension]]\nnumber = \"1002\"\npassword = \"{second}\"\n",
            rtp + 99
        );
        std::fs::write(directory.join("hookflash.toml"), config).unwrap();
        let mut server = Self { directory, port, process: None };
        server.start();
        server
    }

    fn start(&mut self) {
        let log = self.directory.join("log");
        let log = std::fs::File::options().create(true).append(true).open(log).unwrap();
        let process = hookflash()
            .args(["serve", "--config"])
            .arg(self.directory.join("hookflash.toml"))
            .arg("--data-dir")
            .arg(self.directory.join("data"))
            .stderr(log)
            .spawn();
        self.process = Some(process.unwrap());
        let patience = Instant::now() + Duration::from_secs(20);
        while !self.is_live() {
            assert!(Instant::now() < patience, "the server does not come up: {}", self.log());
        }
    }

    fn is_live(&self) -> bool {
        let live = hookflash().args(["check", "--live", &self.address()]).output().unwrap();
        live.status.success()
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    /// `hookflash call` or `answer` as an extension, its output piped.
    fn phone(&self, verb: &str, extension: usize, more: &[&str]) -> Child {
        let number = (1000 + extension).to_string();
        hookflash()
            .args([verb, "--server", &self.address(), "--user", &number])
            .args(["--password", PASSWORDS[extension - 1]])
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// A phone that has registered: what it prints first says so.
    fn answering(&self, extension: usize, more: &[&str]) -> Child {
        let mut child = self.phone("answer", extension, more);
        let mut first = [0; 10];
        child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
        assert_eq!(&first, b"registered");
        child
    }

    fn signal(&self) {
        let id = self.process.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    }

    /// Waits for the end: the exit code, and how long it took.
    fn wait(&mut self) -> (Option<i32>, Duration) {
        let begun = Instant::now();
        let code = self.process.take().unwrap().wait().unwrap().code();
        (code, begun.elapsed())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
fn two_phones_talk_and_each_hears_the_other() {
    let mut server = Server::new("talk", "");
    let callee = server.answering(1, &["--calls", "1", "--tone", "700"]);
    let record = server.directory.join("heard.wav");
    let (record, talk) = (record.to_str().unwrap(), ["--duration", "1.5", "--tone", "440"]);
    let arguments = [&["--to", "1001", "--record", record][..], &talk].concat();
    let caller = server.phone("call", 2, &arguments).wait_with_output().unwrap();
    let callee = callee.wait_with_output().unwrap();
    let (heard, heard_there) = (text(&caller), text(&callee));
    assert_eq!(caller.status.code(), Some(0), "{heard}\n{}", server.log());
    assert_eq!(callee.status.code(), Some(0), "{heard_there}");
    assert!(heard.contains("ringing   180") && heard.contains("answered  200"), "{heard}");
    assert!(heard.contains("frequency 700 Hz"), "{heard}");
    assert!(heard_there.contains("frequency 440 Hz"), "{heard_there}");
    assert!(heard.contains(" 0 lost (0.00 %)"), "{heard}");
    assert!(std::fs::metadata(record).unwrap().len() > 16_000);

    server.signal();
    let (code, took) = server.wait();
    assert_eq!(code, Some(0), "{}", server.log());
    assert!(took < Duration::from_secs(5), "nothing was left to drain: {took:?}");
    let records = std::fs::read_to_string(server.directory.join("data/calls.jsonl")).unwrap();
    assert_eq!(records.lines().count(), 1, "{records}");
    assert!(records.contains("\"from\":\"1002\"") && records.contains("\"to\":\"1001\""));
    let log = server.log();
    for secret in PASSWORDS {
        assert!(!log.contains(secret), "a password is in the log");
    }
    assert!(!log.contains("response=\""), "a digest is in the log");
}

/// A number of a report: that of the `n`th word of the line that begins with `name`.
#[track_caller]
fn figure(report: &str, name: &str, n: usize) -> f64 {
    let line = report.lines().find(|line| line.split_whitespace().next() == Some(name));
    let word = line.and_then(|line| line.split_whitespace().nth(n));
    let number = word.and_then(|word| word.parse().ok());
    number.unwrap_or_else(|| panic!("no number {n} of {name} in:\n{report}"))
}

/// Two seconds of 1000 Hz as files have it: 44.1 kHz, two channels, the second of them silent.
fn write_tone(path: &Path) {
    let spec = hound::WavSpec {
        channels: 2,
        sample_rate: 44_100,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = hound::WavWriter::create(path, spec).unwrap();
    for n in 0..2 * spec.sample_rate {
        let phase = std::f64::consts::TAU * 1000.0 * f64::from(n) / f64::from(spec.sample_rate);
        file.write_sample((16_384.0 * phase.sin()) as i16).unwrap();
        file.write_sample(0_i16).unwrap();
    }
    file.finalize().unwrap();
}

/// Amplitude of a tone in samples at 8 kHz, of full scale (Goertzel).
fn amplitude(samples: &[i16], hertz: f64) -> f64 {
    let step = 2.0 * (std::f64::consts::TAU * hertz / 8000.0).cos();
    let (mut one, mut two) = (0.0_f64, 0.0_f64);
    for sample in samples {
        (two, one) = (one, f64::from(*sample) / 32_768.0 + step * one - two);
    }
    let power = one * one + two * two - step * one * two;
    2.0 * power.max(0.0).sqrt() / samples.len() as f64
}

#[test]
fn a_file_is_played_to_the_far_end_and_what_is_heard_is_recorded() {
    let server = Server::new("file", "");
    let [play, record] = ["said.wav", "heard.wav"].map(|name| server.directory.join(name));
    write_tone(&play);
    let callee = server.answering(1, &["--calls", "1", "--tone", "700"]);
    let files = ["--play", play.to_str().unwrap(), "--record", record.to_str().unwrap()];
    // Without a duration the call is as long as the file.
    let arguments = [&["--to", "1001"][..], &files].concat();
    let caller = server.phone("call", 2, &arguments).wait_with_output().unwrap();
    let callee = callee.wait_with_output().unwrap();
    let (heard, heard_there) = (text(&caller), text(&callee));
    assert_eq!(caller.status.code(), Some(0), "{heard}\n{}", server.log());
    assert_eq!(callee.status.code(), Some(0), "{heard_there}");
    for (report, hertz) in [(&heard, 700.0), (&heard_there, 1000.0)] {
        assert!((figure(report, "frequency", 1) - hertz).abs() <= 1.0, "{report}");
        let seconds = figure(report, "heard", 1);
        assert!((1.5..=2.5).contains(&seconds), "{report}");
        // Both tones have a quarter of full scale: the file's channels are averaged.
        assert!((figure(report, "level", 1) + 15.05).abs() < 1.0, "{report}");
        assert!((figure(report, "level", 4) + 12.04).abs() < 1.0, "{report}");
        let packets = figure(report, "packets", 1);
        assert!((packets * 0.02 - seconds).abs() < 0.05, "{report}");
        assert_eq!(figure(report, "packets", 3), 0.0, "{report}");
        assert!(report.contains("(0.00 %)"), "{report}");
    }
    assert!((75.0..=125.0).contains(&figure(&heard, "sent", 1)), "{heard}");
    assert!(heard.contains(&format!("recorded  {}", record.display())), "{heard}");

    let mut file = hound::WavReader::open(&record).unwrap();
    assert_eq!((file.spec().channels, file.spec().sample_rate), (1, 8000));
    let samples: Vec<i16> = file.samples().map(Result::unwrap).collect();
    let seconds = samples.len() as f64 / 8000.0;
    assert!((seconds - figure(&heard, "heard", 1)).abs() < 0.01, "{seconds} s of {heard}");
    let (theirs, ours) = (amplitude(&samples, 700.0), amplitude(&samples, 1000.0));
    assert!((theirs - 0.25).abs() < 0.03 && ours < 0.01, "{theirs} of theirs, {ours} of ours");
}

#[test]
fn a_registration_survives_a_restart() {
    let mut server = Server::new("restart", "");
    let callee = server.answering(1, &["--calls", "1"]);
    server.signal();
    assert_eq!(server.wait().0, Some(0));
    server.start();
    let arguments = ["--to", "1001", "--duration", "0.5"];
    let caller = server.phone("call", 2, &arguments).wait_with_output().unwrap();
    assert_eq!(caller.status.code(), Some(0), "{}\n{}", text(&caller), server.log());
    assert_eq!(callee.wait_with_output().unwrap().status.code(), Some(0));
}

#[test]
fn a_drain_refuses_new_calls_lets_the_live_one_go_on_and_ends_it_at_its_limit() {
    let mut server = Server::new("drain", "[server]\ndrain_limit_s = 2");
    let callee = server.answering(1, &["--calls", "1"]);
    let live = server.phone("call", 2, &["--to", "1001", "--duration", "30"]);
    std::thread::sleep(Duration::from_secs(1));
    server.signal();
    std::thread::sleep(Duration::from_millis(300));
    assert!(!server.is_live(), "a draining server is not well");
    let refused = server.phone("call", 2, &["--to", "1001"]).wait_with_output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused).contains("503"), "{}", text(&refused));
    let live = live.wait_with_output().unwrap();
    assert!(text(&live).contains("the far end hung up"), "{}", text(&live));
    assert_eq!(live.status.code(), Some(0), "it was heard until then");
    assert_eq!(server.wait().0, Some(0), "{}", server.log());
    drop(callee.wait_with_output());
}

#[test]
fn a_second_signal_ends_at_once() {
    let mut server = Server::new("stop", "");
    let mut callee = server.answering(1, &[]);
    let mut live = server.phone("call", 2, &["--to", "1001", "--duration", "30"]);
    std::thread::sleep(Duration::from_secs(1));
    server.signal();
    std::thread::sleep(Duration::from_millis(300));
    server.signal();
    let (code, took) = server.wait();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(5), "{took:?}");
    for phone in [&mut callee, &mut live] {
        let _ = phone.kill();
        let _ = phone.wait();
    }
}

#[test]
fn a_wrong_password_and_an_unknown_number_are_refused() {
    let server = Server::new("refused", "");
    let wrong = hookflash()
        .args(["call", "--server", &server.address(), "--to", "1001"])
        .args(["--user", "1002", "--password", "not-the-password"])
        .output()
        .unwrap();
    assert_eq!(wrong.status.code(), Some(1));
    assert!(text(&wrong).contains("credentials refused"), "{}", text(&wrong));
    let unknown = server.phone("call", 2, &["--to", "4711"]).wait_with_output().unwrap();
    assert_eq!(unknown.status.code(), Some(1));
    assert!(text(&unknown).contains("refused   404"), "{}", text(&unknown));
}
