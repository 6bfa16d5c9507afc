//! What is accepted, refused, and kept.

use super::*;
use crate::auth::GuardConfig;
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
        let response = pair.server.challenge(at(0), &request(Method::Invite), HERE, kind, false);
        assert_eq!(response.status.0, status);
        let offers: Vec<_> = response
            .headers
            .get_all(name)
            .map(|challenge| {
                let params = AuthParams::parse(challenge).unwrap();
                assert_eq!(params.raw("stale"), None);
                assert_eq!(params.raw("realm"), Some(REALM));
                (params.raw("algorithm").unwrap().to_owned(), params.raw("qop").unwrap().to_owned())
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
fn a_digest_uri_may_name_us_by_any_name() {
    let said = Said { uri: "sip:203.0.113.1:5060", ..SAID };
    let mut pair = Pair::new();
    assert_eq!(refused(&pair.say(at(1), &said)), (400, false));
    pair.server = pair.server.with_hosts(vec!["203.0.113.1".parse().unwrap()]);
    assert!(is_ok(&pair.say(at(1), &said)));
    let foreign = Said { uri: "sip:203.0.113.2", nc: "00000002", ..SAID };
    assert_eq!(refused(&pair.say(at(1), &foreign)), (400, false));
}

#[test]
fn only_algorithms_that_were_offered_are_accepted() {
    for (offered, md5, sha256) in [
        (&[][..], true, true),
        (&[Algorithm::Md5], true, false),
        (&[Algorithm::Sha256], false, true),
        (&[Algorithm::Md5, Algorithm::Sha256], true, true),
    ] {
        let mut pair = Pair::new();
        pair.server = pair.server.with_algorithms(offered);
        let verdict = pair.say(at(1), &Said { algorithm: Some("MD5"), ..SAID });
        assert_eq!(is_ok(&verdict), md5, "{offered:?}");
        let verdict = pair.say(at(1), &Said { nc: "00000002", ..SAID });
        assert_eq!(is_ok(&verdict), sha256, "{offered:?}");
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
    for nonce in ["", "0", "zz", &"A".repeat(28), &"0".repeat(64), &"é".repeat(14)] {
        pair.nonce = nonce.into();
        let expected = if nonce.is_empty() { (400, false) } else { (401, true) };
        assert_eq!(refused(&pair.say(at(1), &SAID)), expected, "{nonce}");
    }
}

#[test]
fn the_shortest_challenge_is_one_that_every_client_can_answer() {
    for (algorithms, left) in [
        (&[Algorithm::Sha256, Algorithm::Md5][..], None),
        (&[Algorithm::Md5, Algorithm::Sha256], None),
        (&[Algorithm::Md5], None),
        (&[Algorithm::Sha256], Some("SHA-256")),
    ] {
        let mut pair = Pair::new();
        pair.server = pair.server.with_algorithms(algorithms);
        let (asked, kind) = (request(Method::Register), ChallengeKind::User);
        let mut response = pair.server.challenge(at(1), &asked, HERE, kind, false);
        pair.server.shorten_challenge(&mut response);
        let challenges: Vec<_> = response.headers.get_all(Name::WwwAuthenticate).collect();
        assert_eq!(challenges.len(), 1, "{algorithms:?}");
        let challenge = AuthParams::parse(challenges[0]).unwrap();
        assert_eq!(challenge.raw("algorithm"), left, "{algorithms:?}");
        assert_eq!(challenge.raw("qop"), Some("auth"));
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
        let status = if i < 3 { 401 } else { 403 };
        assert_eq!(refused(&verdict), (status, false), "so that a phone does not go on by itself");
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
