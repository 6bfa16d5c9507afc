//! Rows 8 to 12 and 17: who is let in, as whom, and how much.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use interop::client::{Client, Message};
use interop::digest::{Credentials, Hash};
use interop::{PHONE, Server, Setup, password};

use crate::{SILENCE, STRANGER, authorized, credentials, decline, server};

/// Row 8: whatever the message says of itself, only the source makes a trunk.
#[test]
fn a_stranger_is_challenged_whatever_it_claims_to_be() {
    let server = server();
    let client = Client::at(STRANGER, server.sip());
    let methods =
        ["INVITE", "REGISTER", "MESSAGE", "SUBSCRIBE", "REFER", "PUBLISH", "NOTIFY", "INFO", "X"];
    for method in methods {
        client.renew();
        let answer = client.ask(&client.request_with(method, "+4930100", "1001", &[], ""));
        assert_eq!(answer.status(), 401, "{answer}");
        client.send(&client.request("OPTIONS", "x")); // past what the 401 to INVITE still brings
        while client.receive().method() != "OPTIONS" {}
    }
    // Outside a dialog these find nothing, and say so to everybody.
    for method in ["BYE", "UPDATE", "PRACK", "CANCEL"] {
        client.renew();
        let answer = client.ask(&client.request(method, "+4930100"));
        assert_eq!(answer.status(), 481, "{answer}");
    }
    for lie in [
        "P-Asserted-Identity: <sip:+4915@127.0.0.2>",
        "Route: <sip:127.0.0.3;lr>",
        "Via: SIP/2.0/UDP 127.0.0.2:5060;branch=z9hG4bKlie;received=127.0.0.2",
        "Diversion: <sip:+4930100@127.0.0.2>",
    ] {
        client.renew();
        let text = client.request_with("INVITE", "+4930100", "+4915", &[lie], &client.sdp());
        let answer = client.ask(&text.replace("@hookflash.test>;tag", "@127.0.0.2>;tag"));
        assert_eq!(answer.status(), 401, "{lie}: {answer}");
    }
    let maddr = client.request_with("INVITE", "030123", "1001", &[], &client.sdp());
    client.renew();
    let answer = client.ask(&maddr.replacen(" SIP/2.0", ";maddr=127.0.0.3 SIP/2.0", 1));
    assert_eq!(answer.status(), 401, "{answer}");
    let ended = server.stop();
    assert_eq!(ended.records, [], "{}", ended.log);
}

/// Row 8: a trunk known by its certificate is known by nothing else.
#[test]
fn a_trunk_by_certificate_is_let_in_with_it_only() {
    let setup = Setup { tls: true, ..Setup::default() };
    let server = Server::start_with(&setup, interop::certificates::make);
    let client = Client::at(STRANGER, server.sip()); // writes the request only
    let invite = || {
        client.renew();
        let text = client.request_with("INVITE", "+4930100", "+4915", &[], &client.sdp());
        text.replace("SIP/2.0/UDP", "SIP/2.0/TLS")
    };
    let certificate = ["-cert", "trunk.pem", "-key", "trunk.key"];
    let with = interop::certificates::ask(&server, &certificate, &invite());
    assert!(with.contains("SIP/2.0 480"), "1001 is not there, but may be called:\n{with}");
    let without = interop::certificates::ask(&server, &[], &invite());
    assert!(without.contains("SIP/2.0 401"), "{without}");
    server.stop();
}

