//! Joining two legs: which codecs they share, what each stream does, and who hears whom.
//!
//! An offer of one is answered with what the other has agreed to, so that audio passes as it is. Only
//! legs without a common codec are joined by transcoding, and where that cannot be, one of them is
//! re-offered.

use std::net::{IpAddr, SocketAddr};

use base::Time;
use call::hearing::{self, Hears};
use call::{AttemptId, CallId, Cause, LegId};
use media::command::{
    CallTone, Hear, Keys, LocalPorts, MediaCommand, MediaEvent, NoiseRemoval, Payload, Remote,
    StreamConfig, StreamId,
};
use media::dtmf::Digits;
use media::sound::SoundId;
use sdp::{Codec, Order};
use sip::message::StatusCode;

use super::codecs::{has_audio, media_codec};
use super::{CallState, Core, codes, noise};
use crate::config::HoldSound;
use crate::feature::Key;
use crate::io::Output;
use crate::party::Party;
use crate::sip_leg::{MediaPlace, SipLeg, keying};

/// Lateness of a media worker that is heard, in microseconds: more than phones' buffers hold.
const LATE_US: u64 = 100_000;

impl Core {
    /// An address and a pair of ports for a leg towards `peer`'s family; `None` when all are used.
    pub(super) fn media_place(&mut self, now: Time, peer: IpAddr) -> Option<MediaPlace> {
        let media = &self.config.media;
        let v6 = peer.to_canonical().is_ipv6() && media.ipv6.is_some() || media.ipv4.is_none();
        let (bind, advertise) = if v6 {
            (media.ipv6?, media.advertise_ipv6)
        } else {
            (media.ipv4?, media.advertise_ipv4)
        };
        let ports = self.ports.take(now)?;
        Some(MediaPlace { bind, advertise: advertise.unwrap_or(bind), ports })
    }

    /// Opens the socket of a leg. Its sequence, timestamp and SSRC begin anywhere (RFC 3550 §5.1).
    pub(super) fn open_stream(&mut self, leg: &SipLeg, out: &mut Vec<Output>) {
        let place = leg.media();
        let local =
            LocalPorts { ip: place.bind, rtp: place.ports.0, rtcp: Some(place.ports.0 + 1) };
        out.push(Output::Media(MediaCommand::Open {
            stream: Self::stream_of(leg.id()),
            bridge: Self::bridge_of(leg.call()),
            local,
            ssrc: self.wire.rng.next_u32(),
            sequence: (self.wire.rng.next_u32() >> 17) as u16,
            timestamp: self.wire.rng.next_u32(),
        }));
    }

    /// What to offer to a leg being placed: what whoever it will talk to can do and `party` may;
    /// everything that `party` may when nobody has made an offer.
    pub(super) fn codecs_to_offer(
        &self,
        call: CallId,
        attempt: AttemptId,
        party: &Party,
    ) -> Vec<Codec> {
        let allowed = party.codecs(&self.config);
        let caller = self.calls.get(&call).and_then(|state| state.call.counterpart(attempt));
        let caller = caller.and_then(|caller| self.legs.get(&caller));
        let brought = caller.map(|caller| {
            // One that hears us already has agreed on something: best that. One that has left the
            // offer to us will be made one of what this leg takes.
            let known = caller.agreed_codecs().or_else(|| caller.offered(&self.config));
            known.unwrap_or_else(|| sdp::standard_codecs(caller.party().codecs(&self.config)))
        });
        match brought {
            Some(brought) => self.with_others(&brought, allowed),
            None => sdp::standard_codecs(allowed),
        }
    }

    /// What the partner of `leg` has agreed to, or `None` when it has agreed to nothing yet.
    fn partner_codecs(&self, call: CallId, leg: LegId) -> Option<(LegId, Vec<Codec>)> {
        let partner = self.calls.get(&call)?.call.partner(leg)?;
        let codecs = self.legs.get(&partner)?.agreed_codecs()?;
        Some((partner, codecs))
    }

    /// What to put into the SDP that tells the caller of progress or an answer.
    pub(super) fn codecs_for_caller(&self, call: CallId, caller: LegId) -> Option<Vec<Codec>> {
        let leg = self.legs.get(&caller)?;
        let (_, agreed) = self.partner_codecs(call, caller)?;
        match leg.offered(&self.config) {
            Some(offered) => {
                let allowed = leg.party().codecs(&self.config);
                let answer = self.answer(&offered, &agreed, allowed);
                // A winner that drifted from what was promised is put right after the ACK.
                Some(if has_audio(&answer) { answer } else { offered })
            }
            None => {
                let others = self.with_others(&agreed, leg.party().codecs(&self.config));
                Some(if has_audio(&others) { others } else { agreed })
            }
        }
    }

