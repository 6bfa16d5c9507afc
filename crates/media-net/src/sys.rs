//! The system calls that neither `std` nor `socket2` offer. The only place with `unsafe`.
#![allow(unsafe_code)]

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use media::rtp::DATAGRAM_MAX;
use socket2::{SockAddr, SockAddrStorage};

/// Sockets told ready by one system call.
const EVENTS: usize = 256;

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Takes ownership of a descriptor a system call has just made.
fn own(result: libc::c_int) -> io::Result<OwnedFd> {
    let fd = check(result)?;
    // SAFETY: the descriptor is new and valid, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Processor time of the calling thread so far.
pub(crate) fn thread_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the variable lives over the call, which fails for clocks only that there are not.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Tells which sockets have something to read, for as long as they have (level-triggered).
pub(crate) struct Epoll {
    fd: OwnedFd,
    events: Box<[libc::epoll_event; EVENTS]>,
}

impl Epoll {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no memory is passed.
        let fd = own(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        Ok(Self { fd, events: Box::new([libc::epoll_event { events: 0, u64: 0 }; EVENTS]) })
    }

    /// Watches a descriptor until it is closed.
    pub(crate) fn add(&self, fd: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: token };
        // SAFETY: both descriptors are open, `event` lives over the call.
        check(unsafe {
            libc::epoll_ctl(
                self.fd.as_raw_fd(),
                libc::EPOLL_CTL_ADD,
                fd.as_raw_fd(),
                &raw mut event,
            )
        })?;
        Ok(())
    }

    /// Watches a descriptor no more, though it stays open.
    pub(crate) fn remove(&self, fd: BorrowedFd<'_>) {
        // SAFETY: both descriptors are open; no memory is passed. Fails only for what is not watched.
        unsafe {
            libc::epoll_ctl(
                self.fd.as_raw_fd(),
                libc::EPOLL_CTL_DEL,
                fd.as_raw_fd(),
                ptr::null_mut(),
            )
        };
    }

    /// Waits for something to read. How many are ready.
    pub(crate) fn wait(&mut self) -> usize {
        // SAFETY: the array has EVENTS elements and lives over the call.
        let ready = unsafe {
            libc::epoll_wait(
                self.fd.as_raw_fd(),
                self.events.as_mut_ptr(),
                EVENTS as libc::c_int,
                -1,
            )
        };
        // The only error of a correct call is EINTR: nothing is ready.
        usize::try_from(ready).unwrap_or(0)
    }

    /// The token of the `index`th that is ready.
    pub(crate) fn token(&self, index: usize) -> u64 {
        self.events[index].u64
    }
}

/// Wakes a thread out of [`Epoll::wait`].
pub(crate) struct Waker {
    fd: OwnedFd,
    /// Woken and not yet awake: to wake it again would be a system call for nothing.
    rung: AtomicBool,
}

impl Waker {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no memory is passed.
        let fd = own(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
        Ok(Self { fd, rung: AtomicBool::new(false) })
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Call it after what the thread shall find is there.
    pub(crate) fn wake(&self) {
        if self.rung.swap(true, Ordering::SeqCst) {
            return;
        }
        let one = 1u64;
        // SAFETY: 8 bytes of a live variable are read. It fails only when the counter is full, and
        // then the thread is awake anyway.
        unsafe { libc::write(self.fd.as_raw_fd(), (&raw const one).cast(), 8) };
    }

    /// Call it before looking at what is there.
    pub(crate) fn clear(&self) {
        read_counter(&self.fd);
        self.rung.store(false, Ordering::SeqCst);
    }
}

/// A timer that fires periodically at absolute times.
pub(crate) struct Ticker(OwnedFd);

impl Ticker {
    pub(crate) fn new() -> io::Result<Self> {
        let flags = libc::TFD_CLOEXEC | libc::TFD_NONBLOCK;
        // SAFETY: no memory is passed.
        own(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) }).map(Self)
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Fires every `period` (under a second) from now on; zero stops it.
    pub(crate) fn set(&self, period: Duration) -> io::Result<()> {
        let nanos = libc::c_long::from(period.subsec_nanos() as i32);
        let period = libc::timespec { tv_sec: 0, tv_nsec: nanos };
        let spec = libc::itimerspec { it_interval: period, it_value: period };
        // SAFETY: `spec` lives over the call; the old value is not asked for.
        check(unsafe {
            libc::timerfd_settime(self.0.as_raw_fd(), 0, &raw const spec, ptr::null_mut())
        })?;
        Ok(())
    }

    /// How often it has fired since the last call.
    pub(crate) fn fired(&self) -> u64 {
        read_counter(&self.0)
    }
}

fn read_counter(fd: &OwnedFd) -> u64 {
    let mut count = 0u64;
    // SAFETY: at most 8 bytes are written into a live variable.
    let read = unsafe { libc::read(fd.as_raw_fd(), (&raw mut count).cast(), 8) };
    if read == 8 { count } else { 0 }
}

/// Datagrams read by one system call.
pub(crate) const BATCH: usize = 4;
/// Room for a time stamp (`cmsghdr` and `timespec`), in words, so that it is aligned.
const CONTROL: usize = 8;

