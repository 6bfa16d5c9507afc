//! Digest (RFC 7616) as the scripted peers compute it, from the hashes alone.

use md5::Digest as _;

/// A challenge, or an answer to one: its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    pub(crate) fn parse(value: &str) -> Self {
        let rest = value.strip_prefix("Digest ").unwrap_or("");
        let mut quoted = false;
        let parts = rest.split(|c: char| {
            quoted ^= c == '"';
            c == ',' && !quoted
        });
        let pairs = parts.filter_map(|part| part.split_once('='));
        Self(
            pairs
                .map(|(k, v)| (k.trim().to_lowercase(), v.trim().trim_matches('"').into()))
                .collect(),
        )
    }

    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }
}

/// Which hash a peer speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// RFC 2617.
    Md5,
    /// RFC 8760.
    Sha256,
}

impl Hash {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        }
    }

    fn hex(self, text: &str) -> String {
        let bytes = match self {
            Self::Md5 => md5::Md5::digest(text).to_vec(),
            Self::Sha256 => sha2::Sha256::digest(text).to_vec(),
        };
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Who proves what for which request.
pub(crate) struct Proof<'a> {
    pub(crate) hash: Hash,
    pub(crate) user: &'a str,
    pub(crate) password: &'a str,
    pub(crate) method: &'a str,
    pub(crate) uri: &'a str,
    pub(crate) nc: u32,
}

impl Proof<'_> {
    /// The value of Authorization.
    pub(crate) fn answer(&self, challenge: &Params) -> String {
        let (realm, nonce) = (challenge.get("realm"), challenge.get("nonce"));
        let response = self.response(realm, nonce, "0a4f113b", self.nc);
        format!(
            "Digest username=\"{}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{}\", \
             response=\"{response}\", algorithm={}, cnonce=\"0a4f113b\", qop=auth, nc={:08x}",
            self.user,
            self.uri,
            self.hash.name(),
            self.nc
        )
    }

    /// Whether an Authorization proves it.
    pub(crate) fn is_proved_by(&self, given: &Params) -> bool {
        let nc = u32::from_str_radix(given.get("nc"), 16).unwrap_or(0);
        let expected =
            self.response(given.get("realm"), given.get("nonce"), given.get("cnonce"), nc);
        given.get("username") == self.user && given.get("response") == expected
    }

    fn response(&self, realm: &str, nonce: &str, cnonce: &str, nc: u32) -> String {
        let a1 = self.hash.hex(&format!("{}:{realm}:{}", self.user, self.password));
        let a2 = self.hash.hex(&format!("{}:{}", self.method, self.uri));
        self.hash.hex(&format!("{a1}:{nonce}:{nc:08x}:{cnonce}:auth:{a2}"))
    }
}
