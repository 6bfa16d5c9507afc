//! Phones for the relay load: sockets that send evenly and note when packets arrive.
#![allow(unsafe_code)]

use std::io;
use std::mem;
use std::net::{Ipv4Addr, UdpSocket};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use media::srtp::{Keying, MasterKey, OVERHEAD_MAX, Profile, Srtp};

use crate::conference;

/// Bytes of a G.711 packet of 20 ms.
const PACKET_LEN: usize = 172;
const HEADER_LEN: usize = 12;
pub(crate) const PACKET_NANOS: u64 = 20_000_000;
/// Where a packet carries the time at which it was sent: in its payload, which is passed on.
const STAMP: Range<usize> = 12..20;
/// Where strays come from.
const STRANGER: (Ipv4Addr, u16) = (Ipv4Addr::new(127, 0, 0, 66), 0);
/// Longest packet, with its protection.
const PACKET_MAX: usize = 1500 + OVERHEAD_MAX;
/// Packets in flight are waited for this long.
const LINGER: Duration = Duration::from_millis(200);

/// All phones of a number of calls.
pub struct Load {
    phones: Vec<UdpSocket>,
    /// Packets each phone has sent so far.
    rounds: u64,
    /// When each was sent, where what arrives does not carry its time: by phone and round.
    stamps: Option<Vec<AtomicU64>>,
    /// What the first and the second phone of each call say, again and again.
    says: [Says; 2],
    /// Protection of what each phone sends, and of what it receives, where it has any.
    protection: [Mutex<Vec<Option<Srtp>>>; 2],
}

/// What a phone says.
#[derive(Clone)]
struct Says {
    payload_type: u8,
    /// Units of the clock in a packet.
    units: u32,
    payloads: Vec<Vec<u8>>,
}

impl Says {
    /// G.711, all samples alike.
    fn silence() -> Self {
        Self { payload_type: 0, units: 160, payloads: vec![vec![0xff; PACKET_LEN - HEADER_LEN]] }
    }

    /// Any bytes are a loud noise in G.711 and G.722; in Opus it is a tone.
    fn of(name: &str) -> io::Result<Self> {
        let (codec, payload_type, clock) = conference::codec(name)?;
        let noise = (1u32..).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8);
        let payloads = match name {
            "opus" => conference::say(codec, clock, 440.0)?,
            _ => vec![noise.take(PACKET_LEN - HEADER_LEN).collect()],
        };
        Ok(Self { payload_type, units: clock / 50, payloads })
    }
}

