//! One authenticated connection: one task that reads, writes, and ends it in the way that the protocol asks for.
//!
//! ```text
//! socket --57 bytes--> opener admits the header --payload--> opened in place --> decoded --> play (awaited: back-pressure)
//! outbox --> sealed into one small buffer --> socket
//! ```
//!
//! While a message is being handled, what waits in the outbox still goes out; above all a close does. Once a session is ordered to close,
//! nothing more is taken from its peer. An idle session owns no payload buffer and no output buffer.

use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use protocol::certificate::Scope;
use protocol::frame::FrameError;
use protocol::id::{LoginTicketId, SessionId};
use protocol::message::{Channel, FromGameServer, FromPlayer, MessageError, MsgType, ToGameServer, v1};
use protocol::reaction::{CloseCode, Reaction};
use protocol::record::{Close, Opened as OpenedRecord, Opener, Sealer};
use protocol::session::Established;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

use super::frames::{Incoming, ReadError, give_back, write_all};
use super::outbox::{Closing, Due, Frame, Outbox};
use super::peer::{Ending, PeerMisbehaved, PlayerPeer, ServerPeer, Sessions};
use super::{Gate, label};
use crate::admission::SessionSlot;
use crate::metrics::{Alert, ByChannel, Direction, MessageLabels};
use crate::registry::{Opened, Registry};

/// Sealed bytes that are written at once, at most, plus one frame.
const WRITE_BYTES_MAX: usize = 16 * 1024;
/// Time for a stalled peer to take anything at all.
const WRITE_PATIENCE: Duration = Duration::from_secs(10);
/// Time for the close to be taken, and then for the peer to close its side.
const CLOSE_PATIENCE: Duration = Duration::from_millis(500);
/// Bytes of a closed session that are read and thrown away, so that the close is not lost to a reset.
const DISCARDED_BYTES_MAX: usize = 256 * 1024;

/// A kind of peer: what it says, and who listens.
pub(crate) trait Kind: Send + Sync + 'static {
    type Peer: Send + Sync + 'static;
    type Message: Send + 'static;
    const CHANNEL: Channel;

    fn decode(msg_type: MsgType, content: &[u8]) -> Result<Self::Message, MessageError>;
    /// Whether the peer may say this; an answer to be sent instead of handling it.
    fn permit(peer: &Self::Peer, message: &Self::Message) -> Result<(), Forbidden>;
    fn session_id(peer: &Self::Peer) -> SessionId;
    fn name(peer: &Self::Peer) -> String;
    fn leave(registry: &Registry, peer: &Self::Peer);
    fn opened<S: Sessions>(sessions: &S, peer: &Self::Peer) -> impl Future<Output = ()> + Send;
    fn handle<S: Sessions>(
        sessions: &S,
        peer: &Self::Peer,
        message: Self::Message,
    ) -> impl Future<Output = Result<(), PeerMisbehaved>> + Send;
    fn closed<S: Sessions>(sessions: &S, peer: &Self::Peer, ending: Ending) -> impl Future<Output = ()> + Send;
}

/// What the certificate's scope does not allow.
pub(crate) enum Forbidden {
    /// Answered, and not handled.
    Answer(Box<ToGameServer>),
    /// Not handled.
    Ignore,
    /// Such a peer has no business here.
    Misbehaved(PeerMisbehaved),
}

/// A session of a game server.
pub(crate) struct GameServer;
/// A session of a player.
pub(crate) struct Player;

impl Kind for GameServer {
    type Peer = ServerPeer;
    type Message = FromGameServer;
    const CHANNEL: Channel = Channel::S2s;

    fn decode(msg_type: MsgType, content: &[u8]) -> Result<FromGameServer, MessageError> {
        FromGameServer::decode(msg_type, content)
    }

