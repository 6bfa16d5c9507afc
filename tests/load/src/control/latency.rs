//! From a verb of the API to the audio that it changes. Each party says packets that are recognised,
//! so what counts is the first packet of the new source at the listener's socket: up to 20 ms of
//! every figure are the time until that source's next packet.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use interop::audio::{self, Audio};
use interop::client::Client;
use interop::web::{ADMIN, Web};
use interop::{CUSTOMER, PHONE, Server, Setup, Talk};

/// What customer, agent and consulted agent say.
const MARKS: [u8; 3] = [0x11, 0x22, 0x33];
/// What is none of theirs: music.
const MUSIC: u8 = 0;
const CONSULTED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 12);
const PACKET_TIME: Duration = Duration::from_millis(20);
/// How often sockets are looked at: what the figures are exact to.
const GLANCE: Duration = Duration::from_micros(500);
/// A verb that is not heard within this time counts as failed.
const PATIENCE: Duration = Duration::from_secs(2);

/// A verb, who hears it, and what is heard then.
#[derive(Clone, Copy, Debug)]
struct Step {
    verb: &'static str,
    body: &'static str,
    listener: usize,
    heard: u8,
}

/// Customer, agent and consulted agent in every pair that a consult knows, over and over.
const ROUND: [Step; 6] = [
    Step { verb: "hold", body: "{}", listener: 0, heard: MUSIC },
    Step { verb: "resume", body: "{}", listener: 0, heard: MARKS[1] },
    Step {
        verb: "consult",
        body: "{\"to\":\"1002\",\"destinationType\":\"agent\"}",
        listener: 1,
        heard: MARKS[2],
    },
    Step { verb: "toggle", body: "{}", listener: 1, heard: MARKS[0] },
    Step { verb: "toggle", body: "{}", listener: 1, heard: MARKS[2] },
    Step { verb: "consult/end", body: "{}", listener: 1, heard: MARKS[0] },
];

/// What one verb came to.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// The verb.
    pub verb: &'static str,
    /// From before the request was sent to the first packet, milliseconds, ascending.
    pub took_ms: Vec<f64>,
    /// Refused, or not heard in two seconds.
    pub failed: u64,
}

impl Heard {
    /// A quantile of the times, milliseconds.
    pub fn quantile(&self, share: f64) -> f64 {
        let last = self.took_ms.len().saturating_sub(1);
        self.took_ms.get((share * last as f64) as usize).copied().unwrap_or_default()
    }
}

/// Where the consulted agent's packets go, while it has a call.
type Place = Mutex<Option<SocketAddr>>;

/// Plays the round `rounds` times over one call, at changing distances to the packets; a row each
/// step.
///
/// # Panics
/// When the call cannot be set up.
pub fn run(rounds: u32) -> Vec<Heard> {
    let setup = Setup { log: "warn", ..Setup::with_api().with_untouched_audio() };
    let server = Server::start(&setup);
    let mut phone = Client::at(PHONE, server.sip());
    assert_eq!(phone.register("1001", 600).status(), 200);
    let mut consulted = Client::at(CONSULTED, server.sip());
    assert_eq!(consulted.register("1002", 600).status(), 200);
    let audio =
        [Audio::at(CUSTOMER, MARKS[0]), Audio::at(PHONE, MARKS[1]), Audio::at(CONSULTED, MARKS[2])];
    let sdp = audio[2].sdp();
    let customer = Client::at(CUSTOMER, server.sip());
    let (call, [one, two]) = Talk::with_audio(customer, phone, "+4930100", [&audio[0], &audio[1]]);
    let web = server.web(ADMIN);
    let interaction = web.interaction("connected");
    let path = format!("/v1/interactions/{}", interaction["id"].as_str().unwrap_or_default());
    let (done, third) = (AtomicBool::new(false), Place::default());
    let rows = thread::scope(|scope| {
        let (place, is_done) = (&third, &done);
        scope.spawn(move || answer(&consulted, &sdp, place, is_done));
        let (ask, asked) = channel();
        let (tell, told) = channel();
        scope.spawn(move || drive(web, &path, &asked, &tell));
        let mut room =
            Room { audio, places: [one, two], third: &third, began: Instant::now(), said: 0 };
        let rows = listen(&mut room, rounds, &ask, &told);
        done.store(true, Ordering::Relaxed);
        rows
    });
    call.hang_up();
    server.stop();
    rows
}

