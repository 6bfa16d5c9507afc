//! The sockets of a stream.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::os::fd::AsFd;

use media::command::LocalPorts;
use media::latch::same;
use media::rtp::DATAGRAM_MAX;
use socket2::{Domain, Protocol, Socket, Type};

use crate::sys;

/// RFC 4594 §4.1: telephony is Expedited Forwarding, in the upper six bits.
const DSCP_EF: u32 = 46 << 2;
/// Some seconds of audio: a stalled worker loses nothing, a flood holds little memory.
const RECEIVE_BUFFER: usize = 256 * 1024;

/// One or two bound sockets.
pub(crate) struct Ports {
    pub(crate) rtp: Port,
    pub(crate) rtcp: Option<Port>,
    ip: IpAddr,
}

/// A bound socket.
pub(crate) struct Port {
    pub(crate) socket: UdpSocket,
    /// Whom the kernel takes packets from, when it is told.
    peer: Option<SocketAddr>,
}

impl Ports {
    pub(crate) fn bind(local: &LocalPorts) -> io::Result<Self> {
        let port = |port| Port::bind(SocketAddr::new(local.ip, port));
        Ok(Self { rtp: port(local.rtp)?, rtcp: local.rtcp.map(port).transpose()?, ip: local.ip })
    }

    /// Whether `to` is one of our own ports: sending there would be a loop (ATTACKS 4).
    pub(crate) fn is_own(&self, to: SocketAddr, own: &[RangeInclusive<u16>]) -> bool {
        if !own.iter().any(|range| range.contains(&to.port())) {
            return false;
        }
        let to = to.ip().to_canonical();
        // What can be bound is ours.
        to == self.ip || (self.ip.is_unspecified() && UdpSocket::bind((to, 0)).is_ok())
    }
}

impl Port {
    fn bind(at: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(at), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        if at.is_ipv6() {
            socket.set_only_v6(true)?;
            socket.set_tclass_v6(DSCP_EF)?;
        } else {
            socket.set_tos_v4(DSCP_EF)?;
        }
        socket.bind(&at.into())?;
        Ok(Self { socket: socket.into(), peer: None })
    }

    /// Reads one datagram; one too long for RTP comes out longer than [`DATAGRAM_MAX`]. `None` when
    /// there is none, or only an ICMP error about what was sent (told once).
    ///
    /// A stream's packets come 20 ms apart: a system call for several costs half as much again and
    /// finds one.
    pub(crate) fn receive<'a>(
        &self,
        buffer: &'a mut [u8; DATAGRAM_MAX + 1],
    ) -> Option<(SocketAddr, &'a mut [u8])> {
        let (len, from) = self.socket.recv_from(buffer).ok()?;
        Some((from, &mut buffer[..len]))
    }

    /// Sends a datagram; false when it could not be sent.
    pub(crate) fn send(&self, to: SocketAddr, datagram: &[u8]) -> bool {
        let connected = self.peer.is_some_and(|peer| same(peer, to));
        let send = || match connected {
            true => self.socket.send(datagram),
            false => self.socket.send_to(datagram, to),
        };
        match send() {
            Ok(_) => true,
            // An ICMP error about an earlier packet: told once, and this one was not sent.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => send().is_ok(),
            Err(_) => false,
        }
    }

    /// Lets the kernel drop everything that is not from `peer`, and keep the route to it.
    pub(crate) fn pin(&mut self, peer: Option<SocketAddr>) {
        match peer {
            Some(peer) => {
                self.peer = self.socket.connect(peer).is_ok().then_some(peer);
            }
            None if self.peer.is_some() => {
                self.peer = None;
                if let Err(error) = sys::disconnect(self.socket.as_fd()) {
                    tracing::warn!(%error, "cannot let go of a peer");
                }
            }
            None => {}
        }
    }
}