    fn permit(peer: &ServerPeer, message: &FromGameServer) -> Result<(), Forbidden> {
        let needed = match message {
            FromGameServer::Heartbeat(_) => Scope::HEARTBEAT,
            FromGameServer::AllowlistAck(_)
            | FromGameServer::MatchStarted(_)
            | FromGameServer::PlayerJoined(_)
            | FromGameServer::PlayerLeft(_) => Scope::HOST,
            FromGameServer::MatchReport(_) => Scope::REPORT,
            FromGameServer::LogEntries(_) => Scope::LOG,
        };
        if peer.scope.contains(needed) {
            return Ok(());
        }
        Err(match message {
            FromGameServer::MatchReport(report) => Forbidden::Answer(Box::new(ToGameServer::ReportRefused(v1::ReportRefused {
                report_id: report.report_id.clone(),
                match_id: report.match_id,
                reason: Some(v1::Reason { code: "scope".to_owned(), detail: "the certificate does not allow reports".to_owned() }),
            }))),
            FromGameServer::LogEntries(_) => Forbidden::Ignore,
            _ => Forbidden::Misbehaved(PeerMisbehaved { reason: "scope" }),
        })
    }

    fn session_id(peer: &ServerPeer) -> SessionId {
        peer.session_id
    }

    fn name(peer: &ServerPeer) -> String {
        format!("{} ({})", peer.server, peer.owner.escape_debug())
    }

    fn leave(registry: &Registry, peer: &ServerPeer) {
        registry.leave_server(peer);
    }

    fn opened<S: Sessions>(sessions: &S, peer: &ServerPeer) -> impl Future<Output = ()> + Send {
        sessions.server_opened(peer)
    }

    fn handle<S: Sessions>(
        sessions: &S,
        peer: &ServerPeer,
        message: FromGameServer,
    ) -> impl Future<Output = Result<(), PeerMisbehaved>> + Send {
        sessions.server_message(peer, message)
    }

    fn closed<S: Sessions>(sessions: &S, peer: &ServerPeer, ending: Ending) -> impl Future<Output = ()> + Send {
        sessions.server_closed(peer, ending)
    }
}

impl Kind for Player {
    type Peer = PlayerPeer;
    type Message = FromPlayer;
    const CHANNEL: Channel = Channel::Rdv;

    fn decode(msg_type: MsgType, content: &[u8]) -> Result<FromPlayer, MessageError> {
        FromPlayer::decode(msg_type, content)
    }

    fn permit(_: &PlayerPeer, _: &FromPlayer) -> Result<(), Forbidden> {
        Ok(())
    }

    fn session_id(peer: &PlayerPeer) -> SessionId {
        peer.session_id
    }

    fn name(peer: &PlayerPeer) -> String {
        format!("{} ({})", peer.player, peer.name.escape_debug())
    }

    fn leave(registry: &Registry, peer: &PlayerPeer) {
        registry.leave_player(peer);
    }

    fn opened<S: Sessions>(sessions: &S, peer: &PlayerPeer) -> impl Future<Output = ()> + Send {
        sessions.player_opened(peer)
    }

    fn handle<S: Sessions>(
        sessions: &S,
        peer: &PlayerPeer,
        message: FromPlayer,
    ) -> impl Future<Output = Result<(), PeerMisbehaved>> + Send {
        sessions.player_message(peer, message)
    }

    fn closed<S: Sessions>(sessions: &S, peer: &PlayerPeer, ending: Ending) -> impl Future<Output = ()> + Send {
        sessions.player_closed(peer, ending)
    }
}

/// Why a conversation ends, with what is still owed to the peer.
enum End {
    /// The peer said goodbye.
    Close,
    /// The socket ended or failed without one.
    Truncated,
    /// The peer was silent, slow to finish a frame or slow to read.
    Late,
    /// The frame was not what it must be.
    Frame(FrameError),
    /// The record was authentic, its content no message.
    Message(MessageError),
    /// The message was one, and a breach of the rules.
    Misbehaved(PeerMisbehaved),
    /// We close, with code and text.
    Ordered(Closing),
    /// We close, and the close was already written, or cannot be because a frame is stuck half-written.
    Done(Ending),
}

