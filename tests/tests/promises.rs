//! README.md and docs/threat-model.md promise much; each promise names a test. This checks that the tests are there and run.
#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Names in backticks that look like tests: lower case, three underscores or more.
fn promised(text: &str) -> BTreeSet<&str> {
    let looks_like_a_test = |name: &&str| {
        name.matches('_').count() >= 3 && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    text.split('`').skip(1).step_by(2).filter(looks_like_a_test).collect()
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The name of every function that is marked as a test and runs, by plain reading: attribute lines (in a `proptest!` body or not), then
/// `fn NAME(`. What is ignored proves nothing.
fn running_tests(text: &str) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    let (mut marked, mut ignored) = (false, false);
    for line in text.lines().map(str::trim_start) {
        if line.starts_with("#[") {
            marked |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
            ignored |= line.contains("ignore");
        }
        if let Some((_, rest)) = line.split_once("fn ").filter(|_| !line.starts_with("//")) {
            names.extend(rest.split_once('(').filter(|_| marked && !ignored).map(|(name, _)| name));
            (marked, ignored) = (false, false);
        }
    }
    names
}

fn tests_that_run(root: &Path) -> BTreeSet<String> {
    let mut files = Vec::new();
    rust_files(root, &mut files);
    let mut names = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(file).unwrap();
        names.extend(running_tests(&text).into_iter().map(str::to_owned));
    }
    names
}

#[test]
fn an_ignored_test_keeps_no_promise() {
    let text = "#[test]\nfn runs() {}\n#[test]\n#[ignore = \"slow\"]\nfn later() {}\n#[ignore]\n#[tokio::test]\n/// fn of old\nasync fn never() {}\n\
                fn helper() {}\n    #[tokio::test(start_paused = true)]\n    #[cfg(unix)]\n    async fn waits() {}\n#[test]\n#[cfg_attr(unix, ignore)]\nfn not_here() {}\n";
    assert_eq!(running_tests(text), BTreeSet::from(["runs", "waits"]));
}

#[test]
fn every_promise_names_a_test_that_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let run = tests_that_run(root);
    for (page, promises_min) in [("README.md", 25), ("docs/threat-model.md", 50)] {
        let text = fs::read_to_string(root.join(page)).unwrap();
        let promised = promised(&text);
        assert!(promised.len() >= promises_min, "{page} names only {} tests", promised.len());
        let missing: Vec<_> = promised.iter().filter(|name| !run.contains(**name)).collect();
        assert!(missing.is_empty(), "{page} names tests that do not exist or are ignored: {missing:#?}");
    }
}
