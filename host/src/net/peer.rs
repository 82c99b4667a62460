//! Who is at the other end of a session, and what the sessions tell the game side about it.
//!
//! The session code below this module knows frames, keys and deadlines. What a message means is known behind [`Sessions`].

use std::fmt;
use std::future::Future;
use std::net::IpAddr;

use ladder::id::{PlayerId, ServerId};
use protocol::certificate::Scope;
use protocol::id::SessionId;
use protocol::message::{FromGameServer, FromPlayer};

/// A game server with an authenticated session, by a certificate that was in force when the session began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerPeer {
    /// The UUID of its certificate.
    pub server: ServerId,
    /// The name that the certificate gives it, whatever it calls itself. At most 64 bytes, untrusted text: escape it in logs.
    pub owner: String,
    /// What its certificate allows; the sessions enforce it before they hand a message on.
    pub scope: Scope,
    /// Names this session in every audit line.
    pub session_id: SessionId,
    /// Where the session comes from.
    pub address: IpAddr,
}

/// A player with an authenticated session, by a live login ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlayerPeer {
    /// Who.
    pub player: PlayerId,
    /// The account's name.
    pub name: String,
    /// Names this session in every audit line.
    pub session_id: SessionId,
    /// Where the session comes from.
    pub address: IpAddr,
}

/// The peer broke the rules of the conversation so badly that the session ends with Close 5.
///
/// For everything that a slow or confused peer may do in good faith there are answers on the channel (`Refusal`, `ReportRefused`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("peer misbehaved: {reason}")]
pub struct PeerMisbehaved {
    /// Kebab-case and stable: for the audit line, the counter and the close's text.
    pub reason: &'static str,
}

/// What the sessions tell the game side. Implemented by `play::Play`; the session code knows nothing else of it.
///
/// Calls of one session come one after the other, each after the previous future is done: opened, any number of messages, closed. A slow
/// answer is therefore back-pressure on that one peer. Calls of different sessions come at the same time. When a newer session of the same
/// identity replaced an older one, the older one's `closed` may come after the newer one's `opened`: compare the `session_id`.
pub trait Sessions: Send + Sync + 'static {
    /// A game server's session began and can be sent to.
    fn server_opened(&self, server: &ServerPeer) -> impl Future<Output = ()> + Send;

    /// A game server said something that its certificate's scope allows it to say.
    ///
    /// # Errors
    /// The peer's fault: the session is closed with code 5.
    fn server_message(&self, server: &ServerPeer, message: FromGameServer) -> impl Future<Output = Result<(), PeerMisbehaved>> + Send;

    /// A game server's session is over, for the stated reason.
    fn server_closed(&self, server: &ServerPeer, ending: Ending) -> impl Future<Output = ()> + Send;

    /// A player's session began and can be sent to.
    fn player_opened(&self, player: &PlayerPeer) -> impl Future<Output = ()> + Send;

    /// A player said something.
    ///
    /// # Errors
    /// The peer's fault: the session is closed with code 5.
    fn player_message(&self, player: &PlayerPeer, message: FromPlayer) -> impl Future<Output = Result<(), PeerMisbehaved>> + Send;

    /// A player's session is over, for the stated reason.
    fn player_closed(&self, player: &PlayerPeer, ending: Ending) -> impl Future<Output = ()> + Send;
}

/// How a session ended, as the audit line, the counters and the game side need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The peer closed with an authenticated close.
    ClosedByPeer,
    /// The peer's socket ended without one: a crash, a broken network or somebody in between.
    Truncated,
    /// The peer fell silent, or was too slow to read or to finish a frame.
    TimedOut,
    /// The peer broke the protocol.
    Misbehaved,
    /// A newer session of the same identity took over.
    Replaced,
    /// The certificate or the login is dead: revoked, expired, or its key epoch retired. Nothing that was said after that was used.
    CredentialDead,
    /// The session was as old as it may get; the peer connects again.
    Rehandshake,
    /// This host stops, or sheds load.
    ClosedByHost,
}

impl Ending {
    /// Kebab-case name for logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ClosedByPeer => "closed-by-peer",
            Self::Truncated => "truncated",
            Self::TimedOut => "timed-out",
            Self::Misbehaved => "misbehaved",
            Self::Replaced => "replaced",
            Self::CredentialDead => "credential-dead",
            Self::Rehandshake => "rehandshake",
            Self::ClosedByHost => "closed-by-host",
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
