//! The game side as its peers see it: promises of the README, each on a real database with the built-in plugins and a clock that stands.
#![allow(clippy::unwrap_used)]

mod world;

use std::sync::Arc;

use ladder::fault::PluginFault;
use ladder::id::{Digest, PlayerId};
use ladder::pool::{MatchmakingPolicy, Pool, Proposals};
use protocol::message::v1;

use self::world::World;
use crate::config::Matchmaking;
use crate::net::peer::{Ending, Sessions as _};
use crate::play::board::tests::{player_peer, server_peer};

/// Who was told something, sorted: the order of the teams is up to the chance of the tick.
fn players<T>(told: &[(u64, T)]) -> Vec<u64> {
    let mut players: Vec<u64> = told.iter().map(|(player, _)| *player).collect();
    players.sort_unstable();
    players
}

fn accept(match_id: u64) -> v1::AllowlistAck {
    v1::AllowlistAck { match_id, accepted: true, reason: String::new() }
}

/// Goal: from waiting to a rating, nobody is told anything before it is stored. Method: one duel, looked at after every message.
#[tokio::test(flavor = "multi_thread")]
async fn a_duel_goes_from_the_queue_to_ratings() {
    let mut world = World::new().await;
    world.queues(1).await;
    world.server_comes(1).await;
    world.queues(2).await;
    let heard = world.heard();
    let waiting: Vec<_> = heard.statuses().iter().map(|(player, status)| (*player, status.state(), status.slots_free)).collect();
    assert_eq!(waiting, [(1, v1::QueueState::Waiting, 0), (2, v1::QueueState::Waiting, 2)]);

    let match_id = world.matched().await;
    let heard = world.heard();
    assert_eq!(heard.assignments(), []);
    let (server, allowlist) = heard.allowlists().remove(0);
    assert_eq!((server, allowlist.match_id, allowlist.players.len()), (1, match_id, 2));
    assert!(allowlist.players.iter().all(|player| player.name == format!("player-{}", player.player_id)));
    assert_eq!(heard.statuses().iter().map(|(_, status)| status.state()).collect::<Vec<_>>(), [v1::QueueState::Matched; 2]);

    world.says(1, accept(match_id)).await.unwrap();
    assert_eq!(players(&world.heard().assignments()), [1, 2]);
    world.says(1, v1::MatchStarted { match_id }).await.unwrap();
    world.says(1, v1::PlayerJoined { match_id, player_id: 1 }).await.unwrap();
    world.says(1, v1::PlayerLeft { match_id, player_id: 1 }).await.unwrap();

    world.says(1, world.report(match_id, 1, 2)).await.unwrap();
    let heard = world.heard();
    assert_eq!(
        heard.report_acks().iter().map(|ack| (ack.match_id, ack.disposition())).collect::<Vec<_>>(),
        [(match_id, v1::Disposition::Ratable)]
    );
    for (player, ended) in heard.endings() {
        assert_eq!(ended.ending(), v1::MatchEnding::Rated, "player {player}");
        assert_eq!(ended.place, Some(u32::from(player != 2)));
        let rose = ended.visible_after > ended.visible_before;
        assert_eq!(rose, player == 2, "player {player}: {ended:?}");
    }
    assert_eq!(heard.endings().len(), 2);
    let board = world.store.leaderboard(ladder::id::QueueId(1), 0, 10).await.unwrap();
    assert_eq!(board.iter().map(|row| row.player).collect::<Vec<_>>(), [PlayerId(2), PlayerId(1)]);
    // Both are free to play again.
    world.queues(1).await;
    assert_eq!(world.heard().statuses()[0].1.state(), v1::QueueState::Waiting);
}

/// Goal: sending again is harmless. Method: the same report twice, and after a restart.
#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_report_gets_the_same_acknowledgement_and_changes_nothing() {
    let mut world = World::new().await;
    let match_id = world.playing().await;
    world.says(1, world.report(match_id, 1, 1)).await.unwrap();
    let first = world.heard();
    world.says(1, world.report(match_id, 1, 1)).await.unwrap();
    let again = world.heard();
    assert_eq!(again.report_acks(), first.report_acks());
    assert_eq!(again.endings(), []);
    world.restart().await;
    world.server_comes(1).await;
    world.heard();
    world.says(1, world.report(match_id, 1, 2)).await.unwrap();
    assert_eq!(world.heard().report_acks(), first.report_acks(), "whatever the second one claims");
}

