//! Phones for the conference load: some talk, all listen; one of each conference says a pulse now
//! and then, and what it takes until the others hear it is the delay that the mixer adds.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use media::codec::{Encoder, Format, OpusSettings, g711};
use media::command::Codec;

use crate::rtp::{PACKET_NANOS, realtime, receive_at, set_timestamping, sleep_until, started};

/// Rounds of a pulse, and of the pause after it.
const PULSE: u64 = 25;
/// A sample as loud as this is part of a pulse.
const LOUD: u16 = 200;
/// Frames of the sound that is said again and again.
const LOOP: usize = 50;
const LINGER: Duration = Duration::from_millis(200);

/// How a conference is made up.
#[derive(Clone, Debug)]
pub struct Shape {
    /// How many there are at once.
    pub conferences: u16,
    /// Phones in each.
    pub parties: u16,
    /// How many of them talk all the time; 1: only the one with the pulses.
    pub talkers: u16,
    /// Codecs of the parties in turn: `pcmu`, `pcma`, `g722` or `opus`.
    pub codecs: Vec<String>,
}

/// All phones.
pub struct Phones {
    shape: Shape,
    phones: Vec<Phone>,
    rounds: u64,
}

struct Phone {
    socket: UdpSocket,
    payload_type: u8,
    units: u32,
    tone: Vec<Vec<u8>>,
    silence: Vec<Vec<u8>>,
    /// After the beginning of a round.
    phase_nanos: u64,
}

/// What a run gave.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Packets sent and received.
    pub packets: (u64, u64),
    /// Delays of the pulses, milliseconds, sorted; none where others talk, too.
    pub delays_ms: Vec<f64>,
}

impl Outcome {
    /// The delay that `share` per cent of the pulses stay below.
    pub fn delay_ms(&self, share: f64) -> Option<f64> {
        let index = (self.delays_ms.len() as f64 * share / 100.0) as usize;
        self.delays_ms.get(index.min(self.delays_ms.len().saturating_sub(1))).copied()
    }
}

/// A packet that came: whose, when, and whether it is loud.
struct Heard {
    phone: usize,
    at: u64,
    is_loud: bool,
}

