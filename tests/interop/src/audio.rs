//! RTP by hand: packets whose payload tells who sent them, so that a single stray one is seen.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
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
    /// Where it says it is, if elsewhere than it is.
    claims: Option<SocketAddr>,
}

impl Audio {
    /// On any port of an address; its packets are full of `mark`.
    pub fn at(ip: impl Into<IpAddr>, mark: u8) -> Self {
        let socket = UdpSocket::bind(SocketAddr::new(ip.into(), 0)).unwrap();
        Self { socket, reports: None, mark, sequence: 1, claims: None }
    }

    /// The same behind NAT: its description names an address that nobody else can reach it at.
    pub fn claiming(ip: impl Into<IpAddr>, mark: u8, claims: SocketAddr) -> Self {
        Self { claims: Some(claims), ..Self::at(ip, mark) }
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
        let told = self.claims.unwrap_or_else(|| self.local());
        let (ip, port) = (told.ip(), told.port());
        let kind = if ip.is_ipv4() { "IP4" } else { "IP6" };
        let reports = self.reports.as_ref().map_or(String::new(), |reports| {
            format!("a=rtcp:{}\r\n", reports.local_addr().unwrap().port())
        });
        format!(
            "v=0\r\no=- 1 1 IN {kind} {ip}\r\ns=-\r\nc=IN {kind} {ip}\r\nt=0 0\r\n\
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

    /// Its own port for reports, for somebody who reads them while it speaks.
    ///
    /// # Panics
    /// When it has none.
    pub fn reports(&self) -> Reports {
        let socket = self.reports.as_ref().expect("a port for reports").try_clone().unwrap();
        Reports { socket, ssrc: [self.mark; 4] }
    }

    /// How many reports have come to its own port for them, until none has for `silence`.
    pub fn reported(&self, silence: Duration) -> usize {
        let Some(reports) = &self.reports else { return 0 };
        reports.set_read_timeout(Some(silence)).unwrap();
        let mut buffer = [0; 2048];
        std::iter::from_fn(|| reports.recv(&mut buffer).ok()).count()
    }
}

/// One side's port for reports.
#[derive(Debug)]
pub struct Reports {
    socket: UdpSocket,
    ssrc: [u8; 4],
}

/// What the server said of its own stream (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    ssrc: [u8; 4],
    /// The middle 32 bits of its NTP time.
    at: [u8; 4],
}

impl Reports {
    /// The next report of who has sent something, if one comes in time.
    pub fn next_within(&self, limit: Duration) -> Option<Sent> {
        let end = Instant::now() + limit;
        let mut buffer = [0; 2048];
        loop {
            let left = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
            self.socket.set_read_timeout(Some(left)).unwrap();
            let Ok(len) = self.socket.recv(&mut buffer) else { continue };
            if let [_, 200, _, _, a, b, c, d, _, _, e, f, g, h, ..] = buffer[..len] {
                return Some(Sent { ssrc: [a, b, c, d], at: [e, f, g, h] });
            }
        }
    }

    /// Reports having got a report, as if at this very moment: whatever the time since then, it is
    /// taken for that of the way there and back.
    pub fn answer(&self, sent: Sent, to: SocketAddr) {
        let mut report = vec![0x81, 201, 0, 7];
        report.extend(self.ssrc);
        report.extend(sent.ssrc);
        report.extend([0; 12]); // nothing lost, no sequence number, no jitter
        report.extend(sent.at);
        report.extend([0; 4]); // since then
        report.extend(name_of(self.ssrc));
        let _ = self.socket.send_to(&report, to);
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
    report.extend(name_of(ssrc));
    report
}

/// Its name, without which no report is complete (RFC 3550 §6.1).
fn name_of(ssrc: [u8; 4]) -> Vec<u8> {
    let mut name = vec![0x81, 202, 0, 2];
    name.extend(ssrc);
    name.extend([1, 0, 0, 0]); // a CNAME without letters, then the end of the chunk
    name
}

/// Where a description has audio sent.
pub fn place(sdp: &str) -> SocketAddr {
    let value = |prefix: &str| sdp.lines().find_map(|line| line.strip_prefix(prefix)).unwrap_or("");
    let port = value("m=audio ").split(' ').next().unwrap_or("").parse();
    let v4 = || value("c=IN IP4 ").trim().parse().ok();
    let v6 = || value("c=IN IP6 ").trim().parse::<Ipv6Addr>().ok();
    let ip: Option<IpAddr> = v4().or_else(|| v6().map(IpAddr::from));
    match (ip, port) {
        (Some(ip), Ok(port)) => SocketAddr::new(ip, port),
        (_, _) => panic!("no place in {sdp}"),
    }
}
