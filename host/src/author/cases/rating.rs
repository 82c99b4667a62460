//! Cases of rating engines: who played whom, and what is believed afterwards.
//!
//! ```toml
//! [[rating]]
//! name = "an upset moves more than a win that everybody expected"
//! start.a = { mean = 30.0, uncertainty = 2.0, contests = 50 }   # whoever is not named starts as a stranger
//! play = ["b beat a 16-9"]                                      # one contest after another, as in `ranked plugin repl`
//! expect.b = { mean = 29.4, uncertainty = 7.1, visible = 8.1 }  # only what is written is compared
//! predict = { "a vs b" = 0.62 }                                 # asked after the last contest
//! tolerance = 0.1
//!
//! [[rating]]
//! name = "half the trust"
//! play = [{ result = "a,b beat c,d", trust = 0.5, at_s = 1_700_000_000, presence = { d = 0.5 }, stats = { a = { kills = 20 } } }]
//! expect.a = { mean = 25.8 }
//!
//! [[rating]]
//! name = "an engine for duels says so"
//! play = ["a,b beat c,d"]
//! declines = "unsupported-shape"
//! ```
//! A contest in full also takes `totals`, `map`, `mode` and `sides` (one name per team). `start` also takes `idle_s` and `memory`
//! (hexadecimal), and a case `queue_memory`: what the engine itself left there. Several pairs of teams are expected as a list.

use std::collections::{BTreeMap, BTreeSet};

use ladder::fault::PluginFault;
use ladder::queue::QueueShape;
use ladder::rating::{Contest, Rating, RatingEngine, Setting, Stat};
use ladder::time::UnixSeconds;

use super::compare::{Comparison, Mismatch};
use super::{CaseProblem, TOLERANCE_DEFAULT, index_of};
use crate::author::club::{Circumstances, Club, Member};
use crate::author::contest_line::{BadLine, parse_contest, parse_line_up};

/// One case.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RatingCase {
    /// What it shows, as a sentence.
    pub name: String,
    /// How far numbers may differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<f64>,
    /// What the engine remembers of the queue at first, in hexadecimal.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub queue_memory: String,
    /// Contests, one after another.
    pub play: Vec<Played>,
    /// The word with which the engine declines the last contest (and everything about it stays as it was).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub declines: Option<String>,
    /// Line-ups as `a,b vs c,d`, and the probabilities expected.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub predict: BTreeMap<String, Predicted>,
    /// Where players start who are no strangers.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub start: BTreeMap<String, Start>,
    /// What is expected of players in the end.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub expect: BTreeMap<String, Expected>,
}

/// What is known of a player at first; what is left out is a stranger's.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Start {
    /// Expected skill.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean: Option<f64>,
    /// Standard deviation of the belief.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uncertainty: Option<f64>,
    /// Contests rated before.
    pub contests: u32,
    /// Seconds since the last of them.
    pub idle_s: u64,
    /// What else the engine remembers, in hexadecimal.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub memory: String,
}

/// One contest: its line, or the line with more beside it.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(untagged)]
pub enum Played {
    /// `a,b beat c,d 16-9`.
    Line(String),
    /// With trust, presence, statistics.
    Full(PlayedCase),
}

/// A contest with everything that can be said about it.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlayedCase {
    /// `a,b beat c,d 16-9`.
    pub result: String,
    /// How far the host trusts it; 1 if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust: Option<f64>,
    /// When it ended, in Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_s: Option<i64>,
    /// Name of the map, or empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub map: String,
    /// Name of the mode, or empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mode: String,
    /// Name of the side of each team, or empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sides: Vec<String>,
    /// Share of the contest that players were present for; 1 where nothing is said.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub presence: BTreeMap<String, f64>,
    /// Contest-wide statistics by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub totals: BTreeMap<String, f64>,
    /// Statistics by player and name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub stats: BTreeMap<String, BTreeMap<String, f64>>,
}

/// Probabilities of a line-up: one for two teams, a list for more.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(untagged)]
pub enum Predicted {
    /// Two teams.
    One(f64),
    /// One per pair, in the order (0,1), (0,2), .. (1,2), ...
    Pairs(Vec<f64>),
}

/// What is expected of one player; what is left out is not compared.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Expected {
    /// Expected skill.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean: Option<f64>,
    /// Standard deviation of the belief.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uncertainty: Option<f64>,
    /// What people see.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub visible: Option<f64>,
}

