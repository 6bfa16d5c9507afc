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
