//! All legs, by id and by the extension whose phones they are.
//!
//! What an agent does looks at the few legs of that agent, however many calls the node has. The
//! second order is made from the first: a snapshot has the legs alone.

use std::collections::{BTreeMap, BTreeSet, btree_map};
use std::ops::Deref;

use call::LegId;
use serde::{Deserialize, Serialize, Serializer};

use crate::sip_leg::SipLeg;

/// Read as the map that it is; a leg never changes its party.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(from = "BTreeMap<LegId, Box<SipLeg>>")]
pub(super) struct Legs {
    /// Boxed: a node of the map holds eleven, which move with each that comes and goes.
    all: BTreeMap<LegId, Box<SipLeg>>,
    /// Extension (index into the configuration) and leg.
    of_extensions: BTreeSet<(usize, LegId)>,
}

impl Legs {
    pub(super) fn insert(&mut self, id: LegId, leg: impl Into<Box<SipLeg>>) {
        let leg = leg.into();
        let extension = leg.party().extension();
        self.of_extensions.extend(extension.map(|extension| (extension, id)));
        self.all.insert(id, leg);
    }

    pub(super) fn remove(&mut self, id: &LegId) -> Option<Box<SipLeg>> {
        let leg = self.all.remove(id)?;
        if let Some(extension) = leg.party().extension() {
            self.of_extensions.remove(&(extension, *id));
        }
        Some(leg)
    }

    pub(super) fn get(&self, id: &LegId) -> Option<&SipLeg> {
        self.all.get(id).map(Box::as_ref)
    }

    pub(super) fn get_mut(&mut self, id: &LegId) -> Option<&mut SipLeg> {
        self.all.get_mut(id).map(Box::as_mut)
    }

    pub(super) fn values_mut(&mut self) -> btree_map::ValuesMut<'_, LegId, Box<SipLeg>> {
        self.all.values_mut()
    }

    /// The legs of an extension, the oldest first.
    pub(super) fn of_extension(&self, extension: usize) -> impl Iterator<Item = LegId> {
        let own = (extension, LegId(0))..=(extension, LegId(u64::MAX));
        self.of_extensions.range(own).map(|(_, id)| *id)
    }
}

impl Deref for Legs {
    type Target = BTreeMap<LegId, Box<SipLeg>>;

    fn deref(&self) -> &Self::Target {
        &self.all
    }
}

impl From<BTreeMap<LegId, Box<SipLeg>>> for Legs {
    fn from(all: BTreeMap<LegId, Box<SipLeg>>) -> Self {
        let mut legs = Self::default();
        all.into_iter().for_each(|(id, leg)| legs.insert(id, leg));
        legs
    }
}

impl Serialize for Legs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.all.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::party::{Identity, Party};
    use crate::ports::PortPair;
    use crate::sip_leg::{Inherited, MediaPlace, Outgoing, Way};
    use base::Rng;
    use call::CallId;
    use std::net::Ipv4Addr;

    fn leg(id: u64, party: Party) -> SipLeg {
        let ip = Ipv4Addr::LOCALHOST.into();
        let media = MediaPlace { bind: ip, advertise: ip, ports: PortPair(20_000) };
        let uri = "sip:1001@127.0.0.9".parse().expect("a URI");
        let way = Way {
            uri,
            targets: Vec::new(),
            route: Vec::new(),
            keep_to_target: false,
            others: Vec::new(),
        };
        let outgoing = Outgoing {
            call: CallId(1),
            party,
            from: Identity::default(),
            to: "1001".into(),
            way,
            codecs: Vec::new(),
            auto_answer: false,
            referred_by: None,
            inherited: Inherited::default(),
        };
        let mut rng = Rng::new([7; 32]);
        SipLeg::outgoing(LegId(id), outgoing, media, &crate::testing::config(), &mut rng)
    }

    fn ids(legs: &Legs, extension: usize) -> Vec<u64> {
        legs.of_extension(extension).map(|id| id.0).collect()
    }

    #[test]
    fn an_extension_has_its_own_legs_until_they_are_gone() {
        let mut legs = Legs::default();
        let phones = [(2, Party::Extension(1)), (9, Party::Extension(0)), (4, Party::Extension(0))];
        for (id, party) in phones.into_iter().chain([(3, Party::Trunk(0))]) {
            legs.insert(LegId(id), leg(id, party));
        }
        assert_eq!([ids(&legs, 0), ids(&legs, 1), ids(&legs, 2)], [vec![4, 9], vec![2], vec![]]);
        assert!(legs.remove(&LegId(9)).is_some() && legs.remove(&LegId(3)).is_some());
        assert!(legs.remove(&LegId(9)).is_none());
        assert_eq!([ids(&legs, 0), ids(&legs, 1)], [vec![4], vec![2]]);
        assert_eq!(legs.len(), 2);
    }

    #[test]
    fn a_restored_order_is_the_original_one() {
        let mut legs = Legs::default();
        for (id, party) in
            [(1, Party::Extension(1)), (2, Party::Trunk(1)), (5, Party::Extension(1))]
        {
            legs.insert(LegId(id), leg(id, party));
        }
        let saved = serde_json::to_string(&legs).expect("it can be saved");
        let restored: Legs = serde_json::from_str(&saved).expect("and restored");
        assert!(restored == legs, "both orders");
        assert_eq!(ids(&restored, 1), [1, 5]);
    }
}
