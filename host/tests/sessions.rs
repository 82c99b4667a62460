//! Sockets and sessions: real TCP, a real database file, and a game side that only listens.
#![allow(clippy::unwrap_used, missing_docs)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use client::clock::{now, random};
use client::connection::{ConnectError, Connection, Received, SessionEnd, connect};
use host::admission::{Admission, AdmissionLimits};
use host::clock::Clock;
use host::config::HostConfig;
use host::directory::Directory;
use host::keys::{IssueOrder, KeyPaths, Keyring};
use host::metrics::Metrics;
use host::net::peer::{Ending, PeerMisbehaved, PlayerPeer, ServerPeer, Sessions};
use host::net::watch::Watch;
use host::net::{Gate, GateParts, OutboxLimits};
use host::registry::Registry;
use ladder::id::{PlayerId, ServerId};
use ladder::reason::{Reason, code};
use ladder::time::UnixMillis;
use protocol::certificate::{Certificate, Scope};
use protocol::frame::{HEADER_LEN, Header};
use protocol::handshake::client::{Credential, start};
use protocol::handshake::{Entropy, HandshakeError, Transport};
use protocol::id::LoginTicketId;
use protocol::message::{Channel, FromGameServer, FromPlayer, MsgType, ToGameServer, v1};
use protocol::reaction::{CloseCode, RejectCode};
use protocol::record::{Close, Opened, Opener, Sealer};
use protocol::secret::{AuthKey, LoginTicket};
use protocol::signature::NodeKey;
use store::{NewKeyEpoch, NewLogin, NewLoginTicket, Options, Store};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

/// What must happen within a second, happens; what takes longer than this is stuck.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, PartialEq)]
enum Heard {
    ServerOpened(ServerPeer),
    Server(FromGameServer),
    ServerClosed(ServerId, Ending),
    PlayerOpened(PlayerPeer),
    Player(FromPlayer),
    PlayerClosed(PlayerId, Ending),
}

/// A game side that writes down what it hears; it takes its time with log entries, until it is told to go on.
struct Listening {
    heard: mpsc::UnboundedSender<Heard>,
    go_on: Notify,
}

impl Listening {
    fn note(&self, heard: Heard) {
        self.heard.send(heard).ok();
    }
}

impl Sessions for Listening {
    async fn server_opened(&self, server: &ServerPeer) {
        self.note(Heard::ServerOpened(server.clone()));
    }

    async fn server_message(&self, _: &ServerPeer, message: FromGameServer) -> Result<(), PeerMisbehaved> {
        let slow = matches!(message, FromGameServer::LogEntries(_));
        let outrage = matches!(message, FromGameServer::MatchStarted(_));
        self.note(Heard::Server(message));
        if slow {
            self.go_on.notified().await;
        }
        if outrage { Err(PeerMisbehaved { reason: "not-your-match" }) } else { Ok(()) }
    }

    async fn server_closed(&self, server: &ServerPeer, ending: Ending) {
        self.note(Heard::ServerClosed(server.server, ending));
    }

    async fn player_opened(&self, player: &PlayerPeer) {
        self.note(Heard::PlayerOpened(player.clone()));
    }

    async fn player_message(&self, _: &PlayerPeer, message: FromPlayer) -> Result<(), PeerMisbehaved> {
        self.note(Heard::Player(message));
        Ok(())
    }

    async fn player_closed(&self, player: &PlayerPeer, ending: Ending) {
        self.note(Heard::PlayerClosed(player.player, ending));
    }
}

struct World {
    clock: Clock,
    store: Store,
    keyring: Arc<Keyring>,
    metrics: Arc<Metrics>,
    registry: Arc<Registry>,
    directory: Arc<Directory>,
    gate: Arc<Gate<Listening>>,
    sessions: Arc<Listening>,
    heard: mpsc::UnboundedReceiver<Heard>,
    s2s: SocketAddr,
    rdv: SocketAddr,
    stop: CancellationToken,
    _folder: TempDir,
}

/// What a game server holds.
struct GameServerKeys {
    server: ServerId,
    certificate: Certificate,
    auth_key: AuthKey,
    node_key: NodeKey,
}

