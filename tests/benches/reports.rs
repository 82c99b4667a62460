//! Accepted 5v5 reports per second, durable, beside a bare loop that writes the same rows with the same indexes and as many reports per
//! commit, `synchronous=FULL` both.
//!
//! `cargo bench -p tests --bench reports`. Both run on copies of one prepared database, in turns, in one process; the bare loop gets every
//! row ready-made and reads nothing. The store checks the match, appends to the hash chain, calls the rating engine in its sandbox, reads
//! and writes ratings, ends the match and answers.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ladder::id::{Digest, MatchId, PlayerId, QueueId, ReportId, ServerId};
use ladder::queue::QueueShape;
use ladder::rating::{RatingEngine, Stat};
use ladder::report::{AcceptedPlayer, AcceptedReport, Disposition, Provenance, ReportFacts, Source};
use ladder::time::{UnixMillis, UnixSeconds};
use plugin_runtime::{Limits, PluginSource, PluginSpec, Role, Runtime};
use rusqlite::{Connection, params};
use store::{AcceptOptions, Commit, MatchOrder, Member, NewQueueTicket, Options, Store};

/// Reports of one round; each is of a match of its own, of players of its own who were rated before.
const REPORTS: usize = 3000;
const TEAM: usize = 5;
/// Reports that wait for their acknowledgement at the same time, as game servers of a busy community would have it.
const IN_FLIGHT: usize = 64;
const ROUNDS: usize = 3;
const SERVER: ServerId = ServerId([7; 16]);
const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let prepared = folder.path().join("prepared.db");
    let engine = engine();
    let reports = prepare(&prepared, &engine);
    checkpoint(&prepared);
    println!("{REPORTS} reports of 5v5 a round, {IN_FLIGHT} in flight, synchronous=FULL");
    println!("| round | who | reports/s | reports per commit | CPU per report |");
    println!("|---|---|---|---|---|");
    let mut ratios = Vec::new();
    for round in 1..=ROUNDS {
        let (stored, bare) = (folder.path().join("stored.db"), folder.path().join("bare.db"));
        for path in [&stored, &bare] {
            std::fs::copy(&prepared, path).unwrap();
        }
        let (accepted, commits) = accept(&stored, &engine, &reports);
        print(round, "store", &accepted, commits.len());
        let rows = Rows::read(&stored);
        let written = write_bare(&bare, &rows, &commits);
        print(round, "bare loop", &written, commits.len());
        assert_same(&stored, &bare);
        ratios.push(written.wall.as_secs_f64() / accepted.wall.as_secs_f64());
        for path in [stored, bare] {
            for suffix in ["", "-wal", "-shm", ".lock"] {
                drop(std::fs::remove_file(format!("{}{suffix}", path.display())));
            }
        }
    }
    ratios.sort_by(f64::total_cmp);
    println!("store / bare loop, median of {ROUNDS}: {:.2} (wanted: at least 0.33)", ratios[ROUNDS / 2]);
}

fn engine() -> Arc<dyn RatingEngine> {
    let shape = QueueShape { queue: "team".into(), teams: 2, team_sizes: vec![TEAM as u16], ..QueueShape::default() };
    let source = PluginSource::builtin("gaussian").unwrap();
    let limits = Limits { deadline_ms_max: 10_000, ..Limits::of(Role::Rating) };
    let spec = PluginSpec { limits, ..PluginSpec::new("team.rating", Role::Rating, source) };
    Arc::new(Runtime::new().unwrap().load_rating(spec, &shape).unwrap())
}

/// Everybody registered and rated once, and one live match per report.
fn prepare(path: &Path, engine: &Arc<dyn RatingEngine>) -> Vec<ReportFacts> {
    let store = Store::open(path, Options::default()).unwrap();
    let queue = store.ensure_queue("team").wait().unwrap();
    store.install_engine(queue, Arc::clone(engine), |_| (), NOW).wait().unwrap().unwrap();
    let mut players = Vec::new();
    for chunk in (0..REPORTS * TEAM * 2).collect::<Vec<_>>().chunks(5000) {
        players.extend(store.ensure_players(chunk.iter().map(|number| format!("player-{number}")).collect(), NOW).wait().unwrap());
    }
    let contests: Vec<&[PlayerId]> = players.chunks(TEAM * 2).collect();
    let history = (0..).zip(&contests).map(|(number, players)| facts(queue, None, number, players));
    let pending: Vec<_> =
        history.map(|facts| store.accept_report(AcceptedReport::from_journal(facts), AcceptOptions::default(), NOW)).collect();
    pending.into_iter().for_each(|pending| drop(pending.wait().unwrap().unwrap()));
    let mut reports = Vec::new();
    for contests in contests.chunks(500) {
        reports.extend(open(&store, queue, contests, reports.len()));
    }
    reports
}

