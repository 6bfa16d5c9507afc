//! An observer on the wire: it sees what reaches the server and what leaves it, and holds both
//! against the RFCs. It knows nothing of the server's state.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base::Time;

use crate::description::Sdp;
use crate::text::Msg;

/// Call-ID, the server's tag, the peer's tag.
type Key = (String, String, String);

/// Longest time to a final answer: five ways at 20 s of ringing, and their time-outs.
const INVITE_MAX: Duration = Duration::from_secs(330);
/// Longest time to the answer of a re-INVITE: the other side may be asked first.
const CHANGE_MAX: Duration = Duration::from_secs(70);
/// 64*T1.
const GIVE_UP: Duration = Duration::from_secs(32);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    pub(crate) wrong: Vec<String>,
    /// Requests that reached the server, by branch and method, and who sent them.
    asked: BTreeMap<(String, String), Asked>,
    /// Requests of the server, by branch and method.
    sent: BTreeMap<(String, String), Sent>,
    responses: BTreeSet<Vec<u8>>,
    tracks: BTreeMap<Key, Track>,
    descriptions: BTreeMap<(String, String), Descriptions>,
    last_initial: BTreeMap<(String, String), u32>,
    /// ACKs that the server owes for what it was just given.
    owed: Vec<(Key, u32)>,
    /// Caller Call-IDs whose call got as far as ringing or an answer, and Call-IDs of placed legs.
    pub(crate) begun: BTreeSet<String>,
    pub(crate) placed: BTreeSet<String>,
    pub(crate) answered: BTreeSet<String>,
    /// Call-IDs in which an ACK did not come in time, or had no answer to our offer.
    pub(crate) unacked: BTreeSet<String>,
    /// Call-IDs in which the peer hung up.
    pub(crate) hung_up: BTreeSet<String>,
    /// Call-IDs of calls whose record is written: nothing new may begin in them.
    pub(crate) recorded: BTreeSet<String>,
    /// The server was told to wait for nobody: not for an ACK either.
    pub(crate) gave_up: bool,
}

#[derive(Debug)]
struct Asked {
    who: usize,
    at: Time,
    call_id: String,
    is_initial: bool,
    has_offer: bool,
    answered: Option<Time>,
}

#[derive(Debug)]
struct Sent {
    has_offer: bool,
}

/// One dialog.
#[derive(Debug, Default)]
struct Track {
    last_cseq: u32,
    /// The server's offer that waits for an answer: CSeq and what carried it.
    ours: Option<(u32, Carrier)>,
    /// The peer's offers that wait for one: CSeq and method.
    theirs: BTreeSet<(u32, String)>,
    is_over: bool,
    /// 2xx of the server: CSeq, when, whether acknowledged.
    accepted: BTreeMap<u32, (Time, bool)>,
    hung_up: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Carrier {
    Request,
    Provisional,
    Success,
}

/// What the server described in one dialog: by version.
#[derive(Debug, Default)]
struct Descriptions {
    id: u64,
    by_version: BTreeMap<u64, String>,
    last: String,
}

impl Watch {
    fn blame(&mut self, what: &str, msg: &Msg) {
        let of = msg.call_id();
        self.wrong.push(format!("{what}: {} (CSeq {}) of {of}", msg.start, msg.cseq()));
    }

    /// Something reaches the server. `who` sent it.
    pub(crate) fn delivered(&mut self, now: Time, who: usize, bytes: &[u8]) {
        let Some(msg) = Msg::parse(bytes) else { return };
        match msg.status() {
            None => self.request_in(now, who, &msg),
            Some(status) => self.response_in(&msg, status),
        }
    }

    fn request_in(&mut self, now: Time, who: usize, msg: &Msg) {
        let id = (msg.branch().to_owned(), msg.method().to_owned());
        if self.asked.contains_key(&id) {
            return;
        }
        let is_initial = msg.to_tag().is_empty();
        let asked = Asked {
            who,
            at: now,
            call_id: msg.call_id().to_owned(),
            is_initial,
            has_offer: msg.has_sdp(),
            answered: None,
        };
        self.asked.insert(id, asked);
        let key = key(msg, msg.to_tag(), msg.sender_tag());
        if is_initial {
            return;
        }
        let Some(track) = self.tracks.get_mut(&key) else { return };
        if msg.method() == "INVITE" {
            // Who asks anew has had the answers before it.
            let before = track.accepted.range_mut(..msg.cseq());
            before.for_each(|(_, (_, acked))| *acked = true);
        }
        match msg.method() {
            "ACK" => {
                if let Some((_, acked)) = track.accepted.get_mut(&msg.cseq()) {
                    *acked = true;
                }
                if track.ours == Some((msg.cseq(), Carrier::Success)) {
                    track.ours = None;
                    if !msg.has_sdp() {
                        self.unacked.insert(key.0);
                    }
                }
            }
            "BYE" => {
                track.is_over = true;
                self.hung_up.insert(key.0);
            }
            "PRACK" if matches!(track.ours, Some((_, Carrier::Provisional))) && msg.has_sdp() => {
                track.ours = None;
            }
            "INVITE" | "UPDATE" | "PRACK" if msg.has_sdp() => {
                track.theirs.insert((msg.cseq(), msg.method().to_owned()));
            }
            _ => {}
        }
    }

