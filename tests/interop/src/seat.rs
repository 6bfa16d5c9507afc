//! Phones of our own that speak a tone while their ear is read: what takes eight parties, or a party
//! that does as it is told, without eight softphones. A thread each, with one socket for SIP and one
//! for the audio of each call; PCMU only.

use std::f64::consts::TAU;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::client::{Client, Dialog, Message};
use crate::table::Ear;
use crate::{Server, audio, eventually, ulaw};

const TICK: Duration = Duration::from_millis(20);
const SAMPLES: usize = 160;
const RATE: f64 = 8000.0;
/// So quiet that eight of them are no overload.
const LOUDNESS: f64 = 0.12;
const PATIENCE: Duration = Duration::from_secs(20);

/// A phone, or a gateway with several calls.
#[derive(Debug)]
pub struct Seat {
    address: SocketAddr,
    orders: Sender<Order>,
    thread: Option<JoinHandle<()>>,
    facts: Arc<Mutex<Facts>>,
    ears: Vec<Heard>,
}

#[derive(Debug)]
enum Order {
    Dial(String),
    Hold(bool),
    HangUp,
    Leave,
}

/// What everybody may know of it.
#[derive(Debug, Default)]
struct Facts {
    up: usize,
    taken: usize,
    /// The last INVITE that began a call here.
    invite: Option<Message>,
}

type Heard = Arc<Mutex<Vec<f64>>>;

impl Seat {
    /// A registered phone of `extension` that answers at once and speaks a tone of `hz`.
    pub fn agent(server: &Server, extension: &str, hz: u32) -> Self {
        Self::agent_with_lines(server, extension, &[hz])
    }

    /// The same with as many lines as tones; each call gets the first free one.
    pub fn agent_with_lines(server: &Server, extension: &str, tones: &[u32]) -> Self {
        let last = extension.parse::<u16>().map_or(0, |number| number % 100) as u8;
        let mut client = Client::at(Ipv4Addr::new(127, 0, 0, 40 + last), server.sip());
        assert_eq!(client.register(extension, 600).status(), 200);
        Self::start(client, tones)
    }

    /// Somebody at the trunk `customer` who speaks a tone of `hz`.
    pub fn customer(server: &Server, hz: u32) -> Self {
        Self::start(Client::at(crate::CUSTOMER, server.sip()), &[hz])
    }

    /// A gateway at `address` that answers; its calls speak these tones, the first free one each.
    pub fn gateway(server: &Server, address: SocketAddr, tones: &[u32]) -> Self {
        Self::start(Client::udp(address, server.sip()), tones)
    }

    fn start(client: Client, tones: &[u32]) -> Self {
        let (orders, received) = mpsc::channel();
        let facts = Arc::<Mutex<Facts>>::default();
        let ears: Vec<Heard> = tones.iter().map(|_| Heard::default()).collect();
        let address = client.local();
        let tones = tones.iter().copied().zip(ears.iter().cloned()).collect();
        let shared = Arc::clone(&facts);
        let phone = Phone { client, tones, lines: Vec::new(), facts: shared, seq: 1 };
        let thread = Some(std::thread::spawn(move || phone.run(&received)));
        Self { address, orders, thread, facts, ears }
    }

    /// Calls a number and waits for the answer.
    #[track_caller]
    pub fn dial(&self, number: &str) {
        self.begin(number);
        self.expect_up(1);
    }

    /// Calls a number.
    pub fn begin(&self, number: &str) {
        self.orders.send(Order::Dial(number.to_owned())).unwrap();
    }

    /// Puts its calls on hold by re-INVITE, or takes them back; it speaks on meanwhile.
    pub fn hold(&self, holds: bool) {
        self.orders.send(Order::Hold(holds)).unwrap();
    }

    /// Hangs all its calls up.
    pub fn hang_up(&self) {
        self.orders.send(Order::HangUp).unwrap();
    }

    /// Waits until so many of its calls are up.
    #[track_caller]
    pub fn expect_up(&self, count: usize) {
        let is = || (self.facts().up == count).then_some(());
        let found = eventually(PATIENCE, is);
        assert!(found.is_some(), "{}: {:?}", self.address, self.facts());
    }

    /// How many calls it has had.
    pub fn taken(&self) -> usize {
        self.facts().taken
    }

    /// The INVITE of its last call.
    pub fn invite(&self) -> Message {
        self.facts().invite.clone().expect("a call")
    }

