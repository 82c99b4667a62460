//! A game server's side of RankedServer: stay connected, host matches, report results until they are acknowledged.
//!
//! [`GameServer::start`] gives a handle and a stream of [`Event`]s; a task behind them connects, reconnects with a growing pause, sends
//! heartbeats and re-sends whatever waits in the [`Outbox`], and the starts of matches that still run. The game decides; this client never acknowledges a match on its own.

use std::path::PathBuf;
use std::time::Duration;

use ladder::id::{MatchId, PlayerId, ReportId};
use protocol::certificate::Certificate;
use protocol::handshake::client::Credential;
use protocol::id::SessionId;
use protocol::message::ToGameServer;
use protocol::message::v1;
use protocol::reaction::CloseCode;
use protocol::secret::AuthKey;
use protocol::signature::NodeKey;
use protocol::trust::TrustAnchors;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until};

use crate::clock;
use crate::connection::{self, BackOff, ConnectError, Connection, Received, SessionEnd};
use crate::outbox::{Outbox, OutboxError};
use crate::unanswered::{Overdue, Started};

/// Events and commands that wait at most.
const QUEUE_MAX: usize = 1024;
/// A report without an answer is sent again after one to two of these.
const RESEND_EVERY: Duration = Duration::from_secs(30);

/// Who this game server is.
pub struct Identity {
    /// The host's S2S address, "host:port".
    pub host: String,
    /// The community and its signing keys.
    pub trust: TrustAnchors,
    /// From the certificate file.
    pub certificate: Certificate,
    /// From the certificate secret and the pepper.
    pub auth_key: AuthKey,
    /// From the certificate file, or made here.
    pub node_key: NodeKey,
    /// Folder of reports not yet acknowledged.
    pub outbox: PathBuf,
}

/// What a game server tells the host about itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// Matches that it can host at once.
    pub capacity: u32,
    /// Matches on board.
    pub matches: u32,
    /// Players on board.
    pub players: u32,
    /// Version of its software.
    pub version: String,
    /// 0 to 1.
    pub load: f32,
    /// Region name of the host's `plugins.toml`.
    pub region: String,
    /// Where players connect.
    pub address: String,
    /// The name it claims; the certificate's owner decides.
    pub name: String,
}

impl Status {
    fn heartbeat(&self) -> v1::Heartbeat {
        let Self { capacity, matches, players, version, load, region, address, name } = self.clone();
        v1::Heartbeat { capacity, matches, players, version, load, region, address, name }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A session began.
    Connected(SessionId),
    /// The host answered a heartbeat.
    Heartbeat(v1::HeartbeatAck),
    /// Admit these players, then acknowledge.
    AllowPlayers(v1::AllowPlayers),
    /// Nobody will play this match here.
    MatchVoided(v1::MatchVoided),
    /// A report is durable at the host and gone from the outbox.
    ReportAcknowledged(v1::ReportAck),
    /// A report will never be taken and is gone from the outbox.
    ReportRefused(v1::ReportRefused),
    /// The session ended; another attempt follows.
    Disconnected(String),
    /// No further attempt: the certificate was revoked, retired, or is used by a newer session.
    Stopped(String),
}

enum Command {
    Ack(v1::AllowlistAck),
    Started(v1::MatchStarted),
    Joined(v1::PlayerJoined),
    Left(v1::PlayerLeft),
    Log(v1::LogEntries),
    Report(v1::MatchReport, oneshot::Sender<Result<ReportId, OutboxError>>),
    Status(Status),
    Close(oneshot::Sender<()>),
}

/// The task behind the client is gone: it was closed or stopped.
#[derive(Debug, thiserror::Error)]
#[error("the game server client has stopped")]
pub struct Stopped;

/// Why a report was not taken over.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The client has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The outbox.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
}

/// The handle of a running game-server client. Clones command the same session.
#[derive(Clone)]
pub struct GameServer {
    commands: mpsc::Sender<Command>,
}

impl GameServer {
    /// Opens the outbox and starts the client. Read the events: they are bounded, and a full queue stops the session until there is room.
    ///
    /// # Errors
    ///
    /// The outbox cannot be opened.
    pub fn start(identity: Identity, status: Status) -> Result<(Self, mpsc::Receiver<Event>), OutboxError> {
        let outbox = Outbox::open(&identity.outbox)?;
        let (commands, inbox) = mpsc::channel(QUEUE_MAX);
        let (events, received) = mpsc::channel(QUEUE_MAX);
        let task = Task { identity, status, outbox, started: Started::default(), inbox, events, back_off: BackOff::default() };
        tokio::spawn(task.run());
        Ok((Self { commands }, received))
    }

    /// Says that the allowlist of a match is in place, or that this game server will not host it.
    ///
    /// # Errors
    ///
    /// [`Stopped`].
    pub async fn acknowledge(&self, match_id: MatchId, refusal: Option<&str>) -> Result<(), Stopped> {
        let reason = refusal.unwrap_or_default().to_owned();
        self.command(Command::Ack(v1::AllowlistAck { match_id: match_id.0, accepted: refusal.is_none(), reason })).await
    }

