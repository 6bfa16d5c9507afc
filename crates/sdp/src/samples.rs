//! Offers shaped as real products send them, and what must be read out of each.

use crate::session::Protocol;
use crate::{Negotiation, RemoteAudio, parse};

struct Sample {
    product: &'static str,
    text: &'static str,
    protocol: Protocol,
    rtp: &'static str,
    rtcp_mux: bool,
    /// Names in the offer's order.
    codecs: &'static [&'static str],
    /// Status of the refusal, `None` when the offer is taken up.
    refused: Option<u16>,
}

const BARESIP: &str = "\
v=0\r
o=- 3577189764 1718530121 IN IP4 192.0.2.10\r
s=-\r
c=IN IP4 192.0.2.10\r
t=0 0\r
a=tool:baresip 3.9.0\r
m=audio 10036 RTP/AVP 96 9 0 8 101\r
a=rtpmap:96 opus/48000/2\r
a=fmtp:96 stereo=1;sprop-stereo=1;maxaveragebitrate=28000\r
a=rtpmap:9 G722/8000\r
a=rtpmap:0 PCMU/8000\r
a=rtpmap:8 PCMA/8000\r
a=rtpmap:101 telephone-event/8000\r
a=fmtp:101 0-15\r
a=rtcp:10037\r
a=sendrecv\r
a=label:1\r
a=rtcp-rsize\r
a=minptime:10\r
a=ptime:20\r
a=ssrc:2374656243 cname:sip:a@example.com\r
";

const LINPHONE: &str = "\
v=0\r
o=alice 3512 1840 IN IP4 192.0.2.11\r
s=Talk\r
c=IN IP4 192.0.2.11\r
t=0 0\r
a=rtcp-xr:rcvr-rtt=all:10000 stat-summary=loss,dup,jitt,TTL voip-metrics\r
a=record:off\r
m=audio 7078 RTP/AVPF 96 97 98 0 8 101 99 100\r
a=rtpmap:96 opus/48000/2\r
a=fmtp:96 useinbandfec=1\r
a=rtpmap:97 speex/16000\r
a=fmtp:97 vbr=on\r
a=rtpmap:98 speex/8000\r
a=fmtp:98 vbr=on\r
a=rtpmap:101 telephone-event/48000\r
a=rtpmap:99 telephone-event/16000\r
a=rtpmap:100 telephone-event/8000\r
a=rtcp-fb:* trr-int 5000\r
a=rtcp-fb:* ccm tmmbr\r
m=video 9078 RTP/AVPF 96\r
a=rtpmap:96 VP8/90000\r
a=rtcp-fb:* trr-int 5000\r
";

/// LF only, no `s=`, blanks at line ends, static numbers without `rtpmap`.
const DESK_PHONE: &str = "\
v=0\n\
o=- 20026 20026 IN IP4 192.0.2.12 \n\
c=IN IP4 192.0.2.12\n\
t=0 0\n\
m=audio 11784 RTP/AVP 9 0 8 18 101 \n\
a=rtpmap:101 telephone-event/8000 \n\
a=fmtp:101 0-15\n\
a=fmtp:18 annexb=no\n\
a=ptime:20\n\
a=sendrecv\n";

const CISCO_GATEWAY: &str = "\
v=0\r
o=CiscoSystemsSIP-GW-UserAgent 7181 1811 IN IP4 192.0.2.13\r
s=SIP Call\r
c=IN IP4 192.0.2.13\r
t=0 0\r
m=audio 17426 RTP/AVP 18 0 101 19\r
c=IN IP4 192.0.2.13\r
a=rtpmap:18 G729/8000\r
a=fmtp:18 annexb=no\r
a=rtpmap:0 PCMU/8000\r
a=rtpmap:101 telephone-event/8000\r
a=fmtp:101 0-15\r
a=rtpmap:19 CN/8000\r
a=ptime:20\r
";

const TEAMS: &str = "\
v=0\r
o=- 172334 0 IN IP4 127.0.0.1\r
s=session\r
c=IN IP4 192.0.2.14\r
b=CT:10000000\r
t=0 0\r
m=audio 52458 RTP/SAVP 104 9 111 18 0 8 103 97 13 118 101\r
c=IN IP4 192.0.2.14\r
a=rtcp:52459\r
a=ice-ufrag:9r3c\r
a=ice-pwd:u8GhlVUrGTSbHv5AK4Jp3S8u\r
a=rtcp-mux\r
a=candidate:1 1 UDP 2130706431 192.0.2.14 52458 typ srflx raddr 10.0.0.4 rport 52458\r
a=candidate:1 2 UDP 2130705918 192.0.2.14 52459 typ srflx raddr 10.0.0.4 rport 52459\r
a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA|2^31\r
a=sendrecv\r
a=rtpmap:104 SILK/16000\r
a=rtpmap:9 G722/8000\r
a=rtpmap:111 SIREN/16000\r
a=fmtp:111 bitrate=16000\r
a=rtpmap:18 G729/8000\r
a=fmtp:18 annexb=no\r
a=rtpmap:0 PCMU/8000\r
a=rtpmap:8 PCMA/8000\r
a=rtpmap:103 SILK/8000\r
a=rtpmap:97 RED/8000\r
a=rtpmap:13 CN/8000\r
a=rtpmap:118 CN/16000\r
a=rtpmap:101 telephone-event/8000\r
a=fmtp:101 0-16\r
a=ptime:20\r
";

