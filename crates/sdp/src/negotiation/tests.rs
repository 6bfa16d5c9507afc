use super::*;
use crate::{parse, standard_codecs};
use Direction::{Inactive, RecvOnly, SendOnly, SendRecv};

fn leg() -> Negotiation {
    let local = LocalAudio {
        address: [198, 51, 100, 1].into(),
        rtp_port: 20_000,
        rtcp_mux: true,
        ptime: Some(20),
    };
    Negotiation::new(77, local)
}

/// A description of a phone: `c=` address, direction attribute, `m=` lines.
fn phone(address: &str, attributes: &str, media: &str) -> Session {
    let text = format!(
        "v=0\r\no=- 5 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n{attributes}\r\n{media}"
    );
    parse(text.as_bytes()).unwrap()
}

const G711: &str = "m=audio 4000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\n";

fn simple(direction: &str) -> Session {
    phone("192.0.2.1", direction, G711)
}

fn read(body: &Bytes) -> Session {
    parse(body).unwrap()
}

fn codecs(names: &[&str]) -> Vec<Codec> {
    standard_codecs(names)
}

/// A leg that answered the simple offer with PCMU.
fn answered() -> Negotiation {
    let mut leg = leg();
    leg.receive_offer(simple("a=sendrecv")).unwrap();
    leg.answer(&codecs(&["PCMU"]), SendRecv).unwrap();
    leg
}

/// A leg whose offer of PCMU and PCMA was answered.
fn offered() -> Negotiation {
    let mut leg = leg();
    leg.offer(&codecs(&["PCMU", "PCMA"]), SendRecv).unwrap();
    leg.receive_answer(simple("a=sendrecv")).unwrap();
    leg
}

#[test]
fn an_offer_is_printed_in_full() {
    let body = leg().offer(&codecs(&["opus", "PCMA"]), SendRecv).unwrap();
    let text = "v=0\r\no=- 77 1 IN IP4 198.51.100.1\r\ns=-\r\nc=IN IP4 198.51.100.1\r\nt=0 0\r\n\
        m=audio 20000 RTP/AVP 96 8 101 102\r\n\
        a=rtpmap:96 opus/48000/2\r\na=fmtp:96 useinbandfec=1\r\na=rtpmap:8 PCMA/8000\r\n\
        a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\n\
        a=rtpmap:102 telephone-event/48000\r\na=fmtp:102 0-16\r\n\
        a=ptime:20\r\na=rtcp-mux\r\na=rtcp-xr:voip-metrics\r\na=sendrecv\r\n";
    assert_eq!(body, text.as_bytes());
}

/// RFC 4317 §2.1: audio is answered, the second stream refused in its place.
#[test]
fn rfc_4317_2_1_video_is_refused_in_its_place() {
    for (lines, ports) in [
        (
            "m=audio 49170 RTP/AVP 0 8 97\r\na=rtpmap:97 iLBC/8000\r\n\
          m=video 51372 RTP/AVP 31 32\r\na=rtpmap:31 H261/90000\r\n",
            [20_000, 0],
        ),
        ("m=video 51372 RTP/AVP 31 32\r\nm=audio 49170 RTP/AVP 0 8 97\r\n", [0, 20_000]),
        ("m=audio 49170 RTP/AVP 0\r\nm=audio 49172 RTP/AVP 8\r\n", [20_000, 0]),
        ("m=audio 0 RTP/AVP 0\r\nm=audio 49172 RTP/AVP 0\r\n", [0, 20_000]),
        ("m=audio 49170 RTP/SAVP 0\r\nm=audio 49172 RTP/AVP 0\r\n", [0, 20_000]),
        ("m=audio 49170 RTP/AVP 0\r\nm=message 2855 TCP/MSRP *\r\n", [20_000, 0]),
    ] {
        let mut leg = leg();
        leg.receive_offer(phone("192.0.2.1", "a=x", lines)).unwrap();
        let answer = read(&leg.answer(&codecs(&["PCMU", "PCMA"]), SendRecv).unwrap());
        let found: Vec<u16> = answer.media.iter().map(|media| media.port).collect();
        assert_eq!(found, ports, "{lines}");
        assert!(answer.media.iter().all(|media| !media.formats.is_empty()));
        // RFC 3264 §8: the places stay in our own offer too.
        let again = read(&leg.offer(&codecs(&["PCMU"]), SendRecv).unwrap());
        let found: Vec<u16> = again.media.iter().map(|media| media.port).collect();
        assert_eq!(found, ports, "{lines}");
        assert_eq!(again.media.last().map(|m| &m.kind), answer.media.last().map(|m| &m.kind));
    }
}

