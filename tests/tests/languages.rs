//! Plugins in JavaScript, Python and C, as `ranked plugin new` begins and `ranked plugin build` makes them: they keep the contract, and
//! carry a real match together.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;

use host::author::build::{BuildError, Built, build};
use host::author::cases::{CaseEnd, CaseFile, Tested};
use host::author::check;
use host::author::project::Language;
use host::author::subject::{Subject, Wish};
use host::author::template::NewPlugin;
use ladder::id::PlayerId;
use plugin_runtime::{Role, Runtime};
use tests::world::{DUEL, OWNERS, Plan, World, eventually, report};

/// Begins a plugin and builds it.
fn made(folder: &Path, role: Role, language: Language) -> Built {
    let name = format!("{}-{role}", language.name());
    NewPlugin::new(&name, role, language).unwrap().write(&folder.join(&name)).unwrap();
    build(&folder.join(&name), &|_| {})
        .unwrap_or_else(|error| panic!("{error}\n{}\n`./check` installs the tools and puts them into PATH", error.help()))
}

/// Runs `ranked plugin check` and `ranked plugin test` on a plugin.
fn assert_keeps_the_contract(runtime: &Runtime, built: &Built) {
    let component = Some(built.component.display().to_string());
    let subject = Subject::find(runtime, Wish { component, ..Wish::default() }).unwrap();
    assert_passes_its_cases(runtime, &subject, &built.component.with_file_name("cases").join("first.toml"));
    let checks = check::run(runtime, &subject, 1).unwrap();
    let failed: Vec<_> = checks.iter().filter(|check| check.is_failed()).collect();
    assert!(!checks.is_empty() && failed.is_empty(), "{}: {failed:#?}", built.component.display());
}

fn assert_passes_its_cases(runtime: &Runtime, subject: &Subject, file: &Path) {
    let cases: CaseFile = toml::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let queue = &subject.queues[0];
    let ends = match subject.role {
        Role::Rating => cases.run(&queue.shape, &Tested::Rating(&subject.load_rating(runtime, queue).unwrap())),
        Role::Rules => cases.run(&queue.shape, &Tested::Rules(&subject.load_rules(runtime, queue).unwrap())),
        Role::Policy => cases.run(&queue.shape, &Tested::Policy(&subject.load_policy(runtime, queue).unwrap())),
    };
    assert!(ends.len() == 3 && ends.iter().all(CaseEnd::passed), "{}: {ends:#?}", subject.shown);
}

fn section(role: Role, built: &Built) -> String {
    // The deadline only stands behind the fuel; a machine busy with other tests should not decide this one.
    format!(
        "[queue.{DUEL}.{role}]\ncomponent = \"{}\"\ndigest = \"sha256:{}\"\ndeadline_ms_max = 20_000\n",
        built.component.display(),
        built.digest
    )
}

/// Goal: a plugin in any of the languages is as good as a built-in one. Method: a JavaScript engine, C rules and a Python policy, each checked,
/// run one queue together; two players meet by the policy, a claim of 900 kills is capped by the rules, and the ratings are Elo's.
#[tokio::test(flavor = "multi_thread")]
async fn javascript_python_and_c_carry_a_match_together() {
    let folder = tempfile::tempdir().unwrap();
    let engine = made(folder.path(), Role::Rating, Language::JavaScript);
    let rules = made(folder.path(), Role::Rules, Language::C);
    let policy = made(folder.path(), Role::Policy, Language::Python);
    let runtime = Runtime::new().unwrap();
    for built in [&engine, &rules, &policy] {
        assert_keeps_the_contract(&runtime, built);
    }
    drop(runtime);
    let shape = "team_sizes = [1, 1]\nregions = [\"eu\"]\nstats = [\"kills\", \"deaths\"]\ntotals = [\"rounds\"]\n";
    let plugins = [(Role::Rating, &engine), (Role::Rules, &rules), (Role::Policy, &policy)].map(|(role, built)| section(role, built));
    let world = World::start_with(Plan { plugins: format!("[queue.{DUEL}]\n{shape}{}", plugins.concat()), ..Plan::default() }).await;
    let mut server = world.game_server(OWNERS[0]).await;
    let duel = world.duel(&mut server).await;
    for player in &duel.allow.players {
        server.client.player_joined(duel.match_id, PlayerId(player.player_id)).await.unwrap();
    }
    eventually("the match is live", async || world.match_page(duel.match_id).await["state"] == "live").await;
    let mut claim = report(&duel.allow, 1);
    claim.teams[0].players[0].stats[0] = 900.0;
    server.client.report(claim).await.unwrap();
    let reasons = server.report_ack().await.reasons;
    assert!(reasons.iter().any(|reason| reason.code == "stat-capped"), "the C rules say so: {reasons:?}");

    eventually("the report is rated", async || world.leaderboard().await.len() == 2).await;
    let ratings: Vec<_> = world.leaderboard().await.iter().map(|row| row["rating"].as_f64().unwrap()).collect();
    assert_eq!(ratings, [1516.0, 1484.0], "half a step of 32 between equals, by the JavaScript engine");
    let page = world.match_page(duel.match_id).await;
    for built in [&engine, &rules, &policy] {
        let digest = built.digest.to_string();
        assert!(page.to_string().contains(&digest), "the match names {} as part of it: {page:#}", built.component.display());
    }
}

/// Goal: an author whose sources do not compile reads the compiler's own words. Method: a C plugin with a slip of the pen.
#[test]
fn what_a_compiler_says_reaches_the_author() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = folder.path().join("slip");
    NewPlugin::new("slip", Role::Rules, Language::C).unwrap().write(&plugin).unwrap();
    std::fs::write(plugin.join("slip.c"), "int slip = ;\n").unwrap();
    let error = build(&plugin, &|_| {}).unwrap_err();
    assert!(error.is_authors() && matches!(error, BuildError::Tool(_)), "{error}");
    assert!(error.to_string().contains("slip.c:1:12: error: expected expression"), "{error}");
}
