//! The published vectors: every `glicko2` and `glicko` entry of the shared vector file, natively, and what peers test beyond them.
#![allow(missing_docs, clippy::unwrap_used)]

use plugin_sdk::{Contest, Entrant, LineUp, Plugin, QueueShape, Rating, RatingEngine, Setting, Update};
use rating_glicko2::glicko::{Drift, Game, Standing, System, VOLATILITY_TOLERANCE, expected, flattening};
use rating_glicko2::{Glicko2, Parameters};
use serde_json::Value;

/// `exact` values are compared with this tolerance, published ones with their own.
const EXACT: f64 = 1e-9;

/// A solver that stops at a tolerance has an error of its own; `exact` values were computed to 60 digits.
const CONVERGED: f64 = 1e-13;

fn vectors(algo: &str, kind: &str) -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors/rating-vectors.json");
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("the shared vectors are missing: {path}: {error}"));
    let all: Value = serde_json::from_str(&text).unwrap();
    let wanted = all["vectors"].as_array().unwrap().iter().filter(|vector| vector["algo"] == algo && vector["kind"] == kind);
    wanted.cloned().collect()
}

fn drift(vector: &Value) -> Drift {
    let number = |name: &str, default: f64| vector["params"][name].as_f64().unwrap_or(default);
    let system = if vector["algo"] == "glicko" { System::Glicko } else { System::Glicko2 };
    let tolerance = if vector["exact"].is_null() { number("vol_tol", VOLATILITY_TOLERANCE) } else { CONVERGED };
    Drift { system, tau: number("tau", 0.5), c: number("c", 0.0), deviation_max: 350.0, tolerance }
}

fn standing(value: &Value) -> Standing {
    let numbers: Vec<f64> = serde_json::from_value(value.clone()).unwrap();
    Standing { rating: numbers[0], deviation: numbers[1], volatility: numbers.get(2).copied().unwrap_or(0.06) }
}

fn games(vector: &Value) -> Vec<Game> {
    let games: Vec<[f64; 3]> = serde_json::from_value(vector["input"]["games"].clone()).unwrap();
    games.into_iter().map(|[rating, deviation, score]| Game { rating, deviation, score }).collect()
}

#[track_caller]
fn assert_close(id: &Value, what: &str, got: f64, expected: &Value, tolerance: f64) {
    if let Some(expected) = expected.as_f64() {
        assert!((got - expected).abs() <= tolerance, "{id}: {what}: got {got}, expected {expected}");
    }
}

fn assert_standing(vector: &Value, got: &Standing) {
    for (expected, tolerance) in [(&vector["exact"], EXACT), (&vector["expect"], vector["tol"].as_f64().unwrap())] {
        assert_close(&vector["id"], "rating", got.rating, &expected["rating"], tolerance);
        assert_close(&vector["id"], "rd", got.deviation, &expected["rd"], tolerance);
        assert_close(&vector["id"], "vol", got.volatility, &expected["vol"], tolerance);
    }
}

#[test]
fn every_rating_period_is_met() {
    let mut met = 0;
    for vector in vectors("glicko2", "rating_period").into_iter().chain(vectors("glicko", "rating_period")) {
        assert_standing(&vector, &drift(&vector).period(&standing(&vector["input"]["player"]), &games(&vector)));
        met += 1;
    }
    assert!(met >= 4, "only {met} vectors");
}

#[test]
fn the_example_of_the_paper_is_met_step_by_step() {
    let vector = vectors("glicko2", "rating_period").into_iter().find(|vector| vector["id"] == "glickman/glicko2_example").unwrap();
    let (drift, player, games) = (drift(&vector), standing(&vector["input"]["player"]), games(&vector));
    let evidence = drift.evidence(&player, &games);
    let (exact, printed, id) = (&vector["exact"], &vector["expect"], &vector["id"]);
    assert_close(id, "v", 1.0 / evidence.precision, &exact["v"], EXACT);
    assert_close(id, "delta", evidence.pull / evidence.precision, &exact["delta"], EXACT);
    let after = drift.period(&player, &games);
    assert_close(id, "mu", (after.rating - 1500.0) / drift.scale(), &exact["mu"], EXACT);
    assert_close(id, "phi", after.deviation / drift.scale(), &exact["phi"], EXACT);
    let phi_star = (player.deviation / drift.scale()).hypot(after.volatility);
    assert_close(id, "phi*", phi_star, &exact["phi_star"], EXACT);
    for (index, game) in games.iter().enumerate() {
        let (mu, phi) = ((game.rating - 1500.0) / drift.scale(), game.deviation / drift.scale());
        let g = flattening(phi * phi);
        let steps = [("mu_j", mu), ("phi_j", phi), ("g", g), ("E", expected(g, -mu))];
        for (what, got) in steps {
            // Printed, and quoted from memory: four digits.
            assert_close(id, what, got, &printed[what][index], 1e-3);
        }
    }
}

