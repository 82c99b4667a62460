//! From an accepted socket to a session: M1 to M4 against deadlines, and silence for everybody who does not make it.
//!
//! The order is that of the price: a length before an allocation, an HMAC before a public-key operation, a map before the database. Unknown
//! identities and wrong keys end alike. What the protocol crate calls a state is one local variable here; each step consumes the one before.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use ladder::time::UnixMillis;
use protocol::frame::{ExpectedPayload, FrameError, HEADER_LEN};
use protocol::handshake::server::{AwaitHello, CertificateClaim, ClaimedCredential, LoginTicketClaim, VerifiedHello};
use protocol::handshake::{Entropy, HandshakeError, Reject, SessionParams, Transport};
use protocol::id::LoginTicketId;
use protocol::message::Channel;
use protocol::reaction::{Reaction, RejectCode};
use protocol::replay::Replayed;
use protocol::secret::{AuthKey, LoginTicket};
use protocol::session::Established;
use store::{FamilyId, LoginTicketRefusal, NewLoginTicket, StoreError};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use zeroize::{Zeroize, Zeroizing};

use super::frames::{Incoming, ReadError, write_all};
use super::peer::Sessions;
use super::session::{GameServer, Player, Session};
use super::{GOING_AWAY, Gate, RETRY_AFTER_MS, label};
use crate::admission::{Failure, Permit};
use crate::directory::{InForce, LiveLogin, NotInForce};
use crate::http::TicketEvents;
use crate::keys;
use crate::metrics::{Alert, HandshakeResult};
use crate::rate::TooOften;
use crate::registry::Arrival;

/// Who proved what, and the session that it earned.
enum Proven {
    GameServer { in_force: InForce, established: Established },
    Player { login: LiveLogin, established: Established, successor: LoginTicketId },
}

/// A session that is about to run.
enum Begun<S> {
    GameServer(Box<Session<S, GameServer>>),
    Player(Box<Session<S, Player>>),
}

