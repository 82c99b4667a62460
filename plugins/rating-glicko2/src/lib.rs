//! `glicko2`: Glickman's Glicko-2, and Glicko by `system = "glicko"`.
//!
//! [`glicko`] holds the papers' mathematics, [`contest`] what they leave open: teams, free-for-all, and rating periods of which
//! a contest is a fraction. This file is the plugin around them: parameters, memory, season resets, and what people see.
//!
//! **Periods.** The papers rate once a period, with all its games at once. A live ladder cannot wait, so a contest counts as the share
//! `1 / period_contests` of a period, and every `period_days` without a contest as a whole one: an inactive player's deviation grows with
//! the square root of the time, up to that of a stranger, in predictions as well as in the next update. A player's first contest counts as
//! a whole period: `period_contests = 1` and `period_days = 0` is the paper, one game a period.
//!
//! **Provisional players** are those whose deviation is above `provisional_deviation`. Their visible rating is `rating - visible_deviations *
//! (deviation - provisional_deviation)`, everybody else's is the rating itself: no leaderboard can be topped by three lucky
//! wins, and a settled player sees the number that chess players know.
//!
//! The player's memory is the volatility, 8 bytes little-endian; empty means the parameter. Glicko has none.
//!
//! Deliberately absent: statistics, scores, maps and sides; this engine looks at places and time alone.

pub mod contest;
pub mod glicko;

use contest::Field;
use glicko::{Drift, System};
use plugin_sdk::{Contest, Entrant, Fault, LineUp, ParameterError, Plugin, QueueShape, Rating, RatingEngine, Update};

/// Largest rating, deviation and scale parameter that the engine works with.
const MAGNITUDE_MAX: f64 = 1e9;

/// Smallest deviation that the engine works with.
const DEVIATION_MIN: f64 = 1e-6;

/// Largest volatility that the engine works with.
const VOLATILITY_MAX: f64 = 100.0;

/// Smallest volatility that the engine works with.
const VOLATILITY_MIN: f64 = 1e-9;

/// Parameters of the engine.
#[derive(Clone, Copy, Debug, PartialEq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Parameters {
    /// Glicko-2 or Glicko.
    pub system: System,
    /// Rating of a player never seen.
    pub rating: f64,
    /// Deviation of a player never seen, in points.
    pub deviation: f64,
    /// Volatility of a player never seen: drift per period in units of 173.7178 points (Glicko-2).
    pub volatility: f64,
    /// How fast volatilities change, 0.3 to 1.2 in the paper (Glicko-2).
    pub tau: f64,
    /// Drift per period in points (Glicko).
    pub c: f64,
    /// Contests that make a rating period.
    pub period_contests: f64,
    /// Days without a contest that make a rating period; 0: time does not count.
    pub period_days: f64,
    /// Deviation that drift leads to at most, in points.
    pub deviation_max: f64,
    /// How much less each comparison of a contest with k teams counts than a game: by (k-1) to this power. 0: as much as a game, the
    /// contest is a period of k-1 games; 1: all together as much as one game.
    pub dilution: f64,
    /// Whether a player who was present for part of a contest counts for that part only.
    pub participation: bool,
    /// Deviation above which a player is provisional, in points.
    pub provisional_deviation: f64,
    /// How many points a provisional player's visible rating is lower for each point of deviation above the limit.
    pub visible_deviations: f64,
    /// How well the logarithm of a squared volatility is found (Glicko-2).
    pub volatility_tolerance: f64,
}

impl Default for Parameters {
    /// The papers' scale, volatility and tau. Deviation, period and dilution are what predicts four real histories well together
    /// (`tests/prequential.rs`); all four are flat around these values. `c` is what the volatility is in points.
    fn default() -> Self {
        Parameters {
            system: System::Glicko2,
            rating: 1500.0,
            deviation: 220.0,
            volatility: 0.06,
            tau: 0.5,
            c: 10.4,
            period_contests: 10.0,
            period_days: 15.0,
            deviation_max: 350.0,
            dilution: 1.0,
            participation: false,
            provisional_deviation: 110.0,
            visible_deviations: 2.0,
            volatility_tolerance: glicko::VOLATILITY_TOLERANCE,
        }
    }
}

/// The engine of one queue.
#[derive(Clone, Copy, Debug)]
pub struct Glicko2 {
    parameters: Parameters,
    drift: Drift,
    /// Share of a rating period that a contest is.
    period_share: f64,
    /// Rating periods per second without a contest.
    periods_per_s: f64,
}

impl Plugin for Glicko2 {
    const NAME: &'static str = "glicko2";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const PARAMETERS_SCHEMA: &'static str = include_str!("../parameters.schema.json");
    type Parameters = Parameters;

