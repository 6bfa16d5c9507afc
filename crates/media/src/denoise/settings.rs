//! What the operator decides about noise removal.

use serde::{Deserialize, Serialize};

/// Level to which noise is lowered at most, −dBov: about one step of the µ-law. A quiet room does
/// not pump, and a line does not seem dead.
pub(super) const QUIET_DBOV: u8 = 70;

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

    /// What steady noise of a level, −dBov from 0 to 127, is lowered to: by as much as may be taken
    /// away, but not below [`QUIET_DBOV`]; what is quieter already stays.
    pub(crate) fn lowered(self, level: u8) -> u8 {
        let limit = self.attenuation_limit_db.min(Self::ATTENUATION_LIMIT_DB_MAX);
        level.saturating_add(limit).min(QUIET_DBOV.max(level))
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_goes_down_to_a_quiet_line_and_not_to_a_dead_one() {
        let settings = DenoiseSettings { attenuation_limit_db: 30 };
        let levels = [(0, 30), (30, 60), (40, 70), (60, 70), (70, 70), (90, 90), (127, 127)];
        for (level, lowered) in levels {
            assert_eq!(settings.lowered(level), lowered, "{level}");
        }
        let all = DenoiseSettings { attenuation_limit_db: u8::MAX };
        assert_eq!((all.lowered(0), all.lowered(5)), (60, 65));
        assert_eq!(DenoiseSettings { attenuation_limit_db: 0 }.lowered(40), 40);
    }
}
