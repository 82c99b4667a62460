//! Gaussian beliefs about skill, updated by the placing of teams: pure mathematics, no plugin in sight.
//!
//! The model is that of Herbrich, Minka and Graepel, "TrueSkill: A Bayesian skill rating system" (NIPS 2006): a player performs
//! at skill plus noise of deviation `beta`, a team at the weighted sum of its players, a team places before another if it
//! performs better by more than the draw margin. Two teams have a closed form. For more, expectation propagation runs
//! along the chain of neighbouring places until its messages stop moving.

use normal::{Truncated, above, half_width_of, probability_below, within};

/// Sweeps along the chain of places at most. A dozen is usual; only chains of a hundred teams with many surprises come near.
const SWEEPS_MAX: usize = 100;

/// A sweep that moves no message by more than this share of its team's scale ends the propagation.
const SETTLED: f64 = 1e-12;

/// What the update assumes about the game, on the scale of the ratings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Game {
    /// Deviation of a performance from the skill, as a variance.
    pub(crate) beta_squared: f64,
    /// How much a skill may have drifted since the last contest, as a variance.
    pub(crate) tau_squared: f64,
    /// Half width of a draw for one player, in units of the performance's deviation.
    margin_per_root_player: f64,
}

impl Game {
    /// A game with performance noise `beta` above 0, drift `tau` of at least 0 per contest, and a probability of draws between
    /// equals from 0 to below 1.
    pub fn new(beta: f64, tau: f64, draw_probability: f64) -> Self {
        Game { beta_squared: beta * beta, tau_squared: tau * tau, margin_per_root_player: half_width_of(draw_probability) * beta }
    }

    /// Skill difference within which two teams with `players` players together draw.
    pub(crate) fn margin(&self, players: f64) -> f64 {
        self.margin_per_root_player * players.sqrt()
    }
}

/// Belief about one skill.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Belief {
    /// Expected skill.
    pub mean: f64,
    /// Standard deviation, above 0.
    pub uncertainty: f64,
}

/// A team before the contest, as the sum of its players.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Team {
    /// Number of players, however short they were present.
    players: f64,
    /// Expected performance.
    mean: f64,
    /// Variance of the performance.
    variance: f64,
}

impl Team {
    /// A team of players who are there from beginning to end, each with the drift since the last contest if `drifted`.
    ///
    /// Sums run over every other player side by side: two lanes of a vector unit.
    pub fn of(game: &Game, mean: &[f64], uncertainty: &[f64], drifted: bool) -> Self {
        let (mut means, mut variances) = ([0.0; 2], [0.0; 2]);
        let (mean_pairs, mean_rest) = mean.as_chunks::<2>();
        let (uncertainty_pairs, uncertainty_rest) = uncertainty.as_chunks::<2>();
        for (mean, uncertainty) in mean_pairs.iter().zip(uncertainty_pairs) {
            means[0] += mean[0];
            means[1] += mean[1];
            variances[0] += uncertainty[0] * uncertainty[0];
            variances[1] += uncertainty[1] * uncertainty[1];
        }
        for (mean, uncertainty) in mean_rest.iter().zip(uncertainty_rest) {
            means[0] += mean;
            variances[0] += uncertainty * uncertainty;
        }
        let players = mean.len() as f64;
        let own = if drifted { game.beta_squared + game.tau_squared } else { game.beta_squared };
        Team { players, mean: means[0] + means[1], variance: variances[0] + variances[1] + players * own }
    }

    /// Adds a player who was present for share `weight` (0 to 1) and whose belief has `variance`.
    pub fn add(&mut self, game: &Game, mean: f64, variance: f64, weight: f64) {
        self.players += 1.0;
        self.mean += weight * mean;
        self.variance += weight * weight * (variance + game.beta_squared);
    }

    /// Adds seats that stayed empty: each performs as a player would of whom it is known that his skill is `skill`.
    pub fn add_missing(&mut self, game: &Game, seats: usize, skill: f64) {
        let seats = seats as f64;
        self.players += seats;
        self.mean += seats * skill;
        self.variance += seats * game.beta_squared;
    }
}

/// What a contest says about the performance of one team, in the form in which every member's skill follows from it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Evidence {
    /// How far one unit of a member's variance moves the member's mean.
    pub pull: f64,
    /// How much one unit of a member's variance shrinks it, per unit.
    pub sharpening: f64,
}

impl Evidence {
    /// The skill of a member of `variance` who was present for share `weight`, after the contest.
    pub fn apply(&self, mean: f64, variance: f64, weight: f64) -> Belief {
        let reach = weight * variance;
        // What is left is above 0: a team's variance exceeds each member's weighted share of it by beta at least.
        let left = variance - reach * reach * self.sharpening;
        Belief { mean: mean + reach * self.pull, uncertainty: above_zero(left).sqrt() }
    }
}

