//! Encoders that make less effort for a while: nobody hears when it changes.

use super::change::largest_click;
use super::*;
use crate::codec::Effort;

/// Two who say a tone each and a listener of Opus, with another effort every 310 ms; what it was sent in
/// the end, and its largest click.
fn listen(efforts: &[Effort]) -> (Vec<(Header, Vec<u8>)>, f64) {
    let mut room = Room::new(&[(OPUS, 48_000), (WIDE_L16, 16_000), (WIDE_L16, 16_000)]);
    room.conference(&[0, 1, 2]);
    room.run(1000);
    drop(room.legs[0].listen());
    for effort in efforts {
        room.world.worker.set_effort(*effort);
        room.run(310);
    }
    let heard = room.legs[0].heard.clone();
    let pcm = room.legs[0].listen();
    for leg in &room.legs[1..] {
        let gain = db(level(&pcm, leg.hertz, 48_000) / leg.amplitude);
        // Two tones at once: what Opus leaves of them.
        assert!(gain.abs() < 4.0, "{efforts:?}: {gain} dB");
    }
    let hertz = [room.legs[1].hertz, room.legs[2].hertz];
    (heard, largest_click(&pcm, &hertz, 48_000))
}

#[test]
fn effort_that_changes_is_no_click_and_one_session() {
    use Effort::{Full, Little};
    let (same, click_of_same) = listen(&[Full; 10]);
    let (little, click_of_little) = listen(&[Little; 10]);
    let (changing, click) =
        listen(&[Full, Little, Full, Full, Little, Little, Full, Little, Little, Full]);
    one_session(&changing, 960);
    assert_eq!(changing.len(), same.len());
    let payloads = |heard: &[(Header, Vec<u8>)]| -> Vec<Vec<u8>> {
        heard.iter().map(|(_, payload)| payload.clone()).collect()
    };
    assert_ne!(payloads(&little), payloads(&same), "the effort is another");
    assert_eq!(payloads(&changing)[..15], payloads(&same)[..15], "until it changes");
    // As large as what the codec itself makes of two tones.
    let codecs = click_of_same.max(click_of_little);
    assert!(click < 1.2 * codecs, "{click}, {codecs} without a change");
}

#[test]
fn who_is_transcoded_is_encoded_with_another_effort_within_a_second() {
    let listen = |effort| {
        let mut room = Room::new(&[(OPUS, 48_000), (WIDE_L16, 16_000)]);
        room.hear(0, Hear::Stream(StreamId(1)));
        room.legs[1].speech = crate::speech::speech(16_000, 16_000 * 5);
        room.run(1000);
        room.world.worker.set_effort(effort);
        room.run(1000);
        drop(room.legs[0].listen());
        room.run(1000);
        room.legs[0].heard.iter().map(|(_, payload)| payload.clone()).collect::<Vec<_>>()
    };
    let (full, little) = (listen(Effort::Full), listen(Effort::Little));
    assert_eq!(full.len(), little.len());
    let others = full.iter().zip(&little).filter(|(full, little)| full != little).count();
    assert!(others > full.len() / 2, "{others} of {}", full.len());
}
