//! `ranked demo`: a whole community on one machine, with nothing to configure.
//!
//! A host, game servers and players in one process, but over real TCP and HTTP on loopback: the bots know only what any client knows. Each bot
//! has a true skill that the host never sees; the printed rank correlation says how well the leaderboard found it out.

use std::cmp::Ordering;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use anyhow::Context;
use client::bots::{BotGameServer, BotPlayer, BotPlayerPlan, HiddenSkills, PlayerTally};
use client::game_server::{Identity, Status};
use client::provision::{Community, GameServerKeys};
use ladder::id::PlayerId;
use ladder::time::UnixMillis;
use plugin_runtime::{Limits, Role};
use protocol::certificate::Scope;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::Deserialize;
use store::{Options, Store};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::{Config, HOST_FILE, HostConfig, PLUGINS_FILE, PluginsFile};
use crate::keys::{IssueOrder, KeyPaths, Keyring, secret_file};
use crate::serve::{Running, ServeError};
use crate::{plugins, serve};

/// Two queues, so that different shapes run at once; the first one is the one whose leaderboard is compared.
const PLUGINS_TOML: &str = include_str!("demo.plugins.toml");
const QUEUES: [&str; 2] = ["duel", "squads"];
const REGIONS: [&str; 2] = ["eu", "us"];
/// How long a bots' game lasts.
const MATCH_TIME: Duration = Duration::from_millis(2_000);
/// How long a bot rests between two matches.
const THINK_TIME: Duration = Duration::from_millis(300);
/// Between two status lines.
const STATUS_EVERY: Duration = Duration::from_secs(5);
/// Memory of a plugin that somebody brings along: enough for Python.
const MEMORY_BYTES: u64 = 64 << 20;
/// What the rating engines are exchanged for, in turn.
const SWAPPED_PARAMETERS: [&str; 3] = ["beta = 5.0", "beta = 4.0\ntau = 0.2", ""];
/// Between two swaps: the bots play on.
const BETWEEN_SWAPS: Duration = Duration::from_millis(50);
/// Rows of the final leaderboard.
const ROWS_SHOWN: usize = 10;

/// What the demo consists of.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Players, 2 to 1000.
    pub players: u32,
    /// Game servers, 1 to 64.
    pub servers: u32,
    /// Stop after this long; `None`: at Ctrl-C.
    pub time: Option<Duration>,
    /// Seed of the hidden skills and of every game.
    pub seed: u64,
    /// Where to keep its files; `None`: a temporary folder that is removed at the end.
    pub folder: Option<PathBuf>,
    /// Component files that fill a role of every queue instead of the built-in ones.
    pub plugins: Vec<(Role, PathBuf)>,
    /// How often the built-in rating engine of every queue is exchanged for one with other parameters while the bots play.
    pub swaps: u32,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Reports that the host acknowledged.
    pub reports: u64,
    /// Whether all ratings are, bit for bit, what one replay of the journal gives.
    pub equals_replay: bool,
    /// Rank correlation (Spearman) between leaderboard and hidden skills, -1 to 1; `None` with fewer than three rated players.
    pub correlation: Option<f64>,
    /// Seconds from the start until the correlation first reached 0.6.
    pub reached_after_s: Option<f64>,
    /// Seconds from the start until the first match was rated.
    pub first_match_after_s: Option<f64>,
}

impl Outcome {
    /// The same for scripts.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "reports": self.reports,
            "equals_replay": self.equals_replay,
            "correlation": self.correlation,
            "reached_after_s": self.reached_after_s,
            "first_match_after_s": self.first_match_after_s,
        })
    }
}

