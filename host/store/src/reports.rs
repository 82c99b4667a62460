//! Accepting a report: journal, rating and the match's end in one transaction; the acknowledgement leaves after its commit.

use ladder::id::{GenerationId, JournalSeq, MatchId, ReportId, ServerId};
use ladder::journal::EntryKind;
use ladder::matches::MatchState;
use ladder::reason::Reason;
use ladder::report::{AcceptedReport, Disposition, ReportFacts, ReportRefusal, Source};
use ladder::rules::ServerRecord;
use ladder::time::UnixMillis;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::engines::Engines;
use crate::error::StoreError;
use crate::generations;
use crate::live::{Live, rate_live};
use crate::rating::{RatingChange, Unrated};
use crate::{Pending, Store, certificates, column, journal, matches};

/// Reports of an older database whose dispositions one transaction writes down.
const FILLED_PER_STEP: u32 = 10_000;

/// How to accept a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AcceptOptions {
    /// Answer with what the rating engine predicted, too; for imports, which score it.
    pub predict: bool,
}

/// What became of a report's rating.
#[derive(Clone, Debug, PartialEq)]
pub enum RatingState {
    /// Rated: one change per player, in the order of the report.
    Rated(Vec<RatingChange>),
    /// To be rated later, in journal order.
    Waits(Unrated),
    /// Held or rejected by the stat rules, or given up by an operator.
    NotRatable,
    /// Taken back by an operator: it counts for nothing, from the moment at which the ratings without it are in force.
    Voided {
        /// The journal entry that says so.
        entry: JournalSeq,
        /// Who decided.
        by: String,
        /// Why.
        why: String,
    },
}

/// An accepted report.
#[derive(Clone, Debug, PartialEq)]
pub struct Accepted {
    /// Its place in the journal.
    pub seq: JournalSeq,
    /// What the stat rules decided.
    pub disposition: Disposition,
    /// Why numbers were changed, and what the rules found.
    pub reasons: Vec<Reason>,
    /// What became of its rating.
    pub rating: RatingState,
    /// Per pair of teams, if it was asked for and the report was rated.
    pub predicted: Option<Vec<f64>>,
    /// The report was accepted before: this is the same answer again and nothing changed.
    pub repeated: bool,
}

/// What a report that is sent again is answered with.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredAck {
    /// Its place in the journal.
    pub seq: JournalSeq,
    /// The match; `None` for imported history.
    pub match_id: Option<MatchId>,
    /// Who reported; `None` for imported history.
    pub server: Option<ServerId>,
    /// What the stat rules decided.
    pub disposition: Disposition,
    /// Why numbers were changed, and what the rules found.
    pub reasons: Vec<Reason>,
    /// How many numbers were changed.
    pub clamped: u32,
}

impl Store {
    /// Accepts a report for good: appends it to the journal, rates it and ends its match, in one transaction.
    ///
    /// Everything is looked at again in that transaction: the game server's certificate must be in force, the match must be its own,
    /// admitted or live, and unreported. The same report again is answered with the same acknowledgement. When the engine faults the report
    /// is accepted all the same and waits.
    pub fn accept_report(
        &self,
        report: AcceptedReport,
        options: AcceptOptions,
        now: UnixMillis,
    ) -> Pending<Result<Accepted, ReportRefusal>> {
        let engines = self.engines();
        self.write(move |connection| accept(connection, &engines, report.facts(), options, now))
    }

    /// The acknowledgement of a report that was accepted before.
    pub fn find_report(&self, report_id: ReportId) -> Pending<Option<StoredAck>> {
        self.read(move |connection| {
            let Some((seq, facts)) = find_stored(connection, report_id)? else { return Ok(None) };
            let server = match facts.provenance.source {
                Source::Server(server) => Some(server),
                Source::Import => None,
            };
            let ReportFacts { match_id, disposition, reasons, clamped, .. } = facts;
            Ok(Some(StoredAck { seq, match_id, server, disposition, reasons, clamped }))
        })
    }

    /// What a game server reported before, for the stat rules. Disputes do not exist in this version: their share is 0.
    pub fn server_record(&self, server: ServerId) -> Pending<ServerRecord> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached("SELECT contests, clamped FROM server_records WHERE server = ?1")?;
            let record = statement.query_row([server.0], |row| Ok((row.get::<_, u32>(0)?, row.get::<_, u32>(1)?))).optional()?;
            Ok(record.map_or_else(ServerRecord::default, |(contests, clamped)| ServerRecord {
                contests,
                clamped: f64::from(clamped) / f64::from(contests.max(1)),
                disputed: 0.0,
            }))
        })
    }
}

/// Looks up in the journal what was decided about reports that were accepted before that was kept beside them.
pub(crate) fn fill_dispositions(connection: &Connection) -> Result<(), StoreError> {
    let mut find = connection.prepare("SELECT seq FROM reports WHERE disposition IS NULL LIMIT ?1")?;
    let mut fill = connection.prepare("UPDATE reports SET disposition = ?2 WHERE seq = ?1 AND disposition IS NULL")?;
    loop {
        let found = find.query_map([FILLED_PER_STEP], |row| column::number(row, 0).map(JournalSeq))?.collect::<Result<Vec<_>, _>>()?;
        if found.is_empty() {
            return Ok(());
        }
        connection.execute_batch("BEGIN IMMEDIATE")?;
        for seq in found {
            let facts = journal::find_report(connection, seq)?;
            let facts = facts.ok_or_else(|| StoreError::corrupt(format!("journal entry {seq} of a report is missing")))?;
            fill.execute(params![column::sql(seq.0), facts.disposition as u8])?;
        }
        connection.execute_batch("COMMIT")?;
    }
}

