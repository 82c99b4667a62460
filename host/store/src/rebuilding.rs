//! Building a generation of many reports: rated in memory, off the writer's thread, and written in short transactions.
//!
//! ```text
//! journal --replay in memory--> rows of a generation that nobody sees --one transaction--> the generation that is being built
//! ```
//! The rows go to a generation of their own, abandoned from the start, which takes the place of the one that is being built when all of
//! them are there. A process that dies leaves rows that are forgotten, never a mixture. A lease in the row tells other processes that
//! somebody is at it: they wait for the result instead of doing the same, and take over when the lease is over. If both build all the same,
//! the first is taken and nothing is mixed.
//!
//! What is left, a few reports and the activation, is done step by step as for a small queue. Reports that wait because of the engine in
//! force are rated there, too, so that their players are told.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ladder::fault::PluginFault;
use ladder::id::{GenerationId, JournalSeq, PlayerId, QueueId};
use ladder::time::UnixMillis;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::decisions::counted;
use crate::engines::Ready;
use crate::error::StoreError;
use crate::generations::{ABANDONED, BUILDING, Generation, find_active};
use crate::installation::ReplayProgress;
use crate::rating::Standing;
use crate::replay::{Replay, Roster, Stop, Stored, run};
use crate::season_reset::{self, write_archived};
use crate::standings::{load_memory, load_standings, put_standing, write_memory};
use crate::{Store, column, journal};

/// Reports from which on a new generation is built in memory. What they changed for their players is written afterwards, little by little;
/// below it everything is there at once.
pub const REPORTS_BUILT_IN_MEMORY_MIN: u32 = 2_048;
/// The same for one that exists and has to catch up: if it is built in memory, all changes are written again.
const REPORTS_CAUGHT_UP_IN_MEMORY_MIN: u32 = 20_000;
/// Rows that one transaction writes: a report of a player waits for the writer as long.
const ROWS_PER_STEP: usize = 500;
/// How long a lease lasts, and how often it is renewed.
pub(crate) const LEASE: Duration = Duration::from_secs(10);
const RENEWED_EVERY: Duration = Duration::from_secs(1);
/// What was rated in this time is written, so that a slow engine loses no more of its work when the process dies.
const WRITTEN_EVERY: Duration = Duration::from_secs(30);
/// How often the progress is told, and the result of another process is looked for.
pub(crate) const TOLD_EVERY: Duration = Duration::from_millis(250);

/// What became of building in memory.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Rebuilt {
    /// What is left is for single steps.
    Done,
    /// The caller wants no more; what was rated is kept.
    Stopped,
}

/// What is asked of whoever waits for the generation.
pub(crate) struct Caller<'a> {
    pub(crate) progress: &'a mut dyn FnMut(ReplayProgress),
    /// Whether the generation is still wanted.
    pub(crate) goes_on: &'a dyn Fn() -> bool,
}

/// The time as it was handed in, and how much has passed since.
#[derive(Clone, Copy)]
pub(crate) struct Ticking {
    now: UnixMillis,
    since: Instant,
}

impl Ticking {
    pub(crate) fn from(now: UnixMillis) -> Self {
        Self { now, since: Instant::now() }
    }

    pub(crate) fn now(self) -> UnixMillis {
        self.after(Duration::ZERO)
    }

