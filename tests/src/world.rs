//! A whole community on loopback, for one test: a host with its files in a temporary folder, game servers and players on real sockets.
//!
//! Nothing here is a mock: keys are made as `ranked init` makes them, certificates go through the database and a file, players register over
//! HTTP, peers are the reference clients. Every wait is for something that was said, until [`PATIENCE`]; nothing sleeps for a fixed time.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use client::connection::SessionEnd;
use client::game_server::{Event, Identity, Status};
use client::http::Account;
use client::login_ticket::InMemory;
use client::provision::{Community, GameServerKeys};
use host::clock::Clock;
use host::config::{Config, HostConfig, parse_queues};
use host::keys::{IssueOrder, KeyPaths, Keyring};
use host::serve::{self, Running};
use ladder::id::{MatchId, PlayerId, ServerId};
use protocol::certificate::Scope;
use protocol::message::{ToPlayer, v1};
use protocol::reaction::CloseCode;
use protocol::secret::LoginTicket;
use protocol::trust::TrustAnchors;
use store::{Options, Store};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::{interval, timeout};

/// How long a test waits for anything before it fails.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// The queue of most tests: one against one, in region `eu`, with `kills`, `deaths` and `rounds`.
pub const DUEL: &str = "duel";
/// The game servers that have a certificate from the start, unless a [`Plan`] says otherwise.
pub const OWNERS: [&str; 2] = ["eu-1.example", "eu-2.example"];
/// The password of every player.
pub const PASSWORD: &str = "correct horse battery staple";

const CHANNEL_LIFE: Duration = Duration::from_secs(7 * 86_400);

/// What a world is made of.
pub struct Plan {
    /// `ranked.toml`.
    pub host: HostConfig,
    /// The text of `plugins.toml`.
    pub plugins: String,
    /// The host's clock.
    pub clock: Clock,
    /// Life of the first certificates.
    pub certificate_life: Duration,
}

impl Default for Plan {
    /// The defaults of a host on free ports, with password hashing as cheap as it gets and a quick matchmaker.
    fn default() -> Self {
        let mut host = HostConfig::default();
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        (host.listen.http, host.listen.s2s, host.listen.rdv) = (any_port, any_port, any_port);
        (host.passwords.memory_kib, host.passwords.passes) = (8, 1);
        host.matchmaking.tick_ms = 50;
        Self { host, plugins: queue(DUEL, ""), clock: Clock::system(), certificate_life: Duration::from_secs(86_400) }
    }
}

/// The text of one queue of `plugins.toml`; `rating` is appended to the section of its rating engine.
#[must_use]
pub fn queue(name: &str, rating: &str) -> String {
    format!(
        r#"
[queue.{name}]
team_sizes = [1, 1]
regions = ["eu"]
stats = ["kills", "deaths"]
totals = ["rounds"]
[queue.{name}.rating]
component = "builtin:gaussian"
{rating}
[queue.{name}.rules]
component = "builtin:bounds"
[queue.{name}.rules.outer_bounds]
kills = [0, 100]
deaths = [0, 100]
rounds = [0, 30]
[queue.{name}.policy]
component = "builtin:skill-window"
"#
    )
}

/// A running community.
pub struct World {
    plan: Plan,
    folder: TempDir,
    running: Running,
}

impl World {
    /// Starts a host by the default plan.
    pub async fn start() -> Self {
        Self::start_with(Plan::default()).await
    }

