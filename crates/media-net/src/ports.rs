//! The sockets of a stream.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use media::command::LocalPorts;
use media::latch::same;
use media::rtp::DATAGRAM_MAX;
use socket2::{Domain, Protocol, Socket, Type};

use crate::sys;

/// RFC 4594 §4.1: telephony is Expedited Forwarding, in the upper six bits.
const DSCP_EF: u32 = 46 << 2;
/// Some seconds of audio: a stalled worker loses nothing, a flood holds little memory.
pub(crate) const RECEIVE_BUFFER: usize = 192 * 1024;

/// Whether this machine's sockets have such a buffer by themselves.
static DEFAULT_SUFFICES: OnceLock<bool> = OnceLock::new();

fn suffices(socket: &Socket) -> bool {
    socket.recv_buffer_size().is_ok_and(|size| size >= RECEIVE_BUFFER)
}

/// One or two bound sockets.
pub(crate) struct Ports {
    pub(crate) rtp: Port,
    pub(crate) rtcp: Option<Port>,
    /// Whether the audio is read at ticks only.
    pub(crate) is_paced: bool,
    local: LocalPorts,
    own: Arc<OwnPorts>,
}

/// The ports of this process: nothing is ever sent to them, it would be a loop (ATTACKS 4).
pub(crate) struct OwnPorts {
    /// Ports of others than streams.
    fixed: Vec<RangeInclusive<u16>>,
    /// Those of all streams, of all workers.
    bound: Mutex<BTreeSet<(IpAddr, u16)>>,
}

impl OwnPorts {
    pub(crate) fn new(fixed: Vec<RangeInclusive<u16>>) -> Self {
        Self { fixed, bound: Mutex::default() }
    }

    fn bound(&self) -> MutexGuard<'_, BTreeSet<(IpAddr, u16)>> {
        self.bound.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether `to` is one of them; `ip` is an address we are bound to.
    fn contains(&self, ip: IpAddr, to: SocketAddr) -> bool {
        let (to, port) = (to.ip().to_canonical(), to.port());
        let is_here = |bound: IpAddr| {
            // On all addresses: on those of this machine, which are what can be bound.
            to == bound || (bound.is_unspecified() && UdpSocket::bind((to, 0)).is_ok())
        };
        let fixed = self.fixed.iter().any(|range| range.contains(&port)) && is_here(ip);
        let any =
            if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let candidates = [to, any].map(|ip| self.bound().contains(&(ip, port)).then_some(ip));
        fixed || candidates.into_iter().flatten().any(is_here)
    }
}

/// A bound socket.
pub(crate) struct Port {
    pub(crate) socket: UdpSocket,
    /// Whom the kernel takes packets from, when it is told.
    peer: Option<SocketAddr>,
}

impl Ports {
    pub(crate) fn bind(local: &LocalPorts, own: &Arc<OwnPorts>) -> io::Result<Self> {
        let port = |port| Port::bind(SocketAddr::new(local.ip, port));
        let (rtp, rtcp) = (port(local.rtp)?, local.rtcp.map(port).transpose()?);
        let ports = Self { rtp, rtcp, is_paced: false, local: *local, own: Arc::clone(own) };
        own.bound().extend(ports.numbers());
        Ok(ports)
    }

    /// Whether `to` is one of our own ports.
    pub(crate) fn is_own(&self, to: SocketAddr) -> bool {
        self.own.contains(self.local.ip, to)
    }

    fn numbers(&self) -> impl Iterator<Item = (IpAddr, u16)> + use<> {
        let LocalPorts { ip, rtp, rtcp } = self.local;
        [Some(rtp), rtcp].into_iter().flatten().map(move |port| (ip, port))
    }
}

impl Drop for Ports {
    fn drop(&mut self) {
        let mut bound = self.own.bound();
        for number in self.numbers() {
            bound.remove(&number);
        }
    }
}

impl Port {
    fn bind(at: SocketAddr) -> io::Result<Self> {
        let kind = Type::DGRAM.nonblocking();
        let socket = Socket::new(Domain::for_address(at), kind, Some(Protocol::UDP))?;
        // Four sockets a call: a system call that changes nothing is left out.
        if !*DEFAULT_SUFFICES.get_or_init(|| suffices(&socket)) {
            socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        }
        if at.is_ipv6() {
            socket.set_only_v6(true)?;
            socket.set_tclass_v6(DSCP_EF)?;
        } else {
            socket.set_tos_v4(DSCP_EF)?;
        }
        socket.bind(&at.into())?;
        Ok(Self { socket: socket.into(), peer: None })
    }

    /// Reads one datagram; one too long for RTP comes out empty, which is no RTP either. `None`
    /// when there is none, or only an ICMP error about what was sent (told once).
    ///
    /// A stream's packets come 20 ms apart: a system call for several costs half as much again and
    /// finds one.
    pub(crate) fn receive<'a>(
        &self,
        buffer: &'a mut [u8; DATAGRAM_MAX + 1],
    ) -> Option<(SocketAddr, &'a mut [u8])> {
        let (len, from) = self.socket.recv_from(buffer).ok()?;
        let len = if len > DATAGRAM_MAX { 0 } else { len };
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
