//! RTP by hand: packets whose payload tells who sent them, so that a single stray one is seen.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// Octets of a packet of G.711, 20 ms.
const PAYLOAD_LEN: usize = 160;

/// One side's audio socket.
#[derive(Debug)]
pub struct Audio {
    socket: UdpSocket,
    mark: u8,
    sequence: u16,
}

impl Audio {
    /// On any port of an address; its packets are full of `mark`.
    pub fn at(ip: impl Into<IpAddr>, mark: u8) -> Self {
        let socket = UdpSocket::bind(SocketAddr::new(ip.into(), 0)).unwrap();
        Self { socket, mark, sequence: 1 }
    }

    /// Its address.
    pub fn local(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    /// A description that has PCMU sent to it.
    pub fn sdp(&self) -> String {
        let (ip, port) = (self.local().ip(), self.local().port());
        format!(
            "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
             m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
        )
    }

    /// Sends the next packet.
    pub fn say(&mut self, to: SocketAddr) {
        self.say_with(0x80, 0, to);
    }

    /// Sends the next packet with other first octets: an RTCP report has 0x80 and 200.
    pub fn say_with(&mut self, first: u8, second: u8, to: SocketAddr) {
        let mut packet = vec![first, second];
        packet.extend(self.sequence.to_be_bytes());
        packet.extend((u32::from(self.sequence) * 160).to_be_bytes());
        packet.extend([self.mark; 4]); // SSRC
        packet.extend([self.mark; PAYLOAD_LEN]);
        self.sequence = self.sequence.wrapping_add(1);
        let _ = self.socket.send_to(&packet, to);
    }

    /// The marks of all that comes until nothing has for `silence`; 0 for what is no such packet.
    pub fn heard(&self, silence: Duration) -> Vec<u8> {
        self.socket.set_read_timeout(Some(silence)).unwrap();
        let mut marks = Vec::new();
        let mut buffer = [0; 2048];
        let end = Instant::now() + Duration::from_secs(10);
        while let Ok(len) = self.socket.recv(&mut buffer)
            && Instant::now() < end
        {
            let payload = buffer[..len].get(12..).unwrap_or(&[]);
            let mark = payload.first().copied().unwrap_or(0);
            let is_whole = payload.len() == PAYLOAD_LEN && payload.iter().all(|b| *b == mark);
            marks.push(if is_whole { mark } else { 0 });
        }
        marks
    }
}

/// Where a description has audio sent.
pub fn place(sdp: &str) -> SocketAddr {
    let value = |prefix: &str| sdp.lines().find_map(|line| line.strip_prefix(prefix)).unwrap_or("");
    let ip = value("c=IN IP4 ").trim();
    let port = value("m=audio ").split(' ').next().unwrap_or("");
    format!("{ip}:{port}").parse().unwrap_or_else(|_| panic!("no place in {sdp}"))
}
