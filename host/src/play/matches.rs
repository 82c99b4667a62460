//! The life of an open match: its game server acknowledges the allowlist, its players learn where to connect; or it moves, returns to the
//! queue, or is voided.
//!
//! Each step is one transaction of the store, and what it means for others is told after its commit. That players are told only after the
//! acknowledgement is a matter of types: an `Assignment` is made of a [`ladder::matches::Seat`], which only an
//! [`ladder::matches::AdmittedMatch`] has.

use ladder::id::{MatchId, PlayerId};
use ladder::matches::{AdmittedMatch, PendingMatch};
use ladder::reason::{Reason, code};
use protocol::message::v1;
use store::AdmitRefusal;

use super::Play;
use super::board::{AckIgnored, Phase, Relocation};
use super::s2s::Ignored;
use crate::metrics::{MatchEnd, MatchEndLabels};
use crate::net::peer::ServerPeer;

impl Play {
    /// A game server answers an allowlist.
    pub(super) async fn handle_ack(&self, peer: &ServerPeer, ack: v1::AllowlistAck) -> Result<(), Ignored> {
        let match_id = MatchId(ack.match_id);
        if ack.accepted { self.admit(peer, match_id).await } else { self.handle_rejection(peer, match_id, &ack.reason).await }
    }

    async fn admit(&self, peer: &ServerPeer, match_id: MatchId) -> Result<(), Ignored> {
        let begun = self.board().begin_admission(match_id, peer.server);
        let admitted = match begun {
            Ok(admitted) => admitted,
            Err(AckIgnored::Repeated) => return Ok(()),
            Err(why) => return Err(ignored(why)),
        };
        let now = self.clock.now();
        match self.store.admit_match(&admitted, now).await {
            Ok(Ok(())) => {
                let effects = self.board().admitted(admitted, now);
                self.deliver(effects);
                Ok(())
            }
            Ok(Err(refusal @ AdmitRefusal::CertificateDead { .. })) => {
                // Nobody is told where to connect: the match goes to another game server.
                tracing::warn!(%match_id, error = %refusal, "an acknowledged match was not admitted");
                self.board().put_back(match_id, Phase::Pending(still_pending(&admitted)), now);
                self.move_match(match_id, &Reason::new(code::CERTIFICATE_DEAD, "the game server's certificate is not in force")).await;
                Err(Ignored { reason: code::CERTIFICATE_DEAD })
            }
            Ok(Err(refusal)) => {
                // The store knows better than the board: the match is over.
                tracing::warn!(%match_id, error = %refusal, "an acknowledged match was not admitted");
                self.board().closed(match_id);
                Err(Ignored { reason: "wrong-state" })
            }
            Err(error) => {
                tracing::error!(%match_id, error = %error, "an acknowledgement was not stored");
                self.board().put_back(match_id, Phase::Pending(still_pending(&admitted)), now);
                Ok(())
            }
        }
    }

    async fn handle_rejection(&self, peer: &ServerPeer, match_id: MatchId, why: &str) -> Result<(), Ignored> {
        if !self.board().hosts(peer.server, match_id) {
            return Err(Ignored { reason: "foreign-match" });
        }
        let why: String = why.chars().take(256).flat_map(char::escape_debug).collect();
        tracing::info!(session = %peer.session_id, %match_id, why, reason = code::ALLOWLIST_REFUSED, "a game server refused a match");
        self.move_match(match_id, &Reason::new(code::ALLOWLIST_REFUSED, "the game server refused the match")).await;
        Ok(())
    }

    /// Gives a match that was not acknowledged to another game server of its region; if there is none, its players return to the queue.
    pub(super) async fn move_match(&self, match_id: MatchId, because: &Reason) {
        let Some((pending, relocation)) = self.board().begin_move(match_id) else { return };
        let Relocation::To(berth) = relocation else { return self.requeue(pending, because).await };
        let now = self.clock.now();
        match self.store.move_match(match_id, berth.server, berth.capacity).await {
            Ok(Ok(moved)) => {
                tracing::info!(%match_id, to = %berth.server, reason = because.code, "moved a match");
                let effects = self.board().moved(moved, because, now);
                self.deliver(effects);
            }
            Ok(Err(refusal)) => {
                tracing::debug!(%match_id, error = %refusal, "a match was not moved");
                self.requeue(pending, because).await;
            }
            Err(error) => {
                tracing::error!(%match_id, error = %error, "a move was not stored");
                self.board().put_back(match_id, Phase::Pending(pending), now);
            }
        }
    }

    async fn requeue(&self, pending: PendingMatch, because: &Reason) {
        let (match_id, now) = (pending.match_id, self.clock.now());
        match self.store.requeue_match(match_id, because.clone(), now).await {
            Ok(Some(tickets)) => {
                tracing::info!(%match_id, reason = because.code, "a match failed before it began; its players wait again");
                self.count_end(&pending, MatchEnd::Requeued);
                let effects = self.board().requeued(match_id, &tickets, because, now);
                self.deliver(effects);
            }
            Ok(None) => self.board().closed(match_id),
            Err(error) => {
                tracing::error!(%match_id, error = %error, "a return to the queue was not stored");
                self.board().put_back(match_id, Phase::Pending(pending), now);
            }
        }
    }

    /// Ends a match without a result and says why.
    pub(super) async fn void_match(&self, match_id: MatchId, because: &Reason) {
        let Some(phase) = self.board().begin_void(match_id) else { return };
        let now = self.clock.now();
        match self.store.void_match(match_id, because.clone(), now).await {
            Ok(Some(_voided)) => {
                tracing::info!(%match_id, reason = because.code, "voided a match");
                phase.details().into_iter().for_each(|details| self.count_end(details, MatchEnd::Voided));
                let effects = self.board().voided(match_id, because);
                self.deliver(effects);
            }
            // It was reported in the same moment.
            Ok(None) => self.board().closed(match_id),
            Err(error) => {
                tracing::error!(%match_id, error = %error, "the end of a match was not stored");
                self.board().put_back(match_id, phase, now);
            }
        }
    }

    /// A waiting player who stayed away leaves the queue.
    pub(super) async fn leave_queue(&self, player: PlayerId) {
        match self.store.dequeue(player).await {
            Ok(Some(left)) => {
                let gone = Reason::new("disconnected", "somebody of this queue ticket was away for too long");
                let effects = self.board().left_queue(left.ticket, &left.members, &gone);
                self.deliver(effects);
            }
            // Being matched in this moment: the match decides.
            Ok(None) => {}
            Err(error) => tracing::error!(%player, error = %error, "a queue ticket was not taken back"),
        }
    }

    pub(super) fn count_end(&self, details: &PendingMatch, end: MatchEnd) {
        if let Some((_, queue)) = self.queue_of(details.queue) {
            self.metrics.matches_ended.get_or_create(&MatchEndLabels { queue: queue.name().to_owned(), end }).inc();
        }
    }
}

/// A match whose acknowledgement was not stored is as it was before.
fn still_pending(admitted: &AdmittedMatch) -> PendingMatch {
    let PendingMatch { match_id, queue, server, roster } = admitted.details();
    PendingMatch { match_id: *match_id, queue: *queue, server: *server, roster: roster.clone() }
}

fn ignored(why: AckIgnored) -> Ignored {
    let reason = match why {
        AckIgnored::Unknown => "unknown-match",
        AckIgnored::ForeignMatch => "foreign-match",
        AckIgnored::NotPending | AckIgnored::Repeated => "wrong-state",
    };
    Ignored { reason }
}
