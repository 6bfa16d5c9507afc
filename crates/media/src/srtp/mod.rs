//! SRTP and SRTCP of one leg (RFC 3711, RFC 7714), in place and without allocation.
//!
//! Knows packets as bytes and keys as bytes; knows neither SDES nor DTLS, which make the keys, nor
//! addresses. The ciphers are the kept crates'; the rules of indices and replays are here, because
//! webrtc-rs' own context allocates each packet, makes a state for every SSRC a stranger invents
//! and cannot be written to a snapshot. The tests compare the two.
//!
//! ```text
//!  protect_rtp:   index of the sequence number ▶ was it used? ▶ cipher ▶ tag
//!  unprotect_rtp: index by guess ▶ was it there? ▶ tag ▶ cipher ▶ only now remembered
//! ```
//!
//! A key that stays keeps its roll-over counters and windows, whatever is negotiated around it. A
//! new key begins at roll-over 0 (RFC 4568 §7.1.4); a peer that goes on counting (RFC 3711 §3.3.1)
//! is understood too. After a change of the peer's key its former one is good for the packets still
//! on the way.

mod keys;
mod sources;
mod suite;

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use keys::{KEY_LEN, Keying, MasterKey, Profile, SALT_MAX};
pub use sources::{SOURCES_MAX, Source, WINDOW, Window};

use crate::rtp::{DATAGRAM_MAX, HEADER_LEN};
use sources::Sources;
use suite::{ENCRYPTED, Id, RTCP_CLEAR, Suite};

/// How much room protection needs behind a packet at most, bytes.
pub const OVERHEAD_MAX: usize = 20;

/// How many packets under a new key end the life of the former one: a second of speech.
const FORMER_PACKETS: u8 = 50;
/// A source that begins just before a roll-over may be heard first after it.
const STARTING_ROLL_OVERS: u64 = 2;
/// How many roll-overs are tried after a restart that has lost count: 5 hours of speech.
const SEARCHED_ROLL_OVERS: u64 = 16;
/// How many SRTCP indices are skipped after a restart: more than went out since the snapshot.
const RTCP_SKIP: u64 = 1 << 12;
const RTP_INDICES: u64 = 1 << 48;
const RTCP_INDICES: u64 = 1 << 31;

/// Why a packet of ours cannot be protected. It must not be sent then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refused {
    /// No RTP or RTCP packet, or longer than a datagram may be.
    #[error("malformed")]
    Malformed,
    /// Less than the profile's overhead is left behind the packet.
    #[error("no room for the tag")]
    NoRoom,
    /// This index has been used, or may have been: a second packet under it would tell the
    /// difference of both (RFC 3711 §9.1).
    #[error("the sequence number was used before")]
    Repeated,
    /// More than [`SOURCES_MAX`] SSRCs of ours under one key.
    #[error("too many sources")]
    TooManySources,
    /// The key has protected as many packets as it may (RFC 3711 §9.2).
    #[error("the key is used up")]
    UsedUp,
}

/// Why a packet of the peer is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Reason {
    /// No SRTP or SRTCP packet, or an unencrypted one.
    #[error("malformed")]
    Malformed,
    /// Not from the peer, or changed on the way.
    #[error("not authentic")]
    Unauthenticated,
    /// It was there before, or is too old to tell.
    #[error("replayed")]
    Replayed,
}

/// How many packets were dropped for each [`Reason`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// [`Reason::Malformed`]
    pub malformed: u64,
    /// [`Reason::Unauthenticated`]
    pub unauthenticated: u64,
    /// [`Reason::Replayed`]
    pub replayed: u64,
}

/// Both directions of a leg's protection.
pub struct Srtp {
    keying: Keying,
    send: Direction,
    receive: Direction,
    /// The peer's key before the present one, and for how many packets of the new one still.
    former: Option<(Direction, u8)>,
    /// Whether the peer's roll-over counter got lost.
    searching: bool,
    dropped: Dropped,
}

