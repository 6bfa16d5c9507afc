//! Offers and answers of protected media, as real products make them.

use proptest::prelude::*;

use super::*;
use crate::{Direction::SendRecv, Negotiation, parse, standard_codecs};

const CODECS: [&str; 3] = ["opus", "PCMU", "PCMA"];
const FINGERPRINT: &str = "sha-256 D2:FA:0E:C3:22:59:5E:14:95:69:92:3D:13:B4:84:24:2C:C2:A2:C0:3E:\
    FD:34:8E:5E:EA:6F:AF:52:CE:E6:0F";
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd";
const OTHER_KEY: &str = "HRwbGhkYFxYVFBMSERAPDg0MCwoJCAcGBQQDAgEA";

fn leg(policy: Policy, ice: bool, seed: u8) -> Negotiation {
    let local = LocalAudio {
        address: [198, 51, 100, 1].into(),
        rtp_port: 20_000,
        rtcp_mux: ice,
        ptime: Some(20),
    };
    let mut leg = Negotiation::new(77, local);
    leg.set_security(Security::new(policy, ice, [seed; 32]));
    leg
}

fn sdes(required: bool) -> Policy {
    let suites = vec![Suite::AesCm128HmacSha1_80, Suite::AesCm128HmacSha1_32];
    Policy::Sdes { required, suites, lifetime: false }
}

fn dtls() -> Policy {
    Policy::Dtls { fingerprint: Fingerprint::parse(FINGERPRINT).unwrap() }
}

fn phone(protocol: &str, attributes: &str) -> Session {
    let text = format!(
        "v=0\r\no=- 5 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
         m=audio 4000 {protocol} 0 8\r\n{attributes}"
    );
    parse(text.as_bytes()).unwrap()
}

fn crypto(tag: u32, key: &str) -> String {
    format!("a=crypto:{tag} AES_CM_128_HMAC_SHA1_80 inline:{key}\r\n")
}

fn answer(leg: &mut Negotiation) -> Session {
    let body = leg.answer(&standard_codecs(&CODECS), SendRecv).unwrap();
    parse(&body).unwrap()
}

fn offer(leg: &mut Negotiation) -> Session {
    let body = leg.offer(&standard_codecs(&CODECS), SendRecv).unwrap();
    parse(&body).unwrap()
}

fn our_key(leg: &Negotiation) -> (Suite, Vec<u8>, Vec<u8>) {
    let Protection::Sdes { suite, ours, theirs } = leg.agreed().cloned().unwrap().protection else {
        panic!("not SDES")
    };
    (suite, ours.reveal().to_vec(), theirs.reveal().to_vec())
}

fn peer(leg: &Negotiation) -> DtlsPeer {
    match leg.agreed().cloned().unwrap().protection {
        Protection::Dtls(peer) => peer,
        other @ (Protection::Plain | Protection::Sdes { .. }) => panic!("{other:?}"),
    }
}

/// Of Chromium 140 through JsSIP, addresses changed.
const CHROMIUM: &str = "\
v=0\r
o=- 7294821503948572210 2 IN IP4 127.0.0.1\r
s=-\r
t=0 0\r
a=group:BUNDLE 0 1\r
a=extmap-allow-mixed\r
a=msid-semantic: WMS 0b2c\r
m=audio 51556 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126\r
c=IN IP4 192.0.2.15\r
a=rtcp:9 IN IP4 0.0.0.0\r
a=candidate:3158320915 1 udp 2113937151 0d1c6a2e.local 51556 typ host generation 0 network-cost 999\r
a=candidate:842163049 1 udp 1677729535 192.0.2.15 51556 typ srflx raddr 0.0.0.0 rport 0 generation 0\r
a=ice-ufrag:EsAw\r
a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r
a=ice-options:trickle\r
a=fingerprint:sha-256 0F:E6:CE:52:AF:6F:EA:5E:8E:34:FD:3E:C0:A2:C2:2C:24:84:B4:13:3D:92:69:95:14:5E:59:22:C3:0E:FA:D2\r
a=setup:actpass\r
a=mid:0\r
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r
a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time\r
a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r
a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r
a=sendrecv\r
a=msid:0b2c 77aa\r
a=rtcp-mux\r
a=rtcp-rsize\r
a=rtpmap:111 opus/48000/2\r
a=rtcp-fb:111 transport-cc\r
a=fmtp:111 minptime=10;useinbandfec=1\r
a=rtpmap:63 red/48000/2\r
a=fmtp:63 111/111\r
a=rtpmap:9 G722/8000\r
a=rtpmap:0 PCMU/8000\r
a=rtpmap:8 PCMA/8000\r
a=rtpmap:13 CN/8000\r
a=rtpmap:110 telephone-event/48000\r
a=rtpmap:126 telephone-event/8000\r
a=ssrc:373602 cname:bN3xYk\r
a=ssrc:373602 msid:0b2c 77aa\r
m=video 9 UDP/TLS/RTP/SAVPF 96 97\r
c=IN IP4 0.0.0.0\r
a=ice-ufrag:EsAw\r
a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r
a=fingerprint:sha-256 0F:E6:CE:52:AF:6F:EA:5E:8E:34:FD:3E:C0:A2:C2:2C:24:84:B4:13:3D:92:69:95:14:5E:59:22:C3:0E:FA:D2\r
a=setup:actpass\r
a=mid:1\r
a=rtcp-mux\r
a=rtpmap:96 VP8/90000\r
a=rtcp-fb:96 nack pli\r
";

