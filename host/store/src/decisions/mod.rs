//! What operators decide about reports after they were accepted: release a held one, void some, let voided ones count again.
//!
//! ```text
//! held --release--> rated where the release stands in the journal
//! any that may be rated --void--> in no later revision --restore--> counts again, where it stood
//! ```
//!
//! A decision is an entry of the journal and nothing else is ever taken out of it. Voids and restorations make a new **revision** of the
//! queue. The active generation, of an older revision, goes on serving and rating until the generation of the newest one is built and takes
//! over ([`Store::install_engine`]). So what is undone is undone exactly: as if the reports had never been there (decision 0024).

pub(crate) mod counted;
mod list;
pub(crate) mod payload;
mod preview;
mod report_list;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ladder::id::{JournalSeq, QueueId};
use ladder::journal::EntryKind;
use ladder::report::Disposition;
use ladder::time::UnixMillis;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::error::StoreError;
use crate::{Pending, Store, column, control, journal};

pub use list::{Revision, RevisionKind};
pub use preview::{Move, Placed, Preview, ShownBy};
pub use report_list::{Decided, DecisionRecord, Deed, ListedReport, REPORTS_LISTED_MAX, ReportFilter, TaintedReports};

/// Bytes of each text of a decision: it is kept for ever.
pub const TEXT_BYTES_MAX: usize = 1_024;

/// Who decided, and why: for the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    by: String,
    why: String,
}

/// A text that cannot stand in the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {which} is empty, longer than {TEXT_BYTES_MAX} bytes, or holds control characters")]
pub struct BadText {
    /// Which one.
    pub which: &'static str,
}

impl Decision {
    /// A decision by an operator for a reason.
    ///
    /// # Errors
    /// The operator's fault: one of them cannot stand in the record.
    pub fn new(by: &str, why: &str) -> Result<Self, BadText> {
        let read = |which, text: &str| {
            let text = text.trim();
            let fits = !text.is_empty() && text.len() <= TEXT_BYTES_MAX && !text.chars().any(char::is_control);
            if fits { Ok(text.to_owned()) } else { Err(BadText { which }) }
        };
        Ok(Self { by: read("name", by)?, why: read("reason", why)? })
    }

    /// Who.
    #[must_use]
    pub fn by(&self) -> &str {
        &self.by
    }

    /// Why.
    #[must_use]
    pub fn why(&self) -> &str {
        &self.why
    }
}

/// A new revision of one queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewRevision {
    /// Of which queue.
    pub queue: QueueId,
    /// Its number.
    pub revision: u64,
    /// The first journal entry that says so.
    pub entry: JournalSeq,
    /// Reports that it voids or restores.
    pub reports: u64,
    /// Whether the ratings in force are those of this revision already: none of the reports had been rated.
    pub in_force: bool,
}

/// Why a report was not released. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseRefusal {
    /// No such entry, or not a report.
    #[error("journal entry {seq} is not a report")]
    NotAReport {
        /// As asked for.
        seq: JournalSeq,
    },
    /// It was ratable, or rejected, when it was accepted.
    #[error("the report at journal entry {seq} is not held")]
    NotHeld {
        /// As asked for.
        seq: JournalSeq,
    },
    /// It was released before.
    #[error("the report at journal entry {seq} was released before, by entry {released_by}")]
    AlreadyReleased {
        /// As asked for.
        seq: JournalSeq,
        /// The entry that released it.
        released_by: JournalSeq,
    },
    /// It was voided: restore it first.
    #[error("the report at journal entry {seq} is voided")]
    Voided {
        /// As asked for.
        seq: JournalSeq,
    },
}

/// Why reports were not voided. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VoidRefusal {
    /// No report was named.
    #[error("no report was named")]
    Nothing,
    /// No such entry, or not a report.
    #[error("journal entry {seq} is not a report")]
    NotAReport {
        /// As asked for.
        seq: JournalSeq,
    },
    /// It is voided already.
    #[error("the report at journal entry {seq} is voided already")]
    AlreadyVoided {
        /// As asked for.
        seq: JournalSeq,
    },
    /// It was rejected or skipped: it counts for nothing in any case.
    #[error("the report at journal entry {seq} was rejected or skipped, and counts for nothing")]
    CountsForNothing {
        /// As asked for.
        seq: JournalSeq,
    },
}

