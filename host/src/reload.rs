//! `plugins.toml` read again while the host runs, and what changed in it swapped in.
//!
//! ```text
//! file -> queues -> what differs -> loaded, off the async threads -> rules and policy: in force at once, between two reports, two ticks
//!                                                                 -> rating engine: its generation is built while the old one rates,
//!                                                                    then catches up and is activated in one transaction
//! ```
//!
//! * **A file that cannot be read changes nothing.** The same holds queue by queue: if one plugin of a queue does not load, the queue keeps
//!   all that it has, and the others are reloaded.
//! * A rating engine that loads and then cannot rate the journal is refused alone. A newer request supersedes one that is still being built.
//! * Shadows (`shadows.rs`) follow the file too. One that does not load is shown and refuses nothing. So do seasons, placements, decay and tiers.
//! * The shape of a queue, and which queues there are, stay until the host starts again: waiting players and open matches depend on them.
//!
//! Requests come from `ranked plugin reload` through the database, and from SIGHUP; what became of each role is written to the database,
//! where `ranked plugin status` reads it.

mod decisions;

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ladder::id::{Digest, JournalSeq, QueueId};
use ladder::pool::MatchmakingPolicy as _;
use ladder::rating::RatingEngine;
use ladder::rules::StatRules as _;
use ladder::time::UnixMillis;
use plugin_runtime::{Description, PolicyPlugin, RatingPlugin, Role, RulesPlugin, Runtime, builtin_names};
use store::{ControlGeneration, InstallRefusal, Pending, PluginState, ReloadId, ReplayProgress, Store, StoreError, Wanted};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::{Config, ConfigError, PluginConfig, QueueConfig};
use crate::metrics::{Metrics, SwapLabels, SwapResult};
use crate::play::Play;
use crate::plugin_gauges::Watched;
use crate::plugins::{self, QueuePlugins, chain};
use crate::seasons::Seasons;
use crate::shadows::Shadows;

/// Between two looks for a request in the database.
const POLL_EVERY: Duration = Duration::from_millis(100);

/// Exchanges the plugins of a running host.
pub struct Reloader {
    parts: ReloaderParts,
    queues: Vec<InService>,
    /// One reload at a time.
    turn: tokio::sync::Mutex<()>,
}

/// What a [`Reloader`] works with.
pub(crate) struct ReloaderParts {
    pub(crate) config: Arc<Config>,
    pub(crate) runtime: Runtime,
    pub(crate) store: Store,
    pub(crate) play: Arc<Play>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Clock,
    pub(crate) shadows: Shadows,
    pub(crate) seasons: Seasons,
}

/// One queue: what runs, and what `plugins.toml` said about it.
pub(crate) struct InService {
    id: QueueId,
    watched: Arc<Watched>,
    standing: Mutex<Standing>,
}

struct Standing {
    /// The configuration of what is in force.
    in_force: QueueConfig,
    /// Since when, by role.
    since: [UnixMillis; 3],
    /// Whether the operator was told last that another plugin was refused, by role.
    refused: [bool; 3],
    /// The rating engine that is to take over, and its number.
    building: Option<(u64, PluginConfig)>,
    /// Rating engines asked for so far.
    asked: u64,
    /// The number of the one in force.
    rates: u64,
}

/// What a reload came to. Rating engines may still be built: [`Reload::settled`] waits for them.
#[derive(Default)]
#[must_use]
pub struct Reload {
    /// Roles that were swapped, or whose rating engine is being built.
    pub swapped: Vec<(String, Role)>,
    /// What was refused, as an operator reads it; empty: nothing.
    pub problems: Vec<String>,
    builds: JoinSet<Result<(), String>>,
}

impl Reload {
    /// Waits until every rating engine of this reload is in force, refused or superseded; returns all that was refused.
    pub async fn settled(mut self) -> Vec<String> {
        while let Some(built) = self.builds.join_next().await {
            match built {
                Ok(Ok(())) => {}
                Ok(Err(problem)) => self.problems.push(problem),
                Err(error) => self.problems.push(error.to_string()),
            }
        }
        self.problems
    }