const CHROME: &str = "\
v=0\r
o=- 4611731400430051336 2 IN IP4 127.0.0.1\r
s=-\r
t=0 0\r
a=group:BUNDLE 0\r
a=extmap-allow-mixed\r
a=msid-semantic: WMS 2f6e\r
m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126\r
c=IN IP4 0.0.0.0\r
a=rtcp:9 IN IP4 0.0.0.0\r
a=candidate:1 1 udp 2113937151 0d1c.local 51556 typ host generation 0 network-cost 999\r
a=ice-ufrag:EsAw\r
a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r
a=ice-options:trickle\r
a=fingerprint:sha-256 D2:FA:0E:C3:22:59:5E:14:95:69:92:3D:13:B4:84:24:2C:C2:A2:C0:3E:FD:34:8E:5E:EA:6F:AF:52:CE:E6:0F\r
a=setup:actpass\r
a=mid:0\r
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r
a=sendrecv\r
a=rtcp-mux\r
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
a=ssrc:3736 cname:bN3\r
";

const SAMPLES: [Sample; 6] = [
    Sample {
        product: "baresip",
        text: BARESIP,
        protocol: Protocol::RtpAvp,
        rtp: "192.0.2.10:10036",
        rtcp_mux: false,
        codecs: &["opus", "G722", "PCMU", "PCMA", "telephone-event"],
        refused: None,
    },
    Sample {
        product: "linphone",
        text: LINPHONE,
        protocol: Protocol::RtpAvpf,
        rtp: "192.0.2.11:7078",
        rtcp_mux: false,
        codecs: &[
            "opus",
            "speex",
            "speex",
            "PCMU",
            "PCMA",
            "telephone-event",
            "telephone-event",
            "telephone-event",
        ],
        refused: None,
    },
    Sample {
        product: "desk phone",
        text: DESK_PHONE,
        protocol: Protocol::RtpAvp,
        rtp: "192.0.2.12:11784",
        rtcp_mux: false,
        codecs: &["G722", "PCMU", "PCMA", "G729", "telephone-event"],
        refused: None,
    },
    Sample {
        product: "Cisco gateway",
        text: CISCO_GATEWAY,
        protocol: Protocol::RtpAvp,
        rtp: "192.0.2.13:17426",
        rtcp_mux: false,
        codecs: &["G729", "PCMU", "telephone-event", "CN"],
        refused: None,
    },
    Sample {
        product: "Teams",
        text: TEAMS,
        protocol: Protocol::RtpSavp,
        rtp: "192.0.2.14:52458",
        rtcp_mux: true,
        codecs: &[
            "SILK",
            "G722",
            "SIREN",
            "G729",
            "PCMU",
            "PCMA",
            "SILK",
            "RED",
            "CN",
            "CN",
            "telephone-event",
        ],
        refused: Some(488),
    },
    Sample {
        product: "Chrome",
        text: CHROME,
        protocol: Protocol::UdpTlsRtpSavpf,
        rtp: "0.0.0.0:9",
        rtcp_mux: true,
        codecs: &[
            "opus",
            "red",
            "G722",
            "PCMU",
            "PCMA",
            "CN",
            "telephone-event",
            "telephone-event",
        ],
        refused: Some(488),
    },
];

#[test]
fn offers_of_real_products_are_read() {
    for sample in SAMPLES {
        let session = parse(sample.text.as_bytes()).expect(sample.product);
        let audio = RemoteAudio::read(&session, &session.media[0]).expect(sample.product);
        let names: Vec<&str> = audio.codecs.iter().map(|codec| &*codec.name).collect();
        assert_eq!(names, sample.codecs, "{}", sample.product);
        assert_eq!(audio.protocol, sample.protocol, "{}", sample.product);
        assert_eq!(audio.rtp, sample.rtp.parse().unwrap(), "{}", sample.product);
        assert_eq!(audio.rtcp_mux, sample.rtcp_mux, "{}", sample.product);
        assert!(!audio.held, "{}", sample.product);
        // What is printed reads as the same.
        assert_eq!(parse(session.to_string().as_bytes()), Ok(session), "{}", sample.product);
    }
}

#[test]
fn offers_of_real_products_are_taken_up_unless_under_srtp() {
    for sample in SAMPLES {
        let session = parse(sample.text.as_bytes()).expect(sample.product);
        let local = crate::LocalAudio {
            address: [192, 0, 2, 1].into(),
            rtp_port: 20_000,
            rtcp_mux: true,
            ptime: None,
        };
        let mut leg = Negotiation::new(1, local);
        let status = leg.receive_offer(session).err().map(crate::OfferError::status);
        assert_eq!(status, sample.refused, "{}", sample.product);
    }
}

#[test]
fn keys_candidates_and_fingerprints_are_kept_but_not_shown() {
    let teams = parse(TEAMS.as_bytes()).unwrap();
    let audio = &teams.media[0];
    assert!(audio.attribute("crypto").unwrap().ends_with("|2^31"));
    assert_eq!(audio.attributes_named("candidate").count(), 2);
    assert!(!format!("{teams:?}").contains("inline:"));
    assert!(!format!("{teams:?}").contains("u8Ghl"));
    let chrome = parse(CHROME.as_bytes()).unwrap();
    assert_eq!(chrome.media[0].attribute("setup"), Some("actpass"));
    assert!(chrome.media[0].attribute("fingerprint").unwrap().starts_with("sha-256 D2:FA"));
    assert!(chrome.uses_ice(&chrome.media[0]));
    assert_eq!(chrome.attribute("group"), Some("BUNDLE 0"));
}
