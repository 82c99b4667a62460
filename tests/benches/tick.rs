//! CPU time of one matchmaker tick over 10,000 waiting queue tickets, 5v5, three regions, with the policy in its sandbox.
//!
//! `cargo bench -p tests --bench tick`. Two looks at the same work:
//!
//! * the pure part alone, again and again over one picture: the mirror's columns copied, the policy asked, its answer checked, limits noted;
//! * whole ticks of the host as it runs, each over a fresh copy of one prepared database: all of that, plus the choice of game servers, the
//!   board's bookkeeping and the allowlists. The store's writer thread opens the matches in the database; its time is told apart.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use host::clock::Clock;
use host::config::Matchmaking;
use host::metrics::Metrics;
use host::net::peer::{ServerPeer, Sessions};
use host::play::matchmaker::mirror::Mirror;
use host::play::matchmaker::slots::{Berth, Slots};
use host::play::matchmaker::tick::{Terms, Tick};
use host::play::{JoinKey, Outboxes, Play, PlayParts, PlayQueue};
use ladder::fault::PluginFault;
use ladder::id::{Digest, PlayerId, QueueId, ReportId, ServerId};
use ladder::pool::MatchmakingPolicy;
use ladder::queue::QueueShape;
use ladder::rating::{Contest, Entrant, Rating, RatingEngine, Setting, Update};
use ladder::report::{AcceptedPlayer, AcceptedReport, Disposition, Provenance, ReportFacts, Source};
use ladder::rules::StatRules;
use ladder::time::{UnixMillis, UnixSeconds};
use plugin_runtime::{PluginSource, PluginSpec, Role, Runtime};
use protocol::certificate::Scope;
use protocol::id::SessionId;
use protocol::message::{ToGameServer, ToPlayer, v1};
use rusqlite::Connection;
use store::{AcceptOptions, Member, NewQueueTicket, Options, Store};

const TICKETS: usize = 10_000;
const TEAM: usize = 5;
const REGIONS: [&str; 3] = ["eu", "us", "asia"];
const GAME_SERVERS: u8 = 60;
const CAPACITY: u32 = 50;
/// Looks at the pure part, and whole ticks.
const LOOKS: usize = 21;
const TICKS: usize = 7;
/// The longest waiting.
const WAITED_MS_MAX: u64 = 120_000;
const NOW: UnixMillis = UnixMillis(1_700_000_000_000);
const WANTED_MS_MAX: f64 = 30.0;

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let prepared = folder.path().join("prepared.db");
    prepare(&prepared);
    checkpoint(&prepared);
    let plugins = Plugins::load();
    // Blocking threads stay, so that none takes its count of CPU time with it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().thread_keep_alive(Duration::from_secs(600)).build().unwrap();
    println!("{TICKETS} queue tickets of single players, {TEAM}v{TEAM}, {} regions, {GAME_SERVERS} game servers", REGIONS.len());
    runtime.block_on(async {
        look_alone(&prepared, &plugins).await;
        whole_ticks(folder.path(), &prepared, &plugins).await;
    });
}

