//! A call with phones that do what a test says: dialled phones ring when told, released legs are gone
//! at once unless the test wants them slow.

use std::collections::BTreeSet;
use std::time::Duration;

use base::Time;
use call::control::{MonitorMode, OnFailure, Refusal, Verb};
use call::hearing::{self, Hears};
use call::{
    AttemptId, Call, CallId, Callee, Cause, Command, LegCommand, LegEvent, LegId, Limits, Output,
    ParticipantId, PartyKey, Policy, Progress, Recording, Role, SegmentKind, Setup, Timer, What,
};

pub(crate) const RING: Duration = Duration::from_secs(60);
pub(crate) const PAUSE: Duration = Duration::from_secs(120);

pub(crate) fn policy() -> Policy {
    Policy { records_all: true, can_record: true, pause: Some(PAUSE), noise_switch: true }
}

/// Customers are parties below 100, agents 100 and above.
pub(crate) fn agent(number: u64) -> PartyKey {
    PartyKey(100 + number)
}

pub(crate) struct Bench {
    pub(crate) call: Call,
    pub(crate) now: Time,
    pub(crate) next_leg: u64,
    /// Legs that were told to end and are not gone yet.
    pub(crate) leaving: BTreeSet<LegId>,
    /// Whether released legs stay until the test says so.
    pub(crate) is_slow: bool,
    pub(crate) answered: BTreeSet<LegId>,
    pub(crate) armed: BTreeSet<Timer>,
    pub(crate) is_over: bool,
    pub(crate) happened: Vec<(What, Option<ParticipantId>)>,
    /// Phones that a dialled target has.
    pub(crate) phones: usize,
    pub(crate) dialled: Vec<AttemptId>,
}

impl Bench {
    fn begin(make: impl FnOnce(&mut Vec<Output>) -> Call) -> Self {
        Self::begin_at(100, make)
    }

    fn begin_at(next_leg: u64, make: impl FnOnce(&mut Vec<Output>) -> Call) -> Self {
        let mut out = Vec::new();
        let call = make(&mut out);
        let mut bench = Self {
            call,
            now: Time::ZERO,
            next_leg,
            leaving: BTreeSet::new(),
            is_slow: false,
            answered: BTreeSet::new(),
            armed: BTreeSet::new(),
            is_over: false,
            happened: Vec::new(),
            phones: 1,
            dialled: Vec::new(),
        };
        bench.follow(out);
        bench
    }

    fn setup_by(
        id: u64,
        caller: (Role, PartyKey),
        callee: (Role, PartyKey),
        policy: Policy,
    ) -> Setup {
        let limits = Limits { ring: RING, call: None };
        Setup { id: CallId(id), caller, callee, targets: 1, limits, policy }
    }

    pub(crate) fn setup(id: u64, caller: (Role, PartyKey), callee: (Role, PartyKey)) -> Setup {
        Self::setup_by(id, caller, callee, policy())
    }

    /// Leg 1 is a customer's who calls agent 1; it rings.
    pub(crate) fn ringing() -> Self {
        Self::ringing_by(policy())
    }

    fn ringing_by(policy: Policy) -> Self {
        let (caller, callee) = ((Role::Customer, PartyKey(1)), (Role::Agent, agent(1)));
        let setup = Self::setup_by(1, caller, callee, policy);
        Self::begin(|out| Call::new(setup, LegId(1), out))
    }

    /// They talk, in an organisation of this policy.
    pub(crate) fn talking_by(policy: Policy) -> Self {
        Self::ringing_by(policy).with(|bench| bench.answer(agent(1)))
    }

    /// A customer and agent 1 talk.
    pub(crate) fn talking() -> Self {
        Self::ringing().with(|bench| bench.answer(agent(1)))
    }

    /// Another call of agent 1 with another customer, to be merged.
    pub(crate) fn second(id: u64) -> Self {
        Self::second_by(id, policy())
    }

    pub(crate) fn second_by(id: u64, policy: Policy) -> Self {
        let (caller, callee) = ((Role::Customer, PartyKey(id)), (Role::Agent, agent(1)));
        let setup = Self::setup_by(id, caller, callee, policy);
        let first = id * 1000;
        let mut bench = Self::begin_at(first, |out| Call::new(setup, LegId(first), out));
        bench.answer(agent(1));
        bench
    }

    /// Agent 1 calls agent 2 from the own phone.
    pub(crate) fn colleagues() -> Self {
        let setup = Self::setup(1, (Role::Agent, agent(1)), (Role::Agent, agent(2)));
        Self::begin(|out| Call::new(setup, LegId(1), out)).with(|bench| bench.answer(agent(2)))
    }