/// RFC 4317 §2.2: the answer has the answerer's order, and that codec is used.
#[test]
fn rfc_4317_2_2_the_answers_order_counts() {
    let mut leg = leg();
    leg.offer(&codecs(&["PCMU", "PCMA"]), SendRecv).unwrap();
    let answer = "m=audio 4000 RTP/AVP 8 0 100\r\na=rtpmap:100 telephone-event/8000\r\n";
    leg.receive_answer(phone("192.0.2.1", "a=x", answer)).unwrap();
    let agreed = leg.agreed().unwrap();
    assert_eq!((&*agreed.codec.name, agreed.codec.payload_type), ("PCMA", 8));
    assert_eq!(agreed.telephone_event, Some((100, 101, 8000)));
    assert_eq!(agreed.remote_rtcp, "192.0.2.1:4001".parse().unwrap());
}

/// RFC 3264 §6.1, with what we want, what they declare, what is answered.
#[test]
fn the_answers_direction_is_what_both_allow() {
    for (address, theirs, ours, answered) in [
        ("192.0.2.1", "sendrecv", SendRecv, SendRecv),
        ("192.0.2.1", "sendrecv", SendOnly, SendOnly),
        ("192.0.2.1", "sendrecv", Inactive, Inactive),
        ("192.0.2.1", "sendonly", SendRecv, RecvOnly),
        ("192.0.2.1", "sendonly", SendOnly, Inactive),
        ("192.0.2.1", "recvonly", SendRecv, SendOnly),
        ("192.0.2.1", "recvonly", RecvOnly, Inactive),
        ("192.0.2.1", "inactive", SendRecv, Inactive),
        ("0.0.0.0", "sendrecv", SendRecv, RecvOnly),
        ("0.0.0.0", "inactive", SendRecv, Inactive),
    ] {
        let mut leg = leg();
        leg.receive_offer(phone(address, &format!("a={theirs}"), G711)).unwrap();
        let body = read(&leg.answer(&codecs(&["PCMU"]), ours).unwrap());
        assert_eq!(body.direction_of(&body.media[0]), answered, "{address} {theirs} {ours:?}");
        assert_eq!(leg.agreed().unwrap().direction, answered);
        // We stay where we are: our own address is never 0.0.0.0.
        assert_eq!(body.connection, Some(Host::Ip([198, 51, 100, 1].into())));
    }
}

#[test]
fn the_agreed_direction_is_what_offer_and_answer_allow() {
    for (ours, address, theirs, agreed, held) in [
        (SendRecv, "192.0.2.1", "sendrecv", SendRecv, false),
        (SendRecv, "192.0.2.1", "recvonly", SendOnly, false),
        (SendRecv, "192.0.2.1", "sendonly", RecvOnly, true),
        (SendRecv, "192.0.2.1", "inactive", Inactive, true),
        (SendRecv, "0.0.0.0", "sendrecv", RecvOnly, true),
        // We hold them: the answers are no hold of theirs.
        (SendOnly, "192.0.2.1", "recvonly", SendOnly, false),
        (SendOnly, "192.0.2.1", "sendrecv", SendOnly, false),
        (SendOnly, "192.0.2.1", "inactive", Inactive, true),
        (Inactive, "192.0.2.1", "inactive", Inactive, false),
        (RecvOnly, "192.0.2.1", "sendonly", RecvOnly, false),
    ] {
        let mut leg = leg();
        leg.offer(&codecs(&["PCMU"]), ours).unwrap();
        let remote = leg.receive_answer(phone(address, &format!("a={theirs}"), G711)).unwrap();
        assert_eq!(remote.held, held, "{ours:?} {theirs}");
        assert_eq!(leg.agreed().unwrap().direction, agreed, "{ours:?} {theirs}");
    }
}

#[test]
fn hold_and_resume_by_the_phone() {
    let mut leg = answered();
    for (address, direction, held, agreed, version) in [
        ("192.0.2.1", "a=sendonly", true, RecvOnly, 2),
        ("192.0.2.1", "a=sendonly", true, RecvOnly, 2),
        ("192.0.2.1", "a=inactive", true, Inactive, 3),
        ("192.0.2.1", "a=sendrecv", false, SendRecv, 4),
        ("0.0.0.0", "a=x", true, RecvOnly, 5),
        ("192.0.2.1", "a=x", false, SendRecv, 6),
    ] {
        let remote = leg.receive_offer(phone(address, direction, G711)).unwrap();
        assert_eq!(remote.held, held);
        let answer = read(&leg.answer(&codecs(&["PCMU"]), SendRecv).unwrap());
        assert_eq!(answer.origin.version, version, "{direction}");
        assert_eq!(leg.agreed().unwrap().direction, agreed);
    }
}

