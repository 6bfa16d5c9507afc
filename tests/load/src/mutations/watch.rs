//! Somebody who asks the server all the time whether it is there.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::sip::text::{header, ping};

/// From one question to the next.
const PAUSE: Duration = Duration::from_millis(20);
/// A question without an answer for so long is lost.
const PATIENCE: Duration = Duration::from_secs(5);

/// The questions and what became of them.
#[derive(Debug, Default)]
pub(super) struct Pings {
    /// Questions asked.
    pub(super) sent: u64,
    /// Those without an answer.
    pub(super) lost: u64,
    /// How long each answer took, in milliseconds, sorted.
    times_ms: Vec<f32>,
}

impl Pings {
    /// The time in milliseconds that a share of the answers stayed under.
    pub(super) fn at(&self, share: f64) -> f32 {
        let last = self.times_ms.len().max(1) - 1;
        let at = ((self.times_ms.len() as f64 * share) as usize).min(last);
        self.times_ms.get(at).copied().unwrap_or(f32::NAN)
    }
}

/// Asks until it is stopped.
#[derive(Debug)]
pub(super) struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Pings>,
}

impl Watch {
    /// Begins to ask.
    ///
    /// # Errors
    /// When no socket can be had.
    pub(super) fn start(server: SocketAddr) -> io::Result<Self> {
        // Nobody that any configuration knows.
        let socket = UdpSocket::bind("127.0.0.9:0")?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let us = socket.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut pings = Pings::default();
            while !stopped.load(Ordering::Relaxed) {
                pings.sent += 1;
                match ask(&socket, us, server, pings.sent) {
                    Some(took) => pings.times_ms.push(took.as_secs_f32() * 1000.0),
                    None => pings.lost += 1,
                }
                std::thread::sleep(PAUSE);
            }
            pings.times_ms.sort_by(f32::total_cmp);
            pings
        });
        Ok(Self { stop, thread })
    }

    /// Stops and tells.
    pub(super) fn stop(self) -> Pings {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_default()
    }
}

fn ask(socket: &UdpSocket, us: SocketAddr, server: SocketAddr, n: u64) -> Option<Duration> {
    let id = format!("watch-{n}");
    let begun = Instant::now();
    socket.send_to(ping(us, server, &id).as_bytes(), server).ok()?;
    let mut buffer = [0; 4096];
    loop {
        let len = socket.recv(&mut buffer).ok()?;
        let text = String::from_utf8_lossy(&buffer[..len]);
        if header(&text, "Call-ID") == Some(&id) {
            return Some(begun.elapsed());
        }
    }
}
