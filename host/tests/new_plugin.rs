//! `ranked plugin new` and `build` as an author meets them: files, exit codes, and what is said when something is missing.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;
use std::process::Output;

use assert_cmd::cargo::cargo_bin_cmd;
use serde_json::Value;

/// Runs with `--json` where no tool of any language can be found.
fn alone(folder: &Path, arguments: &[&str]) -> (i32, Value) {
    let mut command = cargo_bin_cmd!("ranked");
    command.current_dir(folder).env("PATH", folder).env_remove("VIRTUAL_ENV").env_remove("WASI_SDK_PATH").env_remove("RANKED_CONFIG");
    let output = command.args(arguments).arg("--json").output().unwrap();
    (output.status.code().unwrap(), document(&output))
}

fn document(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr)))
}

fn begin(folder: &Path, name: &str, role: &str, language: &str) -> (i32, Value) {
    alone(folder, &["plugin", "new", name, "--role", role, "--lang", language])
}

/// Goal: a plugin begins from the binary alone. Method: every role in every language, with no tool and no checkout at hand.
#[test]
fn every_role_begins_in_every_language_without_anything_else() {
    let folder = tempfile::tempdir().unwrap();
    for language in ["rust", "javascript", "python", "c"] {
        for role in ["rating", "rules", "policy"] {
            let name = format!("{language}-{role}");
            let (code, made) = begin(folder.path(), &name, role, language);
            assert_eq!(code, 0, "{made}");
            let made_in = folder.path().join(&name);
            for file in made["files"].as_array().unwrap() {
                let text = std::fs::read_to_string(made_in.join(file.as_str().unwrap())).unwrap();
                assert!(!text.is_empty(), "{name}: {file}");
            }
            let contract = include_str!("../../wit/v1/ranked.wit");
            assert_eq!(std::fs::read_to_string(made_in.join("wit/ranked.wit")).unwrap(), contract, "{name}");
        }
    }
}

/// Goal: nothing of an author's is ever written over. Method: begin twice under one name; the first one's file has changed meanwhile.
#[test]
fn a_folder_that_exists_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(begin(folder.path(), "elo", "rating", "c").0, 0);
    let source = folder.path().join("elo/plugin.c");
    std::fs::write(&source, "// mine").unwrap();
    let (code, refused) = begin(folder.path(), "elo", "rating", "c");
    assert_eq!(code, 1, "{refused}");
    assert!(refused["error"]["problem"].as_str().unwrap().contains("exists"), "{refused}");
    assert_eq!(std::fs::read_to_string(source).unwrap(), "// mine");
}

#[test]
fn a_name_that_cannot_be_one_is_refused_with_the_rule() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["../escape", "Elo", "my_elo", "2fast", ""] {
        let (code, refused) = begin(folder.path(), name, "rating", "python");
        assert_eq!(code, 2, "{name}: {refused}");
        assert!(refused["error"]["help"].as_str().unwrap().contains("a to z"), "{name}: {refused}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "something was written");
}

/// Goal: who lacks a tool is told the command that brings it. Method: build in each language where there is none.
#[test]
fn a_missing_tool_is_named_with_the_command_that_installs_it() {
    let folder = tempfile::tempdir().unwrap();
    for (language, tool, install) in [
        ("rust", "cargo", "rustup target add wasm32-unknown-unknown"),
        ("javascript", "componentize-qjs", "npm install"),
        ("python", "componentize-py", "pip install -r requirements.txt"),
        ("c", "a C compiler", "pip install -r requirements.txt"),
    ] {
        assert_eq!(begin(folder.path(), language, "rating", language).0, 0);
        let (code, failure) = alone(folder.path(), &["plugin", "build", language]);
        assert_eq!(code, 3, "{failure}");
        assert!(failure["error"]["problem"].as_str().unwrap().contains(tool), "{failure}");
        assert!(failure["error"]["help"].as_str().unwrap().contains(install), "{failure}");
    }
}

/// Goal: a folder that cannot be built says why. Method: no manifest, one with a word that means nothing, one without a key.
#[test]
fn a_folder_that_is_no_plugin_is_told_what_it_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let build = || alone(folder.path(), &["plugin", "build"]);
    let (code, failure) = build();
    assert_eq!(code, 2, "{failure}");
    assert!(failure["error"]["help"].as_str().unwrap().contains("ranked plugin new"), "{failure}");
    for (manifest, expected) in [
        ("[plugin]\nname = \"a\"\nrole = \"referee\"\nlanguage = \"c\"\ncomponent = \"a.wasm\"\n", "\"rating\", \"rules\" or \"policy\""),
        ("[plugin]\nname = \"a\"\nrole = \"rules\"\nlanguage = \"cobol\"\ncomponent = \"a.wasm\"\n", "\"javascript\""),
        ("[plugin]\nname = \"a\"\nrole = \"rules\"\nlanguage = \"c\"\n", "component"),
    ] {
        std::fs::write(folder.path().join("plugin.toml"), manifest).unwrap();
        let (code, failure) = build();
        assert_eq!(code, 2, "{failure}");
        assert!(failure["error"]["problem"].as_str().unwrap().contains(expected), "{failure}");
    }
}
