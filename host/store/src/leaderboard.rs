//! What people look at: leaderboards, profiles, histories. Always the active generation.
//!
//! How standings are shown is an argument ([`StandingRules`]): contests that a player must have played in the season to stand on the
//! leaderboard, and how much less is shown of who stays away. Without decay the order is that of an index; with it everybody's place depends
//! on the time, and a page looks at the index from its top to where nobody can be better any more (decision 0022).

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BinaryHeap};

use ladder::id::{GenerationId, JournalSeq, MatchId, PlayerId, QueueId};
use ladder::season::{Decay, StandingRules};
use ladder::time::{UnixMillis, UnixSeconds};
use rusqlite::{CachedStatement, Connection, OptionalExtension as _, Row, Rows, ToSql, params};

use crate::error::StoreError;
use crate::generations::find_active;
use crate::{Pending, Store, column};

/// Rows of one page of a leaderboard.
pub const LEADERBOARD_ROWS_MAX: u32 = 500;
/// Rows of one page of a history.
pub const HISTORY_ROWS_MAX: u32 = 500;

/// One row of a leaderboard: a player with at least one rated contest.
#[derive(Clone, Debug, PartialEq)]
pub struct LeaderboardRow {
    /// From 1; equal ratings are ordered by player number. Of a player who does not stand on the leaderboard yet: the rank to come.
    pub rank: u64,
    /// Who.
    pub player: PlayerId,
    /// The player's name.
    pub name: String,
    /// What the order goes by: the visible rating, less what decay takes.
    pub shown: f64,
    /// The engine's visible rating.
    pub visible: f64,
    /// Expected skill.
    pub mean: f64,
    /// Standard deviation.
    pub uncertainty: f64,
    /// Contests rated, in all seasons since the last hard reset.
    pub contests: u32,
    /// First alone, in this season.
    pub wins: u32,
    /// Not first.
    pub losses: u32,
    /// First together with others.
    pub draws: u32,
}

impl LeaderboardRow {
    /// Contests rated in this season.
    #[must_use]
    pub fn season_contests(&self) -> u32 {
        self.wins.saturating_add(self.losses).saturating_add(self.draws)
    }
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
    /// What was expected of the player's team, as in [`RatingChange`](crate::RatingChange::expected).
    pub expected: Option<f64>,
}

/// What is shown of the visible rating of a row `r`, as SQL: [`StandingRules::shown`] to the last bit, by the same operations.
///
/// Parameters here and below: 1 generation, 2 contests that are needed, 3 the time in seconds, 4 seconds that cost nothing, 5 points a day,
/// 6 floor.
const SHOWN: &str = "CASE WHEN ?3 - r.last_at_s - ?4 >= 86400 AND r.visible > ?6
                     THEN max(r.visible - ?5 * CAST((?3 - r.last_at_s - ?4) / 86400 AS REAL), ?6) ELSE r.visible END";
/// Everybody who stands on the leaderboard. Its index has all the columns that this and [`SHOWN`] look at.
const PLACED: &str = "ratings r INDEXED BY leaderboard WHERE r.generation = ?1 AND r.wins + r.losses + r.draws >= ?2";
/// Columns of a row, as [`leaderboard_row`] reads them.
const ROW: &str = "r.player, p.name, r.visible, r.mean, r.uncertainty, r.contests, r.wins, r.losses, r.draws";

/// [`StandingRules`] at one moment in one generation.
#[derive(Clone, Copy)]
struct Shown {
    generation: GenerationId,
    rules: StandingRules,
    now: UnixSeconds,
}

impl Shown {
    /// Runs a statement with the parameters 1 to 6, and `more` as 7 and 8.
    fn query<'s>(&self, statement: &'s mut CachedStatement<'_>, more: &[&dyn ToSql]) -> rusqlite::Result<Rows<'s>> {
        // Without decay nobody ever stays away for long enough.
        let (after_s, per_day, floor) = match self.rules.decay {
            Some(Decay { after_days, per_day, floor }) => (i64::from(after_days) * 86_400, per_day, floor),
            None => (i64::MAX / 4, 0.0, 0.0),
        };
        let (generation, contests_min) = (column::sql(self.generation.0), self.rules.contests_min());
        let mut all: Vec<&dyn ToSql> = vec![&generation, &contests_min, &self.now.0, &after_s, &per_day, &floor];
        all.extend(more);
        // A statement that only counts has fewer.
        all.truncate(statement.parameter_count());
        statement.query(&all[..])
    }

