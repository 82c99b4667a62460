//! Engines rate in the shadow of the one in force, in a host that runs.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;

use host::compare::policies::Tried;
use host::compare::recording::decode;
use host::config::parse_queues;
use ladder::id::{PlayerId, QueueId, ReportId};
use ladder::rating::RatingEngine;
use ladder::report::{AcceptedPlayer, AcceptedReport, Disposition, Provenance, ReportFacts, Source};
use ladder::time::{UnixMillis, UnixSeconds};
use plugin_runtime::{PluginSource, PluginSpec, RatingPlugin, Role, Runtime};
use store::{AcceptOptions, ShadowState, Store};
use tests::world::{DUEL, Plan, World, eventually, queue};

const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

/// An imported duel; `number` makes the report's id.
fn duel(queue: QueueId, number: u8, winner: PlayerId, loser: PlayerId) -> AcceptedReport {
    let player = |player, team| AcceptedPlayer { player, team, presence: 1.0, stats: vec![] };
    let at = UnixSeconds(1_000 + i64::from(number));
    AcceptedReport::from_journal(ReportFacts {
        report_id: ReportId([number; 16]),
        match_id: None,
        provenance: Provenance { queue, source: Source::Import, at, trust: 1.0, rules: None },
        duration_s: 60,
        places: vec![0, 1],
        scores: vec![],
        sides: vec![],
        map: None,
        mode: None,
        totals: vec![],
        players: vec![player(winner, 0), player(loser, 1)],
        disposition: Disposition::Ratable,
        clamped: 0,
        reasons: vec![],
    })
}

async fn play(store: &Store, queue: QueueId, players: &[PlayerId], numbers: std::ops::Range<u8>) {
    for number in numbers {
        let at = usize::from(number) % (players.len() - 1);
        let report = duel(queue, number, players[at], players[at + 1]);
        store.accept_report(report, AcceptOptions::default(), NOW).await.unwrap().unwrap();
    }
}

/// The built-in engine with the parameters that a queue's text gives it.
fn engine(text: &str) -> Arc<dyn RatingEngine> {
    let queues = parse_queues("plugins.toml", text, &plugin_runtime::builtin_names()).unwrap();
    let source = PluginSource::builtin("gaussian").unwrap();
    let parameters = queues[0].plugin(Role::Rating).parameters.clone();
    let spec = PluginSpec { parameters, ..PluginSpec::new("replay", Role::Rating, source) };
    let plugin: RatingPlugin = Runtime::new().unwrap().load_rating(spec, &queues[0].shape).unwrap();
    Arc::new(plugin)
}

async fn assert_equals_replay(store: &Store, queue: QueueId, text: &str, reports: u64) {
    let comparison = store.compare_with_replay(queue, engine(text)).await.unwrap().unwrap();
    assert!(comparison.is_equal(), "{comparison:?}");
    assert_eq!(comparison.reports, reports);
}

/// Settled states: `None`: some shadow still rates.
async fn states(store: &Store, shadows: usize) -> Option<Vec<ShadowState>> {
    let states = store.list_shadow_states().await.unwrap();
    (states.len() == shadows && states.iter().all(|state| state.behind.is_none())).then_some(states)
}

