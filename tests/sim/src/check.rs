//! What must hold: after every step, whenever a call is settled, and when all is over.

use std::collections::BTreeMap;
use std::time::Duration;

use ::media::command::{Codec, Hear, Payload, StreamConfig, StreamId};
use b2bua::io::Event;
use base::Time;

use crate::agent::{Dialog, State};
use crate::attacker::FORBIDDEN;
use crate::description::Sdp;
use crate::net::Link;
use crate::operation::Operation;
use crate::world::World;

/// A dialog in which nothing has happened for so long is of one mind with the server: repeats, and
/// the waits after a 491, are shorter.
const SETTLED: Duration = Duration::from_secs(20);
/// Longest time until every orphan is found: a session of 1800 s, its time-outs, registrations.
const QUIET_MAX: Duration = Duration::from_secs(3 * 3600);

impl World {
    /// After every step.
    pub(crate) fn check_step(&mut self) {
        self.media.check();
        self.check_owners();
        self.check_heard();
        if self.now - self.last_check >= Duration::from_secs(1) {
            self.last_check = self.now;
            self.check_settled();
            self.check_noise();
            self.revive_the_dead();
        }
        let poisoned = self.events.iter().any(|event| matches!(event, Event::Poisoned { .. }));
        if poisoned && !self.expects_poison {
            self.wrong.push("the core panicked".to_owned());
        }
        self.fail_if_wrong();
    }

    /// Invariant 1: a leg belongs to a call that knows it, a stream to a leg.
    fn check_owners(&mut self) {
        let mut known: Vec<_> = self.core.legs_of_calls().collect();
        known.sort_unstable();
        if !self.core.calls_of_legs().eq(known.iter().copied()) {
            let legs: Vec<_> = self.core.calls_of_legs().collect();
            self.wrong.push(format!("legs {legs:?}, but their calls know {known:?}"));
        }
        for stream in self.media.streams.keys() {
            if known.binary_search_by_key(&stream.0, |(leg, _)| leg.0).is_err() {
                self.wrong.push(format!("{stream} is open, but has no leg"));
            }
        }
    }

    /// N1–N4: noise is removed from what a stream's peer says as it is shown, but for what a peer
    /// plays that holds.
    fn check_noise(&mut self) {
        let shown = self.look();
        let dialogs = self.agents.iter().flat_map(|agent| agent.dialogs.values());
        let up = dialogs.filter(|dialog| dialog.state == State::Up);
        let up: Vec<_> = up.filter_map(|dialog| Some(dialog.theirs.as_ref()?.port)).collect();
        for participant in shown.iter().flat_map(|one| &one.participants) {
            let is_shown = participant.noise_suppression.enabled;
            for leg in &participant.legs {
                let id = StreamId(leg.id.parse().expect("the number of a leg"));
                let Some(stream) = self.media.streams.get(&id) else { continue };
                let Some(config) = &stream.config else { continue };
                // That it holds is shown from the answer on, and one that leaves is told no more.
                if stream.hears == Hear::Nothing || !up.contains(&stream.port) {
                    continue;
                }
                let is_on = config.noise_removal.is_some_and(|removal| removal.enabled);
                if is_on != (is_shown && !leg.holds) {
                    let (party, heard) = (&participant.party, stream.hears);
                    let removal = config.noise_removal;
                    self.wrong.push(format!(
                        "{id} of {party} has {removal:?} and hears {heard:?}, shown: {is_shown}, {leg:?}"
                    ));
                }
            }
        }
    }

    fn revive_the_dead(&mut self) {
        for who in 0..self.agents.len() {
            if !self.agents[who].is_dead || !self.revives {
                self.dead[who] = None;
                continue;
            }
            let since = *self.dead[who].get_or_insert(self.now);
            if self.now - since > Duration::from_secs(60) {
                self.agents[who].revive(self.now);
                self.collect(who);
            }
        }
    }

    fn fail_if_wrong(&mut self) {
        let mut wrong = std::mem::take(&mut self.wrong);
        wrong.append(&mut self.media.wrong);
        wrong.append(&mut self.watch.wrong);
        for agent in &mut self.agents {
            let user = agent.profile.user.clone();
            wrong.extend(agent.wrong.drain(..).map(|what| format!("{user} sees: {what}")));
        }
        if wrong.is_empty() {
            return;
        }
        let (seed, now) = (self.seed, self.now);
        let lines = std::env::var("SIM_TAIL").ok().and_then(|lines| lines.parse().ok());
        let lines = lines.unwrap_or(60);
        panic!("seed {seed} at {now:?}:\n{}\n\n{}", wrong.join("\n"), self.tail(lines));
    }

