//! A fault on demand, for the tests of what a panic costs (ATTACKS 35). Debug builds only: the
//! binary that ships knows nothing of it.

use std::sync::atomic::{AtomicU64, Ordering};

use call::CallId;
use tokio::signal::unix::{SignalKind, signal};

/// The call, counted from 1, that SIGUSR2 poisons.
const NAME: &str = "HOOKFLASH_POISON_CALL";

/// The call whose next step is to panic; 0 = none.
static POISONED: AtomicU64 = AtomicU64::new(0);

/// Waits for the signals. To be spawned on a runtime with I/O.
pub(crate) async fn watch() {
    let Some(call) = std::env::var(NAME).ok().and_then(|call| call.parse().ok()) else { return };
    let Ok(mut signals) = signal(SignalKind::user_defined2()) else { return };
    while signals.recv().await.is_some() {
        POISONED.store(call, Ordering::Relaxed);
    }
}

/// The call that was poisoned since the last time.
pub(crate) fn take() -> Option<CallId> {
    match POISONED.load(Ordering::Relaxed) {
        0 => None,
        _ => Some(CallId(POISONED.swap(0, Ordering::Relaxed))),
    }
}
