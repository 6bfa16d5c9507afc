//! RTP by hand: packets whose payload tells who sent them, so that a single stray one is seen.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// Octets of a packet of G.711, 20 ms.
const PAYLOAD_LEN: usize = 160;

/// One side's audio socket, and that of its reports when it has one.
#[derive(Debug)]
pub struct Audio {
    socket: UdpSocket,
    reports: Option<UdpSocket>,
    mark: u8,
    sequence: u16,
}

impl Audio {
    /// On any port of an address; its packets are full of `mark`.
    pub fn at(ip: impl Into<IpAddr>, mark: u8) -> Self {
        let socket = UdpSocket::bind(SocketAddr::new(ip.into(), 0)).unwrap();
        Self { socket, reports: None, mark, sequence: 1 }
    }

    /// The same with a port for reports, named in the description (RFC 3605).
    pub fn reporting_at(ip: impl Into<IpAddr>, mark: u8) -> Self {
        let mut audio = Self::at(ip, mark);
        audio.reports = Some(UdpSocket::bind(SocketAddr::new(audio.local().ip(), 0)).unwrap());
        audio
    }

    /// Its address.
    pub fn local(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    /// A description that has PCMU sent to it.
    pub fn sdp(&self) -> String {
        let (ip, port) = (self.local().ip(), self.local().port());
        let reports = self.reports.as_ref().map_or(String::new(), |reports| {
            format!("a=rtcp:{}\r\n", reports.local_addr().unwrap().port())
        });
        format!(
            "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
             m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n{reports}"
        )
    }

    /// Sends the next packet.
    pub fn say(&mut self, to: SocketAddr) {
        let mut packet = vec![0x80, 0];
        packet.extend(self.sequence.to_be_bytes());
        packet.extend((u32::from(self.sequence) * 160).to_be_bytes());
        packet.extend([self.mark; 4]); // SSRC
        packet.extend([self.mark; PAYLOAD_LEN]);
        self.sequence = self.sequence.wrapping_add(1);
        self.send(&packet, to);
    }

    /// Leaves the next packet out, as if it were lost.
    pub fn lose(&mut self) {
        self.sequence = self.sequence.wrapping_add(1);
    }

    /// Reports to a port of RTCP, from its own port for reports or else from that of its audio.
    pub fn report(&self, to: SocketAddr) {
        let socket = self.reports.as_ref().unwrap_or(&self.socket);
        let _ = socket.send_to(&sender_report([self.mark; 4]), to);
    }

    /// Sends bytes as they are.
    pub fn send(&self, bytes: &[u8], to: SocketAddr) {
        let _ = self.socket.send_to(bytes, to);
    }

    /// The marks of all that comes until nothing has for `silence`; 0 for what is no such packet.
    pub fn heard(&self, silence: Duration) -> Vec<u8> {
        self.socket.set_read_timeout(Some(silence)).unwrap();
        let mut buffer = [0; 2048];
        let end = Instant::now() + Duration::from_secs(10);
        let mut marks = Vec::new();
        while let Ok(len) = self.socket.recv(&mut buffer)
            && Instant::now() < end
        {
            marks.push(mark(&buffer[..len]));
        }
        marks
    }

    /// The marks of all that has come by now.
    pub fn heard_by_now(&self) -> Vec<u8> {
        self.socket.set_nonblocking(true).unwrap();
        let mut buffer = [0; 2048];
        let received = std::iter::from_fn(|| {
            self.socket.recv(&mut buffer).ok().map(|len| mark(&buffer[..len]))
        });
        let marks = received.collect();
        self.socket.set_nonblocking(false).unwrap();
        marks
    }

    /// How many reports have come to its own port for them, until none has for `silence`.
    pub fn reported(&self, silence: Duration) -> usize {
        let Some(reports) = &self.reports else { return 0 };
        reports.set_read_timeout(Some(silence)).unwrap();
        let mut buffer = [0; 2048];
        std::iter::from_fn(|| reports.recv(&mut buffer).ok()).count()
    }
}

/// Whose packet it is.
fn mark(packet: &[u8]) -> u8 {
    let payload = packet.get(12..).unwrap_or(&[]);
    let mark = payload.first().copied().unwrap_or(0);
    let is_whole = payload.len() == PAYLOAD_LEN && payload.iter().all(|b| *b == mark);
    if is_whole { mark } else { 0 }
}

/// A report of one who has sent something and heard nobody (RFC 3550 §6.4.1), with its name.
pub fn sender_report(ssrc: [u8; 4]) -> Vec<u8> {
    let mut report = vec![0x80, 200, 0, 6];
    report.extend(ssrc);
    report.extend([0; 20]); // times, packets, octets
    report.extend([0x81, 202, 0, 2]);
    report.extend(ssrc);
    report.extend([1, 0, 0, 0]); // a CNAME without letters, then the end of the chunk
    report
}

/// Where a description has audio sent.
pub fn place(sdp: &str) -> SocketAddr {
    let value = |prefix: &str| sdp.lines().find_map(|line| line.strip_prefix(prefix)).unwrap_or("");
    let ip = value("c=IN IP4 ").trim();
    let port = value("m=audio ").split(' ').next().unwrap_or("");
    format!("{ip}:{port}").parse().unwrap_or_else(|_| panic!("no place in {sdp}"))
}
