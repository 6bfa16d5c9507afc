//! Payloads of every codec, in any order and at any time, on their way to the mixer.

use std::time::Duration;

use base::Time;
use media::codec::{Format, RATES};
use media::command::Codec;
use media::jitter_buffer::{Content, Incoming};
use media::playout::{Playout, TICK_MS_MAX};

use crate::reader::Reader;

const STEPS_MAX: usize = 200;

const FORMATS: [(Codec, u32); 6] = [
    (Codec::Pcmu, 8000),
    (Codec::Pcma, 16_000),
    (Codec::L16, 48_000),
    (Codec::G722, 8000),
    (Codec::Opus, 48_000),
    (Codec::Opus, 48_000),
];

/// The first bytes choose codec and rate; the rest are packets and pulls.
pub fn playout(bytes: &[u8]) {
    let mut reader = Reader::new(bytes);
    let (codec, clock_rate) = *reader.pick(&FORMATS);
    let format = Format::new(codec, clock_rate).expect("a codec that is coded");
    let rate = *reader.pick(&RATES);
    let mut playout = Playout::new(format, rate, 1).expect("a codec that is coded");
    let mut now = Time::ZERO;
    let (mut run, mut sequence, mut timestamp) = (0, 0_u64, 0_u32);
    let (mut pulled, mut loudest) = (0, [0; 48 * TICK_MS_MAX]);
    for _ in 0..STEPS_MAX {
        if reader.is_empty() {
            break;
        }
        match reader.below(8) {
            0 => run += 1,
            1 => timestamp = reader.word(),
            2 => sequence = sequence.saturating_add_signed(i64::from(reader.byte() as i8)),
            3 => now = now + Duration::from_millis(u64::from(reader.byte()) * 4),
            4..=6 => {
                let content = [Content::Audio, Content::Audio, Content::Noise, Content::Event];
                let content = content[reader.below(4)];
                let payload = reader.some(255);
                let packet = Incoming { run, sequence, timestamp, content, payload };
                playout.put(now, &packet);
                sequence += 1;
                timestamp = timestamp.wrapping_add(clock_rate / 50);
            }
            _ => {
                for _ in 0..=reader.byte() % 8 {
                    let tick = *reader.pick(&[20, 20, 10, 40]);
                    let len = rate as usize / 1000 * tick;
                    playout.pull(now, &mut loudest[..len]);
                    now = now + Duration::from_millis(tick as u64);
                    pulled += tick as u64;
                }
            }
        }
        judge(&playout, pulled);
    }
}

/// The figures are figures.
fn judge(playout: &Playout, pulled_ms: u64) {
    let stats = playout.stats();
    assert_eq!(stats.samples, pulled_ms * u64::from(playout.format().sample_rate) / 1000);
    assert!(stats.jitter_ms.is_finite() && stats.delay_ms.is_finite());
    assert!((0.0..=100.0).contains(&stats.loss_percent), "{stats:?}");
}
