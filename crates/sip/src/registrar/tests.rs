//! One table or story per rule.

use std::net::SocketAddr;

use super::*;
use crate::message::{Method, Uri};
use crate::transport::Target;

const MINUTE: Duration = Duration::from_secs(60);
const PHONE: &str = "198.51.100.7:40000";

fn config() -> RegistrarConfig {
    RegistrarConfig {
        expires_min: MINUTE,
        expires_max: MINUTE * 60,
        expires_default: MINUTE * 10,
        contacts_max: 3,
        qualify: None,
        hosts: vec!["hookflash.test".parse().unwrap()],
    }
}

pub(super) fn at(seconds: u64) -> Time {
    Time::ZERO + Duration::from_secs(seconds)
}

fn source(transport: Transport, flow: u64, remote: &str) -> Source {
    Source {
        flow: FlowId(flow),
        transport,
        remote: remote.parse().unwrap(),
        local: "203.0.113.1:5060".parse().unwrap(),
        tls_names: [].into(),
    }
}

/// A registrar, and a phone that registers at it.
struct World {
    registrar: Registrar,
    changes: Vec<Change>,
    user: &'static str,
    source: Source,
    call_id: &'static str,
    cseq: u32,
}

impl World {
    fn new() -> Self {
        Self::with(config())
    }

    fn with(config: RegistrarConfig) -> Self {
        Self {
            registrar: Registrar::new(config),
            changes: Vec::new(),
            user: "1001",
            source: source(Transport::Udp, 1, PHONE),
            call_id: "call-a",
            cseq: 0,
        }
    }

    fn request(&mut self, headers: &[(Name, &str)]) -> Request {
        self.cseq += 1;
        let mut request =
            Request::new(Method::Register, "sip:hookflash.test".parse::<Uri>().unwrap());
        request.headers.push(Name::Via, "SIP/2.0/UDP 10.0.0.7;branch=z9hG4bKa");
        request.headers.push(Name::From, format!("<sip:{}@hookflash.test>;tag=a", self.user));
        request.headers.push(Name::To, format!("<sip:{}@hookflash.test>", self.user));
        request.headers.push(Name::CallId, self.call_id);
        request.headers.push(Name::CSeq, format!("{} REGISTER", self.cseq));
        for (name, _) in headers {
            request.headers.remove(*name);
        }
        for (name, value) in headers {
            request.headers.push(*name, *value);
        }
        request
    }

    fn send(&mut self, now: Time, headers: &[(Name, &str)]) -> Response {
        let request = self.request(headers);
        self.registrar.register(now, self.user, &request, &self.source, &mut self.changes)
    }

    fn contact(&mut self, now: Time, contact: &str) -> Response {
        self.send(now, &[(Name::Contact, contact)])
    }

    /// What calls go to: contact and address.
    fn lookup(&self, now: Time) -> Vec<(String, String)> {
        let found = self.registrar.lookup(now, self.user);
        found.map(|b| (b.contact.to_string(), b.target.addr.to_string())).collect()
    }

    fn contacts(&self, now: Time) -> Vec<String> {
        self.lookup(now).into_iter().map(|(contact, _)| contact).collect()
    }
}

fn listed(response: &Response) -> Vec<&str> {
    assert_eq!(response.status, StatusCode::OK);
    response.headers.get_all(Name::Contact).collect()
}

#[test]
fn a_binding_is_listed_found_at_its_source_and_kept() {
    let mut w = World::new();
    let response = w.send(
        at(0),
        &[
            (Name::Contact, "\"Desk\" <sip:1001@10.0.0.7:5062;ob>;q=0.5;+x=\"y\";expires=120"),
            (Name::UserAgent, "baresip"),
        ],
    );
    assert_eq!(listed(&response), ["<sip:1001@10.0.0.7:5062;ob>;q=0.5;+x=\"y\";expires=120"]);
    assert_eq!(w.lookup(at(1)), [("sip:1001@10.0.0.7:5062;ob".into(), PHONE.into())]);
    let binding = w.registrar.lookup(at(1), "1001").next().unwrap();
    assert_eq!((binding.q_thousandths(), &*binding.user_agent), (500, "baresip"));
    assert_eq!(binding.target.flow, Some(FlowId(1)));
    let [Change::Bound { record, new: true }] = &w.changes[..] else { panic!("{:?}", w.changes) };
    assert_eq!((&*record.aor, record.expires_at), ("1001", at(120)));
    assert_eq!(record.addr, PHONE.parse::<SocketAddr>().unwrap());
}

