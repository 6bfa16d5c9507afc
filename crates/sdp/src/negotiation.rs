//! Offer/answer of one dialog (RFC 3264, RFC 6337).
//!
//! ```text
//!            offer                      receive_answer
//!   Idle ───────────────▶ LocalOffer ───────────────────▶ Stable ◀─┐ receive_answer
//!    │  ▲   offer_failed      │                           │ ▲  └───┘ (18x, then 2xx)
//!    │  └─────────────────────┘      offer, refresh       │ │
//!    │                     LocalOffer ◀───────────────────┤ │ receive_answer, offer_failed
//!    │                         └──────────────────────────┼─┤
//!    │ receive_offer                     receive_offer    ▼ │ answer, reject_offer
//!    └───────────────────▶ RemoteOffer ◀──────────────────┴─┘
//! ```
//!
//! Until a new exchange is complete the former one holds, so that a failed or refused re-INVITE
//! changes nothing.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::codec::codecs_of;
use crate::describe::{Audio, refused};
use crate::ice::IceAgreed;
use crate::payload_types::PayloadTypes;
use crate::policy::only_useful_events;
use crate::security::{Former, Protection, Security};
use crate::session::{Host, Media, MediaKind, Origin, Session};
use crate::{
    AnswerError, Codec, DescribeError, Direction, LocalAudio, OfferError, RemoteAudio, StreamError,
    security,
};

/// How much audio a packet has when nobody says (RFC 3551 §4.2), milliseconds.
const DEFAULT_PTIME_MS: u8 = 20;

/// The offer/answer state of one dialog's audio. Clone it for a forked early dialog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Negotiation {
    session_id: u64,
    /// RFC 3264 §8: all of `o=` but the version stays, even when we move to another address.
    origin_address: IpAddr,
    /// The last version used in a description that went out.
    version: u64,
    local: LocalAudio,
    #[serde(default)]
    security: Security,
    /// Whether named telephone events are left out of what we describe.
    #[serde(default)]
    without_events: bool,
    numbers: PayloadTypes,
    pending: Option<Pending>,
    current: Option<Exchange>,
}

/// Where an exchange stands (RFC 3264 §4: at most one offer is outstanding).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Nothing was exchanged.
    Idle,
    /// We wait for an answer.
    LocalOffer,
    /// They wait for our answer.
    RemoteOffer,
    /// Agreed.
    Stable,
}

/// What both sides agreed on, for the media of this leg.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreed {
    /// What we send, by their payload-type number.
    pub codec: Codec,
    /// The number the same codec has towards us.
    pub receive_payload_type: u8,
    /// DTMF: number towards them, number towards us, clock rate in hertz. The clock is the
    /// codec's, unless they have events at another clock only.
    pub telephone_event: Option<(u8, u8, u32)>,
    /// Every codec agreed, the preferred first: number towards them, number towards us. The
    /// codec's own number is the one towards them.
    pub payload_map: Vec<(Codec, u8, u8)>,
    /// Seen from us: whether we may send, whether we receive.
    pub direction: Direction,
    /// Where they want RTP. Check [`is_sendable`](crate::is_sendable) before sending.
    pub remote_rtp: SocketAddr,
    /// Where they want RTCP; the same when multiplexed.
    pub remote_rtcp: SocketAddr,
    /// Whether both sides multiplex RTCP.
    pub rtcp_mux: bool,
    /// How much audio to send in a packet, milliseconds.
    pub ptime: u8,
    /// Whether they want to know how they sound to us (RFC 3611 §5).
    #[serde(default)]
    pub voip_metrics: bool,
    /// How packets are protected.
    #[serde(default)]
    pub protection: Protection,
    /// With ICE: nothing may be sent before the peer's checks, and then where these come from.
    #[serde(default)]
    pub ice: Option<IceAgreed>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Pending {
    /// Our offer, our audio stream at `audio`.
    Local { offer: Session, audio: usize },
    /// Their offer: its streams without detail, the one we would take at `audio`.
    Remote { lines: Vec<Media>, audio: usize, remote: RemoteAudio },
}

