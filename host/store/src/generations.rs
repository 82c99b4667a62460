//! Generations: projections of one revision of the journal by one rating engine with one set of parameters.
//!
//! ```text
//! building --caught up with the journal--> active --another engine--> retired --the same engine again--> building
//! ```
//!
//! Installing an engine, swapping it and rolling back are one operation: find or make the generation of this engine, catch up with the
//! journal in bounded steps while the old one serves, activate. The same follows a void: the generation is of the newest revision then, and
//! the active one, of an older revision, rates what is reported meanwhile. A generation whose engine faults stops before the report that it cannot
//! rate; later reports of the queue are accepted and wait, so that the order of the journal stays the order of rating.

use std::sync::Arc;

use ladder::id::{Digest, GenerationId, JournalSeq, QueueId};
use ladder::journal::EntryKind;
use ladder::report::ReportFacts;
use ladder::time::UnixMillis;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::decisions::{self, counted};
use crate::engines::Engines;
use crate::error::StoreError;
use crate::rating::{Standing, Unrated};
use crate::reports::RatingState;
use crate::standings::load_changes;
use crate::{Pending, Store, column, control, journal};

/// The engine of the active generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveEngine {
    /// The generation.
    pub generation: GenerationId,
    /// SHA-256 of the component.
    pub digest: Digest,
    /// As canonical JSON.
    pub parameters: String,
    /// Whether reports of the queue wait to be rated.
    pub waits: bool,
    /// Whether its ratings are of the queue's newest revision; otherwise they are to be built again: install the engine.
    pub newest: bool,
}

/// Why a report was not skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SkipRefusal {
    /// No such entry, or not a report.
    #[error("journal entry {seq} is not a report")]
    NotAReport {
        /// As asked for.
        seq: JournalSeq,
    },
    /// It does not wait: it was rated, is not to be rated, or was skipped before.
    #[error("the report at journal entry {seq} does not wait to be rated")]
    DoesNotWait {
        /// As asked for.
        seq: JournalSeq,
    },
}

/// The generation that is shown, or another one of the same queue.
pub(crate) struct Generation {
    pub(crate) id: GenerationId,
    pub(crate) digest: Digest,
    pub(crate) parameters: String,
    /// The revision that it is a projection of.
    pub(crate) revision: u64,
    /// Entries after it are still to be rated; `None`: none are.
    pub(crate) rated_through: Option<JournalSeq>,
}

impl Generation {
    /// Whether what comes after `through` waits here, too.
    pub(crate) fn waits_at(&self, through: JournalSeq) -> bool {
        self.rated_through.is_some_and(|waited_after| waited_after <= through)
    }
}

/// States of the table. The numbers are stored.
pub(crate) const BUILDING: u8 = 1;
pub(crate) const ACTIVE: u8 = 2;
pub(crate) const RETIRED: u8 = 3;
pub(crate) const ABANDONED: u8 = 4;

impl Store {
    pub(crate) fn engines(&self) -> Arc<Engines> {
        Arc::clone(&self.0.engines)
    }

    /// Gives up rating one waiting report, for every engine: writes that to the journal.
    pub fn skip_report(&self, seq: JournalSeq, why: impl Into<String>, now: UnixMillis) -> Pending<Result<JournalSeq, SkipRefusal>> {
        let why = why.into();
        self.write(move |connection| {
            let Some(facts) = journal::find_report(connection, seq)? else { return Ok(Err(SkipRefusal::NotAReport { seq })) };
            if !matches!(find_rating_state(connection, seq, &facts)?, RatingState::Waits(_)) {
                return Ok(Err(SkipRefusal::DoesNotWait { seq }));
            }
            let turn = counted::turn(connection, seq, facts.disposition)?.unwrap_or(seq);
            let queue = facts.provenance.queue;
            let by = journal::append(connection, EntryKind::Skipped, queue, &journal::encode_skipped(seq, &why), now)?;
            let mut remember = connection.prepare_cached("INSERT INTO skipped_reports (seq, skipped_by) VALUES (?1, ?2)")?;
            remember.execute(params![column::sql(seq.0), column::sql(by.0)])?;
            // Generations that had rated it are no projection of this journal any more.
            let mut abandon = connection.prepare_cached(
                "UPDATE generations SET state = ?3 WHERE queue = ?1 AND state <> 2 AND coalesce(rated_through, ?2) >= ?2",
            )?;
            abandon.execute(params![column::sql(queue.0), column::sql(turn.0), ABANDONED])?;
            // A revision that could not be built because of this report can be built now.
            control::bump(connection)?;
            Ok(Ok(by))
        })
    }

    /// The rating engine that a queue's ratings come from, whether or not this process can run it.
    pub fn active_engine(&self, queue: QueueId) -> Pending<Option<ActiveEngine>> {
        self.read(move |connection| {
            let Some(active) = find_active(connection, queue)? else { return Ok(None) };
            let newest = active.revision == counted::newest_revision(connection, queue)?;
            let Generation { id, digest, parameters, rated_through, .. } = active;
            Ok(Some(ActiveEngine { generation: id, digest, parameters, waits: rated_through.is_some(), newest }))
        })
    }
}

