//! From the queue into a match and out of it: what players and game servers are told, and in which order.

use std::collections::BTreeSet;
use std::time::Duration;

use client::http::Account;
use ladder::id::MatchId;
use protocol::handshake::client::Credential;
use protocol::message::{MsgType, ToGameServer, ToPlayer, v1};
use protocol::reaction::CloseCode;
use sha2::{Digest, Sha256};
use tests::raw::RawPeer;
use tests::world::{DUEL, OWNERS, PASSWORD, Plan, Player, World, eventually, queue};

/// Goal: nobody is sent to a game server that does not expect them. Method: while the acknowledgement is held back, both players ask again
/// and again how things stand; the address comes after it, with a join token that stands in the allowlist.
#[tokio::test(flavor = "multi_thread")]
async fn players_learn_the_address_only_after_the_allowlist_is_acknowledged() {
    let world = World::start().await;
    let mut server = world.game_server(OWNERS[0]).await;
    let mut players = world.waiting_pair().await;
    let allow = server.allowlist().await;
    for player in &mut players {
        for _ in 0..3 {
            // Asking again is answered with how things stand; whatever was pushed before is read on the way.
            player.session.enqueue(DUEL, &[]).await.unwrap();
            let answer = player.until("matched", |message| match message {
                ToPlayer::QueueStatus(status) if status.state() == v1::QueueState::Waiting => None,
                message => Some(message),
            });
            let ToPlayer::QueueStatus(status) = answer.await else { panic!("told too early") };
            assert_eq!(status.state(), v1::QueueState::Matched);
        }
    }
    server.client.acknowledge(MatchId(allow.match_id), None).await.unwrap();
    let mut join_tokens = BTreeSet::new();
    for player in &mut players {
        let assignment = player.assignment().await;
        assert!(join_tokens.insert(assignment.join_token.clone()), "a join token is for one player");
        let allowed = allow.players.iter().find(|allowed| allowed.player_id == player.id.0).unwrap();
        assert_eq!(allowed.join_token_sha256, Sha256::digest(&assignment.join_token).as_slice());
        assert_eq!((assignment.match_id, assignment.team, assignment.address.as_str()), (allow.match_id, allowed.team, "127.0.0.1:7800"));
        assert_eq!((assignment.server_id, assignment.server_name.as_str()), (server.id.0.to_vec(), OWNERS[0]));
    }
}

/// Goal: a broken connection costs nobody a match. Method: cut the player off twice, before and after the host itself was restarted.
#[tokio::test(flavor = "multi_thread")]
async fn a_player_who_reconnects_is_routed_back_to_the_match() {
    let world = World::start().await;
    let mut server = world.game_server(OWNERS[0]).await;
    let duel = world.duel(&mut server).await;
    let [player, other] = duel.players;
    let mut player = player.reconnect().await;
    let ToPlayer::Assignment(again) = player.next().await else { panic!("not routed back first of all") };
    assert_eq!(again, duel.assignments[0]);
    drop((player, other, server));

    let world = world.restart(None).await;
    let mut server = world.game_server(OWNERS[0]).await;
    let account = Account::login(&world.http(), "ada", PASSWORD).await.unwrap();
    let mut player = Player::new(account).await.connect().await;
    let again = player.assignment().await;
    assert_eq!((again.match_id, &again.join_token), (duel.allow.match_id, &duel.assignments[0].join_token));
    server.client.report(tests::world::report(&duel.allow, 1)).await.unwrap();
    server.report_ack().await;
    assert_eq!(player.ended().await.ending(), v1::MatchEnding::Rated);
}

/// Goal: one player, one place. Method: ask twice, ask for another queue, come back on a new connection, ask from within a match.
#[tokio::test(flavor = "multi_thread")]
async fn a_player_never_enters_the_queue_twice() {
    let plan = Plan { plugins: queue(DUEL, "") + &queue("brawl", ""), ..Plan::default() };
    let world = World::start_with(plan).await;
    let store = world.host().store();
    let duel = store.ensure_queue(DUEL).await.unwrap();
    let mut ada = world.player("ada").await.connect().await;
    for _ in 0..3 {
        ada.enqueue(DUEL).await;
    }
    ada.session.enqueue("brawl", &[]).await.unwrap();
    let refused = ada.until("a refusal", |message| match message {
        ToPlayer::Refusal(refusal) => refusal.notice,
        _ => None,
    });
    assert_eq!(refused.await.code, "already-queued");
    let mut ada = ada.reconnect().await;
    assert_eq!(ada.status(v1::QueueState::Waiting).await.players_waiting, 1);
    ada.enqueue(DUEL).await;
    assert_eq!(store.waiting_count(duel).await.unwrap(), 1);

    let mut bob = world.player("bob").await.connect().await;
    bob.enqueue(DUEL).await;
    let mut server = world.game_server(OWNERS[0]).await;
    let allow = server.admit().await;
    let assignment = ada.assignment().await;
    for queue in [DUEL, "brawl"] {
        ada.session.enqueue(queue, &[]).await.unwrap();
        assert_eq!(ada.assignment().await, assignment, "{queue}");
    }
    assert_eq!(store.waiting_count(duel).await.unwrap(), 0);
    assert_eq!(store.load_active_matches().await.unwrap().len(), 1);
    assert_eq!(allow.players.len(), 2);
}

