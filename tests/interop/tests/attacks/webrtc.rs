//! Rows 22 and 23: SRTP with wrong, repeated and rolled-over packets; strangers who send STUN and
//! DTLS to the ports of browsers' legs.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::ops::{Range, RangeInclusive};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use interop::audio::Audio;
use interop::client::{Client, Message};
use interop::srtp::SecureAudio;
use interop::{Baresip, CUSTOMER, Chromium, PHONE, Server, Setup, Talk, audio};

use crate::STRANGER;

const QUIET: Duration = Duration::from_millis(300);
const PACE: Duration = Duration::from_millis(5);
/// Datagrams of a flood that are sent in one go.
const BURST: u64 = 10;

/// A stranger who sends datagrams to ports of the server until told to stop.
struct Flood {
    thread: JoinHandle<usize>,
    sent: &'static AtomicUsize,
    stop: &'static AtomicBool,
}

impl Flood {
    fn start(
        ports: RangeInclusive<u16>,
        per_second: u64,
        datagram: impl Fn(usize) -> Vec<u8> + Send + 'static,
    ) -> Self {
        let stop: &AtomicBool = Box::leak(Box::default());
        let sent: &AtomicUsize = Box::leak(Box::default());
        let thread = thread::spawn(move || {
            let socket = UdpSocket::bind((STRANGER, 0)).expect("a port");
            let ports: Vec<u16> = ports.step_by(2).collect();
            let began = Instant::now();
            let mut count = 0;
            while !stop.load(Ordering::Relaxed) {
                let due = (began.elapsed().as_secs_f64() * per_second as f64) as usize;
                for _ in 0..due.saturating_sub(count).min(20 * BURST as usize) {
                    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, ports[count % ports.len()]));
                    let _ = socket.send_to(&datagram(count), to);
                    count += 1;
                    sent.store(count, Ordering::Relaxed);
                }
                thread::sleep(Duration::from_micros(1_000_000 * BURST / per_second));
            }
            socket.set_read_timeout(Some(QUIET)).expect("longer than nothing");
            let mut buffer = [0; 2048];
            assert!(socket.recv(&mut buffer).is_err(), "the server answers a stranger");
            count
        });
        Self { thread, sent, stop }
    }

    fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }

    /// How much it sent; nothing has come back.
    fn end(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("it ends, unanswered")
    }
}

/// `TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256`, and the same without encryption.
const SUITE: [u8; 2] = [0xc0, 0x2b];
const NULL_SUITE: [u8; 2] = [0xc0, 0x06];
const CLIENT_HELLO: u8 = 1;
const HELLO_VERIFY_REQUEST: u8 = 3;

/// A ClientHello that any DTLS server would answer; each with a random of its own.
fn hello(n: usize) -> Vec<u8> {
    record(n as u64, &hello_message(n, SUITE), 0..usize::MAX)
}

/// Of one suite, without its header.
fn hello_message(n: usize, suite: [u8; 2]) -> Vec<u8> {
    let mut body = vec![0xfe, 0xfd];
    body.extend((n as u64).to_be_bytes().repeat(4));
    body.extend([0, 0, 0, 2]); // no session, no cookie, one suite
    body.extend(suite);
    body.extend([1, 0]);
    let extensions: &[&[u8]] = &[
        &[0, 14, 0, 5, 0, 2, 0, 1, 0],
        &[0, 10, 0, 6, 0, 4, 0, 29, 0, 23],
        &[0, 13, 0, 4, 0, 2, 4, 3],
        &[0, 11, 0, 2, 1, 0],
    ];
    let extensions = extensions.concat();
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(extensions);
    body
}

/// A record of the fragment `of` a ClientHello (RFC 6347 §4.2.2).
fn record(sequence: u64, hello: &[u8], of: Range<usize>) -> Vec<u8> {
    let part = of.start..of.end.min(hello.len());
    let number = |value: usize| (value as u32).to_be_bytes()[1..].to_vec();
    let mut handshake = vec![CLIENT_HELLO];
    handshake.extend(number(hello.len()));
    handshake.extend([0, 0]);
    handshake.extend(number(part.start));
    handshake.extend(number(part.len()));
    handshake.extend(&hello[part]);
    let mut record = vec![22, 0xfe, 0xff, 0, 0];
    record.extend(&sequence.to_be_bytes()[2..]);
    record.extend((handshake.len() as u16).to_be_bytes());
    record.extend(handshake);
    record
}

/// A check for this user whose MESSAGE-INTEGRITY, if it has one, is wrong.
fn check(user: &str, with_integrity: bool, n: usize) -> Vec<u8> {
    let mut attributes = Vec::new();
    let mut attribute = |kind: u16, value: &[u8]| {
        attributes.extend(kind.to_be_bytes());
        attributes.extend((value.len() as u16).to_be_bytes());
        attributes.extend(value);
        attributes.resize(attributes.len().next_multiple_of(4), 0);
    };
    attribute(6, user.as_bytes());
    attribute(0x24, &[0x6e, 0, 0xff, 0xff]);
    attribute(0x25, &[]);
    if with_integrity {
        attribute(8, &[n as u8; 20]);
    }
    let mut message = vec![0, 1];
    message.extend((attributes.len() as u16 + 8).to_be_bytes());
    message.extend([0x21, 0x12, 0xa4, 0x42]);
    message.extend([0; 4]);
    message.extend((n as u64).to_be_bytes());
    message.extend(attributes);
    let crc = !message.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    });
    message.extend([0x80, 0x28, 0, 4]);
    message.extend((crc ^ 0x5354_554e).to_be_bytes());
    message
}