/// Why reports were not restored. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreVoidRefusal {
    /// No report was named.
    #[error("no report was named")]
    Nothing,
    /// The queue has no such revision, or one that voided nothing.
    #[error("revision {revision} of queue {queue} voided nothing")]
    NotAVoid {
        /// The queue.
        queue: QueueId,
        /// As asked for.
        revision: u64,
    },
    /// Everything that it voided counts again.
    #[error("what revision {revision} of queue {queue} voided counts again already")]
    AlreadyTakenBack {
        /// The queue.
        queue: QueueId,
        /// As asked for.
        revision: u64,
    },
    /// It is not voided.
    #[error("the report at journal entry {seq} is not voided")]
    NotVoided {
        /// As asked for.
        seq: JournalSeq,
    },
}

impl Store {
    /// Lets a held report be rated, in the order of the journal: where the release stands. A running host rates it within a moment.
    pub fn release_report(&self, seq: JournalSeq, decision: Decision, now: UnixMillis) -> Pending<Result<JournalSeq, ReleaseRefusal>> {
        self.write(move |connection| release(connection, seq, &decision, now))
    }

    /// Takes reports back, of one queue or several: one new revision per queue. All of them or none. `incident` says how they were chosen.
    ///
    /// The ratings in force do not change before the generation of the new revision is installed: [`Store::install_engine`].
    pub fn void_reports(
        &self,
        reports: Vec<JournalSeq>,
        decision: Decision,
        incident: Option<String>,
        now: UnixMillis,
    ) -> Pending<Result<Vec<NewRevision>, VoidRefusal>> {
        let look = move |connection: &Connection| look_at(connection, &reports);
        let carry_out = move |connection: &Connection, by_queue: BTreeMap<QueueId, Affected>| {
            let incident = incident.as_deref();
            let made = by_queue.iter().map(|(&queue, affected)| {
                void(connection, &Change { queue, decision: &decision, incident, taken_back: None, now }, affected)
            });
            made.collect()
        };
        self.decide(look, carry_out)
    }

    /// Lets everything count again that one revision voided and that is still voided. What was voided twice stays voided by the other one.
    pub fn restore_revision(
        &self,
        queue: QueueId,
        revision: u64,
        decision: Decision,
        now: UnixMillis,
    ) -> Pending<Result<NewRevision, RestoreVoidRefusal>> {
        let look = move |connection: &Connection| look_at_revision(connection, queue, revision);
        let carry_out = move |connection: &Connection, affected: Affected| {
            let change = Change { queue, decision: &decision, incident: None, taken_back: Some(revision), now };
            restore(connection, &change, revision, &affected)
        };
        self.decide(look, carry_out)
    }

    /// Lets voided reports count again: one new revision for each revision that had voided some of them. All of them or none.
    pub fn restore_reports(
        &self,
        reports: Vec<JournalSeq>,
        decision: Decision,
        now: UnixMillis,
    ) -> Pending<Result<Vec<NewRevision>, RestoreVoidRefusal>> {
        let look = move |connection: &Connection| look_at_voided(connection, &reports);
        let carry_out = move |connection: &Connection, by_void: ByVoid| {
            let made = by_void.iter().map(|(&(queue, revision), affected)| {
                let change = Change { queue, decision: &decision, incident: None, taken_back: Some(revision), now };
                restore(connection, &change, revision, affected)
            });
            made.collect()
        };
        self.decide(look, carry_out)
    }

    /// Looks at what is concerned on a reader, and carries the decision out in one transaction if nobody decided anything meanwhile; else looks
    /// again. So the writer, for whom the reports of players wait, only writes.
    fn decide<L, T, R>(
        &self,
        look: impl Fn(&Connection) -> Result<Result<L, R>, StoreError> + Send + Sync + 'static,
        carry_out: impl Fn(&Connection, L) -> Result<T, StoreError> + Send + Sync + 'static,
    ) -> Pending<Result<T, R>>
    where
        L: Send + 'static,
        T: Send + 'static,
        R: Send + 'static,
    {
        let (reply, pending) = Pending::coming();
        let (store, look, carry_out) = (self.clone(), Arc::new(look), Arc::new(carry_out));
        let decide = move || {
            loop {
                let look = Arc::clone(&look);
                let (found, seen) = store.read_public(move |connection| Ok((look(connection)?, count_decisions(connection)?))).wait()?;
                let found = match found {
                    Ok(found) => found,
                    Err(refusal) => return Ok(Err(refusal)),
                };
                let carry_out = Arc::clone(&carry_out);
                let write = move |connection: &Connection| {
                    let is_same = count_decisions(connection)? == seen;
                    is_same.then(|| carry_out(connection, found)).transpose()
                };
                if let Some(written) = store.write(write).wait()? {
                    return Ok(Ok(written));
                }
            }
        };
        match std::thread::Builder::new().name("store-decide".into()).spawn(move || drop(reply.send(decide()))) {
            Ok(_runs_by_itself) => pending,
            Err(source) => Pending::refused(StoreError::file(self.path(), source)),
        }
    }
}

