//! What each plugin did, in numbers that never block a call.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use ladder::fault::PluginFault;

/// Upper ends of the wall-clock buckets in microseconds; one more bucket holds what is slower.
pub const WALL_BUCKET_ENDS_US: [u64; 15] = [10, 20, 30, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 25_000, 50_000, 100_000, 400_000];
/// Upper ends of the fuel buckets as shares of the budget; the last is the budget itself.
pub const FUEL_SHARE_BUCKET_ENDS: [f64; 10] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 0.7, 0.9, 1.0];
/// Codes of faults in the order of [`PluginCounters::faults`].
pub const FAULT_CODES: [&str; 10] =
    ["trap", "out-of-fuel", "deadline", "memory", "bad-output", "declined", "quarantined", "stack", "table", "hostcall-bytes"];

/// A reading of one plugin's counters since it was loaded.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginCounters {
    /// Calls that ran, faulty ones included; those refused in quarantine are not.
    pub calls: u64,
    /// Faults per code of [`FAULT_CODES`].
    pub faults: [u64; FAULT_CODES.len()],
    /// Faults since the last good call.
    pub faults_in_a_row: u32,
    /// Whether the plugin is out of service until an operator acts.
    pub quarantined: bool,
    /// Fuel of the last call, in units.
    pub fuel_used_last: u64,
    /// Largest share of the fuel budget that any call used, 0 to 1.
    pub fuel_share_max: f64,
    /// Share of the fuel budget that the last call used, 0 to 1.
    pub fuel_share_last: f64,
    /// Fuel of all calls, in units.
    pub fuel_used_total: u64,
    /// Calls per bucket of [`FUEL_SHARE_BUCKET_ENDS`], each counted once.
    pub fuel_share_buckets: [u64; FUEL_SHARE_BUCKET_ENDS.len()],
    /// Sum of the shares of the fuel budget of all calls.
    pub fuel_share_total: f64,
    /// The most memory and tables that any call had, in bytes.
    pub memory_bytes_max: u64,
    /// Calls per bucket of [`WALL_BUCKET_ENDS_US`], each counted once; the last is for slower ones.
    pub wall_buckets: [u64; WALL_BUCKET_ENDS_US.len() + 1],
    /// Wall-clock time of all calls in microseconds.
    pub wall_total_us: u64,
    /// Log lines that were dropped because a call wrote too many.
    pub log_lines_dropped: u64,
}

/// Fuel shares are kept in parts of this.
const SHARE_UNIT: u64 = 1_000_000;

#[derive(Default)]
pub(crate) struct Counters {
    calls: AtomicU64,
    faults: [AtomicU64; FAULT_CODES.len()],
    faults_in_a_row: AtomicU32,
    fuel_used_last: AtomicU64,
    fuel_share_max: AtomicU64,
    fuel_share_last: AtomicU64,
    fuel_used_total: AtomicU64,
    fuel_share_buckets: [AtomicU64; FUEL_SHARE_BUCKET_ENDS.len()],
    fuel_share_total: AtomicU64,
    memory_bytes_max: AtomicU64,
    wall_buckets: [AtomicU64; WALL_BUCKET_ENDS_US.len() + 1],
    wall_total_ns: AtomicU64,
    log_lines_dropped: AtomicU64,
}

/// What one call used.
pub(crate) struct Usage {
    pub(crate) fuel_used: u64,
    pub(crate) fuel_max: u64,
    pub(crate) wall: Duration,
    pub(crate) memory_bytes: u64,
    pub(crate) log_lines_dropped: u32,
}

impl Counters {
    /// Counts one call; returns the share of the fuel if it is a new maximum.
    pub(crate) fn count_call(&self, usage: &Usage) -> Option<f64> {
        let add = |counter: &AtomicU64, by: u64| counter.fetch_add(by, Ordering::Relaxed);
        add(&self.calls, 1);
        self.fuel_used_last.store(usage.fuel_used, Ordering::Relaxed);
        add(&self.fuel_used_total, usage.fuel_used);
        let wall_us = u64::try_from(usage.wall.as_micros()).unwrap_or(u64::MAX);
        add(&self.wall_buckets[WALL_BUCKET_ENDS_US.partition_point(|&end| end < wall_us)], 1);
        add(&self.wall_total_ns, u64::try_from(usage.wall.as_nanos()).unwrap_or(u64::MAX));
        add(&self.log_lines_dropped, u64::from(usage.log_lines_dropped));
        let share = u128::from(usage.fuel_used) * u128::from(SHARE_UNIT) / u128::from(usage.fuel_max.max(1));
        let share = u64::try_from(share).unwrap_or(SHARE_UNIT).min(SHARE_UNIT);
        self.fuel_share_last.store(share, Ordering::Relaxed);
        add(&self.fuel_share_total, share);
        let bucket = FUEL_SHARE_BUCKET_ENDS.partition_point(|&end| end < share_of(share));
        add(&self.fuel_share_buckets[bucket.min(FUEL_SHARE_BUCKET_ENDS.len() - 1)], 1);
        self.memory_bytes_max.fetch_max(usage.memory_bytes, Ordering::Relaxed);
        let before = self.fuel_share_max.fetch_max(share, Ordering::Relaxed);
        (share > before).then(|| share_of(share))
    }

