//! Match history as a file: one contest a line, JSON, perhaps gzipped. Nothing of it is believed more than a game server's report.
//!
//! ```text
//! {"ts":1091816030,"id":"h281884","teams":[["a"],["b"]],"ranks":[1,0],"scores":[4,8],"stats":{"kills":[[4],[8]]},"meta":{"mode":"Slayer"}}
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use ladder::id::{MatchId, PlayerId, ReportId};
use ladder::queue::QueueShape;
use ladder::report::{ClaimedPlayer, ClaimedReport, ClaimedTeam};
use sha2::{Digest as _, Sha256};

use crate::config::NAMES_MAX;

/// Longest line that is read, in bytes.
const LINE_BYTES_MAX: u64 = 1 << 20;
/// Longest player name, in bytes.
const PLAYER_NAME_LEN_MAX: usize = 128;
/// Sides of a contest with a home team, in the order of the teams.
pub(crate) const SIDES: [&str; 2] = ["home", "away"];

/// One line of the file.
#[derive(serde::Deserialize)]
pub(crate) struct Line {
    /// Unix seconds; may be negative.
    pub(crate) ts: i64,
    pub(crate) id: String,
    pub(crate) teams: Vec<Vec<String>>,
    /// Place per team, lower is better.
    pub(crate) ranks: Vec<u32>,
    #[serde(default)]
    pub(crate) scores: Vec<f64>,
    /// Per statistic, per team, per player.
    #[serde(default)]
    pub(crate) stats: BTreeMap<String, Vec<Vec<f64>>>,
    #[serde(default)]
    pub(crate) meta: Meta,
}

#[derive(Default, serde::Deserialize)]
pub(crate) struct Meta {
    #[serde(default)]
    pub(crate) mode: String,
    #[serde(default)]
    pub(crate) map: String,
    /// Seconds.
    #[serde(default)]
    pub(crate) duration: f64,
    /// `Some(false)`: the first team plays at home.
    pub(crate) neutral: Option<bool>,
}

/// Why a line is left out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadLine {
    #[error("it is no contest: {0}")]
    Json(#[from] serde_json::Error),
    #[error("it is longer than {LINE_BYTES_MAX} bytes")]
    TooLong,
    #[error("{teams} teams and {ranks} ranks")]
    Ranks { teams: usize, ranks: usize },
    #[error("{teams} teams and {scores} scores")]
    Scores { teams: usize, scores: usize },
    #[error("a player name is empty, longer than {PLAYER_NAME_LEN_MAX} bytes, or holds control characters")]
    Name,
    #[error("statistic `{stat}` does not have one value for each player")]
    Stat { stat: String },
}

