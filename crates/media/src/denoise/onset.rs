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

    /// Whether a word may begin in this frame, or has just begun.
    pub(super) fn is_near(&self) -> bool {
        self.rest == PAUSE || self.left > 0
    }

    /// Hears how probably somebody speaks in this frame; whether a word begins.
    pub(super) fn hear(&mut self, voice: f32) -> bool {
        if voice < VOICE {
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
            (0..frames).filter(|_| onset.hear(voice)).count()
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
        assert!(onset.is_near() && onset.hear(0.9));
        let begun = (0..50).filter(|_| onset.hear(0.0)).count();
        assert_eq!(begun, usize::from(BEGINNING) - 1);
        assert!(onset.is_near(), "the next word may come");
    }
}
