use std::time::Duration;

use base::Time;

use super::client::Purpose;
use super::{Agent, Timer};
use crate::digest::{Hash, Params, Proof};
use crate::text::Msg;

/// A phone's registration.
#[derive(Debug, Default)]
pub(crate) struct Registration {
    /// Whether it is renewed.
    pub(crate) wanted: bool,
    /// Whether the server has confirmed it.
    pub(crate) confirmed: bool,
    cseq: u32,
    challenges: u8,
}

/// How long phones register for.
const EXPIRES: u64 = 300;

impl Agent {
    /// Registers, or renews.
    pub(crate) fn register(&mut self, now: Time) {
        self.registration.wanted = true;
        self.send_register(now, None);
    }

    fn send_register(&mut self, now: Time, refusal: Option<(&Msg, &Msg)>) {
        self.registration.cseq += 1;
        let user = self.profile.user.clone();
        let us = format!("<sip:{user}@hookflash.test>");
        let mut request = Msg::request("REGISTER", "sip:hookflash.test")
            .with("Max-Forwards", "70")
            .with("From", format!("{us};tag=r{}", self.registration.cseq))
            .with("To", us)
            .with("Call-ID", format!("reg-{}", self.profile.address))
            .with("CSeq", format!("{} REGISTER", self.registration.cseq))
            .with("Contact", self.contact())
            .with("Expires", EXPIRES.to_string());
        let proof = match refusal {
            Some((asked, refusal)) => self.prove(asked, refusal),
            None => self.authorization(&request),
        };
        if let Some(proof) = proof {
            request = request.with("Authorization", proof);
        }
        self.request(now, request, Purpose::Register);
    }

    pub(super) fn registered(&mut self, now: Time, request: &Msg, msg: &Msg, status: u16) {
        match status {
            200 => {
                self.registration.challenges = 0;
                self.registration.confirmed = true;
                let ours = msg.all("Contact").any(|c| c.contains(&self.whereabouts()));
                if !ours {
                    self.blame("a registration without our contact", msg);
                }
                if self.registration.wanted {
                    self.timers.arm(Timer::Register, now + Duration::from_secs(EXPIRES * 3 / 4));
                }
            }
            401 if self.registration.challenges < 2 => {
                self.registration.challenges += 1;
                self.send_register(now, Some((request, msg)));
            }
            100..=199 => {}
            _ => self.registration_failed(now),
        }
    }

    pub(super) fn registration_failed(&mut self, now: Time) {
        self.registration.challenges = 0;
        if self.registration.wanted {
            self.timers.arm(Timer::Register, now + Duration::from_secs(20));
        }
    }

    /// Renews no more.
    pub(crate) fn stop_registering(&mut self) {
        self.registration.wanted = false;
        self.timers.disarm(Timer::Register);
    }

    /// A gateway is asked to register the server.
    pub(super) fn registrar(&mut self, now: Time, server: u64, msg: &Msg) {
        let response = if self.lets_in(msg) {
            let contact = msg.get("Contact").unwrap_or("").to_owned();
            Msg::response(msg, 200, "g").with("Contact", contact).with("Expires", "120")
        } else {
            self.challenged(msg)
        };
        self.respond(now, server, response);
    }

    /// Whether a request shows what this gateway demands.
    pub(super) fn lets_in(&self, msg: &Msg) -> bool {
        let Some((user, password)) = &self.profile.demands else { return true };
        msg.get("Authorization").is_some_and(|value| {
            let given = Params::parse(value);
            let hash = if given.get("algorithm") == "SHA-256" { Hash::Sha256 } else { Hash::Md5 };
            let uri = given.get("uri").to_owned();
            let method = msg.method();
            let proof = Proof { hash, user, password, method, uri: &uri, nc: 0 };
            given.get("nonce") == "n0nce" && proof.is_proved_by(&given)
        })
    }

    pub(super) fn challenged(&self, msg: &Msg) -> Msg {
        let challenge = |hash: Hash| {
            let name = hash.name();
            format!("Digest realm=\"carrier\", nonce=\"n0nce\", algorithm={name}, qop=\"auth\"")
        };
        Msg::response(msg, 401, "ch").with("WWW-Authenticate", challenge(self.profile.hash))
    }
}
