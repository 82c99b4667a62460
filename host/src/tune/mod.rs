//! Better parameters for a queue's rating engine, looked for in what the queue played: never judged on what they were chosen by.
//!
//! ```text
//! journal, in its order   |---- warm up ----|---- candidates are scored, the best is chosen ----|---- the best is confirmed ----|
//! ratings run through      ------------------------------------------------------------------>   (the search stops here)
//!                          ---------------------------------------------------------------------------------------------------->  (two runs)
//! ```
//! Every contest is predicted before it is rated. The gain on the last part is the mean difference of the log losses, contest by contest; its
//! standard error comes from blocks of contests that follow each other, because neighbors are not independent.

pub mod domain;
pub mod search;

use std::ops::ControlFlow;

use ladder::rating::RatingEngine;
use ladder::score::{ContestScore, Score};

use crate::author::backtest::{BacktestFault, Listener, follow};
use crate::author::past::Past;

/// Contests of the last part, at least: of fewer, nothing could be told from noise.
pub const CONFIRMED_MIN: u64 = 200;
/// Contests of one block, at least.
const BLOCK_CONTESTS_MIN: usize = 25;
/// Blocks, at most.
const BLOCKS_MAX: usize = 50;
/// A gain of so many standard errors is beyond noise.
pub const ERRORS_BEYOND_NOISE: f64 = 2.0;

/// Where the parts of a history begin, in contests from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// Candidates are scored from here.
    pub chosen_from: u64,
    /// No candidate is chosen by what comes from here on.
    pub confirmed_from: u64,
    /// Contests in all.
    pub contests: u64,
}

impl Parts {
    /// `None`: the last part would be too short, or one that chooses.
    #[must_use]
    pub fn of(contests: u64, chosen_from: f64, confirmed_from: f64) -> Option<Self> {
        let at = |share: f64| (contests as f64 * share) as u64;
        let parts = Self { chosen_from: at(chosen_from), confirmed_from: at(confirmed_from), contests };
        let fits = parts.confirmed_from > parts.chosen_from && contests.saturating_sub(parts.confirmed_from) >= CONFIRMED_MIN;
        fits.then_some(parts)
    }
}

/// How one set of parameters predicted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scored {
    /// The part that candidates are chosen by.
    pub chosen_on: Score,
    /// The part that none is chosen by.
    pub confirmed_on: Score,
    /// Log loss of each contest of that part, in its order; not a number where the engine declined it.
    losses: Vec<f64>,
    /// Contests declined in both parts.
    pub declined: u64,
}

/// Runs an engine through the history up to position `until`. `progress` hears how many contests are through, and whether to go on is its
/// answer.
///
/// # Errors
/// The plugin's fault. `Ok(None)`: it was to stop.
pub fn score(
    engine: &dyn RatingEngine,
    past: &Past,
    parts: Parts,
    until: u64,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<Option<Scored>, BacktestFault> {
    let mut scoring = Scoring { scored: Scored::default(), parts, until, progress, interrupted: false };
    follow(engine, past, &mut scoring)?;
    Ok((!scoring.interrupted).then_some(scoring.scored))
}

struct Scoring<'a> {
    scored: Scored,
    parts: Parts,
    until: u64,
    progress: &'a mut dyn FnMut(u64) -> bool,
    interrupted: bool,
}

