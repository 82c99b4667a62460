//! What a game server says, reports apart: heartbeats, acknowledgements, starts, who came and went, lines for the operator.
//!
//! Everything is a claim. A game server may speak about the matches that it hosts and no others; what it says beside that changes nothing,
//! is counted, and ends the session if it goes on.

use std::time::Duration;

use ladder::id::{MatchId, PlayerId};
use ladder::reason::{Reason, code};
use protocol::message::{FromGameServer, v1};

use super::board::Start;
use super::budget::Rate;
use super::effect::Effect;
use super::{Play, log_entries};
use crate::metrics::{Alert, AlertLabels};
use crate::net::peer::{PeerMisbehaved, ServerPeer};

/// Mistakes that one game server may make before its session ends. An honest one makes a few after a crash or a lost race.
const MISTAKES: Rate = Rate { burst: 60, period: Duration::from_secs(60) };

/// Why a message of a game server changed nothing.
pub(super) struct Ignored {
    /// Kebab-case and stable.
    pub(super) reason: &'static str,
}

impl Play {
    pub(super) async fn handle_server_message(&self, peer: &ServerPeer, message: FromGameServer) -> Result<(), PeerMisbehaved> {
        let name = message.msg_type();
        let outcome = match message {
            FromGameServer::MatchReport(report) => return self.handle_report(peer, report).await,
            FromGameServer::Heartbeat(beat) => {
                self.handle_heartbeat(peer, &beat);
                Ok(())
            }
            FromGameServer::AllowlistAck(ack) => self.handle_ack(peer, ack).await,
            FromGameServer::MatchStarted(v1::MatchStarted { match_id }) => self.handle_started(peer, MatchId(match_id)).await,
            FromGameServer::PlayerJoined(v1::PlayerJoined { match_id, player_id }) => {
                self.handle_presence(peer, MatchId(match_id), PlayerId(player_id), true).await
            }
            FromGameServer::PlayerLeft(v1::PlayerLeft { match_id, player_id }) => {
                self.handle_presence(peer, MatchId(match_id), PlayerId(player_id), false).await
            }
            FromGameServer::LogEntries(v1::LogEntries { entries }) => {
                log_entries::write(&self.board, peer, &entries, self.clock.now());
                Ok(())
            }
        };
        match outcome {
            Ok(()) => Ok(()),
            Err(Ignored { reason }) => {
                tracing::warn!(session = %peer.session_id, server = %peer.server, message = ?name, reason, "ignored a game server's message");
                self.note_mistake(peer)
            }
        }
    }

    /// Counts a mistake of a game server.
    ///
    /// # Errors
    /// One too many: the session ends.
    pub(super) fn note_mistake(&self, peer: &ServerPeer) -> Result<(), PeerMisbehaved> {
        let over = self.board().strike(peer.server, MISTAKES, self.clock.now());
        over.map_err(|_wait| PeerMisbehaved { reason: "too-many-mistakes" })
    }

    fn handle_heartbeat(&self, peer: &ServerPeer, beat: &v1::Heartbeat) {
        let now = self.clock.now();
        let (mismatch, effects) = {
            let mut board = self.board();
            (board.note_claimed_name(peer, &beat.name), board.handle_heartbeat(peer, beat, now))
        };
        if mismatch {
            // The certificate's owner is the name in force, and the acknowledgement says so.
            self.metrics.alerts.get_or_create(&AlertLabels { alert: Alert::NameMismatch }).inc();
            let claimed: String = beat.name.chars().take(64).flat_map(char::escape_debug).collect();
            let (session, server, owner) = (peer.session_id, peer.server, peer.owner.escape_debug());
            tracing::warn!(%session, %server, %owner, claimed, reason = "name-mismatch", "a game server claims another name");
        }
        self.deliver(effects);
    }

    /// Whether the sender hosts this match; `false`: nobody does, for instance because it is over.
    fn check_hosts(&self, peer: &ServerPeer, match_id: MatchId) -> Result<bool, Ignored> {
        let board = self.board();
        match board.hosts(peer.server, match_id) {
            true => Ok(true),
            false if board.is_open(match_id) => Err(Ignored { reason: "foreign-match" }),
            false => Ok(false),
        }
    }

    async fn handle_started(&self, peer: &ServerPeer, match_id: MatchId) -> Result<(), Ignored> {
        if !self.check_hosts(peer, match_id)? {
            // It was away when the match ended without a result, and says after its return what it still believes.
            let over = Reason::new(code::MATCH_EXPIRED, "the match is over");
            self.deliver(vec![Effect::match_voided(peer.server, match_id.0, &over)]);
            return Ok(());
        }
        let start = self.board().start_of(match_id);
        match start {
            Start::First => {}
            Start::Again => return Ok(()),
            Start::TooEarly => return Err(Ignored { reason: "wrong-state" }),
        }
        let now = self.clock.now();
        match self.store.start_match(match_id, peer.server, now).await {
            Ok(Ok(())) => {
                self.board().started(match_id, now);
                Ok(())
            }
            Ok(Err(_refusal)) => Err(Ignored { reason: "wrong-state" }),
            Err(error) => {
                // The start is a detail: the report ends the match as well, started or not. But a match that runs is not voided as one that
                // did not start in time.
                tracing::error!(session = %peer.session_id, %match_id, error = %error, "the start of a match was not stored");
                self.board().started(match_id, now);
                Ok(())
            }
        }
    }

    async fn handle_presence(&self, peer: &ServerPeer, match_id: MatchId, player: PlayerId, came: bool) -> Result<(), Ignored> {
        if !self.check_hosts(peer, match_id)? {
            // Players leave after the end of a match as well.
            return Ok(());
        }
        let now = self.clock.now();
        let stored = if came {
            self.store.player_joined(match_id, peer.server, player, now).await
        } else {
            self.store.player_left(match_id, peer.server, player, now).await
        };
        match stored {
            Ok(Ok(())) => Ok(()),
            Ok(Err(store::MatchRefusal::UnknownPlayer { .. })) => Err(Ignored { reason: "unknown-player" }),
            Ok(Err(_refusal)) => Err(Ignored { reason: "wrong-state" }),
            Err(error) => {
                tracing::error!(session = %peer.session_id, %match_id, error = %error, "a player's coming or going was not stored");
                Ok(())
            }
        }
    }
}
