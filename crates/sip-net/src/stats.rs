//! Counters of the shell.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counters since the start, shared by both threads.
        #[derive(Debug, Default)]
        pub struct Stats {
            $(pub(crate) $name: Counter,)*
        }

        /// The values of [`Stats`] at one time.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Snapshot {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Stats {
            /// All values now.
            pub fn snapshot(&self) -> Snapshot {
                Snapshot { $($name: self.$name.value(),)* }
            }
        }

        impl Snapshot {
            /// Every counter with its name, for the metrics page.
            pub fn entries(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }
        }
    };
}

counters! {
    /// Datagrams received.
    udp_received,
    /// Datagrams sent.
    udp_sent,
    /// Datagrams dropped because the send buffer was full.
    udp_send_dropped,
    /// Datagrams the system refused to send.
    udp_send_failed,
    /// Datagrams the kernel dropped because the receive buffer was full.
    udp_kernel_dropped,
    /// Keep-alives and other datagrams too short for SIP.
    udp_short,
    /// Datagrams that are not SIP and cannot be answered.
    udp_garbage,
    /// STUN binding requests answered (RFC 5626 §4.4.2).
    stun_answered,
    /// Messages of sources that sent too many.
    refused_rate,
    /// Messages and connections of banned sources.
    refused_banned,
    /// Connections accepted.
    accepted,
    /// Connections refused, or displaced, for want of room.
    refused_room,
    /// Connections we opened.
    connected,
    /// Connections we failed to open.
    connect_failed,
    /// TLS and WebSocket handshakes that failed.
    handshake_failed,
    /// Messages received on connections.
    stream_received,
    /// Messages queued to connections.
    stream_sent,
    /// Connections closed because their reader was deaf.
    stream_deaf,
    /// Connections closed for a time-out.
    stream_timeout,
    /// Connections closed for what they sent.
    stream_broken,
    /// Name look-ups.
    look_ups,
    /// Panics of the core that were caught.
    panics,
}

/// One counter.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn one(&self) {
        self.add(1);
    }

    fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
