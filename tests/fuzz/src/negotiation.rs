//! Two legs that exchange offers and answers, some of them edited on the way.

use sdp::{Codec, Direction, Negotiation, State, parse, pass_through, standard_codecs};

use crate::edit::edited;
use crate::reader::Reader;
use crate::sdp::leg;

/// Most exchanges of one run.
const STEPS_MAX: usize = 64;

const NAMES: &[&str] = &["PCMU", "PCMA", "G722", "opus", "G729", "L16", "L16/8000", "iLBC", "CN"];

/// The bytes are steps: who offers what, who edits what, who answers, refuses, or fails.
pub fn negotiation(bytes: &[u8]) {
    let mut reader = Reader::new(bytes);
    let mut legs = [leg(1), leg(2)];
    // Once a third party has changed a description, the ends need not agree with each other.
    let mut honest = true;
    for _ in 0..STEPS_MAX {
        if reader.is_empty() {
            return;
        }
        let from = reader.below(2);
        step(&mut legs, from, &mut reader, &mut honest);
        if honest {
            same_on_both_sides(&legs);
        }
    }
}

fn step(legs: &mut [Negotiation; 2], from: usize, reader: &mut Reader<'_>, honest: &mut bool) {
    let before = legs[from].clone();
    let offer = match reader.below(4) {
        0 => legs[from].refresh(),
        _ => legs[from].offer(&codecs(reader), direction(reader)),
    };
    let Ok(offer) = offer else {
        assert!(legs[from] == before, "a failed offer changes nothing");
        return;
    };
    assert_eq!(legs[from].state(), State::LocalOffer);
    let offer = on_the_way(&offer, reader, honest);
    let answer = answer_of(&mut legs[1 - from], offer, reader);
    let Some(answer) = answer else {
        legs[1 - from].reject_offer();
        legs[from].offer_failed();
        assert!(legs[from].agreed() == before.agreed(), "a refused offer changes nothing");
        return;
    };
    let answer = on_the_way(&answer, reader, honest);
    let agreed = legs[from].agreed().cloned();
    let Ok(answer) = parse(&answer) else { return failed(&mut legs[from], *honest) };
    if legs[from].receive_answer(answer).is_err() {
        assert!(legs[from].agreed() == agreed.as_ref(), "a bad answer changes nothing");
        failed(&mut legs[from], *honest);
    }
}

/// One end took the exchange for done and the other did not.
fn failed(leg: &mut Negotiation, honest: bool) {
    assert!(!honest, "an answer of ours was not understood");
    leg.offer_failed();
}

fn answer_of(leg: &mut Negotiation, offer: Vec<u8>, reader: &mut Reader<'_>) -> Option<Vec<u8>> {
    let before = leg.agreed().cloned();
    let codecs = match leg.receive_offer(parse(&offer).ok()?) {
        Ok(remote) if reader.one_in(2) => pass_through(&remote.codecs, NAMES, sdp::Order::Policy),
        Ok(remote) => remote.codecs.clone(),
        Err(error) => {
            assert!(matches!(error.status(), 400 | 488 | 491 | 500), "{error}");
            return None;
        }
    };
    assert!(leg.agreed() == before.as_ref(), "an unanswered offer changes nothing");
    if reader.one_in(8) {
        return None;
    }
    let answer = leg.answer(&codecs, direction(reader)).ok()?;
    assert!(leg.agreed().is_some());
    Some(answer.to_vec())
}

fn on_the_way(body: &[u8], reader: &mut Reader<'_>, honest: &mut bool) -> Vec<u8> {
    parse(body).expect("ours can be read");
    let changed = edited(body, reader);
    *honest &= changed == body;
    changed
}

fn codecs(reader: &mut Reader<'_>) -> Vec<Codec> {
    let names: Vec<_> = (0..reader.below(6)).map(|_| *reader.pick(NAMES)).collect();
    let mut codecs = standard_codecs(&names);
    if reader.one_in(4) {
        let number = reader.byte() & 127;
        codecs.push(Codec::new(number, reader.pick::<&str>(NAMES), 8000, 1).with_fmtp("mode=20"));
    }
    codecs
}

fn direction(reader: &mut Reader<'_>) -> Direction {
    let wanted = reader.byte();
    Direction::new(wanted & 1 == 0, wanted & 2 == 0)
}

fn same_on_both_sides(legs: &[Negotiation; 2]) {
    let (Some(one), Some(other)) = (legs[0].agreed(), legs[1].agreed()) else {
        assert!(legs.iter().all(|leg| leg.agreed().is_none()), "one end agreed alone");
        return;
    };
    assert!(one.codec.same_as(&other.codec), "{one:?} {other:?}");
    assert_eq!(one.codec.payload_type, other.receive_payload_type);
    assert_eq!(one.direction, other.direction.reversed());
    assert_eq!(one.rtcp_mux, other.rtcp_mux);
    assert_eq!(one.payload_map.len(), other.payload_map.len());
}
