//! The ciphers, in place: RFC 3711 §4 (AES counter mode, HMAC-SHA1) and RFC 7714 (AES-GCM).
//!
//! One [`Suite`] is one direction under one master key. It knows packets as bytes and an index; who
//! sent them and whether they are repeated is [`sources`](super::sources)' business.

use aes::Aes128;
use aes::cipher::{BlockEncrypt, InnerIvInit, KeyInit, StreamCipherCore};
use ctr::CtrCore;
use ctr::flavors::Ctr128BE;
use hmac::{Hmac, Mac};
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, Tag, UnboundKey};
use sha1::Sha1;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::keys::{KEY_LEN, MasterKey, Profile, SALT_MAX};
use crate::rtp::DATAGRAM_MAX;

/// What of an RTCP packet stays in the clear: the first header with its SSRC (RFC 3711 §3.4).
pub(super) const RTCP_CLEAR: usize = 8;
/// `E` and the SRTCP index.
pub(super) const WORD: usize = 4;
/// `E`: the packet is encrypted.
pub(super) const ENCRYPTED: u32 = 1 << 31;
const GCM_TAG: usize = 16;
const RTCP_TAG: usize = 10;
const AUTHENTICATION_KEY: usize = 20;

/// RFC 3711 §4.3.1: what each session key is derived with.
#[derive(Clone, Copy)]
struct Labels {
    encryption: u8,
    authentication: u8,
    salt: u8,
}

const RTP: Labels = Labels { encryption: 0, authentication: 1, salt: 2 };
const RTCP: Labels = Labels { encryption: 3, authentication: 4, salt: 5 };

/// Which packet: its source and its index, 48 bits for RTP, 31 for RTCP.
#[derive(Clone, Copy, Debug)]
pub(super) struct Id {
    pub(super) ssrc: u32,
    pub(super) index: u64,
}

impl Id {
    /// RFC 3711 §4.1: `SSRC * 2^64 XOR index * 2^16`, the low 16 bits left out; RFC 7714 §8.1 and
    /// §9.1 begin with two zero bytes less.
    fn mixed_into<const N: usize>(self, salt: &[u8]) -> [u8; N] {
        let mut iv = [0; N];
        iv[..salt.len()].copy_from_slice(salt);
        let index = self.index.to_be_bytes();
        let numbers = self.ssrc.to_be_bytes();
        let end = salt.len();
        for (byte, number) in iv[end - 10..end].iter_mut().zip(numbers.iter().chain(&index[2..])) {
            *byte ^= number;
        }
        iv
    }

    const fn roc(self) -> [u8; 4] {
        ((self.index >> 16) as u32).to_be_bytes()
    }
}

/// Both kinds of packet of one direction, under one master key.
pub(super) struct Suite {
    rtp: Cipher,
    rtcp: Cipher,
    rtp_tag: usize,
}

enum Cipher {
    AesCm(Box<AesCm>),
    Gcm(Box<Gcm>),
}

struct AesCm {
    key: Aes128,
    salt: [u8; SALT_MAX],
    authentication: Hmac<Sha1>,
}

struct Gcm {
    key: LessSafeKey,
    salt: [u8; NONCE_LEN],
}

impl Suite {
    pub(super) fn new(profile: Profile, master: &MasterKey) -> Self {
        Self {
            rtp: Cipher::new(profile, master, RTP),
            rtcp: Cipher::new(profile, master, RTCP),
            rtp_tag: profile.rtp_overhead(),
        }
    }

    /// Protects `packet[..len]`, whose payload begins at `start`; there is room for the tag behind
    /// it. Returns the new length.
    pub(super) fn seal_rtp(&self, packet: &mut [u8], start: usize, len: usize, id: Id) -> usize {
        match &self.rtp {
            Cipher::AesCm(cipher) => {
                cipher.keystream(id, &mut packet[start..len]);
                let tag = cipher.tag(&[&packet[..len], &id.roc()]);
                packet[len..len + self.rtp_tag].copy_from_slice(&tag[..self.rtp_tag]);
            }
            Cipher::Gcm(cipher) => {
                let (clear, rest) = packet.split_at_mut(start);
                let (payload, rest) = rest.split_at_mut(len - start);
                let tag = cipher.seal(id, clear, payload);
                rest[..GCM_TAG].copy_from_slice(tag.as_ref());
            }
        }
        len + self.rtp_tag
    }

