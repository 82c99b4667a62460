//! `ranked match`: what an operator reads about a match, from the database of a host that has stopped.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;

use assert_cmd::cargo::cargo_bin_cmd;
use host::config::Config;
use ladder::clamp_note::ClampNote;
use ladder::id::{Digest, MatchId, ReportId, ServerId};
use ladder::reason::{Reason, code};
use ladder::report::{AcceptedPlayer, AcceptedReport, Disposition, Provenance, ReportFacts, Source};
use ladder::time::{UnixMillis, UnixSeconds};
use plugin_runtime::Runtime;
use serde_json::{Value, json};
use store::{AcceptOptions, MatchOrder, Member, NewQueueTicket, Options, Store};

const NOW: UnixMillis = UnixMillis(1_750_000_000_000);
const SERVER: ServerId = ServerId([7; 16]);

fn run(folder: &Path, arguments: &[&str], code: i32) -> String {
    let output = cargo_bin_cmd!("ranked").current_dir(folder).env_remove("RANKED_CONFIG").args(arguments).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {shown} {}", String::from_utf8_lossy(&output.stderr));
    shown
}

fn run_json(folder: &Path, arguments: &[&str], code: i32) -> Value {
    serde_json::from_str(&run(folder, &[arguments, &["--json"]].concat(), code)).unwrap()
}

/// A community with the queue `duel`, its engine installed, and two players.
struct Club {
    store: Store,
    reports: u8,
}

impl Club {
    fn new(folder: &Path) -> Self {
        run(folder, &["init", "--yes"], 0);
        let config = Config::load(&folder.join("ranked.toml"), &plugin_runtime::builtin_names()).unwrap();
        let store = Store::open(config.database_path(), Options::default()).unwrap();
        let queue = store.ensure_queue("duel").wait().unwrap();
        let engine = host::plugins::load_rating(&Runtime::new().unwrap(), &config, config.queue("duel").unwrap()).unwrap();
        store.install_engine(queue, Arc::new(engine), |_| (), NOW).wait().unwrap().unwrap();
        Self { store, reports: 0 }
    }

    /// `ada` meets `bob`; who reports is told what to change in the report of an even match that ada won.
    fn play(&mut self, change: impl FnOnce(ReportFacts) -> ReportFacts) -> MatchId {
        let queue = self.store.ensure_queue("duel").wait().unwrap();
        let players = self.store.ensure_players(["ada", "bob"].map(String::from).to_vec(), NOW).wait().unwrap();
        let enqueue = |player| {
            let members = vec![Member { player, latency_ms: vec![20, 20] }];
            self.store.enqueue(NewQueueTicket { queue, members, regions: 1 }, NOW).wait().unwrap().unwrap().id
        };
        let teams = players.iter().map(|&player| vec![enqueue(player)]).collect();
        let order =
            MatchOrder { queue, teams, region: 0, server: SERVER, server_capacity: 4, quality: 0.5, policy_digest: Digest([5; 32]) };
        let pending = self.store.open_matches(vec![order], NOW).wait().unwrap().pop().unwrap().unwrap();
        let match_id = pending.match_id;
        self.store.admit_match(&pending.handle_ack(SERVER).unwrap(), NOW).wait().unwrap().unwrap();
        self.reports += 1;
        let player = |team: usize| AcceptedPlayer { player: players[team], team: team as u16, presence: 1.0, stats: vec![] };
        let at = UnixSeconds(1_000 + i64::from(self.reports));
        let provenance = Provenance { queue, source: Source::Server(SERVER), at, trust: 1.0, rules: Some(Digest([6; 32])) };
        let facts = change(ReportFacts {
            report_id: ReportId([self.reports; 16]),
            match_id: Some(match_id),
            provenance,
            duration_s: 60,
            places: vec![0, 1],
            scores: vec![],
            sides: vec![],
            map: None,
            mode: None,
            totals: vec![],
            players: vec![player(0), player(1)],
            disposition: Disposition::Ratable,
            clamped: 0,
            reasons: vec![],
        });
        self.store.accept_report(AcceptedReport::from_journal(facts), AcceptOptions::default(), NOW).wait().unwrap().unwrap();
        match_id
    }
}

