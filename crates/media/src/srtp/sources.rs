//! Who sent which packets: the roll-over counter and the replay window of each source (RFC 3711
//! §3.3.1, §3.3.2).

use serde::{Deserialize, Serialize};

/// How far behind the newest packet one may be, packets.
pub const WINDOW: u64 = u128::BITS as u64;
/// Most sources remembered per direction. Only what the peer has authenticated becomes one.
pub const SOURCES_MAX: usize = 16;

const SEQUENCES: u64 = 1 << 16;
const HALF: u64 = SEQUENCES / 2;

/// The newest index of a source, and which of those before it were there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// For RTP the roll-over counter and the sequence number, for RTCP the SRTCP index.
    highest: u64,
    /// Bit n: `highest - n` was there.
    seen: u128,
}

impl Window {
    pub(super) const fn starting(index: u64) -> Self {
        Self { highest: index, seen: 1 }
    }

    /// The newest index.
    pub const fn highest(&self) -> u64 {
        self.highest
    }

    /// RFC 3711 §3.3.1: the index nearest to the newest that ends in this sequence number. Before
    /// the first roll-over there is nothing to go back to.
    pub(super) const fn guess(&self, sequence: u16) -> u64 {
        let here = self.highest & !(SEQUENCES - 1) | sequence as u64;
        if here + HALF < self.highest {
            here + SEQUENCES
        } else if here > self.highest + HALF && here >= SEQUENCES {
            here - SEQUENCES
        } else {
            here
        }
    }

    /// Whether it is new: neither seen nor too old to tell.
    pub(super) const fn is_new(&self, index: u64) -> bool {
        match self.highest.checked_sub(index) {
            None => true,
            Some(age) => age < WINDOW && self.seen & (1 << age) == 0,
        }
    }

    pub(super) fn record(&mut self, index: u64) {
        if let Some(age) = self.highest.checked_sub(index) {
            debug_assert!(age < WINDOW);
            self.seen |= 1 << age;
        } else {
            let ahead = index - self.highest;
            let shift = u32::try_from(ahead).ok();
            self.seen = shift.and_then(|by| self.seen.checked_shl(by)).unwrap_or(0) | 1;
            self.highest = index;
        }
    }
}

/// What is known of one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Its SSRC.
    pub ssrc: u32,
    /// Its RTP packets.
    pub rtp: Option<Window>,
    /// Its RTCP packets.
    pub rtcp: Option<Window>,
}

/// The sources of one direction, the latest active one first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sources(Vec<Source>);

impl Sources {
    pub(super) fn new() -> Self {
        Self(Vec::with_capacity(SOURCES_MAX))
    }

    pub(super) fn restored(sources: &[Source]) -> Self {
        let mut list = Vec::with_capacity(SOURCES_MAX);
        list.extend_from_slice(&sources[..sources.len().min(SOURCES_MAX)]);
        Self(list)
    }

    pub(super) fn as_slice(&self) -> &[Source] {
        &self.0
    }

    pub(super) fn find(&mut self, ssrc: u32) -> Option<&mut Source> {
        let place = self.0.iter().position(|source| source.ssrc == ssrc)?;
        self.0[..=place].rotate_right(1);
        self.0.first_mut()
    }

    pub(super) fn is_full(&self) -> bool {
        self.0.len() == SOURCES_MAX
    }

    /// The source of this SSRC, made if need be in the place of the one longest silent.
    pub(super) fn find_or_add(&mut self, ssrc: u32) -> &mut Source {
        if self.find(ssrc).is_none() {
            self.0.truncate(SOURCES_MAX - 1);
            self.0.insert(0, Source { ssrc, rtp: None, rtcp: None });
        }
        &mut self.0[0]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_nearest_index_is_guessed_across_roll_overs() {
        for (highest, sequence, index) in [
            (0, 0, 0),
            (0, 1, 1),
            (0, 65535, 65535),
            (5, 65535, 65535),
            (65535, 0, 65536),
            (65535, 20_000, 65536 + 20_000),
            (65535, 40_000, 40_000),
            (65536, 65535, 65535),
            (65536 + 5, 65530, 65530),
            (65536 + 40_000, 3, 2 * 65536 + 3),
            (3 * 65536 + 32768, 0, 3 * 65536),
            (3 * 65536 + 32769, 0, 4 * 65536),
            (3 * 65536 + 32767, 65535, 3 * 65536 + 65535),
            (3 * 65536 + 32766, 65535, 2 * 65536 + 65535),
        ] {
            assert_eq!(Window::starting(highest).guess(sequence), index, "{highest} {sequence}");
        }
    }

    #[test]
    fn a_source_too_many_takes_the_place_of_the_longest_silent() {
        let mut sources = Sources::new();
        for ssrc in 0..SOURCES_MAX as u32 {
            sources.find_or_add(ssrc).rtp = Some(Window::starting(u64::from(ssrc)));
        }
        assert!(sources.is_full() && sources.find(0).is_some());
        sources.find_or_add(99);
        assert!(sources.find(0).is_some() && sources.find(1).is_none());
        assert_eq!(sources.as_slice().len(), SOURCES_MAX);
        assert_eq!(Sources::restored(sources.as_slice()), sources);
    }

    proptest! {
        /// Against a set of all that was there.
        #[test]
        fn nothing_passes_twice(steps in prop::collection::vec(0i64..400, 1..400)) {
            let mut window = Window::starting(1000);
            let mut there = std::collections::BTreeSet::from([1000]);
            for step in steps {
                let index = window.highest().saturating_add_signed(step - 200);
                let fits = index + WINDOW > window.highest();
                prop_assert_eq!(window.is_new(index), fits && !there.contains(&index));
                if window.is_new(index) {
                    window.record(index);
                    there.insert(index);
                }
                prop_assert_eq!(there.last().copied(), Some(window.highest()));
            }
        }

        #[test]
        fn whoever_is_less_than_half_a_round_away_is_found(start in 0u64..1 << 20, away in -32767i64..32767) {
            let window = Window::starting(start + 70_000);
            let index = window.highest().saturating_add_signed(away);
            prop_assert_eq!(window.guess(index as u16), index);
        }
    }
}
