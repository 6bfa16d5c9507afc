//! Call control through the API: how soon a verb is heard, and whether many calls at once survive it.

pub mod cycles;
pub mod latency;
