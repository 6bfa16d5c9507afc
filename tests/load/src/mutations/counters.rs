//! What the server says that it has read.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::SocketAddr;

use super::Played;
use crate::web::{Client, request};

/// Counters of what was not read, and must stay where they were.
const UNREAD: [&str; 4] = ["udp_kernel_dropped", "refused_rate", "refused_banned", "refused_room"];

/// How the cases go there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    Nothing,
    Datagrams,
    Streams,
}

/// The counters of the transports at one time, by name.
#[derive(Debug)]
pub(super) struct Counters(BTreeMap<String, u64>);

impl Counters {
    /// # Errors
    /// When the page of metrics cannot be had.
    pub(super) fn of(api: SocketAddr) -> Result<Self, Box<dyn Error>> {
        let (status, page) = Client::open(api)?.ask(&request("GET", "/metrics", ""))?;
        if status != 200 {
            return Err(format!("no metrics: {status} {page}").into());
        }
        let counter = |line: &str| {
            let (name, value) = line.rsplit_once(' ')?;
            let name = name.strip_prefix("hookflash_sip_")?.strip_suffix("_total")?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        Ok(Self(page.lines().filter_map(counter).collect()))
    }

    fn since(&self, before: &Self, name: &str) -> Result<u64, Box<dyn Error>> {
        let of = |counters: &Self| counters.0.get(name).copied();
        match (of(self), of(before)) {
            (Some(now), Some(then)) => Ok(now - then),
            (None, _) | (_, None) => Err(format!("no counter {name}").into()),
        }
    }

    /// Whether everything played since `before` has been read: of streams exactly what there was in
    /// them, of datagrams at least (phones answer what comes of some).
    ///
    /// # Errors
    /// What was not read.
    pub(super) fn show(
        &self,
        before: &Self,
        over: Over,
        played: &Played,
    ) -> Result<(), Box<dyn Error>> {
        for name in UNREAD {
            match self.since(before, name)? {
                0 => {}
                count => return Err(format!("{name}: {count}").into()),
            }
        }
        let received = |name| self.since(before, name);
        let (is_read, counted) = match over {
            Over::Nothing => return Ok(()),
            Over::Datagrams => {
                let counted = received("udp_received")?;
                (counted >= played.messages, (counted, 0))
            }
            Over::Streams => {
                let counted = (received("stream_received")?, received("stream_broken")?);
                (counted == (played.messages, played.broken), counted)
            }
        };
        match is_read {
            true => Ok(()),
            false => Err(format!("{played:?}, and the server has read {counted:?}").into()),
        }
    }
}
