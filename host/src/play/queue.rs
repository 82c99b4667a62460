//! One queue as the game side runs it: its shape and the plugins behind it.

use std::collections::BTreeMap;
use std::sync::Arc;

use ladder::id::QueueId;
use ladder::pool::MatchmakingPolicy;
use ladder::queue::QueueShape;
use ladder::report::StatBounds;
use ladder::rules::StatRules;
use ladder::stats::Bound;
use plugin_runtime::RatingPlugin;

/// A plugin that is not called any more after too many faults in a row.
pub trait Quarantine: Send + Sync {
    /// Calls it again, until it has faulted too often once more.
    fn reset_quarantine(&self);
}

impl Quarantine for RatingPlugin {
    fn reset_quarantine(&self) {
        self.reset_quarantine();
    }
}

/// What one queue plays by. The rating engine is not called here: the store does that, inside the transaction that accepts a report.
pub struct PlayQueue {
    /// Its number in the store.
    pub id: QueueId,
    /// Names and sizes.
    pub shape: QueueShape,
    /// Looks at the claims of game servers.
    pub rules: Arc<dyn StatRules>,
    /// What holds whatever the rules say: the operator's bounds, narrowed by those that the rules declare.
    pub bounds: StatBounds,
    /// Proposes matches.
    pub policy: Arc<dyn MatchmakingPolicy>,
    /// Proposes matches while `policy` is in quarantine; `None`: players wait.
    pub fallback_policy: Option<Arc<dyn MatchmakingPolicy>>,
    /// The rating engine's way out of quarantine; `None`: only an operator ends it.
    pub rating: Option<Arc<dyn Quarantine>>,
}

impl PlayQueue {
    /// Puts a queue together; `outer_bounds` are the operator's, by name of the statistic.
    #[must_use]
    pub fn new(
        id: QueueId,
        shape: QueueShape,
        rules: Arc<dyn StatRules>,
        outer_bounds: &BTreeMap<String, Bound>,
        policy: Arc<dyn MatchmakingPolicy>,
        fallback_policy: Option<Arc<dyn MatchmakingPolicy>>,
    ) -> Self {
        let bounds = StatBounds::new(&shape, outer_bounds, rules.bounds());
        Self { id, shape, rules, bounds, policy, fallback_policy, rating: None }
    }

    /// With a rating engine that is tried again now and then while it is in quarantine and reports wait for it.
    #[must_use]
    pub fn with_rating(self, rating: Arc<dyn Quarantine>) -> Self {
        Self { rating: Some(rating), ..self }
    }

    /// The queue's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shape.queue
    }
}
