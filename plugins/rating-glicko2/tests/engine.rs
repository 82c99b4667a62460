//! The engine as a plugin: parameters, periods, teams, trust, presence, resets, and numbers at the edge.
#![allow(missing_docs, clippy::unwrap_used)]

use plugin_sdk::{Contest, Entrant, Fault, LineUp, Plugin, QueueShape, Rating, RatingEngine, Setting, Update, parse_parameters};
use rating_glicko2::glicko::{Evidence, System, volatility_after};
use rating_glicko2::{Glicko2, Parameters};

const DAY_S: u64 = 86_400;

fn engine(parameters: Parameters) -> Glicko2 {
    Glicko2::configure(&QueueShape::default(), parameters).unwrap()
}

/// Players who have been rated before, an hour ago.
fn contest(teams: &[&[(f64, f64)]], places: &[u16]) -> Contest {
    let mut entrants = Vec::new();
    for (team, players) in teams.iter().enumerate() {
        for &(mean, uncertainty) in *players {
            let (rating, team) = (Rating::new(mean, uncertainty), u16::try_from(team).unwrap());
            entrants.push(Entrant { rating, team, presence: 1.0, contests: 7, idle_s: 3600, ..Entrant::default() });
        }
    }
    Contest { line_up: LineUp::new(entrants, Setting::default()), places: places.to_vec(), trust: 1.0, ..Contest::default() }
}

fn rated(engine: &Glicko2, contest: &Contest) -> Vec<Rating> {
    let mut update = Update::before(contest, Vec::new());
    engine.rate(contest, &mut update).unwrap();
    update.ratings
}

fn predicted(engine: &Glicko2, contest: &Contest) -> Vec<f64> {
    let mut pairs = Vec::new();
    engine.predict(&contest.line_up, &[], &mut pairs).unwrap();
    pairs
}

#[test]
fn the_schema_states_the_defaults() {
    let schema: serde_json::Value = serde_json::from_str(Glicko2::PARAMETERS_SCHEMA).unwrap();
    let properties = schema["properties"].as_object().unwrap();
    let defaults = properties.iter().map(|(name, property)| (name.clone(), property["default"].clone()));
    let written = serde_json::Value::Object(defaults.collect()).to_string();
    assert_eq!(parse_parameters::<Parameters>(&written).unwrap(), Parameters::default());
    assert_eq!(properties.len(), 14);
}

