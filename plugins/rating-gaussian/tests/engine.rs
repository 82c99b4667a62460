//! The engine as a plugin: parameters, resets, trust, presence, and shapes at the edge.
#![allow(missing_docs, clippy::unwrap_used)]

use plugin_sdk::{Contest, Entrant, Fault, LineUp, Plugin, QueueShape, Rating, RatingEngine, Setting, Update, parse_parameters};
use rating_gaussian::{Gaussian, Parameters};

fn engine(parameters: Parameters) -> Gaussian {
    Gaussian::configure(&QueueShape::default(), parameters).unwrap()
}

fn contest(teams: &[&[(f64, f64)]], places: &[u16]) -> Contest {
    let mut entrants = Vec::new();
    for (team, players) in teams.iter().enumerate() {
        for &(mean, uncertainty) in *players {
            let rating = Rating::new(mean, uncertainty);
            entrants.push(Entrant { rating, team: u16::try_from(team).unwrap(), presence: 1.0, ..Entrant::default() });
        }
    }
    let line_up = LineUp::new(entrants, Setting::default());
    Contest { line_up, places: places.to_vec(), trust: 1.0, ..Contest::default() }
}

fn rated(engine: &Gaussian, contest: &Contest) -> Vec<Rating> {
    let mut update = Update::before(contest, Vec::new());
    engine.rate(contest, &mut update).unwrap();
    update.ratings
}

#[test]
fn the_schema_states_the_defaults() {
    let schema: serde_json::Value = serde_json::from_str(Gaussian::PARAMETERS_SCHEMA).unwrap();
    let properties = schema["properties"].as_object().unwrap();
    let defaults = properties.iter().map(|(name, property)| (name.clone(), property["default"].clone()));
    let written = serde_json::Value::Object(defaults.collect()).to_string();
    assert_eq!(parse_parameters::<Parameters>(&written).unwrap(), Parameters::default());
}

