//! Credentials that die, or that were never enough: what becomes of live sessions, and who does not get one.

use std::time::{Duration, Instant};

use client::connection::{self, ConnectError};
use client::http::HttpError;
use client::login_ticket::InMemory;
use client::provision::{GameServerKeys, ProvisionError};
use host::metrics::{Alert, AlertLabels};
use ladder::reason::{Reason, code};
use protocol::envelope::{CertificateFile, PepperFile};
use protocol::handshake::client::Credential;
use protocol::message::v1;
use protocol::reaction::CloseCode;
use protocol::secret::{AuthKey, LoginTicket, Pepper};
use store::NewKeyEpoch;
use tests::by_hand::HashThief;
use tests::raw::{RawPeer, dial, read_frame, read_to_end};
use tests::world::{ConnectedPlayer, DUEL, OWNERS, Plan, Player, World, closed};
use tokio::io::AsyncWriteExt;

/// How soon a dead credential's sessions must be closed.
const AT_ONCE: Duration = Duration::from_secs(1);

fn credential(keys: &GameServerKeys) -> Credential<'_> {
    Credential::Certificate { certificate: &keys.certificate, auth_key: &keys.auth_key, node_key: &keys.node_key }
}

/// Whether a game server with these keys gets a session.
async fn is_welcome(world: &World, keys: &GameServerKeys) -> bool {
    RawPeer::connect(world.host().s2s_addr(), 9, &world.trust(), credential(keys), world.clock()).await.is_ok()
}

/// Goal: a certificate dies with its session and its matches. Method: revoke it through a second handle on the database, as a command in
/// another process does, while a match is on.
#[tokio::test(flavor = "multi_thread")]
async fn revocation_closes_a_live_session_within_a_second() {
    let world = World::start().await;
    let mut server = world.game_server(OWNERS[0]).await;
    let mut other = world.game_server(OWNERS[1]).await;
    let mut duel = world.duel(&mut server).await;
    let reason = Reason::new(code::OPERATOR, "stolen");
    world.open_store().revoke_certificate(server.id, reason, world.clock().now()).await.unwrap().unwrap();
    let revoked = Instant::now();
    let why = server.stopped().await;
    assert!(revoked.elapsed() < AT_ONCE, "{:?}", revoked.elapsed());
    assert!(why.contains("Revoked"), "{why}");
    for player in &mut duel.players {
        let ended = player.ended().await;
        assert_eq!((ended.ending(), ended.notice.unwrap().code.as_str()), (v1::MatchEnding::Voided, "certificate-dead"));
    }
    assert!(!is_welcome(&world, &world.keys(OWNERS[0])).await, "a revoked certificate");
    other.still_there().await;
}

/// Goal: no session outlives its certificate. Method: a certificate of one minute, and the host's clock put forward by one.
#[tokio::test(flavor = "multi_thread")]
async fn expiry_closes_a_live_session_within_a_second() {
    let life = Duration::from_secs(60);
    let clock = host::clock::Clock::standing_at(client::clock::now());
    let world = World::start_with(Plan { certificate_life: life, clock, ..Plan::default() }).await;
    let mut server = world.game_server(OWNERS[0]).await;
    world.clock().set(world.clock().now().plus(life));
    let expired = Instant::now();
    let why = server.stopped().await;
    assert!(expired.elapsed() < AT_ONCE, "{:?}", expired.elapsed());
    assert!(why.contains("Revoked") && why.contains("expired"), "{why}");
    assert!(!is_welcome(&world, &world.keys(OWNERS[0])).await, "an expired certificate");
}

/// Goal: one order ends every certificate there is. Method: the steps of `ranked key nuke` beside the running host; afterwards a certificate
/// of the new key epoch is as good as ever.
#[tokio::test(flavor = "multi_thread")]
async fn key_nuke_closes_every_game_server_session_within_a_second() {
    let world = World::start().await;
    let mut servers = [world.game_server(OWNERS[0]).await, world.game_server(OWNERS[1]).await];
    let mut player = world.player("ada").await.connect().await;
    let (mut keyring, store, now) = (world.open_keyring(), world.open_store(), world.clock().now());
    let successor = keyring.prepare_successor().unwrap();
    let known = NewKeyEpoch { key_epoch: successor.key_epoch().0, public_key: successor.public_key().0 };
    let nuked = store.nuke(Some(known), Reason::new(code::OPERATOR, "backup stolen"), now).await.unwrap().unwrap();
    let begun = Instant::now();
    for server in &mut servers {
        let why = server.stopped().await;
        assert!(why.contains("KeyEpochRetired"), "{why}");
    }
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    assert_eq!(nuked.certificates, 2);
    keyring.adopt(successor, Duration::from_secs(86_400), now).unwrap();
    store.add_key_epoch(known, now).await.unwrap().unwrap();
    for owner in OWNERS {
        assert!(!is_welcome(&world, &world.keys(owner)).await, "{owner}");
    }
    // Players have nothing to do with it.
    player.enqueue(DUEL).await;
    world.issue("eu-3.example", Duration::from_secs(86_400)).await;
    world.game_server("eu-3.example").await;
}

