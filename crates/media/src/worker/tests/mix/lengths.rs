//! Packets of other lengths than a tick's: whatever a phone or a trunk likes (`a=ptime`).

use super::change::largest_click;
use super::*;
use crate::command::NoiseRemoval;
use crate::denoise::DenoiseSettings;

const LENGTHS: [u64; 5] = [10, 20, 30, 40, 60];

#[test]
fn who_sends_packets_of_another_length_is_heard_whole_and_without_delay() {
    for (payload, rate) in [(PCMU, 8000), (G722, 16_000), (OPUS, 48_000)] {
        // RFC 6716 §2.1.4: Opus has no packets of 30 ms.
        let lengths = LENGTHS.into_iter().filter(|ms| payload.codec != Codec::Opus || *ms != 30);
        for (ms, phase) in lengths.flat_map(|ms| [(ms, 1), (ms, 11), (ms, 19)]) {
            let mut room = Room::new(&[(WIDE_L16, 16_000), (payload, rate), (WIDE_L16, 16_000)]);
            (room.legs[1].packet_ms, room.legs[1].phase) = (ms, phase);
            room.conference(&[0, 1, 2]);
            room.run(2000);
            drop(room.legs[0].listen());
            let before = room.world.worker.playout(room.legs[1].slot).unwrap();
            room.run(10_000);
            let after = room.world.worker.playout(room.legs[1].slot).unwrap();
            let what = format!("{:?}, {ms} ms at {phase}: {after:?}", payload.codec);
            let lost = (after.concealed - before.concealed, after.late, after.dropped);
            assert_eq!(lost, (0, 0, 0), "{what}");
            let changed = after.shortened + after.lengthened - before.shortened - before.lengthened;
            assert_eq!(changed, 0, "{what}");
            assert!(after.delay_ms <= 21.0, "{what}");
            let heard = room.legs[0].listen();
            let hertz = [room.legs[1].hertz, room.legs[2].hertz];
            let gain = db(level(&heard, hertz[0], 16_000) / room.legs[1].amplitude);
            assert!(
                gain.abs() < if payload.codec == Codec::Opus { 4.0 } else { 0.5 },
                "{what}: {gain}"
            );
            let click = largest_click(&heard, &hertz, 16_000);
            // What the codec itself makes of it, G.722 most.
            assert!(click < 150.0, "{what}: {click}");
        }
    }
}

#[test]
fn noise_is_removed_from_packets_of_any_length() {
    let settings = DenoiseSettings { attenuation_limit_db: 22 };
    for ms in LENGTHS {
        let mut room = Room::new(&[(WIDE_L16, 16_000), (PCMU, 8000), (WIDE_L16, 16_000)]);
        room.legs[1].packet_ms = ms;
        room.legs[1].speech = crate::speech::speech(8000, 8000 * 5);
        let it = &room.legs[1];
        let noise_removal = Some(NoiseRemoval { enabled: true, settings });
        let slot = it.slot;
        let config = StreamConfig { noise_removal, ..config(&it.from, &[it.payload]) };
        room.world.configure(slot, config);
        room.conference(&[0, 1, 2]);
        room.legs[2].amplitude = 0.0;
        room.run(2000);
        drop(room.legs[0].listen());
        let before = room.world.worker.playout(slot).unwrap();
        room.run(20_000);
        let after = room.world.worker.playout(slot).unwrap();
        assert_eq!(after.concealed, before.concealed, "{ms} ms: {after:?}");
        let heard = room.legs[0].listen();
        let power = |pcm: &[i16]| {
            pcm.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / pcm.len().max(1) as f64
        };
        let gain = 10.0 * (power(&heard) / power(&room.legs[1].speech)).log10();
        assert!(gain.abs() < 1.5, "{ms} ms: {gain} dB");
    }
}
