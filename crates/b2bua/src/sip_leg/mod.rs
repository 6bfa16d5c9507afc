//! One SIP leg: an INVITE dialog usage and its offer/answer, between the wire and its call.
//!
//! ```text
//!  INVITE in ──▶ Early ──2xx out──▶ Up ──BYE in / BYE out──▶ Leaving ──▶ Gone
//!                  └─3xx–6xx out, CANCEL in───────────────────────────────▲
//!  INVITE out ─▶ Placing ──2xx in──▶ Up
//!                  └─CANCEL out──▶ Leaving ──final in─────────────────────▲
//! ```
//! `early` is the UAS before its final answer, `placing` the UAC before one with its `forks`, `up`
//! what both do afterwards, `hop` where their requests go, `change` our own re-INVITEs and UPDATEs, `event` REFER and NOTIFY, `leave`
//! the ways out.

mod change;
mod early;
mod event;
mod forks;
mod hop;
mod keys;
mod leave;
mod placing;
mod security;
mod up;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::net::IpAddr;

use base::{Rng, Time, Timers};
use bytes::Bytes;
use call::record::{LegProtection, LegQuality};
use call::{CallId, Cause, LegEvent, LegId, Side};
use media::codec::OpusFormat;
use media::command::{Found, KeyForm, Keys, StreamConfig};
use media::dtmf::{DtmfEvent, Form, Intake, Signal};
use sdp::{Agreed, Codec, Direction, LocalAudio, Negotiation, Order, Policy, Security};
use serde::{Deserialize, Serialize};
use sip::dialog::SessionTimer;
use sip::event::Refer;
use sip::message::{Headers, Name, NameAddr, Request, Response, StatusCode, Uri};
use sip::transaction::TransactionId;
use sip::transport::{Source, Target};

use self::early::Early;
use self::event::Driven;
use self::hop::Hops;
use self::leave::Leaving;
pub(crate) use self::leave::ack_and_bye;
use self::placing::Placing;
pub(crate) use self::placing::{Way, bump_cseq};
pub(crate) use self::security::keying;
use self::up::Up;
use crate::config::{Config, DtmfForm};
use crate::party::{Identity, Party};
use crate::ports::PortPair;
use crate::trunk::GatewayId;
use crate::wire::{self, Deadline, Wire};

/// How often a leg gets other ports because somebody else holds its first ones.
const REBINDS_MAX: u8 = 3;
/// SDP's media type.
const SDP: &str = "application/sdp";

/// The deadlines of a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Timer {
    /// Repeat a 2xx until its ACK (RFC 3261 §13.3.1.4).
    Accept,
    /// Repeat a reliable provisional until its PRACK (RFC 3262 §3).
    Reliable,
    /// Refresh the session, or end it (RFC 4028).
    Session,
    /// Try a change again after a 491 (RFC 3261 §14.1).
    Retry,
    /// A target has not said a word.
    Silence,
    /// Nobody waits any longer for how a referred call fares (RFC 3515).
    Referral,
}

/// What a leg reports to the core.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Report {
    /// For its call.
    Call(LegEvent),
    /// The far end offers something new; to be answered with `accept_offer` or `refuse_offer`.
    Offered {
        /// Whether there is time to ask the partner first (a re-INVITE, but not an UPDATE).
        can_wait: bool,
    },
    /// An offer/answer exchange is done.
    Agreed,
    /// What [`SipLeg::reoffer`] offered was refused.
    OfferFailed,
    /// A key, told by SIP INFO.
    Key(DtmfEvent),
    /// The far end wants the call transferred (T11); to be answered with `accept_referral` or
    /// `refuse_referral`.
    Referred(Box<Refer>),
    /// A host that the far end names is to be looked up; answered by `hop_found`.
    LookUp {
        /// Comes back with the answer.
        hop: u32,
        /// The host, port and transport.
        uri: Box<Uri>,
    },
    /// A gateway of its trunk wants to be left alone for so long (RFC 3261 §21.5.4).
    Overloaded {
        /// Which.
        gateway: GatewayId,
        /// For how long.
        seconds: u32,
    },
    /// The far end points elsewhere.
    Redirected {
        /// Where to.
        contacts: Vec<Uri>,
        /// What the call is told when that is not followed.
        cause: Cause,
    },
}

/// Why a request got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// As a 408, RFC 3261 §8.1.3.1.
    TimedOut,
    /// As a 503, RFC 3261 §8.1.3.1.
    Transport,
}