/// Goal: a copied login ticket is noticed, whoever uses it second. Method: the copy is shown after its owner connected with the original;
/// the owner's session ends, and neither ticket of the family opens another one.
#[tokio::test(flavor = "multi_thread")]
async fn a_spent_login_ticket_revokes_its_family() {
    let world = World::start().await;
    let mut owner = world.player("ada").await.connect().await;
    // The answer shows that the host took the first record: from then on the first ticket is superseded.
    owner.enqueue(DUEL).await;
    let rdv = world.host().rdv_addr();
    let thief = RawPeer::connect(rdv, 2, &world.trust(), Credential::LoginTicket(&owner.first_ticket), world.clock()).await;
    let shown = Instant::now();
    assert!(thief.is_err(), "the copy opens nothing");
    let ConnectedPlayer { account, mut client, session, .. } = owner;
    assert_eq!(closed(session).await, CloseCode::Revoked);
    assert!(shown.elapsed() < AT_ONCE, "{:?}", shown.elapsed());
    assert!(client.connect().await.is_err(), "the rotated ticket is of the same family");
    let alerts = world.host().metrics().alerts.get_or_create(&AlertLabels { alert: Alert::LoginTicketReused }).get();
    assert_eq!(alerts, 1);
    // The login itself still counts: it gets a new family.
    Player::new(account).await.connect().await;
}

/// Goal: logging out ends everything that the login had opened. Method: log out over HTTP while connected.
#[tokio::test(flavor = "multi_thread")]
async fn logging_out_closes_the_players_session() {
    let world = World::start().await;
    let ConnectedPlayer { account, mut client, session, .. } = world.player("ada").await.connect().await;
    let unused = account.login_ticket().await.unwrap();
    account.logout().await.unwrap();
    let out = Instant::now();
    assert_eq!(closed(session).await, CloseCode::Revoked);
    assert!(out.elapsed() < AT_ONCE, "{:?}", out.elapsed());
    assert!(client.connect().await.is_err(), "the rotated ticket");
    let mut other = client::player::Player::new(unused.rdv, world.trust(), unused.ticket, Box::new(InMemory));
    assert!(other.connect().await.is_err(), "a ticket that was never used");
}

/// Goal: a game server cannot pass for another one. Method: it calls itself by a famous name; everybody is told its certificate's owner, and
/// the operator that somebody tried.
#[tokio::test(flavor = "multi_thread")]
async fn a_claimed_name_is_overridden_by_the_certificates_owner() {
    let world = World::start().await;
    let mut server = world.connecting_game_server(OWNERS[0], "famous.example");
    assert_eq!(server.heartbeat().await.name, OWNERS[0]);
    let duel = world.duel(&mut server).await;
    assert_eq!(duel.assignments[0].server_name, OWNERS[0]);
    assert_eq!(world.match_page(duel.match_id).await["game_server_owner"], OWNERS[0]);
    let alerts = world.host().metrics().alerts.get_or_create(&AlertLabels { alert: Alert::NameMismatch }).get();
    assert_eq!(alerts, 1, "once a session, however many heartbeats");
}

/// Goal: the certificate file alone is worth nothing. Method: without the pepper file, with another community's, and with a guess.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_file_without_the_pepper_cannot_log_in() {
    let world = World::start().await;
    let stolen = world.certificate_path(OWNERS[0]);
    let missing = GameServerKeys::load(&stolen, &world.folder().join("not-stolen.key"), None);
    assert!(matches!(missing, Err(ProvisionError::Io { .. })));
    let file = CertificateFile::parse(&std::fs::read_to_string(&stolen).unwrap()).unwrap();
    let guess = PepperFile { pepper_id: file.pepper_id, pepper: Pepper::from_bytes(client::clock::random()) };
    let path = world.folder().join("guessed.key");
    host::keys::secret_file::create(&path, &guess.encode()).unwrap();
    let keys = GameServerKeys::load(&stolen, &path, None).unwrap();
    let host = world.host().s2s_addr().to_string();
    let refused = connection::connect(&host, &world.trust(), credential(&keys)).await;
    assert!(matches!(refused, Err(ConnectError::Io(_))), "silence, not even an M2");
    assert!(is_welcome(&world, &world.keys(OWNERS[0])).await, "with the pepper");
}

