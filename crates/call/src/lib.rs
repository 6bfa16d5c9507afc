//! A call: its participants, who hears whom, what each leg should be doing, and its record.
//! Knows neither SIP nor sockets.

pub mod record;
