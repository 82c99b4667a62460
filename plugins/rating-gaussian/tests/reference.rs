//! Against expectation propagation with 60 digits: gaps of ten thousand deviations, unequal teams, partial play, chance. The cases are made
//! by `reference/generate.py`.
#![allow(missing_docs, clippy::unwrap_used)]

use plugin_sdk::{Contest, Entrant, LineUp, Plugin, QueueShape, Rating, RatingEngine, Setting, Update};
use rating_gaussian::{Gaussian, Parameters};

/// Absolute, and relative for numbers beyond a thousand: those have no more digits.
const TOLERANCE: f64 = 1e-9;

#[derive(serde::Deserialize)]
struct File {
    cases: Vec<Case>,
}

#[derive(serde::Deserialize)]
struct Case {
    name: String,
    parameters: serde_json::Value,
    teams: Vec<Vec<(f64, f64)>>,
    ranks: Vec<u16>,
    weights: Option<Vec<Vec<f64>>>,
    after: Vec<Vec<(f64, f64)>>,
}

impl Case {
    fn contest(&self) -> Contest {
        let mut entrants = Vec::new();
        for (team, players) in self.teams.iter().enumerate() {
            for (seat, &(mean, uncertainty)) in players.iter().enumerate() {
                let presence = self.weights.as_ref().map_or(1.0, |weights| weights[team][seat]);
                let rating = Rating::new(mean, uncertainty);
                entrants.push(Entrant { rating, team: u16::try_from(team).unwrap(), presence, ..Entrant::default() });
            }
        }
        let line_up = LineUp::new(entrants, Setting::default());
        Contest { line_up, places: self.ranks.clone(), trust: 1.0, ..Contest::default() }
    }

    fn engine(&self) -> Gaussian {
        let mut parameters = self.parameters.clone();
        if self.weights.is_some() {
            parameters["participation"] = true.into();
            parameters["presence_min"] = 0.0.into();
        }
        let parameters: Parameters = serde_json::from_value(parameters).unwrap();
        Gaussian::configure(&QueueShape::default(), parameters).unwrap()
    }

    /// The largest difference from what is expected, as a multiple of the tolerance.
    fn error(&self) -> f64 {
        let contest = self.contest();
        let mut update = Update::before(&contest, Vec::new());
        self.engine().rate(&contest, &mut update).unwrap();
        let off = |got: f64, expected: f64| {
            assert!(got.is_finite(), "{}: {got}", self.name);
            (got - expected).abs() / (TOLERANCE * (expected.abs() / 1e3).max(1.0))
        };
        let pairs = update.ratings.iter().zip(self.after.iter().flatten());
        pairs.map(|(got, &(mean, uncertainty))| off(got.mean, mean).max(off(got.uncertainty, uncertainty))).fold(0.0, f64::max)
    }
}

#[test]
fn every_case_of_the_reference_is_met() {
    let file: File = serde_json::from_str(include_str!("reference/cases.json")).unwrap();
    assert!(file.cases.len() >= 300, "only {} cases", file.cases.len());
    let missed: Vec<String> = file
        .cases
        .iter()
        .map(|case| (case.error(), &case.name))
        .filter(|(error, _)| *error > 1.0)
        .map(|miss| format!("{miss:?}"))
        .collect();
    assert!(missed.is_empty(), "{} of {} missed, as multiples of the tolerance:\n{}", missed.len(), file.cases.len(), missed.join("\n"));
}
