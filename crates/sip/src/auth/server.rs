//! The server side of digest (RFC 7616 §3, RFC 8760 §2): nonces, challenges, verdicts.
//!
//! A nonce is counter, time of issue and a keyed hash over both, the realm and the source address:
//! nothing is kept when it is issued (ATTACKS 18). Only a nonce that proved a password enters a
//! bounded table, with its highest nonce count, so that nothing can be replayed (ATTACKS 9).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use base::{Redacted, Rng, Time};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::digest::{Algorithm, Answer, Credential, Hex, QopAuth, nc_value};
use super::guard::{Admission, Guard};
use super::params::{AuthParams, escape};
use crate::message::{Name, Request, Response, StatusCode, Uri};

/// Proven nonces remembered. When full the oldest is forgotten, and all up to it become stale.
pub const USED_NONCES_MAX: usize = 65_536;

/// Authorization and Proxy-Authorization headers that are looked at in one request.
pub const CREDENTIALS_MAX: usize = 8;

/// The longest user name, in bytes.
pub const USER_LEN_MAX: usize = 128;

/// What is left to do with a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// The sender is this user.
    Ok {
        /// The digest user name.
        user: Box<str>,
    },
    /// Answer with this and keep nothing: a 401, or a 400 to what cannot be meant. It has no To tag.
    Refused(Box<Response>),
    /// The source address guessed too often. Best not answered; nothing was evaluated.
    Banned {
        /// Until when.
        until: Time,
        /// Whether this request was the guess too many.
        newly: bool,
    },
}

/// Which pair of headers a challenge uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChallengeKind {
    /// 401 with WWW-Authenticate (RFC 3261 §22.2).
    User,
    /// 407 with Proxy-Authenticate (RFC 3261 §22.3).
    Proxy,
}

/// A nonce that proved a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Used {
    nc: u32,
    issued_ms: u64,
}

/// Issues nonces and checks answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authenticator {
    realm: Box<str>,
    key: Redacted<[u8; 32]>,
    lifetime: Duration,
    issued: u64,
    /// Nonces below this that are not in `used` are stale.
    floor: u64,
    /// By counter, which is also the order of issue.
    used: BTreeMap<u64, Used>,
}

/// The fields of an Authorization header that a verdict needs.
struct Claim<'a> {
    user: Cow<'a, str>,
    nonce: &'a str,
    uri: &'a str,
    response: &'a str,
    cnonce: &'a str,
    nc_text: &'a str,
    nc: u32,
    algorithm: Algorithm,
}

impl Authenticator {
    /// For one realm, with a fresh secret key. A nonce is valid for `lifetime` after its issue.
    pub fn new(realm: &str, lifetime: Duration, rng: &mut Rng) -> Self {
        let mut key = [0; 32];
        for chunk in key.chunks_exact_mut(8) {
            chunk.copy_from_slice(&rng.next_u64().to_be_bytes());
        }
        let key = Redacted::new(key);
        Self { realm: realm.into(), key, lifetime, issued: 0, floor: 0, used: BTreeMap::new() }
    }

    /// Judges a request. `lookup` finds a user's credential.
    ///
    /// An unknown user takes the same way, and as long, as a wrong password (ATTACKS 10).
    pub fn check(
        &mut self,
        now: Time,
        request: &Request,
        source: IpAddr,
        guard: &mut Guard,
        lookup: impl FnOnce(&str) -> Option<Credential>,
    ) -> Verdict {
        match self.judge(now, request, source, guard, lookup) {
            Ok(user) => Verdict::Ok { user },
            Err(Objection::Banned { until, newly }) => Verdict::Banned { until, newly },
            Err(Objection::Unproven { stale }) => {
                let response = self.challenge(now, request, source, ChallengeKind::User, stale);
                Verdict::Refused(Box::new(response))
            }
            Err(Objection::Nonsense) => {
                Verdict::Refused(Box::new(request.response(StatusCode::BAD_REQUEST)))
            }
        }
    }

