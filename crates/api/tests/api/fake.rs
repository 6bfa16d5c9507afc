//! A core that says what a test tells it to, an API in front of it, and a client that writes its
//! requests by hand.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use api::{
    Api, ConfigProblem, CoreTeller, Drain, EntryPoint, Figure, RecordQuery, Role, Route, Settings,
    Shells, TokenConfig,
};
use b2bua::api::{
    Actor, Command, CommandResult, EventData, EventKind, InteractionEvent, InteractionSnapshot,
    Refused,
};
use b2bua::io::{Event, Input};
use base::{Redacted, WallTime};
use call::control::Refusal;
use call::record::CallRecord;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

pub(crate) const ADMIN: &str = "admin-token-aaaaaaaaaaaaaaaa";
pub(crate) const SUPERVISOR: &str = "supervisor-token-bbbbbbbbbbb";
pub(crate) const INTEGRATOR: &str = "integrator-token-cccccccccccc";
pub(crate) const AGENT: &str = "agent-token-1001-dddddddddddd";
pub(crate) const OTHER: &str = "agent-token-1002-eeeeeeeeeeee";
pub(crate) const EXPIRED: &str = "expired-token-ffffffffffffffff";

/// What the core is asked, and what it says.
type Says = dyn FnMut(&Actor, &Command) -> Option<CommandResult> + Send;

/// An API in front of a fake core.
pub(crate) struct World {
    pub(crate) address: SocketAddr,
    pub(crate) teller: CoreTeller,
    pub(crate) drain: Drain,
    pub(crate) asked: Arc<Mutex<Vec<(Actor, Command)>>>,
    pub(crate) recordings: PathBuf,
    /// Dropped with the world: the API ends.
    _end: oneshot::Sender<()>,
}

pub(crate) fn settings() -> Settings {
    let token = |name: &str, token: &str, role, extension: Option<&str>| TokenConfig {
        name: name.into(),
        token: Redacted::new(token.into()),
        role,
        extension: extension.map(str::to_owned),
        expires: (token == EXPIRED).then_some(WallTime(1_000)),
    };
    let route = Route {
        id: "world".into(),
        prefixes: vec!["0".into()],
        digits_min: 3,
        digits_max: 18,
        trunks: vec!["carrier".into()],
        extensions: vec!["1001".into()],
    };
    let (number, trunk, extension) = ("+4930".into(), None, "1001".into());
    Settings {
        tokens: vec![
            token("admin", ADMIN, Role::Admin, None),
            token("supervisor", SUPERVISOR, Role::Supervisor, Some("1009")),
            token("integrator", INTEGRATOR, Role::Integrator, None),
            token("agent-1001", AGENT, Role::Agent, Some("1001")),
            token("agent-1002", OTHER, Role::Agent, Some("1002")),
            token("expired", EXPIRED, Role::Admin, None),
        ],
        origins: vec!["https://desk.example.com".into()],
        routes: vec![route],
        entry_points: vec![EntryPoint { number, trunk, extension }],
        ..Settings::default()
    }
}

/// An interaction in which these extensions take part.
pub(crate) fn interaction(id: &str, state: &str, extensions: &[&str]) -> InteractionSnapshot {
    let participant = |extension: &&str| {
        serde_json::json!({
            "id": format!("leg-{extension}"), "role": "agent", "state": "connected",
            "primary": true, "party": extension, "number": extension, "name": "Ada",
            "holds": false, "muted": false, "joined": null, "noiseSuppression": {"enabled": true},
            "legs": [{"id": "leg-7", "codec": "PCMA", "holds": false, "quality": null}],
            "controls": {"hold": {"enabled": true}},
        })
    };
    let participants: Vec<_> = extensions.iter().map(participant).collect();
    let snapshot = serde_json::json!({
        "id": id, "state": state, "primary": null, "from": "+4930123456", "to": "1001",
        "started": "2026-01-01T00:00:00.000Z", "answered": null, "ended": null,
        "participants": participants, "recording": "off", "segments": [],
    });
    serde_json::from_value(snapshot).unwrap()
}

/// An event of it.
pub(crate) fn event(kind: EventKind, interaction: InteractionSnapshot) -> Event {
    let data = EventData {
        interaction,
        participant: None,
        reason: None,
        sip_status: None,
        automatic: None,
        mode: None,
        key: None,
        quality: None,
    };
    let time = WallTime(1_767_225_600_000);
    Event::Interaction(Box::new(InteractionEvent { time, kind, agent_id: None, data }))
}

impl World {
    pub(crate) fn new(
        says: impl FnMut(&Actor, &Command) -> Option<CommandResult> + Send + 'static,
    ) -> Self {
        Self::with(settings(), says)
    }

    /// A core that knows nothing.
    pub(crate) fn empty() -> Self {
        Self::new(|_, _| Some(Err(Refused::from(Refusal::NotFound))))
    }

    pub(crate) fn with(
        settings: Settings,
        says: impl FnMut(&Actor, &Command) -> Option<CommandResult> + Send + 'static,
    ) -> Self {
        let (inputs, waiting) = mpsc::channel(64);
        let recordings = scratch();
        let (api, teller) = Api::new(settings, inputs, shells(recordings.clone()));
        let drain = api.drain();
        let asked = Arc::<Mutex<Vec<_>>>::default();
        let (end, ended) = oneshot::channel::<()>();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let core = fake_core(waiting, teller.clone(), Arc::clone(&asked), Box::new(says));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    () = api.serve(listener) => {}
                    () = core => {}
                    _ = ended => {}
                }
            });
        });
        Self { address, teller, drain, asked, recordings, _end: end }
    }

    /// Writes a request and reads its answer.
    pub(crate) fn send(&self, request: &str) -> Answer {
        let mut client = Client::new(self.address);
        client.write(request.as_bytes());
        client.answer()
    }

    pub(crate) fn get(&self, token: &str, path: &str) -> Answer {
        self.request("GET", token, path, "", "")
    }

    pub(crate) fn post(&self, token: &str, path: &str, body: &str) -> Answer {
        self.request("POST", token, path, "", body)
    }

    pub(crate) fn request(
        &self,
        method: &str,
        token: &str,
        path: &str,
        headers: &str,
        body: &str,
    ) -> Answer {
        let len = body.len();
        self.send(&format!(
            "{method} {path} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {len}\r\n{headers}\r\n{body}"
        ))
    }

    /// The commands that the core was asked, the lists of the start left out.
    pub(crate) fn commands(&self) -> Vec<(Actor, Command)> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|(_, command)| !is_list(command)).cloned().collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.recordings);
    }
}

