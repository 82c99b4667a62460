//! What was decided, for operators.

use ladder::id::{JournalSeq, QueueId};
use ladder::time::UnixMillis;
use rusqlite::Row;

use crate::error::StoreError;
use crate::{Pending, Store, column};

/// What a revision does. The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RevisionKind {
    /// It leaves reports out.
    Void = 1,
    /// It lets reports count again.
    Restore = 2,
}

/// One revision of a queue, with who decided it and what stands of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// Of which queue.
    pub queue: QueueId,
    /// The queue's name.
    pub queue_name: String,
    /// Its number, from 1.
    pub revision: u64,
    /// The first journal entry that says so.
    pub entry: JournalSeq,
    /// What it does.
    pub kind: RevisionKind,
    /// Of a restoration: the revision whose void it takes back, in whole or in part.
    pub taken_back: Option<u64>,
    /// Who decided.
    pub by: String,
    /// Why.
    pub why: String,
    /// How the reports were chosen; `None`: one by one.
    pub incident: Option<String>,
    /// Reports that it voided or restored.
    pub reports: u64,
    /// Of a void: how many of them are still voided by it.
    pub still_voided: u64,
    /// When.
    pub at: UnixMillis,
    /// Whether the ratings in force are of this revision or a later one.
    pub in_force: bool,
}

impl Store {
    /// Every revision of every queue, the latest decision last.
    pub fn list_revisions(&self) -> Pending<Vec<Revision>> {
        self.read_public(|connection| {
            let mut list = connection.prepare_cached(
                "SELECT r.queue, q.name, r.revision, r.entry, r.kind, r.taken_back, r.decided_by, r.why, r.incident, r.reports,
                        (SELECT count(*) FROM voided_reports v
                         WHERE v.queue = r.queue AND v.voided_in = r.revision AND v.restored_in IS NULL),
                        r.decided_at,
                        EXISTS (SELECT 1 FROM generations g WHERE g.queue = r.queue AND g.state = 2 AND g.revision >= r.revision)
                 FROM revisions r JOIN queues q USING (queue) ORDER BY r.entry",
            )?;
            let revisions = list.query_and_then([], revision)?;
            revisions.collect()
        })
    }
}

fn revision(row: &Row<'_>) -> Result<Revision, StoreError> {
    let kind = match row.get(4)? {
        1 => RevisionKind::Void,
        2 => RevisionKind::Restore,
        other => return Err(StoreError::corrupt(format!("a revision of the unknown kind {other}"))),
    };
    Ok(Revision {
        queue: QueueId(column::number(row, 0)?),
        queue_name: row.get(1)?,
        revision: column::number(row, 2)?,
        entry: JournalSeq(column::number(row, 3)?),
        kind,
        taken_back: column::number_option(row, 5)?,
        by: row.get(6)?,
        why: row.get(7)?,
        incident: row.get(8)?,
        reports: column::number(row, 9)?,
        still_voided: column::number(row, 10)?,
        at: column::time(row, 11)?,
        in_force: row.get(12)?,
    })
}
