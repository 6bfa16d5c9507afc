//! From the INVITE to its final answer.

use sim::{Act, Answering, Codecs, Link, Placing, Reliable, Step, World};

use crate::{answers, header, seconds, start, world};

#[test]
fn two_phones_talk_and_the_callee_hangs_up() {
    let mut world = world();
    world.plan("1001", Answering::after(2000).then(5000, Act::Bye));
    world.call("1003", Placing::to("1001"));
    world.run_for(seconds(4));
    assert_eq!(
        (world.heard_by("1001"), world.heard_by("1003")),
        ("Stream".into(), "Stream".into())
    );
    world.run_for(seconds(60));
    assert_eq!(answers(&world, "1003", "INVITE"), [401, 100, 180, 200]);
    assert_eq!(world.sent_to("1003", "BYE ").len(), 1);
    assert_eq!(world.records()[0].talk_ms / 100, 50);
    world.finish();
}

#[test]
fn a_caller_who_gives_up_is_told_487_and_the_phone_stops_ringing() {
    let mut world = world();
    world.plan("1001", Answering::never());
    world.call("1003", Placing { cancel_after: Some(seconds(3)), ..Placing::to("1001") });
    world.run_for(seconds(10));
    assert_eq!(answers(&world, "1003", "INVITE"), [401, 100, 180, 487]);
    assert_eq!(world.sent_to("1001", "CANCEL ").len(), 1);
    assert_eq!(world.records()[0].sip_status, 487);
    world.finish();
}

#[test]
fn a_200_that_crosses_the_cancel_is_acknowledged_and_hung_up() {
    let mut world = world();
    let late = Answering { ignores_cancel: true, ..Answering::after(3500) };
    world.plan("1001", late);
    world.call("1003", Placing { cancel_after: Some(seconds(3)), ..Placing::to("1001") });
    world.run_for(seconds(10));
    assert_eq!(answers(&world, "1003", "INVITE"), [401, 100, 180, 487]);
    let sent = |method| world.sent_to("1001", method).len();
    assert_eq!((sent("CANCEL "), sent("ACK "), sent("BYE ")), (1, 1, 1));
    assert!(world.records()[0].answered.is_none());
    world.finish();
}

#[test]
fn a_cancel_that_comes_after_the_200_changes_nothing() {
    let mut world = world();
    world.plan("1001", Answering::after(2000).then(8000, Act::Bye));
    // The 200 is on its way to the caller when it cancels: 2.02 s after the second INVITE.
    let cancel_after = Some(std::time::Duration::from_millis(2055));
    world.call("1003", Placing { cancel_after, ..Placing::to("1001") });
    world.run_for(seconds(5));
    assert_eq!(answers(&world, "1003", "CANCEL"), [200]);
    assert_eq!(answers(&world, "1003", "INVITE").last(), Some(&200));
    world.finish();
}

#[test]
fn refusals_of_a_phone_reach_the_caller() {
    for (status, told) in [(486, 486), (603, 603), (480, 480), (404, 404), (500, 500), (503, 503)] {
        let mut world = world();
        world.plan("1001", Answering::refuse(1000, status));
        world.call("1003", Placing::to("1001"));
        world.run_for(seconds(20));
        assert_eq!(answers(&world, "1003", "INVITE"), [401, 100, told], "{status}");
        world.finish();
    }
}

#[test]
fn a_port_that_somebody_else_holds_costs_a_caller_nothing() {
    for taken in [&[1][..], &[1, 3], &[1, 3, 4]] {
        let mut world = world();
        world.take_ports(taken);
        world.plan("1001", Answering::after(1000).then(3000, Act::Bye));
        world.call("1003", Placing::to("1001"));
        world.run_for(seconds(3));
        assert_eq!(answers(&world, "1003", "INVITE"), [401, 100, 180, 200], "{taken:?}");
        assert!(world.heard_by("1001") == "Stream" && world.heard_by("1003") == "Stream");
        world.finish();
    }
}

#[test]
fn a_phone_that_was_told_somebody_else_s_port_is_called_anew() {
    let mut world = world();
    world.take_ports(&[2, 3]);
    world.plan("1001", Answering::after(1000));
    world.plan("1001", Answering::after(1000));
    world.plan("1001", Answering::after(1000).then(3000, Act::Bye));
    world.call("1003", Placing::to("1001"));
    world.run_for(seconds(3));
    assert_eq!(world.sent_to("1001", "INVITE ").len(), 3);
    assert_eq!(world.sent_to("1001", "CANCEL ").len(), 2);
    assert_eq!(answers(&world, "1003", "INVITE").last(), Some(&200));
    assert!(world.heard_by("1001") == "Stream" && world.heard_by("1003") == "Stream");
    world.finish();
}