/// Goal: a player is in one place. Method: log in a second time, elsewhere, and connect; the place in the queue goes along.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_login_replaces_the_first_session() {
    let world = World::start().await;
    let mut first = world.player("ada").await.connect().await;
    first.enqueue(DUEL).await;
    let account = Account::login(&world.http(), "ada", PASSWORD).await.unwrap();
    let mut second = Player::new(account).await.connect().await;
    assert_eq!(first.closed().await, CloseCode::Replaced);
    let status = second.status(v1::QueueState::Waiting).await;
    assert_eq!((status.queue.as_str(), status.players_waiting), (DUEL, 1));
    assert_eq!(world.host().registry().players().len(), 1);
}

/// Goal: a game server that does not answer strands nobody. Method: the first one is silent, the second one refuses; then there is no third.
#[tokio::test(flavor = "multi_thread")]
async fn an_unacknowledged_allowlist_moves_the_match_or_returns_the_players() {
    let mut plan = Plan::default();
    plan.host.matchmaking.allowlist_ack_ms_max = 1_000;
    let patience = plan.host.matchmaking.allowlist_ack_ms_max;
    let world = World::start_with(plan).await;
    let mut silent = world.game_server(OWNERS[0]).await;
    let mut players = world.waiting_pair().await;
    let asked = silent.allowlist().await;
    let mut refusing = world.game_server(OWNERS[1]).await;
    let moved = refusing.allowlist().await;
    let who = |allow: &v1::AllowPlayers| allow.players.iter().map(|player| (player.player_id, player.team)).collect::<Vec<_>>();
    assert_eq!((moved.match_id, who(&moved)), (asked.match_id, who(&asked)), "the same match, the same teams");
    assert_ne!(moved.players[0].join_token_sha256, asked.players[0].join_token_sha256, "a join token is for one game server");
    assert_eq!(silent.voided().await, (asked.match_id, "allowlist-timeout".to_owned()));
    silent.client.acknowledge(MatchId(asked.match_id), None).await.unwrap();

    refusing.client.acknowledge(MatchId(asked.match_id), Some("full")).await.unwrap();
    assert_eq!(refusing.voided().await, (asked.match_id, "allowlist-refused".to_owned()));
    for player in &mut players {
        let back = player.until("the way back", |message| match message {
            ToPlayer::QueueStatus(status) if status.notice.is_some() => Some(status),
            ToPlayer::Assignment(assignment) => panic!("the late acknowledgement counted: {assignment:?}"),
            _ => None,
        });
        let back = back.await;
        assert_eq!((back.state(), back.notice.unwrap().code.as_str()), (v1::QueueState::Waiting, "match-failed"));
        assert!(back.waited_ms >= patience, "waited {} ms: the time before counts", back.waited_ms);
    }
    assert_eq!(world.match_page(MatchId(asked.match_id)).await["state"], "voided");
}

