//! The engine as a plugin: what a lie can do, trust, presence, order, resets, and shapes at the edge.
#![allow(missing_docs, clippy::unwrap_used)]

mod history;

use history::{Line, Meta, Replay};
use plugin_sdk::{Contest, Fault, Plugin, QueueShape, Rating, RatingEngine, StatValue, Update, parse_parameters};
use rating_adaptive::{Adaptive, Parameters};

fn shape() -> QueueShape {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    QueueShape {
        stats: names(&["kills", "deaths", "assists"]),
        maps: names(&["dust", "ice"]),
        modes: names(&["bomb", "flag"]),
        sides: names(&["home", "away"]),
        ..QueueShape::default()
    }
}

fn engine() -> Adaptive {
    Adaptive::configure(&shape(), Parameters::default()).unwrap()
}

/// A season of an arena: `size` a side out of forty players, whose skill is their number. Everything in it follows from `seed`.
fn season(size: usize, contests: u64, seed: u64) -> Vec<Line> {
    let mut state = seed;
    let mut chance = move || {
        // Numerical Recipes' generator: any fixed sequence does.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / f64::from(1_u32 << 31)
    };
    let line = |number: u64| {
        let mut pool: Vec<usize> = (0..40).collect();
        let mut take = || pool.swap_remove((chance() * pool.len() as f64) as usize % pool.len());
        let numbers: Vec<Vec<usize>> = (0..2).map(|_| (0..size).map(|_| take()).collect()).collect();
        let kills: Vec<Vec<f64>> = numbers
            .iter()
            .map(|team| team.iter().map(|&skill| (8.0 + 0.2 * skill as f64 + 6.0 * (chance() + chance() - 1.0)).round()).collect())
            .collect();
        let deaths = kills.iter().map(|team| team.iter().map(|kills| 24.0 - kills).collect()).collect();
        let scores: Vec<f64> = kills.iter().map(|team| team.iter().sum()).collect();
        let ranks =
            if scores[0] == scores[1] { vec![0, 0] } else { vec![u32::from(scores[0] < scores[1]), u32::from(scores[0] > scores[1])] };
        let assists = kills.iter().map(|team| team.iter().map(|_| (5.0 * chance()).round()).collect()).collect();
        Line {
            ts: 1_700_000_000 + 3_600 * number as i64,
            teams: numbers.iter().map(|team| team.iter().map(|number| format!("p{number}")).collect()).collect(),
            ranks,
            scores,
            stats: [("kills".to_owned(), kills), ("deaths".to_owned(), deaths), ("assists".to_owned(), assists)].into(),
            presence: Vec::new(),
            meta: Meta { mode: "bomb".to_owned(), map: "dust".to_owned(), neutral: Some(false) },
        }
    };
    (0..contests).map(line).collect()
}

/// The queue after a season.
fn after(season: &[Line]) -> Replay<Adaptive> {
    let mut replay = Replay::new(engine());
    for line in season {
        let contest = filled(&replay, line);
        replay.rate(line, &contest);
    }
    replay
}

fn filled(replay: &Replay<Adaptive>, line: &Line) -> Contest {
    let mut contest = history::contest(&shape(), line);
    replay.fill(line, &mut contest);
    contest
}

fn rated(replay: &Replay<Adaptive>, contest: &Contest) -> Update {
    let mut update = Update::before(contest, replay.memory.clone());
    replay.engine.rate(contest, &mut update).unwrap();
    update
}

fn predicted(replay: &Replay<Adaptive>, contest: &Contest) -> Vec<f64> {
    replay.predict(contest)
}

/// The same contest without scores and statistics.
fn bare(contest: &Contest) -> Contest {
    let mut bare = contest.clone();
    bare.scores.clear();
    for entrant in &mut bare.line_up.entrants {
        entrant.stats.clear();
    }
    bare
}

/// By how many uncertainties each mean moved.
fn moves(contest: &Contest, update: &Update) -> Vec<f64> {
    let moved = |(before, after): (&plugin_sdk::Entrant, &Rating)| {
        (after.mean - before.rating.mean) / before.rating.uncertainty.min(after.uncertainty)
    };
    contest.line_up.entrants.iter().zip(&update.ratings).map(moved).collect()
}

