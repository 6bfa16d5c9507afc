//! DTLS-SRTP of one leg (RFC 5763, RFC 5764): the handshake makes the keys, and that is all.
//!
//! Knows our certificate and the fingerprints the peer's must have; knows no description, no
//! address and no packet of media. The handshake is webrtc-rs'; who may take part, how much of it
//! is taken, what is repeated and when it is given up is decided here: the library forgets its timer
//! when the peer repeats itself, and then both wait for ever. Its randomness is the operating system's: the
//! one thing in this crate that a recorded run does not repeat.
//!
//! ```text
//!           start (client),                        finished, peer known
//!  Waiting ──────────────────────────────▶ Handshaking ────────────────────▶ Keyed
//!     ▲        first hello (server)         │    │ 30 s, wrong peer, no profile
//!     └─────────────────────────────────────┘    └─────────────────────────▶ Over
//!            broken off, three times at most
//! ```
//!
//! Feed it only what came from where ICE says the peer is: a record of anybody else must not reach
//! it. [`Path`](crate::path::Path) sees to that.

mod identity;
mod records;

use std::collections::VecDeque;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::Time;
use bytes::BytesMut;
use rtc_dtls::cipher_suite::CipherSuiteId;
use rtc_dtls::config::{ClientAuthType, ConfigBuilder, HandshakeConfig};
use rtc_dtls::endpoint::{Endpoint, EndpointEvent};
use rtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc_dtls::state::State as Session;
use rtc_shared::TransportProtocol;
use rtc_shared::error::Error;
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use thiserror::Error as ThisError;

use records::Heard;

pub use identity::{BadKey, Fingerprint, Hash, Identity, Peer, Role};

use crate::rtp::DATAGRAM_MAX;
use crate::srtp::{KEY_LEN, Keying, MasterKey, Profile};

/// How long a handshake may take.
pub const LIMIT: Duration = Duration::from_secs(30);

/// When a flight is sent again. RFC 6347 §4.2.4.1 begins with a second, for paths that may be slow;
/// ours has just been checked by ICE.
const FLIGHT: Duration = Duration::from_millis(400);
/// How soon a flight is sent again because the peer repeats its own: some do so after 50 ms.
const SOON: Duration = Duration::from_millis(200);
/// How long the peer may still ask for our last flight again.
const LINGER: Duration = Duration::from_secs(60);
/// How often a handshake may be broken off.
const ATTEMPTS: u8 = 4;
/// Most datagrams ever taken. A handshake needs about six, and as many again with each loss.
const TAKEN_MAX: u16 = 256;
/// Most datagrams that wait to be sent, and of one flight, which has three or four.
const OUTGOING_MAX: usize = 32;
/// RFC 5764 §4.2.
const LABEL: &str = "EXTRACTOR-dtls_srtp";
/// The library tells peers apart by address; ours has one, wherever it is.
const PEER: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1));
const WRONG_PEER: &str = "the certificate is not the peer's";

/// What we offer and take: forward secrecy and authenticated encryption only, no null cipher, no
/// pre-shared key.
const SUITES: [CipherSuiteId; 4] = [
    CipherSuiteId::Tls_Ecdhe_Ecdsa_With_Aes_128_Gcm_Sha256,
    CipherSuiteId::Tls_Ecdhe_Ecdsa_With_ChaCha20_Poly1305_Sha256,
    CipherSuiteId::Tls_Ecdhe_Rsa_With_Aes_128_Gcm_Sha256,
    CipherSuiteId::Tls_Ecdhe_Rsa_With_ChaCha20_Poly1305_Sha256,
];

/// What a handshake came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// These are the keys.
    Keyed(Keying),
    /// There will be none.
    Failed(Failure),
}

