//! Programs and people who ask the core for something by the API, as stories do and at random.

use b2bua::api::{
    Act, Actor, Command, CommandResult, DestinationType, InteractionSnapshot, MonitorMode,
    NoiseDirection, OnFailure, Reply, RequestId, To,
};
use b2bua::io::{Input, Output};
use base::Rng;
use call::control::Verb;

use crate::script::pick;
use crate::world::World;

impl World {
    /// Asks for something; the reply comes in the same step.
    pub fn ask(&mut self, actor: Actor, command: Command) -> CommandResult {
        self.requests += 1;
        self.media.is_driven = true;
        self.asks |= !matches!(command, Command::Interactions | Command::Trunks);
        let request = RequestId(self.requests);
        self.input(Input::Command { request, actor, command: Box::new(command) });
        let mut replies = std::mem::take(&mut self.replies);
        match replies.pop() {
            Some((of, result)) if of == request && replies.is_empty() => result,
            other => panic!("seed {}: {other:?} and {replies:?} for {request}", self.seed),
        }
    }

    /// Every interaction there is.
    pub fn interactions(&mut self) -> Vec<InteractionSnapshot> {
        match self.ask(Actor::Admin, Command::Interactions) {
            Ok(Reply::Interactions(list)) => list,
            other => panic!("no list: {other:?}"),
        }
    }

    /// Every interaction there is, without leaving a trace in this world.
    pub(crate) fn look(&mut self) -> Vec<InteractionSnapshot> {
        let (request, command) = (RequestId(0), Box::new(Command::Interactions));
        let mut out = Vec::new();
        self.core.handle(
            self.now,
            Input::Command { request, actor: Actor::Admin, command },
            &mut out,
        );
        match out.pop() {
            Some(Output::Reply { result: Ok(Reply::Interactions(list)), .. }) if out.is_empty() => {
                list
            }
            other => panic!("seed {}: no list: {other:?} and {out:?}", self.seed),
        }
    }

    /// An agent does something in the first interaction they are in.
    pub fn act(&mut self, extension: &str, act: Act) -> CommandResult {
        let actor = Actor::Agent { extension: extension.to_owned() };
        let Ok(Reply::Interactions(mine)) = self.ask(actor.clone(), Command::Interactions) else {
            panic!("{extension} sees nothing");
        };
        let one = mine.first().unwrap_or_else(|| panic!("{extension} has no interaction"));
        let interaction = one.id.clone();
        self.ask(actor, Command::Act { interaction, participant: None, act })
    }

    /// Something at random: mostly what the controls allow, which then must not be refused.
    pub(crate) fn ask_at_random(&mut self, seed: u64) {
        let mut rng = Rng::from_u64(seed);
        let all = self.interactions();
        let supervisor = Actor::Supervisor { extension: Some("1004".to_owned()) };
        if all.is_empty() || rng.chance(10) {
            let extension = Some(pick(&mut rng, &EXTENSIONS).to_string());
            let command = Command::Outdial { extension, to: target(&mut rng), route: None };
            drop(self.ask(Actor::Integrator, command));
            return;
        }
        let one = pick(&mut rng, &all).clone();
        if rng.chance(10) {
            let modes = [MonitorMode::Monitor, MonitorMode::Whisper, MonitorMode::Barge];
            let mode = *pick(&mut rng, &modes);
            let watching = one.participants.iter().find(|one| one.mode.is_some());
            let command = match watching {
                Some(session) if rng.chance(30) => {
                    Command::MonitorEnd { session: session.id.clone() }
                }
                Some(session) => Command::MonitorMode { session: session.id.clone(), mode },
                None => Command::Monitor {
                    interaction: Some(one.id.clone()),
                    agent: None,
                    mode,
                    extension: None,
                },
            };
            drop(self.ask(supervisor, command));
            return;
        }
        if rng.chance(5) {
            let extension = pick(&mut rng, &EXTENSIONS).to_string();
            let by = Some(pick(&mut rng, &EXTENSIONS).to_string());
            drop(self.ask(Actor::Integrator, Command::Pickup { extension, by }));
            return;
        }
        self.verb_at_random(&mut rng, &one, &all);
    }

