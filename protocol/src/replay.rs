//! Hellos seen lately. Saves the public-key operations that a replayed hello would cost; its replay dies at M3 anyway.

use alloc::collections::{BTreeSet, VecDeque};

use ladder::time::UnixMillis;

use crate::frame::CLOCK_SKEW_MS_MAX;
use crate::id::Identity;

/// Hellos remembered at once.
pub const REPLAY_ENTRIES_MAX: usize = 65_536;
/// How long a hello is remembered: its timestamp may lie two minutes ahead and is refused two minutes after.
pub const REPLAY_WINDOW_MS: u64 = 2 * CLOCK_SKEW_MS_MAX;

type Entry = (Identity, [u8; 32]);

/// Challenges of authentic hellos, at most [`REPLAY_ENTRIES_MAX`] of the last [`REPLAY_WINDOW_MS`].
///
/// Only hellos with a correct HMAC get in. A flood of them, which only the holder of a credential can make, pushes out the oldest: refusing the
/// newest instead would let one certificate lock out all others.
#[derive(Default)]
pub struct ReplayCache {
    seen: BTreeSet<Entry>,
    by_age: VecDeque<(UnixMillis, Entry)>,
}

/// The same hello came before. Close silently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the hello was seen before")]
pub struct Replayed;

impl ReplayCache {
    /// An empty cache.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Remembers a hello.
    ///
    /// # Errors
    ///
    /// [`Replayed`] if it is remembered already.
    pub fn remember(&mut self, identity: Identity, client_challenge: &[u8; 32], now: UnixMillis) -> Result<(), Replayed> {
        while let Some((at, _)) = self.by_age.front()
            && (now.0.saturating_sub(at.0) > REPLAY_WINDOW_MS || self.by_age.len() >= REPLAY_ENTRIES_MAX)
        {
            self.forget_oldest();
        }
        let entry = (identity, *client_challenge);
        if !self.seen.insert(entry) {
            return Err(Replayed);
        }
        self.by_age.push_back((now, entry));
        Ok(())
    }

    fn forget_oldest(&mut self) {
        if let Some((_, entry)) = self.by_age.pop_front() {
            self.seen.remove(&entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hello_is_new_once_within_the_window() {
        let mut cache = ReplayCache::new();
        let (one, other) = (Identity([1; 16]), Identity([2; 16]));
        let at = UnixMillis(1_000_000);
        assert_eq!(cache.remember(one, &[7; 32], at), Ok(()));
        assert_eq!(cache.remember(other, &[7; 32], at), Ok(()));
        assert_eq!(cache.remember(one, &[8; 32], at), Ok(()));
        let last = UnixMillis(at.0 + REPLAY_WINDOW_MS);
        assert_eq!(cache.remember(one, &[7; 32], last), Err(Replayed));
        let after = UnixMillis(last.0 + 1);
        assert_eq!(cache.remember(one, &[7; 32], after), Ok(()));
        assert_eq!(cache.by_age.len(), 1);
    }

    #[test]
    fn a_full_cache_forgets_the_oldest_first() {
        let mut cache = ReplayCache::new();
        let at = UnixMillis(1);
        let challenge = |number: usize| {
            let mut challenge = [0; 32];
            challenge[..8].copy_from_slice(&(number as u64).to_be_bytes());
            challenge
        };
        for number in 0..=REPLAY_ENTRIES_MAX {
            assert_eq!(cache.remember(Identity([0; 16]), &challenge(number), at), Ok(()));
        }
        assert_eq!(cache.seen.len(), REPLAY_ENTRIES_MAX);
        assert_eq!(cache.remember(Identity([0; 16]), &challenge(REPLAY_ENTRIES_MAX), at), Err(Replayed));
        assert_eq!(cache.remember(Identity([0; 16]), &challenge(0), at), Ok(()));
    }
}
