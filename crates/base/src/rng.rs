use rand_chacha::ChaCha12Rng;
use rand_core::{RngCore, SeedableRng};
use serde::{Deserialize, Serialize};

/// The core's only source of chance: seeded, serialisable, and unpredictable to whoever does not
/// know the seed (tags, branches, nonces and Call-IDs come from it).
///
/// The shell seeds it from the operating system; a simulation from its seed number.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Rng(ChaCha12Rng);

/// Equal when the futures are equal, whatever is buffered.
impl PartialEq for Rng {
    fn eq(&self, other: &Self) -> bool {
        let place = |rng: &ChaCha12Rng| (rng.get_seed(), rng.get_stream(), rng.get_word_pos());
        place(&self.0) == place(&other.0)
    }
}

impl Eq for Rng {}

const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

impl Rng {
    /// A generator whose whole future is `seed`.
    pub fn new(seed: [u8; 32]) -> Self {
        Self(ChaCha12Rng::from_seed(seed))
    }

    /// A generator for simulations and tests.
    pub fn from_u64(seed: u64) -> Self {
        Self(ChaCha12Rng::seed_from_u64(seed))
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// The next number.
    pub fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// A seed for a generator of its own.
    pub fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.0.fill_bytes(&mut seed);
        seed
    }

    /// A number below `bound`, which must not be 0. The bias is below 2⁻³² for bounds under 2³².
    pub fn below(&mut self, bound: u64) -> u64 {
        debug_assert_ne!(bound, 0);
        ((u128::from(self.0.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// True in `percent` of cases.
    pub fn chance(&mut self, percent: u8) -> bool {
        self.below(100) < percent.into()
    }

    /// `len` characters of 5 bits each, fit for a tag, branch, nonce or Call-ID (RFC 3261 `token`).
    pub fn token(&mut self, len: usize) -> String {
        let mut token = String::with_capacity(len);
        let mut bits = 0u64;
        for i in 0..len {
            if i % 12 == 0 {
                bits = self.0.next_u64();
            }
            token.push(char::from(ALPHABET[(bits & 31) as usize]));
            bits >>= 5;
        }
        token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restored_generator_continues_where_it_was() {
        let mut rng = Rng::from_u64(7);
        rng.token(13);
        let saved = serde_json::to_string(&rng).unwrap();
        let mut restored: Rng = serde_json::from_str(&saved).unwrap();
        assert_eq!(restored.token(40), rng.token(40));
    }

    #[test]
    fn below_stays_below() {
        let mut rng = Rng::from_u64(1);
        assert!((0..1000).all(|_| rng.below(7) < 7));
    }
}
