//! Results that were wrong are taken back while people play, by a command that dies at once: the running host does the rest.
#![allow(clippy::unwrap_used, missing_docs)]

use host::config::HostConfig;
use ladder::id::{JournalSeq, MatchId, QueueId, ServerId};
use protocol::message::v1;
use store::{Decision, RatingState, ReportFilter, Store, TaintedReports};
use tests::bots::Bots;
use tests::world::{DUEL, Duel, GameServer, OWNERS, Plan, World, eventually, queue, report};

const PLAYERS: u32 = 16;

fn decision() -> Decision {
    Decision::new("ann", "stolen certificate").unwrap()
}

fn patient() -> Plan {
    let mut host: HostConfig = Plan::default().host;
    host.limits.login_per_minute = PLAYERS * 4;
    host.limits.rdv_per_minute = PLAYERS * 4;
    host.limits.half_open_per_source_max = 64;
    host.matchmaking.tick_ms = 20;
    Plan { host, plugins: queue(DUEL, "deadline_ms_max = 10000"), ..Plan::default() }
}

/// Everything that one game server reported so far.
async fn tainted(store: &Store, server: ServerId) -> TaintedReports {
    store.tainted_reports(ReportFilter { server: Some(server), ..ReportFilter::default() }).await.unwrap()
}

/// Ratings are those of the newest decisions, and nobody waits.
async fn settled(store: &Store, queue: QueueId) -> bool {
    store.active_engine(queue).await.unwrap().is_some_and(|active| active.newest && !active.waits)
}

/// Rated once each, in one order, and to the last bit what a replay of what counts gives.
async fn assert_rated_once(world: &World, voided: u64) {
    let store = world.host().store();
    let (id, engine) = world.host().rating_engine(DUEL).unwrap();
    let comparison = store.compare_with_replay(id, engine).await.unwrap().unwrap();
    assert!(comparison.is_equal(), "{comparison:?}");
    let statistics = store.statistics().await.unwrap().queues.swap_remove(0);
    assert_eq!((statistics.reports_voided, statistics.reports_waiting), (voided, 0));
    assert_eq!(comparison.reports, statistics.reports - voided);
    let contests: u64 = store.leaderboard(id, 0, 500).await.unwrap().iter().map(|row| u64::from(row.contests)).sum();
    assert_eq!(contests, comparison.reports * 2, "each report rates its two players once");
    let verification = store::verify(store.path()).unwrap();
    assert!(verification.is_sound(), "{:?}", verification.problems);
}

/// Sixteen people play. A command voids all that one of the two game servers reported, and dies before it builds anything; later another
/// one takes that back. Matches go on all the time, every report is taken and rated once, and the host brings the decisions into force.
#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_whose_command_died_is_finished_by_the_host_while_people_play() {
    let world = World::start_with(patient()).await;
    let server = world.keys(OWNERS[0]).certificate.fields().server_id;
    let mut bots = Bots::start(&world, PLAYERS).await;
    let elsewhere = world.open_store();
    let id = elsewhere.ensure_queue(DUEL).await.unwrap();
    eventually("reports of both game servers", async || {
        let own = tainted(&elsewhere, server).await.iter().map(|(_, reports)| reports.len()).sum::<usize>();
        own >= 10 && bots.acknowledged() >= own as u64 + 10
    })
    .await;

    let (_, reports) = tainted(&elsewhere, server).await.pop().unwrap();
    let voided = reports.len() as u64;
    let first = reports[0];
    let made = elsewhere.void_reports(reports, decision(), None, world.clock().now()).await.unwrap().unwrap();
    assert!(!made[0].in_force);
    let before = bots.acknowledged();
    eventually("ratings without them", async || elsewhere.active_engine(id).await.unwrap().unwrap().newest).await;
    eventually("more matches", async || bots.acknowledged() >= before + 10).await;
    let (listed, decisions) = elsewhere.report_record(first).await.unwrap().unwrap();
    let page = world.match_page(listed.facts.match_id.unwrap()).await;
    assert_eq!((page["report"]["rating"].as_str(), page["report"]["voided"]["reason"].as_str()), (Some("voided"), Some(decision().why())));
    assert!(!page.to_string().contains("\"ann\""), "who decided is the operators' business");
    assert_eq!(decisions.len(), 1);

    bots.stop_players().await;
    let ended = async || {
        let counts = elsewhere.match_counts().await.unwrap();
        counts.pending + counts.admitted + counts.live == 0
    };
    eventually("the end of every match", ended).await;
    eventually("every acknowledgement", async || bots.acknowledged() == elsewhere.statistics().await.unwrap().queues[0].reports).await;
    assert_eq!(bots.refused(), 0);
    bots.close().await;
    eventually("every rating", async || settled(&elsewhere, id).await).await;
    assert_rated_once(&world, voided).await;

    elsewhere.restore_revision(id, 1, decision(), world.clock().now()).await.unwrap().unwrap();
    eventually("ratings with them", async || settled(&elsewhere, id).await).await;
    assert_rated_once(&world, 0).await;
    assert!(matches!(elsewhere.report_record(first).await.unwrap().unwrap().0.rating, RatingState::Rated(_)));
    world.stop().await;
}

