//! The engine as a plugin: parameters, places, ties, teams, trust, presence, history, resets, and numbers at the edge.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use plugin_sdk::{Contest, Entrant, Fault, LineUp, Plugin, QueueShape, Rating, RatingEngine, Setting, Update, parse_parameters};
use rating_elo_mmr::performance::{Field, System, Term};
use rating_elo_mmr::{EloMmr, Parameters};

const DAY_S: u64 = 86_400;

fn engine(parameters: Parameters) -> EloMmr {
    EloMmr::configure(&QueueShape::default(), parameters).unwrap()
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

fn rated(engine: &EloMmr, contest: &Contest) -> Vec<Rating> {
    let mut update = Update::before(contest, Vec::new());
    engine.rate(contest, &mut update).unwrap();
    update.ratings
}

fn predicted(engine: &EloMmr, contest: &Contest) -> Vec<f64> {
    let mut pairs = Vec::new();
    engine.predict(&contest.line_up, &[], &mut pairs).unwrap();
    pairs
}

/// A congruential sequence stands for chance, 0 to below 1.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Many entrants of all strengths; every tenth shares the place before him.
fn crowd(count: u16) -> Contest {
    let mut chance = Chance(9);
    let players: Vec<[(f64, f64); 1]> = (0..count).map(|_| [(900.0 + 1200.0 * chance.next(), 60.0 + 200.0 * chance.next())]).collect();
    let teams: Vec<&[(f64, f64)]> = players.iter().map(<[_; 1]>::as_slice).collect();
    let places: Vec<u16> = (0..count).map(|place| if place % 10 == 9 { place - 1 } else { place }).collect();
    contest(&teams, &places)
}

#[test]
fn the_schema_states_the_defaults() {
    let schema: serde_json::Value = serde_json::from_str(EloMmr::PARAMETERS_SCHEMA).unwrap();
    let properties = schema["properties"].as_object().unwrap();
    let defaults = properties.iter().map(|(name, property)| (name.clone(), property["default"].clone()));
    let written = serde_json::Value::Object(defaults.collect()).to_string();
    assert_eq!(parse_parameters::<Parameters>(&written).unwrap(), Parameters::default());
    assert_eq!(properties.len(), 16);
}

#[test]
fn every_bad_parameter_is_named_at_once() {
    let parameters = Parameters { sig_limit: 0.0, noob_delay: vec![2.0], history: 43, ..Parameters::default() };
    let errors = EloMmr::configure(&QueueShape::default(), parameters).unwrap_err();
    assert_eq!(errors.iter().map(|error| error.path.as_str()).collect::<Vec<_>>(), ["noob_delay", "sig_limit", "history"]);
    assert!(parse_parameters::<Parameters>(r#"{"system":"elo"}"#).is_err());
}

/// The paper's own statement: a better place is a better performance, by whoever it was.
#[test]
fn performances_fall_with_the_places_and_ties_share_one() {
    for system in [System::EloMmr, System::EloMmx] {
        for split_ties in [false, true] {
            let mut chance = Chance(3);
            let terms: Vec<Term> =
                (0..60).map(|_| Term { mean: 3000.0 * chance.next(), deviation: 200.0 + 100.0 * chance.next() }).collect();
            let places: Vec<u16> = (0..60).map(|team| team / 3 * 3).collect();
            let performances = Field { system, split_ties, terms: &terms, places: &places }.performances();
            for (team, pair) in performances.windows(2).enumerate() {
                let tied = places[team] == places[team + 1];
                assert!(if tied { pair[0] == pair[1] } else { pair[0] > pair[1] }, "{system:?} {team} {pair:?}");
            }
        }
    }
}

/// The field of a thousand is solved from a table; the same sums, taken term by term, vanish at what it found.
#[test]
fn a_thousand_performances_are_roots_of_the_papers_sums() {
    let mut chance = Chance(5);
    let terms: Vec<Term> =
        (0..1000).map(|_| Term { mean: 500.0 + 2500.0 * chance.next(), deviation: 190.0 + 200.0 * chance.next() }).collect();
    let places: Vec<u16> = (0..1000).map(|team| if team % 10 == 9 { team - 1 } else { team }).collect();
    for split_ties in [false, true] {
        let performances = Field { system: System::EloMmr, split_ties, terms: &terms, places: &places }.performances();
        for (team, performance) in performances.iter().enumerate() {
            let (mut sum, mut slope) = (0.0, 0.0);
            for (other, term) in terms.iter().enumerate() {
                let weight = std::f64::consts::PI / 3_f64.sqrt() / term.deviation;
                let tanh = ((performance - term.mean) * 0.5 * weight).tanh();
                let times = if places[other] == places[team] && !split_ties { 2.0 } else { 1.0 };
                sum += match places[other].cmp(&places[team]) {
                    std::cmp::Ordering::Less => -weight * tanh - weight,
                    std::cmp::Ordering::Equal => -times * weight * tanh,
                    std::cmp::Ordering::Greater => -weight * tanh + weight,
                };
                slope -= times * 0.5 * weight * weight * (1.0 - tanh * tanh);
            }
            assert!((sum / slope).abs() < 1e-6, "place {team}: {} off", sum / slope);
        }
    }
}

#[test]
fn upsets_beyond_all_measure_stay_finite() {
    for system in [System::EloMmr, System::EloMmx] {
        let engine = engine(Parameters { system, ..Parameters::default() });
        for gap in [1e3, 1e5, 1e9] {
            for deviation in [1e-6, 1.0, 350.0, 1e6] {
                for places in [[0, 1, 2], [1, 1, 1], [2, 1, 0]] {
                    let contest = contest(&[&[(0.0, deviation)], &[(gap, deviation)], &[(-gap, 50.0)]], &places);
                    for (before, after) in contest.line_up.entrants.iter().zip(rated(&engine, &contest)) {
                        assert!(after.mean.is_finite() && after.uncertainty > 0.0, "{gap} {deviation} {places:?} {after:?}");
                        let most = before.rating.uncertainty.hypot(80.0);
                        assert!(after.uncertainty <= most, "{gap} {deviation} {places:?} {after:?}");
                    }
                    assert!(predicted(&engine, &contest).iter().all(|share| (0.0..=1.0).contains(share)));
                }
            }
        }
    }
}

#[test]
fn a_disaster_among_many_good_contests_moves_a_rating_by_a_bounded_amount() {
    let moved = |system: System, by: f64| {
        let engine = engine(Parameters { system, ..Parameters::default() });
        let mut star = engine.initial();
        // A settled player among settled others, then last against players that much weaker.
        let play = |star: &Rating, others: f64, place: u16| {
            let other = [(others, 80.0)];
            let mut contest = contest(&[&[(0.0, 80.0)], &other, &other, &other], &[place, 1, 3, 5]);
            contest.line_up.entrants[0].rating = star.clone();
            rated(&engine, &contest).remove(0)
        };
        for round in 0..30 {
            star = play(&star, star.mean, [0, 2, 4, 6][round % 4]);
        }
        star.mean - play(&star, star.mean - by, 6).mean
    };
    let (near, far) = (moved(System::EloMmr, 800.0), moved(System::EloMmr, 8_000.0));
    assert!(near > 0.0 && far < 1.3 * near, "robust: {near} and {far}");
    let (near, far) = (moved(System::EloMmx, 800.0), moved(System::EloMmx, 8_000.0));
    assert!(far > 5.0 * near, "Gaussian: {near} and {far}");
}

#[test]
fn a_truncated_history_is_close_to_a_long_one() {
    let after = |history: u16| {
        let engine = engine(Parameters { history, ..Parameters::default() });
        let (mut chance, mut player) = (Chance(17), engine.initial());
        for _ in 0..200 {
            let others: Vec<[(f64, f64); 1]> = (0..9).map(|_| [(1200.0 + 600.0 * chance.next(), 90.0)]).collect();
            let mut teams: Vec<&[(f64, f64)]> = vec![&[(0.0, 90.0)]];
            teams.extend(others.iter().map(<[_; 1]>::as_slice));
            // He places anywhere among the others.
            let place = (chance.next() * 10.0) as u16 * 2;
            let places: Vec<u16> = std::iter::once(place).chain((0..9).map(|other| other * 2 + 1)).collect();
            let mut contest = contest(&teams, &places);
            contest.line_up.entrants[0].rating = player;
            player = rated(&engine, &contest).remove(0);
            assert!(player.memory.len() <= 1024);
        }
        (player.mean, player.memory.len())
    };
    let [(longest, bytes), (default, _), (short, _), (least, least_bytes)] = [42, 16, 8, 1].map(after);
    assert_eq!((bytes, least_bytes), (16 + 42 * 24, 16 + 24));
    // Places that have nothing to do with skill: as far off each other as performances get.
    assert!((default - longest).abs() < 0.2, "16: {default}, 42: {longest}");
    assert!((short - longest).abs() < 5.0, "8: {short}, 42: {longest}");
    assert!(least != longest);
    println!("42: {longest}, 16: {default}, 8: {short}, 1: {least}");
}

/// Whatever an old contest was like, forgetting it must not turn a win into a loss.
#[test]
fn a_winner_never_falls_and_a_loser_never_rises() {
    for history in [1, 3, 16] {
        let engine = engine(Parameters { history, ..Parameters::default() });
        let (mut chance, mut player) = (Chance(23), engine.initial());
        for round in 0..300 {
            // Far weaker and far stronger opponents, so that surprises are large.
            let other = [(600.0 + 1800.0 * chance.next(), 80.0)];
            let won = chance.next() < 0.5;
            let mut contest = contest(&[&[(0.0, 80.0)], &other], &[u16::from(!won), u16::from(won)]);
            contest.line_up.entrants[0].rating = player.clone();
            let after = rated(&engine, &contest).remove(0);
            let rose = after.mean - player.mean;
            assert!(if won { rose > -1e-9 } else { rose < 1e-9 }, "history {history}, round {round}: won {won}, {rose}");
            player = after;
        }
    }
}

#[test]
fn a_belief_that_is_moved_or_widened_takes_its_history_along() {
    let engine = engine(Parameters::default());
    let mut player = engine.initial();
    for place in [0, 2, 2, 0, 2] {
        let mut contest = contest(&[&[(0.0, 80.0)], &[(1500.0, 80.0)], &[(1500.0, 80.0)]], &[place, 1, 1]);
        contest.line_up.entrants[0].rating = player;
        player = rated(&engine, &contest).remove(0);
    }
    let moves = |player: &Rating, by: f64| {
        let mut contest = contest(&[&[(0.0, 80.0)], &[(1500.0 + by, 80.0)]], &[0, 1]);
        contest.line_up.entrants[0].rating = player.clone();
        rated(&engine, &contest)[0].mean - player.mean
    };
    let moved = Rating { mean: player.mean + 400.0, ..player.clone() };
    assert!((moves(&moved, 400.0) - moves(&player, 0.0)).abs() < 1e-6);
    let widened = Rating { uncertainty: 2.0 * player.uncertainty, ..player.clone() };
    assert!(moves(&widened, 0.0) > 1.5 * moves(&player, 0.0));
}

#[test]
fn the_order_of_teams_and_entrants_does_not_matter() {
    let engine = engine(Parameters::default());
    let forward = contest(&[&[(1500.0, 80.0), (1700.0, 50.0)], &[(1600.0, 90.0), (1450.0, 200.0)], &[(1380.0, 70.0)]], &[1, 0, 1]);
    for forward in [forward, crowd(70)] {
        let mut backward = forward.clone();
        let last = u16::try_from(forward.places.len() - 1).unwrap();
        backward.line_up.entrants.reverse();
        for entrant in &mut backward.line_up.entrants {
            entrant.team = last - entrant.team;
        }
        backward.line_up = LineUp::new(backward.line_up.entrants, Setting::default());
        backward.places.reverse();
        let mut reversed = rated(&engine, &backward);
        reversed.reverse();
        for (first, second) in rated(&engine, &forward).iter().zip(&reversed) {
            assert!((first.mean - second.mean).abs() < 1e-8 && (first.uncertainty - second.uncertainty).abs() < 1e-9);
        }
    }
}

#[test]
fn a_team_learns_less_per_head_than_a_single_entrant() {
    let engine = engine(Parameters::default());
    let player = [(1500.0, 100.0)];
    let duel = rated(&engine, &contest(&[&player, &player], &[0, 1]));
    let team = rated(&engine, &contest(&[&player.repeat(5), &player.repeat(5)], &[0, 1]));
    let (alone, of_five) = (duel[0].mean - 1500.0, team[0].mean - 1500.0);
    assert!(0.0 < of_five && of_five < alone, "{alone} {of_five}");
    assert!(team[0].uncertainty > duel[0].uncertainty);
    let stronger = contest(&[&[(1600.0, 60.0); 4], &[(1500.0, 60.0); 4]], &[0, 1]);
    let pair = contest(&[&[(1600.0, 60.0)], &[(1500.0, 60.0)]], &[0, 1]);
    assert!(predicted(&engine, &stronger)[0] > predicted(&engine, &pair)[0], "four advantages are more than one");
}

#[test]
fn time_without_contests_widens_predictions_and_the_next_update() {
    let engine = engine(Parameters { drift_per_day: 10.0, ..Parameters::default() });
    let at = |days: u64| {
        let mut contest = contest(&[&[(1700.0, 60.0)], &[(1500.0, 60.0)]], &[0, 1]);
        contest.line_up.entrants.iter_mut().for_each(|entrant| entrant.idle_s = days * DAY_S);
        (predicted(&engine, &contest)[0], rated(&engine, &contest)[0].mean - 1700.0)
    };
    let moves = [0, 30, 365, 3650].map(at);
    assert!(moves.windows(2).all(|pair| pair[1].0 < pair[0].0 && pair[1].1 > pair[0].1), "{moves:?}");
    assert_eq!(at(365_000), at(3_650_000), "no time makes a player less known than a stranger");
}

#[test]
fn a_result_without_trust_changes_nothing_and_half_trust_changes_less() {
    for system in [System::EloMmr, System::EloMmx] {
        let engine = engine(Parameters { system, ..Parameters::default() });
        let mut contest = contest(&[&[(1500.0, 120.0)], &[(1560.0, 90.0)], &[(1480.0, 100.0)]], &[0, 1, 2]);
        let full = rated(&engine, &contest);
        contest.trust = 0.5;
        let half = rated(&engine, &contest);
        contest.trust = 0.0;
        let before: Vec<Rating> = contest.line_up.entrants.iter().map(|entrant| entrant.rating.clone()).collect();
        assert_eq!(rated(&engine, &contest), before);
        assert!(1500.0 < half[0].mean && half[0].mean < full[0].mean);
        assert!(full[0].uncertainty < half[0].uncertainty && half[0].uncertainty < 120.0);
    }
}

#[test]
fn presence_counts_only_where_the_operator_wants_it() {
    let mut contest = contest(&[&[(1500.0, 80.0)], &[(1500.0, 80.0), (1500.0, 80.0)], &[(1500.0, 80.0)]], &[0, 1, 2]);
    let full = rated(&engine(Parameters::default()), &contest);
    contest.line_up.entrants[2].presence = 0.0;
    contest.line_up.entrants[3].presence = 0.5;
    assert_eq!(rated(&engine(Parameters::default()), &contest), full);
    let partly = rated(&engine(Parameters { participation: true, ..Parameters::default() }), &contest);
    assert_eq!(partly[2], contest.line_up.entrants[2].rating);
    assert!(full[3].mean < partly[3].mean && partly[3].mean < 1500.0, "{partly:?}");
    contest.line_up.entrants.iter_mut().for_each(|entrant| entrant.presence = 0.0);
    let nobody = rated(&engine(Parameters { participation: true, ..Parameters::default() }), &contest);
    assert!(nobody.iter().zip(&contest.line_up.entrants).all(|(after, before)| *after == before.rating));
}

#[test]
fn a_season_keeps_all_or_nothing_or_a_share() {
    let engine = engine(Parameters::default());
    let known = rated(&engine, &contest(&[&[(1900.0, 60.0)], &[(1850.0, 60.0)]], &[1, 0])).remove(0);
    assert_eq!(engine.soften(&known, 1.0), known);
    assert_eq!(engine.soften(&known, 0.0), engine.initial());
    let half = engine.soften(&known, 0.5);
    assert!(1500.0 < half.mean && half.mean < known.mean && half.memory.is_empty());
    assert!(known.uncertainty < half.uncertainty && half.uncertainty < engine.initial().uncertainty);
}

#[test]
fn provisional_players_are_shown_lower_than_settled_ones() {
    let engine = engine(Parameters { provisional_deviation: 110.0, ..Parameters::default() });
    let shown = |deviation: f64| engine.visible(&Rating::new(1800.0, deviation));
    assert_eq!([shown(60.0), shown(110.0), shown(111.0), shown(210.0)], [1800.0, 1800.0, 1798.0, 1600.0]);
    assert!(engine.is_provisional(&engine.initial()) && !engine.is_provisional(&Rating::new(1800.0, 110.0)));
}

#[test]
fn what_the_engine_did_not_write_is_refused() {
    let engine = engine(Parameters::default());
    let mut strange = contest(&[&[(1500.0, 80.0)], &[(1500.0, 60.0)]], &[0, 1]);
    let numbers = |numbers: &[f64]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>();
    for memory in [vec![1, 2, 3], numbers(&[1500.0]), numbers(&[1500.0, -1.0]), numbers(&[1500.0, f64::NAN]), numbers(&[1.0, 1.0, 1.0])] {
        strange.line_up.entrants[0].rating.memory = memory;
        assert_eq!(engine.rate(&strange, &mut Update::before(&strange, Vec::new())), Err(Fault::OutOfRange));
    }
    let far = contest(&[&[(1e12, 80.0)], &[(1500.0, 60.0)]], &[0, 1]);
    assert_eq!(engine.rate(&far, &mut Update::before(&far, Vec::new())), Err(Fault::OutOfRange));
}