    fn response_in(&mut self, msg: &Msg, status: u16) {
        let id = (msg.branch().to_owned(), msg.method().to_owned());
        let Some(sent) = self.sent.get(&id) else { return };
        let has_offer = sent.has_offer;
        let key = key(msg, msg.sender_tag(), msg.to_tag());
        if status >= 200 && msg.method() == "BYE" {
            if let Some(track) = self.tracks.get_mut(&key) {
                track.is_over = true;
            }
            return;
        }
        let answers = msg.has_sdp() && (status >= 200 || msg.lists("Require", "100rel"));
        if msg.method() == "INVITE" && status > 100 && status < 300 {
            let first = self.initial_offer(msg);
            let track = self.tracks.entry(key.clone()).or_insert_with(|| Track {
                last_cseq: msg.cseq(),
                ours: first,
                ..Track::default()
            });
            if status >= 200 && !track.is_over {
                self.owed.push((key.clone(), msg.cseq()));
            }
        }
        let Some(track) = self.tracks.get_mut(&key) else { return };
        let is_ours = has_offer && track.ours == Some((msg.cseq(), Carrier::Request));
        if is_ours && (answers || status >= 200) {
            track.ours = None;
        }
        if is_ours && status >= 300 {
            // What was refused was never in force: said again, it is a change again.
            let of = (msg.call_id().to_owned(), msg.sender_tag().to_owned());
            self.descriptions.entry(of).or_default().last.clear();
        }
    }

    /// The offer of the INVITE that made this dialog.
    fn initial_offer(&self, response: &Msg) -> Option<(u32, Carrier)> {
        let id = (response.branch().to_owned(), "INVITE".to_owned());
        let offered = self.sent.get(&id).is_some_and(|sent| sent.has_offer);
        offered.then(|| (response.cseq(), Carrier::Request))
    }

    /// Something leaves the server for `who`.
    pub(crate) fn left(&mut self, now: Time, who: usize, bytes: &[u8]) {
        let Some(msg) = Msg::parse(bytes) else {
            return self.wrong.push("an unreadable message left the server".to_owned());
        };
        match msg.status() {
            None => self.request_out(now, &msg),
            Some(status) => self.response_out(now, who, bytes, &msg, status),
        }
        if let Some(fault) = fault_of_form(&msg) {
            self.blame(&fault, &msg);
        }
        if msg.has_sdp() {
            let tag = if msg.status().is_some() { msg.to_tag() } else { msg.sender_tag() };
            self.describe(&msg, tag.to_owned());
        }
    }

