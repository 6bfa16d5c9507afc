//! PESQ (ITU-T P.862), by Python's `pesq`: the program in the Recommendation, wrapped.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::process::{Command, Stdio};

/// How it comes to be there.
pub const HOW_TO_INSTALL: &str =
    "python3 -m venv pesq && pesq/bin/pip install numpy pesq, then PYTHON=pesq/bin/python3";

const SCRIPT: &str = include_str!("pesq.py");

/// What it says of one item.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Score {
    /// As P.862 has it, −0.5 to 4.5.
    pub raw: f64,
    /// As a mean opinion (P.862.1), 1 to 4.5.
    pub mos_lqo: f64,
}

impl Score {
    /// From a mean opinion, by P.862.1 turned round.
    fn of(mos_lqo: f64) -> Self {
        let raw = (4.6607 - (4.0 / (mos_lqo - 0.999) - 1.0).ln()) / 1.4945;
        Self { raw, mos_lqo }
    }
}

/// A Python that has it.
pub struct Pesq {
    python: String,
}

impl Pesq {
    /// `None`: there is none, see [`HOW_TO_INSTALL`].
    pub fn find() -> Option<Self> {
        let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
        let mut check = Command::new(&python);
        check.args(["-c", "import numpy, pesq"]).stdout(Stdio::null()).stderr(Stdio::null());
        check.status().is_ok_and(|status| status.success()).then_some(Self { python })
    }

    /// The scores of what is heard, by the names of the files in `directory`.
    ///
    /// # Errors
    /// When the script fails, or says what is no score.
    pub fn scores(
        &self,
        directory: &Path,
        rate_hz: usize,
    ) -> Result<BTreeMap<String, Score>, Box<dyn Error>> {
        let done = Command::new(&self.python)
            .args(["-c", SCRIPT])
            .arg(directory)
            .arg(rate_hz.to_string())
            .stderr(Stdio::inherit())
            .output()?;
        if !done.status.success() {
            return Err(format!("{} pesq.py: {}", self.python, done.status).into());
        }
        read(&String::from_utf8(done.stdout)?)
    }
}

fn read(said: &str) -> Result<BTreeMap<String, Score>, Box<dyn Error>> {
    let line = |line: &str| -> Result<(String, Score), Box<dyn Error>> {
        let (name, score) = line.split_once(' ').ok_or_else(|| format!("no score: {line}"))?;
        Ok((name.into(), Score::of(score.parse()?)))
    };
    said.lines().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_opinion_is_a_score_of_p_862() {
        // P.862.1: 0.999 + 4 / (1 + exp(-1.4945 x + 4.6607)).
        for (raw, mos_lqo) in [(1.0, 1.1608), (2.0, 1.6318), (3.5, 3.5541), (4.5, 4.5486)] {
            let found = Score::of(mos_lqo);
            assert!((found.raw - raw).abs() < 0.002, "{found:?}, not {raw}");
        }
    }

    #[test]
    fn lines_are_read_and_others_are_not() {
        let scores = read("1-white-0-off 1.25\n1-white-0-ours 2\n").expect("two lines");
        assert_eq!(scores["1-white-0-ours"], Score::of(2.0));
        assert!(read("nothing\n").is_err() && read("1-white-0-off loud\n").is_err());
    }
}
