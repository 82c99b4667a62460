//! The record layer: how every payload after M2 is sealed and opened.
//!
//! ```text
//! payload = AES-256-GCM(key, iv XOR (epoch, seq), hdr25, plaintext)        hmac = HMAC-SHA256(mac, hdr25, payload)
//! ```
//!
//! Each direction has its own keys, epoch and sequence. The receiver takes exactly the next sequence number, so that a replayed, dropped,
//! reordered or reflected record ends the connection.

mod control;
mod keys;
mod opener;
mod sealer;

pub use control::Close;
pub use opener::{Opened, Opener};
pub use sealer::{SealError, Sealer};

pub(crate) use keys::RecordKeys;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

/// A direction's keys are replaced after this many records, the key update included.
pub const RECORDS_MAX: u64 = 1 << 20;
/// A direction's keys are replaced before this many payload bytes.
pub const BYTES_MAX: u64 = 1 << 34;
/// A direction's keys are replaced before the first frame that is so many milliseconds younger than they.
pub const KEY_AGE_MS_MAX: u64 = 3_600_000;
/// A receiver refuses sequence numbers from here on.
pub const SEQ_MAX: u64 = 1 << 24;
/// Key updates that a receiver takes within [`KEY_UPDATES_WINDOW_MS`].
pub const KEY_UPDATES_MAX: usize = 4;
/// See [`KEY_UPDATES_MAX`].
pub const KEY_UPDATES_WINDOW_MS: u64 = 60_000;
/// A key update that was requested must arrive within so many milliseconds, else the session is closed.
pub const KEY_UPDATE_ANSWER_MS_MAX: u64 = 30_000;
/// Epoch of the first records.
pub(crate) const FIRST_EPOCH: u32 = 2;