#[test]
fn a_phone_on_hold_stays_held_while_we_hold_it_too() {
    let mut leg = answered();
    leg.receive_offer(simple("a=sendonly")).unwrap();
    leg.answer(&codecs(&["PCMU"]), SendRecv).unwrap();
    leg.offer(&codecs(&["PCMU"]), Inactive).unwrap();
    assert!(leg.receive_answer(simple("a=inactive")).unwrap().held);
    leg.offer(&codecs(&["PCMU"]), SendRecv).unwrap();
    assert!(!leg.receive_answer(simple("a=sendrecv")).unwrap().held);
}

#[test]
fn the_version_goes_up_with_a_change_and_only_then() {
    let mut leg = offered();
    let first = leg.current_description().unwrap();
    let version = |body: &Bytes| read(body).origin.version;
    assert_eq!(version(&first), 1);
    // RFC 4028: a refresh is unchanged to the byte.
    assert_eq!(leg.refresh().unwrap(), first);
    leg.receive_answer(simple("a=sendrecv")).unwrap();
    // The other leg's numbers do not move ours, nor does what the answer left out.
    let mut same = codecs(&["PCMU", "PCMA"]);
    same[2].payload_type = 99;
    let again = leg.offer(&same, SendRecv).unwrap();
    // The peer did not multiplex: that is a change once, and then no more.
    assert_eq!(version(&again), 2);
    leg.receive_answer(simple("a=sendrecv")).unwrap();
    assert_eq!(leg.offer(&same, SendRecv).unwrap(), again);
    leg.receive_answer(simple("a=sendrecv")).unwrap();
    assert_eq!(version(&leg.offer(&same, SendOnly).unwrap()), 3);
    leg.offer_failed();
    assert_eq!(version(&leg.current_description().unwrap()), 2);
    // A number that was out is not used for something else.
    assert_eq!(version(&leg.offer(&codecs(&["PCMA"]), SendRecv).unwrap()), 4);
}

#[test]
fn moving_to_another_address_keeps_the_origin() {
    let mut leg = offered();
    let before = read(&leg.current_description().unwrap()).origin;
    leg.set_local(LocalAudio { address: [203, 0, 113, 9].into(), ..leg.local().clone() });
    let moved = read(&leg.offer(&codecs(&["PCMU"]), SendRecv).unwrap());
    assert_eq!(moved.origin, Origin { version: 2, ..before });
    assert_eq!(moved.connection, Some(Host::Ip([203, 0, 113, 9].into())));
}

#[test]
fn an_answer_has_the_offerers_numbers() {
    let offer = "m=audio 4000 RTP/AVP 111 0 126\r\na=rtpmap:111 opus/48000/2\r\n\
        a=rtpmap:126 telephone-event/48000\r\n";
    let mut leg = leg();
    leg.receive_offer(phone("192.0.2.1", "a=x", offer)).unwrap();
    // The numbers of the other leg, in the order of its answer.
    let wanted = [
        Codec::new(96, "telephone-event", 48_000, 1).with_fmtp("0-15"),
        Codec::new(107, "opus", 48_000, 2).with_fmtp("maxplaybackrate=16000"),
    ];
    let answer = read(&leg.answer(&wanted, SendRecv).unwrap());
    assert_eq!(answer.media[0].formats, ["126".into(), "111".into()]);
    let fmtp: Vec<&str> = answer.media[0].attributes_named("fmtp").collect();
    assert_eq!(fmtp, ["126 0-15", "111 maxplaybackrate=16000"]);
    let agreed = leg.agreed().unwrap();
    assert_eq!((agreed.codec.payload_type, agreed.receive_payload_type), (111, 111));
    assert_eq!(agreed.telephone_event, Some((126, 126, 48_000)));
    // Our own later offer keeps them.
    let again = read(&leg.offer(&wanted, SendRecv).unwrap());
    assert_eq!(again.media[0].formats, ["126".into(), "111".into()]);
}