#[test]
fn expiries_are_granted_shortened_or_too_brief() {
    let contact = "<sip:1001@10.0.0.7>";
    for (param, header, granted) in [
        ("", None, Ok("600")),
        ("", Some("90"), Ok("90")),
        (";expires=70", Some("90"), Ok("70")),
        (";expires=99999999999", None, Ok("3600")),
        ("", Some("86400"), Ok("3600")),
        (";expires=soon", None, Ok("600")),
        ("", Some("soon"), Ok("600")),
        (";expires=\"70\"", None, Ok("70")),
        (";expires=59", None, Err("60")),
        (";expires=1", Some("3600"), Err("60")),
        ("", Some("30"), Err("60")),
        ("", Some("60"), Ok("60")),
    ] {
        let mut w = World::new();
        let contact = format!("{contact}{param}");
        let mut headers = vec![(Name::Contact, contact.as_str())];
        headers.extend(header.map(|value| (Name::Expires, value)));
        let response = w.send(at(0), &headers);
        match granted {
            Ok(seconds) => {
                let expected = format!("<sip:1001@10.0.0.7>;expires={seconds}");
                assert_eq!(listed(&response), [expected], "{param} {header:?}");
            }
            Err(min) => {
                assert_eq!(response.status, StatusCode::INTERVAL_TOO_BRIEF);
                assert_eq!(response.headers.get(Name::MinExpires), Some(min));
                assert!(w.registrar.is_empty());
            }
        }
    }
}

#[test]
fn bindings_end_in_time_and_listings_count_down() {
    let mut w = World::new();
    w.contact(at(0), "<sip:1001@10.0.0.7>;expires=60");
    w.contact(at(10), "<sip:1001@10.0.0.8>;expires=600");
    assert_eq!(w.registrar.next_timeout(), Some(at(60)));
    let fetch = w.send(at(30), &[]);
    let expected = ["<sip:1001@10.0.0.8>;expires=580", "<sip:1001@10.0.0.7>;expires=30"];
    assert_eq!(listed(&fetch), expected);
    assert_eq!(w.contacts(at(59)).len(), 2);
    assert_eq!(w.contacts(at(60)), ["sip:1001@10.0.0.8"], "over, though not taken away yet");
    w.changes.clear();
    w.registrar.expire(at(60), &mut w.changes);
    let key = "sip:1001@10.0.0.7".into();
    assert_eq!(w.changes, [Change::Unbound { aor: "1001".into(), key }]);
    w.registrar.expire(at(610), &mut w.changes);
    assert!(w.registrar.is_empty() && w.registrar.next_timeout().is_none());
    assert!(w.registrar.by_aor.is_empty() && w.registrar.by_flow.is_empty());
}

#[test]
fn removal_by_expiry_zero_and_by_star() {
    let mut w = World::new();
    for contact in ["<sip:1001@10.0.0.7>", "<sip:1001@10.0.0.8>", "<sip:1001@10.0.0.9>"] {
        w.contact(at(0), contact);
    }
    w.contact(at(1), "<sip:1001@10.0.0.8>;expires=0");
    assert_eq!(w.contacts(at(1)), ["sip:1001@10.0.0.9", "sip:1001@10.0.0.7"]);
    // One known and one that never was.
    let headers =
        [(Name::Contact, "<sip:1001@10.0.0.7>, <sip:1001@10.9.9.9>"), (Name::Expires, "0")];
    w.send(at(1), &headers);
    assert_eq!(w.contacts(at(1)), ["sip:1001@10.0.0.9"]);
    for bad in [
        &[(Name::Contact, "*")][..],
        &[(Name::Contact, "*"), (Name::Expires, "60")],
        &[(Name::Contact, "*, <sip:1001@10.0.0.9>"), (Name::Expires, "0")],
    ] {
        assert_eq!(w.send(at(1), bad).status, StatusCode::BAD_REQUEST);
    }
    let response = w.send(at(1), &[(Name::Contact, "*"), (Name::Expires, "0")]);
    assert!(listed(&response).is_empty() && w.registrar.is_empty());
}

