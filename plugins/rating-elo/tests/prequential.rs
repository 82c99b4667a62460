//! Real history: every contest is predicted before it is rated, and the predictions are scored.
//!
//! The score is the one of the plugin contract: per contest the mean over its pairs of teams, then the mean over contests, counted over
//! the second half of the file while ratings run through all of it. `cargo test -p rating-elo --release --test prequential --
//! --nocapture` prints it. The defaults were chosen on these files (score counted from 30 % on): these are in-sample figures.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::collections::HashMap;
use std::io::Read;

use plugin_sdk::{Contest, Entrant, LineUp, Plugin, QueueShape, Rating, RatingEngine, Setting, Update};
use rating_elo::{Elo, Parameters};

const HISTORIES: [&str; 4] = ["halo2_h2h", "halo2_teams", "football_intl", "f1_races"];

fn history(name: &str) -> Vec<serde_json::Value> {
    let path = format!("{}/../../../shared/datasets/{name}.ndjson.gz", env!("CARGO_MANIFEST_DIR"));
    let packed = std::fs::File::open(&path).unwrap_or_else(|error| panic!("the shared history is missing: {path}: {error}"));
    let mut text = String::new();
    flate2::read::GzDecoder::new(packed).read_to_string(&mut text).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A player's rating, how many contests he has behind him, and when the last one was.
type Player = (Rating, u32, i64);

fn line_up(engine: &Elo, players: &HashMap<String, Player>, teams: &[Vec<String>], at_s: i64) -> LineUp {
    let entrant = |team: usize, name: &String| {
        let (rating, contests, last_at_s) = players.get(name).cloned().unwrap_or_else(|| (engine.initial(), 0, at_s));
        let idle_s = u64::try_from(at_s - last_at_s).unwrap();
        Entrant { rating, team: u16::try_from(team).unwrap(), presence: 1.0, contests, idle_s, ..Entrant::default() }
    };
    let seats = teams.iter().enumerate().flat_map(|(team, names)| names.iter().map(move |name| (team, name)));
    LineUp::new(seats.map(|(team, name)| entrant(team, name)).collect(), Setting { at_s, ..Setting::default() })
}

/// Log loss of one contest.
fn loss(pairs: &[f64], places: &[u16]) -> f64 {
    let outcomes = (0..places.len()).flat_map(|i| (i + 1..places.len()).map(move |j| (places[i], places[j])));
    let one = |(&predicted, (first, second)): (&f64, (u16, u16))| {
        let share = if first < second { 1.0 } else { f64::from(u8::from(first == second)) * 0.5 };
        -(share * predicted.ln() + (1.0 - share) * (1.0 - predicted).ln())
    };
    pairs.iter().zip(outcomes).map(one).sum::<f64>() / pairs.len() as f64
}

/// Log loss, and in tenths of the prediction how often the favorite won (a draw half), beside what was predicted.
fn score(name: &str, parameters: Parameters) -> (f64, Vec<(f64, f64, f64)>) {
    let engine = Elo::configure(&QueueShape::default(), parameters).unwrap();
    let history = history(name);
    let mut players: HashMap<String, Player> = HashMap::new();
    let (mut total, mut contests, mut tenths) = (0.0, 0.0, vec![(0.0, 0.0, 0.0); 5]);
    for (index, entry) in history.iter().enumerate() {
        let teams: Vec<Vec<String>> = serde_json::from_value(entry["teams"].clone()).unwrap();
        let places: Vec<u16> = serde_json::from_value(entry["ranks"].clone()).unwrap();
        let at_s = entry["ts"].as_i64().unwrap();
        let line_up = line_up(&engine, &players, &teams, at_s);
        let mut pairs = Vec::new();
        engine.predict(&line_up, &[], &mut pairs).unwrap();
        if index >= history.len() / 2 {
            total += loss(&pairs, &places);
            contests += 1.0;
            if places.len() == 2 {
                let won = if places[0] == places[1] { 0.5 } else { f64::from(u8::from(places[0] < places[1])) };
                let (favorite, won) = if pairs[0] < 0.5 { (1.0 - pairs[0], 1.0 - won) } else { (pairs[0], won) };
                let tenth = &mut tenths[((favorite - 0.5) * 10.0) as usize];
                *tenth = (tenth.0 + 1.0, tenth.1 + favorite, tenth.2 + won);
            }
        }
        let contest = Contest { line_up, places, trust: 1.0, ..Contest::default() };
        let mut update = Update::before(&contest, Vec::new());
        engine.rate(&contest, &mut update).unwrap();
        for (name, rating) in teams.iter().flatten().zip(update.ratings) {
            let contests = players.get(name).map_or(0, |player| player.1);
            players.insert(name.clone(), (rating, contests + 1, at_s));
        }
    }
    (total / contests, tenths)
}

#[test]
fn every_shape_of_real_history_is_predicted_as_measured() {
    let chess = vec![(0, 40.0), (30, 20.0)];
    let measured = [
        ("default", Parameters::default(), [0.590_78, 0.663_01, 0.610_80, 0.663_73]),
        ("K of FIDE", Parameters { k_by_contests: chess, ..Parameters::default() }, [0.619_44, 0.667_07, 0.614_76, 0.662_42]),
        ("K of 32", Parameters { k: Some(32.0), ..Parameters::default() }, [0.626_84, 0.669_80, 0.613_42, 0.661_34]),
    ];
    for (shown, parameters, measured) in measured {
        for (name, expected) in HISTORIES.iter().zip(measured) {
            let (log_loss, _) = score(name, parameters.clone());
            println!("{shown}, {name}: {log_loss:.5}");
            assert!((log_loss - expected).abs() < 1.5e-5, "{shown}, {name}: {log_loss:.5}, measured {expected}");
        }
    }
}

#[test]
fn predictions_come_true_as_often_as_they_say() {
    for name in ["halo2_h2h", "football_intl"] {
        let (_, tenths) = score(name, Parameters::default());
        for (count, predicted, won) in tenths {
            println!("{name}: {count} contests, favorites predicted {:.3}, won {:.3}", predicted / count, won / count);
            // Four standard errors of a share, and 0.05 that the model may be wrong by.
            let allowed = 0.05 + 4.0 * (0.25 / count).sqrt();
            assert!((predicted - won).abs() / count < allowed, "{name}: {count} contests, {predicted} predicted, {won} won");
        }
    }
}