    /// Invariant 3, from the outside: what two peers of one call have agreed to is what their
    /// streams do.
    fn check_settled(&mut self) {
        let mut wrong = Vec::new();
        let dialogs: Vec<_> = self
            .agents
            .iter()
            .enumerate()
            .filter(|(who, _)| self.links[*who] != Link::CUT)
            .flat_map(|(_, agent)| agent.dialogs.values())
            .filter(|dialog| dialog.is_settled() && self.now - dialog.touched > SETTLED)
            .collect();
        for dialog in &dialogs {
            let Some(theirs) = &dialog.theirs else { continue };
            let Some((id, stream)) = self.media.by_port(theirs.port) else {
                wrong.push(format!("{} is up, but its stream is not open", dialog.call_id));
                continue;
            };
            let Some(config) = &stream.config else {
                wrong.push(format!("{} is up, but its stream knows nothing", dialog.call_id));
                continue;
            };
            wrong.extend(fault_of_stream(dialog, theirs, id, config));
            if dialog.holds() && config.noise_removal.is_some_and(|removal| removal.enabled) {
                wrong.push(format!("{id} takes the music of {} for noise", dialog.call_id));
            }
            let of_call = |other: &&crate::media::Stream| other.bridge == stream.bridge;
            if self.asks || self.media.streams.values().filter(of_call).nth(2).is_some() {
                continue; // who hears whom is then not for two peers to say
            }
            let partner = dialogs.iter().find_map(|other| {
                let (other_id, open) = self.media.by_port(other.theirs.as_ref()?.port)?;
                (open.bridge == stream.bridge && other_id != id).then_some((other, other_id, open))
            });
            let Some((other, other_id, open)) = partner else { continue };
            let expected = if other.holds() { Hear::Music } else { Hear::Stream(other_id) };
            if stream.hears != expected {
                wrong.push(format!("{id} hears {:?}, should hear {expected:?}", stream.hears));
            }
            if let Some(theirs) = &open.config
                && !share_audio(&config.payloads, &theirs.payloads)
                && !(self.config.media.transcode
                    && can_code(&config.payloads)
                    && can_code(&theirs.payloads))
            {
                let call = &other.call_id;
                wrong.push(format!("{id} and {other_id} ({call}) have no codec in common"));
            }
        }
        self.wrong.extend(wrong);
    }

    /// Invariant 3 from the inside: what the core believes to have told each stream is what it does.
    fn check_heard(&mut self) {
        let told: BTreeMap<_, _> = self.core.told().collect();
        for (id, stream) in &self.media.streams {
            let told = told.get(id).copied().unwrap_or(Hear::Nothing);
            if told != stream.hears {
                self.wrong.push(format!("{id} hears {:?}, was told {told:?}", stream.hears));
            }
        }
    }

    /// Runs until nothing is left to do, and checks that nothing is left behind.
    pub fn finish(&mut self) {
        self.schedule(Duration::ZERO, Operation::StopRegistering);
        for after in [1, 60, 120, 600] {
            self.schedule(Duration::from_secs(after), Operation::HangUpAll);
        }
        let until = self.now + QUIET_MAX;
        while self.next().is_some_and(|at| at <= until) {
            if self.keeps_house && self.is_quiet() && self.now > Time::ZERO + QUIET_MAX / 2 {
                break;
            }
            self.step();
        }
        self.check_rest();
        self.check_records();
        self.check_trunks();
        self.watch.finish(self.agents.len());
        self.fail_if_wrong();
    }

    fn is_quiet(&self) -> bool {
        self.core.is_at_rest() && self.net.next().is_none()
    }

    fn check_rest(&mut self) {
        let mut wrong = Vec::new();
        if !self.core.is_at_rest() {
            wrong.push(format!("the core is not at rest: {} calls", self.core.calls_len()));
        }
        for (id, stream) in &self.media.streams {
            wrong.push(format!("{id} at port {} is still open", stream.port));
        }
        for recording in self.media.recordings.keys() {
            wrong.push(format!("{recording} goes on"));
        }
        if let Some(at) = self.core.next_timeout().filter(|_| !self.keeps_house) {
            wrong.push(format!("a deadline is left: {at:?}"));
        }
        if !self.bindings.is_empty() {
            wrong.push(format!("bindings are left: {:?}", self.bindings.keys()));
        }
        for agent in &self.agents {
            for dialog in agent.dialogs.values() {
                let state = dialog.state;
                if matches!(state, State::Up | State::Calling) && !dialog.is_lost {
                    let user = &agent.profile.user;
                    wrong.push(format!("{user} still has a call: {} {state:?}", dialog.call_id));
                }
            }
        }
        wrong.extend(self.faults_of_snapshot());
        self.wrong.extend(wrong);
    }

