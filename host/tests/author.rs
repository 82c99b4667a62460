//! The tools for authors as an author meets them: a component and the program, no host, no database, no configuration.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;
use std::process::Output;

use assert_cmd::cargo::cargo_bin_cmd;
use serde_json::Value;

fn run(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = cargo_bin_cmd!("ranked");
    command.current_dir(folder).env_remove("RANKED_CONFIG").args(arguments).output().unwrap()
}

/// Runs with `--json` in an empty folder and checks the exit code.
fn json(arguments: &[&str], code: i32) -> Value {
    let folder = tempfile::tempdir().unwrap();
    json_in(folder.path(), arguments, code)
}

fn json_in(folder: &Path, arguments: &[&str], code: i32) -> Value {
    let output = run(folder, &[arguments, &["--json"]].concat());
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {} {}", text(&output.stdout), text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {}", text(&output.stdout)))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn verdicts(answer: &Value) -> Vec<(&str, &str)> {
    let checks = answer["checks"].as_array().unwrap().iter();
    checks.map(|check| (check["name"].as_str().unwrap(), check["verdict"].as_str().unwrap())).collect()
}

#[test]
fn the_built_in_components_pass_every_check() {
    let table = [
        ("builtin:gaussian", "rating", "determinism order finite winner prediction budget"),
        ("builtin:bounds", "rules", "bounds claims honest clamps determinism budget"),
        ("builtin:skill-window", "policy", "proposals matches determinism order budget"),
    ];
    for (component, role, expected) in table {
        let answer = json(&["plugin", "check", component], 0);
        assert_eq!(answer["role"], role);
        let verdicts = verdicts(&answer);
        assert!(verdicts.iter().all(|(_, verdict)| *verdict == "ok"), "{component}: {verdicts:?}");
        for name in expected.split(' ') {
            assert!(verdicts.iter().any(|(known, _)| *known == name), "{component}: {name} in {verdicts:?}");
        }
    }
}

#[test]
fn a_file_that_is_no_component_fails_the_check_and_a_missing_one_is_wrong_usage() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("engine.wasm"), b"\0asm\x01\0\0\0").unwrap();
    let answer = json_in(folder.path(), &["plugin", "check", "engine.wasm"], 1);
    assert_eq!(verdicts(&answer), [("contract", "failed")]);
    assert!(answer["checks"][0]["problem"].as_str().unwrap().contains("core WebAssembly module"), "{answer}");
    json_in(folder.path(), &["plugin", "check", "nothing.wasm"], 2);
    let answer = json_in(folder.path(), &["plugin", "check"], 2);
    assert!(answer["error"]["help"].as_str().unwrap().contains("ranked plugin new"), "{answer}");
}

#[test]
fn a_manifest_says_what_the_plugin_is_and_which_queue_it_is_for() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("built")).unwrap();
    std::fs::write(folder.path().join("built/engine.wasm"), plugin_runtime::builtin("gaussian").unwrap()).unwrap();
    let manifest = "[plugin]\nname = \"mine\"\nrole = \"rating\"\nlanguage = \"rust\"\ncomponent = \"built/engine.wasm\"\n\
                    [queue]\nteam_sizes = [3, 3]\n[parameters]\nbeta = 5.0\n";
    std::fs::write(folder.path().join("plugin.toml"), manifest).unwrap();
    for component in [&["."] as &[&str], &[], &["built/engine.wasm"]] {
        let answer = json_in(folder.path(), &[&["plugin", "check"], component].concat(), 0);
        assert!(answer["checks"][0]["tried"].as_str().unwrap().ends_with("queues of 3v3"), "{component:?}: {answer}");
    }
    std::fs::write(folder.path().join("plugin.toml"), manifest.replace("beta = 5.0", "beta = -1")).unwrap();
    let answer = json_in(folder.path(), &["plugin", "check"], 1);
    assert!(answer["checks"][0]["problem"].as_str().unwrap().contains("refuses its parameters: beta"), "{answer}");
    std::fs::write(folder.path().join("plugin.toml"), manifest.replace("team_sizes", "team_size")).unwrap();
    let output = run(folder.path(), &["plugin", "check"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("did you mean `team_sizes`?"), "{}", text(&output.stderr));
}

/// Runs the prompt with these lines on its standard input.
fn prompt(arguments: &[&str], lines: &str) -> Output {
    let mut command = cargo_bin_cmd!("ranked");
    command.args(["plugin", "repl", "builtin:gaussian"]).args(arguments).write_stdin(lines).output().unwrap()
}