    pub(crate) fn after(self, more: Duration) -> UnixMillis {
        let passed = self.since.elapsed() + more;
        UnixMillis(self.now.0.saturating_add(u64::try_from(passed.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// What there is to build.
enum Plan {
    /// Little.
    Little,
    /// Another process is at it.
    Leased,
    Build(Task),
}

#[derive(Clone, Copy)]
pub(crate) struct Task {
    /// The revision that is counted.
    pub(crate) revision: u64,
    /// What to go on from.
    base: Option<Base>,
    /// The last entry to be looked at.
    until: JournalSeq,
    head: JournalSeq,
    /// Reports that operators gave up: if there are more in the end, another journal was rated.
    skipped: u64,
    /// Whether what was rated is written now and then.
    in_parts: bool,
}

/// The generation that is being built, or was laid aside.
#[derive(Clone, Copy)]
struct Base {
    generation: GenerationId,
    through: JournalSeq,
    /// Whether what its reports changed is not all written.
    owes_changes: bool,
}

/// Builds the engine's generation of the queue in memory, if there is much to rate.
pub(crate) fn rebuild(store: &Store, ready: &Arc<Ready>, now: UnixMillis, mut caller: Caller<'_>) -> Result<Rebuilt, StoreError> {
    let clock = Ticking::from(now);
    let mut one_by_one = false;
    // What this call made of the journal so far.
    let mut adopted = None;
    loop {
        if !(caller.goes_on)() {
            return Ok(Rebuilt::Stopped);
        }
        let planner = Arc::clone(ready);
        let planned = clock.now();
        match store.read_public(move |connection| plan(connection, &planner, planned)).wait()? {
            Plan::Little => return Ok(Rebuilt::Done),
            Plan::Leased => std::thread::sleep(TOLD_EVERY),
            Plan::Build(task) => {
                let Some(hidden) = Hidden::claim(store, ready, task.revision, clock)? else { continue };
                let built = hidden.build(task, one_by_one, &mut caller)?;
                let (replay, next) = match built {
                    // Once more: while this was built the journal grew, by much if the engine is slow.
                    Built::Through(replay) => (replay, None),
                    // What the engine does not rate, single steps meet again and say so.
                    Built::Until(replay) => (replay, Some(Rebuilt::Done)),
                    Built::Asked(replay) => (replay, Some(Rebuilt::Stopped)),
                    Built::Overtaken => {
                        hidden.forsake(None)?;
                        continue;
                    }
                    Built::Distrusted(fault) => {
                        tracing::warn!(queue = %ready.queue, error = %fault, "the bulk interface faulted: rating one by one");
                        one_by_one = true;
                        hidden.forsake(adopted.take())?;
                        continue;
                    }
                };
                if hidden.adopt(&replay, task)? {
                    adopted = Some(hidden.generation);
                } else {
                    tracing::info!(queue = %ready.queue, "a generation was overtaken while it was built");
                }
                if let Some(rebuilt) = next {
                    return Ok(rebuilt);
                }
            }
        }
    }
}

fn plan(connection: &Connection, ready: &Ready, now: UnixMillis) -> Result<Plan, StoreError> {
    let queue = ready.queue;
    let active = find_active(connection, queue)?;
    let revision = counted::newest_revision(connection, queue)?;
    if active.as_ref().is_some_and(|active| ready.is(queue, active.digest, &active.parameters) && active.revision == revision) {
        return Ok(Plan::Little);
    }
    let Some((head, _)) = journal::head(connection)? else { return Ok(Plan::Little) };
    let base = find_base(connection, ready, revision)?;
    // One whose changes are written afterwards anyway loses nothing.
    let is_new = base.is_none_or(|base| base.through.0 == 0 || base.owes_changes);
    let until = active.and_then(|active| active.rated_through).unwrap_or(head);
    let after = base.map_or(JournalSeq(0), |base| base.through);
    let much = if is_new { REPORTS_BUILT_IN_MEMORY_MIN } else { REPORTS_CAUGHT_UP_IN_MEMORY_MIN };
    if journal::count_due(connection, (queue, revision), (after, until), much)? < much {
        return Ok(Plan::Little);
    }
    if is_leased(connection, ready, revision, now)? {
        return Ok(Plan::Leased);
    }
    let base = match base.filter(|base| base.through.0 > 0) {
        // Half of its standings are of another season.
        Some(base) if season_reset::find_under_way(connection, base.generation)?.is_some() => None,
        base => base,
    };
    Ok(Plan::Build(Task { revision, base, until, head, skipped: count_skipped(connection)?, in_parts: true }))
}

impl Task {
    /// Everything from the start of the journal, to be written at once. Reports that wait are left for single steps.
    pub(crate) fn whole(connection: &Connection, queue: QueueId) -> Result<Self, StoreError> {
        let head = journal::head(connection)?.map_or(JournalSeq(0), |(seq, _)| seq);
        let until = find_active(connection, queue)?.and_then(|active| active.rated_through).unwrap_or(head);
        let (revision, skipped) = (counted::newest_revision(connection, queue)?, count_skipped(connection)?);
        Ok(Self { revision, base: None, until, head, skipped, in_parts: false })
    }

    /// Whether an operator gave up reports since.
    pub(crate) fn is_outdated(&self, connection: &Connection) -> Result<bool, StoreError> {
        Ok(count_skipped(connection)? != self.skipped)
    }
}

fn find_base(connection: &Connection, ready: &Ready, revision: u64) -> Result<Option<Base>, StoreError> {
    let mut find = connection.prepare_cached(
        "SELECT generation, coalesce(rated_through, 0), changes_through < built_through FROM generations
         WHERE queue = ?1 AND engine_digest = ?2 AND parameters = ?3 AND revision = ?4 AND state IN (1, 3)",
    )?;
    let base = |row: &Row<'_>| {
        let (generation, through) = (GenerationId(column::number(row, 0)?), JournalSeq(column::number(row, 1)?));
        Ok(Base { generation, through, owes_changes: row.get(2)? })
    };
    let key = params![column::sql(ready.queue.0), ready.engine.digest().0, ready.engine.parameters(), column::sql(revision)];
    Ok(find.query_row(key, base).optional()?)
}

fn is_leased(connection: &Connection, ready: &Ready, revision: u64, now: UnixMillis) -> Result<bool, StoreError> {
    let mut find = connection.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM generations
                        WHERE queue = ?1 AND engine_digest = ?2 AND parameters = ?3 AND revision = ?4
                        AND state = 4 AND lease_until > ?5 AND lease_until <= ?6)",
    )?;
    let (end, now) = (column::sql_time(farthest(now)), column::sql_time(now));
    let key = (column::sql(ready.queue.0), ready.engine.digest().0, ready.engine.parameters(), column::sql(revision));
    let key = params![key.0, key.1, key.2, key.3, now, end];
    Ok(find.query_row(key, |row| row.get(0))?)
}

/// The latest end that a lease of now may have; one beyond it was written by another clock and binds nobody.
fn farthest(now: UnixMillis) -> UnixMillis {
    UnixMillis(now.0.saturating_add(2 * LEASE.as_millis() as u64))
}

pub(crate) fn count_skipped(connection: &Connection) -> Result<u64, StoreError> {
    Ok(connection.prepare_cached("SELECT count(*) FROM skipped_reports")?.query_row([], |row| column::number(row, 0))?)
}

/// What is stored of the base; `None`: since it was planned to go on from, somebody rated in it, or gave it up.
fn load_stored(connection: &Connection, base: Base, revision: u64) -> Result<Option<Stored>, StoreError> {
    let generation = base.generation;
    let mut find = connection.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM generations
                        WHERE generation = ?1 AND state IN (1, 3) AND coalesce(rated_through, 0) = ?2 AND revision = ?3)",
    )?;
    let planned = params![column::sql(generation.0), column::sql(base.through.0), column::sql(revision)];
    let stands = find.query_row(planned, |row| row.get::<_, bool>(0))?;
    if !stands || season_reset::find_under_way(connection, generation)?.is_some() {
        return Ok(None);
    }
    let (memory, standings) = (load_memory(connection, generation)?, load_standings(connection, generation)?);
    Ok(Some(Stored { memory, standings, archived: season_reset::load_archived(connection, generation)? }))
}