    /// The ear of its first tone.
    pub fn ear(&self) -> Box<dyn Ear> {
        self.ear_of(0)
    }

    /// The ear of the `n`th tone, from 0.
    pub fn ear_of(&self, n: usize) -> Box<dyn Ear> {
        Box::new(Reader { heard: Arc::clone(&self.ears[n]) })
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let _ = self.orders.send(Order::Leave);
        let ended = self.thread.take().map(JoinHandle::join);
        // Its own failure is told where it happened.
        assert!(std::thread::panicking() || !matches!(ended, Some(Err(_))), "the phone failed");
    }
}

#[derive(Debug)]
struct Reader {
    heard: Heard,
}

impl Ear for Reader {
    fn fresh(&mut self) -> (Vec<f64>, f64) {
        (std::mem::take(&mut *self.heard.lock().unwrap()), RATE)
    }
}

/// What runs in the thread.
struct Phone {
    client: Client,
    tones: Vec<(u32, Heard)>,
    lines: Vec<Line>,
    facts: Arc<Mutex<Facts>>,
    seq: u32,
}

impl Phone {
    fn run(mut self, orders: &Receiver<Order>) {
        let mut due = Instant::now();
        loop {
            due = (due + TICK).max(Instant::now() - TICK * 10); // far behind: no burst
            loop {
                let left = due.saturating_duration_since(Instant::now());
                if let Some(message) = self.client.receive_within(left) {
                    self.message(&message);
                }
                if Instant::now() >= due {
                    break;
                }
            }
            while let Ok(order) = orders.try_recv() {
                match order {
                    Order::Dial(number) => self.dial(&number),
                    Order::Hold(holds) => self.hold(holds),
                    Order::HangUp => self.hang_up(),
                    Order::Leave => return,
                }
            }
            for line in &mut self.lines {
                line.listen();
                line.say();
            }
        }
    }

    fn dial(&mut self, number: &str) {
        self.client.renew();
        let line = self.line(self.client.call_id());
        let invite = self.client.request_with("INVITE", number, "+4915", &[], &line.sdp(""));
        self.client.send(&invite);
        self.lines.push(line);
    }

    fn hold(&mut self, holds: bool) {
        for line in &mut self.lines {
            line.version += 1;
            self.seq += 1;
            let sdp = line.sdp(if holds { "a=sendonly\r\n" } else { "" });
            if let Some(dialog) = &line.dialog {
                self.client.send(&self.client.within(dialog, "INVITE", 1_000 + self.seq, &sdp));
            }
        }
    }

    fn hang_up(&mut self) {
        for line in std::mem::take(&mut self.lines) {
            if let Some(dialog) = &line.dialog {
                self.seq += 1;
                self.client.send(&self.client.within(dialog, "BYE", 1_000 + self.seq, ""));
            }
        }
        self.count();
    }

    /// A line with the first tone that no other one speaks.
    fn line(&self, call_id: String) -> Line {
        let is_free = |hz: u32| self.lines.iter().all(|line| line.hz != hz);
        let free = self.tones.iter().find(|(hz, _)| is_free(*hz));
        let (hz, heard) = free.unwrap_or(&self.tones[0]).clone();
        Line::new(call_id, self.client.local().ip(), hz, heard)
    }

    fn count(&self) {
        let up = self.lines.iter().filter(|line| line.is_up).count();
        self.facts.lock().unwrap().up = up;
    }

    fn message(&mut self, message: &Message) {
        match (message.status(), message.method()) {
            (200.., "INVITE") => self.answered(message),
            (1.., _) => {}
            (0, "INVITE") => self.invited(message),
            (0, "ACK") => self.acknowledged(message),
            (0, "BYE") => {
                self.reply(message, "200 OK", "");
                self.lines.retain(|line| Some(&*line.call_id) != message.header("Call-ID"));
            }
            (0, "UPDATE") if !message.body().is_empty() => {
                let sdp = self.described(message);
                self.reply(message, "200 OK", &sdp);
            }
            (0, _) => self.reply(message, "200 OK", ""),
        }
        self.count();
    }

    fn reply(&self, to: &Message, status: &str, body: &str) {
        self.client.send(&self.client.reply(to, status, &[], body));
    }

    fn of(&mut self, message: &Message) -> Option<&mut Line> {
        let call_id = message.header("Call-ID")?;
        self.lines.iter_mut().find(|line| line.call_id == call_id)
    }