/// Row 9.
#[test]
fn a_digest_is_good_once_and_only_as_challenged() {
    let server = server();
    let client = Client::at(PHONE, server.sip());
    let good = credentials(&client, &server, "REGISTER", "1001");
    let register = |c: &Credentials| {
        let to = "To: <sip:1001@hookflash.test>";
        let header = format!("Authorization: {}", c.header());
        client
            .request_with("REGISTER", "", "1001", &[&header], "")
            .replace("To: <sip:hookflash.test>", to)
    };
    assert_eq!(client.ask(&register(&good)).status(), 200);
    // The same nonce and count once more, from here and from elsewhere.
    let replayed = client.ask(&register(&good));
    assert_eq!(replayed.status(), 401, "{replayed}");
    assert!(replayed.challenge(Hash::Md5).is_some_and(|c| c.contains("stale=true")), "{replayed}");
    let elsewhere = Client::at(STRANGER, server.sip());
    assert_eq!(elsewhere.ask(&register(&good)).status(), 401);
    assert_eq!(client.ask(&register(&Credentials { count: 2, ..good.clone() })).status(), 200);

    let fresh = || credentials(&client, &server, "REGISTER", "1001");
    let spoiled = [
        Credentials { realm: "elsewhere".into(), ..fresh() },
        Credentials { uri: "sip:evil.example".into(), ..fresh() },
        Credentials { method: "INVITE".into(), ..fresh() },
        Credentials { nonce: "0".repeat(64), ..fresh() },
        Credentials { nonce: String::new(), ..fresh() },
        Credentials { hash: Hash::Sha256, realm: String::new(), ..fresh() },
    ];
    for wrong in spoiled {
        let answer = client.ask(&register(&wrong));
        assert!([400, 401].contains(&answer.status()), "{wrong:?}: {answer}");
    }
    // RFC 2069: no qop, no count.
    let old = fresh();
    let one = Hash::Md5.hex(&format!("1001:{}:{}", old.realm, password("1001")));
    let two = Hash::Md5.hex(&format!("REGISTER:{}", old.uri));
    let response = Hash::Md5.hex(&format!("{one}:{}:{two}", old.nonce));
    let header = format!(
        "Authorization: Digest username=\"1001\", realm=\"{}\", nonce=\"{}\", uri=\"{}\", \
         response=\"{response}\"",
        old.realm, old.nonce, old.uri
    );
    let answer = client.ask(&client.request_with("REGISTER", "", "1001", &[&header], ""));
    assert!([400, 401].contains(&answer.status()), "{answer}");
    server.stop();
}

/// Asks, and returns the answer to this very request: refusals of an INVITE may come again.
fn asked(client: &Client, text: &str) -> Message {
    client.send(text);
    let (cseq, call) = (Message::of(text).seq(), client.call_id());
    loop {
        let answer = client.receive_final();
        if answer.seq() == cseq && answer.header("Call-ID") == Some(&call) {
            return answer;
        }
    }
}

/// What an onlooker may compare: status, reason and headers, the values of those that say something.
fn shape(answer: &Message) -> Vec<String> {
    let mut shape = vec![answer.start().to_owned()];
    shape.extend(answer.names().into_iter().map(str::to_owned));
    let told = ["Allow", "Supported", "Accept", "Allow-Events", "Server", "Contact", "Reason"];
    shape.extend(told.iter().flat_map(|name| answer.headers(name)).map(str::to_owned));
    for challenge in answer.headers("WWW-Authenticate") {
        let stable = ["realm", "algorithm", "qop", "stale", "opaque"];
        let values = stable.map(|name| interop::digest::parameter(challenge, name));
        shape.push(format!("{values:?}"));
    }
    shape
}

/// Row 10: nobody learns who exists, neither by what is said nor by how long it takes, whatever is
/// asked with a wrong password.
#[test]
fn an_unknown_user_and_a_wrong_password_are_told_apart_by_nobody() {
    let (security, net) = ("guesses_max = 1000", "messages_per_second_max = 10000");
    let server = Server::start(&Setup { security, net, ..Setup::default() });
    let client = Client::at(STRANGER, server.sip());
    for method in ["REGISTER", "INVITE", "SUBSCRIBE", "MESSAGE"] {
        let mut times = [Vec::new(), Vec::new()];
        let mut seen: Vec<Vec<String>> = Vec::new();
        // As many rounds as it takes to be past what slows an account, too. From the third wrong password on
        // an address is answered 403, whoever it says it is.
        for round in 0..42 {
            for (which, user) in ["1002", "7777"].into_iter().enumerate() {
                client.renew();
                let to = if method == "REGISTER" { "" } else { user };
                let text = |lines: &[&str]| client.request_with(method, to, user, lines, "");
                let challenged = asked(&client, &text(&[]));
                let challenge = challenged.challenge(Hash::Md5).expect("a challenge");
                let uri = format!("sip:{}", server.sip());
                let wrong = Credentials::answer(challenge, method, &uri, user, "a wrong one");
                let text = text(&[&format!("Authorization: {}", wrong.header())]);
                let began = Instant::now();
                let answer = asked(&client, &text);
                times[which].push(began.elapsed());
                let shapes = [shape(&challenged), shape(&answer)].concat();
                if round >= 2 && !seen.contains(&shapes) {
                    seen.push(shapes);
                }
            }
        }
        assert_eq!(seen.len(), 1, "{method}: {seen:?}");
        for status in ["SIP/2.0 401 Unauthorized", "SIP/2.0 403 Forbidden"] {
            assert!(seen[0].iter().any(|line| line == status), "{seen:?}");
        }
        // The quickest of forty: what others do on the machine only ever makes it slower.
        let [one, two] = times.map(|times| times.into_iter().min().expect("forty"));
        assert!(one.abs_diff(two) <= Duration::from_millis(2), "{method}: {one:?} {two:?}");
    }
    // What needs no password tells nothing either, of an entry point and of somebody registered.
    let mut phone = Client::at(PHONE, server.sip());
    assert_eq!(phone.register("1003", 60).status(), 200);
    for method in ["OPTIONS", "INVITE", "SUBSCRIBE", "MESSAGE", "BYE", "CANCEL", "UPDATE"] {
        let told = ["1002", "1003", "+4930100", "7777"].map(|user| {
            client.renew();
            shape(&asked(&client, &client.request(method, user)))
        });
        assert!(told.iter().all(|one| *one == told[0]), "{method}: {told:?}");
    }
    server.stop();
}

