//! Transactions by a hash of what identifies them.

use std::collections::BTreeMap;

use super::TransactionId;

/// Candidates by hash; whoever asks compares the whole key.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Index(BTreeMap<u64, Ids>);

/// One id, hardly ever more. In ascending order, so that a restored index is the same.
#[derive(Clone, Debug, PartialEq)]
struct Ids {
    first: TransactionId,
    more: Vec<TransactionId>,
}

impl Index {
    pub(super) fn insert(&mut self, hash: u64, id: TransactionId) {
        self.0
            .entry(hash)
            .and_modify(|ids| {
                ids.more.push(ids.first.max(id));
                ids.first = ids.first.min(id);
                ids.more.sort_unstable();
            })
            .or_insert_with(|| Ids { first: id, more: Vec::new() });
    }

    pub(super) fn remove(&mut self, hash: u64, id: TransactionId) {
        let Some(ids) = self.0.get_mut(&hash) else { return };
        if ids.first != id {
            ids.more.retain(|&other| other != id);
        } else if ids.more.is_empty() {
            self.0.remove(&hash);
        } else {
            ids.first = ids.more.remove(0);
        }
    }

    pub(super) fn get(&self, hash: u64) -> impl Iterator<Item = TransactionId> {
        let ids = self.0.get(&hash).into_iter();
        ids.flat_map(|ids| [ids.first].into_iter().chain(ids.more.iter().copied()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_hashes_share_a_place_whatever_the_order() {
        let ids = [3, 1, 2].map(TransactionId);
        let mut index = Index::default();
        ids.iter().for_each(|&id| index.insert(7, id));
        assert!(index.get(7).eq([1, 2, 3].map(TransactionId)));
        let mut other = Index::default();
        ids.iter().rev().for_each(|&id| other.insert(7, id));
        assert_eq!(index, other);
        for (gone, left) in [(1, vec![2, 3]), (3, vec![2]), (9, vec![2]), (2, vec![])] {
            index.remove(7, TransactionId(gone));
            assert!(index.get(7).map(|id| id.0).eq(left), "without {gone}");
        }
        assert_eq!(index, Index::default());
    }
}
