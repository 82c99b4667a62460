//! How often one peer may ask for something: a leaky bucket that remembers one instant.

use std::time::Duration;

use ladder::time::UnixMillis;

/// A rate with a burst. `burst` events may come at once; after that one every `period / burst`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    /// Events at once, 1 or more.
    pub(super) burst: u32,
    /// In which the whole burst comes back.
    pub(super) period: Duration,
}

/// What one peer has used of a [`Rate`].
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Budget {
    /// When nothing of it is used any more.
    whole_at: UnixMillis,
}

impl Budget {
    /// Uses the budget once.
    ///
    /// # Errors
    /// It is used up: how long until it will do again.
    pub(super) fn spend(&mut self, rate: Rate, now: UnixMillis) -> Result<(), Duration> {
        let cost = rate.period / rate.burst.max(1);
        let whole_at = self.whole_at.max(now).plus(cost);
        match whole_at.since(now).checked_sub(rate.period) {
            None | Some(Duration::ZERO) => {
                self.whole_at = whole_at;
                Ok(())
            }
            Some(over) => Err(over),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_one_per_share_of_the_period() {
        let rate = Rate { burst: 3, period: Duration::from_secs(30) };
        let mut budget = Budget::default();
        let at = |seconds: u64| UnixMillis(1_000_000 + seconds * 1000);
        let table = [
            (0, true),
            (0, true),
            (0, true),
            (0, false),
            (9, false),
            (10, true),
            (10, false),
            (100, true),
            (100, true),
            (100, true),
            (100, false),
        ];
        for (step, (second, passes)) in table.into_iter().enumerate() {
            assert_eq!(budget.spend(rate, at(second)).is_ok(), passes, "step {step}");
        }
    }

    #[test]
    fn a_refusal_says_how_long_it_lasts() {
        let rate = Rate { burst: 1, period: Duration::from_secs(2) };
        let mut budget = Budget::default();
        assert_eq!(budget.spend(rate, UnixMillis(0)), Ok(()));
        assert_eq!(budget.spend(rate, UnixMillis(500)), Err(Duration::from_millis(1500)));
    }
}
