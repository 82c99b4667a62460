//! What an operator may choose, and what is refused.

use plugin_sdk::ParameterError;

use crate::{DEVIATION_MIN, MAGNITUDE_MAX};

/// Entries of `k_by_contests` at most.
const K_ENTRIES_MAX: usize = 32;

/// Parameters of the engine; ratings and deviations in points.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Parameters {
    /// Rating of a player never seen.
    pub rating: f64,
    /// One K for everybody; none: by experience.
    pub k: Option<f64>,
    /// From which contest on which K holds, in rising order, the first from 0 on.
    pub k_by_contests: Vec<(u32, f64)>,
    /// Difference in rating at which the odds are 10 to 1.
    pub scale: f64,
    /// Uncertainty about a player never seen.
    pub deviation: f64,
    /// By how much uncertainty grows in a day without a contest; days add up as variances, up to `deviation`.
    pub deviation_per_day: f64,
    /// Whether a player who was present for part of a contest counts for that part only.
    pub participation: bool,
    /// Uncertainty above which a player is provisional.
    pub provisional_deviation: f64,
    /// How many points lower a provisional player is shown per point of uncertainty above `provisional_deviation`.
    pub visible_deviations: f64,
}

impl Default for Parameters {
    /// K falls from 120 to 32, chosen on real histories (decision 0021); chess is slower.
    fn default() -> Self {
        Parameters {
            rating: 1500.0,
            k: None,
            k_by_contests: vec![(0, 120.0), (10, 60.0), (30, 32.0)],
            scale: 400.0,
            deviation: 350.0,
            deviation_per_day: 5.0,
            participation: false,
            provisional_deviation: 80.0,
            visible_deviations: 2.0,
        }
    }
}

impl Parameters {
    /// Every parameter that cannot be used, with what would be right.
    pub(crate) fn errors(&self) -> Vec<ParameterError> {
        let magnitude = 0.0..=MAGNITUDE_MAX;
        let deviation = DEVIATION_MIN..=MAGNITUDE_MAX;
        let rules = [
            ("rating", self.rating.abs() <= MAGNITUDE_MAX, "must be within -1e9 and 1e9"),
            ("k", self.k.is_none_or(|k| magnitude.contains(&k)), "must be 0 or above, at most 1e9"),
            ("scale", deviation.contains(&self.scale), "must be above 0, at most 1e9"),
            ("deviation", deviation.contains(&self.deviation), "must be above 0, at most 1e9"),
            ("deviation_per_day", magnitude.contains(&self.deviation_per_day), "must be 0 or above, at most 1e9"),
            ("provisional_deviation", magnitude.contains(&self.provisional_deviation), "must be 0 or above, at most 1e9"),
            ("visible_deviations", (0.0..=10.0).contains(&self.visible_deviations), "must be within 0 and 10"),
        ];
        let broken = rules.iter().filter(|(_, holds, _)| !holds);
        let mut errors: Vec<_> = broken.map(|&(path, _, problem)| ParameterError::new(path, problem)).collect();
        self.table_errors(&mut errors);
        errors
    }

    fn table_errors(&self, errors: &mut Vec<ParameterError>) {
        let table = &self.k_by_contests;
        if table.is_empty() || table.len() > K_ENTRIES_MAX {
            errors.push(ParameterError::new("k_by_contests", "must have 1 to 32 entries, like [[0, 40], [30, 20]]"));
        }
        for (index, &(from, k)) in table.iter().enumerate() {
            let path = format!("k_by_contests[{index}]");
            let rises = match index {
                0 => from == 0,
                _ => from > table[index - 1].0,
            };
            if !rises {
                errors.push(ParameterError::new(&path, "the first entry must start at contest 0, every other one after the one before"));
            }
            if !(0.0..=MAGNITUDE_MAX).contains(&k) {
                errors.push(ParameterError::new(&path, "K must be 0 or above, at most 1e9"));
            }
        }
    }
}
