//! What goes into the core and what comes out: the whole seam between [`crate::Core`] and the
//! shells.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use base::{Time, WallTime, define_id};
use bytes::Bytes;
use call::record::{CallRecord, LegQuality};
use call::{CallId, LegId};
use media::command::{MediaCommand, MediaEvent};
use media::quality::Direction;
use sip::message::{Host, Message, ParseError};
use sip::registrar::BindingRecord;
use sip::transaction::TransactionId;
use sip::transport::{FlowId, Source, Target, Transport};

use crate::api::{Actor, Command, CommandResult, InteractionEvent, RequestId};

define_id!(
    /// One RFC 3263 look-up asked of the shell.
    QueryId,
    "query"
);

/// Everything that can happen to the core.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "most inputs are messages; a box would cost each")]
pub enum Input {
    /// A message, or what could not be parsed as one.
    Sip {
        /// Where it came from.
        source: Source,
        /// What the parser made of it.
        message: Result<Message, ParseError>,
        /// Its bytes: a stranger's datagram brings back no more than twice as many.
        size: usize,
    },
    /// A connection is gone.
    FlowClosed(FlowId),
    /// What was sent for this transaction did not leave.
    SendFailed(TransactionId),
    /// The answer to [`Output::Resolve`]: targets in the order to try, empty when there is none.
    Resolved {
        /// Which look-up.
        query: QueryId,
        /// Where to send, in this order; at most [`RESOLVED_TARGETS_MAX`] are used.
        targets: Vec<Target>,
    },
    /// Something happened to a stream.
    Media(MediaEvent),
    /// Somebody switches noise removal from what one leg says (N3): narrower than any setting.
    NoiseRemoval {
        /// Whose noise.
        leg: LegId,
        /// On or off.
        enabled: bool,
    },
    /// Somebody asks for something by the API; answered by [`Output::Reply`], always and at once.
    Command {
        /// Comes back with the reply.
        request: RequestId,
        /// Who asks.
        actor: Actor,
        /// For what.
        command: Box<Command>,
    },
    /// A deadline of [`crate::Core::next_timeout`] has come.
    Tick,
    /// Whether memory is short: no new calls while it is, those that are up go on (ATTACKS 34).
    ShortOfMemory(bool),
    /// Stop taking calls; end those still up when the limit is over.
    Drain {
        /// How long calls may go on.
        limit: Duration,
    },
    /// Wait for no far end any longer: what is still up is hung up, and what is being taken down is
    /// over, so that its record is written.
    GiveUp,
    /// Bindings the store kept over a restart.
    Restore {
        /// Wall time of the restart.
        wall: WallTime,
        /// What was stored.
        bindings: Vec<BindingRecord>,
    },
}

/// What became of a recording on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordingChange {
    /// The disk refused. The call goes on.
    Failed {
        /// The file up to then, if there is any sound in it.
        file: Option<String>,
        /// How much sound it has, milliseconds.
        duration_ms: u64,
        /// Why, for the alarm.
        error: String,
    },
    /// The file is complete.
    Available {
        /// Its name with extension.
        file: String,
        /// How much sound it has, milliseconds.
        duration_ms: u64,
        /// Its size.
        bytes: u64,
    },
}

/// Targets of one look-up that the core will try.
pub const RESOLVED_TARGETS_MAX: usize = 8;

/// Everything the core asks of its shells, in order.
#[derive(Debug)]
pub enum Output {
    /// Send bytes. A failure comes back as [`Input::SendFailed`] when a transaction is named.
    Send {
        /// To where.
        target: Target,
        /// What.
        bytes: Bytes,
        /// For whom.
        transaction: Option<TransactionId>,
    },
    /// Close a connection after what was sent on it.
    CloseFlow(FlowId),
    /// Look a host up by RFC 3263 (NAPTR, SRV, A/AAAA); answered by [`Input::Resolved`].
    Resolve {
        /// Which look-up.
        query: QueryId,
        /// Host name of the URI.
        host: Host,
        /// Port of the URI: when present no SRV look-up is made.
        port: Option<u16>,
        /// `transport=` of the URI, when given.
        transport: Option<Transport>,
        /// Whether the URI is `sips:`.
        secure: bool,
    },
    /// Ask the media workers.
    Media(MediaCommand),
    /// Keep or forget a binding.
    Store(StoreWrite),
    /// A finished call.
    CallRecord(Box<CallRecord>),
    /// Something to tell the log, and later the API.
    Event(Event),
    /// The answer to a command.
    Reply {
        /// Of which.
        request: RequestId,
        /// What came of it.
        result: CommandResult,
    },
    /// The drain is over: no call is left.
    Drained,
}

/// What the store shall keep.
#[derive(Clone, Debug, PartialEq)]
pub enum StoreWrite {
    /// A new or refreshed binding.
    Bind(Box<BindingRecord>),
    /// A binding ended.
    Unbind {
        /// Address of record (the extension's number).
        aor: Box<str>,
        /// Its key inside the address of record, see [`BindingRecord`].
        key: Box<str>,
    },
}

/// What happened, for logs, metrics and (later) the API's event stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A phone registered, refreshed with a new contact, or went.
    Registration {
        /// The extension.
        extension: Arc<str>,
        /// How many contacts it has now.
        contacts: usize,
    },
    /// A trunk, or one of its gateways, became usable or unusable.
    Trunk {
        /// Its name.
        name: Arc<str>,
        /// Whether calls may go to it: to one of its gateways at least.
        up: bool,
        /// To how many of its gateways calls may go.
        gateways_up: usize,
        /// How many there are.
        gateways: usize,
        /// Why, e.g. `OPTIONS 503 (UDP 192.0.2.7:5060)`.
        reason: String,
    },
    /// A source address was banned for guessing passwords.
    Banned {
        /// Who.
        source: IpAddr,
        /// Until when.
        until: Time,
    },
    /// A limit was met; one line per kind and second at most.
    Limit {
        /// Which one, e.g. `calls_max`.
        limit: &'static str,
    },
    /// Something happened to an interaction; told when [`crate::config::Config::interactions`] says
    /// that somebody listens.
    Interaction(Box<InteractionEvent>),
    /// One direction of a leg's audio sounds bad, or well again; for the log. Who listens to
    /// interactions is told of it there (`leg.quality`).
    Quality {
        /// The call.
        call: CallId,
        /// The leg.
        leg: LegId,
        /// Extension number or trunk name.
        party: String,
        /// What its far end says, or what that hears.
        direction: Direction,
        /// Bad now, or well again.
        is_degraded: bool,
        /// Score of the last second, 1–4.5.
        mos: f64,
        /// Its figures so far, as of its last report.
        figures: Option<Box<LegQuality>>,
    },
    /// A file of a call's recording is complete, or could not be made (`recording.available`,
    /// `recording.failed`).
    Recording {
        /// The call, which may be over.
        call: CallId,
        /// What.
        change: RecordingChange,
    },
    /// One call's handling panicked and was ended; the rest go on.
    Poisoned {
        /// What is known of it.
        what: String,
    },
}
