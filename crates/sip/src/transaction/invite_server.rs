//! INVITE server transaction: RFC 3261 §17.2.1, with the Accepted state of RFC 6026 §7.1.
//!
//! ```text
//!             2xx
//! Proceeding ─────▶ Accepted ──L───────────────────────────────▶ Terminated
//!  │      300-699                  ACK                             ▲  ▲
//!  └─────────────▶ Completed ──────────────▶ Confirmed ──I (UDP)───┘  │
//!                   └──H: no ACK came─────────────────────────────────┘
//! ```
//!
//! The user owns the retransmission of a 2xx (RFC 3261 §13.3.1.4): it responds with it again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::timing::{Class, Reliability, Timer, Timing};

/// The transaction's whole state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InviteServer {
    state: State,
    reliability: Reliability,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    Proceeding { responded: bool },
    Completed { timer_g: Duration },
    Confirmed,
    Accepted,
    Terminated,
}

/// What can happen to the transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// The INVITE came again.
    Invite,
    /// An ACK matched by RFC 3261 §17.2.3.
    Ack,
    /// The user responds.
    Respond(Class),
    /// A timer armed by [`Output::Arm`] fired.
    Fired(Timer),
    /// The transport could not send, nor to the alternative address.
    TransportFailed,
}

/// What the transaction asks its owner to do, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send the response given with [`Input::Respond`] and keep it for [`Output::SendLast`].
    SendResponse,
    /// Send the last response again.
    SendLast,
    /// The final response is acknowledged.
    Acked,
    /// Pass the ACK to the transaction user.
    DeliverAck,
    /// Tell the user that responses do not get through.
    TellFailure,
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
    /// It has done its work.
    Normal,
    /// Timer H fired: the final response was never acknowledged.
    AckTimedOut,
}

impl InviteServer {
    /// Starts the transaction.
    pub const fn start(reliability: Reliability) -> Self {
        Self { state: State::Proceeding { responded: false }, reliability }
    }

    /// Whether the final response is still to be given.
    pub const fn is_proceeding(&self) -> bool {
        match self.state {
            State::Proceeding { .. } => true,
            State::Completed { .. } | State::Confirmed => false,
            State::Accepted | State::Terminated => false,
        }
    }

    /// Whether a retransmission may still be asked for, so that the last response must be kept.
    pub const fn repeats(&self) -> bool {
        match self.state {
            State::Proceeding { .. } | State::Completed { .. } => true,
            State::Confirmed | State::Accepted | State::Terminated => false,
        }
    }

