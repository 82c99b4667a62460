//! Shadows of a running host: rating engines that keep up with the journal beside the one in force.
//!
//! One task per queue. Each step is small, rates on a thread for blocking work and writes one short transaction (`store::Shadow`), so that the
//! reports of players do not wait for it. A shadow that does not load, or that cannot rate a report, says so to `ranked plugin status`; nothing
//! else comes of it. Policies are loaded to see whether they load, and ticks are recorded for `ranked plugin compare`, which tries them.

use std::sync::Arc;
use std::time::Duration;

use ladder::id::QueueId;
use plugin_runtime::{Role, Runtime};
use store::{Shadow, ShadowState, ShadowStep, Store};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::compare::recording::encode;
use crate::config::{Config, QueueConfig, ShadowConfig};
use crate::metrics::{Metrics, ShadowLabels};
use crate::play::recorder::Recorder;
use crate::plugins::{self, chain};
use crate::reload::store_role;

/// Between two looks at a journal that a shadow has caught up with.
const EVERY: Duration = Duration::from_millis(500);

/// What the shadows of all queues are to be.
pub(crate) struct Shadows(Vec<watch::Sender<Arc<Wanted>>>);

/// What `plugins.toml` says about one queue.
struct Wanted {
    config: Arc<Config>,
    queue: QueueConfig,
}

/// What shadows work with.
#[derive(Clone)]
pub(crate) struct ShadowParts {
    pub(crate) runtime: Runtime,
    pub(crate) store: Store,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Clock,
}

/// The shadows of one queue.
pub(crate) struct QueueShadows {
    parts: ShadowParts,
    id: QueueId,
    wanted: watch::Receiver<Arc<Wanted>>,
    /// Where the queue's ticks come from, while a policy is to be tried on them.
    recorder: Arc<Recorder>,
    shadows: Vec<Named>,
    /// Whether generations that were laid aside may have rows left that nobody goes back to.
    forgets: bool,
}

/// One shadow: running, waiting for a comparison, or out of order.
struct Named {
    name: String,
    config: ShadowConfig,
    /// A rating engine that was loaded.
    engine: Option<Shadow>,
    noted: Option<ShadowState>,
}

impl Shadows {
    /// The shadows of these queues, each to be run by a task of its own.
    pub(crate) fn new(
        parts: &ShadowParts,
        config: &Arc<Config>,
        queues: Vec<(QueueId, QueueConfig, Arc<Recorder>)>,
    ) -> (Self, Vec<QueueShadows>) {
        let each = queues.into_iter().map(|(id, queue, recorder)| {
            let (sender, wanted) = watch::channel(Arc::new(Wanted { config: Arc::clone(config), queue }));
            (sender, QueueShadows { parts: parts.clone(), id, wanted, recorder, shadows: Vec::new(), forgets: false })
        });
        let (senders, queues) = each.unzip();
        (Self(senders), queues)
    }

    /// `plugins.toml` was read again. What is as it was goes on; what did not load, or stands still, is tried again.
    pub(crate) fn want(&self, position: usize, config: &Arc<Config>, queue: &QueueConfig) {
        if let Some(sender) = self.0.get(position) {
            sender.send_replace(Arc::new(Wanted { config: Arc::clone(config), queue: queue.clone() }));
        }
    }
}

