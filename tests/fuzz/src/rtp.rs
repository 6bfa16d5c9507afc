//! Single datagrams of a media port, and the STUN of a SIP port.

use std::net::SocketAddr;

use media::rtp::{DATAGRAM_MAX, HEADER_LEN, is_rtcp, parse, rewrite};

use crate::stun;

/// An RTP header is read within its bounds and rewritten in place.
pub fn rtp(bytes: &[u8]) {
    let _ = is_rtcp(bytes);
    let Ok(packet) = parse(bytes) else { return };
    assert!(packet.payload.start >= HEADER_LEN && packet.payload.end <= bytes.len());
    let payload = bytes[packet.payload.clone()].to_vec();
    let mut datagram = bytes.to_vec();
    let sent = rewrite(&mut datagram, &packet.payload, &packet.header);
    let again = parse(sent).expect("a packet of ours can be read");
    assert_eq!(again.header, packet.header);
    assert_eq!(&sent[again.payload], payload);
}

/// RTCP is read within its bounds; only what is about us counts.
pub fn rtcp(bytes: &[u8]) {
    let Some((ours, datagram)) = bytes.split_first_chunk() else { return };
    let ours = u32::from_be_bytes(*ours);
    let Some(incoming) = media::rtcp::parse(datagram, ours) else { return };
    if let Some(about_us) = incoming.about_us {
        assert!(datagram.windows(4).any(|word| word == ours.to_be_bytes()));
        for ntp in [0, u64::MAX, u64::from(about_us.last_report) << 16] {
            let trip = about_us.round_trip_ms(ntp);
            assert!(trip.is_none_or(|ms| ms.is_finite() && ms >= 0.0));
        }
        assert!((-0x80_0000..0x80_0000).contains(&about_us.lost));
    }
}

/// A binding request is answered with its sender's address; nothing else is answered.
pub fn keep_alive(bytes: &[u8]) {
    for from in ["192.0.2.1:32853", "[2001:db8::1]:9"] {
        let from: SocketAddr = from.parse().expect("an address");
        let Some(answer) = stun::answer(bytes, from) else { continue };
        assert!(stun::is_stun(bytes) && bytes.len() <= DATAGRAM_MAX.max(bytes.len()));
        assert_eq!(answer[4..20], bytes[4..20], "cookie and transaction id");
        assert!(answer.len() <= bytes.len() + 24, "no amplifier");
        assert_eq!(stun::answer(&answer, from), None, "no endless exchange");
    }
}
