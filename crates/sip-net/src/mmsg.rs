//! Datagrams in batches: `recvmmsg`, `sendmmsg` and the socket options that have no safe wrapper.
//! The only unsafe code of the crate; it knows datagrams and addresses, not SIP.
#![allow(unsafe_code)]

use std::io;
use std::mem::{self, MaybeUninit};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use bytes::Bytes;
use socket2::{SockAddr, SockAddrStorage};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Datagrams per system call.
pub(crate) const BATCH: usize = 32;

/// The largest datagram and one byte more.
const BUFFER: usize = 65_536;

/// Room for a destination address (40) and a drop counter (24).
const CONTROL: usize = 128;

/// Control messages, aligned as `cmsghdr` demands.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL]);

/// What came with a datagram.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meta {
    pub(crate) len: usize,
    pub(crate) remote: Option<SocketAddr>,
    /// The address it was sent to, if the socket was told to say.
    pub(crate) local: Option<IpAddr>,
    /// How many datagrams the socket has dropped so far, if it says.
    pub(crate) dropped: Option<u32>,
}

/// Reused room for one batch.
pub(crate) struct Batch {
    buffers: Vec<u8>,
    metas: Vec<Meta>,
}

impl Batch {
    pub(crate) fn new() -> Self {
        Self { buffers: vec![0; BATCH * BUFFER], metas: Vec::with_capacity(BATCH) }
    }

    /// Receives what is there, without waiting; returns how many datagrams.
    pub(crate) fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        self.metas.clear();
        let mut names = [const { MaybeUninit::<SockAddrStorage>::uninit() }; BATCH];
        let mut controls = [const { MaybeUninit::<Control>::uninit() }; BATCH];
        let mut vectors = [const { MaybeUninit::<libc::iovec>::uninit() }; BATCH];
        // SAFETY: all-zero bytes are a valid `mmsghdr`: null pointers and zero lengths.
        let mut headers: [libc::mmsghdr; BATCH] = unsafe { mem::zeroed() };
        for (i, (header, buffer)) in
            headers.iter_mut().zip(self.buffers.chunks_exact_mut(BUFFER)).enumerate()
        {
            vectors[i].write(libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: BUFFER });
            let header = &mut header.msg_hdr;
            header.msg_name = names[i].as_mut_ptr().cast();
            header.msg_namelen = size_of::<SockAddrStorage>() as libc::socklen_t;
            header.msg_iov = vectors[i].as_mut_ptr();
            header.msg_iovlen = 1;
            header.msg_control = controls[i].as_mut_ptr().cast();
            header.msg_controllen = CONTROL as _;
        }
        // SAFETY: every header points at a name, a vector, a buffer and control room of the length
        // it states; all of them are exclusively ours and outlive the call.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
            )
        };
        let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
        for header in &headers[..received] {
            // SAFETY: the kernel filled this header, and what it points at is still alive.
            self.metas.push(unsafe { read_meta(header) });
        }
        Ok(received)
    }

    /// The `i`th datagram of the last batch.
    pub(crate) fn datagram(&self, i: usize) -> (&[u8], Meta) {
        let meta = self.metas[i];
        (&self.buffers[i * BUFFER..][..meta.len], meta)
    }
}

