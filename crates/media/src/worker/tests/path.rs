//! Legs of browsers among plain ones: ICE, then DTLS, then media (ATTACKS 23).

use super::*;
use crate::command::{Found, PathConfig};
use crate::dtls::tests::{client_hello, identity, peer};
use crate::dtls::{self, Dtls, Identity, Peer, Role};
use crate::dtmf::{Digit, DtmfEvent};
use crate::ice::{CONSENT, Kind, kind};
use crate::path::Event;
use crate::path::tests::{check, credentials};
use crate::rtp::DATAGRAM_MAX;
use crate::srtp::{Keying, OVERHEAD_MAX, Srtp};

/// Where the browser's checks come from; its description says nothing of use.
const BROWSER: &str = "192.0.2.1:50000";
const ELSEWHERE: &str = "192.0.2.1:50001";

/// A browser and an agent with a plain phone.
struct Call {
    world: World,
    a: Slot,
    b: Slot,
    us: Arc<Identity>,
    browser: Dtls,
    agreed: Peer,
    srtp: Option<Srtp>,
}

impl Call {
    fn new(role: Role, ice: Option<&str>) -> Self {
        let (mut world, a, b) = World::call(&[PCMU], &[PCMU]);
        let (us, them) = (identity(), identity());
        world.worker.set_identity(us.clone());
        let theirs = if role == Role::Client { Role::Server } else { Role::Client };
        let browser = Dtls::new(them.clone(), peer(theirs, &us));
        let agreed = peer(role, &them);
        let mut call = Self { world, a, b, us, browser, agreed, srtp: None };
        call.world.wire.sent.clear();
        call.agree(ice, Found::default());
        call
    }

    fn agree(&mut self, ice: Option<&str>, found: Found) {
        let path = PathConfig { ice: ice.map(credentials), dtls: Some(self.agreed.clone()), found };
        let remote = config(CUSTOMER, &[PCMU]).remote.filter(|_| ice.is_none());
        let new = StreamConfig { path: Some(path), remote, ..config(CUSTOMER, &[PCMU]) };
        self.world.configure(self.a, new);
    }

    fn browser_says(&mut self, from: &str, datagram: Vec<u8>) {
        self.world.receive(self.a, Channel::Rtp, from, datagram);
    }

    /// Lets records go to and fro till nobody has any.
    fn shake_hands(&mut self, from: &str) {
        for _ in 0..12 {
            for (slot, channel, to, sent) in std::mem::take(&mut self.world.wire.sent) {
                assert_eq!((slot, channel), (self.a, Channel::Rtp));
                if kind(&sent) != Some(Kind::Dtls) {
                    continue;
                }
                assert_eq!(to, addr(from));
                if let Some(dtls::Event::Keyed(keys)) = self.browser.handle(self.world.now, &sent) {
                    self.srtp = Some(Srtp::new(keys));
                }
            }
            while let Some(datagram) = self.browser.poll_transmit() {
                self.browser_says(from, datagram.to_vec());
            }
        }
        assert!(self.srtp.is_some(), "no keys");
    }

    fn connected(role: Role) -> Self {
        let mut call = Self::new(role, Some("ours"));
        call.browser_says(BROWSER, check("ours"));
        call.browser.start(call.world.now);
        call.shake_hands(BROWSER);
        call
    }

    fn protected(&mut self, n: u16) -> Vec<u8> {
        let packet = packet(0, n, 1);
        let mut buffer = [0; DATAGRAM_MAX + OVERHEAD_MAX];
        buffer[..packet.len()].copy_from_slice(&packet);
        let len = self.srtp.as_mut().unwrap().protect_rtp(&mut buffer, packet.len()).unwrap();
        buffer[..len].to_vec()
    }

    /// What the browser has got since the last call.
    fn heard(&mut self) -> Vec<(Header, Vec<u8>)> {
        let sent = std::mem::take(&mut self.world.wire.sent);
        let mut heard = Vec::new();
        for (_, _, _, mut datagram) in sent.into_iter().filter(|(slot, ..)| *slot == self.a) {
            if let Ok(len) = self.srtp.as_mut().unwrap().unprotect_rtp(&mut datagram) {
                let packet = rtp::parse(&datagram[..len]).unwrap();
                heard.push((packet.header, datagram[packet.payload].to_vec()));
            }
        }
        heard
    }

