//! Plugins are exchanged while people play, and nobody loses a match by it.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;
use std::time::Instant;

use host::config::{Config, HostConfig, parse_queues};
use host::metrics::{PluginLabels, PluginRole};
use ladder::id::{Digest, MatchId};
use ladder::matches::MatchState;
use ladder::rating::RatingEngine;
use plugin_runtime::{Limits, LoadError, PluginSource, PluginSpec, RatingPlugin, Role, Runtime};
use protocol::message::v1;
use store::{RatingState, ReloadProgress, ReplayComparison, Wanted};
use tests::bots::Bots;
use tests::world::{DUEL, Duel, GameServer, OWNERS, Plan, World, eventually, queue, report};

const SWAPS: usize = 100;
const PLAYERS: u32 = 24;

/// A rating engine under load is exchanged by one of three others, 100 times; rules and policy now and then with it. At the end everything
/// that a game server was told is in the journal, rated once, and in no generation by two engines.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_swaps_under_load_lose_nothing_and_mix_nothing() {
    let versions = Versions::new();
    let world = World::start_with(Plan { host: host_for_bots(), plugins: versions.text(0), ..Plan::default() }).await;
    versions.install(&world);
    let mut bots = Bots::start(&world, PLAYERS).await;
    eventually("the first reports", async || bots.acknowledged() >= 5).await;

    let began = Instant::now();
    for swap in 1..=SWAPS {
        let before = bots.acknowledged();
        world.write_plugins(&versions.text(swap));
        let problems = world.host().reload().await.settled().await;
        assert_eq!(problems, Vec::<String>::new(), "swap {swap}");
        // The load goes on between two swaps, and often enough during one.
        eventually("a report after the swap", async || bots.acknowledged() > before).await;
    }
    tracing::info!(seconds = began.elapsed().as_secs_f64(), reports = bots.acknowledged(), "swapped");

    bots.stop_players().await;
    let store = world.host().store().clone();
    eventually("the end of every match", async || {
        let counts = store.match_counts().await.unwrap();
        counts.pending + counts.admitted + counts.live == 0
    })
    .await;
    let reports = store.statistics().await.unwrap().queues[0].reports;
    eventually("every acknowledgement", async || bots.acknowledged() == reports).await;
    assert_eq!(bots.refused(), 0);
    assert!(reports >= SWAPS as u64, "{reports} reports in {SWAPS} swaps are no load");
    bots.close().await;

    eventually("every rating", async || store.statistics().await.unwrap().queues[0].reports_waiting == 0).await;
    let verification = store::verify(store.path()).unwrap();
    assert!(verification.is_sound(), "{:?}", verification.problems);
    assert_eq!(verification.journal_entries, reports);
    let mut raters = check_every_match(&world, &versions, verification.matches, reports).await;
    raters.sort_unstable();
    raters.dedup();
    assert!(raters.len() > 1, "all matches were rated by one engine");
    check_every_generation(&world, &versions, reports).await;
    world.stop().await;
}

/// Every match says who formed, reviewed and rated it, and each of them was in force once.
async fn check_every_match(world: &World, versions: &Versions, matches: u64, reports: u64) -> Vec<Digest> {
    let store = world.host().store();
    let mut raters = Vec::new();
    for number in 1..=matches {
        let details = store.match_details(MatchId(number)).await.unwrap().unwrap();
        assert!(versions.policies.contains(&details.policy_digest), "match {number}");
        if details.state != MatchState::Reported {
            continue;
        }
        let report = details.report.unwrap();
        assert!(versions.rules.contains(&report.facts.provenance.rules.unwrap()), "match {number}");
        assert!(matches!(report.rating, RatingState::Rated(ref changes) if changes.len() == 2), "match {number}: {:?}", report.rating);
        raters.push(report.rated_by.unwrap().engine_digest);
    }
    assert_eq!(raters.len() as u64, reports);
    assert!(raters.iter().all(|rater| versions.engines.contains(rater)));
    raters
}

/// Each engine in force once more, now that nobody plays: what it stored in a hundred turns is what one replay of the journal gives.
async fn check_every_generation(world: &World, versions: &Versions, reports: u64) {
    let store = world.host().store();
    let queue = store.ensure_queue(DUEL).await.unwrap();
    for version in 0..3 {
        world.write_plugins(&versions.text(version));
        assert_eq!(world.host().reload().await.settled().await, Vec::<String>::new());
        let engine = versions.engine(world, version);
        let comparison: ReplayComparison = store.compare_with_replay(queue, engine).await.unwrap().unwrap();
        assert!(comparison.is_equal(), "version {version}: {comparison:?}");
        assert_eq!(comparison.reports, reports, "version {version}");
    }
}

