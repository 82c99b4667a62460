//! The start: what the store holds is put on the board, and everything that is due follows from it when its peers come back.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use ladder::id::PlayerId;
use ladder::matches::{AdmittedMatch, MatchState};
use ladder::reason::{Reason, code};
use store::{ActiveMatch, StoreError, WaitingTicket};

use super::board::{Board, Phase};
use super::{Play, PlayParts};

impl Play {
    /// Takes up the game side where the store says it stands.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn start(parts: PlayParts) -> Result<Arc<Self>, StoreError> {
        let PlayParts { queues, settings, store, outboxes, metrics, clock, join_key } = parts;
        let shapes = queues.iter().map(|queue| (queue.id, queue.shape.clone())).collect();
        let board = Mutex::new(Board::new(settings.clone(), join_key, shapes));
        let play = Self { queues, settings, store, outboxes, metrics, clock, board };
        play.recover().await?;
        Ok(Arc::new(play))
    }

    async fn recover(&self) -> Result<(), StoreError> {
        self.end_removed_queues().await?;
        let active = self.store.load_active_matches().await?;
        let mut waiting = Vec::with_capacity(self.queues.len());
        for queue in &self.queues {
            waiting.push(self.store.load_waiting(queue.id).await?);
        }
        self.recover_players(&active, &waiting).await?;
        let now = self.clock.now();
        let mut board = self.board();
        for (queue, tickets) in waiting.iter().enumerate() {
            for ticket in tickets {
                // Nobody is connected yet: there is nobody to tell.
                board.waits(queue, ticket, None, now);
            }
        }
        for ActiveMatch { state, details, region, opened_at, .. } in active {
            let Some(queue) = board.queue_index(details.queue) else { continue };
            let phase = match state {
                MatchState::Pending => Some(Phase::Pending(details)),
                MatchState::Live => AdmittedMatch::from_store(state, details).map(Phase::Live),
                state => AdmittedMatch::from_store(state, details).map(Phase::Admitted),
            };
            if let Some(phase) = phase {
                board.recovered(queue, region, phase, opened_at, now);
            }
        }
        Ok(())
    }

    /// A queue that `plugins.toml` does not have any more lets its players go.
    async fn end_removed_queues(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        let removed = Reason::new(code::OPERATOR, "the queue was removed");
        for open in self.store.load_active_matches().await? {
            if self.queue_of(open.details.queue).is_none() {
                tracing::warn!(match_id = %open.details.match_id, reason = removed.code, "voided a match of a queue that was removed");
                self.store.void_match(open.details.match_id, removed.clone(), now).await?;
            }
        }
        for (queue, name) in self.store.list_queues().await? {
            if self.queue_of(queue).is_some() {
                continue;
            }
            for ticket in self.store.load_waiting(queue).await? {
                if let Some(member) = ticket.members.first() {
                    tracing::warn!(queue = name, queue_ticket = %ticket.id, "took back a queue ticket of a queue that was removed");
                    self.store.dequeue(member.player).await?;
                }
            }
        }
        Ok(())
    }

    /// Names of everybody who waits or plays: game servers are told them.
    async fn recover_players(&self, active: &[ActiveMatch], waiting: &[Vec<WaitingTicket>]) -> Result<(), StoreError> {
        let playing = active.iter().flat_map(|open| open.details.roster.players().map(|(player, _)| player));
        let queued = waiting.iter().flatten().flat_map(|ticket| ticket.members.iter().map(|member| member.player));
        let players: BTreeSet<PlayerId> = playing.chain(queued).collect();
        for player in players {
            if let Ok(account) = self.store.load_account(player).await? {
                self.board().expect_player(player, &account.name, self.clock.now());
            }
        }
        Ok(())
    }
}
