use std::time::Duration;

use base::Time;

use super::{Agent, GIVE_UP, T1, T2, Timer};
use crate::text::Msg;

/// A server transaction, RFC 3261 §17.2.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) request: Msg,
    last: Option<Msg>,
    interval: Duration,
    until: Time,
    acked: bool,
}

impl Agent {
    pub(super) fn receive_request(&mut self, now: Time, msg: Msg) {
        let method = msg.method().to_owned();
        match method.as_str() {
            "ACK" => return self.ack_received(now, &msg),
            "CANCEL" => return self.cancel_received(now, &msg),
            _ => {}
        }
        if let Some(server) = self.server_of(&msg, &method) {
            if let Some(last) = self.servers.get(&server).and_then(|server| server.last.clone())
                && !(method == "INVITE" && last.status() == Some(200))
            {
                self.send(&last);
            }
            return;
        }
        let id = self.id();
        let server =
            Server { request: msg.clone(), last: None, interval: T1, until: now, acked: false };
        self.servers.insert(id, server);
        self.server_ids.insert((msg.branch().to_owned(), method.clone()), id);
        if !msg.to_tag().is_empty() {
            return self.inside(now, id, msg);
        }
        match method.as_str() {
            "INVITE" => self.invited(now, id, msg),
            "OPTIONS" => self.respond(now, id, Msg::response(&msg, 200, "o")),
            "REGISTER" if self.profile.is_gateway => self.registrar(now, id, &msg),
            _ => self.respond(now, id, Msg::response(&msg, 405, "x")),
        }
    }

    fn server_of(&self, msg: &Msg, method: &str) -> Option<u64> {
        self.server_ids.get(&(msg.branch().to_owned(), method.to_owned())).copied()
    }

    /// Answers in a server transaction; a refusal of an INVITE is repeated until its ACK.
    pub(super) fn respond(&mut self, now: Time, id: u64, response: Msg) {
        let Some(server) = self.servers.get_mut(&id) else { return };
        let status = response.status().unwrap_or(0);
        server.last = Some(response.clone());
        if server.request.method() == "INVITE" && status >= 300 {
            server.until = now + GIVE_UP;
            self.timers.arm(Timer::Server(id), now + T1);
        }
        self.send(&response);
    }

    pub(super) fn server_due(&mut self, now: Time, id: u64) {
        let Some(server) = self.servers.get_mut(&id) else { return };
        if server.acked {
            return;
        }
        if now >= server.until {
            // Lost eleven times over a bad network; not the server's fault.
            return;
        }
        server.interval = (server.interval * 2).min(T2);
        let next = (now + server.interval).min(server.until);
        let last = server.last.clone();
        self.timers.arm(Timer::Server(id), next);
        if let Some(last) = last {
            self.send(&last);
        }
    }

    fn ack_received(&mut self, now: Time, msg: &Msg) {
        if let Some(id) = self.server_of(msg, "INVITE")
            && let Some(server) = self.servers.get_mut(&id)
        {
            if server.last.as_ref().and_then(Msg::status) == Some(200) {
                return self.blame("ACK of a 2xx in the INVITE's transaction", msg);
            }
            server.acked = true;
            self.timers.disarm(Timer::Server(id));
            return;
        }
        self.acked(now, msg);
    }

    fn cancel_received(&mut self, now: Time, msg: &Msg) {
        let invite = self.server_of(msg, "INVITE");
        let status = if invite.is_some() { 200 } else { 481 };
        self.send(&Msg::response(msg, status, "c"));
        if let Some(invite) = invite {
            self.cancelled(now, invite);
        }
    }
}