impl Line {
    /// Reads one line and checks that its lists fit each other.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, BadLine> {
        let line: Self = serde_json::from_slice(text)?;
        let teams = line.teams.len();
        if line.ranks.len() != teams {
            return Err(BadLine::Ranks { teams, ranks: line.ranks.len() });
        }
        if !line.scores.is_empty() && line.scores.len() != teams {
            return Err(BadLine::Scores { teams, scores: line.scores.len() });
        }
        let usable = |name: &String| (1..=PLAYER_NAME_LEN_MAX).contains(&name.len()) && !name.chars().any(char::is_control);
        if !line.players().all(usable) {
            return Err(BadLine::Name);
        }
        for (stat, values) in &line.stats {
            let fits = values.len() == teams && values.iter().zip(&line.teams).all(|(values, team)| values.len() == team.len());
            if !fits {
                return Err(BadLine::Stat { stat: stat.clone() });
            }
        }
        Ok(line)
    }

    pub(crate) fn players(&self) -> impl Iterator<Item = &String> {
        self.teams.iter().flatten()
    }

    /// The same claim that a game server would make. `players` are the numbers of the players, in the order of the line.
    pub(crate) fn to_claim(&self, shape: &QueueShape, players: &[PlayerId]) -> ClaimedReport {
        let mut players = players.iter().copied();
        let teams = self.teams.iter().enumerate().map(|(team, names)| ClaimedTeam {
            // Ranks of any scale become places: how many teams are strictly better.
            place: u32::try_from(self.ranks.iter().filter(|rank| **rank < self.ranks[team]).count()).unwrap_or(u32::MAX),
            score: self.scores.get(team).copied(),
            side: self.side(team).to_owned(),
            players: (0..names.len())
                .zip(&mut players)
                .map(|(position, player)| ClaimedPlayer { player, stats: self.stats_of(shape, team, position), presence: 1.0 })
                .collect(),
        });
        let teams = teams.collect();
        ClaimedReport {
            report_id: self.report_id(&shape.queue),
            // Imported contests are no matches of this host: check_roster does not look at it and the report does not keep it.
            match_id: MatchId(0),
            duration_s: self.meta.duration.clamp(0.0, f64::from(u32::MAX)) as u32,
            teams,
            totals: Vec::new(),
            map: self.meta.map.clone(),
            mode: self.meta.mode.clone(),
        }
    }

    fn side(&self, team: usize) -> &'static str {
        if self.meta.neutral == Some(false) { SIDES.get(team).copied().unwrap_or("") } else { "" }
    }

    /// All of the queue's statistics, or none.
    fn stats_of(&self, shape: &QueueShape, team: usize, player: usize) -> Vec<f64> {
        let value = |name: &String| self.stats.get(name).and_then(|values| values.get(team)?.get(player).copied());
        shape.stats.iter().map(value).collect::<Option<_>>().unwrap_or_default()
    }

    /// The same line in the same queue is the same report: importing twice changes nothing.
    fn report_id(&self, queue: &str) -> ReportId {
        let mut hash = Sha256::new_with_prefix(b"RankedServer/2 import\0");
        for part in [queue, &self.id] {
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(part.as_bytes());
        }
        let digest: [u8; 32] = hash.finalize().into();
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        ReportId(id)
    }
}

/// The lines of a file, with their numbers from 1. Empty lines are passed over.
pub(crate) struct Lines {
    reader: BufReader<Box<dyn Read>>,
    number: u64,
}

impl Lines {
    pub(crate) fn open(path: &Path) -> std::io::Result<Self> {
        let file = File::open(path)?;
        let gzipped = path.extension().is_some_and(|extension| extension == "gz");
        let reader: Box<dyn Read> = if gzipped { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
        Ok(Self { reader: BufReader::with_capacity(1 << 16, reader), number: 0 })
    }

    /// The next line; the outer error is the file's and final.
    pub(crate) fn next(&mut self) -> std::io::Result<Option<(u64, Result<Line, BadLine>)>> {
        let mut text = Vec::new();
        loop {
            text.clear();
            let read = self.reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut text)?;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            if text.len() as u64 == LINE_BYTES_MAX && text.last() != Some(&b'\n') {
                self.skip_line()?;
                return Ok(Some((self.number, Err(BadLine::TooLong))));
            }
            if !text.trim_ascii().is_empty() {
                return Ok(Some((self.number, Line::parse(&text))));
            }
        }
    }

    fn skip_line(&mut self) -> std::io::Result<()> {
        loop {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                return Ok(());
            }
            let (used, found) = match buffer.iter().position(|byte| *byte == b'\n') {
                Some(end) => (end + 1, true),
                None => (buffer.len(), false),
            };
            self.reader.consume(used);
            if found {
                return Ok(());
            }
        }
    }
}

/// The queue that the lines of a file have in common.
#[derive(Default)]
pub(crate) struct FoundShape {
    /// Players per team, the most that any line has.
    pub(crate) team_sizes: Vec<usize>,
    stats: Option<BTreeSet<String>>,
    maps: BTreeSet<String>,
    modes: BTreeSet<String>,
    sides: bool,
}

