//! The lite agent against hand-made checks, against webrtc-rs' full agent, and against nonsense.
#![allow(clippy::disallowed_methods, reason = "webrtc-rs wants an Instant to begin with")]

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use proptest::prelude::*;
use rtc_ice::agent::agent_config::AgentConfig;
use rtc_ice::agent::{Agent, Event as AgentEvent};
use rtc_ice::attributes::control::{AttrControlled, AttrControlling};
use rtc_ice::attributes::priority::PriorityAttr;
use rtc_ice::attributes::use_candidate::UseCandidateAttr;
use rtc_ice::candidate::CandidateConfig;
use rtc_ice::candidate::candidate_host::CandidateHostConfig;
use rtc_ice::mdns::MulticastDnsMode;
use rtc_ice::state::ConnectionState;
use rtc_shared::{TransportContext, TransportMessage, TransportProtocol};
use rtc_stun::error_code::ErrorCodeAttribute;
use rtc_stun::message::{Getter, TransactionId};
use rtc_stun::textattrs::TextAttribute;
use sansio::Protocol;

use super::*;

const PASSWORD: &str = "u8GhlVUrGTSbHv5AK4Jp3S8u";

fn credentials(ufrag: &str) -> Credentials {
    Credentials { ufrag: ufrag.into(), password: Redacted::new(PASSWORD.into()) }
}

fn agent() -> Ice {
    Ice::new(credentials("ours"))
}

fn at(seconds: u64) -> Time {
    Time::ZERO + Duration::from_secs(seconds)
}

fn source(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}

/// What a full agent sends, with something more before or after the integrity.
struct Sent<'a> {
    user: &'a str,
    password: &'a str,
    nominates: bool,
    before: Vec<Box<dyn Setter>>,
    after: Vec<Box<dyn Setter>>,
}

impl Default for Sent<'_> {
    fn default() -> Self {
        let (before, after) = (Vec::new(), Vec::new());
        Self { user: "ours:theirs", password: PASSWORD, nominates: true, before, after }
    }
}

