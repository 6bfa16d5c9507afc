//! What recording and DTMF cost: share of a core per call or stream, best of several rounds.
//!
//! `cargo run --release -p media --example sounds_cost`
#![allow(clippy::print_stdout, clippy::disallowed_methods, clippy::unwrap_used)]

use std::time::{Duration, Instant};

use base::Time;
use media::command::StreamId;
use media::dtmf::{EventReceiver, ToneDetector};
use media::record::{
    Block, BlockSink, Clock, Container, Heard, PausePolicy, RecordFormat, Recorder, RecordingFile,
    Side,
};

const SECONDS: u32 = 60;
const ROUNDS: u32 = 5;

/// Writes the bytes of a file and forgets them.
struct Bytes {
    file: RecordingFile,
    bytes: Vec<u8>,
}

impl BlockSink for Bytes {
    fn take(&mut self, block: &mut Block) {
        self.bytes.clear();
        self.file.push(block, &mut self.bytes);
        block.samples.clear();
    }
}

/// Forgets the blocks.
struct Nothing;

impl BlockSink for Nothing {
    fn take(&mut self, block: &mut Block) {
        block.samples.clear();
    }
}

/// Something like speech: loud noise in words.
fn speech(rate: u32) -> Vec<i16> {
    let mut state = 1u32;
    let sample = |n: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        if n % rate < rate / 2 { (state >> 19) as i16 - 4096 } else { 0 }
    };
    (0..SECONDS * rate).map(sample).collect()
}

/// Best share of a core for this work, which takes so many seconds of calls, per cent.
fn share(mut work: impl FnMut()) -> f64 {
    let round = |_| {
        let start = Instant::now();
        work();
        start.elapsed()
    };
    let best = (0..ROUNDS).map(round).min().unwrap_or(Duration::ZERO);
    best.as_secs_f64() / f64::from(SECONDS) * 100.0
}

/// A call of two legs, 20 ms packets.
fn record(format: RecordFormat, pcm: &[i16], sink: &mut impl BlockSink) {
    let mut recorder = Recorder::new(Time::ZERO, format).unwrap();
    let sides = [(StreamId(1), Side::Customer), (StreamId(2), Side::Agents)];
    sides.iter().for_each(|(stream, side)| recorder.track(*stream, Some(*side)));
    let len = format.rate as usize / 50;
    for (n, pcm) in pcm.chunks_exact(len).enumerate() {
        let now = Time::ZERO + Duration::from_millis(20) * n as u32;
        for (stream, _) in sides {
            let (timestamp, rate) = ((n * len) as u32, format.rate);
            let (clock, age) = (Clock::Peer(0), Duration::ZERO);
            recorder
                .hear(now, &Heard { stream, timestamp, clock, clock_rate: rate, rate, pcm, age });
        }
        recorder.tick(now, sink);
    }
}

fn main() {
    let narrow = speech(8000);
    for container in [Container::Wav, Container::OggOpus] {
        let format = RecordFormat { container, rate: 8000, pause: PausePolicy::Silence };
        let worker = share(|| record(format, &narrow, &mut Nothing));
        let all = share(|| {
            let mut bytes = Vec::new();
            let file = RecordingFile::new(format, 1, &mut bytes).unwrap();
            record(format, &narrow, &mut Bytes { file, bytes });
        });
        println!(
            "recording {container:?} at 8 kHz: {worker:.4} % in the worker, {:.4} % in the writer",
            all - worker
        );
    }
    for rate in [8000, 16_000, 48_000] {
        let pcm = speech(rate);
        let detector = share(|| {
            let mut detector = ToneDetector::new(rate).unwrap();
            pcm.chunks(rate as usize / 50).for_each(|pcm| detector.hear(pcm, |_| {}));
        });
        println!("tone detector at {rate} Hz: {detector:.4} % per stream");
    }
    let mut receiver = EventReceiver::new(8000);
    let start = Instant::now();
    for n in 0..1_000_000u32 {
        let payload = [5, if n % 10 > 6 { 0x8a } else { 10 }, 0, (n % 10) as u8];
        let now = Time::ZERO + Duration::from_millis(20) * n;
        std::hint::black_box(receiver.packet(now, n / 10 * 1600, n % 10 == 0, &payload));
    }
    println!("named event: {:.0} ns per packet", start.elapsed().as_nanos() as f64 / 1e6);
}