/// Goal: an operator who is asked "why did I lose points" has one command. Method: 25 matches through the built-in engine, the last of them a
/// surprise with a clamped number; the terminal and the JSON document say the same as the page.
#[test]
fn a_match_is_explained_from_its_prediction_to_its_engine() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let mut club = Club::new(path);
    for _ in 0..24 {
        club.play(|facts| facts);
    }
    let clamp = ClampNote { player: Some(0), stat: 0, claimed: 900.0, accepted: 100.0 };
    let reasons = vec![Reason::new(code::CLAMPED, clamp.to_string())];
    let upset = club.play(|facts| ReportFacts { places: vec![1, 0], clamped: 1, reasons, ..facts }).to_string();

    let why = run(path, &["match", "why", &upset], 0);
    for part in [
        "The result is rated.",
        "engine     adaptive ",
        "parameters {}",
        &format!("rules      sha256:{}", "06".repeat(32)),
        "larger than in 100 % of the 24 matches before",
        "of ada: 900 became 100",
        "ada was expected to win ",
        "bob was expected to win ",
        "SKILL BEFORE",
    ] {
        assert!(why.contains(part), "{part}: {why}");
    }
    let document = run_json(path, &["match", "why", &upset], 0);
    let [ada, bob] = [0, 1].map(|team| &document["teams"][team]["players"][0]);
    let expected = ada["rating"]["expected"].as_f64().unwrap();
    assert!(expected > 0.8 && ada["why"].as_str().unwrap().contains("and lost"), "{document}");
    assert!(ada["rating"]["after"]["rating"].as_f64() < ada["rating"]["before"]["rating"].as_f64(), "{document}");
    assert!((document["report"]["prediction"]["surprise"].as_f64().unwrap() + (1.0 - expected).ln()).abs() < 1e-12, "{document}");
    assert_eq!((&document["report"]["shown"]["engine_name"], bob["clamps"].as_array().unwrap().len()), (&json!("adaptive"), 0));

    let own = run(path, &["match", "why", &upset, "--player", "BOB"], 0);
    assert!(own.contains("bob was expected") && !own.contains("ada was expected"), "{own}");
    let own = run_json(path, &["match", "why", &upset, "--player", "bob"], 0);
    assert_eq!((own["teams"][0]["players"].as_array().unwrap().len(), &own["teams"][1]["players"][0]), (0, bob));
    assert!(run_json(path, &["match", "why", &upset, "--player", "cem"], 1)["error"]["help"].as_str().unwrap().contains("ada, bob"));
    run_json(path, &["match", "why", "999"], 1);
}

#[test]
fn a_result_that_is_not_rated_says_what_happens_next() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let mut club = Club::new(path);
    let reason = |detail: &str| vec![Reason::new("odd", detail)];
    let held = club.play(|facts| ReportFacts { disposition: Disposition::Held, reasons: reason("too many kills"), ..facts }).to_string();
    let rejected =
        club.play(|facts| ReportFacts { disposition: Disposition::Rejected, reasons: reason("impossible"), ..facts }).to_string();
    for (match_id, sentence) in [
        (&held, "held for review (too many kills): an operator releases it"),
        (&rejected, "The stat rules rejected the result (impossible): it is kept and never rated."),
    ] {
        let document = run_json(path, &["match", "why", match_id], 0);
        assert!(document["explanation"].as_str().unwrap().contains(sentence), "{document}");
        assert_eq!((&document["report"]["prediction"], &document["teams"][0]["players"][0]["why"]), (&Value::Null, &Value::Null));
    }
    let list = run_json(path, &["match", "list", "--player", "Ada", "--queue", "duel", "--limit", "1"], 0);
    assert_eq!(list["matches"].as_array().unwrap().len(), 1);
    assert_eq!((&list["matches"][0]["match_id"].to_string(), &list["matches"][0]["players"]), (&rejected, &json!(["ada", "bob"])));
    assert_eq!(run_json(path, &["match", "list", "--player", "cem"], 0)["matches"], json!([]));
    let unknown = run_json(path, &["match", "list", "--queue", "trio"], 2);
    assert_eq!(unknown["error"]["help"], "it has: duel", "{unknown}");
    assert!(run(path, &["match", "list"], 0).contains("ada, bob"));
}
