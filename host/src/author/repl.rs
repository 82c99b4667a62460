//! A prompt for rating engines: type who beat whom, see what the engine makes of it. One line in, one reply out; it reads no terminal itself.
//!
//! ```text
//! a,b beat c,d 16-9        a drew b        a > b = c        predict a,b vs c,d        show        undo        help        quit
//! ```

use ladder::fault::PluginFault;
use ladder::rating::RatingEngine;
use ladder::time::UnixSeconds;

use super::club::{Change, Circumstances, Club, Member};
use super::contest_line::{BadLine, ContestLine, parse_contest, parse_line_up};

/// What can be typed.
pub const HELP: &str = "\
a,b beat c,d 16-9     two teams, a score if you like
a drew b              a draw
a > b > c             each for themselves, best first; `=` between equals
predict a,b vs c,d    who would win
show                  everybody, best first
undo                  take the last contest back
help, quit";

/// Contests that can be taken back.
const UNDO_MAX: usize = 1_000;
/// Seconds between two contests: nobody types what time it is.
const CONTEST_EVERY_S: i64 = 3_600;
/// A day in 2023, in Unix seconds: when the first contest ends.
const FIRST_AT_S: i64 = 1_700_000_000;

/// An engine and the players at the prompt.
pub struct Repl<'a> {
    engine: &'a dyn RatingEngine,
    club: Club,
    /// The club before each contest, oldest first, with its line.
    before: Vec<(Club, String)>,
    played: i64,
}

/// What is answered to a line.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// An empty line, or one that is only a comment.
    Nothing,
    /// A contest was rated.
    Rated {
        /// What it did, player by player.
        changes: Vec<Change>,
        /// What was predicted before.
        predicted: Prediction,
        /// How surprising it was, in bits: 0 was certain, 1 a coin, more the less it was expected.
        surprise_bits: f64,
    },
    /// A line-up was predicted.
    Predicted(Prediction),
    /// Everybody, best first.
    Standings(Vec<(String, Member)>),
    /// The contest of this line was taken back.
    Undone(String),
    /// What can be typed.
    Help,
    /// The end.
    Quit,
}

/// Who is how likely to place before whom; draws count half.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// Names per team.
    pub teams: Vec<Vec<String>>,
    /// One per pair of teams, in the order (0,1), (0,2), .. (1,2), ...
    pub pairs: Vec<f64>,
}

