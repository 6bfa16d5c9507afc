//! ICE as a lite agent (RFC 8445 §2.5), and what is what on a shared port (RFC 7983).
//!
//! Knows the credentials of both sides and who has proved to hold them; knows no description and
//! sends nothing of its own: the peer checks, we answer. STUN messages are webrtc-rs'.
//!
//! ```text
//!           valid check, nominated            no check for 30 s
//!  Waiting ────────────────────────▶ Selected ──────────────────▶ Waiting, consent lost
//!                                     │   ▲ another one nominated, or
//!                                     └───┘ the selected one silent and another one checking
//! ```
//!
//! A check is valid when its user name begins with our fragment and its MESSAGE-INTEGRITY was made
//! with our password. Whatever else comes is dropped without an answer and leaves nothing behind.

use std::net::SocketAddr;
use std::time::Duration;

use base::{Redacted, Time};
use rtc_crypto::providers::RingCrypto;
use rtc_stun::attributes::{
    ATTR_ICE_CONTROLLED, ATTR_MESSAGE_INTEGRITY, ATTR_PRIORITY, ATTR_USE_CANDIDATE, ATTR_USERNAME,
    AttrType, RawAttribute,
};
use rtc_stun::error_code::{CODE_ROLE_CONFLICT, CODE_UNKNOWN_ATTRIBUTE};
use rtc_stun::fingerprint::FINGERPRINT;
use rtc_stun::integrity::MessageIntegrity;
use rtc_stun::message::{BINDING_ERROR, BINDING_REQUEST, BINDING_SUCCESS, Message, Setter};
use rtc_stun::uattrs::UnknownAttributes;
use rtc_stun::xoraddr::XorMappedAddress;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::rtp::DATAGRAM_MAX;

/// How long the peer's checks may stay away before nothing more may be sent (RFC 7675 §5.1).
pub const CONSENT: Duration = Duration::from_secs(30);
/// Most sources remembered that have proved themselves; the one longest silent goes first.
pub const SOURCES_MAX: usize = 8;

/// How long the selected source may be silent while another one checks. Full agents repeat their
/// checks every 5 s at most (RFC 7675 §5.1).
const SILENCE: Duration = Duration::from_secs(8);
const HEADER_LEN: usize = 20;
/// The most attributes a check has; those of browsers have eight.
const ATTRIBUTES_MAX: usize = 24;

/// What a datagram is, by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A STUN message.
    Stun,
    /// A DTLS record.
    Dtls,
    /// RTP, RTCP or both under SRTP; [`rtp::is_rtcp`](crate::rtp::is_rtcp) tells which.
    Rtp,
}

/// What a datagram is (RFC 7983 §7). `None` for ZRTP, TURN and nonsense.
pub const fn kind(datagram: &[u8]) -> Option<Kind> {
    match datagram.first() {
        Some(0..=3) => Some(Kind::Stun),
        Some(20..=63) => Some(Kind::Dtls),
        Some(128..=191) => Some(Kind::Rtp),
        Some(_) | None => None,
    }
}

/// Our user name fragment and password for one leg. The password does not print.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// The fragment.
    pub ufrag: Box<str>,
    /// The password.
    pub password: Redacted<Box<str>>,
}

/// What a check has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Media and DTLS go here from now on.
    Selected(SocketAddr),
    /// The peer has not checked for [`CONSENT`]: nothing more may be sent till it does.
    ConsentLost,
}

/// Why a datagram was dropped without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Ignored {
    /// No STUN binding request.
    #[error("no check")]
    NotACheck,
    /// Not for us, or not from the peer.
    #[error("not authentic")]
    Unauthenticated,
}

/// One leg's part in ICE.
#[derive(Debug)]
pub struct Ice {
    local: Credentials,
    /// Those before a restart, good till the new ones have nominated a pair (RFC 8445 §9).
    former: Option<Credentials>,
    /// The latest first.
    sources: Vec<(SocketAddr, Time)>,
    selected: Option<SocketAddr>,
    /// How many datagrams were dropped without an answer.
    ignored: u64,
}

