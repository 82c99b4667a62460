//! `gaussian`: a rating engine with Gaussian beliefs about skill.
//!
//! Teams of any size, draws, free-for-all. [`gaussian`] holds the mathematics, the crate `normal` the distribution it stands on;
//! this file is the plugin around them: parameters, shapes, and the walk from entrants to teams and back.
//!
//! * **Dynamics**: `tau` per contest (Herbrich, Minka and Graepel 2006, section 2), and `drift_per_day` for the time between contests as in
//!   Dangauthier, Herbrich, Minka and Graepel, "TrueSkill Through Time" (NIPS 2007): a skill walks at random, so that its variance grows with
//!   the days since the last contest. Nobody becomes less known than a stranger by staying away.
//! * **Participation**: a player who was there for share w of a contest adds w times his performance to his team's (partial play in the
//!   authors' own terms: the weights of the sum factor).
//! * **Missing players**: the model is a sum, so an empty seat is a player of performance 0 without noise, which on the usual scale is far
//!   too bad. With `missing_player` each seat of the queue's shape that stayed empty performs like a player known to have that skill: the
//!   sum factor of the paper with one more term. The short team is expected to lose more often, gains more if it wins, and loses less.
//! * **Provisional players** need no rule of their own: `visible` stands `visible_deviations` uncertainties below the mean, so that a stranger
//!   is seen at 0 and rises as he is known, and a wide belief moves fast while it moves others little.
//!
//! Deliberately absent: statistics, maps and sides; this engine looks at places alone.

mod even;
pub mod gaussian;

use core::ops::Range;

use gaussian::{Belief, Chain, Comparison, Evidence, Game, Team};
use plugin_sdk::{
    Contest, Fault, FlatContest, FlatEngine, FlatLineUp, FlatPast, FlatRange, LineUp, ParameterError, Plugin, QueueShape, Rating,
    RatingEngine, Update, predict_flattened, rate_flattened,
};

/// Seconds of a day.
const DAY_S: f64 = 86_400.0;

/// Largest mean, uncertainty and scale parameter that the engine works with: squares and sums of thousands stay exact.
const MAGNITUDE_MAX: f64 = 1e9;

/// Smallest uncertainty and noise that the engine works with.
const DEVIATION_MIN: f64 = 1e-9;

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
    /// How much a skill may drift in a day without a contest; the variance grows with the days.
    pub drift_per_day: f64,
    /// Whether a player who was present for part of a contest counts for that part only.
    pub participation: bool,
    /// Smallest share that counts for a player who took part at all, 0 to 1. Of two teams that were hardly there, the draw margin is all
    /// that is seen: without it the winner would gain in proportion to 1/presence.
    pub presence_min: f64,
    /// Skill at which an empty seat of the queue's shape performs; `None`: a team is the sum of those who came.
    pub missing_player: Option<f64>,
    /// How many uncertainties the visible rating stands below the mean.
    pub visible_deviations: f64,
}

impl Default for Parameters {
    /// The scale of the paper, but with a beta of 25/4 instead of 25/6: chance decides more of real contests than the paper assumed
    /// (decision 0013).
    fn default() -> Self {
        Parameters {
            mu: 25.0,
            sigma: 25.0 / 3.0,
            beta: 25.0 / 4.0,
            tau: 25.0 / 300.0,
            draw_probability: 0.1,
            drift_per_day: 0.0,
            participation: false,
            presence_min: 0.1,
            missing_player: None,
            visible_deviations: 3.0,
        }
    }
}

/// The engine of one queue.
#[derive(Clone, Debug)]
pub struct Gaussian {
    parameters: Parameters,
    game: Game,
    /// Players per team of the queue; one entry for all teams, or none: as many as the largest team has.
    seats: Vec<u16>,
    /// Whether every player counts in full whatever his past and his team's size: the way that is short.
    is_plain: bool,
}

impl Plugin for Gaussian {
    const NAME: &'static str = "gaussian";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const PARAMETERS_SCHEMA: &'static str = include_str!("../parameters.schema.json");
    type Parameters = Parameters;

