//! Consults with each way of ending (C), and transfers that nobody takes (T4): the customer is never
//! lost, and hears what it should all the while.

use std::f64::consts::TAU;
use std::time::Duration;

use interop::web::{AGENT_1001, AGENT_1002};
use interop::{Interaction, Record, Scene, Seat, Server, Setup, Table, tone};

const ENTRY: &str = "+4930100"; // leads to 1001
const MUSIC: u32 = 340;
const RINGING: u32 = 425;
const CUSTOMER: u32 = 530;
const PRIMARY: u32 = 610;
const CONSULTED: u32 = 710;
const TALKING: [(&str, &str); 2] = [("customer", "primary"), ("primary", "customer")];
const CONSULTING: [(&str, &str); 3] =
    [("customer", "music"), ("primary", "consulted"), ("consulted", "primary")];

/// A customer and the primary agent, of 1001, who talk.
struct Case {
    scene: Scene,
    customer: Seat,
    primary: Seat,
    table: Table,
}

impl Case {
    fn new(cast: impl FnOnce(Scene) -> Scene) -> Self {
        let (media, digest) = ("music = \"music.wav\"", r#"["MD5"]"#);
        let setup = Setup { media, digest, ring_timeout_s: 5, ..Setup::with_api() };
        let server = Server::start_with(&setup, |dir| {
            let sound = |at: f64| (TAU * f64::from(MUSIC) * at).sin() * 0.3;
            tone::write_wav(&dir.join("music.wav"), Duration::from_secs(2), sound);
        });
        let scene = cast(Scene::at(server));
        let customer = Seat::customer(&scene.server, CUSTOMER);
        let primary = Seat::agent(&scene.server, "1001", PRIMARY);
        let mut table = Table::new();
        table.sound("music", MUSIC);
        table.sound("ringing", RINGING);
        table.seat("customer", CUSTOMER, customer.ear());
        table.seat("primary", PRIMARY, primary.ear());
        Self { scene, customer, primary, table }
    }

    /// The customer calls, and both talk.
    #[track_caller]
    fn call(&mut self) -> Interaction {
        self.customer.dial(ENTRY);
        let call = Interaction::that_is(self.scene.server.web(AGENT_1001), "connected");
        self.table.expect("talking", &TALKING);
        call
    }

    fn consulted(&mut self) -> Seat {
        let seat = Seat::agent(&self.scene.server, "1002", CONSULTED);
        self.table.seat("consulted", CONSULTED, seat.ear());
        seat
    }

    /// The customer hangs up, everybody plays to the end.
    fn ends(self) -> Record {
        self.customer.hang_up();
        self.primary.expect_up(0);
        self.scene.record()
    }
}

fn consult(call: &Interaction, extension: &str) {
    call.does_with("consult", &format!(r#"{{"to":"{extension}","destinationType":"agent"}}"#));
}

/// C11, C17, C13: each time customer and agent talk as before.
#[test]
fn c11_c13_c17_a_consult_that_ends_leaves_customer_and_agent() {
    let mut case = Case::new(|scene| {
        let scene = scene.agent_with("1002", "agent-is-consulted", &["-m", "2"]);
        scene.agent_with("1003", "agent-hangs-up", &["-d", "1000"]).agent("1004", "agent-is-busy")
    });
    let call = case.call();
    let table = &mut case.table;
    consult(&call, "1002");
    call.expect("consulting");
    table.expect("consulting", &[("customer", "music")]); // SIPp says nothing
    call.by(case.scene.server.web(AGENT_1002)).does("consult/exit");
    call.expect("connected");
    table.expect("the consulted left", &TALKING);
    consult(&call, "1002");
    call.expect("consulting");
    call.does("consult/end");
    call.expect("connected");
    table.expect("ended by the initiator", &TALKING);
    consult(&call, "1003");
    call.expect("consulting");
    call.expect("connected");
    table.expect("the consulted hung up", &TALKING);
    consult(&call, "1004");
    call.expect("held");
    table.expect("busy", &[("customer", "music")]);
    call.does("resume");
    table.expect("resumed", &TALKING);
    let record = case.ends();
    record.assert_times_add_up();
    let kinds: Vec<_> = record.segments().into_iter().map(|(kind, ..)| kind).collect();
    let consults = kinds.iter().filter(|kind| **kind == "consult").count();
    assert!(consults >= 3 && kinds.last() == Some(&"talk"), "{kinds:?}");
}

/// C13, T4: who does not answer costs the customer nothing; a transfer comes back to the agent.
#[test]
fn c13_t4_who_is_not_answered_is_not_lost() {
    let mut case = Case::new(|scene| {
        scene.agent("1002", "agent-is-cancelled").agent("1003", "agent-is-cancelled")
    });
    let mut events = case.scene.server.web(AGENT_1001).events(None);
    let call = case.call();
    let table = &mut case.table;
    consult(&call, "1002");
    call.expect("consultRequested");
    table.expect_sound("it rings", "primary", "ringing");
    table.expect_sound("it rings", "customer", "music");
    assert!(!call.may("1001", "consultTransfer"), "C12: not before an agent's answer");
    events.until("consult.failed");
    table.expect("nobody came", &[("customer", "music")]);
    call.does("resume");
    table.expect("resumed", &TALKING);
    call.does_with("transfer", r#"{"to":"1003","destinationType":"agent"}"#);
    case.primary.expect_up(0);
    table.expect_sound("it rings at the target", "customer", "ringing");
    case.primary.expect_up(1); // T4: recalled
    table.expect("recalled", &TALKING);
    assert_eq!(case.primary.taken(), 2);
    let record = case.ends();
    record.assert_times_add_up();
    assert!(record.time("transfer") > 4_000 && record.time("consult") > 4_000, "{record:?}");
    assert_eq!((record.status(), record.ended_by()), (200, "caller"), "{record:?}");
}

/// C22: post-call: the consult goes on without the customer.
#[test]
fn c22_the_customer_leaves_and_the_consult_goes_on() {
    let mut case = Case::new(|scene| scene);
    let consulted = case.consulted();
    let call = case.call();
    consult(&call, "1002");
    let table = &mut case.table;
    table.expect("consulting", &CONSULTING);
    case.customer.hang_up();
    call.expect("postCall");
    let two = [("primary", "consulted"), ("consulted", "primary")];
    table.expect("post-call", &two);
    for verb in ["hold", "consult/transfer", "consult/conference"] {
        call.is_refused(verb, 409, "POST_CALL");
    }
    call.does("consult/hold"); // H5
    table.expect("consult on hold", &[("consulted", "music")]);
    call.does("toggle");
    table.expect("toggled", &two);
    call.does("consult/end");
    for seat in [&case.primary, &consulted] {
        seat.expect_up(0);
    }
    let record = case.scene.record();
    record.assert_times_add_up();
    assert!(record.time("postCall") > 0, "{record:?}");
}

/// C24: the primary's phone hangs up during a consult: it ends, and with it the call of the customer,
/// but for a conference, which goes on.
#[test]
fn c24_the_primary_hangs_up_and_the_consult_ends() {
    let mut case = Case::new(|scene| scene.agent("1003", "agent-is-consulted"));
    let consulted = case.consulted();
    let call = case.call();
    consult(&call, "1002");
    case.table.expect("consulting", &CONSULTING);
    case.primary.hang_up();
    case.customer.expect_up(0);
    consulted.expect_up(0);
    case.table.expect("over", &[]);

    let call = case.call();
    consult(&call, "1002");
    call.expect("consulting");
    call.does("consult/conference");
    let all = [
        ("customer", "primary + consulted"),
        ("primary", "customer + consulted"),
        ("consulted", "customer + primary"),
    ];
    case.table.expect("conference", &all);
    consult(&call, "1003");
    call.expect("consulting");
    case.primary.hang_up();
    call.by(case.scene.server.web(AGENT_1002)).expect("connected");
    let rest = [("customer", "consulted"), ("consulted", "customer")];
    case.table.expect("the conference goes on", &rest);
    consulted.hang_up();
    case.customer.expect_up(0);
    let records = case.scene.end().records;
    assert_eq!(records.len(), 2, "{records:?}");
    records.iter().for_each(Record::assert_times_add_up);
}
