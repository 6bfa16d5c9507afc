//! hookflash
mod config;
fn main() {}
