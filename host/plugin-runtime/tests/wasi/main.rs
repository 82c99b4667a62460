//! The inert WASI that `wasi = "deterministic"` grants: the same answers in every call and every process, nothing that waits, nothing that
//! grows.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::time::{Duration, Instant};

use hostile::guest::{Base, CONTRACT, Rater};
use ladder::fault::PluginFault;
use ladder::queue::QueueShape;
use ladder::rating::{Contest, Entrant, Rating, RatingEngine, Setting};
use plugin_runtime::{LoadError, PluginSource, PluginSpec, RatingPlugin, Role, Runtime, WasiGrant};

/// The parts of WASI that the guests here import, as WASI 0.2.6 has them.
const WASI: &str = r#"
// next package
package wasi:io@0.2.6;
interface error { resource error { to-debug-string: func() -> string; } }
interface poll { resource pollable { ready: func() -> bool; block: func(); } poll: func(in: list<borrow<pollable>>) -> list<u32>; }
interface streams {
    use error.{error};
    use poll.{pollable};
    variant stream-error { last-operation-failed(error), closed }
    resource input-stream { blocking-read: func(len: u64) -> result<list<u8>, stream-error>; }
    resource output-stream {
        check-write: func() -> result<u64, stream-error>;
        blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>;
        subscribe: func() -> pollable;
    }
}
// next package
package wasi:clocks@0.2.6;
interface wall-clock { record datetime { seconds: u64, nanoseconds: u32 } now: func() -> datetime; }
interface monotonic-clock {
    use wasi:io/poll@0.2.6.{pollable};
    now: func() -> u64;
    subscribe-duration: func(when: u64) -> pollable;
}
// next package
package wasi:random@0.2.6;
interface random { get-random-bytes: func(len: u64) -> list<u8>; get-random-u64: func() -> u64; }
// next package
package wasi:cli@0.2.6;
interface exit { exit: func(status: result); }
interface stdin { use wasi:io/streams@0.2.6.{input-stream}; get-stdin: func() -> input-stream; }
interface stdout { use wasi:io/streams@0.2.6.{output-stream}; get-stdout: func() -> output-stream; }
// next package
package wasi:filesystem@0.2.6;
interface types {
    resource descriptor { sync: func() -> result; }
    filesystem-error-code: func(code: u32) -> option<u32>;
}
interface preopens { use types.{descriptor}; get-directories: func() -> list<tuple<descriptor, string>>; }
// next package
package wasi:sockets@0.2.6;
interface network { enum error-code { unknown, access-denied } enum ip-address-family { ipv4, ipv6 } }
interface tcp { resource tcp-socket { address-family: func() -> u8; } }
interface tcp-create-socket {
    use network.{error-code, ip-address-family};
    use tcp.{tcp-socket};
    create-tcp-socket: func(family: ip-address-family) -> result<tcp-socket, error-code>;
}
// next package
package test:guests;
world with-wasi {
    include ranked:plugin/rating@1.0.0;
    import wasi:io/poll@0.2.6;
    import wasi:io/streams@0.2.6;
    import wasi:clocks/wall-clock@0.2.6;
    import wasi:clocks/monotonic-clock@0.2.6;
    import wasi:random/random@0.2.6;
    import wasi:cli/exit@0.2.6;
    import wasi:cli/stdin@0.2.6;
    import wasi:cli/stdout@0.2.6;
    import wasi:filesystem/types@0.2.6;
    import wasi:filesystem/preopens@0.2.6;
    import wasi:sockets/tcp-create-socket@0.2.6;
}
"#;

/// What the core modules import of it.
const IMPORTS: &str = r#"
    (import "wasi:clocks/wall-clock@0.2.6" "now" (func $wall (param i32)))
    (import "wasi:clocks/monotonic-clock@0.2.6" "now" (func $monotonic (result i64)))
    (import "wasi:clocks/monotonic-clock@0.2.6" "subscribe-duration" (func $timer (param i64) (result i32)))
    (import "wasi:io/poll@0.2.6" "[method]pollable.block" (func $block (param i32)))
    (import "wasi:io/poll@0.2.6" "poll" (func $poll (param i32 i32 i32)))
    (import "wasi:random/random@0.2.6" "get-random-bytes" (func $random-bytes (param i64 i32)))
    (import "wasi:random/random@0.2.6" "get-random-u64" (func $random (result i64)))
    (import "wasi:cli/exit@0.2.6" "exit" (func $exit (param i32)))
    (import "wasi:cli/stdin@0.2.6" "get-stdin" (func $stdin (result i32)))
    (import "wasi:io/streams@0.2.6" "[method]input-stream.blocking-read" (func $read (param i32 i64 i32)))
    (import "wasi:cli/stdout@0.2.6" "get-stdout" (func $stdout (result i32)))
    (import "wasi:io/streams@0.2.6" "[method]output-stream.blocking-write-and-flush" (func $write (param i32 i32 i32 i32)))
    (import "wasi:filesystem/types@0.2.6" "filesystem-error-code" (func $file-error (param i32 i32)))
    (import "wasi:filesystem/preopens@0.2.6" "get-directories" (func $directories (param i32)))
    (import "wasi:sockets/tcp-create-socket@0.2.6" "create-tcp-socket" (func $socket (param i32 i32)))