    /// What the order goes by, as SQL. Without decay it is that of the index.
    fn order(&self) -> &'static str {
        if self.rules.decay.is_some() { SHOWN } else { "r.visible" }
    }

    fn page(&self, connection: &Connection, offset: u64, limit: u32) -> Result<Vec<LeaderboardRow>, StoreError> {
        let limit = limit.min(LEADERBOARD_ROWS_MAX);
        // The page is found in the index alone; only its rows are looked up.
        let places = match self.rules.decay {
            Some(_) => self.places_with_decay(connection, offset, limit)?,
            None => self.places(connection, offset, limit)?,
        };
        let mut statement = connection.prepare_cached(&format!(
            "SELECT {ROW} FROM ratings r JOIN players p ON p.player = r.player WHERE r.generation = ?1 AND r.player = ?2"
        ))?;
        let mut board = Vec::with_capacity(places.len());
        for (Place { shown, player }, rank) in places.into_iter().zip(offset.saturating_add(1)..) {
            let key = params![column::sql(self.generation.0), column::sql(player.0)];
            board.push(statement.query_row(key, |row| leaderboard_row(row, rank, shown))?);
        }
        Ok(board)
    }

    /// Without decay the order is that of the index.
    fn places(&self, connection: &Connection, offset: u64, limit: u32) -> Result<Vec<Place>, StoreError> {
        let mut statement = connection
            .prepare_cached(&format!("SELECT r.visible, r.player FROM {PLACED} ORDER BY r.visible DESC, r.player LIMIT ?3 OFFSET ?4"))?;
        let offset = column::sql(offset.min(i64::MAX.cast_unsigned()));
        let key = params![column::sql(self.generation.0), self.rules.contests_min(), limit, offset];
        let places = statement.query_map(key, |row| Ok(Place { shown: row.get(0)?, player: PlayerId(column::number(row, 1)?) }))?;
        Ok(places.collect::<Result<_, _>>()?)
    }

    /// Nobody is shown better than his visible rating: the walk down the index ends once the page is full of better ones.
    fn places_with_decay(&self, connection: &Connection, offset: u64, limit: u32) -> Result<Vec<Place>, StoreError> {
        let wanted = usize::try_from(offset.saturating_add(u64::from(limit))).unwrap_or(usize::MAX);
        let mut statement = connection
            .prepare_cached(&format!("SELECT r.visible, r.player, r.last_at_s FROM {PLACED} ORDER BY r.visible DESC, r.player"))?;
        let mut rows = statement.query(params![column::sql(self.generation.0), self.rules.contests_min()])?;
        // The worst of the best so far is on top.
        let mut best: BinaryHeap<Reverse<Place>> = BinaryHeap::new();
        while let Some(row) = rows.next()? {
            let visible: f64 = row.get(0)?;
            if best.len() >= wanted && best.peek().is_none_or(|worst| visible < worst.0.shown) {
                break;
            }
            let shown = self.rules.shown(visible, UnixSeconds(row.get(2)?), self.now);
            best.push(Reverse(Place { shown, player: PlayerId(column::number(row, 1)?) }));
            if best.len() > wanted {
                best.pop();
            }
        }
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        Ok(best.into_sorted_vec().into_iter().skip(offset).map(|Reverse(place)| place).collect())
    }

    fn count(&self, connection: &Connection, better_than: Option<(f64, PlayerId)>) -> Result<u64, StoreError> {
        let order = self.order();
        let Some((shown, player)) = better_than else {
            let mut statement = connection.prepare_cached(&format!("SELECT count(*) FROM {PLACED}"))?;
            return first(self.query(&mut statement, &[])?);
        };
        // Nobody is shown better than his visible rating: only a range of the index is looked at.
        let range = if self.rules.decay.is_some() { "AND r.visible >= ?7" } else { "" };
        let mut statement = connection.prepare_cached(&format!(
            "SELECT (SELECT count(*) FROM {PLACED} {range} AND {order} > ?7)
                  + (SELECT count(*) FROM {PLACED} {range} AND {order} = ?7 AND r.player < ?8)"
        ))?;
        first(self.query(&mut statement, &[&shown, &column::sql(player.0)])?)
    }
}