/// Why there are no keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ThisError)]
pub enum Failure {
    /// Not finished in [`LIMIT`].
    #[error("the handshake took too long")]
    TimedOut,
    /// Broken off, again and again: nothing in common, or no certificate.
    #[error("the handshake was broken off")]
    BrokenOff,
    /// Its certificate is not the one the description has announced.
    #[error("the certificate is not the peer's")]
    NotThePeer,
    /// It does not speak of SRTP, or of no profile of ours.
    #[error("no SRTP profile in common")]
    NoProfile,
}

/// One leg's association.
pub struct Dtls {
    identity: Arc<Identity>,
    peer: Peer,
    state: State,
    /// When the handshake is given up; from its beginning on.
    until: Option<Time>,
    attempts: u8,
    taken: u16,
    /// Our last flight: as it was, what got lost of it is as good as new.
    flight: Vec<BytesMut>,
    sent: Time,
    /// The highest number of the peer's messages, and the random of its hello.
    sequence: Option<u16>,
    random: Option<[u8; 32]>,
    outgoing: VecDeque<BytesMut>,
}

enum State {
    Waiting,
    Handshaking(Box<Endpoint>),
    Keyed,
    Over,
}

impl Dtls {
    /// Waits: a client to be [started](Self::start), a server for the peer.
    pub fn new(identity: Arc<Identity>, peer: Peer) -> Self {
        Self {
            identity,
            peer,
            state: State::Waiting,
            until: None,
            attempts: 0,
            taken: 0,
            flight: Vec::new(),
            sent: Time::ZERO,
            sequence: None,
            random: None,
            outgoing: VecDeque::new(),
        }
    }

    /// An association that has made its keys in a former process.
    pub fn resume(identity: Arc<Identity>, peer: Peer) -> Self {
        Self { state: State::Keyed, ..Self::new(identity, peer) }
    }

    /// Whether it has made its keys.
    pub const fn is_keyed(&self) -> bool {
        matches!(self.state, State::Keyed)
    }

    /// What was agreed on for it: with the same it goes on, with another a new one is needed.
    pub const fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Opens it, as a client that has not yet: when ICE has selected where to. A server waits.
    pub fn start(&mut self, now: Time) -> Option<Event> {
        match (&self.state, self.peer.role) {
            (State::Waiting, Role::Client) => self.begin(now),
            (State::Waiting, Role::Server) => None,
            (State::Handshaking(_) | State::Keyed | State::Over, _) => None,
        }
    }

    /// Takes a datagram of the peer.
    pub fn handle(&mut self, now: Time, datagram: &[u8]) -> Option<Event> {
        let heard = Some(datagram).filter(|it| it.len() <= DATAGRAM_MAX).and_then(records::read)?;
        if self.taken == TAKEN_MAX {
            return None;
        }
        self.taken += 1;
        if self.is_opened_by(&heard) {
            self.random = heard.random;
            if let Some(failed) = self.begin(now) {
                return Some(failed);
            }
        }
        match self.state {
            State::Handshaking(_) => self.read(now, datagram, &heard),
            State::Keyed => {
                // Whoever still shakes hands has not got our last flight.
                self.repeat(now, heard.is_handshake && now - self.sent >= SOON);
                None
            }
            State::Waiting | State::Over => None,
        }
    }

