//! How a leg sounds, as programs see it while the call goes on and as the call record keeps it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use interop::audio::Audio;
use interop::client::Client;
use interop::web::ADMIN;
use interop::{CUSTOMER, Interaction, PHONE, Server, Setup, Talk, eventually};
use serde_json::Value;

/// One packet's audio.
const PACKET: Duration = Duration::from_millis(20);
/// How many packets one says at most: 40 s.
const PACKETS: u32 = 2000;
/// How long a report of the server is kept before it is answered, as if the way were that long.
const HELD: Duration = Duration::from_millis(200);
/// Reports come every 2.5 to 7.5 s (RFC 3550 §6.2); two of them must have come, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(35);

/// Says a packet whenever its time has come, until it is over: how many were said, and lost.
fn speak(
    audio: &mut Audio,
    to: SocketAddr,
    is_over: &AtomicBool,
    due: impl Fn(u32) -> Duration,
    is_lost: impl Fn(u32) -> bool,
) -> [u64; 2] {
    let began = Instant::now();
    let mut counts = [0, 0];
    for n in 0..PACKETS {
        thread::sleep(due(n).saturating_sub(began.elapsed()));
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        match is_lost(n) {
            true => audio.lose(),
            false => audio.say(to),
        }
        counts[usize::from(is_lost(n))] += 1;
    }
    counts
}

#[track_caller]
fn number(figures: &Value, name: &str) -> f64 {
    figures[name].as_f64().unwrap_or_else(|| panic!("no {name} in {figures}"))
}

/// The customer says a packet every 20 ms and loses each tenth; the phone loses none, but says four
/// at once every 80 ms. Each leg's figures are its own.
#[test]
fn loss_jitter_and_round_trip_of_a_leg_are_shown_and_recorded() {
    let server = Server::start(&Setup::with_api().with_untouched_audio());
    let mut phone = Client::at(PHONE, server.sip());
    assert_eq!(phone.register("1001", 600).status(), 200);
    let mut one = Audio::reporting_at(CUSTOMER, 0x11);
    let mut two = Audio::reporting_at(PHONE, 0x22);
    let customer = Client::at(CUSTOMER, server.sip());
    let (talk, places) = Talk::with_audio(customer, phone, "+4930100", [&one, &two]);
    let reports = one.reports();
    let call = Interaction::that_is(server.web(ADMIN), "connected");
    let is_over = AtomicBool::new(false);
    let (shown, [said, lost]) = thread::scope(|scope| {
        let loses =
            scope.spawn(|| speak(&mut one, places[0], &is_over, |n| PACKET * n, |n| n % 10 == 9));
        scope.spawn(|| speak(&mut two, places[1], &is_over, |n| PACKET * (n / 4 * 4), |_| false));
        let to = SocketAddr::new(places[0].ip(), places[0].port() + 1);
        let quality = |party: &str| {
            let participant = call.participant(party).unwrap_or_default();
            participant["legs"][0]["quality"].clone()
        };
        let shown = eventually(PATIENCE, || {
            if let Some(sent) = reports.next_within(PACKET) {
                thread::sleep(HELD);
                reports.answer(sent, to);
            }
            let both = [quality("customer"), quality("1001")];
            (both[0]["roundTripMs"].is_number() && both[1].is_object()).then_some(both)
        });
        is_over.store(true, Ordering::Relaxed);
        (shown, loses.join().unwrap())
    });
    let [shown, of_phone] = shown.unwrap_or_else(|| panic!("no figures: {}", call.shown()));
    let held = HELD.as_secs_f64() * 1000.0;
    let is_tenth = |percent: f64| (8.0..=12.0).contains(&percent);
    assert!(is_tenth(number(&shown, "lossPercent")) && number(&shown, "mos") < 4.0, "{shown}");
    let trip = number(&shown, "roundTripMs");
    assert!((held - 1.0..=held + 2000.0).contains(&trip), "{shown}");
    assert_eq!(number(&of_phone, "lossPercent"), 0.0, "{of_phone}");
    assert!(of_phone["roundTripMs"].is_null(), "it has said nothing of it: {of_phone}");
    let jitters = [&shown, &of_phone].map(|figures| number(figures, "jitterMs"));
    assert!(jitters[0] < 10.0 && jitters[1] > 15.0, "{jitters:?} ms");

    talk.hang_up();
    let record = &server.stop().records[0];
    let (customer, phone) = (record.leg("customer"), record.leg("1001"));
    assert!(lost > 20 && said >= 9 * lost, "{said} said, {lost} lost");
    assert_eq!(number(customer, "packetsReceived"), said as f64, "{record:?}");
    // One that was lost last is missed by nobody.
    assert!((number(customer, "packetsLost") - lost as f64).abs() <= 1.0, "{lost}: {record:?}");
    assert_eq!(number(phone, "packetsLost"), 0.0, "{record:?}");
    let jitters = [customer, phone].map(|leg| number(leg, "jitterMs"));
    assert!(jitters[0] < 10.0 && jitters[1] > 15.0, "{jitters:?} ms");
    let quality = &customer["quality"];
    assert!(is_tenth(number(quality, "lossPercent")) && number(quality, "mos") < 4.0, "{quality}");
    assert!(number(quality, "roundTripMs") >= held - 1.0, "{quality}");
    assert_eq!(number(quality, "remoteLost"), 0.0, "{quality}");
    let quality = &phone["quality"];
    assert_eq!(number(quality, "lossPercent"), 0.0, "{quality}");
    assert!(quality["roundTripMs"].is_null(), "{quality}");
}