/// The pure part of a tick.
async fn look_alone(database: &Path, plugins: &Plugins) {
    let store = Store::open(database, Options::default()).unwrap();
    let queue = store.ensure_queue("team").await.unwrap();
    let mut mirror = Mirror::new(REGIONS.len());
    store.load_waiting(queue).await.unwrap().iter().for_each(|ticket| mirror.insert(ticket));
    assert_eq!(mirror.tickets(), TICKETS);
    let settings = Matchmaking::default();
    let (latency_ms_max, matches_max) = (settings.latency_ms_max, settings.matches_per_tick_max);
    let terms = Terms { queue, shape: shape(), latency_ms_max, matches_max };
    let mut slots = Slots::default();
    slots.reset(REGIONS.len());
    for number in 0..GAME_SERVERS {
        let berth = Berth { server: ServerId([number; 16]), capacity: CAPACITY, active: 0, load: 0.1 };
        slots.add(usize::from(number) % REGIONS.len(), berth);
    }
    let mut tick = Tick::default();
    let mut costs: [Vec<f64>; 3] = Default::default();
    let mut drafts = 0;
    for _ in 0..LOOKS {
        let start = Cpu::now();
        tick.look(&terms, &mut mirror, &slots, NOW);
        let looked = Cpu::now();
        let decision = tick.decide(&terms, plugins.policy.as_ref()).unwrap();
        let decided = Cpu::now();
        tick.note_limits(&mut mirror);
        let noted = Cpu::now();
        assert!(decision.faults.is_empty());
        drafts = decision.drafts.len();
        for (cost, (from, to)) in costs.iter_mut().zip([(start, looked), (looked, decided), (decided, noted)]) {
            cost.push(to.others_since(from));
        }
    }
    let [look, decide, note] = costs.map(|cost| median(&cost));
    println!(
        "the pure part, median of {LOOKS}: look {look:.2} ms, policy and checks {decide:.2} ms, limits noted {note:.2} ms of CPU; {drafts} drafts"
    );
}

/// Ticks of the host as it runs.
async fn whole_ticks(folder: &Path, prepared: &Path, plugins: &Plugins) {
    println!("| tick | matches opened | CPU without the database | CPU of the store's writer | wall |");
    println!("|---|---|---|---|---|");
    let mut costs = Vec::new();
    for number in 1..=TICKS {
        let path = folder.join(format!("tick-{number}.db"));
        std::fs::copy(prepared, &path).unwrap();
        let store = Store::open(&path, Options::default()).unwrap();
        let play = start(&store, plugins).await;
        let mut matchmaker = play.matchmaker(0);
        assert_eq!(store.load_waiting(store.ensure_queue("team").await.unwrap()).await.unwrap().len(), TICKETS);
        let (before, began) = (Cpu::now(), Instant::now());
        play.run_tick(&mut matchmaker).await;
        let (after, wall) = (Cpu::now(), began.elapsed());
        let opened = store.load_active_matches().await.unwrap().len();
        assert!(opened > 100, "only {opened} matches");
        let (others, writer) = (after.others_since(before), after.writer_since(before));
        println!("| {number} | {opened} | {others:.1} ms | {writer:.1} ms | {:.1} ms |", wall.as_secs_f64() * 1e3);
        costs.push(others);
    }
    println!("CPU of a tick without the database, median of {TICKS}: {:.1} ms (wanted: at most {WANTED_MS_MAX})", median(&costs));
}

/// The game side of a host on this database, with its game servers connected.
async fn start(store: &Store, plugins: &Plugins) -> Arc<Play> {
    let queue = store.ensure_queue("team").await.unwrap();
    store.install_engine(queue, Arc::new(Spread), |_| (), NOW).await.unwrap().unwrap();
    let (rules, policy) = (Arc::clone(&plugins.rules), Arc::clone(&plugins.policy));
    let parts = PlayParts {
        queues: vec![PlayQueue::new(queue, shape(), rules, &BTreeMap::new(), policy, None)],
        settings: Matchmaking::default(),
        store: store.clone(),
        outboxes: Arc::new(Nowhere),
        metrics: Arc::new(Metrics::new()),
        clock: Clock::standing_at(NOW),
        join_key: JoinKey::derive(&[9; 32]),
    };
    let play = Play::start(parts).await.unwrap();
    for number in 0..GAME_SERVERS {
        let peer = ServerPeer {
            server: ServerId([number; 16]),
            owner: format!("server-{number}.example"),
            scope: Scope::ALL,
            session_id: SessionId([number; 16]),
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        };
        let region = REGIONS[usize::from(number) % REGIONS.len()].to_owned();
        let heartbeat =
            v1::Heartbeat { capacity: CAPACITY, region, address: "play.example:7800".to_owned(), load: 0.1, ..v1::Heartbeat::default() };
        play.server_opened(&peer).await;
        play.server_message(&peer, heartbeat.into()).await.unwrap();
    }
    play
}

