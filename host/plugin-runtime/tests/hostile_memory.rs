//! What the whole catalog of hostile components costs the host in memory: a bounded peak, and nothing that stays. A binary of its own, because
//! it measures its process.
#![cfg(target_os = "linux")]
#![allow(missing_docs, unreachable_pub, dead_code, clippy::unwrap_used)]

#[path = "hostile/trial.rs"]
mod trial;

use hostile::{Ending, HostileComponent, components};
use plugin_runtime::Runtime;
use trial::{Neighbor, Trial};

const MIB: u64 = 1 << 20;
/// Rounds that are measured, after those in which caches, the allocator and the places of the sandbox fill up. Measured: 217 MiB after 4
/// rounds, 228 after 8, 229 after 9 to 12.
const ROUNDS: u32 = 3;
const WARM_UP: u32 = 4;
/// What may stay after [`ROUNDS`] rounds of a hundred attacks: room for the allocator's moods and for places of the sandbox that are used for
/// the first time (measured: 12 to 29 MiB). One instance or one answer kept per attack would be more.
const GROWTH_BYTES_MAX: u64 = 64 * MIB;
/// What the host may hold at once beyond what it started with; measured: 92 MiB. The largest parts are the compiler at work and the 32 MiB
/// of the largest component.
const PEAK_BYTES_MAX: u64 = 160 * MIB;

/// A line of this process's status, in bytes.
fn status(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// Loads the component and, if it loads, calls it twice.
fn attack(runtime: &Runtime, component: &HostileComponent, bytes: &'static [u8]) {
    if let Ok(trial) = Trial::load(runtime, component, bytes) {
        let function = match component.ending {
            Ending::Fault { function, .. } | Ending::FaultSometimes { function, .. } => function,
            _ => trial.main_function(),
        };
        for _ in 0..2 {
            let expected_to_fail = matches!(component.ending, Ending::Fault { .. } | Ending::AgainstTheRules { .. });
            assert_eq!(trial.call(function).is_err(), expected_to_fail, "{}", component.name);
        }
    }
}

/// Goal: no attack leaves anything in the host's memory, and none makes it large. Method: the whole catalog again and again in one sandbox;
/// what the process holds after the last round is what it held after the first ones, and its peak is bounded.
#[test]
fn the_host_stays_small_however_often_it_is_attacked() {
    let runtime = Runtime::new().unwrap();
    let neighbor = Neighbor::new(&runtime);
    let catalog: Vec<(_, &[u8])> = components().map(|component| (component, &*component.bytes().leak())).collect();
    // The peak counts from here: what the catalog itself needed to be assembled does not matter.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = status("VmRSS");
    let mut after_warm_up = 0;
    for round in 0..WARM_UP + ROUNDS {
        for (component, bytes) in &catalog {
            attack(&runtime, component, bytes);
            neighbor.is_unharmed(component.name);
        }
        if round + 1 == WARM_UP {
            after_warm_up = status("VmRSS");
        }
    }
    let (after, peak) = (status("VmRSS"), status("VmHWM"));
    let mib = |bytes: u64| bytes / MIB;
    let figures = format!(
        "{} MiB before, {} after {WARM_UP} rounds, {} after {ROUNDS} more, {} at the peak",
        mib(before),
        mib(after_warm_up),
        mib(after),
        mib(peak)
    );
    assert!(after.saturating_sub(after_warm_up) <= GROWTH_BYTES_MAX, "{figures}");
    assert!(peak.saturating_sub(before) <= PEAK_BYTES_MAX, "{figures}");
}
