//! The game side: queues, matches and reports. What sessions say comes in through [`Sessions`]; what is due goes out as effects.
//!
//! ```text
//! rdv      Enqueue, Dequeue ..             +--------+   matchmaker   every tick: who waits -> policy -> matches opened
//! s2s      Heartbeat, AllowlistAck ..  --> | board  |   matches      allowlist -> assignment -> moved, voided
//! reports  MatchReport                     +--------+   sweep        what has waited for too long
//!                                              |
//!                      store (decides, one transaction each), then effects to players and game servers
//! ```
//!
//! Each of those files asks the store for one decision and tells the board what was committed; the board answers with the messages that
//! are due. A message that is lost is derived again when its peer comes back.

pub mod matchmaker;

mod board;
mod budget;
mod effect;
mod join_token;
mod log_entries;
mod matches;
mod queue;
mod rdv;
pub(crate) mod recorder;
mod recovery;
mod reports;
mod s2s;
mod sweep;

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ladder::id::QueueId;
use protocol::message::{FromGameServer, FromPlayer};
use store::Store;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::config::Matchmaking;
use crate::metrics::Metrics;
use crate::net::peer::{Ending, PeerMisbehaved, PlayerPeer, ServerPeer, Sessions};
use board::Board;
use effect::Effect;

pub use effect::Outboxes;
pub use join_token::JoinKey;
pub use queue::{Matching, PlayQueue, Quarantine, Reviewing};

/// The game side of one host. Shared by every session and by its own background tasks.
pub struct Play {
    queues: Vec<PlayQueue>,
    settings: Matchmaking,
    store: Store,
    outboxes: Arc<dyn Outboxes>,
    metrics: Arc<Metrics>,
    clock: Clock,
    board: Mutex<Board>,
}

/// What the game side is made of.
pub struct PlayParts {
    /// The queues, in any order.
    pub queues: Vec<PlayQueue>,
    /// `[matchmaking]` of `ranked.toml`.
    pub settings: Matchmaking,
    /// The database, with the queues' rating engines installed.
    pub store: Store,
    /// The way to everybody who is connected.
    pub outboxes: Arc<dyn Outboxes>,
    /// Where to count.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Clock,
    /// Makes join tokens.
    pub join_key: JoinKey,
}

/// Between two looks at what has waited for too long.
const SWEEP_EVERY: Duration = Duration::from_millis(250);
/// Between two attempts to rate reports that wait for their engine.
const BACKLOG_EVERY: Duration = Duration::from_secs(5);

impl Play {
    /// Runs ticks, deadlines, status messages and the backlog of ratings until `stop`; returns when the last of them has ended.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let tasks = TaskTracker::new();
        for index in 0..self.queues.len() {
            tasks.spawn(Arc::clone(&self).run_matchmaker(index, stop.clone()));
        }
        let play = Arc::clone(&self);
        tasks.spawn(every(SWEEP_EVERY, stop.clone(), move || {
            let play = Arc::clone(&play);
            async move { play.sweep().await }
        }));
        let play = Arc::clone(&self);
        tasks.spawn(every(Duration::from_millis(self.settings.queue_status_ms), stop.clone(), move || {
            let play = Arc::clone(&play);
            async move { play.push_statuses() }
        }));
        tasks.spawn(every(BACKLOG_EVERY, stop, move || {
            let play = Arc::clone(&self);
            async move { play.rate_backlog().await }
        }));
        tasks.close();
        tasks.wait().await;
    }

    /// Tells every waiting player who is connected how the waiting goes.
    pub fn push_statuses(&self) {
        let now = self.clock.now();
        for queue in 0..self.queues.len() {
            let effects = self.board().statuses(queue, now);
            self.deliver(effects);
        }
    }

    /// The queues, in the order given at the start.
    #[must_use]
    pub fn queues(&self) -> &[PlayQueue] {
        &self.queues
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().expect("nobody panics while holding the board")
    }

    /// Sends what is due. A peer who is not there hears of it when it comes back.
    fn deliver(&self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Server(server, message) => self.outboxes.send_to_server(server, &message),
                Effect::Player(player, message) => self.outboxes.send_to_player(player, &message),
            };
        }
    }

    /// The queue with this number in the store, if `plugins.toml` still has it.
    fn queue_of(&self, id: QueueId) -> Option<(usize, &PlayQueue)> {
        self.queues.iter().enumerate().find(|(_, queue)| queue.id == id)
    }
}

impl Sessions for Play {
    async fn server_opened(&self, server: &ServerPeer) {
        let effects = self.board().server_opened(server, self.clock.now());
        self.deliver(effects);
    }

    async fn server_message(&self, server: &ServerPeer, message: FromGameServer) -> Result<(), PeerMisbehaved> {
        self.handle_server_message(server, message).await
    }

    async fn server_closed(&self, server: &ServerPeer, ending: Ending) {
        self.board().server_closed(server, ending, self.clock.now());
        if ending == Ending::CredentialDead {
            // Nobody waits for a dead certificate to come back: its matches end now.
            self.sweep().await;
        }
    }

    async fn player_opened(&self, player: &PlayerPeer) {
        let effects = self.board().player_opened(player, self.clock.now());
        self.deliver(effects);
    }

    async fn player_message(&self, player: &PlayerPeer, message: FromPlayer) -> Result<(), PeerMisbehaved> {
        self.handle_player_message(player, message).await
    }

    async fn player_closed(&self, player: &PlayerPeer, _: Ending) {
        self.board().player_closed(player, self.clock.now());
    }
}

/// Does something again and again until `stop`. A turn that takes too long delays the next one and is not made up for.
async fn every<F, Turn>(period: Duration, stop: CancellationToken, mut turn: F)
where
    F: FnMut() -> Turn,
    Turn: Future<Output = ()>,
{
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => turn().await,
        }
    }
}

#[cfg(test)]
mod tests;
