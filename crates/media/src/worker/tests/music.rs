//! Our own music passes no noise removal: it comes from the player, never from a peer (N4).

use super::process::Phone;
use super::*;
use crate::command::NoiseRemoval;
use crate::denoise::DenoiseSettings;

const G722: Payload = payload(Codec::G722, 4, 9, 8000);

const HELD: usize = 25;
const PACKETS: usize = 125;
/// Packets in which what was heard before dies away.
const PARTING: usize = 10;

/// What the customer hears of the music. It hears the agent up to [`HELD`]; both speak all the
/// while.
fn music(codec: Payload, noise_removal: Option<NoiseRemoval>) -> Vec<Vec<u8>> {
    // No two packets of it are the same, whatever the codec.
    let saw: Vec<i16> = (0..16_000).map(|n| (n % 83 * 100) as i16).collect();
    let music = Arc::new(Music::from_pcm(&saw, 8000));
    let worker = Worker::new(music, [7; 32], WallTime(1_700_000_000_000));
    let mut world = World { worker, ..World::new() };
    let of = |peer| StreamConfig { noise_removal, ..config(peer, &[codec]) };
    let (a, b) = (world.open(0, of(CUSTOMER)), world.open(1, of(AGENT)));
    world.hear(a, Hear::Stream(StreamId(1)), Some(b));
    world.hear(b, Hear::Stream(StreamId(0)), Some(a));
    let (mut customer, mut agent) = (Phone::new(codec), Phone::new(codec));
    let mut heard = Vec::new();
    for n in 0..PACKETS {
        if n == HELD {
            world.hear(a, Hear::Music, None);
        }
        world.tick(20);
        for (slot, peer, phone) in [(a, CUSTOMER, &mut customer), (b, AGENT, &mut agent)] {
            let said = phone.say(440.0, 20);
            world.receive(slot, Channel::Rtp, peer, said);
        }
        let packets = world.heard(a);
        if n >= HELD + PARTING {
            heard.extend(packets.into_iter().map(|(_, payload)| payload));
        }
    }
    assert_eq!(heard.len(), PACKETS - HELD - PARTING, "{codec:?}: one for each 20 ms");
    heard
}

#[test]
fn n4_who_is_held_hears_our_music_byte_for_byte_though_noise_is_removed() {
    for codec in [PCMU, PCMA, G722, OPUS] {
        let as_it_is = music(codec, None);
        let kinds: std::collections::BTreeSet<_> = as_it_is.iter().collect();
        assert!(kinds.len() > 50, "{codec:?}: each is another");
        for (enabled, attenuation_limit_db) in [(true, 30), (true, 12), (false, 30)] {
            let settings = DenoiseSettings { attenuation_limit_db };
            let cleaned = music(codec, Some(NoiseRemoval { enabled, settings }));
            let wrong = cleaned.iter().zip(&as_it_is).position(|(one, other)| one != other);
            assert_eq!(wrong, None, "{codec:?}, on: {enabled}, {attenuation_limit_db} dB");
        }
    }
}
