//! The subscription that a REFER makes, from the side that tells of progress (RFC 3515 §2.4.4–6,
//! RFC 6665 §4.2).
//!
//! ```text
//! REFER ──202──▶ Active ──final status, or expiry──▶ Ending ──its NOTIFY answered──▶ over
//!                  └──481 or no answer to a NOTIFY, SUBSCRIBE with Expires: 0──▶ over
//! ```
//! One NOTIFY is in flight at a time: what happens meanwhile is told by the next, and only the
//! latest of it, so that a slow phone has nothing to catch up with.

use std::time::Duration;

use base::Time;
use serde::{Deserialize, Serialize};

use crate::message::{Headers, Name, StatusCode};

use super::{SIPFRAG, sipfrag};

/// How long progress is told, unless the call is settled before: longer than a phone rings.
pub const EXPIRES: Duration = Duration::from_secs(180);

/// A NOTIFY to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notify {
    /// Value of Event.
    pub event: String,
    /// Value of Subscription-State.
    pub state: String,
    /// Its body, of type [`SIPFRAG`].
    pub body: String,
}

impl Notify {
    /// Writes the headers of the package into a NOTIFY.
    pub fn write(&self, headers: &mut Headers) {
        headers.set(Name::Event, self.event.clone());
        headers.set(Name::SubscriptionState, self.state.clone());
    }

    /// The media type of the body.
    pub const fn content_type(&self) -> &'static str {
        SIPFRAG
    }
}

/// What we owe a phone that referred a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Referral {
    id: u32,
    expires: Time,
    /// The latest status that has not been told.
    untold: Option<StatusCode>,
    /// The last one told or to be told.
    last: StatusCode,
    in_flight: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    Active,
    /// The next NOTIFY is the last one.
    Ending(Why),
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Why {
    /// The call is settled (RFC 3515 §2.4.7: `noresource`).
    Settled,
    /// RFC 6665 §4.1.3.
    Expired,
}

impl Referral {
    /// The REFER numbered `id` was accepted: RFC 3515 §2.4.4 wants a NOTIFY at once.
    pub fn new(now: Time, id: u32) -> Self {
        let trying = StatusCode::TRYING;
        Self {
            id,
            expires: now + EXPIRES,
            untold: Some(trying),
            last: trying,
            in_flight: false,
            state: State::Active,
        }
    }

    /// CSeq number of the REFER.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Whether nothing is left to be told.
    pub fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// When [`Self::expired`] is to be called.
    pub fn deadline(&self) -> Option<Time> {
        (self.state == State::Active).then_some(self.expires)
    }

    /// The referred call has got this far; a final status ends the subscription.
    pub fn progress(&mut self, status: StatusCode) {
        if self.state != State::Active || status == self.last {
            return;
        }
        self.last = status;
        self.untold = Some(status);
        if !status.is_provisional() {
            self.state = State::Ending(Why::Settled);
        }
    }

    /// The phone waits no longer, by our clock.
    pub fn expired(&mut self) {
        if self.state == State::Active {
            self.untold = Some(self.last);
            self.state = State::Ending(Why::Expired);
        }
    }

    /// A SUBSCRIBE of the phone (RFC 6665 §4.2.1.4): refreshes, or with 0 seconds ends it. Both are
    /// answered by a NOTIFY with the present state.
    pub fn subscribed(&mut self, now: Time, seconds: u32) {
        if self.state != State::Active {
            return;
        }
        self.untold = Some(self.last);
        if seconds == 0 {
            self.state = State::Ending(Why::Expired);
        } else {
            self.expires = now + EXPIRES.min(Duration::from_secs(seconds.into()));
        }
    }

    /// The NOTIFY to send now, if there is one. It is in flight until [`Self::answered`].
    pub fn poll(&mut self, now: Time) -> Option<Notify> {
        if self.in_flight || self.state == State::Over {
            return None;
        }
        let status = self.untold.take()?;
        self.in_flight = true;
        let state = match self.state {
            State::Active => format!("active;expires={}", (self.expires - now).as_secs()),
            State::Ending(Why::Settled) => "terminated;reason=noresource".to_owned(),
            State::Ending(Why::Expired) | State::Over => "terminated;reason=timeout".to_owned(),
        };
        let event = format!("refer;id={}", self.id);
        Some(Notify { event, state, body: sipfrag(status) })
    }

    /// The NOTIFY that is still owed when the dialog is about to end, whether or not another one is in
    /// flight; `None` when all is told.
    pub fn last_word(&mut self) -> Option<Notify> {
        let status = self.untold.take()?;
        let is_settled = !status.is_provisional();
        self.state = State::Over;
        let reason = if is_settled { "noresource" } else { "giveup" };
        let state = format!("terminated;reason={reason}");
        Some(Notify { event: format!("refer;id={}", self.id), state, body: sipfrag(status) })
    }