    /// Makes the files of a community, issues the first certificates and starts its host.
    pub async fn start_with(plan: Plan) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let config = config(&plan, folder.path());
        let now = plan.clock.now();
        let mut keyring = Keyring::create(KeyPaths::of(&config), &config.host.public, CHANNEL_LIFE, now).expect("fresh keys");
        std::fs::create_dir_all(config.database_path().parent().expect("in a folder")).expect("a folder for the database");
        let store = Store::open(config.database_path(), Options::default()).expect("a fresh database");
        keyring.settle(&store, CHANNEL_LIFE, now).await.expect("keys and database go together");
        for owner in OWNERS {
            issue(&keyring, &store, folder.path(), owner, plan.certificate_life, &plan.clock).await;
        }
        drop(store);
        write_plugins(&plan, folder.path());
        let running = serve::start_at(config, keyring, plan.clock.clone()).await.expect("the host starts");
        Self { plan, folder, running }
    }

    /// Stops the host in good order and starts it again on the same files, with another `plugins.toml` if one is given.
    pub async fn restart(self, plugins: Option<String>) -> Self {
        let stopped = self.stop().await;
        match plugins {
            Some(plugins) => stopped.start_with(plugins).await,
            None => stopped.start().await,
        }
    }

    /// Stops the host and keeps its files: nobody answers until [`Stopped::start`].
    pub async fn stop(self) -> Stopped {
        let Self { plan, folder, running } = self;
        running.shutdown().await;
        Stopped { plan, folder }
    }

    /// Changes `plugins.toml` as an operator does; the host reads it when it is asked to reload.
    pub fn write_plugins(&self, text: &str) {
        std::fs::write(self.folder.path().join("plugins.toml"), text).expect("the folder can be written to");
    }

    /// The host.
    pub fn host(&self) -> &Running {
        &self.running
    }

    /// The host's clock.
    pub fn clock(&self) -> &Clock {
        &self.plan.clock
    }

    /// The folder with all files of the community.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The base URL of the host's HTTP listener.
    pub fn http(&self) -> String {
        format!("http://{}", self.running.http_addr())
    }

    /// Opens the database once more, as a command in another process does.
    pub fn open_store(&self) -> Store {
        Store::open(self.running.store().path(), Options::default()).expect("the database can be shared")
    }

    /// Loads the keys once more, as a command in another process does.
    pub fn open_keyring(&self) -> Keyring {
        Keyring::load(KeyPaths::of(&config(&self.plan, self.folder.path()))).expect("the keys are there")
    }

    /// What everybody pins.
    pub fn trust(&self) -> TrustAnchors {
        Community::load(&self.folder.path().join("community.toml")).expect("community.toml is there").trust
    }

    /// Where the certificate file of `owner` lies.
    pub fn certificate_path(&self, owner: &str) -> PathBuf {
        certificate_path(self.folder.path(), owner)
    }

    /// What the game server of `owner` proves itself with.
    pub fn keys(&self, owner: &str) -> GameServerKeys {
        GameServerKeys::load(&self.certificate_path(owner), &self.folder.path().join("pepper.key"), None).expect("the files go together")
    }

    /// Issues a certificate while the host runs, as `ranked cert issue` does.
    pub async fn issue(&self, owner: &str, life: Duration) {
        issue(&self.open_keyring(), &self.open_store(), self.folder.path(), owner, life, &self.plan.clock).await;
    }

    /// Starts a game server with room for matches in region `eu` and waits until the host would give it some.
    pub async fn game_server(&self, owner: &str) -> GameServer {
        let mut server = self.connecting_game_server(owner, owner);
        server.ready().await;
        server
    }

    /// Starts a game server that calls itself `name`; it may not be connected yet.
    pub fn connecting_game_server(&self, owner: &str, name: &str) -> GameServer {
        GameServer::start(
            self.keys(owner),
            self.trust(),
            self.running.s2s_addr(),
            &self.folder.path().join(format!("{owner}.outbox")),
            name,
        )
    }

    /// Registers a player and fetches a login ticket.
    pub async fn player(&self, name: &str) -> Player {
        let account = Account::register(&self.http(), name, PASSWORD).await.expect("a new name");
        Player::new(account).await
    }

    /// Two players, registered, connected and waiting in [`DUEL`].
    pub async fn waiting_pair(&self) -> [ConnectedPlayer; 2] {
        let mut pair = Vec::new();
        for name in ["ada", "bob"] {
            let mut player = self.player(name).await.connect().await;
            player.enqueue(DUEL).await;
            pair.push(player);
        }
        pair.try_into().ok().expect("two of them")
    }

    /// Two players in a match on `server` that has just started.
    pub async fn duel(&self, server: &mut GameServer) -> Duel {
        let mut players = self.waiting_pair().await;
        let allow = server.admit().await;
        let mut assignments = Vec::new();
        for player in &mut players {
            assignments.push(player.assignment().await);
        }
        let match_id = MatchId(allow.match_id);
        server.client.match_started(match_id).await.expect("the client runs");
        Duel { match_id, allow, players, assignments }
    }

    /// A page of the host's public API.
    pub async fn page(&self, path: &str) -> serde_json::Value {
        client::http::fetch(&format!("{}{path}", self.http())).await.expect("a page")
    }

    /// The details of a match, as anybody sees them.
    pub async fn match_page(&self, match_id: MatchId) -> serde_json::Value {
        self.page(&format!("/v1/matches/{match_id}")).await
    }

    /// The leaderboard of [`DUEL`], as anybody sees it.
    pub async fn leaderboard(&self) -> Vec<serde_json::Value> {
        self.page(&format!("/v1/queues/{DUEL}/leaderboard")).await["rows"].as_array().expect("rows").clone()
    }
}

