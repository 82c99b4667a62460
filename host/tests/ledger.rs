//! Are the ratings in force what the journal gives? The program, a real database, the built-in engine in its sandbox.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;
use std::process::Output;
use std::sync::Arc;

use assert_cmd::cargo::cargo_bin_cmd;
use host::config::{Config, HostConfig, parse_queues};
use ladder::id::{PlayerId, QueueId, ReportId};
use ladder::rating::RatingEngine;
use ladder::report::{AcceptedPlayer, AcceptedReport, Disposition, Provenance, ReportFacts, Source};
use ladder::time::{UnixMillis, UnixSeconds};
use plugin_runtime::Runtime;
use rusqlite::Connection;
use serde_json::{Value, json};
use store::{AcceptOptions, Options, Store};
use tempfile::TempDir;

const NOW: UnixMillis = UnixMillis(1_750_000_000_000);
const REPORTS: u64 = 60;
const PLAYERS: u64 = 8;
const PLUGINS: &str = r#"
[queue.duel]
team_sizes = [1, 1]
regions = ["eu"]
[queue.duel.rating]
component = "builtin:gaussian"
deadline_ms_max = 10000
[queue.duel.rules]
component = "builtin:bounds"
[queue.duel.policy]
component = "builtin:skill-window"
"#;

/// A community with a history that was rated live.
struct Community {
    folder: TempDir,
    store: Store,
    queue: QueueId,
}

impl Community {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let output = cargo_bin_cmd!("ranked").args(["init", "--yes", "--dir"]).arg(folder.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        std::fs::write(folder.path().join("plugins.toml"), PLUGINS).unwrap();
        let queues = parse_queues("plugins.toml", PLUGINS, &plugin_runtime::builtin_names()).unwrap();
        let config = Config::new(HostConfig::default(), queues, folder.path().to_owned());
        std::fs::create_dir_all(config.database_path().parent().unwrap()).unwrap();
        let store = Store::open(config.database_path(), Options::default()).unwrap();
        let queue = store.ensure_queue("duel").wait().unwrap();
        store.ensure_players((0..PLAYERS).map(|number| format!("player-{number}")).collect(), NOW).wait().unwrap();
        let engine: Arc<dyn RatingEngine> =
            Arc::new(host::plugins::load_rating(&Runtime::new().unwrap(), &config, &config.queues[0]).unwrap());
        store.install_engine(queue, engine, |_| (), NOW).wait().unwrap().unwrap();
        let community = Self { folder, store, queue };
        (1..=REPORTS).for_each(|number| community.play(number));
        community
    }

    fn play(&self, number: u64) {
        let (first, second) = (number % PLAYERS, (number + 1 + number % 5) % PLAYERS);
        let player = |(team, number): (u16, u64)| {
            let player = PlayerId(1 + number);
            AcceptedPlayer { player, team, presence: 1.0, stats: vec![] }
        };
        let mut id = [0; 16];
        id[8..].copy_from_slice(&number.to_be_bytes());
        let facts = ReportFacts {
            report_id: ReportId(id),
            match_id: None,
            provenance: Provenance {
                queue: self.queue,
                source: Source::Import,
                at: UnixSeconds(1_749_000_000 + number.cast_signed() * 60),
                trust: 1.0,
                rules: None,
            },
            duration_s: 60,
            places: if number.is_multiple_of(3) { vec![1, 0] } else { vec![0, 1] },
            scores: vec![],
            sides: vec![],
            map: None,
            mode: None,
            totals: vec![],
            players: [(0, first), (1, second)].map(player).to_vec(),
            disposition: Disposition::Ratable,
            clamped: 0,
            reasons: vec![],
        };
        let accepted = self.store.accept_report(AcceptedReport::from_journal(facts), AcceptOptions::default(), NOW);
        accepted.wait().unwrap().unwrap();
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = cargo_bin_cmd!("ranked");
        command.current_dir(self.path()).env_remove("CREDENTIALS_DIRECTORY").env_remove("RANKED_CONFIG");
        command.args(arguments).output().unwrap()
    }

