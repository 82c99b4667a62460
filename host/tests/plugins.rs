//! Plugins as an operator installs, exchanges and takes them back, with the program `ranked` and a host that runs.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use plugin_runtime::PluginSource;
use serde_json::Value;
use tempfile::TempDir;

/// How long a test waits for the host to do something.
const PATIENCE: Duration = Duration::from_secs(60);

/// A community whose files the operator works on.
struct Community(TempDir);

impl Community {
    fn new() -> Self {
        let community = Self(tempfile::tempdir().unwrap());
        let output = community.run(&["init", "--yes", "--dir", "."]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let ranked = community.read("ranked.toml");
        let free =
            ["7700", "7710", "7711"].into_iter().fold(ranked, |text, port| text.replacen(&format!("127.0.0.1:{port}"), "127.0.0.1:0", 1));
        community.write("ranked.toml", free);
        community
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ranked"));
        command.current_dir(self.path()).env_remove("CREDENTIALS_DIRECTORY").env_remove("RANKED_CONFIG");
        command.args(arguments).output().unwrap()
    }

    /// Runs with `--json` and checks the exit code.
    fn json(&self, arguments: &[&str], code: i32) -> Value {
        let output = self.run(&[arguments, &["--json"]].concat());
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {} {}", text(&output.stdout), text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path().join(name)).unwrap()
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path().join(name), content).unwrap();
    }

    /// What the host has in force for a role, as `ranked plugin status` shows it.
    fn state(&self, role: &str) -> Option<Value> {
        let output = self.run(&["plugin", "status", "--json"]);
        let value: Value = serde_json::from_slice(&output.stdout).unwrap();
        // While the host makes the database, there is nothing to ask.
        value["plugins"].as_array()?.iter().find(|plugin| plugin["role"] == role).cloned()
    }

    fn until(&self, what: &str, role: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let started = Instant::now();
        loop {
            match self.state(role) {
                Some(state) if condition(&state) => return state,
                state => assert!(started.elapsed() < PATIENCE, "{what} never came about: {state:?}"),
            }
        }
    }

    fn serve(&self) -> Host {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ranked"));
        command.current_dir(self.path()).env_remove("CREDENTIALS_DIRECTORY").env_remove("RANKED_CONFIG");
        let log = std::fs::File::create(self.path().join("host.log")).unwrap();
        Host(command.arg("serve").stdout(Stdio::null()).stderr(log).spawn().unwrap())
    }
}

/// A host in a process of its own.
struct Host(Child);

impl Host {
    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.0.id().to_string()]).status().unwrap().success());
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A built-in component with a custom section more: it does the same under another digest.
fn other_build(name: &str, note: &str) -> Vec<u8> {
    let mut bytes = plugin_runtime::builtin(name).unwrap().to_vec();
    bytes.extend([0, u8::try_from(6 + note.len()).unwrap(), 5]);
    bytes.extend(b"build");
    bytes.extend(note.as_bytes());
    bytes
}

/// From a file to a plugin in force and back, beside a host that runs; then by hand and a signal.
#[test]
fn an_operator_installs_activates_and_rolls_back_beside_a_running_host() {
    let community = Community::new();
    let comment = "# our first queue, do not touch\n";
    community.write("plugins.toml", comment.to_owned() + &community.read("plugins.toml"));
    let host = community.serve();
    let first = community.until("a running host", "policy", |_| true);
    assert_eq!(first["next"], "none");
    let shipped = community.state("rating").unwrap()["sha256"].clone();

    let bytes = other_build("gaussian", "ours");
    let digest = PluginSource::new(bytes.clone()).digest().to_string();
    community.write("ours.wasm", &bytes);
    let installed = community.json(&["plugin", "install", "ours.wasm"], 0);
    assert_eq!(installed["sha256"], digest.as_str());
    assert_eq!(std::fs::read(community.path().join(installed["component"].as_str().unwrap())).unwrap(), bytes);

    let activated = community.json(&["plugin", "activate", "duel", "rating", &digest[..12]], 0);
    assert_eq!(activated["state"], "in-force");
    assert_eq!(community.state("rating").unwrap()["sha256"], digest.as_str());
    let written = community.read("plugins.toml");
    assert!(written.starts_with(comment) && written.contains(&digest), "{written}");

    // What does not load changes neither the file nor the host.
    community.write("bad.toml", "no_such_parameter = 1\n");
    let refused = community.run(&["plugin", "activate", "duel", "rating", "builtin:gaussian", "--parameters", "bad.toml"]);
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused.stderr));
    assert!(text(&refused.stderr).contains("no_such_parameter"), "{}", text(&refused.stderr));
    assert_eq!(community.read("plugins.toml"), written);

    let back = community.json(&["plugin", "rollback", "duel", "rating"], 0);
    assert_eq!((&back["state"], &back["sha256"]), (&"in-force".into(), &shipped));
    let versions = community.json(&["plugin", "versions", "duel", "rating"], 0);
    let present: Vec<bool> = versions["versions"].as_array().unwrap().iter().map(|version| version["present"].as_bool().unwrap()).collect();
    assert_eq!(present, [false, true], "the newest first");

    // By hand, as any text editor does it; the host hears of it by SIGHUP.
    let bounds = other_build("bounds", "by hand");
    let digest = PluginSource::new(bounds.clone()).digest().to_string();
    community.write("bounds.wasm", &bounds);
    let before = community.read("plugins.toml");
    let by_hand =
        before.replacen("component = \"builtin:bounds\"", &format!("component = \"bounds.wasm\"\ndigest = \"sha256:{digest}\""), 1);
    assert_ne!(by_hand, before);
    community.write("plugins.toml", &by_hand);
    host.signal("-HUP");
    community.until("the rules that were named by hand", "rules", |state| state["sha256"] == digest.as_str());

    // A file that cannot be read changes nothing, and whoever asked hears why.
    community.write("plugins.toml", by_hand.clone() + "\n[queue.duel]\n");
    host.signal("-HUP");
    community.write("plugins.toml", by_hand.replacen("bounds.wasm", "gone.wasm", 1));
    assert_eq!(community.run(&["plugin", "reload"]).status.code(), Some(1));
    let refused = community.until("a refusal", "rules", |state| state["next"] == "refused");
    assert_eq!(refused["sha256"], digest.as_str(), "what was in force stays");
    assert!(refused["problem"].as_str().unwrap().contains("gone.wasm"), "{refused}");
    community.write("plugins.toml", &by_hand);
    assert_eq!(community.json(&["plugin", "reload"], 0)["state"], "in-force");
    community.until("the end of the refusal", "rules", |state| state["next"] == "none");
}

