//! Nonces: issued without a trace, remembered once they proved a password.
//!
//! A nonce is counter, time of issue, and a keyed hash over both, the source address and the realm.
//! Only one that proved a password enters a bounded table, with its highest nonce count. It is kept
//! short: challenges are the greater part of what unauthenticated requests bring back (ATTACKS 2).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use base::{Redacted, Rng, Time};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// Proven nonces remembered. When full the oldest is forgotten, and all up to it become stale.
pub const USED_NONCES_MAX: usize = 65_536;

/// A nonce that proved a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Used {
    nc: u32,
    issued_ms: u64,
}

/// Issues nonces and knows its own again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Nonces {
    key: Redacted<[u8; 32]>,
    lifetime_ms: u64,
    issued: u64,
    /// Nonces below this that are not in `used` are stale.
    floor: u64,
    /// By counter, which is also the order of issue.
    used: BTreeMap<u64, Used>,
}

/// A nonce that was read and is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Nonce {
    counter: u64,
    issued_ms: u64,
}

impl Nonces {
    /// With a fresh secret key.
    pub(super) fn new(lifetime: Duration, rng: &mut Rng) -> Self {
        let mut key = [0; 32];
        for chunk in key.chunks_exact_mut(8) {
            chunk.copy_from_slice(&rng.next_u64().to_be_bytes());
        }
        Self {
            key: Redacted::new(key),
            lifetime_ms: u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX),
            issued: 0,
            floor: 0,
            used: BTreeMap::new(),
        }
    }

    pub(super) fn issue(&mut self, now: Time, source: IpAddr, realm: &str) -> String {
        self.issued += 1;
        let mut bytes = [0; NONCE_BYTES];
        bytes[..COUNTER_BYTES].copy_from_slice(&self.issued.to_be_bytes()[8 - COUNTER_BYTES..]);
        bytes[COUNTER_BYTES..HEAD_BYTES]
            .copy_from_slice(&millis(now).to_be_bytes()[8 - TIME_BYTES..]);
        let mac = mac(self.key.reveal(), &bytes[..HEAD_BYTES], source, realm);
        bytes[HEAD_BYTES..].copy_from_slice(&mac);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// A nonce of ours that is still good for this source and realm.
    pub(super) fn read(
        &self,
        now: Time,
        nonce: &str,
        source: IpAddr,
        realm: &str,
    ) -> Option<Nonce> {
        let bytes: [u8; NONCE_BYTES] = URL_SAFE_NO_PAD.decode(nonce).ok()?.try_into().ok()?;
        let (head, proof) = bytes.split_at(HEAD_BYTES);
        let mac = mac(self.key.reveal(), head, source, realm);
        if !bool::from(mac.as_slice().ct_eq(proof)) {
            return None;
        }
        let (counter, issued_ms) = head.split_at(COUNTER_BYTES);
        let (counter, issued_ms) = (number(counter), number(issued_ms));
        // Issued later than now: the clock began anew, and the nonce is of an earlier life.
        let age = millis(now).checked_sub(issued_ms)?;
        let known = counter >= self.floor || self.used.contains_key(&counter);
        (age < self.lifetime_ms && known).then_some(Nonce { counter, issued_ms })
    }

    /// Counts a nonce that has just proved a password; whether `nc` is higher than all before it.
    // RFC 7616 §3.4.5: the server may demand that nc always grows.
    pub(super) fn count_up(&mut self, now: Time, nonce: Nonce, nc: u32) -> bool {
        self.forget_old(now);
        let Nonce { counter, issued_ms } = nonce;
        if let Some(known) = self.used.get_mut(&counter) {
            let grows = nc > known.nc;
            known.nc = known.nc.max(nc);
            return grows;
        }
        if nc == 0 {
            return false;
        }
        self.used.insert(counter, Used { nc, issued_ms });
        if self.used.len() > USED_NONCES_MAX
            && let Some((oldest, _)) = self.used.pop_first()
        {
            self.floor = self.floor.max(oldest + 1);
        }
        true
    }

    fn forget_old(&mut self, now: Time) {
        while let Some(oldest) = self.used.first_entry() {
            if millis(now).saturating_sub(oldest.get().issued_ms) < self.lifetime_ms {
                break;
            }
            oldest.remove();
        }
    }

    /// How many are remembered.
    pub(super) fn used(&self) -> usize {
        self.used.len()
    }
}

