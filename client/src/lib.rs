//! Reference clients of RankedServer: [`game_server`] and [`player`], both on `protocol`, and [`bots`] on top of them.
//!
//! The clients do what every client must: pin the community's keys, store a report before sending it, store the next login ticket before using
//! it, never retry with a weaker offer, wait with a growing pause. What they know of the host they learned from `docs/protocol.md`.

pub mod bots;
pub mod clock;
pub mod connection;
pub mod game_server;
pub mod http;
pub mod login_ticket;
pub mod outbox;
pub mod player;
pub mod provision;

mod unanswered;