    /// Says that a match began.
    ///
    /// # Errors
    ///
    /// [`Stopped`].
    pub async fn match_started(&self, match_id: MatchId) -> Result<(), Stopped> {
        self.command(Command::Started(v1::MatchStarted { match_id: match_id.0 })).await
    }

    /// Says that a player came.
    ///
    /// # Errors
    ///
    /// [`Stopped`].
    pub async fn player_joined(&self, match_id: MatchId, player: PlayerId) -> Result<(), Stopped> {
        self.command(Command::Joined(v1::PlayerJoined { match_id: match_id.0, player_id: player.0 })).await
    }

    /// Says that a player went.
    ///
    /// # Errors
    ///
    /// [`Stopped`].
    pub async fn player_left(&self, match_id: MatchId, player: PlayerId) -> Result<(), Stopped> {
        self.command(Command::Left(v1::PlayerLeft { match_id: match_id.0, player_id: player.0 })).await
    }

    /// Sends lines for the operator.
    ///
    /// # Errors
    ///
    /// [`Stopped`].
    pub async fn log(&self, entries: Vec<v1::LogEntry>) -> Result<(), Stopped> {
        self.command(Command::Log(v1::LogEntries { entries })).await
    }

    /// Changes what the next heartbeats say.
    ///
    /// # Errors
    ///
    /// [`Stopped`].
    pub async fn set_status(&self, status: Status) -> Result<(), Stopped> {
        self.command(Command::Status(status)).await
    }

    /// Takes over a report: on return it is on disk, and it is sent until the host answers it. Without a `report_id` it gets a random one.
    ///
    /// # Errors
    ///
    /// The client has stopped, or the disk failed: then the report is not taken over.
    pub async fn report(&self, mut report: v1::MatchReport) -> Result<ReportId, ReportError> {
        if report.report_id.is_empty() {
            report.report_id = clock::random::<16>().to_vec();
        }
        let (answer, stored) = oneshot::channel();
        self.command(Command::Report(report, answer)).await?;
        match stored.await {
            Ok(stored) => Ok(stored?),
            Err(_gone) => Err(Stopped.into()),
        }
    }

    /// Closes the session in an orderly way and stops. Reports stay in the outbox.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.command(Command::Close(done)).await.is_ok() {
            // An error means that the task ended before it saw the command: closed all the same.
            closed.await.ok();
        }
    }

    async fn command(&self, command: Command) -> Result<(), Stopped> {
        match self.commands.send(command).await {
            Ok(()) => Ok(()),
            Err(_gone) => Err(Stopped),
        }
    }
}

struct Task {
    identity: Identity,
    status: Status,
    outbox: Outbox,
    started: Started,
    inbox: mpsc::Receiver<Command>,
    events: mpsc::Sender<Event>,
    back_off: BackOff,
}

/// How a session ended, for the task.
enum Next {
    /// Connect again after at least this long.
    Retry(Duration, String),
    /// Never again.
    Stop(String),
    /// We closed it.
    Done,
}

impl Task {
    async fn run(mut self) {
        loop {
            let next = match self.connect().await {
                Ok(connection) => self.serve(connection).await,
                Err(error) => Next::Retry(Duration::ZERO, chain(&error)),
            };
            match next {
                Next::Done => return,
                Next::Stop(why) => {
                    self.tell(Event::Stopped(why)).await;
                    return;
                }
                Next::Retry(at_least, why) => {
                    self.tell(Event::Disconnected(why)).await;
                    let draw = f64::from(u32::from_be_bytes(clock::random())) / f64::from(u32::MAX);
                    let pause = self.back_off.pause(draw).max(at_least);
                    if !self.wait(pause).await {
                        return;
                    }
                }
            }
        }
    }

    async fn connect(&self) -> Result<Connection, ConnectError> {
        let Identity { host, trust, certificate, auth_key, node_key, .. } = &self.identity;
        connection::connect(host, trust, Credential::Certificate { certificate, auth_key, node_key }).await
    }

    /// Waits between two attempts; reports are taken over meanwhile. False: closed.
    async fn wait(&mut self, pause: Duration) -> bool {
        let until = sleep(pause);
        tokio::pin!(until);
        loop {
            tokio::select! {
                () = &mut until => return true,
                command = self.inbox.recv() => match command {
                    None => return false,
                    Some(Command::Close(done)) => {
                        done.send(()).ok();
                        return false;
                    }
                    Some(Command::Report(report, answer)) => {
                        answer.send(self.keep(report)).ok();
                    }
                    Some(Command::Status(status)) => self.status = status,
                    Some(Command::Started(started)) => self.started.note(MatchId(started.match_id)),
                    // Without a session nobody is there to hear the rest. The host does without: it sends its allowlists again, and the comings
                    // and goings of players are a detail.
                    Some(_) => {}
                },
            }
        }
    }