    fn request_out(&mut self, now: Time, msg: &Msg) {
        let id = (msg.branch().to_owned(), msg.method().to_owned());
        if msg.method() == "ACK" {
            return self.ack_out(msg);
        }
        if self.sent.contains_key(&id) {
            return; // again
        }
        self.sent.insert(id, Sent { has_offer: msg.has_sdp() });
        if self.recorded.contains(msg.call_id()) && !matches!(msg.method(), "BYE" | "CANCEL") {
            self.blame("a request in a call that is over", msg);
        }
        if msg.method() == "CANCEL" || msg.method() == "REGISTER" || msg.method() == "OPTIONS" {
            return;
        }
        let (cseq, method) = (msg.cseq(), msg.method());
        let base = (msg.call_id().to_owned(), msg.sender_tag().to_owned());
        if msg.to_tag().is_empty() {
            self.placed.insert(msg.call_id().to_owned());
            // Only a retry of the same call, or the same INVITE to the next address, has been.
            let last = self.last_initial.insert(base, cseq);
            if last.is_some_and(|last| cseq < last) {
                self.blame("CSeq goes back", msg);
            }
            return;
        }
        let key = key(msg, msg.sender_tag(), msg.to_tag());
        let track = self.tracks.entry(key).or_default();
        let mut faults = Vec::new();
        let mut is_unacked = false;
        // A 2xx that comes again when all is forgotten gets the same BYE again.
        let is_repeated = method == "BYE" && track.hung_up && cseq == track.last_cseq;
        if cseq <= track.last_cseq && !is_repeated {
            faults.push("CSeq does not grow");
        }
        track.last_cseq = cseq;
        if track.is_over && method != "BYE" {
            faults.push("a request after the BYE");
        }
        if method == "BYE" {
            let waits = track.accepted.values().any(|(at, acked)| !acked && now < *at + GIVE_UP);
            is_unacked = track.accepted.values().any(|(at, acked)| !acked && now >= *at + GIVE_UP);
            if waits && !track.is_over && !self.gave_up {
                faults.push("BYE before the ACK"); // INTEROP 2
            }
            track.hung_up = true;
        }
        if msg.has_sdp() {
            if track.ours.is_some() {
                faults.push("a second offer while the first is open");
            }
            if !track.theirs.is_empty() {
                faults.push("an offer while theirs is open");
            }
            track.ours = Some((cseq, Carrier::Request));
        }
        if is_unacked {
            self.unacked.insert(msg.call_id().to_owned());
        }
        for fault in faults {
            self.blame(fault, msg);
        }
    }

    fn ack_out(&mut self, msg: &Msg) {
        let key = key(msg, msg.sender_tag(), msg.to_tag());
        self.owed.retain(|owed| *owed != (key.clone(), msg.cseq()));
    }

    fn response_out(&mut self, now: Time, who: usize, bytes: &[u8], msg: &Msg, status: u16) {
        let id = (msg.branch().to_owned(), msg.method().to_owned());
        let Some(asked) = self.asked.get_mut(&id) else {
            return self.blame("an answer to nothing", msg);
        };
        if msg.method() == "ACK" {
            return self.blame("an answer to an ACK", msg);
        }
        let (to_another, has_offer) = (asked.who != who, asked.has_offer);
        let (is_initial, call_id) = (asked.is_initial, asked.call_id.clone());
        if status >= 200 {
            asked.answered.get_or_insert(now);
        }
        if to_another {
            self.blame("an answer to somebody else", msg);
        }
        if !self.responses.insert(bytes.to_vec()) || msg.to_tag().is_empty() {
            return;
        }
        if is_initial && msg.method() == "INVITE" && status > 100 && status < 300 {
            self.begun.insert(call_id.clone());
            if status >= 200 {
                self.answered.insert(call_id);
            }
        }
        if matches!(msg.method(), "INVITE" | "UPDATE" | "PRACK") {
            self.track_answer(now, msg, status, has_offer);
        }
    }

    /// Offer and answer as the server's responses carry them.
    fn track_answer(&mut self, now: Time, msg: &Msg, status: u16, has_offer: bool) {
        let key = key(msg, msg.to_tag(), msg.sender_tag());
        let method = msg.method().to_owned();
        let is_new = !self.tracks.contains_key(&key);
        let track = self.tracks.entry(key).or_default();
        let theirs = (msg.cseq(), method.clone());
        if is_new && has_offer {
            track.theirs.insert(theirs.clone());
        }
        let reliably = status < 200 && msg.lists("Require", "100rel");
        let mut faults = Vec::new();
        if status >= 300 {
            track.theirs.remove(&theirs);
        } else if has_offer && (status >= 200 || reliably) {
            let was_open = track.theirs.contains(&theirs);
            if msg.has_sdp() {
                if was_open && track.ours.is_some() {
                    faults.push("answers an offer while its own is open");
                }
                track.theirs.remove(&theirs);
            } else if was_open && status >= 200 && method != "PRACK" {
                faults.push("a 2xx without an answer");
            }
        } else if !has_offer && msg.has_sdp() && (status >= 200 || reliably) {
            let carrier = if status >= 200 { Carrier::Success } else { Carrier::Provisional };
            if track.ours.is_some() || !track.theirs.is_empty() {
                faults.push("offers while an offer is open");
            }
            track.ours = Some((msg.cseq(), carrier));
        }
        if method == "INVITE" && (200..300).contains(&status) {
            track.accepted.insert(msg.cseq(), (now, false));
        }
        for fault in faults {
            self.blame(fault, msg);
        }
    }

