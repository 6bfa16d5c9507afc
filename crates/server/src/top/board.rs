//! What the event stream has told so far.

use std::collections::BTreeMap;

use b2bua::api::{InteractionSnapshot, InteractionState};
use serde::Deserialize;

/// Everything that is shown.
#[derive(Debug, Default)]
pub(super) struct Board {
    pub(super) interactions: BTreeMap<String, InteractionSnapshot>,
    pub(super) registrations: BTreeMap<String, usize>,
    pub(super) trunks: BTreeMap<String, Trunk>,
    /// The last things that happened, the newest last.
    pub(super) recent: Vec<String>,
    seq: Option<u64>,
}

/// Events that are shown.
const RECENT_MAX: usize = 8;

#[derive(Deserialize)]
struct Told {
    seq: u64,
    time: String,
    r#type: String,
    #[serde(rename = "interactionId")]
    interaction_id: Option<String>,
    #[serde(default)]
    data: Data,
}

/// The fields of all kinds of events that are used here.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Data {
    interaction: Option<InteractionSnapshot>,
    interactions: Vec<InteractionSnapshot>,
    registrations: Vec<Phone>,
    trunks: Vec<NamedTrunk>,
    extension: Option<String>,
    contacts: usize,
    name: Option<String>,
    up: bool,
    #[serde(rename = "gatewaysUp")]
    gateways_up: usize,
    gateways: usize,
    reason: Option<String>,
}

#[derive(Deserialize)]
struct Phone {
    extension: String,
    contacts: usize,
}

#[derive(Deserialize)]
struct NamedTrunk {
    name: String,
    #[serde(flatten)]
    trunk: Trunk,
}

/// Whether calls may go to a trunk, and to how many of its gateways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Trunk {
    pub(super) up: bool,
    pub(super) gateways_up: usize,
    pub(super) gateways: usize,
}

impl Board {
    /// The last event that was read.
    pub(super) fn seq(&self) -> Option<u64> {
        self.seq
    }

    /// Whether durations pass.
    pub(super) fn has_calls(&self) -> bool {
        !self.interactions.is_empty()
    }

    /// Takes one message of the stream.
    pub(super) fn take(&mut self, text: &str) -> Result<(), String> {
        let told: Told = serde_json::from_str(text).map_err(|error| format!("event: {error}"))?;
        self.seq = Some(told.seq);
        let data = told.data;
        if told.r#type == "stream.snapshot" {
            let by_id = |one: InteractionSnapshot| (one.id.clone(), one);
            self.interactions = data.interactions.into_iter().map(by_id).collect();
            let phones = data.registrations.into_iter();
            self.registrations = phones.map(|one| (one.extension, one.contacts)).collect();
            self.trunks = data.trunks.into_iter().map(|one| (one.name, one.trunk)).collect();
            return Ok(());
        }
        let about = told.interaction_id.or(data.extension.clone()).or(data.name.clone());
        // 2026-02-03T04:05:06.789Z
        let clock = told.time.get(11..19).unwrap_or_default();
        let reason = data.reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
        let about = about.unwrap_or_default();
        self.recent.push(format!("{clock}  {:<28} {about}{reason}", told.r#type));
        let excess = self.recent.len().saturating_sub(RECENT_MAX);
        self.recent.drain(..excess);
        if let Some(interaction) = data.interaction {
            match interaction.state {
                InteractionState::Ended => self.interactions.remove(&interaction.id),
                InteractionState::Ringing
                | InteractionState::Connected
                | InteractionState::Held
                | InteractionState::ConsultRequested
                | InteractionState::Consulting
                | InteractionState::ConsultHeld
                | InteractionState::Transferring
                | InteractionState::Conference
                | InteractionState::PostCall => {
                    self.interactions.insert(interaction.id.clone(), interaction)
                }
            };
        }
        match (told.r#type.as_str(), data.extension, data.name) {
            ("registration.changed", Some(extension), _) if data.contacts == 0 => {
                self.registrations.remove(&extension);
            }
            ("registration.changed", Some(extension), _) => {
                self.registrations.insert(extension, data.contacts);
            }
            ("trunk.up" | "trunk.degraded" | "trunk.down", _, Some(name)) => {
                let Data { up, gateways_up, gateways, .. } = data;
                self.trunks.insert(name, Trunk { up, gateways_up, gateways });
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{board, event, interaction};
    use super::*;
    use serde_json::json;

    #[test]
    fn events_change_what_the_snapshot_began_with() {
        let mut board = board();
        assert_eq!(board.seq(), Some(7));
        let held = json!({ "interaction": interaction("call-1", "held") });
        board.take(&event(8, "interaction.held", held)).unwrap();
        assert_eq!(board.interactions["call-1"].state, InteractionState::Held);
        let down = json!({
            "name": "carrier", "up": false, "gatewaysUp": 0, "gateways": 2, "reason": "503"
        });
        board.take(&event(9, "trunk.down", down)).unwrap();
        assert_eq!(board.trunks["carrier"], Trunk { up: false, gateways_up: 0, gateways: 2 });
        let gone = json!({ "extension": "1001", "contacts": 0 });
        board.take(&event(10, "registration.changed", gone)).unwrap();
        assert!(board.registrations.is_empty());
        let ended = json!({ "interaction": interaction("call-1", "ended") });
        board.take(&event(11, "interaction.ended", ended)).unwrap();
        assert!(!board.has_calls());
        assert_eq!(board.recent.len(), 4);
        assert!(board.recent[1].contains("trunk.down") && board.recent[1].contains("(503)"));
        assert!(board.take("{}").is_err());
    }
}
