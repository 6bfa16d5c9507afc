//! Call records as the server wrote them.

use std::path::Path;

use serde_json::Value;

/// One line of the call records.
#[derive(Clone, Debug, PartialEq)]
pub struct Record(Value);

impl Record {
    /// All records of a file; none when there is no file.
    pub fn read(file: &Path) -> Vec<Self> {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        text.lines().map(|line| Self(serde_json::from_str(line).expect(line))).collect()
    }

    /// Final SIP status.
    pub fn status(&self) -> u64 {
        self.0["sipStatus"].as_u64().unwrap()
    }

    /// `caller`, `callee` or `system`.
    pub fn ended_by(&self) -> &str {
        self.text("endedBy")
    }

    /// A member that is text.
    pub fn text(&self, name: &str) -> &str {
        self.0[name].as_str().unwrap_or("")
    }

    /// A member that is a number.
    pub fn number(&self, name: &str) -> u64 {
        self.0[name].as_u64().unwrap_or(0)
    }

    /// Whether it was answered.
    pub fn is_answered(&self) -> bool {
        !self.0["answered"].is_null()
    }

    /// Per leg: extension or trunk, and its final status.
    pub fn legs(&self) -> Vec<(&str, u64)> {
        let legs = self.0["legs"].as_array().unwrap().iter();
        legs.map(|leg| (leg["party"].as_str().unwrap(), leg["sipStatus"].as_u64().unwrap()))
            .collect()
    }

    /// Codecs of the legs that had one.
    pub fn codecs(&self) -> Vec<&str> {
        let legs = self.0["legs"].as_array().unwrap().iter();
        legs.filter_map(|leg| leg["codec"].as_str()).collect()
    }

    /// How each leg's audio was protected: `none`, `sdes` or `dtls`; empty where there was none.
    pub fn protections(&self) -> Vec<&str> {
        let legs = self.0["legs"].as_array().unwrap().iter();
        legs.map(|leg| leg["protection"].as_str().unwrap_or("")).collect()
    }

    /// A number of each leg, such as `packetsReceived`.
    pub fn of_legs(&self, name: &str) -> Vec<u64> {
        let legs = self.0["legs"].as_array().unwrap().iter();
        legs.map(|leg| leg[name].as_u64().unwrap_or(0)).collect()
    }

    /// Everything about the leg of this extension or trunk.
    #[track_caller]
    pub fn leg(&self, party: &str) -> &Value {
        let mut legs = self.0["legs"].as_array().unwrap().iter();
        legs.find(|leg| leg["party"] == party).unwrap_or_else(|| panic!("no {party}: {self:?}"))
    }

    /// How long the call was such, in milliseconds: `talk`, `hold`, `consult`, `transfer`,
    /// `conference` or `postCall`.
    pub fn time(&self, kind: &str) -> u64 {
        self.0["times"][format!("{kind}Ms")].as_u64().unwrap()
    }

    /// What the call was, stretch by stretch: kind, milliseconds, and how many took part.
    pub fn segments(&self) -> Vec<(&str, u64, usize)> {
        let segments = self.0["segments"].as_array().unwrap().iter();
        segments
            .map(|one| {
                let participants = one["participants"].as_array().unwrap().len();
                let kind = one["kind"].as_str().unwrap();
                (kind, one["durationMs"].as_u64().unwrap(), participants)
            })
            .collect()
    }

    /// The times of all its stretches add up to those of each kind, and these to the whole from the
    /// answer to the end, but for a millisecond each that rounding takes.
    #[track_caller]
    pub fn assert_times_add_up(&self) {
        let segments = self.segments();
        let mut whole = 0;
        for kind in ["talk", "hold", "consult", "transfer", "conference", "postCall"] {
            let own = segments.iter().filter(|(of, ..)| *of == kind);
            let sum: u64 = own.clone().map(|(_, ms, _)| ms).sum();
            let slack = own.count() as u64 + 1;
            assert!(self.time(kind).abs_diff(sum) <= slack, "{kind}: {self:?}");
            whole += self.time(kind);
        }
        assert!(self.number("talkMs").abs_diff(whole) <= 6, "{whole} of {self:?}");
    }
}
