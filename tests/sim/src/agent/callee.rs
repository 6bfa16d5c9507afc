//! The callee before its answer, and all the forks it may pretend to be.

use std::collections::BTreeMap;
use std::time::Duration;

use base::Time;

use super::dialog::{Dialog, Reliably, State};
use super::{Agent, GIVE_UP, T1, Timer};
use crate::description::Sdp;
use crate::script::{Answering, Step};
use crate::text::Msg;

/// An INVITE of the server.
#[derive(Debug)]
pub(super) struct Incoming {
    invite: Msg,
    server: u64,
    answering: Answering,
    forks: BTreeMap<u8, u64>,
    is_over: bool,
}

impl Agent {
    pub(super) fn invited(&mut self, now: Time, server: u64, invite: Msg) {
        let answering = match self.plans.pop_front() {
            Some(answering) => answering,
            None if self.takes_any => Answering::random(&mut self.rng, self.profile.is_gateway),
            None => Answering::refuse(0, 486),
        };
        if !invite.has_sdp() {
            self.blame("INVITE without an offer", &invite);
        }
        if !self.is_slow {
            self.respond(now, server, Msg::response(&invite, 100, ""));
        }
        let id = self.id();
        for (at, (after, _)) in answering.steps.iter().enumerate() {
            self.timers.arm(Timer::Step(id, at), now + *after);
        }
        let (forks, is_over) = (BTreeMap::new(), false);
        self.incoming.insert(id, Incoming { invite, server, answering, forks, is_over });
    }

    pub(super) fn step(&mut self, now: Time, id: u64, at: usize) {
        let Some(incoming) = self.incoming.get(&id) else { return };
        let Some((_, step)) = incoming.answering.steps.get(at).cloned() else { return };
        let invite = incoming.invite.clone();
        // A second fork may answer although the first has; nothing else happens after the end.
        let answers = matches!(step, Step::Answer(_));
        let has_answered =
            incoming.forks.values().any(|fork| self.dialogs[fork].state == State::Up);
        if incoming.is_over && !(answers && has_answered) {
            return;
        }
        let waits = incoming.forks.values().any(|fork| self.dialogs[fork].reliable.is_some());
        if waits && !incoming.is_over {
            // RFC 3262 §3: one thing at a time.
            return self.timers.arm(Timer::Step(id, at), now + Duration::from_millis(200));
        }
        match step {
            Step::Ring(fork) => self.progress(now, id, fork, 180, false),
            Step::Early { fork, reliable } => self.progress(now, id, fork, 183, reliable),
            Step::Answer(fork) => self.answer_call(now, id, fork),
            Step::Refuse(status) => {
                let response = Msg::response(&invite, status, "refused");
                let response =
                    if status == 503 { response.with("Retry-After", "3") } else { response };
                self.finish(now, id, response);
            }
            Step::Redirect(uri) => {
                let response = Msg::response(&invite, 302, "moved");
                self.finish(now, id, response.with("Contact", format!("<{uri}>")));
            }
            Step::Challenge => {
                if !self.lets_in(&invite) {
                    let response = self.challenged(&invite);
                    self.again_with_same_plan(id);
                    self.finish(now, id, response);
                }
            }
            Step::TooSmall(min) => {
                let granted = invite.session_expires().is_some_and(|(asked, _)| asked >= min);
                if !granted {
                    let response = Msg::response(&invite, 422, "small");
                    self.again_with_same_plan(id);
                    self.finish(now, id, response.with("Min-SE", min.to_string()));
                }
            }
        }
    }

    /// The INVITE that comes after this refusal is taken as this one would have been.
    fn again_with_same_plan(&mut self, id: u64) {
        if let Some(incoming) = self.incoming.get(&id) {
            let mut answering = incoming.answering.clone();
            // Were it asked twice, that would be for ever.
            answering.steps.retain(|(_, step)| !matches!(step, Step::TooSmall(_)));
            self.plans.push_front(answering);
        }
    }

