//! The core thread's side of connections: which there are, and what waits to be written on them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use b2bua::io::Input;
use bytes::Bytes;
use sip::transaction::TransactionId;
use sip::transport::{FlowId, Transport};
use tokio::sync::{Notify, mpsc};

/// Messages waiting to be written per connection, whatever their size.
const QUEUE_MESSAGES_MAX: usize = 1_024;

/// What a connection tells the core's thread, in order.
// Almost all are inputs; a box for each would cost more than the few small ones waste.
#[expect(clippy::large_enum_variant)]
#[derive(Debug)]
pub(crate) enum ToCore {
    /// A connection was accepted and may be written to.
    Opened { flow: FlowId, peer: Option<Peer>, handle: Handle },
    /// Something for the core.
    Input(Input),
    /// A connection is gone; the core is told only if it ever stood.
    Closed { flow: FlowId, stood: bool },
}

/// For whom a connection may be reused: transport, address, verified name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Peer {
    pub(crate) transport: Transport,
    pub(crate) addr: SocketAddr,
    pub(crate) tls_name: Option<Arc<str>>,
}

/// One message to be written.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) bytes: Bytes,
    pub(crate) transaction: Option<TransactionId>,
}

/// What both sides of a connection see.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Bytes queued and being written.
    pub(crate) queued: AtomicUsize,
    /// Ends the connection at once, without writing the rest.
    pub(crate) kill: Arc<Notify>,
}

/// The sending end of a connection. Dropped: the connection ends after what was queued.
#[derive(Debug)]
pub(crate) struct Handle {
    queue: mpsc::Sender<Outgoing>,
    shared: Arc<Shared>,
}

/// The receiving end, for the connection's task.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) queue: mpsc::Receiver<Outgoing>,
    /// For the connection's own keep-alive answers; does not keep the connection open.
    pub(crate) own: mpsc::WeakSender<Outgoing>,
    pub(crate) shared: Arc<Shared>,
}

/// A new connection's two ends.
pub(crate) fn channel(shared: Arc<Shared>) -> (Handle, Queue) {
    let (sender, queue) = mpsc::channel(QUEUE_MESSAGES_MAX);
    let own = sender.downgrade();
    (Handle { queue: sender, shared: shared.clone() }, Queue { queue, own, shared })
}

/// Why a message was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// No such connection, or it is ending.
    Gone,
    /// The reader is deaf: the connection was closed.
    Deaf,
}

/// All connections.
#[derive(Debug)]
pub(crate) struct Flows {
    queue_bytes_max: usize,
    // `None`: closed by us, its task has not said goodbye yet.
    open: HashMap<FlowId, (Option<Handle>, Option<Peer>)>,
    by_peer: HashMap<Peer, FlowId>,
}

impl Flows {
    pub(crate) fn new(queue_bytes_max: usize) -> Self {
        Self { queue_bytes_max, open: HashMap::new(), by_peer: HashMap::new() }
    }

    pub(crate) fn insert(&mut self, flow: FlowId, peer: Option<Peer>, handle: Handle) {
        if let Some(peer) = &peer {
            self.by_peer.insert(peer.clone(), flow);
        }
        self.open.insert(flow, (Some(handle), peer));
    }

    pub(crate) fn find(&self, peer: &Peer) -> Option<FlowId> {
        self.by_peer.get(peer).copied()
    }

    pub(crate) fn queue(&mut self, flow: FlowId, message: Outgoing) -> Result<(), Refused> {
        let Some((Some(handle), _)) = self.open.get(&flow) else { return Err(Refused::Gone) };
        let len = message.bytes.len();
        let before = handle.shared.queued.fetch_add(len, Ordering::Relaxed);
        let full = before > 0 && before + len > self.queue_bytes_max;
        let error = match full {
            true => Refused::Deaf,
            false => match handle.queue.try_send(message) {
                Ok(()) => return Ok(()),
                Err(mpsc::error::TrySendError::Full(_)) => Refused::Deaf,
                Err(mpsc::error::TrySendError::Closed(_)) => Refused::Gone,
            },
        };
        if error == Refused::Deaf {
            handle.shared.kill.notify_one();
        }
        self.close(flow);
        Err(error)
    }

    /// Lets a connection end after what was queued.
    pub(crate) fn close(&mut self, flow: FlowId) {
        if let Some((handle, peer)) = self.open.get_mut(&flow) {
            *handle = None;
            if let Some(peer) = peer.take()
                && self.by_peer.get(&peer) == Some(&flow)
            {
                self.by_peer.remove(&peer);
            }
        }
    }

    /// A connection's task has ended.
    pub(crate) fn remove(&mut self, flow: FlowId) {
        self.close(flow);
        self.open.remove(&flow);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(len: usize) -> Outgoing {
        Outgoing { bytes: vec![0; len].into(), transaction: None }
    }

    fn peer(port: u16) -> Peer {
        let addr = SocketAddr::from(([192, 0, 2, 1], port));
        Peer { transport: Transport::Tcp, addr, tls_name: None }
    }

    #[tokio::test]
    async fn a_deaf_reader_is_cut_off_at_the_bound() {
        let (mut flows, flow) = (Flows::new(1000), FlowId(7));
        let shared = Arc::new(Shared::default());
        let (handle, mut queue) = channel(shared.clone());
        flows.insert(flow, Some(peer(5060)), handle);
        assert_eq!(flows.find(&peer(5060)), Some(flow));
        assert_eq!(flows.queue(flow, message(900)), Ok(()));
        assert_eq!(flows.queue(flow, message(101)), Err(Refused::Deaf));
        shared.kill.notified().await;
        assert_eq!(flows.queue(flow, message(1)), Err(Refused::Gone));
        assert_eq!(flows.find(&peer(5060)), None);
        assert!(queue.queue.recv().await.is_some() && queue.queue.recv().await.is_none());
    }

    #[test]
    fn many_small_messages_are_bounded_too_and_one_large_one_always_fits() {
        let (mut flows, flow) = (Flows::new(100), FlowId(7));
        let (handle, _queue) = channel(Arc::default());
        flows.insert(flow, None, handle);
        for _ in 0..QUEUE_MESSAGES_MAX {
            assert_eq!(flows.queue(flow, message(0)), Ok(()));
        }
        assert_eq!(flows.queue(flow, message(0)), Err(Refused::Deaf));
        let (handle, _queue) = channel(Arc::default());
        flows.insert(FlowId(8), None, handle);
        assert_eq!(flows.queue(FlowId(8), message(101)), Ok(()));
    }

    #[test]
    fn a_later_connection_to_the_same_peer_survives_the_earlier_ones_end() {
        let mut flows = Flows::new(100);
        let ends = [7, 8].map(|flow| {
            let (handle, queue) = channel(Arc::default());
            flows.insert(FlowId(flow), Some(peer(1)), handle);
            queue
        });
        flows.remove(FlowId(7));
        assert_eq!(flows.find(&peer(1)), Some(FlowId(8)));
        assert!(ends[0].queue.is_closed() && !ends[1].queue.is_closed());
    }
}
