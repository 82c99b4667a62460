//! `ranked plugin compare` on recorded ticks: the database of a host that has stopped.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;

use assert_cmd::cargo::cargo_bin_cmd;
use host::compare::recording::encode;
use ladder::pool::Pool;
use ladder::time::UnixMillis;
use serde_json::Value;
use store::{Options, Store};

/// Runs with `--json` and checks the exit code.
fn run(folder: &Path, arguments: &[&str], code: i32) -> Value {
    let output = cargo_bin_cmd!("ranked").current_dir(folder).env_remove("RANKED_CONFIG").args(arguments).arg("--json").output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {shown} {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&shown).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {shown}"))
}

/// Two regions, one slot in the first; players who are `apart` in skill, and have waited for `waited_ms`.
fn pair(apart: f64, waited_ms: u32) -> Pool {
    Pool {
        now_ms: 1_700_000_000_000,
        seed: 4,
        waited_ms: vec![waited_ms; 2],
        member_end: vec![1, 2],
        regions: vec![3; 2],
        mean: vec![25.0, 25.0 + apart],
        uncertainty: vec![2.0; 2],
        contests: vec![30; 2],
        roles: vec![0; 2],
        latency_ms: vec![20, 90, 20, 90],
        reach: vec![f64::MAX; 2],
        latency_max_ms: vec![250; 2],
        slots: vec![1, 0],
        ..Pool::default()
    }
}

#[test]
fn policies_are_asked_about_the_same_recorded_ticks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    run(path, &["init", "--yes"], 0);
    let plugins = path.join("plugins.toml");
    let before = std::fs::read_to_string(&plugins).unwrap();
    let narrow = "\n[queue.duel.shadow.narrow]\nrole = \"policy\"\ncomponent = \"builtin:skill-window\"\n\
                  parameters = { window_base = 1.0, window_growth_per_s = 0.0, window_max = 1.0 }\n";
    std::fs::write(&plugins, format!("{before}{narrow}")).unwrap();
    let compared = run(path, &["plugin", "compare", "duel"], 0);
    assert_eq!(compared["policies"]["ticks"], 0, "{compared}");

    let config = host::config::Config::load(&path.join("ranked.toml"), &plugin_runtime::builtin_names()).unwrap();
    let store = Store::open(config.database_path(), Options::default()).unwrap();
    let queue = store.ensure_queue("duel").wait().unwrap();
    let ticks = [encode(&pair(0.5, 1_000)), encode(&pair(3.0, 1_000)), encode(&pair(40.0, 2_000)), vec![9, 9]];
    for columns in ticks {
        store.record_tick(queue, UnixMillis(1), columns).wait().unwrap();
    }
    drop(store);
    let compared = run(path, &["plugin", "compare", "duel"], 0);
    let policies = &compared["policies"];
    assert_eq!((&policies["ticks"], &policies["left_out"]), (&Value::from(3), &Value::from(1)), "{policies}");
    let rows = policies["policies"].as_array().unwrap();
    let seen: Vec<_> = rows.iter().map(|row| (row["policy"].as_str().unwrap(), row["matches"].as_u64(), row["players"].as_u64())).collect();
    assert_eq!(seen, [("(in force)", Some(2), Some(4)), ("narrow", Some(1), Some(2))]);
    assert_eq!((&rows[0]["between_teams"]["mean"], &rows[1]["between_teams"]["mean"]), (&Value::from(1.75), &Value::from(0.5)), "{rows:?}");
    assert_eq!((&rows[0]["waited_ms"]["p95"], &rows[0]["violations"]), (&Value::from(1_000.0), &serde_json::json!({})), "{rows:?}");

    let output =
        cargo_bin_cmd!("ranked").current_dir(path).env_remove("RANKED_CONFIG").args(["plugin", "compare", "duel"]).output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains("WAITED P50") && shown.contains("each by itself") && shown.contains("1 left out"), "{shown}");
    std::fs::write(&plugins, format!("{before}{}", narrow.replace("window_max = 1.0", "window_max = -1.0"))).unwrap();
    let compared = run(path, &["plugin", "compare", "duel"], 1);
    assert!(compared["policies"]["policies"][1]["problem"].as_str().is_some_and(|problem| problem.contains("parameters")), "{compared}");
}