/// Decisions of each kind so far: another one may concern what was looked at.
fn count_decisions(connection: &Connection) -> Result<[u64; 3], StoreError> {
    let mut count = connection.prepare_cached(
        "SELECT (SELECT count(*) FROM revisions), (SELECT count(*) FROM released_reports), (SELECT count(*) FROM skipped_reports)",
    )?;
    Ok(count.query_row([], |row| Ok([column::number(row, 0)?, column::number(row, 1)?, column::number(row, 2)?]))?)
}

fn release(
    connection: &Connection,
    seq: JournalSeq,
    decision: &Decision,
    now: UnixMillis,
) -> Result<Result<JournalSeq, ReleaseRefusal>, StoreError> {
    let Some(facts) = journal::find_report(connection, seq)? else { return Ok(Err(ReleaseRefusal::NotAReport { seq })) };
    if facts.disposition != Disposition::Held {
        return Ok(Err(ReleaseRefusal::NotHeld { seq }));
    }
    if let Some(released_by) = counted::turn(connection, seq, Disposition::Held)? {
        return Ok(Err(ReleaseRefusal::AlreadyReleased { seq, released_by }));
    }
    let queue = facts.provenance.queue;
    if find_void(connection, seq)?.is_some() {
        return Ok(Err(ReleaseRefusal::Voided { seq }));
    }
    let by = journal::append(connection, EntryKind::Released, queue, &payload::encode_released(seq, decision), now)?;
    let mut remember = connection.prepare_cached("INSERT INTO released_reports (seq, released_by) VALUES (?1, ?2)")?;
    remember.execute(params![column::sql(seq.0), column::sql(by.0)])?;
    // Nobody rates it here: it waits where it stands, and what is reported from now on waits behind it.
    let mut wait =
        connection.prepare_cached("UPDATE generations SET rated_through = ?2 WHERE queue = ?1 AND state = 2 AND rated_through IS NULL")?;
    wait.execute(params![column::sql(queue.0), column::sql(by.0 - 1)])?;
    control::bump(connection)?;
    Ok(Ok(by))
}

/// What a void of these reports is about.
fn look_at(connection: &Connection, reports: &[JournalSeq]) -> Result<Result<BTreeMap<QueueId, Affected>, VoidRefusal>, StoreError> {
    let mut by_queue: BTreeMap<QueueId, Affected> = BTreeMap::new();
    for seq in sorted(reports) {
        let Some(facts) = journal::find_report(connection, seq)? else { return Ok(Err(VoidRefusal::NotAReport { seq })) };
        if find_void(connection, seq)?.is_some() {
            return Ok(Err(VoidRefusal::AlreadyVoided { seq }));
        }
        if facts.disposition == Disposition::Rejected || counted::is_skipped(connection, seq)? {
            return Ok(Err(VoidRefusal::CountsForNothing { seq }));
        }
        let turn = counted::turn(connection, seq, facts.disposition)?;
        by_queue.entry(facts.provenance.queue).or_default().add(seq, turn);
    }
    Ok(if by_queue.is_empty() { Err(VoidRefusal::Nothing) } else { Ok(by_queue) })
}

impl Store {
    /// The reports by queue, each once, that a void of these reports would be about, or why it would be refused. Changes nothing.
    pub fn look_at_void(&self, reports: Vec<JournalSeq>) -> Pending<Result<TaintedReports, VoidRefusal>> {
        self.read_public(move |connection| {
            let found = look_at(connection, &reports)?;
            Ok(found.map(|by_queue| by_queue.into_iter().map(|(queue, affected)| (queue, affected.reports)).collect()))
        })
    }
}