    /// The next datagram to send to where ICE says.
    pub fn poll_transmit(&mut self) -> Option<BytesMut> {
        self.outgoing.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    pub fn poll_timeout(&self) -> Option<Time> {
        match self.state {
            State::Handshaking(_) if self.flight.is_empty() => self.until,
            State::Handshaking(_) => self.until.map(|until| until.min(self.sent + FLIGHT)),
            State::Keyed if self.flight.is_empty() => None,
            State::Keyed | State::Waiting => self.until,
            State::Over => None,
        }
    }

    /// Sends a flight again, or gives up.
    pub fn handle_timeout(&mut self, now: Time) -> Option<Event> {
        if self.poll_timeout().is_none_or(|at| now < at) {
            return None;
        }
        let over = self.until.is_some_and(|until| until <= now);
        match self.state {
            State::Handshaking(_) | State::Waiting if over => Some(self.fail(Failure::TimedOut)),
            State::Handshaking(_) => {
                self.repeat(now, true);
                None
            }
            State::Keyed => {
                self.flight.clear();
                None
            }
            State::Waiting | State::Over => None,
        }
    }

    /// Whether a datagram begins a handshake with us as the server: the first one, or another one
    /// of a peer that has given the former up. With keys made it would be somebody else.
    fn is_opened_by(&self, heard: &Heard) -> bool {
        let is_server = self.peer.role == Role::Server;
        match self.state {
            State::Waiting => is_server && heard.opens,
            State::Handshaking(_) => {
                is_server && heard.random.is_some() && heard.random != self.random
            }
            State::Keyed | State::Over => false,
        }
    }

    fn begin(&mut self, now: Time) -> Option<Event> {
        let is_client = self.peer.role == Role::Client;
        let Ok(config) = config(&self.identity, &self.peer) else {
            return Some(self.fail(Failure::BrokenOff));
        };
        self.until.get_or_insert(now + LIMIT);
        (self.sequence, self.flight) = (None, Vec::new());
        let instant = self.instant(now);
        let config = Arc::new(config);
        let server = (!is_client).then(|| config.clone());
        let mut endpoint = Box::new(Endpoint::new(PEER, TransportProtocol::UDP, server));
        let opened = match is_client {
            true => endpoint.connect(instant, PEER, config, None),
            false => Ok(()),
        };
        self.state = State::Handshaking(endpoint);
        self.collect(now);
        opened.is_err().then(|| self.fail(Failure::BrokenOff))
    }

    fn read(&mut self, now: Time, datagram: &[u8], heard: &Heard) -> Option<Event> {
        let instant = self.instant(now);
        let State::Handshaking(endpoint) = &mut self.state else { return None };
        let read = endpoint.read(instant, PEER, None, datagram.into());
        let answered = self.collect(now);
        let repeats = heard.sequence.is_some() && heard.sequence <= self.sequence;
        self.sequence = self.sequence.max(heard.sequence);
        let is = |wanted: fn(&EndpointEvent) -> bool| read.iter().flatten().any(wanted);
        match &read {
            Err(Error::Other(text)) if text == WRONG_PEER => Some(self.fail(Failure::NotThePeer)),
            Err(_) => self.break_off(now),
            Ok(_) if is(|it| matches!(it, EndpointEvent::HandshakeComplete)) => {
                Some(self.finish(now))
            }
            Ok(_) if is(|it| matches!(it, EndpointEvent::PeerClosed)) => self.break_off(now),
            Ok(_) => {
                self.repeat(now, repeats && !answered && now - self.sent >= SOON);
                None
            }
        }
    }

    /// A handshake that went wrong may have been disturbed: it begins anew.
    fn break_off(&mut self, now: Time) -> Option<Event> {
        self.attempts += 1;
        if self.attempts == ATTEMPTS {
            return Some(self.fail(Failure::BrokenOff));
        }
        self.state = State::Waiting;
        self.start(now)
    }

    fn finish(&mut self, now: Time) -> Event {
        let State::Handshaking(endpoint) = std::mem::replace(&mut self.state, State::Over) else {
            return self.fail(Failure::BrokenOff);
        };
        match endpoint.get_connection_state(PEER).map(|session| keying(session, &self.peer)) {
            Some(Ok(keying)) => {
                self.state = State::Keyed;
                self.until = Some(now + LINGER);
                Event::Keyed(keying)
            }
            Some(Err(failure)) => self.fail(failure),
            None => self.fail(Failure::BrokenOff),
        }
    }

    fn fail(&mut self, failure: Failure) -> Event {
        self.state = State::Over;
        Event::Failed(failure)
    }

    /// Takes over what the library wants sent; whether that was anything. It is our last flight
    /// then, until the next one.
    fn collect(&mut self, now: Time) -> bool {
        let State::Handshaking(endpoint) = &mut self.state else { return false };
        let next = std::iter::from_fn(|| endpoint.poll_transmit()).map(|it| it.message);
        let flight: Vec<_> = next.take(OUTGOING_MAX).collect();
        if flight.is_empty() {
            return false;
        }
        self.flight = flight;
        self.repeat(now, true);
        true
    }

    fn repeat(&mut self, now: Time, wanted: bool) {
        if wanted {
            self.sent = now;
            // What nobody has fetched yet is not wanted twice.
            self.outgoing.clear();
            self.outgoing.extend(self.flight.iter().cloned());
        }
    }

    fn instant(&self, now: Time) -> Instant {
        self.identity.epoch + Duration::from_nanos(now.as_nanos())
    }
}

impl fmt::Debug for Dtls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Waiting => "waiting",
            State::Handshaking(_) => "handshaking",
            State::Keyed => "keyed",
            State::Over => "over",
        };
        f.debug_struct("Dtls")
            .field("peer", &self.peer)
            .field("state", &state)
            .finish_non_exhaustive()
    }
}

