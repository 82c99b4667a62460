//! A game side on a real database file with the built-in plugins, whose peers are the tests themselves.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use ladder::fault::PluginFault;
use ladder::id::{Digest, PlayerId, QueueId, ServerId};
use ladder::pool::MatchmakingPolicy;
use ladder::queue::QueueShape;
use ladder::rating::{Contest, Entrant, Rating, RatingEngine, Setting, Update};
use ladder::stats::Bound;
use ladder::time::UnixMillis;
use plugin_runtime::{PluginSource, PluginSpec, Role, Runtime};
use protocol::message::{FromGameServer, FromPlayer, ToGameServer, ToPlayer, v1};
use store::Store;
use tempfile::TempDir;

use crate::clock::Clock;
use crate::config::Matchmaking;
use crate::metrics::Metrics;
use crate::net::peer::{PeerMisbehaved, ServerPeer, Sessions as _};
use crate::play::board::tests::{START, beat, player_peer, server_peer};
use crate::play::matchmaker::Matchmaker;
use crate::play::{JoinKey, Outboxes, Play, PlayParts, PlayQueue, Quarantine};

/// Everything that was sent and not yet heard.
#[derive(Default)]
pub(super) struct Mailbox(Mutex<Heard>);

impl Outboxes for Mailbox {
    fn send_to_server(&self, server: ServerId, message: &ToGameServer) -> bool {
        self.0.lock().unwrap().to_servers.push((server, message.clone()));
        true
    }
    fn send_to_player(&self, player: PlayerId, message: &ToPlayer) -> bool {
        self.0.lock().unwrap().to_players.push((player, message.clone()));
        true
    }
    fn overload_server(&self, server: &ServerPeer, retry_after_ms: u32) -> bool {
        self.0.lock().unwrap().overloaded.push((server.server.0[0], retry_after_ms));
        true
    }
}

/// A rating engine that can be told to fault.
pub(super) struct Switchable {
    inner: Box<dyn RatingEngine>,
    pub(super) broken: Mutex<bool>,
    /// Whether one fault puts it into quarantine.
    pub(super) quarantines: Mutex<bool>,
    quarantined: Mutex<bool>,
    /// How often the quarantine was lifted.
    pub(super) resets: Mutex<u32>,
}

impl Quarantine for Switchable {
    fn reset_quarantine(&self) {
        *self.quarantined.lock().unwrap() = false;
        *self.resets.lock().unwrap() += 1;
    }
}

impl RatingEngine for Switchable {
    fn digest(&self) -> Digest {
        self.inner.digest()
    }
    fn parameters(&self) -> &str {
        self.inner.parameters()
    }
    fn initial(&self) -> Result<(Rating, f64), PluginFault> {
        self.inner.initial()
    }
    fn rate(&self, memory: &[u8], contest: &Contest) -> Result<Update, PluginFault> {
        let mut quarantined = self.quarantined.lock().unwrap();
        if *quarantined {
            return Err(PluginFault::Quarantined { faults_in_a_row: 1 });
        }
        if *self.broken.lock().unwrap() {
            *quarantined = *self.quarantines.lock().unwrap();
            return Err(PluginFault::Deadline { deadline_ms_max: 50 });
        }
        self.inner.rate(memory, contest)
    }
    fn soften(&self, rating: &Rating, keep: f64) -> Result<(Rating, f64), PluginFault> {
        self.inner.soften(rating, keep)
    }
    fn predict(&self, memory: &[u8], line_up: &[Entrant], setting: &Setting) -> Result<Vec<f64>, PluginFault> {
        self.inner.predict(memory, line_up, setting)
    }
}

pub(super) struct World {
    pub(super) play: Arc<Play>,
    pub(super) clock: Clock,
    pub(super) store: Store,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) engine: Arc<Switchable>,
    pub(super) metrics: Arc<Metrics>,
    /// Players of the latest match, one per team: chance of the tick decides who is first.
    teams: [u64; 2],
    matchmaker: Matchmaker,
    queue: QueueId,
    plugins: Plugins,
    pub(super) folder: TempDir,
}

/// Loaded once per test, so that a restart does not compile them again.
struct Plugins {
    rules: Arc<dyn ladder::rules::StatRules>,
    policy: Arc<dyn MatchmakingPolicy>,
    fallback: Option<Arc<dyn MatchmakingPolicy>>,
    rating: Arc<dyn Quarantine>,
}

fn shape() -> QueueShape {
    QueueShape { totals: vec!["rounds".to_owned()], ..crate::play::board::tests::duel() }
}

fn spec(role: Role, name: &str) -> PluginSpec {
    PluginSpec::new(format!("duel.{name}"), role, PluginSource::builtin(name).expect("embedded"))
}

