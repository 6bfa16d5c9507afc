//! RFC 7587 §6.1: what the receiver of Opus wishes binds its sender, in a mix as elsewhere.

use super::*;
use crate::codec::OpusFormat;

const WISH: OpusFormat = OpusFormat {
    max_playback_rate: 48_000,
    max_capture_rate: 48_000,
    max_average_bitrate: None,
    cbr: false,
    fec: false,
    dtx: false,
};

impl Room {
    fn wish(&mut self, leg: usize, opus: OpusFormat) {
        let it = &self.legs[leg];
        let config = StreamConfig { opus, ..config(&it.from, &[it.payload]) };
        self.world.configure(self.legs[leg].slot, config);
    }
}

/// The packets of one session.
type Packets = Vec<(Header, Vec<u8>)>;

/// A talker, and a listener for each of the wishes; what each was sent in two seconds.
fn listen(wishes: &[OpusFormat]) -> (Room, Vec<Packets>) {
    let mut room = Room::new(&[(WIDE_L16, 16_000)]);
    for wish in wishes {
        let leg = room.join(OPUS, 48_000);
        room.legs[leg].amplitude = 0.0;
        room.wish(leg, *wish);
    }
    room.legs[0].speech = crate::speech::speech(16_000, 16_000 * 5);
    let all: Vec<_> = (0..=wishes.len()).collect();
    room.conference(&all);
    room.run(2000);
    room.legs.iter_mut().for_each(|leg| leg.heard.clear());
    room.run(2000);
    let heard = room.legs[1..].iter().map(|leg| leg.heard.clone()).collect();
    (room, heard)
}

fn bytes(packets: &[(Header, Vec<u8>)]) -> usize {
    packets.iter().map(|(_, payload)| payload.len()).sum()
}

/// Packets that repeat the one before them (RFC 6716 §4.2.3): all are of 20 ms in one channel.
fn repeating(packets: &[(Header, Vec<u8>)]) -> usize {
    packets.iter().filter(|(_, payload)| payload[0] < 0x80 && payload[1] & 0x40 != 0).count()
}

#[test]
fn listeners_share_an_encoder_with_those_who_wish_the_same() {
    let little = OpusFormat { max_average_bitrate: Some(12_000), ..WISH };
    let (mut room, heard) = listen(&[WISH, little, WISH, little]);
    assert_eq!(heard[0], relabelled(&heard[2], &heard[0]));
    assert_eq!(heard[1], relabelled(&heard[3], &heard[1]));
    // One for the talker, who hears nobody.
    assert_eq!(room.world.worker.encoders(BRIDGE), 3);
    // A wish that changes takes its listener to the others of that wish.
    room.wish(4, WISH);
    room.run(2500);
    assert_eq!(room.world.worker.encoders(BRIDGE), 3);
    room.wish(2, WISH);
    room.run(2500);
    assert_eq!(room.world.worker.encoders(BRIDGE), 2);
}

/// The payloads of one session under the headers of another.
fn relabelled(payloads: &[(Header, Vec<u8>)], headers: &[(Header, Vec<u8>)]) -> Packets {
    let pairs = headers.iter().zip(payloads);
    pairs.map(|((header, _), (_, payload))| (*header, payload.clone())).collect()
}

#[test]
fn bits_band_and_redundancy_are_as_wished() {
    let (_, heard) = listen(&[
        WISH,
        OpusFormat { max_average_bitrate: Some(9000), ..WISH },
        OpusFormat { max_playback_rate: 8000, ..WISH },
        OpusFormat { cbr: true, ..WISH },
        OpusFormat { fec: true, ..WISH },
    ]);
    for (n, packets) in heard.iter().enumerate() {
        assert_eq!(packets.len(), 100, "{n}");
        one_session(packets, 960);
    }
    let [plain, little, narrow, constant, fec] = [0, 1, 2, 3, 4].map(|n| &heard[n]);
    // Two seconds of 9000 bit/s, and a tenth because it varies.
    assert!(bytes(little) < 2475 && bytes(plain) > 4000, "{} {}", bytes(little), bytes(plain));
    // RFC 6716 §3.1: below 4 is the narrow band.
    assert!(narrow.iter().all(|(_, payload)| payload[0] >> 3 < 4));
    assert!(plain.iter().all(|(_, payload)| payload[0] >> 3 >= 8));
    assert!(constant.iter().all(|(_, payload)| payload.len() == constant[0].1.len()));
    assert!(plain.iter().any(|(_, payload)| payload.len() != plain[0].1.len()));
    assert!(repeating(fec) > 50 && repeating(plain) == 0, "{}", repeating(fec));
}

