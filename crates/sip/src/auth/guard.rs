//! Brute-force limits (ATTACKS 11): who may still have a password evaluated.
//!
//! Two counters of *evaluated and wrong* passwords. Per source address: at the limit the address
//! is banned for a while. Per account over all addresses: beyond the limit, guesses from addresses
//! that never succeeded for this account are admitted only now and then, so a distributed guess
//! crawls while the real user, whose address did succeed before, notices nothing.
//!
//! A wrong password counts only when it answered a nonce bound to the address, so a forged source
//! address cannot get its owner banned nor fill a table.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use base::{Time, Timers};
use compact_str::CompactString;
use serde::{Deserialize, Serialize};

/// Source addresses remembered; when full, the one to be forgotten next goes.
pub const ADDRESSES_MAX: usize = 16_384;
/// Accounts under attack remembered; when full, the one to be forgotten next goes.
pub const ACCOUNTS_MAX: usize = 16_384;
/// Accounts whose good addresses are remembered; when full, no further ones are.
pub const TRUSTED_ACCOUNTS_MAX: usize = 131_072;
/// Good addresses remembered per account, latest first: more than one account has phones.
pub const TRUSTED_ADDRESSES_MAX: usize = 8;
/// The largest useful [`GuardConfig::guesses_max`].
pub const GUESSES_MAX: u32 = 100;
/// So many refused passwords of an address within [`GuardConfig::window`] are no typing error any more.
const REPEATED: usize = 3;
/// A longer account name is cut to this many bytes for counting.
const NAME_LEN_MAX: usize = 64;

/// The limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardConfig {
    /// Wrong passwords per address within [`GuardConfig::window`]; the last of them bans.
    /// Used within 1 to [`GUESSES_MAX`].
    pub guesses_max: u32,
    /// The window they are counted in.
    pub window: Duration,
    /// How long a ban lasts.
    pub ban: Duration,
    /// Wrong passwords per account over all addresses, after which guesses are slowed.
    pub account_guesses_max: u32,
    /// Without a wrong password for this long, an account's counter is forgotten.
    pub account_memory: Duration,
    /// While slowed, one guess is admitted per this time.
    pub account_interval: Duration,
}

impl Default for GuardConfig {
    /// 10 in 30 s bans for 10 minutes; 20 per account slow to one in 5 s, forgotten after 5 minutes.
    fn default() -> Self {
        Self {
            guesses_max: 10,
            window: Duration::from_secs(30),
            ban: Duration::from_secs(600),
            account_guesses_max: 20,
            account_memory: Duration::from_secs(300),
            account_interval: Duration::from_secs(5),
        }
    }
}

/// An IPv4 address, or an IPv6 /64: a single subscriber has all of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Network(IpAddr);

impl Network {
    fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self(ip.into()),
            IpAddr::V6(ip) => {
                Self(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into())
            }
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Address {
    /// When the last wrong passwords came, oldest first; at most `guesses_max`.
    guesses: VecDeque<Time>,
    /// When passwords were last answered as wrong ones, evaluated or not; at most [`REPEATED`].
    #[serde(default)]
    refusals: VecDeque<Time>,
    banned_until: Option<Time>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Account {
    guesses: u32,
    last: Time,
}

/// What may be evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Evaluate it, then tell the outcome by [`Guard::failed`] or [`Guard::succeeded`].
    Evaluate,
    /// The account is being guessed at: answer as if the password were wrong.
    Slowed,
    /// The address is banned until then.
    Banned(Time),
}

/// The counters. All times are those of the owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guard {
    config: GuardConfig,
    addresses: BTreeMap<Network, Address>,
    address_end: Timers<Network>,
    accounts: BTreeMap<CompactString, (u64, Account)>,
    account_names: BTreeMap<u64, CompactString>,
    account_end: Timers<u64>,
    next_account: u64,
    trusted: BTreeMap<CompactString, VecDeque<Network>>,
}

