//! What phones ask for by signalling, with the state that the API sees (H3, T11): transfers by REFER, a
//! leg's place taken by INVITE with Replaces, a second call dialled by hand; and what the API asks of a
//! phone (S11).

use std::collections::BTreeSet;

use base::Time;
use call::control::{Refusal, Verb};
use call::{CallId, Command, LegId, ParticipantId, What};
use sip::event::{Package, Refer};
use sip::message::{Name, NameAddr, Replaces, Request, Scheme, StatusCode, Uri};
use sip::transport::Source;

use super::Core;
use super::reach::{Found, Reach};
use crate::api::{CommandResult, DestinationType, Refused, Reply, To};
use crate::io::Output;
use crate::party::{self, Party};
use crate::sip_leg::SipLeg;

/// What a REFER comes to.
enum Wish {
    /// The others of the call are left to the one who was consulted in it.
    Consulted,
    /// They are left to the other party of another call of the same phone.
    Other(CallId),
    /// They are left to somebody who is called now.
    Blind(Box<Found>),
}

impl Core {
    /// A phone wants its call transferred (T11). Nothing is sent to where the REFER points: its number
    /// goes by the dial plan of whoever asks (ATTACKS 15).
    pub(super) fn referred(&mut self, now: Time, leg: LegId, refer: &Refer, out: &mut Vec<Output>) {
        let wish = self.wish_of(now, leg, refer);
        let Some((call, by)) = self.place_of(leg) else { return };
        let wish = match wish {
            Ok(wish) => wish,
            Err(status) => {
                tracing::info!(%call, %leg, %status, "refuses to transfer");
                return self.with_leg(now, leg, out, |leg, cx| leg.refuse_referral(status, cx));
            }
        };
        self.with_leg(now, leg, out, |leg, cx| leg.accept_referral(cx));
        self.referring.insert(leg);
        let done = match wish {
            Wish::Consulted => {
                let on_failure = self.config.interactions.on_transfer_failure;
                let command = Command::ConsultTransfer { on_failure };
                self.command_call(now, call, by, command, None, out).map(|_| true)
            }
            Wish::Other(other) => {
                // Its lines are hung up in what follows: the verdict goes before.
                self.referral_progress(now, leg, StatusCode::OK, out);
                self.join_and_leave(now, call, other, by, out).map(|()| true)
            }
            Wish::Blind(found) => {
                let referrer = self.referrer(leg, refer);
                self.transfer_by_phone(now, call, by, (*found, referrer), out).map(|_| false)
            }
        };
        match done {
            // Told by what happens.
            Ok(false) => {}
            Ok(true) => self.referral_progress(now, leg, StatusCode::OK, out),
            Err(refused) => {
                let status = status_of(refused.code);
                self.referral_progress(now, leg, status, out);
            }
        }
    }

    fn wish_of(&self, now: Time, leg: LegId, refer: &Refer) -> Result<Wish, StatusCode> {
        let (call, by) = self.place_of(leg).ok_or(StatusCode::CALL_DOES_NOT_EXIST)?;
        let state = self.calls.get(&call).ok_or(StatusCode::CALL_DOES_NOT_EXIST)?;
        let is_agent = state.call.participant(by).map(|one| Party::of_key(one.party));
        let Some(party @ Party::Extension(_)) = is_agent else {
            return Err(StatusCode::FORBIDDEN); // a trunk's far end is nobody's agent
        };
        if let Some(replaces) = &refer.replaces {
            // Our tags in it are those of the phone's other dialog with us.
            let other = self.dialog_of(replaces).filter(|other| !self.is_leaving(*other));
            let other = other.ok_or(StatusCode::CALL_DOES_NOT_EXIST)?;
            let (there, _) = self.place_of(other).ok_or(StatusCode::CALL_DOES_NOT_EXIST)?;
            let is_own = self.legs.get(&other).is_some_and(|leg| *leg.party() == party);
            if !is_own || other == leg {
                return Err(StatusCode::FORBIDDEN);
            }
            if there == call {
                state.call.allows(by, Verb::ConsultTransfer).map_err(status_of)?;
                return Ok(Wish::Consulted);
            }
            let state = self.calls.get(&there).ok_or(StatusCode::CALL_DOES_NOT_EXIST)?;
            let here = &self.calls[&call].call;
            here.may_absorb(&state.call, party.key()).map_err(status_of)?;
            return Ok(Wish::Other(there));
        }
        let number = self.number_of(&refer.target)?;
        state.call.allows(by, Verb::Transfer).map_err(status_of)?;
        let to = To { to: number, destination_type: DestinationType::DialNumber };
        let found = self.target(call, by, &to).map_err(|refused| status_of(refused.code))?;
        if !self.has_phone(now, &found.party) {
            return Err(StatusCode::TEMPORARILY_UNAVAILABLE); // T3
        }
        Ok(Wish::Blind(Box::new(found)))
    }

