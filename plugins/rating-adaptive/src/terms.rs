//! What decides contests besides skill: the side a team plays on, there and on this map and in this mode, experience, and
//! the number of players.
//!
//! Each is a Gaussian belief of the queue, learned from results like one more player whom all configurations share.

use plugin_sdk::Setting;

use crate::queue::{self, Belief, EXPERIENCE, Layout, Priors, SIZE};

/// Before the first contest: nothing is known of sides; experience helps a little; a player more is worth a fair chance more.
pub(crate) const PRIORS: Priors = Priors {
    slope: Belief { mean: 1.0, variance: 0.04 },
    experience: Belief { mean: 0.0, variance: 0.02 },
    size: Belief { mean: 1.5, variance: 2.0 },
    side: Belief { mean: 0.0, variance: 0.25 },
    place: Belief { mean: 0.0, variance: 0.03 },
};

/// What one contest adds to the variance of a term: games are patched.
const DRIFT: f64 = 1e-6;

/// A term moves by at most so many of its deviations in one contest: no single result decides what a queue believes.
const STEP_MAX: f64 = 0.25;

/// Bounds of a term, in deviations of a performance, and of how unsure it is.
pub(crate) const MEAN_MAX: f64 = 5.0;
const VARIANCE_MIN: f64 = 1e-6;
pub(crate) const VARIANCE_MAX: f64 = 4.0;

/// Most terms that one team of a contest has.
const TERMS_MAX: usize = 10;

/// The terms of one contest, as multiples of beliefs of the queue.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Terms {
    count: usize,
    at: [usize; TERMS_MAX],
    value: [f64; TERMS_MAX],
}

/// What the terms expect of a team or of a difference.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Offset {
    pub(crate) mean: f64,
    pub(crate) variance: f64,
}

impl Terms {
    fn push(&mut self, at: usize, value: f64) {
        if value != 0.0 && self.count < TERMS_MAX {
            self.at[self.count] = at;
            self.value[self.count] = value;
            self.count += 1;
        }
    }

    /// Adds the side of a team; `value` is its sign and scale.
    pub(crate) fn push_side(&mut self, layout: &Layout, setting: &Setting, team: usize, value: f64) {
        let Some(side) = setting.sides.get(team).copied().flatten() else { return };
        let map = setting.map.and_then(|map| layout.map_side(map, side));
        let mode = setting.mode.and_then(|mode| layout.mode_side(mode, side));
        for at in [layout.side(side), map, mode].into_iter().flatten() {
            self.push(at, value);
        }
    }

    /// Adds what experience brings.
    pub(crate) fn push_experience(&mut self, value: f64) {
        self.push(EXPERIENCE, value);
    }

    /// Adds what numbers bring.
    pub(crate) fn push_size(&mut self, value: f64) {
        self.push(SIZE, value);
    }

    fn each(&self) -> impl Iterator<Item = (usize, f64)> {
        self.at.into_iter().zip(self.value).take(self.count)
    }

    /// What is expected of these terms.
    pub(crate) fn offset(&self, memory: &[u8]) -> Offset {
        let mut offset = Offset::default();
        for (at, value) in self.each() {
            let belief = belief(memory, at);
            offset.mean += value * belief.mean;
            offset.variance += value * value * belief.variance;
        }
        offset
    }

    /// Learns from a contest: `pull` and `sharpening` of the performance to which the terms belong, `step` the share of a whole
    /// contest that this is.
    pub(crate) fn teach(&self, memory: &mut [u8], pull: f64, sharpening: f64, step: f64) {
        // Where the evidence leaves out how unsure the terms are, together they would take it up more than once.
        let taken: f64 = self.each().map(|(at, value)| value * value * belief(memory, at).variance * sharpening).sum();
        let part = if taken > 1.0 { 1.0 / taken } else { 1.0 };
        for (at, value) in self.each() {
            let Belief { mean, variance } = belief(memory, at);
            let variance = variance + DRIFT * step;
            let reach = part * value * variance;
            let left = (variance - reach * value * variance * sharpening).clamp(VARIANCE_MIN, VARIANCE_MAX);
            let most = STEP_MAX * variance.sqrt();
            let mean = (mean + (reach * pull).clamp(-most, most)).clamp(-MEAN_MAX, MEAN_MAX);
            queue::write(memory, at, Belief { mean, variance: left });
        }
    }
}

/// The belief about a term; one that was never within bounds is held at them.
fn belief(memory: &[u8], at: usize) -> Belief {
    let Belief { mean, variance } = queue::read(memory, at);
    if mean.abs() <= MEAN_MAX && (0.0..=VARIANCE_MAX).contains(&variance) { Belief { mean, variance } } else { PRIORS.place }
}

/// Effect of experience on a player: 1 more with each doubling of the contests, in a straight line between.
pub(crate) fn experience(contests: u32) -> f64 {
    let count = u64::from(contests) + 1;
    let doublings = count.ilog2();
    f64::from(doublings) + (count as f64 / (1_u64 << doublings) as f64 - 1.0)
}