/// Why there is no session. The peer sees silence, or a hint before M2.
#[derive(Debug, thiserror::Error)]
enum NoSession {
    /// The peer was too slow.
    #[error("the peer missed a deadline")]
    Late,
    /// The peer went away, or its network did.
    #[error("the peer went away")]
    Gone,
    /// A frame that has no place here.
    #[error("a frame was refused")]
    Frame(#[from] FrameError),
    /// The handshake failed.
    #[error("the handshake failed")]
    Handshake(#[from] HandshakeError),
    /// The hello was heard before.
    #[error(transparent)]
    Replayed(#[from] Replayed),
    /// One identity shakes hands too often.
    #[error(transparent)]
    TooOften(#[from] TooOften),
    /// Proved, and not in force.
    #[error("the credential is not in force")]
    NotInForce(#[from] NotInForce),
    /// The next login ticket cannot be offered: it was revoked or used up at the same time by another connection.
    #[error("the next login ticket was refused")]
    Successor(#[from] LoginTicketRefusal),
    /// The host stops.
    #[error("the host stops")]
    Stopping,
    /// Our storage failed.
    #[error("the database failed")]
    Store(#[from] StoreError),
    /// The operating system gives no randomness.
    #[error("no random bytes")]
    NoEntropy(#[from] getrandom::Error),
}

impl NoSession {
    fn result(&self) -> HandshakeResult {
        match self {
            Self::Late => HandshakeResult::TimedOut,
            Self::Gone => HandshakeResult::Gone,
            Self::Frame(_) | Self::Handshake(HandshakeError::Frame(_) | HandshakeError::Malformed(_)) => HandshakeResult::Malformed,
            Self::TooOften(_) | Self::Stopping | Self::Store(_) | Self::NoEntropy(_) => HandshakeResult::Busy,
            Self::Handshake(_) | Self::Replayed(_) | Self::NotInForce(_) | Self::Successor(_) => HandshakeResult::Refused,
        }
    }

    /// What the source pays. Our own faults and a wrong clock cost it the attempt and no more.
    fn failure(&self) -> Failure {
        match self {
            Self::Late => Failure::Deadline,
            Self::Gone | Self::Stopping | Self::Store(_) | Self::NoEntropy(_) | Self::Handshake(HandshakeError::HelloClockSkew(_)) => {
                Failure::Unfinished
            }
            _ => Failure::BadHello,
        }
    }

    fn hint(&self) -> Option<RejectCode> {
        match self {
            Self::Handshake(error) => match error.reaction() {
                Reaction::Reject(code) => Some(code),
                Reaction::CloseSilently | Reaction::CloseWith(_) => None,
            },
            _ => None,
        }
    }
}

impl From<ReadError> for NoSession {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::End { .. } | ReadError::Io(_) => Self::Gone,
            ReadError::Refused(error) => Self::Frame(error),
        }
    }
}

impl From<io::Error> for NoSession {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::TimedOut { Self::Late } else { Self::Gone }
    }
}

impl<S: Sessions> Gate<S> {
    /// The life of one connection.
    pub(super) async fn receive(self: Arc<Self>, channel: Channel, socket: TcpStream, address: IpAddr, permit: Permit) {
        // Boxed, so that the memory of a handshake is not carried through the life of the session.
        match Box::pin(self.establish(channel, socket, address, permit)).await {
            Some(Begun::GameServer(session)) => session.run().await,
            Some(Begun::Player(session)) => session.run().await,
            None => {}
        }
    }

    async fn establish(self: Arc<Self>, channel: Channel, mut socket: TcpStream, address: IpAddr, permit: Permit) -> Option<Begun<S>> {
        self.count_half_open(channel, 1);
        let shaken = tokio::select! {
            shaken = self.shake(channel, &mut socket) => shaken,
            () = self.stop.cancelled() => Err(NoSession::Stopping),
        };
        self.count_half_open(channel, -1);
        let proven = match shaken {
            Ok(proven) => proven,
            Err(why) => {
                self.refuse(channel, socket, address, &why).await;
                permit.fail(why.failure(), std::time::Instant::now());
                return None;
            }
        };
        self.count_handshake(channel, HandshakeResult::Established);
        let slot = permit.succeed();
        let begun = match proven {
            Proven::GameServer { in_force, established } => {
                let arrival = Self::arrival(&established, address);
                drop(self.store.record_seen(in_force.server(), address.to_string(), self.clock.now()));
                let opened = self.registry.open_server(in_force, arrival);
                Begun::GameServer(Session::new(Arc::clone(&self), socket, established, opened, slot, None))
            }
            Proven::Player { login, established, successor } => {
                let arrival = Self::arrival(&established, address);
                let opened = self.registry.open_player(login, arrival);
                Begun::Player(Session::new(Arc::clone(&self), socket, established, opened, slot, Some(successor)))
            }
        };
        self.end_if_stopping();
        Some(begun)
    }

    /// A handshake may end at the very moment at which the others were told: its session hears it too.
    fn end_if_stopping(&self) {
        if self.stop.is_cancelled() {
            self.registry.close_all(GOING_AWAY, RETRY_AFTER_MS);
        }
    }

    fn arrival(established: &Established, address: IpAddr) -> Arrival {
        let session = established.session();
        Arrival { session_id: session.session_id(), address, ends_at: session.params().expires_at }
    }

    async fn refuse(&self, channel: Channel, mut socket: TcpStream, address: IpAddr, why: &NoSession) {
        self.count_handshake(channel, why.result());
        let cause = std::error::Error::source(why).map(ToString::to_string).unwrap_or_default();
        tracing::debug!(target: "audit", event = "no-session", channel = label(channel).name(), %address, %why, cause);
        if let Some(code) = why.hint() {
            let hint = Reject { code, retry_after_s: 1 }.encode(self.clock.now());
            // Whether the hint arrives is of no importance.
            drop(write_all(&mut socket, &hint, Duration::from_secs(1)).await);
            drop(socket.shutdown().await);
        }
    }

    async fn shake(&self, channel: Channel, socket: &mut TcpStream) -> Result<Proven, NoSession> {
        // A frame is written whole: waiting for more would only delay it.
        socket.set_nodelay(true)?;
        let hello = self.hear_hello(channel, socket).await?;
        match self.answer(hello, socket).await? {
            ClaimedCredential::Certificate(claim) => self.finish_game_server(claim, socket).await,
            ClaimedCredential::LoginTicket(claim) => self.finish_player(claim, socket).await,
        }
    }

    /// M1: until it is authentic, new and of somebody who counts, nothing costs more than an HMAC.
    async fn hear_hello(&self, channel: Channel, socket: &mut TcpStream) -> Result<VerifiedHello, NoSession> {
        let state = AwaitHello::new(channel, Transport::Tcp, self.directory.realm_id());
        let accepted_at = Instant::now();
        let mut incoming = Incoming::new();
        let header_by = accepted_at + Duration::from_millis(self.limits.header_ms_max.min(self.limits.hello_ms_max));
        let hello_by = accepted_at + Duration::from_millis(self.limits.hello_ms_max);
        while !incoming.has_header() && !in_time(header_by, incoming.read_some(socket, |header| state.check_header(header))).await? {}
        let (expected, payload) = whole(&mut incoming, socket, hello_by, |header| state.check_header(header)).await?;
        let claimed = state.handle_hello(expected, payload)?;
        let auth_key = self.directory.auth_key(channel, claimed.claimed_identity());
        let now = self.clock.now();
        let hello = claimed.verify(auth_key.as_deref(), now)?;
        let identity = hello.identity();
        self.replays.lock().unwrap_or_else(PoisonError::into_inner).remember(identity, hello.client_challenge(), now)?;
        let mut handshakes = self.handshakes.lock().unwrap_or_else(PoisonError::into_inner);
        handshakes.charge(identity, std::time::Instant::now())?;
        drop(handshakes);
        self.directory.check_hello(channel, identity, now)?;
        Ok(hello)
    }

    /// M2 out, M3 in.
    async fn answer(&self, hello: VerifiedHello, socket: &mut TcpStream) -> Result<ClaimedCredential, NoSession> {
        let entropy = Zeroizing::new(keys::random::<64>()?);
        let keyring = self.directory.keyring();
        let (answer, state) = hello.respond(keyring.identity(), &Entropy::from_bytes(&entropy), self.clock.now())?;
        let patience = Duration::from_millis(self.limits.finish_ms_max);
        write_all(socket, &answer, patience).await?;
        let mut incoming = Incoming::new();
        let (expected, payload) = whole(&mut incoming, socket, Instant::now() + patience, |header| state.check_header(header)).await?;
        let credential = state.handle_finish(expected, payload, self.clock.now());
        // It was opened in place and may hold a login ticket.
        payload.zeroize();
        Ok(credential?)
    }

    async fn finish_game_server(&self, claim: CertificateClaim, socket: &mut TcpStream) -> Result<Proven, NoSession> {
        let now = self.clock.now();
        let (in_force, ready) = self.directory.verify_certificate(claim, now)?;
        let (finish, established) = ready.finish(self.params(now), None, now);
        write_all(socket, &finish, Duration::from_millis(self.limits.finish_ms_max)).await?;
        Ok(Proven::GameServer { in_force, established })
    }

    async fn finish_player(&self, claim: LoginTicketClaim, socket: &mut TcpStream) -> Result<Proven, NoSession> {
        let now = self.clock.now();
        let (login, ready) = match self.directory.verify_login_ticket(claim, now) {
            Err(NotInForce::Reused(family)) => {
                self.revoke_family(family, now).await?;
                return Err(NotInForce::Reused(family).into());
            }
            other => other?,
        };
        // Before anything is written to the database.
        self.player_handshakes.lock().unwrap_or_else(PoisonError::into_inner).charge(login.player(), std::time::Instant::now())?;
        if login.is_pending() {
            // Offered by an earlier handshake, proved by this one: its predecessor has served.
            self.confirm(login.ticket_id()).await?;
        }
        let successor = self.offer_successor(&login, now).await?;
        let (finish, established) = ready.finish(self.params(now), Some(&successor), now);
        write_all(socket, &finish, Duration::from_millis(self.limits.finish_ms_max)).await?;
        Ok(Proven::Player { login, established, successor: successor.id() })
    }

    fn params(&self, now: UnixMillis) -> SessionParams {
        SessionParams {
            heartbeat_ms: self.terms.heartbeat_ms,
            idle_timeout_ms: self.terms.idle_timeout_ms,
            payload_len_max: self.terms.payload_bytes_max,
            expires_at: now.plus(Duration::from_secs(self.terms.session_s_max)),
        }
    }

    /// A login ticket that had a successor came back: whoever holds the family now, it dies, and its session with it.
    async fn revoke_family(&self, family: FamilyId, now: UnixMillis) -> Result<(), StoreError> {
        self.registry.alert(Alert::LoginTicketReused);
        tracing::warn!(target: "audit", event = "login-ticket-reused", family = family.0, "a superseded login ticket was used: its family is revoked");
        self.directory.families_revoked(&[family]);
        self.store.revoke_family(family, "login-ticket-reused", now).await?;
        Ok(())
    }

    /// The next login ticket: stored before the client hears of it, as its id, its hash and its end.
    async fn offer_successor(&self, login: &LiveLogin, now: UnixMillis) -> Result<LoginTicket, NoSession> {
        let secret = Zeroizing::new(keys::random::<32>()?);
        let successor = LoginTicket::new(LoginTicketId(keys::random()?), &secret);
        let hash = *AuthKey::from_login_ticket(&successor).expose();
        let expires_at = now.plus(Duration::from_secs(self.login.next_ticket_s));
        let stored = NewLoginTicket { ticket_id: successor.id().0, hash, expires_at };
        self.store.offer_successor(login.ticket_id().0, stored, now).await??;
        self.directory.successor_offered(login, successor.id(), hash, expires_at);
        Ok(successor)
    }

    /// The client has shown that it holds the offered login ticket: its predecessor is superseded from here on.
    pub(super) async fn confirm(&self, successor: LoginTicketId) -> Result<(), StoreError> {
        match self.store.confirm_successor(successor.0, self.clock.now()).await? {
            Ok(_) => self.directory.successor_confirmed(successor),
            // Revoked or replaced meanwhile: the sweep, or the newer session, ends this one.
            Err(refusal) => tracing::debug!(%refusal, "the next login ticket was not confirmed"),
        }
        Ok(())
    }
}

/// Reads the rest of a frame.
async fn whole<'a>(
    incoming: &'a mut Incoming,
    socket: &mut TcpStream,
    by: Instant,
    check_header: impl Fn(&[u8; HEADER_LEN]) -> Result<ExpectedPayload, FrameError>,
) -> Result<(ExpectedPayload, &'a mut [u8]), NoSession> {
    if !incoming.is_whole() {
        in_time(by, incoming.read(socket, check_header)).await?;
    }
    Ok(incoming.take().expect("the frame was read to its end"))
}

async fn in_time<T>(by: Instant, reading: impl Future<Output = Result<T, ReadError>>) -> Result<T, NoSession> {
    match timeout_at(by, reading).await {
        Ok(read) => Ok(read?),
        Err(_elapsed) => Err(NoSession::Late),
    }
}