/// Runs the demo and writes what happens to `out`.
///
/// # Errors
///
/// The environment's fault: no loopback ports, no disk.
pub async fn run(plan: Plan, clock: &Clock, out: &mut (impl Write + Send)) -> anyhow::Result<Outcome> {
    let now = clock.now();
    let started = Instant::now();
    let folder = Folder::new(plan.folder.clone(), now)?;
    let (config, mut keyring) = prepare(&plan, &folder.path, now)?;
    let identities = issue(&plan, &config, &mut keyring, &folder.path, now).await?;
    let running = serve::start_at(config, keyring, clock.clone()).await?;
    let http = format!("http://{}", running.http_addr());
    writeln!(
        out,
        "RankedServer demo: 1 host, {} game servers, {} players, {} queues, real TCP on 127.0.0.1",
        plan.servers,
        plan.players,
        QUEUES.len()
    )?;
    writeln!(out, "  http {http}/v1/queues/{}/leaderboard   s2s {}   rdv {}", QUEUES[0], running.s2s_addr(), running.rdv_addr())?;
    for (role, component) in &plan.plugins {
        writeln!(out, "  {role} {} in every queue", component.display())?;
    }
    writeln!(out, "  files {}   stop with Ctrl-C\n", folder.path.display())?;
    let skills = HiddenSkills::default();
    let mut bots = Bots { servers: Vec::new(), players: JoinSet::new(), tally: Arc::default(), skills, stop: CancellationToken::new() };
    for (number, keys) in identities.into_iter().enumerate() {
        bots.start_server(number, keys, &running.s2s_addr().to_string(), &folder.path, plan.seed).await?;
    }
    bots.start_players(&plan, &http).await?;
    let (outcome, swapped) = tokio::join!(watch_over(&plan, &bots, &http, started, out), swap_engines(&plan, &folder.path, &running));
    swapped?;
    let outcome = outcome?;
    let leaderboard = Leaderboard::fetch(&http).await?;
    writeln!(out, "\nstopping: players, game servers, host")?;
    let (reports, skills) = (bots.reports(), bots.skills.clone());
    bots.stop().await;
    let (equals_replay, in_journal) = compare_with_replay(&running).await?;
    running.shutdown().await;
    leaderboard.print(&skills, out)?;
    writeln!(
        out,
        "\n{reports} matches reported and acknowledged; rank correlation with the hidden skills {}",
        shown(leaderboard.correlation(&skills))
    )?;
    if plan.swaps > 0 {
        let answer = if equals_replay { "equal" } else { "DIFFER FROM" };
        writeln!(out, "{} swaps of the rating engines; the ratings of {in_journal} reports {answer} a replay of the journal", plan.swaps)?;
    }
    Ok(Outcome { reports, equals_replay, correlation: leaderboard.correlation(&skills), ..outcome })
}

/// The demo's folder; a temporary one goes with it.
struct Folder {
    path: PathBuf,
    temporary: bool,
}

impl Folder {
    fn new(wanted: Option<PathBuf>, now: UnixMillis) -> anyhow::Result<Self> {
        let temporary = wanted.is_none();
        let path = wanted.unwrap_or_else(|| std::env::temp_dir().join(format!("ranked-demo-{}-{}", std::process::id(), now.0)));
        std::fs::create_dir_all(&path).with_context(|| format!("{} cannot be made", path.display()))?;
        Ok(Self { path, temporary })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.temporary
            && let Err(error) = std::fs::remove_dir_all(&self.path)
        {
            tracing::warn!(folder = %self.path.display(), %error, "the demo's folder stays behind");
        }
    }
}

/// A fresh community in `folder`, on free ports of loopback.
fn prepare(plan: &Plan, folder: &Path, now: UnixMillis) -> anyhow::Result<(Config, Keyring)> {
    let mut host = HostConfig::default();
    let any_port = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    (host.listen.http, host.listen.s2s, host.listen.rdv) = (any_port, any_port, any_port);
    // All bots share one address, so they share its limits: two attempts a bot are enough for an honest start.
    host.limits.login_per_minute = host.limits.login_per_minute.max(plan.players * 2);
    host.limits.sessions_per_source_max = host.limits.sessions_per_source_max.max(plan.players as usize * 2);
    // Both files stand in the folder, so that every operator command works on the demo too.
    let ranked = folder.join(HOST_FILE);
    secret_file::create_public(&ranked, &toml::to_string(&host)?)?;
    let path = folder.join(PLUGINS_FILE);
    secret_file::create_public(&path, PLUGINS_TOML)?;
    for (role, component) in &plan.plugins {
        put_in(&path, *role, component)?;
    }
    let config = Config::load(&ranked, &plugin_runtime::builtin_names()).map_err(ServeError::Config)?;
    let life = Duration::from_secs(config.host.keys.channel_days * 86_400);
    let keyring = Keyring::create(KeyPaths::of(&config), &config.host.public, life, now)?;
    Ok((config, keyring))
}

