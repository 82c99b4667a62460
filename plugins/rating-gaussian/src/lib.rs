//! `gaussian`: a rating engine with Gaussian beliefs about skill.
//!
//! Teams of any size, draws, free-for-all. [`gaussian`] holds the mathematics, the crate `normal` the distribution it stands on;
//! this file is the plugin around them: parameters, shapes, and the walk from entrants to teams and back.
//!
//! Deliberately absent: statistics, maps, sides and time between contests; this engine looks at places alone.

pub mod gaussian;

use core::ops::Range;

use gaussian::{Belief, Chain, Comparison, Evidence, Game, Team};
use plugin_sdk::{
    Contest, Fault, FlatContest, FlatEngine, FlatLineUp, FlatRange, LineUp, ParameterError, Plugin, QueueShape, Rating, RatingEngine,
    Update, predict_flattened, rate_flattened,
};

/// Largest mean, uncertainty and scale parameter that the engine works with: squares and sums of thousands stay exact.
const MAGNITUDE_MAX: f64 = 1e9;

/// Smallest uncertainty and noise that the engine works with.
const DEVIATION_MIN: f64 = 1e-9;

/// Smallest share of a contest that counts for a player who took part at all. Of two teams that were hardly there, the draw margin
/// is all that is seen: without a floor the winner would gain in proportion to 1/presence.
const PRESENCE_MIN: f64 = 0.1;

/// Parameters of the engine; all on the scale of `mu`.
#[derive(Clone, Copy, Debug, PartialEq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Parameters {
    /// Mean of a player never seen.
    pub mu: f64,
    /// Uncertainty about a player never seen.
    pub sigma: f64,
    /// How far performances deviate from skill. A gap of 1.2 beta is a win four times in five, both skills known.
    pub beta: f64,
    /// How much a skill may drift from one contest to the next.
    pub tau: f64,
    /// Share of draws between equals, 0 to 0.99.
    pub draw_probability: f64,
    /// Whether a player who was present for part of a contest counts for that part only: for a tenth at least, for nothing if never present.
    pub participation: bool,
}

impl Default for Parameters {
    /// The scale of the paper, but with a beta of 25/4 instead of 25/6: chance decides more of real contests than the paper assumed
    /// (decision 0013).
    fn default() -> Self {
        Parameters { mu: 25.0, sigma: 25.0 / 3.0, beta: 25.0 / 4.0, tau: 25.0 / 300.0, draw_probability: 0.1, participation: false }
    }
}

/// The engine of one queue.
#[derive(Clone, Copy, Debug)]
pub struct Gaussian {
    parameters: Parameters,
    game: Game,
}

impl Plugin for Gaussian {
    const NAME: &'static str = "gaussian";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const PARAMETERS_SCHEMA: &'static str = include_str!("../parameters.schema.json");
    type Parameters = Parameters;

    fn configure(_: &QueueShape, parameters: Parameters) -> Result<Self, Vec<ParameterError>> {
        let Parameters { mu, sigma, beta, tau, draw_probability, .. } = parameters;
        let deviation = DEVIATION_MIN..=MAGNITUDE_MAX;
        let rules = [
            ("mu", mu.abs() <= MAGNITUDE_MAX, "must be within -1e9 and 1e9"),
            ("sigma", deviation.contains(&sigma), "must be above 0, at most 1e9"),
            ("beta", deviation.contains(&beta), "must be above 0, at most 1e9"),
            ("tau", (0.0..=MAGNITUDE_MAX).contains(&tau), "must be 0 or above, at most 1e9"),
            ("draw_probability", (0.0..=0.99).contains(&draw_probability), "must be within 0 and 0.99"),
        ];
        let broken = rules.iter().filter(|(_, holds, _)| !holds);
        let errors: Vec<_> = broken.map(|&(path, _, problem)| ParameterError::new(path, problem)).collect();
        if errors.is_empty() { Ok(Gaussian { parameters, game: Game::new(beta, tau, draw_probability) }) } else { Err(errors) }
    }
}

impl RatingEngine for Gaussian {
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

    /// A value that the skill exceeds with near certainty.
    fn visible(&self, rating: &Rating) -> f64 {
        rating.mean - 3.0 * rating.uncertainty
    }

    fn flat(&self) -> Option<&dyn FlatEngine> {
        Some(self)
    }
}

impl FlatEngine for Gaussian {
    fn range(&self) -> FlatRange {
        FlatRange { mean_max: MAGNITUDE_MAX, uncertainty_min: DEVIATION_MIN, uncertainty_max: MAGNITUDE_MAX }
    }