    /// Runs with `--json` and checks the exit code.
    fn json(&self, arguments: &[&str], code: i32) -> Value {
        let output = self.run(&[arguments, &["--json"]].concat());
        let shown = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {shown} {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {shown}"))
    }

    /// Behind everybody's back.
    fn meddle(&self, sql: &str) {
        Connection::open(self.store.path()).unwrap().execute_batch(sql).unwrap();
    }
}

/// A rating that somebody changed in the file is named with its player and its report, and put right by a replay.
#[test]
fn a_rating_that_was_meddled_with_is_found_and_a_replay_puts_it_right() {
    let community = Community::new();
    let sound = community.json(&["ledger", "verify"], 0);
    assert_eq!((&sound["sound"], &sound["journal_head"]["seq"]), (&json!(true), &json!(REPORTS)));
    let queue = &sound["queues"][0];
    assert_eq!((&queue["reports"], &queue["differences"]["players"]), (&json!(REPORTS), &json!(PLAYERS)));

    community.meddle(
        "UPDATE ratings SET mean = mean + 1 WHERE player = 3; UPDATE rating_changes SET mean = mean + 1 WHERE player = 3 AND seq > 30",
    );
    let found = community.json(&["ledger", "verify", "--queue", "duel"], 1);
    let queue = &found["queues"][0];
    let difference = &queue["differences"]["listed"][0];
    assert_eq!((&queue["differences"]["differing"], &difference["player"], &difference["field"]), (&json!(1), &json!(3), &json!("mean")));
    let (stored, recomputed) = (&difference["stored"], &difference["recomputed"]);
    let number = |value: &Value| value.as_str().unwrap().parse::<f64>().unwrap();
    assert!((number(stored) - number(recomputed) - 1.0).abs() < 1e-9, "{difference}");
    let first = queue["first_report"]["seq"].as_u64().unwrap();
    assert!(first > 30 && first <= 40, "{queue}");
    let shown = community.run(&["ledger", "verify"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("NOT what the journal gives") && shown.contains("player 3: mean stored"), "{shown}");

    let replayed = community.json(&["ledger", "replay", "duel"], 0);
    assert_eq!((&replayed["same_engine"], &replayed["waits"]), (&json!(true), &json!(false)));
    assert_eq!((&replayed["differences"]["differing"], &replayed["differences"]["listed"][0]["player"]), (&json!(1), &json!(3)));
    assert_eq!(community.json(&["ledger", "verify"], 0)["sound"], json!(true));
}

/// An entry of the journal that was changed breaks the chain: it is named, and nothing is recomputed from it.
#[test]
fn a_changed_journal_entry_is_named() {
    let community = Community::new();
    community.meddle(
        "DROP TRIGGER journal_entries_never_change; UPDATE journal SET payload = (SELECT payload FROM journal WHERE seq = 6) WHERE seq = 5",
    );
    let found = community.json(&["ledger", "verify"], 1);
    assert_eq!((&found["sound"], &found["journal_head"]["seq"], &found["queues"]), (&json!(false), &json!(4), &json!([])));
    assert!(found["problem"].as_str().unwrap().contains("entry 5"), "{found}");
}

/// Ratings of another engine than that of plugins.toml cannot be checked; a replay swaps them, and says that two engines are compared.
#[test]
fn another_engine_is_not_checked_and_a_replay_swaps_it_in() {
    let community = Community::new();
    std::fs::write(community.path().join("plugins.toml"), format!("{PLUGINS}[queue.duel.rating.parameters]\nbeta = 5.0\n")).unwrap();
    let refused = community.json(&["ledger", "verify"], 1);
    assert!(refused["queues"][0]["refused"].as_str().unwrap().contains("another rating engine"), "{refused}");
    let replayed = community.json(&["ledger", "replay", "duel"], 0);
    assert_eq!(replayed["same_engine"], json!(false));
    assert!(replayed["differences"]["differing"].as_u64().unwrap() > 0);
    assert_eq!(community.json(&["ledger", "verify"], 0)["sound"], json!(true));
    assert_eq!(community.json(&["ledger", "replay", "nowhere"], 2)["error"]["kind"], json!("usage"));
}