#[test]
fn a_browser_gets_the_answer_it_expects() {
    let session = parse(CHROMIUM.as_bytes()).unwrap();
    assert_eq!(session.asks_for(), Some(Asked::Dtls));
    let mut leg = leg(dtls(), true, 1);
    leg.receive_offer(session).unwrap();
    let body = leg.answer(&standard_codecs(&CODECS), SendRecv).unwrap();
    let ice = leg.agreed().cloned().unwrap().ice.unwrap();
    let (ufrag, password) = (&ice.local.ufrag, ice.local.password.reveal());
    let expected = format!(
        "v=0\r\no=- 77 1 IN IP4 198.51.100.1\r\ns=-\r\nc=IN IP4 198.51.100.1\r\nt=0 0\r\n\
         a=ice-lite\r\na=group:BUNDLE 0\r\n\
         m=audio 20000 UDP/TLS/RTP/SAVPF 111 0 8 126 110\r\n\
         a=rtpmap:111 opus/48000/2\r\na=fmtp:111 useinbandfec=1\r\n\
         a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
         a=rtpmap:126 telephone-event/8000\r\na=fmtp:126 0-16\r\n\
         a=rtpmap:110 telephone-event/48000\r\na=fmtp:110 0-16\r\n\
         a=ptime:20\r\na=rtcp-mux\r\na=rtcp-xr:voip-metrics\r\na=sendrecv\r\n\
         a=fingerprint:{FINGERPRINT}\r\na=setup:active\r\n\
         a=ice-ufrag:{ufrag}\r\na=ice-pwd:{password}\r\n\
         a=candidate:1 1 UDP 2130706431 198.51.100.1 20000 typ host\r\na=end-of-candidates\r\n\
         a=mid:0\r\n\
         m=video 0 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\n"
    );
    assert_eq!(std::str::from_utf8(&body).unwrap(), expected);
    assert_eq!((ufrag.len(), password.len()), (8, 26));
    assert_eq!(&*ice.remote.ufrag, "EsAw");
    let agreed = leg.agreed().cloned().unwrap();
    assert!(agreed.rtcp_mux);
    assert_eq!(peer(&leg).role, DtlsRole::Client);
    assert_eq!(peer(&leg).fingerprints.len(), 1);
    let remote = leg.remote().unwrap();
    let candidates = &remote.security.ice.as_ref().unwrap().candidates;
    assert_eq!(candidates, &["192.0.2.15:51556".parse().unwrap()]);
    // RFC 4028: a refresh is unchanged to the byte, and so is what repeats an answer.
    assert_eq!(leg.current_description().unwrap(), body);
    assert_eq!(leg.refresh().unwrap(), body);
}

