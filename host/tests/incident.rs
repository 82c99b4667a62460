//! Results that were wrong, as an operator takes them back: the program, a real database, the built-in engine in its sandbox.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;
use std::process::Output;
use std::sync::Arc;

use assert_cmd::cargo::cargo_bin_cmd;
use host::config::{Config, HostConfig, parse_queues};
use ladder::id::{Digest, JournalSeq, PlayerId, QueueId, ReportId, ServerId};
use ladder::rating::RatingEngine;
use ladder::report::{AcceptedPlayer, AcceptedReport, Disposition, Provenance, ReportFacts, Source};
use ladder::time::{UnixMillis, UnixSeconds};
use plugin_runtime::Runtime;
use serde_json::{Value, json};
use store::{AcceptOptions, MatchOrder, Member, NewQueueTicket, Options, Store};
use tempfile::TempDir;

const HONEST: ServerId = ServerId([0xaa; 16]);
const BROKEN_INTO: ServerId = ServerId([0xbb; 16]);
/// 2025-06-15T15:06:40Z; report n comes n minutes later.
const BEGAN: UnixMillis = UnixMillis(1_750_000_000_000);
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

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A community with a history.
struct Community {
    folder: TempDir,
    store: Store,
    queue: QueueId,
    players: Vec<PlayerId>,
    engine: Arc<dyn RatingEngine>,
}

impl Community {
    /// Made as `ranked init` makes it, with an engine in force and eight players.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let output = cargo_bin_cmd!("ranked").args(["init", "--yes", "--dir"]).arg(folder.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        std::fs::write(folder.path().join("plugins.toml"), PLUGINS).unwrap();
        let queues = parse_queues("plugins.toml", PLUGINS, &plugin_runtime::builtin_names()).unwrap();
        let config = Config::new(HostConfig::default(), queues, folder.path().to_owned());
        std::fs::create_dir_all(config.database_path().parent().unwrap()).unwrap();
        let store = Store::open(config.database_path(), Options::default()).unwrap();
        let queue = store.ensure_queue("duel").wait().unwrap();
        let players = store.ensure_players((0..8).map(|number| format!("player-{number}")).collect(), BEGAN).wait().unwrap();
        let engine: Arc<dyn RatingEngine> =
            Arc::new(host::plugins::load_rating(&Runtime::new().unwrap(), &config, &config.queues[0]).unwrap());
        store.install_engine(queue, Arc::clone(&engine), |_| (), BEGAN).wait().unwrap().unwrap();
        Self { folder, store, queue, players, engine }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A match from the queue to the report `number`, on `server`; returns the report's journal entry.
    fn play(&self, number: u64, server: ServerId, disposition: Disposition) -> u64 {
        let now = UnixMillis(BEGAN.0 + number * 60_000);
        let pair = [(number * 3) % 8, (number * 3 + 1 + number % 7) % 8].map(|player| self.players[player as usize]);
        let tickets = pair.map(|player| {
            let members = vec![Member { player, latency_ms: vec![20] }];
            self.store.enqueue(NewQueueTicket { queue: self.queue, members, regions: 1 }, now).wait().unwrap().unwrap().id
        });
        let order = MatchOrder {
            queue: self.queue,
            teams: tickets.map(|ticket| vec![ticket]).to_vec(),
            region: 0,
            server,
            server_capacity: 4,
            quality: 0.5,
            policy_digest: Digest([5; 32]),
        };
        let pending = self.store.open_matches(vec![order], now).wait().unwrap().pop().unwrap().unwrap();
        let match_id = pending.match_id;
        self.store.admit_match(&pending.handle_ack(server).unwrap(), now).wait().unwrap().unwrap();
        let mut id = [0; 16];
        id[8..].copy_from_slice(&number.to_be_bytes());
        let facts = ReportFacts {
            report_id: ReportId(id),
            match_id: Some(match_id),
            provenance: Provenance {
                queue: self.queue,
                source: Source::Server(server),
                at: UnixSeconds(i64::try_from(now.0 / 1_000).unwrap()),
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
            players: (0..).zip(pair).map(|(team, player)| AcceptedPlayer { player, team, presence: 1.0, stats: vec![] }).collect(),
            disposition,
            clamped: 0,
            reasons: vec![],
        };
        let accepted = self.store.accept_report(AcceptedReport::from_journal(facts), AcceptOptions::default(), now);
        accepted.wait().unwrap().unwrap().seq.0
    }

    /// The history of these tests without some of its reports: 60 of two game servers, every third one from the one that was broken into.
    fn with_history(without: impl Fn(u64) -> bool) -> Self {
        let community = Self::new();
        for number in (1..=60).filter(|number| !without(*number)) {
            community.play(number, if number % 3 == 1 { BROKEN_INTO } else { HONEST }, Disposition::Ratable);
        }
        community
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = cargo_bin_cmd!("ranked");
        command.current_dir(self.path()).env_remove("CREDENTIALS_DIRECTORY").env_remove("RANKED_CONFIG");
        command.args(arguments).output().unwrap()
    }

    /// Runs with `--json` and checks the exit code.
    fn json(&self, arguments: &[&str], code: i32) -> Value {
        let output = self.run(&[arguments, &["--json"]].concat());
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {} {}", text(&output.stdout), text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {}", text(&output.stdout)))
    }

    /// Everything that the leaderboard shows, as bits.
    fn board(&self) -> Vec<(PlayerId, [u64; 3], u32)> {
        let rows = self.store.leaderboard(self.queue, 0, 500).wait().unwrap();
        rows.into_iter().map(|row| (row.player, [row.visible, row.mean, row.uncertainty].map(f64::to_bits), row.contests)).collect()
    }

    fn assert_equals_replay(&self) {
        let comparison = self.store.compare_with_replay(self.queue, Arc::clone(&self.engine)).wait().unwrap().unwrap();
        assert!(comparison.is_equal() && comparison.reports > 0, "{comparison:?}");
        let verification = store::verify(self.store.path()).unwrap();
        assert!(verification.is_sound(), "{:?}", verification.problems);
    }
}

