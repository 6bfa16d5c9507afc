//! The hard stories of a call, each told once, over a good network.

use std::time::Duration;

use sim::{Act, Answering, Link, Placing, World};

fn seconds(s: u64) -> Duration {
    Duration::from_secs(s)
}

#[test]
fn two_phones_talk_and_the_callee_hangs_up() {
    let mut world = World::new(1, Link::GOOD);
    world.register();
    world.plan("1001", Answering::after(2000).then(5000, Act::Bye));
    world.call("1003", Placing::to("1001"));
    world.run_for(seconds(60));
    assert_eq!(world.sent_to("1003", "BYE ").len(), 1);
    assert_eq!(world.records().len(), 1);
    assert_eq!(world.records()[0].talk_ms / 100, 50);
    world.finish();
}
