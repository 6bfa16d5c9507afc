//! The rules of an interaction, a test per requirement: its id is in the name.

mod bench;
mod conference;
mod consult;
mod end;
mod hold;
mod merge;
mod noise;
mod phone;
mod random;
mod record;
mod segments;
mod supervise;
mod transfer;
