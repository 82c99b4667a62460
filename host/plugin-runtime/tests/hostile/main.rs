//! Components that break the contract: each ends as a named fault within its budget, and the neighbors do not notice.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod guests;

use guests::{Rater, contract, policy};
use ladder::fault::PluginFault;
use ladder::pool::{MatchmakingPolicy, Pool};
use ladder::queue::QueueShape;
use ladder::rating::{Contest, Entrant, Rating, RatingEngine, Setting};
use plugin_runtime::{
    COMPONENT_BYTES_MAX, FAULT_CODES, LOG_LINES_MAX, Limits, LoadError, ParameterProblem, PluginSource, PluginSpec, RatingPlugin, Role,
    Runtime,
};

fn duel() -> QueueShape {
    QueueShape { queue: "duel".to_owned(), teams: 2, team_sizes: vec![1], ..QueueShape::default() }
}

fn contest() -> Contest {
    let entrant = |team| Entrant {
        rating: Rating { mean: 25.0, uncertainty: 8.0, memory: Vec::new() },
        team,
        contests: 0,
        idle_s: 0,
        presence: 1.0,
        stats: Vec::new(),
    };
    Contest {
        places: vec![0, 1],
        scores: Vec::new(),
        setting: Setting::default(),
        totals: Vec::new(),
        trust: 1.0,
        entrants: vec![entrant(0), entrant(1)],
    }
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
    let plugin = load(&runtime, &Rater::default());
    assert_eq!(plugin.description().name, "hostile");
    let update = plugin.rate(&[], &contest()).unwrap();
    assert_eq!((update.ratings.len(), update.visible.as_slice()), (2, [25.0, 25.0].as_slice()));
    assert_eq!(plugin.predict(&[], &contest().entrants, &Setting::default()).unwrap(), [0.5]);
    let counters = plugin.counters();
    assert_eq!((counters.calls, counters.faults, counters.faults_in_a_row), (2, [0; FAULT_CODES.len()], 0));
    assert!(counters.fuel_used_last > 0);
}

/// Each behavior ends as its fault; afterwards the built-in engine gives the same bits as before.
#[test]
fn each_hostile_behavior_is_a_named_fault_and_the_neighbors_do_not_notice() {
    let runtime = Runtime::new().unwrap();
    let gaussian = PluginSpec::new("neighbor.rating", Role::Rating, PluginSource::builtin("gaussian").unwrap());
    let neighbor = runtime.load_rating(gaussian, &duel()).unwrap();
    let before = neighbor.rate(&[], &contest()).unwrap();
    let table: [(&str, Rater, &str); 17] = [
        ("infinite loop", Rater { rate: "(loop $l (br $l)) unreachable", ..Rater::default() }, "out-of-fuel"),
        ("trap", Rater { rate: "unreachable", ..Rater::default() }, "trap"),
        ("division by zero", Rater { rate: "(i32.div_u (i32.const 1) (i32.const 0))", ..Rater::default() }, "trap"),
        ("wild read", Rater { rate: "(i32.load (i32.const -8))", ..Rater::default() }, "trap"),
        (
            "deep recursion",
            Rater {
                rate: "(call $deeper)",
                extra: "(func $deeper (result i32) (i32.add (call $deeper) (i32.const 1)))",
                ..Rater::default()
            },
            "stack",
        ),
        (
            "memory bomb",
            Rater {
                rate: "(if (i32.eq (memory.grow (i32.const 4096)) (i32.const -1)) (then unreachable)) (global.get $ok_two)",
                ..Rater::default()
            },
            "memory",
        ),
        (
            "table bomb",
            Rater {
                rate: "(if (i32.eq (table.grow (ref.null func) (i32.const 9999999)) (i32.const -1)) (then unreachable)) (global.get $ok_two)",
                extra: "(table 1 funcref)",
                ..Rater::default()
            },
            "table",
        ),
        (
            "not a number",
            Rater { rate: "(f64.store (i32.const 320) (f64.const nan)) (global.get $ok_two)", ..Rater::default() },
            "bad-output",
        ),
        ("infinite", Rater { rate: "(f64.store (i32.const 352) (f64.const inf)) (global.get $ok_two)", ..Rater::default() }, "bad-output"),
        ("certain", Rater { rate: "(f64.store (i32.const 352) (f64.const 0)) (global.get $ok_two)", ..Rater::default() }, "bad-output"),
        ("invisible", Rater { visible: "(f64.const nan)", initial: "(i32.const 256)", ..Rater::default() }, "bad-output at load"),
        (
            "one rating too few",
            Rater { rate: "(i32.store (i32.const 392) (i32.const 1)) (global.get $ok_two)", ..Rater::default() },
            "bad-output",
        ),
        (
            "a list past the end of memory",
            Rater { rate: "(i32.store (i32.const 388) (i32.const 131064)) (global.get $ok_two)", ..Rater::default() },
            "bad-output",
        ),
        (
            "an answer of 4 MiB",
            Rater {
                rate: "(i32.store (i32.const 396) (i32.const 0)) (i32.store (i32.const 400) (i32.const 4194304)) (global.get $ok_two)",
                pages: 80,
                ..Rater::default()
            },
            "bad-output",
        ),
        (
            "a queue memory of 64 KiB and 1 byte",
            Rater {
                rate: "(i32.store (i32.const 396) (i32.const 0)) (i32.store (i32.const 400) (i32.const 65537)) (global.get $ok_two)",
                ..Rater::default()
            },
            "bad-output",
        ),
        (
            "log flood",
            Rater { rate: "(loop $l (call $log (i32.const 1) (i32.const 48) (i32.const 10)) (br $l)) unreachable", ..Rater::default() },
            "out-of-fuel",
        ),
        (
            "declines",
            Rater {
                rate: "(i32.store8 (i32.const 384) (i32.const 1)) (i32.store (i32.const 388) (i32.const 1)) (global.get $ok_two)",
                ..Rater::default()
            },
            "declined",
        ),
    ];
    for (name, rater, expected) in table {
        match runtime.load_rating(spec(rater.component()), &duel()) {
            Ok(plugin) => {
                let fault = plugin.rate(&[], &contest()).expect_err(name);
                assert_eq!(fault.code(), expected, "{name}: {fault}");
                // The same again: nothing of the first call is left.
                assert_eq!(plugin.rate(&[], &contest()).expect_err(name).code(), expected, "{name}");
            }
            Err(LoadError::Fault { source, .. }) => assert_eq!(format!("{} at load", source.code()), expected, "{name}: {source}"),
            Err(error) => panic!("{name}: {error}"),
        }
        assert_eq!(neighbor.rate(&[], &contest()).unwrap(), before, "{name}");
    }
}