    /// Who is said to transfer a call (RFC 3892 §2.2): whom the phone names, else its own user. Whoever
    /// is of this house or has a telephone number only is its user, whatever it says (ATTACKS 12).
    fn referrer(&self, leg: LegId, refer: &Refer) -> Option<NameAddr> {
        let config = &*self.config;
        let user = &config.extensions[self.legs.get(&leg)?.party().extension()?];
        let own = [Some(&user.number), user.caller_id.as_ref()];
        let is_true = |said: &NameAddr| {
            let is_ours = said.uri.scheme == Scheme::Tel || party::is_our_host(config, &said.uri);
            let named = said.uri.user_unescaped().unwrap_or_default();
            !is_ours || own.into_iter().flatten().any(|own| **own == *named)
        };
        refer.referred_by.clone().filter(is_true).or_else(|| {
            let address = Uri::sip(&user.number, party::host(&config.realm), None);
            Some(NameAddr::new(address).with_display(&user.display_name))
        })
    }

    fn transfer_by_phone(
        &mut self,
        now: Time,
        call: CallId,
        by: ParticipantId,
        (found, referred_by): (Found, Option<NameAddr>),
        out: &mut Vec<Output>,
    ) -> CommandResult {
        let state = self.calls.get(&call).ok_or(Refusal::NotFound)?;
        let other = state.other_than(by).unwrap_or(by);
        let from = state.identity(other, &self.config);
        let (callee, (reach, name)) = self.prepared(call, by, found, from);
        let reach = (Reach { referred_by, ..reach }, name);
        let on_failure = self.config.interactions.on_transfer_failure;
        let command = Command::Transfer { callee, on_failure, stays: true };
        self.command_call(now, call, by, command, Some(reach), out)
    }

    /// The others of both calls talk to each other, the agent who was in both leaves.
    fn join_and_leave(
        &mut self,
        now: Time,
        call: CallId,
        other: CallId,
        by: ParticipantId,
        out: &mut Vec<Output>,
    ) -> Result<(), Refused> {
        let state = self.calls.get(&call).ok_or(Refusal::NotFound)?;
        let party = state.call.participant(by).ok_or(Refusal::NotFound)?.party;
        // Both lines of the phone wait for the BYE after the NOTIFY.
        self.absorb(now, call, other, party, out)?;
        self.with_call(now, call, out, |state, now, commands| {
            state.call.withdraw(now, by, commands);
        });
        Ok(())
    }

    /// Tells whoever referred a call how it fares (RFC 3515 §2.4.5).
    fn referral_progress(
        &mut self,
        now: Time,
        leg: LegId,
        status: StatusCode,
        out: &mut Vec<Output>,
    ) {
        self.with_leg(now, leg, out, |leg, cx| leg.referral_progress(status, cx));
    }

    /// What happens in a call, for the phone that asked for a transfer in it.
    pub(super) fn tell_referrer(
        &mut self,
        now: Time,
        call: CallId,
        happening: call::Happening,
        out: &mut Vec<Output>,
    ) {
        let status = if happening.what == What::TransferCompleted {
            StatusCode::OK
        } else if happening.what == What::TransferFailed {
            let cause = happening.cause.map_or(480, call::Cause::status);
            if cause < 300 { StatusCode::TEMPORARILY_UNAVAILABLE } else { StatusCode(cause) }
        } else if happening.what == What::Ringing {
            StatusCode::RINGING
        } else {
            return;
        };
        let legs = &self.legs;
        self.referring.retain(|id| legs.get(id).is_some_and(SipLeg::has_referral));
        let of_call = |id: &&LegId| legs.get(id).is_some_and(|leg| leg.call() == call);
        let referrers: Vec<_> = self.referring.iter().filter(of_call).copied().collect();
        for leg in referrers {
            self.referral_progress(now, leg, status, out);
        }
    }

    /// The call and the participant that a leg belongs to.
    pub(super) fn place_of(&self, leg: LegId) -> Option<(CallId, ParticipantId)> {
        let call = self.legs.get(&leg)?.call();
        Some((call, self.calls.get(&call)?.call.leg(leg)?.of))
    }

    fn is_leaving(&self, leg: LegId) -> bool {
        self.legs.get(&leg).is_some_and(|leg| leg.is_leaving())
    }

    /// The leg whose dialog a Replaces means, RFC 3891 §3; one that has not quite gone is found too.
    fn dialog_of(&self, replaces: &Replaces) -> Option<LegId> {
        let key = (replaces.call_id.clone(), replaces.to_tag.clone());
        let leg = *self.dialogs.get(&key)?;
        self.legs.get(&leg)?.has_remote_tag(&replaces.from_tag).then_some(leg)
    }

