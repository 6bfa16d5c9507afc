//! How good noise removal is: a corpus that one command makes, and what is measured on it.

pub mod corpus;
pub mod level;
pub mod measure;
pub mod noises;
pub mod pesq;
pub mod plain;
pub mod rational;
pub mod speakers;
pub mod stoi;
