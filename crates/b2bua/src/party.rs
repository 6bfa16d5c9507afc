//! Who somebody is: an extension's phone or a trunk, and the name and number they go by.

use std::net::IpAddr;

use call::PartyKey;
use serde::{Deserialize, Serialize};
use sip::message::{Host, Name, NameAddr, Request, Uri};
use sip::transport::{Source, Target, Transport};

use crate::config::{Config, DtmfForm, Extension, SrtpPolicy, Trunk};
use crate::numbers;

/// The far end of a leg.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Party {
    /// A phone of this extension (index into the configuration).
    Extension(usize),
    /// A trunk (index into the configuration).
    Trunk(usize),
}

/// Beside a trunk's index: no extension has that number.
const TRUNK: u64 = 1 << 32;

impl Party {
    /// The name by which a call knows it.
    pub(crate) fn key(&self) -> PartyKey {
        match *self {
            Self::Extension(at) => PartyKey(at as u64),
            Self::Trunk(at) => PartyKey(TRUNK | at as u64),
        }
    }

    /// Whom [`Self::key`] names.
    pub(crate) fn of_key(PartyKey(key): PartyKey) -> Self {
        let at = (key & (TRUNK - 1)) as usize;
        if key & TRUNK == 0 { Self::Extension(at) } else { Self::Trunk(at) }
    }

    /// The extension, when it is one.
    pub(crate) fn extension(&self) -> Option<usize> {
        match *self {
            Self::Extension(at) => Some(at),
            Self::Trunk(_) => None,
        }
    }

    /// Extension number or trunk name.
    pub(crate) fn name<'a>(&self, config: &'a Config) -> &'a str {
        match *self {
            Self::Extension(at) => &config.extensions[at].number,
            Self::Trunk(at) => &config.trunks[at].name,
        }
    }

    /// The trunk's index, when it is one.
    pub(crate) fn trunk_index(&self) -> Option<usize> {
        match *self {
            Self::Extension(_) => None,
            Self::Trunk(at) => Some(at),
        }
    }

    /// The trunk, when it is one.
    pub(crate) fn trunk<'a>(&self, config: &'a Config) -> Option<&'a Trunk> {
        match *self {
            Self::Extension(_) => None,
            Self::Trunk(at) => Some(&config.trunks[at]),
        }
    }

    /// How the audio of its legs is protected.
    pub(crate) fn srtp(&self, config: &Config) -> SrtpPolicy {
        match *self {
            Self::Extension(at) => config.extensions[at].srtp,
            Self::Trunk(at) => config.trunks[at].srtp,
        }
    }

    /// How pressed keys are told to it.
    pub(crate) fn dtmf(&self, config: &Config) -> DtmfForm {
        match *self {
            Self::Extension(at) => config.extensions[at].dtmf,
            Self::Trunk(at) => config.trunks[at].dtmf,
        }
    }

    /// Codec names allowed on its legs.
    pub(crate) fn codecs<'a>(&self, config: &'a Config) -> &'a [String] {
        match self.trunk(config) {
            Some(trunk) if !trunk.codecs.is_empty() => &trunk.codecs,
            Some(_) | None => &config.media.codecs,
        }
    }
}

/// The name and number somebody calls by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) display: String,
    pub(crate) number: String,
    /// Number shown to trunks instead.
    pub(crate) outside: Option<String>,
    /// Whether the caller asked not to be shown (RFC 3323 `Privacy: id`).
    pub(crate) private: bool,
}

/// Longest display name passed on.
const DISPLAY_MAX: usize = 128;

impl Identity {
    /// What an agent calls by.
    pub(crate) fn of_extension(extension: &Extension) -> Self {
        Self {
            display: extension.display_name.clone(),
            number: extension.number.clone(),
            outside: extension.caller_id.clone(),
            private: false,
        }
    }

