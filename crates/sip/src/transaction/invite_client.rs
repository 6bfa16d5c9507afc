//! INVITE client transaction: RFC 3261 §17.1.1, with the Accepted state of RFC 6026 §7.2 and the
//! CANCEL of RFC 3261 §9.1.
//!
//! ```text
//!            1xx              2xx
//! Calling ────────▶ Proceeding ────────▶ Accepted ──M──▶ Terminated
//!  │ │ └───────────────2xx────────────────▲                 ▲
//!  │ └──300-699──▶ Completed ──D (UDP)──────────────────────┤
//!  │                  ▲                                     │
//!  │ (Proceeding) ────┘                                     │
//!  └──B, transport failed; (Proceeding) 64*T1 after CANCEL──┘
//! ```
//!
//! A CANCEL asked for while Calling waits for the first provisional response.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::timing::{Class, Reliability, TIMER_D, Timer, Timing};

/// The transaction's whole state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InviteClient {
    state: State,
    reliability: Reliability,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    Calling { timer_a: Duration, cancel: bool },
    Proceeding { cancelled: bool },
    Completed,
    Accepted,
    Terminated,
}

/// What can happen to the transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A response matched by branch and CSeq method, RFC 3261 §17.1.3.
    Response(Class),
    /// A timer armed by [`Output::Arm`] fired.
    Fired(Timer),
    /// The transport could not send, or the connection is gone.
    TransportFailed,
    /// The user gives the INVITE up.
    Cancel,
    /// TCP, chosen for the size of the INVITE, failed: send it over UDP, RFC 3261 §18.1.1.
    FallBackToUdp,
}

/// What the transaction asks its owner to do, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send the INVITE (again).
    SendInvite,
    /// Send the ACK of the non-2xx final response, RFC 3261 §17.1.1.3.
    SendAck,
    /// Send the CANCEL, in a transaction of its own.
    SendCancel,
    /// Pass the response to the transaction user.
    Deliver,
    /// Arm a timer.
    Arm(Timer, Duration),
    /// Disarm a timer.
    Disarm(Timer),
    /// Forget the transaction and disarm what is armed.
    End(End),
}

/// Why the transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// A final response was delivered.
    Normal,
    /// No response, or none after the CANCEL: act as on a 408, RFC 3261 §8.1.3.1.
    TimedOut,
    /// Act as on a 503, RFC 3261 §8.1.3.1.
    TransportFailed,
}

impl InviteClient {
    /// Starts the transaction: sends the INVITE and arms timer B (and A on UDP).
    pub fn start(reliability: Reliability, timing: &Timing, mut out: impl FnMut(Output)) -> Self {
        out(Output::SendInvite);
        out(Output::Arm(Timer::B, timing.timeout()));
        match reliability {
            Reliability::Unreliable => out(Output::Arm(Timer::A, timing.t1)),
            Reliability::Reliable => {}
        }
        Self { state: State::Calling { timer_a: timing.t1, cancel: false }, reliability }
    }

    /// Whether a final response may still come as news.
    pub const fn is_pending(&self) -> bool {
        match self.state {
            State::Calling { .. } | State::Proceeding { .. } => true,
            State::Completed | State::Accepted | State::Terminated => false,
        }
    }

    /// Whether nothing was heard yet.
    pub const fn is_calling(&self) -> bool {
        match self.state {
            State::Calling { .. } => true,
            State::Proceeding { .. } | State::Completed => false,
            State::Accepted | State::Terminated => false,
        }
    }

