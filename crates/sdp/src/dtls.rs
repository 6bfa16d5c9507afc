//! Keys by DTLS: `a=fingerprint` (RFC 8122) and `a=setup` (RFC 4145, RFC 5763 §5).

use std::fmt;

use serde::{Deserialize, Serialize};

/// Most fingerprints of one stream looked at.
pub const MAX_FINGERPRINTS: usize = 8;

/// What a fingerprint is made with. Older ones than these (RFC 8122 §5) are not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Hash {
    /// `sha-1`: of no use against whoever makes certificates, and still sent by old gateways.
    Sha1,
    /// `sha-256`
    Sha256,
    /// `sha-384`
    Sha384,
    /// `sha-512`
    Sha512,
}

/// What must come out when the peer's certificate is hashed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Fingerprint {
    /// With what.
    pub hash: Hash,
    /// What.
    pub digest: Box<[u8]>,
}

/// `a=setup`: who opens the association.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Setup {
    /// Either: the answer decides.
    Actpass,
    /// Whoever says so.
    Active,
    /// The other one.
    Passive,
}

/// What we are in the association.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DtlsRole {
    /// We open it.
    Client,
    /// They open it.
    Server,
}

/// What is agreed on for keys by DTLS. A change of any of it means a new association (RFC 8842
/// §3.1); an ICE restart alone does not (§3.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DtlsPeer {
    /// Our role.
    pub role: DtlsRole,
    /// The peer's certificate must have one of these, of the strongest hash among them (RFC 8122
    /// §5.1); there is at least one.
    pub fingerprints: Vec<Fingerprint>,
}

impl Hash {
    const ALL: [Self; 4] = [Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512];

    /// As the attribute has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha-1",
            Self::Sha256 => "sha-256",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
        }
    }

    /// Length of the digest, bytes.
    pub const fn digest_len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

impl Fingerprint {
    /// Reads `sha-256 4A:AD:B9:…`. `None` for an unknown hash or a digest of another length.
    pub fn parse(value: &str) -> Option<Self> {
        let (name, digest) = value.trim().split_once([' ', '\t'])?;
        let hash = Hash::ALL.into_iter().find(|hash| name.eq_ignore_ascii_case(hash.name()))?;
        let byte = |pair: &str| {
            let digits = pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit());
            digits.then(|| u8::from_str_radix(pair, 16).ok()).flatten()
        };
        // One more than fits, so that a longer one is seen to be so.
        let pairs = digest.trim().split(':').take(hash.digest_len() + 1);
        let digest: Box<[u8]> = pairs.map(byte).collect::<Option<_>>()?;
        (digest.len() == hash.digest_len()).then_some(Self { hash, digest })
    }
}

/// `sha-256 4A:AD:B9:…`; RFC 8122 §5 wants upper case.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.hash.name())?;
        for (place, byte) in self.digest.iter().enumerate() {
            write!(f, "{}{byte:02X}", if place == 0 { ' ' } else { ':' })?;
        }
        Ok(())
    }
}

/// The fingerprints that can be checked, in an order of their own: that of the lines means nothing.
pub(crate) fn fingerprints_of<'a>(values: impl Iterator<Item = &'a str>) -> Vec<Fingerprint> {
    let mut all: Vec<_> = values.take(MAX_FINGERPRINTS).filter_map(Fingerprint::parse).collect();
    all.sort();
    all.dedup();
    all
}

impl Setup {
    /// The value of the attribute.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Actpass => "actpass",
            Self::Active => "active",
            Self::Passive => "passive",
        }
    }

    /// `None` for `holdconn` too: nobody means it.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Actpass, Self::Active, Self::Passive]
            .into_iter()
            .find(|setup| word.trim().eq_ignore_ascii_case(setup.as_str()))
    }
}

impl DtlsRole {
    /// What our answer says.
    pub(crate) const fn setup(self) -> Setup {
        match self {
            Self::Client => Setup::Active,
            Self::Server => Setup::Passive,
        }
    }

    /// Ours, when we answer an offer that says `theirs`: `former` if there was one and they leave
    /// it to us (RFC 5763 §5), else we open, as RFC 5763 wants of who answers. RFC 4145 §4.1:
    /// without a word they open.
    pub(crate) const fn answering(theirs: Option<Setup>, former: Option<Self>) -> Self {
        match (theirs, former) {
            (Some(Setup::Active) | None, _) => Self::Server,
            (Some(Setup::Passive), _) | (Some(Setup::Actpass), None) => Self::Client,
            (Some(Setup::Actpass), Some(former)) => former,
        }
    }

    /// Ours, when we have offered `actpass`. An answer must be `active` or `passive`; whoever
    /// says nothing, or nothing sensible, opens.
    pub(crate) const fn answered(theirs: Option<Setup>) -> Self {
        match theirs {
            Some(Setup::Passive) => Self::Client,
            Some(Setup::Active | Setup::Actpass) | None => Self::Server,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_read_in_any_case_and_written_in_upper_case() {
        let digest = "4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB";
        for value in [
            format!("sha-1 {digest}"),
            format!("SHA-1  {}", digest.to_lowercase()),
            format!(" sha-1\t{digest} "),
        ] {
            let found = Fingerprint::parse(&value).expect(&value);
            assert_eq!(found.to_string(), format!("sha-1 {digest}"));
        }
        for hash in Hash::ALL {
            let digest = vec![0xa5; hash.digest_len()].into();
            let fingerprint = Fingerprint { hash, digest };
            assert_eq!(Fingerprint::parse(&fingerprint.to_string()), Some(fingerprint));
        }
        for value in [
            String::new(),
            "sha-1".into(),
            format!("md5 {digest}"),
            format!("sha-256 {digest}"),
            format!("sha-1 {digest}:00"),
            format!("sha-1 {}", &digest[3..]),
            format!("sha-1 {}", digest.replace("4A", "+A")),
            format!("sha-1 {}", digest.replace(':', "")),
            format!("sha-1 {}", "4A:".repeat(5000)),
        ] {
            assert_eq!(Fingerprint::parse(&value), None, "{value}");
        }
    }

    #[test]
    fn who_opens_is_what_both_have_said() {
        use DtlsRole::{Client, Server};
        for (theirs, former, ours) in [
            (Some("actpass"), None, Client),
            (Some("actpass"), Some(Client), Client),
            (Some("actpass"), Some(Server), Server),
            (Some("active"), Some(Client), Server),
            (Some("passive"), Some(Server), Client),
            (Some("holdconn"), None, Server),
            (None, None, Server),
        ] {
            let setup = theirs.and_then(Setup::from_word);
            assert_eq!(DtlsRole::answering(setup, former), ours, "{theirs:?} {former:?}");
        }
        for (theirs, ours) in [
            (Some("active"), Server),
            (Some("Passive "), Client),
            (Some("actpass"), Server),
            (None, Server),
        ] {
            assert_eq!(DtlsRole::answered(theirs.and_then(Setup::from_word)), ours, "{theirs:?}");
        }
        assert_eq!((Client.setup(), Server.setup()), (Setup::Active, Setup::Passive));
    }
}
