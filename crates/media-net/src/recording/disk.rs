//! The directory of the recordings, and what a crash has left there.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use media::record::{Container, RecordEvent, Repair, repair};

/// What an unfinished file is called, after its final name.
const PART: &str = ".part";

/// Where files are made. Names are final ones, with extension.
pub(super) trait Disk: Send {
    type File: DiskFile;
    /// A new file under its first name.
    fn create(&mut self, name: &str) -> io::Result<Self::File>;
    /// Gives a file its final name; it has it after a crash, too.
    fn commit(&mut self, name: &str) -> io::Result<()>;
    /// Removes an unfinished file.
    fn discard(&mut self, name: &str) -> io::Result<()>;
}

/// A file being written.
pub(super) trait DiskFile: Send {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    fn patch(&mut self, at: u64, bytes: &[u8]) -> io::Result<()>;
    /// Cuts it; what is appended then comes there.
    fn truncate(&mut self, len: u64) -> io::Result<()>;
    /// Returns when it is on the disk.
    fn sync(&mut self) -> io::Result<()>;
}

/// A directory of the operating system.
pub(super) struct Directory {
    path: PathBuf,
}

impl Directory {
    /// Made if it is not there, for us alone: what customers say is private.
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
        Ok(Self { path })
    }

    /// Completes every unfinished file that nobody writes, and tells of it. One that cannot be
    /// completed is left for a human.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub(super) fn recover(&self, tell: &mut impl FnMut(RecordEvent)) -> io::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            let Some(name) = name.to_str().and_then(|name| name.strip_suffix(PART)) else {
                continue;
            };
            match self.recover_file(name) {
                Ok(Some(duration_ms)) => {
                    tell(RecordEvent::Recovered { file: name.to_owned(), duration_ms });
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, name, "an unfinished recording is left"),
            }
        }
        Ok(())
    }

    /// How much sound is in it; `None` when it is not for us to complete.
    fn recover_file(&self, name: &str) -> io::Result<Option<u64>> {
        let all = [Container::Wav, Container::OggOpus];
        let is_kind =
            |kind: &Container| Path::new(name).extension().is_some_and(|it| it == kind.extension());
        let Some(container) = all.into_iter().find(is_kind) else { return Ok(None) };
        let mut file = File::options().read(true).write(true).open(self.part(name))?;
        // Another process of ours may still be writing it.
        if file.try_lock().is_err() {
            return Ok(None);
        }
        let len = file.metadata()?.len();
        let repair = repair(container, len, |at, most| read(&mut file, at, most))?;
        let Some(Repair { len, patch: (at, bytes), duration_ms }) = repair else {
            tracing::warn!(name, "an unfinished recording has no sound: left as it is");
            return Ok(None);
        };
        file.truncate(len)?;
        file.patch(at, &bytes)?;
        file.sync()?;
        self.rename(name)?;
        Ok(Some(duration_ms))
    }

    fn part(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}{PART}"))
    }

    /// Atomic, and on the disk when it returns (K1).
    fn rename(&self, name: &str) -> io::Result<()> {
        let target = self.path.join(name);
        if target.exists() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        fs::rename(self.part(name), target)?;
        File::open(&self.path)?.sync_all()
    }
}

impl Disk for Directory {
    type File = File;

    fn create(&mut self, name: &str) -> io::Result<File> {
        if self.path.join(name).exists() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(self.part(name))?;
        file.lock()?;
        Ok(file)
    }

    fn commit(&mut self, name: &str) -> io::Result<()> {
        self.rename(name)
    }

    fn discard(&mut self, name: &str) -> io::Result<()> {
        fs::remove_file(self.part(name))
    }
}

impl DiskFile for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn patch(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, at)
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.set_len(len)?;
        self.seek(SeekFrom::Start(len)).map(drop)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}

/// Up to so many bytes from a place on.
fn read(file: &mut File, at: u64, most: usize) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(at))?;
    let mut bytes = Vec::new();
    file.take(most as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}
