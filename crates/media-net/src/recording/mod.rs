//! Recordings on the disk: one thread that writes, a bounded queue before it.
//!
//! ```text
//! media workers ── blocks of a second ──▶ queue ─▶ thread "recording" ─▶ NAME.wav.part ─▶ NAME.wav
//!                  full: lost, a gap               └─ events: started, gap, finished, failed
//! ```
//! A disk that is slow, full or broken costs recordings and never a call (ATTACKS 30).

mod disk;
mod writer;

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use media::record::{Block, BlockSink, RecordEvent, RecordFormat, RecordingId};

use self::disk::Directory;
use self::writer::Writer;

/// Where recordings go.
#[derive(Clone, Debug)]
pub struct RecordingConfig {
    /// Their directory; made if it does not exist, readable for nobody else.
    pub directory: PathBuf,
    /// Blocks that may wait for the disk, of 64 kB at most; what comes then is lost.
    pub queue: usize,
}

/// The thread that writes. Dropping it finishes all files.
pub struct Recordings {
    queue: RecordingQueue,
    thread: Option<JoinHandle<()>>,
}

/// The way to the disk, for each worker its own.
#[derive(Clone)]
pub struct RecordingQueue {
    jobs: Sender<Job>,
    shared: Arc<Shared>,
}

/// The way of one recording's blocks.
pub struct RecordingSink {
    recording: RecordingId,
    queue: RecordingQueue,
}

/// What the thread is to do. Only blocks are limited: of the others there are few.
enum Job {
    Start { recording: RecordingId, name: String, format: RecordFormat },
    Block { recording: RecordingId, block: Block },
    Stop { recording: RecordingId, frames: u64 },
    End,
}

struct Shared {
    /// Blocks in the queue, and how many may be.
    waiting: AtomicUsize,
    limit: usize,
    /// Empty vectors that have been blocks.
    spare: Mutex<Vec<Vec<i16>>>,
}

impl Recordings {
    /// Completes what a crash has left in the directory, then waits for recordings. `tell` is called
    /// on the thread.
    ///
    /// # Errors
    /// When the directory cannot be made or read, or the thread is refused.
    pub fn start(
        config: RecordingConfig,
        mut tell: impl FnMut(RecordEvent) + Send + 'static,
    ) -> io::Result<Self> {
        let disk = Directory::open(config.directory)?;
        disk.recover(&mut tell)?;
        Self::with_disk(disk, config.queue, tell)
    }

    fn with_disk<D: disk::Disk + 'static>(
        disk: D,
        limit: usize,
        tell: impl FnMut(RecordEvent) + Send + 'static,
    ) -> io::Result<Self> {
        let (jobs, inbox) = channel();
        let waiting = AtomicUsize::new(0);
        let shared = Arc::new(Shared { waiting, limit: limit.max(1), spare: Mutex::default() });
        let queue = RecordingQueue { jobs, shared: Arc::clone(&shared) };
        let writer = Writer::new(disk, tell);
        let thread = std::thread::Builder::new()
            .name("recording".to_owned())
            .spawn(move || work(writer, &inbox, &shared))?;
        Ok(Self { queue, thread: Some(thread) })
    }

    /// A way to the disk.
    pub fn queue(&self) -> RecordingQueue {
        self.queue.clone()
    }
}

impl Drop for Recordings {
    fn drop(&mut self) {
        // A thread that is gone has nothing left to finish.
        let _ = self.queue.jobs.send(Job::End);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the recording thread panicked");
        }
    }
}

impl RecordingQueue {
    /// Begins a file called `name` (see [`media::record::is_name`]). Answered by
    /// [`RecordEvent::Started`] or [`RecordEvent::Failed`].
    pub fn start(
        &self,
        recording: RecordingId,
        name: String,
        format: RecordFormat,
    ) -> RecordingSink {
        self.send(Job::Start { recording, name, format });
        RecordingSink { recording, queue: self.clone() }
    }

    fn send(&self, job: Job) {
        if self.jobs.send(job).is_err() {
            tracing::warn!("the recording thread is gone");
        }
    }
}

impl RecordingSink {
    /// Ends the file, which has `frames` when nothing was lost. Answered by
    /// [`RecordEvent::Finished`], or by [`RecordEvent::Failed`] if that has not come before.
    pub fn stop(self, frames: u64) {
        self.queue.send(Job::Stop { recording: self.recording, frames });
    }
}

impl BlockSink for RecordingSink {
    fn take(&mut self, block: &mut Block) {
        let shared = &self.queue.shared;
        if shared.waiting.fetch_add(1, Ordering::Relaxed) >= shared.limit {
            shared.waiting.fetch_sub(1, Ordering::Relaxed);
            // The thread sees it by the place of the next block.
            block.samples.clear();
            return;
        }
        // Waiting for the lock could mean waiting for the disk's thread.
        let spare = shared.spare.try_lock().ok().and_then(|mut spare| spare.pop());
        let next = spare.unwrap_or_else(|| Vec::with_capacity(block.samples.len()));
        let samples = std::mem::replace(&mut block.samples, next);
        let full = Block { at: block.at, samples };
        self.queue.send(Job::Block { recording: self.recording, block: full });
    }
}

impl Shared {
    /// A block is written.
    fn done(&self, mut samples: Vec<i16>) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        samples.clear();
        if let Ok(mut spare) = self.spare.lock()
            && spare.len() < self.limit
        {
            spare.push(samples);
        }
    }
}

fn work<D: disk::Disk>(
    mut writer: Writer<D, impl FnMut(RecordEvent)>,
    inbox: &Receiver<Job>,
    shared: &Shared,
) {
    for job in inbox {
        match job {
            Job::Start { recording, name, format } => writer.start(recording, &name, format),
            Job::Block { recording, block } => {
                writer.write(recording, &block);
                shared.done(block.samples);
            }
            Job::Stop { recording, frames } => writer.stop(recording, Some(frames)),
            Job::End => break,
        }
    }
    writer.stop_all();
}

#[cfg(test)]
mod tests;
