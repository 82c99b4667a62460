//! Three and more teams: places as observed performances.
//!
//! A place is read as the performance that would be expected of it: the normal score of its rank, on the scale of the field. Each
//! team is then compared with the mean of the field. That is linear in the number of teams, and a field of twenty does not
//! count as a hundred and ninety contests, which it is not.

use normal::probability_below;
use plugin_sdk::LineUp;

use crate::grid::{GRID, LANES, Lanes};
use crate::queue::Layout;
use crate::reading::bounded;
use crate::team::{Evidence, Team};
use crate::terms::{Offset, Terms};

/// An observed performance counts up to so many deviations of what was expected of it.
const WINSOR: f64 = 2.0;

/// Variance of a place about the performance, per unit of the performance's own: what luck in the field adds.
const PLACE_NOISE: f64 = 1.5;

/// Scores that agree with the places by less than this do not count.
const AGREEMENT_MIN: f64 = 0.3;

/// Share of the field, from the back, that counts as one place in the configurations that say so.
const TAIL: f64 = 0.5;

/// Most pairs that the configurations are compared by.
const PAIRS_MAX: usize = 276;

/// A field before a contest.
pub(crate) struct Field {
    /// Expected performance, variance of the skills and noise per team.
    teams: Vec<(Lanes, Lanes, f64)>,
    terms: Vec<Terms>,
}

/// What the places and scores of a contest say about performances, in deviations.
pub(crate) struct Standing {
    /// All places counted.
    pub(crate) places: Vec<f64>,
    /// The tail of the field taken together.
    lumped: Vec<f64>,
    /// From scores or statistics, where they agree with the places.
    pub(crate) scores: Option<Vec<f64>>,
}

impl Field {
    /// The field of a line-up.
    pub(crate) fn of(layout: &Layout, memory: &[u8], line_up: &LineUp, teams: &[Team]) -> Self {
        let largest = teams.iter().map(|team| team.size).fold(f64::MIN_POSITIVE, f64::max);
        let terms = teams.iter().enumerate().map(|(index, team)| {
            let unit = team.noise.sqrt();
            let mut terms = Terms::default();
            terms.push_side(layout, &line_up.setting, index, unit);
            if team.size > 0.0 {
                terms.push_experience(unit * team.experience / team.size);
                terms.push_size(unit * (team.size / largest - 1.0));
            }
            terms
        });
        let terms: Vec<Terms> = terms.collect();
        let expected = teams.iter().zip(&terms).map(|(team, terms)| {
            // How unsure a term is concerns all teams alike, more or less: it leaves differences alone.
            let Offset { mean, .. } = terms.offset(memory);
            (team.mean.map(|skill| skill + mean), team.variance, team.noise)
        });
        Field { teams: expected.collect(), terms }
    }

    /// Probability for each pair of teams that the first is placed before the second, by the mixture.
    pub(crate) fn pairs(&self, weights: &Lanes, mut each: impl FnMut(usize, usize, f64)) {
        let collapsed: Vec<(f64, f64)> = self.teams.iter().map(|team| collapse(team, weights)).collect();
        for (index, first) in collapsed.iter().enumerate() {
            for (other, second) in collapsed.iter().enumerate().skip(index + 1) {
                each(index, other, compare(*first, *second));
            }
        }
    }

    /// Likelihood of the places under each configuration, relative to the best, as of so many pairs as the contest is worth.
    pub(crate) fn likelihood(&self, places: &[u16]) -> Lanes {
        let count = self.teams.len();
        let pairs = count * (count - 1) / 2;
        // Of a large field every few neighbors in the order of places are compared.
        let stride = pairs.div_ceil(PAIRS_MAX);
        let order = self.order(places);
        let mut log_likelihood = [0.0; LANES];
        for (lane, log_likelihood) in log_likelihood.iter_mut().enumerate() {
            let of = |team: usize| {
                let (mean, variance, noise) = &self.teams[team];
                (mean[lane], variance[lane] + noise)
            };
            let (mut sum, mut compared) = (0.0, 0.0);
            for lag in (1..count).step_by(stride) {
                // Few logarithms: the product of a column of pairs stays above the smallest number.
                let mut product = 1.0;
                for (first, second) in order.iter().zip(&order[lag..]) {
                    let probability = compare(of(*first), of(*second)).clamp(1e-4, 1.0 - 1e-4);
                    let drew = places[*first] == places[*second];
                    product *= if drew { (probability * (1.0 - probability)).sqrt() } else { probability };
                    compared += 1.0;
                    if product < 1e-250 {
                        sum += libm::log(product);
                        product = 1.0;
                    }
                }
                sum += libm::log(product);
            }
            *log_likelihood = contest_worth(count) * sum / compared;
        }
        let best = log_likelihood.iter().fold(f64::NEG_INFINITY, |best, log| if *log > best { *log } else { best });
        log_likelihood.map(|log| libm::exp(log - best))
    }

