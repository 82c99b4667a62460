//! Counts for metrics and for the operator's overview.

use ladder::id::{JournalSeq, QueueId};
use ladder::matches::MatchState;
use ladder::time::UnixMillis;
use rusqlite::Connection;

use crate::decisions::counted::{IS_TURN, REPORT, TURNS, counts};
use crate::error::StoreError;
use crate::{Pending, Store, column, matches};

/// Active matches by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MatchCounts {
    /// Allowlist not acknowledged yet.
    pub pending: u64,
    /// Acknowledged.
    pub admitted: u64,
    /// Started.
    pub live: u64,
}

/// One queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueStatistics {
    /// Which.
    pub queue: QueueId,
    /// Its name.
    pub name: String,
    /// Queue tickets that wait.
    pub waiting: u64,
    /// Reports in the journal, whatever became of them.
    pub reports: u64,
    /// Reports that wait to be rated, those that are not to be rated included: reports of the queue that have their turn after the last rated
    /// one, without those that an operator skipped or voided.
    pub reports_waiting: u64,
    /// The first of the reports that wait: the engine faults at it, or has not come to it yet.
    pub first_waiting: Option<JournalSeq>,
    /// Held reports that nobody has released or voided yet.
    pub reports_held: u64,
    /// Reports that are voided.
    pub reports_voided: u64,
}

/// The whole database in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Players, imported ones included.
    pub players: u64,
    /// Active matches.
    pub matches: MatchCounts,
    /// Journal entries.
    pub journal_entries: u64,
    /// When the last journal entry was written.
    pub journal_last_at: Option<UnixMillis>,
    /// Per queue, in the order they were made.
    pub queues: Vec<QueueStatistics>,
}

impl Store {
    /// Counts active matches by state.
    pub fn match_counts(&self) -> Pending<MatchCounts> {
        self.read_public(count_matches)
    }

    /// Counts everything, for the operator: takes longer the longer the journal is.
    pub fn statistics(&self) -> Pending<Statistics> {
        self.read_public(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT (SELECT coalesce(max(player), 0) FROM players), (SELECT coalesce(max(seq), 0) FROM journal),
                        (SELECT recorded_at FROM journal ORDER BY seq DESC LIMIT 1)",
            )?;
            let mut statistics = statement.query_row([], |row| {
                Ok(Statistics {
                    players: column::number(row, 0)?,
                    journal_entries: column::number(row, 1)?,
                    journal_last_at: column::time_option(row, 2)?,
                    ..Statistics::default()
                })
            })?;
            let waiting = format!(
                "FROM {TURNS} WHERE {IS_TURN} AND j.queue = q.queue AND j.seq > g.rated_through AND {}",
                counts(REPORT, "g.revision")
            );
            let mut queues = connection.prepare_cached(&format!(
                "SELECT q.queue, q.name, (SELECT count(*) FROM queue_tickets t WHERE t.queue = q.queue AND t.match_id IS NULL),
                        (SELECT count(*) FROM journal j WHERE j.queue = q.queue AND j.kind = 1),
                        (SELECT count(*) {waiting}), (SELECT {REPORT} {waiting} ORDER BY j.seq LIMIT 1),
                        (SELECT count(*) FROM reports r JOIN journal j USING (seq) WHERE r.disposition = 2 AND j.queue = q.queue
                            AND r.seq NOT IN (SELECT seq FROM released_reports)
                            AND r.seq NOT IN (SELECT seq FROM voided_reports WHERE restored_in IS NULL)),
                        (SELECT count(*) FROM voided_reports v WHERE v.queue = q.queue AND v.restored_in IS NULL)
                 FROM queues q LEFT JOIN generations g ON g.queue = q.queue AND g.state = 2 ORDER BY q.queue"
            ))?;
            let rows = queues.query_map([], |row| {
                Ok(QueueStatistics {
                    queue: QueueId(column::number(row, 0)?),
                    name: row.get(1)?,
                    waiting: column::number(row, 2)?,
                    reports: column::number(row, 3)?,
                    reports_waiting: column::number(row, 4)?,
                    first_waiting: column::number_option(row, 5)?.map(JournalSeq),
                    reports_held: column::number(row, 6)?,
                    reports_voided: column::number(row, 7)?,
                })
            })?;
            statistics.queues = rows.collect::<Result<_, _>>()?;
            statistics.matches = count_matches(connection)?;
            Ok(statistics)
        })
    }
}

fn count_matches(connection: &Connection) -> Result<MatchCounts, StoreError> {
    let mut statement = connection.prepare_cached("SELECT state, count(*) FROM matches WHERE state <= 3 GROUP BY state")?;
    let mut rows = statement.query([])?;
    let mut counts = MatchCounts::default();
    while let Some(row) = rows.next()? {
        let count = column::number(row, 1)?;
        match matches::state(row, 0)? {
            MatchState::Pending => counts.pending = count,
            MatchState::Admitted => counts.admitted = count,
            MatchState::Live => counts.live = count,
            // The condition leaves them out.
            MatchState::Reported | MatchState::Voided => {}
        }
    }
    Ok(counts)
}