#[test]
fn an_old_request_of_the_same_call_id_changes_nothing() {
    let mut w = World::new();
    w.cseq = 9;
    w.contact(at(0), "<sip:1001@10.0.0.7>");
    let before = w.registrar.clone();
    for (cseq, call_id, status) in
        [(10, "call-a", 500), (3, "call-a", 500), (11, "call-a", 200), (1, "call-b", 200)]
    {
        let mut w = World { registrar: before.clone(), ..World::new() };
        (w.cseq, w.call_id) = (cseq - 1, call_id);
        let response = w.contact(at(0), "<sip:1001@10.0.0.7>;expires=0");
        assert_eq!(response.status.0, status, "{cseq} {call_id}");
        assert_eq!(w.registrar == before, status == 500);
        (w.registrar, w.cseq) = (before.clone(), cseq - 1);
        let response = w.send(at(0), &[(Name::Contact, "*"), (Name::Expires, "0")]);
        assert_eq!(response.status.0, status, "* {cseq} {call_id}");
    }
    // Another contact of the same Call-ID is not concerned.
    w.cseq = 4;
    assert_eq!(w.contact(at(0), "<sip:1001@10.0.0.8>").status, StatusCode::OK);
}

#[test]
fn nobody_registers_for_another() {
    let mut w = World::new();
    for headers in [
        [(Name::To, "<sip:1002@hookflash.test>")],
        [(Name::From, "<sip:1002@hookflash.test>;tag=a")],
        [(Name::To, "<sip:hookflash.test>")],
        [(Name::To, "<tel:1002>")],
    ] {
        let mut headers = headers.to_vec();
        headers.push((Name::Contact, "<sip:1001@10.0.0.7>"));
        assert_eq!(w.send(at(0), &headers).status, StatusCode::FORBIDDEN, "{headers:?}");
    }
    assert!(w.registrar.is_empty() && w.changes.is_empty());
    let own = [(Name::To, "<sip:%31001@198.51.100.1;x=y>"), (Name::Contact, "<sip:a@10.0.0.7>")];
    assert_eq!(w.send(at(0), &own).status, StatusCode::OK);
}

#[test]
fn poisoned_contacts_are_refused() {
    for contact in [
        "<http://evil.test/>",
        "<file:///etc/passwd>",
        "<tel:+15551234567>",
        "<mailto:a@b>",
        "<sip:1001@0.0.0.0>",
        "<sip:1001@0.0.0.1>",
        "<sip:1001@255.255.255.255>",
        "<sip:1001@224.0.1.75>",
        "<sip:1001@[::]>",
        "<sip:1001@[ff02::1]>",
        "<sip:1001@[::ffff:255.255.255.255]>",
        "<sip:1001@203.0.113.1:5060>",
        "<sip:1001@203.0.113.1>",
        "<sip:1001@HookFlash.test>",
        "<sip:1001@hookflash.test.:5070>",
        "<sip:1001@10.0.0.7:0>",
        "<sip:1001@10.0.0.7?Route=%3Csip:evil%3E>",
        "<sip:1001@10.0.0.7",
        &format!("<sip:1001@10.0.0.7>;x={}", "x".repeat(CONTACT_LEN_MAX)),
        "<sip:a@10.0.0.7>, <sip:a@10.0.0.7>",
    ] {
        let mut w = World::new();
        let response = w.contact(at(0), contact);
        assert_eq!(response.status, StatusCode::BAD_REQUEST, "{contact}");
        assert!(w.registrar.is_empty() && w.changes.is_empty());
    }
}

#[test]
fn whatever_else_a_contact_says_calls_go_to_the_source() {
    for contact in [
        "<sip:1001@10.0.0.7:5062>",
        "<sip:1001@192.0.2.99>",
        "<sip:1001@victim.test;maddr=192.0.2.99>",
        "<sip:x8s7d@df7jal23ls0d.invalid;transport=ws>",
        "<sip:1001@203.0.113.1:5061>",
        "<sips:1001@[2001:db8::1]>",
        "sip:1001@10.0.0.7:5062",
    ] {
        let mut w = World::new();
        assert_eq!(w.contact(at(0), contact).status, StatusCode::OK, "{contact}");
        assert_eq!(w.lookup(at(1))[0].1, PHONE, "{contact}");
    }
}