    /// Whether each hears a packet of the other; the browser at `at`.
    fn talk(&mut self, at: &str, n: u16) -> (bool, bool) {
        self.world.wire.sent.clear();
        let datagram = self.protected(n);
        self.browser_says(at, datagram);
        let agent = self.world.heard(self.b).len() == 1;
        self.world.rtp(self.b, AGENT, 0, n);
        let sent = self.world.wire.sent.pop().filter(|(slot, ..)| *slot == self.a);
        let browser = sent.is_some_and(|(_, _, to, mut datagram)| {
            to == addr(at) && self.srtp.as_mut().unwrap().unprotect_rtp(&mut datagram).is_ok()
        });
        (browser, agent)
    }

    /// What became of the path since the last call.
    fn told(&mut self) -> Vec<Event> {
        let events = std::mem::take(&mut self.world.wire.events);
        let mut paths = Vec::new();
        for event in events {
            if let MediaEvent::Path { stream: StreamId(0), event } = event {
                paths.push(event);
            }
        }
        paths
    }

    fn keys(&mut self) -> Keying {
        let mut told = self.told();
        let Some(Event::Keyed(keys)) = told.pop() else { panic!("{told:?}") };
        keys
    }
}

#[test]
fn a_browser_and_a_plain_phone_hear_each_other_once_there_are_keys() {
    for role in [Role::Client, Role::Server] {
        let mut call = Call::new(role, Some("ours"));
        // Before: nothing is sent to anybody, and nothing is heard.
        call.world.rtp(call.b, AGENT, 0, 1);
        call.browser_says(BROWSER, packet(0, 1, 1));
        assert!(call.world.wire.sent.is_empty());
        call.browser_says(BROWSER, check("ours"));
        assert_eq!(call.told(), [Event::Selected(addr(BROWSER))]);
        call.browser_says(BROWSER, packet(0, 2, 1));
        call.world.rtp(call.b, AGENT, 0, 2);
        assert!(call.world.heard(call.b).is_empty(), "in the clear");
        call.browser.start(call.world.now);
        call.world.tick(400); // our first flight was not fetched: it comes again
        call.shake_hands(BROWSER);
        assert!(matches!(call.told()[..], [Event::Keyed(_)]));
        assert_eq!(call.talk(BROWSER, 3), (true, true));
        // From where it has not checked, and unprotected: never.
        let datagram = call.protected(4);
        call.browser_says(ELSEWHERE, datagram);
        call.browser_says(BROWSER, packet(0, 5, 1));
        assert!(call.world.heard(call.b).is_empty());
        let mut pins = call.world.wire.pins.iter().filter(|(slot, ..)| *slot == call.a);
        assert!(pins.all(|(_, _, peer)| peer.is_none()), "checks may come from elsewhere");
        let stats = call.world.close(call.a);
        assert_eq!((stats.packets_received, stats.strays_dropped), (1, 2));
        assert!(stats.unauthentic_dropped >= 2);
    }
}

#[test]
fn what_is_said_and_pressed_before_there_are_keys_leaves_nobody_mute() {
    let mut call = Call::new(Role::Client, Some("ours"));
    // What the agent says has to be coded anew.
    call.world.configure(call.b, config(AGENT, &[PCMA]));
    call.world.rtp(call.b, AGENT, PCMA.receive, 1);
    let digit = |char| DtmfEvent::new(Digit::from_char(char).unwrap());
    call.world.worker.press(call.a, digit('7'));
    call.world.tick(400);
    call.browser_says(BROWSER, check("ours"));
    call.world.tick(400);
    call.browser.start(call.world.now);
    call.shake_hands(BROWSER);
    assert_eq!(call.heard(), []);
    call.world.tick(400);
    call.world.worker.press(call.a, digit('8'));
    call.world.tick(400);
    let heard = call.heard();
    assert_eq!(keys::tones(PCMU, &heard), "78");
    for n in 2..5 {
        call.world.rtp(call.b, AGENT, PCMA.receive, n);
    }
    assert_eq!(call.heard().len(), 3);
}