/// Goal: a game server reports only what it hosts, once, with the players who were assigned. Method: a table of lies.
#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_is_not_the_senders_to_make_is_refused_for_good() {
    let mut world = World::new().await;
    let match_id = world.playing().await;
    world.server_comes(2).await;
    world.heard();
    let mut others = world.report(match_id, 2, 1);
    others.teams[0].players[0].player_id = 3;
    let mut short = world.report(match_id, 3, 1);
    short.teams[0].players[0].stats = vec![1.0, 2.0];
    let table = [
        ("foreign match", 2, world.report(match_id, 4, 2), "foreign-match"),
        ("unknown match", 1, world.report(match_id + 1, 5, 2), "unknown-match"),
        ("other players", 1, others, "wrong-roster"),
        ("other shape", 1, short, "malformed"),
        ("no id", 1, v1::MatchReport { report_id: vec![], ..world.report(match_id, 6, 1) }, "malformed"),
    ];
    for (name, server, message, code) in table {
        world.says(server, message).await.unwrap();
        assert_eq!(world.heard().report_refusals(), [code], "{name}");
    }
    world.says(1, world.report(match_id, 7, 1)).await.unwrap();
    assert_eq!(world.heard().report_acks().len(), 1);
    world.says(1, world.report(match_id, 8, 2)).await.unwrap();
    assert_eq!(world.heard().report_refusals(), ["already-reported"]);
    world.says(2, world.report(match_id, 7, 1)).await.unwrap();
    assert_eq!(world.heard().report_refusals(), ["foreign-match"], "somebody else's report id");
}

/// Goal: no claimed number reaches the rating maths outside its bounds. Method: not-a-number, infinite, negative and far too large.
#[tokio::test(flavor = "multi_thread")]
async fn impossible_statistics_are_clamped_and_say_so() {
    for claimed in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -5.0, 1e300] {
        let mut world = World::new().await;
        let match_id = world.playing().await;
        let mut lie = world.report(match_id, 1, 1);
        lie.teams[0].players[0].stats = vec![claimed];
        lie.teams[1].players[0].presence = Some(f64::NAN);
        world.says(1, lie).await.unwrap();
        let heard = world.heard();
        let acks = heard.report_acks();
        assert!(!acks[0].reasons.is_empty(), "{claimed}: {acks:?}");
        for (_, ended) in heard.endings() {
            assert!(ended.visible_after.is_none_or(f64::is_finite), "{claimed}: {ended:?}");
        }
        let record = world.store.server_record(server_peer(1, 1).server).await.unwrap();
        assert_eq!((record.contests, record.clamped), (1, 1.0), "{claimed}");
    }
}

/// Goal: a lost game server holds nobody hostage. Method: it vanishes while a match is live; then again, revoked.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_game_servers_match_is_voided_and_its_players_told_why() {
    for (ending, wait, code) in
        [(Ending::Truncated, Matchmaking::default().server_lost_grace_ms, "server-lost"), (Ending::CredentialDead, 0, "certificate-dead")]
    {
        let mut world = World::new().await;
        let match_id = world.playing().await;
        world.play.server_closed(&server_peer(1, 1), ending).await;
        if wait > 0 {
            world.play.sweep().await;
            assert_eq!(world.heard().endings(), [], "it may come back");
        }
        world.pass(wait);
        world.play.sweep().await;
        let told = world.heard().endings();
        assert_eq!(players(&told), [1, 2]);
        for (_, ended) in told {
            assert_eq!((ended.ending(), ended.notice.unwrap().code.as_str()), (v1::MatchEnding::Voided, code));
        }
        world.asks(1, v1::Enqueue { queue: "duel".to_owned(), regions: vec![] }).await;
        assert_eq!(world.heard().statuses()[0].1.state(), v1::QueueState::Waiting, "free again");
        world.server_comes(1).await;
        world.says(1, world.report(match_id, 1, 1)).await.unwrap();
        assert_eq!(world.heard().report_refusals(), ["wrong-state"], "too late");
    }
}

