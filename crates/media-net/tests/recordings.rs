//! Recordings of calls over real sockets: pauses (ATTACKS 27), and a disk that is full (ATTACKS 30).
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, clippy::panic, clippy::print_stderr)]

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use media::command::{
    BridgeId, Codec, Hear, Keys, LocalPorts, MediaCommand, MediaEvent, Payload, Remote,
    StreamConfig, StreamId,
};
use media::record::{
    Container, PausePolicy, RecordCommand, RecordEvent, RecordFormat, RecordingId, Side,
};
use media::rtp::{HEADER_LEN, Header, parse, write_header};
use media_net::recording::RecordingConfig;
use media_net::{MediaNet, MediaNetConfig};

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const BRIDGE: BridgeId = BridgeId(1);
const PATIENCE: Duration = Duration::from_secs(20);
/// µ-law codes of the levels that the customer and the agent say all the time.
const LEVELS: [u8; 2] = [0x90, 0xb0];

/// A call of two phones that is recorded into a directory.
struct Call {
    media: MediaNet,
    events: Receiver<MediaEvent>,
    phones: [UdpSocket; 2],
    servers: [SocketAddr; 2],
    sequence: u16,
    /// When each phone heard something, and the sequence numbers of that.
    heard: [Vec<(Instant, u16)>; 2],
}

impl Call {
    fn new(directory: &Path) -> Self {
        let (tell, events) = channel();
        let recording = Some(RecordingConfig { directory: directory.to_owned(), queue: 64 });
        let config = MediaNetConfig { recording, ..MediaNetConfig::default() };
        let media = MediaNet::start(config, move |event| drop(tell.send(event))).unwrap();
        let phones = [(); 2].map(|()| {
            let phone = UdpSocket::bind((LOCALHOST, 0)).unwrap();
            phone.set_nonblocking(true).unwrap();
            phone
        });
        let servers = [(); 2].map(|()| SocketAddr::new(LOCALHOST, free_port()));
        let call = Self { media, events, phones, servers, sequence: 0, heard: Default::default() };
        for n in 0..2 {
            call.open(n);
        }
        for n in 0..2u64 {
            let source = Hear::Stream(StreamId(1 - n));
            call.send(MediaCommand::Hear { listener: StreamId(n), source });
        }
        call
    }

    fn open(&self, n: usize) {
        let stream = StreamId(n as u64);
        let local = LocalPorts { ip: LOCALHOST, rtp: self.servers[n].port(), rtcp: None };
        let (ssrc, sequence, timestamp) = (n as u32 + 1, 0, 0);
        self.send(MediaCommand::Open { stream, bridge: BRIDGE, local, ssrc, sequence, timestamp });
        let rtp = self.phones[n].local_addr().unwrap();
        let pcmu = Payload { codec: Codec::Pcmu, key: 0, send: 0, receive: 0, clock_rate: 8000 };
        let config = StreamConfig {
            remote: Some(Remote { rtp, rtcp: rtp, rtcp_mux: true }),
            signalling_source: None,
            payloads: vec![pcmu],
            send: true,
            receive: true,
            ptime_ms: 20,
            rtp_timeout: None,
            symmetric: true,
            srtp: None,
            path: None,
            noise_removal: None,
            voip_metrics: false,
            keys: Keys::default(),
            opus: media::codec::OpusFormat::default(),
        };
        self.send(MediaCommand::Configure { stream, config: Box::new(config) });
    }

    fn send(&self, command: MediaCommand) {
        self.media.send(command).unwrap();
    }

    fn record(&self, command: RecordCommand) {
        self.send(MediaCommand::Record { bridge: BRIDGE, command });
    }

    fn start(&self, recording: RecordingId, name: &str, rate: u32) {
        let format = RecordFormat { container: Container::Wav, rate, pause: PausePolicy::Silence };
        self.record(RecordCommand::Start { recording, name: name.to_owned(), format });
        for (n, side) in [(0, Side::Customer), (1, Side::Agents)] {
            let (stream, side) = (StreamId(n), Some(side));
            self.record(RecordCommand::Track { recording, stream, side });
        }
    }

