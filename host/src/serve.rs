//! The whole host, put together: database, plugins, HTTP, both channels, the matchmaker and the watch over credentials.
//!
//! ```text
//! start: keys and database agree -> plugins loaded -> engines installed -> board recovered -> listeners open
//! stop:  listeners close -> every session hears it -> the matchmaker ends -> the database closes
//! ```
//!
//! [`start`] is what tests and the demo use, with port 0; [`run`] adds the signals of a process.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ladder::id::QueueId;
use ladder::rating::RatingEngine;
use ladder::time::UnixMillis;
use plugin_runtime::{Runtime, RuntimeError};
use protocol::message::Channel;
use store::{Commit, InstallRefusal, Installed, Options, Pending, ReplayProgress, Store, StoreError};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::admission::{Admission, AdmissionLimits};
use crate::changes;
use crate::clock::Clock;
use crate::config::{Config, ConfigError};
use crate::directory::Directory;
use crate::http::{self, CommunityFacts, HttpParts, HttpState, Readiness};
use crate::keys::{KeyError, Keyring, SecretFileError, SettleError, secret_file};
use crate::metrics::Metrics;
use crate::net::watch::Watch;
use crate::net::{Gate, GateParts, OutboxLimits};
use crate::passwords::{PasswordCost, PasswordPool, PoolError};
use crate::play::{JoinKey, Play, PlayParts, PlayQueue};
use crate::plugin_gauges;
use crate::plugins;
use crate::registry::Registry;
use crate::reload::{InService, Reload, Reloader, ReloaderParts};
use crate::seasons::{SeasonStarter, Seasons};
use crate::shadows::{ShadowParts, Shadows};

/// How long sessions may take to hear that the host stops.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(3);
/// How long the rest may take to end after that.
const STOP_TIME_MAX: Duration = Duration::from_secs(1);
/// So long the start waits for the ratings of one queue to be built; then they are built while the host serves.
const BUILT_AT_START_MAX: Duration = Duration::from_secs(10);