/// Goal: players are not stranded by a game server that does not answer. Method: one falls silent, the next one refuses.
#[tokio::test(flavor = "multi_thread")]
async fn an_unacknowledged_match_moves_and_then_returns_to_the_queue() {
    let mut world = World::new().await;
    let match_id = world.matched().await;
    world.server_comes(2).await;
    world.heard();
    world.pass(Matchmaking::default().allowlist_ack_ms_max);
    world.play.sweep().await;
    let heard = world.heard();
    assert_eq!(heard.voided(), [(1, "allowlist-timeout".to_owned())]);
    assert_eq!(heard.allowlists().iter().map(|(server, _)| *server).collect::<Vec<_>>(), [2]);
    world.says(1, accept(match_id)).await.unwrap();
    assert_eq!(world.heard().assignments(), [], "the first one is too late");

    world.says(2, v1::AllowlistAck { match_id, accepted: false, reason: "full".to_owned() }).await.unwrap();
    let heard = world.heard();
    assert_eq!(heard.voided(), [(2, "allowlist-refused".to_owned())]);
    let (player, status) = heard.statuses().remove(0);
    assert_eq!((player, status.state(), status.waited_ms), (1, v1::QueueState::Waiting, Matchmaking::default().allowlist_ack_ms_max));
    assert_eq!(status.notice.unwrap().code, "match-failed");

    world.tick().await;
    assert_eq!(world.heard().allowlists().len(), 1, "and they are matched again");
}

/// Goal: what was promised survives a crash. Method: the host dies while a match is pending, and again after it was admitted.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_everything_due_is_derived_again() {
    let mut world = World::new().await;
    let match_id = world.matched().await;
    let invited = world.heard().allowlists();
    world.restart().await;
    world.server_comes(1).await;
    world.player_comes(1).await;
    let heard = world.heard();
    assert_eq!(heard.allowlists(), invited, "the very same allowlist");
    assert_eq!(heard.statuses()[0].1.state(), v1::QueueState::Matched);
    world.says(1, accept(match_id)).await.unwrap();
    let assigned = world.heard().assignments();
    world.restart().await;
    world.server_comes(1).await;
    assert_eq!(world.heard().assignments(), assigned, "the very same join tokens");
    world.player_comes(1).await;
    let mine: Vec<_> = assigned.into_iter().filter(|(player, _)| *player == 1).collect();
    assert_eq!(world.heard().assignments(), mine, "and on reconnect");
    world.says(1, world.report(match_id, 1, 1)).await.unwrap();
    assert_eq!(world.heard().report_acks().len(), 1);
}

/// Goal: a player waits once and plays once. Method: every way to ask twice.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_enters_a_queue_twice_or_while_playing() {
    let mut world = World::new().await;
    let wish = || v1::Enqueue { queue: "duel".to_owned(), regions: vec![] };
    world.queues(1).await;
    world.asks(1, wish()).await;
    let states: Vec<_> = world.heard().statuses().iter().map(|(_, status)| status.state()).collect();
    assert_eq!(states, [v1::QueueState::Waiting; 2]);
    assert_eq!(world.store.waiting_count(ladder::id::QueueId(1)).await.unwrap(), 1);
    world.asks(1, v1::Dequeue {}).await;
    assert_eq!(world.heard().statuses()[0].1.state(), v1::QueueState::NotQueued);

    let refusals = [
        (v1::Enqueue { queue: "chess".to_owned(), regions: vec![] }, "unknown-queue"),
        (v1::Enqueue { regions: vec![v1::RegionLatency { region: "mars".to_owned(), latency_ms: 1 }], ..wish() }, "unknown-region"),
    ];
    for (message, code) in refusals {
        world.asks(1, message).await;
        assert_eq!(world.heard().refusals(), [code]);
    }
    world.asks(1, v1::Dequeue {}).await;
    assert_eq!(world.heard().refusals(), ["not-queued"]);

    world.playing().await;
    world.asks(1, wish()).await;
    assert_eq!(world.heard().assignments().len(), 1, "routed back instead");
    world.asks(1, v1::Dequeue {}).await;
    assert_eq!(world.heard().refusals(), ["in-match"]);
    assert_eq!(world.store.waiting_count(ladder::id::QueueId(1)).await.unwrap(), 0);
}

/// Goal: a player whom only the board believes to wait can leave. Method: the queue ticket goes behind the board's back, as when another
/// session's dequeue meets a requeue; then the player asks to leave.
#[tokio::test(flavor = "multi_thread")]
async fn a_player_whose_queue_ticket_is_gone_leaves_the_queue_all_the_same() {
    let world = World::new().await;
    world.queues(1).await;
    assert!(world.store.dequeue(PlayerId(1)).await.unwrap().is_some());
    world.asks(1, v1::Dequeue {}).await;
    let heard = world.heard();
    assert_eq!(heard.refusals(), [""; 0]);
    assert_eq!(heard.statuses().last().unwrap().1.state(), v1::QueueState::NotQueued);
}

