//! The sandbox: two wasmtime engines, the clock behind all deadlines, and the way from bytes to a plugin in service.
//!
//! ```text
//! bytes -> size -> compile -> audit imports and exports -> describe -> configure -> first answers -> in service
//! ```
//! Nothing of a component runs before its audit.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ladder::id::Digest;
use ladder::queue::QueueShape;
use wasmtime::component::{Component, Instance, InstancePre, Linker};
use wasmtime::{Config, Enabled, Engine, EngineWeak, InstanceAllocationStrategy, PoolingAllocationConfig, Store};

use crate::audit::Surface;
use crate::bindings::base::BaseIndices;
use crate::bindings::base::exports::ranked::plugin::lifecycle;
use crate::error::{COMPONENT_BYTES_MAX, LoadError, ParameterProblem, RuntimeError};
use crate::guest::{CORE_INSTANCES_MAX, EPOCH_TICK_MS, Guest, escape_into, head, offer_log};
use crate::limits::{Limits, MEMORY_BYTES_CEILING, Role};
use crate::parameters::canonical_parameters;
use crate::policy::PolicyPlugin;
use crate::rating::RatingPlugin;
use crate::rules::RulesPlugin;
use crate::service::{Service, Slots, Stop, Terms, bad_output};
use crate::source::PluginSource;

/// Faults in a row that lead to quarantine unless `plugins.toml` says otherwise.
pub const FAULTS_MAX_DEFAULT: u32 = 5;
/// Rating and rules calls that run at once; more wait.
const RUNNING_MAX: u32 = 32;
/// Policies in service in one process: each keeps one warm instance.
const POLICIES_MAX: u32 = 64;
/// Compiled components that are kept for the next queue that uses the same bytes.
const COMPILED_MAX: usize = 32;
/// Bytes of a guest's memory that stay mapped between calls. More costs clearing, less costs page faults.
const RESIDENT_BYTES: usize = 256 << 10;
/// Parameter problems that are shown; a plugin may list as many as it likes.
const PROBLEMS_MAX: usize = 32;
/// Bytes of one text of a plugin about itself or its parameters that are kept.
const TEXT_BYTES_MAX: usize = 1024;
const SCHEMA_BYTES_MAX: usize = 64 << 10;

/// Which component fills a role of a queue, with which parameters and within which budget.
#[derive(Clone, Debug)]
pub struct PluginSpec {
    /// `queue.role`, for logs and metrics.
    pub name: String,
    /// The component.
    pub source: PluginSource,
    /// The budget of each call.
    pub limits: Limits,
    /// The parameter table as JSON; empty for none.
    pub parameters: String,
    /// Faults in a row after which the plugin is not called any more; at least 1.
    pub faults_max: u32,
}

impl PluginSpec {
    /// The component with the default budget of `role`, without parameters.
    #[must_use]
    pub fn new(name: impl Into<String>, role: Role, source: PluginSource) -> Self {
        Self { name: name.into(), source, limits: Limits::of(role), parameters: String::new(), faults_max: FAULTS_MAX_DEFAULT }
    }
}

/// What a plugin says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Name for lists and logs.
    pub name: String,
    /// The author's version.
    pub version: String,
    /// JSON Schema of the parameters.
    pub parameters_schema: String,
}

/// The sandbox of a process. Cheap to clone; plugins keep what they need of it alive.
#[derive(Clone)]
pub struct Runtime {
    shared: Arc<Shared>,
}

struct Shared {
    /// Rating and rules: NaNs have one bit pattern, a call has an instance of its own.
    exact: Engine,
    /// Policies: no ratings come out of them, so NaNs stay as the processor makes them (up to 4 times faster on transcendental loops).
    fast: Engine,
    running: Arc<Slots>,
    compiled: Mutex<HashMap<(Role, Digest), Component>>,
}

impl Runtime {
    /// Reserves address space for the sandboxes (no memory yet) and starts the thread that watches deadlines. Do this once per process.
    ///
    /// # Errors
    /// The environment's fault: too little address space, no thread.
    pub fn new() -> Result<Self, RuntimeError> {
        let exact = engine(true, RUNNING_MAX).map_err(RuntimeError::Sandbox)?;
        let fast = engine(false, POLICIES_MAX + RUNNING_MAX).map_err(RuntimeError::Sandbox)?;
        watch_deadlines([exact.weak(), fast.weak()])?;
        let shared = Shared { exact, fast, running: Arc::new(Slots::new(RUNNING_MAX)), compiled: Mutex::default() };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Loads a rating engine for one queue and asks it for the belief about a stranger.
    ///
    /// # Errors
    /// See [`LoadError`]; nothing keeps running after an error.
    pub fn load_rating(&self, spec: PluginSpec, shape: &QueueShape) -> Result<RatingPlugin, LoadError> {
        RatingPlugin::new(self.load(Role::Rating, spec, shape)?)
    }

    /// Loads stat rules for one queue and reads their bounds.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load_rules(&self, spec: PluginSpec, shape: &QueueShape) -> Result<RulesPlugin, LoadError> {
        RulesPlugin::new(self.load(Role::Rules, spec, shape)?)
    }