impl Ice {
    /// Waits for checks.
    pub fn new(local: Credentials) -> Self {
        let sources = Vec::with_capacity(SOURCES_MAX);
        Self { local, former: None, sources, selected: None, ignored: 0 }
    }

    /// Goes on after a restart of the process: `selected` counts as if it had just checked.
    pub fn resume(now: Time, local: Credentials, selected: SocketAddr) -> Self {
        let mut ice = Self::new(local);
        ice.sources.push((selected, now));
        ice.selected = Some(selected);
        ice
    }

    /// Takes new credentials: an ICE restart, unless they are those in use. Media go on as they
    /// are till a check with the new ones nominates a pair.
    pub fn restart(&mut self, local: Credentials) {
        if local != self.local {
            self.former = Some(std::mem::replace(&mut self.local, local));
        }
    }

    /// Where to send. `None` before the first nomination and when consent is lost.
    pub const fn selected(&self) -> Option<SocketAddr> {
        self.selected
    }

    /// Whether this source has proved itself: what it sends may be looked at.
    pub fn is_valid(&self, from: SocketAddr) -> bool {
        self.sources.iter().any(|(source, _)| *source == from)
    }

    /// How many datagrams were dropped without an answer.
    pub const fn ignored(&self) -> u64 {
        self.ignored
    }

    /// Takes a datagram of [`Kind::Stun`]. With `Ok`, `reply` holds what to send back to `from`.
    ///
    /// # Errors
    /// See [`Ignored`]; there is nothing to send then.
    pub fn handle(
        &mut self,
        now: Time,
        from: SocketAddr,
        datagram: &[u8],
        reply: &mut Vec<u8>,
    ) -> Result<Option<Event>, Ignored> {
        reply.clear();
        let answered = self.check(datagram).and_then(|(check, by_former)| {
            let key = if by_former { self.former.as_ref() } else { Some(&self.local) };
            let key = key.ok_or(Ignored::Unauthenticated)?;
            let answer = answer(&check, from, key.password.reveal()).ok_or(Ignored::NotACheck)?;
            *reply = answer;
            Ok((check.refusal().is_none(), check.nominates, by_former))
        });
        match answered {
            Ok((true, nominates, by_former)) => Ok(self.accept(now, from, nominates, by_former)),
            Ok((false, ..)) => Ok(None),
            Err(ignored) => {
                self.ignored += 1;
                Err(ignored)
            }
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.selected.and_then(|_| self.sources.first()).map(|(_, checked)| *checked + CONSENT)
    }

    /// Ends the peer's consent when it is time.
    pub fn handle_timeout(&mut self, now: Time) -> Option<Event> {
        if self.poll_timeout().is_none_or(|at| now < at) {
            return None;
        }
        self.selected = None;
        self.sources.clear();
        Some(Event::ConsentLost)
    }

    /// The check in a datagram, and whether it was made with the former credentials.
    fn check(&self, datagram: &[u8]) -> Result<(Check, bool), Ignored> {
        let mut message = read(datagram).ok_or(Ignored::NotACheck)?;
        let name = message.get(ATTR_USERNAME).map_err(|_| Ignored::Unauthenticated)?;
        let is_for = |who: &Credentials| {
            name.strip_prefix(who.ufrag.as_bytes()).is_some_and(|rest| rest.starts_with(b":"))
        };
        let former = self.former.as_ref().filter(|former| is_for(former));
        let by_former = former.is_some();
        let who = former.or(Some(&self.local).filter(|local| is_for(local)));
        let password = who.ok_or(Ignored::Unauthenticated)?.password.reveal();
        MessageIntegrity::check(&mut message, password.as_bytes(), &RingCrypto)
            .map_err(|_| Ignored::Unauthenticated)?;
        Ok((Check::of(message), by_former))
    }

    fn accept(
        &mut self,
        now: Time,
        from: SocketAddr,
        nominates: bool,
        by_former: bool,
    ) -> Option<Event> {
        match self.sources.iter().position(|(source, _)| *source == from) {
            Some(place) => self.sources[..=place].rotate_right(1),
            None => {
                self.sources.truncate(SOURCES_MAX - 1);
                self.sources.insert(0, (from, now));
            }
        }
        self.sources[0].1 = now;
        if !by_former && nominates {
            self.former = None;
        }
        // RFC 8445 §8.1.1 lets the last nomination win. A peer that lost a path without nominating
        // another one is followed to where it checks.
        let silent = |to: SocketAddr| {
            let last = self.sources.iter().find(|(source, _)| *source == to);
            last.is_none_or(|(_, checked)| now - *checked > SILENCE)
        };
        let moves = nominates || self.selected.is_some_and(silent);
        if !moves || self.selected == Some(from) {
            return None;
        }
        self.selected = Some(from);
        Some(Event::Selected(from))
    }
}

/// An authenticated request. What follows MESSAGE-INTEGRITY is not covered by it, and not looked
/// at (RFC 8489 §14.5).
struct Check {
    message: Message,
    nominates: bool,
    /// It believes that we control.
    conflicts: bool,
    /// Attributes that we would have to understand.
    unknown: Vec<AttrType>,
}

enum Refusal {
    RoleConflict,
    Unknown,
}

impl Check {
    fn of(message: Message) -> Self {
        let covered: Vec<AttrType> = message
            .attributes
            .0
            .iter()
            .map(|attribute: &RawAttribute| attribute.typ)
            .take_while(|it| *it != ATTR_MESSAGE_INTEGRITY)
            .collect();
        let known = [ATTR_USERNAME, ATTR_PRIORITY, ATTR_USE_CANDIDATE];
        Self {
            message,
            nominates: covered.contains(&ATTR_USE_CANDIDATE),
            conflicts: covered.contains(&ATTR_ICE_CONTROLLED),
            unknown: covered
                .into_iter()
                .filter(|it| it.required() && !known.contains(it))
                .collect(),
        }
    }