/// The keys of stream `n` of `relay_host`, as its phone has them.
fn keying(n: usize) -> Option<Keying> {
    let profile = Profile::AesCm128HmacSha1_80;
    let key = |seed: usize| MasterKey::new(profile, &vec![seed as u8; profile.key_and_salt_len()]);
    Some(Keying { profile, send: key(2 * n + 1)?, receive: key(2 * n)? })
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
        let protection = [(); 2].map(|()| Mutex::default());
        let says = [(); 2].map(|()| Says::silence());
        Ok(Self { phones, rounds: 0, stamps: None, says, protection })
    }

    /// For a server that does not pass payloads on as they are: the time of a packet is found by its
    /// sequence number. Stream n of the server begins with number n, and loses nothing. `codecs` are
    /// those of the first and the second phone of each call.
    ///
    /// # Errors
    /// When a codec is unknown.
    pub fn by_sequence(&mut self, codecs: [&str; 2]) -> io::Result<()> {
        let [first, second] = codecs.map(Says::of);
        self.says = [first?, second?];
        let all = self.phones.len() * ROUNDS_MAX;
        self.stamps = Some((0..all).map(|_| AtomicU64::new(0)).collect());
        Ok(())
    }

    /// Protects what the first, and what the second phone of each call sends and receives
    /// (`AES_CM_128_HMAC_SHA1_80`).
    pub fn protect(&mut self, sides: [bool; 2]) {
        let context = |n: usize| keying(n).filter(|_| sides[n % 2]).map(Srtp::new);
        self.protection =
            [(); 2].map(|()| Mutex::new((0..self.phones.len()).map(context).collect()));
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
        let mut protection = self.protection[0].lock().unwrap_or_else(PoisonError::into_inner);
        let mut buffer = [0; PACKET_MAX];
        let mut sent = 0;
        for round in rounds {
            for (n, phone) in (0u64..).zip(&self.phones) {
                sleep_until(start + round * PACKET_NANOS + n * step);
                let says = &self.says[n as usize % 2];
                let payload = &says.payloads[round as usize % says.payloads.len()];
                let packet = &mut buffer[..HEADER_LEN + payload.len()];
                packet[HEADER_LEN..].copy_from_slice(payload);
                packet[0] = 0x80;
                packet[2..4].copy_from_slice(&(round as u16).to_be_bytes());
                packet[4..8].copy_from_slice(&(round as u32 * says.units).to_be_bytes());
                packet[8..12].copy_from_slice(&n.to_be_bytes()[4..]);
                packet[1] = says.payload_type;
                let now = clock(libc::CLOCK_REALTIME);
                match &self.stamps {
                    Some(stamps) => {
                        stamps[n as usize * ROUNDS_MAX + round as usize % ROUNDS_MAX]
                            .store(now, Ordering::Relaxed);
                    }
                    None => packet[STAMP].copy_from_slice(&now.to_be_bytes()),
                }
                let mut len = packet.len();
                if let Some(Some(srtp)) = protection.get_mut(n as usize) {
                    len = srtp.protect_rtp(&mut buffer, len).unwrap_or(0);
                }
                sent += u64::from(phone.send(&buffer[..len]).is_ok());
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
        let mut protection = self.protection[1].lock().unwrap_or_else(PoisonError::into_inner);
        let mut delays = Vec::new();
        while !done.load(Ordering::Relaxed) {
            // The kernel notes the times: it is enough to look now and then.
            std::thread::sleep(Duration::from_millis(10));
            // SAFETY: the array lives over the call.
            unsafe { libc::poll(polls.as_mut_ptr(), polls.len() as libc::nfds_t, 0) };
            for (n, (phone, poll)) in self.phones.iter().zip(&mut polls).enumerate() {
                if poll.revents != 0 {
                    let srtp = protection.get_mut(n).and_then(Option::as_mut);
                    let mut ear = Ear { n, stamps: self.stamps.as_deref(), srtp };
                    while let Some(delay) = ear.receive(phone) {
                        delays.extend(delay);
                    }
                }
            }
        }
        Ok(delays)
    }
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

/// What phone `n` makes of what comes.
struct Ear<'a> {
    n: usize,
    stamps: Option<&'a [AtomicU64]>,
    srtp: Option<&'a mut Srtp>,
}

impl Ear<'_> {
    /// One packet's delay: `Some(None)` when it is not one of ours (a report).
    fn receive(&mut self, phone: &UdpSocket) -> Option<Option<u32>> {
        let mut buffer = [0u8; PACKET_MAX];
        let (len, arrived) = receive_at(phone, &mut buffer)?;
        // RFC 5761 §4.
        if len < HEADER_LEN || (192..=223).contains(&buffer[1]) {
            return Some(None);
        }
        let len = match &mut self.srtp {
            Some(srtp) => srtp.unprotect_rtp(&mut buffer[..len]).unwrap_or(0),
            None => len,
        };
        Some(
            self.sent(&buffer[..len])
                .and_then(|sent| u32::try_from(arrived.saturating_sub(sent)).ok()),
        )
    }

    /// When a packet was sent to the server.
    fn sent(&self, packet: &[u8]) -> Option<u64> {
        if packet.len() <= HEADER_LEN {
            return None;
        }
        let Some(stamps) = self.stamps else {
            let stamp = <[u8; 8]>::try_from(packet.get(STAMP)?).ok()?;
            let is_ours = packet.len() == PACKET_LEN && stamp != [0xaa; 8];
            return is_ours.then_some(u64::from_be_bytes(stamp));
        };
        let sequence = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
        let round = sequence.wrapping_sub(self.n) % ROUNDS_MAX;
        let sent = stamps.get((self.n ^ 1) * ROUNDS_MAX + round)?;
        Some(sent.load(Ordering::Relaxed))
    }
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
