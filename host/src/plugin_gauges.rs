//! What the plugins did, copied into the host's metrics now and then: their own counters never wait for anybody.

use std::sync::Arc;
use std::time::Duration;

use plugin_runtime::{FAULT_CODES, PluginCounters};
use tokio_util::sync::CancellationToken;

use crate::metrics::{FaultLabels, Metrics, PluginLabels, PluginRole};
use crate::plugins::QueuePlugins;

const EVERY: Duration = Duration::from_secs(1);

/// The plugins of every queue, by the queue's name.
pub(crate) type Watched = Vec<(String, Arc<QueuePlugins>)>;

/// Copies counters until `stop`.
pub(crate) async fn run(plugins: Watched, metrics: Arc<Metrics>, stop: CancellationToken) {
    let mut counted: Vec<[Option<PluginCounters>; 3]> = plugins.iter().map(|_| [None, None, None]).collect();
    let mut ticks = tokio::time::interval(EVERY);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        for ((queue, plugins), counted) in plugins.iter().zip(&mut counted) {
            let readings = [
                (PluginRole::Rating, plugins.rating.counters()),
                (PluginRole::Rules, plugins.rules.counters()),
                (PluginRole::Policy, plugins.policy.counters()),
            ];
            for ((role, reading), before) in readings.into_iter().zip(counted) {
                count(&metrics, queue, role, &reading, before.as_ref());
                *before = Some(reading);
            }
        }
    }
}

/// Counters only grow, so that what is new is a difference.
fn count(metrics: &Metrics, queue: &str, role: PluginRole, reading: &PluginCounters, before: Option<&PluginCounters>) {
    let labels = PluginLabels { queue: queue.to_owned(), role };
    metrics.plugin_calls.get_or_create(&labels).inc_by(reading.calls - before.map_or(0, |before| before.calls));
    metrics.plugin_fuel_share.get_or_create(&labels).set(reading.fuel_share_max);
    metrics.plugin_quarantined.get_or_create(&labels).set(i64::from(reading.quarantined));
    for (index, fault) in FAULT_CODES.into_iter().enumerate() {
        let new = reading.faults[index] - before.map_or(0, |before| before.faults[index]);
        if new > 0 {
            metrics.plugin_faults.get_or_create(&FaultLabels { queue: queue.to_owned(), role, fault }).inc_by(new);
        }
    }
}