pub(crate) fn activate(
    connection: &Connection,
    queue: QueueId,
    generation: GenerationId,
    rated_through: Option<JournalSeq>,
    now: UnixMillis,
) -> Result<(), StoreError> {
    let head = journal::head(connection)?.map_or(JournalSeq(0), |(seq, _)| seq);
    let newest = counted::newest_revision(connection, queue)?;
    // Nobody goes back to one of an older revision.
    let mut retire = connection.prepare_cached(
        "UPDATE generations SET state = CASE WHEN revision = ?4 THEN ?3 ELSE ?5 END, rated_through = coalesce(rated_through, ?2)
         WHERE queue = ?1 AND state = 2",
    )?;
    retire.execute(params![column::sql(queue.0), column::sql(head.0), RETIRED, column::sql(newest), ABANDONED])?;
    let mut activate = connection.prepare_cached("UPDATE generations SET state = ?2, activated_at = ?3 WHERE generation = ?1")?;
    activate.execute(params![column::sql(generation.0), ACTIVE, column::sql_time(now)])?;
    set_rated_through(connection, generation, rated_through)?;
    control::bump(connection)?;
    Ok(())
}

/// The engine's own generation of a revision of the queue, and how far it is; made if there is none. `None`: no such queue.
pub(crate) fn find_or_insert_building(
    connection: &Connection,
    queue: QueueId,
    revision: u64,
    (digest, parameters): (Digest, &str),
    initial: &Standing,
    now: UnixMillis,
) -> Result<Option<(GenerationId, JournalSeq)>, StoreError> {
    let (queue, revision, digest) = (column::sql(queue.0), column::sql(revision), digest.0);
    let mut find = connection.prepare_cached(
        "UPDATE generations SET state = 1 WHERE queue = ?1 AND engine_digest = ?2 AND parameters = ?3 AND revision = ?4 AND state IN (1, 3)
         RETURNING generation, coalesce(rated_through, 0)",
    )?;
    let found = |row: &Row<'_>| Ok((GenerationId(column::number(row, 0)?), JournalSeq(column::number(row, 1)?)));
    if let Some(found) = find.query_row(params![queue, digest, parameters, revision], found).optional()? {
        return Ok(Some(found));
    }
    let mut known = connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM queues WHERE queue = ?1)")?;
    if !known.query_row([queue], |row| row.get::<_, bool>(0))? {
        return Ok(None);
    }
    let mut insert = connection.prepare_cached(
        "INSERT INTO generations (queue, engine_digest, parameters, state, rated_through, initial_mean, initial_uncertainty,
                                  initial_visible, created_at, revision)
         VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6, ?7, ?8, ?9) RETURNING generation",
    )?;
    let Standing { rating, visible, .. } = initial;
    let row = params![queue, digest, parameters, BUILDING, rating.mean, rating.uncertainty, visible, column::sql_time(now), revision];
    let generation = insert.query_row(row, |row| column::number(row, 0))?;
    Ok(Some((GenerationId(generation), JournalSeq(0))))
}

/// The active generation of a queue.
pub(crate) fn find_active(connection: &Connection, queue: QueueId) -> Result<Option<Generation>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT generation, engine_digest, parameters, rated_through, revision FROM generations WHERE queue = ?1 AND state = 2",
    )?;
    let generation = |row: &Row<'_>| {
        Ok(Generation {
            id: GenerationId(column::number(row, 0)?),
            digest: column::digest(row, 1)?,
            parameters: row.get(2)?,
            rated_through: column::number_option(row, 3)?.map(JournalSeq),
            revision: column::number(row, 4)?,
        })
    };
    Ok(statement.query_row([column::sql(queue.0)], generation).optional()?)
}

pub(crate) fn set_rated_through(connection: &Connection, generation: GenerationId, through: Option<JournalSeq>) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached("UPDATE generations SET rated_through = ?2 WHERE generation = ?1")?;
    statement.execute(params![column::sql(generation.0), through.map(|seq| column::sql(seq.0))])?;
    Ok(())
}

/// What became of the rating of a report, in the active generation.
pub(crate) fn find_rating_state(connection: &Connection, seq: JournalSeq, facts: &ReportFacts) -> Result<RatingState, StoreError> {
    if let Some(void) = decisions::find_void(connection, seq)? {
        return Ok(RatingState::Voided { entry: void.entry, by: void.by, why: void.why });
    }
    let Some(turn) = counted::turn(connection, seq, facts.disposition)? else { return Ok(RatingState::NotRatable) };
    if counted::is_skipped(connection, seq)? {
        return Ok(RatingState::NotRatable);
    }
    let Some(generation) = find_active(connection, facts.provenance.queue)? else {
        return Ok(RatingState::Waits(Unrated::NoEngine));
    };
    if generation.rated_through.is_some_and(|through| through < turn) {
        return Ok(RatingState::Waits(Unrated::BehindOthers));
    }
    if !counted::is_counted(connection, seq, generation.revision)? {
        return Ok(RatingState::Waits(Unrated::Restored));
    }
    Ok(RatingState::Rated(load_changes(connection, generation.id, seq, facts)?))
}