    /// A leg that is up has offered something new: answer with what the partner has, else ask the
    /// partner first.
    pub(super) fn offered(&mut self, now: Time, leg: LegId, can_wait: bool, out: &mut Vec<Output>) {
        let Some(this) = self.legs.get(&leg) else { return };
        let call = this.call();
        let offered = this.offered(&self.config).unwrap_or_default();
        let partner = self.partner_codecs(call, leg);
        let answer = match &partner {
            Some((_, agreed)) => self.answer(&offered, agreed, this.party().codecs(&self.config)),
            None => sdp::pass_through(&offered, this.party().codecs(&self.config), Order::Offer),
        };
        if has_audio(&answer) {
            return self.with_leg(now, leg, out, |leg, cx| leg.accept_offer(&answer, cx));
        }
        let widened = partner.and_then(|(partner, _)| {
            let allowed = self.legs.get(&partner)?.party().codecs(&self.config);
            let codecs = sdp::pass_through(&offered, allowed, Order::Offer);
            (can_wait && has_audio(&codecs)).then_some((partner, codecs))
        });
        let asked = widened.is_some_and(|(partner, codecs)| {
            let mut asked = false;
            self.with_leg(now, partner, out, |leg, cx| asked = leg.reoffer(codecs, cx));
            asked
        });
        if !asked {
            let status = StatusCode::NOT_ACCEPTABLE_HERE;
            self.with_leg(now, leg, out, |leg, cx| leg.refuse_offer(status, cx));
        }
    }

    /// The offer/answer of a leg is done: answer a partner that waited for it, or bring the two
    /// together again.
    pub(super) fn agreed(&mut self, now: Time, leg: LegId, out: &mut Vec<Output>) {
        let Some(this) = self.legs.get(&leg) else { return };
        let (call, ours) = (this.call(), this.agreed_codecs());
        self.touch(call);
        self.open_for_announcements(leg, out);
        let Some((partner, theirs)) = self.partner_codecs(call, leg) else { return };
        let Some(ours) = ours else { return };
        if self.legs.get(&partner).is_some_and(SipLeg::is_waiting_for_answer) {
            return self.offered(now, partner, false, out);
        }
        let talking = self.calls.get(&call).is_some_and(|state| state.call.is_talking());
        if talking && !self.can_bridge(&ours, &theirs) {
            let allowed = self.legs.get(&partner).map(|leg| leg.party().clone());
            let codecs = allowed
                .map(|party| sdp::pass_through(&ours, party.codecs(&self.config), Order::Offer));
            let codecs = codecs.filter(|codecs| has_audio(codecs));
            let mut asked = false;
            if let Some(codecs) = codecs {
                self.with_leg(now, partner, out, |leg, cx| asked = leg.reoffer(codecs, cx));
            }
            if !asked {
                self.lose_leg(now, leg.max(partner), Cause::INCOMPATIBLE, out);
            }
        }
    }

    /// The partner refused what a leg asked of it through us.
    pub(super) fn offer_failed(&mut self, now: Time, leg: LegId, out: &mut Vec<Output>) {
        let Some(call) = self.legs.get(&leg).map(SipLeg::call) else { return };
        self.touch(call);
        let Some(this) = self.legs.get(&leg) else { return };
        let partner = self.calls.get(&call).and_then(|state| state.call.partner(leg));
        let Some(partner) = partner.and_then(|partner| self.legs.get(&partner)) else { return };
        let other = partner.id();
        if partner.is_waiting_for_answer() {
            let (id, status) = (partner.id(), StatusCode::NOT_ACCEPTABLE_HERE);
            return self.with_leg(now, id, out, |leg, cx| leg.refuse_offer(status, cx));
        }
        let drifted = match (this.agreed_codecs(), partner.agreed_codecs()) {
            (Some(ours), Some(theirs)) => !self.can_bridge(&ours, &theirs),
            (None, _) | (_, None) => false,
        };
        if drifted {
            self.lose_leg(now, leg.max(other), Cause::INCOMPATIBLE, out);
        }
    }

    /// Answers offers that wait for a partner who is not asked because of them any more: it has
    /// turned to somebody else meanwhile (consult, transfer, merge), or has gone.
    pub(super) fn answer_the_forgotten(&mut self, now: Time, call: CallId, out: &mut Vec<Output>) {
        let Some(state) = self.calls.get(&call) else { return };
        let is_asked = |leg| {
            let partner = state.call.partner(leg).and_then(|partner| self.legs.get(&partner));
            partner.is_some_and(SipLeg::is_reoffering)
        };
        let waits = |leg: &LegId| self.legs.get(leg).is_some_and(SipLeg::is_waiting_for_answer);
        let waiting = state.call.legs().iter().map(|leg| leg.leg).filter(waits);
        let forgotten: Vec<_> = waiting.filter(|leg| !is_asked(*leg)).collect();
        for leg in forgotten {
            self.offered(now, leg, false, out);
        }
    }