/// Admitted matches of these line-ups, and the reports that will end them.
fn open(store: &Store, queue: QueueId, contests: &[&[PlayerId]], before: usize) -> Vec<ReportFacts> {
    let party = |players: &[PlayerId]| {
        let members = players.iter().map(|&player| Member { player, latency_ms: vec![20] }).collect();
        store.enqueue(NewQueueTicket { queue, members, regions: 1 }, NOW)
    };
    let waiting: Vec<_> = contests.iter().flat_map(|players| players.chunks(TEAM)).map(party).collect();
    let tickets: Vec<_> = waiting.into_iter().map(|pending| pending.wait().unwrap().unwrap().id).collect();
    let order = |teams: &[_]| MatchOrder {
        queue,
        teams: teams.iter().map(|&ticket| vec![ticket]).collect(),
        region: 0,
        server: SERVER,
        server_capacity: u32::MAX,
        quality: 0.5,
        policy_digest: Digest([0; 32]),
    };
    let opened = store.open_matches(tickets.chunks(2).map(order).collect(), NOW).wait().unwrap();
    let opened: Vec<_> = opened.into_iter().map(|opened| opened.unwrap().handle_ack(SERVER).unwrap()).collect();
    let admitted: Vec<_> = opened.iter().map(|opened| store.admit_match(opened, NOW)).collect();
    admitted.into_iter().for_each(|pending| pending.wait().unwrap().unwrap());
    let number = |index: usize| (REPORTS + before + index) as u64;
    let matches = opened.iter().zip(contests).enumerate();
    matches.map(|(index, (opened, players))| facts(queue, Some(opened.details().match_id), number(index), players)).collect()
}

/// Everything stands in the main file, so that a copy of it is a copy of the database: the store's readers close last, and cannot.
fn checkpoint(path: &Path) {
    let connection = Connection::open(path).unwrap();
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
}

fn facts(queue: QueueId, match_id: Option<MatchId>, number: u64, players: &[PlayerId]) -> ReportFacts {
    let mut report_id = [0; 16];
    // Spread as random identifiers are.
    report_id[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    let player = |(index, &player): (usize, &PlayerId)| {
        let stats = [(0, 11.0), (1, 7.0)].map(|(stat, value)| Stat { index: stat, value: value + index as f64 });
        AcceptedPlayer { player, team: (index / TEAM) as u16, presence: 1.0, stats: stats.to_vec() }
    };
    let source = if match_id.is_some() { Source::Server(SERVER) } else { Source::Import };
    ReportFacts {
        report_id: ReportId(report_id),
        match_id,
        provenance: Provenance { queue, source, at: UnixSeconds(1_700_000_000 + number as i64), trust: 1.0, rules: None },
        duration_s: 1800,
        places: if number.is_multiple_of(2) { vec![0, 1] } else { vec![1, 0] },
        scores: vec![13.0, 9.0],
        sides: vec![],
        map: Some(0),
        mode: None,
        totals: vec![Stat { index: 0, value: 22.0 }],
        players: players.iter().enumerate().map(player).collect(),
        disposition: Disposition::Ratable,
        clamped: 0,
        reasons: vec![],
    }
}

struct Cost {
    wall: Duration,
    cpu: Duration,
}

impl Cost {
    fn of(work: impl FnOnce()) -> Self {
        let (cpu, started) = (cpu_time(), Instant::now());
        work();
        Self { wall: started.elapsed(), cpu: cpu_time() - cpu }
    }
}

fn print(round: usize, who: &str, cost: &Cost, commits: usize) {
    let (per_second, per_commit) = (REPORTS as f64 / cost.wall.as_secs_f64(), REPORTS as f64 / commits as f64);
    let cpu_us = cost.cpu.as_secs_f64() * 1e6 / REPORTS as f64;
    println!("| {round} | {who} | {per_second:.0} | {per_commit:.1} | {cpu_us:.0} us |");
}

/// CPU time of this process, user and system, all threads; Linux counts it in hundredths of a second here.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    Duration::from_millis(10 * (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()))
}

