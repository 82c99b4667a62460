//! Matches, the newest first, for whoever looks for one.

use ladder::id::{JournalSeq, MatchId};
use ladder::matches::MatchState;
use ladder::time::UnixMillis;
use rusqlite::{Connection, params};

use crate::error::StoreError;
use crate::{Pending, Store, column, matches};

/// Matches of one list, at most.
pub const MATCHES_LISTED_MAX: u32 = 1_000;

/// Which matches to list: all that fit everything that is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MatchFilter {
    /// Name of the queue.
    pub queue: Option<String>,
    /// Name of a player who was in it, in any case.
    pub player: Option<String>,
}

/// One match of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedMatch {
    /// Which.
    pub match_id: MatchId,
    /// The queue's name.
    pub queue_name: String,
    /// Its state.
    pub state: MatchState,
    /// When it was opened.
    pub opened_at: UnixMillis,
    /// When it was reported or voided.
    pub ended_at: Option<UnixMillis>,
    /// Its report in the journal.
    pub report: Option<JournalSeq>,
    /// Names of the players, team after team.
    pub players: Vec<String>,
}

impl Store {
    /// Up to `max` matches (at most [`MATCHES_LISTED_MAX`]), the newest first.
    pub fn list_matches(&self, filter: MatchFilter, max: u32) -> Pending<Vec<ListedMatch>> {
        self.read_public(move |connection| list(connection, &filter, max.min(MATCHES_LISTED_MAX)))
    }
}

fn list(connection: &Connection, filter: &MatchFilter, max: u32) -> Result<Vec<ListedMatch>, StoreError> {
    let mut find = connection.prepare_cached(
        "SELECT match_id, q.name, state, opened_at, ended_at, report_seq FROM matches m JOIN queues q USING (queue)
         WHERE (?1 IS NULL OR q.name = ?1)
           AND (?2 IS NULL OR EXISTS (SELECT 1 FROM match_players s JOIN players p USING (player)
                                      WHERE s.match_id = m.match_id AND p.name = ?2))
         ORDER BY match_id DESC LIMIT ?3",
    )?;
    let mut names = connection
        .prepare_cached("SELECT name FROM match_players JOIN players USING (player) WHERE match_id = ?1 ORDER BY team, position")?;
    let rows = find.query_and_then(params![filter.queue, filter.player, max], |row| {
        let match_id = MatchId(column::number(row, 0)?);
        let players = names.query_map([column::sql(match_id.0)], |row| row.get(0))?.collect::<Result<_, _>>()?;
        Ok(ListedMatch {
            match_id,
            queue_name: row.get(1)?,
            state: matches::state(row, 2)?,
            opened_at: column::time(row, 3)?,
            ended_at: column::time_option(row, 4)?,
            report: column::number_option(row, 5)?.map(JournalSeq),
            players,
        })
    })?;
    rows.collect()
}