/// Everything that a revision voided and that is still voided.
fn look_at_revision(connection: &Connection, queue: QueueId, revision: u64) -> Result<Result<Affected, RestoreVoidRefusal>, StoreError> {
    let mut known = connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM revisions WHERE queue = ?1 AND revision = ?2 AND kind = 1)")?;
    if !known.query_row(params![column::sql(queue.0), column::sql(revision)], |row| row.get::<_, bool>(0))? {
        return Ok(Err(RestoreVoidRefusal::NotAVoid { queue, revision }));
    }
    let mut find = connection
        .prepare_cached("SELECT seq FROM voided_reports WHERE queue = ?1 AND voided_in = ?2 AND restored_in IS NULL ORDER BY seq")?;
    let voided = find.query_map(params![column::sql(queue.0), column::sql(revision)], |row| column::number(row, 0).map(JournalSeq))?;
    let mut affected = Affected::default();
    for seq in voided {
        affected.add_voided(connection, seq?)?;
    }
    Ok(if affected.reports.is_empty() { Err(RestoreVoidRefusal::AlreadyTakenBack { queue, revision }) } else { Ok(affected) })
}

/// Voided reports by the revision that voided them.
type ByVoid = BTreeMap<(QueueId, u64), Affected>;

fn look_at_voided(connection: &Connection, reports: &[JournalSeq]) -> Result<Result<ByVoid, RestoreVoidRefusal>, StoreError> {
    let mut by_void = ByVoid::new();
    for seq in sorted(reports) {
        let Some(void) = find_void(connection, seq)? else { return Ok(Err(RestoreVoidRefusal::NotVoided { seq })) };
        by_void.entry((void.queue, void.revision)).or_default().add_voided(connection, seq)?;
    }
    Ok(if by_void.is_empty() { Err(RestoreVoidRefusal::Nothing) } else { Ok(by_void) })
}

fn sorted(reports: &[JournalSeq]) -> BTreeSet<JournalSeq> {
    reports.iter().copied().collect()
}

fn void(connection: &Connection, change: &Change<'_>, affected: &Affected) -> Result<NewRevision, StoreError> {
    let made = begin_revision(connection, change, affected)?;
    let mut leave_out = connection.prepare_cached("INSERT INTO voided_reports (seq, queue, voided_in) VALUES (?1, ?2, ?3)")?;
    for seq in &affected.reports {
        leave_out.execute(params![column::sql(seq.0), column::sql(change.queue.0), column::sql(made.revision)])?;
    }
    Ok(made)
}

/// Lets reports, which `voided_in` voided, count again.
fn restore(connection: &Connection, change: &Change<'_>, voided_in: u64, affected: &Affected) -> Result<NewRevision, StoreError> {
    let made = begin_revision(connection, change, affected)?;
    let mut count_again = connection
        .prepare_cached("UPDATE voided_reports SET restored_in = ?3 WHERE seq = ?1 AND voided_in = ?2 AND restored_in IS NULL")?;
    for seq in &affected.reports {
        count_again.execute(params![column::sql(seq.0), column::sql(voided_in), column::sql(made.revision)])?;
    }
    Ok(made)
}

/// What a decision is about, in one queue.
#[derive(Default)]
struct Affected {
    reports: Vec<JournalSeq>,
    /// The first place in the order of rating at which anything changes; `None`: none of them is ever rated.
    first_turn: Option<JournalSeq>,
}

impl Affected {
    fn add(&mut self, seq: JournalSeq, turn: Option<JournalSeq>) {
        self.reports.push(seq);
        self.first_turn = self.first_turn.into_iter().chain(turn).min();
    }

    fn add_voided(&mut self, connection: &Connection, seq: JournalSeq) -> Result<(), StoreError> {
        let facts = journal::find_report(connection, seq)?;
        let facts = facts.ok_or_else(|| StoreError::corrupt(format!("journal entry {seq} was voided and is no report")))?;
        self.add(seq, counted::turn(connection, seq, facts.disposition)?);
        Ok(())
    }
}

struct Change<'a> {
    queue: QueueId,
    decision: &'a Decision,
    incident: Option<&'a str>,
    /// The revision whose void is taken back; `None`: this is a void.
    taken_back: Option<u64>,
    now: UnixMillis,
}

