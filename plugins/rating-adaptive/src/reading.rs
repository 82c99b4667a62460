//! What scores and statistics say, on scales that are learned per mode.
//!
//! Nothing is assumed about a statistic but that its sign and weight are the same for all: one that the winning team usually
//! has more of counts for a player, one that the losing team has more of counts against him, and one that has nothing to do with
//! winning counts for little. What a team has more of than the other is in the margin already; here only the differences among
//! the members of a team count.

use plugin_sdk::{Contest, Entrant};

use crate::queue::{self, Layout, ModeRow};

/// A scale learns at least this much from each value.
const STEP_MIN: f64 = 0.003;

/// The logarithm of a scale moves by no more than this at once, whatever a game server claims.
const LOG_STEP_MAX: f64 = 0.5;

/// The same as long as the scale is not settled.
const LOG_STEP_MAX_AT_FIRST: f64 = 1.0;

/// Values, by trust, after which a scale is settled. Until then one far below the scale starts it anew.
const SETTLED_AFTER: f64 = 20.0;

/// A square below this is far below the scale: a twentieth of it, which honest values are one time in twenty-five.
const SQUARE_MIN: f64 = 0.0025;

/// Least and most that the logarithm of a scale may be.
const LOG_RANGE: (f64, f64) = (-14.0, 60.0);

/// Scores and statistics count up to so much: their differences and squares stay numbers.
const VALUE_MAX: f64 = 1e12;

/// A score or statistic within what the engine works with.
pub(crate) fn bounded(value: f64) -> f64 {
    value.clamp(-VALUE_MAX, VALUE_MAX)
}

/// Squares count up to so much for a scale.
const SQUARE_MAX: f64 = 25.0;

/// Values within the scale are cut off beyond so many deviations.
const DEVIATIONS_MAX: f64 = 3.0;

/// Agreement that a statistic starts from, in contests: its sign must first be earned.
const AGREEMENT_AT_FIRST: f64 = 5.0;

/// What is left of the agreement after a contest.
const AGREEMENT_FADING: f64 = 0.999;

/// A statistic line counts up to so many deviations.
const WINSOR: f64 = 2.0;

/// The deviation of a kind of value, learned robustly: where the queue's memory keeps it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale(pub(crate) usize);

impl Scale {
    /// Learns from a value of at least 0 whose square, in units of the scale, is expected to be `expected`; gives the value in these
    /// units. `None` as long as nothing but 0 was seen.
    pub(crate) fn learn(self, memory: &mut [u8], value: f64, expected: f64, trust: f64) -> Option<f64> {
        let (seen, log_scale) = (queue::number(memory, self.0), queue::number(memory, self.0 + 1));
        if !(seen > 0.0 && log_scale.abs() <= LOG_RANGE.1) {
            if value == 0.0 {
                return None;
            }
            return Some(self.start(memory, value, expected, trust));
        }
        let ratio = value * libm::exp(-log_scale);
        let square = ratio * ratio / expected;
        let is_settled = seen >= SETTLED_AFTER;
        if !is_settled && value > 0.0 && square < SQUARE_MIN {
            // What was seen so far may have been a lie; too small a scale is soon outgrown, too large a one blinds.
            return Some(self.start(memory, value, expected, trust));
        }
        let step = trust * (1.0 / (seen + 2.0)).max(STEP_MIN);
        let most = if is_settled { LOG_STEP_MAX } else { LOG_STEP_MAX_AT_FIRST };
        let moved = (step * (square.min(SQUARE_MAX) - 1.0)).clamp(-most, most);
        queue::set(memory, self.0, (seen + trust).min(1e6));
        queue::set(memory, self.0 + 1, (log_scale + moved).clamp(LOG_RANGE.0, LOG_RANGE.1));
        Some(ratio * libm::exp(-moved))
    }

    /// Takes a value for what is usual.
    fn start(self, memory: &mut [u8], value: f64, expected: f64, trust: f64) -> f64 {
        queue::set(memory, self.0, trust);
        queue::set(memory, self.0 + 1, (libm::log(value) - 0.5 * libm::log(expected)).clamp(LOG_RANGE.0, LOG_RANGE.1));
        expected.sqrt()
    }

    /// What a value is multiplied with to be in units of the scale; 0 as long as nothing was seen.
    fn unit(self, memory: &[u8]) -> f64 {
        if queue::number(memory, self.0) == 0.0 { 0.0 } else { libm::exp(-queue::number(memory, self.0 + 1)) }
    }

    /// Brings values to units of the scale, cut off at the end of belief.
    fn apply_all(self, memory: &[u8], column: &mut [f64]) {
        let unit = self.unit(memory);
        for value in column {
            *value = (*value * unit).clamp(-DEVIATIONS_MAX, DEVIATIONS_MAX);
        }
    }
}

