//! Rows 5 to 7 and 18: TCP, TLS and WebSocket connections; what they and others are flooded with.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use interop::client::{Client, Message, PATIENCE};
use interop::{CUSTOMER, PHONE, Server, Setup, Talk, certificates, eventually};

use crate::{SILENCE, STRANGER, is_well, server};

/// A connection from an address of this host.
fn connect_from(ip: impl Into<IpAddr>, to: SocketAddr) -> Option<TcpStream> {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::new(ip.into(), 0).into()).expect("an address of ours");
    socket.connect_timeout(&to.into(), PATIENCE).ok()?;
    Some(socket.into())
}

/// Whether the peer closes within `limit`, whatever it says before.
fn closes_within(mut stream: &TcpStream, limit: Duration) -> bool {
    stream.set_read_timeout(Some(limit)).expect("a time");
    let end = Instant::now() + limit;
    let mut buffer = [0; 4096];
    while Instant::now() < end {
        match stream.read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
    false
}

fn descriptors(server: &Server) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", server.pid())).map_or(0, Iterator::count)
}

/// Resident memory in KiB.
fn memory(server: &Server) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid()));
    let status = status.unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
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

/// What silent and half-told connections do: nothing, one byte, half a message, keep-alives only.
const HALVES: [&str; 4] = ["", "O", "OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/TCP", "\r\n\r\n"];

/// Row 6: 500 connections each from one address and from ten.
#[test]
fn silent_and_partial_connections_are_few_and_short_and_keep_nobody_out() {
    let setup = Setup { net: "message_timeout_s = 2\nconnections_max = 200", ..Setup::default() };
    let server = Server::start(&setup);
    is_well(&server);
    let before = descriptors(&server);
    let one = vec![STRANGER];
    let ten = (100..110).map(|last| Ipv4Addr::new(127, 0, 0, last)).collect();
    for (sources, most) in [(one, 32), (ten, 200)] {
        let began = Instant::now();
        let mut held = Vec::new();
        for at in 0..500 {
            let source = sources[at % sources.len()];
            let Some(mut stream) = connect_from(source, server.sip()) else { continue };
            let _ = stream.write_all(HALVES[at % HALVES.len()].as_bytes());
            held.push(stream);
            if at % 100 == 99 {
                // Somebody with something to say is served in between, each time.
                let client = Client::tcp(server.sip());
                assert_eq!(client.ask(&client.request("OPTIONS", "ping")).status(), 200);
            }
        }
        assert!(held.len() > 400, "{}", held.len());
        let open = descriptors(&server);
        assert!(open <= before + most + 8, "{before} to {open} for {}", sources.len());
        assert_eq!(Client::at(PHONE, server.sip()).register("1001", 60).status(), 200);
        let last = held.last().expect("a connection");
        assert!(closes_within(last, Duration::from_secs(10)), "2 s are allowed");
        drop(held);
        let back = eventually(PATIENCE, || (descriptors(&server) <= before + 2).then_some(()));
        assert!(back.is_some(), "{before} to {} after {:?}", descriptors(&server), began.elapsed());
    }
    is_well(&server);
    server.stop();
}

/// Row 6: whoever does not read what it asked for costs less than 1 MiB.
#[test]
fn a_deaf_reader_is_bounded() {
    let server = server();
    // A known source: others are read at 100 messages a second.
    assert_eq!(Client::at(PHONE, server.sip()).register("1001", 60).status(), 200);
    let writer = Client::at(PHONE, server.sip());
    let mut streams = Vec::new();
    let mut deafen = |count: usize| {
        for _ in 0..count {
            let mut stream = connect_from(PHONE, server.sip()).expect("a connection");
            stream.set_write_timeout(Some(Duration::from_millis(500))).expect("a time");
            for _ in 0..8_000 {
                let text = writer.request("OPTIONS", "x").replace("SIP/2.0/UDP", "SIP/2.0/TCP");
                if stream.write_all(text.as_bytes()).is_err() {
                    break; // it is closed, or not read any more
                }
            }
            streams.push(stream);
        }
    };
    deafen(4); // what the work itself takes, whoever reads
    let before = memory(&server);
    deafen(8);
    let grown = memory(&server).saturating_sub(before);
    assert!(grown < 8 * 1024, "{grown} KiB for eight deaf readers");
    is_well(&server);
    drop(streams);
    server.stop();
}