/// A generation whose rows are being written, and which nobody looks at.
pub(crate) struct Hidden {
    store: Store,
    ready: Arc<Ready>,
    revision: u64,
    pub(crate) generation: GenerationId,
    clock: Ticking,
}

/// How far a generation came in memory.
pub(crate) enum Built {
    /// All that was to be rated.
    Through(Box<Replay>),
    /// The engine does not rate the report after it.
    Until(Box<Replay>),
    /// The caller wants no more.
    Asked(Box<Replay>),
    /// Its rows are not there any more, or not needed.
    Overtaken,
    Distrusted(PluginFault),
}

impl Hidden {
    /// Makes the row, with the lease; `None`: another process was quicker, or there is no such queue. Leases that are over end here.
    pub(crate) fn claim(store: &Store, ready: &Arc<Ready>, revision: u64, clock: Ticking) -> Result<Option<Self>, StoreError> {
        let claimer = Arc::clone(ready);
        let generation = store.write(move |connection| insert_hidden(connection, &claimer, revision, clock)).wait()?;
        let (store, ready) = (store.clone(), Arc::clone(ready));
        Ok(generation.map(|generation| Self { store, ready, revision, generation, clock }))
    }

    /// Rates in memory what the task asks for, and writes it.
    pub(crate) fn build(&self, task: Task, one_by_one: bool, caller: &mut Caller<'_>) -> Result<Built, StoreError> {
        let (queue, engine) = (self.ready.queue, Arc::clone(&self.ready.engine));
        let (mut replay, mut roster) =
            (Replay::new((queue, self.revision), engine, self.ready.initial.clone(), one_by_one), Roster::default());
        if let Some(base) = task.base {
            let stored = self.store.read_public(move |connection| load_stored(connection, base, task.revision)).wait()?;
            let Some(stored) = stored else { return Ok(Built::Overtaken) };
            replay.resume(base.through, stored, &mut roster);
        }
        let (mut renewed, mut told, began) = (Instant::now(), Instant::now(), Instant::now());
        let mut overtaken = false;
        let ended = run(&self.store, &mut replay, roster, task.until, |replay| {
            if renewed.elapsed() >= RENEWED_EVERY {
                renewed = Instant::now();
                overtaken = !self.renew()?;
            }
            if told.elapsed() >= TOLD_EVERY {
                told = Instant::now();
                (caller.progress)(ReplayProgress { through: replay.through(), head: task.head });
            }
            // With fewer left than that the end is near, and everything is written then.
            let is_due = task.in_parts && began.elapsed() >= WRITTEN_EVERY && replay.through() < task.until;
            Ok(!overtaken && !is_due && (caller.goes_on)())
        })?;
        let settled = replay.settle();
        Ok(match (ended, settled) {
            (Err(Stop::Bulk(fault)), _) | (_, Err(fault)) => Built::Distrusted(fault),
            _ if overtaken || !self.write(&replay)? => Built::Overtaken,
            (Ok(_), Ok(())) => Built::Through(Box::new(replay)),
            (Err(Stop::Fault(..)), Ok(())) => Built::Until(Box::new(replay)),
            (Err(Stop::Asked), Ok(())) if (caller.goes_on)() => Built::Through(Box::new(replay)),
            (Err(Stop::Asked), Ok(())) => Built::Asked(Box::new(replay)),
        })
    }

