//! The configurations that the engine runs side by side. Nobody tunes them: how well each predicted this queue decides how
//! much it counts ([`crate::mixture`]).
//!
//! All of them measure skill in the same unit: the deviation of one player's performance from his skill.

/// Number of configurations.
pub(crate) const LANES: usize = 6;

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
    /// Whether the back of a field counts as one place: who retires early does so by chance ([`crate::field`]).
    pub(crate) lumped: bool,
}

const fn configuration(prior: f64, drift: f64, drift_day: f64, margin: f64, stats: f64, lumped: bool) -> Configuration {
    Configuration { prior, drift, drift_day, margin, stats, lumped }
}

/// The grid: each assumption takes values from careless to strict, spread so that no two go together throughout. Where exactly they lie
/// matters little: other such grids of six, eight, twelve and sixteen differ by less than 0.001 in log loss (decision 0026).
pub(crate) const GRID: [Configuration; LANES] = [
    configuration(0.7, 0.08, 0.020, 1.0, 0.8, true),
    configuration(0.8, 0.02, 0.010, 1.0, 0.3, true),
    configuration(0.9, 0.12, 0.040, 0.8, 0.1, false),
    configuration(1.1, 0.25, 0.010, 0.8, 0.1, true),
    configuration(1.6, 0.02, 0.010, 0.8, 0.0, false),
    configuration(1.1, 0.06, 0.010, 0.0, 0.3, false),
];

/// The grid as variances, in columns: the loops over them run two configurations at a time.
pub(crate) struct Variances {
    /// What a contest adds.
    pub(crate) drift: Lanes,
    /// What a day adds.
    pub(crate) drift_day: Lanes,
    /// How unknown a newcomer is.
    pub(crate) prior: Lanes,
}

/// [`GRID`], squared.
pub(crate) static VARIANCES: Variances = {
    let mut variances = Variances { drift: [0.0; LANES], drift_day: [0.0; LANES], prior: [0.0; LANES] };
    let mut lane = 0;
    while lane < LANES {
        let configuration = GRID[lane];
        variances.drift[lane] = configuration.drift * configuration.drift;
        variances.drift_day[lane] = configuration.drift_day * configuration.drift_day;
        variances.prior[lane] = configuration.prior * configuration.prior;
        lane += 1;
    }
    variances
};
