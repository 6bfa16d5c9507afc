//! What a user agent keeps of an INVITE beside its transactions: the dialog, and one small machine
//! for each rule that runs inside it.

mod accept;
pub mod allow;
pub mod body;
mod dialog_state;
mod glare;
mod reliable_uac;
mod reliable_uas;
mod session_timer;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use accept::Accept;
pub use dialog_state::{Dialog, DialogId, NoDialog, ROUTE_SET_MAX};
pub use glare::{COLLISIONS_MAX, Change, Glare, Outstanding, Refusal, UnderWay};
pub use reliable_uac::{Reliable, ReliableUac};
pub use reliable_uas::{QUEUE_MAX, ReliableUas};
pub use session_timer::{MIN_SE, SessionDue, SessionTimer};
