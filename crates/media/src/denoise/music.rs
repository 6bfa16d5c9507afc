//! Whether a stream is music, as that of a far end that holds without saying so (N4).
//!
//! A note stays for some hundredths of a second and is another one half a second later. A steady noise is as
//! much alike then as now, a hum stays, a voice glides, and has pauses. So shapes of the spectrum, 40 ms
//! apart, are compared with the one before and with those of half a second to a second ago,
//! whatever their loudness. On five pieces of hold music this finds 85 to 96 % of the time, all but the first
//! four or five seconds; in voices of five languages, seven noises and one in the other at 0 and 10 dB it found none.

/// Lines of the spectrum that are compared: 200 to 3450 Hz, of 50 Hz each.
const FIRST: usize = 4;
const LINES: usize = 66;
/// Frames of 10 ms from one shape to the next.
const FRAMES: u8 = 4;
/// Shapes remembered: one second.
const SHAPES: usize = 25;
/// How many shapes ago the others are.
const NEAR: usize = 1;
const FAR: [usize; 5] = [9, 13, 17, 21, 25];
/// Least mean square of the samples: what is in the last steps of a codec has no shape.
const POWER: f32 = 100.0;
/// Share of all amplitudes that counts 1; 255 at most.
const SHARE: f32 = 1.0 / 2048.0;
/// Shapes over which likenesses are averaged: 1.6 s.
const MEAN: f32 = 40.0;
/// Shapes that are heard before anything is decided: 3 s.
const DECIDED: f32 = 75.0;
/// Likeness to the one before, and by how much it is above the greatest to those long ago: where music
/// begins, and where it ends. Noise has 0.5 to 0.62 (a hum 0.8) and at most 0; voices at most 0.54 and 0.07.
const BEGINS: (f32, f32) = (0.57, 0.05);
const ENDS: (f32, f32) = (0.53, 0.0);
/// What has less than this share of the mean power is a pause, and how much of music may be pauses, where
/// it begins and until it ends. Voices have 0.2 to 0.6.
const PAUSE: f32 = 0.05;
const PAUSES: (f32, f32) = (0.3, 0.5);

type Shape = [u8; LINES];

/// What is known of one stream.
pub(super) struct Music {
    /// The last one before `at`.
    shapes: [Shape; SHAPES],
    at: usize,
    /// Frames since the last shape.
    frames: u8,
    /// Shapes heard, up to [`DECIDED`] and those remembered.
    heard: f32,
    near: f32,
    far: f32,
    /// Mean power of late, and how much of the time was pauses.
    power: f32,
    pauses: f32,
    is_music: bool,
}

impl Music {
    pub(super) const fn new() -> Self {
        Self {
            shapes: [[0; LINES]; SHAPES],
            at: 0,
            frames: 0,
            heard: 0.0,
            near: 0.0,
            far: 0.0,
            power: 0.0,
            pauses: 0.0,
            is_music: false,
        }
    }

    /// Hears the powers of the next frame's lines; whether it is music.
    pub(super) fn hear(&mut self, powers: &[f32]) -> bool {
        self.frames = (self.frames + 1) % FRAMES;
        let Some(powers) = powers[FIRST..].first_chunk().filter(|_| self.frames == 0) else {
            return self.is_music;
        };
        let power = powers.iter().sum::<f32>();
        let is_pause = power < PAUSE * self.power;
        self.pauses += (f32::from(u8::from(is_pause)) - self.pauses) / MEAN;
        self.power += (power - self.power) / MEAN;
        if power > POWER {
            let shape = shape(powers);
            self.compare(&shape);
            self.shapes[self.at] = shape;
            self.at = (self.at + 1) % SHAPES;
        }
        self.is_music
    }

    fn compare(&mut self, shape: &Shape) {
        self.heard = (self.heard + 1.0).min(DECIDED + SHAPES as f32);
        let compared = self.heard - SHAPES as f32;
        if compared < 1.0 {
            return;
        }
        let ago = |shapes: usize| &self.shapes[(self.at + SHAPES - shapes) % SHAPES];
        let near = likeness(shape, ago(NEAR));
        let far = FAR.map(|shapes| likeness(shape, ago(shapes))).into_iter().fold(0.0, f32::max);
        let weight = 1.0 / compared.min(MEAN);
        self.near += (near - self.near) * weight;
        self.far += (far - self.far) * weight;
        let (least, above) = if self.is_music { ENDS } else { BEGINS };
        let pauses = if self.is_music { PAUSES.1 } else { PAUSES.0 };
        self.is_music = compared >= DECIDED
            && self.near > least
            && self.near - self.far > above
            && self.pauses < pauses;
    }
}

/// How the amplitudes of a frame are spread over its lines.
fn shape(powers: &[f32; LINES]) -> Shape {
    let amplitudes = powers.map(f32::sqrt);
    let scale = 1.0 / (SHARE * amplitudes.iter().sum::<f32>());
    amplitudes.map(|amplitude| (amplitude * scale) as u8)
}

/// 1 for shapes that are the same, 0 for those that have nothing in common.
fn likeness(one: &Shape, other: &Shape) -> f32 {
    let (mut common, mut all) = (0, 0);
    for (a, b) in one.iter().zip(other) {
        common += u32::from(*a.min(b));
        all += u32::from(*a.max(b));
    }
    common as f32 / all.max(1) as f32
}
