//! Music and silence on hold: encoded once, shared by all who hear it.

use std::f64::consts::TAU;

use audio_codec::Encoder;
use audio_codec::g722::G722Encoder;
use audio_codec::pcma::PcmaEncoder;
use audio_codec::pcmu::PcmuEncoder;

use crate::command::{Codec, Payload};
use crate::resample::resample;

/// Longest music kept, seconds; the rest of a longer recording is not played.
pub const MUSIC_SECONDS_MAX: usize = 300;
/// Longest payload of 20 ms.
pub const FRAME_BYTES_MAX: usize = 2 * NARROW;

/// Samples of 20 ms at 8 kHz.
const NARROW: usize = 160;
/// Samples of 20 ms at 16 kHz.
const WIDE: usize = 320;
const NARROW_RATE: u32 = 8000;
const WIDE_RATE: u32 = 16_000;

/// A loop of 20 ms payloads in each codec we encode.
pub struct Music {
    /// Big-endian.
    linear: Box<[[u8; 2 * NARROW]]>,
    ulaw: Box<[[u8; NARROW]]>,
    alaw: Box<[[u8; NARROW]]>,
    g722: Box<[[u8; NARROW]]>,
    silence: [u8; NARROW],
}

/// Whether we can make packets of this payload.
pub fn is_playable(payload: &Payload) -> bool {
    match payload.codec {
        Codec::Pcmu | Codec::Pcma | Codec::G722 => true,
        Codec::L16 => payload.clock_rate == NARROW_RATE,
        Codec::Opus | Codec::TelephoneEvent | Codec::ComfortNoise | Codec::Other => false,
    }
}

impl Music {
    /// Music from samples at a rate of `rate` hertz (not 0), played in a loop. Without a whole
    /// frame it is silence.
    pub fn from_pcm(pcm: &[i16], rate: u32) -> Self {
        let pcm = &pcm[..pcm.len().min(MUSIC_SECONDS_MAX * rate as usize)];
        let mut narrow = resample(pcm, rate, NARROW_RATE);
        let mut wide = resample(pcm, rate, WIDE_RATE);
        let frames = (narrow.len() / NARROW).max(1);
        narrow.resize(frames * NARROW, 0);
        wide.resize(frames * WIDE, 0);
        let mut ulaw = PcmuEncoder::new();
        let mut alaw = PcmaEncoder::new();
        let mut g722 = G722Encoder::new();
        // Once around first, so that the end of the loop leads into its beginning.
        let _ = encode::<WIDE, NARROW>(&mut g722, &wide);
        Self {
            linear: narrow.chunks_exact(NARROW).map(big_endian).collect(),
            ulaw: encode::<NARROW, NARROW>(&mut ulaw, &narrow),
            alaw: encode::<NARROW, NARROW>(&mut alaw, &narrow),
            g722: encode::<WIDE, NARROW>(&mut g722, &wide),
            silence: silence_of_g722(),
        }
    }

    /// Nothing but silence.
    pub fn silence() -> Self {
        Self::from_pcm(&[], NARROW_RATE)
    }

    /// The built-in music: four quiet chords, composed for this program.
    pub fn melody() -> Self {
        Self::from_pcm(&melody(), WIDE_RATE)
    }

    /// Length of the loop in frames of 20 ms; at least 1.
    pub fn frames(&self) -> usize {
        self.ulaw.len()
    }

    /// The payload of frame `index` (modulo the length); `None` for a codec we do not encode.
    pub fn frame(&self, codec: Codec, index: usize) -> Option<&[u8]> {
        let index = index % self.frames();
        match codec {
            Codec::Pcmu => Some(&self.ulaw[index]),
            Codec::Pcma => Some(&self.alaw[index]),
            Codec::G722 => Some(&self.g722[index]),
            Codec::L16 => Some(&self.linear[index]),
            Codec::Opus | Codec::TelephoneEvent | Codec::ComfortNoise | Codec::Other => None,
        }
    }

    /// 20 ms of silence; `None` for a codec we do not encode.
    pub fn silent_frame(&self, codec: Codec) -> Option<&[u8]> {
        match codec {
            Codec::Pcmu => Some(&[0xff; NARROW]),
            Codec::Pcma => Some(&[0xd5; NARROW]),
            Codec::G722 => Some(&self.silence),
            Codec::L16 => Some(&[0; 2 * NARROW]),
            Codec::Opus | Codec::TelephoneEvent | Codec::ComfortNoise | Codec::Other => None,
        }
    }
}