impl Sent<'_> {
    fn bytes(self) -> Vec<u8> {
        let mut setters: Vec<Box<dyn Setter + '_>> = vec![
            Box::new(BINDING_REQUEST),
            Box::new(TransactionId::new()),
            Box::new(TextAttribute::new(ATTR_USERNAME, self.user.to_owned())),
            Box::new(PriorityAttr(1_862_270_975)),
        ];
        if self.nominates {
            setters.push(Box::<UseCandidateAttr>::default());
        }
        setters.extend(self.before.into_iter().map(|it| it as Box<dyn Setter + '_>));
        let password = self.password.to_owned();
        setters.push(Box::new(MessageIntegrity::new_short_term_integrity_with_provider(
            password,
            &RingCrypto,
        )));
        setters.extend(self.after.into_iter().map(|it| it as Box<dyn Setter + '_>));
        setters.push(Box::new(FINGERPRINT));
        let mut message = Message::new();
        message.build(&setters).unwrap();
        message.raw
    }
}

/// Any attribute.
struct Raw(u16, Vec<u8>);

impl Setter for Raw {
    fn add_to(&self, message: &mut Message) -> rtc_shared::error::Result<()> {
        message.add(AttrType(self.0), &self.1);
        Ok(())
    }
}

fn take(
    ice: &mut Ice,
    now: Time,
    from: SocketAddr,
    sent: &[u8],
) -> (Result<Option<Event>, Ignored>, Vec<u8>) {
    let mut reply = vec![1, 2, 3];
    (ice.handle(now, from, sent, &mut reply), reply)
}

fn parsed(bytes: &[u8]) -> Message {
    let mut message = Message::new();
    message.unmarshal_binary(bytes).unwrap();
    message
}

fn error_of(reply: &[u8]) -> u16 {
    let mut code = ErrorCodeAttribute::default();
    code.get_from(&parsed(reply)).unwrap();
    code.code.0
}

#[test]
fn datagrams_are_told_apart_by_their_first_byte() {
    for (first, expected) in [
        (0, Some(Kind::Stun)),
        (3, Some(Kind::Stun)),
        (4, None),
        (16, None),
        (19, None),
        (20, Some(Kind::Dtls)),
        (22, Some(Kind::Dtls)),
        (63, Some(Kind::Dtls)),
        (64, None),
        (127, None),
        (128, Some(Kind::Rtp)),
        (191, Some(Kind::Rtp)),
        (192, None),
        (255, None),
    ] {
        assert_eq!(kind(&[first]), expected, "{first}");
    }
    assert_eq!(kind(&[]), None);
}

#[test]
fn a_check_is_answered_with_where_it_came_from() {
    for from in [source(4000), "[2001:db8::7]:5000".parse().unwrap()] {
        let mut ice = agent();
        let sent = Sent::default().bytes();
        let (event, reply) = take(&mut ice, at(1), from, &sent);
        assert_eq!(event, Ok(Some(Event::Selected(from))));
        assert_eq!((ice.selected(), ice.is_valid(from)), (Some(from), true));
        let mut reply = parsed(&reply);
        assert_eq!(reply.typ, BINDING_SUCCESS);
        assert_eq!(reply.transaction_id, parsed(&sent).transaction_id);
        let mut seen = XorMappedAddress::default();
        seen.get_from(&reply).unwrap();
        assert_eq!(SocketAddr::new(seen.ip, seen.port), from);
        MessageIntegrity::check(&mut reply, PASSWORD.as_bytes(), &RingCrypto).unwrap();
        FINGERPRINT.check(&reply).unwrap();
        // The same again is no news.
        assert_eq!(take(&mut ice, at(2), from, &Sent::default().bytes()).0, Ok(None));
    }
}

#[test]
fn a_source_is_valid_before_it_is_nominated_and_not_sent_to() {
    let mut ice = agent();
    let plain = || Sent { nominates: false, ..Sent::default() }.bytes();
    assert_eq!(take(&mut ice, at(1), source(1), &plain()).0, Ok(None));
    assert!(ice.is_valid(source(1)) && !ice.is_valid(source(2)));
    assert_eq!((ice.selected(), ice.poll_timeout()), (None, None));
    let nominated = take(&mut ice, at(2), source(2), &Sent::default().bytes()).0;
    assert_eq!(nominated, Ok(Some(Event::Selected(source(2)))));
    // The last nomination wins; who only checks takes nothing away.
    assert_eq!(take(&mut ice, at(3), source(1), &plain()).0, Ok(None));
    assert_eq!(ice.selected(), Some(source(2)));
    let moved = take(&mut ice, at(4), source(3), &Sent::default().bytes()).0;
    assert_eq!(moved, Ok(Some(Event::Selected(source(3)))));
    // It falls silent while another one checks.
    assert_eq!(take(&mut ice, at(11), source(1), &plain()).0, Ok(None));
    let followed = take(&mut ice, at(13), source(1), &plain()).0;
    assert_eq!(followed, Ok(Some(Event::Selected(source(1)))));
}

#[test]
fn what_is_not_from_the_peer_is_dropped_without_a_word_or_a_trace() {
    let mut ice = agent();
    let good = Sent::default().bytes();
    let user = |user| Sent { user, ..Sent::default() }.bytes();
    let wrong = Sent { password: "another", ..Sent::default() }.bytes();
    let mut no_integrity = Message::new();
    no_integrity
        .build(&[
            Box::new(BINDING_REQUEST),
            Box::new(TransactionId::new()),
            Box::new(TextAttribute::new(ATTR_USERNAME, "ours:theirs".to_owned())),
            Box::new(FINGERPRINT),
        ])
        .unwrap();
    let mut no_fingerprint = good[..good.len() - 8].to_vec();
    no_fingerprint[3] -= 8;
    let mut success = good.clone();
    success[..2].copy_from_slice(&[1, 1]);
    let mut indication = good.clone();
    indication[1] = 0x11;
    let mut cookie = good.clone();
    cookie[5] ^= 1;
    let mut fingerprint = good.clone();
    *fingerprint.last_mut().unwrap() ^= 1;
    let many = (0..ATTRIBUTES_MAX).map(|_| Box::new(Raw(0x8022, vec![])) as Box<dyn Setter>);
    let many = Sent { before: many.collect(), ..Sent::default() }.bytes();
    for (n, sent) in [
        wrong,
        no_integrity.raw,
        no_fingerprint,
        user("others:theirs"),
        user("ours"),
        user("our:theirs"),
        user(":"),
        success,
        indication,
        cookie,
        fingerprint,
        many,
        good[..good.len() - 1].to_vec(),
        [&good[..], &[0; 4]].concat(),
        good[..20].to_vec(),
        vec![0; 3],
        vec![],
    ]
    .into_iter()
    .enumerate()
    {
        let (event, reply) = take(&mut ice, at(1), source(9), &sent);
        assert!(event.is_err(), "{n}");
        assert!(reply.is_empty(), "{n}");
        assert!(!ice.is_valid(source(9)), "{n}");
        assert_eq!(ice.ignored(), n as u64 + 1);
    }
    assert_eq!(ice.selected(), None);
}

#[test]
fn what_follows_the_integrity_is_not_looked_at() {
    let mut ice = agent();
    let sent = Sent {
        nominates: false,
        after: vec![Box::<UseCandidateAttr>::default(), Box::new(AttrControlled(7))],
        ..Sent::default()
    };
    let (event, reply) = take(&mut ice, at(1), source(1), &sent.bytes());
    assert_eq!((event, parsed(&reply).typ), (Ok(None), BINDING_SUCCESS));
    assert_eq!(ice.selected(), None);
}

#[test]
fn a_peer_that_thinks_we_control_is_told_so() {
    let mut ice = agent();
    let sent = Sent { before: vec![Box::new(AttrControlled(7))], ..Sent::default() };
    let (event, reply) = take(&mut ice, at(1), source(1), &sent.bytes());
    assert_eq!((event, error_of(&reply)), (Ok(None), 487));
    assert!(!ice.is_valid(source(1)));
    MessageIntegrity::check(&mut parsed(&reply), PASSWORD.as_bytes(), &RingCrypto).unwrap();
    let sent = Sent { before: vec![Box::new(AttrControlling(7))], ..Sent::default() };
    assert!(take(&mut ice, at(1), source(1), &sent.bytes()).0.unwrap().is_some());
}

#[test]
fn attributes_that_must_be_understood_are_named_in_a_420() {
    let mut ice = agent();
    let before: Vec<Box<dyn Setter>> =
        vec![Box::new(Raw(0x7777, vec![1])), Box::new(Raw(0xc057, vec![0; 4]))];
    let sent = Sent { before, ..Sent::default() }.bytes();
    let (event, reply) = take(&mut ice, at(1), source(1), &sent);
    assert_eq!((event, error_of(&reply)), (Ok(None), 420));
    let mut unknown = UnknownAttributes(Vec::new());
    unknown.get_from(&parsed(&reply)).unwrap();
    assert_eq!(unknown.0, [AttrType(0x7777)]);
}

#[test]
fn consent_is_lost_after_30_s_of_silence_and_comes_back_with_a_check() {
    let mut ice = agent();
    take(&mut ice, at(1), source(1), &Sent::default().bytes()).0.unwrap();
    take(&mut ice, at(20), source(1), &Sent { nominates: false, ..Sent::default() }.bytes())
        .0
        .unwrap();
    assert_eq!(ice.poll_timeout(), Some(at(50)));
    assert_eq!(ice.handle_timeout(at(49)), None);
    assert_eq!(ice.handle_timeout(at(50)), Some(Event::ConsentLost));
    assert_eq!((ice.selected(), ice.poll_timeout()), (None, None));
    assert!(!ice.is_valid(source(1)));
    assert_eq!(ice.handle_timeout(at(99)), None);
    let back = take(&mut ice, at(100), source(1), &Sent::default().bytes()).0;
    assert_eq!(back, Ok(Some(Event::Selected(source(1)))));
    // A process that was restarted goes on where it was.
    let mut resumed = Ice::resume(at(1), credentials("ours"), source(1));
    assert_eq!((resumed.selected(), resumed.poll_timeout()), (Some(source(1)), Some(at(31))));
    assert_eq!(take(&mut resumed, at(2), source(1), &Sent::default().bytes()).0, Ok(None));
}

#[test]
fn a_restart_keeps_the_pair_till_the_new_credentials_nominate_one() {
    let mut ice = agent();
    take(&mut ice, at(1), source(1), &Sent::default().bytes()).0.unwrap();
    ice.restart(credentials("ours"));
    ice.restart(credentials("newer"));
    assert_eq!(ice.selected(), Some(source(1)));
    // The old ones still count.
    let (event, reply) = take(&mut ice, at(2), source(1), &Sent::default().bytes());
    assert_eq!((event, reply.is_empty()), (Ok(None), false));
    let newer = |nominates| Sent { user: "newer:x", nominates, ..Sent::default() }.bytes();
    assert_eq!(take(&mut ice, at(3), source(2), &newer(false)).0, Ok(None));
    assert!(take(&mut ice, at(3), source(1), &Sent::default().bytes()).0.is_ok());
    let moved = take(&mut ice, at(4), source(2), &newer(true)).0;
    assert_eq!(moved, Ok(Some(Event::Selected(source(2)))));
    assert!(take(&mut ice, at(5), source(1), &Sent::default().bytes()).0.is_err());
}

#[test]
fn the_sources_are_bounded() {
    let mut ice = agent();
    for port in 1..100 {
        take(&mut ice, at(port.into()), source(port), &Sent::default().bytes()).0.unwrap();
    }
    let valid = (1..100).filter(|port| ice.is_valid(source(*port))).count();
    assert_eq!(valid, SOURCES_MAX);
    assert_eq!(ice.selected(), Some(source(99)));
    assert!(!format!("{ice:?}").contains(PASSWORD));
}

/// A full agent as its library has it, in virtual time.
#[test]
fn a_full_agent_of_webrtc_rs_connects() {
    let (here, there) = (source(20_000), SocketAddr::from(([192, 0, 2, 77], 5000)));
    let config = AgentConfig {
        local_ufrag: "theirs".into(),
        local_pwd: "P2uYro0UCOQ4zxjKXaWCBui1".into(),
        multicast_dns_mode: MulticastDnsMode::Disabled,
        ..AgentConfig::default()
    };
    let mut clock = Instant::now();
    let provider = rtc_crypto::default_provider().unwrap();
    let mut full = Agent::new(clock, Arc::new(config), provider).unwrap();
    let candidate = |addr: SocketAddr| {
        let base_config = CandidateConfig {
            network: "udp".into(),
            address: addr.ip().to_string(),
            port: addr.port(),
            component: 1,
            ..CandidateConfig::default()
        };
        CandidateHostConfig { base_config, ..CandidateHostConfig::default() }
            .new_candidate_host()
            .unwrap()
    };
    full.add_local_candidate(candidate(there)).unwrap();
    full.add_remote_candidate(candidate(here)).unwrap();
    full.start_connectivity_checks(clock, true, "ours".into(), PASSWORD.into()).unwrap();
    let mut lite = agent();
    let (mut reply, mut connected) = (Vec::new(), false);
    for step in 0..40u64 {
        clock += Duration::from_millis(100);
        full.handle_timeout(clock).unwrap();
        while let Some(sent) = full.poll_write() {
            assert_eq!((sent.transport.peer_addr, kind(&sent.message)), (here, Some(Kind::Stun)));
            lite.handle(at(step / 10), there, &sent.message, &mut reply).unwrap();
            let transport = TransportContext {
                local_addr: there,
                peer_addr: here,
                transport_protocol: TransportProtocol::UDP,
                ecn: None,
            };
            let message = BytesMut::from(&reply[..]);
            full.handle_read(TransportMessage { now: clock, transport, message }).unwrap();
        }
        while let Some(event) = full.poll_event() {
            connected |= matches!(
                event.event,
                AgentEvent::ConnectionStateChange(ConnectionState::Connected)
            );
        }
    }
    assert!(connected);
    assert_eq!(lite.selected(), Some(there));
    let (_, remote) = full.get_selected_candidate_pair().unwrap();
    assert_eq!(remote.addr(), here);
}

proptest! {
    #[test]
    fn nonsense_is_dropped(
        mut bytes in prop::collection::vec(any::<u8>(), 0..300),
        shaped in any::<bool>(),
    ) {
        if shaped && bytes.len() >= 20 {
            let len = (bytes.len() - 20) as u16;
            bytes[..2].copy_from_slice(&[0, 1]);
            bytes[2..4].copy_from_slice(&len.to_be_bytes());
            bytes[4..8].copy_from_slice(&[0x21, 0x12, 0xa4, 0x42]);
        }
        let (event, reply) = take(&mut agent(), at(1), source(1), &bytes);
        prop_assert!(event.is_err() && reply.is_empty());
    }

    /// Any change of a check makes it worthless; one of the fingerprint alone as well.
    #[test]
    fn a_changed_check_is_dropped(place in any::<prop::sample::Index>(), by in 1u8..=255) {
        let mut sent = Sent::default().bytes();
        let place = place.index(sent.len());
        sent[place] ^= by;
        let (event, reply) = take(&mut agent(), at(1), SocketAddr::from((Ipv4Addr::LOCALHOST, 1)), &sent);
        prop_assert!(event.is_err() && reply.is_empty());
    }
}
