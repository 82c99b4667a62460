//! A million reports of 5v5: rated again through the sandbox, checked bit for bit, and 10,000 of them taken back while reports go on.
//!
//! `cargo bench -p tests --bench ledger`; `RANKED_BENCH_REPORTS` and `RANKED_BENCH_PLAYERS` for other sizes. The database is made once and
//! kept in the target folder: every report goes the way of an import, into a queue that has no rating engine yet. Each round then builds the
//! ratings of the whole journal from the file, writes them, and puts them in force.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ladder::id::{JournalSeq, PlayerId, QueueId, ReportId};
use ladder::queue::QueueShape;
use ladder::rating::{RatingEngine, Stat};
use ladder::report::{AcceptedPlayer, AcceptedReport, Disposition, Provenance, ReportFacts, Source};
use ladder::time::{UnixMillis, UnixSeconds};
use plugin_runtime::{Limits, PluginSource, PluginSpec, Role, Runtime};
use store::{AcceptOptions, Accepted, Decision, Options, Pending, RatingState, Store};

const REPORTS: u64 = 1_000_000;
const PLAYERS: u64 = 20_000;
const TEAM: usize = 5;
const ROUNDS: usize = 3;
/// Reports that are taken back.
const TAINTED: u64 = 10_000;
/// Reports of the smaller file, which is rated live.
const LIVE_REPORTS: u64 = 20_000;
/// Between two reports while others are taken back: a busy community.
const LIVE_EVERY: Duration = Duration::from_millis(20);
const IN_FLIGHT: usize = 4_096;
const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

fn main() {
    let size = |name: &str, default: u64| std::env::var(name).ok().map_or(default, |text| text.parse().unwrap());
    let (reports, players) = (size("RANKED_BENCH_REPORTS", REPORTS), size("RANKED_BENCH_PLAYERS", PLAYERS));
    let engine = engine();
    rated_live_and_again(&engine, players);

    let path = prepared(reports, players);
    let store = Store::open(&path, Options::default()).unwrap();
    let queue = store.ensure_queue("team").wait().unwrap();
    println!("{reports} reports of 5v5 with 3 statistics a player, {players} players, {} MiB of database", mebibytes(&path));
    println!("| what | seconds | reports/s | seconds of CPU | peak memory of the process |");
    println!("|---|---|---|---|---|");
    for _ in 0..ROUNDS {
        measure("replay: build, write, put in force", reports, || {
            let replayed = store.replay_ledger(queue, Arc::clone(&engine), |_| (), NOW).unwrap().unwrap();
            assert!(replayed.differences.is_empty() && !replayed.installed.waits);
        });
    }
    measure("check of the ratings, bit for bit", reports, || {
        let check = store.check_ratings(queue, &engine, |_| ()).unwrap().unwrap();
        assert!(check.differences.is_empty(), "{:?}", check.differences);
    });
    measure("check of the hash chain", reports, || assert!(store.check_chain(|_| ()).unwrap().broken.is_none()));
    take_back(&store, queue, &engine, reports, players);
    while store.forget_old_generations(queue).wait().unwrap() {}
}

/// What is rated live and what is built again are the same bits.
fn rated_live_and_again(engine: &Arc<dyn RatingEngine>, players: u64) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("live.db"), Options::default()).unwrap();
    let queue = store.ensure_queue("team").wait().unwrap();
    store.install_engine(queue, Arc::clone(engine), |_| (), NOW).wait().unwrap().unwrap();
    let began = Instant::now();
    fill(&store, queue, LIVE_REPORTS, players);
    let live = began.elapsed();
    let check = store.check_ratings(queue, engine, |_| ()).unwrap().unwrap();
    assert!(check.differences.is_empty() && check.reports == LIVE_REPORTS, "{:?}", check.differences);
    let replayed = store.replay_ledger(queue, Arc::clone(engine), |_| (), NOW).unwrap().unwrap();
    assert!(replayed.differences.is_empty(), "{:?}", replayed.differences);
    println!("{LIVE_REPORTS} reports rated live in {:.1} s: checked and replayed, not one bit differs\n", live.as_secs_f64());
}

