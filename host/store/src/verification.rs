//! Looking at a database file without trusting it: SQLite's own checks, the schema, the journal's chain, the ratings' bookkeeping.

use std::path::Path;

use ladder::id::{Digest, JournalSeq, QueueId};
use ladder::journal::{Entry, EntryKind, GENESIS};
use rusqlite::{Connection, params};

use crate::decisions::payload as decision_payload;
use crate::error::StoreError;
use crate::installation::ReplayProgress;
use crate::{Store, column, journal, open};

/// Findings of one kind that are listed.
const PROBLEMS_LISTED_MAX: usize = 20;
/// Entries of the chain that one read looks at.
const ENTRIES_PER_WALK: u32 = 16_384;

/// The last entry of the journal: who knows it knows that nothing before it was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalHead {
    /// Its position.
    pub seq: JournalSeq,
    /// Its hash.
    pub hash: Digest,
}

/// One thing that is wrong with a database.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// SQLite's integrity check found damage.
    #[error("integrity: {found}")]
    Integrity {
        /// SQLite's words.
        found: String,
    },
    /// Rows refer to rows that do not exist.
    #[error("{rows} rows of {table} refer to rows that do not exist")]
    ForeignKeys {
        /// Where.
        table: String,
        /// How many.
        rows: u64,
    },
    /// The chain is broken: an entry was changed, removed or put in.
    #[error("the journal is broken at entry {seq}: {problem}")]
    Journal {
        /// The first entry that does not fit.
        seq: JournalSeq,
        /// How.
        problem: String,
    },
    /// A report is in the journal and not findable, or the other way round.
    #[error("{rows} report ids do not stand for one journal entry each")]
    Reports {
        /// How many.
        rows: u64,
    },
    /// A player's number of contests is not the number of rating changes.
    #[error("{rows} players of generation {generation} have another number of contests than of rating changes")]
    Ratings {
        /// Which.
        generation: u64,
        /// How many.
        rows: u64,
    },
}

/// What a look at a database file gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    /// Schema version of the file.
    pub schema_version: u32,
    /// Players, imported ones included.
    pub players: u64,
    /// Matches of any state.
    pub matches: u64,
    /// Journal entries.
    pub journal_entries: u64,
    /// The end of the hash chain; `None`: the journal is empty.
    pub journal_head: Option<JournalHead>,
    /// Empty: the database is sound.
    pub problems: Vec<Problem>,
}

impl Verification {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Looks at a database file, which may be in use. Reads all of it.
///
/// # Errors
/// The file cannot be read at all, or a newer program wrote it. Damage that can be described is a [`Problem`] instead.
pub fn verify(path: impl AsRef<Path>) -> Result<Verification, StoreError> {
    let path = path.as_ref();
    let connection = open::read_connection(path, std::time::Duration::from_secs(5))?;
    let (found, known) = (open::stored_version(&connection)?, open::schema_version());
    if found > known {
        return Err(StoreError::NewerSchema { found, known });
    }
    if found == 0 {
        return Err(StoreError::corrupt(format!("{} is not a database of ranked", path.display())));
    }
    crate::reader::in_snapshot(&connection, |connection| inspect(connection, found))
}

/// What a walk along the whole chain gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainCheck {
    /// The last entry that fits; `None`: there is none.
    pub head: Option<JournalHead>,
    /// The first one that does not.
    pub broken: Option<Problem>,
}

impl Store {
    /// Walks the hash chain of the whole journal, and decodes every entry. Blocks: for a thread of its own. The host may go on meanwhile.
    ///
    /// # Errors
    /// The environment's fault. A broken chain is an answer.
    pub fn check_chain(&self, mut progress: impl FnMut(ReplayProgress)) -> Result<ChainCheck, StoreError> {
        let last = self.read_public(|connection| Ok(journal::head(connection)?.map_or(JournalSeq(0), |(seq, _)| seq))).wait()?;
        let mut head = None;
        loop {
            let walked = self.read_public(move |connection| walk_chain(connection, head, ENTRIES_PER_WALK)).wait()?;
            head = walked.head;
            let through = head.map_or(JournalSeq(0), |head| head.seq);
            progress(ReplayProgress { through, head: last.max(through) });
            if walked.complete {
                return Ok(ChainCheck { head, broken: walked.broken });
            }
        }
    }
}

fn inspect(connection: &Connection, schema_version: u32) -> Result<Verification, StoreError> {
    let mut problems = integrity(connection)?;
    // What a damaged file would say beyond this means nothing.
    if !problems.is_empty() {
        return Ok(Verification { schema_version, players: 0, matches: 0, journal_entries: 0, journal_head: None, problems });
    }
    problems.extend(foreign_keys(connection)?);
    let (journal_head, broken) = chain(connection)?;
    problems.extend(broken);
    problems.extend(reports(connection)?);
    problems.extend(ratings(connection)?);
    let count = |table: &str| connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| column::number(row, 0));
    let (players, matches, journal_entries) = (count("players")?, count("matches")?, count("journal")?);
    Ok(Verification { schema_version, players, matches, journal_entries, journal_head, problems })
}

