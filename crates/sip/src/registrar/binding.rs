//! One contact of a user, as it is used and as it is kept over a restart.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base::{Time, WallTime, define_id};
use serde::{Deserialize, Serialize};

use crate::message::{NameAddr, Params, Uri};
use crate::transport::{Target, Transport};

define_id!(
    /// One binding, from its first REGISTER to its end.
    BindingId,
    "binding"
);

/// What the last OPTIONS to a contact told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reachability {
    /// Not asked yet.
    Unknown,
    /// It answered.
    Reachable {
        /// From the request to the answer.
        round_trip: Duration,
    },
    /// It did not answer several times in a row.
    Unreachable,
}

/// A contact of an address-of-record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// Its id.
    pub id: BindingId,
    /// The address-of-record: the extension's number.
    pub aor: Arc<str>,
    /// What tells it from the other bindings of the address-of-record: instance and reg-id
    /// (RFC 5626 §6), else the contact URI.
    pub key: Box<str>,
    /// The Request-URI of what is sent to it.
    pub contact: Uri,
    /// The other parameters of its Contact header, without `expires`.
    pub params: Params,
    /// Route values of what is sent to it, topmost first (RFC 3327 §5.3).
    pub path: Box<[NameAddr]>,
    /// Where it is sent: back to where its REGISTER came from, whatever the contact says.
    pub target: Target,
    /// Call-ID of its REGISTERs.
    pub call_id: Box<str>,
    /// CSeq number of the last one.
    pub cseq: u32,
    /// Its User-Agent, shortened.
    pub user_agent: Box<str>,
    /// When it ends.
    pub expires_at: Time,
    /// Whether it answers.
    pub reachability: Reachability,
    /// OPTIONS in a row that it did not answer.
    pub(super) failures: u8,
    /// `q` in thousandths.
    pub(super) q: u16,
}

impl Binding {
    /// `q` in thousandths, 0 to 1000; 1000 when the contact named none (RFC 3261 §16.6).
    pub const fn q_thousandths(&self) -> u16 {
        self.q
    }

    /// The `+sip.instance` of the device, with its `<>` (RFC 5626 §4.1).
    pub fn instance(&self) -> Option<&str> {
        self.params.value("+sip.instance")
    }

    /// Whether it is worth trying: not known to be unreachable.
    pub fn is_reachable(&self) -> bool {
        self.reachability != Reachability::Unreachable
    }

    pub(super) fn record(&self) -> BindingRecord {
        BindingRecord {
            aor: (*self.aor).into(),
            key: self.key.clone(),
            contact: self.contact.clone(),
            params: self.params.clone(),
            path: self.path.clone(),
            transport: self.target.transport,
            addr: self.target.addr,
            call_id: self.call_id.clone(),
            cseq: self.cseq,
            user_agent: self.user_agent.clone(),
            expires_at: self.expires_at,
            expires_wall: WallTime(0),
        }
    }
}

/// A binding as the store keeps it: without what ends with the process, such as its connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindingRecord {
    /// See [`Binding::aor`].
    pub aor: Box<str>,
    /// See [`Binding::key`].
    pub key: Box<str>,
    /// See [`Binding::contact`].
    pub contact: Uri,
    /// See [`Binding::params`].
    pub params: Params,
    /// See [`Binding::path`].
    pub path: Box<[NameAddr]>,
    /// How it registered.
    pub transport: Transport,
    /// From where.
    pub addr: SocketAddr,
    /// See [`Binding::call_id`].
    pub call_id: Box<str>,
    /// See [`Binding::cseq`].
    pub cseq: u32,
    /// See [`Binding::user_agent`].
    pub user_agent: Box<str>,
    /// When it ends, by the clock of the process that wrote it; not kept.
    #[serde(skip)]
    pub expires_at: Time,
    /// When it ends, by the wall clock. The registrar knows no wall time: whoever stores the record
    /// fills it in from `expires_at`.
    pub expires_wall: WallTime,
}

impl BindingRecord {
    /// The binding, over no connection yet, for `remaining`.
    pub(super) fn revive(self, id: BindingId, now: Time, remaining: Duration) -> Binding {
        let q = q_of(&self.params);
        let target =
            Target { transport: self.transport, addr: self.addr, flow: None, tls_name: None };
        Binding {
            id,
            aor: self.aor.into(),
            key: self.key,
            contact: self.contact,
            params: self.params,
            path: self.path,
            target,
            call_id: self.call_id,
            cseq: self.cseq,
            user_agent: self.user_agent,
            expires_at: now + remaining,
            reachability: Reachability::Unknown,
            failures: 0,
            q,
        }
    }
}

/// The `q` of Contact parameters, in thousandths.
pub(super) fn q_of(params: &Params) -> u16 {
    let Some(q) = params.value("q") else { return Q_MAX };
    let (whole, fraction) = q.split_once('.').unwrap_or((q, ""));
    let mut thousandths = if whole == "1" { Q_MAX } else { 0 };
    for (digit, weight) in fraction.bytes().zip([100, 10, 1]) {
        thousandths += u16::from(digit.wrapping_sub(b'0').min(9)) * weight;
    }
    thousandths.min(Q_MAX)
}

const Q_MAX: u16 = 1000;

/// Something the owner must pass on: to the store, the log, the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A binding began or was refreshed.
    Bound {
        /// What to keep.
        record: Box<BindingRecord>,
        /// Whether it is new, or its contact or way changed; `false` for a plain refresh.
        new: bool,
    },
    /// A binding ended.
    Unbound {
        /// See [`Binding::aor`].
        aor: Box<str>,
        /// See [`Binding::key`].
        key: Box<str>,
    },
    /// A contact stopped answering OPTIONS, or answers again.
    Reachable {
        /// See [`Binding::aor`].
        aor: Arc<str>,
        /// Whether it answers.
        reachable: bool,
    },
}
