//! How a leg's media are protected: what we ask for, what the peer asks for, what both agree on.
//!
//! ```text
//!  policy     we offer                       we answer
//!  Plain      RTP/AVP                        RTP/AVP(F)
//!  Sdes opt.  RTP/AVP, crypto (RFC 8643)     RTP/SAVP(F) and RTP/AVP(F) with crypto, RTP/AVP(F) as it is
//!  Sdes req.  RTP/SAVP, crypto               RTP/SAVP(F) and RTP/AVP(F) with crypto
//!  Dtls       UDP/TLS/RTP/SAVPF              UDP/TLS/RTP/SAVP(F), RTP/SAVP(F) with a fingerprint
//! ```
//! Whoever asks for SRTP by the transport profile gets it or is refused: never the plain form.

use std::fmt;

use base::{Redacted, Rng};
use serde::{Deserialize, Serialize};

use crate::dtls::{DtlsPeer, DtlsRole, Fingerprint, Setup, fingerprints_of};
use crate::ice::{IceAgreed, IceCredentials, RemoteIce};
use crate::sdes::{Crypto, Suite, crypto_of};
use crate::session::{Attribute, Media, MediaKind, Protocol, Session};
use crate::{LocalAudio, RemoteAudio, StreamError};

/// Which protection a leg offers and takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Policy {
    /// RTP in the clear.
    #[default]
    Plain,
    /// SRTP with keys in the description: for legs whose signalling is encrypted.
    Sdes {
        /// Whether to refuse a peer that does not.
        required: bool,
        /// What we offer, the preferred first, and take.
        suites: Vec<Suite>,
        /// Whether our lines say how long a key lives (`|2^31`).
        lifetime: bool,
    },
    /// SRTP with keys by DTLS.
    Dtls {
        /// Of our certificate.
        fingerprint: Fingerprint,
    },
}

/// A leg's policy, and the source of its keys and passwords.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Security {
    policy: Policy,
    ice: bool,
    rng: Rng,
}

/// What a peer says of protection for one stream, as far as we could use it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteSecurity {
    /// Its keys, in its order, at most [`MAX_CRYPTO`](crate::MAX_CRYPTO).
    pub crypto: Vec<Crypto>,
    /// Whether it told any keys, be they of no use to us.
    #[serde(default)]
    pub tells_keys: bool,
    /// Its certificate's fingerprints, at most [`MAX_FINGERPRINTS`](crate::MAX_FINGERPRINTS).
    pub fingerprints: Vec<Fingerprint>,
    /// Whether it would open the DTLS association.
    pub setup: Option<Setup>,
    /// Its part of ICE.
    pub ice: Option<RemoteIce>,
    /// `a=mid` (RFC 5888), at most 32 characters.
    pub mid: Option<Box<str>>,
    /// Whether it is in a BUNDLE group (RFC 9143).
    pub bundled: bool,
}

/// What both agreed on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protection {
    /// RTP in the clear.
    #[default]
    Plain,
    /// SRTP with these keys, which do not print. An equal key is the same crypto context, with its
    /// roll-over counter; another one a new context (RFC 4568 §7.1.4).
    Sdes {
        /// The suite of both.
        suite: Suite,
        /// What we protect with: master key and salt.
        ours: Redacted<Box<[u8]>>,
        /// What they protect with: master key and salt.
        theirs: Redacted<Box<[u8]>>,
    },
    /// SRTP with keys by DTLS.
    Dtls(DtlsPeer),
}

/// Which protection an offer asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Asked {
    /// None.
    Plain,
    /// SDES, if we can: it offers keys, but in a plain profile (RFC 8643).
    SdesIfPossible,
    /// SDES.
    Sdes,
    /// DTLS.
    Dtls,
}

/// What the transport of our stream is to be in one description.
#[derive(Debug)]
pub(crate) struct Transport {
    pub(crate) protocol: Protocol,
    pub(crate) rtcp_mux: bool,
    /// Lines of the stream.
    pub(crate) attributes: Vec<Attribute>,
    /// Lines above the streams.
    pub(crate) session: Vec<Attribute>,
}

/// The exchange before the one that is being made: both descriptions, and ours again as its
/// session. What was said in it is kept where nothing has moved.
#[derive(Clone, Copy)]
pub(crate) struct Former<'a> {
    pub(crate) session: &'a Session,
    pub(crate) ours: &'a Media,
    pub(crate) remote: &'a RemoteAudio,
    pub(crate) offered_by_us: bool,
}

