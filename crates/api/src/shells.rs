//! What the API needs of the shells beside it, as functions: it knows no store and no socket of SIP.

use std::fmt;
use std::path::PathBuf;

use call::record::CallRecord;
use serde::Serialize;
use utoipa::ToSchema;

/// One figure of the metrics page.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// Name after `hookflash_`, e.g. `sip_udp_received_total`.
    pub name: String,
    /// Whether it only ever grows.
    pub is_counter: bool,
    /// What it counts.
    pub help: &'static str,
    /// Its value.
    pub value: f64,
}

/// Which call records are asked for; newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordQuery {
    /// How many at most.
    pub limit: usize,
    /// Only what comes after (is older than) the record of this id.
    pub before: Option<String>,
    /// Only calls in which this extension took part.
    pub extension: Option<String>,
    /// Only calls that were recorded.
    pub recorded: bool,
}

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ConfigProblem {
    /// Its line, from 1.
    pub line: usize,
    /// What is wrong.
    pub reason: String,
}

/// Reads call records; may wait for the disk.
pub type ReadRecords = dyn Fn(&RecordQuery) -> std::io::Result<Vec<CallRecord>> + Send + Sync;
/// Reads one call record by its id; may wait for the disk.
pub type ReadRecord = dyn Fn(&str) -> std::io::Result<Option<CallRecord>> + Send + Sync;
/// Checks a configuration.
pub type CheckConfig = dyn Fn(&str) -> Vec<ConfigProblem> + Send + Sync;
/// The figures of the other shells.
pub type Figures = dyn Fn() -> Vec<Figure> + Send + Sync;

/// The functions.
pub struct Shells {
    /// Call records, newest first.
    pub records: Box<ReadRecords>,
    /// One call record.
    pub record: Box<ReadRecord>,
    /// Checks a configuration without applying it.
    pub check: Box<CheckConfig>,
    /// What the other shells count.
    pub figures: Box<Figures>,
    /// Where recordings are.
    pub recordings: PathBuf,
}

impl fmt::Debug for Shells {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shells").field("recordings", &self.recordings).finish_non_exhaustive()
    }
}
