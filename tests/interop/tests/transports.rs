//! The same calls over TCP and IPv6, and many at once.

use std::io::{Read as _, Write as _};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use interop::audio::Audio;
use interop::client::{Client, Dialog, Message, PATIENCE};
use interop::digest::{Credentials, Hash};
use interop::{CUSTOMER, PHONE, Scene, Server, Setup, Talk, certificates, password};

const ENTRY: &str = "+4930100"; // leads to 1001

#[test]
fn calls_come_in_and_go_out_over_tcp() {
    let setup = Setup { trunks_by_tcp: true, ..Setup::default() };
    let record = Scene::with(&setup)
        .agent("1001", "agent-answers")
        .customer("customer-calls", ENTRY)
        .record();
    assert_eq!((record.status(), record.ended_by()), (200, "caller"));
    let record = Scene::with(&setup)
        .carrier("carrier-answers")
        .phone("phone-calls", "1001", "030123456")
        .record();
    assert_eq!((record.status(), record.ended_by()), (200, "caller"));
}

/// A server whose carrier lets a header through.
fn server() -> Server {
    Server::start(&Setup { carrier: "pass_headers = [\"X-Ticket\"]", ..Setup::default() })
}

/// 1001 calls out by the carrier with more than 1,200 bytes in one header.
fn calls_out_with_much(server: &Server) -> Client {
    let phone = Client::at(PHONE, server.sip());
    let ticket = format!("X-Ticket: {}", "7".repeat(1200));
    let sdp = phone.sdp();
    phone.send_with_digest("1001", &|lines| {
        let lines = [&[ticket.as_str()], lines].concat();
        phone.request_with("INVITE", "030123456", "1001", &lines, &sdp)
    });
    phone
}

/// RFC 3261 §18.1.1: what is larger than 1,300 bytes goes by TCP, and is answered there; what is
/// small in the same dialog goes by UDP, as the trunk is configured and says in its Contact.
#[test]
fn a_request_too_large_for_udp_goes_by_tcp() {
    let server = server();
    let listener = TcpListener::bind(server.carrier()).unwrap();
    let datagrams = Client::udp(server.carrier(), server.sip());
    let phone = calls_out_with_much(&server);
    let stream = Client::accepted(&listener);
    let invite = stream.receive_request("INVITE");
    assert!(invite.text().len() > 1300, "{invite}");
    assert!(invite.header("Via").unwrap().starts_with("SIP/2.0/TCP "), "{invite}");
    assert_eq!(invite.header("X-Ticket").map(str::len), Some(1200));
    let answer = stream.reply(&invite, "200 OK", &[], &stream.sdp());
    stream.send(&answer);
    let ok = phone.receive_own_final();
    assert_eq!(ok.status(), 200, "{ok}");
    let of_phone = Dialog::of_caller(&ok);
    phone.send(&phone.within(&of_phone, "ACK", ok.seq(), ""));
    let ack = datagrams.receive_request("ACK");
    assert!(ack.header("Via").unwrap().starts_with("SIP/2.0/UDP "), "{ack}");
    assert_eq!(phone.ask(&phone.within(&of_phone, "BYE", 1_000_000, "")).status(), 200);
    let bye = datagrams.receive_request("BYE");
    datagrams.send(&datagrams.reply(&bye, "200 OK", &[], ""));
    let records = server.stop().records;
    assert_eq!(records[0].legs(), [("1001", 200), ("carrier", 200)]);
}

/// The same where nobody listens for TCP: by UDP after all, once, as if nothing had been.
#[test]
fn a_request_too_large_for_udp_goes_by_it_where_there_is_no_tcp() {
    let server = server();
    let datagrams = Client::udp(server.carrier(), server.sip());
    let phone = calls_out_with_much(&server);
    let invite = datagrams.receive_request("INVITE");
    assert!(invite.text().len() > 1300, "{invite}");
    assert!(invite.header("Via").unwrap().starts_with("SIP/2.0/UDP "), "{invite}");
    datagrams.send(&datagrams.reply(&invite, "486 Busy Here", &[], ""));
    datagrams.receive_request("ACK");
    assert_eq!(phone.receive_own_final().status(), 486);
    server.stop();
}

#[test]
fn phones_call_each_other_over_ipv6() {
    let setup = Setup { ip: Ipv6Addr::LOCALHOST.into(), ..Setup::default() };
    let record = Scene::with(&setup)
        .agent("1002", "agent-answers")
        // By itself SIPp writes `sip:::1:5060` into the digest.
        .phone_with("phone-calls", "1001", "1002", &["-auth_uri", "hookflash.test"])
        .record();
    assert_eq!((record.status(), record.codecs()), (200, vec!["PCMU", "PCMU"]));
}

/// What the caller and the callee say.
const MARKS: [u8; 2] = [0x11, 0x22];
const PACKETS: usize = 40;

/// Both say as much, and each hears the other and nobody else; a busy machine may lose a packet.
#[track_caller]
fn both_hear(audio: &mut [Audio; 2], places: [SocketAddr; 2]) {
    for _ in 0..PACKETS {
        for (audio, place) in audio.iter_mut().zip(places) {
            audio.say(place);
        }
        thread::sleep(Duration::from_millis(10));
    }
    let heard = [&audio[0], &audio[1]].map(|audio| audio.heard(Duration::from_millis(300)));
    for (heard, other) in heard.iter().zip([MARKS[1], MARKS[0]]) {
        assert!(heard.iter().all(|mark| *mark == other), "{other:#x}: {heard:?}");
        assert!((PACKETS - 1..=PACKETS).contains(&heard.len()), "{} of {PACKETS}", heard.len());
    }
}

