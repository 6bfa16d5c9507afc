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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Method, Uri};

    fn credentials(realm: Option<&str>) -> Credentials {
        Credentials {
            username: "bob".into(),
            password: Redacted::new("zanzibar".into()),
            realm: realm.map(Into::into),
        }
    }

    fn request(method: Method) -> Request {
        Request::new(method, "sip:bob@biloxi.com".parse::<Uri>().unwrap())
    }

    /// A response with these challenges; `p:` in front makes one a proxy's.
    fn challenged(status: u16, challenges: &[&str]) -> Response {
        let mut response = request(Method::Invite).response(StatusCode(status));
        for challenge in challenges {
            match challenge.strip_prefix("p:") {
                Some(challenge) => response.headers.push(Name::ProxyAuthenticate, challenge),
                None => response.headers.push(Name::WwwAuthenticate, *challenge),
            }
        }
        response
    }

    fn fields(request: &Request, name: Name) -> Vec<AuthParams<'_>> {
        request.headers.get_all(name).map(|line| AuthParams::parse(line).unwrap()).collect()
    }

    const MD5: &str = r#"Digest realm="biloxi.com", nonce="abc", qop="auth,auth-int", algorithm=MD5, opaque="5c\"c""#;
    const SHA: &str = r#"Digest realm="biloxi.com", nonce="abc", qop="auth", algorithm=SHA-256"#;

    struct Client {
        auth: ClientAuth,
        rng: Rng,
        request: Request,
    }

    impl Client {
        fn new() -> Self {
            let (auth, rng) = (ClientAuth::default(), Rng::from_u64(1));
            Self { auth, rng, request: request(Method::Invite) }
        }

        fn answer(&mut self, status: u16, challenges: &[&str]) -> Result<(), AuthError> {
            let response = challenged(status, challenges);
            self.auth.authorize(&mut self.request, &response, &credentials(None), &mut self.rng)
        }
    }

    #[test]
    fn the_answer_is_the_one_of_the_rfc() {
        let mut client = Client::new();
        client.answer(401, &[MD5]).unwrap();
        let all = fields(&client.request, Name::Authorization);
        let get = |name| all[0].raw(name).unwrap();
        let answer = Answer {
            algorithm: Algorithm::Md5,
            method: "INVITE",
            uri: "sip:bob@biloxi.com",
            nonce: "abc",
            qop: Some(QopAuth { nc: "00000001", cnonce: get("cnonce") }),
        };
        // H(bob:biloxi.com:zanzibar)
        let expected = answer.response("12af60467a33e8518da5c68bbff12b11");
        assert_eq!(get("response"), expected.as_str());
        assert_eq!((get("username"), get("uri")), ("bob", "sip:bob@biloxi.com"));
        assert_eq!((get("qop"), get("nc"), get("opaque")), ("auth", "00000001", r#"5c\"c"#));
        assert!(client.request.headers.get(Name::Authorization).unwrap().contains(", qop=auth,"));
    }

    #[test]
    fn the_strongest_algorithm_of_a_realm_is_used_wherever_it_stands() {
        for order in [[MD5, SHA], [SHA, MD5]] {
            let mut client = Client::new();
            client.answer(401, &order).unwrap();
            let all = fields(&client.request, Name::Authorization);
            let used: Vec<_> = all.iter().map(|a| a.raw("algorithm").unwrap()).collect();
            assert_eq!(used, ["SHA-256"]);
        }
    }

    #[test]
    fn what_cannot_be_answered_well_is_not_answered() {
        for (status, challenges, error) in [
            (401, &[][..], AuthError::NoChallenge),
            (401, &["Basic realm=\"x\""], AuthError::NoChallenge),
            (401, &["Digest realm=\"x"], AuthError::NoChallenge),
            (403, &[MD5], AuthError::NoChallenge),
            (
                401,
                &[r#"Digest realm="x", nonce="a", algorithm=MD5-sess, qop="auth""#],
                AuthError::Unsupported,
            ),
            (401, &[r#"Digest realm="x", nonce="a", qop="auth-int""#], AuthError::Unsupported),
            (401, &[r#"Digest realm="x", nonce="", qop="auth""#], AuthError::Unsupported),
        ] {
            let mut client = Client::new();
            assert_eq!(client.answer(status, challenges), Err(error), "{challenges:?}");
            assert!(!client.request.headers.has(Name::Authorization));
            assert!(!client.auth.is_primed());
        }
    }

    #[test]
    fn a_foreign_realm_learns_nothing() {
        let mut client = Client::new();
        let creds = credentials(Some("biloxi.com"));
        let foreign = challenged(401, &[r#"Digest realm="evil.com", nonce="a", qop="auth""#]);
        let result = client.auth.authorize(&mut client.request, &foreign, &creds, &mut client.rng);
        assert_eq!(result, Err(AuthError::ForeignRealm));
        let mixed = challenged(401, &[r#"Digest realm="evil.com", nonce="a", qop="auth""#, MD5]);
        client.auth.authorize(&mut client.request, &mixed, &creds, &mut client.rng).unwrap();
        let all = fields(&client.request, Name::Authorization);
        let realms: Vec<_> = all.iter().map(|a| a.raw("realm").unwrap()).collect();
        assert_eq!(realms, ["biloxi.com"]);
    }

    #[test]
    fn a_proxy_and_the_trunk_behind_it_are_answered_one_after_the_other_or_at_once() {
        let proxy = r#"p:Digest realm="proxy", nonce="p", qop="auth""#;
        let one_by_one: &[(u16, &[&str])] = &[(407, &[proxy]), (401, &[MD5])];
        let at_once: &[(u16, &[&str])] = &[(401, &[proxy, MD5])];
        for rounds in [one_by_one, at_once] {
            let mut client = Client::new();
            for (status, challenges) in rounds {
                client.answer(*status, challenges).unwrap();
            }
            assert_eq!(fields(&client.request, Name::Authorization).len(), 1);
            assert_eq!(fields(&client.request, Name::ProxyAuthorization).len(), 1);
        }
    }

    #[test]
    fn credentials_refused_twice_are_given_up_and_the_next_request_starts_clean() {
        let mut client = Client::new();
        let nonce = |n: u32| format!(r#"Digest realm="biloxi.com", nonce="{n}", qop="auth""#);
        assert_eq!(client.answer(401, &[&nonce(1)]), Ok(()));
        assert_eq!(client.answer(401, &[&nonce(2)]), Ok(()));
        assert_eq!(client.answer(401, &[&nonce(3)]), Err(AuthError::Rejected));
        client.request = request(Method::Invite);
        client.auth.reauthorize(&mut client.request, &credentials(None));
        assert!(!client.request.headers.has(Name::Authorization));
        assert_eq!(client.answer(401, &[&nonce(4)]), Ok(()));
    }

    #[test]
    fn stale_nonces_are_no_refusals_but_do_not_go_on_for_ever() {
        let mut client = Client::new();
        let stale = |n: u32| format!(r#"Digest realm="r", nonce="{n}", qop="auth", stale=TRUE"#);
        let results: Vec<_> = (0..6).map(|n| client.answer(401, &[&stale(n)]).is_ok()).collect();
        assert_eq!(results[..5], [true, true, true, true, false]);
    }

    #[test]
    fn later_requests_go_out_signed_with_growing_counts() {
        let mut client = Client::new();
        client.answer(401, &[SHA]).unwrap();
        for n in 2..20 {
            let mut bye = request(Method::Bye);
            client.auth.reauthorize(&mut bye, &credentials(None));
            let all = fields(&bye, Name::Authorization);
            assert_eq!(all[0].raw("nc").unwrap(), format!("{n:08x}"));
        }
        // The trunk's nonce is too old by then; its new one starts at one.
        client.request = request(Method::Bye);
        client.auth.reauthorize(&mut client.request, &credentials(None));
        let next =
            r#"Digest realm="biloxi.com", nonce="new", qop="auth", algorithm=SHA-256, stale=true"#;
        client.answer(401, &[next]).unwrap();
        let all = fields(&client.request, Name::Authorization);
        assert_eq!((all[0].raw("nc"), all[0].raw("nonce")), (Some("00000001"), Some("new")));
    }

    #[test]
    fn without_qop_the_old_form_is_spoken() {
        let mut client = Client::new();
        client.answer(401, &[r#"Digest realm="biloxi.com", nonce="abc""#]).unwrap();
        let all = fields(&client.request, Name::Authorization);
        let answer = Answer {
            algorithm: Algorithm::Md5,
            method: "INVITE",
            uri: "sip:bob@biloxi.com",
            nonce: "abc",
            qop: None,
        };
        let expected = answer.response("12af60467a33e8518da5c68bbff12b11");
        assert_eq!(all[0].raw("response"), Some(expected.as_str()));
        assert_eq!((all[0].raw("nc"), all[0].raw("cnonce"), all[0].raw("qop")), (None, None, None));
    }

    #[test]
    fn realms_are_bounded_and_the_password_is_not_printed() {
        let mut client = Client::new();
        let many: Vec<_> =
            (0..9).map(|n| format!(r#"Digest realm="{n}", nonce="a", qop="auth""#)).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        client.answer(401, &many).unwrap();
        assert_eq!(fields(&client.request, Name::Authorization).len(), REALMS_MAX);
        assert!(!format!("{:?}", credentials(None)).contains("zanzibar"));
        assert!(!format!("{:?}", client.request).contains("cnonce"));
    }
}
