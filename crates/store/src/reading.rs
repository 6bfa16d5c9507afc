//! Call records read again, newest first: a bounded walk backwards through the files.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use call::record::CallRecord;

/// Bytes read in one go.
const BLOCK: u64 = 64 << 10;
/// Longest line looked at; a longer one is skipped.
const LINE_MAX: usize = 1 << 20;
/// Bytes that one question may cost: what lies further back is not found.
const BUDGET: u64 = 256 << 20;

/// Reads what [`crate::CallRecordFile`] writes. Every question opens the files anew, so that it
/// needs no word with the writer.
#[derive(Clone, Debug)]
pub struct CallRecordReader {
    path: PathBuf,
    keep: usize,
}

impl CallRecordReader {
    /// Of the file at `path` and its `keep` older ones.
    pub fn new(path: &Path, keep: usize) -> Self {
        Self { path: path.to_owned(), keep }
    }

    /// At most `limit` records that are older than that of `before` and that `wanted` wants, the
    /// newest first.
    pub fn page(
        &self,
        limit: usize,
        before: Option<&str>,
        wanted: impl Fn(&CallRecord) -> bool,
    ) -> io::Result<Vec<CallRecord>> {
        let mut found = Vec::new();
        let start = before.map(line_start);
        let mut passed = start.is_none();
        self.walk(|line| {
            if !passed {
                passed = start.as_deref().is_some_and(|start| line.starts_with(start));
                return true;
            }
            // What is torn is no record.
            let record = serde_json::from_slice::<CallRecord>(line).ok();
            found.extend(record.filter(|record| wanted(record)));
            found.len() < limit
        })?;
        Ok(found)
    }

    /// The record of this id.
    pub fn find(&self, id: &str) -> io::Result<Option<CallRecord>> {
        let start = line_start(id);
        let mut found = None;
        self.walk(|line| {
            if line.starts_with(&start) {
                found = serde_json::from_slice::<CallRecord>(line).ok();
            }
            found.is_none()
        })?;
        Ok(found.filter(|record| record.id == id))
    }

    /// Shows every line, the newest first, until `go_on` has enough.
    fn walk(&self, mut go_on: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
        let mut budget = BUDGET;
        let mut seen = Vec::new();
        for age in 0..=self.keep {
            let mut file = match File::open(self.aged(age)) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            // Renamed between two opens: it is the one we have just read.
            let metadata = file.metadata()?;
            if seen.contains(&metadata.ino()) {
                continue;
            }
            seen.push(metadata.ino());
            if !backwards(&mut file, metadata.len(), &mut budget, &mut go_on)? {
                break;
            }
        }
        Ok(())
    }

    fn aged(&self, age: usize) -> PathBuf {
        if age == 0 {
            return self.path.clone();
        }
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{age}"));
        name.into()
    }
}

/// How the line of a record begins: the id is its first field.
fn line_start(id: &str) -> Vec<u8> {
    let id = serde_json::to_string(id).unwrap_or_default();
    format!("{{\"id\":{id},").into_bytes()
}

/// Shows the lines of one file from its end; whether more are wanted.
fn backwards(
    file: &mut File,
    len: u64,
    budget: &mut u64,
    go_on: &mut impl FnMut(&[u8]) -> bool,
) -> io::Result<bool> {
    let mut end = len;
    // What was read of a line that begins further ahead; `None` while one is too long to be kept.
    let mut tail: Option<Vec<u8>> = Some(Vec::new());
    let mut block = Vec::new();
    while end > 0 {
        let size = end.min(BLOCK);
        if *budget < size {
            return Ok(false);
        }
        *budget -= size;
        end -= size;
        file.seek(SeekFrom::Start(end))?;
        block.clear();
        file.by_ref().take(size).read_to_end(&mut block)?;
        let mut rest = &block[..];
        while let Some(at) = rest.iter().rposition(|byte| *byte == b'\n') {
            let line = tail.replace(Vec::new()).map(|tail| [&rest[at + 1..], &tail].concat());
            if line.is_some_and(|line| !line.is_empty() && !go_on(&line)) {
                return Ok(false);
            }
            rest = &rest[..at];
        }
        tail = tail.map(|tail| [rest, &tail].concat()).filter(|tail| tail.len() <= LINE_MAX);
    }
    Ok(tail.is_none_or(|line| line.is_empty() || go_on(&line)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CallRecordFile;
    use crate::testing::{TempDir, call_record};
    use std::io::Write as _;

    fn ids(records: &[CallRecord]) -> Vec<&str> {
        records.iter().map(|record| record.id.as_str()).collect()
    }

    fn filled(dir: &TempDir, count: usize, per_file: u64, keep: usize) -> CallRecordReader {
        let path = dir.path().join("calls.jsonl");
        let line = serde_json::to_vec(&call_record(10)).unwrap().len() as u64 + 1;
        let mut file = CallRecordFile::open(&path, per_file * line, keep).unwrap();
        for number in 10..10 + count {
            file.append(&[call_record(number)]).unwrap();
        }
        CallRecordReader::new(&path, keep)
    }

    #[test]
    fn records_come_newest_first_over_all_files_page_by_page() {
        let dir = TempDir::new();
        let reader = filled(&dir, 9, 2, 3);
        // Two files of two are gone.
        let all = reader.page(100, None, |_| true).unwrap();
        assert_eq!(
            ids(&all),
            ["call-18", "call-17", "call-16", "call-15", "call-14", "call-13", "call-12"]
        );
        let first = reader.page(3, None, |_| true).unwrap();
        let next = reader.page(3, Some(&first[2].id), |_| true).unwrap();
        assert_eq!(ids(&next), ["call-15", "call-14", "call-13"]);
        let odd = reader.page(2, None, |record| record.id.ends_with(['1', '3', '5', '7'])).unwrap();
        assert_eq!(ids(&odd), ["call-17", "call-15"]);
        assert_eq!(reader.page(3, Some("call-1"), |_| true).unwrap(), []);
    }

    #[test]
    fn a_record_is_found_by_its_whole_id_only() {
        let dir = TempDir::new();
        let reader = filled(&dir, 5, 100, 1);
        assert_eq!(reader.find("call-12").unwrap().unwrap().id, "call-12");
        for id in ["call-1", "call-", "", "call-12\",", "../calls.jsonl"] {
            assert_eq!(reader.find(id).unwrap(), None, "{id}");
        }
    }

    #[test]
    fn torn_and_endless_lines_hide_nothing_else() {
        let dir = TempDir::new();
        let reader = filled(&dir, 2, 100, 1);
        let mut file = File::options().append(true).open(dir.path().join("calls.jsonl")).unwrap();
        file.write_all(b"{\"id\":\"call-\n").unwrap();
        file.write_all(&vec![b'x'; 2 * LINE_MAX]).unwrap();
        file.write_all(b"\n\n").unwrap();
        let mut line = serde_json::to_vec(&call_record(99)).unwrap();
        line.push(b'\n');
        file.write_all(&line).unwrap();
        let all = reader.page(100, None, |_| true).unwrap();
        assert_eq!(ids(&all), ["call-99", "call-11", "call-10"]);
    }

    #[test]
    fn without_a_file_there_are_no_records() {
        let dir = TempDir::new();
        let reader = CallRecordReader::new(&dir.path().join("none"), 3);
        assert_eq!(reader.page(5, None, |_| true).unwrap(), []);
        assert_eq!(reader.find("call-1").unwrap(), None);
    }
}
