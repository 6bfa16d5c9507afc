//! How somebody who is being called is reached, and who may be: targets of every kind become
//! destinations (C2, C6, C7, C14–C16).

use base::Time;
use call::{AttemptId, Call, CallId, LegId, Limits, ParticipantId, Policy, Purpose, Role, Setup};
use serde::{Deserialize, Serialize};
use sip::message::{NameAddr, StatusCode};

use super::announce::Announcing;
use super::dial::Destination;
use super::{CallState, Core, Counted};
use crate::api::{DestinationType, Refused, To};
use crate::numbers;
use crate::party::{Identity, Party};
use call::control::Refusal;

/// How somebody is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Reach {
    /// Who is being called; `None`: the call that follows on the agent's own phone (I5).
    pub(super) attempt: Option<AttemptId>,
    /// Whose dial plan counts.
    pub(super) by: Party,
    /// Whom the phone shows.
    pub(super) from: Identity,
    /// The number that is dialled.
    pub(super) to: String,
    /// Where to, tried in turn.
    pub(super) destinations: Vec<Destination>,
    /// Whether the phone is asked to answer by itself.
    pub(super) auto_answer: bool,
    /// Who has the call transferred by a phone, as the one it goes to is told (RFC 3892).
    pub(super) referred_by: Option<NameAddr>,
}

/// A target that was found.
pub(super) struct Found {
    /// Who it will be.
    pub(super) party: Party,
    /// Its number.
    pub(super) number: String,
    /// Its name.
    pub(super) name: String,
    pub(super) destinations: Vec<Destination>,
    /// Whether it can be left to before its answer (C12).
    pub(super) early: bool,
}

impl Found {
    /// Whoever a number leads to that was dialled on a phone.
    pub(super) fn of(number: &str, destinations: Vec<Destination>) -> Self {
        let party = party_of(destinations.first());
        let early = matches!(party, Party::Trunk(_));
        Self { party, number: number.to_owned(), name: String::new(), destinations, early }
    }

    /// Its role beside customer and agent.
    pub(super) fn role(&self) -> Role {
        match self.party {
            Party::Extension(_) => Role::Agent,
            Party::Trunk(_) => Role::NonAgent,
        }
    }
}

/// Digits of a dial number (C6).
const DIGITS: std::ops::RangeInclusive<usize> = 3..=18;

impl Core {
    /// How a call between these begins.
    pub(super) fn setup_of(
        &self,
        id: CallId,
        caller: &Party,
        destinations: &[Destination],
    ) -> Setup {
        let callee = party_of(destinations.first());
        let caller_role = match caller {
            Party::Extension(_) => Role::Agent,
            Party::Trunk(_) => Role::Customer,
        };
        // The side from outside is the customer; from one trunk to another it is who calls.
        let callee_role = match (&callee, caller_role) {
            (Party::Extension(_), _) => Role::Agent,
            (Party::Trunk(_), Role::Agent) => Role::Customer,
            (Party::Trunk(_), Role::Customer | Role::NonAgent | Role::Supervisor) => Role::NonAgent,
        };
        let (sip, interactions) = (&self.config.sip, &self.config.interactions);
        Setup {
            id,
            caller: (caller_role, caller.key()),
            callee: (callee_role, callee.key()),
            targets: destinations.len(),
            limits: Limits { ring: sip.ring_timeout, call: sip.call_limit },
            policy: Policy {
                records_all: self.config.media.recording.is_some_and(|policy| policy.automatic),
                can_record: self.config.media.recording.is_some(),
                pause: interactions.recording_pause,
                noise_switch: !self.config.media.noise_removal.locked,
            },
        }
    }

