//! Rows 19 and 20: strangers' audio is neither heard nor answered, and a call that is over is
//! silent.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use interop::audio::Audio;
use interop::client::Client;
use interop::strays::Strays;
use interop::{CUSTOMER, PHONE, Server, Setup, Talk};

use crate::STRANGER;

/// What customer and phone say.
pub(crate) const MARKS: [u8; 2] = [0x11, 0x22];
/// Long enough for the last packet on its way, on a busy machine.
const QUIET: Duration = Duration::from_millis(300);
/// Between two packets.
const PACE: Duration = Duration::from_millis(10);

pub(crate) fn registered(server: &Server) -> Client {
    let mut phone = Client::at(PHONE, server.sip());
    assert_eq!(phone.register("1001", 600).status(), 200);
    phone
}

/// Packets a second of one stranger; `load strays` sends more.
const RATE: u32 = 2000;

/// How much a stranger sent; nothing must have come back.
#[track_caller]
fn unanswered(strays: Strays) -> usize {
    let strayed = strays.end();
    assert_eq!(strayed.answers, 0, "the server bleeds");
    strayed.sent
}

/// Both say `count` packets at a time; what each heard.
pub(crate) fn converse(
    audio: &mut [Audio; 2],
    places: [SocketAddr; 2],
    count: usize,
) -> [Vec<u8>; 2] {
    for _ in 0..count {
        audio[0].say(places[0]);
        audio[1].say(places[1]);
        thread::sleep(PACE);
    }
    // What was on its way to one is with the other, too, after that.
    [audio[0].heard(QUIET), audio[1].heard(Duration::from_millis(10))]
}

/// Everybody heard the other one and nobody else; few packets may be lost, as the kernel's buffers
/// are shared with the flood.
#[track_caller]
pub(crate) fn both_heard([one, two]: &[Vec<u8>; 2], sent: usize, lost_max: usize) {
    for (heard, other) in [(one, MARKS[1]), (two, MARKS[0])] {
        assert!(heard.iter().all(|mark| *mark == other), "a stranger is heard: {heard:?}");
        assert!(heard.len() + lost_max >= sent && heard.len() <= sent, "{} of {sent}", heard.len());
    }
}

pub(crate) fn pair() -> [Audio; 2] {
    [Audio::at(CUSTOMER, MARKS[0]), Audio::at(PHONE, MARKS[1])]
}

/// Row 19.
#[test]
fn a_flood_of_strangers_is_neither_heard_nor_answered() {
    let server = Server::start(&Setup::default().with_untouched_audio());
    let mut audio = pair();
    let customer = Client::at(CUSTOMER, server.sip());
    let [one, two] = &audio;
    let (talk, places) = Talk::with_audio(customer, registered(&server), "+4930100", [one, two]);
    // From now on each side is who sent first from where it said.
    let heard = converse(&mut audio, places, 10);
    both_heard(&heard, 10, 1);
    let [one, two] = places.map(|place| place.port());
    // RTP and RTCP of both legs; the second is another port of the phone's own host.
    let ports = [one, one + 1, two, two + 1];
    let floods = [STRANGER, PHONE].map(|from| Strays::start(from, ports, RATE));
    let heard = converse(&mut audio, places, 150);
    let sent: usize = floods.map(unanswered).into_iter().sum();
    both_heard(&heard, 150, 1);
    assert!(sent > 500, "{sent} strays");
    talk.ends_well(server);
}