    /// What the snapshot of an idle core must look like: every map and pool as at the start.
    fn faults_of_snapshot(&self) -> Vec<String> {
        let saved = serde_json::to_value(&self.core).expect("the core can be saved");
        let mut wrong = Vec::new();
        let ports = &saved["ports"];
        let used = ports["fresh"][0].as_u64().map(|fresh| (fresh - 20_000) / 2);
        let free = |queue: &str| ports[queue].as_array().map_or(0, |free| free.len() as u64);
        if used != Some(free("resting") + free("foreign")) {
            wrong.push(format!("ports are lost: {used:?} were used"));
        }
        for map in ["calls", "legs", "dialogs", "invites", "closing"] {
            let as_map = saved[map].as_object().map(serde_json::Map::len);
            let len = as_map.or(saved[map].as_array().map(Vec::len));
            if len != Some(0) {
                wrong.push(format!("{map} is not empty: {}", saved[map]));
            }
        }
        if !self.keeps_house && !self.core.is_at_rest() {
            wrong.push(format!("owners: {}", saved["wire"]["owners"]));
            wrong.push(format!("transactions: {}", saved["wire"]["transactions"]["table"]));
            for counted in ["extensions", "trunks"] {
                let calls = saved[counted].as_array().into_iter().flatten();
                let calls: Vec<_> = calls.map(|state| state["calls"].to_string()).collect();
                wrong.push(format!("{counted} count {calls:?}"));
            }
        }
        if !self.keeps_house && saved["wire"]["timers"].as_array().is_none_or(|t| !t.is_empty()) {
            wrong.push(format!("deadlines are left: {}", saved["wire"]["timers"]));
        }
        wrong
    }

    /// Exactly one record per call, with times that fit.
    fn check_records(&mut self) {
        let mut wrong = Vec::new();
        let mut callers = std::collections::BTreeSet::new();
        let mut legs = std::collections::BTreeSet::new();
        let mut told = std::collections::BTreeSet::new();
        for record in &self.records {
            let id = &record.id;
            let dialled = record.legs.iter().filter(|leg| leg.side == call::Side::Caller);
            callers.extend(dialled.skip(1).map(|leg| leg.sip_call_id.clone()));
            legs.extend(record.legs.iter().map(|leg| leg.sip_call_id.clone()));
            if record.merged_into.is_some() {
                continue; // its legs are told of elsewhere
            }
            let Some(caller) = record.legs.iter().find(|leg| leg.side == call::Side::Caller) else {
                if !self.asks {
                    wrong.push(format!("record {id} has no caller"));
                }
                continue;
            };
            if !callers.insert(caller.sip_call_id.clone()) {
                wrong.push(format!("two records of {}", caller.sip_call_id));
            }
            for leg in &record.legs {
                if !told.insert(leg.sip_call_id.clone()) {
                    wrong.push(format!("{} is in two records", leg.sip_call_id));
                }
            }
            wrong.extend(faults_of_record(record));
            wrong.extend(self.fault_of_end(record));
            wrong.extend(self.fault_of_system_end(record));
            let answered = self.watch.answered.contains(&caller.sip_call_id);
            if answered && record.answered.is_none() && !self.asks {
                wrong.push(format!("{} was answered, its record says no", caller.sip_call_id));
            }
        }
        for call_id in self.watch.begun.difference(&callers) {
            wrong.push(format!("no record of {call_id}"));
        }
        for call_id in self.watch.placed.difference(&legs) {
            wrong.push(format!("the leg {call_id} is in no record"));
        }
        self.wrong.extend(wrong);
    }

    /// Who hung up is who said BYE.
    fn fault_of_end(&self, record: &call::record::CallRecord) -> Option<String> {
        use call::record::{EndedBy, Side};
        if self.asks || record.answered.is_none() || record.sip_status != 200 {
            return None;
        }
        let said = |call_id: &str| self.watch.hung_up.contains(call_id);
        let of = |side| record.legs.iter().filter(move |leg| leg.side == side);
        let said_by = |side| of(side).any(|leg| said(&leg.sip_call_id));
        let is_true = match record.ended_by {
            // A phone that consults by a second call of its own has a calling leg, too.
            EndedBy::Caller => said_by(Side::Caller),
            EndedBy::Callee => said_by(Side::Callee),
            EndedBy::System => true, // by a cause: `fault_of_system_end`
        };
        (!is_true).then(|| format!("record {}: nobody hung up: {record:?}", record.id))
    }

