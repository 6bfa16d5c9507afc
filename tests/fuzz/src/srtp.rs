//! Two ends of SRTP and a network that repeats, reorders, spoils and invents packets.

use std::collections::BTreeMap;

use media::rtp::DATAGRAM_MAX;
use media::srtp::{Keying, MasterKey, OVERHEAD_MAX, Profile, Srtp};

use crate::reader::Reader;

const STEPS_MAX: usize = 400;
/// Sources of the sender, fewer than a context keeps.
const SSRCS: [u32; 2] = [1, 0xffff_fffe];
/// Packets the network remembers.
const MEMORY: usize = 24;
const HEADER: usize = 12;

/// The first byte chooses the profile; the rest are steps.
pub fn srtp(bytes: &[u8]) {
    let mut reader = Reader::new(bytes);
    let profile = *reader.pick(&Profile::ALL);
    let [sender, receiver] = keyings(profile, 0);
    let mut world = World {
        profile,
        sender: Srtp::new(sender),
        receiver: Srtp::new(receiver),
        keys: 0,
        next: BTreeMap::new(),
        sent: Vec::new(),
    };
    for _ in 0..STEPS_MAX {
        if reader.is_empty() {
            break;
        }
        world.step(&mut reader);
    }
}

/// Of the sender and of the receiver.
fn keyings(profile: Profile, number: u8) -> [Keying; 2] {
    let key = |of: u8| {
        let bytes = vec![of.wrapping_add(number.wrapping_mul(2)); profile.key_and_salt_len()];
        MasterKey::new(profile, &bytes).expect("a key of its length")
    };
    let keying = |send, receive| Keying { profile, send: key(send), receive: key(receive) };
    [keying(1, 2), keying(2, 1)]
}

struct World {
    profile: Profile,
    sender: Srtp,
    receiver: Srtp,
    keys: u8,
    /// The next sequence number of each source.
    next: BTreeMap<u32, u16>,
    sent: Vec<Sent>,
}

#[derive(Clone)]
struct Sent {
    is_rtcp: bool,
    plain: Vec<u8>,
    secret: Vec<u8>,
    opened: bool,
}

impl World {
    fn step(&mut self, reader: &mut Reader<'_>) {
        match reader.below(8) {
            0..=2 => self.speak(reader),
            3 => self.replay(reader),
            4 => self.spoil(reader),
            5 => self.invent(reader),
            6 => self.receiver = Srtp::restore(self.receiver.snapshot()),
            _ if self.keys < 100 => {
                self.keys += 1;
                let [sender, receiver] = keyings(self.profile, self.keys);
                self.sender.rekey(sender);
                self.receiver.rekey(receiver);
            }
            _ => {}
        }
    }

    /// The sender goes on; what arrives at once, as it was sent, is heard.
    fn speak(&mut self, reader: &mut Reader<'_>) {
        let is_rtcp = reader.one_in(4);
        let ssrc = *reader.pick(&SSRCS);
        let plain = if is_rtcp { report(ssrc, reader) } else { self.speech(ssrc, reader) };
        let mut secret = plain.clone();
        secret.resize(plain.len() + OVERHEAD_MAX, 0);
        let len = match is_rtcp {
            true => self.sender.protect_rtcp(&mut secret, plain.len()),
            false => self.sender.protect_rtp(&mut secret, plain.len()),
        };
        secret.truncate(len.expect("a packet that is new"));
        assert!(secret.len() > plain.len() && secret[..8] == plain[..8]);
        let is_lost = reader.one_in(4);
        if !is_lost {
            let opened = self.open(is_rtcp, &secret);
            assert_eq!(opened.as_ref(), Ok(&plain), "the sender is not understood");
        }
        if self.sent.len() == MEMORY {
            self.sent.remove(0);
        }
        self.sent.push(Sent { is_rtcp, plain, secret, opened: !is_lost });
    }

    fn speech(&mut self, ssrc: u32, reader: &mut Reader<'_>) -> Vec<u8> {
        let next = self.next.entry(ssrc).or_insert(if ssrc == 1 { 0 } else { 65_500 });
        let sequence = *next;
        *next = sequence.wrapping_add(1 + u16::from(reader.byte() / 64));
        let mut packet = vec![0x80, reader.byte() & 0x7f];
        packet.extend(sequence.to_be_bytes());
        packet.extend([0; 4]);
        packet.extend(ssrc.to_be_bytes());
        packet.extend(reader.some(40));
        packet
    }

    fn open(&mut self, is_rtcp: bool, secret: &[u8]) -> Result<Vec<u8>, media::srtp::Reason> {
        let mut packet = secret.to_vec();
        let len = match is_rtcp {
            true => self.receiver.unprotect_rtcp(&mut packet)?,
            false => self.receiver.unprotect_rtp(&mut packet)?,
        };
        assert!(len < secret.len());
        packet.truncate(len);
        Ok(packet)
    }

    /// What was lost may come late, if at all as it was; what was heard is not heard twice.
    fn replay(&mut self, reader: &mut Reader<'_>) {
        if self.sent.is_empty() {
            return;
        }
        let at = reader.below(self.sent.len());
        let sent = self.sent[at].clone();
        if let Ok(packet) = self.open(sent.is_rtcp, &sent.secret) {
            assert!(!sent.opened, "a replay is heard");
            assert_eq!(packet, sent.plain);
            self.sent[at].opened = true;
        }
    }

    fn spoil(&mut self, reader: &mut Reader<'_>) {
        let Some(sent) = reader.recent(&self.sent).cloned() else { return };
        let mut secret = sent.secret.clone();
        match reader.below(4) {
            0 => secret.truncate(reader.below(secret.len())),
            1 => secret.extend_from_slice(reader.some(20)),
            _ => {
                let at = reader.below(secret.len());
                secret[at] ^= reader.byte();
            }
        }
        if secret != sent.secret {
            assert!(self.open(sent.is_rtcp, &secret).is_err(), "a forgery is heard");
        }
        // As the other kind of packet it is a forgery, too.
        assert!(self.open(!sent.is_rtcp, &secret).is_err(), "a forgery is heard");
    }

    fn invent(&mut self, reader: &mut Reader<'_>) {
        let before = self.receiver.dropped();
        let packet = reader.some(200);
        assert!(self.open(reader.one_in(2), packet).is_err() && packet.len() < DATAGRAM_MAX);
        let after = self.receiver.dropped();
        assert!(before != after, "it is counted");
    }
}

fn report(ssrc: u32, reader: &mut Reader<'_>) -> Vec<u8> {
    let mut packet = vec![0x80, 200 + reader.byte() % 8, 0, 6];
    packet.extend(ssrc.to_be_bytes());
    packet.extend(reader.some(40));
    packet.resize(packet.len().max(HEADER), 0);
    packet
}