/// Goal: whoever reads the database cannot become a player. Method: the stored hash is the auth key of the RDV channel, so a thief gets as
/// far as M2; the ticket that M3 must show cannot be computed from it.
#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_ticket_hash_cannot_log_in() {
    let world = World::start().await;
    let player = world.player("ada").await;
    let ticket_id = player.ticket.id();
    let database = rusqlite::Connection::open(world.host().store().path()).unwrap();
    let hash: [u8; 32] =
        database.query_row("SELECT hash FROM login_tickets WHERE ticket_id = ?1", [ticket_id.0], |row| row.get(0)).unwrap();
    assert_eq!(&hash, AuthKey::from_login_ticket(&player.ticket).expose(), "what the database holds");

    let mut stream = dial(world.host().rdv_addr(), 2).await.unwrap();
    let random = [client::clock::random(), client::clock::random()];
    let (thief, m1) = HashThief::hello(world.trust().realm_id(), ticket_id, &hash, random, world.clock().now());
    stream.write_all(&m1).await.unwrap();
    let m2 = read_frame(&mut stream).await.expect("the hash is enough for an answer");
    let guess = LoginTicket::new(ticket_id, &client::clock::random());
    stream.write_all(&thief.finish(&m2, guess.expose(), world.clock().now())).await.unwrap();
    assert_eq!(read_to_end(&mut stream).await, b"", "no M4");

    // The same hands with the whole ticket: it was the ticket that the thief lacked, not the craft.
    let mut stream = dial(world.host().rdv_addr(), 2).await.unwrap();
    let random = [client::clock::random(), client::clock::random()];
    let (owner, m1) = HashThief::hello(world.trust().realm_id(), ticket_id, &hash, random, world.clock().now());
    stream.write_all(&m1).await.unwrap();
    let m2 = read_frame(&mut stream).await.unwrap();
    stream.write_all(&owner.finish(&m2, player.ticket.expose(), world.clock().now())).await.unwrap();
    assert!(read_frame(&mut stream).await.is_some(), "M4");
    drop(stream);
    player.connect().await;
}

/// Goal: one certificate, many sessions, nothing in common. Method: two sessions in a row; their exported secrets and ids differ, and a
/// record of the first is worth nothing in the second.
#[tokio::test(flavor = "multi_thread")]
async fn two_sessions_of_one_certificate_share_no_key() {
    let world = World::start().await;
    let (keys, trust, host) = (world.keys(OWNERS[0]), world.trust(), world.host().s2s_addr());
    let mut first = RawPeer::connect(host, 1, &trust, credential(&keys), world.clock()).await.unwrap();
    let mut second = RawPeer::connect(host, 1, &trust, credential(&keys), world.clock()).await.unwrap();
    assert_eq!(first.end().await.unwrap(), Some(CloseCode::Replaced));
    assert_ne!(first.session.session_id(), second.session.session_id());
    assert_ne!(first.session.exporter(), second.session.exporter());
    let beat = v1::Heartbeat::default();
    let now = world.clock().now();
    let (from_first, from_second) = (first.seal_at(&beat, now), second.seal_at(&beat, now));
    assert_ne!(from_first[57..], from_second[57..], "the same words, sealed");
    second.send(&from_first).await.unwrap();
    assert_eq!(second.end().await.unwrap(), None, "not authentic here");
}

/// Goal: guessing passwords does not open a session, and says nothing about who exists. Method: a wrong password, then an unknown name.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_opens_nothing() {
    let world = World::start().await;
    world.player("ada").await;
    for name in ["ada", "nobody"] {
        match client::http::Account::login(&world.http(), name, "not the password").await {
            Err(HttpError::Refused { status, refusal }) => {
                assert_eq!((status, refusal.code.as_str()), (401, "wrong-credentials"), "{name}")
            }
            _ => panic!("{name} was let in"),
        }
    }
}

/// Goal: a new game server needs no restart of the host. Method: issue a certificate beside the running host; its game server gets a match.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_issued_while_the_host_runs_is_good_without_a_restart() {
    let world = World::start().await;
    world.issue("eu-9.example", Duration::from_secs(3_600)).await;
    let mut server = world.game_server("eu-9.example").await;
    let duel = world.duel(&mut server).await;
    assert_eq!(duel.assignments[0].server_name, "eu-9.example");
}
