//! Trunks that point elsewhere (RFC 3261 §8.1.3.4): followed only as far as the policy goes.
#![allow(clippy::unwrap_used)]

mod world;

use b2bua::config::Config;
use world::{PHONE, TRUNK, World, parse, reply};

const BACKUP: &str = "127.0.0.3:5060";

fn world(change: impl FnOnce(&mut Config)) -> World {
    let mut config = b2bua::testing::config();
    change(&mut config);
    let mut world = World::with(config);
    world.register("1001", PHONE);
    world
}

/// 1001 dials out by a carrier that answers every INVITE by a 302 to another number of its own: the
/// numbers that it was asked for.
fn numbers_asked(world: &mut World) -> Vec<String> {
    let mut asked = Vec::new();
    let mut next = world.dial("out", "0171000", TRUNK);
    while let Some(invite) = next {
        let number = invite.strip_prefix("INVITE sip:").unwrap().split('@').next().unwrap();
        asked.push(number.to_owned());
        assert!(asked.len() < 10, "it never ends: {asked:?}");
        let elsewhere = format!("<sip:17100{}@127.0.0.2>", asked.len());
        let redirection = reply(&parse(&invite), "302 Moved Temporarily", "");
        world.receive(TRUNK, &redirection.replace(&format!("<sip:1001@{PHONE}>"), &elsewhere));
        next = world.sent_to(TRUNK).into_iter().find(|text| text.starts_with("INVITE "));
    }
    asked
}

#[test]
fn a_redirection_is_followed_as_often_as_the_policy_says() {
    let all = ["171000", "171001", "171002", "171003"];
    for (follow_redirects, redirects_max, asked) in
        [(true, 3, 4), (true, 1, 2), (true, 0, 1), (false, 3, 1), (false, 0, 1)]
    {
        // With another trunk to go to, and without.
        for ways in [&["carrier"][..], &["carrier", "backup"]] {
            let mut world = world(|config| {
                config.sip.redirects_max = redirects_max;
                config.trunks[0].follow_redirects = follow_redirects;
                config.routes[0].trunks = ways.iter().map(|&name| name.to_owned()).collect();
            });
            let row = format!("{follow_redirects} {redirects_max} {ways:?}");
            assert_eq!(numbers_asked(&mut world), all[..asked], "{row}");
            let told = world.sent_to(PHONE).pop().unwrap();
            let next = world.sent_to(BACKUP);
            match ways {
                ["carrier"] => {
                    assert!(told.starts_with("SIP/2.0 480 ") && next.is_empty(), "{row}: {told}");
                }
                _ => {
                    assert!(told.starts_with("SIP/2.0 100 "), "{row}: {told}");
                    // The number that the agent has dialled, not one that the first trunk named.
                    assert!(next[0].starts_with("INVITE sip:171000@127.0.0.3:5060 "), "{next:?}");
                }
            }
        }
    }
}
