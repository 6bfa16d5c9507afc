//! What the core asks of the media engine, and what the engine tells it.
//!
//! The vocabulary knows neither SDP nor calls: a stream is one RTP session with one peer, and the
//! plan says which stream each listener hears.

mod hear;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use base::define_id;
use serde::{Deserialize, Serialize};

use crate::codec::OpusFormat;
use crate::denoise::DenoiseSettings;
use crate::dtls::Peer;
use crate::dtmf::{Digits, DtmfEvent, Form};
use crate::ice::Credentials;
use crate::path::Event as PathEvent;
use crate::quality::{Direction, QualityChange, Rating, Summary};
use crate::record::{RecordCommand, RecordEvent};
use crate::sound::SoundId;
use crate::srtp::Keying;
use crate::xr::VoipMetrics;

pub use hear::{Beside, CallTone, Hear, SOURCES_MAX, Sources};

define_id!(
    /// One RTP session with one peer, i.e. the audio of one leg.
    StreamId,
    "stream"
);
define_id!(
    /// All streams of one call: they live on one worker, so that they can hear each other.
    BridgeId,
    "bridge"
);

/// What the core asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum MediaCommand {
    /// Bind the sockets of a new stream. Failure is told by [`MediaEvent::BindFailed`].
    Open {
        /// Its id, unused so far.
        stream: StreamId,
        /// The call it belongs to.
        bridge: BridgeId,
        /// Where to bind.
        local: LocalPorts,
        /// SSRC of what we send (RFC 3550 §3), for the whole life of the stream.
        ssrc: u32,
        /// Sequence number of the first packet we send.
        sequence: u16,
        /// RTP timestamp of the first packet we send.
        timestamp: u32,
    },
    /// What offer/answer agreed on. May come many times; what we send goes on in the same RTP
    /// session (INTEROP 6).
    Configure {
        /// Which stream.
        stream: StreamId,
        /// The whole new configuration.
        config: Box<StreamConfig>,
    },
    /// What one listener hears from now on, of its own call. The source must be open.
    Hear {
        /// The stream whose peer listens.
        listener: StreamId,
        /// What it hears.
        source: Hear,
    },
    /// A stream belongs to another call from now on: its sockets and the RTP session go on, on that
    /// call's worker. It hears nothing, and nobody hears it, until the new plan is told; nothing
    /// that comes meanwhile is lost to the call.
    Move {
        /// Which stream.
        stream: StreamId,
        /// The call it belongs to from now on.
        bridge: BridgeId,
    },
    /// Say goodbye and release the sockets. Answered by [`MediaEvent::Closed`], also when the
    /// stream is unknown or could not bind.
    Close {
        /// Which stream.
        stream: StreamId,
    },
    /// Press a key towards the peer, in the form of its stream: [`StreamConfig::keys`].
    Press {
        /// Which stream.
        stream: StreamId,
        /// Which key, and how.
        event: DtmfEvent,
    },
    /// Let the keys of a peer pass again, after those that were kept ([`Keys::kept`]).
    PassKeys {
        /// Whose.
        stream: StreamId,
    },
    /// Play a sound once to one listener, after those that wait. What it hears otherwise is left out
    /// meanwhile. Told by [`MediaEvent::Announced`] when it is over.
    Announce {
        /// The stream whose peer listens.
        stream: StreamId,
        /// Which sound.
        sound: SoundId,
    },
    /// Leave out the sounds that are announced and not over. Each is told by
    /// [`MediaEvent::Announced`].
    Hush {
        /// The stream whose peer listens.
        stream: StreamId,
    },
    /// Something about a recording (K1).
    Record {
        /// The call that is recorded.
        bridge: BridgeId,
        /// What.
        command: RecordCommand,
    },
    /// Close everything and end the workers.
    Shutdown,
}

/// Where the sockets of a stream are bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalPorts {
    /// The local address.
    pub ip: IpAddr,
    /// Port of RTP.
    pub rtp: u16,
    /// Port of RTCP; `None` when it shares the port of RTP (RFC 5761).
    pub rtcp: Option<u16>,
}