impl Guard {
    /// With nothing counted yet.
    pub fn new(config: GuardConfig) -> Self {
        Self {
            config: GuardConfig { guesses_max: config.guesses_max.clamp(1, GUESSES_MAX), ..config },
            addresses: BTreeMap::new(),
            address_end: Timers::default(),
            accounts: BTreeMap::new(),
            account_names: BTreeMap::new(),
            account_end: Timers::default(),
            next_account: 0,
            trusted: BTreeMap::new(),
        }
    }

    /// Until when an address is banned; cheap enough to ask for every datagram.
    pub fn banned_until(&self, now: Time, ip: IpAddr) -> Option<Time> {
        if self.addresses.is_empty() {
            return None;
        }
        self.addresses.get(&Network::of(ip))?.banned_until.filter(|&until| until > now)
    }

    /// Banned addresses (of IPv6 the /64) and until when.
    pub fn bans(&self, now: Time) -> impl Iterator<Item = (IpAddr, Time)> {
        self.addresses.iter().filter_map(move |(network, address)| {
            Some((network.0, address.banned_until.filter(|&until| until > now)?))
        })
    }

    /// Whether a password for `user` from `ip` may be evaluated now.
    pub fn admit(&self, now: Time, ip: IpAddr, user: &str) -> Admission {
        let network = Network::of(ip);
        if let Some(until) = self.banned_until(now, ip) {
            return Admission::Banned(until);
        }
        let user = cut(user);
        let slowed = self.accounts.get(user).is_some_and(|(_, account)| {
            account.guesses >= self.config.account_guesses_max
                && now - account.last < self.config.account_interval
        });
        if slowed && !self.trusted.get(user).is_some_and(|good| good.contains(&network)) {
            return Admission::Slowed;
        }
        Admission::Evaluate
    }

    /// A password was evaluated and wrong, or the user does not exist. Says until when the address
    /// is banned if that was its last guess.
    pub fn failed(&mut self, now: Time, ip: IpAddr, user: &str) -> Option<Time> {
        self.expire(now);
        let network = Network::of(ip);
        // A typing error at the user's own desk does not help to slow the account for others.
        if !self.trusted.get(cut(user)).is_some_and(|good| good.contains(&network)) {
            self.count_account(now, cut(user));
        }
        self.count_address(now, network)
    }

    /// A password is answered as a wrong one, evaluated or not: both count alike, so that nobody learns which
    /// it was. Whether the address goes on with it: a phone that is answered 403 asks its user, or waits
    /// (RFC 3261 §21.4.4), where one that is challenged again and again would try at once until it has all
    /// phones behind its NAT banned.
    pub fn refuse(&mut self, now: Time, ip: IpAddr) -> bool {
        self.expire(now);
        let (network, window) = (Network::of(ip), self.config.window);
        self.make_room_for(network);
        let address = self.addresses.entry(network).or_default();
        address.refusals.retain(|&at| now - at < window);
        address.refusals.push_back(now);
        let is_repeated = address.refusals.len() >= REPEATED;
        while address.refusals.len() > REPEATED {
            address.refusals.pop_front();
        }
        if address.banned_until.is_none() {
            self.address_end.arm(network, now + window);
        }
        is_repeated
    }

    /// A password was evaluated and right.
    pub fn succeeded(&mut self, ip: IpAddr, user: &str) {
        let network = Network::of(ip);
        let user = cut(user);
        let room = self.trusted.len() < TRUSTED_ACCOUNTS_MAX;
        match self.trusted.get_mut(user) {
            Some(good) if good.front() == Some(&network) => {}
            Some(good) => {
                good.retain(|&n| n != network);
                good.push_front(network);
                good.truncate(TRUSTED_ADDRESSES_MAX);
            }
            None if room => {
                self.trusted.insert(user.into(), VecDeque::from([network]));
            }
            None => {}
        }
    }

    /// Forgets what is over. Also done by every [`Guard::failed`].
    pub fn expire(&mut self, now: Time) {
        while let Some(network) = self.address_end.pop_due(now) {
            self.addresses.remove(&network);
        }
        while let Some(id) = self.account_end.pop_due(now) {
            self.forget_account(id);
        }
    }

