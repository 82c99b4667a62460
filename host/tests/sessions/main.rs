//! Sockets and sessions: real TCP, a real database file, and a game side that only listens.
#![allow(clippy::unwrap_used, missing_docs)]

mod world;

use client::clock::{now, random};
use client::connection::{ConnectError, Received, SessionEnd, connect};
use host::config::HostConfig;
use host::directory::Directory;
use host::keys::{IssueOrder, Keyring};
use host::net::peer::Ending;
use ladder::reason::{Reason, code};
use ladder::time::UnixMillis;
use protocol::certificate::Scope;
use protocol::frame::HEADER_LEN;
use protocol::handshake::HandshakeError;
use protocol::handshake::client::Credential;
use protocol::id::{Identity, LoginTicketId};
use protocol::message::{Channel, FromGameServer, FromPlayer, MsgType, ToGameServer, v1};
use protocol::reaction::{CloseCode, RejectCode};
use protocol::record::{Close, Opened};
use protocol::secret::{AuthKey, LoginTicket};
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::{NewKeyEpoch, NewLoginTicket};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use world::*;

#[tokio::test]
async fn a_game_server_is_heard_and_spoken_to_under_its_certified_name() {
    let mut world = World::new().await;
    let keys = world.game_server().await;
    let mut connection = world.connect(&keys).await.unwrap();
    let Heard::ServerOpened(peer) = world.hears().await else { panic!("not opened") };
    assert_eq!((peer.server, peer.owner.as_str(), peer.scope), (keys.server, "eu-1.example", Scope::ALL));
    assert_eq!(peer.session_id, connection.session_id);
    let beat = v1::Heartbeat { capacity: 4, name: "somebody else".to_owned(), ..v1::Heartbeat::default() };
    connection.writer.send(&beat).await.unwrap();
    assert_eq!(world.hears().await, Heard::Server(FromGameServer::Heartbeat(beat)));
    let ack = v1::HeartbeatAck { received_at_ms: 7, ..v1::HeartbeatAck::default() };
    assert!(world.registry.send_to_server(keys.server, &ToGameServer::from(ack.clone())));
    let Received::Message(msg_type, content) = connection.reader.next().await.unwrap() else { panic!("no message") };
    assert_eq!((msg_type, ToGameServer::decode(msg_type, content).unwrap()), (MsgType::HeartbeatAck, ToGameServer::from(ack)));
    connection.writer.close(CloseCode::Normal, 1).await.unwrap();
    assert_eq!(world.hears().await, Heard::ServerClosed(keys.server, Ending::ClosedByPeer));
    assert!(world.registry.servers().is_empty());
}

#[tokio::test]
async fn a_connection_that_ends_without_a_close_counts_as_truncated() {
    let mut world = World::new().await;
    let keys = world.game_server().await;
    drop(world.connect(&keys).await.unwrap());
    assert_eq!(world.hears_end().await, Ending::Truncated);
    assert!(world.counts("ranked_sessions_truncated_total{channel=\"s2s\"} 1"));
}

/// Goal: a stranger cannot tell an unknown identity from a wrong key, nor learn anything else. Method: whatever it sends, not one byte comes back.
#[tokio::test]
async fn a_stranger_gets_silence() {
    let world = World::new().await;
    let keys = world.game_server().await;
    let elsewhere = World::new().await;
    let foreign = elsewhere.game_server().await;
    let wrong_key = Credential::Certificate { certificate: &keys.certificate, auth_key: &foreign.auth_key, node_key: &keys.node_key };
    let mut oversized = hello(&world, keys.credential());
    oversized[..4].copy_from_slice(&u32::MAX.to_be_bytes());
    let mut forged = hello(&world, keys.credential());
    forged[10] ^= 1;
    for (name, bytes) in [
        ("noise", vec![0x47; 200]),
        ("a known identity with a wrong auth key", hello(&world, wrong_key)),
        ("a length beyond every limit, which is never allocated", oversized),
        ("one bit of the HMAC changed", forged),
    ] {
        assert_eq!(answer_to(world.s2s, &bytes).await, b"", "{name}");
    }
    let world = World::new().await;
    let unknown = hello(&world, foreign.credential());
    assert_eq!(answer_to(world.s2s, &unknown).await, b"", "an unknown identity");
    assert_eq!(answer_to(world.rdv, &unknown).await, b"", "the wrong channel");
}

