//! Accepted reports and what was decided about each: for lists, for one in full, and for everything that a game server sent in some hours.

use ladder::id::{JournalSeq, MatchId, QueueId, ServerId};
use ladder::report::{Disposition, ReportFacts};
use ladder::time::UnixMillis;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row, params, params_from_iter};

use super::counted;
use crate::error::StoreError;
use crate::reports::RatingState;
use crate::{Pending, Store, column, generations, journal};

/// Reports that one list shows at most.
pub const REPORTS_LISTED_MAX: u32 = 10_000;

/// Which reports. Everything that is set must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReportFilter {
    /// Of this queue.
    pub queue: Option<QueueId>,
    /// From this game server.
    pub server: Option<ServerId>,
    /// Accepted at this time or later.
    pub since: Option<UnixMillis>,
    /// Accepted before this time.
    pub until: Option<UnixMillis>,
    /// What was decided about them.
    pub decided: Option<Decided>,
}

/// A state by which reports are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decided {
    /// Held, and neither released nor voided.
    Held,
    /// Voided, and not restored.
    Voided,
}

/// One accepted report.
#[derive(Clone, Debug, PartialEq)]
pub struct ListedReport {
    /// Its place in the journal.
    pub seq: JournalSeq,
    /// When the host accepted it.
    pub recorded_at: UnixMillis,
    /// The queue's name.
    pub queue_name: String,
    /// What was accepted.
    pub facts: ReportFacts,
    /// What became of its rating.
    pub rating: RatingState,
}

/// What a journal entry did to a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// A held report may be rated.
    Released,
    /// It counts no more.
    Voided,
    /// It counts again.
    Restored,
    /// Nobody rates it.
    Skipped,
}

/// One decision about one report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionRecord {
    /// The journal entry.
    pub entry: JournalSeq,
    /// What.
    pub deed: Deed,
    /// The revision that it made.
    pub revision: Option<u64>,
    /// Who; `None`: that was not written down.
    pub by: Option<String>,
    /// Why.
    pub why: String,
    /// When.
    pub at: UnixMillis,
}

/// Reports that a void would take back, by queue.
pub type TaintedReports = Vec<(QueueId, Vec<JournalSeq>)>;

impl Store {
    /// Accepted reports, the newest first; at most [`REPORTS_LISTED_MAX`].
    pub fn list_reports(&self, filter: ReportFilter, max: u32) -> Pending<Vec<ListedReport>> {
        self.read_public(move |connection| {
            let (conditions, mut values) = conditions(&filter);
            values.push(Value::from(i64::from(max.min(REPORTS_LISTED_MAX))));
            let mut list = connection.prepare(&format!(
                "SELECT j.seq, j.recorded_at, q.name, j.queue, j.payload FROM journal j JOIN queues q USING (queue)
                 WHERE j.kind = 1{conditions} ORDER BY j.seq DESC LIMIT ?"
            ))?;
            let listed = list.query_and_then(params_from_iter(values), |row| listed(connection, row))?;
            listed.collect()
        })
    }

    /// One accepted report, with every decision about it, the first one first.
    pub fn report_record(&self, seq: JournalSeq) -> Pending<Option<(ListedReport, Vec<DecisionRecord>)>> {
        self.read_public(move |connection| {
            let mut find = connection.prepare_cached(
                "SELECT j.seq, j.recorded_at, q.name, j.queue, j.payload FROM journal j JOIN queues q USING (queue)
                 WHERE j.kind = 1 AND j.seq = ?1",
            )?;
            let mut rows = find.query([column::sql(seq.0)])?;
            let Some(row) = rows.next()? else { return Ok(None) };
            Ok(Some((listed(connection, row)?, decisions(connection, seq)?)))
        })
    }

    /// The journal entry of a match's report; `None`: no such match, or not reported.
    pub fn report_of_match(&self, match_id: MatchId) -> Pending<Option<JournalSeq>> {
        self.read_public(move |connection| {
            let mut find = connection.prepare_cached("SELECT report_seq FROM matches WHERE match_id = ?1")?;
            let seq = find.query_row([column::sql(match_id.0)], |row| column::number_option(row, 0)).optional()?;
            Ok(seq.flatten().map(JournalSeq))
        })
    }

    /// Everything that fits and that a void can take back: reports that count, or are held.
    pub fn tainted_reports(&self, filter: ReportFilter) -> Pending<TaintedReports> {
        self.read_public(move |connection| {
            let (conditions, values) = conditions(&filter);
            let mut find = connection.prepare(&format!(
                "SELECT j.queue, j.seq, j.payload FROM journal j WHERE j.kind = 1{conditions}
                     AND j.seq NOT IN (SELECT seq FROM skipped_reports)
                     AND j.seq NOT IN (SELECT seq FROM voided_reports WHERE restored_in IS NULL)
                 ORDER BY j.queue, j.seq"
            ))?;
            let mut rows = find.query(params_from_iter(values))?;
            let mut tainted: TaintedReports = Vec::new();
            while let Some(row) = rows.next()? {
                let (queue, seq) = (QueueId(column::number(row, 0)?), JournalSeq(column::number(row, 1)?));
                let facts = journal::decode(seq, queue, row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?)?;
                if facts.disposition == Disposition::Rejected {
                    continue;
                }
                match tainted.last_mut() {
                    Some((last, reports)) if *last == queue => reports.push(seq),
                    _ => tainted.push((queue, vec![seq])),
                }
            }
            Ok(tainted)
        })
    }
}

