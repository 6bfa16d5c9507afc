//! SIP load: text templates over plain sockets, none of it made by the server's own code.

pub mod calls;
pub mod flood;
pub mod register;
pub mod sipp;
pub mod text;