impl Evidence {
    /// The skills of the members of one team, all of whom were there from beginning to end.
    pub fn apply_to_all(&self, game: &Game, mean: &mut [f64], uncertainty: &mut [f64]) {
        for (mean, uncertainty) in mean.iter_mut().zip(uncertainty) {
            let variance = *uncertainty * *uncertainty + game.tau_squared;
            *mean += variance * self.pull;
            *uncertainty = above_zero(variance * (1.0 - variance * self.sharpening)).sqrt();
        }
    }
}

/// `f64::max` with a comparison instead of the rules for NaN: a component would call a function for those.
fn above_zero(value: f64) -> f64 {
    if value > f64::MIN_POSITIVE { value } else { f64::MIN_POSITIVE }
}

/// How two teams compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// The first placed before the second.
    Won,
    /// Equal places.
    Drew,
    /// The second placed before the first.
    Lost,
}

/// What a contest of two teams says about each: the closed form.
pub fn two_teams(game: &Game, first: Team, second: Team, comparison: Comparison) -> [Evidence; 2] {
    let variance = first.variance + second.variance;
    if variance <= 0.0 {
        // Nobody was present: the contest says nothing.
        return [Evidence::default(); 2];
    }
    let deviation = variance.sqrt();
    let gap = (first.mean - second.mean) / deviation;
    let margin = game.margin(first.players + second.players) / deviation;
    let (sign, observed) = match comparison {
        Comparison::Won => (1.0, above(gap, margin)),
        Comparison::Drew => (1.0, within(gap, margin)),
        Comparison::Lost => (-1.0, above(-gap, margin)),
    };
    let pull = sign * observed.shift / deviation;
    let sharpening = (1.0 - observed.variance_left) / variance;
    [Evidence { pull, sharpening }, Evidence { pull: -pull, sharpening }]
}

/// A Gaussian message by precision and precision times mean; zero says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Message {
    precision: f64,
    weighted_mean: f64,
}

impl Message {
    fn times(self, other: Message) -> Message {
        Message { precision: self.precision + other.precision, weighted_mean: self.weighted_mean + other.weighted_mean }
    }

    /// What this message about a difference says about one side, when the other side is `mean` with `variance`; `sign` is 1
    /// for the first side, -1 for the second.
    fn seen_from(self, mean: f64, variance: f64, sign: f64) -> Message {
        let shrink = 1.0 / (1.0 + variance * self.precision);
        Message { precision: self.precision * shrink, weighted_mean: (sign * self.weighted_mean + self.precision * mean) * shrink }
    }

    /// Whether the message differs from `old` by more than rounding does, for a team whose own `prior` sets the scale.
    fn moved_from(self, old: Message, prior: Message) -> bool {
        let precision = prior.precision + old.precision;
        let weighted_mean = prior.weighted_mean.abs() + old.weighted_mean.abs() + prior.precision.sqrt();
        (self.precision - old.precision).abs() > SETTLED * precision
            || (self.weighted_mean - old.weighted_mean).abs() > SETTLED * weighted_mean
    }
}

/// One team in the chain of places.
#[derive(Clone, Copy, Debug)]
struct Link {
    team: usize,
    prior: Message,
    /// From the comparison with the team placed before.
    from_better: Message,
    /// From the comparison with the team placed after.
    from_worse: Message,
    /// Draw margin of the comparison with the team placed after, and whether it was a draw.
    margin: f64,
    drew: bool,
}

/// Scratch space for contests of three and more teams.
#[derive(Debug, Default)]
pub struct Chain(Vec<Link>);

impl Chain {
    /// What a contest says about each team, written to `evidence` in the order of `teams`; `places` count from 0, equal
    /// places are draws.
    pub fn propagate(&mut self, game: &Game, teams: &[Team], places: &[u16], evidence: &mut Vec<Evidence>) {
        self.line_up(game, teams, places);
        for _ in 0..SWEEPS_MAX {
            if !self.sweep() {
                break;
            }
        }
        evidence.clear();
        evidence.resize(teams.len(), Evidence::default());
        for link in &self.0 {
            let team = teams[link.team];
            let said = link.from_better.times(link.from_worse);
            // The likelihood and the prior of the performance meet; seen from a member, the rest of the team is noise.
            let share = 1.0 / (1.0 + team.variance * said.precision);
            evidence[link.team] =
                Evidence { pull: (said.weighted_mean - said.precision * team.mean) * share, sharpening: said.precision * share };
        }
    }

