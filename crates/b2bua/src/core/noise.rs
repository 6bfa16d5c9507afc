//! From whom background noise is removed: the narrowest setting counts (N2).

use call::{LegId, ParticipantId};
use media::command::NoiseRemoval;
use media::denoise::DenoiseSettings;
use serde::{Deserialize, Serialize};

use super::{CallState, Core};
use crate::api::NoiseDirection;
use crate::config::{Config, NoiseChoice};
use crate::party::Party;

/// What the stream of `speaker` shall do for `listener`. `queue` is what the queue decides that the
/// call came by; `switched` what was decided for this interaction by hand (N3): then the stream
/// stays ready to be switched again.
pub(super) fn removal(
    config: &Config,
    speaker: &Party,
    listener: Option<&Party>,
    queue: NoiseChoice,
    switched: Option<Switched>,
) -> Option<NoiseRemoval> {
    let policy = config.media.noise_removal;
    // Who says nothing about it leaves it to the next: agent, queue, trunk, organisation (N2).
    let (chosen, usual) = match speaker {
        Party::Trunk(at) => {
            let agent = match listener {
                Some(Party::Extension(at)) => config.extensions[*at].noise_removal,
                Some(Party::Trunk(_)) | None => NoiseChoice::default(),
            };
            (agent.or(queue).or(config.trunks[*at].noise_removal), policy.from_customer)
        }
        Party::Extension(at) => {
            (config.extensions[*at].own_noise_removal.or(queue), policy.from_agent)
        }
    };
    let attenuation_limit_db =
        chosen.attenuation_limit_db.unwrap_or(policy.settings.attenuation_limit_db);
    let settings = DenoiseSettings { attenuation_limit_db };
    match switched.filter(|_| !policy.locked) {
        Some(Switched { enabled, settings: by_hand }) => {
            Some(NoiseRemoval { enabled, settings: by_hand.unwrap_or(settings) })
        }
        None => chosen.enabled.unwrap_or(usual).then_some(NoiseRemoval { enabled: true, settings }),
    }
}

/// What was decided by hand for what one participant says (N3), by whatever line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Switched {
    pub(super) enabled: bool,
    /// How much; `None` = as configured.
    pub(super) settings: Option<DenoiseSettings>,
}

impl CallState {
    /// What was decided by hand for what is said on `leg`: it outlasts the line on which it was
    /// decided (H6, F15).
    pub(super) fn switched(&self, leg: LegId) -> Option<Switched> {
        let who = self.call.leg(leg)?.of;
        self.noise.iter().find(|(of, _)| *of == who).map(|(_, switched)| *switched)
    }

    /// What the queue decides by which this call came: none so far.
    pub(super) fn queue_noise(&self) -> NoiseChoice {
        NoiseChoice::default()
    }

    /// The legs whose noise is meant: what a participant says, what it hears from the others, or
    /// both (N1).
    pub(super) fn noisy_legs(&self, who: ParticipantId, direction: NoiseDirection) -> Vec<LegId> {
        let legs = self.call.legs().iter().filter(|leg| match direction {
            NoiseDirection::From => leg.of == who,
            NoiseDirection::To => leg.of != who,
            NoiseDirection::Both => true,
        });
        legs.map(|leg| leg.leg).collect()
    }
}

