//! Phones for the relay load: sockets that send evenly and note when packets arrive.
#![allow(unsafe_code)]

use std::io;
use std::mem;
use std::net::{Ipv4Addr, UdpSocket};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Bytes of a G.711 packet of 20 ms.
const PACKET_LEN: usize = 172;
pub(crate) const PACKET_NANOS: u64 = 20_000_000;
/// Where a packet carries the time at which it was sent: in its payload, which is passed on.
const STAMP: Range<usize> = 12..20;
/// Where strays come from.
const STRANGER: (Ipv4Addr, u16) = (Ipv4Addr::new(127, 0, 0, 66), 0);
/// Packets in flight are waited for this long.
const LINGER: Duration = Duration::from_millis(200);

/// All phones of a number of calls.
pub struct Load {
    phones: Vec<UdpSocket>,
    /// Packets each phone has sent so far.
    rounds: u64,
    /// When each was sent, where what arrives does not carry its time: by phone and round.
    stamps: Option<Vec<AtomicU64>>,
    /// What the first and the second phone of each call talk in.
    payload_types: [u8; 2],
}

/// Packets that one phone sends at most, where their times are kept.
const ROUNDS_MAX: usize = 4096;

/// What a run gave.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Packets sent.
    pub sent: u64,
    /// Delays of the packets received, nanoseconds, sorted.
    delays: Vec<u32>,
}

impl Outcome {
    /// Packets received.
    pub fn received(&self) -> usize {
        self.delays.len()
    }

    /// The delay that `share` per cent of the packets stay below, milliseconds.
    pub fn delay_ms(&self, share: f64) -> f64 {
        let index = (self.delays.len() as f64 * share / 100.0) as usize;
        let delay = self.delays.get(index.min(self.delays.len().saturating_sub(1)));
        f64::from(delay.copied().unwrap_or(0)) / 1e6
    }
}

impl Load {
    /// Binds the phones of `calls` calls: phone n at `first_peer + n`, talking to the server at
    /// `first_port + 2n`.
    ///
    /// # Errors
    /// When a port is taken.
    pub fn new(calls: u16, first_port: u16, first_peer: u16) -> io::Result<Self> {
        let ports: Vec<_> = (0..2 * calls).map(|n| first_port + 2 * n).collect();
        Self::towards(&ports, first_peer)
    }

    /// Binds a phone for each port of a server: phone n at `first_peer + n`, phones 2k and 2k+1 have
    /// a call.
    ///
    /// # Errors
    /// When a port is taken.
    pub fn towards(ports: &[u16], first_peer: u16) -> io::Result<Self> {
        let phones = (first_peer..)
            .zip(ports)
            .map(|(own, &port)| {
                let phone = UdpSocket::bind((Ipv4Addr::LOCALHOST, own))?;
                phone.set_nonblocking(true)?;
                phone.connect((Ipv4Addr::LOCALHOST, port))?;
                set_timestamping(&phone)?;
                Ok(phone)
            })
            .collect::<io::Result<_>>()?;
        Ok(Self { phones, rounds: 0, stamps: None, payload_types: [0; 2] })
    }

    /// For a server that does not pass payloads on as they are: the time of a packet is found by its
    /// sequence number. Stream n of the server begins with number n, and loses nothing.
    pub fn by_sequence(&mut self, payload_types: [u8; 2]) {
        self.payload_types = payload_types;
        let all = self.phones.len() * ROUNDS_MAX;
        self.stamps = Some((0..all).map(|_| AtomicU64::new(0)).collect());
    }

    /// Talks for some seconds, while a stranger sends `strays` packets a second to all ports.
    ///
    /// # Errors
    /// When the operating system refuses descriptors, or the stranger was answered.
    pub fn run(&mut self, seconds: u32, strays: u32) -> io::Result<Outcome> {
        let done = AtomicBool::new(false);
        let first = self.rounds;
        self.rounds += u64::from(seconds) * 50;
        let rounds = first..self.rounds;
        std::thread::scope(|scope| {
            let listener = scope.spawn(|| self.listen(&done));
            let stranger = scope.spawn(|| self.disturb(strays, &done));
            let sent = self.talk(rounds);
            std::thread::sleep(LINGER);
            done.store(true, Ordering::Relaxed);
            stranger.join().map_err(|_| io::Error::other("stranger"))??;
            let mut delays = listener.join().map_err(|_| io::Error::other("listener"))??;
            delays.sort_unstable();
            Ok(Outcome { sent, delays })
        })
    }

