use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection, StreamOwned};
use sip::transport::{Target, Transport};
use sip_net::{ConnectionLimits, ListenSpec, NetConfig, TlsClient};

use crate::certificates::Authority;
use crate::harness::{Seen, Server, closes, connect, ping, target};

fn listen(authority: &Authority, transport: Transport) -> ListenSpec {
    let tls = Some(authority.server(&["sip.example.com", "127.0.0.1"]));
    let address = "127.0.0.1:0".parse().unwrap();
    ListenSpec { transport, address, tls, ws_origins: Vec::new() }
}

fn server(authority: &Authority, tls_client: TlsClient) -> Server {
    let listen = vec![listen(authority, Transport::Tls)];
    Server::start(NetConfig { listen, tls_client, ..NetConfig::default() })
}

pub(crate) fn dial(
    server: &Server,
    config: Arc<ClientConfig>,
    name: &'static str,
) -> StreamOwned<ClientConnection, TcpStream> {
    let client = ClientConnection::new(config, name.try_into().unwrap()).unwrap();
    StreamOwned::new(client, connect(server.addrs[0]))
}

fn names(server: &Server) -> Vec<String> {
    let Seen::Request(source) = server.seen() else { panic!() };
    assert_eq!(source.transport, Transport::Tls);
    source.tls_names.to_vec()
}

#[test]
fn clients_are_known_by_the_names_of_their_verified_certificate() {
    let authority = Authority::new();
    let server = server(&authority, TlsClient::default());
    ping(&mut dial(&server, authority.client(None), "sip.example.com"), "a");
    assert!(names(&server).is_empty());
    assert!(matches!(server.seen(), Seen::FlowClosed(_)));
    let named = authority.client(Some("Carrier.Example.NET"));
    ping(&mut dial(&server, named, "sip.example.com"), "b");
    assert_eq!(names(&server), ["carrier.example.net"]);
}

#[test]
fn a_certificate_is_renewed_for_new_connections_and_never_by_a_bad_file() {
    let authority = Authority::new();
    let spec = listen(&authority, Transport::Tls);
    let files = spec.tls.clone().unwrap();
    let server = Server::start(NetConfig { listen: vec![spec], ..NetConfig::default() });
    let mut old = dial(&server, authority.client(None), "sip.example.com");
    ping(&mut old, "a");
    // Another name in the same file: who asks for the old one is disappointed now.
    let (cert, key) = authority.files(&["renewed.example.com"]);
    std::fs::copy(cert, &files.cert).unwrap();
    assert!(server.certificates.renew().is_err(), "a certificate without its key");
    ping(&mut dial(&server, authority.client(None), "sip.example.com"), "b");
    std::fs::copy(key, &files.key).unwrap();
    assert_eq!(server.certificates.renew().unwrap(), 1);
    ping(&mut dial(&server, authority.client(None), "renewed.example.com"), "c");
    let refused = dial(&server, authority.client(None), "sip.example.com")
        .write_all(crate::harness::options("d").as_bytes());
    assert!(refused.is_err());
    ping(&mut old, "e");
}

#[test]
fn a_client_certificate_of_another_authority_is_refused() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let server = server(&authority, TlsClient::default());
    let mut config = (*authority.client(None)).clone();
    config.client_auth_cert_resolver =
        stranger.client(Some("carrier.example.net")).client_auth_cert_resolver.clone();
    let mut client = dial(&server, Arc::new(config), "sip.example.com");
    let _ = client.write_all(crate::harness::options("a").as_bytes());
    let mut socket = client.sock;
    assert!(closes(&mut socket));
    assert!(server.idle());
    server.stats_when(|stats| stats.handshake_failed == 1);
}

#[test]
fn we_connect_only_to_a_server_that_proves_its_name() {
    let (authority, other) = (Authority::new(), Authority::new());
    let peer = server(&authority, TlsClient::default());
    let ca_file = Some(authority.ca_file());
    let identity = Some(authority.files(&["us.example.org"]));
    let trusting = TlsClient { ca_file, identity, ..TlsClient::default() };
    let ours = server(&authority, trusting);
    let to = |name: Option<&str>| Target {
        tls_name: name.map(Into::into),
        ..target(Transport::Tls, peer.addrs[0])
    };
    ours.send(1, to(Some("sip.example.com")));
    assert_eq!(names(&peer), ["us.example.org"], "we show our certificate");
    let Seen::Response(source) = ours.seen() else { panic!() };
    assert_eq!(source.tls_names[..], ["sip.example.com"]);
    ours.send(2, to(None));
    assert!(matches!(ours.seen(), Seen::Response(..)), "verified by address");
    ours.send(3, to(Some("evil.example.com")));
    assert!(matches!(ours.seen(), Seen::SendFailed(3)));
    assert_eq!(ours.stats.snapshot().connected, 2);

    // An authority of its own for one name.
    let ca_by_name = [("sip.example.com".to_owned(), authority.ca_file())].into();
    let ca_file = Some(other.ca_file());
    let picky = server(&other, TlsClient { ca_file, ca_by_name, identity: None });
    picky.send(1, to(Some("SIP.example.com")));
    assert!(matches!(picky.seen(), Seen::Response(..)));
    picky.send(2, to(None));
    assert!(matches!(picky.seen(), Seen::SendFailed(2)), "the other authority did not sign it");
}

#[test]
fn handshakes_take_bounded_time() {
    let authority = Authority::new();
    let handshake = Duration::from_millis(150);
    let server = Server::start(NetConfig {
        listen: vec![listen(&authority, Transport::Tls), listen(&authority, Transport::Wss)],
        connections: ConnectionLimits { handshake, ..Default::default() },
        ..NetConfig::default()
    });
    for addr in &server.addrs {
        let mut silent = connect(*addr);
        assert!(closes(&mut silent));
    }
    server.stats_when(|stats| stats.handshake_failed == 2);
}

#[test]
fn faults_of_files_are_named() {
    let authority = Authority::new();
    let mut files = authority.server(&["sip.example.com"]);
    std::mem::swap(&mut files.cert, &mut files.key);
    let mut listen = listen(&authority, Transport::Tls);
    listen.tls = Some(files);
    let error = sip_net::bind(NetConfig { listen: vec![listen], ..NetConfig::default() });
    let error = error.err().unwrap().to_string();
    assert!(error.contains("sip.example.com.key: holds no certificate"), "{error}");
}
