//! The least of STUN (RFC 5389): answers a binding request on a SIP port, the keep-alive that
//! phones behind NAT send (RFC 5626 §4.4.2).

use std::net::{IpAddr, SocketAddr};

const HEADER: usize = 20;
const COOKIE: [u8; 4] = 0x2112_A442_u32.to_be_bytes();
const BINDING_REQUEST: [u8; 2] = [0, 1];
const BINDING_SUCCESS: [u8; 2] = [1, 1];
const XOR_MAPPED_ADDRESS: [u8; 2] = [0, 0x20];

/// Whether a datagram is STUN: SIP never begins with a byte below 4.
pub(crate) fn is_stun(datagram: &[u8]) -> bool {
    datagram.len() >= HEADER && datagram[0] < 4 && datagram[4..8] == COOKIE
}

/// The answer to a binding request; `None` for all other STUN.
pub(crate) fn answer(datagram: &[u8], from: SocketAddr) -> Option<Vec<u8>> {
    if !is_stun(datagram) || datagram[..2] != BINDING_REQUEST {
        return None;
    }
    // RFC 5389 §15.2: the port is masked by the cookie, the address by cookie and transaction id.
    let mask = &datagram[4..HEADER];
    let (family, address) = match from.ip().to_canonical() {
        IpAddr::V4(ip) => (1, ip.octets().to_vec()),
        IpAddr::V6(ip) => (2, ip.octets().to_vec()),
    };
    let value_len = 4 + address.len() as u16;
    let mut answer = Vec::with_capacity(HEADER + 24);
    answer.extend_from_slice(&BINDING_SUCCESS);
    answer.extend_from_slice(&(4 + value_len).to_be_bytes());
    answer.extend_from_slice(mask);
    answer.extend_from_slice(&XOR_MAPPED_ADDRESS);
    answer.extend_from_slice(&value_len.to_be_bytes());
    answer.extend_from_slice(&[0, family]);
    answer.extend(from.port().to_be_bytes().iter().zip(mask).map(|(byte, mask)| byte ^ mask));
    answer.extend(address.iter().zip(mask).map(|(byte, mask)| byte ^ mask));
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Vec<u8> {
        let mut request = vec![0, 1, 0, 0];
        request.extend(COOKIE);
        request.extend(*b"\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae");
        request
    }

    #[test]
    fn answers_are_those_of_rfc_5769() {
        let v4 = answer(&request(), "192.0.2.1:32853".parse().unwrap()).unwrap();
        assert_eq!(v4[..8], [1, 1, 0, 12, 0x21, 0x12, 0xa4, 0x42]);
        assert_eq!(v4[20..], *b"\x00\x20\x00\x08\x00\x01\xa1\x47\xe1\x12\xa6\x43");
        let v6 = "[2001:db8:1234:5678:11:2233:4455:6677]:32853".parse().unwrap();
        assert_eq!(
            answer(&request(), v6).unwrap()[24..],
            *b"\x00\x02\xa1\x47\x01\x13\xa9\xfa\xa5\xd3\xf1\x79\xbc\x25\xf4\xb5\xbe\xd2\xb9\xd9"
        );
    }

    #[test]
    fn nothing_else_is_answered() {
        let from = "192.0.2.1:5060".parse().unwrap();
        let mut response = request();
        response[0] = 1;
        let mut old = request();
        old[4] = 0;
        for other in [&response[..], &old, &request()[..19], b"OPTIONS sip:a SIP/2.0\r\n", b""] {
            assert_eq!(answer(other, from), None);
        }
    }
}