fn browser_setup() -> Setup {
    let net = "websocket_origins = [\"*\"]";
    Setup { digest: r#"["MD5"]"#, net, ..Setup::default() }
}

/// Row 23: while browsers' calls are set up, strangers begin DTLS and ICE at every port.
#[test]
fn hellos_and_checks_of_strangers_do_not_disturb_a_browsers_call() {
    let mut server = Server::start(&browser_setup());
    let phone = Baresip::start(&mut server, "1002", 770);
    let browser = Chromium::start(&server, "1001", 600);
    let flood = Flood::start(server.rtp(), 4_000, |n| match n % 4 {
        0 => check("someone:else", true, n),
        _ => hello(n),
    });
    let mut calls = 0;
    let end = Instant::now() + Duration::from_secs(60);
    while calls < 5 || flood.sent() < 14_000 {
        assert!(Instant::now() < end, "{calls} calls, {} sent", flood.sent());
        assert_eq!(browser.run("phone.dial('1002')"), "connected");
        assert_eq!(browser.run("phone.hangUp()"), 200);
        calls += 1;
    }
    assert!(flood.end() >= 14_000);
    drop((browser, phone));
    let ended = server.stop();
    assert_eq!(ended.records.len(), calls);
    assert!(ended.records.iter().all(|record| record.status() == 200), "{:?}", ended.records);
    assert!(!ended.log.contains("no keys by DTLS"));
}

/// Row 23: who knows the user name and not the password gets nothing, however often it tries.
#[test]
fn ten_thousand_checks_a_second_cost_no_audio() {
    let mut server = Server::start(&browser_setup());
    let phone = Baresip::start(&mut server, "1002", 770);
    let browser = Chromium::start(&server, "1001", 600);
    assert_eq!(browser.run("phone.dial('1002')"), "connected");
    let description = browser.run("phone.pc.remoteDescription.sdp");
    let description = description.as_str().unwrap();
    let line = description.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:"));
    let user = format!("{}:theirs", line.expect("our user name").trim());
    let port = audio::place(description).port();
    // The page asks for its figures once a second.
    let fact = |browser: &Chromium, name| {
        interop::eventually(Duration::from_secs(10), || browser.fact(name).as_i64()).unwrap()
    };
    let figures = |browser: &Chromium| ["received", "lost"].map(|name| fact(browser, name));
    let before = figures(&browser);
    let flood = Flood::start(port..=port, 10_000, move |n| check(&user, n % 2 == 0, n));
    let heard = browser.hears(770, 3000);
    let after = figures(&browser);
    let sent = flood.end();
    let [received, lost] = [after[0] - before[0], after[1] - before[1]];
    assert!(sent >= 10_000, "{sent}");
    assert!(received >= 100 && lost * 100 <= received, "{lost} of {received} lost");
    assert!(heard.tone >= 28, "{heard:?}");
    assert_eq!(browser.run("phone.hangUp()"), 200);
    drop((browser, phone));
    server.stop();
}

/// A caller with SDES whose packets are written by hand, and a phone without.
fn secure_call() -> (Server, SecureAudio, Audio, Talk, SocketAddr) {
    let server = Server::start(&Setup::default().with_untouched_audio());
    let (caller, called) = (SecureAudio::at(CUSTOMER), Audio::at(PHONE, 0x22));
    let mut phone = Client::at(PHONE, server.sip());
    assert_eq!(phone.register("1001", 600).status(), 200);
    let customer = Client::at(CUSTOMER, server.sip());
    let (offer, answer) = (caller.sdp(1), called.sdp());
    let (talk, [place, _]) =
        Talk::with_descriptions(customer, phone, "+4930100", [&offer, &answer]);
    (server, caller, called, talk, place)
}

/// Row 22: repeated, forged and unprotected packets are dropped and the call goes on; the counter
/// rolls over, with loss and out of order.
#[test]
fn replays_and_forgeries_are_not_heard_and_the_counter_rolls_over() {
    let (server, caller, called, talk, place) = secure_call();
    let mut expected = Vec::new();
    let say = |index: u64, mark: u8| {
        let packet = caller.packet(index, mark);
        caller.send(&packet, place);
        thread::sleep(PACE);
        packet
    };
    let first = say(65_520, 1);
    expected.push(1);
    for _ in 0..20 {
        caller.send(&first, place); // a replay
        let mut forged = caller.packet(65_521, 9);
        forged[20] ^= 1;
        caller.send(&forged, place);
        let mut bare = forged.clone();
        bare.truncate(172); // without a tag, as in the clear
        caller.send(&bare, place);
        thread::sleep(PACE);
    }
    // 65,530 to 65,550, i.e. over the end of the sequence numbers: some lost, some late.
    for (index, mark) in [(65_530, 2), (65_535, 3), (65_537, 4), (65_536, 5), (65_534, 6)] {
        say(index, mark);
        expected.push(mark);
    }
    let last = say(65_550, 7);
    expected.push(7);
    caller.send(&last, place);
    caller.send(&first, place);
    // Of a roll-over that was never reached.
    caller.send(&caller.packet(200_000, 9), place);
    let mut heard = called.heard(QUIET);
    assert_eq!(heard.len(), expected.len(), "{heard:?}");
    heard.sort_unstable();
    assert_eq!(heard, expected);
    let record = &talk.ends_well(server).records[0];
    assert_eq!(record.of_legs("packetsReceived")[0], expected.len() as u64);
}

/// Row 22: a new key by re-INVITE; the old one is no good any more once the new one is in use.
#[test]
fn a_re_invite_with_a_new_key_changes_the_key() {
    let (server, mut caller, called, talk, place) = secure_call();
    caller.send(&caller.packet(65_400, 1), place);
    assert_eq!(called.heard(QUIET), [1]);
    let former = caller.packet(65_402, 9);
    let unchanged = caller.sdp(1);
    // A refresh changes nothing.
    let reinvite = |seq: u32, sdp: &str| -> Message {
        let Talk { customer, of_customer, .. } = &talk;
        let answered = customer.ask(&customer.within(of_customer, "INVITE", seq, sdp));
        customer.send(&customer.within(of_customer, "ACK", seq, ""));
        answered
    };
    let crypto = |answer: &Message| {
        let line = answer.body().lines().find(|line| line.starts_with("a=crypto:"));
        line.unwrap_or_default().to_owned()
    };
    let first = crypto(&reinvite(20, &unchanged));
    caller.send(&caller.packet(65_401, 2), place);
    assert_eq!(called.heard(QUIET), [2]);
    caller.rekey(0x77);
    let second = crypto(&reinvite(21, &caller.sdp(2)));
    assert!(!first.is_empty() && !second.is_empty() && first != second, "{first} {second}");
    for index in 0..60 {
        caller.send(&caller.packet(65_500 + index, 3), place);
        thread::sleep(PACE);
    }
    assert_eq!(called.heard(QUIET), [3; 60]);
    caller.send(&former, place);
    assert!(called.heard(QUIET).is_empty());
    // In the clear: refused, and all goes on as it was.
    let plain = caller.sdp(3).replace("RTP/SAVP", "RTP/AVP");
    let plain: String =
        plain.lines().filter(|line| !line.contains("crypto")).map(|l| format!("{l}\r\n")).collect();
    assert_eq!(reinvite(22, &plain).status(), 488);
    caller.send(&caller.packet(65_600, 4), place);
    assert_eq!(called.heard(QUIET), [4]);
    talk.ends_well(server);
}

/// Row 23: from where the peer is a hello in pieces is understood, one without encryption is not.
#[test]
fn a_null_cipher_is_refused_and_a_hello_in_pieces_is_not() {
    let server = Server::start(&Setup::default());
    let peer = UdpSocket::bind((CUSTOMER, 0)).unwrap();
    let place = peer.local_addr().unwrap();
    let fingerprint = vec!["AB"; 32].join(":");
    let offer = format!(
        "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
         m=audio {port} UDP/TLS/RTP/SAVP 0\r\na=fingerprint:sha-256 {fingerprint}\r\n\
         a=setup:active\r\na=rtcp-mux\r\n",
        ip = place.ip(),
        port = place.port()
    );
    let called = Audio::at(PHONE, 0x22);
    let mut phone = Client::at(PHONE, server.sip());
    assert_eq!(phone.register("1001", 600).status(), 200);
    let customer = Client::at(CUSTOMER, server.sip());
    let (talk, [to, _]) =
        Talk::with_descriptions(customer, phone, "+4930100", [&offer, &called.sdp()]);
    peer.connect(to).unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let mut records = 0;
    // The kind of the first handshake message that comes back; an alert is none.
    let mut ask = |hello: &[u8], parts: &[Range<usize>]| {
        for part in parts {
            records += 1;
            peer.send(&record(records, hello, part.clone())).unwrap();
        }
        let mut buffer = [0; 2048];
        let len = peer.recv(&mut buffer).unwrap_or(0);
        let message = buffer[..len].get(13..).unwrap_or_default();
        message.first().copied().filter(|_| buffer[0] == 22)
    };
    // Whoever is taken on is asked for a cookie first.
    let whole = vec![Range { start: 0, end: usize::MAX }];
    for n in 1..3 {
        assert_eq!(ask(&hello_message(n, NULL_SUITE), &whole), None, "no encryption");
    }
    let pieces = [0..40, 40..usize::MAX];
    assert_eq!(ask(&hello_message(3, SUITE), &pieces), Some(HELLO_VERIFY_REQUEST));
    assert!(!server.log().contains("keys by DTLS leg"));
    talk.hang_up();
    server.stop();
}
