//! The caller before the answer.

use std::time::Duration;

use base::Time;

use super::client::Purpose;
use super::dialog::{Calling, Dialog, State};
use super::{Agent, SERVER, Timer};
use crate::description::{Direction, Sdp};
use crate::script::{Act, Placing, Reliable};
use crate::text::Msg;

/// An ACK later than this never comes.
const NEVER: Duration = Duration::from_secs(40);

impl Agent {
    pub(super) fn place(&mut self, now: Time, placing: Placing) {
        let id = self.id();
        let ours = self.first_sdp(placing.codecs.list());
        let call_id = format!("{}-{id}-{}", self.profile.user, self.rng.token(8));
        let mut dialog = Dialog::new(&call_id, self.rng.token(8), ours, placing.codecs);
        let (user, ip) = (self.profile.user.clone(), self.profile.address.ip());
        dialog.local = format!("<sip:{user}@{ip}>");
        dialog.remote = format!("<sip:{}@{SERVER}>", placing.to);
        dialog.target = format!("sip:{}@{SERVER}", placing.to);
        dialog.is_caller = true;
        dialog.state = State::Calling;
        dialog.stubborn = placing.stubborn;
        dialog.touched = now;
        if let Some(after) = placing.cancel_after {
            self.timers.arm(Timer::Cancel(id), now + after);
        }
        let interval = placing.session.map_or(0, |(interval, _)| interval);
        dialog.calling = Some(Box::new(Calling {
            placing,
            client: 0,
            provisional: false,
            cancel_wanted: false,
            cancelled: false,
            challenges: 0,
            interval,
            rseq: 0,
            updated: false,
            refused: None,
        }));
        self.dialogs.insert(id, dialog);
        self.invite(now, id, None);
    }

    /// The first description of a dialog. Ports are told apart, so that a test can name them.
    pub(super) fn first_sdp(&self, codecs: Vec<(u8, String)>) -> Sdp {
        let port = 40_000 + u16::try_from(self.ids % 10_000).unwrap_or(0) * 2;
        let ip = self.profile.address.ip().to_string();
        Sdp { id: self.ids, version: 1, ip, port, direction: Direction::SendRecv, codecs }
    }

    /// Sends the INVITE, anew after a 401 or 422.
    fn invite(&mut self, now: Time, id: u64, proof: Option<String>) {
        let (contact, proxy) = (self.contact(), self.profile.proxy.clone());
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        let mut request = dialog.request("INVITE").with("Contact", contact);
        let Some(calling) = &dialog.calling else { return };
        let placing = &calling.placing;
        request = match placing.reliable {
            Reliable::No => request,
            Reliable::Supported => request.with("Supported", "100rel"),
            Reliable::Required => request.with("Require", "100rel"),
        };
        if let Some((_, refresher)) = placing.session {
            let refresher = refresher.map_or(String::new(), |r| format!(";refresher={}", r.name()));
            request = request
                .with("Supported", "timer")
                .with("Session-Expires", format!("{}{refresher}", calling.interval));
        }
        if let Some(proxy) = proxy {
            request = request.with("Record-Route", proxy);
        }
        request = request.with("Allow", "INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK, UPDATE");
        if let Some(proof) = proof {
            request = request.with("Authorization", proof);
        }
        if placing.offer {
            request = request.with_sdp(dialog.ours.print());
        }
        let client = self.request(now, request, Purpose::Invite(id));
        if let Some(calling) = self.dialogs.get_mut(&id).and_then(|d| d.calling.as_mut()) {
            calling.client = client;
            calling.provisional = false;
        }
    }

    pub(super) fn invite_answered(
        &mut self,
        now: Time,
        id: u64,
        request: &Msg,
        msg: &Msg,
        status: u16,
    ) {
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        dialog.touched = now;
        match status {
            100..=199 => self.progressed(now, id, msg, status),
            200..=299 => self.accepted(now, id, msg),
            401 => {
                let Some(calling) = dialog.calling.as_mut() else { return };
                calling.challenges += 1;
                let stop = calling.challenges > 2 || calling.cancelled;
                match (!stop).then(|| self.prove(request, msg)).flatten() {
                    Some(proof) => self.invite(now, id, Some(proof)),
                    None => self.end(id),
                }
            }
            422 => {
                let Some(calling) = dialog.calling.as_mut() else { return };
                calling.challenges += 1;
                calling.interval = msg.number("Min-SE").unwrap_or(0);
                if calling.challenges > 3 || calling.interval < 90 {
                    self.blame("422 without a Min-SE that helps", msg);
                    return self.end(id);
                }
                let proof = self.authorization(request);
                self.invite(now, id, proof);
            }
            _ => self.end(id),
        }
    }

    fn progressed(&mut self, now: Time, id: u64, msg: &Msg, status: u16) {
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        if dialog.state != State::Calling {
            return; // overtaken by the final answer
        }
        let Some(calling) = dialog.calling.as_mut() else { return };
        calling.provisional = true;
        if calling.cancel_wanted && !calling.cancelled {
            calling.cancelled = true;
            let client = calling.client;
            return self.cancel(now, client);
        }
        if status == 100 || calling.cancelled {
            return;
        }
        let reliably = msg.lists("Require", "100rel");
        let wanted = calling.placing.reliable;
        if (wanted == Reliable::No && reliably) || (wanted == Reliable::Required && !reliably) {
            self.blame("100rel against what was asked", msg);
            return;
        }
        if !dialog.remote_tag.is_empty() && dialog.remote_tag != msg.to_tag() {
            return self.blame("a second early dialog", msg);
        }
        dialog.remote_tag = msg.to_tag().to_owned();
        if let Some(contact) = msg.contact() {
            dialog.target = contact;
        }
        if reliably {
            self.prack(now, id, msg);
        } else if let Some(theirs) = Sdp::parse(&msg.body) {
            dialog.theirs = Some(theirs);
        }
    }

