//! Every listener hears exactly whom the plan says, at the right level.

use super::*;
use crate::command::Beside;

/// All codecs and rates in one call; of Opus, phones of three kinds.
const EIGHT: [(Payload, u32); 8] = [
    (PCMU, 8000),
    (PCMA, 8000),
    (G722, 16_000),
    (OPUS, 48_000),
    (OPUS, 16_000),
    (OPUS, 8000),
    (WIDE_L16, 16_000),
    (L16, 8000),
];
/// Error of a tone's level, and level of a tone that is not there, dB: where no Opus is on the way,
/// where only the talker's is, and what it leaves a listener of seven tones at once.
const EXACT: (f64, f64) = (0.3, -40.0);
const FROM_OPUS: (f64, f64) = (1.0, -40.0);
const TO_OPUS: (f64, f64) = (6.5, -25.0);

fn all_but(listener: usize, count: usize) -> Vec<usize> {
    (0..count).filter(|n| *n != listener).collect()
}

#[test]
fn eight_legs_of_all_codecs_hear_all_others_and_nobody_else() {
    let mut room = Room::new(&EIGHT);
    room.conference(&[0, 1, 2, 3, 4, 5, 6, 7]);
    let heard = room.listen();
    let voices = room.voices_by(&heard, |source, listener| {
        match (room.is_opus(source), room.is_opus(listener)) {
            (false, false) => EXACT,
            (true, false) => FROM_OPUS,
            (_, true) => TO_OPUS,
        }
    });
    for (listener, voices) in voices.into_iter().enumerate() {
        assert_eq!(voices, all_but(listener, 8), "{listener}");
    }
}

/// What a codec makes of samples at a phone's rate, at the rate of a listener's decoder.
fn coded((payload, rate): (Payload, u32), pcm: &[i16]) -> Vec<i16> {
    let format = Format::of(&payload).unwrap().for_rate(rate);
    let mut encoder = Encoder::new(&format, OpusSettings::default()).unwrap();
    let mut decoder = Decoder::new(&Format::of(&payload).unwrap()).unwrap();
    let mut heard = vec![];
    for said in pcm.chunks_exact(format.samples_of_ms(20)) {
        let (mut payload, mut out) = ([0; 1400], [0; SAMPLES_MAX]);
        let bytes = encoder.encode(said, &mut payload).unwrap();
        let len = decoder.decode(&payload[..bytes], &mut out).unwrap();
        heard.extend(&out[..len]);
    }
    heard
}

/// Gain of a tone, and what is beside it, dB, once both have settled.
fn purity(pcm: &[i16], amplitude: f64, hertz: f64, rate: u32) -> (f64, f64) {
    let pcm = &pcm[pcm.len() / 3..];
    let tone = level(pcm, hertz, rate);
    (db(tone / amplitude), db(rest(pcm, hertz, rate) / tone))
}

/// The same through a talker's codec, and then through a listener's, whose encoder works at the rate of
/// its decoder.
fn through(talker: (Payload, u32), listener: (Payload, u32), hertz: f64) -> (f64, f64) {
    let (rate, amplitude) = (f64::from(talker.1), quiet());
    let sample = |n: usize| (amplitude * (TAU * hertz * n as f64 / rate).sin()).round() as i16;
    let said: Vec<_> = (0..talker.1 as usize * 3 / 2).map(sample).collect();
    let once = coded(talker, &said);
    let [of_talker, of_listener] =
        [talker.0, listener.0].map(|payload| Format::of(&payload).unwrap().sample_rate);
    let between = crate::resample::resample(&once, of_talker, of_listener);
    let twice = coded((listener.0, of_listener), &between);
    purity(&twice, amplitude, hertz, of_listener)
}

/// As ITU-T O.132 measures: no part of 8 kHz, so that the steps of G.711 fall anywhere.
const HERTZ: f64 = 1020.0;

#[test]
fn one_talker_at_a_time_is_heard_by_all_as_well_as_both_codecs_allow() {
    let mut room = Room::new(&EIGHT);
    room.conference(&[0, 1, 2, 3, 4, 5, 6, 7]);
    for talker in 0..8 {
        for (n, leg) in room.legs.iter_mut().enumerate() {
            (leg.amplitude, leg.hertz) = (if n == talker { quiet() } else { 0.0 }, HERTZ);
        }
        // In the first second those come to share an encoder who hear the same.
        for slack in [4.0, 3.0] {
            let heard = room.listen();
            one_talker_is_heard(&room, talker, &heard, slack);
        }
    }
}