/// Puts a component file into every queue, with a budget that an interpreter can live with.
fn put_in(path: &Path, role: Role, component: &Path) -> anyhow::Result<()> {
    let named = std::path::absolute(component)?;
    let digest = plugins::read(&named).with_context(|| format!("{} cannot be read", component.display()))?.digest();
    let mut file = PluginsFile::read(path)?;
    for queue in QUEUES {
        file.set_component(queue, role, &named.display().to_string(), Some(&format!("sha256:{digest}")))?;
        if Limits::of(role).memory_bytes_max < MEMORY_BYTES {
            file.set_number(queue, role, "memory_bytes_max", MEMORY_BYTES.cast_signed())?;
        }
    }
    Ok(secret_file::replace_public(path, &file.text())?)
}

/// Exchanges the rating engine of both queues `plan.swaps` times, as fast as their ratings are built.
async fn swap_engines(plan: &Plan, folder: &Path, running: &Running) -> anyhow::Result<()> {
    let path = folder.join(PLUGINS_FILE);
    for swap in 0..plan.swaps {
        let mut file = PluginsFile::read(&path)?;
        for queue in QUEUES {
            file.set_parameters(queue, Role::Rating, SWAPPED_PARAMETERS[swap as usize % SWAPPED_PARAMETERS.len()])?;
        }
        secret_file::replace_public(&path, &file.text())?;
        let problems = running.reload().await.settled().await;
        anyhow::ensure!(problems.is_empty(), "swap {}: {}", swap + 1, problems.join("; "));
        tokio::time::sleep(BETWEEN_SWAPS).await;
    }
    Ok(())
}

/// Whether the ratings of every queue are, bit for bit, what one replay of the journal gives; and how many reports it holds.
async fn compare_with_replay(running: &Running) -> anyhow::Result<(bool, u64)> {
    let (mut is_equal, mut reports) = (true, 0);
    for queue in QUEUES {
        let (id, engine) = running.rating_engine(queue).context("the demo's queue")?;
        let comparison = running.store().compare_with_replay(id, engine).await??;
        is_equal &= comparison.is_equal() || comparison.reports == 0;
        reports += comparison.reports;
    }
    Ok((is_equal, reports))
}

/// A certificate for each game server, by the road that `ranked cert issue` takes: to the database, and to a file that the bot loads.
async fn issue(plan: &Plan, config: &Config, keyring: &mut Keyring, folder: &Path, now: UnixMillis) -> anyhow::Result<Vec<GameServerKeys>> {
    let database = config.database_path();
    if let Some(parent) = database.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let store = Store::open(&database, Options::default())?;
    keyring.settle(&store, Duration::from_secs(config.host.keys.channel_days * 86_400), now).await?;
    let mut keys = Vec::new();
    for number in 0..plan.servers {
        let owner = format!("{}-{}.demo", region(number as usize), number + 1);
        let order = IssueOrder { server: None, owner: owner.clone(), scope: Scope::ALL, life: Duration::from_secs(86_400), node_key: None };
        let issued = keyring.issue(order, now)?;
        store.record_certificate(issued.record).await??;
        let path = folder.join(format!("{owner}.cert"));
        crate::keys::secret_file::create(&path, &issued.file.encode())?;
        keys.push(GameServerKeys::load(&path, &keyring.paths().pepper, None)?);
    }
    Ok(keys)
}

fn region(number: usize) -> &'static str {
    REGIONS[number % REGIONS.len()]
}

/// Everybody who is not the host.
struct Bots {
    servers: Vec<BotGameServer>,
    players: JoinSet<()>,
    tally: Arc<PlayerTally>,
    skills: HiddenSkills,
    stop: CancellationToken,
}

impl Bots {
    async fn start_server(&mut self, number: usize, keys: GameServerKeys, s2s: &str, folder: &Path, seed: u64) -> anyhow::Result<()> {
        let trust = Community::load(&folder.join("community.toml"))?.trust;
        let name = format!("{}-{}.demo", region(number), number + 1);
        let GameServerKeys { certificate, auth_key, node_key } = keys;
        let identity = Identity {
            host: s2s.to_owned(),
            trust,
            certificate,
            auth_key,
            node_key,
            outbox: folder.join(format!("outbox-{}", number + 1)),
        };
        let status = Status {
            capacity: 64,
            matches: 0,
            players: 0,
            version: concat!("bots ", env!("CARGO_PKG_VERSION")).to_owned(),
            load: 0.1,
            region: region(number).to_owned(),
            address: String::new(),
            name,
        };
        let seed = seed.wrapping_add(number as u64 + 1);
        self.servers.push(BotGameServer::start(identity, status, MATCH_TIME, self.skills.clone(), seed).await?);
        Ok(())
    }