/// Accepts every report and returns how many shared each commit.
fn accept(path: &Path, engine: &Arc<dyn RatingEngine>, reports: &[ReportFacts]) -> (Cost, Vec<usize>) {
    let commits = Arc::new(Mutex::new(Vec::new()));
    let observer = Arc::clone(&commits);
    let observe = move |commit: Commit| observer.lock().unwrap().push(commit.commands);
    let store = Store::open(path, Options { commit_observer: Some(Arc::new(observe)), ..Options::default() }).unwrap();
    let queue = store.ensure_queue("team").wait().unwrap();
    assert!(!store.install_engine(queue, Arc::clone(engine), |_| (), NOW).wait().unwrap().unwrap().rebuilt);
    store.probe().wait().unwrap();
    let reports: Vec<_> = reports.iter().cloned().map(AcceptedReport::from_journal).collect();
    commits.lock().unwrap().clear();
    let cost = Cost::of(|| {
        let mut in_flight = VecDeque::new();
        for report in reports {
            if in_flight.len() == IN_FLIGHT {
                wait_for_oldest(&mut in_flight);
            }
            in_flight.push_back(store.accept_report(report, AcceptOptions::default(), NOW));
        }
        while !in_flight.is_empty() {
            wait_for_oldest(&mut in_flight);
        }
    });
    drop(store);
    let mut commits = std::mem::take(&mut *commits.lock().unwrap());
    // The observer hears of a commit after its answers left: what came before the first report may have slipped in.
    let surplus = commits.iter().sum::<usize>() - REPORTS;
    if surplus > 0 {
        commits[0] -= surplus;
    }
    (cost, commits)
}

fn wait_for_oldest(in_flight: &mut VecDeque<store::Pending<Result<store::Accepted, ladder::report::ReportRefusal>>>) {
    let accepted = in_flight.pop_front().unwrap().wait().unwrap().unwrap();
    assert!(matches!(accepted.rating, store::RatingState::Rated(_)));
}

type Blob = Vec<u8>;

/// Everything that the store wrote for one report.
struct Rows {
    seq: i64,
    recorded_at: i64,
    queue: i64,
    payload: Blob,
    hash: Blob,
    report_id: Blob,
    match_id: i64,
    ended_at: i64,
    ratings: Vec<RatingRow>,
    changes: Vec<ChangeRow>,
}

struct RatingRow {
    player: i64,
    floats: [f64; 3],
    counts: [i64; 5],
    memory: Blob,
}

struct ChangeRow {
    player: i64,
    at_s: i64,
    place: i64,
    floats: [f64; 6],
}

impl Rows {
    fn read(path: &Path) -> Vec<Self> {
        let connection = Connection::open(path).unwrap();
        let mut statement = connection
            .prepare(
                "SELECT j.seq, recorded_at, j.queue, payload, hash, report_id, match_id, ended_at
                 FROM matches m JOIN journal j ON j.seq = m.report_seq JOIN reports r ON r.seq = j.seq ORDER BY j.seq",
            )
            .unwrap();
        let row = |row: &rusqlite::Row<'_>| {
            let seq = row.get(0)?;
            let (ratings, changes) = read_ratings(&connection, seq);
            Ok(Self {
                seq,
                recorded_at: row.get(1)?,
                queue: row.get(2)?,
                payload: row.get(3)?,
                hash: row.get(4)?,
                report_id: row.get(5)?,
                match_id: row.get(6)?,
                ended_at: row.get(7)?,
                ratings,
                changes,
            })
        };
        statement.query_map([], row).unwrap().collect::<Result<_, _>>().unwrap()
    }
}

/// Each player is in one timed report, so that the rating after it is the one that stands at the end.
fn read_ratings(connection: &Connection, seq: i64) -> (Vec<RatingRow>, Vec<ChangeRow>) {
    let mut statement = connection
        .prepare_cached(
            "SELECT r.player, r.mean, r.uncertainty, r.visible, contests, wins, losses, draws, last_at_s, memory, c.at_s, place,
                    mean_before, uncertainty_before, visible_before, c.mean, c.uncertainty, c.visible
             FROM match_players p JOIN matches m USING (match_id) JOIN ratings r ON r.generation = 1 AND r.player = p.player
             JOIN rating_changes c ON c.generation = 1 AND c.player = p.player AND c.seq = m.report_seq
             WHERE m.match_id = (SELECT match_id FROM matches WHERE report_seq = ?1) ORDER BY p.team, p.position",
        )
        .unwrap();
    let rows = statement.query_map([seq], |row| {
        let rating = RatingRow {
            player: row.get(0)?,
            floats: [row.get(1)?, row.get(2)?, row.get(3)?],
            counts: [row.get(4)?, row.get(5)?, row.get(6)?, row.get(7)?, row.get(8)?],
            memory: row.get(9)?,
        };
        let floats = [row.get(12)?, row.get(13)?, row.get(14)?, row.get(15)?, row.get(16)?, row.get(17)?];
        let change = ChangeRow { player: rating.player, at_s: row.get(10)?, place: row.get(11)?, floats };
        Ok((rating, change))
    });
    rows.unwrap().map(Result::unwrap).unzip()
}