/// Takes reports back while others come in, and lets them count again.
fn take_back(store: &Store, queue: QueueId, engine: &Arc<dyn RatingEngine>, reports: u64, players: u64) {
    let every = (reports / TAINTED).max(1);
    // Spread over the whole journal: nothing of it can be kept.
    let tainted: Vec<JournalSeq> = (1..=TAINTED.min(reports)).map(|number| JournalSeq(number * every)).collect();
    let decision = || Decision::new("bench", "a compromised game server").unwrap();
    let in_force = store.install_engine(queue, Arc::clone(engine), |_| (), NOW).wait().unwrap().unwrap();
    assert!(!in_force.rebuilt);
    let mut revision = 0;
    for what in ["rollback of 10,000 reports among them", "the same reports counted again"] {
        let done = AtomicBool::new(false);
        let first = new_number(store);
        let mut latencies = std::thread::scope(|scope| {
            let live = scope.spawn(|| report_until(store, queue, first, players, &done));
            measure(what, reports, || {
                if revision == 0 {
                    revision = store.void_reports(tainted.clone(), decision(), None, NOW).wait().unwrap().unwrap()[0].revision;
                } else {
                    store.restore_revision(queue, revision, decision(), NOW).wait().unwrap().unwrap();
                }
                let installed = store.install_engine(queue, Arc::clone(engine), |_| (), NOW).wait().unwrap().unwrap();
                assert!(installed.rebuilt && !installed.waits);
            });
            done.store(true, Ordering::Relaxed);
            live.join().unwrap()
        });
        latencies.sort_unstable();
        let at = |share: usize| latencies[(latencies.len() - 1) * share / 100].as_secs_f64() * 1e3;
        println!(
            "| .. meanwhile {} reports, one at a time: median {:.1} ms, 99 % {:.1} ms, longest {:.1} ms | | | | |",
            latencies.len(),
            at(50),
            at(99),
            at(100)
        );
    }
    let check = store.check_ratings(queue, engine, |_| ()).unwrap().unwrap();
    assert!(check.differences.is_empty(), "{:?}", check.differences);
}

/// A report number that was never used in this file.
fn new_number(store: &Store) -> u64 {
    1_000_000_000 + store.statistics().wait().unwrap().journal_entries
}

/// One report after the other, each rated at once; how long each took.
fn report_until(store: &Store, queue: QueueId, first: u64, players: u64, done: &AtomicBool) -> Vec<Duration> {
    let mut latencies = Vec::new();
    for number in first.. {
        if done.load(Ordering::Relaxed) {
            break;
        }
        let began = Instant::now();
        let accepted = accept(store, facts(queue, number, players)).wait().unwrap().unwrap();
        latencies.push(began.elapsed());
        assert!(matches!(accepted.rating, RatingState::Rated(_)), "the service is not interrupted");
        std::thread::sleep(LIVE_EVERY.saturating_sub(began.elapsed()));
    }
    latencies
}

fn measure(what: &str, reports: u64, work: impl FnOnce()) {
    // Only Linux counts it, and only some kernels let it be counted anew.
    drop(std::fs::write("/proc/self/clear_refs", "5"));
    let (began, cpu) = (Instant::now(), cpu_time());
    work();
    let (seconds, cpu) = (began.elapsed().as_secs_f64(), (cpu_time() - cpu).as_secs_f64());
    println!("| {what} | {seconds:.1} | {:.0} | {cpu:.1} | {} |", reports as f64 / seconds, peak_memory());
}

/// CPU time of this process, user and system, all threads; Linux counts it in hundredths of a second here.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    Duration::from_millis(10 * (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()))
}

fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    peak.map_or_else(|| "-".to_owned(), |kibibytes| format!("{} MiB", kibibytes / 1024))
}

fn mebibytes(path: &Path) -> u64 {
    std::fs::metadata(path).unwrap().len() >> 20
}

/// The database, made once: the file that is complete has its name.
fn prepared(reports: u64, players: u64) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = folder.join(format!("ledger-{reports}-{players}.db"));
    if path.is_file() {
        return path;
    }
    let unfinished = path.with_extension("unfinished");
    for suffix in ["", "-wal", "-shm", ".lock"] {
        drop(std::fs::remove_file(format!("{}{suffix}", unfinished.display())));
    }
    let began = Instant::now();
    {
        let store = Store::open(&unfinished, Options::default()).unwrap();
        let queue = store.ensure_queue("team").wait().unwrap();
        fill(&store, queue, reports, players);
    }
    rusqlite::Connection::open(&unfinished).unwrap().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    std::fs::rename(&unfinished, &path).unwrap();
    println!("made {} in {:.0} s", path.display(), began.elapsed().as_secs_f64());
    path
}