/// What the statistics of one contest say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lines {
    /// Per entrant: how much better he was than the members of his team on average, in deviations of such lines. `None` where
    /// nobody reported, or nobody stands beside him.
    pub(crate) within: Vec<Option<f64>>,
    /// Per team: how well its members did on average, on no scale.
    pub(crate) teams: Vec<f64>,
}

impl Lines {
    /// Reads the statistics of a contest and learns from them; `standing` says per team how well it did, 0 on average. `None` if there
    /// are none.
    pub(crate) fn read(layout: &Layout, memory: &mut [u8], contest: &Contest, standing: &[f64]) -> Option<Self> {
        let entrants = &contest.line_up.entrants;
        if layout.stats() == 0 || entrants.iter().all(|entrant| entrant.stats.is_empty()) {
            return None;
        }
        let row = layout.mode(contest.line_up.setting.mode);
        let mut composed = vec![0.0; entrants.len()];
        let mut column = vec![0.0; entrants.len()];
        for stat in 0..layout.stats() {
            if !deviations(entrants, stat, &mut column) {
                continue;
            }
            let scale = Scale(row.stat(stat));
            scale.learn(memory, root_mean_square(&column), 1.0, contest.trust);
            scale.apply_all(memory, &mut column);
            let weight = agreement(memory, layout.stat(stat), entrants, &column, standing, contest.trust);
            for (composed, value) in composed.iter_mut().zip(&column) {
                *composed += weight * value;
            }
        }
        let teams = team_means(entrants, &composed, standing.len());
        let within = within_teams(memory, row, contest, &composed, &teams);
        Some(Lines { within, teams })
    }
}

/// Fills `column` with what each entrant has of a statistic, less the mean of all; 0 for who reported nothing. False if nobody did.
fn deviations(entrants: &[Entrant], stat: usize, column: &mut [f64]) -> bool {
    let value = |entrant: &Entrant| entrant.stats.iter().find(|value| usize::from(value.index) == stat).map(|value| bounded(value.value));
    let (mut sum, mut count) = (0.0, 0.0);
    for entrant in entrants {
        if let Some(value) = value(entrant) {
            sum += value;
            count += 1.0;
        }
    }
    for (entrant, column) in entrants.iter().zip(column) {
        *column = value(entrant).map_or(0.0, |value| value - sum / count);
    }
    count > 0.0
}

fn root_mean_square(column: &[f64]) -> f64 {
    let squares: f64 = column.iter().map(|value| value * value).sum();
    (squares / column.len() as f64).sqrt()
}

/// How far more of this statistic goes with winning, -1 to 1, with this contest taken into account.
fn agreement(memory: &mut [u8], at: usize, entrants: &[Entrant], column: &[f64], standing: &[f64], trust: f64) -> f64 {
    let means = team_means(entrants, column, standing.len());
    let (mut agreed, mut moved) = (0.0, 0.0);
    for (mean, standing) in means.iter().zip(standing) {
        agreed += mean * standing;
        moved += (mean * standing).abs();
    }
    let teams = standing.len() as f64;
    let fading = 1.0 - trust * (1.0 - AGREEMENT_FADING);
    let agreed = fading * queue::number(memory, at) + trust * agreed / teams;
    let moved = fading * queue::number(memory, at + 1) + trust * moved / teams;
    queue::set(memory, at, agreed);
    queue::set(memory, at + 1, moved);
    agreed / (moved + AGREEMENT_AT_FIRST)
}

fn team_means(entrants: &[Entrant], column: &[f64], teams: usize) -> Vec<f64> {
    let mut means = vec![(0.0, 0.0); teams];
    for (entrant, value) in entrants.iter().zip(column) {
        let mean = &mut means[usize::from(entrant.team)];
        mean.0 += value;
        mean.1 += 1.0;
    }
    means.into_iter().map(|(sum, count)| sum / count).collect()
}

/// What sets the members of each team apart, on the scale of the mode, which learns from it.
fn within_teams(memory: &mut [u8], row: ModeRow, contest: &Contest, composed: &[f64], teams: &[f64]) -> Vec<Option<f64>> {
    let line_up = &contest.line_up;
    let told = |entrant: &Entrant| !entrant.stats.is_empty() && line_up.team_size(usize::from(entrant.team)) > 1;
    let (mut squares, mut count) = (0.0, 0.0);
    for (entrant, composed) in line_up.entrants.iter().zip(composed) {
        if told(entrant) {
            let apart = composed - teams[usize::from(entrant.team)];
            squares += apart * apart;
            count += 1.0;
        }
    }
    if count == 0.0 {
        return vec![None; composed.len()];
    }
    let scale = Scale(row.line());
    let deviation: f64 = squares / count;
    scale.learn(memory, deviation.sqrt(), 1.0, contest.trust);
    let unit = scale.unit(memory);
    let apart = line_up.entrants.iter().zip(composed).map(|(entrant, composed)| {
        let apart = (composed - teams[usize::from(entrant.team)]) * unit;
        told(entrant).then_some(apart.clamp(-WINSOR, WINSOR))
    });
    apart.collect()
}
