//! The corpus: speech of espeak-ng and recorded prompts, seven noises, four levels of each: 84 items.
//!
//! Speech and noise come through the same telephone: all that a converter of 8 kHz lets through,
//! then G.711. The level of speech is its active level (ITU-T P.56), that of noise its power, as
//! 3GPP TS 26.077 and ITU-T G.160 do it. [`Recipe::Harder`] is how it was until November 2026.

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use media::codec::g711::{linear_to_ulaw, ulaw_to_linear};
use media::codec::{Decoder, Format, SAMPLES_MAX};
use media::command::Codec;

use super::level::{active_level, loud_level};
use super::noises::{Noise, scale_to};
use super::speakers::{PAUSES_MS, Speaker, TALKERS, Voice};

/// Signal to noise ratios, dB.
pub const RATIOS_DB: [i32; 4] = [0, 5, 10, 15];
/// Level of the speech, dB below the largest sine's power.
const LEVEL_DB: f64 = -26.0;
/// Where Debian's asterisk-core-sounds packages put their folders.
const PROMPTS: &str = "/usr/share/asterisk/sounds";

/// How the corpus is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipe {
    /// Six speakers, three of them recorded; speech and noise have the same band.
    Telephone,
    /// As that, with other speakers, texts and noises: what constants are chosen on.
    Tuning,
    /// Three speakers of espeak-ng; their speech has 200 to 3400 Hz, the noise all.
    Harder,
}

/// One of the 84.
pub struct Item {
    /// File name without its ending.
    pub name: String,
    /// The noise.
    pub noise: Noise,
    /// Speech over noise, dB.
    pub ratio_db: i32,
    /// The clean speech.
    pub said: Vec<f64>,
    /// What the phone sends, through µ-law at 8 kHz.
    pub noisy: Vec<i16>,
}

/// All items at a rate, in the order of the tables.
///
/// # Errors
/// When espeak-ng, sox or the prompts are not there.
pub fn items(recipe: Recipe, rate_hz: usize) -> Result<Vec<Item>, Box<dyn Error>> {
    let mut talkers = Vec::new();
    for (voice, text) in TALKERS {
        let mut samples = recipe.speak(voice, text, rate_hz)?;
        scale_to(&mut samples, 1.0);
        talkers.push(samples);
    }
    let level = speech_level();
    let mut items = Vec::new();
    for (at, said) in voices(recipe, rate_hz)?.into_iter().enumerate() {
        for (kind, noise) in Noise::ALL.into_iter().enumerate() {
            let ratios = (0..).zip(RATIOS_DB).filter(|(ratio, _)| recipe.has(at, kind, *ratio));
            let seed = recipe.seed() + (10 * at + kind) as u64;
            let samples = noise.samples(seed, rate_hz, said.len(), &talkers);
            for (_, ratio_db) in ratios {
                let mut samples = samples.clone();
                scale_to(&mut samples, level * 10.0_f64.powf(-f64::from(ratio_db) / 20.0));
                let mixed: Vec<i16> =
                    said.iter().zip(&samples).map(|(a, b)| (a + b) as i16).collect();
                items.push(Item {
                    name: format!("{}-{noise:?}-{ratio_db}", at + 1).to_lowercase(),
                    noise,
                    ratio_db,
                    said: said.clone(),
                    noisy: if rate_hz == 8000 { through_ulaw(&mixed) } else { mixed },
                });
            }
        }
    }
    Ok(items)
}

