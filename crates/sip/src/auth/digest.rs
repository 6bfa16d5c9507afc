//! Digest computations: RFC 7616 §3.4 (RFC 2617 §3.2.2), with SHA-256 by RFC 8760.
//!
//! Knows hashes and their hexadecimal text; knows no header and no policy.

use std::fmt;

use base::Redacted;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// A hash algorithm of RFC 8760, strongest first.
///
/// The `-sess` variants are not spoken: no SIP phone needs them, and they double what must be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Algorithm {
    /// `SHA-256`.
    Sha256,
    /// `MD5`; also meant when a header names none.
    Md5,
}

impl Algorithm {
    /// All, strongest first.
    pub const ALL: [Self; 2] = [Self::Sha256, Self::Md5];

    /// As in `algorithm=`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "SHA-256",
            Self::Md5 => "MD5",
        }
    }

    /// Reads `algorithm=`, in any case; `None` for one we do not speak.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.as_str().eq_ignore_ascii_case(text))
    }

    /// The hash of the parts joined by colons.
    fn hash(self, parts: &[&str]) -> Hex {
        match self {
            Self::Sha256 => Hex::new(&joined::<Sha256>(parts)),
            Self::Md5 => Hex::new(&joined::<md5::Md5>(parts)),
        }
    }
}

fn joined<D: sha2::Digest>(parts: &[&str]) -> sha2::digest::Output<D> {
    let mut hash = D::new();
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            hash.update(b":");
        }
        hash.update(part.as_bytes());
    }
    hash.finalize()
}

/// Bytes of the longest hash.
const HASH_BYTES_MAX: usize = 32;

/// A hash as lower-case hexadecimal text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hex {
    digits: [u8; 2 * HASH_BYTES_MAX],
    len: usize,
}

impl Hex {
    /// Of at most 32 bytes.
    pub(super) fn new(bytes: &[u8]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        debug_assert!(bytes.len() <= HASH_BYTES_MAX);
        let mut digits = [0; 2 * HASH_BYTES_MAX];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        Self { digits, len: 2 * bytes.len().min(HASH_BYTES_MAX) }
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.digits[..self.len]).unwrap_or("")
    }

    /// Whether `text` is this hash, in either case; takes as long for a near miss as for a far one.
    pub fn matches(&self, text: &str) -> bool {
        if text.len() != self.len {
            return false;
        }
        let mut lower = [0; 2 * HASH_BYTES_MAX];
        for (to, from) in lower.iter_mut().zip(text.bytes()) {
            *to = from.to_ascii_lowercase();
        }
        self.digits.ct_eq(&lower).into()
    }
}

impl fmt::Debug for Hex {
    /// A hash of a password is as good as the password: never printed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What proves a user: the password, or its hash with user and realm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Credential {
    /// The password itself: works for every algorithm and realm.
    Password(Redacted<String>),
    /// `H(user:realm:password)` in lower-case hexadecimal, for one realm; an algorithm without a
    /// hash cannot be used.
    Hashed {
        /// By SHA-256.
        sha256: Option<Redacted<String>>,
        /// By MD5.
        md5: Option<Redacted<String>>,
    },
}

impl From<Redacted<String>> for Credential {
    fn from(password: Redacted<String>) -> Self {
        Self::Password(password)
    }
}

impl Credential {
    /// The response this credential expects; `None` when it has no hash for the algorithm.
    pub fn response(&self, user: &str, realm: &str, answer: &Answer<'_>) -> Option<Hex> {
        let hashed = match self {
            Self::Password(password) => {
                let ha1 = ha1(answer.algorithm, user, realm, password.reveal());
                return Some(answer.response(ha1.as_str()));
            }
            Self::Hashed { sha256, md5 } => match answer.algorithm {
                Algorithm::Sha256 => sha256,
                Algorithm::Md5 => md5,
            },
        };
        Some(answer.response(hashed.as_ref()?.reveal()))
    }
}

/// `H(A1)`: `H(user:realm:password)` (RFC 7616 §3.4.2).
pub fn ha1(algorithm: Algorithm, user: &str, realm: &str, password: &str) -> Hex {
    algorithm.hash(&[user, realm, password])
}

/// What a response is computed over, besides H(A1).
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// The hash.
    pub algorithm: Algorithm,
    /// The request's method.
    pub method: &'a str,
    /// The digest-uri, as it is in the header.
    pub uri: &'a str,
    /// The server's nonce.
    pub nonce: &'a str,
    /// `qop=auth`; `None` is RFC 2069, which our server side refuses.
    pub qop: Option<QopAuth<'a>>,
}

/// The two values that `qop=auth` adds.
#[derive(Clone, Copy, Debug)]
pub struct QopAuth<'a> {
    /// How many requests were sent with this nonce, this one included: eight hexadecimal digits,
    /// in the sender's case, see [`nc_text`].
    pub nc: &'a str,
    /// The client's nonce.
    pub cnonce: &'a str,
}

impl Answer<'_> {
    /// `response=` (RFC 7616 §3.4.1), from H(A1) in hexadecimal.
    pub fn response(&self, ha1: &str) -> Hex {
        let ha2 = self.algorithm.hash(&[self.method, self.uri]);
        match self.qop {
            Some(QopAuth { nc, cnonce }) => {
                self.algorithm.hash(&[ha1, self.nonce, nc, cnonce, "auth", ha2.as_str()])
            }
            None => self.algorithm.hash(&[ha1, self.nonce, ha2.as_str()]),
        }
    }
}

