//! How single values are written: hosts, networks, numbers, names.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use b2bua::config::Network;
use base::WallTime;
use sip::message::{Scheme, Uri};
use toml::value::{Datetime, Offset};

/// Longest name of a trunk, a route or a header, in bytes.
const NAME_MAX: usize = 64;

/// A number already checked to be small enough for every platform.
pub(super) fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// A number already checked to fit.
pub(super) fn count(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// A number already checked to fit.
pub(super) fn small(number: u64) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}

/// Wall time of a date with time and offset; `None` when one is missing, or before 1970.
pub(super) fn moment(datetime: &Datetime) -> Option<WallTime> {
    let (date, time, offset) = (datetime.date?, datetime.time?, datetime.offset?);
    let minutes = match offset {
        Offset::Z => 0,
        Offset::Custom { minutes } => i64::from(minutes),
    };
    // Days since 1970 by eras of 400 years that begin in March.
    let (month, day) = (i64::from(date.month), i64::from(date.day));
    let year = i64::from(date.year) - i64::from(month <= 2);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let of_years = of_era * 365 + of_era / 4 - of_era / 100;
    let days = year.div_euclid(400) * 146_097 + of_years + of_year - 719_468;
    let seconds = i64::from(time.hour) * 3600 + i64::from(time.minute) * 60;
    let seconds = days * 86_400 + seconds + i64::from(time.second.unwrap_or(0)) - minutes * 60;
    u64::try_from(seconds * 1000).ok().map(WallTime)
}

/// A file that can be read, relative to the configuration's directory.
pub(super) fn readable(directory: &Path, name: &str) -> Result<PathBuf, String> {
    let path = directory.join(name);
    match std::fs::File::open(&path) {
        Ok(_) => Ok(path),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

/// A digest realm: printable and free of what would end a quoted string (RFC 3261 §25.1).
pub(super) fn realm(text: &str) -> Result<String, String> {
    let clean = text.chars().all(|c| c.is_ascii_graphic() && c != '"' && c != '\\' || c == ' ');
    if text.is_empty() || text.len() > 255 || !clean {
        return Err("1 to 255 printable ASCII characters without quote and backslash".into());
    }
    Ok(text.to_owned())
}

/// A host name or an address (IPv6 with or without brackets).
pub(super) fn host(text: &str) -> Result<String, String> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if bare.parse::<IpAddr>().is_ok() || is_host_name(text) {
        return Ok(text.to_owned());
    }
    Err(format!("\"{text}\" is neither an address nor a host name"))
}

fn is_host_name(text: &str) -> bool {
    let is_label = |label: &str| {
        let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // An all-numeric last label would be a mistyped address.
    let last_is_number =
        text.rsplit('.').next().is_some_and(|label| label.bytes().all(|b| b.is_ascii_digit()));
    text.len() <= 253 && text.split('.').all(is_label) && !last_is_number
}

/// `HOST` or `HOST:PORT`, for Via and Contact.
pub(super) fn advertised(text: &str) -> Result<String, String> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return if address.ip().is_unspecified() || address.port() == 0 {
            Err(format!("nobody can reach {address}"))
        } else {
            Ok(text.to_owned())
        };
    }
    if let Ok(ip) = text.parse::<IpAddr>() {
        return if ip.is_unspecified() {
            Err(format!("nobody can reach {ip}"))
        } else {
            Ok(text.into())
        };
    }
    let (name, port) =
        text.rsplit_once(':').map_or((text, None), |(name, port)| (name, Some(port)));
    let port_fits = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    if is_host_name(name) && port_fits {
        return Ok(text.to_owned());
    }
    Err(format!("\"{text}\" is neither HOST nor HOST:PORT"))
}

/// `ADDRESS:PORT` to bind.
pub(super) fn socket(text: &str) -> Result<SocketAddr, String> {
    let address = text.parse::<SocketAddr>();
    let address =
        address.map_err(|_| format!("\"{text}\" is not ADDRESS:PORT, such as 127.0.0.1:5060"))?;
    if address.port() == 0 {
        return Err("port 0 would be another one at every start".into());
    }
    if address.ip().is_multicast() {
        return Err(format!("{} is a multicast address", address.ip()));
    }
    Ok(address)
}

/// A DNS server: `ADDRESS` or `ADDRESS:PORT`.
pub(super) fn name_server(text: &str) -> Result<SocketAddr, String> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, 53));
    }
    text.parse().map_err(|_| format!("\"{text}\" is neither ADDRESS nor ADDRESS:PORT"))
}

/// The origin of a web page (RFC 6454 §6.1), or `*`.
pub(super) fn origin(text: &str) -> Result<String, String> {
    let authority = ["https://", "http://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    let fits = |authority: &str| {
        !authority.is_empty() && authority.bytes().all(|b| b.is_ascii_graphic() && b != b'/')
    };
    if text == "*" || authority.is_some_and(fits) {
        return Ok(text.to_owned());
    }
    Err(format!("\"{text}\" is no origin such as \"https://desk.example.com\""))
}

