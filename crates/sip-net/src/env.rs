//! What every connection's task shares.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base::Time;
use sip::transport::FlowId;
use tokio::sync::{mpsc, oneshot};

use crate::admission::Sources;
use crate::config::{AdmissionConfig, ConnectionLimits};
use crate::flow::ToCore;
use crate::log_gate::LogGate;
use crate::slots::Slots;
use crate::stats::Stats;
use crate::tls::TlsClients;

/// The core's clock: counts from the moment it was made.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    /// Starts at [`Time::ZERO`].
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The time now.
    pub fn now(&self) -> Time {
        Time::ZERO + self.0.elapsed()
    }

    /// The moment `time` stands for; far futures are cut to a year.
    pub(crate) fn instant(&self, time: Time) -> Instant {
        let year = Duration::from_secs(365 * 24 * 3600);
        self.0 + (time - Time::ZERO).min(self.0.elapsed() + year)
    }
}

#[derive(Debug)]
pub(crate) struct Env {
    pub(crate) limits: ConnectionLimits,
    pub(crate) rates: AdmissionConfig,
    pub(crate) sources: Sources,
    pub(crate) stats: Arc<Stats>,
    pub(crate) slots: Arc<Slots>,
    pub(crate) gate: LogGate,
    pub(crate) clock: Clock,
    pub(crate) flows: FlowIds,
    pub(crate) to_core: mpsc::Sender<ToCore>,
    pub(crate) tls: TlsClients,
    /// Dropped with the last connection.
    #[expect(dead_code, reason = "its end is the signal")]
    pub(crate) alive: oneshot::Sender<()>,
}

/// Ids of connections.
#[derive(Debug)]
pub(crate) struct FlowIds(AtomicU64);

impl FlowIds {
    /// Begins at the wall time, in milliseconds, times 2²⁰: an id of before a restart never names
    /// a connection of after it. Stays below 2⁶³ until the year 10,000.
    pub(crate) fn new() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(AtomicU64::new(((wall.as_millis() as u64) & ((1 << 43) - 1)) << 20))
    }

    pub(crate) fn next(&self) -> FlowId {
        FlowId(self.0.fetch_add(1, Ordering::Relaxed))
    }
}
