//! README.md and docs/threat-model.md promise much; each promise names a test. This checks that the tests are there.
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

/// Every function that is marked as a test, by plain reading: an attribute or `proptest!` body, then `fn NAME(`.
fn tests_that_exist(root: &Path) -> BTreeSet<String> {
    let mut files = Vec::new();
    rust_files(root, &mut files);
    let mut names = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(file).unwrap();
        for (at, _) in text.match_indices("#[test]").chain(text.match_indices("#[tokio::test")) {
            if let Some(name) = text[at..].split_once("fn ").and_then(|(_, rest)| rest.split_once('(')) {
                names.insert(name.0.to_owned());
            }
        }
    }
    names
}

#[test]
fn every_promise_names_a_test_that_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let exist = tests_that_exist(root);
    for (page, promises_min) in [("README.md", 25), ("docs/threat-model.md", 50)] {
        let text = fs::read_to_string(root.join(page)).unwrap();
        let promised = promised(&text);
        assert!(promised.len() >= promises_min, "{page} names only {} tests", promised.len());
        let missing: Vec<_> = promised.iter().filter(|name| !exist.contains(**name)).collect();
        assert!(missing.is_empty(), "{page} names tests that do not exist: {missing:#?}");
    }
}
