//! Where the committed inputs are.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Inputs of other tests that two targets share: the torture messages of RFC 4475 and RFC 5118.
const TORTURE: &str = "../../crates/sip/tests/torture";

/// The directories with inputs for a target, its own first.
pub fn directories(target: &str) -> Vec<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut directories = vec![here.join("corpus").join(target)];
    if matches!(target, "message" | "framing") {
        directories.extend(["rfc4475", "rfc5118"].map(|rfc| here.join(TORTURE).join(rfc)));
    }
    directories
}

/// All inputs for a target, in the order of their names.
///
/// # Errors
/// When a directory or a file cannot be read.
pub fn inputs(target: &str) -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut inputs = Vec::new();
    for directory in directories(target) {
        let entries = fs::read_dir(&directory)?.map(|entry| entry.map(|entry| entry.path()));
        let mut paths = entries.collect::<Result<Vec<_>, _>>()?;
        paths.sort();
        for path in paths.into_iter().filter(|path| path.is_file()) {
            let bytes = fs::read(&path)?;
            inputs.push((path, bytes));
        }
    }
    Ok(inputs)
}
