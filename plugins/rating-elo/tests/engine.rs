//! The engine as a plugin: vectors, parameters, experience, teams, resets, trust, presence, inactivity.
#![allow(missing_docs, clippy::unwrap_used)]

use plugin_sdk::{Contest, Entrant, Fault, LineUp, Plugin, QueueShape, Rating, RatingEngine, Setting, Update, parse_parameters};
use rating_elo::{Elo, Parameters};
use serde_json::Value;
use skillratings::Outcomes;
use skillratings::elo::{EloConfig, EloRating, elo, elo_rating_period, expected_score};

const DAY_S: u64 = 86_400;

fn engine(parameters: Parameters) -> Elo {
    Elo::configure(&QueueShape::default(), parameters).unwrap()
}

fn with_k(k: f64) -> Elo {
    engine(Parameters { k: Some(k), ..Parameters::default() })
}

fn contest(teams: &[&[f64]], places: &[u16]) -> Contest {
    let mut entrants = Vec::new();
    for (team, players) in teams.iter().enumerate() {
        for &mean in *players {
            let rating = Rating::new(mean, 100.0);
            entrants.push(Entrant { rating, team: u16::try_from(team).unwrap(), presence: 1.0, ..Entrant::default() });
        }
    }
    let line_up = LineUp::new(entrants, Setting::default());
    Contest { line_up, places: places.to_vec(), trust: 1.0, ..Contest::default() }
}

fn rated(engine: &Elo, contest: &Contest) -> Vec<Rating> {
    let mut update = Update::before(contest, Vec::new());
    engine.rate(contest, &mut update).unwrap();
    update.ratings
}

fn means(engine: &Elo, contest: &Contest) -> Vec<f64> {
    rated(engine, contest).iter().map(|rating| rating.mean).collect()
}

fn predicted(engine: &Elo, contest: &Contest) -> Vec<f64> {
    let mut pairs = Vec::new();
    engine.predict(&contest.line_up, &[], &mut pairs).unwrap();
    pairs
}

#[track_caller]
fn assert_close(got: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len());
    assert!(got.iter().zip(expected).all(|(got, expected)| (got - expected).abs() <= tolerance), "{got:?}, expected {expected:?}");
}

#[test]
fn every_shared_vector_is_met() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors/rating-vectors.json");
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("the shared vectors are missing: {path}: {error}"));
    let all: Value = serde_json::from_str(&text).unwrap();
    let ours: Vec<&Value> = all["vectors"].as_array().unwrap().iter().filter(|vector| vector["algo"] == "elo").collect();
    assert!(ours.len() >= 6, "{}", ours.len());
    for vector in ours {
        let number = |value: &Value| value.as_f64().unwrap();
        let (first, second) = (number(&vector["input"]["a"]), number(&vector["input"]["b"]));
        let (teams, tolerance) = ([&[first][..], &[second]], number(&vector["tol"]));
        if vector["kind"] == "expected_score" {
            assert_close(&predicted(&with_k(32.0), &contest(&teams, &[0, 1])), &[number(&vector["expect"])], tolerance);
        } else {
            let places = [[1, 0], [0, 0], [0, 1]][(2.0 * number(&vector["input"]["score"])) as usize];
            let expected = [number(&vector["expect"]["a"]), number(&vector["expect"]["b"])];
            assert_close(&means(&with_k(number(&vector["params"]["k"])), &contest(&teams, &places)), &expected, tolerance);
        }
    }
}

#[test]
fn duels_end_as_with_skillratings() {
    for (step, k) in (0..200).zip([10.0, 20.0, 32.0, 57.5].into_iter().cycle()) {
        let (first, second) = (800.0 + 7.3 * f64::from(step), 2_400.0 - 9.1 * f64::from(step));
        for (outcome, places) in [(Outcomes::WIN, [0, 1]), (Outcomes::DRAW, [4, 4]), (Outcomes::LOSS, [1, 0])] {
            let after = elo(&EloRating { rating: first }, &EloRating { rating: second }, &outcome, &EloConfig { k });
            let contest = contest(&[&[first], &[second]], &places);
            assert_close(&means(&with_k(k), &contest), &[after.0.rating, after.1.rating], 1e-9);
            let expected = expected_score(&EloRating { rating: first }, &EloRating { rating: second }).0;
            assert_close(&predicted(&with_k(k), &contest), &[expected], 1e-12);
        }
    }
}

#[test]
fn a_period_of_games_is_its_games_one_by_one() {
    let stranger = EloRating::new();
    let games = [(stranger, Outcomes::WIN), (stranger, Outcomes::DRAW), (stranger, Outcomes::LOSS)];
    let expected = elo_rating_period(&stranger, &games, &EloConfig::new()).rating;
    let mut rating = stranger.rating;
    for places in [[0, 1], [0, 0], [1, 0]] {
        rating = means(&with_k(32.0), &contest(&[&[rating], &[stranger.rating]], &places))[0];
    }
    assert_close(&[rating], &[expected], 1e-9);
}