/// Goal: a queue holds no ghosts. Method: a waiting player stays away; another one comes back in time.
#[tokio::test(flavor = "multi_thread")]
async fn a_player_who_stays_away_loses_the_place_in_the_queue() {
    let world = World::new().await;
    world.queues(1).await;
    world.queues(2).await;
    for player in [1, 2] {
        world.play.player_closed(&player_peer(player, 10), Ending::Truncated).await;
    }
    world.pass(Matchmaking::default().player_lost_grace_ms - 1);
    world.player_comes(2).await;
    world.pass(1);
    world.play.sweep().await;
    let waiting = world.store.load_waiting(ladder::id::QueueId(1)).await.unwrap();
    assert_eq!(waiting.iter().map(|ticket| ticket.members[0].player).collect::<Vec<_>>(), [PlayerId(2)]);
}

/// Goal: an engine that faults costs nobody a match. Method: it faults on one report, then works again.
#[tokio::test(flavor = "multi_thread")]
async fn a_faulting_engine_delays_the_rating_and_loses_nothing() {
    let mut world = World::new().await;
    let match_id = world.playing().await;
    *world.engine.broken.lock().unwrap() = true;
    world.says(1, world.report(match_id, 1, 1)).await.unwrap();
    let heard = world.heard();
    assert_eq!(heard.report_acks()[0].disposition(), v1::Disposition::Ratable);
    assert!(heard.endings().iter().all(|(_, ended)| ended.ending() == v1::MatchEnding::RatingWaits));
    world.play.rate_backlog().await;
    assert_eq!(world.heard().endings(), []);
    *world.engine.broken.lock().unwrap() = false;
    world.play.rate_backlog().await;
    let endings = world.heard().endings();
    assert_eq!(players(&endings), [1, 2]);
    assert!(endings.iter().all(|(_, ended)| ended.ending() == v1::MatchEnding::Rated));
}

/// A policy that is out of service.
struct Quarantined;

impl MatchmakingPolicy for Quarantined {
    fn digest(&self) -> Digest {
        Digest([9; 32])
    }
    fn propose(&self, _: &Pool) -> Result<Proposals, PluginFault> {
        Err(PluginFault::Quarantined { faults_in_a_row: 5 })
    }
}

/// Goal: a broken policy does not stop the queue. Method: it is in quarantine from the start.
#[tokio::test(flavor = "multi_thread")]
async fn while_a_policy_is_in_quarantine_the_built_in_one_matches() {
    let mut world = World::with_policy(Some(Arc::new(Quarantined))).await;
    world.matched().await;
    assert_eq!(world.heard().allowlists().len(), 1);
}

/// Goal: a game server speaks about its own matches and keeps to its budget of mistakes. Method: it does not.
#[tokio::test(flavor = "multi_thread")]
async fn a_game_server_that_keeps_talking_about_foreign_matches_is_closed() {
    let mut world = World::new().await;
    let match_id = world.matched().await;
    world.server_comes(2).await;
    world.heard();
    world.says(2, accept(match_id)).await.unwrap();
    world.says(2, v1::MatchStarted { match_id }).await.unwrap();
    world.says(2, v1::PlayerJoined { match_id, player_id: 1 }).await.unwrap();
    assert_eq!(world.heard().to_players, []);
    let mut mistakes = 3;
    let misbehaved = loop {
        mistakes += 1;
        if let Err(misbehaved) = world.says(2, v1::MatchStarted { match_id }).await {
            break misbehaved;
        }
    };
    assert_eq!((misbehaved.reason, mistakes), ("too-many-mistakes", 61));
}

/// Goal: the certificate names a game server. Method: a heartbeat claims another name.
#[tokio::test(flavor = "multi_thread")]
async fn a_claimed_name_is_overridden_by_the_certificates_owner() {
    let world = World::new().await;
    world.server_comes(1).await;
    let lie = v1::Heartbeat { name: "official-server".to_owned(), ..crate::play::board::tests::beat(1) };
    world.says(1, lie.clone()).await.unwrap();
    world.says(1, lie).await.unwrap();
    for (_, message) in world.heard().to_servers {
        let protocol::message::ToGameServer::HeartbeatAck(ack) = message else { panic!("{message:?}") };
        assert_eq!((ack.name.as_str(), ack.idle_reason.as_str()), ("server-1", ""));
    }
    assert!(world.metrics.render().contains("ranked_alerts_total{alert=\"name-mismatch\"} 1"), "counted once a session");
}