/// A decision that nobody brought into force before the host went down is in force when it starts again.
#[tokio::test(flavor = "multi_thread")]
async fn a_void_while_the_host_is_down_is_in_force_when_it_starts() {
    let world = World::start_with(patient()).await;
    let mut server = world.game_server(OWNERS[0]).await;
    let mut duel = world.duel(&mut server).await;
    for number in 1..=3 {
        server.client.report(report(&duel.allow, number)).await.unwrap();
        server.report_ack().await;
        ended(&mut duel, v1::MatchEnding::Rated).await;
        if number < 3 {
            next_match(&mut duel, &mut server).await;
        }
    }
    let stopped_store = world.open_store();
    let stopped = world.stop().await;
    stopped_store.void_reports(vec![JournalSeq(2)], decision(), None, ladder::time::UnixMillis(1)).await.unwrap().unwrap();
    let world = stopped.start().await;
    assert_rated_once(&world, 1).await;
    assert!(settled(&stopped_store, stopped_store.ensure_queue(DUEL).await.unwrap()).await);
    world.stop().await;
}

/// The rules held a match. An operator watches it and releases it: the host rates it, its players hear of it as of any late rating, and
/// matches after it are rated as ever. Another one is voided instead, and never rates.
#[tokio::test(flavor = "multi_thread")]
async fn a_released_match_is_rated_by_the_running_host_and_its_players_hear_of_it() {
    let world = World::start_with(patient()).await;
    let mut server = world.game_server(OWNERS[0]).await;
    let mut duel = world.duel(&mut server).await;
    let mut held = Vec::new();
    for number in 1..=2 {
        // A match without a length in which somebody scored.
        let claim = v1::MatchReport { duration_s: 0, ..report(&duel.allow, number) };
        server.client.report(claim).await.unwrap();
        assert_eq!(server.report_ack().await.disposition(), v1::Disposition::Held);
        ended(&mut duel, v1::MatchEnding::HeldForReview).await;
        held.push(duel.match_id);
        next_match(&mut duel, &mut server).await;
    }
    let elsewhere = world.open_store();
    let seqs = [find(&elsewhere, held[0]).await, find(&elsewhere, held[1]).await];
    let now = world.clock().now();
    let made = elsewhere.void_reports(vec![seqs[1]], decision(), None, now).await.unwrap().unwrap();
    assert!(made[0].in_force, "it was never rated");
    elsewhere.release_report(seqs[0], decision(), now).await.unwrap().unwrap();
    for player in &mut duel.players {
        let told = player.ended().await;
        assert_eq!((told.match_id, told.ending()), (held[0].0, v1::MatchEnding::Rated));
    }
    assert!(elsewhere.release_report(seqs[1], decision(), now).await.unwrap().is_err());
    server.client.report(report(&duel.allow, 3)).await.unwrap();
    server.report_ack().await;
    ended(&mut duel, v1::MatchEnding::Rated).await;
    let page = world.match_page(held[0]).await;
    assert_eq!((page["report"]["rating"].as_str(), page["report"]["disposition"].as_str()), (Some("rated"), Some("held")));
    assert_eq!(page["report"]["rated_by"], page["report"]["shown"], "{page}");
    assert_eq!(world.match_page(held[1]).await["report"]["rating"], "voided");
    assert_rated_once(&world, 1).await;
    world.stop().await;
}

async fn find(store: &Store, match_id: MatchId) -> JournalSeq {
    store.report_of_match(match_id).await.unwrap().unwrap()
}

async fn ended(duel: &mut Duel, how: v1::MatchEnding) {
    for player in &mut duel.players {
        assert_eq!(player.ended().await.ending(), how, "{}", duel.match_id);
    }
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
