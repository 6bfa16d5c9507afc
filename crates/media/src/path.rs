//! The way to a peer before there are media: ICE finds it, DTLS makes its keys.
//!
//! Holds the one rule that neither part can keep alone: no record of DTLS is looked at, and none
//! is answered, unless it came from where the peer is known to be. With ICE that is a source whose
//! check was authentic; without, one that the caller vouches for.
//!
//! ```text
//!  datagram ─▶ kind ─┬─ STUN ─▶ Ice ── Selected ──▶ Dtls::start
//!                    ├─ DTLS ─▶ from a valid source? ─▶ Dtls ── Keyed ─▶ Srtp
//!                    └─ RTP  ─▶ from a valid source? ─▶ Srtp, the caller's
//! ```

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use base::Time;
use serde::{Deserialize, Serialize};

use crate::dtls::{self, Dtls, Failure, Identity, Peer};
use crate::ice::{self, Credentials, Ice, Kind};
use crate::srtp::Keying;

/// What has become of the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// Media go here from now on.
    Selected(SocketAddr),
    /// The peer has not checked for [`ice::CONSENT`]: nothing more may be sent.
    ConsentLost,
    /// The keys of the media.
    Keyed(Keying),
    /// There will be no keys.
    Failed(Failure),
}

/// The way to one peer, where it needs finding or keys of its own.
#[derive(Debug, Default)]
pub struct Path {
    ice: Option<Ice>,
    dtls: Option<Dtls>,
    events: VecDeque<Event>,
    /// The last source of DTLS, where there is no ICE to say where the peer is.
    from: Option<SocketAddr>,
    /// Where the description has it.
    remote: Option<SocketAddr>,
    reply: Vec<u8>,
    strays: u64,
}

impl Path {
    /// What offer/answer agreed on. Equal credentials go on, others are an ICE restart; an equal
    /// peer is the same association, another a new one. Without ICE, `remote` is where a DTLS
    /// client begins.
    pub fn configure(
        &mut self,
        now: Time,
        ice: Option<Credentials>,
        dtls: Option<(&Arc<Identity>, Peer)>,
        remote: Option<SocketAddr>,
        mut send: impl FnMut(SocketAddr, &[u8]),
    ) {
        match (ice, &mut self.ice) {
            (Some(credentials), Some(ice)) => ice.restart(credentials),
            (Some(credentials), none @ None) => *none = Some(Ice::new(credentials)),
            (None, some) => *some = None,
        }
        let goes_on = |peer: &Peer| self.dtls.as_ref().is_some_and(|dtls| dtls.peer() == peer);
        match dtls {
            Some((_, peer)) if goes_on(&peer) => {}
            Some((identity, peer)) => self.dtls = Some(Dtls::new(identity.clone(), peer)),
            None => self.dtls = None,
        }
        // A peer that has moved is looked for at its new place.
        if self.ice.is_none() && remote.is_some() && remote != self.remote {
            (self.from, self.remote) = (remote, remote);
        }
        self.start(now, &mut send);
    }

    /// Goes on after a restart of the process, with the keys the former one has made.
    pub fn resume(
        now: Time,
        ice: Option<(Credentials, SocketAddr)>,
        dtls: Option<(&Arc<Identity>, Peer)>,
    ) -> Self {
        Self {
            ice: ice.map(|(credentials, selected)| Ice::resume(now, credentials, selected)),
            dtls: dtls.map(|(identity, peer)| Dtls::resume(identity.clone(), peer)),
            ..Self::default()
        }
    }

    /// Whether media of this source may be looked at; `None` without ICE, when the latch says.
    pub fn admits(&self, from: SocketAddr) -> Option<bool> {
        self.ice.as_ref().map(|ice| ice.is_valid(from))
    }

    /// Where media go: `None` without ICE, when the latch says, and `Some(None)` while ICE has
    /// nobody to send to.
    pub fn target(&self) -> Option<Option<SocketAddr>> {
        self.ice.as_ref().map(Ice::selected)
    }

