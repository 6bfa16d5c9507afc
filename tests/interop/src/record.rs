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

    /// A number of each leg, such as `packetsReceived`.
    pub fn of_legs(&self, name: &str) -> Vec<u64> {
        let legs = self.0["legs"].as_array().unwrap().iter();
        legs.map(|leg| leg[name].as_u64().unwrap_or(0)).collect()
    }
}
