//! Conferences: eight who hear each other, how they come and how they go (F).

use std::f64::consts::TAU;
use std::time::Duration;

use interop::web::{AGENT_1001, AGENT_1002};
use interop::{Interaction, Seat, Server, Setup, Table, tone};

const ENTRY: &str = "+4930100"; // leads to 1001
const MUSIC: u32 = 340;
/// Of whoever takes part, in Hz, in the order in which they come.
const SEATS: [(&str, u32); 8] = [
    ("customer", 530),
    ("1001", 610),
    ("1002", 710),
    ("1003", 830),
    ("1004", 970),
    ("first number", 1130),
    ("second number", 1310),
    ("third number", 1510),
];

/// What everybody hears when these are in a conference: all others.
fn all(names: &[&'static str]) -> Vec<(&'static str, String)> {
    let others = |own: &str| {
        let others: Vec<_> = names.iter().copied().filter(|name| *name != own).collect();
        others.join(" + ")
    };
    names.iter().map(|name| (*name, others(name))).collect()
}

fn expect(table: &mut Table, state: &str, row: &[(&'static str, String)]) {
    let row: Vec<_> = row.iter().map(|(name, hears)| (*name, hears.as_str())).collect();
    table.expect(state, &row);
}

/// F1, F3, F4, F10, F12: the customer, four agents and three dialled numbers.
#[test]
fn f1_eight_hear_the_seven_others_and_not_themselves() {
    let media = "music = \"music.wav\"";
    let setup = Setup { media, ..Setup::with_api() }.with_untouched_audio();
    let server = Server::start_with(&setup, |dir| {
        let sound = |at: f64| (TAU * f64::from(MUSIC) * at).sin() * 0.3;
        tone::write_wav(&dir.join("music.wav"), Duration::from_secs(2), sound);
    });
    let hz = SEATS.map(|(_, hz)| hz);
    let customer = Seat::customer(&server, hz[0]);
    let agents: Vec<_> = (1..=4).map(|n| Seat::agent(&server, &format!("100{n}"), hz[n])).collect();
    let gateway = Seat::gateway(&server, server.carrier(), &hz[5..]);
    let mut ears = vec![customer.ear()];
    ears.extend(agents.iter().map(Seat::ear));
    ears.extend((0..3).map(|n| gateway.ear_of(n)));
    let mut table = Table::new();
    table.sound("music", MUSIC);
    for ((name, hz), ear) in SEATS.into_iter().zip(ears) {
        table.seat(name, hz, ear);
    }
    let names = SEATS.map(|(name, _)| name);
    customer.dial(ENTRY);
    let call = Interaction::that_is(server.web(AGENT_1001), "connected");
    expect(&mut table, "talking", &all(&names[..2]));
    let add = |to: &str, holds: bool| {
        call.does_with("consult", &format!(r#"{{"to":"{to}","holdParticipants":{holds}}}"#));
        call.expect("consulting");
    };
    add("1002", true);
    call.does("consult/conference");
    expect(&mut table, "three", &all(&names[..3]));
    add("1003", false); // C21: the others go on
    let beside = [("customer", "1002"), ("1002", "customer"), ("1001", "1003"), ("1003", "1001")];
    table.expect("adding beside them", &beside);
    call.does("consult/conference");
    expect(&mut table, "four", &all(&names[..4]));
    add("1004", true); // F3: the others wait
    let music = ["customer", "1002", "1003"].map(|name| (name, "music"));
    table.expect("adding", &[&music[..], &[("1001", "1004"), ("1004", "1001")]].concat());
    call.does("consult/conference");
    for number in ["01711", "01712", "01713"] {
        add(number, true);
        call.does("consult/conference");
    }
    expect(&mut table, "eight", &all(&names));
    call.expect("conference");
    let ninth = server
        .web(AGENT_1001)
        .post(&format!("/v1/interactions/{}/consult", call.id()), r#"{"to":"01714"}"#);
    assert_eq!((ninth.status, &ninth.json()["code"]), (409, &"CONFERENCE_FULL".into()));

    call.does("conference/exit"); // F4
    let rest: Vec<_> = names.into_iter().filter(|name| *name != "1001").collect();
    expect(&mut table, "seven", &all(&rest));
    customer.hang_up(); // F10, F12
    expect(&mut table, "six", &all(&rest[1..]));
    let heir = call.by(server.web(AGENT_1002));
    heir.expect("postCall");
    assert!(!heir.may("1002", "consult"));
    heir.does("conference/end"); // F5
    table.expect("over", &[]);
    gateway.expect_up(0);
    agents.iter().for_each(|agent| agent.expect_up(0));
    let record = server.stop().records.remove(0);
    record.assert_times_add_up();
    assert!(record.time("conference") > 0 && record.time("postCall") > 0, "{record:?}");
    let most = record.segments().into_iter().map(|(_, _, participants)| participants).max();
    assert_eq!((most, record.legs().len()), (Some(8), 8), "{record:?}");
}