#[test]
fn every_single_game_is_met_from_both_sides() {
    let vectors = vectors("glicko2", "rate");
    assert!(vectors.len() >= 3, "only {} vectors", vectors.len());
    for vector in vectors {
        let [player, opponent] = ["player", "opponent"].map(|side| standing(&vector["input"][side]));
        let score = games(&vector)[0].score;
        let (first, second) = duel(&drift(&vector), player, opponent, score);
        let tolerance = vector["tol"].as_f64().unwrap();
        for (side, got) in [("player", first), ("opponent", second)] {
            assert_close(&vector["id"], side, got.rating, &vector["expect"][side][0], tolerance);
            assert_close(&vector["id"], side, got.deviation, &vector["expect"][side][1], tolerance);
        }
        // The plugin with its own defaults says the same: a first contest is a whole period.
        let engine = engine(Parameters { tau: drift(&vector).tau, ..Parameters::default() });
        let rated = rated(&engine, &[player, opponent], &places(score));
        assert!((rated[0].mean - first.rating).abs() < 1e-10 && (rated[0].uncertainty - first.deviation).abs() < 1e-10);
        assert!((rated[1].mean - second.rating).abs() < 1e-10 && (rated[1].uncertainty - second.deviation).abs() < 1e-10);
        assert_eq!(rated[0].memory, first.volatility.to_le_bytes());
    }
}

#[test]
fn games_one_after_another_are_met() {
    for vector in vectors("glicko2", "sequential") {
        let drift = drift(&vector);
        let rated = games(&vector).into_iter().fold(standing(&vector["input"]["player"]), |player, game| drift.period(&player, &[game]));
        assert_standing(&vector, &rated);
        assert!((rated.volatility - vector["expect"]["vol"].as_f64().unwrap()).abs() < EXACT, "{rated:?}");
    }
}

#[test]
fn decay_and_expected_scores_are_met() {
    for vector in vectors("glicko", "decay") {
        let drift = Drift { c: vector["input"]["c"].as_f64().unwrap(), ..drift(&vector) };
        assert_standing(&vector, &drift.period(&standing(&vector["input"]["player"]), &[]));
    }
    let vectors = vectors("glicko", "expected_score");
    assert!(vectors.len() >= 2, "only {} vectors", vectors.len());
    for vector in vectors {
        let engine = engine(Parameters { system: System::Glicko, ..Parameters::default() });
        let sides = ["a", "b"].map(|side| standing(&vector["input"][side]));
        let mut pairs = Vec::new();
        engine.predict(&contest(&sides, &[0, 1]).line_up, &[], &mut pairs).unwrap();
        assert_close(&vector["id"], "exact", pairs[0], &vector["exact"], EXACT);
        assert_close(&vector["id"], "published", pairs[0], &vector["expect"], vector["tol"].as_f64().unwrap());
    }
}

/// The paper's period against three opponents is a free-for-all in which the player placed third.
#[test]
fn a_free_for_all_is_one_rating_period() {
    let player = Standing { rating: 1500.0, deviation: 200.0, volatility: 0.06 };
    let opponent = |rating, deviation| Standing { rating, deviation, volatility: 0.06 };
    let field = [player, opponent(1400.0, 30.0), opponent(1550.0, 100.0), opponent(1700.0, 300.0)];
    let games: Vec<Game> = field[1..].iter().zip([1.0, 0.0, 0.0]).map(|(other, score)| game(other, score)).collect();
    for system in [System::Glicko2, System::Glicko] {
        let parameters = Parameters { system, dilution: 0.0, ..Parameters::default() };
        let drift = Drift { system, ..drift_of(&parameters) };
        let expected = drift.period(&player, &games);
        let got = &rated(&engine(parameters), &field, &[2, 3, 0, 1])[0];
        assert!((got.mean - expected.rating).abs() < 1e-10 && (got.uncertainty - expected.deviation).abs() < 1e-10, "{got:?} {expected:?}");
    }
}