    /// A refusal: every fork is over.
    fn finish(&mut self, now: Time, id: u64, response: Msg) {
        let Some(incoming) = self.incoming.get_mut(&id) else { return };
        incoming.is_over = true;
        let (server, forks) = (incoming.server, incoming.forks.clone());
        for fork in forks.values() {
            self.end(*fork);
        }
        self.respond(now, server, response);
    }

    /// The dialog of a fork, made when it first speaks.
    fn fork(&mut self, now: Time, id: u64, fork: u8) -> Option<u64> {
        let incoming = self.incoming.get(&id)?;
        if let Some(&known) = incoming.forks.get(&fork) {
            return Some(known);
        }
        let (invite, answering) = (incoming.invite.clone(), incoming.answering.clone());
        let dialog_id = self.id();
        let ours = self.first_sdp(answering.codecs.list());
        let tag = format!("fork{fork}-{}", self.rng.token(6));
        let mut dialog = Dialog::new(invite.call_id(), tag, ours, answering.codecs);
        let ip = self.profile.address.ip();
        dialog.local = format!("<sip:{}@{ip}>", self.profile.user);
        dialog.remote = format!("<{}>", crate::text::uri_in(invite.get("From").unwrap_or("")));
        dialog.remote_tag = invite.sender_tag().to_owned();
        dialog.target = invite.contact().unwrap_or_default();
        dialog.remote_seq = invite.cseq();
        dialog.stubborn = answering.stubborn;
        dialog.takes_update = answering.takes_update;
        dialog.touched = now;
        // Our To is theirs, tag apart (RFC 3261 §12.1.1); its host stays our own address.
        self.dialogs.insert(dialog_id, dialog);
        self.incoming.get_mut(&id)?.forks.insert(fork, dialog_id);
        Some(dialog_id)
    }

    /// A response of one fork.
    fn of_fork(&self, invite: &Msg, fork: u64, status: u16) -> Msg {
        let Some(dialog) = self.dialogs.get(&fork) else { return invite.clone() };
        let response = Msg::response(invite, status, &dialog.local_tag);
        let response = response.with("Contact", self.contact());
        match &self.profile.proxy {
            Some(proxy) => response.with("Record-Route", proxy.clone()),
            None => response,
        }
    }

    fn progress(&mut self, now: Time, id: u64, fork: u8, status: u16, reliably: bool) {
        let Some(fork) = self.fork(now, id, fork) else { return };
        let Some(incoming) = self.incoming.get(&id) else { return };
        let (invite, server) = (incoming.invite.clone(), incoming.server);
        let mut response = self.of_fork(&invite, fork, status);
        let reliably = reliably && invite.lists("Supported", "100rel");
        if status == 183 {
            let Some(dialog) = self.dialogs.get_mut(&fork) else { return };
            let offer = Sdp::parse(&invite.body);
            let answer = offer.as_ref().and_then(|offer| dialog.answer(offer));
            let Some(answer) = answer else {
                return self.finish(now, id, Msg::response(&invite, 488, "codecs"));
            };
            response = response.with_sdp(answer.print());
            dialog.ours = answer;
            dialog.theirs = offer;
            dialog.described |= reliably;
        }
        let Some(dialog) = self.dialogs.get_mut(&fork) else { return };
        if reliably {
            dialog.rseq += 1;
            let rseq = dialog.rseq.to_string();
            response = response.with("Require", "100rel").with("RSeq", rseq);
            let until = now + GIVE_UP;
            let again = response.clone();
            dialog.reliable = Some(Reliably { response: again, server, interval: T1, until });
            self.timers.arm(Timer::Reliable(fork), now + T1);
        }
        self.respond(now, server, response);
    }

    pub(super) fn reliable_due(&mut self, now: Time, id: u64) {
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        let Some(reliable) = &mut dialog.reliable else { return };
        if now >= reliable.until {
            let incoming = self.incoming.iter().find(|(_, i)| i.forks.values().any(|f| *f == id));
            if let Some((&incoming, Incoming { invite, .. })) = incoming {
                let response = Msg::response(invite, 504, "noprack");
                self.finish(now, incoming, response);
            }
            return;
        }
        reliable.interval *= 2;
        let next = (now + reliable.interval).min(reliable.until);
        let (server, response) = (reliable.server, reliable.response.clone());
        self.timers.arm(Timer::Reliable(id), next);
        self.respond(now, server, response);
    }