    fn rate_flat(&self, contest: &FlatContest<'_>, mean: &mut [f64], uncertainty: &mut [f64]) -> Result<(), Fault> {
        match *contest.team_end {
            [first_end, _] => {
                let first = self.sum_rated(contest, 0..first_end as usize, mean, uncertainty);
                let second = self.sum_rated(contest, first_end as usize..mean.len(), mean, uncertainty);
                let evidence = gaussian::two_teams(&self.game, first, second, comparison(contest.places));
                self.apply(contest, &evidence, mean, uncertainty);
            }
            _ => {
                let teams = teams_of(contest.team_end).map(|members| self.sum_rated(contest, members, mean, uncertainty));
                let mut evidence = Vec::new();
                Chain::default().propagate(&self.game, &teams.collect::<Vec<_>>(), contest.places, &mut evidence);
                self.apply(contest, &evidence, mean, uncertainty);
            }
        }
        Ok(())
    }

    fn predict_flat(&self, line_up: &FlatLineUp<'_>, pairs: &mut Vec<f64>) -> Result<(), Fault> {
        let FlatLineUp { team_end, mean, uncertainty, .. } = *line_up;
        match *team_end {
            [first_end, _] => {
                let first = self.sum(0..first_end as usize, mean, uncertainty);
                let second = self.sum(first_end as usize..mean.len(), mean, uncertainty);
                pairs.push(gaussian::expected_share(first, second));
            }
            _ => {
                let teams: Vec<Team> = teams_of(team_end).map(|members| self.sum(members, mean, uncertainty)).collect();
                for (index, first) in teams.iter().enumerate() {
                    pairs.extend(teams[index + 1..].iter().map(|second| gaussian::expected_share(*first, *second)));
                }
            }
        }
        Ok(())
    }
}

impl Gaussian {
    /// A team before the contest. Who will leave early is not known then, and the drift is what the next update adds.
    fn sum(&self, members: Range<usize>, mean: &[f64], uncertainty: &[f64]) -> Team {
        Team::of(&self.game, &mean[members.clone()], &uncertainty[members], false)
    }

    /// A team as it is rated: with the drift since the last contest, and each member for as long as he was there.
    fn sum_rated(&self, contest: &FlatContest<'_>, members: Range<usize>, mean: &[f64], uncertainty: &[f64]) -> Team {
        if !self.parameters.participation {
            return Team::of(&self.game, &mean[members.clone()], &uncertainty[members], true);
        }
        let mut team = Team::default();
        let present = &contest.presence[members.clone()];
        for ((&mean, &uncertainty), &presence) in mean[members.clone()].iter().zip(&uncertainty[members]).zip(present) {
            team.add(&self.game, mean, self.game.drifted(uncertainty), self.weight(presence));
        }
        team
    }

    /// Moves every entrant by the evidence about its team.
    fn apply(&self, contest: &FlatContest<'_>, evidence: &[Evidence], mean: &mut [f64], uncertainty: &mut [f64]) {
        let plain = !self.parameters.participation && contest.trust >= 1.0;
        for (members, said) in teams_of(contest.team_end).zip(evidence) {
            if plain {
                said.apply_to_all(&self.game, &mut mean[members.clone()], &mut uncertainty[members]);
                continue;
            }
            let present = &contest.presence[members.clone()];
            let beliefs = mean[members.clone()].iter_mut().zip(&mut uncertainty[members]);
            for ((mean, uncertainty), &presence) in beliefs.zip(present) {
                let variance = self.game.drifted(*uncertainty);
                let mut belief = said.apply(*mean, variance, self.weight(presence));
                if contest.trust < 1.0 {
                    belief = discounted(Belief { mean: *mean, uncertainty: variance.sqrt() }, belief, contest.trust);
                }
                *mean = belief.mean;
                *uncertainty = belief.uncertainty;
            }
        }
    }

    fn weight(&self, presence: f64) -> f64 {
        match self.parameters.participation {
            true if presence > 0.0 => presence.max(PRESENCE_MIN),
            true => 0.0,
            false => 1.0,
        }
    }
}

/// A result trusted by share `trust` counts as that share of the evidence.
fn discounted(before: Belief, after: Belief, trust: f64) -> Belief {
    let precision = |belief: Belief| 1.0 / (belief.uncertainty * belief.uncertainty);
    let (old, new) = (precision(before), precision(after));
    let left = old + trust * (new - old);
    Belief { mean: (old * before.mean + trust * (new * after.mean - old * before.mean)) / left, uncertainty: (1.0 / left).sqrt() }
}

/// Where the members of each team stand.
fn teams_of(team_end: &[u32]) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    team_end.iter().map(move |&end| {
        let members = start..end as usize;
        start = end as usize;
        members
    })
}

fn comparison(places: &[u16]) -> Comparison {
    match places[0].cmp(&places[1]) {
        core::cmp::Ordering::Less => Comparison::Won,
        core::cmp::Ordering::Equal => Comparison::Drew,
        core::cmp::Ordering::Greater => Comparison::Lost,
    }
}

plugin_sdk::export_rating!(Gaussian);
