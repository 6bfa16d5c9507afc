//! The audio of one call: a thread that sends a packet every 20 ms and hears what comes.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use media::rtp::{self, HEADER_LEN, Header, Packet};

use super::Error;
use super::heard::Heard;
use crate::cli::CodecName;

const PACKET: Duration = Duration::from_millis(20);
const SAMPLES: usize = 160;
/// Ports tried until an even one with a free neighbour is found.
const PORT_ATTEMPTS: u32 = 64;

/// An even port for RTP and the next one for RTCP, which is bound so that nobody else hears it.
pub(super) struct Ports {
    rtp: UdpSocket,
    _rtcp: UdpSocket,
}

impl Ports {
    /// Binds a pair that is free.
    pub(super) fn bind(ip: IpAddr) -> Result<Self, Error> {
        for _ in 0..PORT_ATTEMPTS {
            let rtp = UdpSocket::bind(SocketAddr::new(ip, 0))?;
            let port = rtp.local_addr()?.port();
            if port % 2 == 0
                && let Some(next) = port.checked_add(1)
                && let Ok(rtcp) = UdpSocket::bind(SocketAddr::new(ip, next))
            {
                return Ok(Self { rtp, _rtcp: rtcp });
            }
        }
        Err(Error::Failed("no free pair of ports for RTP".into()))
    }

    pub(super) fn rtp_port(&self) -> Result<u16, Error> {
        Ok(self.rtp.local_addr()?.port())
    }
}

/// What we say.
#[derive(Clone, Debug)]
pub(super) enum Say {
    /// These samples, again and again or once.
    Samples {
        /// At 8 kHz.
        samples: Arc<[i16]>,
        /// Whether they begin again at their end.
        again: bool,
    },
    /// What we hear.
    Echo,
}

/// What was agreed on; it may change during the call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Agreed {
    pub(super) codec: CodecName,
    /// Their payload type, and ours.
    pub(super) payload_types: (u8, u8),
    pub(super) remote: SocketAddr,
    /// Where its signalling comes from: its packets may come from there too (RFC 4961).
    pub(super) signalling: IpAddr,
    /// Whether we may send.
    pub(super) send: bool,
}

/// A running call's audio.
pub(super) struct Stream {
    agreed: Arc<Mutex<Agreed>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<(Heard, u64)>>,
}

impl Stream {
    /// Starts to talk and to listen.
    pub(super) fn start(
        ports: Ports,
        agreed: Agreed,
        say: Say,
        seed: [u32; 3],
    ) -> Result<Self, Error> {
        let (agreed, stop) = (Arc::new(Mutex::new(agreed)), Arc::new(AtomicBool::new(false)));
        let (shared, stopped) = (Arc::clone(&agreed), Arc::clone(&stop));
        let talk = move || Talk::new(ports, say, seed).run(&shared, &stopped);
        let thread = std::thread::Builder::new().name("rtp".into()).spawn(talk)?;
        Ok(Self { agreed, stop, thread: Some(thread) })
    }

    /// Takes up a new agreement.
    pub(super) fn change(&self, agreed: Agreed) {
        *self.agreed.lock().unwrap_or_else(PoisonError::into_inner) = agreed;
    }

    /// Ends it: what was heard, and how many packets were sent.
    pub(super) fn finish(mut self) -> (Heard, u64) {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take();
        thread.and_then(|thread| thread.join().ok()).unwrap_or_default()
    }
}

struct Talk {
    ports: Ports,
    say: Say,
    position: usize,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    sent: u64,
    heard: Heard,
    /// Echo: what came since the last packet went, at most a second.
    echo: Vec<i16>,
}

impl Talk {
    fn new(ports: Ports, say: Say, [ssrc, sequence, timestamp]: [u32; 3]) -> Self {
        let sequence = (sequence & 0x7fff) as u16;
        let heard = Heard::default();
        Self { ports, say, position: 0, ssrc, sequence, timestamp, sent: 0, heard, echo: vec![] }
    }

