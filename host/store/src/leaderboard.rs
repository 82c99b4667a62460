//! What people look at: leaderboards, profiles, histories. Always the active generation.

use ladder::id::{JournalSeq, MatchId, PlayerId, QueueId};
use ladder::time::{UnixMillis, UnixSeconds};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::error::StoreError;
use crate::{Pending, Store, column};

/// Rows of one page of a leaderboard.
pub const LEADERBOARD_ROWS_MAX: u32 = 500;
/// Rows of one page of a history.
pub const HISTORY_ROWS_MAX: u32 = 500;

/// One row of a leaderboard: a player with at least one rated contest.
#[derive(Clone, Debug, PartialEq)]
pub struct LeaderboardRow {
    /// From 1; equal visible ratings are ordered by player number.
    pub rank: u64,
    /// Who.
    pub player: PlayerId,
    /// The player's name.
    pub name: String,
    /// What the order goes by.
    pub visible: f64,
    /// Expected skill.
    pub mean: f64,
    /// Standard deviation.
    pub uncertainty: f64,
    /// Contests rated.
    pub contests: u32,
    /// First alone.
    pub wins: u32,
    /// Not first.
    pub losses: u32,
    /// First together with others.
    pub draws: u32,
}

/// A player's standing in one queue.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueStanding {
    /// Which.
    pub queue: QueueId,
    /// The queue's name.
    pub queue_name: String,
    /// The row of the leaderboard.
    pub row: LeaderboardRow,
    /// When the last rated contest was.
    pub last_at: UnixSeconds,
}

/// A player in public.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Who.
    pub player: PlayerId,
    /// The name.
    pub name: String,
    /// When.
    pub registered_at: UnixMillis,
    /// One per queue in which the player was rated, in the order of the queues.
    pub standings: Vec<QueueStanding>,
}

/// One rated contest of one player.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryRow {
    /// Its place in the journal: what to page by.
    pub seq: JournalSeq,
    /// The match; `None` for imported history.
    pub match_id: Option<MatchId>,
    /// When it ended.
    pub at: UnixSeconds,
    /// Place of the player's team, 0 is best.
    pub place: u16,
    /// Expected skill before.
    pub mean_before: f64,
    /// Standard deviation before.
    pub uncertainty_before: f64,
    /// What people saw before.
    pub visible_before: f64,
    /// Expected skill after.
    pub mean: f64,
    /// Standard deviation after.
    pub uncertainty: f64,
    /// What people see after.
    pub visible: f64,
}

/// Everything of a row but the rank, columns 0 to 8.
fn leaderboard_row(row: &Row<'_>, rank: u64) -> rusqlite::Result<LeaderboardRow> {
    Ok(LeaderboardRow {
        rank,
        player: PlayerId(column::number(row, 0)?),
        name: row.get(1)?,
        visible: row.get(2)?,
        mean: row.get(3)?,
        uncertainty: row.get(4)?,
        contests: row.get(5)?,
        wins: row.get(6)?,
        losses: row.get(7)?,
        draws: row.get(8)?,
    })
}

const ROW: &str = "r.player, p.name, r.visible, r.mean, r.uncertainty, r.contests, r.wins, r.losses, r.draws";

impl Store {
    /// One page of a leaderboard, best first; at most [`LEADERBOARD_ROWS_MAX`] rows.
    pub fn leaderboard(&self, queue: QueueId, offset: u64, limit: u32) -> Pending<Vec<LeaderboardRow>> {
        self.read_public(move |connection| {
            let mut statement = connection.prepare_cached(&format!(
                "SELECT {ROW} FROM generations g JOIN ratings r USING (generation) JOIN players p ON p.player = r.player
                 WHERE g.queue = ?1 AND g.state = 2 ORDER BY r.visible DESC, r.player LIMIT ?2 OFFSET ?3"
            ))?;
            let offset = offset.min(i64::MAX.cast_unsigned());
            let page = params![column::sql(queue.0), limit.min(LEADERBOARD_ROWS_MAX), column::sql(offset)];
            let mut rows = statement.query(page)?;
            let mut board = Vec::new();
            while let Some(row) = rows.next()? {
                board.push(leaderboard_row(row, offset + 1 + board.len() as u64)?);
            }
            Ok(board)
        })
    }