/// With `signatures = "required"` only what a listed publisher signed comes in, and exactly that.
#[test]
fn only_components_of_listed_publishers_are_installed() {
    let community = Community::new();
    community.write("ours.wasm", other_build("gaussian", "signed"));
    let publisher = community.json(&["plugin", "publisher", "--out", "acme.key"], 0)["publisher"].as_str().unwrap().to_owned();
    community.json(&["plugin", "publisher", "--out", "thief.key"], 0);
    let rules = format!("signatures = \"required\"\npublishers = [{{ name = \"acme\", key = \"{publisher}\" }}]");
    let ranked = community.read("ranked.toml").replace("signatures = \"off\"", &rules).replace("publishers = []\n", "");
    community.write("ranked.toml", ranked);

    let refusal = |because: &str| {
        let output = community.run(&["plugin", "install", "ours.wasm"]);
        assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
        assert!(text(&output.stderr).contains(because), "{}", text(&output.stderr));
        assert!(!community.path().join("plugins").exists(), "nothing was installed");
    };
    refusal("has no signature");
    community.json(&["plugin", "sign", "ours.wasm", "--key", "thief.key"], 0);
    refusal("is not among `publishers`");
    community.json(&["plugin", "sign", "ours.wasm", "--key", "acme.key"], 0);
    let signed = std::fs::read(community.path().join("ours.wasm")).unwrap();
    community.write("ours.wasm", other_build("gaussian", "bent"));
    refusal("is for another component");
    community.write("ours.wasm", signed);
    assert_eq!(community.json(&["plugin", "install", "ours.wasm"], 0)["publisher"], "acme");
    // Nobody serves here: the file is written, and the next start uses it.
    let digest = PluginSource::new(std::fs::read(community.path().join("ours.wasm")).unwrap()).digest().to_string();
    assert_eq!(community.json(&["plugin", "activate", "duel", "rating", &digest], 0)["state"], "no-host");
    assert!(community.read("plugins.toml").contains(&digest));

    // A publisher who is trusted no more: neither forward nor back.
    community.json(&["plugin", "rollback", "duel", "rating"], 0);
    let other = community.json(&["plugin", "publisher", "--out", "other.key"], 0)["publisher"].as_str().unwrap().to_owned();
    community.write("ranked.toml", community.read("ranked.toml").replace(&publisher, &other));
    let written = community.read("plugins.toml");
    let to = community.json(&["plugin", "versions", "duel", "rating"], 0)["versions"][0]["version"].to_string();
    for arguments in [["plugin", "activate", "duel", "rating", &digest].as_slice(), &["plugin", "rollback", "duel", "rating", "--to", &to]]
    {
        let output = community.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
        assert!(text(&output.stderr).contains("nobody on the trust list has signed"), "{}", text(&output.stderr));
        assert_eq!(community.read("plugins.toml"), written);
    }
}

/// A plugin that ran before and runs again: the way back leads to what ran in between.
#[test]
fn a_rollback_after_something_was_activated_again_finds_the_version_before() {
    let community = Community::new();
    community.write("ours.wasm", other_build("gaussian", "ours"));
    community.write("third.wasm", other_build("gaussian", "third"));
    let activate = |component: &str| community.json(&["plugin", "activate", "duel", "rating", component], 0)["sha256"].clone();
    let back = || community.json(&["plugin", "rollback", "duel", "rating"], 0)["sha256"].clone();
    let builtin = activate("builtin:gaussian");
    let ours = activate("ours.wasm");
    assert_eq!(activate("builtin:gaussian"), builtin);
    assert_eq!(back(), ours);
    // What was put back is itself what ran before the next one.
    activate("third.wasm");
    assert_eq!(back(), ours);
    assert_eq!(back(), builtin);
}
