//! What happens to one voice on its way into the mix: recorded, cleaned, silent by agreement, coded
//! anew.

use super::*;
use crate::command::NoiseRemoval;
use crate::denoise::DenoiseSettings;
use crate::record::{Container, PausePolicy, RecordCommand, RecordFormat, RecordingId, Side};

const RECORDING: RecordingId = RecordingId(1);

impl Room {
    fn record(&mut self, command: &RecordCommand, slot: Option<Slot>) {
        let World { worker, now, wire } = &mut self.world;
        worker.record(*now, command, slot, wire).unwrap();
    }
}

#[test]
fn the_customer_is_recorded_left_the_agents_right_and_a_supervisor_nowhere() {
    let mut room = Room::new(&[(PCMU, 8000), (G722, 16_000), (L16, 8000), (PCMA, 8000)]);
    room.conference(&[0, 1, 2, 3]);
    let format =
        RecordFormat { container: Container::Wav, rate: 8000, pause: PausePolicy::Silence };
    room.record(&RecordCommand::Start { recording: RECORDING, name: "mix".into(), format }, None);
    for (leg, side) in [(0, Side::Customer), (1, Side::Agents), (2, Side::Agents)] {
        let (stream, slot) = (StreamId(leg), room.legs[leg as usize].slot);
        let track = RecordCommand::Track { recording: RECORDING, stream, side: Some(side) };
        room.record(&track, Some(slot));
    }
    room.run(3000);
    room.record(&RecordCommand::Stop { recording: RECORDING }, None);
    let frames: Vec<_> =
        room.world.wire.blocks.iter().flat_map(|block| block.samples.chunks_exact(2)).collect();
    assert!((23_500..=24_000).contains(&frames.len()), "{}", frames.len());
    for (side, said) in [(0, &[0][..]), (1, &[1, 2])] {
        let channel: Vec<_> = frames[8000..].iter().map(|frame| frame[side]).collect();
        for (leg, it) in room.legs.iter().enumerate() {
            let gain = db(level(&channel, it.hertz, 8000) / it.amplitude);
            let is_said = said.contains(&leg);
            let what = format!("leg {leg} on side {side}: {gain:.2} dB");
            assert!(if is_said { gain.abs() < 0.5 } else { gain < -45.0 }, "{what}");
        }
    }
}

#[test]
fn noise_is_removed_before_the_mix_so_that_all_hear_the_same_of_it() {
    let noise = |enabled| Some(NoiseRemoval { enabled, settings: DenoiseSettings::default() });
    let mut levels = vec![];
    for noise_removal in [None, noise(false), noise(true)] {
        let mut room = Room::new(&[(L16, 8000); 3]);
        let mut config = config(&room.legs[0].from, &[L16]);
        config.noise_removal = noise_removal;
        room.world.configure(room.legs[0].slot, config);
        room.legs[1].amplitude = 0.0;
        room.legs[2].amplitude = 0.0;
        room.conference(&[0, 1, 2]);
        let heard = room.listen();
        assert_eq!(heard[1], heard[2]);
        levels.push(db(level(&heard[1], room.legs[0].hertz, 8000) / 1000.0));
    }
    assert!(levels[0].abs() < 0.1 && levels[1].abs() < 0.1, "switched off: {levels:?}");
}

#[test]
fn comfort_noise_is_made_until_speech_comes_again() {
    const NOISE: Payload = payload(Codec::ComfortNoise, 7, 13, 8000);
    let mut world = World::new();
    let places = ["192.0.2.1:4000", "192.0.2.2:4000", "192.0.2.3:4000"];
    let slots: Vec<_> =
        (0..).zip(places).map(|(n, at)| world.open(n, config(at, &[L16, NOISE]))).collect();
    for (n, slot) in slots.iter().enumerate() {
        world.hear(*slot, others(&[0, 1, 2], n), None);
    }
    // −40 dBov of white noise, told once; then nothing comes for two seconds.
    world.receive(slots[0], Channel::Rtp, places[0], {
        let mut datagram = packet(NOISE.receive, 1, 1)[..HEADER_LEN].to_vec();
        datagram.push(40);
        datagram
    });
    world.tick(2000);
    let heard: Vec<_> = world.heard(slots[1]);
    let samples: Vec<_> = heard[50..]
        .iter()
        .flat_map(|(_, payload)| payload.chunks_exact(2))
        .map(|two| f64::from(i16::from_be_bytes([two[0], two[1]])))
        .collect();
    let power = samples.iter().map(|sample| sample * sample).sum::<f64>() / samples.len() as f64;
    let dbov = 10.0 * (power / 32_768f64.powi(2)).log10();
    assert!((dbov + 40.0).abs() < 1.5, "{dbov}");
}

#[test]
fn a_peer_that_changes_its_codec_stays_in_the_mix() {
    let mut room = Room::new(&[(PCMU, 8000), (L16, 8000)]);
    room.join(L16, 8000);
    let both = config(&room.legs[0].from, &[PCMU, PCMA]);
    room.world.configure(room.legs[0].slot, both);
    room.conference(&[0, 1, 2]);
    room.run(500);
    let format = Format::of(&PCMA).unwrap();
    room.legs[0].payload = PCMA;
    room.legs[0].encoder = Encoder::new(&format, OpusSettings::default()).unwrap();
    room.legs.iter_mut().skip(1).for_each(|leg| drop(leg.listen()));
    room.run(500);
    let hertz = [room.legs[0].hertz, room.legs[2].hertz];
    let pcm = room.legs[1].listen();
    // The steps of G.711 are no clicks: they are below what the codec itself makes.
    let loudest = clicks(&pcm, &hertz, 8000).into_iter().map(f64::abs).fold(0.0, f64::max);
    assert!(loudest < 250.0, "{loudest}");
    assert!(db(level(&pcm, hertz[0], 8000) / 1000.0).abs() < 0.2);
}