    /// RFC 3264 §8, INTEROP 1: +1 on every change, unchanged on a refresh.
    fn describe(&mut self, msg: &Msg, tag: String) {
        let Some(sdp) = Sdp::parse(&msg.body) else {
            return self.blame("unreadable SDP", msg);
        };
        let text = Sdp::without_version(&msg.body);
        let known = self.descriptions.entry((msg.call_id().to_owned(), tag)).or_default();
        let mut fault = None;
        if known.by_version.is_empty() {
            known.id = sdp.id;
        } else if known.id != sdp.id {
            fault = Some("another o= id");
        }
        let highest = known.by_version.keys().next_back().copied();
        match (known.by_version.get(&sdp.version), highest) {
            (Some(said), _) if *said != text => fault = Some("a change under an old o= version"),
            (Some(_), _) => {}
            (None, Some(highest)) if sdp.version != highest + 1 => {
                fault = Some("the o= version jumps");
            }
            (None, Some(_)) if known.last == text => fault = Some("a new o= version, no change"),
            (None, _) => {
                known.by_version.insert(sdp.version, text.clone());
            }
        }
        // A provisional response that waits for its PRACK is repeated after what came later.
        if highest.is_none_or(|highest| sdp.version >= highest) {
            known.last = text;
        }
        if let Some(fault) = fault {
            self.blame(fault, msg);
        }
    }

    /// The connection of a call broke: what waits for an answer over it has failed (RFC 3261
    /// §8.1.3.1), an offer too.
    pub(crate) fn lost(&mut self, call_id: &str) {
        let of_call = self.tracks.iter_mut().filter(|(key, _)| key.0 == call_id);
        of_call.for_each(|(_, track)| track.ours = None);
    }

    /// The core has done all that the last input causes.
    pub(crate) fn step_done(&mut self) {
        for ((call_id, ..), cseq) in std::mem::take(&mut self.owed) {
            self.wrong.push(format!("a 2xx (CSeq {cseq}) of {call_id} is not acknowledged"));
        }
    }

    /// Everything is over.
    pub(crate) fn finish(&mut self, strangers_from: usize) {
        for ((branch, method), asked) in &self.asked {
            if method != "INVITE" || asked.who >= strangers_from {
                continue;
            }
            let max = if asked.is_initial { INVITE_MAX } else { CHANGE_MAX };
            let took = asked.answered.map(|at| at - asked.at);
            if took.is_none_or(|took| took > max) {
                let call_id = &asked.call_id;
                self.wrong
                    .push(format!("INVITE {branch} of {call_id}: final answer after {took:?}"));
            }
        }
        for ((call_id, ..), track) in &self.tracks {
            let left = track.accepted.values().any(|(_, acked)| !acked);
            if left && !track.is_over && !track.hung_up {
                self.wrong.push(format!("a 2xx in {call_id} has neither ACK nor BYE"));
            }
        }
    }
}

/// What every message of ours must have, INTEROP 15.
fn fault_of_form(msg: &Msg) -> Option<String> {
    if msg.number("Content-Length") != Some(msg.body.len() as u64) {
        return Some("a wrong Content-Length".to_owned());
    }
    let lacks = |names: &[&str]| {
        let lacking = names.iter().find(|name| msg.get(name).is_none());
        lacking.map(|name| (*name).to_owned())
    };
    let is_answer = msg.status().is_some_and(|status| (200..300).contains(&status));
    let lacking = match (msg.status(), msg.method()) {
        (None, "INVITE" | "UPDATE") => {
            lacks(&["Via", "Max-Forwards", "Contact", "Allow", "Supported", "Session-Expires"])
        }
        (None, _) => lacks(&["Via", "Max-Forwards", "From", "To"]),
        (Some(_), "INVITE") if is_answer => lacks(&["Contact", "Allow", "Supported"]),
        (Some(_), "OPTIONS") if is_answer => lacks(&["Allow", "Supported", "Accept"]),
        (Some(405), _) => lacks(&["Allow"]),
        (Some(_), _) => None,
    };
    if let Some(name) = lacking {
        return Some(format!("no {name}"));
    }
    let branch = msg.branch();
    (msg.status().is_none() && !branch.starts_with("z9hG4bK")).then(|| format!("branch {branch}"))
}

fn key(msg: &Msg, server_tag: &str, peer_tag: &str) -> Key {
    (msg.call_id().to_owned(), server_tag.to_owned(), peer_tag.to_owned())
}
