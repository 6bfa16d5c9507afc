//! Digest authentication (RFC 7616 in the profile of RFC 8760 and RFC 3261 §22), both sides.
//!
//! [`Authenticator`] checks what reaches us and keeps nothing for who has not proved a password;
//! [`Guard`] limits guessing; [`ClientAuth`] answers the challenges of a trunk.

pub mod client;
pub mod digest;
pub mod guard;
mod nonce;
pub mod params;
pub mod server;

pub use client::{AuthError, ClientAuth, Credentials};
pub use digest::{Algorithm, Credential};
pub use guard::{Admission, Guard, GuardConfig};
pub use nonce::USED_NONCES_MAX;
pub use server::{Authenticator, ChallengeKind, Verdict};
