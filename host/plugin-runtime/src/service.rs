//! One plugin in service: its budget, its counters, its quarantine, and how a failed call becomes a typed fault.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use ladder::fault::PluginFault;
use ladder::id::Digest;
use ladder::queue::QueueShape;
use wasmtime::{Engine, Store, Trap};

use crate::counters::{Counters, PluginCounters, Usage};
use crate::guest::{Guest, arm};
use crate::limits::Limits;
use crate::wasi::HostTrap;

/// Share of the fuel budget from which the host warns.
const FUEL_SHARE_WARNING: f64 = 0.7;

/// Why a call ended early, before it has become a fault.
pub(crate) enum Stop {
    /// The host found the fault in the answer.
    Fault(PluginFault),
    /// The guest trapped, or its answer could not be lifted.
    Guest(wasmtime::Error),
}

impl From<PluginFault> for Stop {
    fn from(fault: PluginFault) -> Self {
        Self::Fault(fault)
    }
}

impl From<wasmtime::Error> for Stop {
    fn from(error: wasmtime::Error) -> Self {
        Self::Guest(error)
    }
}

/// The fault of an answer that breaks the contract.
pub(crate) fn bad_output(place: &'static str, problem: impl Into<String>) -> Stop {
    Stop::Fault(PluginFault::BadOutput { place, problem: problem.into() })
}

/// Who the plugin is and how it behaved; the same for all roles.
pub(crate) struct Service {
    /// `queue.role`.
    pub(crate) name: Arc<str>,
    pub(crate) digest: Digest,
    /// Canonical JSON.
    pub(crate) parameters: String,
    pub(crate) shape: QueueShape,
    limits: Limits,
    faults_max: u32,
    counters: Counters,
    engine: Engine,
    slots: Arc<Slots>,
}

/// What [`Service::new`] takes from the operator, checked.
pub(crate) struct Terms {
    pub(crate) name: Arc<str>,
    pub(crate) digest: Digest,
    pub(crate) parameters: String,
    pub(crate) limits: Limits,
    pub(crate) faults_max: u32,
}

impl Service {
    pub(crate) fn new(terms: Terms, shape: QueueShape, engine: Engine, slots: Arc<Slots>) -> Self {
        let Terms { name, digest, parameters, limits, faults_max } = terms;
        Self { name, digest, parameters, shape, limits, faults_max, counters: Counters::default(), engine, slots }
    }

    /// The same plugin with counters of its own, under a name with this suffix.
    pub(crate) fn twin(&self, suffix: &str) -> Self {
        Self {
            name: format!("{}.{suffix}", self.name).into(),
            digest: self.digest,
            parameters: self.parameters.clone(),
            shape: self.shape.clone(),
            limits: self.limits,
            faults_max: self.faults_max,
            counters: Counters::default(),
            engine: self.engine.clone(),
            slots: Arc::clone(&self.slots),
        }
    }

    pub(crate) fn counters(&self) -> PluginCounters {
        self.counters.read(self.faults_max)
    }

    pub(crate) fn deadline_ms_max(&self) -> u64 {
        self.limits.deadline_ms_max
    }

    pub(crate) fn reset_quarantine(&self) {
        self.counters.forgive();
    }

    /// Loading is not service: what it cost is not counted.
    pub(crate) fn begin(&mut self) {
        self.counters = Counters::default();
    }

    /// Runs one call in a store of its own: instantiation, configuration and call share the budget, nothing survives.
    pub(crate) fn call_fresh<R>(
        &self,
        function: &'static str,
        body: impl FnOnce(&mut Store<Guest>) -> Result<R, Stop>,
    ) -> Result<R, PluginFault> {
        self.admit()?;
        let _slot = self.slots.take();
        self.call(function, &mut self.store(), body)
    }

    /// A store for this plugin, without any budget yet.
    pub(crate) fn store(&self) -> Store<Guest> {
        self.store_within(&self.limits)
    }