#[test]
fn music_tones_and_silence_are_as_wished_and_encoded_once_for_all_who_wish_the_same() {
    let little = OpusFormat { max_average_bitrate: Some(9000), ..WISH };
    let narrow = OpusFormat { max_playback_rate: 8000, ..WISH };
    let constant = OpusFormat { cbr: true, ..WISH };
    let wishes = [WISH, little, narrow, constant, little, OpusFormat::OURS];
    let mut room = Room::new(&[(OPUS, 48_000); 6]);
    let speech = crate::speech::speech(16_000, 16_000 * 4);
    room.world.worker.set_music(Arc::new(Music::from_pcm(&speech, 16_000)));
    for (leg, wish) in wishes.into_iter().enumerate() {
        room.wish(leg, wish);
    }
    (0..5).for_each(|leg| room.hear(leg, Hear::Music));
    room.run(1000);
    room.hear(5, Hear::Music);
    room.run(1000);
    let encoded = room.world.worker.joiner.wished();
    assert!((3 * 95 + 45..=3 * 100 + 50).contains(&encoded), "{encoded}");
    let heard: Vec<_> = room.legs.iter().map(|leg| leg.heard[1..].to_vec()).collect();
    heard.iter().for_each(|packets| one_session(packets, 960));
    assert_eq!(heard[1], relabelled(&heard[4], &heard[1]));
    let music = Arc::clone(&room.world.worker.music);
    for (n, (_, payload)) in (1..).zip(&heard[0]) {
        assert_eq!(Some(&**payload), music.frame(Codec::Opus, n), "{n}");
    }
    // Two seconds of 9000 bit/s, and a tenth because it varies.
    assert!(bytes(&heard[1]) < 2475 && bytes(&heard[0]) > 4000);
    assert!(heard[2].iter().all(|(_, payload)| payload[0] >> 3 < 4), "the narrow band");
    assert!(heard[3].iter().all(|(_, payload)| payload.len() == heard[3][0].1.len()));
    assert!(repeating(&heard[5]) > 15 && repeating(&heard[0]) == 0, "{}", repeating(&heard[5]));
    // Whatever is played, and where it begins and ends.
    room.legs.iter_mut().for_each(|leg| leg.heard.clear());
    for hear in [Hear::Silence, Hear::Tone(CallTone::Busy), Hear::Music] {
        (0..6).for_each(|leg| room.hear(leg, hear));
        room.run(500);
    }
    assert!(room.legs[2].heard.iter().all(|(_, payload)| payload[0] >> 3 < 4));
    let (little, plain) = (bytes(&room.legs[1].heard), bytes(&room.legs[0].heard));
    assert!(little < 1860 && little < plain, "{little} {plain}");
}

#[test]
fn who_likes_pauses_is_sent_nothing_in_silence_and_time_passes_all_the_same() {
    let (mut room, heard) = listen(&[WISH, OpusFormat { dtx: true, ..WISH }]);
    assert!(heard[1].len() > 80, "while somebody speaks: {}", heard[1].len());
    room.legs[0].speech.clear();
    room.legs[0].amplitude = 0.0;
    room.legs.iter_mut().for_each(|leg| leg.heard.clear());
    room.run(4000);
    room.legs[0].amplitude = 1000.0;
    room.run(1000);
    let [always, pausing] = [1, 2].map(|leg| &room.legs[leg].heard);
    assert_eq!(always.len(), 250);
    assert!(pausing.len() < 150, "{}", pausing.len());
    let span = |heard: &[(Header, Vec<u8>)]| {
        heard.last().unwrap().0.timestamp.wrapping_sub(heard[0].0.timestamp)
    };
    assert_eq!(span(pausing), span(always));
    for pair in pausing.windows(2) {
        let (before, after) = (pair[0].0, pair[1].0);
        assert_eq!(after.sequence.wrapping_sub(before.sequence), 1, "nothing counts as lost");
        let step = after.timestamp.wrapping_sub(before.timestamp);
        assert!(step.is_multiple_of(960) && after.marker == (step > 960), "{step}");
    }
}