#[test]
fn when_every_port_is_somebody_else_s_the_caller_gets_503() {
    let mut world = world();
    world.take_ports(&[1, 3, 4, 5]);
    world.plan("1001", Answering::after(1000));
    world.call("1003", Placing::to("1001"));
    world.run_for(seconds(3));
    assert_eq!(answers(&world, "1003", "INVITE").last(), Some(&503));
    world.finish();
}

#[test]
fn nobody_answers_for_the_ring_time() {
    let mut world = world();
    world.plan("1001", Answering::never());
    world.call("1003", Placing::to("1001"));
    world.run_for(seconds(40));
    assert_eq!(answers(&world, "1003", "INVITE"), [401, 100, 180, 480]);
    assert_eq!(world.sent_to("1001", "CANCEL ").len(), 1);
    world.finish();
}

#[test]
fn a_dead_phone_and_an_unregistered_one_are_unavailable() {
    for to in ["1001", "1002"] {
        let mut world = World::new(1, Link::GOOD);
        world.register_one("1001");
        world.register_one("1003");
        world.run_for(seconds(2));
        world.peer("1001").die();
        world.call("1003", Placing::to(to));
        world.run_for(seconds(60));
        let told = answers(&world, "1003", "INVITE").pop();
        assert!(matches!(told, Some(408 | 480)), "{to}: {told:?}");
        world.peer("1001").revive(base::Time::ZERO + seconds(100));
        world.finish();
    }
}

#[test]
fn the_losers_of_a_ring_all_learn_that_the_call_was_taken_elsewhere() {
    let mut world = world();
    world.register_one("1001b");
    world.run_for(seconds(2));
    world.plan("1001", Answering::after(2000).then(2000, Act::Bye));
    world.plan("1001b", Answering::never());
    world.call("1003", Placing::to("1001"));
    world.run_for(seconds(10));
    let cancels = world.sent_to("1001b", "CANCEL ");
    assert_eq!(cancels.len(), 1);
    let reason = header(&cancels[0], "Reason").unwrap_or("");
    assert_eq!(reason, "SIP;cause=200;text=\"Call completed elsewhere\"");
    assert!(world.sent_to("1001", "CANCEL ").is_empty());
    world.finish();
}

#[test]
fn two_phones_that_answer_at_once_leave_one_call() {
    let mut world = world();
    world.register_one("1001b");
    world.run_for(seconds(2));
    world.plan("1001", Answering::after(2000).then(9000, Act::Bye));
    world.plan("1001b", Answering { ignores_cancel: true, ..Answering::after(2005) });
    world.call("1003", Placing::to("1001"));
    world.run_for(seconds(8));
    assert!(world.has_call("1001"));
    assert!(!world.has_call("1001b"));
    assert_eq!(world.sent_to("1001b", "BYE ").len(), 1);
    world.finish();
}

#[test]
fn early_media_is_heard_before_the_answer() {
    let mut world = world();
    let steps = [
        (100, Step::Early { fork: 0, reliable: false }),
        (500, Step::Ring(0)),
        (5000, Step::Answer(0)),
    ];
    world.plan("1001", Answering::by(&steps).then(2000, Act::Bye));
    world.call("1003", Placing::to("1001"));
    world.run_for(seconds(3));
    let early = world.sent_to("1003", "SIP/2.0 183");
    assert_eq!(early.len(), 1);
    assert!(early[0].contains("m=audio"));
    world.run_for(seconds(10));
    assert_eq!(answers(&world, "1003", "INVITE"), [401, 100, 183, 180, 200]);
    world.finish();
}

#[test]
fn provisionals_are_reliable_for_who_demands_it_and_their_sdp_is_not_repeated() {
    let mut world = world();
    let steps = [(100, Step::Early { fork: 0, reliable: true }), (3000, Step::Answer(0))];
    world.plan("1001", Answering::by(&steps).then(2000, Act::Bye));
    world.call("1003", Placing { reliable: Reliable::Required, ..Placing::to("1001") });
    world.run_for(seconds(10));
    let early = &world.sent_to("1003", "SIP/2.0 183")[0];
    assert!(header(early, "Require").is_some_and(|require| require.contains("100rel")));
    assert_eq!(answers(&world, "1003", "PRACK"), [200]);
    let answer =
        &world.sent_to("1003", "SIP/2.0 200 OK").into_iter().find(|m| m.contains("INVITE"));
    assert!(answer.as_ref().is_some_and(|m| !m.contains("m=audio"))); // RFC 6337 §2.2
    assert_eq!(world.sent_to("1001", "PRACK ").len(), 1);
    world.finish();
}

#[test]
fn an_update_changes_early_media() {
    let mut world = world();
    let steps = [(100, Step::Early { fork: 0, reliable: true }), (4000, Step::Answer(0))];
    world.plan("1001", Answering::by(&steps).then(4000, Act::Bye));
    let reliable = Reliable::Required;
    world.call("1003", Placing { reliable, early_update: true, ..Placing::to("1001") });
    world.run_for(seconds(7));
    assert_eq!(answers(&world, "1003", "UPDATE"), [200]);
    assert_eq!(world.heard_by("1001"), "Music"); // the UPDATE put it on hold
    world.finish();
}