impl RatingCase {
    /// Plays the case and compares.
    ///
    /// # Errors
    /// The case cannot be read, or the engine broke its contract.
    pub fn run(&self, shape: &QueueShape, engine: &dyn RatingEngine) -> Result<Vec<Mismatch>, CaseProblem> {
        let tolerance = self.tolerance.unwrap_or(TOLERANCE_DEFAULT);
        let mut comparison = Comparison::default();
        let mut club = self.assemble(engine)?;
        let last = self.play.len().saturating_sub(1);
        if self.declines.is_some() && self.play.is_empty() {
            return Err(CaseProblem::unusable("declines", "nothing is played that the engine could decline"));
        }
        let mut players: BTreeSet<String> = self.start.keys().cloned().collect();
        for (index, played) in self.play.iter().enumerate() {
            let place = format!("play[{index}]");
            let (line, known) = played.read(shape, &place)?;
            let line = parse_contest(line).map_err(|error| unreadable(&place, &error))?;
            players.extend(line.teams.iter().flatten().cloned());
            let played = club.play(engine, &line, &known);
            match (&self.declines, played) {
                (Some(word), Err(PluginFault::Declined { detail })) if index == last => {
                    comparison.equal("declines", &word.as_str(), &detail)
                }
                (Some(word), Ok(_)) if index == last => comparison.differs("declines", word, "a rating"),
                (_, played) => drop(played?),
            }
        }
        for (line, expected) in &self.predict {
            self.compare_prediction(&club, engine, line, expected, &mut comparison)?;
        }
        for (name, expected) in &self.expect {
            if !players.contains(name) {
                return Err(CaseProblem::unusable(format!("expect.{name}"), "nobody of this name plays"));
            }
            let got = club.member(name);
            let field = |what: &str| format!("{name}.{what}");
            if let Some(mean) = expected.mean {
                comparison.number(&field("mean"), mean, got.rating.mean, tolerance);
            }
            if let Some(uncertainty) = expected.uncertainty {
                comparison.number(&field("uncertainty"), uncertainty, got.rating.uncertainty, tolerance);
            }
            match (expected.visible, got.visible) {
                (Some(visible), Some(got)) => comparison.number(&field("visible"), visible, got, tolerance),
                (Some(visible), None) => comparison.differs(&field("visible"), visible.to_string(), "nothing: the player did not play"),
                (None, _) => {}
            }
        }
        Ok(comparison.mismatches)
    }

    fn assemble(&self, engine: &dyn RatingEngine) -> Result<Club, CaseProblem> {
        let mut club = Club::new(engine)?;
        club.set_memory(hex(&self.queue_memory, "queue_memory")?);
        for (name, start) in &self.start {
            let stranger = club.stranger().rating.clone();
            let memory = if start.memory.is_empty() { stranger.memory } else { hex(&start.memory, &format!("start.{name}.memory"))? };
            let (mean, uncertainty) = (start.mean.unwrap_or(stranger.mean), start.uncertainty.unwrap_or(stranger.uncertainty));
            let rating = Rating { mean, uncertainty, memory };
            if !rating.is_sound() {
                return Err(CaseProblem::unusable(format!("start.{name}"), "no rating: both numbers finite, uncertainty above 0"));
            }
            club.admit(name, Member { rating, visible: None, contests: start.contests, last_at: None, idle_s: Some(start.idle_s) });
        }
        Ok(club)
    }

    fn compare_prediction(
        &self,
        club: &Club,
        engine: &dyn RatingEngine,
        line: &str,
        expected: &Predicted,
        comparison: &mut Comparison,
    ) -> Result<(), CaseProblem> {
        let place = format!("predict.\"{line}\"");
        let teams = parse_line_up(line).map_err(|error| unreadable(&place, &error))?;
        let got = club.predict(engine, &teams, &Circumstances::default())?;
        let expected = match expected {
            Predicted::One(share) => std::slice::from_ref(share),
            Predicted::Pairs(shares) => shares,
        };
        if expected.len() != got.len() {
            return Err(CaseProblem::unusable(place, format!("{} probabilities for {} pairs of teams", expected.len(), got.len())));
        }
        for (pair, (expected, value)) in expected.iter().zip(&got).enumerate() {
            let field = if got.len() == 1 { place.clone() } else { format!("{place}[{pair}]") };
            comparison.number(&field, *expected, *value, self.tolerance.unwrap_or(TOLERANCE_DEFAULT));
        }
        Ok(())
    }
}

impl Played {
    /// The line, and what is known beside it.
    fn read(&self, shape: &QueueShape, place: &str) -> Result<(&str, Circumstances), CaseProblem> {
        match self {
            Self::Line(line) => Ok((line, Circumstances::default())),
            Self::Full(full) => Ok((&full.result, full.circumstances(shape, place)?)),
        }
    }
}