"#;

/// A rating engine that imports WASI; `rate` sees the functions of [`IMPORTS`] and 3000 to 4096 as free memory.
fn guest(rate: &'static str) -> Vec<u8> {
    let contracts: Vec<_> = std::iter::once(CONTRACT).chain(WASI.split("// next package").skip(1)).collect();
    Rater { base: Base { imports: IMPORTS, ..Base::SOUND }, rate, ..Rater::SOUND }.component_for(&contracts, "with-wasi")
}

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
    let entrants = vec![entrant(0), entrant(1)];
    Contest { places: vec![0, 1], scores: Vec::new(), setting: Setting::default(), totals: Vec::new(), trust: 1.0, entrants }
}

fn load(runtime: &Runtime, rate: &'static str, wasi: WasiGrant) -> Result<RatingPlugin, LoadError> {
    let spec = PluginSpec::new("duel.rating", Role::Rating, PluginSource::new(guest(rate)));
    runtime.load_rating(PluginSpec { wasi, ..spec }, &duel())
}

fn granted(runtime: &Runtime, rate: &'static str) -> RatingPlugin {
    load(runtime, rate, WasiGrant::Deterministic).unwrap()
}

/// Both clocks and three random numbers, as the mean of the first player: exact, since all fit 52 bits after the mask.
const ASKS_EVERYTHING: &str = "
    (call $wall (i32.const 3000))
    (call $random-bytes (i64.const 8) (i32.const 3024))
    (f64.store (i32.const 320) (f64.convert_i64_u (i64.and (i64.const 0xfffffffffffff)
        (i64.xor (i64.load (i32.const 3000)) (i64.xor (call $monotonic) (i64.xor (call $random)
            (i64.load (i32.load (i32.const 3024)))))))))
    (global.get $ok_two)";

#[test]
fn without_the_grant_the_load_error_says_what_to_do() {
    let runtime = Runtime::new().unwrap();
    let error = load(&runtime, ASKS_EVERYTHING, WasiGrant::None).err().unwrap().to_string();
    assert!(error.starts_with("imports wasi:") && error.contains("or grant `wasi = \"deterministic\"` in plugins.toml"), "{error}");
}

#[test]
fn inspection_says_that_the_grant_is_needed_and_describes_the_plugin_all_the_same() {
    let runtime = Runtime::new().unwrap();
    let inspection = runtime.inspect(&PluginSource::new(guest(ASKS_EVERYTHING))).unwrap();
    assert_eq!(inspection.needs_wasi, WasiGrant::Deterministic);
    assert_eq!(inspection.described.unwrap().description.name, "hostile");
    let without = runtime.inspect(&PluginSource::new(Rater::SOUND.component())).unwrap();
    assert_eq!(without.needs_wasi, WasiGrant::None);
}

/// Goal: a plugin with the grant is a function of its arguments. Method: the answer of two calls, of two sandboxes and of another process
/// (this test, started again) has the same bits.
#[test]
fn clocks_and_chance_are_the_same_in_every_call_and_every_process() {
    let answer = || granted(&Runtime::new().unwrap(), ASKS_EVERYTHING).rate(&[], &contest()).unwrap().ratings[0].mean;
    let first = answer();
    if std::env::var_os("RANKED_TEST_PRINT_ANSWER").is_some() {
        std::fs::write(std::env::var_os("RANKED_TEST_PRINT_ANSWER").unwrap(), first.to_bits().to_string()).unwrap();
        return;
    }
    assert!(first > 1e9, "neither the clock nor chance is in {first}");
    let plugin = granted(&Runtime::new().unwrap(), ASKS_EVERYTHING);
    for _ in 0..2 {
        assert_eq!(plugin.rate(&[], &contest()).unwrap().ratings[0].mean.to_bits(), first.to_bits());
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("answer");
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "clocks_and_chance_are_the_same_in_every_call_and_every_process"])
        .env("RANKED_TEST_PRINT_ANSWER", &file)
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    assert_eq!(std::fs::read_to_string(file).unwrap(), first.to_bits().to_string());
}