    fn configure(_: &QueueShape, parameters: Parameters) -> Result<Self, Vec<ParameterError>> {
        let Parameters { system, tau, c, deviation_max, volatility_tolerance: tolerance, period_contests, period_days, .. } = parameters;
        let deviation = DEVIATION_MIN..=MAGNITUDE_MAX;
        let rules = [
            ("rating", parameters.rating.abs() <= MAGNITUDE_MAX, "must be within -1e9 and 1e9"),
            ("deviation", deviation.contains(&parameters.deviation), "must be within 1e-6 and 1e9"),
            ("volatility", (1e-6..=10.0).contains(&parameters.volatility), "must be within 1e-6 and 10"),
            ("tau", (1e-6..=100.0).contains(&tau), "must be within 1e-6 and 100"),
            ("c", (0.0..=MAGNITUDE_MAX).contains(&c), "must be 0 or above, at most 1e9"),
            ("period_contests", (1.0..=1e6).contains(&period_contests), "must be within 1 and 1e6"),
            ("period_days", period_days == 0.0 || (1e-3..=1e6).contains(&period_days), "must be 0 or within 0.001 and 1e6"),
            ("deviation_max", deviation.contains(&deviation_max), "must be within 1e-6 and 1e9"),
            ("dilution", (0.0..=2.0).contains(&parameters.dilution), "must be within 0 and 2"),
            ("provisional_deviation", (0.0..=MAGNITUDE_MAX).contains(&parameters.provisional_deviation), "must be within 0 and 1e9"),
            ("visible_deviations", (0.0..=10.0).contains(&parameters.visible_deviations), "must be within 0 and 10"),
            ("volatility_tolerance", (1e-14..=1e-2).contains(&tolerance), "must be within 1e-14 and 0.01"),
        ];
        let broken = rules.iter().filter(|(_, holds, _)| !holds);
        let errors: Vec<_> = broken.map(|&(path, _, problem)| ParameterError::new(path, problem)).collect();
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Glicko2 {
            parameters,
            drift: Drift { system, tau, c, deviation_max, tolerance },
            period_share: 1.0 / period_contests,
            periods_per_s: if period_days > 0.0 { 1.0 / (period_days * 86_400.0) } else { 0.0 },
        })
    }
}

impl RatingEngine for Glicko2 {
    fn initial(&self) -> Rating {
        Rating::new(self.parameters.rating, self.parameters.deviation)
    }

    fn rate(&self, contest: &Contest, update: &mut Update) -> Result<(), Fault> {
        let field = Field::of(self, &contest.line_up, self.parameters.participation)?;
        // At no trust at all, a contest does not even count as time that passed.
        if contest.trust > 0.0 {
            field.rate(self, contest, update);
        }
        Ok(())
    }

    fn predict(&self, line_up: &LineUp, _: &[u8], pairs: &mut Vec<f64>) -> Result<(), Fault> {
        Field::of(self, line_up, false)?.predict(pairs);
        Ok(())
    }

    /// Evidence is precision: keeping a share of what is known keeps that share of the precision beyond the initial one, and the
    /// mean moves toward the initial mean by as much as the evidence for the difference went. The volatility moves in proportion.
    fn soften(&self, rating: &Rating, keep: f64) -> Rating {
        let known = self.volatility(rating).ok().filter(|_| keep < 1.0);
        let Some(volatility) = known else { return rating.clone() };
        if keep <= 0.0 {
            return self.initial();
        }
        let precision = |deviation: f64| 1.0 / (deviation * deviation);
        let (fresh, known) = (precision(self.parameters.deviation), precision(rating.uncertainty));
        let left = fresh + keep * (known - fresh);
        // As a difference from the initial rating: nothing is lost between large numbers.
        let lead = keep * known * (rating.mean - self.parameters.rating) / left;
        let mut softened = Rating::new(self.parameters.rating + lead, (1.0 / left).sqrt());
        self.remember(&mut softened, self.parameters.volatility + keep * (volatility - self.parameters.volatility));
        softened
    }

    fn visible(&self, rating: &Rating) -> f64 {
        let above = rating.uncertainty - self.parameters.provisional_deviation;
        if above > 0.0 { rating.mean - self.parameters.visible_deviations * above } else { rating.mean }
    }
}

impl Glicko2 {
    /// Whether too little is known of a player for a settled rating.
    pub fn is_provisional(&self, rating: &Rating) -> bool {
        rating.uncertainty > self.parameters.provisional_deviation
    }

    /// The volatility that a player's memory holds.
    fn volatility(&self, rating: &Rating) -> Result<f64, Fault> {
        if self.parameters.system == System::Glicko || rating.memory.is_empty() {
            return Ok(self.parameters.volatility);
        }
        let bytes = rating.memory.as_slice().try_into().map_err(|_not_eight| Fault::OutOfRange)?;
        let volatility = f64::from_le_bytes(bytes);
        if (VOLATILITY_MIN..=VOLATILITY_MAX).contains(&volatility) { Ok(volatility) } else { Err(Fault::OutOfRange) }
    }

    /// Writes a volatility to a player's memory.
    fn remember(&self, rating: &mut Rating, volatility: f64) {
        if self.parameters.system == System::Glicko2 {
            let bounded = volatility.max(VOLATILITY_MIN);
            rating.memory.clear();
            rating.memory.extend_from_slice(&bounded.to_le_bytes());
        }
    }

    /// Rating periods that an entrant was away for.
    fn idle_periods(&self, entrant: &Entrant) -> f64 {
        self.periods_per_s * entrant.idle_s as f64
    }

    /// Rating periods that the contest itself is for an entrant: a share, the first time a whole one.
    fn contest_periods(&self, entrant: &Entrant) -> f64 {
        if entrant.contests == 0 { 1.0 } else { self.period_share }
    }
}

plugin_sdk::export_rating!(Glicko2);
