//! What the machine says of itself: the processor time of a process; how late it is, to hold ticks
//! against, by a thread on every processor that does nothing but wait for a 2 ms timer, above all
//! other threads; and what the hypervisor took away.
#![allow(unsafe_code)]

use std::io;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::rtp::{realtime, sleep_until, started};

/// Above the media workers (10), so that these wait for nobody.
const PRIORITY: libc::c_int = 20;
/// A processor that stands still for longer than this is seen as such.
const PERIOD_NANOS: u64 = 2_000_000;
/// Lateness of a bare timer from which on the processor stood still: it costs a tick that has a fifth
/// of its time left nothing.
const STILL_NANOS: u64 = 1_000_000;
/// Unit of `/proc/stat`, milliseconds (`USER_HZ` is 100 on every Linux).
const JIFFY_MS: u64 = 10;

/// Bare timers that run.
pub struct Watch {
    done: Arc<AtomicBool>,
    timers: Vec<JoinHandle<Vec<Late>>>,
    stolen_ms: u64,
}

/// How late a bare timer was, nanoseconds, and when it ran at last, since 1970.
struct Late {
    nanos: u64,
    at: u64,
}

/// What they saw.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Lateness of the latest, of all processors, milliseconds.
    pub latest_ms: f64,
    /// What all but one in a hundred, and in a thousand, stayed below.
    pub p99_ms: f64,
    /// As above.
    pub p999_ms: f64,
    /// What the hypervisor took of all processors together, milliseconds.
    pub stolen_ms: u64,
    /// When a processor went on that had stood still for a millisecond or longer, nanoseconds since 1970.
    pub stood_still: Vec<u64>,
}

impl Watch {
    /// Starts the timers.
    ///
    /// # Errors
    /// When the system tells nothing of its processors.
    pub fn start() -> io::Result<Self> {
        let done = Arc::new(AtomicBool::new(false));
        let cpus = std::thread::available_parallelism()?.get();
        let timers = (0..cpus).map(|cpu| {
            let done = Arc::clone(&done);
            std::thread::spawn(move || time(cpu, &done))
        });
        Ok(Self { timers: timers.collect(), done, stolen_ms: stolen_ms()? })
    }

    /// Ends them.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn stop(self) -> io::Result<Seen> {
        self.done.store(true, Ordering::Relaxed);
        let stolen_ms = stolen_ms()?.saturating_sub(self.stolen_ms);
        let mut late = vec![];
        for timer in self.timers {
            late.extend(timer.join().map_err(|_| io::Error::other("a timer"))?);
        }
        late.sort_unstable_by_key(|late: &Late| late.nanos);
        let at = |share: f64| {
            let index = ((late.len() as f64 * share) as usize).min(late.len().saturating_sub(1));
            late.get(index).map_or(0, |late| late.nanos) as f64 / 1e6
        };
        let still = late.iter().filter(|late| late.nanos >= STILL_NANOS);
        let stood_still = still.map(|late| late.at).collect();
        Ok(Seen {
            latest_ms: at(1.0),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            stolen_ms,
            stood_still,
        })
    }
}

/// Waits for every second millisecond on one processor; how late each time.
fn time(cpu: usize, done: &AtomicBool) -> Vec<Late> {
    // SAFETY: a plain C structure for which zeros are a valid value; `cpu` is one there is.
    let cpus = unsafe {
        let mut cpus: libc::cpu_set_t = mem::zeroed();
        libc::CPU_SET(cpu, &mut cpus);
        cpus
    };
    let param = libc::sched_param { sched_priority: PRIORITY };
    // SAFETY: both live over the calls; 0 is the calling thread. Refused, it is an ordinary one.
    unsafe {
        libc::sched_setaffinity(0, size_of_val(&cpus), &raw const cpus);
        libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const param);
    }
    let mut late = vec![];
    let mut due = started();
    while !done.load(Ordering::Relaxed) {
        due += PERIOD_NANOS;
        sleep_until(due);
        let now = started();
        late.push(Late { nanos: now.saturating_sub(due), at: realtime() });
        // After a long stall from now on.
        due = due.max(now.saturating_sub(PERIOD_NANOS));
    }
    late
}

/// What a process has taken of the processors so far, with the threads that have ended, seconds.
///
/// # Errors
/// When the process is gone.
pub fn cpu_seconds(pid: u32) -> io::Result<f64> {
    let mut clock = 0;
    // SAFETY: the result lives over the call.
    match unsafe { libc::clock_getcpuclockid(pid.cast_signed(), &raw mut clock) } {
        0 => {}
        error => return Err(io::Error::from_raw_os_error(error)),
    }
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: as above.
    match unsafe { libc::clock_gettime(clock, &raw mut time) } {
        0 => Ok(time.tv_sec as f64 + time.tv_nsec as f64 / 1e9),
        _ => Err(io::Error::last_os_error()),
    }
}

/// What the hypervisor has taken so far, of all processors (`/proc/stat`).
fn stolen_ms() -> io::Result<u64> {
    let stat = std::fs::read_to_string("/proc/stat")?;
    let all = stat.lines().next().unwrap_or_default();
    // cpu user nice system idle iowait irq softirq steal …
    let steal = all.split_whitespace().nth(8).and_then(|text| text.parse::<u64>().ok());
    steal
        .map(|jiffies| jiffies * JIFFY_MS)
        .ok_or_else(|| io::Error::other("no steal in /proc/stat"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_of_a_process_is_told_with_its_threads_that_have_ended() {
        let own = std::process::id();
        let before = cpu_seconds(own).expect("this process");
        std::thread::spawn(|| {
            let mut x = 1_u64;
            (0..20_000_000).for_each(|n| x = std::hint::black_box(x.wrapping_mul(n | 1)));
        })
        .join()
        .expect("a thread");
        assert!(cpu_seconds(own).expect("this process") > before + 0.001);
        // More than there are.
        assert!(cpu_seconds(4_194_304).is_err());
    }
}
