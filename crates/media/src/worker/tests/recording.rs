//! Recordings tap what is heard (K1) and change nothing of it (INTEROP 19).

use super::*;
use crate::command::{NoiseRemoval, Sources};
use crate::denoise::DenoiseSettings;
use crate::record::{
    Block, Container, PausePolicy, RecordCommand, RecordFormat, RecordingId, Side,
};

const RECORDING: RecordingId = RecordingId(1);
const FORMAT: RecordFormat =
    RecordFormat { container: Container::Wav, rate: 8000, pause: PausePolicy::Silence };

/// A call that is recorded, the customer left, the agent right.
fn call() -> (World, Slot, Slot) {
    let (mut world, a, b) = World::call(&[PCMU], &[PCMU]);
    let start = RecordCommand::Start { recording: RECORDING, name: "x".into(), format: FORMAT };
    world.record(&start, None);
    for (stream, side, slot) in [(0, Side::Customer, a), (1, Side::Agents, b)] {
        let stream = StreamId(stream);
        let track = RecordCommand::Track { recording: RECORDING, stream, side: Some(side) };
        world.record(&track, Some(slot));
    }
    (world, a, b)
}

impl World {
    fn record(&mut self, command: &RecordCommand, slot: Option<Slot>) -> Option<u64> {
        self.worker.record(self.now, command, slot, &mut self.wire).unwrap()
    }

    /// A second in which both say a constant level of their own.
    fn talk(&mut self, a: Slot, b: Slot, from: u16) {
        for n in from..from + 50 {
            for (slot, who, level) in [(a, CUSTOMER, 0x90), (b, AGENT, 0xb0)] {
                let mut datagram = packet(0, n, 1);
                datagram[HEADER_LEN..].fill(level);
                self.receive(slot, Channel::Rtp, who, datagram);
            }
            self.tick(20);
        }
    }
}

/// Shares of the frames in which each side is heard.
fn heard(blocks: &[Block]) -> (f64, f64) {
    let frames: Vec<_> = blocks.iter().flat_map(|block| block.samples.chunks_exact(2)).collect();
    let share = |side: usize| {
        let loud = frames.iter().filter(|frame| frame[side].unsigned_abs() > 100).count();
        loud as f64 / frames.len() as f64
    };
    (share(0), share(1))
}

#[test]
fn k1_both_sides_are_in_the_file_and_the_call_is_relayed_as_before() {
    let (mut world, a, b) = call();
    world.talk(a, b, 0);
    let relayed = world.heard(a);
    assert!(relayed.iter().all(|(_, payload)| payload[..] == [0xb0; 160]), "untouched");
    let frames = world.record(&RecordCommand::Stop { recording: RECORDING }, None).unwrap();
    assert!((7500..=8500).contains(&frames), "{frames}");
    let (left, right) = heard(&world.wire.blocks);
    assert!(left > 0.9 && right > 0.9, "{left} {right}");
    let same = world.wire.blocks.iter().flat_map(|block| block.samples.chunks_exact(2));
    assert!(same.filter(|frame| frame[0] == frame[1] && frame[0] != 0).count() == 0, "sides apart");
}

#[test]
fn k2_a_pause_is_not_in_the_file() {
    let (mut world, a, b) = call();
    world.talk(a, b, 0);
    world.record(&RecordCommand::Pause { recording: RECORDING }, None);
    world.talk(a, b, 50);
    world.record(&RecordCommand::Resume { recording: RECORDING }, None);
    world.talk(a, b, 100);
    world.record(&RecordCommand::Stop { recording: RECORDING }, None);
    let (left, right) = heard(&world.wire.blocks);
    assert!((0.6..0.72).contains(&left) && (0.6..0.72).contains(&right), "{left} {right}");
}

/// K2, ATTACKS 27: on the way to the file samples wait for noise removal and in jitter buffers.
#[test]
fn k2_the_last_words_of_a_pause_are_not_in_the_file_whatever_the_path_is() {
    for (cleans, mixes) in [(false, false), (true, false), (false, true), (true, true)] {
        for burst in [1, 4] {
            let (mut world, a, b) = call();
            let settings = DenoiseSettings::default();
            let noise_removal = cleans.then_some(NoiseRemoval { enabled: true, settings });
            world.configure(a, StreamConfig { noise_removal, ..config(CUSTOMER, &[PCMU]) });
            if mixes {
                let supervisor = world.open(2, config("203.0.113.9:6000", &[PCMU]));
                let both = Sources::from_iter([StreamId(0), StreamId(1)]);
                world.hear(supervisor, Hear::Mix(both), None);
            }
            // Packets that come four at a time make a jitter buffer grow.
            for n in 0..400u16 {
                if n == 200 {
                    world.record(&RecordCommand::Pause { recording: RECORDING }, None);
                }
                if n == 300 {
                    world.record(&RecordCommand::Resume { recording: RECORDING }, None);
                }
                for late in (0..burst).rev().filter(|_| n % burst == burst - 1) {
                    let sent = n - late;
                    // A card number's tone, loud; else nothing is said. What comes with the
                    // pause was said before it.
                    let tone = |at: usize| if at % 8 < 4 { 0x90 } else { 0x10 };
                    let mut datagram = packet(0, sent, 1);
                    for (at, byte) in datagram[HEADER_LEN..].iter_mut().enumerate() {
                        *byte = if (201..300).contains(&sent) { tone(at) } else { 0xff };
                    }
                    world.receive(a, Channel::Rtp, CUSTOMER, datagram);
                }
                world.rtp(b, AGENT, 0, n);
                world.tick(20);
            }
            world.record(&RecordCommand::Stop { recording: RECORDING }, None);
            let frames = world.wire.blocks.iter().flat_map(|block| block.samples.chunks_exact(2));
            let loudest = frames.map(|frame| frame[0].unsigned_abs()).max().unwrap();
            assert!(loudest < 50, "cleaned {cleans}, mixed {mixes}, burst {burst}: {loudest}");
            let (_, right) = heard(&world.wire.blocks);
            assert!(
                (0.55..0.76).contains(&right),
                "{cleans} {mixes} {burst}: {right} of the agent"
            );
        }
    }
}

#[test]
fn who_leaves_is_silent_and_a_recording_ends_once() {
    let (mut world, a, b) = call();
    world.talk(a, b, 0);
    world.close(b);
    world.rtp(a, CUSTOMER, 0, 60);
    world.tick(1000);
    assert!(world.record(&RecordCommand::Stop { recording: RECORDING }, None).is_some());
    assert!(world.record(&RecordCommand::Stop { recording: RECORDING }, None).is_none());
    world.rtp(a, CUSTOMER, 0, 61);
    world.tick(1000);
    let (left, right) = heard(&world.wire.blocks);
    assert!(left < 0.6 && right < 0.6, "{left} {right}");
}
