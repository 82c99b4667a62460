//! `bounds`: stat rules with bounds for well-known statistics and a few signs of trouble.
//!
//! | what a game server claims | what follows |
//! |---|---|
//! | a line outside its bounds, infinite, or not a number | the line is forced inside; the claim is suspicious (`outside-bounds`) |
//! | a length of 0 with a statistic that is not 0 | held (`no-duration`), unless `duration_required` is off |
//! | a length above `duration_s_max` | held (`too-long`) |
//! | a score that is infinite or not a number | held (`score-not-finite`) |
//! | anything, after too many clamped reports | held (`server-often-clamped`) |
//! | anything, after too many disputed reports | held (`server-often-disputed`) |
//!
//! A claim is never rejected by these rules: what is held waits for an operator. Statistics that the queue has and that are
//! neither known here nor listed in the parameters have no bounds; a line of theirs is clamped only if it is no finite number.

use std::collections::BTreeMap;

use plugin_sdk::{Bound, Claim, ParameterError, Plugin, QueueShape, Stat, StatRules, Verdict};

/// Bounds of player statistics that need no parameter.
const STATS_KNOWN: [(&str, (f64, f64)); 4] =
    [("kills", (0.0, 100.0)), ("deaths", (0.0, 100.0)), ("assists", (0.0, 100.0)), ("score", (0.0, 10_000.0))];

/// Bounds of contest-wide statistics that need no parameter. Durations are in seconds.
const TOTALS_KNOWN: [(&str, (f64, f64)); 3] = [("rounds", (0.0, 30.0)), ("duration", (0.0, 14_400.0)), ("duration_s", (0.0, 14_400.0))];

/// Parameters of the rules.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Parameters {
    /// Smallest and largest value per statistic of a player; replaces or adds to the known ones.
    pub stats: BTreeMap<String, (f64, f64)>,
    /// Smallest and largest value per contest-wide statistic; replaces or adds to the known ones.
    pub totals: BTreeMap<String, (f64, f64)>,
    /// Longest contest that is not held, in seconds.
    pub duration_s_max: u32,
    /// Whether a length of 0 beside statistics that are not 0 is held; off where history without lengths is imported.
    pub duration_required: bool,
    /// Contests from which on the history of a game server counts.
    pub server_contests_min: u32,
    /// Largest share of clamped reports of a game server whose contests are not held, 0 to 1.
    pub server_clamped_max: f64,
    /// Largest share of disputed reports of a game server whose contests are not held, 0 to 1.
    pub server_disputed_max: f64,
}

impl Default for Parameters {
    fn default() -> Self {
        Parameters {
            stats: BTreeMap::new(),
            totals: BTreeMap::new(),
            duration_s_max: 14_400,
            duration_required: true,
            server_contests_min: 20,
            server_clamped_max: 0.25,
            server_disputed_max: 0.25,
        }
    }
}

/// The rules of one queue.
#[derive(Clone, Debug)]
pub struct Bounds {
    parameters: Parameters,
    shape: QueueShape,
    /// Bound per statistic of a player, by index; `None` where nothing is known.
    stats: Vec<Option<(f64, f64)>>,
    /// Bound per contest-wide statistic, by index.
    totals: Vec<Option<(f64, f64)>>,
}

impl Plugin for Bounds {
    const NAME: &'static str = "bounds";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const PARAMETERS_SCHEMA: &'static str = include_str!("../parameters.schema.json");
    type Parameters = Parameters;

    fn configure(shape: &QueueShape, parameters: Parameters) -> Result<Self, Vec<ParameterError>> {
        let mut errors = Vec::new();
        let stats = bounds_by_index("stats", &shape.stats, &STATS_KNOWN, &parameters.stats, &mut errors);
        let totals = bounds_by_index("totals", &shape.totals, &TOTALS_KNOWN, &parameters.totals, &mut errors);
        let positive = [("duration_s_max", parameters.duration_s_max), ("server_contests_min", parameters.server_contests_min)];
        for (path, _) in positive.iter().filter(|(_, value)| *value == 0) {
            errors.push(ParameterError::new(*path, "must be 1 or above"));
        }
        let shares = [("server_clamped_max", parameters.server_clamped_max), ("server_disputed_max", parameters.server_disputed_max)];
        for (path, _) in shares.iter().filter(|(_, share)| !(0.0..=1.0).contains(share)) {
            errors.push(ParameterError::new(*path, "must be within 0 and 1"));
        }
        if errors.is_empty() { Ok(Bounds { parameters, shape: shape.clone(), stats, totals }) } else { Err(errors) }
    }
}

