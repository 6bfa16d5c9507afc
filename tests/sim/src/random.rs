use std::collections::BTreeMap;
use std::time::Duration;

use b2bua::config::{Config, FeatureCodes, RecordingPolicy};
use base::Rng;

use crate::net::Link;
use crate::operation::{GATEWAYS, Operation, PHONES, PLAY};
use crate::text::Msg;
use crate::world::{Trace, World};

/// A random world: peers that call each other, hold, change, hang up and die, over networks that
/// lose, double and reorder. Panics, naming the seed, when anything is wrong.
pub fn random_calls(seed: u64) -> Trace {
    run(seed, None, false).trace()
}

/// The same kind of world, in which programs hold, consult, transfer, merge and supervise by the API
/// all the while.
pub fn random_verbs(seed: u64) -> Trace {
    run(seed, None, true).trace()
}

/// [`restored`] with verbs of the API.
pub fn restored_verbs(seed: u64, shares: &[u64]) -> (Trace, Vec<Trace>) {
    again(seed, shares, true)
}

/// The same world and, for each of these shares of its steps in per cent, one whose core is
/// replaced by its own snapshot there.
pub fn restored(seed: u64, shares: &[u64]) -> (Trace, Vec<Trace>) {
    again(seed, shares, false)
}

fn again(seed: u64, shares: &[u64], verbs: bool) -> (Trace, Vec<Trace>) {
    let whole = run(seed, None, verbs);
    let again = |share: &u64| {
        let world = run(seed, Some(1 + whole.steps() * share / 100), verbs);
        assert!(world.was_restored());
        world.trace()
    };
    (whole.trace(), shares.iter().map(again).collect())
}

/// Whose noise is removed, by settings that differ from world to world.
fn set_noise(config: &mut Config, seed: u64) {
    config.media.noise_removal.locked = seed.is_multiple_of(7);
    config.media.noise_removal.from_agent = seed.is_multiple_of(5);
    config.trunks[1].noise_removal.enabled = seed.is_multiple_of(2).then_some(false);
    config.extensions[1].noise_removal.enabled = seed.is_multiple_of(3).then_some(false);
    config.extensions[2].own_noise_removal.enabled = seed.is_multiple_of(4).then_some(true);
}

/// How many codes that were dialled at random in such a world did something, and how many were
/// refused.
pub fn codes(seed: u64) -> (usize, usize) {
    let world = run(seed, None, true);
    (world.times_told("Tone(Beep)"), world.times_told("Tone(Congestion)"))
}

/// How often each kind of message was seen in a random world: `< INVITE` left the server, `> 491
/// INVITE` reached it.
pub fn census(seed: u64) -> BTreeMap<String, u64> {
    let mut seen = BTreeMap::new();
    for line in run(seed, None, false).wire {
        let Some(msg) = Msg::parse(&line.bytes) else { continue };
        let arrow = if line.from_server { '<' } else { '>' };
        let kind = match msg.status() {
            Some(status) => format!("{arrow} {status} {}", msg.method()),
            None => format!("{arrow} {}", msg.method()),
        };
        *seen.entry(kind).or_default() += 1;
    }
    seen
}

/// A random world in which the server ends a call for nothing, as soon as one is up; whether one
/// ever was.
pub fn betrayed(seed: u64) -> bool {
    let mut world = begun(seed, None, false);
    world.run_for(PLAY / 4);
    let mut is_betrayed = false;
    for _ in 0..60 {
        is_betrayed = is_betrayed || world.end_for_nothing();
        world.run_for(Duration::from_secs(5));
    }
    world.finish();
    is_betrayed
}

fn run(seed: u64, restore_at: Option<u64>, verbs: bool) -> World {
    let mut world = begun(seed, restore_at, verbs);
    world.run_for(PLAY + Duration::from_secs(200));
    world.finish();
    world
}

/// A random world in which all is planned and nothing but registrations has happened.
fn begun(seed: u64, restore_at: Option<u64>, verbs: bool) -> World {
    let mut rng = Rng::from_u64(seed ^ 0x5eed);
    let link = if rng.chance(30) { Link::GOOD } else { Link::BAD };
    let keeps_house = rng.chance(25);
    let asks_phones = rng.chance(25);
    let mut world = World::with(seed, link, |config| {
        config.interactions.events = verbs;
        if verbs {
            config.feature_codes = FeatureCodes::usual();
        }
        config.media.transcode = seed.is_multiple_of(2);
        config.media.recording = seed.is_multiple_of(3).then_some(RecordingPolicy {
            automatic: !verbs || seed.is_multiple_of(6),
            ..RecordingPolicy::default()
        });
        set_noise(config, seed);
        if keeps_house {
            for trunk in &mut config.trunks {
                trunk.options_interval = Some(Duration::from_secs(60));
            }
            config.trunks[0].register = Some(Duration::from_secs(600));
        }
        if asks_phones {
            config.registrar.qualify = Some(Duration::from_secs(45));
        }
    });
    if seed.is_multiple_of(9) {
        world.fill_disk(Some(3));
    }
    world.restore_at = restore_at;
    world.revives = true;
    for who in PHONES.into_iter().chain(GATEWAYS) {
        world.agents[who].takes_any = true;
        if rng.chance(20) {
            world.links[who] = Link::GOOD;
        }
        world.agents[who].expects_refresh = world.links[who] == Link::GOOD;
        world.agents[who].challenges_inside = GATEWAYS.contains(&who) && rng.chance(30);
    }
    world.register();
    if rng.chance(70) {
        world.register_one("1001b");
    }
    let mut operations = Operation::random(&mut rng);
    if verbs {
        operations.extend(Operation::verbs(&mut rng));
        operations.extend(Operation::codes(&mut rng));
    }
    // By chances of their own: what the other worlds were is not changed by them.
    operations.extend(Operation::collisions(&mut Rng::from_u64(seed ^ 0x61a4e)));
    for (after, operation) in operations {
        world.schedule(after, operation);
    }
    world
}
