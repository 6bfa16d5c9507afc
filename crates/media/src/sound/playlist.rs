//! What one listener is played: a sound that loops, and announcements that interrupt it, each once.
//!
//! ```text
//!           announce            its last frame, told
//! looping ───────────▶ announcing ──────────────────▶ next announcement, or looping where it was
//! ```

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Sound, SoundId};

/// Announcements that wait, at most; one more is refused.
pub const ANNOUNCEMENTS_MAX: usize = 8;

/// What one listener is played.
pub struct Playlist {
    looping: Option<Playing>,
    announcements: VecDeque<Playing>,
}

struct Playing {
    id: SoundId,
    sound: Arc<Sound>,
    at: usize,
}

/// 20 ms of a sound: its payload is [`Sound::frame`], its samples are [`Sound::pcm`].
pub struct Frame<'a> {
    /// Which sound.
    pub id: SoundId,
    /// The sound.
    pub sound: &'a Arc<Sound>,
    /// Which of its frames.
    pub index: usize,
    /// Whether an announcement ends with it.
    pub is_last: bool,
}

impl Default for Playlist {
    fn default() -> Self {
        Self { looping: None, announcements: VecDeque::with_capacity(ANNOUNCEMENTS_MAX) }
    }
}

impl Playlist {
    /// What loops from now on, from its start; `None` = silence. The sound that loops already goes
    /// on. Announcements are not touched.
    pub fn set_loop(&mut self, sound: Option<(SoundId, Arc<Sound>)>) {
        let playing = self.looping.as_ref().map(|playing| playing.id);
        if playing != sound.as_ref().map(|(id, _)| *id) {
            self.looping = sound.map(|(id, sound)| Playing { id, sound, at: 0 });
        }
    }

    /// Plays a sound once, after the announcements that wait; false when [`ANNOUNCEMENTS_MAX`] do.
    pub fn announce(&mut self, id: SoundId, sound: Arc<Sound>) -> bool {
        self.drop_what_is_over();
        let has_room = self.announcements.len() < ANNOUNCEMENTS_MAX;
        if has_room {
            self.announcements.push_back(Playing { id, sound, at: 0 });
        }
        has_room
    }

    /// Leaves out the announcements that are left; what was begun is told with them, what is over
    /// is not.
    pub fn hush(&mut self) -> impl Iterator<Item = SoundId> {
        self.drop_what_is_over();
        self.announcements.drain(..).map(|playing| playing.id)
    }

    /// Whether an announcement is played, or is about to be.
    pub fn is_announcing(&self) -> bool {
        self.announcements.iter().any(|playing| !playing.is_over())
    }

    /// The next 20 ms; `None` when there is nothing to play.
    pub fn next_frame(&mut self) -> Option<Frame<'_>> {
        self.drop_what_is_over();
        let announces = !self.announcements.is_empty();
        let playing = self.announcements.front_mut().or(self.looping.as_mut())?;
        let index = playing.at % playing.sound.frames();
        playing.at = index + 1;
        let is_last = announces && playing.is_over();
        Some(Frame { id: playing.id, sound: &playing.sound, index, is_last })
    }

    /// The last frame of an announcement lends its sound to who plays it.
    fn drop_what_is_over(&mut self) {
        if self.announcements.front().is_some_and(Playing::is_over) {
            self.announcements.pop_front();
        }
    }
}

impl Playing {
    fn is_over(&self) -> bool {
        self.at >= self.sound.frames()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound(frames: usize) -> Arc<Sound> {
        Arc::new(Sound::from_pcm(&vec![100; 160 * frames], 8000))
    }

    /// Which sound and frame, and whether it was the last.
    fn play(list: &mut Playlist, frames: usize) -> Vec<(SoundId, usize, bool)> {
        let next = |list: &mut Playlist| {
            list.next_frame().map(|frame| (frame.id, frame.index, frame.is_last))
        };
        (0..frames).map_while(|_| next(list)).collect()
    }

    const A: SoundId = SoundId::Recording(0);
    const B: SoundId = SoundId::Recording(1);

    #[test]
    fn music_loops_and_goes_on_after_an_announcement_where_it_was() {
        let mut list = Playlist::default();
        assert!(list.next_frame().is_none());
        list.set_loop(Some((SoundId::Music, sound(3))));
        let music = |index| (SoundId::Music, index, false);
        assert_eq!(play(&mut list, 4), [music(0), music(1), music(2), music(0)]);
        assert!(list.announce(A, sound(2)));
        assert!(list.announce(B, sound(1)));
        assert!(list.is_announcing());
        let heard = play(&mut list, 5);
        assert_eq!(heard, [(A, 0, false), (A, 1, true), (B, 0, true), music(1), music(2)]);
        assert!(!list.is_announcing());
        // Telling the same again changes nothing; another starts at its start.
        list.set_loop(Some((SoundId::Music, sound(3))));
        assert_eq!(play(&mut list, 1), [music(0)]);
        list.set_loop(Some((SoundId::Chime, sound(3))));
        assert_eq!(play(&mut list, 1), [(SoundId::Chime, 0, false)]);
        list.set_loop(None);
        assert!(list.next_frame().is_none());
    }

    #[test]
    fn announcements_that_wait_are_bounded_and_can_be_left_out() {
        let mut list = Playlist::default();
        let short = sound(1);
        let taken = (0..100).filter(|_| list.announce(A, Arc::clone(&short))).count();
        assert_eq!(taken, ANNOUNCEMENTS_MAX);
        assert_eq!(play(&mut list, 1), [(A, 0, true)]);
        assert!(list.announce(B, Arc::clone(&short)), "one is over");
        assert!(!list.announce(B, short));
        let left: Vec<_> = list.hush().collect();
        assert_eq!(left[..ANNOUNCEMENTS_MAX - 1], [A; ANNOUNCEMENTS_MAX - 1]);
        assert_eq!(left[ANNOUNCEMENTS_MAX - 1..], [B]);
        assert!(!list.is_announcing());
        assert!(list.next_frame().is_none());
    }
}