    /// Takes note of the far end's description: ours, which answers it.
    fn described(&mut self, message: &Message) -> String {
        let Some(line) = self.of(message) else { return String::new() };
        line.follow(message.body());
        let directions = [("a=sendonly", "a=recvonly\r\n"), ("a=inactive", "a=inactive\r\n")];
        let answer = directions.iter().find(|(offered, _)| message.body().contains(offered));
        line.sdp(answer.map_or("", |(_, answer)| answer))
    }

    fn invited(&mut self, invite: &Message) {
        if self.of(invite).is_none() {
            let line = self.line(invite.header("Call-ID").unwrap_or("").to_owned());
            self.lines.push(line);
            let mut facts = self.facts.lock().unwrap();
            facts.taken += 1;
            facts.invite = Some(invite.clone());
            drop(facts);
            self.reply(invite, "180 Ringing", "");
        }
        let sdp = self.described(invite);
        let answer = self.client.reply(invite, "200 OK", &[], &sdp);
        self.client.send(&answer);
        if let Some(line) = self.of(invite) {
            line.dialog.get_or_insert(Dialog::of_callee(invite, &Message::of(&answer)));
        }
    }

    fn acknowledged(&mut self, ack: &Message) {
        if let Some(line) = self.of(ack) {
            line.is_up = true;
            line.follow(ack.body());
        }
    }

    fn answered(&mut self, answer: &Message) {
        let Some(line) = self.of(answer) else { return };
        if answer.status() >= 300 {
            return;
        }
        line.is_up = true;
        line.follow(answer.body());
        let dialog = line.dialog.get_or_insert(Dialog::of_caller(answer)).clone();
        self.client.send(&self.client.within(&dialog, "ACK", answer.seq(), ""));
    }
}

/// One call's audio.
struct Line {
    call_id: String,
    dialog: Option<Dialog>,
    is_up: bool,
    socket: UdpSocket,
    remote: Option<SocketAddr>,
    speaks: bool,
    hz: u32,
    heard: Heard,
    packets: u32,
    /// Of its description (RFC 3264 §5).
    version: u32,
}

impl Line {
    fn new(call_id: String, ip: IpAddr, hz: u32, heard: Heard) -> Self {
        let socket = UdpSocket::bind(SocketAddr::new(ip, 0)).unwrap();
        socket.set_nonblocking(true).unwrap();
        let (dialog, remote) = (None, None);
        Self {
            call_id,
            dialog,
            is_up: false,
            socket,
            remote,
            speaks: true,
            hz,
            heard,
            packets: 0,
            version: 1,
        }
    }

    fn sdp(&self, direction: &str) -> String {
        let local = self.socket.local_addr().unwrap();
        let (ip, port, version) = (local.ip(), local.port(), self.version);
        format!(
            "v=0\r\no=- 1 {version} IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
             m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=ptime:20\r\n{direction}"
        )
    }

    /// Goes by what the far end describes.
    fn follow(&mut self, sdp: &str) {
        if !sdp.is_empty() {
            self.remote = Some(audio::place(sdp));
            self.speaks = !sdp.contains("a=sendonly") && !sdp.contains("a=inactive");
        }
    }

    fn say(&mut self) {
        let Some(remote) = self.remote.filter(|_| self.speaks) else { return };
        let at = self.packets as usize * SAMPLES;
        let mut packet = vec![0x80, 0];
        packet.extend((self.packets as u16).to_be_bytes());
        packet.extend((at as u32).to_be_bytes());
        packet.extend(self.hz.to_be_bytes()); // SSRC
        packet.extend((at..at + SAMPLES).map(|n| {
            let phase = TAU * f64::from(self.hz) * n as f64 / RATE;
            ulaw::encode(LOUDNESS * phase.sin())
        }));
        self.packets += 1;
        let _ = self.socket.send_to(&packet, remote);
    }

    fn listen(&self) {
        let mut buffer = [0; 2048];
        let mut heard = self.heard.lock().unwrap();
        while let Ok(len) = self.socket.recv(&mut buffer) {
            let payload = buffer[..len].get(12..).unwrap_or(&[]);
            if buffer[1] & 0x7f == 0 {
                heard.extend(payload.iter().map(|octet| ulaw::decode(*octet)));
            }
        }
    }
}
