//! `adaptive`: a rating engine that looks at everything a contest tells, and finds out by itself how much each is worth.
//!
//! A player's skill is a Gaussian belief, as in `gaussian`. Beyond win and loss the engine reads
//! * the **margin** of scores, as a noisy observation of the difference of performances ([`duel`]); in a free-for-all the scores of all;
//! * each player's **statistics**, as an observation of what sets him apart from his team ([`reading`]);
//! * **sides**, experience and unequal numbers, as beliefs of the queue ([`terms`]);
//! * the **time** since a player was last seen, and how long he was present;
//! * the **trust** in the game server, which scales everything: at 0 nothing changes.
//!
//! Nobody tunes it. A small grid of configurations ([`grid`]) runs side by side; each predicts every contest, and those that predicted
//! better so far count more ([`mixture`]). All that is learned stays in the memories that the contract gives an engine: of a player
//! his beliefs ([`player`]), of the queue the rest ([`queue`]).
//!
//! A report can lie. Margins and statistics are cut off at two deviations, scales are learned robustly, and what a settled player can
//! gain or lose beyond what the bare result justifies is at most a fifth of his uncertainty ([`rating`]).

mod duel;
mod field;
mod grid;
mod mixture;
mod player;
mod queue;
mod rating;
mod reading;
mod team;
mod terms;

use plugin_sdk::{Contest, Fault, LineUp, ParameterError, Plugin, QueueShape, Rating, RatingEngine, Update};

use duel::Duel;
use field::Field;
use player::Skill;
use queue::Layout;

/// Largest mean and uncertainty that the engine works with.
const MAGNITUDE_MAX: f64 = 1e9;

/// Smallest uncertainty that the engine works with.
const DEVIATION_MIN: f64 = 1e-9;

/// Parameters of the engine: the scale of what people see, nothing that decides how well it predicts.
#[derive(Clone, Copy, Debug, PartialEq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Parameters {
    /// Mean of a player never seen.
    pub mean: f64,
    /// Uncertainty about a player never seen; sets the scale.
    pub uncertainty: f64,
    /// How many uncertainties below the mean the visible rating lies.
    pub caution: f64,
}

impl Default for Parameters {
    /// The scale of `gaussian`.
    fn default() -> Self {
        Parameters { mean: 25.0, uncertainty: 25.0 / 3.0, caution: 3.0 }
    }
}

/// The engine of one queue.
#[derive(Clone, Debug)]
pub struct Adaptive {
    parameters: Parameters,
    layout: Layout,
    /// Memory of a queue without a contest.
    fresh: Vec<u8>,
}

impl Plugin for Adaptive {
    const NAME: &'static str = "adaptive";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const PARAMETERS_SCHEMA: &'static str = include_str!("../parameters.schema.json");
    type Parameters = Parameters;

    fn configure(shape: &QueueShape, parameters: Parameters) -> Result<Self, Vec<ParameterError>> {
        let Parameters { mean, uncertainty, caution } = parameters;
        let rules = [
            ("mean", mean.abs() <= 1e6, "must be within -1e6 and 1e6"),
            ("uncertainty", (1e-3..=1e6).contains(&uncertainty), "must be within 0.001 and 1e6"),
            ("caution", (0.0..=10.0).contains(&caution), "must be within 0 and 10"),
        ];
        let broken = rules.iter().filter(|(_, holds, _)| !holds);
        let errors: Vec<_> = broken.map(|&(path, _, problem)| ParameterError::new(path, problem)).collect();
        if !errors.is_empty() {
            return Err(errors);
        }
        let layout = Layout::of(shape.sides.len(), shape.maps.len(), shape.modes.len(), shape.stats.len());
        Ok(Adaptive { parameters, layout, fresh: layout.fresh(&terms::PRIORS) })
    }
}

impl RatingEngine for Adaptive {
    fn initial(&self) -> Rating {
        Rating::new(self.parameters.mean, self.parameters.uncertainty)
    }

    fn rate(&self, contest: &Contest, update: &mut Update) -> Result<(), Fault> {
        check(&contest.line_up)?;
        if !contest.scores.iter().all(|score| score.is_finite()) || contest.places.len() != contest.line_up.team_count() {
            return Err(Fault::OutOfRange);
        }
        // At trust 0 nothing should change, not even what time does.
        if contest.trust > 0.0 {
            self.learn(contest, update);
        }
        Ok(())
    }

    fn predict(&self, line_up: &LineUp, memory: &[u8], pairs: &mut Vec<f64>) -> Result<(), Fault> {
        check(line_up)?;
        let memory = &*self.layout.adopted(&self.fresh, memory);
        // Who will leave early is not known; what presence an entrant is expected to have does count.
        let players = self.players(line_up, 1.0);
        let teams = team::gather(line_up.team_count(), &line_up.entrants, &players);
        let (weights, slope) = (mixture::weights(memory), mixture::slope(memory));
        if teams.len() == 2 {
            let probabilities = Duel::of(&self.layout, memory, line_up, &teams).probabilities();
            pairs.push(mixture::calibrated(mixture::mean(&weights, &probabilities), slope));
        } else {
            let field = Field::of(&self.layout, memory, line_up, &teams);
            field.pairs(&weights, |_, _, probability| pairs.push(mixture::calibrated(probability, slope)));
        }
        Ok(())
    }

    fn soften(&self, rating: &Rating, keep: f64) -> Rating {
        if keep <= 0.0 {
            return self.initial();
        }
        let mut softened = rating.clone();
        if keep < 1.0 {
            if let Some(mut skill) = Skill::read(&rating.memory) {
                skill.soften(keep);
                skill.write(&mut softened.memory);
            }
            let precision = |deviation: f64| 1.0 / (deviation * deviation);
            let (fresh, known) = (precision(self.parameters.uncertainty), precision(rating.uncertainty));
            let left = fresh + keep * (known - fresh).max(0.0);
            softened.mean = self.parameters.mean + keep * known / left * (rating.mean - self.parameters.mean);
            softened.uncertainty = (1.0 / left).sqrt();
        }
        softened
    }

    /// A value that the skill exceeds with near certainty.
    fn visible(&self, rating: &Rating) -> f64 {
        rating.mean - self.parameters.caution * rating.uncertainty
    }
}

/// Beliefs whose squares and sums would not be exact.
fn check(line_up: &LineUp) -> Result<(), Fault> {
    let sound = |rating: &Rating| rating.mean.abs() <= MAGNITUDE_MAX && (DEVIATION_MIN..=MAGNITUDE_MAX).contains(&rating.uncertainty);
    if line_up.entrants.iter().all(|entrant| sound(&entrant.rating)) { Ok(()) } else { Err(Fault::OutOfRange) }
}

plugin_sdk::export_rating!(Adaptive);
