//! What the layer tells its owner, and the values it is made with.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::TransactionId;
use super::timing::{T1, T2, T4, Timing};
use crate::message::{Request, Response};
use crate::transport::{Source, Target};

/// Timer values and limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Round-trip estimate; 500 ms. Nothing is armed for less than 1 ms.
    pub t1: Duration,
    /// Longest retransmission interval; 4 s.
    pub t2: Duration,
    /// Life of a message in the network; 5 s.
    pub t4: Duration,
    /// Server transactions at once; beyond it [`super::Transactions::accept`] refuses.
    pub server_transactions_max: usize,
    /// Client transactions at once, CANCELs aside; beyond it [`super::Transactions::request`]
    /// refuses.
    pub client_transactions_max: usize,
}

impl Default for Config {
    /// The RFC's timers; room for 2,500 calls a second, whose transactions stay 32 s.
    fn default() -> Self {
        Self {
            t1: T1,
            t2: T2,
            t4: T4,
            server_transactions_max: 400_000,
            client_transactions_max: 400_000,
        }
    }
}

impl Config {
    pub(super) fn timing(&self) -> Timing {
        Timing::new(self.t1, self.t2, self.t4)
    }
}

/// What the layer asks for or tells, in order.
#[derive(Clone, PartialEq)]
pub enum Event {
    /// Send bytes. A failure comes back by [`super::Transactions::send_failed`] when a transaction
    /// is named.
    Send {
        /// To where.
        target: Target,
        /// What.
        bytes: Bytes,
        /// For whom.
        transaction: Option<TransactionId>,
    },
    /// A request that belongs to no transaction: new, an ACK of a 2xx, or a CANCEL that matches
    /// nothing. `received` and `rport` of its top Via are filled in.
    Request {
        /// The request.
        request: Request,
        /// Where it came from.
        source: Source,
    },
    /// A CANCEL matched this INVITE before its final response, and was answered with 200; the user
    /// answers the INVITE with 487 (RFC 3261 §9.2). Told once.
    Cancelled {
        /// The INVITE's server transaction.
        transaction: TransactionId,
    },
    /// A response.
    Response {
        /// The client transaction; `None` for a 2xx to an INVITE of ours whose transaction is gone,
        /// which the user must acknowledge and hang up.
        transaction: Option<TransactionId>,
        /// The response.
        response: Response,
        /// Where it came from.
        source: Source,
    },
    /// A client transaction had no final response in time: act as on a 408.
    TimedOut {
        /// Which.
        transaction: TransactionId,
    },
    /// A client transaction could not send: act as on a 503. Or the responses of a server
    /// transaction do not get through; it goes on, and this is told once.
    TransportFailed {
        /// Which.
        transaction: TransactionId,
    },
    /// The non-2xx final response of an INVITE server transaction was never acknowledged.
    AckTimedOut {
        /// Which.
        transaction: TransactionId,
    },
    /// The non-2xx final response of an INVITE server transaction was acknowledged.
    Acked {
        /// Which.
        transaction: TransactionId,
    },
    /// The transaction is forgotten.
    Ended {
        /// Which.
        transaction: TransactionId,
    },
}

/// Printed messages hold credentials and keys: only their size is shown.
impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send { target, bytes, transaction } => {
                let (to, over) = (target.addr, target.transport.as_str());
                write!(f, "Send {} bytes to {to} over {over} for {transaction:?}", bytes.len())
            }
            Self::Request { request, source } => {
                write!(f, "Request {request:?} from {}", source.remote)
            }
            Self::Response { transaction, response, source } => {
                write!(f, "Response {response:?} from {} to {transaction:?}", source.remote)
            }
            Self::Cancelled { transaction } => write!(f, "Cancelled {transaction}"),
            Self::TimedOut { transaction } => write!(f, "TimedOut {transaction}"),
            Self::TransportFailed { transaction } => write!(f, "TransportFailed {transaction}"),
            Self::AckTimedOut { transaction } => write!(f, "AckTimedOut {transaction}"),
            Self::Acked { transaction } => write!(f, "Acked {transaction}"),
            Self::Ended { transaction } => write!(f, "Ended {transaction}"),
        }
    }
}

/// What was met and dropped or absorbed, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Responses that answer nothing of ours.
    pub stray_responses: u64,
    /// Requests without a usable Via: there is no way to answer them.
    pub unanswerable_requests: u64,
    /// Requests that came again and were absorbed or answered with the last response.
    pub retransmissions: u64,
    /// Requests that reached us on a second path and were answered 482.
    pub merged_requests: u64,
    /// Server and client transactions refused for the limits.
    pub refused: u64,
}

/// The client transactions are at their limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many client transactions")]
pub struct Full;
