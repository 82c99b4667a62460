//! What operators see when they mistype: exact text, all mistakes at once.

use super::*;

const BUILTINS: &[&str] = &["gaussian", "adaptive", "elo", "elo-mmr", "glicko2", "weng-lin", "bounds", "skill-window"];

fn host_error(text: &str) -> String {
    HostConfig::parse("ranked.toml", text).expect_err("the text is wrong").render()
}

fn queues_error(text: &str) -> String {
    parse_queues("plugins.toml", text, BUILTINS).expect_err("the text is wrong").render()
}

/// A queue that is right, with `more` behind it.
fn queue(more: &str) -> String {
    format!(
        "[queue.duel]\nteam_sizes = [1, 1]\nregions = [\"eu\"]\nstats = [\"kills\"]\nrating.component = \"builtin:gaussian\"\n\
         rules.component = \"builtin:bounds\"\npolicy.component = \"builtin:skill-window\"\n{more}"
    )
}

#[test]
fn the_written_files_parse_to_the_defaults() {
    assert_eq!(HostConfig::parse("ranked.toml", &ranked_toml()).expect("our own file"), HostConfig::default());
    let queues = parse_queues("plugins.toml", &plugins_toml(), BUILTINS).expect("our own file");
    assert_eq!(queues.iter().map(QueueConfig::name).collect::<Vec<_>>(), ["duel"]);
    assert_eq!(queues[0].outer_bounds.len(), 3);
}

#[test]
fn an_empty_file_is_the_defaults() {
    assert_eq!(HostConfig::parse("ranked.toml", "").expect("nothing is wrong"), HostConfig::default());
}

#[test]
fn a_mistyped_key_is_shown_with_the_nearest_one() {
    let expected = "\
error: unknown key `tick_mss`
 --> ranked.toml:2:1
  |
2 | tick_mss = 500
  | ^^^^^^^^ here
  |
help: did you mean `tick_ms`?
";
    assert_eq!(host_error("[matchmaking]\ntick_mss = 500\n"), expected);
}

#[test]
fn every_mistake_is_shown_not_only_the_first() {
    let text = "[matchmaking]\ntick_mss = 500\nmoves_max = \"two\"\n[lissten]\nhttp = \"x\"\n[session]\nheartbeat_ms = 70000\nidle_timeout_ms = 140000\n";
    let ConfigError::Invalid { problems } = HostConfig::parse("ranked.toml", text).expect_err("four mistakes") else {
        panic!("the text is readable")
    };
    let shown: Vec<_> = problems.iter().map(|problem| (problem.line_column(), problem.title.as_str())).collect();
    let expected = [
        ((2, 1), "unknown key `tick_mss`"),
        ((3, 13), "invalid type: string \"two\", expected u32"),
        ((4, 2), "unknown key `lissten`"),
        ((7, 16), "70000 is out of range: it must be 100 to 60000"),
    ];
    assert_eq!(shown, expected);
}

#[test]
fn bad_values_of_the_host_file_name_their_place() {
    let table = [
        ("broken syntax", "[listen\n", "ranked.toml:1:8"),
        ("an address", "listen.http = \"nowhere\"", "ranked.toml:1:15"),
        ("silence shorter than the heartbeat", "[session]\nidle_timeout_ms = 600\n", "write at least 10000, twice `heartbeat_ms`"),
        ("a public address without a port", "public.rdv = \"play.example\"", "ranked.toml:1:14"),
        ("a log format", "logs.format = \"jsn\"", "did you mean `json`?"),
        ("a table that is no table", "listen = 5", "ranked.toml:1:10"),
        ("caps in the wrong order", "[limits]\nhalf_open_max = 5\n", "write at least 512"),
    ];
    for (name, text, expected) in table {
        let shown = host_error(text);
        assert!(shown.contains(expected), "{name}: {shown}");
    }
}

#[test]
fn a_queue_without_regions_says_what_to_write() {
    let text = "[queue.duel]\nteam_sizes = [1, 1]\nrating.component = \"builtin:gaussian\"\nrules.component = \"builtin:bounds\"\npolicy.component = \"builtin:skill-window\"\n";
    let expected = "\
error: queue `duel` has no regions
 --> plugins.toml:1:8
  |
1 | [queue.duel]
  |        ^^^^ here
  |
help: write `regions = [\"eu\"]`: game servers name one of them in their heartbeats
";
    assert_eq!(queues_error(text), expected);
}

