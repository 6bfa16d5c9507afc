//! Many calls at once, each through hold, consult, toggle, merge and back, by the API.

use std::error::Error;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::server::extension;
use crate::web::{Client, request};

/// How long a state may take to be reached.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at a call that has not reached it.
const PAUSE: Duration = Duration::from_millis(20);

/// A verb and the state of the interaction that it leads to.
const CYCLE: [(&str, &str); 6] = [
    ("hold", "held"),
    ("resume", "connected"),
    ("consult", "consulting"),
    ("toggle", "consultHeld"),
    ("toggle", "consulting"),
    ("consult/conference", "conference"),
];

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Cycled {
    /// How long each verb took to be answered, seconds, ascending.
    pub took: Vec<f64>,
    /// What did not go as planned.
    pub failures: Vec<String>,
    /// How long all of it took, seconds.
    pub elapsed: f64,
    /// Consults that became conferences.
    pub merged: usize,
}

impl Cycled {
    /// A quantile of the answers' times, milliseconds.
    pub fn quantile(&self, share: f64) -> f64 {
        let last = self.took.len().saturating_sub(1);
        self.took.get((share * last as f64) as usize).copied().unwrap_or_default() * 1e3
    }
}

/// Interactions that are up, by the position of their agent among the extensions.
///
/// # Errors
/// When `count` of them are not up within a minute.
pub fn interactions(api: SocketAddr, count: u32) -> Result<Vec<(u32, String)>, Box<dyn Error>> {
    let mut client = Client::open(api)?;
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let (_, list) = client.ask(&request("GET", "/v1/interactions", ""))?;
        let list: Value = serde_json::from_str(&list)?;
        let all = list.as_array().ok_or("no list")?;
        let mut up: Vec<_> = all
            .iter()
            .filter(|one| one["state"] == "connected")
            .filter_map(|one| Some((agent(one, count)?, one["id"].as_str()?.to_owned())))
            .collect();
        if up.len() == count as usize {
            up.sort();
            return Ok(up);
        }
        if Instant::now() > until {
            return Err(format!("{} of {count} calls are up", up.len()).into());
        }
        thread::sleep(Duration::from_secs(1));
    }
}

fn agent(interaction: &Value, count: u32) -> Option<u32> {
    let mut all = interaction["participants"].as_array()?.iter();
    let one = all.find(|one| one["role"] == "agent")?;
    (0..count).find(|&n| one["party"] == extension(n))
}

/// Takes each call through `rounds` cycles, `clients` at a time asking; the `n`th agent consults
/// extension `calls + n`.
///
/// # Errors
/// When a connection fails.
pub fn run(
    api: SocketAddr,
    calls: &[(u32, String)],
    clients: usize,
    rounds: u32,
) -> Result<Cycled, Box<dyn Error>> {
    let begun = Instant::now();
    let share = calls.len().div_ceil(clients);
    let count = u32::try_from(calls.len())?;
    let all: Vec<_> = thread::scope(|scope| {
        let work = |mine: &'_ [(u32, String)]| -> Result<Cycled, String> {
            let mut driver = Driver::open(api, mine, count).map_err(|error| error.to_string())?;
            for _ in 0..rounds {
                driver.cycle().map_err(|error| error.to_string())?;
            }
            Ok(driver.outcome)
        };
        let threads: Vec<_> =
            calls.chunks(share).map(|mine| scope.spawn(move || work(mine))).collect();
        threads.into_iter().map(thread::ScopedJoinHandle::join).collect()
    });
    let mut outcome = Cycled { elapsed: begun.elapsed().as_secs_f64(), ..Cycled::default() };
    for one in all {
        let one = one.map_err(|_| "a client panicked")??;
        outcome.took.extend(one.took);
        outcome.failures.extend(one.failures);
        outcome.merged += one.merged;
    }
    outcome.took.sort_by(f64::total_cmp);
    Ok(outcome)
}

/// Hangs all of them up.
///
/// # Errors
/// When the connection fails.
pub fn end(api: SocketAddr, calls: &[(u32, String)]) -> Result<(), Box<dyn Error>> {
    let mut client = Client::open(api)?;
    for (_, id) in calls {
        client.ask(&request("POST", &format!("/v1/interactions/{id}/end"), "{}"))?;
    }
    Ok(())
}

/// One client and its calls, which are all in the same step.
struct Driver<'a> {
    client: Client,
    calls: &'a [(u32, String)],
    count: u32,
    outcome: Cycled,
}

impl<'a> Driver<'a> {
    fn open(api: SocketAddr, calls: &'a [(u32, String)], count: u32) -> std::io::Result<Self> {
        Ok(Self { client: Client::open(api)?, calls, count, outcome: Cycled::default() })
    }

    fn cycle(&mut self) -> Result<(), Box<dyn Error>> {
        for (verb, state) in CYCLE {
            for (agent, id) in self.calls {
                let to = extension(self.count + agent);
                let body = match verb {
                    "consult" => format!("{{\"to\":\"{to}\",\"destinationType\":\"agent\"}}"),
                    _ => "{}".to_owned(),
                };
                self.verb("POST", &format!("/v1/interactions/{id}/{verb}"), &body)?;
            }
            self.reach(verb, state)?;
        }
        // Out of the conference again: the consulted agent is taken out.
        for (agent, id) in self.calls {
            let party = extension(self.count + agent);
            let call = self.look(id)?;
            let all = call["participants"].as_array().map(Vec::as_slice).unwrap_or_default();
            let one = all.iter().find(|one| one["party"] == party);
            let Some(who) = one.and_then(|one| one["id"].as_str()) else {
                self.outcome.failures.push(format!("{id}: {party} is not in the conference"));
                continue;
            };
            self.outcome.merged += 1;
            self.verb("DELETE", &format!("/v1/interactions/{id}/participants/{who}"), "")?;
        }
        self.reach("remove", "connected")
    }

    fn verb(&mut self, method: &str, path: &str, body: &str) -> Result<(), Box<dyn Error>> {
        let asked = Instant::now();
        let (status, text) = self.client.ask(&request(method, path, body))?;
        self.outcome.took.push(asked.elapsed().as_secs_f64());
        if !(200..300).contains(&status) {
            self.outcome.failures.push(format!("{method} {path}: {status} {text}"));
        }
        Ok(())
    }

    fn look(&mut self, id: &str) -> Result<Value, Box<dyn Error>> {
        let (_, text) = self.client.ask(&request("GET", &format!("/v1/interactions/{id}"), ""))?;
        Ok(serde_json::from_str(&text)?)
    }

    /// Waits until all calls are in this state.
    fn reach(&mut self, verb: &str, state: &str) -> Result<(), Box<dyn Error>> {
        let until = Instant::now() + PATIENCE;
        for (_, id) in self.calls {
            loop {
                let call = self.look(id)?;
                if call["state"] == state {
                    break;
                }
                if Instant::now() > until {
                    let is = &call["state"];
                    self.outcome.failures.push(format!("{id}: {is} after {verb}, not {state}"));
                    break;
                }
                thread::sleep(PAUSE);
            }
        }
        Ok(())
    }
}
