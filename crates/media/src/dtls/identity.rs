//! Who we are, and who the peer must be.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use ring::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA384, SHA512, digest};
use rtc_crypto::providers::RingProvider;
use rtc_crypto::{RTCCryptoProvider, SignatureScheme};
use rtc_dtls::crypto::Certificate;
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What a fingerprint is made with (RFC 8122 §5), the weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Hash {
    /// `sha-1`
    Sha1,
    /// `sha-256`
    Sha256,
    /// `sha-384`
    Sha384,
    /// `sha-512`
    Sha512,
}

/// What must come out when a certificate is hashed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// With what.
    pub hash: Hash,
    /// What.
    pub digest: Box<[u8]>,
}

/// What we are in an association.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// We open it.
    Client,
    /// The peer opens it.
    Server,
}

/// What was agreed on for an association. When any of it changes, it is another one (RFC 8842
/// §3.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Our role.
    pub role: Role,
    /// Of its certificate. Those of the strongest hash count, and one of them must fit (RFC 8122
    /// §5.1). Without any, nobody is the peer.
    pub fingerprints: Vec<Fingerprint>,
}

/// The certificate and key are of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a PKCS#8 key of ECDSA P-256")]
pub struct BadKey;

/// Our certificate and key, one for all legs of the process, and what turns
/// [`Time`](base::Time) into the clock of the handshake.
pub struct Identity {
    pub(super) certificate: Certificate,
    pub(super) provider: Arc<dyn RTCCryptoProvider>,
    pub(super) epoch: Instant,
    fingerprint: Fingerprint,
}

impl Identity {
    /// A self-signed certificate (DER) of a key of ECDSA P-256 (PKCS#8, DER); `epoch` is when
    /// [`Time::ZERO`](base::Time::ZERO) was, for durations only.
    ///
    /// # Errors
    /// When the key is none of these.
    pub fn new(certificate: &[u8], key: &[u8], epoch: Instant) -> Result<Self, BadKey> {
        let provider = RingProvider::new();
        let key = provider.crypto().import_signing_key(SignatureScheme::EcdsaP256Sha256, key);
        let der = CertificateDer::from(certificate.to_vec());
        Ok(Self {
            certificate: Certificate::from_signing_key(vec![der], key.map_err(|_| BadKey)?),
            provider: Arc::new(provider),
            epoch,
            fingerprint: Fingerprint::of(certificate, Hash::Sha256),
        })
    }

    /// Of our certificate, with SHA-256: what descriptions say of us.
    pub const fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

impl Hash {
    /// The hash of a registered name (`sha-256`), in any case; `None` for those not checked here.
    pub fn from_name(name: &str) -> Option<Self> {
        let all = [
            ("sha-1", Self::Sha1),
            ("sha-256", Self::Sha256),
            ("sha-384", Self::Sha384),
            ("sha-512", Self::Sha512),
        ];
        all.into_iter().find(|(known, _)| name.eq_ignore_ascii_case(known)).map(|(_, hash)| hash)
    }

    const fn algorithm(self) -> &'static Algorithm {
        match self {
            // RFC 8122 §5.1: what the peer has named is all there is to check.
            Self::Sha1 => &SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &SHA256,
            Self::Sha384 => &SHA384,
            Self::Sha512 => &SHA512,
        }
    }
}

impl Fingerprint {
    /// That of a certificate (DER).
    pub fn of(certificate: &[u8], hash: Hash) -> Self {
        Self { hash, digest: digest(hash.algorithm(), certificate).as_ref().into() }
    }
}

impl Peer {
    /// Whether a certificate (DER) is the peer's.
    pub fn has(&self, certificate: &[u8]) -> bool {
        let strongest = self.fingerprints.iter().map(|it| it.hash).max();
        strongest
            .is_some_and(|hash| self.fingerprints.contains(&Fingerprint::of(certificate, hash)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_fingerprints_those_of_the_strongest_hash_count() {
        let of = |certificate: &[u8], hashes: &[Hash]| -> Vec<Fingerprint> {
            hashes.iter().map(|hash| Fingerprint::of(certificate, *hash)).collect()
        };
        use Hash::{Sha1, Sha256, Sha384, Sha512};
        for (fingerprints, has) in [
            (of(b"right", &[Sha256]), true),
            (of(b"right", &[Sha1]), true),
            (of(b"right", &[Sha1, Sha256, Sha384, Sha512]), true),
            (of(b"wrong", &[Sha256]), false),
            ([of(b"wrong", &[Sha256]), of(b"right", &[Sha256])].concat(), true),
            ([of(b"right", &[Sha1]), of(b"wrong", &[Sha256])].concat(), false),
            ([of(b"wrong", &[Sha1]), of(b"right", &[Sha512])].concat(), true),
            (vec![], false),
        ] {
            let peer = Peer { role: Role::Client, fingerprints };
            assert_eq!(peer.has(b"right"), has, "{peer:?}");
        }
    }

    #[test]
    fn hashes_have_their_registered_names() {
        for (name, hash) in [
            ("sha-1", Some(Hash::Sha1)),
            ("SHA-256", Some(Hash::Sha256)),
            ("sha-384", Some(Hash::Sha384)),
            ("Sha-512", Some(Hash::Sha512)),
            ("md5", None),
            ("sha256", None),
        ] {
            assert_eq!(Hash::from_name(name), hash);
        }
    }

    #[test]
    fn a_key_that_is_none_is_refused() {
        #[allow(clippy::disallowed_methods, reason = "any instant will do")]
        let now = Instant::now();
        assert_eq!(Identity::new(b"x", b"y", now).err(), Some(BadKey));
    }
}
