//! REST and WebSocket: what programs and desktops use.
//!
//! ```text
//! HTTP ─▶ [`serve`] bounds ─▶ guard: headers, token, body, key ─▶ resources ─▶ link ─▶ core
//! core ─▶ [`CoreTeller`] ─▶ feed: what is known, the last events ─▶ lists, socket, metrics
//! ```
//! Knows the core's vocabulary (`b2bua::api`) and no SIP, no media, no store: what it needs of the
//! shells beside it are functions ([`Shells`]). Nothing here asks the core by the clock.

mod access;
mod directory;
mod feed;
mod guard;
mod link;
mod problem;
mod resources;
mod router;
mod serve;
mod shapes;
mod shared;
mod shells;
mod socket;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use b2bua::io::Input;
use base::WallTime;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

pub use self::access::{Role, TOKEN_MAX, TOKEN_MIN, TokenConfig};
pub use self::directory::{EntryPoint, Route};
pub use self::link::CoreTeller;
pub use self::problem::Code;
pub use self::router::document;
pub use self::serve::Limits;
pub use self::shared::Settings;
pub use self::shells::{
    CheckConfig, ConfigProblem, Figure, Figures, ReadRecord, ReadRecords, RecordQuery, Shells,
};

/// The API, not served yet.
#[derive(Debug)]
pub struct Api {
    shared: shared::Shared,
    inbox: link::Inbox,
}

/// Tells `/readyz` that the server takes no calls any longer.
#[derive(Clone, Debug)]
pub struct Drain(Arc<AtomicBool>);

impl Drain {
    /// From now on it does not.
    pub fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Api {
    /// An API in front of the core that reads `inputs`, and what the core's thread tells it with.
    pub fn new(
        settings: Settings,
        inputs: mpsc::Sender<Input>,
        shells: Shells,
    ) -> (Self, CoreTeller) {
        let (core, teller, inbox) = link::link(inputs);
        let shared = Arc::new(shared::Inner::new(settings, core, shells));
        (Self { shared, inbox }, teller)
    }

    /// What tells it that the server drains.
    pub fn drain(&self) -> Drain {
        Drain(Arc::clone(&self.shared.draining))
    }

    /// The router, and what must run beside it to read what the core tells.
    pub fn into_parts(self) -> (Router, impl Future<Output = ()> + Send + 'static) {
        let Self { shared, inbox } = self;
        let router = router::router(Arc::clone(&shared));
        let feeding = async move { shared.feed.run(inbox, &shared.core).await };
        (router, feeding)
    }

    /// Serves until it is dropped, or until the core's side is gone.
    pub async fn serve(self, listener: TcpListener) {
        let (limits, connections) = (self.shared.limits, Arc::clone(&self.shared.connections));
        let (router, feeding) = self.into_parts();
        tokio::select! {
            () = feeding => {}
            () = serve::serve(listener, router, limits, connections) => {}
        }
    }
}

/// The time of day.
pub(crate) fn wall() -> WallTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallTime(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