/// `nc=`: eight hexadecimal digits (RFC 7616 §3.4, `LHEX` of RFC 3261 is lower case).
pub fn nc_text(nc: u32) -> Hex {
    Hex::new(&nc.to_be_bytes())
}

/// Reads `nc=`: exactly eight hexadecimal digits.
pub fn nc_value(text: &str) -> Option<u32> {
    let digits = text.len() == 8 && text.bytes().all(|b| b.is_ascii_hexdigit());
    if digits { u32::from_str_radix(text, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Vector {
        algorithm: Algorithm,
        user: &'static str,
        realm: &'static str,
        password: &'static str,
        method: &'static str,
        uri: &'static str,
        nonce: &'static str,
        qop: Option<QopAuth<'static>>,
        response: &'static str,
    }

    const RFC7616_NONCE: &str = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
    const RFC7616_CNONCE: &str = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";

    fn rfc7616(algorithm: Algorithm, response: &'static str) -> Vector {
        Vector {
            algorithm,
            user: "Mufasa",
            realm: "http-auth@example.org",
            password: "Circle of Life",
            method: "GET",
            uri: "/dir/index.html",
            nonce: RFC7616_NONCE,
            qop: Some(QopAuth { nc: "00000001", cnonce: RFC7616_CNONCE }),
            response,
        }
    }

    #[test]
    fn the_vectors_of_the_rfcs() {
        let rfc2617 = Vector {
            realm: "testrealm@host.com",
            password: "Circle Of Life",
            nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093",
            qop: Some(QopAuth { nc: "00000001", cnonce: "0a4f113b" }),
            ..rfc7616(Algorithm::Md5, "6629fae49393a05397450978507c4ef1")
        };
        // RFC 2069 §2.4 as corrected by errata 749.
        let rfc2069 = Vector {
            realm: "testrealm@host.com",
            password: "CircleOfLife",
            nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093",
            qop: None,
            ..rfc7616(Algorithm::Md5, "1949323746fe6a43ef61f9606e7febea")
        };
        for v in [
            rfc7616(Algorithm::Md5, "8ca523f5e9506fed4657c9700eebdbec"),
            rfc7616(
                Algorithm::Sha256,
                "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
            ),
            rfc2617,
            rfc2069,
        ] {
            let answer = Answer {
                algorithm: v.algorithm,
                method: v.method,
                uri: v.uri,
                nonce: v.nonce,
                qop: v.qop,
            };
            let plain = Credential::Password(Redacted::new(v.password.into()));
            let hash = ha1(v.algorithm, v.user, v.realm, v.password).as_str().to_owned();
            let hashed = Credential::Hashed {
                sha256: Some(Redacted::new(hash.clone())),
                md5: Some(Redacted::new(hash)),
            };
            for credential in [plain, hashed] {
                let response = credential.response(v.user, v.realm, &answer).unwrap();
                assert_eq!(response.as_str(), v.response);
                assert!(response.matches(&v.response.to_uppercase()));
                assert!(!response.matches(&v.response[1..]));
                assert!(!response.matches(&v.response.replace('4', "5")));
            }
        }
    }

    #[test]
    fn sha_256_is_recognised_and_sessions_are_not() {
        // rsip 0.4 knows `SHA256` only, which nobody sends.
        for (text, algorithm) in [
            ("SHA-256", Some(Algorithm::Sha256)),
            ("sha-256", Some(Algorithm::Sha256)),
            ("md5", Some(Algorithm::Md5)),
            ("MD5-sess", None),
            ("SHA-256-sess", None),
            ("SHA-512-256", None),
            ("SHA256", None),
            ("", None),
        ] {
            assert_eq!(Algorithm::parse(text), algorithm, "{text}");
        }
    }

    #[test]
    fn nonce_counts_are_hexadecimal() {
        // rsip 0.4 prints 10 as `00000010`.
        for (nc, text) in
            [(1, "00000001"), (10, "0000000a"), (16, "00000010"), (u32::MAX, "ffffffff")]
        {
            assert_eq!(nc_text(nc).as_str(), text);
            assert_eq!(nc_value(text), Some(nc));
        }
        assert_eq!(nc_value("0000000A"), Some(10));
        for bad in ["", "1", "0000001", "000000001", "0000000g", "+0000001"] {
            assert_eq!(nc_value(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_missing_hash_proves_nobody_and_nothing_is_printed() {
        let credential = Credential::Hashed { sha256: None, md5: Some(Redacted::new("ab".into())) };
        let qop = Some(QopAuth { nc: "00000001", cnonce: "c" });
        let answer = Answer {
            algorithm: Algorithm::Sha256,
            method: "REGISTER",
            uri: "sip:a",
            nonce: "n",
            qop,
        };
        assert!(credential.response("a", "b", &answer).is_none());
        assert!(!format!("{credential:?}").contains("ab"));
        assert_eq!(format!("{:?}", ha1(Algorithm::Md5, "a", "b", "c")), "***");
    }
}
