//! Everything that is known about one match, for whoever asks why.

use ladder::id::{Digest, GenerationId, JournalSeq, MatchId, PlayerId, QueueId, ServerId};
use ladder::matches::MatchState;
use ladder::reason::Reason;
use ladder::report::{Disposition, ReportFacts};
use ladder::time::UnixMillis;
use rusqlite::{Connection, OptionalExtension as _, Row};

use crate::error::StoreError;
use crate::predictions::{StoredPrediction, find_engine_name, find_prediction};
use crate::rating::RatingChange;
use crate::reports::RatingState;
use crate::{Pending, Store, column, generations, journal, matches};

/// One match.
#[derive(Clone, Debug, PartialEq)]
pub struct MatchDetails {
    /// Which.
    pub match_id: MatchId,
    /// Of which queue.
    pub queue: QueueId,
    /// The queue's name.
    pub queue_name: String,
    /// Where.
    pub server: ServerId,
    /// Whom the game server's certificate names.
    pub server_owner: Option<String>,
    /// Index into the queue's regions.
    pub region: u16,
    /// Its state.
    pub state: MatchState,
    /// As the policy rated it, 0 to 1.
    pub quality: f64,
    /// Which policy proposed it.
    pub policy_digest: Digest,
    /// How often it was moved to another game server.
    pub moves: u32,
    /// When it was opened.
    pub opened_at: UnixMillis,
    /// When the game server acknowledged the allowlist.
    pub admitted_at: Option<UnixMillis>,
    /// When the game server said that it started.
    pub started_at: Option<UnixMillis>,
    /// When it was reported or voided.
    pub ended_at: Option<UnixMillis>,
    /// Why it was voided.
    pub void_reason: Option<Reason>,
    /// Who played, per team.
    pub teams: Vec<Vec<SeatDetails>>,
    /// What was reported.
    pub report: Option<MatchReportDetails>,
}

/// One player of a match.
#[derive(Clone, Debug, PartialEq)]
pub struct SeatDetails {
    /// Who.
    pub player: PlayerId,
    /// The player's name.
    pub name: String,
    /// First time aboard.
    pub joined_at: Option<UnixMillis>,
    /// Last time gone; `None` while aboard.
    pub left_at: Option<UnixMillis>,
    /// What the report did to the rating, if it was rated.
    pub change: Option<RatingChange>,
}

/// The accepted report of a match.
#[derive(Clone, Debug, PartialEq)]
pub struct MatchReportDetails {
    /// Its place in the journal.
    pub seq: JournalSeq,
    /// When the host wrote it there.
    pub recorded_at: UnixMillis,
    /// The entry's hash.
    pub hash: Digest,
    /// The facts: places, scores, statistics, clamps, reasons, disposition.
    pub facts: ReportFacts,
    /// What the stat rules decided.
    pub disposition: Disposition,
    /// What became of its rating; the changes of `Rated` stand at the seats too.
    pub rating: RatingState,
    /// What was predicted of it in the active generation; `None`: it is not rated there, or could not be predicted.
    pub prediction: Option<StoredPrediction>,
    /// The active generation, whose ratings are shown.
    pub shown: Option<GenerationOf>,
    /// The generation that rated the report first; `None`: nobody has yet, or that was before it was written down.
    pub rated_by: Option<GenerationOf>,
}

/// A generation and its rating engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenerationOf {
    /// Which.
    pub generation: GenerationId,
    /// SHA-256 of the engine.
    pub engine_digest: Digest,
    /// The engine's name and version, as it says them; `None`: it was never told.
    pub engine: Option<(String, String)>,
    /// The engine's parameters, as canonical JSON.
    pub parameters: String,
}

impl Store {
    /// Everything known about one match.
    pub fn match_details(&self, match_id: MatchId) -> Pending<Option<MatchDetails>> {
        self.read_public(move |connection| {
            let Some(mut details) = find_match(connection, match_id)? else { return Ok(None) };
            if let Some(MatchReportDetails { rating: RatingState::Rated(changes), .. }) = &details.report {
                for seat in details.teams.iter_mut().flatten() {
                    seat.change = changes.iter().find(|change| change.player == seat.player).cloned();
                }
            }
            Ok(Some(details))
        })
    }
}