impl World {
    /// Four accounts, numbered from 1, and nobody connected.
    pub(super) async fn new() -> Self {
        Self::with_policy(None).await
    }

    /// With `policy` in force and the built-in one as its fallback.
    pub(super) async fn with_policy(policy: Option<Arc<dyn MatchmakingPolicy>>) -> Self {
        let folder = TempDir::new().unwrap();
        let options = store::Options { busy_timeout: std::time::Duration::from_millis(50), ..store::Options::default() };
        let store = Store::open(folder.path().join("ranked.db"), options).unwrap();
        let queue = store.ensure_queue("duel").await.unwrap();
        for number in 1..=4 {
            let player = store.register_player(format!("player-{number}"), "argon2id", START).await.unwrap().unwrap();
            assert_eq!(player, PlayerId(number));
        }
        let runtime = Runtime::new().unwrap();
        let inner = Box::new(runtime.load_rating(spec(Role::Rating, "gaussian"), &shape()).unwrap());
        let engine = Arc::new(Switchable {
            inner,
            broken: Mutex::default(),
            quarantines: Mutex::default(),
            quarantined: Mutex::default(),
            resets: Mutex::default(),
        });
        store.install_engine(queue, engine.clone(), |_| {}, START).await.unwrap().unwrap();
        let built_in: Arc<dyn MatchmakingPolicy> = Arc::new(runtime.load_policy(spec(Role::Policy, "skill-window"), &shape()).unwrap());
        let plugins = Plugins {
            rules: Arc::new(runtime.load_rules(spec(Role::Rules, "bounds"), &shape()).unwrap()),
            rating: engine.clone(),
            fallback: policy.is_some().then(|| built_in.clone()),
            policy: policy.unwrap_or(built_in),
        };
        let (clock, mailbox, metrics) = (Clock::standing_at(START), Arc::new(Mailbox::default()), Arc::new(Metrics::new()));
        let play = start(queue, &plugins, &store, &mailbox, &metrics, &clock).await;
        let matchmaker = play.matchmaker(0);
        Self { play, clock, store, mailbox, engine, metrics, teams: [1, 2], matchmaker, queue, plugins, folder }
    }

    /// The host dies and starts again: what the store holds remains, nobody is connected.
    pub(super) async fn restart(&mut self) {
        self.play = start(self.queue, &self.plugins, &self.store, &self.mailbox, &self.metrics, &self.clock).await;
        self.matchmaker = self.play.matchmaker(0);
        self.heard();
    }

    pub(super) async fn tick(&mut self) {
        self.play.run_tick(&mut self.matchmaker).await;
    }

    pub(super) fn pass(&self, milliseconds: u64) {
        self.clock.set(UnixMillis(self.clock.now().0 + milliseconds));
    }

    /// Game server `number` connects and says where it is.
    pub(super) async fn server_comes(&self, number: u8) {
        self.play.server_opened(&server_peer(number, number)).await;
        self.says(number, beat(number)).await.unwrap();
    }

    pub(super) async fn player_comes(&self, player: u64) {
        self.play.player_opened(&player_peer(player, 10)).await;
    }

    pub(super) async fn says(&self, number: u8, message: impl Into<FromGameServer>) -> Result<(), PeerMisbehaved> {
        self.play.server_message(&server_peer(number, number), message.into()).await
    }

    pub(super) async fn asks(&self, player: u64, message: impl Into<FromPlayer>) {
        self.play.player_message(&player_peer(player, 10), message.into()).await.unwrap();
    }

    pub(super) async fn queues(&self, player: u64) {
        self.player_comes(player).await;
        self.asks(player, v1::Enqueue { queue: "duel".to_owned(), regions: vec![] }).await;
    }

    /// Everything sent since the last call.
    pub(super) fn heard(&self) -> Heard {
        std::mem::take(&mut *self.mailbox.0.lock().unwrap())
    }

    /// Players 1 and 2 are matched on game server 1, which has not yet acknowledged. What was sent is still to be heard.
    pub(super) async fn matched(&mut self) -> u64 {
        self.server_comes(1).await;
        self.queues(1).await;
        self.queues(2).await;
        self.heard();
        self.tick().await;
        let active = self.store.load_active_matches().await.unwrap();
        let details = &active.first().expect("two equal players in one region").details;
        let teams: Vec<u64> = details.roster.players().map(|(player, _)| player.0).collect();
        self.teams = teams.try_into().expect("a duel");
        details.match_id.0
    }

    /// Player `winner` beats the other one of the latest match.
    pub(super) fn report(&self, match_id: u64, id: u8, winner: u64) -> v1::MatchReport {
        let team = |player_id| v1::TeamReport {
            place: u32::from(player_id != winner),
            players: vec![v1::PlayerReport { player_id, stats: vec![3.0], presence: None }],
            ..v1::TeamReport::default()
        };
        let teams = self.teams.map(team).to_vec();
        v1::MatchReport { report_id: vec![id; 16], match_id, duration_s: 600, teams, ..v1::MatchReport::default() }
    }