#[test]
fn of_a_codec_offered_twice_the_number_asked_for_is_answered() {
    let offer = "m=audio 4000 RTP/AVP 96 111\r\na=rtpmap:96 opus/48000/2\r\n\
        a=rtpmap:111 opus/48000/2\r\n";
    for (wanted, answered) in [(96, "96"), (111, "111"), (107, "96")] {
        let mut leg = leg();
        leg.receive_offer(phone("192.0.2.1", "a=x", offer)).unwrap();
        let opus = Codec::new(wanted, "opus", 48_000, 2);
        let answer = read(&leg.answer(&[opus], SendRecv).unwrap());
        assert_eq!(answer.media[0].formats, [answered.into()]);
    }
}

#[test]
fn numbers_may_differ_per_direction() {
    let mut leg = leg();
    leg.offer(&codecs(&["opus", "PCMU"]), SendRecv).unwrap();
    let answer = "m=audio 4000 RTP/AVP 0 120 97 98 99\r\na=rtpmap:120 OPUS/48000/2\r\n\
        a=rtpmap:97 telephone-event/8000\r\na=rtpmap:98 telephone-event/48000\r\n\
        a=rtpmap:99 speex/8000\r\n";
    leg.receive_answer(phone("192.0.2.1", "a=x", answer)).unwrap();
    let agreed = leg.agreed().unwrap();
    let map: Vec<(&str, u8, u8)> =
        agreed.payload_map.iter().map(|(c, send, receive)| (&*c.name, *send, *receive)).collect();
    assert_eq!(
        map,
        [
            ("PCMU", 0, 0),
            ("opus", 120, 96),
            ("telephone-event", 97, 101),
            ("telephone-event", 98, 102),
        ]
    );
    assert!(agreed.payload_map.iter().all(|(codec, send, _)| codec.payload_type == *send));
    assert_eq!(agreed.telephone_event, Some((97, 101, 8000)));
}

#[test]
fn multiplexing_needs_both() {
    for (ours, attribute, muxed, rtcp) in [
        (true, "a=rtcp-mux\r\n", true, "192.0.2.1:4000"),
        (true, "", false, "192.0.2.1:4001"),
        (false, "a=rtcp-mux\r\n", false, "192.0.2.1:4001"),
    ] {
        let lines = format!("{G711}{attribute}");
        let mut leg = leg();
        leg.set_local(LocalAudio { rtcp_mux: ours, ..leg.local().clone() });
        let mut other = leg.clone();
        leg.receive_offer(phone("192.0.2.1", "a=x", &lines)).unwrap();
        let answer = read(&leg.answer(&codecs(&["PCMU"]), SendRecv).unwrap());
        assert_eq!(answer.media[0].attribute("rtcp-mux").is_some(), muxed);
        other.offer(&codecs(&["PCMU"]), SendRecv).unwrap();
        other.receive_answer(phone("192.0.2.1", "a=x", &lines)).unwrap();
        for agreed in [leg.agreed().unwrap(), other.agreed().unwrap()] {
            assert_eq!((agreed.rtcp_mux, agreed.remote_rtcp), (muxed, rtcp.parse().unwrap()));
        }
    }
}

#[test]
fn packet_time_is_theirs_within_their_limit() {
    for (attributes, ptime) in [
        ("", 20),
        ("a=ptime:30\r\n", 30),
        ("a=ptime:60\r\na=maxptime:40\r\n", 40),
        ("a=maxptime:10\r\n", 10),
        ("a=ptime:0\r\n", 20),
    ] {
        let mut leg = leg();
        leg.receive_offer(phone("192.0.2.1", "a=x", &format!("{G711}{attributes}"))).unwrap();
        leg.answer(&codecs(&["PCMU"]), SendRecv).unwrap();
        assert_eq!(leg.agreed().unwrap().ptime, ptime, "{attributes}");
    }
}

