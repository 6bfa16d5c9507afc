//! The user agent against a scripted peer of plain text, which shares no code with it.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::{Error, answer, call, ping};
use crate::cli;

/// One request or response as text, its headers by lower-case name (the last of each).
struct Text {
    first: String,
    headers: BTreeMap<String, String>,
    body: String,
}

struct Peer {
    socket: UdpSocket,
    last: SocketAddr,
}

impl Peer {
    fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let last = socket.local_addr().unwrap();
        Self { socket, last }
    }

    fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    /// The next message that begins so; others are passed over.
    fn expect(&mut self, first: &str) -> Text {
        for _ in 0..50 {
            let mut buffer = [0; 65_535];
            let (len, from) = self.socket.recv_from(&mut buffer).unwrap();
            self.last = from;
            let text = String::from_utf8(buffer[..len].to_vec()).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            let mut lines = head.lines();
            let line = lines.next().unwrap().to_owned();
            if line.starts_with(first) {
                let header = |line: &str| {
                    let (name, value) = line.split_once(':').unwrap();
                    (name.to_ascii_lowercase(), value.trim().to_owned())
                };
                return Text {
                    first: line,
                    headers: lines.map(header).collect(),
                    body: body.into(),
                };
            }
        }
        panic!("no {first}");
    }

    fn reply(&self, to: &Text, status: &str, tag: &str, more: &str, body: &str) {
        let copied: String = ["Via", "From", "Call-ID", "CSeq"]
            .iter()
            .map(|name| format!("{name}: {}\r\n", to.headers[&name.to_ascii_lowercase()]))
            .collect();
        let own_tag = if to.headers["to"].contains("tag=") { "" } else { tag };
        let text = format!(
            "SIP/2.0 {status}\r\n{copied}To: {}{own_tag}\r\nContact: <sip:peer@{}>\r\n{more}\
             Content-Length: {}\r\n\r\n{body}",
            to.headers["to"],
            self.address(),
            body.len()
        );
        self.socket.send_to(text.as_bytes(), self.last).unwrap();
    }

    fn sdp(&self, port: u16) -> String {
        format!(
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
             m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
        )
    }
}

const SDP: &str = "Content-Type: application/sdp\r\n";

fn account(server: SocketAddr) -> cli::Account {
    cli::Account {
        server,
        user: Some("1005".into()),
        password: Some("correct-horse".into()),
        domain: None,
        data_dir: None,
    }
}

fn audio() -> cli::Audio {
    cli::Audio { play: None, record: None, tone: 440.0, codec: cli::CodecName::Pcmu }
}

fn start_call(server: SocketAddr, seconds: f64) -> JoinHandle<Result<bool, Error>> {
    let arguments = cli::Call {
        to: "1001".into(),
        duration: Some(seconds),
        ring_timeout: 5,
        account: account(server),
        audio: audio(),
    };
    std::thread::spawn(move || call(&arguments, Arc::default()))
}

/// RTP that comes to `socket` goes back.
fn echo(socket: UdpSocket) {
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            socket.send_to(&buffer[..len], from).unwrap();
        }
    });
}

#[test]
fn a_call_is_authenticated_acknowledged_heard_and_hung_up() {
    let mut peer = Peer::new();
    let rtp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = rtp.local_addr().unwrap().port();
    echo(rtp);
    let caller = start_call(peer.address(), 0.5);

    let invite = peer.expect("INVITE sip:1001@127.0.0.1");
    assert!(!invite.headers.contains_key("authorization"));
    let challenge =
        "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\", algorithm=MD5\r\n";
    peer.reply(&invite, "401 Unauthorized", ";tag=a", challenge, "");
    peer.expect("ACK");
    let invite = peer.expect("INVITE");
    assert_eq!(invite.headers["cseq"], "2 INVITE");
    let authorization = &invite.headers["authorization"];
    assert!(authorization.contains("username=\"1005\"") && authorization.contains("nc=00000001"));
    assert!(!authorization.contains("correct-horse"));
    assert!(invite.body.contains("m=audio ") && invite.body.contains(" RTP/AVP 0 8 101"));
    peer.reply(&invite, "180 Ringing", ";tag=b", "", "");
    peer.reply(&invite, "200 OK", ";tag=b", SDP, &peer.sdp(port));
    let ack = peer.expect("ACK sip:peer@");
    assert_eq!(ack.headers["cseq"], "2 ACK");
    // The ACK was lost: the 200 comes again.
    peer.reply(&invite, "200 OK", ";tag=b", SDP, &peer.sdp(port));
    peer.expect("ACK sip:peer@");
    let bye = peer.expect("BYE sip:peer@");
    assert_eq!(bye.headers["cseq"], "3 BYE");
    peer.reply(&bye, "200 OK", "", "", "");
    assert!(caller.join().unwrap().unwrap(), "the echo was heard");
}

#[test]
fn a_refused_call_fails_without_an_error() {
    let mut peer = Peer::new();
    let caller = start_call(peer.address(), 1.0);
    let invite = peer.expect("INVITE");
    peer.reply(&invite, "486 Busy Here", ";tag=b", "", "");
    peer.expect("ACK");
    assert!(!caller.join().unwrap().unwrap());
}

