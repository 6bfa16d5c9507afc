//! A panic costs the call it happened in, and no other a packet (ATTACKS 35).

use super::*;
use crate::command::Sources;
use crate::record::{Container, PausePolicy, RecordCommand, RecordEvent, RecordFormat, Side};

const OTHER: BridgeId = BridgeId(2);

impl World {
    fn open_in(&mut self, bridge: BridgeId, id: u64) -> Slot {
        let numbers = Numbers { ssrc: 0xb000 + id as u32, sequence: 1, timestamp: 0 };
        let slot = self.worker.open(self.now, (StreamId(id), bridge), true, numbers);
        self.configure(slot, config(PHONES[(id % 2) as usize], &[PCMU]));
        slot
    }

    /// Three legs of a call that is to break, and two of another one that hear each other.
    fn two_calls() -> (Self, [Slot; 3], [Slot; 2]) {
        let mut world = Self::new();
        let broken = [0, 1, 2].map(|id| world.open_in(BRIDGE, id));
        let healthy = [10, 11].map(|id| world.open_in(OTHER, id));
        for (n, slot) in healthy.into_iter().enumerate() {
            let other = 1 - n;
            world.hear(slot, Hear::Stream(StreamId(10 + other as u64)), Some(healthy[other]));
        }
        (world, broken, healthy)
    }
}

const PHONES: [&str; 2] = [CUSTOMER, AGENT];

#[test]
fn a_panic_ends_the_streams_of_its_call_and_the_other_loses_no_packet() {
    for moment in [Moment::Packet, Moment::Play, Moment::Mix, Moment::Look] {
        let (mut world, broken, healthy) = World::two_calls();
        match moment {
            Moment::Play => world.hear(broken[1], Hear::Music, None),
            Moment::Mix => {
                for (n, slot) in broken.into_iter().enumerate() {
                    let others = (0..3).filter(|id| *id != n as u64).map(StreamId);
                    world.hear(slot, Hear::Mix(Sources::from_iter(others)), None);
                }
            }
            Moment::Packet | Moment::Look => {}
        }
        world.worker.poison(broken[1], moment);
        let mut given_up = Vec::new();
        for n in 0..120 {
            if given_up.is_empty() {
                for (id, slot) in broken.into_iter().enumerate() {
                    world.rtp(slot, PHONES[id % 2], 0, n);
                }
            }
            for (id, slot) in healthy.into_iter().enumerate() {
                world.rtp(slot, PHONES[id], 0, n);
            }
            world.tick(20);
            while let Some((bridge, remains)) = world.worker.give_up() {
                assert_eq!(bridge, BRIDGE, "{moment:?}");
                given_up.extend(remains);
            }
        }
        let streams: Vec<_> = given_up.iter().map(|one| one.stream).collect();
        assert_eq!(streams, [0, 1, 2].map(StreamId), "{moment:?}");
        let received = given_up[0].stats.packets_received;
        assert!(received > 0, "{moment:?}: its figures are told");
        assert_eq!(world.worker.conferences(), 0, "{moment:?}");
        for slot in healthy {
            let sent = std::mem::take(&mut world.wire.sent);
            let to_it =
                sent.iter().filter(|(from, channel, ..)| *from == slot && *channel == Channel::Rtp);
            assert_eq!(to_it.count(), 120, "{moment:?}");
            world.wire.sent = sent;
            assert_eq!(world.close(slot).packets_received, 120, "{moment:?}");
        }
        assert!(world.worker.is_idle(), "{moment:?}: every slot is free");
        // What was taken is used again.
        let (mut again, mut places) = (world, Vec::new());
        for id in 20..25 {
            places.push(again.open_in(BRIDGE, id).0);
        }
        places.sort_unstable();
        assert_eq!(places, [0, 1, 2, 3, 4], "{moment:?}");
        again.tick(2000);
        assert!(again.worker.give_up().is_none(), "{moment:?}");
    }
}

/// A disk's queue that panics with the first block.
struct Full(Wire);

impl Sink for Full {
    fn send(&mut self, slot: Slot, channel: Channel, to: SocketAddr, datagram: &[u8]) -> bool {
        self.0.send(slot, channel, to, datagram)
    }

    fn event(&mut self, event: MediaEvent) {
        self.0.event(event);
    }

    fn recorded(&mut self, _: RecordingId, _: &mut Block) {
        panic!("on purpose");
    }

    fn pin(&mut self, _: Slot, _: Channel, _: Option<SocketAddr>) {}
}

#[test]
fn a_panic_in_a_recording_costs_the_recording_only() {
    let (mut world, a, b) = World::call(&[PCMU], &[PCMU]);
    let recording = RecordingId(1);
    let format =
        RecordFormat { container: Container::Wav, rate: 8000, pause: PausePolicy::Silence };
    let start = RecordCommand::Start { recording, name: "x".into(), format };
    let (stream, side) = (StreamId(0), Some(Side::Customer));
    let track = RecordCommand::Track { recording, stream, side };
    let mut full = Full(Wire::default());
    world.worker.record(world.now, &start, None, &mut full).unwrap();
    world.worker.record(world.now, &track, Some(a), &mut full).unwrap();
    for n in 0..200 {
        world.rtp(a, CUSTOMER, 0, n);
        world.pass(20);
        world.worker.tick(world.now, &mut full);
    }
    let told = full.0.events.iter().filter_map(|event| {
        let MediaEvent::Recording(event) = event else { return None };
        Some(event)
    });
    let told: Vec<_> = told.collect();
    let [RecordEvent::Failed { recording: RecordingId(1), file: None, duration_ms, .. }] = told[..]
    else {
        panic!("{told:?}")
    };
    assert!((900..=1100).contains(duration_ms), "{duration_ms}");
    assert!(world.worker.give_up().is_none(), "the call goes on");
    assert_eq!(world.heard(b).len(), 200);
    let stop = RecordCommand::Stop { recording };
    assert_eq!(world.worker.record(world.now, &stop, None, &mut full), Ok(None));
}