#[test]
fn a_phone_may_listen_on_another_port_than_it_sends_from() {
    let mut w = World::new();
    let host = w.source.remote.ip();
    assert_eq!(w.contact(at(0), &format!("<sip:a@{host}:6061>")).status, StatusCode::OK);
    assert_eq!(w.lookup(at(1))[0].1, format!("{host}:6061"));
}

#[test]
fn a_refused_request_changes_nothing_at_all() {
    let mut w = World::new();
    w.contact(at(0), "<sip:1001@10.0.0.7>");
    let before = w.registrar.clone();
    w.changes.clear();
    for contact in [
        "<sip:1001@10.0.0.7>;expires=0, <sip:1001@0.0.0.0>",
        "<sip:1001@10.0.0.8>, <sip:1001@10.0.0.9>;expires=1",
        "<sip:1@10.0.0.1>, <sip:2@10.0.0.1>, <sip:3@10.0.0.1>",
    ] {
        assert!(w.contact(at(0), contact).status.is_failure());
        assert_eq!(w.registrar, before, "{contact}");
    }
    assert!(w.changes.is_empty());
}

#[test]
fn contacts_are_bounded_and_an_unreachable_one_makes_room() {
    let mut w = World::with(RegistrarConfig { qualify: Some(MINUTE), ..config() });
    for i in 1..=3 {
        assert_eq!(w.contact(at(0), &format!("<sip:{i}@10.0.0.7>")).status, StatusCode::OK);
    }
    assert_eq!(w.contact(at(0), "<sip:4@10.0.0.7>").status, StatusCode::FORBIDDEN);
    let swap = "<sip:1@10.0.0.7>;expires=0, <sip:4@10.0.0.7>";
    assert_eq!(w.contact(at(0), swap).status, StatusCode::OK);
    let id = w.registrar.bindings().find(|b| &*b.key == "sip:2@10.0.0.7").unwrap().id;
    for _ in 0..QUALIFY_FAILURES_MAX {
        w.registrar.qualify_result(at(1), id, None, &mut w.changes);
    }
    assert_eq!(w.contact(at(2), "<sip:5@10.0.0.7>").status, StatusCode::OK);
    assert_eq!(w.contacts(at(2)), ["sip:5@10.0.0.7", "sip:4@10.0.0.7", "sip:3@10.0.0.7"]);
    let flood: Vec<_> = (0..7).map(|i| format!("<sip:{i}@10.0.0.7>;expires=0")).collect();
    assert_eq!(w.contact(at(2), &flood.join(",")).status, StatusCode::FORBIDDEN);
}

#[test]
fn a_device_that_comes_back_replaces_its_old_flow() {
    let instance = "+sip.instance=\"<urn:uuid:1>\"";
    for (reg_id, other_reg_id, contacts) in
        [(";reg-id=1", ";reg-id=1", 1), ("", "", 1), (";reg-id=1", ";reg-id=2", 2)]
    {
        let mut w = World::new();
        w.source = source(Transport::Ws, 7, PHONE);
        w.contact(at(0), &format!("<sip:a@x.invalid;transport=ws>;{instance}{reg_id}"));
        let first = w.registrar.lookup(at(0), "1001").next().unwrap().id;
        w.call_id = "call-b";
        w.source = source(Transport::Ws, 8, "198.51.100.7:40001");
        w.contact(at(1), &format!("<sip:b@y.invalid;transport=ws>;{instance}{other_reg_id}"));
        assert_eq!(w.registrar.len(), contacts);
        // Both flows lead to one device: it rings once, over the newer one.
        assert_eq!(w.contacts(at(1)), ["sip:b@y.invalid;transport=ws"]);
        let found = w.registrar.lookup(at(1), "1001").next().unwrap();
        assert_eq!(found.target.flow, Some(FlowId(8)));
        assert_eq!(found.id == first, contacts == 1);
        // The old connection's end no longer concerns the new one.
        w.registrar.flow_closed(at(2), FlowId(7), &mut w.changes);
        assert_eq!(w.contacts(at(2)), ["sip:b@y.invalid;transport=ws"]);
        w.registrar.flow_closed(at(2), FlowId(8), &mut w.changes);
        assert!(w.registrar.is_empty());
    }
}

