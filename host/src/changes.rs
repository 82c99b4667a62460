//! What reports changed, for ratings that were built in memory: written while the host serves, a few reports at a time.
//!
//! Another process may have built them (`ranked ledger replay`, `ranked incident rollback`), so every queue is looked at again and again.

use std::time::Duration;

use ladder::id::QueueId;
use store::{ChangesBackfill, ChangesStep, Store, StoreError};
use tokio_util::sync::CancellationToken;

/// Between two steps: the reports of players come first.
const PAUSE: Duration = Duration::from_millis(10);
/// Between two looks when nothing is missing.
const IDLE: Duration = Duration::from_secs(1);

/// One queue.
struct Queue {
    id: QueueId,
    /// `None` while a step runs, or after one that broke.
    backfill: Option<ChangesBackfill>,
    /// Rows of generations that nobody goes back to may be left.
    forgets: bool,
}

/// Writes what is missing, for every queue, until `stop`.
pub(crate) async fn run(store: Store, queues: Vec<QueueId>, stop: CancellationToken) {
    let mut queues: Vec<_> = queues.into_iter().map(|id| Queue { id, backfill: None, forgets: false }).collect();
    loop {
        let mut busy = false;
        for queue in &mut queues {
            match queue.step(&store).await {
                Ok(worked) => busy |= worked,
                Err(error) => tracing::warn!(queue = %queue.id, %error, code = error.code(), "changes of ratings were not written"),
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(if busy { PAUSE } else { IDLE }) => {}
        }
    }
}

impl Queue {
    /// Whether there was something to do.
    async fn step(&mut self, store: &Store) -> Result<bool, StoreError> {
        let mut backfill = self.backfill.take().unwrap_or_else(|| store.changes_backfill(self.id));
        let stepped = tokio::task::spawn_blocking(move || (backfill.advance(), backfill)).await;
        let Ok((step, backfill)) = stepped else { return Ok(false) };
        self.backfill = Some(backfill);
        match step? {
            ChangesStep::Advanced(_) => {
                self.forgets = true;
                Ok(true)
            }
            ChangesStep::Complete | ChangesStep::Stuck => {
                self.forgets = self.forgets && store.forget_old_generations(self.id).await?;
                Ok(self.forgets)
            }
        }
    }
}