fn is_list(command: &Command) -> bool {
    matches!(command, Command::Interactions | Command::Registrations | Command::Trunks)
}

async fn fake_core(
    mut waiting: mpsc::Receiver<Input>,
    teller: CoreTeller,
    asked: Arc<Mutex<Vec<(Actor, Command)>>>,
    mut says: Box<Says>,
) {
    while let Some(input) = waiting.recv().await {
        let Input::Command { request, actor, command } = input else { continue };
        asked.lock().unwrap().push((actor.clone(), (*command).clone()));
        if let Some(result) = says(&actor, &command) {
            teller.reply(request, result);
        }
    }
}

fn scratch() -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("hookflash-api-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// Four finished calls: the first of 1001, recorded, by an older release; the second of 1002; the third
/// names a file outside of the directory; the one before all was recorded three times, and a
/// fourth time without sound.
pub(crate) fn records() -> Vec<CallRecord> {
    let record = |number: u32, party: &str, recording: Option<&str>| -> CallRecord {
        let leg = serde_json::json!({
            "side": "callee", "party": party, "sipCallId": "x", "sipStatus": 200, "codec": "PCMA",
            "packetsReceived": 0, "packetsSent": 0, "packetsLost": 0, "jitterMs": 0.0, "strays": 0,
        });
        let mut value = serde_json::json!({
            "id": format!("call-{number}"), "started": 1_767_225_600_000_u64, "ringing": null,
            "answered": 1_767_225_601_000_u64, "ended": 1_767_225_602_000_u64, "talkMs": 1000,
            "holdMs": 0, "from": "+4930123456", "to": party, "endedBy": "caller", "sipStatus": 200,
            "q850Cause": 16, "reason": "normal", "legs": [leg],
        });
        if let Some(recording) = recording {
            value["recording"] = recording.into();
        }
        serde_json::from_value(value).unwrap()
    };
    let several = record(0, "1002", Some("call-0-3.wav"));
    let recordings = ["call-0.wav", "call-0-1.wav", "call-0-3.wav"].map(str::to_owned);
    vec![
        record(3, "1002", Some("../../../etc/passwd")),
        record(2, "1002", None),
        record(1, "1001", Some("call-1.wav")),
        CallRecord { recordings: recordings.to_vec(), ..several },
    ]
}

fn shells(recordings: PathBuf) -> Shells {
    let page = |query: &RecordQuery| {
        let takes_part = |record: &CallRecord| {
            let own = query.extension.as_deref();
            own.is_none_or(|own| record.legs.iter().any(|leg| leg.party == own))
        };
        let all = records().into_iter();
        let mut all: Vec<_> = all.filter(takes_part).collect();
        all.retain(|record| !query.recorded || record.recording.is_some());
        if let Some(before) = &query.before {
            let at = all.iter().position(|record| record.id == *before);
            all.drain(..at.map_or(all.len(), |at| at + 1));
        }
        all.truncate(query.limit);
        Ok(all)
    };
    Shells {
        records: Box::new(page),
        record: Box::new(|id| Ok(records().into_iter().find(|record| record.id == id))),
        check: Box::new(|text| match text {
            "good" => Vec::new(),
            _ => vec![ConfigProblem { line: 3, reason: "bad".into() }],
        }),
        figures: Box::new(|| {
            let name = "sip_udp_received_total".into();
            vec![Figure { name, is_counter: true, help: "Datagrams.", value: 7.0 }]
        }),
        recordings,
    }
}

/// One connection.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    unread: Vec<u8>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
        Self { stream, unread: Vec::new() }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    fn more(&mut self) -> bool {
        let mut buffer = [0; 4096];
        let count = self.stream.read(&mut buffer).unwrap_or(0);
        self.unread.extend_from_slice(&buffer[..count]);
        count > 0
    }

    /// Reads one answer with its body.
    pub(crate) fn answer(&mut self) -> Answer {
        let end = loop {
            let found = self.unread.windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(end) = found {
                break end;
            }
            assert!(self.more(), "closed without an answer: {:?}", self.unread);
        };
        let head = String::from_utf8(self.unread.drain(..end + 4).collect()).unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: BTreeMap<_, _> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let len = headers.get("content-length").map(|len| len.parse().unwrap());
        if let Some(len) = len {
            while self.unread.len() < len {
                assert!(self.more(), "closed within a body");
            }
        }
        let body = self.unread.drain(..len.unwrap_or(0)).collect();
        Answer { status, headers, body }
    }

    /// Whether the server closes within the time-out.
    pub(crate) fn is_closed(&mut self) -> bool {
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return true,
                Ok(_) => {}
                // What we sent was not all read: the system says so.
                Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
            }
        }
    }
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The code of a problem; checks that it is one.
    pub(crate) fn code(&self) -> String {
        assert_eq!(self.headers["content-type"], "application/problem+json", "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status);
        problem["code"].as_str().unwrap().to_owned()
    }
}
