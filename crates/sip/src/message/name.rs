//! Header names: canonical spelling, compact forms, and a lookup that costs a few nanoseconds.

use std::fmt;

macro_rules! names {
    (
        rsip { $($known:ident $known_text:literal,)* }
        own { $($own:ident $own_text:literal,)* }
        compact { $($compact:literal $target:ident,)* }
    ) => {
        /// The name of a header this server knows.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Name {
            $(#[doc = $known_text] $known,)*
            $(#[doc = $own_text] $own,)*
            /// A name not listed here: use [`super::Headers::get_named`].
            Other,
        }

        impl Name {
            /// The canonical spelling; empty for [`Name::Other`].
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$known => $known_text,)*
                    $(Self::$own => $own_text,)*
                    Self::Other => "",
                }
            }

            /// A header of this name in rsip's form: its own variant, or `Other` with the
            /// canonical spelling.
            #[inline]
            pub(super) fn header(self, value: String) -> rsip::Header {
                match self {
                    $(Self::$known => rsip::Header::$known(value.into()),)*
                    $(Self::$own)|* | Self::Other => {
                        rsip::Header::Other(self.as_str().into(), value)
                    }
                }
            }

            /// Whether rsip has a variant for it.
            const fn is_wrapped(self) -> bool {
                match self {
                    $(Self::$known)|* => true,
                    $(Self::$own)|* | Self::Other => false,
                }
            }

            /// The name, if rsip has a variant for it.
            #[inline]
            const fn variant_of(header: &rsip::Header) -> Self {
                match header {
                    $(rsip::Header::$known(_) => Self::$known,)*
                    rsip::Header::Other(..) => Self::Other,
                }
            }

            /// The value of a header.
            #[inline]
            pub(super) fn value_of(header: &rsip::Header) -> &str {
                use rsip::headers::UntypedHeader as _;
                match header {
                    $(rsip::Header::$known(value) => value.value(),)*
                    rsip::Header::Other(_, value) => value,
                }
            }
        }

        const SPELLINGS: &[(&str, Name)] = &[
            $(($known_text, Name::$known),)*
            $(($own_text, Name::$own),)*
            $(($compact, Name::$target),)*
        ];
    };
}

names! {
    rsip {
        Accept "Accept",
        AcceptEncoding "Accept-Encoding",
        AcceptLanguage "Accept-Language",
        AlertInfo "Alert-Info",
        Allow "Allow",
        AuthenticationInfo "Authentication-Info",
        Authorization "Authorization",
        CSeq "CSeq",
        CallId "Call-ID",
        CallInfo "Call-Info",
        Contact "Contact",
        ContentDisposition "Content-Disposition",
        ContentEncoding "Content-Encoding",
        ContentLanguage "Content-Language",
        ContentLength "Content-Length",
        ContentType "Content-Type",
        Date "Date",
        ErrorInfo "Error-Info",
        Event "Event",
        Expires "Expires",
        From "From",
        InReplyTo "In-Reply-To",
        MaxForwards "Max-Forwards",
        MimeVersion "MIME-Version",
        MinExpires "Min-Expires",
        Organization "Organization",
        Priority "Priority",
        ProxyAuthenticate "Proxy-Authenticate",
        ProxyAuthorization "Proxy-Authorization",
        ProxyRequire "Proxy-Require",
        RecordRoute "Record-Route",
        ReplyTo "Reply-To",
        Require "Require",
        RetryAfter "Retry-After",
        Route "Route",
        Server "Server",
        Subject "Subject",
        SubscriptionState "Subscription-State",
        Supported "Supported",
        Timestamp "Timestamp",
        To "To",
        Unsupported "Unsupported",
        UserAgent "User-Agent",
        Via "Via",
        Warning "Warning",
        WwwAuthenticate "WWW-Authenticate",
    }
    own {
        AcceptContact "Accept-Contact",
        AllowEvents "Allow-Events",
        AnswerMode "Answer-Mode",
        Diversion "Diversion",
        FlowTimer "Flow-Timer",
        Geolocation "Geolocation",
        HistoryInfo "History-Info",
        Identity "Identity",
        IdentityInfo "Identity-Info",
        Join "Join",
        MinSe "Min-SE",
        PAccessNetworkInfo "P-Access-Network-Info",
        PAssertedIdentity "P-Asserted-Identity",
        PAssociatedUri "P-Associated-URI",
        PCalledPartyId "P-Called-Party-ID",
        PEarlyMedia "P-Early-Media",
        PPreferredIdentity "P-Preferred-Identity",
        Path "Path",
        Privacy "Privacy",
        PrivAnswerMode "Priv-Answer-Mode",
        RAck "RAck",
        RSeq "RSeq",
        Reason "Reason",
        RecvInfo "Recv-Info",
        ReferSub "Refer-Sub",
        ReferTo "Refer-To",
        ReferredBy "Referred-By",
        RejectContact "Reject-Contact",
        RemotePartyId "Remote-Party-ID",
        Replaces "Replaces",
        RequestDisposition "Request-Disposition",
        ServiceRoute "Service-Route",
        SessionExpires "Session-Expires",
        SipEtag "SIP-ETag",
        SipIfMatch "SIP-If-Match",
        TargetDialog "Target-Dialog",
        UserToUser "User-to-User",
        InfoPackage "Info-Package",
    }
    // RFC 3261 §7.3.3 and the registry of later RFCs.
    compact {
        "a" AcceptContact,
        "b" ReferredBy,
        "c" ContentType,
        "d" RequestDisposition,
        "e" ContentEncoding,
        "f" From,
        "i" CallId,
        "j" RejectContact,
        "k" Supported,
        "l" ContentLength,
        "m" Contact,
        "n" IdentityInfo,
        "o" Event,
        "r" ReferTo,
        "s" Subject,
        "t" To,
        "u" AllowEvents,
        "v" Via,
        "x" SessionExpires,
        "y" Identity,
    }
}

