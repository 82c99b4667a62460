//! Reports: whose they may be, how often they count, and what becomes of impossible numbers and failing engines.

use std::sync::Arc;

use host::config::parse_queues;
use host::metrics::{Alert, AlertLabels};
use ladder::id::{MatchId, ReportId};
use plugin_runtime::{Limits, LoadError, PluginSource, PluginSpec, RatingPlugin, Role, Runtime};
use protocol::message::v1;
use tests::world::{DUEL, Duel, OWNERS, Plan, World, eventually, queue, report};

/// Goal: a game server speaks about its own matches only. Method: another one reports the match first, with the roster that it somehow knows;
/// then the right one does.
#[tokio::test(flavor = "multi_thread")]
async fn a_report_for_a_foreign_match_is_refused() {
    let world = World::start().await;
    let mut server = world.game_server(OWNERS[0]).await;
    let mut duel = world.duel(&mut server).await;
    let mut foreign = world.game_server(OWNERS[1]).await;
    foreign.client.report(report(&duel.allow, 1)).await.unwrap();
    assert_eq!(foreign.report_refusal().await, "foreign-match");
    let alerts = world.host().metrics().alerts.get_or_create(&AlertLabels { alert: Alert::ForeignReport }).get();
    assert_eq!((alerts, world.leaderboard().await.len()), (1, 0));
    server.client.report(report(&duel.allow, 2)).await.unwrap();
    server.report_ack().await;
    for player in &mut duel.players {
        assert_eq!(player.ended().await.ending(), v1::MatchEnding::Rated);
    }
    let mut invented = report(&duel.allow, 3);
    invented.match_id += 1_000;
    server.client.report(invented).await.unwrap();
    assert_eq!(server.report_refusal().await, "unknown-match");
    server.client.report(report(&duel.allow, 4)).await.unwrap();
    assert_eq!(server.report_refusal().await, "already-reported");
}

/// Goal: sending again is harmless. Method: the same report three times, once with another result, and again after a restart of the host.
#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_report_is_acknowledged_and_counted_once() {
    let world = World::start().await;
    let mut server = world.game_server(OWNERS[0]).await;
    let duel = world.duel(&mut server).await;
    let mut claim = report(&duel.allow, 1);
    claim.teams[0].players[0].stats[0] = 1_000.0;
    server.client.report(claim.clone()).await.unwrap();
    let first = server.report_ack().await;
    assert_ne!(first.reasons, []);
    let rated = world.leaderboard().await;
    server.client.report(claim.clone()).await.unwrap();
    assert_eq!(server.report_ack().await, first);
    let mut reversed = claim.clone();
    reversed.teams.iter_mut().for_each(|team| team.place = 1 - team.place);
    server.client.report(reversed).await.unwrap();
    assert_eq!(server.report_ack().await, first, "the first one stands");
    drop(server);

    let world = world.restart(None).await;
    let mut server = world.game_server(OWNERS[0]).await;
    server.client.report(claim).await.unwrap();
    assert_eq!(server.report_ack().await, first, "for ever");
    assert_eq!(world.leaderboard().await, rated);
    assert_eq!(rated[0]["contests"], 1);
    let verification = store::verify(world.host().store().path()).unwrap();
    assert_eq!((verification.is_sound(), verification.journal_entries), (true, 1));
}

/// Goal: what a game server has reported once is never lost. Method: the host is down when the report is made, and the game server's process
/// ends before the host is back; its next life finds the report in the outbox.
#[tokio::test(flavor = "multi_thread")]
async fn a_report_survives_a_crash_of_the_game_server() {
    let world = World::start().await;
    let mut server = world.game_server(OWNERS[0]).await;
    let duel = world.duel(&mut server).await;
    let stopped = world.stop().await;
    let report_id = server.client.report(report(&duel.allow, 1)).await.unwrap();
    drop((server, duel.players));

    let world = stopped.start().await;
    assert_eq!(world.leaderboard().await.len(), 0, "the host has not heard of it");
    let mut server = world.game_server(OWNERS[0]).await;
    let ack = server.report_ack().await;
    assert_eq!((ack.report_id.as_slice(), ack.match_id), (&report_id.0[..], duel.allow.match_id));
    assert_eq!(world.leaderboard().await.len(), 2);
    let outbox = std::fs::read_dir(world.folder().join(format!("{}.outbox", OWNERS[0]))).unwrap();
    assert_eq!(outbox.count(), 0, "an acknowledged report leaves the outbox");
}

