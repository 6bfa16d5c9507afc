//! Rows 34 and 35: what is used up, and what breaks, costs one call and not the others.

use std::net::Ipv4Addr;
use std::process::Command;
use std::time::Duration;

use interop::audio::{self, Audio};
use interop::client::{Client, Dialog};
use interop::{CUSTOMER, PHONE, Server, Setup, Talk, eventually};

use crate::is_well;

const PATIENCE: Duration = Duration::from_secs(10);

/// Lets the server have so many descriptors more than it has now.
fn limit_descriptors(server: &Server, more: usize) {
    let pid = server.pid();
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
    let limit = format!("--nofile={}:", open + more);
    let limited = Command::new("prlimit").args(["--pid", &pid.to_string(), &limit]).status();
    assert!(limited.is_ok_and(|status| status.success()), "prlimit");
}

/// Row 34: without descriptors new calls get 503, those that are up go on and end, and as soon as
/// there is room again calls are taken.
#[test]
fn without_descriptors_new_calls_get_503_and_old_ones_go_on() {
    let server = Server::start(&Setup::default());
    let talk = Talk::start(&server);
    limit_descriptors(&server, 1);
    let customer = Client::at(CUSTOMER, server.sip());
    for _ in 0..3 {
        customer.renew();
        let text = customer.request_with("INVITE", "+4930100", "+4915", &[], &customer.sdp());
        customer.send(&text);
        let refused = customer.receive_own_final();
        assert_eq!(refused.status(), 503, "{refused}");
    }
    // Requests inside the call need none, and registrations neither.
    let alive = talk.customer.within(&talk.of_customer, "OPTIONS", 90, "");
    assert_eq!(talk.customer.ask(&alive).status(), 200);
    let mut other = Client::at([127, 0, 0, 12], server.sip());
    assert_eq!(other.register("1002", 60).status(), 200);
    is_well(&server);
    // Whatever rang meanwhile was given up.
    while talk.phone.receive_within(Duration::from_millis(200)).is_some() {}
    talk.hang_up();
    let phone = talk.phone;
    let recovered = eventually(PATIENCE, || {
        customer.renew();
        customer.send(&customer.request_with("INVITE", "+4930100", "+4915", &[], &customer.sdp()));
        let invite = phone.receive_within(Duration::from_millis(300))?;
        if invite.method() == "INVITE" {
            phone.send(&phone.reply(&invite, "486 Busy Here", &[], ""));
        }
        (customer.receive_own_final().status() == 486).then_some(())
    });
    assert!(recovered.is_some(), "{}", server.log());
    server.stop();
}

/// Row 34: beyond the memory it may have, the server takes no new calls and lives on.
#[test]
fn short_of_memory_new_calls_get_503() {
    let server =
        Server::start(&Setup { more: "[memory]\nmax_mib = 1\n".into(), ..Setup::default() });
    let customer = Client::at(CUSTOMER, server.sip());
    let refused = eventually(PATIENCE, || {
        customer.renew();
        customer.send(&customer.request_with("INVITE", "+4930100", "+4915", &[], &customer.sdp()));
        let refused = customer.receive_own_final();
        (refused.status() == 503).then_some(refused)
    });
    let refused = refused.expect("a refusal");
    assert!(refused.header("Retry-After").is_some(), "{refused}");
    let mut phone = Client::at(PHONE, server.sip());
    assert_eq!(phone.register("1001", 60).status(), 200);
    is_well(&server);
    server.stop();
}