/// A complete exchange.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Exchanged")]
struct Exchange {
    local: Session,
    audio: usize,
    remote: RemoteAudio,
    offered_by_us: bool,
    /// What follows from it. Every step of a call asks for it, so it is found once.
    #[serde(skip)]
    agreed: Option<Box<Agreed>>,
}

/// What is kept of a complete exchange.
#[derive(Deserialize)]
struct Exchanged {
    local: Session,
    audio: usize,
    remote: RemoteAudio,
    offered_by_us: bool,
}

impl TryFrom<Exchanged> for Exchange {
    type Error = String;

    /// # Errors
    /// When the audio is a stream that the description does not have.
    fn try_from(kept: Exchanged) -> Result<Self, String> {
        let streams = kept.local.media.len();
        if kept.audio >= streams {
            return Err(format!("stream {} of {streams}", kept.audio));
        }
        Ok(kept.complete())
    }
}

impl Exchanged {
    /// `audio` is a stream of ours.
    fn complete(self) -> Exchange {
        let Self { local, audio, remote, offered_by_us } = self;
        let mut exchange = Exchange { local, audio, remote, offered_by_us, agreed: None };
        exchange.agreed = exchange.agree().map(Box::new);
        exchange
    }
}

impl Negotiation {
    /// A dialog with nothing exchanged. `session_id` is our `o=` id, unique per leg.
    /// Its media are plain till [`set_security`](Self::set_security) says otherwise.
    pub fn new(session_id: u64, local: LocalAudio) -> Self {
        Self {
            session_id,
            origin_address: local.address,
            version: 0,
            local,
            security: Security::plain(),
            without_events: false,
            numbers: PayloadTypes::new(),
            pending: None,
            current: None,
        }
    }

    /// Has the descriptions to come say this port for RTP. For a leg that has described nothing yet.
    pub fn move_to(&mut self, rtp_port: u16) {
        debug_assert_eq!(self.version, 0, "told already");
        self.local.rtp_port = rtp_port;
    }

    /// Takes up an offer of theirs: the stream used before if it still can be, else the first
    /// audio stream that can.
    ///
    /// # Errors
    /// While an offer is outstanding, or when no audio stream can be used; see
    /// [`OfferError::status`]. The state is as before.
    pub fn receive_offer(&mut self, offer: Session) -> Result<&RemoteAudio, OfferError> {
        match &self.pending {
            Some(Pending::Local { .. }) => return Err(OfferError::Glare),
            Some(Pending::Remote { .. }) => return Err(OfferError::Overlapping),
            None => {}
        }
        let (audio, remote) = choose_stream(&offer, self.current.as_ref(), &self.security)?;
        let lines = offer.media.iter().map(refused).collect();
        self.pending = Some(Pending::Remote { lines, audio, remote });
        Ok(self.remote().expect("just set"))
    }

    /// Answers their offer with those of `codecs` that it has, in this order and with their
    /// numbers. `direction` is what we want, seen from us; the answer has what the offer allows of
    /// it (RFC 3264 §6.1).
    ///
    /// # Errors
    /// Without an offer, or without a codec in common; the offer is then still to be answered or
    /// [rejected](Self::reject_offer).
    pub fn answer(
        &mut self,
        codecs: &[Codec],
        direction: Direction,
    ) -> Result<Bytes, DescribeError> {
        let Some(Pending::Remote { lines, audio, remote }) = &self.pending else {
            return Err(DescribeError::NoOffer);
        };
        let codecs = only_useful_events(shared(&self.wanted(codecs), &remote.codecs));
        if codecs.is_empty() {
            return Err(DescribeError::NoCodec);
        }
        let former = self.current.as_ref().map(Exchange::former);
        let stream = Audio {
            transport: self.security.answer(&self.local, remote, former),
            codecs: &codecs,
            direction: direction.and(remote.effective_direction().reversed()),
        };
        let session = self.local.describe(self.origin(), lines, *audio, stream);
        let (audio, remote) = (*audio, remote.clone());
        let local = self.versioned(session);
        self.numbers.learn(&codecs);
        let body = local.to_bytes();
        self.pending = None;
        let exchanged = Exchanged { local, audio, remote, offered_by_us: false };
        self.current = Some(exchanged.complete());
        Ok(body)
    }