    /// Registers the players, a few at a time as the password pool allows, and lets each play as soon as it can.
    async fn start_players(&mut self, plan: &Plan, http: &str) -> anyhow::Result<()> {
        let mut chance = ChaCha8Rng::seed_from_u64(plan.seed);
        let mut registering = JoinSet::new();
        let started = Instant::now();
        for number in 0..plan.players {
            let bot = BotPlayerPlan {
                http: http.to_owned(),
                name: format!("bot-{:03}", number + 1),
                password: format!("bot password {number}"),
                queues: QUEUES.map(str::to_owned).to_vec(),
                regions: REGIONS.map(|region| (region.to_owned(), 30)).to_vec(),
                skill: StandardNormal.sample(&mut chance),
                think_time: THINK_TIME,
            };
            while registering.len() >= 8 {
                self.let_play(registering.join_next().await)?;
            }
            let (skills, tally) = (self.skills.clone(), Arc::clone(&self.tally));
            registering.spawn(async move { BotPlayer::register(bot, &skills, tally).await });
        }
        while let Some(registered) = registering.join_next().await {
            self.let_play(Some(registered))?;
        }
        tracing::info!(players = plan.players, seconds = started.elapsed().as_secs_f64(), "registered");
        Ok(())
    }

    fn let_play<E: std::error::Error + Send + Sync + 'static>(
        &mut self,
        registered: Option<Result<Result<BotPlayer, E>, tokio::task::JoinError>>,
    ) -> anyhow::Result<()> {
        let Some(registered) = registered else { return Ok(()) };
        let bot = registered??;
        let stop = self.stop.clone();
        self.players.spawn(async move {
            let player = bot.player_id();
            if let Err(error) = bot.play(stop).await {
                tracing::warn!(%player, error = %error, "a bot gave up");
            }
        });
        Ok(())
    }

    fn reports(&self) -> u64 {
        self.servers.iter().map(|server| server.tally().acknowledged.load(Relaxed)).sum()
    }

    async fn stop(mut self) {
        self.stop.cancel();
        while self.players.join_next().await.is_some() {}
        for server in self.servers {
            server.close().await;
        }
    }
}

/// Prints a line now and then until the time is over or Ctrl-C.
async fn watch_over(plan: &Plan, bots: &Bots, http: &str, started: Instant, out: &mut (impl Write + Send)) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome { reports: 0, equals_replay: false, correlation: None, reached_after_s: None, first_match_after_s: None };
    let mut ticks = interval(STATUS_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    writeln!(out, "   time   reported   rated players   correlation with hidden skill")?;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            stopped = tokio::signal::ctrl_c() => {
                stopped?;
                return Ok(outcome);
            }
        }
        let elapsed = started.elapsed();
        let leaderboard = Leaderboard::fetch(http).await?;
        let correlation = leaderboard.correlation(&bots.skills);
        let seconds = elapsed.as_secs_f64();
        if !leaderboard.rows.is_empty() {
            outcome.first_match_after_s.get_or_insert(seconds);
        }
        if correlation.is_some_and(|correlation| correlation >= 0.6) {
            outcome.reached_after_s.get_or_insert(seconds);
        }
        writeln!(
            out,
            "{:>6.0} s {:>8} {:>15}   {} {}",
            seconds,
            bots.reports(),
            leaderboard.rows.len(),
            shown(correlation),
            bar(correlation)
        )?;
        out.flush()?;
        if plan.time.is_some_and(|time| elapsed >= time) {
            return Ok(outcome);
        }
    }
}

fn shown(correlation: Option<f64>) -> String {
    correlation.map_or_else(|| "  -  ".to_owned(), |correlation| format!("{correlation:+.2}"))
}

/// Twenty characters; full is a perfect order.
fn bar(correlation: Option<f64>) -> String {
    let filled = correlation.map_or(0, |correlation| (correlation.clamp(0.0, 1.0) * 20.0).round() as usize);
    format!("[{}{}]", "#".repeat(filled), ".".repeat(20 - filled))
}