/// All of an [`Srtp`] as plain data. Its keys do not print.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The keys.
    pub keying: Keying,
    /// Our sources, at most [`SOURCES_MAX`].
    pub send: Vec<Source>,
    /// The peer's sources, at most [`SOURCES_MAX`]. With none, roll-overs are searched for.
    pub receive: Vec<Source>,
    /// Counters.
    pub dropped: Dropped,
}

struct Direction {
    suite: Suite,
    sources: Sources,
}

impl Srtp {
    /// Begins with fresh keys.
    pub fn new(keying: Keying) -> Self {
        Self {
            send: Direction::new(keying.profile, &keying.send),
            receive: Direction::new(keying.profile, &keying.receive),
            keying,
            former: None,
            searching: false,
            dropped: Dropped::default(),
        }
    }

    /// Goes on with these keys. A direction whose key and profile stay keeps all it knows.
    ///
    /// A key of ours that was in use before must not come back: its indices would repeat.
    pub fn rekey(&mut self, keying: Keying) {
        let same_profile = keying.profile == self.keying.profile;
        if !same_profile || keying.send != self.keying.send {
            self.send = Direction::new(keying.profile, &keying.send);
        }
        if !same_profile || keying.receive != self.keying.receive {
            let fresh = Direction::new(keying.profile, &keying.receive);
            let former = std::mem::replace(&mut self.receive, fresh);
            self.former = Some((former, FORMER_PACKETS));
            self.searching = false;
        }
        self.keying = keying;
    }

    /// The keys in use.
    pub const fn keying(&self) -> &Keying {
        &self.keying
    }

    /// What was dropped so far.
    pub const fn dropped(&self) -> Dropped {
        self.dropped
    }

    /// Protects the RTP packet `buffer[..len]` in place and returns its new length, at most
    /// [`OVERHEAD_MAX`] more.
    ///
    /// # Errors
    /// See [`Refused`]; the buffer is as before.
    pub fn protect_rtp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, Refused> {
        let packet = buffer.get(..len).ok_or(Refused::NoRoom)?;
        let header = RtpHeader::read(packet).ok_or(Refused::Malformed)?;
        if buffer.len() - len < self.keying.profile.rtp_overhead() {
            return Err(Refused::NoRoom);
        }
        let known = self.send.known(header.ssrc)?;
        let index = match known.and_then(|source| source.rtp) {
            Some(window) => {
                let index = window.guess(header.sequence);
                window.is_new(index).then_some(index).ok_or(Refused::Repeated)?
            }
            None => u64::from(header.sequence),
        };
        if index >= RTP_INDICES {
            return Err(Refused::UsedUp);
        }
        record(&mut self.send.sources.find_or_add(header.ssrc).rtp, index);
        let id = Id { ssrc: header.ssrc, index };
        Ok(self.send.suite.seal_rtp(buffer, header.len, len, id))
    }

    /// Opens an SRTP packet in place and returns the length of the RTP packet it was.
    ///
    /// # Errors
    /// See [`Reason`]; it is counted, and the packet's content is undefined.
    pub fn unprotect_rtp(&mut self, packet: &mut [u8]) -> Result<usize, Reason> {
        let opened = self.open_rtp(packet);
        self.count(opened)
    }

    /// Protects the compound RTCP packet `buffer[..len]` in place and returns its new length, at
    /// most [`OVERHEAD_MAX`] more.
    ///
    /// # Errors
    /// See [`Refused`]; the buffer is as before.
    pub fn protect_rtcp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, Refused> {
        let packet = buffer.get(..len).ok_or(Refused::NoRoom)?;
        let ssrc = rtcp_ssrc(packet).ok_or(Refused::Malformed)?;
        if buffer.len() - len < self.keying.profile.rtcp_overhead() {
            return Err(Refused::NoRoom);
        }
        let known = self.send.known(ssrc)?;
        // RFC 3711 §3.4: set to zero before the first packet, and one more with each.
        let index = known.and_then(|source| source.rtcp).map_or(1, |last| last.highest() + 1);
        if index >= RTCP_INDICES {
            return Err(Refused::UsedUp);
        }
        record(&mut self.send.sources.find_or_add(ssrc).rtcp, index);
        Ok(self.send.suite.seal_rtcp(buffer, len, Id { ssrc, index }))
    }