    /// The NOTIFY in flight got this answer, `None` for none: RFC 6665 §4.2.2, whoever does not
    /// know the subscription any more is told nothing more.
    pub fn answered(&mut self, status: Option<StatusCode>) {
        self.in_flight = false;
        let is_lost =
            status.is_none_or(|status| matches!(status.0, 404 | 405 | 408 | 410 | 481 | 489));
        let was_last = self.state != State::Active && self.untold.is_none();
        if is_lost || was_last {
            self.state = State::Over;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: Time = Time::ZERO;

    fn told(referral: &mut Referral, now: Time) -> (String, String) {
        let notify = referral.poll(now).unwrap();
        (notify.body.trim_end().to_owned(), notify.state)
    }

    fn said(body: &str, state: &str) -> (String, String) {
        (body.to_owned(), state.to_owned())
    }

    #[test]
    fn t11_progress_is_told_from_trying_to_the_end() {
        let mut referral = Referral::new(T0, 7);
        let first = referral.poll(T0).unwrap();
        assert_eq!(first.event, "refer;id=7");
        assert_eq!(
            (first.body.as_str(), first.state.as_str()),
            ("SIP/2.0 100 Trying\r\n", "active;expires=180")
        );
        referral.answered(Some(StatusCode::OK));
        assert_eq!(referral.poll(T0), None, "nothing new");
        referral.progress(StatusCode::RINGING);
        let later = T0 + Duration::from_secs(30);
        assert_eq!(told(&mut referral, later), said("SIP/2.0 180 Ringing", "active;expires=150"));
        referral.answered(Some(StatusCode::OK));
        referral.progress(StatusCode::OK);
        assert_eq!(
            told(&mut referral, later),
            said("SIP/2.0 200 OK", "terminated;reason=noresource")
        );
        assert!(!referral.is_over(), "its answer is waited for");
        referral.answered(Some(StatusCode::OK));
        assert!(referral.is_over());
        assert_eq!(referral.deadline(), None);
    }

    #[test]
    fn one_notify_is_in_flight_and_only_the_latest_follows() {
        let mut referral = Referral::new(T0, 1);
        referral.poll(T0).unwrap();
        referral.progress(StatusCode::RINGING);
        referral.progress(StatusCode::SESSION_PROGRESS);
        assert_eq!(referral.poll(T0), None);
        referral.answered(Some(StatusCode::OK));
        assert_eq!(told(&mut referral, T0).0, "SIP/2.0 183 Session Progress");
        referral.progress(StatusCode::BUSY_HERE);
        referral.answered(Some(StatusCode::OK));
        assert!(!referral.is_over(), "the verdict is still to be told");
        assert_eq!(told(&mut referral, T0).0, "SIP/2.0 486 Busy Here");
        referral.progress(StatusCode::OK);
        referral.answered(Some(StatusCode::OK));
        assert!(referral.is_over());
        assert_eq!(referral.poll(T0), None);
    }

    #[test]
    fn a_phone_that_forgot_or_is_gone_is_told_nothing_more() {
        for answer in [Some(StatusCode::CALL_DOES_NOT_EXIST), Some(StatusCode::BAD_EVENT), None] {
            let mut referral = Referral::new(T0, 1);
            referral.poll(T0).unwrap();
            referral.answered(answer);
            assert!(referral.is_over(), "{answer:?}");
            referral.progress(StatusCode::OK);
            assert_eq!(referral.poll(T0), None);
        }
        let mut referral = Referral::new(T0, 1);
        referral.poll(T0).unwrap();
        referral.answered(Some(StatusCode::SERVER_INTERNAL_ERROR));
        assert!(!referral.is_over(), "a passing fault");
    }

    #[test]
    fn it_ends_by_time_or_by_the_phone_s_wish() {
        let mut referral = Referral::new(T0, 1);
        referral.poll(T0).unwrap();
        referral.answered(Some(StatusCode::OK));
        assert_eq!(referral.deadline(), Some(T0 + EXPIRES));
        referral.subscribed(T0 + Duration::from_secs(100), 3600);
        assert_eq!(
            referral.deadline(),
            Some(T0 + Duration::from_secs(280)),
            "never longer than ours"
        );
        assert_eq!(told(&mut referral, T0 + Duration::from_secs(100)).1, "active;expires=180");
        referral.answered(Some(StatusCode::OK));
        referral.expired();
        assert_eq!(
            told(&mut referral, T0 + Duration::from_secs(280)),
            said("SIP/2.0 100 Trying", "terminated;reason=timeout")
        );
        referral.answered(Some(StatusCode::OK));
        assert!(referral.is_over());

        let mut referral = Referral::new(T0, 1);
        referral.poll(T0).unwrap();
        referral.subscribed(T0, 0);
        referral.answered(Some(StatusCode::OK));
        assert_eq!(told(&mut referral, T0).1, "terminated;reason=timeout");
    }

    #[test]
    fn what_is_owed_is_told_before_the_dialog_ends() {
        let mut referral = Referral::new(T0, 1);
        referral.poll(T0).unwrap();
        referral.progress(StatusCode::OK);
        assert_eq!(referral.poll(T0), None, "one in flight");
        let last = referral.last_word().unwrap();
        assert_eq!(
            (last.body.trim_end(), last.state.as_str()),
            ("SIP/2.0 200 OK", "terminated;reason=noresource")
        );
        assert!(referral.is_over() && referral.last_word().is_none());
    }

    #[test]
    fn a_snapshot_goes_on_as_the_original_would() {
        let mut referral = Referral::new(T0, 1);
        referral.poll(T0).unwrap();
        referral.progress(StatusCode::RINGING);
        let mut restored = crate::dialog::testing::restored(&referral);
        assert_eq!(restored, referral);
        for each in [&mut referral, &mut restored] {
            each.answered(Some(StatusCode::OK));
        }
        assert_eq!(restored.poll(T0), referral.poll(T0));
    }
}
