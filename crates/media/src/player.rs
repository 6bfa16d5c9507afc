//! What is played on hold.

pub use crate::sound::{
    FRAME_BYTES_MAX, SECONDS_MAX as MUSIC_SECONDS_MAX, Sound as Music, is_playable,
};