/// What a leg may use of the core while it works.
pub(crate) struct Cx<'a> {
    pub(crate) now: Time,
    pub(crate) config: &'a Config,
    pub(crate) wire: &'a mut Wire,
    pub(crate) reports: &'a mut VecDeque<(LegId, Report)>,
}

/// Where a leg's audio lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MediaPlace {
    /// Address to bind.
    pub(crate) bind: IpAddr,
    /// Address written into SDP.
    pub(crate) advertise: IpAddr,
    /// RTP and RTCP port.
    pub(crate) ports: PortPair,
}

/// A call that comes in.
pub(crate) struct Incoming {
    pub(crate) call: CallId,
    pub(crate) party: Party,
    pub(crate) request: Request,
    pub(crate) source: Source,
    pub(crate) transaction: TransactionId,
}

/// A leg to be placed.
pub(crate) struct Outgoing {
    pub(crate) call: CallId,
    pub(crate) party: Party,
    pub(crate) from: Identity,
    pub(crate) to: String,
    pub(crate) way: Way,
    pub(crate) codecs: Vec<Codec>,
    /// Whether the phone is asked to answer by itself: its user has asked for the call.
    pub(crate) auto_answer: bool,
    /// Who refers a transferred call; for our own phones only.
    pub(crate) referred_by: Option<NameAddr>,
    pub(crate) inherited: Inherited,
}

/// What a placed leg takes over from the caller's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Inherited {
    /// Hops left, so that a loop through us ends (RFC 3261 §16.3).
    pub(crate) max_forwards: Option<u8>,
    /// Headers that the trunk's policy lets through.
    pub(crate) headers: Vec<(String, String)>,
}

/// One leg.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SipLeg {
    id: LegId,
    call: CallId,
    side: Side,
    party: Party,
    media: MediaPlace,
    call_id: Box<str>,
    local_tag: Box<str>,
    /// The far end's signalling: where its requests come from, and ours go unless its route says
    /// otherwise.
    peer: Target,
    /// Whether all requests go to `peer` whatever Contact says: phones behind NAT.
    keep_to_peer: bool,
    /// Where else they go.
    hops: Hops,
    state: State,
    negotiation: Negotiation,
    session: SessionTimer,
    /// What its stream was last told.
    configured: Option<StreamConfig>,
    /// What has become of its stream's path.
    found: Found,
    held: bool,
    driven: Driven,
    final_status: u16,
    /// Codec used last, for the record.
    codec: Option<Cow<'static, str>>,
    /// How its audio is protected, as of then.
    protection: Option<LegProtection>,
    /// Whether its sockets could not be bound.
    no_media: bool,
    /// How often it, or the leg that it took the place of, got other ports.
    rebinds: u8,
    /// How its audio has sounded so far.
    pub(crate) quality: Option<LegQuality>,
    /// Jitter of its audio, milliseconds, as of the last report.
    pub(crate) jitter_ms: f64,
    /// What it tells of keys, in whatever forms.
    intake: Intake,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum State {
    Early(Box<Early>),
    Placing(Box<Placing>),
    Up(Box<Up>),
    Leaving(Box<Leaving>),
    /// Between two states, inside one function.
    Moving,
    /// Nothing is left on the wire; the core has been told.
    Gone,
}

impl SipLeg {
    pub(crate) fn id(&self) -> LegId {
        self.id
    }

    pub(crate) fn call(&self) -> CallId {
        self.call
    }

    /// It belongs to another call from now on, whose media engine must be told anew.
    pub(crate) fn join(&mut self, call: CallId) {
        self.call = call;
        self.configured = None;
    }

    pub(crate) fn side(&self) -> Side {
        self.side
    }

    pub(crate) fn party(&self) -> &Party {
        &self.party
    }

    pub(crate) fn media(&self) -> MediaPlace {
        self.media
    }

    /// Call-ID and our tag: what every request inside the dialog carries.
    pub(crate) fn key(&self) -> (Box<str>, Box<str>) {
        (self.call_id.clone(), self.local_tag.clone())
    }

    /// Its ports are somebody else's.
    pub(crate) fn media_failed(&mut self) {
        self.no_media = true;
    }

    /// Takes other ports, as long as nobody was told the old ones; false: too late, or too often.
    pub(crate) fn move_media(&mut self, ports: PortPair) -> bool {
        let is_untold = match &self.state {
            State::Early(early) => early.is_undescribed(),
            State::Placing(_) | State::Up(_) | State::Leaving(_) | State::Moving | State::Gone => {
                false
            }
        };
        if !is_untold || self.rebinds >= REBINDS_MAX {
            return false;
        }
        self.rebinds += 1;
        self.media.ports = ports;
        self.no_media = false;
        self.configured = None;
        self.negotiation.move_to(ports.0);
        true
    }

