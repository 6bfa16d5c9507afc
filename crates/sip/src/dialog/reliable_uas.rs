//! Reliable provisional responses of the UAS, RFC 3262 §3: one at a time, each repeated until its
//! PRACK.
//!
//! ```text
//!           send                        PRACK, nothing queued
//!   Idle ─────────▶ Waiting(response) ──────────────────────▶ Idle
//!                     │  ▲  └─T1, 2*T1, 4*T1 …──▶ send again
//!                     │  └─PRACK──▶ send the next of the queue
//!                     ├─64*T1──▶ Over: the INVITE is refused by a 5xx
//!                     └─final response──▶ Over: its late PRACK is still known
//! ```

use std::collections::VecDeque;
use std::time::Duration;

use base::{Rng, Time};
use serde::{Deserialize, Serialize};

use crate::message::{CSeq, Name, RAck, Response};

/// Provisionals waiting for the PRACK of the one before. When full, the oldest without a session
/// description makes room: it only says what a later one says better.
pub const QUEUE_MAX: usize = 8;

/// The UAS side of one INVITE.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReliableUas {
    next_rseq: u32,
    queue: VecDeque<Response>,
    state: State,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum State {
    Idle,
    Waiting(Box<Outstanding>),
    Over(Option<Number>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Outstanding {
    response: Response,
    number: Number,
    next: Time,
    interval: Duration,
    until: Time,
}

/// What a PRACK names a provisional by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Number {
    rseq: u32,
    cseq: CSeq,
}

impl Number {
    fn is(&self, rack: &RAck) -> bool {
        (rack.rseq, rack.cseq, &rack.method) == (self.rseq, self.cseq.seq, &self.cseq.method)
    }
}

impl ReliableUas {
    /// Before the first provisional. RFC 3262 §3: RSeq begins anywhere in 1–2³¹−1.
    pub fn new(rng: &mut Rng) -> Self {
        let next_rseq = 1 + (rng.next_u32() >> 2);
        Self { next_rseq, queue: VecDeque::new(), state: State::Idle }
    }

    /// Sends a provisional reliably: now, or once the one before is acknowledged (RFC 3262 §3).
    pub fn send(&mut self, now: Time, response: Response, t1: Duration) -> Option<Response> {
        if self.queue.len() >= QUEUE_MAX {
            let spare = self.queue.iter().position(|queued| queued.body.is_empty());
            self.queue.remove(spare.unwrap_or(0));
        }
        self.queue.push_back(response);
        self.next(now, t1)
    }

    /// The next provisional to send, if none is outstanding.
    pub fn next(&mut self, now: Time, t1: Duration) -> Option<Response> {
        match self.state {
            State::Idle => {}
            State::Waiting(_) | State::Over(_) => return None,
        }
        let mut response = self.queue.pop_front()?;
        let cseq = response.headers.cseq().ok()?;
        let number = Number { rseq: self.next_rseq, cseq };
        self.next_rseq += 1;
        response.headers.push(Name::Require, "100rel");
        response.headers.push(Name::RSeq, number.rseq.to_string());
        self.state = State::Waiting(Box::new(Outstanding {
            response: response.clone(),
            number,
            next: now + t1,
            interval: t1,
            until: now + t1 * 64,
        }));
        Some(response)
    }

    /// When [`Self::fired`] is due.
    pub fn deadline(&self) -> Option<Time> {
        match &self.state {
            State::Waiting(outstanding) => Some(outstanding.next.min(outstanding.until)),
            State::Idle | State::Over(_) => None,
        }
    }

    /// The deadline has come: what to send again, or `None` when the PRACK never came and the
    /// INVITE is to be refused.
    pub fn fired(&mut self, now: Time) -> Option<Response> {
        match &mut self.state {
            State::Waiting(outstanding) if now < outstanding.until => {
                // RFC 3262 §3: doubled each time, without T2's limit.
                outstanding.interval *= 2;
                outstanding.next = now + outstanding.interval;
                Some(outstanding.response.clone())
            }
            State::Idle | State::Waiting(_) | State::Over(_) => {
                self.finish();
                None
            }
        }
    }

    /// A PRACK. False: it acknowledges nothing that is outstanding (481).
    pub fn acknowledge(&mut self, rack: &RAck) -> bool {
        match &mut self.state {
            State::Waiting(outstanding) if outstanding.number.is(rack) => {
                self.state = State::Idle;
                true
            }
            State::Over(unclaimed) => unclaimed.take_if(|number| number.is(rack)).is_some(),
            State::Idle | State::Waiting(_) => false,
        }
    }

    /// The INVITE got its final response. RFC 3262 §3: nothing is repeated any more, but the PRACK
    /// of what was outstanding is still to be answered by a 2xx.
    pub fn finish(&mut self) {
        self.queue.clear();
        self.state = match std::mem::replace(&mut self.state, State::Idle) {
            State::Idle => State::Over(None),
            State::Waiting(outstanding) => State::Over(Some(outstanding.number)),
            State::Over(unclaimed) => State::Over(unclaimed),
        };
    }

    /// Whether a provisional with SDP is unacknowledged, so that a 2xx has to wait (RFC 3262 §3).
    pub fn is_awaiting_description(&self) -> bool {
        let outstanding = match &self.state {
            State::Waiting(outstanding) => Some(&outstanding.response),
            State::Idle | State::Over(_) => None,
        };
        outstanding.into_iter().chain(&self.queue).any(|response| !response.body.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use base::Rng;
    use proptest::prelude::*;

    use super::super::testing::{invite, restored};
    use super::*;
    use crate::message::{Method, StatusCode};

    const T1: Duration = Duration::from_millis(500);

    fn provisional(status: u16, body: &'static str) -> Response {
        let response = invite("").response(StatusCode(status));
        if body.is_empty() { response } else { response.with_body("application/sdp", body) }
    }

    fn uas() -> ReliableUas {
        ReliableUas::new(&mut Rng::from_u64(5))
    }

    fn rack_of(response: &Response) -> RAck {
        let cseq = response.cseq().unwrap();
        RAck { rseq: response.rseq().unwrap(), cseq: cseq.seq, method: cseq.method }
    }

    #[test]
    fn a_first_number_is_within_rfc_3262_3() {
        for seed in 0..200 {
            let first = ReliableUas::new(&mut Rng::from_u64(seed)).next_rseq;
            assert!((1..1 << 31).contains(&first));
        }
    }

    #[test]
    fn without_prack_it_is_repeated_with_doubling_until_64_t1() {
        let mut uas = uas();
        let sent = uas.send(Time::ZERO, provisional(183, "v=0"), T1).unwrap();
        assert!(sent.headers.has_token(Name::Require, "100rel"));
        let mut at = Vec::new();
        while let Some(now) = uas.deadline() {
            at.push((now - Time::ZERO).as_millis());
            match uas.fired(now) {
                Some(again) => assert_eq!(again, sent, "the same response, the same RSeq"),
                None => break,
            }
        }
        assert_eq!(at, [500, 1500, 3500, 7500, 15500, 31500, 32000]);
        assert_eq!(uas.deadline(), None);
        assert!(!uas.is_awaiting_description(), "nothing is awaited from who gave up");
    }

    #[test]
    fn the_next_waits_for_the_prack_of_the_one_before_and_has_the_next_number() {
        let mut uas = uas();
        let first = uas.send(Time::ZERO, provisional(180, ""), T1).unwrap();
        assert_eq!(uas.send(Time::ZERO, provisional(183, "v=0"), T1), None);
        assert!(uas.is_awaiting_description(), "queued counts");
        assert!(uas.acknowledge(&rack_of(&first)));
        assert_eq!(uas.deadline(), None);
        let second = uas.next(Time::ZERO, T1).unwrap();
        assert_eq!(second.rseq().unwrap(), first.rseq().unwrap() + 1);
        assert!(uas.is_awaiting_description());
        assert!(uas.acknowledge(&rack_of(&second)));
        assert!(!uas.is_awaiting_description());
        assert_eq!(uas.next(Time::ZERO, T1), None);
    }

    #[test]
    fn only_the_rack_of_what_is_outstanding_counts_and_once() {
        let mut uas = uas();
        let right = rack_of(&uas.send(Time::ZERO, provisional(180, ""), T1).unwrap());
        let wrong = [
            RAck { rseq: right.rseq + 1, ..right.clone() },
            RAck { rseq: right.rseq - 1, ..right.clone() },
            RAck { cseq: right.cseq + 1, ..right.clone() },
            RAck { method: Method::Update, ..right.clone() },
        ];
        for rack in wrong {
            let before = uas.clone();
            assert!(!uas.acknowledge(&rack), "{rack}");
            assert_eq!(uas, before);
        }
        assert!(uas.acknowledge(&right));
        assert!(!uas.acknowledge(&right));
    }

    #[test]
    fn after_the_final_response_nothing_is_sent_and_a_late_prack_is_known_once() {
        let mut uas = uas();
        let rack = rack_of(&uas.send(Time::ZERO, provisional(180, ""), T1).unwrap());
        uas.send(Time::ZERO, provisional(180, ""), T1);
        uas.finish();
        uas.finish();
        assert_eq!(uas.deadline(), None);
        assert_eq!(uas.send(Time::ZERO, provisional(180, ""), T1), None);
        let other = RAck { rseq: rack.rseq + 1, ..rack.clone() };
        assert!(!uas.acknowledge(&other));
        assert!(uas.acknowledge(&rack));
        assert!(!uas.acknowledge(&rack));
    }

    #[test]
    fn a_full_queue_loses_what_says_least_and_no_description() {
        let mut uas = uas();
        uas.send(Time::ZERO, provisional(180, ""), T1);
        for _ in 0..QUEUE_MAX {
            uas.send(Time::ZERO, provisional(180, ""), T1);
        }
        uas.send(Time::ZERO, provisional(183, "v=0"), T1);
        for _ in 0..QUEUE_MAX {
            uas.send(Time::ZERO, provisional(182, ""), T1);
        }
        assert_eq!(uas.queue.len(), QUEUE_MAX);
        assert!(uas.is_awaiting_description());
    }

    #[test]
    fn where_all_describe_the_oldest_gives_way() {
        let mut uas = uas();
        uas.send(Time::ZERO, provisional(180, ""), T1);
        for body in ["v=0", "v=1", "v=2", "v=3", "v=4", "v=5", "v=6", "v=7", "v=8"] {
            uas.send(Time::ZERO, provisional(183, body), T1);
        }
        let bodies: Vec<_> = uas.queue.iter().map(|response| &response.body[..]).collect();
        assert_eq!((bodies.len(), bodies[0], bodies[7]), (QUEUE_MAX, &b"v=1"[..], &b"v=8"[..]));
    }

    /// What may happen to it.
    #[derive(Clone, Debug)]
    enum Step {
        Send(bool),
        Acknowledge,
        Stale,
        Fire,
        Finish,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => any::<bool>().prop_map(Step::Send),
            2 => Just(Step::Acknowledge),
            1 => Just(Step::Stale),
            3 => Just(Step::Fire),
            1 => Just(Step::Finish),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn numbers_rise_by_one_and_every_path_ends_without_a_timer(
            steps in prop::collection::vec(step(), 0..60),
        ) {
            let (mut uas, mut now) = (uas(), Time::ZERO);
            let mut last: Option<RAck> = None;
            for step in steps {
                uas = restored(&uas);
                let sent = match step {
                    Step::Send(described) => {
                        uas.send(now, provisional(183, if described { "v=0" } else { "" }), T1)
                    }
                    Step::Acknowledge => {
                        if let Some(rack) = &last {
                            uas.acknowledge(rack);
                        }
                        uas.next(now, T1)
                    }
                    Step::Stale => {
                        let rack = RAck { rseq: 0, cseq: 1, method: Method::Invite };
                        prop_assert!(!uas.acknowledge(&rack));
                        None
                    }
                    Step::Fire => {
                        if let Some(at) = uas.deadline() {
                            now = at;
                            uas.fired(now);
                        }
                        None
                    }
                    Step::Finish => {
                        uas.finish();
                        None
                    }
                };
                if let Some(sent) = sent {
                    let rack = rack_of(&sent);
                    prop_assert!(last.is_none_or(|last| rack.rseq == last.rseq + 1));
                    last = Some(rack);
                }
                prop_assert!(uas.queue.len() <= QUEUE_MAX);
            }
            let mut fired = 0;
            while let Some(at) = uas.deadline() {
                uas.fired(at);
                fired += 1;
                prop_assert!(fired <= 7);
            }
        }
    }
}