    fn configure(shape: &QueueShape, parameters: Parameters) -> Result<Self, Vec<ParameterError>> {
        let Parameters { mu, sigma, beta, tau, draw_probability, drift_per_day, presence_min, .. } = parameters;
        let Parameters { participation, missing_player, visible_deviations, .. } = parameters;
        let deviation = DEVIATION_MIN..=MAGNITUDE_MAX;
        let rules = [
            ("mu", mu.abs() <= MAGNITUDE_MAX, "must be within -1e9 and 1e9"),
            ("sigma", deviation.contains(&sigma), "must be above 0, at most 1e9"),
            ("beta", deviation.contains(&beta), "must be above 0, at most 1e9"),
            ("tau", (0.0..=MAGNITUDE_MAX).contains(&tau), "must be 0 or above, at most 1e9"),
            ("draw_probability", (0.0..=0.99).contains(&draw_probability), "must be within 0 and 0.99"),
            ("drift_per_day", (0.0..=MAGNITUDE_MAX).contains(&drift_per_day), "must be 0 or above, at most 1e9"),
            ("presence_min", (0.0..=1.0).contains(&presence_min), "must be within 0 and 1"),
            ("missing_player", missing_player.is_none_or(|skill| skill.abs() <= MAGNITUDE_MAX), "must be within -1e9 and 1e9"),
            ("visible_deviations", (0.0..=100.0).contains(&visible_deviations), "must be within 0 and 100"),
        ];
        let broken = rules.iter().filter(|(_, holds, _)| !holds);
        let errors: Vec<_> = broken.map(|&(path, _, problem)| ParameterError::new(path, problem)).collect();
        if !errors.is_empty() {
            return Err(errors);
        }
        let is_plain = !participation && missing_player.is_none() && drift_per_day == 0.0;
        Ok(Gaussian { parameters, game: Game::new(beta, tau, draw_probability), seats: shape.team_sizes.clone(), is_plain })
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
        rating.mean - self.parameters.visible_deviations * rating.uncertainty
    }

    fn flat(&self) -> Option<&dyn FlatEngine> {
        Some(self)
    }
}

impl FlatEngine for Gaussian {
    fn range(&self) -> FlatRange {
        FlatRange { mean_max: MAGNITUDE_MAX, uncertainty_min: DEVIATION_MIN, uncertainty_max: MAGNITUDE_MAX }
    }

    fn wants_past(&self) -> bool {
        self.parameters.drift_per_day > 0.0
    }

    fn rate_flat(&self, contest: &FlatContest<'_>, mean: &mut [f64], uncertainty: &mut [f64]) -> Result<(), Fault> {
        if self.rate_even(contest, mean, uncertainty).is_none() {
            self.rate_any(contest, mean, uncertainty);
        }
        Ok(())
    }

    fn predict_flat(&self, line_up: &FlatLineUp<'_>, pairs: &mut Vec<f64>) -> Result<(), Fault> {
        let FlatLineUp { team_end, mean, uncertainty, .. } = *line_up;
        if self.is_plain
            && is_even(team_end)
            && let Some(share) = even::expected_share(&self.game, mean, uncertainty)
        {
            pairs.push(share);
            return Ok(());
        }
        let teams: Vec<Team> = teams_of(team_end).enumerate().map(|(team, members)| self.sum(line_up, team, members)).collect();
        for (index, first) in teams.iter().enumerate() {
            pairs.extend(teams[index + 1..].iter().map(|second| gaussian::expected_share(*first, *second)));
        }
        Ok(())
    }

    fn predict_and_rate_flat(
        &self,
        line_up: &FlatContest<'_>,
        mean: &mut [f64],
        uncertainty: &mut [f64],
        pairs: &mut Vec<f64>,
    ) -> Result<(), Fault> {
        // Both need the same sums.
        match self.rate_even(line_up, mean, uncertainty) {
            Some(share) => {
                pairs.push(share);
                Ok(())
            }
            None => plugin_sdk::predict_then_rate(self, line_up, mean, uncertainty, pairs),
        }
    }
}

impl Gaussian {
    /// The short way for the usual contest; `None`: it is another one, and nothing has changed.
    fn rate_even(&self, contest: &FlatContest<'_>, mean: &mut [f64], uncertainty: &mut [f64]) -> Option<f64> {
        let usual = self.is_plain && contest.trust >= 1.0 && is_even(contest.team_end);
        if usual { even::rate(&self.game, mean, uncertainty, comparison(contest.places)) } else { None }
    }

    fn rate_any(&self, contest: &FlatContest<'_>, mean: &mut [f64], uncertainty: &mut [f64]) {
        let members = teams_of(contest.team_end).enumerate();
        let teams: Vec<Team> = members.map(|(team, members)| self.sum_rated(contest, team, members, mean, uncertainty)).collect();
        match *teams {
            [first, second] => {
                let evidence = gaussian::two_teams(&self.game, first, second, comparison(contest.places));
                self.apply(contest, &evidence, mean, uncertainty);
            }
            _ => {
                let mut evidence = Vec::new();
                Chain::default().propagate(&self.game, &teams, contest.places, &mut evidence);
                self.apply(contest, &evidence, mean, uncertainty);
            }
        }
    }