/// What the one that was broken into reported from its 10th minute on, before its 40th.
fn is_tainted(number: u64) -> bool {
    number % 3 == 1 && (10..40).contains(&number)
}

const ROLLBACK: [&str; 8] = [
    "incident",
    "rollback",
    "--server",
    "bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb",
    "--since",
    "2025-06-15T15:16:40Z",
    "--until",
    "2025-06-15 15:46:40",
];

/// A stolen certificate: what it did to the ratings is taken back to the last bit, and that can be undone to the last bit.
#[test]
fn a_rollback_leaves_what_a_history_without_the_reports_gives_and_its_undo_what_there_was() {
    let community = Community::with_history(|_| false);
    let (before, without) = (community.board(), Community::with_history(is_tainted).board());
    assert_ne!(before, without);
    let tainted: Vec<u64> = (1..=60).filter(|number| is_tainted(*number)).collect();

    // The look: all of it is said, and nothing is done.
    let entries = || community.store.statistics().wait().unwrap().journal_entries;
    let looked = community.json(&ROLLBACK, 0);
    assert_eq!((&looked["applied"], &looked["reports"]), (&json!(false), &json!(tainted)));
    let queue = &looked["queues"][0];
    assert_eq!((&queue["reports"], &queue["reports_left"]), (&json!(10), &json!(50)));
    assert_eq!((community.board(), entries()), (before.clone(), 60));
    assert_eq!(community.json(&["incident", "list"], 0)["revisions"], json!([]));
    // Whoever moves is named with the very numbers that come out afterwards.
    let named = queue["largest"].as_array().unwrap();
    assert_eq!(queue["moved"].as_u64().unwrap(), named.len() as u64);
    for (player, [visible, ..], contests) in &without {
        if before.iter().any(|row| row.0 == *player && row.1[0] == *visible) {
            continue;
        }
        let after = &named.iter().find(|named| named["player_id"] == player.0).unwrap()["after"];
        // The text of a number is read back to its last bit but one.
        assert!((after["rating"].as_f64().unwrap() - f64::from_bits(*visible)).abs() < 1e-9, "player {player}: {after}");
        assert_eq!(after["contests"], *contests);
    }

    // Nobody can be asked here: without --yes nothing happens.
    let apply = [&ROLLBACK[..], &["--apply", "--reason", "stolen certificate", "--by", "ann"]].concat();
    community.json(&apply, 2);
    assert_eq!(entries(), 60);
    let done = community.json(&[&apply[..], &["--yes"]].concat(), 0);
    assert_eq!((&done["applied"], &done["queues"][0]["ratings"]), (&json!(true), &json!("in-force")));
    assert_eq!(community.board(), without);
    community.assert_equals_replay();
    let listed = &community.json(&["incident", "list"], 0)["revisions"][0];
    for (key, expected) in [
        ("revision", json!(1)),
        ("by", json!("ann")),
        ("reason", json!("stolen certificate")),
        ("reports", json!(10)),
        ("state", json!("in force")),
    ] {
        assert_eq!(listed[key], expected, "{key}");
    }
    assert!(listed["incident"].as_str().unwrap().contains(&"bb".repeat(16)), "{listed}");
    // Once is enough.
    community.json(&[&apply[..], &["--yes"]].concat(), 1);

    // The reports say so, and a report that comes later is rated with the new ratings.
    let shown = community.json(&["report", "show", "10"], 0);
    assert_eq!((&shown["report"]["state"], &shown["decisions"][0]["decision"]), (&json!("voided"), &json!("voided")));
    assert_eq!(community.json(&["report", "list", "--voided"], 0)["reports"].as_array().unwrap().len(), 10);
    let undone = community.json(&["incident", "undo", "1", "--reason", "it was ours after all"], 0);
    assert_eq!(undone["restored"], 10);
    assert_eq!(community.board(), before);
    community.assert_equals_replay();
    assert_eq!(community.json(&["incident", "list"], 0)["revisions"][1]["state"], "undone");
    community.json(&["incident", "undo", "1", "--reason", "again"], 1);
    community.play(61, HONEST, Disposition::Ratable);
    community.assert_equals_replay();
}

