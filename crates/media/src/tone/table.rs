//! The tones of each country (ITU-T E.180 Supplement 2, and the countries' own rules).

use serde::{Deserialize, Serialize};

use super::Pitch::{Modulated, Silence, Single, Sum};
use super::{Cadence, Pitch, Step};
use crate::command::CallTone;

/// What sounds for how many milliseconds, step by step.
macro_rules! steps {
    ($($pitch:ident $ms:literal),+) => { &[$(Step { pitch: $pitch, ms: $ms }),+] };
}

/// What a tone tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToneKind {
    /// The network is ready for digits.
    Dial,
    /// The called phone rings.
    Ringback,
    /// The called line is in use.
    Busy,
    /// The network has no room: congestion, also called reorder.
    Congestion,
    /// A second call knocks.
    CallWaiting,
    /// Special information tone: the number is not in service, an announcement follows.
    Special,
    /// This call is being recorded: a beep every 15 s.
    Recording,
    /// One short beep.
    Beep,
}

impl ToneKind {
    /// All kinds.
    pub const ALL: [Self; 8] = [
        Self::Dial,
        Self::Ringback,
        Self::Busy,
        Self::Congestion,
        Self::CallWaiting,
        Self::Special,
        Self::Recording,
        Self::Beep,
    ];
}

impl From<CallTone> for ToneKind {
    fn from(tone: CallTone) -> Self {
        match tone {
            CallTone::Ringback => Self::Ringback,
            CallTone::Busy => Self::Busy,
            CallTone::Congestion => Self::Congestion,
        }
    }
}

/// Whose tones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Country {
    /// Austria.
    At,
    /// Australia.
    Au,
    /// Canada.
    Ca,
    /// Switzerland.
    Ch,
    /// Germany: 425 Hz, as most of the world has it.
    #[default]
    De,
    /// Spain.
    Es,
    /// France.
    Fr,
    /// United Kingdom.
    Gb,
    /// Italy.
    It,
    /// Japan.
    Jp,
    /// Netherlands.
    Nl,
    /// United States.
    Us,
}

impl Country {
    /// All we know.
    pub const ALL: [Self; 12] = [
        Self::At,
        Self::Au,
        Self::Ca,
        Self::Ch,
        Self::De,
        Self::Es,
        Self::Fr,
        Self::Gb,
        Self::It,
        Self::Jp,
        Self::Nl,
        Self::Us,
    ];

    /// ISO 3166 code, two capitals.
    pub const fn code(self) -> &'static str {
        match self {
            Self::At => "AT",
            Self::Au => "AU",
            Self::Ca => "CA",
            Self::Ch => "CH",
            Self::De => "DE",
            Self::Es => "ES",
            Self::Fr => "FR",
            Self::Gb => "GB",
            Self::It => "IT",
            Self::Jp => "JP",
            Self::Nl => "NL",
            Self::Us => "US",
        }
    }

    /// By its ISO 3166 code in any case, or `UK`.
    pub fn from_code(code: &str) -> Option<Self> {
        if code.eq_ignore_ascii_case("UK") {
            return Some(Self::Gb);
        }
        Self::ALL.into_iter().find(|country| country.code().eq_ignore_ascii_case(code))
    }
}

/// The tone of a country.
pub const fn cadence(country: Country, kind: ToneKind) -> Cadence {
    match kind {
        ToneKind::Beep => Cadence { steps: steps![BEEP 200], repeats: false },
        // 47 CFR 64.501: 1400 Hz for 0.2 s every 15 s.
        ToneKind::Recording => repeat(steps![RECORDING 200, OFF 14_800]),
        ToneKind::Special if matches!(country, Country::Au) => repeat(steps![A425 2500, OFF 500]),
        // ITU-T E.180 §8.
        ToneKind::Special => repeat(steps![SIT1 330, SIT2 330, SIT3 330, OFF 1000]),
        ToneKind::Dial => repeat(dial(country)),
        ToneKind::Ringback => repeat(ringback(country)),
        ToneKind::Busy => repeat(busy(country)),
        ToneKind::Congestion => repeat(congestion(country)),
        ToneKind::CallWaiting => repeat(call_waiting(country)),
    }
}

