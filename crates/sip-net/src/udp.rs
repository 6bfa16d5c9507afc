//! UDP listeners: one socket each, read and written in batches by the core's thread.
//!
//! A [`FlowId`] names a socket *and*, on a wildcard address, the address of ours that the peer
//! used, so that an answer leaves from where it was asked for:
//! `1 | socket index (15 bits) | address tag (48 bits)`; connections have the first bit clear.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;
use std::task::{Context, Poll};

use sip::transaction::TransactionId;
use sip::transport::{FlowId, Transport};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::unix::AsyncFd;

use crate::config::BindError;
use crate::mmsg::{self, BATCH, Batch, Datagram, IntOption};
use crate::stats::Stats;

/// Kernel buffers in bytes: about a second of 3,000 datagrams. They are the queue under overload.
const BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// DSCP CS3, the class of call signalling (RFC 4594 §3), as a traffic class.
pub(crate) const DSCP_CS3: u32 = 24 << 2;

/// IPv6 addresses of ours that one wildcard socket remembers.
const V6_LOCALS_MAX: usize = 256;

const UDP_BIT: u64 = 1 << 63;
const TAG_BITS: u32 = 48;
const TAG_MASK: u64 = (1 << TAG_BITS) - 1;

/// Opens and binds a socket.
pub(crate) fn open(address: SocketAddr) -> Result<std::net::UdpSocket, BindError> {
    try_open(address).map_err(|error| BindError::Address {
        transport: Transport::Udp,
        address,
        error,
    })
}

fn try_open(address: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    mark(&socket, address)?;
    let force = IntOption::ReceiveBufferForce;
    if mmsg::set_option(socket.as_fd(), force, BUFFER_BYTES as i32).is_err() {
        socket.set_recv_buffer_size(BUFFER_BYTES)?;
    }
    socket.set_send_buffer_size(BUFFER_BYTES)?;
    mmsg::set_option(socket.as_fd(), IntOption::DropCount, 1)?;
    if address.ip().is_unspecified() {
        let option = match address {
            SocketAddr::V4(_) => IntOption::PacketInfoV4,
            SocketAddr::V6(_) => IntOption::PacketInfoV6,
        };
        mmsg::set_option(socket.as_fd(), option, 1)?;
    }
    socket.bind(&address.into())?;
    // The kernel states twice what one asks for.
    let granted = socket.recv_buffer_size()? / 2;
    if granted < BUFFER_BYTES {
        tracing::warn!(%address, granted, wanted = BUFFER_BYTES,
            "small UDP receive buffer: raise net.core.rmem_max");
    }
    Ok(socket.into())
}

/// Sets the traffic class, and keeps IPv6 sockets to IPv6.
pub(crate) fn mark(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    match address {
        SocketAddr::V4(_) => socket.set_tos_v4(DSCP_CS3),
        SocketAddr::V6(_) => {
            socket.set_only_v6(true)?;
            socket.set_tclass_v6(DSCP_CS3)
        }
    }
}

/// Makes equal what means the same: IPv4 in IPv6 clothes, flow labels, scopes of global addresses.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(_) => address,
        SocketAddr::V6(mut v6) => match v6.ip().to_ipv4_mapped() {
            Some(ip) => SocketAddr::new(ip.into(), v6.port()),
            None => {
                v6.set_flowinfo(0);
                if !v6.ip().is_unicast_link_local() {
                    v6.set_scope_id(0);
                }
                v6.into()
            }
        },
    }
}

/// Who waits for a datagram to leave.
#[derive(Debug)]
pub(crate) struct Failed(pub(crate) TransactionId);

/// One bound socket, registered with the runtime of the current thread.
pub(crate) struct UdpSocket {
    fd: AsyncFd<std::net::UdpSocket>,
    index: u16,
    local: SocketAddr,
    dropped: u32,
    v6_locals: HashMap<u64, Ipv6Addr>,
    v6_tags: RandomState,
    outbox: Vec<Datagram>,
    waiting: Vec<Option<TransactionId>>,
}

