//! Listeners whose codecs foresee what comes by what came (G.722, Opus): a path that changes hands a
//! decoder from one encoder to another, which knows nothing of what the decoder has heard. Beside the
//! voices next to nothing may be heard of it.

use super::change::STEP;
use super::*;
use crate::codec::OpusFormat;
use crate::command::NoiseRemoval;
use crate::denoise::DenoiseSettings;
use crate::resample::resample;
use crate::sound::{Sound, Sounds};
use crate::speech::rms;

/// All is looked at at this rate, in parts of 10 ms.
const RATE: u32 = 8000;
const PART: usize = 80;
/// Of such parts: as long as no hole may be.
const HOLE_MAX: usize = 4;

/// What a listener hears, decoded.
fn heard(room: &mut Room) -> Vec<i16> {
    let rate = room.legs[0].listening_rate();
    resample(&room.legs[0].listen(), rate, RATE)
}

/// Levels of its parts, dB.
fn levels(pcm: &[i16]) -> Vec<f64> {
    pcm.chunks_exact(PART).map(|part| db(rms(part))).collect()
}

fn loudest(levels: &[f64]) -> f64 {
    levels.iter().copied().fold(f64::MIN, f64::max)
}

/// The longest stretch in which all is below this.
fn longest_hole(levels: &[f64], below: f64) -> usize {
    levels.split(|level| *level >= below).map(<[f64]>::len).max().unwrap_or(0)
}

fn above_2_khz(pcm: &[i16]) -> f64 {
    highs(pcm).into_iter().map(f64::abs).fold(0.0, f64::max)
}

/// A second of both voices as a codec alone makes it: its loudest 10 ms, and what is above 2 kHz.
fn alone(payload: &Payload, hertz: [f64; 2], from: u32) -> (f64, f64) {
    let format = Format::of(payload).unwrap();
    let mut encoder = Encoder::new(&format, OpusSettings::default()).unwrap();
    encoder.limit_band(from, OpusSettings::default().bitrate, &OpusFormat::OURS);
    let mut decoder = Decoder::new(&format).unwrap();
    let (len, rate) = (format.samples_of_ms(20), f64::from(format.sample_rate));
    let mut pcm = vec![];
    for n in 0..60 {
        let sample = |n: usize| hertz.map(|hertz| 1000.0 * (TAU * hertz * n as f64 / rate).sin());
        let said: Vec<_> =
            (n * len..(n + 1) * len).map(|n| sample(n).iter().sum::<f64>() as i16).collect();
        let (mut payload, mut out) = ([0; 1400], [0; SAMPLES_MAX]);
        let bytes = encoder.encode(&said, &mut payload).unwrap();
        let len = decoder.decode(&payload[..bytes], &mut out).unwrap();
        pcm.extend(&out[..len]);
    }
    let pcm = resample(&pcm[pcm.len() / 6..], format.sample_rate, RATE);
    (loudest(&levels(&pcm)), above_2_khz(&pcm))
}

/// A listener and two talkers, each codec with the rate its phones work at.
fn room(listener: (Payload, u32), talkers: (Payload, u32), phase: u64) -> Room {
    let mut room = Room::new(&[listener, talkers, talkers]);
    room.legs[1].phase = phase;
    room
}

const TALKERS: [(Payload, u32); 5] =
    [(G722, 16_000), (OPUS, 48_000), (WIDE_L16, 16_000), (L16, 8000), (PCMU, 8000)];
const ONE: Hear = Hear::Stream(StreamId(1));

/// From a relayed or transcoded voice to a mix of two and back: no burst, no hole and nothing above the
/// voices.
#[test]
fn from_one_voice_to_several_and_back_nothing_bursts() {
    for listener in [(G722, 16_000), (OPUS, 48_000)] {
        for talkers in TALKERS {
            for phase in [1, 6, 11, 16, 19] {
                let mut room = room(listener, talkers, phase);
                let hertz = [room.legs[1].hertz, room.legs[2].hertz];
                let (usual, high) = alone(&listener.0, hertz, talkers.1);
                room.hear(0, ONE);
                room.run(500);
                drop(room.legs[0].listen());
                let both = mix(&[1, 2]);
                for (n, hear) in (0..).zip([both, ONE, both, mix(&[1]), ONE, both, ONE]) {
                    room.hear(0, hear);
                    room.run(200 + 7 * n);
                }
                one_session(&room.legs[0].heard, listener.0.clock_rate / 50);
                let pcm = heard(&mut room);
                let levels = levels(&pcm);
                let (loudest, above) = (loudest(&levels), above_2_khz(&pcm));
                let hole = longest_hole(&levels, usual - 12.0);
                let what = format!(
                    "{:?} of {:?} at {phase}: {loudest:.1} dB, alone {usual:.1}; above 2 kHz \
                     {above:.0}, alone {high:.0}; a hole of {hole}",
                    listener.0.codec, talkers.0.codec
                );
                assert!(loudest < usual + 5.0 && above < 2.0 * STEP && hole <= HOLE_MAX, "{what}");
            }
        }
    }
}

