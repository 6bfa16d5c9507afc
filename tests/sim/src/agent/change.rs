//! Re-INVITE and UPDATE, both ways.

use std::time::Duration;

use base::Time;

use super::client::Purpose;
use super::dialog::{Change, Dialog, State};
use super::{Agent, Timer};
use crate::description::Sdp;
use crate::script::Act;
use crate::text::Msg;

impl Agent {
    /// Begins a change of ours.
    pub(super) fn change(&mut self, now: Time, id: u64, act: Act) {
        let contact = self.contact();
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        let is_early = dialog.state == State::Calling;
        let method = if act == Act::Update || is_early { "UPDATE" } else { "INVITE" };
        let proposal = (act != Act::Offerless).then(|| dialog.proposal(act));
        let request = dialog.request(method).with("Contact", contact);
        let mut request = Self::with_session(dialog, request);
        // A refresh by UPDATE needs no SDP; half of the phones send it all the same.
        let is_bare = act == Act::Update && dialog.is_caller;
        if let Some(sdp) = proposal.as_ref().filter(|_| !is_bare) {
            request = request.with_sdp(sdp.print());
        }
        let proposal = proposal.filter(|_| !is_bare);
        dialog.touched = now;
        let client = self.request(now, request, Purpose::Change(id));
        if let Some(dialog) = self.dialogs.get_mut(&id) {
            dialog.change = Some(Change { client, act, proposal, challenged: false });
        }
    }

    pub(super) fn drop_change(&mut self, id: u64) {
        if let Some(dialog) = self.dialogs.get_mut(&id) {
            dialog.change = None;
        }
    }

    pub(super) fn change_answered(
        &mut self,
        now: Time,
        id: u64,
        request: &Msg,
        msg: &Msg,
        status: u16,
    ) {
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        if status < 200 {
            return;
        }
        dialog.touched = now;
        if status < 300 && request.method() == "INVITE" {
            if let Some(ack) = dialog.acks.get(&msg.cseq()).cloned() {
                self.request_ack(ack);
                return;
            }
            if dialog.state != State::Up {
                // Hung up meanwhile: the ACK is owed all the same.
                let ack = dialog.build("ACK", msg.cseq());
                dialog.acks.insert(msg.cseq(), ack.clone());
                self.request_ack(ack);
                return;
            }
        }
        let Some(change) = &dialog.change else { return };
        let (act, challenged) = (change.act, change.challenged);
        match status {
            200..=299 => self.change_accepted(now, id, msg),
            401 if !challenged => {
                if let Some(proof) = self.prove(request, msg) {
                    self.change_again(now, id, request, &proof);
                } else {
                    self.drop_change(id);
                }
            }
            491 => {
                let is_caller = dialog.is_caller;
                dialog.change = None;
                // RFC 3261 §14.1, in steps of 10 ms.
                let wait = if is_caller {
                    2100 + self.rng.below(191) * 10
                } else {
                    self.rng.below(201) * 10
                };
                self.again(now, id, act, Duration::from_millis(wait));
            }
            500 => {
                dialog.change = None;
                let wait = msg.number("Retry-After").unwrap_or(1);
                self.again(now, id, act, Duration::from_secs(wait) + Duration::from_millis(10));
            }
            408 | 481 => {
                dialog.change = None;
                self.bye(now, id);
            }
            _ => dialog.change = None,
        }
        self.restore_wish(id);
    }

    /// What was asked and refused is not wanted any more.
    fn restore_wish(&mut self, id: u64) {
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        if dialog.change.is_none() {
            dialog.unaddressed = dialog.ours.is_unaddressed();
            if dialog.ours.direction != crate::description::Direction::RecvOnly {
                dialog.wish = dialog.ours.direction;
            }
        }
    }

    fn change_again(&mut self, now: Time, id: u64, request: &Msg, proof: &str) {
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        dialog.seq += 1;
        let mut request = request.clone();
        request.remove("Via");
        request.set("CSeq", format!("{} {}", dialog.seq, request.method()));
        request.set("Authorization", proof);
        let client = self.request(now, request, Purpose::Change(id));
        if let Some(change) = self.dialogs.get_mut(&id).and_then(|dialog| dialog.change.as_mut()) {
            change.client = client;
            change.challenged = true;
        }
    }