#[tokio::test(flavor = "multi_thread")]
async fn shadows_keep_up_beside_the_engine_in_force_and_take_over_without_rating_again() {
    let folder = tempfile::tempdir().unwrap();
    let trap = PluginSource::new(hostile::find("trap").unwrap().bytes());
    let path = folder.path().join("trap.wasm");
    std::fs::write(&path, trap.bytes()).unwrap();
    let lucky_parameters = "parameters = { beta = 30.0 }";
    let lucky = format!("[queue.{DUEL}.shadow.lucky]\ncomponent = \"builtin:gaussian\"\n{lucky_parameters}\n");
    let digest = trap.digest();
    let traps = format!(
        "[queue.{DUEL}.shadow.traps]\ncomponent = {:?}\ndigest = \"sha256:{digest}\"\n\
         [queue.{DUEL}.shadow.gone]\ncomponent = \"gone.wasm\"\ndigest = \"sha256:{digest}\"\n",
        path.display().to_string()
    );
    let text = queue(DUEL, "") + &lucky + &traps;
    let world = World::start_with(Plan { plugins: text.clone(), ..Plan::default() }).await;
    let store = world.host().store().clone();
    let queue_id = store.ensure_queue(DUEL).await.unwrap();
    let players = store.ensure_players((0..5).map(|number| format!("player-{number}")).collect(), NOW).await.unwrap();
    play(&store, queue_id, &players, 1..100).await;

    let lucky_text = queue(DUEL, lucky_parameters);
    let lucky_engine = engine(&lucky_text);
    let progress = || store.generation_progress(queue_id, lucky_engine.digest(), lucky_engine.parameters().to_owned());
    eventually("the shadow of every report", async || progress().await.unwrap().is_some_and(|progress| progress.through.0 == 99)).await;
    eventually("an end for every shadow", async || states(&store, 3).await.is_some()).await;
    let settled = states(&store, 3).await.unwrap();
    let problem = |name: &str| settled.iter().find(|state| state.name == name).unwrap().problem.clone();
    assert_eq!(problem("lucky"), None);
    assert!(problem("traps").unwrap().starts_with("it cannot rate journal entry 1: it trapped"), "{settled:?}");
    assert!(problem("gone").unwrap().contains("cannot be read"), "{settled:?}");
    assert!(world.host().metrics().render().contains("shadow=\"traps\",fault=\"trap\"} 1"), "{}", world.host().metrics().render());

    // The players saw nothing of it.
    assert_eq!(store.statistics().await.unwrap().queues[0].reports_waiting, 0);
    assert_equals_replay(&store, queue_id, &text, 99).await;

    // The shadow becomes the engine in force: its generation is there already.
    let generation = progress().await.unwrap().unwrap().generation;
    world.write_plugins(&lucky_text);
    assert_eq!(world.host().reload().await.settled().await, Vec::<String>::new());
    let active = store.active_engine(queue_id).await.unwrap().unwrap();
    assert_eq!((active.generation, active.waits), (generation, false));
    assert_equals_replay(&store, queue_id, &lucky_text, 99).await;
    eventually("no shadow", async || store.list_shadow_states().await.unwrap().is_empty()).await;
    play(&store, queue_id, &players, 100..110).await;
    assert_equals_replay(&store, queue_id, &lucky_text, 109).await;
    world.stop().await;
}

/// A queue with a policy shadow records what its ticks see; any policy can be asked about it afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn ticks_are_recorded_while_a_queue_has_a_policy_shadow_and_not_before() {
    let plain = queue(DUEL, "");
    let shadowed = plain.clone() + &format!("[queue.{DUEL}.shadow.narrow]\nrole = \"policy\"\ncomponent = \"builtin:skill-window\"\n");
    let world = World::start_with(Plan { plugins: plain.clone(), ..Plan::default() }).await;
    let store = world.host().store().clone();
    let id = store.ensure_queue(DUEL).await.unwrap();
    // Without a game server nobody is matched: the two wait in every tick.
    let _pair = world.waiting_pair().await;
    let ticks = || async { world.host().metrics().render().matches("ranked_tick_seconds_count").count() };
    eventually("a tick", async || ticks().await > 0).await;
    assert_eq!(store.count_recorded_ticks(id).await.unwrap(), 0);

    world.write_plugins(&shadowed);
    assert_eq!(world.host().reload().await.settled().await, Vec::<String>::new());
    eventually("recorded ticks", async || store.count_recorded_ticks(id).await.unwrap() >= 3).await;
    let queues = parse_queues("plugins.toml", &shadowed, &plugin_runtime::builtin_names()).unwrap();
    let shape = &queues[0].shape;
    let recorded = store.load_recorded_ticks(id, 0, 3).await.unwrap();
    let policy = PluginSpec::new("policy", Role::Policy, PluginSource::builtin("skill-window").unwrap());
    let policy = tokio::task::spawn_blocking({
        let shape = shape.clone();
        move || Runtime::new().unwrap().load_policy(policy, &shape).unwrap()
    })
    .await
    .unwrap();
    let mut tried = Tried::default();
    for tick in &recorded {
        let mut pool = decode(&tick.columns, shape).unwrap();
        assert_eq!((pool.tickets(), pool.slots.as_slice()), (2, [0].as_slice()));
        // With a free slot the same two would have been matched.
        pool.slots[0] = 1;
        tried.ask(&policy, shape, &pool);
    }
    assert_eq!((tried.ticks, tried.matches, tried.players, tried.faults.len()), (3, 3, 6, 0));
    world.stop().await;
}