impl Recipe {
    fn speakers(self) -> &'static [Speaker] {
        match self {
            Self::Telephone => &super::speakers::MEASURED,
            Self::Tuning => &super::speakers::TUNED,
            Self::Harder => &super::speakers::SYNTHESISED,
        }
    }

    /// Whether a speaker speaks in this noise of this level: every other one does.
    fn has(self, speaker: usize, noise: usize, ratio: usize) -> bool {
        match self {
            Self::Telephone | Self::Tuning => speaker % 2 == (noise + ratio) % 2,
            Self::Harder => true,
        }
    }

    fn seed(self) -> u64 {
        match self {
            Self::Telephone | Self::Harder => 1,
            Self::Tuning => 1001,
        }
    }

    /// What sox does to speech.
    fn effects(self, rate_hz: usize) -> &'static [&'static str] {
        match (self, rate_hz) {
            (Self::Telephone | Self::Tuning, _) => &["gain", "-6"],
            (Self::Harder, 8000) => &["gain", "-6", "sinc", "200-3400"],
            (Self::Harder, _) => &["gain", "-6", "sinc", "80-7000"],
        }
    }

    fn level(self, said: &[f64], rate_hz: usize) -> f64 {
        match self {
            Self::Telephone | Self::Tuning => active_level(said, rate_hz),
            Self::Harder => loud_level(said, rate_hz),
        }
    }

    /// One part of what a speaker says, at this rate.
    fn say(
        self,
        speaker: &Speaker,
        part: usize,
        rate_hz: usize,
    ) -> Result<Vec<f64>, Box<dyn Error>> {
        match speaker {
            Speaker::Synthesised(voice, texts) => self.speak(*voice, texts[part], rate_hz),
            Speaker::Recorded(folder, prompts) => self.prompt(folder, prompts[part], rate_hz),
        }
    }

    /// Speech by espeak-ng at this rate.
    fn speak(self, voice: Voice, text: &str, rate_hz: usize) -> Result<Vec<f64>, Box<dyn Error>> {
        let Voice(name, speed, pitch) = voice;
        let spoken = Command::new("espeak-ng")
            .args([
                "-v",
                name,
                "-s",
                &speed.to_string(),
                "-p",
                &pitch.to_string(),
                "--stdout",
                text,
            ])
            .output()
            .map_err(|error| format!("espeak-ng: {error} (make deps installs it)"))?;
        if !spoken.status.success() || spoken.stdout.is_empty() {
            return Err(format!("{name}: {}", String::from_utf8_lossy(&spoken.stderr)).into());
        }
        self.filter(&spoken.stdout, &["-t", "wav", "--ignore-length"], rate_hz)
    }

    /// A prompt of Asterisk: recorded at 8 kHz, and at 16 kHz as G.722.
    fn prompt(self, folder: &str, name: &str, rate_hz: usize) -> Result<Vec<f64>, Box<dyn Error>> {
        let folder = Path::new(PROMPTS).join(folder);
        let read = |ending: &str| {
            let path = folder.join(format!("{name}.{ending}"));
            std::fs::read(&path)
                .map_err(|error| format!("{}: {error} (make denoise installs it)", path.display()))
        };
        if rate_hz == 8000 {
            return self.filter(&read("wav")?, &["-t", "wav"], rate_hz);
        }
        let mut decoder = Decoder::new(&Format::new(Codec::G722, 8000)?)?;
        let mut pcm = [0; SAMPLES_MAX];
        let mut bytes = Vec::new();
        for packet in read("g722")?.chunks(160) {
            let len = decoder.decode(packet, &mut pcm)?;
            bytes.extend(pcm[..len].iter().flat_map(|x| x.to_le_bytes()));
        }
        self.filter(
            &bytes,
            &["-t", "raw", "-e", "signed", "-b", "16", "-c", "1", "-r", "16000"],
            rate_hz,
        )
    }

    /// Sound of the format that sox is told, at this rate.
    fn filter(
        self,
        sound: &[u8],
        format: &[&str],
        rate_hz: usize,
    ) -> Result<Vec<f64>, Box<dyn Error>> {
        let mut sox = Command::new("sox")
            .args(["-V1", "-D"])
            .args(format)
            .args(["-", "-t", "raw", "-e", "signed", "-b", "16", "-c", "1", "-r"])
            .args([&*rate_hz.to_string(), "-"])
            .args(self.effects(rate_hz))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("sox: {error} (make deps installs it)"))?;
        let mut input = sox.stdin.take().ok_or("no input of sox")?;
        let done = std::thread::scope(|scope| {
            // sox answers before it has heard all.
            scope.spawn(move || input.write_all(sound));
            sox.wait_with_output()
        })?;
        if !done.status.success() || done.stdout.is_empty() {
            return Err(format!("sox: {}", String::from_utf8_lossy(&done.stderr)).into());
        }
        let (samples, _) = done.stdout.as_chunks::<2>();
        Ok(samples.iter().map(|bytes| f64::from(i16::from_le_bytes(*bytes))).collect())
    }
}

/// What each speaker says, clean: four parts with pauses between them.
///
/// # Errors
/// As [`items`].
pub fn voices(recipe: Recipe, rate_hz: usize) -> Result<Vec<Vec<f64>>, Box<dyn Error>> {
    let mut voices = Vec::new();
    for speaker in recipe.speakers() {
        let mut said = vec![0.0; rate_hz];
        for (part, pause_ms) in (0..PAUSES_MS.len()).zip(PAUSES_MS) {
            let spoken = recipe.say(speaker, part, rate_hz)?;
            said.extend(trim(&spoken));
            said.resize(said.len() + pause_ms * rate_hz / 1000, 0.0);
        }
        let factor = speech_level() / recipe.level(&said, rate_hz);
        said.iter_mut().for_each(|x| *x *= factor);
        voices.push(said);
    }
    Ok(voices)
}

/// Level that all speech is brought to.
fn speech_level() -> f64 {
    32_768.0 * 10.0_f64.powf(LEVEL_DB / 20.0) / std::f64::consts::SQRT_2
}

/// As G.711 carries it.
pub fn through_ulaw(samples: &[i16]) -> Vec<i16> {
    samples.iter().map(|x| ulaw_to_linear(linear_to_ulaw(*x))).collect()
}

/// Without the silence around the words.
fn trim(samples: &[f64]) -> &[f64] {
    let loud = |x: &f64| x.abs() > 40.0;
    let first = samples.iter().position(loud).unwrap_or(0);
    let last = samples.iter().rposition(loud).unwrap_or(samples.len().saturating_sub(1));
    &samples[first..=last]
}