    /// The way to place it once more, with other ports: its offer is out, but nobody has rung.
    pub(crate) fn way_anew(&self) -> Option<Way> {
        match &self.state {
            State::Placing(placing) if placing.forks.is_empty() && self.rebinds < REBINDS_MAX => {
                Some(placing.way().clone())
            }
            State::Placing(_)
            | State::Early(_)
            | State::Up(_)
            | State::Leaving(_)
            | State::Moving
            | State::Gone => None,
        }
    }

    /// It takes the place of a leg whose ports were somebody else's.
    pub(crate) fn replaces(&mut self, other: u8) {
        self.rebinds = other + 1;
    }

    pub(crate) fn rebinds(&self) -> u8 {
        self.rebinds
    }

    pub(crate) fn is_placing(&self) -> bool {
        matches!(self.state, State::Placing(_))
    }

    /// Whether its far end's tag is this one, in the dialog or in an early one (RFC 3891 §3).
    pub(crate) fn has_remote_tag(&self, tag: &str) -> bool {
        match &self.state {
            State::Up(up) => *up.dialog.id().remote_tag == *tag,
            State::Early(early) => *early.dialog.id().remote_tag == *tag,
            State::Placing(placing) => placing.forks.contains_key(tag),
            State::Leaving(leaving) => leaving.has_remote_tag(tag),
            State::Moving | State::Gone => false,
        }
    }

    /// Whether it is on its way out: its dialog is over.
    pub(crate) fn is_leaving(&self) -> bool {
        matches!(self.state, State::Leaving(_))
    }

    pub(crate) fn has_media(&self) -> bool {
        !self.no_media
    }

    pub(crate) fn final_status(&self) -> u16 {
        self.final_status
    }

    pub(crate) fn codec_name(&self) -> Option<String> {
        self.codec.as_deref().map(str::to_owned)
    }

    pub(crate) fn protection(&self) -> Option<LegProtection> {
        self.protection
    }

    pub(crate) fn is_up(&self) -> bool {
        matches!(self.state, State::Up(_))
    }

    /// Whether it is called and has not answered.
    pub(crate) fn is_early(&self) -> bool {
        matches!(self.state, State::Early(_))
    }

    /// Whether its audio is agreed on, or will be by what is on its way to us: the PRACK or the ACK
    /// that carries the answer to an offer of ours.
    pub(crate) fn is_opening(&self) -> bool {
        self.agreed().is_some() || self.negotiation.state() == sdp::State::LocalOffer
    }

    /// Where the far end's signalling comes from.
    pub(crate) fn signalling_source(&self) -> IpAddr {
        self.peer.addr.ip()
    }

    /// Whether `ip` is where the far end's signalling comes from, so that it may speak in the
    /// dialog without proving itself again (ATTACKS 14).
    pub(crate) fn is_peer(&self, ip: IpAddr) -> bool {
        self.peer.addr.ip().to_canonical() == ip.to_canonical()
    }

    /// The offer/answer in force: that of the early dialog whose media is heard, while placing.
    pub(crate) fn negotiation(&self) -> Option<&Negotiation> {
        match &self.state {
            State::Placing(placing) => placing.negotiation(),
            State::Early(_) | State::Up(_) => Some(&self.negotiation),
            State::Leaving(_) | State::Moving | State::Gone => None,
        }
    }

    /// What the far end has offered of what it may, when it waits for our answer or had it.
    pub(crate) fn offered(&self, config: &Config) -> Option<Vec<Codec>> {
        match &self.state {
            State::Early(early) if early.is_offerless() => None,
            State::Early(_) | State::Up(_) => {
                let offered = &self.negotiation.remote()?.codecs;
                Some(sdp::pass_through(offered, self.party.codecs(config), Order::Offer))
            }
            State::Placing(_) | State::Leaving(_) | State::Moving | State::Gone => None,
        }
    }

    /// The codecs both ends have agreed to, once they have.
    pub(crate) fn agreed_codecs(&self) -> Option<Vec<Codec>> {
        Some(self.agreed()?.payload_map.iter().map(|(codec, ..)| codec.clone()).collect())
    }

