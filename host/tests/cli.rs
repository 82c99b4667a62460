//! The program `ranked` as an operator meets it: files on disk, exit codes, JSON.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;

use assert_cmd::cargo::cargo_bin_cmd;
use serde_json::Value;
use tempfile::TempDir;

/// A folder with a fresh community.
struct Community(TempDir);

impl Community {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let output = cargo_bin_cmd!("ranked").args(["init", "--yes", "--dir"]).arg(folder.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
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

    fn issue(&self, owner: &str) -> Value {
        self.json(&["cert", "issue", "--owner", owner], 0)
    }

    fn write(&self, name: &str, content: &str) {
        std::fs::write(self.path().join(name), content).unwrap();
    }

    fn append(&self, name: &str, content: &str) {
        let text = std::fs::read_to_string(self.path().join(name)).unwrap();
        self.write(name, &(text + content));
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn init_writes_private_keys_and_overwrites_nothing() {
    let community = Community::new();
    for file in ["keys/signing-1.key", "keys/channel.key", "keys/kek.key", "pepper.key"] {
        assert_eq!(mode(&community.path().join(file)), 0o600, "{file}");
    }
    let before = std::fs::read(community.path().join("keys/kek.key")).unwrap();
    let again = community.run(&["init", "--yes"]);
    assert_eq!(again.status.code(), Some(1), "{}", text(&again.stderr));
    assert_eq!(std::fs::read(community.path().join("keys/kek.key")).unwrap(), before);
}

#[test]
fn a_fresh_community_passes_the_doctor() {
    let community = Community::new();
    // Free ports: another host on this machine may hold the usual ones.
    let settings = std::fs::read_to_string(community.path().join("ranked.toml")).unwrap();
    let settings = ["7700", "7710", "7711"]
        .iter()
        .fold(settings, |text, port| text.replace(&format!("= \"127.0.0.1:{port}\"\n# "), "= \"127.0.0.1:0\"\n# "));
    community.write("ranked.toml", &settings.replacen("rdv = \"127.0.0.1:7711\"", "rdv = \"127.0.0.1:0\"", 1));
    let answer = community.json(&["doctor"], 0);
    assert_eq!(answer["failures"], 0, "{answer:#}");
    let names: Vec<_> = answer["checks"].as_array().unwrap().iter().map(|check| check["name"].as_str().unwrap()).collect();
    for name in ["configuration", "keys", "kek", "channel", "port http", "disk", "database", "clock", "sandbox", "plugins", "open files"] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
}

#[test]
fn the_doctor_names_a_key_that_others_may_read_and_the_remedy() {
    let community = Community::new();
    let key = community.path().join("keys/kek.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let answer = community.json(&["doctor"], 1);
    let check = answer["checks"].as_array().unwrap().iter().find(|check| check["name"] == "keys").unwrap();
    assert_eq!(check["verdict"], "FAIL");
    assert!(check["fix"].as_str().unwrap().starts_with("chmod 600"), "{check}");
}

#[test]
fn a_mistyped_key_is_shown_with_its_place_and_exit_code_two() {
    let community = Community::new();
    community.append("plugins.toml", "\n[queue.duel2]\nteam_size = [1, 1]\n");
    let output = community.run(&["plugin", "list"]);
    assert_eq!(output.status.code(), Some(2));
    let shown = text(&output.stderr);
    assert!(shown.contains("error: unknown key `team_size`") && shown.contains("help: did you mean `team_sizes`?"), "{shown}");
    assert!(shown.contains("--> ./plugins.toml:"), "{shown}");
    let answer = community.json(&["plugin", "list"], 2);
    assert_eq!(answer["error"]["kind"], "configuration");
    assert!(answer["error"]["problems"].as_array().unwrap().len() >= 2, "all mistakes at once: {answer:#}");
}

#[test]
fn what_a_plugin_refuses_is_shown_at_its_parameter() {
    let community = Community::new();
    let plugins = std::fs::read_to_string(community.path().join("plugins.toml")).unwrap();
    community.write(
        "plugins.toml",
        &plugins.replace("[queue.duel.rating.parameters]\n", "[queue.duel.rating.parameters]\nno_such_parameter = 3\n"),
    );
    let answer = community.json(&["plugin", "list"], 1);
    let failed = answer["plugins"].as_array().unwrap().iter().find(|plugin| plugin["loaded"] == false).unwrap();
    assert_eq!(failed["role"], "rating");
    let line = plugins.lines().position(|line| line == "[queue.duel.rating.parameters]").unwrap() + 2;
    assert_eq!(failed["failure"]["error"]["problems"][0]["line"], line, "{failed:#}");
}

#[test]
fn a_certificate_lives_is_renewed_and_dies() {
    let community = Community::new();
    let issued = community.issue("eu-1.example");
    let file = community.path().join("eu-1.example.cert");
    assert_eq!(mode(&file), 0o600);
    assert_eq!(issued["node_key_in_file"], true);
    let id = issued["server"].as_str().unwrap();

    let checked = community.json(&["cert", "check", "eu-1.example.cert"], 0);
    assert_eq!(checked["certificates"][0]["state"], "ok");
    assert_eq!(community.json(&["cert", "list"], 0)["certificates"][0]["owner"], "eu-1.example");

    let renewed = community.json(&["cert", "renew", &id[..6], "--out", "new.cert"], 0);
    assert_eq!(renewed["server"], issued["server"]);
    let checked = community.json(&["cert", "check", "eu-1.example.cert", "new.cert"], 1);
    assert_eq!(checked["certificates"][0]["state"], "superseded");
    assert_eq!(checked["certificates"][1]["ok"], true);

    let revoked = community.json(&["cert", "revoke", &id[..6], "--reason", "compromised"], 0);
    assert!(revoked["committed_in_ms"].as_f64().unwrap() > 0.0);
    let checked = community.run(&["cert", "check", "new.cert"]);
    assert_eq!(checked.status.code(), Some(1));
    assert!(text(&checked.stdout).contains("REVOKED"), "{}", text(&checked.stdout));
    assert!(!community.json(&["cert", "revoke", id], 0)["already_revoked_at"].is_null());
    assert_eq!(community.json(&["cert", "renew", id, "--out", "never.cert"], 1)["error"]["kind"], "refused");
    assert!(!community.path().join("never.cert").exists());
}

#[test]
fn a_certificate_file_is_inspected_without_the_host() {
    let community = Community::new();
    community.issue("eu-1.example");
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::copy(community.path().join("eu-1.example.cert"), elsewhere.path().join("a.cert")).unwrap();
    let output = cargo_bin_cmd!("ranked").current_dir(elsewhere.path()).args(["cert", "inspect", "a.cert", "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((answer["owner"].as_str(), answer["secret_fits"].as_bool()), (Some("eu-1.example"), Some(true)));
    assert!(answer["signature"].is_null(), "there is no community.toml to check it with");
}

#[test]
fn a_game_servers_own_node_key_stays_with_it() {
    let community = Community::new();
    community.write("eu1.pub", &"ab".repeat(32));
    let issued =
        community.json(&["cert", "issue", "--owner", "eu-1", "--node-pub", "eu1.pub", "--scope", "host,report", "--ttl", "30m"], 0);
    assert_eq!((issued["node_key_in_file"].as_bool(), issued["scope"].as_str()), (Some(false), Some("host,report")));
    let file = std::fs::read_to_string(community.path().join("eu-1.cert")).unwrap();
    assert!(!file.contains("node-key"));
}

#[test]
fn short_and_ambiguous_ids_name_nobody() {
    let community = Community::new();
    community.issue("eu-1");
    let answer = community.json(&["cert", "revoke", "abc"], 2);
    assert!(answer["error"]["help"].as_str().unwrap().contains("4 hexadecimal digits"));
    assert_eq!(community.json(&["cert", "revoke", "0000000000"], 1)["error"]["kind"], "refused");
}

#[test]
fn nuke_asks_for_the_number_and_kills_everything_at_once() {
    let community = Community::new();
    community.issue("eu-1");
    community.issue("us-1");
    let asked = community.json(&["key", "nuke"], 2);
    assert!(asked["error"]["help"].as_str().unwrap().contains("--yes=2"), "{asked}");
    assert_eq!(community.json(&["key", "nuke", "--yes=1"], 1)["error"]["kind"], "refused");
    assert_eq!(community.json(&["cert", "check", "eu-1.cert", "us-1.cert"], 0)["certificates"][1]["ok"], true);

    let nuked = community.json(&["key", "nuke", "--yes=2"], 0);
    assert_eq!((nuked["certificates"].as_u64(), nuked["new_key_epoch"].as_u64()), (Some(2), Some(2)));
    let checked = community.json(&["cert", "check", "eu-1.cert", "us-1.cert"], 1);
    assert!(checked["certificates"].as_array().unwrap().iter().all(|one| one["state"] == "key-epoch-retired"), "{checked:#}");
    let status = community.json(&["key", "status"], 0);
    assert_eq!((status["key_epochs"][0]["state"].as_str(), status["key_epochs"][1]["state"].as_str()), (Some("retired"), Some("active")));
    assert!(!std::fs::read_to_string(community.path().join("community.toml")).unwrap().contains("\n1 = "));

    let id = checked["certificates"][0]["server"].as_str().unwrap();
    community.json(&["cert", "renew", id, "--out", "again.cert"], 0);
    assert_eq!(community.json(&["cert", "check", "again.cert"], 0)["certificates"][0]["ok"], true);
}

#[test]
fn a_nuke_that_was_interrupted_is_finished_by_the_next_command() {
    let community = Community::new();
    community.issue("eu-1");
    let public = std::fs::read(community.path().join("community.toml")).unwrap();
    let channel = std::fs::read(community.path().join("keys/channel.key")).unwrap();
    community.json(&["key", "nuke", "--yes=1"], 0);
    // As if the process had died between the database's commit and the files.
    std::fs::write(community.path().join("community.toml"), public).unwrap();
    std::fs::write(community.path().join("keys/channel.key"), channel).unwrap();
    let status = community.json(&["key", "status"], 0);
    assert_eq!(status["can_issue"], true);
    assert!(std::fs::read_to_string(community.path().join("community.toml")).unwrap().contains("\n2 = "));
    community.issue("us-1");
}

#[test]
fn a_backup_is_verified_and_restored_and_holds_no_secret() {
    let community = Community::new();
    community.issue("eu-1");
    let backup = community.json(&["db", "backup", "copy.db"], 0);
    assert_eq!((backup["sound"].as_bool(), mode(&community.path().join("copy.db"))), (Some(true), 0o600));
    assert_eq!(community.run(&["db", "backup", "copy.db"]).status.code(), Some(1), "never overwritten");
    community.issue("us-1");
    let restored = community.json(&["db", "restore", "copy.db"], 0);
    assert!(restored["set_aside"].is_string());
    assert_eq!(community.json(&["cert", "list"], 0)["certificates"].as_array().unwrap().len(), 1);
    assert_eq!(community.json(&["db", "verify"], 0)["sound"], true);

    let file = std::fs::read_to_string(community.path().join("eu-1.cert")).unwrap();
    let secret = file.lines().find_map(|line| line.strip_prefix("certificate-secret: ")).unwrap();
    let bytes: Vec<u8> = (0..secret.len()).step_by(2).map(|at| u8::from_str_radix(&secret[at..at + 2], 16).unwrap()).collect();
    let database = std::fs::read(community.path().join("copy.db")).unwrap();
    assert!(!database.windows(32).any(|window| window == bytes), "the certificate secret is only there encrypted");
}

#[test]
fn history_is_imported_once_and_scored() {
    let community = Community::new();
    let lines: String = (0..200)
        .map(|n| {
            let (winner, loser) = if n % 10 == 0 { ("b", "a") } else { ("a", "b") };
            format!(
                "{{\"ts\":{n},\"id\":\"m{n}\",\"teams\":[[\"{winner}\"],[\"{loser}\"]],\"ranks\":[0,1],\"meta\":{{\"mode\":\"Slayer\"}}}}\n"
            )
        })
        .collect();
    community.write("small.ndjson", &(lines + "nonsense\n"));
    assert_eq!(community.json(&["journal", "import", "small.ndjson"], 2)["error"]["kind"], "usage");
    let answer = community.json(&["journal", "import", "small.ndjson", "--create"], 1);
    assert_eq!((answer["accepted"].as_u64(), answer["bad_lines"].as_u64(), answer["scored"].as_u64()), (Some(200), Some(1), Some(100)));
    assert!(answer["bad_lines_shown"][0].as_str().unwrap().starts_with("line 201:"), "{answer:#}");
    assert!(answer["accuracy"].as_f64().unwrap() > 0.8 && answer["log_loss"].as_f64().unwrap() < 0.5, "{answer:#}");
    let again = community.json(&["journal", "import", "small.ndjson"], 1);
    assert_eq!((again["accepted"].as_u64(), again["repeated"].as_u64()), (Some(0), Some(200)));
    assert_eq!(community.json(&["db", "verify"], 0)["journal_entries"], 200);
}

#[test]
fn a_report_at_which_the_engine_faults_is_shown_and_skipped() {
    let community = Community::new();
    // At the upper end of what the engine works with: who has won once is beyond it, and the next contest faults.
    community.append(
        "plugins.toml",
        "\n[queue.edge]\nteam_sizes = [1, 1]\nregions = [\"eu\"]\n[queue.edge.rating]\ncomponent = \"builtin:gaussian\"\n\
         [queue.edge.rating.parameters]\nmu = 1e9\n[queue.edge.rules]\ncomponent = \"builtin:bounds\"\n\
         [queue.edge.policy]\ncomponent = \"builtin:skill-window\"\n",
    );
    let line = |(n, [winner, loser]): (usize, [&str; 2])| {
        format!("{{\"ts\":{n},\"id\":\"m{n}\",\"teams\":[[\"{winner}\"],[\"{loser}\"]],\"ranks\":[0,1]}}\n")
    };
    let contests = [["a", "b"], ["a", "b"], ["c", "d"]];
    community.write("edge.ndjson", &contests.into_iter().enumerate().map(line).collect::<String>());
    assert_eq!(community.json(&["journal", "import", "edge.ndjson"], 0)["waiting"], 2);
    let queue = |answer: &Value| answer["queues"].as_array().unwrap().iter().find(|queue| queue["queue"] == "edge").unwrap().clone();
    let stuck = queue(&community.json(&["journal", "status"], 1));
    assert_eq!((&stuck["reports"], &stuck["reports_waiting"], &stuck["first_waiting"]), (&3.into(), &2.into(), &2.into()));

    for (seq, reason, code) in [("99", "absurd", 1), ("1", "absurd", 1), ("2", " ", 2), ("2", "two\nlines", 2)] {
        let refused = community.json(&["journal", "skip", seq, "--reason", reason], code);
        assert!(refused["error"]["problem"].is_string(), "{seq} {reason:?}: {refused:#}");
    }
    assert_eq!(queue(&community.json(&["journal", "status"], 1)), stuck, "a refusal changes nothing");

    let skipped = community.json(&["journal", "skip", "2", "--reason", "beyond all measure"], 0);
    assert_eq!((&skipped["skipped"], &skipped["journal_entry"], &skipped["reports_waiting"]), (&2.into(), &4.into(), &1.into()));
    assert_eq!(queue(&skipped)["first_waiting"], 3);
    // The next process with the engine rates what waited behind it.
    community.write("more.ndjson", &line((3, ["e", "f"])));
    assert_eq!(community.json(&["journal", "import", "more.ndjson", "--queue", "edge"], 0)["waiting"], 0);
    assert_eq!(queue(&community.json(&["journal", "status"], 0))["first_waiting"], Value::Null);
    assert_eq!(community.json(&["journal", "skip", "2", "--reason", "again"], 1)["error"]["kind"], "refused");
    assert_eq!(community.json(&["db", "verify"], 0)["sound"], true);
}

#[test]
fn a_season_is_started_once_shown_and_archived() {
    let community = Community::new();
    let line = |n: usize, [winner, loser]: [&str; 2]| {
        format!("{{\"ts\":{n},\"id\":\"m{n}\",\"teams\":[[\"{winner}\"],[\"{loser}\"]],\"ranks\":[0,1]}}\n")
    };
    community.write("old.ndjson", &(0..6).map(|n| line(n, if n < 4 { ["ada", "bob"] } else { ["bob", "cleo"] })).collect::<String>());
    assert_eq!(community.json(&["journal", "import", "old.ndjson", "--queue", "duel"], 0)["accepted"], 6);

    let start = ["season", "start", "duel", "--name", "one", "--reset", "soft", "--keep", "0.5"];
    let planned = community.json(&start, 0);
    assert_eq!(
        (planned["started"].as_bool(), planned["number"].as_u64(), planned["archived_players"].as_u64()),
        (Some(false), Some(1), Some(3))
    );
    assert_eq!(community.json(&["season", "list", "duel"], 0)["seasons"].as_array().unwrap().len(), 0, "nothing was done");
    let wrong = [
        (&["season", "start", "duel", "--name", "x", "--reset", "soft"][..], 2),
        (&["season", "start", "duel", "--name", "x", "--reset", "hard", "--keep", "0.5"], 2),
        (&["season", "start", "duel", "--name", "x", "--reset", "soft", "--keep", "1.5"], 2),
        (&["season", "start", "duel", "--name", "", "--reset", "hard"], 2),
        (&["season", "list", "deul"], 2),
        (&["season", "show", "duel", "--season", "7"], 2),
    ];
    for (arguments, code) in wrong {
        assert!(community.json(arguments, code)["error"]["help"].is_string(), "{arguments:?}");
    }
    let started = community.json(&[&start[..], &["--yes"]].concat(), 0);
    assert_eq!(
        (started["started"].as_bool(), started["number"].as_u64(), started["journal_entry"].as_u64()),
        (Some(true), Some(1), Some(7))
    );
    assert_eq!(community.json(&[&start[..], &["--yes"]].concat(), 1)["error"]["kind"], "refused");

    // The next process with the engine resets the standings before it rates.
    community.write("new.ndjson", &line(9, ["cleo", "ada"]));
    assert_eq!(community.json(&["journal", "import", "new.ndjson", "--queue", "duel"], 0)["waiting"], 0);
    let listed = community.json(&["season", "list", "duel"], 0);
    assert_eq!((&listed["seasons"][0]["name"], &listed["archived_before_the_first"]), (&"one".into(), &3.into()));
    let today = community.json(&["season", "show", "duel"], 0);
    assert_eq!(today["ended"], false);
    let brief = |row: &Value| (row["name"].as_str().unwrap().to_owned(), row["wins"].as_u64().unwrap(), row["losses"].as_u64().unwrap());
    let mut rows: Vec<_> = today["rows"].as_array().unwrap().iter().map(brief).collect();
    rows.sort();
    assert_eq!(rows, [("ada".to_owned(), 0, 1), ("cleo".to_owned(), 1, 0)], "only who played in the season, with what was won in it");
    let csv = community.run(&["season", "show", "duel", "--season", "0", "--csv"]);
    let csv = text(&csv.stdout);
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!((lines.len(), lines[0]), (4, "rank,player,name,rating,tier,mean,uncertainty,wins,losses,draws"));
    assert!(lines[1].contains(",ada,") && lines[1].ends_with(",4,0,0"), "{csv}");
    assert_eq!(community.json(&["db", "verify"], 0)["sound"], true);
}

#[test]
fn plugins_are_listed_and_inspected() {
    let community = Community::new();
    let answer = community.json(&["plugin", "list"], 0);
    let roles: Vec<_> = answer["plugins"].as_array().unwrap().iter().map(|plugin| plugin["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["rating", "rules", "policy"]);
    let inspected = community.json(&["plugin", "inspect", "builtin:adaptive"], 0);
    assert_eq!((inspected["name"].as_str(), inspected["roles"][0].as_str()), (Some("adaptive"), Some("rating")));
    assert_eq!(inspected["sha256"], answer["plugins"][0]["sha256"]);
    assert_eq!(community.run(&["plugin", "inspect", "builtin:none"]).status.code(), Some(2));
}

#[test]
fn every_command_shows_an_example() {
    let community = Community::new();
    for command in [
        &["init"][..],
        &["serve"],
        &["doctor"],
        &["openapi"],
        &["cert", "issue"],
        &["cert", "list"],
        &["cert", "inspect"],
        &["cert", "check"],
        &["cert", "revoke"],
        &["cert", "renew"],
        &["key", "status"],
        &["key", "nuke"],
        &["db", "backup"],
        &["db", "verify"],
        &["db", "restore"],
        &["plugin", "list"],
        &["plugin", "inspect"],
        &["journal", "import"],
        &["journal", "status"],
        &["journal", "skip"],
        &["season", "list"],
        &["season", "show"],
        &["season", "start"],
    ] {
        let output = community.run(&[command, &["--help"]].concat());
        assert!(text(&output.stdout).contains("Example: ranked "), "{command:?}");
    }
    let document = community.json(&["openapi"], 0);
    assert!(document["paths"]["/v1/login"].is_object());
}