impl UdpSocket {
    /// Must be called within a runtime. `index` is below 2¹⁵.
    pub(crate) fn new(socket: std::net::UdpSocket, index: u16) -> io::Result<Self> {
        let local = socket.local_addr()?;
        Ok(Self {
            fd: mmsg::register(socket)?,
            index: index & 0x7fff,
            local,
            dropped: 0,
            v6_locals: HashMap::new(),
            v6_tags: RandomState::new(),
            outbox: Vec::with_capacity(BATCH),
            waiting: Vec::with_capacity(BATCH),
        })
    }

    /// Receives one batch if there is any. `Pending`: the task is woken when there is.
    pub(crate) fn poll_receive(&self, cx: &mut Context<'_>, batch: &mut Batch) -> Poll<usize> {
        loop {
            let Poll::Ready(ready) = self.fd.poll_read_ready(cx) else { return Poll::Pending };
            let Ok(mut ready) = ready else { return Poll::Pending };
            match batch.receive(self.fd.get_ref().as_fd()) {
                Ok(received) => {
                    // Fewer than asked for: the queue was empty, and what comes now is a new edge.
                    if received < BATCH {
                        ready.clear_ready();
                    }
                    return Poll::Ready(received);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    // A pending error of the socket; reading it has cleared it.
                    tracing::debug!(local = %self.local, %error, "UDP receive");
                    return Poll::Ready(0);
                }
            }
        }
    }

    /// The flow of a datagram that was sent to `local`, and our full address there.
    pub(crate) fn flow(&mut self, local: Option<IpAddr>) -> (FlowId, SocketAddr) {
        let base = UDP_BIT | u64::from(self.index) << TAG_BITS;
        let Some(ip) = local.filter(|_| self.local.ip().is_unspecified()) else {
            return (FlowId(base), self.local);
        };
        let tag = match ip {
            IpAddr::V4(ip) => u64::from(ip.to_bits()),
            IpAddr::V6(ip) => self.v6_tag(ip),
        };
        (FlowId(base | tag), canonical(SocketAddr::new(ip, self.local.port())))
    }

    fn v6_tag(&mut self, ip: Ipv6Addr) -> u64 {
        let tag = self.v6_tags.hash_one(ip) & TAG_MASK;
        match self.v6_locals.get(&tag) {
            Some(known) if *known == ip => tag,
            None if self.v6_locals.len() < V6_LOCALS_MAX => {
                self.v6_locals.insert(tag, ip);
                tag
            }
            Some(_) | None => 0,
        }
    }

    /// The source address that a flow of this socket stands for.
    fn source(&self, flow: FlowId) -> Option<IpAddr> {
        let tag = flow.0 & TAG_MASK;
        match self.local {
            SocketAddr::V4(_) => (tag != 0).then(|| Ipv4Addr::from_bits(tag as u32).into()),
            SocketAddr::V6(_) => self.v6_locals.get(&tag).copied().map(IpAddr::V6),
        }
    }

    /// Counts what the kernel dropped since the last datagram.
    pub(crate) fn count_dropped(&mut self, dropped: Option<u32>, stats: &Stats) {
        if let Some(dropped) = dropped {
            stats.udp_kernel_dropped.add(dropped.wrapping_sub(self.dropped).into());
            self.dropped = dropped;
        }
    }

    /// Queues a datagram until [`Self::flush`]; says whether the batch is full.
    pub(crate) fn push(
        &mut self,
        to: SocketAddr,
        flow: Option<FlowId>,
        bytes: bytes::Bytes,
        transaction: Option<TransactionId>,
    ) -> bool {
        let from = flow.and_then(|flow| self.source(flow));
        self.outbox.push(Datagram { to: canonical(to), from, bytes });
        self.waiting.push(transaction);
        self.outbox.len() >= BATCH
    }