    /// Forgets the address to be forgotten next, when another one would be one too many.
    fn make_room_for(&mut self, network: Network) {
        if self.addresses.len() >= ADDRESSES_MAX
            && !self.addresses.contains_key(&network)
            && let Some(evicted) = earliest(&mut self.address_end)
        {
            self.addresses.remove(&evicted);
        }
    }

    fn count_address(&mut self, now: Time, network: Network) -> Option<Time> {
        let window = self.config.window;
        self.make_room_for(network);
        let address = self.addresses.entry(network).or_default();
        while address.guesses.front().is_some_and(|&first| now - first >= window) {
            address.guesses.pop_front();
        }
        address.guesses.push_back(now);
        let end = if address.guesses.len() >= self.config.guesses_max as usize {
            address.guesses = VecDeque::new();
            address.banned_until = Some(now + self.config.ban);
            now + self.config.ban
        } else {
            now + window
        };
        self.address_end.arm(network, end);
        address.banned_until
    }

    fn count_account(&mut self, now: Time, user: &str) {
        let (id, account) = match self.accounts.get(user) {
            Some(&(id, account)) => {
                (id, Account { guesses: account.guesses.saturating_add(1), last: now })
            }
            None => (self.remember_account(user), Account { guesses: 1, last: now }),
        };
        self.accounts.insert(user.into(), (id, account));
        self.account_end.arm(id, now + self.config.account_memory);
    }

    fn remember_account(&mut self, user: &str) -> u64 {
        if self.accounts.len() >= ACCOUNTS_MAX
            && let Some(evicted) = earliest(&mut self.account_end)
        {
            self.forget_account(evicted);
        }
        self.next_account += 1;
        self.account_names.insert(self.next_account, user.into());
        self.next_account
    }

    fn forget_account(&mut self, id: u64) {
        if let Some(name) = self.account_names.remove(&id) {
            self.accounts.remove(&name);
        }
    }
}

fn earliest<K: Copy + Ord>(timers: &mut Timers<K>) -> Option<K> {
    timers.next().and_then(|next| timers.pop_due(next))
}

