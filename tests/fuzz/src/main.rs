//! `make fuzz`: every target, or those named, for some seconds each. By libFuzzer through cargo-fuzz
//! where that is installed, else by blind mutation of the corpus.
//!
//! `fuzz --seconds 60 [--blind [--seed 1]] [TARGET…]`
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command")]

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, io, panic};

use fuzz::mutation::Mutator;
use fuzz::{TARGETS, Target, corpus};

/// Inputs between two looks at the clock.
const BATCH: u64 = 64;

struct Options {
    seconds: u64,
    blind: bool,
    seed: u64,
    targets: Vec<Target>,
}

fn main() -> ExitCode {
    let options = match options(env::args().skip(1)) {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("{problem}");
            return ExitCode::FAILURE;
        }
    };
    let guided = !options.blind && has_cargo_fuzz();
    if !guided {
        println!("blind mutation (for coverage: cargo install cargo-fuzz)");
    }
    let mut failed = Vec::new();
    for target in &options.targets {
        let fine =
            if guided { libfuzzer(target, options.seconds) } else { blind(target, &options) };
        if !fine {
            failed.push(target.name);
        }
    }
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!("findings: {}", failed.join(", "));
    ExitCode::FAILURE
}

fn options(mut words: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options { seconds: 60, blind: false, seed: 1, targets: Vec::new() };
    while let Some(word) = words.next() {
        match word.as_str() {
            "--seconds" => {
                let seconds = words.next().and_then(|n| n.parse().ok());
                options.seconds = seconds.ok_or("--seconds needs a number")?;
            }
            "--seed" => {
                let seed = words.next().and_then(|n| n.parse().ok());
                options.seed = seed.ok_or("--seed needs a number")?;
            }
            "--blind" => options.blind = true,
            name => {
                let target = TARGETS.iter().find(|target| target.name == name);
                options.targets.push(*target.ok_or_else(|| format!("no target {name}"))?);
            }
        }
    }
    if options.targets.is_empty() {
        options.targets = TARGETS.to_vec();
    }
    Ok(options)
}

fn has_cargo_fuzz() -> bool {
    let mut command = Command::new("cargo");
    command.args(["fuzz", "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Runs libFuzzer. New inputs go to `libfuzzer/corpus`, findings to `libfuzzer/artifacts`.
fn libfuzzer(target: &Target, seconds: u64) -> bool {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let grown = here.join("libfuzzer/corpus").join(target.name);
    if fs::create_dir_all(&grown).is_err() {
        return false;
    }
    let mut command = Command::new("cargo");
    // libFuzzer's instrumentation needs flags that a stable compiler hides.
    command.env("RUSTC_BOOTSTRAP", "1").current_dir(here);
    // All code is safe: the address sanitizer would find nothing and cost half the speed.
    command.args(["fuzz", "run", "--sanitizer", "none", "--fuzz-dir", "libfuzzer", target.name]);
    command.arg(grown).args(corpus::directories(target.name)).arg("--");
    command.args([format!("-max_total_time={seconds}"), "-print_final_stats=1".into()]);
    command.args(["-timeout=10", "-dict=libfuzzer/sip.dict"]);
    if target.script {
        // Long runs at once: short ones reach no call that is up.
        command.args(["-len_control=0", "-max_len=1024"]);
    }
    command.status().is_ok_and(|status| status.success())
}

fn blind(target: &Target, options: &Options) -> bool {
    let seeds = match corpus::inputs(target.name) {
        Ok(seeds) => seeds.into_iter().map(|(_, bytes)| bytes).collect(),
        Err(problem) => {
            eprintln!("{}: {problem}", target.name);
            return false;
        }
    };
    let mut mutator = Mutator::new(seeds, options.seed);
    let (start, limit) = (Instant::now(), Duration::from_secs(options.seconds));
    let mut runs = 0;
    while start.elapsed() < limit {
        for _ in 0..BATCH {
            let input = mutator.next_input();
            if panic::catch_unwind(|| (target.run)(&input)).is_err() {
                let kept = keep(target, &input);
                eprintln!("{}: failed after {runs} runs: {kept:?}", target.name);
                return false;
            }
            runs += 1;
        }
    }
    println!("{}: {runs} runs in {} s", target.name, options.seconds);
    true
}

fn keep(target: &Target, input: &[u8]) -> io::Result<std::path::PathBuf> {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("libfuzzer/artifacts").join(target.name);
    fs::create_dir_all(&place)?;
    let file = place.join("blind");
    fs::write(&file, input)?;
    Ok(file)
}
