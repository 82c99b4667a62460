//! Compiled code on disk: loaded only if this host wrote it, and missed by nobody if it did not.
#![allow(missing_docs, clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use ladder::queue::QueueShape;
use ladder::rating::RatingEngine as _;
use plugin_runtime::{CacheCounters, PluginSource, PluginSpec, Role, Runtime};

const KEY: [u8; 32] = [7; 32];

/// A small component that is no plugin: it compiles in a moment.
fn component(number: u32) -> PluginSource {
    let text = format!("(component (core module (func (export \"f\") (result i32) (i32.const {number}))))");
    PluginSource::new(wat::parse_str(text).unwrap())
}

/// What a host that starts with this folder and key makes of the component.
fn start(folder: &Path, key: [u8; 32], source: &PluginSource) -> CacheCounters {
    let runtime = Runtime::with_cache(folder, key).unwrap();
    runtime.inspect(source).unwrap();
    runtime.cache_counters()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

const COMPILED: CacheCounters = CacheCounters { found: 0, compiled: 1, refused: 0 };
const FOUND: CacheCounters = CacheCounters { found: 1, compiled: 0, refused: 0 };
const REFUSED: CacheCounters = CacheCounters { found: 0, compiled: 1, refused: 1 };

#[test]
fn the_second_start_does_not_compile_and_rates_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let compiled = folder.path().join("compiled");
    let duel = QueueShape { teams: 2, team_sizes: vec![1], ..QueueShape::default() };
    let initial = || {
        let runtime = Runtime::with_cache(&compiled, KEY).unwrap();
        let source = PluginSource::builtin("gaussian").unwrap();
        let engine = runtime.load_rating(PluginSpec::new("duel.rating", Role::Rating, source), &duel).unwrap();
        (engine.initial().unwrap(), runtime.cache_counters())
    };
    let (first, counters) = initial();
    assert_eq!(counters, COMPILED);
    assert_eq!(initial(), (first, FOUND));
    // Native code of the host: nobody else reads or writes it.
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&compiled), files(&compiled).iter().map(|file| mode(file)).collect::<Vec<_>>()), (0o700, vec![0o600]));
}

/// Goal: no byte of a file is trusted before it was authenticated. Method: spoil a good file in one way each; the next start refuses it,
/// compiles, and leaves a good file behind.
#[test]
fn a_file_that_this_host_did_not_write_is_refused_and_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let source = component(1);
    assert_eq!(start(folder.path(), KEY, &source), COMPILED);
    let path = files(folder.path()).remove(0);
    let good = fs::read(&path).unwrap();
    let flipped = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    let other = {
        let folder = tempfile::tempdir().unwrap();
        start(folder.path(), KEY, &component(2));
        fs::read(files(folder.path()).remove(0)).unwrap()
    };
    let spoiled: [(&str, Vec<u8>); 7] = [
        ("another kind of file", flipped(0)),
        ("another tag", flipped(8)),
        ("the first byte of the code", flipped(40)),
        ("the last byte of the code", flipped(good.len() - 1)),
        ("half of it", good[..good.len() / 2].to_vec()),
        ("nothing", Vec::new()),
        ("the code of another component", other),
    ];
    for (name, bytes) in spoiled {
        fs::write(&path, bytes).unwrap();
        assert_eq!(start(folder.path(), KEY, &source), REFUSED, "{name}");
        assert_eq!(start(folder.path(), KEY, &source), FOUND, "{name}: the good file is back");
    }
}

#[test]
fn the_files_of_another_key_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(start(folder.path(), [8; 32], &component(1)), COMPILED);
    assert_eq!(start(folder.path(), KEY, &component(1)), REFUSED);
}

/// Code for another engine has another name; under the right name it does not authenticate.
#[test]
fn the_code_of_another_engine_is_never_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let source = PluginSource::builtin("skill-window").unwrap();
    let duel = QueueShape { teams: 2, team_sizes: vec![1, 1], ..QueueShape::default() };
    let runtime = Runtime::with_cache(folder.path(), KEY).unwrap();
    // Inspection compiles as for rating (canonical NaNs), service as for a policy.
    runtime.inspect(&source).unwrap();
    runtime.load_policy(PluginSpec::new("duel.policy", Role::Policy, source.clone()), &duel).unwrap();
    assert_eq!(runtime.cache_counters(), CacheCounters { found: 0, compiled: 2, refused: 0 });
    let [one, two] = files(folder.path()).try_into().unwrap();
    fs::copy(&one, folder.path().join("kept")).unwrap();
    fs::rename(&two, &one).unwrap();
    fs::rename(folder.path().join("kept"), &two).unwrap();
    assert_eq!(start(folder.path(), KEY, &source), REFUSED);
}

#[test]
fn a_folder_that_cannot_be_used_costs_a_compilation_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    // A file where the folder should be: not even root can write into it.
    let blocked = folder.path().join("compiled");
    fs::write(&blocked, "in the way").unwrap();
    let runtime = Runtime::with_cache(&blocked, KEY).unwrap();
    assert!(runtime.inspect(&component(1)).is_ok());
    assert_eq!(runtime.cache_counters().compiled, 1);
}

#[test]
fn the_folder_keeps_a_bounded_number_of_files_and_the_newest_among_them() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = Runtime::with_cache(folder.path(), KEY).unwrap();
    for number in 0..70 {
        runtime.inspect(&component(number)).unwrap();
    }
    assert_eq!(files(folder.path()).len(), 64);
    assert_eq!(start(folder.path(), KEY, &component(69)), FOUND);
}
