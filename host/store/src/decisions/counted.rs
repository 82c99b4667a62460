//! Which reports count in a revision, and where each has its turn: the one place that says so in SQL.
//!
//! ```text
//! accepted as ratable: at its own entry      held, then released: at its Released entry      held or rejected: never
//! skipped by an operator: in no revision     voided: in no revision from voided_in on, before restored_in
//! ```
//! Every reader asks here: live rating, generations being built, shadows, comparisons, statistics.

use ladder::id::{JournalSeq, QueueId};
use ladder::report::Disposition;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::column;
use crate::error::StoreError;

/// The SQL condition that a report counts. `report` and `revision` are SQL expressions: its own journal entry, and the revision asked for.
pub(crate) fn counts(report: &str, revision: &str) -> String {
    format!(
        "(NOT EXISTS (SELECT 1 FROM skipped_reports WHERE skipped_reports.seq = {report})
          AND NOT EXISTS (SELECT 1 FROM voided_reports WHERE voided_reports.seq = {report} AND voided_in <= {revision}
                          AND (restored_in IS NULL OR restored_in > {revision})))"
    )
}

/// The SQL tables in which reports have their turns, one row for each: `j.seq` is where, [`REPORT`] the report's own entry. Held and rejected
/// reports stand at their own entry, too. Goes with [`IS_TURN`].
pub(crate) const TURNS: &str = "journal j LEFT JOIN released_reports r ON r.released_by = j.seq";

/// The SQL condition that a row of [`TURNS`] is one. The kinds are those of the index `journal_turns`, which a queue's turns are found by.
pub(crate) const IS_TURN: &str = "(j.kind IN (1, 3) AND (j.kind = 1 OR r.seq IS NOT NULL))";

/// The report's own entry in a row of [`TURNS`].
pub(crate) const REPORT: &str = "coalesce(r.seq, j.seq)";

/// The newest revision of a queue; 0: nothing was ever voided.
pub(crate) fn newest_revision(connection: &Connection, queue: QueueId) -> Result<u64, StoreError> {
    let mut newest = connection.prepare_cached("SELECT coalesce(max(revision), 0) FROM revisions WHERE queue = ?1")?;
    Ok(newest.query_row([column::sql(queue.0)], |row| column::number(row, 0))?)
}

/// Whether an operator gave the report up.
pub(crate) fn is_skipped(connection: &Connection, seq: JournalSeq) -> Result<bool, StoreError> {
    let mut skipped = connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM skipped_reports WHERE seq = ?1)")?;
    Ok(skipped.query_row([column::sql(seq.0)], |row| row.get(0))?)
}

/// Whether a report counts in a revision of its queue. One that is never rated may count: it is not left out by anybody's decision.
pub(crate) fn is_counted(connection: &Connection, seq: JournalSeq, revision: u64) -> Result<bool, StoreError> {
    let mut counted = connection.prepare_cached(&format!("SELECT {}", counts("?1", "?2")))?;
    Ok(counted.query_row(params![column::sql(seq.0), column::sql(revision)], |row| row.get(0))?)
}

/// Where an accepted report has its turn to be rated; `None`: it is held or was rejected.
pub(crate) fn turn(connection: &Connection, seq: JournalSeq, disposition: Disposition) -> Result<Option<JournalSeq>, StoreError> {
    match disposition {
        Disposition::Ratable => Ok(Some(seq)),
        Disposition::Rejected => Ok(None),
        Disposition::Held => {
            let mut released = connection.prepare_cached("SELECT released_by FROM released_reports WHERE seq = ?1")?;
            Ok(released.query_row([column::sql(seq.0)], |row| column::number(row, 0).map(JournalSeq)).optional()?)
        }
    }
}