/// Goal: no report is stuck because the disk was. Method: another process holds the database for longer than the host waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_cannot_be_stored_ends_the_session_so_that_it_comes_again() {
    let mut world = World::new().await;
    let match_id = world.playing().await;
    let other = rusqlite::Connection::open(world.folder.path().join("ranked.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    world.says(1, world.report(match_id, 1, 1)).await.unwrap();
    let heard = world.heard();
    assert_eq!((heard.overloaded, heard.to_servers, heard.to_players), (vec![(1, 5_000)], vec![], vec![]));
    other.execute_batch("ROLLBACK").unwrap();
    world.says(1, world.report(match_id, 1, 1)).await.unwrap();
    let heard = world.heard();
    assert_eq!((heard.report_acks().len(), heard.overloaded), (1, vec![]));
}

/// Goal: a game server may say again what it said before. Method: more often than it may make mistakes, before and after the match ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_is_said_again_is_no_mistake() {
    let mut world = World::new().await;
    let match_id = world.playing().await;
    for _ in 0..100 {
        world.says(1, v1::MatchStarted { match_id }).await.unwrap();
    }
    assert_eq!(world.heard().to_servers, []);
    world.play.server_closed(&server_peer(1, 1), Ending::CredentialDead).await;
    world.server_comes(1).await;
    world.heard();
    for _ in 0..100 {
        world.says(1, v1::MatchStarted { match_id }).await.unwrap();
        world.says(1, v1::PlayerLeft { match_id, player_id: 1 }).await.unwrap();
        assert_eq!(world.heard().voided(), [(1, "match-expired".to_owned())], "it missed the end of the match");
    }
}

/// Goal: a match that runs is not voided as one that never started. Method: its start cannot be stored.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_cannot_be_stored_counts_all_the_same() {
    let mut world = World::new().await;
    let match_id = world.matched().await;
    world.says(1, accept(match_id)).await.unwrap();
    let other = rusqlite::Connection::open(world.folder.path().join("ranked.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    world.says(1, v1::MatchStarted { match_id }).await.unwrap();
    other.execute_batch("ROLLBACK").unwrap();
    world.heard();
    world.pass(Matchmaking::default().start_ms_max);
    world.play.sweep().await;
    assert_eq!(world.heard().endings(), []);
}

/// Goal: a game server that restarted admits the players of its matches. Method: it comes back within the grace, admitted and then live.
#[tokio::test(flavor = "multi_thread")]
async fn a_game_server_that_restarts_is_told_again_whom_to_admit() {
    let mut world = World::new().await;
    let match_id = world.matched().await;
    let invited = world.heard().allowlists();
    world.says(1, accept(match_id)).await.unwrap();
    for state in ["admitted", "live"] {
        world.play.server_closed(&server_peer(1, 1), Ending::Truncated).await;
        world.heard();
        world.server_comes(1).await;
        assert_eq!(world.heard().allowlists(), invited, "{state}");
        for _ in 0..100 {
            world.says(1, accept(match_id)).await.unwrap();
        }
        assert_eq!(world.heard().to_players, [], "{state}: nothing new for the players");
        world.says(1, v1::MatchStarted { match_id }).await.unwrap();
    }
    world.says(1, world.report(match_id, 1, 1)).await.unwrap();
    assert_eq!(world.heard().report_acks().len(), 1);
}

/// Goal: an engine that works again gets out of quarantine. Method: one fault puts it in; it is tried once a minute until it works.
#[tokio::test(flavor = "multi_thread")]
async fn an_engine_in_quarantine_is_tried_once_a_minute() {
    let mut world = World::new().await;
    let match_id = world.playing().await;
    let resets = |world: &World| *world.engine.resets.lock().unwrap();
    *world.engine.broken.lock().unwrap() = true;
    *world.engine.quarantines.lock().unwrap() = true;
    world.says(1, world.report(match_id, 1, 1)).await.unwrap();
    for _ in 0..3 {
        world.play.rate_backlog().await;
    }
    assert_eq!(resets(&world), 1);
    *world.engine.broken.lock().unwrap() = false;
    world.pass(59_999);
    world.play.rate_backlog().await;
    assert_eq!(resets(&world), 1);
    world.heard();
    world.pass(1);
    world.play.rate_backlog().await;
    assert_eq!(resets(&world), 2);
    assert!(world.heard().endings().iter().all(|(_, ended)| ended.ending() == v1::MatchEnding::Rated));
    assert_eq!(world.store.leaderboard(ladder::id::QueueId(1), 0, 10).await.unwrap().len(), 2);
}