    /// The number that a URI of a phone means here; a foreign host is nobody's number.
    fn number_of(&self, uri: &Uri) -> Result<String, StatusCode> {
        if uri.scheme != Scheme::Tel && !party::is_our_host(&self.config, uri) {
            return Err(StatusCode::FORBIDDEN);
        }
        Ok(crate::numbers::clean(&uri.user_unescaped().unwrap_or_default()))
    }

    /// INVITE with Replaces: whose place the new leg takes. RFC 3891 §3's answers where it takes none.
    pub(super) fn to_replace(
        &self,
        caller: &Party,
        request: &Request,
    ) -> Result<Option<Taking>, StatusCode> {
        let mut values = request.headers.list(Name::Replaces);
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() || request.headers.has(Name::Join) {
            return Err(StatusCode::BAD_REQUEST);
        }
        let replaces = Replaces::parse(value).map_err(|_| StatusCode::BAD_REQUEST)?;
        let leg = self.dialog_of(&replaces).ok_or(StatusCode::CALL_DOES_NOT_EXIST)?;
        let place = self.place_of(leg).filter(|_| !self.is_leaving(leg));
        let (call, _) = place.ok_or(StatusCode::DECLINE)?; // it is over
        let this = self.legs.get(&leg).ok_or(StatusCode::CALL_DOES_NOT_EXIST)?;
        let is_same = this.party() == caller;
        if this.is_up() {
            if replaces.early_only {
                return Err(StatusCode::BUSY_HERE);
            }
            // Another phone of the same user, or the gateway's own other leg.
            return if is_same {
                Ok(Some(Taking::Place(call, leg)))
            } else {
                Err(StatusCode::FORBIDDEN)
            };
        }
        if !this.is_placing() {
            return Err(StatusCode::CALL_DOES_NOT_EXIST); // an early dialog that we did not begin
        }
        let may = is_same || self.config.interactions.pickup;
        let is_agent = matches!(caller, Party::Extension(_));
        if may && is_agent {
            Ok(Some(Taking::Ringing(call, leg)))
        } else {
            Err(StatusCode::FORBIDDEN)
        }
    }

    /// The call in which a call that `caller` dials by hand is a consult: one of theirs whose others
    /// the phone has put on hold (H3).
    pub(super) fn consulting_by_hand(&self, caller: &Party) -> Option<(CallId, ParticipantId)> {
        let own = self.legs.of_extension(caller.extension()?);
        let calls: BTreeSet<_> = own.filter_map(|leg| Some(self.legs.get(&leg)?.call())).collect();
        calls.into_iter().rev().find_map(|id| {
            let call = &self.calls.get(&id)?.call;
            let who = call.of_party(caller.key())?;
            let holds = call.legs().iter().any(|leg| leg.of == who && leg.holds);
            (holds && call.allows(who, Verb::Consult).is_ok()).then_some((id, who))
        })
    }

    /// S11: asks the ringing phone of a participant to answer.
    pub(super) fn answer_phone(
        &mut self,
        now: Time,
        call: CallId,
        who: ParticipantId,
        out: &mut Vec<Output>,
    ) -> CommandResult {
        let state = self.calls.get(&call).ok_or(Refusal::NotFound)?;
        let own = state.call.legs().iter().filter(|leg| leg.of == who && leg.is_candidate());
        let ringing: Vec<_> = own.map(|leg| leg.leg).collect();
        if ringing.is_empty() {
            return Err(Refusal::InvalidState.into());
        }
        for leg in ringing {
            let mut asked = false;
            self.with_leg(now, leg, out, |leg, cx| {
                asked = leg.drive(&Package::Talk, cx);
            });
            if asked {
                let shown = self.show(now, call).ok_or(Refusal::NotFound)?;
                return Ok(Reply::Pending(Box::new(shown)));
            }
        }
        let why = "the phone cannot be answered from here: answer it by hand";
        Err(Refused::new(Refusal::InvalidState, why))
    }

    /// A call held by the API: where its phone knows the event, it is asked to hold too, so that it
    /// shows so and its own key takes the call back (S11). The others are on hold whatever it does. Who
    /// has dialled a code would dial none to a phone that holds: it is not asked then.
    pub(super) fn hold_phone(
        &mut self,
        now: Time,
        call: CallId,
        who: ParticipantId,
        out: &mut Vec<Output>,
    ) {
        let Some(state) = self.calls.get(&call) else { return };
        let open = state.call.legs().iter().filter(|leg| leg.of == who && !leg.holds);
        let open: Vec<_> = open.map(|leg| leg.leg).collect();
        for leg in open {
            self.with_leg(now, leg, out, |leg, cx| {
                let _ = leg.is_up() && leg.drive(&Package::Hold, cx);
            });
        }
    }

