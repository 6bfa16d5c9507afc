//! Keys in the description itself: `a=crypto` (RFC 4568).

use base::Redacted;
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::{Deserialize, Serialize};

use crate::Attribute;
use crate::parse::decimal;

/// Most lines of one stream looked at.
pub const MAX_CRYPTO: usize = 16;
/// RFC 4568 §6.1: more packets than this no key may protect.
const LIFETIME_MAX: u64 = 1 << 48;

/// Padded, and not strict about it: some phones leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A crypto-suite (RFC 4568 §6.2, RFC 7714 §14.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Suite {
    /// `AEAD_AES_128_GCM`
    AeadAes128Gcm,
    /// `AES_CM_128_HMAC_SHA1_80`
    AesCm128HmacSha1_80,
    /// `AES_CM_128_HMAC_SHA1_32`
    AesCm128HmacSha1_32,
}

/// One `a=crypto` line that can be used. Its key does not print.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crypto {
    /// What an answer refers to it by, 0–999,999,999.
    pub tag: u32,
    /// How packets are protected.
    pub suite: Suite,
    /// Master key and salt, one after the other.
    pub key: Redacted<Box<[u8]>>,
}

impl Suite {
    /// All of them, the strongest first.
    pub const ALL: [Self; 3] =
        [Self::AeadAes128Gcm, Self::AesCm128HmacSha1_80, Self::AesCm128HmacSha1_32];

    /// Its registered name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Self::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Self::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
        }
    }

    /// The suite of a name; case counts (RFC 4568 §9.1).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.name() == name)
    }

    /// Length of master key and salt together, bytes.
    pub const fn key_len(self) -> usize {
        match self {
            Self::AeadAes128Gcm => 28,
            Self::AesCm128HmacSha1_80 | Self::AesCm128HmacSha1_32 => 30,
        }
    }
}

impl Crypto {
    /// Reads the value of a line: `1 AES_CM_128_HMAC_SHA1_80 inline:…|2^31`. `None` for one that
    /// we cannot or will not use: an unknown suite, a wrong length, several keys or a master key
    /// index (RFC 4568 §6.1), or session parameters that change what packets look like (§6.3).
    pub fn parse(value: &str) -> Option<Self> {
        let mut words = value.split_ascii_whitespace();
        let tag = words.next().filter(|tag| (1..=9).contains(&tag.len())).and_then(decimal)?;
        let suite = Suite::from_name(words.next()?)?;
        let key = key_of(words.next()?, suite)?;
        words.all(is_harmless).then(|| Self { tag, suite, key: Redacted::new(key) })
    }

    /// The line. With `lifetime` it says how long the key may live, which some trunks expect.
    pub(crate) fn attribute(&self, lifetime: bool) -> Attribute {
        let key = BASE64.encode(self.key.reveal());
        let lifetime = if lifetime { "|2^31" } else { "" };
        let (tag, suite) = (self.tag, self.suite.name());
        Attribute::new("crypto", format!("{tag} {suite} inline:{key}{lifetime}"))
    }

    /// Whether both say the same of how to protect, under whatever tag.
    pub(crate) fn is_same_key(&self, other: &Self) -> bool {
        self.suite == other.suite && self.key == other.key
    }
}

/// The lines that can be used, in their order.
pub(crate) fn crypto_of<'a>(values: impl Iterator<Item = &'a str>) -> Vec<Crypto> {
    values.take(MAX_CRYPTO).filter_map(Crypto::parse).collect()
}

/// `inline:key||salt[|lifetime][|mki:length]`
fn key_of(parameter: &str, suite: Suite) -> Option<Box<[u8]>> {
    let (method, info) = parameter.split_once(':')?;
    if !method.eq_ignore_ascii_case("inline") {
        return None;
    }
    let mut parts = info.split('|');
    let key = BASE64.decode(parts.next()?).ok()?;
    let fits = parts.next().is_none_or(is_lifetime) && parts.next().is_none();
    (fits && key.len() == suite.key_len()).then(|| key.into())
}

/// `2^31` or a number of packets. Calls end long before; that it makes sense is all that counts.
fn is_lifetime(text: &str) -> bool {
    let packets = match text.split_once('^') {
        Some(("2", exponent)) => decimal(exponent).and_then(|by| 1u64.checked_shl(by)),
        Some(_) => None,
        None => decimal(text),
    };
    packets.is_some_and(|packets| (1..=LIFETIME_MAX).contains(&packets))
}