#[test]
fn a_browser_gets_the_offer_it_expects() {
    let mut leg = leg(dtls(), true, 1);
    let body = leg.offer(&standard_codecs(&["PCMU"]), SendRecv).unwrap();
    let text = std::str::from_utf8(&body).unwrap().to_owned();
    for line in [
        "m=audio 20000 UDP/TLS/RTP/SAVPF 0 101\r\n",
        "a=rtcp-mux\r\n",
        "a=ice-lite\r\n",
        "a=group:BUNDLE 0\r\n",
        "a=mid:0\r\n",
        "a=setup:actpass\r\n",
        "typ host\r\na=end-of-candidates\r\n",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    let answer = "a=group:BUNDLE 0\r\n".to_owned() + CHROMIUM.split_once("m=audio").unwrap().0;
    let answer = format!(
        "{answer}m=audio 9 UDP/TLS/RTP/SAVPF 0 101\r\nc=IN IP4 0.0.0.0\r\n\
         a=ice-ufrag:x1y2\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\na=fingerprint:{FINGERPRINT}\r\n\
         a=setup:active\r\na=mid:0\r\na=sendrecv\r\na=rtcp-mux\r\n\
         a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n"
    );
    let answer = answer.trim_start_matches("a=group:BUNDLE 0\r\n");
    leg.receive_answer(parse(answer.as_bytes()).unwrap()).unwrap();
    let agreed = leg.agreed().cloned().unwrap();
    assert_eq!(peer(&leg).role, DtlsRole::Server);
    assert!(agreed.rtcp_mux && agreed.ice.is_some());
    // Nothing has changed: a re-offer has the same credentials and fingerprint.
    let again = leg.offer(&standard_codecs(&["PCMU"]), SendRecv).unwrap();
    assert_eq!(again, body);
}

#[test]
fn sdes_of_real_products_is_answered_under_the_offered_tag() {
    let f8 = format!("a=crypto:3 F8_128_HMAC_SHA1_80 inline:{OTHER_KEY}\r\n");
    let short = format!("a=crypto:1 AES_CM_128_HMAC_SHA1_32 inline:{KEY}\r\n");
    let big = "a=crypto:1 AES_256_CM_HMAC_SHA1_80 inline:\
        AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLQ==\r\n";
    let teams = crypto(2, &format!("{KEY}|2^31|1:1")) + &crypto(3, &format!("{OTHER_KEY}|2^31"));
    for (product, protocol, lines, answered) in [
        ("baresip", "RTP/SAVP", crypto(1, KEY), "1 AES_CM_128_HMAC_SHA1_80"),
        ("baresip", "RTP/SAVPF", big.to_owned() + &crypto(2, KEY), "2 AES_CM_128_HMAC_SHA1_80"),
        (
            "Yealink",
            "RTP/SAVP",
            crypto(1, KEY) + &short.replace(":1 ", ":2 ") + &f8,
            "1 AES_CM_128_HMAC_SHA1_80",
        ),
        ("Yealink, optional", "RTP/AVP", crypto(1, KEY), "1 AES_CM_128_HMAC_SHA1_80"),
        ("Teams", "RTP/SAVP", teams, "3 AES_CM_128_HMAC_SHA1_80"),
        ("Grandstream", "RTP/SAVP", short + &crypto(2, OTHER_KEY), "1 AES_CM_128_HMAC_SHA1_32"),
    ] {
        for required in [true, false] {
            let mut leg = leg(sdes(required), false, 3);
            leg.receive_offer(phone(protocol, &lines)).expect(product);
            let answer = answer(&mut leg);
            let media = &answer.media[0];
            assert_eq!(media.protocol.as_str(), protocol, "{product}");
            assert_eq!(media.attributes_named("crypto").count(), 1);
            let line = media.attribute("crypto").unwrap();
            let (head, key) = line.split_once(" inline:").unwrap();
            assert_eq!(head, answered, "{product}");
            assert_eq!(key.len(), 40);
            let (_, ours, theirs) = our_key(&leg);
            assert_ne!(ours, theirs);
            assert_eq!(Crypto::parse(line).unwrap().key.reveal()[..], ours);
        }
    }
}

/// What is asked for is given or refused, never weakened.
#[test]
fn nobody_falls_back_silently() {
    let key = crypto(1, KEY);
    let bad = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAA\r\n".to_owned();
    let open = crypto(1, &format!("{KEY} UNENCRYPTED_SRTP"));
    let fingerprint = format!("a=fingerprint:{FINGERPRINT}\r\na=setup:actpass\r\n");
    let none = String::new();
    let refused = |error: StreamError| Err(Some(error));
    use StreamError::{Insecure, NoKey, Protocol as Profile};
    for (policy, protocol, lines, expected) in [
        (Policy::Plain, "RTP/AVP", &none, Ok("plain")),
        (Policy::Plain, "RTP/AVP", &key, Ok("plain")),
        (Policy::Plain, "RTP/SAVP", &key, refused(Profile)),
        (Policy::Plain, "UDP/TLS/RTP/SAVPF", &fingerprint, refused(Profile)),
        (sdes(false), "RTP/AVP", &none, Ok("plain")),
        (sdes(false), "RTP/AVP", &bad, Ok("plain")),
        (sdes(false), "RTP/AVPF", &key, Ok("sdes")),
        (sdes(false), "RTP/SAVP", &key, Ok("sdes")),
        (sdes(false), "RTP/SAVP", &bad, refused(NoKey)),
        (sdes(false), "RTP/SAVP", &open, refused(NoKey)),
        (sdes(false), "RTP/SAVP", &none, refused(NoKey)),
        (sdes(false), "RTP/SAVPF", &fingerprint, refused(NoKey)),
        (sdes(false), "UDP/TLS/RTP/SAVPF", &key, refused(Profile)),
        (sdes(true), "RTP/AVP", &none, refused(Insecure)),
        (sdes(true), "RTP/AVP", &open, refused(Insecure)),
        (sdes(true), "RTP/AVP", &key, Ok("sdes")),
        (sdes(true), "RTP/SAVP", &key, Ok("sdes")),
        (sdes(true), "RTP/SAVP", &bad, refused(NoKey)),
        (dtls(), "RTP/AVP", &none, refused(Insecure)),
        (dtls(), "RTP/AVP", &fingerprint, refused(Insecure)),
        (dtls(), "RTP/SAVP", &key, refused(NoKey)),
        (dtls(), "RTP/SAVPF", &fingerprint, Ok("dtls")),
        (dtls(), "UDP/TLS/RTP/SAVP", &fingerprint, Ok("dtls")),
        (dtls(), "UDP/TLS/RTP/SAVPF", &none, refused(NoKey)),
    ] {
        let mut leg = leg(policy.clone(), false, 4);
        let case = format!("{policy:?} {protocol} {lines}");
        let found = match leg.receive_offer(phone(protocol, lines)) {
            Err(crate::OfferError::Stream(error)) => {
                assert_eq!(error.status(), 488);
                Err(Some(error))
            }
            Err(_) => Err(None),
            Ok(_) => {
                let media = answer(&mut leg).media.remove(0);
                assert_eq!(media.protocol.as_str(), protocol);
                Ok(match leg.agreed().cloned().unwrap().protection {
                    Protection::Plain => "plain",
                    Protection::Sdes { .. } => "sdes",
                    Protection::Dtls(_) => "dtls",
                })
            }
        };
        assert_eq!(found, expected, "{case}");
    }
}

#[test]
fn an_answer_must_have_what_we_offered() {
    let key = crypto(1, KEY);
    let second = format!("a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:{KEY}\r\n");
    let mixed = format!("a=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:{KEY}\r\n");
    let third = crypto(3, KEY);
    let fingerprint = format!("a=fingerprint:{FINGERPRINT}\r\na=setup:passive\r\n");
    let none = String::new();
    use StreamError::{Insecure, NoKey, Protocol as Profile};
    for (policy, offered, protocol, lines, expected) in [
        (Policy::Plain, "RTP/AVP", "RTP/SAVP", &key, Some(Profile)),
        (sdes(false), "RTP/AVP", "RTP/AVP", &none, None),
        (sdes(false), "RTP/AVP", "RTP/AVP", &third, None),
        (sdes(false), "RTP/AVP", "RTP/AVP", &key, None),
        (sdes(false), "RTP/AVP", "RTP/SAVP", &key, None),
        (sdes(false), "RTP/AVP", "RTP/SAVP", &none, Some(Profile)),
        (sdes(true), "RTP/SAVP", "RTP/SAVP", &key, None),
        (sdes(true), "RTP/SAVP", "RTP/SAVP", &second, None),
        (sdes(true), "RTP/SAVP", "RTP/SAVP", &mixed, Some(NoKey)),
        (sdes(true), "RTP/SAVP", "RTP/SAVP", &third, Some(NoKey)),
        (sdes(true), "RTP/SAVP", "RTP/SAVP", &none, Some(NoKey)),
        (sdes(true), "RTP/SAVP", "RTP/AVP", &none, Some(Insecure)),
        (dtls(), "UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVPF", &fingerprint, None),
        (dtls(), "UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVPF", &none, Some(NoKey)),
        (dtls(), "UDP/TLS/RTP/SAVPF", "RTP/AVP", &fingerprint, Some(Insecure)),
        (dtls(), "UDP/TLS/RTP/SAVPF", "RTP/SAVP", &key, Some(NoKey)),
    ] {
        let mut leg = leg(policy.clone(), false, 5);
        assert_eq!(offer(&mut leg).media[0].protocol.as_str(), offered);
        let found = leg.receive_answer(phone(protocol, lines)).err();
        let case = format!("{policy:?} {protocol} {lines}");
        assert_eq!(found, expected.map(crate::AnswerError::Stream), "{case}");
        if expected.is_none() && protocol != "RTP/AVP" {
            assert_ne!(leg.agreed().cloned().unwrap().protection, Protection::Plain, "{case}");
        }
        if expected.is_some() {
            assert_eq!(leg.agreed(), None);
        }
    }
}

/// RFC 8643: keys in a plain profile may be left untaken. It is known then.
#[test]
fn keys_that_were_offered_in_vain_are_noticed() {
    let strange = "a=crypto:1 AES_256_CM_HMAC_SHA1_80 inline:AAAA\r\n".to_owned();
    let off = Policy::Plain;
    for (policy, lines, downgraded) in [
        (sdes(false), String::new(), false),
        (sdes(false), crypto(1, KEY), false),
        (sdes(false), strange.clone(), true),
        (off.clone(), strange, false),
        (off.clone(), crypto(1, KEY), false),
    ] {
        let mut leg = leg(policy.clone(), false, 8);
        leg.receive_offer(phone("RTP/AVP", &lines)).unwrap();
        answer(&mut leg);
        assert_eq!(leg.is_downgraded(), downgraded, "offered {policy:?} {lines}");
    }
    for (policy, lines, downgraded) in [
        (sdes(false), String::new(), true),
        (sdes(false), crypto(1, KEY), false),
        (off, String::new(), false),
    ] {
        let mut leg = leg(policy.clone(), false, 9);
        offer(&mut leg);
        assert!(!leg.is_downgraded(), "nothing is agreed on yet");
        leg.receive_answer(phone("RTP/AVP", &lines)).unwrap();
        assert_eq!(leg.is_downgraded(), downgraded, "answered {policy:?} {lines}");
    }
}

#[test]
fn keys_stay_till_somebody_moves_or_has_a_new_one() {
    let mut leg = leg(sdes(true), false, 6);
    let ask = |leg: &mut Negotiation, lines: &str| {
        leg.receive_offer(phone("RTP/SAVP", lines)).unwrap();
        answer(leg);
        our_key(leg)
    };
    let first = ask(&mut leg, &crypto(1, KEY));
    // The same, under another tag, behind another key.
    assert_eq!(ask(&mut leg, &crypto(1, KEY)), first);
    assert_eq!(ask(&mut leg, &crypto(7, KEY)), first);
    assert_eq!(ask(&mut leg, &(crypto(1, OTHER_KEY) + &crypto(2, KEY))), first);
    // RFC 4568 §7.1.4: a new key of theirs.
    let second = ask(&mut leg, &crypto(1, OTHER_KEY));
    assert!(second.1 != first.1 && second.2 != first.2);
    // Our own offer goes on with it, and with it alone.
    let lines = |session: &Session| {
        session.media[0].attributes_named("crypto").map(str::to_owned).collect::<Vec<_>>()
    };
    let again = offer(&mut leg);
    assert_eq!(lines(&again).len(), 1);
    leg.receive_answer(phone("RTP/SAVP", &crypto(1, OTHER_KEY))).unwrap();
    assert_eq!(our_key(&leg), second);
    // We move: new keys, all suites.
    leg.set_local(LocalAudio { rtp_port: 30_000, ..leg.local().clone() });
    let moved = offer(&mut leg);
    assert_eq!(lines(&moved).len(), 2);
    assert_eq!(moved.media[0].protocol, Protocol::RtpSavp);
    leg.offer_failed();
    assert_eq!(our_key(&leg), second);
    let third = ask(&mut leg, &crypto(1, OTHER_KEY));
    assert!(third.1 != second.1 && third.2 == second.2);
}

#[test]
fn every_line_of_an_offer_has_a_key_of_its_own_and_legs_share_none() {
    let lines = |seed| {
        let mut leg = leg(sdes(true), false, seed);
        let media = offer(&mut leg).media.remove(0);
        media.attributes_named("crypto").map(str::to_owned).collect::<Vec<_>>()
    };
    let mut keys: Vec<String> = lines(1)
        .into_iter()
        .chain(lines(2))
        .map(|line| line.split_once("inline:").unwrap().1.to_owned())
        .collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 4);
    let policy = Policy::Sdes { required: true, suites: Suite::ALL.to_vec(), lifetime: true };
    let media = offer(&mut leg(policy, false, 1)).media.remove(0);
    assert!(media.attributes_named("crypto").all(|line| line.ends_with("|2^31")));
    assert_eq!(media.attributes_named("crypto").count(), 3);
}

