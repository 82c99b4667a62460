//! Seasons on record: where they start in the journal, and the standings that each left behind.
//!
//! A season starts with one entry of the journal, whoever writes it: the host at the announced time, or a command. Its name is its identity,
//! so that two processes, or one that was killed in between, start it once. What the entry does to the standings is `season_reset.rs`.

use ladder::id::{JournalSeq, PlayerId, QueueId};
use ladder::journal::EntryKind;
use ladder::season::{SeasonReset, StandingRules};
use ladder::time::UnixMillis;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::error::StoreError;
use crate::journal::Due;
use crate::{LEADERBOARD_ROWS_MAX, Pending, Store, column, control, journal};

/// Seasons that one call lists, the newest ones.
const SEASONS_LISTED_MAX: u32 = 1_000;

/// A season that is to start.
#[derive(Clone, Debug, PartialEq)]
pub struct NewSeason {
    /// Known by it: no two seasons of a queue have the same.
    pub name: String,
    /// What it does to the standings.
    pub reset: SeasonReset,
    /// The announced time; it starts where its entry stands in the journal.
    pub starts_at: UnixMillis,
    /// How the standings of the season that ends were shown: its last ones are archived like that.
    pub ended: StandingRules,
    /// Who starts it.
    pub by: String,
}

/// Why a season was not started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SeasonRefusal {
    /// The queue had a season of this name; perhaps another process was faster.
    #[error("season `{name}` has started already, as number {number}")]
    AlreadyStarted {
        /// As asked for.
        name: String,
        /// Its number.
        number: u32,
    },
    /// No such queue.
    #[error("queue {queue} does not exist")]
    UnknownQueue {
        /// As asked for.
        queue: QueueId,
    },
}

/// A season that has started.
#[derive(Clone, Debug, PartialEq)]
pub struct Season {
    /// From 1, without gaps.
    pub number: u32,
    /// As announced.
    pub name: String,
    /// Where it starts in the journal.
    pub seq: JournalSeq,
    /// What it did to the standings.
    pub reset: SeasonReset,
    /// The announced time.
    pub starts_at: UnixMillis,
    /// When its entry was written.
    pub started_at: UnixMillis,
    /// Who started it.
    pub by: String,
    /// How the standings of the season before were shown at its end.
    pub ended: StandingRules,
}

/// One archived standing. Its rank is its place in the order.
#[derive(Clone, Debug, PartialEq)]
pub struct ArchivedStanding {
    /// From 1; equal visible ratings are ordered by player number.
    pub rank: u64,
    /// Who.
    pub player: PlayerId,
    /// The player's name today.
    pub name: String,
    /// What was shown, decay included.
    pub visible: f64,
    /// Expected skill.
    pub mean: f64,
    /// Standard deviation.
    pub uncertainty: f64,
    /// First alone, in this season.
    pub wins: u32,
    /// Not first.
    pub losses: u32,
    /// First together with others.
    pub draws: u32,
}

impl Store {
    /// Starts a season: appends its entry to the journal. From there on every report of the queue waits until the standings are reset, which
    /// [`Store::rate_waiting`] does in short steps before it rates them.
    pub fn start_season(&self, queue: QueueId, new: NewSeason, now: UnixMillis) -> Pending<Result<Season, SeasonRefusal>> {
        self.write(move |connection| start(connection, queue, new, now))
    }

    /// The seasons of a queue, the newest first; at most 1,000.
    pub fn list_seasons(&self, queue: QueueId) -> Pending<Vec<Season>> {
        self.read_public(move |connection| {
            let mut statement = connection.prepare_cached(&format!("{SEASON} WHERE s.queue = ?1 ORDER BY s.season DESC LIMIT ?2"))?;
            statement.query_and_then(params![column::sql(queue.0), SEASONS_LISTED_MAX], season)?.collect()
        })
    }

    /// The season that goes on in a queue; `None`: no season ever started.
    pub fn newest_season(&self, queue: QueueId) -> Pending<Option<Season>> {
        self.read_public(move |connection| {
            let mut statement = connection.prepare_cached(&format!("{SEASON} WHERE s.queue = ?1 ORDER BY s.season DESC LIMIT 1"))?;
            let mut rows = statement.query([column::sql(queue.0)])?;
            rows.next()?.map(season).transpose()
        })
    }

    /// The season of this name, if it has started.
    pub fn find_season(&self, queue: QueueId, name: &str) -> Pending<Option<Season>> {
        let name = name.to_owned();
        self.read(move |connection| find(connection, queue, &name))
    }

    /// One page of the standings that a season ended with, best first; at most [`LEADERBOARD_ROWS_MAX`] rows. Season 0 is what came before
    /// the first. Empty for a season that goes on.
    pub fn season_standings(&self, queue: QueueId, season: u32, offset: u64, limit: u32) -> Pending<Vec<ArchivedStanding>> {
        self.read_public(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT a.player, p.name, a.visible, a.mean, a.uncertainty, a.wins, a.losses, a.draws
                 FROM (SELECT s.* FROM generations g JOIN season_standings s USING (generation)
                       WHERE g.queue = ?1 AND g.state = 2 AND s.season = ?2 ORDER BY s.visible DESC, s.player LIMIT ?3 OFFSET ?4) a
                 JOIN players p ON p.player = a.player ORDER BY a.visible DESC, a.player",
            )?;
            let offset = offset.min(i64::MAX.cast_unsigned());
            let page = params![column::sql(queue.0), season, limit.min(LEADERBOARD_ROWS_MAX), column::sql(offset)];
            let mut rows = statement.query(page)?;
            let mut standings = Vec::new();
            while let Some(row) = rows.next()? {
                standings.push(archived_standing(row, offset + 1 + standings.len() as u64)?);
            }
            Ok(standings)
        })
    }

    /// Players in the standings that a season ended with.
    pub fn season_standings_len(&self, queue: QueueId, season: u32) -> Pending<u64> {
        self.read_public(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT count(*) FROM generations g JOIN season_standings s USING (generation)
                 WHERE g.queue = ?1 AND g.state = 2 AND s.season = ?2",
            )?;
            Ok(statement.query_row(params![column::sql(queue.0), season], |row| column::number(row, 0))?)
        })
    }
}

