//! Digest answers (RFC 7616) written for the tests, apart from the server's own.

use md5::{Digest as _, Md5};
use sha2::Sha256;

/// Hash of a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// RFC 2617.
    Md5,
    /// RFC 8760.
    Sha256,
}

impl Hash {
    /// As written in `algorithm=`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        }
    }

    /// In lower-case hexadecimal.
    pub fn hex(self, text: &str) -> String {
        match self {
            Self::Md5 => hex(&Md5::digest(text.as_bytes())),
            Self::Sha256 => hex(&Sha256::digest(text.as_bytes())),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Everything an answer to a challenge is made of; tests spoil single members.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// User name.
    pub user: String,
    /// Password.
    pub password: String,
    /// As challenged.
    pub realm: String,
    /// As challenged.
    pub nonce: String,
    /// `digest-uri`.
    pub uri: String,
    /// Method of the request.
    pub method: String,
    /// Which challenge is answered.
    pub hash: Hash,
    /// Nonce count.
    pub count: u32,
}

impl Credentials {
    /// Answers a `WWW-Authenticate` value.
    pub fn answer(challenge: &str, method: &str, uri: &str, user: &str, password: &str) -> Self {
        let hash = match parameter(challenge, "algorithm").as_deref() {
            Some("SHA-256") => Hash::Sha256,
            Some(_) | None => Hash::Md5,
        };
        Self {
            user: user.into(),
            password: password.into(),
            realm: parameter(challenge, "realm").unwrap_or_default(),
            nonce: parameter(challenge, "nonce").unwrap_or_default(),
            uri: uri.into(),
            method: method.into(),
            hash,
            count: 1,
        }
    }

    /// The value of `Authorization`.
    pub fn header(&self) -> String {
        let Self { user, password, realm, nonce, uri, method, hash, count } = self;
        let one = hash.hex(&format!("{user}:{realm}:{password}"));
        let two = hash.hex(&format!("{method}:{uri}"));
        let (nc, cnonce) = (format!("{count:08x}"), "c0ffee");
        let response = hash.hex(&format!("{one}:{nonce}:{nc}:{cnonce}:auth:{two}"));
        format!(
            "Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", \
             response=\"{response}\", algorithm={}, qop=auth, nc={nc}, cnonce=\"{cnonce}\"",
            hash.name()
        )
    }
}

/// A parameter of a challenge, without quotes.
pub fn parameter(challenge: &str, name: &str) -> Option<String> {
    let mut parts = challenge.trim_start_matches("Digest ").split(',').map(str::trim);
    let value = parts.find_map(|part| part.strip_prefix(name)?.strip_prefix('='))?;
    Some(value.trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_7616_comes_out() {
        // RFC 7616 §3.9.1 has another cnonce; the hashes underneath are checked here.
        let one = Hash::Md5.hex("Mufasa:http-auth@example.org:Circle of Life");
        let two = Hash::Md5.hex("GET:/dir/index.html");
        let rest = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v:00000001:\
                    f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ:auth";
        assert_eq!(
            Hash::Md5.hex(&format!("{one}:{rest}:{two}")),
            "8ca523f5e9506fed4657c9700eebdbec"
        );
    }
}