    fn judge(
        &mut self,
        now: Time,
        request: &Request,
        source: IpAddr,
        guard: &mut Guard,
        lookup: impl FnOnce(&str) -> Option<Credential>,
    ) -> Result<Box<str>, Objection> {
        if let Some(until) = guard.banned_until(now, source) {
            return Err(Objection::Banned { until, newly: false });
        }
        let claim = Claim::read(&credentials(request, &self.realm)?)?;
        if !names_host_of(claim.uri, &request.uri) {
            return Err(Objection::Nonsense);
        }
        let (counter, issued_ms) =
            self.nonce_age(now, claim.nonce, source).ok_or(Objection::Unproven { stale: true })?;
        match guard.admit(now, source, &claim.user) {
            Admission::Evaluate => {}
            // As after a wrong password.
            Admission::Slowed => return Err(Objection::Unproven { stale: false }),
            Admission::Banned(until) => return Err(Objection::Banned { until, newly: false }),
        }
        if !proves(&claim, request, &self.realm, lookup(&claim.user)) {
            let banned = guard.failed(now, source, &claim.user);
            return Err(banned.map_or(Objection::Unproven { stale: false }, |until| {
                Objection::Banned { until, newly: true }
            }));
        }
        if !self.count_up(now, counter, Used { nc: claim.nc, issued_ms }) {
            return Err(Objection::Unproven { stale: true });
        }
        guard.succeeded(source, &claim.user);
        Ok(claim.user.into())
    }

    /// The 401 or 407 to a request, without a To tag: SHA-256 first, then MD5 (RFC 8760 §2.4).
    pub fn challenge(
        &mut self,
        now: Time,
        request: &Request,
        source: IpAddr,
        kind: ChallengeKind,
        stale: bool,
    ) -> Response {
        let (status, name) = match kind {
            ChallengeKind::User => (StatusCode::UNAUTHORIZED, Name::WwwAuthenticate),
            ChallengeKind::Proxy => {
                (StatusCode::PROXY_AUTHENTICATION_REQUIRED, Name::ProxyAuthenticate)
            }
        };
        let nonce = self.issue(now, source);
        let realm = escape(&self.realm);
        let mut response = request.response(status);
        for algorithm in Algorithm::ALL {
            let mut params = AuthParams::new("Digest");
            params.push_quoted("realm", &realm);
            params.push_quoted("nonce", nonce.as_str());
            params.push_token("algorithm", algorithm.as_str());
            params.push_quoted("qop", "auth");
            if stale {
                params.push_token("stale", "true");
            }
            response.headers.push(name, params.to_string());
        }
        response
    }

    /// How many proven nonces are remembered.
    pub fn used_nonces(&self) -> usize {
        self.used.len()
    }

    fn issue(&mut self, now: Time, source: IpAddr) -> Hex {
        self.issued += 1;
        let mut bytes = [0; NONCE_BYTES];
        bytes[..8].copy_from_slice(&self.issued.to_be_bytes());
        bytes[8..16].copy_from_slice(&millis(now).to_be_bytes());
        let mac = self.mac(&bytes[..16], source);
        bytes[16..].copy_from_slice(&mac);
        Hex::new(&bytes)
    }

    /// Counter and time of issue of a nonce of ours that is still good for this source.
    fn nonce_age(&self, now: Time, nonce: &str, source: IpAddr) -> Option<(u64, u64)> {
        let bytes = unhex(nonce)?;
        let mac = self.mac(&bytes[..16], source);
        if !bool::from(mac.as_slice().ct_eq(&bytes[16..])) {
            return None;
        }
        let (counter, rest) = bytes.split_first_chunk::<8>()?;
        let (counter, issued_ms) =
            (u64::from_be_bytes(*counter), u64::from_be_bytes(*rest.first_chunk()?));
        // Issued later than now: the clock began anew, and the nonce is of an earlier life.
        let age = millis(now).checked_sub(issued_ms)?;
        let known = counter >= self.floor || self.used.contains_key(&counter);
        (u128::from(age) < self.lifetime.as_millis() && known).then_some((counter, issued_ms))
    }

    /// HMAC-SHA-256 (RFC 2104), cut to 128 bits.
    fn mac(&self, head: &[u8], source: IpAddr) -> [u8; 16] {
        let padded = |pad: u8| {
            let mut block = [pad; 64];
            block.iter_mut().zip(self.key.reveal()).for_each(|(b, k)| *b ^= k);
            Sha256::new().chain_update(block)
        };
        let address = match source.to_canonical() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        let inner = padded(0x36).chain_update(head).chain_update(address.octets());
        let inner = inner.chain_update(self.realm.as_bytes()).finalize();
        let outer = padded(0x5c).chain_update(inner).finalize();
        let mut mac = [0; 16];
        mac.copy_from_slice(&outer[..16]);
        mac
    }

    /// Takes a nonce count that is higher than all before it; whether it was.
    // RFC 7616 §3.4.5: the server may demand that nc always grows.
    fn count_up(&mut self, now: Time, counter: u64, used: Used) -> bool {
        self.forget_old(now);
        if let Some(known) = self.used.get_mut(&counter) {
            let grows = used.nc > known.nc;
            known.nc = known.nc.max(used.nc);
            return grows;
        }
        if used.nc == 0 {
            return false;
        }
        self.used.insert(counter, used);
        if self.used.len() > USED_NONCES_MAX {
            if let Some((oldest, _)) = self.used.pop_first() {
                self.floor = self.floor.max(oldest + 1);
            }
        }
        true
    }