fn integrity(connection: &Connection) -> Result<Vec<Problem>, StoreError> {
    let mut statement = connection.prepare(&format!("PRAGMA integrity_check({PROBLEMS_LISTED_MAX})"))?;
    let lines: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(lines.into_iter().filter(|line| line != "ok").map(|found| Problem::Integrity { found }).collect())
}

fn foreign_keys(connection: &Connection) -> Result<Vec<Problem>, StoreError> {
    let mut statement = connection.prepare("SELECT \"table\", count(*) FROM pragma_foreign_key_check GROUP BY 1")?;
    let rows = statement.query_map([], |row| Ok(Problem::ForeignKeys { table: row.get(0)?, rows: column::number(row, 1)? }))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// How far a walk along the chain came.
struct Walked {
    head: Option<JournalHead>,
    broken: Option<Problem>,
    /// Whether the journal ends there.
    complete: bool,
}

/// Walks the whole chain.
fn chain(connection: &Connection) -> Result<(Option<JournalHead>, Option<Problem>), StoreError> {
    let Walked { head, broken, .. } = walk_chain(connection, None, u32::MAX)?;
    Ok((head, broken))
}

/// Walks up to `max` entries of the chain after `head`, and decodes each.
fn walk_chain(connection: &Connection, mut head: Option<JournalHead>, max: u32) -> Result<Walked, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT seq, kind, recorded_at, queue, payload, hash FROM journal WHERE seq > ?1 ORDER BY seq LIMIT ?2")?;
    let mut rows = statement.query(params![column::sql(head.map_or(0, |head| head.seq.0)), max])?;
    let mut left = max;
    while let Some(row) = rows.next()? {
        left -= 1;
        let expected = JournalSeq(head.map_or(1, |head| head.seq.0 + 1));
        let seq = JournalSeq(column::number(row, 0)?);
        let broken = |problem: &str| {
            let broken = Some(Problem::Journal { seq, problem: problem.to_owned() });
            Ok(Walked { head, broken, complete: true })
        };
        if seq != expected {
            return broken("entries before it are missing");
        }
        let Some(kind) = EntryKind::from_number(row.get(1)?) else { return broken("its kind is unknown") };
        let payload = row.get_ref(4)?.as_blob().map_err(rusqlite::Error::from)?;
        let queue = QueueId(column::number(row, 3)?);
        let hash = Entry { seq, kind, recorded_at: column::time(row, 2)?, queue, payload }.hash(head.map_or(GENESIS, |head| head.hash));
        if hash != column::digest(row, 5)? {
            return broken("its hash does not follow from it and the entry before");
        }
        if kind == EntryKind::Report && journal::decode(seq, queue, payload).is_err() {
            return broken("its payload is no report");
        }
        if !decision_payload::is_readable(kind, payload) {
            return broken("its payload is no decision");
        }
        if kind == EntryKind::SeasonStarted && journal::decode_season_started(seq, payload).is_err() {
            return broken("its payload is no season");
        }
        head = Some(JournalHead { seq, hash });
    }
    Ok(Walked { head, broken: None, complete: left > 0 })
}

/// One report id per report entry.
fn reports(connection: &Connection) -> Result<Option<Problem>, StoreError> {
    let sql = "SELECT (SELECT count(*) FROM journal WHERE kind = 1 AND seq NOT IN (SELECT seq FROM reports))
                    + (SELECT count(*) - count(DISTINCT seq) FROM reports)
                    + (SELECT count(*) FROM reports WHERE seq NOT IN (SELECT seq FROM journal WHERE kind = 1))";
    let rows = connection.query_row(sql, [], |row| column::number(row, 0))?;
    Ok((rows > 0).then_some(Problem::Reports { rows }))
}

/// Rated twice or not at all would show here.
fn ratings(connection: &Connection) -> Result<Vec<Problem>, StoreError> {
    let mut statement = connection.prepare(
        // Rows of abandoned generations go little by little, and changes of one built in memory come so.
        // After a hard reset a player's contests count anew.
        "WITH hard AS (SELECT generation, (SELECT coalesce(max(s.seq), 0) FROM seasons s WHERE s.queue = g.queue AND s.reset = 1
                                           AND s.seq <= coalesce(g.rated_through, s.seq)) AS seq
                       FROM generations g WHERE state <> 4 AND changes_through >= built_through)
         SELECT generation, count(*) FROM ratings r JOIN hard USING (generation) WHERE contests <>
             (SELECT count(*) FROM rating_changes c LEFT JOIN released_reports l ON l.seq = c.seq
              WHERE c.generation = r.generation AND c.player = r.player AND coalesce(l.released_by, c.seq) > hard.seq)
         GROUP BY generation",
    )?;
    let rows =
        statement.query_map([], |row| Ok(Problem::Ratings { generation: column::number(row, 0)?, rows: column::number(row, 1)? }))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
