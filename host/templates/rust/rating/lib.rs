//! @NAME@: an Elo engine for teams of any size.
//!
//! Every method is a pure function of its arguments and the parameters: the host may call it again and compare bits.

use plugin_sdk::{Contest, Fault, LineUp, ParameterError, Plugin, QueueShape, Rating, RatingEngine, Update};

const UNCERTAINTY_START: f64 = 350.0;
const UNCERTAINTY_MIN: f64 = 75.0;

/// What an operator may write into `[queue.NAME.rating.parameters]`.
#[derive(Clone, Copy, Debug, serde::Deserialize)]
#[serde(default)]
pub struct Parameters {
    /// Mean of a player never seen.
    start: f64,
    /// This many points ahead means ten to one.
    scale: f64,
    /// Points that a contest moves at most.
    step: f64,
}

impl Default for Parameters {
    fn default() -> Self {
        Parameters { start: 1500.0, scale: 400.0, step: 32.0 }
    }
}

/// The engine of one queue.
pub struct Elo {
    parameters: Parameters,
}

impl Plugin for Elo {
    const NAME: &'static str = env!("CARGO_PKG_NAME");
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const PARAMETERS_SCHEMA: &'static str = r#"{
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "start": { "type": "number", "default": 1500, "description": "Mean of a player never seen." },
            "scale": { "type": "number", "default": 400, "description": "This many points ahead means ten to one." },
            "step": { "type": "number", "default": 32, "description": "Points that a contest moves at most." }
        }
    }"#;
    type Parameters = Parameters;

    fn configure(_: &QueueShape, parameters: Parameters) -> Result<Self, Vec<ParameterError>> {
        let above_zero = [("scale", parameters.scale), ("step", parameters.step)];
        let errors: Vec<_> = above_zero
            .into_iter()
            .filter(|(_, value)| *value <= 0.0)
            .map(|(path, _)| ParameterError::new(path, "must be above 0"))
            .collect();
        if errors.is_empty() { Ok(Elo { parameters }) } else { Err(errors) }
    }
}

impl RatingEngine for Elo {
    fn initial(&self) -> Rating {
        Rating::new(self.parameters.start, UNCERTAINTY_START)
    }

    fn rate(&self, contest: &Contest, update: &mut Update) -> Result<(), Fault> {
        let strengths = team_strengths(&contest.line_up);
        let changes: Vec<f64> = (0..strengths.len()).map(|team| self.change(team, &strengths, contest)).collect();
        for (rating, entrant) in update.ratings.iter_mut().zip(&contest.line_up.entrants) {
            rating.mean += changes[usize::from(entrant.team)] * entrant.presence;
            let shrunk = rating.uncertainty * (1.0 - 0.05 * contest.trust * entrant.presence);
            rating.uncertainty = shrunk.max(UNCERTAINTY_MIN.min(rating.uncertainty));
        }
        Ok(())
    }

    fn predict(&self, line_up: &LineUp, _: &[u8], pairs: &mut Vec<f64>) -> Result<(), Fault> {
        let strengths = team_strengths(line_up);
        for (i, mine) in strengths.iter().enumerate() {
            pairs.extend(strengths[i + 1..].iter().map(|theirs| self.win_probability(*mine, *theirs)));
        }
        Ok(())
    }

    fn soften(&self, rating: &Rating, keep: f64) -> Rating {
        let toward = |start: f64, now: f64| start + keep * (now - start);
        Rating {
            mean: toward(self.parameters.start, rating.mean),
            uncertainty: toward(UNCERTAINTY_START, rating.uncertainty),
            memory: rating.memory.clone(),
        }
    }

    fn visible(&self, rating: &Rating) -> f64 {
        rating.mean
    }
}

impl Elo {
    /// Probability that one strength places before another, draws counted half.
    fn win_probability(&self, mine: f64, theirs: f64) -> f64 {
        1.0 / (1.0 + 10_f64.powf((theirs - mine) / self.parameters.scale))
    }

    /// Points that a team wins or loses: how much better it did against each other team than expected.
    fn change(&self, team: usize, strengths: &[f64], contest: &Contest) -> f64 {
        let mut surprise = 0.0;
        for other in (0..strengths.len()).filter(|other| *other != team) {
            let score = match contest.places[team].cmp(&contest.places[other]) {
                std::cmp::Ordering::Less => 1.0,
                std::cmp::Ordering::Equal => 0.5,
                std::cmp::Ordering::Greater => 0.0,
            };
            surprise += score - self.win_probability(strengths[team], strengths[other]);
        }
        self.parameters.step * contest.trust * surprise / (strengths.len() - 1) as f64
    }
}

/// Average mean per team. The SDK has refused contests with fewer than two teams or an empty one.
fn team_strengths(line_up: &LineUp) -> Vec<f64> {
    let mut sums = vec![0.0; line_up.team_count()];
    for entrant in &line_up.entrants {
        sums[usize::from(entrant.team)] += entrant.rating.mean;
    }
    sums.iter().enumerate().map(|(team, sum)| sum / f64::from(line_up.team_size(team))).collect()
}

plugin_sdk::export_rating!(Elo);
