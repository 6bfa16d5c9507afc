//! The same calls over TCP and IPv6, and many at once.

use std::net::{Ipv6Addr, TcpListener};

use interop::client::{Client, Dialog};
use interop::{PHONE, Scene, Server, Setup};

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

/// A server whose carrier lets a header through.
fn server() -> Server {
    Server::start(&Setup { carrier: "pass_headers = [\"X-Ticket\"]", ..Setup::default() })
}

/// 1001 calls out by the carrier with more than 1,200 bytes in one header.
fn calls_out_with_much(server: &Server) -> Client {
    let phone = Client::at(PHONE, server.sip());
    let ticket = format!("X-Ticket: {}", "7".repeat(1200));
    let sdp = phone.sdp();
    phone.send_with_digest("1001", &|lines| {
        let lines = [&[ticket.as_str()], lines].concat();
        phone.request_with("INVITE", "030123456", "1001", &lines, &sdp)
    });
    phone
}

/// RFC 3261 §18.1.1: what is larger than 1,300 bytes goes by TCP, and is answered there; what is
/// small in the same dialog goes by UDP, as the trunk is configured and says in its Contact.
#[test]
fn a_request_too_large_for_udp_goes_by_tcp() {
    let server = server();
    let listener = TcpListener::bind(server.carrier()).unwrap();
    let datagrams = Client::udp(server.carrier(), server.sip());
    let phone = calls_out_with_much(&server);
    let stream = Client::accepted(&listener);
    let invite = stream.receive_request("INVITE");
    assert!(invite.text().len() > 1300, "{invite}");
    assert!(invite.header("Via").unwrap().starts_with("SIP/2.0/TCP "), "{invite}");
    assert_eq!(invite.header("X-Ticket").map(str::len), Some(1200));
    let answer = stream.reply(&invite, "200 OK", &[], &stream.sdp());
    stream.send(&answer);
    let ok = phone.receive_own_final();
    assert_eq!(ok.status(), 200, "{ok}");
    let of_phone = Dialog::of_caller(&ok);
    phone.send(&phone.within(&of_phone, "ACK", ok.seq(), ""));
    let ack = datagrams.receive_request("ACK");
    assert!(ack.header("Via").unwrap().starts_with("SIP/2.0/UDP "), "{ack}");
    assert_eq!(phone.ask(&phone.within(&of_phone, "BYE", 1_000_000, "")).status(), 200);
    let bye = datagrams.receive_request("BYE");
    datagrams.send(&datagrams.reply(&bye, "200 OK", &[], ""));
    let records = server.stop().records;
    assert_eq!(records[0].legs(), [("1001", 200), ("carrier", 200)]);
}

/// The same where nobody listens for TCP: by UDP after all, once, as if nothing had been.
#[test]
fn a_request_too_large_for_udp_goes_by_it_where_there_is_no_tcp() {
    let server = server();
    let datagrams = Client::udp(server.carrier(), server.sip());
    let phone = calls_out_with_much(&server);
    let invite = datagrams.receive_request("INVITE");
    assert!(invite.text().len() > 1300, "{invite}");
    assert!(invite.header("Via").unwrap().starts_with("SIP/2.0/UDP "), "{invite}");
    datagrams.send(&datagrams.reply(&invite, "486 Busy Here", &[], ""));
    datagrams.receive_request("ACK");
    assert_eq!(phone.receive_own_final().status(), 486);
    server.stop();
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
