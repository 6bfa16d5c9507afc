//! Properties of the crate as its users see it.

use std::net::IpAddr;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use sdp::{
    Agreed, Attribute, Bandwidth, Codec, Direction, Host, LocalAudio, Media, MediaKind,
    Negotiation, Origin, Protocol, RemoteAudio, Session, State, parse,
};

fn host() -> impl Strategy<Value = Host> {
    prop_oneof![
        any::<[u8; 4]>().prop_map(|ip| Host::Ip(ip.into())),
        any::<[u16; 8]>().prop_map(|ip| Host::Ip(ip.into())),
        "[a-z]{1,8}\\.example".prop_map(|name| Host::Name(name.into())),
    ]
}

fn attribute() -> impl Strategy<Value = Attribute> {
    let value = option::of("([!-~äß]([ -~äß]{0,20}[!-~äß])?)?".prop_map(Into::into));
    ("[a-z][a-z0-9-]{0,11}", value).prop_map(|(name, value)| Attribute { name: name.into(), value })
}

fn bandwidth() -> impl Strategy<Value = Bandwidth> {
    ("[A-Z][A-Z-]{0,5}", any::<u64>())
        .prop_map(|(kind, value)| Bandwidth { kind: kind.into(), value })
}

fn media() -> impl Strategy<Value = Media> {
    let kind = "audio|video|application|image|text|message|x-[a-z]{1,4}";
    let protocol =
        "RTP/AVP|RTP/AVPF|RTP/SAVP|RTP/SAVPF|UDP/TLS/RTP/SAVP|UDP/TLS/RTP/SAVPF|udptl|TCP/MSRP";
    let formats = vec("[0-9]{1,3}|t38|\\*".prop_map(Into::into), 0..8);
    (
        (kind, any::<u16>(), any::<u16>(), protocol, formats),
        (option::of(host()), vec(bandwidth(), 0..3), vec(attribute(), 0..8)),
    )
        .prop_map(
            |((kind, port, port_count, protocol, formats), (connection, bandwidth, attributes))| {
                Media {
                    kind: MediaKind::from_word(&kind),
                    port,
                    port_count,
                    protocol: Protocol::from_word(&protocol),
                    formats,
                    connection,
                    bandwidth,
                    attributes,
                }
            },
        )
}

fn session() -> impl Strategy<Value = Session> {
    let origin = ("[!-~]{1,8}", any::<u64>(), any::<u64>(), host());
    (
        origin,
        "[!-~]([ -~]{0,8}[!-~])?",
        option::of(host()),
        vec(bandwidth(), 0..3),
        vec(attribute(), 0..5),
        vec(media(), 0..6),
    )
        .prop_map(
            |(
                (username, session_id, version, address),
                name,
                connection,
                bandwidth,
                attributes,
                media,
            )| {
                Session {
                    origin: Origin { username: username.into(), session_id, version, address },
                    name: name.into(),
                    connection,
                    bandwidth,
                    attributes,
                    media,
                }
            },
        )
}

/// A codec of a small set, so that lists overlap, with a number that may clash.
fn codec() -> impl Strategy<Value = Codec> {
    let kind = prop_oneof![
        Just(("PCMU", 8000, 1, "")),
        Just(("PCMA", 8000, 1, "")),
        Just(("G722", 8000, 1, "")),
        Just(("G729", 8000, 1, "annexb=no")),
        Just(("opus", 48_000, 2, "useinbandfec=1")),
        Just(("L16", 16_000, 1, "")),
        Just(("AMR", 8000, 1, "octet-align=1")),
        Just(("AMR", 8000, 1, "mode-set=7")),
        Just(("iLBC", 8000, 1, "mode=20")),
        Just(("iLBC", 8000, 1, "")),
        Just(("telephone-event", 8000, 1, "0-15")),
        Just(("telephone-event", 48_000, 1, "")),
        Just(("CN", 8000, 1, "")),
    ];
    (kind, 0..128u8).prop_map(|((name, clock, channels, fmtp), number)| {
        let codec = Codec::new(number, name, clock, channels);
        if fmtp.is_empty() { codec } else { codec.with_fmtp(fmtp) }
    })
}

