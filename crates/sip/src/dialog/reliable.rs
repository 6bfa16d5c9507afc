//! Reliable provisional responses, RFC 3262: the UAS that repeats them until their PRACK, and the
//! UAC that acknowledges them in order.

use std::collections::VecDeque;
use std::time::Duration;

use base::{Rng, Time};
use serde::{Deserialize, Serialize};

use crate::message::{CSeq, Method, Name, RAck, Response};

/// Provisionals waiting for the PRACK of the one before; more are not sent at all.
pub const QUEUE_MAX: usize = 8;

/// The UAS side of one INVITE.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReliableUas {
    next_rseq: u32,
    outstanding: Option<Outstanding>,
    queue: VecDeque<Response>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Outstanding {
    response: Response,
    rack: (u32, CSeq),
    next: Time,
    interval: Duration,
    until: Time,
}

impl ReliableUas {
    /// Before the first provisional. RFC 3262 §3: RSeq begins anywhere in 1–2³¹−1.
    pub fn new(rng: &mut Rng) -> Self {
        let next_rseq = 1 + (rng.next_u32() >> 2);
        Self { next_rseq, outstanding: None, queue: VecDeque::new() }
    }

    /// Sends a provisional reliably: now, or once the one before is acknowledged (RFC 3262 §3).
    pub fn send(&mut self, now: Time, response: Response, t1: Duration) -> Option<Response> {
        if self.queue.len() < QUEUE_MAX {
            self.queue.push_back(response);
        }
        self.next(now, t1)
    }

    /// The next provisional to send, if none is outstanding.
    pub fn next(&mut self, now: Time, t1: Duration) -> Option<Response> {
        if self.outstanding.is_some() {
            return None;
        }
        let mut response = self.queue.pop_front()?;
        let cseq = response.headers.cseq().ok()?;
        let rseq = self.next_rseq;
        self.next_rseq += 1;
        response.headers.push(Name::Require, "100rel");
        response.headers.push(Name::RSeq, rseq.to_string());
        self.outstanding = Some(Outstanding {
            response: response.clone(),
            rack: (rseq, cseq),
            next: now + t1,
            interval: t1,
            until: now + t1 * 64,
        });
        Some(response)
    }

    /// When [`Self::fired`] is due.
    pub fn deadline(&self) -> Option<Time> {
        self.outstanding.as_ref().map(|outstanding| outstanding.next.min(outstanding.until))
    }

    /// The deadline has come: what to send again, or `None` when the PRACK never came.
    pub fn fired(&mut self, now: Time) -> Option<Response> {
        let outstanding = self.outstanding.as_mut()?;
        if now >= outstanding.until {
            return None;
        }
        outstanding.interval *= 2;
        outstanding.next = now + outstanding.interval;
        Some(outstanding.response.clone())
    }

    /// A PRACK. False: it acknowledges nothing that is outstanding (481).
    pub fn acknowledge(&mut self, rack: &RAck) -> bool {
        let matches = self.outstanding.as_ref().is_some_and(|outstanding| {
            let (rseq, cseq) = &outstanding.rack;
            (rack.rseq, rack.cseq, &rack.method) == (*rseq, cseq.seq, &cseq.method)
        });
        if matches {
            self.outstanding = None;
        }
        matches
    }

    /// Whether a provisional with SDP is unacknowledged, so that a 2xx has to wait (RFC 3262 §3).
    pub fn is_awaiting_description(&self) -> bool {
        let described = |response: &Response| !response.body.is_empty();
        self.outstanding.as_ref().is_some_and(|outstanding| described(&outstanding.response))
            || self.queue.iter().any(described)
    }
}

/// What a provisional response is to the UAC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reliable {
    /// Sent unreliably.
    Unreliable,
    /// The next in order: send a PRACK with this.
    Fresh(RAck),
    /// One that has been acknowledged before.
    Repeated,
    /// One before it is missing: to be ignored, RFC 3262 §4.
    OutOfOrder,
}

/// The UAC side of one early dialog.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReliableUac {
    last: Option<u32>,
}

impl ReliableUac {
    /// Takes a provisional response, RFC 3262 §4.
    pub fn receive(&mut self, response: &Response) -> Reliable {
        let required = response.headers.has_token(Name::Require, "100rel");
        let (true, Some(rseq), Ok(cseq)) =
            (required, response.headers.rseq(), response.headers.cseq())
        else {
            return Reliable::Unreliable;
        };
        match self.last {
            Some(last) if rseq <= last => return Reliable::Repeated,
            Some(last) if rseq > last + 1 => return Reliable::OutOfOrder,
            Some(_) | None => self.last = Some(rseq),
        }
        Reliable::Fresh(RAck { rseq, cseq: cseq.seq, method: Method::Invite })
    }
}
