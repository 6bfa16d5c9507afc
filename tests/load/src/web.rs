//! Verbs of the API, as fast as a few clients can ask: each waits for its answer on a connection
//! that stays open.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// The token in the configuration of a server under load.
pub const TOKEN: &str = "load-token-of-the-administrator";

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct WebOutcome {
    /// How long each answer took, in seconds, ascending.
    pub took: Vec<f64>,
    /// Answers that were not 2xx.
    pub failed: u64,
    /// How long all of it took, in seconds.
    pub elapsed: f64,
}

impl WebOutcome {
    /// A quantile of the answers' time, in milliseconds.
    pub fn quantile(&self, share: f64) -> f64 {
        let last = self.took.len().saturating_sub(1);
        self.took.get((share * last as f64) as usize).copied().unwrap_or_default() * 1e3
    }
}

/// One connection.
pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub(crate) fn open(api: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(api)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    /// Status and body of one answer.
    pub(crate) fn ask(&mut self, request: &[u8]) -> Result<(u16, String), Box<dyn Error>> {
        self.stream.write_all(request)?;
        self.buffer.clear();
        let mut chunk = [0; 16_384];
        loop {
            let count = self.stream.read(&mut chunk)?;
            if count == 0 {
                return Err("the server closed the connection".into());
            }
            self.buffer.extend_from_slice(&chunk[..count]);
            let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") else {
                continue;
            };
            let head = std::str::from_utf8(&self.buffer[..end])?;
            let lower = head.to_ascii_lowercase();
            let len = lower.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
            let len: usize = len.ok_or("an answer without a length")?.parse()?;
            if self.buffer.len() >= end + 4 + len {
                let status = head.split(' ').nth(1).ok_or("no status")?.parse()?;
                return Ok((status, String::from_utf8_lossy(&self.buffer[end + 4..]).into_owned()));
            }
        }
    }
}

pub(crate) fn request(method: &str, path: &str, body: &str) -> Vec<u8> {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Path of the one interaction that is going on, and of its first participant.
///
/// # Errors
/// When there is none within five seconds.
pub fn interaction(api: SocketAddr) -> Result<(String, String), Box<dyn Error>> {
    let mut client = Client::open(api)?;
    let until = Instant::now() + Duration::from_secs(5);
    while Instant::now() < until {
        let (_, list) = client.ask(&request("GET", "/v1/interactions", ""))?;
        let mut ids = list.split("\"id\":\"").skip(1).filter_map(|rest| rest.split('"').next());
        if list.contains("\"state\":\"connected\"")
            && let (Some(call), Some(participant)) = (ids.next(), ids.next())
        {
            let call = format!("/v1/interactions/{call}");
            return Ok((call.clone(), format!("{call}/participants/{participant}")));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Err("no call is up".into())
}

/// Reads one interaction again and again.
///
/// # Errors
/// When a connection fails.
pub fn reads(
    api: SocketAddr,
    path: &str,
    clients: usize,
    duration: Duration,
) -> Result<WebOutcome, Box<dyn Error>> {
    run(api, clients, duration, &|_| request("GET", path, ""))
}

/// Switches noise removal of one participant on and off.
///
/// # Errors
/// When a connection fails.
pub fn switches(
    api: SocketAddr,
    participant: &str,
    clients: usize,
    duration: Duration,
) -> Result<WebOutcome, Box<dyn Error>> {
    let path = format!("{participant}/noise-suppression");
    run(api, clients, duration, &|number| {
        request("PUT", &path, &format!("{{\"enabled\":{}}}", number % 2 == 0))
    })
}

fn run(
    api: SocketAddr,
    clients: usize,
    duration: Duration,
    next: &(dyn Fn(u64) -> Vec<u8> + Sync),
) -> Result<WebOutcome, Box<dyn Error>> {
    let begun = Instant::now();
    let one = || -> Result<(Vec<f64>, u64), String> {
        let mut client = Client::open(api).map_err(|error| error.to_string())?;
        let (mut took, mut failed) = (Vec::new(), 0);
        for number in 0.. {
            if begun.elapsed() >= duration {
                break;
            }
            let request = next(number);
            let asked = Instant::now();
            let (status, _) = client.ask(&request).map_err(|error| error.to_string())?;
            took.push(asked.elapsed().as_secs_f64());
            failed += u64::from(!(200..300).contains(&status));
        }
        Ok((took, failed))
    };
    let all = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..clients).map(|_| scope.spawn(one)).collect();
        threads.into_iter().map(|thread| thread.join()).collect::<Vec<_>>()
    });
    let mut outcome = WebOutcome { elapsed: begun.elapsed().as_secs_f64(), ..Default::default() };
    for result in all {
        let (took, failed) = result.map_err(|_| "a client panicked")??;
        outcome.took.extend(took);
        outcome.failed += failed;
    }
    outcome.took.sort_by(f64::total_cmp);
    Ok(outcome)
}