    /// Invariant 7.
    fn check_trunks(&mut self) {
        let forbidden = FORBIDDEN.trim_start_matches('0').as_bytes();
        for line in self.wire.iter().filter(|line| line.from_server) {
            let to_trunk = self.agents.get(line.who).is_some_and(|a| a.profile.is_gateway);
            let is_invite = line.bytes.starts_with(b"INVITE ");
            if to_trunk && is_invite && line.bytes.windows(forbidden.len()).any(|w| w == forbidden)
            {
                let to = self.agents[line.who].profile.address;
                self.wrong.push(format!("a number that nobody asked for went to {to}"));
            }
        }
    }
}

fn faults_of_record(record: &call::record::CallRecord) -> Vec<String> {
    let mut wrong = Vec::new();
    let id = &record.id;
    let times = [Some(record.started), record.ringing, record.answered, Some(record.ended)];
    let times: Vec<_> = times.into_iter().flatten().collect();
    if !times.is_sorted() {
        wrong.push(format!("record {id}: times out of order: {record:?}"));
    }
    let whole = record.ended.0 - record.started.0;
    if record.talk_ms > whole + 1 || record.hold_ms > whole + 1 {
        wrong.push(format!("record {id}: talked longer than it lasted: {record:?}"));
    }
    let times = &record.times;
    let sum = times.talk_ms + times.hold_ms + times.consult_ms + times.transfer_ms;
    let sum = sum + times.conference_ms + times.post_call_ms;
    if record.talk_ms.abs_diff(sum) > 6 {
        wrong.push(format!("record {id}: the stretches do not add up: {record:?}"));
    }
    match record.answered {
        None if record.talk_ms > 0 => wrong.push(format!("record {id}: talked unanswered")),
        None if record.sip_status < 300 => {
            wrong.push(format!("record {id}: {} but unanswered", record.sip_status));
        }
        Some(_) if record.legs.len() < 2 && record.merged_into.is_none() => {
            wrong.push(format!("record {id}: answered by nobody"))
        }
        Some(_) | None => {}
    }
    if !(200..700).contains(&record.sip_status) || record.q850_cause == 0 {
        wrong.push(format!("record {id}: status {}", record.sip_status));
    }
    // A call whose handling failed is written down at once.
    let is_whole = record.legs.iter().all(|leg| leg.packets_received == 7);
    if !is_whole && record.sip_status != 500 {
        wrong.push(format!("record {id}: the figures of a leg are missing"));
    }
    wrong
}

/// Whether a stream does what offer and answer say.
fn fault_of_stream(
    dialog: &Dialog,
    theirs: &Sdp,
    id: StreamId,
    config: &StreamConfig,
) -> Vec<String> {
    let ours = &dialog.ours;
    let mut wrong = Vec::new();
    let of = &dialog.call_id;
    if ours.is_unaddressed() {
        if config.remote.is_some() && config.send {
            wrong.push(format!("{id} ({of}) sends to nowhere"));
        }
    } else {
        let remote = config.remote.map(|remote| (remote.rtp.ip().to_string(), remote.rtp.port()));
        if remote != Some((ours.ip.clone(), ours.port)) {
            wrong.push(format!("{id} ({of}) sends to {remote:?}"));
        }
        if config.send != ours.direction.receives() {
            wrong.push(format!("{id} ({of}) sends: {}, {}", config.send, ours.direction.name()));
        }
        if config.receive != ours.direction.sends() {
            let receive = config.receive;
            wrong.push(format!("{id} ({of}) receives: {receive}, {}", ours.direction.name()));
        }
    }
    for payload in &config.payloads {
        let Some(name) = name_of(payload.codec) else { continue };
        let has = |sdp: &Sdp, number: u8| sdp.codecs.iter().any(|(n, c)| *n == number && c == name);
        if !has(ours, payload.send) || !has(theirs, payload.receive) {
            wrong.push(format!("{id} ({of}): {payload:?} against {ours:?} and {theirs:?}"));
        }
    }
    wrong
}

fn name_of(codec: Codec) -> Option<&'static str> {
    match codec {
        Codec::Pcmu => Some("PCMU"),
        Codec::Pcma => Some("PCMA"),
        Codec::G722 => Some("G722"),
        Codec::TelephoneEvent => Some("telephone-event"),
        Codec::ComfortNoise => Some("CN"),
        Codec::Opus | Codec::L16 | Codec::Other => None,
    }
}

fn can_code(payloads: &[Payload]) -> bool {
    let known = [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::Opus];
    payloads.iter().any(|payload| known.contains(&payload.codec))
}

fn share_audio(ours: &[Payload], theirs: &[Payload]) -> bool {
    let audio = |payload: &&Payload| payload.codec.is_audio();
    ours.iter().filter(audio).any(|a| theirs.iter().filter(audio).any(|b| a.key == b.key))
}