#[test]
fn an_offer_that_cannot_be_used_changes_nothing() {
    let many = "a=candidate:1 1 UDP 1 192.0.2.1 4000 typ host\r\n".repeat(200);
    for (address, lines, status) in [
        ("192.0.2.1", "", 488),
        ("192.0.2.1", "m=audio 0 RTP/AVP 0\r\n", 488),
        ("192.0.2.1", "m=video 4000 RTP/AVP 31\r\n", 488),
        ("192.0.2.1", "m=image 4000 udptl t38\r\n", 488),
        ("192.0.2.1", "m=audio 4000 RTP/SAVP 0\r\na=crypto:broken\r\n", 488),
        ("192.0.2.1", "m=audio 4000 UDP/TLS/RTP/SAVPF 0\r\na=fingerprint:x\r\n", 488),
        ("192.0.2.1", "m=audio 4000 RTP/AVP 200 300\r\n", 488),
        ("192.0.2.1", "m=audio 4000 RTP/AVP\r\n", 488),
        ("192.0.2.1", "m=audio 4000 RTP/AVP 96\r\na=rtpmap:96 opus/0\r\n", 488),
        ("192.0.2.1", &format!("m=audio 4000 RTP/AVP 96\r\n{many}"), 488),
        ("nowhere.example.com", G711, 488),
    ] {
        let mut leg = answered();
        let before = leg.clone();
        let error = leg.receive_offer(phone(address, "a=x", lines)).unwrap_err();
        assert_eq!(error.status(), status, "{lines}");
        assert_eq!(leg, before);
    }
    let no_address = parse(b"v=0\r\nm=audio 4000 RTP/AVP 0\r\n").unwrap();
    assert_eq!(leg().receive_offer(no_address).unwrap_err().status(), 400);
}

#[test]
fn only_one_offer_is_outstanding() {
    let mut leg = answered();
    leg.offer(&codecs(&["PCMU"]), SendRecv).unwrap();
    assert_eq!(leg.state(), State::LocalOffer);
    assert_eq!(leg.receive_offer(simple("a=x")).unwrap_err().status(), 491);
    assert_eq!(leg.offer(&codecs(&["PCMU"]), SendRecv), Err(DescribeError::Outstanding));
    assert_eq!(leg.refresh(), Err(DescribeError::Outstanding));
    assert_eq!(leg.answer(&codecs(&["PCMU"]), SendRecv), Err(DescribeError::NoOffer));
    leg.reject_offer();
    assert_eq!(leg.state(), State::LocalOffer);
    leg.offer_failed();
    assert_eq!(leg.state(), State::Stable);
    leg.receive_offer(simple("a=x")).unwrap();
    assert_eq!(leg.state(), State::RemoteOffer);
    assert_eq!(leg.receive_offer(simple("a=x")).unwrap_err().status(), 500);
    assert_eq!(leg.offer(&codecs(&["PCMU"]), SendRecv), Err(DescribeError::Outstanding));
    assert_eq!(leg.receive_answer(simple("a=x")), Err(AnswerError::NotExpected));
    leg.offer_failed();
    assert_eq!(leg.state(), State::RemoteOffer);
    leg.reject_offer();
    assert_eq!(leg.state(), State::Stable);
}

#[test]
fn a_failed_exchange_leaves_the_former_in_force() {
    let mut leg = answered();
    let before = leg.agreed().cloned();
    let moved = phone("192.0.2.99", "a=sendonly", G711);
    assert_eq!(leg.receive_offer(moved).unwrap().rtp, "192.0.2.99:4000".parse().unwrap());
    assert_eq!(leg.remote().unwrap().rtp, "192.0.2.99:4000".parse().unwrap());
    assert_eq!(leg.agreed(), before.as_ref());
    assert_eq!(leg.answer(&codecs(&["G729"]), SendRecv).unwrap_err().status(), 488);
    assert_eq!(leg.state(), State::RemoteOffer);
    leg.reject_offer();
    assert_eq!(leg.agreed(), before.as_ref());
    assert_eq!(leg.remote().unwrap().rtp, "192.0.2.1:4000".parse().unwrap());
    leg.offer(&codecs(&["PCMA"]), Inactive).unwrap();
    leg.offer_failed();
    assert_eq!(leg.agreed(), before.as_ref());
}

#[test]
fn an_answer_that_does_not_fit_is_refused() {
    use AnswerError::{Kind, LineCount, Refused, Stream};
    for (lines, error) in [
        ("", LineCount),
        ("m=audio 4000 RTP/AVP 0\r\nm=video 0 RTP/AVP 31\r\n", LineCount),
        ("m=video 4000 RTP/AVP 0\r\n", Kind),
        ("m=audio 0 RTP/AVP 0\r\n", Refused),
        ("m=audio 4000 RTP/SAVP 0\r\n", Stream(StreamError::Protocol)),
        ("m=audio 4000 RTP/AVP 3\r\n", Stream(StreamError::NoCodec)),
        ("m=audio 4000 RTP/AVP 101\r\n", Stream(StreamError::NoCodec)),
    ] {
        let mut leg = leg();
        leg.offer(&codecs(&["PCMU", "PCMA"]), SendRecv).unwrap();
        assert_eq!(leg.receive_answer(phone("192.0.2.1", "a=x", lines)), Err(error), "{lines}");
        assert_eq!(leg.state(), State::LocalOffer);
        leg.offer_failed();
        assert_eq!((leg.state(), leg.agreed()), (State::Idle, None));
    }
    assert_eq!(answered().receive_answer(simple("a=x")), Err(AnswerError::NotExpected));
    assert_eq!(leg().receive_answer(simple("a=x")), Err(AnswerError::NotExpected));
}