    /// What a trunk says of its caller: P-Asserted-Identity first, it vouches for that.
    pub(crate) fn of_trunk_caller(request: &Request, trunk: &Trunk) -> Self {
        let asserted = request.headers.list(Name::PAssertedIdentity).next();
        let asserted = asserted.and_then(|value| value.parse::<NameAddr>().ok());
        let Some(name_addr) = asserted.or_else(|| request.headers.from().ok()) else {
            return Self::default();
        };
        let user = name_addr.uri.user_unescaped().unwrap_or_default();
        let display = name_addr.display.as_deref().unwrap_or("");
        Self {
            display: display.chars().filter(|c| !c.is_control()).take(DISPLAY_MAX).collect(),
            number: trunk.inbound_numbers.apply(&numbers::clean(&user)),
            outside: None,
            private: request.headers.has_token(Name::Privacy, "id"),
        }
    }
}

/// The number a request is for.
pub(crate) fn dialled(request: &Request) -> String {
    numbers::clean(&request.uri.user_unescaped().unwrap_or_default())
}

/// The number a call of a trunk is for. One that we register at calls the contact we gave it, by
/// our name there; the number is in To.
pub(crate) fn dialled_through(request: &Request, trunk: &Trunk) -> String {
    let user = request.uri.user_unescaped().unwrap_or_default();
    let is_ours = trunk.credentials.as_ref().is_some_and(|own| own.username == user);
    let to = request.headers.to().ok().filter(|_| trunk.register.is_some() && is_ours);
    match to.and_then(|to| to.uri.user_unescaped().map(|user| numbers::clean(&user))) {
        Some(number) => number,
        None => dialled(request),
    }
}

/// The trunk a request comes from: by source address and transport, or by the name in its verified
/// TLS certificate; never by what the message says (ATTACKS 8).
pub(crate) fn trunk_of(config: &Config, source: &Source) -> Option<usize> {
    let ip = source.remote.ip();
    config.trunks.iter().position(|trunk| match &trunk.tls_name {
        Some(name) => {
            source.transport == Transport::Tls
                && source.tls_names.iter().any(|n| n.eq_ignore_ascii_case(name))
                && (trunk.networks.is_empty() || in_networks(trunk, ip))
        }
        None => in_networks(trunk, ip),
    })
}

/// Whether `ip` lies in the networks of `trunk`.
pub(crate) fn in_networks(trunk: &Trunk, ip: IpAddr) -> bool {
    trunk.networks.iter().any(|network| network.contains(ip))
}

/// Whether a host part means us: a listen address, the realm or a configured domain.
pub(crate) fn is_our_host(config: &Config, uri: &Uri) -> bool {
    let printed = uri.host.to_string();
    let named = |name: &str| name.eq_ignore_ascii_case(&printed);
    named(&config.realm)
        || config.domains.iter().any(|domain| named(domain))
        || config.listen.iter().any(|listen| {
            named(&listen.advertised().0)
                || match uri.host {
                    Host::Ip(ip) => {
                        let bound = listen.address.ip();
                        bound == ip || (bound.is_unspecified() && bound.is_ipv4() == ip.is_ipv4())
                    }
                    Host::Name(_) => false,
                }
        })
}

/// A host as written in the configuration: an address, `[…]`, or a name.
pub(crate) fn host(text: &str) -> Host {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    match bare.parse::<IpAddr>() {
        Ok(ip) => Host::Ip(ip),
        Err(_) => Host::Name(text.into()),
    }
}

/// The transport that `transport=` names.
pub(crate) fn transport_of(uri: &Uri) -> Option<Transport> {
    let name = uri.transport()?;
    let all = [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss];
    all.into_iter().find(|transport| transport.as_str().eq_ignore_ascii_case(name))
}

/// Where a URI leads whose host is an address: nothing to look up (RFC 3263 §4.1, §4.2).
pub(crate) fn literal_target(uri: &Uri) -> Option<Target> {
    let ip = uri.host.ip()?;
    let default = if uri.is_secure() { Transport::Tls } else { Transport::Udp };
    let transport = match (transport_of(uri), uri.is_secure()) {
        (Some(Transport::Tcp | Transport::Udp), true) | (None, _) => default,
        (Some(transport), _) => transport,
    };
    let port = uri.port.unwrap_or(transport.default_port());
    Some(Target { transport, addr: (ip, port).into(), flow: None, tls_name: None })
}
