//! The way to a peer: checks, handshakes and nonsense from several sources, lost, repeated, spoilt,
//! under restarts of ICE and other certificates.
//!
//! DTLS draws its randoms from the operating system: two runs of the same bytes differ in keys, and
//! in nothing that is asserted here.

mod stun;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use base::{Redacted, Time};
use media::dtls::{Dtls, Event as Handshake, Identity, Peer, Role};
use media::ice::Credentials;
use media::path::{Event, Path};
use media::rtp::DATAGRAM_MAX;
use media::srtp::Keying;

use crate::reader::Reader;

const STEPS_MAX: usize = 200;
const SOURCES: u16 = 4;
const PASSWORD: &str = "u8GhlVUrGTSbHv5AK4Jp3S8u";
const UFRAGS: [&str; 3] = ["ours", "newer", "newest"];
/// Datagrams on their way to either side.
const WAITING_MAX: usize = 64;

/// Ours and the peer's.
static IDENTITIES: LazyLock<[Arc<Identity>; 2]> = LazyLock::new(|| {
    let now = Instant::now();
    let of = |certificate: &[u8], key: &[u8]| {
        Arc::new(Identity::new(certificate, key, now).expect("good since it was made"))
    };
    [
        of(include_bytes!("certificate1.der"), include_bytes!("key1.der")),
        of(include_bytes!("certificate2.der"), include_bytes!("key2.der")),
    ]
});

/// The first byte: our role, whether there is ICE, whether the certificate announced is the peer's;
/// the rest are steps.
pub fn path(bytes: &[u8]) {
    let mut reader = Reader::new(bytes);
    let choices = reader.byte();
    let mut world = World::new(choices & 1 == 0, choices & 2 == 0, choices & 4 == 0);
    for _ in 0..STEPS_MAX {
        if reader.is_empty() {
            break;
        }
        world.step(&mut reader);
    }
    world.finish();
}

struct World {
    ours: Path,
    peer: Dtls,
    role: Role,
    has_ice: bool,
    is_announced: bool,
    ufrag: usize,
    now: Time,
    /// Sources that have checked with our password and not been silent too long since.
    proved: BTreeSet<u16>,
    to_us: Vec<Vec<u8>>,
    to_peer: Vec<Vec<u8>>,
    ours_keyed: Option<Keying>,
    theirs_keyed: Option<Keying>,
}

impl World {
    fn new(is_client: bool, has_ice: bool, is_announced: bool) -> Self {
        let (role, other) = match is_client {
            true => (Role::Client, Role::Server),
            false => (Role::Server, Role::Client),
        };
        let ours = Peer { role: other, fingerprints: vec![IDENTITIES[0].fingerprint().clone()] };
        let mut world = Self {
            ours: Path::default(),
            peer: Dtls::new(IDENTITIES[1].clone(), ours),
            role,
            has_ice,
            is_announced,
            ufrag: 0,
            now: Time::ZERO,
            proved: BTreeSet::new(),
            to_us: Vec::new(),
            to_peer: Vec::new(),
            ours_keyed: None,
            theirs_keyed: None,
        };
        world.configure();
        world.peer.start(world.now);
        world
    }

    fn step(&mut self, reader: &mut Reader<'_>) {
        match reader.below(12) {
            0 | 1 => self.check(reader),
            2 => self.nonsense(reader),
            3 => self.pass(reader),
            4 if self.ufrag + 1 < UFRAGS.len() => {
                self.ufrag += 1;
                self.configure();
            }
            4 => self.configure(),
            5..=8 => self.deliver_to_us(reader),
            _ => self.deliver_to_peer(reader),
        }
        self.collect();
    }

    fn configure(&mut self) {
        let announced = &IDENTITIES[usize::from(self.is_announced)];
        let peer = Peer { role: self.role, fingerprints: vec![announced.fingerprint().clone()] };
        let ice = self.has_ice.then(|| Credentials {
            ufrag: UFRAGS[self.ufrag].into(),
            password: Redacted::new(PASSWORD.into()),
        });
        let remote = (!self.has_ice).then(|| source(0));
        let mut sent = Vec::new();
        let dtls = Some((&IDENTITIES[0], peer));
        self.ours.configure(self.now, ice, dtls, remote, |to, it| sent.push((to, it.to_vec())));
        self.sent(sent);
    }

    /// A check of any source, good or not.
    fn check(&mut self, reader: &mut Reader<'_>) {
        let from = reader.number() % SOURCES;
        let ufrag = reader.below(UFRAGS.len() + 1);
        let is_known = reader.byte() % 4 != 3;
        let password = if is_known { PASSWORD } else { "somebody else's password" };
        let user = format!("{}:theirs", UFRAGS.get(ufrag).unwrap_or(&"others"));
        let mut message = stun::check(&user, password, reader.one_in(2), reader.word());
        let is_spoilt = reader.one_in(8);
        if is_spoilt {
            let at = reader.below(message.len());
            message[at] ^= 1 << (reader.byte() % 8);
        }
        let may_count = self.has_ice && is_known && !is_spoilt && ufrag <= self.ufrag;
        if may_count {
            self.proved.insert(from);
        }
        self.receive(from, &message);
    }

