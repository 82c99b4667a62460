//! `ranked tune` through the real program, a real database and the real components.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use assert_cmd::cargo::cargo_bin_cmd;
use serde_json::{Value, json};

/// Runs in the folder and checks the exit code; what it wrote on standard output.
fn run(folder: &Path, arguments: &[&str], code: i32) -> String {
    let output = cargo_bin_cmd!("ranked").current_dir(folder).env_remove("RANKED_CONFIG").args(arguments).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {shown} {}", String::from_utf8_lossy(&output.stderr));
    shown
}

fn run_json(folder: &Path, arguments: &[&str], code: i32) -> Value {
    let shown = run(folder, &[arguments, &["--json"]].concat(), code);
    serde_json::from_str(&shown).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {shown}"))
}

/// A community whose queue `club` has played duels: the better of two players wins four times in five, nearly whoever they are.
fn club(folder: &Path, duels: u64, parameters: &str) {
    run(folder, &["init", "--yes"], 0);
    let mut chance = 1_u64;
    let mut below = |end: u64| {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (chance >> 33) % end
    };
    let mut lines = String::new();
    for number in 0..duels {
        let first = below(30);
        let second = (first + 1 + below(29)) % 30;
        let better_wins = below(5) > 0;
        let ranks = if (first > second) == better_wins { [0, 1] } else { [1, 0] };
        lines.push_str(&format!(
            "{{\"ts\":{},\"id\":\"d{number}\",\"teams\":[[\"p{first}\"],[\"p{second}\"]],\"ranks\":[{},{}]}}\n",
            1_000 + number * 60,
            ranks[0],
            ranks[1]
        ));
    }
    std::fs::write(folder.join("club.ndjson"), lines).unwrap();
    run(folder, &["journal", "import", "club.ndjson", "--create"], 0);
    let plugins = std::fs::read_to_string(folder.join("plugins.toml")).unwrap();
    let (before, club) = plugins.split_once("[queue.club]").unwrap();
    let rating = format!("rating.component = \"builtin:gaussian\"\nrating.parameters.{parameters} # far too cautious");
    let own = |line: &str| if line.starts_with("rating.component") { rating.clone() } else { line.to_owned() };
    let club: Vec<_> = club.lines().map(own).collect();
    std::fs::write(folder.join("plugins.toml"), format!("{before}[queue.club]{}\n", club.join("\n"))).unwrap();
}

/// Goal: an operator gets from bad parameters to good ones, and is told when there is nothing left to gain. Method: an engine that takes
/// every result for chance; tune, look at the file, compare, activate, tune again.
#[test]
fn bad_parameters_are_found_confirmed_written_compared_and_activated() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    club(path, 1_500, "beta = 150.0");
    let before = std::fs::read_to_string(path.join("plugins.toml")).unwrap();
    let arguments = ["tune", "club", "--evaluations", "24"];
    let tuned = run_json(path, &arguments, 0);
    let (now, best, gain) = (&tuned["now"], &tuned["best"], &tuned["gain"]);
    assert_eq!(
        (&now["parameters"], &tuned["tried"], &tuned["interrupted"]),
        (&json!({"beta": 150.0}), &json!(24), &json!(false)),
        "{tuned}"
    );
    assert!(best["parameters"]["beta"].as_f64().unwrap() < 60.0, "{tuned}");
    assert_eq!((&gain["beyond_noise"], &gain["matches"], &gain["blocks"]), (&json!(true), &json!(450), &json!(18)), "{tuned}");
    let losses = |part: &str| [now, best].map(|side| side[part]["log_loss"].as_f64().unwrap());
    let [loss_now, loss_best] = losses("confirmed_on");
    assert!((loss_now - loss_best - gain["log_loss"].as_f64().unwrap()).abs() < 1e-9, "paired over the same matches: {tuned}");
    assert!(losses("chosen_on")[1] < losses("chosen_on")[0] && loss_best < loss_now, "{tuned}");
    assert!(tuned["left_as_they_are"].as_array().unwrap().iter().any(|left| left["parameter"] == "mu"), "{tuned}");
    assert_eq!(std::fs::read_to_string(path.join("plugins.toml")).unwrap(), before, "nothing is written unasked");
    assert_eq!(run_json(path, &arguments, 0), tuned, "the same seed tries the same");

    let shown = run(path, &["tune", "club", "--evaluations", "24", "--write"], 0);
    assert!(shown.contains("beyond noise") && shown.contains("shadow:tuned") && shown.contains("1500 matches"), "{shown}");
    let written = std::fs::read_to_string(path.join("plugins.toml")).unwrap();
    assert!(written.starts_with(&before) && written.contains("[queue.club.shadow.tuned]"), "what stood before stays: {written}");
    let compared = run_json(path, &["plugin", "compare", "club", "--score-after", "0.7"], 0);
    let engines: Vec<_> =
        compared["engines"].as_array().unwrap().iter().map(|row| (&row["engine"], row["log_loss"].as_f64().unwrap())).collect();
    assert_eq!((engines[0].0, engines[1].0), (&json!("(in force)"), &json!("tuned")));
    assert!((engines[0].1 - loss_now).abs() < 1e-9 && (engines[1].1 - loss_best).abs() < 1e-9, "{compared}");

    run(path, &["plugin", "activate", "club", "rating", "shadow:tuned"], 0);
    let active: toml::Table = std::fs::read_to_string(path.join("plugins.toml")).unwrap().parse().unwrap();
    let parameters = active["queue"]["club"]["rating"]["parameters"].as_table().unwrap();
    assert_eq!(parameters["beta"].as_float(), best["parameters"]["beta"].as_f64());
    run_json(path, &["plugin", "activate", "club", "rating", "shadow:tuned"], 2);
    let again = run_json(path, &["tune", "club", "--evaluations", "12", "--parameter", "beta", "--write"], 1);
    assert_eq!((&again["gain"]["beyond_noise"], &again["written"]), (&json!(false), &Value::Null), "{again}");
}