    /// What both ends have agreed on, once they have.
    pub(crate) fn agreed(&self) -> Option<&Agreed> {
        self.negotiation()?.agreed()
    }

    /// Whether a re-offer of the far end waits until the partner has been asked.
    pub(crate) fn is_waiting_for_answer(&self) -> bool {
        match &self.state {
            State::Up(up) => {
                up.pending.is_some() && self.negotiation.state() == sdp::State::RemoteOffer
            }
            State::Early(_)
            | State::Placing(_)
            | State::Leaving(_)
            | State::Moving
            | State::Gone => false,
        }
    }

    /// A press that its far end told of in one form; `None` when it has told of it in another.
    pub(crate) fn take_key(
        &mut self,
        now: Time,
        form: Form,
        event: DtmfEvent,
    ) -> Option<DtmfEvent> {
        self.intake.take(now, form, Signal::Press(event)).map(|_| event)
    }

    /// How keys are told on its stream.
    pub(crate) fn keys(&self, config: &Config) -> Keys {
        let form = match self.party.dtmf(config) {
            DtmfForm::Auto | DtmfForm::InBand => KeyForm::Agreed,
            DtmfForm::Rfc4733 => KeyForm::Events,
            DtmfForm::Info | DtmfForm::InfoPlain => KeyForm::Signalled,
        };
        let may_be_tones = match self.party.dtmf(config) {
            DtmfForm::Auto | DtmfForm::InBand => config.media.dtmf_in_band,
            DtmfForm::Rfc4733 | DtmfForm::Info | DtmfForm::InfoPlain => false,
        };
        let has_events = self.agreed().is_some_and(|agreed| agreed.telephone_event.is_some());
        let in_band = may_be_tones && !has_events && !self.intake.knows_better_than(Form::InBand);
        Keys { form, in_band, ..Keys::default() }
    }

    /// What its far end wants of Opus.
    pub(crate) fn opus_wish(&self) -> OpusFormat {
        let remote = self.negotiation().and_then(Negotiation::remote);
        let opus = remote.and_then(|remote| remote.codecs.iter().find(|codec| codec.is("opus")));
        let wish = opus.and_then(|opus| opus.fmtp.as_deref());
        wish.map_or_else(OpusFormat::default, OpusFormat::parse)
    }

    /// Remembers what the stream is told; `None` when it knows already.
    pub(crate) fn configured(&mut self, new: StreamConfig) -> Option<StreamConfig> {
        if self.configured.as_ref() == Some(&new) {
            return None;
        }
        let agreed = self.agreed();
        let agreed =
            agreed.map(|agreed| (security::told(&agreed.protection), agreed.codec.name.clone()));
        if let Some((protection, codec)) = agreed {
            self.note_protection(protection);
            self.codec = Some(codec);
        }
        self.configured = Some(new.clone());
        Some(new)
    }

    /// What a leg placed because of this one takes over from it.
    pub(crate) fn inherit(&self, to: &Party, config: &Config) -> Inherited {
        let State::Early(early) = &self.state else { return Inherited::default() };
        let headers = &early.invite.headers;
        Inherited {
            max_forwards: headers.max_forwards().map(|left| left.saturating_sub(1)),
            headers: passing(headers, &self.party, to, config),
        }
    }

    /// Headers of this leg's answer that pass to `other`.
    pub(crate) fn passed_to(&self, other: &Self, config: &Config) -> Vec<(String, String)> {
        match &self.state {
            State::Up(up) => passing(&up.answer_headers, &self.party, &other.party, config),
            State::Early(_)
            | State::Placing(_)
            | State::Leaving(_)
            | State::Moving
            | State::Gone => Vec::new(),
        }
    }

    /// A deadline of the leg has come.
    pub(crate) fn fired(&mut self, timer: Timer, cx: &mut Cx<'_>) {
        match timer {
            Timer::Accept => self.accept_due(cx),
            Timer::Reliable => self.reliable_due(cx),
            Timer::Session => self.session_due(cx),
            Timer::Retry => self.retry_due(cx),
            Timer::Silence => self.target_is_silent(cx),
            Timer::Referral => self.referral_due(cx),
        }
    }

    /// Takes every deadline of the leg away.
    pub(crate) fn disarm_all(&self, timers: &mut Timers<Deadline>) {
        let all = [
            Timer::Accept,
            Timer::Reliable,
            Timer::Session,
            Timer::Retry,
            Timer::Silence,
            Timer::Referral,
        ];
        for timer in all {
            timers.disarm(Deadline::Leg(self.id, timer));
        }
    }

