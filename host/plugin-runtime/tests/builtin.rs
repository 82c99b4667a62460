//! The components that are embedded in the binary, through the sandbox: published vectors, repeatability, parameters, whole calls.
#![allow(missing_docs, clippy::unwrap_used)]

use ladder::pool::{LATENCY_UNKNOWN, Limit, MatchmakingPolicy, Pool, check};
use ladder::queue::QueueShape;
use ladder::rating::{Contest, Entrant, Rating, RatingEngine, Setting};
use ladder::rules::{Claim, Line, ServerRecord, StatRules};
use plugin_runtime::{FAULT_CODES, LoadError, PluginSource, PluginSpec, RatingPlugin, Role, Runtime, builtin_names, builtin_role};
use serde_json::{Value, json};

/// `exact` values are compared with this tolerance, published ones with their own.
const EXACT: f64 = 1e-9;

fn vectors(kind: &str) -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors/rating-vectors.json");
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("the shared vectors are missing: {path}: {error}"));
    let all: Value = serde_json::from_str(&text).unwrap();
    let wanted = all["vectors"].as_array().unwrap().iter().filter(|vector| vector["algo"] == "trueskill" && vector["kind"] == kind);
    wanted.cloned().collect()
}

fn spec(name: &str, parameters: Value) -> PluginSpec {
    let role = builtin_role(name).unwrap();
    let source = PluginSource::builtin(name).unwrap();
    PluginSpec { parameters: parameters.to_string(), ..PluginSpec::new(format!("test.{role}"), role, source) }
}

fn engine(runtime: &Runtime, vector: &Value, teams: usize) -> RatingPlugin {
    let number = |name: &str| vector["params"][name].as_f64().unwrap();
    let parameters = json!({
        "mu": number("mu"),
        "sigma": number("sigma"),
        "beta": number("beta"),
        "tau": number("tau"),
        "draw_probability": number("draw_probability"),
        "participation": !vector["input"]["weights"].is_null(),
    });
    let shape =
        QueueShape { queue: "vectors".to_owned(), teams: u16::try_from(teams).unwrap(), team_sizes: vec![1], ..QueueShape::default() };
    runtime.load_rating(spec("gaussian", parameters), &shape).unwrap()
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
            let rating = Rating { mean, uncertainty, memory: Vec::new() };
            entrants.push(Entrant { rating, team: u16::try_from(index).unwrap(), contests: 0, idle_s: 0, presence, stats: Vec::new() });
        }
    }
    entrants
}

