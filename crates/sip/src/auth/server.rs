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
use crate::message::{Name, Request, Response, StatusCode, Uri};

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
        Self { realm: realm.into(), nonces: Nonces::new(lifetime, rng) }
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
        let nonce = self.nonces.read(now, claim.nonce, source, &self.realm);
        let nonce = nonce.ok_or(Objection::Unproven { stale: true })?;
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
        if !self.nonces.count_up(now, nonce, claim.nc) {
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
        let nonce = self.nonces.issue(now, source, &self.realm);
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

#[cfg(test)]
mod tests {
    use super::super::guard::GuardConfig;
    use super::*;
    use crate::message::{Method, NameAddr};

    const REALM: &str = "hookflash.test";
    const PASSWORD: &str = "correct horse";
    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    fn request(method: Method) -> Request {
        let uri: Uri = "sip:hookflash.test".parse().unwrap();
        let mut request = Request::new(method, uri.clone());
        request.headers.push(Name::Via, "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa");
        for name in [Name::From, Name::To] {
            request.headers.push(name, NameAddr::new(uri.clone()).to_string());
        }
        request.headers.push(Name::CallId, "a");
        request.headers.push(Name::CSeq, "1 REGISTER");
        request
    }

    /// A server, and a client that can say everything wrong.
    struct Pair {
        server: Authenticator,
        guard: Guard,
        nonce: String,
    }

    /// What the client says.
    #[derive(Clone)]
    struct Said<'a> {
        user: &'a str,
        password: &'a str,
        realm: &'a str,
        uri: &'a str,
        algorithm: Option<&'a str>,
        qop: Option<&'a str>,
        nc: &'a str,
        cnonce: &'a str,
        method: Method,
        source: IpAddr,
        /// Appended to the header.
        more: &'a str,
    }

    const SAID: Said<'_> = Said {
        user: "1001",
        password: PASSWORD,
        realm: REALM,
        uri: "sip:hookflash.test",
        algorithm: Some("SHA-256"),
        qop: Some("auth"),
        nc: "00000001",
        cnonce: "c0ffee",
        method: Method::Register,
        source: HERE,
        more: "",
    };

    impl Pair {
        fn new() -> Self {
            let server = Authenticator::new(REALM, Duration::from_secs(300), &mut Rng::from_u64(1));
            let mut pair =
                Self { server, guard: Guard::new(GuardConfig::default()), nonce: String::new() };
            pair.fresh_nonce(at(0));
            pair
        }

        fn fresh_nonce(&mut self, now: Time) {
            let response = self.server.challenge(
                now,
                &request(Method::Register),
                HERE,
                ChallengeKind::User,
                false,
            );
            let challenge = response.headers.get(Name::WwwAuthenticate).unwrap();
            self.nonce = AuthParams::parse(challenge).unwrap().raw("nonce").unwrap().into();
        }

        fn header(&self, said: &Said<'_>) -> String {
            let algorithm = said.algorithm.and_then(Algorithm::parse).unwrap_or(Algorithm::Md5);
            let qop = said.qop.map(|_| QopAuth { nc: said.nc, cnonce: said.cnonce });
            let answer =
                Answer { algorithm, method: "REGISTER", uri: said.uri, nonce: &self.nonce, qop };
            let credential = Credential::from(Redacted::new(said.password.to_owned()));
            let response = credential.response(said.user, said.realm, &answer).unwrap();
            let mut text = format!(
                r#"Digest username="{}", realm="{}", nonce="{}", uri="{}", response="{}""#,
                said.user,
                said.realm,
                self.nonce,
                said.uri,
                response.as_str()
            );
            if let Some(algorithm) = said.algorithm {
                text += &format!(", algorithm={algorithm}");
            }
            if let Some(qop) = said.qop {
                text += &format!(", qop={qop}, nc={}, cnonce=\"{}\"", said.nc, said.cnonce);
            }
            text + said.more
        }

        fn say(&mut self, now: Time, said: &Said<'_>) -> Verdict {
            let header = self.header(said);
            self.send(now, said, &header)
        }

        fn send(&mut self, now: Time, said: &Said<'_>, header: &str) -> Verdict {
            let mut request = request(said.method.clone());
            request.headers.push(Name::Authorization, header);
            self.server.check(now, &request, said.source, &mut self.guard, |user| {
                (user == "1001").then(|| Redacted::new(PASSWORD.to_owned()).into())
            })
        }
    }

    fn is_ok(verdict: &Verdict) -> bool {
        matches!(verdict, Verdict::Ok { user } if &**user == "1001")
    }

    /// Status, and whether the challenge says stale.
    fn refused(verdict: &Verdict) -> (u16, bool) {
        let Verdict::Refused(response) = verdict else { panic!("{verdict:?}") };
        let stale = response.headers.get_all(Name::WwwAuthenticate).map(|challenge| {
            AuthParams::parse(challenge).unwrap().raw("stale").is_some_and(|s| s == "true")
        });
        (response.status.0, stale.last().unwrap_or(false))
    }

    #[test]
    fn a_challenge_offers_sha_256_then_md5_with_qop_always() {
        let mut pair = Pair::new();
        for (kind, status, name) in [
            (ChallengeKind::User, 401, Name::WwwAuthenticate),
            (ChallengeKind::Proxy, 407, Name::ProxyAuthenticate),
        ] {
            let response =
                pair.server.challenge(at(0), &request(Method::Invite), HERE, kind, false);
            assert_eq!(response.status.0, status);
            let offers: Vec<_> = response
                .headers
                .get_all(name)
                .map(|challenge| {
                    let params = AuthParams::parse(challenge).unwrap();
                    assert_eq!(params.raw("stale"), None);
                    assert_eq!(params.raw("realm"), Some(REALM));
                    (
                        params.raw("algorithm").unwrap().to_owned(),
                        params.raw("qop").unwrap().to_owned(),
                    )
                })
                .collect();
            let offer = |algorithm: &str| (algorithm.to_owned(), "auth".to_owned());
            assert_eq!(offers, [offer("SHA-256"), offer("MD5")]);
        }
        assert!(!format!("{:?}", pair.server).contains("key: ["));
    }

    #[test]
    fn right_answers_in_every_spelling_are_accepted() {
        for said in [
            SAID,
            Said { algorithm: Some("sha-256"), ..SAID },
            Said { algorithm: Some("MD5"), ..SAID },
            Said { algorithm: None, ..SAID },
            Said { qop: Some("\"auth\""), ..SAID },
            Said { nc: "0000000A", ..SAID },
            Said { nc: "ffffffff", ..SAID },
            Said { uri: "sip:hookflash.test:5060", ..SAID },
            Said { uri: "sip:HookFlash.test;transport=tcp", ..SAID },
            Said { more: ", unknown=x, opaque=\"\"", ..SAID },
        ] {
            let mut pair = Pair::new();
            let verdict = pair.say(at(1), &said);
            assert!(is_ok(&verdict), "{}: {verdict:?}", pair.header(&said));
        }
    }

    #[test]
    fn wrong_answers_are_refused() {
        let (again, nonsense, stale) = ((401, false), (400, false), (401, true));
        for (why, said, expected) in [
            ("password", Said { password: "wrong", ..SAID }, again),
            ("user", Said { user: "2002", ..SAID }, again),
            ("realm", Said { realm: "elsewhere", ..SAID }, again),
            ("method", Said { method: Method::Invite, ..SAID }, again),
            ("source", Said { source: THERE, ..SAID }, stale),
            ("uri host", Said { uri: "sip:elsewhere", ..SAID }, nonsense),
            ("uri scheme", Said { uri: "tel:1001", ..SAID }, nonsense),
            ("no uri", Said { uri: "", ..SAID }, nonsense),
            ("RFC 2069", Said { qop: None, ..SAID }, again),
            ("auth-int", Said { qop: Some("auth-int"), ..SAID }, again),
            ("session", Said { algorithm: Some("MD5-sess"), ..SAID }, again),
            ("algorithm", Said { algorithm: Some("SHA-512-256"), ..SAID }, again),
            ("empty user", Said { user: "", ..SAID }, nonsense),
            ("empty cnonce", Said { cnonce: "", ..SAID }, nonsense),
            ("short nc", Said { nc: "1", ..SAID }, nonsense),
            ("no hex nc", Said { nc: "0000000g", ..SAID }, nonsense),
            ("nc 0", Said { nc: "00000000", ..SAID }, stale),
            ("user hash", Said { more: ", userhash=true", ..SAID }, again),
            ("twice", Said { more: ", nc=00000002", ..SAID }, nonsense),
            ("long user", Said { user: &"1".repeat(USER_LEN_MAX + 1), ..SAID }, nonsense),
        ] {
            let mut pair = Pair::new();
            let verdict = pair.say(at(1), &said);
            assert_eq!(refused(&verdict), expected, "{why}");
            assert_eq!(pair.server.used_nonces(), 0, "{why}");
        }
    }

    #[test]
    fn missing_or_foreign_credentials_are_challenged_and_cost_no_guess() {
        let mut pair = Pair::new();
        for header in ["Basic YWxhZGRpbjpvcGVu", "Digest realm=\"elsewhere\"", "NTLM"] {
            for _ in 0..50 {
                assert_eq!(refused(&pair.send(at(1), &SAID, header)), (401, false), "{header}");
            }
        }
        assert_eq!(refused(&pair.send(at(1), &SAID, "Digest realm=\"x")), (400, false));
        assert_eq!(pair.server.used_nonces(), 0);
        assert!(is_ok(&pair.say(at(1), &SAID)));
    }

    #[test]
    fn nonce_counts_grow_or_the_nonce_is_stale() {
        let mut pair = Pair::new();
        for (nc, accepted) in [
            ("00000001", true),
            ("00000001", false),
            ("00000003", true),
            ("00000002", false),
            ("00000003", false),
            ("00000004", true),
            ("0000000f", true),
            ("00000010", true),
        ] {
            let verdict = pair.say(at(1), &Said { nc, ..SAID });
            if accepted {
                assert!(is_ok(&verdict), "{nc}");
            } else {
                assert_eq!(refused(&verdict), (401, true), "{nc}");
            }
        }
        // From anywhere else it is stale before the count is looked at.
        let verdict = pair.say(at(1), &Said { nc: "00000011", source: THERE, ..SAID });
        assert_eq!(refused(&verdict), (401, true));
    }

    #[test]
    fn a_wrong_password_does_not_use_up_counts() {
        let mut pair = Pair::new();
        assert!(is_ok(&pair.say(at(1), &SAID)));
        let wrong = Said { nc: "ffffffff", password: "wrong", ..SAID };
        assert_eq!(refused(&pair.say(at(1), &wrong)), (401, false));
        assert!(is_ok(&pair.say(at(1), &Said { nc: "00000002", ..SAID })));
    }

    #[test]
    fn nonces_age_and_the_table_empties() {
        let mut pair = Pair::new();
        assert!(is_ok(&pair.say(at(299), &SAID)));
        let next = Said { nc: "00000002", ..SAID };
        assert_eq!(refused(&pair.say(at(300), &next)), (401, true));
        pair.fresh_nonce(at(400));
        assert!(is_ok(&pair.say(at(400), &SAID)));
        assert_eq!(pair.server.used_nonces(), 1);
    }

    #[test]
    fn nonces_of_another_life_are_stale() {
        let mut pair = Pair::new();
        pair.fresh_nonce(at(1000));
        assert_eq!(refused(&pair.say(at(10), &SAID)), (401, true), "issued later than now");
        let mut rng = Rng::from_u64(2);
        pair.server = Authenticator::new(REALM, Duration::from_secs(300), &mut rng);
        assert_eq!(refused(&pair.say(at(1000), &SAID)), (401, true), "another key");
        for nonce in ["", "0", "zz", &"0".repeat(64), &"g".repeat(64), &"é".repeat(32)] {
            pair.nonce = nonce.into();
            let expected = if nonce.is_empty() { (400, false) } else { (401, true) };
            assert_eq!(refused(&pair.say(at(1), &SAID)), expected, "{nonce}");
        }
    }

    #[test]
    fn unknown_users_and_wrong_passwords_are_answered_alike() {
        let answer = |said: &Said<'_>| {
            let mut pair = Pair::new();
            let Verdict::Refused(response) = pair.say(at(1), said) else { panic!() };
            response.to_bytes()
        };
        let wrong = answer(&Said { password: "wrong", ..SAID });
        assert_eq!(wrong, answer(&Said { user: "2002", ..SAID }));
        assert_eq!(wrong, answer(&Said { user: "2002", password: "-nobody-has-this-", ..SAID }));
    }

    #[test]
    fn the_tenth_guess_bans_and_then_even_the_right_password_waits() {
        let mut pair = Pair::new();
        for i in 1..10 {
            let nc = format!("{i:08x}");
            let verdict = pair.say(at(1), &Said { password: "wrong", nc: &nc, ..SAID });
            assert_eq!(refused(&verdict), (401, false));
        }
        let until = at(601);
        let tenth = pair.say(at(1), &Said { user: "2002", ..SAID });
        assert_eq!(tenth, Verdict::Banned { until, newly: true });
        assert_eq!(pair.say(at(2), &SAID), Verdict::Banned { until, newly: false });
        pair.fresh_nonce(at(601));
        assert!(is_ok(&pair.say(at(601), &SAID)));
    }

    #[test]
    fn a_restored_authenticator_still_refuses_replays() {
        let mut pair = Pair::new();
        assert!(is_ok(&pair.say(at(1), &SAID)));
        let saved = serde_json::to_string(&(&pair.server, &pair.guard)).unwrap();
        let restored: (Authenticator, Guard) = serde_json::from_str(&saved).unwrap();
        assert_eq!((&restored.0, &restored.1), (&pair.server, &pair.guard));
        (pair.server, pair.guard) = restored;
        assert_eq!(refused(&pair.say(at(1), &SAID)), (401, true));
        assert!(is_ok(&pair.say(at(1), &Said { nc: "00000002", ..SAID })));
    }
}