    /// Their offer was refused with an error response: the former exchange holds.
    pub fn reject_offer(&mut self) {
        if matches!(self.pending, Some(Pending::Remote { .. })) {
            self.pending = None;
        }
    }

    /// Offers these codecs, most preferred first. Their numbers are wishes: a codec keeps the
    /// number it had on this leg, and a static one its static number. The streams of earlier
    /// exchanges keep their places. An offer equal to the last description has its version.
    ///
    /// # Errors
    /// While an offer is outstanding, or without an audio codec.
    pub fn offer(
        &mut self,
        codecs: &[Codec],
        direction: Direction,
    ) -> Result<Bytes, DescribeError> {
        if self.pending.is_some() {
            return Err(DescribeError::Outstanding);
        }
        let codecs = only_useful_events(self.numbers.assign(&self.wanted(codecs)));
        if codecs.is_empty() {
            return Err(DescribeError::NoCodec);
        }
        let current = self.current.as_ref();
        let stream = Audio {
            transport: self.security.offer(&self.local, current.map(Exchange::former)),
            codecs: &codecs,
            direction,
        };
        let (lines, audio) = current.map_or((&[][..], 0), |now| (&now.local.media[..], now.audio));
        let session = self.local.describe(self.origin(), lines, audio, stream);
        let offer = self.versioned(session);
        self.numbers.learn(&codecs);
        Ok(self.send_offer(offer, audio))
    }

    /// Offers the current description unchanged, for a session refresh (RFC 4028 §7.4).
    ///
    /// # Errors
    /// While an offer is outstanding, or when nothing was agreed yet.
    pub fn refresh(&mut self) -> Result<Bytes, DescribeError> {
        if self.pending.is_some() {
            return Err(DescribeError::Outstanding);
        }
        let now = self.current.as_ref().ok_or(DescribeError::NothingAgreed)?;
        let (offer, audio) = (now.local.clone(), now.audio);
        Ok(self.send_offer(offer, audio))
    }

    /// Our last agreed description, unchanged: what a 2xx repeats after an answer in an 18x.
    pub fn current_description(&self) -> Option<Bytes> {
        self.current.as_ref().map(|exchange| exchange.local.to_bytes())
    }

    /// Takes their answer to our offer. A further answer to the same offer replaces the former:
    /// gateways differ between 18x and 2xx, although RFC 3261 §13.2.1 forbids it.
    ///
    /// # Errors
    /// When it does not fit our offer; the state is as before.
    pub fn receive_answer(&mut self, answer: Session) -> Result<&RemoteAudio, AnswerError> {
        let (local, audio) = match (&self.pending, &self.current) {
            (Some(Pending::Local { offer, audio }), _) => (offer, *audio),
            (None, Some(now)) if now.offered_by_us => (&now.local, now.audio),
            (Some(Pending::Remote { .. }) | None, _) => return Err(AnswerError::NotExpected),
        };
        let mut remote = read_answer(local, audio, &answer)?;
        // Only who was offered audio can refuse it: an answer to our own hold says nothing.
        if !local.direction_of(&local.media[audio]).sends() {
            remote.held = self.current.as_ref().is_some_and(|exchange| exchange.remote.held);
        }
        let local = local.clone();
        self.pending = None;
        let exchanged = Exchanged { local, audio, remote, offered_by_us: true };
        Ok(&self.current.insert(exchanged.complete()).remote)
    }

    /// Our offer was refused or went unanswered: the former exchange holds.
    pub fn offer_failed(&mut self) {
        if matches!(self.pending, Some(Pending::Local { .. })) {
            self.pending = None;
        }
    }

    /// Their last description: the offer being answered, else the agreed one.
    pub fn remote(&self) -> Option<&RemoteAudio> {
        match &self.pending {
            Some(Pending::Remote { remote, .. }) => Some(remote),
            Some(Pending::Local { .. }) | None => self.current.as_ref().map(|now| &now.remote),
        }
    }