#[test]
fn phones_hear_each_other_over_ipv6() {
    let ip = Ipv6Addr::LOCALHOST;
    let setup = Setup { ip: ip.into(), ..Setup::default() }.with_untouched_audio();
    let server = Server::start(&setup);
    let mut phone = Client::at(ip, server.sip());
    assert_eq!(phone.register("1002", 600).status(), 200);
    let mut audio = MARKS.map(|mark| Audio::at(ip, mark));
    let [one, two] = &audio;
    let caller = Client::at(ip, server.sip());
    let (talk, places) = Talk::of_phones(caller, "1001", phone, "1002", [one, two]);
    assert!(places.iter().all(|place| place.ip() == ip), "{places:?}");
    both_hear(&mut audio, places);
    let ended = talk.ends_well(server);
    assert_eq!(ended.records[0].legs(), [("1001", 200), ("1002", 200)]);
    assert_eq!(ended.records[0].of_legs("packetsLost"), [0, 0]);
}

/// Each leg has audio of its own address family: nobody needs to know the other's.
#[test]
fn a_customer_with_ipv4_and_a_phone_with_ipv6_hear_each_other() {
    let ip = Ipv6Addr::LOCALHOST;
    let setup = Setup { also: Some(ip.into()), ..Setup::default() }.with_untouched_audio();
    let server = Server::start(&setup);
    let mut phone = Client::at(ip, server.sip_at(ip));
    assert_eq!(phone.register("1001", 600).status(), 200);
    let mut audio = [Audio::at(CUSTOMER, MARKS[0]), Audio::at(ip, MARKS[1])];
    let [one, two] = &audio;
    let customer = Client::at(CUSTOMER, server.sip());
    let (talk, places) = Talk::with_audio(customer, phone, "+4930100", [one, two]);
    assert_eq!(places.map(|place| place.is_ipv4()), [true, false], "{places:?}");
    both_hear(&mut audio, places);
    let ended = talk.ends_well(server);
    assert_eq!(ended.records[0].of_legs("packetsLost"), [0, 0]);
}

/// 1001 registers over IPv6; `ask` carries one message there and the answer back.
#[track_caller]
fn registers(server: &Server, transport: &str, ask: &mut dyn FnMut(&str) -> Message) {
    let client = Client::at(Ipv6Addr::LOCALHOST, server.sip()); // writes the requests only
    let request = |lines: &[&str]| {
        client
            .request_with("REGISTER", "", "1001", lines, "")
            .replace("SIP/2.0/UDP", &format!("SIP/2.0/{transport}"))
            .replace("To: <sip:", "To: <sip:1001@")
    };
    let challenged = ask(&request(&[]));
    assert_eq!(challenged.status(), 401, "{challenged}");
    let challenge = challenged.challenge(Hash::Md5).expect("the challenge");
    let uri = format!("sip:{}", server.sip());
    let answer = Credentials::answer(challenge, "REGISTER", &uri, "1001", password("1001"));
    let registered = ask(&request(&[&format!("Authorization: {}", answer.header())]));
    assert_eq!(registered.status(), 200, "{registered}");
    assert_eq!(registered.headers("Contact").len(), 1, "{registered}");
}

#[test]
fn phones_register_over_tls_and_ipv6() {
    let setup = Setup { ip: Ipv6Addr::LOCALHOST.into(), tls: true, ..Setup::default() };
    let server = Server::start_with(&setup, certificates::make);
    registers(&server, "TLS", &mut |request| {
        let shown = certificates::ask(&server, &[], request); // of the certificate first
        Message::of(&shown[shown.find("SIP/2.0").unwrap_or(0)..])
    });
    server.stop();
}

#[test]
fn phones_register_over_web_sockets_and_ipv6() {
    let server = Server::start(&Setup { ip: Ipv6Addr::LOCALHOST.into(), ..Setup::default() });
    let mut stream = TcpStream::connect(server.ws()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let handshake = format!(
        "GET / HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: sip\r\n\r\n",
        server.ws()
    );
    stream.write_all(handshake.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut octet = [0];
        stream.read_exact(&mut octet).unwrap();
        head.push(octet[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    registers(&server, "WS", &mut |request| {
        // RFC 6455 §5.2: a whole text, its length in two octets, masked by zeros.
        let len = u16::try_from(request.len()).unwrap().to_be_bytes();
        let head = [0x81, 0x80 | 126, len[0], len[1], 0, 0, 0, 0];
        stream.write_all(&[&head, request.as_bytes()].concat()).unwrap();
        let mut head = [0; 4];
        stream.read_exact(&mut head).unwrap();
        assert_eq!(head[1], 126, "a message between 126 and 65,535 octets");
        let mut text = vec![0; usize::from(u16::from_be_bytes([head[2], head[3]]))];
        stream.read_exact(&mut text).unwrap();
        Message::of(&String::from_utf8(text).unwrap())
    });
    server.stop();
}

/// Not a measurement (`make bench` is): many calls at once, none of them lost.
#[test]
fn two_hundred_calls_in_two_seconds_all_go_through() {
    let setup = Setup { port_blocks: 20, extension: "calls_max = 1000", ..Setup::default() };
    let load = ["-m", "200", "-r", "100", "-l", "200"];
    let ended = Scene::with(&setup)
        .agent_with("1001", "load-agent", &load)
        .customer_with("load-customer", ENTRY, &load)
        .end();
    assert_eq!(ended.records.len(), 200);
    assert!(ended.records.iter().all(|record| record.status() == 200));
}
