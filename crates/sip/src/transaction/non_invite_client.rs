//! Non-INVITE client transaction: RFC 3261 §17.1.2.
//!
//! ```text
//!           1xx               200-699
//! Trying ────────▶ Proceeding ────────▶ Completed ──K (UDP)──▶ Terminated
//!  │ │ └────────────200-699──────────────▲                      ▲
//!  │ └──E: send again                                           │
//!  └──F, transport failed; the same in Proceeding ──────────────┘
//! ```

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::timing::{Class, Reliability, Timer, Timing};

/// The transaction's whole state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NonInviteClient {
    state: State,
    reliability: Reliability,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    Trying { timer_e: Duration },
    Proceeding,
    Completed,
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
    /// TCP, chosen for the size of the request, failed: send it over UDP, RFC 3261 §18.1.1.
    FallBackToUdp,
}

/// What the transaction asks its owner to do, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send the request (again).
    SendRequest,
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
    /// Timer F fired first: act as on a 408, RFC 3261 §8.1.3.1.
    TimedOut,
    /// Act as on a 503, RFC 3261 §8.1.3.1.
    TransportFailed,
}

impl NonInviteClient {
    /// Starts the transaction: sends the request and arms timer F (and E on UDP).
    pub fn start(reliability: Reliability, timing: &Timing, mut out: impl FnMut(Output)) -> Self {
        out(Output::SendRequest);
        out(Output::Arm(Timer::F, timing.timeout()));
        match reliability {
            Reliability::Unreliable => out(Output::Arm(Timer::E, timing.t1)),
            Reliability::Reliable => {}
        }
        Self { state: State::Trying { timer_e: timing.t1 }, reliability }
    }

    /// Whether a final response may still come.
    pub const fn is_pending(&self) -> bool {
        match self.state {
            State::Trying { .. } | State::Proceeding => true,
            State::Completed | State::Terminated => false,
        }
    }

    /// Whether nothing was heard yet.
    pub const fn is_trying(&self) -> bool {
        match self.state {
            State::Trying { .. } => true,
            State::Proceeding | State::Completed | State::Terminated => false,
        }
    }