impl GameServerKeys {
    fn credential(&self) -> Credential<'_> {
        Credential::Certificate { certificate: &self.certificate, auth_key: &self.auth_key, node_key: &self.node_key }
    }
}

impl World {
    async fn new() -> Self {
        Self::with(HostConfig::default()).await
    }

    async fn with(config: HostConfig) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let paths = KeyPaths {
            community: folder.path().join("community.toml"),
            pepper: folder.path().join("pepper.key"),
            folder: folder.path().join("keys"),
        };
        let clock = Clock::standing_at(now());
        let life = Duration::from_secs(7 * 86_400);
        let mut keyring = Keyring::create(paths, &config.public, life, clock.now()).unwrap();
        let store = Store::open(folder.path().join("ranked.db"), Options::default()).unwrap();
        keyring.settle(&store, life, clock.now()).await.unwrap();
        let (keyring, metrics) = (Arc::new(keyring), Arc::new(Metrics::new()));
        let generation = store.control_generation().await.unwrap();
        let directory = Directory::load(Arc::clone(&keyring), &store, clock.now()).await.unwrap();
        let outboxes = OutboxLimits { frames_max: config.session.outbox_frames_max, bytes_max: config.session.outbox_bytes_max };
        let registry = Registry::new(outboxes, Arc::clone(&metrics));
        let (sender, heard) = mpsc::unbounded_channel();
        let sessions = Arc::new(Listening { heard: sender, go_on: Notify::new() });
        let parts = GateParts {
            clock: clock.clone(),
            store: store.clone(),
            metrics: Arc::clone(&metrics),
            admission: Admission::new(AdmissionLimits::from(&config.limits)),
            directory: Arc::clone(&directory),
            registry: Arc::clone(&registry),
            sessions: Arc::clone(&sessions),
        };
        let gate = Gate::new(parts, &config);
        let s2s = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let rdv = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addresses = (s2s.local_addr().unwrap(), rdv.local_addr().unwrap());
        let stop = CancellationToken::new();
        tokio::spawn(Arc::clone(&gate).listen(Channel::S2s, s2s));
        tokio::spawn(Arc::clone(&gate).listen(Channel::Rdv, rdv));
        let watch = Watch {
            clock: clock.clone(),
            store: store.clone(),
            directory: Arc::clone(&directory),
            registry: Arc::clone(&registry),
            channel_life: life,
        };
        tokio::spawn(watch.run(generation, stop.clone()));
        let (s2s, rdv) = addresses;
        Self { clock, store, keyring, metrics, registry, directory, gate, sessions, heard, s2s, rdv, stop, _folder: folder }
    }

    /// A certificate, by the road that `ranked cert issue` takes; in force as soon as the directory was read again.
    async fn issue(&self, scope: Scope, life: Duration) -> GameServerKeys {
        let order = IssueOrder { server: None, owner: "eu-1.example".to_owned(), scope, life, node_key: None };
        let issued = self.keyring.issue(order, self.clock.now()).unwrap();
        let auth_key = self.keyring.auth_key(&issued.record).unwrap();
        let server = issued.record.server;
        self.store.record_certificate(issued.record).await.unwrap().unwrap();
        self.directory.reload(&self.store, self.clock.now()).await.unwrap();
        GameServerKeys { server, certificate: issued.file.certificate, auth_key, node_key: issued.file.node_key.unwrap() }
    }

    async fn game_server(&self) -> GameServerKeys {
        self.issue(Scope::ALL, Duration::from_secs(86_400)).await
    }

    /// A player with a login, and the first login ticket of a family.
    async fn player(&self, name: &str) -> (PlayerId, [u8; 16], LoginTicket) {
        let at = self.clock.now();
        let player = self.store.register_player(name, "no hash", at).await.unwrap().unwrap();
        let login_id = random();
        let login = NewLogin { login_id, player, access_token_hash: random(), expires_at: at.plus(Duration::from_secs(86_400)) };
        self.store.open_login(login, at).await.unwrap().unwrap();
        let ticket = LoginTicket::new(LoginTicketId(random()), &random());
        let hash = *AuthKey::from_login_ticket(&ticket).expose();
        let new = NewLoginTicket { ticket_id: ticket.id().0, hash, expires_at: at.plus(Duration::from_secs(600)) };
        self.store.issue_login_ticket(login_id, new, at).await.unwrap().unwrap();
        self.directory.reload(&self.store, at).await.unwrap();
        (player, login_id, ticket)
    }

    async fn connect(&self, keys: &GameServerKeys) -> Result<Connection, ConnectError> {
        connect(&self.s2s.to_string(), &self.keyring.trust(), keys.credential()).await
    }

    async fn connect_player(&self, ticket: &LoginTicket) -> Result<Connection, ConnectError> {
        connect(&self.rdv.to_string(), &self.keyring.trust(), Credential::LoginTicket(ticket)).await
    }

    async fn hears(&mut self) -> Heard {
        tokio::time::timeout(PATIENCE, self.heard.recv()).await.expect("something is heard in time").unwrap()
    }

    async fn hears_end(&mut self) -> Ending {
        loop {
            if let Heard::ServerClosed(_, ending) | Heard::PlayerClosed(_, ending) = self.hears().await {
                return ending;
            }
        }
    }

    fn counts(&self, line: &str) -> bool {
        self.metrics.render().lines().any(|rendered| rendered == line)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Reads until the session ends.
async fn end(connection: &mut Connection) -> SessionEnd {
    let ended = async {
        loop {
            if let Err(end) = connection.reader.next().await {
                return end;
            }
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("the session ends in time")
}

async fn close_code(connection: &mut Connection) -> CloseCode {
    match end(connection).await {
        SessionEnd::Closed { code, .. } => code,
        other => panic!("no close but {other:?}"),
    }
}

/// Everything that the host says to somebody who sends `bytes`, until the host hangs up.
async fn answer_to(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    // A reset is as silent as an end.
    tokio::time::timeout(PATIENCE, socket.read_to_end(&mut answer)).await.expect("the host hangs up").ok();
    answer
}

fn hello(world: &World, credential: Credential<'_>) -> Vec<u8> {
    let trust = world.keyring.trust();
    start(Transport::Tcp, &trust, credential, &Entropy::from_bytes(&random()), now()).0
}

/// A session whose bytes the test writes itself.
async fn raw_session(world: &World, keys: &GameServerKeys) -> (TcpStream, Sealer, Opener) {
    let mut socket = TcpStream::connect(world.s2s).await.unwrap();
    let (trust, entropy) = (world.keyring.trust(), Entropy::from_bytes(&random()));
    let (hello, state) = start(Transport::Tcp, &trust, keys.credential(), &entropy, now());
    socket.write_all(&hello).await.unwrap();
    let (header, answer) = read_frame(&mut socket).await.unwrap();
    let expected = state.check_header(&header).unwrap();
    let (finish, state) = state.handle_answer(expected, &answer, now()).unwrap();
    socket.write_all(&finish).await.unwrap();
    let (header, mut answer) = read_frame(&mut socket).await.unwrap();
    let expected = state.check_header(&header).unwrap();
    let finished = state.handle_finish(expected, &mut answer, now()).unwrap();
    let (_, sealer, opener) = finished.established.split();
    (socket, sealer, opener)
}

/// The next frame; `None` if the host hung up.
async fn read_frame(socket: &mut TcpStream) -> Option<([u8; HEADER_LEN], Vec<u8>)> {
    let reading = async {
        let mut header = [0; HEADER_LEN];
        socket.read_exact(&mut header).await.ok()?;
        let mut payload = vec![0; usize::try_from(Header::parse(&header).payload_len).unwrap()];
        socket.read_exact(&mut payload).await.ok()?;
        Some((header, payload))
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("the host answers or hangs up")
}

fn heartbeat(sealer: &mut Sealer) -> Vec<u8> {
    let mut frame = Vec::new();
    sealer.seal_message(&v1::Heartbeat::default(), now(), &mut frame).unwrap();
    frame
}

fn log_entries() -> v1::LogEntries {
    v1::LogEntries { entries: vec![v1::LogEntry { level: 2, at_ms: 1, message: "map loaded".to_owned() }] }
}

fn refused(outcome: Result<Connection, ConnectError>) -> bool {
    matches!(outcome, Err(ConnectError::Io(_)))
}

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
