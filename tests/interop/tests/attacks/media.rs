//! Rows 19 and 20: strangers' audio is neither heard nor answered, and a call that is over is
//! silent.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use interop::audio::Audio;
use interop::client::Client;
use interop::{CUSTOMER, PHONE, Server, Setup, Talk};

use crate::STRANGER;

/// What customer, phone and stranger say.
const MARKS: [u8; 3] = [0x11, 0x22, 0x66];
/// Long enough for the last packet on its way, on a busy machine.
const QUIET: Duration = Duration::from_millis(300);
/// Between two packets.
const PACE: Duration = Duration::from_millis(10);

fn registered(server: &Server) -> Client {
    let mut phone = Client::at(PHONE, server.sip());
    assert_eq!(phone.register("1001", 600).status(), 200);
    phone
}

/// A stranger who sends RTP and RTCP to every one of `ports`, about 2,000 packets a second, until
/// told to stop; then all that came back to it.
struct Flood {
    thread: JoinHandle<(usize, Vec<u8>)>,
    stop: &'static AtomicBool,
}

impl Flood {
    fn start(from: Ipv4Addr, ports: RangeInclusive<u16>) -> Self {
        let stop: &AtomicBool = Box::leak(Box::default());
        let thread = thread::spawn(move || {
            let mut stranger = Audio::at(from, MARKS[2]);
            let mut sent = 0;
            while !stop.load(Ordering::Relaxed) {
                for port in ports.clone() {
                    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
                    match port % 2 {
                        0 => stranger.say(to),
                        _ => stranger.say_with(0x80, 200, to), // a sender report
                    }
                    sent += 1;
                    if sent % 10 == 0 {
                        thread::sleep(Duration::from_millis(5));
                    }
                }
            }
            (sent, stranger.heard(QUIET))
        });
        Self { thread, stop }
    }

    /// How much it sent; nothing must have come back.
    fn end(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        let (sent, heard) = self.thread.join().expect("it ends");
        assert_eq!(heard.len(), 0, "the server bleeds: {heard:?}");
        sent
    }
}

/// Both say `count` packets at a time; what each heard.
fn converse(audio: &mut [Audio; 2], places: [SocketAddr; 2], count: usize) -> [Vec<u8>; 2] {
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
fn both_heard([one, two]: &[Vec<u8>; 2], sent: usize, lost_max: usize) {
    for (heard, other) in [(one, MARKS[1]), (two, MARKS[0])] {
        assert!(heard.iter().all(|mark| *mark == other), "a stranger is heard: {heard:?}");
        assert!(heard.len() + lost_max >= sent && heard.len() <= sent, "{} of {sent}", heard.len());
    }
}

fn pair() -> [Audio; 2] {
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
    let floods = [
        Flood::start(STRANGER, one..=one + 1), // RTP and RTCP of both legs
        Flood::start(STRANGER, two..=two + 1),
        Flood::start(PHONE, two..=two), // another port of the phone's own host
    ];
    let heard = converse(&mut audio, places, 150);
    let sent: usize = floods.map(Flood::end).into_iter().sum();
    both_heard(&heard, 150, 1);
    assert!(sent > 500, "{sent} strays");
    talk.ends_well(server);
}

/// Row 20: strangers are there first, at every port, while calls are set up; and the dead are silent.
#[test]
fn no_stranger_gets_in_while_calls_are_set_up_nor_the_old_peer_afterwards() {
    let server = Server::start(&Setup::default().with_untouched_audio());
    let range = server.rtp();
    let flood = Flood::start(STRANGER, range);
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
    assert!(flood.end() > 500);
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