fn contest(teams: &[Vec<(f64, f64)>], weights: &[Vec<f64>], places: Vec<u16>) -> Contest {
    let entrants = entrants(teams, weights);
    Contest { places, scores: Vec::new(), setting: Setting::default(), totals: Vec::new(), trust: 1.0, entrants }
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
fn every_published_rating_comes_out_of_the_sandbox() {
    let runtime = Runtime::new().unwrap();
    let vectors = vectors("rate");
    assert!(vectors.len() >= 41, "only {} vectors", vectors.len());
    for vector in vectors {
        let teams = beliefs(&vector["input"]["teams"]);
        let places = serde_json::from_value(vector["input"]["ranks"].clone()).unwrap();
        let contest = contest(&teams, &weights(&vector, &teams), places);
        let engine = engine(&runtime, &vector, teams.len());
        let update = engine.rate(&[], &contest).unwrap();
        let got: Vec<f64> = update.ratings.iter().flat_map(|rating| [rating.mean, rating.uncertainty]).collect();
        let id = &vector["id"];
        if !vector["exact"].is_null() {
            assert_close(id, "exact", &got, &vector["exact"], EXACT);
        }
        assert_close(id, "published", &got, &vector["expect"]["teams"], vector["tol"].as_f64().unwrap());
        assert_eq!(engine.rate(&[], &contest).unwrap(), update, "{id}: the same call twice");
    }
}

#[test]
fn every_published_expected_score_comes_out_of_the_sandbox() {
    let runtime = Runtime::new().unwrap();
    let vectors = vectors("expected_score");
    assert!(!vectors.is_empty());
    for vector in vectors {
        let teams = [&vector["input"]["a"], &vector["input"]["b"]].map(|team| serde_json::from_value(team.clone()).unwrap());
        let line_up = entrants(&teams, &weights(&vector, &teams));
        let pairs = engine(&runtime, &vector, 2).predict(&[], &line_up, &Setting::default()).unwrap();
        assert_close(&vector["id"], "exact", &pairs, &vector["exact"], EXACT);
        assert_close(&vector["id"], "published", &pairs, &vector["expect"], vector["tol"].as_f64().unwrap());
    }
}

#[test]
fn a_live_call_uses_little_of_its_budget() {
    let runtime = Runtime::new().unwrap();
    let shape = QueueShape { queue: "five".to_owned(), teams: 2, team_sizes: vec![5], ..QueueShape::default() };
    let engine = runtime.load_rating(spec("gaussian", json!({})), &shape).unwrap();
    let team = || vec![(25.0, 8.0); 5];
    let full = [vec![1.0; 5], vec![1.0; 5]];
    let update = engine.rate(&[], &contest(&[team(), team()], &full, vec![0, 1])).unwrap();
    assert!(update.visible.iter().all(|visible| visible.is_finite()));
    let counters = engine.counters();
    assert!(counters.fuel_share_max < 0.02, "{counters:?}");
}

/// The widest field that the host takes, whose players all remember as many contests as they can.
#[test]
fn a_field_of_256_fits_the_budget_of_a_live_call() {
    let runtime = Runtime::new().unwrap();
    let shape = QueueShape { queue: "crowd".to_owned(), teams: 256, team_sizes: vec![1], ..QueueShape::default() };
    let engine = runtime.load_rating(spec("elo-mmr", json!({})), &shape).unwrap();
    let mut crowd = contest(&vec![vec![(1500.0, 220.0)]; 256], &vec![vec![1.0]; 256], (0..256).collect());
    for round in 0..17_u16 {
        crowd.places = (0..256_u16).map(|team| team.wrapping_mul(77 + 2 * round) % 256).collect();
        let after = engine.rate(&[], &crowd).unwrap();
        for (entrant, rating) in crowd.entrants.iter_mut().zip(after.ratings) {
            entrant.rating = rating;
        }
    }
    let share = engine.counters().fuel_share_max;
    assert!(share < 0.5, "{share} of the fuel");
}

#[test]
fn a_misspelled_parameter_is_refused_with_its_name() {
    let runtime = Runtime::new().unwrap();
    match runtime
        .load_rating(spec("gaussian", json!({ "sgima": 8 })), &QueueShape { teams: 2, team_sizes: vec![1], ..QueueShape::default() })
    {
        Err(LoadError::Parameters(problems)) => {
            assert!(problems.iter().any(|problem| format!("{problem:?}").contains("sgima")), "{problems:?}");
        }
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it loaded"),
    }
}

#[test]
fn each_builtin_fills_its_role_and_imports_nothing_but_the_log() {
    let runtime = Runtime::new().unwrap();
    for name in builtin_names() {
        let inspection = runtime.inspect(&PluginSource::builtin(name).unwrap()).unwrap();
        assert_eq!(inspection.roles, [builtin_role(name).unwrap()], "{name}");
        assert!(inspection.imports.iter().all(|import| import == "ranked:plugin/log@1.0.0"), "{name}: {:?}", inspection.imports);
        let description = inspection.described.unwrap().description;
        assert_eq!(description.name, name);
        assert!(serde_json::from_str::<Value>(&description.parameters_schema).unwrap().is_object(), "{name}");
    }
}

#[test]
fn no_path_of_the_machine_that_built_it_is_in_a_builtin() {
    for name in builtin_names() {
        let source = PluginSource::builtin(name).unwrap();
        let workspace = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
        let home = std::env::home_dir().unwrap();
        for path in [workspace, &home.join(".cargo"), &home.join(".rustup")] {
            let needle = path.to_str().unwrap().as_bytes();
            assert!(!source.bytes().windows(needle.len()).any(|window| window == needle), "{name} holds {}", path.display());
        }
    }
}

#[test]
fn the_rules_answer_for_any_number_a_game_server_can_send() {
    let runtime = Runtime::new().unwrap();
    let shape = QueueShape {
        queue: "duel".to_owned(),
        teams: 2,
        team_sizes: vec![1],
        stats: vec!["kills".to_owned(), "deaths".to_owned()],
        totals: vec!["rounds".to_owned()],
        ..QueueShape::default()
    };
    let rules = runtime.load_rules(spec("bounds", json!({})), &shape).unwrap();
    for value in [0.0, -1.0, 1e300, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let line = |player, team, stat| Line { player, team, stat, value };
        let claim = Claim {
            duration_s: 600,
            places: vec![0, 1],
            scores: Vec::new(),
            lines: vec![line(0, 0, 0), line(0, 0, 1), line(1, 1, 0), line(1, 1, 1), line(u16::MAX, 0, 0)],
            server: ServerRecord::default(),
        };
        let verdict = rules.review(&claim).unwrap();
        assert!(verdict.clamps.iter().all(|clamp| clamp.to.is_finite()), "{value}");
    }
    assert_eq!(rules.counters().faults, [0; FAULT_CODES.len()]);
}

#[test]
fn the_policy_matches_those_who_fit_and_says_what_keeps_the_others() {
    let runtime = Runtime::new().unwrap();
    let shape =
        QueueShape { queue: "duel".to_owned(), teams: 2, team_sizes: vec![1, 1], regions: vec!["eu".to_owned()], ..QueueShape::default() };
    let policy = runtime.load_policy(spec("skill-window", json!({})), &shape).unwrap();
    let pool = Pool {
        now_ms: 1_700_000_000_000,
        seed: 7,
        waited_ms: vec![1_000; 3],
        member_end: vec![1, 2, 3],
        regions: vec![1; 3],
        mean: vec![25.0, 25.1, 25.2],
        uncertainty: vec![8.0; 3],
        contests: vec![0; 3],
        roles: vec![0; 3],
        latency_ms: vec![20, 30, LATENCY_UNKNOWN],
        reach: vec![50.0; 3],
        latency_max_ms: vec![100; 3],
        slots: vec![4],
        ..Pool::default()
    };
    // Twice in the same warm instance: stateless means the same answer.
    let first = policy.propose(&pool).unwrap();
    assert_eq!(policy.propose(&pool).unwrap(), first);
    let checked = check(&shape, &pool, &first);
    assert_eq!((checked.proposals.len(), checked.faults.len()), (1, 0), "{first:?}");
    let waiting = first.limit.iter().filter(|&&limit| limit != Limit::Matched as u8).count();
    assert_eq!(waiting, 1, "{first:?}");
}

#[test]
fn equal_parameters_name_one_generation() {
    let runtime = Runtime::new().unwrap();
    let shape = QueueShape { teams: 2, team_sizes: vec![1], ..QueueShape::default() };
    let load = |parameters: &str| {
        let spec = PluginSpec {
            parameters: parameters.to_owned(),
            ..PluginSpec::new("q.rating", Role::Rating, PluginSource::builtin("gaussian").unwrap())
        };
        runtime.load_rating(spec, &shape).unwrap().parameters().to_owned()
    };
    assert_eq!(load(r#"{"tau": 0.1, "beta": 4.0}"#), load(r#"{"beta":4.0,"tau":0.1}"#));
    assert_eq!(load(""), "{}");
}

#[test]
fn a_season_reset_keeps_what_it_was_told_to() {
    let runtime = Runtime::new().unwrap();
    let shape = QueueShape { teams: 2, team_sizes: vec![1], ..QueueShape::default() };
    let engine = runtime.load_rating(spec("gaussian", json!({})), &shape).unwrap();
    let known = Rating { mean: 40.0, uncertainty: 1.0, memory: Vec::new() };
    let (stranger, visible) = engine.initial().unwrap();
    assert_eq!(engine.soften(&known, 1.0).unwrap().0, known);
    let (nothing, shown) = engine.soften(&known, 0.0).unwrap();
    assert_eq!((nothing.mean, nothing.uncertainty, shown), (stranger.mean, stranger.uncertainty, visible));
    let (half, _) = engine.soften(&known, 0.5).unwrap();
    assert!((stranger.mean..known.mean).contains(&half.mean) && half.uncertainty > known.uncertainty, "{half:?}");
}

#[test]
fn a_reset_that_keeps_all_changes_no_bit_and_one_that_keeps_nothing_leaves_a_stranger() {
    let runtime = Runtime::new().unwrap();
    for name in builtin_names().into_iter().filter(|name| builtin_role(name) == Some(Role::Rating)) {
        let engine = runtime.load_rating(spec(name, json!({})), &QueueShape::default()).unwrap();
        let (initial, _) = engine.initial().unwrap();
        // Numbers that no formula gives back to the last bit.
        let (mean, uncertainty) = (initial.mean + 0.1 + 1.0 / 3.0, initial.uncertainty * 0.777);
        let entrant = |team: u16| Entrant { rating: initial.clone(), team, contests: 0, idle_s: 0, presence: 1.0, stats: vec![] };
        let contest = Contest {
            places: vec![0, 1],
            scores: vec![],
            setting: Setting::default(),
            totals: vec![],
            trust: 1.0,
            entrants: vec![entrant(0), entrant(1)],
        };
        let played = engine.rate(&[], &contest).unwrap().ratings;
        for rating in played.into_iter().chain([Rating { mean, uncertainty, memory: initial.memory.clone() }]) {
            let (kept, _) = engine.soften(&rating, 1.0).unwrap();
            assert_eq!((kept.mean.to_bits(), kept.uncertainty.to_bits()), (rating.mean.to_bits(), rating.uncertainty.to_bits()), "{name}");
            assert_eq!(kept.memory, rating.memory, "{name}");
            assert_eq!(engine.soften(&rating, 0.0).unwrap().0, initial, "{name}");
        }
    }
}

#[test]
fn a_warm_instance_answers_what_fresh_ones_do() {
    let shape = QueueShape { queue: "duel".to_owned(), teams: 2, team_sizes: vec![1], ..QueueShape::default() };
    let runtime = Runtime::new().unwrap();
    let fresh = runtime.load_rating(spec("gaussian", json!({})), &shape).unwrap();
    let warm = fresh.warm();
    let entrants = entrants(&[vec![(25.0, 8.0)], vec![(27.0, 3.0)]], &[vec![1.0], vec![1.0]]);
    let contest = |places: [u16; 2]| Contest {
        places: places.to_vec(),
        scores: Vec::new(),
        setting: Setting::default(),
        totals: Vec::new(),
        trust: 1.0,
        entrants: entrants.clone(),
    };
    for places in [[0, 1], [0, 0], [1, 0]] {
        let contest = contest(places);
        assert_eq!(warm.rate(&[], &contest), fresh.rate(&[], &contest), "{places:?}");
        assert_eq!(warm.predict(&[], &entrants, &contest.setting), fresh.predict(&[], &entrants, &contest.setting), "{places:?}");
    }
    let calls = fresh.counters().calls;
    // Refused by the engine, and then the instance goes on or a new one does.
    let nobody = Contest { entrants: Vec::new(), ..contest([0, 1]) };
    assert!(warm.rate(&[], &nobody).is_err());
    assert_eq!(warm.rate(&[], &contest([0, 1])), fresh.rate(&[], &contest([0, 1])));
    assert_eq!(fresh.counters().calls, calls + 3, "the plugin counts the calls of both");
}

/// Guests may leak: elsewhere they live for one call.
#[test]
fn a_kept_instance_that_is_used_up_gives_way_to_a_fresh_one() {
    let shape = QueueShape { queue: "duel".to_owned(), teams: 2, team_sizes: vec![1], ..QueueShape::default() };
    let source = PluginSource::new(hostile::guest::Rater::SOUND.component());
    let engine = Runtime::new().unwrap().load_rating(PluginSpec::new("duel.rating", Role::Rating, source), &shape).unwrap();
    let contest = Contest {
        places: vec![0, 1],
        scores: Vec::new(),
        setting: Setting::default(),
        totals: Vec::new(),
        trust: 1.0,
        entrants: entrants(&[vec![(25.0, 8.0)], vec![(25.0, 8.0)]], &[vec![1.0], vec![1.0]]),
    };
    let (warm, alone) = (engine.warm(), engine.rate(&[], &contest).unwrap());
    for call in 0..3000 {
        assert_eq!(warm.rate(&[], &contest), Ok(alone.clone()), "call {call}");
    }
    let faults: u64 = engine.counters().faults.iter().sum();
    assert!(faults > 0, "the guest never ran out of memory: this test shows nothing");
}

#[test]
fn a_twin_has_counters_of_its_own() {
    let shape = QueueShape { queue: "duel".to_owned(), teams: 2, team_sizes: vec![1], ..QueueShape::default() };
    let engine = Runtime::new().unwrap().load_rating(spec("gaussian", json!({})), &shape).unwrap();
    let twin = engine.twin("forecast");
    let line_up = entrants(&[vec![(25.0, 8.0)], vec![(27.0, 3.0)]], &[vec![1.0], vec![1.0]]);
    let at = Setting::default();
    assert_eq!(twin.predict(&[], &line_up, &at), engine.predict(&[], &line_up, &at));
    assert_eq!((twin.counters().calls, engine.counters().calls), (1, 1));
    assert_eq!((twin.digest(), twin.parameters()), (engine.digest(), engine.parameters()));
}

/// Goal: asking for a rating and a prediction at once changes neither. Method: every built-in engine, strangers and known players, beside
/// the two calls made apart; more often than one in every so many predictions is compared.
#[test]
fn a_rating_and_its_prediction_come_out_as_when_asked_apart() {
    let runtime = Runtime::new().unwrap();
    let shape = QueueShape { queue: "duel".to_owned(), teams: 2, team_sizes: vec![2], ..QueueShape::default() };
    for name in builtin_names().into_iter().filter(|name| builtin_role(name) == Some(Role::Rating)) {
        let engine = runtime.load_rating(spec(name, json!({})), &shape).unwrap();
        let (stranger, _) = engine.initial().unwrap();
        let entrant = |team| Entrant { rating: stranger.clone(), team, contests: 0, idle_s: 0, presence: 0.5, stats: Vec::new() };
        let mut contest = Contest {
            places: vec![0, 1],
            scores: Vec::new(),
            setting: Setting::default(),
            totals: Vec::new(),
            trust: 1.0,
            entrants: [0, 0, 1, 1].map(entrant).to_vec(),
        };
        let mut memory = Vec::new();
        for round in 1..=600 {
            let (update, predicted) = engine.rate_and_predict(&memory, &contest).unwrap();
            if round <= 4 || round % 200 == 0 {
                assert_eq!(engine.rate(&memory, &contest).unwrap(), update, "{name}");
                let apart = engine.predict(&memory, &contest.line_up(), &contest.setting).unwrap();
                assert_eq!(predicted.unwrap().iter().map(|p| p.to_bits()).collect::<Vec<_>>(), [apart[0].to_bits()], "{name}");
            }
            memory = update.memory;
            for (entrant, rating) in contest.entrants.iter_mut().zip(update.ratings) {
                (entrant.rating, entrant.contests, entrant.idle_s) = (rating, round, 60);
            }
            contest.setting.at_s.0 += 60;
        }
        assert_eq!(engine.counters().faults, [0; FAULT_CODES.len()], "{name}");
    }
}
