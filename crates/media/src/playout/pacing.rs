use super::stretch::Care;

/// Ticks over which a surplus must last before it is taken out.
const WINDOW: u32 = 12;
/// Surplus that is not taken out, so that it need not be put in again: milliseconds, and a share
/// of the jitter.
const RESERVE_MS: i64 = 3;
const RESERVE_OF_JITTER: i64 = 8;
/// Ticks between two splices in speech: 80 ms are gone after a second, and nobody hears it.
const REST: u32 = 3;
/// Speech must resemble itself this much at a splice; after each second of waiting by less.
const RESEMBLANCE: f32 = 0.8;
const PATIENCE: u32 = 50;
/// A splice this much below the loudness of speech is not heard.
const QUIET: f32 = 0.06;
/// Loudness of speech is forgotten by half in about ten seconds.
const FORGET: f32 = 0.9985;
/// Amplitude below which everything is quiet: −60 dBov.
const SILENCE: f32 = 32.0;

/// What a tick does to the delay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Pace {
    /// Nothing.
    Keep,
    /// Takes up to this many samples out.
    Shorten(usize, Care),
    /// Puts up to this many samples in.
    Lengthen(usize, Care),
}

/// Decides, tick by tick, whether a source is played earlier or later.
///
/// The *surplus* is what is sure to be here beyond the need of a tick, when packets come as late as
/// they do. It is measured in samples at every tick that plays the stream as it comes.
#[derive(Clone, Debug)]
pub(super) struct Pacing {
    rate: i64,
    /// Least surplus of this window and of the last one.
    least: [Option<i64>; 2],
    ticks: u32,
    /// Ticks since the last splice, and since one is wanted.
    rested: u32,
    waited: u32,
    loudness: f32,
}

impl Pacing {
    pub(super) fn new(rate: u32) -> Self {
        Self {
            rate: rate.into(),
            least: [None; 2],
            ticks: 0,
            rested: REST,
            waited: 0,
            loudness: 0.0,
        }
    }

    /// Surplus kept for the jitter that comes.
    pub(super) fn reserve(&self, jitter: i64) -> i64 {
        RESERVE_MS * self.rate / 1000 + jitter / RESERVE_OF_JITTER
    }

    /// Takes note of a tick: its surplus, and the surplus less the reserve.
    pub(super) fn tick(&mut self, surplus: i64, spare: i64) -> Pace {
        self.rested += 1;
        self.ticks += 1;
        let least = &mut self.least[0];
        *least = Some(least.map_or(spare, |before| before.min(spare)));
        if self.ticks >= WINDOW {
            self.ticks = 0;
            self.least = [None, self.least[0]];
        }
        let shortest = super::stretch::piece_min(self.rate as usize) as i64;
        let removable = self.removable();
        if surplus < 0 {
            self.waited += 1;
            Pace::Lengthen((-surplus).max(shortest) as usize, self.care())
        } else if removable >= shortest {
            self.waited += 1;
            Pace::Shorten(removable as usize, self.care())
        } else {
            self.waited = 0;
            Pace::Keep
        }
    }

    /// Surplus that lasted for a whole window.
    pub(super) fn removable(&self) -> i64 {
        match self.least {
            [Some(now), Some(before)] => now.min(before),
            [None, Some(before)] => before,
            [_, None] => 0,
        }
    }

    /// The delay grew by `samples`, or shrank.
    pub(super) fn spliced(&mut self, samples: i64) {
        self.rested = 0;
        self.waited = 0;
        for least in self.least.iter_mut().flatten() {
            *least += samples;
        }
    }

    /// The delay is another one now: what was measured does not count.
    pub(super) fn restart(&mut self) {
        self.least = [None; 2];
        self.ticks = 0;
    }

    /// Takes note of how loud a tick was.
    pub(super) fn hear(&mut self, loudness: f32) {
        self.loudness = (self.loudness * FORGET).max(loudness);
    }

    fn care(&self) -> Care {
        let quiet = (self.loudness * QUIET).max(SILENCE);
        if self.rested < REST {
            // Between splices, only where nobody hears them.
            return Care { resemblance: 2.0, quiet };
        }
        let seconds = self.waited / PATIENCE;
        Care { resemblance: RESEMBLANCE - 0.3 * seconds as f32, quiet }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_surplus_is_taken_out_when_it_has_lasted() {
        let mut pacing = Pacing::new(8000);
        let mut taken_at = None;
        for tick in 0..50 {
            if let Pace::Shorten(most, _) = pacing.tick(200, 160) {
                assert_eq!(most, 160);
                taken_at.get_or_insert(tick);
                break;
            }
        }
        let taken_at = taken_at.unwrap();
        assert!((WINDOW - 1..=2 * WINDOW).contains(&taken_at), "{taken_at}");
        pacing.spliced(-160);
        assert_eq!(pacing.tick(40, 0), Pace::Keep);
    }

    #[test]
    fn one_tick_without_surplus_keeps_it() {
        let mut pacing = Pacing::new(8000);
        for tick in 0..100 {
            let spare = if tick % 11 == 0 { 0 } else { 160 };
            assert_eq!(pacing.tick(160, spare), Pace::Keep, "{tick}");
        }
    }

    #[test]
    fn a_lack_is_filled_at_once() {
        let mut pacing = Pacing::new(8000);
        assert!(matches!(pacing.tick(-100, -130), Pace::Lengthen(100, _)));
        assert!(matches!(pacing.tick(-1, -31), Pace::Lengthen(20, _)), "a piece at least");
    }

    #[test]
    fn care_gives_way_to_patience() {
        let mut pacing = Pacing::new(8000);
        let mut resemblance = Vec::new();
        for _ in 0..4 * PATIENCE {
            let Pace::Lengthen(_, care) = pacing.tick(-100, -130) else { panic!("no lack") };
            resemblance.push(care.resemblance);
        }
        assert_eq!(resemblance[10], RESEMBLANCE);
        assert!(resemblance[4 * PATIENCE as usize - 1] < 0.0);
        assert!(resemblance.is_sorted_by(|a, b| a >= b));
    }

    #[test]
    fn splices_rest_unless_it_is_quiet() {
        let mut pacing = Pacing::new(8000);
        pacing.hear(8000.0);
        pacing.spliced(0);
        let Pace::Lengthen(_, care) = pacing.tick(-100, -130) else { panic!("no lack") };
        assert!(care.resemblance > 1.0 && care.quiet > 400.0, "{care:?}");
    }
}
