//! Call records as JSON lines: appended, rotated by size, never torn.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use call::record::CallRecord;

/// A file of one JSON object a line, with older ones beside it: `calls.jsonl`, `calls.jsonl.1`, …
#[derive(Debug)]
pub struct CallRecordFile {
    path: PathBuf,
    file: File,
    len: u64,
    len_max: u64,
    keep: usize,
}

impl CallRecordFile {
    /// Opens or makes the file. Beyond `len_max` bytes it is renamed, and `keep` older ones stay.
    pub fn open(path: &Path, len_max: u64, keep: usize) -> io::Result<Self> {
        if let Some(directory) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
            std::fs::create_dir_all(directory)?;
        }
        let mut file = Self::open_file(path)?;
        let mut len = file.seek(SeekFrom::End(0))?;
        // A crash in the middle of a write leaves half a line: it stays a line of its own.
        if len > 0 {
            let mut last = [0];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                file.write_all(b"\n")?;
                len += 1;
            }
        }
        Ok(Self { path: path.into(), file, len, len_max, keep })
    }

    fn open_file(path: &Path) -> io::Result<File> {
        OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)
    }

    /// Appends records as whole lines, all or none; on an error (disk full) the file is as before.
    pub fn append<'a>(
        &mut self,
        records: impl IntoIterator<Item = &'a CallRecord>,
    ) -> io::Result<()> {
        let mut lines = Vec::new();
        for record in records {
            serde_json::to_writer(&mut lines, record)?;
            lines.push(b'\n');
        }
        let added = lines.len() as u64;
        if self.len > 0 && self.len + added > self.len_max {
            self.rotate()?;
        }
        if let Err(error) = self.file.write_all(&lines) {
            self.file.set_len(self.len)?;
            return Err(error);
        }
        self.len += added;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        for age in (1..self.keep).rev() {
            match std::fs::rename(self.aged(age), self.aged(age + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        if self.keep > 0 {
            std::fs::rename(&self.path, self.aged(1))?;
        } else {
            std::fs::remove_file(&self.path)?;
        }
        self.file = Self::open_file(&self.path)?;
        self.len = 0;
        Ok(())
    }

    fn aged(&self, age: usize) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{age}"));
        name.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{TempDir, call_record};

    fn ids(path: &Path) -> Vec<String> {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines()
            .map(|line| match serde_json::from_str::<CallRecord>(line) {
                Ok(record) => record.id,
                Err(_) => "torn".into(),
            })
            .collect()
    }

    #[test]
    fn lines_survive_reopening_and_a_torn_one_stays_alone() {
        let dir = TempDir::new();
        let path = dir.path().join("sub/calls.jsonl");
        let mut file = CallRecordFile::open(&path, 1 << 20, 2).unwrap();
        file.append(&[call_record(1), call_record(2)]).unwrap();
        drop(file);
        let mut torn = OpenOptions::new().append(true).open(&path).unwrap();
        torn.write_all(b"{\"id\":\"call-").unwrap();
        let mut file = CallRecordFile::open(&path, 1 << 20, 2).unwrap();
        file.append(&[call_record(3)]).unwrap();
        assert_eq!(ids(&path), ["call-1", "call-2", "torn", "call-3"]);
    }

    #[test]
    fn files_rotate_by_size_and_the_oldest_go() {
        let dir = TempDir::new();
        let path = dir.path().join("calls.jsonl");
        let line = serde_json::to_vec(&call_record(0)).unwrap().len() as u64 + 1;
        let mut file = CallRecordFile::open(&path, 2 * line, 2).unwrap();
        for i in 0..9 {
            file.append(&[call_record(i)]).unwrap();
        }
        assert_eq!(ids(&path), ["call-8"]);
        assert_eq!(ids(&dir.path().join("calls.jsonl.1")), ["call-6", "call-7"]);
        assert_eq!(ids(&dir.path().join("calls.jsonl.2")), ["call-4", "call-5"]);
        assert!(!dir.path().join("calls.jsonl.3").exists());
    }

    #[test]
    fn a_full_disk_is_an_error_and_nothing_else() {
        let mut file = CallRecordFile {
            path: "/dev/full".into(),
            file: OpenOptions::new().append(true).open("/dev/full").unwrap(),
            len: 0,
            len_max: 1 << 20,
            keep: 1,
        };
        assert!(file.append(&[call_record(1)]).is_err());
        assert_eq!(file.len, 0);
    }
}
