//! What a host makes of its plugins beside calling them: compiled code that is kept, and plugins that are not called any more.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::PathBuf;

use host::metrics::{PluginLabels, PluginRole};
use hostile::guest::Policy;
use plugin_runtime::PluginSource;
use tests::world::{DUEL, World, eventually, queue};

/// Compiled components, by name.
fn compiled(world: &World) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = world.host().store().path().with_file_name("compiled");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

/// Goal: native code comes only from the host itself. Method: a host compiles three components, stops, and somebody replaces the files; the next
/// start works, and the files are the host's own again.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_keeps_what_it_compiled_and_loads_nothing_that_others_wrote() {
    let world = World::start().await;
    let own = compiled(&world);
    assert_eq!(own.len(), 3);
    let world = world.restart(None).await;
    assert_eq!(compiled(&world), own);
    let stopped = world.stop().await;
    for (path, bytes) in &own {
        let mut foreign = bytes.clone();
        *foreign.last_mut().unwrap() ^= 1;
        std::fs::write(path, foreign).unwrap();
    }
    let world = stopped.start().await;
    let again = compiled(&world);
    assert_eq!(again.len(), 3);
    for ((path, own), (_, again)) in own.iter().zip(&again) {
        let mut foreign = own.clone();
        *foreign.last_mut().unwrap() ^= 1;
        assert_ne!(again, &foreign, "{}", path.display());
    }
    world.stop().await;
}

/// A policy that traps in every tick ends in quarantine and is not called any more; an operator who reloads has it called again, though
/// `plugins.toml` is the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_reload_ends_the_quarantine_of_a_plugin_that_stays() {
    let world = World::start().await;
    let policy = Policy::proposing("unreachable").component();
    std::fs::write(world.folder().join("policy.wasm"), &policy).unwrap();
    let component = format!(
        "component = \"policy.wasm\"\ndigest = \"sha256:{}\"\nfaults_max = 2\nfallback = \"wait\"",
        PluginSource::new(policy).digest()
    );
    world.write_plugins(&queue(DUEL, "").replace("component = \"builtin:skill-window\"", &component));
    assert_eq!(world.host().reload().await.settled().await, Vec::<String>::new());
    let _pair = world.waiting_pair().await;
    let labels = PluginLabels { queue: DUEL.to_owned(), role: PluginRole::Policy };
    let calls = || world.host().metrics().plugin_calls.get_or_create(&labels).get();
    let quarantined = || world.host().metrics().plugin_quarantined.get_or_create(&labels).get() == 1;
    eventually("the quarantine", async || quarantined() && calls() == 2).await;
    assert_eq!(world.host().reload().await.settled().await, Vec::<String>::new());
    eventually("two calls more, and quarantine again", async || quarantined() && calls() == 4).await;
    world.stop().await;
}