/// Row 11.
#[test]
fn guessing_passwords_is_stopped_for_the_guesser_alone() {
    let server = server();
    let guesser = Client::at(STRANGER, server.sip());
    let mut refused = 0;
    for _ in 0..14 {
        guesser.renew();
        guesser.send(&guesser.request("REGISTER", ""));
        let Some(challenged) = guesser.receive_within(SILENCE) else { break };
        let Some(challenge) = challenged.challenge(Hash::Md5) else { break };
        let uri = format!("sip:{}", server.sip());
        let wrong = Credentials::answer(challenge, "REGISTER", &uri, "1001", "a guess");
        let header = format!("Authorization: {}", wrong.header());
        guesser.send(&guesser.request_with("REGISTER", "", "1001", &[&header], ""));
        if guesser.receive_within(SILENCE).is_none() {
            break;
        }
        refused += 1;
    }
    assert!(refused <= 10, "{refused} guesses were weighed");
    guesser.send(&guesser.request("OPTIONS", "x"));
    assert!(guesser.receive_within(SILENCE).is_none(), "a banned source hears nothing");
    // The real user, elsewhere, notices nothing.
    assert_eq!(Client::at(PHONE, server.sip()).register("1001", 60).status(), 200);
    let ended = server.stop();
    assert!(ended.log.contains("127.0.0.66"), "the ban is told:\n{}", ended.log);
}

/// Row 11: many addresses guess at one account, each once; whoever knows the password gets in.
#[test]
fn distributed_guessing_crawls_and_locks_nobody_out() {
    let server = server();
    let mut desk = Client::at(PHONE, server.sip());
    assert_eq!(desk.register("1001", 60).status(), 200);
    let guess = |last: u8| {
        let client = Client::at(Ipv4Addr::new(127, 0, 1, last), server.sip());
        let challenged = client.ask(&client.request("REGISTER", ""));
        let challenge = challenged.challenge(Hash::Md5).expect("a challenge");
        let uri = format!("sip:{}", server.sip());
        let wrong = Credentials::answer(challenge, "REGISTER", &uri, "1001", "a guess");
        authorized(&client, "REGISTER", "", "1001", &wrong, "").status()
    };
    for last in 1..20 {
        assert_eq!(guess(last), 401);
    }
    // With the twentieth the account is slowed: for 5 s even the right password from a new address
    // is refused. Whoever is slower than that has shown nothing, and tries again: after a pause the
    // next guess is weighed too.
    let mut elsewhere = Client::at(Ipv4Addr::new(127, 0, 2, 1), server.sip());
    let shown = (20..25).any(|last| {
        elsewhere = Client::at(Ipv4Addr::new(127, 0, 2, last), server.sip());
        let began = Instant::now();
        assert_eq!(guess(last), 401);
        let first = elsewhere.register("1001", 60).status();
        let in_time = began.elapsed() < Duration::from_secs(5);
        assert!(first == 401 || !in_time, "20 guesses are enough to slow it: {first}");
        if !in_time {
            std::thread::sleep(Duration::from_secs(5));
        }
        in_time
    });
    assert!(shown, "five times 5 s were too short for two requests");
    // At the desk nothing is noticed.
    assert_eq!(desk.register("1001", 60).status(), 200);
    let admitted = interop::eventually(Duration::from_secs(15), || {
        std::thread::sleep(Duration::from_millis(200));
        (elsewhere.register("1001", 60).status() == 200).then_some(())
    });
    assert!(admitted.is_some(), "a new address waits for 5 s, not for ever");
    server.stop();
}