fn encode<const SAMPLES: usize, const BYTES: usize>(
    encoder: &mut dyn Encoder,
    pcm: &[i16],
) -> Box<[[u8; BYTES]]> {
    pcm.chunks_exact(SAMPLES)
        .map(|samples| {
            let mut frame = [0; BYTES];
            let written = encoder.encode_into(samples, &mut frame);
            debug_assert_eq!(written, Ok(BYTES));
            frame
        })
        .collect()
}

fn big_endian(samples: &[i16]) -> [u8; 2 * NARROW] {
    let mut frame = [0; 2 * NARROW];
    for (bytes, sample) in frame.chunks_exact_mut(2).zip(samples) {
        bytes.copy_from_slice(&sample.to_be_bytes());
    }
    frame
}

/// What the encoder makes of silence once its filters have settled.
fn silence_of_g722() -> [u8; NARROW] {
    let mut encoder = G722Encoder::new();
    let frames = encode::<WIDE, NARROW>(&mut encoder, &[0; 10 * WIDE]);
    frames[frames.len() - 1]
}

/// Notes of four chords (C, A minor, F, G with their sevenths), semitones from middle C.
const CHORDS: [[i32; 6]; 4] = [
    [-12, 0, 4, 7, 11, 16],
    [-15, -3, 4, 7, 9, 16],
    [-19, -7, 5, 9, 12, 16],
    [-17, -5, 5, 7, 11, 14],
];
const CHORD_SECONDS: f64 = 4.0;
/// Peak of one note: the whole stays about 20 dB below full scale.
const NOTE_PEAK: f64 = 2800.0;

/// Each chord is broken upwards, and every note rings on over the end of the loop.
fn melody() -> Vec<i16> {
    let chord_len = (CHORD_SECONDS * f64::from(WIDE_RATE)) as usize;
    let mut sum = vec![0.0; CHORDS.len() * chord_len];
    for (chord, notes) in CHORDS.iter().enumerate() {
        for (step, semitones) in notes.iter().enumerate() {
            let start = chord * chord_len + step * chord_len / 8;
            let hertz = 261.63 * 2f64.powf(f64::from(*semitones) / 12.0);
            pluck(&mut sum, start, 2 * chord_len, hertz);
        }
    }
    sum.into_iter().map(|sample| sample as i16).collect()
}

/// Adds a soft string to a loop: a rounded attack, and partials that die away one after the other.
fn pluck(sum: &mut [f64], start: usize, len: usize, hertz: f64) {
    const PARTIALS: [(f64, f64); 3] = [(1.0, 0.75), (2.0, 0.2), (3.0, 0.05)];
    let per_sample = 1.0 / f64::from(WIDE_RATE);
    for (n, share) in PARTIALS {
        // A phasor that turns and shrinks: its imaginary part is the decaying sine.
        let (turn_sin, turn_cos) = (TAU * n * hertz * per_sample).sin_cos();
        let shrink = (-n * 0.9 * per_sample).exp();
        let attack_step = (-per_sample / 0.015).exp();
        let (mut re, mut im, mut missing) = (NOTE_PEAK * share, 0.0, 1.0);
        for i in 0..len {
            // Both ends of a note are silent.
            let fade = 1.0 - i as f64 / len as f64;
            let at = (start + i) % sum.len();
            sum[at] += im * (1.0 - missing) * fade;
            (re, im) = (
                (re * turn_cos - im * turn_sin) * shrink,
                (re * turn_sin + im * turn_cos) * shrink,
            );
            missing *= attack_step;
        }
    }
}

#[cfg(test)]
mod tests {
    use audio_codec::Decoder;
    use audio_codec::g722::G722Decoder;
    use audio_codec::pcma::PcmaDecoder;
    use audio_codec::pcmu::PcmuDecoder;

    use super::*;

    /// Amplitude of one frequency.
    fn level(samples: &[i16], hertz: f64, rate: u32) -> f64 {
        let (mut re, mut im) = (0.0, 0.0);
        for (n, sample) in samples.iter().enumerate() {
            let phase = TAU * hertz * n as f64 / f64::from(rate);
            re += f64::from(*sample) * phase.cos();
            im += f64::from(*sample) * phase.sin();
        }
        2.0 * f64::hypot(re, im) / samples.len() as f64
    }