    /// Advances the machine by one input.
    pub fn handle(&mut self, input: Input, timing: &Timing, mut out: impl FnMut(Output)) {
        use {Class::*, Input::*, State::*};
        match (self.state, input) {
            // RFC 3261 §17.2.1: a repeated INVITE gets the last provisional response.
            (Proceeding { responded: true }, Invite) => out(Output::SendLast),
            (Proceeding { responded: false }, Invite) => {}
            (Proceeding { .. }, Respond(Provisional)) => {
                self.state = Proceeding { responded: true };
                out(Output::SendResponse);
            }
            // RFC 6026 §7.1, §8.7: timer L on every transport.
            (Proceeding { .. }, Respond(Success)) => {
                self.state = Accepted;
                out(Output::SendResponse);
                out(Output::Arm(Timer::L, timing.timeout()));
            }
            // RFC 3261 §17.2.1: timer H on every transport, G on UDP.
            (Proceeding { .. }, Respond(Failure)) => {
                self.state = Completed { timer_g: timing.t1 };
                out(Output::SendResponse);
                out(Output::Arm(Timer::H, timing.timeout()));
                match self.reliability {
                    Reliability::Unreliable => out(Output::Arm(Timer::G, timing.t1)),
                    Reliability::Reliable => {}
                }
            }
            (Completed { .. }, Invite) => out(Output::SendLast),
            (Completed { timer_g }, Fired(Timer::G)) => {
                let timer_g = timing.back_off(timer_g);
                self.state = Completed { timer_g };
                out(Output::SendLast);
                out(Output::Arm(Timer::G, timer_g));
            }
            (Completed { .. }, Fired(Timer::H)) => self.end(End::AckTimedOut, out),
            // RFC 3261 §17.2.1: timer I is T4 on UDP and 0 on a reliable transport.
            (Completed { .. }, Ack) => {
                self.state = Confirmed;
                out(Output::Disarm(Timer::G));
                out(Output::Disarm(Timer::H));
                out(Output::Acked);
                match self.reliability {
                    Reliability::Unreliable => out(Output::Arm(Timer::I, timing.t4)),
                    Reliability::Reliable => self.end(End::Normal, out),
                }
            }
            (Confirmed, Fired(Timer::I)) => self.end(End::Normal, out),
            // RFC 6026 §8.7: the 2xx again from the user, who is owed the ACK.
            (Accepted, Respond(Success)) => out(Output::SendResponse),
            (Accepted, Ack) => out(Output::DeliverAck),
            (Accepted, Fired(Timer::L)) => self.end(End::Normal, out),
            // RFC 6026 §8.8: tell the user and remain in the state.
            (Proceeding { .. } | Completed { .. } | Accepted, TransportFailed) => {
                out(Output::TellFailure);
            }
            // RFC 3261 §17.2.1: an ACK before a final response answers nothing.
            (Proceeding { .. }, Ack) => {}
            // RFC 3261 §17.2.1, RFC 6026 §8.7: absorbed.
            (Confirmed | Accepted | Terminated, Invite) | (Confirmed | Terminated, Ack) => {}
            // RFC 3261 §17.2.1: a further final response of the user is discarded.
            (Completed { .. } | Confirmed | Terminated, Respond(_))
            | (Accepted, Respond(Provisional | Failure)) => {}
            (Confirmed | Terminated, TransportFailed) => {}
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
    use super::super::timing::{T1, T4, every_pair};
    use super::Input::*;
    use super::Output::{Acked, Arm, DeliverAck, Disarm, SendLast, SendResponse, TellFailure};
    use super::State::*;
    use super::*;
    use Class::*;
    use Reliability::*;

    const TIMEOUT: Duration = Duration::from_secs(32);
    const SILENT: State = Proceeding { responded: false };
    const RINGING: State = Proceeding { responded: true };
    const COMPLETED: State = Completed { timer_g: T1 };
    const STATES: [State; 6] = [SILENT, RINGING, COMPLETED, Confirmed, Accepted, Terminated];
    const INPUTS: [Input; 10] = [
        Invite,
        Ack,
        Respond(Provisional),
        Respond(Success),
        Respond(Failure),
        Fired(Timer::G),
        Fired(Timer::H),
        Fired(Timer::I),
        Fired(Timer::L),
        TransportFailed,
    ];

    fn step(reliability: Reliability, state: State, input: Input) -> (Vec<Output>, State) {
        let mut machine = InviteServer { state, reliability };
        let mut outputs = Vec::new();
        machine.handle(input, &Timing::default(), |output| outputs.push(output));
        (outputs, machine.state)
    }

    #[test]
    fn every_state_meets_every_input() {
        let refusal = [SendResponse, Arm(Timer::H, TIMEOUT)];
        let refusal_udp = [refusal.to_vec(), vec![Arm(Timer::G, T1)]].concat();
        for (reliability, refused, acked, after_ack) in [
            (Unreliable, refusal_udp, Arm(Timer::I, T4), Confirmed),
            (Reliable, refusal.to_vec(), Output::End(End::Normal), Terminated),
        ] {
            let accepted = vec![SendResponse, Arm(Timer::L, TIMEOUT)];
            let next_g = Completed { timer_g: 2 * T1 };
            let rows = [
                (SILENT, Respond(Provisional), vec![SendResponse], RINGING),
                (SILENT, Respond(Success), accepted.clone(), Accepted),
                (SILENT, Respond(Failure), refused.clone(), COMPLETED),
                (SILENT, TransportFailed, vec![TellFailure], SILENT),
                (RINGING, Invite, vec![SendLast], RINGING),
                (RINGING, Respond(Provisional), vec![SendResponse], RINGING),
                (RINGING, Respond(Success), accepted, Accepted),
                (RINGING, Respond(Failure), refused, COMPLETED),
                (RINGING, TransportFailed, vec![TellFailure], RINGING),
                (COMPLETED, Invite, vec![SendLast], COMPLETED),
                (COMPLETED, Ack, vec![Disarm(Timer::G), Disarm(Timer::H), Acked, acked], after_ack),
                (COMPLETED, Fired(Timer::G), vec![SendLast, Arm(Timer::G, 2 * T1)], next_g),
                (COMPLETED, Fired(Timer::H), vec![Output::End(End::AckTimedOut)], Terminated),
                (COMPLETED, TransportFailed, vec![TellFailure], COMPLETED),
                (Confirmed, Fired(Timer::I), vec![Output::End(End::Normal)], Terminated),
                (Accepted, Ack, vec![DeliverAck], Accepted),
                (Accepted, Respond(Success), vec![SendResponse], Accepted),
                (Accepted, Fired(Timer::L), vec![Output::End(End::Normal)], Terminated),
                (Accepted, TransportFailed, vec![TellFailure], Accepted),
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
    fn the_interval_of_timer_g_stops_at_t2() {
        let mut state = COMPLETED;
        for millis in [1000, 2000, 4000, 4000] {
            let (outputs, next) = step(Unreliable, state, Fired(Timer::G));
            assert_eq!(outputs, [SendLast, Arm(Timer::G, Duration::from_millis(millis))]);
            state = next;
        }
    }

    #[test]
    fn the_response_is_kept_while_it_may_be_repeated() {
        for (state, repeats) in [
            (SILENT, true),
            (RINGING, true),
            (COMPLETED, true),
            (Confirmed, false),
            (Accepted, false),
            (Terminated, false),
        ] {
            assert_eq!(InviteServer { state, reliability: Unreliable }.repeats(), repeats);
        }
    }
}