    /// Both talk at the pace of phones and listen.
    fn talk(&mut self, length: Duration) {
        let start = Instant::now();
        let mut rounds = 0;
        while start.elapsed() < length {
            for (n, level) in LEVELS.into_iter().enumerate() {
                let mut datagram = vec![level; HEADER_LEN + 160];
                let header = Header {
                    marker: false,
                    payload_type: 0,
                    sequence: self.sequence,
                    timestamp: u32::from(self.sequence) * 160,
                    ssrc: 7,
                };
                write_header(&mut datagram, &header);
                self.phones[n].send_to(&datagram, self.servers[n]).unwrap();
            }
            self.sequence += 1;
            rounds += 1;
            let next = start + Duration::from_millis(20) * rounds;
            while Instant::now() < next {
                self.listen();
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    fn listen(&mut self) {
        let mut buffer = [0; 1500];
        for (phone, heard) in self.phones.iter().zip(&mut self.heard) {
            while let Ok(len) = phone.recv(&mut buffer) {
                let Ok(packet) = parse(&buffer[..len]) else { continue };
                if packet.header.payload_type == 0 {
                    heard.push((Instant::now(), packet.header.sequence));
                }
            }
        }
    }

    /// The next event of a recording that is no gap.
    fn told(&self) -> RecordEvent {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left).unwrap() {
                MediaEvent::Recording(RecordEvent::Gap { .. }) => {}
                MediaEvent::Recording(event) => return event,
                _ => {}
            }
        }
    }
}

fn free_port() -> u16 {
    UdpSocket::bind((LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// Both channels of a file, as shares of loud samples by tenths of a second.
fn loud(path: &Path, rate: u32) -> [Vec<f64>; 2] {
    let reader = hound::WavReader::open(path).unwrap();
    assert_eq!((reader.spec().channels, reader.spec().sample_rate), (2, rate));
    let samples: Vec<i16> = reader.into_samples().map(Result::unwrap).collect();
    let tenth = rate as usize / 10;
    [0, 1].map(|side| {
        let of_side: Vec<_> = samples.iter().skip(side).step_by(2).collect();
        let share = |chunk: &[&i16]| {
            chunk.iter().filter(|s| s.unsigned_abs() > 100).count() as f64 / chunk.len() as f64
        };
        of_side.chunks(tenth).map(share).collect()
    })
}

fn directory(test: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("hookflash-{test}-{}", std::process::id()));
    fs::create_dir_all(&path).unwrap();
    path
}

#[test]
fn what_is_said_in_a_pause_is_not_in_the_file_and_the_clock_goes_on() {
    let place = directory("pause");
    let mut call = Call::new(&place);
    let recording = RecordingId(1);
    call.talk(Duration::from_millis(200));
    call.start(recording, "card", 8000);
    call.talk(Duration::from_millis(1500));
    call.record(RecordCommand::Pause { recording });
    call.talk(Duration::from_millis(1500));
    call.record(RecordCommand::Resume { recording });
    call.talk(Duration::from_millis(1500));
    call.record(RecordCommand::Stop { recording });
    assert_eq!(call.told(), RecordEvent::Started { recording });
    let RecordEvent::Finished { duration_ms, .. } = call.told() else { panic!("not finished") };
    assert!((4300..5200).contains(&duration_ms), "{duration_ms} ms: no gap in the clock");
    for side in loud(&place.join("card.wav"), 8000) {
        // From 1.5 to 3.0 s, but for the tenths in which it begins and ends.
        assert!(side[17..28].iter().all(|share| *share == 0.0), "nothing of it: {side:?}");
        assert!(side[3..13].iter().all(|share| *share > 0.8), "before: {side:?}");
        assert!(side[33..42].iter().all(|share| *share > 0.8), "after: {side:?}");
    }
    drop(call);
    fs::remove_dir_all(place).unwrap();
}

/// A file system of 1 MiB.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` where this user may not mount.
    fn new(test: &str) -> Option<Self> {
        let path = directory(test);
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "none"])
            .arg(&path)
            .output()
            .is_ok_and(|output| output.status.success());
        if !mounted {
            let _ = fs::remove_dir(&path);
            return None;
        }
        Some(Self(path))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).output();
        let _ = fs::remove_dir(&self.0);
    }
}

/// A call is recorded to a disk that has no room for all of it; `free` makes some. The longest time
/// between two packets that a phone heard meanwhile.
fn fill(directory: &Path, free: impl FnOnce()) -> Duration {
    let mut call = Call::new(directory);
    let first = RecordingId(1);
    call.start(first, "full", 48_000);
    // 192 kB a second into 400 kB.
    call.talk(Duration::from_secs(5));
    assert_eq!(call.told(), RecordEvent::Started { recording: first });
    let RecordEvent::Failed { file: Some(file), duration_ms, .. } = call.told() else {
        panic!("the disk is not full")
    };
    let kept = loud(&directory.join(file), 48_000);
    let tenths = kept[0].len() as u64;
    assert!(tenths.abs_diff(duration_ms / 100) <= 1 && tenths >= 10, "{tenths} tenths");
    assert!(kept.iter().all(|side| side[3..].iter().all(|share| *share > 0.8)), "{kept:?}");
    call.record(RecordCommand::Stop { recording: first });
    for heard in &call.heard {
        assert!(heard.windows(2).all(|pair| pair[1].1 == pair[0].1 + 1), "nothing is lost");
    }
    let steps = call.heard.iter().flat_map(|heard| heard.windows(2));
    let longest = steps.map(|pair| pair[1].0 - pair[0].0).max().unwrap();
    // When there is room again, the next one is whole.
    free();
    let second = RecordingId(2);
    call.start(second, "again", 8000);
    call.talk(Duration::from_secs(1));
    call.record(RecordCommand::Stop { recording: second });
    assert_eq!(call.told(), RecordEvent::Started { recording: second });
    assert!(matches!(call.told(), RecordEvent::Finished { .. }));
    longest
}