    /// Agent 1 calls a customer by command.
    pub(crate) fn outdial() -> Self {
        let setup = Self::setup(1, (Role::Agent, agent(1)), (Role::Customer, PartyKey(1)));
        Self::begin(|out| Call::outdial(setup, out))
    }

    pub(crate) fn with(mut self, work: impl FnOnce(&mut Self)) -> Self {
        work(&mut self);
        self
    }

    pub(crate) fn who(&self, party: PartyKey) -> ParticipantId {
        let found = self.call.participants().iter().find(|one| one.party == party);
        found.unwrap_or_else(|| panic!("{party:?} is not in {:#?}", self.call)).id
    }

    pub(crate) fn has(&self, party: PartyKey) -> bool {
        self.call.participants().iter().any(|one| one.party == party)
    }

    pub(crate) fn leg(&self, party: PartyKey) -> LegId {
        let mut legs = self.call.legs().iter().filter(|leg| !self.leaving.contains(&leg.leg));
        legs.find(|leg| leg.party == party).unwrap_or_else(|| panic!("{party:?} has no leg")).leg
    }

    pub(crate) fn wait(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
    }

    pub(crate) fn event(&mut self, leg: LegId, event: LegEvent) {
        let mut out = Vec::new();
        self.call.handle(self.now, leg, event, &mut out);
        self.follow(out);
    }

    pub(crate) fn ring(&mut self, party: PartyKey) {
        self.event(self.leg(party), LegEvent::Ringing);
    }

    pub(crate) fn answer(&mut self, party: PartyKey) {
        let leg = self.leg(party);
        self.event(leg, LegEvent::Answered);
    }

    pub(crate) fn refuse(&mut self, party: PartyKey) {
        let leg = self.leg(party);
        self.event(leg, LegEvent::Refused(Cause::BUSY));
        self.event(leg, LegEvent::Gone);
    }

    pub(crate) fn hang_up(&mut self, party: PartyKey) {
        let leg = self.leg(party);
        self.event(leg, LegEvent::HungUp(Cause::NORMAL));
        self.event(leg, LegEvent::Gone);
    }

    pub(crate) fn fire(&mut self, timer: Timer) {
        assert!(self.armed.remove(&timer), "{timer:?} is not armed");
        let mut out = Vec::new();
        self.call.fired(self.now, timer, &mut out);
        self.follow(out);
    }

    /// The ring time of whoever is being called is over.
    pub(crate) fn ring_out(&mut self) {
        let ring = self.armed.iter().copied().find(|timer| matches!(timer, Timer::Ring(_)));
        self.wait(60);
        self.fire(ring.expect("somebody is being called"));
    }

    pub(crate) fn try_to(&mut self, by: PartyKey, command: Command) -> Result<Progress, Refusal> {
        let (mut out, by) = (Vec::new(), self.who(by));
        let verb = command.verb();
        let allowed = self.call.allows(by, verb);
        let result = self.call.command(self.now, by, command, &mut out);
        assert_eq!(allowed.err(), result.err(), "controls and {verb:?} disagree");
        self.follow(out);
        result
    }

    pub(crate) fn does(&mut self, by: PartyKey, command: Command) {
        self.try_to(by, command).unwrap_or_else(|why| panic!("{command:?}: {why:?}"));
    }

    pub(crate) fn refused(&mut self, by: PartyKey, command: Command) -> Refusal {
        self.try_to(by, command).expect_err("refused")
    }

    pub(crate) fn may(&self, by: PartyKey, verb: Verb) -> Result<(), Refusal> {
        self.call.allows(self.who(by), verb)
    }

    pub(crate) fn consult(&mut self, by: PartyKey, callee: PartyKey) {
        self.does(by, consult(callee, true));
    }

    /// `by` consults `callee`, who answers.
    pub(crate) fn consulting(&mut self, by: PartyKey, callee: PartyKey) {
        self.consult(by, callee);
        self.answer(callee);
    }

    /// `callee` joins the conference that `by` makes.
    pub(crate) fn conference(&mut self, by: PartyKey, callee: PartyKey) {
        self.consulting(by, callee);
        self.does(by, Command::ConsultConference);
    }

    pub(crate) fn monitor(&mut self, of: PartyKey, mode: MonitorMode) -> PartyKey {
        let (mut out, of) = (Vec::new(), self.who(of));
        self.call.monitor(self.now, of, agent(99), mode, &mut out).expect("may supervise");
        self.follow(out);
        self.answer(agent(99));
        agent(99)
    }

