//! `gaussian`: a rating engine with Gaussian beliefs about skill.
//!
//! Teams of any size, draws, free-for-all. [`gaussian`] holds the mathematics, [`normal`] the distribution it stands on; this
//! file is the plugin around them: parameters, shapes, and the walk from entrants to teams and back.
//!
//! Deliberately absent: statistics, maps, sides and time between contests; this engine looks at places alone.

pub mod gaussian;
pub mod normal;

use gaussian::{Belief, Chain, Comparison, Evidence, Game, Team};
use plugin_sdk::{Contest, Fault, LineUp, ParameterError, Plugin, QueueShape, Rating, RatingEngine, Update};

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
        if contest.line_up.team_count() == 2 {
            let mut teams = [Team::default(); 2];
            self.sum_teams(&contest.line_up, &mut teams, true)?;
            let evidence = gaussian::two_teams(&self.game, teams[0], teams[1], comparison(contest));
            self.apply(contest, &evidence, update);
        } else {
            let mut teams = vec![Team::default(); contest.line_up.team_count()];
            self.sum_teams(&contest.line_up, &mut teams, true)?;
            let mut evidence = Vec::new();
            Chain::default().propagate(&self.game, &teams, &contest.places, &mut evidence);
            self.apply(contest, &evidence, update);
        }
        Ok(())
    }

    fn predict(&self, line_up: &LineUp, _: &[u8], pairs: &mut Vec<f64>) -> Result<(), Fault> {
        let mut two = [Team::default(); 2];
        let mut many;
        let teams = if line_up.team_count() == 2 {
            two.as_mut_slice()
        } else {
            many = vec![Team::default(); line_up.team_count()];
            many.as_mut_slice()
        };
        self.sum_teams(line_up, teams, false)?;
        for (index, first) in teams.iter().enumerate() {
            pairs.extend(teams[index + 1..].iter().map(|second| gaussian::expected_share(*first, *second)));
        }
        Ok(())
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
}

impl Gaussian {
    /// Adds every entrant to the sum of its team, with the drift since the last contest if `rated`.
    fn sum_teams(&self, line_up: &LineUp, teams: &mut [Team], rated: bool) -> Result<(), Fault> {
        for entrant in &line_up.entrants {
            let Rating { mean, uncertainty, .. } = entrant.rating;
            if mean.abs() > MAGNITUDE_MAX || !(DEVIATION_MIN..=MAGNITUDE_MAX).contains(&uncertainty) {
                return Err(Fault::OutOfRange);
            }
            let belief = Belief { mean, uncertainty };
            let variance = if rated { self.game.drifted(belief) } else { uncertainty * uncertainty };
            // Who will leave early is not known before the contest.
            let weight = if rated { self.weight(entrant.presence) } else { 1.0 };
            teams[usize::from(entrant.team)].add(&self.game, mean, variance, weight);
        }
        Ok(())
    }

    /// Moves every entrant by the evidence about its team.
    fn apply(&self, contest: &Contest, evidence: &[Evidence], update: &mut Update) {
        for (entrant, rating) in contest.line_up.entrants.iter().zip(&mut update.ratings) {
            let Rating { mean, uncertainty, .. } = entrant.rating;
            let variance = self.game.drifted(Belief { mean, uncertainty });
            let weight = self.weight(entrant.presence);
            let said = evidence[usize::from(entrant.team)];
            let mut belief = said.apply(mean, variance, weight);
            if contest.trust < 1.0 {
                belief = discounted(Belief { mean, uncertainty: variance.sqrt() }, belief, contest.trust);
            }
            rating.mean = belief.mean;
            rating.uncertainty = belief.uncertainty;
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

fn comparison(contest: &Contest) -> Comparison {
    match contest.places[0].cmp(&contest.places[1]) {
        core::cmp::Ordering::Less => Comparison::Won,
        core::cmp::Ordering::Equal => Comparison::Drew,
        core::cmp::Ordering::Greater => Comparison::Lost,
    }
}

plugin_sdk::export_rating!(Gaussian);
