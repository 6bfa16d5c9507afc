//! Who is who in the configuration, found by name: with ten thousand extensions a request must not
//! read through them all.

use std::collections::BTreeMap;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use crate::config::{Config, EntryPoint};

/// Indices into the lists of [`Config`]. Names are short: kept in the nodes of the maps, so that a search
/// does not follow a pointer for each comparison.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Directory {
    extensions: BTreeMap<CompactString, usize>,
    /// Trunks by the name they log in with.
    logins: BTreeMap<CompactString, usize>,
    /// Entry points by number; one number may be of several trunks.
    entry_points: BTreeMap<CompactString, Vec<usize>>,
}

impl Directory {
    pub(crate) fn new(config: &Config) -> Self {
        let extensions = config.extensions.iter().enumerate();
        let logins = config.trunks.iter().enumerate().filter_map(|(at, trunk)| {
            Some((trunk.inbound_credentials.as_ref()?.username.as_str().into(), at))
        });
        let mut entry_points = BTreeMap::<CompactString, Vec<usize>>::new();
        for (at, entry) in config.entry_points.iter().enumerate() {
            entry_points.entry(entry.number.as_str().into()).or_default().push(at);
        }
        Self {
            extensions: extensions.map(|(at, e)| (e.number.as_str().into(), at)).collect(),
            logins: logins.collect(),
            entry_points,
        }
    }

    /// The extension of this number.
    pub(crate) fn extension(&self, number: &str) -> Option<usize> {
        self.extensions.get(number).copied()
    }

    /// The trunk that logs in by this name.
    pub(crate) fn trunk_login(&self, user: &str) -> Option<usize> {
        self.logins.get(user).copied()
    }

    /// The entry point of this number, for calls from `trunk`, or from an extension when `None`.
    pub(crate) fn entry_point<'a>(
        &self,
        config: &'a Config,
        number: &str,
        trunk: Option<&str>,
    ) -> Option<&'a EntryPoint> {
        let entries = self.entry_points.get(number)?.iter().map(|&at| &config.entry_points[at]);
        let mut entries = entries.filter(|entry| match (&entry.trunk, trunk) {
            (Some(only), Some(trunk)) => only == trunk,
            (None, _) | (_, None) => true,
        });
        entries.next()
    }
}
