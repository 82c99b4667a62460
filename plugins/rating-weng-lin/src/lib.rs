//! `weng-lin`: a rating engine with the models of Weng and Lin, known as OpenSkill.
//!
//! Teams of any size, draws, free-for-all; one closed form per contest, without iterations. [`model`] holds the mathematics and its
//! source; this file is the plugin around it: the walk from entrants to teams and back.
//!
//! ```text
//! players --(tau, presence, balance)--> teams --model--> evidence --(presence, trust, kappa)--> players
//! ```
//! * **Teams.** A team's mean and variance are the sums of its players'. A player's mean moves by his variance times the pull on the
//!   team, his variance by the factor `1 - variance * sharpening`, `kappa` at least (paper, equations 24 and 25).
//! * **Predictions.** `p = F((m_i - m_q) / sqrt(s_i^2 + s_q^2 + 2 beta^2))` per pair of teams, F logistic or normal as the model has it.
//!   Both are symmetric, so that p is the share of a win, a draw counting as half of one.
//! * **Inactivity.** With `tau_per_day`, uncertainty grows while a player is away, up to that about a player never seen.
//! * **Provisional players.** Uncertainty says how provisional a rating is, and the visible rating, `mean - 3 uncertainty`, starts at the
//!   bottom: a new player has to be known to be seen.
//! * **Trust.** A result trusted by a share counts as that share of the evidence, its drift included; without trust nothing changes.
//!
//! Deliberately absent: statistics, maps and sides.

pub mod model;
mod parameters;

use core::ops::Range;

use model::{Evidence, Game, Margin, Model, Team, logistic};
pub use parameters::{MarginEffect, Parameters, Participation, Prediction};
use plugin_sdk::{
    Contest, Fault, FlatContest, FlatEngine, FlatLineUp, FlatPast, FlatRange, LineUp, ParameterError, Plugin, QueueShape, Rating,
    RatingEngine, Update, predict_flattened, rate_flattened,
};

/// Largest mean, uncertainty and scale parameter that the engine works with: squares and sums of thousands stay exact.
const MAGNITUDE_MAX: f64 = 1e9;

/// Smallest uncertainty and noise that the engine works with.
const DEVIATION_MIN: f64 = 1e-9;

const SECONDS_PER_DAY: f64 = 86_400.0;

/// The engine of one queue.
#[derive(Clone, Copy, Debug)]
pub struct WengLin {
    parameters: Parameters,
    game: Game,
    /// Every player of a team counts alike: neither balance nor presence weighs them.
    alike: bool,
    /// Drift of a skill while its owner is away, as a variance per second.
    idle_drift: f64,
}

impl Plugin for WengLin {
    const NAME: &'static str = "weng-lin";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const PARAMETERS_SCHEMA: &'static str = include_str!("../parameters.schema.json");
    type Parameters = Parameters;

    fn configure(_: &QueueShape, parameters: Parameters) -> Result<Self, Vec<ParameterError>> {
        let errors = parameters.errors();
        let game = Game {
            model: parameters.model,
            beta_squared: parameters.beta * parameters.beta,
            epsilon: parameters.epsilon,
            gamma: parameters.gamma,
            window: usize::from(parameters.window),
            averaged: parameters.averaged,
        };
        let alike = !parameters.balance && parameters.participation == Participation::Ignored;
        let idle_drift = parameters.tau_per_day * parameters.tau_per_day / SECONDS_PER_DAY;
        if errors.is_empty() { Ok(WengLin { parameters, game, alike, idle_drift }) } else { Err(errors) }
    }
}

impl RatingEngine for WengLin {
    fn initial(&self) -> Rating {
        Rating::new(self.parameters.mu, self.parameters.sigma)
    }

    fn rate(&self, contest: &Contest, update: &mut Update) -> Result<(), Fault> {
        rate_flattened(self, contest, update)
    }

    fn predict(&self, line_up: &LineUp, _: &[u8], pairs: &mut Vec<f64>) -> Result<(), Fault> {
        predict_flattened(self, line_up, pairs)
    }

