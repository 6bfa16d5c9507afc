//! What an attacker on the network tries, against the running server: one test for each row of the
//! list of attacks that concerns SIP, registrar and trunks.

use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use interop::client::{Client, Dialog, Message};
use interop::digest::{Credentials, Hash};
use interop::{CUSTOMER, PHONE, Server, Setup, Talk, password};

const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 66);
/// Long enough for an answer that must not come.
const SILENCE: Duration = Duration::from_millis(300);

fn server() -> Server {
    Server::start(&Setup::default())
}

/// A request of `extension` for `user`, with a digest for the challenge in `challenged`.
fn authorized(
    client: &Client,
    method: &str,
    user: &str,
    extension: &str,
    credentials: &Credentials,
    body: &str,
) -> Message {
    let header = format!("Authorization: {}", credentials.header());
    client.ask(&client.request_with(method, user, extension, &[&header], body))
}

fn credentials(client: &Client, server: &Server, method: &str, user: &str) -> Credentials {
    let challenged = client.ask(&client.request(method, ""));
    assert_eq!(challenged.status(), 401, "{challenged}");
    let challenge = challenged.challenge(Hash::Md5).expect("a challenge");
    let uri = format!("sip:{}", server.sip());
    let secret = if user == "1001" { password("1001") } else { "a wrong one" };
    Credentials::answer(challenge, method, &uri, user, secret)
}

#[track_caller]
fn is_well(server: &Server) {
    let client = Client::at(CUSTOMER, server.sip());
    let asked = Instant::now();
    assert_eq!(client.ask(&client.request("OPTIONS", "ping")).status(), 200);
    assert!(asked.elapsed() < Duration::from_millis(500), "{:?}", asked.elapsed());
}

/// Declines what has been called in the meantime, so that the server need not wait for an answer.
fn decline(client: &Client) {
    while let Some(message) = client.receive_within(Duration::from_millis(100)) {
        if message.start().starts_with("INVITE") {
            client.send(&client.reply(&message, "603 Decline", &[], ""));
        }
    }
}

/// Row 1, a sample: the rest of RFC 4475 is a table of the `sip` crate.
#[test]
fn odd_but_valid_is_served_and_invalid_is_400_or_silence() {
    let server = server();
    let client = Client::at(CUSTOMER, server.sip());
    let options = client.request("OPTIONS", "x");
    let odd = options
        .replace("To:", "TO :")
        .replace("Max-Forwards: 70", "Max-Forwards: 0068")
        .replace("CSeq: ", "CSeq:\r\n  0009")
        .replace("Content-Length: 0", "NewFangledHeader: new\r\n continued\r\nl:0");
    assert_eq!(client.ask(&odd).status(), 200);
    for (from, to) in [
        ("SIP/2.0\r\n", "SIP/7.0\r\n"),
        ("From: ", "From: <"),
        ("OPTIONS sip:", "OPTIONS  <sip:"),
        (" OPTIONS\r\n", " INVITE\r\n"),
        ("CSeq: ", "CSeq: 36893488147419103232"),
        ("Call-ID: ", "Call-Me: "),
    ] {
        client.renew();
        client.send(&client.request("OPTIONS", "x").replace(from, to));
        let status = client.receive_within(SILENCE).map_or(0, |answer| answer.status());
        assert!([0, 400, 505].contains(&status), "{to}: {status}");
    }
    // A response that nobody asked for is answered by nobody.
    client.send("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 255.255.255.255;branch=z9hG4bKx\r\n\r\n");
    assert!(client.receive_within(SILENCE).is_none());
    is_well(&server);
    server.stop();
}

