//! One RTP session with one peer: who it is, what it sends, what we send it.

use std::net::SocketAddr;

use base::{Rng, Time};

use crate::codec::OpusFormat;
use crate::command::{
    BridgeId, Hear, Keys, MAX_PAYLOADS, Payload, Remote, StreamConfig, StreamId, StreamStats,
};
use crate::dialer::Dialer;
use crate::dtmf::{Digit, EventReceiver};
use crate::ear::Ear;
use crate::latch::Latch;
use crate::mixer::Seat;
use crate::mouth::Mouth;
use crate::path::Path;
use crate::reception::Reception;
use crate::record::RecordingId;
use crate::rtcp;
use crate::rtcp_latch::{RtcpLatch, Standing};
use crate::rtp::{self, DATAGRAM_MAX};
use crate::sender::Sender;
use crate::sound::{Ending, Playlist};
use crate::srtp::{OVERHEAD_MAX, Srtp};
use crate::tail::Tail;
use crate::worker::{
    Channel, Early, Joining, Kept, Order, Played, Quiet, Sink, Slot, Source, Watch,
};

/// Highest clock rate believed, hertz.
const CLOCK_RATE_MAX: u32 = 384_000;
/// Characters of a canonical name: 80 bits (RFC 7022 §5 asks for 96 of base64; ours is per stream).
const CNAME_LEN: usize = 20;

/// The numbers a stream starts with.
#[derive(Clone, Copy, Debug)]
pub struct Numbers {
    /// SSRC of what we send.
    pub ssrc: u32,
    /// First sequence number.
    pub sequence: u16,
    /// First timestamp.
    pub timestamp: u32,
}

/// State of one stream. Its owner routes packets between streams.
pub(crate) struct Stream {
    pub(crate) id: StreamId,
    /// The call it belongs to.
    pub(crate) bridge: BridgeId,
    /// Whether it has a port for RTCP.
    pub(crate) rtcp_port: bool,
    pub(crate) config: StreamConfig,
    pub(crate) rtp: Latch,
    pub(crate) rtcp: RtcpLatch,
    pub(crate) reception: Reception,
    pub(crate) sender: Sender,
    pub(crate) hear: Hear,
    /// Slot of the stream it hears.
    pub(crate) source: Option<usize>,
    /// Slots of the streams that hear this one.
    pub(crate) hearers: Vec<usize>,
    /// Next frame of the music, or of the tone.
    pub(crate) music_at: usize,
    /// Sounds that are played once.
    pub(crate) announcements: Option<Box<Playlist>>,
    /// What we played to it in the last tick.
    pub(crate) played: Option<Played>,
    /// What it hears next rises from nothing.
    pub(crate) goes_on_softly: bool,
    /// How what it heard until now would have gone on: it is not gone on with.
    pub(crate) ending: Option<Box<Ending>>,
    /// What the peer said last, while others hear it.
    pub(crate) tail: Option<Box<Tail>>,
    /// Protection of what is sent and received.
    pub(crate) srtp: Option<Box<Srtp>>,
    /// The way to the peer, where it needs finding or makes the keys.
    pub(crate) path: Option<Box<Path>>,
    /// What came before it had a path.
    pub(crate) early: Option<Box<Early>>,
    /// What records the peer.
    pub(crate) recording: Option<RecordingId>,
    /// Hears the peer, when what it says is needed as samples.
    pub(crate) ear: Option<Box<Ear>>,
    /// Packets that wait for their turn at the ear.
    pub(crate) order: Order,
    /// Speaks to the peer, when what it hears is made of samples.
    pub(crate) mouth: Option<Box<Mouth>>,
    /// How the peer sounds while it sends nothing.
    pub(crate) quiet: Option<Box<Quiet>>,
    /// Keys the peer presses; the SSRC and the clock of its events.
    pub(crate) keys: Option<((u32, u32), EventReceiver)>,
    /// The key whose tones are heard among what the peer says.
    pub(crate) tone: Option<Tone>,
    /// Keys of the peer that nobody hears.
    pub(crate) kept: Kept,
    /// Presses keys towards the peer.
    pub(crate) dialer: Option<Box<Dialer>>,
    /// Whether it does so now.
    pub(crate) is_dialling: bool,
    /// Packets it has sent.
    pub(crate) dialled: u64,
    /// Whether the last audio came out of the mouth: events follow it.
    pub(crate) by_mouth: bool,
    /// Its place in the mix of its call.
    pub(crate) seat: Option<Seat>,
    /// What its peer says, on the way into the mix.
    pub(crate) said: Option<Box<Source>>,
    /// It is about to hear the mix.
    pub(crate) joining: Option<Joining>,
    /// It hears the mix no more, but for its end.
    pub(crate) lingers: bool,
    /// It heard the mix in the last tick.
    pub(crate) in_mix: bool,
    /// It hears the mix for the last time in this tick, before it is played something.
    pub(crate) parts: bool,
    /// It was played something in this tick.
    pub(crate) was_played: bool,
    pub(crate) silence: Silence,
    pub(crate) reports: Reports,
    pub(crate) watch: Watch,
    pub(crate) cname: Box<str>,
    /// Figures that no part keeps.
    pub(crate) stats: StreamStats,
    /// Where it is to panic, for tests.
    #[cfg(debug_assertions)]
    pub(crate) poison: Option<crate::worker::Moment>,
}