    /// Whom a target names, as the extension `by` may reach it.
    pub(super) fn find(&self, by: usize, to: &To, route: Option<&str>) -> Result<Found, Refused> {
        match to.destination_type {
            DestinationType::Agent => {
                let found = self.directory.extension(to.to.trim());
                found.map(|at| self.agent(at, false)).ok_or_else(|| unknown("agent"))
            }
            DestinationType::Queue => {
                Err(Refused::new(Refusal::UnsupportedDestination, "there are no queues"))
            }
            DestinationType::EntryPoint => {
                let number = numbers::clean(&to.to);
                self.entry_point(&number).ok_or_else(|| unknown("entry point"))
            }
            DestinationType::DialNumber => self.dial_number(by, &to.to, route),
            DestinationType::Contact => {
                let contact = self.contact(to.to.trim());
                contact.map(|at| self.agent(at, false)).ok_or_else(|| unknown("contact"))
            }
        }
    }

    fn agent(&self, at: usize, early: bool) -> Found {
        let extension = &self.config.extensions[at];
        Found {
            party: Party::Extension(at),
            number: extension.number.clone(),
            name: extension.display_name.clone(),
            destinations: vec![Destination::Extension(at)],
            early,
        }
    }

    fn entry_point(&self, number: &str) -> Option<Found> {
        let entry = self.directory.entry_point(&self.config, number, None)?;
        let extension = self.directory.extension(&entry.extension)?;
        Some(self.agent(extension, true))
    }

    /// C6, C7, C15.
    fn dial_number(&self, by: usize, typed: &str, route: Option<&str>) -> Result<Found, Refused> {
        let number: String =
            typed.chars().filter(|c| c.is_ascii_digit() || "+#*:".contains(*c)).collect();
        let digits = number.chars().filter(char::is_ascii_digit).count();
        if !DIGITS.contains(&digits) {
            return Err(Refusal::InvalidDialNumber.into());
        }
        if let Some(found) = self.entry_point(&number) {
            return Ok(found);
        }
        if let Some(extension) = self.directory.extension(&number) {
            return Ok(self.agent(extension, false));
        }
        let destinations = self.way_out(by, &number, route).map_err(|status| {
            let why = match status {
                StatusCode::FORBIDDEN => "this number is not allowed",
                _ => "no route takes this number",
            };
            Refused::new(Refusal::UnsupportedDestination, why) // C16
        })?;
        if destinations.is_empty() {
            return Err(Refusal::UnsupportedDestination.into());
        }
        let party = party_of(destinations.first());
        Ok(Found { party, number, name: String::new(), destinations, early: true })
    }

    /// C8: somebody of the house, by name or number.
    fn contact(&self, name: &str) -> Option<usize> {
        self.directory.extension(name).or_else(|| {
            let mut all = self.config.extensions.iter();
            all.position(|one| one.display_name.to_lowercase() == name.to_lowercase())
        })
    }

    /// Whether an agent has a phone that could ring (T3).
    pub(super) fn has_phone(&self, now: Time, party: &Party) -> bool {
        match *party {
            Party::Extension(at) => {
                !self.registrar.devices(now, &self.config.extensions[at].number).is_empty()
            }
            Party::Trunk(_) => true,
        }
    }

    /// The machine has begun to call somebody whom nobody named: an agent who is called back, or
    /// takes a held call back.
    pub(super) fn reach_again(&mut self, call: CallId, attempt: AttemptId) {
        let Some(state) = self.calls.get_mut(&call) else { return };
        if state.reach(attempt).is_some() {
            return;
        }
        let dialling = state.call.attempts().iter().find(|one| one.id == attempt);
        let Some(dialling) = dialling.copied() else { return };
        if dialling.purpose == Purpose::First {
            // I5: the number that the agent asked for.
            if let Some(reach) = state.reaches.iter_mut().find(|reach| reach.attempt.is_none()) {
                reach.attempt = Some(attempt);
            }
            return;
        }
        let party = state.call.participant(dialling.participant).map(|one| one.party);
        let Some(Party::Extension(at)) = party.map(Party::of_key) else { return };
        let other = state.other_than(dialling.participant);
        let from = other.map(|other| state.identity(other, &self.config)).unwrap_or_default();
        state.reaches.push(Reach {
            attempt: Some(attempt),
            by: Party::Extension(at),
            from,
            to: self.config.extensions[at].number.clone(),
            destinations: vec![Destination::Extension(at)],
            auto_answer: dialling.purpose == Purpose::Retrieve,
            referred_by: None,
        });
    }
}

