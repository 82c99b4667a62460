//! A player's side of the RDV channel: connect with a login ticket, queue, receive assignments, come back after a broken connection.
//!
//! ```text
//! http::Account --login ticket--> Player::connect --> Session { enqueue, dequeue, next, close }
//!                                      ^                  |
//!                                      +---- reconnect ---+   (with the rotated login ticket)
//! ```

use std::time::Duration;

use protocol::handshake::client::Credential;
use protocol::id::SessionId;
use protocol::message::{ToPlayer, v1};
use protocol::reaction::CloseCode;
use protocol::secret::LoginTicket;
use protocol::trust::TrustAnchors;
use tokio::time::{Instant, sleep_until};

use crate::connection::{self, ConnectError, Connection, Reader, Received, SessionEnd, Writer};
use crate::login_ticket::TicketStore;

/// A player who may connect: address, community, login ticket.
pub struct Player {
    host: String,
    trust: TrustAnchors,
    ticket: LoginTicket,
    store: Box<dyn TicketStore>,
}

/// Why a player has no session.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlayerError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The connection ended before the first message.
    #[error(transparent)]
    Session(#[from] SessionEnd),
    /// The next login ticket could not be kept, so it was not taken into use.
    #[error("the login ticket could not be stored")]
    Store(#[from] std::io::Error),
}

impl Player {
    /// Takes the host's RDV address, the pinned community, a login ticket and the place where the next ones rest.
    #[must_use]
    pub fn new(host: String, trust: TrustAnchors, ticket: LoginTicket, store: Box<dyn TicketStore>) -> Self {
        Self { host, trust, ticket, store }
    }

    /// Connects. The next login ticket is stored before the first message is sent, and in use from then on.
    ///
    /// # Errors
    ///
    /// [`PlayerError`]; after an error the same login ticket may be tried again.
    pub async fn connect(&mut self) -> Result<Session, PlayerError> {
        let connected = connection::connect(&self.host, &self.trust, Credential::LoginTicket(&self.ticket)).await?;
        let Connection { reader, mut writer, session_id, params, next_ticket } = connected;
        if let Some(next) = next_ticket {
            self.store.save(&next)?;
            // The first valid record confirms the next ticket; from here on the old one is spent.
            writer.send(&v1::KeepAlive {}).await?;
            self.ticket = next;
        }
        let keep_alive = Duration::from_millis(u64::from(params.heartbeat_ms / 2).max(100));
        let idle = Duration::from_millis(u64::from(params.idle_timeout_ms));
        let now = Instant::now();
        Ok(Session { reader, writer, session_id, keep_alive, idle, speak_at: now + keep_alive, silent_until: now + idle })
    }
}

/// One session of a player.
pub struct Session {
    reader: Reader,
    writer: Writer,
    session_id: SessionId,
    keep_alive: Duration,
    idle: Duration,
    speak_at: Instant,
    silent_until: Instant,
}

impl Session {
    /// Names the session in logs of both ends.
    #[must_use]
    pub fn session_id(&self) -> SessionId {
        self.session_id
    }

    /// Asks for a match. `regions`: name and round trip in milliseconds; empty accepts every region.
    ///
    /// # Errors
    ///
    /// The session has ended.
    pub async fn enqueue(&mut self, queue: &str, regions: &[(&str, u32)]) -> Result<(), SessionEnd> {
        let regions = regions.iter().map(|&(region, latency_ms)| v1::RegionLatency { region: region.to_owned(), latency_ms }).collect();
        self.writer.send(&v1::Enqueue { queue: queue.to_owned(), regions }).await
    }

    /// Leaves the queue.
    ///
    /// # Errors
    ///
    /// The session has ended.
    pub async fn dequeue(&mut self) -> Result<(), SessionEnd> {
        self.writer.send(&v1::Dequeue {}).await
    }

    /// Waits for the next message of the host and keeps the session alive meanwhile. Cancel-safe: whoever drops it loses nothing.
    ///
    /// # Errors
    ///
    /// The session has ended: connect again, unless [`connection::retry_after`] says that it is of no use.
    pub async fn next(&mut self) -> Result<ToPlayer, SessionEnd> {
        loop {
            tokio::select! {
                received = self.reader.next() => {
                    self.silent_until = Instant::now() + self.idle;
                    match received? {
                        Received::KeyUpdateWanted => self.writer.key_update().await?,
                        Received::Message(msg_type, plaintext) => match ToPlayer::decode(msg_type, plaintext)? {
                            ToPlayer::KeepAliveAck(_) => {}
                            message => return Ok(message),
                        },
                    }
                }
                () = sleep_until(self.speak_at) => {
                    self.speak_at = Instant::now() + self.keep_alive;
                    self.writer.send(&v1::KeepAlive {}).await?;
                }
                () = sleep_until(self.silent_until) => return Err(SessionEnd::Idle),
            }
        }
    }

    /// Ends the session in an orderly way.
    ///
    /// # Errors
    ///
    /// The network failed; the session is over all the same.
    pub async fn close(mut self) -> Result<(), SessionEnd> {
        self.writer.close(CloseCode::Normal, self.reader.frames_accepted()).await
    }
}
