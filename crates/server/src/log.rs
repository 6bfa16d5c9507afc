//! The log: lines to standard error, written by a thread of their own so that a slow terminal or
//! pipe never stops a call, and limited per kind of line so that a flood on the wire is none here.

use std::collections::HashMap;
use std::io::{self, BufWriter, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::filter::{EnvFilter, FilterExt};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, Filter, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, reload};

use crate::config;

/// Lines waiting for the writer; beyond, new ones are dropped and counted.
const QUEUE_MAX: usize = 4096;
/// Longest line, in bytes; the rest of it is cut off.
const LINE_MAX: usize = 8192;
/// The window of the rate limit.
const WINDOW: Duration = Duration::from_secs(1);

/// Keeps the log alive; dropping it writes out what waits.
pub(crate) struct LogGuard {
    lines: Lines,
    writer: Option<JoinHandle<()>>,
    level: Level,
}

/// What is logged, which may change while we run.
#[derive(Clone)]
pub(crate) struct Level(reload::Handle<EnvFilter, Registry>);

impl Level {
    /// Follows `[log] level`; `RUST_LOG` goes first, as at the start.
    pub(crate) fn follow(&self, settings: &config::Log) {
        // Only after the end of the log there is nothing to change.
        let _ = self.0.reload(filter(settings));
    }
}

impl LogGuard {
    /// What is logged.
    pub(crate) fn level(&self) -> Level {
        self.level.clone()
    }
}

