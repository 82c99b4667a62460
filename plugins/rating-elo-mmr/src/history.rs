//! What is remembered of one player: a Gaussian factor and the logistic performances of recent contests (ibid., section 3.2 and 4).
//!
//! Skill's posterior is the product of one Gaussian factor and one logistic factor per contest. The mean is where that product is
//! highest: a robust average, in which performances far off the others count less. Drift ages the factors and turns part of their weight
//! into Gaussian weight at the current mean (the paper's pseudo-diffusion, algorithm 2, with `transfer_speed` as its rho).
//!
//! The factors live in the player's memory: 16 bytes for the Gaussian one, 24 for each performance, the oldest first, all relative to the
//! belief's mean and variance: whoever moves or widens a belief, a season's reset for one, takes its history along. The contract gives
//! 1 KiB, which is [`FACTORS_MAX`]. Of those beyond the engine's limit the oldest is folded into the Gaussian factor with its weight, at the
//! place that leaves the mean where it is. (The reference implementation, which as a rule never folds, keeps its place instead and lets the
//! mean jump.) With the default drift a factor keeps 0.83 of its weight per contest, so that 5 % is left of one that is folded after 16
//! contests.

use plugin_sdk::Fault;

use crate::performance::{TANH_MULTIPLIER, solve, tangent};

/// Logistic factors that fit the memory of a player.
pub const FACTORS_MAX: usize = 42;

const GAUSSIAN_BYTES: usize = 16;
const FACTOR_BYTES: usize = 24;

const _: () = assert!(GAUSSIAN_BYTES + FACTORS_MAX * FACTOR_BYTES <= 1024);

/// One remembered performance.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Factor {
    mean: f64,
    /// How much a distance from the mean is stretched.
    argument: f64,
    /// How strongly the factor pulls at most.
    pull: f64,
}

impl Factor {
    /// Precision of the Gaussian that the factor is at its mean.
    fn weight(&self) -> f64 {
        self.argument * self.pull * 2.0 / (TANH_MULTIPLIER * TANH_MULTIPLIER)
    }
}

/// The factors of one player, and the belief that follows from them.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// Expected skill.
    pub mean: f64,
    /// Its standard deviation.
    pub deviation: f64,
    gaussian_mean: f64,
    gaussian_precision: f64,
    factors: Vec<Factor>,
}

impl History {
    /// A belief without history: one Gaussian factor.
    pub fn fresh(mean: f64, deviation: f64) -> Self {
        History { mean, deviation, gaussian_mean: mean, gaussian_precision: 1.0 / (deviation * deviation), factors: Vec::new() }
    }

    /// Reads what [`Self::write`] wrote; an empty memory is no history.
    ///
    /// # Errors
    /// The memory is not one that this engine writes.
    pub fn read(mean: f64, deviation: f64, memory: &[u8]) -> Result<Self, Fault> {
        let mut history = Self::fresh(mean, deviation);
        if memory.is_empty() {
            return Ok(history);
        }
        let (numbers, rest) = memory.as_chunks::<8>();
        let mut numbers = numbers.iter().map(|bytes| f64::from_le_bytes(*bytes));
        let whole = rest.is_empty() && memory.len() >= GAUSSIAN_BYTES && (memory.len() - GAUSSIAN_BYTES).is_multiple_of(FACTOR_BYTES);
        if !whole || !numbers.clone().all(f64::is_finite) {
            return Err(Fault::OutOfRange);
        }
        let mut next = || numbers.next().ok_or(Fault::OutOfRange);
        (history.gaussian_mean, history.gaussian_precision) = (next()?, next()?);
        history.factors.reserve_exact((memory.len() - GAUSSIAN_BYTES) / FACTOR_BYTES + 1);
        for _ in 0..(memory.len() - GAUSSIAN_BYTES) / FACTOR_BYTES {
            history.factors.push(Factor { mean: next()?, argument: next()?, pull: next()? });
        }
        history.relate(mean, deviation * deviation);
        let sound = history.gaussian_precision > 0.0 && history.factors.iter().all(|factor| factor.argument > 0.0 && factor.pull >= 0.0);
        if sound { Ok(history) } else { Err(Fault::OutOfRange) }
    }

