//! Trunks that are more than an address: one that we register at, one that proves itself by digest,
//! one that is another server and shows a certificate.

use std::path::Path;
use std::time::Duration;

use interop::client::{Client, Message};
use interop::digest::{Credentials, Hash};
use interop::{GATEWAY, Scene, Server, Setup, Sipp, certificates};

const ENTRY: &str = "+4930100"; // leads to 1001

/// The carrier challenges, grants ten seconds, calls it a stale nonce at the refresh, and calls us.
#[test]
fn we_register_at_a_trunk_refresh_and_take_its_calls() {
    let mut scene = Scene::with(&Setup { registers: true, ..Setup::default() });
    let registrar = scene.server.registrar();
    let carrier = Sipp::at(&mut scene.server, "carrier-is-registered-at", registrar)
        .with(&["-recv_timeout", "12000"])
        .within(Duration::from_secs(30))
        .calling(ENTRY)
        .start();
    let scene = scene.agent("1001", "agent-answers");
    carrier.finish();
    let record = scene.record();
    assert_eq!((record.status(), record.ended_by()), (200, "caller"), "{record:?}");
    assert_eq!(record.legs(), [("registrar", 200), ("1001", 200)]);
    assert_eq!((record.text("from"), record.text("to")), ("+4915112345", ENTRY));
}

/// An address that nobody knows.
const NOWHERE: [u8; 4] = [127, 0, 0, 21];

#[test]
fn a_trunk_that_proves_itself_by_digest_reaches_the_entry_point() {
    let mut scene = Scene::with(&Setup::default().with_gateway()).agent("1001", "agent-answers");
    let (name, password) = GATEWAY;
    let gateway = Sipp::new(&mut scene.server, "customer-proves-itself", NOWHERE);
    gateway.as_user_with(name, password).calling(ENTRY).start().finish();
    let record = scene.record();
    assert_eq!((record.status(), record.ended_by()), (200, "caller"), "{record:?}");
    assert_eq!(record.legs(), [("gateway", 200), ("1001", 200)]);
    assert_eq!((record.text("from"), record.text("to")), ("+4915112345", ENTRY));
}

/// A request from nowhere for `user`, with the digest of this name and password: its answer.
fn proved(
    (client, server): (&Client, &Server),
    method: &str,
    user: &str,
    (name, password): (&str, &str),
) -> Message {
    client.renew();
    let body = if method == "INVITE" { client.sdp() } else { String::new() };
    let text = |lines: &[&str]| client.request_with(method, user, name, lines, &body);
    let ask = |text: String| {
        client.send(&text);
        let cseq = Message::of(&text).seq();
        // What was refused and has had no ACK may come again.
        loop {
            let answer = client.receive_own_final();
            if answer.seq() == cseq {
                return answer;
            }
        }
    };
    let challenged = ask(text(&[]));
    assert_eq!(challenged.status(), 401, "{challenged}");
    let challenge = challenged.challenge(Hash::Md5).expect("a challenge");
    let uri = format!("sip:{}", server.sip());
    let answer = Credentials::answer(challenge, method, &uri, name, password);
    ask(text(&[&format!("Authorization: {}", answer.header())]))
}

/// Its password makes a trunk, not an extension: entry points and nothing else, and no registration.
#[test]
fn a_trunk_by_digest_is_no_extension_and_nothing_without_its_password() {
    let server = Server::start(&Setup::default().with_gateway());
    let client = Client::at(NOWHERE, server.sip());
    let (name, password) = GATEWAY;
    for (method, user, secret, status) in [
        ("INVITE", ENTRY, password, 480), // nobody is registered, but it may be called
        ("INVITE", "1001", password, 404),
        ("INVITE", "030123456", password, 404),
        ("REGISTER", "", password, 403),
        ("MESSAGE", "1001", password, 405),
        ("SUBSCRIBE", "1001", password, 489),
        ("INVITE", ENTRY, "secret-of-somebody", 401),
        ("REGISTER", "", "secret-of-somebody", 401),
    ] {
        let answer = proved((&client, &server), method, user, (name, secret));
        assert_eq!(answer.status(), status, "{method} {user}: {answer}");
    }
    // Nor is an extension the trunk: to it, what leads out is not allowed by the way in.
    let own = ("1004", interop::password("1004"));
    assert_eq!(proved((&client, &server), "INVITE", "030123456", own).status(), 403);
    // It called, and was told that nobody is there; what it may not call was no call.
    let records = server.stop().records;
    let calls: Vec<_> = records.iter().map(|record| (record.text("to"), record.status())).collect();
    assert_eq!(calls, [(ENTRY, 480)]);
}