#[test]
fn the_schema_states_the_defaults() {
    let schema: Value = serde_json::from_str(Elo::PARAMETERS_SCHEMA).unwrap();
    let properties = schema["properties"].as_object().unwrap();
    let defaults = properties.iter().map(|(name, property)| (name.clone(), property["default"].clone()));
    let written = Value::Object(defaults.collect()).to_string();
    assert_eq!(parse_parameters::<Parameters>(&written).unwrap(), Parameters::default());
}

#[test]
fn every_bad_parameter_is_named_at_once() {
    let k_by_contests = vec![(1, 40.0), (30, f64::NAN), (30, 10.0)];
    let parameters = Parameters { scale: 0.0, k: Some(-1.0), k_by_contests, ..Parameters::default() };
    let errors = Elo::configure(&QueueShape::default(), parameters).unwrap_err();
    let paths: Vec<_> = errors.iter().map(|error| error.path.as_str()).collect();
    assert_eq!(paths, ["k", "scale", "k_by_contests[0]", "k_by_contests[1]", "k_by_contests[2]"]);
    let none = Parameters { k_by_contests: Vec::new(), ..Parameters::default() };
    assert_eq!(Elo::configure(&QueueShape::default(), none).unwrap_err()[0].path, "k_by_contests");
    assert!(parse_parameters::<Parameters>(r#"{"K":32}"#).is_err());
}

#[test]
fn who_has_played_more_moves_less() {
    let engine = engine(Parameters { k_by_contests: vec![(0, 40.0), (30, 20.0), (100, 10.0)], ..Parameters::default() });
    let mut contest = contest(&[&[1_500.0], &[1_500.0]], &[0, 1]);
    for (contests, gain) in [(0, 20.0), (29, 20.0), (30, 10.0), (99, 10.0), (100, 5.0), (u32::MAX, 5.0)] {
        contest.line_up.entrants[0].contests = contests;
        assert_close(&means(&engine, &contest), &[1_500.0 + gain, 1_480.0], 1e-9);
    }
}

#[test]
fn a_team_is_the_average_of_its_players_who_move_alike() {
    let engine = with_k(32.0);
    let contest = contest(&[&[1_400.0, 1_600.0], &[1_700.0, 1_700.0, 1_700.0]], &[0, 1]);
    let gain = 32.0 * (1.0 - engine.expected(1_500.0, 1_700.0));
    assert_close(&predicted(&engine, &contest), &[engine.expected(1_500.0, 1_700.0)], 1e-12);
    let expected = [1_400.0 + gain, 1_600.0 + gain, 1_700.0 - gain, 1_700.0 - gain, 1_700.0 - gain];
    assert_close(&means(&engine, &contest), &expected, 1e-9);
}

#[test]
fn many_teams_are_the_mean_of_their_pairs() {
    let engine = with_k(30.0);
    let ratings = [1_500.0, 1_620.0, 1_340.0, 1_500.0];
    let places = [1, 0, 3, 1];
    let contest = contest(&ratings.each_ref().map(std::slice::from_ref), &places);
    let mut expected = ratings;
    for (own, rating) in expected.iter_mut().enumerate() {
        for other in (0..4).filter(|&other| other != own) {
            let places = [places[own], places[other]];
            let pair = self::contest(&[&[ratings[own]], &[ratings[other]]], &places);
            *rating += (means(&engine, &pair)[0] - ratings[own]) / 3.0;
        }
    }
    assert_close(&means(&engine, &contest), &expected, 1e-9);
    assert_close(&means(&engine, &contest).iter().map(|mean| mean / 4.0).collect::<Vec<_>>(), &expected.map(|mean| mean / 4.0), 1e-9);
    assert_eq!(predicted(&engine, &contest).len(), 6);
}

#[test]
fn the_order_of_entrants_and_of_teams_does_not_matter() {
    let engine = engine(Parameters::default());
    let (first, second, third): (&[f64], &[f64], &[f64]) = (&[1_500.0, 1_700.0], &[1_400.0, 1_450.0], &[1_900.0]);
    let forward = contest(&[first, second, third], &[1, 0, 1]);
    let mut backward = forward.clone();
    backward.line_up.entrants.reverse();
    let mut reversed = means(&engine, &backward);
    reversed.reverse();
    assert_close(&means(&engine, &forward), &reversed, 1e-9);
    let turned = means(&engine, &contest(&[third, first, second], &[1, 1, 0]));
    let after = means(&engine, &forward);
    assert_close(&turned, &[after[4], after[0], after[1], after[2], after[3]], 1e-9);
}

#[test]
fn gaps_beyond_all_sense_stay_finite() {
    for gap in [0.0, 4e3, 4e5, 1e9] {
        for places in [[0, 1, 2], [1, 1, 1], [2, 1, 0]] {
            for count in 2..=3 {
                let teams: [&[f64]; 3] = [&[-gap], &[0.0], &[gap]];
                let contest = contest(&teams[..count], &places[..count]);
                for rating in rated(&engine(Parameters::default()), &contest) {
                    assert!(rating.mean.is_finite() && rating.uncertainty > 0.0 && rating.uncertainty < 350.0, "{rating:?}");
                }
                assert!(predicted(&with_k(32.0), &contest).iter().all(|share| (0.0..=1.0).contains(share)));
            }
        }
    }
    let mut update = Update::before(&contest(&[&[2e9], &[0.0]], &[0, 1]), Vec::new());
    assert_eq!(with_k(32.0).rate(&contest(&[&[2e9], &[0.0]], &[0, 1]), &mut update), Err(Fault::OutOfRange));
}

#[test]
fn a_result_without_trust_changes_nothing_and_one_of_half_trust_half() {
    let engine = with_k(32.0);
    let mut contest = contest(&[&[1_500.0], &[1_500.0]], &[0, 1]);
    contest.line_up.entrants[0].idle_s = 900 * DAY_S;
    contest.trust = 0.5;
    assert_close(&means(&engine, &contest), &[1_508.0, 1_492.0], 1e-9);
    contest.trust = 0.0;
    for (after, before) in rated(&engine, &contest).iter().zip(&contest.line_up.entrants) {
        assert_eq!(after, &before.rating);
    }
}

#[test]
fn presence_counts_only_where_the_operator_wants_it() {
    let with = |participation| engine(Parameters { participation, k: Some(32.0), ..Parameters::default() });
    let mut contest = contest(&[&[1_500.0], &[1_400.0, 1_600.0]], &[0, 1]);
    let full = rated(&with(false), &contest);
    assert_eq!(rated(&with(true), &contest), full);
    contest.line_up.entrants[2].presence = 0.0;
    assert_eq!(rated(&with(false), &contest), full);
    let absent = rated(&with(true), &contest);
    assert_eq!(absent[2].mean, 1_600.0);
    assert!(absent[0].mean < full[0].mean, "to beat 1,400 is less than to beat 1,500");
    contest.line_up.entrants.iter_mut().for_each(|entrant| entrant.presence = 0.0);
    assert_close(&means(&with(true), &contest), &[1_500.0, 1_400.0, 1_600.0], 0.0);
}

#[test]
fn uncertainty_is_the_error_that_experience_leaves() {
    // Strangers of constant skill play each other, always drawn as a fair coin; the recursion must find the spread that results.
    let engine = with_k(32.0);
    let mut rating = engine.initial();
    let mut widths = Vec::new();
    for contests in 0..200 {
        let mut contest = contest(&[&[1_500.0], &[1_500.0]], &[0, 1]);
        contest.line_up.entrants[0].contests = contests;
        contest.line_up.entrants[0].rating = rating.clone();
        rating = Rating::new(1_500.0, rated(&engine, &contest)[0].uncertainty);
        widths.push(rating.uncertainty);
    }
    assert!(widths.windows(2).all(|pair| pair[1] < pair[0]), "{widths:?}");
    // Simulated: the same player against opponents whose ratings are right.
    let mut seed = 7_u64;
    let mut spread = 0.0;
    for _ in 0..2_000 {
        let mut mean = 1_500.0;
        for _ in 0..100 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let score = f64::from(u8::from(seed >> 63 == 1));
            mean += 32.0 * (score - engine.expected(mean, 1_500.0));
        }
        spread += (mean - 1_500.0) * (mean - 1_500.0) / 2_000.0;
    }
    let (settled, simulated) = (widths[199], f64::sqrt(spread));
    assert!((settled / simulated - 1.0).abs() < 0.05, "{settled} {simulated}");
}

#[test]
fn a_player_is_provisional_for_two_dozen_contests_and_after_long_absence() {
    let engine = engine(Parameters::default());
    let mut rating = engine.initial();
    let mut provisional = 0;
    for contests in 0..100 {
        provisional += u32::from(engine.visible(&rating) < rating.mean);
        let mut contest = contest(&[&[1_500.0], &[1_500.0]], &[0, 0]);
        contest.line_up.entrants[0].contests = contests;
        contest.line_up.entrants[0].rating = rating;
        rating = rated(&engine, &contest).swap_remove(0);
    }
    assert!((20..30).contains(&provisional), "{provisional}");
    assert_eq!(engine.visible(&rating), rating.mean);
    let mut contest = contest(&[&[1_500.0], &[1_500.0]], &[0, 0]);
    contest.line_up.entrants[0].contests = 100;
    contest.line_up.entrants[0].rating = rating;
    contest.line_up.entrants[0].idle_s = 1_000 * DAY_S;
    let returned = rated(&engine, &contest).swap_remove(0);
    assert!(engine.visible(&returned) < returned.mean && returned.uncertainty < 350.0, "{returned:?}");
}

#[test]
fn a_season_keeps_all_or_nothing_or_a_share() {
    let engine = engine(Parameters::default());
    let known = Rating::new(1_900.0, 60.0);
    assert_eq!(engine.soften(&known, 1.0), known);
    assert_eq!(engine.soften(&known, 0.0), engine.initial());
    let half = engine.soften(&known, 0.5);
    assert!(half.mean == 1_700.0 && half.uncertainty > 60.0 && half.uncertainty < 350.0, "{half:?}");
}
