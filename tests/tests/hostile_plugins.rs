//! One host, one queue whose plugin is hostile, one whose plugins are sound, real sockets: what happens in the first costs the second nothing,
//! and costs its own players time, never a match or a report.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;

use host::config::{Config, HostConfig, parse_queues};
use ladder::id::MatchId;
use plugin_runtime::{PluginSource, Runtime};
use protocol::message::v1;
use tempfile::TempDir;
use tests::world::{ConnectedPlayer, DUEL, GameServer, OWNERS, Plan, World, eventually, queue, report};

/// What a queue is by default in these tests. A machine that is busy with other tests is no fault of a sound engine.
fn sound(name: &str) -> String {
    queue(name, "deadline_ms_max = 20000")
}

/// A queue, named after a component of the catalog that fills its role there; the other roles are sound.
struct HostileQueue {
    name: &'static str,
    text: String,
}

impl HostileQueue {
    fn new(folder: &TempDir, name: &'static str) -> Self {
        let component = hostile::find(name).unwrap();
        let source = PluginSource::new(component.bytes());
        let path = folder.path().join(format!("{name}.wasm"));
        std::fs::write(&path, source.bytes()).unwrap();
        let builtin = match component.role {
            "rating" => "builtin:gaussian",
            "rules" => "builtin:bounds",
            _ => "builtin:skill-window",
        };
        let file = format!("component = {:?}\ndigest = \"sha256:{}\"", path.display().to_string(), source.digest());
        let text = sound(name);
        assert!(text.contains(builtin), "{text}");
        Self { name, text: text.replace(&format!("component = \"{builtin}\""), &file) }
    }
}

