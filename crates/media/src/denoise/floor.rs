//! How much of the original always stays.

use super::DenoiseSettings;

/// Root mean square to which sound is lowered at most: [`super::settings::QUIET_DBOV`]. What is
/// quieter already stays, so that a quiet room does not pump.
const QUIET: f32 = 10.4;
/// How much of the way up is left after a frame: 0.2 s. Down it goes within one.
const KEPT: f32 = 0.95;

/// The floor of one stream, as a share of the amplitude.
#[derive(Clone, Copy, Debug)]
pub(super) struct Floor {
    least: f32,
    now: f32,
}

impl Floor {
    pub(super) fn new(settings: DenoiseSettings) -> Self {
        let least = settings.floor();
        Self { least, now: least }
    }

    /// Goes to other settings as it follows what is said: within a frame, or slowly up.
    pub(super) fn set(&mut self, settings: DenoiseSettings) {
        self.least = settings.floor();
    }

    /// Moves to where this frame needs it; returns where it was and how far it moves with each
    /// sample.
    pub(super) fn follow(&mut self, frame: &[i16]) -> (f32, f32) {
        let before = self.now;
        let power: f32 = frame.iter().map(|x| f32::from(*x).powi(2)).sum();
        let level = (power / frame.len() as f32).sqrt();
        let wanted = (QUIET / level.max(1.0)).clamp(self.least, 1.0);
        let risen = KEPT * before + (1.0 - KEPT) * wanted;
        self.now = risen.min(wanted);
        (before, (self.now - before) / frame.len() as f32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(peak: i16) -> f32 {
        let mut floor = Floor::new(DenoiseSettings { attenuation_limit_db: 20 });
        (0..200).for_each(|_| {
            floor.follow(&[peak, -peak]);
        });
        floor.now
    }

    #[test]
    fn a_quiet_room_stays_as_it_is_and_a_loud_one_goes_down_to_the_limit() {
        assert!(after(5) > 0.99);
        assert!((after(20) - 0.52).abs() < 0.01);
        assert!((after(1000) - 0.1).abs() < 0.001);
    }

    #[test]
    fn it_is_down_within_a_frame_and_up_in_many() {
        let mut floor = Floor::new(DenoiseSettings::default());
        for _ in 0..100 {
            let (_, step) = floor.follow(&[0; 80]);
            assert!((0.0..0.05 / 80.0).contains(&step));
        }
        floor.follow(&[5000; 80]);
        assert!((floor.now - floor.least).abs() < 1e-6);
    }
}