#[test]
fn a_trap_carries_the_guests_last_words_escaped() {
    let runtime = Runtime::new().unwrap();
    let rate = "(call $log (i32.const 3) (i32.const 48) (i32.const 27)) unreachable";
    let plugin = load(&runtime, &Rater { rate, ..Rater::default() });
    let fault = plugin.rate(&[], &contest()).unwrap_err();
    let PluginFault::Trap { detail } = fault else { panic!("{fault}") };
    assert_eq!(detail, "wasm `unreachable` instruction executed in rate; last log line: the tail\\u{1b}[2J wagged the dog");
}

#[test]
fn a_log_flood_is_cut_off_and_counted() {
    let runtime = Runtime::new().unwrap();
    let rate = "(local $n i32) (loop $l (call $log (i32.const 1) (i32.const 48) (i32.const 8))
        (local.set $n (i32.add (local.get $n) (i32.const 1))) (br_if $l (i32.lt_u (local.get $n) (i32.const 100)))) (global.get $ok_two)";
    let plugin = load(&runtime, &Rater { rate, ..Rater::default() });
    plugin.rate(&[], &contest()).unwrap();
    assert_eq!(plugin.counters().log_lines_dropped, 100 - u64::from(LOG_LINES_MAX));
}

#[test]
fn a_guest_that_lives_with_refused_memory_is_no_fault() {
    let runtime = Runtime::new().unwrap();
    let plugin = load(&runtime, &Rater { rate: "(drop (memory.grow (i32.const 4096))) (global.get $ok_two)", ..Rater::default() });
    plugin.rate(&[], &contest()).unwrap();
}