    fn nonsense(&mut self, reader: &mut Reader<'_>) {
        let from = reader.number() % SOURCES;
        let bytes = reader.some(DATAGRAM_MAX + 100);
        self.receive(from, bytes);
    }

    fn pass(&mut self, reader: &mut Reader<'_>) {
        let millis = u64::from(reader.number()) * 2;
        self.now = self.now + Duration::from_millis(millis);
        let mut sent = Vec::new();
        self.ours.handle_timeout(self.now, |to, it| sent.push((to, it.to_vec())));
        self.sent(sent);
        assert!(self.ours.poll_timeout().is_none_or(|at| at > self.now), "due for ever");
        if let Some(Handshake::Keyed(keys)) = self.peer.handle_timeout(self.now) {
            self.theirs_keyed = Some(keys);
        }
    }

    /// A datagram of the peer: as it is, spoilt, twice, late, from anywhere.
    fn deliver_to_us(&mut self, reader: &mut Reader<'_>) {
        let Some(datagram) = deliver(&mut self.to_us, reader) else { return };
        let from = if reader.one_in(8) { reader.number() % SOURCES } else { 0 };
        self.receive(from, &datagram);
    }

    fn deliver_to_peer(&mut self, reader: &mut Reader<'_>) {
        let Some(datagram) = deliver(&mut self.to_peer, reader) else { return };
        if let Some(Handshake::Keyed(keys)) = self.peer.handle(self.now, &datagram) {
            self.theirs_keyed = Some(keys);
        }
    }

    fn receive(&mut self, from: u16, datagram: &[u8]) {
        let mut sent = Vec::new();
        let fits = from == 0;
        self.ours.handle(self.now, source(from), fits, datagram, |to, it| {
            sent.push((to, it.to_vec()));
        });
        self.sent(sent);
    }

    /// Nobody gets anything who has not proved to be the peer, or is where the description has it.
    fn sent(&mut self, sent: Vec<(SocketAddr, Vec<u8>)>) {
        for (to, datagram) in sent {
            let number = to.port() - 1;
            let is_peer = if self.has_ice { self.proved.contains(&number) } else { number == 0 };
            assert!(is_peer, "{to} is a stranger");
            assert!((1..=DATAGRAM_MAX).contains(&datagram.len()), "{} bytes", datagram.len());
            if (20..=63).contains(&datagram[0]) && self.to_peer.len() < WAITING_MAX {
                self.to_peer.push(datagram);
            }
        }
    }

    fn collect(&mut self) {
        while let Some(datagram) = self.peer.poll_transmit() {
            if self.to_us.len() < WAITING_MAX {
                self.to_us.push(datagram.to_vec());
            }
        }
        while let Some(event) = self.ours.poll_event() {
            match event {
                Event::Keyed(keys) => {
                    assert!(self.is_announced, "keys with somebody else");
                    assert!(self.ours_keyed.is_none(), "keys twice");
                    self.ours_keyed = Some(keys);
                }
                Event::Selected(to) => assert!(self.ours.admits(to) == Some(true)),
                Event::ConsentLost => self.proved.clear(),
                Event::Failed(_) => {}
            }
        }
        for number in 0..SOURCES {
            let admitted = self.ours.admits(source(number));
            assert_eq!(admitted.is_some(), self.has_ice);
            assert!(admitted != Some(true) || self.proved.contains(&number), "a stranger");
        }
    }

    fn finish(self) {
        if let (Some(ours), Some(theirs)) = (self.ours_keyed, self.theirs_keyed) {
            assert_eq!((ours.profile, ours.send), (theirs.profile, theirs.receive));
            assert_eq!(ours.receive, theirs.send);
        }
    }
}

fn source(number: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], number + 1))
}

/// One of those on their way, most often the first, most often as it is, and most often gone then.
fn deliver(waiting: &mut Vec<Vec<u8>>, reader: &mut Reader<'_>) -> Option<Vec<u8>> {
    if waiting.is_empty() {
        return None;
    }
    let how = reader.byte();
    let at = if how & 0x30 == 0x30 { reader.below(waiting.len()) } else { 0 };
    let mut datagram = if how & 7 == 7 { waiting[at].clone() } else { waiting.remove(at) };
    if how & 0xc0 == 0xc0 {
        let at = reader.below(datagram.len());
        datagram[at] ^= reader.byte();
    }
    Some(datagram)
}