impl PlayedCase {
    fn circumstances(&self, shape: &QueueShape, place: &str) -> Result<Circumstances, CaseProblem> {
        let named = |names: &[String], name: &str, key: &str| match name {
            "" => Ok(None),
            name => index_of(names, name, &format!("{place}.{key}")).map(Some),
        };
        let share = |share: f64, key: &str| match (0.0..=1.0).contains(&share) {
            true => Ok(share),
            false => Err(CaseProblem::unusable(format!("{place}.{key}"), format!("{share} is not from 0 to 1"))),
        };
        let setting = Setting {
            at_s: UnixSeconds(self.at_s.unwrap_or_default()),
            map: named(&shape.maps, &self.map, "map")?,
            mode: named(&shape.modes, &self.mode, "mode")?,
            sides: self.sides.iter().map(|side| index_of(&shape.sides, side, &format!("{place}.sides"))).collect::<Result<_, _>>()?,
        };
        let listed = |names: &[String], values: &BTreeMap<String, f64>, key: &str| {
            let stat = |(name, &value): (&String, &f64)| Ok(Stat { index: index_of(names, name, &format!("{place}.{key}"))?, value });
            let mut stats = values.iter().map(stat).collect::<Result<Vec<_>, CaseProblem>>()?;
            stats.sort_unstable_by_key(|stat| stat.index);
            Ok::<_, CaseProblem>(stats)
        };
        let presence = self.presence.iter().map(|(name, &present)| Ok((name.clone(), share(present, "presence")?)));
        let stats = self.stats.iter().map(|(name, values)| Ok((name.clone(), listed(&shape.stats, values, "stats")?)));
        Ok(Circumstances {
            setting,
            trust: share(self.trust.unwrap_or(1.0), "trust")?,
            totals: listed(&shape.totals, &self.totals, "totals")?,
            presence: presence.collect::<Result<_, CaseProblem>>()?,
            stats: stats.collect::<Result<_, CaseProblem>>()?,
        })
    }
}

fn unreadable(place: &str, error: &BadLine) -> CaseProblem {
    CaseProblem::unusable(place, error.to_string())
}

fn hex(text: &str, place: &str) -> Result<Vec<u8>, CaseProblem> {
    let wrong = || CaseProblem::unusable(place, "not hexadecimal: two digits a byte");
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return Err(wrong());
    }
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).ok();
    (0..text.len()).step_by(2).map(byte).collect::<Option<_>>().ok_or_else(wrong)
}

impl RatingCase {
    /// A contest as a case that plays it again: what `ranked plugin check` shows of a failure.
    #[must_use]
    pub fn of(name: &str, shape: &QueueShape, queue_memory: &[u8], contest: &Contest) -> Self {
        let mut case = Self { name: name.to_owned(), queue_memory: to_hex(queue_memory), ..Self::default() };
        let (mut teams, mut full) = (vec![Vec::new(); contest.places.len()], PlayedCase::default());
        let named = |names: &[String], stats: &[Stat]| -> BTreeMap<String, f64> {
            let name = |index: u16| names.get(usize::from(index)).cloned().unwrap_or_else(|| format!("unknown-{index}"));
            stats.iter().map(|stat| (name(stat.index), stat.value)).collect()
        };
        for (index, entrant) in contest.entrants.iter().enumerate() {
            let player = format!("p{}", index + 1);
            let Rating { mean, uncertainty, memory } = &entrant.rating;
            let (mean, uncertainty) = (Some(*mean), Some(*uncertainty));
            let start = Start { mean, uncertainty, contests: entrant.contests, idle_s: entrant.idle_s, memory: to_hex(memory) };
            case.start.insert(player.clone(), start);
            if entrant.presence != 1.0 {
                full.presence.insert(player.clone(), entrant.presence);
            }
            if !entrant.stats.is_empty() {
                full.stats.insert(player.clone(), named(&shape.stats, &entrant.stats));
            }
            if let Some(team) = teams.get_mut(usize::from(entrant.team)) {
                team.push(player);
            }
        }
        let name =
            |names: &[String], index: Option<u16>| index.and_then(|index| names.get(usize::from(index)).cloned()).unwrap_or_default();
        let Setting { at_s, map, mode, sides } = &contest.setting;
        full.result = result_line(&teams, &contest.places, &contest.scores);
        full.trust = (contest.trust != 1.0).then_some(contest.trust);
        full.at_s = (at_s.0 != 0).then_some(at_s.0);
        (full.map, full.mode) = (name(&shape.maps, *map), name(&shape.modes, *mode));
        // In the order of the teams of `result`.
        full.sides =
            ordered(&contest.places).iter().filter_map(|&team| sides.get(team)).map(|&side| name(&shape.sides, Some(side))).collect();
        full.totals = named(&shape.totals, &contest.totals);
        let plain = PlayedCase { result: full.result.clone(), ..PlayedCase::default() };
        case.play.push(if full == plain { Played::Line(full.result) } else { Played::Full(full) });
        case
    }
}

/// Teams by place; equal ones in their order.
fn ordered(places: &[u16]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_by_key(|&team| places[team]);
    order
}

fn result_line(teams: &[Vec<String>], places: &[u16], scores: &[f64]) -> String {
    let (mut line, mut place_before) = (String::new(), None);
    for &team in &ordered(places) {
        line.push_str(match place_before {
            None => "",
            Some(before) if before == places[team] => " = ",
            Some(_) => " > ",
        });
        place_before = Some(places[team]);
        line.push_str(&teams[team].join(","));
    }
    let scores: Vec<_> = ordered(places).iter().filter_map(|&team| scores.get(team)).map(ToString::to_string).collect();
    // A negative score cannot be typed in a line.
    if !scores.is_empty() && !scores.iter().any(|score| score.starts_with('-')) {
        line.push(' ');
        line.push_str(&scores.join("-"));
    }
    line
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