    fn tone() -> Music {
        let pcm: Vec<_> = (0..44_100)
            .map(|n| (8000.0 * (TAU * 500.0 * f64::from(n) / 44_100.0).sin()) as i16)
            .collect();
        Music::from_pcm(&pcm, 44_100)
    }

    fn decode(decoder: &mut dyn Decoder, bytes: &[u8]) -> Vec<i16> {
        let mut samples = vec![0; decoder.max_decode_samples(bytes.len())];
        let len = decoder.decode_into(bytes, &mut samples).unwrap();
        samples.truncate(len);
        samples
    }

    fn play(music: &Music, codec: Codec, frames: std::ops::Range<usize>) -> Vec<i16> {
        let frames = frames.map(|index| music.frame(codec, index).unwrap().to_vec());
        let bytes = frames.collect::<Vec<_>>().concat();
        match codec {
            Codec::Pcmu => decode(&mut PcmuDecoder::new(), &bytes),
            Codec::Pcma => decode(&mut PcmaDecoder::new(), &bytes),
            Codec::G722 => decode(&mut G722Decoder::new(), &bytes),
            Codec::L16 => bytes.chunks(2).map(|b| i16::from_be_bytes([b[0], b[1]])).collect(),
            Codec::Opus | Codec::TelephoneEvent | Codec::ComfortNoise | Codec::Other => vec![],
        }
    }

    #[test]
    fn a_tone_is_heard_in_every_codec_across_the_end_of_the_loop() {
        let music = tone();
        assert_eq!(music.frames(), 50);
        for (codec, rate) in
            [(Codec::Pcmu, 8000), (Codec::Pcma, 8000), (Codec::G722, 16_000), (Codec::L16, 8000)]
        {
            let level = level(&play(&music, codec, 30..65)[5 * rate as usize / 50..], 500.0, rate);
            assert!((level - 8000.0).abs() < 300.0, "{codec:?}: {level}");
        }
    }

    #[test]
    fn silence_is_silent_in_every_codec() {
        let music = tone();
        let mut ulaw = [1; NARROW];
        PcmuDecoder::new()
            .decode_into(music.silent_frame(Codec::Pcmu).unwrap(), &mut ulaw)
            .unwrap();
        assert_eq!(ulaw, [0; NARROW]);
        let alaw = decode(&mut PcmaDecoder::new(), music.silent_frame(Codec::Pcma).unwrap());
        assert!(alaw.iter().all(|sample| sample.abs() <= 8), "{alaw:?}");
        let frames = music.silent_frame(Codec::G722).unwrap().repeat(20);
        let g722 = decode(&mut G722Decoder::new(), &frames);
        assert!(g722.iter().all(|sample| sample.abs() < 40), "{:?}", g722.iter().max());
        assert!(music.silent_frame(Codec::Opus).is_none());
    }

    #[test]
    fn the_melody_is_quiet_whole_and_free_of_clicks() {
        let pcm = melody();
        assert_eq!(pcm.len(), 16 * WIDE_RATE as usize);
        let peak = pcm.iter().map(|sample| sample.unsigned_abs()).max().unwrap();
        assert!((2000..12_000).contains(&peak), "{peak}");
        let power: f64 = pcm.iter().map(|s| f64::from(*s).powi(2)).sum();
        let db = 10.0 * (power / pcm.len() as f64 / 32_768f64.powi(2)).log10();
        assert!((-32.0..-18.0).contains(&db), "{db} dBFS");
        let wrapped = pcm.iter().chain(&pcm[..1]);
        let steps = pcm.iter().zip(wrapped.skip(1)).map(|(a, b)| a.abs_diff(*b));
        assert!(steps.max().unwrap() < 3000);
    }

    #[test]
    fn an_empty_recording_is_silence() {
        let music = Music::silence();
        assert_eq!(music.frames(), 1);
        assert_eq!(music.frame(Codec::Pcmu, 7), Some(&[0xff; NARROW][..]));
    }

    #[test]
    fn only_what_we_encode_is_playable() {
        let payload =
            |codec, clock_rate| Payload { codec, key: 0, send: 0, receive: 0, clock_rate };
        for (codec, rate, playable) in [
            (Codec::Pcmu, 8000, true),
            (Codec::G722, 8000, true),
            (Codec::L16, 8000, true),
            (Codec::L16, 44_100, false),
            (Codec::Opus, 48_000, false),
            (Codec::TelephoneEvent, 8000, false),
        ] {
            assert_eq!(is_playable(&payload(codec, rate)), playable, "{codec:?} {rate}");
        }
    }
}