    pub(super) fn prack_received(&mut self, now: Time, id: u64, server: u64, msg: &Msg) {
        let contact = self.contact();
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        let expected = dialog
            .reliable
            .as_ref()
            .map(|r| format!("{} {} INVITE", dialog.rseq, r.response.cseq()));
        let given = msg.get("RAck").unwrap_or("").to_owned();
        if expected.as_deref() == Some(given.as_str()) {
            dialog.reliable = None;
            self.timers.disarm(Timer::Reliable(id));
            self.respond(now, server, Msg::response(msg, 200, "").with("Contact", contact));
        } else {
            if dialog.state == State::Ringing {
                self.blame(&format!("RAck {given}, expected {expected:?}"), msg);
            }
            self.respond(now, server, Msg::response(msg, 481, ""));
        }
    }

    fn answer_call(&mut self, now: Time, id: u64, fork: u8) {
        let Some(fork) = self.fork(now, id, fork) else { return };
        let Some(incoming) = self.incoming.get_mut(&id) else { return };
        let (invite, server) = (incoming.invite.clone(), incoming.server);
        let answering = incoming.answering.clone();
        let mut response = self.of_fork(&invite, fork, 200);
        let Some(dialog) = self.dialogs.get_mut(&fork) else { return };
        if !dialog.described {
            let offer = Sdp::parse(&invite.body);
            // What was said in an unreliable 183 is repeated.
            let answer = match &dialog.theirs {
                Some(_) => Some(dialog.ours.clone()),
                None => offer.as_ref().and_then(|offer| dialog.answer(offer)),
            };
            let Some(answer) = answer else {
                return self.finish(now, id, Msg::response(&invite, 488, "codecs"));
            };
            response = response.with_sdp(answer.print());
            dialog.ours = answer;
            dialog.theirs = dialog.theirs.take().or(offer);
        }
        let methods = "INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK";
        let update = if answering.takes_update { ", UPDATE" } else { "" };
        response = response.with("Allow", format!("{methods}{update}"));
        if let Some((interval, refresher)) = answering.session
            && let Some((asked, _)) = invite.session_expires()
        {
            let least = invite.number("Min-SE").unwrap_or(90);
            let interval = interval.max(least).min(asked);
            let value = format!("{interval};refresher={}", refresher.name());
            response = response.with("Session-Expires", value).with("Require", "timer");
        }
        if let Some(incoming) = self.incoming.get_mut(&id) {
            incoming.is_over = true;
        }
        self.up(now, fork, &answering.acts);
        self.start_session(now, fork, &response, false);
        self.respond(now, server, response.clone());
        self.await_ack(now, fork, response);
        self.end_silent_forks(id, &answering);
    }

    /// Forks that will never answer are over once another one has.
    fn end_silent_forks(&mut self, id: u64, answering: &Answering) {
        let Some(incoming) = self.incoming.get(&id) else { return };
        let answers =
            |fork: u8| answering.steps.iter().any(|(_, step)| *step == Step::Answer(fork));
        let silent: Vec<_> = incoming.forks.iter().filter(|(f, _)| !answers(**f)).collect();
        let silent: Vec<_> = silent.into_iter().map(|(_, &dialog)| dialog).collect();
        for dialog in silent {
            self.end(dialog);
        }
    }

    /// A CANCEL for an INVITE.
    pub(super) fn cancelled(&mut self, now: Time, server: u64) {
        let is_asked = |dialog: &&mut Dialog| dialog.asked.as_ref().is_some_and(|a| a.0 == server);
        if let Some((server, asked)) =
            self.dialogs.values_mut().find(is_asked).and_then(|d| d.asked.take())
        {
            return self.respond(now, server, Msg::response(&asked, 487, ""));
        }
        let found = self.incoming.iter().find(|(_, incoming)| incoming.server == server);
        let Some((&id, incoming)) = found else { return };
        if incoming.is_over || incoming.answering.ignores_cancel {
            return;
        }
        let response = Msg::response(&incoming.invite, 487, "cancelled");
        self.finish(now, id, response);
    }
}