    async fn serve(&mut self, connection: Connection) -> Next {
        let Connection { mut reader, mut writer, session_id, params, .. } = connection;
        self.tell(Event::Connected(session_id)).await;
        let end = match self.talk(&mut reader, &mut writer, params).await {
            Ok(done) => {
                writer.close(CloseCode::Normal, reader.frames_accepted()).await.ok();
                if let Some(done) = done {
                    done.send(()).ok();
                }
                return Next::Done;
            }
            Err(end) => end,
        };
        if let Some(code) = connection::close_owed(&end) {
            writer.close(code, reader.frames_accepted()).await.ok();
        }
        match connection::retry_after(&end) {
            Some(pause) => Next::Retry(pause, chain(&end)),
            None => Next::Stop(chain(&end)),
        }
    }

    /// One session, until it ends. `Ok`: the owner closed it.
    async fn talk(
        &mut self,
        reader: &mut connection::Reader,
        writer: &mut connection::Writer,
        params: protocol::handshake::SessionParams,
    ) -> Result<Option<oneshot::Sender<()>>, SessionEnd> {
        writer.send(&self.status.heartbeat()).await?;
        for match_id in self.started.iter() {
            writer.send(&v1::MatchStarted { match_id: match_id.0 }).await?;
        }
        for report in self.outbox.waiting() {
            writer.send(report).await?;
        }
        let mut overdue = Overdue::default();
        let mut resend_at = Instant::now() + RESEND_EVERY;
        // Half the longest interval, so that one lost timer does not end the session.
        let interval = Duration::from_millis(u64::from(params.heartbeat_ms / 2).max(100));
        let idle = Duration::from_millis(u64::from(params.idle_timeout_ms));
        let mut beat_at = Instant::now() + interval;
        let mut silent_until = Instant::now() + idle;
        loop {
            tokio::select! {
                received = reader.next() => {
                    silent_until = Instant::now() + idle;
                    match received? {
                        Received::KeyUpdateWanted => writer.key_update().await?,
                        Received::Message(msg_type, plaintext) => {
                            let message = ToGameServer::decode(msg_type, plaintext)?;
                            self.back_off.reset();
                            self.handle(message).await;
                        }
                    }
                }
                command = self.inbox.recv() => match command {
                    None => return Ok(None),
                    Some(Command::Close(done)) => return Ok(Some(done)),
                    Some(command) => self.carry_out(command, writer).await?,
                },
                () = sleep_until(beat_at) => {
                    writer.send(&self.status.heartbeat()).await?;
                    beat_at = Instant::now() + interval;
                }
                () = sleep_until(resend_at) => {
                    for report in overdue.look(self.outbox.ids()) {
                        if let Some(report) = self.outbox.get(report) {
                            writer.send(report).await?;
                        }
                    }
                    resend_at = Instant::now() + RESEND_EVERY;
                }
                () = sleep_until(silent_until) => return Err(SessionEnd::Idle),
            }
        }
    }

    async fn handle(&mut self, message: ToGameServer) {
        let event = match message {
            ToGameServer::AllowPlayers(allow) => Event::AllowPlayers(allow),
            ToGameServer::MatchVoided(voided) => {
                self.started.forget(MatchId(voided.match_id));
                Event::MatchVoided(voided)
            }
            ToGameServer::HeartbeatAck(ack) => Event::Heartbeat(ack),
            ToGameServer::ReportAck(ack) => {
                self.forget(&ack.report_id);
                Event::ReportAcknowledged(ack)
            }
            ToGameServer::ReportRefused(refused) => {
                self.forget(&refused.report_id);
                Event::ReportRefused(refused)
            }
        };
        self.tell(event).await;
    }

    /// Takes over a report: from now on it speaks for its match.
    fn keep(&mut self, report: v1::MatchReport) -> Result<ReportId, OutboxError> {
        let match_id = MatchId(report.match_id);
        let stored = self.outbox.store(report)?;
        self.started.forget(match_id);
        Ok(stored)
    }

    fn forget(&mut self, report_id: &[u8]) {
        let Ok(id) = <[u8; 16]>::try_from(report_id) else { return };
        if let Err(error) = self.outbox.remove(ReportId(id)) {
            tracing::warn!(error = %chain(&error), "an answered report stays in the outbox and will be sent again");
        }
    }

    async fn carry_out(&mut self, command: Command, writer: &mut connection::Writer) -> Result<(), SessionEnd> {
        match command {
            Command::Ack(ack) => writer.send(&ack).await,
            Command::Started(started) => {
                self.started.note(MatchId(started.match_id));
                writer.send(&started).await
            }
            Command::Joined(joined) => writer.send(&joined).await,
            Command::Left(left) => writer.send(&left).await,
            Command::Log(entries) => writer.send(&entries).await,
            Command::Status(status) => {
                self.status = status;
                writer.send(&self.status.heartbeat()).await
            }
            Command::Report(report, answer) => {
                let stored = self.keep(report.clone());
                let kept = stored.is_ok();
                answer.send(stored).ok();
                if kept { writer.send(&report).await } else { Ok(()) }
            }
            Command::Close(_) => unreachable!("the caller handles a close"),
        }
    }

    async fn tell(&self, event: Event) {
        // Nobody listens any more: the game dropped the stream and only wants the session kept.
        self.events.send(event).await.ok();
    }
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
