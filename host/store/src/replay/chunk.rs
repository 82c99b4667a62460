//! What is rated next, thousands of reports at a time, in the columns that the bulk interface of an engine takes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ladder::bulk::Journal;
use ladder::id::{JournalSeq, MatchId, PlayerId, QueueId};
use ladder::report::{Disposition, ReportFacts};
use rusqlite::Connection;

use crate::error::StoreError;
use crate::journal;
use crate::seasons::{self, Season};

/// Reports that one read decodes.
pub(crate) const CHUNK_REPORTS_MAX: usize = 4_096;
/// Bytes of payload after which a chunk takes no further report: what is in memory of the journal at a time stays bounded.
const CHUNK_BYTES_MAX: usize = 8 << 20;

/// Every player of a queue, numbered in the order of the first report; and what is left out for the sake of a look.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    numbers: HashMap<PlayerId, u32>,
    /// By player: the chunk that named the player last, and the number there.
    places: Vec<(u64, u32)>,
    chunks: u64,
    left_out: Arc<HashSet<JournalSeq>>,
    concerned: HashSet<PlayerId>,
}

impl Roster {
    /// Nobody yet. Reports in `left_out` are passed over, as if they were voided.
    pub(crate) fn without(left_out: Arc<HashSet<JournalSeq>>) -> Self {
        Self { left_out, ..Self::default() }
    }

    /// Players of the reports that were left out.
    pub(crate) fn concerned(&self) -> usize {
        self.concerned.len()
    }

    /// Whether a report is passed over.
    fn leaves_out(&mut self, seq: JournalSeq, facts: &ReportFacts) -> bool {
        let left_out = self.left_out.contains(&seq);
        if left_out {
            self.concerned.extend(facts.players.iter().map(|player| player.player));
        }
        left_out
    }

    /// The number of a player; whether the player is new.
    pub(crate) fn number(&mut self, player: PlayerId) -> (u32, bool) {
        let next = u32::try_from(self.places.len()).expect("a queue has fewer than 2^32 players");
        let number = *self.numbers.entry(player).or_insert(next);
        let is_new = number == next;
        if is_new {
            self.places.push((0, 0));
        }
        (number, is_new)
    }
}

/// A report of a chunk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    /// The entry at which it is rated.
    pub(crate) at: JournalSeq,
    /// Its own entry.
    pub(crate) seq: JournalSeq,
    /// Its match; `None` for imported history.
    pub(crate) match_id: Option<MatchId>,
}

/// Reports in the order in which they are rated.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// The contests; players have the numbers of this chunk.
    pub(crate) journal: Journal,
    /// By those numbers: the numbers of the roster.
    pub(crate) players: Vec<u32>,
    /// Players that no report before named, in the order of their numbers.
    pub(crate) newcomers: Vec<PlayerId>,
    /// Per contest.
    pub(crate) turns: Vec<Turn>,
    /// The season that starts behind them: its reset is due then.
    pub(crate) season: Option<Season>,
    /// Every entry up to here was looked at.
    pub(crate) through: JournalSeq,
    /// Whether nothing up to `until` comes after it.
    pub(crate) complete: bool,
}

/// Which reports.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Portion {
    pub(crate) queue: QueueId,
    pub(crate) revision: u64,
    pub(crate) after: JournalSeq,
    pub(crate) until: JournalSeq,
    pub(crate) reports_max: usize,
}

impl Chunk {
    /// The reports that are rated next.
    pub(crate) fn gather(connection: &Connection, portion: Portion, roster: &mut Roster) -> Result<Self, StoreError> {
        let Portion { queue, revision, after, until, reports_max } = portion;
        roster.chunks += 1;
        let mut chunk = Self {
            journal: Journal::default(),
            players: Vec::new(),
            newcomers: Vec::new(),
            turns: Vec::new(),
            season: None,
            through: after,
            complete: false,
        };
        let (mut bytes, mut numbers, mut looked_at) = (0, Vec::new(), 0);
        let season = seasons::find_next(connection, queue, after)?.filter(|season| season.seq <= until);
        let end = season.as_ref().map_or(until, |season| season.seq);
        let reached = journal::visit_due(connection, (queue, revision), (after, end), |due| {
            bytes += due.payload.len();
            let facts = journal::decode(due.seq, queue, due.payload)?;
            if !roster.leaves_out(due.seq, &facts) && (facts.disposition == Disposition::Ratable || due.released) {
                chunk.push(&facts, due.at, due.seq, roster, &mut numbers)?;
            }
            chunk.through = due.at;
            looked_at += 1;
            Ok(chunk.turns.len() < reports_max && looked_at < CHUNK_REPORTS_MAX && bytes < CHUNK_BYTES_MAX)
        })?;
        if reached {
            (chunk.through, chunk.season) = (end, season);
            chunk.complete = end >= until;
        }
        Ok(chunk)
    }

    fn push(
        &mut self,
        facts: &ReportFacts,
        at: JournalSeq,
        seq: JournalSeq,
        roster: &mut Roster,
        numbers: &mut Vec<u32>,
    ) -> Result<(), StoreError> {
        // The columns hold team after team, and an engine may add up what belongs to the players in the order in which it sees them.
        if !facts.players.is_sorted_by_key(|player| player.team) {
            return Err(StoreError::corrupt(format!("the report at journal entry {seq} does not name its players team after team")));
        }
        numbers.clear();
        for player in &facts.players {
            let (number, is_new) = roster.number(player.player);
            if is_new {
                self.newcomers.push(player.player);
            }
            let place = &mut roster.places[number as usize];
            if place.0 != roster.chunks {
                *place = (roster.chunks, u32::try_from(self.players.len()).expect("a chunk has fewer players than the roster"));
                self.players.push(number);
            }
            numbers.push(place.1);
        }
        self.journal.push_report(facts, numbers);
        self.turns.push(Turn { at, seq, match_id: facts.match_id });
        Ok(())
    }
}
