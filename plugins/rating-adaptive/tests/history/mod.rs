//! Real and made-up histories in the format of `ranked journal import`, and how well an engine predicts them.
//!
//! The score is the one of the plugin contract: per contest the mean over its pairs of teams, then the mean over contests,
//! counted from a split while ratings run through all of the file.
#![allow(missing_docs, clippy::unwrap_used, dead_code, unreachable_pub)]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Read;
use std::path::Path;

use plugin_sdk::{Contest, Entrant, LineUp, Plugin, QueueShape, Rating, RatingEngine, Setting, StatValue, Update};

#[derive(serde::Deserialize)]
pub struct Line {
    pub ts: i64,
    pub teams: Vec<Vec<String>>,
    pub ranks: Vec<u32>,
    #[serde(default)]
    pub scores: Vec<f64>,
    #[serde(default)]
    pub stats: BTreeMap<String, Vec<Vec<f64>>>,
    #[serde(default)]
    pub presence: Vec<Vec<f64>>,
    #[serde(default)]
    pub meta: Meta,
}

#[derive(Default, serde::Deserialize)]
pub struct Meta {
    #[serde(default)]
    pub mode: String,
    #[serde(default)]
    pub map: String,
    pub neutral: Option<bool>,
}

pub struct Score {
    pub log_loss: f64,
    pub from_the_start: f64,
    pub accuracy: f64,
}