    pub(super) fn touch(&mut self, call: CallId) {
        if !self.touched.contains(&call) {
            self.touched.push(call);
        }
    }

    /// Makes the streams of a call do what its state says: invariant 3.
    pub(super) fn follow_plan(&mut self, _now: Time, call: CallId, out: &mut Vec<Output>) {
        self.record(call, out);
        let Some(state) = self.calls.get_mut(&call) else { return };
        let plan: Vec<_> = hearing::plan(&state.call).collect();
        for &(leg, _) in &plan {
            let listener = state.listener(leg);
            let Some(leg) = self.legs.get_mut(&leg) else { continue };
            let switched = state.switched(leg.id());
            let queue = state.queue_noise();
            let (speaker, listener) = (leg.party(), listener.as_ref());
            let noise = noise::removal(&self.config, speaker, listener, queue, switched);
            let kept = codes::kept_keys(&self.config, &state.call, leg);
            let new = leg.stream_config(&mut state.codecs, &self.config, noise, kept);
            if let Some(config) = new {
                let stream = Self::stream_of(leg.id());
                out.push(Output::Media(MediaCommand::Configure {
                    stream,
                    config: Box::new(config),
                }));
            }
        }
        let Some(state) = self.calls.get(&call) else { return };
        let hold = self.config.media.hold;
        let heard: Vec<_> = plan
            .into_iter()
            .map(|(leg, hears)| {
                let ours = self.hears_of_ours(state, leg, hears);
                (Self::stream_of(leg), ours.unwrap_or_else(|| sound(hears, hold)))
            })
            .collect();
        let Some(state) = self.calls.get_mut(&call) else { return };
        for (listener, source) in heard {
            if state.told(listener) != Some(source) {
                state.tell(listener, source);
                out.push(Output::Media(MediaCommand::Hear { listener, source }));
            }
        }
    }

    /// Something happened to a stream.
    pub(super) fn media(&mut self, now: Time, event: MediaEvent, out: &mut Vec<Output>) {
        match event {
            MediaEvent::BindFailed { stream, error, taken } => {
                tracing::error!(leg = %leg_of(stream), error, "no socket");
                self.bind_failed(now, leg_of(stream), taken, out);
            }
            MediaEvent::RtpTimeout { stream } => {
                tracing::info!(leg = %leg_of(stream), "no audio: orphan");
                self.lose_leg(now, leg_of(stream), Cause::TIMEOUT, out);
            }
            MediaEvent::Broken { stream } => {
                tracing::error!(leg = %leg_of(stream), "its audio is lost by a fault of ours");
                self.lose_leg(now, leg_of(stream), Cause::INTERNAL, out);
            }
            MediaEvent::Closed { stream, stats } => self.stream_closed(now, stream, &stats, out),
            MediaEvent::Path { stream, event } => self.path(now, leg_of(stream), &event, out),
            MediaEvent::Announced { stream, sound: SoundId::Recording(_) } => {
                self.announced(now, stream, out);
            }
            MediaEvent::Recording(event) => self.recording_told(now, event, out),
            MediaEvent::Dtmf { stream, event, form, kept } => {
                self.key_told(now, leg_of(stream), form, Key { event, is_ours: kept }, out);
            }
            MediaEvent::Stats { stream, stats } => self.measured(leg_of(stream), &stats),
            MediaEvent::Quality { stream, direction, change } => {
                self.quality_changed(now, leg_of(stream), direction, change, out);
            }
            // ATTACKS 34: what is heard; told at most once a second by each worker.
            MediaEvent::Overrun { worker, late_us } if late_us >= LATE_US => {
                tracing::warn!(worker, late_ms = late_us / 1000, "a media worker is late");
            }
            MediaEvent::Overrun { worker, late_us } => {
                tracing::debug!(worker, late_us, "a media worker is a little late");
            }
            MediaEvent::Announced { .. }
            | MediaEvent::FirstPacket { .. }
            | MediaEvent::RtpResumed { .. } => {}
        }
    }
}

/// The media engine's words for what a leg hears.
fn sound(hears: Hears, hold: HoldSound) -> Hear {
    match hears {
        Hears::Nothing => Hear::Nothing,
        Hears::Legs(set) => match set.legs() {
            [one] => Hear::Stream(Core::stream_of(*one)),
            legs => Hear::Mix(legs.iter().map(|leg| Core::stream_of(*leg)).collect()),
        },
        Hears::Hold => match hold {
            HoldSound::Music => Hear::Music,
            HoldSound::Silence => Hear::Silence,
        },
        Hears::Ringback => Hear::Tone(CallTone::Ringback),
        Hears::Silence => Hear::Silence,
    }
}

