//! Who may send how much, decided before anything is parsed (ATTACKS 18).
//!
//! A source is an IPv4 address or an IPv6 /64. Each has a token bucket; known sources (trunks,
//! registered phones) get a second, larger one once the first is empty, so that the common case is
//! one look-up.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use b2bua::config::Network;
use base::Time;
use dashmap::DashMap;

use crate::config::{AdmissionConfig, Rate};
use crate::stats::Stats;

/// Sources with a bucket of their own; when that many have sent lately, further ones share one.
const SOURCES_MAX: usize = 65_536;

/// How many times one source's rate those that share a bucket get together.
const SHARED_FACTOR: u32 = 10;

/// Banned sources at once; more are left to the core, which refuses them itself.
const BANS_MAX: usize = 65_536;

/// Addresses we sent requests to that are remembered; of more, answers are counted as anyone's.
const ASKED_MAX: usize = 65_536;

/// How long they are: beyond the longest ringing.
const ASKED_FOR: Duration = Duration::from_secs(600);

/// Registered addresses remembered; more are treated as unknown.
const KNOWN_MAX: usize = 262_144;

/// What counts as one source.
pub(crate) fn source_of(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
    }
}

/// Sources that deserve a larger share: trunks by network, registered phones by address.
#[derive(Debug, Default)]
pub struct KnownSources {
    networks: Vec<Network>,
    addresses: DashMap<IpAddr, u32>,
}

impl KnownSources {
    /// Knows the trunks' networks. These are never banned either: else forged datagrams could have
    /// a trunk shut out.
    pub fn new(networks: Vec<Network>) -> Self {
        Self { networks, addresses: DashMap::new() }
    }

    /// Counts one more registered contact at an address.
    pub fn add(&self, ip: IpAddr) {
        let source = source_of(ip);
        if self.addresses.len() < KNOWN_MAX || self.addresses.contains_key(&source) {
            *self.addresses.entry(source).or_insert(0) += 1;
        }
    }

    /// Counts one less; undoes one [`Self::add`].
    pub fn remove(&self, ip: IpAddr) {
        self.addresses.remove_if_mut(&source_of(ip), |_, contacts| {
            *contacts = contacts.saturating_sub(1);
            *contacts == 0
        });
    }

    /// Whether the address is a trunk's or a registered phone's.
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.is_trunk(ip) || self.addresses.contains_key(&source_of(ip))
    }

    fn is_trunk(&self, ip: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(ip))
    }
}

/// Sources the core has banned.
#[derive(Debug, Default)]
pub struct Bans {
    until: DashMap<IpAddr, Time>,
    // Spares the look-up while nobody is banned.
    count: AtomicUsize,
    // When ended bans were last thrown out, nanoseconds.
    swept: AtomicU64,
}

impl Bans {
    /// Refuses a source until then.
    pub fn add(&self, ip: IpAddr, until: Time, now: Time) {
        if self.count.load(Ordering::Relaxed) >= BANS_MAX {
            self.sweep(now);
        }
        if self.count.load(Ordering::Relaxed) < BANS_MAX
            && self.until.insert(source_of(ip), until).is_none()
        {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Throws out what has ended; at most once a second, for it costs.
    fn sweep(&self, now: Time) {
        let swept = Time::from_nanos(self.swept.load(Ordering::Relaxed));
        if (now - swept).as_secs() >= 1 {
            self.swept.store(now.as_nanos(), Ordering::Relaxed);
            self.until.retain(|_, until| *until > now);
            self.count.store(self.until.len(), Ordering::Relaxed);
        }
    }

    /// Whether a source is refused now.
    pub fn contains(&self, ip: IpAddr, now: Time) -> bool {
        if self.count.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let source = source_of(ip);
        let Some(until) = self.until.get(&source).map(|until| *until) else { return false };
        if until <= now && self.until.remove_if(&source, |_, until| *until <= now).is_some() {
            self.count.store(self.until.len(), Ordering::Relaxed);
        }
        until > now
    }
}

/// What both threads know of sources.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    pub(crate) known: Arc<KnownSources>,
    pub(crate) bans: Arc<Bans>,
}

impl Sources {
    pub(crate) fn is_banned(&self, ip: IpAddr, now: Time) -> bool {
        self.bans.contains(ip, now) && !self.known.is_trunk(ip)
    }
}

/// Decides datagram by datagram.
#[derive(Debug)]
pub(crate) struct Admission {
    sources: Sources,
    unknown: Buckets,
    known: Buckets,
    /// When we last sent a request there: a trunk named by its host only answers from there.
    asked: HashMap<IpAddr, Time>,
    asked_swept: Time,
    stats: Arc<Stats>,
}

impl Admission {
    pub(crate) fn new(config: &AdmissionConfig, sources: Sources, stats: Arc<Stats>) -> Self {
        let (unknown, known) = (Buckets::new(config.unknown), Buckets::new(config.known));
        Self { sources, unknown, known, asked: HashMap::new(), asked_swept: Time::ZERO, stats }
    }

