//! Bots that play in a [`World`]: load for tests in which something happens to a host that works.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use client::bots::{BotGameServer, BotPlayer, BotPlayerPlan, HiddenSkills, PlayerTally};
use client::game_server::{Identity, Status};
use client::provision::GameServerKeys;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::world::{DUEL, OWNERS, PASSWORD, World};

/// How long a game lasts, and how long a player rests after it.
const GAME_TIME: Duration = Duration::from_millis(60);
const THINK_TIME: Duration = Duration::from_millis(5);

/// Game servers and players, playing.
pub struct Bots {
    servers: Vec<BotGameServer>,
    players: JoinSet<()>,
    tally: Arc<PlayerTally>,
    stop: CancellationToken,
}

impl Bots {
    /// Both game servers of the world and so many players of its queue [`DUEL`].
    pub async fn start(world: &World, players: u32) -> Self {
        let skills = HiddenSkills::default();
        let (tally, stop) = (Arc::<PlayerTally>::default(), CancellationToken::new());
        let mut servers = Vec::new();
        for (owner, seed) in OWNERS.into_iter().zip(1..) {
            let GameServerKeys { certificate, auth_key, node_key } = world.keys(owner);
            let outbox = world.folder().join(format!("{owner}.outbox"));
            let host = world.host().s2s_addr().to_string();
            let identity = Identity { host, trust: world.trust(), certificate, auth_key, node_key, outbox };
            let started = BotGameServer::start(identity, status(owner), GAME_TIME, skills.clone(), seed).await;
            servers.push(started.expect("a port and an outbox"));
        }
        let mut playing = JoinSet::new();
        for number in 0..players {
            let plan = BotPlayerPlan {
                http: world.http(),
                name: format!("bot-{number:03}"),
                password: PASSWORD.to_owned(),
                queues: vec![DUEL.to_owned()],
                regions: vec![("eu".to_owned(), 20)],
                skill: f64::from(number % 7) - 3.0,
                think_time: THINK_TIME,
            };
            let bot = BotPlayer::register(plan, &skills, Arc::clone(&tally)).await.expect("a new name");
            let stop = stop.clone();
            playing.spawn(async move { bot.play(stop).await.expect("the host wants its players") });
        }
        Self { servers, players: playing, tally, stop }
    }

    /// Reports that the host acknowledged to the game servers.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.servers.iter().map(|server| server.tally().acknowledged.load(Relaxed)).sum()
    }

    /// Reports that the host refused.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.servers.iter().map(|server| server.tally().refused.load(Relaxed)).sum()
    }

    /// What the players saw.
    #[must_use]
    pub fn tally(&self) -> &PlayerTally {
        &self.tally
    }

    /// No more matches are asked for; those that are open are played to their end and reported.
    pub async fn stop_players(&mut self) {
        self.stop.cancel();
        while let Some(ended) = self.players.join_next().await {
            ended.expect("a bot does not panic");
        }
    }

    /// Closes the game servers' sessions.
    pub async fn close(self) {
        for server in self.servers {
            server.close().await;
        }
    }
}

fn status(owner: &str) -> Status {
    Status {
        capacity: 64,
        matches: 0,
        players: 0,
        version: "bots".to_owned(),
        load: 0.1,
        region: "eu".to_owned(),
        address: String::new(),
        name: owner.to_owned(),
    }
}