/// Where a player stands; what is greater stands higher.
#[derive(Clone, Copy, Debug)]
struct Place {
    shown: f64,
    player: PlayerId,
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> Ordering {
        // Zero has one sign here, as it has for SQLite.
        (self.shown + 0.0).total_cmp(&(other.shown + 0.0)).then(other.player.cmp(&self.player))
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Place {}

fn first(mut rows: Rows<'_>) -> Result<u64, StoreError> {
    let row = rows.next()?.ok_or_else(|| StoreError::corrupt("a count gave no row"))?;
    Ok(column::number(row, 0)?)
}

/// Everything of a row but the rank and what is shown, columns 0 to 8.
fn leaderboard_row(row: &Row<'_>, rank: u64, shown: f64) -> rusqlite::Result<LeaderboardRow> {
    Ok(LeaderboardRow {
        rank,
        player: PlayerId(column::number(row, 0)?),
        name: row.get(1)?,
        shown,
        visible: row.get(2)?,
        mean: row.get(3)?,
        uncertainty: row.get(4)?,
        contests: row.get(5)?,
        wins: row.get(6)?,
        losses: row.get(7)?,
        draws: row.get(8)?,
    })
}

impl Store {
    /// One page of a leaderboard, best first, with nobody in placement and without decay; at most [`LEADERBOARD_ROWS_MAX`] rows.
    pub fn leaderboard(&self, queue: QueueId, offset: u64, limit: u32) -> Pending<Vec<LeaderboardRow>> {
        self.leaderboard_at(queue, StandingRules::default(), UnixSeconds(0), offset, limit)
    }

    /// One page of a leaderboard as it is shown at `now`, best first; at most [`LEADERBOARD_ROWS_MAX`] rows.
    pub fn leaderboard_at(
        &self,
        queue: QueueId,
        rules: StandingRules,
        now: UnixSeconds,
        offset: u64,
        limit: u32,
    ) -> Pending<Vec<LeaderboardRow>> {
        self.read_public(move |connection| {
            let Some(generation) = find_active(connection, queue)? else { return Ok(Vec::new()) };
            Shown { generation: generation.id, rules, now }.page(connection, offset, limit)
        })
    }

    /// Players on a leaderboard, with nobody in placement.
    pub fn leaderboard_len(&self, queue: QueueId) -> Pending<u64> {
        self.leaderboard_len_at(queue, StandingRules::default())
    }

    /// Players on a leaderboard.
    pub fn leaderboard_len_at(&self, queue: QueueId, rules: StandingRules) -> Pending<u64> {
        self.read_public(move |connection| {
            let Some(generation) = find_active(connection, queue)? else { return Ok(0) };
            Shown { generation: generation.id, rules, now: UnixSeconds(0) }.count(connection, None)
        })
    }

    /// A player in public, with every queue's standing and rank; with nobody in placement and without decay.
    pub fn profile(&self, player: PlayerId) -> Pending<Option<Profile>> {
        self.profile_at(player, BTreeMap::new(), UnixSeconds(0))
    }

    /// A player in public, with every queue's standing and rank as they are shown at `now`.
    pub fn profile_at(&self, player: PlayerId, rules: BTreeMap<QueueId, StandingRules>, now: UnixSeconds) -> Pending<Option<Profile>> {
        self.read_public(move |connection| {
            let mut statement = connection.prepare_cached("SELECT name, registered_at FROM players WHERE player = ?1")?;
            let known = statement.query_row([column::sql(player.0)], |row| Ok((row.get(0)?, column::time(row, 1)?))).optional()?;
            let Some((name, registered_at)) = known else { return Ok(None) };
            Ok(Some(Profile { player, name, registered_at, standings: load_standings(connection, player, &rules, now)? }))
        })
    }

    /// A player's rated contests in one queue, newest first, older than `before`; at most [`HISTORY_ROWS_MAX`] rows.
    pub fn history(&self, player: PlayerId, queue: QueueId, before: Option<JournalSeq>, limit: u32) -> Pending<Vec<HistoryRow>> {
        self.read_public(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT c.seq, match_id, at_s, place, mean_before, uncertainty_before, visible_before, mean, uncertainty, visible, expected
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

fn load_standings(
    connection: &Connection,
    player: PlayerId,
    rules: &BTreeMap<QueueId, StandingRules>,
    now: UnixSeconds,
) -> Result<Vec<QueueStanding>, StoreError> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {ROW}, q.queue, q.name, r.last_at_s, r.generation
         FROM generations g JOIN ratings r USING (generation) JOIN players p ON p.player = r.player JOIN queues q ON q.queue = g.queue
         WHERE g.state = 2 AND r.player = ?1 ORDER BY q.queue"
    ))?;
    let mut rows = statement.query([column::sql(player.0)])?;
    let mut standings = Vec::new();
    while let Some(row) = rows.next()? {
        let (queue, last_at) = (QueueId(column::number(row, 9)?), UnixSeconds(row.get(11)?));
        let rules = rules.get(&queue).copied().unwrap_or_default();
        let at = Shown { generation: GenerationId(column::number(row, 12)?), rules, now };
        let shown = rules.shown(row.get(2)?, last_at, now);
        let rank = at.count(connection, Some((shown, player)))? + 1;
        standings.push(QueueStanding { row: leaderboard_row(row, rank, shown)?, queue, queue_name: row.get(10)?, last_at });
    }
    Ok(standings)
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
        expected: row.get(10)?,
    })
}
