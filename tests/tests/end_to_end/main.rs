//! The promises of the README, each over real sockets against a whole host. One binary, so that the host is linked once.
#![allow(clippy::unwrap_used, missing_docs)]

mod credentials;
mod forgeries;
mod handshakes;
mod matches;
mod reports;
mod secrets;
