//! Trunks: fail-over, forks, challenges, redirections, and who may use them.

use sim::{Act, Answering, Attack, Link, Placing, Refresher, Step, World};

use crate::{answers, header, seconds, start, world};

#[test]
fn a_customer_reaches_the_agent_of_the_entry_point() {
    let mut world = world();
    world.plan("1001", Answering::after(1000).then(3000, Act::Bye));
    world.call("carrier", Placing::to("+4930100"));
    world.run_for(seconds(10));
    assert_eq!(answers(&world, "carrier", "INVITE"), [100, 180, 200]);
    world.finish();
}

#[test]
fn a_trunk_that_fails_is_followed_by_the_next_one() {
    let failures = [
        Answering::refuse(500, 503),
        Answering::refuse(500, 408),
        Answering::refuse(500, 480),
        Answering::refuse(500, 500),
        Answering::refuse(500, 504),
    ];
    for failure in failures {
        let mut world = world();
        let what = format!("{failure:?}");
        world.plan("carrier", failure);
        world.plan("backup", Answering::after(1000).then(2000, Act::Bye));
        world.call("1003", Placing::to("0171555"));
        world.run_for(seconds(20));
        assert_eq!(answers(&world, "1003", "INVITE").last(), Some(&200), "{what}");
        world.finish();
        assert_eq!(world.records()[0].legs.len(), 3);
    }
}

#[test]
fn a_silent_trunk_is_given_up_after_four_seconds() {
    let mut world = world();
    world.peer("carrier").die();
    world.plan("backup", Answering::after(1000).then(2000, Act::Bye));
    let before = world.now();
    world.call("1003", Placing::to("0171555"));
    world.run_for(seconds(20));
    let (tried, _) = world.lines("backup", true, "INVITE ")[0];
    assert!((4.0..4.2).contains(&(tried - before).as_secs_f32()), "{:?}", tried - before);
    world.finish();
}

#[test]
fn what_the_called_party_decides_is_final() {
    for status in [404, 486, 603] {
        let mut world = world();
        world.plan("carrier", Answering::refuse(500, status));
        world.call("1003", Placing::to("0171555"));
        world.run_for(seconds(10));
        assert_eq!(answers(&world, "1003", "INVITE").last(), Some(&status));
        assert!(world.sent_to("backup", "INVITE ").is_empty(), "{status}");
        world.finish();
    }
}

#[test]
fn a_trunk_that_rings_too_long_and_answers_the_cancel_with_200_has_no_ghost_call() {
    let mut world = world();
    let late = Answering { ignores_cancel: true, ..Answering::after(21_000) };
    world.plan("carrier", late);
    world.plan("backup", Answering::after(5000).then(2000, Act::Bye));
    world.call("1003", Placing::to("0171555"));
    world.run_for(seconds(60));
    assert_eq!(world.sent_to("carrier", "BYE ").len(), 1);
    assert_eq!(answers(&world, "1003", "INVITE").last(), Some(&200));
    world.finish();
}

#[test]
fn an_answer_long_after_we_gave_up_is_acknowledged_and_hung_up() {
    let mut world = world();
    // Not a word for 6 s, which is 2 s after we went on to the next trunk.
    let late = Answering { ignores_cancel: true, ..Answering::by(&[(6000, Step::Answer(0))]) };
    world.plan("carrier", late);
    world.peer("carrier").is_slow = true;
    world.plan("backup", Answering::after(3000).then(9000, Act::Bye));
    world.call("1003", Placing::to("0171555"));
    world.run_for(seconds(12));
    assert_eq!(
        (world.sent_to("carrier", "ACK ").len(), world.sent_to("carrier", "BYE ").len()),
        (1, 1)
    );
    assert!(world.has_call("backup") && !world.has_call("carrier"));
    world.finish();
}

#[test]
fn of_two_forks_that_answer_the_first_has_the_call() {
    let mut world = world();
    let steps = [
        (100, Step::Ring(0)),
        (200, Step::Early { fork: 1, reliable: true }),
        (1000, Step::Answer(0)),
        (1200, Step::Answer(1)),
    ];
    world.plan("carrier", Answering::by(&steps).then(9000, Act::Bye));
    world.call("1003", Placing::to("0171555"));
    world.run_for(seconds(5));
    let byes = world.sent_to("carrier", "BYE ");
    assert_eq!(byes.len(), 1);
    assert!(header(&byes[0], "To").is_some_and(|to| to.contains("tag=fork1-")));
    assert_eq!(answers(&world, "1003", "INVITE"), [401, 100, 180, 183, 200]);
    world.finish();
}

#[test]
fn a_challenge_of_a_trunk_is_answered() {
    let mut world = world();
    let steps = [(0, Step::Challenge), (1000, Step::Answer(0))];
    world.plan("carrier", Answering::by(&steps).then(2000, Act::Bye));
    world.call("1003", Placing::to("0171555"));
    world.run_for(seconds(10));
    let invites = world.sent_to("carrier", "INVITE ");
    assert_eq!(invites.len(), 2);
    assert!(header(&invites[1], "Authorization").is_some());
    assert_eq!(answers(&world, "1003", "INVITE").last(), Some(&200));
    world.finish();
}