/// An engine whose budget is too small faults on every report. Its queue goes on, the reports are held, the engine ends in quarantine; once a
/// fixed one is swapped in they are rated in journal order, and everybody hears of it. Here it is the same engine with a larger budget.
#[tokio::test(flavor = "multi_thread")]
async fn held_reports_are_rated_once_a_fixed_engine_is_swapped_in() {
    hold_and_release("deadline_ms_max = 10000").await;
}

/// The same with an engine that has a generation of its own: what was held is rated while that is built.
#[tokio::test(flavor = "multi_thread")]
async fn held_reports_are_rated_by_another_engine_that_is_swapped_in() {
    hold_and_release("deadline_ms_max = 10000\n[queue.duel.rating.parameters]\nbeta = 5.0").await;
}

async fn hold_and_release(fixed: &str) {
    let too_small = queue(DUEL, &format!("fuel_max = {}\nfaults_max = 2", fuel_to_load()));
    let world = World::start_with(Plan { plugins: too_small, ..Plan::default() }).await;
    let mut server = world.game_server(OWNERS[0]).await;
    let mut duel = world.duel(&mut server).await;
    for number in 1..=3 {
        server.client.report(report(&duel.allow, number)).await.unwrap();
        server.report_ack().await;
        for player in &mut duel.players {
            assert_eq!(player.ended().await.ending(), v1::MatchEnding::RatingWaits, "match {number}");
        }
        if number < 3 {
            next_match(&mut duel, &mut server).await;
        }
    }
    let waiting = || async { world.host().store().statistics().await.unwrap().queues[0].reports_waiting };
    assert_eq!(waiting().await, 3);
    let rating = PluginLabels { queue: DUEL.to_owned(), role: PluginRole::Rating };
    let quarantined = || world.host().metrics().plugin_quarantined.get_or_create(&rating).get();
    eventually("the quarantine", async || quarantined() == 1).await;

    world.write_plugins(&queue(DUEL, fixed));
    assert_eq!(world.host().reload().await.settled().await, Vec::<String>::new());
    eventually("the ratings", async || waiting().await == 0).await;
    for player in &mut duel.players {
        for number in 1..=3 {
            assert_eq!(player.ended().await.ending(), v1::MatchEnding::Rated, "match {number}");
        }
    }
    eventually("the end of the quarantine", async || quarantined() == 0).await;
    let page = world.match_page(duel.match_id).await;
    assert_eq!(page["report"]["rating"], "rated", "{page}");
    assert_eq!(page["report"]["rated_by"], page["report"]["shown"], "{page}");
    assert!(page["report"]["rules_digest"].is_string() && page["policy_digest"].is_string(), "{page}");
    let (id, engine) = world.host().rating_engine(DUEL).unwrap();
    let comparison = world.host().store().compare_with_replay(id, engine).await.unwrap().unwrap();
    assert!(comparison.is_equal() && comparison.reports == 3, "{comparison:?}");
    world.stop().await;
}

/// An operator edits `plugins.toml` and imports history with the new engine while the host runs with the old one: the host follows, and the
/// next report is rated at once.
#[tokio::test(flavor = "multi_thread")]
async fn the_host_follows_an_engine_that_another_process_put_in_force() {
    let world = World::start_with(Plan { plugins: queue(DUEL, "deadline_ms_max = 10000"), ..Plan::default() }).await;
    let mut server = world.game_server(OWNERS[0]).await;
    let mut duel = world.duel(&mut server).await;
    let changed = queue(DUEL, "deadline_ms_max = 10000\n[queue.duel.rating.parameters]\nbeta = 5.0");
    world.write_plugins(&changed);
    let queues = parse_queues("plugins.toml", &changed, &plugin_runtime::builtin_names()).unwrap();
    let config = Config::new(HostConfig::default(), queues, world.folder().to_owned());
    let engine = Arc::new(host::plugins::load_rating(&Runtime::new().unwrap(), &config, &config.queues[0]).unwrap());
    let (id, _) = world.host().rating_engine(DUEL).unwrap();
    world
        .open_store()
        .install_engine(id, Arc::clone(&engine) as Arc<dyn RatingEngine>, |_| (), world.clock().now())
        .await
        .unwrap()
        .unwrap();
    eventually("the other engine", async || world.host().rating_engine(DUEL).unwrap().1.parameters() == engine.parameters()).await;
    server.client.report(report(&duel.allow, 1)).await.unwrap();
    server.report_ack().await;
    for player in &mut duel.players {
        assert_eq!(player.ended().await.ending(), v1::MatchEnding::Rated);
    }
    world.stop().await;
}