/// # Safety
/// The header must have been filled by `recvmmsg` with valid name and control pointers.
unsafe fn read_meta(header: &libc::mmsghdr) -> Meta {
    let message = &header.msg_hdr;
    let len = (header.msg_len as usize).min(BUFFER);
    // SAFETY: the name points at a `SockAddrStorage` of which the kernel wrote `msg_namelen` bytes;
    // for IPv4 and IPv6, the only families of our sockets, that is the whole address.
    let remote = unsafe {
        let mut storage = SockAddrStorage::zeroed();
        let written = (message.msg_namelen as usize).min(size_of::<SockAddrStorage>());
        ptr::copy_nonoverlapping(
            message.msg_name.cast::<u8>(),
            ptr::from_mut(&mut storage).cast::<u8>(),
            written,
        );
        SockAddr::new(storage, message.msg_namelen).as_socket()
    };
    let mut meta = Meta { len, remote, local: None, dropped: None };
    // SAFETY: the kernel wrote `msg_controllen` bytes of whole control messages; the macros stay
    // inside them, and each payload is read unaligned with the type its level and kind define.
    unsafe {
        let mut control = libc::CMSG_FIRSTHDR(message);
        while let Some(head) = control.as_ref() {
            let data = libc::CMSG_DATA(head);
            match (head.cmsg_level, head.cmsg_type) {
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    let info = data.cast::<libc::in_pktinfo>().read_unaligned();
                    meta.local =
                        Some(Ipv4Addr::from(info.ipi_spec_dst.s_addr.to_ne_bytes()).into());
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    let info = data.cast::<libc::in6_pktinfo>().read_unaligned();
                    meta.local = Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into());
                }
                (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => {
                    meta.dropped = Some(data.cast::<u32>().read_unaligned());
                }
                _ => {}
            }
            control = libc::CMSG_NXTHDR(message, head);
        }
    }
    meta
}

/// A datagram to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Datagram {
    pub(crate) to: SocketAddr,
    /// Source address to set, on a socket bound to the wildcard address.
    pub(crate) from: Option<IpAddr>,
    pub(crate) bytes: Bytes,
}

/// Sends the first [`BATCH`] of `datagrams` without waiting; returns how many left. An error
/// concerns the first one.
pub(crate) fn send(socket: BorrowedFd<'_>, datagrams: &[Datagram]) -> io::Result<usize> {
    let count = datagrams.len().min(BATCH);
    let mut names = [const { MaybeUninit::<SockAddr>::uninit() }; BATCH];
    let mut controls = [const { MaybeUninit::<Control>::uninit() }; BATCH];
    let mut vectors = [const { MaybeUninit::<libc::iovec>::uninit() }; BATCH];
    // SAFETY: all-zero bytes are a valid `mmsghdr`.
    let mut headers: [libc::mmsghdr; BATCH] = unsafe { mem::zeroed() };
    for (i, datagram) in datagrams[..count].iter().enumerate() {
        let name = names[i].write(SockAddr::from(datagram.to));
        let base = datagram.bytes.as_ptr().cast_mut().cast();
        vectors[i].write(libc::iovec { iov_base: base, iov_len: datagram.bytes.len() });
        let header = &mut headers[i].msg_hdr;
        header.msg_name = name.as_ptr().cast_mut().cast();
        header.msg_namelen = name.len();
        header.msg_iov = vectors[i].as_mut_ptr();
        header.msg_iovlen = 1;
        if let Some(from) = datagram.from {
            header.msg_control = ptr::from_mut(controls[i].write(Control([0; CONTROL]))).cast();
            header.msg_controllen = CONTROL as _;
            // SAFETY: the control room is zeroed, aligned and of the length just stated.
            header.msg_controllen = unsafe { write_source(header, from) } as _;
        }
    }
    // SAFETY: `count` headers are initialised; all they point at outlives the call, and the kernel
    // only reads it.
    let sent = unsafe {
        libc::sendmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr(),
            count as libc::c_uint,
            libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
        )
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Writes the packet information that sets the source address; returns its length.
///
/// # Safety
/// `header` must point at [`CONTROL`] bytes of zeroed, aligned control room.
unsafe fn write_source(header: &libc::msghdr, from: IpAddr) -> usize {
    // SAFETY: both kinds fit in `CONTROL` bytes, so the first header exists and its payload has
    // room; interface 0 lets the routing table choose.
    unsafe {
        let Some(head) = libc::CMSG_FIRSTHDR(header).as_mut() else { return 0 };
        match from {
            IpAddr::V4(ip) => {
                let size = size_of::<libc::in_pktinfo>() as libc::c_uint;
                head.cmsg_level = libc::IPPROTO_IP;
                head.cmsg_type = libc::IP_PKTINFO;
                head.cmsg_len = libc::CMSG_LEN(size) as _;
                let mut info: libc::in_pktinfo = mem::zeroed();
                info.ipi_spec_dst.s_addr = u32::from_ne_bytes(ip.octets());
                libc::CMSG_DATA(head).cast::<libc::in_pktinfo>().write_unaligned(info);
                libc::CMSG_SPACE(size) as usize
            }
            IpAddr::V6(ip) => {
                let size = size_of::<libc::in6_pktinfo>() as libc::c_uint;
                head.cmsg_level = libc::IPPROTO_IPV6;
                head.cmsg_type = libc::IPV6_PKTINFO;
                head.cmsg_len = libc::CMSG_LEN(size) as _;
                let mut info: libc::in6_pktinfo = mem::zeroed();
                info.ipi6_addr.s6_addr = ip.octets();
                libc::CMSG_DATA(head).cast::<libc::in6_pktinfo>().write_unaligned(info);
                libc::CMSG_SPACE(size) as usize
            }
        }
    }
}

/// Registers a socket with the runtime of the current thread, for reading only: a wake-up for every
/// datagram that has left would be one too many.
pub(crate) fn register(socket: UdpSocket) -> io::Result<AsyncFd<UdpSocket>> {
    // SAFETY: the socket owns its descriptor, and `AsyncFd` gives out no way to replace it.
    Ok(unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }?)
}