#[test]
fn an_ice_restart_is_answered_by_one_and_keeps_the_association() {
    let mut leg = leg(dtls(), true, 7);
    let ask = |leg: &mut Negotiation, text: &str| {
        leg.receive_offer(parse(text.as_bytes()).unwrap()).unwrap();
        answer(leg);
        (leg.agreed().cloned().unwrap().ice.unwrap(), peer(leg))
    };
    let (ice, first) = ask(&mut leg, CHROMIUM);
    // Hold and resume change nothing of it.
    let (same, peer) = ask(&mut leg, &CHROMIUM.replace("a=sendrecv", "a=sendonly"));
    assert_eq!((&same, &peer), (&ice, &first));
    // After a reconnection: the browser restarts ICE.
    let (new, peer) = ask(&mut leg, &CHROMIUM.replace("EsAw", "Nw2x"));
    assert_eq!(&*new.remote.ufrag, "Nw2x");
    assert!(new.local.ufrag != ice.local.ufrag && new.local.password != ice.local.password);
    assert_eq!(peer, first);
    // A new certificate is a new association; the role stays.
    let (_, other) = ask(&mut leg, &CHROMIUM.replace("0F:E6", "0F:E7"));
    assert_eq!(other.role, first.role);
    assert_ne!(other, first);
    // They take the role they want.
    let (_, other) = ask(&mut leg, &CHROMIUM.replace("actpass", "active"));
    assert_eq!(other.role, DtlsRole::Server);
    let (_, other) = ask(&mut leg, CHROMIUM);
    assert_eq!(other.role, DtlsRole::Server);
}

