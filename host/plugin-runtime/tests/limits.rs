//! Limits of one plugin, set by its operator: each holds where it was set, and says so by its name.
#![allow(missing_docs, clippy::unwrap_used)]

use hostile::guest::{Base, Rater};
use ladder::fault::PluginFault;
use ladder::queue::QueueShape;
use ladder::rating::{Contest, Entrant, Rating, RatingEngine as _, Setting};
use plugin_runtime::{Limits, LoadError, PluginSource, PluginSpec, RatingPlugin, Role, Runtime, STACK_BYTES_CEILING, STACK_BYTES_FLOOR};

fn contest() -> Contest {
    let entrant = |team| Entrant {
        rating: Rating { mean: 25.0, uncertainty: 8.0, memory: Vec::new() },
        team,
        contests: 0,
        idle_s: 0,
        presence: 1.0,
        stats: Vec::new(),
    };
    let entrants = vec![entrant(0), entrant(1)];
    Contest { places: vec![0, 1], scores: Vec::new(), setting: Setting::default(), totals: Vec::new(), trust: 1.0, entrants }
}

fn load(runtime: &Runtime, rater: &Rater, limits: Limits) -> Result<RatingPlugin, LoadError> {
    let spec = PluginSpec::new("duel.rating", Role::Rating, PluginSource::new(rater.component()));
    let duel = QueueShape { queue: "duel".to_owned(), teams: 2, team_sizes: vec![1], ..QueueShape::default() };
    runtime.load_rating(PluginSpec { limits, ..spec }, &duel)
}

fn fault(runtime: &Runtime, rater: &Rater, limits: Limits) -> Option<PluginFault> {
    load(runtime, rater, limits).unwrap().rate(&[], &contest()).err()
}

const LIMITS: fn() -> Limits = || Limits::of(Role::Rating);

#[test]
fn a_stack_is_as_deep_as_the_operator_wrote() {
    let runtime = Runtime::new().unwrap();
    let extra = "(func $deeper (param i32) (result i32)
        (if (result i32) (i32.eqz (local.get 0)) (then (i32.const 0))
            (else (i32.add (call $deeper (i32.sub (local.get 0) (i32.const 1))) (i32.const 1)))))";
    let rater = Rater {
        base: Base { extra, ..Base::SOUND },
        rate: "(if (i32.ne (call $deeper (i32.const 8000)) (i32.const 8000)) (then unreachable)) (global.get $ok_two)",
        ..Rater::SOUND
    };
    let with = |stack_bytes_max| fault(&runtime, &rater, Limits { stack_bytes_max, ..LIMITS() });
    assert_eq!(with(STACK_BYTES_FLOOR), Some(PluginFault::Stack { stack_bytes_max: STACK_BYTES_FLOOR }));
    assert_eq!(with(STACK_BYTES_CEILING), None);
}

#[test]
fn tables_have_a_limit_of_their_own() {
    let runtime = Runtime::new().unwrap();
    let grow = |rate| Rater { base: Base { extra: "(table 1 funcref)", ..Base::SOUND }, rate, ..Rater::SOUND };
    // Its own entry, one in which the component keeps its import, and nine more.
    let limits = Limits { table_elements_max: 11, ..LIMITS() };
    let by_nine = grow("(if (i32.eq (table.grow (ref.null func) (i32.const 9)) (i32.const -1)) (then unreachable)) (global.get $ok_two)");
    assert_eq!(fault(&runtime, &by_nine, limits), None);
    let by_ten = grow("(if (i32.eq (table.grow (ref.null func) (i32.const 10)) (i32.const -1)) (then unreachable)) (global.get $ok_two)");
    assert_eq!(fault(&runtime, &by_ten, limits), Some(PluginFault::Table { table_elements_max: 11 }));
}

#[test]
fn what_goes_through_host_functions_is_limited_call_by_call() {
    let runtime = Runtime::new().unwrap();
    // Ten lines of 27 bytes.
    let rate = "(local $n i32) (loop $l (call $log (i32.const 0) (i32.const 48) (i32.const 27))
        (local.set $n (i32.add (local.get $n) (i32.const 1))) (br_if $l (i32.lt_u (local.get $n) (i32.const 10)))) (global.get $ok_two)";
    let rater = Rater::rating(rate);
    let enough = load(&runtime, &rater, Limits { hostcall_bytes_max: 270, ..LIMITS() }).unwrap();
    for _ in 0..3 {
        enough.rate(&[], &contest()).unwrap();
    }
    let fault = fault(&runtime, &rater, Limits { hostcall_bytes_max: 269, ..LIMITS() });
    assert_eq!(fault, Some(PluginFault::HostcallBytes { hostcall_bytes_max: 269 }));
}

#[test]
fn the_peak_of_memory_and_the_shares_of_fuel_are_counted() {
    let runtime = Runtime::new().unwrap();
    let rater = Rater::rating("(drop (memory.grow (i32.const 3))) (global.get $ok_two)");
    let plugin = load(&runtime, &rater, LIMITS()).unwrap();
    plugin.rate(&[], &contest()).unwrap();
    let counters = plugin.counters();
    // Five pages, and the table entry in which the component keeps its import.
    assert_eq!(counters.memory_bytes_max, 5 * 65_536 + 16);
    assert_eq!(counters.fuel_share_buckets.iter().sum::<u64>(), 1);
    assert!(counters.fuel_share_last > 0.0 && counters.fuel_share_last == counters.fuel_share_max);
}

/// An engine per stack size reserves address space; those that nobody uses any more make room.
#[test]
fn only_so_many_stack_sizes_are_in_use_at_once() {
    let runtime = Runtime::new().unwrap();
    let of = |number: u64| load(&runtime, &Rater::SOUND, Limits { stack_bytes_max: STACK_BYTES_FLOOR + number * 4096, ..LIMITS() });
    for number in 0..20 {
        drop(of(number).unwrap());
    }
    let kept: Vec<_> = (0..8).map(|number| of(number).unwrap()).collect();
    let error = of(8).err().unwrap();
    assert!(matches!(error, LoadError::TooManyStackSizes { .. }), "{error}");
    drop(kept);
    of(8).unwrap();
}