    /// Advances the machine by one input.
    pub fn handle(&mut self, input: Input, timing: &Timing, mut out: impl FnMut(Output)) {
        use {Class::*, Input::*, State::*};
        match (self.state, input) {
            // RFC 3261 §17.1.1.2: retransmit with intervals that double, without a ceiling.
            (Calling { timer_a, cancel }, Fired(Timer::A)) => {
                let timer_a = timer_a.saturating_mul(2);
                self.state = Calling { timer_a, cancel };
                out(Output::SendInvite);
                out(Output::Arm(Timer::A, timer_a));
            }
            (Calling { .. }, Fired(Timer::B)) => self.end(End::TimedOut, out),
            // RFC 3261 §18.1.1: timer B goes on, timer A starts.
            (Calling { cancel, .. }, FallBackToUdp) => {
                self.reliability = Reliability::Unreliable;
                self.state = Calling { timer_a: timing.t1, cancel };
                out(Output::SendInvite);
                out(Output::Arm(Timer::A, timing.t1));
            }
            // The TCP that failed has brought a response before.
            (Proceeding { .. } | Completed | Accepted | Terminated, FallBackToUdp) => {}
            // RFC 3261 §9.1: a CANCEL must not be sent before a provisional response.
            (Calling { timer_a, .. }, Cancel) => self.state = Calling { timer_a, cancel: true },
            (Calling { cancel, .. }, Response(Provisional)) => {
                self.state = Proceeding { cancelled: cancel };
                out(Output::Disarm(Timer::A));
                out(Output::Disarm(Timer::B));
                out(Output::Deliver);
                if cancel {
                    out(Output::SendCancel);
                    out(Output::Arm(Timer::Cancelled, timing.timeout()));
                }
            }
            (Proceeding { .. }, Response(Provisional)) => out(Output::Deliver),
            (Proceeding { cancelled: false }, Cancel) => {
                self.state = Proceeding { cancelled: true };
                out(Output::SendCancel);
                out(Output::Arm(Timer::Cancelled, timing.timeout()));
            }
            // RFC 3261 §9.1: no final response in 64*T1 seconds, consider it cancelled.
            (Proceeding { cancelled: true }, Fired(Timer::Cancelled)) => {
                self.end(End::TimedOut, out);
            }
            // RFC 6026 §7.2: stay to pass up repeated and forked 2xx; the user sends the ACKs.
            (Calling { .. } | Proceeding { .. }, Response(Success)) => {
                self.answered(&mut out);
                self.state = Accepted;
                out(Output::Deliver);
                out(Output::Arm(Timer::M, timing.timeout()));
            }
            // RFC 3261 §17.1.1.2: ACK even on a reliable transport; timer D is 0 there.
            (Calling { .. } | Proceeding { .. }, Response(Failure)) => {
                self.answered(&mut out);
                self.state = Completed;
                out(Output::SendAck);
                out(Output::Deliver);
                match self.reliability {
                    Reliability::Unreliable => out(Output::Arm(Timer::D, TIMER_D)),
                    Reliability::Reliable => self.end(End::Normal, out),
                }
            }
            (Calling { .. } | Proceeding { .. }, TransportFailed) => {
                self.end(End::TransportFailed, out);
            }
            // RFC 3261 §17.1.1.2: the ACK is repeated, the response not delivered again.
            (Completed, Response(Failure)) => out(Output::SendAck),
            // RFC 3261 §17.1.1.2 ends here too, but the user has the final response already and
            // must not be told a second outcome.
            (Completed, Fired(Timer::D) | TransportFailed) => self.end(End::Normal, out),
            (Accepted, Response(Success)) => out(Output::Deliver),
            (Accepted, Fired(Timer::M)) => self.end(End::Normal, out),
            // RFC 6026 §7.2: nothing is sent in Accepted.
            (Accepted, TransportFailed) => {}
            // RFC 6026 §7.2, §8.4: late responses of another class change nothing.
            (Completed | Accepted | Terminated, Response(_)) => {}
            // RFC 3261 §9.1: a CANCEL has no effect on an answered request; one is enough.
            (Proceeding { .. } | Completed | Accepted | Terminated, Cancel) => {}
            (Terminated, TransportFailed) => {}
            // A disarmed timer never fires: the owner's timers are exact.
            (state, Fired(timer)) => debug_assert!(false, "timer {timer:?} fired in {state:?}"),
        }
    }