    /// Where the exchange stands.
    pub const fn state(&self) -> State {
        match (&self.pending, &self.current) {
            (Some(Pending::Local { .. }), _) => State::LocalOffer,
            (Some(Pending::Remote { .. }), _) => State::RemoteOffer,
            (None, Some(_)) => State::Stable,
            (None, None) => State::Idle,
        }
    }

    /// What holds now: the last complete exchange.
    pub fn agreed(&self) -> Option<&Agreed> {
        self.current.as_ref()?.agreed.as_deref()
    }

    /// Whether keys were offered, and the media are in the clear all the same: the other side knows
    /// none of them, or does not want to. Never where protection is required.
    pub fn is_downgraded(&self) -> bool {
        self.current.as_ref().is_some_and(|now| self.security.is_downgraded(now.former()))
    }

    /// Where and how we receive.
    pub const fn local(&self) -> &LocalAudio {
        &self.local
    }

    /// Receives elsewhere from the next description on.
    pub fn set_local(&mut self, local: LocalAudio) {
        self.local = local;
    }

    /// How its media are to be protected.
    pub const fn security(&self) -> &Security {
        &self.security
    }

    /// Protects its media so from the next description on.
    pub fn set_security(&mut self, security: Security) {
        self.security = security;
    }

    /// Leaves named telephone events (RFC 4733) out from the next description on, for a peer that
    /// tells and is told of keys in another way.
    pub fn leave_out_events(&mut self) {
        self.without_events = true;
    }

    fn wanted(&self, codecs: &[Codec]) -> Vec<Codec> {
        // A browser that is granted comfort noise sends it instead of all that it takes for no speech,
        // music and tones among it; it sends all the time without.
        let is_browser = self.security.is_dtls();
        let is_unwanted = |codec: &Codec| {
            self.without_events && codec.is_telephone_event()
                || is_browser && codec.is_comfort_noise()
        };
        codecs.iter().filter(|codec| !is_unwanted(codec)).cloned().collect()
    }

    fn send_offer(&mut self, offer: Session, audio: usize) -> Bytes {
        let body = offer.to_bytes();
        self.pending = Some(Pending::Local { offer, audio });
        body
    }

    fn origin(&self) -> Origin {
        Origin {
            session_id: self.session_id,
            version: self.current.as_ref().map_or(0, |now| now.local.origin.version),
            address: Host::Ip(self.origin_address),
            ..Origin::default()
        }
    }

    /// RFC 3264 §8: the version goes up by one with every change, and only then.
    fn versioned(&mut self, session: Session) -> Session {
        if self.current.as_ref().is_some_and(|now| now.local == session) {
            return session;
        }
        self.version += 1;
        Session { origin: Origin { version: self.version, ..session.origin }, ..session }
    }
}

impl Exchange {
    fn our_media(&self) -> &Media {
        &self.local.media[self.audio]
    }

    fn former(&self) -> Former<'_> {
        Former {
            session: &self.local,
            ours: self.our_media(),
            remote: &self.remote,
            offered_by_us: self.offered_by_us,
        }
    }

    fn is_muxed(&self) -> bool {
        self.remote.rtcp_mux && self.our_media().attribute("rtcp-mux").is_some()
    }

    /// Codecs in the order of the answer, whoever gave it (RFC 3264 §7), with both numbers.
    ///
    /// RFC 3264 §5.1: each side's description has the numbers that side wants to receive.
    fn payload_map(&self) -> Vec<(Codec, u8, u8)> {
        let ours = codecs_of(self.our_media(), &[]);
        let pair = |theirs: &Codec, our: &Codec| {
            let codec = Codec { payload_type: theirs.payload_type, ..our.clone() };
            (codec, theirs.payload_type, our.payload_type)
        };
        if self.offered_by_us {
            matches(&self.remote.codecs, &ours).map(|(their, our)| pair(their, our)).collect()
        } else {
            matches(&ours, &self.remote.codecs).map(|(our, their)| pair(their, our)).collect()
        }
    }

    fn agree(&self) -> Option<Agreed> {
        let payload_map = self.payload_map();
        let (codec, _, receive) = payload_map.iter().find(|(codec, ..)| codec.is_audio())?.clone();
        let events = || payload_map.iter().filter(|(codec, ..)| codec.is_telephone_event());
        let telephone_event = events()
            .find(|(event, ..)| event.clock_rate == codec.clock_rate)
            .or_else(|| events().next())
            .map(|(event, send, receive)| (*send, *receive, event.clock_rate));
        let remote = &self.remote;
        let rtcp_mux = self.is_muxed();
        let declared = self.local.direction_of(self.our_media());
        let our_ptime = self.our_media().attribute("ptime").and_then(|ms| ms.parse().ok());
        let ptime = remote.ptime.or(our_ptime).unwrap_or(DEFAULT_PTIME_MS);
        Some(Agreed {
            codec,
            receive_payload_type: receive,
            telephone_event,
            payload_map,
            direction: declared.and(remote.effective_direction().reversed()),
            remote_rtp: remote.rtp,
            remote_rtcp: if rtcp_mux { remote.rtp } else { remote.rtcp },
            rtcp_mux,
            ptime: ptime.min(remote.maxptime.unwrap_or(u8::MAX)),
            voip_metrics: remote.voip_metrics,
            protection: security::protection(self.our_media(), remote, self.offered_by_us)
                .unwrap_or_default(),
            ice: security::ice(&self.local, self.our_media(), remote),
        })
    }
}