#[test]
fn the_deadline_stands_behind_the_fuel() {
    let runtime = Runtime::new().unwrap();
    let rater = Rater { rate: "(loop $l (br $l)) unreachable", ..Rater::default() };
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
fn an_instance_never_sees_a_second_call() {
    let runtime = Runtime::new().unwrap();
    // Adds 1 to what it answered before; a fresh instance has answered nothing before.
    let rate = "(f64.store (i32.const 320) (f64.add (f64.load (i32.const 320)) (f64.const 1))) (global.get $ok_two)";
    let plugin = load(&runtime, &Rater { rate, ..Rater::default() });
    for _ in 0..3 {
        assert_eq!(plugin.rate(&[], &contest()).unwrap().ratings[0].mean, 26.0);
    }
}

#[test]
fn quarantine_comes_after_n_faults_in_a_row_and_ends_when_an_operator_says_so() {
    let runtime = Runtime::new().unwrap();
    // Traps for a player with more than 30 points.
    let rate =
        "(if (f64.gt (f64.load (i32.load (i32.add (local.get 0) (i32.const 64)))) (f64.const 30)) (then unreachable)) (global.get $ok_two)";
    let rater = Rater { rate, ..Rater::default() };
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
fn a_policy_keeps_its_instance_until_it_faults() {
    let runtime = Runtime::new().unwrap();
    // Every second call of one instance traps: the third call works only in a new one.
    let propose = "(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (if (i32.eq (global.get $calls) (i32.const 2)) (then unreachable)) (i32.const 1024)";
    let spec = PluginSpec::new("duel.policy", Role::Policy, PluginSource::new(policy(propose)));
    let plugin = runtime.load_policy(spec, &duel()).unwrap();
    let outcomes = [(); 5].map(|()| plugin.propose(&Pool::default()).map_err(|fault| fault.code()).err());
    assert_eq!(outcomes, [None, Some("trap"), None, Some("trap"), None]);
}

#[test]
fn what_a_component_must_not_import_or_lacks_is_told_before_it_runs() {
    let runtime = Runtime::new().unwrap();
    // If anything of it ran, the error would be a fault.
    let trap = Rater { describe: "unreachable", configure: "unreachable", ..Rater::default() };
    let with_import = |package: &str, interface: &'static str, imports: &'static str| {
        let text = format!(
            "{}// next package\npackage {package};\ninterface {interface} {{ run: func(); }}\n\
             world foreign {{ import {interface}; include ranked:plugin/rating@1.0.0; }}",
            contract()
        );
        Rater { imports, describe: "(call $run) unreachable", ..Rater::default() }.component_for(&text, "foreign")
    };
    let wasi = with_import("wasi:cli@0.2.6", "stdout", r#"(import "wasi:cli/stdout@0.2.6" "run" (func $run))"#);
    let shell = with_import("evil:host", "shell", r#"(import "evil:host/shell" "run" (func $run))"#);
    let table: [(&str, Vec<u8>, &str); 6] = [
        (
            "wasi",
            wasi,
            "imports wasi:cli/stdout@0.2.6; this queue grants no WASI. Rust: build for wasm32-unknown-unknown; JavaScript, Python: \
             --stub-wasi; or grant `wasi = \"deterministic\"` in plugins.toml",
        ),
        ("shell", shell, "imports evil:host/shell; a plugin may import ranked:plugin/log and nothing else"),
        (
            "policy as rating",
            policy("unreachable"),
            "does not export ranked:plugin/rating-engine@1.0.0, which the role `rating` needs; it fills `policy`",
        ),
        ("core module", wat::parse_str("(module)").unwrap(), "is a core WebAssembly module, not a component"),
        ("no wasm", b"#!/bin/sh".to_vec(), "is not a component that this host can compile"),
        ("too large", vec![0; COMPONENT_BYTES_MAX + 1], "the host compiles at most 33554432"),
    ];
    for (name, bytes, expected) in table {
        let error = load_error(&runtime, bytes);
        assert!(error.to_string().contains(expected), "{name}: {error}");
    }
    assert!(matches!(load_error(&runtime, trap.component()), LoadError::Fault { function: "describe", .. }));
}

#[test]
fn a_component_for_another_contract_is_told_which_and_what_to_do() {
    let runtime = Runtime::new().unwrap();
    let error = load_error(&runtime, guests::of_contract_version("2.0.0"));
    let text = "was built for version 2.0.0 of ranked:plugin/log; this host offers 1.0.0: use a build of the plugin for that version";
    assert!(error.to_string().contains(text), "{error}");
}

#[test]
fn refused_parameters_come_back_with_their_place() {
    let runtime = Runtime::new().unwrap();
    let error = load_error(&runtime, Rater { configure: "(i32.const 512)", ..Rater::default() }.component());
    let LoadError::Parameters(problems) = error else { panic!("{error}") };
    assert_eq!(problems, [ParameterProblem { path: "beta".to_owned(), problem: "must be above 0".to_owned() }]);
}

#[test]
fn faults_while_loading_are_load_errors() {
    let runtime = Runtime::new().unwrap();
    let table = [
        ("loop in configure", Rater { configure: "(loop $l (br $l)) unreachable", ..Rater::default() }, "out-of-fuel"),
        (
            "name that is no text",
            Rater { describe: "(i32.store8 (i32.const 16) (i32.const 255)) (i32.const 128)", ..Rater::default() },
            "bad-output",
        ),
        ("more memory at the start than it may have", Rater { pages: 512, ..Rater::default() }, "memory"),
        ("a stranger's belief without doubt", Rater { initial: "(i32.const 1024)", ..Rater::default() }, "bad-output"),
    ];
    for (name, rater, expected) in table {
        match load_error(&runtime, rater.component()) {
            LoadError::Fault { source, .. } => assert_eq!(source.code(), expected, "{name}: {source}"),
            error => panic!("{name}: {error}"),
        }
    }
}

#[test]
fn an_operator_cannot_write_limits_that_are_none() {
    let runtime = Runtime::new().unwrap();
    for limits in [Limits { fuel_max: 0, ..Limits::of(Role::Rating) }, Limits { memory_bytes_max: 1 << 40, ..Limits::of(Role::Rating) }] {
        let spec = PluginSpec { limits, ..spec(Rater::default().component()) };
        assert!(matches!(runtime.load_rating(spec, &duel()), Err(LoadError::Limits(_))), "{limits:?}");
    }
    for parameters in ["[1]", "{"] {
        let spec = PluginSpec { parameters: parameters.to_owned(), ..spec(Rater::default().component()) };
        assert!(matches!(runtime.load_rating(spec, &duel()), Err(LoadError::NotAnObject { .. })), "{parameters}");
    }
}

#[test]
fn inspection_runs_nothing_but_describe() {
    let runtime = Runtime::new().unwrap();
    let rater = Rater { configure: "unreachable", initial: "unreachable", ..Rater::default() };
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
