//! The role of a rating engine: beliefs about skill, one contest at a time.
//!
//! An engine writes `rate` once, for one contest. The live call and the bulk interface that replays use both end in it, so
//! that they cannot disagree. Before an engine is asked, the shape has been checked: at least two teams, no empty team,
//! finite ratings with an uncertainty above zero.

use crate::{FlatEngine, Plugin};

/// Belief about one player, on the engine's own scale.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rating {
    /// Expected skill. Finite.
    pub mean: f64,
    /// Standard deviation of the belief. Finite, above zero.
    pub uncertainty: f64,
    /// What else the engine remembers of the player. At most 1 KiB; most engines leave it empty.
    pub memory: Vec<u8>,
}

impl Rating {
    /// A belief without memory.
    pub fn new(mean: f64, uncertainty: f64) -> Self {
        Rating { mean, uncertainty, memory: Vec::new() }
    }
}

/// One accepted statistic: inside its bounds, finite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StatValue {
    /// Which statistic: index into the names of [`QueueShape`](crate::QueueShape).
    pub index: u16,
    /// Its value.
    pub value: f64,
}

/// One player in one contest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entrant {
    /// What was known before the contest.
    pub rating: Rating,
    /// Team, counted from 0.
    pub team: u16,
    /// Contests rated before this one.
    pub contests: u32,
    /// Seconds since the previous rated contest; 0 for the first.
    pub idle_s: u64,
    /// Share of the contest that the player was present for, 0 to 1. In a line-up that is yet to play: what is expected.
    pub presence: f64,
    /// Accepted statistics; empty before the contest.
    pub stats: Vec<StatValue>,
}

/// What is known before a contest starts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Setting {
    /// Unix seconds; may be negative (imported history).
    pub at_s: i64,
    /// Index of the map, where known.
    pub map: Option<u16>,
    /// Index of the mode, where known.
    pub mode: Option<u16>,
    /// Index of the side of each team, `None` where unknown; empty where sides mean nothing.
    pub sides: Vec<Option<u16>>,
}

/// Who meets whom, and where.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LineUp {
    /// Every player of every team, in the order in which the host numbers them.
    pub entrants: Vec<Entrant>,
    /// Map, mode, sides, time.
    pub setting: Setting,
    /// Players per team, as counted by [`Self::check`].
    pub(crate) team_sizes: Vec<u32>,
}

impl LineUp {
    /// A line-up of entrants in a setting, with the teams that the entrants name.
    pub fn new(entrants: Vec<Entrant>, setting: Setting) -> Self {
        let team_count = entrants.iter().map(|entrant| usize::from(entrant.team) + 1).max().unwrap_or(0);
        let mut line_up = LineUp { entrants, setting, team_sizes: Vec::new() };
        line_up.count_teams(team_count);
        line_up
    }

    /// Number of teams.
    pub fn team_count(&self) -> usize {
        self.team_sizes.len()
    }

    /// Number of players in a team.
    pub fn team_size(&self, team: usize) -> u32 {
        self.team_sizes[team]
    }

    /// Number of pairs of teams, k(k-1)/2 for k teams: the length of a prediction.
    pub fn pair_count(&self) -> usize {
        let teams = self.team_count();
        teams * teams.saturating_sub(1) / 2
    }

    /// Counts the players of `team_count` teams; entrants of teams beyond are left out and found by [`Self::check`].
    pub(crate) fn count_teams(&mut self, team_count: usize) {
        self.team_sizes.clear();
        self.team_sizes.resize(team_count, 0);
        for entrant in &self.entrants {
            if let Some(size) = self.team_sizes.get_mut(usize::from(entrant.team)) {
                *size += 1;
            }
        }
    }

    /// What no engine can express is refused here, once for all engines.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        let team_count = self.team_count();
        if team_count < 2 || self.team_sizes.contains(&0) {
            return Err(Fault::UnsupportedShape);
        }
        for Entrant { rating, team, presence, .. } in &self.entrants {
            if usize::from(*team) >= team_count {
                return Err(Fault::UnsupportedShape);
            }
            let belief = rating.mean.is_finite() && rating.uncertainty.is_finite() && rating.uncertainty > 0.0;
            if !belief || !(0.0..=1.0).contains(presence) {
                return Err(Fault::OutOfRange);
            }
        }
        Ok(())
    }
}

/// One finished contest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Contest {
    /// Who met whom.
    pub line_up: LineUp,
    /// Place per team, 0 is best, equal places are a draw.
    pub places: Vec<u16>,
    /// Score per team, or empty.
    pub scores: Vec<f64>,
    /// Accepted contest-wide statistics.
    pub totals: Vec<StatValue>,
    /// How far the host trusts this result, 0 to 1.
    pub trust: f64,
}

/// What a contest changes.
///
/// Handed to [`RatingEngine::rate`] as a copy of what was known before; the engine overwrites what changes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Update {
    /// Ratings in the order of the entrants.
    pub ratings: Vec<Rating>,
    /// What the engine remembers of the whole queue; empty before the first contest. At most 64 KiB.
    pub memory: Vec<u8>,
}

impl Update {
    /// The state before `contest`: the ratings of its entrants and the memory of the queue.
    pub fn before(contest: &Contest, memory: Vec<u8>) -> Self {
        let ratings = contest.line_up.entrants.iter().map(|entrant| entrant.rating.clone()).collect();
        Update { ratings, memory }
    }
}

/// Why an engine cannot rate a contest or predict a line-up. The host keeps the report and shows the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Fewer than two teams, an empty team, or a shape the engine cannot express.
    UnsupportedShape,
    /// An input is outside what the engine can express.
    OutOfRange,
}

/// A rating engine.
///
/// Every method is pure: the host may call it again and compare bits.
pub trait RatingEngine: Plugin {
    /// Belief about a player never seen.
    fn initial(&self) -> Rating;

    /// Rates one finished contest by overwriting what changes in `update`.
    ///
    /// # Errors
    /// The contest is outside what the engine can express; `update` is then thrown away.
    fn rate(&self, contest: &Contest, update: &mut Update) -> Result<(), Fault>;

    /// Appends to `pairs`, which is empty, for each pair of teams i < j in the order (0,1), (0,2), .. (1,2), ..: the
    /// probability that i places before j plus half the probability of a draw. `memory` is that of the queue.
    ///
    /// # Errors
    /// The line-up is outside what the engine can express.
    fn predict(&self, line_up: &LineUp, memory: &[u8], pairs: &mut Vec<f64>) -> Result<(), Fault>;

    /// Season reset: keeps share `keep` of what is known about a player. Between 0 and 1: the glue answers both ends, with
    /// [`initial`](RatingEngine::initial) and with the rating as it is.
    fn soften(&self, rating: &Rating, keep: f64) -> Rating;

    /// The number that people see.
    fn visible(&self, rating: &Rating) -> f64;

    /// The short way for bulk calls, for engines that have one; see [`FlatEngine`].
    fn flat(&self) -> Option<&dyn FlatEngine> {
        None
    }
}
