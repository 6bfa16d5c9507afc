//! The header of a WAV file of two channels, 16 bits; of RF64 when it outgrows 32 bits.
//!
//! The header has a fixed length: a chunk that says nothing keeps room for the 64-bit sizes (EBU
//! Tech 3306 §3.5). So it can be written anew after every block, and is right at any moment.

/// Length of the header.
pub(super) const HEADER_LEN: usize = 80;
/// Bytes of a frame.
pub(super) const FRAME_BYTES: u64 = 4;

const RATE_AT: usize = 60;
/// Bytes of the header that count as content of the RIFF chunk.
const RIFF_EXTRA: u64 = HEADER_LEN as u64 - 8;

/// The header of a file with that much sound.
pub(super) fn header(rate: u32, frames: u64) -> [u8; HEADER_LEN] {
    let data = frames * FRAME_BYTES;
    let sizes = (u32::try_from(data + RIFF_EXTRA), u32::try_from(data));
    let mut header = Header { bytes: [0; HEADER_LEN], len: 0 };
    if let (Ok(riff), Ok(_)) = sizes {
        header.put(b"RIFF").put(&riff.to_le_bytes()).put(b"WAVE").put(b"JUNK");
        header.put(&28u32.to_le_bytes()).put(&[0; 28]);
    } else {
        header.put(b"RF64").put(&[0xff; 4]).put(b"WAVE").put(b"ds64");
        header.put(&28u32.to_le_bytes());
        header.put(&(data + RIFF_EXTRA).to_le_bytes()).put(&data.to_le_bytes());
        header.put(&frames.to_le_bytes()).put(&[0; 4]);
    }
    header.put(b"fmt ").put(&16u32.to_le_bytes());
    // Linear, two channels.
    header.put(&[1, 0, 2, 0]).put(&rate.to_le_bytes());
    header.put(&(rate * FRAME_BYTES as u32).to_le_bytes());
    // Bytes of a frame, bits of a sample.
    header.put(&[4, 0, 16, 0]).put(b"data");
    header.put(&sizes.1.unwrap_or(u32::MAX).to_le_bytes());
    debug_assert_eq!(header.len, HEADER_LEN);
    header.bytes
}

/// The rate in a header of ours; `None` when it is none.
pub(super) fn rate_of(header: &[u8]) -> Option<u32> {
    let rate = u32::from_le_bytes(*header.get(RATE_AT..)?.first_chunk()?);
    let is_ours = matches!(header.get(..4)?, b"RIFF" | b"RF64")
        && header.get(8..12)? == b"WAVE"
        && header.get(48..52)? == b"fmt "
        && header.get(72..76)? == b"data"
        && header.len() >= HEADER_LEN;
    is_ours.then_some(rate).filter(|rate| *rate > 0)
}

/// Filled from the front.
struct Header {
    bytes: [u8; HEADER_LEN],
    len: usize,
}

impl Header {
    fn put(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes[self.len..][..bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
        self
    }
}
