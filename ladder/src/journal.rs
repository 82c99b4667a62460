//! The journal's hash chain: append-only, the truth for ratings.
//!
//! `hash(n) = SHA-256(0x00 ‖ seq u64 ‖ kind u8 ‖ recorded_at_ms u64 ‖ queue u64 ‖ payload length u32 ‖ payload ‖ hash(n - 1))`, integers
//! big-endian; the entry before the first has the hash [`GENESIS`]. A changed, removed or re-ordered entry breaks every later hash.

use sha2::{Digest as _, Sha256};

use crate::id::{Digest, JournalSeq, QueueId};
use crate::time::UnixMillis;

/// The hash before the first entry.
pub const GENESIS: Digest = Digest([0; 32]);

/// What an entry records. The number is stored and hashed; it never changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum EntryKind {
    /// An accepted report, with what was decided about it at once.
    Report = 1,
    /// An operator gave up rating a report that the engine cannot rate.
    Skipped = 2,
    /// An operator lets a held report be rated, from this entry on.
    Released = 3,
    /// An operator takes reports back: they count no more.
    Voided = 4,
    /// An operator lets reports count again that were voided.
    Restored = 5,
    /// A season starts: every standing of the queue is reset here.
    SeasonStarted = 6,
}

impl EntryKind {
    /// The kind with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Report),
            2 => Some(Self::Skipped),
            3 => Some(Self::Released),
            4 => Some(Self::Voided),
            5 => Some(Self::Restored),
            6 => Some(Self::SeasonStarted),
            _ => None,
        }
    }
}

/// One entry, as hashed.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Position, from 1, without gaps.
    pub seq: JournalSeq,
    /// What the payload is.
    pub kind: EntryKind,
    /// When the host wrote it.
    pub recorded_at: UnixMillis,
    /// Which queue's ratings it concerns.
    pub queue: QueueId,
    /// The encoded record. Hashed as stored, never re-encoded.
    pub payload: &'a [u8],
}

impl Entry<'_> {
    /// The hash that stores this entry after `previous`.
    #[must_use]
    pub fn hash(&self, previous: Digest) -> Digest {
        let mut hash = Sha256::new();
        hash.update([0]);
        hash.update(self.seq.0.to_be_bytes());
        hash.update([self.kind as u8]);
        hash.update(self.recorded_at.0.to_be_bytes());
        hash.update(self.queue.0.to_be_bytes());
        // The store bounds a payload far below 4 GiB; a longer one would only be mis-hashed, never mis-read.
        hash.update(u32::try_from(self.payload.len()).unwrap_or(u32::MAX).to_be_bytes());
        hash.update(self.payload);
        hash.update(previous.0);
        Digest(hash.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_and_the_past_change_the_hash() {
        let entry =
            Entry { seq: JournalSeq(7), kind: EntryKind::Report, recorded_at: UnixMillis(9), queue: QueueId(1), payload: b"report" };
        let hash = entry.hash(GENESIS);
        let others = [
            Entry { seq: JournalSeq(8), ..entry }.hash(GENESIS),
            Entry { kind: EntryKind::Skipped, ..entry }.hash(GENESIS),
            Entry { recorded_at: UnixMillis(10), ..entry }.hash(GENESIS),
            Entry { queue: QueueId(2), ..entry }.hash(GENESIS),
            Entry { payload: b"repost", ..entry }.hash(GENESIS),
            entry.hash(hash),
        ];
        for (changed, other) in others.iter().enumerate() {
            assert_ne!(*other, hash, "change {changed}");
        }
    }
}
