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
        let tested = json_in(folder.path(), &["plugin", "backtest", "builtin:adaptive", "--data", &file, "--score-after", "0.5"], 0);
        let alone = json_in(folder.path(), &["plugin", "backtest", "builtin:gaussian", "--data", &file], 0);
        assert_eq!(alone["engines"].as_array().unwrap().len(), 1, "beside itself there is nothing to show: {alone}");
        assert_eq!(tested["engines"][0]["scored"], imported["scored"]);
        assert!(near(figures(&tested["engines"][0]), figures(&imported)), "{name}: {tested} {imported}");
        let whole = json_in(folder.path(), &["plugin", "backtest", "builtin:adaptive", "--data", &file], 0);
        let journal = json_in(folder.path(), &["plugin", "backtest", "builtin:adaptive", "--journal", "excerpt"], 0);
        assert!(near(figures(&whole["engines"][0]), figures(&journal["engines"][0])), "{name}: {whole} {journal}");
    }
}

/// Goal: shadows are judged on what a community played. Method: one shadow that is the engine in force under another name, one with other
/// parameters, one whose parameters no engine takes.
#[test]
fn shadows_are_compared_with_the_engine_in_force_on_the_journal() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(run(folder.path(), &["init", "--yes"]).status.code(), Some(0));
    let file = excerpt(folder.path(), "halo2_h2h", 150);
    json_in(folder.path(), &["journal", "import", &file, "--create"], 0);
    let plugins = folder.path().join("plugins.toml");
    let before = std::fs::read_to_string(&plugins).unwrap();
    json_in(folder.path(), &["plugin", "compare", "excerpt"], 2);
    let shadows = "\n[queue.excerpt.shadow.same]\ncomponent = \"builtin:adaptive\"\n\
                   [queue.excerpt.shadow.wild]\ncomponent = \"builtin:gaussian\"\n[queue.excerpt.shadow.wild.parameters]\ntau = 4.0\n";
    std::fs::write(&plugins, format!("{before}{shadows}")).unwrap();
    let answer = json_in(folder.path(), &["plugin", "compare", "excerpt", "--top", "3"], 0);
    let engines = answer["engines"].as_array().unwrap();
    let names: Vec<_> = engines.iter().map(|engine| engine["engine"].as_str().unwrap()).collect();
    assert_eq!(names, ["(in force)", "same", "wild"]);
    let tested = json_in(folder.path(), &["plugin", "backtest", "builtin:adaptive", "--journal", "excerpt"], 0);
    assert!(near(figures(&engines[0]), figures(&tested["engines"][0])), "{answer} {tested}");
    assert!(near(figures(&engines[0]), figures(&engines[1])) && !near(figures(&engines[0]), figures(&engines[2])), "{answer}");
    assert_eq!((&engines[0]["stored"]["active"], &engines[2]["stored"]), (&Value::from(true), &Value::Null), "no host has run: {answer}");
    assert_eq!(engines[1]["moves"].as_array().unwrap().len(), 0, "the same engine moves nobody: {answer}");
    let moves = engines[2]["moves"].as_array().unwrap();
    assert_eq!(moves.len(), 3, "{answer}");
    assert!(moves.iter().all(|moved| moved["rank"] != moved["would_be"] && moved["name"].is_string()), "{answer}");
    let sides = |engine: &Value| -> Vec<u64> {
        engine["calibration"].as_array().unwrap().iter().map(|tenth| tenth["sides"].as_u64().unwrap()).collect()
    };
    for sides in engines.iter().map(sides) {
        assert_eq!(sides.iter().sum::<u64>(), 300, "each duel is one pair, and a pair has two sides: {answer}");
        assert_eq!(sides[9], sides[0], "who is expected to win stands across from who is expected to lose: {answer}");
    }
    std::fs::write(&plugins, format!("{before}{}", shadows.replace("tau = 4.0", "tau = -4.0"))).unwrap();
    let answer = json_in(folder.path(), &["plugin", "compare", "excerpt"], 1);
    assert!(answer["engines"][2]["failure"].is_object() && answer["engines"][1]["log_loss"].is_number(), "{answer}");
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