/// Writes the journal's entries and the revision, and says which generations are still projections of the newest one.
fn begin_revision(connection: &Connection, change: &Change<'_>, affected: &Affected) -> Result<NewRevision, StoreError> {
    let Change { queue, decision, incident, taken_back, now } = *change;
    let before = counted::newest_revision(connection, queue)?;
    let revision = before + 1;
    let mut entry = None;
    for reports in affected.reports.chunks(payload::REPORTS_PER_ENTRY_MAX) {
        let (kind, payload) = match taken_back {
            None => (EntryKind::Voided, payload::encode_voided(revision, reports, decision, incident)),
            Some(voided_in) => {
                let voided_by = entry_of(connection, queue, voided_in)?;
                (EntryKind::Restored, payload::encode_restored(revision, voided_by, reports, decision))
            }
        };
        let written = journal::append(connection, kind, queue, &payload, now)?;
        entry.get_or_insert(written);
    }
    let entry = entry.ok_or_else(|| StoreError::corrupt("a decision about no report".to_owned()))?;
    let reports = affected.reports.len() as u64;
    let kind = if taken_back.is_some() { RevisionKind::Restore } else { RevisionKind::Void };
    let mut record = connection.prepare_cached(
        "INSERT INTO revisions (queue, revision, entry, kind, taken_back, decided_by, why, incident, reports, decided_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?;
    record.execute(params![
        column::sql(queue.0),
        column::sql(revision),
        column::sql(entry.0),
        kind as u8,
        taken_back.map(column::sql),
        decision.by(),
        decision.why(),
        incident,
        column::sql(reports),
        column::sql_time(now),
    ])?;
    let in_force = keep_generations(connection, queue, before, affected.first_turn)?;
    control::bump(connection)?;
    Ok(NewRevision { queue, revision, entry, reports, in_force })
}

fn entry_of(connection: &Connection, queue: QueueId, revision: u64) -> Result<JournalSeq, StoreError> {
    let mut find = connection.prepare_cached("SELECT entry FROM revisions WHERE queue = ?1 AND revision = ?2")?;
    Ok(JournalSeq(find.query_row(params![column::sql(queue.0), column::sql(revision)], |row| column::number(row, 0))?))
}

/// Generations of the revision `before` that have not come to the first change are projections of the new one as well: they stay. The active
/// one serves until another takes over; all others are nobody's projection any more. Returns whether the active one stays.
fn keep_generations(connection: &Connection, queue: QueueId, before: u64, first_turn: Option<JournalSeq>) -> Result<bool, StoreError> {
    // NULL in `rated_through`: everything was looked at. No first change: nobody ever comes to one.
    let mut keep = connection.prepare_cached(
        "UPDATE generations SET revision = revision + 1
         WHERE queue = ?1 AND revision = ?2 AND state <> 4 AND (?3 IS NULL OR rated_through < ?3)",
    )?;
    let queue = column::sql(queue.0);
    keep.execute(params![queue, column::sql(before), first_turn.map(|turn| column::sql(turn.0))])?;
    let mut abandon =
        connection.prepare_cached("UPDATE generations SET state = 4 WHERE queue = ?1 AND state IN (1, 3) AND revision <= ?2")?;
    abandon.execute(params![queue, column::sql(before)])?;
    let mut active =
        connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM generations WHERE queue = ?1 AND state = 2 AND revision > ?2)")?;
    Ok(active.query_row(params![queue, column::sql(before)], |row| row.get(0))?)
}

/// A void that stands.
pub(crate) struct Void {
    queue: QueueId,
    revision: u64,
    /// The journal entry.
    pub(crate) entry: JournalSeq,
    /// Who.
    pub(crate) by: String,
    /// Why.
    pub(crate) why: String,
}

/// The void that a report is under now.
pub(crate) fn find_void(connection: &Connection, seq: JournalSeq) -> Result<Option<Void>, StoreError> {
    let mut find = connection.prepare_cached(
        "SELECT v.queue, v.voided_in, r.entry, r.decided_by, r.why FROM voided_reports v
         JOIN revisions r ON r.queue = v.queue AND r.revision = v.voided_in WHERE v.seq = ?1 AND v.restored_in IS NULL",
    )?;
    let void = |row: &Row<'_>| {
        Ok(Void {
            queue: QueueId(column::number(row, 0)?),
            revision: column::number(row, 1)?,
            entry: JournalSeq(column::number(row, 2)?),
            by: row.get(3)?,
            why: row.get(4)?,
        })
    };
    Ok(find.query_row([column::sql(seq.0)], void).optional()?)
}
