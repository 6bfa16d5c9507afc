//! ATTACKS 11: a scan of extensions, passwords tried by one address and by many.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use interop::client::Client;
use interop::digest::{Credentials, Hash};
use interop::{PHONE, Server, Setup, password};

use super::percentile;

/// The time in which guesses are counted.
const WINDOW: Duration = Duration::from_secs(30);
/// Those who know the password come when the account is slowed for sure.
const SLOWED: Duration = Duration::from_secs(2);
/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_millis(50);

/// What became of it.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Addresses that guessed.
    pub addresses: usize,
    /// Requests with a password sent.
    pub tried: usize,
    /// Most of them that one address had answered.
    pub answered: usize,
    /// Of many addresses every other one knows the password. How many of those got in, which is how
    /// many passwords were weighed at all: a refusal does not tell.
    pub let_in: [usize; 2],
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
        match addresses {
            1 => scan(&server, &mut outcome),
            _ => guess_together(&server, addresses, &mut outcome),
        }
        done.store(true, Ordering::Relaxed);
        let (mut times, failed) = honest.join().expect("it ends");
        outcome.registered = [times.len() + failed, failed];
        outcome.p99_ms = percentile(&mut times, 0.99);
    });
    server.stop();
    outcome
}

fn scan(server: &Server, outcome: &mut Outcome) {
    let scanner = Client::at(Ipv4Addr::new(127, 0, 3, 1), server.sip());
    let began = Instant::now();
    let users = (1000..10_000).cycle().map(|user: u32| user.to_string());
    for user in users.take_while(|_| began.elapsed() < WINDOW) {
        if let Some(status) = guess(&scanner, server, &user, "a guess") {
            outcome.tried += 1;
            outcome.answered += usize::from(status != 0);
        }
    }
}

fn guess_together(server: &Server, addresses: u8, outcome: &mut Outcome) {
    let client = |n| Client::at(Ipv4Addr::new(127, 0, 3, n + 1), server.sip());
    let mut guessers: Vec<_> = (0..addresses).map(|n| (client(n), n % 2 == 1, 0)).collect();
    let knowing = guessers.iter().filter(|(_, knows, _)| *knows).count();
    let began = Instant::now();
    while began.elapsed() < WINDOW {
        guessers.retain_mut(|(guesser, knows, answered)| {
            if *knows && began.elapsed() < SLOWED {
                return true;
            }
            let password = if *knows { password("1001") } else { "a guess" };
            let status = guess(guesser, server, "1001", password);
            outcome.tried += usize::from(status.is_some());
            *answered += usize::from(status.is_some_and(|status| status != 0));
            outcome.answered = outcome.answered.max(*answered);
            status != Some(200) // who is let in is known from then on
        });
    }
    let left = guessers.iter().filter(|(_, knows, _)| *knows).count();
    outcome.let_in = [knowing - left, knowing];
}

/// One guess: the status of its answer, 0 without one; `None` when not even a challenge came.
fn guess(client: &Client, server: &Server, user: &str, password: &str) -> Option<u16> {
    client.renew();
    client.send(&client.request("REGISTER", ""));
    let challenged = client.receive_within(PATIENCE)?;
    let challenge = challenged.challenge(Hash::Md5)?;
    let uri = format!("sip:{}", server.sip());
    let answer = Credentials::answer(challenge, "REGISTER", &uri, user, password);
    let header = format!("Authorization: {}", answer.header());
    let text = client.request_with("REGISTER", "", user, &[&header], "");
    let to = format!("To: <sip:{user}@hookflash.test>");
    client.send(&text.replace("To: <sip:hookflash.test>", &to));
    Some(client.receive_within(PATIENCE).map_or(0, |answer| answer.status()))
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
