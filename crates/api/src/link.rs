//! The way to the core and back: commands by its bounded queue, replies by request id.
//!
//! ```text
//! handler ─ Input::Command ─▶ queue of the driver ─▶ core
//!    ▲                                                 │ Output::Reply, Output::Event
//!    └── waiting, by id ◀── [`crate::feed`] ◀─ bounded ┘ (core's thread: never waits)
//! ```

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use b2bua::api::{Actor, Command, CommandResult, Reply, RequestId};
use b2bua::io::{Event, Input};
use tokio::sync::{mpsc, oneshot};

use crate::problem::{Code, Problem};

/// Commands that may wait for their reply; one more is refused with 503. Well below the driver's
/// queue, which belongs to media first.
pub(crate) const WAITING_MAX: usize = 1_024;
/// Events and replies on their way from the core. When it is full an event is lost, and every
/// client of the stream gets a snapshot.
const TOLD_MAX: usize = 16_384;
/// How long the core may take: it answers in the step that reads the command.
const REPLY_WITHIN: Duration = Duration::from_secs(5);

/// The same, when somebody asks whether the server is ready.
const ALIVE_WITHIN: Duration = Duration::from_millis(800);

/// What the core's thread tells the API's.
#[derive(Debug)]
pub(crate) enum Told {
    Event(Event),
    Reply(RequestId, CommandResult),
}

type Waiting = Mutex<HashMap<RequestId, oneshot::Sender<CommandResult>>>;

/// The asking side.
#[derive(Debug)]
pub(crate) struct CoreLink {
    inputs: mpsc::Sender<Input>,
    waiting: Arc<Waiting>,
    numbers: AtomicU64,
    refused: AtomicU64,
}

/// The telling side: kept by whoever takes the core's outputs, on the core's thread. Never waits.
#[derive(Clone, Debug)]
pub struct CoreTeller {
    told: mpsc::Sender<Told>,
    waiting: Arc<Waiting>,
    lost: Arc<AtomicU64>,
}

/// What the feed reads.
#[derive(Debug)]
pub(crate) struct Inbox {
    pub(crate) told: mpsc::Receiver<Told>,
    pub(crate) waiting: Arc<Waiting>,
    /// Events that found no room.
    pub(crate) lost: Arc<AtomicU64>,
}

pub(crate) fn link(inputs: mpsc::Sender<Input>) -> (CoreLink, CoreTeller, Inbox) {
    let (told, inbox) = mpsc::channel(TOLD_MAX);
    let waiting = Arc::<Waiting>::default();
    let lost = Arc::<AtomicU64>::default();
    let (numbers, refused) = (AtomicU64::new(1), AtomicU64::new(0));
    let core = CoreLink { inputs, waiting: Arc::clone(&waiting), numbers, refused };
    let teller = CoreTeller { told, waiting: Arc::clone(&waiting), lost: Arc::clone(&lost) };
    (core, teller, Inbox { told: inbox, waiting, lost })
}

impl CoreLink {
    /// Asks the core, and waits for its reply.
    pub(crate) async fn ask(&self, actor: Actor, command: Command) -> Result<Reply, Problem> {
        let request = RequestId(self.numbers.fetch_add(1, Ordering::Relaxed));
        let (reply, answered) = oneshot::channel();
        {
            let mut waiting = lock(&self.waiting);
            if waiting.len() >= WAITING_MAX {
                self.refused.fetch_add(1, Ordering::Relaxed);
                return Err(Problem::new(Code::Overloaded, "too many requests wait for the core"));
            }
            waiting.insert(request, reply);
        }
        // Whatever happens to the request (the client may go), nothing of it stays.
        let _forget = Forget { waiting: &self.waiting, request };
        let input = Input::Command { request, actor, command: Box::new(command) };
        if self.inputs.try_send(input).is_err() {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(Problem::new(Code::Overloaded, "the core's queue is full"));
        }
        match tokio::time::timeout(REPLY_WITHIN, answered).await {
            Ok(Ok(Ok(reply))) => Ok(reply),
            Ok(Ok(Err(refused))) => Err(refused.into()),
            Ok(Err(_)) => Err(Problem::new(Code::Internal, "the core has ended")),
            Err(_) => Err(Code::Timeout.into()),
        }
    }

    /// Whether the core answers at all.
    pub(crate) async fn is_alive(&self) -> Result<(), Problem> {
        // It says that there is no such thing: that is an answer.
        let nothing = Command::Interaction { interaction: String::new() };
        let asked = tokio::time::timeout(ALIVE_WITHIN, self.ask(Actor::Admin, nothing)).await;
        match asked {
            Ok(Err(problem)) if problem.code != Code::NotFound => Err(problem),
            Ok(_) => Ok(()),
            Err(_) => Err(Problem::new(Code::Overloaded, "the core does not answer")),
        }
    }

    /// Requests that were refused because the core does not keep up.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Requests that wait for their reply.
    pub(crate) fn waiting(&self) -> usize {
        lock(&self.waiting).len()
    }
}

struct Forget<'a> {
    waiting: &'a Waiting,
    request: RequestId,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        lock(self.waiting).remove(&self.request);
    }
}

impl CoreTeller {
    /// Passes on what the event stream and the lists are made of.
    pub fn event(&self, event: Event) {
        if self.told.try_send(Told::Event(event)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Passes on the reply to a command, after the events that came before it.
    pub fn reply(&self, request: RequestId, result: CommandResult) {
        if let Err(error) = self.told.try_send(Told::Reply(request, result))
            && let Told::Reply(request, result) = error.into_inner()
        {
            answer(&self.waiting, request, result);
        }
    }
}

/// Hands a reply to whoever waits for it; a client that has gone is none.
pub(crate) fn answer(waiting: &Waiting, request: RequestId, result: CommandResult) {
    if let Some(reply) = lock(waiting).remove(&request) {
        let _ = reply.send(result);
    }
}

fn lock(
    waiting: &Waiting,
) -> std::sync::MutexGuard<'_, HashMap<RequestId, oneshot::Sender<CommandResult>>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}