    /// Whether a message of this source may be looked at.
    pub(crate) fn admit(&mut self, ip: IpAddr, now: Time) -> bool {
        if self.sources.is_banned(ip, now) {
            self.stats.refused_banned.one();
            return false;
        }
        let source = source_of(ip);
        let admitted =
            self.unknown.take(source, now) || (self.is_known(ip) && self.known.take(source, now));
        if !admitted {
            self.stats.refused_rate.one();
        }
        admitted
    }

    /// Whether it is a trunk, a registered phone, or someone whose answer we wait for.
    pub(crate) fn is_known(&self, ip: IpAddr) -> bool {
        self.sources.known.contains(ip) || self.asked.contains_key(&source_of(ip))
    }

    /// A request was sent there: answers will come. The core sends requests only on behalf of
    /// authenticated users and trunks.
    pub(crate) fn ask(&mut self, ip: IpAddr, now: Time) {
        let source = source_of(ip);
        if let Some(asked) = self.asked.get_mut(&source) {
            *asked = now;
            return;
        }
        if self.asked.len() >= ASKED_MAX && (now - self.asked_swept).as_secs() >= 1 {
            self.asked_swept = now;
            self.asked.retain(|_, asked| now - *asked < ASKED_FOR);
        }
        if self.asked.len() < ASKED_MAX {
            self.asked.insert(source, now);
        }
    }
}

/// A token bucket in one number: the time at which it will be full again (the "theoretical arrival
/// time" of the generic cell rate algorithm, ITU-T I.371).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bucket {
    full_at: u64,
}

impl Bucket {
    /// Takes a token, if there is one.
    pub(crate) fn take(&mut self, rate: Rate, now: Time) -> bool {
        self.wait(rate, now) == 0
    }

    /// Takes a token if there is one; else says in how many nanoseconds there will be.
    pub(crate) fn wait(&mut self, rate: Rate, now: Time) -> u64 {
        let each = 1_000_000_000_u64.checked_div(rate.per_second.into()).unwrap_or(u64::MAX / 4);
        let depth = each.saturating_mul(rate.burst.max(1).into());
        let full_at = self.full_at.max(now.as_nanos()).saturating_add(each);
        let latest = now.as_nanos().saturating_add(depth);
        if full_at <= latest {
            self.full_at = full_at;
        }
        full_at.saturating_sub(latest)
    }
}

#[derive(Debug)]
struct Buckets {
    rate: Rate,
    by_source: HashMap<IpAddr, Bucket>,
    shared: Bucket,
    swept: Time,
}

impl Buckets {
    fn new(rate: Rate) -> Self {
        let (by_source, shared) = (HashMap::new(), Bucket::default());
        Self { rate, by_source, shared, swept: Time::ZERO }
    }

    fn take(&mut self, source: IpAddr, now: Time) -> bool {
        if let Some(bucket) = self.by_source.get_mut(&source) {
            return bucket.take(self.rate, now);
        }
        if self.by_source.len() >= SOURCES_MAX {
            self.sweep(now);
        }
        if self.by_source.len() >= SOURCES_MAX {
            let Rate { per_second, burst } = self.rate;
            let all = Rate {
                per_second: per_second.saturating_mul(SHARED_FACTOR),
                burst: burst.saturating_mul(SHARED_FACTOR),
            };
            return self.shared.take(all, now);
        }
        self.by_source.entry(source).or_default().take(self.rate, now)
    }