    /// A call resumed by command, or a consult begun, whose phone holds by itself or is about to: the
    /// phone is asked to go on (S11).
    pub(super) fn wake_phone(
        &mut self,
        now: Time,
        call: CallId,
        who: ParticipantId,
        out: &mut Vec<Output>,
    ) {
        let Some(state) = self.calls.get(&call) else { return };
        let own = state.call.legs().iter().filter(|leg| leg.of == who);
        let own: Vec<_> = own.map(|leg| (leg.leg, leg.holds)).collect();
        for (leg, holds) in own {
            self.with_leg(now, leg, out, |leg, cx| {
                let is_asleep = leg.is_up() && (holds || leg.is_to_hold());
                let _ = is_asleep && leg.drive(&Package::Talk, cx);
            });
        }
    }

    /// A trunk or phone takes the place of a leg of its own, or a phone the call that rings elsewhere.
    pub(super) fn take(
        &mut self,
        now: Time,
        request: Request,
        source: &Source,
        caller: &Party,
        taking: Taking,
        out: &mut Vec<Output>,
    ) {
        let (Taking::Place(call, old) | Taking::Ringing(call, old)) = taking;
        let Some(new) = self.leg_into(now, call, request, source, caller, out) else { return };
        let key = caller.key();
        match taking {
            Taking::Place(..) => {
                let mut done = Err(Refusal::NotFound);
                self.with_call(now, call, out, |state, now, commands| {
                    done = state.call.replace(now, old, new, key, commands);
                });
                if done.is_err() {
                    let cause = call::Cause::DECLINED;
                    self.with_leg(now, new, out, |leg, cx| leg.release(cause, false, cx));
                } else {
                    self.counts_instead(call, old, new);
                }
            }
            Taking::Ringing(..) => {
                let done = self.answer_ringing(now, new, out);
                let mut taken = Err(Refusal::InvalidState);
                if done {
                    self.with_call(now, call, out, |state, now, commands| {
                        taken = state.call.take_ringing(now, old, new, key, commands);
                    });
                }
                if taken.is_err() {
                    let cause = call::Cause::DECLINED;
                    self.with_leg(now, new, out, |leg, cx| leg.release(cause, false, cx));
                }
            }
        }
    }
}

impl Core {
    /// Answers a phone that takes a call, with what it offers: its partner follows.
    fn answer_ringing(&mut self, now: Time, new: LegId, out: &mut Vec<Output>) -> bool {
        let Some(leg) = self.legs.get(&new) else { return false };
        let allowed = leg.party().codecs(&self.config);
        let codecs = match leg.offered(&self.config) {
            Some(offered) => sdp::pass_through(&offered, allowed, sdp::Order::Offer),
            None => sdp::standard_codecs(allowed),
        };
        let may = super::codecs::has_audio(&codecs);
        if may {
            self.with_leg(now, new, out, |leg, cx| leg.answer(&codecs, Vec::new(), cx));
        }
        may
    }
}

/// Whose place a new leg takes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Taking {
    /// Of a leg that is up.
    Place(CallId, LegId),
    /// Of a phone that rings (I2).
    Ringing(CallId, LegId),
}

/// A refusal as SIP says it to a phone.
pub(super) fn status_of(refusal: Refusal) -> StatusCode {
    match refusal {
        Refusal::NotFound => StatusCode::NOT_FOUND,
        Refusal::Forbidden | Refusal::NotOwner => StatusCode::FORBIDDEN,
        Refusal::InvalidDialNumber => StatusCode::ADDRESS_INCOMPLETE,
        Refusal::UnsupportedDestination => StatusCode::NOT_FOUND,
        Refusal::AgentNotAvailable | Refusal::AgentInWrapUp => StatusCode::TEMPORARILY_UNAVAILABLE,
        Refusal::CallLimitNode | Refusal::CallLimitTenant | Refusal::CallLimitTrunk => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Refusal::InvalidState
        | Refusal::EndWhileHeld
        | Refusal::AlreadyHeld
        | Refusal::RecordingPauseNotAllowed
        | Refusal::PostCall
        | Refusal::ConferenceFull
        | Refusal::ConsultInProgress
        | Refusal::OfferPending
        | Refusal::CallbackStarted
        | Refusal::NoisePolicyLocked
        | Refusal::VariableConflict
        | Refusal::VariableTooLong
        | Refusal::CallbackTooSoon
        | Refusal::CallbackTooLate
        | Refusal::Validation => StatusCode::DECLINE,
    }
}
