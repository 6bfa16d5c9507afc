//! Which addresses media may ever be sent to.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Whether packets may be sent to `target` at all: not unspecified, broadcast, multicast,
/// link-local (169.254/16 holds cloud metadata services; fe80::/10 has no zone here), reserved
/// (240/4, 0/8), nor port 0. An IPv4 address mapped into IPv6 is judged as IPv4.
///
/// The caller checks in addition that it is none of our own ports: this crate does not know them.
pub fn is_sendable(target: SocketAddr) -> bool {
    target.port() != 0
        && match target.ip().to_canonical() {
            IpAddr::V4(ip) => is_sendable_v4(ip),
            IpAddr::V6(ip) => {
                !(ip.is_unspecified() || ip.is_multicast() || ip.is_unicast_link_local())
            }
        }
}

fn is_sendable_v4(ip: Ipv4Addr) -> bool {
    let first = ip.octets()[0];
    // 240/4 holds the limited broadcast address as well.
    first != 0 && first < 240 && !ip.is_multicast() && !ip.is_link_local()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_never_goes_to_an_address_of_no_single_host() {
        for (target, sendable) in [
            ("192.0.2.1:4000", true),
            ("127.0.0.1:4000", true),
            ("10.1.2.3:1", true),
            ("[2001:db8::1]:4000", true),
            ("[::1]:4000", true),
            ("192.0.2.1:0", false),
            ("0.0.0.0:4000", false),
            ("0.1.2.3:4000", false),
            ("255.255.255.255:4000", false),
            ("240.0.0.1:4000", false),
            ("224.2.1.1:4000", false),
            ("239.255.255.250:1900", false),
            ("169.254.169.254:80", false),
            ("[::]:4000", false),
            ("[ff02::1]:4000", false),
            ("[fe80::1]:4000", false),
            ("[::ffff:255.255.255.255]:4000", false),
            ("[::ffff:169.254.169.254]:80", false),
            ("[::ffff:192.0.2.1]:4000", true),
        ] {
            assert_eq!(is_sendable(target.parse().unwrap()), sendable, "{target}");
        }
    }
}