impl QueueShadows {
    /// Records ticks and keeps rating engines up to date until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let recording = record(Arc::clone(&self.recorder), self.parts.clone(), self.id);
        tokio::select! {
            () = recording => {}
            () = self.rate(stop) => {}
        }
    }

    /// Loads what is wanted and keeps it up to date until `stop`.
    async fn rate(mut self, stop: CancellationToken) {
        let mut settled = false;
        loop {
            let settle = !settled;
            let round = tokio::task::spawn_blocking(move || {
                if settle {
                    self.settle();
                }
                let busy = self.step();
                (self, busy)
            });
            let busy;
            (self, busy) = match round.await {
                Ok(round) => round,
                Err(error) => {
                    tracing::error!(%error, "the shadows of a queue have ended");
                    return;
                }
            };
            let pause = if busy { Duration::ZERO } else { EVERY };
            settled = tokio::select! {
                () = stop.cancelled() => return,
                changed = self.wanted.changed() => changed.is_err(),
                () = tokio::time::sleep(pause), if busy || !self.shadows.is_empty() => true,
            };
            if stop.is_cancelled() {
                return;
            }
        }
    }

    /// Loads what is wanted and was not loaded yet, or stands still; lets go of the rest.
    fn settle(&mut self) {
        let wanted = Arc::clone(&self.wanted.borrow_and_update());
        self.recorder.want(wanted.queue.shadows.values().any(|shadow| shadow.role == Role::Policy));
        let mut before = std::mem::take(&mut self.shadows);
        for (name, config) in &wanted.queue.shadows {
            let works = |named: &Named| named.engine.is_some() && named.noted.as_ref().is_none_or(|noted| noted.problem.is_none());
            let goes_on = before.iter().position(|named| named.name == *name && named.config == *config && works(named));
            let named = match goes_on {
                Some(position) => before.swap_remove(position),
                None => self.load(&wanted, name, config),
            };
            self.shadows.push(named);
        }
        let rating = wanted.queue.shadows.values().filter(|shadow| shadow.role == Role::Rating);
        let kept = rating.map(|shadow| (plugins::named_digest(&shadow.plugin), shadow.plugin.parameters.clone())).collect();
        let names = wanted.queue.shadows.keys().cloned().collect();
        let store = &self.parts.store;
        let forgotten = store
            .lay_shadows_aside(self.id, kept)
            .wait()
            .and_then(|()| store.keep_shadow_states(wanted.queue.name().to_owned(), names).wait());
        if let Err(error) = forgotten {
            tracing::warn!(%error, code = error.code(), "earlier shadows of a queue were not forgotten");
        }
        self.forgets = true;
    }

    fn load(&self, wanted: &Wanted, name: &str, config: &ShadowConfig) -> Named {
        let mut named = Named { name: name.to_owned(), config: config.clone(), engine: None, noted: None };
        let problem = match self.try_load(wanted, name, config.role) {
            Ok(engine) => {
                named.engine = engine;
                None
            }
            Err(problem) => {
                tracing::warn!(queue = wanted.queue.name(), shadow = name, problem, "a shadow does not load");
                Some(problem)
            }
        };
        if problem.is_some() || named.engine.is_none() {
            self.parts.note(&mut named, wanted.queue.name(), None, problem);
        }
        named
    }

    fn try_load(&self, wanted: &Wanted, name: &str, role: Role) -> Result<Option<Shadow>, String> {
        let spec = plugins::shadow_spec(&wanted.config, &wanted.queue, name)?;
        let runtime = &self.parts.runtime;
        if role != Role::Rating {
            return runtime.load_policy(spec, &wanted.queue.shape).map(|_| None).map_err(|error| chain(&error));
        }
        let engine = runtime.load_rating(spec, &wanted.queue.shape).map_err(|error| chain(&error))?;
        let shadow = self.parts.store.shadow(self.id, Arc::new(engine));
        shadow.map(Some).map_err(|fault| format!("it cannot say where players start: it {fault}"))
    }

    /// One step of every shadow, and of forgetting earlier ones; whether there is more to do.
    fn step(&mut self) -> bool {
        let queue = self.wanted.borrow().queue.name().to_owned();
        // What fails here is done after the next reload.
        self.forgets = self.forgets && self.parts.store.forget_old_generations(self.id).wait().unwrap_or(false);
        let mut busy = self.forgets;
        for named in &mut self.shadows {
            busy |= self.parts.step(&queue, named);
        }
        busy
    }
}

/// Stores what ticks saw, one at a time. One that cannot be stored is not missed.
async fn record(recorder: Arc<Recorder>, parts: ShadowParts, id: QueueId) {
    loop {
        let pool = recorder.next().await;
        let now = parts.clock.now();
        let stored = match tokio::task::spawn_blocking(move || encode(&pool)).await {
            Ok(columns) => parts.store.record_tick(id, now, columns).await,
            Err(error) => {
                tracing::error!(%error, "a tick was not recorded");
                Ok(())
            }
        };
        if let Err(error) = stored {
            tracing::debug!(%error, code = error.code(), "a tick was not recorded");
        }
        recorder.done();
    }
}

impl ShadowParts {
    fn step(&self, queue: &str, named: &mut Named) -> bool {
        let Some(engine) = &mut named.engine else { return false };
        match engine.advance(self.clock.now()) {
            Ok(ShadowStep::Advanced(progress)) => {
                self.note(named, queue, Some(progress), None);
                true
            }
            Ok(ShadowStep::Overtaken) => true,
            Ok(ShadowStep::CaughtUp(_) | ShadowStep::Active) => {
                self.note(named, queue, None, None);
                false
            }
            Ok(ShadowStep::Stopped { seq, fault }) => {
                if self.note(named, queue, None, Some(format!("it cannot rate journal entry {seq}: it {fault}"))) {
                    tracing::warn!(queue, shadow = named.name, %seq, error = %fault, reason = fault.code(), "a shadow stands still");
                    let labels = ShadowLabels { queue: queue.to_owned(), shadow: named.name.clone(), fault: fault.code() };
                    self.metrics.shadow_faults.get_or_create(&labels).inc();
                }
                false
            }
            Ok(ShadowStep::UnknownQueue) => false,
            Err(error) => {
                tracing::warn!(queue, shadow = named.name, %error, code = error.code(), "a step of a shadow was not stored");
                false
            }
        }
    }

    /// Tells the operator what became of a shadow; whether that is news.
    fn note(&self, named: &mut Named, queue: &str, behind: Option<store::ReplayProgress>, problem: Option<String>) -> bool {
        let ShadowConfig { role, plugin } = &named.config;
        let (digest, role) = (plugins::named_digest(plugin), store_role(*role));
        let state = ShadowState { queue: queue.to_owned(), name: named.name.clone(), role, digest, behind, problem };
        if named.noted.as_ref() == Some(&state) {
            return false;
        }
        named.noted = Some(state.clone());
        if let Err(error) = self.store.note_shadow_state(state).wait() {
            tracing::warn!(%error, code = error.code(), "`ranked plugin status` does not show the latest state of a shadow");
        }
        true
    }
}