    /// Gives this generation up, and the one that came of the same mistake.
    pub(crate) fn forsake(&self, other: Option<GenerationId>) -> Result<(), StoreError> {
        let gone = [Some(self.generation), other];
        self.store.write(move |connection| gone.into_iter().flatten().try_for_each(|generation| abandon(connection, generation))).wait()
    }

    /// Prolongs the lease; `false`: it is another's, or the ratings that are wanted are those of a newer revision.
    fn renew(&self) -> Result<bool, StoreError> {
        let (queue, revision, generation, until) = (self.ready.queue, self.revision, self.generation, self.clock.after(LEASE));
        let renew = move |connection: &Connection| {
            Ok(counted::newest_revision(connection, queue)? == revision && prolong(connection, generation, until)?)
        };
        self.store.write(renew).wait()
    }

    /// Writes every standing, in short transactions; `false`: somebody else took the generation away.
    fn write(&self, replay: &Replay) -> Result<bool, StoreError> {
        let generation = self.generation;
        // In the order of the table, which then grows at its end.
        let mut numbers: Vec<usize> = (0..replay.players().len()).collect();
        numbers.sort_unstable_by_key(|&number| replay.players()[number]);
        for some in numbers.chunks(ROWS_PER_STEP) {
            let standing = |&number: &usize| Some((replay.players()[number], replay.standing(number)?));
            let rows: Vec<(PlayerId, Standing)> = some.iter().filter_map(standing).collect();
            let until = self.clock.after(LEASE);
            let write = move |connection: &Connection| {
                if !prolong(connection, generation, until)? {
                    return Ok(false);
                }
                for (player, standing) in &rows {
                    put_standing(connection, generation, *player, standing)?;
                }
                Ok(true)
            };
            if !self.store.write(write).wait()? {
                return Ok(false);
            }
        }
        for some in replay.archived().chunks(ROWS_PER_STEP) {
            let (rows, until) = (some.to_vec(), self.clock.after(LEASE));
            let write = move |connection: &Connection| {
                if !prolong(connection, generation, until)? {
                    return Ok(false);
                }
                for (season, player, archived) in &rows {
                    write_archived(connection, generation, *season, *player, archived)?;
                }
                Ok(true)
            };
            if !self.store.write(write).wait()? {
                return Ok(false);
            }
        }
        let (memory, through) = (replay.memory().to_vec(), replay.through());
        let rows = (0..replay.players().len()).filter(|&number| replay.standing(number).is_some()).count() as u64;
        let finish = move |connection: &Connection| {
            write_memory(connection, generation, &memory)?;
            let mut note = connection.prepare_cached(
                "UPDATE generations SET rated_through = ?2, built_through = ?2, changes_through = 0 WHERE generation = ?1",
            )?;
            note.execute(params![column::sql(generation.0), column::sql(through.0)])?;
            let mut count = connection.prepare_cached("SELECT count(*) FROM ratings WHERE generation = ?1")?;
            Ok(count.query_row([column::sql(generation.0)], |row| column::number(row, 0))? == rows)
        };
        self.store.write(finish).wait()
    }

