//! Speech among noise, and somebody who says it on a wire of PCMU and keeps all that comes: for what a
//! call does to voices.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::{tone, ulaw};

/// Samples of 20 ms.
pub const PACKET: usize = 160;
const TICK: Duration = Duration::from_millis(20);
const RATE: usize = 8000;
/// Root mean squares: of the words, and of the noise in which they are said.
const WORDS: f64 = 0.12;
const NOISE: f64 = 0.008;
/// Of silence between two words.
const PAUSE: usize = RATE * 6 / 5;

/// A few words of espeak-ng in steady noise with pauses between them, as octets of PCMU and whole
/// packets; the same at each run.
pub fn in_noise(dir: &Path) -> Vec<u8> {
    let mut samples = Vec::new();
    for word in ["Wonderful morning, everyone.", "I am calling about my number."] {
        samples.extend(spoken(dir, word));
        samples.extend([0.0; PAUSE]);
    }
    samples.truncate(samples.len() / PACKET * PACKET);
    let mut seed = 7_u32;
    let mut noise = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        NOISE * 12f64.sqrt() * (f64::from(seed >> 8) / f64::from(1 << 24) - 0.5)
    };
    samples.iter().map(|sample| ulaw::encode((sample + noise()).clamp(-1.0, 1.0))).collect()
}

/// Samples of what espeak-ng says, without the silence around it.
fn spoken(dir: &Path, text: &str) -> Vec<f64> {
    let (wide, narrow) = (dir.join("spoken.wav"), dir.join("narrow.wav"));
    run(Command::new("espeak-ng").args(["-v", "en", "-s", "150", "-w"]).arg(&wide).arg(text));
    // Without dither: else it is another noise each time.
    run(Command::new("sox").args(["-R", "-D"]).arg(&wide).args(["-r", "8000"]).arg(&narrow));
    let (samples, rate) = tone::read_wav(&narrow);
    assert_eq!(rate as usize, RATE);
    let is_loud = |sample: &f64| sample.abs() > 0.02;
    let from = samples.iter().position(is_loud).expect("a voice");
    let to = samples.iter().rposition(is_loud).expect("a voice");
    let words = &samples[from..=to];
    let gain = WORDS / tone::level(words);
    words.iter().map(|sample| sample * gain).collect()
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A packet that was heard.
#[derive(Clone, Debug)]
pub struct Packet {
    /// Its sequence number.
    pub sequence: u16,
    /// Its RTP time.
    pub timestamp: u32,
    /// Its octets.
    pub payload: Vec<u8>,
}

/// One side of a call.
#[derive(Debug)]
pub struct Speaker {
    socket: Arc<UdpSocket>,
    heard: Arc<Mutex<Vec<Packet>>>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Speaker {
    /// On any port of an address; silent so far.
    pub fn at(ip: impl Into<IpAddr>) -> Self {
        let socket = UdpSocket::bind(SocketAddr::new(ip.into(), 0)).unwrap();
        socket.set_nonblocking(true).unwrap();
        let (heard, ends) = (Arc::default(), Arc::default());
        Self { socket: Arc::new(socket), heard, ends, thread: None }
    }

    /// A description that has PCMU sent to it.
    pub fn sdp(&self) -> String {
        let local = self.socket.local_addr().unwrap();
        let (ip, port) = (local.ip(), local.port());
        format!(
            "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
             m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=ptime:20\r\n"
        )
    }

    /// Says these octets again and again from now on, 20 ms a packet.
    pub fn say(&mut self, octets: Vec<u8>, to: SocketAddr) {
        let (socket, heard, ends) =
            (Arc::clone(&self.socket), Arc::clone(&self.heard), Arc::clone(&self.ends));
        self.thread = Some(std::thread::spawn(move || {
            let mut due = Instant::now();
            for (n, payload) in octets.chunks_exact(PACKET).cycle().enumerate() {
                if ends.load(Ordering::Relaxed) {
                    return;
                }
                let mut packet = vec![0x80, 0];
                packet.extend((n as u16).to_be_bytes());
                packet.extend(((n * PACKET) as u32).to_be_bytes());
                packet.extend([0x5a; 4]); // SSRC
                packet.extend(payload);
                let _ = socket.send_to(&packet, to);
                due += TICK;
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                listen(&socket, &heard);
            }
        }));
    }

    /// What has come since the last time.
    pub fn heard(&self) -> Vec<Packet> {
        std::mem::take(&mut self.heard.lock().unwrap())
    }

    /// What comes from now on, for so long.
    pub fn hears_for(&self, length: Duration) -> Vec<Packet> {
        let _before = self.heard();
        std::thread::sleep(length);
        self.heard()
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || !matches!(ended, Some(Err(_))), "the speaker failed");
    }
}

fn listen(socket: &UdpSocket, heard: &Mutex<Vec<Packet>>) {
    let mut buffer = [0; 2048];
    while let Ok(len) = socket.recv(&mut buffer) {
        let packet = &buffer[..len];
        if len < 12 || packet[1] & 0x7f != 0 {
            continue;
        }
        heard.lock().unwrap().push(Packet {
            sequence: u16::from_be_bytes([packet[2], packet[3]]),
            timestamp: u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]),
            payload: packet[12..].to_vec(),
        });
    }
}

/// How loud something is in its pauses and where something is said, dB below full scale (RMS). The
/// quietest three tenths of it are taken for pauses, the loudest three for words.
#[derive(Clone, Copy, Debug)]
pub struct Loudness {
    /// In the pauses.
    pub pauses: f64,
    /// Of the words.
    pub words: f64,
}

impl Loudness {
    /// Of octets of PCMU.
    pub fn of(octets: &[u8]) -> Self {
        let samples: Vec<f64> = octets.iter().map(|octet| ulaw::decode(*octet)).collect();
        let mut levels: Vec<_> = samples.chunks_exact(PACKET).map(tone::level).collect();
        levels.sort_by(f64::total_cmp);
        let db = |part: &[f64]| 20.0 * tone::level(part).max(1e-6).log10();
        let part = levels.len() * 3 / 10;
        Self { pauses: db(&levels[..part]), words: db(&levels[levels.len() - part..]) }
    }
}
