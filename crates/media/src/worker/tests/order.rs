//! Packets that overtake each other on their way to one listener who hears them coded anew.

use super::*;
use crate::codec::g711::{linear_to_alaw, ulaw_to_linear};

/// A customer of whom the agent hears packets in A-law, and that some have overtaken one already.
fn call() -> (World, Slot, Slot) {
    let (mut world, a, b) = World::call(&[PCMU], &[PCMA]);
    say(&mut world, a, [0, 2, 1, 3]);
    world.heard(b);
    (world, a, b)
}

fn say<const N: usize>(world: &mut World, slot: Slot, numbers: [u16; N]) {
    for n in numbers {
        world.rtp(slot, CUSTOMER, 0, n);
    }
}

/// The numbers of the packets in what was heard, by the middle of each.
fn numbers(world: &mut World, listener: Slot) -> Vec<u16> {
    let number = |payload: &[u8]| {
        let is_of = |n: &u16| linear_to_alaw(ulaw_to_linear(*n as u8)) == payload[80];
        (0..30).find(is_of).unwrap_or(u16::MAX)
    };
    world.heard(listener).iter().map(|(_, payload)| number(payload)).collect()
}

#[test]
fn who_was_overtaken_by_one_is_waited_for() {
    let (mut world, a, b) = call();
    say(&mut world, a, [5]);
    assert_eq!(numbers(&mut world, b), [0; 0]);
    say(&mut world, a, [4, 6]);
    assert_eq!(numbers(&mut world, b), [4, 5, 6]);
    say(&mut world, a, [8, 9]);
    assert_eq!(numbers(&mut world, b), [8, 9], "7 is lost, not late");
}

#[test]
fn nobody_waits_for_long() {
    let (mut world, a, b) = call();
    say(&mut world, a, [5]);
    world.tick(20);
    assert_eq!(numbers(&mut world, b), [0; 0]);
    world.tick(20);
    assert_eq!(numbers(&mut world, b), [5]);
}

#[test]
fn on_a_clean_network_nobody_waits() {
    let (mut world, a, b) = World::call(&[PCMU], &[PCMA]);
    say(&mut world, a, [0, 1, 3]);
    assert_eq!(numbers(&mut world, b).len(), 3, "2 may be lost");
}

#[test]
fn what_waited_of_a_stream_that_is_gone_is_heard_by_nobody() {
    let (mut world, a, b) = call();
    say(&mut world, a, [5]);
    world.close(a);
    let again = world.open(2, config(CUSTOMER, &[PCMU]));
    assert_eq!(again, a, "it has the same place");
    world.hear(b, Hear::Stream(StreamId(2)), Some(again));
    world.heard(b);
    world.tick(100);
    // Only the end of the one before, dying away.
    assert_eq!(numbers(&mut world, b), [u16::MAX]);
    say(&mut world, again, [20, 21]);
    assert_eq!(numbers(&mut world, b).len(), 2);
}