/// Numbers of the tests of the crate `skillratings` 0.28, MIT OR Apache-2.0: as many digits as are asserted there.
#[test]
fn what_skillratings_tests_holds_here() {
    let of = |rating: f64, deviation: f64, volatility: f64| Standing { rating, deviation, volatility };
    let glicko2 = drift_of(&Parameters::default());
    let glicko = Drift { system: System::Glicko, c: 63.2, ..glicko2 };
    let round = |value: f64| value.round();

    let (won, lost) = duel(&glicko2, of(1500.0, 200.0, 0.06), of(1400.0, 30.0, 0.06), 1.0);
    assert_eq!([won.rating, won.deviation, lost.rating, lost.deviation].map(round), [1564.0, 175.0, 1398.0, 32.0]);
    let (won, lost) = duel(&glicko2, of(240.0, 90.0, 0.06), of(240.0, 90.0, 0.06), 1.0);
    assert!((won.rating - 261.373_963_260_869_7).abs() < EXACT && (lost.rating - 218.626_036_739_130_34).abs() < EXACT);

    // Streaks of six and of 25, and the loser then wins one.
    for (losses, loser_after, deviation, volatility) in [(6, 1397.0, 212.0, 60_004.0), (25, 1248.0, 176.0, 60_001.0)] {
        let mut pair = (of(1500.0, 350.0, 0.06), of(1500.0, 350.0, 0.06));
        for _ in 0..losses {
            pair = duel(&glicko2, pair.0, pair.1, 0.0);
        }
        let (loser, winner) = duel(&glicko2, pair.0, pair.1, 1.0);
        assert_eq!([loser.rating, loser.deviation, loser.volatility * 1e6].map(round), [loser_after, deviation, volatility]);
        assert_eq!([winner.rating, winner.deviation].map(round), [3000.0 - loser_after, deviation]);
    }

    // Periods without games; a stranger's deviation is the most that time can lead to.
    let deviation = |drift: &Drift, standing: Standing| drift.period(&standing, &[]).deviation;
    assert_eq!(deviation(&glicko2, of(1500.0, 350.0, 0.06)), 350.0);
    assert_eq!(deviation(&glicko2, of(1250.0, 95.0, 0.06)).round(), 96.0);
    assert_eq!(deviation(&glicko2, of(2250.0, 35.0, 0.059_998)).round(), 37.0);

    // The same three games in Glicko, one after another and as one period.
    let opponents = [of(1400.0, 30.0, 0.06), of(1550.0, 100.0, 0.06), of(1700.0, 300.0, 0.06)];
    let results: Vec<Game> = opponents.iter().zip([1.0, 0.0, 0.0]).map(|(other, score)| game(other, score)).collect();
    let in_turn = results.iter().fold(of(1500.0, 200.0, 0.06), |player, &game| glicko.period(&player, &[game]));
    assert!(in_turn.rating.round() == 1449.0 && (in_turn.deviation - 171.684_472_141_285_57).abs() < EXACT, "{in_turn:?}");
    let at_once = glicko.period(&of(1500.0, 189.751_837_935_762_84, 0.06), &results);
    assert!(at_once.rating.round() == 1464.0 && (at_once.deviation - 151.398_902_447_969_33).abs() < EXACT, "{at_once:?}");
    let (won, lost) = duel(&glicko, of(240.0, 90.0, 0.06), of(240.0, 90.0, 0.06), 1.0);
    assert!((won.rating - 270.633_674_957_731_9).abs() < EXACT && (lost.rating - 209.366_325_042_268_1).abs() < EXACT);
    let (player, opponent) = duel(&glicko, of(1500.0, 350.0, 0.06), of(2230.0, 41.0, 0.06), 0.5);
    let numbers = [player.rating, player.deviation, opponent.rating, opponent.deviation];
    assert_eq!(numbers.map(round), [1820.0, 340.0, 2220.0, 75.0]);
    let rested = (0..30).fold(of(1500.0, 50.0, 0.06), |player, _| glicko.period(&player, &[]));
    assert_eq!((rested.deviation * 1e3).round(), 349_753.0);
}

fn drift_of(parameters: &Parameters) -> Drift {
    let Parameters { system, tau, c, deviation_max, volatility_tolerance: tolerance, .. } = *parameters;
    Drift { system, tau, c, deviation_max, tolerance }
}

fn game(opponent: &Standing, score: f64) -> Game {
    Game { rating: opponent.rating, deviation: opponent.deviation, score }
}

fn duel(drift: &Drift, first: Standing, second: Standing, score: f64) -> (Standing, Standing) {
    (drift.period(&first, &[game(&second, score)]), drift.period(&second, &[game(&first, 1.0 - score)]))
}

fn places(score: f64) -> [u16; 2] {
    [u16::from(score < 0.5), u16::from(score > 0.5)]
}

fn engine(parameters: Parameters) -> Glicko2 {
    Glicko2::configure(&QueueShape::default(), parameters).unwrap()
}

fn contest(field: &[Standing], places: &[u16]) -> Contest {
    let entrant = |(team, standing): (usize, &Standing)| {
        let memory = standing.volatility.to_le_bytes().to_vec();
        let rating = Rating { mean: standing.rating, uncertainty: standing.deviation, memory };
        Entrant { rating, team: u16::try_from(team).unwrap(), presence: 1.0, ..Entrant::default() }
    };
    let line_up = LineUp::new(field.iter().enumerate().map(entrant).collect(), Setting::default());
    Contest { line_up, places: places.to_vec(), trust: 1.0, ..Contest::default() }
}

fn rated(engine: &Glicko2, field: &[Standing], places: &[u16]) -> Vec<Rating> {
    let contest = contest(field, places);
    let mut update = Update::before(&contest, Vec::new());
    engine.rate(&contest, &mut update).unwrap();
    update.ratings
}
