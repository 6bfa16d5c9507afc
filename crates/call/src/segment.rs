//! What the call has been, stretch by stretch: for its record, so that the times of talk, hold,
//! consult, transfer, conference and post-call add up to the whole from the answer to the end.

use std::time::Duration;

use base::Time;
use serde::{Deserialize, Serialize};

use crate::consult::Facing;
use crate::machine::{Call, State};
use crate::participant::ParticipantId;

/// Stretches kept of one call; of more only the sums are.
pub const SEGMENTS_MAX: usize = 128;

/// What a stretch of a call was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SegmentKind {
    /// Two talk.
    Talk,
    /// Nobody talks: on hold.
    Hold,
    /// The initiator is with the consulted party, or waits for it.
    Consult,
    /// The others wait for a target, or for the agent who is called back.
    Transfer,
    /// Three or more talk.
    Conference,
    /// The customer has left (F12).
    PostCall,
}

impl SegmentKind {
    /// All of them, in their order.
    pub const ALL: [Self; 6] =
        [Self::Talk, Self::Hold, Self::Consult, Self::Transfer, Self::Conference, Self::PostCall];
}

/// A stretch of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// What it was.
    pub kind: SegmentKind,
    /// When it began.
    pub from: Time,
    /// When it ended; `None` while it goes on.
    pub to: Option<Time>,
    /// Who took part.
    pub participants: Vec<ParticipantId>,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Segments {
    list: Vec<Segment>,
    current: Option<(SegmentKind, Time)>,
    totals: [Duration; 6],
}

impl Segments {
    fn change(&mut self, now: Time, kind: Option<SegmentKind>, who: &[ParticipantId]) {
        if let Some((kind, since)) = self.current.take() {
            self.totals[kind as usize] += now - since;
        }
        if let Some(last) = self.list.last_mut().filter(|last| last.to.is_none()) {
            last.to = Some(now);
            if last.from == now {
                self.list.pop(); // a step on the way to somewhere else
            }
        }
        let Some(kind) = kind else { return };
        self.current = Some((kind, now));
        if self.list.len() < SEGMENTS_MAX {
            let participants = who.to_vec();
            self.list.push(Segment { kind, from: now, to: None, participants });
        }
    }

    fn is(&self, kind: Option<SegmentKind>, who: &[ParticipantId]) -> bool {
        let is_same = self.current.map(|(kind, _)| kind) == kind;
        let same_people =
            self.list.last().is_none_or(|last| last.to.is_some() || last.participants == who);
        is_same && same_people
    }
}

impl Call {
    /// The stretches so far.
    pub fn segments(&self) -> &[Segment] {
        &self.segments.list
    }

    /// How long the call has been such until `now`.
    pub fn total(&self, kind: SegmentKind, now: Time) -> Duration {
        let running = self.segments.current.filter(|(current, _)| *current == kind);
        let running = running.map(|(_, since)| now - since).unwrap_or_default();
        self.segments.totals[kind as usize] + running
    }

    /// Takes note of what the call is now; after every step.
    pub(crate) fn mark(&mut self, now: Time) {
        let kind = self.segment_kind();
        let mut who = [ParticipantId { call: self.id, number: 0 }; 16];
        let mut count = 0;
        if let Some(kind) = kind {
            for one in self.segment_participants(kind).take(who.len()) {
                who[count] = one;
                count += 1;
            }
        }
        let who = &who[..count];
        if !self.segments.is(kind, who) {
            self.segments.change(now, kind, who);
        }
    }

    /// What the call is now; `None` before the answer and after the end.
    pub fn segment_kind(&self) -> Option<SegmentKind> {
        if self.state != State::Up {
            return None;
        }
        Some(match self.consult {
            _ if self.post_call => SegmentKind::PostCall,
            _ if self.awaited().is_some() => SegmentKind::Transfer,
            Some(consult) if consult.facing == Facing::Consulted => SegmentKind::Consult,
            Some(_) | None => {
                let mut talking = self.main().filter(|one| !self.is_away(one));
                match (self.main().nth(2), talking.nth(1)) {
                    (_, None) => SegmentKind::Hold,
                    (Some(_), Some(_)) => SegmentKind::Conference,
                    (None, Some(_)) => SegmentKind::Talk,
                }
            }
        })
    }

    fn segment_participants(&self, kind: SegmentKind) -> impl Iterator<Item = ParticipantId> + '_ {
        let consult = self.consult;
        self.participants
            .iter()
            .filter(move |one| match (kind, consult) {
                (SegmentKind::Consult, Some(consult)) => {
                    [consult.initiator, consult.target].contains(&one.id)
                }
                (SegmentKind::PostCall, Some(consult)) if consult.target == one.id => true,
                (SegmentKind::Transfer, _) => {
                    self.is_main(one.id)
                        || self.awaited().is_some_and(|awaited| awaited.participant == one.id)
                }
                (_, _) => self.is_main(one.id),
            })
            .map(|one| one.id)
    }
}
