//! The journal: appended to, read in order, verified. Never changed: triggers of the schema refuse it.
//!
//! A payload is Protobuf with numbered fields: new fields may come, old ones keep their number and meaning. The hash chain covers the bytes
//! as they are stored, which are never encoded again.

use ladder::id::{Digest, JournalSeq, MatchId, PlayerId, QueueId, ReportId, ServerId};
use ladder::journal::{Entry, EntryKind, GENESIS};
use ladder::rating::Stat;
use ladder::reason::Reason;
use ladder::report::{AcceptedPlayer, Disposition, Provenance, ReportFacts, Source};
use ladder::season::{Decay, SeasonReset, StandingRules};
use ladder::time::{UnixMillis, UnixSeconds};
use prost::Message as _;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::decisions::counted::{self, IS_TURN, REPORT, TURNS, counts};
use crate::error::StoreError;
use crate::seasons::NewSeason;
use crate::{Pending, Store, column};

/// Bytes of one entry's payload; a longer report is refused.
pub const PAYLOAD_BYTES_MAX: usize = 1024 * 1024;

/// Appends one entry and returns where it stands.
pub(crate) fn append(
    connection: &Connection,
    kind: EntryKind,
    queue: QueueId,
    payload: &[u8],
    now: UnixMillis,
) -> Result<JournalSeq, StoreError> {
    let (last, previous) = head(connection)?.unwrap_or((JournalSeq(0), GENESIS));
    let entry = Entry { seq: JournalSeq(last.0 + 1), kind, recorded_at: now, queue, payload };
    let mut statement =
        connection.prepare_cached("INSERT INTO journal (seq, kind, recorded_at, queue, payload, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    let (seq, queue) = (column::sql(entry.seq.0), column::sql(queue.0));
    statement.execute(params![seq, kind as u8, column::sql_time(now), queue, payload, entry.hash(previous).0])?;
    Ok(entry.seq)
}

/// The last entry and its hash; `None` if there is none.
pub(crate) fn head(connection: &Connection) -> Result<Option<(JournalSeq, Digest)>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT seq, hash FROM journal ORDER BY seq DESC LIMIT 1")?;
    let head = statement.query_row([], |row| Ok((JournalSeq(column::number(row, 0)?), column::digest(row, 1)?)));
    Ok(head.optional()?)
}

/// The report at `seq`; `None` if there is no such entry or it is of another kind.
pub(crate) fn find_report(connection: &Connection, seq: JournalSeq) -> Result<Option<ReportFacts>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT queue, payload FROM journal WHERE seq = ?1 AND kind = 1")?;
    let mut rows = statement.query([column::sql(seq.0)])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let payload = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
    decode(seq, QueueId(column::number(row, 0)?), payload).map(Some)
}

/// A report where it has its turn to be rated.
pub(crate) struct Due {
    /// Where: its own entry, or the one that released it.
    pub(crate) at: JournalSeq,
    /// Its own entry.
    pub(crate) seq: JournalSeq,
    /// The report; one that was held and released is ratable here.
    pub(crate) facts: ReportFacts,
}

impl Store {
    /// Up to `max` accepted reports of a queue that have their turn after entry `after`, with that turn and in its order, as the queue's newest
    /// revision counts them; those that are not to be rated are among them. A held report that was released stands at its release, and is
    /// ratable there.
    pub fn load_reports(&self, queue: QueueId, after: JournalSeq, max: u32) -> Pending<Vec<(JournalSeq, ReportFacts)>> {
        self.read_public(move |connection| {
            let revision = counted::newest_revision(connection, queue)?;
            let due = load_due(connection, queue, revision, after, max)?;
            Ok(due.into_iter().map(|due| (due.at, due.facts)).collect())
        })
    }
}

/// Up to `max` reports of a queue that count in a revision and have their turn after `after`, in order. Reports that are not to be rated are
/// among them: the caller must see how far it came.
pub(crate) fn load_due(
    connection: &Connection,
    queue: QueueId,
    revision: u64,
    after: JournalSeq,
    max: u32,
) -> Result<Vec<Due>, StoreError> {
    let mut due = Vec::new();
    if max > 0 {
        let end = JournalSeq(i64::MAX.cast_unsigned());
        visit_due(connection, (queue, revision), (after, end), |stored| {
            let mut facts = decode(stored.seq, queue, stored.payload)?;
            if stored.released {
                facts.disposition = Disposition::Ratable;
            }
            due.push(Due { at: stored.at, seq: stored.seq, facts });
            Ok(due.len() < max as usize)
        })?;
    }
    Ok(due)
}