/// 2⁴⁸ nonces of one process.
const COUNTER_BYTES: usize = 6;
/// Milliseconds of 34 years.
const TIME_BYTES: usize = 5;
const HEAD_BYTES: usize = COUNTER_BYTES + TIME_BYTES;
/// 80 bits: a forged nonce would have to be guessed online, and proves no password then.
const MAC_BYTES: usize = 10;
/// 28 characters in base64.
const NONCE_BYTES: usize = HEAD_BYTES + MAC_BYTES;

const fn millis(time: Time) -> u64 {
    time.as_nanos() / 1_000_000
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// HMAC-SHA-256 (RFC 2104), cut to 80 bits (§5: no fewer).
fn mac(key: &[u8; 32], head: &[u8], source: IpAddr, realm: &str) -> [u8; MAC_BYTES] {
    let padded = |pad: u8| {
        let mut block = [pad; 64];
        block.iter_mut().zip(key).for_each(|(b, k)| *b ^= k);
        Sha256::new().chain_update(block)
    };
    let address = match source.to_canonical() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    let inner = padded(0x36).chain_update(head).chain_update(address.octets());
    let inner = inner.chain_update(realm.as_bytes()).finalize();
    let outer = padded(0x5c).chain_update(inner).finalize();
    let mut mac = [0; MAC_BYTES];
    mac.copy_from_slice(&outer[..MAC_BYTES]);
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    fn seeded(seed: u64) -> Nonces {
        Nonces::new(Duration::from_secs(300), &mut Rng::from_u64(seed))
    }

    #[test]
    fn a_nonce_is_good_for_its_source_realm_and_time_only() {
        let mut nonces = seeded(1);
        let nonce = nonces.issue(at(10), HERE, "r");
        let read = |now, ip, realm| nonces.read(at(now), &nonce, ip, realm).is_some();
        assert!(read(10, HERE, "r") && read(309, HERE, "r"));
        assert!(read(10, "::ffff:192.0.2.1".parse().unwrap(), "r"));
        assert!(!read(310, HERE, "r") && !read(9, HERE, "r"));
        assert!(!read(10, "192.0.2.2".parse().unwrap(), "r"));
        assert!(!read(10, HERE, "rr") && !read(10, HERE, ""));
        assert!(seeded(2).read(at(10), &nonce, HERE, "r").is_none());
    }

    #[test]
    fn a_nonce_altered_anywhere_is_none_of_ours() {
        let mut nonces = seeded(1);
        let good = nonces.issue(at(0), HERE, "r");
        assert_eq!(good.len(), 28);
        for i in 0..good.len() {
            let mut altered = good.clone().into_bytes();
            altered[i] = if altered[i] == b'0' { b'1' } else { b'0' };
            let altered = String::from_utf8(altered).unwrap();
            assert!(nonces.read(at(0), &altered, HERE, "r").is_none(), "{i}");
        }
    }

    #[test]
    fn nonces_do_not_repeat_and_leave_no_trace() {
        let mut nonces = seeded(1);
        let many: std::collections::BTreeSet<_> =
            (0..1000).map(|_| nonces.issue(at(0), HERE, "r")).collect();
        assert_eq!((many.len(), nonces.used()), (1000, 0));
    }

    #[test]
    fn the_table_is_bounded_and_what_it_forgot_is_stale() {
        let mut nonces = seeded(1);
        let issue = |nonces: &mut Nonces| {
            let text = nonces.issue(at(0), HERE, "r");
            let nonce = nonces.read(at(0), &text, HERE, "r").unwrap();
            (text, nonce)
        };
        let (unused, _) = issue(&mut nonces);
        let (first, nonce) = issue(&mut nonces);
        assert!(nonces.count_up(at(0), nonce, 1));
        for _ in 0..USED_NONCES_MAX {
            let (_, nonce) = issue(&mut nonces);
            assert!(nonces.count_up(at(0), nonce, 1));
        }
        assert_eq!(nonces.used(), USED_NONCES_MAX);
        for forgotten in [first, unused] {
            assert!(nonces.read(at(0), &forgotten, HERE, "r").is_none());
        }
        let (_, nonce) = issue(&mut nonces);
        assert!(nonces.count_up(at(300), nonce, 1));
        assert_eq!(nonces.used(), 1, "all others are too old");
    }

    #[test]
    fn counts_only_grow() {
        let mut nonces = seeded(1);
        let text = nonces.issue(at(0), HERE, "r");
        let nonce = nonces.read(at(0), &text, HERE, "r").unwrap();
        let steps = [(0, false), (2, true), (2, false), (1, false), (0, false), (u32::MAX, true)];
        for (nc, grows) in steps {
            assert_eq!(nonces.count_up(at(0), nonce, nc), grows, "{nc}");
        }
        assert!(!nonces.count_up(at(0), nonce, u32::MAX));
    }
}