#[test]
fn the_prompt_rates_what_is_typed_and_takes_it_back() {
    let output = prompt(&["--json"], "a,b beat c,d 16-9\npredict a vs c\nundo\nshow\nquit\nnever read\n");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let replies: Vec<Value> = text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [rated, predicted, undone, shown] = replies.as_slice() else { panic!("{replies:?}") };
    let change = &rated["changes"][0];
    assert_eq!((change["player"].as_str(), change["place"].as_u64()), (Some("a"), Some(0)));
    assert!(change["after"]["mean"].as_f64() > change["before"]["mean"].as_f64(), "{change}");
    assert!((rated["surprise_bits"].as_f64().unwrap() - 1.0).abs() < 1e-9, "{rated}");
    assert!(predicted["predicted"]["pairs"][0].as_f64().unwrap() > 0.5, "{predicted}");
    assert_eq!(undone["undone"], "a,b beat c,d 16-9");
    assert_eq!(shown["standings"], Value::Array(Vec::new()));
}

#[test]
fn the_prompt_shows_changes_and_points_at_what_it_cannot_read() {
    let output = prompt(&[], "a > b = c\na wins b\nshow\n");
    assert_eq!(output.status.code(), Some(1), "a script has to know: {}", text(&output.stdout));
    let shown = text(&output.stdout);
    assert!(shown.contains("predicted  a before b: 50.0 %") && shown.contains("surprise"), "{shown}");
    assert!(shown.contains("a wins b\n  ^ column 3: `wins` says nothing about the result"), "{shown}");
    assert!(shown.lines().any(|line| line.starts_with("PLAYER") && line.contains("CONTESTS")), "{shown}");
}

/// The first contests of a shared history, as a file.
fn excerpt(folder: &Path, name: &str, contests: usize) -> String {
    use std::io::{BufRead as _, Write as _};
    let path = format!("{}/../../shared/datasets/{name}.ndjson.gz", env!("CARGO_MANIFEST_DIR"));
    let packed = std::fs::File::open(&path).unwrap_or_else(|error| panic!("the shared history is missing: {path}: {error}"));
    let lines = std::io::BufReader::new(flate2::read::MultiGzDecoder::new(packed)).lines();
    let mut file = std::fs::File::create(folder.join("excerpt.ndjson")).unwrap();
    for line in lines.take(contests) {
        writeln!(file, "{}", line.unwrap()).unwrap();
    }
    "excerpt.ndjson".to_owned()
}

fn figures(answer: &Value) -> [f64; 3] {
    ["log_loss", "accuracy", "brier"].map(|key| answer[key].as_f64().unwrap_or_else(|| panic!("{key}: {answer}")))
}

fn near(one: [f64; 3], other: [f64; 3]) -> bool {
    one.iter().zip(&other).all(|(one, other)| (one - other).abs() < 1e-9)
}

/// Two ways to the same figures: the import goes through journal and database, the backtest needs neither.
#[test]
fn a_backtest_gives_the_figures_of_an_import() {
    for name in ["halo2_h2h", "football_intl"] {
        let folder = tempfile::tempdir().unwrap();
        let community = run(folder.path(), &["init", "--yes"]);
        assert_eq!(community.status.code(), Some(0), "{}", text(&community.stderr));
        let file = excerpt(folder.path(), name, 150);
        let imported = json_in(folder.path(), &["journal", "import", &file, "--create"], 0);
        let tested = json_in(folder.path(), &["plugin", "backtest", "builtin:gaussian", "--data", &file, "--score-after", "0.5"], 0);
        assert_eq!(tested["engines"].as_array().unwrap().len(), 1, "beside itself there is nothing to show: {tested}");
        assert_eq!(tested["engines"][0]["scored"], imported["scored"]);
        assert!(near(figures(&tested["engines"][0]), figures(&imported)), "{name}: {tested} {imported}");
        let whole = json_in(folder.path(), &["plugin", "backtest", "builtin:gaussian", "--data", &file], 0);
        let journal = json_in(folder.path(), &["plugin", "backtest", "builtin:gaussian", "--journal", "excerpt"], 0);
        assert!(near(figures(&whole["engines"][0]), figures(&journal["engines"][0])), "{name}: {whole} {journal}");
    }
}

#[test]
fn a_backtest_shows_the_built_in_engine_beside_and_names_lines_that_it_leaves_out() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("history.ndjson"), "{\"ts\":1,\"id\":\"x\",\"teams\":[[\"a\"],[\"b\"]],\"ranks\":[0,1]}\nnonsense\n")
        .unwrap();
    let output =
        run(folder.path(), &["plugin", "backtest", "builtin:gaussian", "--parameters", "{\"beta\":9}", "--data", "history.ndjson"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let shown = text(&output.stdout);
    assert!(shown.contains("LOG LOSS") && shown.contains("0.6931") && shown.contains("line 2: it is no contest"), "{shown}");
    let answer = json_in(folder.path(), &["plugin", "backtest", "builtin:bounds", "--data", "history.ndjson"], 2);
    assert!(answer["error"]["problem"].as_str().unwrap().contains("for the role `rules`"), "{answer}");
}
