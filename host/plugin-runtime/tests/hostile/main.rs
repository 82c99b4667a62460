//! Components that break the contract: each ends as a named fault within its budget, and the neighbors do not notice.
//!
//! [`endings`] goes through the whole catalog of `plugins/hostile`; [`traces`] looks at what single ones might leave behind. Here is what the
//! sandbox does with components that are made for one test.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod endings;
mod traces;
mod trial;

use hostile::guest::{Base, Rater};
use ladder::fault::PluginFault;
use ladder::queue::QueueShape;
use ladder::rating::{Contest, RatingEngine, Setting};
use plugin_runtime::{
    FAULT_CODES, LOG_LINES_MAX, Limits, LoadError, ParameterProblem, PluginSource, PluginSpec, RatingPlugin, Role, Runtime,
};
use trial::contest;

fn duel() -> QueueShape {
    QueueShape { queue: "duel".to_owned(), teams: 2, team_sizes: vec![1], ..QueueShape::default() }
}

fn spec(bytes: Vec<u8>) -> PluginSpec {
    PluginSpec::new("duel.rating", Role::Rating, PluginSource::new(bytes))
}

fn load(runtime: &Runtime, rater: &Rater) -> RatingPlugin {
    runtime.load_rating(spec(rater.component()), &duel()).unwrap()
}

fn load_error(runtime: &Runtime, bytes: Vec<u8>) -> LoadError {
    match runtime.load_rating(spec(bytes), &duel()) {
        Ok(_) => panic!("it loaded"),
        Err(error) => error,
    }
}

#[test]
fn a_component_that_keeps_the_contract_works() {
    let runtime = Runtime::new().unwrap();
    let plugin = load(&runtime, &Rater::SOUND);
    assert_eq!(plugin.description().name, "hostile");
    let update = plugin.rate(&[], &contest()).unwrap();
    assert_eq!((update.ratings.len(), update.visible.as_slice()), (2, [25.0, 25.0].as_slice()));
    assert_eq!(plugin.predict(&[], &contest().entrants, &Setting::default()).unwrap(), [0.5]);
    let counters = plugin.counters();
    assert_eq!((counters.calls, counters.faults, counters.faults_in_a_row), (2, [0; FAULT_CODES.len()], 0));
    assert!(counters.fuel_used_last > 0);
}

/// Goal: what a rating engine does while it predicts moves no rating and quarantines nobody. Method: one that traps there, and one that
/// predicts impossible odds.
#[test]
fn a_prediction_that_fails_leaves_the_rating_as_it_is() {
    let runtime = Runtime::new().unwrap();
    for predict in ["unreachable", "(f64.store (i32.const 440) (f64.const 1.5)) (i32.const 448)", "(loop $l (br $l)) unreachable"] {
        let plugin = load(&runtime, &Rater { predict, ..Rater::SOUND });
        let expected = plugin.rate(&[], &contest()).unwrap();
        for _ in 0..6 {
            assert_eq!(plugin.rate_and_predict(&[], &contest()), Ok((expected.clone(), None)), "{predict}");
        }
        let counters = plugin.counters();
        assert_eq!((counters.calls, counters.faults, counters.faults_in_a_row), (7, [0; FAULT_CODES.len()], 0), "{predict}");
    }
}

/// Goal: a live prediction is what a fresh instance says. Method: an engine that remembers from `rate` what it will predict. The first
/// prediction is compared, and from then on each has an instance of its own.
#[test]
fn an_engine_that_predicts_otherwise_after_rating_is_found_out() {
    let runtime = Runtime::new().unwrap();
    let rater = Rater::rating("(f64.store (i32.const 440) (f64.const 0.9)) (global.get $ok_two)");
    let plugin = load(&runtime, &rater);
    for _ in 0..3 {
        assert_eq!(plugin.rate_and_predict(&[], &contest()).unwrap().1, Some(vec![0.5]));
    }
    assert_eq!(plugin.counters().faults.iter().sum::<u64>(), 1, "told once");
    assert!(!plugin.counters().quarantined);
}

#[test]
fn a_log_flood_is_cut_off_and_counted() {
    let runtime = Runtime::new().unwrap();
    let rate = "(local $n i32) (loop $l (call $log (i32.const 1) (i32.const 48) (i32.const 8))
        (local.set $n (i32.add (local.get $n) (i32.const 1))) (br_if $l (i32.lt_u (local.get $n) (i32.const 100)))) (global.get $ok_two)";
    let plugin = load(&runtime, &Rater::rating(rate));
    plugin.rate(&[], &contest()).unwrap();
    assert_eq!(plugin.counters().log_lines_dropped, 100 - u64::from(LOG_LINES_MAX));
}

#[test]
fn a_guest_that_lives_with_refused_memory_is_no_fault() {
    let runtime = Runtime::new().unwrap();
    let plugin = load(&runtime, &Rater::rating("(drop (memory.grow (i32.const 4096))) (global.get $ok_two)"));
    plugin.rate(&[], &contest()).unwrap();
}

#[test]
fn the_deadline_stands_behind_the_fuel() {
    let runtime = Runtime::new().unwrap();
    let rater = Rater::rating("(loop $l (br $l)) unreachable");
    let limits = Limits { fuel_max: u64::MAX, deadline_ms_max: 50, ..Limits::of(Role::Rating) };
    let plugin = runtime.load_rating(PluginSpec { limits, ..spec(rater.component()) }, &duel()).unwrap();
    // Twice: a deadline that is armed for the first call only is a known way to lose it.
    for _ in 0..2 {
        assert_eq!(plugin.rate(&[], &contest()), Err(PluginFault::Deadline { deadline_ms_max: limits.deadline_ms_max }));
    }
}

