//! What the plugins did, copied into the host's metrics now and then: their own counters never wait for anybody.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use plugin_runtime::{FAULT_CODES, PluginCounters};
use tokio_util::sync::CancellationToken;

use crate::current::Current;
use crate::metrics::{FaultLabels, Metrics, PluginLabels, PluginRole};
use crate::plugins::QueuePlugins;

const EVERY: Duration = Duration::from_secs(1);

/// The plugins of one queue, and what of their counters the metrics hold already.
pub(crate) struct Watched {
    queue: String,
    plugins: Current<QueuePlugins>,
    /// Of the rating engine, the rules and the policy that are in force; `None`: nothing yet.
    counted: Mutex<[Option<PluginCounters>; 3]>,
}

impl Watched {
    pub(crate) fn new(queue: &str, plugins: QueuePlugins) -> Self {
        Self { queue: queue.to_owned(), plugins: Current::new(Arc::new(plugins)), counted: Mutex::default() }
    }

    pub(crate) fn queue(&self) -> &str {
        &self.queue
    }

    pub(crate) fn plugins(&self) -> Arc<QueuePlugins> {
        self.plugins.load()
    }

    /// Exchanges plugins. What the old ones did is counted before they go; calls of theirs that are still under way are not.
    pub(crate) fn exchange(&self, metrics: &Metrics, change: impl FnOnce(&mut QueuePlugins)) {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.plugins.load();
        self.count_all(metrics, &before, &mut counted);
        let mut after = QueuePlugins::clone(&before);
        change(&mut after);
        after.connect();
        let stays = [
            Arc::ptr_eq(&before.rating, &after.rating),
            Arc::ptr_eq(&before.rules, &after.rules),
            Arc::ptr_eq(&before.policy, &after.policy),
        ];
        for (counted, _) in counted.iter_mut().zip(stays).filter(|(_, stays)| !stays) {
            *counted = None;
        }
        self.plugins.replace(Arc::new(after));
    }

    fn count(&self, metrics: &Metrics) {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        self.count_all(metrics, &self.plugins.load(), &mut counted);
    }

    fn count_all(&self, metrics: &Metrics, plugins: &QueuePlugins, counted: &mut [Option<PluginCounters>; 3]) {
        let readings = [
            (PluginRole::Rating, plugins.rating.counters()),
            (PluginRole::Rules, plugins.rules.counters()),
            (PluginRole::Policy, plugins.policy.counters()),
        ];
        for ((role, reading), before) in readings.into_iter().zip(counted) {
            count(metrics, &self.queue, role, &reading, before.as_ref());
            *before = Some(reading);
        }
    }
}

/// Copies counters until `stop`.
pub(crate) async fn run(queues: Vec<Arc<Watched>>, metrics: Arc<Metrics>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(EVERY);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        for queue in &queues {
            queue.count(&metrics);
        }
    }
}

/// Counters only grow, so that what is new is a difference.
fn count(metrics: &Metrics, queue: &str, role: PluginRole, reading: &PluginCounters, before: Option<&PluginCounters>) {
    let labels = PluginLabels { queue: queue.to_owned(), role };
    metrics.plugin_calls.get_or_create(&labels).inc_by(reading.calls - before.map_or(0, |before| before.calls));
    metrics.plugin_fuel_share.get_or_create(&labels).set(reading.fuel_share_last);
    metrics.plugin_fuel_share_max.get_or_create(&labels).set(reading.fuel_share_max);
    metrics.plugin_memory_bytes.get_or_create(&labels).set(i64::try_from(reading.memory_bytes_max).unwrap_or(i64::MAX));
    let dropped = reading.log_lines_dropped - before.map_or(0, |before| before.log_lines_dropped);
    metrics.plugin_log_lines_dropped.get_or_create(&labels).inc_by(dropped);
    let walls = (0..reading.wall_buckets.len()).map(|at| reading.wall_buckets[at] - before.map_or(0, |before| before.wall_buckets[at]));
    let wall_us = reading.wall_total_us - before.map_or(0, |before| before.wall_total_us);
    metrics.plugin_call_seconds.get_or_create(&labels).add(walls, wall_us as f64 / 1e6);
    let shares = (0..reading.fuel_share_buckets.len())
        .map(|at| reading.fuel_share_buckets[at] - before.map_or(0, |before| before.fuel_share_buckets[at]));
    let share = reading.fuel_share_total - before.map_or(0.0, |before| before.fuel_share_total);
    metrics.plugin_call_fuel_share.get_or_create(&labels).add(shares, share);
    metrics.plugin_quarantined.get_or_create(&labels).set(i64::from(reading.quarantined));
    for (index, fault) in FAULT_CODES.into_iter().enumerate() {
        let new = reading.faults[index] - before.map_or(0, |before| before.faults[index]);
        if new > 0 {
            metrics.plugin_faults.get_or_create(&FaultLabels { queue: queue.to_owned(), role, fault }).inc_by(new);
        }
    }
}
