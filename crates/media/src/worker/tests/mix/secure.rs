//! Legs whose audio is protected, with keys in the description or by DTLS, among plain ones: in a mix, on
//! music and announcements, recorded. Whatever is sent to them opens with their keys, reports too
//! ([`Leg::receive`]).

use super::*;
use crate::command::{Found, PathConfig};
use crate::dtls::tests::{identity, peer};
use crate::dtls::{Identity, Role};
use crate::path::tests::credentials;
use crate::record::{Container, PausePolicy, RecordCommand, RecordFormat, RecordingId, Side};
use crate::sound::Sound;
use crate::srtp::{Keying, MasterKey, Profile};

#[derive(Clone, Copy, Debug)]
enum Protection {
    None,
    Sdes(Profile),
    /// Keys by DTLS, made before: what the handshake itself does is tested with the path.
    Dtls,
    /// The same, and its place found by ICE.
    IceAndDtls,
}

use Protection::{Dtls, IceAndDtls, None as Plain, Sdes};

/// Each kind, and all codecs.
const FIVE: [(Payload, u32, Protection); 5] = [
    (PCMU, 8000, Sdes(Profile::AesCm128HmacSha1_80)),
    (OPUS, 48_000, IceAndDtls),
    (PCMA, 8000, Plain),
    (G722, 16_000, Sdes(Profile::AeadAes128Gcm)),
    (L16, 8000, Dtls),
];

fn keying(profile: Profile, [ours, theirs]: [u8; 2]) -> Keying {
    let key = |byte| MasterKey::new(profile, &vec![byte; profile.key_and_salt_len()]).unwrap();
    Keying { profile, send: key(ours), receive: key(theirs) }
}

/// A call with legs of these kinds.
fn room(legs: &[(Payload, u32, Protection)]) -> Room {
    let codecs: Vec<_> = legs.iter().map(|(payload, rate, _)| (*payload, *rate)).collect();
    let mut room = Room::new(&codecs);
    let (us, them) = (identity(), identity());
    room.world.worker.set_identity(us);
    for (n, (.., protection)) in legs.iter().enumerate() {
        protect(&mut room, n, *protection, &them);
    }
    room
}

fn protect(room: &mut Room, n: usize, protection: Protection, them: &Identity) {
    let leg = &mut room.legs[n];
    let of = [2 * n as u8 + 1, 2 * n as u8 + 2];
    let profile = match protection {
        Plain => return,
        Sdes(profile) => profile,
        Dtls | IceAndDtls => Profile::AesCm128HmacSha1_80,
    };
    leg.srtp = Some(Srtp::new(keying(profile, [of[1], of[0]])));
    let mut config = config(&leg.from, &[leg.payload]);
    let found = Found { to: None, keys: Some(keying(profile, of)) };
    let dtls = Some(peer(Role::Client, them));
    match protection {
        Plain => {}
        Sdes(_) => config.srtp = Some(keying(profile, of)),
        Dtls => {
            config.path = Some(PathConfig { ice: None, dtls, found });
            // RFC 5764 §3: reports at another port would need keys of their own.
            config.remote = config.remote.map(|remote| Remote { rtcp_mux: true, ..remote });
        }
        IceAndDtls => {
            let found = Found { to: Some(addr(&leg.from)), ..found };
            config.path = Some(PathConfig { ice: Some(credentials("ours")), dtls, found });
            config.remote = None;
        }
    }
    room.world.configure(room.legs[n].slot, config);
}

/// What is allowed where codecs that leave something out are on the way.
const LIMITS: (f64, f64) = (2.5, -25.0);

#[test]
fn in_a_conference_all_hear_all_others_whatever_protects_them() {
    let mut room = room(&FIVE);
    room.conference(&[0, 1, 2, 3, 4]);
    let heard = room.listen();
    let all_but = |own: usize| (0..5).filter(|n| *n != own).collect::<Vec<_>>();
    let voices = room.voices(&heard, LIMITS);
    assert_eq!(voices, [0, 1, 2, 3, 4].map(all_but));
    // A report each five seconds at least, which opens.
    room.run(8000);
    let reports: Vec<_> = room.legs.iter().map(|leg| leg.reports).collect();
    assert!(reports.iter().all(|reports| *reports > 0), "{reports:?}");
    // Nothing of anybody was unauthentic, in vain or lost.
    for (n, leg) in room.legs.iter().enumerate() {
        let stats = room.world.worker.close(room.world.now, leg.slot, &mut room.world.wire);
        let stats = *stats.unwrap();
        assert_eq!((stats.unauthentic_dropped, stats.strays_dropped), (0, 0), "{n}");
        assert!(stats.packets_received > 450, "{n}: {stats:?}");
    }
}

#[test]
fn protected_and_plain_legs_whisper_and_monitor() {
    for order in [[0, 1, 2], [1, 2, 3], [2, 4, 0], [4, 3, 1]] {
        let mut room = room(&order.map(|n: usize| FIVE[n]));
        room.hear(0, Hear::Stream(StreamId(1)));
        room.hear(1, mix(&[0, 2]));
        room.hear(2, mix(&[0, 1]));
        let heard = room.listen();
        assert_eq!(room.voices(&heard, LIMITS), [vec![1], vec![0, 2], vec![0, 1]], "{order:?}");
        room.hear(1, Hear::Stream(StreamId(0)));
        let heard = room.listen();
        assert_eq!(room.voices(&heard, LIMITS), [vec![1], vec![0], vec![0, 1]], "{order:?}");
    }
}

