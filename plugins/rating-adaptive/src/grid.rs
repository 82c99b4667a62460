//! The configurations that the engine runs side by side. Nobody tunes them: how well each predicted this queue decides how
//! much it counts ([`crate::mixture`]).
//!
//! All of them measure skill in the same unit: the deviation of one player's performance from his skill.

/// Number of configurations.
pub(crate) const LANES: usize = 12;

/// One number for each configuration.
pub(crate) type Lanes = [f64; LANES];

/// What one configuration assumes about the game.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Configuration {
    /// Deviation of skills among newcomers.
    pub(crate) prior: f64,
    /// How far a skill drifts from one contest to the next.
    pub(crate) drift: f64,
    /// How far a skill drifts in a day.
    pub(crate) drift_day: f64,
    /// Weight of the margin against the bare result, 0 to 1.
    pub(crate) margin: f64,
    /// How much one statistic line tells about a skill, as a share of what a whole performance would.
    pub(crate) stats: f64,
    /// Share of the field, from the back, among which places tell nothing: who retires early does so by chance.
    pub(crate) tail: f64,
}

const fn configuration(prior: f64, drift: f64, drift_day: f64, margin: f64, stats: f64, tail: f64) -> Configuration {
    Configuration { prior, drift, drift_day, margin, stats, tail }
}

/// The grid.
pub(crate) const GRID: [Configuration; LANES] = [
    configuration(0.7, 0.03, 0.010, 0.0, 0.00, 0.00),
    configuration(0.7, 0.10, 0.020, 1.0, 0.10, 0.35),
    configuration(0.7, 0.03, 0.005, 0.8, 0.30, 0.35),
    configuration(0.7, 0.06, 0.040, 0.8, 0.00, 0.00),
    configuration(1.1, 0.10, 0.010, 0.0, 0.10, 0.35),
    configuration(1.1, 0.03, 0.010, 0.8, 0.10, 0.00),
    configuration(1.1, 0.10, 0.020, 0.8, 0.00, 0.35),
    configuration(1.1, 0.03, 0.005, 1.0, 0.30, 0.35),
    configuration(1.6, 0.06, 0.020, 0.0, 0.00, 0.00),
    configuration(1.6, 0.03, 0.010, 0.8, 0.10, 0.35),
    configuration(1.6, 0.10, 0.020, 0.5, 0.30, 0.00),
    configuration(1.6, 0.10, 0.040, 0.8, 0.10, 0.35),
];
