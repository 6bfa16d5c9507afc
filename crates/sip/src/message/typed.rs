//! Typed views of headers: parsed when asked for, from the text the wire sent.

use std::str::FromStr;

use super::error::{HeaderError, SyntaxError};
use super::headers::Headers;
use super::name::Name;
use super::name_addr::{ContactList, NameAddr};
use super::scan;
use super::values::{self, CSeq, MediaType, RAck, Reason, Replaces, SessionExpires};
use super::via::Via;

impl Headers {
    fn value(&self, name: Name) -> Result<&str, HeaderError> {
        self.get(name).ok_or(HeaderError::Missing(name))
    }

    fn parsed<T: FromStr<Err = SyntaxError>>(&self, name: Name) -> Result<T, HeaderError> {
        self.value(name)?.parse().map_err(|why| HeaderError::Invalid(name, why))
    }

    fn parsed_list<T>(&self, name: Name) -> Result<Vec<T>, HeaderError>
    where
        T: FromStr<Err = SyntaxError>,
    {
        let values = self.list(name).map(str::parse);
        values.collect::<Result<_, _>>().map_err(|why| HeaderError::Invalid(name, why))
    }

    /// The topmost Via.
    pub fn via(&self) -> Result<Via, HeaderError> {
        let first = self.list(Name::Via).next().ok_or(HeaderError::Missing(Name::Via))?;
        first.parse().map_err(|why| HeaderError::Invalid(Name::Via, why))
    }

    /// All Via values, topmost first.
    pub fn vias(&self) -> Result<Vec<Via>, HeaderError> {
        self.parsed_list(Name::Via)
    }

    /// From.
    pub fn from(&self) -> Result<NameAddr, HeaderError> {
        self.parsed(Name::From)
    }

    /// To.
    pub fn to(&self) -> Result<NameAddr, HeaderError> {
        self.parsed(Name::To)
    }

    /// Call-ID.
    pub fn call_id(&self) -> Result<&str, HeaderError> {
        match scan::trim(self.value(Name::CallId)?) {
            "" => Err(HeaderError::Invalid(Name::CallId, SyntaxError("empty"))),
            call_id => Ok(call_id),
        }
    }

    /// CSeq.
    pub fn cseq(&self) -> Result<CSeq, HeaderError> {
        self.parsed(Name::CSeq)
    }

    /// All Contact values; `*` must stand alone (RFC 3261 §10.2.2).
    pub fn contacts(&self) -> Result<ContactList, HeaderError> {
        let mut values = self.list(Name::Contact);
        if values.next() != Some("*") {
            return self.parsed_list(Name::Contact).map(ContactList::List);
        }
        match values.next() {
            None => Ok(ContactList::Star),
            Some(_) => {
                Err(HeaderError::Invalid(Name::Contact, SyntaxError("* beside another contact")))
            }
        }
    }

    /// The first contact, when there is one and it is no `*`: the remote target of a dialog.
    pub fn contact(&self) -> Result<NameAddr, HeaderError> {
        let first = self.list(Name::Contact).next().ok_or(HeaderError::Missing(Name::Contact))?;
        first.parse().map_err(|why| HeaderError::Invalid(Name::Contact, why))
    }

    /// Max-Forwards; `None` also when it is no number up to 255.
    pub fn max_forwards(&self) -> Option<u8> {
        let hops = scan::decimal(scan::trim(self.get(Name::MaxForwards)?), u8::MAX.into())?;
        u8::try_from(hops).ok()
    }

    /// Expires in seconds; `None` also when it is no number, clamped when too large.
    pub fn expires(&self) -> Option<u32> {
        values::delta(self.get(Name::Expires)?)
    }

    /// Min-Expires in seconds.
    pub fn min_expires(&self) -> Option<u32> {
        values::delta(self.get(Name::MinExpires)?)
    }

    /// All Route values, topmost first.
    pub fn routes(&self) -> Result<Vec<NameAddr>, HeaderError> {
        self.parsed_list(Name::Route)
    }

    /// All Record-Route values, topmost first.
    pub fn record_routes(&self) -> Result<Vec<NameAddr>, HeaderError> {
        self.parsed_list(Name::RecordRoute)
    }

    /// All values of any list of addresses: Path, Service-Route, P-Asserted-Identity, Diversion…
    pub fn addresses(&self, name: Name) -> Result<Vec<NameAddr>, HeaderError> {
        self.parsed_list(name)
    }

    /// The first value of any list of addresses: Refer-To, Referred-By, P-Asserted-Identity…
    pub fn address(&self, name: Name) -> Result<NameAddr, HeaderError> {
        let first = self.list(name).next().ok_or(HeaderError::Missing(name))?;
        first.parse().map_err(|why| HeaderError::Invalid(name, why))
    }

    /// Content-Type; `None` also when it cannot be read.
    pub fn content_type(&self) -> Option<MediaType> {
        self.get(Name::ContentType)?.parse().ok()
    }

    /// Session-Expires; `None` also when it cannot be read.
    pub fn session_expires(&self) -> Option<SessionExpires> {
        self.get(Name::SessionExpires)?.parse().ok()
    }

    /// Min-SE in seconds.
    pub fn min_se(&self) -> Option<u32> {
        values::delta(values::split_params(self.get(Name::MinSe)?).0)
    }

    /// RSeq; `None` also when it is no number below 2³¹.
    pub fn rseq(&self) -> Option<u32> {
        values::rseq(self.get(Name::RSeq)?).ok()
    }

    /// RAck.
    pub fn rack(&self) -> Result<RAck, HeaderError> {
        self.parsed(Name::RAck)
    }

    /// Replaces.
    pub fn replaces(&self) -> Result<Replaces, HeaderError> {
        self.parsed(Name::Replaces)
    }

    /// The first Reason value that can be read.
    pub fn reason(&self) -> Option<Reason> {
        self.reasons().next()
    }

    /// All Reason values that can be read.
    pub fn reasons(&self) -> impl Iterator<Item = Reason> {
        self.list(Name::Reason).filter_map(|value| value.parse().ok())
    }

    /// Retry-After in seconds, clamped, comment and parameters aside (RFC 3261 §20.33).
    pub fn retry_after(&self) -> Option<u32> {
        let (value, _) = values::split_params(self.get(Name::RetryAfter)?);
        values::delta(value.split('(').next().unwrap_or(value))
    }
}
