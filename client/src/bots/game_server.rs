//! A game server that hosts bots: it admits by join token, plays for a while, decides by hidden skill, reports.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ladder::id::{MatchId, PlayerId};
use protocol::message::v1;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::{ADMITTED, HiddenSkills, JOIN_LEN, contest};
use crate::clock;
use crate::game_server::{Event, GameServer, Identity, Status, Stopped};
use crate::outbox::OutboxError;

/// How long a game waits for its players before it starts with those who came.
const JOIN_TIME_MAX: Duration = Duration::from_secs(10);
/// How long a stranger may take to present a join token.
const TOKEN_TIME_MAX: Duration = Duration::from_secs(3);

/// Why a bot game server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BotGameServerError {
    /// No port for players.
    #[error("no port to listen on")]
    Listen(#[from] io::Error),
    /// The outbox.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
}

/// What a bot game server has done so far.
#[derive(Debug, Default)]
pub struct GameServerTally {
    /// Matches it was asked to host.
    pub hosted: AtomicU64,
    /// Reports that the host acknowledged.
    pub acknowledged: AtomicU64,
    /// Reports that the host refused.
    pub refused: AtomicU64,
    /// Matches that the host voided here.
    pub voided: AtomicU64,
    /// Players who presented a wrong join token.
    pub strangers: AtomicU64,
}

/// A running bot game server.
pub struct BotGameServer {
    client: GameServer,
    tally: Arc<GameServerTally>,
    tasks: [tokio::task::JoinHandle<()>; 2],
}

impl BotGameServer {
    /// Listens for players on a free port of 127.0.0.1 and connects to the host. `match_time` is the length of a game.
    ///
    /// # Errors
    ///
    /// [`BotGameServerError`].
    pub async fn start(
        identity: Identity,
        mut status: Status,
        match_time: Duration,
        skills: HiddenSkills,
        seed: u64,
    ) -> Result<Self, BotGameServerError> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        status.address = listener.local_addr()?.to_string();
        let (client, events) = GameServer::start(identity, status)?;
        let tally = Arc::new(GameServerTally::default());
        let (joins, joined) = mpsc::channel(1024);
        let accept = tokio::spawn(accept_players(listener, joins));
        let lobby = Lobby { client: client.clone(), tally: Arc::clone(&tally), match_time, skills, seed, games: BTreeMap::new() };
        let host = tokio::spawn(lobby.run(events, joined));
        Ok(Self { client, tally, tasks: [accept, host] })
    }

    /// What it has done so far.
    #[must_use]
    pub fn tally(&self) -> &GameServerTally {
        &self.tally
    }

    /// The client behind it.
    #[must_use]
    pub fn client(&self) -> &GameServer {
        &self.client
    }

    /// Closes the session in an orderly way.
    pub async fn close(self) {
        self.client.close().await;
        for task in self.tasks {
            task.abort();
        }
    }
}

/// A player at the door.
struct Join {
    match_id: MatchId,
    player: PlayerId,
    token: [u8; 32],
    stream: TcpStream,
}

async fn accept_players(listener: TcpListener, joins: mpsc::Sender<Join>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let joins = joins.clone();
        tokio::spawn(async move {
            let mut bytes = [0; JOIN_LEN];
            if let Ok(Ok(_)) = timeout(TOKEN_TIME_MAX, stream.read_exact(&mut bytes)).await {
                let number = |at: usize| u64::from_be_bytes(*bytes[at..].first_chunk().expect("the length is fixed"));
                let token = *bytes[16..].first_chunk().expect("the length is fixed");
                let join = Join { match_id: MatchId(number(0)), player: PlayerId(number(8)), token, stream };
                // The lobby is gone when the game server closes: the player sees the socket close.
                joins.send(join).await.ok();
            }
        });
    }
}

/// What a game hears of the world outside.
enum Knock {
    Join(Join),
    Voided,
}

struct Lobby {
    client: GameServer,
    tally: Arc<GameServerTally>,
    match_time: Duration,
    skills: HiddenSkills,
    seed: u64,
    games: BTreeMap<MatchId, mpsc::Sender<Knock>>,
}