    /// Opens an SRTCP packet in place and returns the length of the RTCP packet it was.
    ///
    /// # Errors
    /// See [`Reason`]; it is counted, and the packet's content is undefined.
    pub fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, Reason> {
        let opened = self.open_rtcp(packet);
        self.count(opened)
    }

    /// All of it as data, but for the peer's former key.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            keying: self.keying.clone(),
            send: self.send.sources.as_slice().to_vec(),
            receive: self.receive.sources.as_slice().to_vec(),
            dropped: self.dropped,
        }
    }

    /// Goes on from a snapshot of a while ago. Our RTP must go on with a sequence number that is
    /// certain not to have been used since then: one under half a round (32,768) ahead.
    pub fn restore(snapshot: Snapshot) -> Self {
        let mut srtp = Self::new(snapshot.keying);
        let mut send = snapshot.send;
        for window in send.iter_mut().filter_map(|source| source.rtcp.as_mut()) {
            *window = Window::starting(window.highest() + RTCP_SKIP);
        }
        srtp.send.sources = Sources::restored(&send);
        srtp.searching = snapshot.receive.iter().all(|source| source.rtp.is_none());
        srtp.receive.sources = Sources::restored(&snapshot.receive);
        srtp.dropped = snapshot.dropped;
        srtp
    }

    fn open_rtp(&mut self, packet: &mut [u8]) -> Result<usize, Reason> {
        let header = RtpHeader::read(packet).ok_or(Reason::Malformed)?;
        let known = self.receive.sources.find(header.ssrc).and_then(|source| source.rtp);
        let has_former = self.former.is_some();
        let mut opened = Err(Reason::Unauthenticated);
        if let Some(window) = known {
            opened =
                self.receive.open_rtp(packet, &header, window.guess(header.sequence), has_former);
        } else {
            for index in self.starts(header.ssrc, header.sequence).take_while(|i| *i < RTP_INDICES)
            {
                opened = self.receive.open_rtp(packet, &header, index, true);
                if opened.is_ok() {
                    break;
                }
            }
        }
        if opened.is_ok() {
            self.searching = false;
            self.age_former();
        } else if let Some((former, _)) = &mut self.former {
            let window = former.sources.find(header.ssrc).and_then(|source| source.rtp);
            let index = window.map_or(header.sequence.into(), |it| it.guess(header.sequence));
            let formerly = former.open_rtp(packet, &header, index, false);
            return formerly
                .map_err(|now| opened.err().filter(|it| *it == Reason::Replayed).unwrap_or(now));
        }
        opened
    }

    /// Where a source not known under this key may be: where it would be under the former key
    /// (RFC 3711 §3.3.1), then at its beginning.
    fn starts(&mut self, ssrc: u32, sequence: u16) -> impl Iterator<Item = u64> + use<> {
        let former = self.former.as_mut().and_then(|(former, _)| former.sources.find(ssrc)?.rtp);
        let roll_overs = match self.searching {
            true => SEARCHED_ROLL_OVERS,
            false if sequence < 1 << 15 => STARTING_ROLL_OVERS,
            false => 1,
        };
        let going_on =
            former.map(|window| window.guess(sequence)).filter(|i| i >> 16 >= roll_overs);
        going_on.into_iter().chain((0..roll_overs).map(move |roc| roc << 16 | u64::from(sequence)))
    }

    fn age_former(&mut self) {
        if let Some((_, left)) = &mut self.former {
            *left -= 1;
            if *left == 0 {
                self.former = None;
            }
        }
    }

    fn open_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, Reason> {
        let opened = self.receive.open_rtcp(packet, self.former.is_some());
        match &mut self.former {
            Some((former, _)) if opened == Err(Reason::Unauthenticated) => {
                former.open_rtcp(packet, false)
            }
            Some(_) | None => opened,
        }
    }

    fn count(&mut self, opened: Result<usize, Reason>) -> Result<usize, Reason> {
        let counter = match opened {
            Ok(_) => return opened,
            Err(Reason::Malformed) => &mut self.dropped.malformed,
            Err(Reason::Unauthenticated) => &mut self.dropped.unauthenticated,
            Err(Reason::Replayed) => &mut self.dropped.replayed,
        };
        *counter += 1;
        opened
    }
}

