//! Why a handshake failed, and what a stranger learns of it: nothing.

use crate::bytes::Malformed;
use crate::certificate::CertificateError;
use crate::frame::FrameError;
use crate::reaction::{Reaction, RejectCode};
use crate::signature::WrongSignature;

use super::Reject;

/// A handshake ended. Except where a variant says so, it is the peer's fault, or that of somebody in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The frame was refused.
    #[error("the frame was refused")]
    Frame(#[from] FrameError),
    /// A message is not what its type says.
    #[error("the message is malformed")]
    Malformed(#[from] Malformed),
    /// The client means another community.
    #[error("the hello is for another realm")]
    WrongRealm,
    /// The client means the other channel.
    #[error("the hello is for another channel")]
    WrongChannel,
    /// The client offers no version that this host speaks; it is told so.
    #[error("no version in common")]
    NoCommonVersion,
    /// The client offers no suite that this host speaks, or the host chose one that was not offered.
    #[error("no suite in common")]
    NoCommonSuite,
    /// The identity is unknown, or who claims it does not have its auth key. Nobody outside can tell which.
    #[error("the hello is not authentic")]
    HelloNotAuthentic,
    /// An authentic hello from a clock that is off; the client is told so. An operator's fault, on either side.
    #[error("the client's clock is off")]
    HelloClockSkew(#[source] FrameError),
    /// The other end's ephemeral key would make the shared secret predictable.
    #[error("the ephemeral share is degenerate")]
    WeakShare,
    /// A proof of possession is wrong: the peer does not know what it must.
    #[error("a proof does not verify")]
    WrongProof,
    /// The transcript's signature is not that of the key that the certificate names.
    #[error("the transcript's signature does not verify")]
    WrongSignature(#[from] WrongSignature),
    /// A certificate is not believed.
    #[error("the certificate is not believed")]
    Certificate(#[from] CertificateError),
    /// The credential in M3 is not the one that M1 spoke of.
    #[error("the credential does not belong to the identity of the hello")]
    WrongIdentity,
    /// The certificate belongs to a secret other than the stored one: somebody changed the database.
    #[error("the certificate does not belong to the stored secret")]
    WrongSecret,
    /// The chosen version is below what the certificate asks for.
    #[error("the certificate asks for protocol version {min_protocol}")]
    VersionTooLow {
        /// Lowest version that the certificate allows.
        min_protocol: u8,
    },
    /// The host does not want a handshake now. A hint, unauthenticated.
    #[error("the host rejected the hello: {:?}, retry after {} s", .0.code, .0.retry_after_s)]
    Rejected(Reject),
}

impl HandshakeError {
    /// What to do about it before the session is established. Never says which check failed.
    #[must_use]
    pub fn reaction(&self) -> Reaction {
        match self {
            Self::NoCommonVersion => Reaction::Reject(RejectCode::Version),
            Self::HelloClockSkew(_) => Reaction::Reject(RejectCode::ClockSkew),
            _ => Reaction::CloseSilently,
        }
    }
}
