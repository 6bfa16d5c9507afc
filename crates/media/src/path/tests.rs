//! ICE and DTLS of one leg together, with a peer made of the same parts.

use std::time::Duration;

use base::Redacted;
use rtc_crypto::providers::RingCrypto;
use rtc_ice::attributes::use_candidate::UseCandidateAttr;
use rtc_stun::attributes::ATTR_USERNAME;
use rtc_stun::fingerprint::FINGERPRINT;
use rtc_stun::integrity::MessageIntegrity;
use rtc_stun::message::{BINDING_REQUEST, Message, TransactionId};
use rtc_stun::textattrs::TextAttribute;

use super::*;
use crate::dtls::Role;
use crate::dtls::tests::{client_hello, identity, peer};
use crate::srtp::Srtp;

const PASSWORD: &str = "u8GhlVUrGTSbHv5AK4Jp3S8u";

pub(crate) fn credentials(ufrag: &str) -> Credentials {
    Credentials { ufrag: ufrag.into(), password: Redacted::new(PASSWORD.into()) }
}

/// A nominating check of a peer that knows our password.
pub(crate) fn check(ufrag: &str) -> Vec<u8> {
    let password = PASSWORD.to_owned();
    let mut message = Message::new();
    message
        .build(&[
            Box::new(BINDING_REQUEST),
            Box::new(TransactionId::new()),
            Box::new(TextAttribute::new(ATTR_USERNAME, format!("{ufrag}:theirs"))),
            Box::<UseCandidateAttr>::default(),
            Box::new(MessageIntegrity::new_short_term_integrity_with_provider(
                password,
                &RingCrypto,
            )),
            Box::new(FINGERPRINT),
        ])
        .unwrap();
    message.raw
}

fn at(seconds: u64) -> Time {
    Time::ZERO + Duration::from_secs(seconds)
}

fn source(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}

/// Our leg, and a browser behind it that has checked nothing yet.
struct World {
    ours: Path,
    browser: Dtls,
    us: Arc<Identity>,
    agreed: Peer,
}

impl World {
    fn new(role: Role) -> Self {
        let (us, them) = (identity(), identity());
        let theirs = match role {
            Role::Client => Role::Server,
            Role::Server => Role::Client,
        };
        let browser = Dtls::new(them.clone(), peer(theirs, &us));
        let agreed = peer(role, &them);
        let mut ours = Path::default();
        let dtls = Some((&us, agreed.clone()));
        ours.configure(at(0), Some(credentials("ours")), dtls, None, |_, _| panic!("too early"));
        Self { ours, browser, us, agreed }
    }

    /// The browser's check from this port; what we send back goes to `browser`.
    fn check(&mut self, now: Time, port: u16, ufrag: &str) -> usize {
        let mut answers = 0;
        let mut ours = Vec::new();
        self.ours.handle(now, source(port), false, &check(ufrag), |to, sent| {
            match ice::kind(sent) {
                Some(Kind::Stun) => {
                    assert_eq!(to, source(port));
                    answers += 1;
                }
                _ => ours.push((to, sent.to_vec())),
            }
        });
        for (to, datagram) in ours {
            assert_eq!(to, source(port));
            self.browser.handle(now, &datagram);
        }
        answers
    }

    /// Passes records to and fro till nobody has any; the browser's keys.
    fn shake_hands(&mut self, now: Time, port: u16) -> Option<Keying> {
        let mut keys = None;
        for _ in 0..10 {
            let mut back = Vec::new();
            while let Some(datagram) = self.browser.poll_transmit() {
                self.ours.handle(now, source(port), false, &datagram, |to, sent| {
                    assert_eq!(to, source(port));
                    back.push(sent.to_vec());
                });
            }
            for datagram in back {
                if let Some(dtls::Event::Keyed(keying)) = self.browser.handle(now, &datagram) {
                    keys = Some(keying);
                }
            }
        }
        keys
    }
}

fn events(path: &mut Path) -> Vec<Event> {
    std::iter::from_fn(|| path.poll_event()).collect()
}

#[test]
fn a_browser_checks_shakes_hands_and_talks() {
    for role in [Role::Client, Role::Server] {
        let mut world = World::new(role);
        assert_eq!((world.ours.target(), world.ours.admits(source(1))), (Some(None), Some(false)));
        assert_eq!(world.check(at(1), 1, "ours"), 1);
        assert_eq!(events(&mut world.ours), [Event::Selected(source(1))]);
        assert_eq!(world.ours.target(), Some(Some(source(1))));
        assert_eq!(world.browser.start(at(1)), None);
        let theirs = world.shake_hands(at(1), 1).unwrap();
        let [Event::Keyed(keying)] = &events(&mut world.ours)[..] else { panic!("no keys") };
        let (mut here, mut there) = (Srtp::new(keying.clone()), Srtp::new(theirs));
        let mut packet = [0x80; 80];
        let len = here.protect_rtp(&mut packet, 50).unwrap();
        assert_eq!(there.unprotect_rtp(&mut packet[..len]), Ok(50));
        // Consent ends; a check brings it back, and the keys stay.
        world.ours.handle_timeout(at(31), |_, _| {});
        assert_eq!(events(&mut world.ours), [Event::ConsentLost]);
        assert_eq!(world.ours.target(), Some(None));
        assert_eq!(world.check(at(40), 2, "ours"), 1);
        assert_eq!(events(&mut world.ours), [Event::Selected(source(2))]);
        assert_eq!(world.ours.strays(), 0);
    }
}

