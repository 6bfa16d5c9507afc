//! What a peer is told to do: closed lists, so that a seed can draw from them.

use std::time::Duration;

use base::Rng;

/// How the placed call speaks of RFC 3262.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reliable {
    /// Not at all.
    No,
    /// `Supported: 100rel`.
    Supported,
    /// `Require: 100rel`.
    Required,
}

/// Who refreshes a session (RFC 4028).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refresher {
    /// Who sent the request.
    Uac,
    /// Who answers it.
    Uas,
}

impl Refresher {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Uac => "uac",
            Self::Uas => "uas",
        }
    }
}

/// What a peer can speak, and by which numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codecs {
    /// PCMU, PCMA, events at 101.
    Both,
    /// PCMA, events at 96.
    ALaw,
    /// PCMU alone.
    MuLaw,
    /// G722, PCMU, PCMA, events at 101.
    Wide,
    /// PCMU with comfort noise, events at 101.
    Noisy,
    /// Something that nobody here has.
    Foreign,
}

impl Codecs {
    pub(crate) fn list(self) -> Vec<(u8, String)> {
        let list: &[(u8, &str)] = match self {
            Self::Both => &[(0, "PCMU"), (8, "PCMA"), (101, "telephone-event")],
            Self::ALaw => &[(8, "PCMA"), (96, "telephone-event")],
            Self::MuLaw => &[(0, "PCMU")],
            Self::Wide => &[(9, "G722"), (0, "PCMU"), (8, "PCMA"), (101, "telephone-event")],
            Self::Noisy => &[(0, "PCMU"), (13, "CN"), (101, "telephone-event")],
            Self::Foreign => &[(97, "SPEEX")],
        };
        list.iter().map(|&(number, name)| (number, name.to_owned())).collect()
    }
}

/// The ways in which phones hold (INTEROP 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// `a=sendonly`.
    SendOnly,
    /// `a=inactive`.
    Inactive,
    /// `c=IN IP4 0.0.0.0`.
    Zero,
}

/// What a peer does once its call is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Holds by a re-INVITE.
    Hold(Hold),
    /// Takes back from hold.
    Resume,
    /// Offers these codecs.
    Codecs(Codecs),
    /// Sends a re-INVITE without SDP.
    Offerless,
    /// Sends a re-INVITE with the SDP in force.
    Refresh,
    /// Sends an UPDATE with the SDP in force.
    Update,
    /// Asks by OPTIONS inside the dialog.
    Options,
    /// Presses a key, told by SIP INFO.
    Key,
    /// Says something that nobody understands (MESSAGE): 405 is expected.
    Unknown,
    /// Hangs up.
    Bye,
    /// Stops answering anything, for ever.
    Die,
}

/// How a call is placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placing {
    /// The number.
    pub to: String,
    /// Whether the INVITE carries an offer.
    pub offer: bool,
    /// What it offers.
    pub codecs: Codecs,
    /// RFC 3262.
    pub reliable: Reliable,
    /// Session-Expires and who shall refresh; `None` = knows no session timers.
    pub session: Option<(u64, Option<Refresher>)>,
    /// CANCEL after that long, or as soon as RFC 3261 §9.1 allows it.
    pub cancel_after: Option<Duration>,
    /// The first ACK comes that late; beyond 40 s: never.
    pub slow_ack: Option<Duration>,
    /// An UPDATE with a new offer as soon as early media is agreed.
    pub early_update: bool,
    /// Takes no other codecs later on.
    pub stubborn: bool,
    /// After the answer.
    pub acts: Vec<(Duration, Act)>,
}

impl Placing {
    /// A plain call, with an offer, that nobody ends.
    pub fn to(number: &str) -> Self {
        Self {
            to: number.to_owned(),
            offer: true,
            codecs: Codecs::Both,
            reliable: Reliable::No,
            session: None,
            cancel_after: None,
            slow_ack: None,
            early_update: false,
            stubborn: false,
            acts: Vec::new(),
        }
    }