    fn verb_at_random(
        &mut self,
        rng: &mut Rng,
        one: &InteractionSnapshot,
        all: &[InteractionSnapshot],
    ) {
        let with_controls: Vec<_> =
            one.participants.iter().filter(|one| !one.controls.is_empty()).collect();
        if with_controls.is_empty() {
            return;
        }
        let who = *pick(rng, &with_controls);
        let verbs: Vec<_> = match rng.chance(85) {
            true => {
                let enabled = who.controls.iter().filter(|(_, control)| control.enabled);
                enabled.map(|(verb, _)| *verb).collect()
            }
            false => who.controls.keys().copied().collect(),
        };
        if verbs.is_empty() {
            return;
        }
        let verb = *pick(rng, &verbs);
        let Some(act) = act_of(verb, rng, one, all) else { return };
        let command = Command::Act {
            interaction: one.id.clone(),
            participant: Some(who.id.clone()),
            act: act.clone(),
        };
        let result = self.ask(Actor::Integrator, command);
        let control = who.controls[&verb];
        let is_by_target = matches!(
            act,
            Act::Consult { .. }
                | Act::Transfer { .. }
                | Act::ConferenceAdd { .. }
                | Act::Remove { .. }
                | Act::NoiseSuppression { .. }
        );
        let refused = result.as_ref().err().map(|refused| refused.code);
        if (refused != control.reason) && !(control.enabled && is_by_target) {
            let now = self.now;
            self.wrong.push(format!("{verb:?} at {now:?}: {control:?}, but {result:?}"));
        }
    }
}

const EXTENSIONS: [&str; 4] = ["1001", "1002", "1003", "1004"];

fn target(rng: &mut Rng) -> To {
    let (to, destination_type) = match rng.below(8) {
        0 => (format!("0171{}", 1000 + rng.below(9000)), DestinationType::DialNumber),
        1 => ("+4930100".to_owned(), DestinationType::EntryPoint),
        2 => ("sales".to_owned(), DestinationType::Queue),
        3 => ("nobody".to_owned(), DestinationType::Contact),
        _ => ((*pick(rng, &EXTENSIONS)).to_owned(), DestinationType::Agent),
    };
    To { to, destination_type }
}

/// `None`: the API has no such act in an interaction.
fn act_of(
    verb: Verb,
    rng: &mut Rng,
    one: &InteractionSnapshot,
    all: &[InteractionSnapshot],
) -> Option<Act> {
    let someone = |rng: &mut Rng| pick(rng, &one.participants).id.clone();
    Some(match verb {
        Verb::Accept => Act::Accept,
        Verb::Decline => Act::Decline,
        Verb::Hold => Act::Hold { release_line: false },
        Verb::ReleaseLine => Act::Hold { release_line: true },
        Verb::Resume => Act::Resume,
        Verb::Mute => Act::Mute,
        Verb::Unmute => Act::Unmute,
        Verb::Dtmf => Act::Dtmf { keys: "1#".to_owned() },
        Verb::End if rng.chance(70) => return None, // else nothing lasts
        Verb::End => Act::End,
        Verb::Consult => Act::Consult { to: target(rng), hold_participants: rng.chance(50) },
        Verb::ConsultEnd => Act::ConsultEnd,
        Verb::ConsultExit => Act::ConsultExit,
        Verb::ConsultHold => Act::ConsultHold,
        Verb::ConsultResume => Act::ConsultResume,
        Verb::ConsultTransfer => Act::ConsultTransfer,
        Verb::ConsultConference => Act::ConsultConference,
        Verb::Toggle => Act::Toggle,
        Verb::Transfer => {
            let policies = [OnFailure::Recall, OnFailure::Requeue, OnFailure::Drop];
            Act::Transfer { to: target(rng), on_failure: Some(*pick(rng, &policies)) }
        }
        Verb::ConferenceAdd => Act::ConferenceAdd { interactions: vec![pick(rng, all).id.clone()] },
        Verb::ConferenceExit => Act::ConferenceExit,
        Verb::ConferenceEnd => Act::ConferenceEnd,
        Verb::Remove => Act::Remove { target: someone(rng) },
        Verb::RecordStart => Act::RecordStart,
        Verb::RecordStop => Act::RecordStop,
        Verb::RecordPause => Act::RecordPause,
        Verb::RecordResume => Act::RecordResume,
        Verb::NoiseSuppression => Act::NoiseSuppression {
            target: someone(rng),
            enabled: rng.chance(50),
            direction: *pick(
                rng,
                &[NoiseDirection::From, NoiseDirection::To, NoiseDirection::Both],
            ),
            level: None,
        },
        Verb::WrapUp | Verb::Pickup | Verb::Monitor | Verb::Whisper | Verb::Barge => return None,
    })
}