impl Lobby {
    async fn run(mut self, mut events: mpsc::Receiver<Event>, mut joined: mpsc::Receiver<Join>) {
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => {
                        if self.handle(event).await.is_err() {
                            return;
                        }
                    }
                    None => return,
                },
                Some(join) = joined.recv() => self.admit(join),
            }
        }
    }

    async fn handle(&mut self, event: Event) -> Result<(), Stopped> {
        match event {
            Event::AllowPlayers(allow) => {
                let match_id = MatchId(allow.match_id);
                if !self.games.contains_key(&match_id) {
                    self.tally.hosted.fetch_add(1, Ordering::Relaxed);
                    self.open(match_id, allow);
                }
                self.client.acknowledge(match_id, None).await?;
            }
            Event::MatchVoided(voided) => {
                self.tally.voided.fetch_add(1, Ordering::Relaxed);
                if let Some(game) = self.games.remove(&MatchId(voided.match_id)) {
                    // A game that has just ended no longer listens; nothing is left to void.
                    game.try_send(Knock::Voided).ok();
                }
            }
            Event::ReportAcknowledged(ack) => {
                self.games.remove(&MatchId(ack.match_id));
                self.tally.acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            Event::ReportRefused(refused) => {
                self.games.remove(&MatchId(refused.match_id));
                self.tally.refused.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(?refused, "a report was refused");
            }
            Event::Disconnected(why) => tracing::info!(%why, "disconnected"),
            Event::Stopped(why) => tracing::warn!(%why, "stopped"),
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, match_id: MatchId, allow: v1::AllowPlayers) {
        let (knocks, heard) = mpsc::channel(64);
        self.games.insert(match_id, knocks);
        let game = Game {
            client: self.client.clone(),
            tally: Arc::clone(&self.tally),
            match_time: self.match_time,
            skills: self.skills.clone(),
            chance: ChaCha8Rng::seed_from_u64(self.seed ^ match_id.0),
            allow,
            seated: BTreeMap::new(),
        };
        tokio::spawn(async move {
            if let Err(error) = game.play(heard).await {
                tracing::info!(error = %crate::game_server::chain(&error), "a game ended without a report");
            }
        });
    }

    fn admit(&self, join: Join) {
        match self.games.get(&join.match_id) {
            // A full or finished game drops the socket, which is the refusal.
            Some(game) => drop(game.try_send(Knock::Join(join))),
            None => {
                self.tally.strangers.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

struct Game {
    client: GameServer,
    tally: Arc<GameServerTally>,
    match_time: Duration,
    skills: HiddenSkills,
    chance: ChaCha8Rng,
    allow: v1::AllowPlayers,
    seated: BTreeMap<PlayerId, TcpStream>,
}

impl Game {
    /// From the empty room to the stored report. Dropping `seated` at the end tells the players that it is over.
    async fn play(mut self, mut heard: mpsc::Receiver<Knock>) -> Result<(), crate::game_server::ReportError> {
        let match_id = MatchId(self.allow.match_id);
        let deadline = Instant::now() + JOIN_TIME_MAX;
        while self.seated.len() < self.allow.players.len() {
            match timeout_at(deadline, heard.recv()).await {
                Ok(Some(Knock::Join(join))) => self.seat(join).await?,
                Ok(Some(Knock::Voided) | None) => return Ok(()),
                Err(_late) => break,
            }
        }
        self.client.match_started(match_id).await?;
        let end = sleep(self.match_time);
        tokio::pin!(end);
        loop {
            tokio::select! {
                () = &mut end => break,
                knock = heard.recv() => match knock {
                    Some(Knock::Join(join)) => self.seat(join).await?,
                    Some(Knock::Voided) | None => return Ok(()),
                },
            }
        }
        for player in self.seated.keys() {
            self.client.player_left(match_id, *player).await?;
        }
        let report = self.report();
        self.client.report(report).await?;
        Ok(())
    }

    async fn seat(&mut self, mut join: Join) -> Result<(), Stopped> {
        let hash = Sha256::digest(join.token);
        let allowed = self.allow.players.iter().any(|player| player.player_id == join.player.0 && player.join_token_sha256 == *hash);
        if !allowed || clock::now().0 > self.allow.expires_at_ms {
            self.tally.strangers.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        if join.stream.write_all(&[ADMITTED]).await.is_ok() {
            self.seated.insert(join.player, join.stream);
            self.client.player_joined(join.match_id, join.player).await?;
        }
        Ok(())
    }

    fn report(&mut self) -> v1::MatchReport {
        let count = self.allow.players.iter().map(|player| player.team as usize + 1).max().unwrap_or(0);
        let mut teams: Vec<Vec<&v1::AllowedPlayer>> = vec![Vec::new(); count];
        for player in &self.allow.players {
            teams[player.team as usize].push(player);
        }
        let skills: Vec<Vec<f64>> =
            teams.iter().map(|team| team.iter().map(|player| self.skills.of(PlayerId(player.player_id))).collect()).collect();
        let decided = contest::decide(&skills, &mut self.chance);
        let teams = teams
            .iter()
            .enumerate()
            .map(|(number, team)| v1::TeamReport {
                place: decided.places[number],
                score: Some(decided.scores[number]),
                players: team
                    .iter()
                    .zip(&decided.stats[number])
                    .map(|(player, line)| v1::PlayerReport {
                        player_id: player.player_id,
                        stats: self.allow.stats.iter().map(|stat| statistic(stat, line)).collect(),
                        presence: None,
                    })
                    .collect(),
                side: String::new(),
            })
            .collect();
        v1::MatchReport {
            report_id: Vec::new(),
            match_id: self.allow.match_id,
            duration_s: u32::try_from(self.match_time.as_secs()).unwrap_or(u32::MAX).max(1),
            teams,
            totals: Vec::new(),
            map: String::new(),
            mode: String::new(),
        }
    }
}

/// Bots only know kills and deaths; of anything else a queue asks for they have none.
fn statistic(name: &str, [kills, deaths]: &[f64; 2]) -> f64 {
    match name {
        "kills" => *kills,
        "deaths" => *deaths,
        _ => 0.0,
    }
}