impl CallState {
    fn told(&self, listener: StreamId) -> Option<Hear> {
        let told = self.hearing.iter().find(|(stream, _)| *stream == listener)?;
        Some(told.1)
    }

    fn tell(&mut self, listener: StreamId, source: Hear) {
        self.hearing.retain(|(stream, _)| *stream != listener);
        self.hearing.push((listener, source));
    }

    /// The key by which the media engine knows `codec` in this call.
    fn key(codecs: &mut Vec<Codec>, codec: &Codec) -> u8 {
        let known = codecs.iter().position(|known| known.same_as(codec));
        let at = known.unwrap_or_else(|| {
            codecs.push(codec.clone());
            codecs.len() - 1
        });
        u8::try_from(at).unwrap_or(u8::MAX)
    }
}

impl SipLeg {
    /// What its stream should do, when that differs from what it was last told.
    fn stream_config(
        &mut self,
        codecs: &mut Vec<Codec>,
        config: &crate::config::Config,
        noise_removal: Option<NoiseRemoval>,
        kept: Digits,
    ) -> Option<StreamConfig> {
        let path = self.path();
        let negotiation = self.negotiation()?;
        let agreed = negotiation.agreed()?;
        // N4: who holds us plays music.
        let plays_music = negotiation.remote().is_some_and(|remote| remote.held);
        let family = self.media().bind.is_ipv4();
        // That it is none of our own open ports (ATTACKS 4) is seen to where these are known.
        let good = |addr: SocketAddr| sdp::is_sendable(addr) && addr.is_ipv4() == family;
        let rtp = agreed.remote_rtp;
        // RFC 3605 may name another host for RTCP: it must be as harmless as that of RTP.
        let rtcp = Some(agreed.remote_rtcp).filter(|&rtcp| good(rtcp)).unwrap_or(rtp);
        let remote =
            good(rtp).then_some(Remote { rtp, rtcp, rtcp_mux: agreed.rtcp_mux || rtcp == rtp });
        let payloads = agreed.payload_map.iter().map(|(codec, send, receive)| Payload {
            codec: media_codec(codec),
            key: CallState::key(codecs, codec),
            send: *send,
            receive: *receive,
            clock_rate: codec.clock_rate,
        });
        let receive = agreed.direction.receives();
        // INTEROP 4: who holds us may as well send nothing, for as long as it likes.
        let may_time_out = receive && !plays_music && self.is_up();
        let new = StreamConfig {
            remote,
            signalling_source: Some(likely_source(self.media().bind, self.signalling_source())),
            payloads: payloads.collect(),
            send: agreed.direction.sends(),
            receive,
            ptime_ms: agreed.ptime,
            rtp_timeout: config.media.rtp_timeout.filter(|_| may_time_out),
            symmetric: true,
            srtp: keying(&agreed.protection),
            path,
            noise_removal: noise_removal
                .map(|noise| NoiseRemoval { enabled: noise.enabled && !plays_music, ..noise }),
            voip_metrics: agreed.voip_metrics,
            keys: Keys { kept, ..self.keys(config) },
            opus: self.opus_wish(),
        };
        self.configured(new)
    }
}

/// Where a peer's packets come from when they do not come from where SDP says.
fn likely_source(bind: IpAddr, signalling: IpAddr) -> IpAddr {
    // What reaches a loopback address was sent on this host, whichever of its addresses the
    // signalling came from: a phone beside us signals and sends from different ones.
    if bind.is_loopback() && !signalling.to_canonical().is_loopback() {
        return bind;
    }
    signalling
}

fn leg_of(stream: StreamId) -> LegId {
    LegId(stream.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phone_beside_us_sends_from_where_it_can_reach_us() {
        for (bind, signalling, source) in [
            // Signals from the address of its network card, sends over loopback.
            ("127.0.0.1", "192.0.2.7", "127.0.0.1"),
            ("::1", "2001:db8::7", "::1"),
            ("127.0.0.1", "::ffff:192.0.2.7", "127.0.0.1"),
            // Which of the loopback addresses it is, counts: they are a host each in our tests.
            ("127.0.0.1", "127.0.0.11", "127.0.0.11"),
            ("127.0.0.1", "::ffff:127.0.0.11", "::ffff:127.0.0.11"),
            // Anywhere else the signalling tells.
            ("192.0.2.1", "203.0.113.9", "203.0.113.9"),
            ("192.0.2.1", "127.0.0.1", "127.0.0.1"),
            ("0.0.0.0", "203.0.113.9", "203.0.113.9"),
        ] {
            let found = likely_source(bind.parse().unwrap(), signalling.parse().unwrap());
            assert_eq!(found, source.parse::<IpAddr>().unwrap(), "{bind} {signalling}");
        }
    }
}