#[test]
fn calls_without_an_offer_get_ours() {
    for reliable in [Reliable::No, Reliable::Supported, Reliable::Required] {
        let mut world = world();
        let steps = [
            (100, Step::Ring(0)),
            (500, Step::Early { fork: 0, reliable: true }),
            (3000, Step::Answer(0)),
        ];
        world.plan("1001", Answering::by(&steps).then(30_000, Act::Bye));
        world.call("1003", Placing { offer: false, reliable, ..Placing::to("1001") });
        world.run_for(seconds(30));
        let heard = (world.heard_by("1001"), world.heard_by("1003"));
        assert_eq!(heard, ("Stream".into(), "Stream".into()), "{reliable:?}");
        world.finish();
    }
}

#[test]
fn a_call_without_a_common_codec_gets_488_and_reaches_nobody() {
    let mut world = world();
    world.call("1003", Placing { codecs: Codecs::Foreign, ..Placing::to("1001") });
    world.run_for(seconds(5));
    assert_eq!(answers(&world, "1003", "INVITE"), [401, 100, 488]);
    assert!(world.sent_to("1001", "INVITE ").is_empty());
    world.finish();
}

#[test]
fn comfort_noise_is_taken_from_who_offers_it_and_offered_for_nobody_else() {
    let has_noise = |message: &String| message.contains("a=rtpmap:13 CN/8000");
    let mut world = world();
    world.plan("1001", Answering::after(500));
    world.call("1003", Placing { codecs: Codecs::Noisy, ..Placing::to("1001") });
    world.run_for(seconds(3));
    assert!(world.sent_to("1001", "INVITE ").iter().all(has_noise), "as the caller has it");
    let answered = world.sent_to("1003", "SIP/2.0 200 ");
    let answered: Vec<_> = answered.iter().filter(|it| it.contains("m=audio")).collect();
    assert!(!answered.is_empty() && answered.into_iter().all(has_noise), "the callee has none");
    world.finish();

    let mut world = self::world();
    world.plan("1003", Answering { codecs: Codecs::Noisy, ..Answering::after(500) });
    world.call("1001", Placing::to("1003"));
    world.run_for(seconds(3));
    assert!(!world.sent_to("1003", "INVITE ").iter().any(has_noise), "nobody asked for it");
    world.finish();
}

#[test]
fn the_same_invite_on_a_second_path_is_a_loop() {
    let mut world = world();
    world.plan("1001", Answering::after(3000));
    world.call("1003", Placing::to("1001"));
    world.run_for(seconds(1));
    let invite = world.got_from("1003", "INVITE ").pop().unwrap();
    let branch = header(&invite, "Via").unwrap().split("branch=").nth(1).unwrap().to_owned();
    let branch = branch.split(';').next().unwrap().to_owned();
    world.inject("1003", invite.replace(&branch, "z9hG4bKother").into_bytes());
    world.peer("1003").expect_strays();
    world.run_for(seconds(1));
    assert!(answers(&world, "1003", "INVITE").contains(&482));
    world.finish();
}

#[test]
fn a_request_without_hops_left_goes_no_further() {
    let mut world = world();
    world.plan("1001", Answering::after(3000));
    world.call("1003", Placing::to("1001"));
    world.run_for(seconds(1));
    let invite = world.got_from("1003", "INVITE ").pop().unwrap();
    let spent = invite.replace("Max-Forwards: 70", "Max-Forwards: 0");
    let call_id = header(&invite, "Call-ID").unwrap().to_owned();
    let spent = spent.replace(&call_id, "spent").replace("z9hG4bK", "z9hG4bKspent");
    world.inject("1003", spent.into_bytes());
    world.peer("1003").expect_strays();
    world.run_for(seconds(1));
    assert!(answers(&world, "1003", "INVITE").contains(&483));
    let hops: Vec<_> = world.sent_to("1001", "INVITE ");
    assert_eq!(header(&hops[0], "Max-Forwards"), Some("69"), "{}", start(&hops[0]));
    world.finish();
}

#[test]
fn an_offer_of_ours_that_a_prack_leaves_unanswered_ends_the_call() {
    let mut world = world();
    world.plan("1001", Answering::after(3000));
    let placing = Placing { offer: false, codecs: Codecs::Foreign, ..Placing::to("1001") };
    world.call("1003", Placing { reliable: Reliable::Required, ..placing });
    world.peer("1003").cancels_nothing = true;
    world.run_for(seconds(10));
    assert_eq!(answers(&world, "1003", "INVITE"), [401, 100, 180, 488]);
    assert!(!world.has_call("1001"));
    world.finish();
}