fn find_match(connection: &Connection, match_id: MatchId) -> Result<Option<MatchDetails>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT queue, q.name, server, (SELECT owner FROM certificates c WHERE c.server = m.server), region, state, quality,
                policy_digest, moves, opened_at, admitted_at, started_at, ended_at, reason_code, reason_detail, report_seq
         FROM matches m JOIN queues q USING (queue) WHERE match_id = ?1",
    )?;
    let mut rows = statement.query([column::sql(match_id.0)])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let report = match column::number_option(row, 15)?.map(JournalSeq) {
        Some(seq) => find_report(connection, match_id, seq)?,
        None => None,
    };
    Ok(Some(MatchDetails {
        match_id,
        queue: QueueId(column::number(row, 0)?),
        queue_name: row.get(1)?,
        server: column::server(row, 2)?,
        server_owner: row.get(3)?,
        region: row.get(4)?,
        state: matches::state(row, 5)?,
        quality: row.get(6)?,
        policy_digest: column::digest(row, 7)?,
        moves: row.get(8)?,
        opened_at: column::time(row, 9)?,
        admitted_at: column::time_option(row, 10)?,
        started_at: column::time_option(row, 11)?,
        ended_at: column::time_option(row, 12)?,
        void_reason: column::reason(row, 13, 14)?,
        teams: load_seats(connection, match_id)?,
        report,
    }))
}

fn load_seats(connection: &Connection, match_id: MatchId) -> Result<Vec<Vec<SeatDetails>>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT team, player, name, joined_at, left_at FROM match_players JOIN players USING (player)
         WHERE match_id = ?1 ORDER BY team, position",
    )?;
    let mut rows = statement.query([column::sql(match_id.0)])?;
    let mut teams: Vec<Vec<SeatDetails>> = Vec::new();
    while let Some(row) = rows.next()? {
        let team: u16 = row.get(0)?;
        if teams.len() <= usize::from(team) {
            teams.resize_with(usize::from(team) + 1, Vec::new);
        }
        teams[usize::from(team)].push(SeatDetails {
            player: PlayerId(column::number(row, 1)?),
            name: row.get(2)?,
            joined_at: column::time_option(row, 3)?,
            left_at: column::time_option(row, 4)?,
            change: None,
        });
    }
    Ok(teams)
}

fn find_report(connection: &Connection, match_id: MatchId, seq: JournalSeq) -> Result<Option<MatchReportDetails>, StoreError> {
    let Some(facts) = journal::find_report(connection, seq)? else { return Ok(None) };
    let mut entry = connection.prepare_cached("SELECT recorded_at, hash FROM journal WHERE seq = ?1")?;
    let (recorded_at, hash) = entry.query_row([column::sql(seq.0)], |row| Ok((column::time(row, 0)?, column::digest(row, 1)?)))?;
    let queue = column::sql(facts.provenance.queue.0);
    let shown = find_generation(connection, "queue = ?1 AND state = 2", queue)?;
    let first = "generation = (SELECT rated_by FROM matches WHERE match_id = ?1)";
    let rated_by = find_generation(connection, first, column::sql(match_id.0))?;
    let rating = generations::find_rating_state(connection, seq, &facts)?;
    let prediction = match (&rating, &shown) {
        (RatingState::Rated(_), Some(shown)) => find_prediction(connection, shown.generation, seq, facts.places.len())?,
        _ => None,
    };
    Ok(Some(MatchReportDetails { seq, recorded_at, hash, disposition: facts.disposition, facts, rating, prediction, shown, rated_by }))
}

fn find_generation(connection: &Connection, condition: &str, key: i64) -> Result<Option<GenerationOf>, StoreError> {
    let mut find =
        connection.prepare_cached(&format!("SELECT generation, engine_digest, parameters FROM generations WHERE {condition}"))?;
    let generation = |row: &Row<'_>| Ok((GenerationId(column::number(row, 0)?), column::digest(row, 1)?, row.get(2)?));
    let Some((generation, engine_digest, parameters)) = find.query_row([key], generation).optional()? else { return Ok(None) };
    Ok(Some(GenerationOf { generation, engine_digest, engine: find_engine_name(connection, engine_digest)?, parameters }))
}
