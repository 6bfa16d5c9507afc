//! Who may do what: bearer tokens with a role.
//!
//! A token is known by its digest only, and compared with every entry in constant time: neither
//! the answer's time nor a dump of this table tells anything about a token.

use std::fmt;
use std::sync::Arc;

use base::{Redacted, WallTime};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use utoipa::ToSchema;

/// Fewest characters of a token: 100 bits, when it is made of letters and digits.
pub const TOKEN_MIN: usize = 20;
/// Most characters of a token.
pub const TOKEN_MAX: usize = 512;

/// What a token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sees and drives the interactions of one extension.
    Agent,
    /// Sees and drives every interaction, listens in, reads records and recordings.
    Supervisor,
    /// Everything.
    Admin,
    /// Another program: sees and drives every interaction, reads records and recordings.
    Integrator,
}

/// One configured token.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenConfig {
    /// Name for logs.
    pub name: String,
    /// The secret.
    pub token: Redacted<String>,
    /// What it allows.
    pub role: Role,
    /// The extension of an agent; of a supervisor or admin, the phone that listens in.
    pub extension: Option<String>,
    /// When it ends to be valid.
    pub expires: Option<WallTime>,
}

/// Whom a request speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Principal {
    /// Name of the token.
    pub(crate) name: Arc<str>,
    /// Its role.
    pub(crate) role: Role,
    /// Its extension.
    pub(crate) extension: Option<Arc<str>>,
}

impl Principal {
    /// Whether an interaction of these extensions is this principal's business.
    pub(crate) fn may_see<S: AsRef<str>>(&self, extensions: &[S]) -> bool {
        match self.role {
            Role::Supervisor | Role::Admin | Role::Integrator => true,
            Role::Agent => {
                let own = self.extension.as_deref();
                own.is_some_and(|own| extensions.iter().any(|other| other.as_ref() == own))
            }
        }
    }

    /// Whether it is one agent.
    pub(crate) fn is_agent(&self) -> bool {
        self.role == Role::Agent
    }
}

struct Entry {
    digest: [u8; 32],
    expires: Option<WallTime>,
    principal: Principal,
}

/// Every token that is let in.
pub(crate) struct Tokens(Vec<Entry>);

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tokens", self.0.len())
    }
}

impl Tokens {
    /// Reads the configuration.
    pub(crate) fn new(tokens: &[TokenConfig]) -> Self {
        let entry = |config: &TokenConfig| Entry {
            digest: digest(config.token.reveal()),
            expires: config.expires,
            principal: Principal {
                name: config.name.as_str().into(),
                role: config.role,
                extension: config.extension.as_deref().map(Arc::from),
            },
        };
        Self(tokens.iter().map(entry).collect())
    }

    /// Whose token it is; `None` for every other, and for one that is over.
    pub(crate) fn principal(&self, token: &str, now: WallTime) -> Option<Principal> {
        if !(TOKEN_MIN..=TOKEN_MAX).contains(&token.len()) {
            return None;
        }
        let presented = digest(token);
        // No early end: how long it takes says nothing about which entry fits.
        let mut found = 0_u64;
        for (index, entry) in (1_u64..).zip(&self.0) {
            let same: Choice = entry.digest.ct_eq(&presented);
            found.conditional_assign(&index, same);
        }
        let index = usize::try_from(found.checked_sub(1)?).ok()?;
        let entry = self.0.get(index)?;
        let valid = entry.expires.is_none_or(|expires| now < expires);
        valid.then(|| entry.principal.clone())
    }

    /// Whether a principal that was let in is so still.
    pub(crate) fn is_valid(&self, principal: &Principal, now: WallTime) -> bool {
        let mut entries = self.0.iter().filter(|entry| entry.principal == *principal);
        entries.any(|entry| entry.expires.is_none_or(|expires| now < expires))
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// The token of an `Authorization` header (RFC 6750 §2.1); the scheme's case does not matter.
pub(crate) fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    let token = token.trim_start_matches(' ');
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(name: &str, secret: &str, expires: Option<u64>) -> TokenConfig {
        TokenConfig {
            name: name.into(),
            token: Redacted::new(secret.into()),
            role: Role::Agent,
            extension: Some("1001".into()),
            expires: expires.map(WallTime),
        }
    }

    #[test]
    fn only_the_right_token_is_let_in_and_only_while_it_is_valid() {
        let tokens = Tokens::new(&[
            token("a", "aaaaaaaaaaaaaaaaaaaaaaaa", None),
            token("b", "bbbbbbbbbbbbbbbbbbbbbbbb", Some(1000)),
        ]);
        let name = |secret: &str, now| {
            tokens.principal(secret, WallTime(now)).map(|principal| principal.name.to_string())
        };
        assert_eq!(name("aaaaaaaaaaaaaaaaaaaaaaaa", 0).as_deref(), Some("a"));
        assert_eq!(name("bbbbbbbbbbbbbbbbbbbbbbbb", 999).as_deref(), Some("b"));
        assert_eq!(name("bbbbbbbbbbbbbbbbbbbbbbbb", 1000), None);
        assert_eq!(name("aaaaaaaaaaaaaaaaaaaaaaab", 0), None);
        assert_eq!(name("", 0), None);
        assert_eq!(name(&"a".repeat(100_000), 0), None);
        // A JWT that signs itself with nothing is a wrong token like any other.
        assert_eq!(name("eyJhbGciOiJub25lIn0.eyJyb2xlIjoiYWRtaW4ifQ.", 0), None);
    }

    #[test]
    fn a_header_is_a_bearer_token_or_nothing() {
        for (header, expected) in [
            ("Bearer abc", Some("abc")),
            ("bearer  abc", Some("abc")),
            ("Basic abc", None),
            ("Bearer", None),
            ("Bearer ", None),
            ("", None),
        ] {
            assert_eq!(bearer(header), expected, "{header}");
        }
    }

    #[test]
    fn nothing_prints_a_token() {
        let config = token("a", "aaaaaaaaaaaaaaaaaaaaaaaa", None);
        let shown = format!("{config:?} {:?}", Tokens::new(std::slice::from_ref(&config)));
        assert!(!shown.contains("aaaaaa"), "{shown}");
    }

    #[test]
    fn an_agent_sees_what_its_extension_takes_part_in() {
        let tokens = Tokens::new(&[token("a", "aaaaaaaaaaaaaaaaaaaaaaaa", None)]);
        let agent = tokens.principal("aaaaaaaaaaaaaaaaaaaaaaaa", WallTime(0)).unwrap();
        assert!(agent.may_see(&["1002", "1001"]));
        assert!(!agent.may_see(&["1002"]));
        assert!(!agent.may_see::<&str>(&[]));
        let admin = Principal { role: Role::Admin, ..agent };
        assert!(admin.may_see::<&str>(&[]));
    }
}
