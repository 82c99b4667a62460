//! What the game side wants said, and to whom. Effects are values: they leave after the transaction that justifies them has committed.

use ladder::id::{PlayerId, ServerId};
use ladder::reason::Reason;
use protocol::message::{ToGameServer, ToPlayer, v1};

use crate::net::peer::ServerPeer;

/// The way to everybody who is connected. Implemented by the registry of sessions; tests listen in.
///
/// Sending never waits: a message to somebody who is not connected, or who reads too slowly, is lost, and is derived again from stored
/// state when that peer comes back.
pub trait Outboxes: Send + Sync {
    /// Puts a message into a game server's outbox; `false` if it is not connected.
    fn send_to_server(&self, server: ServerId, message: &ToGameServer) -> bool;
    /// Puts a message into a player's outbox; `false` if the player is not connected.
    fn send_to_player(&self, player: PlayerId, message: &ToPlayer) -> bool;
    /// Ends this session of a game server with Close 6: the host cannot do its part now, and the game server should come back after
    /// `retry_after_ms`. `false` if the session is over already, as it always is where nobody connects.
    fn overload_server(&self, _server: &ServerPeer, _retry_after_ms: u32) -> bool {
        false
    }
}

/// One message that is due.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Effect {
    /// To a game server.
    Server(ServerId, ToGameServer),
    /// To a player.
    Player(PlayerId, ToPlayer),
}

impl Effect {
    pub(super) fn to_server(server: ServerId, message: impl Into<ToGameServer>) -> Self {
        Self::Server(server, message.into())
    }

    pub(super) fn to_player(player: PlayerId, message: impl Into<ToPlayer>) -> Self {
        Self::Player(player, message.into())
    }

    /// Nobody will play this match on that game server (any more).
    pub(super) fn match_voided(server: ServerId, match_id: u64, reason: &Reason) -> Self {
        Self::to_server(server, v1::MatchVoided { match_id, reason: Some(wire_reason(reason)) })
    }

    /// That message of a player was not carried out.
    pub(super) fn refusal(player: PlayerId, msg_type: protocol::message::MsgType, code: &str, detail: &str, retry_after_ms: u32) -> Self {
        let notice = Some(v1::Notice { code: code.to_owned(), detail: detail.to_owned() });
        Self::to_player(player, v1::Refusal { msg_type: u32::from(msg_type.to_wire()), notice, retry_after_ms })
    }
}

/// A reason for a game server.
pub(super) fn wire_reason(reason: &Reason) -> v1::Reason {
    v1::Reason { code: reason.code.clone(), detail: reason.detail.clone() }
}

/// A reason for a player.
pub(super) fn notice(reason: &Reason) -> v1::Notice {
    v1::Notice { code: reason.code.clone(), detail: reason.detail.clone() }
}