#[test]
fn a_2xx_may_answer_again_what_an_18x_has_answered() {
    let mut leg = offered();
    leg.receive_answer(phone("192.0.2.50", "a=x", "m=audio 5000 RTP/AVP 8\r\n")).unwrap();
    let agreed = leg.agreed().unwrap().clone();
    assert_eq!((&*agreed.codec.name, agreed.telephone_event), ("PCMA", None));
    assert_eq!(agreed.remote_rtp, "192.0.2.50:5000".parse().unwrap());
    // One that does not fit leaves the former in force.
    assert!(leg.receive_answer(phone("192.0.2.51", "a=x", "m=audio 0 RTP/AVP 8\r\n")).is_err());
    assert_eq!(leg.agreed(), Some(&agreed));
}

#[test]
fn a_stream_keeps_being_used_after_others_are_added() {
    let mut leg = answered();
    let lines = format!("{G711}m=audio 5000 RTP/AVP 0\r\nm=video 6000 RTP/AVP 31\r\n");
    leg.receive_offer(phone("192.0.2.1", "a=x", &lines)).unwrap();
    let answer = read(&leg.answer(&codecs(&["PCMU"]), SendRecv).unwrap());
    assert_eq!(answer.media.len(), 3);
    // The one used so far is disabled: the other is taken.
    let lines = "m=audio 0 RTP/AVP 0\r\nm=audio 5000 RTP/AVP 0\r\nm=video 0 RTP/AVP 31\r\n";
    let remote = leg.receive_offer(phone("192.0.2.1", "a=x", lines)).unwrap();
    assert_eq!(remote.rtp.port(), 5000);
    let answer = read(&leg.answer(&codecs(&["PCMU"]), SendRecv).unwrap());
    assert_eq!(answer.media.iter().map(|m| m.port).collect::<Vec<_>>(), [0, 20_000, 0]);
    // Both are there again: no change without need.
    let lines = "m=audio 4000 RTP/AVP 0\r\nm=audio 5000 RTP/AVP 0\r\nm=video 0 RTP/AVP 31\r\n";
    assert_eq!(leg.receive_offer(phone("192.0.2.1", "a=x", lines)).unwrap().rtp.port(), 5000);
}

#[test]
fn nothing_to_say_is_an_error_of_ours() {
    assert_eq!(leg().refresh(), Err(DescribeError::NothingAgreed));
    assert_eq!(leg().offer(&[], SendRecv), Err(DescribeError::NoCodec));
    let event = [Codec::new(101, "telephone-event", 8000, 1)];
    assert_eq!(leg().offer(&event, SendRecv), Err(DescribeError::NoCodec));
    assert_eq!(leg().current_description(), None);
    assert_eq!(leg().state(), State::Idle);
}

#[test]
fn a_restored_negotiation_goes_on_as_the_original() {
    let mut held = answered();
    held.receive_offer(simple("a=sendonly")).unwrap();
    for mut leg in [leg(), answered(), offered(), held] {
        let text = serde_json::to_string(&leg).unwrap();
        let mut restored: Negotiation = serde_json::from_str(&text).unwrap();
        assert_eq!(restored, leg);
        assert_eq!(restored.agreed(), leg.agreed());
        let wanted = codecs(&["PCMU"]);
        assert_eq!(restored.answer(&wanted, SendRecv), leg.answer(&wanted, SendRecv));
        assert_eq!(restored.offer(&wanted, SendOnly), leg.offer(&wanted, SendOnly));
    }
}

#[test]
fn a_spoilt_snapshot_is_an_error() {
    let mut saved = serde_json::to_value(answered()).unwrap();
    saved["current"]["audio"] = 7.into();
    let read: Result<Negotiation, _> = serde_json::from_value(saved);
    assert_eq!(read.unwrap_err().to_string(), "stream 7 of 1");
}