fn direction() -> impl Strategy<Value = Direction> {
    any::<[bool; 2]>().prop_map(|[sends, receives]| Direction::new(sends, receives))
}

/// One exchange: who offers, what each wants, what becomes of it.
#[derive(Clone, Debug)]
struct Round {
    first_offers: bool,
    offered: Vec<Codec>,
    accepted: Vec<Codec>,
    offer_direction: Direction,
    answer_direction: Direction,
    outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Answered,
    Rejected,
    Refreshed,
}

fn round() -> impl Strategy<Value = Round> {
    let outcome = prop_oneof![
        4 => Just(Outcome::Answered),
        1 => Just(Outcome::Rejected),
        1 => Just(Outcome::Refreshed),
    ];
    (any::<bool>(), vec(codec(), 0..7), vec(codec(), 0..7), direction(), direction(), outcome)
        .prop_map(
            |(first_offers, offered, accepted, offer_direction, answer_direction, outcome)| Round {
                first_offers,
                offered,
                accepted,
                offer_direction,
                answer_direction,
                outcome,
            },
        )
}

fn leg(id: u64, rtcp_mux: bool) -> Negotiation {
    let address = IpAddr::from([192, 0, 2, id as u8]);
    Negotiation::new(id, LocalAudio { address, rtp_port: 4000, rtcp_mux, ptime: Some(20) })
}

/// A description of ours.
fn read(body: &[u8]) -> Session {
    parse(body).expect("ours can be read")
}

/// Runs one exchange; returns whether it was completed.
fn exchange(offerer: &mut Negotiation, answerer: &mut Negotiation, round: &Round) -> bool {
    let offer = match round.outcome {
        Outcome::Refreshed => offerer.refresh().ok(),
        Outcome::Answered | Outcome::Rejected => {
            offerer.offer(&round.offered, round.offer_direction).ok()
        }
    };
    let Some(offer) = offer else { return false };
    assert_eq!(offerer.state(), State::LocalOffer);
    answerer.receive_offer(read(&offer)).expect("our offer is usable");
    let answer = match round.outcome {
        Outcome::Rejected => None,
        Outcome::Answered | Outcome::Refreshed => {
            answerer.answer(&round.accepted, round.answer_direction).ok()
        }
    };
    match answer {
        Some(answer) => {
            offerer.receive_answer(read(&answer)).expect("our answer fits");
            true
        }
        None => {
            answerer.reject_offer();
            offerer.offer_failed();
            false
        }
    }
}

fn assert_mirrored(one: &Agreed, other: &Agreed) {
    assert!(one.codec.same_as(&other.codec), "{one:?} {other:?}");
    assert_eq!(one.codec.payload_type, other.receive_payload_type);
    assert_eq!(one.receive_payload_type, other.codec.payload_type);
    assert_eq!(one.direction, other.direction.reversed());
    assert_eq!(one.rtcp_mux, other.rtcp_mux);
    let swapped = other.telephone_event.map(|(send, receive, clock)| (receive, send, clock));
    assert_eq!(one.telephone_event, swapped);
    assert_eq!(one.payload_map.len(), other.payload_map.len());
    for ((a, send, receive), (b, their_send, their_receive)) in
        one.payload_map.iter().zip(&other.payload_map)
    {
        assert!(a.same_as(b));
        assert_eq!((send, receive), (their_receive, their_send));
    }
}