const OFF: Pitch = Silence;
const A425: Pitch = Single(425.0);
const A420: Pitch = Single(420.0);
const A440: Pitch = Single(440.0);
const A400: Pitch = Single(400.0);
const BEEP: Pitch = Single(1000.0);
const RECORDING: Pitch = Single(1400.0);
const SIT1: Pitch = Single(950.0);
const SIT2: Pitch = Single(1400.0);
const SIT3: Pitch = Single(1800.0);
const US_DIAL: Pitch = Sum(350.0, 440.0);
const US_RING: Pitch = Sum(440.0, 480.0);
const US_BUSY: Pitch = Sum(480.0, 620.0);
const GB_RING: Pitch = Sum(400.0, 450.0);
const JP_RING: Pitch = Modulated(400.0, 16.0);
const AU_RING: Pitch = Sum(413.0, 438.0);

const fn dial(country: Country) -> &'static [Step] {
    match country {
        Country::At => steps![A420 1000],
        Country::Au => steps![AU_RING 1000],
        Country::Ca | Country::Us | Country::Gb => steps![US_DIAL 1000],
        Country::Ch | Country::De | Country::Es | Country::Nl => steps![A425 1000],
        Country::Fr => steps![A440 1000],
        Country::It => steps![A425 200, OFF 200, A425 600, OFF 1000],
        Country::Jp => steps![A400 1000],
    }
}

const fn ringback(country: Country) -> &'static [Step] {
    match country {
        Country::At => steps![A420 1000, OFF 5000],
        Country::Au => steps![AU_RING 400, OFF 200, AU_RING 400, OFF 2000],
        Country::Ca | Country::Us => steps![US_RING 2000, OFF 4000],
        Country::Ch | Country::De | Country::It | Country::Nl => steps![A425 1000, OFF 4000],
        Country::Es => steps![A425 1500, OFF 3000],
        Country::Fr => steps![A440 1500, OFF 3500],
        Country::Gb => steps![GB_RING 400, OFF 200, GB_RING 400, OFF 2000],
        Country::Jp => steps![JP_RING 1000, OFF 2000],
    }
}

const fn busy(country: Country) -> &'static [Step] {
    match country {
        Country::At => steps![A420 400, OFF 400],
        Country::Au => steps![A425 375, OFF 375],
        Country::Ca | Country::Us => steps![US_BUSY 500, OFF 500],
        Country::Ch | Country::It | Country::Nl => steps![A425 500, OFF 500],
        Country::De => steps![A425 480, OFF 480],
        Country::Es => steps![A425 200, OFF 200],
        Country::Fr => steps![A440 500, OFF 500],
        Country::Gb => steps![A400 375, OFF 375],
        Country::Jp => steps![A400 500, OFF 500],
    }
}

const fn congestion(country: Country) -> &'static [Step] {
    match country {
        Country::At => steps![A420 200, OFF 200],
        Country::Au => steps![A425 375, OFF 375, A420 375, OFF 375],
        Country::Ca | Country::Us => steps![US_BUSY 250, OFF 250],
        Country::Ch | Country::It => steps![A425 200, OFF 200],
        Country::De => steps![A425 240, OFF 240],
        Country::Es => steps![A425 200, OFF 200, A425 200, OFF 200, A425 200, OFF 600],
        Country::Fr => steps![A440 250, OFF 250],
        Country::Gb => steps![A400 400, OFF 350, A400 225, OFF 525],
        Country::Jp => steps![A400 500, OFF 500],
        Country::Nl => steps![A425 250, OFF 250],
    }
}

const fn call_waiting(country: Country) -> &'static [Step] {
    match country {
        Country::At => steps![A420 40, OFF 1960],
        Country::Au => steps![A425 200, OFF 200, A425 200, OFF 4400],
        Country::Ca | Country::Us => steps![A440 300, OFF 9700],
        Country::Ch => steps![A425 200, OFF 200, A425 200, OFF 4000],
        Country::De => steps![A425 200, OFF 200, A425 200, OFF 5000],
        Country::Es => steps![A425 180, OFF 180, A425 180, OFF 3500],
        Country::Fr => steps![A440 300, OFF 10_000],
        Country::Gb => steps![A400 100, OFF 4000],
        Country::It => {
            steps![A425 400, OFF 100, A425 250, OFF 100, A425 150, OFF 14_000]
        }
        Country::Jp => steps![JP_RING 500, OFF 8000],
        Country::Nl => steps![A425 500, OFF 9500],
    }
}

const fn repeat(steps: &'static [Step]) -> Cadence {
    Cadence { steps, repeats: true }
}