#[test]
fn nobody_waits_for_a_clock_that_stands_still() {
    let runtime = Runtime::new().unwrap();
    // An hour, waited for alone and in a list.
    let rate = "(local $timer i32)
        (local.set $timer (call $timer (i64.const 3600000000000)))
        (call $block (local.get $timer))
        (i32.store (i32.const 3000) (local.get $timer))
        (call $poll (i32.const 3000) (i32.const 1) (i32.const 3008))
        (if (i32.ne (i32.load (i32.const 3012)) (i32.const 1)) (then unreachable))
        (global.get $ok_two)";
    let plugin = granted(&runtime, rate);
    let started = Instant::now();
    plugin.rate(&[], &contest()).unwrap();
    assert!(started.elapsed() < Duration::from_secs(30));
}

#[test]
fn what_is_printed_is_the_last_word_of_a_trap_and_counted_by_lines() {
    let runtime = Runtime::new().unwrap();
    // Two lines, and one that is not ended.
    let rate = "(local $out i32) (local.set $out (call $stdout))
        (i64.store (i32.const 3000) (i64.const 0x6f74206e6f0a610a))
        (call $write (local.get $out) (i32.const 3000) (i32.const 8) (i32.const 3016))
        unreachable";
    let PluginFault::Trap { detail } = granted(&runtime, rate).rate(&[], &contest()).unwrap_err() else { panic!("no trap") };
    assert!(detail.ends_with("in rate; last log line: on to"), "{detail}");
}

#[test]
fn files_sockets_and_input_are_not_there() {
    let runtime = Runtime::new().unwrap();
    // No folder, `closed` on reading, `access-denied` for a socket.
    let rate = "
        (call $directories (i32.const 3000))
        (if (i32.load (i32.const 3004)) (then unreachable))
        (call $read (call $stdin) (i64.const 16) (i32.const 3016))
        (if (i32.ne (i32.load8_u (i32.const 3016)) (i32.const 1)) (then unreachable))
        (if (i32.ne (i32.load8_u (i32.const 3020)) (i32.const 1)) (then unreachable))
        (call $socket (i32.const 0) (i32.const 3040))
        (if (i32.ne (i32.load8_u (i32.const 3040)) (i32.const 1)) (then unreachable))
        (if (i32.ne (i32.load8_u (i32.const 3044)) (i32.const 1)) (then unreachable))
        (global.get $ok_two)";
    granted(&runtime, rate).rate(&[], &contest()).unwrap();
}

#[test]
fn what_breaks_the_rules_of_the_inert_wasi_is_a_named_fault() {
    let runtime = Runtime::new().unwrap();
    let table: [(&str, &str, &str, &str); 7] = [
        ("exit", "(call $exit (i32.const 1)) unreachable", "trap", "exit with status 1 in rate"),
        (
            "a file",
            "(call $file-error (i32.const 1) (i32.const 3000)) unreachable",
            "trap",
            "called wasi:filesystem/types@0.2.6#filesystem-error-code, which the deterministic WASI does not have in rate",
        ),
        ("a list of nothing", "(call $poll (i32.const 0) (i32.const 0) (i32.const 3000)) unreachable", "trap", "polled nothing in rate"),
        (
            "a hoard of streams",
            "(loop $l (drop (call $stdout)) (br $l)) unreachable",
            "trap",
            "holds more than 1024 streams and pollables in rate",
        ),
        (
            "too much at once",
            "(call $write (call $stdout) (i32.const 0) (i32.const 4097) (i32.const 3000)) unreachable",
            "trap",
            "wrote 4097 bytes at once, at most 4096 in rate",
        ),
        (
            "chance without end",
            "(call $random-bytes (i64.const 0x7fffffffffffffff) (i32.const 3000)) unreachable",
            "hostcall-bytes",
            "moved more than 1048576 bytes through host functions",
        ),
        (
            "a flood of print",
            "(local $out i32) (local.set $out (call $stdout))
            (loop $l (call $write (local.get $out) (i32.const 0) (i32.const 4096) (i32.const 3000)) (br $l)) unreachable",
            "hostcall-bytes",
            "moved more than 1048576 bytes through host functions",
        ),
    ];
    for (name, rate, code, text) in table {
        let fault = granted(&runtime, rate).rate(&[], &contest()).unwrap_err();
        assert_eq!(fault.code(), code, "{name}: {fault}");
        assert!(fault.to_string().contains(text), "{name}: {fault}");
    }
}