/// A key that is down, told by its tones.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tone {
    pub(crate) digit: Digit,
    pub(crate) volume_dbm0: i8,
    /// When it was found, and when the peer last said anything.
    pub(crate) since: Time,
    pub(crate) heard: Time,
}

/// Watch over a peer that should send something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Silence {
    /// Since when it has been silent, or is watched.
    pub(crate) since: Time,
    pub(crate) told: bool,
}

/// When to report, and what is needed for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reports {
    pub(crate) due: Time,
    /// Packets sent at the time of the last report.
    pub(crate) packets_sent: u64,
    /// Middle of the NTP time of the peer's last sender report, and when it came.
    pub(crate) peers: Option<(u32, Time)>,
    /// When the peer's last report came, of whatever kind.
    pub(crate) heard: Option<Time>,
}

impl Stream {
    pub(crate) fn new(
        now: Time,
        (id, bridge): (StreamId, BridgeId),
        rtcp_port: bool,
        numbers: Numbers,
        rng: &mut Rng,
    ) -> Self {
        let config = StreamConfig {
            remote: None,
            signalling_source: None,
            payloads: Vec::new(),
            send: false,
            receive: false,
            ptime_ms: 20,
            rtp_timeout: None,
            symmetric: true,
            srtp: None,
            path: None,
            noise_removal: None,
            voip_metrics: false,
            keys: Keys::default(),
            opus: OpusFormat::default(),
        };
        Self {
            id,
            bridge,
            rtcp_port,
            config,
            rtp: Latch::default(),
            rtcp: RtcpLatch::default(),
            reception: Reception::default(),
            sender: Sender::new(numbers.ssrc, numbers.sequence, numbers.timestamp),
            hear: Hear::Nothing,
            source: None,
            hearers: Vec::new(),
            music_at: 0,
            announcements: None,
            played: None,
            goes_on_softly: false,
            ending: None,
            tail: None,
            srtp: None,
            path: None,
            early: None,
            recording: None,
            ear: None,
            order: Order::default(),
            mouth: None,
            quiet: None,
            by_mouth: false,
            seat: None,
            said: None,
            joining: None,
            lingers: false,
            in_mix: false,
            parts: false,
            was_played: false,
            keys: None,
            tone: None,
            kept: Kept::default(),
            dialer: None,
            is_dialling: false,
            dialled: 0,
            silence: Silence { since: now, told: false },
            reports: Reports { due: now, packets_sent: 0, peers: None, heard: None },
            watch: Watch::default(),
            cname: rng.token(CNAME_LEN).into(),
            stats: StreamStats::default(),
            #[cfg(debug_assertions)]
            poison: None,
        }
    }

