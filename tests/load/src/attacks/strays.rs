//! ATTACKS 19 and 20: RTP and RTCP of strangers, on calls that are up and while they are set up.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use interop::audio::Audio;
use interop::client::{Client, Dialog};
use interop::strays::{STRAY_MARK, Strayed, Strays};
use interop::{CUSTOMER, PHONE, Server, Setup, Talk};

use crate::machine::cpu_seconds;

/// Where strangers are.
const STRANGER: [u8; 4] = [127, 0, 0, 66];
/// What customer and phone say.
const MARKS: [u8; 2] = [0x11, 0x22];
const PACKET_TIME: Duration = Duration::from_millis(20);
const QUIET: Duration = Duration::from_millis(300);
const ENTRY: &str = "+4930100";

/// What the calls, and the strangers, heard.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Calls.
    pub calls: usize,
    /// Calls in which both heard the other.
    pub two_way: usize,
    /// Packets that the calls sent.
    pub sent: usize,
    /// Packets of them that arrived.
    pub arrived: usize,
    /// Packets of strangers, or of the call before, that were heard.
    pub injected: usize,
    /// What came back to strangers.
    pub bled: usize,
    /// Packets of strangers.
    pub strays: usize,
    /// For how long they came.
    pub time: Duration,
    /// CPU of the server meanwhile, seconds.
    pub cpu: f64,
}

impl Outcome {
    /// Percent of the calls' packets.
    pub fn loss(&self) -> f64 {
        100.0 * self.sent.saturating_sub(self.arrived) as f64 / self.sent.max(1) as f64
    }

    fn hear(&mut self, heard: [Vec<u8>; 2]) {
        let [one, two] = heard;
        for (heard, other) in [(one, MARKS[1]), (two, MARKS[0])] {
            let own = heard.iter().filter(|mark| **mark == other).count();
            self.arrived += own;
            // What is no audio of anybody (0) is ours: nothing else sends such.
            self.injected += heard.iter().filter(|mark| **mark == STRAY_MARK).count();
        }
    }

    fn strayed(&mut self, strayed: &Strayed) {
        self.strays += strayed.sent;
        self.bled += strayed.answers;
        self.time = self.time.max(strayed.time);
    }
}

fn setup() -> Setup {
    let extension = "calls_max = 100";
    Setup { extension, log: "warn", port_blocks: 3, ..Setup::default().with_untouched_audio() }
}

fn people(server: &Server) -> (Client, Client) {
    let mut phone = Client::at(PHONE, server.sip());
    assert_eq!(phone.register("1001", 600).status(), 200);
    (Client::at(CUSTOMER, server.sip()), phone)
}

struct Call {
    audio: [Audio; 2],
    places: [SocketAddr; 2],
    dialog: Dialog,
}

/// Strangers send `per_second` packets to all ports of `count` calls for `seconds`: nine tenths from
/// an address of their own, the rest from another port of the phones' own host.
pub fn on_calls(count: usize, per_second: u32, seconds: u32) -> Outcome {
    let server = Server::start(&setup());
    let (mut customer, mut phone) = people(&server);
    let mut calls = Vec::new();
    for _ in 0..count {
        let audio = [Audio::reporting_at(CUSTOMER, MARKS[0]), Audio::reporting_at(PHONE, MARKS[1])];
        let [one, two] = &audio;
        let (talk, places) = Talk::with_audio(customer, phone, ENTRY, [one, two]);
        calls.push(Call { audio, places, dialog: talk.of_customer });
        Talk { customer, phone, .. } = talk;
    }
    let mut outcome = Outcome { calls: count, ..Outcome::default() };
    talk(&mut calls, 25);
    let places = calls.iter().flat_map(|call| call.places);
    let ports: Vec<u16> = places.flat_map(|place| [place.port(), place.port() + 1]).collect();
    let tenth = per_second / 10;
    let floods = [
        Strays::start(STRANGER.into(), ports.clone(), per_second - tenth),
        Strays::start(PHONE, ports, tenth),
    ];
    let cpu = cpu_seconds(server.pid()).unwrap_or(0.0);
    let rounds = seconds * 50;
    for heard in talk(&mut calls, rounds) {
        let both = heard.iter().all(|heard| heard.len() > rounds as usize / 2);
        outcome.two_way += usize::from(both);
        outcome.sent += 2 * rounds as usize;
        outcome.hear(heard);
    }
    outcome.cpu = cpu_seconds(server.pid()).unwrap_or(0.0) - cpu;
    for call in calls {
        let bye = customer.within(&call.dialog, "BYE", 1_000_000, "");
        assert_eq!(customer.ask(&bye).status(), 200);
        let bye = phone.receive_request("BYE");
        phone.send(&phone.reply(&bye, "200 OK", &[], ""));
    }
    floods.map(Strays::end).iter().for_each(|strayed| outcome.strayed(strayed));
    server.stop();
    outcome
}

