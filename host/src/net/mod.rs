//! Sockets: who may connect, how a connection becomes a session, and how a session lives and ends.
//!
//! ```text
//! accept --(admission)--> handshake --(directory: in force?)--> session --(registry)--> play
//! ```

pub mod peer;