/// A network: `192.0.2.0/24`, or one address.
pub(super) fn network(text: &str) -> Result<Network, String> {
    let wrong = || format!("\"{text}\" is not a network such as 192.0.2.0/24 or 2001:db8::/32");
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address = address.parse::<IpAddr>().map_err(|_| wrong())?;
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        Some(prefix) => prefix.parse::<u8>().ok().filter(|&p| p <= bits).ok_or_else(wrong)?,
        None => bits,
    };
    // DESIGN, invariant 7: a trunk without digest is trusted by its address, so "everybody" is
    // never what is meant.
    if prefix == 0 {
        return Err(format!("{text} would trust every address there is"));
    }
    let first = first_address(address, prefix);
    if first != address {
        return Err(format!("{text} has bits beyond its prefix; {first}/{prefix} was meant?"));
    }
    Ok(Network { address, prefix })
}

fn first_address(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V4((ip.to_bits() & mask).into())
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V6((ip.to_bits() & mask).into())
        }
    }
}

/// A trunk's target: `sip:HOST[:PORT][;transport=…]` without a user.
pub(super) fn target(text: &str) -> Result<String, String> {
    let uri = text.parse::<Uri>().map_err(|error| format!("\"{text}\": {error}"))?;
    match uri.scheme {
        Scheme::Sip | Scheme::Sips => {}
        Scheme::Tel | Scheme::Other(_) => return Err(format!("\"{text}\" is not sip: or sips:")),
    }
    if uri.user.is_some() {
        return Err(format!("\"{text}\" must not name a user: the dialled number takes its place"));
    }
    if uri.port == Some(0) {
        return Err(format!("\"{text}\" has port 0"));
    }
    // RFC 7118 §5: a server opens no WebSocket; phones and browsers do.
    match uri.transport().map(str::to_ascii_lowercase).as_deref() {
        None | Some("udp" | "tcp" | "tls") => Ok(text.to_owned()),
        Some(other) => Err(format!("\"{text}\": transport {other} is none of udp, tcp, tls")),
    }
}

/// A name of ours: letters, digits, `-`, `_`, `.`.
pub(super) fn name(text: &str) -> Result<String, String> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if text.is_empty() || text.len() > NAME_MAX || !text.bytes().all(fits) {
        let reason = format!("\"{text}\" must be 1 to {NAME_MAX} letters, digits, '-', '_' or '.'");
        return Err(reason);
    }
    Ok(text.to_owned())
}

/// A digest user name: printable ASCII without what needs escaping in a quoted string.
pub(super) fn user(text: &str) -> Result<String, String> {
    let fits = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\\';
    if text.is_empty() || text.len() > 255 || !text.bytes().all(fits) {
        return Err("1 to 255 printable ASCII characters without space, quote and backslash".into());
    }
    Ok(text.to_owned())
}

/// What people read on a display: no control characters.
pub(super) fn display(text: &str) -> Result<String, String> {
    if text.chars().count() > 128 || text.chars().any(char::is_control) {
        return Err("at most 128 characters, none of them a control character".into());
    }
    Ok(text.to_owned())
}

/// Part of a telephone number: digits, `+`, `*`, `#`; may be empty.
pub(super) fn digits(text: &str) -> Result<String, String> {
    let fits = |b: u8| b.is_ascii_digit() || matches!(b, b'+' | b'*' | b'#');
    if text.len() > b2bua::numbers::NUMBER_MAX || !text.bytes().all(fits) {
        return Err(format!("\"{text}\" may hold digits, '+', '*' and '#' only"));
    }
    Ok(text.to_owned())
}

/// A whole telephone number.
pub(super) fn number(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("must not be empty".into()) } else { digits(text) }
}

/// An extension or a dialled number: a telephone number or a name such as `reception`.
pub(super) fn name_or_number(text: &str) -> Result<String, String> {
    number(text).or_else(|_| name(text))
}

/// Headers that we write ourselves on every leg; they never pass (B2BUA: each leg has its own).
const OWN_HEADERS: &[&str] = &[
    "accept",
    "allow",
    "authorization",
    "call-id",
    "contact",
    "content-encoding",
    "content-length",
    "content-type",
    "cseq",
    "expires",
    "from",
    "max-forwards",
    "min-se",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-require",
    "rack",
    "record-route",
    "refer-to",
    "replaces",
    "require",
    "route",
    "rseq",
    "session-expires",
    "supported",
    "to",
    "unsupported",
    "via",
    "www-authenticate",
];

/// Name of a header that may pass between legs.
pub(super) fn header(text: &str) -> Result<String, String> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b);
    if text.is_empty() || text.len() > NAME_MAX || !text.bytes().all(fits) {
        return Err(format!("\"{text}\" is not the name of a header"));
    }
    if OWN_HEADERS.contains(&text.to_ascii_lowercase().as_str()) {
        return Err(format!("{text} is written anew on each leg and cannot pass"));
    }
    Ok(text.to_owned())
}