    /// Forgets full buckets: they are as good as none. At most once a second, for it costs.
    fn sweep(&mut self, now: Time) {
        if (now - self.swept).as_secs() >= 1 {
            self.swept = now;
            self.by_source.retain(|_, bucket| bucket.full_at > now.as_nanos());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Time {
        Time::ZERO + Duration::from_millis(ms)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn admission(networks: Vec<Network>) -> (Admission, Sources) {
        let known = Arc::new(KnownSources::new(networks));
        let sources = Sources { known, bans: Arc::default() };
        let config = AdmissionConfig {
            unknown: Rate { per_second: 10, burst: 5 },
            known: Rate { per_second: 100, burst: 50 },
        };
        (Admission::new(&config, sources.clone(), Arc::default()), sources)
    }

    fn admitted(admission: &mut Admission, source: &str, now: Time) -> usize {
        (0..1000).filter(|_| admission.admit(ip(source), now)).count()
    }

    #[test]
    fn a_source_gets_its_burst_then_its_rate() {
        let (mut admission, _) = admission(vec![]);
        let counts = [(0, 5), (100, 1), (100, 0), (350, 2), (60_000, 5)];
        for (ms, count) in counts {
            assert_eq!(admitted(&mut admission, "192.0.2.1", at(ms)), count, "at {ms} ms");
        }
        assert_eq!(admitted(&mut admission, "192.0.2.2", at(0)), 5, "another source has its own");
        assert_eq!(admission.stats.snapshot().refused_rate, 6000 - 18);
    }

    #[test]
    fn an_ipv6_network_is_one_source() {
        let (mut admission, _) = admission(vec![]);
        assert_eq!(admitted(&mut admission, "2001:db8::1", at(0)), 5);
        assert_eq!(admitted(&mut admission, "2001:db8::2:1", at(0)), 0);
        assert_eq!(admitted(&mut admission, "2001:db8:0:1::1", at(0)), 5);
        assert_eq!(source_of(ip("::ffff:192.0.2.1")), ip("192.0.2.1"));
    }

    #[test]
    fn known_sources_get_more_until_their_last_contact_goes() {
        let (mut admission, sources) = admission(vec![]);
        let phone = ip("192.0.2.7");
        sources.known.add(phone);
        sources.known.add(phone);
        sources.known.remove(phone);
        assert_eq!(admitted(&mut admission, "192.0.2.7", at(0)), 55);
        sources.known.remove(phone);
        assert_eq!(admitted(&mut admission, "192.0.2.7", at(1000)), 5);
        sources.known.remove(phone);
        assert!(!sources.known.contains(phone));
    }

    #[test]
    fn whom_we_asked_may_answer() {
        let (mut admission, _) = admission(vec![]);
        admission.ask(ip("192.0.2.8"), at(0));
        assert_eq!(admitted(&mut admission, "192.0.2.8", at(0)), 55);
        for n in 0..u32::try_from(ASKED_MAX).unwrap() {
            admission.ask(IpAddr::V4(n.into()), at(1));
        }
        assert_eq!(admission.asked.len(), ASKED_MAX);
        admission.ask(ip("203.0.113.1"), at(500_000));
        assert!(!admission.is_known(ip("203.0.113.1")), "no room");
        admission.ask(ip("203.0.113.1"), at(700_000));
        assert_eq!(admission.asked.len(), 1, "what is old is forgotten for what is new");
    }

    #[test]
    fn bans_end_and_never_hit_a_trunk() {
        let (mut admission, sources) =
            admission(vec![Network { address: ip("198.51.100.0"), prefix: 24 }]);
        for source in ["192.0.2.1", "198.51.100.9"] {
            sources.bans.add(ip(source), at(1000), at(0));
        }
        assert_eq!(admitted(&mut admission, "192.0.2.1", at(999)), 0);
        assert_eq!(admission.stats.snapshot().refused_banned, 1000);
        assert_eq!(admitted(&mut admission, "198.51.100.9", at(999)), 55);
        assert!(admission.admit(ip("192.0.2.1"), at(1000)));
    }

    #[test]
    fn all_tables_are_bounded() {
        let (mut admission, sources) = admission(vec![]);
        let mut admitted_late = 0;
        for n in 0..u32::try_from(SOURCES_MAX).unwrap() + 1000 {
            let ip = IpAddr::V4(n.into());
            let admitted = admission.admit(ip, at(0));
            admitted_late += usize::from(admitted && n as usize >= SOURCES_MAX);
            sources.bans.add(ip, at(5), at(0));
        }
        assert_eq!(admitted_late, 50, "those beyond share one bucket");
        assert_eq!(admission.unknown.by_source.len(), SOURCES_MAX);
        assert_eq!(sources.bans.until.len(), BANS_MAX);
        assert!(admission.admit(ip("203.0.113.1"), at(2000)), "full buckets are forgotten");
        assert!(admission.unknown.by_source.len() < 10);
    }
}
