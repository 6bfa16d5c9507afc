//! SRTP by hand (RFC 3711, `AES_CM_128_HMAC_SHA1_80`), written without the server's: packets whose
//! index, key and bytes are as a test wants them.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use aes::Aes128;
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit as _, StreamCipher as _};
use hmac::{Hmac, Mac as _};
use sha1::Sha1;

const SSRC: u32 = 0x5e_c0_1e_55;
const PAYLOAD_LEN: usize = 160;
const TAG_LEN: usize = 10;

/// A sender of protected packets of PCMU.
#[derive(Debug)]
pub struct SecureAudio {
    socket: UdpSocket,
    /// Master key and salt, as a description has them.
    master: [u8; 30],
}

impl SecureAudio {
    /// On any port of an address.
    pub fn at(ip: impl Into<IpAddr>) -> Self {
        let socket = UdpSocket::bind(SocketAddr::new(ip.into(), 0)).unwrap();
        Self { socket, master: [0x5a; 30] }
    }

    /// Goes on with another key.
    pub fn rekey(&mut self, with: u8) {
        self.master = [with; 30];
    }

    /// Its address.
    pub fn local(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    /// A description that offers its key, in a version of its own.
    pub fn sdp(&self, version: u32) -> String {
        let (ip, port) = (self.local().ip(), self.local().port());
        format!(
            "v=0\r\no=- 1 {version} IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
             m=audio {port} RTP/SAVP 0\r\na=rtpmap:0 PCMU/8000\r\n\
             a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{}\r\n",
            base64(&self.master)
        )
    }

    /// The packet of this index (roll-over counter and sequence number), full of `mark`.
    pub fn packet(&self, index: u64, mark: u8) -> Vec<u8> {
        let sequence = (index & 0xffff) as u16;
        let mut packet = vec![0x80, 0];
        packet.extend(sequence.to_be_bytes());
        packet.extend(((index as u32) * PAYLOAD_LEN as u32).to_be_bytes());
        packet.extend(SSRC.to_be_bytes());
        packet.extend([mark; PAYLOAD_LEN]);
        // §4.1.1: salt * 2^16 XOR SSRC * 2^64 XOR index * 2^16.
        let salt = self.derive::<14>(2);
        let mut iv = [0; 16];
        iv[..14].copy_from_slice(&salt);
        let number = (u128::from(SSRC) << 64) ^ (u128::from(index) << 16);
        let iv = (u128::from_be_bytes(iv) ^ number).to_be_bytes();
        let key = self.derive::<16>(0);
        Ctr128BE::<Aes128>::new(&key.into(), &iv.into()).apply_keystream(&mut packet[12..]);
        // §4.2: over the packet and the roll-over counter.
        let mut mac = Hmac::<Sha1>::new_from_slice(&self.derive::<20>(1)).unwrap();
        mac.update(&packet);
        mac.update(&((index >> 16) as u32).to_be_bytes());
        packet.extend(&mac.finalize().into_bytes()[..TAG_LEN]);
        packet
    }

    /// Sends what may be anything.
    pub fn send(&self, packet: &[u8], to: SocketAddr) {
        self.socket.send_to(packet, to).unwrap();
    }

    /// §4.3.1: AES in counter mode of the master key, from the salt and the label.
    fn derive<const N: usize>(&self, label: u8) -> [u8; N] {
        let (key, salt) = self.master.split_at(16);
        let mut iv = [0; 16];
        iv[..14].copy_from_slice(salt);
        iv[7] ^= label;
        let mut derived = [0; N];
        let key: [u8; 16] = key.try_into().unwrap();
        Ctr128BE::<Aes128>::new(&key.into(), &iv.into()).apply_keystream(&mut derived);
        derived
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks_exact(3) {
        let number = group.iter().fold(0, |number, byte| number << 8 | usize::from(*byte));
        for shift in [18, 12, 6, 0] {
            let _ = write!(text, "{}", char::from(DIGITS[number >> shift & 63]));
        }
    }
    text
}