/// Alone, among others, music, an announcement, a tone, silence, nothing: one session for each, though
/// it comes from a relay, an encoder and what is encoded for all.
#[test]
fn protected_legs_hear_music_announcements_and_tones_in_one_session() {
    const NOTICE: SoundId = SoundId::Recording(0);
    const HERTZ: f64 = 620.0;
    let sine = |n: u32| (4000.0 * (TAU * HERTZ * f64::from(n) / 8000.0).sin()) as i16;
    for (n, (payload, ..)) in FIVE.iter().enumerate() {
        let mut room = room(&[FIVE[n], FIVE[(n + 1) % 5], FIVE[(n + 2) % 5]]);
        let mut sounds = Sounds::default();
        sounds.insert(NOTICE, Sound::from_pcm(&(0..8000).map(sine).collect::<Vec<_>>(), 8000));
        room.world.worker.set_sounds(sounds);
        room.conference(&[1, 2]);
        let rate = room.legs[0].listening_rate();
        let plan = [
            Hear::Stream(StreamId(1)),
            Hear::Music,
            mix(&[1, 2]),
            Hear::Tone(CallTone::Busy),
            Hear::Silence,
            mix(&[1, 2]),
            Hear::Music,
        ];
        let mut packets = vec![];
        let mut music = 0;
        for hear in plan {
            room.hear(0, hear);
            room.run(300);
            packets.extend(room.legs[0].heard.iter().cloned());
            drop(room.legs[0].listen());
            room.run(400);
            packets.extend(room.legs[0].heard.iter().cloned());
            let pcm = room.legs[0].listen();
            // The saw of the tests' music: 100 Hz and its multiples.
            let saw = level(&pcm, 200.0, rate);
            assert_eq!(saw > 300.0, hear == Hear::Music, "{payload:?} {hear:?}: {saw}");
            music += u32::from(hear == Hear::Music);
        }
        assert_eq!(music, 2);
        let World { worker, wire, .. } = &mut room.world;
        worker.announce(room.legs[0].slot, NOTICE, wire);
        room.run(300);
        packets.extend(room.legs[0].heard.iter().cloned());
        drop(room.legs[0].listen());
        room.run(500);
        packets.extend(room.legs[0].heard.iter().cloned());
        let notice = level(&room.legs[0].listen(), HERTZ, rate);
        assert!(db(notice / 4000.0).abs() < 1.0, "{payload:?}: {notice}");
        for pair in packets.windows(2) {
            let (before, after) = (pair[0].0, pair[1].0);
            assert_eq!(after.ssrc, before.ssrc);
            assert_eq!(after.sequence.wrapping_sub(before.sequence), 1, "{payload:?}");
        }
        assert!(packets.len() > 250, "{payload:?}: {}", packets.len());
    }
}

#[test]
fn protected_legs_are_recorded_on_both_sides() {
    const RECORDING: RecordingId = RecordingId(1);
    for [customer, agent] in [[0, 2], [1, 2], [2, 1], [3, 4]] {
        for is_mixed in [false, true] {
            let mut room = room(&[FIVE[customer], FIVE[agent], FIVE[2]]);
            room.hear(0, Hear::Stream(StreamId(1)));
            room.hear(1, Hear::Stream(StreamId(0)));
            if is_mixed {
                room.conference(&[0, 1, 2]);
            }
            let format =
                RecordFormat { container: Container::Wav, rate: 8000, pause: PausePolicy::Silence };
            let record = |room: &mut Room, command: &RecordCommand, slot: Option<Slot>| {
                let World { worker, now, wire } = &mut room.world;
                worker.record(*now, command, slot, wire).unwrap()
            };
            let start = RecordCommand::Start { recording: RECORDING, name: "x".into(), format };
            record(&mut room, &start, None);
            for (n, side) in [(0, Side::Customer), (1, Side::Agents)] {
                let (stream, slot) = (StreamId(n), room.legs[n as usize].slot);
                let track = RecordCommand::Track { recording: RECORDING, stream, side: Some(side) };
                record(&mut room, &track, Some(slot));
            }
            room.run(3000);
            record(&mut room, &RecordCommand::Stop { recording: RECORDING }, None);
            let blocks = &room.world.wire.blocks;
            let frames: Vec<_> =
                blocks.iter().flat_map(|block| block.samples.chunks_exact(2)).collect();
            assert!((23_000..=24_000).contains(&frames.len()), "{}", frames.len());
            for side in [0, 1] {
                let channel: Vec<_> = frames[8000..].iter().map(|frame| frame[side]).collect();
                for (n, leg) in room.legs.iter().enumerate() {
                    let gain = db(level(&channel, leg.hertz, 8000) / leg.amplitude);
                    let what = format!("{customer} with {agent}, leg {n} on {side}: {gain:.2} dB");
                    assert!(if n == side { gain.abs() < 1.0 } else { gain < -40.0 }, "{what}");
                }
            }
        }
    }
}