    /// Takes a new configuration; tells where the peer's address is another than before.
    pub(crate) fn configure(
        &mut self,
        now: Time,
        mut config: StreamConfig,
    ) -> [Option<Channel>; 2] {
        config.payloads.truncate(MAX_PAYLOADS);
        config.payloads.retain(|payload| {
            payload.send < 128
                && payload.receive < 128
                && (1..=CLOCK_RATE_MAX).contains(&payload.clock_rate)
        });
        config.remote = config.remote.filter(|remote| is_sendable(remote.rtp));
        let watched = |config: &StreamConfig| config.receive && config.rtp_timeout.is_some();
        if watched(&config) && !watched(&self.config) {
            self.silence = Silence { since: now, told: false };
        }
        let remote = config.remote;
        let moved = self.rtp.aim(remote.map(|remote| remote.rtp), config.signalling_source);
        let rtcp_moved =
            self.rtcp.aim(remote.map(|remote| remote.rtcp)) | (moved && self.rtcp.open());
        match (config.srtp.clone(), &mut self.srtp) {
            (Some(keying), Some(srtp)) => srtp.rekey(keying),
            (Some(keying), none @ None) => *none = Some(Box::new(Srtp::new(keying))),
            // Those of DTLS are the path's business.
            (None, srtp) if config.path.as_ref().is_none_or(|path| path.dtls.is_none()) => {
                *srtp = None;
            }
            (None, _) => {}
        }
        let could_send = self.rtp_target().is_some();
        let flows = |config: &StreamConfig| config.send && config.receive;
        let returns = flows(&config) && !flows(&self.config) && self.rtp.reopen();
        self.config = config;
        self.tune_dialer();
        if !could_send {
            // What was not sent in between is not lost.
            self.sender.cut();
        }
        [(moved || returns).then_some(Channel::Rtp), rtcp_moved.then_some(Channel::Rtcp)]
    }

    /// The payload the peer sends under this number.
    pub(crate) fn received_payload(&self, payload_type: u8) -> Option<&Payload> {
        self.config.payloads.iter().find(|payload| payload.receive == payload_type)
    }

    /// The payload to send a codec of the call with.
    pub(crate) fn sent_payload(&self, key: u8) -> Option<&Payload> {
        self.config.payloads.iter().find(|payload| payload.key == key)
    }

    /// The codec for packets of our own: the one preferred, when we encode it.
    pub(crate) fn own_payload(&self) -> Option<&Payload> {
        self.config.payloads.iter().find(|payload| crate::player::is_playable(payload))
    }

    /// Where RTP goes now, when it may be sent at all.
    pub(crate) fn rtp_target(&self) -> Option<SocketAddr> {
        if !self.config.send || self.awaits_keys() {
            return None;
        }
        if let Some(found) = self.found() {
            return found;
        }
        let remote = self.remote()?;
        self.latched(&self.rtp).or(Some(remote.rtp))
    }

    /// Whether RTCP shares the port of RTP.
    pub(crate) fn is_muxed(&self) -> bool {
        !self.rtcp_port
            || self.found().is_some()
            || self.remote().is_some_and(|remote| remote.rtcp_mux)
    }

    /// Where RTCP goes. It goes on during hold: RFC 3264 §5.1.
    pub(crate) fn rtcp_target(&self) -> Option<SocketAddr> {
        if self.awaits_keys() {
            return None;
        }
        if let Some(found) = self.found() {
            return found;
        }
        let remote = self.remote()?;
        if !self.is_muxed() && self.makes_keys() {
            return None; // see `on_path`
        }
        if self.is_muxed() {
            return self.latched(&self.rtp).or(Some(remote.rtp));
        }
        // Behind NAT, what SDP says about RTCP is as wrong as what it says about RTP.
        let by_sdp = (!self.rtp.is_elsewhere() && is_sendable(remote.rtcp)).then_some(remote.rtcp);
        self.rtcp.source().filter(|_| self.config.symmetric).or(by_sdp)
    }

