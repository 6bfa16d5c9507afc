//! From whom background noise is removed: the narrowest setting counts (N2).

use call::{LegId, ParticipantId};
use media::command::NoiseRemoval;
use media::denoise::DenoiseSettings;
use serde::{Deserialize, Serialize};

use super::{CallState, Core};
use crate::api::NoiseDirection;
use crate::config::Config;
use crate::party::Party;

/// What the stream of `speaker` shall do for `listener`. `switched` is what was decided for this
/// interaction by hand (N3): then the stream stays ready to be switched again.
pub(super) fn removal(
    config: &Config,
    speaker: &Party,
    listener: Option<&Party>,
    switched: Option<Switched>,
) -> Option<NoiseRemoval> {
    let policy = config.media.noise_removal;
    let agent = |party: Option<&Party>| match party {
        Some(Party::Extension(at)) => config.extensions[*at].noise_removal,
        Some(Party::Trunk(_)) | None => None,
    };
    let configured = match speaker {
        // The agent who hears the customer, the trunk the customer comes from, the organisation.
        Party::Trunk(at) => {
            agent(listener).or(config.trunks[*at].noise_removal).unwrap_or(policy.from_customer)
        }
        Party::Extension(_) => policy.from_agent,
    };
    match switched.filter(|_| !policy.locked) {
        Some(Switched { enabled, settings }) => {
            Some(NoiseRemoval { enabled, settings: settings.unwrap_or(policy.settings) })
        }
        None => configured.then_some(NoiseRemoval { enabled: true, settings: policy.settings }),
    }
}

/// What was decided by hand for what one leg says (N3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Switched {
    pub(super) enabled: bool,
    /// How much; `None` = as configured.
    pub(super) settings: Option<DenoiseSettings>,
}

impl CallState {
    /// What was decided by hand for what `leg` says.
    pub(super) fn switched(&self, leg: LegId) -> Option<Switched> {
        self.noise.iter().find(|(of, _)| *of == leg).map(|(_, switched)| *switched)
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
    /// Somebody switches noise removal from what a leg says; a leg that is gone is left alone, and
    /// so is everything when the policy is locked.
    pub(super) fn switch_noise_removal(&mut self, leg: LegId, switched: Switched) {
        if self.config.media.noise_removal.locked {
            return;
        }
        let Some(call) = self.legs.get(&leg).map(crate::sip_leg::SipLeg::call) else { return };
        let Some(state) = self.calls.get_mut(&call) else { return };
        state.noise.retain(|(of, _)| *of != leg);
        state.noise.push((leg, switched));
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
        removal(config, speaker, Some(&listener), switched).map(|removal| removal.enabled)
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
        config.trunks[0].noise_removal = Some(false);
        assert_eq!(is_on(&config, &CUSTOMER, None), None, "trunk over organisation");
        config.extensions[0].noise_removal = Some(true);
        assert_eq!(is_on(&config, &CUSTOMER, None), Some(true), "agent over trunk");
        assert_eq!(is_on(&config, &CUSTOMER, Some(false)), Some(false), "interaction over agent");
        config.media.noise_removal.from_agent = true;
        assert_eq!(is_on(&config, &AGENT, None), Some(true));
    }

    #[test]
    fn n3_a_locked_policy_is_not_switched_by_hand() {
        let mut config = testing::config();
        config.media.noise_removal.locked = true;
        assert_eq!(is_on(&config, &CUSTOMER, Some(false)), Some(true));
        assert_eq!(is_on(&config, &AGENT, Some(true)), None);
    }
}