/// A community whose host is down.
pub struct Stopped {
    plan: Plan,
    folder: TempDir,
}

impl Stopped {
    /// Starts the host again with another `plugins.toml`.
    pub async fn start_with(mut self, plugins: String) -> World {
        self.plan.plugins = plugins;
        self.start().await
    }

    /// Starts the host again.
    pub async fn start(self) -> World {
        let Self { plan, folder } = self;
        write_plugins(&plan, folder.path());
        let config = config(&plan, folder.path());
        let keyring = Keyring::load(KeyPaths::of(&config)).expect("the keys are there");
        let running = serve::start_at(config, keyring, plan.clock.clone()).await.expect("the host starts again");
        World { plan, folder, running }
    }
}

fn config(plan: &Plan, folder: &Path) -> Config {
    let queues = parse_queues("plugins.toml", &plan.plugins, &plugin_runtime::builtin_names());
    let queues = queues.unwrap_or_else(|error| panic!("{}", error.render()));
    Config::new(plan.host.clone(), queues, folder.to_owned())
}

fn write_plugins(plan: &Plan, folder: &Path) {
    std::fs::write(folder.join("plugins.toml"), &plan.plugins).expect("the folder can be written to");
}

fn certificate_path(folder: &Path, owner: &str) -> PathBuf {
    folder.join(format!("{owner}.cert"))
}

async fn issue(keyring: &Keyring, store: &Store, folder: &Path, owner: &str, life: Duration, clock: &Clock) {
    let order = IssueOrder { server: None, owner: owner.to_owned(), scope: Scope::ALL, life, node_key: None };
    let issued = keyring.issue(order, clock.now()).expect("the signing key is here");
    store.record_certificate(issued.record).await.expect("the database works").expect("a new game server");
    host::keys::secret_file::create(&certificate_path(folder, owner), &issued.file.encode()).expect("a new file");
}

/// A game server on the reference client, and what it heard.
pub struct GameServer {
    /// The client.
    pub client: client::game_server::GameServer,
    /// Who it is.
    pub id: ServerId,
    status: Status,
    events: mpsc::Receiver<Event>,
}

impl GameServer {
    /// Starts the client.
    pub fn start(keys: GameServerKeys, trust: TrustAnchors, host: SocketAddr, outbox: &Path, name: &str) -> Self {
        let GameServerKeys { certificate, auth_key, node_key } = keys;
        let id = certificate.fields().server_id;
        let identity = Identity { host: host.to_string(), trust, certificate, auth_key, node_key, outbox: outbox.to_owned() };
        let status = Status {
            capacity: 8,
            matches: 0,
            players: 0,
            version: "test".to_owned(),
            load: 0.1,
            region: "eu".to_owned(),
            address: "127.0.0.1:7800".to_owned(),
            name: name.to_owned(),
        };
        let (client, events) = client::game_server::GameServer::start(identity, status.clone()).expect("the outbox opens");
        Self { client, id, status, events }
    }