/// The host did not start. The operator's fault or the environment's; nothing is left running.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The operator's configuration cannot be used: it names file, line and column.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The key files cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The key files and the database do not go together.
    #[error(transparent)]
    Settle(#[from] SettleError),
    /// The folder of the database cannot be made.
    #[error(transparent)]
    Folder(#[from] SecretFileError),
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Plugins cannot be run on this machine.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The cost of passwords cannot be paid.
    #[error("password hashing cannot be set up")]
    Passwords(#[from] PoolError),
    /// A port cannot be had.
    #[error("{listener} cannot listen on {address}")]
    Bind {
        /// Which one: its key in `[listen]`.
        listener: &'static str,
        /// As configured.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Signals cannot be waited for.
    #[error("signals cannot be waited for")]
    Signals(#[source] std::io::Error),
    /// A part of the start panicked: our own fault.
    #[error("the start failed")]
    Panicked(#[from] JoinError),
}

/// A host that runs. Dropping it does not stop it: call [`Running::shutdown`].
pub struct Running {
    config: Arc<Config>,
    metrics: Arc<Metrics>,
    registry: Arc<Registry>,
    store: Store,
    addresses: [SocketAddr; 3],
    queues: Vec<Arc<plugin_gauges::Watched>>,
    reloader: Arc<Reloader>,
    gate: Arc<Gate<Play>>,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Running {
    /// Where HTTP listens.
    #[must_use]
    pub fn http_addr(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// Where game servers connect.
    #[must_use]
    pub fn s2s_addr(&self) -> SocketAddr {
        self.addresses[1]
    }

    /// Where players connect.
    #[must_use]
    pub fn rdv_addr(&self) -> SocketAddr {
        self.addresses[2]
    }

    /// Everything that is counted.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Who is connected.
    #[must_use]
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// The database.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Reads `plugins.toml` again and swaps in what changed, as `ranked plugin reload` and SIGHUP do.
    pub async fn reload(&self) -> Reload {
        self.reloader.reload().await
    }

    /// A queue's number in the store and the rating engine in force.
    #[must_use]
    pub fn rating_engine(&self, queue: &str) -> Option<(QueueId, Arc<dyn RatingEngine>)> {
        self.reloader.rating_engine(queue)
    }

    /// What an operator wants to see at the start: versions, files, plugins, addresses.
    #[must_use]
    pub fn summary(&self) -> String {
        let version = env!("CARGO_PKG_VERSION");
        let database = self.store.path().display();
        let mut text = format!("ranked {version}  db sqlite {database} (schema {})\n", store::schema_version());
        for queue in &self.queues {
            let (queue, plugins) = (queue.queue(), queue.plugins());
            let [rating, rules, policy] = [plugins.rating.description(), plugins.rules.description(), plugins.policy.description()];
            text.push_str(&format!(
                "  queue {queue}  rating {} {}  rules {} {}  policy {} {}\n",
                rating.name, rating.version, rules.name, rules.version, policy.name, policy.version
            ));
        }
        let [http, s2s, rdv] = self.addresses;
        text.push_str(&format!("  http  http://{http}/  health /readyz  metrics /metrics  api /openapi.json\n"));
        text.push_str(&format!("  s2s   {s2s}  game servers, with a certificate of `ranked cert issue`\n"));
        text.push_str(&format!("  rdv   {rdv}  players, with a login ticket of POST /v1/login-ticket\n"));
        if !self.addresses[0].ip().is_loopback() {
            text.push_str("  note  HTTP listens outside loopback: put a proxy with TLS in front, logins are in the clear otherwise\n");
        }
        text
    }

    /// Stops in good order: nobody new, every session told, then the rest; takes less than five seconds.
    pub async fn shutdown(self) {
        if tokio::time::timeout(DRAIN_TIME_MAX, self.gate.close()).await.is_err() {
            tracing::warn!("some sessions were cut off at the end");
        }
        self.stop.cancel();
        for mut task in self.tasks {
            if tokio::time::timeout(STOP_TIME_MAX, &mut task).await.is_err() {
                task.abort();
            }
        }
        tracing::info!(folder = %self.config.folder().display(), "stopped");
    }
}

/// Runs a host until Ctrl-C or SIGTERM; `started` hears of it once it listens.
///
/// # Errors
/// [`ServeError`]: it did not start.
pub async fn run(config: Config, keyring: Keyring, started: impl FnOnce(&Running)) -> Result<(), ServeError> {
    let asked_to_stop = stop_signal().map_err(ServeError::Signals)?;
    // Before the start, which may take long: until a signal is waited for, SIGHUP would end the process.
    let asked_to_reload = signal(SignalKind::hangup()).map_err(ServeError::Signals)?;
    let running = start(config, keyring).await?;
    started(&running);
    let reloading = tokio::spawn(reload_at(asked_to_reload, Arc::clone(&running.reloader)));
    asked_to_stop.await;
    reloading.abort();
    running.shutdown().await;
    Ok(())
}

/// Reloads the plugins at every such signal.
async fn reload_at(mut signals: Signal, reloader: Arc<Reloader>) {
    while signals.recv().await.is_some() {
        // What is refused is logged. The next signal may supersede an engine that is still being built.
        reloader.reload().await.go_on();
    }
}

/// Starts a host on the machine's clock.
///
/// # Errors
/// [`ServeError`].
pub async fn start(config: Config, keyring: Keyring) -> Result<Running, ServeError> {
    start_at(config, keyring, Clock::system()).await
}

/// Starts a host on any clock.
///
/// # Errors
/// [`ServeError`].
pub async fn start_at(config: Config, keyring: Keyring, clock: Clock) -> Result<Running, ServeError> {
    let config = Arc::new(config);
    let metrics = Arc::new(Metrics::new());
    let now = clock.now();
    let store = open_store(Arc::clone(&config), Arc::clone(&metrics)).await?;
    let keyring = Arc::new(settle_keys(&config, keyring, &store, now).await?);
    let listeners = Listeners::bind(&config).await?;
    let (for_runtime, keys) = (Arc::clone(&config), Arc::clone(&keyring));
    let runtime = tokio::task::spawn_blocking(move || plugins::runtime(&for_runtime, keys.kek().expose())).await??;
    let LoadedQueues { playing, in_service, refused, building } = load_queues(&config, &runtime, &store, now).await?;
    // Before the directory: a change in between is met again by the watch.
    let generation = store.control_generation().await?;
    let directory = Directory::load(Arc::clone(&keyring), &store, now).await?;
    let limits = OutboxLimits { frames_max: config.host.session.outbox_frames_max, bytes_max: config.host.session.outbox_bytes_max };
    let registry = Registry::new(limits, Arc::clone(&metrics));
    let play = Play::start(PlayParts {
        queues: playing,
        settings: config.host.matchmaking.clone(),
        store: store.clone(),
        outboxes: Arc::clone(&registry) as Arc<dyn crate::play::Outboxes>,
        metrics: Arc::clone(&metrics),
        clock: clock.clone(),
        join_key: JoinKey::derive(keyring.kek().expose()),
    })
    .await?;
    let queues: Vec<_> = in_service.iter().map(|queue| Arc::clone(queue.watched())).collect();
    let (for_reloading, play_too) = (Arc::clone(&config), Arc::clone(&play));
    let for_shadows = ShadowParts { runtime: runtime.clone(), store: store.clone(), metrics: Arc::clone(&metrics), clock: clock.clone() };
    let queue_ids = play.queues().iter().map(|queue| queue.id).collect();
    let shadowed = play.queues().iter().zip(&config.queues);
    let shadowed = shadowed.map(|(queue, config)| (queue.id, config.clone(), Arc::clone(&queue.recorder))).collect();
    let (shadows, queue_shadows) = Shadows::new(&for_shadows, &config, shadowed);
    let seasons = Seasons::new(&config.queues);
    let season_starter = SeasonStarter {
        seasons: seasons.clone(),
        queues: play.queues().iter().map(|queue| (queue.id, queue.name().to_owned())).collect(),
        store: store.clone(),
        play: Arc::clone(&play),
        clock: clock.clone(),
    };
    let reloader = Reloader::new(
        ReloaderParts {
            config: for_reloading,
            runtime,
            store: store.clone(),
            play: play_too,
            metrics: Arc::clone(&metrics),
            clock: clock.clone(),
            shadows,
            seasons: seasons.clone(),
        },
        in_service,
    );
    reloader.announce(&refused).await?;
    let gate = Gate::new(
        GateParts {
            clock: clock.clone(),
            store: store.clone(),
            metrics: Arc::clone(&metrics),
            admission: Admission::new(AdmissionLimits::from(&config.host.limits)),
            directory: Arc::clone(&directory),
            registry: Arc::clone(&registry),
            sessions: Arc::clone(&play),
        },
        &config.host,
    );
    for (queue, pending) in building {
        tokio::spawn(follow_build(queue, pending, Arc::clone(&play)));
    }
    let readiness = Readiness::default();
    let http = http_state(&config, &keyring, &store, &metrics, &clock, &directory, &readiness, &seasons, listeners.addresses[2]).await?;
    let watch = Watch { clock, store: store.clone(), directory, registry: Arc::clone(&registry), channel_life: channel_life(&config) };

    let stop = CancellationToken::new();
    let Listeners { http: http_listener, s2s, rdv, addresses } = listeners;
    let mut tasks = vec![
        tokio::spawn(Arc::clone(&play).run(stop.clone())),
        tokio::spawn(watch.run(generation, stop.clone())),
        tokio::spawn(changes::run(store.clone(), queue_ids, stop.clone())),
        tokio::spawn(plugin_gauges::run(queues.clone(), Arc::clone(&metrics), stop.clone())),
        tokio::spawn(Arc::clone(&reloader).run(stop.clone())),
        tokio::spawn(Arc::clone(&gate).listen(Channel::S2s, s2s)),
        tokio::spawn(Arc::clone(&gate).listen(Channel::Rdv, rdv)),
        tokio::spawn(serve_http(http_listener, http, Arc::clone(&config), stop.clone())),
    ];
    tasks.push(tokio::spawn(season_starter.run(stop.clone())));
    tasks.extend(queue_shadows.into_iter().map(|shadows| tokio::spawn(shadows.run(stop.clone()))));
    readiness.set_plugins(true);
    readiness.set_s2s(true);
    readiness.set_rdv(true);
    Ok(Running { config, metrics, registry, store, addresses, queues, reloader, gate, stop, tasks })
}

async fn open_store(config: Arc<Config>, metrics: Arc<Metrics>) -> Result<Store, ServeError> {
    let open = move || {
        let path = config.database_path();
        if let Some(folder) = path.parent() {
            secret_file::create_folder(folder)?;
        }
        let observe = move |commit: Commit| {
            metrics.store_batch_commands.observe(f64::from(u32::try_from(commit.commands).unwrap_or(u32::MAX)));
            metrics.store_commit_seconds.observe(commit.took.as_secs_f64());
        };
        Ok(Store::open(path, Options { commit_observer: Some(Arc::new(observe)), ..Options::default() })?)
    };
    tokio::task::spawn_blocking(open).await?
}

/// Keys and database agree, the channel certificate is good for a while, and `community.toml` tells today's addresses.
async fn settle_keys(config: &Config, mut keyring: Keyring, store: &Store, now: UnixMillis) -> Result<Keyring, ServeError> {
    let life = channel_life(config);
    keyring.settle(store, life, now).await?;
    if let Err(error) = keyring.renew_channel_if_due(life, now) {
        // The old certificate may still serve for days: that is the operator's time to act.
        if keyring.channel_not_after() <= now {
            return Err(error.into());
        }
        tracing::warn!(%error, fix = error.fix(), "the channel certificate was not renewed");
    }
    keyring.publish_addresses(&config.host.public)?;
    Ok(keyring)
}

fn channel_life(config: &Config) -> Duration {
    Duration::from_secs(config.host.keys.channel_days * 86_400)
}

struct Listeners {
    http: TcpListener,
    s2s: TcpListener,
    rdv: TcpListener,
    addresses: [SocketAddr; 3],
}

impl Listeners {
    async fn bind(config: &Config) -> Result<Self, ServeError> {
        let listen = &config.host.listen;
        let http = bind("http", listen.http).await?;
        let s2s = bind("s2s", listen.s2s).await?;
        let rdv = bind("rdv", listen.rdv).await?;
        let address = |listener: &TcpListener, configured| listener.local_addr().unwrap_or(configured);
        let addresses = [address(&http, listen.http), address(&s2s, listen.s2s), address(&rdv, listen.rdv)];
        Ok(Self { http, s2s, rdv, addresses })
    }
}

async fn bind(listener: &'static str, address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|source| ServeError::Bind { listener, address, source })
}

struct LoadedQueues {
    playing: Vec<PlayQueue>,
    in_service: Vec<InService>,
    /// Rating engines that did not come into force, by the queue's name, and why.
    refused: Vec<(String, String)>,
    /// Queues whose ratings are still being built.
    building: Vec<(String, Installation)>,
}

type Installation = Pending<Result<Installed, InstallRefusal>>;

/// What became of a rating engine at the start.
enum AtStart {
    InForce,
    Refused(String),
    Building(Installation),
}

async fn load_queues(config: &Arc<Config>, runtime: &Runtime, store: &Store, now: UnixMillis) -> Result<LoadedQueues, ServeError> {
    let (for_loading, runtime) = (Arc::clone(config), runtime.clone());
    let load = move || {
        let load = |queue| Ok((plugins::load(&runtime, &for_loading, queue)?, plugins::load_fallback_policy(&runtime, queue)));
        for_loading.queues.iter().map(load).collect::<Result<Vec<_>, ConfigError>>()
    };
    let loaded = tokio::task::spawn_blocking(load).await??;
    let mut queues = LoadedQueues { playing: Vec::new(), in_service: Vec::new(), refused: Vec::new(), building: Vec::new() };
    for (queue, (plugins, fallback)) in config.queues.iter().zip(loaded) {
        let id = store.ensure_queue(queue.name()).await?;
        match install_engine(store, queue.name(), id, Arc::clone(&plugins.rating) as Arc<dyn RatingEngine>, now).await? {
            AtStart::InForce => {}
            AtStart::Refused(problem) => queues.refused.push((queue.name().to_owned(), problem)),
            AtStart::Building(pending) => queues.building.push((queue.name().to_owned(), pending)),
        }
        let (rules, policy, fallback) = (Arc::clone(&plugins.rules) as _, Arc::clone(&plugins.policy) as _, fallback.map(|it| it as _));
        let play = PlayQueue::new(id, queue.shape.clone(), rules, &queue.outer_bounds, policy, fallback);
        queues.playing.push(play.with_rating(Arc::clone(&plugins.rating) as _));
        let watched = Arc::new(plugin_gauges::Watched::new(queue.name(), plugins));
        queues.in_service.push(InService::new(id, queue.clone(), watched, now));
    }
    Ok(queues)
}

/// An engine that cannot take over stops nothing: reports are kept, and rated once it can. Nor does one that takes long: the ratings before
/// are shown meanwhile, and reports wait.
async fn install_engine(
    store: &Store,
    name: &str,
    id: QueueId,
    engine: Arc<dyn RatingEngine>,
    now: UnixMillis,
) -> Result<AtStart, ServeError> {
    let queue = name.to_owned();
    let progress = move |step: ReplayProgress| {
        tracing::info!(queue, through = step.through.0, head = step.head.0, "ratings are built from the journal");
    };
    let mut installation = store.install_engine(id, engine, progress, now);
    match tokio::time::timeout(BUILT_AT_START_MAX, &mut installation).await {
        Ok(installed) => Ok(say_installed(name, &installed?).map_or_else(AtStart::Refused, |()| AtStart::InForce)),
        Err(_elapsed) => {
            tracing::warn!(queue = name, "the host starts while ratings are still being built: reports of the queue wait until then");
            Ok(AtStart::Building(installation))
        }
    }
}

fn say_installed(name: &str, installed: &Result<Installed, InstallRefusal>) -> Result<(), String> {
    match installed {
        Ok(installed) => {
            tracing::info!(queue = name, generation = %installed.generation, rebuilt = installed.rebuilt, "ratings are in force");
            Ok(())
        }
        Err(refusal) => {
            tracing::error!(queue = name, error = %refusal, "the rating engine is not in service: reports will wait");
            Err(plugins::chain(refusal))
        }
    }
}

/// Ratings that were not built when the host started: whoever waited for them is told. What else follows, the reloader sees.
async fn follow_build(queue: String, installation: Installation, play: Arc<Play>) {
    match installation.await {
        Ok(installed) => {
            if say_installed(&queue, &installed).is_ok()
                && let Ok(installed) = installed
            {
                play.tell_rated(&installed.released);
                play.rate_backlog().await;
            }
        }
        Err(error) => tracing::error!(queue, %error, code = error.code(), "ratings were not built"),
    }
}

#[allow(clippy::too_many_arguments)] // each part is a seam of its own, and this is the one place that knows them all
async fn http_state(
    config: &Config,
    keyring: &Keyring,
    store: &Store,
    metrics: &Arc<Metrics>,
    clock: &Clock,
    directory: &Arc<Directory>,
    readiness: &Readiness,
    seasons: &Seasons,
    rdv: SocketAddr,
) -> Result<HttpState, ServeError> {
    let settings = config.host.passwords.clone();
    let cost = PasswordCost { memory_kib: settings.memory_kib, passes: settings.passes, lanes: settings.lanes };
    let pool = move || PasswordPool::new(cost, settings.hashing_at_once_max, settings.waiting_max);
    let passwords = tokio::task::spawn_blocking(pool).await??;
    // With port 0 nobody could know the address in advance.
    let rdv = if config.host.listen.rdv.port() == 0 { rdv.to_string() } else { config.host.public.rdv.clone() };
    Ok(HttpState::new(HttpParts {
        store: store.clone(),
        metrics: Arc::clone(metrics),
        clock: clock.clone(),
        passwords,
        readiness: readiness.clone(),
        community: CommunityFacts { realm_id: keyring.realm_id(), signing_keys: keyring.signing_keys().clone(), rdv },
        queues: config.queues.iter().map(|queue| queue.shape.clone()).collect(),
        seasons: seasons.clone(),
        login: config.host.login.clone(),
        limits: config.host.limits.clone(),
        tickets: Arc::clone(directory) as Arc<dyn http::TicketEvents>,
    }))
}

async fn serve_http(listener: TcpListener, state: HttpState, config: Arc<Config>, stop: CancellationToken) {
    http::serve(listener, http::router(state), &config.host.limits, stop.cancelled_owned()).await;
}

/// Ctrl-C, or what a service manager sends.
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
