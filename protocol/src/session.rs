//! An authenticated connection: two independent directions and what both ends know about it.

use ladder::time::UnixMillis;

use crate::frame::PeerClock;
use crate::handshake::SessionParams;
use crate::id::SessionId;
use crate::message::{Channel, Direction};
use crate::record::{Opener, Sealer};
use crate::schedule::{Secret, SessionSecrets};

/// Which end this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Client,
    Server,
}

/// A finished handshake. Only the last step of [`crate::handshake`] makes one.
pub struct Established {
    session: Session,
    sealer: Sealer,
    opener: Opener,
}

/// What both ends know about their session.
pub struct Session {
    session_id: SessionId,
    params: SessionParams,
    exporter: Secret,
}

impl Established {
    pub(crate) fn new(
        role: Role,
        channel: Channel,
        params: SessionParams,
        secrets: SessionSecrets,
        clock: PeerClock,
        now: UnixMillis,
    ) -> Self {
        let SessionSecrets { client_traffic, server_traffic, exporter, session_id } = secrets;
        let (out, sent, received) = match role {
            Role::Client => (Direction::ClientToServer, client_traffic, server_traffic),
            Role::Server => (Direction::ServerToClient, server_traffic, client_traffic),
        };
        let payload_len_max = params.payload_len_max;
        Self {
            session: Session { session_id, params, exporter },
            sealer: Sealer::new(channel, out, payload_len_max, sent, now),
            opener: Opener::new(channel, out.reverse(), payload_len_max, received, clock),
        }
    }

    /// The session and its directions, each of which may move into a task of its own.
    #[must_use]
    pub fn split(self) -> (Session, Sealer, Opener) {
        (self.session, self.sealer, self.opener)
    }

    /// What both ends know about their session.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.session
    }
}

impl Session {
    /// Names this session in every audit line; computed by both ends, never sent.
    #[must_use]
    pub fn session_id(&self) -> SessionId {
        self.session_id
    }

    /// The terms that the host dictated.
    #[must_use]
    pub fn params(&self) -> SessionParams {
        self.params
    }

    /// 32 secret bytes that only the two ends of this session share, for capabilities bound to it. Never for a log line.
    #[must_use]
    pub fn exporter(&self) -> &[u8; 32] {
        &self.exporter
    }
}