    /// Evidence is precision: keeping a share of what is known keeps that share of the precision beyond the initial one, and the
    /// mean moves toward the initial mean by as much as the evidence for the difference went.
    fn soften(&self, rating: &Rating, keep: f64) -> Rating {
        let precision = |deviation: f64| 1.0 / (deviation * deviation);
        let (fresh, known) = (precision(self.parameters.sigma), precision(rating.uncertainty));
        let left = fresh + keep * (known - fresh);
        let weighted = fresh * self.parameters.mu + keep * (known * rating.mean - fresh * self.parameters.mu);
        Rating::new(weighted / left, (1.0 / left).sqrt())
    }

    /// A value that the skill exceeds with near certainty: the ordinal of OpenSkill.
    fn visible(&self, rating: &Rating) -> f64 {
        ordinal(rating.mean, rating.uncertainty)
    }

    fn flat(&self) -> Option<&dyn FlatEngine> {
        Some(self)
    }
}

impl FlatEngine for WengLin {
    fn range(&self) -> FlatRange {
        FlatRange { mean_max: MAGNITUDE_MAX, uncertainty_min: DEVIATION_MIN, uncertainty_max: MAGNITUDE_MAX }
    }

    fn wants_past(&self) -> bool {
        self.parameters.tau_per_day > 0.0
    }

    fn rate_flat(&self, contest: &FlatContest<'_>, mean: &mut [f64], uncertainty: &mut [f64]) -> Result<(), Fault> {
        if contest.trust <= 0.0 {
            return Ok(());
        }
        let before = if self.parameters.limit_sigma { uncertainty.to_vec() } else { Vec::new() };
        // From here to the end of `apply` the column holds variances.
        let variance = uncertainty;
        self.drift(contest.past, contest.trust, variance);
        let margin = Margin(if self.parameters.margin_effect == MarginEffect::Gap { self.parameters.margin } else { 0.0 });
        match *contest.team_end {
            [first_end, _] => {
                let first = self.team(contest, 0, 0..first_end as usize, mean, variance)?;
                let second = self.team(contest, 1, first_end as usize..mean.len(), mean, variance)?;
                let evidence = self.game.two_teams(&first, &second, margin);
                self.apply(contest, &evidence, mean, variance);
            }
            _ => {
                let teams = members_of(contest.team_end).enumerate();
                let teams: Vec<Team> =
                    teams.map(|(team, members)| self.team(contest, team, members, mean, variance)).collect::<Result<_, _>>()?;
                let mut evidence = vec![Evidence::default(); teams.len()];
                self.game.many_teams(&teams, margin, &mut evidence);
                self.apply(contest, &evidence, mean, variance);
            }
        }
        for (after, before) in variance.iter_mut().zip(before) {
            *after = after.min(before);
        }
        Ok(())
    }

    fn predict_flat(&self, line_up: &FlatLineUp<'_>, pairs: &mut Vec<f64>) -> Result<(), Fault> {
        match *line_up.team_end {
            [first_end, _] => {
                let first = self.expected(line_up, 0..first_end as usize)?;
                let second = self.expected(line_up, first_end as usize..line_up.mean.len())?;
                pairs.push(self.share(&first, &second, 2));
            }
            _ => {
                let teams = members_of(line_up.team_end).map(|members| self.expected(line_up, members));
                let teams: Vec<Team> = teams.collect::<Result<_, _>>()?;
                for (index, first) in teams.iter().enumerate() {
                    pairs.extend(teams[index + 1..].iter().map(|second| self.share(first, second, teams.len())));
                }
            }
        }
        Ok(())
    }
}

impl WengLin {
    /// Probability that the first of `teams` teams does better than the second, a draw counting as half.
    fn share(&self, first: &Team, second: &Team, teams: usize) -> f64 {
        let thurstone_mosteller = self.game.model.is_thurstone_mosteller();
        let (normal, noises) = match self.parameters.prediction {
            Prediction::Model => (thurstone_mosteller, 2.0),
            Prediction::Logistic => (false, 2.0),
            Prediction::Normal => (true, 2.0),
            Prediction::NormalField => (true, teams as f64),
        };
        let gap = (first.mean - second.mean) / (first.variance + second.variance + noises * self.game.beta_squared).sqrt();
        if normal { normal::probability_below(gap) } else { logistic(gap) }
    }