    fn arm(&self, cx: &mut Cx<'_>, timer: Timer, at: Option<Time>) {
        let key = Deadline::Leg(self.id, timer);
        match at {
            Some(at) => cx.wire.timers.arm(key, at),
            None => cx.wire.timers.disarm(key),
        }
    }

    fn report(&self, cx: &mut Cx<'_>, report: Report) {
        cx.reports.push_back((self.id, report));
    }

    fn tell(&self, cx: &mut Cx<'_>, event: LegEvent) {
        self.report(cx, Report::Call(event));
    }

    /// Our Contact on this leg.
    fn contact(&self, config: &Config) -> String {
        let uri = wire::contact(config, self.peer.transport, self.peer.addr.ip());
        format!("<{uri}>")
    }

    /// Reads SDP out of a body. `Ok(None)` when there is none.
    fn sdp(headers: &Headers, body: &Bytes) -> Result<Option<sdp::Session>, StatusCode> {
        // What must be understood and is not SDP was refused by `body::check`.
        let described = sip::dialog::body::description(headers, body);
        let session = described.map(|body| sdp::parse(&body)).transpose();
        session.map_err(|error| StatusCode(error.status()))
    }

    /// Tells the call when the far end's hold has changed (INTEROP 4, H3).
    fn note_hold(&mut self, cx: &mut Cx<'_>) {
        let held = self.negotiation.remote().is_some_and(|remote| remote.held);
        if held != self.held {
            self.held = held;
            self.tell(cx, LegEvent::Held(held));
        }
    }
}

/// Headers that pass from a leg of `from` to a leg of `to`: what the trunk among them lists.
fn passing(headers: &Headers, from: &Party, to: &Party, config: &Config) -> Vec<(String, String)> {
    let mut allowed = [from, to].into_iter().filter_map(|party| party.trunk(config));
    let lists: Vec<_> = allowed.by_ref().map(|trunk| &trunk.pass_headers).collect();
    let passes = |name: &str| {
        lists.iter().all(|list| list.iter().any(|allowed| allowed.eq_ignore_ascii_case(name)))
    };
    if lists.is_empty() {
        return Vec::new();
    }
    // RFC 3325 §5: a phone asserts nothing, and hears nothing of who wants to be private.
    let asserts = from.extension().is_none()
        && !(to.extension().is_some() && headers.has_token(Name::Privacy, "id"));
    let may_pass = |name: &str| asserts || Name::parse(name) != Name::PAssertedIdentity;
    let passed = headers.iter().filter(|(name, _)| passes(name) && may_pass(name));
    passed.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn new_negotiation(
    place: MediaPlace,
    security: Policy,
    dtmf: DtmfForm,
    rng: &mut Rng,
) -> Negotiation {
    let local = LocalAudio {
        address: place.advertise,
        rtp_port: place.ports.0,
        rtcp_mux: false,
        ptime: Some(20),
    };
    // RFC 8866 §5.2: a number that fits 63 bits, as some phones keep it signed.
    let mut negotiation = Negotiation::new(rng.next_u64() >> 2, local);
    let seed = rng.seed();
    // ICE belongs to browsers and what is like them: others are found by symmetric RTP.
    let ice = matches!(security, Policy::Dtls { .. });
    negotiation.set_security(Security::new(security, ice, seed));
    if dtmf.is_without_events() {
        negotiation.leave_out_events();
    }
    negotiation
}

/// What we say of ourselves in every request and answer that carries a Contact.
fn introduce(headers: &mut Headers, contact: &str) {
    headers.set(Name::Contact, contact);
    sip::dialog::allow::add_capabilities(headers);
}

/// Both audio directions: holds of our own come with call control.
const BOTH: Direction = Direction::SendRecv;

/// `Reason` for a release, RFC 3326.
fn reason(cause: Cause, elsewhere: bool) -> String {
    if elsewhere {
        // INTEROP: the losers of a ring-all show no missed call.
        return "SIP;cause=200;text=\"Call completed elsewhere\"".to_owned();
    }
    format!("Q.850;cause={};text=\"{}\"", cause.q850(), cause.text())
}

/// The parts of a response that an answer's partner may be passed.
fn kept_headers(response: &Response) -> Headers {
    response.headers.clone()
}

fn name_addr(display: &str, uri: Uri) -> NameAddr {
    let name_addr = NameAddr::new(uri);
    if display.is_empty() { name_addr } else { name_addr.with_display(display) }
}