/// See the module.
pub(crate) struct Session<S, K: Kind> {
    gate: Arc<Gate<S>>,
    socket: TcpStream,
    /// Gone once the close was sealed: nothing follows it.
    sealer: Option<Sealer>,
    opener: Opener,
    peer: Arc<K::Peer>,
    outbox: Arc<Outbox>,
    slot: SessionSlot,
    /// The login ticket that the first valid record confirms.
    successor: Option<LoginTicketId>,
    idle_timeout: Duration,
    heard_at: Instant,
    incoming: Incoming,
    out: Vec<u8>,
    kind: PhantomData<K>,
}

impl<S: Sessions, K: Kind> Session<S, K> {
    pub(super) fn new(
        gate: Arc<Gate<S>>,
        socket: TcpStream,
        established: Established,
        opened: Opened<K::Peer>,
        slot: SessionSlot,
        successor: Option<LoginTicketId>,
    ) -> Box<Self> {
        let (session, sealer, opener) = established.split();
        Box::new(Self {
            gate,
            socket,
            sealer: Some(sealer),
            opener,
            peer: opened.peer,
            outbox: opened.outbox,
            slot,
            successor,
            idle_timeout: Duration::from_millis(u64::from(session.params().idle_timeout_ms)),
            heard_at: Instant::now(),
            incoming: Incoming::new(),
            out: Vec::new(),
            kind: PhantomData,
        })
    }

    /// Lives until somebody ends it. Boxed, or the task would hold the session twice: before and after it was moved into this future.
    pub(super) async fn run(mut self: Box<Self>) {
        self.log_opened();
        K::opened(&*self.gate.sessions, &self.peer).await;
        let end = match self.converse().await {
            Ok(never) => match never {},
            Err(end) => end,
        };
        let ending = self.part(end).await;
        K::leave(&self.gate.registry, &self.peer);
        K::closed(&*self.gate.sessions, &self.peer, ending).await;
        self.log_closed(ending);
        if self.sealer.is_none() {
            self.linger().await;
        }
    }

    async fn converse(&mut self) -> Result<std::convert::Infallible, End> {
        loop {
            if let Some(closing) = self.send_waiting().await? {
                return Err(End::Ordered(closing));
            }
            let deadline = self.deadline();
            let Self { socket, incoming, outbox, opener, .. } = self;
            tokio::select! {
                biased;
                () = outbox.changed() => {}
                read = incoming.read_some(socket, |header| opener.check_header(header)) => {
                    if read? {
                        self.handle_frame().await?;
                    }
                }
                () = sleep_until(deadline) => return Err(End::Late),
            }
        }
    }

    /// An unfinished frame has its own deadline; a silent peer the session's.
    fn deadline(&self) -> Instant {
        let idle_until = self.heard_at + self.idle_timeout;
        let frame_time = Duration::from_millis(self.gate.limits.frame_ms_max);
        self.incoming.begun_at().map_or(idle_until, |begun_at| idle_until.min(begun_at + frame_time))
    }

    /// Steps 4 to 7 of a receiver, then the message's own road.
    async fn handle_frame(&mut self) -> Result<(), End> {
        let now = self.gate.clock.now();
        let Some((expected, payload)) = self.incoming.take() else { return Ok(()) };
        let message = match self.opener.open(expected, payload, now).map_err(End::Frame)? {
            OpenedRecord::Message { msg_type, plaintext } => {
                let message = K::decode(msg_type, plaintext).map_err(End::Message)?;
                self.gate.count_received(K::CHANNEL, msg_type);
                Some(message)
            }
            OpenedRecord::KeyUpdate { request } => {
                if request && let Some(sealer) = &mut self.sealer {
                    sealer.key_update(false, now, &mut self.out);
                }
                None
            }
            OpenedRecord::Close(close) => {
                tracing::debug!(code = ?close.code, text = %close.text.escape_debug(), "the peer closed");
                return Err(End::Close);
            }
        };
        self.incoming.finish();
        self.heard_at = Instant::now();
        if let Some(successor) = self.successor.take()
            && let Err(error) = self.gate.confirm(successor).await
        {
            tracing::warn!(%error, "the next login ticket is confirmed with the next record");
            self.successor = Some(successor);
        }
        match message {
            Some(message) => self.handle_message(message).await,
            None => Ok(()),
        }
    }

