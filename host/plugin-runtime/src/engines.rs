//! Wasmtime's engines, one per combination of what can only be set for a whole engine, and the clock behind all deadlines.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use wasmtime::{Config, Enabled, Engine, EngineWeak, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::error::{LoadError, RuntimeError};
use crate::guest::{EPOCH_TICK_MS, INSTANCES_MAX, MEMORIES_MAX, TABLES_MAX};
use crate::limits::{MEMORY_BYTES_CEILING, Role, TABLE_ELEMENTS_CEILING};

/// Rating and rules calls that run at once; more wait.
pub(crate) const RUNNING_MAX: u32 = 32;
/// Rating engines that keep an instance for bulk calls between them; others make one per call.
pub(crate) const WARM_MAX: u32 = 32;
/// Policies in service in one process: each keeps one warm instance.
const POLICIES_MAX: u32 = 64;
/// Engines of one process: each reserves address space for all its instances.
pub(crate) const ENGINES_MAX: usize = 8;
/// Bytes of a guest's memory that stay mapped between calls. More costs clearing, less costs page faults.
const RESIDENT_BYTES: usize = 256 << 10;

/// What tells two engines apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EngineKind {
    /// Rating and rules: NaNs have one bit pattern. No ratings come out of policies, so theirs stay as the processor makes them (up to 4
    /// times faster on transcendental loops).
    canonical_nans: bool,
    stack_bytes: u64,
}

impl EngineKind {
    pub(crate) fn of(role: Role, stack_bytes: u64) -> Self {
        Self { canonical_nans: role != Role::Policy, stack_bytes }
    }

    /// Instances that can be alive at once.
    fn instances(self) -> u32 {
        if self.canonical_nans { RUNNING_MAX + WARM_MAX } else { POLICIES_MAX + RUNNING_MAX }
    }
}

/// The engines of a process, made when the first plugin needs them, gone with the last.
pub(crate) struct Engines {
    made: Arc<Mutex<BTreeMap<EngineKind, EngineWeak>>>,
}

impl Engines {
    /// Starts the thread that watches deadlines.
    pub(crate) fn new() -> Result<Self, RuntimeError> {
        let made = Arc::default();
        watch_deadlines(Arc::clone(&made))?;
        Ok(Self { made })
    }

    /// The engine of this kind; the first call reserves its address space.
    pub(crate) fn of(&self, kind: EngineKind) -> Result<Engine, LoadError> {
        let mut made = locked(&self.made);
        if let Some(engine) = made.get(&kind).and_then(EngineWeak::upgrade) {
            return Ok(engine);
        }
        made.retain(|_, engine| engine.upgrade().is_some());
        if made.len() >= ENGINES_MAX {
            return Err(LoadError::TooManyStackSizes { stack_bytes_max: kind.stack_bytes });
        }
        let engine = engine(kind).map_err(|source| LoadError::Sandbox { source })?;
        made.insert(kind, engine.weak());
        Ok(engine)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn engine(kind: EngineKind) -> wasmtime::Result<Engine> {
    let instances = kind.instances();
    let times = |parts: usize| instances * u32::try_from(parts).expect("parts of a component are few");
    let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let mut pool = PoolingAllocationConfig::new();
    // As many of each part as the largest permitted component needs, so that no neighbor can use them up.
    pool.total_component_instances(instances)
        .total_core_instances(times(INSTANCES_MAX))
        .total_memories(times(MEMORIES_MAX))
        .total_tables(times(TABLES_MAX))
        .max_memory_size(bytes(MEMORY_BYTES_CEILING))
        .table_elements(bytes(TABLE_ELEMENTS_CEILING))
        .linear_memory_keep_resident(RESIDENT_BYTES)
        .table_keep_resident(4 << 10)
        .pagemap_scan(Enabled::Auto);
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .consume_fuel(true)
        .epoch_interruption(true)
        .max_wasm_stack(bytes(kind.stack_bytes))
        .cranelift_nan_canonicalization(kind.canonical_nans)
        // Its results may differ from one processor to another: the same journal would give other ratings.
        .wasm_relaxed_simd(false)
        .wasm_memory64(false)
        // Nobody writes two memories, but the compiler itself does, where one core module of a component calls another.
        .wasm_multi_memory(true)
        // A trap is told by its kind and the guest's last log line; frames of stripped components say nothing.
        .wasm_backtrace_max_frames(None);
    Engine::new(&config)
}

/// Moves the deadlines of all stores on. Ends by itself when the sandbox and the last plugin are gone.
fn watch_deadlines(made: Arc<Mutex<BTreeMap<EngineKind, EngineWeak>>>) -> std::io::Result<()> {
    std::thread::Builder::new().name("plugin-deadline".to_owned()).spawn(move || {
        loop {
            std::thread::sleep(Duration::from_millis(EPOCH_TICK_MS));
            let mut engines = locked(&made);
            engines.retain(|_, engine| engine.upgrade().inspect(Engine::increment_epoch).is_some());
            if engines.is_empty() && Arc::strong_count(&made) == 1 {
                return;
            }
        }
    })?;
    Ok(())
}