/// What the operator is told is definite when a reload ends: an engine that takes over later is being built from then on.
#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_to_take_over_is_shown_before_the_reload_ends() {
    let world = World::start_with(Plan { plugins: queue(DUEL, "deadline_ms_max = 10000"), ..Plan::default() }).await;
    let store = world.host().store();
    let rating =
        async || store.list_plugin_states().await.unwrap().into_iter().find(|state| state.role == store::PluginRole::Rating).unwrap();
    for beta in 1..=20 {
        world.write_plugins(&queue(DUEL, &format!("deadline_ms_max = 10000\n[queue.duel.rating.parameters]\nbeta = {beta}.0")));
        let reload = world.host().reload().await;
        let before = rating().await;
        let running = world.host().rating_engine(DUEL).unwrap().1.parameters().to_owned();
        assert_eq!(reload.settled().await, Vec::<String>::new());
        assert_eq!(rating().await.wanted, Wanted::InForce);
        // Built at the end of the request, unless it was in force by then.
        let is_built = matches!(before.wanted, Wanted::Building { digest, .. } if digest == before.digest);
        let in_force = world.host().rating_engine(DUEL).unwrap().1.parameters().to_owned();
        assert!(is_built || running == in_force, "beta {beta}: {before:?}");
    }
    world.stop().await;
}

/// An engine that cannot rate the journal is refused at the start. Whoever reloads has it tried again and hears so; with a larger budget it
/// takes over. What the host before left unanswered is answered, too.
#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_was_refused_at_the_start_is_tried_again_by_a_reload() {
    let patient = "deadline_ms_max = 10000";
    let plugins = queue(DUEL, &format!("{patient}\n[queue.duel.rating.parameters]\nbeta = 5.0"));
    let world = World::start_with(Plan { plugins, ..Plan::default() }).await;
    let mut server = world.game_server(OWNERS[0]).await;
    let mut duel = world.duel(&mut server).await;
    server.client.report(report(&duel.allow, 1)).await.unwrap();
    server.report_ack().await;
    for player in &mut duel.players {
        assert_eq!(player.ended().await.ending(), v1::MatchEnding::Rated);
    }
    let (store, now) = (world.open_store(), world.clock().now());
    let stopped = world.stop().await;
    let left = store.request_reload("an operator", now).await.unwrap();
    assert_eq!(store.take_reloads(now).await.unwrap(), [left]);
    let too_small = queue(DUEL, &format!("{patient}\nfuel_max = {}\nfaults_max = 1000", fuel_to_load()));
    let world = stopped.start_with(too_small).await;
    assert!(matches!(store.reload_progress(left).await.unwrap(), Some(ReloadProgress::Ended(Err(_)))));
    let rating =
        async || store.list_plugin_states().await.unwrap().into_iter().find(|state| state.role == store::PluginRole::Rating).unwrap();
    assert!(matches!(rating().await.wanted, Wanted::Refused { .. }));
    assert_eq!(world.host().reload().await.settled().await.len(), 1, "it is tried again");
    assert!(matches!(rating().await.wanted, Wanted::Refused { .. }));
    world.write_plugins(&queue(DUEL, patient));
    assert_eq!(world.host().reload().await.settled().await, Vec::<String>::new());
    assert_eq!(rating().await.wanted, Wanted::InForce);
    world.stop().await;
}

/// The same two players once more.
async fn next_match(duel: &mut Duel, server: &mut GameServer) {
    for player in &mut duel.players {
        player.enqueue(DUEL).await;
    }
    duel.allow = server.admit().await;
    duel.match_id = MatchId(duel.allow.match_id);
    for player in &mut duel.players {
        player.assignment().await;
    }
    server.client.match_started(duel.match_id).await.unwrap();
}

/// Fuel with which the engine of [`DUEL`] just loads: rating a contest takes more than saying where strangers start.
fn fuel_to_load() -> u64 {
    let runtime = Runtime::new().unwrap();
    let (mut too_little, mut enough) = (1_000, Limits::of(Role::Rating).fuel_max);
    while enough - too_little > 1 {
        let middle = too_little + (enough - too_little) / 2;
        match load_gaussian(&runtime, middle) {
            Ok(_) => enough = middle,
            Err(_) => too_little = middle,
        }
    }
    enough
}

