//! The bounds and every sign of trouble, natively.
#![allow(missing_docs, clippy::unwrap_used)]

use plugin_sdk::{Bound, Claim, Finding, Line, Plugin, QueueShape, ServerHistory, Stat, StatRules, parse_parameters};
use rules_bounds::{Bounds, Parameters};

fn shape() -> QueueShape {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    QueueShape { stats: names(&["kills", "deaths", "flags"]), totals: names(&["rounds"]), ..QueueShape::default() }
}

fn rules(json: &str) -> Bounds {
    Bounds::configure(&shape(), parse_parameters(json).unwrap()).unwrap()
}

fn line(stat: u16, value: f64) -> Line {
    Line { stat: Stat::Player(stat), player: Some(0), team: 0, value }
}

fn claim(lines: Vec<Line>) -> Claim {
    Claim { duration_s: 600, places: vec![0, 1], lines, ..Claim::default() }
}

fn codes(rules: &Bounds, claim: &Claim) -> Vec<(&'static str, &'static str)> {
    let code = |finding: &Finding| match finding {
        Finding::Suspicious { code, .. } => ("suspicious", *code),
        Finding::Hold { code, .. } => ("hold", *code),
        Finding::Reject { code, .. } => ("reject", *code),
    };
    rules.review(claim).findings().iter().map(code).collect()
}

#[test]
fn the_schema_states_the_defaults() {
    let schema: serde_json::Value = serde_json::from_str(Bounds::PARAMETERS_SCHEMA).unwrap();
    let properties = schema["properties"].as_object().unwrap();
    let defaults = properties.iter().map(|(name, property)| (name.clone(), property["default"].clone()));
    let written = serde_json::Value::Object(defaults.collect()).to_string();
    assert_eq!(parse_parameters::<Parameters>(&written).unwrap(), Parameters::default());
}

#[test]
fn known_statistics_have_bounds_and_parameters_add_to_them() {
    let kills = Bound { stat: Stat::Player(0), min: 0.0, max: 100.0 };
    let deaths = Bound { stat: Stat::Player(1), min: 0.0, max: 100.0 };
    let rounds = Bound { stat: Stat::Total(0), min: 0.0, max: 30.0 };
    assert_eq!(rules("{}").bounds(), [kills, deaths, rounds]);
    let narrow = Bound { max: 50.0, ..kills };
    let flags = Bound { stat: Stat::Player(2), min: 0.0, max: 3.0 };
    assert_eq!(rules(r#"{"stats":{"kills":[0,50],"flags":[0,3]}}"#).bounds(), [narrow, deaths, flags, rounds]);
}

#[test]
fn parameters_that_make_no_sense_are_named() {
    let parameters = r#"{"stats":{"kils":[0,50],"kills":[5,1]},"server_clamped_max":2,"duration_s_max":0}"#;
    let errors = Bounds::configure(&shape(), parse_parameters(parameters).unwrap()).unwrap_err();
    let paths: Vec<_> = errors.iter().map(|error| error.path.as_str()).collect();
    assert_eq!(paths, ["stats.kills", "stats.kils", "duration_s_max", "server_clamped_max"]);
    let wrong_type = parse_parameters::<Parameters>(r#"{"stats":{"kills":[0]}}"#).unwrap_err();
    assert_eq!(wrong_type[0].path, "stats.kills");
}

#[test]
fn an_honest_claim_passes_untouched() {
    let verdict = rules("{}").review(&claim(vec![line(0, 100.0), line(1, 0.0), line(2, 1e6)]));
    assert!(verdict.clamps().is_empty() && verdict.findings().is_empty());
}

#[test]
fn every_line_outside_is_forced_inside() {
    let rules = rules("{}");
    for (value, expected) in
        [(101.0, 100.0), (-1.0, 0.0), (f64::NAN, 0.0), (f64::INFINITY, 100.0), (f64::NEG_INFINITY, 0.0), (1e300, 100.0)]
    {
        let claim = claim(vec![line(1, 5.0), line(0, value)]);
        assert_eq!(rules.review(&claim).clamps(), [(1, expected)], "{value}");
        assert_eq!(codes(&rules, &claim), [("suspicious", "outside-bounds")], "{value}");
    }
    assert_eq!(rules.review(&claim(vec![line(2, f64::INFINITY)])).clamps(), [(0, 0.0)], "no bound");
    let rounds = Line { stat: Stat::Total(0), player: None, team: 0, value: 31.0 };
    assert_eq!(rules.review(&claim(vec![rounds])).clamps(), [(0, 30.0)], "contest-wide");
}

#[test]
fn a_claim_that_cannot_be_is_held() {
    let rules = rules("{}");
    let honest = claim(vec![line(0, 3.0)]);
    let none = Claim { duration_s: 0, ..honest.clone() };
    let long = Claim { duration_s: 14_401, ..honest.clone() };
    let score = Claim { scores: vec![1.0, f64::NAN], ..honest.clone() };
    assert_eq!(codes(&rules, &none), [("hold", "no-duration")]);
    assert_eq!(codes(&self::rules(r#"{"duration_required":false}"#), &none), []);
    assert_eq!(codes(&rules, &Claim { lines: vec![line(0, 0.0)], ..none }), []);
    assert_eq!(codes(&rules, &long), [("hold", "too-long")]);
    assert_eq!(codes(&rules, &score), [("hold", "score-not-finite")]);
}

#[test]
fn a_game_server_with_a_bad_history_is_held() {
    let rules = rules("{}");
    for (contests, clamped, disputed, expected) in [
        (19, 1.0, 1.0, vec![]),
        (20, 0.25, 0.25, vec![]),
        (20, 0.26, 0.0, vec![("hold", "server-often-clamped")]),
        (20, 0.0, 0.26, vec![("hold", "server-often-disputed")]),
    ] {
        let claim = Claim { server: ServerHistory { contests, clamped, disputed }, ..claim(vec![line(0, 3.0)]) };
        assert_eq!(codes(&rules, &claim), expected, "{contests} {clamped} {disputed}");
    }
}
