//! What has waited for too long: allowlists, game servers, matches, players, and reports that wait for their rating engine.

use std::time::Duration;

use futures_util::StreamExt as _;
use ladder::fault::PluginFault;
use ladder::id::MatchId;
use store::{RatedWaiting, RatingChange};

use super::Play;
use super::board::{Counts, Due};
use super::budget::Rate;
use super::effect::Effect;
use super::reports::rated_ending;
use crate::metrics::{ActiveState, ByQueue, MatchLabels};

/// Decisions under way at the same time: the loss of a large game server makes hundreds, and the store bounds how many may wait.
const DECISIONS_MAX: usize = 64;
/// Reports of one queue that are rated in one turn once the engine works again: then other queues have theirs.
const BACKLOG_TURN_MAX: u32 = 256;
/// How often a rating engine in quarantine is tried.
const PROBES: Rate = Rate { burst: 1, period: Duration::from_secs(60) };

impl Play {
    /// Ends everything whose time is over. The decisions do not depend on each other, so those that are made together share a commit.
    pub async fn sweep(&self) {
        let due = self.board().due(self.clock.now());
        futures_util::stream::iter(due).for_each_concurrent(DECISIONS_MAX, |due| self.settle(due)).await;
        self.note_counts();
    }

    async fn settle(&self, due: Due) {
        match due {
            Due::Move(match_id, because) => self.move_match(match_id, &because).await,
            Due::Void(match_id, because) => self.void_match(match_id, &because).await,
            Due::Leave(player) => self.leave_queue(player).await,
        }
    }

    /// Rates what had to wait for an engine that faulted, in journal order, as far as it works now; the players hear of it.
    ///
    /// An engine in quarantine would never show that it works again, because nobody calls it: now and then it is tried all the same.
    pub async fn rate_backlog(&self) {
        for (index, queue) in self.queues.iter().enumerate() {
            let fault = self.rate_waiting(index).await;
            let (Some(PluginFault::Quarantined { .. }), Some(rating)) = (fault, queue.rating()) else { continue };
            if self.board().may_probe_rating(index, PROBES, self.clock.now()) {
                tracing::info!(queue = queue.name(), "tries a rating engine that is in quarantine");
                rating.reset_quarantine();
                self.rate_waiting(index).await;
            }
        }
    }

    /// Shows the matchmaker the ratings that the store has now for everybody who waits in the queue with this index.
    pub async fn refresh_ratings(&self, index: usize) {
        let Some(queue) = self.queues.get(index) else { return };
        match self.store.load_waiting(queue.id).await {
            Ok(waiting) => {
                let mut board = self.board();
                let mirror = &mut board.queue(index).mirror;
                waiting.iter().for_each(|ticket| mirror.refresh(ticket));
            }
            Err(error) => tracing::warn!(queue = queue.name(), %error, "waiting players are matched by older ratings"),
        }
    }

    /// Rates as much of one queue's backlog as its engine can and one turn may, in short transactions; returns what stopped it.
    async fn rate_waiting(&self, index: usize) -> Option<PluginFault> {
        let mut left = BACKLOG_TURN_MAX;
        while left > 0 {
            let RatedWaiting { rated, reset, waits, fault } = self.rate_step(index, left).await;
            if !waits || fault.is_some() || (rated.is_empty() && !reset) {
                return fault.map(|(_, fault)| fault);
            }
            left = left.saturating_sub(u32::try_from(rated.len()).unwrap_or(u32::MAX));
        }
        None
    }

    /// One transaction; the players hear what it rated.
    async fn rate_step(&self, index: usize, max: u32) -> RatedWaiting {
        let queue = &self.queues[index];
        match self.store.rate_waiting(queue.id, max).await {
            Ok(Ok(step)) => {
                if let Some((seq, fault)) = &step.fault {
                    tracing::warn!(queue = queue.name(), %seq, reason = fault.code(), error = %fault, "a report still waits for its rating");
                }
                if !step.rated.is_empty() {
                    tracing::info!(queue = queue.name(), rated = step.rated.len(), "rated reports that had waited for their engine");
                }
                if !step.rated.is_empty() || (step.reset && !step.waits) {
                    self.refresh_ratings(index).await;
                }
                for (_, match_id, changes) in &step.rated {
                    let Some(match_id) = match_id else { continue };
                    self.tell_rated(&[(*match_id, changes.clone())]);
                }
                return step;
            }
            // The queue's engine is being installed or was exchanged by another process: the next turn looks again.
            Ok(Err(why)) => tracing::debug!(queue = queue.name(), error = %why, "the backlog of ratings waits"),
            Err(error) => tracing::error!(queue = queue.name(), error = %error, "the backlog of ratings could not be looked at"),
        }
        RatedWaiting::default()
    }

    /// Tells the players of matches that had to wait how they were rated.
    pub fn tell_rated(&self, matches: &[(MatchId, Vec<RatingChange>)]) {
        for (match_id, changes) in matches {
            let told = changes.iter().map(|change| Effect::to_player(change.player, rated_ending(*match_id, change)));
            self.deliver(told.collect());
        }
    }

    fn note_counts(&self) {
        for (index, queue) in self.queues.iter().enumerate() {
            let Counts { tickets, players, pending, admitted, live } = self.board().count(index);
            let by_queue = ByQueue::new(queue.name());
            self.metrics.queue_waiting.get_or_create(&by_queue).set(gauge(tickets));
            self.metrics.players_waiting.get_or_create(&by_queue).set(gauge(players));
            for (state, count) in [(ActiveState::Pending, pending), (ActiveState::Admitted, admitted), (ActiveState::Live, live)] {
                self.metrics.matches_active.get_or_create(&MatchLabels { queue: queue.name().to_owned(), state }).set(gauge(count));
            }
        }
    }
}

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