#[test]
fn teams_speaks_ice_with_keys_in_the_description() {
    let lines = format!(
        "{}a=ice-ufrag:9r3c\r\na=ice-pwd:u8GhlVUrGTSbHv5AK4Jp3S8u\r\na=rtcp-mux\r\n\
         a=candidate:1 1 UDP 2130706431 192.0.2.14 4000 typ host\r\n",
        crypto(1, &format!("{KEY}|2^31"))
    );
    let policy =
        Policy::Sdes { required: true, suites: vec![Suite::AesCm128HmacSha1_80], lifetime: true };
    let mut first = leg(policy.clone(), true, 8);
    first.receive_offer(phone("RTP/SAVP", &lines)).unwrap();
    let answered = answer(&mut first);
    let media = &answered.media[0];
    assert!(answered.attribute("ice-lite").is_some());
    assert_eq!(media.attributes_named("candidate").count(), 1);
    assert!(media.attribute("crypto").unwrap().ends_with("|2^31"));
    assert!(media.attribute("fingerprint").is_none() && media.attribute("mid").is_none());
    assert_eq!(&*first.agreed().cloned().unwrap().ice.unwrap().remote.ufrag, "9r3c");
    // Two lite agents do not check: the addresses of the descriptions hold.
    let lite = lines.replace("a=rtcp-mux", "a=rtcp-mux\r\na=x");
    let mut session = phone("RTP/SAVP", &lite);
    session.attributes.push(Attribute::flag("ice-lite"));
    let mut other = leg(policy.clone(), true, 9);
    other.receive_offer(session).unwrap();
    assert!(answer(&mut other).media[0].attribute("ice-ufrag").is_some());
    assert_eq!(other.agreed().cloned().unwrap().ice, None);
    // Without ICE at our end it is not spoken of.
    let mut without = leg(policy, false, 9);
    without.receive_offer(phone("RTP/SAVP", &lines)).unwrap();
    let answered = answer(&mut without);
    assert!(answered.media[0].attribute("ice-ufrag").is_none());
    assert_eq!(
        (without.agreed().cloned().unwrap().ice, answered.attribute("ice-lite")),
        (None, None)
    );
}