    /// Sends every phone's packet each 20 ms, at evenly spread times.
    fn talk(&self, rounds: Range<u64>) -> u64 {
        let step = PACKET_NANOS / self.phones.len() as u64;
        let start = clock(libc::CLOCK_MONOTONIC) + 1_000_000 - rounds.start * PACKET_NANOS;
        let mut packet = [0xffu8; PACKET_LEN];
        if self.stamps.is_some() {
            // Not silence: any bytes are a loud noise.
            let noise = (1u32..).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8);
            packet.iter_mut().zip(noise).for_each(|(byte, noise)| *byte = noise);
        }
        let mut sent = 0;
        for round in rounds {
            for (n, phone) in (0u64..).zip(&self.phones) {
                sleep_until(start + round * PACKET_NANOS + n * step);
                packet[0] = 0x80;
                packet[2..4].copy_from_slice(&(round as u16).to_be_bytes());
                packet[4..8].copy_from_slice(&(round as u32 * 160).to_be_bytes());
                packet[8..12].copy_from_slice(&n.to_be_bytes()[4..]);
                packet[1] = self.payload_types[n as usize % 2];
                let now = clock(libc::CLOCK_REALTIME);
                match &self.stamps {
                    Some(stamps) => {
                        stamps[n as usize * ROUNDS_MAX + round as usize % ROUNDS_MAX]
                            .store(now, Ordering::Relaxed);
                    }
                    None => packet[STAMP].copy_from_slice(&now.to_be_bytes()),
                }
                sent += u64::from(phone.send(&packet).is_ok());
            }
        }
        sent
    }

    /// A stranger's packets: RTP to every RTP port and every RTCP port in turn.
    fn disturb(&self, per_second: u32, done: &AtomicBool) -> io::Result<()> {
        if per_second == 0 {
            return Ok(());
        }
        let stranger = UdpSocket::bind(STRANGER)?;
        stranger.set_nonblocking(true)?;
        let servers: Vec<_> =
            self.phones.iter().map(UdpSocket::peer_addr).collect::<io::Result<_>>()?;
        let mut ports = servers.iter().flat_map(|rtp| [rtp.port(), rtp.port() + 1]).cycle();
        let per_round = u64::from(per_second).div_ceil(1000);
        let start = clock(libc::CLOCK_MONOTONIC);
        for round in 0u64.. {
            if done.load(Ordering::Relaxed) {
                break;
            }
            sleep_until(start + round * 1_000_000);
            for port in ports.by_ref().take(per_round as usize) {
                let mut packet = [0xaau8; PACKET_LEN];
                packet[..2].copy_from_slice(&[0x80, 0]);
                packet[2..4].copy_from_slice(&(round as u16).to_be_bytes());
                // Refused by the kernel once its peer is pinned: that is the point.
                let _ = stranger.send_to(&packet, (Ipv4Addr::LOCALHOST, port));
            }
        }
        match stranger.recv(&mut [0; PACKET_LEN]) {
            Ok(_) => Err(io::Error::other("the stranger was answered")),
            Err(_) => Ok(()),
        }
    }

    fn listen(&self, done: &AtomicBool) -> io::Result<Vec<u32>> {
        let mut polls: Vec<_> = self
            .phones
            .iter()
            .map(|phone| libc::pollfd { fd: phone.as_raw_fd(), events: libc::POLLIN, revents: 0 })
            .collect();
        let mut delays = Vec::new();
        while !done.load(Ordering::Relaxed) {
            // The kernel notes the times: it is enough to look now and then.
            std::thread::sleep(Duration::from_millis(10));
            // SAFETY: the array lives over the call.
            unsafe { libc::poll(polls.as_mut_ptr(), polls.len() as libc::nfds_t, 0) };
            for (n, (phone, poll)) in self.phones.iter().zip(&mut polls).enumerate() {
                if poll.revents != 0 {
                    while let Some(delay) = receive(phone, n, self.stamps.as_deref()) {
                        delays.extend(delay);
                    }
                }
            }
        }
        Ok(delays)
    }
}

