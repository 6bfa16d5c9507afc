//! Single header values: what reads prints as what reads the same.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use sip::message::{
    CSeq, Host, MediaType, Method, NameAddr, RAck, Reason, Replaces, SessionExpires, Uri, Via,
};

/// The first byte chooses the kind of value, or all of them.
pub fn values(bytes: &[u8]) {
    let Some((kind, text)) = bytes.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    match kind % 12 {
        0 => uri(text),
        1 => name_addr(text),
        2 => via(text),
        3 => drop(again::<Host>(text)),
        4 => drop(again::<CSeq>(text)),
        5 => drop(again::<RAck>(text)),
        6 => drop(again::<Method>(text)),
        7 => drop(text.parse::<Reason>()),
        8 => drop(text.parse::<Replaces>()),
        9 => drop(again::<SessionExpires>(text)),
        10 => drop(text.parse::<MediaType>()),
        _ => pair(text),
    }
}

/// Reads, prints, reads again.
fn again<T: FromStr<Err: Debug> + Display + PartialEq + Debug>(text: &str) -> Option<T> {
    let value = text.parse::<T>().ok()?;
    let printed = value.to_string();
    let read = printed.parse::<T>();
    assert!(
        read.as_ref().is_ok_and(|read| *read == value),
        "{value:?} printed {printed:?} {read:?}"
    );
    Some(value)
}

fn uri(text: &str) {
    let Some(uri) = again::<Uri>(text) else { return };
    assert!(uri.equivalent(&uri), "{uri:?}");
    let _ = (uri.user_unescaped(), uri.transport(), uri.lr(), uri.maddr(), uri.is_secure());
    let user = uri.user_unescaped().unwrap_or_default();
    let built = Uri::sip(&user, uri.host.clone(), uri.port).with_param("x", Some(&user));
    if uri.scheme.is_sip() {
        let read: Uri = built.to_string().parse().expect("a URI of ours can be read");
        assert_eq!(read, built);
        assert_eq!(read.user_unescaped().unwrap_or_default(), user);
    }
}

fn name_addr(text: &str) {
    let Some(mut address) = again::<NameAddr>(text) else { return };
    let _ = (address.tag(), address.expires(), address.q_thousandths());
    address.set_tag("t");
    let printed = address.to_string();
    let read: NameAddr = printed.parse().expect("tagged, it can be read");
    assert_eq!((read.tag(), &read), (Some("t"), &address));
    // A display name is anybody's text, and must never be more than that.
    let named = NameAddr::new(address.uri).with_display(text);
    let read: NameAddr = named.to_string().parse().expect("named, it can be read");
    assert_eq!((read.tag(), &read.uri), (None, &named.uri));
}

fn via(text: &str) {
    let Some(mut via) = again::<Via>(text) else { return };
    let _ = (via.known_transport(), via.branch(), via.received(), via.rport(), via.maddr());
    assert!(via.rfc3261_branch().is_none() || via.branch().is_some());
    let ip = [192, 0, 2, 1].into();
    via.set_received(ip);
    via.set_rport(5066);
    let read: Via = via.to_string().parse().expect("stamped, it can be read");
    assert_eq!((read.received(), read.rport(), &read), (Some(ip), Some(Some(5066)), &via));
}

/// Equivalence of URIs is symmetric.
fn pair(text: &str) {
    let Some((one, other)) = text.split_once(' ') else { return };
    let (Ok(one), Ok(other)) = (one.parse::<Uri>(), other.parse::<Uri>()) else { return };
    assert_eq!(one.equivalent(&other), other.equivalent(&one), "{one} {other}");
}