    /// Loads a matchmaking policy for one queue.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load_policy(&self, spec: PluginSpec, shape: &QueueShape) -> Result<PolicyPlugin, LoadError> {
        PolicyPlugin::new(self.load(Role::Policy, spec, shape)?)
    }

    /// Everything that all roles have in common.
    fn load(&self, role: Role, spec: PluginSpec, shape: &QueueShape) -> Result<Loaded, LoadError> {
        spec.limits.check()?;
        let terms = Terms {
            name: spec.name.into(),
            digest: spec.source.digest(),
            parameters: canonical_parameters(&spec.parameters)?,
            limits: spec.limits,
            faults_max: spec.faults_max.max(1),
        };
        let component = self.compile(role, &spec.source)?;
        Surface::of(&component.component_type(), component.engine()).check(role)?;
        let prepared = Prepared::new(&component)?;
        let engine = component.engine().clone();
        let service = Service::new(terms, shape.clone(), engine, Arc::clone(&self.shared.running));
        let description = prepared.describe(&service)?;
        prepared.try_parameters(&service)?;
        Ok(Loaded { service, prepared, description })
    }

    /// Compiles, or finds what was compiled before.
    pub(crate) fn compile(&self, role: Role, source: &PluginSource) -> Result<Component, LoadError> {
        let bytes = source.bytes();
        if bytes.len() > COMPONENT_BYTES_MAX {
            return Err(LoadError::TooLarge { bytes: bytes.len(), bytes_max: COMPONENT_BYTES_MAX });
        }
        // Magic, then version 1 and layer 0: a module. Components have layer 1.
        if bytes.starts_with(b"\0asm\x01\0\0\0") {
            return Err(LoadError::CoreModule);
        }
        let key = (role, source.digest());
        let compiled = || self.shared.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(component) = compiled().get(&key) {
            return Ok(component.clone());
        }
        let engine = match role {
            Role::Rating | Role::Rules => &self.shared.exact,
            Role::Policy => &self.shared.fast,
        };
        let component = Component::from_binary(engine, bytes).map_err(|source| LoadError::Compile { source })?;
        let mut compiled = compiled();
        if compiled.len() >= COMPILED_MAX {
            compiled.clear();
        }
        compiled.insert(key, component.clone());
        Ok(component)
    }

    /// A service that belongs to no queue, for looking at a component from outside.
    pub(crate) fn service_for_inspection(&self, role: Role, source: &PluginSource, component: &Component) -> Service {
        let terms = Terms {
            name: "inspection".into(),
            digest: source.digest(),
            parameters: "{}".to_owned(),
            limits: Limits::of(role),
            faults_max: FAULTS_MAX_DEFAULT,
        };
        Service::new(terms, QueueShape::default(), component.engine().clone(), Arc::clone(&self.shared.running))
    }
}

/// A component that passed its audit and took its parameters; the role decides what is asked of it next.
pub(crate) struct Loaded {
    pub(crate) service: Service,
    pub(crate) prepared: Prepared,
    pub(crate) description: Description,
}

/// A component with its imports resolved: an instance is one step away.
pub(crate) struct Prepared {
    pub(crate) pre: InstancePre<Guest>,
    base: BaseIndices,
}

impl Prepared {
    pub(crate) fn new(component: &Component) -> Result<Self, LoadError> {
        let mismatch = |source| LoadError::Mismatch { source };
        let mut linker = Linker::new(component.engine());
        offer_log(&mut linker).map_err(mismatch)?;
        let pre = linker.instantiate_pre(component).map_err(mismatch)?;
        let base = BaseIndices::new(&pre).map_err(mismatch)?;
        Ok(Self { pre, base })
    }

    /// Makes an instance and configures it.
    pub(crate) fn start(&self, service: &Service, store: &mut Store<Guest>) -> Result<Instance, Stop> {
        let (instance, refused) = self.start_unless_refused(service, store)?;
        match refused.as_slice() {
            [] => Ok(instance),
            _ => Err(bad_output("configure", "refused parameters that it took before")),
        }
    }