fn engine() -> Arc<dyn RatingEngine> {
    let stats = ["kills", "deaths", "assists"].map(str::to_owned).to_vec();
    let shape = QueueShape { queue: "team".into(), teams: 2, team_sizes: vec![TEAM as u16], stats, ..QueueShape::default() };
    let source = PluginSource::builtin("gaussian").unwrap();
    let limits = Limits { deadline_ms_max: 10_000, ..Limits::of(Role::Rating) };
    let spec = PluginSpec { limits, ..PluginSpec::new("team.rating", Role::Rating, source) };
    Arc::new(Runtime::new().unwrap().load_rating(spec, &shape).unwrap())
}

fn fill(store: &Store, queue: QueueId, reports: u64, players: u64) {
    for chunk in (1..=players).collect::<Vec<_>>().chunks(5_000) {
        let named = store.ensure_players(chunk.iter().map(|number| format!("player-{number}")).collect(), NOW).wait().unwrap();
        assert_eq!(named.first().map(|player| player.0), chunk.first().copied(), "players are numbered from 1");
    }
    let mut in_flight = std::collections::VecDeque::new();
    for number in 0..reports {
        if in_flight.len() == IN_FLIGHT {
            for pending in in_flight.drain(..IN_FLIGHT / 2) {
                let accepted: Pending<Result<Accepted, _>> = pending;
                accepted.wait().unwrap().unwrap();
            }
        }
        in_flight.push_back(accept(store, facts(queue, number, players)));
    }
    in_flight.into_iter().for_each(|pending| drop(pending.wait().unwrap().unwrap()));
}

fn accept(store: &Store, facts: ReportFacts) -> Pending<Result<Accepted, ladder::report::ReportRefusal>> {
    store.accept_report(AcceptedReport::from_journal(facts), AcceptOptions::default(), NOW)
}

/// Ten players drawn at random; who is of lower number plays better.
fn facts(queue: QueueId, number: u64, players: u64) -> ReportFacts {
    let mut dice = Dice(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1ed6);
    let mut drawn: Vec<u64> = Vec::with_capacity(2 * TEAM);
    while drawn.len() < 2 * TEAM {
        let player = 1 + dice.below(players);
        if !drawn.contains(&player) {
            drawn.push(player);
        }
    }
    let strength = |team: &[u64]| team.iter().map(|player| player * 1_000 / players).sum::<u64>() + dice_of(number, team[0]) % 1_500;
    let first_wins = strength(&drawn[..TEAM]) < strength(&drawn[TEAM..]);
    let player = |(index, &player): (usize, &u64)| {
        let stat = |index: u16, up_to: u64| Stat { index, value: (dice_of(number, player + u64::from(index)) % up_to) as f64 };
        let stats = vec![stat(0, 40), stat(1, 30), stat(2, 20)];
        AcceptedPlayer { player: PlayerId(player), team: (index / TEAM) as u16, presence: 1.0, stats }
    };
    let mut report_id = [0; 16];
    report_id[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    report_id[8..].copy_from_slice(&number.to_be_bytes());
    ReportFacts {
        report_id: ReportId(report_id),
        match_id: None,
        provenance: Provenance {
            queue,
            source: Source::Import,
            at: UnixSeconds(1_600_000_000 + number as i64 % 100_000_000),
            trust: 1.0,
            rules: None,
        },
        duration_s: 1_800,
        places: if first_wins { vec![0, 1] } else { vec![1, 0] },
        scores: if first_wins { vec![13.0, 9.0] } else { vec![7.0, 13.0] },
        sides: vec![],
        map: None,
        mode: None,
        totals: vec![],
        players: drawn.iter().enumerate().map(player).collect(),
        disposition: Disposition::Ratable,
        clamped: 0,
        reasons: vec![],
    }
}

fn dice_of(number: u64, salt: u64) -> u64 {
    Dice(number ^ salt.wrapping_mul(0xbf58_476d_1ce4_e5b9)).below(u64::MAX)
}

/// SplitMix64: the same journal every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}