impl fmt::Debug for Srtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { keying, dropped, .. } = self;
        f.debug_struct("Srtp")
            .field("keying", keying)
            .field("dropped", dropped)
            .finish_non_exhaustive()
    }
}

impl Direction {
    fn new(profile: Profile, key: &MasterKey) -> Self {
        Self { suite: Suite::new(profile, key), sources: Sources::new() }
    }

    /// A source of ours, if it is known or still may become so: to forget one that comes back
    /// would be to use its indices again.
    fn known(&mut self, ssrc: u32) -> Result<Option<Source>, Refused> {
        let source = self.sources.find(ssrc).copied();
        if source.is_none() && self.sources.is_full() {
            return Err(Refused::TooManySources);
        }
        Ok(source)
    }

    fn open_rtp(
        &mut self,
        packet: &mut [u8],
        header: &RtpHeader,
        index: u64,
        keep: bool,
    ) -> Result<usize, Reason> {
        let ssrc = header.ssrc;
        let window = self.sources.find(ssrc).and_then(|source| source.rtp);
        if window.is_some_and(|window| !window.is_new(index)) {
            return Err(Reason::Replayed);
        }
        let opened = self.suite.open_rtp(packet, header.len, Id { ssrc, index }, keep);
        let len = opened.ok_or(Reason::Unauthenticated)?;
        record(&mut self.sources.find_or_add(ssrc).rtp, index);
        Ok(len)
    }

    fn open_rtcp(&mut self, packet: &mut [u8], keep: bool) -> Result<usize, Reason> {
        let ssrc = rtcp_ssrc(packet).ok_or(Reason::Malformed)?;
        let word = self.suite.rtcp_word(packet).ok_or(Reason::Malformed)?;
        // We never agree to UNENCRYPTED_SRTCP.
        if word & ENCRYPTED == 0 {
            return Err(Reason::Malformed);
        }
        let index = u64::from(word & !ENCRYPTED);
        let window = self.sources.find(ssrc).and_then(|source| source.rtcp);
        if window.is_some_and(|window| !window.is_new(index)) {
            return Err(Reason::Replayed);
        }
        let opened = self.suite.open_rtcp(packet, Id { ssrc, index }, keep);
        let len = opened.ok_or(Reason::Unauthenticated)?;
        record(&mut self.sources.find_or_add(ssrc).rtcp, index);
        Ok(len)
    }
}

fn record(window: &mut Option<Window>, index: u64) {
    match window {
        Some(window) => window.record(index),
        None => *window = Some(Window::starting(index)),
    }
}

/// What stays in the clear of an RTP packet. Padding is under the encryption, so that
/// [`rtp::parse`](crate::rtp::parse) comes after it.
struct RtpHeader {
    sequence: u16,
    ssrc: u32,
    /// With CSRCs and extension.
    len: usize,
}

impl RtpHeader {
    fn read(packet: &[u8]) -> Option<Self> {
        let fixed: &[u8; HEADER_LEN] = packet.first_chunk()?;
        let mut len = HEADER_LEN + 4 * usize::from(fixed[0] & 0x0f);
        if fixed[0] & 0x10 != 0 {
            let extension: &[u8; 4] = packet.get(len..)?.first_chunk()?;
            len += 4 + 4 * usize::from(u16::from_be_bytes([extension[2], extension[3]]));
        }
        let fits = fixed[0] >> 6 == 2 && len <= packet.len() && packet.len() <= DATAGRAM_MAX;
        fits.then(|| Self {
            sequence: u16::from_be_bytes([fixed[2], fixed[3]]),
            ssrc: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
            len,
        })
    }
}

fn rtcp_ssrc(packet: &[u8]) -> Option<u32> {
    let header: &[u8; RTCP_CLEAR] = packet.first_chunk()?;
    let fits = header[0] >> 6 == 2 && packet.len() <= DATAGRAM_MAX;
    fits.then(|| u32::from_be_bytes([header[4], header[5], header[6], header[7]]))
}

#[cfg(test)]
mod tests;