    /// Whether a datagram is worth looking at. ATTACKS 19: asked before any other work, for RTP and
    /// RTCP alike.
    pub(crate) fn admits(&self, channel: Channel, from: SocketAddr, datagram: &[u8]) -> bool {
        let by_ice = self.path.as_ref().and_then(|path| path.admits(from));
        by_ice.unwrap_or_else(|| match channel {
            Channel::Rtp => self.rtp.admits(from),
            Channel::Rtcp => self.rtcp_standing(from, datagram) != Standing::Stray,
        })
    }

    /// Who it is that sends to the port of RTCP.
    pub(crate) fn rtcp_standing(&self, from: SocketAddr, datagram: &[u8]) -> Standing {
        self.rtcp.standing(from, rtcp::sender(datagram), &self.rtp, self.reception.ssrc())
    }

    /// Takes a packet's protection off, in place; `None` when it is not the peer's.
    pub(crate) fn unprotect<'a>(
        &mut self,
        datagram: &'a mut [u8],
        is_rtcp: bool,
    ) -> Option<&'a mut [u8]> {
        if self.awaits_keys() {
            self.stats.unauthentic_dropped += 1;
            return None;
        }
        let Some(srtp) = &mut self.srtp else { return Some(datagram) };
        let len = match is_rtcp {
            true => srtp.unprotect_rtcp(datagram),
            false => srtp.unprotect_rtp(datagram),
        };
        // ATTACKS 22: dropped and counted, nothing else.
        self.stats.unauthentic_dropped += u64::from(len.is_err());
        datagram.get_mut(..len.ok()?)
    }

    /// Sends an RTP or RTCP packet, protected where that was agreed on.
    pub(crate) fn send(
        &mut self,
        sink: &mut impl Sink,
        (slot, channel): (Slot, Channel),
        to: SocketAddr,
        packet: &[u8],
    ) -> bool {
        if self.awaits_keys() {
            return false;
        }
        let Some(srtp) = &mut self.srtp else { return sink.send(slot, channel, to, packet) };
        let mut buffer = [0; DATAGRAM_MAX + OVERHEAD_MAX];
        let Some(room) = buffer.get_mut(..packet.len()) else { return false };
        room.copy_from_slice(packet);
        let protected = match rtp::is_rtcp(packet) {
            true => srtp.protect_rtcp(&mut buffer, packet.len()),
            false => srtp.protect_rtp(&mut buffer, packet.len()),
        };
        protected.is_ok_and(|len| sink.send(slot, channel, to, &buffer[..len]))
    }

    /// Whether a sound is played that interrupts what is heard.
    pub(crate) fn is_announcing(&self) -> bool {
        self.announcements.as_ref().is_some_and(|playlist| playlist.is_announcing())
    }

    /// All figures up to now, or to its end.
    pub(crate) fn figures(&self, is_over: bool) -> Box<StreamStats> {
        Box::new(StreamStats {
            packets_received: self.reception.received(),
            bytes_received: self.reception.bytes(),
            packets_sent: self.sender.packets().saturating_sub(self.stats.send_failed),
            bytes_sent: self.sender.bytes(),
            lost: self.reception.lost(),
            jitter_ms: self.reception.jitter_ms(),
            duplicates: self.reception.duplicates(),
            summary: self.summary(is_over),
            strays_dropped: self.stats.strays_dropped
                + self.path.as_ref().map_or(0, |path| path.strays()),
            ..self.stats.clone()
        })
    }

    fn remote(&self) -> Option<&Remote> {
        self.config.remote.as_ref()
    }

    fn latched(&self, latch: &Latch) -> Option<SocketAddr> {
        latch.source().filter(|_| self.config.symmetric)
    }
}

/// Whether an address may ever be sent to: one host, one port (ATTACKS 4).
pub fn is_sendable(addr: SocketAddr) -> bool {
    let ip = addr.ip().to_canonical();
    let is_broadcast = matches!(ip, std::net::IpAddr::V4(v4) if v4.is_broadcast());
    addr.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !is_broadcast
}
