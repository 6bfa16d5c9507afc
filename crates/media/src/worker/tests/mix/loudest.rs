//! Who is heard of many, and how loud.

use super::*;
use crate::mixer::MixerSettings;
use crate::speech;

/// Legs whose tones have these amplitudes, all in one conference.
fn room(amplitudes: &[f64], mixing: MixerSettings) -> Room {
    let mut room = Room::new(&vec![(L16, 8000); amplitudes.len()]);
    room.world.worker.set_mixing(mixing);
    for (leg, amplitude) in room.legs.iter_mut().zip(amplitudes) {
        leg.amplitude = *amplitude;
    }
    let all: Vec<_> = (0..amplitudes.len()).collect();
    room.conference(&all);
    room
}

/// Whom a leg hears, of all the others, by their tones in the last 400 ms.
fn heard_by(room: &mut Room, leg: usize) -> Vec<usize> {
    room.run(800);
    let pcm = room.legs[leg].listen();
    let pcm = &pcm[pcm.len() - 3200..];
    let is_heard = |other: &usize| {
        let it = &room.legs[*other];
        *other != leg && db(level(pcm, it.hertz, 8000) / it.amplitude) > -1.0
    };
    (0..room.legs.len()).filter(is_heard).collect()
}

#[test]
fn of_many_the_loudest_are_heard_and_all_who_clearly_speak() {
    let (loud, clear, faint) = (4000.0, 1500.0, 100.0);
    let amplitudes = [loud, faint, loud, faint, loud, loud, faint];
    let mut room = room(&amplitudes, MixerSettings::of_people());
    assert_eq!(heard_by(&mut room, 6), [0, 2, 4, 5]);
    assert_eq!(heard_by(&mut room, 0), [2, 4, 5], "and nobody hears the faint ones");
    room.legs[1].amplitude = clear;
    assert_eq!(heard_by(&mut room, 6), [0, 1, 2, 4, 5], "five who speak are five");
    room.legs[1].amplitude = faint;
    room.legs[0].amplitude = faint;
    room.run(1000);
    assert_eq!(heard_by(&mut room, 6), [0, 2, 4, 5], "who was heard goes last of equals");
    // As many as may be heard, and no more.
    let three = MixerSettings { speakers_max: 3, spared_db: None, ..MixerSettings::default() };
    let mut room = self::room(&[4000.0, 3900.0, 3800.0, 3700.0, 3600.0], three);
    assert_eq!(heard_by(&mut room, 4), [0, 1, 2]);
    // It can be changed while they speak.
    room.world.worker.set_mixing(MixerSettings::default());
    room.conference(&[0, 1, 2, 3]);
    room.conference(&[0, 1, 2, 3, 4]);
    assert_eq!(heard_by(&mut room, 4), [0, 1, 2, 3]);
}

#[test]
fn who_whispers_is_heard_however_loud_the_others_are() {
    let one = MixerSettings { speakers_max: 1, spared_db: None, ..MixerSettings::default() };
    let mut room = Room::new(&[(L16, 8000); 4]);
    room.world.worker.set_mixing(one);
    for (leg, amplitude) in room.legs.iter_mut().zip([4000.0, 1000.0, 900.0, 200.0]) {
        leg.amplitude = amplitude;
    }
    // The supervisor, 3, hears all; only the agent, 1, hears the supervisor.
    room.hear(0, mix(&[1, 2]));
    room.hear(1, mix(&[0, 2, 3]));
    room.hear(2, mix(&[0, 1]));
    room.hear(3, mix(&[0, 1, 2]));
    assert_eq!(heard_by(&mut room, 1), [0, 3]);
    assert_eq!(heard_by(&mut room, 2), [0]);
}

#[test]
fn voices_are_brought_to_the_same_loudness_where_that_is_wanted() {
    for normalises in [false, true] {
        let mixing = MixerSettings { normalises, ..MixerSettings::of_people() };
        let mut levels = vec![];
        for loudness in [0.3, 1.6] {
            let mut room = room(&[0.0, 0.0, 0.0], mixing);
            let voice = speech::voice(8000, 16_000, |_| 120.0, |_| loudness);
            room.legs[0].speech = voice;
            room.run(6000);
            let pcm = room.legs[1].listen();
            levels.push(db(speech::rms(&pcm[pcm.len() - 16_000..]) / 32_768.0));
        }
        let apart = levels[1] - levels[0];
        match normalises {
            false => assert!((apart - 14.5).abs() < 0.5, "as they are: {levels:?}"),
            true => assert!(apart.abs() < 2.0 && (levels[0] + 22.0).abs() < 2.0, "{levels:?}"),
        }
    }
}
