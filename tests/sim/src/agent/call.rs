//! What caller and callee have in common once the call is up: ACK, BYE, acts, requests inside the
//! dialog, the session timer.

use std::time::Duration;

use base::Time;

use super::client::Purpose;
use super::dialog::{Dialog, Session, State, Unacked};
use super::{Agent, GIVE_UP, T1, T2, Timer};
use crate::script::Act;
use crate::text::Msg;

/// How often an act is put off before it is dropped.
const TRIES_MAX: u32 = 60;

impl Agent {
    /// The dialog is up: what is to happen happens from now on.
    pub(super) fn up(&mut self, now: Time, id: u64, acts: &[(Duration, Act)]) {
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        dialog.state = State::Up;
        dialog.acts = acts.iter().map(|(_, act)| *act).collect();
        for (at, (after, _)) in acts.iter().enumerate() {
            self.timers.arm(Timer::Act(id, at), now + *after);
        }
    }

    /// Nothing more happens in it.
    pub(super) fn end(&mut self, id: u64) {
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        dialog.state = State::Ended;
        let acts = dialog.acts.len();
        dialog.unacked = None;
        dialog.reliable = None;
        dialog.asked = None;
        for timer in [Timer::Unacked(id), Timer::Reliable(id), Timer::Reply(id)] {
            self.timers.disarm(timer);
        }
        for timer in [Timer::Session(id), Timer::Cancel(id), Timer::Ack(id)] {
            self.timers.disarm(timer);
        }
        for act in 0..acts {
            self.timers.disarm(Timer::Act(id, act));
        }
    }

    /// Hangs up.
    pub(super) fn bye(&mut self, now: Time, id: u64) {
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        if dialog.state != State::Up {
            return;
        }
        if let Some((server, asked)) = dialog.asked.take() {
            let response = Msg::response(&asked, 487, "");
            self.respond(now, server, response);
        }
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        let bye = dialog.request("BYE");
        self.end(id);
        self.request(now, bye, Purpose::Bye(id));
    }

    /// Starts repeating a 2xx until its ACK, RFC 3261 §13.3.1.4.
    pub(super) fn await_ack(&mut self, now: Time, id: u64, response: Msg) {
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        let cseq = response.cseq();
        dialog.unacked = Some(Unacked { response, cseq, interval: T1, until: now + GIVE_UP });
        self.timers.arm(Timer::Unacked(id), now + T1);
    }

    pub(super) fn unacked_due(&mut self, now: Time, id: u64) {
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        let Some(unacked) = &mut dialog.unacked else { return };
        if now >= unacked.until {
            dialog.unacked = None;
            return self.bye(now, id);
        }
        unacked.interval = (unacked.interval * 2).min(T2);
        let next = (now + unacked.interval).min(unacked.until);
        let response = unacked.response.clone();
        self.timers.arm(Timer::Unacked(id), next);
        self.send(&response);
    }

    pub(super) fn find(&self, msg: &Msg) -> Option<u64> {
        let found = self.dialogs.iter().find(|(_, dialog)| {
            dialog.call_id == msg.call_id()
                && dialog.local_tag == msg.to_tag()
                && (dialog.remote_tag == msg.sender_tag() || dialog.remote_tag.is_empty())
        });
        found.map(|(&id, _)| id)
    }

    /// RFC 3261 §12.2.1.1: requests inside a dialog take the way of its route set.
    fn check_route(&mut self, msg: &Msg) {
        if msg.get("Route") != self.profile.proxy.as_deref() {
            self.blame(&format!("goes by {:?}", msg.get("Route")), msg);
        }
    }

    /// The ACK of a 2xx of ours.
    pub(super) fn acked(&mut self, now: Time, msg: &Msg) {
        let Some(id) = self.find(msg) else { return };
        self.check_route(msg);
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        dialog.touched = now;
        if dialog.unacked.as_ref().is_some_and(|unacked| unacked.cseq == msg.cseq()) {
            dialog.unacked = None;
            self.timers.disarm(Timer::Unacked(id));
        }
    }

    /// A request inside a dialog, ACK and CANCEL apart.
    pub(super) fn inside(&mut self, now: Time, server: u64, msg: Msg) {
        let found = self.find(&msg);
        let Some(id) = found.filter(|id| self.dialogs[id].state != State::Ended) else {
            return self.respond(now, server, Msg::response(&msg, 481, ""));
        };
        self.check_route(&msg);
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        dialog.touched = now;
        if msg.cseq() <= dialog.remote_seq {
            // Overtaken on the way; whether it was sent in order, `watch` knows.
            return self.respond(now, server, Msg::response(&msg, 500, ""));
        }
        dialog.remote_seq = msg.cseq();
        if let Some(contact) = msg.contact() {
            dialog.target = contact;
        }
        let may_ask = matches!(msg.method(), "BYE" | "INVITE" | "PRACK" | "UPDATE");
        if self.challenges_inside && may_ask && !self.lets_in(&msg) {
            let response = self.challenged(&msg);
            return self.respond(now, server, response);
        }
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        match msg.method() {
            "BYE" => {
                let asked = dialog.asked.take();
                self.respond(now, server, Msg::response(&msg, 200, ""));
                if let Some((server, asked)) = asked {
                    self.respond(now, server, Msg::response(&asked, 487, ""));
                }
                self.end(id);
            }
            "INVITE" | "UPDATE" => self.change_asked(now, id, server, msg),
            "PRACK" => self.prack_received(now, id, server, &msg),
            "OPTIONS" => self.respond(now, server, Msg::response(&msg, 200, "")),
            _ => self.respond(now, server, Msg::response(&msg, 405, "")),
        }
    }

