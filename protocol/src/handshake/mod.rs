//! Both handshakes, with a type for every state: what comes too early or out of order cannot be written down.
//!
//! ```text
//! client                                     host
//! client::start ............ M1 ClientHello .....> server::AwaitHello --> ClaimedHello --> VerifiedHello
//! AwaitServerHello <........ M2 ServerHello ...... VerifiedHello::respond --> AwaitFinish
//! AwaitServerHello ......... M3 ClientFinish ....> AwaitFinish --> CertificateClaim or LoginTicketClaim --> ReadyToFinish
//! AwaitServerFinish <....... M4 ServerFinish ..... ReadyToFinish::finish
//! Established                                Established
//! ```
//!
//! Each state checks a header first ([`crate::frame`]) and takes the payload then. Random bytes and the clock are arguments.

pub mod client;
mod error;
mod finish;
mod hello;
pub mod server;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use alloc::vec::Vec;

use ladder::time::UnixMillis;
use zeroize::{ZeroizeOnDrop, Zeroizing};

pub use error::HandshakeError;

use crate::frame::{HEADER_LEN, Header};
use crate::message::{Channel, MsgType};
use crate::reaction::RejectCode;

/// Suite 0x0001: X25519, Ed25519, HMAC-SHA256, AES-256-GCM. The only one that this crate speaks.
pub const SUITE: u16 = 0x0001;
/// A session lasts at most so many milliseconds from M4 on.
pub const SESSION_MS_MAX: u64 = 24 * 3_600_000;

/// What carries the connection. Both ends must mean the same, or no proof verifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP, or TLS in front of a proxy with the binding switched off on purpose.
    Tcp,
    /// TLS 1.3, bound by the `tls-exporter` value of RFC 9266.
    Tls {
        /// 32 bytes from the TLS connection.
        exporter: [u8; 32],
    },
}

/// What both ends hash before the first message.
pub(crate) fn prologue(channel: Channel, transport: Transport) -> Vec<u8> {
    let mut prologue = b"RankedServer/2\0".to_vec();
    prologue.push(channel.to_wire());
    match transport {
        Transport::Tcp => prologue.extend_from_slice(&[0, 0]),
        Transport::Tls { exporter } => {
            prologue.extend_from_slice(&[1, 32]);
            prologue.extend_from_slice(&exporter);
        }
    }
    prologue
}

/// The random bytes of one end of one handshake. Fresh from the operating system each time, never stored.
#[derive(ZeroizeOnDrop)]
pub struct Entropy {
    challenge: [u8; 32],
    ephemeral: [u8; 32],
}

impl Entropy {
    /// Takes 32 bytes for the challenge and 32 for the ephemeral key.
    #[must_use]
    pub fn new(challenge: [u8; 32], ephemeral: [u8; 32]) -> Self {
        Self { challenge, ephemeral }
    }

    /// Takes 64 random bytes, in the order of [`Self::new`].
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 64]) -> Self {
        let mut entropy = Self { challenge: [0; 32], ephemeral: [0; 32] };
        entropy.challenge.copy_from_slice(&bytes[..32]);
        entropy.ephemeral.copy_from_slice(&bytes[32..]);
        entropy
    }
}

/// The terms of a session, dictated by the host in M4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionParams {
    /// Longest time between two records of the client, in milliseconds.
    pub heartbeat_ms: u32,
    /// Silence after which either side closes, in milliseconds.
    pub idle_timeout_ms: u32,
    /// Longest `payload_len` of a message, both ways, the cipher's tag included. Types have limits of their own below that.
    pub payload_len_max: u32,
    /// The host closes the session then with [`crate::reaction::CloseCode::Rehandshake`]; at most [`SESSION_MS_MAX`] after M4.
    pub expires_at: UnixMillis,
}

/// The host's unauthenticated hint that there will be no handshake now.
///
/// A client waits, with jitter and at most five minutes; it never changes its clock, its offer or its credential because of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Why.
    pub code: RejectCode,
    /// When to try again, in seconds.
    pub retry_after_s: u16,
}

impl Reject {
    /// Bytes of the frame.
    pub const FRAME_LEN: usize = HEADER_LEN + 3;

    /// The whole frame. At most one per connection, and only before M2.
    #[must_use]
    pub fn encode(&self, now: UnixMillis) -> [u8; Self::FRAME_LEN] {
        let header = Header { payload_len: 3, hmac: [0; 32], epoch: 0, seq: 0, msg_type: MsgType::Reject.to_wire(), timestamp: now };
        let mut frame = [0; Self::FRAME_LEN];
        frame[..HEADER_LEN].copy_from_slice(&header.encode());
        frame[HEADER_LEN] = self.code as u8;
        frame[HEADER_LEN + 1..].copy_from_slice(&self.retry_after_s.to_be_bytes());
        frame
    }

    fn parse(header: &Header, payload: &[u8]) -> Option<Self> {
        let &[code, high, low] = payload else { return None };
        (header.hmac == [0; 32]).then_some(())?;
        Some(Self { code: RejectCode::from_wire(code)?, retry_after_s: u16::from_be_bytes([high, low]) })
    }
}

/// X25519; refuses a result to which one side did not contribute.
fn agree(ephemeral: &x25519_dalek::StaticSecret, share: &[u8; 32]) -> Result<Zeroizing<[u8; 32]>, HandshakeError> {
    let shared = ephemeral.diffie_hellman(&x25519_dalek::PublicKey::from(*share));
    if !shared.was_contributory() {
        return Err(HandshakeError::WeakShare);
    }
    Ok(Zeroizing::new(shared.to_bytes()))
}