/// Somebody else on this host holds the first ports of the range: the call gets others.
#[test]
fn ports_that_somebody_else_holds_cost_no_call() {
    let server = Server::start(&Setup::default().with_untouched_audio());
    let first = *server.rtp().start();
    let _held = [first, first + 2].map(|port| {
        std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).expect("a port of this test")
    });
    let mut phone = Client::at(PHONE, server.sip());
    assert_eq!(phone.register("1001", 600).status(), 200);
    let customer = Client::at(CUSTOMER, server.sip());
    let mut audio = [Audio::at(CUSTOMER, 0x11), Audio::at(PHONE, 0x22)];
    customer.send(&customer.request_with("INVITE", "+4930100", "+4915", &[], &audio[0].sdp()));
    // The phone hears of both attempts; the first is taken back.
    let invite = loop {
        let message = phone.receive();
        match message.method() {
            "CANCEL" => phone.send(&phone.reply(&message, "200 OK", &[], "")),
            "INVITE" if audio::place(message.body()).port() > first + 3 => break message,
            _ => {}
        }
    };
    phone.send(&phone.reply(&invite, "200 OK", &[], &audio[1].sdp()));
    let answered = customer.receive_final();
    assert_eq!(answered.status(), 200, "{answered}");
    let dialog = Dialog::of_caller(&answered);
    customer.send(&customer.within(&dialog, "ACK", answered.seq(), ""));
    while phone.receive().method() != "ACK" {}
    let places = [audio::place(answered.body()), audio::place(invite.body())];
    for _ in 0..10 {
        audio[0].say(places[0]);
        audio[1].say(places[1]);
        std::thread::sleep(Duration::from_millis(10));
    }
    let silence = Duration::from_millis(300);
    assert_eq!([audio[0].heard(silence).len(), audio[1].heard(silence).len()], [10, 10]);
    assert_eq!(customer.ask(&customer.within(&dialog, "BYE", 101, "")).status(), 200);
    server.stop();
}

/// Row 35: one call's handling panics; the other loses no packet.
#[test]
fn a_poisoned_call_ends_alone() {
    let server =
        Server::start(&Setup { poison: Some(2), ..Setup::default().with_untouched_audio() });
    let mut audio = [Audio::at(CUSTOMER, 0x11), Audio::at(PHONE, 0x22)];
    let mut phone = Client::at(PHONE, server.sip());
    assert_eq!(phone.register("1001", 600).status(), 200);
    let [one, two] = &audio;
    let customer = Client::at(CUSTOMER, server.sip());
    let (healthy, places) = Talk::with_audio(customer, phone, "+4930100", [one, two]);
    let mut second = Client::at([127, 0, 0, 12], server.sip());
    assert_eq!(second.register("1002", 600).status(), 200);
    let other = [Audio::at(CUSTOMER, 0x33), Audio::at([127, 0, 0, 12], 0x44)];
    let customer = Client::at(CUSTOMER, server.sip());
    let (poisoned, _) = Talk::with_audio(customer, second, "+4930200", [&other[0], &other[1]]);
    for at in 0..100 {
        audio[0].say(places[0]);
        audio[1].say(places[1]);
        std::thread::sleep(Duration::from_millis(10));
        if at == 30 {
            server.signal("USR2");
        }
        if at == 50 {
            let within = poisoned.customer.within(&poisoned.of_customer, "OPTIONS", 90, "");
            poisoned.customer.send(&within);
        }
    }
    let silence = Duration::from_millis(300);
    let heard = [audio[0].heard(silence), audio[1].heard(silence)];
    assert_eq!(heard.map(|marks| marks.len()), [100, 100], "no packet of the other call is lost");
    // The poisoned one is hung up on both sides; its request got an answer or none.
    let hung_up = |client: &Client| loop {
        let message = client.receive();
        if message.start().starts_with("BYE") {
            break client.send(&client.reply(&message, "200 OK", &[], ""));
        }
    };
    hung_up(&poisoned.customer);
    hung_up(&poisoned.phone);
    healthy.hang_up();
    let ended = server.stop_poisoned(|_| ());
    let mut ends: Vec<_> = ended.records.iter().map(|r| (r.text("to"), r.status())).collect();
    ends.sort_unstable();
    assert_eq!(ends, [("+4930100", 200), ("+4930200", 500)], "{}", ended.log);
    assert_eq!(ended.log.matches(" panic ").count(), 1, "{}", ended.log);
}
