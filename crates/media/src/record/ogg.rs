//! Pages of an Ogg stream (RFC 3533 §6).

/// Length of a page's header without its table of segments.
pub(super) const HEADER_LEN: usize = 27;
/// Segments of a page, at most.
const SEGMENTS_MAX: usize = 255;
const FIRST: u8 = 2;
const LAST: u8 = 4;
const FLAGS_AT: usize = 5;
const GRANULE_AT: usize = 6;
const CRC_AT: usize = 22;

/// Writes packets into the pages of one stream.
pub(super) struct Pages {
    serial: u32,
    sequence: u32,
    segments: Vec<u8>,
    body: Vec<u8>,
    /// Samples up to the end of the last packet in the page.
    granule: u64,
}

impl Pages {
    pub(super) fn new(serial: u32) -> Self {
        Self { serial, sequence: 0, segments: Vec::new(), body: Vec::new(), granule: 0 }
    }

    /// Adds a packet that ends at `granule`. A page that is full is written first; a packet longer
    /// than a page is none of ours.
    pub(super) fn packet(&mut self, packet: &[u8], granule: u64, out: &mut Vec<u8>) {
        let needed = packet.len() / 255 + 1;
        debug_assert!(needed <= SEGMENTS_MAX);
        if self.segments.len() + needed > SEGMENTS_MAX {
            self.flush(false, out);
        }
        self.segments.extend(std::iter::repeat_n(255, needed - 1));
        self.segments.push((packet.len() % 255) as u8);
        self.body.extend_from_slice(packet);
        self.granule = granule;
    }

    /// Says that the sound ends before the last packet does (RFC 7845 §4.4).
    pub(super) fn end_at(&mut self, granule: u64) {
        self.granule = granule;
    }

    /// Writes the page, if it has anything.
    pub(super) fn flush(&mut self, is_last: bool, out: &mut Vec<u8>) {
        if self.segments.is_empty() && !is_last {
            return;
        }
        let first = if self.sequence == 0 { FIRST } else { 0 };
        let last = if is_last { LAST } else { 0 };
        let start = out.len();
        out.extend_from_slice(b"OggS\0");
        out.push(first | last);
        out.extend_from_slice(&self.granule.to_le_bytes());
        out.extend_from_slice(&self.serial.to_le_bytes());
        out.extend_from_slice(&self.sequence.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.push(self.segments.len() as u8);
        out.append(&mut self.segments);
        out.append(&mut self.body);
        seal(&mut out[start..]);
        self.sequence += 1;
    }
}

/// A whole page at the beginning of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// Its length, header and all.
    pub(super) len: usize,
    /// Samples up to its end.
    pub(super) granule: u64,
}

/// The length of the page that begins so, by its header and table; `None` when none does, or they
/// are not all there.
pub(super) fn page_len(bytes: &[u8]) -> Option<usize> {
    let header = bytes.get(..HEADER_LEN)?;
    let table = bytes.get(HEADER_LEN..)?.get(..usize::from(header[HEADER_LEN - 1]))?;
    let body: usize = table.iter().map(|len| usize::from(*len)).sum();
    (&header[..5] == b"OggS\0").then_some(HEADER_LEN + table.len() + body)
}

/// The page that begins so, if it is there as it was written.
pub(super) fn page(bytes: &[u8]) -> Option<Page> {
    let len = page_len(bytes)?;
    let page = bytes.get(..len)?;
    let mut copy = page.to_vec();
    seal(&mut copy);
    let granule = u64::from_le_bytes(*page.get(GRANULE_AT..)?.first_chunk()?);
    (copy == page).then_some(Page { len, granule })
}

/// Makes a whole page the last of its stream.
pub(super) fn end_with(page: &mut [u8]) {
    if let Some(flags) = page.get_mut(FLAGS_AT) {
        *flags |= LAST;
        seal(page);
    }
}

/// Writes the check sum of a whole page (RFC 3533 §6: over the page with a sum of 0).
fn seal(page: &mut [u8]) {
    page[CRC_AT..][..4].fill(0);
    let sum = page
        .iter()
        .fold(0u32, |sum, byte| (sum << 8) ^ CRC_TABLE[usize::from((sum >> 24) as u8 ^ byte)]);
    page[CRC_AT..][..4].copy_from_slice(&sum.to_le_bytes());
}

/// CRC-32 with the polynomial 0x04c11db7, not reflected.
const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let mut sum = (i as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum >> 31 == 1 { (sum << 1) ^ 0x04c1_1db7 } else { sum << 1 };
            bit += 1;
        }
        table[i] = sum;
        i += 1;
    }
    table
};
