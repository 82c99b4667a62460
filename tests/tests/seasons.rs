//! Seasons in a host that runs: real components, real files, and a process that is killed while it starts them.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use host::clock::Clock;
use host::config::parse_queues;
use ladder::id::{PlayerId, QueueId, ReportId};
use ladder::rating::{Rating, RatingEngine};
use ladder::report::{AcceptedPlayer, AcceptedReport, Disposition, Provenance, ReportFacts, Source};
use ladder::season::{SeasonReset, StandingRules};
use ladder::time::{UnixMillis, UnixSeconds};
use plugin_runtime::{PluginSource, PluginSpec, Role, Runtime, builtin_names, builtin_role};
use rusqlite::Connection;
use store::{AcceptOptions, NewSeason, Options, Store};
use tests::kill;
use tests::world::{DUEL, Plan, World, eventually, queue};

const NOW: UnixMillis = UnixMillis(1_700_000_000_000);
const DAY_MS: u64 = 86_400_000;

/// An imported duel; `number` makes the report's id and its time.
fn duel(queue: QueueId, number: u64, winner: PlayerId, loser: PlayerId) -> AcceptedReport {
    let player = |player, team| AcceptedPlayer { player, team, presence: 1.0, stats: vec![] };
    let at = UnixSeconds(NOW.seconds().0 + i64::try_from(number).unwrap());
    let mut id = [0; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    AcceptedReport::from_journal(ReportFacts {
        report_id: ReportId(id),
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

async fn play(store: &Store, queue: QueueId, players: &[PlayerId], numbers: std::ops::Range<u64>) {
    for number in numbers {
        let at = usize::try_from(number).unwrap() % (players.len() - 1);
        store.accept_report(duel(queue, number, players[at], players[at + 1]), AcceptOptions::default(), NOW).await.unwrap().unwrap();
    }
}

fn settle(store: &Store, queue: QueueId) {
    loop {
        let step = store.rate_waiting(queue, 256).wait().unwrap().unwrap();
        assert_eq!(step.fault, None);
        if !step.waits {
            return;
        }
    }
}

/// Every stored belief of the active generation, with what the engine remembers and what people see.
fn beliefs(path: &Path) -> BTreeMap<i64, (Rating, f64)> {
    let connection = Connection::open(path).unwrap();
    let mut statement = connection
        .prepare("SELECT player, mean, uncertainty, memory, visible FROM ratings JOIN generations USING (generation) WHERE state = 2")
        .unwrap();
    let rows = statement
        .query_map([], |row| Ok((row.get(0)?, (Rating { mean: row.get(1)?, uncertainty: row.get(2)?, memory: row.get(3)? }, row.get(4)?))));
    rows.unwrap().collect::<Result<_, _>>().unwrap()
}

/// Goal: what a season does is what the engine says, one player at a time in an instance of his own, to the last bit. Method: each built-in
/// engine rates a small league; every reset is compared with `soften` and with a replay of the journal.
#[test]
fn a_reset_is_what_each_built_in_engine_says_bit_for_bit() {
    let runtime = Runtime::new().unwrap();
    for name in builtin_names().into_iter().filter(|name| builtin_role(name) == Some(Role::Rating)) {
        let shape = &parse_queues("plugins.toml", &queue(DUEL, ""), &builtin_names()).unwrap()[0].shape;
        let spec = PluginSpec::new(name, Role::Rating, PluginSource::builtin(name).unwrap());
        let engine: Arc<dyn RatingEngine> = Arc::new(runtime.load_rating(spec, shape).unwrap());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ranked.db");
        let store = Store::open(&path, Options::default()).unwrap();
        let queue = store.ensure_queue(DUEL).wait().unwrap();
        let players = store.ensure_players((0..300).map(|number| format!("player-{number}")).collect(), NOW).wait().unwrap();
        store.install_engine(queue, Arc::clone(&engine), |_| (), NOW).wait().unwrap().unwrap();
        for number in 0..450 {
            let at = usize::try_from(number * 7 % 299).unwrap();
            let report = duel(queue, number, players[at], players[at + 1]);
            store.accept_report(report, AcceptOptions::default(), NOW).wait().unwrap().unwrap();
        }
        for (reset, name_of_season) in [(SeasonReset::Soft { keep: 0.6 }, "one"), (SeasonReset::Uncertainty { keep: 0.3 }, "two")] {
            let before = beliefs(&path);
            let new =
                NewSeason { name: name_of_season.into(), reset, starts_at: NOW, ended: StandingRules::default(), by: "a test".into() };
            store.start_season(queue, new, NOW).wait().unwrap().unwrap();
            settle(&store, queue);
            let after = beliefs(&path);
            assert_eq!(after.len(), before.len());
            for (player, (rating, visible)) in &after {
                let (was, _) = &before[player];
                let softened = engine.soften(was, reset.keep()).unwrap();
                let expected = match reset {
                    SeasonReset::Soft { .. } => softened,
                    _ => {
                        let widened = Rating { uncertainty: softened.0.uncertainty, ..was.clone() };
                        let shown = engine.show_many(std::slice::from_ref(&widened)).unwrap()[0];
                        (widened, shown)
                    }
                };
                let bits = |rating: &Rating, visible: f64| [rating.mean, rating.uncertainty, visible].map(f64::to_bits);
                assert_eq!(bits(rating, *visible), bits(&expected.0, expected.1), "{name} {reset:?} player {player}");
                assert_eq!(rating.memory, expected.0.memory, "{name} {reset:?} player {player}");
            }
        }
        let comparison = store.compare_with_replay(queue, engine).wait().unwrap().unwrap();
        assert!(comparison.is_equal(), "{name}: {comparison:?}");
        assert_eq!(comparison.reports, 450);
    }
}

fn season_table(text: &str) -> String {
    format!("{}\n[queue.{DUEL}.season]\n{text}", queue(DUEL, ""))
}

/// Goal: a season announced in plugins.toml starts by itself, once, and everybody sees it. Method: the clock of a running host is moved over
/// the announced time, then the host is started again.
#[tokio::test(flavor = "multi_thread")]
async fn an_announced_season_starts_by_itself_and_once() {
    // 2023-11-16T00:00:00Z, a day and some hours after NOW.
    let text = "name = \"winter\"\nstarts = 2023-11-16T00:00:00Z\nreset = \"soft\"\nkeep = 0.5\nplacements = 2\n\
                tiers = [{ name = \"bronze\", from = -100 }, { name = \"gold\", from = 1000 }]";
    let clock = Clock::standing_at(NOW);
    let world = World::start_with(Plan { plugins: season_table(text), clock: clock.clone(), ..Plan::default() }).await;
    let store = world.host().store();
    let queue = store.ensure_queue(DUEL).await.unwrap();
    let players = store.ensure_players(["ada", "bob", "cleo"].map(String::from).to_vec(), NOW).await.unwrap();
    play(store, queue, &players, 0..5).await;
    let page = world.page(&format!("/v1/queues/{DUEL}/leaderboard")).await;
    // Contests 0, 2, 4 were ada's and bob's, 1 and 3 bob's and cleo's: everybody has played two.
    assert_eq!((page["total"].as_u64(), page["season"].is_null(), page["placements"].as_u64()), (Some(3), true, Some(2)));
    assert_eq!(page["rows"][0]["tier"], "bronze");
    assert_eq!(world.page(&format!("/v1/queues/{DUEL}/seasons")).await["seasons"].as_array().unwrap().len(), 0);

    clock.set(UnixMillis(NOW.0 + 2 * DAY_MS));
    let seasons = async || world.page(&format!("/v1/queues/{DUEL}/seasons")).await["seasons"].as_array().unwrap().clone();
    eventually("the season", async || !seasons().await.is_empty()).await;
    eventually("the reset", async || world.leaderboard().await.is_empty()).await;
    let found = seasons().await;
    let brief: Vec<_> = found.iter().map(|season| (season["number"].as_u64(), season["name"].as_str(), season["reset"].as_str())).collect();
    assert_eq!(brief, [(Some(1), Some("winter"), Some("soft")), (Some(0), Some("before the first season"), None)]);
    let archive = world.page(&format!("/v1/queues/{DUEL}/seasons/0/leaderboard")).await;
    assert_eq!((archive["ended"].as_bool(), archive["total"].as_u64(), &archive["rows"][0]["name"]), (Some(true), Some(3), &"ada".into()));

    play(store, queue, &players, 5..6).await;
    let profile = world.page(&format!("/v1/players/{}", players[1])).await;
    let standing = &profile["standings"][0];
    assert_eq!((standing["placement"]["played"].as_u64(), standing["placement"]["of"].as_u64()), (Some(1), Some(2)));
    assert!(standing["rank"].is_null(), "{standing}");
    assert_eq!(standing["season"]["name"], "winter");
    assert_eq!(world.leaderboard().await.len(), 0);
    play(store, queue, &players, 7..8).await;
    let rows = world.leaderboard().await;
    assert_eq!(rows.iter().map(|row| row["name"].as_str()).collect::<Vec<_>>(), [Some("bob"), Some("cleo")]);
    assert_eq!((rows[0]["rank"].as_u64(), rows[0]["wins"].as_u64()), (Some(1), Some(2)));

    let world = world.restart(None).await;
    // It had its chance to do it again once the engine is in force and a report is rated.
    let store = world.host().store();
    play(store, queue, &players, 9..10).await;
    eventually("a look at the seasons", async || store.list_seasons(queue).await.unwrap().len() == 1).await;
    assert_eq!(world.leaderboard().await.len(), 2);
    let (_, engine) = world.host().rating_engine(DUEL).unwrap();
    let comparison = store.compare_with_replay(queue, engine).await.unwrap().unwrap();
    assert!(comparison.is_equal(), "{comparison:?}");
    world.stop().await;
}

/// Goal: rules of standings follow plugins.toml without a restart, decay falls with the clock, and a season that another process starts is
/// met at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_running_host_follows_the_file_the_clock_and_other_processes() {
    let clock = Clock::standing_at(NOW);
    let world = World::start_with(Plan { clock: clock.clone(), ..Plan::default() }).await;
    let store = world.host().store();
    let queue = store.ensure_queue(DUEL).await.unwrap();
    let players = store.ensure_players(["ada", "bob", "cleo"].map(String::from).to_vec(), NOW).await.unwrap();
    play(store, queue, &players, 0..4).await;
    let before = world.leaderboard().await;
    let rating = |row: &serde_json::Value| row["rating"].as_f64().unwrap();

    world.write_plugins(&season_table("decay = { after_days = 10, per_day = 0.25, floor = -1000 }"));
    assert_eq!(world.host().reload().await.settled().await, Vec::<String>::new());
    assert_eq!(world.leaderboard().await, before);
    clock.set(UnixMillis(NOW.0 + 13 * DAY_MS));
    let fallen = world.leaderboard().await;
    for (row, was) in fallen.iter().zip(&before) {
        assert_eq!((row["name"].as_str(), rating(row), row["decay"].as_f64()), (was["name"].as_str(), rating(was) - 0.5, Some(0.5)));
        assert_eq!((&row["mean"], &row["uncertainty"]), (&was["mean"], &was["uncertainty"]));
    }

    let elsewhere = world.open_store();
    let new = NewSeason {
        name: "now".into(),
        reset: SeasonReset::Hard,
        starts_at: clock.now(),
        ended: StandingRules::default(),
        by: "another process".into(),
    };
    elsewhere.start_season(queue, new, clock.now()).await.unwrap().unwrap();
    eventually("the reset", async || world.leaderboard().await.is_empty()).await;
    assert_eq!(store.statistics().await.unwrap().queues[0].reports_waiting, 0);
    world.stop().await;
}

/// Goal: a season starts exactly once, and every standing is reset exactly once, whenever processes die. Method: two processes at a time
/// start the same seasons and rate beside it, and are killed after a few of them; at the end the journal holds each season once, and the
/// ratings are those of a replay.
#[test]
fn seasons_start_exactly_once_across_kills_and_two_processes() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("ranked.db");
    let mut started = Vec::new();
    for life in 0..5_u64 {
        let mut victims = [victim(&database, life * 1_000_000, life), victim(&database, life * 1_000_000 + 500_000, life)];
        let mut lines = BufReader::new(victims[0].stdout.take().unwrap()).lines().map_while(Result::ok);
        // The first announcement that something was started, and then up to a few reports more.
        let acks = usize::try_from(8 + life * 9).unwrap();
        started.extend(lines.by_ref().take(acks).filter_map(|line| line.strip_prefix("season ").map(str::to_owned)));
        for victim in &mut victims {
            victim.kill().unwrap();
            victim.wait().unwrap();
        }
    }
    let store = Store::open(&database, Options::default()).unwrap();
    let queue = store.ensure_queue(kill::QUEUE).wait().unwrap();
    let engine: Arc<dyn RatingEngine> = Arc::new(kill::engine().unwrap());
    store.install_engine(queue, Arc::clone(&engine), |_| (), NOW).wait().unwrap().unwrap();
    // Killed in the middle of a reset or not: what is stored is what the journal gives so far, and then to its end.
    let comparison = store.compare_with_replay(queue, Arc::clone(&engine)).wait().unwrap().unwrap();
    assert!(comparison.is_equal(), "{comparison:?}");
    settle(&store, queue);
    let comparison = store.compare_with_replay(queue, Arc::clone(&engine)).wait().unwrap().unwrap();
    assert!(comparison.is_equal(), "{comparison:?}");
    let verification = store::verify(&database).unwrap();
    assert!(verification.is_sound(), "{:?}", verification.problems);
    let seasons = store.list_seasons(queue).wait().unwrap();
    assert!(seasons.len() >= 4, "only {} seasons were started", seasons.len());
    let names: Vec<_> = seasons.iter().map(|season| season.name.clone()).collect();
    for name in &started {
        assert_eq!(names.iter().filter(|known| *known == name).count(), 1, "season {name} was told and is not there once");
    }
    for season in &seasons {
        assert!(
            store.season_standings_len(queue, season.number - 1).wait().unwrap() > 0,
            "season {} ended without standings",
            season.number - 1
        );
    }
}

fn victim(database: &Path, first_import: u64, life: u64) -> Child {
    Command::new(env!("CARGO_BIN_EXE_store_victim"))
        .arg(database)
        .arg(first_import.to_string())
        .args(["seasons", &life.to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}
