//! The branches we put into our own Vias.
//!
//! `z9hG4bK<transaction id>-<chance>-<proof>`: a response leads to its transaction without a
//! search, and one that comes after the transaction is gone still proves that it answers a
//! request of ours. Without the proof anyone could send us a 2xx with a Contact of a victim and
//! have us send an ACK and a BYE there (ATTACKS 14).

use base::Rng;

use super::TransactionId;
use super::keyed_hash::{HashKey, Use};

/// What every branch of RFC 3261 starts with (§8.1.1.7); without it a branch is of RFC 2543.
pub(super) const COOKIE: &str = "z9hG4bK";

const CHANCE_LEN: usize = 6;
const PROOF_LEN: usize = 16;

/// A branch for this transaction, never the same twice.
pub(super) fn make(key: &HashKey, id: TransactionId, rng: &mut Rng) -> Box<str> {
    let mut branch = String::with_capacity(COOKIE.len() + 16 + CHANCE_LEN + PROOF_LEN + 2);
    branch.push_str(COOKIE);
    push_hex(&mut branch, id.0, 1);
    branch.push('-');
    branch.push_str(&rng.token(CHANCE_LEN));
    let proof = key.hash(Use::Branch, branch.as_bytes());
    branch.push('-');
    push_hex(&mut branch, proof, PROOF_LEN);
    branch.into()
}

/// Whose branch it is, if we made it.
pub(super) fn issued(key: &HashKey, branch: &str) -> Option<TransactionId> {
    let (start, proof) = branch.rsplit_once('-')?;
    // `from_str_radix` takes a sign; ours has a fixed length of digits.
    if proof.len() != PROOF_LEN || !proof.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let proof = u64::from_str_radix(proof, 16).ok()?;
    if proof != key.hash(Use::Branch, start.as_bytes()) {
        return None;
    }
    let (id, _) = start.strip_prefix(COOKIE)?.split_once('-')?;
    u64::from_str_radix(id, 16).ok().map(TransactionId)
}

/// Appends `number` in lower-case hexadecimal with at least `width` digits.
pub(super) fn push_hex(text: &mut String, number: u64, width: usize) {
    let digits = (16 - number.leading_zeros() as usize / 4).max(width);
    for place in (0..digits).rev() {
        let digit = (number >> (4 * place)) & 0xf;
        text.push(char::from(b"0123456789abcdef"[digit as usize]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_leads_back_to_its_transaction() {
        let mut rng = Rng::from_u64(1);
        let key = HashKey::new(&mut rng);
        for id in [0, 1, 15, 16, u64::from(u32::MAX), 1 << 32 | 7, u64::MAX] {
            let branch = make(&key, TransactionId(id), &mut rng);
            assert_eq!(issued(&key, &branch), Some(TransactionId(id)), "{branch}");
            assert_ne!(branch, make(&key, TransactionId(id), &mut rng), "unique in time");
        }
    }

    #[test]
    fn what_we_did_not_make_is_not_ours() {
        let mut rng = Rng::from_u64(2);
        let key = HashKey::new(&mut rng);
        let ours = make(&key, TransactionId(42), &mut rng);
        assert_eq!(issued(&HashKey::new(&mut rng), &ours), None, "another process's");
        for at in COOKIE.len()..ours.len() {
            let mut forged = ours.to_string().into_bytes();
            forged[at] = if forged[at] == b'7' { b'8' } else { b'7' };
            let forged = String::from_utf8(forged).unwrap();
            assert_eq!(issued(&key, &forged), None, "{forged}");
        }
        for other in ["", "-", "z9hG4bK", "z9hG4bK-", "z9hG4bK--", "z9hG4bK2a-abcdef-", "é-é-é"]
        {
            assert_eq!(issued(&key, other), None, "{other}");
        }
    }
}