#[test]
fn a_device_has_all_its_flows_that_can_be_reached() {
    let mut w = World::new();
    let register = |w: &mut World, flow: u64, contact: &str| {
        w.source = source(Transport::Ws, flow, &format!("198.51.100.7:{}", 40_000 + flow));
        w.contact(at(0), contact);
        w.registrar.bindings().last().unwrap().id
    };
    let of = |reg_id: u8| {
        format!("<sip:1{reg_id}@x.invalid>;+sip.instance=\"<urn:uuid:1>\";reg-id={reg_id}")
    };
    let first = register(&mut w, 1, &of(1));
    register(&mut w, 2, &of(2));
    register(&mut w, 3, "<sip:plain@x.invalid>");
    let users = |w: &World| -> Vec<Vec<String>> {
        let devices = w.registrar.devices(at(1), "1001").into_iter();
        let user = |binding: &Binding| binding.contact.user.as_deref().unwrap_or("").to_owned();
        devices.map(|flows| flows.into_iter().map(user).collect()).collect()
    };
    assert_eq!(users(&w), [vec!["plain"], vec!["12", "11"]]);
    for _ in 0..QUALIFY_FAILURES_MAX {
        w.registrar.qualify_result(at(1), first, None, &mut w.changes);
    }
    assert_eq!(users(&w), [vec!["plain"], vec!["12"]]);
}

#[test]
fn a_closed_connection_ends_what_only_it_could_reach() {
    for (transport, contact, left) in [
        (Transport::Ws, "<sip:a@x.invalid>", None),
        (Transport::Tcp, "<sip:1001@10.0.0.7:5062>", None),
        (Transport::Tcp, "<sip:1001@198.51.100.7:5062>", Some("198.51.100.7:5062")),
        (Transport::Tcp, "<sip:1001@198.51.100.7>", Some("198.51.100.7:5060")),
        (Transport::Tls, "<sip:1001@198.51.100.7:5062>", None),
        (Transport::Udp, "<sip:1001@10.0.0.7>", Some(PHONE)),
    ] {
        let mut w = World::new();
        w.source = source(transport, 7, PHONE);
        w.contact(at(0), contact);
        w.changes.clear();
        w.registrar.flow_closed(at(1), FlowId(7), &mut w.changes);
        let addresses: Vec<_> = w.lookup(at(1)).into_iter().map(|(_, address)| address).collect();
        assert_eq!(addresses, Vec::from_iter(left), "{transport:?} {contact}");
        assert_eq!(w.changes.len(), usize::from(transport != Transport::Udp));
        assert!(w.registrar.by_flow.is_empty() || transport == Transport::Udp);
    }
}

#[test]
fn a_moved_phone_is_new_and_a_refreshed_one_is_not() {
    let mut w = World::new();
    let is_new = |w: &mut World, headers: &[(Name, &str)]| {
        w.changes.clear();
        w.send(at(0), headers);
        let [Change::Bound { new, .. }] = w.changes[..] else { panic!("{:?}", w.changes) };
        new
    };
    let contact = (Name::Contact, "<sip:1001@10.0.0.7>");
    assert!(is_new(&mut w, &[contact]));
    assert!(!is_new(&mut w, &[contact]));
    assert!(!is_new(&mut w, &[(Name::Contact, "<sip:1001@10.0.0.7>;expires=77")]));
    assert!(is_new(&mut w, &[contact, (Name::Path, "<sip:edge.test;lr>")]));
    w.source.remote = "198.51.100.7:40009".parse().unwrap();
    assert!(is_new(&mut w, &[contact, (Name::Path, "<sip:edge.test;lr>")]));
    assert_eq!(w.registrar.len(), 1);
}

#[test]
fn paths_are_kept_in_order_and_told_back_to_who_knows_them() {
    let mut w = World::new();
    let paths =
        [(Name::Path, "<sip:p1.test;lr>, <sip:p2.test;lr>"), (Name::Path, "<sip:p3.test;lr>")];
    let contact = (Name::Contact, "<sip:1001@10.0.0.7>");
    let silent = w.send(at(0), &[paths[0], paths[1], contact]);
    assert!(!silent.headers.has(Name::Path));
    let told = w.send(at(0), &[paths[0], paths[1], contact, (Name::Supported, "path, gruu")]);
    assert_eq!(told.headers.get_all(Name::Path).count(), 2);
    let binding = w.registrar.lookup(at(0), "1001").next().unwrap();
    let kept: Vec<_> = binding.path.iter().map(ToString::to_string).collect();
    assert_eq!(kept, ["<sip:p1.test;lr>", "<sip:p2.test;lr>", "<sip:p3.test;lr>"]);
    let many = "<sip:p.test;lr>,".repeat(PATHS_MAX + 1);
    let long = format!("<sip:p.test;lr;x={}>", "x".repeat(PATH_LEN_MAX));
    for bad in [&many, &long, "nonsense"] {
        assert_eq!(w.send(at(0), &[(Name::Path, bad), contact]).status, StatusCode::BAD_REQUEST);
    }
}