/// Noise removal that comes and goes takes the path from a relay to our encoder and back.
#[test]
fn noise_removal_that_comes_and_goes_does_not_burst() {
    let settings = DenoiseSettings::default();
    for codec in [(G722, 16_000), (OPUS, 48_000)] {
        for phase in [1, 8, 14, 19] {
            let mut room = room(codec, codec, phase);
            let hertz = [room.legs[1].hertz; 2];
            let (usual, high) = alone(&codec.0, hertz, codec.1);
            let usual = usual - 6.0; // one voice, not two of the same
            room.hear(0, ONE);
            room.run(500);
            drop(room.legs[0].listen());
            for (n, enabled) in (0..).zip([Some(true), None, Some(false), Some(true), None]) {
                let noise_removal = enabled.map(|enabled| NoiseRemoval { enabled, settings });
                let it = &room.legs[1];
                let config = StreamConfig { noise_removal, ..config(&it.from, &[it.payload]) };
                room.world.configure(room.legs[1].slot, config);
                room.run(303 + n);
            }
            one_session(&room.legs[0].heard, codec.0.clock_rate / 50);
            let pcm = heard(&mut room);
            let levels = levels(&pcm);
            let (loudest, above) = (loudest(&levels), above_2_khz(&pcm));
            let hole = longest_hole(&levels, usual - 12.0);
            let what = format!(
                "noise {:?} at {phase}: {loudest:.1} dB, alone {usual:.1}; above 2 kHz {above:.0}, alone \
                 {high:.0}; a hole of {hole}",
                codec.0.codec
            );
            assert!(loudest < usual + 5.0 && above < STEP && hole <= HOLE_MAX, "{what}");
        }
    }
}

/// Music, a tone, silence, nothing at all and another voice between voices: what comes is not much louder
/// than it is a moment later, unless what was there before still is.
#[test]
fn what_is_heard_between_voices_begins_and_ends_in_no_burst() {
    let both = mix(&[1, 2]);
    let (tone, other) = (Hear::Tone(CallTone::Busy), Hear::Stream(StreamId(2)));
    for listener in [(G722, 16_000), (OPUS, 48_000)] {
        for talkers in TALKERS {
            let mut room = room(listener, talkers, 11);
            let hertz = [room.legs[1].hertz, room.legs[2].hertz];
            let (usual, _) = alone(&listener.0, hertz, talkers.1);
            for between in [Hear::Music, tone, Hear::Silence, Hear::Nothing, other] {
                for (from, to) in [(ONE, both), (ONE, ONE), (both, both), (both, ONE)] {
                    let [first, rest, after] = loudest_of(&mut room, [from, between, to]);
                    let rest = rest.max(usual);
                    let what = format!(
                        "{from:?}, {between:?}, {to:?} in {:?} of {:?}: {first:.1} dB before \
                         {rest:.1}, then {after:.1}; alone {usual:.1}",
                        listener.0.codec, talkers.0.codec
                    );
                    assert!(first < rest + 6.0, "{what}");
                    assert!(after < (usual + 6.0).max(rest + 1.5), "{what}");
                }
            }
        }
    }
}

/// The loudest 10 ms of the first tenth of a second of what is heard between two others, of the rest of
/// it, and of what comes then, dB.
fn loudest_of(room: &mut Room, [from, between, to]: [Hear; 3]) -> [f64; 3] {
    room.hear(0, from);
    room.run(300);
    drop(room.legs[0].listen());
    room.hear(0, between);
    room.run(260);
    let meanwhile = levels(&heard(room));
    let (first, rest) = meanwhile.split_at(10.min(meanwhile.len()));
    room.hear(0, to);
    room.run(200);
    [loudest(first), loudest(rest), loudest(&levels(&heard(room)))]
}

/// An announcement in the middle of voices, relayed, transcoded or mixed.
#[test]
fn an_announcement_between_voices_begins_and_ends_in_no_burst() {
    const CHIME: SoundId = SoundId::Recording(0);
    let tone = |n: u32| (1000.0 * (TAU * 520.0 * f64::from(n) / 8000.0).sin()) as i16;
    for listener in [(G722, 16_000), (OPUS, 48_000)] {
        for talkers in TALKERS {
            for phase in [1, 11] {
                let mut room = room(listener, talkers, phase);
                let mut sounds = Sounds::default();
                sounds
                    .insert(CHIME, Sound::from_pcm(&(0..800).map(tone).collect::<Vec<_>>(), 8000));
                room.world.worker.set_sounds(sounds);
                let hertz = [room.legs[1].hertz, room.legs[2].hertz];
                let (usual, _) = alone(&listener.0, hertz, talkers.1);
                for hear in [ONE, mix(&[1, 2])] {
                    room.hear(0, hear);
                    room.run(400);
                    drop(room.legs[0].listen());
                    for _ in 0..3 {
                        let World { worker, wire, .. } = &mut room.world;
                        worker.announce(room.legs[0].slot, CHIME, wire);
                        room.run(311);
                    }
                    one_session(&room.legs[0].heard, listener.0.clock_rate / 50);
                    let levels = levels(&heard(&mut room));
                    let (loudest, hole) = (loudest(&levels), longest_hole(&levels, usual - 12.0));
                    let what = format!(
                        "{hear:?} in {:?} of {:?} at {phase}: {loudest:.1} dB, alone {usual:.1}, a \
                         hole of {hole}",
                        listener.0.codec, talkers.0.codec
                    );
                    assert!(loudest < usual + 5.0 && hole <= HOLE_MAX, "{what}");
                }
            }
        }
    }
}
