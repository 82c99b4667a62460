//! Two teams: how likely each is to win, and what the result and its margin say.
//!
//! The result is an inequality between two Gaussian performances, as in TrueSkill (Herbrich, Minka, Graepel 2006, in the crate
//! `normal`). The margin is the difference of the performances itself, seen on a scale that is learned: an observation of a Gaussian,
//! winsorised at two deviations. Both describe the same contest, so that a configuration gives them weights whose sum is 1.

use normal::{above, probability_below};
use plugin_sdk::LineUp;

use crate::grid::{GRID, LANES, Lanes};
use crate::mixture;
use crate::queue::{self, Layout, SPREAD_RANGE, SPREADS};
use crate::reading::Scale;
use crate::team::{Evidence, Team};
use crate::terms::{Offset, Terms};

/// An observed difference counts up to so many deviations of what was expected of it.
const WINSOR: f64 = 2.0;

/// Largest margin, in deviations of margins.
const MARGIN_MAX: f64 = 3.0;

/// Draws and contests that the share of draws starts from.
const DRAWS_AT_FIRST: (f64, f64) = (0.5, 10.0);

/// The two teams of a contest compared.
#[derive(Clone, Debug)]
pub(crate) struct Duel {
    /// Expected difference.
    mean: Lanes,
    /// Variance of the skills, of the terms, and of the performances about them.
    variance: Lanes,
    noise: f64,
    /// Half width of a draw, as a difference.
    draw: f64,
    terms: Terms,
}

impl Duel {
    /// Compares the teams of a line-up.
    pub(crate) fn of(layout: &Layout, memory: &[u8], line_up: &LineUp, teams: &[Team]) -> Self {
        let (first, second) = (&teams[0], &teams[1]);
        let noise = first.noise + second.noise;
        let (deviation, larger) = (noise.sqrt(), if first.size > second.size { first.size } else { second.size });
        // In units that leave a term the same chance whatever the number of players.
        let unit = deviation * core::f64::consts::FRAC_1_SQRT_2;
        let mut terms = Terms::default();
        terms.push_side(layout, &line_up.setting, 0, unit);
        terms.push_side(layout, &line_up.setting, 1, -unit);
        if larger > 0.0 {
            terms.push_experience(unit * (first.experience - second.experience) / larger);
            terms.push_size(unit * (first.size - second.size) / larger);
        }
        let Offset { mean: offset, variance: offset_variance } = terms.offset(memory);
        let (mut mean, mut variance) = ([0.0; LANES], [0.0; LANES]);
        for lane in 0..LANES {
            mean[lane] = first.mean[lane] - second.mean[lane] + offset;
            variance[lane] = first.variance[lane] + second.variance[lane] + offset_variance + noise;
        }
        let draw = deviation * draw_half_width(layout, memory, line_up.setting.mode);
        Duel { mean, variance, noise, draw, terms }
    }

    /// Whether anybody was there.
    pub(crate) fn was_played(&self) -> bool {
        self.noise > 0.0
    }

    /// Probability that the first team wins plus half of that of a draw, under each configuration.
    pub(crate) fn probabilities(&self) -> Lanes {
        // A performance that is rounded to win, draw or loss is seen through noise as wide as the draw.
        let blur = self.draw * self.draw;
        let mut probabilities = [0.5; LANES];
        for (lane, probability) in probabilities.iter_mut().enumerate() {
            *probability = probability_below(self.mean[lane] / (self.variance[lane] + blur).sqrt()).clamp(1e-4, 1.0 - 1e-4);
        }
        probabilities
    }

    /// What the result says about the first team: `share` of a win, and the margin in deviations of margins where there is one.
    pub(crate) fn evidence(&self, share: f64, margin: Option<f64>, spreads: &Lanes, weights: &Lanes) -> Evidence {
        let mut evidence = Evidence::NONE;
        let spread = mixture::mean(weights, spreads);
        let deviation = self.noise.sqrt();
        for (lane, configuration) in GRID.iter().enumerate() {
            let (mean, variance) = (self.mean[lane], self.variance[lane]);
            let (pull, sharpening) = self.of_result(mean, variance, share);
            evidence.result_pull[lane] = pull;
            let (mut pulled, mut sharpened) = (pull, sharpening);
            if let Some(margin) = margin {
                let weight = configuration.margin;
                let seen = margin * (spreads[lane] / spread).sqrt();
                let reach = WINSOR * variance.sqrt();
                let surprise = (seen.clamp(-MARGIN_MAX, MARGIN_MAX) * deviation - mean).clamp(-reach, reach);
                pulled += weight * (surprise / variance - pull);
                sharpened += weight * (1.0 / variance - sharpening);
            }
            evidence.pull[lane] = pulled;
            evidence.sharpening[lane] = sharpened;
        }
        evidence
    }

