//! The tutorials of docs/plugins.md, run as they stand there, and the templates that they do not begin.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;
use std::process::Command;

const GUIDE: &str = include_str!("../../docs/plugins.md");

/// The shell blocks below a heading, in order, up to the next heading of the same rank.
fn shell_blocks(heading: &str) -> String {
    let (_, section) = GUIDE.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no section `{heading}`"));
    let section = section.split_once("\n## ").map_or(section, |(section, _)| section);
    section.split("\n```sh\n").skip(1).map(|block| block.split_once("\n```").unwrap().0).collect::<Vec<_>>().join("\n")
}

/// Runs commands in an empty folder, where `ranked` is the program at hand; returns what they printed.
fn run(title: &str, commands: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let ranked = Path::new(env!("CARGO_BIN_EXE_ranked")).parent().unwrap();
    let path = format!("{}:{}", ranked.display(), std::env::var("PATH").unwrap());
    let output = Command::new("bash")
        .args(["-euxo", "pipefail", "-c", commands])
        .current_dir(folder.path())
        .env("PATH", path)
        // Compiled crates are kept from run to run; they are no part of what is shown here.
        .env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("tutorial"))
        .env_remove("RANKED_CONFIG")
        .output()
        .unwrap();
    let (printed, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{title}: {}\n{printed}\n{said}", output.status);
    printed.into_owned()
}

/// The rating of the first player of the leaderboard that a demo printed at its end.
fn best_rating(printed: &str) -> Option<f64> {
    let (_, leaderboard) = printed.split_once("leaderboard of queue duel")?;
    let first = leaderboard.lines().find(|line| line.trim_start().starts_with("1 "))?;
    first.split_whitespace().nth(2)?.parse().ok()
}

/// Goal: who follows the guide ends with rated matches by an engine of their own. Method: run every block of both tutorials. The leaderboard at the
/// end is on Elo's scale around 1500; the built-in engine's is around 25.
#[test]
fn the_tutorials_do_what_they_say() {
    for heading in ["Tutorial: an Elo engine in Rust", "Tutorial: an Elo engine in JavaScript"] {
        let printed = run(heading, &shell_blocks(heading));
        let best = best_rating(&printed);
        assert!(best.is_some_and(|rating| (1500.0..1900.0).contains(&rating)), "{heading}: {best:?}\n{printed}");
    }
}

/// Goal: what `ranked plugin new` writes builds, keeps the contract and passes its own cases. Method: the roles that the tutorials do not begin. The
/// Python policy, the C rules and the JavaScript engine are built by tests/tests/languages.rs.
#[test]
fn every_other_template_builds_and_passes_its_cases() {
    for (language, role) in
        [("rust", "rules"), ("rust", "policy"), ("javascript", "rules"), ("javascript", "policy"), ("c", "rating"), ("c", "policy")]
    {
        let steps = ["build", "check", "test"].map(|step| format!("ranked plugin {step} {language}-{role}"));
        let begin = format!("ranked plugin new {language}-{role} --role {role} --lang {language}");
        run(&format!("{language} {role}"), &[&[begin], steps.as_slice()].concat().join("\n"));
    }
}