impl Security {
    /// RTP in the clear, without ICE.
    pub fn plain() -> Self {
        Self::new(Policy::Plain, false, [0; 32])
    }

    /// This policy, and whether to take part in ICE as a lite agent (RFC 8445 §2.5) where the peer
    /// does. Keys, user names and passwords of this leg come from `seed` alone: it must be from
    /// the core's generator, and of no other leg.
    pub fn new(policy: Policy, ice: bool, seed: [u8; 32]) -> Self {
        Self { policy, ice, rng: Rng::new(seed) }
    }

    /// Whether an exchange that came to RTP in the clear would have come to keys, had both known the
    /// same (RFC 8643): one of us offered them, and we would have taken them.
    pub(crate) fn is_downgraded(&self, former: Former<'_>) -> bool {
        let offered = match former.offered_by_us {
            true => former.ours.attribute("crypto").is_some(),
            false => former.remote.security.tells_keys,
        };
        matches!(self.policy, Policy::Sdes { .. }) && offered && former.is_plain()
    }

    /// The policy.
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// How a stream of an offer would be protected.
    ///
    /// # Errors
    /// [`StreamError::Protocol`] for a profile that is not ours to take, [`StreamError::Insecure`]
    /// for a plain one where protection is required, [`StreamError::NoKey`] for a protected one
    /// without a key we can use.
    pub(crate) fn check_offer(
        &self,
        remote: &RemoteAudio,
        former: Option<Former<'_>>,
    ) -> Result<(), StreamError> {
        let security = &remote.security;
        // What was protected once stays so, whoever asks.
        if remote.protocol.is_plain_rtp()
            && security.crypto.is_empty()
            && former.is_some_and(|former| !former.is_plain())
        {
            return Err(StreamError::Insecure);
        }
        match &self.policy {
            Policy::Plain if remote.protocol.is_plain_rtp() => Ok(()),
            Policy::Plain => Err(StreamError::Protocol),
            Policy::Sdes { required, suites, .. } => {
                let has_key = security.usable(suites).next().is_some();
                match remote.protocol {
                    Protocol::RtpAvp | Protocol::RtpAvpf if has_key || !required => Ok(()),
                    Protocol::RtpAvp | Protocol::RtpAvpf => Err(StreamError::Insecure),
                    Protocol::RtpSavp | Protocol::RtpSavpf if has_key => Ok(()),
                    Protocol::RtpSavp | Protocol::RtpSavpf => Err(StreamError::NoKey),
                    Protocol::UdpTlsRtpSavp | Protocol::UdpTlsRtpSavpf | Protocol::Other(_) => {
                        Err(StreamError::Protocol)
                    }
                }
            }
            Policy::Dtls { .. } if remote.protocol.is_plain_rtp() => Err(StreamError::Insecure),
            Policy::Dtls { .. } if !remote.protocol.is_secure_rtp() => Err(StreamError::Protocol),
            Policy::Dtls { .. } if security.fingerprints.is_empty() => Err(StreamError::NoKey),
            Policy::Dtls { .. } => Ok(()),
        }
    }

    /// The transport of our answer to an offer that has passed [`check_offer`](Self::check_offer).
    pub(crate) fn answer(
        &mut self,
        local: &LocalAudio,
        remote: &RemoteAudio,
        former: Option<Former<'_>>,
    ) -> Transport {
        let asked = &remote.security;
        // RFC 5761 §5.1.1: only when offered.
        let rtcp_mux = remote.rtcp_mux && (local.rtcp_mux || self.is_dtls());
        let unmoved = former.filter(|former| former.is_at(local));
        let mut transport = Transport::new(remote.protocol.clone(), rtcp_mux);
        match &self.policy {
            Policy::Plain => {}
            Policy::Sdes { suites, lifetime, .. } => {
                let (suites, lifetime) = (suites.clone(), *lifetime);
                if let Some(crypto) = self.answered_key(asked, &suites, unmoved) {
                    transport.attributes.push(crypto.attribute(lifetime));
                }
            }
            Policy::Dtls { fingerprint } => {
                let role = former.and_then(Former::dtls).map(|peer| peer.role);
                let setup = DtlsRole::answering(asked.setup, role).setup();
                transport.attributes.extend(dtls_attributes(fingerprint, setup));
            }
        }
        // One component, hence one path: without multiplexing the description's addresses hold.
        if let Some(theirs) = asked.ice.as_ref().filter(|_| self.ice && rtcp_mux) {
            // RFC 8839 §4.4.1.1.1: a restart is answered by one.
            let kept = unmoved.filter(|former| former.theirs() == Some(&theirs.credentials));
            self.add_ice(&mut transport, local, kept);
        }
        let group = asked.mid.as_deref().filter(|_| asked.bundled);
        transport.name(asked.mid.as_deref(), group);
        transport
    }

