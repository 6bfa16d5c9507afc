//! What noise removal does to speech in noise: the table of tests/load/README.md.
//!
//! `denoise-table [8000|16000] [--harder|--tuning] [--keep DIRECTORY]`: makes a corpus with
//! espeak-ng, prompts of Asterisk and sox, 84 items of speech in noise, and measures nothing, plain
//! nnnoiseless and ours on it. PESQ is measured where `python3` has `pesq` (or the Python that the
//! variable PYTHON names). Kept are WAV files of every item.

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use load::denoise::corpus::{self, Item, RATIOS_DB, Recipe, through_ulaw};
use load::denoise::measure::Measures;
use load::denoise::noises::Noise;
use load::denoise::pesq::{self, Pesq};
use load::denoise::plain;
use media::denoise::{DenoiseSettings, Denoiser};

const METHODS: [Method; 3] = [Method::Off, Method::Plain, Method::Ours];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Off,
    Plain,
    Ours,
}

struct Row {
    name: String,
    noise: Noise,
    ratio_db: i32,
    measures: [Measures; METHODS.len()],
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut rate_hz = 8000;
    let mut recipe = Recipe::Telephone;
    let mut keep = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match &*argument {
            "--harder" => recipe = Recipe::Harder,
            "--tuning" => recipe = Recipe::Tuning,
            "--keep" => keep = Some(PathBuf::from(arguments.next().ok_or("--keep DIRECTORY")?)),
            rate => rate_hz = rate.parse()?,
        }
    }
    let mut out = std::io::stdout();
    let pesq = Pesq::find();
    if pesq.is_none() {
        writeln!(out, "no PESQ: {}", pesq::HOW_TO_INSTALL)?;
    }
    let passing = std::env::temp_dir().join(format!("denoise-table-{}", std::process::id()));
    let files = keep.as_deref().or(pesq.as_ref().map(|_| &*passing));
    let mut rows = Vec::new();
    let mut delays = [0; METHODS.len()];
    let mut seconds = [0.0; METHODS.len()];
    let mut audio = 0.0;
    for item in corpus::items(recipe, rate_hz)? {
        let mut measures = [Measures::default(); METHODS.len()];
        audio += item.said.len() as f64 / rate_hz as f64;
        for (at, method) in METHODS.into_iter().enumerate() {
            let start = Instant::now();
            let (heard, late) = method.clean(&item.noisy, rate_hz)?;
            seconds[at] += start.elapsed().as_secs_f64();
            delays[at] = late;
            measures[at] = measure(&item, &heard, late, rate_hz, method, files)?;
        }
        rows.push(Row { name: item.name, noise: item.noise, ratio_db: item.ratio_db, measures });
    }
    if let (Some(pesq), Some(files)) = (pesq, files) {
        let scores = pesq.scores(files, rate_hz);
        if keep.is_none() {
            std::fs::remove_dir_all(files)?;
        }
        let scores = scores?;
        for row in &mut rows {
            for (method, measures) in METHODS.iter().zip(&mut row.measures) {
                let score = scores.get(&file_name(&row.name, *method)).copied();
                measures.pesq = score.ok_or("an item without a score")?;
            }
        }
    }
    for (at, method) in METHODS.iter().enumerate() {
        let delay = delays[at] as f64 / rate_hz as f64 * 1000.0;
        let cost = seconds[at] / audio * 100.0;
        writeln!(out, "{method:?}: {delay:.1} ms late, {cost:.3} % of a core")?;
    }
    print(&mut out, &rows)
}

impl Method {
    /// What it makes of an item, and by how many samples that is late.
    fn clean(self, noisy: &[i16], rate_hz: usize) -> Result<(Vec<i16>, usize), Box<dyn Error>> {
        match self {
            Self::Off => Ok((noisy.to_vec(), 0)),
            Self::Plain => plain::clean(noisy, rate_hz).ok_or("a rate without a resampler".into()),
            Self::Ours => {
                let settings = DenoiseSettings::default();
                let mut denoiser =
                    Denoiser::new(rate_hz as u32, settings).ok_or("a rate that is not cleaned")?;
                let mut pcm = noisy.to_vec();
                pcm.chunks_exact_mut(rate_hz / 50).for_each(|packet| denoiser.process(packet));
                Ok((pcm, denoiser.delay_samples()))
            }
        }
    }
}

/// Measures what the listener gets, which at 8 kHz is µ-law again.
fn measure(
    item: &Item,
    heard: &[i16],
    late: usize,
    rate_hz: usize,
    method: Method,
    keep: Option<&Path>,
) -> Result<Measures, Box<dyn Error>> {
    let heard = if rate_hz == 8000 { through_ulaw(heard) } else { heard.to_vec() };
    let in_time = &heard[late..];
    let len = in_time.len();
    if let Some(directory) = keep {
        let said: Vec<i16> = item.said.iter().map(|x| *x as i16).collect();
        write(directory, &format!("{}-said", item.name), &said[..len], rate_hz)?;
        write(directory, &file_name(&item.name, method), in_time, rate_hz)?;
    }
    let float = |of: &[i16]| of[..len].iter().map(|x| f64::from(*x)).collect::<Vec<f64>>();
    Ok(Measures::of(&item.said[..len], &float(&item.noisy), &float(in_time), rate_hz))
}

fn file_name(item: &str, method: Method) -> String {
    format!("{item}-{method:?}").to_lowercase()
}

fn write(directory: &Path, name: &str, pcm: &[i16], rate_hz: usize) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(directory)?;
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: rate_hz as u32,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let path = directory.join(format!("{name}.wav"));
    let mut file = hound::WavWriter::create(path, spec)?;
    pcm.iter().try_for_each(|x| file.write_sample(*x))?;
    Ok(file.finalize()?)
}

fn print(out: &mut impl Write, rows: &[Row]) -> Result<(), Box<dyn Error>> {
    writeln!(
        out,
        "| items | method | PESQ | MOS-LQO | STOI | SI-SDR, dB | pauses, dB | their power, dB | onset loss, dB |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|---|---|")?;
    let mut group = |name: &str, of: &dyn Fn(&Row) -> bool| {
        METHODS.iter().enumerate().try_for_each(|(at, method)| {
            let items: Vec<_> =
                rows.iter().filter(|row| of(row)).map(|row| row.measures[at]).collect();
            let Measures { pesq, stoi, si_sdr_db, pauses_db, pauses_power_db, onset_loss_db } =
                Measures::mean(&items);
            let pesq = format!("{:.2} | {:.2}", pesq.raw, pesq.mos_lqo);
            writeln!(
                out,
                "| {name} | {method:?} | {pesq} | {stoi:.3} | {si_sdr_db:.1} | {pauses_db:.1} | {pauses_power_db:.1} | {onset_loss_db:.2} |"
            )
        })
    };
    group("all", &|_| true)?;
    for noise in Noise::ALL {
        group(&format!("{noise:?}"), &|row| row.noise == noise)?;
    }
    for ratio_db in RATIOS_DB {
        group(&format!("{ratio_db} dB"), &|row| row.ratio_db == ratio_db)?;
    }
    Ok(())
}