/// Why a line gave nothing; the club is as it was.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ReplProblem {
    /// It cannot be read. The fault of whoever typed it.
    #[error(transparent)]
    Line(#[from] BadLine),
    /// There is nothing to take back.
    #[error("nothing to undo")]
    NothingToUndo,
    /// The engine broke its contract, or declined the contest.
    #[error("the engine {0}")]
    Fault(#[from] PluginFault),
}

impl<'a> Repl<'a> {
    /// A prompt without players.
    ///
    /// # Errors
    /// The plugin's fault.
    pub fn new(engine: &'a dyn RatingEngine) -> Result<Self, PluginFault> {
        Ok(Self { engine, club: Club::new(engine)?, before: Vec::new(), played: 0 })
    }

    /// Answers one line.
    ///
    /// # Errors
    /// [`ReplProblem`]: nothing changed.
    pub fn answer(&mut self, line: &str) -> Result<Reply, ReplProblem> {
        let text = line.split('#').next().unwrap_or_default();
        let mut words = text.split_whitespace();
        match (words.next(), words.next()) {
            (None, _) => Ok(Reply::Nothing),
            (Some("help"), None) => Ok(Reply::Help),
            (Some("quit" | "exit"), None) => Ok(Reply::Quit),
            (Some("show"), None) => Ok(Reply::Standings(self.standings())),
            (Some("undo"), None) => self.undo(),
            (Some("predict"), _) => self.predict(text),
            _ => self.play(text),
        }
    }

    fn known(&self) -> Circumstances {
        let mut known = Circumstances::default();
        known.setting.at_s = UnixSeconds(FIRST_AT_S + self.played * CONTEST_EVERY_S);
        known
    }

    fn play(&mut self, text: &str) -> Result<Reply, ReplProblem> {
        let line = parse_contest(text)?;
        let known = self.known();
        let pairs = self.club.predict(self.engine, &line.teams, &known)?;
        let mut club = self.club.clone();
        let changes = club.play(self.engine, &line, &known)?;
        if self.before.len() == UNDO_MAX {
            self.before.remove(0);
        }
        self.before.push((std::mem::replace(&mut self.club, club), text.trim().to_owned()));
        self.played += 1;
        let surprise_bits = surprise(&line, &pairs);
        Ok(Reply::Rated { changes, predicted: Prediction { teams: line.teams, pairs }, surprise_bits })
    }

    fn predict(&self, text: &str) -> Result<Reply, ReplProblem> {
        // Blanks in the place of the word keep the columns where they were typed.
        let line_up = text.replacen("predict", "       ", 1);
        let teams = parse_line_up(&line_up)?;
        let pairs = self.club.predict(self.engine, &teams, &self.known())?;
        Ok(Reply::Predicted(Prediction { teams, pairs }))
    }

    fn undo(&mut self) -> Result<Reply, ReplProblem> {
        let (club, line) = self.before.pop().ok_or(ReplProblem::NothingToUndo)?;
        self.club = club;
        self.played -= 1;
        Ok(Reply::Undone(line))
    }

    fn standings(&self) -> Vec<(String, Member)> {
        let mut standings: Vec<_> = self.club.members().map(|(name, member)| (name.to_owned(), member.clone())).collect();
        let shown = |member: &Member| member.visible.unwrap_or(member.rating.mean);
        standings.sort_by(|(_, one), (_, other)| shown(other).total_cmp(&shown(one)));
        standings
    }
}

/// The mean over all pairs of teams of the bits by which the result was news; half of each for a draw.
fn surprise(line: &ContestLine, pairs: &[f64]) -> f64 {
    let mut score = ladder::score::Score::default();
    score.add(&line.places, pairs);
    score.log_loss().unwrap_or_default() / std::f64::consts::LN_2
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use plugin_runtime::{PluginSource, PluginSpec, Role, Runtime};

    #[test]
    fn what_is_typed_is_rated_and_can_be_taken_back() {
        let source = PluginSource::builtin("gaussian").unwrap();
        let shape = ladder::queue::QueueShape { teams: 2, team_sizes: vec![1, 1], ..Default::default() };
        let engine = Runtime::new().unwrap().load_rating(PluginSpec::new("prompt", Role::Rating, source), &shape).unwrap();
        let mut repl = Repl::new(&engine).unwrap();
        let Reply::Rated { changes, surprise_bits, predicted } = repl.answer("a beat b # first").unwrap() else { panic!() };
        assert!(changes[0].after.rating.mean > 25.0 && changes[1].after.rating.mean < 25.0);
        assert!((surprise_bits - 1.0).abs() < 1e-9 && predicted.pairs == [0.5]);
        let Reply::Predicted(Prediction { pairs, .. }) = repl.answer("predict a vs b").unwrap() else { panic!() };
        assert!(pairs[0] > 0.5);
        let Reply::Standings(standings) = repl.answer("show").unwrap() else { panic!() };
        assert_eq!(standings.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(repl.answer("undo").unwrap(), Reply::Undone("a beat b".to_owned()));
        assert_eq!(repl.answer("undo"), Err(ReplProblem::NothingToUndo));
        assert_eq!(repl.answer("show").unwrap(), Reply::Standings(Vec::new()));
        let Err(ReplProblem::Line(problem)) = repl.answer("predict a vs") else { panic!() };
        assert_eq!(problem.column, 13);
        assert_eq!(repl.answer("  ").unwrap(), Reply::Nothing);
    }
}
