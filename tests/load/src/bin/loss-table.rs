//! What lost packets do to speech in G.711, and what makes up for them: the table of
//! tests/load/README.md.
//!
//! `loss-table [--pesq PYTHON] [--voices DIRECTORY]`: 1, 5 and 10 % of the packets are lost, each
//! on its own or in bursts; measured are ITU-T G.711 Appendix I, ours from one side of a gap, and
//! ours in a mix. PESQ is measured by an interpreter that has the package of that name. The voices
//! are those of the denoise corpus, or WAV files of 8 kHz.

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use load::denoise::corpus::{self, Recipe, through_ulaw};
use load::denoise::measure::Measures;
use load::loss::pattern::Pattern;
use load::loss::play::{Method, PACKET, RATE_HZ};

const PERCENT: [f64; 3] = [1.0, 5.0, 10.0];
const PATTERNS: [Pattern; 2] = [Pattern::Random, Pattern::Bursts];
/// Runs with losses of their own for each voice.
const SEEDS: u64 = 4;
/// Asks for the PESQ of pairs of raw files, named on the input.
const SCRIPT: &str = "import sys, numpy, pesq
for line in sys.stdin:
    said, heard = (numpy.fromfile(name, dtype='<i2') for name in line.split())
    print(pesq.pesq(8000, said, heard, 'nb'), flush=True)
";

/// Something that is heard, and what was measured of it.
struct Run {
    /// Where in the tables.
    row: (usize, usize, Option<Method>),
    voice: usize,
    heard: Vec<i16>,
    measures: Measures,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut python = None;
    let mut voices = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} of what?"));
        match &*argument {
            "--pesq" => python = Some(value()?),
            "--voices" => voices = Some(PathBuf::from(value()?)),
            _ => return Err(format!("{argument}: not known").into()),
        }
    }
    let voices: Vec<Vec<i16>> = match voices {
        Some(directory) => recorded(&directory)?,
        None => {
            corpus::voices(Recipe::Telephone, RATE_HZ)?.iter().map(|voice| to_i16(voice)).collect()
        }
    };
    let mut runs = Vec::new();
    for (voice, said) in voices.iter().enumerate() {
        let sent = through_ulaw(said);
        runs.push(run((0, 0, None), voice, &sent, sent.clone()));
        for (at, pattern) in PATTERNS.into_iter().enumerate() {
            for (which, percent) in PERCENT.into_iter().enumerate() {
                for seed in 1..=SEEDS {
                    let seed = 100 * voice as u64 + seed;
                    let lost = pattern.losses(percent, sent.len() / PACKET, seed);
                    runs.extend(Method::ALL.map(|method| {
                        run((at, which, Some(method)), voice, &sent, method.hear(&sent, &lost))
                    }));
                }
            }
        }
    }
    let pesq = python.map(|python| pesq(&python, &voices, &runs)).transpose()?;
    print(&mut std::io::stdout(), &runs, pesq.as_deref())
}

fn to_i16(samples: &[f64]) -> Vec<i16> {
    samples.iter().map(|x| *x as i16).collect()
}

/// All WAV files of a directory.
fn recorded(directory: &Path) -> Result<Vec<Vec<i16>>, Box<dyn Error>> {
    let mut paths: Vec<_> = std::fs::read_dir(directory)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_, std::io::Error>>()?;
    paths.sort();
    let mut voices = Vec::new();
    for path in paths.iter().filter(|path| path.extension().is_some_and(|end| end == "wav")) {
        let samples = hound::WavReader::open(path)?.into_samples::<i16>();
        voices.push(samples.collect::<Result<_, _>>()?);
    }
    Ok(voices)
}

fn run(row: (usize, usize, Option<Method>), voice: usize, sent: &[i16], heard: Vec<i16>) -> Run {
    let len = heard.len().min(sent.len());
    let float = |of: &[i16]| of[..len].iter().map(|x| f64::from(*x)).collect::<Vec<f64>>();
    let sent = float(sent);
    let measures = Measures::of(&sent, &sent, &float(&heard), RATE_HZ);
    Run { row, voice, heard, measures }
}

/// Of each run, from what was said before it was coded.
fn pesq(python: &str, voices: &[Vec<i16>], runs: &[Run]) -> Result<Vec<f64>, Box<dyn Error>> {
    let directory = std::env::temp_dir().join(format!("loss-table-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let write = |name: String, samples: &[i16]| {
        let path = directory.join(name);
        let bytes: Vec<u8> = samples.iter().flat_map(|x| x.to_le_bytes()).collect();
        std::fs::write(&path, bytes).map(|()| path)
    };
    let mut names = String::new();
    for (n, run) in runs.iter().enumerate() {
        let len = run.heard.len().min(voices[run.voice].len());
        let said = write(format!("said-{}", run.voice), &voices[run.voice][..len])?;
        let heard = write(format!("heard-{n}"), &run.heard[..len])?;
        names += &format!("{} {}\n", said.display(), heard.display());
    }
    let mut child = Command::new(python)
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut input = child.stdin.take().ok_or("no input of it")?;
    let writer = std::thread::spawn(move || input.write_all(names.as_bytes()));
    let output = child.wait_with_output()?;
    writer.join().map_err(|_| "the writer of names")??;
    std::fs::remove_dir_all(&directory)?;
    let scores = String::from_utf8(output.stdout)?;
    let scores: Vec<f64> = scores.lines().map(str::parse).collect::<Result<_, _>>()?;
    if scores.len() != runs.len() {
        return Err(format!("{python}: {} scores of {}", scores.len(), runs.len()).into());
    }
    Ok(scores)
}

fn print(out: &mut impl Write, runs: &[Run], pesq: Option<&[f64]>) -> Result<(), Box<dyn Error>> {
    let mean = |row| {
        let those = || runs.iter().enumerate().filter(|(_, run)| run.row == row);
        let measures = Measures::mean(&those().map(|(_, run)| run.measures).collect::<Vec<_>>());
        let scores =
            pesq.map(|pesq| those().map(|(n, _)| pesq[n]).sum::<f64>() / those().count() as f64);
        (measures, scores)
    };
    let (_, whole) = mean((0, 0, None));
    if let Some(whole) = whole {
        writeln!(out, "PESQ without loss: {whole:.2}")?;
    }
    writeln!(out, "| lost | method | SI-SDR, dB | STOI | PESQ | it costs |")?;
    writeln!(out, "|---|---|---|---|---|---|")?;
    for (at, pattern) in PATTERNS.into_iter().enumerate() {
        for (which, percent) in PERCENT.into_iter().enumerate() {
            for method in Method::ALL {
                let (measures, score) = mean((at, which, Some(method)));
                let text = |value: Option<f64>| value.map_or(String::new(), |v| format!("{v:.2}"));
                let costs = score.zip(whole).map(|(score, whole)| whole - score);
                writeln!(
                    out,
                    "| {percent} %, {pattern:?} | {method:?} | {:.2} | {:.3} | {} | {} |",
                    measures.si_sdr_db,
                    measures.stoi,
                    text(score),
                    text(costs)
                )?;
            }
        }
    }
    Ok(())
}