/// Everybody says a packet every 20 ms and reports every second; what each of a call has heard.
fn talk(calls: &mut [Call], rounds: u32) -> Vec<[Vec<u8>; 2]> {
    let mut heard = vec![[Vec::new(), Vec::new()]; calls.len()];
    let listen = |calls: &[Call], heard: &mut [[Vec<u8>; 2]]| {
        for (call, heard) in calls.iter().zip(heard) {
            for (audio, heard) in call.audio.iter().zip(heard) {
                heard.extend(audio.heard_by_now());
            }
        }
    };
    let began = Instant::now();
    for round in 0..rounds {
        for call in &mut *calls {
            for (audio, place) in call.audio.iter_mut().zip(call.places) {
                audio.say(place);
                if round % 50 == 0 {
                    audio.report(SocketAddr::new(place.ip(), place.port() + 1));
                }
            }
        }
        listen(calls, &mut heard);
        let due = PACKET_TIME * (round + 1);
        std::thread::sleep(due.saturating_sub(began.elapsed()));
    }
    std::thread::sleep(QUIET);
    listen(calls, &mut heard);
    heard
}

/// Strangers send `per_second` packets to every port of the range while `count` calls are set up,
/// one after the other; each is silent after its BYE.
pub fn in_the_race(count: usize, per_second: u32) -> Outcome {
    let server = Server::start(&setup());
    let tenth = per_second / 10;
    let floods = [
        Strays::start(STRANGER.into(), server.rtp(), per_second - tenth),
        // RTCP only: to its RTP a phone's own host may be a phone that is elsewhere.
        Strays::start(PHONE, server.rtp().filter(|port| port % 2 == 1), tenth),
    ];
    let (mut customer, mut phone) = people(&server);
    let mut outcome = Outcome { calls: count, ..Outcome::default() };
    let cpu = cpu_seconds(server.pid()).unwrap_or(0.0);
    for _ in 0..count {
        let audio = [Audio::reporting_at(CUSTOMER, MARKS[0]), Audio::reporting_at(PHONE, MARKS[1])];
        let [one, two] = &audio;
        let (talked, places) = Talk::with_audio(customer, phone, ENTRY, [one, two]);
        let mut call = [Call { audio, places, dialog: talked.of_customer.clone() }];
        let rounds = 15;
        let heard = talk(&mut call, rounds).remove(0);
        outcome.two_way += usize::from(heard.iter().all(|heard| !heard.is_empty()));
        outcome.sent += 2 * rounds as usize;
        outcome.hear(heard);
        talked.hang_up();
        let after = talk(&mut call, 5).concat().concat();
        outcome.injected += after.len();
        Talk { customer, phone, .. } = talked;
    }
    outcome.cpu = cpu_seconds(server.pid()).unwrap_or(0.0) - cpu;
    floods.map(Strays::end).iter().for_each(|strayed| outcome.strayed(strayed));
    server.stop();
    outcome
}