/// A leg that is protected is not talked out of it by a re-INVITE.
#[test]
fn what_was_protected_once_stays_so() {
    let mut leg = leg(sdes(false), false, 3);
    leg.receive_offer(phone("RTP/SAVP", &crypto(1, KEY))).unwrap();
    answer(&mut leg);
    let refused = leg.receive_offer(phone("RTP/AVP", "")).err();
    assert_eq!(refused, Some(crate::OfferError::Stream(StreamError::Insecure)));
    // With keys the plain profile is only another way to say it (RFC 8643).
    leg.receive_offer(phone("RTP/AVP", &crypto(1, KEY))).unwrap();
    answer(&mut leg);
    our_key(&leg);
    // Who began in the clear may go on so, or become secure.
    let mut other = self::leg(sdes(false), false, 4);
    for lines in ["", &crypto(1, KEY)] {
        other.receive_offer(phone("RTP/AVP", lines)).unwrap();
        answer(&mut other);
    }
    our_key(&other);
    assert!(other.receive_offer(phone("RTP/AVP", "")).is_err());
}

#[test]
fn ice_without_multiplexing_is_not_spoken_of() {
    let mut leg = leg(dtls(), true, 1);
    leg.receive_offer(parse(CHROMIUM.replace("a=rtcp-mux\r\n", "").as_bytes()).unwrap()).unwrap();
    let answered = answer(&mut leg);
    assert_eq!(answered.attribute("ice-lite"), None);
    assert_eq!(answered.media[0].attribute("ice-ufrag"), None);
    let agreed = leg.agreed().cloned().unwrap();
    assert_eq!((agreed.ice, agreed.rtcp_mux), (None, false));
    peer(&leg);
}