/// Row 2: a reply is never much larger than the request, and the next one is served at once.
#[test]
fn hostile_headers_are_refused_shortly() {
    let server = server();
    let client = Client::at(STRANGER, server.sip());
    let with = |line: &str| client.request_with("OPTIONS", "x", "x", &[line], "");
    let many = |line: &str, count: usize| with(&vec![line; count].join("\r\n"));
    let mut hostile = vec![
        many("Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKx", 1100),
        many("Contact: <sip:x@10.0.0.1>", 2500),
        many("Route: <sip:10.0.0.1;lr>", 1500),
        many("X-A: b", 4000),
        with(&format!("Subject: {}", "a".repeat(60_000))),
        with(&format!("Subject: {}", "\"".repeat(5000))),
        with(&format!("Accept: {}", ",".repeat(5000))),
        with(&format!("X-Fold: a{}", "\r\n b".repeat(5000))),
        with("Expires: 99999999999999999999"),
        with("X-Nul: a\0b"),
        with("X-Bare: a\rb\nc"),
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
        "\u{16}\u{3}\u{1}\u{0}\u{5}hello".to_owned(),
    ];
    let whole = client.request("REGISTER", "");
    hostile.extend((0..whole.len()).step_by(29).map(|end| whole[..end].to_owned()));
    for text in hostile {
        if text.len() > 65_000 {
            continue; // no datagram
        }
        client.send(&text);
        if let Some(answer) = client.receive_within(Duration::from_millis(30)) {
            let (sent, back) = (text.len(), answer.text().len());
            assert!(back <= 2 * sent.max(300), "{sent} bytes brought {back}:\n{answer}");
            assert!(answer.status() < 500, "{answer}");
        }
    }
    is_well(&server);
    server.stop();
}

/// Row 5.
#[test]
fn a_stream_is_read_byte_by_byte_and_many_messages_at_once() {
    let server = server();
    let client = Client::tcp(server.sip());
    for byte in client.request("OPTIONS", "slow").bytes() {
        client.send_bytes(&[byte]);
    }
    assert_eq!(client.receive().status(), 200);
    let pipelined: String = (0..50).map(|_| client.request("OPTIONS", "x")).collect();
    client.send(&pipelined);
    assert!((0..50).all(|_| client.receive().status() == 200));
    server.stop();
}

/// Row 5: where one reader sees the end of a message, no other may see another.
#[test]
fn a_message_with_two_lengths_closes_the_connection_and_hides_no_request() {
    let server = server();
    let hidden = |client: &Client| client.request("OPTIONS", "smuggled");
    for lengths in [
        "Content-Length: 0\r\nContent-Length: 400",
        "Content-Length: 0\r\nl: 400",
        "l: -1",
        "l: 9999999999",
    ] {
        let client = Client::tcp(server.sip());
        let text = client.request("OPTIONS", "x").replace("Content-Length: 0", lengths);
        client.send(&(text + &hidden(&client)));
        let mut answers = Vec::new();
        while let Some(answer) = client.receive_within(SILENCE) {
            answers.push(answer.status());
        }
        assert!(answers.len() <= 1, "{lengths}: {answers:?}");
        assert!(answers.iter().all(|status| [400, 413].contains(status)), "{lengths}: {answers:?}");
        assert!(client.is_closed_within(Duration::from_secs(2)), "{lengths}");
    }
    is_well(&server);
    server.stop();
}

/// Row 6, what fits into seconds: silent connections fill one address's share and no more.
#[test]
fn silent_connections_of_one_address_do_not_keep_others_out() {
    let server = server();
    let descriptors = || std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count();
    let before = descriptors();
    let silent: Vec<_> = (0..100).filter_map(|_| TcpStream::connect(server.sip()).ok()).collect();
    for mut stream in &silent {
        use std::io::Write;
        let _ = stream.write_all(b"OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/TCP");
    }
    std::thread::sleep(SILENCE);
    assert!(descriptors() <= before + 40, "{before} to {}", descriptors());
    is_well(&server);
    let registered = Client::at(PHONE, server.sip()).register("1001", 60).status();
    assert_eq!(registered, 200);
    drop(silent);
    let back =
        interop::eventually(Duration::from_secs(3), || (descriptors() <= before + 2).then_some(()));
    assert!(back.is_some(), "{before} to {}", descriptors());
    server.stop();
}

