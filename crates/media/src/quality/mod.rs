//! How good a leg sounds: the E-model (ITU-T G.107) on what is measured anyway, and when it changes
//! for the worse or the better.
//!
//! Knows figures of a stream; measures nothing itself.

mod loss;
mod monitor;

use serde::{Deserialize, Serialize};

use crate::command::Codec;

pub(crate) use loss::GAP_MIN;
pub use loss::{LossFigures, LossPattern};
pub use monitor::{Counters, Limits, Monitor, QualityChange};

/// Transmission rating of a perfect narrow-band call (G.107 §7, default values).
const R_BEST: f64 = 93.2;
/// Delay of a sound through network and terminals from which on talkers get in each other's way,
/// milliseconds.
const DELAY_KNEE_MS: f64 = 177.3;

/// What is known of one direction of a leg, over some seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conditions {
    /// Codec of the direction; `None` while nothing has come.
    pub codec: Option<Codec>,
    /// Packets that never came, or came too late to be played, per cent: 0–100.
    pub loss_percent: f64,
    /// Length of runs of lost packets against that of chance, 1 or more (G.107 §7.2).
    pub burst_ratio: f64,
    /// One way from mouth to ear, milliseconds: network, jitter buffer, packet and codec.
    pub delay_ms: f64,
}

/// How good it sounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rating {
    /// Transmission rating factor R with the delay, 0–100.
    pub r: f64,
    /// Mean opinion score of a conversation (MOS-CQ), 1–4.5.
    pub mos: f64,
    /// Mean opinion score of listening alone, without the delay (MOS-LQ), 1–4.5.
    pub mos_listening: f64,
}

/// Which way, seen from us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// What the peer says, as it reaches us.
    FromPeer,
    /// What the peer hears, by its reports.
    ToPeer,
}

/// How a peer sounded from its first packet to its last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Over all.
    pub rating: Rating,
    /// Score of its worst second, 1–4.5.
    pub worst_mos: f64,
    /// Packets that never came, or came too late to be played, per cent.
    pub loss_percent: f64,
    /// Share lost within bursts (RFC 3611 §4.7.2), 0–1.
    pub burst_density: f64,
    /// Mean length of a burst, milliseconds.
    pub burst_ms: f64,
    /// Share lost between bursts, 0–1.
    pub gap_density: f64,
    /// Mean length of what is between bursts, milliseconds.
    pub gap_ms: f64,
}

impl Conditions {
    /// Network and terminals from what RTP tells: half the round trip, a jitter buffer of twice the
    /// jitter if its delay is not known, one packet.
    pub fn delay(round_trip_ms: Option<f64>, jitter_ms: f64, buffer_ms: Option<f64>) -> f64 {
        const PACKET_MS: f64 = 20.0;
        round_trip_ms.unwrap_or(0.0) / 2.0 + buffer_ms.unwrap_or(2.0 * jitter_ms) + PACKET_MS
    }

    /// The E-model, with all that is not measured at its default.
    pub fn rating(&self) -> Rating {
        let listening = R_BEST - self.equipment();
        let r = (listening - self.delay_impairment()).clamp(0.0, 100.0);
        Rating { r, mos: mos(r), mos_listening: mos(listening) }
    }

    /// Effective equipment impairment factor (G.107 §7.2, equation 7-29).
    fn equipment(&self) -> f64 {
        let (ie, bpl) = robustness(self.codec);
        let loss = self.loss_percent.clamp(0.0, 100.0);
        ie + (95.0 - ie) * loss / (loss / self.burst_ratio.max(1.0) + bpl)
    }

    /// Delay impairment factor, in the approximation of Cole and Rosenbluth for calls without echo.
    fn delay_impairment(&self) -> f64 {
        let delay = self.delay_ms.max(0.0);
        0.024 * delay + 0.11 * (delay - DELAY_KNEE_MS).max(0.0)
    }
}

/// Mean opinion score of a rating (G.107 Annex B).
fn mos(r: f64) -> f64 {
    let r = r.clamp(0.0, 100.0);
    (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).clamp(1.0, 4.5)
}

/// Equipment impairment and robustness to loss, Ie and Bpl (G.113 Appendix I: G.711 with
/// concealment). Wide-band codecs are rated on the narrow-band scale: they are no worse than G.711
/// without loss; G.722 has no concealment of its own, Opus the best.
fn robustness(codec: Option<Codec>) -> (f64, f64) {
    match codec {
        Some(Codec::Pcmu | Codec::Pcma | Codec::L16) | None => (0.0, 25.1),
        Some(Codec::G722) => (0.0, 20.0),
        Some(Codec::Opus) => (0.0, 30.0),
        // G.729A, the likeliest of what is only relayed.
        Some(Codec::Other | Codec::ComfortNoise | Codec::TelephoneEvent) => (11.0, 19.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Conditions =
        Conditions { codec: Some(Codec::Pcmu), loss_percent: 0.0, burst_ratio: 1.0, delay_ms: 0.0 };

    #[test]
    fn ratings_are_those_of_the_recommendation() {
        // G.107 Annex B: R and MOS side by side; 93.2 is its default.
        for (r, expected) in
            [(93.2, 4.41), (90.0, 4.34), (80.0, 4.03), (70.0, 3.60), (60.0, 3.10), (50.0, 2.58)]
        {
            assert!((mos(r) - expected).abs() < 0.01, "{r}: {}", mos(r));
        }
        let rating = GOOD.rating();
        assert!((rating.r - 93.2).abs() < 1e-9 && rating.mos == rating.mos_listening);
        // G.113: G.711 with concealment at 5 % of random loss has Ie,eff = 15.8.
        let lossy = Conditions { loss_percent: 5.0, ..GOOD }.rating();
        assert!((93.2 - lossy.r - 15.78).abs() < 0.01, "{lossy:?}");
    }

    #[test]
    fn delay_hurts_talk_and_not_listening() {
        let far = Conditions { delay_ms: 150.0, ..GOOD }.rating();
        assert!((far.r - 89.6).abs() < 0.01);
        let farther = Conditions { delay_ms: 400.0, ..GOOD }.rating();
        assert!((farther.r - 59.1).abs() < 0.1, "{farther:?}");
        assert_eq!(farther.mos_listening, GOOD.rating().mos_listening);
    }

    #[test]
    fn bursts_hurt_more_than_chance_and_opus_less_than_g711() {
        let loss = Conditions { loss_percent: 5.0, ..GOOD };
        assert!(Conditions { burst_ratio: 3.0, ..loss }.rating().r < loss.rating().r);
        assert!(Conditions { codec: Some(Codec::Opus), ..loss }.rating().r > loss.rating().r);
    }

    #[test]
    fn anything_measured_gives_a_score_in_its_range() {
        for loss_percent in [-1.0, 0.0, 50.0, 100.0, 1e9] {
            for delay_ms in [-5.0, 0.0, 1e6] {
                for burst_ratio in [0.0, 1.0, 1e3] {
                    let rating =
                        Conditions { loss_percent, delay_ms, burst_ratio, ..GOOD }.rating();
                    assert!((0.0..=100.0).contains(&rating.r), "{rating:?}");
                    assert!((1.0..=4.5).contains(&rating.mos), "{rating:?}");
                }
            }
        }
    }

    #[test]
    fn the_delay_is_made_of_its_parts() {
        assert_eq!(Conditions::delay(Some(80.0), 10.0, None), 80.0);
        assert_eq!(Conditions::delay(None, 10.0, Some(45.0)), 65.0);
    }
}
