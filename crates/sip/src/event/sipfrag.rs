//! The body of a NOTIFY that tells how a REFER fares: a status line (RFC 3420, RFC 3515 §2.4.5).

use crate::message::StatusCode;

/// Its media type, as RFC 3515 §2.4.5 writes it.
pub const SIPFRAG: &str = "message/sipfrag;version=2.0";

/// The status line of the referred call.
pub fn sipfrag(status: StatusCode) -> String {
    format!("SIP/2.0 {} {}\r\n", status.code(), status.default_reason())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fragment_is_a_status_line() {
        assert_eq!(sipfrag(StatusCode::TRYING), "SIP/2.0 100 Trying\r\n");
        assert_eq!(sipfrag(StatusCode::BUSY_HERE), "SIP/2.0 486 Busy Here\r\n");
    }
}
