//! Rows 29 and 32 to 34: the server is told to leave, the clock jumps, a trunk or a phone or the
//! CPU is away for a while.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use interop::audio::Audio;
use interop::client::{Client, Message, PATIENCE};
use interop::{CUSTOMER, PHONE, Server, Setup, Talk, eventually};

use crate::media::{MARKS, both_heard, converse, pair, registered};
use crate::{SILENCE, credentials, decline, is_well};

/// A call of the trunk `customer` to 1001 with audio.
fn talk(server: &Server, audio: &[Audio; 2]) -> (Talk, [SocketAddr; 2]) {
    let customer = Client::at(CUSTOMER, server.sip());
    let [one, two] = audio;
    Talk::with_audio(customer, registered(server), "+4930100", [one, two])
}

/// Row 29: who is told to leave takes nothing new, lets live calls go on, and leaves with the last.
#[test]
fn a_draining_server_refuses_new_calls_and_leaves_with_the_last_one() {
    let setup = Setup { drain_limit_s: 60, ..Setup::default().with_untouched_audio() };
    let server = Server::start(&setup);
    let mut audio = pair();
    let (talk, places) = talk(&server, &audio);
    server.terminate();
    let customer = Client::at(CUSTOMER, server.sip());
    let unwell = eventually(Duration::from_secs(1), || {
        (customer.ask(&customer.request("OPTIONS", "ping")).status() == 503).then_some(())
    });
    assert!(unwell.is_some(), "health says so within a second");
    customer.renew();
    let text = customer.request_with("INVITE", "+4930100", "+4915", &[], &customer.sdp());
    let refused = customer.ask(&text);
    assert_eq!(refused.status(), 503, "{refused}");
    assert!(refused.header("Retry-After").is_some(), "{refused}");
    assert!(talk.phone.receive_within(SILENCE).is_none(), "nobody is called");
    both_heard(&converse(&mut audio, places, 20), 20, 0);
    let alive = talk.customer.within(&talk.of_customer, "OPTIONS", 90, "");
    assert_eq!(talk.customer.ask(&alive).status(), 200);
    talk.hang_up();
    let ended = server.leaves();
    let ends: Vec<_> = ended.records.iter().map(|record| record.status()).collect();
    assert_eq!(ends, [200], "{}", ended.log);
}

/// Row 32: the wall clock is data. An hour forward and two back, and nothing happens.
#[test]
fn the_wall_clock_may_jump_and_nothing_happens() {
    let clock = std::env::temp_dir().join(format!("hookflash-clock-{}", std::process::id()));
    let set = |offset: &str| std::fs::write(&clock, offset).expect("a file of ours");
    set("+0");
    let library =
        format!("/usr/lib/{}-linux-gnu/faketime/libfaketimeMT.so.1", std::env::consts::ARCH);
    assert!(std::path::Path::new(&library).exists(), "make deps");
    // Only the wall clock is forged: a step of NTP leaves the monotonic one as it is, too.
    let env = [
        ("LD_PRELOAD", library.as_str()),
        ("FAKETIME_TIMESTAMP_FILE", clock.to_str().expect("a name")),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("FAKETIME_DONT_RESET", "1"),
    ];
    let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let server = Server::start(&Setup { env, ..Setup::default().with_untouched_audio() });
    let mut audio = pair();
    let mut desk = Client::at(Ipv4Addr::new(127, 0, 0, 12), server.sip());
    assert_eq!(desk.register("1002", 60).status(), 200);
    let began = Instant::now();
    let (talk, places) = talk(&server, &audio);
    for offset in ["+3600", "-3600", "+0"] {
        set(offset);
        both_heard(&converse(&mut audio, places, 20), 20, 0);
        for client in [&talk.customer, &talk.phone] {
            let said = client.receive_within(Duration::from_millis(20));
            assert!(said.is_none(), "a timer has run wild at {offset}: {said:?}");
        }
        // Challenges, registrations and trunks are what they were.
        let customer = Client::at(CUSTOMER, server.sip());
        customer.send(&customer.request_with("INVITE", "+4930200", "+4915", &[], &customer.sdp()));
        let invite = desk.receive_request("INVITE");
        desk.send(&desk.reply(&invite, "486 Busy Here", &[], ""));
        assert_eq!(customer.receive_final().status(), 486, "{offset}");
        while desk.receive_within(Duration::from_millis(20)).is_some() {}
        assert_eq!(desk.register("1002", 60).status(), 200, "{offset}");
    }
    talk.hang_up();
    let took = began.elapsed();
    let ended = server.stop();
    std::fs::remove_file(&clock).expect("a file of ours");
    let hours: std::collections::BTreeSet<&str> =
        ended.log.lines().filter_map(|line| line.get(..13)).filter(|at| at.contains('T')).collect();
    assert!(hours.len() >= 3, "the clock has jumped: {hours:?}\n{:.400}", ended.log);
    let answered = ended.records.iter().find(|record| record.is_answered()).expect("a record");
    let duration = Duration::from_millis(answered.number("talkMs"));
    assert!(duration <= took && duration + Duration::from_secs(2) >= took, "{duration:?} {took:?}");
}

/// How a trunk can be away.
#[derive(Clone, Copy, Debug)]
enum Away {
    /// Datagrams get there and nothing comes back.
    Silent,
    /// The connection is made, and nobody reads it.
    HalfOpen,
    /// Not even the connection is made, nor refused.
    Unreachable,
    /// Its name is asked for, and no server of names answers.
    Nameless,
}