    /// The same with a memory limit of its own.
    pub(crate) fn store_within(&self, limits: &Limits) -> Store<Guest> {
        Guest::store(&self.engine, &self.name, limits)
    }

    /// The budget of a call for one contest.
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Waits for a place to run a store that is not kept.
    pub(crate) fn take_slot(&self) -> Slot<'_> {
        self.slots.take()
    }

    /// Leave to keep an instance between calls, if one can be spared.
    pub(crate) fn keep_warm(&self) -> Option<WarmPermit> {
        self.slots.keep_warm()
    }

    /// Refuses calls while the plugin is in quarantine.
    pub(crate) fn admit(&self) -> Result<(), PluginFault> {
        let faults_in_a_row = self.counters.faults_in_a_row();
        if faults_in_a_row < self.faults_max {
            return Ok(());
        }
        let fault = PluginFault::Quarantined { faults_in_a_row };
        self.counters.count_end(Some(&fault));
        Err(fault)
    }

    /// Runs one call in `store` with a full budget, and counts what it used and how it ended.
    pub(crate) fn call<R>(
        &self,
        function: &'static str,
        store: &mut Store<Guest>,
        body: impl FnOnce(&mut Store<Guest>) -> Result<R, Stop>,
    ) -> Result<R, PluginFault> {
        self.call_within(&self.limits, function, store, body)
    }

    /// The same with a budget of its own: that of a call for many contests.
    pub(crate) fn call_within<R>(
        &self,
        limits: &Limits,
        function: &'static str,
        store: &mut Store<Guest>,
        body: impl FnOnce(&mut Store<Guest>) -> Result<R, Stop>,
    ) -> Result<R, PluginFault> {
        arm(store, limits);
        let started = Instant::now();
        let result = body(store);
        store.data_mut().log_unfinished_lines();
        let result = result.map_err(|stop| match stop {
            Stop::Fault(fault) => fault,
            Stop::Guest(error) => fault_of(limits, function, store.data(), &error),
        });
        let usage = Usage {
            fuel_used: limits.fuel_max - store.get_fuel().expect("every engine here consumes fuel"),
            fuel_max: limits.fuel_max,
            wall: started.elapsed(),
            memory_bytes: store.data().memory_bytes(),
            log_lines_dropped: store.data().log_lines_dropped(),
        };
        self.count(function, &usage, result.as_ref().err());
        result
    }

    /// Runs one call that nothing depends on, with a full budget: it counts for nothing, and why it failed is only told.
    pub(crate) fn call_aside<R>(
        &self,
        function: &'static str,
        store: &mut Store<Guest>,
        body: impl FnOnce(&mut Store<Guest>) -> Result<R, Stop>,
    ) -> Option<R> {
        arm(store, &self.limits);
        let result = body(store);
        store.data_mut().log_unfinished_lines();
        let fault = match result {
            Ok(answer) => return Some(answer),
            Err(Stop::Fault(fault)) => fault,
            Err(Stop::Guest(error)) => fault_of(&self.limits, function, store.data(), &error),
        };
        if !matches!(fault, PluginFault::Declined { .. }) {
            let plugin = &*self.name;
            tracing::warn!(plugin, function, code = fault.code(), "no answer to a call that nothing depends on: {fault}");
        }
        None
    }

    /// Counts a fault that shows only when several answers are compared.
    pub(crate) fn blame(&self, place: &'static str, problem: String) -> PluginFault {
        let fault = PluginFault::BadOutput { place, problem };
        self.count_fault(place, &fault);
        fault
    }

    fn count(&self, function: &'static str, usage: &Usage, fault: Option<&PluginFault>) {
        let plugin = &*self.name;
        if let Some(share) = self.counters.count_call(usage).filter(|&share| share >= FUEL_SHARE_WARNING) {
            tracing::warn!(plugin, function, fuel_max = usage.fuel_max, "a call used {:.0} % of its fuel", share * 100.0);
        }
        match fault {
            Some(fault) => self.count_fault(function, fault),
            None => {
                self.counters.count_end(None);
            }
        }
    }

    fn count_fault(&self, function: &'static str, fault: &PluginFault) {
        let plugin = &*self.name;
        let in_a_row = self.counters.count_end(Some(fault));
        if matches!(fault, PluginFault::Declined { .. }) {
            return;
        }
        tracing::warn!(plugin, function, code = fault.code(), in_a_row, "plugin fault: {fault}");
        if in_a_row == self.faults_max {
            tracing::error!(plugin, "in quarantine after {in_a_row} faults in a row; the queue's fallback takes over");
        }
    }
}