/// Row 18 (AST-2020-001): a hundred connections full of calls that nobody may make. Each is answered
/// while somebody reads, nothing is kept of it, and honest calls go through. `load flood` does the
/// same with datagrams, at 30,000 a second.
#[test]
fn connections_full_of_invites_are_answered_and_forgotten() {
    const EACH: usize = 20;
    let server = server();
    is_well(&server);
    let before = (descriptors(&server), memory(&server));
    let writer = Client::at(STRANGER, server.sip());
    let mut streams = Vec::new();
    for at in 0..100u8 {
        let mut stream = connect_from([127, 0, 3, 1 + at / 10], server.sip()).expect("let in");
        let invites: String = (0..EACH)
            .map(|_| {
                writer.renew();
                let sdp = writer.sdp();
                let text = writer.request_with("INVITE", "+4930100", "+4915", &[], &sdp);
                text.replace("SIP/2.0/UDP", "SIP/2.0/TCP")
            })
            .collect();
        stream.write_all(invites.as_bytes()).expect("it reads");
        if at % 2 == 0 {
            streams.push(stream); // the others are gone before they are answered
        }
    }
    let mut phone = Client::at(PHONE, server.sip());
    assert_eq!(phone.register("1001", 600).status(), 200);
    Talk::with(Client::at(CUSTOMER, server.sip()), phone).hang_up();
    for mut stream in streams {
        stream.set_read_timeout(Some(PATIENCE)).expect("a time");
        let mut text = String::new();
        let mut buffer = [0; 8192];
        while text.matches("SIP/2.0 401").count() < EACH {
            let len = stream.read(&mut buffer).expect("every one is answered");
            assert_ne!(len, 0, "closed after {text}");
            text += &String::from_utf8_lossy(&buffer[..len]);
        }
    }
    let back = eventually(PATIENCE, || (descriptors(&server) <= before.0 + 2).then_some(()));
    assert!(back.is_some(), "{} descriptors were {}", descriptors(&server), before.0);
    let grown = memory(&server).saturating_sub(before.1);
    assert!(grown < 16 * 1024, "{grown} KiB");
    let records = server.stop().records;
    assert_eq!(records.len(), 1, "only the honest call is one: {records:?}");
}

/// Row 18: storms of what belongs to nothing.
#[test]
fn stray_answers_and_requests_inside_no_call_change_nothing() {
    let server = server();
    let talk = Talk::start(&server);
    let stranger = Client::at(STRANGER, server.sip());
    for n in 0..500 {
        stranger.renew();
        for method in ["BYE", "CANCEL", "ACK", "PRACK"] {
            stranger.send(&stranger.request(method, "+4930100"));
        }
        let asked = Message::of(&stranger.request("INVITE", "+4930100"));
        let status = ["200 OK", "180 Ringing", "503 Service Unavailable"][n % 3];
        stranger.send(&stranger.reply(&asked, status, &[], &stranger.sdp()));
    }
    is_well(&server);
    talk.ends_well(server);
}

/// An accepted WebSocket, and what the server says at once.
fn web_socket(server: &Server, lines: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(server.ws()).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(3))).expect("a time");
    let text = format!(
        "GET / HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{lines}\r\n",
        server.ws()
    );
    stream.write_all(text.as_bytes()).expect("it reads");
    let mut buffer = [0; 1024];
    let len = stream.read(&mut buffer).unwrap_or(0);
    (stream, String::from_utf8_lossy(&buffer[..len]).split(' ').nth(1).unwrap_or("").to_owned())
}

/// A frame (RFC 6455 §5.2); masked by zeros, as that leaves the payload readable.
fn frame(first: u8, payload: &[u8], masked: bool) -> Vec<u8> {
    let mask = if masked { 0x80 } else { 0 };
    let mut frame = vec![first];
    match u16::try_from(payload.len()) {
        Ok(len @ 0..=125) => frame.push(mask | len as u8),
        Ok(len) => {
            frame.push(mask | 126);
            frame.extend(len.to_be_bytes());
        }
        Err(_) => {
            frame.push(mask | 127);
            frame.extend((payload.len() as u64).to_be_bytes());
        }
    }
    if masked {
        frame.extend([0; 4]);
    }
    frame.extend(payload);
    frame
}

