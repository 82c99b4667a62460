//! A player who queues, plays where the assignment says, and queues again, until stopped.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ladder::id::PlayerId;
use protocol::message::{ToPlayer, v1};
use protocol::trust::TrustAnchors;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{ADMITTED, HiddenSkills, JOIN_LEN};
use crate::connection::{self, BackOff, SessionEnd};
use crate::http::{Account, HttpError};
use crate::login_ticket::InMemory;
use crate::player::{Player, PlayerError, Session};

/// What a bot is to do.
#[derive(Clone, Debug)]
pub struct BotPlayerPlan {
    /// Base URL of the host's HTTP listener.
    pub http: String,
    /// Account name; registered if it is new.
    pub name: String,
    /// Its password.
    pub password: String,
    /// Queues, taken in turn.
    pub queues: Vec<String>,
    /// Regions with round trips in milliseconds; empty accepts all.
    pub regions: Vec<(String, u32)>,
    /// True skill.
    pub skill: f64,
    /// Pause between two matches.
    pub think_time: Duration,
}

/// Why a bot gave up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BotPlayerError {
    /// Registering or logging in.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// Connecting.
    #[error(transparent)]
    Player(#[from] PlayerError),
}

/// What all bots of one run have done so far.
#[derive(Debug, Default)]
pub struct PlayerTally {
    /// Assignments received.
    pub assigned: AtomicU64,
    /// Matches that ended rated.
    pub rated: AtomicU64,
    /// Matches that ended in any other way.
    pub unrated: AtomicU64,
    /// Sessions that broke and were had again.
    pub reconnects: AtomicU64,
    /// Game servers that did not let a bot in.
    pub turned_away: AtomicU64,
}

/// One bot.
pub struct BotPlayer {
    plan: BotPlayerPlan,
    account: Account,
    player: Player,
    tally: Arc<PlayerTally>,
}

impl BotPlayer {
    /// Registers, notes the hidden skill, and fetches a login ticket.
    ///
    /// # Errors
    ///
    /// [`BotPlayerError::Http`].
    pub async fn register(plan: BotPlayerPlan, skills: &HiddenSkills, tally: Arc<PlayerTally>) -> Result<Self, BotPlayerError> {
        let account = Account::register(&plan.http, &plan.name, &plan.password).await?;
        skills.set(account.player_id(), plan.skill);
        let ticket = account.login_ticket().await?;
        let trust: TrustAnchors = account.trust()?;
        let player = Player::new(ticket.rdv, trust, ticket.ticket, Box::new(InMemory));
        Ok(Self { plan, account, player, tally })
    }

    /// Who the bot is.
    #[must_use]
    pub fn player_id(&self) -> PlayerId {
        self.account.player_id()
    }

    /// Plays until `stop`, reconnecting when a session breaks.
    ///
    /// # Errors
    ///
    /// The host does not want this player any more.
    pub async fn play(mut self, stop: CancellationToken) -> Result<(), BotPlayerError> {
        let mut back_off = BackOff::default();
        loop {
            let session = tokio::select! {
                session = self.player.connect() => session,
                () = stop.cancelled() => return Ok(()),
            };
            let end = match session {
                Ok(session) => {
                    back_off.reset();
                    match self.talk(session, &stop).await {
                        Ok(()) => return Ok(()),
                        Err(end) => end,
                    }
                }
                Err(PlayerError::Session(end)) => end,
                Err(PlayerError::Connect(_)) => SessionEnd::Truncated,
                Err(error) => return Err(error.into()),
            };
            let Some(pause) = connection::retry_after(&end) else { return Err(PlayerError::from(end).into()) };
            self.tally.reconnects.fetch_add(1, Ordering::Relaxed);
            tokio::select! {
                () = sleep(pause.max(back_off.pause(0.5))) => {}
                () = stop.cancelled() => return Ok(()),
            }
        }
    }

    /// One session. `Ok`: told to stop.
    async fn talk(&mut self, mut session: Session, stop: &CancellationToken) -> Result<(), SessionEnd> {
        let mut turn = self.account.player_id().0 as usize;
        let mut game: Option<tokio::task::JoinHandle<()>> = None;
        self.enqueue(&mut session, &mut turn).await?;
        loop {
            let message = tokio::select! {
                message = session.next() => message?,
                () = stop.cancelled() => {
                    session.close().await.ok();
                    return Ok(());
                }
            };
            match message {
                ToPlayer::Assignment(assignment) => {
                    self.tally.assigned.fetch_add(1, Ordering::Relaxed);
                    let (player, tally) = (self.account.player_id(), Arc::clone(&self.tally));
                    if let Some(earlier) = game.replace(tokio::spawn(attend(player, assignment, tally))) {
                        earlier.abort();
                    }
                }
                ToPlayer::MatchEnded(ended) => {
                    let counter = if ended.ending == v1::MatchEnding::Rated as i32 { &self.tally.rated } else { &self.tally.unrated };
                    counter.fetch_add(1, Ordering::Relaxed);
                    sleep(self.plan.think_time).await;
                    self.enqueue(&mut session, &mut turn).await?;
                }
                // Too many requests, or a busy host: a bot that did not ask again would wait for ever.
                ToPlayer::Refusal(refusal) if refusal.retry_after_ms > 0 => {
                    sleep(Duration::from_millis(u64::from(refusal.retry_after_ms))).await;
                    self.enqueue(&mut session, &mut turn).await?;
                }
                _ => {}
            }
        }
    }

    async fn enqueue(&self, session: &mut Session, turn: &mut usize) -> Result<(), SessionEnd> {
        let Some(queue) = self.plan.queues.get(*turn % self.plan.queues.len().max(1)) else { return Ok(()) };
        *turn += 1;
        let regions: Vec<(&str, u32)> = self.plan.regions.iter().map(|(region, latency)| (region.as_str(), *latency)).collect();
        session.enqueue(queue, &regions).await
    }
}

/// Goes to the game, and stays until the game server hangs up.
async fn attend(player: PlayerId, assignment: v1::Assignment, tally: Arc<PlayerTally>) {
    if join(player, &assignment).await.is_err() {
        tally.turned_away.fetch_add(1, Ordering::Relaxed);
    }
}

async fn join(player: PlayerId, assignment: &v1::Assignment) -> std::io::Result<()> {
    let mut hello = Vec::with_capacity(JOIN_LEN);
    hello.extend_from_slice(&assignment.match_id.to_be_bytes());
    hello.extend_from_slice(&player.0.to_be_bytes());
    hello.extend_from_slice(&assignment.join_token);
    let mut stream = TcpStream::connect(&assignment.address).await?;
    stream.write_all(&hello).await?;
    if stream.read_u8().await? != ADMITTED {
        return Err(std::io::ErrorKind::PermissionDenied.into());
    }
    let mut rest = [0; 1];
    // Anything but silence means that the game is over.
    stream.read(&mut rest).await.map(drop)
}