/// As well as one codec after the other makes it with nothing of ours between them, but for these dB.
fn one_talker_is_heard(room: &Room, talker: usize, heard: &[Vec<i16>], slack: f64) {
    for (listener, pcm) in heard.iter().enumerate() {
        let rate = room.legs[listener].listening_rate();
        let tone = level(pcm, HERTZ, rate);
        let (gain, rest) = (db(tone / quiet()), db(rest(pcm, HERTZ, rate) / tone));
        if listener == talker {
            assert!(gain < -60.0, "own voice, {talker}: {gain:.2} dB");
            continue;
        }
        let both = through(EIGHT[talker], EIGHT[listener], HERTZ);
        let what = format!("{talker} to {listener}: {gain:.2}, {rest:.1} dB; {both:.1?} alone");
        // What the resampler adds is below −60 dB.
        let power = |db: f64| 10f64.powf(db / 10.0);
        let most = 10.0 * (power(both.1) + power(-60.0)).log10() + slack;
        assert!(rest < most, "{what}");
        assert!((gain - both.0).abs() < 0.3, "{what}");
    }
}

#[test]
fn linear_codecs_hear_all_others_exactly_and_themselves_not_at_all() {
    let mut room = Room::new(&[(WIDE_L16, 16_000); 8]);
    room.conference(&[0, 1, 2, 3, 4, 5, 6, 7]);
    let heard = room.listen();
    let voices = room.voices(&heard, (0.1, -60.0));
    for (listener, voices) in voices.into_iter().enumerate() {
        assert_eq!(voices, all_but(listener, 8), "{listener}");
    }
}

#[test]
fn a_tone_through_a_conference_of_eight_keeps_its_level_and_its_purity() {
    // Codec, gain, and what is beside the tone, dB. G.711 is coded twice on the way.
    let rows = [(WIDE_L16, 0.1, -60.0), (L16, 0.1, -60.0), (PCMU, 0.1, -35.0), (PCMA, 0.1, -35.0)];
    for (payload, gain_max, rest_max) in rows {
        let rate = Format::of(&payload).unwrap().sample_rate;
        let mut room = Room::new(&[(payload, rate); 8]);
        room.legs.iter_mut().for_each(|leg| leg.amplitude = 0.0);
        (room.legs[0].amplitude, room.legs[0].hertz) = (quiet(), 1000.0);
        room.conference(&[0, 1, 2, 3, 4, 5, 6, 7]);
        let heard = room.listen();
        for (listener, pcm) in heard.iter().enumerate() {
            let tone = level(pcm, 1000.0, rate);
            let (gain, rest) = (db(tone / quiet()), db(rest(pcm, 1000.0, rate) / tone));
            let what = format!("{:?} to {listener}: {gain:.3}, {rest:.1} dB", payload.codec);
            if listener == 0 {
                assert!(gain < -60.0, "own voice, {what}");
            } else {
                assert!(gain.abs() < gain_max && rest < rest_max, "{what}");
            }
        }
    }
}

#[test]
fn who_monitors_hears_both_and_is_heard_by_nobody() {
    let mut room = Room::new(&[(PCMU, 8000), (PCMU, 8000), (PCMA, 8000)]);
    room.hear(0, Hear::Stream(StreamId(1)));
    room.hear(1, Hear::Stream(StreamId(0)));
    room.hear(2, mix(&[0, 1]));
    let heard = room.listen();
    let voices = room.voices(&heard, (0.3, -40.0));
    assert_eq!(voices, [vec![1], vec![0], vec![0, 1]]);
}

#[test]
fn who_whispers_is_heard_by_the_agent_alone() {
    let mut room = Room::new(&[(PCMA, 8000), (OPUS, 48_000), (G722, 16_000)]);
    room.hear(0, Hear::Stream(StreamId(1)));
    room.hear(1, mix(&[0, 2]));
    room.hear(2, mix(&[0, 1]));
    let heard = room.listen();
    let voices = room.voices(&heard, (1.5, -30.0));
    assert_eq!(voices, [vec![1], vec![0, 2], vec![0, 1]]);
}

#[test]
fn music_is_where_it_is_planned_and_nowhere_else() {
    let mut room = Room::new(&[(L16, 8000); 4]);
    // Between the harmonics of the music.
    room.legs.iter_mut().for_each(|leg| leg.hertz += 50.0);
    // The saw of the tests' music: 100 Hz.
    let saw = |pcm: &[i16]| level(pcm, 200.0, 8000);
    room.conference(&[0, 1, 2]);
    room.hear(3, Hear::Music);
    let heard = room.listen();
    let voices = room.voices(&heard, (0.1, -60.0));
    assert_eq!(voices[..3], [vec![1, 2], vec![0, 2], vec![0, 1]]);
    let music: Vec<_> = heard.iter().map(|pcm| saw(pcm) > 300.0).collect();
    assert_eq!(music, [false, false, false, true]);
    // Music beside a voice: who waits is whispered to.
    let beside = Sources::from_iter([StreamId(2)]).beside(Some(Beside::Music));
    room.hear(3, Hear::Mix(beside));
    let heard = room.listen();
    let music: Vec<_> = heard.iter().map(|pcm| saw(pcm) > 300.0).collect();
    assert_eq!(music, [false, false, false, true]);
    assert!(db(level(&heard[3], room.legs[2].hertz, 8000) / 1000.0).abs() < 0.5);
}