    /// Counts how a call ended; returns the number of faults in a row.
    pub(crate) fn count_end(&self, fault: Option<&PluginFault>) -> u32 {
        let Some(fault) = fault else {
            self.faults_in_a_row.store(0, Ordering::Relaxed);
            return 0;
        };
        if let Some(index) = FAULT_CODES.iter().position(|code| *code == fault.code()) {
            self.faults[index].fetch_add(1, Ordering::Relaxed);
        }
        match fault {
            // Saying "this contest is not for me" is what the contract asks for, not a broken plugin.
            PluginFault::Declined { .. } => {
                self.faults_in_a_row.store(0, Ordering::Relaxed);
                0
            }
            PluginFault::Quarantined { .. } => self.faults_in_a_row(),
            _ => self.faults_in_a_row.fetch_add(1, Ordering::Relaxed).saturating_add(1),
        }
    }

    pub(crate) fn faults_in_a_row(&self) -> u32 {
        self.faults_in_a_row.load(Ordering::Relaxed)
    }

    pub(crate) fn forgive(&self) {
        self.faults_in_a_row.store(0, Ordering::Relaxed);
    }

    pub(crate) fn read(&self, faults_max: u32) -> PluginCounters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let faults_in_a_row = self.faults_in_a_row();
        PluginCounters {
            calls: read(&self.calls),
            faults: self.faults.each_ref().map(read),
            faults_in_a_row,
            quarantined: faults_in_a_row >= faults_max,
            fuel_used_last: read(&self.fuel_used_last),
            fuel_share_max: share_of(read(&self.fuel_share_max)),
            fuel_share_last: share_of(read(&self.fuel_share_last)),
            fuel_used_total: read(&self.fuel_used_total),
            fuel_share_buckets: self.fuel_share_buckets.each_ref().map(read),
            fuel_share_total: share_of(read(&self.fuel_share_total)),
            memory_bytes_max: read(&self.memory_bytes_max),
            wall_buckets: self.wall_buckets.each_ref().map(read),
            wall_total_us: read(&self.wall_total_ns) / 1000,
            log_lines_dropped: read(&self.log_lines_dropped),
        }
    }
}

fn share_of(parts: u64) -> f64 {
    parts as f64 / SHARE_UNIT as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(fuel_used: u64, wall_us: u64) -> Usage {
        Usage { fuel_used, fuel_max: 1000, wall: Duration::from_micros(wall_us), memory_bytes: fuel_used, log_lines_dropped: 0 }
    }

    #[test]
    fn every_call_is_in_one_bucket_and_only_new_maxima_are_told() {
        let counters = Counters::default();
        assert_eq!(counters.count_call(&usage(500, 10)), Some(0.5));
        assert_eq!(counters.count_call(&usage(400, 11)), None);
        assert_eq!(counters.count_call(&usage(1000, 400_001)), Some(1.0));
        let read = counters.read(5);
        assert_eq!((read.wall_buckets[0], read.wall_buckets[1], read.wall_buckets[15]), (1, 1, 1));
        assert_eq!(read.fuel_share_buckets, [0, 0, 0, 0, 0, 0, 2, 0, 0, 1]);
        assert_eq!((read.fuel_share_last, read.fuel_share_total, read.memory_bytes_max), (1.0, 1.9, 1000));
        assert_eq!((read.calls, read.fuel_used_last, read.fuel_used_total, read.fuel_share_max), (3, 1000, 1900, 1.0));
    }

    #[test]
    fn a_declined_contest_does_not_lead_to_quarantine() {
        let counters = Counters::default();
        let trap = PluginFault::Trap { detail: String::new() };
        let declined = PluginFault::Declined { detail: "out-of-range" };
        let table = [(Some(&trap), 1), (Some(&trap), 2), (Some(&declined), 0), (Some(&trap), 1), (None, 0)];
        for (step, (fault, in_a_row)) in table.into_iter().enumerate() {
            assert_eq!(counters.count_end(fault), in_a_row, "step {step}");
        }
        assert_eq!(counters.read(5).faults, [3, 0, 0, 0, 0, 1, 0, 0, 0, 0]);
    }
}