/// The same rows, the same indexes and constraints, as many reports per commit.
fn write_bare(path: &Path, rows: &[Rows], commits: &[usize]) -> Cost {
    let connection = Connection::open(path).unwrap();
    connection.set_prepared_statement_cache_capacity(64);
    connection
        .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA cache_size = -65536;")
        .unwrap();
    let mut rows = rows.iter();
    Cost::of(|| {
        for &commit in commits {
            connection.prepare_cached("BEGIN IMMEDIATE").unwrap().execute([]).unwrap();
            rows.by_ref().take(commit).for_each(|row| write_one(&connection, row));
            connection.prepare_cached("COMMIT").unwrap().execute([]).unwrap();
        }
        assert!(rows.next().is_none());
    })
}

fn write_one(connection: &Connection, row: &Rows) {
    let run = |sql: &str, parameters: &[&dyn rusqlite::ToSql]| {
        connection.prepare_cached(sql).unwrap().execute(parameters).unwrap();
    };
    run(
        "INSERT INTO journal (seq, kind, recorded_at, queue, payload, hash) VALUES (?1, 1, ?2, ?3, ?4, ?5)",
        params![row.seq, row.recorded_at, row.queue, row.payload, row.hash],
    );
    run("INSERT INTO reports (report_id, seq) VALUES (?1, ?2)", params![row.report_id, row.seq]);
    for RatingRow { player, floats, counts, memory } in &row.ratings {
        run(
            "UPDATE ratings SET mean = ?2, uncertainty = ?3, visible = ?4, contests = ?5, wins = ?6, losses = ?7, draws = ?8,
             last_at_s = ?9, memory = ?10 WHERE generation = 1 AND player = ?1",
            params![player, floats[0], floats[1], floats[2], counts[0], counts[1], counts[2], counts[3], counts[4], memory],
        );
    }
    for ChangeRow { player, at_s, place, floats } in &row.changes {
        let [a, b, c, d, e, f] = floats;
        run(
            "INSERT INTO rating_changes (generation, player, seq, match_id, at_s, place, mean_before, uncertainty_before,
             visible_before, mean, uncertainty, visible) VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            params![player, row.seq, row.match_id, at_s, place, a, b, c, d, e, f],
        );
    }
    run("UPDATE matches SET state = 4, ended_at = ?2, report_seq = ?3 WHERE match_id = ?1", params![row.match_id, row.ended_at, row.seq]);
    for change in &row.changes {
        run("DELETE FROM active_players WHERE player = ?1", params![change.player]);
    }
    run(
        "INSERT INTO server_records (server, contests, clamped) VALUES (?1, 1, 0)
         ON CONFLICT (server) DO UPDATE SET contests = contests + 1, clamped = clamped + excluded.clamped",
        params![SERVER.0],
    );
}

/// The bare loop really wrote what the store wrote.
fn assert_same(stored: &Path, bare: &Path) {
    let connection = Connection::open(stored).unwrap();
    connection.execute("ATTACH ?1 AS bare", [bare.to_str().unwrap()]).unwrap();
    for table in ["journal", "reports", "ratings", "rating_changes", "matches", "active_players", "server_records"] {
        let sql = format!(
            "SELECT (SELECT count(*) FROM (SELECT * FROM main.{table} EXCEPT SELECT * FROM bare.{table}))
                                + (SELECT count(*) FROM (SELECT * FROM bare.{table} EXCEPT SELECT * FROM main.{table}))"
        );
        let differing: u64 = connection.query_row(&sql, [], |row| row.get::<_, i64>(0)).unwrap().cast_unsigned();
        assert_eq!(differing, 0, "{table}");
    }
}
