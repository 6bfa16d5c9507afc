use call::control::OnFailure;
use call::{Command, PartyKey, SegmentKind};

use crate::bench::{Bench, agent, transfer};

#[test]
fn talk_hold_consult_conference_and_post_call_add_up_to_the_whole() {
    let mut bench = Bench::ringing();
    bench.wait(5); // ringing counts for nothing
    bench.answer(agent(1));
    bench.wait(10);
    bench.does(agent(1), Command::Hold);
    bench.wait(20);
    bench.consult(agent(1), agent(2));
    bench.wait(4);
    bench.answer(agent(2));
    bench.wait(26);
    bench.does(agent(1), Command::Toggle);
    bench.wait(1);
    bench.does(agent(1), Command::ConsultConference);
    bench.wait(40);
    bench.hang_up(PartyKey(1));
    bench.wait(50);
    bench.hang_up(agent(1));
    bench.wait(60);
    for (kind, seconds) in [
        (SegmentKind::Talk, 11),
        (SegmentKind::Hold, 20),
        (SegmentKind::Consult, 30),
        (SegmentKind::Conference, 40),
        (SegmentKind::PostCall, 50),
        (SegmentKind::Transfer, 0),
    ] {
        assert_eq!(bench.total(kind), seconds, "{kind:?}");
    }
    let kinds: Vec<_> = bench.call.segments().iter().map(|segment| segment.kind).collect();
    assert_eq!(format!("{kinds:?}"), "[Talk, Hold, Consult, Talk, Conference, PostCall]");
    assert!(bench.call.segments().iter().all(|segment| segment.to.is_some()));
}

#[test]
fn a_transfer_is_a_stretch_of_its_own() {
    let mut bench = Bench::talking();
    bench.wait(10);
    bench.does(agent(1), transfer(agent(2), OnFailure::Recall));
    bench.wait(7);
    bench.answer(agent(2));
    bench.wait(3);
    bench.hang_up(PartyKey(1));
    assert_eq!(bench.total(SegmentKind::Transfer), 7);
    assert_eq!(bench.total(SegmentKind::Talk), 13);
    assert_eq!(bench.call.segments()[1].participants.len(), 2);
}
