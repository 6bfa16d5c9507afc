use std::collections::BTreeMap;
use std::time::Duration;

use base::Time;

use crate::description::{Direction, Sdp};
use crate::script::{Act, Codecs, Hold, Placing, Refresher};
use crate::text::Msg;

/// How far a dialog has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Our INVITE has no final answer.
    Calling,
    /// Their INVITE has none.
    Ringing,
    /// There was a 2xx.
    Up,
    /// Refused, cancelled or hung up.
    Ended,
}

/// A peer's side of one dialog and its audio.
#[derive(Debug)]
pub(crate) struct Dialog {
    pub(crate) call_id: String,
    pub(crate) local_tag: String,
    pub(crate) remote_tag: String,
    /// From and To of our requests, without tags.
    pub(super) local: String,
    pub(super) remote: String,
    pub(super) target: String,
    pub(super) seq: u32,
    pub(super) remote_seq: u32,
    pub(crate) is_caller: bool,
    pub(crate) state: State,
    /// The peer died with it: nobody expects it to end properly.
    pub(crate) is_lost: bool,
    /// What we last described, and what they did; agreed unless an exchange is open.
    pub(crate) ours: Sdp,
    pub(crate) theirs: Option<Sdp>,
    pub(super) highest_version: u64,
    pub(super) wish: Direction,
    pub(super) unaddressed: bool,
    pub(super) able: Codecs,
    pub(super) stubborn: bool,
    pub(super) takes_update: bool,
    /// Our own open re-INVITE or UPDATE.
    pub(super) change: Option<Change>,
    /// Their open re-INVITE: server transaction and request.
    pub(super) asked: Option<(u64, Msg)>,
    /// Our 2xx without its ACK.
    pub(super) unacked: Option<Unacked>,
    pub(super) acks: BTreeMap<u32, Msg>,
    pub(super) acts: Vec<Act>,
    pub(super) tries: u32,
    pub(super) session: Option<Session>,
    /// Of the caller before the answer.
    pub(super) calling: Option<Box<Calling>>,
    /// Of the callee: a reliable provisional without its PRACK.
    pub(super) reliable: Option<Reliably>,
    pub(super) rseq: u32,
    /// Of the callee: our SDP went out in a reliable provisional.
    pub(super) described: bool,
    /// When anything last happened in it.
    pub(crate) touched: Time,
}

/// The caller's INVITE.
#[derive(Debug)]
pub(super) struct Calling {
    pub(super) placing: Placing,
    pub(super) client: u64,
    pub(super) provisional: bool,
    pub(super) cancel_wanted: bool,
    pub(super) cancelled: bool,
    pub(super) challenges: u8,
    pub(super) interval: u64,
    /// Last RSeq acknowledged.
    pub(super) rseq: u64,
    pub(super) updated: bool,
    /// How a PRACK was refused.
    pub(super) refused: Option<String>,
}

/// A change of ours in flight.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) client: u64,
    pub(super) act: Act,
    pub(super) proposal: Option<Sdp>,
    pub(super) challenged: bool,
}

#[derive(Debug)]
pub(super) struct Unacked {
    pub(super) response: Msg,
    pub(super) cseq: u32,
    pub(super) interval: Duration,
    pub(super) until: Time,
}

#[derive(Debug)]
pub(super) struct Reliably {
    pub(super) response: Msg,
    pub(super) server: u64,
    pub(super) interval: Duration,
    pub(super) until: Time,
}

/// A session timer, RFC 4028.
#[derive(Clone, Copy, Debug)]
pub(super) struct Session {
    pub(super) interval: u64,
    pub(super) we_refresh: bool,
}

impl Session {
    /// Reads a 2xx; `we_asked`: whether ours was the request.
    pub(super) fn of(answer: &Msg, we_asked: bool) -> Option<Self> {
        let (interval, refresher) = answer.session_expires()?;
        let asker = refresher.as_deref() != Some(Refresher::Uas.name());
        Some(Self { interval, we_refresh: asker == we_asked })
    }
}

impl Dialog {
    /// From the names and tags at hand; the rest is filled in as it becomes known.
    pub(super) fn new(call_id: &str, local_tag: String, ours: Sdp, able: Codecs) -> Self {
        Self {
            call_id: call_id.to_owned(),
            local_tag,
            remote_tag: String::new(),
            local: String::new(),
            remote: String::new(),
            target: String::new(),
            seq: 0,
            remote_seq: 0,
            is_caller: false,
            state: State::Ringing,
            is_lost: false,
            highest_version: ours.version,
            ours,
            theirs: None,
            wish: Direction::SendRecv,
            unaddressed: false,
            able,
            stubborn: false,
            takes_update: true,
            change: None,
            asked: None,
            unacked: None,
            acks: BTreeMap::new(),
            acts: Vec::new(),
            tries: 0,
            session: None,
            calling: None,
            reliable: None,
            rseq: 0,
            described: false,
            touched: Time::ZERO,
        }
    }

