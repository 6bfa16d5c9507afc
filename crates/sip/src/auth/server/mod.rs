//! The server side of digest (RFC 7616 §3, RFC 8760 §2): challenges and verdicts.
//!
//! Nothing is kept for a request until it has proved a password (ATTACKS 18); what then is kept are
//! nonce counts, so that nothing can be replayed (ATTACKS 9), see [`super::nonce`].

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

use base::{Redacted, Rng, Time};
use serde::{Deserialize, Serialize};

use super::digest::{Algorithm, Answer, Credential, QopAuth, nc_value};
use super::guard::{Admission, Guard};
use super::nonce::Nonces;
use super::params::{AuthParams, escape};
use crate::message::{Host, Name, Request, Response, StatusCode, Uri};

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

/// Issues nonces and checks answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authenticator {
    realm: Box<str>,
    /// Offered, in this order, and no other accepted.
    algorithms: Vec<Algorithm>,
    /// Our names and addresses.
    hosts: Vec<Host>,
    nonces: Nonces,
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
        let algorithms = Algorithm::ALL.into();
        let nonces = Nonces::new(lifetime, rng);
        Self { realm: realm.into(), algorithms, hosts: Vec::new(), nonces }
    }

    /// Knows these names and addresses as ours: a digest-uri may name any of them, whichever the
    /// Request-URI names. SIPp 3.6 always writes the address it sends to.
    #[must_use]
    pub fn with_hosts(mut self, hosts: Vec<Host>) -> Self {
        self.hosts = hosts;
        self
    }

    /// Offers these, in this order, instead of all, strongest first. An empty list changes nothing.
    ///
    /// For clients that fail on a first challenge they do not know, as SIPp 3.6 does on SHA-256.
    #[must_use]
    pub fn with_algorithms(mut self, algorithms: &[Algorithm]) -> Self {
        if !algorithms.is_empty() {
            self.algorithms = algorithms.into();
            self.algorithms.truncate(Algorithm::ALL.len());
        }
        self
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
            Err(Objection::Repeated) => {
                Verdict::Refused(Box::new(request.response(StatusCode::FORBIDDEN)))
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
        if !self.is_for(claim.uri, &request.uri) {
            return Err(Objection::Nonsense);
        }
        if !self.algorithms.contains(&claim.algorithm) {
            return Err(Objection::Unproven { stale: false });
        }
        let nonce = self.nonces.read(now, claim.nonce, source, &self.realm);
        let nonce = nonce.ok_or(Objection::Unproven { stale: true })?;
        match guard.admit(now, source, &claim.user) {
            Admission::Evaluate => {}
            // As after a wrong password.
            Admission::Slowed => return Err(Objection::wrong(now, guard, source)),
            Admission::Banned(until) => return Err(Objection::Banned { until, newly: false }),
        }
        if !proves(&claim, request, &self.realm, lookup(&claim.user)) {
            let banned = guard.failed(now, source, &claim.user);
            return Err(match banned {
                Some(until) => Objection::Banned { until, newly: true },
                None => Objection::wrong(now, guard, source),
            });
        }
        if !self.nonces.count_up(now, nonce, claim.nc) {
            return Err(Objection::Unproven { stale: true });
        }
        guard.succeeded(source, &claim.user);
        Ok(claim.user.into())
    }

    /// Whether a digest-uri fits the Request-URI: by host only (ATTACKS 9), since SIPp and some phones
    /// differ in port or parameters.
    fn is_for(&self, digest_uri: &str, uri: &Uri) -> bool {
        let Ok(named) = digest_uri.parse::<Uri>() else { return false };
        if named.scheme.is_sip() && uri.scheme.is_sip() {
            let ours = self.hosts.iter().any(|host| host.equivalent(&named.host));
            return ours || named.host.equivalent(&uri.host);
        }
        named.equivalent(uri)
    }

    /// The 401 or 407 to a request, without a To tag: SHA-256 first, then MD5 (RFC 8760 §2.3).
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
        let nonce = self.nonces.issue(now, source, &self.realm);
        let realm = escape(&self.realm);
        let mut response = request.response(status);
        for algorithm in &self.algorithms {
            let mut params = AuthParams::new("Digest");
            params.push_quoted("realm", &realm);
            params.push_quoted("nonce", &nonce);
            params.push_token("algorithm", algorithm.as_str());
            params.push_quoted("qop", "auth");
            if stale {
                params.push_token("stale", "true");
            }
            response.headers.push(name, params.to_string());
        }
        response
    }

    /// Leaves of several challenges the one that most clients can answer, in its shortest form, for
    /// an answer that must be small: MD5's, since every client knows that, and it is meant where no
    /// algorithm is named (RFC 7616 §3.3). Where MD5 is not offered it is the first.
    pub fn shorten_challenge(&self, response: &mut Response) {
        const NAME: Name = Name::WwwAuthenticate;
        let lines = response.headers.get_all(NAME).zip(&self.algorithms);
        let mut lines: Vec<_> =
            lines.map(|(line, algorithm)| (line.to_owned(), algorithm)).collect();
        let best = lines.iter().position(|(_, algorithm)| **algorithm == Algorithm::Md5);
        if lines.is_empty() {
            return;
        }
        let (line, algorithm) = lines.swap_remove(best.unwrap_or(0));
        let short = match AuthParams::parse(&line) {
            Ok(mut params) if *algorithm == Algorithm::Md5 => {
                params.remove("algorithm");
                params.to_string()
            }
            Ok(_) | Err(_) => line,
        };
        response.headers.set(NAME, short);
    }

    /// How many proven nonces are remembered.
    pub fn used_nonces(&self) -> usize {
        self.nonces.used()
    }
}

/// Why a request proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Objection {
    /// No credentials, none that we speak, or wrong ones; or, if `stale`, an old nonce.
    Unproven {
        stale: bool,
    },
    /// Wrong ones again.
    Repeated,
    /// Nothing a client could mean.
    Nonsense,
    Banned {
        until: Time,
        newly: bool,
    },
}

impl Objection {
    /// To a wrong password, or one that is not evaluated.
    fn wrong(now: Time, guard: &mut Guard, source: IpAddr) -> Self {
        match guard.refuse(now, source) {
            true => Self::Repeated,
            false => Self::Unproven { stale: false },
        }
    }
}

/// The first Digest credentials for `realm`. Those for other realms are not ours to judge.
fn credentials<'a>(request: &'a Request, realm: &str) -> Result<AuthParams<'a>, Objection> {
    let headers = &request.headers;
    let lines =
        headers.get_all(Name::Authorization).chain(headers.get_all(Name::ProxyAuthorization));
    let digests = lines.filter(|line| {
        line.trim_start().get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("digest"))
    });
    for line in digests.take(CREDENTIALS_MAX) {
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

#[cfg(test)]
mod tests;