/// The leaderboard as any visitor gets it.
#[derive(Deserialize)]
struct Leaderboard {
    rows: Vec<Row>,
    total: u64,
}

#[derive(Deserialize)]
struct Row {
    rank: u64,
    player_id: u64,
    name: String,
    rating: f64,
    mean: f64,
    uncertainty: f64,
    contests: u32,
}

impl Leaderboard {
    /// Every page of the first queue's leaderboard.
    async fn fetch(http: &str) -> anyhow::Result<Self> {
        let mut whole = Self { rows: Vec::new(), total: 0 };
        loop {
            let url = format!("{http}/v1/queues/{}/leaderboard?limit=100&offset={}", QUEUES[0], whole.rows.len());
            let page: Self = client::http::fetch(&url).await?;
            whole.total = page.total;
            if page.rows.is_empty() {
                return Ok(whole);
            }
            whole.rows.extend(page.rows);
            if whole.rows.len() as u64 >= whole.total {
                return Ok(whole);
            }
        }
    }

    fn correlation(&self, skills: &HiddenSkills) -> Option<f64> {
        let shown: Vec<f64> = self.rows.iter().map(|row| row.rating).collect();
        let hidden: Vec<f64> = self.rows.iter().map(|row| skills.of(PlayerId(row.player_id))).collect();
        rank_correlation(&shown, &hidden)
    }

    fn print(&self, skills: &HiddenSkills, out: &mut impl Write) -> io::Result<()> {
        let mut by_skill: Vec<u64> = self.rows.iter().map(|row| row.player_id).collect();
        by_skill.sort_by(|a, b| skills.of(PlayerId(*b)).total_cmp(&skills.of(PlayerId(*a))).then(a.cmp(b)));
        writeln!(out, "\nleaderboard of queue {} ({} of {} players)", QUEUES[0], self.rows.len().min(ROWS_SHOWN), self.rows.len())?;
        writeln!(out, "  rank   name      rating   mean +- uncertainty   contests   true rank")?;
        for row in self.rows.iter().take(ROWS_SHOWN) {
            let true_rank = by_skill.iter().position(|player| *player == row.player_id).map_or(0, |position| position + 1);
            writeln!(
                out,
                "  {:>4}   {:<8} {:>7.2}   {:>7.2} +- {:<11.2} {:>8} {:>11}",
                row.rank, row.name, row.rating, row.mean, row.uncertainty, row.contests, true_rank
            )?;
        }
        Ok(())
    }
}

/// Spearman's rank correlation: Pearson's of the ranks, equal values sharing their mean rank. `None` with fewer than three pairs, or if one
/// side is all equal.
fn rank_correlation(first: &[f64], second: &[f64]) -> Option<f64> {
    if first.len() < 3 || first.len() != second.len() {
        return None;
    }
    let (a, b) = (ranks(first), ranks(second));
    let mean = (first.len() as f64 + 1.0) / 2.0;
    let product = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| (x - mean) * (y - mean)).sum::<f64>();
    let spread = (product(&a, &a) * product(&b, &b)).sqrt();
    (spread > 0.0).then(|| product(&a, &b) / spread)
}

fn ranks(values: &[f64]) -> Vec<f64> {
    let rank = |value: &f64| {
        let below = values.iter().filter(|other| other.total_cmp(value) == Ordering::Less).count();
        let equal = values.iter().filter(|other| other.total_cmp(value) == Ordering::Equal).count();
        below as f64 + (equal as f64 + 1.0) / 2.0
    };
    values.iter().map(rank).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn correlation_follows_the_order_and_not_the_distance() {
        assert_eq!(rank_correlation(&[1.0, 2.0, 3.0], &[1.0, 10.0, 100.0]), Some(1.0));
        assert_eq!(rank_correlation(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0]), Some(-1.0));
        assert_eq!(rank_correlation(&[1.0, 1.0, 1.0], &[3.0, 2.0, 1.0]), None);
        assert_eq!(rank_correlation(&[1.0, 2.0], &[1.0, 2.0]), None);
        let ties = rank_correlation(&[1.0, 1.0, 2.0], &[1.0, 2.0, 3.0]).expect("three pairs");
        assert!((ties - 0.866).abs() < 1e-3, "{ties}");
    }
}