    fn forget_old(&mut self, now: Time) {
        let lifetime = u64::try_from(self.lifetime.as_millis()).unwrap_or(u64::MAX);
        while let Some(oldest) = self.used.first_entry() {
            if millis(now).saturating_sub(oldest.get().issued_ms) < lifetime {
                break;
            }
            oldest.remove();
        }
    }
}

/// Counter, milliseconds, hash.
const NONCE_BYTES: usize = 8 + 8 + 16;

const fn millis(time: Time) -> u64 {
    time.as_nanos() / 1_000_000
}

fn unhex(text: &str) -> Option<[u8; NONCE_BYTES]> {
    let text = text.as_bytes();
    if text.len() != 2 * NONCE_BYTES {
        return None;
    }
    let digit = |b: u8| char::from(b).to_digit(16);
    let mut bytes = [0; NONCE_BYTES];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
    }
    Some(bytes)
}

/// Why a request proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Objection {
    /// No credentials, none that we speak, or wrong ones; or, if `stale`, an old nonce.
    Unproven {
        stale: bool,
    },
    /// Nothing a client could mean.
    Nonsense,
    Banned {
        until: Time,
        newly: bool,
    },
}

/// The first Digest credentials for `realm`. Those for other realms are not ours to judge.
fn credentials<'a>(request: &'a Request, realm: &str) -> Result<AuthParams<'a>, Objection> {
    let headers = &request.headers;
    let lines =
        headers.get_all(Name::Authorization).chain(headers.get_all(Name::ProxyAuthorization));
    for line in lines.take(CREDENTIALS_MAX) {
        let params = AuthParams::parse(line).map_err(|_| Objection::Nonsense)?;
        if params.is_digest() && params.get("realm").is_some_and(|r| r == realm) {
            return Ok(params);
        }
    }
    Err(Objection::Unproven { stale: false })
}

impl<'a> Claim<'a> {
    fn read(params: &AuthParams<'a>) -> Result<Self, Objection> {
        const BAD: Objection = Objection::Nonsense;
        const CANNOT: Objection = Objection::Unproven { stale: false };
        let filled = |name| params.raw(name).filter(|value| !value.is_empty()).ok_or(BAD);
        let algorithm = match params.raw("algorithm") {
            Some(text) => Algorithm::parse(text).ok_or(CANNOT)?,
            None => Algorithm::Md5, // RFC 7616 §3.4: MD5 is assumed
        };
        // RFC 7616 §3.4.4: not offered, so not understood.
        if params.raw("userhash").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Err(CANNOT);
        }
        // ATTACKS 9: without qop (RFC 2069) neither nc nor cnonce protect; auth-int was not offered.
        if !params.raw("qop").is_some_and(|qop| qop.eq_ignore_ascii_case("auth")) {
            return Err(CANNOT);
        }
        let nc_text = filled("nc")?;
        filled("username")?;
        let user = params.get("username").filter(|user| user.len() <= USER_LEN_MAX).ok_or(BAD)?;
        Ok(Self {
            user,
            nonce: filled("nonce")?,
            uri: filled("uri")?,
            response: filled("response")?,
            cnonce: filled("cnonce")?,
            nc: nc_value(nc_text).ok_or(BAD)?,
            nc_text,
            algorithm,
        })
    }
}

/// Whether the digest-uri names the host of the Request-URI (ATTACKS 9: SIPp and some phones differ
/// in port or parameters).
fn names_host_of(digest_uri: &str, uri: &Uri) -> bool {
    let Ok(named) = digest_uri.parse::<Uri>() else { return false };
    if named.scheme.is_sip() && uri.scheme.is_sip() {
        return named.host.equivalent(&uri.host);
    }
    named.equivalent(uri)
}

/// Whether the claim's response is the one of this credential. Without a credential the work is
/// the same, and the answer no.
fn proves(claim: &Claim<'_>, request: &Request, realm: &str, known: Option<Credential>) -> bool {
    let answer = Answer {
        algorithm: claim.algorithm,
        method: request.method.as_str(),
        uri: claim.uri,
        nonce: claim.nonce,
        qop: Some(QopAuth { nc: claim.nc_text, cnonce: claim.cnonce }),
    };
    let exists = known.is_some();
    let nobody = || Credential::Password(Redacted::new("-nobody-has-this-".into()));
    let credential = known.unwrap_or_else(nobody);
    let expected = credential.response(&claim.user, realm, &answer);
    expected.is_some_and(|expected| expected.matches(claim.response)) && exists
}
