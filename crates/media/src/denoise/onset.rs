//! The beginning of a word after a pause. The network needs two or three frames to believe it, and
//! lets too little through meanwhile: for as long as a word begins, less is taken out.

/// Probability of a voice from which somebody speaks, and below which nobody does.
const VOICE: f32 = 0.3;
/// Frames without a voice that are a pause.
const PAUSE: u8 = 10;
/// Frames that a word begins.
const BEGINNING: u8 = 10;

/// Where in a word one stream is.
#[derive(Clone, Debug)]
pub(super) struct Onset {
    /// Frames without a voice, up to [`PAUSE`].
    rest: u8,
    /// Frames of the beginning that are left.
    left: u8,
}

impl Onset {
    pub(super) const fn new() -> Self {
        Self { rest: PAUSE, left: 0 }
    }

    /// Hears how probably somebody speaks in this frame, and whether it is louder than noise alone;
    /// whether a word begins.
    pub(super) fn hear(&mut self, voice: f32, is_loud: bool) -> bool {
        if voice < VOICE || !is_loud {
            self.rest = (self.rest + 1).min(PAUSE);
        } else {
            if self.rest == PAUSE {
                self.left = BEGINNING;
            }
            self.rest = 0;
        }
        let begins = self.left > 0;
        self.left = self.left.saturating_sub(1);
        begins
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_begins_after_a_pause_and_not_within_a_sentence() {
        let mut onset = Onset::new();
        let mut hear = |voice: f32, frames: usize| -> usize {
            (0..frames).filter(|_| onset.hear(voice, true)).count()
        };
        assert_eq!(hear(0.1, 50), 0);
        assert_eq!(hear(0.9, 50), usize::from(BEGINNING));
        // A stop consonant.
        assert_eq!(hear(0.1, usize::from(PAUSE) - 1), 0);
        assert_eq!(hear(0.9, 50), 0);
        assert_eq!(hear(0.1, usize::from(PAUSE)), 0);
        assert_eq!(hear(0.9, 50), usize::from(BEGINNING));
    }

    #[test]
    fn a_click_is_over_as_soon_as_a_beginning_is() {
        let mut onset = Onset::new();
        assert!(onset.hear(0.9, true));
        let begun = (0..50).filter(|_| onset.hear(0.0, true)).count();
        assert_eq!(begun, usize::from(BEGINNING) - 1);
        assert!(onset.hear(0.9, true), "the next word");
    }

    #[test]
    fn what_the_network_takes_for_a_word_in_noise_alone_is_none() {
        let mut onset = Onset::new();
        assert!((0..50).all(|_| !onset.hear(0.9, false)));
        assert!(onset.hear(0.9, true), "a word among it");
    }
}