    /// Disarms what waits for a final response.
    fn answered(&self, out: &mut impl FnMut(Output)) {
        match self.state {
            State::Calling { .. } => {
                out(Output::Disarm(Timer::A));
                out(Output::Disarm(Timer::B));
            }
            State::Proceeding { cancelled: true } => out(Output::Disarm(Timer::Cancelled)),
            State::Proceeding { cancelled: false } => {}
            State::Completed | State::Accepted | State::Terminated => {}
        }
    }

    fn end(&mut self, why: End, mut out: impl FnMut(Output)) {
        debug_assert_ne!(self.state, State::Terminated);
        self.state = State::Terminated;
        out(Output::End(why));
    }
}

#[cfg(test)]
mod tests {
    use super::super::timing::{T1, every_pair};
    use super::Input::*;
    use super::Output::{Arm, Deliver, Disarm, SendAck, SendCancel, SendInvite};
    use super::State::*;
    use super::*;
    use Class::*;
    use Reliability::*;

    const TIMEOUT: Duration = Duration::from_secs(32);
    const CALLING: State = Calling { timer_a: T1, cancel: false };
    const CALLING_CANCEL: State = Calling { timer_a: T1, cancel: true };
    const PROCEEDING: State = Proceeding { cancelled: false };
    const CANCELLED: State = Proceeding { cancelled: true };
    const STATES: [State; 7] =
        [CALLING, CALLING_CANCEL, PROCEEDING, CANCELLED, Completed, Accepted, Terminated];
    const INPUTS: [Input; 11] = [
        Response(Provisional),
        Response(Success),
        Response(Failure),
        Fired(Timer::A),
        Fired(Timer::B),
        Fired(Timer::D),
        Fired(Timer::M),
        Fired(Timer::Cancelled),
        TransportFailed,
        Cancel,
        FallBackToUdp,
    ];

    type Row = (State, Input, Vec<Output>, State);

    fn step(reliability: Reliability, state: State, input: Input) -> (Vec<Output>, State) {
        let mut machine = InviteClient { state, reliability };
        let mut outputs = Vec::new();
        machine.handle(input, &Timing::default(), |output| outputs.push(output));
        (outputs, machine.state)
    }

    /// What every reliability has in common.
    fn common() -> Vec<Row> {
        let (a, b, cancelled) = (Disarm(Timer::A), Disarm(Timer::B), Disarm(Timer::Cancelled));
        let (arm_m, arm_c) = (Arm(Timer::M, TIMEOUT), Arm(Timer::Cancelled, TIMEOUT));
        let again = vec![SendInvite, Arm(Timer::A, 2 * T1)];
        let end = |why| vec![Output::End(why)];
        let calling = |timer_a, cancel| Calling { timer_a, cancel };
        vec![
            (CALLING, Response(Provisional), vec![a, b, Deliver], PROCEEDING),
            (CALLING, Response(Success), vec![a, b, Deliver, arm_m], Accepted),
            (CALLING, Fired(Timer::A), again.clone(), calling(2 * T1, false)),
            (CALLING, Fired(Timer::B), end(End::TimedOut), Terminated),
            (CALLING, TransportFailed, end(End::TransportFailed), Terminated),
            (CALLING, Cancel, vec![], CALLING_CANCEL),
            (CALLING, FallBackToUdp, vec![SendInvite, Arm(Timer::A, T1)], CALLING),
            (
                CALLING_CANCEL,
                Response(Provisional),
                vec![a, b, Deliver, SendCancel, arm_c],
                CANCELLED,
            ),
            (CALLING_CANCEL, Response(Success), vec![a, b, Deliver, arm_m], Accepted),
            (CALLING_CANCEL, Fired(Timer::A), again, calling(2 * T1, true)),
            (CALLING_CANCEL, Fired(Timer::B), end(End::TimedOut), Terminated),
            (CALLING_CANCEL, TransportFailed, end(End::TransportFailed), Terminated),
            (CALLING_CANCEL, FallBackToUdp, vec![SendInvite, Arm(Timer::A, T1)], CALLING_CANCEL),
            (PROCEEDING, Response(Provisional), vec![Deliver], PROCEEDING),
            (PROCEEDING, Response(Success), vec![Deliver, arm_m], Accepted),
            (PROCEEDING, TransportFailed, end(End::TransportFailed), Terminated),
            (PROCEEDING, Cancel, vec![SendCancel, arm_c], CANCELLED),
            (CANCELLED, Response(Provisional), vec![Deliver], CANCELLED),
            (CANCELLED, Response(Success), vec![cancelled, Deliver, arm_m], Accepted),
            (CANCELLED, Fired(Timer::Cancelled), end(End::TimedOut), Terminated),
            (CANCELLED, TransportFailed, end(End::TransportFailed), Terminated),
            (Completed, Response(Failure), vec![SendAck], Completed),
            (Completed, Fired(Timer::D), end(End::Normal), Terminated),
            (Completed, TransportFailed, end(End::Normal), Terminated),
            (Accepted, Response(Success), vec![Deliver], Accepted),
            (Accepted, Fired(Timer::M), end(End::Normal), Terminated),
        ]
    }

