//! How much each configuration counts, and how far the mixture's probabilities are to be believed.
//!
//! The weights are those of Bayesian model averaging with a fixed share (Herbster, Warmuth, "Tracking the best expert", 1998): each
//! contest multiplies a weight by the likelihood of its result, and a small part of all weight is dealt out evenly, so that another
//! configuration can take over when the queue changes. The calibration multiplies the log odds by a slope near 1 (Platt 1999), learned
//! one Newton step a contest.

use crate::grid::{LANES, Lanes};
use crate::queue::{self, Belief, SLOPE, WEIGHTS};

/// Part of all weight that is dealt out evenly after a contest.
const SHARE: f64 = 3e-4;

/// A contest speaks against a configuration by this factor at most: 1/e. One result, true or not, does not turn everything over.
const FAIREST: f64 = 0.367_879_441_171_442_3;

/// Most and least the slope may be.
pub(crate) const SLOPE_RANGE: (f64, f64) = (0.3, 1.8);

/// What a contest adds to the variance of the slope, so that it can follow a queue that changes.
const SLOPE_DRIFT: f64 = 2e-6;

/// Probability that is never undercut: nobody is certain of anything.
const PROBABILITY_MIN: f64 = 5e-4;

/// The weights of the configurations; their sum is 1.
pub(crate) fn weights(memory: &[u8]) -> Lanes {
    let weights: Lanes = core::array::from_fn(|lane| queue::number(memory, WEIGHTS + lane));
    // Seven digits are stored.
    let sum = mean(&weights, &[1.0; LANES]);
    weights.map(|weight| weight / sum)
}

/// Lets a contest speak for the configurations: `likelihood` of its result under each, on any scale.
pub(crate) fn reweigh(memory: &mut [u8], likelihood: &Lanes, trust: f64) {
    let before = weights(memory);
    let best = likelihood.iter().fold(0.0, |best, likelihood| if *likelihood > best { *likelihood } else { best });
    let likelihood = &likelihood.map(|likelihood| if likelihood > FAIREST * best { likelihood } else { FAIREST * best });
    let expected = mean(&before, likelihood);
    // A result of little trust is a mixture itself: of what was seen and of what anybody would have expected.
    let spoken = likelihood.map(|likelihood| expected + trust * (likelihood - expected));
    let sum = mean(&before, &spoken);
    for lane in 0..LANES {
        let weight = before[lane] * spoken[lane] / sum;
        queue::set(memory, WEIGHTS + lane, weight + trust * SHARE * (1.0 / LANES as f64 - weight));
    }
}

/// The mean of a number over the configurations.
pub(crate) fn mean(weights: &Lanes, numbers: &Lanes) -> f64 {
    // Every other product goes to a sum of its own: two lanes of a vector unit.
    let mut sums = [0.0; 2];
    for (weights, numbers) in weights.as_chunks::<2>().0.iter().zip(numbers.as_chunks::<2>().0) {
        sums[0] += weights[0] * numbers[0];
        sums[1] += weights[1] * numbers[1];
    }
    sums[0] + sums[1]
}

const _: () = assert!(LANES.is_multiple_of(2));

/// The slope of the calibration.
pub(crate) fn slope(memory: &[u8]) -> f64 {
    queue::number(memory, SLOPE)
}

/// A probability with its log odds multiplied by the slope.
pub(crate) fn calibrated(probability: f64, slope: f64) -> f64 {
    at_odds(slope * log_odds(probability)).clamp(PROBABILITY_MIN, 1.0 - PROBABILITY_MIN)
}

fn log_odds(probability: f64) -> f64 {
    let kept = probability.clamp(PROBABILITY_MIN, 1.0 - PROBABILITY_MIN);
    libm::log(kept / (1.0 - kept))
}

fn at_odds(log_odds: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-log_odds))
}

/// What pairs of teams say about the slope.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SlopeEvidence {
    gradient: f64,
    information: f64,
}

impl SlopeEvidence {
    /// Adds a pair that was given `probability` and ended with `share` of a win.
    pub(crate) fn add(&mut self, probability: f64, share: f64, slope: f64) {
        let odds = log_odds(probability);
        let expected = at_odds(slope * odds);
        self.gradient += (share - expected) * odds;
        self.information += expected * (1.0 - expected) * odds * odds;
    }

    /// Moves the slope; the evidence counts by `weight`.
    pub(crate) fn teach(&self, memory: &mut [u8], weight: f64) {
        let Belief { mean, variance } = queue::read(memory, SLOPE);
        let variance = 1.0 / (1.0 / (variance + SLOPE_DRIFT * weight.min(1.0)) + weight * self.information);
        let mean = (mean + variance * weight * self.gradient).clamp(SLOPE_RANGE.0, SLOPE_RANGE.1);
        queue::write(memory, SLOPE, Belief { mean, variance });
    }
}