    async fn handle_message(&mut self, message: K::Message) -> Result<(), End> {
        if self.outbox.is_closing() {
            // Too late: a dead credential's words change nothing. The close is next.
            return Ok(());
        }
        match K::permit(&self.peer, &message) {
            Ok(()) => {}
            Err(Forbidden::Ignore) => return Ok(()),
            Err(Forbidden::Answer(answer)) => {
                let frame = Frame { msg_type: answer.msg_type(), content: answer.encode().into() };
                if let Err(not_taken) = self.outbox.put(frame) {
                    // A full outbox has ordered its own close.
                    tracing::debug!(?not_taken, "an answer was not sent");
                }
                return Ok(());
            }
            Err(Forbidden::Misbehaved(misbehaved)) => return Err(End::Misbehaved(misbehaved)),
        }
        let (gate, peer, outbox) = (Arc::clone(&self.gate), Arc::clone(&self.peer), Arc::clone(&self.outbox));
        // Boxed: an idle session does not carry the largest handler's memory.
        let mut handling = Box::pin(K::handle(&*gate.sessions, &peer, message));
        let handled = loop {
            tokio::select! {
                biased;
                handled = &mut handling => break handled,
                () = outbox.changed() => {
                    let ended = match self.send_waiting().await {
                        Ok(None) => continue,
                        Ok(Some(closing)) => self.part(End::Ordered(closing)).await,
                        Err(end) => self.part(end).await,
                    };
                    // The peer is gone; what it asked for is still finished in good order.
                    if let Err(misbehaved) = handling.await {
                        tracing::debug!(%misbehaved, "after the end of the session");
                    }
                    return Err(End::Done(ended));
                }
            }
        };
        handled.map_err(End::Misbehaved)
    }

    /// Sends what waits, until nothing does; returns the order to close once it is reached.
    async fn send_waiting(&mut self) -> Result<Option<Closing>, End> {
        loop {
            let closing = self.seal_waiting();
            if self.out.is_empty() {
                return Ok(closing);
            }
            let written = tokio::select! {
                biased;
                written = write_all(&mut self.socket, &self.out, WRITE_PATIENCE) => written,
                // A peer that does not read cannot keep a dead session alive.
                () = self.outbox.must_end() => return Err(self.abandoned()),
            };
            written?;
            give_back(&mut self.out);
            // Looked at again in any case: what was put in during the write has woken `must_end`, and nobody will be told of it twice.
        }
    }

    /// Seals what waits, up to [`WRITE_BYTES_MAX`]. If it sealed nothing, nothing waits but perhaps the order to close.
    fn seal_waiting(&mut self) -> Option<Closing> {
        let now = self.gate.clock.now();
        while self.out.len() < WRITE_BYTES_MAX {
            match self.outbox.take() {
                Due::Frame(Frame { msg_type, content }) => {
                    let Some(sealer) = &mut self.sealer else { continue };
                    if let Err(error) = sealer.seal(msg_type, &content, now, &mut self.out) {
                        tracing::error!(%error, "a message of our own cannot be sent");
                    }
                }
                Due::Close(closing) => return Some(closing),
                Due::Nothing => return None,
            }
        }
        None
    }

    /// Half a frame is on its way, so that no close can follow it.
    fn abandoned(&self) -> End {
        match self.outbox.take() {
            Due::Close(closing) => End::Done(closing.ending),
            Due::Frame(_) | Due::Nothing => End::Done(Ending::ClosedByHost),
        }
    }