    /// RFC 8489 §6.3.1, RFC 8445 §7.3.1.1. A lite agent is always the controlled one.
    fn refusal(&self) -> Option<Refusal> {
        match () {
            () if !self.unknown.is_empty() => Some(Refusal::Unknown),
            () if self.conflicts => Some(Refusal::RoleConflict),
            () => None,
        }
    }
}

/// A binding request with its FINGERPRINT (RFC 8445 §7.1.3: checks have one).
fn read(datagram: &[u8]) -> Option<Message> {
    let header: &[u8; HEADER_LEN] = datagram.first_chunk()?;
    let len = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let is_request = header[..2] == BINDING_REQUEST.value().to_be_bytes();
    if !is_request || len + HEADER_LEN != datagram.len() || datagram.len() > DATAGRAM_MAX {
        return None;
    }
    let mut message = Message::new();
    message.unmarshal_binary(datagram).ok()?;
    let fits = message.attributes.0.len() <= ATTRIBUTES_MAX;
    (fits && FINGERPRINT.check(&message).is_ok()).then_some(message)
}

/// RFC 8445 §7.3.1: where it came from, and that it was us.
fn answer(check: &Check, from: SocketAddr, password: &str) -> Option<Vec<u8>> {
    let mut setters: Vec<Box<dyn Setter + '_>> = Vec::with_capacity(6);
    match check.refusal() {
        None => setters.push(Box::new(BINDING_SUCCESS)),
        Some(_) => setters.push(Box::new(BINDING_ERROR)),
    }
    setters.push(Box::new(check.message.transaction_id));
    match check.refusal() {
        None => {
            let (ip, port) = (from.ip().to_canonical(), from.port());
            setters.push(Box::new(XorMappedAddress { ip, port }));
        }
        Some(Refusal::RoleConflict) => setters.push(Box::new(CODE_ROLE_CONFLICT)),
        Some(Refusal::Unknown) => {
            setters.push(Box::new(CODE_UNKNOWN_ATTRIBUTE));
            setters.push(Box::new(UnknownAttributes(check.unknown.clone())));
        }
    }
    let integrity =
        MessageIntegrity::new_short_term_integrity_with_provider(password.to_owned(), &RingCrypto);
    setters.push(Box::new(integrity));
    setters.push(Box::new(FINGERPRINT));
    let mut message = Message::new();
    message.build(&setters).ok()?;
    Some(message.raw)
}

#[cfg(test)]
mod tests;