/// Bounds in the order of the queue's `names`, from what is known and what the operator `listed`.
fn bounds_by_index(
    table: &str,
    names: &[String],
    known: &[(&str, (f64, f64))],
    listed: &BTreeMap<String, (f64, f64)>,
    errors: &mut Vec<ParameterError>,
) -> Vec<Option<(f64, f64)>> {
    for (name, &(min, max)) in listed {
        let path = format!("{table}.{name}");
        if !names.contains(name) {
            errors.push(ParameterError::new(&path, format!("the queue has no such statistic; it has: {}", names.join(", "))));
        }
        if !(min.is_finite() && max.is_finite() && min <= max) {
            errors.push(ParameterError::new(&path, "must be two finite numbers, the smaller first"));
        }
    }
    let bound_of = |name: &String| {
        let known = known.iter().find(|(known, _)| known == name).map(|&(_, bound)| bound);
        listed.get(name).copied().or(known)
    };
    names.iter().map(bound_of).collect()
}

impl StatRules for Bounds {
    fn bounds(&self) -> Vec<Bound> {
        let bound = |stat: fn(u16) -> Stat| {
            move |(index, bound): (usize, &Option<(f64, f64)>)| {
                let (min, max) = (*bound)?;
                // Cannot truncate: the contract numbers statistics with 16 bits.
                Some(Bound { stat: stat(index as u16), min, max })
            }
        };
        let stats = self.stats.iter().enumerate().filter_map(bound(Stat::Player));
        stats.chain(self.totals.iter().enumerate().filter_map(bound(Stat::Total))).collect()
    }

    fn review(&self, claim: &Claim) -> Verdict {
        let mut verdict = Verdict::new();
        self.clamp_lines(claim, &mut verdict);
        self.judge_length(claim, &mut verdict);
        if claim.scores.iter().any(|score| !score.is_finite()) {
            verdict.hold("score-not-finite", "a team's score is no finite number");
        }
        self.judge_server(claim, &mut verdict);
        verdict
    }
}

impl Bounds {
    /// Forces every line inside its bounds, and names the first that was not.
    fn clamp_lines(&self, claim: &Claim, verdict: &mut Verdict) {
        let mut first = None;
        let mut outside = 0_usize;
        for (index, line) in claim.lines.iter().enumerate() {
            let bound = self.bound(line.stat);
            let to = clamped(line.value, bound);
            if to != line.value {
                verdict.clamp(index, to);
                outside += 1;
                first.get_or_insert((line, to));
            }
        }
        if let Some((line, to)) = first {
            let name = self.name(line.stat);
            let detail = format!("{outside} of {} lines; the first: {name} {} became {to}", claim.lines.len(), line.value);
            verdict.suspicious("outside-bounds", detail);
        }
    }

    fn judge_length(&self, claim: &Claim, verdict: &mut Verdict) {
        let max = self.parameters.duration_s_max;
        if claim.duration_s > max {
            verdict.hold("too-long", format!("{} s, longest is {max} s", claim.duration_s));
        }
        // Whatever was achieved, it took time. Values that are not finite were clamped and are suspicious already.
        let no_time = self.parameters.duration_required && claim.duration_s == 0;
        if no_time && claim.lines.iter().any(|line| line.value.is_finite() && line.value != 0.0) {
            verdict.hold("no-duration", "a contest of 0 s has statistics");
        }
    }

    fn judge_server(&self, claim: &Claim, verdict: &mut Verdict) {
        let server = claim.server;
        if server.contests < self.parameters.server_contests_min {
            return;
        }
        let percent = |share: f64| format!("{:.0} % of {} contests", share * 100.0, server.contests);
        if server.clamped > self.parameters.server_clamped_max {
            verdict.hold("server-often-clamped", percent(server.clamped));
        }
        if server.disputed > self.parameters.server_disputed_max {
            verdict.hold("server-often-disputed", percent(server.disputed));
        }
    }

    fn bound(&self, stat: Stat) -> Option<(f64, f64)> {
        match stat {
            Stat::Player(index) => self.stats.get(usize::from(index)).copied().flatten(),
            Stat::Total(index) => self.totals.get(usize::from(index)).copied().flatten(),
        }
    }

    fn name(&self, stat: Stat) -> &str {
        let (names, index) = match stat {
            Stat::Player(index) => (&self.shape.stats, index),
            Stat::Total(index) => (&self.shape.totals, index),
        };
        names.get(usize::from(index)).map_or("unnamed", String::as_str)
    }
}

/// Forces a value inside a bound. What is not a number says nothing and becomes 0, or what is nearest to it.
fn clamped(value: f64, bound: Option<(f64, f64)>) -> f64 {
    let value = if value.is_nan() { 0.0 } else { value };
    match bound {
        Some((min, max)) => value.clamp(min, max),
        None if value.is_finite() => value,
        None => 0.0,
    }
}

plugin_sdk::export_rules!(Bounds);