    /// The transport of our offer.
    pub(crate) fn offer(&mut self, local: &LocalAudio, former: Option<Former<'_>>) -> Transport {
        let protocol = match (former, &self.policy) {
            (Some(former), policy) if policy.goes_on(former) => former.remote.protocol.clone(),
            (_, Policy::Plain | Policy::Sdes { required: false, .. }) => Protocol::RtpAvp,
            (_, Policy::Sdes { required: true, .. }) => Protocol::RtpSavp,
            (_, Policy::Dtls { .. }) => Protocol::UdpTlsRtpSavpf,
        };
        let unmoved = former.filter(|former| former.is_at(local));
        // A peer that once did not multiplex is not asked again: a refresh is unchanged.
        let muxed = former.is_none_or(Former::is_muxed);
        let mut transport = Transport::new(protocol, muxed && (local.rtcp_mux || self.is_dtls()));
        match &self.policy {
            Policy::Plain => {}
            Policy::Sdes { suites, lifetime, .. } => {
                let (suites, lifetime) = (suites.clone(), *lifetime);
                let keys = self.offered_keys(&suites, former, unmoved);
                transport.attributes.extend(keys.iter().map(|key| key.attribute(lifetime)));
            }
            // RFC 8842 §5.1, JSEP §5.2.2: whoever has a role keeps it.
            Policy::Dtls { fingerprint } => {
                transport.attributes.extend(dtls_attributes(fingerprint, Setup::Actpass));
            }
        }
        if self.ice && former.is_none_or(|former| former.remote.security.ice.is_some()) {
            self.add_ice(&mut transport, local, unmoved);
        }
        let first = self.is_dtls().then_some("0");
        let mid = former.map_or(first, |former| former.ours.attribute("mid"));
        let bundled = former.is_none_or(|former| former.remote.security.bundled);
        transport.name(mid, mid.filter(|_| bundled && self.is_dtls()));
        transport
    }

    /// Whether an answer has the protection that our offer asked for.
    ///
    /// # Errors
    /// As [`check_offer`](Self::check_offer).
    pub(crate) fn check_answer(ours: &Media, remote: &RemoteAudio) -> Result<(), StreamError> {
        let (asked, got) = (&ours.protocol, &remote.protocol);
        let plain = asked.is_plain_rtp() && got.is_plain_rtp();
        let keyed = matches!(protection(ours, remote, true), Some(Protection::Sdes { .. }));
        let dtls = matches!(protection(ours, remote, true), Some(Protection::Dtls(_)));
        match (plain || keyed || dtls, got.is_secure_rtp()) {
            (true, _) => Ok(()),
            (false, true) if asked.is_secure_rtp() => Err(StreamError::NoKey),
            (false, false) if asked.is_secure_rtp() && got.is_plain_rtp() => {
                Err(StreamError::Insecure)
            }
            (false, _) => Err(StreamError::Protocol),
        }
    }

    pub(crate) const fn is_dtls(&self) -> bool {
        matches!(self.policy, Policy::Dtls { .. })
    }

    /// RFC 4568 §5.1.2: the first of theirs that we take, under its tag; but the one in use, if it
    /// is still there, since then nothing changes. With another key of theirs ours is new as well:
    /// whoever made a new context may not know how far the old one has counted (§7.1.4).
    fn answered_key(
        &mut self,
        asked: &RemoteSecurity,
        suites: &[Suite],
        former: Option<Former<'_>>,
    ) -> Option<Crypto> {
        let used = former.and_then(Former::keys);
        let again = |key: &&Crypto| used.as_ref().is_some_and(|(_, old)| old.is_same_key(key));
        let key = asked.usable(suites).find(again).or_else(|| asked.usable(suites).next())?;
        let kept = used.filter(|(_, old)| old.is_same_key(key)).map(|(ours, _)| ours);
        let fresh = kept.unwrap_or_else(|| self.fresh_key(0, key.suite));
        Some(Crypto { tag: key.tag, ..fresh })
    }

