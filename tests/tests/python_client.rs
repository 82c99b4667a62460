//! A client in another language, written from docs/protocol.md alone: the page is enough, and both agree to the last byte.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::{Path, PathBuf};
use std::process::Command;

use host::config::Public;
use host::keys::Community;
use tests::world::{DUEL, OWNERS, Plan, World, queue};

/// Runs tests/python/vectors.py: it computes every value of tests/vectors/wire.json again, the host's side included, takes part in both
/// handshakes with the vectors' randomness, refuses each of them with any one byte changed, and compares its messages with the page's tables.
#[test]
fn a_python_client_recomputes_every_vector() {
    run_python("vectors.py", &[]);
}

/// Runs tests/python/play.py against a host on real sockets: a game server and two players in Python register, log in, shake hands on both
/// channels, queue, play, report, rekey, reconnect with the next login ticket, and show a spent one. The script checks every answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_python_client_written_from_the_page_plays_a_match() {
    let mut plan = Plan::default();
    plan.host.session.heartbeat_ms = 1_000;
    // The machine may be busy with other tests, and a rating that waits is no deviation of the client's.
    plan.plugins = queue(DUEL, "deadline_ms_max = 10_000");
    let world = World::start_with(plan).await;
    let arguments = [
        ("--community", hand_out_community(&world)),
        ("--certificate", world.certificate_path(OWNERS[0])),
        ("--pepper", world.folder().join("pepper.key")),
        ("--queue", DUEL.into()),
        ("--region", "eu".into()),
        ("--state", world.folder().to_owned()),
    ];
    let play = move || run_python("play.py", &arguments);
    tokio::task::spawn_blocking(play).await.unwrap();
    world.stop().await;
}

/// `community.toml` with the ports that the system chose.
fn hand_out_community(world: &World) -> PathBuf {
    let mut community = Community::parse(&std::fs::read_to_string(world.folder().join("community.toml")).unwrap()).unwrap();
    let host = world.host();
    community.set_addresses(&Public { http: world.http(), s2s: host.s2s_addr().to_string(), rdv: host.rdv_addr().to_string() });
    let path = world.folder().join("community-handed-out.toml");
    std::fs::write(&path, community.encode()).unwrap();
    path
}

/// The script must succeed; what it says is shown if it does not.
fn run_python(script: &str, arguments: &[(&str, PathBuf)]) {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let python = std::env::var_os("RANKED_TEST_PYTHON").map_or_else(|| workspace.join("target/python/bin/python"), PathBuf::from);
    assert!(
        python.is_file(),
        "{} is missing; make it with:\n  python3 -m venv target/python && target/python/bin/pip install -r tests/python/requirements.txt",
        python.display()
    );
    let mut command = Command::new(python);
    command.arg("-B").arg(workspace.join("tests/python").join(script));
    for (name, value) in arguments {
        command.arg(name).arg(value);
    }
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{script} says:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