    /// A team before the contest. Who will leave early is not known then, and `tau` is what the next update adds.
    fn expected(&self, line_up: &FlatLineUp<'_>, members: Range<usize>) -> Result<Team, Fault> {
        let balance = match self.parameters.balance {
            true => {
                let idle = |player| self.idle_variance(line_up.past, player, line_up.uncertainty[player]);
                self.balance(&line_up.mean[members.clone()], &members.clone().map(idle).collect::<Vec<_>>())
            }
            false => Balance::OFF,
        };
        let mut sum = Team::default();
        for player in members {
            let variance = self.idle_variance(line_up.past, player, line_up.uncertainty[player]);
            let weight = balance.weight(line_up.mean[player], variance);
            sum.mean += weight * line_up.mean[player];
            sum.variance += weight * weight * variance;
        }
        finite(sum)
    }

    /// Variance of the belief about an entrant after what drifted while he was away.
    fn idle_variance(&self, past: FlatPast<'_>, entrant: usize, uncertainty: f64) -> f64 {
        let variance = uncertainty * uncertainty;
        let Some(&idle_s) = past.idle_s.get(entrant) else { return variance };
        let grown = variance + idle_s as f64 * self.idle_drift;
        let limit = self.parameters.sigma * self.parameters.sigma;
        // Idleness makes nobody less known than a player never seen.
        if grown < limit {
            grown
        } else if variance < limit {
            limit
        } else {
            variance
        }
    }

    /// Turns uncertainties into variances and lets skills drift since the last contest, by as much as the contest is trusted to have
    /// been one.
    fn drift(&self, past: FlatPast<'_>, trust: f64, uncertainty: &mut [f64]) {
        let tau_squared = trust * self.parameters.tau * self.parameters.tau;
        for (entrant, uncertainty) in uncertainty.iter_mut().enumerate() {
            let known = *uncertainty * *uncertainty;
            let idle = self.idle_variance(past, entrant, *uncertainty) - known;
            *uncertainty = known + trust * idle + tau_squared;
        }
    }

    /// A team as it is rated: the sum of its players.
    fn team(&self, contest: &FlatContest<'_>, team: usize, members: Range<usize>, mean: &[f64], variance: &[f64]) -> Result<Team, Fault> {
        let score = contest.scores.get(team).copied();
        if self.alike {
            let (mean, variance) = sums(&mean[members.clone()], &variance[members]);
            return Ok(Team { mean, variance, place: contest.places[team], score });
        }
        let balance = self.balance(&mean[members.clone()], &variance[members.clone()]);
        let shared = self.parameters.participation == Participation::Share;
        let mut sum = Team { place: contest.places[team], score, ..Team::default() };
        for player in members {
            let mut weight = balance.weight(mean[player], variance[player]);
            if shared {
                weight *= contest.presence[player];
            }
            sum.mean += weight * mean[player];
            sum.variance += weight * weight * variance[player];
        }
        finite(sum)
    }

    fn balance(&self, mean: &[f64], variance: &[f64]) -> Balance {
        if !self.parameters.balance {
            return Balance::OFF;
        }
        let ordinals = mean.iter().zip(variance).map(|(&mean, variance)| ordinal(mean, variance.sqrt()));
        Balance { best: ordinals.reduce(f64::max), kappa: self.parameters.kappa }
    }

    /// Moves every entrant by the evidence about its team, and turns variances into uncertainties.
    fn apply(&self, contest: &FlatContest<'_>, evidence: &[Evidence], mean: &mut [f64], variances: &mut [f64]) {
        for (team, (members, said)) in members_of(contest.team_end).zip(evidence).enumerate() {
            let pull = contest.trust * self.step(contest.scores, team) * said.pull;
            let sharpening = contest.trust * said.sharpening;
            let kappa = self.parameters.kappa;
            if self.alike {
                for (mean, variance) in mean[members.clone()].iter_mut().zip(&mut variances[members]) {
                    let known = *variance;
                    *mean += known * pull;
                    *variance = at_least(DEVIATION_MIN, (known * at_least(kappa, 1.0 - known * sharpening)).sqrt());
                }
                continue;
            }
            let weights = self.weights(&contest.presence[members.clone()], said.pull);
            for player in members {
                let (reach, square) = weights.of(contest.presence[player]);
                let known = variances[player];
                mean[player] += reach * known * pull;
                variances[player] = at_least(DEVIATION_MIN, (known * at_least(kappa, 1.0 - square * known * sharpening)).sqrt());
            }
        }
    }

