//! The sandbox: the way from bytes to a plugin in service.
//!
//! ```text
//! bytes -> size -> compile -> audit imports and exports -> describe -> configure -> first answers -> in service
//! ```
//! Nothing of a component runs before its audit.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use ladder::id::Digest;
use ladder::queue::QueueShape;
use wasmtime::Store;
use wasmtime::component::{Component, Instance, InstancePre, Linker};

use crate::audit::{Grants, Surface};
use crate::bindings::base::BaseIndices;
use crate::bindings::base::exports::ranked::plugin::lifecycle;
use crate::cache::{CacheCounters, CompileCache};
use crate::code::check_code;
use crate::engines::{EngineKind, Engines, RUNNING_MAX, WARM_MAX};
use crate::error::{COMPONENT_BYTES_MAX, LoadError, ParameterProblem, RuntimeError};
use crate::forecast::offer_forecast;
use crate::guest::{Guest, escape_into, head, offer_log};
use crate::limits::{Limits, Role, WasiGrant};
use crate::parameters::canonical_parameters;
use crate::policy::PolicyPlugin;
use crate::rating::RatingPlugin;
use crate::rules::RulesPlugin;
use crate::service::{Service, Slots, Stop, Terms, bad_output};
use crate::source::PluginSource;
use crate::wasi::offer_wasi;

/// Faults in a row that lead to quarantine unless `plugins.toml` says otherwise.
pub const FAULTS_MAX_DEFAULT: u32 = 5;
/// Compiled components that are kept for the next queue that uses the same bytes.
const COMPILED_MAX: usize = 32;
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
    /// What it may import beside the contract.
    pub wasi: WasiGrant,
}

impl PluginSpec {
    /// The component with the default budget of `role`, without parameters.
    #[must_use]
    pub fn new(name: impl Into<String>, role: Role, source: PluginSource) -> Self {
        Self {
            name: name.into(),
            source,
            limits: Limits::of(role),
            parameters: String::new(),
            faults_max: FAULTS_MAX_DEFAULT,
            wasi: WasiGrant::None,
        }
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
    engines: Engines,
    running: Arc<Slots>,
    compiled: Mutex<HashMap<(EngineKind, Digest), Component>>,
    cache: Option<CompileCache>,
}

impl Runtime {
    /// Starts the thread that watches deadlines. Do this once per process.
    ///
    /// # Errors
    /// The environment's fault: no thread.
    pub fn new() -> Result<Self, RuntimeError> {
        Self::made(None)
    }

    /// As [`Runtime::new`], and keeps compiled code in `folder`, so that the next start does not compile again.
    ///
    /// A file there is native code, so it is loaded only if it was authenticated with `key`: 32 bytes that nobody else has, the same at
    /// every start. A folder that cannot be written costs time at the next start and nothing else.
    ///
    /// # Errors
    /// As [`Runtime::new`].
    pub fn with_cache(folder: impl AsRef<Path>, key: [u8; 32]) -> Result<Self, RuntimeError> {
        Self::made(Some(CompileCache::new(folder.as_ref(), key)))
    }

    fn made(cache: Option<CompileCache>) -> Result<Self, RuntimeError> {
        let running = Arc::new(Slots::new(RUNNING_MAX, WARM_MAX));
        let shared = Shared { engines: Engines::new()?, running, compiled: Mutex::default(), cache };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// What the cache of compiled code was good for; zeros without one.
    #[must_use]
    pub fn cache_counters(&self) -> CacheCounters {
        self.shared.cache.as_ref().map(CompileCache::counters).unwrap_or_default()
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
        let component = self.compile(EngineKind::of(role, spec.limits.stack_bytes_max), &spec.source)?;
        let grants = Grants::of(role, spec.wasi);
        let surface = Surface::of(&component.component_type(), component.engine());
        surface.check(role, grants)?;
        let prepared = Prepared::new(&component, grants)?;
        let engine = component.engine().clone();
        let service = Service::new(terms, shape.clone(), engine, Arc::clone(&self.shared.running));
        let description = prepared.describe(&service)?;
        prepared.try_parameters(&service)?;
        Ok(Loaded { service, prepared, description, imports_forecast: surface.imports_forecast() })
    }

    /// Compiles, or finds what was compiled before.
    pub(crate) fn compile(&self, kind: EngineKind, source: &PluginSource) -> Result<Component, LoadError> {
        let bytes = source.bytes();
        if bytes.len() > COMPONENT_BYTES_MAX {
            return Err(LoadError::TooLarge { bytes: bytes.len(), bytes_max: COMPONENT_BYTES_MAX });
        }
        // Magic, then version 1 and layer 0: a module. Components have layer 1.
        if bytes.starts_with(b"\0asm\x01\0\0\0") {
            return Err(LoadError::CoreModule);
        }
        let key = (kind, source.digest());
        let compiled = || self.shared.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(component) = compiled().get(&key) {
            return Ok(component.clone());
        }
        let engine = match self.shared.engines.of(kind) {
            // What is kept for later keeps its engine too.
            Err(LoadError::TooManyStackSizes { .. }) => {
                compiled().clear();
                self.shared.engines.of(kind)?
            }
            engine => engine?,
        };
        let compile = || {
            check_code(bytes)?;
            Component::from_binary(&engine, bytes).map_err(|source| LoadError::Compile { source })
        };
        let component = match &self.shared.cache {
            Some(cache) => cache.find_or_compile(&engine, source.digest(), compile)?,
            None => compile()?,
        };
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
    pub(crate) imports_forecast: bool,
}

/// A component with its imports resolved: an instance is one step away.
#[derive(Clone)]
pub(crate) struct Prepared {
    pub(crate) pre: InstancePre<Guest>,
    base: BaseIndices,
}

impl Prepared {
    pub(crate) fn new(component: &Component, grants: Grants) -> Result<Self, LoadError> {
        let mismatch = |source| LoadError::Mismatch { source };
        let mut linker = Linker::new(component.engine());
        offer_log(&mut linker).map_err(mismatch)?;
        if grants.wasi == WasiGrant::Deterministic {
            offer_wasi(&mut linker, component).map_err(mismatch)?;
        }
        if grants.forecast {
            offer_forecast(&mut linker).map_err(mismatch)?;
        }
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

    /// Loads the functions of a role once, only to compare their types: a component that was built against a draft is told so before it is in
    /// service.
    pub(crate) fn compare_types<E>(
        &self,
        service: &Service,
        load: impl FnOnce(&mut Store<Guest>, &Instance) -> wasmtime::Result<E>,
    ) -> Result<(), LoadError> {
        let mut mismatch = None;
        let started = service.call_fresh("configure", |store| {
            let instance = self.start(service, store)?;
            mismatch = load(store, &instance).err();
            Ok(())
        });
        started.map_err(|source| LoadError::Fault { function: "configure", source })?;
        mismatch.map_or(Ok(()), |source| Err(LoadError::Mismatch { source }))
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
