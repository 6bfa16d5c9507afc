//! How a leg's audio is protected, and how its peer is found: policy into negotiation, what was
//! agreed on into the engine's words.
//!
//! ```text
//!  srtp       offered to us                      we offer
//!  auto       plain, SDES, DTLS: as asked        DTLS to a WebSocket, SDES (RFC 8643) over TLS, else plain
//!  required   SDES, DTLS; plain is refused       DTLS to a WebSocket, else SDES
//!  dtls       DTLS only                          DTLS
//!  off        plain only                         plain
//! ```
//! Under `required` and `dtls` nothing falls back: who was offered keys and answers without gets no
//! call. Under `auto` who does not take the keys that are offered in a plain profile (RFC 8643) goes
//! without, which is logged; whoever asks for SRTP by the profile, or has had it, never does.

use call::record::LegProtection;
use media::command::PathConfig;
use media::dtls;
use media::ice::Credentials;
use media::path::Event;
use media::srtp::{Keying, MasterKey, Profile};
use sdp::{
    Asked, DtlsPeer, DtlsRole, Fingerprint, Hash, IceAgreed, Negotiation, Policy, Protection, Suite,
};
use sip::transport::Transport;

use super::SipLeg;
use crate::config::{Config, SrtpPolicy};

/// Which protection a leg takes that was offered `asked`, or was left the offer (`None`).
pub(super) fn taken(
    policy: SrtpPolicy,
    asked: Option<Option<Asked>>,
    transport: Transport,
    config: &Config,
) -> Policy {
    let Some(asked) = asked else { return offered(policy, transport, config) };
    let dtls = dtls(config).filter(|_| asked == Some(Asked::Dtls));
    match (policy, dtls) {
        (SrtpPolicy::Auto | SrtpPolicy::Required, Some(dtls)) => dtls,
        (SrtpPolicy::Auto, None) => sdes(false),
        (SrtpPolicy::Required, None) => sdes(true),
        (SrtpPolicy::Dtls, _) => self::dtls(config).unwrap_or_else(|| sdes(true)),
        (SrtpPolicy::Off, _) => Policy::Plain,
    }
}

/// Which protection a leg offers. Keys in the clear help nobody: they are offered where the
/// signalling is encrypted. Whoever comes by WebSocket is a browser, which takes DTLS and nothing
/// else (RFC 8827 §6.5).
pub(super) fn offered(policy: SrtpPolicy, transport: Transport, config: &Config) -> Policy {
    let is_browser = matches!(transport, Transport::Ws | Transport::Wss);
    match (policy, dtls(config)) {
        (SrtpPolicy::Auto | SrtpPolicy::Required, Some(dtls)) if is_browser => dtls,
        (SrtpPolicy::Dtls, Some(dtls)) => dtls,
        (SrtpPolicy::Auto, _) if transport.is_secure() => sdes(false),
        (SrtpPolicy::Auto | SrtpPolicy::Off, _) => Policy::Plain,
        (SrtpPolicy::Required | SrtpPolicy::Dtls, _) => sdes(true),
    }
}

fn dtls(config: &Config) -> Option<Policy> {
    let fingerprint = config.media.dtls.as_ref()?;
    Some(Policy::Dtls { fingerprint: in_description(fingerprint) })
}

fn sdes(required: bool) -> Policy {
    let suites = vec![Suite::AesCm128HmacSha1_80, Suite::AeadAes128Gcm, Suite::AesCm128HmacSha1_32];
    Policy::Sdes { required, suites, lifetime: required }
}

impl SipLeg {
    /// Remembers what has become of its stream's path; false: nothing that lasts.
    pub(crate) fn path_told(&mut self, event: &Event) {
        match event {
            Event::Selected(to) => self.found.to = Some(*to),
            Event::Keyed(keys) => self.found.keys = Some(keys.clone()),
            Event::ConsentLost => self.found.to = None,
            Event::Failed(_) => self.found.keys = None,
        }
    }

    /// Remembers how its audio is protected, and says so where keys were offered in vain.
    pub(super) fn note_protection(&mut self, protection: LegProtection) {
        let is_new = self.protection.replace(protection) != Some(protection);
        if is_new && self.negotiation().is_some_and(Negotiation::is_downgraded) {
            let (call, leg) = (self.call, self.id);
            tracing::warn!(%call, %leg, "SRTP was offered in vain: audio goes unprotected");
        }
    }

    /// How its peer is found and its keys are made. Another association has other keys: those of
    /// the former one are forgotten.
    pub(crate) fn path(&mut self) -> Option<PathConfig> {
        let agreed = self.agreed()?;
        let ice = agreed.ice.as_ref().map(credentials);
        let dtls = match &agreed.protection {
            Protection::Dtls(peer) => Some(association(peer)),
            Protection::Plain | Protection::Sdes { .. } => None,
        };
        if ice.is_none() && dtls.is_none() {
            return None;
        }
        let former = self.configured.as_ref().and_then(|config| config.path.as_ref());
        if former.is_some_and(|former| former.dtls != dtls) {
            self.found.keys = None;
        }
        Some(PathConfig { ice, dtls, found: self.found.clone() })
    }
}

/// How audio is protected, as calls tell it.
pub(super) fn told(protection: &Protection) -> LegProtection {
    match protection {
        Protection::Plain => LegProtection::None,
        Protection::Sdes { .. } => LegProtection::Sdes,
        Protection::Dtls(_) => LegProtection::Dtls,
    }
}