#[test]
fn reports_of_a_browser_share_its_port_and_its_keys() {
    let mut call = Call::connected(Role::Client);
    assert_eq!(call.talk(BROWSER, 1), (true, true));
    let report = report(1, None);
    let mut buffer = [0; DATAGRAM_MAX];
    buffer[..report.len()].copy_from_slice(&report);
    let srtp = call.srtp.as_mut().unwrap();
    let len = srtp.protect_rtcp(&mut buffer, report.len()).unwrap();
    call.browser_says(BROWSER, buffer[..len].to_vec());
    call.world.wire.sent.clear();
    call.world.tick(10_000);
    let reports: Vec<_> =
        call.world.wire.sent.extract_if(.., |(slot, ..)| *slot == call.a).collect();
    assert!(!reports.is_empty());
    for (_, channel, to, mut datagram) in reports {
        assert_eq!((channel, to), (Channel::Rtp, addr(BROWSER)));
        assert!(call.srtp.as_mut().unwrap().unprotect_rtcp(&mut datagram).is_ok());
    }
    assert_eq!(call.world.close(call.a).rtcp_received, 1);
}

#[test]
fn ice_restarts_and_the_keys_stay() {
    let mut call = Call::connected(Role::Server);
    assert_eq!(call.talk(BROWSER, 1), (true, true));
    call.told();
    call.agree(Some("newer"), Found::default());
    assert_eq!(call.talk(BROWSER, 2), (true, true), "till the new way is there");
    call.browser_says(ELSEWHERE, check("newer"));
    assert_eq!(call.told(), [Event::Selected(addr(ELSEWHERE))]);
    assert_eq!(call.talk(ELSEWHERE, 3), (true, true));
}

#[test]
fn another_certificate_makes_other_keys_and_the_former_are_nobodys() {
    let mut call = Call::connected(Role::Server);
    call.told();
    let other = identity();
    call.agreed = peer(Role::Server, &other);
    call.agree(Some("ours"), Found::default());
    assert_eq!(call.talk(BROWSER, 1), (false, false));
    call.browser = Dtls::new(other, peer(Role::Client, &call.us));
    call.browser.start(call.world.now);
    call.shake_hands(BROWSER);
    assert!(matches!(call.told()[..], [Event::Keyed(_)]));
    assert_eq!(call.talk(BROWSER, 2), (true, true));
}

#[test]
fn who_does_not_check_any_more_is_told_and_gets_nothing() {
    let mut call = Call::connected(Role::Client);
    call.told();
    call.world.tick(CONSENT.as_millis() as u64 - 40);
    assert_eq!(call.told(), []);
    call.world.tick(100);
    assert_eq!(call.told(), [Event::ConsentLost]);
    assert_eq!(call.talk(BROWSER, 1), (false, false));
}

#[test]
fn a_leg_takes_its_keys_and_its_consent_to_another_worker() {
    let mut call = Call::connected(Role::Server);
    assert_eq!(call.talk(BROWSER, 1), (true, true));
    call.world.tick(CONSENT.as_millis() as u64 / 2);
    let traveller = call.world.worker.depart(call.a).unwrap();
    let (mut there, gone, b) = World::call(&[PCMU], &[PCMU]);
    there.worker.set_identity(call.us.clone());
    there.now = call.world.now;
    there.close(gone);
    let a = there.worker.arrive(traveller, BRIDGE);
    there.hear(a, Hear::Stream(StreamId(1)), Some(b));
    there.hear(b, Hear::Stream(StreamId(0)), Some(a));
    (call.world, call.a, call.b) = (there, a, b);
    assert_eq!(call.talk(BROWSER, 2), (true, true));
    // Half of its time was over when it came.
    call.told();
    call.world.tick(CONSENT.as_millis() as u64 / 2 - 40);
    assert_eq!(call.told(), []);
    call.world.tick(100);
    assert_eq!(call.told(), [Event::ConsentLost]);
    assert_eq!(call.talk(BROWSER, 3), (false, false));
    call.browser_says(BROWSER, check("ours"));
    assert_eq!(call.told(), [Event::Selected(addr(BROWSER))]);
    assert_eq!(call.talk(BROWSER, 4), (true, true), "with the same keys");
}

#[test]
fn a_wrong_certificate_is_told_and_no_media_flow() {
    let mut call = Call::new(Role::Server, Some("ours"));
    call.browser_says(BROWSER, check("ours"));
    call.browser = Dtls::new(identity(), peer(Role::Client, &call.us));
    call.browser.start(call.world.now);
    call.told();
    for _ in 0..8 {
        for (_, _, _, sent) in std::mem::take(&mut call.world.wire.sent) {
            let _ = call.browser.handle(call.world.now, &sent);
        }
        while let Some(datagram) = call.browser.poll_transmit() {
            call.browser_says(BROWSER, datagram.to_vec());
        }
    }
    assert_eq!(call.told(), [Event::Failed(dtls::Failure::NotThePeer)]);
    call.world.wire.sent.clear();
    call.world.rtp(call.b, AGENT, 0, 1);
    call.world.tick(100);
    assert!(call.world.wire.sent.iter().all(|(slot, ..)| *slot != call.a));
}

