//! The corpus: three speakers, seven noises, four levels of each: 84 items.

use std::error::Error;
use std::process::{Command, Stdio};

use media::codec::g711::{linear_to_ulaw, ulaw_to_linear};

use super::measure::speech_level;
use super::noises::{Noise, scale_to};

/// Signal to noise ratios, dB.
pub const RATIOS_DB: [i32; 4] = [0, 5, 10, 15];
/// Level of the speech, dB below the largest sine's peak.
const LEVEL_DB: f64 = -26.0;

/// espeak-ng's voice, words a minute, pitch, and what is said. Between the parts is a pause.
const SPEAKERS: [(&str, u32, u32, [&str; 4]); 3] = [
    (
        "en-us",
        150,
        45,
        [
            "Good morning, I am calling about the washing machine that I bought three weeks ago.",
            "It stopped in the middle of the programme, and the door does not open any more.",
            "The serial number is four seven one, nine three, eight two zero.",
            "Could somebody come on Thursday afternoon, or do I have to send it back?",
        ],
    ),
    (
        "en-gb+f3",
        160,
        60,
        [
            "Hello, my name is Sarah Fletcher, and I would like to change my address.",
            "We moved to the house beside the old paper mill, just behind the bridge.",
            "The post code should be on the form which I sent you last week.",
            "Please tell me when the next bill is due, and how much I owe you.",
        ],
    ),
    (
        "de+f2",
        155,
        55,
        [
            "Guten Tag, ich rufe wegen der Rechnung vom vergangenen Monat an.",
            "Der Betrag stimmt nicht, es sollten neunundzwanzig Euro sein.",
            "Meine Kundennummer ist sechs, acht, null, drei, fünf.",
            "Schicken Sie mir bitte eine Bestätigung, sobald es erledigt ist.",
        ],
    ),
];

/// Those who talk elsewhere in the room.
const TALKERS: [(&str, u32, u32, &str); 8] = [
    (
        "en-us+m2",
        140,
        30,
        "The train was late again this morning, so we all walked to the office together.",
    ),
    (
        "en-gb+f1",
        175,
        70,
        "I have sent the parcel twice now, and both times it came back to the warehouse.",
    ),
    (
        "de+m3",
        150,
        40,
        "Haben Sie den Vertrag schon unterschrieben, oder soll ich ihn noch einmal schicken?",
    ),
    (
        "fr+f4",
        165,
        65,
        "Nous avons reçu votre message hier soir et nous vous répondrons demain matin.",
    ),
    (
        "en-us+f5",
        155,
        50,
        "There are seven people waiting, and the longest has been here for ten minutes.",
    ),
    (
        "es+m4",
        170,
        35,
        "El pedido llegó ayer por la tarde, pero faltaba una de las tres cajas grandes.",
    ),
    (
        "en-gb+m7",
        145,
        45,
        "Let me put you through to my colleague, who knows everything about boilers.",
    ),
    (
        "it+f2",
        160,
        60,
        "Buongiorno, vorrei sapere quando arriva il tecnico per riparare la caldaia.",
    ),
];

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
    /// What the phone sends, through µ-law.
    pub noisy: Vec<i16>,
}

/// All items at a rate, in the order of the tables.
pub fn items(rate_hz: usize) -> Result<Vec<Item>, Box<dyn Error>> {
    let mut talkers = Vec::new();
    for (voice, speed, pitch, text) in TALKERS {
        let mut samples = speak(voice, speed, pitch, text, rate_hz)?;
        scale_to(&mut samples, 1.0);
        talkers.push(samples);
    }
    let mut items = Vec::new();
    for (speaker, (voice, speed, pitch, parts)) in SPEAKERS.iter().enumerate() {
        let mut said = vec![0.0; rate_hz];
        for (part, pause_ms) in parts.iter().zip([700, 1000, 600, 900]) {
            let spoken = speak(voice, *speed, *pitch, part, rate_hz)?;
            said.extend(trim(&spoken));
            said.resize(said.len() + pause_ms * rate_hz / 1000, 0.0);
        }
        let level = 32_768.0 * 10.0_f64.powf(LEVEL_DB / 20.0) / std::f64::consts::SQRT_2;
        let factor = level / speech_level(&said, rate_hz);
        said.iter_mut().for_each(|x| *x *= factor);
        for (at, noise) in Noise::ALL.into_iter().enumerate() {
            let seed = (10 * speaker + at) as u64 + 1;
            let samples = noise.samples(seed, rate_hz, said.len(), &talkers);
            for ratio_db in RATIOS_DB {
                let mut samples = samples.clone();
                scale_to(&mut samples, level * 10.0_f64.powf(-f64::from(ratio_db) / 20.0));
                let mixed: Vec<i16> =
                    said.iter().zip(&samples).map(|(a, b)| (a + b) as i16).collect();
                items.push(Item {
                    name: format!("{}-{noise:?}-{ratio_db}", speaker + 1).to_lowercase(),
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

/// As G.711 carries it.
pub fn through_ulaw(samples: &[i16]) -> Vec<i16> {
    samples.iter().map(|x| ulaw_to_linear(linear_to_ulaw(*x))).collect()
}

/// Speech by espeak-ng in the band of a telephone of this rate.
fn speak(
    voice: &str,
    speed: u32,
    pitch: u32,
    text: &str,
    rate_hz: usize,
) -> Result<Vec<f64>, Box<dyn Error>> {
    let mut espeak = Command::new("espeak-ng")
        .args(["-v", voice, "-s", &speed.to_string(), "-p", &pitch.to_string(), "--stdout", text])
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("espeak-ng: {error} (make deps installs it)"))?;
    let spoken = espeak.stdout.take().ok_or("no output of espeak-ng")?;
    let band = if rate_hz == 8000 { "200-3400" } else { "80-7000" };
    let sox = Command::new("sox")
        .args([
            "-V1",
            "-D",
            "-t",
            "wav",
            "--ignore-length",
            "-",
            "-t",
            "raw",
            "-e",
            "signed",
            "-b",
            "16",
        ])
        .args(["-c", "1", "-r", &rate_hz.to_string(), "-", "gain", "-6", "sinc", band])
        .stdin(spoken)
        .output()
        .map_err(|error| format!("sox: {error} (make deps installs it)"))?;
    if !espeak.wait()?.success() || !sox.status.success() || sox.stdout.is_empty() {
        return Err(format!("{voice}: {}", String::from_utf8_lossy(&sox.stderr)).into());
    }
    let (samples, _) = sox.stdout.as_chunks::<2>();
    Ok(samples.iter().map(|bytes| f64::from(i16::from_le_bytes(*bytes))).collect())
}

/// Without the silence around the words.
fn trim(samples: &[f64]) -> &[f64] {
    let loud = |x: &f64| x.abs() > 40.0;
    let first = samples.iter().position(loud).unwrap_or(0);
    let last = samples.iter().rposition(loud).unwrap_or(samples.len().saturating_sub(1));
    &samples[first..=last]
}
