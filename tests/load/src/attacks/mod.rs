//! Attacks at full scale against a running server; their small forms are tests of `interop`, whose
//! harness they share.

pub mod connections;
pub mod guesses;
pub mod strays;

use std::time::Duration;

/// The value that a share of the times stays under, in milliseconds.
fn percentile(times: &mut [Duration], share: f64) -> f64 {
    times.sort_unstable();
    let at = ((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1));
    times.get(at).map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
}

/// Open descriptors of a process.
fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}