/// A host with [`DUEL`] and a queue for each of these components.
async fn host_with(names: &[&'static str]) -> (World, Vec<HostileQueue>, TempDir) {
    let folder = TempDir::new().unwrap();
    let queues: Vec<_> = names.iter().map(|name| HostileQueue::new(&folder, name)).collect();
    let plugins = queues.iter().fold(sound(DUEL), |text, queue| text + &queue.text);
    let world = World::start_with(Plan { plugins, ..Plan::default() }).await;
    (world, queues, folder)
}

/// The operator puts sound plugins into every queue, while the host runs.
async fn mend(world: &World, queues: &[HostileQueue]) {
    world.write_plugins(&queues.iter().fold(sound(DUEL), |text, queue| text + &sound(queue.name)));
    assert_eq!(world.host().reload().await.settled().await, Vec::<String>::new());
}

struct Pair([ConnectedPlayer; 2]);

impl Pair {
    async fn new(world: &World, name: &str) -> Self {
        let mut pair = Vec::new();
        for side in ["a", "b"] {
            pair.push(world.player(&format!("{name}-{side}")).await.connect().await);
        }
        Self(pair.try_into().ok().unwrap())
    }

    async fn enqueue(&mut self, queue: &str) {
        for player in &mut self.0 {
            player.enqueue(queue).await;
        }
    }

    /// The match that they wait for, from its allowlist to its report; returns its number, the acknowledgement and how each was told that it
    /// ended.
    async fn play(&mut self, server: &mut GameServer, report_id: u8) -> (MatchId, v1::ReportAck, [v1::MatchEnded; 2]) {
        let allow = server.admit().await;
        let mut here: Vec<_> = allow.players.iter().map(|player| player.player_id).collect();
        here.sort_unstable();
        assert_eq!(here, self.0.each_ref().map(|player| player.id.0), "another match came first");
        server.client.report(report(&allow, report_id)).await.unwrap();
        let ack = server.report_ack().await;
        let [first, second] = &mut self.0;
        let ended = [first.ended().await, second.ended().await];
        (MatchId(allow.match_id), ack, ended)
    }
}

/// A whole match of two new players in the sound queue, which must be like any other.
async fn another_queue_is_unharmed(world: &World, server: &mut GameServer, report_id: u8, beside: &str) {
    let mut pair = Pair::new(world, &format!("by-{beside}")).await;
    pair.enqueue(DUEL).await;
    let (match_id, ack, ended) = pair.play(server, report_id).await;
    assert_eq!((ack.disposition(), ack.reasons.as_slice()), (v1::Disposition::Ratable, [].as_slice()), "beside {beside}");
    for ended in ended {
        assert_eq!(ended.ending(), v1::MatchEnding::Rated, "beside {beside}: {ended:?}");
    }
    assert_eq!(world.match_page(match_id).await["report"]["rating"], "rated", "beside {beside}");
}

async fn reports_waiting(world: &World, queue: &str) -> u64 {
    let statistics = world.host().store().statistics().await.unwrap();
    statistics.queues.iter().find(|found| found.name == queue).unwrap().reports_waiting
}

async fn metric(world: &World, line: &str) -> bool {
    world.host().metrics().render().lines().any(|found| found.strip_prefix(line).is_some_and(|value| value != " 0"))
}

/// The stored ratings of a queue are those of one replay of its journal with the built-in engine, with so many reports.
async fn equals_a_replay(world: &World, name: &str, reports: u64) {
    let queues = parse_queues("plugins.toml", &sound(name), &plugin_runtime::builtin_names()).unwrap();
    let config = Config::new(HostConfig::default(), queues, world.folder().to_owned());
    let engine = host::plugins::load_rating(&Runtime::new().unwrap(), &config, &config.queues[0]).unwrap();
    let store = world.host().store();
    let id = store.ensure_queue(name).await.unwrap();
    let comparison = store.compare_with_replay(id, Arc::new(engine)).await.unwrap().unwrap();
    assert!(comparison.is_equal(), "{name}: {comparison:?}");
    assert_eq!(comparison.reports, reports, "{name}");
}

/// Goal: an engine that does its worst delays the ratings of its own queue and nothing else. Method: two matches in each hostile queue, one in
/// the sound queue after each; the faults are counted by name and end in quarantine; then the operator exchanges the engines, and what was
/// held is rated in the order of the journal.
#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_rating_engine_holds_the_reports_of_its_own_queue_only() {
    const ENGINES: [(&str, &str); 7] = [
        ("infinite-loop", "out-of-fuel"),
        ("infinite-recursion", "stack"),
        ("memory-bomb", "memory"),
        ("amplified-list", "bad-output"),
        ("panic-text", "trap"),
        ("nan-rating", "bad-output"),
        ("wide-log", "hostcall-bytes"),
    ];
    let (world, queues, _folder) = host_with(&ENGINES.map(|(name, _)| name)).await;
    let mut server = world.game_server(OWNERS[0]).await;
    let mut report_id = 0;
    let mut next = || {
        report_id += 1;
        report_id
    };
    for (name, _) in ENGINES {
        let mut pair = Pair::new(&world, name).await;
        for _ in 0..2 {
            pair.enqueue(name).await;
            let (match_id, ack, ended) = pair.play(&mut server, next()).await;
            assert_eq!(ack.disposition(), v1::Disposition::Ratable, "{name}: taken all the same");
            for ended in ended {
                assert_eq!(ended.ending(), v1::MatchEnding::RatingWaits, "{name}");
            }
            assert_eq!(world.match_page(match_id).await["report"]["rating"], "waits", "{name}");
        }
        another_queue_is_unharmed(&world, &mut server, next(), name).await;
    }
    for (name, code) in ENGINES {
        assert_eq!(reports_waiting(&world, name).await, 2, "{name}");
        let faults = format!("ranked_plugin_faults_total{{queue=\"{name}\",role=\"rating\",fault=\"{code}\"}}");
        eventually(&faults, async || metric(&world, &faults).await).await;
        let quarantined = format!("ranked_plugin_quarantined{{queue=\"{name}\",role=\"rating\"}}");
        eventually(&quarantined, async || metric(&world, &quarantined).await).await;
    }
    mend(&world, &queues).await;
    for (name, _) in ENGINES {
        eventually("the held reports are rated", async || reports_waiting(&world, name).await == 0).await;
        equals_a_replay(&world, name, 2).await;
    }
    equals_a_replay(&world, DUEL, ENGINES.len() as u64).await;
    assert!(store::verify(world.host().store().path()).unwrap().is_sound());
}

