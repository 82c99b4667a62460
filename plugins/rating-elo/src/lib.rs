//! `elo`: the rating of chess, for teams and for any number of them.
//!
//! A. E. Elo, "The Rating of Chessplayers, Past and Present" (1978), with the logistic curve that chess federations use today. A player
//! whose team scored S and was expected to score E moves by `K (S - E)`:
//!
//! | | |
//! |---|---|
//! | expected share between two | `1 / (1 + 10^(-d / scale))` for a difference d of the teams' ratings; it is also the prediction |
//! | a team's rating | the average of its players'; every player moves by his own K times the same surprise |
//! | more than two teams | S and E are means over the pairs with every other team; a contest of k moves a rating like one of two |
//! | draw | half a win |
//! | K | by experience: `k_by_contests` says which K holds from which contest on (120, 60 after 10, 32 after 30; FIDE: 40, 20 after 30); `k` is one K for all |
//!
//! **Uncertainty.** Elo has no belief about its own error; the contract wants one. It is the standard error that the rating has if the
//! skill is constant and the model right. The curve has the slope `1 / (4 s)` with `s = scale / ln 10`, so that a contest takes
//! `a = K / (4 s n)` of a player's error away (n players in the team) and adds `K` times the noise of a score, whose variance among k
//! equals is `v = (k + 1) / (12 (k - 1))`, a quarter for two:
//!
//! ```text
//! variance <- (1 - a)^2 variance + K^2 v
//! ```
//! It starts at `deviation`, falls with every contest and settles near `sqrt(K s / 2)`: 53 points at K = 32. It grows with
//! `deviation_per_day` while a player is away, up to `deviation`. Ratings and predictions do not depend on it; policies may.
//!
//! **Provisional players** are those whose uncertainty is above `provisional_deviation` (with the defaults, in the first two dozen
//! contests, and again after long absence): they are shown `visible_deviations` points lower per point above it.
//!
//! **Trust and presence.** A result trusted by a share moves ratings by that share of K; so does presence, with `participation`.
//!
//! Deliberately absent: scores, statistics, maps and sides.

mod parameters;

use core::f64::consts::LN_10;
use core::ops::Range;

pub use parameters::Parameters;
use plugin_sdk::{
    Contest, Fault, FlatContest, FlatEngine, FlatLineUp, FlatRange, LineUp, ParameterError, Plugin, QueueShape, Rating, RatingEngine,
    Update, predict_flattened, rate_flattened,
};

/// Largest rating, deviation and scale that the engine works with: sums of thousands stay exact.
const MAGNITUDE_MAX: f64 = 1e9;

/// Smallest deviation and scale that the engine works with.
const DEVIATION_MIN: f64 = 1e-6;

const SECONDS_PER_DAY: f64 = 86_400.0;

/// The engine of one queue.
#[derive(Clone, Debug)]
pub struct Elo {
    parameters: Parameters,
    /// Difference in rating at which the odds are e to 1.
    unit: f64,
}

impl Plugin for Elo {
    const NAME: &'static str = "elo";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const PARAMETERS_SCHEMA: &'static str = include_str!("../parameters.schema.json");
    type Parameters = Parameters;

    fn configure(_: &QueueShape, parameters: Parameters) -> Result<Self, Vec<ParameterError>> {
        let errors = parameters.errors();
        let unit = parameters.scale / LN_10;
        if errors.is_empty() { Ok(Elo { parameters, unit }) } else { Err(errors) }
    }
}

impl RatingEngine for Elo {
    fn initial(&self) -> Rating {
        Rating::new(self.parameters.rating, self.parameters.deviation)
    }

    fn rate(&self, contest: &Contest, update: &mut Update) -> Result<(), Fault> {
        rate_flattened(self, contest, update)
    }

    fn predict(&self, line_up: &LineUp, _: &[u8], pairs: &mut Vec<f64>) -> Result<(), Fault> {
        predict_flattened(self, line_up, pairs)
    }

    /// Keeps that share of the distance from the rating of a stranger, and of the variance that experience took away.
    fn soften(&self, rating: &Rating, keep: f64) -> Rating {
        let Parameters { rating: stranger, deviation, .. } = self.parameters;
        let variance = keep * rating.uncertainty * rating.uncertainty + (1.0 - keep) * deviation * deviation;
        Rating::new(stranger + keep * (rating.mean - stranger), variance.sqrt())
    }

    /// The rating itself; less while it is provisional.
    fn visible(&self, rating: &Rating) -> f64 {
        let Parameters { provisional_deviation, visible_deviations, .. } = self.parameters;
        rating.mean - visible_deviations * at_least(0.0, rating.uncertainty - provisional_deviation)
    }

    fn flat(&self) -> Option<&dyn FlatEngine> {
        Some(self)
    }
}

impl FlatEngine for Elo {
    fn range(&self) -> FlatRange {
        FlatRange { mean_max: MAGNITUDE_MAX, uncertainty_min: DEVIATION_MIN, uncertainty_max: MAGNITUDE_MAX }
    }

    fn wants_past(&self) -> bool {
        true
    }

