//! What the operator decides about noise removal.

use serde::{Deserialize, Serialize};

/// How much noise removal may take away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DenoiseSettings {
    /// Deepest attenuation of noise in dB, 0 to 60; larger values count as 60. What is left keeps
    /// the line alive and a quiet room from pumping. 0 changes nothing at all.
    pub attenuation_limit_db: u8,
}

impl DenoiseSettings {
    /// Largest [`Self::attenuation_limit_db`] that has an effect.
    pub const ATTENUATION_LIMIT_DB_MAX: u8 = 60;

    /// Share of the original signal that always stays, as a factor of its amplitude.
    pub(super) fn floor(self) -> f32 {
        let limit = self.attenuation_limit_db.min(Self::ATTENUATION_LIMIT_DB_MAX);
        10.0_f32.powf(-f32::from(limit) / 20.0)
    }
}

impl Default for DenoiseSettings {
    fn default() -> Self {
        Self { attenuation_limit_db: 30 }
    }
}