impl FoundShape {
    /// Looks at one more line.
    pub(crate) fn take_in(&mut self, line: &Line) {
        for (team, players) in line.teams.iter().enumerate() {
            match self.team_sizes.get_mut(team) {
                Some(size) => *size = players.len().max(*size),
                None => self.team_sizes.push(players.len()),
            }
        }
        let stats: BTreeSet<_> = line.stats.keys().cloned().collect();
        // Only what every line has: a report holds all statistics of its queue or none.
        self.stats = Some(match self.stats.take() {
            Some(before) => before.intersection(&stats).cloned().collect(),
            None => stats,
        });
        for (names, name) in [(&mut self.maps, &line.meta.map), (&mut self.modes, &line.meta.mode)] {
            if !name.is_empty() && names.len() < NAMES_MAX {
                names.insert(name.clone());
            }
        }
        self.sides |= line.meta.neutral == Some(false);
    }

    /// The shape of a queue of this name.
    pub(crate) fn shape(self, queue: &str) -> QueueShape {
        let count = |size: usize| u16::try_from(size).unwrap_or(u16::MAX);
        let sides = if self.sides { SIDES.map(str::to_owned).to_vec() } else { Vec::new() };
        QueueShape {
            queue: queue.to_owned(),
            teams: count(self.team_sizes.len()),
            team_sizes: self.team_sizes.iter().copied().map(count).collect(),
            stats: self.stats.into_iter().flatten().collect(),
            regions: vec!["any".to_owned()],
            maps: self.maps.into_iter().collect(),
            modes: self.modes.into_iter().collect(),
            sides,
            ..QueueShape::default()
        }
    }
}

#[cfg(test)]
#[allow(clippy::expect_used)]
mod tests {
    use super::*;

    const LINE: &[u8] = br#"{"ts":-5,"id":"x","teams":[["a","b"],["c"]],"ranks":[3,1],"scores":[1,2],
        "stats":{"kills":[[1,2],[3]]},"meta":{"mode":"Slayer","duration":60,"neutral":false,"car":["z"]}}"#;

    fn shape(stats: &[&str]) -> QueueShape {
        QueueShape { queue: "q".to_owned(), stats: stats.iter().map(|stat| (*stat).to_owned()).collect(), ..QueueShape::default() }
    }

    #[test]
    fn a_line_becomes_the_claim_of_a_game_server() {
        let line = Line::parse(LINE).expect("a sound line");
        let claim = line.to_claim(&shape(&["kills"]), &[PlayerId(1), PlayerId(2), PlayerId(3)]);
        let places: Vec<_> = claim.teams.iter().map(|team| (team.place, team.side.as_str())).collect();
        assert_eq!(places, [(1, "home"), (0, "away")]);
        assert_eq!(claim.teams[0].players[1].stats, [2.0]);
        assert_eq!((claim.mode.as_str(), claim.duration_s), ("Slayer", 60));
        let unknown = line.to_claim(&shape(&["kills", "assists"]), &[PlayerId(1), PlayerId(2), PlayerId(3)]);
        assert!(unknown.teams[0].players[1].stats.is_empty(), "all statistics or none");
    }

    #[test]
    fn the_same_line_is_the_same_report_in_its_queue_only() {
        let line = Line::parse(LINE).expect("a sound line");
        assert_eq!(line.report_id("q"), line.report_id("q"));
        assert_ne!(line.report_id("q"), line.report_id("r"));
    }

    #[test]
    fn lines_that_do_not_fit_are_refused() {
        for (name, text) in [
            ("no json", "nonsense"),
            ("ranks", r#"{"ts":1,"id":"x","teams":[["a"],["b"]],"ranks":[0]}"#),
            ("scores", r#"{"ts":1,"id":"x","teams":[["a"],["b"]],"ranks":[0,1],"scores":[1]}"#),
            ("a name", r#"{"ts":1,"id":"x","teams":[["a"],[""]],"ranks":[0,1]}"#),
            ("a control character", r#"{"ts":1,"id":"x","teams":[["a"],["\u0007"]],"ranks":[0,1]}"#),
            ("stats", r#"{"ts":1,"id":"x","teams":[["a"],["b"]],"ranks":[0,1],"stats":{"kills":[[1],[]]}}"#),
            ("a negative rank", r#"{"ts":1,"id":"x","teams":[["a"],["b"]],"ranks":[0,-1]}"#),
        ] {
            assert!(Line::parse(text.as_bytes()).is_err(), "{name}");
        }
    }
}