/// Room for what a socket has received, with the kernel's times of arrival.
pub(crate) struct Batch {
    buffers: Box<[[u8; DATAGRAM_MAX + 1]; BATCH]>,
    arrivals: [Arrived; BATCH],
}

/// How a datagram came.
#[derive(Clone, Copy)]
struct Arrived {
    len: usize,
    from: Option<SocketAddr>,
    /// Nanoseconds since 1970, when the socket notes it.
    at: Option<u64>,
}

impl Batch {
    pub(crate) fn new() -> Self {
        let nothing = Arrived { len: 0, from: None, at: None };
        Self { buffers: Box::new([[0; DATAGRAM_MAX + 1]; BATCH]), arrivals: [nothing; BATCH] }
    }

    /// Reads what is there, without waiting; how many datagrams.
    pub(crate) fn receive(&mut self, socket: BorrowedFd<'_>) -> usize {
        let mut names: [_; BATCH] = std::array::from_fn(|_| SockAddrStorage::zeroed());
        let mut controls = [[0u64; CONTROL]; BATCH];
        // SAFETY: plain C structures for which zeros are a valid value.
        let (mut slices, mut headers): ([libc::iovec; BATCH], [libc::mmsghdr; BATCH]) =
            unsafe { mem::zeroed() };
        for i in 0..BATCH {
            let buffer = &mut self.buffers[i];
            slices[i] = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
            let header = &mut headers[i].msg_hdr;
            header.msg_name = (&raw mut names[i]).cast();
            header.msg_namelen = names[i].size_of();
            header.msg_iov = &raw mut slices[i];
            header.msg_iovlen = 1;
            header.msg_control = controls[i].as_mut_ptr().cast();
            header.msg_controllen = size_of_val(&controls[i]);
        }
        // SAFETY: every header points at a name, a slice and control room of the lengths it states,
        // all of which live over the call.
        let received = unsafe {
            let (fd, count) = (socket.as_raw_fd(), BATCH as libc::c_uint);
            libc::recvmmsg(fd, headers.as_mut_ptr(), count, libc::MSG_DONTWAIT, ptr::null_mut())
        };
        let received = usize::try_from(received).unwrap_or(0);
        for (i, (header, name)) in headers[..received].iter().zip(names).enumerate() {
            // SAFETY: the kernel wrote an address of the family and length that it states.
            let from = unsafe { SockAddr::new(name, header.msg_hdr.msg_namelen) };
            let (len, from, at) = (header.msg_len as usize, from.as_socket(), arrival(header));
            self.arrivals[i] = Arrived { len, from, at };
        }
        received
    }

    /// The `i`th of those just read: whom it is from, when it came, and what it says; one too long
    /// for RTP comes out empty.
    pub(crate) fn datagram(&mut self, i: usize) -> Option<(SocketAddr, Option<u64>, &mut [u8])> {
        let Arrived { len, from, at } = self.arrivals[i];
        let len = if len > DATAGRAM_MAX { 0 } else { len };
        Some((from?, at, &mut self.buffers[i][..len]))
    }
}

/// The kernel's time of arrival, nanoseconds since 1970.
fn arrival(header: &libc::mmsghdr) -> Option<u64> {
    // SAFETY: the header was filled by recvmmsg and its control room is alive.
    let control = unsafe { libc::CMSG_FIRSTHDR(&raw const header.msg_hdr).as_ref() }?;
    if (control.cmsg_level, control.cmsg_type) != (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) {
        return None;
    }
    // SAFETY: the type says what the data is; it may be unaligned.
    let time: libc::timespec = unsafe { ptr::read_unaligned(libc::CMSG_DATA(control).cast()) };
    let seconds = u64::try_from(time.tv_sec).ok()?;
    seconds.checked_mul(1_000_000_000)?.checked_add(u64::try_from(time.tv_nsec).ok()?)
}

/// Has the kernel note when datagrams come, or note it no more.
pub(crate) fn note_arrivals(socket: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    let on = libc::c_int::from(on);
    // SAFETY: the option's value lives over the call and has the length told.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_TIMESTAMPNS,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    })?;
    Ok(())
}

/// Undoes `connect` of a datagram socket: anybody may send to it again.
pub(crate) fn disconnect(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: a plain C structure for which zeros are a valid value.
    let mut nobody: libc::sockaddr = unsafe { mem::zeroed() };
    nobody.sa_family = libc::AF_UNSPEC as libc::sa_family_t;
    let len = size_of::<libc::sockaddr>() as libc::socklen_t;
    // SAFETY: the address lives over the call.
    check(unsafe { libc::connect(fd.as_raw_fd(), &raw const nobody, len) })?;
    Ok(())
}

/// Asks for real-time scheduling of this thread; true when it was granted. Otherwise the thread
/// gets a better share than others, as far as permitted.
pub(crate) fn schedule(realtime: bool) -> bool {
    /// Above ordinary threads, below the kernel's own interrupt threads (50).
    const PRIORITY: libc::c_int = 10;
    const NICE: libc::c_int = -10;
    if realtime {
        let param = libc::sched_param { sched_priority: PRIORITY };
        // SAFETY: `param` lives over the call; 0 is the calling thread.
        if unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const param) } == 0 {
            return true;
        }
    }
    // SAFETY: no memory is passed; on Linux, 0 is the calling thread.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) };
    false
}
