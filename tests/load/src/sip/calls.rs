//! Calls from a customer's trunk to an agent: both ends are played here.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::text::{header, respond, sdp, status};
use crate::server::entry_point;

/// What calls to make.
#[derive(Clone, Copy, Debug)]
pub struct CallLoad {
    /// The server.
    pub server: SocketAddr,
    /// Calls begun per second.
    pub rate: u32,
    /// For how long calls are begun.
    pub duration: Duration,
    /// From the answer to the BYE, unless the server hangs up before.
    pub hold: Duration,
    /// How many entry points are called in turn.
    pub entry_points: u32,
}

/// What became of them.
#[derive(Clone, Debug, Default)]
pub struct CallOutcome {
    /// INVITEs sent first time.
    pub begun: u64,
    /// Answered, held and ended as planned.
    pub completed: u64,
    /// Refused with 503 and Retry-After.
    pub turned_away: u64,
    /// Everything else: refused otherwise, or no answer.
    pub failed: u64,
    /// What those that were turned away or failed met, and how many met it.
    pub reasons: BTreeMap<String, u64>,
    /// Set-up times (INVITE to 200) in milliseconds, sorted.
    pub setup_ms: Vec<f32>,
    /// Times from INVITE to refusal in milliseconds, sorted.
    pub refused_ms: Vec<f32>,
    /// Most calls up at the same time.
    pub peak: usize,
}

impl CallOutcome {
    /// The set-up time that a share of the calls stays under.
    pub fn setup(&self, share: f64) -> f32 {
        quantile(&self.setup_ms, share)
    }

    /// The time that a share of the refusals stays under.
    pub fn refusal(&self, share: f64) -> f32 {
        quantile(&self.refused_ms, share)
    }
}

fn quantile(sorted: &[f32], share: f64) -> f32 {
    let at = ((sorted.len() as f64 * share) as usize).min(sorted.len().max(1) - 1);
    sorted.get(at).copied().unwrap_or(f32::NAN)
}

/// The agent's phone: rings and answers at once.
#[derive(Debug)]
pub struct Agent {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Agent {
    /// Starts it.
    ///
    /// # Errors
    /// When no socket can be had.
    pub fn start() -> io::Result<Self> {
        let socket = big_socket("127.0.0.1:0".parse().expect("an address"))?;
        socket.set_read_timeout(Some(Duration::from_millis(20)))?;
        let address = socket.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut buffer = vec![0; 65_535];
            while !stopped.load(Ordering::Relaxed) {
                let Ok((len, from)) = socket.recv_from(&mut buffer) else { continue };
                let Ok(text) = std::str::from_utf8(&buffer[..len]) else { continue };
                answer(&socket, from, text, address);
            }
        });
        Ok(Self { stop, thread: Some(thread), address })
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer(socket: &UdpSocket, from: SocketAddr, request: &str, us: SocketAddr) {
    let contact = us.to_string();
    let say = |status: &str, body: &str| {
        let _ = socket.send_to(respond(request, status, "agent", &contact, body).as_bytes(), from);
    };
    if request.starts_with("INVITE ") {
        say("180 Ringing", "");
        say("200 OK", &sdp(60_000));
    } else if !request.starts_with("ACK ") && status(request) == 0 {
        say("200 OK", "");
    }
}

#[derive(Debug)]
enum Step {
    Inviting,
    Talking { bye_at: Instant },
    Leaving,
}

#[derive(Debug)]
struct Call {
    step: Step,
    begun: Instant,
    resend_at: Instant,
    interval: Duration,
    to: String,
    target: String,
    last: String,
}

/// How long a request is repeated before the call counts as failed.
const PATIENCE: Duration = Duration::from_secs(8);

/// Makes calls from 127.0.0.2 and waits until all are over.
///
/// # Errors
/// When no socket can be had.
pub fn run(load: CallLoad) -> io::Result<CallOutcome> {
    let socket = big_socket("127.0.0.2:0".parse().expect("an address"))?;
    socket.set_nonblocking(true)?;
    let mut customer = Customer {
        us: socket.local_addr()?,
        socket,
        load,
        calls: BTreeMap::new(),
        outcome: CallOutcome::default(),
    };
    let start = Instant::now();
    let mut buffer = vec![0; 65_535];
    loop {
        let elapsed = start.elapsed();
        if elapsed < load.duration {
            let due = (elapsed.as_secs_f64() * f64::from(load.rate)) as u64;
            for _ in customer.outcome.begun..due {
                customer.begin();
            }
        } else if customer.calls.is_empty() {
            break;
        }
        let mut idle = true;
        while let Ok((len, _)) = customer.socket.recv_from(&mut buffer) {
            idle = false;
            if let Ok(text) = std::str::from_utf8(&buffer[..len]) {
                customer.receive(text);
            }
        }
        customer.timers();
        if idle {
            std::thread::sleep(Duration::from_micros(300));
        }
    }
    customer.outcome.setup_ms.sort_by(f32::total_cmp);
    customer.outcome.refused_ms.sort_by(f32::total_cmp);
    Ok(customer.outcome)
}

struct Customer {
    socket: UdpSocket,
    us: SocketAddr,
    load: CallLoad,
    calls: BTreeMap<u64, Call>,
    outcome: CallOutcome,
}

impl Customer {
    fn begin(&mut self) {
        let n = self.outcome.begun;
        self.outcome.begun += 1;
        let uri = self.uri(n);
        let to = format!("<{uri}>");
        let text = self.request("INVITE", n, 1, &uri, &to, &sdp(60_002));
        self.send(&text);
        let now = Instant::now();
        let interval = Duration::from_millis(500);
        let call = Call {
            step: Step::Inviting,
            begun: now,
            resend_at: now + interval,
            interval,
            to,
            target: String::new(),
            last: text,
        };
        self.calls.insert(n, call);
        self.outcome.peak = self.outcome.peak.max(self.calls.len());
    }

