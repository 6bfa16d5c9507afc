//! Profiles and master keys: what SDES or DTLS agreed on.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

/// Length of every master key here, bytes.
pub const KEY_LEN: usize = 16;
/// Longest master salt, bytes.
pub const SALT_MAX: usize = 14;

/// How packets are protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Profile {
    /// AES in counter mode, an 80-bit tag (RFC 3711): what everybody has.
    AesCm128HmacSha1_80,
    /// AES in counter mode, a 32-bit tag on RTP, 80 bits on RTCP (RFC 4568 §6.2.2).
    AesCm128HmacSha1_32,
    /// AES-GCM, a 128-bit tag (RFC 7714).
    AeadAes128Gcm,
}

impl Profile {
    /// All of them, the strongest first.
    pub const ALL: [Self; 3] =
        [Self::AeadAes128Gcm, Self::AesCm128HmacSha1_80, Self::AesCm128HmacSha1_32];

    /// The crypto-suite of SDES (RFC 4568 §6.2, RFC 7714 §14.2).
    pub const fn name(self) -> &'static str {
        match self {
            Self::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Self::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
            Self::AeadAes128Gcm => "AEAD_AES_128_GCM",
        }
    }

    /// The profile of a crypto-suite's name; case counts (RFC 4568 §9.1).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.name() == name)
    }

    /// The number in DTLS' `use_srtp` (RFC 5764 §4.1.2, RFC 7714 §14.2).
    pub const fn dtls_number(self) -> u16 {
        match self {
            Self::AesCm128HmacSha1_80 => 0x0001,
            Self::AesCm128HmacSha1_32 => 0x0002,
            Self::AeadAes128Gcm => 0x0007,
        }
    }

    /// Length of a master salt, bytes.
    pub const fn salt_len(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_80 | Self::AesCm128HmacSha1_32 => 14,
            Self::AeadAes128Gcm => 12,
        }
    }

    /// Length of a master key with its salt, as SDES carries them, bytes.
    pub const fn key_and_salt_len(self) -> usize {
        KEY_LEN + self.salt_len()
    }

    /// How many bytes protection adds to an RTP packet.
    pub const fn rtp_overhead(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_80 => 10,
            Self::AesCm128HmacSha1_32 => 4,
            Self::AeadAes128Gcm => 16,
        }
    }

    /// How many bytes protection adds to an RTCP packet: the tag and the index.
    pub const fn rtcp_overhead(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_80 | Self::AesCm128HmacSha1_32 => 14,
            Self::AeadAes128Gcm => 20,
        }
    }
}

/// One direction's master key and salt. Never printed; overwritten when dropped.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MasterKey {
    key: [u8; KEY_LEN],
    /// Filled up with zeros where the profile's salt is shorter.
    salt: [u8; SALT_MAX],
}

impl MasterKey {
    /// Key and salt one after the other, as SDES carries them (RFC 4568 §6.1). `None` when the
    /// length is not the profile's.
    pub fn new(profile: Profile, key_and_salt: &[u8]) -> Option<Self> {
        let (key, salt) = key_and_salt.split_at_checked(KEY_LEN)?;
        Self::from_parts(profile, key, salt)
    }

    /// Key and salt by themselves. `None` when a length is not the profile's.
    pub fn from_parts(profile: Profile, key: &[u8], salt: &[u8]) -> Option<Self> {
        if salt.len() != profile.salt_len() {
            return None;
        }
        let mut filled = [0; SALT_MAX];
        filled[..salt.len()].copy_from_slice(salt);
        Some(Self { key: key.try_into().ok()?, salt: filled })
    }

    pub(super) const fn key(&self) -> &[u8; KEY_LEN] {
        &self.key
    }

    pub(super) const fn salt(&self) -> &[u8; SALT_MAX] {
        &self.salt
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Drop for MasterKey {
    fn drop(&mut self) {
        self.key.zeroize();
        self.salt.zeroize();
    }
}

/// All that one leg needs to protect what it sends and to read what it gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keying {
    /// How; the same in both directions.
    pub profile: Profile,
    /// What we protect with.
    pub send: MasterKey,
    /// What the peer protects with.
    pub receive: MasterKey,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_the_profiles_length_and_are_never_printed() {
        for (profile, len) in [
            (Profile::AesCm128HmacSha1_80, 30),
            (Profile::AesCm128HmacSha1_32, 30),
            (Profile::AeadAes128Gcm, 28),
        ] {
            let bytes = [0x5a; 40];
            for wrong in [0, 16, len - 1, len + 1, 40] {
                assert_eq!(MasterKey::new(profile, &bytes[..wrong]), None);
            }
            let key = MasterKey::new(profile, &bytes[..len]).unwrap();
            let keying = Keying { profile, send: key.clone(), receive: key };
            let shown = format!("{keying:?}");
            assert!(!shown.contains("90") && !shown.to_lowercase().contains("5a"), "{shown}");
        }
    }

    #[test]
    fn names_are_those_of_the_registry() {
        for profile in Profile::ALL {
            assert_eq!(Profile::from_name(profile.name()), Some(profile));
        }
        assert_eq!(Profile::from_name("AES_256_CM_HMAC_SHA1_80"), None);
        assert_eq!(Profile::from_name("aes_cm_128_hmac_sha1_80"), None);
    }
}