    /// Opens `packet`, whose payload begins at `start`. Returns the new length; `None` when it is
    /// not from the peer. Then the packet is as before if `keep` is set, and spoilt otherwise.
    pub(super) fn open_rtp(
        &self,
        packet: &mut [u8],
        start: usize,
        id: Id,
        keep: bool,
    ) -> Option<usize> {
        let end = packet.len().checked_sub(self.rtp_tag).filter(|end| *end >= start)?;
        match &self.rtp {
            Cipher::AesCm(cipher) => {
                let tag = cipher.tag(&[&packet[..end], &id.roc()]);
                same(&tag[..self.rtp_tag], &packet[end..])?;
                cipher.keystream(id, &mut packet[start..end]);
            }
            Cipher::Gcm(cipher) => {
                let tag = Tag::try_from(&packet[end..]).ok()?;
                let (clear, payload) = packet[..end].split_at_mut(start);
                cipher.open(id, clear, payload, tag, keep)?;
            }
        }
        Some(end)
    }

    /// Protects the RTCP packet `packet[..len]`; there is room for index and tag behind it. Returns
    /// the new length.
    pub(super) fn seal_rtcp(&self, packet: &mut [u8], len: usize, id: Id) -> usize {
        let word = (id.index as u32 | ENCRYPTED).to_be_bytes();
        match &self.rtcp {
            Cipher::AesCm(cipher) => {
                cipher.keystream(id, &mut packet[RTCP_CLEAR..len]);
                packet[len..len + WORD].copy_from_slice(&word);
                let tag = cipher.tag(&[&packet[..len + WORD]]);
                packet[len + WORD..len + WORD + RTCP_TAG].copy_from_slice(&tag[..RTCP_TAG]);
                len + WORD + RTCP_TAG
            }
            Cipher::Gcm(cipher) => {
                let (clear, rest) = packet.split_at_mut(RTCP_CLEAR);
                let (payload, rest) = rest.split_at_mut(len - RTCP_CLEAR);
                let tag = cipher.seal(id, &rtcp_aad(clear, word), payload);
                rest[..GCM_TAG].copy_from_slice(tag.as_ref());
                rest[GCM_TAG..GCM_TAG + WORD].copy_from_slice(&word);
                len + GCM_TAG + WORD
            }
        }
    }

    /// The SRTCP word of a packet: `E` and the index. `None` when it is too short.
    pub(super) fn rtcp_word(&self, packet: &[u8]) -> Option<u32> {
        let behind = match &self.rtcp {
            Cipher::AesCm(_) => RTCP_TAG,
            Cipher::Gcm(_) => 0,
        };
        let tag = RTCP_TAG.max(GCM_TAG * usize::from(behind == 0));
        if packet.len() < RTCP_CLEAR + WORD + tag {
            return None;
        }
        packet[..packet.len() - behind].last_chunk().map(|word| u32::from_be_bytes(*word))
    }

    /// Opens an RTCP packet that has passed [`rtcp_word`](Self::rtcp_word). Returns the new
    /// length; `keep` as in [`open_rtp`](Self::open_rtp).
    pub(super) fn open_rtcp(&self, packet: &mut [u8], id: Id, keep: bool) -> Option<usize> {
        let end = match &self.rtcp {
            Cipher::AesCm(cipher) => {
                let end = packet.len() - RTCP_TAG;
                same(&cipher.tag(&[&packet[..end]])[..RTCP_TAG], &packet[end..])?;
                cipher.keystream(id, &mut packet[RTCP_CLEAR..end - WORD]);
                end - WORD
            }
            Cipher::Gcm(cipher) => {
                let end = packet.len() - WORD - GCM_TAG;
                let (rest, word) = packet.split_last_chunk_mut::<WORD>()?;
                let tag = Tag::try_from(&rest[end..]).ok()?;
                let (clear, payload) = rest[..end].split_at_mut(RTCP_CLEAR);
                cipher.open(id, &rtcp_aad(clear, *word), payload, tag, keep)?;
                end
            }
        };
        Some(end)
    }
}

