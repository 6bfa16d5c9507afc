//! A cross-fade between two signals that carry the same speech.

/// How much of the first signal is heard: moves towards a target at constant speed and is shaped
/// so that neither its value nor its slope jumps, whenever the target changes.
#[derive(Debug, Clone)]
pub(super) struct Fade {
    /// 0 to 1.
    position: f32,
    /// Change of the position per sample.
    step: f32,
}

impl Fade {
    /// A fade from one end to the other takes `samples`, not 0.
    pub(super) fn new(position: f32, samples: usize) -> Self {
        assert!(samples > 0, "a fade takes time");
        Self { position, step: 1.0 / samples as f32 }
    }

    /// Whether it rests at 0.
    pub(super) fn is_off(&self) -> bool {
        self.position <= 0.0
    }

    /// Whether it rests at 1.
    pub(super) fn is_full(&self) -> bool {
        self.position >= 1.0
    }

    /// Moves one sample towards 1 or 0; returns the share of the first signal.
    pub(super) fn next(&mut self, up: bool) -> f32 {
        let step = if up { self.step } else { -self.step };
        self.position = (self.position + step).clamp(0.0, 1.0);
        self.position * self.position * (3.0 - 2.0 * self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fade_takes_its_time_and_stays() {
        let mut fade = Fade::new(0.0, 160);
        let up: Vec<f32> = (0..200).map(|_| fade.next(true)).collect();
        assert!(up.windows(2).all(|pair| pair[1] >= pair[0] && pair[1] - pair[0] < 0.01));
        assert!(up[150] < 1.0 && (up[165] - 1.0).abs() < 1e-3);
        (0..165).for_each(|_| {
            fade.next(false);
        });
        assert!(fade.is_off());
    }
}
