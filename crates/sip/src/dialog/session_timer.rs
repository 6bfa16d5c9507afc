//! Session timers, RFC 4028, in both roles.
//!
//! ```text
//!  Off ──2xx with Session-Expires──▶ Refreshing (we are the refresher) ──half──▶ refresh
//!                                └─▶ Watching (they are) ──SE − min(32, SE/3)──▶ BYE
//! ```
//! A refresh that fails is tried again until the session's own end: losing one costs nothing.

use std::time::Duration;

use base::Time;
use serde::{Deserialize, Serialize};

use crate::message::{Headers, Name, Refresher, Request, Response, SessionExpires, StatusCode};

/// The least that RFC 4028 §4 allows anybody to insist on.
pub const MIN_SE: Duration = Duration::from_secs(90);
/// How long to wait before a failed refresh is tried again.
const RETRY: Duration = Duration::from_secs(10);
/// Longest interval taken from the wire; longer ones are read as this.
const LONGEST: u32 = 86_400;

/// One leg's session timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionTimer {
    /// What we ask for, in seconds.
    wanted: u32,
    /// What we insist on, in seconds.
    least: u32,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    Off,
    /// We refresh at `next`; the session ends at `end`.
    Refreshing {
        interval: u32,
        next: Time,
        end: Time,
    },
    /// They refresh, or we hang up at `end`.
    Watching {
        interval: u32,
        end: Time,
    },
}

/// What is to be done when the timer fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionDue {
    /// Refresh the session.
    Refresh,
    /// It has expired: BYE.
    Expired,
}

impl SessionTimer {
    /// `wanted` is asked for in our requests, `least` is our Min-SE.
    pub fn new(wanted: Duration, least: Duration) -> Self {
        let seconds = |duration: Duration| u32::try_from(duration.as_secs()).unwrap_or(LONGEST);
        let least = seconds(least).max(1);
        Self { wanted: seconds(wanted).max(least), least, state: State::Off }
    }

    /// Writes Session-Expires and Min-SE into a request of ours, RFC 4028 §7.1. Within a session
    /// the roles stay as they are.
    pub fn offer(&self, headers: &mut Headers) {
        let (delta_secs, refresher) = match self.state {
            State::Off => (self.wanted, None),
            State::Refreshing { interval, .. } => (interval, Some(Refresher::Uac)),
            State::Watching { interval, .. } => (interval, Some(Refresher::Uas)),
        };
        let value = SessionExpires { delta_secs, refresher };
        headers.set(Name::SessionExpires, value.to_string());
        headers.set(Name::MinSe, self.least.max(90).to_string());
    }

    /// Checks a request of theirs.
    ///
    /// # Errors
    /// The 422 to answer when it asks for less than we accept (RFC 4028 §9).
    pub fn check_request(&self, request: &Request) -> Result<(), Box<Response>> {
        match request.headers.session_expires() {
            Some(asked) if asked.delta_secs < self.least && supports(&request.headers) => {
                let mut response = request.response(StatusCode::SESSION_INTERVAL_TOO_SMALL);
                response.headers.set(Name::MinSe, self.least.to_string());
                Err(Box::new(response))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Decides on a request of theirs that is answered with this 2xx, and writes the decision into
    /// it, RFC 4028 §9.
    pub fn answer(&mut self, now: Time, request: &Request, response: &mut Response) {
        let supported = supports(&request.headers);
        let asked = request.headers.session_expires();
        let min = request.headers.min_se().unwrap_or(0).min(LONGEST);
        let interval = match asked {
            Some(asked) => asked.delta_secs.min(self.wanted.max(min)).max(self.least),
            None => self.wanted.max(min),
        };
        // RFC 4028 §9, table 2: one that knows nothing of timers leaves the refreshing to us.
        let refresher = match (supported, asked.and_then(|asked| asked.refresher)) {
            (false, _) => Refresher::Uas,
            (true, Some(refresher)) => refresher,
            (true, None) => Refresher::Uac,
        };
        if !supported && asked.is_none() {
            // We refresh on our own account; nothing need be said.
            self.start(now, interval, true);
            return;
        }
        let value = SessionExpires { delta_secs: interval, refresher: Some(refresher) };
        response.headers.set(Name::SessionExpires, value.to_string());
        if refresher == Refresher::Uac {
            response.headers.push(Name::Require, "timer");
        }
        self.start(now, interval, refresher == Refresher::Uas);
    }

    /// Reads a 2xx to a request of ours, RFC 4028 §7.2. Without Session-Expires the far end knows
    /// no timers: we refresh all the same, so that an orphan is found.
    pub fn accepted(&mut self, now: Time, response: &Response) {
        match response.headers.session_expires() {
            Some(granted) => {
                let interval = granted.delta_secs.clamp(self.least.min(90), LONGEST);
                self.start(now, interval, granted.refresher != Some(Refresher::Uas));
            }
            None => self.start(now, self.wanted, true),
        }
    }

    /// A 422 to a request of ours: true when we now ask for what it demands (RFC 4028 §7.3).
    pub fn too_small(&mut self, response: &Response) -> bool {
        match response.headers.min_se() {
            Some(min) if min > self.wanted && min <= LONGEST => {
                self.wanted = min;
                true
            }
            Some(_) | None => false,
        }
    }

    /// When [`Self::fired`] is due.
    pub fn deadline(&self) -> Option<Time> {
        match self.state {
            State::Off => None,
            State::Refreshing { next, end, .. } => Some(next.min(end)),
            State::Watching { end, .. } => Some(end),
        }
    }

    /// The deadline has come.
    pub fn fired(&mut self, now: Time) -> SessionDue {
        match &mut self.state {
            State::Refreshing { next, end, .. } if now < *end => {
                *next = *end; // until the refresh has succeeded or failed
                SessionDue::Refresh
            }
            State::Off | State::Refreshing { .. } | State::Watching { .. } => {
                self.state = State::Off;
                SessionDue::Expired
            }
        }
    }

    /// A refresh could not be made, or was refused: again soon, until the session's end.
    pub fn refresh_failed(&mut self, now: Time) {
        if let State::Refreshing { next, .. } = &mut self.state {
            *next = now + RETRY;
        }
    }

    fn start(&mut self, now: Time, interval: u32, we_refresh: bool) {
        let whole = Duration::from_secs(interval.into());
        self.state = if we_refresh {
            State::Refreshing { interval, next: now + whole / 2, end: now + whole }
        } else {
            // RFC 4028 §10: the one who waits hangs up a little before the end.
            let margin = Duration::from_secs(32).min(whole / 3);
            State::Watching { interval, end: now + (whole - margin) }
        };
    }
}

fn supports(headers: &Headers) -> bool {
    headers.has_token(Name::Supported, "timer") || headers.has_token(Name::Require, "timer")
}
