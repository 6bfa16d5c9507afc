//! Lets one log line per address and minute through, so that a peer cannot fill the log.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Addresses remembered; while it is full nothing more is logged.
const ADDRESSES_MAX: usize = 4_096;

const PAUSE: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(crate) struct LogGate(Mutex<HashMap<IpAddr, Instant>>);

impl LogGate {
    /// Whether a line about `ip` may be written.
    pub(crate) fn open(&self, ip: IpAddr, now: Instant) -> bool {
        let mut last = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if last.len() >= ADDRESSES_MAX {
            last.retain(|_, at| now.duration_since(*at) < PAUSE);
        }
        let open = match last.get(&ip) {
            Some(at) => now.duration_since(*at) >= PAUSE,
            None => last.len() < ADDRESSES_MAX,
        };
        if open {
            last.insert(ip, now);
        }
        open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_per_address_and_minute_and_never_more_addresses_than_the_bound() {
        let (gate, start) = (LogGate::default(), Instant::now());
        let ip = |n: u32| IpAddr::V4(n.into());
        assert!(gate.open(ip(1), start) && !gate.open(ip(1), start) && gate.open(ip(2), start));
        assert!(gate.open(ip(1), start + PAUSE));
        for n in 0..2 * ADDRESSES_MAX as u32 {
            gate.open(ip(n), start + PAUSE);
        }
        assert!(gate.0.lock().unwrap().len() <= ADDRESSES_MAX);
    }
}
