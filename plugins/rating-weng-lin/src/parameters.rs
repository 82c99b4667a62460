//! What an operator may choose, and what is refused.

use plugin_sdk::ParameterError;

use crate::model::{Gamma, Model};
use crate::{DEVIATION_MIN, MAGNITUDE_MAX};

/// Parameters of the engine; skills on the scale of `mu`. The names are those of openskill.py where it has the parameter.
#[derive(Clone, Copy, Debug, PartialEq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Parameters {
    /// How a contest is explained.
    pub model: Model,
    /// Mean of a player never seen.
    pub mu: f64,
    /// Uncertainty about a player never seen.
    pub sigma: f64,
    /// How far the performance of a team deviates from its skill.
    pub beta: f64,
    /// How much a skill may drift from one contest to the next.
    pub tau: f64,
    /// How much a skill may drift in a day without a contest; such drifts add up as variances, up to `sigma`.
    pub tau_per_day: f64,
    /// Share of its variance that a belief keeps at least; `uncertainty_tolerance` of skillratings.
    pub kappa: f64,
    /// Thurstone-Mosteller: half width of a draw.
    pub epsilon: f64,
    /// How fast uncertainty shrinks.
    pub gamma: Gamma,
    /// Partial pairing: with how many teams before and after each is compared.
    pub window: u16,
    /// Partial pairing: whether the comparisons of a team are averaged (openskill.py) or added up (the paper, openskill.js).
    pub averaged: bool,
    /// Whether no contest may leave a player less certain than before.
    pub limit_sigma: bool,
    /// Whether players far below the best of their team count more.
    pub balance: bool,
    /// From which difference of scores a victory is clear; 0 looks at places alone.
    pub margin: f64,
    /// What a clear victory changes.
    pub margin_effect: MarginEffect,
    /// What the presence of a player means.
    pub participation: Participation,
    /// Which distribution predictions come from.
    pub prediction: Prediction,
}

/// What scores far apart change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MarginEffect {
    /// The gap in skill explains less of the outcome (openskill.py).
    Gap,
    /// Every mean moves further (openskill.js).
    Step,
}

/// What it means that a player was there for part of a contest only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Participation {
    /// Nothing.
    Ignored,
    /// The team performs at the sum of its players' skills, each weighted by presence.
    Share,
    /// The weights of openskill.py: within a team, the least present counts 1, the most present 2; gains are multiplied, losses divided.
    Openskill,
}

/// Which distribution predictions come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Prediction {
    /// That of the model: normal for Thurstone-Mosteller, else logistic.
    Model,
    /// Logistic (skillratings).
    Logistic,
    /// Normal (openskill.py, for all models).
    Normal,
    /// Normal, with the noise of as many teams as take part instead of two (openskill.js, for all models).
    NormalField,
}

impl Default for Parameters {
    /// The scale of the paper; what decides how well outcomes are predicted was chosen on real histories (decision 0020).
    fn default() -> Self {
        Parameters {
            model: Model::BradleyTerryPartial,
            mu: 25.0,
            sigma: 25.0 / 3.0,
            beta: 25.0 / 10.0,
            tau: 25.0 / 150.0,
            tau_per_day: 0.03,
            kappa: 1e-4,
            epsilon: 0.1,
            gamma: Gamma::SigmaOverC,
            window: 4,
            averaged: true,
            limit_sigma: false,
            balance: false,
            margin: 0.0,
            margin_effect: MarginEffect::Gap,
            participation: Participation::Ignored,
            prediction: Prediction::Model,
        }
    }
}

impl Parameters {
    /// Every parameter that cannot be used, with what would be right.
    pub(crate) fn errors(&self) -> Vec<ParameterError> {
        let magnitude = 0.0..=MAGNITUDE_MAX;
        let deviation = DEVIATION_MIN..=MAGNITUDE_MAX;
        let rules = [
            ("mu", self.mu.abs() <= MAGNITUDE_MAX, "must be within -1e9 and 1e9"),
            ("sigma", deviation.contains(&self.sigma), "must be above 0, at most 1e9"),
            ("beta", deviation.contains(&self.beta), "must be above 0, at most 1e9"),
            ("tau", magnitude.contains(&self.tau), "must be 0 or above, at most 1e9"),
            ("tau_per_day", magnitude.contains(&self.tau_per_day), "must be 0 or above, at most 1e9"),
            ("kappa", (1e-12..=1.0).contains(&self.kappa), "must be within 1e-12 and 1"),
            ("epsilon", magnitude.contains(&self.epsilon), "must be 0 or above, at most 1e9"),
            ("window", (1..=256).contains(&self.window), "must be within 1 and 256"),
            ("margin", magnitude.contains(&self.margin), "must be 0 or above, at most 1e9"),
        ];
        let broken = rules.iter().filter(|(_, holds, _)| !holds);
        broken.map(|&(path, _, problem)| ParameterError::new(path, problem)).collect()
    }
}
