//! The client side of digest (RFC 3261 §22.2, §22.3; RFC 7616; RFC 8760 §2.5): answering the 401
//! or 407 of a trunk to a request that was sent to it.
//!
//! Whom the response came from is the owner's business: it asks only for a response that its own
//! client transaction with that trunk delivered (ATTACKS 16). The request needs a new CSeq number
//! and branch before it goes out again; the owner gives them.

use base::{Redacted, Rng};
use serde::{Deserialize, Serialize};

use super::digest::{Algorithm, Answer, Credential, QopAuth, nc_text};
use super::params::{AuthParams, escape};
use crate::message::{Name, Request, Response, StatusCode};

/// Realms remembered per trunk or dialog; a response with more is answered for the first ones.
pub const REALMS_MAX: usize = 4;

/// Challenge headers that are looked at in one response.
pub const CHALLENGE_HEADERS_MAX: usize = 8;

/// How often one request is sent again, stale nonces included.
pub const ATTEMPTS_MAX: u32 = 4;

/// Characters of 5 bits each.
const CNONCE_LEN: usize = 20;

/// Who we are to a trunk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// The digest user name.
    pub username: String,
    /// The password.
    pub password: Redacted<String>,
    /// The realm a challenge must name; `None` = any, from that trunk only.
    pub realm: Option<String>,
}

/// Why a challenge is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// No 401 or 407, or one without a Digest challenge that can be read.
    #[error("no digest challenge")]
    NoChallenge,
    /// Only algorithms or qualities we do not speak (MD5-sess, auth-int, …).
    #[error("no supported algorithm or qop")]
    Unsupported,
    /// The challenge is for another realm than the one configured.
    #[error("challenge of a foreign realm")]
    ForeignRealm,
    /// Our answer was refused twice.
    #[error("credentials refused")]
    Rejected,
}

/// What a realm told us last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Session {
    proxy: bool,
    realm: Box<str>,
    nonce: Box<str>,
    opaque: Option<Box<str>>,
    algorithm: Algorithm,
    qop: bool,
    cnonce: Box<str>,
    nc: u32,
}

/// The digest state towards one trunk, or of one dialog with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientAuth {
    sessions: Vec<Session>,
    /// Answers of the current request that were refused and not for a stale nonce.
    refused: u32,
    attempts: u32,
}

/// One readable challenge.
struct Challenge<'a> {
    proxy: bool,
    params: AuthParams<'a>,
    realm: String,
    stale: bool,
}

impl ClientAuth {
    /// Answers the challenges of `response` in `request`, the request that was sent.
    ///
    /// A challenge may be answered twice before we give up: the first refusal may concern a nonce
    /// that aged unseen. One with `stale=true` does not count as a refusal.
    pub fn authorize(
        &mut self,
        request: &mut Request,
        response: &Response,
        credentials: &Credentials,
        rng: &mut Rng,
    ) -> Result<(), AuthError> {
        let challenges = ours(response, credentials)?;
        self.count_attempt(request, &challenges)?;
        self.learn(&challenges, rng)?;
        self.sign(request, credentials);
        Ok(())
    }

    /// Only learns the challenges of `response`, for a request that is built anew and signed by
    /// [`ClientAuth::reauthorize`]; the owner limits how often.
    pub fn remember(
        &mut self,
        response: &Response,
        credentials: &Credentials,
        rng: &mut Rng,
    ) -> Result<(), AuthError> {
        self.learn(&ours(response, credentials)?, rng)
    }

    /// Signs a further request of the same trunk or dialog (re-INVITE, BYE, the next REGISTER) with
    /// the nonces that are known, before it is challenged; without any it stays as it is. An ACK
    /// copies the headers of its INVITE instead (RFC 3261 §22.1).
    pub fn reauthorize(&mut self, request: &mut Request, credentials: &Credentials) {
        self.refused = 0;
        self.attempts = 0;
        self.sign(request, credentials);
    }

    /// Whether a nonce is known.
    pub const fn is_primed(&self) -> bool {
        !self.sessions.is_empty()
    }

