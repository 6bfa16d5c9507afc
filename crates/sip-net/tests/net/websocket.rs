use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use sip::transport::Transport;
use sip_net::{ConnectionLimits, ListenSpec, NetConfig};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Message, WebSocket, client};

use crate::certificates::Authority;
use crate::harness::{Seen, Server, closes, connect, options};

fn config(transport: Transport) -> NetConfig {
    let mut spec = ListenSpec::plain(transport, "127.0.0.1:0".parse().unwrap());
    spec.ws_origins = vec!["https://desk.example.com".into()];
    NetConfig { listen: vec![spec], ..NetConfig::default() }
}

fn upgrade(subprotocol: Option<&'static str>, origin: Option<&'static str>) -> Request {
    let mut request = "ws://sip.example.com/".into_client_request().unwrap();
    for (name, value) in [("sec-websocket-protocol", subprotocol), ("origin", origin)] {
        if let Some(value) = value {
            request.headers_mut().insert(name, HeaderValue::from_static(value));
        }
    }
    request
}

fn open<S: Read + Write>(stream: S) -> WebSocket<S> {
    client(upgrade(Some("sip"), Some("https://desk.example.com")), stream).unwrap().0
}

/// The next message that is no control frame.
fn next<S: Read + Write>(socket: &mut WebSocket<S>) -> Vec<u8> {
    for _ in 0..100 {
        let message = socket.read().unwrap();
        if message.is_text() || message.is_binary() {
            return message.into_data().into();
        }
    }
    panic!("control frames only");
}

fn exchange<S: Read + Write>(socket: &mut WebSocket<S>, message: Message) {
    socket.send(message).unwrap();
    assert!(next(socket).starts_with(b"SIP/2.0 200"));
}

#[test]
fn messages_come_as_text_and_as_binary_and_keep_alives_are_answered() {
    let server = Server::start(config(Transport::Ws));
    let mut socket = open(connect(server.addrs[0]));
    exchange(&mut socket, Message::text(options("a")));
    exchange(&mut socket, Message::binary(options("b").into_bytes()));
    socket.send(Message::text("\r\n\r\n")).unwrap();
    assert_eq!(next(&mut socket), b"\r\n");
    socket.send(Message::Ping("hello".into())).unwrap();
    assert_eq!(socket.read().unwrap(), Message::Pong("hello".into()));
    let Seen::Request(source) = server.seen() else { panic!() };
    assert_eq!(source.transport, Transport::Ws);
    server.send(1, source.reply_target());
    assert!(next(&mut socket).starts_with(b"OPTIONS"));
    socket.close(None).unwrap();
    while socket.read().is_ok() {}
    server.seen();
    assert!(matches!(server.seen(), Seen::FlowClosed(flow) if flow == source.flow));
}

#[test]
fn handshakes_without_the_subprotocol_or_from_foreign_pages_are_refused() {
    let server = Server::start(config(Transport::Ws));
    for (subprotocol, origin, accepted) in [
        (Some("sip"), None, true),
        (Some("sip"), Some("https://desk.example.com"), true),
        (Some("sip"), Some("https://evil.example"), false),
        (Some("xmpp"), None, false),
        (None, None, false),
    ] {
        let opened = client(upgrade(subprotocol, origin), connect(server.addrs[0]));
        assert_eq!(opened.is_ok(), accepted, "{subprotocol:?} {origin:?}");
    }
}

#[test]
fn sip_over_wss() {
    let authority = Authority::new();
    let mut config = config(Transport::Wss);
    config.listen[0].tls = Some(authority.server(&["sip.example.com"]));
    let server = Server::start(config);
    let stream = crate::tls::dial(&server, authority.client(None), "sip.example.com");
    let mut socket = open(stream);
    exchange(&mut socket, Message::text(options("a")));
    let Seen::Request(source) = server.seen() else { panic!() };
    assert_eq!(source.transport, Transport::Wss);
}

/// A frame from a client: first byte, payload; the mask is zero.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    assert!(payload.len() < 126);
    [&[first, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload].concat()
}

/// The raw stream after a handshake.
fn raw(server: &Server) -> TcpStream {
    open(connect(server.addrs[0])).get_ref().try_clone().unwrap()
}

#[test]
fn what_breaks_the_protocol_or_the_bounds_is_closed() {
    let fragments: Vec<u8> = std::iter::once(frame(0x01, b"a"))
        .chain((0..60_000).map(|_| frame(0x00, b"a")))
        .flatten()
        .collect();
    let mut oversize = vec![0x82, 0xff, 0, 0, 0, 0, 0, 2, 0, 0];
    oversize.extend([0; 4]);
    let unmasked = [&[0x81, 5][..], b"hello"].concat();
    let pings = frame(0x89, b"x").repeat(200);
    let no_utf8 = frame(0x81, &[0xff, 0xfe]);
    let server = Server::start(config(Transport::Ws));
    for (what, bytes) in [
        ("fragments", fragments),
        ("oversize", oversize),
        ("unmasked", unmasked),
        ("pings", pings),
        ("no UTF-8", no_utf8),
    ] {
        let mut stream = raw(&server);
        let _ = stream.write_all(&bytes);
        assert!(closes(&mut stream), "{what}");
    }
}

#[test]
fn a_message_half_told_is_closed_and_pings_buy_no_time() {
    let partial = Duration::from_millis(250);
    let connections = ConnectionLimits { partial, ..Default::default() };
    let server = Server::start(NetConfig { connections, ..config(Transport::Ws) });
    let mut spoken = open(connect(server.addrs[0]));
    exchange(&mut spoken, Message::text(options("a")));
    let mut half = open(connect(server.addrs[0]));
    exchange(&mut half, Message::text(options("b")));
    let start = std::time::Instant::now();
    half.get_mut().write_all(&frame(0x01, b"OPTIONS")).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    half.get_mut().write_all(&frame(0x89, b"")).unwrap();
    spoken.send(Message::Ping("still".into())).unwrap();
    assert!(closes(half.get_mut()));
    assert!(start.elapsed() < Duration::from_millis(800), "{:?}", start.elapsed());
    assert_eq!(spoken.read().unwrap(), Message::Pong("still".into()));
    exchange(&mut spoken, Message::text(options("c")));
}