fn cut(name: &str) -> &str {
    let mut end = name.len().min(NAME_LEN_MAX);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    &name[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(n: u32) -> IpAddr {
        std::net::Ipv4Addr::from_bits(0x0a00_0000 + n).into()
    }

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    fn guard() -> Guard {
        Guard::new(GuardConfig::default())
    }

    #[test]
    fn what_is_slowed_is_refused_like_what_was_wrong() {
        let mut guard = guard();
        for slowed in [false, true] {
            let ip = ip(100 + u32::from(slowed));
            let mut refuse = |seconds: u64| {
                if !slowed {
                    guard.failed(at(seconds), ip, "1001");
                }
                guard.refuse(at(seconds), ip)
            };
            let told: Vec<_> = [0, 1, 2, 3, 60, 61, 62].map(&mut refuse).into();
            assert_eq!(told, [false, false, true, true, false, false, true], "{slowed}");
        }
    }

    #[test]
    fn the_tenth_wrong_password_in_thirty_seconds_bans_and_the_ban_ends() {
        let mut guard = guard();
        for i in 0..9 {
            assert_eq!(guard.admit(at(i), ip(1), "1001"), Admission::Evaluate);
            assert_eq!(guard.failed(at(i), ip(1), "1001"), None);
        }
        assert_eq!(guard.failed(at(9), ip(1), "1002"), Some(at(609)));
        assert_eq!(guard.admit(at(608), ip(1), "1003"), Admission::Banned(at(609)));
        assert_eq!(guard.bans(at(10)).collect::<Vec<_>>(), [(ip(1), at(609))]);
        assert_eq!(guard.admit(at(10), ip(2), "1003"), Admission::Evaluate);
        assert_eq!(guard.admit(at(609), ip(1), "1003"), Admission::Evaluate);
        assert_eq!(guard.bans(at(609)).count(), 0);
    }

    #[test]
    fn no_thirty_seconds_ever_hold_more_than_ten_evaluations() {
        // Any rhythm: a fixed window would let 18 through around its border.
        for step in [1, 2, 3, 4] {
            let mut guard = guard();
            let mut evaluated = Vec::new();
            for i in 0..600 {
                let now = at(29 + i * step / 2);
                if guard.admit(now, ip(1), &i.to_string()) == Admission::Evaluate {
                    guard.failed(now, ip(1), &i.to_string());
                    evaluated.push(now);
                }
            }
            for (i, &first) in evaluated.iter().enumerate() {
                let end = first + Duration::from_secs(30);
                let inside = evaluated[i..].iter().filter(|&&t| t < end).count();
                assert!(inside <= 10, "{inside} evaluations");
            }
        }
    }

    #[test]
    fn a_success_does_not_clear_the_counter_of_the_address() {
        let mut guard = guard();
        for i in 0..9 {
            guard.failed(at(i), ip(1), "1001");
            guard.succeeded(ip(1), "6666");
        }
        assert!(guard.failed(at(9), ip(1), "1001").is_some());
    }

    #[test]
    fn a_distributed_guess_crawls_and_the_real_user_does_not_notice() {
        let mut guard = guard();
        guard.succeeded(ip(9), "1001");
        let mut evaluated = 0;
        for i in 0..1200 {
            // 20 a second, each from a fresh address
            let now = Time::ZERO + Duration::from_millis(i * 50);
            if guard.admit(now, ip(100 + i as u32), "1001") == Admission::Evaluate {
                guard.failed(now, ip(100 + i as u32), "1001");
                evaluated += 1;
            }
            assert_eq!(guard.admit(now, ip(9), "1001"), Admission::Evaluate);
            assert_eq!(guard.admit(now, ip(9), "1002"), Admission::Evaluate);
        }
        assert!((20..=32).contains(&evaluated), "{evaluated}");
        assert_eq!(guard.admit(at(600), ip(8), "1001"), Admission::Evaluate);
        guard.expire(at(600));
        assert!(guard.accounts.is_empty() && guard.account_names.is_empty());
    }

    #[test]
    fn the_addresses_of_a_v6_subscriber_count_as_one() {
        let mut guard = guard();
        for i in 0..10u16 {
            guard.failed(at(0), Ipv6Addr::new(0x2001, 0xdb8, 0, 1, i, 0, 0, i).into(), "1001");
        }
        let same = IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 77, 0, 0, 1));
        let other = IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 0, 2, 0, 0, 0, 1));
        assert!(guard.banned_until(at(1), same).is_some());
        assert!(guard.banned_until(at(1), other).is_none());
        let mapped: IpAddr = "::ffff:10.0.0.5".parse().unwrap();
        for _ in 0..10 {
            guard.failed(at(0), mapped, "1001");
        }
        assert!(guard.banned_until(at(1), ip(5)).is_some());
    }

    #[test]
    fn every_table_is_bounded_and_empties() {
        let mut guard = guard();
        for i in 0..ADDRESSES_MAX as u32 + 500 {
            guard.failed(at(0), ip(i), &format!("{i}{}", "é".repeat(100)));
        }
        assert_eq!(guard.addresses.len(), ADDRESSES_MAX);
        assert_eq!(guard.accounts.len(), ACCOUNTS_MAX);
        assert_eq!(guard.account_names.len(), ACCOUNTS_MAX);
        for i in 0..10 {
            guard.succeeded(ip(i), "1001");
        }
        assert_eq!(guard.trusted["1001"].len(), TRUSTED_ADDRESSES_MAX);
        guard.expire(at(301));
        assert!(guard.addresses.is_empty() && guard.accounts.is_empty());
        assert!(guard.address_end.is_empty() && guard.account_end.is_empty());
    }

    #[test]
    fn a_ban_outlives_a_flood_of_single_guesses() {
        let mut guard = guard();
        for _ in 0..10 {
            guard.failed(at(0), ip(0), "1001");
        }
        for i in 1..ADDRESSES_MAX as u32 + 500 {
            guard.failed(at(1), ip(i), "1001");
        }
        assert!(guard.banned_until(at(2), ip(0)).is_some());
    }
}
