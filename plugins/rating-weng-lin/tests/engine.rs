//! The engine as a plugin: parameters, resets, trust, presence, inactivity, and shapes at the edge.
#![allow(missing_docs, clippy::unwrap_used)]

use plugin_sdk::{Contest, Entrant, Fault, LineUp, Plugin, QueueShape, Rating, RatingEngine, Setting, Update, parse_parameters};
use rating_weng_lin::model::{Gamma, Model};
use rating_weng_lin::{MarginEffect, Parameters, Participation, Prediction, WengLin};

const MODELS: [Model; 5] = [
    Model::PlackettLuce,
    Model::BradleyTerryFull,
    Model::BradleyTerryPartial,
    Model::ThurstoneMostellerFull,
    Model::ThurstoneMostellerPartial,
];

const DAY_S: u64 = 86_400;

fn engine(parameters: Parameters) -> WengLin {
    WengLin::configure(&QueueShape::default(), parameters).unwrap()
}

fn of(model: Model) -> Parameters {
    Parameters { model, ..Parameters::default() }
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

fn rated(engine: &WengLin, contest: &Contest) -> Vec<Rating> {
    let mut update = Update::before(contest, Vec::new());
    engine.rate(contest, &mut update).unwrap();
    update.ratings
}

fn predicted(engine: &WengLin, contest: &Contest) -> Vec<f64> {
    let mut pairs = Vec::new();
    engine.predict(&contest.line_up, &[], &mut pairs).unwrap();
    pairs
}

#[track_caller]
fn assert_alike(first: &Rating, second: &Rating) {
    assert!((first.mean - second.mean).abs() < 1e-10, "{first:?} {second:?}");
    assert!((first.uncertainty - second.uncertainty).abs() < 1e-10, "{first:?} {second:?}");
}

#[test]
fn the_schema_states_the_defaults() {
    let schema: serde_json::Value = serde_json::from_str(WengLin::PARAMETERS_SCHEMA).unwrap();
    let properties = schema["properties"].as_object().unwrap();
    let defaults = properties.iter().map(|(name, property)| (name.clone(), property["default"].clone()));
    let written = serde_json::Value::Object(defaults.collect()).to_string();
    assert_eq!(parse_parameters::<Parameters>(&written).unwrap(), Parameters::default());
}

#[test]
fn every_word_of_the_schema_is_understood() {
    let schema: serde_json::Value = serde_json::from_str(WengLin::PARAMETERS_SCHEMA).unwrap();
    let words = schema["properties"].as_object().unwrap().iter();
    let words = words.flat_map(|(name, property)| property["enum"].as_array().into_iter().flatten().map(move |word| (name, word)));
    let count = words.map(|(name, word)| parse_parameters::<Parameters>(&serde_json::json!({ name: word }).to_string()).unwrap()).count();
    assert_eq!(count, 5 + 2 + 2 + 3 + 4);
    assert!(parse_parameters::<Parameters>(r#"{"model":"elo"}"#).is_err());
}

#[test]
fn every_bad_parameter_is_named_at_once() {
    let parameters = Parameters { sigma: 0.0, beta: f64::NAN, kappa: 0.0, window: 0, margin: -1.0, ..Parameters::default() };
    let errors = WengLin::configure(&QueueShape::default(), parameters).unwrap_err();
    let paths: Vec<_> = errors.iter().map(|error| error.path.as_str()).collect();
    assert_eq!(paths, ["sigma", "beta", "kappa", "window", "margin"]);
    assert!(parse_parameters::<Parameters>(r#"{"sgima":8}"#).is_err());
}

#[test]
fn an_upset_of_a_thousand_deviations_stays_finite() {
    for model in MODELS {
        for beta in [2.5, 1e-3] {
            let engine = engine(Parameters { beta, ..of(model) });
            for gap in [0.0, 60.0, 600.0, 6_000.0, 1e6] {
                let chain = [(0.0, 0.1)];
                let (better, best) = ([(gap, 0.1)], [(2.0 * gap, 0.1)]);
                for teams in [&[&chain[..], &better[..]][..], &[&chain[..], &better[..], &best[..]]] {
                    for places in [[0, 1, 2], [1, 1, 1], [2, 1, 0], [0, 1, 0]] {
                        let contest = contest(teams, &places[..teams.len()]);
                        for after in rated(&engine, &contest) {
                            assert!(after.mean.is_finite() && after.uncertainty.is_finite(), "{model:?} {gap} {places:?} {after:?}");
                            assert!(after.uncertainty > 0.0 && after.uncertainty < 0.3, "{model:?} {gap} {places:?} {after:?}");
                        }
                        assert!(predicted(&engine, &contest).iter().all(|share| (0.0..=1.0).contains(share)));
                    }
                }
            }
        }
    }
}

#[test]
fn winners_gain_losers_lose_and_a_draw_brings_both_together() {
    for model in MODELS {
        let engine = engine(of(model));
        let teams: [&[(f64, f64)]; 2] = [&[(27.0, 5.0), (25.0, 3.0)], &[(24.0, 4.0), (23.0, 6.0)]];
        let won = rated(&engine, &contest(&teams, &[0, 1]));
        assert!(won[0].mean > 27.0 && won[1].mean > 25.0 && won[2].mean < 24.0 && won[3].mean < 23.0, "{model:?}");
        // Who is less well known moves further.
        assert!(won[0].mean - 27.0 > won[1].mean - 25.0, "{model:?}");
        let drew = rated(&engine, &contest(&teams, &[3, 3]));
        assert!(drew[0].mean < 27.0 && drew[3].mean > 23.0, "{model:?}");
    }
}

#[test]
fn the_order_of_entrants_and_of_teams_does_not_matter() {
    for model in MODELS {
        let engine = engine(of(model));
        let teams: [&[(f64, f64)]; 4] = [&[(25.0, 8.0), (31.0, 2.0)], &[(28.0, 5.0), (20.0, 6.0)], &[(22.0, 3.0)], &[(9.0, 1.0)]];
        let forward = contest(&teams, &[1, 0, 2, 2]);
        let mut backward = forward.clone();
        backward.line_up.entrants.reverse();
        let mut reversed = rated(&engine, &backward);
        reversed.reverse();
        rated(&engine, &forward).iter().zip(&reversed).for_each(|(first, second)| assert_alike(first, second));

        let turned = contest(&[teams[3], teams[1], teams[2], teams[0]], &[2, 0, 2, 1]);
        let turned = rated(&engine, &turned);
        let order = [4, 5, 1, 2, 3, 0];
        rated(&engine, &forward).iter().zip(order).for_each(|(first, second)| assert_alike(first, &turned[second]));
    }
}

#[test]
fn a_contest_of_two_is_the_same_to_the_logistic_models() {
    let contest = contest(&[&[(25.0, 8.0), (20.0, 3.0)], &[(28.0, 5.0)]], &[0, 1]);
    let expected = rated(&engine(of(Model::BradleyTerryFull)), &contest);
    for model in [Model::PlackettLuce, Model::BradleyTerryPartial] {
        rated(&engine(of(model)), &contest).iter().zip(&expected).for_each(|(first, second)| assert_alike(first, second));
    }
}

#[test]
fn a_result_without_trust_changes_nothing() {
    for model in MODELS {
        let engine = engine(of(model));
        let mut contest = contest(&[&[(25.0, 8.0)], &[(28.0, 5.0)], &[(31.0, 0.3)]], &[0, 1, 1]);
        contest.line_up.entrants[2].idle_s = 900 * DAY_S;
        contest.line_up.entrants[2].contests = 12;
        let full = rated(&engine, &contest);
        contest.trust = 0.5;
        let half = rated(&engine, &contest);
        contest.trust = 0.0;
        for (after, before) in rated(&engine, &contest).iter().zip(&contest.line_up.entrants) {
            assert_eq!(after, &before.rating);
        }
        assert!(25.0 < half[0].mean && half[0].mean < full[0].mean, "{model:?}");
        assert!(full[0].uncertainty < half[0].uncertainty && half[0].uncertainty < 8.0, "{model:?}");
    }
}

#[test]
fn presence_counts_only_where_the_operator_wants_it() {
    for model in MODELS {
        let with = |participation| engine(Parameters { participation, tau: 0.0, tau_per_day: 0.0, ..of(model) });
        let mut contest = contest(&[&[(25.0, 8.0)], &[(25.0, 8.0), (25.0, 7.0)]], &[0, 1]);
        let full = rated(&with(Participation::Ignored), &contest);
        rated(&with(Participation::Share), &contest).iter().zip(&full).for_each(|(share, full)| assert_alike(share, full));
        contest.line_up.entrants[2].presence = 0.0;
        assert_eq!(rated(&with(Participation::Ignored), &contest), full);
        let absent = rated(&with(Participation::Share), &contest);
        assert_eq!((absent[2].mean, absent[2].uncertainty), (25.0, 7.0));
        assert!(absent[0].mean < full[0].mean, "{model:?}: to beat one is less than to beat two");
        for entrant in &mut contest.line_up.entrants {
            entrant.presence = 0.0;
        }
        for (after, before) in rated(&with(Participation::Share), &contest).iter().zip(&contest.line_up.entrants) {
            assert_eq!(after, &before.rating, "{model:?}: nobody was there");
        }
    }
}

#[test]
fn the_least_present_of_a_team_loses_most_by_the_weights_of_openskill() {
    let engine = engine(Parameters { participation: Participation::Openskill, ..Parameters::default() });
    let mut contest = contest(&[&[(25.0, 8.0), (25.0, 8.0)], &[(25.0, 8.0), (25.0, 8.0)]], &[0, 1]);
    contest.line_up.entrants[0].presence = 0.4;
    contest.line_up.entrants[2].presence = 0.4;
    let after = rated(&engine, &contest);
    assert!((after[1].mean - 25.0 - 2.0 * (after[0].mean - 25.0)).abs() < 1e-12, "{after:?}");
    assert!((after[2].mean - 25.0 - 2.0 * (after[3].mean - 25.0)).abs() < 1e-12, "{after:?}");
}

#[test]
fn a_clear_victory_says_more_than_a_close_one() {
    for margin_effect in [MarginEffect::Gap, MarginEffect::Step] {
        for model in MODELS {
            let engine = engine(Parameters { margin: 2.0, margin_effect, ..of(model) });
            let mut contest = contest(&[&[(28.0, 4.0)], &[(25.0, 4.0)], &[(20.0, 4.0)]], &[0, 1, 2]);
            let without = rated(&engine, &contest);
            contest.scores = vec![12.0, 11.0, 10.0];
            let close = rated(&engine, &contest);
            contest.scores = vec![60.0, 30.0, 0.0];
            let clear = rated(&engine, &contest);
            without.iter().zip(&close).for_each(|(without, close)| assert_alike(without, close));
            assert!(clear[0].mean > close[0].mean, "{margin_effect:?} {model:?}: {clear:?} {close:?}");
        }
    }
}

#[test]
fn scores_play_no_part_unless_asked_for() {
    for model in MODELS {
        let engine = engine(of(model));
        let mut contest = contest(&[&[(28.0, 4.0)], &[(25.0, 4.0)], &[(20.0, 4.0)]], &[0, 1, 2]);
        let without = rated(&engine, &contest);
        contest.scores = vec![60.0, 30.0, 0.0];
        assert_eq!(rated(&engine, &contest), without);
    }
}

#[test]
fn uncertainty_grows_with_idleness_up_to_that_of_a_stranger() {
    let engine = engine(Parameters::default());
    let mut contest = contest(&[&[(35.0, 1.0)], &[(25.0, 1.0)]], &[0, 1]);
    let mut before = 0.0;
    let mut shares = Vec::new();
    for days in [0, 30, 365, 3_650, 365_000_000] {
        contest.line_up.entrants[0].contests = 40;
        contest.line_up.entrants[0].idle_s = days * DAY_S;
        let after = rated(&engine, &contest)[0].uncertainty;
        assert!(after > before && after < 25.0 / 3.0, "{days}: {after}");
        before = after;
        shares.push(predicted(&engine, &contest)[0]);
    }
    assert!(shares.windows(2).all(|pair| pair[1] < pair[0] && pair[1] > 0.5), "{shares:?}");
}

#[test]
fn no_contest_makes_anybody_less_certain_if_sigma_is_limited() {
    for limit_sigma in [true, false] {
        let engine = engine(Parameters { limit_sigma, tau: 2.0, ..Parameters::default() });
        let after = rated(&engine, &contest(&[&[(25.0, 0.5)], &[(27.0, 0.5)]], &[0, 1]));
        assert_eq!(after.iter().all(|rating| rating.uncertainty <= 0.5), limit_sigma, "{after:?}");
    }
}

#[test]
fn uncertainty_shrinks_as_gamma_says() {
    let known = contest(&[&[(25.0, 0.5)], &[(25.0, 0.5)]], &[0, 1]);
    let shrunk = |gamma| rated(&engine(Parameters { gamma, tau: 0.0, ..Parameters::default() }), &known)[0].uncertainty;
    assert!(shrunk(Gamma::OneOverK) < shrunk(Gamma::SigmaOverC), "what is known slows learning only in the default");
}

#[test]
fn balance_counts_the_weaker_players_of_a_team_more() {
    let balanced = engine(Parameters { balance: true, mu: 100.0, ..Parameters::default() });
    let plain = engine(Parameters { mu: 100.0, ..Parameters::default() });
    let contest = contest(&[&[(120.0, 2.0), (60.0, 2.0)], &[(90.0, 2.0), (90.0, 2.0)]], &[0, 1]);
    assert!((predicted(&plain, &contest)[0] - 0.5).abs() < 1e-12);
    assert!(predicted(&balanced, &contest)[0] > 0.5);
    // The best ordinal is where the formula of the peers divides by zero.
    let kappa = Parameters::default().kappa;
    let at_zero = self::contest(&[&[(6.0 - kappa, 2.0), (1.0, 2.0)], &[(1.0, 2.0)]], &[0, 1]);
    let engine = engine(Parameters { balance: true, tau: 0.0, ..Parameters::default() });
    let mut update = Update::before(&at_zero, Vec::new());
    let outcome = engine.rate(&at_zero, &mut update);
    assert!(outcome == Err(Fault::OutOfRange) || update.ratings.iter().all(|rating| rating.mean.is_finite()), "{update:?}");
}

#[test]
fn predictions_follow_the_model_unless_told_otherwise() {
    let contest = contest(&[&[(42.0, 2.1)], &[(31.0, 1.2)]], &[0, 1]);
    let share = |model, prediction| predicted(&engine(Parameters { beta: 25.0 / 6.0, prediction, ..of(model) }), &contest)[0];
    // skillratings and openskill.py for the same ratings.
    let (logistic, normal) = (0.849_021_123_412_260_5, 0.957_911_151_008_371_2);
    for (model, expected) in
        [(Model::PlackettLuce, logistic), (Model::BradleyTerryPartial, logistic), (Model::ThurstoneMostellerFull, normal)]
    {
        assert!((share(model, Prediction::Model) - expected).abs() < 1e-9, "{model:?}: {}", share(model, Prediction::Model));
        assert!((share(model, Prediction::Logistic) - logistic).abs() < 1e-9);
        assert!((share(model, Prediction::Normal) - normal).abs() < 1e-9);
    }
}

#[test]
fn many_teams_are_expected_to_win_as_openskill_says() {
    let contest = contest(&[&[(25.0, 8.0), (21.0, 3.0)], &[(40.0, 2.0)], &[(50.0, 1.0), (1.0, 6.0)]], &[0, 1, 2]);
    // `predict_win` of openskill.py 6.2.0 and `predictWin` of openskill.js 5.0.1: the share of all pairs that each team wins.
    let peers = [
        (Prediction::Normal, [0.351_235_333_720_664_34, 0.129_411_082_182_048_4, 0.519_353_584_097_287_3]),
        (Prediction::NormalField, [0.349_514_078_403_957_43, 0.141_943_251_742_166_4, 0.508_542_669_853_876_1]),
    ];
    for (prediction, expected) in peers {
        let engine = engine(Parameters { beta: 25.0 / 6.0, prediction, ..of(Model::PlackettLuce) });
        let pairs = predicted(&engine, &contest);
        let won = [pairs[0] + pairs[1], 1.0 - pairs[0] + pairs[2], 2.0 - pairs[1] - pairs[2]];
        for (won, expected) in won.iter().zip(expected) {
            assert!((won / 3.0 - expected).abs() < 1e-9, "{prediction:?}: {won} {expected}");
        }
    }
}

#[test]
fn a_season_keeps_all_or_nothing_or_a_share() {
    let engine = engine(Parameters::default());
    let known = Rating::new(40.0, 1.5);
    let (all, nothing, half) = (engine.soften(&known, 1.0), engine.soften(&known, 0.0), engine.soften(&known, 0.5));
    assert_alike(&all, &known);
    assert_alike(&nothing, &engine.initial());
    assert!(nothing.mean < half.mean && half.mean < all.mean);
    assert!(all.uncertainty < half.uncertainty && half.uncertainty < nothing.uncertainty);
    assert_eq!(engine.visible(&known), 35.5);
    assert!(engine.visible(&engine.initial()).abs() < 1e-12);
}

#[test]
fn ratings_beyond_all_measure_are_refused() {
    let engine = engine(Parameters::default());
    let contest = contest(&[&[(1e12, 8.0)], &[(28.0, 5.0)]], &[0, 1]);
    let mut update = Update::before(&contest, Vec::new());
    assert_eq!(engine.rate(&contest, &mut update), Err(Fault::OutOfRange));
}