#[test]
fn extensions_required_of_us_are_known_or_named() {
    let mut w = World::new();
    let contact = (Name::Contact, "<sip:1001@10.0.0.7>;+sip.instance=\"<urn:uuid:1>\";reg-id=1");
    let response = w.send(at(0), &[contact, (Name::Require, "Path, gruu, outbound, x")]);
    assert_eq!(response.status, StatusCode::BAD_EXTENSION);
    assert_eq!(response.headers.get(Name::Unsupported), Some("gruu, x"));
    let response = w.send(at(0), &[contact, (Name::Supported, "outbound")]);
    assert_eq!(response.headers.get(Name::Require), Some("outbound"));
    let response = w.send(at(0), &[contact]);
    assert_eq!(response.headers.get(Name::Require), None);
}

#[test]
fn a_first_hop_that_keeps_no_flows_is_told_by_439() {
    let contact = (Name::Contact, "<sip:1001@10.0.0.7>;+sip.instance=\"<urn:uuid:1>\";reg-id=1");
    let outbound = (Name::Supported, "path, outbound");
    let via = |n: usize| (Name::Via, ["SIP/2.0/TCP 10.0.0.7;branch=z9hG4bKa"; 2][..n].join(", "));
    let (lacking, able) = ("<sip:edge.test;lr>", "<sip:p.test;lr>, <sip:edge.test;lr;ob>");
    let refused = StatusCode::FIRST_HOP_LACKS_OUTBOUND_SUPPORT;
    let rows = [
        (1, None, StatusCode::OK),
        (1, Some(lacking), StatusCode::OK), // its own Path
        (2, None, refused),
        (2, Some(lacking), refused),
        (2, Some(able), StatusCode::OK),
        (2, Some("<sip:p.test;lr;ob>, <sip:edge.test;lr>"), refused),
    ];
    for (vias, path, status) in rows {
        let mut w = World::new();
        let (name, vias) = via(vias);
        let headers: Vec<_> = [(name, &*vias), contact, outbound]
            .into_iter()
            .chain(path.map(|p| (Name::Path, p)))
            .collect();
        assert_eq!(w.send(at(0), &headers).status, status, "{vias} {path:?}");
        // A phone that does not ask for it is served as ever.
        let plain: Vec<_> =
            headers.into_iter().filter(|(name, _)| *name != Name::Supported).collect();
        assert_eq!(World::new().send(at(0), &plain).status, StatusCode::OK, "{vias} {path:?}");
    }
}

#[test]
fn a_phone_on_a_connection_of_its_own_is_told_how_often_to_say_that_it_is_there() {
    let contact = (Name::Contact, "<sip:1001@10.0.0.7>;+sip.instance=\"<urn:uuid:1>\";reg-id=1");
    let outbound = (Name::Supported, "outbound");
    for (transport, asks, told) in [
        (Transport::Tcp, true, Some("120")),
        (Transport::Wss, true, Some("120")),
        (Transport::Udp, true, None),
        (Transport::Tcp, false, None),
    ] {
        let mut w = World::new();
        w.source.transport = transport;
        let headers = if asks { vec![contact, outbound] } else { vec![contact] };
        let response = w.send(at(0), &headers);
        assert_eq!(response.headers.get(Name::FlowTimer), told, "{transport:?}");
    }
}