    fn rate_flat(&self, contest: &FlatContest<'_>, mean: &mut [f64], uncertainty: &mut [f64]) -> Result<(), Fault> {
        if contest.trust <= 0.0 {
            return Ok(());
        }
        match *contest.team_end {
            [first_end, _] => {
                let members = [0..first_end as usize, first_end as usize..mean.len()];
                let ratings = members.clone().map(|members| self.team(contest, members, mean));
                let surprise = share(contest.places[0], contest.places[1]) - self.expected(ratings[0], ratings[1]);
                let [first, second] = members;
                self.apply(contest, first, surprise, mean, uncertainty);
                self.apply(contest, second, -surprise, mean, uncertainty);
            }
            _ => {
                let ratings: Vec<f64> = members_of(contest.team_end).map(|members| self.team(contest, members, mean)).collect();
                let surprises = self.surprises(&ratings, contest.places);
                for (members, surprise) in members_of(contest.team_end).zip(surprises) {
                    self.apply(contest, members, surprise, mean, uncertainty);
                }
            }
        }
        Ok(())
    }

    fn predict_flat(&self, line_up: &FlatLineUp<'_>, pairs: &mut Vec<f64>) -> Result<(), Fault> {
        match *line_up.team_end {
            [first_end, _] => {
                let (first, second) = line_up.mean.split_at(first_end as usize);
                pairs.push(self.expected(average(first), average(second)));
            }
            _ => {
                let ratings: Vec<f64> = members_of(line_up.team_end).map(|members| average(&line_up.mean[members])).collect();
                for (index, first) in ratings.iter().enumerate() {
                    pairs.extend(ratings[index + 1..].iter().map(|second| self.expected(*first, *second)));
                }
            }
        }
        Ok(())
    }
}

impl Elo {
    /// Expected share of a win of the first against the second.
    pub fn expected(&self, first: f64, second: f64) -> f64 {
        1.0 / (1.0 + libm::exp((second - first) / self.unit))
    }

    /// The K of a player with this many contests behind him.
    pub fn k(&self, contests: u32) -> f64 {
        let Parameters { k, k_by_contests, .. } = &self.parameters;
        let by_experience = || k_by_contests.iter().rev().find(|(from, _)| contests >= *from).map_or(0.0, |&(_, k)| k);
        k.unwrap_or_else(by_experience)
    }

    /// Rating of a team: the average of its players, those who were there for longer counting more if the operator wants that.
    fn team(&self, contest: &FlatContest<'_>, members: Range<usize>, mean: &[f64]) -> f64 {
        if !self.parameters.participation {
            return average(&mean[members]);
        }
        let present = &contest.presence[members.clone()];
        let (sum, weight) = mean[members.clone()]
            .iter()
            .zip(present)
            .fold((0.0, 0.0), |(sum, weight), (&mean, &share)| (sum + share * mean, weight + share));
        // Nobody was there: nobody will move, but the others are compared with somebody.
        if weight > 0.0 { sum / weight } else { average(&mean[members]) }
    }

    /// Score minus expected score of each team, as means over the pairs with all others.
    fn surprises(&self, ratings: &[f64], places: &[u16]) -> Vec<f64> {
        let mut surprises = vec![0.0; ratings.len()];
        let others = (ratings.len() - 1) as f64;
        for first in 0..ratings.len() {
            for second in first + 1..ratings.len() {
                let surprise = share(places[first], places[second]) - self.expected(ratings[first], ratings[second]);
                surprises[first] += surprise;
                surprises[second] -= surprise;
            }
        }
        surprises.iter_mut().for_each(|surprise| *surprise /= others);
        surprises
    }

    /// Moves the members of one team.
    fn apply(&self, contest: &FlatContest<'_>, members: Range<usize>, surprise: f64, mean: &mut [f64], uncertainty: &mut [f64]) {
        let teams = contest.team_end.len() as f64;
        let noise = (teams + 1.0) / (12.0 * (teams - 1.0));
        let slope = 1.0 / (4.0 * self.unit * members.len() as f64);
        for player in members {
            let present = if self.parameters.participation { contest.presence[player] } else { 1.0 };
            let k = contest.trust * present * self.k(contest.past.contests[player]);
            mean[player] += k * surprise;
            let known = uncertainty[player] * uncertainty[player];
            let variance = known + contest.trust * self.idled(known, contest.past.idle_s[player]);
            // A K beyond any use would overshoot: then nothing of the error is taken to be left.
            let error = at_least(0.0, 1.0 - k * slope);
            uncertainty[player] = at_least(DEVIATION_MIN, (error * error * variance + k * k * noise).sqrt());
        }
    }

    /// By how much a variance grew while a player was away; never beyond that of a stranger.
    fn idled(&self, variance: f64, idle_s: u64) -> f64 {
        let Parameters { deviation, deviation_per_day, .. } = self.parameters;
        let grown = idle_s as f64 / SECONDS_PER_DAY * deviation_per_day * deviation_per_day;
        let room = at_least(0.0, deviation * deviation - variance);
        if grown < room { grown } else { room }
    }
}

/// What the first of two scored: 1, 0.5 or 0.
fn share(first: u16, second: u16) -> f64 {
    match first.cmp(&second) {
        core::cmp::Ordering::Less => 1.0,
        core::cmp::Ordering::Equal => 0.5,
        core::cmp::Ordering::Greater => 0.0,
    }
}

fn average(mean: &[f64]) -> f64 {
    mean.iter().sum::<f64>() / mean.len() as f64
}

/// `f64::max` with a comparison instead of the rules for NaN: a component would call a function for those.
fn at_least(least: f64, value: f64) -> f64 {
    if value > least { value } else { least }
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

plugin_sdk::export_rating!(Elo);