fn filter(settings: &config::Log) -> EnvFilter {
    EnvFilter::try_from_default_env()
        .or_else(|_| EnvFilter::try_new(&settings.filter))
        .unwrap_or_else(|_| EnvFilter::new("info"))
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        // The subscriber is global and keeps a sender, so the end is a message of its own.
        let _ = self.lines.sender.send(Message::Stop);
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

/// Starts logging for the whole process. `RUST_LOG` goes before the configured level.
pub(crate) fn start(settings: &config::Log) -> LogGuard {
    let (sender, receiver) = sync_channel(QUEUE_MAX);
    let lines = Lines { sender, dropped: Arc::default() };
    let dropped = Arc::clone(&lines.dropped);
    let writer = std::thread::Builder::new().name("log".into());
    let writer = writer.spawn(move || write_lines(&receiver, &dropped, io::stderr())).ok();
    base::Masked::show_all(!settings.redact_numbers);
    let (filter, handle) = reload::Layer::new(filter(settings));
    let limit = RateLimit::new(settings.lines_per_second_max, settings.json, lines.clone());
    let layer: Box<dyn Layer<Registry> + Send + Sync> = if settings.json {
        let layer = tracing_subscriber::fmt::layer().json().with_writer(lines.clone());
        Box::new(layer.with_filter(filter.and(limit)))
    } else {
        let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(lines.clone());
        Box::new(layer.with_filter(filter.and(limit)))
    };
    // Only a second start in one process fails; the first one's log goes on then.
    let _ = tracing_subscriber::registry().with(layer).try_init();
    LogGuard { lines, writer, level: Level(handle) }
}

enum Message {
    Line(Vec<u8>),
    Stop,
}

/// The way of a line to the writer.
#[derive(Clone)]
struct Lines {
    sender: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

impl Lines {
    fn push(&self, line: Vec<u8>) {
        if self.sender.try_send(Message::Line(line)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// One event being formatted.
struct Line<'a> {
    to: &'a Lines,
    bytes: Vec<u8>,
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = LINE_MAX.saturating_sub(self.bytes.len()).min(bytes.len());
        self.bytes.extend_from_slice(&bytes[..room]);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        if bytes.last().is_some_and(|&b| b != b'\n') {
            bytes.push(b'\n');
        }
        if !bytes.is_empty() {
            self.to.push(bytes);
        }
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        Line { to: self, bytes: Vec::with_capacity(256) }
    }
}

fn write_lines(receiver: &Receiver<Message>, dropped: &AtomicU64, out: impl Write) {
    let mut out = BufWriter::with_capacity(64 * 1024, out);
    while let Ok(first) = receiver.recv() {
        let mut next = Some(first);
        // Whatever waits goes out in one write.
        while let Some(message) = next {
            match message {
                Message::Line(line) => {
                    // Nothing can be said when the log itself cannot be written.
                    let _ = out.write_all(&line);
                }
                Message::Stop => {
                    let _ = out.flush();
                    return;
                }
            }
            next = receiver.try_recv().ok();
        }
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let _ = writeln!(out, "log: {lost} lines dropped, the reader of this log is too slow");
        }
        let _ = out.flush();
    }
}

/// At most so many lines a second from each place in the code.
struct RateLimit {
    per_window: u32,
    json: bool,
    lines: Lines,
    kinds: Mutex<HashMap<Identifier, Window>>,
}

struct Window {
    since: Instant,
    lines: u32,
    suppressed: u64,
}

impl RateLimit {
    fn new(per_window: u32, json: bool, lines: Lines) -> Self {
        Self { per_window, json, lines, kinds: Mutex::default() }
    }

    /// Whether a line of this kind may go out now. The kinds are places in our code: few.
    fn admit(&self, metadata: &'static Metadata<'static>, now: Instant) -> bool {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = || Window { since: now, lines: 0, suppressed: 0 };
        let window = kinds.entry(metadata.callsite()).or_insert_with(fresh);
        if now.duration_since(window.since) >= WINDOW {
            if window.suppressed > 0 {
                self.lines.push(self.told(metadata, window.suppressed));
            }
            *window = fresh();
        }
        if window.lines >= self.per_window {
            window.suppressed += 1;
            return false;
        }
        window.lines += 1;
        true
    }

    fn told(&self, metadata: &Metadata<'_>, suppressed: u64) -> Vec<u8> {
        let place = metadata.name();
        let line = if self.json {
            let message = format!("{suppressed} lines like this suppressed");
            format!(
                "{}\n",
                serde_json::json!({"level": "WARN", "place": place, "message": message})
            )
        } else {
            format!("log: {suppressed} lines of {place} suppressed\n")
        };
        line.into_bytes()
    }
}

impl<S: Subscriber> Filter<S> for RateLimit {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        self.admit(event.metadata(), Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines() -> (Lines, Receiver<Message>) {
        let (sender, receiver) = sync_channel(4);
        (Lines { sender, dropped: Arc::default() }, receiver)
    }

    fn text(message: Message) -> String {
        match message {
            Message::Line(line) => String::from_utf8(line).unwrap(),
            Message::Stop => "stop".into(),
        }
    }

    #[test]
    fn a_flood_of_one_kind_is_cut_and_counted() {
        static SITE: Site = Site;
        static META: Metadata<'static> = tracing::metadata! {
            name: "flood", target: "test", level: tracing::Level::WARN,
            fields: &[], callsite: &SITE, kind: tracing::metadata::Kind::EVENT
        };
        struct Site;
        impl tracing::Callsite for Site {
            fn set_interest(&self, _: tracing::subscriber::Interest) {}
            fn metadata(&self) -> &Metadata<'_> {
                &META
            }
        }
        let (lines, receiver) = lines();
        let limit = RateLimit::new(2, false, lines);
        let start = Instant::now();
        let admitted = (0..10).filter(|_| limit.admit(&META, start)).count();
        assert_eq!(admitted, 2);
        assert!(limit.admit(&META, start + WINDOW));
        let told = text(receiver.try_recv().unwrap_or(Message::Stop));
        assert_eq!(told, "log: 8 lines of flood suppressed\n");
    }

    #[test]
    fn a_full_queue_drops_and_tells_instead_of_blocking() {
        let (lines, receiver) = lines();
        for number in 0..6 {
            lines.push(format!("{number}\n").into_bytes());
        }
        let dropped = Arc::clone(&lines.dropped);
        drop(lines);
        let mut out = Vec::new();
        write_lines(&receiver, &dropped, &mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("0\n1\n2\n3\nlog: 2 lines dropped"), "{text}");
    }

    #[test]
    fn a_line_is_bounded_and_ends() {
        let (lines, receiver) = lines();
        let mut line = lines.make_writer();
        line.write_all(&[b'x'; 2 * LINE_MAX]).unwrap();
        drop(line);
        let line = text(receiver.try_recv().unwrap_or(Message::Stop));
        assert_eq!(line.len(), LINE_MAX + 1);
        assert!(line.ends_with("x\n"));
    }
}
