//! How the built-in engines take what the file says of each peer.
//!
//! A built-in engine is asked for every `algo` that it can stand for, with the parameters that make it do so. Of the file's parameters those
//! are handed on that its schema knows: files also note the names of systems, scales and tolerances of iterations there. Any other component
//! gets parameters and weights as the file has them.

use std::collections::BTreeSet;

use ladder::rating::Rating;
use serde_json::{Map, Value, json};

use super::Vector;
use super::form::{Known, Played};

/// What an engine of ours stands for.
struct Stand {
    builtin: &'static str,
    algo: &'static str,
    /// As JSON: what makes the engine this peer.
    fixed: &'static str,
    /// As JSON: what has to be added where the entry has weights.
    weighted: &'static str,
}

const STANDS: [Stand; 11] = [
    Stand { builtin: "gaussian", algo: "trueskill", fixed: "{}", weighted: r#"{"participation":true,"presence_min":0}"# },
    weng_lin("weng_lin_pl", r#"{"model":"plackett-luce"}"#),
    weng_lin("weng_lin_btf", r#"{"model":"bradley-terry-full"}"#),
    weng_lin("weng_lin_btp", r#"{"model":"bradley-terry-partial"}"#),
    weng_lin("weng_lin_tmf", r#"{"model":"thurstone-mosteller-full"}"#),
    weng_lin("weng_lin_tmp", r#"{"model":"thurstone-mosteller-partial"}"#),
    stand("glicko2", "glicko2", GLICKO2_PERIODS),
    stand("glicko2", "glicko", GLICKO_PERIODS),
    stand("elo", "elo", "{}"),
    stand("elo-mmr", "elo_mmr", r#"{"system":"elo-mmr","noob_delay":[],"deviation_max":1e6}"#),
    stand("elo-mmr", "elo_mmx", r#"{"system":"elo-mmx","noob_delay":[],"deviation_max":1e6}"#),
];

/// Where peers of one `algo` differ: what makes the engine the one that the entry was taken from.
const SOURCES: [(&str, &str, &str); 3] = [
    ("weng-lin", "openskillpy", r#"{"prediction":"normal"}"#),
    ("weng-lin", "openskilljs", r#"{"prediction":"normal-field","window":1,"averaged":false,"margin_effect":"step"}"#),
    ("weng-lin", "skillratings", r#"{"prediction":"logistic"}"#),
];

/// What the peers assume where an entry says nothing of it, and our engines do not: no drift, neither by contests nor by days.
const ASSUMED: [(&str, &str); 4] = [
    ("gaussian", r#"{"beta":4.166666666666667}"#),
    ("weng-lin", r#"{"beta":4.166666666666667,"kappa":0.0001,"tau":0,"tau_per_day":0}"#),
    ("elo", r#"{"k":32}"#),
    ("elo-mmr", r#"{"weight_limit":0.2,"sig_limit":80,"drift_per_day":0}"#),
];

/// Each contest is a whole rating period and each comparison in it a whole game, however long ago the last one was.
const GLICKO2_PERIODS: &str = r#"{"system":"glicko2","period_contests":1,"period_days":0,"dilution":0,"deviation_max":1e6}"#;
const GLICKO_PERIODS: &str = r#"{"system":"glicko","period_contests":1,"period_days":0,"dilution":0,"c":0}"#;
/// How well volatilities are found where the file does not say: as well as numbers go.
const VOLATILITY_TOLERANCE: f64 = 1e-13;

const fn weng_lin(algo: &'static str, fixed: &'static str) -> Stand {
    Stand { builtin: "weng-lin", algo, fixed, weighted: r#"{"participation":"openskill"}"# }
}

const fn stand(builtin: &'static str, algo: &'static str, fixed: &'static str) -> Stand {
    Stand { builtin, algo, fixed, weighted: "{}" }
}

/// How one component is asked.
#[derive(Clone, Debug, Default)]
pub struct Dialect {
    builtin: Option<String>,
    /// Parameters that its schema has; `None`: not known, everything is handed on.
    known: Option<BTreeSet<String>>,
}

impl Dialect {
    /// That of a component: `shown` is `builtin:NAME` or a path, `schema` what it says about its parameters.
    #[must_use]
    pub fn of(shown: &str, schema: &str) -> Self {
        let builtin = shown.strip_prefix("builtin:").filter(|name| STANDS.iter().any(|stand| stand.builtin == *name));
        let schema: Value = serde_json::from_str(schema).unwrap_or_default();
        let known = schema["properties"].as_object().map(|properties| properties.keys().cloned().collect());
        Self { builtin: builtin.map(str::to_owned), known: known.filter(|_| builtin.is_some()) }
    }

    /// What the component can be asked for without being told; empty for one that is not known.
    #[must_use]
    pub fn algos(&self) -> Vec<&'static str> {
        STANDS.iter().filter(|stand| self.builtin.as_deref() == Some(stand.builtin)).map(|stand| stand.algo).collect()
    }

    /// The built-in engine, without `builtin:`, that stands for an algo.
    #[must_use]
    pub fn builtin_for(algo: &str) -> Option<&'static str> {
        STANDS.iter().find(|stand| stand.algo == algo).map(|stand| stand.builtin)
    }

    /// The parameters with which an entry is asked; `extra` stands above all others.
    #[must_use]
    pub fn parameters(&self, vector: &Vector, extra: &Value) -> Value {
        let stated = vector.parameters.as_object().cloned().unwrap_or_default();
        let stand = STANDS.iter().find(|stand| self.builtin.as_deref() == Some(stand.builtin) && stand.algo == vector.algo);
        let mut parameters = match stand {
            None => stated,
            Some(stand) => {
                let of_source = SOURCES.iter().filter(|(builtin, source, _)| *builtin == stand.builtin && *source == vector.source);
                let assumed = ASSUMED.iter().filter(|(builtin, _)| *builtin == stand.builtin).map(|(_, json)| *json);
                let mut parameters = merged(assumed);
                parameters.extend(translated(stated));
                parameters.retain(|name, _| self.known.as_ref().is_none_or(|known| known.contains(name)));
                parameters.extend(merged(of_source.map(|(_, _, json)| *json)));
                parameters.extend(merged([stand.fixed]));
                parameters.extend(merged(vector.is_weighted().then_some(stand.weighted)));
                parameters
            }
        };
        parameters.extend(object(extra.clone()));
        Value::Object(parameters)
    }

    /// A player's belief at first, with what the engine would remember of a stranger.
    pub(super) fn rating(&self, known: &Known, initial: &Rating) -> Rating {
        let uncertainty = known.uncertainty.unwrap_or(initial.uncertainty);
        let memory = match (self.builtin.as_deref(), known.volatility) {
            (Some("glicko2"), Some(volatility)) => volatility.to_le_bytes().to_vec(),
            _ => initial.memory.clone(),
        };
        Rating { mean: known.mean, uncertainty, memory }
    }

    /// The volatility that an engine remembers of a player, where that can be read.
    pub(super) fn volatility(&self, rating: &Rating) -> Option<f64> {
        let bytes = rating.memory.first_chunk::<8>().filter(|_| self.builtin.as_deref() == Some("glicko2"))?;
        Some(f64::from_le_bytes(*bytes))
    }

    /// The share of the contest that each seat was there for. Openskill spreads the weights of each team between one and two.
    pub(super) fn presence(&self, played: &Played) -> Vec<f64> {
        let weights = played.seats.iter().map(|seat| seat.presence);
        if self.builtin.as_deref() != Some("weng-lin") {
            return weights.collect();
        }
        let of_team = |team: u16| played.seats.iter().filter(move |seat| seat.team == team).map(|seat| seat.presence);
        let spread = |seat: &super::form::Seat| {
            let (least, most) = (of_team(seat.team).fold(f64::INFINITY, f64::min), of_team(seat.team).fold(0.0, f64::max));
            if most > least { (seat.presence - least) / (most - least) } else { 1.0 }
        };
        played.seats.iter().map(spread).collect()
    }
}

/// Parameters that an engine of ours has other words for.
fn translated(mut parameters: Map<String, Value>) -> Map<String, Value> {
    let tolerance = parameters.remove("vol_tol").unwrap_or(json!(VOLATILITY_TOLERANCE));
    parameters.insert("volatility_tolerance".to_owned(), tolerance);
    for (theirs, ours) in [("window_size", "window"), ("uncertainty_tolerance", "kappa"), ("limitSigma", "limit_sigma")] {
        if let Some(value) = parameters.remove(theirs) {
            parameters.insert(ours.to_owned(), value);
        }
    }
    if let Some(gamma) = parameters.remove("gamma") {
        let by_teams = gamma.as_str().is_some_and(|text| text.contains("/k") || text.contains("1 / k") || text == "one-over-k");
        parameters.insert("gamma".to_owned(), json!(if by_teams { "one-over-k" } else { "sigma-over-c" }));
    }
    parameters
}

/// Tables of constants above, the later over the earlier.
fn merged(tables: impl IntoIterator<Item = &'static str>) -> Map<String, Value> {
    let read = |json| object(serde_json::from_str(json).expect("the tables of this file are JSON"));
    tables.into_iter().flat_map(read).collect()
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}
