//! Non-INVITE server transaction: RFC 3261 §17.2.2.
//!
//! ```text
//!           1xx               200-699
//! Trying ────────▶ Proceeding ────────▶ Completed ──J (UDP)──▶ Terminated
//!    └──────────────200-699──────────────▲
//! ```

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::timing::{Class, Reliability, Timer, Timing};

/// The transaction's whole state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NonInviteServer {
    state: State,
    reliability: Reliability,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    Trying,
    Proceeding,
    Completed,
    Terminated,
}

/// What can happen to the transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// The request came again.
    Request,
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
    /// Tell the user that responses do not get through.
    TellFailure,
    /// Arm a timer.
    Arm(Timer, Duration),
    /// Forget the transaction and disarm what is armed.
    End,
}

impl NonInviteServer {
    /// Starts the transaction.
    pub const fn start(reliability: Reliability) -> Self {
        Self { state: State::Trying, reliability }
    }

    /// Advances the machine by one input.
    pub fn handle(&mut self, input: Input, timing: &Timing, mut out: impl FnMut(Output)) {
        use {Class::*, Input::*, State::*};
        match (self.state, input) {
            // RFC 3261 §17.2.2: nothing to repeat yet.
            (Trying, Request) => {}
            (Trying | Proceeding, Respond(Provisional)) => {
                self.state = Proceeding;
                out(Output::SendResponse);
            }
            // RFC 3261 §17.2.2: timer J is 64*T1 on UDP and 0 on a reliable transport.
            (Trying | Proceeding, Respond(Success | Failure)) => {
                self.state = Completed;
                out(Output::SendResponse);
                match self.reliability {
                    Reliability::Unreliable => out(Output::Arm(Timer::J, timing.timeout())),
                    Reliability::Reliable => self.end(out),
                }
            }
            (Proceeding | Completed, Request) => out(Output::SendLast),
            (Completed, Fired(Timer::J)) => self.end(out),
            // RFC 3261 §17.2.2: a further final response of the user is discarded.
            (Completed | Terminated, Respond(_)) => {}
            // RFC 6026 §8.8: tell the user and remain in the state.
            (Trying | Proceeding | Completed, TransportFailed) => out(Output::TellFailure),
            (Terminated, Request | TransportFailed) => {}
            // A disarmed timer never fires: the owner's timers are exact.
            (state, Fired(timer)) => debug_assert!(false, "timer {timer:?} fired in {state:?}"),
        }
    }

    fn end(&mut self, mut out: impl FnMut(Output)) {
        debug_assert_ne!(self.state, State::Terminated);
        self.state = State::Terminated;
        out(Output::End);
    }
}

#[cfg(test)]
mod tests {
    use super::super::timing::every_pair;
    use super::Input::*;
    use super::Output::{Arm, End, SendLast, SendResponse, TellFailure};
    use super::State::*;
    use super::*;
    use Class::*;
    use Reliability::*;

    const STATES: [State; 4] = [Trying, Proceeding, Completed, Terminated];
    const INPUTS: [Input; 6] = [
        Request,
        Respond(Provisional),
        Respond(Success),
        Respond(Failure),
        Fired(Timer::J),
        TransportFailed,
    ];

    fn step(reliability: Reliability, state: State, input: Input) -> (Vec<Output>, State) {
        let mut machine = NonInviteServer { state, reliability };
        let mut outputs = Vec::new();
        machine.handle(input, &Timing::default(), |output| outputs.push(output));
        (outputs, machine.state)
    }

    #[test]
    fn every_state_meets_every_input() {
        for (reliability, tail, after) in [
            (Unreliable, Arm(Timer::J, Duration::from_secs(32)), Completed),
            (Reliable, End, Terminated),
        ] {
            let answered = vec![SendResponse, tail];
            let rows = [
                (Trying, Respond(Provisional), vec![SendResponse], Proceeding),
                (Trying, Respond(Success), answered.clone(), after),
                (Trying, Respond(Failure), answered.clone(), after),
                (Trying, TransportFailed, vec![TellFailure], Trying),
                (Proceeding, Request, vec![SendLast], Proceeding),
                (Proceeding, Respond(Provisional), vec![SendResponse], Proceeding),
                (Proceeding, Respond(Success), answered.clone(), after),
                (Proceeding, Respond(Failure), answered, after),
                (Proceeding, TransportFailed, vec![TellFailure], Proceeding),
                (Completed, Request, vec![SendLast], Completed),
                (Completed, TransportFailed, vec![TellFailure], Completed),
                (Completed, Fired(Timer::J), vec![End], Terminated),
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
}
