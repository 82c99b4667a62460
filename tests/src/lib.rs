//! What the end-to-end tests and benchmarks share.

pub mod bots;
pub mod by_hand;
pub mod kill;
pub mod logs;
pub mod raw;
pub mod traces;
pub mod world;