/// The version of a description goes with its content: same number, same bytes.
fn assert_version(seen: &mut Vec<(u64, Vec<u8>)>, leg: &Negotiation) {
    let Some(body) = leg.current_description() else { return };
    let version = read(&body).origin.version;
    match seen.iter().find(|(known, _)| *known == version) {
        Some((_, known)) => assert_eq!(known, &body),
        None => seen.push((version, body.to_vec())),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_printed_reads_as_the_same(session in session()) {
        prop_assert_eq!(parse(&session.to_bytes()), Ok(session));
    }

    #[test]
    fn two_ends_always_agree_on_the_same(rounds in vec(round(), 1..12), mux in any::<[bool; 2]>()) {
        let (mut first, mut second) = (leg(1, mux[0]), leg(2, mux[1]));
        let (mut first_seen, mut second_seen) = (Vec::new(), Vec::new());
        for round in rounds {
            let before = (first.agreed().cloned(), second.agreed().cloned());
            let done = if round.first_offers {
                exchange(&mut first, &mut second, &round)
            } else {
                exchange(&mut second, &mut first, &round)
            };
            let now = (first.agreed().cloned(), second.agreed().cloned());
            match &now {
                (Some(one), Some(other)) => assert_mirrored(one, other),
                (None, None) => prop_assert!(!done),
                (Some(_), None) | (None, Some(_)) => prop_assert!(false, "one end agreed alone"),
            }
            if !done {
                prop_assert_eq!(before, now);
            }
            assert_version(&mut first_seen, &first);
            assert_version(&mut second_seen, &second);
            for leg in [&mut first, &mut second] {
                let text = serde_json::to_string(leg).unwrap();
                *leg = serde_json::from_str(&text).unwrap();
            }
        }
    }

    #[test]
    fn no_number_ever_changes_its_codec(lists in vec(vec(codec(), 1..8), 1..10)) {
        let mut leg = leg(1, true);
        let mut known: Vec<Codec> = Vec::new();
        for list in lists {
            let Ok(body) = leg.offer(&list, Direction::SendRecv) else { continue };
            leg.offer_failed();
            let session = parse(&body).unwrap();
            for codec in RemoteAudio::read(&session, &session.media[0]).unwrap().codecs {
                match known.iter().find(|k| k.payload_type == codec.payload_type) {
                    Some(before) => prop_assert!(before.same_as(&codec), "{before:?} {codec:?}"),
                    None => known.push(codec),
                }
            }
        }
    }

    #[test]
    fn mutated_offers_never_panic(
        session in session(),
        edits in vec((any::<prop::sample::Index>(), any::<u8>(), 0..4u8), 1..12),
    ) {
        let mut bytes = session.to_bytes().to_vec();
        for (place, byte, kind) in edits {
            let at = place.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => bytes.truncate(at.max(5)),
                _ => bytes.extend_from_within(at..),
            }
        }
        survive(&bytes);
    }

    #[test]
    fn random_lines_never_panic(lines in vec("[a-z]=[ -~]{0,40}|m=audio [0-9]{1,6} RTP/AVP [0-9 ]{0,20}|a=(rtpmap|fmtp|rtcp|ptime):[0-9]{0,4}[ -~]{0,20}|c=IN IP[46] [0-9a-f:./]{0,20}", 0..30)) {
        survive(format!("v=0\r\nc=IN IP4 192.0.2.1\r\n{}", lines.join("\r\n")).as_bytes());
    }

    #[test]
    fn random_bytes_never_panic(bytes in vec(any::<u8>(), 0..600)) {
        survive(&bytes);
        survive(&[b"v=0\r\n", &bytes[..]].concat());
    }
}

/// Takes bytes through everything a peer can reach; statuses stay within what peers are told.
fn survive(bytes: &[u8]) {
    let session = match parse(bytes) {
        Ok(session) => session,
        Err(error) => return assert_eq!(error.status(), 400),
    };
    for media in &session.media {
        let _ = RemoteAudio::read(&session, media);
    }
    let _ = format!("{session:?}");
    let mut answerer = leg(1, true);
    match answerer.receive_offer(session.clone()) {
        Ok(remote) => {
            let codecs = remote.codecs.clone();
            let body = answerer.answer(&codecs, Direction::SendRecv).expect("a codec is there");
            let answer = read(&body);
            assert_eq!(answer.media.len(), session.media.len());
            assert_eq!(answer.media.iter().filter(|media| media.port != 0).count(), 1);
            assert!(answerer.agreed().is_some());
        }
        Err(error) => assert!(matches!(error.status(), 400 | 488)),
    }
    let mut offerer = leg(2, true);
    let codecs = sdp::standard_codecs(&["PCMU", "PCMA", "opus"]);
    offerer.offer(&codecs, Direction::SendRecv).expect("a codec is there");
    let accepted = offerer.receive_answer(session).is_ok();
    assert_eq!(offerer.agreed().is_some(), accepted);
}
