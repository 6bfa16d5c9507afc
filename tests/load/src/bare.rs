//! What a datagram costs on this machine whatever is done with it: a process that waits (`epoll`),
//! receives and sends back, and nothing else. Machines, and days on one, differ by twice and more in this;
//! figures are best read as multiples of it.
#![allow(unsafe_code)]

use std::error::Error;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::machine::cpu_seconds;
use crate::rtp::{sleep_until, started};

/// The first argument of the process that sends back.
pub const HOST: &str = "bare-host";
/// As long as a packet of G.711.
const DATAGRAM: [u8; 172] = [0; 172];
/// After this nothing more comes back.
const SILENCE: Duration = Duration::from_millis(500);

/// What came of a rate.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// Datagrams sent to it.
    pub sent: u64,
    /// That came back.
    pub returned: u64,
    /// CPU of the process for each of them, in and out, microseconds.
    pub cpu_us: f64,
}

/// Sends back whatever comes, until the process is ended. Says its port first.
///
/// # Errors
/// When there is no socket, or nothing to wait with.
pub fn host() -> Result<(), Box<dyn Error>> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.set_nonblocking(true)?;
    writeln!(io::stdout(), "{}", socket.local_addr()?.port())?;
    // SAFETY: no memory is passed.
    let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
    // SAFETY: both descriptors and the event live over the call.
    let added =
        unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, socket.as_raw_fd(), &raw mut event) };
    if epoll < 0 || added < 0 {
        return Err(io::Error::last_os_error().into());
    }
    let mut datagram = [0; 2048];
    loop {
        // SAFETY: there is room for the one event that is asked for.
        unsafe { libc::epoll_wait(epoll, &raw mut event, 1, -1) };
        while let Ok((len, from)) = socket.recv_from(&mut datagram) {
            socket.send_to(&datagram[..len], from)?;
        }
    }
}

/// Sends `per_second` datagrams, evenly, for `seconds`.
///
/// # Errors
/// When the process or a socket fails.
pub fn run(per_second: u64, seconds: u64) -> Result<Outcome, Box<dyn Error>> {
    let mut host = Command::new(std::env::current_exe()?)
        .arg(HOST)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let outcome = measure(&mut host, per_second, seconds);
    host.kill()?;
    host.wait()?;
    outcome
}

fn measure(host: &mut Child, per_second: u64, seconds: u64) -> Result<Outcome, Box<dyn Error>> {
    let mut line = String::new();
    let stdout = host.stdout.as_mut().ok_or("no output")?;
    BufReader::new(stdout).read_line(&mut line)?;
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.connect((Ipv4Addr::LOCALHOST, line.trim().parse()?))?;
    socket.set_read_timeout(Some(SILENCE))?;
    let sent = per_second * seconds;
    let before = cpu_seconds(host.id())?;
    let returned = std::thread::scope(|scope| {
        let receiver = scope.spawn(|| {
            let mut datagram = [0; 2048];
            (0..sent).take_while(|_| socket.recv(&mut datagram).is_ok()).count() as u64
        });
        let begun = started();
        for n in 0..sent {
            sleep_until(begun + n * 1_000_000_000 / per_second);
            // One that is refused does not come back.
            let _ = socket.send(&DATAGRAM);
        }
        receiver.join().map_err(|_| "the receiver failed")
    })?;
    let cpu_us = (cpu_seconds(host.id())? - before) * 1e6 / sent as f64;
    Ok(Outcome { sent, returned, cpu_us })
}