/// Goal: a lost game server holds nobody hostage. Method: it takes a match and its connection is cut without a word.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_game_server_voids_its_match_and_tells_the_players() {
    let mut plan = Plan::default();
    plan.host.matchmaking.server_lost_grace_ms = 300;
    let world = World::start_with(plan).await;
    let (keys, trust) = (world.keys(OWNERS[0]), world.trust());
    let credential = Credential::Certificate { certificate: &keys.certificate, auth_key: &keys.auth_key, node_key: &keys.node_key };
    let mut server = RawPeer::connect(world.host().s2s_addr(), 1, &trust, credential, world.clock()).await.unwrap();
    let beat = v1::Heartbeat { capacity: 1, region: "eu".to_owned(), address: "127.0.0.1:7800".to_owned(), ..v1::Heartbeat::default() };
    server.say(&beat).await.unwrap();
    let mut players = world.waiting_pair().await;
    let allow = server.until(MsgType::AllowPlayers).await.unwrap();
    let ToGameServer::AllowPlayers(allow) = ToGameServer::decode(MsgType::AllowPlayers, &allow).unwrap() else { panic!("an allowlist") };
    server.say(&v1::AllowlistAck { match_id: allow.match_id, accepted: true, reason: String::new() }).await.unwrap();
    for player in &mut players {
        player.assignment().await;
    }
    drop(server);
    for player in &mut players {
        let ended = player.ended().await;
        assert_eq!((ended.ending(), ended.notice.unwrap().code.as_str()), (v1::MatchEnding::Voided, "server-lost"));
        player.enqueue(DUEL).await;
    }
    let page = world.match_page(MatchId(allow.match_id)).await;
    assert_eq!((page["state"].as_str(), page["void_reason"]["code"].as_str()), (Some("voided"), Some("server-lost")));
    assert_eq!(world.leaderboard().await.len(), 0, "nobody's rating moved");
}

/// Goal: stopping the host is an order, not an accident. Method: stop it with everybody connected; each is told when to come back.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_stops_tells_everybody() {
    let world = World::start().await;
    let mut server = world.game_server(OWNERS[0]).await;
    let player = world.player("ada").await.connect().await;
    let asked = tokio::time::Instant::now();
    let (_, (), code) = tokio::join!(world.stop(), async { server.until("goodbye", |event| gone(&event)).await }, player.closed());
    assert_eq!(code, CloseCode::GoingAway);
    assert!(asked.elapsed() < Duration::from_secs(5));
}

fn gone(event: &client::game_server::Event) -> Option<()> {
    match event {
        client::game_server::Event::Disconnected(why) => {
            assert!(why.contains("GoingAway"), "{why}");
            Some(())
        }
        _ => None,
    }
}

/// Goal: a restart of the host costs nobody the place in the queue. Method: restart it with one player waiting; a second one comes, and both
/// are matched without the first one asking again.
#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_player_keeps_the_place_over_a_restart_of_the_host() {
    let world = World::start().await;
    let mut ada = world.player("ada").await.connect().await;
    ada.enqueue(DUEL).await;
    let before = ada.status(v1::QueueState::Waiting).await.waited_ms;
    drop(ada);
    let world = world.restart(None).await;
    let account = Account::login(&world.http(), "ada", PASSWORD).await.unwrap();
    let mut ada = Player::new(account).await.connect().await;
    assert!(ada.status(v1::QueueState::Waiting).await.waited_ms > before);
    let mut bob = world.player("bob").await.connect().await;
    bob.enqueue(DUEL).await;
    let mut server = world.game_server(OWNERS[0]).await;
    server.admit().await;
    assert_eq!(ada.assignment().await.match_id, bob.assignment().await.match_id);
}

/// Goal: what the host counts is what happened. Method: a duel from start to end, then the metrics page.
#[tokio::test(flavor = "multi_thread")]
async fn a_duel_from_the_queue_to_the_leaderboard() {
    let world = World::start().await;
    let mut server = world.game_server(OWNERS[0]).await;
    let mut duel = world.duel(&mut server).await;
    for player in &duel.allow.players {
        server.client.player_joined(duel.match_id, ladder::id::PlayerId(player.player_id)).await.unwrap();
    }
    eventually("the match is live", async || world.match_page(duel.match_id).await["state"] == "live").await;
    server.client.report(tests::world::report(&duel.allow, 1)).await.unwrap();
    assert_eq!(server.report_ack().await.reasons, []);
    for player in &mut duel.players {
        let ended = player.ended().await;
        let (before, after) = (ended.visible_before.unwrap(), ended.visible_after.unwrap());
        let won = ended.place == Some(0);
        assert_eq!(after > before, won, "{ended:?}");
    }
    let rows = world.leaderboard().await;
    let winner = duel.allow.players.iter().find(|player| player.team == 0).unwrap().player_id;
    assert_eq!((rows.len(), rows[0]["player_id"].as_u64(), rows[0]["wins"].as_u64()), (2, Some(winner), Some(1)));
    let page = reqwest::get(format!("{}/metrics", world.http())).await.unwrap().text().await.unwrap();
    assert!(page.lines().any(|line| line.contains("report") && line.contains("accepted") && line.ends_with(" 1")), "{page}");
}
