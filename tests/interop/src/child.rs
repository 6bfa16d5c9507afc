//! Processes that are never left behind.

use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use std::{fs::File, path::Path, thread};

/// A process of ours; killed by its id when dropped.
#[derive(Debug)]
pub struct Child {
    process: std::process::Child,
    name: String,
}

impl Child {
    /// Starts `command` with both outputs in the file `output`; its input is a pipe.
    pub fn start(mut command: Command, name: &str, output: &Path) -> Self {
        let file = File::create(output).unwrap();
        command.stdin(Stdio::piped()).stdout(file.try_clone().unwrap()).stderr(file);
        let process = command.spawn();
        let process = process.unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        Self { process, name: name.to_owned() }
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// What it reads.
    pub fn stdin(&mut self) -> Option<std::process::ChildStdin> {
        self.process.stdin.take()
    }

    /// Asks it to end.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends it a signal by name.
    pub fn signal(&self, name: &str) {
        let kill = Command::new("kill").args(["-s", name]).arg(self.pid().to_string()).status();
        assert!(kill.unwrap().success(), "{} is gone already", self.name);
    }

    /// How it ended, or `None` when it has not within `limit`.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        eventually(limit, || self.process.try_wait().unwrap())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) {
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }
}

/// Tries again until something comes of it, or `limit` has passed.
pub fn eventually<T>(limit: Duration, mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = attempt() {
            return Some(found);
        }
        if Instant::now() >= end {
            return None;
        }
        thread::sleep(Duration::from_millis(10));
    }
}