    /// The key in use, or all we have; none for a peer that would not.
    fn offered_keys(
        &mut self,
        suites: &[Suite],
        former: Option<Former<'_>>,
        unmoved: Option<Former<'_>>,
    ) -> Vec<Crypto> {
        if let Some((key, _)) = unmoved.and_then(Former::keys) {
            return vec![key];
        }
        if former.is_some_and(|former| former.is_plain() && former.remote.protocol.is_plain_rtp()) {
            return Vec::new();
        }
        (1..).zip(suites).map(|(tag, suite)| self.fresh_key(tag, *suite)).collect()
    }

    fn fresh_key(&mut self, tag: u32, suite: Suite) -> Crypto {
        let mut key = vec![0; suite.key_len()].into_boxed_slice();
        for chunk in key.chunks_mut(8) {
            chunk.copy_from_slice(&self.rng.next_u64().to_le_bytes()[..chunk.len()]);
        }
        Crypto { tag, suite, key: Redacted::new(key) }
    }

    fn add_ice(&mut self, transport: &mut Transport, local: &LocalAudio, kept: Option<Former<'_>>) {
        let former = kept.and_then(|former| IceCredentials::of(former.session, former.ours));
        let ours = former.unwrap_or_else(|| IceCredentials::fresh(&mut self.rng));
        transport.session.push(Attribute::flag("ice-lite"));
        transport.attributes.extend(ours.attributes(local, transport.rtcp_mux));
    }
}

impl Default for Security {
    fn default() -> Self {
        Self::plain()
    }
}

impl fmt::Debug for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { policy, ice, .. } = self;
        f.debug_struct("Security").field("policy", policy).field("ice", ice).finish_non_exhaustive()
    }
}

impl Policy {
    /// Whether a stream can go on with its transport profile.
    fn goes_on(&self, former: Former<'_>) -> bool {
        let protocol = &former.remote.protocol;
        match self {
            Self::Plain => protocol.is_plain_rtp(),
            Self::Sdes { required, .. } => {
                former.keys().is_some() || (protocol.is_plain_rtp() && !required)
            }
            Self::Dtls { .. } => former.dtls().is_some(),
        }
    }
}

impl Transport {
    fn new(protocol: Protocol, rtcp_mux: bool) -> Self {
        Self { protocol, rtcp_mux, attributes: Vec::new(), session: Vec::new() }
    }

    fn name(&mut self, mid: Option<&str>, group: Option<&str>) {
        self.attributes.extend(mid.map(|mid| Attribute::new("mid", mid)));
        let group = group.map(|mid| Attribute::new("group", format!("BUNDLE {mid}")));
        self.session.extend(group);
    }
}

impl<'a> Former<'a> {
    /// Whether it was made where we are now. RFC 4568 §7.1.4, RFC 8839 §4.4.1.1.1: whoever moves
    /// has new keys and new credentials.
    fn is_at(self, local: &LocalAudio) -> bool {
        let here = crate::Host::Ip(local.address);
        self.session.connection_of(self.ours) == Some(&here) && self.ours.port == local.rtp_port
    }

    fn is_muxed(self) -> bool {
        self.remote.rtcp_mux && self.ours.attribute("rtcp-mux").is_some()
    }

    fn is_plain(self) -> bool {
        protection(self.ours, self.remote, self.offered_by_us).is_none()
    }

    /// Our key and theirs.
    fn keys(self) -> Option<(Crypto, Crypto)> {
        keys(self.ours, self.remote, self.offered_by_us)
    }

    fn dtls(self) -> Option<DtlsPeer> {
        dtls(self.ours, self.remote)
    }

    fn theirs(self) -> Option<&'a IceCredentials> {
        self.remote.security.ice.as_ref().map(|ice| &ice.credentials)
    }
}

impl RemoteSecurity {
    pub(crate) fn read(session: &Session, media: &Media) -> Self {
        let own: Vec<_> = fingerprints_of(media.attributes_named("fingerprint"));
        let shared = || session.attributes.iter().filter(|it| it.is("fingerprint"));
        let mid = media.attribute("mid").filter(|mid| (1..=32).contains(&mid.len()));
        let in_group = |mid: &str| {
            let groups = session.attributes.iter().filter(|it| it.is("group"));
            groups.map(Attribute::value).any(|group| {
                let mut words = group.split_ascii_whitespace();
                words.next() == Some("BUNDLE") && words.any(|word| word == mid)
            })
        };
        Self {
            crypto: crypto_of(media.attributes_named("crypto")),
            tells_keys: media.attribute("crypto").is_some(),
            fingerprints: match own.is_empty() {
                true => fingerprints_of(shared().map(Attribute::value)),
                false => own,
            },
            setup: session.attribute_of(media, "setup").and_then(Setup::from_word),
            ice: RemoteIce::read(session, media),
            bundled: mid.is_some_and(in_group),
            mid: mid.map(Into::into),
        }
    }

