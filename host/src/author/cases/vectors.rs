//! Reference vectors: published numbers of well-known rating engines, in one JSON file for all languages.
//!
//! Used are entries of one `algo` of kind `rate` (`input.teams` as `[mean, uncertainty]` per player, `input.ranks`, perhaps
//! `input.weights`) and `expected_score` (`input.a`, `input.b`). `params` become the plugin's parameters, whatever does not fit them is the
//! plugin's to refuse. `exact` is compared within 1e-9, `expect` within the entry's `tol`; a null was never published. Entries of any other
//! form are passed over and counted.

use ladder::fault::PluginFault;
use ladder::rating::{Contest, Entrant, Rating, RatingEngine, Setting};
use serde_json::Value;

use super::compare::{Comparison, Mismatch};

/// How far from `exact` an answer may be.
const EXACT: f64 = 1e-9;

/// The entries of one engine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Vectors {
    /// Those that can be run.
    pub vectors: Vec<Vector>,
    /// Those of another form.
    pub passed_over: usize,
}

/// One entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Vector {
    /// Its id in the file.
    pub id: String,
    /// The engine's parameters as the file has them: a JSON object.
    pub parameters: Value,
    contest: Contest,
    asked: Asked,
    expect: Value,
    exact: Value,
    tolerance: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// Ratings after the contest.
    Rate,
    /// The probability that the first team places before the second.
    Predict,
}

/// Why a file of vectors cannot be used. The fault of whoever wrote it.
#[derive(Debug, thiserror::Error)]
pub enum BadVectors {
    /// It is no JSON.
    #[error("it is no JSON")]
    Json(#[from] serde_json::Error),
    /// It has no list `vectors`.
    #[error("it has no list `vectors`")]
    NoList,
    /// No entry is of this engine.
    #[error("it has no vector of `{algo}`; it has: {}", known.join(", "))]
    UnknownEngine {
        /// As asked for.
        algo: String,
        /// What the file has.
        known: Vec<String>,
    },
}

impl Vectors {
    /// Reads the entries of one engine.
    ///
    /// # Errors
    /// See [`BadVectors`].
    pub fn parse(json: &[u8], algo: &str) -> Result<Self, BadVectors> {
        let file: Value = serde_json::from_slice(json)?;
        let all = file["vectors"].as_array().ok_or(BadVectors::NoList)?;
        let of = |vector: &&Value| vector["algo"] == algo;
        if !all.iter().any(|vector| of(&vector)) {
            let mut known: Vec<_> = all.iter().filter_map(|vector| vector["algo"].as_str()).map(str::to_owned).collect();
            known.sort_unstable();
            known.dedup();
            return Err(BadVectors::UnknownEngine { algo: algo.to_owned(), known });
        }
        let mut vectors = Self::default();
        for vector in all.iter().filter(of) {
            match Vector::read(vector) {
                Some(vector) => vectors.vectors.push(vector),
                None => vectors.passed_over += 1,
            }
        }
        Ok(vectors)
    }
}

impl Vector {
    fn read(vector: &Value) -> Option<Self> {
        let input = &vector["input"];
        let (asked, teams) = match vector["kind"].as_str()? {
            "rate" => (Asked::Rate, teams(&input["teams"])?),
            "expected_score" => (Asked::Predict, vec![team(&input["a"])?, team(&input["b"])?]),
            _ => return None,
        };
        let presence: Option<Vec<Vec<f64>>> = match &input["weights"] {
            Value::Null => None,
            weights => Some(serde_json::from_value(weights.clone()).ok()?),
        };
        let mut entrants = Vec::new();
        for (number, team) in (0..=u16::MAX).zip(&teams) {
            for (position, &(mean, uncertainty)) in team.iter().enumerate() {
                let of_player = |weights: &Vec<Vec<f64>>| weights.get(usize::from(number))?.get(position).copied();
                let presence = presence.as_ref().map_or(Some(1.0), of_player)?;
                let rating = Rating { mean, uncertainty, memory: Vec::new() };
                entrants.push(Entrant { rating, team: number, contests: 0, idle_s: 0, presence, stats: Vec::new() });
            }
        }
        let places = match asked {
            Asked::Rate => serde_json::from_value(input["ranks"].clone()).ok()?,
            Asked::Predict => vec![0, 1],
        };
        let (setting, scores, totals) = (Setting::default(), Vec::new(), Vec::new());
        Some(Self {
            id: vector["id"].as_str()?.to_owned(),
            parameters: vector["params"].clone(),
            contest: Contest { places, scores, setting, totals, trust: 1.0, entrants },
            asked,
            expect: vector["expect"].clone(),
            exact: vector["exact"].clone(),
            tolerance: vector["tol"].as_f64()?,
        })
    }

    /// Asks an engine that was loaded with [`Self::parameters`], and compares.
    ///
    /// # Errors
    /// The plugin's fault.
    pub fn run(&self, engine: &dyn RatingEngine) -> Result<Vec<Mismatch>, PluginFault> {
        let got: Vec<f64> = match self.asked {
            Asked::Rate => {
                let update = engine.rate(&[], &self.contest)?;
                update.ratings.iter().flat_map(|rating| [rating.mean, rating.uncertainty]).collect()
            }
            Asked::Predict => engine.predict(&[], &self.contest.entrants, &self.contest.setting)?,
        };
        let mut comparison = Comparison::default();
        let published = if self.asked == Asked::Rate { &self.expect["teams"] } else { &self.expect };
        for (what, expected, tolerance) in [("exact", &self.exact, EXACT), ("published", published, self.tolerance)] {
            let expected = numbers(expected);
            // An entry may have one of the two only.
            if expected.is_empty() {
                continue;
            }
            if expected.len() != got.len() {
                comparison.differs(what, format!("{} numbers", expected.len()), got.len().to_string());
                continue;
            }
            for (index, (expected, got)) in expected.iter().zip(&got).enumerate() {
                if let Some(expected) = expected {
                    comparison.number(&self.field(what, index), *expected, *got, tolerance);
                }
            }
        }
        Ok(comparison.mismatches)
    }

    fn field(&self, what: &str, index: usize) -> String {
        match self.asked {
            Asked::Rate => format!("{what}, player {}, {}", index / 2 + 1, if index.is_multiple_of(2) { "mean" } else { "uncertainty" }),
            Asked::Predict => what.to_owned(),
        }
    }
}

fn teams(value: &Value) -> Option<Vec<Vec<(f64, f64)>>> {
    value.as_array()?.iter().map(team).collect()
}

fn team(value: &Value) -> Option<Vec<(f64, f64)>> {
    serde_json::from_value(value.clone()).ok()
}

/// Every number in it, in order; `None` for what was not published. Nothing for a null alone.
fn numbers(value: &Value) -> Vec<Option<f64>> {
    fn gather(value: &Value, out: &mut Vec<Option<f64>>) {
        match value {
            Value::Array(values) => values.iter().for_each(|value| gather(value, out)),
            value => out.push(value.as_f64()),
        }
    }
    let mut out = Vec::new();
    if !value.is_null() {
        gather(value, &mut out);
    }
    out
}
