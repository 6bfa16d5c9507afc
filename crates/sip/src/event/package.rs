//! Event packages: which one a request is about (RFC 6665 §8.2.1).

use crate::message::{Headers, Name};

/// An event package this server meets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Package {
    /// The progress of a REFER (RFC 3515), with the CSeq number of the REFER when it is named.
    Refer(Option<u32>),
    /// Off the hook: answer, or take the call back from hold (see [`REMOTE_CONTROL`]).
    Talk,
    /// Put the call on hold.
    Hold,
    /// Something else.
    Other(Box<str>),
}

/// What a phone that can be driven lists in Allow-Events: BroadWorks' remote control, which the
/// desk phones of the field understand.
pub const REMOTE_CONTROL: [&str; 2] = ["talk", "hold"];

impl Package {
    /// The package of the Event header; `None` without one.
    pub fn of(headers: &Headers) -> Option<Self> {
        let value = headers.get(Name::Event)?;
        let mut parts = value.split(';').map(str::trim);
        let name = parts.next().filter(|name| !name.is_empty())?;
        let id = parts.find_map(|part| {
            let (key, id) = part.split_once('=')?;
            key.trim().eq_ignore_ascii_case("id").then(|| id.trim().parse().ok())?
        });
        // RFC 6665 §8.4: names of packages are case-sensitive tokens; phones differ, we do not mind.
        Some(match name.to_ascii_lowercase().as_str() {
            "refer" => Self::Refer(id),
            "talk" => Self::Talk,
            "hold" => Self::Hold,
            _ => Self::Other(name.into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_package_and_its_id_are_read() {
        for (value, package) in [
            ("refer", Some(Package::Refer(None))),
            ("refer;id=93809824", Some(Package::Refer(Some(93_809_824)))),
            ("Refer ; x ; ID = 7", Some(Package::Refer(Some(7)))),
            ("refer;id=seven", Some(Package::Refer(None))),
            ("talk", Some(Package::Talk)),
            ("hold", Some(Package::Hold)),
            ("check-sync", Some(Package::Other("check-sync".into()))),
            (";id=1", None),
        ] {
            let mut headers = Headers::new();
            headers.push(Name::Event, value);
            assert_eq!(Package::of(&headers), package, "{value}");
        }
        assert_eq!(Package::of(&Headers::new()), None);
    }
}