    fn learn(&mut self, challenges: &[Challenge<'_>], rng: &mut Rng) -> Result<(), AuthError> {
        let mut by_strength: Vec<_> = challenges
            .iter()
            .filter_map(|challenge| Some((challenge.algorithm()?, challenge)))
            .collect();
        by_strength.sort_by_key(|&(algorithm, _)| algorithm);
        let mut learnt: Vec<&Challenge<'_>> = Vec::new();
        for (algorithm, challenge) in by_strength {
            // RFC 8760 §2.4: of one realm the strongest only.
            let done = learnt.iter().any(|c| c.same_realm(challenge));
            if !done && self.learn_one(challenge, algorithm, rng) {
                learnt.push(challenge);
            }
        }
        if learnt.is_empty() { Err(AuthError::Unsupported) } else { Ok(()) }
    }

    fn count_attempt(
        &mut self,
        request: &Request,
        challenges: &[Challenge<'_>],
    ) -> Result<(), AuthError> {
        if !answered(request, challenges) {
            // Nothing was answered yet, so nothing was refused: a first request, or the next proxy.
            self.refused = 0;
            if !carries_credentials(request) {
                self.attempts = 0;
            }
        } else if !challenges.iter().any(|c| c.stale) {
            self.refused += 1;
        }
        self.attempts += 1;
        if self.refused >= 2 || self.attempts > ATTEMPTS_MAX {
            self.sessions.clear();
            return Err(AuthError::Rejected);
        }
        Ok(())
    }

    /// Whether the challenge can be answered.
    fn learn_one(
        &mut self,
        challenge: &Challenge<'_>,
        algorithm: Algorithm,
        rng: &mut Rng,
    ) -> bool {
        let Some(nonce) = challenge.params.raw("nonce").filter(|nonce| !nonce.is_empty()) else {
            return false;
        };
        let Ok(qop) = challenge.qop() else { return false };
        let session = Session {
            proxy: challenge.proxy,
            realm: challenge.realm.as_str().into(),
            nonce: nonce.into(),
            opaque: challenge.params.raw("opaque").map(Into::into),
            algorithm,
            qop,
            cnonce: rng.token(CNONCE_LEN).into(),
            nc: 0,
        };
        let room = self.sessions.len() < REALMS_MAX;
        let known = |s: &&mut Session| s.proxy == session.proxy && s.realm == session.realm;
        match self.sessions.iter_mut().find(known) {
            // The same nonce again: its count goes on (RFC 7616 §3.4).
            Some(old) if old.nonce == session.nonce && old.algorithm == algorithm => {}
            Some(old) => *old = session,
            None if room => self.sessions.push(session),
            None => return false,
        }
        true
    }

    /// Replaces all credentials of the request by one per known realm.
    fn sign(&mut self, request: &mut Request, credentials: &Credentials) {
        if self.sessions.is_empty() {
            return;
        }
        request.headers.remove(Name::Authorization);
        request.headers.remove(Name::ProxyAuthorization);
        let uri = request.uri.to_string();
        for session in &mut self.sessions {
            // A count that began anew would look like a replay; the challenge that follows heals it.
            session.nc = session.nc.saturating_add(1);
            let value = session.header(request.method.as_str(), &uri, credentials);
            request.headers.push(authorization(session.proxy), value);
        }
    }
}

impl Session {
    fn header(&self, method: &str, uri: &str, credentials: &Credentials) -> String {
        let nc = nc_text(self.nc);
        let qop = self.qop.then_some(QopAuth { nc: nc.as_str(), cnonce: &self.cnonce });
        let answer = Answer { algorithm: self.algorithm, method, uri, nonce: &self.nonce, qop };
        let password = Credential::Password(credentials.password.clone());
        let response = password.response(&credentials.username, &self.realm, &answer);
        let (user, realm) = (escape(&credentials.username), escape(&self.realm));
        let mut params = AuthParams::new("Digest");
        params.push_quoted("username", &user);
        params.push_quoted("realm", &realm);
        params.push_quoted("nonce", &self.nonce);
        params.push_quoted("uri", uri);
        params.push_quoted("response", response.as_ref().map_or("", |r| r.as_str()));
        params.push_token("algorithm", self.algorithm.as_str());
        if self.qop {
            params.push_quoted("cnonce", &self.cnonce);
            params.push_token("qop", "auth");
            params.push_token("nc", nc.as_str());
        }
        if let Some(opaque) = &self.opaque {
            params.push_quoted("opaque", opaque);
        }
        params.to_string()
    }
}

impl Challenge<'_> {
    fn same_realm(&self, other: &Self) -> bool {
        self.proxy == other.proxy && self.realm == other.realm
    }

    fn algorithm(&self) -> Option<Algorithm> {
        self.params.raw("algorithm").map_or(Some(Algorithm::Md5), Algorithm::parse)
    }

    /// Whether `auth` is offered; RFC 3261 §22.4 item 8: without qop, answer as RFC 2069 did.
    fn qop(&self) -> Result<bool, AuthError> {
        let Some(offered) = self.params.get("qop") else { return Ok(false) };
        let auth = offered.split(',').any(|qop| qop.trim().eq_ignore_ascii_case("auth"));
        if auth { Ok(true) } else { Err(AuthError::Unsupported) }
    }
}

const fn authorization(proxy: bool) -> Name {
    if proxy { Name::ProxyAuthorization } else { Name::Authorization }
}

/// The challenges of `response` that these credentials are for.
fn ours<'a>(
    response: &'a Response,
    credentials: &Credentials,
) -> Result<Vec<Challenge<'a>>, AuthError> {
    let mut challenges = readable(response);
    if challenges.is_empty() {
        return Err(AuthError::NoChallenge);
    }
    challenges.retain(|c| credentials.realm.as_ref().is_none_or(|realm| *realm == c.realm));
    if challenges.is_empty() { Err(AuthError::ForeignRealm) } else { Ok(challenges) }
}

/// The Digest challenges of a 401 or 407, of both kinds (RFC 3261 §22.3 allows both at once).
fn readable(response: &Response) -> Vec<Challenge<'_>> {
    let mut all = Vec::new();
    if !matches!(
        response.status,
        StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED
    ) {
        return all;
    }
    for (name, proxy) in [(Name::WwwAuthenticate, false), (Name::ProxyAuthenticate, true)] {
        for line in response.headers.get_all(name).take(CHALLENGE_HEADERS_MAX) {
            let challenges = AuthParams::parse_all(line).unwrap_or_default();
            all.extend(challenges.into_iter().filter(AuthParams::is_digest).filter_map(|params| {
                let realm = params.get("realm")?.into_owned();
                let stale = params.raw("stale").is_some_and(|s| s.eq_ignore_ascii_case("true"));
                Some(Challenge { proxy, realm, stale, params })
            }));
        }
    }
    all
}

fn carries_credentials(request: &Request) -> bool {
    request.headers.has(Name::Authorization) || request.headers.has(Name::ProxyAuthorization)
}

/// Whether the request already answered one of these challenges' realms.
fn answered(request: &Request, challenges: &[Challenge<'_>]) -> bool {
    challenges.iter().any(|challenge| {
        request.headers.get_all(authorization(challenge.proxy)).any(|line| {
            let params = AuthParams::parse(line);
            params.is_ok_and(|p| p.get("realm").is_some_and(|r| r == challenge.realm.as_str()))
        })
    })
}