    /// Whether nothing is open in it, so that both sides must be of one mind.
    pub(crate) fn is_settled(&self) -> bool {
        self.state == State::Up
            && self.change.is_none()
            && self.asked.is_none()
            && self.unacked.is_none()
            && self.calling.as_ref().is_none_or(|calling| calling.placing.slow_ack.is_none())
    }

    /// Whether it has put the other side on hold.
    pub(crate) fn holds(&self) -> bool {
        self.ours.holds()
    }

    /// A request inside the dialog, numbered.
    pub(super) fn request(&mut self, method: &str) -> Msg {
        self.seq += 1;
        self.build(method, self.seq)
    }

    pub(super) fn build(&self, method: &str, seq: u32) -> Msg {
        let to = match self.remote_tag.as_str() {
            "" => self.remote.clone(),
            tag => format!("{};tag={tag}", self.remote),
        };
        Msg::request(method, &self.target)
            .with("Max-Forwards", "70")
            .with("From", format!("{};tag={}", self.local, self.local_tag))
            .with("To", to)
            .with("Call-ID", self.call_id.clone())
            .with("CSeq", format!("{seq} {method}"))
    }

    /// Our SDP after `act`, with its version raised if it says anything new.
    pub(super) fn proposal(&mut self, act: Act) -> Sdp {
        let mut sdp = self.ours.clone();
        match act {
            Act::Hold(hold) => {
                self.wish = match hold {
                    Hold::SendOnly => Direction::SendOnly,
                    Hold::Inactive => Direction::Inactive,
                    Hold::Zero => Direction::SendRecv,
                };
                self.unaddressed = hold == Hold::Zero;
            }
            Act::Resume => {
                self.wish = Direction::SendRecv;
                self.unaddressed = false;
            }
            Act::Codecs(codecs) => {
                let able = self.able.list();
                let mut wanted = codecs.list();
                wanted.retain(|(_, name)| able.iter().any(|(_, known)| known == name));
                if wanted.iter().any(|(_, name)| name != "telephone-event") {
                    sdp.codecs = wanted;
                }
            }
            Act::Offerless
            | Act::Refresh
            | Act::Update
            | Act::Options
            | Act::Key
            | Act::Unknown
            | Act::Bye
            | Act::Die => return sdp,
        }
        self.dressed(sdp, self.wish)
    }

    /// Puts direction and address in force, and the version that RFC 3264 §8 demands.
    fn dressed(&mut self, mut sdp: Sdp, direction: Direction) -> Sdp {
        sdp.direction = direction;
        sdp.ip = if self.unaddressed { "0.0.0.0".to_owned() } else { self.own_ip() };
        if sdp != self.ours {
            self.highest_version += 1;
            sdp.version = self.highest_version;
        }
        sdp
    }

    fn own_ip(&self) -> String {
        self.local.split('@').next_back().unwrap_or("").trim_end_matches('>').to_owned()
    }

    /// Our answer to `offer`; `None` when we have nothing in common.
    pub(super) fn answer(&mut self, offer: &Sdp) -> Option<Sdp> {
        let able = self.able.list();
        let known = |name: &str| able.iter().any(|(_, known)| known == name);
        let codecs: Vec<_> = offer.codecs.iter().filter(|(_, n)| known(n)).cloned().collect();
        if !codecs.iter().any(|(_, name)| name != "telephone-event") {
            return None;
        }
        let mut sdp = self.ours.clone();
        sdp.codecs = codecs;
        let direction = offer.direction.answered(self.wish);
        Some(self.dressed(sdp, direction))
    }

    /// What is wrong with their answer to our offer, RFC 3264 §6.
    pub(super) fn fault_of_answer(offer: &Sdp, answer: &Sdp) -> Option<String> {
        let legal = offer.direction.answered(answer.direction);
        if legal != answer.direction {
            let (offered, answered) = (offer.direction.name(), answer.direction.name());
            return Some(format!("answers {offered} with {answered}"));
        }
        if !answer.has_audio_of(offer) {
            return Some("answers with no codec of the offer".to_owned());
        }
        None
    }
}