    /// Waits for an event that `pick` takes; others are passed over.
    pub async fn until<T>(&mut self, what: &str, mut pick: impl FnMut(Event) -> Option<T>) -> T {
        let wait = async {
            let mut heard = Vec::new();
            loop {
                let Some(event) = self.events.recv().await else { panic!("the client ended before {what}; it said {heard:?}") };
                heard.push(format!("{event:?}"));
                if let Some(picked) = pick(event) {
                    return picked;
                }
            }
        };
        timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("the game server waits for {what}"))
    }

    /// Waits until the host answered a heartbeat; returns the answer.
    pub async fn heartbeat(&mut self) -> v1::HeartbeatAck {
        self.until("a heartbeat's answer", |event| match event {
            Event::Heartbeat(ack) => Some(ack),
            _ => None,
        })
        .await
    }

    /// Says something and waits for the answer: the session lives.
    pub async fn still_there(&mut self) {
        self.client.set_status(self.status.clone()).await.expect("the client runs");
        self.ready().await;
    }

    /// Waits until the host would give it matches.
    pub async fn ready(&mut self) {
        let ack = self.heartbeat().await;
        assert_eq!(ack.idle_reason, "");
    }

    /// Waits for an allowlist.
    pub async fn allowlist(&mut self) -> v1::AllowPlayers {
        self.until("an allowlist", |event| match event {
            Event::AllowPlayers(allow) => Some(allow),
            _ => None,
        })
        .await
    }

    /// Waits for an allowlist and acknowledges it.
    pub async fn admit(&mut self) -> v1::AllowPlayers {
        let allow = self.allowlist().await;
        self.client.acknowledge(MatchId(allow.match_id), None).await.expect("the client runs");
        allow
    }

    /// Waits until a report is acknowledged.
    pub async fn report_ack(&mut self) -> v1::ReportAck {
        self.until("an acknowledged report", |event| match event {
            Event::ReportAcknowledged(ack) => Some(ack),
            Event::ReportRefused(refused) => panic!("the report was refused: {refused:?}"),
            _ => None,
        })
        .await
    }

    /// Waits until a report is refused; returns the code.
    pub async fn report_refusal(&mut self) -> String {
        self.until("a refused report", |event| match event {
            Event::ReportRefused(refused) => Some(refused.reason.unwrap_or_default().code),
            Event::ReportAcknowledged(ack) => panic!("the report was taken: {ack:?}"),
            _ => None,
        })
        .await
    }

    /// Waits until a match is taken away; returns its number and the code of the reason.
    pub async fn voided(&mut self) -> (u64, String) {
        self.until("a voided match", |event| match event {
            Event::MatchVoided(voided) => Some((voided.match_id, voided.reason.unwrap_or_default().code)),
            _ => None,
        })
        .await
    }

    /// Waits until the client gives up for good; returns why.
    pub async fn stopped(&mut self) -> String {
        self.until("the end", |event| match event {
            Event::Stopped(why) => Some(why),
            _ => None,
        })
        .await
    }
}

/// A registered player with a login ticket.
pub struct Player {
    /// The HTTP login.
    pub account: Account,
    /// The same login ticket as the client's, for tests about thieves.
    pub ticket: LoginTicket,
    client: client::player::Player,
}

impl Player {
    /// Fetches a login ticket for an account.
    pub async fn new(account: Account) -> Self {
        let issued = account.login_ticket().await.expect("logged in");
        let ticket = LoginTicket::from_bytes(*issued.ticket.expose());
        let client = client::player::Player::new(issued.rdv, account.trust().expect("a community"), issued.ticket, Box::new(InMemory));
        Self { account, ticket, client }
    }

    /// Connects.
    pub async fn connect(self) -> ConnectedPlayer {
        let Self { account, ticket, mut client } = self;
        let session = client.connect().await.expect("the login ticket is good");
        ConnectedPlayer { id: account.player_id(), account, first_ticket: ticket, client, session }
    }
}

/// A connected player.
pub struct ConnectedPlayer {
    /// Who it is.
    pub id: PlayerId,
    /// The HTTP login.
    pub account: Account,
    /// The login ticket that the first session was opened with; superseded since.
    pub first_ticket: LoginTicket,
    /// The client, with the current login ticket.
    pub client: client::player::Player,
    /// The session.
    pub session: client::player::Session,
}

