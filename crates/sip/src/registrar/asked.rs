//! What a REGISTER asks for, checked as a whole before anything is changed (RFC 3261 §10.3).

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::RegistrarConfig;
use crate::message::{
    ContactList, HeaderError, Host, Name, NameAddr, Params, Request, Response, StatusCode, Uri,
};
use crate::transport::{Source, Transport};

/// Longest Contact value, in bytes.
pub const CONTACT_LEN_MAX: usize = 1024;
/// Most Path values.
pub const PATHS_MAX: usize = 8;
/// Longest Path values together, in bytes.
pub const PATH_LEN_MAX: usize = 2048;
/// Longest Call-ID, in bytes.
pub const CALL_ID_LEN_MAX: usize = 256;

/// Option tags that a REGISTER may require of us (RFC 3327, RFC 5626).
const SUPPORTED: [&str; 2] = ["path", "outbound"];

/// Why a REGISTER is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Status(StatusCode),
    /// 423 with the least expiry in seconds.
    TooBrief(u64),
    /// 420 with what is not supported.
    BadExtension(String),
}

impl Refusal {
    pub(super) fn response(self, request: &Request) -> Response {
        match self {
            Self::Status(status) => request.response(status),
            Self::TooBrief(min) => request
                .response(StatusCode::INTERVAL_TOO_BRIEF)
                .with_header(Name::MinExpires, min.to_string()),
            Self::BadExtension(tags) => {
                request.response(StatusCode::BAD_EXTENSION).with_header(Name::Unsupported, tags)
            }
        }
    }
}

impl From<StatusCode> for Refusal {
    fn from(status: StatusCode) -> Self {
        Self::Status(status)
    }
}

impl From<HeaderError> for Refusal {
    fn from(_: HeaderError) -> Self {
        Self::Status(StatusCode::BAD_REQUEST)
    }
}

/// What is to become of the bindings.
#[derive(Debug)]
pub(super) enum Asked {
    /// Tell them.
    Fetch,
    /// End them all.
    RemoveAll,
    /// End and make these.
    Set(Vec<Wanted>),
}

/// One contact of a REGISTER.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) key: Box<str>,
    pub(super) contact: Uri,
    pub(super) params: Params,
    /// Zero ends the binding.
    pub(super) expires: Duration,
}

/// Reads and checks a REGISTER of `user` from `source`.
pub(super) fn read(
    config: &RegistrarConfig,
    user: &str,
    request: &Request,
    source: &Source,
) -> Result<Asked, Refusal> {
    // RFC 3261 §10.3 step 2.
    let required = request.headers.list(Name::Require);
    let unknown: Vec<_> =
        required.filter(|tag| !SUPPORTED.iter().any(|s| s.eq_ignore_ascii_case(tag))).collect();
    if !unknown.is_empty() {
        return Err(Refusal::BadExtension(unknown.join(", ")));
    }
    // Steps 4 and 5; no third party registers for another (ATTACKS 12).
    for party in [request.to()?, request.from()?] {
        if party.uri.user_unescaped().as_deref() != Some(user) {
            return Err(StatusCode::FORBIDDEN.into());
        }
    }
    if request.call_id()?.len() > CALL_ID_LEN_MAX {
        return Err(StatusCode::BAD_REQUEST.into());
    }
    // Step 6.
    match request.contacts()? {
        ContactList::Star if request.expires() == Some(0) => Ok(Asked::RemoveAll),
        ContactList::Star => Err(StatusCode::BAD_REQUEST.into()),
        ContactList::List(contacts) if contacts.is_empty() => Ok(Asked::Fetch),
        ContactList::List(contacts) => {
            let wanted = read_contacts(config, request, source, contacts)?;
            check_first_hop(request, &wanted)?;
            Ok(Asked::Set(wanted))
        }
    }
}

/// Whether the phone has sent it to us without a proxy between.
pub(super) fn is_direct(request: &Request) -> bool {
    request.headers.list(Name::Via).count() == 1
}

/// RFC 5626 §6: a flow ends at the phone's first hop. When that is not us, it has to keep flows,
/// and says so by `ob` in the Path that it was the first to write, i.e. the last.
fn check_first_hop(request: &Request, wanted: &[Wanted]) -> Result<(), Refusal> {
    let by_outbound = |w: &Wanted| w.params.has("+sip.instance") && w.params.has("reg-id");
    let asks = request.headers.has_token(Name::Supported, "outbound")
        && wanted.iter().any(by_outbound)
        && !is_direct(request);
    let first_hop = request.headers.addresses(Name::Path)?.pop();
    let keeps_flows = first_hop.is_some_and(|path| path.uri.params.has("ob"));
    if asks && !keeps_flows {
        return Err(StatusCode::FIRST_HOP_LACKS_OUTBOUND_SUPPORT.into());
    }
    Ok(())
}