/// Slots of the lookup table: a power of two, four times the number of spellings.
const SLOTS: usize = 512;

/// Longer than any chain in the table, so that a lookup of an unknown name ends.
const EMPTY: u16 = u16::MAX;

/// Open addressing over [`SPELLINGS`], built by the compiler.
static TABLE: [u16; SLOTS] = table();

const fn table() -> [u16; SLOTS] {
    let mut table = [EMPTY; SLOTS];
    let mut i = 0;
    while i < SPELLINGS.len() {
        let mut slot = hash(SPELLINGS[i].0.as_bytes());
        while table[slot] != EMPTY {
            slot = (slot + 1) % SLOTS;
        }
        table[slot] = i as u16;
        i += 1;
    }
    table
}

/// Of the length and three characters, whatever their case.
const fn hash(name: &[u8]) -> usize {
    let len = name.len();
    if len == 0 {
        return 0;
    }
    let first = (name[0] | 0x20) as usize;
    let middle = (name[len / 2] | 0x20) as usize;
    let last = (name[len - 1] | 0x20) as usize;
    (first.wrapping_mul(37) ^ middle.wrapping_mul(101) ^ last.wrapping_mul(7) ^ (len << 4)) % SLOTS
}

impl Name {
    /// Knows a name in any case, and its compact form; [`Name::Other`] if it is not listed.
    pub fn parse(name: &str) -> Self {
        let mut slot = hash(name.as_bytes());
        loop {
            let index = TABLE[slot];
            if index == EMPTY {
                return Self::Other;
            }
            let (spelling, found) = SPELLINGS[usize::from(index)];
            if spelling == name || spelling.eq_ignore_ascii_case(name) {
                return found;
            }
            slot = (slot + 1) % SLOTS;
        }
    }

    /// The name of a header as printed.
    pub(super) fn text_of(header: &rsip::Header) -> &str {
        if let rsip::Header::Other(name, _) = header {
            return name;
        }
        Self::variant_of(header).as_str()
    }

    /// Whether it is the name of that header.
    #[inline]
    pub(super) fn is_of(self, header: &rsip::Header) -> bool {
        if let rsip::Header::Other(name, _) = header {
            return !self.is_wrapped() && name == self.as_str();
        }
        Self::variant_of(header) == self
    }

    /// Whether its value is a credential, which is never printed by `Debug`.
    pub const fn is_secret(self) -> bool {
        matches!(self, Self::Authorization | Self::ProxyAuthorization)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Other { "Other" } else { self.as_str() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_found_in_any_case() {
        for (text, name) in SPELLINGS {
            assert_eq!(Name::parse(text), *name);
            assert_eq!(Name::parse(&text.to_lowercase()), *name);
            assert_eq!(Name::parse(&text.to_uppercase()), *name);
        }
    }

    #[test]
    fn other_names_are_other() {
        for name in ["", "X-Foo", "vi", "Vias", "g", "P-Asserted-Identitx", "é"] {
            assert_eq!(Name::parse(name), Name::Other, "{name}");
        }
    }

    #[test]
    fn chains_are_short() {
        let longest = SPELLINGS.iter().enumerate().map(|(i, (text, _))| {
            let at = TABLE.iter().position(|&index| usize::from(index) == i).unwrap();
            (at + SLOTS - hash(text.as_bytes())) % SLOTS
        });
        assert!(longest.max().unwrap() <= 6);
    }
}