/// A socket option whose value is an integer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum IntOption {
    /// Say to which IPv4 address each datagram was sent.
    PacketInfoV4,
    /// Say to which IPv6 address each datagram was sent.
    PacketInfoV6,
    /// Say how many datagrams were dropped.
    DropCount,
    /// Receive buffer beyond the system's limit; needs a privilege.
    ReceiveBufferForce,
}

/// Sets a socket option.
pub(crate) fn set_option(fd: BorrowedFd<'_>, option: IntOption, value: i32) -> io::Result<()> {
    let (level, name) = match option {
        IntOption::PacketInfoV4 => (libc::IPPROTO_IP, libc::IP_PKTINFO),
        IntOption::PacketInfoV6 => (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO),
        IntOption::DropCount => (libc::SOL_SOCKET, libc::SO_RXQ_OVFL),
        IntOption::ReceiveBufferForce => (libc::SOL_SOCKET, libc::SO_RCVBUFFORCE),
    };
    // SAFETY: the value is an `int` that outlives the call, and its size is stated.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            name,
            ptr::from_ref(&value).cast(),
            size_of::<i32>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn a_batch_goes_out_and_comes_in_with_both_addresses() {
        for (bind, option, from) in [
            ("0.0.0.0:0", IntOption::PacketInfoV4, "127.0.0.3"),
            ("[::]:0", IntOption::PacketInfoV6, "::1"),
        ] {
            let socket = UdpSocket::bind(bind).unwrap();
            set_option(socket.as_fd(), option, 1).unwrap();
            set_option(socket.as_fd(), IntOption::DropCount, 1).unwrap();
            let from: IpAddr = from.parse().unwrap();
            let to = SocketAddr::new(from, socket.local_addr().unwrap().port());
            let datagrams: Vec<_> = (0..BATCH + 3)
                .map(|i| Datagram { to, from: Some(from), bytes: vec![b'x'; i * 100].into() })
                .collect();
            assert_eq!(send(socket.as_fd(), &datagrams).unwrap(), BATCH);
            let mut batch = Batch::new();
            assert_eq!(batch.receive(socket.as_fd()).unwrap(), BATCH);
            for i in 0..BATCH {
                let (bytes, meta) = batch.datagram(i);
                assert_eq!(bytes.len(), i * 100);
                assert_eq!((meta.remote, meta.local), (Some(to), Some(from)));
            }
            let empty = batch.receive(socket.as_fd()).unwrap_err();
            assert_eq!(empty.kind(), io::ErrorKind::WouldBlock);
        }
    }

    #[test]
    fn an_error_names_the_first_datagram() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = socket.local_addr().unwrap();
        let datagrams = [
            Datagram { to, from: None, bytes: vec![0; 70_000].into() },
            Datagram { to, from: None, bytes: vec![0; 10].into() },
        ];
        assert!(send(socket.as_fd(), &datagrams).is_err());
        assert_eq!(send(socket.as_fd(), &datagrams[1..]).unwrap(), 1);
    }
}