impl ConnectedPlayer {
    /// Waits for a message that `pick` takes; others are passed over.
    pub async fn until<T>(&mut self, what: &str, mut pick: impl FnMut(ToPlayer) -> Option<T>) -> T {
        let wait = async {
            let mut heard = Vec::new();
            loop {
                let message = self.session.next().await.unwrap_or_else(|end| panic!("{end:?} before {what}; the host said {heard:?}"));
                heard.push(format!("{message:?}"));
                if let Some(picked) = pick(message) {
                    return picked;
                }
            }
        };
        timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("the player waits for {what}"))
    }

    /// Waits for the next message, whatever it is.
    pub async fn next(&mut self) -> ToPlayer {
        self.until("any message", Some).await
    }

    /// Asks for a match and waits until the host says that the player waits, or plays already.
    pub async fn enqueue(&mut self, queue: &str) {
        self.session.enqueue(queue, &[]).await.expect("the session lives");
        self.status(v1::QueueState::Waiting).await;
    }

    /// Waits for a status of this kind.
    pub async fn status(&mut self, state: v1::QueueState) -> v1::QueueStatus {
        self.until("a queue status", |message| match message {
            ToPlayer::QueueStatus(status) if status.state() == state => Some(status),
            _ => None,
        })
        .await
    }

    /// Waits for an assignment.
    pub async fn assignment(&mut self) -> v1::Assignment {
        self.until("an assignment", |message| match message {
            ToPlayer::Assignment(assignment) => Some(assignment),
            _ => None,
        })
        .await
    }

    /// Waits until the match has ended.
    pub async fn ended(&mut self) -> v1::MatchEnded {
        self.until("the end of the match", |message| match message {
            ToPlayer::MatchEnded(ended) => Some(ended),
            _ => None,
        })
        .await
    }

    /// Waits until the host closes the session; returns with which code.
    pub async fn closed(self) -> CloseCode {
        closed(self.session).await
    }

    /// Cuts the connection without a word and connects again.
    pub async fn reconnect(self) -> Self {
        let Self { id, account, first_ticket, mut client, session } = self;
        drop(session);
        let session = client.connect().await.expect("the rotated login ticket is good");
        Self { id, account, first_ticket, client, session }
    }
}

/// Waits until the host closes a player's session; returns with which code.
pub async fn closed(mut session: client::player::Session) -> CloseCode {
    let wait = async {
        loop {
            match session.next().await {
                Ok(_) => {}
                Err(SessionEnd::Closed { code, .. }) => return code,
                Err(end) => panic!("the session ended without a close: {end:?}"),
            }
        }
    };
    timeout(PATIENCE, wait).await.expect("the host closes the session")
}

/// A match that is being played.
pub struct Duel {
    /// Its number.
    pub match_id: MatchId,
    /// What the game server was told.
    pub allow: v1::AllowPlayers,
    /// Who plays.
    pub players: [ConnectedPlayer; 2],
    /// What they were told, in the same order.
    pub assignments: Vec<v1::Assignment>,
}

/// A plausible report of a match: the first team won.
#[must_use]
pub fn report(allow: &v1::AllowPlayers, report_id: u8) -> v1::MatchReport {
    let team = |number: u32| v1::TeamReport {
        place: number,
        score: Some(f64::from(10 - number)),
        players: allow
            .players
            .iter()
            .filter(|player| player.team == number)
            .map(|player| v1::PlayerReport { player_id: player.player_id, stats: vec![12.0, 7.0], presence: None })
            .collect(),
        side: String::new(),
    };
    v1::MatchReport {
        report_id: vec![report_id; 16],
        match_id: allow.match_id,
        duration_s: 300,
        teams: vec![team(0), team(1)],
        totals: vec![19.0],
        ..v1::MatchReport::default()
    }
}

/// Waits until `condition` holds, for what the host does without telling anybody.
pub async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let wait = async {
        let mut looks = interval(Duration::from_millis(10));
        loop {
            looks.tick().await;
            if condition().await {
                return;
            }
        }
    };
    timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{what} never came about"));
}