/// ATTACKS 4: 700 candidates, broken fingerprints.
#[test]
fn nonsense_in_a_browsers_offer_costs_nothing_but_the_call() {
    let candidate = "a=candidate:1 1 udp 1 192.0.2.9 4000 typ host\r\n".repeat(700);
    let many = CHROMIUM.replacen("a=ice-ufrag", &format!("{candidate}a=ice-ufrag"), 1);
    let mut leg = leg(dtls(), true, 1);
    if let Ok(session) = parse(many.as_bytes()) {
        let remote = leg.receive_offer(session).unwrap();
        assert_eq!(remote.security.ice.as_ref().unwrap().candidates.len(), crate::MAX_CANDIDATES);
        leg.reject_offer();
    }
    for broken in ["0F:E6:", "sha-256 0F", "fingerprint"] {
        let offer = CHROMIUM.replace(broken, "x");
        let refused = leg.receive_offer(parse(offer.as_bytes()).unwrap()).err();
        assert_eq!(refused, Some(crate::OfferError::Stream(StreamError::NoKey)), "{broken}");
    }
}

#[test]
fn dtls_without_ice_and_without_multiplexing_is_possible() {
    let lines = format!("a=fingerprint:{FINGERPRINT}\r\na=setup:actpass\r\n");
    let mut leg = leg(dtls(), false, 1);
    leg.receive_offer(phone("UDP/TLS/RTP/SAVP", &lines)).unwrap();
    answer(&mut leg);
    let agreed = leg.agreed().cloned().unwrap();
    assert_eq!((agreed.ice, agreed.rtcp_mux), (None, false));
    assert_eq!(peer(&leg).role, DtlsRole::Client);
    // What stands above the streams holds for each that has none of its own.
    let mut session = phone("UDP/TLS/RTP/SAVP", "");
    session.attributes.push(Attribute::new("fingerprint", FINGERPRINT));
    session.attributes.push(Attribute::new("setup", "passive"));
    leg.receive_offer(session).unwrap();
    answer(&mut leg);
    assert_eq!(peer(&leg).role, DtlsRole::Client);
}

