//! The server is killed while calls are recorded: what was said until then can be played at once, and
//! has its final name after the next start (K1, ATTACKS 30).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use interop::web::AGENT_1001;
use interop::{Chromium, Interaction, Seat, Server, Setup, tone};

const ENTRY: &str = "+4930100"; // leads to 1001
const CUSTOMER: u32 = 530;
const AGENT: u32 = 810;
const TALK: Duration = Duration::from_secs(6);
/// What a crash may cost, in seconds: a block of a second, with Opus a page of another, what was on its
/// way to the disk, and what a busy machine adds.
const LOST_MAX: f64 = 2.6;

fn setup(format: &str) -> Setup {
    let more = format!("[recording]\nenabled = true\nformat = \"{format}\"\n");
    let net = "websocket_origins = [\"*\"]";
    Setup { digest: r#"["MD5"]"#, net, more, ..Setup::with_api() }
}

/// What is in the directory of recordings.
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir.join("data/recordings")).expect("recordings");
    entries.map(|entry| entry.expect("its name").path()).collect()
}

/// The customer left, the agent right, to the end of so many seconds at least.
#[track_caller]
fn both_are_heard([left, right]: [&[f64]; 2], rate: f64, least: f64) {
    let whole = left.len() as f64 / rate;
    assert!(whole >= least, "{whole} s of {least} s and more");
    assert_eq!(left.len(), right.len());
    // It begins with ringing and ends in the middle of something.
    let last = left.len() - (rate * 0.6) as usize..left.len() - (rate * 0.1) as usize;
    for (side, own, other) in [(left, CUSTOMER, AGENT), (right, AGENT, CUSTOMER)] {
        let seconds = |samples: &[f64], hz| tone::seconds(samples, rate, f64::from(hz));
        assert!(seconds(side, own) > whole - 0.8, "{own} Hz: {} s of {whole}", seconds(side, own));
        assert!(seconds(&side[last.clone()], own) > 0.35, "{own} Hz at the end");
        assert_eq!(seconds(side, other), 0.0, "the sides are apart");
    }
}

/// A call that is recorded until the server is killed: the data directory, and how long it was.
fn killed_in_a_call(setup: &Setup) -> (PathBuf, f64) {
    let server = Server::start(setup);
    let (agent, customer) =
        (Seat::agent(&server, "1001", AGENT), Seat::customer(&server, CUSTOMER));
    customer.dial(ENTRY);
    let call = Interaction::that_is(server.web(AGENT_1001), "connected");
    let began = Instant::now();
    sleep(TALK);
    assert_eq!(call.shown()["recording"], "on");
    let kept = std::env::temp_dir().join(format!("hookflash-killed-{}", server.pid()));
    let length = began.elapsed().as_secs_f64();
    server.kill_and(|dir| {
        std::fs::create_dir(&kept).expect("a directory of our own");
        std::fs::rename(dir.join("data"), kept.join("data")).expect("on the same disk");
    });
    drop((agent, customer));
    (kept, length)
}

/// The server again, over the data that one left that was killed.
fn again(setup: &Setup, kept: &Path) -> Server {
    let server = Server::start_with(setup, |dir| {
        std::fs::rename(kept.join("data"), dir.join("data")).expect("on the same disk");
    });
    std::fs::remove_dir(kept).expect("nothing is left");
    server
}

/// The one recording that is complete now, and that the log tells of it.
#[track_caller]
fn completed(server: &Server, part: &Path) -> PathBuf {
    let found = files(server.dir());
    let name = part.file_stem().expect("a name");
    let names: Vec<_> = found.iter().map(|file| file.file_name().expect("a name")).collect();
    assert_eq!(names, [name]);
    let name = name.to_string_lossy();
    let log = server.log();
    let is_told = |line: &str| line.contains("completed") && line.contains(&*name);
    assert!(log.lines().any(is_told), "{log}");
    found[0].clone()
}

#[test]
fn k1_what_was_said_until_the_server_was_killed_is_in_the_file() {
    let setup = setup("wav");
    let (kept, length) = killed_in_a_call(&setup);
    let parts = files(&kept);
    assert_eq!(parts.len(), 1, "{parts:?}");
    assert!(parts[0].to_string_lossy().ends_with(".wav.part"), "{parts:?}");
    let (left, right, rate) = tone::read_stereo(&parts[0]);
    both_are_heard([&left, &right], rate, length - LOST_MAX);
    let server = again(&setup, &kept);
    let file = completed(&server, &parts[0]);
    let (same, _, _) = tone::read_stereo(&file);
    // As another reader takes it, by the lengths that its head gives.
    let output = Command::new("soxi").arg("-s").arg(&file).output().expect("sox");
    let told = String::from_utf8_lossy(&output.stdout).trim().parse();
    assert_eq!((told, same.len()), (Ok(left.len()), left.len()));
    server.stop();
}

/// Decoded by Chromium, with nothing of ours: both channels at this rate.
fn played(browser: &Chromium, file: &[u8]) -> [Vec<f64>; 2] {
    const RATE: u32 = 16_000;
    let bytes: Vec<_> = file.iter().map(|byte| format!("{byte:02x}")).collect();
    let script = format!(
        "(async () => {{ \
           const hex = '{}'; \
           const bytes = Uint8Array.from({{ length: hex.length / 2 }}, (_, at) => parseInt(hex.substr(2 * at, 2), 16)); \
           const sound = await new OfflineAudioContext(2, 1, {RATE}).decodeAudioData(bytes.buffer); \
           const channels = [...Array(sound.numberOfChannels).keys()]; \
           return channels.map((n) => Array.from(sound.getChannelData(n), (one) => Math.round(one * 32768))); \
         }})()",
        bytes.concat()
    );
    let channels = browser.run(&script);
    let channels = channels.as_array().expect("channels").iter().map(|channel| {
        let samples = channel.as_array().expect("samples").iter();
        samples.map(|sample| sample.as_f64().expect("a number") / 32_768.0).collect()
    });
    let channels: Vec<Vec<f64>> = channels.collect();
    channels.try_into().unwrap_or_else(|found: Vec<_>| panic!("{} channels", found.len()))
}

#[test]
fn k1_an_opus_file_of_a_killed_server_plays_in_another_program() {
    let setup = setup("opus");
    let (kept, length) = killed_in_a_call(&setup);
    let parts = files(&kept);
    assert_eq!(parts.len(), 1, "{parts:?}");
    assert!(parts[0].to_string_lossy().ends_with(".opus.part"), "{parts:?}");
    let part = std::fs::read(&parts[0]).expect("it is there");
    let server = again(&setup, &kept);
    let whole = std::fs::read(completed(&server, &parts[0])).expect("it is there");
    let browser = Chromium::start(&server, "1002", 600);
    let mut lengths = Vec::new();
    for file in [part, whole] {
        let [left, right] = played(&browser, &file);
        both_are_heard([&left, &right], 16_000.0, length - LOST_MAX);
        lengths.push(left.len());
    }
    assert!(lengths[0].abs_diff(lengths[1]) <= 16_000 / 50, "a packet at most: {lengths:?}");
    drop(browser);
    server.stop();
}