/// Row 11: a ban ends by itself.
#[test]
fn a_ban_expires() {
    let security = "guesses_max = 3\nban_s = 2";
    let server = Server::start(&Setup { security, ..Setup::default() });
    let mut guesser = Client::at(STRANGER, server.sip());
    for _ in 0..3 {
        let mut wrong = credentials(&guesser, &server, "REGISTER", "1002");
        wrong.password = "a guess".into();
        let header = format!("Authorization: {}", wrong.header());
        guesser.send(&guesser.request_with("REGISTER", "", "1002", &[&header], ""));
        guesser.receive_within(SILENCE);
        guesser.renew();
    }
    guesser.send(&guesser.request("OPTIONS", "x"));
    assert!(guesser.receive_within(SILENCE).is_none(), "a banned source hears nothing");
    let back = interop::eventually(Duration::from_secs(10), || {
        guesser.send(&guesser.request("OPTIONS", "x"));
        guesser.receive_within(SILENCE)
    });
    assert_eq!(back.map(|answer| answer.status()), Some(200));
    assert_eq!(guesser.register("1002", 60).status(), 200);
    server.stop();
}

/// Row 12.
#[test]
fn one_extension_cannot_be_another() {
    let server = server();
    let client = Client::at(PHONE, server.sip());
    // A's digest, B's address-of-record.
    let own = credentials(&client, &server, "REGISTER", "1001");
    let header = format!("Authorization: {}", own.header());
    let text = client.request_with("REGISTER", "", "1001", &[&header], "");
    let answer =
        client.ask(&text.replace("To: <sip:hookflash.test>", "To: <sip:1002@hookflash.test>"));
    assert_eq!(answer.status(), 403, "{answer}");
    // A's digest, B's name in From: refused, or the callee sees A.
    let mut callee = Client::at(Ipv4Addr::new(127, 0, 0, 12), server.sip());
    assert_eq!(callee.register("1003", 60).status(), 200);
    client.renew();
    let own = credentials(&client, &server, "INVITE", "1001");
    let header = format!("Authorization: {}", own.header());
    let lie = "P-Asserted-Identity: <sip:1002@hookflash.test>";
    client.renew();
    client.send(&client.request_with("INVITE", "1003", "1002", &[&header, lie], &client.sdp()));
    let invite = loop {
        match callee.receive_within(SILENCE) {
            Some(message) if message.start().starts_with("INVITE") => break Some(message),
            Some(_) => {}
            None => break None,
        }
    };
    match invite {
        Some(invite) => {
            assert!(invite.header("From").unwrap().contains("sip:1001@"), "{invite}");
            assert!(!invite.text().contains("1002"), "{invite}");
            callee.send(&callee.reply(&invite, "486 Busy Here", &[], ""));
        }
        None => assert_eq!(client.receive_final().status(), 403),
    }
    server.stop();
}

/// Row 17.
#[test]
fn an_extension_has_its_limits() {
    let server = Server::start(&Setup { extension: "calls_max = 1", ..Setup::default() });
    let carrier = Client::udp(server.carrier(), server.sip());
    let phone = Client::at(PHONE, server.sip());
    let call = |number: &str| {
        phone.renew();
        let own = credentials(&phone, &server, "INVITE", "1001");
        let header = format!("Authorization: {}", own.header());
        phone.renew();
        phone.send(&phone.request_with("INVITE", number, "1001", &[&header], &phone.sdp()));
    };
    call("030123456");
    while phone.receive().status() != 100 {}
    let first = phone.call_id();
    call("030123457");
    let refused = loop {
        let message = phone.receive_final();
        if message.header("Call-ID") != Some(&first) && message.status() != 401 {
            break message;
        }
    };
    assert_eq!(refused.status(), 503, "{refused}");
    assert!(refused.header("Retry-After").is_some(), "{refused}");
    decline(&carrier);
    let ended = server.stop();
    assert!(ended.log.contains("calls_max"), "the limit is told:\n{}", ended.log);
}