fn conditions(filter: &ReportFilter) -> (String, Vec<Value>) {
    let ReportFilter { queue, server, since, until, decided } = filter;
    let (mut sql, mut values) = (String::new(), Vec::new());
    let mut add = |condition: &str, value: Option<Value>| {
        sql.push_str(" AND ");
        sql.push_str(condition);
        values.extend(value);
    };
    if let Some(queue) = queue {
        add("j.queue = ?", Some(column::sql(queue.0).into()));
    }
    if let Some(server) = server {
        // Imported history has no match and no game server.
        add("j.seq IN (SELECT report_seq FROM matches WHERE server = ? AND report_seq IS NOT NULL)", Some(server.0.to_vec().into()));
    }
    if let Some(since) = since {
        add("j.recorded_at >= ?", Some(column::sql_time(*since).into()));
    }
    if let Some(until) = until {
        add("j.recorded_at < ?", Some(column::sql_time(*until).into()));
    }
    match decided {
        Some(Decided::Held) => add(
            "j.seq IN (SELECT seq FROM reports WHERE disposition = 2)
             AND j.seq NOT IN (SELECT seq FROM released_reports)
             AND j.seq NOT IN (SELECT seq FROM voided_reports WHERE restored_in IS NULL)",
            None,
        ),
        Some(Decided::Voided) => add("j.seq IN (SELECT seq FROM voided_reports WHERE restored_in IS NULL)", None),
        None => {}
    }
    (sql, values)
}

fn listed(connection: &Connection, row: &Row<'_>) -> Result<ListedReport, StoreError> {
    let (seq, queue) = (JournalSeq(column::number(row, 0)?), QueueId(column::number(row, 3)?));
    let facts = journal::decode(seq, queue, row.get_ref(4)?.as_blob().map_err(rusqlite::Error::from)?)?;
    let rating = generations::find_rating_state(connection, seq, &facts)?;
    Ok(ListedReport { seq, recorded_at: column::time(row, 1)?, queue_name: row.get(2)?, facts, rating })
}

fn decisions(connection: &Connection, seq: JournalSeq) -> Result<Vec<DecisionRecord>, StoreError> {
    let mut found = Vec::new();
    if let Some(entry) = counted::turn(connection, seq, Disposition::Held)? {
        let (payload, at) = load_entry(connection, entry)?;
        let (by, why) = super::payload::released_by(&payload).ok_or_else(|| StoreError::corrupt(format!("journal entry {entry}")))?;
        found.push(DecisionRecord { entry, deed: Deed::Released, revision: None, by: Some(by), why, at });
    }
    let mut skipped = connection.prepare_cached("SELECT skipped_by FROM skipped_reports WHERE seq = ?1")?;
    if let Some(entry) = skipped.query_row([column::sql(seq.0)], |row| column::number(row, 0)).optional()?.map(JournalSeq) {
        let (payload, at) = load_entry(connection, entry)?;
        let why = journal::skipped_because(entry, &payload)?;
        found.push(DecisionRecord { entry, deed: Deed::Skipped, revision: None, by: None, why, at });
    }
    let mut revisions = connection.prepare_cached(
        "SELECT r.entry, r.kind, r.revision, r.decided_by, r.why, r.decided_at FROM voided_reports v
         JOIN revisions r ON r.queue = v.queue AND (r.revision = v.voided_in OR r.revision = v.restored_in) WHERE v.seq = ?1",
    )?;
    let record = |row: &Row<'_>| {
        Ok(DecisionRecord {
            entry: JournalSeq(column::number(row, 0)?),
            deed: if row.get::<_, u8>(1)? == super::RevisionKind::Void as u8 { Deed::Voided } else { Deed::Restored },
            revision: Some(column::number(row, 2)?),
            by: row.get(3)?,
            why: row.get(4)?,
            at: column::time(row, 5)?,
        })
    };
    for record in revisions.query_map([column::sql(seq.0)], record)? {
        found.push(record?);
    }
    found.sort_by_key(|record| record.entry);
    Ok(found)
}

fn load_entry(connection: &Connection, entry: JournalSeq) -> Result<(Vec<u8>, UnixMillis), StoreError> {
    let mut load = connection.prepare_cached("SELECT payload, recorded_at FROM journal WHERE seq = ?1")?;
    Ok(load.query_row(params![column::sql(entry.0)], |row| Ok((row.get(0)?, column::time(row, 1)?)))?)
}
