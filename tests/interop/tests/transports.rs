//! The same calls over TCP and IPv6, and many at once.

use std::net::Ipv6Addr;

use interop::{Scene, Setup};

const ENTRY: &str = "+4930100"; // leads to 1001

#[test]
fn calls_come_in_and_go_out_over_tcp() {
    let setup = Setup { trunks_by_tcp: true, ..Setup::default() };
    let record = Scene::with(&setup)
        .agent("1001", "agent-answers")
        .customer("customer-calls", ENTRY)
        .record();
    assert_eq!((record.status(), record.ended_by()), (200, "caller"));
    let record = Scene::with(&setup)
        .carrier("carrier-answers")
        .phone("phone-calls", "1001", "030123456")
        .record();
    assert_eq!((record.status(), record.ended_by()), (200, "caller"));
}

#[test]
fn phones_call_each_other_over_ipv6() {
    let setup = Setup { ip: Ipv6Addr::LOCALHOST.into(), ..Setup::default() };
    let record = Scene::with(&setup)
        .agent("1002", "agent-answers")
        // By itself SIPp writes `sip:::1:5060` into the digest.
        .phone_with("phone-calls", "1001", "1002", &["-auth_uri", "hookflash.test"])
        .record();
    assert_eq!((record.status(), record.codecs()), (200, vec!["PCMU", "PCMU"]));
}

/// Not a measurement (`make bench` is): many calls at once, none of them lost.
#[test]
fn two_hundred_calls_in_two_seconds_all_go_through() {
    let setup = Setup { port_blocks: 20, extension: "calls_max = 1000", ..Setup::default() };
    let load = ["-m", "200", "-r", "100", "-l", "200"];
    let ended = Scene::with(&setup)
        .agent_with("1001", "load-agent", &load)
        .customer_with("load-customer", ENTRY, &load)
        .end();
    assert_eq!(ended.records.len(), 200);
    assert!(ended.records.iter().all(|record| record.status() == 200));
}