    fn start_unless_refused(
        &self,
        service: &Service,
        store: &mut Store<Guest>,
    ) -> Result<(Instance, Vec<lifecycle::ParameterError>), Stop> {
        fn names(names: &[String]) -> Vec<&str> {
            names.iter().map(String::as_str).collect()
        }
        let instance = self.pre.instantiate(&mut *store)?;
        let base = self.base.load(&mut *store, &instance)?;
        let shape = &service.shape;
        let (stats, totals, regions) = (names(&shape.stats), names(&shape.totals), names(&shape.regions));
        let (maps, modes, sides, roles) = (names(&shape.maps), names(&shape.modes), names(&shape.sides), names(&shape.roles));
        let shape = lifecycle::QueueShape {
            queue: &shape.queue,
            teams: shape.teams,
            team_sizes: &shape.team_sizes,
            stats: &stats,
            regions: &regions,
            maps: &maps,
            modes: &modes,
            sides: &sides,
            totals: &totals,
            roles: &roles,
        };
        match base.ranked_plugin_lifecycle().call_configure(store, shape, &service.parameters)? {
            Ok(()) => Ok((instance, Vec::new())),
            Err(problems) if problems.is_empty() => Err(bad_output("configure", "refused the parameters without naming one")),
            Err(problems) => Ok((instance, problems)),
        }
    }

    pub(crate) fn describe(&self, service: &Service) -> Result<Description, LoadError> {
        let described = service.call_fresh("describe", |store| {
            let instance = self.pre.instantiate(&mut *store)?;
            let base = self.base.load(&mut *store, &instance)?;
            let lifecycle::Description { name, version, parameters_schema } = base.ranked_plugin_lifecycle().call_describe(store)?;
            if name.is_empty() || version.is_empty() || parameters_schema.len() > SCHEMA_BYTES_MAX {
                return Err(bad_output("describe", "name or version is empty, or the schema longer than 64 KiB"));
            }
            Ok(Description { name: shown(&name), version: shown(&version), parameters_schema })
        });
        described.map_err(|source| LoadError::Fault { function: "describe", source })
    }

    fn try_parameters(&self, service: &Service) -> Result<(), LoadError> {
        let refused = service
            .call_fresh("configure", |store| self.start_unless_refused(service, store).map(|(_, refused)| refused))
            .map_err(|source| LoadError::Fault { function: "configure", source })?;
        if refused.is_empty() {
            return Ok(());
        }
        let problem = |lifecycle::ParameterError { path, problem }| ParameterProblem { path: shown(&path), problem: shown(&problem) };
        Err(LoadError::Parameters(refused.into_iter().take(PROBLEMS_MAX).map(problem).collect()))
    }
}

/// A guest's text for people: bounded and escaped.
pub(crate) fn shown(text: &str) -> String {
    let mut out = String::new();
    escape_into(&mut out, head(text, TEXT_BYTES_MAX));
    out
}

fn engine(canonical_nans: bool, instances: u32) -> wasmtime::Result<Engine> {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances * CORE_INSTANCES_MAX)
        .total_memories(instances)
        .total_tables(instances * 4)
        .max_memory_size(usize::try_from(MEMORY_BYTES_CEILING).unwrap_or(usize::MAX))
        .linear_memory_keep_resident(RESIDENT_BYTES)
        .table_keep_resident(4 << 10)
        .pagemap_scan(Enabled::Auto);
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .consume_fuel(true)
        .epoch_interruption(true)
        .cranelift_nan_canonicalization(canonical_nans)
        // Its results may differ from one processor to another: the same journal would give other ratings.
        .wasm_relaxed_simd(false)
        .wasm_memory64(false)
        // Nobody writes two memories, but the compiler itself does, where one core module of a component calls another.
        .wasm_multi_memory(true)
        // A trap is told by its kind and the guest's last log line; frames of stripped components say nothing.
        .wasm_backtrace_max_frames(None);
    Engine::new(&config)
}

/// Moves the deadlines of all stores on. Ends by itself when the last plugin is gone.
fn watch_deadlines(engines: [EngineWeak; 2]) -> std::io::Result<()> {
    std::thread::Builder::new().name("plugin-deadline".to_owned()).spawn(move || {
        loop {
            std::thread::sleep(Duration::from_millis(EPOCH_TICK_MS));
            let alive = engines.each_ref().map(|engine| engine.upgrade().inspect(Engine::increment_epoch).is_some());
            if alive == [false, false] {
                return;
            }
        }
    })?;
    Ok(())
}