/// RFC 4568 §6.3: of the session parameters only the hint of a window and unknown ones marked
/// optional (§6.3.7) leave the packets as they are.
fn is_harmless(parameter: &str) -> bool {
    parameter.starts_with('-') || parameter.starts_with("WSH=") || parameter == "KDR=0"
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";

    #[test]
    fn lines_of_real_products_are_read() {
        let gcm = BASE64.encode([7; 28]);
        for (value, tag, suite) in [
            // RFC 4568 §4.1
            (format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20"), 1, Suite::AesCm128HmacSha1_80),
            (format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^31"), 1, Suite::AesCm128HmacSha1_80),
            (format!("2 AES_CM_128_HMAC_SHA1_32 inline:{KEY}"), 2, Suite::AesCm128HmacSha1_32),
            (format!("0 AES_CM_128_HMAC_SHA1_80 inline:{KEY}"), 0, Suite::AesCm128HmacSha1_80),
            (
                format!("10 AES_CM_128_HMAC_SHA1_80 INLINE:{KEY}|1048576"),
                10,
                Suite::AesCm128HmacSha1_80,
            ),
            (format!("3 AEAD_AES_128_GCM  inline:{gcm} "), 3, Suite::AeadAes128Gcm),
            (
                format!("3 AEAD_AES_128_GCM inline:{}", gcm.trim_end_matches('=')),
                3,
                Suite::AeadAes128Gcm,
            ),
            (
                format!("4 AES_CM_128_HMAC_SHA1_80 inline:{KEY} WSH=64 KDR=0 -x=1"),
                4,
                Suite::AesCm128HmacSha1_80,
            ),
        ] {
            let crypto = Crypto::parse(&value).expect(&value);
            assert_eq!((crypto.tag, crypto.suite), (tag, suite), "{value}");
            assert_eq!(crypto.key.reveal().len(), suite.key_len());
        }
    }

    #[test]
    fn lines_that_are_not_understood_or_less_than_safe_are_not_used() {
        for value in [
            "",
            "1",
            "1 AES_CM_128_HMAC_SHA1_80",
            "x AES_CM_128_HMAC_SHA1_80 inline:KEY",
            "-1 AES_CM_128_HMAC_SHA1_80 inline:KEY",
            "1234567890 AES_CM_128_HMAC_SHA1_80 inline:KEY",
            "1 AES_256_CM_HMAC_SHA1_80 inline:KEY",
            "1 F8_128_HMAC_SHA1_80 inline:KEY",
            "1 NULL_HMAC_SHA1_80 inline:KEY",
            "1 aes_cm_128_hmac_sha1_80 inline:KEY",
            "1 AES_CM_128_HMAC_SHA1_80 uri:KEY",
            "1 AES_CM_128_HMAC_SHA1_80 KEY",
            "1 AES_CM_128_HMAC_SHA1_80 inline:AAAA",
            "1 AES_CM_128_HMAC_SHA1_80 inline:KEYA",
            "1 AES_CM_128_HMAC_SHA1_80 inline:!EY",
            "1 AEAD_AES_128_GCM inline:KEY",
            "1 AES_CM_128_HMAC_SHA1_80 inline:KEY|2^31|1:1",
            "1 AES_CM_128_HMAC_SHA1_80 inline:KEY|1:4",
            "1 AES_CM_128_HMAC_SHA1_80 inline:KEY|2^49",
            "1 AES_CM_128_HMAC_SHA1_80 inline:KEY|2^99",
            "1 AES_CM_128_HMAC_SHA1_80 inline:KEY|3^2",
            "1 AES_CM_128_HMAC_SHA1_80 inline:KEY|0",
            "1 AES_CM_128_HMAC_SHA1_80 inline:KEY|2^20|1:4;inline:KEY|2^20|2:4",
            "1 AES_CM_128_HMAC_SHA1_80 inline:KEY UNENCRYPTED_SRTP",
            "1 AES_CM_128_HMAC_SHA1_80 inline:KEY UNENCRYPTED_SRTCP",
            "1 AES_CM_128_HMAC_SHA1_80 inline:KEY UNAUTHENTICATED_SRTP",
            "1 AES_CM_128_HMAC_SHA1_80 inline:KEY KDR=1",
            "1 AES_CM_128_HMAC_SHA1_80 inline:KEY FEC_ORDER=FEC_SRTP",
            "1 AES_CM_128_HMAC_SHA1_80 inline:KEY SOMETHING_NEW",
        ] {
            assert_eq!(Crypto::parse(&value.replace("KEY", KEY)), None, "{value}");
        }
    }

    #[test]
    fn what_is_written_reads_as_the_same_and_keys_do_not_print() {
        for suite in Suite::ALL {
            let key: Box<[u8]> = (0..suite.key_len() as u8).collect();
            let crypto = Crypto { tag: 5, suite, key: Redacted::new(key) };
            for (lifetime, end) in [(false, ""), (true, "|2^31")] {
                let line = crypto.attribute(lifetime);
                assert!(line.value().ends_with(end));
                assert_eq!(Crypto::parse(line.value()), Some(crypto.clone()));
            }
            assert!(format!("{crypto:?}").contains("***"));
            assert!(!format!("{:?}", crypto.attribute(true)).contains("AAEC"));
        }
    }
}