    fn run(mut self, agreed: &Mutex<Agreed>, stop: &AtomicBool) -> (Heard, u64) {
        let started = Instant::now();
        let mut packets = 0u32;
        while !stop.load(Ordering::Relaxed) {
            let now = *agreed.lock().unwrap_or_else(PoisonError::into_inner);
            // By the count, so that lateness does not add up.
            let due = started + PACKET * packets;
            self.listen_until(due, started, now);
            self.talk(now);
            packets = packets.saturating_add(1);
        }
        (self.heard, self.sent)
    }

    fn listen_until(&mut self, due: Instant, started: Instant, agreed: Agreed) {
        let mut buffer = [0; 2048];
        loop {
            let left = due.saturating_duration_since(Instant::now());
            // A zero time-out would mean "for ever".
            if left.is_zero() || self.ports.rtp.set_read_timeout(Some(left)).is_err() {
                return;
            }
            let Ok((len, remote)) = self.ports.rtp.recv_from(&mut buffer) else { continue };
            if [agreed.remote.ip(), agreed.signalling].contains(&remote.ip()) {
                self.hear(started.elapsed(), &buffer[..len], agreed);
            }
        }
    }

    fn hear(&mut self, at: Duration, packet: &[u8], agreed: Agreed) {
        let Ok(Packet { header, payload }) = rtp::parse(packet) else { return };
        if header.payload_type != agreed.payload_types.1 {
            return;
        }
        let audio = agreed.codec.decode(&packet[payload]);
        if matches!(self.say, Say::Echo) && self.echo.len() < 50 * SAMPLES {
            self.echo.extend_from_slice(&audio);
        }
        self.heard.packet(at, header.sequence, header.timestamp, &audio);
    }

    fn talk(&mut self, agreed: Agreed) {
        let audio = self.next_samples();
        self.timestamp = self.timestamp.wrapping_add(SAMPLES as u32);
        let Some(audio) = audio.filter(|_| agreed.send) else { return };
        self.sequence = self.sequence.wrapping_add(1);
        let header = Header {
            marker: self.sent == 0,
            payload_type: agreed.payload_types.0,
            sequence: self.sequence,
            timestamp: self.timestamp,
            ssrc: self.ssrc,
        };
        let mut packet = vec![0; HEADER_LEN];
        rtp::write_header(&mut packet, &header);
        packet.extend(agreed.codec.encode(&audio));
        // What the network refuses counts as lost on the other side, where it is measured.
        if self.ports.rtp.send_to(&packet, agreed.remote).is_ok() {
            self.sent += 1;
        }
    }

    /// 20 ms of what we say; silence after the end of a file, nothing while there is no echo.
    fn next_samples(&mut self) -> Option<Vec<i16>> {
        match &self.say {
            Say::Samples { samples, again } => {
                let at = |n: usize| match again {
                    true if !samples.is_empty() => samples[n % samples.len()],
                    true | false => samples.get(n).copied().unwrap_or(0),
                };
                let audio = (self.position..self.position + SAMPLES).map(at).collect();
                self.position += SAMPLES;
                Some(audio)
            }
            Say::Echo if self.echo.len() >= SAMPLES => Some(self.echo.drain(..SAMPLES).collect()),
            Say::Echo => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ua::wav::tone;

    const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn two_streams_hear_each_other_and_one_echoes() {
        let (a, b) = (Ports::bind(LOOPBACK).unwrap(), Ports::bind(LOOPBACK).unwrap());
        let to = |ports: &Ports| SocketAddr::new(LOOPBACK, ports.rtp_port().unwrap());
        let agreed = |remote| Agreed {
            codec: CodecName::Pcma,
            payload_types: (8, 8),
            remote,
            signalling: LOOPBACK,
            send: true,
        };
        let (to_a, to_b) = (agreed(to(&a)), agreed(to(&b)));
        let samples = tone(440.0).into();
        let caller =
            Stream::start(a, to_b, Say::Samples { samples, again: true }, [1, 2, 3]).unwrap();
        let echo = Stream::start(b, to_a, Say::Echo, [4, 5, 6]).unwrap();
        std::thread::sleep(Duration::from_millis(600));
        let ((heard, sent), (echoed, _)) = (caller.finish(), echo.finish());
        assert!(sent >= 20, "{sent}");
        assert!(heard.is_audible() && echoed.is_audible(), "{heard}\n{echoed}");
        assert!(heard.to_string().contains("440 Hz"), "{heard}");
    }
}
