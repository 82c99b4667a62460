//! The plugin contract keeps its promises: a released version never changes, and what was built against it runs for ever.
//!
//! `wit/contracts.toml` holds the state and the digest of each version. A draft may change, together with its digest; a frozen one may not.
//! After a change of a draft: `UPDATE_CONTRACT=1 cargo test -p tests --test contract`, which also makes the fixture again.
#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ladder::queue::QueueShape;
use ladder::rating::{Contest, Entrant, RatingEngine, Setting};
use plugin_runtime::{PluginSource, PluginSpec, Role, Runtime};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    /// May still change.
    Draft,
    /// Never changes again.
    Frozen,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Version {
    state: State,
    /// SHA-256 over names and contents of the folder's files.
    sha256: String,
}

type Versions = BTreeMap<String, Version>;

const HEADER: &str = "# State and digest of every version of the plugin contract; tests/tests/contract.rs compares them with the folders.\n\
                      # A draft may change together with its digest. A frozen version never changes: docs/plugins.md, \"Versions\".\n\n";

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn updating() -> bool {
    std::env::var_os("UPDATE_CONTRACT").is_some()
}

fn read_versions(wit: &Path) -> Versions {
    toml::from_str(&fs::read_to_string(wit.join("contracts.toml")).unwrap()).unwrap()
}

fn digest_of(folder: &Path) -> String {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut hash = Sha256::new();
    for file in files {
        let (name, text) = (file.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&file).unwrap());
        for part in [name.as_bytes(), &text] {
            hash.update(u64::try_from(part.len()).unwrap().to_be_bytes());
            hash.update(part);
        }
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What is wrong with the folders below `wit`; drafts are brought up to date if `update` says so.
fn check(wit: &Path, update: bool) -> Vec<String> {
    let mut versions = read_versions(wit);
    let mut problems = Vec::new();
    let folders = fs::read_dir(wit).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    for folder in folders {
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let found = digest_of(&folder);
        match versions.get_mut(&name) {
            None => problems.push(format!("wit/{name} is not in wit/contracts.toml")),
            Some(version) if version.sha256 == found => {}
            Some(version) if version.state == State::Draft && update => version.sha256 = found,
            Some(Version { state: State::Draft, .. }) => problems.push(format!("wit/{name} changed: is it meant? Then UPDATE_CONTRACT=1")),
            Some(Version { state: State::Frozen, .. }) => {
                problems.push(format!("wit/{name} is frozen and changed: take the change back; new duties are new optional interfaces"));
            }
        }
    }
    problems.extend(versions.keys().filter(|name| !wit.join(name).is_dir()).map(|name| format!("wit/{name} is gone")));
    if update {
        fs::write(wit.join("contracts.toml"), HEADER.to_owned() + &toml::to_string(&versions).unwrap()).unwrap();
    }
    problems
}

#[test]
fn no_version_of_the_contract_changed_unnoticed() {
    assert_eq!(check(&workspace().join("wit"), updating()), Vec::<String>::new());
}

#[test]
fn a_change_of_a_frozen_folder_is_found_and_not_updated() {
    let wit = tempfile::tempdir().unwrap();
    let folder = wit.path().join("v1");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("ranked.wit"), "package ranked:plugin@1.0.0;\n").unwrap();
    let write = |state| {
        let versions = Versions::from([("v1".to_owned(), Version { state, sha256: digest_of(&folder) })]);
        fs::write(wit.path().join("contracts.toml"), toml::to_string(&versions).unwrap()).unwrap();
    };
    for (state, update, problems) in
        [(State::Frozen, false, 1), (State::Frozen, true, 1), (State::Draft, false, 1), (State::Draft, true, 0), (State::Frozen, true, 1)]
    {
        write(state);
        assert_eq!(check(wit.path(), update), Vec::<String>::new(), "{state:?} as written");
        let file = folder.join("ranked.wit");
        fs::write(&file, fs::read_to_string(&file).unwrap() + "// more\n").unwrap();
        assert_eq!(check(wit.path(), update).len(), problems, "{state:?} changed, update {update}");
    }
    write(State::Frozen);
    fs::write(folder.join("more.wit"), "").unwrap();
    assert_eq!(check(wit.path(), false).len(), 1, "a file more");
    fs::create_dir(wit.path().join("v2")).unwrap();
    assert_eq!(check(wit.path(), true).len(), 2, "a folder more");
}

/// The fixture as WebAssembly text: reviewable, and the same bytes for ever.
fn fixture() -> Vec<u8> {
    let folder = workspace().join("tests/fixtures/contract-v1");
    let text = folder.join("rating.wat");
    let draft = read_versions(&workspace().join("wit"))["v1"].state == State::Draft;
    if updating() && draft {
        let mut resolve = wit_parser::Resolve::default();
        let (package, _) = resolve.push_dir(workspace().join("wit/v1")).unwrap();
        let world = resolve.select_world(&[package], Some("rating")).unwrap();
        let mut module = wat::parse_file(folder.join("rating.core.wat")).unwrap();
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
        let component = ComponentEncoder::default().validate(true).module(&module).unwrap().encode().unwrap();
        fs::write(&text, wasmprinter::print_bytes(component).unwrap()).unwrap();
    }
    wat::parse_file(text).unwrap()
}

#[test]
fn a_component_built_against_v1_still_loads_and_answers() {
    let shape = QueueShape { queue: "duel".to_owned(), teams: 2, team_sizes: vec![1], ..QueueShape::default() };
    let spec = PluginSpec::new("duel.rating", Role::Rating, PluginSource::new(fixture()));
    let engine = Runtime::new().unwrap().load_rating(spec, &shape).unwrap();
    let (initial, visible) = engine.initial().unwrap();
    assert_eq!((initial.mean, initial.uncertainty, visible), (25.0, 8.0, 25.0));
    let entrant = |team| Entrant { rating: initial.clone(), team, contests: 0, idle_s: 0, presence: 1.0, stats: Vec::new() };
    let entrants = vec![entrant(0), entrant(1)];
    assert_eq!(engine.predict(&[], &entrants, &Setting::default()).unwrap(), [0.5]);
    let contest = Contest { places: vec![0, 1], scores: Vec::new(), setting: Setting::default(), totals: Vec::new(), trust: 1.0, entrants };
    let update = engine.rate(&[], &contest).unwrap();
    assert!(update.ratings.iter().all(|rating| (rating.mean, rating.uncertainty) == (26.0, 7.0)));
    assert_eq!(update.visible, [26.0, 26.0]);
}