/// The lines of a file, perhaps gzipped.
pub fn read(path: &Path) -> Vec<Line> {
    let packed = std::fs::read(path).unwrap_or_else(|error| panic!("the history is missing: {}: {error}", path.display()));
    let mut text = String::new();
    if path.extension().is_some_and(|extension| extension == "gz") {
        flate2::read::GzDecoder::new(packed.as_slice()).read_to_string(&mut text).unwrap();
    } else {
        text = String::from_utf8(packed).unwrap();
    }
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// One of the shared histories.
pub fn shared(name: &str) -> Vec<Line> {
    read(Path::new(&format!("{}/../../../shared/datasets/{name}.ndjson.gz", env!("CARGO_MANIFEST_DIR"))))
}

/// The queue that an import of the file would make.
pub fn shape(history: &[Line]) -> QueueShape {
    let names = |name: fn(&Line) -> &String| {
        let names: BTreeSet<&String> = history.iter().map(name).filter(|name| !name.is_empty()).collect();
        names.into_iter().cloned().collect::<Vec<String>>()
    };
    let mut stats: BTreeSet<String> = history.first().map(|line| line.stats.keys().cloned().collect()).unwrap_or_default();
    stats.retain(|stat| history.iter().all(|line| line.stats.contains_key(stat)));
    let sides = history.iter().any(|line| line.meta.neutral == Some(false));
    QueueShape {
        stats: stats.into_iter().collect(),
        maps: names(|line| &line.meta.map),
        modes: names(|line| &line.meta.mode),
        sides: if sides { vec!["home".to_owned(), "away".to_owned()] } else { Vec::new() },
        ..QueueShape::default()
    }
}

/// A line as a contest of the queue; ratings are filled in by whoever rates it.
pub fn contest(shape: &QueueShape, line: &Line) -> Contest {
    let mut entrants = Vec::new();
    for (team, players) in line.teams.iter().enumerate() {
        for position in 0..players.len() {
            let stats = shape.stats.iter().enumerate();
            entrants.push(Entrant {
                team: u16::try_from(team).unwrap(),
                presence: line.presence.get(team).map_or(1.0, |presence| presence[position]),
                stats: stats.map(|(index, stat)| StatValue { index: index as u16, value: line.stats[stat][team][position] }).collect(),
                ..Entrant::default()
            });
        }
    }
    let sides = if line.meta.neutral == Some(false) { vec![Some(0), Some(1)] } else { Vec::new() };
    let setting = Setting { at_s: line.ts, map: shape.map(&line.meta.map), mode: shape.mode(&line.meta.mode), sides };
    let places = line.ranks.iter().map(|rank| line.ranks.iter().filter(|other| *other < rank).count() as u16).collect();
    Contest { line_up: LineUp::new(entrants, setting), places, scores: line.scores.clone(), trust: 1.0, ..Contest::default() }
}

/// Ratings of a queue while a history runs through it.
pub struct Replay<E> {
    pub engine: E,
    pub memory: Vec<u8>,
    pub players: HashMap<String, (Rating, u32, i64)>,
}

impl<E: RatingEngine> Replay<E> {
    pub fn new(engine: E) -> Self {
        Replay { engine, memory: Vec::new(), players: HashMap::new() }
    }

    /// Puts what is known of the players into a contest.
    pub fn fill(&self, line: &Line, contest: &mut Contest) {
        for (entrant, player) in contest.line_up.entrants.iter_mut().zip(line.teams.iter().flatten()) {
            let known = self.players.get(player);
            let (rating, contests, last) = known.cloned().unwrap_or_else(|| (self.engine.initial(), 0, line.ts));
            entrant.rating = rating;
            entrant.contests = contests;
            entrant.idle_s = u64::try_from(line.ts - last).unwrap_or(0);
        }
    }

    /// What the engine expects of each pair of teams.
    pub fn predict(&self, contest: &Contest) -> Vec<f64> {
        let mut line_up = contest.line_up.clone();
        for entrant in &mut line_up.entrants {
            entrant.stats.clear();
            entrant.presence = 1.0;
        }
        let mut pairs = Vec::new();
        self.engine.predict(&line_up, &self.memory, &mut pairs).unwrap();
        pairs
    }

    pub fn rate(&mut self, line: &Line, contest: &Contest) {
        let mut update = Update::before(contest, std::mem::take(&mut self.memory));
        self.engine.rate(contest, &mut update).unwrap();
        for (player, rating) in line.teams.iter().flatten().zip(update.ratings) {
            let contests = self.players.get(player).map_or(0, |known| known.1) + 1;
            self.players.insert(player.clone(), (rating, contests, line.ts));
        }
        self.memory = update.memory;
    }
}

/// Predicts every contest before it is rated; scores those from the middle of the file on.
pub fn score<E>(history: &[Line], parameters: E::Parameters) -> (Score, Replay<E>)
where
    E: RatingEngine + Plugin,
{
    let shape = shape(history);
    let mut replay = Replay::new(E::configure(&shape, parameters).unwrap());
    let (mut late, mut all, mut right, mut decisive) = ((0.0, 0.0), (0.0, 0.0), 0.0, 0.0);
    for (index, line) in history.iter().enumerate() {
        let mut contest = contest(&shape, line);
        replay.fill(line, &mut contest);
        let pairs = replay.predict(&contest);
        let outcomes = (0..contest.places.len()).flat_map(|i| (i + 1..contest.places.len()).map(move |j| (i, j)));
        let mut loss = 0.0;
        for (&predicted, (i, j)) in pairs.iter().zip(outcomes) {
            let share: f64 = match contest.places[i].cmp(&contest.places[j]) {
                std::cmp::Ordering::Less => 1.0,
                std::cmp::Ordering::Equal => 0.5,
                std::cmp::Ordering::Greater => 0.0,
            };
            loss -= share * predicted.ln() + (1.0 - share) * (1.0 - predicted).ln();
            if index >= history.len() / 2 && share != 0.5 {
                decisive += 1.0;
                right += if predicted == 0.5 { 0.5 } else { f64::from(u8::from((predicted > 0.5) == (share > 0.5))) };
            }
        }
        loss /= pairs.len() as f64;
        all = (all.0 + loss, all.1 + 1.0);
        if index >= history.len() / 2 {
            late = (late.0 + loss, late.1 + 1.0);
        }
        replay.rate(line, &contest);
    }
    (Score { log_loss: late.0 / late.1, from_the_start: all.0 / all.1, accuracy: right / decisive }, replay)
}
