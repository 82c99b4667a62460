//! One authenticated connection to the host: TCP, the handshake, then records each way.
//!
//! `protocol` decides, this file moves bytes. [`Reader::next`] may be dropped and called again at any point (it is cancel-safe), so that a
//! session can wait for the host, its own commands and a timer at once.

use std::io;
use std::time::Duration;

use ladder::time::UnixMillis;
use protocol::frame::{FrameError, HEADER_LEN};
use protocol::handshake::client::{Credential, start};
use protocol::handshake::{Entropy, HandshakeError, SessionParams, Transport};
use protocol::id::SessionId;
use protocol::message::{MsgType, WireMessage};
use protocol::reaction::{CloseCode, Reaction};
use protocol::record::{Close, Opened, Opener, SealError, Sealer};
use protocol::secret::LoginTicket;
use protocol::trust::TrustAnchors;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use crate::clock;

/// How long a handshake may take altogether.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);
/// How long a write may take before the host counts as gone.
const WRITE_TIME_MAX: Duration = Duration::from_secs(10);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The network, or the host closed without a word: it is down, or refuses this identity.
    #[error("the connection failed")]
    Io(#[from] io::Error),
    /// The host took too long.
    #[error("the handshake took longer than {HANDSHAKE_TIME_MAX:?}")]
    Timeout,
    /// The host sent a frame that this state does not take.
    #[error("the host sent an unexpected frame")]
    Frame(#[from] FrameError),
    /// The host is not believed, or rejected the attempt.
    #[error("the handshake failed")]
    Handshake(#[from] HandshakeError),
}

/// How a session ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionEnd {
    /// The host closed it and said why.
    #[error("the host closed the session: {code:?} {text:?}")]
    Closed {
        /// The reason.
        code: CloseCode,
        /// When to come back, in milliseconds, at most one hour.
        retry_after_ms: u32,
        /// For people; from a peer, so escape it.
        text: String,
    },
    /// The stream ended without a close: a broken connection, or somebody cut it.
    #[error("the connection was cut")]
    Truncated,
    /// The network failed.
    #[error("the connection failed")]
    Io(#[from] io::Error),
    /// The host broke the protocol, or somebody in between changed a byte.
    #[error("a frame was refused")]
    Frame(#[from] FrameError),
    /// A record that is no message.
    #[error("a message does not decode")]
    Message(#[from] protocol::message::MessageError),
    /// Our own message cannot be sent.
    #[error("a message cannot be sent")]
    Seal(#[from] SealError),
    /// Nothing came for longer than the session's idle timeout.
    #[error("the host was silent for too long")]
    Idle,
}

/// An authenticated session, before its directions part.
pub struct Connection {
    /// What the host sends.
    pub reader: Reader,
    /// What we send.
    pub writer: Writer,
    /// Names the session in logs of both ends.
    pub session_id: SessionId,
    /// The host's terms.
    pub params: SessionParams,
    /// RDV: the next login ticket. Store it durably before the first message is sent.
    pub next_ticket: Option<LoginTicket>,
}

/// Connects and completes the handshake. Never retries, never offers less.
///
/// # Errors
///
/// [`ConnectError`]: the network's fault, the host's, or of somebody who only claims to be the host.
pub async fn connect(address: &str, trust: &TrustAnchors, credential: Credential<'_>) -> Result<Connection, ConnectError> {
    match timeout(HANDSHAKE_TIME_MAX, shake_hands(address, trust, credential)).await {
        Ok(outcome) => outcome,
        Err(_elapsed) => Err(ConnectError::Timeout),
    }
}

async fn shake_hands(address: &str, trust: &TrustAnchors, credential: Credential<'_>) -> Result<Connection, ConnectError> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let entropy = Entropy::from_bytes(&clock::random());
    let (hello, state) = start(Transport::Tcp, trust, credential, &entropy, clock::now());
    stream.write_all(&hello).await?;
    let mut header = [0; HEADER_LEN];
    stream.read_exact(&mut header).await?;
    let expected = state.check_header(&header)?;
    let mut payload = vec![0; expected.payload_len()];
    stream.read_exact(&mut payload).await?;
    let (finish, state) = state.handle_answer(expected, &payload, clock::now())?;
    stream.write_all(&finish).await?;
    stream.read_exact(&mut header).await?;
    let expected = state.check_header(&header)?;
    payload.resize(expected.payload_len(), 0);
    stream.read_exact(&mut payload).await?;
    let finished = state.handle_finish(expected, &mut payload, clock::now())?;
    let (session, sealer, opener) = finished.established.split();
    let (read, write) = stream.into_split();
    Ok(Connection {
        reader: Reader { stream: read, opener, frame: Vec::with_capacity(HEADER_LEN), taken: false },
        writer: Writer { stream: write, sealer: Some(sealer), frame: Vec::new(), sent: 0 },
        session_id: session.session_id(),
        params: session.params(),
        next_ticket: finished.next_ticket,
    })
}

/// What the host sends, record after record.
pub struct Reader {
    stream: OwnedReadHalf,
    opener: Opener,
    /// The frame being read; kept between calls.
    frame: Vec<u8>,
    /// Whether `frame` was handed out already.
    taken: bool,
}

/// One thing that the host sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Received<'a> {
    /// A message of the channel, to be decoded.
    Message(MsgType, &'a [u8]),
    /// The host wants our direction rekeyed: call [`Writer::key_update`].
    KeyUpdateWanted,
}

impl Reader {
    /// Waits for the next message. Cancel-safe.
    ///
    /// # Errors
    ///
    /// The session has ended: see [`SessionEnd`].
    pub async fn next(&mut self) -> Result<Received<'_>, SessionEnd> {
        loop {
            if self.taken {
                self.frame.clear();
                self.taken = false;
            }
            self.fill(HEADER_LEN).await?;
            let header = self.frame.first_chunk().expect("filled to the header's length");
            let expected = self.opener.check_header(header)?;
            self.fill(HEADER_LEN + expected.payload_len()).await?;
            self.taken = true;
            // The borrow checker cannot see that a returned message ends the loop, so the frame is looked at twice: here for control records.
            let payload = &mut self.frame[HEADER_LEN..];
            match self.opener.open(expected, payload, clock::now())? {
                Opened::KeyUpdate { request: false } => {}
                Opened::KeyUpdate { request: true } => return Ok(Received::KeyUpdateWanted),
                Opened::Close(close) => return Err(closed(&close)),
                Opened::Message { msg_type, plaintext } => {
                    let len = plaintext.len();
                    return Ok(Received::Message(msg_type, &self.frame[HEADER_LEN..HEADER_LEN + len]));
                }
            }
        }
    }

    async fn fill(&mut self, len: usize) -> Result<(), SessionEnd> {
        while self.frame.len() < len {
            let missing = (len - self.frame.len()) as u64;
            if (&mut self.stream).take(missing).read_buf(&mut self.frame).await? == 0 {
                return Err(SessionEnd::Truncated);
            }
        }
        Ok(())
    }

    /// Records taken so far, for the close.
    #[must_use]
    pub fn frames_accepted(&self) -> u64 {
        self.opener.frames_accepted()
    }
}

/// The longest that a client waits because a host said so, in milliseconds.
const RETRY_AFTER_MS_MAX: u32 = 3_600_000;

fn closed(close: &Close<'_>) -> SessionEnd {
    SessionEnd::Closed {
        code: close.code,
        retry_after_ms: close.retry_after_ms.min(RETRY_AFTER_MS_MAX),
        text: close.text.escape_default().to_string(),
    }
}

/// What we send.
pub struct Writer {
    stream: OwnedWriteHalf,
    /// Gone once the session was closed.
    sealer: Option<Sealer>,
    /// Sealed bytes; kept between calls.
    frame: Vec<u8>,
    /// How many of them are on their way.
    sent: usize,
}

impl Writer {
    /// Seals and sends one message.
    ///
    /// # Errors
    ///
    /// The network failed, or the message is too long for the session.
    pub async fn send<M: WireMessage>(&mut self, message: &M) -> Result<(), SessionEnd> {
        let sealer = self.sealer.as_mut().ok_or(SessionEnd::Truncated)?;
        sealer.seal_message(message, clock::now(), &mut self.frame)?;
        self.flush().await
    }

    /// Rekeys our direction, as an answer to [`Received::KeyUpdateWanted`].
    ///
    /// # Errors
    ///
    /// The network failed.
    pub async fn key_update(&mut self) -> Result<(), SessionEnd> {
        let sealer = self.sealer.as_mut().ok_or(SessionEnd::Truncated)?;
        sealer.key_update(false, clock::now(), &mut self.frame);
        self.flush().await
    }

    /// Ends the session in an orderly way.
    ///
    /// # Errors
    ///
    /// The network failed; the session is over all the same.
    pub async fn close(&mut self, code: CloseCode, frames_accepted: u64) -> Result<(), SessionEnd> {
        let Some(sealer) = self.sealer.take() else { return Ok(()) };
        let close = Close { frames_accepted, ..Close::new(code) };
        sealer.close(close, clock::now(), &mut self.frame);
        self.flush().await?;
        self.stream.shutdown().await?;
        Ok(())
    }

    /// Sends what is sealed. Dropped halfway, the rest goes out with the next message.
    async fn flush(&mut self) -> Result<(), SessionEnd> {
        while self.sent < self.frame.len() {
            match timeout(WRITE_TIME_MAX, self.stream.write(&self.frame[self.sent..])).await {
                Ok(written) => self.sent += written?,
                Err(_elapsed) => return Err(SessionEnd::Idle),
            }
        }
        self.frame.clear();
        self.sent = 0;
        Ok(())
    }
}

/// Whether the session that ended like this can be had again by connecting again, and after how long at least.
#[must_use]
pub fn retry_after(end: &SessionEnd) -> Option<Duration> {
    match end {
        SessionEnd::Closed { code: CloseCode::Revoked | CloseCode::KeyEpochRetired | CloseCode::Replaced, .. } => None,
        SessionEnd::Closed { retry_after_ms, .. } => Some(Duration::from_millis(u64::from(*retry_after_ms))),
        _ => Some(Duration::ZERO),
    }
}

/// The close that we owe the host after it sent something that cannot stand; `None`: close without a byte.
#[must_use]
pub fn close_owed(end: &SessionEnd) -> Option<CloseCode> {
    match end {
        SessionEnd::Frame(error) => match error.reaction() {
            Reaction::CloseWith(code) => Some(code),
            _ => None,
        },
        SessionEnd::Message(_) => Some(CloseCode::Protocol),
        SessionEnd::Idle => Some(CloseCode::Protocol),
        _ => None,
    }
}

/// A growing, jittered pause between attempts: 0.2 s, doubling to 30 s, each shortened by up to a half.
#[derive(Debug, Default)]
pub struct BackOff {
    failures: u32,
}

impl BackOff {
    /// The pause after one more failure. `draw` is uniform in 0 to 1.
    pub fn pause(&mut self, draw: f64) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let full = Duration::from_millis(200 << self.failures.min(8).saturating_sub(1)).min(Duration::from_secs(30));
        full.mul_f64(1.0 - draw.clamp(0.0, 1.0) / 2.0)
    }

    /// It worked: the next failure starts from the bottom.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

/// Whether `now` is at least `interval` after `last`; both by the same clock.
#[must_use]
pub fn is_due(last: UnixMillis, interval: Duration, now: UnixMillis) -> bool {
    now.since(last) >= interval
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_start_again() {
        let mut back_off = BackOff::default();
        let pauses: Vec<u64> = (0..10).map(|_| u64::try_from(back_off.pause(0.0).as_millis()).expect("short")).collect();
        assert_eq!(pauses, [200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 25_600, 25_600]);
        back_off.reset();
        assert_eq!(back_off.pause(1.0), Duration::from_millis(100));
    }

    #[test]
    fn a_revoked_identity_does_not_come_back() {
        let end = |code| SessionEnd::Closed { code, retry_after_ms: 7, text: String::new() };
        assert_eq!(retry_after(&end(CloseCode::Revoked)), None);
        assert_eq!(retry_after(&end(CloseCode::Replaced)), None);
        assert_eq!(retry_after(&end(CloseCode::GoingAway)), Some(Duration::from_millis(7)));
        assert_eq!(retry_after(&SessionEnd::Truncated), Some(Duration::ZERO));
    }
}