    /// Makes this the generation that is being built, if it is further than the one that is. Whether it was.
    fn adopt(&self, replay: &Replay, task: Task) -> Result<bool, StoreError> {
        let (ready, generation, through) = (Arc::clone(&self.ready), self.generation, replay.through());
        let now = self.clock.now();
        let adopt = move |connection: &Connection| {
            // Without the lease others may have begun to forget the rows.
            if !prolong(connection, generation, now)? {
                return Ok(false);
            }
            let active = find_active(connection, ready.queue)?;
            let is_same =
                |active: &Generation| ready.is(ready.queue, active.digest, &active.parameters) && active.revision == task.revision;
            let is_in_force = active.as_ref().is_some_and(is_same);
            let base = find_base(connection, &ready, task.revision)?;
            let is_behind = base.is_some_and(|other| other.through >= through);
            let is_newest = counted::newest_revision(connection, ready.queue)? == task.revision;
            if is_in_force || is_behind || !is_newest || task.is_outdated(connection)? {
                abandon(connection, generation)?;
                return Ok(false);
            }
            if let Some(base) = base {
                abandon(connection, base.generation)?;
            }
            let mut take = connection.prepare_cached("UPDATE generations SET state = ?2, lease_until = NULL WHERE generation = ?1")?;
            take.execute(params![column::sql(generation.0), BUILDING])?;
            Ok(true)
        };
        self.store.write(adopt).wait()
    }
}

/// Leaves a generation to be forgotten.
fn abandon(connection: &Connection, generation: GenerationId) -> Result<(), StoreError> {
    let mut abandon = connection.prepare_cached("UPDATE generations SET state = ?2, lease_until = NULL WHERE generation = ?1")?;
    abandon.execute(params![column::sql(generation.0), ABANDONED])?;
    Ok(())
}

/// Prolongs a lease; `false`: there is none any more.
pub(crate) fn prolong(connection: &Connection, generation: GenerationId, until: UnixMillis) -> Result<bool, StoreError> {
    let mut prolong = connection
        .prepare_cached("UPDATE generations SET lease_until = ?2 WHERE generation = ?1 AND state = 4 AND lease_until IS NOT NULL")?;
    Ok(prolong.execute(params![column::sql(generation.0), column::sql_time(until)])? == 1)
}

fn insert_hidden(connection: &Connection, ready: &Ready, revision: u64, clock: Ticking) -> Result<Option<GenerationId>, StoreError> {
    let now = clock.now();
    end_leases(connection, ready.queue, now)?;
    if is_leased(connection, ready, revision, now)? {
        return Ok(None);
    }
    let mut known = connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM queues WHERE queue = ?1)")?;
    if !known.query_row([column::sql(ready.queue.0)], |row| row.get::<_, bool>(0))? {
        return Ok(None);
    }
    let mut insert = connection.prepare_cached(
        "INSERT INTO generations (queue, engine_digest, parameters, state, rated_through, initial_mean, initial_uncertainty,
                                  initial_visible, created_at, lease_until, revision)
         VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6, ?7, ?8, ?9, ?10) RETURNING generation",
    )?;
    let (Standing { rating, visible, .. }, key) = (&ready.initial, (ready.engine.digest().0, ready.engine.parameters()));
    let until = column::sql_time(clock.after(LEASE));
    let row = params![
        column::sql(ready.queue.0),
        key.0,
        key.1,
        ABANDONED,
        rating.mean,
        rating.uncertainty,
        visible,
        column::sql_time(now),
        until,
        column::sql(revision)
    ];
    Ok(Some(GenerationId(insert.query_row(row, |row| column::number(row, 0))?)))
}

/// What died processes left behind may be forgotten.
fn end_leases(connection: &Connection, queue: QueueId, now: UnixMillis) -> Result<(), StoreError> {
    let mut end = connection
        .prepare_cached("UPDATE generations SET lease_until = NULL WHERE queue = ?1 AND (lease_until <= ?2 OR lease_until > ?3)")?;
    end.execute(params![column::sql(queue.0), column::sql_time(now), column::sql_time(farthest(now))])?;
    Ok(())
}