/// Encodes what is due, as the registry does, and sends it nowhere.
struct Nowhere;

impl Outboxes for Nowhere {
    fn send_to_server(&self, _: ServerId, message: &ToGameServer) -> bool {
        !std::hint::black_box(message.encode()).is_empty()
    }
    fn send_to_player(&self, _: PlayerId, message: &ToPlayer) -> bool {
        !std::hint::black_box(message.encode()).is_empty()
    }
}

/// The built-in components, with the budgets of a fresh `plugins.toml`; only the deadline is longer, for a machine that is busy otherwise.
struct Plugins {
    rules: Arc<dyn StatRules>,
    policy: Arc<dyn MatchmakingPolicy>,
}

impl Plugins {
    fn load() -> Self {
        let runtime = Runtime::new().unwrap();
        let spec = |role, name: &str| {
            let mut spec = PluginSpec::new(format!("team.{role}"), role, PluginSource::builtin(name).unwrap());
            spec.limits.deadline_ms_max = 10_000;
            spec
        };
        let policy = runtime.load_policy(spec(Role::Policy, "skill-window"), &shape()).unwrap();
        let rules = runtime.load_rules(spec(Role::Rules, "bounds"), &shape()).unwrap();
        Self { rules: Arc::new(rules), policy: Arc::new(policy) }
    }
}

fn shape() -> QueueShape {
    let regions = REGIONS.map(str::to_owned).to_vec();
    QueueShape { queue: "team".to_owned(), teams: 2, team_sizes: vec![TEAM as u16; 2], regions, ..QueueShape::default() }
}

/// Everybody registered, rated and waiting.
fn prepare(path: &Path) {
    let store = Store::open(path, Options::default()).unwrap();
    let queue = store.ensure_queue("team").wait().unwrap();
    store.install_engine(queue, Arc::new(Spread), |_| (), NOW).wait().unwrap().unwrap();
    let mut players = Vec::new();
    for chunk in (0..TICKETS).collect::<Vec<_>>().chunks(5000) {
        players.extend(store.ensure_players(chunk.iter().map(|number| format!("player-{number}")).collect(), NOW).wait().unwrap());
    }
    let history = (0..).zip(players.chunks(TEAM * 2)).map(|(number, players)| facts(queue, number, players));
    let accepted: Vec<_> =
        history.map(|facts| store.accept_report(AcceptedReport::from_journal(facts), AcceptOptions::default(), NOW)).collect();
    accepted.into_iter().for_each(|accepted| drop(accepted.wait().unwrap().unwrap()));
    let mut chance = Chance(11);
    for (chunk, players) in players.chunks(2000).enumerate() {
        let enqueue = |(index, &player): (usize, &PlayerId)| {
            let waited_ms = WAITED_MS_MAX - WAITED_MS_MAX * (chunk * 2000 + index) as u64 / TICKETS as u64;
            // Near one region; one player in four accepts no other.
            let home = (chance.unit() * REGIONS.len() as f64) as usize;
            let latency = |region| if region == home { 15 } else { 90 } + (chance.unit() * 40.0) as u16;
            let latency_ms = (0..REGIONS.len()).map(latency).collect();
            let regions = if chance.unit() < 0.25 { 1 << home } else { (1 << REGIONS.len()) - 1 };
            let ticket = NewQueueTicket { queue, members: vec![Member { player, latency_ms }], regions };
            store.enqueue(ticket, UnixMillis(NOW.0 - waited_ms))
        };
        let waiting: Vec<_> = players.iter().enumerate().map(enqueue).collect();
        waiting.into_iter().for_each(|waiting| drop(waiting.wait().unwrap().unwrap()));
    }
}

/// Everything stands in the main file, so that a copy of it is a copy of the database: the store's readers close last, and cannot.
fn checkpoint(path: &Path) {
    let connection = Connection::open(path).unwrap();
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
}