/// A server known as `name` by the authority in `of`; `more` is in its configuration.
fn named(name: &str, of: &Path, routes: &'static str, more: String) -> Server {
    let setup = Setup { tls: true, routes, more, ..Setup::default() };
    Server::start_with(&setup, |dir| certificates::make_named(dir, of, name))
}

/// The far server knows its peer by name only.
fn far(of: &Path, peer: &str) -> Server {
    let more = format!(
        "[[trunk]]\nname = \"peer\"\ntls_name = \"{peer}\"\noptions_interval_s = 0\n\
             [[entry_point]]\nnumber = \"+4930300\"\nextension = \"1002\"\n"
    );
    named("far.test", of, r#""world""#, more)
}

/// The near server dials the far one for whatever begins with an 8.
fn near(of: &Path, far: &Server, far_name: &str) -> Server {
    let more = format!(
        "[[trunk]]\nname = \"peer\"\ntargets = [\"sip:{};transport=tls\"]\n\
         tls_name = \"{far_name}\"\noptions_interval_s = 0\n\
         [[route]]\nname = \"peer\"\nprefixes = [\"8\"]\nstrip = 1\ntrunks = [\"peer\"]\n",
        far.tls()
    );
    named("near.test", of, r#""world", "peer""#, more)
}

fn authority() -> std::path::PathBuf {
    let dir = std::env::temp_dir().join(format!("hookflash-authority-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a directory of our own");
    certificates::make_authority(&dir);
    dir
}

/// Mutual TLS: each proves its name to the other, and either may hang up.
#[test]
fn two_servers_are_each_other_s_trunk_by_certificate() {
    let authority = authority();
    let far = far(&authority, "near.test");
    let near = near(&authority, &far, "far.test");
    let far = Scene::at(far).agent("1001", "agent-answers").agent("1002", "agent-hangs-up");
    let near = Scene::at(near).phone("phone-calls", "1001", &format!("8{ENTRY}")).phone(
        "phone-is-hung-up",
        "1002",
        "8+4930300",
    );
    let near = near.end().records;
    let far = far.end().records;
    for (records, legs) in [(&near, ["1001", "peer"]), (&far, ["peer", "1001"])] {
        let record = records.iter().find(|record| record.text("to").ends_with(ENTRY)).unwrap();
        assert_eq!((record.status(), record.ended_by()), (200, "caller"), "{record:?}");
        assert_eq!(record.legs(), [(legs[0], 200), (legs[1], 200)]);
    }
    for records in [&near, &far] {
        let record = records.iter().find(|record| record.text("to").ends_with("+4930300")).unwrap();
        assert_eq!((record.status(), record.ended_by()), (200, "callee"), "{record:?}");
    }
    std::fs::remove_dir_all(authority).unwrap();
}

/// Whose certificate has another name gets no call, and whoever shows another name makes none.
#[test]
fn a_server_with_another_name_is_not_the_trunk() {
    let authority = authority();
    for (far_is, near_is, status, by) in [
        ("elsewhere.test", "near.test", 503, "system"), // nothing is sent to it
        ("far.test", "elsewhere.test", 401, "callee"),  // it wants a proof that we don't have
    ] {
        let far = far(&authority, near_is);
        let near = near(&authority, &far, far_is);
        let near = Scene::at(near).phone("phone-gets-503", "1001", &format!("8{ENTRY}"));
        let record = near.record();
        assert_eq!((record.status(), record.ended_by()), (503, by), "{record:?}");
        assert_eq!(record.legs(), [("1001", 503), ("peer", status)]);
        assert_eq!(far.stop().records, []);
    }
    std::fs::remove_dir_all(authority).unwrap();
}