#[test]
fn contacts_come_by_q_and_then_the_latest_first() {
    let mut w = World::new();
    for (contact, q) in [("a", ";q=0.3"), ("b", ""), ("c", ";q=0.3")] {
        w.contact(at(0), &format!("<sip:{contact}@10.0.0.7>{q}"));
    }
    assert_eq!(w.contacts(at(0)), ["sip:b@10.0.0.7", "sip:c@10.0.0.7", "sip:a@10.0.0.7"]);
    w.contact(at(0), "<sip:b@10.0.0.7>;q=0.1");
    assert_eq!(w.contacts(at(0)), ["sip:c@10.0.0.7", "sip:a@10.0.0.7", "sip:b@10.0.0.7"]);
    for (q, thousandths) in [
        ("0", 0),
        ("1", 1000),
        ("1.0", 1000),
        ("0.7", 700),
        ("0.25", 250),
        ("0.123", 123),
        ("x", 0),
    ] {
        let params = format!("<sip:a@b>;q={q}").parse::<NameAddr>().unwrap().params;
        assert_eq!(binding::q_of(&params), thousandths, "{q}");
    }
}

#[test]
fn lengths_are_bounded() {
    let mut w = World::new();
    let contact = (Name::Contact, "<sip:1001@10.0.0.7>");
    let long = "é".repeat(1000);
    w.send(at(0), &[contact, (Name::UserAgent, &long)]);
    let binding = w.registrar.bindings().next().unwrap();
    assert!(binding.user_agent.len() <= USER_AGENT_LEN_MAX);
    let long = "x".repeat(CALL_ID_LEN_MAX + 1);
    assert_eq!(w.send(at(0), &[contact, (Name::CallId, &long)]).status, StatusCode::BAD_REQUEST);
}

#[test]
fn qualifying_is_spread_and_periodic() {
    let mut w = World::with(RegistrarConfig { qualify: Some(MINUTE), ..config() });
    let users: Vec<String> = (0..600).map(|i| i.to_string()).collect();
    for user in users {
        w.user = user.leak();
        w.contact(at(0), "<sip:1001@10.0.0.7>;expires=3600");
    }
    for round in 0..3 {
        let mut most = 0;
        let mut all = Vec::new();
        for second in 1..=60 {
            let mut due = Vec::new();
            w.registrar.qualify_due(at(round * 60 + second), &mut due);
            most = most.max(due.len());
            all.append(&mut due);
        }
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 600, "each once a minute");
        assert!(most <= 13, "{most} in one second, where 10 are the mean");
    }
    // A refresh does not put the next question off.
    let next = w.registrar.qualify.next();
    w.contact(at(181), "<sip:1001@10.0.0.7>;expires=3600");
    assert_eq!(w.registrar.qualify.next(), next);
    // After a pause each is asked once, not once per interval missed.
    let mut due = Vec::new();
    w.registrar.qualify_due(at(3000), &mut due);
    assert_eq!(due.len(), 600);
}

#[test]
fn three_silences_make_a_contact_unreachable_and_one_answer_brings_it_back() {
    let mut w = World::with(RegistrarConfig { qualify: Some(MINUTE), ..config() });
    w.contact(at(0), "<sip:1001@10.0.0.7>");
    let id = w.registrar.bindings().next().unwrap().id;
    w.changes.clear();
    let rtt = Some(Duration::from_millis(12));
    for (answer, reachable, told) in [
        (None, true, false),
        (rtt, true, false),
        (None, true, false),
        (None, true, false),
        (None, false, true),
        (None, false, false),
        (rtt, true, true),
    ] {
        w.registrar.qualify_result(at(1), id, answer, &mut w.changes);
        assert_eq!(w.registrar.binding(id).unwrap().is_reachable(), reachable);
        let expected = told.then(|| Change::Reachable { aor: "1001".into(), reachable });
        assert_eq!(std::mem::take(&mut w.changes), Vec::from_iter(expected));
    }
    let reachability = w.registrar.binding(id).unwrap().reachability;
    assert_eq!(Some(reachability), rtt.map(|round_trip| Reachability::Reachable { round_trip }));
    // A refresh over the same way keeps what is known, another way does not.
    w.contact(at(2), "<sip:1001@10.0.0.7>");
    assert_eq!(w.registrar.binding(id).unwrap().reachability, reachability);
    w.source.remote = "198.51.100.7:40009".parse().unwrap();
    w.contact(at(2), "<sip:1001@10.0.0.7>");
    assert_eq!(w.registrar.binding(id).unwrap().reachability, Reachability::Unknown);
    w.registrar.qualify_result(at(3), BindingId(99), None, &mut w.changes);
}

mod restart;