/// Row 19, for a phone behind NAT: its description names an address of its own network, and it is
/// found by what it sends from that of its signalling. Strangers are there first and do not go away;
/// another process on its host is there once it has spoken, and at the ports of RTCP before.
///
/// Whoever sends from where the phone signals may be the phone (the row: "or the signalling
/// source"): its first packet is what tells it from its neighbours.
#[test]
fn a_phone_behind_nat_is_heard_and_strangers_are_not() {
    let server = Server::start(&Setup::default().with_untouched_audio());
    let strangers = Strays::start(STRANGER, server.rtp(), RATE);
    let neighbour = Strays::start(PHONE, server.rtp().filter(|port| port % 2 == 1), RATE / 4);
    // Whoever has the phone's inner address in our network.
    let namesake = Audio::at([127, 10, 0, 5], 0x55);
    let mut phone = registered(&server);
    let mut customer = Client::at(CUSTOMER, server.sip());
    for _ in 0..3 {
        let behind = Audio::claiming(PHONE, MARKS[1], namesake.local());
        let mut audio = [Audio::at(CUSTOMER, MARKS[0]), behind];
        let [one, two] = &audio;
        let (talk, places) = Talk::with_audio(customer, phone, "+4930100", [one, two]);
        let heard = converse(&mut audio, places, 15);
        both_heard(&heard, 15, 2);
        // What is said before the phone has spoken goes where it said it was.
        let before = namesake.heard_by_now();
        assert!(before.len() <= 2 && before.iter().all(|mark| *mark == MARKS[0]), "{before:?}");
        let [one, two] = places.map(|place| place.port());
        let beside = Strays::start(PHONE, [one, one + 1, two, two + 1], RATE);
        let heard = converse(&mut audio, places, 100);
        both_heard(&heard, 100, 1);
        assert!(unanswered(beside) > 200);
        assert_eq!(namesake.heard_by_now(), [0; 0], "sent where the phone is not");
        talk.hang_up();
        Talk { customer, phone, .. } = talk;
    }
    assert!(unanswered(strangers) > 500 && unanswered(neighbour) > 100);
    let records = server.stop().records;
    assert_eq!(records.len(), 3);
    for record in records {
        assert_eq!((record.status(), record.of_legs("packetsLost")), (200, vec![0, 0]));
        assert!(record.leg("1001")["strays"].as_u64() > Some(100), "{record:?}");
    }
}

/// Row 19: what strangers report is neither believed nor answered, from the phone's own host too,
/// before the phone has said a word and afterwards.
#[test]
fn reports_of_strangers_are_neither_believed_nor_answered() {
    let server = Server::start(&Setup::default().with_untouched_audio());
    let mut audio = [Audio::reporting_at(CUSTOMER, MARKS[0]), Audio::reporting_at(PHONE, MARKS[1])];
    let customer = Client::at(CUSTOMER, server.sip());
    let [one, two] = &audio;
    let (talk, places) = Talk::with_audio(customer, registered(&server), "+4930100", [one, two]);
    let reports = places.map(|place| SocketAddr::new(place.ip(), place.port() + 1));
    let ports = reports.map(|place| place.port());
    let floods = [STRANGER, PHONE, CUSTOMER].map(|from| Strays::start(from, ports, RATE / 4));
    thread::sleep(QUIET);
    for _ in 0..3 {
        both_heard(&converse(&mut audio, places, 10), 10, 1);
        for (audio, place) in audio.iter().zip(reports) {
            audio.report(place);
        }
    }
    // The end is told to each side's own port of RTCP, and to nobody else.
    let ended = talk.ends_well(server);
    let sent: usize = floods.map(unanswered).into_iter().sum();
    assert!(sent > 300, "{sent} strays");
    for audio in &audio {
        assert!(audio.reported(QUIET) >= 1, "a goodbye");
    }
    assert_eq!(ended.records.len(), 1);
}

/// Row 21: no shape of packet, from whomever, ends a call or is heard.
#[test]
fn malformed_packets_end_no_call() {
    let server = Server::start(&Setup::default().with_untouched_audio());
    let mut audio = pair();
    let customer = Client::at(CUSTOMER, server.sip());
    let [one, two] = &audio;
    let (talk, places) = Talk::with_audio(customer, registered(&server), "+4930100", [one, two]);
    both_heard(&converse(&mut audio, places, 10), 10, 1);
    let head = [0x80, 0, 0, 99, 0, 0, 0, 1, 9, 9, 9, 9];
    let mut stun = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    stun.extend([7; 12]);
    let shapes: [&[u8]; 12] = [
        &[],
        &[0x80],
        &head[..11],
        &head,                                                      // no payload
        &[0x8f, 0, 0, 1, 0, 0, 0, 1, 9, 9, 9, 9],                   // 15 sources that are not there
        &[0x90, 0, 0, 1, 0, 0, 0, 1, 9, 9, 9, 9, 0, 0, 0xff, 0xff], // an extension beyond the end
        &[0xa0, 0, 0, 1, 0, 0, 0, 1, 9, 9, 9, 9, 0xff],             // padding beyond the end
        &[0x80, 127, 0, 1, 0, 0, 0, 1, 9, 9, 9, 9, 1],              // a payload nobody agreed on
        &[0x9f, 201, 0xff, 0xff, 0, 0, 0, 1],                       // a report without its blocks
        &[0x80, 203, 0, 0],                                         // a goodbye of nobody
        &stun,
        &[22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1], // a DTLS hello
    ];
    let stranger = Audio::at(STRANGER, 0x66);
    for shape in shapes {
        for place in places {
            for port in [place.port(), place.port() + 1] {
                let to = SocketAddr::new(place.ip(), port);
                for from in audio.iter().chain([&stranger]) {
                    from.send(shape, to);
                }
            }
        }
    }
    // What was well-formed and from the right source may have been passed on: it was theirs.
    let passed: Vec<u8> = audio.iter().flat_map(|audio| audio.heard(QUIET)).collect();
    assert!(passed.len() <= 2 * shapes.len() && passed.iter().all(|mark| *mark == 0), "{passed:?}");
    both_heard(&converse(&mut audio, places, 30), 30, 1);
    assert_eq!(stranger.heard(QUIET).len(), 0);
    talk.ends_well(server);
}

