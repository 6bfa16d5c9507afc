use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

/// A secret: usable, but never printed (`Debug` and `Display` show `***`).
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Redacted<T>(T);

impl<T> Redacted<T> {
    /// Wraps a secret.
    pub const fn new(secret: T) -> Self {
        Self(secret)
    }

    /// The secret itself. Every call is a place to look at in a review.
    pub const fn reveal(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<T> fmt::Display for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Shows a telephone number or user name with its middle masked: `+4930123456` → `+493***56`.
///
/// Up to four characters are masked whole, so that an extension's length is all one learns.
#[derive(Clone, Copy)]
pub struct Masked<'a>(pub &'a str);

/// The operator's policy for this process; it changes what logs show and nothing else.
static SHOW_ALL: AtomicBool = AtomicBool::new(false);

impl Masked<'_> {
    /// Whether numbers are shown in full from now on; off until the operator says so.
    pub fn show_all(show: bool) {
        SHOW_ALL.store(show, Ordering::Relaxed);
    }
}

impl fmt::Display for Masked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if SHOW_ALL.load(Ordering::Relaxed) {
            return write!(f, "{}", self.0.escape_debug());
        }
        let chars = self.0.chars().count();
        if chars <= 4 {
            return f.write_str("***");
        }
        let (head, tail) = (chars.min(8) / 2, 2);
        for (i, c) in self.0.chars().enumerate() {
            if i < head || i >= chars - tail {
                write!(f, "{}", c.escape_debug())?;
            } else if i == head {
                f.write_str("***")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Masked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_print() {
        let secret = Redacted::new("hunter2");
        assert_eq!(format!("{secret:?} {secret}"), "*** ***");
        assert_eq!(*secret.reveal(), "hunter2");
    }

    #[test]
    fn numbers_keep_their_ends_only() {
        assert_eq!(Masked("+15551234567").to_string(), "+155***67");
        assert_eq!(Masked("1001").to_string(), "***");
        assert_eq!(Masked("a\r\nbcdef").to_string(), "a\\r\\nb***ef");
    }
}