fn load_gaussian(runtime: &Runtime, fuel_max: u64) -> Result<RatingPlugin, LoadError> {
    let queues = parse_queues("plugins.toml", &queue(DUEL, ""), &plugin_runtime::builtin_names()).unwrap();
    let source = PluginSource::builtin("gaussian").unwrap();
    let limits = Limits { fuel_max, deadline_ms_max: 10_000, ..Limits::of(Role::Rating) };
    let spec = PluginSpec { limits, ..PluginSpec::new("duel.rating", Role::Rating, source) };
    runtime.load_rating(spec, &queues[0].shape)
}

/// Bots share one address, so they share its limits.
fn host_for_bots() -> HostConfig {
    let mut host = Plan::default().host;
    host.limits.login_per_minute = PLAYERS * 4;
    host.limits.rdv_per_minute = PLAYERS * 4;
    host.limits.half_open_per_source_max = 64;
    host.matchmaking.tick_ms = 20;
    host
}

/// Three versions of `plugins.toml`: two rating components (one of them with two sets of parameters), two of rules, two policies.
struct Versions {
    engines: Vec<Digest>,
    rules: Vec<Digest>,
    policies: Vec<Digest>,
    /// The components that are files, by name.
    files: Vec<(&'static str, Vec<u8>)>,
}

impl Versions {
    fn new() -> Self {
        let files: Vec<_> = ["gaussian", "bounds", "skill-window"].into_iter().map(|name| (name, other_build(name))).collect();
        let digests = |index: usize| {
            let (name, bytes) = &files[index];
            vec![PluginSource::builtin(name).unwrap().digest(), PluginSource::new(bytes.clone()).digest()]
        };
        Self { engines: digests(0), rules: digests(1), policies: digests(2), files }
    }

    fn install(&self, world: &World) {
        for (name, bytes) in &self.files {
            std::fs::write(world.folder().join(format!("{name}.wasm")), bytes).unwrap();
        }
    }

    fn text(&self, version: usize) -> String {
        let file = |index: usize| {
            let (name, bytes) = &self.files[index];
            format!("component = \"{name}.wasm\"\ndigest = \"sha256:{}\"", PluginSource::new(bytes.clone()).digest())
        };
        // A machine that is busy with other tests is no fault of an engine.
        let patient = "deadline_ms_max = 10000";
        let rating = match version % 3 {
            0 => format!("component = \"builtin:gaussian\"\n{patient}"),
            1 => format!("{}\n{patient}", file(0)),
            _ => format!(
                "component = \"builtin:gaussian\"\n{patient}\n[queue.{DUEL}.rating.parameters]\nmu = 1500.0\nsigma = 350.0\nbeta = 200.0\ntau = 3.5"
            ),
        };
        let rules = if version.is_multiple_of(2) { "component = \"builtin:bounds\"".to_owned() } else { file(1) };
        let policy = if version % 4 < 2 { "component = \"builtin:skill-window\"".to_owned() } else { file(2) };
        format!(
            "[queue.{DUEL}]\nteam_sizes = [1, 1]\nregions = [\"eu\"]\nstats = [\"kills\", \"deaths\"]\n\
             [queue.{DUEL}.rating]\n{rating}\n\
             [queue.{DUEL}.rules]\n{rules}\n{patient}\n[queue.{DUEL}.rules.outer_bounds]\nkills = [0, 100]\ndeaths = [0, 100]\n\
             [queue.{DUEL}.policy]\n{policy}\n{patient}\n[queue.{DUEL}.policy.parameters]\nwindow_base = 5000.0\nwindow_max = 10000.0\n"
        )
    }

    /// The rating engine of a version, in a sandbox of its own.
    fn engine(&self, world: &World, version: usize) -> Arc<dyn RatingEngine> {
        let queues = parse_queues("plugins.toml", &self.text(version), &plugin_runtime::builtin_names()).unwrap();
        let config = Config::new(HostConfig::default(), queues, world.folder().to_owned());
        Arc::new(host::plugins::load_rating(&Runtime::new().unwrap(), &config, &config.queues[0]).unwrap())
    }
}

/// A built-in component with a custom section more: it does the same under another digest, as a rebuilt plugin may.
fn other_build(name: &str) -> Vec<u8> {
    let mut bytes = plugin_runtime::builtin(name).unwrap().to_vec();
    let (section, text) = (b"build", b"another one");
    bytes.push(0);
    bytes.push(u8::try_from(1 + section.len() + text.len()).unwrap());
    bytes.push(u8::try_from(section.len()).unwrap());
    bytes.extend_from_slice(section);
    bytes.extend_from_slice(text);
    bytes
}