impl Core {
    /// Somebody switches noise removal from what is said on a leg, and by its participant later on;
    /// a leg that is gone is left alone, and so is everything when the policy is locked.
    pub(super) fn switch_noise_removal(&mut self, leg: LegId, switched: Switched) {
        if self.config.media.noise_removal.locked {
            return;
        }
        let Some(call) = self.legs.get(&leg).map(crate::sip_leg::SipLeg::call) else { return };
        let Some(state) = self.calls.get_mut(&call) else { return };
        let Some(who) = state.call.leg(leg).map(|leg| leg.of) else { return };
        state.noise.retain(|(of, _)| *of != who);
        state.noise.push((who, switched));
        self.touch(call);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    const AGENT: Party = Party::Extension(0);
    const CUSTOMER: Party = Party::Trunk(0);

    fn is_on(config: &Config, speaker: &Party, switched: Option<bool>) -> Option<bool> {
        let listener = if *speaker == AGENT { CUSTOMER } else { AGENT };
        let switched = switched.map(|enabled| Switched { enabled, settings: None });
        removal(config, speaker, Some(&listener), NoiseChoice::default(), switched)
            .map(|removal| removal.enabled)
    }

    #[test]
    fn n1_noise_of_customers_is_removed_by_default_and_that_of_agents_is_not() {
        let config = testing::config();
        assert_eq!(is_on(&config, &CUSTOMER, None), Some(true));
        assert_eq!(is_on(&config, &AGENT, None), None);
    }

    #[test]
    fn n2_the_narrowest_setting_counts() {
        let mut config = testing::config();
        config.trunks[0].noise_removal.enabled = Some(false);
        assert_eq!(is_on(&config, &CUSTOMER, None), None, "trunk over organisation");
        config.extensions[0].noise_removal.enabled = Some(true);
        assert_eq!(is_on(&config, &CUSTOMER, None), Some(true), "agent over trunk");
        assert_eq!(is_on(&config, &CUSTOMER, Some(false)), Some(false), "interaction over agent");
        config.media.noise_removal.from_agent = true;
        assert_eq!(is_on(&config, &AGENT, None), Some(true));
        config.extensions[0].own_noise_removal.enabled = Some(false);
        assert_eq!(is_on(&config, &AGENT, None), None, "agent over organisation");
        assert_eq!(is_on(&config, &AGENT, Some(true)), Some(true));
    }

    #[test]
    fn n2_every_level_has_its_attenuation_and_only_what_it_says_counts() {
        let mut config = testing::config();
        let limit = |config: &Config, speaker: &Party, queue, switched| {
            let listener = if *speaker == AGENT { CUSTOMER } else { AGENT };
            let removal = removal(config, speaker, Some(&listener), queue, switched)?;
            Some(removal.settings.attenuation_limit_db)
        };
        let none = NoiseChoice::default();
        let of = |db| NoiseChoice { enabled: None, attenuation_limit_db: Some(db) };
        let off = NoiseChoice { enabled: Some(false), attenuation_limit_db: None };
        config.media.noise_removal.settings.attenuation_limit_db = 30;
        assert_eq!(limit(&config, &CUSTOMER, none, None), Some(30));
        config.trunks[0].noise_removal = of(20);
        assert_eq!(limit(&config, &CUSTOMER, none, None), Some(20), "on as the organisation says");
        assert_eq!(limit(&config, &CUSTOMER, of(15), None), Some(15), "queue over trunk");
        assert_eq!(limit(&config, &CUSTOMER, off, None), None);
        config.extensions[0].noise_removal.enabled = Some(true);
        assert_eq!(limit(&config, &CUSTOMER, off, None), Some(20), "agent over queue");
        config.extensions[0].noise_removal.attenuation_limit_db = Some(12);
        assert_eq!(limit(&config, &CUSTOMER, of(15), None), Some(12));
        let by_hand = |settings| Some(Switched { enabled: true, settings });
        assert_eq!(limit(&config, &CUSTOMER, none, by_hand(None)), Some(12));
        let six = DenoiseSettings { attenuation_limit_db: 6 };
        assert_eq!(limit(&config, &CUSTOMER, none, by_hand(Some(six))), Some(6));
        assert_eq!(
            limit(&config, &AGENT, none, by_hand(None)),
            Some(30),
            "what it says is its own"
        );
        config.extensions[0].own_noise_removal = of(18);
        assert_eq!(limit(&config, &AGENT, none, by_hand(None)), Some(18));
    }

    #[test]
    fn n3_a_locked_policy_is_not_switched_by_hand() {
        let mut config = testing::config();
        config.media.noise_removal.locked = true;
        assert_eq!(is_on(&config, &CUSTOMER, Some(false)), Some(true));
        assert_eq!(is_on(&config, &AGENT, Some(true)), None);
    }
}