/// A folder with a component, a manifest for duels, and cases.
fn author(role: &str, builtin: &str, cases: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("plugin.wasm"), plugin_runtime::builtin(builtin).unwrap()).unwrap();
    let manifest = format!(
        "[plugin]\nname = \"mine\"\nrole = \"{role}\"\ncomponent = \"plugin.wasm\"\n\
         [queue]\nteam_sizes = [1, 1]\nregions = [\"eu\", \"us\"]\nstats = [\"kills\"]\ntotals = [\"rounds\"]\n"
    );
    std::fs::write(folder.path().join("plugin.toml"), manifest).unwrap();
    std::fs::create_dir(folder.path().join("cases")).unwrap();
    std::fs::write(folder.path().join("cases/first.toml"), cases).unwrap();
    folder
}

/// Every kind of expectation, met once and missed once.
#[test]
fn cases_name_every_field_that_differs() {
    let rating = r#"
        [[rating]]
        name = "met"
        start.a = { mean = 30.0, uncertainty = 2.0, contests = 5, idle_s = 60 }
        play = ["a beat b 16-9", { result = "b > a", trust = 0.5, at_s = 1_700_000_000, presence = { a = 0.5 }, stats = { a = { kills = 3 } } }]
        expect.b = { mean = 25.0, uncertainty = 7.0 }
        predict = { "a vs b" = 0.6 }
        tolerance = 5.0
        [[rating]]
        name = "missed"
        play = ["a beat b"]
        expect.a = { mean = 25.0, uncertainty = 1.0, visible = 9.0 }
        predict = { "a vs b" = 0.5 }
        [[rating]]
        name = "not declined"
        play = ["a beat b"]
        declines = "out-of-range"
    "#;
    let rules = r#"
        [[rules]]
        name = "met"
        duration_s = 600
        places = [0, 1]
        teams = [[{ kills = 900 }], [{ kills = nan }]]
        totals = { rounds = 25 }
        clamps = [{ team = 0, player = 0, stat = "kills", to = 100 }, { team = 1, player = 0, stat = "kills", to = 0 }]
        findings = ["suspicious:outside-bounds"]
        bounds = { kills = [0, 100], rounds = [0, 30] }
        [[rules]]
        name = "missed"
        duration_s = 600
        places = [0, 1]
        teams = [[{ kills = 900 }], [{ kills = 3 }]]
        clamps = [{ team = 1, player = 0, stat = "kills", to = 1 }]
        findings = []
        bounds = { kills = [0, 50] }
    "#;
    let policy = r#"
        [[policy]]
        name = "met"
        tickets = [{ players = [{ mean = 25.0 }], waited_s = 30 }, { players = [{ mean = 26.0 }] }, { players = [{ mean = 90.0 }], regions = ["eu"] }]
        matches = 1
        together = [[0, 1]]
        separate = [[0, 2]]
        [[policy]]
        name = "missed"
        tickets = [{ players = [{ mean = 25.0 }] }, { players = [{ mean = 25.0 }] }]
        slots = { eu = 0, us = 0 }
        matches = 1
        together = [[0, 1]]
        waiting = { 0 = "skill" }
    "#;
    let table = [
        ("rating", "gaussian", rating, vec!["predict.\"a vs b\"", "a.mean", "a.uncertainty", "a.visible", "declines"]),
        ("rules", "bounds", rules, vec!["teams[1][0].kills", "teams[0][0].kills", "findings", "bounds.kills[1]"]),
        ("policy", "skill-window", policy, vec!["matches", "together", "waiting.0"]),
    ];
    for (role, builtin, cases, differing) in table {
        let folder = author(role, builtin, cases);
        let answer = json_in(folder.path(), &["plugin", "test"], 1);
        let ends = answer["files"][0]["cases"].as_array().unwrap();
        assert!(ends[0]["name"] == "met" && ends[0]["passed"] == true, "{role}: {answer:#}");
        let mismatches = ends.iter().flat_map(|end| end["mismatches"].as_array().unwrap());
        let fields: Vec<_> = mismatches.map(|mismatch| mismatch["field"].as_str().unwrap()).collect();
        assert_eq!(fields, differing, "{role}: {answer:#}");
        assert_eq!(answer["failed"], ends.len() - 1, "{role}");
    }
}