#[test]
fn fuel_repeats_exactly() {
    let runtime = Runtime::new().unwrap();
    let spec = PluginSpec::new("duel.rating", Role::Rating, PluginSource::builtin("gaussian").unwrap());
    let plugin = runtime.load_rating(spec, &duel()).unwrap();
    let fuel = || {
        plugin.rate(&[], &contest()).unwrap();
        plugin.counters().fuel_used_last
    };
    let first = fuel();
    assert!(first > 0);
    assert_eq!(fuel(), first);
}

#[test]
fn quarantine_comes_after_n_faults_in_a_row_and_ends_when_an_operator_says_so() {
    let runtime = Runtime::new().unwrap();
    // Traps for a player with more than 30 points.
    let rate =
        "(if (f64.gt (f64.load (i32.load (i32.add (local.get 0) (i32.const 64)))) (f64.const 30)) (then unreachable)) (global.get $ok_two)";
    let rater = Rater::rating(rate);
    let plugin = runtime.load_rating(PluginSpec { faults_max: 3, ..spec(rater.component()) }, &duel()).unwrap();
    let mut cursed = contest();
    cursed.entrants[0].rating.mean = 31.0;
    let fails = |contest: &Contest| plugin.rate(&[], contest).map_err(|fault| fault.code()).err();
    assert_eq!([fails(&cursed), fails(&cursed), fails(&contest())], [Some("trap"), Some("trap"), None]);
    assert_eq!([fails(&cursed), fails(&cursed), fails(&cursed)], [Some("trap"); 3]);
    assert_eq!(plugin.rate(&[], &contest()), Err(PluginFault::Quarantined { faults_in_a_row: 3 }));
    assert!(plugin.counters().quarantined);
    plugin.reset_quarantine();
    assert_eq!([fails(&contest()), fails(&cursed)], [None, Some("trap")]);
    let counters = plugin.counters();
    assert_eq!((counters.calls, counters.faults[0], counters.faults[6], counters.quarantined), (8, 6, 1, false));
}

#[test]
fn refused_parameters_come_back_with_their_place() {
    let runtime = Runtime::new().unwrap();
    let error = load_error(&runtime, hostile::find("refuses-parameters").unwrap().bytes());
    let LoadError::Parameters(problems) = error else { panic!("{error}") };
    assert_eq!(problems, [ParameterProblem { path: "beta".to_owned(), problem: "must be above 0".to_owned() }]);
}

#[test]
fn an_operator_cannot_write_limits_that_are_none() {
    let runtime = Runtime::new().unwrap();
    for limits in [Limits { fuel_max: 0, ..Limits::of(Role::Rating) }, Limits { memory_bytes_max: 1 << 40, ..Limits::of(Role::Rating) }] {
        let spec = PluginSpec { limits, ..spec(Rater::SOUND.component()) };
        assert!(matches!(runtime.load_rating(spec, &duel()), Err(LoadError::Limits(_))), "{limits:?}");
    }
    for parameters in ["[1]", "{"] {
        let spec = PluginSpec { parameters: parameters.to_owned(), ..spec(Rater::SOUND.component()) };
        assert!(matches!(runtime.load_rating(spec, &duel()), Err(LoadError::NotAnObject { .. })), "{parameters}");
    }
}

#[test]
fn inspection_runs_nothing_but_describe() {
    let runtime = Runtime::new().unwrap();
    let base = Base { configure: "unreachable", ..Base::SOUND };
    let rater = Rater { base, initial: "unreachable", ..Rater::SOUND };
    let source = PluginSource::new(rater.component());
    let inspection = runtime.inspect(&source).unwrap();
    assert_eq!((inspection.digest, inspection.roles.as_slice()), (source.digest(), [Role::Rating].as_slice()));
    assert_eq!(inspection.imports, ["ranked:plugin/log@1.0.0"]);
    assert_eq!(inspection.exports, ["ranked:plugin/lifecycle@1.0.0", "ranked:plugin/rating-engine@1.0.0"]);
    assert_eq!(inspection.described.unwrap().description.version, "1.0.0");
}

/// Goal: a component made of components is looked at, not stumbled over. Method: two core modules with a memory each, and a call with text
/// between them, for which the compiler itself writes a module with both memories. QuickJS plugins are made like this.
#[test]
fn a_component_of_components_is_compiled() {
    let nested = wat::parse_str(
        r#"(component
            (component $listener
                (core module $m
                    (memory (export "memory") 1)
                    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
                    (func (export "hear") (param i32 i32)))
                (core instance $i (instantiate $m))
                (func (export "hear") (param "text" string)
                    (canon lift (core func $i "hear") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))
            (component $speaker
                (import "hear" (func $hear (param "text" string)))
                (core module $libc (memory (export "memory") 1))
                (core instance $libc (instantiate $libc))
                (core func $lowered (canon lower (func $hear) (memory (core memory $libc "memory"))))
                (core module $m
                    (import "" "hear" (func $hear (param i32 i32)))
                    (func (export "speak") (call $hear (i32.const 0) (i32.const 5))))
                (core instance $i (instantiate $m (with "" (instance (export "hear" (func $lowered))))))
                (func (export "speak") (canon lift (core func $i "speak"))))
            (instance $one (instantiate $listener))
            (instance $two (instantiate $speaker (with "hear" (func $one "hear"))))
            (export "speak" (func $two "speak")))"#,
    );
    let inspection = Runtime::new().unwrap().inspect(&PluginSource::new(nested.unwrap())).unwrap();
    assert_eq!(inspection.roles, []);
}
