//! What losses of packets do to speech: patterns of loss, what conceals them, and the plain
//! concealment of ITU-T G.711 Appendix I to compare with.

pub mod appendix_i;
pub mod pattern;
pub mod play;