/// What offer/answer agreed on for one stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamConfig {
    /// Where the peer wants its packets; `None` when nothing may be sent to it.
    pub remote: Option<Remote>,
    /// Address its signalling comes from: behind NAT its packets come from there too.
    pub signalling_source: Option<IpAddr>,
    /// The codecs, most preferred first; at most [`MAX_PAYLOADS`] are used.
    pub payloads: Vec<Payload>,
    /// Whether we may send to the peer.
    pub send: bool,
    /// Whether what the peer sends is heard by others.
    pub receive: bool,
    /// Packet time the peer asked for, milliseconds. Our own packets (music) are always of 20 ms,
    /// which every receiver must take (RFC 3551 §4.2).
    pub ptime_ms: u8,
    /// Time without RTP of the peer, whatever RTCP it sends, after which
    /// [`MediaEvent::RtpTimeout`] is told.
    pub rtp_timeout: Option<Duration>,
    /// Whether packets go to where the peer's come from (RFC 4961), not to what SDP says.
    pub symmetric: bool,
    /// Keys of SRTP in both directions; `None`: RTP in the clear. Keys that stay keep their
    /// roll-over counters, whatever else changes.
    pub srtp: Option<Keying>,
    /// How the peer is found and its keys are made, where the description has neither. With it,
    /// nothing is sent and nothing is heard before that is done.
    pub path: Option<PathConfig>,
    /// Noise removal from what the peer says (N1). `None`: never, so that its packets can be
    /// passed on as they are. Where it may be switched live (N3) it is there, enabled or not.
    pub noise_removal: Option<NoiseRemoval>,
    /// Whether the peer asked to be told how it sounds to us (RFC 3611).
    #[serde(default)]
    pub voip_metrics: bool,
    /// How keys are told in both directions.
    #[serde(default)]
    pub keys: Keys,
    /// What the peer wants of Opus (RFC 7587 §6.1).
    #[serde(default)]
    pub opus: OpusFormat,
}

/// How a peer and we tell each other of pressed keys, beside what offer/answer agreed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keys {
    /// How the peer gets them.
    pub form: KeyForm,
    /// Whether tones among what it says are keys.
    pub in_band: bool,
    /// Keys of the peer that are for the core: nobody hears one of them, nor what is pressed after
    /// it, until [`MediaCommand::PassKeys`].
    #[serde(default)]
    pub kept: Digits,
}

/// How a peer gets the keys that others press.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyForm {
    /// As named events (RFC 4733) where they are agreed on, else as tones.
    #[default]
    Agreed,
    /// As named events or not at all.
    Events,
    /// By its signalling, which the core sees to: nothing of them is in its audio.
    Signalled,
}

/// The way to a peer that offer/answer does not give away by itself (RFC 8445, RFC 5764).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathConfig {
    /// Our credentials for its checks; `None`: its address is that of the description.
    pub ice: Option<Credentials>,
    /// Who makes keys with us; `None`: they are in [`StreamConfig::srtp`], or there are none.
    pub dtls: Option<Peer>,
    /// What was found and made so far, for an engine that does not know it: after a restart.
    pub found: Found,
}

/// What has become of a [`PathConfig`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Where ICE sends to.
    pub to: Option<SocketAddr>,
    /// The keys that DTLS has made.
    pub keys: Option<Keying>,
}

/// How noise is removed from what a peer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoiseRemoval {
    /// Whether it is switched on now.
    pub enabled: bool,
    /// How much is removed.
    pub settings: DenoiseSettings,
}

/// Payloads of one stream used at most.
pub const MAX_PAYLOADS: usize = 32;

/// Where a peer wants its packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remote {
    /// Address of RTP.
    pub rtp: SocketAddr,
    /// Address of RTCP (RFC 3605, or the next port).
    pub rtcp: SocketAddr,
    /// Whether RTCP shares the address of RTP (RFC 5761).
    pub rtcp_mux: bool,
}

/// One codec of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    /// Which codec.
    pub codec: Codec,
    /// Index of the codec in the list of its call: payloads of two streams with the same key are
    /// the same codec, whatever their payload-type numbers.
    pub key: u8,
    /// Payload type we send, 0–127.
    pub send: u8,
    /// Payload type we receive, 0–127.
    pub receive: u8,
    /// RTP clock rate, hertz.
    pub clock_rate: u32,
}

/// Codecs as far as the engine treats them differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Codec {
    /// G.711 µ-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
    /// G.722 at 64 kbit/s.
    G722,
    /// Opus (RFC 7587).
    Opus,
    /// Linear, 16 bits, big-endian (RFC 3551 §4.5.11).
    L16,
    /// Named telephone events (RFC 4733).
    TelephoneEvent,
    /// Comfort noise (RFC 3389).
    ComfortNoise,
    /// Anything else: can be relayed only.
    Other,
}

impl Codec {
    /// Whether it carries speech by itself.
    pub const fn is_audio(self) -> bool {
        match self {
            Self::Pcmu | Self::Pcma | Self::G722 | Self::Opus | Self::L16 | Self::Other => true,
            Self::TelephoneEvent | Self::ComfortNoise => false,
        }
    }
}

