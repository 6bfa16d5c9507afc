//! ATTACKS 1: the torture messages of RFC 4475 and RFC 5118 as a trunk's, each with its final answer.
//! What is read in them is a table of the `sip` crate.

mod world;

use std::path::Path;

use world::{PHONE, TRUNK, World, parse, reply, sdp};

/// Not answered.
const SILENCE: u16 = 0;

/// `user` is agent 1001, who takes every call; whoever else is called does not exist. 401 is what a
/// REGISTER gets that is in order: only phones may register, by their passwords.
const RFC4475: [(&str, u16); 49] = [
    // §3.1.1: valid.
    ("wsinv", 481), // inside a dialog that there is not
    ("intmeth", 405),
    ("esc01", 404),
    ("escnull", 401),
    ("esc02", 405),
    ("lwsdisp", 200),
    ("longreq", 200),
    ("dblreq", 401),
    ("semiuri", 200),
    ("transports", 200),
    ("mpart01", 405),
    ("unreason", SILENCE),
    ("noreason", SILENCE),
    // §3.1.2: invalid.
    ("badinv01", 400),
    ("clerr", 400),
    ("ncl", 400),
    ("scalar02", 400),
    ("scalarlg", SILENCE),
    ("quotbal", 400),
    ("ltgtruri", 400),
    ("lwsruri", 400),
    ("lwsstart", 400),
    ("trws", 400),
    ("escruri", 400),
    ("baddate", 200),
    ("regbadct", 400),
    ("badaspec", 400),
    ("baddn", 400),
    ("badvers", 505),
    ("mismatch01", 400),
    ("mismatch02", 400),
    ("bigcode", SILENCE),
    // §3.2 to §3.4: for the layers above.
    ("badbranch", 400),
    ("insuf", 400),
    ("unkscm", 416),
    ("novelsc", 416),
    ("unksm2", 401),
    ("bext01", 420),
    ("invut", 415),
    ("regaut01", 401),
    ("multi01", 400),
    ("mcl01", 400),
    ("bcast", SILENCE),
    ("zeromf", 200),
    ("cparam01", 401),
    ("cparam02", 401),
    ("regescrt", 401),
    ("sdp01", 406),
    ("inv2543", 404),
];

const RFC5118: [(&str, u16); 12] = [
    ("ipv6-good", 401),
    ("ipv6-bad", 400),
    ("port-ambiguous", 401),
    ("port-unambiguous", 401),
    ("via-received-param-with-delim", 481),
    ("via-received-param-no-delim", 200),
    ("ipv6-in-sdp", 488), // our media has IPv4 only
    ("mult-ip-in-header", 481),
    ("mult-ip-in-sdp", 200),   // its audio is at the IPv4 address
    ("ipv4-mapped-ipv6", 488), // in its description as well
    ("ipv6-bug-abnf-3-colons", 200),
    ("ipv6-correct-abnf-2-colons", 200),
];

/// The final answer to a message, which the agent's phone may have been asked for.
fn final_status(bytes: &[u8]) -> u16 {
    let mut config = b2bua::testing::config();
    config.entry_points[0].number = "user".into();
    let mut world = World::with(config);
    world.register("1001", PHONE);
    world.receive_bytes(TRUNK, bytes);
    if let Some(invite) = world.sent_to(PHONE).first() {
        world.receive(PHONE, &reply(&parse(invite), "200 OK", &sdp(5000, "")));
    }
    let answers = world.sent_to(TRUNK);
    assert!(
        world
            .sent
            .iter()
            .all(|(to, _)| *to == PHONE.parse::<std::net::SocketAddr>().expect("an address")),
        "{:?}",
        world.sent
    );
    let statuses = answers.iter().filter_map(|answer| answer.split(' ').nth(1)?.parse().ok());
    let finals: Vec<u16> = statuses.filter(|status| *status >= 200).collect();
    assert!(finals.len() <= 1, "{finals:?}");
    finals.first().copied().unwrap_or(SILENCE)
}

#[test]
fn every_torture_message_gets_its_final_answer() {
    let torture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sip/tests/torture");
    let mut wrong = Vec::new();
    for (rfc, table) in [("rfc4475", &RFC4475[..]), ("rfc5118", &RFC5118)] {
        assert_eq!(std::fs::read_dir(torture.join(rfc)).unwrap().count(), table.len());
        for (name, expected) in table {
            let bytes = std::fs::read(torture.join(rfc).join(format!("{name}.dat"))).unwrap();
            let status = final_status(&bytes);
            if status != *expected {
                wrong.push(format!("{name}: {status}, not {expected}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// INTEROP 15: what OPTIONS get who are none of ours.
#[test]
fn options_that_cannot_be_understood_are_refused_to_strangers_too() {
    let mut world = World::new();
    let rows = [
        ("sip:1001@127.0.0.1", "Supported: nobody-knows-this", 200),
        ("sip:1001@127.0.0.1", "Require: 100rel, nobody-knows-this", 420),
        ("sip:1001@127.0.0.1", "Proxy-Require: nobody-knows-this", 420),
        ("tel:+4930100", "Subject: x", 200),
        ("soap.beep://192.0.2.103:3002", "Require: nobody-knows-this", 416),
    ];
    for (at, (uri, header, status)) in rows.into_iter().enumerate() {
        let from = "203.0.113.9:5060";
        world.receive(
            from,
            &format!(
                "OPTIONS {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK{at}\r\n\
                 From: <sip:a@h>;tag=1\r\nTo: <sip:a@h>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n\
                 {header}\r\n\r\n"
            ),
        );
        let answer = world.sent_to(from).remove(0);
        assert!(answer.starts_with(&format!("SIP/2.0 {status} ")), "{uri} {header}: {answer}");
        let named = answer.contains("\r\nUnsupported: nobody-knows-this\r\n");
        assert_eq!(named, status == 420);
    }
}