    /// Whom the `n`th call is for.
    fn uri(&self, n: u64) -> String {
        let number = entry_point((n % u64::from(self.load.entry_points)) as u32);
        format!("sip:{number}@{}", self.load.server)
    }

    fn request(&self, method: &str, n: u64, cseq: u32, uri: &str, to: &str, body: &str) -> String {
        let us = self.us;
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {us};branch=z9hG4bK{n}{method}\r\n\
             From: <sip:customer{n}@{us}>;tag=c{n}\r\nTo: {to}\r\nCall-ID: {n}@{us}\r\n\
             CSeq: {cseq} {method}\r\nContact: <sip:customer@{us}>\r\nMax-Forwards: 70\r\n\
             {kind}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    fn send(&self, text: &str) {
        let _ = self.socket.send_to(text.as_bytes(), self.load.server);
    }

    fn receive(&mut self, text: &str) {
        let id = header(text, "Call-ID").and_then(|id| id.split('@').next()?.parse::<u64>().ok());
        let Some(n) = id else { return };
        let cseq = header(text, "CSeq").unwrap_or_default();
        match (status(text), cseq) {
            (100..=199, _) => {
                if let Some(call) = self.calls.get_mut(&n) {
                    call.resend_at = Instant::now() + PATIENCE * 4;
                }
            }
            (200, "1 INVITE") => self.answered(n, text),
            (300..=699, "1 INVITE") => self.refused(n, text),
            (200..=699, "2 BYE") => {
                if self.calls.remove(&n).is_some() {
                    self.outcome.completed += 1;
                }
            }
            (0, _) if text.starts_with("ACK ") => {}
            (0, _) => {
                let (contact, offers) = (self.us.to_string(), text.starts_with("INVITE "));
                let body = if offers { sdp(60_002) } else { String::new() };
                self.send(&respond(text, "200 OK", "c", &contact, &body));
                if text.starts_with("BYE ") && self.calls.remove(&n).is_some() {
                    self.outcome.completed += 1;
                }
            }
            (_, _) => {}
        }
    }

    fn answered(&mut self, n: u64, text: &str) {
        let to = header(text, "To").unwrap_or_default().to_owned();
        let contact = header(text, "Contact").unwrap_or_default();
        let target = contact.trim_matches(['<', '>']).to_owned();
        self.send(&self.request("ACK", n, 1, &target, &to, ""));
        let hold = self.load.hold;
        let Some(call) = self.calls.get_mut(&n) else { return };
        if matches!(call.step, Step::Inviting) {
            let setup = call.begun.elapsed();
            self.outcome.setup_ms.push(setup.as_secs_f32() * 1000.0);
            call.step = Step::Talking { bye_at: Instant::now() + hold };
            (call.to, call.target) = (to, target);
        }
    }

    fn refused(&mut self, n: u64, text: &str) {
        let to = header(text, "To").unwrap_or_default().to_owned();
        let uri = self.uri(n);
        // RFC 3261 §17.1.1.3: the ACK of a refusal belongs to the INVITE's transaction.
        let ack = self.request("ACK", n, 1, &uri, &to, "");
        self.send(&ack.replacen(&format!("{n}ACK"), &format!("{n}INVITE"), 1));
        if let Some(call) = self.calls.remove(&n) {
            self.outcome.refused_ms.push(call.begun.elapsed().as_secs_f32() * 1000.0);
            match status(text) == 503 && header(text, "Retry-After").is_some() {
                true => self.outcome.turned_away += 1,
                false => self.outcome.failed += 1,
            }
            let line = text.lines().next().unwrap_or_default();
            let why = header(text, "Reason").or_else(|| header(text, "Warning"));
            self.count(format!("{line} {}", why.unwrap_or_default()));
        }
    }

    fn count(&mut self, reason: String) {
        *self.outcome.reasons.entry(reason).or_default() += 1;
    }

    fn timers(&mut self) {
        let now = Instant::now();
        let due: Vec<u64> =
            self.calls.iter().filter(|(_, call)| is_due(call, now)).map(|(&n, _)| n).collect();
        for n in due {
            let Some(call) = self.calls.get(&n) else { continue };
            if let Step::Talking { .. } = call.step {
                let bye = self.request("BYE", n, 2, &call.target, &call.to, "");
                self.send(&bye);
                let interval = Duration::from_millis(500);
                if let Some(call) = self.calls.get_mut(&n) {
                    call.step = Step::Leaving;
                    (call.begun, call.last) = (now, bye);
                    (call.interval, call.resend_at) = (interval, now + interval);
                }
            } else if now - call.begun > PATIENCE {
                let why = format!("no answer, {:?}", call.step);
                self.calls.remove(&n);
                self.outcome.failed += 1;
                self.count(why);
            } else {
                self.send(&call.last);
                if let Some(call) = self.calls.get_mut(&n) {
                    call.interval *= 2;
                    call.resend_at = now + call.interval;
                }
            }
        }
    }
}

fn is_due(call: &Call, now: Instant) -> bool {
    match call.step {
        Step::Talking { bye_at } => now >= bye_at,
        Step::Inviting | Step::Leaving => now >= call.resend_at || now - call.begun > PATIENCE,
    }
}

/// A socket whose buffer holds a burst.
pub(super) fn big_socket(address: SocketAddr) -> io::Result<UdpSocket> {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    socket.set_recv_buffer_size(8 << 20)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}
