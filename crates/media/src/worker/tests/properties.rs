//! Whatever comes in whatever order.

use proptest::prelude::*;

use super::*;

proptest! {
    /// INTEROP 6: whatever is heard when, whatever is lost or reordered on the way in, a listener
    /// gets one stream: one SSRC, every number at most once, time forward with the numbers.
    #[test]
    fn a_listener_gets_one_stream(
        steps in proptest::collection::vec((0u8..8, 0u16..6, 1u64..60), 1..250),
    ) {
        let (mut world, a, listener) = World::call(&[PCMU, EVENTS], &[PCMU, EVENTS]);
        let c = world.open(2, config(STRANGER, &[PCMU, EVENTS]));
        let mut next = [1000u16, 60_000];
        for (action, skew, pause) in steps {
            world.pass(pause);
            match action {
                0 => world.hear(listener, Hear::Stream(StreamId(0)), Some(a)),
                1 => world.hear(listener, Hear::Stream(StreamId(2)), Some(c)),
                2 => world.hear(listener, Hear::Music, None),
                3 => world.tick(20),
                _ => {
                    let (slot, from, n) = match action % 2 {
                        0 => (a, CUSTOMER, &mut next[0]),
                        _ => (c, STRANGER, &mut next[1]),
                    };
                    // Every skew but 3 is a loss or a step back.
                    let at = n.wrapping_add(skew).wrapping_sub(3);
                    *n = (*n).max(at).wrapping_add(1);
                    world.rtp(slot, from, 0, at);
                }
            }
        }
        let mut heard: Vec<_> = world.heard(listener).into_iter().map(|(h, _)| h).collect();
        prop_assert!(heard.iter().all(|header| header.ssrc == 0xa001));
        heard.sort_by_key(|header| header.sequence.wrapping_sub(100));
        for pair in heard.windows(2) {
            prop_assert_ne!(pair[0].sequence, pair[1].sequence);
            let step = pair[1].timestamp.wrapping_sub(pair[0].timestamp) as i32;
            prop_assert!(step > 0, "{:?}", pair);
        }
    }

    /// ATTACKS 21: shapes of any kind from the right source and from wrong ones.
    #[test]
    fn random_datagrams_never_panic_and_the_call_goes_on(
        datagrams in proptest::collection::vec(
            (any::<bool>(), any::<bool>(), proptest::collection::vec(any::<u8>(), 0..120), 0u8..4),
            0..60,
        ),
    ) {
        let (mut world, a, b) = World::call(&[PCMU, EVENTS], &[PCMU, EVENTS]);
        world.rtp(a, CUSTOMER, 0, 1);
        for (stray, rtcp, mut datagram, shape) in datagrams {
            if let (Some(first), 1..) = (datagram.first_mut(), shape) {
                *first = 0x80 | (*first & 0x3f);
            }
            if let (Some(second), 2..) = (datagram.get_mut(1), shape) {
                *second = [0, 101, 200, 201][usize::from(*second % 4)];
            }
            let channel = if rtcp { Channel::Rtcp } else { Channel::Rtp };
            let from = match (stray, rtcp) {
                (true, _) => STRANGER,
                (false, true) => "192.0.2.1:4001",
                (false, false) => CUSTOMER,
            };
            world.receive(a, channel, from, datagram);
            world.tick(20);
        }
        world.wire.sent.clear();
        world.receive(a, Channel::Rtp, CUSTOMER, packet(0, 2, 77));
        prop_assert_eq!(world.heard(b).len(), 1);
    }
}