#[test]
fn every_bad_parameter_is_named_at_once() {
    let parameters = Parameters { deviation: 0.0, tau: f64::NAN, period_days: -1.0, ..Parameters::default() };
    let errors = Glicko2::configure(&QueueShape::default(), parameters).unwrap_err();
    assert_eq!(errors.iter().map(|error| error.path.as_str()).collect::<Vec<_>>(), ["deviation", "tau", "period_days"]);
    assert!(parse_parameters::<Parameters>(r#"{"system":"elo"}"#).is_err());
}

#[test]
fn upsets_beyond_all_measure_stay_finite_and_do_not_explode() {
    for system in [System::Glicko2, System::Glicko] {
        let engine = engine(Parameters { system, dilution: 0.0, ..Parameters::default() });
        for gap in [1e3, 1e4, 1e6, 1e9] {
            for deviation in [1e-6, 1.0, 60.0, 350.0, 1e6] {
                for places in [[0, 1, 2], [1, 1, 1], [2, 1, 0]] {
                    let contest = contest(&[&[(0.0, deviation)], &[(gap, deviation)], &[(-gap, 50.0)]], &places);
                    for after in rated(&engine, &contest) {
                        assert!(after.mean.is_finite() && after.uncertainty > 0.0, "{gap} {deviation} {places:?} {after:?}");
                        assert!(after.uncertainty <= deviation.hypot(175.0).max(360.0), "{gap} {deviation} {places:?} {after:?}");
                    }
                    assert!(predicted(&engine, &contest).iter().all(|share| (0.0..=1.0).contains(share)));
                }
            }
        }
    }
}

#[test]
fn the_volatility_found_is_a_root_of_the_papers_function() {
    for (variance, precision, pull) in [(0.5, 0.2, 0.5), (1.3, 0.05, -0.9), (0.1, 2.0, 4.0), (0.01, 1e-3, 0.9), (0.3, 5.0, -12.0)] {
        for (volatility, tau) in [(0.06_f64, 0.5), (0.02, 1.2), (0.3, 0.2)] {
            let found = volatility_after(volatility, variance, Evidence { precision, pull }, tau, 1e-13);
            let (x, a) = (2.0 * found.ln(), 2.0 * volatility.ln());
            let (v, delta) = (1.0 / precision, pull / precision);
            let all = variance + v + x.exp();
            let f = x.exp() * (delta * delta - all) / (2.0 * all * all) - (x - a) / (tau * tau);
            assert!(f.abs() < 1e-9, "{variance} {precision} {pull} {volatility} {tau}: {found}, f {f}");
        }
    }
}

/// Newton's method near the old volatility and the paper's elsewhere know the logarithm of the square as well as the tolerance says.
#[test]
fn volatilities_are_found_as_well_as_the_tolerance_says() {
    let mut state = 5_u64;
    let mut chance = |from: f64, to: f64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        from + (to - from) * (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    for _ in 0..5_000 {
        let (volatility, tau, variance) = (chance(0.01, 0.3), chance(0.2, 1.2), chance(0.01, 4.0));
        let precision = chance(0.02, 3.0);
        let evidence = Evidence { precision, pull: chance(-3.0, 3.0) * precision.sqrt() };
        let converged = volatility_after(volatility, variance, evidence, tau, 1e-14);
        let found = volatility_after(volatility, variance, evidence, tau, 1e-6);
        assert!(2.0 * (found / converged).ln().abs() < 2e-6, "{volatility} {tau} {variance} {evidence:?}: {found}, {converged}");
    }
}

#[test]
fn the_order_of_teams_and_entrants_does_not_matter() {
    let engine = engine(Parameters::default());
    let forward = contest(&[&[(1500.0, 80.0), (1700.0, 50.0)], &[(1600.0, 90.0), (1450.0, 200.0)], &[(1380.0, 70.0)]], &[1, 0, 1]);
    let mut backward = forward.clone();
    backward.line_up.entrants.reverse();
    for entrant in &mut backward.line_up.entrants {
        entrant.team = 2 - entrant.team;
    }
    backward.line_up = LineUp::new(backward.line_up.entrants, Setting::default());
    backward.places.reverse();
    let mut reversed = rated(&engine, &backward);
    reversed.reverse();
    for (first, second) in rated(&engine, &forward).iter().zip(&reversed) {
        assert!((first.mean - second.mean).abs() < 1e-9 && (first.uncertainty - second.uncertainty).abs() < 1e-9);
    }
    let (one, other) = (predicted(&engine, &forward), predicted(&engine, &backward));
    assert!((one[0] - (1.0 - other[2])).abs() < 1e-12 && (one[1] - (1.0 - other[1])).abs() < 1e-12, "{one:?} {other:?}");
}

#[test]
fn a_team_of_five_learns_less_per_head_than_a_duelist() {
    let engine = engine(Parameters::default());
    let player = [(1500.0, 100.0)];
    let duel = rated(&engine, &contest(&[&player, &player], &[0, 1]));
    let team = rated(&engine, &contest(&[&player.repeat(5), &player.repeat(5)], &[0, 1]));
    let (alone, of_five) = (duel[0].mean - 1500.0, team[0].mean - 1500.0);
    assert!(0.0 < of_five && of_five < 0.5 * alone, "{alone} {of_five}");
    assert!(team[0].uncertainty > duel[0].uncertainty);
    assert!(team.iter().take(5).all(|member| *member == team[0]));
    // A better member makes the team's win less surprising for the others.
    let mut strong = player.repeat(5);
    strong[4].0 = 1900.0;
    let expected = rated(&engine, &contest(&[&strong, &player.repeat(5)], &[0, 1]));
    assert!(expected[0].mean < team[0].mean);
}

#[test]
fn time_without_contests_widens_predictions_and_the_next_update() {
    let engine = engine(Parameters::default());
    let at = |days: u64| {
        let mut contest = contest(&[&[(1700.0, 60.0)], &[(1500.0, 60.0)]], &[0, 1]);
        contest.line_up.entrants.iter_mut().for_each(|entrant| entrant.idle_s = days * DAY_S);
        (predicted(&engine, &contest)[0], rated(&engine, &contest)[0].mean - 1700.0)
    };
    let moves: Vec<(f64, f64)> = [0, 30, 365, 3650, 365_000].map(at).to_vec();
    assert!(moves.windows(2).all(|pair| pair[1].0 < pair[0].0 && pair[1].1 > pair[0].1), "{moves:?}");
    assert!(moves[4].0 > 0.6, "no time makes a player less known than a stranger: {moves:?}");
    let timeless = self::engine(Parameters { period_days: 0.0, ..Parameters::default() });
    let mut idle = contest(&[&[(1700.0, 60.0)], &[(1500.0, 60.0)]], &[0, 1]);
    let soon = rated(&timeless, &idle);
    idle.line_up.entrants.iter_mut().for_each(|entrant| entrant.idle_s = 1_000 * DAY_S);
    assert_eq!(rated(&timeless, &idle), soon);
}

#[test]
fn ten_contests_of_a_tenth_drift_as_one_period_does() {
    // Nothing but drift: nobody was present for anything.
    let tenth = engine(Parameters { participation: true, period_contests: 10.0, period_days: 0.0, ..Parameters::default() });
    let mut absent = contest(&[&[(1500.0, 60.0)], &[(1500.0, 60.0)]], &[0, 1]);
    for _ in 0..10 {
        for entrant in &mut absent.line_up.entrants {
            entrant.presence = 0.0;
        }
        let after = rated(&tenth, &absent);
        for (entrant, rating) in absent.line_up.entrants.iter_mut().zip(after) {
            entrant.rating = rating;
        }
    }
    let drifted = absent.line_up.entrants[0].rating.uncertainty;
    assert!((drifted - 60_f64.hypot(0.06 * 173.7178)).abs() < 1e-9, "{drifted}");
}

#[test]
fn a_result_without_trust_changes_nothing_and_half_trust_changes_less() {
    for system in [System::Glicko2, System::Glicko] {
        let engine = engine(Parameters { system, ..Parameters::default() });
        let mut contest = contest(&[&[(1500.0, 80.0)], &[(1560.0, 60.0)]], &[0, 1]);
        let full = rated(&engine, &contest);
        contest.trust = 0.5;
        let half = rated(&engine, &contest);
        contest.trust = 0.0;
        let before: Vec<Rating> = contest.line_up.entrants.iter().map(|entrant| entrant.rating.clone()).collect();
        assert_eq!(rated(&engine, &contest), before);
        assert!(1500.0 < half[0].mean && half[0].mean < full[0].mean);
        assert!(full[0].uncertainty < half[0].uncertainty && half[0].uncertainty < 80.1);
    }
}

#[test]
fn presence_counts_only_where_the_operator_wants_it() {
    let mut contest = contest(&[&[(1500.0, 80.0)], &[(1500.0, 80.0), (1500.0, 80.0)]], &[0, 1]);
    let full = rated(&engine(Parameters::default()), &contest);
    contest.line_up.entrants[2].presence = 0.0;
    assert_eq!(rated(&engine(Parameters::default()), &contest), full);
    let partly = engine(Parameters { participation: true, ..Parameters::default() });
    assert_eq!(rated(&partly, &contest)[2].mean, 1500.0);
    contest.line_up.entrants[2].presence = 0.5;
    let half = rated(&partly, &contest);
    assert!(full[2].mean < half[2].mean && half[2].mean < 1500.0, "{half:?}");
}

#[test]
fn a_season_keeps_all_or_nothing_or_a_share() {
    let engine = engine(Parameters::default());
    let known = rated(&engine, &contest(&[&[(1900.0, 60.0)], &[(1850.0, 60.0)]], &[1, 0])).remove(0);
    assert_eq!(engine.soften(&known, 1.0), known);
    assert_eq!(engine.soften(&known, 0.0), engine.initial());
    let half = engine.soften(&known, 0.5);
    assert!(1500.0 < half.mean && half.mean < known.mean);
    assert!(known.uncertainty < half.uncertainty && half.uncertainty < 220.0);
    assert_eq!(half.memory.len(), 8);
}

#[test]
fn provisional_players_are_shown_lower_than_settled_ones() {
    let engine = engine(Parameters::default());
    let shown = |deviation: f64| engine.visible(&Rating::new(1800.0, deviation));
    assert_eq!([shown(60.0), shown(110.0), shown(111.0), shown(210.0)], [1800.0, 1800.0, 1798.0, 1600.0]);
    assert!(engine.is_provisional(&engine.initial()) && !engine.is_provisional(&Rating::new(1800.0, 110.0)));
    // About ten even contests settle a stranger.
    let mut player = engine.initial();
    let mut contests = 0;
    while engine.is_provisional(&player) {
        let mut contest = contest(&[&[(player.mean, player.uncertainty)], &[(player.mean, 60.0)]], &[contests % 2, 1 - contests % 2]);
        contest.line_up.entrants[0].rating = player;
        player = rated(&engine, &contest).remove(0);
        contests += 1;
    }
    assert!((7..=12).contains(&contests), "{contests} contests");
}

#[test]
fn what_the_engine_did_not_write_is_refused() {
    let engine = engine(Parameters::default());
    let mut strange = contest(&[&[(1500.0, 80.0)], &[(1500.0, 60.0)]], &[0, 1]);
    for memory in [vec![1, 2, 3], f64::NAN.to_le_bytes().to_vec(), (-0.06_f64).to_le_bytes().to_vec()] {
        strange.line_up.entrants[0].rating.memory = memory;
        assert_eq!(engine.rate(&strange, &mut Update::before(&strange, Vec::new())), Err(Fault::OutOfRange));
    }
    let far = contest(&[&[(1e12, 80.0)], &[(1500.0, 60.0)]], &[0, 1]);
    assert_eq!(engine.rate(&far, &mut Update::before(&far, Vec::new())), Err(Fault::OutOfRange));
}