/// The audio stream of an offer to take, and what it says.
fn choose_stream(
    offer: &Session,
    former: Option<&Exchange>,
    security: &Security,
) -> Result<(usize, RemoteAudio), OfferError> {
    let usable = |index: &usize| {
        offer.media.get(*index).is_some_and(|m| m.kind == MediaKind::Audio && m.port != 0)
    };
    let mut failure = OfferError::NoAudio;
    let former_at = former.map(|exchange| exchange.audio);
    let former = former.map(Exchange::former);
    for index in former_at.into_iter().chain(0..offer.media.len()).filter(usable) {
        let media = &offer.media[index];
        let read = if media.protocol.is_plain_rtp() || media.protocol.is_secure_rtp() {
            RemoteAudio::read(offer, media)
        } else {
            Err(StreamError::Protocol)
        };
        match read.and_then(|remote| security.check_offer(&remote, former).map(|()| remote)) {
            Ok(remote) => return Ok((index, remote)),
            Err(error) => failure = error.into(),
        }
    }
    Err(failure)
}

fn read_answer(
    local: &Session,
    audio: usize,
    answer: &Session,
) -> Result<RemoteAudio, AnswerError> {
    if answer.media.len() != local.media.len() {
        return Err(AnswerError::LineCount);
    }
    let media = &answer.media[audio];
    if media.kind != MediaKind::Audio {
        return Err(AnswerError::Kind);
    }
    if media.port == 0 {
        return Err(AnswerError::Refused);
    }
    let ours = codecs_of(&local.media[audio], &[]);
    let remote = RemoteAudio::read_with(answer, media, &ours)?;
    Security::check_answer(&local.media[audio], &remote)?;
    // RFC 3264 §6.1: it may list codecs we did not offer; one of ours must be there.
    if !matches(&remote.codecs, &ours).any(|(codec, _)| codec.is_audio()) {
        return Err(StreamError::NoCodec.into());
    }
    Ok(remote)
}

/// Our `wanted` codecs that are in `offered`, with the numbers of the offer.
fn shared(wanted: &[Codec], offered: &[Codec]) -> Vec<Codec> {
    matches(wanted, offered)
        .map(|(our, their)| Codec { payload_type: their.payload_type, ..our.clone() })
        .collect()
}

/// Pairs each codec of `answered` with the same one of `offered`: the one of the same number if
/// there is one, else the first not taken yet.
fn matches<'a>(
    answered: &'a [Codec],
    offered: &'a [Codec],
) -> impl Iterator<Item = (&'a Codec, &'a Codec)> {
    let mut taken = [false; 256];
    answered.iter().filter_map(move |codec| {
        let same =
            || offered.iter().filter(|o| !taken[usize::from(o.payload_type)] && o.same_as(codec));
        let found = same().find(|o| o.payload_type == codec.payload_type).or(same().next())?;
        taken[usize::from(found.payload_type)] = true;
        Some((codec, found))
    })
}

#[cfg(test)]
mod tests;
