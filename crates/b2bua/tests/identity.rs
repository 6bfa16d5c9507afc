//! INTEROP 16, RFC 3323, RFC 3325: who a caller is said to be, who must not learn it, and which
//! headers pass from leg to leg.
#![allow(clippy::unwrap_used)]

mod world;

use b2bua::config::{CallerIdStyle, Config};
use sip::message::{Method, Name};
use world::{PHONE, TRUNK, World, answer, parse, reply, sdp};

const BACKUP: &str = "127.0.0.3:5060";

fn config(change: impl FnOnce(&mut Config)) -> Config {
    let mut config = b2bua::testing::config();
    for extension in &mut config.extensions {
        extension.caller_id = Some("+4930555".into());
    }
    change(&mut config);
    config
}

/// Headers that a trunk lets through, beside those that every test lets through.
fn passing(config: &mut Config, names: &[&str]) {
    config.trunks[0].pass_headers.extend(names.iter().map(|&name| name.to_owned()));
}

/// The customer's INVITE for the entry point with this From and these lines.
fn from_customer(from: &str, lines: &str) -> String {
    let body = sdp(4000, "");
    format!(
        "INVITE sip:+4930100@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {TRUNK};branch=z9hG4bKi1\r\n\
         From: {from};tag=c1\r\nTo: <sip:+4930100@127.0.0.1>\r\nCall-ID: call-1\r\n\
         CSeq: 1 INVITE\r\nContact: <sip:customer@{TRUNK}>\r\nMax-Forwards: 70\r\n{lines}\
         Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// What the phone of 1001 gets of it.
fn rung_by_customer(world: &mut World, from: &str, lines: &str) -> String {
    world.register("1001", PHONE);
    world.receive(TRUNK, &from_customer(from, lines));
    world.sent_to(PHONE).remove(0)
}

/// What the trunk at `to` gets when 1001 dials out with these lines, digest apart.
fn dialled_out(world: &mut World, to: &str, lines: &str) -> String {
    let body = sdp(5000, "");
    let request = |cseq: u32, proof: &str| {
        format!(
            "INVITE sip:0171999@hookflash.test SIP/2.0\r\n\
             Via: SIP/2.0/UDP {PHONE};branch=z9hG4bKo{cseq}\r\n\
             From: \"Agent Smith\" <sip:1001@hookflash.test>;tag=p1\r\n\
             To: <sip:0171999@hookflash.test>\r\nCall-ID: out-1\r\nCSeq: {cseq} INVITE\r\n\
             Contact: <sip:1001@{PHONE}>\r\nMax-Forwards: 70\r\n{lines}{proof}\
             Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    world.receive(PHONE, &request(1, ""));
    let challenge = world.sent_to(PHONE).remove(0);
    let proof = answer(&challenge, "INVITE", "1001");
    world.receive(PHONE, &request(2, &proof));
    world.sent_to(to).remove(0)
}

/// All values of a header, in order.
fn values(text: &str, name: Name) -> Vec<String> {
    parse(text).headers.get_all(name).map(str::to_owned).collect()
}

fn one(text: &str, name: Name) -> String {
    let all = values(text, name);
    assert_eq!(all.len(), 1, "{text}");
    all.into_iter().next().unwrap()
}

const ANONYMOUS: &str = "\"Anonymous\" <sip:anonymous@anonymous.invalid>";
const ASSERTED: &str = "P-Asserted-Identity: \"Erika Muster\" <sip:+49171555@carrier.test>\r\n";

#[test]
fn what_a_trunk_asserts_is_believed_rather_than_from() {
    let mut world = World::with(config(|_| {}));
    let invite = rung_by_customer(&mut world, "<sip:+4999999@carrier.test>", ASSERTED);
    let from = one(&invite, Name::From);
    assert!(from.starts_with("\"Erika Muster\" <sip:+49171555@hookflash.test>;tag="), "{from}");
    assert!(!invite.contains("+4999999"), "{invite}");
    assert_eq!(values(&invite, Name::Privacy), [] as [&str; 0]);
    // A phone is not a part of the trust domain (RFC 3325 §5): it is told by From alone.
    assert_eq!(values(&invite, Name::PAssertedIdentity), [] as [&str; 0]);
}

#[test]
fn a_private_caller_of_a_trunk_is_nobody_to_the_phone() {
    // Even where the trunk lists the very headers that would tell.
    for listed in [&[][..], &["P-Asserted-Identity", "Privacy"]] {
        let mut world = World::with(config(|config| passing(config, listed)));
        let private = format!("{ASSERTED}Privacy: id\r\n");
        let invite = rung_by_customer(&mut world, ANONYMOUS, &private);
        let from = one(&invite, Name::From);
        let anonymous = "<sip:anonymous@anonymous.invalid>;tag=";
        assert!(from.contains(anonymous), "{from}");
        assert_eq!(one(&invite, Name::Privacy), "id");
        for secret in ["171555", "Erika", "Muster", "P-Asserted-Identity"] {
            assert!(!invite.contains(secret), "{secret}: {invite}");
        }
    }
}

#[test]
fn a_number_that_a_trunk_asserts_passes_when_it_is_listed_and_not_private() {
    let listed = ["P-Asserted-Identity", "Privacy"];
    let mut world = World::with(config(|config| passing(config, &listed)));
    let invite = rung_by_customer(&mut world, "<sip:+4999999@carrier.test>", ASSERTED);
    let asserted = one(&invite, Name::PAssertedIdentity);
    assert_eq!(format!("P-Asserted-Identity: {asserted}\r\n"), ASSERTED);
}

/// ATTACKS 8: a phone asserts nothing, whatever is listed.
#[test]
fn a_trunk_is_told_whom_we_know_and_not_what_a_phone_asserts() {
    for listed in [&[][..], &["P-Asserted-Identity", "Privacy"]] {
        let mut world = World::with(config(|config| passing(config, listed)));
        let lie = "P-Asserted-Identity: <sip:+4966666@hookflash.test>\r\n\
                   P-Preferred-Identity: <sip:+4966666@hookflash.test>\r\n";
        let invite = dialled_out(&mut world, TRUNK, lie);
        let asserted = one(&invite, Name::PAssertedIdentity);
        assert_eq!(asserted, "\"Agent 1001\" <sip:+4930555@hookflash.test>");
        let from = one(&invite, Name::From);
        assert!(from.starts_with("\"Agent 1001\" <sip:+4930555@hookflash.test>;tag="), "{from}");
        assert!(!invite.contains("66666") && !invite.contains("Smith"), "{invite}");
        assert_eq!(values(&invite, Name::Privacy), [] as [&str; 0]);
    }
}

#[test]
fn a_private_agent_is_asserted_to_a_trunk_that_wants_that_and_hidden_from_another() {
    for listed in [&[][..], &["P-Asserted-Identity", "Privacy"]] {
        let mut world = World::with(config(|config| passing(config, listed)));
        let invite = dialled_out(&mut world, TRUNK, "Privacy: id\r\n");
        let from = one(&invite, Name::From);
        assert!(from.contains("<sip:anonymous@anonymous.invalid>;tag="), "{from}");
        let asserted = one(&invite, Name::PAssertedIdentity);
        assert_eq!(asserted, "\"Agent 1001\" <sip:+4930555@hookflash.test>");
        assert_eq!(one(&invite, Name::Privacy), "id");
    }
    let mut world = World::with(config(|config| {
        config.trunks[0].caller_id = CallerIdStyle::From;
    }));
    let invite = dialled_out(&mut world, TRUNK, "Privacy: id\r\n");
    assert!(one(&invite, Name::From).contains("<sip:anonymous@anonymous.invalid>;tag="));
    for secret in ["4930555", "Agent 1001", "sip:1001@", "P-Asserted-Identity"] {
        assert!(!invite.contains(secret), "{secret}: {invite}");
    }
}

#[test]
fn the_next_trunk_is_told_in_its_own_manner() {
    let mut world = World::with(config(|config| {
        config.trunks[0].caller_id = CallerIdStyle::From;
    }));
    let first = dialled_out(&mut world, TRUNK, "");
    assert_eq!(values(&first, Name::PAssertedIdentity), [] as [&str; 0]);
    assert!(one(&first, Name::From).contains("<sip:+4930555@hookflash.test>;tag="));
    world.receive(TRUNK, &reply(&parse(&first), "503 Service Unavailable", ""));
    let second = world.sent_to(BACKUP).remove(0);
    let asserted = one(&second, Name::PAssertedIdentity);
    assert_eq!(asserted, "\"Agent 1001\" <sip:+4930555@hookflash.test>");
}

/// Several of a kind keep their order; what no list names does not pass.
#[test]
fn history_diversion_and_reason_pass_when_the_trunk_lists_them() {
    let lines = "History-Info: <sip:+4930100@carrier.test>;index=1\r\n\
                 History-Info: <sip:+4930101@carrier.test?Reason=SIP%3Bcause%3D302>;index=1.1\r\n\
                 Diversion: <sip:+4930100@carrier.test>;reason=unconditional\r\n\
                 Reason: Q.850;cause=17;text=\"User busy\"\r\n";
    let names = [Name::HistoryInfo, Name::Diversion, Name::Reason];
    let mut world = World::with(config(|_| {}));
    let plain = rung_by_customer(&mut world, "<sip:+49171@carrier.test>", lines);
    for name in names {
        assert_eq!(values(&plain, name), [] as [&str; 0], "{plain}");
    }
    let listed = ["history-info", "Diversion", "Reason"];
    let mut world = World::with(config(|config| passing(config, &listed)));
    let sent = from_customer("<sip:+49171@carrier.test>", lines);
    let passed = rung_by_customer(&mut world, "<sip:+49171@carrier.test>", lines);
    for name in names {
        assert_eq!(values(&passed, name), values(&sent, name), "{passed}");
    }
    assert_eq!(values(&passed, Name::HistoryInfo).len(), 2);
    // Back in the answer, too.
    let answer = reply(&parse(&passed), "200 OK", &sdp(5000, ""));
    let history = "History-Info: <sip:1001@hookflash.test>;index=1.1.1\r\nX-Private: 1\r\n";
    world.receive(PHONE, &answer.replacen("Contact:", &format!("{history}Contact:"), 1));
    let ok = world.sent_to(TRUNK).into_iter().find(|text| text.starts_with("SIP/2.0 200 OK"));
    let ok = ok.unwrap();
    assert!(ok.contains("History-Info: <sip:1001@hookflash.test>;index=1.1.1\r\n"), "{ok}");
    assert!(!ok.contains("X-Private"), "{ok}");
}

/// What the far end's Reason said is not repeated in our BYE: it has one of its own.
#[test]
fn a_hang_up_says_why_in_q_850() {
    let mut world = World::with(config(|config| passing(config, &["Reason"])));
    let ok = world::talk(&mut world);
    let bye = world::in_dialog("BYE", 90, &ok);
    let bye = bye.replacen("Max-Forwards", "Reason: SIP;cause=486\r\nMax-Forwards", 1);
    world.receive(TRUNK, &bye);
    let ours = world.sent_to(PHONE).remove(0);
    assert_eq!(parse(&ours).method, Method::Bye);
    assert!(one(&ours, Name::Reason).starts_with("Q.850;cause=16;"), "{ours}");
}