#[test]
fn a_case_that_cannot_be_read_says_where() {
    let table = [
        ("play = [\"a wins b\"]", "play[0]: column 3"),
        ("play = [{ result = \"a beat b\", map = \"moon\" }]", "the queue does not have `moon`"),
        ("start.a = { uncertainty = 0 }\nplay = []", "start.a: no rating"),
    ];
    for (case, problem) in table {
        let folder = author("rating", "gaussian", &format!("[[rating]]\nname = \"x\"\n{case}\n"));
        let answer = json_in(folder.path(), &["plugin", "test"], 1);
        assert!(answer["files"][0]["cases"][0]["problem"].as_str().unwrap().contains(problem), "{case}: {answer:#}");
    }
    let folder = author("rating", "gaussian", "[[rating]]\nname = \"x\"\nplay = []\nexpects.a = { mean = 1 }\n");
    let answer = json_in(folder.path(), &["plugin", "test"], 2);
    assert!(answer["error"]["problem"].as_str().unwrap().contains("unknown field `expects`"), "{answer:#}");
}

#[test]
fn the_reference_vectors_are_met_through_the_sandbox() {
    let vectors = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors/rating-vectors.json");
    let answer = json(&["plugin", "test", "builtin:gaussian", "--vectors", vectors], 0);
    assert!(answer["cases"].as_u64() >= Some(42) && answer["files"][0]["passed_over"].as_u64() >= Some(21), "{answer}");
    let answer = json(&["plugin", "test", "builtin:gaussian", "--vectors", vectors, "--algo", "chess"], 2);
    assert!(answer["error"]["problem"].as_str().unwrap().contains("no vector of `chess`; it has: elo"), "{answer}");
    let refused = json(&["plugin", "test", "builtin:gaussian", "--vectors", vectors, "--algo", "weng_lin_pl"], 2);
    assert!(refused["error"]["problem"].as_str().unwrap().contains("does not stand for `weng_lin_pl`"), "{refused}");
}

#[test]
fn a_whole_file_of_vectors_is_met_by_the_built_in_engines() {
    let vectors = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors/rating-vectors.json");
    let answer = json(&["plugin", "test", "--builtin", "--vectors", vectors], 0);
    for file in answer["files"].as_array().unwrap() {
        let reasons = file["reasons"].as_array().unwrap();
        assert!(reasons.iter().all(|over| !over["reason"].as_str().unwrap().is_empty()), "{file:#}");
        assert_eq!(reasons.len() as u64, file["passed_over"], "{file:#}");
    }
    assert_eq!((&answer["failed"], answer["cases"].as_u64() >= Some(91)), (&serde_json::json!(0), true), "{answer:#}");
}

/// Goal: vectors in forms of every peer are read. Method: a file made here, against the engine whose numbers are known.
#[test]
fn vectors_are_read_in_every_form() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("vectors.json");
    let won = serde_json::json!([[30.4, null], [19.6, null]]);
    let stranger = [25.0, 25.0 / 3.0];
    let vector = |id: &str, kind: &str, input: serde_json::Value, expect: serde_json::Value| {
        serde_json::json!({
            "id": id, "algo": "trueskill", "kind": kind, "params": {"note": "text"}, "input": input, "expect": expect, "tol": 1.5,
        })
    };
    let period = serde_json::json!({ "player": stranger, "games": [[25, 8.3, 1], [25, 8.3, 0.5], [25, 8.3, 0]] });
    let vectors = [
        vector("ranks", "rate", serde_json::json!({ "teams": [[stranger], [stranger]], "ranks": [3, 9] }), won.clone()),
        vector("scores", "rate", serde_json::json!({ "teams": [[stranger], [stranger]], "scores": [9, 3] }), won.clone()),
        vector("order", "rate", serde_json::json!({ "teams": [stranger, stranger] }), serde_json::json!({ "teams": won })),
        vector("two", "rate", serde_json::json!({ "a": stranger, "b": 25, "score": 1 }), serde_json::json!({ "a": 30.4, "b": [19.6] })),
        vector("period", "rating_period", period.clone(), serde_json::json!({ "rating": 25.0 })),
        vector("one by one", "sequential", period, serde_json::json!({ "rating": 24.5, "rd": 5.5 })),
        vector("predicted", "expected_score", serde_json::json!({ "teams": [[stranger], [stranger]] }), serde_json::json!([0.5, 0.5])),
        vector("of three", "expected_score", serde_json::json!({ "teams": [[stranger], [stranger], [stranger]] }), [1.0 / 3.0; 3].into()),
        vector("quality", "quality", serde_json::json!({ "teams": [[stranger], [stranger]] }), 0.4.into()),
        vector("idle", "rating_period", serde_json::json!({ "player": stranger, "games": [] }), serde_json::json!({ "rd": 9 })),
    ];
    std::fs::write(&file, serde_json::json!({ "vectors": vectors }).to_string()).unwrap();
    let answer = json(&["plugin", "test", "builtin:gaussian", "--vectors", file.to_str().unwrap()], 0);
    assert_eq!((answer["cases"].as_u64(), answer["passed_over"].as_u64()), (Some(8), Some(2)), "{answer:#}");
    let wrong = vector("wrong", "rate", serde_json::json!({ "teams": [[stranger], [stranger]], "scores": [3, 9] }), won);
    std::fs::write(&file, serde_json::json!({ "vectors": [wrong] }).to_string()).unwrap();
    let answer = json(&["plugin", "test", "--builtin", "--vectors", file.to_str().unwrap()], 1);
    assert_eq!(answer["files"][0]["cases"][0]["mismatches"].as_array().unwrap().len(), 2, "{answer:#}");
}