/// Row 20: strangers are there first, at every port, while calls are set up; and the dead are silent.
#[test]
fn no_stranger_gets_in_while_calls_are_set_up_nor_the_old_peer_afterwards() {
    let server = Server::start(&Setup::default().with_untouched_audio());
    let flood = Strays::start(STRANGER, server.rtp(), RATE);
    // Another process on the phone's own host, at every port of RTCP.
    let neighbour = Strays::start(PHONE, server.rtp().filter(|port| port % 2 == 1), RATE / 4);
    let mut phone = registered(&server);
    let mut customer = Client::at(CUSTOMER, server.sip());
    for _ in 0..6 {
        let mut audio = pair();
        let [one, two] = &audio;
        let (talk, places) = Talk::with_audio(customer, phone, "+4930100", [one, two]);
        let heard = converse(&mut audio, places, 15);
        both_heard(&heard, 15, 1);
        talk.hang_up();
        let heard = converse(&mut audio, places, 5);
        assert_eq!(heard.concat().len(), 0, "after the BYE: {heard:?}");
        Talk { customer, phone, .. } = talk;
    }
    assert!(unanswered(flood) > 500 && unanswered(neighbour) > 100);
    let records = server.stop().records;
    assert_eq!(records.len(), 6);
    assert!(records.iter().all(|record| record.status() == 200), "{records:?}");
}

/// Row 20: a port rests before another call has it, and then it is free again.
#[test]
fn the_ports_of_a_call_rest() {
    let setup = Setup { port_quarantine_s: 3, ..Setup::default() };
    let server = Server::start(&setup);
    let mut phone = registered(&server);
    let mut customer = Client::at(CUSTOMER, server.sip());
    let mut seen = Vec::new();
    let began = Instant::now();
    let pairs = usize::from(server.rtp().end() - server.rtp().start() + 1) / 2;
    for _ in 0..pairs / 2 {
        let audio = pair();
        let [one, two] = &audio;
        let (talk, places) = Talk::with_audio(customer, phone, "+4930100", [one, two]);
        talk.hang_up();
        for place in places {
            assert!(!seen.contains(&place), "{place} is used again after {:?}", began.elapsed());
            seen.push(place);
        }
        Talk { customer, phone, .. } = talk;
    }
    let call = || {
        customer.renew();
        let audio = pair();
        let sdp = audio[0].sdp();
        customer.send(&customer.request_with("INVITE", "+4930100", "+4915", &[], &sdp));
        while let Some(message) = phone.receive_within(Duration::from_millis(100)) {
            if message.start().starts_with("INVITE") {
                phone.send(&phone.reply(&message, "486 Busy Here", &[], ""));
            }
        }
        customer.receive_own_final().status()
    };
    let first = call();
    assert!(first == 503 || began.elapsed() > Duration::from_secs(3), "all ports rest: {first}");
    // Not asked again and again: a call that gets one pair of two has that one rest anew.
    thread::sleep(Duration::from_millis(3500));
    assert_eq!(call(), 486, "rested ports are free again");
    server.stop();
}
