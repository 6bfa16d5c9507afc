//! The hard stories of a call, each told once over a good network, so that what the random worlds
//! promise can be read line by line.

mod codes;
mod control;
mod end;
mod record;
mod set_up;
mod talk;
mod trunk;

use std::time::Duration;

use sim::{Link, World};

fn seconds(s: u64) -> Duration {
    Duration::from_secs(s)
}

/// A world in which every phone has registered, the second one of 1001 apart.
fn world() -> World {
    let mut world = World::new(1, Link::GOOD);
    world.register();
    world
}

/// The same, with legs that must have a codec in common.
fn world_without_transcoding() -> World {
    let mut world = World::with(1, Link::GOOD, |config| config.media.transcode = false);
    world.register();
    world
}

/// The first line of a message.
fn start(message: &str) -> &str {
    message.lines().next().unwrap_or("")
}

/// A header of a message as we write it.
fn header<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    let prefix = format!("{name}: ");
    message.lines().find_map(|line| line.strip_prefix(prefix.as_str()))
}

/// `INVITE` of responses: those whose CSeq names this method.
fn answers(world: &World, name: &str, method: &str) -> Vec<u16> {
    let all = world.sent_to(name, "SIP/2.0 ");
    let of_method = |m: &&String| header(m, "CSeq").is_some_and(|cseq| cseq.ends_with(method));
    all.iter().filter(of_method).filter_map(|m| start(m).split(' ').nth(1)?.parse().ok()).collect()
}