/// ATTACKS 15.
#[test]
fn a_redirection_is_followed_within_its_trunk_or_by_the_dial_plan() {
    for (uri, followed) in [
        ("sip:0777@127.0.0.2:5060", true),
        ("sip:0777@203.0.113.9", false),
        ("tel:0777", true),
        ("tel:07-77", true),
        ("tel:+49777", false), // no route takes it
        ("tel:0777;maddr=203.0.113.9", true),
        ("http://0777@127.0.0.2", false),
        ("file:///0777", false),
    ] {
        let mut world = world();
        world.plan("carrier", Answering::by(&[(100, Step::Redirect(uri.to_owned()))]));
        world.plan("carrier", Answering::after(1000).then(2000, Act::Bye));
        world.plan("backup", Answering::refuse(100, 486));
        world.call("1003", Placing::to("0171555"));
        world.run_for(seconds(20));
        let invites = world.sent_to("carrier", "INVITE ");
        let to_it = invites.iter().any(|invite| start(invite).contains("777@127.0.0.2"));
        assert_eq!(to_it, followed, "{uri}");
        world.finish();
    }
}

#[test]
fn a_phone_that_points_elsewhere_is_not_followed() {
    let mut world = world();
    let elsewhere = Step::Redirect("sip:0777@127.0.0.2:5060".to_owned());
    world.plan("1001", Answering::by(&[(100, elsewhere)]));
    world.call("1003", Placing::to("1001"));
    world.run_for(seconds(10));
    assert_eq!(answers(&world, "1003", "INVITE").last(), Some(&480));
    assert!(world.sent_to("carrier", "INVITE ").is_empty());
    world.finish();
}

#[test]
fn a_trunk_reaches_entry_points_and_nothing_else() {
    let mut world = world();
    for to in ["1001", "0171555", "+4930199", "1004"] {
        world.call("carrier", Placing::to(to));
        world.run_for(seconds(5));
    }
    assert_eq!(answers(&world, "carrier", "INVITE").iter().filter(|s| **s == 404).count(), 4);
    assert!(world.sent_to("backup", "INVITE ").is_empty());
    world.finish();
}

#[test]
fn strangers_change_nothing_and_reach_nothing() {
    let mut world = world();
    world.plan("1001", Answering::after(1000).then(60_000, Act::Bye));
    world.call("1003", Placing::to("1001"));
    world.run_for(seconds(5));
    for round in 0..40 {
        for attack in [Attack::GuessedTags, Attack::Overheard, Attack::Spoofed, Attack::Forged] {
            world.attack(attack);
        }
        world.run_for(seconds(1));
        assert!(world.has_call("1001") && world.has_call("1003"), "round {round}");
    }
    assert!(world.sent_to("carrier", "INVITE ").is_empty());
    assert!(world.heard_by("1001") == "Stream" && world.heard_by("1003") == "Stream");
    world.finish();
}

/// INTEROP 12: PRACK, UPDATE or re-INVITE, and BYE.
#[test]
fn challenges_inside_the_dialog_are_answered_too() {
    for (takes_update, refresh) in [(false, "INVITE "), (true, "UPDATE ")] {
        let mut world = world();
        world.peer("carrier").challenges_inside = true;
        let session = Some((90, Refresher::Uac));
        let steps = [(100, Step::Early { fork: 0, reliable: true }), (1000, Step::Answer(0))];
        let answering = Answering { session, takes_update, ..Answering::by(&steps) };
        world.plan("carrier", answering);
        world.call("1003", Placing::to("0171555").then(120_000, Act::Bye));
        world.run_for(seconds(115));
        assert!(world.has_call("carrier"));
        world.run_for(seconds(30));
        assert!(!world.has_call("carrier"));
        assert_eq!(world.records()[0].sip_status, 200);
        for method in ["PRACK ", refresh, "BYE "] {
            let sent = world.sent_to("carrier", method);
            let proved = sent.last().is_some_and(|last| header(last, "Authorization").is_some());
            assert!(proved, "{method}: {}", sent.len());
        }
        // The first of all was challenged; what it taught serves the rest of the dialog.
        assert_eq!(world.sent_to("carrier", "PRACK ").len(), 2);
        world.finish();
    }
}

/// `carrier` with two gateways, those of `carrier` and of `backup`, and no other trunk.
fn with_two_gateways(change: impl FnOnce(&mut b2bua::config::Trunk)) -> World {
    let mut world = World::with(1, Link::GOOD, |config| {
        let backup = config.trunks.remove(1);
        let carrier = &mut config.trunks[0];
        carrier.targets.extend(backup.targets);
        carrier.networks.extend(backup.networks);
        config.routes[0].trunks = vec!["carrier".to_owned()];
        change(carrier);
    });
    world.register();
    world
}

