//! Who hears whom, read from the ears of a call that goes on: one frequency per seat, and DESIGN's
//! table as the words that a test compares.

use std::collections::{BTreeMap, BTreeSet};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::tone;

/// What one party hears.
pub trait Ear: std::fmt::Debug {
    /// The samples (-1 to 1) that came since the last time, and their rate in Hz.
    fn fresh(&mut self) -> (Vec<f64>, f64);
}

/// How long is listened at a time, and how much of it must be as expected.
const WINDOW: Duration = Duration::from_millis(450);
const STEADY: usize = 3;
/// Seconds that are judged at once.
const PART: f64 = 0.1;
const PATIENCE: Duration = Duration::from_secs(20);

type Names = BTreeSet<&'static str>;

/// A call's parties, and the sounds that none of them makes.
#[derive(Debug, Default)]
pub struct Table {
    seats: Vec<Place>,
    tones: BTreeMap<&'static str, f64>,
}

#[derive(Debug)]
struct Place {
    name: &'static str,
    ear: Box<dyn Ear>,
    /// Whom it may still hear from before the last change.
    before: Names,
}

impl Table {
    /// Nobody sits there.
    pub fn new() -> Self {
        Self::default()
    }

    /// A party that speaks a tone of `hz`, and what it hears.
    pub fn seat(&mut self, name: &'static str, hz: u32, ear: Box<dyn Ear>) {
        self.tones.insert(name, f64::from(hz));
        self.seats.push(Place { name, ear, before: Names::new() });
    }

    /// A sound of the server's, such as its music.
    pub fn sound(&mut self, name: &'static str, hz: u32) {
        self.tones.insert(name, f64::from(hz));
    }

    /// Waits until everybody hears exactly what a row says, such as `("primary", "customer +
    /// supervisor")`; who is not named hears nobody. On the way there nobody may hear a voice that
    /// neither the last row nor this one allows.
    #[track_caller]
    pub fn expect(&mut self, state: &str, row: &[(&str, &str)]) {
        let is_seat = |name: &str| self.seats.iter().any(|seat| seat.name == name);
        assert!(row.iter().all(|(name, _)| is_seat(name)), "{row:?}");
        let wanted: Vec<_> = self.seats.iter().map(|seat| self.wanted(seat.name, row)).collect();
        let end = Instant::now() + PATIENCE;
        loop {
            sleep(WINDOW);
            let heard = self.listen(state, &wanted);
            if heard.iter().zip(&wanted).all(|(parts, wanted)| is_steady(parts, wanted)) {
                break;
            }
            let heard: Vec<_> = self.seats.iter().map(|seat| seat.name).zip(&heard).collect();
            assert!(Instant::now() < end, "{state}: expected {row:?}, heard {heard:?}");
        }
        for (seat, wanted) in self.seats.iter_mut().zip(wanted) {
            seat.before = wanted;
        }
    }

    /// Waits until somebody has heard a sound that comes and goes, such as a ringing tone, and nobody
    /// any voice but those of the last row.
    #[track_caller]
    pub fn expect_sound(&mut self, state: &str, seat: &str, sound: &'static str) {
        let nobody = vec![Names::new(); self.seats.len()];
        let at = self.seats.iter().position(|one| one.name == seat).expect("a seat");
        let end = Instant::now() + PATIENCE;
        let mut parts = 0;
        while parts < STEADY {
            assert!(Instant::now() < end, "{state}: {seat} does not hear {sound}");
            sleep(WINDOW);
            let heard = self.listen(state, &nobody);
            parts += heard[at].iter().filter(|part| part.contains(sound)).count();
        }
        self.seats.iter_mut().for_each(|seat| seat.before.clear());
    }

