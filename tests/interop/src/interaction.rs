//! One interaction as a program drives it.

use std::time::Duration;

use serde_json::Value;

use crate::eventually;
use crate::web::{Answer, Web};

/// An interaction, by somebody's token.
#[derive(Clone, Debug)]
pub struct Interaction {
    web: Web,
    id: String,
}

impl Interaction {
    /// The one interaction that is `state`, once there is one.
    #[track_caller]
    pub fn that_is(web: Web, state: &str) -> Self {
        let id = web.interaction(state)["id"].as_str().unwrap().to_owned();
        Self { web, id }
    }

    /// The same by another token.
    #[must_use]
    pub fn by(&self, web: Web) -> Self {
        Self { web, id: self.id.clone() }
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// As it is shown.
    pub fn shown(&self) -> Value {
        self.web.get(&format!("/v1/interactions/{}", self.id)).json()
    }

    /// The participant of this party, such as `1001` or the name of a trunk.
    pub fn participant(&self, party: &str) -> Option<Value> {
        let shown = self.shown();
        let mut participants = shown["participants"].as_array().into_iter().flatten();
        participants.find(|one| one["party"] == party).cloned()
    }

    /// Whether this party may do something now.
    pub fn may(&self, party: &str, verb: &str) -> bool {
        let one = self.participant(party).unwrap_or_else(|| panic!("no {party} in it"));
        one["controls"][verb]["enabled"] == true
    }

    /// Waits until it is `state`.
    #[track_caller]
    pub fn expect(&self, state: &str) {
        let is = || (self.shown()["state"] == state).then_some(());
        assert!(eventually(Duration::from_secs(20), is).is_some(), "not {state}: {}", self.shown());
    }

    /// Does something with no more to say about it, such as `consult/hold`.
    #[track_caller]
    pub fn does(&self, verb: &str) {
        self.does_with(verb, "{}");
    }

    /// Does something.
    #[track_caller]
    pub fn does_with(&self, verb: &str, body: &str) {
        let answer = self.ask(verb, body);
        assert!(matches!(answer.status, 200 | 202), "{verb}: {} {}", answer.status, answer.text());
    }

    /// May not do it, with this status and code.
    #[track_caller]
    pub fn is_refused(&self, verb: &str, status: u16, code: &str) {
        let answer = self.ask(verb, "{}");
        let why = answer.json()["code"].clone();
        assert_eq!((answer.status, why), (status, code.into()), "{verb}");
    }

    fn ask(&self, verb: &str, body: &str) -> Answer {
        self.web.post(&format!("/v1/interactions/{}/{verb}", self.id), body)
    }
}