    pub(crate) fn switch(&mut self, mode: MonitorMode) {
        let (mut out, who) = (Vec::new(), self.who(agent(99)));
        self.call.switch_monitoring(who, mode, &mut out).expect("supervises");
        self.follow(out);
    }

    /// What a party hears at the phone that it has at its ear.
    pub(crate) fn hears(&self, party: PartyKey) -> Hears {
        let plan: Vec<_> = hearing::plan(&self.call).collect();
        let of = self.who(party);
        let of_party = |leg: &LegId| self.call.leg(*leg).is_some_and(|leg| leg.of == of);
        let mut heard = plan.iter().filter(|(leg, _)| of_party(leg)).map(|(_, hears)| *hears);
        let open = heard.clone().find(|hears| *hears != Hears::Nothing);
        open.or_else(|| heard.next()).expect("has a phone")
    }

    /// Whom a party hears.
    pub(crate) fn voices(&self, party: PartyKey) -> Vec<PartyKey> {
        let Hears::Legs(set) = self.hears(party) else { return Vec::new() };
        let of = |leg: &LegId| self.call.leg(*leg).expect("a leg of the call").of;
        let party = |leg| self.call.participant(of(leg)).expect("a participant").party;
        set.legs().iter().map(party).collect()
    }

    pub(crate) fn total(&self, kind: SegmentKind) -> u64 {
        self.call.total(kind, self.now).as_secs()
    }

    pub(crate) fn has_happened(&self, what: What) -> bool {
        self.happened.iter().any(|(one, _)| *one == what)
    }

    pub(crate) fn recording(&self) -> Recording {
        self.call.recording()
    }

    /// Another leg of a party that dials by hand.
    pub(crate) fn second_line(&mut self, by: PartyKey, callee: PartyKey) -> LegId {
        self.next_leg += 1;
        let (leg, by) = (LegId(self.next_leg), self.who(by));
        let mut out = Vec::new();
        self.call.consult_by_leg(self.now, by, leg, to(callee), &mut out).expect("may consult");
        self.follow(out);
        leg
    }

    pub(crate) fn follow(&mut self, out: Vec<Output>) {
        for output in out {
            match output {
                Output::Leg(leg, LegCommand::Release { .. }) => {
                    assert!(self.call.leg(leg).is_some(), "an unknown leg is told");
                    assert!(self.leaving.insert(leg), "a leg is released twice");
                    if !self.is_slow {
                        self.gone(leg);
                    }
                }
                Output::Leg(leg, LegCommand::Answer) => {
                    self.answered.insert(leg);
                }
                Output::Leg(leg, LegCommand::Ring | LegCommand::Progress) => {
                    assert!(self.call.leg(leg).is_some(), "an unknown leg is told");
                }
                Output::Dial { attempt, target: _ } => self.dial(attempt),
                Output::Arm(timer, _) => {
                    self.armed.insert(timer);
                }
                Output::Disarm(timer) => {
                    self.armed.remove(&timer);
                }
                Output::Happened(happening) => self.happened.push((happening.what, happening.who)),
                Output::Over => self.is_over = true,
            }
        }
    }

    pub(crate) fn gone(&mut self, leg: LegId) {
        self.leaving.remove(&leg);
        self.event(leg, LegEvent::Gone);
    }

    fn dial(&mut self, attempt: AttemptId) {
        self.dialled.push(attempt);
        let found = self.call.attempts().iter().find(|one| one.id == attempt);
        let Some(who) = found.map(|one| one.participant) else { return };
        let party = self.call.participant(who).expect("is invited").party;
        if self.phones == 0 {
            let mut out = Vec::new();
            self.call.target_failed(self.now, attempt, Cause::UNAVAILABLE, &mut out);
            return self.follow(out);
        }
        for _ in 0..self.phones {
            self.next_leg += 1;
            self.call.add_leg(attempt, LegId(self.next_leg), party);
        }
    }
}

/// An agent to be called.
pub(crate) fn to(party: PartyKey) -> Callee {
    let role = if party.0 < 100 { Role::NonAgent } else { Role::Agent };
    Callee { role, party, targets: 1, early: role == Role::NonAgent }
}

pub(crate) fn consult(callee: PartyKey, hold_others: bool) -> Command {
    Command::Consult { callee: to(callee), hold_others }
}

pub(crate) fn transfer(callee: PartyKey, on_failure: OnFailure) -> Command {
    Command::Transfer { callee: to(callee), on_failure, stays: false }
}

pub(crate) const END_CONSULT_TRANSFER: Command =
    Command::ConsultTransfer { on_failure: OnFailure::Recall };
