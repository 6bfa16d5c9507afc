use std::io::Write;
use std::time::{Duration, Instant};

use sip::transport::Transport;
use sip_net::{AdmissionConfig, ConnectionLimits, ListenSpec, NetConfig, Rate};

use crate::harness::{FLOOD, Seen, Server, closes, connect, options, ping, read_messages, request};

fn limited(connections: ConnectionLimits) -> Server {
    Server::start(NetConfig {
        listen: vec![ListenSpec::plain(Transport::Tcp, "127.0.0.1:0".parse().unwrap())],
        connections,
        ..NetConfig::default()
    })
}

#[test]
fn two_content_lengths_are_refused_and_the_inner_request_is_never_run() {
    for other in ["Content-Length: 5\r\n", "l: 0\r\n", "Content-Length: -1\r\n"] {
        let server = limited(ConnectionLimits::default());
        let mut client = connect(server.addrs[0]);
        let outer = options("outer");
        let outer = outer.replace("Content-Length:", &format!("{other}Content-Length:"));
        client.write_all(format!("{outer}{}", request("INVITE", "inner")).as_bytes()).unwrap();
        let answer = read_messages(&mut client, 1);
        assert!(answer.starts_with("SIP/2.0 400") && answer.contains("outer"), "{answer}");
        assert!(closes(&mut client));
        drop(client);
        assert!(matches!(server.seen(), Seen::Broken));
        assert!(matches!(server.seen(), Seen::FlowClosed(_)));
        assert!(server.idle());
    }
}

#[test]
fn other_protocols_and_endless_heads_are_closed() {
    let endless = format!("OPTIONS sip:a SIP/2.0\r\nX: {}", "x".repeat(70_000));
    for bytes in
        [&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], &[0x16, 3, 1, 0, 9], endless.as_bytes()]
    {
        let server = limited(ConnectionLimits::default());
        let mut client = connect(server.addrs[0]);
        let _ = client.write_all(bytes);
        assert!(closes(&mut client), "{:?}", &bytes[..5]);
    }
}

#[test]
fn silent_and_half_told_connections_are_closed() {
    let partial = Duration::from_millis(200);
    let server = limited(ConnectionLimits { partial, ..Default::default() });
    let start = Instant::now();
    let mut silent = connect(server.addrs[0]);
    let mut half = connect(server.addrs[0]);
    half.write_all(b"OPTIONS sip:a SIP/2.0\r\n").unwrap();
    let mut pinging = connect(server.addrs[0]);
    pinging.write_all(b"\r\n\r\n").unwrap();
    let mut spoken = connect(server.addrs[0]);
    ping(&mut spoken, "a");
    let mut spoken_then_half = connect(server.addrs[0]);
    ping(&mut spoken_then_half, "b");
    spoken_then_half.write_all(&options("c").as_bytes()[..100]).unwrap();
    // One byte now and then buys no time.
    half.write_all(b"V").unwrap();
    for stream in [&mut silent, &mut half, &mut pinging, &mut spoken_then_half] {
        assert!(closes(stream));
    }
    assert!(start.elapsed() < Duration::from_secs(1));
    ping(&mut spoken, "still");
    assert_eq!(server.stats.snapshot().stream_timeout, 4);
}

#[test]
fn a_connection_that_has_spoken_may_be_silent_for_long_but_not_for_ever() {
    let idle = Duration::from_millis(300);
    let server = limited(ConnectionLimits { idle, ..Default::default() });
    let mut client = connect(server.addrs[0]);
    ping(&mut client, "a");
    let start = Instant::now();
    assert!(closes(&mut client));
    assert!(start.elapsed() > Duration::from_millis(200));
}

#[test]
fn whoever_holds_connections_in_silence_displaces_himself_only() {
    let server = limited(ConnectionLimits { per_address: 4, ..Default::default() });
    let mut legitimate = connect(server.addrs[0]);
    ping(&mut legitimate, "a");
    let mut held: Vec<_> = (0..20).map(|_| connect(server.addrs[0])).collect();
    let mut second = connect(server.addrs[0]);
    ping(&mut second, "b");
    ping(&mut legitimate, "c");
    assert!(held[..17].iter_mut().all(closes));
    let stats = server.stats.snapshot();
    assert_eq!((stats.accepted, stats.refused_room), (22, 18));
}

#[test]
fn connections_that_speak_keep_their_place() {
    let server = limited(ConnectionLimits { per_address: 2, ..Default::default() });
    let mut speaking: Vec<_> = (0..2).map(|_| connect(server.addrs[0])).collect();
    speaking.iter_mut().for_each(|stream| ping(stream, "a"));
    assert!(closes(&mut connect(server.addrs[0])));
    speaking.iter_mut().for_each(|stream| ping(stream, "b"));
    drop(speaking.pop());
    server.stats_when(|_| matches!(server.seen(), Seen::FlowClosed(_)));
    std::thread::sleep(Duration::from_millis(20));
    ping(&mut connect(server.addrs[0]), "c");
}

#[test]
fn a_deaf_reader_is_cut_off_and_others_are_served() {
    let server = limited(ConnectionLimits::default());
    let mut deaf = connect(server.addrs[0]);
    // 2 MiB of answers each; the queue holds 512 KiB, the kernel 256 KiB and what we advertise.
    for n in 0..4 {
        deaf.write_all(request("MESSAGE", &format!("id{n}")).as_bytes()).unwrap();
    }
    server.stats_when(|stats| stats.stream_deaf == 1);
    let Seen::Request(source) = server.seen() else { panic!() };
    let closed = (0..6).any(|_| matches!(server.seen(), Seen::FlowClosed(f) if f == source.flow));
    assert!(closed);
    assert!(server.stats.snapshot().stream_sent < 2 * FLOOD as u64);
    ping(&mut connect(server.addrs[0]), "other");
    assert!(closes(&mut deaf));
}

#[test]
fn a_connection_that_sends_too_fast_is_read_slowly_but_completely() {
    let rate = Rate { per_second: 100, burst: 5 };
    let server = Server::start(NetConfig {
        listen: vec![ListenSpec::plain(Transport::Tcp, "127.0.0.1:0".parse().unwrap())],
        admission: AdmissionConfig { unknown: rate, known: rate },
        ..NetConfig::default()
    });
    let mut client = connect(server.addrs[0]);
    let start = Instant::now();
    client.write_all(options("a").repeat(25).as_bytes()).unwrap();
    read_messages(&mut client, 25);
    assert!(start.elapsed() >= Duration::from_millis(180), "{:?}", start.elapsed());
}