    /// Players on a leaderboard.
    pub fn leaderboard_len(&self, queue: QueueId) -> Pending<u64> {
        self.read_public(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT count(*) FROM generations g JOIN ratings r USING (generation) WHERE g.queue = ?1 AND g.state = 2",
            )?;
            Ok(statement.query_row([column::sql(queue.0)], |row| column::number(row, 0))?)
        })
    }

    /// A player in public, with every queue's standing and rank.
    pub fn profile(&self, player: PlayerId) -> Pending<Option<Profile>> {
        self.read_public(move |connection| {
            let mut statement = connection.prepare_cached("SELECT name, registered_at FROM players WHERE player = ?1")?;
            let known = statement.query_row([column::sql(player.0)], |row| Ok((row.get(0)?, column::time(row, 1)?))).optional()?;
            let Some((name, registered_at)) = known else { return Ok(None) };
            Ok(Some(Profile { player, name, registered_at, standings: load_standings(connection, player)? }))
        })
    }

    /// A player's rated contests in one queue, newest first, older than `before`; at most [`HISTORY_ROWS_MAX`] rows.
    pub fn history(&self, player: PlayerId, queue: QueueId, before: Option<JournalSeq>, limit: u32) -> Pending<Vec<HistoryRow>> {
        self.read_public(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT c.seq, match_id, at_s, place, mean_before, uncertainty_before, visible_before, mean, uncertainty, visible
                 FROM generations g JOIN rating_changes c USING (generation)
                 WHERE g.queue = ?1 AND g.state = 2 AND c.player = ?2 AND c.seq < ?3 ORDER BY c.seq DESC LIMIT ?4",
            )?;
            let before = before.map_or(i64::MAX, |seq| column::sql(seq.0));
            let page = params![column::sql(queue.0), column::sql(player.0), before, limit.min(HISTORY_ROWS_MAX)];
            let rows = statement.query_map(page, history_row)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }
}

fn load_standings(connection: &Connection, player: PlayerId) -> Result<Vec<QueueStanding>, StoreError> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {ROW}, q.queue, q.name, r.last_at_s,
                (SELECT count(*) FROM ratings o WHERE o.generation = r.generation
                 AND (o.visible > r.visible OR (o.visible = r.visible AND o.player < r.player)))
         FROM generations g JOIN ratings r USING (generation) JOIN players p ON p.player = r.player JOIN queues q ON q.queue = g.queue
         WHERE g.state = 2 AND r.player = ?1 ORDER BY q.queue"
    ))?;
    let standings = statement.query_map([column::sql(player.0)], |row| {
        Ok(QueueStanding {
            row: leaderboard_row(row, column::number(row, 12)? + 1)?,
            queue: QueueId(column::number(row, 9)?),
            queue_name: row.get(10)?,
            last_at: UnixSeconds(row.get(11)?),
        })
    })?;
    Ok(standings.collect::<Result<_, _>>()?)
}

fn history_row(row: &Row<'_>) -> rusqlite::Result<HistoryRow> {
    Ok(HistoryRow {
        seq: JournalSeq(column::number(row, 0)?),
        match_id: column::number_option(row, 1)?.map(MatchId),
        at: UnixSeconds(row.get(2)?),
        place: row.get(3)?,
        mean_before: row.get(4)?,
        uncertainty_before: row.get(5)?,
        visible_before: row.get(6)?,
        mean: row.get(7)?,
        uncertainty: row.get(8)?,
        visible: row.get(9)?,
    })
}