    fn of_result(&self, mean: f64, variance: f64, share: f64) -> (f64, f64) {
        if share == 0.5 {
            // Somewhere within the width of a draw.
            let seen = variance + self.draw * self.draw / 3.0;
            return (-mean / seen, 1.0 / seen);
        }
        let sign = if share > 0.5 { 1.0 } else { -1.0 };
        let deviation = variance.sqrt();
        let observed = above(sign * mean / deviation, self.draw / deviation);
        (sign * observed.shift / deviation, (1.0 - observed.variance_left) / variance)
    }

    /// Square of the difference that each configuration expects, per unit of noise.
    fn spreads(&self) -> Lanes {
        core::array::from_fn(|lane| (self.mean[lane] * self.mean[lane] + self.variance[lane]) / self.noise)
    }

    /// The mixture's expectation of the squared difference, per unit of noise.
    pub(crate) fn spread(&self, weights: &Lanes) -> f64 {
        mixture::mean(weights, &self.spreads())
    }

    /// Learns what all contests have in common. Done before the evidence is weighed.
    pub(crate) fn teach_spreads(&self, memory: &mut [u8], contests: f64, trust: f64) -> Lanes {
        let step = trust * (1.0 / (contests + 2.0)).max(0.002);
        let mut spreads = self.spreads();
        for (lane, spread) in spreads.iter_mut().enumerate() {
            let before = queue::number(memory, SPREADS + lane);
            *spread = (before + step * (*spread - before)).clamp(SPREAD_RANGE.0, SPREAD_RANGE.1);
            queue::set(memory, SPREADS + lane, *spread);
        }
        spreads
    }

    /// Learns the terms from the evidence, as the mixture sees it.
    pub(crate) fn teach_terms(&self, memory: &mut [u8], evidence: &Evidence, weights: &Lanes, trust: f64) {
        let pull = trust * mixture::mean(weights, &evidence.pull);
        let sharpening = trust * mixture::mean(weights, &evidence.sharpening);
        self.terms.teach(memory, pull, sharpening, trust);
    }
}

/// Half width of a draw in deviations of the performances: where the share of draws among equals is the one seen in the mode.
fn draw_half_width(layout: &Layout, memory: &[u8], mode: Option<u16>) -> f64 {
    let row = layout.mode(mode);
    let draws = queue::number(memory, row.draws()) + DRAWS_AT_FIRST.0;
    let share = draws / (queue::number(memory, row.contests()) + DRAWS_AT_FIRST.1);
    // The first terms of the inverse of the error function: exact to a percent for shares up to six in ten.
    let x = share.clamp(0.0, 0.6) * 0.886_226_925_452_758;
    core::f64::consts::SQRT_2 * x * (1.0 + x * x * (1.0 / 3.0 + x * x * (7.0 / 30.0 + x * x * 127.0 / 630.0)))
}

/// Learns how often a mode ends in a draw.
pub(crate) fn teach_draws(layout: &Layout, memory: &mut [u8], mode: Option<u16>, share: f64, trust: f64) {
    let row = layout.mode(mode);
    let drew = if share == 0.5 { trust } else { 0.0 };
    let (contests, draws) = (queue::number(memory, row.contests()), queue::number(memory, row.draws()));
    // Halved from time to time: what was long ago counts less, and the sums stay exact.
    let keep = if contests >= 4_096.0 { 0.5 } else { 1.0 };
    queue::set(memory, row.contests(), keep * contests + trust);
    queue::set(memory, row.draws(), keep * draws + drew);
}

/// The margin in deviations of margins, signed by the result, after the scale has learned from it.
pub(crate) fn margin(memory: &mut [u8], scale: Scale, difference: f64, share: f64, spread: f64, trust: f64) -> Option<f64> {
    if difference == 0.0 && share != 0.5 {
        // Scores that do not tell who won, or are not kept.
        return None;
    }
    let size = scale.learn(memory, difference.abs(), spread, trust)?;
    Some(if share == 0.5 { 0.0 } else { size.copysign(share - 0.5) })
}
