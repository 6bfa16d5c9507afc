//! Our handshake against OpenSSL's over loopback, in both roles: the keys it exports are ours.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "OpenSSL wants a socket")]

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::Time;
use media::dtls::{Dtls, Event, Failure, Fingerprint, Hash, Identity, Peer, Role};
use media::srtp::{KEY_LEN, Keying, MasterKey, Profile};

const PATIENCE: Duration = Duration::from_secs(20);
const PROFILE: Profile = Profile::AesCm128HmacSha1_80;
const EXPORT: [&str; 6] = [
    "-use_srtp",
    "SRTP_AES128_CM_SHA1_80",
    "-keymatexport",
    "EXTRACTOR-dtls_srtp",
    "-keymatexportlen",
    "60",
];

/// OpenSSL, with a certificate of its own in a file; ended when dropped.
struct OpenSsl {
    child: Child,
    fingerprint: Fingerprint,
}

impl OpenSsl {
    fn run(name: &str, arguments: &[&str], with_certificate: bool) -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["openssl".to_owned()]).unwrap();
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&directory).unwrap();
        let (certificate, key) = (directory.join("certificate.pem"), directory.join("key.pem"));
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let mut command = Command::new("openssl");
        command.args(arguments).args(EXPORT);
        if with_certificate {
            command.arg("-cert").arg(&certificate).arg("-key").arg(&key);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let child = command.spawn().expect("openssl, which the tests need (see the Makefile)");
        Self { child, fingerprint: Fingerprint::of(made.cert.der(), Hash::Sha512) }
    }

    /// The keys of client and server that it prints, once it has ended.
    fn exported(mut self) -> [MasterKey; 2] {
        drop(self.child.stdin.take());
        std::thread::sleep(Duration::from_millis(200));
        let _ = self.child.kill();
        let mut text = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        let hex = text.split_once("Keying material: ").expect(&text).1;
        let hex = hex.split_whitespace().next().unwrap();
        let byte = |at: usize| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap();
        let material: Vec<u8> = (0..60).map(byte).collect();
        let salts = &material[2 * KEY_LEN..];
        [0, 1].map(|n| {
            let key = &material[n * KEY_LEN..][..KEY_LEN];
            MasterKey::from_parts(PROFILE, key, &salts[n * 14..][..14]).unwrap()
        })
    }
}

impl Drop for OpenSsl {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn identity() -> Arc<Identity> {
    let made = rcgen::generate_simple_self_signed(vec!["hookflash".to_owned()]).unwrap();
    let key = made.signing_key.serialize_der();
    Arc::new(Identity::new(made.cert.der(), &key, Instant::now()).unwrap())
}

/// Drives our side till it has come to something, and a little longer for the last flight.
fn shake_hands(socket: &UdpSocket, mut to: Option<SocketAddr>, peer: Peer) -> Event {
    let began = Instant::now();
    let now = || Time::ZERO + began.elapsed();
    let mut dtls = Dtls::new(identity(), peer);
    let mut came = dtls.start(now());
    let mut buffer = [0; 2000];
    socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    while came.is_none() && began.elapsed() < PATIENCE {
        while let (Some(to), Some(datagram)) = (to, dtls.poll_transmit()) {
            socket.send_to(&datagram, to).unwrap();
        }
        if let Ok((len, from)) = socket.recv_from(&mut buffer) {
            to = Some(from);
            came = dtls.handle(now(), &buffer[..len]);
        }
        let event = dtls.handle_timeout(now());
        came = came.or(event);
    }
    while let (Some(to), Some(datagram)) = (to, dtls.poll_transmit()) {
        socket.send_to(&datagram, to).unwrap();
    }
    came.expect("a handshake in time")
}

#[test]
fn openssl_opens_and_exports_the_same_keys() {
    // The second one in small pieces.
    for (name, extra) in [("client", &[][..]), ("client-pieces", &["-mtu", "256"])] {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = socket.local_addr().unwrap().to_string();
        let arguments = [&["s_client", "-dtls1_2", "-connect", &address], extra].concat();
        let openssl = OpenSsl::run(name, &arguments, true);
        let peer = Peer { role: Role::Server, fingerprints: vec![openssl.fingerprint.clone()] };
        let came = shake_hands(&socket, None, peer);
        let [client, server] = openssl.exported();
        assert_eq!(came, Event::Keyed(Keying { profile: PROFILE, send: server, receive: client }));
    }
}

#[test]
fn openssl_is_opened_and_exports_the_same_keys() {
    let free = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let address = free.to_string();
    let arguments = ["s_server", "-dtls1_2", "-accept", &address, "-Verify", "1", "-naccept", "1"];
    let openssl = OpenSsl::run("server", &arguments, true);
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let peer = Peer { role: Role::Client, fingerprints: vec![openssl.fingerprint.clone()] };
    let came = shake_hands(&socket, Some(free), peer);
    let [client, server] = openssl.exported();
    assert_eq!(came, Event::Keyed(Keying { profile: PROFILE, send: client, receive: server }));
}

#[test]
fn openssl_without_a_certificate_or_with_another_one_gets_no_keys() {
    for (name, with_certificate) in [("nobody", false), ("somebody", true)] {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = socket.local_addr().unwrap().to_string();
        let arguments = ["s_client", "-dtls1_2", "-connect", &address];
        let openssl = OpenSsl::run(name, &arguments, with_certificate);
        let mut fingerprint = openssl.fingerprint.clone();
        fingerprint.digest[0] ^= u8::from(with_certificate);
        let peer = Peer { role: Role::Server, fingerprints: vec![fingerprint] };
        // OpenSSL gives up at our first alert; we wait for somebody else till the time is over.
        let began = Instant::now();
        let mut dtls = Dtls::new(identity(), peer);
        let mut buffer = [0; 2000];
        let mut came = None;
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        while came.is_none() && began.elapsed() < Duration::from_secs(3) {
            let Ok((len, from)) = socket.recv_from(&mut buffer) else { continue };
            came = dtls.handle(Time::ZERO + began.elapsed(), &buffer[..len]);
            while let Some(datagram) = dtls.poll_transmit() {
                socket.send_to(&datagram, from).unwrap();
            }
        }
        let came = came.or_else(|| dtls.handle_timeout(Time::ZERO + Duration::from_secs(60)));
        let failure = if with_certificate { Failure::NotThePeer } else { Failure::TimedOut };
        assert_eq!(came, Some(Event::Failed(failure)), "{name}");
    }
}