/// Row 7: the handshake wants the subprotocol, and pages must be listed.
#[test]
fn a_web_socket_needs_the_subprotocol_and_a_listed_page() {
    let net = "websocket_origins = [\"https://desk.example\"]";
    let server = Server::start(&Setup { net, ..Setup::default() });
    let sip = "Sec-WebSocket-Protocol: sip\r\n";
    for (lines, status) in [
        (sip.to_owned(), "101"),
        (String::new(), "400"),
        ("Sec-WebSocket-Protocol: chat\r\n".into(), "400"),
        (format!("{sip}Origin: https://evil.example\r\n"), "403"),
        (format!("{sip}Origin: https://desk.example.evil.example\r\n"), "403"),
        (format!("{sip}Origin: https://desk.example\r\n"), "101"),
    ] {
        assert_eq!(web_socket(&server, &lines).1, status, "{lines}");
    }
    server.stop();
}

/// Row 7.
#[test]
fn a_web_socket_that_breaks_the_rules_is_closed() {
    let server = Server::start(&Setup { net: "message_timeout_s = 2", ..Setup::default() });
    let client = Client::at(STRANGER, server.sip()); // writes the requests only
    let options = || client.request("OPTIONS", "ping").replace("SIP/2.0/UDP", "SIP/2.0/WS");
    let open = || {
        let (stream, status) = web_socket(&server, "Sec-WebSocket-Protocol: sip\r\n");
        assert_eq!(status, "101");
        stream
    };
    let many = |bytes: Vec<u8>, times: usize| bytes.repeat(times);
    let text = options();
    let storm = [frame(0x01, b"OPTIONS", true), many(frame(0x00, b"x", true), 100_000)].concat();
    let mut broken = Vec::new();
    for (what, bytes) in [
        ("unmasked", frame(0x81, text.as_bytes(), false)),
        ("oversize", frame(0x81, &vec![b'x'; 100_000], true)),
        ("oversize by its head alone", vec![0x81, 0xff, 0x7f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        ("a storm of fragments", storm),
        ("a storm of pings", many(frame(0x89, b"ping", true), 2_000)),
        ("a storm of pongs", many(frame(0x8a, b"pong", true), 2_000)),
        ("a control frame in pieces", frame(0x09, b"ping", true)),
        ("a ping too large", frame(0x89, &[b'x'; 126], true)),
        ("a continuation of nothing", frame(0x80, b"x", true)),
        ("reserved bits", frame(0xf1, text.as_bytes(), true)),
        ("half a message", frame(0x01, b"OPTIONS sip:", true)),
        ("half a frame", frame(0x81, text.as_bytes(), true)[..40].to_vec()),
        ("not a word", Vec::new()),
        ("no SIP", frame(0x81, b"GET / HTTP/1.1\r\n\r\n", true)),
    ] {
        let mut stream = open();
        let _ = stream.write_all(&bytes);
        broken.push((what, stream));
    }
    for (what, stream) in &broken {
        assert!(closes_within(stream, Duration::from_secs(8)), "{what}");
    }
    // One who keeps the rules is served all the while, pings included.
    let mut stream = open();
    stream.write_all(&frame(0x89, b"ping", true)).expect("it reads");
    stream.write_all(&frame(0x81, options().as_bytes(), true)).expect("it reads");
    let mut heard = Vec::new();
    let mut buffer = [0; 4096];
    while !String::from_utf8_lossy(&heard).contains("SIP/2.0 200") {
        let len = stream.read(&mut buffer).expect("an answer");
        assert_ne!(len, 0, "closed after {heard:?}");
        heard.extend(&buffer[..len]);
    }
    is_well(&server);
    server.stop();
}

/// Row 7: who never ends its handshake, or begins none, is cut off.
#[test]
fn a_handshake_takes_its_time_and_no_more() {
    let setup = Setup { tls: true, net: "handshake_timeout_s = 1", ..Setup::default() };
    let server = Server::start_with(&setup, certificates::make);
    let hello = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    let mut open = Vec::new();
    for (address, bytes) in [
        (server.tls(), &hello[..]),
        (server.tls(), &[]),
        (server.wss(), &hello[..5]),
        (server.ws(), b"GET / HTTP/1.1\r\nHost: x\r\n"),
        (server.tls(), b"OPTIONS sip:x SIP/2.0\r\n"),
    ] {
        let mut stream = TcpStream::connect(address).expect("a connection");
        stream.write_all(bytes).expect("it reads");
        open.push((bytes, stream));
    }
    for (bytes, stream) in &open {
        assert!(closes_within(stream, Duration::from_secs(8)), "{bytes:?}");
    }
    let errors = server.log().lines().filter(|line| line.contains("handshake failed")).count();
    assert!(errors <= 1, "one line for an address, not {errors}");
    is_well(&server);
    server.stop();
}