    /// Lets the builds go on by themselves.
    pub(crate) fn go_on(mut self) {
        self.builds.detach_all();
    }
}

/// Plugins of one queue that differ from those in force, loaded.
#[derive(Default)]
struct Fresh {
    rating: Option<Arc<RatingPlugin>>,
    rules: Option<Arc<RulesPlugin>>,
    policy: Option<(Arc<PolicyPlugin>, Option<Arc<PolicyPlugin>>)>,
}

impl InService {
    /// A queue whose plugins were loaded from `config` and are in force since `now`.
    pub(crate) fn new(id: QueueId, config: QueueConfig, watched: Arc<Watched>, now: UnixMillis) -> Self {
        let standing = Standing { in_force: config, since: [now; 3], refused: [false; 3], building: None, asked: 0, rates: 0 };
        Self { id, watched, standing: Mutex::new(standing) }
    }

    pub(crate) fn watched(&self) -> &Arc<Watched> {
        &self.watched
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().expect("nobody panics while holding what stands")
    }

    /// An operator who reloads wants the plugins that stay to be called again. Those in `changed` are exchanged.
    fn end_quarantine(&self, changed: &[Role]) {
        let plugins = self.watched.plugins();
        for role in Role::ALL.into_iter().filter(|role| !changed.contains(role)) {
            let ended = match role {
                Role::Rating => plugins.rating.counters().quarantined.then(|| plugins.rating.reset_quarantine()),
                Role::Rules => plugins.rules.counters().quarantined.then(|| plugins.rules.reset_quarantine()),
                Role::Policy => plugins.policy.counters().quarantined.then(|| plugins.policy.reset_quarantine()),
            };
            if ended.is_some() {
                tracing::info!(queue = self.watched.queue(), %role, "a plugin in quarantine is called again");
            }
        }
    }

    /// The state of a role as the operator is to see it.
    fn state(&self, standing: &Standing, role: Role, wanted: Wanted) -> PluginState {
        let (digest, Description { name, version, .. }) = in_force(&self.watched.plugins(), role);
        let since = standing.since[index(role)];
        PluginState { queue: self.watched.queue().to_owned(), role: store_role(role), digest, name, version, since, wanted }
    }
}

impl Standing {
    /// Whether `wanted` differs in this role from what is in force, or on its way there.
    fn differs(&self, wanted: &QueueConfig, role: Role) -> bool {
        let now = &self.in_force;
        match role {
            // One that was refused is tried again, even if it is the one that the host started with.
            Role::Rating => {
                wanted.rating != *self.building.as_ref().map_or(&now.rating, |(_, building)| building)
                    || (self.building.is_none() && self.refused[index(Role::Rating)])
            }
            Role::Rules => wanted.rules != now.rules || wanted.outer_bounds != now.outer_bounds,
            Role::Policy => wanted.policy != now.policy || wanted.policy_fallback != now.policy_fallback,
        }
    }

    /// What comes after the plugin in force, which nobody refuses.
    fn next(&self, role: Role) -> Wanted {
        match &self.building {
            Some((_, building)) if role == Role::Rating => {
                Wanted::Building { digest: plugins::named_digest(building), through: JournalSeq(0), head: JournalSeq(0) }
            }
            _ => Wanted::InForce,
        }
    }

    fn is_building(&self, number: u64) -> bool {
        self.building.as_ref().is_some_and(|(building, _)| *building == number)
    }
}

impl Reloader {
    pub(crate) fn new(parts: ReloaderParts, queues: Vec<InService>) -> Arc<Self> {
        Arc::new(Self { parts, queues, turn: tokio::sync::Mutex::default() })
    }