fn find_stored(connection: &Connection, report_id: ReportId) -> Result<Option<(JournalSeq, ReportFacts)>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT seq FROM reports WHERE report_id = ?1")?;
    let seq = statement.query_row([report_id.0], |row| column::number(row, 0).map(JournalSeq)).optional()?;
    let Some(seq) = seq else { return Ok(None) };
    let facts = journal::find_report(connection, seq)?;
    let facts = facts.ok_or_else(|| StoreError::corrupt(format!("journal entry {seq} of a report is missing")))?;
    Ok(Some((seq, facts)))
}

fn accept(
    connection: &Connection,
    engines: &Engines,
    facts: &ReportFacts,
    options: AcceptOptions,
    now: UnixMillis,
) -> Result<Result<Accepted, ReportRefusal>, StoreError> {
    if let Some((seq, stored)) = find_stored(connection, facts.report_id)? {
        return repeat(connection, seq, stored, facts);
    }
    if let Source::Server(server) = facts.provenance.source
        && let Err(refusal) = check_match(connection, facts, server, now)?
    {
        return Ok(Err(refusal));
    }
    let payload = journal::encode(facts);
    if payload.len() > journal::PAYLOAD_BYTES_MAX {
        let problem = format!("{} bytes, at most {} are kept", payload.len(), journal::PAYLOAD_BYTES_MAX);
        return Ok(Err(ReportRefusal::Malformed { problem }));
    }
    let queue = facts.provenance.queue;
    let seq = journal::append(connection, EntryKind::Report, queue, &payload, now)?;
    let mut remember = connection.prepare_cached("INSERT INTO reports (report_id, seq, disposition) VALUES (?1, ?2, ?3)")?;
    remember.execute(params![facts.report_id.0, column::sql(seq.0), facts.disposition as u8])?;
    let live = match facts.disposition {
        Disposition::Ratable => rate_live(connection, engines, seq, facts)?,
        Disposition::Held | Disposition::Rejected => Live::unrated(RatingState::NotRatable),
    };
    if let (Source::Server(server), Some(match_id)) = (facts.provenance.source, facts.match_id) {
        end_match(connection, match_id, seq, live.rated_by, now)?;
        note_record(connection, server, facts.clamped > 0)?;
    }
    let (disposition, reasons) = (facts.disposition, facts.reasons.clone());
    let Live { state: rating, predicted, .. } = live;
    let predicted = predicted.filter(|_| options.predict);
    Ok(Ok(Accepted { seq, disposition, reasons, rating, predicted, repeated: false }))
}

/// The same report again: the same answer. The same id for something else is the game server's fault.
fn repeat(
    connection: &Connection,
    seq: JournalSeq,
    stored: ReportFacts,
    again: &ReportFacts,
) -> Result<Result<Accepted, ReportRefusal>, StoreError> {
    if stored.provenance.source != again.provenance.source || stored.provenance.queue != again.provenance.queue {
        return Ok(Err(ReportRefusal::ForeignMatch));
    }
    if stored.match_id != again.match_id {
        return Ok(Err(ReportRefusal::Malformed { problem: "the report id was used for another match".into() }));
    }
    let rating = generations::find_rating_state(connection, seq, &stored)?;
    let ReportFacts { disposition, reasons, .. } = stored;
    Ok(Ok(Accepted { seq, disposition, reasons, rating, predicted: None, repeated: true }))
}

fn check_match(
    connection: &Connection,
    facts: &ReportFacts,
    server: ServerId,
    now: UnixMillis,
) -> Result<Result<(), ReportRefusal>, StoreError> {
    // Asked here and not only of the session: another process revokes, and the host ends the session a moment later.
    if certificates::is_dead(connection, server, now)? {
        return Ok(Err(ReportRefusal::CertificateDead));
    }
    let found = match facts.match_id {
        Some(match_id) => matches::find_head(connection, match_id)?,
        None => None,
    };
    Ok(match found {
        None => Err(ReportRefusal::UnknownMatch),
        Some(found) if found.server != server => Err(ReportRefusal::ForeignMatch),
        Some(found) if found.queue != facts.provenance.queue => {
            Err(ReportRefusal::Malformed { problem: "the report is of another queue than the match".into() })
        }
        Some(found) => match found.state {
            MatchState::Admitted | MatchState::Live => Ok(()),
            MatchState::Reported => Err(ReportRefusal::AlreadyReported),
            state => Err(ReportRefusal::WrongState { state: state.name() }),
        },
    })
}

fn end_match(
    connection: &Connection,
    match_id: MatchId,
    seq: JournalSeq,
    rated_by: Option<GenerationId>,
    now: UnixMillis,
) -> Result<(), StoreError> {
    let mut statement =
        connection.prepare_cached("UPDATE matches SET state = ?2, ended_at = ?3, report_seq = ?4, rated_by = ?5 WHERE match_id = ?1")?;
    let (state, rated_by) = (MatchState::Reported as u8, rated_by.map(|generation| column::sql(generation.0)));
    statement.execute(params![column::sql(match_id.0), state, column::sql_time(now), column::sql(seq.0), rated_by])?;
    matches::free_players(connection, match_id)
}

fn note_record(connection: &Connection, server: ServerId, clamped: bool) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO server_records (server, contests, clamped) VALUES (?1, 1, ?2)
         ON CONFLICT (server) DO UPDATE SET contests = contests + 1, clamped = clamped + excluded.clamped",
    )?;
    statement.execute(params![server.0, clamped])?;
    Ok(())
}
