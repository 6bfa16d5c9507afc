//! ATTACKS 11: a scan of extensions, passwords tried by one address and by many.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use interop::client::Client;
use interop::digest::{Credentials, Hash};
use interop::{PHONE, Server, Setup};

use super::percentile;

/// The time in which guesses are counted.
const WINDOW: Duration = Duration::from_secs(30);
/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_millis(50);

/// What became of it.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Addresses that guessed.
    pub addresses: usize,
    /// Requests with a password sent.
    pub tried: usize,
    /// Guesses that were weighed, in all and for the busiest address in 30 s.
    pub weighed: [usize; 2],
    /// Registrations of the real user meanwhile, and those that failed.
    pub registered: [usize; 2],
    /// How long those took at the 99th percentile, milliseconds.
    pub p99_ms: f64,
}

/// `addresses` addresses guess as fast as they are answered for 30 s: one address at the password
/// of each extension in turn (a scan), many at that of 1001.
pub fn run(addresses: u8) -> Outcome {
    let server = Server::start(&Setup { log: "warn", ..Setup::default() });
    let done = AtomicBool::new(false);
    let mut outcome = Outcome { addresses: addresses.into(), ..Outcome::default() };
    let mut phone = Client::at(PHONE, server.sip());
    assert_eq!(phone.register("1001", 600).status(), 200);
    std::thread::scope(|scope| {
        let honest = scope.spawn(|| register(phone, &done));
        let guessers: Vec<_> = (0..addresses)
            .map(|n| Client::at(Ipv4Addr::new(127, 0, 3, n + 1), server.sip()))
            .collect();
        let mut weighed = vec![0; guessers.len()];
        let began = Instant::now();
        for turn in 0u32.. {
            if began.elapsed() >= WINDOW {
                break;
            }
            for (guesser, weighed) in guessers.iter().zip(&mut weighed) {
                let user = match addresses {
                    1 => (1000 + turn % 9000).to_string(),
                    _ => "1001".to_owned(),
                };
                if let Some(is_weighed) = guess(guesser, &server, &user) {
                    outcome.tried += 1;
                    *weighed += usize::from(is_weighed);
                }
            }
        }
        outcome.weighed = [weighed.iter().sum(), weighed.iter().copied().max().unwrap_or(0)];
        done.store(true, Ordering::Relaxed);
        let (mut times, failed) = honest.join().expect("it ends");
        outcome.registered = [times.len() + failed, failed];
        outcome.p99_ms = percentile(&mut times, 0.99);
    });
    server.stop();
    outcome
}

/// One guess; whether it was answered as wrong, or `None` when not even a challenge came.
///
/// A 401 that repeats the challenge without having looked at the password counts as weighed, too:
/// from outside it looks the same.
fn guess(client: &Client, server: &Server, user: &str) -> Option<bool> {
    client.renew();
    client.send(&client.request("REGISTER", ""));
    let challenged = client.receive_within(PATIENCE)?;
    let challenge = challenged.challenge(Hash::Md5)?;
    let uri = format!("sip:{}", server.sip());
    let wrong = Credentials::answer(challenge, "REGISTER", &uri, user, "a guess");
    let header = format!("Authorization: {}", wrong.header());
    client.send(&client.request_with("REGISTER", "", user, &[&header], ""));
    Some(client.receive_within(PATIENCE).is_some())
}

/// The real user registers, again and again.
fn register(mut phone: Client, done: &AtomicBool) -> (Vec<Duration>, usize) {
    let (mut times, mut failed) = (Vec::new(), 0);
    while !done.load(Ordering::Relaxed) {
        let asked = Instant::now();
        match phone.register("1001", 600).status() {
            200 => times.push(asked.elapsed()),
            _ => failed += 1,
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    (times, failed)
}