/// One by one: voided, restored, released, and refused where it makes no sense, with the exit codes of the house.
#[test]
fn single_reports_are_voided_restored_and_released() {
    let community = Community::new();
    for number in 1..=6 {
        community.play(number, HONEST, Disposition::Ratable);
    }
    let before = community.board();
    let looked = community.json(&["report", "void", "2", "match:4", "--dry-run"], 0);
    assert_eq!((&looked["queues"][0]["reports"], &looked["queues"][0]["reports_left"]), (&json!(2), &json!(4)));
    assert_eq!(community.board(), before);
    assert_eq!(community.json(&["report", "void", "2", "match:4", "--reason", "aim bot"], 0)["voided"], 2);
    assert_ne!(community.board(), before);
    community.assert_equals_replay();
    community.json(&["report", "void", "2", "--reason", "aim bot"], 1);
    community.json(&["report", "void", "2", "--dry-run"], 1);
    let looked = community.json(&["report", "void", "3", "3", "--dry-run"], 0);
    assert_eq!(looked["queues"][0]["reports"], 1, "a report named twice is one");
    assert_eq!(community.json(&["report", "restore", "2", "4", "--reason", "no aim bot"], 0)["restored"], 2);
    assert_eq!(community.board(), before);

    let held = [community.play(7, HONEST, Disposition::Held), community.play(8, HONEST, Disposition::Held)].map(|seq| seq.to_string());
    let listed = community.json(&["report", "list", "--held"], 0);
    assert_eq!(listed["reports"].as_array().unwrap().len(), 2);
    let status = community.json(&["journal", "status"], 0);
    assert_eq!((&status["queues"][0]["reports_held"], &status["queues"][0]["reports_waiting"]), (&json!(2), &json!(0)));
    community.json(&["report", "void", &held[1], "--reason", "a bot"], 0);
    community.json(&["report", "release", &held[1], "--reason", "no bot"], 1);
    let released = community.json(&["report", "release", &held[0], "--reason", "watched it"], 0);
    let rating_at = released["released"][0]["released_by"].as_u64().unwrap();
    assert_eq!(community.json(&["report", "show", &held[0]], 0)["report"]["state"], "waits");
    // The host, at its next tick or start.
    let rated = community.store.rate_waiting(community.queue, 10).wait().unwrap().unwrap();
    assert_eq!((rated.rated.len(), rated.waits), (1, false));
    assert!(rating_at > held[1].parse().unwrap());
    let shown = community.json(&["report", "show", &held[0]], 0);
    assert_eq!((&shown["report"]["state"], &shown["decisions"][0]["reason"]), (&json!("rated"), &json!("watched it")));
    community.assert_equals_replay();

    for (arguments, code) in [
        (&["report", "show", "9999"][..], 1),
        (&["report", "show", "nine"], 2),
        (&["report", "void", "match:999", "--reason", "x"], 1),
        (&["report", "void", "1", "--reason", " "], 2),
        (&["report", "list", "--queue", "nowhere"], 2),
        (&["match", "list", "--queue", "nowhere"], 2),
        (&["tune", "duel", "--choose-from", "NaN"], 2),
        (&["report", "list", "--since", "yesterday"], 2),
        (&["report", "list", "--since", "2025-06-16", "--until", "2025-06-15"], 2),
        (&["incident", "undo", "99", "--reason", "x"], 1),
        (&["incident", "rollback", "--server", &"cc".repeat(16), "--since", "2h ago"], 1),
    ] {
        community.json(arguments, code);
    }
    for arguments in [&["report", "list"][..], &["report", "show", "1"], &["incident", "list"], &["report", "void", "1", "--dry-run"]] {
        let output = community.run(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
        assert!(!output.stdout.is_empty(), "{arguments:?}");
    }
}

/// Without waiting the decision stands, and whoever has the engine next builds the ratings.
#[test]
fn ratings_left_to_the_host_are_built_by_whoever_starts_next() {
    let community = Community::with_history(|_| false);
    let before = community.board();
    let left = community.json(&[&ROLLBACK[..], &["--apply", "--yes", "--no-wait", "--reason", "stolen"]].concat(), 0);
    assert_eq!(left["queues"][0]["ratings"], "left-to-host");
    assert_eq!(community.board(), before, "what was in force serves on");
    assert_eq!(community.json(&["incident", "list"], 0)["revisions"][0]["state"], "being built");
    assert!(!community.store.active_engine(community.queue).wait().unwrap().unwrap().newest);
    let verified = community.json(&["ledger", "verify"], 1);
    let queue = &verified["queues"][0];
    assert_eq!((&queue["differences"]["differing"], &queue["decision_pending"]), (&json!(0), &json!(true)));
    community.store.install_engine(community.queue, Arc::clone(&community.engine), |_| (), BEGAN).wait().unwrap().unwrap();
    assert_eq!(community.board(), Community::with_history(is_tainted).board());
    let record = community.store.report_record(JournalSeq(10)).wait().unwrap().unwrap();
    assert_eq!(record.1.len(), 1);
}

/// Nobody builds for a queue that plugins.toml does not name: nothing is promised, and nothing is called sound.
#[test]
fn a_decision_about_a_queue_that_is_not_in_plugins_toml_is_a_finding() {
    let community = Community::with_history(|_| false);
    let file = community.folder.path().join("plugins.toml");
    let plugins = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, plugins.replace("queue.duel", "queue.other")).unwrap();
    let made = community.json(&[&ROLLBACK[..], &["--apply", "--yes", "--reason", "stolen"]].concat(), 1);
    assert_eq!(made["queues"][0]["ratings"], "failed");
    let verified = community.json(&["ledger", "verify"], 1);
    let unnamed = verified["queues"].as_array().unwrap().iter().find(|queue| queue["queue"] == "duel").unwrap();
    assert_eq!(unnamed["refused"], "not in plugins.toml");
}
