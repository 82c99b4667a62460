//! Seasons of a running host: started when their time has come, and shown as `plugins.toml` says now.
//!
//! ```text
//! plugins.toml --(start, reload)--> Seasons --> pages: placements, decay, tiers
//!                                           --> SeasonStarter: due, and not on record? one entry of the journal --> the backlog: reset
//! ```
//!
//! A host that was down starts a season late, at its first look. What other processes start (`ranked season start`) is met by the store's
//! control generation; the reset itself is done by whoever rates the backlog.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use ladder::id::QueueId;
use ladder::season::{StandingRules, Tier};
use store::{ControlGeneration, NewSeason, Season, SeasonRefusal, Store, StoreError};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::{QueueConfig, SeasonConfig, StartingSeason};
use crate::play::Play;

/// Between two looks at the clock and at other processes.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Who starts the seasons of `plugins.toml`, in the journal.
const STARTED_BY: &str = "the host, as plugins.toml says";

/// What `plugins.toml` says now about the seasons of each queue, by the queue's name. Clones share it.
#[derive(Clone, Default)]
pub struct Seasons(Arc<RwLock<BTreeMap<String, QueueSeasons>>>);

/// The same of one queue.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QueueSeasons {
    /// The season that is to start, placements, decay.
    pub config: SeasonConfig,
    /// What visible ratings are called.
    pub tiers: Vec<Tier>,
}

impl QueueSeasons {
    /// How standings become a leaderboard.
    #[must_use]
    pub fn rules(&self) -> StandingRules {
        self.config.rules
    }

    /// The name of the tier of a visible rating.
    #[must_use]
    pub fn tier(&self, visible: f64) -> Option<String> {
        Tier::of(&self.tiers, visible).map(|tier| tier.name.clone())
    }
}

impl Seasons {
    /// What the queues of `plugins.toml` say.
    #[must_use]
    pub fn new(queues: &[QueueConfig]) -> Self {
        let seasons = Self::default();
        queues.iter().for_each(|queue| seasons.set(queue));
        seasons
    }

    /// What a queue says now, after the file was read again.
    pub fn set(&self, queue: &QueueConfig) {
        let said = QueueSeasons { config: queue.season.clone(), tiers: queue.tiers.clone() };
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(queue.name().to_owned(), said);
    }

    /// What is said of a queue; of one that is not in the file: no seasons.
    #[must_use]
    pub fn of(&self, queue: &str) -> QueueSeasons {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(queue).cloned().unwrap_or_default()
    }
}

/// Starts the season that a queue waits for, if its time has come and nobody has started it. `Ok(None)`: nothing was to be done.
///
/// # Errors
/// The environment's fault: nothing was started.
pub async fn start_due(store: &Store, queue: QueueId, seasons: &QueueSeasons, clock: &Clock) -> Result<Option<Season>, StoreError> {
    let Some(StartingSeason { name, starts_at, reset }) = seasons.config.starting.clone() else { return Ok(None) };
    let now = clock.now();
    if now < starts_at || store.find_season(queue, &name).await?.is_some() {
        return Ok(None);
    }
    let new = NewSeason { name, reset, starts_at, ended: seasons.rules(), by: STARTED_BY.to_owned() };
    match store.start_season(queue, new, now).await? {
        Ok(season) => Ok(Some(season)),
        // Another process was faster.
        Err(SeasonRefusal::AlreadyStarted { .. }) => Ok(None),
        Err(refusal) => {
            tracing::error!(error = %refusal, "a season does not start");
            Ok(None)
        }
    }
}

/// Starts seasons when they are due, and has their resets done at once, whoever started them.
pub(crate) struct SeasonStarter {
    pub(crate) seasons: Seasons,
    /// Number and name.
    pub(crate) queues: Vec<(QueueId, String)>,
    pub(crate) store: Store,
    pub(crate) play: Arc<Play>,
    pub(crate) clock: Clock,
}

impl SeasonStarter {
    /// Looks until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Seasons that are on record, so that the database is not asked again and again.
        let mut known = BTreeMap::new();
        let mut seen = None;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            if let Err(error) = self.look(&mut known, &mut seen).await {
                tracing::error!(%error, code = error.code(), "the database does not say which seasons have started");
            }
        }
    }

    async fn look(&self, known: &mut BTreeMap<QueueId, String>, seen: &mut Option<ControlGeneration>) -> Result<(), StoreError> {
        for (queue, name) in &self.queues {
            let seasons = self.seasons.of(name);
            let Some(due) = seasons.config.starting.as_ref().filter(|starting| starting.starts_at <= self.clock.now()) else { continue };
            if known.get(queue) == Some(&due.name) {
                continue;
            }
            if let Some(Season { number, name: season, seq, reset, .. }) = start_due(&self.store, *queue, &seasons, &self.clock).await? {
                let reset = reset.name();
                tracing::info!(target: "audit", event = "season-started", queue = name, number, season, %seq, reset, by = STARTED_BY);
            }
            known.insert(*queue, due.name.clone());
        }
        // A season that starts raises it, here and in any other process.
        let now = self.store.control_generation().await?;
        if seen.replace(now) != Some(now) {
            self.play.rate_backlog().await;
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use ladder::season::SeasonReset;
    use ladder::time::UnixMillis;
    use store::Options;

    #[tokio::test]
    async fn a_season_starts_when_its_time_has_come_and_never_again() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("ranked.db"), Options::default()).unwrap();
        let queue = store.ensure_queue("duel").await.unwrap();
        let starting = StartingSeason { name: "one".to_owned(), starts_at: UnixMillis(1_000), reset: SeasonReset::Hard };
        let config = SeasonConfig { starting: Some(starting), rules: StandingRules { placements: 3, decay: None } };
        let seasons = QueueSeasons { config, tiers: vec![] };
        let clock = Clock::standing_at(UnixMillis(999));
        assert_eq!(start_due(&store, queue, &seasons, &clock).await.unwrap(), None);
        clock.set(UnixMillis(5_000));
        let started = start_due(&store, queue, &seasons, &clock).await.unwrap().unwrap();
        assert_eq!((started.number, started.starts_at, started.started_at), (1, UnixMillis(1_000), UnixMillis(5_000)));
        assert_eq!(started.ended.placements, 3);
        assert_eq!(start_due(&store, queue, &seasons, &clock).await.unwrap(), None);
        assert_eq!(store.list_seasons(queue).await.unwrap().len(), 1);
    }
}
