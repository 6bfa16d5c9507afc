//! ICE checks by hand (RFC 8489, RFC 8445 §7.1).

use hmac::{Hmac, Mac as _};
use sha1::Sha1;

const HEADER_LEN: usize = 20;

/// A check of `user`, authentic by `password`.
pub(super) fn check(user: &str, password: &str, nominates: bool, id: u32) -> Vec<u8> {
    let mut message = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0];
    message.extend(id.to_be_bytes());
    attribute(&mut message, 0x0006, user.as_bytes());
    attribute(&mut message, 0x0024, &[0x6e, 0, 0xff, 0xff]);
    if nominates {
        attribute(&mut message, 0x0025, &[]);
    }
    attribute(&mut message, 0x802a, &[7; 8]);
    // Both cover the message up to themselves, with the length that it has with them.
    set_length(&mut message, 24);
    let mut mac = Hmac::<Sha1>::new_from_slice(password.as_bytes()).expect("of any length");
    mac.update(&message);
    let mac = mac.finalize().into_bytes();
    attribute(&mut message, 0x0008, &mac);
    set_length(&mut message, 8);
    let crc = crc32(&message) ^ 0x5354_554e;
    attribute(&mut message, 0x8028, &crc.to_be_bytes());
    message
}

fn attribute(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    message.extend(kind.to_be_bytes());
    message.extend((value.len() as u16).to_be_bytes());
    message.extend(value);
    message.resize(message.len().next_multiple_of(4), 0);
}

fn set_length(message: &mut [u8], still: usize) {
    let len = (message.len() - HEADER_LEN + still) as u16;
    message[2..4].copy_from_slice(&len.to_be_bytes());
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        let bit = |crc: u32, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        (0..8).fold(crc ^ u32::from(*byte), bit)
    })
}