/// Goal: no claimed number reaches the rating maths outside its bounds. Method: everything that a double can be, in every place that takes
/// one; then what was stored, what the public pages say, and the ratings.
#[tokio::test(flavor = "multi_thread")]
async fn absurd_numbers_are_clamped_before_they_reach_the_rating() {
    let world = World::start().await;
    let mut server = world.game_server(OWNERS[0]).await;
    let mut players = world.waiting_pair().await;
    for (round, absurd) in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -5.0, 1e300, f64::MIN_POSITIVE].into_iter().enumerate() {
        let allow = server.admit().await;
        let mut lie = report(&allow, u8::try_from(round + 1).unwrap());
        for player in lie.teams.iter_mut().flat_map(|team| &mut team.players) {
            player.stats = vec![absurd, -absurd];
            player.presence = Some(absurd);
        }
        lie.teams.iter_mut().for_each(|team| team.score = Some(absurd));
        lie.totals = vec![absurd];
        lie.duration_s = u32::MAX;
        server.client.report(lie).await.unwrap();
        let ack = server.report_ack().await;
        let names_a_clamp = |code: &str| ["clamped", "not-finite"].contains(&code);
        assert!(ack.reasons.iter().any(|reason| names_a_clamp(&reason.code)), "{absurd}: {:?}", ack.reasons);

        let page = world.match_page(MatchId(allow.match_id)).await;
        let told = page["report"]["reasons"].as_array().unwrap();
        assert!(told.iter().any(|reason| names_a_clamp(reason["code"].as_str().unwrap())), "{absurd}: {told:?}");
        assert!(page["report"]["clamped"].as_u64().unwrap() > 0);
        let seats = page["teams"].as_array().unwrap().iter().flat_map(|team| team["players"].as_array().unwrap());
        for seat in seats {
            for stat in seat["stats"].as_array().unwrap() {
                assert!((0.0..=100.0).contains(&stat["value"].as_f64().expect("a number")), "{absurd}: {stat}");
            }
            assert!((0.0..=1.0).contains(&seat["presence"].as_f64().expect("a number")), "{absurd}: {seat}");
        }
        for total in page["report"]["totals"].as_array().unwrap() {
            assert!((0.0..=30.0).contains(&total["value"].as_f64().expect("a number")), "{absurd}: {total}");
        }
        for row in world.leaderboard().await {
            for number in ["rating", "mean", "uncertainty"] {
                assert!(row[number].as_f64().is_some_and(f64::is_finite), "{absurd}: {row}");
            }
        }
        for player in &mut players {
            let ended = player.ended().await;
            assert!([ended.visible_before, ended.visible_after].into_iter().flatten().all(f64::is_finite), "{absurd}: {ended:?}");
            player.enqueue(DUEL).await;
        }
    }
}

/// Goal: an engine that fails costs time, never a report. Method: an engine with just enough fuel to be loaded and too little to rate; the
/// reports are accepted and wait; a host with the usual fuel rates them at its start, as if nothing had been.
#[tokio::test(flavor = "multi_thread")]
async fn a_faulting_rating_engine_loses_no_report() {
    let starved = queue(DUEL, &format!("fuel_max = {}", least_fuel()));
    let world = World::start_with(Plan { plugins: starved, ..Plan::default() }).await;
    let mut server = world.game_server(OWNERS[0]).await;
    let mut players = world.waiting_pair().await;
    let mut matches = Vec::new();
    for report_id in 1..=3 {
        let allow = server.admit().await;
        server.client.report(report(&allow, report_id)).await.unwrap();
        assert_eq!(server.report_ack().await.disposition(), v1::Disposition::Ratable, "taken all the same");
        for player in &mut players {
            let ended = player.ended().await;
            assert_eq!((ended.ending(), ended.notice.unwrap().code.as_str()), (v1::MatchEnding::RatingWaits, "rating-fault"));
            player.enqueue(DUEL).await;
        }
        matches.push(MatchId(allow.match_id));
    }
    assert_eq!(world.leaderboard().await.len(), 0);
    assert_eq!(world.match_page(matches[0]).await["report"]["rating"], "waits");
    drop((server, players));

    let world = world.restart(Some(queue(DUEL, ""))).await;
    eventually("the backlog is rated", async || world.match_page(matches[2]).await["report"]["rating"] == "rated").await;
    let rows = world.leaderboard().await;
    assert_eq!((rows.len(), rows[0]["contests"].as_u64()), (2, Some(3)));
    let store = world.host().store();
    let duel = store.ensure_queue(DUEL).await.unwrap();
    assert_eq!(store.statistics().await.unwrap().queues[0].reports_waiting, 0);
    let same = store
        .compare_with_replay(duel, Arc::new(load(&Runtime::new().unwrap(), Limits::of(Role::Rating)).unwrap()))
        .await
        .unwrap()
        .unwrap();
    assert!(same.is_equal(), "{same:?}");
}

fn load(runtime: &Runtime, limits: Limits) -> Result<RatingPlugin, LoadError> {
    let queues = parse_queues("plugins.toml", &queue(DUEL, ""), &plugin_runtime::builtin_names()).unwrap();
    let spec = PluginSpec::new("duel.rating", Role::Rating, PluginSource::builtin("gaussian").unwrap());
    let spec = PluginSpec { limits, parameters: queues[0].rating.parameters.clone(), ..spec };
    runtime.load_rating(spec, &queues[0].shape)
}

/// The least fuel with which the engine loads: a rating needs more. Fuel is deterministic, so this is exact.
fn least_fuel() -> u64 {
    let runtime = Runtime::new().unwrap();
    let loads = |fuel_max| load(&runtime, Limits { fuel_max, ..Limits::of(Role::Rating) }).is_ok();
    let (mut too_little, mut enough) = (1_000, Limits::of(Role::Rating).fuel_max);
    assert!(loads(enough));
    if loads(too_little) {
        return too_little;
    }
    while enough - too_little > 1 {
        let middle = too_little + (enough - too_little) / 2;
        if loads(middle) { enough = middle } else { too_little = middle }
    }
    enough
}

/// Goal: an orderly leave changes nothing about a report under way. Method: the game server closes right after it took the report over.
#[tokio::test(flavor = "multi_thread")]
async fn a_report_survives_an_orderly_restart_of_the_game_server() {
    let world = World::start().await;
    let mut server = world.game_server(OWNERS[0]).await;
    let Duel { allow, mut players, .. } = world.duel(&mut server).await;
    let report_id = server.client.report(report(&allow, 1)).await.unwrap();
    server.client.close().await;
    let _next_life = world.connecting_game_server(OWNERS[0], OWNERS[0]);
    for player in &mut players {
        assert_eq!(player.ended().await.ending(), v1::MatchEnding::Rated);
    }
    let stored = world.host().store().find_report(ReportId(report_id.0)).await.unwrap().unwrap();
    assert_eq!(stored.match_id.map(|id| id.0), Some(allow.match_id));
}