fn read_contacts(
    config: &RegistrarConfig,
    request: &Request,
    source: &Source,
    contacts: Vec<NameAddr>,
) -> Result<Vec<Wanted>, Refusal> {
    // Each of the allowed ones ended and replaced at once; more is no phone.
    if contacts.len() > 2 * config.contacts_max.max(1) {
        return Err(StatusCode::FORBIDDEN.into());
    }
    let mut wanted: Vec<Wanted> = Vec::with_capacity(contacts.len());
    for mut contact in contacts {
        let expires = expires(config, &contact, request.expires())?;
        contact.params.remove("expires");
        let uri = uri_key(&contact.uri);
        if uri.len() + contact.params.as_str().len() > CONTACT_LEN_MAX {
            return Err(StatusCode::BAD_REQUEST.into());
        }
        if !expires.is_zero() {
            check_contact(config, &contact.uri, source)?;
        }
        let taken = |key: &str| wanted.iter().any(|w| *w.key == *key);
        // Two contacts of one device in one REGISTER (IPv4 and IPv6, sip and sips): told by URI.
        let key = device_key(&contact.params).filter(|key| !taken(key)).unwrap_or(uri);
        if taken(&key) {
            return Err(StatusCode::BAD_REQUEST.into());
        }
        wanted.push(Wanted { key, contact: contact.uri, params: contact.params, expires });
    }
    Ok(wanted)
}

/// RFC 3261 §10.3 step 7: the contact's own, the header's, else ours.
fn expires(
    config: &RegistrarConfig,
    contact: &NameAddr,
    header: Option<u32>,
) -> Result<Duration, Refusal> {
    let asked = contact.expires().or(header);
    let asked = asked.map_or(config.expires_default, |s| Duration::from_secs(s.into()));
    if !asked.is_zero() && asked < config.expires_min {
        return Err(Refusal::TooBrief(config.expires_min.as_secs()));
    }
    Ok(asked.min(config.expires_max))
}

/// Instance, and reg-id if there is one: a device that comes back on a new connection replaces its
/// old binding (RFC 5626 §6).
fn device_key(params: &Params) -> Option<Box<str>> {
    let instance = params.value("+sip.instance").filter(|instance| !instance.is_empty())?;
    Some(match params.value("reg-id") {
        Some(reg_id) => format!("{instance};{reg_id}").into(),
        None => instance.into(),
    })
}

/// What tells contact URIs apart (RFC 3261 §19.1.4, as far as phones go).
fn uri_key(uri: &Uri) -> Box<str> {
    let mut key = Uri::sip("", uri.host.clone(), uri.port);
    if let Host::Name(name) = &uri.host {
        key.host = Host::Name(name.to_ascii_lowercase().into());
    }
    key.scheme = uri.scheme.clone();
    key.user.clone_from(&uri.user);
    key.params = uri.params.clone();
    key.to_string().into()
}

/// Whether something may be sent to this contact (ATTACKS 13). It is sent to the source in any
/// case; a contact that nobody could mean is refused all the same.
fn check_contact(config: &RegistrarConfig, uri: &Uri, source: &Source) -> Result<(), Refusal> {
    let fit = uri.scheme.is_sip()
        && uri.headers.is_empty()
        && uri.port != Some(0)
        && uri.host.ip().is_none_or(is_unicast)
        && !points_at_us(config, uri, source);
    if fit { Ok(()) } else { Err(StatusCode::BAD_REQUEST.into()) }
}

fn is_unicast(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    let this_network = matches!(ip, IpAddr::V4(v4) if v4.octets()[0] == 0);
    !this_network
        && !ip.is_unspecified()
        && !ip.is_multicast()
        && ip != IpAddr::V4(Ipv4Addr::BROADCAST)
}

/// A call to such a contact would come back to us, for ever.
fn points_at_us(config: &RegistrarConfig, uri: &Uri, source: &Source) -> bool {
    match uri.host.ip() {
        None => config.hosts.iter().any(|host| host.equivalent(&uri.host)),
        Some(ip) => {
            let default = if uri.is_secure() { Transport::Tls } else { source.transport };
            let port = uri.port.unwrap_or(default.default_port());
            let ours = ip.to_canonical() == source.local.ip().to_canonical();
            ours && port == source.local.port()
        }
    }
}

/// The Path of a REGISTER (RFC 3327 §5.3).
pub(super) fn path(request: &Request) -> Result<Box<[NameAddr]>, Refusal> {
    if !request.headers.has(Name::Path) {
        return Ok(Box::default());
    }
    let len: usize = request.headers.get_all(Name::Path).map(str::len).sum();
    let path = request.headers.addresses(Name::Path)?;
    if path.len() > PATHS_MAX || len > PATH_LEN_MAX {
        return Err(StatusCode::BAD_REQUEST.into());
    }
    Ok(path.into())
}