    /// Sends what is queued. Full send buffer: dropped and counted, as the network would.
    pub(crate) fn flush(&mut self, stats: &Stats, failed: &mut Vec<Failed>) {
        let mut done = 0;
        while done < self.outbox.len() {
            match mmsg::send(self.fd.get_ref().as_fd(), &self.outbox[done..]) {
                Ok(sent) => {
                    stats.udp_sent.add(sent as u64);
                    done += sent.max(1);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    stats.udp_send_dropped.add((self.outbox.len() - done) as u64);
                    done = self.outbox.len();
                }
                Err(error) => {
                    stats.udp_send_failed.one();
                    tracing::debug!(to = %self.outbox[done].to, %error, "UDP send");
                    failed.extend(self.waiting[done].map(Failed));
                    done += 1;
                }
            }
        }
        self.outbox.clear();
        self.waiting.clear();
    }
}

/// The socket that serves a destination: the one its flow names, or the one that fits best.
pub(crate) fn choose(sockets: &[UdpSocket], to: SocketAddr, flow: Option<FlowId>) -> Option<usize> {
    if let Some(flow) = flow {
        let index = usize::try_from((flow.0 & !UDP_BIT) >> TAG_BITS).ok()?;
        return (flow.0 & UDP_BIT != 0 && index < sockets.len()).then_some(index);
    }
    let to = canonical(to);
    // A socket bound to a loopback address reaches no other, and the other way round.
    let misfit = |local: SocketAddr| {
        let ip = local.ip();
        !ip.is_unspecified() && ip.is_loopback() != to.ip().is_loopback()
    };
    (0..sockets.len())
        .filter(|&i| sockets[i].local.is_ipv4() == to.is_ipv4())
        .min_by_key(|&i| misfit(sockets[i].local))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sockets(addresses: &[&str]) -> Vec<UdpSocket> {
        let open = |(i, address): (usize, &&str)| {
            UdpSocket::new(open(address.parse().unwrap()).unwrap(), i as u16).unwrap()
        };
        addresses.iter().enumerate().map(open).collect()
    }

    #[tokio::test]
    async fn a_flow_names_its_socket_and_our_address() {
        let mut sockets = sockets(&["127.0.0.1:0", "0.0.0.0:0", "[::]:0"]);
        let (flow, local) = sockets[0].flow(Some("127.0.0.9".parse().unwrap()));
        assert_eq!((flow.0, local), (UDP_BIT, sockets[0].local), "bound address: nothing to say");
        for (i, ip) in [(1, "127.0.0.9"), (2, "2001:db8::7")] {
            let ip: IpAddr = ip.parse().unwrap();
            let (flow, local) = sockets[i].flow(Some(ip));
            assert_eq!(local.ip(), ip);
            assert_eq!(choose(&sockets, local, Some(flow)), Some(i));
            assert_eq!(sockets[i].source(flow), Some(ip));
            assert_eq!(sockets[i].flow(Some(ip)).0, flow);
        }
        assert_eq!(choose(&sockets, local, Some(FlowId(3))), None, "a connection's flow");
        assert_eq!(choose(&sockets, local, Some(FlowId(UDP_BIT | 9 << TAG_BITS))), None);
        for n in 0..2 * V6_LOCALS_MAX as u128 {
            sockets[2].flow(Some(Ipv6Addr::from_bits(n).into()));
        }
        assert_eq!(sockets[2].v6_locals.len(), V6_LOCALS_MAX);
    }

    #[tokio::test]
    async fn without_a_flow_the_fitting_socket_is_chosen() {
        let sockets = sockets(&["127.0.0.1:0", "0.0.0.0:0", "[::1]:0"]);
        for (to, index) in [
            ("127.0.0.5:5060", 0),
            ("192.0.2.1:5060", 1),
            ("[::1]:5060", 2),
            ("[2001:db8::1]:5060", 2),
            ("[::ffff:192.0.2.1]:5060", 1),
        ] {
            assert_eq!(choose(&sockets, to.parse().unwrap(), None), Some(index), "{to}");
        }
    }

    #[test]
    fn equal_addresses_become_equal() {
        for (address, same) in [
            ("[::ffff:192.0.2.1]:5060", "192.0.2.1:5060"),
            ("[2001:db8::1%3]:5060", "[2001:db8::1]:5060"),
            ("[fe80::1%3]:5060", "[fe80::1%3]:5060"),
        ] {
            assert_eq!(canonical(address.parse().unwrap()), same.parse::<SocketAddr>().unwrap());
        }
    }
}