    /// Turns factors that are relative to a belief into absolute ones.
    fn relate(&mut self, mean: f64, variance: f64) {
        self.gaussian_mean += mean;
        self.gaussian_precision /= variance;
        for factor in &mut self.factors {
            factor.mean += mean;
            factor.pull /= variance;
        }
    }

    /// Overwrites a memory with the factors.
    pub fn write(&self, memory: &mut Vec<u8>) {
        memory.clear();
        let variance = self.deviation * self.deviation;
        let mut push = |number: f64| memory.extend_from_slice(&number.to_le_bytes());
        push(self.gaussian_mean - self.mean);
        push(self.gaussian_precision * variance);
        for factor in &self.factors {
            push(factor.mean - self.mean);
            push(factor.argument);
            push(factor.pull * variance);
        }
    }

    /// Ages the belief by a drift of `variance` (ibid., algorithm 2). At an infinite `transfer_speed` all becomes Gaussian.
    pub fn drift(&mut self, variance: f64, transfer_speed: f64) {
        let before = self.deviation * self.deviation;
        let after = before + variance;
        let decay = before / after;
        let transfer = if transfer_speed == 1.0 { decay } else { libm::pow(decay, transfer_speed) };
        self.deviation = after.sqrt();
        let kept = transfer * self.gaussian_precision;
        let weight = self.gaussian_precision + self.factors.iter().map(Factor::weight).sum::<f64>();
        let transferred = (1.0 - transfer) * weight;
        let all = kept + transferred;
        if all > 0.0 {
            self.gaussian_mean = (kept * self.gaussian_mean + transferred * self.mean) / all;
            self.gaussian_precision = decay * all;
        }
        for factor in &mut self.factors {
            factor.pull *= transfer * decay;
        }
    }

    /// Forgets the factors for the Gaussian that the belief is.
    pub fn collapse(&mut self) {
        *self = Self::fresh(self.mean, self.deviation);
    }

    /// Adds a Gaussian performance.
    pub fn add_gaussian(&mut self, performance: f64, deviation: f64) {
        let precision = 1.0 / (deviation * deviation);
        let all = self.gaussian_precision + precision;
        // As a step from the mean: the sum of large numbers would lose what a small step is.
        self.gaussian_mean += (performance - self.gaussian_mean) * (precision / all);
        self.gaussian_precision = all;
        *self = Self::fresh(self.gaussian_mean, 1.0 / all.sqrt());
    }

    /// Adds a logistic performance and keeps the newest `factors_max` (ibid., algorithm 1, lines 9 and 10).
    pub fn add_logistic(&mut self, performance: f64, deviation: f64, factors_max: usize) {
        while self.factors.len() >= factors_max.max(1) {
            let oldest = self.factors.remove(0);
            let all = self.gaussian_precision + oldest.weight();
            let pull = oldest.pull * tangent((self.mean - oldest.mean) * oldest.argument).0;
            let balance = self.gaussian_precision * (self.gaussian_mean - self.mean) - pull;
            self.gaussian_mean = self.mean + balance / all;
            self.gaussian_precision = all;
        }
        let pull = TANH_MULTIPLIER / deviation;
        self.factors.push(Factor { mean: performance, argument: 0.5 * pull, pull });
        self.mean = self.robust_average();
        self.deviation = 1.0 / (1.0 / (self.deviation * self.deviation) + 1.0 / (deviation * deviation)).sqrt();
    }

    /// Where the product of all factors is highest.
    fn robust_average(&self) -> f64 {
        let means = || self.factors.iter().map(|factor| factor.mean);
        let (low, high) = (means().fold(self.gaussian_mean, f64::min), means().fold(self.gaussian_mean, f64::max));
        solve((low, high), self.mean, self.deviation, |x| {
            let gaussian = (self.gaussian_precision * (self.gaussian_mean - x), -self.gaussian_precision);
            self.factors.iter().fold(gaussian, |(sum, slope), factor| {
                let (tanh, square) = tangent((x - factor.mean) * factor.argument);
                (sum - factor.pull * tanh, slope - factor.pull * factor.argument * square)
            })
        })
    }
}