#[test]
fn a_dead_gateway_leaves_its_trunk_up_and_costs_no_call_a_second() {
    let mut world = with_two_gateways(|trunk| trunk.options_interval = Some(seconds(30)));
    world.peer("carrier").die();
    world.run_for(seconds(150));
    world.plan("backup", Answering::after(100).then(1000, Act::Bye));
    let before = world.now();
    world.call("1003", Placing::to("0171555"));
    world.run_for(seconds(10));
    assert!(world.sent_to("carrier", "INVITE ").is_empty());
    let (tried, _) = world.lines("backup", true, "INVITE ")[0];
    assert!((tried - before).as_secs_f32() < 0.5, "{:?}", tried - before);
    assert_eq!(answers(&world, "1003", "INVITE").last(), Some(&200));
    // Once both are dead the trunk is down, and the caller waits for nothing.
    world.peer("backup").die();
    world.run_for(seconds(150));
    let tried = world.sent_to("backup", "INVITE ").len();
    world.call("1003", Placing::to("0171555"));
    world.run_for(seconds(1));
    assert_eq!(answers(&world, "1003", "INVITE").last(), Some(&503));
    assert_eq!(world.sent_to("backup", "INVITE ").len(), tried);
    // The first to come back has all calls.
    let now = world.now();
    world.peer("carrier").revive(now);
    world.run_for(seconds(60));
    world.plan("carrier", Answering::after(100).then(1000, Act::Bye));
    world.call("1003", Placing::to("0171555"));
    world.run_for(seconds(10));
    assert_eq!(world.sent_to("carrier", "INVITE ").len(), 1);
    world.finish();
}

#[test]
fn a_registration_moves_on_to_the_gateway_that_takes_it() {
    let mut world = with_two_gateways(|trunk| trunk.register = Some(seconds(600)));
    let first = world.sent_to("carrier", "REGISTER ").len();
    assert!(first > 0 && world.sent_to("backup", "REGISTER ").is_empty());
    world.peer("carrier").die();
    // The next renewal is not answered in 32 s.
    world.run_for(seconds(480 + 40));
    assert!(world.sent_to("carrier", "REGISTER ").len() > first);
    assert!(!world.sent_to("backup", "REGISTER ").is_empty());
    world.finish();
}

#[test]
fn a_trunk_that_does_not_answer_options_is_down_until_it_does() {
    let mut world = World::with(1, Link::GOOD, |config| {
        config.trunks[0].options_interval = Some(seconds(30));
    });
    world.register();
    world.peer("carrier").die();
    world.run_for(seconds(150));
    world.plan("backup", Answering::after(100).then(1000, Act::Bye));
    world.call("1003", Placing::to("0171555"));
    world.run_for(seconds(10));
    assert!(world.sent_to("carrier", "INVITE ").is_empty());
    let now = world.now();
    world.peer("carrier").revive(now);
    world.run_for(seconds(60));
    world.plan("carrier", Answering::after(100).then(1000, Act::Bye));
    world.call("1003", Placing::to("0171555"));
    world.run_for(seconds(10));
    assert_eq!(world.sent_to("carrier", "INVITE ").len(), 1);
    world.finish();
}

/// ATTACKS 33: a trunk that is away for a minute is found out in time to be left alone, and found again.
#[test]
fn a_trunk_that_is_away_is_down_in_seconds_and_up_in_seconds() {
    let mut world = World::with(1, Link::GOOD, |config| {
        config.trunks[0].options_interval = Some(seconds(30));
    });
    world.register();
    world.peer("carrier").die();
    world.run_for(seconds(30 + 4 + 5 + 4)); // asked, silent, asked on, silent
    world.plan("backup", Answering::after(100).then(1000, Act::Bye));
    world.call("1003", Placing::to("0171555"));
    world.run_for(seconds(30));
    assert!(world.sent_to("carrier", "INVITE ").is_empty(), "it is down");
    let now = world.now();
    world.peer("carrier").revive(now);
    world.run_for(seconds(5));
    world.plan("carrier", Answering::after(100).then(1000, Act::Bye));
    world.call("1003", Placing::to("0171555"));
    world.run_for(seconds(10));
    assert_eq!(world.sent_to("carrier", "INVITE ").len(), 1, "up within 5 s");
    world.finish();
}

/// ATTACKS 33: five seconds are no reason to give a trunk up, whenever they begin.
#[test]
fn a_trunk_that_is_away_for_five_seconds_is_not_down() {
    for begins in 20..35 {
        let mut world = World::with(1, Link::GOOD, |config| {
            config.trunks[0].options_interval = Some(seconds(30));
        });
        world.register();
        world.run_for(seconds(begins));
        world.peer("carrier").die();
        world.run_for(seconds(5));
        let now = world.now();
        world.peer("carrier").revive(now);
        world.run_for(seconds(5));
        world.plan("carrier", Answering::after(100).then(1000, Act::Bye));
        world.call("1003", Placing::to("0171555"));
        world.run_for(seconds(10));
        assert_eq!(world.sent_to("carrier", "INVITE ").len(), 1, "away from second {begins} on");
        assert!(world.sent_to("backup", "INVITE ").is_empty(), "away from second {begins} on");
        world.finish();
    }
}
