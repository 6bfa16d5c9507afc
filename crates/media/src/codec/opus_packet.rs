//! What can be read off an Opus packet without decoding it (RFC 6716 §3 and §4.2).

/// Whether a packet carries the frame before its own a second time. libopus makes something up
/// where it does not, and says nothing.
pub(super) fn has_redundancy(packet: &[u8]) -> bool {
    let Some((toc, rest)) = packet.split_first() else { return false };
    // §3.1: configurations from 16 on have no SILK layer, which alone is repeated; 0 to 11 are SILK
    // of 10 to 60 ms, whose longer ones consist of frames of 20 ms.
    let silk_frames = match toc >> 3 {
        config @ 0..12 => [1, 1, 2, 3][usize::from(config & 3)],
        12..16 => 1,
        _ => return false,
    };
    let Some(&first) = first_frame(toc & 3, rest).and_then(<[u8]>::first) else { return false };
    // §4.2.3: a bit of voice activity for each frame, then the one that is asked for; and the same
    // of the second channel. Bits of even chance are where they would be without a range coder.
    let bit = |at: u32| first >> (7 - at) & 1 == 1;
    let is_stereo = toc & 4 != 0;
    bit(silk_frames) || (is_stereo && bit(2 * silk_frames + 1))
}

/// The first frame of a packet, perhaps with others behind it; by the code of §3.2.
fn first_frame(code: u8, rest: &[u8]) -> Option<&[u8]> {
    match code {
        0 | 1 => Some(rest),
        2 => sized(rest, 0),
        _ => {
            // §3.2.5: the count of frames, how much padding there is, their lengths but the last's.
            let (&count, mut rest) = rest.split_first()?;
            let mut is_padded = count & 0x40 != 0;
            while is_padded {
                let (&padding, behind) = rest.split_first()?;
                (rest, is_padded) = (behind, padding == 255);
            }
            let lengths = (count & 0x3f).checked_sub(1)?;
            if count & 0x80 != 0 && lengths > 0 { sized(rest, lengths - 1) } else { Some(rest) }
        }
    }
}

/// The frame whose length comes first (§3.2.1), with so many further lengths before it; `None` when
/// there is nothing in it.
fn sized(rest: &[u8], others: u8) -> Option<&[u8]> {
    let length = |rest: &[u8]| match *rest.first()? {
        low @ 252.. => Some((usize::from(low) + 4 * usize::from(*rest.get(1)?), 2)),
        low => Some((usize::from(low), 1)),
    };
    let (len, mut at) = length(rest)?;
    for _ in 0..others {
        at += length(rest.get(at..)?)?.1;
    }
    rest.get(at..).filter(|_| len > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redundancy_is_where_the_format_has_it() {
        let rows: [(&[u8], bool); 18] = [
            (&[], false),
            (&[0x08], false),                          // nothing but its first byte
            (&[0x08, 0b0100_0000], true),              // 20 ms
            (&[0x08, 0b1000_0000], false),             // voice, and no second frame
            (&[0x10, 0b0010_0000], true),              // 40 ms
            (&[0x10, 0b1100_0000], false),             //
            (&[0x18, 0b0001_0000], true),              // 60 ms
            (&[0x0c, 0b0001_0000], true),              // the second of two channels
            (&[0x0c, 0b1010_0000], false),             //
            (&[0x68, 0b0100_0000], true),              // hybrid of 20 ms
            (&[0x98, 0b0100_0000], false),             // CELT
            (&[0x09, 0b0100_0000, 0b0000_0000], true), // two of the same length
            (&[0x0a, 1, 0b0100_0000, 0b0000_0000], true), // two of others
            (&[0x0a, 0, 0b0100_0000], false),          // the first is empty
            (&[0x0b, 0x42, 255, 0, 0b0100_0000, 0, 0], true), // three, padded
            (&[0x0b, 0x83, 1, 1, 0b0100_0000, 0, 0], true), // three with their lengths
            (&[0x0b, 0x83, 252, 0, 1, 0b0100_0000, 0], true), // a long one of them
            (&[0x0b, 0x80], false),                    // none at all
        ];
        for (packet, expected) in rows {
            assert_eq!(has_redundancy(packet), expected, "{packet:02x?}");
        }
    }
}