    /// Adds what happens after the answer.
    pub fn then(mut self, after_ms: u64, act: Act) -> Self {
        self.acts.push((Duration::from_millis(after_ms), act));
        self
    }

    /// Any call.
    pub(crate) fn random(rng: &mut Rng, to: String) -> Self {
        let session = rng.chance(50).then(|| {
            let refresher = [None, Some(Refresher::Uac), Some(Refresher::Uas)];
            (*pick(rng, &[60, 90, 120, 1800]), *pick(rng, &refresher))
        });
        Self {
            to,
            offer: !rng.chance(20),
            codecs: *pick(rng, &CALLER_CODECS),
            reliable: *pick(rng, &[Reliable::No, Reliable::Supported, Reliable::Required]),
            session,
            cancel_after: rng.chance(15).then(|| millis(rng, 9000)),
            slow_ack: rng.chance(6).then(|| millis(rng, 45_000)),
            early_update: rng.chance(10),
            stubborn: rng.chance(5),
            acts: acts(rng),
        }
    }
}

const CALLER_CODECS: [Codecs; 7] = [
    Codecs::Both,
    Codecs::Both,
    Codecs::Both,
    Codecs::ALaw,
    Codecs::MuLaw,
    Codecs::Wide,
    Codecs::Foreign,
];

/// One step on the way to an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// 180 of this fork.
    Ring(u8),
    /// 183 with SDP of this fork.
    Early {
        /// Which fork.
        fork: u8,
        /// Whether it is sent reliably, when the INVITE allows that.
        reliable: bool,
    },
    /// 200 of this fork.
    Answer(u8),
    /// A refusal.
    Refuse(u16),
    /// 302 to this URI.
    Redirect(String),
    /// 401 unless the INVITE proves itself already.
    Challenge,
    /// 422 with this Min-SE, unless the INVITE grants it already.
    TooSmall(u64),
}

/// How a call is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answering {
    /// After the INVITE.
    pub steps: Vec<(Duration, Step)>,
    /// What is understood.
    pub codecs: Codecs,
    /// What Session-Expires the 2xx carries, if the INVITE knows session timers.
    pub session: Option<(u64, Refresher)>,
    /// A CANCEL comes too late for it: the steps go on.
    pub ignores_cancel: bool,
    /// Whether it says in Allow that it takes UPDATE.
    pub takes_update: bool,
    /// Takes no other codecs later on.
    pub stubborn: bool,
    /// After the answer.
    pub acts: Vec<(Duration, Act)>,
}

impl Answering {
    /// Rings at once and answers after that long.
    pub fn after(ms: u64) -> Self {
        Self::by(&[(0, Step::Ring(0)), (ms, Step::Answer(0))])
    }

    /// Rings and never answers.
    pub fn never() -> Self {
        Self::by(&[(0, Step::Ring(0))])
    }

    /// Says nothing at all.
    pub fn silent() -> Self {
        Self::by(&[])
    }

    /// Refuses.
    pub fn refuse(ms: u64, status: u16) -> Self {
        Self::by(&[(ms, Step::Refuse(status))])
    }

    /// These steps, by milliseconds after the INVITE.
    pub fn by(steps: &[(u64, Step)]) -> Self {
        let steps = steps.iter().map(|(ms, step)| (Duration::from_millis(*ms), step.clone()));
        Self {
            steps: steps.collect(),
            codecs: Codecs::Both,
            session: None,
            ignores_cancel: false,
            takes_update: true,
            stubborn: false,
            acts: Vec::new(),
        }
    }

    /// Adds what happens after the answer.
    pub fn then(mut self, after_ms: u64, act: Act) -> Self {
        self.acts.push((Duration::from_millis(after_ms), act));
        self
    }