    /// The final answers, after which UDP waits for repetitions.
    fn failures(tail: Output, after: State) -> Vec<Row> {
        let (a, b, cancelled) = (Disarm(Timer::A), Disarm(Timer::B), Disarm(Timer::Cancelled));
        vec![
            (CALLING, Response(Failure), vec![a, b, SendAck, Deliver, tail], after),
            (CALLING_CANCEL, Response(Failure), vec![a, b, SendAck, Deliver, tail], after),
            (PROCEEDING, Response(Failure), vec![SendAck, Deliver, tail], after),
            (CANCELLED, Response(Failure), vec![cancelled, SendAck, Deliver, tail], after),
        ]
    }

    #[test]
    fn every_state_meets_every_input() {
        let waits = failures(Arm(Timer::D, TIMER_D), Completed);
        let done = failures(Output::End(End::Normal), Terminated);
        for (reliability, failures) in [(Unreliable, waits), (Reliable, done)] {
            let rows = [common(), failures].concat();
            every_pair(
                &STATES,
                &INPUTS,
                &rows,
                |input| matches!(input, Fired(_)),
                |state, input| step(reliability, state, input),
            );
        }
    }

    #[test]
    fn the_interval_of_timer_a_has_no_ceiling() {
        let mut state = CALLING;
        for seconds in [1, 2, 4, 8, 16] {
            let (outputs, next) = step(Unreliable, state, Fired(Timer::A));
            assert_eq!(outputs, [SendInvite, Arm(Timer::A, Duration::from_secs(seconds))]);
            state = next;
        }
    }

    #[test]
    fn only_udp_starts_timer_a() {
        for (reliability, timers) in [
            (Unreliable, vec![Arm(Timer::B, TIMEOUT), Arm(Timer::A, T1)]),
            (Reliable, vec![Arm(Timer::B, TIMEOUT)]),
        ] {
            let mut outputs = Vec::new();
            let machine = InviteClient::start(reliability, &Timing::default(), |o| outputs.push(o));
            assert_eq!(outputs, [vec![SendInvite], timers].concat());
            assert_eq!(machine.state, CALLING);
        }
    }

    #[test]
    fn after_a_fall_back_it_is_a_udp_transaction() {
        let mut machine = InviteClient { state: CALLING, reliability: Reliable };
        let mut last = None;
        for input in [FallBackToUdp, Response(Failure)] {
            machine.handle(input, &Timing::default(), |output| last = Some(output));
        }
        assert_eq!(last, Some(Arm(Timer::D, TIMER_D)));
    }
}