    /// Advances the machine by one input.
    pub fn handle(&mut self, input: Input, timing: &Timing, mut out: impl FnMut(Output)) {
        use {Class::*, Input::*, State::*};
        match (self.state, input) {
            // RFC 3261 §17.1.2.2: retransmit with intervals that double up to T2.
            (Trying { timer_e }, Fired(Timer::E)) => {
                let timer_e = timing.back_off(timer_e);
                self.state = Trying { timer_e };
                out(Output::SendRequest);
                out(Output::Arm(Timer::E, timer_e));
            }
            // RFC 3261 §17.1.2.2: after a provisional response every T2.
            (Proceeding, Fired(Timer::E)) => {
                out(Output::SendRequest);
                out(Output::Arm(Timer::E, timing.t2));
            }
            (Trying { .. } | Proceeding, Fired(Timer::F)) => self.end(End::TimedOut, out),
            // RFC 3261 §18.1.1: timer F goes on, timer E starts.
            (Trying { .. }, FallBackToUdp) => {
                self.reliability = Reliability::Unreliable;
                self.state = Trying { timer_e: timing.t1 };
                out(Output::SendRequest);
                out(Output::Arm(Timer::E, timing.t1));
            }
            // The TCP that failed has brought a response before.
            (Proceeding | Completed | Terminated, FallBackToUdp) => {}
            // Timers E and F run on.
            (Trying { .. } | Proceeding, Response(Provisional)) => {
                self.state = Proceeding;
                out(Output::Deliver);
            }
            // RFC 3261 §17.1.2.2: timer K is T4 on UDP and 0 on a reliable transport.
            (Trying { .. } | Proceeding, Response(Success | Failure)) => {
                self.state = Completed;
                out(Output::Disarm(Timer::E));
                out(Output::Disarm(Timer::F));
                out(Output::Deliver);
                match self.reliability {
                    Reliability::Unreliable => out(Output::Arm(Timer::K, timing.t4)),
                    Reliability::Reliable => self.end(End::Normal, out),
                }
            }
            (Trying { .. } | Proceeding, TransportFailed) => self.end(End::TransportFailed, out),
            (Completed, Fired(Timer::K)) => self.end(End::Normal, out),
            // RFC 3261 §17.1.2.2: Completed absorbs repeated responses; nothing is sent any more.
            (Completed | Terminated, Response(_) | TransportFailed) => {}
            // A disarmed timer never fires: the owner's timers are exact.
            (state, Fired(timer)) => debug_assert!(false, "timer {timer:?} fired in {state:?}"),
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
    use super::super::timing::{T1, T2, T4, every_pair};
    use super::Input::*;
    use super::Output::{Arm, Deliver, Disarm, SendRequest};
    use super::State::*;
    use super::*;
    use Class::*;
    use Reliability::*;

    const TRYING: State = Trying { timer_e: T1 };
    const STATES: [State; 4] = [TRYING, Proceeding, Completed, Terminated];
    const INPUTS: [Input; 8] = [
        Response(Provisional),
        Response(Success),
        Response(Failure),
        Fired(Timer::E),
        Fired(Timer::F),
        Fired(Timer::K),
        TransportFailed,
        FallBackToUdp,
    ];

    fn step(reliability: Reliability, state: State, input: Input) -> (Vec<Output>, State) {
        let mut machine = NonInviteClient { state, reliability };
        let mut outputs = Vec::new();
        machine.handle(input, &Timing::default(), |output| outputs.push(output));
        (outputs, machine.state)
    }

    #[test]
    fn every_state_meets_every_input() {
        let end = |why| vec![Output::End(why)];
        for (reliability, tail, after) in [
            (Unreliable, Arm(Timer::K, T4), Completed),
            (Reliable, Output::End(End::Normal), Terminated),
        ] {
            let answered = vec![Disarm(Timer::E), Disarm(Timer::F), Deliver, tail];
            let rows = [
                (TRYING, Response(Provisional), vec![Deliver], Proceeding),
                (TRYING, Response(Success), answered.clone(), after),
                (TRYING, Response(Failure), answered.clone(), after),
                (
                    TRYING,
                    Fired(Timer::E),
                    vec![SendRequest, Arm(Timer::E, 2 * T1)],
                    Trying { timer_e: 2 * T1 },
                ),
                (TRYING, Fired(Timer::F), end(End::TimedOut), Terminated),
                (TRYING, TransportFailed, end(End::TransportFailed), Terminated),
                (TRYING, FallBackToUdp, vec![SendRequest, Arm(Timer::E, T1)], TRYING),
                (Proceeding, Response(Provisional), vec![Deliver], Proceeding),
                (Proceeding, Response(Success), answered.clone(), after),
                (Proceeding, Response(Failure), answered, after),
                (Proceeding, Fired(Timer::E), vec![SendRequest, Arm(Timer::E, T2)], Proceeding),
                (Proceeding, Fired(Timer::F), end(End::TimedOut), Terminated),
                (Proceeding, TransportFailed, end(End::TransportFailed), Terminated),
                (Completed, Fired(Timer::K), end(End::Normal), Terminated),
            ];
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
    fn the_interval_of_timer_e_stops_at_t2() {
        let mut state = TRYING;
        for millis in [1000, 2000, 4000, 4000] {
            let (outputs, next) = step(Unreliable, state, Fired(Timer::E));
            assert_eq!(outputs, [SendRequest, Arm(Timer::E, Duration::from_millis(millis))]);
            state = next;
        }
    }

    #[test]
    fn only_udp_starts_timer_e() {
        let f = Arm(Timer::F, Duration::from_secs(32));
        for (reliability, expected) in [
            (Unreliable, vec![SendRequest, f, Arm(Timer::E, T1)]),
            (Reliable, vec![SendRequest, f]),
        ] {
            let mut outputs = Vec::new();
            NonInviteClient::start(reliability, &Timing::default(), |o| outputs.push(o));
            assert_eq!(outputs, expected);
        }
    }
}