    /// Gives the peer what the end owes it, and says how the session ended.
    async fn part(&mut self, end: End) -> Ending {
        let (ending, closing) = match end {
            End::Close => (Ending::ClosedByPeer, None),
            End::Truncated => {
                self.gate.metrics.sessions_truncated.get_or_create(&ByChannel { channel: label(K::CHANNEL) }).inc();
                (Ending::Truncated, None)
            }
            End::Late => (Ending::TimedOut, Some(Closing::now(CloseCode::Protocol, Ending::TimedOut, "timeout"))),
            End::Done(ending) => (ending, None),
            End::Ordered(closing) => (closing.ending, Some(closing)),
            End::Frame(error) => (Ending::Misbehaved, self.judge(&error, error.reaction(), is_offense(&error))),
            End::Message(error) => (Ending::Misbehaved, self.judge(&error, Reaction::CloseWith(CloseCode::Protocol), true)),
            End::Misbehaved(error) => {
                let closing = self.judge(&error, Reaction::CloseWith(CloseCode::Protocol), true);
                (Ending::Misbehaved, closing.map(|closing| Closing { text: error.reason.into(), ..closing }))
            }
        };
        if let Some(closing) = closing {
            self.say_close(&closing).await;
        }
        ending
    }

    /// The peer broke the protocol. Only what is proved to come from the peer itself is held against its source.
    fn judge(&self, error: &dyn std::error::Error, reaction: Reaction, offense: bool) -> Option<Closing> {
        let session_id = K::session_id(&self.peer);
        tracing::warn!(target: "audit", event = "peer-misbehaved", peer = K::name(&self.peer), %session_id, %error);
        self.gate.registry.alert(Alert::PeerMisbehaved);
        if offense {
            self.slot.penalize(std::time::Instant::now());
        }
        match reaction {
            Reaction::CloseWith(code) => Some(Closing::now(code, Ending::Misbehaved, "")),
            Reaction::CloseSilently | Reaction::Reject(_) => None,
        }
    }

    async fn say_close(&mut self, closing: &Closing) {
        let Some(sealer) = self.sealer.take() else { return };
        self.out.clear();
        let close = Close {
            code: closing.code,
            frames_accepted: self.opener.frames_accepted(),
            retry_after_ms: closing.retry_after_ms,
            text: &closing.text,
        };
        sealer.close(close, self.gate.clock.now(), &mut self.out);
        // A peer that does not take its close gets a closed socket.
        drop(write_all(&mut self.socket, &self.out, CLOSE_PATIENCE).await);
        drop(self.socket.shutdown().await);
    }

    /// Reads on for a moment without looking: a socket that is closed with unread bytes is reset, and the reset may overtake the close.
    async fn linger(&mut self) {
        let mut discarded = 0;
        let mut scrap = [0; 512];
        let drain = async {
            while discarded < DISCARDED_BYTES_MAX {
                match self.socket.read(&mut scrap).await {
                    Ok(0) | Err(_) => return,
                    Ok(read) => discarded += read,
                }
            }
        };
        // Whoever does not close its side by then is cut off.
        drop(timeout(CLOSE_PATIENCE, drain).await);
    }

    fn log_opened(&self) {
        let session_id = K::session_id(&self.peer);
        tracing::info!(
            target: "audit", event = "session-opened", channel = label(K::CHANNEL).name(), peer = K::name(&self.peer), %session_id
        );
    }

    fn log_closed(&self, ending: Ending) {
        let session_id = K::session_id(&self.peer);
        tracing::info!(
            target: "audit", event = "session-closed", channel = label(K::CHANNEL).name(), peer = K::name(&self.peer), %session_id,
            %ending, frames_accepted = self.opener.frames_accepted()
        );
    }
}

/// Whether the peer itself did it: the frame was authentic, and no clock is to blame.
fn is_offense(error: &FrameError) -> bool {
    matches!(error, FrameError::Malformed(_) | FrameError::TooManyKeyUpdates)
}

impl From<ReadError> for End {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::End { .. } | ReadError::Io(_) => Self::Truncated,
            ReadError::Refused(error) => Self::Frame(error),
        }
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::TimedOut { Self::Late } else { Self::Truncated }
    }
}

impl<S> Gate<S> {
    fn count_received(&self, channel: Channel, msg_type: MsgType) {
        let labels = MessageLabels { channel: label(channel), direction: Direction::Received, message: msg_type.name() };
        self.metrics.messages.get_or_create(&labels).inc();
    }
}