    fn change_accepted(&mut self, now: Time, id: u64, msg: &Msg) {
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        let Some(change) = dialog.change.take() else { return };
        if let Some(contact) = msg.contact() {
            dialog.target = contact;
        }
        let mut fault = None;
        let mut answer = None;
        match (&change.proposal, Sdp::parse(&msg.body)) {
            (Some(ours), Some(theirs)) => {
                fault = Dialog::fault_of_answer(ours, &theirs);
                dialog.ours = ours.clone();
                dialog.theirs = Some(theirs);
            }
            (Some(_), None) => fault = Some("a 2xx without an answer".to_owned()),
            (None, Some(offer)) if change.act == Act::Offerless => {
                answer = dialog.answer(&offer);
                match &answer {
                    Some(ours) => {
                        dialog.ours = ours.clone();
                        dialog.theirs = Some(offer);
                    }
                    None => fault = Some("offers nothing of what is in use".to_owned()),
                }
            }
            (None, None) if change.act == Act::Offerless => {
                fault = Some("a 2xx without an offer".to_owned());
            }
            (None, Some(_)) => fault = Some("SDP in the answer to an empty UPDATE".to_owned()),
            (None, None) => {}
        }
        if msg.method() == "INVITE" {
            let mut ack = dialog.build("ACK", msg.cseq());
            if let Some(answer) = answer {
                ack = ack.with_sdp(answer.print());
            }
            dialog.acks.insert(msg.cseq(), ack.clone());
            self.request_ack(ack);
        }
        if let Some(fault) = fault {
            self.blame(&fault, msg);
        }
        self.start_session(now, id, msg, true);
    }

    /// An ACK of a 2xx is a transaction of its own (RFC 3261 §13.2.2.4).
    pub(super) fn request_ack(&mut self, ack: Msg) {
        let branch = format!("z9hG4bK-ack-{}-{}", self.profile.user, self.rng.token(8));
        let address = self.whereabouts();
        let via = format!("SIP/2.0/{} {address};branch={branch};rport", self.transport());
        let mut ack = ack;
        ack.headers.insert(0, ("Via".to_owned(), via));
        self.send(&ack);
    }

    /// The server asks for a change.
    pub(super) fn change_asked(&mut self, now: Time, id: u64, server: u64, msg: Msg) {
        let Some(dialog) = self.dialogs.get(&id) else { return };
        let is_invite = msg.method() == "INVITE";
        let has_offer = is_invite || msg.has_sdp();
        let glare = dialog.change.as_ref().is_some_and(|change| {
            self.is_open(change.client)
                && (change.proposal.is_some() || change.act == Act::Offerless)
        });
        if dialog.state != State::Up && is_invite {
            self.blame("INVITE inside an early dialog", &msg);
        } else if dialog.asked.is_some() && has_offer {
            self.blame("a second change before the first is answered", &msg);
            self.respond(now, server, Msg::response(&msg, 500, "").with("Retry-After", "1"));
        } else if (glare && has_offer) || (is_invite && dialog.unacked.is_some()) {
            self.respond(now, server, Msg::response(&msg, 491, ""));
        } else if is_invite {
            self.respond(now, server, Msg::response(&msg, 100, ""));
            let wait = self.below(300);
            if let Some(dialog) = self.dialogs.get_mut(&id) {
                dialog.asked = Some((server, msg));
            }
            if !self.hesitates {
                self.timers.arm(Timer::Reply(id), now + wait);
            }
        } else {
            self.accept(now, id, server, &msg);
        }
    }

    pub(super) fn reply(&mut self, now: Time, id: u64) {
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        let Some((server, msg)) = dialog.asked.take() else { return };
        self.accept(now, id, server, &msg);
    }

    fn accept(&mut self, now: Time, id: u64, server: u64, msg: &Msg) {
        let contact = self.contact();
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        dialog.touched = now;
        let mut response = Msg::response(msg, 200, "").with("Contact", contact);
        if msg.has_sdp() {
            let offer = Sdp::parse(&msg.body);
            let fits = |offer: &Sdp| !dialog.stubborn || offer.has_audio_of(&dialog.ours);
            let offer = offer.filter(fits);
            let answer = offer.as_ref().and_then(|offer| dialog.answer(offer));
            let Some(answer) = answer else {
                return self.respond(now, server, Msg::response(msg, 488, ""));
            };
            response = response.with_sdp(answer.print());
            dialog.ours = answer;
            dialog.theirs = offer;
        }
        if let Some((interval, refresher)) = msg.session_expires() {
            // The roles stay as they were asked for.
            let refresher = refresher.unwrap_or("uac".to_owned());
            response =
                response.with("Session-Expires", format!("{interval};refresher={refresher}"));
            if refresher == "uac" {
                response = response.with("Require", "timer");
            }
        }
        self.start_session(now, id, &response, false);
        self.respond(now, server, response.clone());
        if msg.method() == "INVITE" {
            self.await_ack(now, id, response);
        }
    }
}