/// A worker that waits for the disk does so every time, a machine that is busy with other things does
/// not: one run of three without a long gap is enough.
fn never_waits(mut run: impl FnMut() -> Duration) {
    let mut longest = Vec::new();
    while longest.len() < 3 && longest.last().is_none_or(|gap| *gap >= GAP_MAX) {
        longest.push(run());
    }
    assert!(longest.last().is_some_and(|gap| *gap < GAP_MAX), "gaps in the audio: {longest:?}");
}

/// ATTACKS 30.
const GAP_MAX: Duration = Duration::from_millis(40);

#[test]
fn a_full_disk_costs_the_recording_and_nothing_of_the_call() {
    never_waits(|| {
        let Some(disk) = SmallDisk::new("full") else {
            eprintln!("skipped: this user may not mount; see the test with a limit instead");
            return Duration::ZERO;
        };
        let ballast = disk.0.join("ballast");
        fs::write(&ballast, vec![0; 600 * 1024]).unwrap();
        fill(&disk.0.join("recordings"), || fs::remove_file(&ballast).unwrap())
    });
}

/// The same where nobody may mount: files of more than 400 kB are refused.
#[test]
fn a_file_that_may_not_grow_costs_the_recording_and_nothing_of_the_call() {
    const CHILD: &str = "HOOKFLASH_TEST_LIMITED";
    if let Some(directory) = std::env::var_os(CHILD) {
        let directory = PathBuf::from(directory);
        let mut runs = 0;
        return never_waits(|| {
            runs += 1;
            fill(&directory.join(runs.to_string()), || ())
        });
    }
    let place = directory("limited");
    // In blocks of 512 bytes; what is beyond is an error then, and no signal.
    let script = "trap '' XFSZ; ulimit -f 800; exec \"$0\" --exact \"$1\" --nocapture";
    let name = "a_file_that_may_not_grow_costs_the_recording_and_nothing_of_the_call";
    let child = Command::new("sh")
        .args(["-c", script])
        .arg(std::env::current_exe().unwrap())
        .arg(name)
        .env(CHILD, &place)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success(), "{said}");
    assert!(String::from_utf8_lossy(&child.stdout).contains("1 passed"), "it has run");
    fs::remove_dir_all(place).unwrap();
}

#[test]
fn what_is_said_of_a_recording_is_never_lost_to_a_full_queue() {
    let directory = directory("full-queue");
    let gate = Arc::new(Mutex::new(()));
    let (tell, events) = channel();
    let recording = Some(RecordingConfig { directory: directory.clone(), queue: 64 });
    let config = MediaNetConfig { recording, queue: 1, ..MediaNetConfig::default() };
    let shut = gate.lock().unwrap();
    let at_the_gate = Arc::clone(&gate);
    let media = MediaNet::start(config, move |event| {
        let is_end = matches!(event, MediaEvent::Closed { .. });
        let _ = tell.send(event);
        if is_end {
            drop(at_the_gate.lock());
        }
    });
    let media = media.unwrap();
    media.send(MediaCommand::Close { stream: StreamId(1) }).unwrap();
    assert!(matches!(events.recv_timeout(PATIENCE), Ok(MediaEvent::Closed { .. })));
    // The worker stands at the gate.
    media.send(MediaCommand::Hear { listener: StreamId(2), source: Hear::Music }).unwrap();
    let id = RecordingId(1);
    let format =
        RecordFormat { container: Container::Wav, rate: 8000, pause: PausePolicy::Silence };
    for command in [
        RecordCommand::Start { recording: id, name: "call".to_owned(), format },
        RecordCommand::Pause { recording: id },
        RecordCommand::Resume { recording: id },
        RecordCommand::Stop { recording: id },
    ] {
        media.send(MediaCommand::Record { bridge: BRIDGE, command }).unwrap();
    }
    drop(shut);
    let mut told = vec![];
    while told.last() != Some(&"end") {
        told.push(match events.recv_timeout(PATIENCE).unwrap() {
            MediaEvent::Recording(RecordEvent::Started { .. }) => "start",
            MediaEvent::Recording(_) => "end",
            _ => continue,
        });
    }
    assert!(told == ["start", "end"] || told == ["end"], "{told:?}");
    let open = fs::read_dir(&directory).unwrap().filter_map(Result::ok);
    let open: Vec<_> = open.map(|file| file.file_name()).filter(is_open).collect();
    assert!(open.is_empty(), "{open:?}");
    drop(media);
    fs::remove_dir_all(directory).unwrap();
}

fn is_open(name: &std::ffi::OsString) -> bool {
    name.to_string_lossy().ends_with(".part")
}