/// A report where it has its turn to be rated, as it is stored.
pub(crate) struct StoredReport<'a> {
    /// Where: its own entry, or the one that released it.
    pub(crate) at: JournalSeq,
    /// Its own entry.
    pub(crate) seq: JournalSeq,
    /// Whether it was held before: it is ratable here.
    pub(crate) released: bool,
    /// The report, encoded.
    pub(crate) payload: &'a [u8],
}

/// Shows the reports of a queue that count in a revision and have their turn after the first entry and up to the second one, in order, until
/// `look` says no; whether it never did. The one place that knows the order of rating.
pub(crate) fn visit_due(
    connection: &Connection,
    (queue, revision): (QueueId, u64),
    (after, until): (JournalSeq, JournalSeq),
    mut look: impl FnMut(StoredReport<'_>) -> Result<bool, StoreError>,
) -> Result<bool, StoreError> {
    let mut statement = connection.prepare_cached(&select_due())?;
    let range = params![column::sql(after.0), column::sql(until.0), column::sql(queue.0), column::sql(revision)];
    let mut rows = statement.query(range)?;
    while let Some(row) = rows.next()? {
        let (at, seq) = (JournalSeq(column::number(row, 0)?), JournalSeq(column::number(row, 1)?));
        let payload = row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?;
        if !look(StoredReport { at, seq, released: row.get(3)?, payload })? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn select_due() -> String {
    format!(
        "SELECT j.seq, {REPORT}, coalesce(p.payload, j.payload), r.seq IS NOT NULL FROM {TURNS} LEFT JOIN journal p ON p.seq = r.seq
         WHERE {IS_TURN} AND j.seq > ?1 AND j.seq <= ?2 AND j.queue = ?3 AND {} ORDER BY j.seq",
        counts(REPORT, "?4")
    )
}

/// How many reports [`visit_due`] would show, counted up to `max`.
pub(crate) fn count_due(
    connection: &Connection,
    (queue, revision): (QueueId, u64),
    (after, until): (JournalSeq, JournalSeq),
    max: u32,
) -> Result<u32, StoreError> {
    let mut statement = connection.prepare_cached(&count_due_up_to())?;
    let range = params![column::sql(after.0), column::sql(until.0), column::sql(queue.0), column::sql(revision), max];
    Ok(statement.query_row(range, |row| row.get(0))?)
}

fn count_due_up_to() -> String {
    format!(
        "SELECT count(*) FROM (SELECT 1 FROM {TURNS} WHERE {IS_TURN} AND j.seq > ?1 AND j.seq <= ?2 AND j.queue = ?3 AND {} LIMIT ?5)",
        counts(REPORT, "?4")
    )
}

/// A report as an entry's payload. Times and numbers keep every bit.
pub(crate) fn encode(facts: &ReportFacts) -> Vec<u8> {
    let server = match facts.provenance.source {
        Source::Server(server) => server.0.to_vec(),
        Source::Import => Vec::new(),
    };
    let (total_index, total_value) = split_stats(&facts.totals);
    let wire = wire::Report {
        report_id: facts.report_id.0.to_vec(),
        match_id: facts.match_id.map(|id| id.0),
        server,
        at_s: facts.provenance.at.0,
        trust: facts.provenance.trust,
        rules: facts.provenance.rules.map(|digest| digest.0.to_vec()).unwrap_or_default(),
        duration_s: facts.duration_s,
        places: facts.places.iter().copied().map(u32::from).collect(),
        scores: facts.scores.clone(),
        sides: facts.sides.iter().copied().map(u32::from).collect(),
        map: facts.map.map(u32::from),
        mode: facts.mode.map(u32::from),
        total_index,
        total_value,
        players: facts.players.iter().map(encode_player).collect(),
        disposition: facts.disposition as u32,
        clamped: facts.clamped,
        reasons: facts.reasons.iter().map(|reason| wire::Reason { code: reason.code.clone(), detail: reason.detail.clone() }).collect(),
    };
    wire.encode_to_vec()
}

fn encode_player(player: &AcceptedPlayer) -> wire::Player {
    let (stat_index, stat_value) = split_stats(&player.stats);
    wire::Player { player: player.player.0, team: u32::from(player.team), presence: player.presence, stat_index, stat_value }
}

fn split_stats(stats: &[Stat]) -> (Vec<u32>, Vec<f64>) {
    stats.iter().map(|stat| (u32::from(stat.index), stat.value)).unzip()
}

/// The report in an entry's payload.
///
/// # Errors
/// [`StoreError::Corrupt`]: no version of this program wrote it.
pub(crate) fn decode(seq: JournalSeq, queue: QueueId, payload: &[u8]) -> Result<ReportFacts, StoreError> {
    let wire = wire::Report::decode(payload).map_err(|error| StoreError::corrupt(format!("journal entry {seq}: {error}")))?;
    facts(queue, wire).ok_or_else(|| StoreError::corrupt(format!("journal entry {seq} holds a number that no report can have")))
}

fn facts(queue: QueueId, wire: wire::Report) -> Option<ReportFacts> {
    let source = match wire.server.as_slice() {
        [] => Source::Import,
        server => Source::Server(ServerId(server.try_into().ok()?)),
    };
    let rules = match wire.rules.as_slice() {
        [] => None,
        digest => Some(Digest(digest.try_into().ok()?)),
    };
    Some(ReportFacts {
        report_id: ReportId(wire.report_id.try_into().ok()?),
        match_id: wire.match_id.map(MatchId),
        provenance: Provenance { queue, source, at: UnixSeconds(wire.at_s), trust: wire.trust, rules },
        duration_s: wire.duration_s,
        places: small_all(&wire.places)?,
        scores: wire.scores,
        sides: small_all(&wire.sides)?,
        map: small_option(wire.map)?,
        mode: small_option(wire.mode)?,
        totals: join_stats(&wire.total_index, &wire.total_value)?,
        players: wire.players.iter().map(decode_player).collect::<Option<_>>()?,
        disposition: Disposition::from_number(u8::try_from(wire.disposition).ok()?)?,
        clamped: wire.clamped,
        reasons: wire.reasons.into_iter().map(|reason| Reason { code: reason.code, detail: reason.detail }).collect(),
    })
}

fn decode_player(player: &wire::Player) -> Option<AcceptedPlayer> {
    Some(AcceptedPlayer {
        player: PlayerId(player.player),
        team: u16::try_from(player.team).ok()?,
        presence: player.presence,
        stats: join_stats(&player.stat_index, &player.stat_value)?,
    })
}

fn join_stats(index: &[u32], value: &[f64]) -> Option<Vec<Stat>> {
    if index.len() != value.len() {
        return None;
    }
    index.iter().zip(value).map(|(&index, &value)| Some(Stat { index: u16::try_from(index).ok()?, value })).collect()
}

fn small_all(numbers: &[u32]) -> Option<Vec<u16>> {
    numbers.iter().map(|&number| u16::try_from(number).ok()).collect()
}

#[allow(clippy::option_option)] // The outer one says "fits", the inner one "is there".
fn small_option(number: Option<u32>) -> Option<Option<u16>> {
    number.map_or(Some(None), |number| u16::try_from(number).ok().map(Some))
}

/// An entry that gives up rating the report at `seq`.
pub(crate) fn encode_skipped(seq: JournalSeq, why: &str) -> Vec<u8> {
    wire::Skipped { seq: seq.0, why: why.to_owned() }.encode_to_vec()
}

/// An entry that starts a season.
pub(crate) fn encode_season_started(number: u32, new: &NewSeason) -> Vec<u8> {
    let NewSeason { name, reset, starts_at, ended, by } = new;
    let decay = ended.decay.map(|Decay { after_days, per_day, floor }| wire::Decay { after_days, per_day, floor });
    wire::SeasonStarted {
        number,
        name: name.clone(),
        reset: u32::from(reset.number()),
        keep: reset.keep(),
        starts_at_ms: starts_at.0,
        by: by.clone(),
        placements: ended.placements,
        decay,
    }
    .encode_to_vec()
}

/// The season in an entry's payload.
///
/// # Errors
/// [`StoreError::Corrupt`]: no version of this program wrote it.
pub(crate) fn decode_season_started(seq: JournalSeq, payload: &[u8]) -> Result<NewSeason, StoreError> {
    let wire = wire::SeasonStarted::decode(payload).map_err(|error| StoreError::corrupt(format!("journal entry {seq}: {error}")))?;
    let reset = u8::try_from(wire.reset).ok().and_then(|number| SeasonReset::from_number(number, wire.keep));
    let reset = reset.ok_or_else(|| StoreError::corrupt(format!("journal entry {seq} holds a reset that no season can have")))?;
    let decay = wire.decay.map(|wire::Decay { after_days, per_day, floor }| Decay { after_days, per_day, floor });
    let ended = StandingRules { placements: wire.placements, decay };
    Ok(NewSeason { name: wire.name, reset, starts_at: UnixMillis(wire.starts_at_ms), ended, by: wire.by })
}

/// Why the report of such an entry was given up.
pub(crate) fn skipped_because(seq: JournalSeq, payload: &[u8]) -> Result<String, StoreError> {
    let skipped = wire::Skipped::decode(payload).map_err(|error| StoreError::corrupt(format!("journal entry {seq}: {error}")))?;
    Ok(skipped.why)
}

/// The payloads. Field numbers never change their meaning.
mod wire {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Report {
        #[prost(bytes = "vec", tag = "1")]
        pub(super) report_id: Vec<u8>,
        #[prost(uint64, optional, tag = "2")]
        pub(super) match_id: Option<u64>,
        /// Empty: imported.
        #[prost(bytes = "vec", tag = "3")]
        pub(super) server: Vec<u8>,
        #[prost(sint64, tag = "4")]
        pub(super) at_s: i64,
        #[prost(double, tag = "5")]
        pub(super) trust: f64,
        #[prost(uint32, tag = "6")]
        pub(super) duration_s: u32,
        #[prost(uint32, repeated, tag = "7")]
        pub(super) places: Vec<u32>,
        #[prost(double, repeated, tag = "8")]
        pub(super) scores: Vec<f64>,
        #[prost(uint32, repeated, tag = "9")]
        pub(super) sides: Vec<u32>,
        #[prost(uint32, optional, tag = "10")]
        pub(super) map: Option<u32>,
        #[prost(uint32, optional, tag = "11")]
        pub(super) mode: Option<u32>,
        #[prost(uint32, repeated, tag = "12")]
        pub(super) total_index: Vec<u32>,
        #[prost(double, repeated, tag = "13")]
        pub(super) total_value: Vec<f64>,
        #[prost(message, repeated, tag = "14")]
        pub(super) players: Vec<Player>,
        #[prost(uint32, tag = "15")]
        pub(super) disposition: u32,
        #[prost(uint32, tag = "16")]
        pub(super) clamped: u32,
        #[prost(message, repeated, tag = "17")]
        pub(super) reasons: Vec<Reason>,
        #[prost(bytes = "vec", tag = "18")]
        pub(super) rules: Vec<u8>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Player {
        #[prost(uint64, tag = "1")]
        pub(super) player: u64,
        #[prost(uint32, tag = "2")]
        pub(super) team: u32,
        #[prost(double, tag = "3")]
        pub(super) presence: f64,
        #[prost(uint32, repeated, tag = "4")]
        pub(super) stat_index: Vec<u32>,
        #[prost(double, repeated, tag = "5")]
        pub(super) stat_value: Vec<f64>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Reason {
        #[prost(string, tag = "1")]
        pub(super) code: String,
        #[prost(string, tag = "2")]
        pub(super) detail: String,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct SeasonStarted {
        #[prost(uint32, tag = "1")]
        pub(super) number: u32,
        #[prost(string, tag = "2")]
        pub(super) name: String,
        #[prost(uint32, tag = "3")]
        pub(super) reset: u32,
        #[prost(double, tag = "4")]
        pub(super) keep: f64,
        #[prost(uint64, tag = "5")]
        pub(super) starts_at_ms: u64,
        #[prost(string, tag = "6")]
        pub(super) by: String,
        #[prost(uint32, tag = "7")]
        pub(super) placements: u32,
        #[prost(message, optional, tag = "8")]
        pub(super) decay: Option<Decay>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Decay {
        #[prost(uint32, tag = "1")]
        pub(super) after_days: u32,
        #[prost(double, tag = "2")]
        pub(super) per_day: f64,
        #[prost(double, tag = "3")]
        pub(super) floor: f64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Skipped {
        #[prost(uint64, tag = "1")]
        pub(super) seq: u64,
        #[prost(string, tag = "2")]
        pub(super) why: String,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_report_survives_its_payload_bit_for_bit() {
        let facts = ReportFacts {
            report_id: ReportId([3; 16]),
            match_id: Some(MatchId(u64::MAX)),
            provenance: Provenance {
                queue: QueueId(2),
                source: Source::Server(ServerId([0; 16])),
                at: UnixSeconds(-3_000_000_000),
                trust: 0.1 + 0.2,
                rules: Some(Digest([9; 32])),
            },
            duration_s: 77,
            places: vec![1, 0],
            scores: vec![f64::MIN_POSITIVE, -1e9],
            sides: vec![1, 0],
            map: Some(0),
            mode: None,
            totals: vec![Stat { index: 0, value: 0.0 }],
            players: vec![
                AcceptedPlayer { player: PlayerId(1), team: 0, presence: 0.5, stats: vec![Stat { index: 65535, value: 1.0 / 3.0 }] },
                AcceptedPlayer { player: PlayerId(2), team: 1, presence: 0.0, stats: vec![] },
            ],
            disposition: Disposition::Held,
            clamped: 2,
            reasons: vec![Reason::new("clamped", "statistic 0")],
        };
        assert_eq!(decode(JournalSeq(1), QueueId(2), &encode(&facts)).unwrap(), facts);
        let provenance = Provenance { source: Source::Import, rules: None, ..facts.provenance };
        let imported = ReportFacts { match_id: None, provenance, ..facts };
        assert_eq!(decode(JournalSeq(1), QueueId(2), &encode(&imported)).unwrap(), imported);
    }

    #[test]
    fn what_is_due_in_a_queue_is_found_without_the_entries_of_others() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("ranked.db"), crate::Options::default()).unwrap();
        for (sql, numbers) in [(select_due(), 4), (count_due_up_to(), 5)] {
            let plan = store.read(move |connection| {
                let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
                let rows = statement.query_map(rusqlite::params_from_iter(vec![1; numbers]), |row| row.get::<_, String>(3))?;
                Ok(rows.collect::<Result<Vec<_>, _>>()?.join("\n"))
            });
            let plan = plan.wait().unwrap();
            assert!(plan.contains("SEARCH j USING INDEX journal_turns (queue=? AND seq>? AND seq<?)"), "{plan}");
            assert!(!plan.contains("TEMP B-TREE"), "in its order: {plan}");
        }
    }

    #[test]
    fn a_season_survives_its_payload_bit_for_bit() {
        let decay = Some(Decay { after_days: 14, per_day: 0.1, floor: -1.5 });
        let new = NewSeason {
            name: "2027-1".into(),
            reset: SeasonReset::Soft { keep: 0.6 },
            starts_at: UnixMillis(7),
            ended: StandingRules { placements: 10, decay },
            by: "host".into(),
        };
        assert_eq!(decode_season_started(JournalSeq(1), &encode_season_started(3, &new)).unwrap(), new);
        let plain = NewSeason { reset: SeasonReset::Hard, ended: StandingRules::default(), ..new };
        assert_eq!(decode_season_started(JournalSeq(1), &encode_season_started(4, &plain)).unwrap(), plain);
        let unknown = wire::SeasonStarted { reset: 9, ..wire::SeasonStarted::default() }.encode_to_vec();
        assert_eq!(decode_season_started(JournalSeq(1), &unknown).unwrap_err().code(), "corrupt");
    }

    #[test]
    fn a_payload_that_nobody_wrote_is_damage() {
        let short_id = wire::Report { report_id: vec![1], disposition: 1, ..wire::Report::default() }.encode_to_vec();
        let disposition = wire::Report { report_id: vec![1; 16], disposition: 9, ..wire::Report::default() }.encode_to_vec();
        for (name, payload) in [("noise", vec![0xff; 7]), ("short id", short_id), ("disposition", disposition)] {
            let error = decode(JournalSeq(1), QueueId(1), &payload).expect_err(name);
            assert_eq!(error.code(), "corrupt", "{name}");
        }
    }
}