/// A phone that does DTLS and no ICE: its records come from where its media do.
#[test]
fn a_phone_without_ice_makes_keys_too() {
    for role in [Role::Client, Role::Server] {
        let mut call = Call::new(role, None);
        for n in 0..100 {
            let hello = client_hello(&[0xc02b], &[], n);
            call.browser_says(STRANGER, hello);
        }
        call.browser.start(call.world.now);
        call.shake_hands(CUSTOMER);
        assert!(matches!(call.told()[..], [Event::Keyed(_)]));
        assert_eq!(call.talk(CUSTOMER, 1), (true, true));
        assert_eq!(call.world.close(call.a).strays_dropped, 100);
    }
}

/// Its hello is there before its answer: it need not say it again.
#[test]
fn a_hello_before_the_answer_is_not_lost() {
    let (mut world, a, b) = World::call(&[PCMU], &[PCMU]);
    let (us, them) = (identity(), identity());
    world.worker.set_identity(us.clone());
    world.close(a);
    let numbers = Numbers { ssrc: 1, sequence: 1, timestamp: 1 };
    for (from, is_heard) in [(CUSTOMER, true), (STRANGER, false)] {
        let bridge = BridgeId(1);
        let a = world.worker.open(world.now, (StreamId(0), bridge), true, numbers);
        let mut browser = Dtls::new(them.clone(), peer(Role::Client, &us));
        browser.start(world.now);
        world.wire.sent.clear();
        while let Some(datagram) = browser.poll_transmit() {
            world.receive(a, Channel::Rtp, from, datagram.to_vec());
        }
        assert!(world.wire.sent.is_empty(), "before anything is agreed on");
        let dtls = Some(peer(Role::Server, &them));
        let path = PathConfig { ice: None, dtls, found: Found::default() };
        world.configure(a, StreamConfig { path: Some(path), ..config(CUSTOMER, &[PCMU]) });
        let answered =
            world.wire.sent.iter().any(|(slot, _, to, _)| (*slot, *to) == (a, addr(from)));
        assert_eq!(answered, is_heard);
        assert_eq!(world.wire.sent.len(), usize::from(is_heard));
        world.close(a);
    }
    world.close(b);
}

/// ATTACKS 23: neither answered nor remembered, and the call goes on.
#[test]
fn strangers_get_no_answer_whatever_they_send() {
    let mut call = Call::connected(Role::Server);
    call.world.wire.sent.clear();
    let wrong = check("theirs");
    for n in 0..10_000u16 {
        call.browser_says(STRANGER, wrong.clone());
        call.browser_says(ELSEWHERE, client_hello(&[0xc02b], &[], n as u8));
    }
    assert!(call.world.wire.sent.is_empty());
    assert_eq!(call.talk(BROWSER, 1), (true, true));
    assert_eq!(call.world.close(call.a).strays_dropped, 20_000);
}

#[test]
fn a_new_engine_goes_on_with_what_the_former_one_has_found() {
    let mut call = Call::connected(Role::Client);
    let keys = Some(call.keys());
    let found = Found { to: Some(addr(BROWSER)), keys };
    let (mut world, a, b) = World::call(&[PCMU], &[PCMU]);
    world.worker.set_identity(call.us.clone());
    (call.world, call.a, call.b) = (world, a, b);
    call.agree(Some("ours"), found);
    assert_eq!(call.talk(BROWSER, 1), (true, true));
}

#[test]
fn without_an_identity_such_a_stream_stays_silent() {
    let (mut world, a, b) = World::call(&[PCMU], &[PCMU]);
    let path = PathConfig {
        ice: Some(credentials("ours")),
        dtls: Some(peer(Role::Server, &identity())),
        found: Found::default(),
    };
    world.configure(a, StreamConfig { path: Some(path), ..config(CUSTOMER, &[PCMU]) });
    world.receive(a, Channel::Rtp, BROWSER, check("ours"));
    world.wire.sent.clear();
    world.rtp(b, AGENT, 0, 1);
    world.rtp(a, BROWSER, 0, 1);
    assert!(world.wire.sent.is_empty());
}
