//! What all handlers share.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use axum::http::{HeaderValue, StatusCode};
use b2bua::api::{Actor, Command, Reply};
use base::Time;
use tokio::sync::Semaphore;

use crate::access::{Principal, Role, TokenConfig, Tokens};
use crate::directory::{Directory, EntryPoint, Route};
use crate::feed::Feed;
use crate::guard::idempotency::Answers;
use crate::link::CoreLink;
use crate::problem::{Code, Problem};
use crate::resources::overview::Cached;
use crate::resources::recordings::DOWNLOADS_MAX;
use crate::serve::{Connections, Limits};
use crate::shells::Shells;

/// The state of the router.
pub(crate) type Shared = Arc<Inner>;

/// What the operator decides.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who is let in.
    pub tokens: Vec<TokenConfig>,
    /// Web pages of these origins may use the API; empty = none. `*` is no entry.
    pub origins: Vec<String>,
    /// Bounds on connections.
    pub limits: Limits,
    /// Event streams at once, in all.
    pub streams_max: usize,
    /// Events that a client may miss and still read; beyond it gets a snapshot.
    pub events_kept: usize,
    /// Whether `/metrics` is shown without a token.
    pub public_metrics: bool,
    /// Whether only the last four digits of numbers are shown (V7).
    pub mask_numbers: bool,
    /// Ways out.
    pub routes: Vec<Route>,
    /// Numbers that customers dial.
    pub entry_points: Vec<EntryPoint>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            tokens: Vec::new(),
            origins: Vec::new(),
            limits: Limits::default(),
            streams_max: 256,
            events_kept: 2_000,
            public_metrics: false,
            mask_numbers: false,
            routes: Vec::new(),
            entry_points: Vec::new(),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) tokens: Tokens,
    pub(crate) limits: Limits,
    pub(crate) streams_max: usize,
    pub(crate) streams: AtomicUsize,
    pub(crate) public_metrics: bool,
    pub(crate) mask_numbers: bool,
    pub(crate) core: CoreLink,
    pub(crate) feed: Feed,
    pub(crate) directory: Directory,
    pub(crate) overview: Cached,
    pub(crate) shells: Shells,
    pub(crate) counters: Counters,
    pub(crate) connections: Arc<Connections>,
    pub(crate) draining: Arc<AtomicBool>,
    /// Files that may be sent at once.
    pub(crate) downloads: Arc<Semaphore>,
    origins: Vec<HeaderValue>,
    answers: Mutex<Answers>,
    started: Instant,
}

impl Inner {
    pub(crate) fn new(settings: Settings, core: CoreLink, shells: Shells) -> Self {
        let origins = settings.origins.iter().filter_map(|origin| origin.parse().ok());
        Self {
            tokens: Tokens::new(&settings.tokens),
            limits: settings.limits,
            streams_max: settings.streams_max,
            streams: AtomicUsize::new(0),
            public_metrics: settings.public_metrics,
            mask_numbers: settings.mask_numbers,
            core,
            feed: Feed::new(crate::wall(), settings.events_kept),
            directory: Directory::new(settings.routes, settings.entry_points),
            overview: Cached::default(),
            shells,
            counters: Counters::default(),
            connections: Arc::default(),
            draining: Arc::default(),
            downloads: Arc::new(Semaphore::new(DOWNLOADS_MAX)),
            origins: origins.collect(),
            answers: Mutex::default(),
            started: Instant::now(),
        }
    }

    pub(crate) fn allows_origin(&self, origin: &HeaderValue) -> bool {
        self.origins.contains(origin)
    }

    pub(crate) fn answers(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Time for what is kept for a while.
    pub(crate) fn now(&self) -> Time {
        Time::ZERO + self.started.elapsed()
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Asks the core in the name of `principal`.
    pub(crate) async fn ask(
        &self,
        principal: &Principal,
        command: Command,
    ) -> Result<Reply, Problem> {
        self.core.ask(actor(principal)?, command).await
    }
}

/// Who asks, in the core's words.
pub(crate) fn actor(principal: &Principal) -> Result<Actor, Problem> {
    let extension = principal.extension.as_deref().map(str::to_owned);
    Ok(match principal.role {
        Role::Agent => {
            let extension = extension
                .ok_or_else(|| Problem::new(Code::Forbidden, "the token names no extension"))?;
            Actor::Agent { extension }
        }
        Role::Supervisor => Actor::Supervisor { extension },
        Role::Admin => Actor::Admin,
        Role::Integrator => Actor::Integrator,
    })
}

/// What is counted of requests.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    by_class: [AtomicU64; 5],
    unauthorised: AtomicU64,
    pub(crate) slow_streams: AtomicU64,
}

impl Counters {
    pub(crate) fn answered(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        self.by_class[class].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn unauthorised(&self) {
        self.unauthorised.fetch_add(1, Ordering::Relaxed);
    }

    /// Answers by the first digit of their status.
    pub(crate) fn by_class(&self) -> [u64; 5] {
        std::array::from_fn(|class| self.by_class[class].load(Ordering::Relaxed))
    }

    /// Tokens that were wrong or over.
    pub(crate) fn wrong_tokens(&self) -> u64 {
        self.unauthorised.load(Ordering::Relaxed)
    }
}