#[tokio::test]
async fn a_stranger_who_dawdles_is_dropped_without_a_byte() {
    let mut config = HostConfig::default();
    (config.limits.header_ms_max, config.limits.hello_ms_max) = (200, 400);
    let world = World::with(config).await;
    let keys = world.game_server().await;
    let whole = hello(&world, keys.credential());
    for (name, sent) in [("nothing", &whole[..0]), ("half a header", &whole[..30]), ("a header and half a payload", &whole[..100])] {
        let begun = Instant::now();
        assert_eq!(answer_to(world.s2s, sent).await, b"", "{name}");
        assert!(begun.elapsed() < Duration::from_secs(2), "{name} {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_hello_is_heard_once() {
    let world = World::new().await;
    let keys = world.game_server().await;
    let hello = hello(&world, keys.credential());
    let mut first = TcpStream::connect(world.s2s).await.unwrap();
    first.write_all(&hello).await.unwrap();
    let mut header = [0; 57];
    first.read_exact(&mut header).await.unwrap();
    assert_eq!(header[48], MsgType::ServerHello.to_wire());
    assert_eq!(answer_to(world.s2s, &hello).await, b"");
}

#[tokio::test]
async fn a_wrong_clock_is_told_so_and_a_forged_one_is_not() {
    let world = World::new().await;
    let keys = world.game_server().await;
    world.clock.set(UnixMillis(now().0 + 121_000));
    let told = world.connect(&keys).await.err();
    let Some(ConnectError::Handshake(HandshakeError::Rejected(reject))) = told else { panic!("{told:?}") };
    assert_eq!(reject.code, RejectCode::ClockSkew);
}

/// Goal: attempts beyond the rate are turned away before any cryptography. Method: exhaust it with failing attempts, then come with a perfect
/// credential: the hint comes although nothing was sent yet.
#[tokio::test]
async fn the_rate_limit_comes_first() {
    let mut config = HostConfig::default();
    (config.limits.s2s_per_minute, config.limits.failed_hello_penalty_ms) = (3, 0);
    let world = World::with(config).await;
    let keys = world.game_server().await;
    for _ in 0..3 {
        assert_eq!(answer_to(world.s2s, b"GET / HTTP/1.1\r\nHost: ranked.example\r\nUser-Agent: scanner\r\n\r\n").await, b"");
    }
    let hint = answer_to(world.s2s, b"").await;
    assert_eq!((hint[48], hint[57]), (MsgType::Reject.to_wire(), 1), "busy");
    assert!(world.connect(&keys).await.is_err());
    assert!(world.counts("ranked_handshakes_total{channel=\"s2s\",result=\"malformed\"} 3"));
    assert!(world.counts("ranked_admissions_total{channel=\"s2s\",result=\"rate-limited\"} 2"));
}

#[tokio::test]
async fn one_certificate_shakes_hands_only_so_often() {
    let mut config = HostConfig::default();
    config.limits.certificate_per_minute = 2;
    let world = World::with(config).await;
    let keys = world.game_server().await;
    for _ in 0..2 {
        world.connect(&keys).await.unwrap();
    }
    assert!(refused(world.connect(&keys).await));
    assert!(world.connect(&world.game_server().await).await.is_ok(), "another certificate is not concerned");
}

#[tokio::test]
async fn revocation_closes_a_live_session_within_a_second() {
    let mut world = World::new().await;
    let keys = world.game_server().await;
    let mut connection = world.connect(&keys).await.unwrap();
    let begun = Instant::now();
    world.store.revoke_certificate(keys.server, Reason::new(code::OPERATOR, "stolen"), world.clock.now()).await.unwrap().unwrap();
    assert_eq!(close_code(&mut connection).await, CloseCode::Revoked);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(world.hears_end().await, Ending::CredentialDead);
    assert!(refused(world.connect(&keys).await), "nor does it come back");
}

/// Goal: a handler that is busy does not keep a revoked session alive, and nothing that comes later is used. Method: the game side hangs on the
/// first message while the certificate is revoked; a second message waits behind it.
#[tokio::test]
async fn revocation_does_not_wait_for_a_busy_handler_and_nothing_later_counts() {
    let mut world = World::new().await;
    let keys = world.game_server().await;
    let mut connection = world.connect(&keys).await.unwrap();
    connection.writer.send(&log_entries()).await.unwrap();
    connection.writer.send(&v1::Heartbeat::default()).await.unwrap();
    assert!(matches!(world.hears().await, Heard::ServerOpened(_)));
    assert!(matches!(world.hears().await, Heard::Server(FromGameServer::LogEntries(_))));
    world.store.revoke_certificate(keys.server, Reason::new(code::OPERATOR, "stolen"), world.clock.now()).await.unwrap().unwrap();
    assert_eq!(close_code(&mut connection).await, CloseCode::Revoked);
    world.sessions.go_on.notify_one();
    assert_eq!(world.hears().await, Heard::ServerClosed(keys.server, Ending::CredentialDead));
}

#[tokio::test]
async fn retiring_every_key_epoch_closes_every_game_server() {
    let mut world = World::new().await;
    let (one, other) = (world.game_server().await, world.game_server().await);
    let mut connections = [world.connect(&one).await.unwrap(), world.connect(&other).await.unwrap()];
    let successor = NewKeyEpoch { key_epoch: 2, public_key: [7; 32] };
    world.store.nuke(Some(successor), Reason::new(code::OPERATOR, "key stolen"), world.clock.now()).await.unwrap().unwrap();
    for connection in &mut connections {
        assert_eq!(close_code(connection).await, CloseCode::KeyEpochRetired);
    }
    assert_eq!(world.hears_end().await, Ending::CredentialDead);
    assert!(refused(world.connect(&one).await));
}

/// Goal: after `ranked key nuke` in another process the running host signs with the new keys. Method: the steps of that command, the database
/// first and the key files after it.
#[tokio::test]
async fn a_new_signing_key_counts_without_a_restart() {
    let world = World::new().await;
    let at = world.clock.now();
    let mut elsewhere = Keyring::load(world.keyring.paths().clone()).unwrap();
    let successor = elsewhere.prepare_successor().unwrap();
    let known = NewKeyEpoch { key_epoch: successor.key_epoch().0, public_key: successor.public_key().0 };
    world.store.nuke(Some(known), Reason::new(code::OPERATOR, "key stolen"), at).await.unwrap().unwrap();
    elsewhere.adopt(successor, Duration::from_secs(86_400), at).unwrap();
    let order = IssueOrder { server: None, owner: "eu-1".to_owned(), scope: Scope::ALL, life: Duration::from_secs(60), node_key: None };
    let issued = elsewhere.issue(order, at).unwrap();
    let auth_key = elsewhere.auth_key(&issued.record).unwrap();
    world.store.record_certificate(issued.record).await.unwrap().unwrap();
    let node_key = issued.file.node_key.unwrap();
    let credential = || Credential::Certificate { certificate: &issued.file.certificate, auth_key: &auth_key, node_key: &node_key };
    let (trust, address, begun) = (elsewhere.trust(), world.s2s.to_string(), Instant::now());
    let mut pause = tokio::time::interval(Duration::from_millis(400));
    while connect(&address, &trust, credential()).await.is_err() {
        assert!(begun.elapsed() < PATIENCE, "the new keys are not in use");
        pause.tick().await;
    }
}

#[tokio::test]
async fn a_certificate_that_expires_takes_its_session_along() {
    let mut world = World::new().await;
    let keys = world.issue(Scope::ALL, Duration::from_secs(60)).await;
    let mut connection = world.connect(&keys).await.unwrap();
    world.clock.set(UnixMillis(world.clock.now().0 + 59_999));
    connection.writer.send(&v1::Heartbeat::default()).await.unwrap();
    assert!(matches!(world.hears().await, Heard::ServerOpened(_)));
    assert!(matches!(world.hears().await, Heard::Server(_)), "alive to the last moment");
    world.clock.set(UnixMillis(world.clock.now().0 + 1));
    assert_eq!(close_code(&mut connection).await, CloseCode::Revoked);
    assert_eq!(world.hears_end().await, Ending::CredentialDead);
}

#[tokio::test]
async fn a_session_as_old_as_it_may_get_is_asked_to_shake_hands_again() {
    let mut config = HostConfig::default();
    config.session.session_s_max = 60;
    let mut world = World::with(config).await;
    let keys = world.game_server().await;
    let mut connection = world.connect(&keys).await.unwrap();
    world.clock.set(UnixMillis(world.clock.now().0 + 60_000));
    assert_eq!(close_code(&mut connection).await, CloseCode::Rehandshake);
    assert_eq!(world.hears_end().await, Ending::Rehandshake);
}

#[tokio::test]
async fn a_second_session_of_one_certificate_replaces_the_first_and_raises_an_alert() {
    let mut world = World::new().await;
    let keys = world.game_server().await;
    let mut first = world.connect(&keys).await.unwrap();
    let second = world.connect(&keys).await.unwrap();
    assert_ne!(first.session_id, second.session_id);
    assert_eq!(close_code(&mut first).await, CloseCode::Replaced);
    assert_eq!(world.hears_end().await, Ending::Replaced);
    assert_eq!(world.registry.servers().len(), 1);
    assert_eq!(world.registry.servers()[0].session_id, second.session_id);
    assert!(world.counts("ranked_alerts_total{alert=\"certificate-twice\"} 1"));
    assert!(world.counts("ranked_sessions_open{channel=\"s2s\"} 1"));
}

#[tokio::test]
async fn what_the_scope_does_not_allow_is_not_handed_on() {
    let mut world = World::new().await;
    let keys = world.issue(Scope::HEARTBEAT, Duration::from_secs(60)).await;
    let mut connection = world.connect(&keys).await.unwrap();
    assert!(matches!(world.hears().await, Heard::ServerOpened(_)));
    connection.writer.send(&log_entries()).await.unwrap();
    let report = v1::MatchReport { report_id: vec![9; 16], match_id: 3, ..v1::MatchReport::default() };
    connection.writer.send(&report).await.unwrap();
    let Received::Message(msg_type, content) = connection.reader.next().await.unwrap() else { panic!("no message") };
    let ToGameServer::ReportRefused(refused) = ToGameServer::decode(msg_type, content).unwrap() else { panic!("not refused") };
    assert_eq!((refused.report_id, refused.match_id, refused.reason.unwrap().code), (vec![9; 16], 3, "scope".to_owned()));
    connection.writer.send(&v1::MatchStarted { match_id: 3 }).await.unwrap();
    assert_eq!(close_code(&mut connection).await, CloseCode::Protocol);
    assert_eq!(world.hears().await, Heard::ServerClosed(keys.server, Ending::Misbehaved), "nothing of it was handed on");
}

#[tokio::test]
async fn misbehavior_ends_the_session_and_its_source_pays() {
    let mut world = World::new().await;
    let keys = world.game_server().await;
    let mut connection = world.connect(&keys).await.unwrap();
    connection.writer.send(&v1::MatchStarted { match_id: 3 }).await.unwrap();
    let SessionEnd::Closed { code, text, .. } = end(&mut connection).await else { panic!("no close") };
    assert_eq!((code, text.as_str()), (CloseCode::Protocol, "not-your-match"));
    assert_eq!(world.hears_end().await, Ending::Misbehaved);
    assert!(refused(world.connect(&keys).await));
    assert!(world.counts("ranked_admissions_total{channel=\"s2s\",result=\"penalized\"} 1"));
}

#[tokio::test]
async fn silence_ends_a_session() {
    let mut config = HostConfig::default();
    (config.session.idle_timeout_ms, config.session.heartbeat_ms) = (300, 100);
    let mut world = World::with(config).await;
    let keys = world.game_server().await;
    let mut connection = world.connect(&keys).await.unwrap();
    assert_eq!(close_code(&mut connection).await, CloseCode::Protocol);
    assert_eq!(world.hears_end().await, Ending::TimedOut);
}

#[tokio::test]
async fn half_a_frame_ends_a_session() {
    let mut config = HostConfig::default();
    config.limits.frame_ms_max = 200;
    let mut world = World::with(config).await;
    let keys = world.game_server().await;
    for cut in [1, HEADER_LEN, HEADER_LEN + 5] {
        let (mut socket, mut sealer, mut opener) = raw_session(&world, &keys).await;
        let frame = heartbeat(&mut sealer);
        socket.write_all(&frame[..cut]).await.unwrap();
        let (header, mut payload) = read_frame(&mut socket).await.expect("a close");
        let opened = opener.open(opener.check_header(&header).unwrap(), &mut payload, now()).unwrap();
        assert!(matches!(opened, Opened::Close(Close { code: CloseCode::Protocol, .. })), "{cut}: {opened:?}");
        assert_eq!(world.hears_end().await, Ending::TimedOut, "{cut}");
    }
}

/// Goal: what somebody on the path does to the bytes ends the session in silence and is never used. Method: one manipulation per session.
#[tokio::test]
async fn manipulated_records_end_a_session_in_silence() {
    let mut config = HostConfig::default();
    config.limits.certificate_per_minute = 100;
    let mut world = World::with(config).await;
    let keys = world.game_server().await;
    type Manipulation = fn(Vec<u8>, Vec<u8>) -> Vec<u8>;
    let manipulations: [(&str, Manipulation, usize); 6] = [
        ("replayed", |first, _| [first.clone(), first].concat(), 1),
        ("swapped", |first, second| [second, first].concat(), 0),
        ("dropped", |_, second| second, 0),
        (
            "forged tag",
            |mut first, _| {
                *first.last_mut().unwrap() ^= 1;
                first
            },
            0,
        ),
        (
            "oversized",
            |mut first, _| {
                first[..4].copy_from_slice(&u32::MAX.to_be_bytes());
                first
            },
            0,
        ),
        (
            "reflected type",
            |mut first, _| {
                first[48] = MsgType::HeartbeatAck.to_wire();
                first
            },
            0,
        ),
    ];
    for (name, manipulate, used) in manipulations {
        let (mut socket, mut sealer, _) = raw_session(&world, &keys).await;
        let (first, second) = (heartbeat(&mut sealer), heartbeat(&mut sealer));
        socket.write_all(&manipulate(first, second)).await.unwrap();
        assert_eq!(read_frame(&mut socket).await, None, "{name}");
        assert!(matches!(world.hears().await, Heard::ServerOpened(_)), "{name}");
        for _ in 0..used {
            assert!(matches!(world.hears().await, Heard::Server(_)), "{name}");
        }
        assert_eq!(world.hears().await, Heard::ServerClosed(keys.server, Ending::Misbehaved), "{name}");
    }
}

#[tokio::test]
async fn a_stale_record_is_answered_with_a_close() {
    let mut world = World::new().await;
    let keys = world.game_server().await;
    let (mut socket, mut sealer, mut opener) = raw_session(&world, &keys).await;
    let frame = heartbeat(&mut sealer);
    world.clock.set(UnixMillis(now().0 + 121_000));
    socket.write_all(&frame).await.unwrap();
    let (header, mut payload) = read_frame(&mut socket).await.expect("a close");
    let opened = opener.open(opener.check_header(&header).unwrap(), &mut payload, world.clock.now()).unwrap();
    assert!(matches!(opened, Opened::Close(Close { code: CloseCode::Protocol, .. })), "{opened:?}");
    assert_eq!(world.hears_end().await, Ending::Misbehaved);
}

#[tokio::test]
async fn a_requested_key_update_is_answered() {
    let mut world = World::new().await;
    let keys = world.game_server().await;
    let (mut socket, mut sealer, mut opener) = raw_session(&world, &keys).await;
    let mut frames = Vec::new();
    sealer.key_update(true, now(), &mut frames);
    frames.extend(heartbeat(&mut sealer));
    socket.write_all(&frames).await.unwrap();
    let (header, mut payload) = read_frame(&mut socket).await.expect("a key update");
    let opened = opener.open(opener.check_header(&header).unwrap(), &mut payload, now()).unwrap();
    assert_eq!(opened, Opened::KeyUpdate { request: false });
    assert!(matches!(world.hears().await, Heard::ServerOpened(_)));
    assert!(matches!(world.hears().await, Heard::Server(_)), "the record after the update is used");
}

/// Goal: a peer that does not read costs a bounded amount of memory. Method: write to it until its outbox and the socket are full.
#[tokio::test]
async fn a_slow_reader_is_closed() {
    let mut config = HostConfig::default();
    (config.session.outbox_frames_max, config.session.outbox_bytes_max) = (16, 1 << 17);
    let mut world = World::with(config).await;
    let keys = world.game_server().await;
    let connection = world.connect(&keys).await.unwrap();
    assert!(matches!(world.hears().await, Heard::ServerOpened(_)));
    let large = ToGameServer::from(v1::ReportAck {
        reasons: vec![v1::Reason { code: "x".to_owned(), detail: "y".repeat(40_000) }],
        ..v1::ReportAck::default()
    });
    let mut taken = 0;
    while world.registry.send_to_server(keys.server, &large) {
        taken += 1;
        assert!(taken < 10_000, "the outbox never fills");
        tokio::task::yield_now().await;
    }
    assert_eq!(world.hears_end().await, Ending::TimedOut);
    assert!(world.counts("ranked_alerts_total{alert=\"slow-reader\"} 1"));
    drop(connection);
}

/// Goal: what is put in while a write waits for its peer is sent right after it. Method: one message after another to a peer that does not read,
/// until the sockets are full and one waits half-written; then the peer reads.
#[tokio::test]
async fn what_is_put_in_during_a_slow_write_is_sent_after_it() {
    const MESSAGES: u64 = 1_000;
    let mut config = HostConfig::default();
    (config.session.outbox_frames_max, config.session.outbox_bytes_max) = (65_536, 1 << 26);
    config.session.idle_timeout_ms = 300_000;
    let mut world = World::with(config).await;
    let keys = world.game_server().await;
    let mut connection = world.connect(&keys).await.unwrap();
    assert!(matches!(world.hears().await, Heard::ServerOpened(_)));
    // Together more than the sockets hold; each of them small enough to be written with nothing behind it.
    let detail = "y".repeat(12_000);
    for match_id in 0..MESSAGES {
        let reasons = vec![v1::Reason { code: "x".to_owned(), detail: detail.clone() }];
        let ack = ToGameServer::from(v1::ReportAck { match_id, reasons, ..v1::ReportAck::default() });
        assert!(world.registry.send_to_server(keys.server, &ack));
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
    }
    for expected in 0..MESSAGES {
        let next = tokio::time::timeout(PATIENCE, connection.reader.next()).await.expect("it is sent in time");
        let Ok(Received::Message(msg_type, content)) = next else { panic!("no message") };
        let ToGameServer::ReportAck(ack) = ToGameServer::decode(msg_type, content).unwrap() else { panic!("another message") };
        assert_eq!(ack.match_id, expected);
    }
}

#[tokio::test]
async fn a_player_shakes_hands_only_so_often_with_whichever_login_ticket() {
    let mut config = HostConfig::default();
    config.limits.player_per_minute = 3;
    let world = World::with(config).await;
    let (_, _, mut ticket) = world.player("ada").await;
    for _ in 0..3 {
        ticket = world.connect_player(&ticket).await.unwrap().next_ticket.unwrap();
    }
    assert!(refused(world.connect_player(&ticket).await));
    let (_, _, other) = world.player("bob").await;
    // The refused attempt cost the address a pause, and nobody else's count.
    assert!(world.counts("ranked_handshakes_total{channel=\"rdv\",result=\"busy\"} 1"));
    assert!(world.directory.auth_key(Channel::Rdv, Identity(other.id().0)).is_some());
}

/// Goal: a player who shakes hands for a week does not fill the memory. Method: thirty successions; then what is remembered, also after a restart.
#[tokio::test]
async fn of_a_family_only_the_latest_superseded_login_tickets_are_remembered() {
    let mut config = HostConfig::default();
    config.limits.player_per_minute = 1_000;
    (config.limits.certificate_per_minute, config.limits.rdv_per_minute) = (1_000, 1_000);
    let world = World::with(config).await;
    let (_, _, first) = world.player("ada").await;
    let mut tickets = vec![first];
    for _ in 0..30 {
        world.clock.set(UnixMillis(world.clock.now().0 + 1));
        let next = world.connect_player(tickets.last().unwrap()).await.unwrap().next_ticket.unwrap();
        tickets.push(next);
    }
    let remembered = |directory: &Directory| {
        let is_known = |ticket: &&LoginTicket| directory.auth_key(Channel::Rdv, Identity(ticket.id().0)).is_some();
        tickets.iter().map(|ticket| is_known(&ticket)).collect::<Vec<_>>()
    };
    // The last one is pending, the one before it live, and eight are superseded.
    let expected: Vec<bool> = (0..31).map(|number| number >= 31 - 10).collect();
    assert_eq!(remembered(&world.directory), expected);
    world.directory.reload(&world.store, world.clock.now()).await.unwrap();
    assert_eq!(remembered(&world.directory), expected, "read again");
    let restarted = Directory::load(Arc::clone(&world.keyring), &world.store, world.clock.now()).await.unwrap();
    assert_eq!(remembered(&restarted), expected, "after a restart");
    assert!(refused(world.connect_player(&tickets[0]).await), "silence for one that is forgotten");
    assert!(!world.counts("ranked_alerts_total{alert=\"login-ticket-reused\"} 1"));
    world.directory.forget_expired(world.clock.now().plus(Duration::from_secs(8 * 86_400)));
    assert_eq!(remembered(&world.directory), [false; 31], "expired");
}

#[tokio::test]
async fn a_player_gets_the_next_login_ticket_and_the_old_one_betrays_its_thief() {
    let mut world = World::new().await;
    let (player, _, first) = world.player("ada").await;
    let mut connection = world.connect_player(&first).await.unwrap();
    let Heard::PlayerOpened(peer) = world.hears().await else { panic!("not opened") };
    assert_eq!((peer.player, peer.name.as_str()), (player, "ada"));
    // Not confirmed yet: the old one still counts, for whoever lost the connection at this point.
    let mut live = world.connect_player(&first).await.unwrap();
    assert_eq!(close_code(&mut connection).await, CloseCode::Replaced);
    let successor = live.next_ticket.take().unwrap();
    live.writer.send(&v1::KeepAlive {}).await.unwrap();
    while !matches!(world.hears().await, Heard::Player(FromPlayer::KeepAlive(_))) {}
    // Confirmed: the old one is superseded, and whoever brings it now kills the family.
    assert!(refused(world.connect_player(&first).await));
    assert_eq!(close_code(&mut live).await, CloseCode::Revoked);
    assert!(refused(world.connect_player(&successor).await), "the successor died with its family");
    assert!(world.counts("ranked_alerts_total{alert=\"login-ticket-reused\"} 1"));
}

#[tokio::test]
async fn a_player_who_crashed_before_the_first_record_may_use_either_ticket() {
    let world = World::new().await;
    let (_, _, first) = world.player("ada").await;
    let offered = world.connect_player(&first).await.unwrap().next_ticket.unwrap();
    assert!(world.connect_player(&offered).await.is_ok(), "the offered one proves itself");
    assert!(refused(world.connect_player(&first).await), "and by that supersedes the first");
}

#[tokio::test]
async fn logging_out_closes_the_players_session() {
    let mut world = World::new().await;
    let (_, login_id, ticket) = world.player("ada").await;
    let mut connection = world.connect_player(&ticket).await.unwrap();
    let begun = Instant::now();
    world.store.end_login(login_id, world.clock.now()).await.unwrap();
    assert_eq!(close_code(&mut connection).await, CloseCode::Revoked);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(world.hears_end().await, Ending::CredentialDead);
}

#[tokio::test]
async fn a_second_login_replaces_the_players_first_session() {
    let mut world = World::new().await;
    let (player, login_id, ticket) = world.player("ada").await;
    let mut first = world.connect_player(&ticket).await.unwrap();
    let other = LoginTicket::new(LoginTicketId(random()), &random());
    let at = world.clock.now();
    let hash = *AuthKey::from_login_ticket(&other).expose();
    let new = NewLoginTicket { ticket_id: other.id().0, hash, expires_at: at.plus(Duration::from_secs(600)) };
    world.store.issue_login_ticket(login_id, new, at).await.unwrap().unwrap();
    world.directory.reload(&world.store, at).await.unwrap();
    let second = world.connect_player(&other).await.unwrap();
    assert_eq!(close_code(&mut first).await, CloseCode::Replaced);
    assert_eq!(world.hears_end().await, Ending::Replaced);
    let players = world.registry.players();
    assert_eq!(players.iter().map(|peer| (peer.player, peer.session_id)).collect::<Vec<_>>(), [(player, second.session_id)]);
}

#[tokio::test]
async fn a_host_that_stops_tells_everybody_and_lets_nobody_in() {
    let mut world = World::new().await;
    let keys = world.game_server().await;
    let (_, _, ticket) = world.player("ada").await;
    let mut server = world.connect(&keys).await.unwrap();
    let mut player = world.connect_player(&ticket).await.unwrap();
    let half_open = TcpStream::connect(world.s2s).await.unwrap();
    let ack = v1::HeartbeatAck { received_at_ms: 7, ..v1::HeartbeatAck::default() };
    assert!(matches!(world.hears().await, Heard::ServerOpened(_)));
    assert!(world.registry.send_to_server(keys.server, &ToGameServer::from(ack)));
    let begun = Instant::now();
    let gate = Arc::clone(&world.gate);
    let closing = tokio::spawn(async move { gate.close().await });
    let Received::Message(msg_type, _) = server.reader.next().await.unwrap() else { panic!("no message") };
    assert_eq!(msg_type, MsgType::HeartbeatAck, "what waits is sent first");
    assert_eq!(close_code(&mut server).await, CloseCode::GoingAway);
    assert_eq!(close_code(&mut player).await, CloseCode::GoingAway);
    drop((server, player, half_open));
    closing.await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(world.connect(&keys).await.is_err());
}
