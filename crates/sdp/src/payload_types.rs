//! The payload-type numbers we have said to receive on one leg.

use serde::{Deserialize, Serialize};

use crate::Codec;
use crate::codec::static_number;

/// Which number meant which codec in our descriptions, the latest first.
///
/// RFC 3264 §8.3.2: within a session a dynamic number must not change its codec, so that packets
/// on the way are never misread. At most 128 entries, as there are numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PayloadTypes(Vec<Codec>);

impl PayloadTypes {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Remembers the numbers of a description of ours.
    pub(crate) fn learn(&mut self, codecs: &[Codec]) {
        for codec in codecs.iter().rev() {
            self.0.retain(|known| known.payload_type != codec.payload_type);
            self.0.insert(0, codec.clone());
        }
    }

    /// Gives each codec its number for an offer of ours: the one it had on this leg, else its
    /// static one, else the one it brings along (the other leg's) where that is free, else any
    /// free one. A codec for which none is left is dropped.
    pub(crate) fn assign(&self, codecs: &[Codec]) -> Vec<Codec> {
        let mut assigned: Vec<Codec> = Vec::new();
        for codec in codecs {
            let free = |number: u8| assigned.iter().all(|done| done.payload_type != number);
            let unused = |number: u8| free(number) && !self.knows(number);
            let had = self.0.iter().filter(|known| known.same_as(codec)).map(|c| c.payload_type);
            let brought = Some(codec.payload_type).filter(|n| is_dynamic(*n) && unused(*n));
            let number = had
                .chain(static_number(codec).filter(|n| unused(*n)))
                .find(|n| free(*n))
                .or(brought)
                .or_else(|| dynamic_numbers().find(|n| unused(*n)));
            if let Some(payload_type) = number {
                assigned.push(Codec { payload_type, ..codec.clone() });
            }
        }
        assigned
    }

    fn knows(&self, number: u8) -> bool {
        self.0.iter().any(|known| known.payload_type == number)
    }
}

const fn is_dynamic(number: u8) -> bool {
    matches!(number, 96..=127 | 35..=63)
}

/// RFC 3551 §3: 96–127 first, then the unassigned ones. RFC 5761 §4: never 64–95, which look like
/// RTCP when multiplexed.
fn dynamic_numbers() -> impl Iterator<Item = u8> {
    (96..=127).chain(35..=63)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opus(number: u8) -> Codec {
        Codec::new(number, "opus", 48_000, 2)
    }

    fn event(number: u8) -> Codec {
        Codec::new(number, "telephone-event", 8000, 1)
    }

    fn numbers(codecs: &[Codec]) -> Vec<u8> {
        codecs.iter().map(|codec| codec.payload_type).collect()
    }

    #[test]
    fn numbers_are_wishes_that_give_way_to_history_and_rfc_3551() {
        let mut known = PayloadTypes::new();
        let pcmu = Codec::new(100, "PCMU", 8000, 1);
        assert_eq!(numbers(&known.assign(&[pcmu, opus(111), event(101)])), [0, 111, 101]);
        // Two want the same; one wants a static or an RTCP-like number.
        assert_eq!(numbers(&known.assign(&[opus(96), event(96)])), [96, 97]);
        assert_eq!(numbers(&known.assign(&[opus(72), event(0)])), [96, 97]);
        known.learn(&[opus(120), event(96)]);
        assert_eq!(numbers(&known.assign(&[opus(96), event(101)])), [120, 96]);
    }

    #[test]
    fn a_number_once_used_is_not_given_to_another_codec() {
        let mut known = PayloadTypes::new();
        known.learn(&[opus(96)]);
        assert_eq!(numbers(&known.assign(&[event(96)])), [97]);
        // A peer that renumbers in its own offer is followed.
        known.learn(&[event(96), opus(98)]);
        assert_eq!(numbers(&known.assign(&[opus(1), event(2)])), [98, 96]);
        // The latest of several counts.
        known.learn(&[opus(119)]);
        assert_eq!(numbers(&known.assign(&[opus(1)])), [119]);
    }

    #[test]
    fn a_static_number_taken_by_the_peer_is_avoided() {
        let mut known = PayloadTypes::new();
        known.learn(&[opus(0)]);
        assert_eq!(numbers(&known.assign(&[Codec::new(0, "PCMU", 8000, 1), opus(5)])), [96, 0]);
    }

    #[test]
    fn when_the_numbers_run_out_codecs_are_dropped() {
        let many: Vec<Codec> = (0u32..100).map(|n| Codec::new(96, "L16", 8000 + n, 1)).collect();
        let assigned = PayloadTypes::new().assign(&many);
        assert_eq!(assigned.len(), 32 + 29);
        let mut known = PayloadTypes::new();
        for _ in 0..3 {
            known.learn(&(0..128).map(opus).collect::<Vec<_>>());
        }
        assert_eq!(known.0.len(), 128);
    }
}
