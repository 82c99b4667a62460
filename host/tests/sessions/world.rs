//! A host with real sockets and a real database file, and a game side that only listens.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use client::clock::{now, random};
use client::connection::{ConnectError, Connection, SessionEnd, connect};
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
use protocol::certificate::{Certificate, Scope};
use protocol::frame::{HEADER_LEN, Header};
use protocol::handshake::client::{Credential, start};
use protocol::handshake::{Entropy, Transport};
use protocol::id::LoginTicketId;
use protocol::message::{Channel, FromGameServer, FromPlayer, v1};
use protocol::reaction::CloseCode;
use protocol::record::{Opener, Sealer};
use protocol::secret::{AuthKey, LoginTicket};
use protocol::signature::NodeKey;
use store::{NewLogin, NewLoginTicket, Options, Store};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

/// What must happen within a second, happens; what takes longer than this is stuck.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, PartialEq)]
pub(crate) enum Heard {
    ServerOpened(ServerPeer),
    Server(FromGameServer),
    ServerClosed(ServerId, Ending),
    PlayerOpened(PlayerPeer),
    Player(FromPlayer),
    PlayerClosed(PlayerId, Ending),
}

/// A game side that writes down what it hears; it takes its time with log entries, until it is told to go on.
pub(crate) struct Listening {
    pub(crate) heard: mpsc::UnboundedSender<Heard>,
    pub(crate) go_on: Notify,
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

pub(crate) struct World {
    pub(crate) clock: Clock,
    pub(crate) store: Store,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) gate: Arc<Gate<Listening>>,
    pub(crate) sessions: Arc<Listening>,
    pub(crate) heard: mpsc::UnboundedReceiver<Heard>,
    pub(crate) s2s: SocketAddr,
    pub(crate) rdv: SocketAddr,
    pub(crate) stop: CancellationToken,
    _folder: TempDir,
}

/// What a game server holds.
pub(crate) struct GameServerKeys {
    pub(crate) server: ServerId,
    pub(crate) certificate: Certificate,
    pub(crate) auth_key: AuthKey,
    pub(crate) node_key: NodeKey,
}

impl GameServerKeys {
    pub(crate) fn credential(&self) -> Credential<'_> {
        Credential::Certificate { certificate: &self.certificate, auth_key: &self.auth_key, node_key: &self.node_key }
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(HostConfig::default()).await
    }

    pub(crate) async fn with(config: HostConfig) -> Self {
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
    pub(crate) async fn issue(&self, scope: Scope, life: Duration) -> GameServerKeys {
        let order = IssueOrder { server: None, owner: "eu-1.example".to_owned(), scope, life, node_key: None };
        let issued = self.keyring.issue(order, self.clock.now()).unwrap();
        let auth_key = self.keyring.auth_key(&issued.record).unwrap();
        let server = issued.record.server;
        self.store.record_certificate(issued.record).await.unwrap().unwrap();
        self.directory.reload(&self.store, self.clock.now()).await.unwrap();
        GameServerKeys { server, certificate: issued.file.certificate, auth_key, node_key: issued.file.node_key.unwrap() }
    }

    pub(crate) async fn game_server(&self) -> GameServerKeys {
        self.issue(Scope::ALL, Duration::from_secs(86_400)).await
    }

    /// A player with a login, and the first login ticket of a family.
    pub(crate) async fn player(&self, name: &str) -> (PlayerId, [u8; 16], LoginTicket) {
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

    pub(crate) async fn connect(&self, keys: &GameServerKeys) -> Result<Connection, ConnectError> {
        connect(&self.s2s.to_string(), &self.keyring.trust(), keys.credential()).await
    }

    pub(crate) async fn connect_player(&self, ticket: &LoginTicket) -> Result<Connection, ConnectError> {
        connect(&self.rdv.to_string(), &self.keyring.trust(), Credential::LoginTicket(ticket)).await
    }

    pub(crate) async fn hears(&mut self) -> Heard {
        tokio::time::timeout(PATIENCE, self.heard.recv()).await.expect("something is heard in time").unwrap()
    }

    pub(crate) async fn hears_end(&mut self) -> Ending {
        loop {
            if let Heard::ServerClosed(_, ending) | Heard::PlayerClosed(_, ending) = self.hears().await {
                return ending;
            }
        }
    }

    pub(crate) fn counts(&self, line: &str) -> bool {
        self.metrics.render().lines().any(|rendered| rendered == line)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Reads until the session ends.
pub(crate) async fn end(connection: &mut Connection) -> SessionEnd {
    let ended = async {
        loop {
            if let Err(end) = connection.reader.next().await {
                return end;
            }
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("the session ends in time")
}

pub(crate) async fn close_code(connection: &mut Connection) -> CloseCode {
    match end(connection).await {
        SessionEnd::Closed { code, .. } => code,
        other => panic!("no close but {other:?}"),
    }
}

/// Everything that the host says to somebody who sends `bytes`, until the host hangs up.
pub(crate) async fn answer_to(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    // A reset is as silent as an end.
    tokio::time::timeout(PATIENCE, socket.read_to_end(&mut answer)).await.expect("the host hangs up").ok();
    answer
}

pub(crate) fn hello(world: &World, credential: Credential<'_>) -> Vec<u8> {
    let trust = world.keyring.trust();
    start(Transport::Tcp, &trust, credential, &Entropy::from_bytes(&random()), now()).0
}

/// A session whose bytes the test writes itself.
pub(crate) async fn raw_session(world: &World, keys: &GameServerKeys) -> (TcpStream, Sealer, Opener) {
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
pub(crate) async fn read_frame(socket: &mut TcpStream) -> Option<([u8; HEADER_LEN], Vec<u8>)> {
    let reading = async {
        let mut header = [0; HEADER_LEN];
        socket.read_exact(&mut header).await.ok()?;
        let mut payload = vec![0; usize::try_from(Header::parse(&header).payload_len).unwrap()];
        socket.read_exact(&mut payload).await.ok()?;
        Some((header, payload))
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("the host answers or hangs up")
}

pub(crate) fn heartbeat(sealer: &mut Sealer) -> Vec<u8> {
    let mut frame = Vec::new();
    sealer.seal_message(&v1::Heartbeat::default(), now(), &mut frame).unwrap();
    frame
}

pub(crate) fn log_entries() -> v1::LogEntries {
    v1::LogEntries { entries: vec![v1::LogEntry { level: 2, at_ms: 1, message: "map loaded".to_owned() }] }
}

pub(crate) fn refused(outcome: Result<Connection, ConnectError>) -> bool {
    matches!(outcome, Err(ConnectError::Io(_)))
}
