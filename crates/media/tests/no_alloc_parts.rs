//! Digits, sounds and recordings allocate nothing per packet.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use base::Time;
use media::command::{Codec, StreamId};
use media::dtmf::{Digit, DtmfEvent, EventReceiver, EventSender, ToneDetector, ToneGenerator};
use media::quality::{Counters, Limits, LossPattern, Monitor};
use media::record::{
    Block, BlockSink, Clock, Container, Heard, PausePolicy, RecordFormat, Recorder, Side,
};
use media::sound::{Playlist, Sound, SoundId};
use media::tone::{Country, LEVEL_DBM0, ToneKind, ToneSource, cadence};

/// Counts what the current thread allocates.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: everything is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.with(Cell::get);
    work();
    ALLOCATIONS.with(Cell::get) - before
}

fn at(n: u64) -> Time {
    Time::ZERO + Duration::from_millis(20 * n)
}

/// Takes blocks and gives the same memory back.
#[derive(Default)]
struct Count(usize);

impl BlockSink for Count {
    fn take(&mut self, block: &mut Block) {
        self.0 += block.samples.len();
        block.samples.clear();
    }
}

#[test]
fn a_recording_allocates_nothing_per_packet() {
    for rate in [8000, 16_000] {
        let format = RecordFormat { container: Container::Wav, rate, pause: PausePolicy::Silence };
        let mut recorder = Recorder::new(Time::ZERO, format).unwrap();
        let sides = [(StreamId(1), Side::Customer), (StreamId(2), Side::Agents)];
        sides.iter().for_each(|(stream, side)| recorder.track(*stream, Some(*side)));
        let mut sink = Count::default();
        let pcm = [500; 160];
        let mut step = |n: u64, sink: &mut Count| {
            for (stream, _) in sides {
                let timestamp = n as u32 * 160;
                let (clock, age) = (Clock::Peer(0), Duration::ZERO);
                let heard = Heard {
                    stream,
                    timestamp,
                    clock,
                    clock_rate: 8000,
                    rate: 8000,
                    pcm: &pcm,
                    age,
                };
                recorder.hear(at(n), &heard);
            }
            recorder.tick(at(n), sink);
        };
        step(1, &mut sink);
        assert_eq!(allocations(|| (2..1000).for_each(|n| step(n, &mut sink))), 0, "{rate}");
        assert!(sink.0 > 0);
    }
}

#[test]
fn digits_allocate_nothing() {
    let mut sender = EventSender::new(8000);
    let mut receiver = EventReceiver::new(8000);
    let mut tones = ToneGenerator::new(8000);
    let mut detector = ToneDetector::new(8000).unwrap();
    let press = DtmfEvent::new(Digit::from_char('5').unwrap());
    let (mut events, mut heard) = (0, 0);
    let count = allocations(|| {
        for n in 0..1000 {
            if n % 50 == 0 {
                assert!(sender.press(press) && tones.press(press));
            }
            let mut pcm = [0; 160];
            tones.fill(&mut pcm);
            detector.hear(&pcm, |_| heard += 1);
            let Some(packet) = sender.poll(n * 160, 160) else { continue };
            let now = at(n.into());
            let signals = receiver.packet(now, packet.timestamp, packet.marker, &packet.payload);
            events += signals.into_iter().count();
        }
    });
    assert_eq!(count, 0);
    assert_eq!((events, heard), (40, 40));
}

#[test]
fn sounds_and_figures_allocate_nothing() {
    let sound = Arc::new(Sound::silence());
    let mut list = Playlist::default();
    list.set_loop(Some((SoundId::Music, Arc::clone(&sound))));
    let mut tone = ToneSource::new(cadence(Country::De, ToneKind::Busy), LEVEL_DBM0, 8000);
    let (mut losses, mut monitor) = (LossPattern::default(), Monitor::new(Limits::default()));
    let (mut pcm, mut bytes) = ([0; 160], 0);
    let count = allocations(|| {
        for n in 0..1000 {
            let frame = list.next_frame().unwrap();
            bytes += frame.sound.frame(Codec::Pcmu, frame.index).unwrap().len();
            tone.fill(&mut pcm);
            losses.packet(u64::from(n % 7 == 0));
            let received = 50 * (n + 1);
            monitor.observe(at(n), &Counters { received, ..Counters::default() });
        }
    });
    assert_eq!(count, 0);
    assert_eq!(bytes, 160_000);
}