/// The consulted agent's phone: takes every call at once.
fn answer(phone: &Client, sdp: &str, place: &Place, done: &AtomicBool) {
    while !done.load(Ordering::Relaxed) {
        let Some(request) = phone.receive_within(Duration::from_millis(100)) else { continue };
        let is_invite = request.method() == "INVITE";
        if is_invite {
            set(place, Some(audio::place(request.body())));
        }
        if request.method() == "BYE" {
            set(place, None);
        }
        if !matches!(request.method(), "ACK" | "") {
            phone.send(&phone.reply(&request, "200 OK", &[], if is_invite { sdp } else { "" }));
        }
    }
}

fn set(place: &Place, value: Option<SocketAddr>) {
    if let Ok(mut place) = place.lock() {
        *place = value;
    }
}

/// Sends the verbs: when each was sent, and whether it was taken.
fn drive(web: Web, path: &str, asked: &Receiver<Step>, tell: &Sender<(Instant, bool)>) {
    for step in asked {
        let begun = Instant::now();
        let status = web.post(&format!("{path}/{}", step.verb), step.body).status;
        if tell.send((begun, (200..300).contains(&status))).is_err() {
            return;
        }
    }
}

/// All three, talking all the time.
struct Room<'a> {
    audio: [Audio; 3],
    places: [SocketAddr; 2],
    third: &'a Place,
    began: Instant,
    said: u32,
}

impl Room<'_> {
    /// Says what is due, waits a moment, and returns what each has heard meanwhile.
    fn pass(&mut self) -> [Vec<u8>; 3] {
        if self.began.elapsed() >= PACKET_TIME * self.said {
            self.said += 1;
            let third = self.third.lock().ok().and_then(|place| *place);
            let places = [Some(self.places[0]), Some(self.places[1]), third];
            for (audio, place) in self.audio.iter_mut().zip(places) {
                if let Some(place) = place {
                    audio.say(place);
                }
            }
        }
        thread::sleep(GLANCE);
        self.audio.each_ref().map(Audio::heard_by_now)
    }
}

fn listen(
    room: &mut Room<'_>,
    rounds: u32,
    ask: &Sender<Step>,
    told: &Receiver<(Instant, bool)>,
) -> Vec<Heard> {
    let mut rows = ROUND.map(|step| Heard { verb: step.verb, ..Heard::default() });
    for round in 0..rounds {
        for (step, row) in ROUND.iter().zip(&mut rows) {
            // Not in step with the packets.
            let pause = Duration::from_micros(150_000 + u64::from(round) * 1_370 % 20_000);
            let until = Instant::now() + pause;
            while Instant::now() < until {
                room.pass();
            }
            if ask.send(*step).is_err() {
                return rows.into();
            }
            match heard(room, step, told) {
                Some(took) => row.took_ms.push(took.as_secs_f64() * 1000.0),
                None => row.failed += 1,
            }
        }
    }
    for row in &mut rows {
        row.took_ms.sort_by(f64::total_cmp);
    }
    rows.into()
}

/// How long it takes until the step is heard.
fn heard(room: &mut Room<'_>, step: &Step, told: &Receiver<(Instant, bool)>) -> Option<Duration> {
    let asked = Instant::now();
    let mut arrived = None;
    while asked.elapsed() < PATIENCE {
        let heard = room.pass();
        if arrived.is_none() && heard[step.listener].contains(&step.heard) {
            arrived = Some(Instant::now());
        }
        if let Some(arrived) = arrived
            && let Ok((begun, is_taken)) = told.try_recv()
        {
            return is_taken.then(|| arrived - begun);
        }
    }
    let _ = told.try_recv();
    None
}
