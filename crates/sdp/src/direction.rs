//! Who sends and who receives (RFC 3264 §5.1, RFC 8866 §6.7).

use serde::{Deserialize, Serialize};

/// The direction of a stream, seen from whoever declares it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Sends and receives: what holds when nothing is declared.
    #[default]
    SendRecv,
    /// Sends only: the peer is held.
    SendOnly,
    /// Receives only.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    /// From the two facts it is made of.
    pub const fn new(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    /// Whether the declaring side sends.
    pub const fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether the declaring side receives.
    pub const fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// The same stream seen from the other side.
    pub const fn reversed(self) -> Self {
        Self::new(self.receives(), self.sends())
    }

    /// What both allow; both seen from the same side.
    pub const fn and(self, other: Self) -> Self {
        Self::new(self.sends() && other.sends(), self.receives() && other.receives())
    }

    /// The attribute's name: `sendrecv`, `sendonly`, `recvonly`, `inactive`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    /// The direction an attribute of this name declares; case does not matter.
    pub fn from_attribute(name: &str) -> Option<Self> {
        [Self::SendRecv, Self::SendOnly, Self::RecvOnly, Self::Inactive]
            .into_iter()
            .find(|direction| direction.as_str().eq_ignore_ascii_case(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{Inactive, RecvOnly, SendOnly, SendRecv};

    #[test]
    fn a_reversed_direction_swaps_sending_and_receiving() {
        for (one, other) in
            [(SendRecv, SendRecv), (SendOnly, RecvOnly), (RecvOnly, SendOnly), (Inactive, Inactive)]
        {
            assert_eq!(one.reversed(), other);
            assert_eq!(Direction::new(one.sends(), one.receives()), one);
        }
    }

    #[test]
    fn and_allows_what_both_allow() {
        for (a, b, both) in [
            (SendRecv, SendOnly, SendOnly),
            (SendOnly, RecvOnly, Inactive),
            (SendRecv, SendRecv, SendRecv),
            (Inactive, SendRecv, Inactive),
        ] {
            assert_eq!(a.and(b), both);
            assert_eq!(b.and(a), both);
        }
    }

    #[test]
    fn attribute_names_are_read_in_any_case() {
        assert_eq!(Direction::from_attribute("SendOnly"), Some(SendOnly));
        assert_eq!(Direction::from_attribute("inactive"), Some(Inactive));
        assert_eq!(Direction::from_attribute("ptime"), None);
    }
}
