//! Events (RFC 6665) as far as a call needs them: REFER and its progress, and the requests that
//! drive a phone from outside. Small values and one machine; who sends what is the owner's affair.

mod auto_answer;
mod package;
mod refer;
mod sipfrag;
mod subscription;

pub use auto_answer::auto_answer;
pub use package::{Package, REMOTE_CONTROL};
pub use refer::Refer;
pub use sipfrag::{SIPFRAG, sipfrag};
pub use subscription::{EXPIRES, Notify, Referral};
