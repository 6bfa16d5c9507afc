use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use sip::transport::{Target, Transport};
use sip_net::{ConnectionLimits, ListenSpec, NetConfig};

use crate::harness::{
    PATIENCE, Seen, Server, closes, connect, options, ping, read_messages, request, target,
};

fn tcp() -> Server {
    Server::plain(Transport::Tcp, "127.0.0.1:0")
}

#[test]
fn pipelined_and_fragmented_messages_are_answered_in_order() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let server = Server::plain(Transport::Tcp, address);
        let mut client = connect(server.addrs[0]);
        let fifty: String = (0..50).map(|n| options(&format!("id{n}"))).collect();
        client.write_all(fifty.as_bytes()).unwrap();
        let answers = read_messages(&mut client, 50);
        let mut rest = answers.as_str();
        for n in 0..50 {
            let id = format!("Call-ID: id{n}\r\n");
            rest = rest.split_once(&id).expect("in order").1;
        }
        for byte in options("slow").bytes() {
            client.write_all(&[byte]).unwrap();
        }
        assert!(read_messages(&mut client, 1).contains("Call-ID: slow"));
        let Seen::Request(source) = server.seen() else { panic!() };
        assert_eq!(source.transport, Transport::Tcp);
        let (remote, local) = (client.local_addr().unwrap(), server.addrs[0]);
        assert_eq!((source.remote, source.local), (remote, local));
    }
}

#[test]
fn keep_alives_are_answered_and_nothing_else_is_seen() {
    let server = tcp();
    let mut client = connect(server.addrs[0]);
    client.write_all(b"\r\n\r\n").unwrap();
    let mut answer = [0; 2];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"\r\n");
    assert!(server.idle());
}

#[test]
fn a_closed_connection_is_told_once() {
    let server = tcp();
    let mut client = connect(server.addrs[0]);
    ping(&mut client, "a");
    let Seen::Request(source) = server.seen() else { panic!() };
    drop(client);
    assert!(matches!(server.seen(), Seen::FlowClosed(flow) if flow == source.flow));
    assert!(server.idle());
    server.send(9, source.reply_target());
    assert!(matches!(server.seen(), Seen::SendFailed(9)), "never a silent fallback");
}

#[test]
fn the_core_closes_after_what_it_sent() {
    let server = tcp();
    let mut client = connect(server.addrs[0]);
    client.write_all(request("BYE", "a").as_bytes()).unwrap();
    assert!(read_messages(&mut client, 1).starts_with("SIP/2.0 200"));
    assert!(closes(&mut client));
    assert!(matches!(server.seen(), Seen::Request(..)));
    drop(client);
    assert!(matches!(server.seen(), Seen::FlowClosed(_)));
}

fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

#[test]
fn one_connection_serves_all_requests_to_a_peer_both_ways() {
    let server = tcp();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = target(Transport::Tcp, listener.local_addr().unwrap());
    // Queued while connecting, all but the first.
    (1..=3).for_each(|n| server.send(n, to.clone()));
    let mut peer = accept(&listener);
    assert_eq!(read_messages(&mut peer, 3).matches("OPTIONS sip:").count(), 3);
    ping(&mut peer, "back");
    let Seen::Request(source) = server.seen() else { panic!() };
    server.send(4, source.reply_target());
    read_messages(&mut peer, 1);
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "no second connection");
    assert_eq!(server.stats.snapshot().connected, 1);
    drop(peer);
    assert!(matches!(server.seen(), Seen::FlowClosed(flow) if flow == source.flow));
    listener.set_nonblocking(false).unwrap();
    server.send(5, to);
    read_messages(&mut accept(&listener), 1);
}

#[test]
fn an_accepted_connection_is_reused_for_its_exact_address() {
    let server = tcp();
    let mut client = connect(server.addrs[0]);
    ping(&mut client, "a");
    server.send(1, target(Transport::Tcp, client.local_addr().unwrap()));
    assert!(read_messages(&mut client, 1).starts_with("OPTIONS"));
    assert_eq!(server.stats.snapshot().connected, 0);
}

#[test]
fn a_peer_that_is_not_there_fails_every_message_and_closes_no_flow() {
    let server = tcp();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    (1..=2).for_each(|n| server.send(n, target(Transport::Tcp, nobody)));
    for n in 1..=2 {
        assert!(matches!(server.seen(), Seen::SendFailed(failed) if failed == n));
    }
    server.send(3, target(Transport::Ws, nobody));
    assert!(matches!(server.seen(), Seen::SendFailed(3)), "we open no WebSocket");
    assert!(server.idle());
}

#[test]
fn connecting_does_not_take_for_ever() {
    let limits = ConnectionLimits { connect: Duration::from_millis(200), ..Default::default() };
    let server = Server::start(NetConfig {
        listen: vec![ListenSpec::plain(Transport::Tcp, "127.0.0.1:0".parse().unwrap())],
        connections: limits,
        ..NetConfig::default()
    });
    // TLS towards a peer that accepts and is silent.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr: SocketAddr = silent.local_addr().unwrap();
    let tls_name = Some("silent.example".into());
    server.send(1, Target { tls_name, ..target(Transport::Tls, addr) });
    assert!(matches!(server.seen(), Seen::SendFailed(1)));
}