/// The engine's form of keys in the description; `None`: there are none.
pub(crate) fn keying(protection: &Protection) -> Option<Keying> {
    let Protection::Sdes { suite, ours, theirs } = protection else { return None };
    let profile = match suite {
        Suite::AeadAes128Gcm => Profile::AeadAes128Gcm,
        Suite::AesCm128HmacSha1_80 => Profile::AesCm128HmacSha1_80,
        Suite::AesCm128HmacSha1_32 => Profile::AesCm128HmacSha1_32,
    };
    let send = MasterKey::new(profile, ours.reveal())?;
    let receive = MasterKey::new(profile, theirs.reveal())?;
    Some(Keying { profile, send, receive })
}

fn credentials(ice: &IceAgreed) -> Credentials {
    Credentials { ufrag: ice.local.ufrag.clone(), password: ice.local.password.clone() }
}

fn association(peer: &DtlsPeer) -> dtls::Peer {
    let role = match peer.role {
        DtlsRole::Client => dtls::Role::Client,
        DtlsRole::Server => dtls::Role::Server,
    };
    let fingerprints = peer.fingerprints.iter().map(|it| dtls::Fingerprint {
        hash: match it.hash {
            Hash::Sha1 => dtls::Hash::Sha1,
            Hash::Sha256 => dtls::Hash::Sha256,
            Hash::Sha384 => dtls::Hash::Sha384,
            Hash::Sha512 => dtls::Hash::Sha512,
        },
        digest: it.digest.clone(),
    });
    dtls::Peer { role, fingerprints: fingerprints.collect() }
}

fn in_description(fingerprint: &dtls::Fingerprint) -> Fingerprint {
    let hash = match fingerprint.hash {
        dtls::Hash::Sha1 => Hash::Sha1,
        dtls::Hash::Sha256 => Hash::Sha256,
        dtls::Hash::Sha384 => Hash::Sha384,
        dtls::Hash::Sha512 => Hash::Sha512,
    };
    Fingerprint { hash, digest: fingerprint.digest.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn config(with_dtls: bool) -> Config {
        let mut config = testing::config();
        let fingerprint = dtls::Fingerprint::of(b"ours", dtls::Hash::Sha256);
        config.media.dtls = with_dtls.then_some(fingerprint);
        config
    }

    /// `plain`, `sdes?`, `sdes`, `dtls`.
    fn name(policy: &Policy) -> &'static str {
        match policy {
            Policy::Plain => "plain",
            Policy::Sdes { required: false, .. } => "sdes?",
            Policy::Sdes { required: true, .. } => "sdes",
            Policy::Dtls { .. } => "dtls",
        }
    }

    #[test]
    fn what_is_offered_follows_the_policy_and_the_transport() {
        use SrtpPolicy::{Auto, Dtls, Off, Required};
        use Transport::{Tcp, Tls, Udp, Ws, Wss};
        let rows = [
            (Auto, [(Udp, "plain"), (Tcp, "plain"), (Tls, "sdes?"), (Ws, "dtls"), (Wss, "dtls")]),
            (Required, [(Udp, "sdes"), (Tcp, "sdes"), (Tls, "sdes"), (Ws, "dtls"), (Wss, "dtls")]),
            (Dtls, [(Udp, "dtls"), (Tcp, "dtls"), (Tls, "dtls"), (Ws, "dtls"), (Wss, "dtls")]),
            (Off, [(Udp, "plain"), (Tcp, "plain"), (Tls, "plain"), (Ws, "plain"), (Wss, "plain")]),
        ];
        for (policy, row) in rows {
            for (transport, expected) in row {
                let found = offered(policy, transport, &config(true));
                assert_eq!(name(&found), expected, "{policy:?} {transport:?}");
                // An INVITE without an offer leaves it to us.
                assert_eq!(taken(policy, None, transport, &config(true)), found);
            }
        }
        // Without a certificate nothing is less secure than was asked for.
        for (policy, transport, expected) in
            [(Auto, Wss, "sdes?"), (Auto, Ws, "plain"), (Required, Ws, "sdes"), (Dtls, Udp, "sdes")]
        {
            assert_eq!(name(&offered(policy, transport, &config(false))), expected);
        }
    }

    #[test]
    fn what_is_taken_follows_what_is_asked() {
        use SrtpPolicy::{Auto, Dtls, Off, Required};
        for (policy, asked, expected) in [
            (Auto, Some(Asked::Plain), "sdes?"),
            (Auto, Some(Asked::SdesIfPossible), "sdes?"),
            (Auto, Some(Asked::Sdes), "sdes?"),
            (Auto, Some(Asked::Dtls), "dtls"),
            (Auto, None, "sdes?"),
            (Required, Some(Asked::Plain), "sdes"),
            (Required, Some(Asked::Dtls), "dtls"),
            (Dtls, Some(Asked::Plain), "dtls"),
            (Dtls, Some(Asked::Sdes), "dtls"),
            (Dtls, Some(Asked::Dtls), "dtls"),
            (Off, Some(Asked::Dtls), "plain"),
            (Off, Some(Asked::Sdes), "plain"),
        ] {
            let found = taken(policy, Some(asked), Transport::Udp, &config(true));
            assert_eq!(name(&found), expected, "{policy:?} {asked:?}");
        }
    }
}