    /// Whether media wait for keys that only the association will make.
    pub const fn makes_keys(&self) -> bool {
        self.dtls.is_some()
    }

    /// Whether these keys are there already.
    pub fn is_keyed(&self) -> bool {
        self.dtls.as_ref().is_some_and(Dtls::is_keyed)
    }

    /// How many datagrams of strangers, and of nonsense, were dropped.
    pub fn strays(&self) -> u64 {
        self.strays + self.ice.as_ref().map_or(0, Ice::ignored)
    }

    /// Takes a datagram that is no media. `fits` is whether its source is as the description and
    /// the latch have it; with ICE it does not count.
    pub fn handle(
        &mut self,
        now: Time,
        from: SocketAddr,
        fits: bool,
        datagram: &[u8],
        mut send: impl FnMut(SocketAddr, &[u8]),
    ) {
        match ice::kind(datagram) {
            Some(Kind::Stun) => self.stun(now, from, datagram, &mut send),
            Some(Kind::Dtls) if self.admits(from).unwrap_or(fits) => {
                self.from = Some(from);
                let event = self.dtls.as_mut().and_then(|dtls| dtls.handle(now, datagram));
                self.tell(event);
                self.flush(&mut send);
            }
            Some(Kind::Dtls | Kind::Rtp) | None => self.strays += 1,
        }
    }

    /// The next thing the caller should know.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    pub fn poll_timeout(&self) -> Option<Time> {
        let ice = self.ice.as_ref().and_then(Ice::poll_timeout);
        let dtls = self.dtls.as_ref().and_then(Dtls::poll_timeout);
        ice.into_iter().chain(dtls).min()
    }

    /// Repeats and gives up what is due.
    pub fn handle_timeout(&mut self, now: Time, mut send: impl FnMut(SocketAddr, &[u8])) {
        if self.ice.as_mut().and_then(|ice| ice.handle_timeout(now)).is_some() {
            self.events.push_back(Event::ConsentLost);
        }
        let event = self.dtls.as_mut().and_then(|dtls| dtls.handle_timeout(now));
        self.tell(event);
        self.flush(&mut send);
    }

    fn stun(
        &mut self,
        now: Time,
        from: SocketAddr,
        datagram: &[u8],
        send: &mut impl FnMut(SocketAddr, &[u8]),
    ) {
        let Some(ice) = &mut self.ice else {
            self.strays += 1;
            return;
        };
        let Ok(event) = ice.handle(now, from, datagram, &mut self.reply) else { return };
        send(from, &self.reply);
        if let Some(ice::Event::Selected(to)) = event {
            self.events.push_back(Event::Selected(to));
            self.start(now, send);
        }
    }

    /// Opens the association as soon as there is somewhere to send to.
    fn start(&mut self, now: Time, send: &mut impl FnMut(SocketAddr, &[u8])) {
        if self.peer_at().is_some() {
            let event = self.dtls.as_mut().and_then(|dtls| dtls.start(now));
            self.tell(event);
            self.flush(send);
        }
    }

    fn tell(&mut self, event: Option<dtls::Event>) {
        self.events.extend(event.map(|event| match event {
            dtls::Event::Keyed(keying) => Event::Keyed(keying),
            dtls::Event::Failed(failure) => Event::Failed(failure),
        }));
    }

    /// Where DTLS goes: to the selected source, or before there is one to where a record of the
    /// peer came from.
    fn peer_at(&self) -> Option<SocketAddr> {
        match &self.ice {
            Some(ice) => ice.selected().or(self.from.filter(|from| ice.is_valid(*from))),
            None => self.from,
        }
    }

    fn flush(&mut self, send: &mut impl FnMut(SocketAddr, &[u8])) {
        let to = self.peer_at();
        while let Some(datagram) = self.dtls.as_mut().and_then(Dtls::poll_transmit) {
            // Without consent it is as if lost: the flight is repeated.
            if let Some(to) = to {
                send(to, &datagram);
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
