//! Audio and reports of strangers, at any rate, for calls that must not notice.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::audio::{Audio, sender_report};

/// What a stranger's packets are full of.
pub const STRAY_MARK: u8 = 0x66;
/// Long enough for the last answer on its way, on a busy machine.
const QUIET: Duration = Duration::from_millis(300);
/// Time between two bursts.
const PACE: Duration = Duration::from_millis(2);

/// A stranger who sends RTP to even and reports to odd ports of 127.0.0.1 in turn, until told to
/// stop.
#[derive(Debug)]
pub struct Strays {
    thread: JoinHandle<Strayed>,
    stop: Arc<AtomicBool>,
}

/// What became of it.
#[derive(Clone, Debug)]
pub struct Strayed {
    /// Packets sent.
    pub sent: usize,
    /// For how long.
    pub time: Duration,
    /// What came back: must be nothing.
    pub answers: usize,
}

impl Strays {
    /// Starts one at any port of `from`, with so many packets a second in all.
    pub fn start(from: Ipv4Addr, ports: impl IntoIterator<Item = u16>, per_second: u32) -> Self {
        let ports: Vec<u16> = ports.into_iter().collect();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || spray(from, &ports, per_second, &stopped));
        Self { thread, stop }
    }

    /// Stops it.
    ///
    /// # Panics
    /// When it could not go on.
    pub fn end(self) -> Strayed {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("it ends")
    }
}

fn spray(from: Ipv4Addr, ports: &[u16], per_second: u32, stop: &AtomicBool) -> Strayed {
    let mut stranger = Audio::at(from, STRAY_MARK);
    let report = sender_report([STRAY_MARK; 4]);
    let began = Instant::now();
    let mut targets = ports.iter().cycle();
    let (mut sent, mut answers) = (0, 0);
    while !stop.load(Ordering::Relaxed) {
        let due = (began.elapsed().as_secs_f64() * f64::from(per_second)) as usize;
        for port in targets.by_ref().take(due.saturating_sub(sent)) {
            let to = SocketAddr::from((Ipv4Addr::LOCALHOST, *port));
            match port % 2 {
                0 => stranger.say(to),
                _ => stranger.send(&report, to),
            }
        }
        sent = sent.max(due);
        answers += stranger.heard_by_now().len();
        thread::sleep(PACE);
    }
    let time = began.elapsed();
    answers += stranger.heard(QUIET).len();
    Strayed { sent, time, answers }
}