    /// What everybody hears now, part by part.
    fn listen(&mut self, state: &str, wanted: &[Names]) -> Vec<Vec<Names>> {
        let voices: Names = self.seats.iter().map(|seat| seat.name).collect();
        let seats = self.seats.iter_mut().zip(wanted);
        let listened = seats.map(|(seat, wanted)| {
            let parts = seat.parts(&self.tones);
            let may_hear = |one: &&str| wanted.contains(*one) || seat.before.contains(*one);
            let is_stray = |one: &&str| voices.contains(*one) && !may_hear(one);
            let stray = parts.iter().flat_map(|part| &part.clear).find(|one| is_stray(one));
            let (name, before) = (seat.name, &seat.before);
            assert!(
                stray.is_none(),
                "{state}: {name} hears {stray:?} in {parts:?}, before {before:?}"
            );
            parts.into_iter().map(|part| part.heard).collect()
        });
        listened.collect()
    }

    fn wanted(&self, seat: &str, row: &[(&str, &str)]) -> Names {
        let said = row.iter().find(|(name, _)| *name == seat).map_or("-", |(_, hears)| *hears);
        let names = said.split(" + ").filter(|name| *name != "-");
        let known = |name: &str| self.tones.keys().find(|known| **known == name).copied();
        names.map(|name| known(name).unwrap_or_else(|| panic!("nobody is {name}"))).collect()
    }
}

/// Whether the last of what was heard is just what was wanted.
fn is_steady(parts: &[Names], wanted: &Names) -> bool {
    let last = &parts[parts.len().saturating_sub(STEADY)..];
    let is_enough = wanted.is_empty() || last.len() == STEADY;
    is_enough && last.iter().all(|part| part == wanted)
}

impl Place {
    /// What is heard in each part of what came since the last time.
    fn parts(&mut self, tones: &BTreeMap<&'static str, f64>) -> Vec<Part> {
        let (samples, rate) = self.ear.fresh();
        let len = (rate * PART) as usize;
        samples.chunks_exact(len).map(|part| Part::of(part, rate, tones)).collect()
    }
}

/// A tenth of a second.
#[derive(Debug)]
struct Part {
    /// All that can be heard.
    heard: Names,
    /// What is no trace of something louder.
    clear: Names,
}

impl Part {
    fn of(samples: &[f64], rate: f64, tones: &BTreeMap<&'static str, f64>) -> Self {
        let amplitude = |hz| tone::clear_amplitude(samples, rate, hz);
        let tones: Vec<_> = tones.iter().map(|(name, hz)| (*name, amplitude(*hz))).collect();
        let from = |least: f64| {
            let audible = tones.iter().filter(|(_, one)| *one >= least);
            audible.map(|(name, _)| *name).collect()
        };
        Self { heard: from(tone::AUDIBLE), clear: from(tone::clear_from(samples)) }
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    #[derive(Debug)]
    struct Says(Vec<(f64, f64)>);

    impl Ear for Says {
        fn fresh(&mut self) -> (Vec<f64>, f64) {
            let tone = |n: u32, hz: f64| (TAU * hz * f64::from(n) / 8000.0).sin();
            let sum = |n| self.0.iter().map(|(hz, loudness)| loudness * tone(n, *hz)).sum();
            ((0..3600).map(sum).collect(), 8000.0)
        }
    }

    fn table(heard: &[(f64, f64)]) -> Table {
        let mut table = Table::new();
        table.seat("one", 530, Box::new(Says(heard.to_vec())));
        table.seat("two", 610, Box::new(Says(Vec::new())));
        table.sound("music", 340);
        table
    }

    #[test]
    fn a_row_is_what_everybody_hears() {
        table(&[(610.0, 0.1), (340.0, 0.3)]).expect("mixed", &[("one", "two + music")]);
        table(&[]).expect("silent", &[]);
    }

    #[test]
    #[should_panic(expected = "one hears Some(\"one\")")]
    fn a_voice_that_no_row_allows_is_not_missed() {
        table(&[(610.0, 0.5), (530.0, 0.1)]).expect("talking", &[("one", "two")]);
    }
}
