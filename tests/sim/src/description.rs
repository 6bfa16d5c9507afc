//! SDP as the scripted peers write and read it.

/// Which way audio flows, seen from who wrote it (RFC 3264 §5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    SendRecv,
    SendOnly,
    RecvOnly,
    Inactive,
}

impl Direction {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    pub(crate) const fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    pub(crate) const fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    const fn of(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    /// What may be answered to an offer of this direction by who wants `wish` (RFC 3264 §6.1).
    pub(crate) const fn answered(self, wish: Self) -> Self {
        Self::of(wish.sends() && self.receives(), wish.receives() && self.sends())
    }
}

/// One audio description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sdp {
    pub(crate) id: u64,
    pub(crate) version: u64,
    pub(crate) ip: String,
    pub(crate) port: u16,
    pub(crate) direction: Direction,
    /// Payload type and encoding name.
    pub(crate) codecs: Vec<(u8, String)>,
}

impl Sdp {
    pub(crate) fn print(&self) -> String {
        let numbers: Vec<_> = self.codecs.iter().map(|(number, _)| number.to_string()).collect();
        let mut text = format!(
            "v=0\r\no=peer {} {} IN IP4 {}\r\ns=-\r\nc=IN IP4 {}\r\nt=0 0\r\nm=audio {} RTP/AVP {}\r\n",
            self.id,
            self.version,
            self.ip,
            self.ip,
            self.port,
            numbers.join(" ")
        );
        for (number, name) in &self.codecs {
            text += &format!("a=rtpmap:{number} {name}/8000\r\n");
        }
        text += &format!("a={}\r\n", self.direction.name());
        text
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let field = |kind: &str| text.lines().find_map(|line| line.strip_prefix(kind));
        let origin: Vec<_> = field("o=")?.split(' ').collect();
        let media: Vec<_> = field("m=audio ")?.split(' ').collect();
        let names = [Direction::SendOnly, Direction::RecvOnly, Direction::Inactive];
        let attribute = |name: &str| text.lines().any(|line| line.strip_prefix("a=") == Some(name));
        let direction = names.into_iter().find(|d| attribute(d.name()));
        let numbers = media.get(2..)?.iter().filter_map(|number| number.parse().ok());
        let codecs = numbers.filter_map(|number: u8| {
            let mapped = field(&format!("a=rtpmap:{number} "));
            let name = mapped.map(|m| m.split('/').next().unwrap_or(m)).or(match number {
                0 => Some("PCMU"),
                8 => Some("PCMA"),
                9 => Some("G722"),
                _ => None,
            })?;
            Some((number, name.to_owned()))
        });
        Some(Self {
            id: origin.get(1)?.parse().ok()?,
            version: origin.get(2)?.parse().ok()?,
            ip: field("c=IN IP4 ")?.to_owned(),
            port: media.first()?.parse().ok()?,
            direction: direction.unwrap_or(Direction::SendRecv),
            codecs: codecs.collect(),
        })
    }

    /// Everything but the version: what tells a change from a refresh.
    pub(crate) fn without_version(text: &str) -> String {
        let lines = text.lines().map(|line| match line.strip_prefix("o=") {
            Some(origin) => origin.split(' ').enumerate().fold(String::new(), |text, (i, word)| {
                if i == 2 { text } else { text + word + " " }
            }),
            None => line.to_owned(),
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Whether nobody may send there: the old way to hold.
    pub(crate) fn is_unaddressed(&self) -> bool {
        self.ip == "0.0.0.0"
    }

    /// Whether who wrote this has put the other side on hold.
    pub(crate) fn holds(&self) -> bool {
        self.is_unaddressed() || !self.direction.receives()
    }

    pub(crate) fn has_audio_of(&self, other: &Self) -> bool {
        let audio = |name: &str| name != "telephone-event" && name != "CN";
        self.codecs.iter().any(|(_, n)| audio(n) && other.codecs.iter().any(|(_, o)| o == n))
    }
}
