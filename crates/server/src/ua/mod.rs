//! A small user agent for people without a phone, and for tests: `hookflash call` and
//! `hookflash answer`. It speaks to our server, or any other, over UDP as a phone does; it shares
//! the SIP and SDP crates with the server and nothing of its core.

mod account;
mod answer;
mod call;
mod endpoint;
mod g711;
mod heard;
mod media;
mod session;
mod wav;

#[cfg(test)]
mod tests;

pub(crate) use answer::answer;
pub(crate) use call::call;
pub(crate) use endpoint::ping;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The command line asks for what cannot be.
    #[error("{0}")]
    Usage(String),
    /// What the network or the peer did.
    #[error("{0}")]
    Failed(String),
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}