    /// Any behaviour of a phone or, with more of forks and redirections, of a gateway.
    pub(crate) fn random(rng: &mut Rng, gateway: bool) -> Self {
        let steps = match rng.below(if gateway { 16 } else { 11 }) {
            0..=4 => ringing(rng, 0),
            5 => vec![(millis(rng, 500), Step::Ring(0))],
            6 => Vec::new(),
            7 => vec![(millis(rng, 2000), Step::Refuse(*pick(rng, &[486, 603, 480, 404, 500])))],
            8 => vec![(millis(rng, 2000), Step::Redirect("sip:0777@127.0.0.2:5060".into()))],
            9 => vec![(Duration::ZERO, Step::TooSmall(2400)), (millis(rng, 900), Step::Answer(0))],
            10 => vec![(millis(rng, 3000), Step::Answer(0))],
            11 => vec![(millis(rng, 500), Step::Refuse(503))],
            12 => {
                std::iter::once((Duration::ZERO, Step::Challenge)).chain(ringing(rng, 0)).collect()
            }
            13 => {
                let mut steps = ringing(rng, 0);
                steps.extend(ringing(rng, 1));
                steps
            }
            14 => vec![
                (Duration::ZERO, Step::Ring(0)),
                (millis(rng, 500), Step::Early { fork: 1, reliable: rng.chance(50) }),
                (
                    millis(rng, 3000) + Duration::from_secs(1),
                    Step::Answer(u8::from(rng.chance(50))),
                ),
            ],
            _ => vec![(millis(rng, 3000), Step::Refuse(*pick(rng, &[408, 404, 486, 500, 504])))],
        };
        let session = rng
            .chance(50)
            .then(|| (*pick(rng, &[90, 120, 600]), *pick(rng, &[Refresher::Uac, Refresher::Uas])));
        Self {
            steps,
            codecs: *pick(rng, &[Codecs::Both, Codecs::Both, Codecs::Wide, Codecs::ALaw]),
            session,
            ignores_cancel: rng.chance(20),
            takes_update: rng.chance(60),
            stubborn: rng.chance(5),
            acts: acts(rng),
        }
    }
}

fn ringing(rng: &mut Rng, fork: u8) -> Vec<(Duration, Step)> {
    let mut steps = Vec::new();
    let mut at = millis(rng, 400);
    if rng.chance(70) {
        steps.push((at, Step::Ring(fork)));
    }
    at += millis(rng, 1500);
    if rng.chance(40) {
        steps.push((at, Step::Early { fork, reliable: rng.chance(60) }));
    }
    at += millis(rng, 8000);
    steps.push((at, Step::Answer(fork)));
    steps
}

fn acts(rng: &mut Rng) -> Vec<(Duration, Act)> {
    let mut acts = Vec::new();
    let mut at = Duration::ZERO;
    for _ in 0..rng.below(5) {
        // Often at the very second at which the other side acts too.
        at += if rng.chance(40) { Duration::from_secs(5) } else { millis(rng, 20_000) };
        let act = match rng.below(13) {
            0 | 1 => Act::Hold(*pick(rng, &[Hold::SendOnly, Hold::Inactive, Hold::Zero])),
            2 | 3 => Act::Resume,
            4 => Act::Codecs(*pick(rng, &[Codecs::ALaw, Codecs::MuLaw, Codecs::Both])),
            5 | 6 => Act::Offerless,
            7 => Act::Refresh,
            8 | 9 => Act::Update,
            10 => Act::Options,
            11 => Act::Key,
            _ => Act::Unknown,
        };
        acts.push((at, act));
    }
    at += millis(rng, 30_000);
    if rng.chance(8) {
        acts.push((at, Act::Die));
    } else if rng.chance(75) {
        acts.push((at, Act::Bye));
    } else if rng.chance(50) {
        acts.push((at + Duration::from_secs(150), Act::Bye)); // past a short session
    }
    acts
}

fn millis(rng: &mut Rng, max: u64) -> Duration {
    Duration::from_millis(rng.below(max + 1))
}

pub(crate) fn pick<'a, T>(rng: &mut Rng, list: &'a [T]) -> &'a T {
    let at = usize::try_from(rng.below(list.len() as u64)).unwrap_or(0);
    &list[at]
}