    /// The match of [`World::matched`] is acknowledged, and nothing is left to be heard.
    pub(super) async fn playing(&mut self) -> u64 {
        let match_id = self.matched().await;
        self.says(1, v1::AllowlistAck { match_id, accepted: true, reason: String::new() }).await.unwrap();
        self.says(1, v1::MatchStarted { match_id }).await.unwrap();
        self.heard();
        match_id
    }
}

async fn start(
    queue: QueueId,
    plugins: &Plugins,
    store: &Store,
    mailbox: &Arc<Mailbox>,
    metrics: &Arc<Metrics>,
    clock: &Clock,
) -> Arc<Play> {
    let outer = BTreeMap::from([("kills".to_owned(), Bound::new(0.0, 100.0).unwrap())]);
    let queue = PlayQueue::new(queue, shape(), plugins.rules.clone(), &outer, plugins.policy.clone(), plugins.fallback.clone())
        .with_rating(plugins.rating.clone());
    let parts = PlayParts {
        queues: vec![queue],
        settings: Matchmaking::default(),
        store: store.clone(),
        outboxes: mailbox.clone(),
        metrics: metrics.clone(),
        clock: clock.clone(),
        join_key: JoinKey::derive(&[7; 32]),
    };
    Play::start(parts).await.unwrap()
}

/// What was sent, in order.
#[derive(Default)]
pub(super) struct Heard {
    pub(super) to_servers: Vec<(ServerId, ToGameServer)>,
    pub(super) to_players: Vec<(PlayerId, ToPlayer)>,
    /// Game servers whose session was ended with Close 6, and when they may come back.
    pub(super) overloaded: Vec<(u8, u32)>,
}

impl Heard {
    pub(super) fn assignments(&self) -> Vec<(u64, v1::Assignment)> {
        let pick = |(player, message): &(PlayerId, ToPlayer)| match message {
            ToPlayer::Assignment(assignment) => Some((player.0, assignment.clone())),
            _ => None,
        };
        self.to_players.iter().filter_map(pick).collect()
    }

    pub(super) fn statuses(&self) -> Vec<(u64, v1::QueueStatus)> {
        let pick = |(player, message): &(PlayerId, ToPlayer)| match message {
            ToPlayer::QueueStatus(status) => Some((player.0, status.clone())),
            _ => None,
        };
        self.to_players.iter().filter_map(pick).collect()
    }

    pub(super) fn endings(&self) -> Vec<(u64, v1::MatchEnded)> {
        let pick = |(player, message): &(PlayerId, ToPlayer)| match message {
            ToPlayer::MatchEnded(ended) => Some((player.0, ended.clone())),
            _ => None,
        };
        self.to_players.iter().filter_map(pick).collect()
    }

    pub(super) fn refusals(&self) -> Vec<String> {
        let pick = |(_, message): &(PlayerId, ToPlayer)| match message {
            ToPlayer::Refusal(refusal) => refusal.notice.clone().map(|notice| notice.code),
            _ => None,
        };
        self.to_players.iter().filter_map(pick).collect()
    }

    pub(super) fn allowlists(&self) -> Vec<(u8, v1::AllowPlayers)> {
        let pick = |(server, message): &(ServerId, ToGameServer)| match message {
            ToGameServer::AllowPlayers(allowlist) => Some((server.0[0], allowlist.clone())),
            _ => None,
        };
        self.to_servers.iter().filter_map(pick).collect()
    }

    /// Kebab-case reasons of voided matches, per game server.
    pub(super) fn voided(&self) -> Vec<(u8, String)> {
        let pick = |(server, message): &(ServerId, ToGameServer)| match message {
            ToGameServer::MatchVoided(voided) => Some((server.0[0], voided.reason.clone().unwrap_or_default().code)),
            _ => None,
        };
        self.to_servers.iter().filter_map(pick).collect()
    }

    pub(super) fn report_acks(&self) -> Vec<v1::ReportAck> {
        let pick = |(_, message): &(ServerId, ToGameServer)| match message {
            ToGameServer::ReportAck(ack) => Some(ack.clone()),
            _ => None,
        };
        self.to_servers.iter().filter_map(pick).collect()
    }

    /// Codes of refused reports.
    pub(super) fn report_refusals(&self) -> Vec<String> {
        let pick = |(_, message): &(ServerId, ToGameServer)| match message {
            ToGameServer::ReportRefused(refused) => refused.reason.clone().map(|reason| reason.code),
            _ => None,
        };
        self.to_servers.iter().filter_map(pick).collect()
    }
}