    /// Says what is in force, and forgets what an earlier host said. `refused` are the rating engines that did not come into force at the
    /// start, by the queue's name.
    pub(crate) async fn announce(&self, refused: &[(String, String)]) -> Result<(), StoreError> {
        let store = &self.parts.store;
        store.end_abandoned_reloads("the host stopped meanwhile", self.parts.clock.now()).await?;
        store.clear_plugin_states().await?;
        for queue in &self.queues {
            for role in Role::ALL {
                let problem = refused.iter().find(|(name, _)| role == Role::Rating && name == queue.watched.queue());
                let wanted = problem.map_or(Wanted::InForce, |(_, problem)| Wanted::Refused {
                    digest: in_force(&queue.watched.plugins(), role).0,
                    problem: problem.clone(),
                });
                let noted = {
                    let mut standing = queue.standing();
                    standing.refused[index(role)] = problem.is_some();
                    self.say(queue, &standing, role, wanted)
                };
                noted.await?;
            }
        }
        Ok(())
    }

    /// Serves requests from the database until `stop`.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(POLL_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut serving = JoinSet::new();
        let (mut seen, mut generations) = (None, decisions::Seen::default());
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            while serving.try_join_next().is_some() {}
            match self.take_requests().await {
                Ok(taken) if taken.is_empty() => {}
                // Apart from this loop: whoever asks next hears within a moment that a host is there, however long this one takes.
                Ok(taken) => drop(serving.spawn(Arc::clone(&self).serve(taken))),
                Err(error) => tracing::error!(%error, code = error.code(), "requests to reload plugins cannot be read"),
            }
            let followed = async {
                if !self.somebody_changed_something(&mut seen).await? {
                    return Ok(false);
                }
                self.follow_decisions(&mut generations, &mut serving).await?;
                self.runs_another_engine().await
            };
            match followed.await {
                Ok(false) => {}
                Ok(true) => drop(serving.spawn(Arc::clone(&self).serve(Vec::new()))),
                Err(error) => tracing::error!(%error, code = error.code(), "the rating engines in force cannot be read"),
            }
        }
    }

    async fn somebody_changed_something(&self, seen: &mut Option<ControlGeneration>) -> Result<bool, StoreError> {
        let now = self.parts.store.control_generation().await?;
        Ok(seen.replace(now) != Some(now))
    }

    /// Whether another process has put a rating engine in force that this one does not run: `ranked journal import` does so after an edit
    /// of `plugins.toml`. Reports would wait until that engine is loaded here, too.
    async fn runs_another_engine(&self) -> Result<bool, StoreError> {
        let store = &self.parts.store;
        for queue in &self.queues {
            let Some(active) = store.active_engine(queue.id).await? else { continue };
            let settled = {
                let standing = queue.standing();
                standing.building.is_none() && !standing.refused[index(Role::Rating)]
            };
            // Asked in this order: an engine of our own is built until it is what runs here.
            let rating = Arc::clone(&queue.watched.plugins().rating);
            if settled && (active.digest != rating.digest() || active.parameters != rating.parameters()) {
                tracing::info!(queue = queue.watched.queue(), digest = %active.digest, "another process put a rating engine in force");
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn take_requests(&self) -> Result<Vec<ReloadId>, StoreError> {
        let ReloaderParts { store, clock, .. } = &self.parts;
        if store.reload_waits().await? { store.take_reloads(clock.now()).await } else { Ok(Vec::new()) }
    }

    async fn serve(self: Arc<Self>, taken: Vec<ReloadId>) {
        let reload = self.reload().await;
        let problem = (!reload.problems.is_empty()).then(|| reload.problems.join("\n"));
        reload.go_on();
        if let Err(error) = self.parts.store.end_reloads(taken, problem, self.parts.clock.now()).await {
            tracing::error!(%error, code = error.code(), "a request to reload plugins cannot be answered");
        }
    }

    pub(crate) fn rating_engine(&self, queue: &str) -> Option<(QueueId, Arc<dyn RatingEngine>)> {
        let queue = self.queues.iter().find(|in_service| in_service.watched.queue() == queue)?;
        Some((queue.id, Arc::clone(&queue.watched.plugins().rating) as _))
    }

    /// Reads `plugins.toml` and swaps in what changed.
    pub async fn reload(self: &Arc<Self>) -> Reload {
        let _turn = self.turn.lock().await;
        let mut reload = Reload::default();
        let config = Arc::clone(&self.parts.config);
        let read = tokio::task::spawn_blocking(move || config.reread_plugins(&builtin_names())).await;
        let fresh = match read.expect("reading a file does not panic") {
            Ok(fresh) => Arc::new(fresh),
            Err(error) => {
                tracing::error!("plugins.toml cannot be used, and nothing was changed:\n{}", error.render());
                reload.problems.push(error.render());
                return reload;
            }
        };
        for new in fresh.queues.iter().filter(|queue| self.parts.config.queue(queue.name()).is_none()) {
            reload.problems.push(format!("queue `{}` is new: it opens when the host starts again", new.name()));
        }
        for (position, queue) in self.queues.iter().enumerate() {
            let name = queue.watched.queue();
            let has_shape_of = |wanted: &QueueConfig| wanted.shape == queue.standing().in_force.shape;
            match fresh.queue(name) {
                Some(wanted) if has_shape_of(wanted) => {
                    self.parts.shadows.want(position, &fresh, wanted);
                    self.parts.seasons.set(wanted);
                    self.reload_queue(position, &fresh, wanted, &mut reload).await;
                }
                Some(_) => reload.problems.push(format!(
                    "queue `{name}` has another shape in plugins.toml (teams, regions, statistics, maps, ..): it keeps its plugins until the \
                     host starts again"
                )),
                None => reload.problems.push(format!("queue `{name}` was removed: it closes when the host starts again")),
            }
        }
        for problem in &reload.problems {
            tracing::warn!("not reloaded: {problem}");
        }
        reload
    }

    async fn reload_queue(self: &Arc<Self>, position: usize, config: &Arc<Config>, wanted: &QueueConfig, reload: &mut Reload) {
        let queue = &self.queues[position];
        let changed: Vec<Role> = {
            let standing = queue.standing();
            Role::ALL.into_iter().filter(|&role| standing.differs(wanted, role)).collect()
        };
        self.withdraw_refusals(queue, &changed).await;
        queue.end_quarantine(&changed);
        let loaded = {
            let (runtime, config, wanted, changed) = (self.parts.runtime.clone(), Arc::clone(config), wanted.clone(), changed.clone());
            tokio::task::spawn_blocking(move || load(&runtime, &config, &wanted, &changed)).await
        };
        match loaded.expect("a plugin that cannot be loaded is an error, no panic") {
            Ok(fresh) => {
                self.swap(position, wanted, fresh, reload).await;
                reload.swapped.extend(changed.into_iter().map(|role| (wanted.name().to_owned(), role)));
            }
            Err(error) => {
                for &role in &changed {
                    self.refuse(queue, role, wanted.plugin(role), error.render()).await;
                }
                reload.problems.push(error.render());
            }
        }
    }

    /// A role that was refused and is again as `plugins.toml` wants it.
    async fn withdraw_refusals(&self, queue: &InService, changed: &[Role]) {
        for role in Role::ALL.into_iter().filter(|role| !changed.contains(role)) {
            let noted = {
                let mut standing = queue.standing();
                let is_built = role == Role::Rating && standing.building.is_some();
                let withdrawn = !is_built && std::mem::take(&mut standing.refused[index(role)]);
                withdrawn.then(|| self.say(queue, &standing, role, Wanted::InForce))
            };
            if let Some(noted) = noted {
                told(noted).await;
            }
        }
    }

    async fn swap(self: &Arc<Self>, position: usize, wanted: &QueueConfig, fresh: Fresh, reload: &mut Reload) {
        let queue = &self.queues[position];
        let playing = &self.parts.play.queues()[position];
        let Fresh { rating, rules, policy } = fresh;
        if let Some(rules) = rules {
            playing.swap_rules(Arc::clone(&rules) as _, &wanted.outer_bounds);
            queue.watched.exchange(&self.parts.metrics, |plugins| plugins.rules = rules);
            let noted = {
                let mut standing = queue.standing();
                standing.in_force.rules = wanted.rules.clone();
                standing.in_force.outer_bounds = wanted.outer_bounds.clone();
                self.say_swapped(queue, &mut standing, Role::Rules)
            };
            self.swapped(queue, Role::Rules, noted).await;
        }
        if let Some((policy, fallback)) = policy {
            // First the exchange: it tells the policy whose forecasts it may ask for.
            queue.watched.exchange(&self.parts.metrics, |plugins| plugins.policy = Arc::clone(&policy));
            playing.swap_policy(policy, fallback.map(|fallback| fallback as _));
            let noted = {
                let mut standing = queue.standing();
                standing.in_force.policy = wanted.policy.clone();
                standing.in_force.policy_fallback = wanted.policy_fallback;
                self.say_swapped(queue, &mut standing, Role::Policy)
            };
            self.swapped(queue, Role::Policy, noted).await;
        }
        if let Some(engine) = rating {
            // Said before the request ends: whoever asked for it follows this engine from here on.
            let (number, noted) = {
                let mut standing = queue.standing();
                standing.asked += 1;
                standing.building = Some((standing.asked, wanted.rating.clone()));
                (standing.asked, self.say(queue, &standing, Role::Rating, standing.next(Role::Rating)))
            };
            told(noted).await;
            let (reloader, wanted) = (Arc::clone(self), wanted.rating.clone());
            reload.builds.spawn(async move { reloader.build(position, number, engine, wanted).await });
        }
    }

    /// Builds the generation of a rating engine and puts it in force.
    async fn build(self: Arc<Self>, position: usize, number: u64, engine: Arc<RatingPlugin>, wanted: PluginConfig) -> Result<(), String> {
        let queue = &self.queues[position];
        let (name, digest) = (queue.watched.queue(), engine.digest());
        let reloader = Arc::clone(&self);
        let progress = move |ReplayProgress { through, head }: ReplayProgress| {
            let queue = &reloader.queues[position];
            let standing = queue.standing();
            if standing.is_building(number) {
                // Nobody waits for the operator's view of things; the next step overwrites it.
                drop(reloader.say(queue, &standing, Role::Rating, Wanted::Building { digest, through, head }));
            }
        };
        let now = self.parts.clock.now();
        let installed = self.parts.store.install_engine(queue.id, Arc::clone(&engine) as Arc<dyn RatingEngine>, progress, now).await;
        let problem = match installed {
            Ok(Ok(installed)) => {
                tracing::info!(queue = name, generation = %installed.generation, rebuilt = installed.rebuilt, "a rating engine was swapped in");
                self.rates(position, number, engine, wanted).await;
                self.parts.play.tell_rated(&installed.released);
                return Ok(());
            }
            Ok(Err(InstallRefusal::Superseded)) => {
                tracing::info!(queue = name, %digest, "another rating engine was asked for before this one was ready");
                let noted = {
                    let mut standing = queue.standing();
                    standing.building.take_if(|(building, _)| *building == number);
                    let is_settled = standing.building.is_none() && !standing.refused[index(Role::Rating)];
                    is_settled.then(|| self.say(queue, &standing, Role::Rating, Wanted::InForce))
                };
                if let Some(noted) = noted {
                    told(noted).await;
                }
                return Ok(());
            }
            Ok(Err(refusal)) => chain(&refusal),
            Err(error) => chain(&error),
        };
        tracing::error!(queue = name, %digest, "the rating engine stays as it was: {problem}");
        let is_latest = {
            let mut standing = queue.standing();
            standing.building.take_if(|(building, _)| *building == number).is_some()
        };
        if is_latest {
            self.refuse(queue, Role::Rating, &wanted, problem.clone()).await;
        }
        Err(problem)
    }

    /// A rating engine is in force now; unless a later one is already, the operator and the waiting players' ratings follow it.
    async fn rates(&self, position: usize, number: u64, engine: Arc<RatingPlugin>, config: PluginConfig) {
        let queue = &self.queues[position];
        // In one go: of two engines that come into force one after the other, the later one stays. And as long as it is being built,
        // nobody wonders that the database has another engine in force than this process.
        let noted = {
            let mut standing = queue.standing();
            if standing.rates > number {
                // A later one is in force and was quicker to say so.
                return;
            }
            standing.rates = number;
            self.parts.play.queues()[position].swap_rating(Arc::clone(&engine) as _);
            queue.watched.exchange(&self.parts.metrics, |plugins| plugins.rating = engine);
            standing.in_force.rating = config;
            standing.building.take_if(|(building, _)| *building == number);
            self.say_swapped(queue, &mut standing, Role::Rating)
        };
        self.swapped(queue, Role::Rating, noted).await;
        self.parts.play.refresh_ratings(position).await;
        self.parts.play.rate_backlog().await;
    }

    fn say_swapped(&self, queue: &InService, standing: &mut Standing, role: Role) -> Pending<()> {
        standing.since[index(role)] = self.parts.clock.now();
        standing.refused[index(role)] = false;
        self.say(queue, standing, role, standing.next(role))
    }

    async fn swapped(&self, queue: &InService, role: Role, noted: Pending<()>) {
        let (digest, Description { name, version, .. }) = in_force(&queue.watched.plugins(), role);
        tracing::info!(target: "audit", event = "plugin-swapped", queue = queue.watched.queue(), role = role.name(), name, version, %digest);
        self.count(queue, role, SwapResult::Swapped);
        told(noted).await;
    }

    async fn refuse(&self, queue: &InService, role: Role, wanted: &PluginConfig, problem: String) {
        self.count(queue, role, SwapResult::Refused);
        let noted = {
            let mut standing = queue.standing();
            standing.refused[index(role)] = true;
            self.say(queue, &standing, role, Wanted::Refused { digest: plugins::named_digest(wanted), problem })
        };
        told(noted).await;
    }

    fn count(&self, queue: &InService, role: Role, result: SwapResult) {
        let labels = SwapLabels { queue: queue.watched.queue().to_owned(), role: role.into(), result };
        self.parts.metrics.plugin_swaps.get_or_create(&labels).inc();
    }

    /// Says what stands, for the operator. Whoever holds `standing` has the say, so that what was said last is what stands.
    fn say(&self, queue: &InService, standing: &Standing, role: Role, wanted: Wanted) -> Pending<()> {
        self.parts.store.note_plugin_state(queue.state(standing, role, wanted))
    }
}

async fn told(noted: Pending<()>) {
    if let Err(error) = noted.await {
        tracing::warn!(%error, code = error.code(), "`ranked plugin status` does not show the latest state of a plugin");
    }
}

fn load(runtime: &Runtime, config: &Config, queue: &QueueConfig, roles: &[Role]) -> Result<Fresh, ConfigError> {
    let mut fresh = Fresh::default();
    for role in roles {
        match role {
            Role::Rating => fresh.rating = Some(Arc::new(plugins::load_rating(runtime, config, queue)?)),
            Role::Rules => fresh.rules = Some(Arc::new(plugins::load_rules(runtime, config, queue)?)),
            Role::Policy => {
                let policy = Arc::new(plugins::load_policy(runtime, config, queue)?);
                fresh.policy = Some((policy, plugins::load_fallback_policy(runtime, queue)));
            }
        }
    }
    Ok(fresh)
}

fn in_force(plugins: &QueuePlugins, role: Role) -> (Digest, Description) {
    match role {
        Role::Rating => (plugins.rating.digest(), plugins.rating.description().clone()),
        Role::Rules => (plugins.rules.digest(), plugins.rules.description().clone()),
        Role::Policy => (plugins.policy.digest(), plugins.policy.description().clone()),
    }
}

fn index(role: Role) -> usize {
    role as usize
}

/// The store numbers the roles by itself: it knows nothing of the runtime.
pub(crate) fn store_role(role: Role) -> store::PluginRole {
    match role {
        Role::Rating => store::PluginRole::Rating,
        Role::Rules => store::PluginRole::Rules,
        Role::Policy => store::PluginRole::Policy,
    }
}