    /// The teams by place; equal places by what is expected of them, so that the order of reporting plays no part.
    fn order(&self, places: &[u16]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..places.len()).collect();
        order.sort_by(|&a, &b| places[a].cmp(&places[b]).then(self.teams[b].0[0].total_cmp(&self.teams[a].0[0])));
        order
    }

    /// What the standing says about each team.
    pub(crate) fn evidence(&self, standing: &Standing) -> Vec<Evidence> {
        let count = self.teams.len() as f64;
        let mut evidence = vec![Evidence::NONE; self.teams.len()];
        for (lane, configuration) in GRID.iter().enumerate() {
            let mean = self.teams.iter().map(|(mean, ..)| mean[lane]).sum::<f64>() / count;
            let spread = self.teams.iter().map(|(expected, variance, noise)| {
                let apart = expected[lane] - mean;
                variance[lane] + noise + apart * apart
            });
            let deviation = (spread.sum::<f64>() / count).sqrt();
            let places = if configuration.lumped { &standing.lumped } else { &standing.places };
            for (team, (expected, variance, noise)) in self.teams.iter().enumerate() {
                if *noise == 0.0 {
                    continue;
                }
                let seen = variance[lane] + PLACE_NOISE * noise;
                let (reach, apart) = (WINSOR * seen.sqrt(), expected[lane] - mean);
                let surprise = |score: f64| (score * deviation - apart).clamp(-reach, reach);
                // Each team is part of the field that it is compared with.
                let share = (1.0 - 1.0 / count) / seen;
                let result = surprise(places[team]);
                let score = standing.scores.as_ref().map_or(result, |scores| surprise(scores[team]));
                evidence[team].result_pull[lane] = share * result;
                evidence[team].pull[lane] = share * (result + configuration.margin * (score - result));
                evidence[team].sharpening[lane] = share;
            }
        }
        evidence
    }

    /// Learns the terms; a whole contest teaches about as much as its better half against the other.
    pub(crate) fn teach_terms(&self, memory: &mut [u8], evidence: &[Evidence], weights: &Lanes, trust: f64) {
        let step = trust * 2.0 / self.teams.len() as f64;
        for (terms, evidence) in self.terms.iter().zip(evidence) {
            let pull = step * crate::mixture::mean(weights, &evidence.pull);
            let sharpening = step * crate::mixture::mean(weights, &evidence.sharpening);
            terms.teach(memory, pull, sharpening, step);
        }
    }
}

/// How many independent pairs a contest of `count` teams is worth.
pub(crate) fn contest_worth(count: usize) -> f64 {
    (count as f64 - 1.0).min(4.0)
}

/// A team as the mixture sees it: expected performance and its variance.
fn collapse((mean, variance, noise): &(Lanes, Lanes, f64), weights: &Lanes) -> (f64, f64) {
    (crate::mixture::mean(weights, mean), crate::mixture::mean(weights, variance) + noise)
}

fn compare((mean, variance): (f64, f64), (other, other_variance): (f64, f64)) -> f64 {
    let both = variance + other_variance;
    if both > 0.0 { probability_below((mean - other) / both.sqrt()) } else { 0.5 }
}

impl Standing {
    /// Reads places, and scores where there are any.
    pub(crate) fn of(places: &[u16], scores: Option<&[f64]>) -> Self {
        let normal = normal_scores(places);
        let scores = scores.and_then(|scores| standard_scores(scores, &normal));
        Standing { lumped: lump(places, &normal), places: normal, scores }
    }
}

/// The normal score of each place; equal places share one.
fn normal_scores(places: &[u16]) -> Vec<f64> {
    let count = places.len() as f64;
    let score = |place: &u16| {
        let better = places.iter().filter(|other| *other < place).count() as f64;
        let equal = places.iter().filter(|other| *other == place).count() as f64;
        quantile(1.0 - (better + 0.5 * equal) / count)
    };
    places.iter().map(score).collect()
}

/// The same with the [`TAIL`] of the field on one place.
fn lump(places: &[u16], scores: &[f64]) -> Vec<f64> {
    let count = places.len() as f64;
    let behind = |place: &u16| places.iter().filter(|other| *other > place).count() as f64;
    let is_tail: Vec<bool> = places.iter().map(|place| behind(place) + 0.5 < TAIL * count).collect();
    let (sum, lumped) =
        scores.iter().zip(&is_tail).filter(|(_, tail)| **tail).fold((0.0, 0.0), |(sum, n), (score, _)| (sum + score, n + 1.0));
    scores.iter().zip(&is_tail).map(|(score, tail)| if *tail { sum / lumped } else { *score }).collect()
}

/// Scores less their mean, in deviations, higher for better whichever way the game counts; `None` where they do not agree with the places.
fn standard_scores(scores: &[f64], places: &[f64]) -> Option<Vec<f64>> {
    let count = scores.len() as f64;
    let scores: Vec<f64> = scores.iter().copied().map(bounded).collect();
    let mean = scores.iter().sum::<f64>() / count;
    let deviation = (scores.iter().map(|score| (score - mean) * (score - mean)).sum::<f64>() / count).sqrt();
    if !(deviation > 0.0 && deviation.is_finite()) {
        return None;
    }
    let standard: Vec<f64> = scores.iter().map(|score| (score - mean) / deviation).collect();
    let agreement = standard.iter().zip(places).map(|(score, place)| score * place).sum::<f64>() / count;
    let sign = if agreement > 0.0 { 1.0 } else { -1.0 };
    (agreement.abs() >= AGREEMENT_MIN).then(|| standard.into_iter().map(|score| sign * score).collect())
}

/// The quantile of the standard normal at `p`, exact to 5e-4 (Abramowitz and Stegun, 26.2.23).
fn quantile(p: f64) -> f64 {
    let tail = if p < 0.5 { p } else { 1.0 - p };
    let t = (-2.0 * libm::log(tail)).sqrt();
    let upper = (2.515_517 + t * (0.802_853 + t * 0.010_328)) / (1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308)));
    if p < 0.5 { upper - t } else { t - upper }
}
