//! The published vectors: every `elo_mmr` and `elo_mmx` entry of the shared vector file, natively, and whole histories beside an
//! independent implementation.
#![allow(missing_docs, clippy::unwrap_used)]

use plugin_sdk::{Contest, Entrant, LineUp, Plugin, QueueShape, Rating, RatingEngine, Setting, Update, parse_parameters};
use rating_elo_mmr::performance::System;
use rating_elo_mmr::{EloMmr, Parameters};
use serde_json::Value;

fn entrant(rating: Rating, team: usize) -> Entrant {
    Entrant { rating, team: u16::try_from(team).unwrap(), presence: 1.0, ..Entrant::default() }
}

fn rated(engine: &EloMmr, entrants: Vec<Entrant>, places: Vec<u16>) -> Vec<Rating> {
    let contest = Contest { line_up: LineUp::new(entrants, Setting::default()), places, trust: 1.0, ..Contest::default() };
    let mut update = Update::before(&contest, Vec::new());
    engine.rate(&contest, &mut update).unwrap();
    update.ratings
}

#[test]
fn every_rate_vector_is_met() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors/rating-vectors.json");
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("the shared vectors are missing: {path}: {error}"));
    let all: Value = serde_json::from_str(&text).unwrap();
    let mut met = 0;
    for vector in all["vectors"].as_array().unwrap() {
        let system = match vector["algo"].as_str().unwrap() {
            "elo_mmr" => System::EloMmr,
            "elo_mmx" => System::EloMmx,
            _ => continue,
        };
        let number = |name: &str| vector["params"][name].as_f64().unwrap();
        let parameters = Parameters {
            system,
            weight_limit: number("weight_limit"),
            sig_limit: number("sig_limit"),
            drift_per_day: number("drift_per_day"),
            split_ties: vector["params"]["split_ties"].as_bool().unwrap(),
            transfer_speed: number("transfer_speed"),
            noob_delay: Vec::new(),
            ..Parameters::default()
        };
        let engine = EloMmr::configure(&QueueShape::default(), parameters).unwrap();
        let teams: Vec<Vec<(f64, f64)>> = serde_json::from_value(vector["input"]["teams"].clone()).unwrap();
        let entrants = teams.iter().enumerate().map(|(team, players)| entrant(Rating::new(players[0].0, players[0].1), team));
        let got = rated(&engine, entrants.collect(), serde_json::from_value(vector["input"]["ranks"].clone()).unwrap());
        let expected: Vec<Vec<(f64, f64)>> = serde_json::from_value(vector["expect"]["teams"].clone()).unwrap();
        for (got, expected) in got.iter().zip(&expected) {
            let off = (got.mean - expected[0].0).abs().max((got.uncertainty - expected[0].1).abs());
            assert!(off <= vector["tol"].as_f64().unwrap(), "{}: got {got:?}, expected {expected:?}", vector["id"]);
        }
        met += 1;
    }
    assert!(met >= 6, "only {met} vectors");
}

/// `vectors/histories.json` holds 20 contests each of twelve players under seven sets of parameters, as computed by an implementation of
/// the paper that shares nothing with this one: Python, bisection instead of Newton's method, no limit to the history.
#[test]
fn whole_histories_agree_with_an_independent_implementation() {
    let histories: Vec<Value> = serde_json::from_str(include_str!("vectors/histories.json")).unwrap();
    for history in histories {
        let mut table = history["parameters"].as_object().unwrap().clone();
        let defaults = [("sig_limit", 80.0), ("weight_limit", 0.2), ("drift_per_day", 0.0), ("transfer_speed", 1.0), ("deviation", 350.0)];
        for (name, value) in defaults {
            table.entry(name).or_insert_with(|| value.into());
        }
        table.insert("deviation_max".to_owned(), 1e6.into());
        table.entry("noob_delay").or_insert_with(|| Value::Array(Vec::new()));
        let parameters: Parameters = parse_parameters(&Value::Object(table).to_string()).unwrap();
        let engine = EloMmr::configure(&QueueShape::default(), parameters).unwrap();
        let mut standings = vec![(engine.initial(), 0_u32); 12];
        for (number, contest) in history["contests"].as_array().unwrap().iter().enumerate() {
            let players: Vec<usize> = serde_json::from_value(contest["players"].clone()).unwrap();
            let days: Vec<u64> = serde_json::from_value(contest["days"].clone()).unwrap();
            let seat = |(team, (&player, days)): (usize, (&usize, &u64))| Entrant {
                contests: standings[player].1,
                idle_s: days * 86_400,
                ..entrant(standings[player].0.clone(), team)
            };
            let entrants = players.iter().zip(&days).enumerate().map(seat).collect();
            let got = rated(&engine, entrants, serde_json::from_value(contest["places"].clone()).unwrap());
            let after: Vec<(f64, f64)> = serde_json::from_value(contest["after"].clone()).unwrap();
            for ((&player, rating), (mean, deviation)) in players.iter().zip(got).zip(after) {
                let off = (rating.mean - mean).abs().max((rating.uncertainty - deviation).abs());
                assert!(off < 1e-6, "{} contest {number}: got {rating:?}, expected {mean} {deviation}", history["parameters"]);
                standings[player] = (rating, standings[player].1 + 1);
            }
        }
    }
}