    fn usable<'a>(&'a self, suites: &'a [Suite]) -> impl Iterator<Item = &'a Crypto> {
        self.crypto.iter().filter(|key| suites.contains(&key.suite))
    }
}

impl Session {
    /// Which protection the first audio stream in use asks for: what an incoming call's policy may
    /// be chosen by. `None` without such a stream, or with one of an unknown profile.
    pub fn asks_for(&self) -> Option<Asked> {
        let usable = |media: &&Media| media.kind == MediaKind::Audio && media.port != 0;
        let media = self.media.iter().find(usable)?;
        let security = RemoteSecurity::read(self, media);
        match media.protocol {
            Protocol::RtpAvp | Protocol::RtpAvpf if security.crypto.is_empty() => {
                Some(Asked::Plain)
            }
            Protocol::RtpAvp | Protocol::RtpAvpf => Some(Asked::SdesIfPossible),
            Protocol::RtpSavp | Protocol::RtpSavpf => {
                let dtls = security.crypto.is_empty() && !security.fingerprints.is_empty();
                Some(if dtls { Asked::Dtls } else { Asked::Sdes })
            }
            Protocol::UdpTlsRtpSavp | Protocol::UdpTlsRtpSavpf => Some(Asked::Dtls),
            Protocol::Other(_) => None,
        }
    }
}

/// What two descriptions of a stream agree on; `None` for RTP in the clear.
pub(crate) fn protection(
    ours: &Media,
    remote: &RemoteAudio,
    offered_by_us: bool,
) -> Option<Protection> {
    if let Some((ours, theirs)) = keys(ours, remote, offered_by_us) {
        return Some(Protection::Sdes { suite: ours.suite, ours: ours.key, theirs: theirs.key });
    }
    dtls(ours, remote).map(Protection::Dtls)
}

/// RFC 4568 §5.1.3: an answer has one of the offered tags with its suite.
fn keys(ours: &Media, remote: &RemoteAudio, offered_by_us: bool) -> Option<(Crypto, Crypto)> {
    let ours = crypto_of(ours.attributes_named("crypto"));
    let fits = |a: &Crypto, b: &Crypto| a.tag == b.tag && a.suite == b.suite;
    let theirs = &remote.security.crypto;
    let (answer, offer) = if offered_by_us { (theirs, &ours) } else { (&ours, theirs) };
    let found = answer.iter().find_map(|key| Some((key, offer.iter().find(|it| fits(it, key))?)));
    let (answer, offer) = found?;
    let (ours, theirs) = if offered_by_us { (offer, answer) } else { (answer, offer) };
    Some((ours.clone(), theirs.clone()))
}

fn dtls(ours: &Media, remote: &RemoteAudio) -> Option<DtlsPeer> {
    ours.attribute("fingerprint")?;
    let role = match ours.attribute("setup").and_then(Setup::from_word)? {
        Setup::Active => DtlsRole::Client,
        Setup::Passive => DtlsRole::Server,
        Setup::Actpass => DtlsRole::answered(remote.security.setup),
    };
    let fingerprints = remote.security.fingerprints.clone();
    (!fingerprints.is_empty() && remote.protocol.is_secure_rtp())
        .then_some(DtlsPeer { role, fingerprints })
}

/// What both say of ICE, when they do and one of them checks.
pub(crate) fn ice(session: &Session, ours: &Media, remote: &RemoteAudio) -> Option<IceAgreed> {
    let local = IceCredentials::of(session, ours)?;
    let theirs = remote.security.ice.as_ref().filter(|ice| !ice.lite)?;
    Some(IceAgreed { local, remote: theirs.credentials.clone() })
}

fn dtls_attributes(fingerprint: &Fingerprint, setup: Setup) -> [Attribute; 2] {
    [
        Attribute::new("fingerprint", fingerprint.to_string()),
        Attribute::new("setup", setup.as_str()),
    ]
}

#[cfg(test)]
mod tests;
