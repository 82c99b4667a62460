//! The published vectors: every `weng_lin_*` entry of the shared vector file, natively.
#![allow(missing_docs, clippy::unwrap_used)]

use plugin_sdk::{Contest, Entrant, LineUp, Plugin, QueueShape, Rating, RatingEngine, Setting, Update};
use rating_weng_lin::model::Model;
use rating_weng_lin::{Parameters, Participation, WengLin};
use serde_json::Value;

fn vectors(kind: &str) -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors/rating-vectors.json");
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("the shared vectors are missing: {path}: {error}"));
    let all: Value = serde_json::from_str(&text).unwrap();
    let is_ours = |vector: &&Value| vector["algo"].as_str().unwrap().starts_with("weng_lin_") && vector["kind"] == kind;
    all["vectors"].as_array().unwrap().iter().filter(is_ours).cloned().collect()
}

fn engine(vector: &Value) -> WengLin {
    let model = match vector["algo"].as_str().unwrap() {
        "weng_lin_pl" => Model::PlackettLuce,
        "weng_lin_btf" => Model::BradleyTerryFull,
        "weng_lin_btp" => Model::BradleyTerryPartial,
        "weng_lin_tmf" => Model::ThurstoneMostellerFull,
        "weng_lin_tmp" => Model::ThurstoneMostellerPartial,
        other => panic!("{other}"),
    };
    let number = |name: &str, default: f64| vector["params"][name].as_f64().unwrap_or(default);
    let flag = |name: &str| vector["params"][name].as_bool().unwrap_or(false);
    let parameters = Parameters {
        model,
        mu: number("mu", 25.0),
        sigma: number("sigma", 25.0 / 3.0),
        beta: number("beta", 25.0 / 6.0),
        kappa: number("kappa", 1e-4),
        tau: number("tau", 0.0),
        margin: number("margin", 0.0),
        balance: flag("balance"),
        limit_sigma: flag("limit_sigma"),
        participation: if vector["input"]["weights"].is_null() { Participation::Ignored } else { Participation::Openskill },
        ..Parameters::default()
    };
    WengLin::configure(&QueueShape::default(), parameters).unwrap()
}

fn beliefs(teams: &Value) -> Vec<Vec<(f64, f64)>> {
    serde_json::from_value(teams.clone()).unwrap()
}

fn line_up(teams: &[Vec<(f64, f64)>], weights: &Value) -> LineUp {
    let mut entrants = Vec::new();
    for (index, team) in teams.iter().enumerate() {
        for (player, &(mean, uncertainty)) in team.iter().enumerate() {
            // The weights of the file reach to 2; openskill.py looks at their order and distances within a team alone.
            let presence = weights[index][player].as_f64().unwrap_or(2.0) / 2.0;
            let rating = Rating::new(mean, uncertainty);
            entrants.push(Entrant { rating, team: u16::try_from(index).unwrap(), presence, ..Entrant::default() });
        }
    }
    LineUp::new(entrants, Setting::default())
}

#[track_caller]
fn assert_close(id: &Value, got: &[f64], expected: &Value, tolerance: f64) {
    fn numbers(value: &Value) -> Vec<f64> {
        value.as_array().map_or_else(|| vec![value.as_f64().unwrap()], |values| values.iter().flat_map(numbers).collect())
    }
    let expected = numbers(expected);
    assert_eq!(got.len(), expected.len(), "{id}");
    for (got, expected) in got.iter().zip(&expected) {
        assert!((got - expected).abs() <= tolerance, "{id}: got {got}, expected {expected}");
    }
}

#[test]
fn every_rate_vector_is_met() {
    let vectors = vectors("rate");
    assert!(vectors.len() >= 27, "only {} vectors", vectors.len());
    for vector in vectors {
        let input = &vector["input"];
        let scores: Vec<f64> = serde_json::from_value(input["scores"].clone()).unwrap_or_default();
        let places: Vec<u16> = match &input["ranks"] {
            Value::Null => scores.iter().map(|score| scores.iter().filter(|other| *other > score).count() as u16).collect(),
            ranks => serde_json::from_value(ranks.clone()).unwrap(),
        };
        let line_up = line_up(&beliefs(&input["teams"]), &input["weights"]);
        let contest = Contest { line_up, places, scores, trust: 1.0, ..Contest::default() };
        let mut update = Update::before(&contest, Vec::new());
        engine(&vector).rate(&contest, &mut update).unwrap();
        let got: Vec<f64> = update.ratings.iter().flat_map(|rating| [rating.mean, rating.uncertainty]).collect();
        assert_close(&vector["id"], &got, &vector["expect"]["teams"], vector["tol"].as_f64().unwrap().min(1e-9));
    }
}

#[test]
fn every_expected_score_vector_is_met() {
    let vectors = vectors("expected_score");
    assert!(!vectors.is_empty());
    for vector in vectors {
        let teams = [&vector["input"]["a"], &vector["input"]["b"]].map(|team| serde_json::from_value(team.clone()).unwrap());
        let mut pairs = Vec::new();
        engine(&vector).predict(&line_up(&teams, &Value::Null), &[], &mut pairs).unwrap();
        assert_close(&vector["id"], &pairs, &vector["expect"], vector["tol"].as_f64().unwrap());
    }
}
