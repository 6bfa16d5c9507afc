//! What happens to one voice on its way into the mix: recorded, cleaned, silent by agreement, coded
//! anew.

use super::change::{STEP, largest_click};
use super::*;
use crate::command::NoiseRemoval;
use crate::denoise::DenoiseSettings;
use crate::record::{Container, PausePolicy, RecordCommand, RecordFormat, RecordingId, Side};
use crate::speech;

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
    let removal = |enabled, attenuation_limit_db| {
        Some(NoiseRemoval { enabled, settings: DenoiseSettings { attenuation_limit_db } })
    };
    // White noise of −26 dBov for a second, then a voice in it, again and again.
    let len = 16_000;
    let voice = speech::voice(8000, len, |_| 120.0, |t| if t < 1.0 { 0.0 } else { 1.0 });
    let mut rng = Rng::new([5; 32]);
    let noise = (0..len).map(|_| rng.below(5601) as i16 - 2800);
    let noisy: Vec<i16> = voice.iter().zip(noise).map(|(voice, noise)| voice + noise).collect();
    let mut levels = vec![];
    for noise_removal in [None, removal(false, 20), removal(true, 20), removal(true, 10)] {
        let mut room = Room::new(&[(L16, 8000); 3]);
        let mut config = config(&room.legs[0].from, &[L16]);
        config.noise_removal = noise_removal;
        room.world.configure(room.legs[0].slot, config);
        room.legs[0].speech.clone_from(&noisy);
        room.legs[1].amplitude = 0.0;
        room.legs[2].amplitude = 0.0;
        room.conference(&[0, 1, 2]);
        room.run(4500);
        let (heard, other) = (room.legs[1].listen(), room.legs[2].listen());
        assert_eq!(heard, other);
        // In the second round: the middle of the noise alone, and that of the voice.
        let part = |from: usize| db(speech::rms(&heard[from..from + 4800]) / 32_768.0);
        levels.push((part(len + 2400), part(len + 10_400)));
    }
    let [(noise, voice), off, on, half] = levels[..] else { unreachable!() };
    assert!((noise + 26.1).abs() < 0.3, "{noise}");
    assert!((off.0 - noise).abs() < 0.1 && (off.1 - voice).abs() < 0.1, "{off:?}");
    assert!((on.0 - (noise - 20.0)).abs() < 1.5, "20 dB lower: {levels:?}");
    assert!((half.0 - (noise - 10.0)).abs() < 1.5, "10 dB lower: {levels:?}");
    assert!(voice - noise < 5.0 && on.1 - on.0 > 14.0, "the voice stands out: {levels:?}");
}

#[test]
fn comfort_noise_is_made_until_speech_comes_again_and_is_noise_where_that_is_removed() {
    const NOISE: Payload = payload(Codec::ComfortNoise, 7, 13, 8000);
    let removal = |enabled, attenuation_limit_db| {
        Some(NoiseRemoval { enabled, settings: DenoiseSettings { attenuation_limit_db } })
    };
    // N4: lowered by what nothing is removed beyond, and to no less than a quiet line has.
    let cases = [
        (None, 40, -40.0),
        (removal(false, 22), 40, -40.0),
        (removal(true, 22), 40, -62.0),
        (removal(true, 30), 40, -70.0),
        (removal(true, 30), 55, -70.0),
        (removal(true, 30), 72, -72.0),
        (None, 70, -70.0),
    ];
    for (noise_removal, told, level) in cases {
        let mut world = World::new();
        let places = ["192.0.2.1:4000", "192.0.2.2:4000", "192.0.2.3:4000"];
        let slots: Vec<_> = (0..)
            .zip(places)
            .map(|(n, at)| {
                let config = StreamConfig { noise_removal, ..config(at, &[L16, NOISE]) };
                world.open(n, config)
            })
            .collect();
        for (n, slot) in slots.iter().enumerate() {
            world.hear(*slot, others(&[0, 1, 2], n), None);
        }
        // White noise, told once after a word; then nothing comes for two seconds.
        let loud: Vec<u8> = [16_000_i16, 16_000, -16_000, -16_000]
            .iter()
            .flat_map(|sample| sample.to_be_bytes())
            .collect();
        let word = [&packet(L16.receive, 1, 1)[..HEADER_LEN], &loud.repeat(40)].concat();
        world.receive(slots[0], Channel::Rtp, places[0], word);
        world.receive(slots[0], Channel::Rtp, places[0], {
            let mut datagram = packet(NOISE.receive, 2, 1)[..HEADER_LEN].to_vec();
            datagram.push(told);
            datagram
        });
        world.tick(2000);
        let heard: Vec<_> = world.heard(slots[1]);
        let samples: Vec<_> = heard[50..]
            .iter()
            .flat_map(|(_, payload)| payload.chunks_exact(2))
            .map(|two| f64::from(i16::from_be_bytes([two[0], two[1]])))
            .collect();
        let power = samples.iter().map(|sample| sample * sample).sum::<f64>();
        let dbov = 10.0 * (power / samples.len() as f64 / 32_768f64.powi(2)).log10();
        assert!((dbov - level).abs() < 1.5, "{dbov} instead of {level}");
    }
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

#[test]
fn noise_is_removed_once_and_without_a_jump_whoever_hears_the_peer_and_how() {
    for enabled in [true, false] {
        let settings = DenoiseSettings::default();
        let noise_removal = Some(NoiseRemoval { enabled, settings });
        let mut room = Room::new(&[(L16, 8000); 3]);
        let slot = room.legs[1].slot;
        let cleaned = StreamConfig { noise_removal, ..config(&room.legs[1].from, &[L16]) };
        room.world.configure(slot, cleaned);
        let (one, both) = (Hear::Stream(StreamId(1)), mix(&[1, 2]));
        room.hear(0, one);
        room.run(1000);
        drop(room.legs[0].listen());
        // Alone, among others, alone; and another one hears it in another way meanwhile.
        for (n, hear) in (0..).zip([both, one, both, mix(&[1]), one, both, one]) {
            room.hear(0, hear);
            room.run(107 + 7 * n);
            room.hear(2, if n % 2 == 0 { mix(&[0, 1]) } else { one });
            room.run(204);
        }
        let heard = room.legs[0].heard.clone();
        one_session(&heard, 160);
        let hertz = [room.legs[1].hertz, room.legs[2].hertz];
        let click = largest_click(&room.legs[0].listen(), &hertz, 8000);
        assert!(click < STEP, "{enabled}: {click}");
        let ear = room.world.worker.streams[slot.0].as_ref().unwrap().ear.as_ref().unwrap();
        assert_eq!(ear.cleaned, room.legs[1].said, "each sample once");
    }
}