/// What the engine tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum MediaEvent {
    /// The sockets of a stream could not be opened; the stream is closed.
    BindFailed {
        /// Which stream.
        stream: StreamId,
        /// Why, for the log.
        error: String,
        /// Whether somebody else has the ports, so that others may do.
        taken: bool,
    },
    /// The first packet that counts since the peer's address was set.
    FirstPacket {
        /// Which stream.
        stream: StreamId,
        /// Where it came from.
        from: SocketAddr,
    },
    /// The peer has been silent for its time-out. Told once, until it resumes.
    RtpTimeout {
        /// Which stream.
        stream: StreamId,
    },
    /// Something panicked in the handling of its call (ATTACKS 35): the stream is closed, as all of
    /// its call are. [`MediaCommand::Close`] is awaited all the same.
    Broken {
        /// Which stream.
        stream: StreamId,
    },
    /// The peer is heard again after a time-out.
    RtpResumed {
        /// Which stream.
        stream: StreamId,
    },
    /// The stream is closed and its ports are free.
    Closed {
        /// Which stream.
        stream: StreamId,
        /// Its final figures.
        stats: Box<StreamStats>,
    },
    /// Figures of a live stream, at the pace of its RTCP reports.
    Stats {
        /// Which stream.
        stream: StreamId,
        /// The figures so far.
        stats: Box<StreamStats>,
    },
    /// The peer has pressed a key, told when it is up again.
    Dtmf {
        /// Which stream.
        stream: StreamId,
        /// Which key, and how long.
        event: DtmfEvent,
        /// How the peer told it.
        form: Form,
        /// Whether nobody heard it ([`Keys::kept`]): it is for the core to press it on.
        #[serde(default)]
        kept: bool,
    },
    /// A sound is over that was to be played once: it has been played, was cut short, or is none that
    /// can be played.
    Announced {
        /// Which stream.
        stream: StreamId,
        /// Which sound.
        sound: SoundId,
    },
    /// One direction of a stream sounds bad, or well again (`leg.quality`).
    Quality {
        /// Which stream.
        stream: StreamId,
        /// What the peer says, or what it hears.
        direction: Direction,
        /// How it sounds now.
        change: QualityChange,
    },
    /// Something about the way to the peer.
    Path {
        /// Which stream.
        stream: StreamId,
        /// What.
        event: PathEvent,
    },
    /// Something about a recording.
    Recording(RecordEvent),
    /// A worker was later than its deadline (told at most once a second, with the worst since).
    Overrun {
        /// Which worker, from 0.
        worker: usize,
        /// How late, microseconds.
        late_us: u64,
    },
}

/// Figures of one stream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StreamStats {
    /// RTP packets taken from the peer.
    pub packets_received: u64,
    /// Their payload, bytes.
    pub bytes_received: u64,
    /// RTP packets sent to the peer.
    pub packets_sent: u64,
    /// Their payload, bytes.
    pub bytes_sent: u64,
    /// Packets of the peer that never came (RFC 3550 A.3).
    pub lost: u64,
    /// Inter-arrival jitter of the peer's packets, milliseconds (RFC 3550 A.8).
    pub jitter_ms: f64,
    /// Packets from a source that is not the peer: dropped.
    pub strays_dropped: u64,
    /// Packets from the peer that are no RTP or RTCP, or of an unknown payload type: dropped.
    pub malformed_dropped: u64,
    /// Packets whose protection was wrong, or that had been there before (SRTP): dropped.
    pub unauthentic_dropped: u64,
    /// Packets that came twice: the second is dropped.
    pub duplicates: u64,
    /// Packets for this listener whose codec it does not have: dropped.
    pub unmapped_dropped: u64,
    /// Packets the operating system refused to send.
    pub send_failed: u64,
    /// Round trip to the peer, milliseconds, from its last report.
    pub round_trip_ms: Option<f64>,
    /// Packets of ours the peer says it never got.
    pub remote_lost: Option<i32>,
    /// Jitter the peer says it sees, milliseconds.
    pub remote_jitter_ms: Option<f64>,
    /// Codec of the last packet received.
    pub codec: Option<Codec>,
    /// RTCP packets taken from the peer.
    pub rtcp_received: u64,
    /// RTCP packets sent to the peer.
    pub rtcp_sent: u64,
    /// How the peer sounded in the last second in which something came.
    pub rating: Option<Rating>,
    /// How we sound to the peer, by its last report.
    pub remote_rating: Option<Rating>,
    /// How the peer sounded over its whole time.
    pub summary: Option<Summary>,
    /// What the peer itself says about how we sound (RFC 3611).
    pub peer_metrics: Option<VoipMetrics>,
}