#[test]
fn no_secret_prints_and_a_restored_leg_goes_on_as_the_original() {
    for (policy, text) in [
        (dtls(), CHROMIUM.to_owned()),
        (sdes(true), { phone("RTP/SAVP", &crypto(1, KEY)).to_string() }),
    ] {
        let mut leg = leg(policy, true, 11);
        leg.receive_offer(parse(text.as_bytes()).unwrap()).unwrap();
        let body = answer(&mut leg).to_string();
        let shown = format!("{leg:?} {:?}", leg.agreed());
        let secrets = ["a=ice-pwd:", "inline:"].map(|name| {
            [&body, &text].map(|it| it.split_once(name).map(|(_, rest)| rest[..22].to_owned()))
        });
        let mut count = 0;
        for secret in secrets.iter().flatten().flatten() {
            assert!(!shown.contains(&secret[..20]), "{secret} in {shown}");
            count += 1;
        }
        assert_eq!(count, 2);
        let saved = serde_json::to_string(&leg).unwrap();
        let mut restored: Negotiation = serde_json::from_str(&saved).unwrap();
        assert_eq!(restored, leg);
        leg.set_local(LocalAudio { rtp_port: 6, ..leg.local().clone() });
        restored.set_local(leg.local().clone());
        assert_eq!(offer(&mut restored), offer(&mut leg));
    }
}

proptest! {
    /// Two legs of ours agree on the same keys crosswise, or on none, whatever is renegotiated.
    #[test]
    fn both_ends_have_the_same_keys(
        policies in prop::collection::vec((0u8..4, any::<bool>()), 2..3),
        rounds in prop::collection::vec((any::<bool>(), 0u16..3), 1..8),
    ) {
        let make = |(kind, ice): (u8, bool), seed| {
            let policy = match kind {
                0 => Policy::Plain,
                1 => sdes(false),
                2 => sdes(true),
                _ => dtls(),
            };
            leg(policy, ice, seed)
        };
        let mut legs = [make(policies[0], 1), make(policies[1], 2)];
        let protected = |leg: &Negotiation| !matches!(leg.security().policy(), Policy::Plain | Policy::Sdes { required: false, .. });
        for (which, move_to) in rounds {
            let [a, b] = &mut legs;
            let (a, b) = if which { (a, b) } else { (b, a) };
            a.set_local(LocalAudio { rtp_port: 20_000 + move_to, ..a.local().clone() });
            let offered = offer(a);
            if b.receive_offer(offered).is_err() {
                a.offer_failed();
                continue;
            }
            let answered = answer(b);
            prop_assert!(a.receive_answer(answered).is_ok());
            let (ours, theirs) = (a.agreed().cloned().unwrap(), b.agreed().cloned().unwrap());
            match (ours.protection, theirs.protection) {
                (Protection::Plain, Protection::Plain) => {
                    prop_assert!(!protected(a) && !protected(b));
                }
                (Protection::Sdes { suite, ours, theirs }, Protection::Sdes { suite: also, ours: our, theirs: their }) => {
                    prop_assert_eq!((suite, ours, theirs), (also, their, our));
                }
                (Protection::Dtls(one), Protection::Dtls(other)) => {
                    prop_assert_ne!(one.role, other.role);
                }
                other => prop_assert!(false, "{:?}", other),
            }
            // Both are lite: nobody checks.
            prop_assert_eq!((ours.ice, theirs.ice), (None, None));
        }
    }

    #[test]
    fn nonsense_in_the_attributes_never_panics(
        lines in prop::collection::vec(("crypto|fingerprint|setup|ice-ufrag|ice-pwd|candidate|mid|group", "[ -~]{0,60}"), 0..12),
        which in 0u8..3,
    ) {
        let lines: String = lines.iter().map(|(name, value)| format!("a={name}:{value}\r\n")).collect();
        let (policy, protocol) = match which {
            0 => (sdes(false), "RTP/AVP"),
            1 => (sdes(true), "RTP/SAVP"),
            _ => (dtls(), "UDP/TLS/RTP/SAVPF"),
        };
        let mut leg = leg(policy, true, 1);
        let session = phone(protocol, &lines);
        let _ = session.asks_for();
        if leg.receive_offer(session).is_ok() {
            answer(&mut leg);
            prop_assert!(leg.agreed().is_some());
        }
    }
}