/// User and system time of a process so far, seconds.
///
/// # Errors
/// When there is no such process.
pub fn cpu_seconds(pid: u32) -> io::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold anything; the fields behind it are numbered from 3.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 =
        fields.split_whitespace().skip(11).take(2).filter_map(|f| f.parse::<u64>().ok()).sum();
    // SAFETY: no memory is passed.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    Ok(ticks as f64 / per_second as f64)
}

/// Resident memory of a process, kilobytes.
///
/// # Errors
/// When there is no such process.
pub fn resident_kb(pid: u32) -> io::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kb = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    kb.ok_or_else(|| io::Error::other("no VmRSS"))
}

/// Now, since the machine has been running.
pub(crate) fn started() -> u64 {
    clock(libc::CLOCK_MONOTONIC)
}

/// Now, as the kernel stamps packets.
pub(crate) fn realtime() -> u64 {
    clock(libc::CLOCK_REALTIME)
}

/// One packet: `Some(None)` when it is not one of ours (a report).
fn receive(phone: &UdpSocket, n: usize, stamps: Option<&[AtomicU64]>) -> Option<Option<u32>> {
    let mut buffer = [0u8; 1500];
    let (len, arrived) = receive_at(phone, &mut buffer)?;
    if len != PACKET_LEN || buffer[STAMP] == [0xaa; 8] {
        return Some(None);
    }
    let sent = match stamps {
        Some(stamps) => {
            let sequence = usize::from(u16::from_be_bytes([buffer[2], buffer[3]]));
            let round = sequence.wrapping_sub(n) % ROUNDS_MAX;
            stamps.get((n ^ 1) * ROUNDS_MAX + round)?.load(Ordering::Relaxed)
        }
        None => {
            let mut stamp = [0; 8];
            stamp.copy_from_slice(&buffer[STAMP]);
            u64::from_be_bytes(stamp)
        }
    };
    Some(u32::try_from(arrived.saturating_sub(sent)).ok())
}

/// One packet of any kind: its length, and the kernel's time of arrival.
pub(crate) fn receive_at(phone: &UdpSocket, buffer: &mut [u8]) -> Option<(usize, u64)> {
    let mut control = [0u64; 16];
    let mut slice = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: a plain C structure for which zeros are a valid value.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_iov = &raw mut slice;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of_val(&control);
    // SAFETY: the header points to live buffers of the lengths it says.
    let len = unsafe { libc::recvmsg(phone.as_raw_fd(), &raw mut header, libc::MSG_DONTWAIT) };
    Some((usize::try_from(len).ok()?, arrival(&header)?))
}

/// The kernel's time of arrival, nanoseconds since the epoch.
fn arrival(header: &libc::msghdr) -> Option<u64> {
    // SAFETY: the header was filled by recvmsg and its control buffer is alive.
    let control = unsafe { libc::CMSG_FIRSTHDR(header).as_ref() }?;
    if control.cmsg_level != libc::SOL_SOCKET || control.cmsg_type != libc::SCM_TIMESTAMPNS {
        return None;
    }
    // SAFETY: the type says what the data is; it may be unaligned.
    let time: libc::timespec = unsafe { ptr::read_unaligned(libc::CMSG_DATA(control).cast()) };
    Some(nanos(&time))
}

pub(crate) fn set_timestamping(phone: &UdpSocket) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the option's value lives over the call and has the length told.
    let result = unsafe {
        libc::setsockopt(
            phone.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_TIMESTAMPNS,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn clock(which: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the variable lives over the call.
    unsafe { libc::clock_gettime(which, &raw mut time) };
    nanos(&time)
}

pub(crate) fn sleep_until(at: u64) {
    if clock(libc::CLOCK_MONOTONIC) >= at {
        return;
    }
    let time = libc::timespec {
        tv_sec: (at / 1_000_000_000) as libc::time_t,
        tv_nsec: (at % 1_000_000_000) as libc::c_long,
    };
    // SAFETY: the variable lives over the call; the remaining time is not asked for.
    unsafe {
        libc::clock_nanosleep(
            libc::CLOCK_MONOTONIC,
            libc::TIMER_ABSTIME,
            &raw const time,
            ptr::null_mut(),
        )
    };
}

fn nanos(time: &libc::timespec) -> u64 {
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
