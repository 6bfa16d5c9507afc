//! Hygiene as tests: the walls between the crates, and habits that a compiler does not check.
//!
//! Knows the tree of files and `cargo metadata`; knows nothing of what the code does.

use std::fs;
use std::path::{Path, PathBuf};

/// Directories that are no source: build output, fuzz corpora, run-time data.
const SKIPPED: &[&str] = &["target", "corpus", "artifacts", "data", "node_modules"];

/// The top of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// One text file.
#[derive(Debug)]
pub struct Source {
    /// Its path below [`root`], with `/`.
    pub path: String,
    /// Its text.
    pub text: String,
}

impl Source {
    /// The part before the tests, which stand last in a file (STYLE: top-down, tests last).
    pub fn without_tests(&self) -> &str {
        let tests = self.text.find("\n#[cfg(test)]\nmod tests {");
        tests.map_or(&self.text, |end| &self.text[..end])
    }

    /// Whether the whole file is compiled for tests only.
    pub fn is_test(&self) -> bool {
        let is_test_module = |text: &str, stem: &str| {
            ["mod ", "pub mod ", "pub(crate) mod ", "pub(super) mod "]
                .iter()
                .any(|word| text.contains(&format!("#[cfg(test)]\n{word}{stem};")))
        };
        let (directory, file) = self.path.rsplit_once('/').unwrap_or(("", &self.path));
        let stem = file.trim_end_matches(".rs");
        self.path.contains("/tests/")
            || self.path.contains("/benches/")
            || self.path.contains("/examples/")
            || self.path.starts_with("tests/")
            || parents(directory, stem).any(|(parent, stem)| is_test_module(&parent, &stem))
    }
}

/// Texts of the files that may declare the module, and its name there, upwards to the crate.
fn parents(directory: &str, stem: &str) -> impl Iterator<Item = (String, String)> {
    let mut chain = Vec::new();
    let (mut directory, mut stem) = (directory.to_owned(), stem.to_owned());
    while directory.contains("/src") {
        for name in ["mod.rs".to_owned(), "lib.rs".to_owned(), "main.rs".to_owned()] {
            if let Ok(text) = fs::read_to_string(root().join(&directory).join(name)) {
                chain.push((text, stem.clone()));
            }
        }
        if let Ok(text) = fs::read_to_string(root().join(format!("{directory}.rs"))) {
            chain.push((text, stem.clone()));
        }
        let Some((up, name)) = directory.rsplit_once('/') else { break };
        (directory, stem) = (up.to_owned(), name.to_owned());
    }
    chain.into_iter()
}

/// Every file below `directory` whose name ends in `.extension`, in the order of the paths.
pub fn sources(directory: &str, extension: &str) -> Vec<Source> {
    let mut found = Vec::new();
    walk(directory, &mut |path, is_directory| {
        if !is_directory && path.ends_with(&format!(".{extension}")) {
            let bytes = fs::read(root().join(path)).unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            found.push(Source { path: path.to_owned(), text });
        }
    });
    found
}

/// Every directory below `directory`.
pub fn directories(directory: &str) -> Vec<String> {
    let mut found = Vec::new();
    walk(directory, &mut |path, is_directory| {
        if is_directory {
            found.push(path.to_owned());
        }
    });
    found
}

fn walk(directory: &str, visit: &mut dyn FnMut(&str, bool)) {
    for name in names(directory) {
        if SKIPPED.contains(&name.as_str()) || name.starts_with('.') {
            continue;
        }
        let path = format!("{directory}/{name}");
        let is_directory = root().join(&path).is_dir();
        visit(&path, is_directory);
        if is_directory {
            walk(&path, visit);
        }
    }
}

/// Names in a directory, sorted; none when it does not exist.
pub fn names(directory: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(root().join(directory)) else { return Vec::new() };
    let mut names: Vec<_> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
