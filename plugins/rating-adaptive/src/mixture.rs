//! How much each configuration counts, and how far the mixture's probabilities are to be believed.
//!
//! The weights are those of Bayesian model averaging with forgetting (Raftery, Karny, Ettler, "Online prediction under model
//! uncertainty", 2010): each contest multiplies a weight by the likelihood of the result, and older contests fade, so that another
//! configuration can take over when the queue changes. The calibration multiplies the log odds by a slope near 1 (Platt 1999), learned
//! one Newton step a contest.

use crate::grid::{LANES, Lanes};
use crate::queue::{self, Belief, SLOPE, WEIGHTS};

/// What is left of the logarithm of a weight after a contest: the memory of some thousands of contests.
const FADING: f64 = 0.9995;

/// No weight falls below e to this power, relative to the best.
const LOG_WEIGHT_MIN: f64 = -12.0;

/// Most and least the slope may be.
const SLOPE_RANGE: (f64, f64) = (0.3, 1.8);

/// What a contest adds to the variance of the slope, so that it can follow a queue that changes.
const SLOPE_DRIFT: f64 = 2e-6;

/// Probability that is never undercut: nobody is certain of anything.
const PROBABILITY_MIN: f64 = 5e-4;

/// The weights of the configurations; their sum is 1.
pub(crate) fn weights(memory: &[u8]) -> Lanes {
    let mut weights = [0.0; LANES];
    let mut sum = 0.0;
    for (lane, weight) in weights.iter_mut().enumerate() {
        *weight = libm::exp(queue::number(memory, WEIGHTS + lane));
        sum += *weight;
    }
    for weight in &mut weights {
        *weight /= sum;
    }
    weights
}

/// Lets a contest speak for the configurations: `log_likelihood` of its result under each.
pub(crate) fn reweigh(memory: &mut [u8], log_likelihood: &Lanes) {
    let mut logs = [0.0; LANES];
    let mut best = f64::NEG_INFINITY;
    for (lane, log) in logs.iter_mut().enumerate() {
        *log = FADING * queue::number(memory, WEIGHTS + lane) + log_likelihood[lane];
        best = if *log > best { *log } else { best };
    }
    for (lane, log) in logs.iter().enumerate() {
        queue::set(memory, WEIGHTS + lane, (log - best).max(LOG_WEIGHT_MIN));
    }
}

/// The mean of a number over the configurations.
pub(crate) fn mean(weights: &Lanes, numbers: &Lanes) -> f64 {
    weights.iter().zip(numbers).map(|(weight, number)| weight * number).sum()
}

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