fn start(connection: &Connection, queue: QueueId, new: NewSeason, now: UnixMillis) -> Result<Result<Season, SeasonRefusal>, StoreError> {
    if let Some(Season { name, number, .. }) = find(connection, queue, &new.name)? {
        return Ok(Err(SeasonRefusal::AlreadyStarted { name, number }));
    }
    let mut newest =
        connection.prepare_cached("SELECT (SELECT coalesce(max(season), 0) FROM seasons WHERE queue = ?1) FROM queues WHERE queue = ?1")?;
    let Some(newest) = newest.query_row([column::sql(queue.0)], |row| row.get::<_, u32>(0)).optional()? else {
        return Ok(Err(SeasonRefusal::UnknownQueue { queue }));
    };
    let number = newest + 1;
    let payload = journal::encode_season_started(number, &new);
    let seq = journal::append(connection, EntryKind::SeasonStarted, queue, &payload, now)?;
    let mut remember = connection.prepare_cached("INSERT INTO seasons (queue, season, seq, name, reset) VALUES (?1, ?2, ?3, ?4, ?5)")?;
    remember.execute(params![column::sql(queue.0), number, column::sql(seq.0), new.name, new.reset.number()])?;
    // Reports from here on wait for the reset, as they would for one of their own that cannot be rated.
    let mut wait =
        connection.prepare_cached("UPDATE generations SET rated_through = ?2 WHERE queue = ?1 AND state = 2 AND rated_through IS NULL")?;
    wait.execute(params![column::sql(queue.0), column::sql(seq.0 - 1)])?;
    control::bump(connection)?;
    let NewSeason { name, reset, starts_at, ended, by } = new;
    Ok(Ok(Season { number, name, seq, reset, starts_at, started_at: now, by, ended }))
}

const SEASON: &str = "SELECT s.season, s.name, s.seq, j.recorded_at, j.payload FROM seasons s JOIN journal j ON j.seq = s.seq";

fn season(row: &Row<'_>) -> Result<Season, StoreError> {
    let seq = JournalSeq(column::number(row, 2)?);
    let NewSeason { reset, starts_at, ended, by, .. } =
        journal::decode_season_started(seq, row.get_ref(4)?.as_blob().map_err(rusqlite::Error::from)?)?;
    Ok(Season { number: row.get(0)?, name: row.get(1)?, seq, reset, starts_at, started_at: column::time(row, 3)?, by, ended })
}

fn find(connection: &Connection, queue: QueueId, name: &str) -> Result<Option<Season>, StoreError> {
    let mut statement = connection.prepare_cached(&format!("{SEASON} WHERE s.queue = ?1 AND s.name = ?2"))?;
    let mut rows = statement.query(params![column::sql(queue.0), name])?;
    rows.next()?.map(season).transpose()
}

/// The first season of a queue whose entry stands after `after`.
pub(crate) fn find_next(connection: &Connection, queue: QueueId, after: JournalSeq) -> Result<Option<Season>, StoreError> {
    // A queue has few seasons, and its primary key leads to them.
    let mut statement = connection.prepare_cached(&format!("{SEASON} WHERE s.queue = ?1 AND s.seq > ?2 ORDER BY s.season LIMIT 1"))?;
    let mut rows = statement.query(params![column::sql(queue.0), column::sql(after.0)])?;
    rows.next()?.map(season).transpose()
}

fn archived_standing(row: &Row<'_>, rank: u64) -> rusqlite::Result<ArchivedStanding> {
    Ok(ArchivedStanding {
        rank,
        player: PlayerId(column::number(row, 0)?),
        name: row.get(1)?,
        visible: row.get(2)?,
        mean: row.get(3)?,
        uncertainty: row.get(4)?,
        wins: row.get(5)?,
        losses: row.get(6)?,
        draws: row.get(7)?,
    })
}

/// What is due in a queue after some entry: reports, and the season that starts behind them.
pub(crate) struct Stretch {
    /// In their order; none stands behind the season.
    pub(crate) reports: Vec<Due>,
    /// Its reset is due once the reports are rated.
    pub(crate) season: Option<Season>,
    /// Whether nothing more of the queue comes after all this.
    pub(crate) last: bool,
}

/// Loads what is due in a queue at a revision after `after`: up to `max` reports, but none of the season after the next. Everybody who rates
/// asks here: live, in a new generation, in a shadow, in memory.
pub(crate) fn load_stretch(
    connection: &Connection,
    queue: QueueId,
    revision: u64,
    after: JournalSeq,
    max: u32,
) -> Result<Stretch, StoreError> {
    let mut reports = journal::load_due(connection, queue, revision, after, max)?;
    let last = reports.len() < max as usize;
    let in_reach = |season: &Season| last || reports.last().is_some_and(|due| due.at > season.seq);
    let season = find_next(connection, queue, after)?.filter(in_reach);
    if let Some(season) = &season {
        reports.retain(|due| due.at < season.seq);
    }
    Ok(Stretch { last: last && season.is_none(), reports, season })
}
