//! Contests of the past, from a file of match history or from a host's journal: accepted as a host would accept them, numbered, in columns.

use std::collections::HashMap;
use std::path::Path;

use ladder::bulk::Journal;
use ladder::id::{PlayerId, QueueId};
use ladder::matches::{BadRoster, Roster};
use ladder::queue::QueueShape;
use ladder::report::{Disposition, Provenance, ReportFacts, ReportRefusal, Source, StatBounds, check_roster};
use ladder::rules::Verdict;
use ladder::time::UnixSeconds;

use crate::history::{FoundShape, Line, Lines};

/// Contests in one stretch: what one bulk call rates, and how often a progress bar moves.
const STRETCH_CONTESTS: usize = 2_048;
/// Lines that were left out, named.
const LEFT_OUT_NAMED_MAX: usize = 20;

/// A history in the order in which it is rated.
#[derive(Debug, Default)]
pub struct Past {
    /// The queue that it fits.
    pub shape: QueueShape,
    /// Players are numbered in the order in which they first played.
    pub players: usize,
    /// The contests, in stretches.
    pub stretches: Vec<Journal>,
    /// Lines that are no contest, or one that a host would refuse.
    pub left_out: u64,
    /// The first of them, with their numbers and why.
    pub left_out_named: Vec<String>,
    numbers: HashMap<PlayerId, u32>,
}

/// Why a contest that could be read is left out.
#[derive(Debug, thiserror::Error)]
enum Unacceptable {
    #[error(transparent)]
    Roster(#[from] BadRoster),
    #[error(transparent)]
    Report(#[from] ReportRefusal),
}

impl Past {
    /// Reads a file of match history (NDJSON, also gzipped) twice: for the queue that fits it, and for its contests.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(path: &Path) -> std::io::Result<Self> {
        let mut found = FoundShape::default();
        let mut lines = Lines::open(path)?;
        while let Some((_, line)) = lines.next()? {
            if let Ok(line) = line {
                found.take_in(&line);
            }
        }
        let mut past = Self { shape: found.shape("history"), ..Self::default() };
        let mut names: HashMap<String, PlayerId> = HashMap::new();
        let mut lines = Lines::open(path)?;
        while let Some((number, line)) = lines.next()? {
            let taken = line.map_err(|problem| problem.to_string()).and_then(|line| {
                let players = line.players().map(|name| past_player(&mut names, name)).collect::<Vec<_>>();
                past.take_in(&line, &players).map_err(|problem| problem.to_string())
            });
            if let Err(problem) = taken {
                past.leave_out(number, &problem);
            }
        }
        Ok(past)
    }

    /// An empty history of a queue, to be filled from its journal.
    #[must_use]
    pub fn of_queue(shape: QueueShape) -> Self {
        Self { shape, ..Self::default() }
    }

    /// Who has which number in the contests.
    #[must_use]
    pub fn ids(&self) -> Vec<PlayerId> {
        let mut ids: Vec<_> = self.numbers.iter().map(|(&player, &number)| (number, player)).collect();
        ids.sort_unstable();
        ids.into_iter().map(|(_, player)| player).collect()
    }

    /// Contests in all.
    #[must_use]
    pub fn contests(&self) -> usize {
        self.stretches.iter().map(Journal::len).sum()
    }

    /// Adds an accepted report, unless it is not to be rated.
    pub fn push(&mut self, facts: &ReportFacts) {
        if facts.disposition != Disposition::Ratable {
            return;
        }
        let mut numbers = Vec::with_capacity(facts.players.len());
        for player in &facts.players {
            // A history that does not fit 32 bits does not fit the memory of any machine either.
            let next = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
            numbers.push(*self.numbers.entry(player.player).or_insert(next));
        }
        self.players = self.numbers.len();
        if self.stretches.last().is_none_or(|stretch| stretch.len() >= STRETCH_CONTESTS) {
            self.stretches.push(Journal::default());
        }
        if let Some(stretch) = self.stretches.last_mut() {
            stretch.push_report(facts, &numbers);
        }
    }

    /// Forgets the oldest contests, a stretch at a time, until no more than `contests_max` are left, or one stretch; how many went.
    pub fn forget_oldest(&mut self, contests_max: usize) -> u64 {
        let (mut contests, mut gone) = (self.contests(), 0);
        while contests > contests_max && self.stretches.len() > 1 {
            let oldest = self.stretches.remove(0).len();
            contests -= oldest;
            gone += oldest as u64;
        }
        gone
    }

    /// The way of `ranked journal import`, without rules: nothing is clamped that a finite number can say.
    fn take_in(&mut self, line: &Line, players: &[PlayerId]) -> Result<(), Unacceptable> {
        let claim = line.to_claim(&self.shape, players);
        let roster = Roster::new(claim.teams.iter().map(|team| team.players.iter().map(|player| player.player).collect()).collect())?;
        let rostered = check_roster(claim, &roster, &self.shape)?;
        let bounds = StatBounds::new(&self.shape, &std::collections::BTreeMap::new(), &[]);
        let provenance = Provenance { queue: QueueId(0), source: Source::Import, at: UnixSeconds(line.ts), trust: 1.0, rules: None };
        self.push(rostered.accept(provenance, &bounds, Ok(Verdict::default())).facts());
        Ok(())
    }

    fn leave_out(&mut self, line: u64, problem: &str) {
        self.left_out += 1;
        if self.left_out_named.len() < LEFT_OUT_NAMED_MAX {
            self.left_out_named.push(format!("line {line}: {problem}"));
        }
    }
}

fn past_player(names: &mut HashMap<String, PlayerId>, name: &str) -> PlayerId {
    if let Some(player) = names.get(name) {
        return *player;
    }
    let player = PlayerId(names.len() as u64 + 1);
    names.insert(name.to_owned(), player);
    player
}