#[test]
fn a_bench_shows_each_kind_of_queue_and_the_built_in_beside() {
    let answer = json(&["plugin", "bench", "builtin:gaussian", "--seconds", "0.05"], 0);
    let rows = answer["components"][0]["rows"].as_array().unwrap();
    assert_eq!(rows.iter().map(|row| row["call"].as_str().unwrap()).collect::<Vec<_>>(), ["rate, 1v1", "rate, 5v5", "rate, 8 alone"]);
    for row in rows {
        let figures = ["calls_per_s", "p50_us", "p99_us", "fuel_per_call", "bulk_contests_per_s"];
        assert!(figures.iter().all(|key| row[key].as_f64() > Some(0.0)) && row["p99_us"].as_f64() >= row["p50_us"].as_f64(), "{row}");
    }
    assert!(answer["components"].as_array().unwrap().len() == 1 && answer["components"][0]["compile_ms"].as_f64() > Some(0.0), "{answer}");
    for component in ["builtin:bounds", "builtin:skill-window"] {
        let answer = json(&["plugin", "bench", component, "--seconds", "0.05", "--team-sizes", "2,2"], 0);
        assert_eq!(answer["components"][0]["rows"].as_array().unwrap().len(), 1, "{component}: {answer}");
    }
}

/// Goal: an author, or an operator before installing, learns of a hostile component from the check. Method: the whole catalog, in one sandbox.
#[test]
fn every_hostile_component_that_can_be_told_fails_the_check() {
    use host::author::check;
    use host::author::subject::{Subject, SubjectError, Wish};
    let (folder, runtime) = (tempfile::tempdir().unwrap(), plugin_runtime::Runtime::new().unwrap());
    let path = folder.path().join("hostile.wasm");
    let mut passed = Vec::new();
    for hostile in hostile::components() {
        std::fs::write(&path, hostile.bytes()).unwrap();
        let shape = "team_sizes = [1, 1]\nregions = [\"eu\"]\nstats = [\"kills\"]\n".parse().unwrap();
        let role = plugin_runtime::Role::ALL.into_iter().find(|role| role.name() == hostile.role);
        let wish = Wish { component: Some(path.display().to_string()), role, shape, ..Wish::default() };
        let found = match Subject::find(&runtime, wish) {
            Ok(mut subject) => {
                // A hundredth of the usual fuel: endless loops end as surely, and the whole catalog in seconds.
                let queue = &mut subject.queues[0];
                for limits in [&mut queue.rating.limits, &mut queue.rules.limits, &mut queue.policy.limits] {
                    limits.fuel_max = limits.fuel_max.min(2_000_000_000) / 100;
                }
                check::run(&runtime, &subject, 1).unwrap().iter().any(check::Check::is_failed)
            }
            Err(SubjectError::Unfit(_) | SubjectError::Unreadable { .. }) => true,
            Err(error) => panic!("{}: {error}", hostile.name),
        };
        if !found {
            passed.push(hostile.name);
        }
    }
    let expected: Vec<_> = hostile::components()
        .filter(|hostile| matches!(hostile.ending, hostile::Ending::Contained | hostile::Ending::FaultSometimes { .. }))
        .map(|hostile| hostile.name)
        .collect();
    let unexpected: Vec<_> = passed.iter().filter(|name| !expected.contains(name)).collect();
    assert!(unexpected.is_empty(), "passed the check: {unexpected:?}; those that behave or behave for a while: {passed:?}");
}
