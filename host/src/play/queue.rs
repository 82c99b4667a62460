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

use crate::current::Current;
use crate::play::recorder::Recorder;

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

/// What one queue plays by. Its plugins are exchanged while it plays: between two reports, between two ticks. The rating engine is not called
/// here: the store does that, inside the transaction that accepts a report.
pub struct PlayQueue {
    /// Its number in the store.
    pub id: QueueId,
    /// Names and sizes. They stay as long as the host runs.
    pub shape: QueueShape,
    pub(crate) recorder: Arc<Recorder>,
    reviewing: Current<Reviewing>,
    matching: Current<Matching>,
    /// The rating engine's way out of quarantine; `None`: only an operator ends it.
    rating: Current<Option<Arc<dyn Quarantine>>>,
}

/// What one report is reviewed with: rules and bounds of one and the same plugin.
pub struct Reviewing {
    /// Looks at the claims of game servers.
    pub rules: Arc<dyn StatRules>,
    /// What holds whatever the rules say: the operator's bounds, narrowed by those that the rules declare.
    pub bounds: StatBounds,
}

/// What one tick is decided with.
pub struct Matching {
    /// Proposes matches.
    pub policy: Arc<dyn MatchmakingPolicy>,
    /// Proposes matches while `policy` is in quarantine; `None`: players wait.
    pub fallback: Option<Arc<dyn MatchmakingPolicy>>,
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
        Self {
            id,
            shape,
            recorder: Arc::default(),
            reviewing: Current::new(Arc::new(Reviewing { rules, bounds })),
            matching: Current::new(Arc::new(Matching { policy, fallback: fallback_policy })),
            rating: Current::new(Arc::new(None)),
        }
    }

    /// With a rating engine that is tried again now and then while it is in quarantine and reports wait for it.
    #[must_use]
    pub fn with_rating(self, rating: Arc<dyn Quarantine>) -> Self {
        self.swap_rating(rating);
        self
    }

    /// The queue's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shape.queue
    }

    /// What the next report is reviewed with.
    #[must_use]
    pub fn reviewing(&self) -> Arc<Reviewing> {
        self.reviewing.load()
    }

    /// What the next tick is decided with.
    #[must_use]
    pub fn matching(&self) -> Arc<Matching> {
        self.matching.load()
    }

    /// The rating engine's way out of quarantine.
    pub(super) fn rating(&self) -> Option<Arc<dyn Quarantine>> {
        self.rating.load().as_ref().clone()
    }

    /// The next report is reviewed by these rules, within these bounds.
    pub fn swap_rules(&self, rules: Arc<dyn StatRules>, outer_bounds: &BTreeMap<String, Bound>) {
        let bounds = StatBounds::new(&self.shape, outer_bounds, rules.bounds());
        self.reviewing.replace(Arc::new(Reviewing { rules, bounds }));
    }

    /// The next tick is decided by this policy; one that is under way ends with the old one.
    pub fn swap_policy(&self, policy: Arc<dyn MatchmakingPolicy>, fallback: Option<Arc<dyn MatchmakingPolicy>>) {
        self.matching.replace(Arc::new(Matching { policy, fallback }));
    }

    /// This rating engine is the one in force.
    pub fn swap_rating(&self, rating: Arc<dyn Quarantine>) {
        self.rating.replace(Arc::new(Some(rating)));
    }
}