#[test]
fn eight_at_six_decibels_below_full_scale_do_not_wrap_and_the_limiter_is_soft() {
    let mut room = Room::new(&[(WIDE_L16, 16_000); 8]);
    room.legs.iter_mut().for_each(|leg| leg.amplitude = 0.0);
    room.conference(&[0, 1, 2, 3, 4, 5, 6, 7]);
    room.run(400);
    room.legs.iter_mut().for_each(|leg| leg.amplitude = 16_384.0);
    drop(room.legs[0].listen());
    room.run(1000);
    let pcm = room.legs[0].listen();
    assert!(pcm.iter().any(|sample| sample.unsigned_abs() > 20_000), "it is loud");
    // What wraps jumps by twice the full scale; the steepest of seven such tones by much less.
    let steepest = pcm.windows(2).map(|w| (i32::from(w[1]) - i32::from(w[0])).abs()).max();
    assert!(steepest < Some(45_000), "{steepest:?}");
}

#[test]
fn who_hears_the_same_shares_an_encoder() {
    for (payload, rate) in [(PCMU, 8000), (G722, 16_000), (OPUS, 48_000)] {
        let mut room = Room::new(&[(payload, rate); 8]);
        // Two talk, six listen.
        room.legs.iter_mut().skip(2).for_each(|leg| leg.amplitude = 0.0);
        room.conference(&[0, 1, 2, 3, 4, 5, 6, 7]);
        room.run(2500);
        assert_eq!(room.world.worker.encoders(BRIDGE), 3, "{:?}", payload.codec);
        // The second falls silent, the third begins: each change goes without a click elsewhere.
        room.legs[1].amplitude = 0.0;
        room.legs[2].amplitude = 1000.0;
        room.run(2500);
        assert_eq!(room.world.worker.encoders(BRIDGE), 3, "{:?}", payload.codec);
        let heard = room.listen();
        let talkers = |listener: usize| [0, 2].into_iter().filter(move |n| *n != listener);
        for (listener, pcm) in heard.iter().enumerate() {
            for n in talkers(listener) {
                let gain = db(level(pcm, room.legs[n].hertz, rate) / 1000.0);
                assert!(gain.abs() < 1.5, "{:?}, {n} to {listener}: {gain}", payload.codec);
            }
        }
    }
}

#[test]
fn a_mix_that_nobody_hears_any_more_is_gone() {
    let mut room = Room::new(&[(PCMU, 8000); 3]);
    room.conference(&[0, 1, 2]);
    room.run(200);
    assert_eq!(room.world.worker.conferences(), 1);
    room.world.close(room.legs[2].slot);
    room.legs.pop();
    room.hear(0, Hear::Stream(StreamId(1)));
    room.hear(1, Hear::Stream(StreamId(0)));
    room.run(40);
    assert_eq!(room.world.worker.conferences(), 0);
    let heard = room.listen();
    assert_eq!(room.voices(&heard, (0.3, -40.0)), [vec![1], vec![0]]);
}

#[test]
fn who_is_not_there_yet_is_heard_when_the_stream_opens() {
    let mut room = Room::new(&[(L16, 8000); 2]);
    room.hear(0, mix(&[1, 2]));
    room.hear(1, mix(&[0, 2]));
    room.run(100);
    room.join(L16, 8000);
    let heard = room.listen();
    assert_eq!(room.voices(&heard, (0.1, -60.0)), [vec![1, 2], vec![0, 2], vec![]]);
}

#[test]
fn calls_do_not_hear_each_other() {
    let mut room = Room::new(&[(L16, 8000); 3]);
    room.world.worker.move_to(room.legs[2].slot, BridgeId(2));
    room.hear(0, mix(&[1, 2]));
    room.hear(1, mix(&[0, 2]));
    let heard = room.listen();
    assert_eq!(room.voices(&heard, (0.1, -60.0)), [vec![1], vec![0], vec![]]);
    // And merge.
    room.world.worker.move_to(room.legs[2].slot, BRIDGE);
    room.hear(2, mix(&[0, 1]));
    let heard = room.listen();
    assert_eq!(room.voices(&heard, (0.1, -60.0)), [vec![1, 2], vec![0, 2], vec![0, 1]]);
}