/// Row 33: however a trunk is away, the next one has the call within four seconds.
#[test]
fn a_trunk_that_is_away_costs_four_seconds_at_most() {
    thread::scope(|scope| {
        for away in [Away::Silent, Away::HalfOpen, Away::Unreachable, Away::Nameless] {
            scope.spawn(move || {
                let took = backup_is_asked_after(away);
                assert!(took <= Duration::from_secs(4), "{away:?}: {took:?}");
            });
        }
    });
}

fn backup_is_asked_after(away: Away) -> Duration {
    let by_tcp = matches!(away, Away::HalfOpen | Away::Unreachable);
    let names = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let more = "[[trunk]]\nname = \"named\"\ntargets = [\"sip:gateway.carrier.test\"]\n\
                options_interval_s = 0\n[[route]]\nname = \"named\"\nprefixes = [\"9\"]\n\
                trunks = [\"named\", \"backup\"]\n"
        .to_owned();
    let net = format!("name_servers = [\"{}\"]", names.local_addr().expect("bound")).leak();
    let server = Server::start(&Setup {
        trunk_timeout_s: 3, // the default
        trunks_by_tcp: by_tcp,
        routes: r#""world", "named""#,
        net,
        more,
        ..Setup::default()
    });
    let _carrier = by_tcp.then(|| {
        use socket2::{Domain, Socket, Type};
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        listener.bind(&server.carrier().into()).expect("a port of ours");
        let is_full = matches!(away, Away::Unreachable);
        listener.listen(if is_full { 0 } else { 8 }).expect("it listens");
        // A queue of one, and it is taken: the kernel drops who comes next.
        let first =
            is_full.then(|| std::net::TcpStream::connect(server.carrier()).expect("the first"));
        (listener, first)
    });
    let _silent = (!by_tcp).then(|| UdpSocket::bind(server.carrier()).expect("a port of ours"));
    let number = if matches!(away, Away::Nameless) { "9030123" } else { "030123456" };
    let phone = Client::at(PHONE, server.sip());
    let own = credentials(&phone, &server, "INVITE", "1001");
    let header = format!("Authorization: {}", own.header());
    phone.renew();
    let text = phone.request_with("INVITE", number, "1001", &[&header], &phone.sdp());
    let took = if by_tcp {
        let listener = TcpListener::bind(server.backup()).expect("a port of ours");
        phone.send(&text);
        let asked = Instant::now();
        let (mut stream, _) = listener.accept().expect("a call");
        let took = asked.elapsed();
        let mut buffer = [0; 8192];
        let len = stream.read(&mut buffer).expect("an INVITE");
        let invite = Message::of(&String::from_utf8_lossy(&buffer[..len]));
        assert_eq!(invite.method(), "INVITE");
        let declined = phone.reply(&invite, "603 Decline", &[], "");
        stream.write_all(declined.as_bytes()).expect("it reads");
        let _ = stream.read(&mut buffer); // the ACK
        took
    } else {
        let backup = Client::udp(server.backup(), server.sip());
        phone.send(&text);
        let asked = Instant::now();
        let invite = backup.receive_request("INVITE");
        let took = asked.elapsed();
        backup.send(&backup.reply(&invite, "603 Decline", &[], ""));
        decline(&backup);
        took
    };
    server.stop();
    took
}

/// Row 33: whose audio stops is hung up after the limit, and nobody else.
#[test]
fn a_call_whose_audio_stops_ends_alone() {
    let media = "rtp_timeout_s = 5";
    let server = Server::start(&Setup { media, ..Setup::default().with_untouched_audio() });
    let mut audio = pair();
    let (lively, places) = talk(&server, &audio);
    let mut desk = Client::at(Ipv4Addr::new(127, 0, 0, 12), server.sip());
    assert_eq!(desk.register("1002", 600).status(), 200);
    let mut silent = [Audio::at(CUSTOMER, MARKS[0]), Audio::at([127, 0, 0, 12], MARKS[1])];
    let customer = Client::at(CUSTOMER, server.sip());
    let (dead, others) = Talk::with_audio(customer, desk, "+4930200", [&silent[0], &silent[1]]);
    both_heard(&converse(&mut silent, others, 5), 5, 0);
    for _ in 0..4 {
        both_heard(&converse(&mut audio, places, 150), 150, 1); // as much as a buffer holds
    }
    assert!(dead.is_hung_up_within(PATIENCE, true), "{}", server.log());
    both_heard(&converse(&mut audio, places, 20), 20, 1);
    let alive = lively.customer.within(&lively.of_customer, "OPTIONS", 90, "");
    assert_eq!(lively.customer.ask(&alive).status(), 200);
    lively.hang_up();
    let records = server.stop().records;
    let mut ends: Vec<_> = records.iter().map(|r| (r.text("to"), r.ended_by())).collect();
    ends.sort_unstable();
    assert_eq!(ends, [("+4930100", "caller"), ("+4930200", "system")]);
}

/// Row 34: half a second without a CPU. Calls go on, and what has piled up is not played late.
#[test]
fn a_server_that_was_stopped_for_a_moment_goes_on_in_the_present() {
    let server = Server::start(&Setup::default().with_untouched_audio());
    let mut audio = pair();
    let (talk, places) = talk(&server, &audio);
    both_heard(&converse(&mut audio, places, 10), 10, 0);
    server.signal("STOP");
    for _ in 0..25 {
        audio[0].say(places[0]);
        audio[1].say(places[1]);
        thread::sleep(Duration::from_millis(20));
    }
    server.signal("CONT");
    // 100 ms of it at most: more would only make every jitter buffer grow.
    for audio in &audio {
        let heard = audio.heard(SILENCE).len();
        assert!((1..=6).contains(&heard), "{heard} packets in one burst");
    }
    both_heard(&converse(&mut audio, places, 20), 20, 0);
    is_well(&server);
    let log = talk.ends_well(server).log;
    assert!(log.contains("a media worker is late"), "{log}");
}