impl Cipher {
    fn new(profile: Profile, master: &MasterKey, labels: Labels) -> Self {
        let prf = Aes128::new(master.key().into());
        let derive = |label| derived::<KEY_LEN>(&prf, master, label);
        match profile {
            Profile::AesCm128HmacSha1_80 | Profile::AesCm128HmacSha1_32 => {
                Self::AesCm(Box::new(AesCm::new(
                    &derive(labels.encryption),
                    *derived(&prf, master, labels.salt),
                    &derived(&prf, master, labels.authentication),
                )))
            }
            Profile::AeadAes128Gcm => Self::Gcm(Box::new(Gcm::new(
                &derive(labels.encryption),
                *derived(&prf, master, labels.salt),
            ))),
        }
    }
}

impl AesCm {
    fn new(
        key: &[u8; KEY_LEN],
        salt: [u8; SALT_MAX],
        authentication: &[u8; AUTHENTICATION_KEY],
    ) -> Self {
        let authentication = <Hmac<Sha1> as Mac>::new_from_slice(authentication);
        Self {
            key: Aes128::new(key.into()),
            salt,
            authentication: authentication.expect("a key of HMAC may have any length"),
        }
    }

    fn keystream(&self, id: Id, data: &mut [u8]) {
        let iv: [u8; 16] = id.mixed_into(&self.salt);
        let counter: CtrCore<&Aes128, Ctr128BE> = CtrCore::inner_iv_init(&self.key, &iv.into());
        counter.apply_keystream_partial(data.into());
    }

    fn tag(&self, parts: &[&[u8]]) -> [u8; 20] {
        let mut authentication = self.authentication.clone();
        parts.iter().for_each(|part| authentication.update(part));
        authentication.finalize().into_bytes().into()
    }
}

impl Gcm {
    fn new(key: &[u8; KEY_LEN], salt: [u8; NONCE_LEN]) -> Self {
        let key = UnboundKey::new(&AES_128_GCM, key).expect("the key has 16 bytes");
        Self { key: LessSafeKey::new(key), salt }
    }

    fn nonce(&self, id: Id) -> Nonce {
        Nonce::assume_unique_for_key(id.mixed_into(&self.salt))
    }

    fn seal(&self, id: Id, clear: &[u8], payload: &mut [u8]) -> Tag {
        let tag = self.key.seal_in_place_separate_tag(self.nonce(id), Aad::from(clear), payload);
        tag.expect("a datagram is shorter than 2^36 bytes")
    }

    fn open(&self, id: Id, clear: &[u8], payload: &mut [u8], tag: Tag, keep: bool) -> Option<()> {
        let open = |data: &mut [u8]| {
            let aad = Aad::from(clear);
            self.key.open_in_place_separate_tag(self.nonce(id), aad, tag, data, 0..).map(drop).ok()
        };
        if !keep {
            return open(payload);
        }
        // Decryption comes before the tag is known to be right.
        let mut copy = [0; DATAGRAM_MAX];
        let copy = copy.get_mut(..payload.len())?;
        copy.copy_from_slice(payload);
        open(copy)?;
        payload.copy_from_slice(copy);
        Some(())
    }
}

/// RFC 7714 §9.2: the clear header and the word that stands at the end.
fn rtcp_aad(clear: &[u8], word: [u8; WORD]) -> [u8; RTCP_CLEAR + WORD] {
    let mut aad = [0; RTCP_CLEAR + WORD];
    aad[..RTCP_CLEAR].copy_from_slice(clear);
    aad[RTCP_CLEAR..].copy_from_slice(&word);
    aad
}

fn same(ours: &[u8], theirs: &[u8]) -> Option<()> {
    bool::from(ours.ct_eq(theirs)).then_some(())
}

/// RFC 3711 §4.3.1 with a key derivation rate of 0: the AES-CM keystream from the salt with the
/// label at the eighth byte.
fn derived<const N: usize>(prf: &Aes128, master: &MasterKey, label: u8) -> Zeroizing<[u8; N]> {
    let mut key = Zeroizing::new([0; N]);
    for (count, chunk) in key.chunks_mut(16).enumerate() {
        let mut block = [0; 16];
        block[..SALT_MAX].copy_from_slice(master.salt());
        block[7] ^= label;
        block[15] = count as u8;
        let mut block = block.into();
        prf.encrypt_block(&mut block);
        chunk.copy_from_slice(&block[..chunk.len()]);
    }
    key
}

#[cfg(test)]
mod vectors;
