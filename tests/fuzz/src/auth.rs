//! Digest headers: read and printed; checked by the server side, answered by the client side.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use base::{Redacted, Rng, Time};
use sip::auth::digest::{Algorithm, Answer, QopAuth, ha1};
use sip::auth::params::{AUTH_PARAMS_MAX, AuthParams};
use sip::auth::{Authenticator, ClientAuth, Credentials, Guard, GuardConfig, Verdict};
use sip::message::{Method, Name, Request, StatusCode, Uri};

use crate::edit::edited;
use crate::reader::Reader;

const REALM: &str = "hookflash.test";
const PASSWORD: &str = "secret-1001";
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1));
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 66));

/// The first byte: text as a header, a good answer edited, or a challenge edited.
pub fn auth(bytes: &[u8]) {
    let mut reader = Reader::new(bytes);
    match reader.byte() % 4 {
        0 => header(&String::from_utf8_lossy(reader.all())),
        1 => challenge(&mut reader),
        _ => conversation(&mut reader),
    }
}

fn header(text: &str) {
    for params in AuthParams::parse_all(text).unwrap_or_default() {
        let printed = params.to_string();
        assert_eq!(AuthParams::parse(&printed).as_ref(), Ok(&params), "{printed}");
        let _ = (params.get("realm"), params.raw("nonce"), params.is_digest());
        assert!(printed.matches('=').count() >= usize::from(params.get("realm").is_some()));
        const { assert!(AUTH_PARAMS_MAX < 1000) };
    }
    let mut server = Server::new();
    let verdict = server.check(Time::ZERO, HERE, text);
    assert!(!matches!(verdict, Verdict::Ok { .. }), "{text:?} proves nothing");
}

/// Whatever a trunk asks, our answer holds no more than it asked for.
fn challenge(reader: &mut Reader<'_>) {
    let mut request = request();
    let mut client = ClientAuth::default();
    let mut rng = Rng::from_u64(1);
    let credentials = Credentials {
        username: "1001".into(),
        password: Redacted::new(PASSWORD.into()),
        realm: reader.one_in(2).then(|| REALM.into()),
    };
    for _ in 0..3 {
        let status = [401, 407, 200][reader.below(3)];
        let mut response = request.response(StatusCode(status));
        let good = format!("Digest realm=\"{REALM}\", nonce=\"n\", algorithm=MD5, qop=\"auth\"");
        for name in [Name::WwwAuthenticate, Name::ProxyAuthenticate] {
            let line = edited(good.as_bytes(), reader);
            response.headers.push(name, String::from_utf8_lossy(&line));
        }
        let _ = client.authorize(&mut request, &response, &credentials, &mut rng);
        let printed = request.to_bytes();
        assert!(!String::from_utf8_lossy(&printed).contains(PASSWORD));
        sip::message::parse_datagram(printed).expect("an authorised request can be read");
    }
    client.reauthorize(&mut request, &credentials);
}

/// Good answers, edited ones, replayed ones, from here and elsewhere.
fn conversation(reader: &mut Reader<'_>) {
    let mut server = Server::new();
    let mut now = Time::ZERO;
    let mut proved: Vec<String> = Vec::new();
    let (mut said, mut refused) = (0, 0);
    while !reader.is_empty() {
        now = now + Duration::from_millis(u64::from(reader.byte()) * 100);
        let nonce = server.nonce(now);
        let good = authorization(&nonce, "1001", PASSWORD);
        let (line, from) = match reader.below(5) {
            0 => (good.clone(), HERE),
            1 => (authorization(&nonce, "1001", "wrong"), HERE),
            2 => (good.clone(), ELSEWHERE),
            3 => match reader.recent(&proved) {
                Some(old) => (old.clone(), HERE),
                None => continue,
            },
            _ => {
                let line = edited(good.as_bytes(), reader);
                (String::from_utf8_lossy(&line).into_owned(), HERE)
            }
        };
        said += 1;
        match server.check(now, from, &line) {
            Verdict::Ok { user } => {
                assert_eq!(from, HERE, "a nonce is good at one address only");
                assert!(!proved.contains(&line), "a replay was believed: {line}");
                assert!(matches!(&*user, "1001" | "1002"), "{user}");
                proved.push(line);
            }
            Verdict::Refused(response) => {
                let status = response.status.code();
                refused += usize::from(status == 403);
                assert!(matches!(status, 400 | 401 | 403), "{line}: {status}");
            }
            Verdict::Banned { until, .. } => assert!(until > now),
        }
    }
    assert!(refused == 0 || refused + 2 <= said, "only who goes on is refused for good");
    assert!(server.authenticator.used_nonces() <= proved.len());
}

struct Server {
    authenticator: Authenticator,
    guard: Guard,
}

impl Server {
    fn new() -> Self {
        let mut rng = Rng::from_u64(7);
        let authenticator = Authenticator::new(REALM, Duration::from_secs(300), &mut rng);
        Self { authenticator, guard: Guard::new(GuardConfig::default()) }
    }

    fn check(&mut self, now: Time, from: IpAddr, line: &str) -> Verdict {
        let mut request = request();
        request.headers.push(Name::Authorization, line);
        let guard = &mut self.guard;
        self.authenticator.check(now, &request, from, guard, |user| {
            matches!(user, "1001" | "1002").then(|| Redacted::new(format!("secret-{user}")).into())
        })
    }

    fn nonce(&mut self, now: Time) -> String {
        let guard = &mut self.guard;
        let free = ELSEWHERE; // HERE may be banned
        let _ = self.authenticator.check(now, &request(), free, guard, |_| None);
        let kind = sip::auth::ChallengeKind::User;
        let response = self.authenticator.challenge(now, &request(), HERE, kind, false);
        let line = response.headers.get(Name::WwwAuthenticate).expect("a challenge");
        let params = AuthParams::parse(line).expect("a challenge of ours can be read");
        params.raw("nonce").expect("a nonce").to_owned()
    }
}

fn request() -> Request {
    let uri: Uri = "sip:hookflash.test".parse().expect("a URI");
    let mut request = Request::new(Method::Register, uri);
    for (name, value) in [
        (Name::Via, "SIP/2.0/UDP 127.0.0.1:7001;branch=z9hG4bK1"),
        (Name::From, "<sip:1001@hookflash.test>;tag=1"),
        (Name::To, "<sip:1001@hookflash.test>"),
        (Name::CallId, "c"),
        (Name::CSeq, "1 REGISTER"),
    ] {
        request.headers.push(name, value);
    }
    request
}

fn authorization(nonce: &str, user: &str, password: &str) -> String {
    answer(Method::Register.as_str(), "sip:hookflash.test", nonce, user, password, 1)
}

/// The credentials of `user` for a request, by SHA-256.
pub(crate) fn answer(
    method: &str,
    uri: &str,
    nonce: &str,
    user: &str,
    password: &str,
    count: u32,
) -> String {
    let secret = ha1(Algorithm::Sha256, user, REALM, password);
    let nc = format!("{count:08x}");
    let qop = Some(QopAuth { nc: &nc, cnonce: "abc" });
    let answer = Answer { algorithm: Algorithm::Sha256, method, uri, nonce, qop };
    let response = answer.response(secret.as_str());
    format!(
        "Digest username=\"{user}\", realm=\"{REALM}\", nonce=\"{nonce}\", uri=\"{uri}\", \
         response=\"{}\", algorithm=SHA-256, qop=auth, nc={nc}, cnonce=\"abc\"",
        response.as_str()
    )
}