    /// By how much more the means of a team move because its score lay far from the others' (openskill.js).
    fn step(&self, scores: &[f64], team: usize) -> f64 {
        let Parameters { margin, margin_effect, .. } = self.parameters;
        if margin_effect != MarginEffect::Step || margin <= 0.0 || scores.is_empty() {
            return 1.0;
        }
        let beyond = |score: &f64| libm::log1p(((score - scores[team]).abs() - margin).max(0.0));
        1.0 + scores.iter().map(beyond).sum::<f64>() / (scores.len() - 1) as f64
    }

    fn weights(&self, presence: &[f64], pull: f64) -> Weights {
        match self.parameters.participation {
            Participation::Ignored => Weights::Ignored,
            Participation::Share => Weights::Share,
            Participation::Openskill => {
                let (least, most) =
                    presence.iter().fold((1.0, 0.0), |(least, most), &share| (f64::min(least, share), f64::max(most, share)));
                let gains = if self.game.model == Model::ThurstoneMostellerPartial { pull > 0.0 } else { pull >= 0.0 };
                Weights::Openskill { least, most, alone: presence.len() == 1, gains }
            }
        }
    }
}

/// How the presence of a team's players weighs what is learned of them.
#[derive(Clone, Copy, Debug)]
enum Weights {
    Ignored,
    Share,
    Openskill { least: f64, most: f64, alone: bool, gains: bool },
}

impl Weights {
    /// Factors on the step of the mean, and on the sharpening of the variance.
    fn of(self, presence: f64) -> (f64, f64) {
        match self {
            Weights::Ignored => (1.0, 1.0),
            Weights::Share => (presence, presence * presence),
            Weights::Openskill { least, most, alone, gains } => {
                let weight = match most - least {
                    _ if alone => 2.0,
                    range if range > 0.0 => 1.0 + (presence - least) / range,
                    _ => 1.0,
                };
                if gains { (weight, weight) } else { (1.0 / weight, 1.0 / weight) }
            }
        }
    }
}

/// Gives players below the best of their team more weight, as openskill.py and openskill.js do.
///
/// The formula divides by the best ordinal: it means something where that is well above 0, which takes a `mu` well above
/// `3 sigma`. It is reproduced as it is; what it makes of ordinals at exactly 0 is refused.
#[derive(Clone, Copy, Debug)]
struct Balance {
    /// The highest ordinal of the team; none without balance.
    best: Option<f64>,
    kappa: f64,
}

impl Balance {
    const OFF: Balance = Balance { best: None, kappa: 0.0 };

    fn weight(self, mean: f64, variance: f64) -> f64 {
        match self.best {
            Some(best) => 1.0 + (best - ordinal(mean, variance.sqrt())) / (best + self.kappa),
            None => 1.0,
        }
    }
}

/// Two sums at once, over every other entry side by side: two lanes of a vector unit.
fn sums(mean: &[f64], variance: &[f64]) -> (f64, f64) {
    let (mut means, mut variances) = ([0.0; 2], [0.0; 2]);
    let (mean_pairs, mean_rest) = mean.as_chunks::<2>();
    let (variance_pairs, variance_rest) = variance.as_chunks::<2>();
    for (mean, variance) in mean_pairs.iter().zip(variance_pairs) {
        means[0] += mean[0];
        means[1] += mean[1];
        variances[0] += variance[0];
        variances[1] += variance[1];
    }
    for (mean, variance) in mean_rest.iter().zip(variance_rest) {
        means[0] += mean;
        variances[0] += variance;
    }
    (means[0] + means[1], variances[0] + variances[1])
}

/// A sum that balance did not blow up.
fn finite(team: Team) -> Result<Team, Fault> {
    if team.mean.is_finite() && team.variance.is_finite() { Ok(team) } else { Err(Fault::OutOfRange) }
}

/// `f64::max` with a comparison instead of the rules for NaN: a component would call a function for those.
fn at_least(least: f64, value: f64) -> f64 {
    if value > least { value } else { least }
}

/// A value that a skill exceeds with near certainty.
fn ordinal(mean: f64, uncertainty: f64) -> f64 {
    mean - 3.0 * uncertainty
}

/// Where the members of each team stand.
fn members_of(team_end: &[u32]) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    team_end.iter().map(move |&end| {
        let members = start..end as usize;
        start = end as usize;
        members
    })
}

plugin_sdk::export_rating!(WengLin);