#[test]
fn bad_values_of_the_queues_file_name_their_place_and_the_remedy() {
    let table = [
        ("an unknown built-in", queue("").replace("gaussian", "gausian"), "5:20", "did you mean `gaussian`?"),
        ("bounds out of order", queue("rules.outer_bounds = { kills = [100, 0] }"), "8:32", "write the smaller number first"),
        ("bounds for nothing", queue("rules.outer_bounds = { kils = [0, 1] }"), "8:31", "did you mean `kills`?"),
        ("one bound", queue("rules.outer_bounds.kills = [1]"), "8:28", "write `kills = [0, 100]`"),
        ("sizes and teams", queue("teams = 3"), "8:9", "write one size per team"),
        ("a lonely team", queue("").replace("[1, 1]", "[1]"), "2:14", "say how many teams there are"),
        ("nobody", queue("").replace("[1, 1]", "[1, 0]"), "2:18", "write 1 or more"),
        ("a region twice", queue("").replace("[\"eu\"]", "[\"eu\", \"eu\"]"), "3:18", "stands twice"),
        ("a file without digest", queue("").replace("builtin:bounds", "my.wasm"), "6:19", "ranked plugin inspect my.wasm"),
        ("a bad digest", queue("policy.digest = \"sha256:12\""), "8:17", "64 hexadecimal digits"),
        ("no fuel", queue("rating.fuel_max = 1"), "8:19", "1000 to"),
        ("a stack for nobody", queue("rating.stack_bytes_max = 1024"), "8:26", "65536 to 1048576"),
        ("too many table entries", queue("rules.table_elements_max = 1_000_000"), "8:28", "1 to 262144"),
        ("too much through host functions", queue("policy.hostcall_bytes_max = 999_999_999"), "8:29", "1024 to 134217728"),
        ("a grant", queue("rating.wasi = \"determinstic\""), "8:15", "did you mean `deterministic`?"),
        ("a date", queue("rating.parameters.since = 1979-05-27"), "8:27", "write it as a string"),
        ("a fallback", queue("policy.fallback = \"skil-window\""), "8:19", "did you mean `skill-window`?"),
        ("a name", queue("").replace("queue.duel", "queue.\"Du el\""), "1:8", "a to z"),
    ];
    for (name, text, place, remedy) in table {
        let shown = queues_error(&text);
        assert!(shown.contains(&format!("plugins.toml:{place}\n")), "{name}: {shown}");
        assert!(shown.contains(remedy), "{name}: {shown}");
    }
}

#[test]
fn parameters_reach_the_plugin_as_sorted_json() {
    let queues =
        parse_queues("plugins.toml", &queue("rating.parameters = { tau = 0.5, beta = 4, on = true, list = [1, \"a\"] }"), BUILTINS);
    let queues = queues.expect("nothing is wrong");
    assert_eq!(queues[0].rating.parameters, r#"{"beta":4,"list":[1,"a"],"on":true,"tau":0.5}"#);
}

#[test]
fn what_a_plugin_refuses_is_shown_at_its_parameter() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = queue("rating.parameters = { beta = -1 }");
    std::fs::write(folder.path().join(HOST_FILE), "").expect("a file");
    std::fs::write(folder.path().join(PLUGINS_FILE), text).expect("a file");
    let config = Config::load(&folder.path().join(HOST_FILE), BUILTINS).expect("nothing is wrong");
    let error = config.plugin_problem("duel", Role::Rating, &["parameters", "beta"], "must be above 0".to_owned(), String::new());
    assert!(error.render().contains("plugins.toml:8:30\n"), "{}", error.render());
}

#[test]
fn a_shadow_is_a_rating_engine_or_a_policy() {
    let more = "[queue.duel.shadow.next]\ncomponent = \"builtin:gaussian\"\nparameters = { beta = 9 }\n\
                [queue.duel.shadow.wide]\nrole = \"policy\"\ncomponent = \"builtin:skill-window\"\n";
    let queues = parse_queues("plugins.toml", &queue(more), BUILTINS).expect("nothing is wrong");
    let shadows: Vec<_> = queues[0].shadows.iter().map(|(name, shadow)| (name.as_str(), shadow.role)).collect();
    assert_eq!(shadows, [("next", Role::Rating), ("wide", Role::Policy)]);
    let wide = &queues[0].shadows["wide"].plugin;
    assert_eq!(wide.limits, queues[0].policy.limits, "the budget is that of the role");
    let rules = "[queue.duel.shadow.odd]\nrole = \"rules\"\ncomponent = \"builtin:bounds\"\n";
    assert!(queues_error(&queue(rules)).contains("unknown value `rules`"));
}