#[test]
fn every_bad_parameter_is_named_at_once() {
    let parameters = Parameters { sigma: 0.0, beta: f64::NAN, draw_probability: 1.0, ..Parameters::default() };
    let errors = Gaussian::configure(&QueueShape::default(), parameters).unwrap_err();
    assert_eq!(errors.iter().map(|error| error.path.as_str()).collect::<Vec<_>>(), ["sigma", "beta", "draw_probability"]);
    assert!(parse_parameters::<Parameters>(r#"{"sgima":8}"#).is_err());
}

#[test]
fn an_upset_of_a_hundred_deviations_stays_finite() {
    let engine = engine(Parameters::default());
    for teams in [&[&[(0.0, 0.1)][..], &[(600.0, 0.1)]][..], &[&[(0.0, 0.1)], &[(600.0, 0.1)], &[(1200.0, 0.1)]]] {
        for places in [[0, 1, 2], [1, 1, 1], [2, 1, 0]] {
            let contest = contest(teams, &places[..teams.len()]);
            for (before, after) in contest.line_up.entrants.iter().zip(rated(&engine, &contest)) {
                assert!(after.mean.is_finite() && after.uncertainty > 0.0, "{places:?} {after:?}");
                assert!(after.uncertainty < before.rating.uncertainty.hypot(0.09), "{places:?} {after:?}");
            }
        }
    }
}

#[test]
fn the_order_of_entrants_within_a_contest_does_not_matter() {
    let engine = engine(Parameters::default());
    let forward = contest(&[&[(25.0, 8.0), (31.0, 2.0)], &[(28.0, 5.0), (20.0, 6.0)], &[(22.0, 3.0)]], &[1, 0, 2]);
    let mut backward = forward.clone();
    backward.line_up.entrants.reverse();
    let mut reversed = rated(&engine, &backward);
    reversed.reverse();
    for (first, second) in rated(&engine, &forward).iter().zip(&reversed) {
        assert!((first.mean - second.mean).abs() < 1e-10 && (first.uncertainty - second.uncertainty).abs() < 1e-10);
    }
}

#[test]
fn two_teams_agree_with_the_chain_of_many() {
    // Two teams among three of which the third is certain to lose: its comparison carries no news.
    let engine = engine(Parameters::default());
    let two = rated(&engine, &contest(&[&[(25.0, 8.0)], &[(28.0, 5.0)]], &[0, 1]));
    let three = rated(&engine, &contest(&[&[(25.0, 8.0)], &[(28.0, 5.0)], &[(-5000.0, 1.0)]], &[0, 1, 2]));
    for (two, three) in two.iter().zip(&three) {
        assert!((two.mean - three.mean).abs() < 1e-9 && (two.uncertainty - three.uncertainty).abs() < 1e-9);
    }
}

#[test]
fn a_result_without_trust_moves_nobody() {
    let engine = engine(Parameters { tau: 0.5, drift_per_day: 1.0, ..Parameters::default() });
    let mut contest = contest(&[&[(25.0, 8.0)], &[(28.0, 5.0)]], &[0, 1]);
    let full = rated(&engine, &contest);
    contest.trust = 0.5;
    let half = rated(&engine, &contest);
    contest.trust = 0.0;
    let none = rated(&engine, &contest);
    assert_eq!((none[0].mean, none[0].uncertainty), (25.0, 8.0));
    assert!(25.0 < half[0].mean && half[0].mean < full[0].mean);
    assert!(full[0].uncertainty < half[0].uncertainty && half[0].uncertainty < 8.0);
}

#[test]
fn presence_counts_only_where_the_operator_wants_it() {
    let mut contest = contest(&[&[(25.0, 8.0)], &[(25.0, 8.0), (25.0, 8.0)]], &[0, 1]);
    let full = rated(&engine(Parameters::default()), &contest);
    contest.line_up.entrants[2].presence = 0.0;
    assert_eq!(rated(&engine(Parameters::default()), &contest), full);
    let absent = rated(&engine(Parameters { participation: true, tau: 0.0, ..Parameters::default() }), &contest);
    assert_eq!((absent[2].mean, absent[2].uncertainty), (25.0, 8.0));
    for entrant in &mut contest.line_up.entrants {
        entrant.presence = 0.0;
    }
    let nobody = rated(&engine(Parameters { participation: true, tau: 0.0, ..Parameters::default() }), &contest);
    assert!(nobody.iter().all(|rating| rating.mean == 25.0 && rating.uncertainty == 8.0));
}

#[test]
fn no_presence_however_short_multiplies_a_gain() {
    // By the default game at most threefold; by any at most by as much as the floor of a tenth allows.
    for (draw_probability, times_max) in [(0.0, 3.0), (0.1, 3.0), (0.5, 10.0), (0.99, 10.0)] {
        let engine = engine(Parameters { participation: true, draw_probability, ..Parameters::default() });
        for uncertainty in [0.5, 1.0, 3.0, 25.0 / 3.0] {
            for teams in 2..=3 {
                let team = [(25.0, uncertainty)];
                let mut contest = contest(&vec![&team[..]; teams], &[0, 1, 2][..teams]);
                let full = rated(&engine, &contest)[0].mean - 25.0;
                let short = (1..=1_000).map(|step| f64::from(step) / 1_000.0).chain((1..=320).map(|power| 10_f64.powi(-power)));
                for presence in short {
                    for entrant in &mut contest.line_up.entrants {
                        entrant.presence = presence;
                    }
                    let gain = rated(&engine, &contest)[0].mean - 25.0;
                    assert!(gain.is_finite() && gain.abs() <= times_max * full, "{gain} at presence {presence}, {full} at presence 1");
                }
            }
        }
    }
}

#[test]
fn idle_days_widen_a_belief_and_never_beyond_a_strangers() {
    let engine = engine(Parameters { tau: 0.0, drift_per_day: 0.5, ..Parameters::default() });
    let after = |idle_s: u64| {
        let mut contest = contest(&[&[(25.0, 2.0)], &[(28.0, 5.0)]], &[0, 1]);
        contest.line_up.entrants[0].contests = 9;
        contest.line_up.entrants[0].idle_s = idle_s;
        let mut pairs = Vec::new();
        engine.predict(&contest.line_up, &[], &mut pairs).unwrap();
        (rated(&engine, &contest)[0].clone(), pairs[0])
    };
    let (at_once, next_week, next_age, never) = (after(0), after(7 * 86_400), after(u64::MAX / 2), after(u64::MAX));
    assert!(at_once.0.uncertainty < next_week.0.uncertainty && at_once.0.mean < next_week.0.mean);
    assert!(at_once.1 < next_week.1 && next_week.1 < 0.5, "less is known of how it will end");
    assert_eq!(next_age, never);
    let as_a_stranger = rated(&engine, &contest(&[&[(25.0, 25.0 / 3.0)], &[(28.0, 5.0)]], &[0, 1]));
    assert!(
        (next_age.0.mean - as_a_stranger[0].mean).abs() < 1e-12 && (next_age.0.uncertainty - as_a_stranger[0].uncertainty).abs() < 1e-12
    );
    // A week is a random walk of seven days: the same as a player who was that much less known.
    let wider = rated(&engine, &contest(&[&[(25.0, (4.0_f64 + 7.0 * 0.25).sqrt())], &[(28.0, 5.0)]], &[0, 1]));
    assert!((next_week.0.mean - wider[0].mean).abs() < 1e-12);
}

#[test]
fn an_empty_seat_performs_like_the_player_who_is_said_to_be_missing() {
    let shape = QueueShape { team_sizes: vec![2, 2], ..QueueShape::default() };
    let engine = |missing_player| {
        let parameters = Parameters { tau: 0.0, missing_player, ..Parameters::default() };
        Gaussian::configure(&shape, parameters).unwrap()
    };
    let short = contest(&[&[(25.0, 4.0)], &[(27.0, 5.0), (22.0, 3.0)]], &[0, 1]);
    let (plain, filled) = (rated(&engine(None), &short), rated(&engine(Some(20.0)), &short));
    // Known for certain: the ghost of the reference has hardly any uncertainty and is not looked at afterwards.
    let full = rated(&engine(None), &contest(&[&[(25.0, 4.0), (20.0, 1e-6)], &[(27.0, 5.0), (22.0, 3.0)]], &[0, 1]));
    for (filled, full) in filled.iter().zip([&full[0], &full[2], &full[3]]) {
        assert!((filled.mean - full.mean).abs() < 1e-9 && (filled.uncertainty - full.uncertainty).abs() < 1e-9);
    }
    assert!(plain[0].mean > filled[0].mean, "a win against two is worth more where an empty seat is worth nothing");
    let even = contest(&[&[(25.0, 4.0), (20.0, 2.0)], &[(27.0, 5.0), (22.0, 3.0)]], &[0, 1]);
    for (plain, filled) in rated(&engine(None), &even).iter().zip(rated(&engine(Some(20.0)), &even)) {
        assert!((plain.mean - filled.mean).abs() < 1e-12, "nobody is missing");
    }
    let predicted = |missing_player| {
        let mut pairs = Vec::new();
        engine(missing_player).predict(&short.line_up, &[], &mut pairs).unwrap();
        pairs[0]
    };
    assert!(predicted(None) < predicted(Some(20.0)) && predicted(Some(20.0)) < 0.5);
}

/// Goal: the short way for teams of one size is the model itself. Method: the same contest with a third team that cannot but lose.
#[test]
fn teams_of_every_usual_size_agree_with_the_chain_of_many() {
    let engine = engine(Parameters::default());
    for size in 1..=8 {
        let team = |skill: f64| (0..size).map(|seat| (skill + f64::from(seat), 2.0 + f64::from(seat % 3))).collect::<Vec<_>>();
        for places in [[0, 1, 2], [1, 0, 2], [0, 0, 1]] {
            let (first, second) = (team(24.0), team(25.5));
            let two = contest(&[&first, &second], &places[..2]);
            let three = contest(&[&first, &second, &[(-9000.0, 1.0)]], &places);
            for (two, three) in rated(&engine, &two).iter().zip(rated(&engine, &three)) {
                assert!((two.mean - three.mean).abs() < 1e-9, "{size} {places:?}: {two:?} {three:?}");
                assert!((two.uncertainty - three.uncertainty).abs() < 1e-9, "{size} {places:?}: {two:?} {three:?}");
            }
            let (mut alone, mut in_company) = (Vec::new(), Vec::new());
            engine.predict(&two.line_up, &[], &mut alone).unwrap();
            engine.predict(&three.line_up, &[], &mut in_company).unwrap();
            assert!((alone[0] - in_company[0]).abs() < 1e-14);
        }
    }
}

#[test]
fn a_season_keeps_all_or_nothing_or_a_share() {
    let engine = engine(Parameters::default());
    let known = Rating::new(40.0, 1.5);
    let (all, nothing, half) = (engine.soften(&known, 1.0), engine.soften(&known, 0.0), engine.soften(&known, 0.5));
    assert!((all.mean - 40.0).abs() < 1e-12 && (all.uncertainty - 1.5).abs() < 1e-12);
    assert!((nothing.mean - 25.0).abs() < 1e-12 && (nothing.uncertainty - 25.0 / 3.0).abs() < 1e-12);
    assert!(nothing.mean < half.mean && half.mean < all.mean);
    assert!(all.uncertainty < half.uncertainty && half.uncertainty < nothing.uncertainty);
    assert_eq!(engine.visible(&known), 35.5);
}

#[test]
fn ratings_beyond_all_measure_are_refused() {
    let engine = engine(Parameters::default());
    let contest = contest(&[&[(1e12, 8.0)], &[(28.0, 5.0)]], &[0, 1]);
    let mut update = Update::before(&contest, Vec::new());
    assert_eq!(engine.rate(&contest, &mut update), Err(Fault::OutOfRange));
}
