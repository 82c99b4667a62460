//! The published vectors: every `trueskill` entry of the shared vector file, natively.
#![allow(missing_docs, clippy::unwrap_used)]

use normal::{above, within};
use plugin_sdk::{Contest, Entrant, LineUp, Plugin, QueueShape, Rating, RatingEngine, Setting, Update};
use rating_gaussian::gaussian::{Belief, quality};
use rating_gaussian::{Gaussian, Parameters};
use serde_json::Value;

/// `exact` values are compared with this tolerance, published ones with their own.
const EXACT: f64 = 1e-9;

fn vectors(algo: &str, kind: &str) -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors/rating-vectors.json");
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("the shared vectors are missing: {path}: {error}"));
    let all: Value = serde_json::from_str(&text).unwrap();
    let wanted = all["vectors"].as_array().unwrap().iter().filter(|vector| vector["algo"] == algo && vector["kind"] == kind);
    wanted.cloned().collect()
}

fn engine(vector: &Value) -> Gaussian {
    let number = |name: &str| vector["params"][name].as_f64().unwrap();
    let parameters = Parameters {
        mu: number("mu"),
        sigma: number("sigma"),
        beta: number("beta"),
        tau: number("tau"),
        draw_probability: number("draw_probability"),
        participation: !vector["input"]["weights"].is_null(),
        presence_min: 0.0,
        ..Parameters::default()
    };
    Gaussian::configure(&QueueShape::default(), parameters).unwrap()
}

fn beliefs(teams: &Value) -> Vec<Vec<(f64, f64)>> {
    serde_json::from_value(teams.clone()).unwrap()
}

fn weights(vector: &Value, teams: &[Vec<(f64, f64)>]) -> Vec<Vec<f64>> {
    match &vector["input"]["weights"] {
        Value::Null => teams.iter().map(|team| vec![1.0; team.len()]).collect(),
        weights => serde_json::from_value(weights.clone()).unwrap(),
    }
}

fn entrants(teams: &[Vec<(f64, f64)>], weights: &[Vec<f64>]) -> Vec<Entrant> {
    let mut entrants = Vec::new();
    for (index, (team, weights)) in teams.iter().zip(weights).enumerate() {
        for (&(mean, uncertainty), &presence) in team.iter().zip(weights) {
            let rating = Rating::new(mean, uncertainty);
            entrants.push(Entrant { rating, team: u16::try_from(index).unwrap(), presence, ..Entrant::default() });
        }
    }
    entrants
}

fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(values) => values.iter().flat_map(numbers).collect(),
        Value::Number(number) => vec![number.as_f64().unwrap()],
        // Not published.
        _ => vec![f64::NAN],
    }
}

#[track_caller]
fn assert_close(id: &Value, what: &str, got: &[f64], expected: &Value, tolerance: f64) {
    let expected = numbers(expected);
    assert_eq!(got.len(), expected.len(), "{id}: {what}");
    for (got, expected) in got.iter().zip(&expected).filter(|(_, expected)| !expected.is_nan()) {
        assert!((got - expected).abs() <= tolerance, "{id}: {what}: got {got}, expected {expected}");
    }
}

#[test]
fn every_rate_vector_is_met() {
    let vectors = vectors("trueskill", "rate");
    assert!(vectors.len() >= 41, "only {} vectors", vectors.len());
    for vector in vectors {
        let teams = beliefs(&vector["input"]["teams"]);
        let contest = Contest {
            line_up: LineUp::new(entrants(&teams, &weights(&vector, &teams)), Setting::default()),
            places: serde_json::from_value(vector["input"]["ranks"].clone()).unwrap(),
            trust: 1.0,
            ..Contest::default()
        };
        let mut update = Update::before(&contest, Vec::new());
        engine(&vector).rate(&contest, &mut update).unwrap();
        let got: Vec<f64> = update.ratings.iter().flat_map(|rating| [rating.mean, rating.uncertainty]).collect();
        let id = &vector["id"];
        if !vector["exact"].is_null() {
            assert_close(id, "exact", &got, &vector["exact"], EXACT);
        }
        assert_close(id, "published", &got, &vector["expect"]["teams"], vector["tol"].as_f64().unwrap());
    }
}

#[test]
fn every_expected_score_vector_is_met() {
    let vectors = vectors("trueskill", "expected_score");
    assert!(!vectors.is_empty());
    for vector in vectors {
        let teams = [&vector["input"]["a"], &vector["input"]["b"]].map(beliefs_of_team);
        let line_up = LineUp::new(entrants(&teams, &weights(&vector, &teams)), Setting::default());
        let mut pairs = Vec::new();
        engine(&vector).predict(&line_up, &[], &mut pairs).unwrap();
        assert_close(&vector["id"], "exact", &pairs, &vector["exact"], EXACT);
        assert_close(&vector["id"], "published", &pairs, &vector["expect"], vector["tol"].as_f64().unwrap());
    }
}

fn beliefs_of_team(team: &Value) -> Vec<(f64, f64)> {
    serde_json::from_value(team.clone()).unwrap()
}

#[test]
fn every_quality_vector_is_met() {
    let vectors = vectors("trueskill", "quality");
    assert!(vectors.len() >= 21, "only {} vectors", vectors.len());
    for vector in vectors {
        let teams = beliefs(&vector["input"]["teams"]);
        let weights = weights(&vector, &teams);
        let weighted = teams.iter().zip(&weights).map(|(team, weights)| {
            let member = |(&(mean, uncertainty), &weight): (&(f64, f64), &f64)| (Belief { mean, uncertainty }, weight);
            team.iter().zip(weights).map(member).collect()
        });
        let got = quality(vector["params"]["beta"].as_f64().unwrap(), &weighted.collect::<Vec<_>>());
        assert_close(&vector["id"], "exact", &[got], &vector["exact"], EXACT);
        assert_close(&vector["id"], "published", &[got], &vector["expect"], vector["tol"].as_f64().unwrap());
    }
}

#[test]
fn the_table_of_truncated_moments_is_met() {
    for vector in vectors("numerics", "table") {
        for row in vector["expect"].as_array().unwrap() {
            let numbers = numbers(row);
            let [t, margin, v_win, w_win, v_draw, w_draw] = numbers.as_slice() else { panic!("{row}") };
            let won = above(*t, *margin);
            let drew = within(*t, *margin);
            let got = [won.shift, 1.0 - won.variance_left, drew.shift, 1.0 - drew.variance_left];
            for (got, expected) in got.iter().zip([v_win, w_win, v_draw, w_draw]).filter(|(_, expected)| !expected.is_nan()) {
                assert!((got - expected).abs() <= 1e-12 * expected.abs().max(1.0), "{row}: got {got}, expected {expected}");
            }
        }
    }
}