/// Sorts what wasmtime reports. Refused memory usually ends in a trap of the guest's own allocator, so it is looked at first.
fn fault_of(limits: &Limits, function: &'static str, guest: &Guest, error: &wasmtime::Error) -> PluginFault {
    let trapped = |trap: &str| PluginFault::Trap {
        detail: match guest.last_line() {
            "" => format!("{trap} in {function}"),
            line => format!("{trap} in {function}; last log line: {line}"),
        },
    };
    match (error.downcast_ref::<Trap>(), guest.refused()) {
        (Some(Trap::OutOfFuel), _) => PluginFault::OutOfFuel { fuel_max: limits.fuel_max },
        (Some(Trap::Interrupt), _) => PluginFault::Deadline { deadline_ms_max: limits.deadline_ms_max },
        (Some(Trap::StackOverflow), _) => PluginFault::Stack { stack_bytes_max: limits.stack_bytes_max },
        (_, Some(refused)) => refused.clone(),
        (Some(trap), None) => {
            let trap = trap.to_string();
            trapped(trap.strip_prefix("wasm trap: ").unwrap_or(&trap))
        }
        (None, None) => match error.downcast_ref::<HostTrap>() {
            Some(trap) => trapped(&trap.to_string()),
            None => PluginFault::BadOutput { place: function, problem: error.root_cause().to_string() },
        },
    }
}

/// Bounds how many stores run at once, so that instantiation never meets an empty pool: that would look like the plugin's fault.
pub(crate) struct Slots {
    state: Mutex<SlotState>,
    returned: Condvar,
    /// Instances that may still be kept between calls.
    warm_free: Arc<AtomicU32>,
}

/// Leave to keep one instance between calls; given back when dropped.
pub(crate) struct WarmPermit(Arc<AtomicU32>);

impl Drop for WarmPermit {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

struct SlotState {
    free: u32,
    waiting: u32,
}

/// One running store's place; given back when dropped.
pub(crate) struct Slot<'a>(&'a Slots);

impl Slots {
    pub(crate) fn new(count: u32, warm: u32) -> Self {
        Self {
            state: Mutex::new(SlotState { free: count, waiting: 0 }),
            returned: Condvar::new(),
            warm_free: Arc::new(AtomicU32::new(warm)),
        }
    }

    fn keep_warm(&self) -> Option<WarmPermit> {
        let take = |free: u32| free.checked_sub(1);
        let taken = self.warm_free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken.is_ok().then(|| WarmPermit(Arc::clone(&self.warm_free)))
    }

    /// Waits until a place is free; calls are bounded by their deadline, so the wait is too.
    fn take(&self) -> Slot<'_> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.free == 0 {
            state.waiting += 1;
            state = self.returned.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
        state.free -= 1;
        Slot(self)
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.free += 1;
        // Waking nobody would cost a system call in every rating call.
        if state.waiting > 0 {
            self.0.returned.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Many threads through few places: never more inside than places, and nobody is left waiting.
    #[test]
    fn places_are_never_exceeded_and_nobody_waits_forever() {
        let (slots, inside) = (Slots::new(2, 0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        let slot = slots.take();
                        assert!(inside.fetch_add(1, Ordering::SeqCst) < 2);
                        std::thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(slot);
                    }
                });
            }
        });
    }
}
