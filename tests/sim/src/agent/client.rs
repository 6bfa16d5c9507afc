use std::time::Duration;

use base::Time;

use super::{Agent, GIVE_UP, T1, T2, Timer};
use crate::digest::{Hash, Params, Proof};
use crate::text::Msg;

/// What a request was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Register,
    Invite(u64),
    Change(u64),
    Prack(u64),
    Bye(u64),
    Cancel,
    Other,
}

/// A client transaction, RFC 3261 §17.1.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) request: Msg,
    pub(super) purpose: Purpose,
    interval: Duration,
    until: Time,
    proceeding: bool,
    finished: bool,
    /// Repeated for every repeated refusal of an INVITE.
    ack: Option<Msg>,
}

impl Agent {
    /// Sends a request in a new transaction.
    pub(super) fn request(&mut self, now: Time, mut request: Msg, purpose: Purpose) -> u64 {
        let id = self.id();
        let branch = format!("z9hG4bK-{}-{id}-{}", self.profile.user, self.rng.token(6));
        let address = self.whereabouts();
        let via = format!("SIP/2.0/{} {address};branch={branch};rport", self.transport());
        request.headers.insert(0, ("Via".to_owned(), via));
        self.start(now, id, request, purpose);
        id
    }

    fn start(&mut self, now: Time, id: u64, request: Msg, purpose: Purpose) {
        self.send(&request);
        self.client_ids.insert(transaction_key(&request), id);
        let client = Client {
            request,
            purpose,
            interval: T1,
            until: now + GIVE_UP,
            proceeding: false,
            finished: false,
            ack: None,
        };
        let first = if self.profile.over_tcp { client.until } else { now + T1 };
        self.clients.insert(id, client);
        self.timers.arm(Timer::Client(id), first);
    }

    /// CANCEL of an INVITE, which has its branch (RFC 3261 §9.1).
    pub(super) fn cancel(&mut self, now: Time, invite: u64) {
        let Some(client) = self.clients.get(&invite) else { return };
        if client.finished {
            return;
        }
        let of = &client.request;
        let mut cancel = Msg::request("CANCEL", of.uri());
        for name in ["Via", "From", "To", "Call-ID", "Max-Forwards"] {
            cancel = cancel.with(name, of.get(name).unwrap_or(""));
        }
        let cancel = cancel.with("CSeq", format!("{} CANCEL", of.cseq()));
        let id = self.id();
        self.start(now, id, cancel, Purpose::Cancel);
    }

    /// Whether a request has had no final answer yet.
    pub(super) fn is_open(&self, client: u64) -> bool {
        self.clients.get(&client).is_some_and(|client| !client.finished)
    }

    pub(super) fn client_due(&mut self, now: Time, id: u64) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let is_invite = client.request.method() == "INVITE";
        if client.finished || (is_invite && client.proceeding) {
            return;
        }
        if now >= client.until {
            client.finished = true;
            let purpose = client.purpose;
            return self.unanswered(now, purpose);
        }
        let longest = if is_invite { GIVE_UP } else { T2 };
        client.interval = if client.proceeding { T2 } else { (client.interval * 2).min(longest) };
        let next = (now + client.interval).min(client.until);
        let request = client.request.clone();
        self.timers.arm(Timer::Client(id), next);
        self.send(&request);
    }

    pub(super) fn receive_response(&mut self, now: Time, msg: &Msg, status: u16) {
        let method = msg.method().to_owned();
        let found = self.client_ids.get(&transaction_key(msg)).copied();
        let Some((id, client)) = found.and_then(|id| Some((id, self.clients.get_mut(&id)?))) else {
            if !self.has_restarted {
                self.blame("answers what was never asked", msg);
            }
            return;
        };
        if status < 200 {
            client.proceeding = true;
            if !client.finished && method == "INVITE" {
                self.timers.disarm(Timer::Client(id));
            }
        } else if method == "INVITE" && status >= 300 {
            if let Some(ack) = client.ack.clone() {
                return self.send(&ack);
            }
            let ack = ack_of_refusal(&client.request, msg);
            client.ack = Some(ack.clone());
            client.finished = true;
            self.timers.disarm(Timer::Client(id));
            self.send(&ack);
        } else {
            // A repeated 2xx of an INVITE goes on to its dialog, for its ACK.
            if client.finished && method != "INVITE" {
                return;
            }
            client.finished = true;
            self.timers.disarm(Timer::Client(id));
        }
        let Some(client) = self.clients.get(&id) else { return };
        let (purpose, request) = (client.purpose, client.request.clone());
        self.answered(now, purpose, &request, msg, status);
    }

    fn answered(&mut self, now: Time, purpose: Purpose, request: &Msg, msg: &Msg, status: u16) {
        match purpose {
            Purpose::Register => self.registered(now, request, msg, status),
            Purpose::Invite(dialog) => self.invite_answered(now, dialog, request, msg, status),
            Purpose::Change(dialog) => self.change_answered(now, dialog, request, msg, status),
            Purpose::Prack(dialog) => self.pracked(now, dialog, request, msg, status),
            Purpose::Bye(_) | Purpose::Cancel | Purpose::Other => {}
        }
    }

    fn unanswered(&mut self, now: Time, purpose: Purpose) {
        match purpose {
            Purpose::Register => self.registration_failed(now),
            Purpose::Invite(dialog) => self.end(dialog),
            Purpose::Change(dialog) => {
                self.drop_change(dialog);
                self.bye(now, dialog);
            }
            Purpose::Prack(_) | Purpose::Bye(_) | Purpose::Cancel | Purpose::Other => {}
        }
    }

    /// The Authorization that answers a 401, by the peer's own hash if that is offered.
    pub(super) fn prove(&mut self, request: &Msg, refusal: &Msg) -> Option<String> {
        let offered: Vec<_> = refusal.all("WWW-Authenticate").map(Params::parse).collect();
        let named =
            |hash: Hash| offered.iter().find(|c| c.get("algorithm") == hash.name()).cloned();
        let challenge = named(self.profile.hash)?;
        if challenge.get("qop") != "auth" || offered[0].get("algorithm") != "SHA-256" {
            self.blame("a challenge without qop, or not the strongest first", refusal);
        }
        self.challenge = Some(challenge);
        self.authorization(request)
    }

    /// A proof by the nonce used last.
    pub(super) fn authorization(&mut self, request: &Msg) -> Option<String> {
        let challenge = self.challenge.clone()?;
        let nc = self.nonces.entry(challenge.get("nonce").to_owned()).or_default();
        *nc += 1;
        let proof = Proof {
            hash: self.profile.hash,
            user: &self.profile.user,
            password: &self.profile.password,
            method: request.method(),
            uri: request.uri(),
            nc: *nc,
        };
        Some(proof.answer(&challenge))
    }
}

/// What tells transactions apart, RFC 3261 §17.1.3.
pub(super) fn transaction_key(msg: &Msg) -> (String, String) {
    (msg.branch().to_owned(), msg.method().to_owned())
}

/// RFC 3261 §17.1.1.3.
fn ack_of_refusal(invite: &Msg, refusal: &Msg) -> Msg {
    let mut ack = Msg::request("ACK", invite.uri());
    for name in ["Via", "From", "Call-ID", "Max-Forwards"] {
        ack = ack.with(name, invite.get(name).unwrap_or(""));
    }
    ack.with("To", refusal.get("To").unwrap_or("")).with("CSeq", format!("{} ACK", invite.cseq()))
}
