//! Invariant 4: a call that was answered is ended by whoever is in it. That the server ends it needs
//! a cause in the world: a peer that died or cannot be reached, lost audio, an ACK that never came.

use std::collections::BTreeSet;

use ::media::command::{BridgeId, MediaEvent, StreamId};
use b2bua::io::Input;
use call::record::{CallRecord, EndedBy, LegRecord, Side};

use crate::agent::{Dialog, State};
use crate::media::Stream;
use crate::net::Link;
use crate::world::World;

/// What has happened that may end calls although nobody hangs up.
#[derive(Debug, Default)]
pub(crate) struct Causes {
    /// Call-IDs of dialogs whose peer or connection was lost.
    dialogs: BTreeSet<String>,
    /// Calls one of whose streams was hurt.
    bridges: BTreeSet<BridgeId>,
    /// Peers whose network was cut at any time.
    cut: BTreeSet<usize>,
    /// The server was told to end what there is: a drain.
    all: bool,
}

impl World {
    /// Whatever a peer has up or is setting up may end without a word of it.
    pub(crate) fn note_lost(&mut self, who: usize) {
        let open = self.agents[who].dialogs.values().filter(|dialog| dialog.state != State::Ended);
        self.causes.dialogs.extend(open.map(|dialog| dialog.call_id.clone()));
    }

    /// A peer's network changes.
    pub(crate) fn note_network(&mut self, who: usize, link: Link) {
        if link == Link::CUT {
            self.causes.cut.insert(who);
        }
    }

    /// What the server is told from outside that ends calls.
    pub(crate) fn note_input(&mut self, input: &Input) {
        match input {
            Input::Drain { .. } | Input::GiveUp => self.causes.all = true,
            Input::Media(
                MediaEvent::BindFailed { stream, .. }
                | MediaEvent::RtpTimeout { stream }
                | MediaEvent::Broken { stream },
            ) => {
                let hurt = self.media.streams.get(stream);
                self.causes.bridges.extend(hurt.map(|hurt| hurt.bridge));
            }
            Input::Sip { .. }
            | Input::FlowClosed(_)
            | Input::SendFailed(_)
            | Input::Resolved { .. }
            | Input::Media(_)
            | Input::NoiseRemoval { .. }
            | Input::Command { .. }
            | Input::Tick
            | Input::ShortOfMemory(_)
            | Input::Restore { .. } => {}
        }
    }

    /// A call that is up and that nothing has happened to is ended by the server all the same, as no
    /// server may: for the test that this is noticed. Whether there was one.
    pub(crate) fn end_for_nothing(&mut self) -> bool {
        let is_well = |stream: &Stream| {
            let dialogs = self.agents.iter().flat_map(|agent| agent.dialogs.values());
            let is_its = |dialog: &&Dialog| {
                dialog.theirs.as_ref().is_some_and(|theirs| theirs.port == stream.port)
            };
            let mut its = dialogs.filter(is_its);
            its.any(|dialog| dialog.is_settled() && !self.is_hurt(&dialog.call_id))
        };
        let of_call = |bridge: BridgeId| {
            self.media.streams.values().filter(move |stream| stream.bridge == bridge)
        };
        let all_well = |(_, stream): &(&StreamId, &Stream)| {
            let (bridge, count) = (stream.bridge, of_call(stream.bridge).count());
            count == 2 && of_call(bridge).all(is_well) && !self.causes.bridges.contains(&bridge)
        };
        let found = self.media.streams.iter().find(all_well).map(|(stream, _)| *stream);
        if let Some(stream) = found {
            self.untold(Input::Media(MediaEvent::RtpTimeout { stream }));
        }
        found.is_some()
    }

    /// Whether a dialog's peer was lost, or its ACK never came.
    fn is_hurt(&self, call_id: &str) -> bool {
        let has_it = |who: &usize| {
            let mut dialogs = self.agents[*who].dialogs.values();
            dialogs.any(|dialog| dialog.call_id == call_id)
        };
        let mut all = self.agents.iter().flat_map(|agent| agent.dialogs.values());
        all.any(|dialog| dialog.call_id == call_id && dialog.is_lost)
            || self.causes.dialogs.contains(call_id)
            || self.causes.cut.iter().any(has_it)
            || self.watch.unacked.contains(call_id)
    }

    /// What is wrong with a call that the server ended by itself.
    pub(crate) fn fault_of_system_end(&self, record: &CallRecord) -> Option<String> {
        let is_ours = record.ended_by == EndedBy::System && record.answered.is_some();
        if !is_ours || record.merged_into.is_some() {
            return None;
        }
        // Whoever called was told so: else it is a call that could not be answered.
        let callers = record.legs.iter().filter(|leg| leg.side == Side::Caller);
        let mut callers = callers.map(|leg| &leg.sip_call_id).peekable();
        if callers.peek().is_some() && !callers.any(|leg| self.watch.answered.contains(leg)) {
            return None;
        }
        let number = record.id.rsplit('-').next().and_then(|number| number.parse().ok());
        let config = &self.config;
        // Whoever was left alone waited for somebody who did not come (F12, T4), or come back (H6).
        let called = record.legs.iter().filter(|leg| leg.side == Side::Callee);
        let never_came = |leg: &LegRecord| {
            let mut own = record.legs.iter().filter(|own| own.participant == leg.participant);
            own.all(|own| own.sip_status != 200)
        };
        let mut absent = called.filter(|leg| {
            leg.sip_status != 200 && (self.asks || never_came(leg)) && record.sip_status >= 300
        });
        let has_cause = self.causes.all
            || absent.next().is_some()
            || number.is_some_and(|number| self.causes.bridges.contains(&BridgeId(number)))
            || record.legs.iter().any(|leg| self.is_hurt(&leg.sip_call_id))
            // Legs that drifted apart, where nothing is transcoded.
            || !config.media.transcode && record.sip_status == 488
            || config.sip.call_limit.is_some_and(|most| u128::from(record.talk_ms) >= most.as_millis())
            || self.expects_poison && record.sip_status == 500;
        (!has_cause).then(|| format!("record {}: ended by us for nothing: {record:?}", record.id))
    }
}