#[test]
fn the_schema_states_the_defaults() {
    let schema: serde_json::Value = serde_json::from_str(Adaptive::PARAMETERS_SCHEMA).unwrap();
    let properties = schema["properties"].as_object().unwrap();
    let defaults = properties.iter().map(|(name, property)| (name.clone(), property["default"].clone()));
    let written = serde_json::Value::Object(defaults.collect()).to_string();
    assert_eq!(parse_parameters::<Parameters>(&written).unwrap(), Parameters::default());
}

#[test]
fn every_bad_parameter_is_named_at_once() {
    let parameters = Parameters { mean: f64::NAN, uncertainty: 0.0, caution: -1.0 };
    let errors = Adaptive::configure(&shape(), parameters).unwrap_err();
    assert_eq!(errors.iter().map(|error| error.path.as_str()).collect::<Vec<_>>(), ["mean", "uncertainty", "caution"]);
    assert!(parse_parameters::<Parameters>(r#"{"uncertanty":8}"#).is_err());
}

// Every player of a settled queue in turn claims a hundred kills and no death, or the opposite; everybody else is left as he was.
#[test]
fn a_fabricated_line_moves_a_settled_player_by_a_fifth_of_his_uncertainty_at_most() {
    for size in [1, 5] {
        let season = season(size, 1_500 / size as u64, 7);
        let replay = after(&season);
        for line in season.iter().rev().take(20) {
            for (mode, map) in [("bomb", "dust"), ("flag", "ice"), ("", "")] {
                let mut honest = filled(&replay, line);
                honest.line_up.setting.mode = shape().mode(mode);
                honest.line_up.setting.map = shape().map(map);
                let base = rated(&replay, &honest);
                let bare = moves(&honest, &rated(&replay, &bare(&honest)));
                for liar in 0..honest.line_up.entrants.len() {
                    for (kills, deaths) in [(100.0, 0.0), (0.0, 100.0), (1e9, -1e9)] {
                        let mut lie = honest.clone();
                        let stats = &mut lie.line_up.entrants[liar].stats;
                        *stats = vec![StatValue { index: 0, value: kills }, StatValue { index: 1, value: deaths }];
                        let update = rated(&replay, &lie);
                        let moved = moves(&lie, &update);
                        for (index, bare) in bare.iter().enumerate() {
                            let moved = moved[index];
                            let apart = (update.ratings[index].mean - base.ratings[index].mean).abs() / base.ratings[index].uncertainty;
                            assert!(
                                moved.abs() <= bare.abs().max(0.2) + 1e-3,
                                "{size} a side: {moved} by {kills}-{deaths}, {bare} by the result"
                            );
                            assert!(apart <= 0.2, "{size} a side: {apart} by {kills}-{deaths}");
                        }
                    }
                }
            }
        }
    }
}

// A duel ends 100-0, or a billion to nothing, between players of whom everything is known.
#[test]
fn a_fabricated_score_moves_a_settled_player_by_little_more_than_the_bare_result() {
    for size in [1, 5] {
        let season = season(size, 1_500 / size as u64, 8);
        let replay = after(&season);
        for line in season.iter().rev().take(40) {
            let honest = filled(&replay, line);
            for scores in [[100.0, 0.0], [0.0, 100.0], [1e9, 0.0], [-1e9, 1e9]] {
                let mut lie = honest.clone();
                lie.scores = scores.to_vec();
                let (lie, bare) = (moves(&lie, &rated(&replay, &lie)), moves(&honest, &rated(&replay, &bare(&honest))));
                for (lie, bare) in lie.iter().zip(&bare) {
                    assert!(lie.abs() <= bare.abs().max(0.2) + 5e-3, "{size} a side: {lie} by {scores:?}, {bare} by the result");
                    assert!((lie - bare).abs() <= 0.25, "{size} a side: {lie} by {scores:?}, {bare} by the result");
                }
            }
        }
    }
}

#[test]
fn one_absurd_score_does_not_blind_the_queue() {
    let season = season(5, 900, 9);
    let honest = after(&season);
    let mut replay = Replay::new(engine());
    for (number, line) in season.iter().enumerate() {
        let mut contest = filled(&replay, line);
        if number % 200 == 5 {
            contest.scores = vec![1e9, -1e9];
        }
        replay.rate(line, &contest);
    }
    let mut apart: f64 = 0.0;
    for line in &season[800..] {
        let contest = filled(&honest, line);
        apart = apart.max((predicted(&replay, &filled(&replay, line))[0] - predicted(&honest, &contest)[0]).abs());
    }
    assert!(apart < 0.12, "{apart}");
}

#[test]
fn a_result_without_trust_changes_nothing_and_more_trust_moves_more() {
    let season = season(5, 300, 3);
    let replay = after(&season[..299]);
    let mut contest = filled(&replay, &season[299]);
    contest.trust = 0.0;
    let before = Update::before(&contest, replay.memory.clone());
    assert_eq!(rated(&replay, &contest), before);
    let mut last = 0.0;
    for trust in [0.1, 0.3, 0.6, 1.0] {
        contest.trust = trust;
        let moved: f64 = moves(&contest, &rated(&replay, &contest)).iter().map(|moved| moved.abs()).sum();
        assert!(moved > last, "trust {trust} moves by {moved}, less by {last}");
        last = moved;
    }
}

#[test]
fn who_was_not_there_is_not_rated() {
    let season = season(5, 300, 4);
    let replay = after(&season[..299]);
    let full = filled(&replay, &season[299]);
    let mut left = full.clone();
    left.line_up.entrants[0].presence = 0.0;
    let update = rated(&replay, &left);
    // The mixture's weights move, and with them what is published, by next to nothing.
    assert!((update.ratings[0].mean - full.line_up.entrants[0].rating.mean).abs() < 0.02 * full.line_up.entrants[0].rating.uncertainty);
    for entrant in &mut left.line_up.entrants {
        entrant.presence = 0.0;
    }
    for (before, after) in left.line_up.entrants.iter().zip(&rated(&replay, &left).ratings) {
        assert!((after.mean - before.rating.mean).abs() < 0.02 * before.rating.uncertainty);
    }
}

#[test]
fn the_order_of_teams_and_entrants_does_not_matter() {
    let season = season(3, 300, 5);
    let replay = after(&season[..299]);
    let forward = filled(&replay, &season[299]);
    let mut backward = forward.clone();
    backward.places.reverse();
    backward.scores.reverse();
    backward.line_up.setting.sides.reverse();
    let mut entrants: Vec<_> = forward.line_up.entrants.iter().rev().cloned().collect();
    for entrant in &mut entrants {
        entrant.team = 1 - entrant.team;
    }
    backward.line_up = plugin_sdk::LineUp::new(entrants, backward.line_up.setting.clone());
    let mut mirrored = rated(&replay, &backward).ratings;
    mirrored.reverse();
    for (one, other) in rated(&replay, &forward).ratings.iter().zip(&mirrored) {
        assert!((one.mean - other.mean).abs() < 1e-5 && (one.uncertainty - other.uncertainty).abs() < 1e-5, "{one:?} {other:?}");
    }
    assert!((predicted(&replay, &forward)[0] + predicted(&replay, &backward)[0] - 1.0).abs() < 1e-12);
}

#[test]
fn a_statistic_counts_as_far_as_it_goes_with_winning() {
    let season = season(5, 600, 6);
    let replay = after(&season);
    let mut contest = filled(&replay, &season[599]);
    // Nobody holds back a player of one contest.
    contest.line_up.entrants[0].contests = 1;
    let gain = |stat: usize, value: f64| {
        let mut contest = contest.clone();
        contest.line_up.entrants[0].stats[stat].value = value;
        rated(&replay, &contest).ratings[0].mean
    };
    assert!(gain(0, 20.0) > gain(0, 5.0), "kills win");
    assert!(gain(1, 20.0) < gain(1, 5.0), "deaths lose");
    assert!((gain(2, 5.0) - gain(2, 0.0)).abs() < 0.5 * (gain(0, 20.0) - gain(0, 5.0)), "assists say nothing here");
}

#[test]
fn skill_is_found_and_players_are_ordered_by_it() {
    let replay = after(&season(5, 800, 10));
    let mut ranked: Vec<(f64, u32)> =
        replay.players.iter().map(|(name, (rating, ..))| (replay.engine.visible(rating), name[1..].parse().unwrap())).collect();
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
    let below: u32 = ranked[..10].iter().map(|(_, number)| number).sum();
    let above: u32 = ranked[30..].iter().map(|(_, number)| number).sum();
    assert!(below < 100 && above > 290, "{ranked:?}");
}

#[test]
fn numbers_at_the_edge_stay_finite() {
    let shape = QueueShape::default();
    let engine = Adaptive::configure(&shape, Parameters::default()).unwrap();
    for teams in [2_usize, 3, 40] {
        let mut replay = Replay::new(engine.clone());
        for round in 0..60_i64 {
            let names: Vec<Vec<String>> = (0..teams).map(|team| vec![format!("p{team}")]).collect();
            let line = Line {
                ts: if round % 2 == 0 { i64::MIN / 4 } else { i64::MAX / 4 },
                teams: names,
                ranks: (0..teams as u32).map(|team| if round % 5 == 0 { 0 } else { team }).collect(),
                scores: (0..teams).map(|team| if round % 3 == 0 { 1e300 } else { -1e300 * team as f64 / 40.0 }).collect(),
                stats: [].into(),
                presence: Vec::new(),
                meta: Meta::default(),
            };
            let mut contest = history::contest(&shape, &line);
            replay.fill(&line, &mut contest);
            let pairs = replay.predict(&contest);
            assert!(pairs.iter().all(|pair| (0.0..=1.0).contains(pair)), "{pairs:?}");
            replay.rate(&line, &contest);
            for (rating, ..) in replay.players.values() {
                assert!(rating.mean.is_finite() && rating.uncertainty > 0.0 && rating.uncertainty.is_finite(), "{rating:?}");
            }
        }
    }
}

#[test]
fn memories_stay_within_their_bounds() {
    let names = |count: usize| (0..count).map(|number| format!("n{number}")).collect::<Vec<_>>();
    let shape = QueueShape { stats: names(250), maps: names(250), modes: names(250), sides: names(250), ..QueueShape::default() };
    let engine = Adaptive::configure(&shape, Parameters::default()).unwrap();
    let season = season(5, 40, 11);
    let mut replay = Replay::new(engine);
    for (number, line) in season.iter().enumerate() {
        let mut contest = history::contest(&self::shape(), line);
        replay.fill(line, &mut contest);
        let setting = &mut contest.line_up.setting;
        (setting.map, setting.mode) = (Some(number as u16 * 6), Some(249 - number as u16 * 6));
        setting.sides = vec![Some(number as u16 * 6), Some(3)];
        for entrant in &mut contest.line_up.entrants {
            entrant.stats = (0..250).map(|index| StatValue { index, value: f64::from(index) }).collect();
        }
        replay.rate(line, &contest);
        assert!(replay.memory.len() <= 65_536);
        assert!(replay.players.values().all(|(rating, ..)| rating.memory.len() <= 1_024));
    }
}

#[test]
fn a_queue_that_changed_its_lists_goes_on() {
    let season = season(5, 300, 12);
    let replay = after(&season);
    let more = QueueShape { maps: vec!["dust".to_owned(), "ice".to_owned(), "new".to_owned()], ..shape() };
    let other = Replay {
        engine: Adaptive::configure(&more, Parameters::default()).unwrap(),
        memory: replay.memory.clone(),
        players: replay.players.clone(),
    };
    let contest = filled(&replay, &season[299]);
    let update = rated(&other, &contest);
    assert!(update.memory.len() > replay.memory.len());
    assert!(update.ratings.iter().all(|rating| rating.mean.is_finite()));
    let garbage = Replay { engine: engine(), memory: vec![0xff; 333], players: replay.players.clone() };
    assert!(rated(&garbage, &contest).ratings.iter().all(|rating| rating.mean.is_finite()));
}

#[test]
fn a_season_keeps_all_or_nothing_or_a_share() {
    let season = season(1, 400, 13);
    let replay = after(&season);
    let (known, ..) = &replay.players["p39"];
    let (all, nothing, half) = (replay.engine.soften(known, 1.0), replay.engine.soften(known, 0.0), replay.engine.soften(known, 0.5));
    assert_eq!(&all, known);
    assert_eq!(nothing, replay.engine.initial());
    assert!(nothing.mean < half.mean && half.mean < known.mean, "{half:?}");
    assert!(known.uncertainty < half.uncertainty && half.uncertainty < nothing.uncertainty);
    assert!((replay.engine.visible(known) - (known.mean - 3.0 * known.uncertainty)).abs() < 1e-12);
}

#[test]
fn ratings_beyond_all_measure_are_refused() {
    let season = season(1, 1, 14);
    let replay = Replay::new(engine());
    let mut contest = filled(&replay, &season[0]);
    contest.line_up.entrants[0].rating.mean = 1e12;
    let mut update = Update::before(&contest, Vec::new());
    assert_eq!(replay.engine.rate(&contest, &mut update), Err(Fault::OutOfRange));
}

/// A contest of bare names between teams of one.
fn singles(ranks: &[u32], number: i64) -> Line {
    Line {
        ts: 1_700_000_000 + 3_600 * number,
        teams: (0..ranks.len()).map(|team| vec![format!("p{team}")]).collect(),
        ranks: ranks.to_vec(),
        scores: Vec::new(),
        stats: [].into(),
        presence: Vec::new(),
        meta: Meta::default(),
    }
}

// Who was there for next to nothing must not divide anything by next to nothing, in this contest or a later one.
#[test]
fn presence_of_next_to_nothing_spoils_no_queue() {
    for presence in [1e-2, 1e-6, 1e-20, 1e-45, 1e-100, 1e-155, 1e-300] {
        for ranks in [&[0, 1][..], &[0, 1, 2]] {
            let season = season(1, 60, 20);
            let mut replay = after(&season);
            for round in 0..8 {
                let line = singles(ranks, 1_000 + round);
                let mut contest = history::contest(&QueueShape::default(), &line);
                replay.fill(&line, &mut contest);
                for (index, entrant) in contest.line_up.entrants.iter_mut().enumerate() {
                    entrant.contests = 1_000 * index as u32;
                    entrant.presence = if round < 4 { presence } else { 1.0 };
                }
                replay.rate(&line, &contest);
                assert!(replay.players.values().all(|(rating, ..)| rating.mean.abs() < 200.0), "{presence}: {:?}", replay.players);
            }
            let probability = predicted(&replay, &filled(&replay, &season[59]))[0];
            assert!((0.01..0.99).contains(&probability), "{presence}: {probability}");
        }
    }
}

#[test]
fn a_lie_in_the_first_reports_of_a_queue_is_soon_forgotten() {
    let season = season(5, 900, 9);
    let honest = after(&season);
    for (at, trust, scores) in
        [(0, 1.0, [1e9, 0.0]), (0, 1e-3, [1e9, 0.0]), (4, 1.0, [1e9, 0.0]), (0, 1.0, [1e-9, 0.0]), (0, 1.0, [1e300, -1e300])]
    {
        let mut replay = Replay::new(engine());
        for (number, line) in season.iter().enumerate() {
            let mut contest = filled(&replay, line);
            if number == at {
                (contest.scores, contest.trust) = (scores.to_vec(), trust);
            }
            replay.rate(line, &contest);
        }
        let mut apart: f64 = 0.0;
        for line in &season[800..] {
            let contest = filled(&honest, line);
            apart = apart.max((predicted(&replay, &filled(&replay, line))[0] - predicted(&honest, &contest)[0]).abs());
        }
        assert!(apart < 0.03, "{scores:?} at {at}: {apart}");
    }
}

#[test]
fn scores_and_statistics_beyond_all_measure_stay_finite() {
    let season = season(5, 60, 21);
    let mut replay = Replay::new(engine());
    for line in &season {
        let mut contest = filled(&replay, line);
        contest.scores = vec![f64::MAX, -f64::MAX];
        for (index, entrant) in contest.line_up.entrants.iter_mut().enumerate() {
            for stat in &mut entrant.stats {
                stat.value = if index % 2 == 0 { f64::MAX } else { -f64::MAX };
            }
        }
        replay.rate(line, &contest);
        assert!(replay.players.values().all(|(rating, ..)| rating.mean.is_finite() && rating.uncertainty.is_finite()));
    }
}

/// A contest of the season without its scores.
fn without_scores(replay: &Replay<Adaptive>, line: &Line) -> Contest {
    let mut contest = filled(replay, line);
    contest.scores.clear();
    contest
}

/// Eight of the season's players, each for himself, placed by kills.
fn free_for_all(line: &Line) -> Line {
    let kills: Vec<f64> = line.stats["kills"].iter().flatten().copied().take(8).collect();
    let ranks = kills.iter().map(|own| kills.iter().filter(|other| *other > own).count() as u32).collect();
    let column = |name: &str| line.stats[name].iter().flatten().take(8).map(|value| vec![*value]).collect();
    Line {
        ts: line.ts,
        teams: line.teams.iter().flatten().take(8).map(|name| vec![name.clone()]).collect(),
        ranks,
        scores: Vec::new(),
        stats: ["kills", "deaths", "assists"].into_iter().map(|name| (name.to_owned(), column(name))).collect(),
        presence: Vec::new(),
        meta: Meta { mode: "bomb".to_owned(), map: "dust".to_owned(), neutral: Some(true) },
    }
}

// Where nobody reports scores the margin is made of the same lines, and it is honest against fabricated that counts.
#[test]
fn without_scores_any_two_lines_of_a_settled_player_are_a_fifth_of_his_uncertainty_apart_at_most() {
    for teams in ["1v1", "5v5", "free for all"] {
        let size = if teams == "1v1" { 1 } else { 5 };
        let mut season = season(size, 1_500 / size as u64, 7);
        if teams == "free for all" {
            season = season.iter().map(free_for_all).collect();
        }
        let mut replay = Replay::new(engine());
        for line in &season {
            let contest = without_scores(&replay, line);
            replay.rate(line, &contest);
        }
        let mut worst: f64 = 0.0;
        for line in season.iter().rev().take(20) {
            let honest = without_scores(&replay, line);
            for liar in 0..honest.line_up.entrants.len() {
                let mut told = vec![rated(&replay, &honest)];
                for (kills, deaths) in [(100.0, 0.0), (0.0, 100.0), (100.0, 100.0), (1e9, -1e9)] {
                    let mut lie = honest.clone();
                    let stats = &mut lie.line_up.entrants[liar].stats;
                    *stats = vec![StatValue { index: 0, value: kills }, StatValue { index: 1, value: deaths }];
                    told.push(rated(&replay, &lie));
                }
                for (index, entrant) in honest.line_up.entrants.iter().enumerate() {
                    let means = told.iter().map(|update| update.ratings[index].mean);
                    let (least, most) = (means.clone().fold(f64::MAX, f64::min), means.fold(f64::MIN, f64::max));
                    let apart = (most - least) / told[0].ratings[index].uncertainty.min(entrant.rating.uncertainty);
                    worst = worst.max(apart);
                }
            }
        }
        assert!(worst <= 0.2, "{teams}: {worst}");
    }
}

#[test]
fn reports_without_scores_count_beside_reports_with_scores_in_thousands() {
    let season = season(5, 900, 22);
    let mut replay = Replay::new(engine());
    for (number, line) in season.iter().enumerate() {
        let mut contest = filled(&replay, line);
        contest.scores.iter_mut().for_each(|score| *score *= 1e3);
        if number % 10 == 0 {
            contest.scores.clear();
        }
        replay.rate(line, &contest);
    }
    let line = &season[899];
    let (contest, winner) = (without_scores(&replay, line), if line.ranks[0] == 0 { 0..5 } else { 5..10 });
    let gain = |contest: &Contest| moves(contest, &rated(&replay, contest))[winner.clone()].iter().sum::<f64>();
    let (told, untold) = (gain(&contest), gain(&bare(&contest)));
    assert!(told > 0.5 * untold && untold > 0.0, "{told} against {untold}");
}

#[test]
fn a_memory_that_makes_no_sense_heals_and_is_predicted_from_as_it_is_rated_from() {
    let season = season(5, 300, 23);
    let sound = after(&season);
    // The head: contests, slope, experience, size, weights and spreads.
    for at in 4..24 {
        for poison in [f32::NAN, f32::INFINITY, -1e30, 1e30] {
            let mut replay = Replay { engine: engine(), memory: sound.memory.clone(), players: sound.players.clone() };
            replay.memory[4 * at..4 * at + 4].copy_from_slice(&poison.to_le_bytes());
            for line in &season[290..] {
                let contest = filled(&replay, line);
                assert!((0.0..=1.0).contains(&predicted(&replay, &contest)[0]), "{poison} at {at}");
                replay.rate(line, &contest);
            }
            assert!(replay.players.values().all(|(rating, ..)| rating.mean.abs() < 200.0), "{poison} at {at}");
        }
    }
    let more = QueueShape { maps: vec!["dust".to_owned(), "ice".to_owned(), "new".to_owned()], ..shape() };
    let other = Adaptive::configure(&more, Parameters::default()).unwrap();
    let contest = filled(&sound, &season[299]);
    let mut stronger = contest.line_up.clone();
    for entrant in &mut stronger.entrants {
        entrant.stats.clear();
        entrant.contests = if entrant.team == 0 { 5_000 } else { 0 };
    }
    let predict = |memory: &[u8]| {
        let mut pairs = Vec::new();
        other.predict(&stronger, memory, &mut pairs).unwrap();
        pairs[0]
    };
    assert_ne!(predict(&sound.memory), predict(&[]), "what was learned of all maps is kept");
}