    /// A team before the contest. Who will leave early is not known then, and the drift of a contest is what the next update adds.
    fn sum(&self, line_up: &FlatLineUp<'_>, team: usize, members: Range<usize>) -> Team {
        if self.is_plain {
            return Team::of(&self.game, &line_up.mean[members.clone()], &line_up.uncertainty[members], false);
        }
        let mut sum = Team::default();
        for entrant in members.clone() {
            sum.add(&self.game, line_up.mean[entrant], self.variance(line_up.past, entrant, line_up.uncertainty[entrant]), 1.0);
        }
        self.fill_up(&mut sum, team, members.len(), line_up.team_end);
        sum
    }

    /// A team as it is rated: with the drift since the last contest, and each member for as long as he was there.
    fn sum_rated(&self, contest: &FlatContest<'_>, team: usize, members: Range<usize>, mean: &[f64], uncertainty: &[f64]) -> Team {
        if self.is_plain {
            return Team::of(&self.game, &mean[members.clone()], &uncertainty[members], true);
        }
        let mut sum = Team::default();
        for entrant in members.clone() {
            let variance = self.drifted(contest, entrant, uncertainty[entrant]);
            sum.add(&self.game, mean[entrant], variance, self.weight(contest.presence[entrant]));
        }
        self.fill_up(&mut sum, team, members.len(), contest.team_end);
        sum
    }

    /// Adds the seats of a team that stayed empty, if they count.
    fn fill_up(&self, sum: &mut Team, team: usize, members: usize, team_end: &[u32]) {
        let Some(skill) = self.parameters.missing_player else { return };
        let seats = match *self.seats {
            [] => teams_of(team_end).map(|members| members.len()).max().unwrap_or(0),
            [all] => usize::from(all),
            ref seats => seats.get(team).map_or(0, |&seats| usize::from(seats)),
        };
        sum.add_missing(&self.game, seats.saturating_sub(members), skill);
    }

    /// Variance of what is known of an entrant when the contest starts: what was known, and what idleness did to it.
    fn variance(&self, past: FlatPast<'_>, entrant: usize, uncertainty: f64) -> f64 {
        let variance = uncertainty * uncertainty;
        let Parameters { drift_per_day, sigma, .. } = self.parameters;
        match past.idle_s.get(entrant) {
            Some(&idle_s) if drift_per_day > 0.0 => {
                let walked = drift_per_day * drift_per_day * (idle_s as f64 / DAY_S);
                (variance + walked).min(variance.max(sigma * sigma))
            }
            _ => variance,
        }
    }

    /// The same with the drift of a contest.
    fn drifted(&self, contest: &FlatContest<'_>, entrant: usize, uncertainty: f64) -> f64 {
        self.variance(contest.past, entrant, uncertainty) + self.game.tau_squared
    }

    /// Moves every entrant by the evidence about its team.
    fn apply(&self, contest: &FlatContest<'_>, evidence: &[Evidence], mean: &mut [f64], uncertainty: &mut [f64]) {
        for (members, said) in teams_of(contest.team_end).zip(evidence) {
            if self.is_plain && contest.trust >= 1.0 {
                said.apply_to_all(&self.game, &mut mean[members.clone()], &mut uncertainty[members]);
                continue;
            }
            for entrant in members {
                let before = Belief { mean: mean[entrant], uncertainty: uncertainty[entrant] };
                let variance = self.drifted(contest, entrant, before.uncertainty);
                let after = said.apply(before.mean, variance, self.weight(contest.presence[entrant]));
                let trusted = discounted(before, after, contest.trust);
                (mean[entrant], uncertainty[entrant]) = (trusted.mean, trusted.uncertainty);
            }
        }
    }

    fn weight(&self, presence: f64) -> f64 {
        match self.parameters.participation {
            true if presence > 0.0 => presence.max(self.parameters.presence_min),
            true => 0.0,
            false => 1.0,
        }
    }
}

/// A result trusted by share `trust` counts as that share of the evidence.
fn discounted(before: Belief, after: Belief, trust: f64) -> Belief {
    match trust {
        all if all >= 1.0 => return after,
        none if none <= 0.0 => return before,
        _ => {}
    }
    let precision = |belief: Belief| 1.0 / (belief.uncertainty * belief.uncertainty);
    let (old, new) = (precision(before), precision(after));
    let left = old + trust * (new - old);
    Belief { mean: (old * before.mean + trust * (new * after.mean - old * before.mean)) / left, uncertainty: (1.0 / left).sqrt() }
}

/// Whether two teams of one size meet.
fn is_even(team_end: &[u32]) -> bool {
    matches!(*team_end, [first, second] if second == 2 * first)
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
