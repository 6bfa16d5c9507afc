//! SipHash-2-4 (Aumasson and Bernstein, 2012): what a peer chooses cannot be aimed at our index,
//! and tags and branches made with it cannot be forged without the key.

use base::{Redacted, Rng};
use serde::{Deserialize, Serialize};

/// The secret. It belongs to the snapshot: branches in flight must stay ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HashKey(Redacted<[u64; 2]>);

/// What a hash is for; the same input never gives the same hash for two uses.
#[derive(Clone, Copy)]
pub(super) enum Use {
    /// Proof that a branch is ours.
    Branch = 1,
    /// Place in the index.
    Index = 2,
    /// To tag of a stateless reply.
    Tag = 3,
}

impl HashKey {
    pub(super) fn new(rng: &mut Rng) -> Self {
        Self(Redacted::new([rng.next_u64(), rng.next_u64()]))
    }

    /// Hashes `bytes`.
    pub(super) fn hash(&self, purpose: Use, bytes: &[u8]) -> u64 {
        let &[k0, k1] = self.0.reveal();
        sip_hash([k0, k1 ^ purpose as u64], bytes)
    }
}

fn sip_hash([k0, k1]: [u64; 2], bytes: &[u8]) -> u64 {
    let mut v = [
        k0 ^ 0x736f_6d65_7073_6575,
        k1 ^ 0x646f_7261_6e64_6f6d,
        k0 ^ 0x6c79_6765_6e65_7261,
        k1 ^ 0x7465_6462_7974_6573,
    ];
    let (words, rest) = bytes.as_chunks::<8>();
    for &word in words {
        compress(&mut v, u64::from_le_bytes(word));
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    last[7] = bytes.len() as u8;
    compress(&mut v, u64::from_le_bytes(last));
    v[2] ^= 0xff;
    for _ in 0..4 {
        round(&mut v);
    }
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

fn compress(v: &mut [u64; 4], word: u64) {
    v[3] ^= word;
    round(v);
    round(v);
    v[0] ^= word;
}

fn round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[2] = v[2].wrapping_add(v[3]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[1]);
    v[0] = v[0].wrapping_add(v[3]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].rotate_left(32);
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u64; 2] = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];

    #[test]
    fn agrees_with_the_vectors_of_the_paper() {
        let input: Vec<u8> = (0..15).collect();
        for (len, expected) in [
            (0, 0x726f_db47_dd0e_0e31),
            (1, 0x74f8_39c5_93dc_67fd),
            (8, 0x93f5_f579_9a93_2462),
            (15, 0xa129_ca61_49be_45e5),
        ] {
            assert_eq!(sip_hash(KEY, &input[..len]), expected, "length {len}");
        }
    }

    #[test]
    fn uses_do_not_share_hashes() {
        let key = HashKey::new(&mut Rng::from_u64(1));
        let hashes = [Use::Branch, Use::Index, Use::Tag].map(|purpose| key.hash(purpose, b"x"));
        assert!(hashes[0] != hashes[1] && hashes[1] != hashes[2] && hashes[0] != hashes[2]);
    }
}