/// Row 7: the handshake wants the subprotocol, and pages must be listed.
#[test]
fn a_web_socket_needs_the_subprotocol_and_a_listed_page() {
    let server = server();
    let open = |lines: &str| {
        use std::io::{Read, Write};
        let mut stream = TcpStream::connect(server.ws()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
        let text = format!(
            "GET / HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{lines}\r\n",
            server.ws()
        );
        stream.write_all(text.as_bytes()).unwrap();
        let mut buffer = [0; 1024];
        let len = stream.read(&mut buffer).unwrap_or(0);
        String::from_utf8_lossy(&buffer[..len]).split(' ').nth(1).unwrap_or("").to_owned()
    };
    assert_eq!(open("Sec-WebSocket-Protocol: sip\r\n"), "101");
    assert_ne!(open(""), "101");
    assert_ne!(open("Sec-WebSocket-Protocol: chat\r\n"), "101");
    assert_eq!(open("Sec-WebSocket-Protocol: sip\r\nOrigin: https://evil.example\r\n"), "403");
    server.stop();
}

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

/// Row 10: nobody learns who exists, neither by what is said nor by how long it takes.
#[test]
fn an_unknown_user_and_a_wrong_password_are_told_apart_by_nobody() {
    let server = Server::start(&Setup { security: "guesses_max = 1000", ..Setup::default() });
    let client = Client::at(STRANGER, server.sip());
    let mut times = [Vec::new(), Vec::new()];
    let mut seen: Vec<Vec<String>> = Vec::new();
    for _ in 0..40 {
        for (which, user) in ["1002", "7777"].into_iter().enumerate() {
            let mut wrong = credentials(&client, &server, "REGISTER", user);
            wrong.password = "a wrong one".into();
            let asked = Instant::now();
            let answer = authorized(&client, "REGISTER", "", user, &wrong, "");
            times[which].push(asked.elapsed());
            let mut shape = vec![answer.start().to_owned()];
            shape.extend(answer.names().into_iter().map(str::to_owned));
            if !seen.contains(&shape) {
                seen.push(shape);
            }
        }
    }
    assert_eq!(seen.len(), 1, "{seen:?}");
    let [one, two] = times.map(|mut times| {
        times.sort();
        times[times.len() / 2]
    });
    assert!(one.abs_diff(two) <= Duration::from_millis(2), "{one:?} {two:?}");
    for method in ["INVITE", "SUBSCRIBE", "OPTIONS"] {
        let [one, two] = ["1002", "7777"].map(|user| {
            client.renew();
            let answer = client.ask(&client.request(method, user));
            (answer.start().to_owned(), answer.names().join(" "))
        });
        assert_eq!(one, two, "{method}");
        client.renew();
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

/// Row 13: a Contact leads back to who registered it, or nowhere.
#[test]
fn a_poisoned_contact_never_makes_us_call_elsewhere() {
    let server = server();
    let elsewhere = UdpSocket::bind((STRANGER, 0)).unwrap();
    elsewhere.set_read_timeout(Some(SILENCE)).unwrap();
    let victim = elsewhere.local_addr().unwrap();
    let phone = Client::at(PHONE, server.sip());
    let poisons = [
        format!("<sip:x@{victim}>"),
        format!("<sip:x@{};maddr=127.0.0.66>", phone.local()),
        format!("<sip:x@{}>", server.sip()),
        "<sip:x@0.0.0.0:5060>".to_owned(),
        "<sip:x@255.255.255.255:5060>".to_owned(),
        "<sip:x@224.0.0.1:5060>".to_owned(),
        "<http://evil.example/>".to_owned(),
        "<file:///etc/passwd>".to_owned(),
    ];
    for poison in poisons {
        phone.renew();
        let own = credentials(&phone, &server, "REGISTER", "1001");
        let header = format!("Authorization: {}", own.header());
        let text = phone.request_with("REGISTER", "", "1001", &[&header, "Expires: 60"], "");
        let contact = text.lines().find(|line| line.starts_with("Contact")).unwrap().to_owned();
        let text = text
            .replace("To: <sip:hookflash.test>", "To: <sip:1001@hookflash.test>")
            .replace(&contact, &format!("Contact: {poison}"));
        let status = phone.ask(&text).status();
        assert!(matches!(status, 200 | 400..=499), "{poison}: {status}");
        assert!(poison.starts_with("<sip") || status != 200, "{poison}");
    }
    let customer = Client::at(CUSTOMER, server.sip());
    customer.send(&customer.request_with("INVITE", "+4930100", "+4915", &[], &customer.sdp()));
    // Every binding that was taken leads to the phone itself.
    let mut buffer = [0; 2048];
    assert!(elsewhere.recv(&mut buffer).is_err(), "{}", String::from_utf8_lossy(&buffer));
    let mut rang = 0;
    while let Some(message) = phone.receive_within(SILENCE) {
        if message.start().starts_with("INVITE") {
            rang += 1;
            phone.send(&phone.reply(&message, "486 Busy Here", &[], ""));
        }
    }
    assert!(rang <= 5, "contacts_max");
    assert!([480, 482, 483, 486].contains(&customer.receive_final().status()));
    is_well(&server);
    server.stop();
}

/// Row 14: knowing Call-ID and both tags is not enough, and guessing them less so.
#[test]
fn strangers_cannot_touch_a_call() {
    let server = server();
    let talk = Talk::start(&server);
    let stranger = Client::at(STRANGER, server.sip());
    for (method, seq) in [("BYE", 50), ("INVITE", 51), ("UPDATE", 52), ("INFO", 53), ("PRACK", 54)]
    {
        for dialog in [&talk.of_customer, &talk.of_phone] {
            let body = if method == "INVITE" { stranger.sdp() } else { String::new() };
            let answer = stranger.ask(&stranger.within(dialog, method, seq, &body));
            assert!([401, 403, 481].contains(&answer.status()), "{method}: {answer}");
        }
    }
    // From the right address, but with wrong tags.
    let dialog = &talk.of_customer;
    let to = dialog.to.split(";tag=").next().unwrap();
    for guess in [
        Dialog { to: format!("{to};tag=guess"), ..dialog.clone() },
        Dialog { call_id: "guess".into(), ..dialog.clone() },
        Dialog { from: "<sip:+4915@hookflash.test>;tag=guess".into(), ..dialog.clone() },
    ] {
        let answer = talk.customer.ask(&talk.customer.within(&guess, "BYE", 60, ""));
        assert_eq!(answer.status(), 481, "{answer}");
    }
    // A CANCEL for the answered INVITE, and answers that nobody asked for.
    stranger.send(&stranger.within(dialog, "CANCEL", 1, ""));
    let forged =
        talk.phone.reply(&Message::of(&talk.phone.within(dialog, "BYE", 1, "")), "200 OK", &[], "");
    stranger.send(&forged);
    assert!(talk.phone.receive_within(SILENCE).is_none());
    talk.ends_well(server);
}

/// Row 15: only what the dial plan allows is called, and only at the trunk.
#[test]
fn a_redirection_never_leads_away_from_the_trunk() {
    for contact in [
        "sip:+49777@VICTIM",
        "sip:+49777@127.0.0.3;maddr=127.0.0.66",
        "http://evil.example/",
        "tel:+49777",
    ] {
        let server = server();
        let victim = Client::at(STRANGER, server.sip());
        let carrier = Client::udp(server.carrier(), server.sip());
        let backup = Client::udp(server.backup(), server.sip());
        let phone = Client::at(PHONE, server.sip());
        let own = credentials(&phone, &server, "INVITE", "1001");
        let header = format!("Authorization: {}", own.header());
        phone.renew();
        phone.send(&phone.request_with("INVITE", "030123456", "1001", &[&header], &phone.sdp()));
        let invite = carrier.receive_request("INVITE");
        let contact = contact.replace("VICTIM", &victim.local().to_string());
        let moved = carrier.reply(&invite, "302 Moved", &[], "");
        let old = format!("sip:client@{}", carrier.local());
        carrier.send(&moved.replace(&old, &contact));
        assert!(victim.receive_within(SILENCE).is_none(), "{contact}");
        decline(&carrier);
        decline(&backup);
        server.stop();
    }
}

/// Row 16: a challenge is answered for the trunk and realm that the credentials are for.
#[test]
fn credentials_are_given_to_their_own_trunk_and_realm_only() {
    let server =
        Server::start(&Setup { carrier_realm: "realm = \"carrier.test\"", ..Setup::default() });
    let challenge = |realm: &str| {
        format!("WWW-Authenticate: Digest realm=\"{realm}\", nonce=\"n\", qop=\"auth\"")
    };
    let carrier = Client::udp(server.carrier(), server.sip());
    let backup = Client::udp(server.backup(), server.sip());
    let phone = Client::at(PHONE, server.sip());
    let own = credentials(&phone, &server, "INVITE", "1001");
    let header = format!("Authorization: {}", own.header());
    phone.renew();
    phone.send(&phone.request_with("INVITE", "030123456", "1001", &[&header], &phone.sdp()));
    let invite = carrier.receive_request("INVITE");
    carrier.send(&carrier.reply(&invite, "401 Unauthorized", &[&challenge("evil.test")], ""));
    while let Some(message) = carrier.receive_within(SILENCE) {
        assert!(!message.text().contains("Digest username"), "{message}");
    }
    decline(&backup);
    // A phone that challenges us gets nothing either.
    let mut callee = Client::at(Ipv4Addr::new(127, 0, 0, 12), server.sip());
    assert_eq!(callee.register("1003", 60).status(), 200);
    let phone = Client::at(PHONE, server.sip());
    let own = credentials(&phone, &server, "INVITE", "1001");
    let header = format!("Authorization: {}", own.header());
    phone.renew();
    phone.send(&phone.request_with("INVITE", "1003", "1001", &[&header], &phone.sdp()));
    let invite = callee.receive_request("INVITE");
    callee.send(&callee.reply(&invite, "401 Unauthorized", &[&challenge("carrier.test")], ""));
    while let Some(message) = callee.receive_within(SILENCE) {
        assert!(!message.start().starts_with("INVITE"), "{message}");
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

/// Row 4: what is agreed never sends audio where nobody asked for it.
#[test]
fn a_description_that_leads_astray_sends_nothing_there() {
    let server = server();
    let customer = Client::at(CUSTOMER, server.sip());
    let mut phone = Client::at(PHONE, server.sip());
    assert_eq!(phone.register("1001", 600).status(), 200);
    let sdp = customer.sdp();
    let hostile = [
        sdp.replace("127.0.0.2", "255.255.255.255"),
        sdp.replace("127.0.0.2", "224.0.0.1"),
        sdp.replace("IN IP4 127.0.0.2", "IN IP6 ::1"),
        sdp.replace("9000", "65536"),
        sdp.replace("9000", "-1"),
        sdp.replace("AVP 0 8", "AVP 128 300"),
        sdp.replace("PCMU/8000", "PCMU/0"),
        sdp.clone() + &"m=audio 9000 RTP/AVP 0\r\n".repeat(1000),
        sdp.clone() + &format!("a=x:{}\r\n", "y".repeat(30_000)),
        sdp.clone() + "a=ptime:99999\r\n",
        "v=0\r\n".to_owned(),
        "nonsense".to_owned(),
    ];
    for body in hostile {
        customer.renew();
        customer.send(&customer.request_with("INVITE", "+4930100", "+4915", &[], &body));
        let answer = loop {
            if let Some(message) = phone.receive_within(Duration::from_millis(20))
                && message.start().starts_with("INVITE")
            {
                phone.send(&phone.reply(&message, "486 Busy Here", &[], ""));
            }
            match customer.receive_within(Duration::from_millis(20)) {
                Some(message) if message.status() >= 200 => break message,
                Some(_) | None => {}
            }
        };
        let status = answer.status();
        assert!([400, 406, 415, 486, 488, 606].contains(&status), "{status} to {body:.200}");
        let ack = Dialog::of_caller(&answer);
        let target = format!("sip:+4930100@{}", server.sip());
        let seq = answer.seq();
        customer.send(&customer.within(&Dialog { target, ..ack }, "ACK", seq, ""));
    }
    is_well(&server);
    server.stop();
}

/// Nothing listens where nothing was configured, and the address of a test is its own.
#[test]
fn the_server_listens_where_it_was_told_only() {
    let server = server();
    let other = SocketAddr::from(([127, 0, 0, 77], server.sip().port()));
    assert!(TcpStream::connect(other).is_err());
    server.stop();
}