    /// One act of the script is due.
    pub(super) fn act(&mut self, now: Time, id: u64, at: usize) {
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        if dialog.state != State::Up {
            return;
        }
        let Some(&act) = dialog.acts.get(at) else { return };
        // RFC 3261 §15: a callee waits for the ACK before it hangs up; one thing at a time.
        let is_busy = match act {
            Act::Die => false,
            Act::Bye => !dialog.is_caller && dialog.unacked.is_some(),
            Act::Options | Act::Key | Act::Unknown => dialog.unacked.is_some(),
            Act::Hold(_)
            | Act::Resume
            | Act::Codecs(_)
            | Act::Offerless
            | Act::Refresh
            | Act::Update => !dialog.is_settled(),
        };
        if is_busy {
            dialog.tries += 1;
            if dialog.tries < TRIES_MAX {
                let wait = Duration::from_millis(400) + self.below(400);
                self.timers.arm(Timer::Act(id, at), now + wait);
            }
            return;
        }
        self.perform(now, id, act);
    }

    fn perform(&mut self, now: Time, id: u64, act: Act) {
        match act {
            Act::Die => self.die(),
            Act::Bye => self.bye(now, id),
            Act::Options => self.ask(now, id, "OPTIONS"),
            Act::Key => self.press(now, id),
            Act::Unknown => self.ask(now, id, "MESSAGE"),
            Act::Hold(_)
            | Act::Resume
            | Act::Codecs(_)
            | Act::Offerless
            | Act::Refresh
            | Act::Update => self.change(now, id, act),
        }
    }

    fn ask(&mut self, now: Time, id: u64, method: &str) {
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        let request = dialog.request(method);
        self.request(now, request, Purpose::Other);
    }

    /// A key by SIP INFO, as gateways send it.
    fn press(&mut self, now: Time, id: u64) {
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        let mut request = dialog.request("INFO").with_sdp("Signal=5\r\nDuration=120\r\n");
        request.set("Content-Type", "application/dtmf-relay");
        self.request(now, request, Purpose::Other);
    }

    /// Puts an act off, e.g. after a 491.
    pub(super) fn again(&mut self, now: Time, id: u64, act: Act, wait: Duration) {
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        dialog.tries += 1;
        if dialog.tries >= TRIES_MAX {
            return;
        }
        let at = dialog.acts.len();
        dialog.acts.push(act);
        self.timers.arm(Timer::Act(id, at), now + wait);
    }

    /// A 2xx says how the session is kept alive.
    pub(super) fn start_session(&mut self, now: Time, id: u64, answer: &Msg, we_asked: bool) {
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        if dialog.state == State::Ended {
            return;
        }
        dialog.session = Session::of(answer, we_asked);
        let Some(session) = dialog.session else { return self.timers.disarm(Timer::Session(id)) };
        let whole = Duration::from_secs(session.interval);
        let after = match session.we_refresh {
            true => whole / 2,
            false => whole - Duration::from_secs(32).min(whole / 3), // RFC 4028 §10
        };
        self.timers.arm(Timer::Session(id), now + after);
    }

    pub(super) fn session_due(&mut self, now: Time, id: u64) {
        let Some(dialog) = self.dialogs.get(&id) else { return };
        let Some(session) = dialog.session else { return };
        if !session.we_refresh {
            if self.expects_refresh {
                self.wrong.push(format!("the session of {} was not refreshed", dialog.call_id));
            }
            return self.bye(now, id);
        }
        let act = if dialog.takes_update { Act::Update } else { Act::Refresh };
        // Again before the end, should this one fail.
        let next = now + Duration::from_secs(session.interval / 6).max(Duration::from_secs(8));
        self.timers.arm(Timer::Session(id), next);
        if dialog.is_settled() {
            self.change(now, id, act);
        }
    }

    /// The session headers of our own request or re-request.
    pub(super) fn with_session(dialog: &Dialog, request: Msg) -> Msg {
        let request = request.with("Supported", "timer");
        match dialog.session {
            Some(session) => {
                let refresher = if session.we_refresh { "uac" } else { "uas" };
                let value = format!("{};refresher={refresher}", session.interval);
                request.with("Session-Expires", value)
            }
            None => request,
        }
    }
}
