//! Session timers, RFC 4028, in both roles.
//!
//! ```text
//!        2xx with Session-Expires
//!  Off ──┬─ we are the refresher ──▶ Refreshing ──half, then ever sooner──▶ refresh
//!        │                               └─the end without a success──▶ BYE
//!        ├─ they are ──────────────▶ Watching ──SE − min(32, SE/3)──▶ BYE
//!        └─ they know no timers ───▶ Keeping ──half──▶ refresh; any answer shows them alive
//! ```
//! A refresh that fails is tried again until the session's own end: losing one costs nothing
//! (INTEROP 10). A 408 or 481 to one ends the dialog, which is the owner's to do (RFC 5057 §5.1).

use std::time::Duration;

use base::Time;
use serde::{Deserialize, Serialize};

use crate::message::{Headers, Name, Refresher, Request, Response, SessionExpires, StatusCode};

/// The least that RFC 4028 §4 allows anybody to insist on.
pub const MIN_SE: Duration = Duration::from_secs(90);
/// Times that we raise what we ask for after a 422, in one session.
const RAISES_MAX: u8 = 4;
/// The shortest wait before a refresh is tried again.
const RETRY: Duration = Duration::from_secs(10);
/// Longest interval taken from the wire, in seconds; longer ones are read as this.
const LONGEST: u32 = 86_400;

/// One leg's session timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionTimer {
    /// What we ask for, in seconds.
    wanted: u32,
    /// What we insist on, in seconds.
    least: u32,
    /// What 422s taught us to say in Min-SE, in seconds.
    learned: u32,
    /// How often they did.
    raises: u8,
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
    /// We refresh at `next` for ourselves; their session has no end.
    Keeping {
        interval: u32,
        next: Time,
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
        let seconds = |duration: Duration| {
            u32::try_from(duration.as_secs()).unwrap_or(LONGEST).clamp(1, LONGEST)
        };
        let least = seconds(least);
        let wanted = seconds(wanted).max(least);
        Self { wanted, least, learned: 0, raises: 0, state: State::Off }
    }

    /// Writes Session-Expires and Min-SE into a request of ours, RFC 4028 §7.1. Within a session
    /// the roles stay as they are (§7.4).
    pub fn offer(&self, headers: &mut Headers) {
        let refresher = match self.state {
            State::Off => None,
            State::Refreshing { .. } | State::Keeping { .. } => Some(Refresher::Uac),
            State::Watching { .. } => Some(Refresher::Uas),
        };
        let value = SessionExpires { delta_secs: self.asked(), refresher };
        headers.set(Name::SessionExpires, value.to_string());
        // RFC 4028 §5: below 90 s it may not be said, and nobody thinks of less.
        let min_se = self.least.max(self.learned);
        if min_se >= 90 {
            headers.set(Name::MinSe, min_se.to_string());
        }
    }

    /// The interval that our next request asks for, in seconds.
    fn asked(&self) -> u32 {
        match self.state {
            State::Off => self.wanted,
            State::Refreshing { interval, .. }
            | State::Watching { interval, .. }
            | State::Keeping { interval, .. } => interval,
        }
        .max(self.learned)
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
        if !supported && asked.is_none() {
            // We refresh on our own account; nothing need be said.
            return self.keep(now, interval);
        }
        // RFC 4028 §9, table 2: one that knows nothing of timers leaves the refreshing to us.
        let refresher = match (supported, asked.and_then(|asked| asked.refresher)) {
            (false, _) => Refresher::Uas,
            (true, Some(refresher)) => refresher,
            (true, None) => Refresher::Uac,
        };
        let value = SessionExpires { delta_secs: interval, refresher: Some(refresher) };
        response.headers.set(Name::SessionExpires, value.to_string());
        match refresher {
            Refresher::Uac => {
                response.headers.push(Name::Require, "timer");
                self.watch(now, interval);
            }
            Refresher::Uas if supported => self.refresh(now, interval),
            Refresher::Uas => self.keep(now, interval),
        }
    }

    /// Reads a 2xx to a request of ours, RFC 4028 §7.2. Without Session-Expires the far end knows
    /// no timers: we refresh all the same, so that an orphan is found.
    pub fn accepted(&mut self, now: Time, response: &Response) {
        self.raises = 0;
        let Some(granted) = response.headers.session_expires() else {
            return self.keep(now, self.wanted.max(self.learned));
        };
        let interval = granted.delta_secs.clamp(self.least.min(90), LONGEST);
        match granted.refresher {
            Some(Refresher::Uas) => self.watch(now, interval),
            Some(Refresher::Uac) | None => self.refresh(now, interval),
        }
    }

    /// A 422 to a request of ours: true when [`Self::offer`] now asks for what it demands
    /// (RFC 4028 §7.3).
    pub fn too_small(&mut self, response: &Response) -> bool {
        match response.headers.min_se() {
            Some(min) if min > self.asked() && min <= LONGEST && self.raises < RAISES_MAX => {
                self.learned = min;
                self.raises += 1;
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
            State::Keeping { next, .. } => Some(next),
        }
    }

    /// The deadline has come. The next attempt is set as if this one failed; its success
    /// ([`Self::accepted`]) sets it anew.
    pub fn fired(&mut self, now: Time) -> SessionDue {
        match self.state {
            State::Refreshing { end, .. } if now < end => {
                self.refresh_failed(now);
                SessionDue::Refresh
            }
            State::Keeping { .. } => {
                self.refresh_failed(now);
                SessionDue::Refresh
            }
            State::Off | State::Refreshing { .. } | State::Watching { .. } => {
                debug_assert_ne!(self.state, State::Off, "a stale timer");
                self.state = State::Off;
                SessionDue::Expired
            }
        }
    }

    /// A refresh could not be made, or was refused: again soon, until the session's end.
    pub fn refresh_failed(&mut self, now: Time) {
        match &mut self.state {
            // A quarter of what is left: quick where it is short, a handful where it is long.
            State::Refreshing { next, end, .. } => *next = now + ((*end - now) / 4).max(RETRY),
            State::Keeping { interval, next } => *next = now + half(*interval),
            State::Off | State::Watching { .. } => {}
        }
    }

    fn refresh(&mut self, now: Time, interval: u32) {
        let end = now + Duration::from_secs(interval.into());
        self.state = State::Refreshing { interval, next: now + half(interval), end };
    }

    fn watch(&mut self, now: Time, interval: u32) {
        let whole = Duration::from_secs(interval.into());
        // RFC 4028 §10: the one who waits hangs up a little before the end.
        let margin = Duration::from_secs(32).min(whole / 3);
        self.state = State::Watching { interval, end: now + (whole - margin) };
    }

    fn keep(&mut self, now: Time, interval: u32) {
        self.state = State::Keeping { interval, next: now + half(interval) };
    }
}

fn half(interval: u32) -> Duration {
    Duration::from_secs(interval.into()) / 2
}

fn supports(headers: &Headers) -> bool {
    headers.has_token(Name::Supported, "timer") || headers.has_token(Name::Require, "timer")
}

#[cfg(test)]
mod tests;