impl Phones {
    /// Binds the phones: phone n at `first_peer + n`, talking to the server at `first_port + 2n`.
    ///
    /// # Errors
    /// When a port is taken, or a codec unknown.
    pub fn new(shape: Shape, first_port: u16, first_peer: u16) -> io::Result<Self> {
        let count = shape.conferences * shape.parties;
        let phone = |n: u16| {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, first_peer + n))?;
            socket.set_nonblocking(true)?;
            socket.connect((Ipv4Addr::LOCALHOST, first_port + 2 * n))?;
            set_timestamping(&socket)?;
            let party = usize::from(n % shape.parties);
            let name = &shape.codecs[party % shape.codecs.len()];
            let (codec, payload_type, clock) = codec(name)?;
            // Neighbours do not send one after the other.
            let place = u64::from(n) * 7919 % u64::from(count);
            Ok(Phone {
                socket,
                payload_type,
                units: clock / 50,
                tone: say(codec, clock, 300.0 + 50.0 * party as f64)?,
                silence: say(codec, clock, 0.0)?,
                phase_nanos: place * PACKET_NANOS / u64::from(count),
            })
        };
        let phones = (0..count).map(phone).collect::<io::Result<_>>()?;
        Ok(Self { shape, phones, rounds: 0 })
    }

    /// Talks and listens for some seconds.
    ///
    /// # Errors
    /// When a socket fails.
    pub fn run(&mut self, seconds: u32) -> io::Result<Outcome> {
        let rounds = self.rounds..self.rounds + u64::from(seconds) * 50;
        self.rounds = rounds.end;
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let listener = scope.spawn(|| self.listen(&done));
            let (sent, pulses) = self.talk(rounds);
            std::thread::sleep(LINGER);
            done.store(true, Ordering::Relaxed);
            let heard = listener.join().map_err(|_| io::Error::other("listener"))?;
            let delays_ms = self.delays(&heard, &pulses);
            Ok(Outcome { packets: (sent, heard.len() as u64), delays_ms })
        })
    }

    /// Sends every phone's packets; how many, and when the pulses of each conference began.
    fn talk(&self, rounds: std::ops::Range<u64>) -> (u64, Vec<Vec<u64>>) {
        let mut order: Vec<_> = (0..self.phones.len()).collect();
        order.sort_by_key(|n| self.phones[*n].phase_nanos);
        let start = started() + 1_000_000 - rounds.start * PACKET_NANOS;
        let mut pulses = vec![vec![]; self.shape.conferences.into()];
        let mut sent = 0;
        let mut packet = Vec::with_capacity(1500);
        for round in rounds {
            for &n in &order {
                let phone = &self.phones[n];
                let (conference, party) =
                    (n / usize::from(self.shape.parties), n % usize::from(self.shape.parties));
                let pulses_now = party == 0 && (round / PULSE).is_multiple_of(2);
                let talks = match self.shape.talkers {
                    0 | 1 => pulses_now,
                    talkers => party < usize::from(talkers),
                };
                let frames = if talks { &phone.tone } else { &phone.silence };
                sleep_until(start + round * PACKET_NANOS + phone.phase_nanos);
                packet.clear();
                packet.extend([0x80, phone.payload_type]);
                packet.extend((round as u16).to_be_bytes());
                packet.extend((round as u32).wrapping_mul(phone.units).to_be_bytes());
                packet.extend((n as u32).to_be_bytes());
                packet.extend(&frames[round as usize % LOOP]);
                if pulses_now && round.is_multiple_of(PULSE) {
                    pulses[conference].push(realtime());
                }
                sent += u64::from(phone.socket.send(&packet).is_ok());
            }
        }
        (sent, pulses)
    }

    fn listen(&self, done: &AtomicBool) -> Vec<Heard> {
        let mut heard = Vec::new();
        let mut buffer = [0; 1500];
        while !done.load(Ordering::Relaxed) {
            // The kernel notes the times: it is enough to look now and then.
            std::thread::sleep(Duration::from_millis(10));
            for (n, phone) in self.phones.iter().enumerate() {
                while let Some((len, at)) = receive_at(&phone.socket, &mut buffer) {
                    let is_rtp = len > 12 && buffer[1] & 0x7f == phone.payload_type;
                    if is_rtp {
                        let is_loud = is_loud(phone.payload_type, &buffer[12..len]);
                        heard.push(Heard { phone: n, at, is_loud });
                    }
                }
            }
        }
        heard
    }

    fn delays(&self, heard: &[Heard], pulses: &[Vec<u64>]) -> Vec<f64> {
        let mut was_loud = vec![true; self.phones.len()];
        let mut delays = Vec::new();
        for Heard { phone, at, is_loud } in heard {
            let before = std::mem::replace(&mut was_loud[*phone], *is_loud);
            let begins = *is_loud && !before;
            let conference = phone / usize::from(self.shape.parties);
            let pulse = pulses[conference].iter().rev().find(|pulse| *pulse <= at);
            if let (true, Some(pulse)) = (begins, pulse) {
                delays.push((at - pulse) as f64 / 1e6);
            }
        }
        delays.sort_by(f64::total_cmp);
        delays
    }
}

/// A codec by its name here: its payload type and its clock.
pub(crate) fn codec(name: &str) -> io::Result<(Codec, u8, u32)> {
    match name {
        "pcmu" => Ok((Codec::Pcmu, 0, 8000)),
        "pcma" => Ok((Codec::Pcma, 8, 8000)),
        "g722" => Ok((Codec::G722, 9, 8000)),
        "opus" => Ok((Codec::Opus, 111, 48_000)),
        _ => Err(io::Error::other(format!("unknown codec {name}"))),
    }
}

/// A second of a tone, packet by packet.
pub(crate) fn say(codec: Codec, clock: u32, hertz: f64) -> io::Result<Vec<Vec<u8>>> {
    let format = Format::new(codec, clock).map_err(io::Error::other)?;
    let mut encoder = Encoder::new(&format, OpusSettings::default()).map_err(io::Error::other)?;
    let len = format.samples_of_ms(20);
    let frame = |n: usize| {
        let angle = |i| std::f64::consts::TAU * hertz * (n * len + i) as f64;
        let sample = |i| (6000.0 * (angle(i) / f64::from(format.sample_rate)).sin()) as i16;
        let pcm: Vec<_> = (0..len).map(sample).collect();
        let mut payload = vec![0; 1400];
        let bytes = encoder.encode(&pcm, &mut payload).map_err(io::Error::other)?;
        payload.truncate(bytes);
        Ok(payload)
    };
    (0..LOOP).map(frame).collect()
}

fn is_loud(payload_type: u8, payload: &[u8]) -> bool {
    let linear = if payload_type == 8 { g711::alaw_to_linear } else { g711::ulaw_to_linear };
    matches!(payload_type, 0 | 8) && payload.iter().any(|b| linear(*b).unsigned_abs() > LOUD)
}