    /// Orders the teams by place. Teams without anybody present say nothing and are left out.
    fn line_up(&mut self, game: &Game, teams: &[Team], places: &[u16]) {
        self.0.clear();
        for (index, team) in teams.iter().enumerate() {
            if team.variance > 0.0 {
                let prior = Message { precision: 1.0 / team.variance, weighted_mean: team.mean / team.variance };
                let silent = Message::default();
                let link = Link { team: index, prior, from_better: silent, from_worse: silent, margin: 0.0, drew: false };
                self.0.push(link);
            }
        }
        self.0.sort_by_key(|link| (places[link.team], link.team));
        for index in 1..self.0.len() {
            let (better, worse) = (self.0[index - 1].team, self.0[index].team);
            self.0[index - 1].margin = game.margin(teams[better].players + teams[worse].players);
            self.0[index - 1].drew = places[better] == places[worse];
        }
    }

    /// Passes messages down the chain and up again; whether any of them moved.
    fn sweep(&mut self) -> bool {
        let comparisons = self.0.len().saturating_sub(1);
        let mut moved = false;
        for index in (0..comparisons).chain((0..comparisons.saturating_sub(1)).rev()) {
            moved |= self.compare(index);
        }
        // A single comparison is exact at once.
        moved && comparisons > 1
    }

    /// Lets the comparison of two neighbours speak to both.
    fn compare(&mut self, index: usize) -> bool {
        let (better, worse) = (self.0[index], self.0[index + 1]);
        // What is known of either side without this comparison.
        let first = better.prior.times(better.from_better);
        let second = worse.prior.times(worse.from_worse);
        let (first_variance, second_variance) = (1.0 / first.precision, 1.0 / second.precision);
        let (first_mean, second_mean) = (first.weighted_mean * first_variance, second.weighted_mean * second_variance);
        let variance = first_variance + second_variance;
        let deviation = variance.sqrt();
        let gap = (first_mean - second_mean) / deviation;
        let margin = better.margin / deviation;
        let Truncated { shift, variance_left } = if better.drew { within(gap, margin) } else { above(gap, margin) };
        // New over old: precision 1/(v left) - 1/v, and the same for the precision times the mean.
        let said = Message {
            precision: (1.0 - variance_left).max(0.0) / (variance * variance_left),
            weighted_mean: ((gap + shift) / variance_left - gap) / deviation,
        };
        let to_better = said.seen_from(second_mean, second_variance, 1.0);
        let to_worse = said.seen_from(first_mean, first_variance, -1.0);
        let moved = to_better.moved_from(better.from_worse, better.prior) || to_worse.moved_from(worse.from_better, worse.prior);
        self.0[index].from_worse = to_better;
        self.0[index + 1].from_better = to_worse;
        moved
    }
}

/// Probability that the first team does better than the second, an even performance split in halves: what a rating says
/// before the contest about the share of a win.
///
/// The draw margin has no part in it: it takes as much from the first as from the second. Neither has the drift, which the
/// next update adds.
pub fn expected_share(first: Team, second: Team) -> f64 {
    let variance = first.variance + second.variance;
    if variance > 0.0 { probability_below((first.mean - second.mean) / variance.sqrt()) } else { 0.5 }
}

/// How even a contest would be, 0 to 1: the density of a draw of all neighbouring teams, relative to that between teams of
/// known and equal skill (ibid., section 4, for any number of teams).
///
/// Each team is a list of beliefs with the weights of the players.
pub fn quality(beta: f64, teams: &[Vec<(Belief, f64)>]) -> f64 {
    // Per team: expected performance, variance from noise alone, and with the beliefs.
    let sums = teams.iter().map(|team| {
        team.iter().fold((0.0, 0.0, 0.0), |(mean, noise, all), (belief, weight)| {
            let square = weight * weight;
            let variance = belief.uncertainty * belief.uncertainty;
            (mean + weight * belief.mean, noise + square * beta * beta, all + square * (variance + beta * beta))
        })
    });
    let sums: Vec<(f64, f64, f64)> = sums.collect();
    // The differences of neighbours have tridiagonal covariances: a neighbour shares one team. Elimination gives both
    // determinants, as the product of the pivots, and the quadratic form on the way.
    let (mut ratio, mut form) = (1.0, 0.0);
    let (mut noise_pivot, mut all_pivot, mut carried) = (0.0, 0.0, 0.0);
    for (index, pair) in sums.windows(2).enumerate() {
        let ((mean, noise, all), (next_mean, next_noise, next_all)) = (pair[0], pair[1]);
        let mut gap = mean - next_mean;
        let (mut next_noise_pivot, mut next_all_pivot) = (noise + next_noise, all + next_all);
        if index > 0 {
            next_noise_pivot -= noise * noise / noise_pivot;
            next_all_pivot -= all * all / all_pivot;
            gap += all / all_pivot * carried;
        }
        (noise_pivot, all_pivot, carried) = (next_noise_pivot, next_all_pivot, gap);
        ratio *= noise_pivot / all_pivot;
        form += gap * gap / all_pivot;
    }
    ratio.sqrt() * libm::exp(-0.5 * form)
}
