//! Request methods.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::error::SyntaxError;
use super::scan;

macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident = $text:literal / $rsip:ident,)*) => {
        /// A request method. Method names are case-sensitive (RFC 3261 §7.1).
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Method {
            $($(#[$doc])* $name,)*
            /// Any other token.
            Other(Box<str>),
        }

        impl Method {
            /// As on the wire.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$name => $text,)*
                    Self::Other(name) => name,
                }
            }

            /// Knows the method of that name; `name` is not checked to be a token.
            pub(super) fn from_token(name: &str) -> Self {
                match name {
                    $($text => Self::$name,)*
                    other => Self::Other(other.into()),
                }
            }
        }

        impl From<rsip::Method> for Method {
            fn from(method: rsip::Method) -> Self {
                match method {
                    $(rsip::Method::$rsip => Self::$name,)*
                }
            }
        }

        /// Fails for a method outside rsip's closed set.
        impl TryFrom<&Method> for rsip::Method {
            type Error = SyntaxError;

            fn try_from(method: &Method) -> Result<Self, SyntaxError> {
                match method {
                    $(Method::$name => Ok(Self::$rsip),)*
                    Method::Other(_) => Err(SyntaxError("method unknown to rsip")),
                }
            }
        }
    };
}

methods! {
    /// RFC 3261 §13.
    Invite = "INVITE" / Invite,
    /// RFC 3261 §13.2.2.4.
    Ack = "ACK" / Ack,
    /// RFC 3261 §15.
    Bye = "BYE" / Bye,
    /// RFC 3261 §9.
    Cancel = "CANCEL" / Cancel,
    /// RFC 3261 §10.
    Register = "REGISTER" / Register,
    /// RFC 3261 §11.
    Options = "OPTIONS" / Options,
    /// RFC 6086.
    Info = "INFO" / Info,
    /// RFC 3428.
    Message = "MESSAGE" / Message,
    /// RFC 6665.
    Notify = "NOTIFY" / Notify,
    /// RFC 3262.
    Prack = "PRACK" / PRack,
    /// RFC 3903.
    Publish = "PUBLISH" / Publish,
    /// RFC 3515.
    Refer = "REFER" / Refer,
    /// RFC 6665.
    Subscribe = "SUBSCRIBE" / Subscribe,
    /// RFC 3311.
    Update = "UPDATE" / Update,
}

impl Method {
    /// Whether a 2xx to it makes a dialog (RFC 3261 §12, RFC 6665, RFC 3515).
    pub const fn forms_dialog(&self) -> bool {
        matches!(self, Self::Invite | Self::Subscribe | Self::Refer)
    }
}

impl std::str::FromStr for Method {
    type Err = SyntaxError;

    fn from_str(s: &str) -> Result<Self, SyntaxError> {
        if scan::is_token(s) {
            Ok(Self::from_token(s))
        } else {
            Err(SyntaxError("method is no token"))
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Method {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Method {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::serde_text::parse(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_case_sensitive_tokens() {
        assert_eq!("INVITE".parse(), Ok(Method::Invite));
        assert_eq!("invite".parse(), Ok(Method::Other("invite".into())));
        assert_eq!("RE%47IST%45R".parse(), Ok(Method::Other("RE%47IST%45R".into())));
        for bad in ["", "IN VITE", "INVITE\r", "é", "A:"] {
            assert!(bad.parse::<Method>().is_err(), "{bad}");
        }
    }

    #[test]
    fn rsips_set_maps_both_ways() {
        for method in rsip::Method::all() {
            assert_eq!(rsip::Method::try_from(&Method::from(method)), Ok(method));
        }
        assert!(rsip::Method::try_from(&Method::Other("NEW".into())).is_err());
    }
}
