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
