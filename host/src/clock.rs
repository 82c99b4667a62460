//! The one place in the host where the wall clock is read.
//!
//! Whoever needs the time holds a [`Clock`] and asks it once per event; pure code takes the answer as an argument. Tests turn the hands
//! themselves. Deadlines of sockets are `tokio`'s and do not come from here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use ladder::time::UnixMillis;

/// A handle to the time. Cheap to clone; all clones agree.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Hands(Arc<AtomicU64>),
}

impl Clock {
    /// The clock of the machine. Before 1970 it says 0.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands at `now` until [`Clock::set`] moves it.
    #[must_use]
    pub fn standing_at(now: UnixMillis) -> Self {
        Self(Source::Hands(Arc::new(AtomicU64::new(now.0))))
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> UnixMillis {
        match &self.0 {
            Source::System => {
                let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                UnixMillis(u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX))
            }
            Source::Hands(hands) => UnixMillis(hands.load(Ordering::Relaxed)),
        }
    }

    /// Moves the hands of a clock made by [`Clock::standing_at`]; the machine's clock does not move.
    pub fn set(&self, now: UnixMillis) {
        if let Source::Hands(hands) = &self.0 {
            hands.store(now.0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_clones_of_a_standing_clock_agree() {
        let clock = Clock::standing_at(UnixMillis(5));
        let other = clock.clone();
        clock.set(UnixMillis(9));
        assert_eq!(other.now(), UnixMillis(9));
    }
}