/// Goal: an engine that behaves until people have played for a while loses nothing either. Method: the turncoat rates three matches, then
/// answers nonsense; the reports from then on wait; after the exchange all of them are rated.
#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_turns_hostile_after_some_matches_loses_no_report() {
    let (world, queues, _folder) = host_with(&["turncoat"]).await;
    let mut server = world.game_server(OWNERS[0]).await;
    let mut pair = Pair::new(&world, "turncoat").await;
    let mut endings = Vec::new();
    for report_id in 1..=6 {
        pair.enqueue("turncoat").await;
        let (_, _, [ended, _]) = pair.play(&mut server, report_id).await;
        endings.push(ended.ending());
    }
    let (rated, waits) = (v1::MatchEnding::Rated, v1::MatchEnding::RatingWaits);
    assert_eq!(endings, [rated, rated, rated, rated, waits, waits]);
    mend(&world, &queues).await;
    eventually("the held reports are rated", async || reports_waiting(&world, "turncoat").await == 0).await;
    equals_a_replay(&world, "turncoat", 6).await;
}

/// Goal: rules that do their worst cost the report nothing: the bounds hold without them, and it is rated. Method: absurd numbers in queues
/// whose rules loop, trap or answer nonsense.
#[tokio::test(flavor = "multi_thread")]
async fn hostile_rules_leave_the_bounds_standing_and_the_reports_rated() {
    const RULES: [&str; 4] = ["review-loop", "review-trap", "unknown-line", "finding-flood"];
    let (world, _queues, _folder) = host_with(&RULES).await;
    let mut server = world.game_server(OWNERS[0]).await;
    for (name, report_id) in RULES.into_iter().zip(1..) {
        let mut pair = Pair::new(&world, name).await;
        pair.enqueue(name).await;
        let allow = server.admit().await;
        let mut lie = report(&allow, report_id);
        lie.teams[0].players[0].stats = vec![1e9, f64::NAN];
        server.client.report(lie).await.unwrap();
        let ack = server.report_ack().await;
        let codes: Vec<_> = ack.reasons.iter().map(|reason| reason.code.as_str()).collect();
        assert!(codes.contains(&"rules-fault") && codes.contains(&"clamped"), "{name}: {codes:?}");
        for player in &mut pair.0 {
            assert_eq!(player.ended().await.ending(), v1::MatchEnding::Rated, "{name}");
        }
        let page = world.match_page(MatchId(allow.match_id)).await;
        let liar = &page["teams"][0]["players"][0]["stats"];
        assert_eq!((liar[0]["value"].as_f64(), liar[1]["value"].as_f64()), (Some(100.0), Some(0.0)), "{name}: {page}");
        another_queue_is_unharmed(&world, &mut server, 100 + report_id, name).await;
    }
}

/// Goal: a policy that fails or cheats is replaced by the fallback, and meanwhile no other queue waits. Method: everybody waits in a hostile
/// queue; a match in the sound one is made, played and rated first of all; then the policies go into quarantine one after the other, and the
/// built-in one matches those who wait there.
#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_policy_keeps_no_other_queue_waiting() {
    const POLICIES: [&str; 5] = ["propose-loop", "propose-trap", "quality-out-of-range", "ticket-twice", "past-the-pool"];
    let (world, _queues, _folder) = host_with(&POLICIES).await;
    // Nobody is matched before there is a game server, so that all of them wait at once.
    let mut waiting = Vec::new();
    for name in POLICIES {
        let mut pair = Pair::new(&world, name).await;
        pair.enqueue(name).await;
        waiting.push(pair);
    }
    let mut neighbors = Pair::new(&world, "sound").await;
    neighbors.enqueue(DUEL).await;
    waiting.push(neighbors);
    let mut server = world.game_server(OWNERS[0]).await;
    let mut played = Vec::new();
    for report_id in 1..=6 {
        let allow = server.admit().await;
        server.client.report(report(&allow, report_id)).await.unwrap();
        server.report_ack().await;
        let match_id = MatchId(allow.match_id);
        eventually("the rating", async || world.match_page(match_id).await["report"]["rating"] == "rated").await;
        let mut here: Vec<_> = allow.players.iter().map(|player| player.player_id).collect();
        here.sort_unstable();
        played.push(here);
    }
    played.sort();
    let mut expected: Vec<_> = waiting.iter().map(|pair| pair.0.each_ref().map(|player| player.id.0).to_vec()).collect();
    expected.sort();
    assert_eq!(played, expected);
    for name in POLICIES {
        let quarantined = format!("ranked_plugin_quarantined{{queue=\"{name}\",role=\"policy\"}}");
        eventually(&quarantined, async || metric(&world, &quarantined).await).await;
    }
}