#[test]
fn the_far_end_may_put_us_on_hold_and_hang_up() {
    let mut peer = Peer::new();
    let rtp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = rtp.local_addr().unwrap().port();
    let caller = start_call(peer.address(), 30.0);
    let invite = peer.expect("INVITE");
    peer.reply(&invite, "200 OK", ";tag=b", SDP, &peer.sdp(port));
    peer.expect("ACK");
    let request = |method: &str, seq: u32, body: &str| {
        let (from, call_id) = (&invite.headers["from"], &invite.headers["call-id"]);
        format!(
            "{method} sip:1005@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {};branch=z9hG4bK{seq}\r\n\
             Max-Forwards: 70\r\nFrom: {};tag=b\r\nTo: {from}\r\nCall-ID: {call_id}\r\n\
             CSeq: {seq} {method}\r\nContact: <sip:peer@{}>\r\n{SDP}Content-Length: {}\r\n\r\n{body}",
            peer.address(),
            invite.headers["to"],
            peer.address(),
            body.len()
        )
    };
    let hold = peer.sdp(port) + "a=sendonly\r\n";
    let (hold, bye) = (request("INVITE", 1, &hold), request("BYE", 2, ""));
    peer.socket.send_to(hold.as_bytes(), peer.last).unwrap();
    let held = peer.expect("SIP/2.0 200");
    assert!(held.body.contains("a=recvonly"), "{}", held.body);
    peer.socket.send_to(bye.as_bytes(), peer.last).unwrap();
    loop {
        // The 200 to the re-INVITE is repeated, for it was not acknowledged.
        if peer.expect("SIP/2.0 200").headers["cseq"] == "2 BYE" {
            break;
        }
    }
    assert!(!caller.join().unwrap().unwrap(), "nothing was heard");
}

#[test]
fn a_phone_registers_answers_and_unregisters() {
    let mut peer = Peer::new();
    let arguments = cli::Answer {
        echo: true,
        calls: 1,
        ring: 0.1,
        account: account(peer.address()),
        audio: audio(),
    };
    let phone = std::thread::spawn(move || answer(&arguments, Arc::default()));
    let register = peer.expect("REGISTER sip:127.0.0.1");
    let challenge =
        "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\", algorithm=SHA-256\r\n";
    peer.reply(&register, "401 Unauthorized", ";tag=a", challenge, "");
    let register = peer.expect("REGISTER");
    assert!(register.headers["authorization"].contains("SHA-256"));
    assert_eq!(register.headers["expires"], "300");
    peer.reply(&register, "200 OK", ";tag=a", "", "");
    let to = |method: &str, seq: u32, tag: &str, more: &str, body: &str| {
        format!(
            "{method} sip:1005@127.0.0.1 SIP/2.0\r\n\
             Via: SIP/2.0/UDP {};branch=z9hG4bKx{seq}{method}\r\nMax-Forwards: 70\r\n\
             From: <sip:1001@h>;tag=c\r\nTo: <sip:1005@h>{tag}\r\nCall-ID: one\r\n\
             CSeq: {seq} {method}\r\nContact: <sip:peer@{}>\r\n{more}Content-Length: {}\r\n\r\n{body}",
            peer.address(),
            peer.address(),
            body.len()
        )
    };
    let rtp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let invite = to("INVITE", 1, "", SDP, &peer.sdp(rtp.local_addr().unwrap().port()));
    let (socket, last) = (peer.socket.try_clone().unwrap(), peer.last);
    let send = |text: &str| socket.send_to(text.as_bytes(), last).unwrap();
    let requests = |tag: &str| (to("ACK", 1, tag, "", ""), to("BYE", 2, tag, "", ""));
    send(&invite);
    let mut peer = Peer { socket: socket.try_clone().unwrap(), last };
    let ringing = peer.expect("SIP/2.0 180");
    let ok = peer.expect("SIP/2.0 200");
    assert_eq!(ringing.headers["to"], ok.headers["to"]);
    let tag = &ok.headers["to"]["<sip:1005@h>".len()..];
    let (ack, bye) = requests(tag);
    send(&ack);
    send(&bye);
    assert_eq!(peer.expect("SIP/2.0 200").headers["cseq"], "2 BYE");
    let leave = peer.expect("REGISTER");
    assert_eq!(leave.headers["expires"], "0");
    assert!(leave.headers["authorization"].contains("nc=00000002"), "{}", leave.first);
    peer.reply(&leave, "200 OK", ";tag=a", "", "");
    assert!(!phone.join().unwrap().unwrap(), "nothing was said to it");
}

#[test]
fn a_ping_tells_the_status() {
    let mut peer = Peer::new();
    let server = peer.address();
    let pinged = std::thread::spawn(move || ping(server));
    let options = peer.expect("OPTIONS sip:127.0.0.1");
    peer.reply(&options, "503 Service Unavailable", ";tag=a", "", "");
    assert_eq!(pinged.join().unwrap().unwrap().0, 503);
}