impl CallState {
    pub(super) fn new(
        call: Call,
        started: Time,
        from: Identity,
        to: String,
        caller: Counted,
        reach: Reach,
    ) -> Self {
        Self {
            call,
            started,
            from,
            to,
            reaches: vec![reach],
            names: Vec::new(),
            codecs: Vec::new(),
            hearing: Vec::new(),
            noise: Vec::new(),
            announcing: Announcing::default(),
            recording: None,
            recordings: Vec::new(),
            recorded: 0,
            counted: vec![caller],
            redirects: 0,
            limit: None,
            finished: Vec::new(),
            closing: 0,
        }
    }

    pub(super) fn reach(&self, attempt: AttemptId) -> Option<&Reach> {
        self.reaches.iter().find(|reach| reach.attempt == Some(attempt))
    }

    pub(super) fn reach_mut(&mut self, attempt: AttemptId) -> Option<&mut Reach> {
        self.reaches.iter_mut().find(|reach| reach.attempt == Some(attempt))
    }

    /// Drops how those were reached who are being called no longer.
    pub(super) fn forget_reaches(&mut self) {
        if self.reaches.is_empty() {
            return;
        }
        let attempts = self.call.attempts();
        let may_follow = self.call.is_calling();
        self.reaches.retain(|reach| match reach.attempt {
            Some(attempt) => attempts.iter().any(|one| one.id == attempt),
            None => may_follow,
        });
    }

    /// The participant who talks to `who` first.
    pub(super) fn other_than(&self, who: ParticipantId) -> Option<ParticipantId> {
        let others = self.call.participants().iter().filter(|one| one.id != who);
        let mut joined = others.filter(|one| one.role != Role::Supervisor);
        joined.find(|one| one.joined.is_some()).map(|one| one.id)
    }

    /// Name and number of a participant.
    pub(super) fn identity(&self, who: ParticipantId, config: &crate::config::Config) -> Identity {
        if let Some((_, identity)) = self.names.iter().find(|(of, _)| *of == who) {
            return identity.clone();
        }
        let party = self.call.participant(who).map(|one| Party::of_key(one.party));
        match party {
            Some(Party::Extension(at)) => Identity::of_extension(&config.extensions[at]),
            // The caller from outside, or the number that was dialled.
            Some(Party::Trunk(_)) if who.number == 1 && who.call == self.call.id() => {
                self.from.clone()
            }
            Some(Party::Trunk(_)) | None => {
                Identity { number: self.to.clone(), ..Identity::default() }
            }
        }
    }

    /// Whose wish counts for what is heard of the leg `speaker` (N2): its partner, else the agent
    /// in control.
    pub(super) fn listener(&self, speaker: LegId) -> Option<Party> {
        let partner = self.call.partner(speaker).and_then(|leg| self.call.leg(leg));
        let primary = self.call.primary().and_then(|who| self.call.participant(who));
        let party = partner.map(|leg| leg.party).or_else(|| primary.map(|one| one.party));
        party.map(Party::of_key)
    }
}

fn party_of(destination: Option<&Destination>) -> Party {
    match destination {
        Some(Destination::Extension(at)) => Party::Extension(*at),
        Some(Destination::Trunk { trunk, .. }) => Party::Trunk(*trunk),
        None => Party::Trunk(0),
    }
}

fn unknown(what: &str) -> Refused {
    Refused::new(Refusal::NotFound, format!("no such {what}")) // C14
}