/// Both sides show a certificate, and the peer's is checked against its fingerprint as soon as it
/// has proved to hold the key.
fn config(identity: &Identity, peer: &Peer) -> Result<HandshakeConfig, Error> {
    let (is_client, peer) = (peer.role == Role::Client, peer.clone());
    let verify = move |chain: &[Vec<u8>], _: &[CertificateDer<'static>]| match chain.first() {
        Some(certificate) if peer.has(certificate) => Ok(()),
        Some(_) | None => Err(Error::Other(WRONG_PEER.to_owned())),
    };
    ConfigBuilder::default()
        .with_crypto_provider(identity.provider.clone())
        .with_certificates(vec![identity.certificate.clone()])
        .with_cipher_suites(SUITES.to_vec())
        .with_srtp_protection_profiles(Profile::ALL.map(profile_of).to_vec())
        .with_client_auth(ClientAuthType::RequireAnyClientCert)
        // No authority stands behind these certificates: the fingerprint does.
        .with_insecure_skip_verify(true)
        .with_verify_peer_certificate(Some(Arc::new(verify)))
        .build(is_client, Some(PEER))
}

const fn profile_of(profile: Profile) -> SrtpProtectionProfile {
    match profile {
        Profile::AesCm128HmacSha1_80 => SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
        Profile::AesCm128HmacSha1_32 => SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_32,
        Profile::AeadAes128Gcm => SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
    }
}

/// RFC 5764 §4.2: both keys, then both salts, the client's first.
fn keying(session: &Session, peer: &Peer) -> Result<Keying, Failure> {
    if !session.peer_certificates.first().is_some_and(|certificate| peer.has(certificate)) {
        return Err(Failure::NotThePeer);
    }
    let agreed = session.srtp_protection_profile();
    let profile = Profile::ALL.into_iter().find(|profile| profile_of(*profile) == agreed);
    let profile = profile.ok_or(Failure::NoProfile)?;
    let material = session.export_keying_material(LABEL, &[], 2 * profile.key_and_salt_len());
    let material = material.map_err(|_| Failure::BrokenOff)?;
    let (keys, salts) = material.as_ref().split_at(2 * KEY_LEN);
    let of = |which: usize| {
        let key = &keys[which * KEY_LEN..][..KEY_LEN];
        let salt = &salts[which * profile.salt_len()..][..profile.salt_len()];
        MasterKey::from_parts(profile, key, salt).ok_or(Failure::BrokenOff)
    };
    let (client, server) = (of(0)?, of(1)?);
    Ok(match peer.role {
        Role::Client => Keying { profile, send: client, receive: server },
        Role::Server => Keying { profile, send: server, receive: client },
    })
}

#[cfg(test)]
pub(crate) mod tests;