/// Goal: an operator who has waited long enough loses nothing. Method: a search that would take hours, interrupted as soon as it listens.
#[test]
fn ctrl_c_ends_the_search_and_the_best_so_far_is_confirmed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    club(path, 1_500, "beta = 150.0");
    let program = assert_cmd::cargo::cargo_bin!("ranked");
    let mut command = std::process::Command::new(program);
    command.current_dir(path).env_remove("RANKED_CONFIG").args(["tune", "club", "--evaluations", "100000", "--json"]);
    let child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let threads = format!("/proc/{}/task", child.id());
    let listens = || {
        let mut names =
            std::fs::read_dir(&threads).unwrap().filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("comm")).ok());
        names.any(|name| name.trim() == "ctrl-c")
    };
    let begun = std::time::Instant::now();
    while !listens() {
        assert!(begun.elapsed().as_secs() < 60, "it never listened");
        std::thread::yield_now();
    }
    assert!(std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let tuned: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&tuned["interrupted"], &tuned["now"]["confirmed_on"]["matches"]), (&json!(true), &json!(450)), "{tuned}");
    assert!(tuned["tried"].as_u64().unwrap() < 25_000, "{tuned}");
    assert_eq!(output.status.code(), Some(if tuned["gain"]["beyond_noise"] == true { 0 } else { 1 }), "{tuned}");
}

#[test]
fn what_cannot_be_tuned_is_refused_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    club(path, 300, "beta = 9.0");
    let problem = |arguments: &[&str], code| run_json(path, arguments, code)["error"]["problem"].as_str().unwrap().to_owned();
    assert!(problem(&["tune", "club"], 1).contains("300 matches are too few"));
    assert!(problem(&["tune", "duel"], 1).contains("no parameter a range"), "the engine that new queues get tunes itself");
    assert!(problem(&["tune", "nobody"], 2).contains("no queue"));
    assert!(problem(&["tune", "club", "--parameter", "mu"], 2).contains("`mu` cannot be searched: its schema says so"));
    assert!(problem(&["tune", "club", "--parameter", "gamma"], 2).contains("no such parameter"));
    assert!(problem(&["tune", "club", "--choose-from", "0.8"], 2).contains("do not follow each other"));
    let asked =
        ["tune", "club", "--choose-from", "0.1", "--confirm-from", "0.3", "--parameter", "tau", "--evaluations", "3", "--matches", "1000"];
    let tuned: Value = {
        let output = cargo_bin_cmd!("ranked").current_dir(path).env_remove("RANKED_CONFIG").args(asked).arg("--json").output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    };
    assert_eq!((&tuned["searched"].as_array().unwrap().len(), &tuned["best"]["parameters"]["beta"]), (&1, &json!(9.0)), "{tuned}");
}