/// ATTACKS 23.
#[test]
fn ten_thousand_hellos_of_a_stranger_leave_no_trace() {
    for role in [Role::Client, Role::Server] {
        let mut world = World::new(role);
        world.check(at(1), 1, "ours");
        for n in 0..10_000u16 {
            let hello = client_hello(&[0xc02b], &[], (n % 8) as u8);
            let from = source(5000 + n % 100);
            world.ours.handle(at(1), from, true, &hello, |_, _| panic!("answered"));
        }
        assert_eq!(world.ours.strays(), 10_000);
        assert_eq!(events(&mut world.ours), [Event::Selected(source(1))]);
        world.browser.start(at(1));
        assert!(world.shake_hands(at(1), 1).is_some());
        assert!(matches!(events(&mut world.ours)[..], [Event::Keyed(_)]));
    }
}

#[test]
fn checks_and_nonsense_of_strangers_are_not_answered() {
    let mut world = World::new(Role::Server);
    for datagram in [check("others"), vec![0; 30], vec![22; 60], vec![0x80; 60], vec![17], vec![]] {
        world.ours.handle(at(1), source(9), true, &datagram, |_, _| panic!("answered"));
    }
    assert_eq!(world.ours.strays(), 6);
    assert!(events(&mut world.ours).is_empty());
}

#[test]
fn a_renegotiation_keeps_what_has_not_changed() {
    let mut world = World::new(Role::Client);
    world.check(at(1), 1, "ours");
    assert!(world.shake_hands(at(1), 1).is_some());
    events(&mut world.ours);
    let silent = |_: SocketAddr, _: &[u8]| panic!("a new handshake");
    let dtls = Some((&world.us, world.agreed.clone()));
    world.ours.configure(at(2), Some(credentials("ours")), dtls.clone(), None, silent);
    // An ICE restart: the association stays, the way changes.
    world.ours.configure(at(3), Some(credentials("newer")), dtls, None, silent);
    assert_eq!(world.check(at(4), 2, "newer"), 1);
    assert_eq!(events(&mut world.ours), [Event::Selected(source(2))]);
    // A new certificate of theirs: a new association at once.
    let other = identity();
    world.browser = Dtls::new(other.clone(), peer(Role::Server, &world.us));
    let mut sent = Vec::new();
    let dtls = Some((&world.us, peer(Role::Client, &other)));
    world.ours.configure(at(5), Some(credentials("newer")), dtls, None, |to, datagram| {
        sent.push((to, datagram.to_vec()));
    });
    assert_eq!(sent[0].0, source(2));
    world.browser.handle(at(5), &sent[0].1);
    assert!(world.shake_hands(at(5), 2).is_some());
    assert!(matches!(events(&mut world.ours)[..], [Event::Keyed(_)]));
    // Plain again: nothing is left.
    world.ours.configure(at(6), None, None, None, silent);
    assert_eq!((world.ours.target(), world.ours.admits(source(2))), (None, None));
    assert!(!world.ours.makes_keys());
}

/// Phones that do DTLS without ICE.
#[test]
fn without_ice_the_caller_vouches_for_the_source() {
    let (us, them) = (identity(), identity());
    let mut phone = Dtls::new(them.clone(), peer(Role::Server, &us));
    let mut ours = Path::default();
    let mut sent = Vec::new();
    let dtls = Some((&us, peer(Role::Client, &them)));
    ours.configure(at(0), None, dtls, Some(source(4)), |to, it| sent.push((to, it.to_vec())));
    assert_eq!((ours.target(), ours.admits(source(4)), sent[0].0), (None, None, source(4)));
    phone.handle(at(0), &sent[0].1);
    let answer = phone.poll_transmit().unwrap();
    ours.handle(at(0), source(99), false, &answer, |_, _| panic!("answered"));
    // Behind NAT it comes from elsewhere, and is answered there.
    let mut to = None;
    ours.handle(at(0), source(7), true, &answer, |addr, _| to = Some(addr));
    assert_eq!(to, Some(source(7)));
    assert_eq!(ours.strays(), 1);
}

#[test]
fn a_restarted_process_goes_on_where_the_peer_was() {
    let (us, them) = (identity(), identity());
    let dtls = Some((&us, peer(Role::Client, &them)));
    let mut ours = Path::resume(at(0), Some((credentials("ours"), source(1))), dtls.clone());
    assert_eq!((ours.target(), ours.admits(source(1))), (Some(Some(source(1))), Some(true)));
    ours.configure(at(1), Some(credentials("ours")), dtls, None, |_, _| panic!("a new handshake"));
    assert_eq!(ours.poll_timeout(), Some(at(30)));
}