impl Listener for Scoring<'_> {
    fn contest(&mut self, position: u64, places: &[u16], predicted: Option<&[f64]>) {
        if position < self.parts.chosen_from || position >= self.until {
            return;
        }
        let is_confirming = position >= self.parts.confirmed_from;
        let contest = predicted.and_then(|predicted| ContestScore::of(places, predicted));
        self.scored.declined += u64::from(contest.is_none());
        if is_confirming {
            self.scored.losses.push(contest.map_or(f64::NAN, |contest| contest.log_loss));
        }
        if let Some(contest) = contest {
            let score = if is_confirming { &mut self.scored.confirmed_on } else { &mut self.scored.chosen_on };
            score.add_contest(&contest);
        }
    }

    fn through(&mut self, contests: u64) -> ControlFlow<()> {
        if !(self.progress)(contests.min(self.until)) {
            self.interrupted = true;
            return ControlFlow::Break(());
        }
        if contests >= self.until { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// What other parameters gain on contests that they were not chosen by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gain {
    /// Mean difference of the log losses in nats; above zero: the others predict better.
    pub log_loss: f64,
    /// Its standard error, from the means of blocks.
    pub standard_error: f64,
    /// Blocks of contests that follow each other.
    pub blocks: usize,
    /// Contests that both scored.
    pub contests: usize,
}

impl Gain {
    /// Whether it is more than chance explains.
    #[must_use]
    pub fn is_beyond_noise(&self) -> bool {
        self.log_loss > ERRORS_BEYOND_NOISE * self.standard_error
    }
}

/// Compares two runs over the same contests, contest by contest. `None`: they have too few in common.
#[must_use]
pub fn gain(now: &Scored, other: &Scored) -> Option<Gain> {
    let paired = now.losses.iter().zip(&other.losses).map(|(now, other)| now - other);
    let differences: Vec<f64> = paired.filter(|difference| !difference.is_nan()).collect();
    let contests = differences.len();
    let blocks = (contests / BLOCK_CONTESTS_MIN).min(BLOCKS_MAX);
    if blocks < 2 {
        return None;
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let means: Vec<f64> = (0..blocks).map(|block| mean(&differences[contests * block / blocks..contests * (block + 1) / blocks])).collect();
    let (log_loss, of_blocks) = (mean(&differences), mean(&means));
    let variance = means.iter().map(|block| (block - of_blocks).powi(2)).sum::<f64>() / (blocks - 1) as f64;
    Some(Gain { log_loss, standard_error: (variance / blocks as f64).sqrt(), blocks, contests })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(losses: impl Iterator<Item = f64>) -> Scored {
        Scored { losses: losses.collect(), ..Scored::default() }
    }

    #[test]
    fn a_gain_is_paired_and_its_error_comes_from_blocks() {
        // Both lose more in every second contest: unpaired, that would hide the gain.
        let shared = |contest: usize| 0.5 + (contest % 2) as f64 * 0.4;
        let now = run((0..1_000).map(shared));
        let better = run((0..1_000).map(|contest| shared(contest) - 0.01));
        let gained = gain(&now, &better).expect("enough contests");
        assert!((gained.log_loss - 0.01).abs() < 1e-12 && gained.standard_error < 1e-12 && gained.is_beyond_noise(), "{gained:?}");
        assert_eq!((gained.blocks, gained.contests), (40, 1_000));
        // The same mean gain, but from a single stretch: a block says as much as a block.
        let lucky = run((0..1_000).map(|contest| shared(contest) - if (500..525).contains(&contest) { 0.4 } else { 0.0 }));
        let gained = gain(&now, &lucky).expect("enough contests");
        assert!((gained.log_loss - 0.01).abs() < 1e-9 && !gained.is_beyond_noise(), "{gained:?}");
    }

    #[test]
    fn a_contest_that_one_of_them_declined_is_left_out() {
        let now = run((0..100).map(|contest| if contest < 40 { f64::NAN } else { 0.7 }));
        let other = run((0..100).map(|contest| if contest >= 95 { f64::NAN } else { 0.6 }));
        assert_eq!(gain(&now, &other).map(|gain| gain.contests), Some(55));
        assert_eq!(gain(&run(std::iter::repeat_n(0.7, 49)), &run(std::iter::repeat_n(0.6, 49))), None);
    }

    #[test]
    fn the_parts_follow_each_other_and_the_last_is_long_enough() {
        assert_eq!(Parts::of(1_000, 0.3, 0.7), Some(Parts { chosen_from: 300, confirmed_from: 700, contests: 1_000 }));
        assert_eq!(Parts::of(600, 0.3, 0.7), None);
        assert_eq!(Parts::of(10_000, 0.7, 0.7), None);
    }
}
