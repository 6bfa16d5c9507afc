//! What happens to the files of the recordings that are on.

use std::collections::BTreeMap;
use std::io;

use media::record::{Block, RecordEvent, RecordFormat, RecordingFile, RecordingId, is_name};

use super::disk::{Disk, DiskFile};

/// Writes files and tells what became of them.
pub(super) struct Writer<D: Disk, T> {
    disk: D,
    tell: T,
    open: BTreeMap<RecordingId, Open<D::File>>,
    /// Bytes on their way to a file.
    bytes: Vec<u8>,
    serial: u32,
}

struct Open<F> {
    file: F,
    name: String,
    rate: u32,
    content: RecordingFile,
    safe: Safe,
}

/// What the file holds for certain: to this it is cut when the disk refuses more.
#[derive(Default)]
struct Safe {
    len: u64,
    header: Option<Vec<u8>>,
    duration_ms: u64,
}

impl<D: Disk, T: FnMut(RecordEvent)> Writer<D, T> {
    pub(super) fn new(disk: D, tell: T) -> Self {
        Self { disk, tell, open: BTreeMap::new(), bytes: Vec::new(), serial: 0 }
    }

    pub(super) fn start(&mut self, recording: RecordingId, name: &str, format: RecordFormat) {
        match self.try_start(recording, name, format) {
            Ok(()) => (self.tell)(RecordEvent::Started { recording }),
            Err(error) => (self.tell)(RecordEvent::Failed {
                recording,
                file: None,
                duration_ms: 0,
                error: error.to_string(),
            }),
        }
    }

    fn try_start(
        &mut self,
        recording: RecordingId,
        name: &str,
        format: RecordFormat,
    ) -> io::Result<()> {
        if !is_name(name) || self.open.contains_key(&recording) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.bytes.clear();
        self.serial = self.serial.wrapping_add(1);
        let content = RecordingFile::new(format, self.serial, &mut self.bytes)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let name = format!("{name}.{}", format.container.extension());
        let mut file = self.disk.create(&name)?;
        if let Err(error) = file.append(&self.bytes) {
            drop(file);
            self.disk.discard(&name)?;
            return Err(error);
        }
        let safe = Safe { len: self.bytes.len() as u64, ..Safe::default() };
        self.open.insert(recording, Open { file, name, rate: format.rate, content, safe });
        Ok(())
    }

    /// Of a recording that has failed, or was never begun, nothing is written.
    pub(super) fn write(&mut self, recording: RecordingId, block: &Block) {
        let Some(open) = self.open.get_mut(&recording) else { return };
        self.bytes.clear();
        let gap = open.content.push(block, &mut self.bytes);
        let result = open.write(&self.bytes);
        self.tell_of_gap(recording, gap);
        if let Err(error) = result {
            self.fail(recording, &error);
        }
    }

    /// The recording is over, and has `frames` if nothing was lost.
    pub(super) fn stop(&mut self, recording: RecordingId, frames: Option<u64>) {
        let Some(open) = self.open.get_mut(&recording) else { return };
        self.bytes.clear();
        let gap = frames.map_or(0, |frames| open.content.fill_up_to(frames, &mut self.bytes));
        open.content.finish(&mut self.bytes);
        let result = open.write(&self.bytes).and_then(|()| open.file.sync());
        self.tell_of_gap(recording, gap);
        if let Err(error) = result {
            return self.fail(recording, &error);
        }
        let Some(Open { file, name, safe, .. }) = self.open.remove(&recording) else { return };
        drop(file);
        let Safe { len: bytes, duration_ms, .. } = safe;
        (self.tell)(match self.disk.commit(&name) {
            Ok(()) => RecordEvent::Finished { recording, file: name, duration_ms, bytes },
            // It stays under its first name, and is found at the next start.
            Err(error) => {
                RecordEvent::Failed { recording, file: None, duration_ms, error: error.to_string() }
            }
        });
    }

    pub(super) fn stop_all(&mut self) {
        while let Some(recording) = self.open.keys().next().copied() {
            self.stop(recording, None);
        }
    }

    fn tell_of_gap(&mut self, recording: RecordingId, frames: u64) {
        let rate = self.open.get(&recording).map_or(1, |open| u64::from(open.rate));
        if frames > 0 {
            (self.tell)(RecordEvent::Gap { recording, ms: frames * 1000 / rate });
        }
    }

    /// The disk refuses: what is safe is kept under the final name.
    fn fail(&mut self, recording: RecordingId, error: &io::Error) {
        let Some(mut open) = self.open.remove(&recording) else { return };
        let duration_ms = open.safe.duration_ms;
        let closed = open.cut();
        let Open { file, name, .. } = open;
        drop(file);
        let kept = if duration_ms == 0 {
            self.disk.discard(&name).map(|()| None)
        } else {
            closed.and_then(|()| self.disk.commit(&name)).map(|()| Some(name))
        };
        // Whatever cannot be done now is done at the next start.
        let file = kept.unwrap_or_else(|error| {
            tracing::warn!(%error, "a failed recording stays unfinished");
            None
        });
        let error = error.to_string();
        (self.tell)(RecordEvent::Failed { recording, file, duration_ms, error });
    }
}

impl<F: DiskFile> Open<F> {
    /// Appends, then makes the header right: a crash between the two costs what was appended.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.append(bytes)?;
        let header = self.content.header();
        if let Some(header) = &header {
            self.file.patch(0, header)?;
        }
        self.safe = Safe {
            len: self.safe.len + bytes.len() as u64,
            header: header.map(Into::into),
            duration_ms: self.content.duration_ms(),
        };
        Ok(())
    }

    fn cut(&mut self) -> io::Result<()> {
        self.file.truncate(self.safe.len)?;
        if let Some(header) = &self.safe.header {
            self.file.patch(0, header)?;
        }
        self.file.sync()
    }
}