    /// RFC 3262 §4.
    fn prack(&mut self, now: Time, id: u64, msg: &Msg) {
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        let Some(calling) = dialog.calling.as_mut() else { return };
        let rseq = msg.number("RSeq").unwrap_or(0);
        if calling.rseq != 0 && rseq != calling.rseq + 1 {
            return; // again, or one before it is missing
        }
        calling.rseq = rseq;
        let rack = format!("{rseq} {} INVITE", msg.cseq());
        let mut prack = dialog.request("PRACK").with("RAck", rack);
        let theirs = Sdp::parse(&msg.body);
        let is_offer = dialog.calling.as_ref().is_some_and(|c| !c.placing.offer);
        if let Some(theirs) = theirs {
            if is_offer && dialog.theirs.is_none() {
                let Some(ours) = dialog.answer(&theirs) else {
                    // Nothing in common: a caller gives up here.
                    self.request(now, prack, Purpose::Prack(id));
                    if !self.cancels_nothing {
                        self.cancel_due(now, id);
                    }
                    return;
                };
                prack = prack.with_sdp(ours.print());
                dialog.ours = ours;
            } else if let Some(fault) = Dialog::fault_of_answer(&dialog.ours, &theirs) {
                self.wrong.push(fault);
            }
            if let Some(dialog) = self.dialogs.get_mut(&id) {
                dialog.theirs = Some(theirs);
            }
        }
        self.request(now, prack, Purpose::Prack(id));
    }

    /// The answer to a PRACK: early media is agreed, and may be changed by UPDATE (RFC 3311).
    pub(super) fn pracked(&mut self, now: Time, id: u64, request: &Msg, msg: &Msg, status: u16) {
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        if dialog.state != State::Calling {
            return;
        }
        if status == 500 {
            // Overtaken by another request of ours: once more, with a higher number.
            dialog.seq += 1;
            let mut again = request.clone();
            again.remove("Via");
            again.set("CSeq", format!("{} PRACK", dialog.seq));
            self.request(now, again, Purpose::Prack(id));
            return;
        }
        let is_agreed = dialog.theirs.is_some();
        let Some(calling) = dialog.calling.as_mut() else { return };
        if status >= 300 {
            // A refusal of the call may be on its way; should it be answered, this was wrong.
            calling.refused = Some(msg.start.clone());
            return;
        }
        if calling.placing.early_update && !calling.updated && is_agreed {
            calling.updated = true;
            self.change(now, id, Act::Hold(crate::script::Hold::SendOnly));
        }
    }

    fn accepted(&mut self, now: Time, id: u64, msg: &Msg) {
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        if let Some(ack) = dialog.acks.get(&msg.cseq()).cloned() {
            if dialog.calling.as_ref().is_none_or(|c| c.placing.slow_ack.is_none()) {
                self.request_ack(ack);
            }
            return;
        }
        let Some(calling) = dialog.calling.as_ref() else { return };
        let (placing, cancelled) = (calling.placing.clone(), calling.cancelled);
        if let Some(refused) = &calling.refused {
            self.wrong.push(format!("answered a call whose PRACK got {refused}"));
        }
        if !dialog.remote_tag.is_empty() && dialog.remote_tag != msg.to_tag() {
            self.blame("answers with another tag than it rang with", msg);
        }
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        dialog.remote_tag = msg.to_tag().to_owned();
        dialog.target = msg.contact().unwrap_or_default();
        let mut ack = dialog.build("ACK", msg.cseq());
        let mut gives_up = cancelled;
        match (Sdp::parse(&msg.body), placing.offer || dialog.theirs.is_some()) {
            (Some(theirs), true) => {
                let fault = Dialog::fault_of_answer(&dialog.ours, &theirs);
                // After an early UPDATE the 2xx repeats no more than what was agreed.
                self.wrong.extend(fault);
                dialog.theirs = Some(theirs);
            }
            (Some(offer), false) => match dialog.answer(&offer) {
                Some(ours) => {
                    ack = ack.with_sdp(ours.print());
                    dialog.ours = ours;
                    dialog.theirs = Some(offer);
                }
                None => gives_up = true, // RFC 3261 §13.2.2.4: ACK, then BYE
            },
            (None, _) if dialog.theirs.is_some() => {}
            (None, _) => self.wrong.push(format!("a 2xx without SDP: {}", msg.call_id())),
        }
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        dialog.acks.insert(msg.cseq(), ack.clone());
        self.timers.disarm(Timer::Cancel(id));
        self.up(now, id, &placing.acts);
        match placing.slow_ack {
            None => self.request_ack(ack),
            Some(after) if after < NEVER => self.timers.arm(Timer::Ack(id), now + after),
            Some(_) => {}
        }
        if gives_up {
            return self.bye(now, id);
        }
        self.start_session(now, id, msg, true);
    }

    pub(super) fn ack_due(&mut self, _now: Time, id: u64) {
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        if let Some(calling) = dialog.calling.as_mut() {
            calling.placing.slow_ack = None;
        }
        if let Some(ack) = dialog.acks.values().next().cloned() {
            self.request_ack(ack);
        }
    }

    /// The caller gives up. RFC 3261 §9.1: not before a provisional answer.
    pub(super) fn cancel_due(&mut self, now: Time, id: u64) {
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        if dialog.state != State::Calling {
            return;
        }
        let Some(calling) = dialog.calling.as_mut() else { return };
        calling.cancel_wanted = true;
        if calling.provisional && !calling.cancelled {
            calling.cancelled = true;
            let client = calling.client;
            self.cancel(now, client);
        }
    }
}
