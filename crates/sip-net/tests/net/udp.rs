use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use b2bua::io::Input;
use sip::transport::{FlowId, Transport};
use sip_net::{AdmissionConfig, BindError, Ended, ListenSpec, NetConfig, Rate, bind};

use crate::harness::{PATIENCE, Seen, Server, options, request, target};

fn socket(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn receive(socket: &UdpSocket) -> (String, SocketAddr) {
    let mut room = [0; 65_536];
    let (len, from) = socket.recv_from(&mut room).expect("no answer");
    (String::from_utf8_lossy(&room[..len]).into_owned(), from)
}

#[test]
fn requests_are_answered_over_both_families_from_where_they_were_sent_to() {
    for (listen, client, to) in [
        ("127.0.0.1:0", "127.0.0.1:0", "127.0.0.1"),
        ("0.0.0.0:0", "127.0.0.1:0", "127.0.0.7"),
        ("[::1]:0", "[::1]:0", "::1"),
        ("[::]:0", "[::1]:0", "::1"),
    ] {
        let server = Server::plain(Transport::Udp, listen);
        let client = socket(client);
        let to = SocketAddr::new(to.parse().unwrap(), server.addrs[0].port());
        client.send_to(options("a").as_bytes(), to).unwrap();
        let (answer, from) = receive(&client);
        assert!(answer.starts_with("SIP/2.0 200"), "{answer}");
        assert_eq!(from, to, "{listen}");
        let Seen::Request(source) = server.seen() else { panic!() };
        assert_eq!((source.remote, source.local), (client.local_addr().unwrap(), to));
        assert!(source.tls_names.is_empty());
    }
}

#[test]
fn a_burst_is_answered_completely() {
    let server = Server::plain(Transport::Udp, "127.0.0.1:0");
    let client = socket("127.0.0.1:0");
    for n in 0..150 {
        client.send_to(options(&format!("id{n}")).as_bytes(), server.addrs[0]).unwrap();
    }
    (0..150).for_each(|_| drop(receive(&client)));
    assert_eq!(server.stats_when(|stats| stats.udp_sent == 150).udp_received, 150);
}

#[test]
fn the_core_sends_by_itself_and_hears_of_failure() {
    let server = Server::plain(Transport::Udp, "127.0.0.1:0");
    let peer = socket("127.0.0.1:0");
    let to = target(Transport::Udp, peer.local_addr().unwrap());
    server.send(1, to.clone());
    assert!(receive(&peer).0.starts_with("OPTIONS"));
    // No IPv6 socket; a connection's flow; an address that a loopback socket cannot reach.
    let unreachable = [
        target(Transport::Udp, "[::1]:5060".parse().unwrap()),
        sip::transport::Target { flow: Some(FlowId(77)), ..to },
        target(Transport::Udp, "255.255.255.255:5060".parse().unwrap()),
    ];
    for (transaction, target) in (2..).zip(unreachable) {
        server.send(transaction, target);
        assert!(matches!(server.seen(), Seen::SendFailed(failed) if failed == transaction));
    }
}

#[test]
fn keep_alives_and_noise_never_reach_the_core_and_stun_is_answered() {
    let server = Server::plain(Transport::Udp, "127.0.0.1:0");
    let client = socket("127.0.0.1:0");
    let tls_hello = [&[22, 3, 1, 0, 200][..], &[7; 200]].concat();
    let noise: [&[u8]; 7] = [
        b"",
        b"\r\n\r\n",
        b"\0\0\0\0",
        b"hello",
        &[b'\n'; 40],
        &tls_hello,
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ];
    for datagram in noise {
        client.send_to(datagram, server.addrs[0]).unwrap();
    }
    let stun = *b"\x00\x01\x00\x00\x21\x12\xa4\x42abcdefghijkl";
    client.send_to(&stun, server.addrs[0]).unwrap();
    let mut room = [0; 100];
    let len = client.recv(&mut room).unwrap();
    assert_eq!((&room[..2], &room[8..20], len), (&[1, 1][..], &b"abcdefghijkl"[..], 32));
    assert!(server.idle());
    let stats = server.stats.snapshot();
    assert_eq!((stats.udp_short + stats.udp_garbage, stats.stun_answered), (7, 1));
}

#[test]
fn a_source_that_sends_too_much_is_not_read_and_others_are() {
    let rate = |burst| Rate { per_second: 1, burst };
    let server = Server::start(NetConfig {
        listen: vec![ListenSpec::plain(Transport::Udp, "0.0.0.0:0".parse().unwrap())],
        admission: AdmissionConfig { unknown: rate(3), known: rate(100) },
        ..NetConfig::default()
    });
    let to = SocketAddr::new("127.0.0.1".parse().unwrap(), server.addrs[0].port());
    let (flood, legitimate) = (socket("127.0.0.2:0"), socket("127.0.0.3:0"));
    for _ in 0..50 {
        flood.send_to(options("a").as_bytes(), to).unwrap();
    }
    legitimate.send_to(options("b").as_bytes(), to).unwrap();
    receive(&legitimate);
    let stats = server.stats_when(|stats| stats.udp_received == 51);
    assert_eq!(stats.refused_rate, 47);
}

#[test]
fn a_panic_of_the_core_costs_one_message() {
    let server = Server::plain(Transport::Udp, "127.0.0.1:0");
    let client = socket("127.0.0.1:0");
    client.send_to(request("INFO", "a").as_bytes(), server.addrs[0]).unwrap();
    client.send_to(options("b").as_bytes(), server.addrs[0]).unwrap();
    assert!(receive(&client).0.contains("Call-ID: b"));
    assert_eq!(server.stats.snapshot().panics, 1);
}

#[test]
fn deadlines_come_on_time() {
    let server = Server::plain(Transport::Udp, "127.0.0.1:0");
    let client = socket("127.0.0.1:0");
    let start = std::time::Instant::now();
    client.send_to(request("SUBSCRIBE", "a").as_bytes(), server.addrs[0]).unwrap();
    receive(&client);
    assert!(start.elapsed() >= Duration::from_millis(30), "{:?}", start.elapsed());
    assert!(matches!(server.seen(), Seen::Request(..)) && matches!(server.seen(), Seen::Tick));
}

#[test]
fn the_loop_ends_when_drained() {
    let mut server = Server::plain(Transport::Udp, "127.0.0.1:0");
    server.input(Input::Drain { limit: Duration::ZERO });
    assert_eq!(server.join(), Ended::Drained);
}

#[test]
fn what_cannot_be_bound_is_named() {
    let taken = socket("127.0.0.1:0").local_addr().unwrap();
    let held = UdpSocket::bind(taken).unwrap();
    let listen = vec![ListenSpec::plain(Transport::Udp, taken)];
    let error = bind(NetConfig { listen, ..NetConfig::default() }).err().unwrap();
    drop(held);
    assert!(error.to_string().contains(&format!("UDP {taken}")), "{error}");
    let listen = vec![ListenSpec::plain(Transport::Tls, "127.0.0.1:0".parse().unwrap())];
    let error = bind(NetConfig { listen, ..NetConfig::default() }).err().unwrap();
    assert!(matches!(error, BindError::NoCertificate { .. }), "{error}");
}