/// One contest of the past; its number is what [`Spread`] draws ratings from.
fn facts(queue: QueueId, number: u16, players: &[PlayerId]) -> ReportFacts {
    let mut report_id = [0; 16];
    report_id[..2].copy_from_slice(&number.to_be_bytes());
    let player =
        |(index, &player): (usize, &PlayerId)| AcceptedPlayer { player, team: (index / TEAM) as u16, presence: 1.0, stats: vec![] };
    ReportFacts {
        report_id: ReportId(report_id),
        match_id: None,
        provenance: Provenance {
            queue,
            source: Source::Import,
            at: UnixSeconds(1_600_000_000 + i64::from(number)),
            trust: 1.0,
            rules: None,
        },
        duration_s: 1800,
        places: vec![0, 1],
        scores: vec![f64::from(number), 0.0],
        sides: vec![],
        map: None,
        mode: None,
        totals: vec![],
        players: players.iter().enumerate().map(player).collect(),
        disposition: Disposition::Ratable,
        clamped: 0,
        reasons: vec![],
    }
}

/// Gives every player of the past a skill: normal, as a ladder's skills are after a while. Engines do not run in a tick.
struct Spread;

impl RatingEngine for Spread {
    fn digest(&self) -> Digest {
        Digest([5; 32])
    }
    fn parameters(&self) -> &str {
        "{}"
    }
    fn initial(&self) -> Result<(Rating, f64), PluginFault> {
        Ok((Rating { mean: 25.0, uncertainty: 8.0, memory: vec![] }, 1.0))
    }
    fn rate(&self, _: &[u8], contest: &Contest) -> Result<Update, PluginFault> {
        let mut chance = Chance(contest.scores[0] as u64 + 1);
        let mut normal = || (0..12).map(|_| chance.unit()).sum::<f64>() - 6.0;
        let ratings: Vec<_> =
            contest.entrants.iter().map(|_| Rating { mean: 25.0 + 6.0 * normal(), uncertainty: 2.0, memory: vec![] }).collect();
        let visible = ratings.iter().map(|rating| rating.mean - 6.0).collect();
        Ok(Update { ratings, visible, memory: vec![] })
    }
    fn soften(&self, rating: &Rating, _: f64) -> Result<(Rating, f64), PluginFault> {
        Ok((rating.clone(), rating.mean))
    }
    fn predict(&self, _: &[u8], _: &[Entrant], _: &Setting) -> Result<Vec<f64>, PluginFault> {
        Ok(vec![0.5])
    }
}

/// The same sequence in every run.
struct Chance(u64);

impl Chance {
    /// From 0 to 1.
    fn unit(&mut self) -> f64 {
        // SplitMix64: neighboring seeds give unrelated sequences.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// CPU time of this process so far, from the scheduler's own count.
#[derive(Clone, Copy)]
struct Cpu {
    writer: Duration,
    others: Duration,
}

impl Cpu {
    fn now() -> Self {
        // The count of a running thread is brought up to date when it yields.
        std::thread::yield_now();
        let mut cpu = Self { writer: Duration::ZERO, others: Duration::ZERO };
        for task in std::fs::read_dir("/proc/self/task").unwrap() {
            let task = task.unwrap().path();
            // A thread that ended meanwhile has no files any more.
            let (Ok(name), Ok(spent)) = (std::fs::read_to_string(task.join("comm")), std::fs::read_to_string(task.join("schedstat")))
            else {
                continue;
            };
            let spent = Duration::from_nanos(spent.split_whitespace().next().unwrap().parse().unwrap());
            if name.trim_end() == "store-writer" { cpu.writer += spent } else { cpu.others += spent }
        }
        cpu
    }

    /// Milliseconds of every thread but the store's writer.
    fn others_since(self, before: Self) -> f64 {
        self.others.saturating_sub(before.others).as_secs_f64() * 1e3
    }

    /// Milliseconds of the store's writer.
    fn writer_since(self, before: Self) -> f64 {
        self.writer.saturating_sub(before.writer).as_secs_f64() * 1e3
    }
}

fn median(costs: &[f64]) -> f64 {
    let mut sorted = costs.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}
