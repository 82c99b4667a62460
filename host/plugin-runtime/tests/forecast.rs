//! A policy that asks the queue's rating engine for predictions.
#![allow(missing_docs, clippy::unwrap_used)]

use std::sync::Arc;

use hostile::guest::{Base, Policy};
use ladder::fault::PluginFault;
use ladder::id::Digest;
use ladder::pool::{MatchmakingPolicy, Pool, Proposals};
use ladder::queue::QueueShape;
use ladder::rating::{Contest, Entrant, Rating, RatingEngine, Setting, Update};
use ladder::time::UnixSeconds;
use plugin_runtime::{LoadError, PluginSource, PluginSpec, PolicyPlugin, Role, Runtime};

/// Asks about the two players at 3000, against each other, and answers with what it hears as qualities.
const ASK: &str = "
    (i32.store (i32.const 3008) (i32.const 1)) (i32.store (i32.const 3012) (i32.const 2)) (i32.store (i32.const 3016) (i32.const 2))
    (call $forecast (i32.const 3000) (i32.const 2) (i32.const 3008) (i32.const 2) (i32.const 3016) (i32.const 1) (i32.const 3024))
    (call $column (i32.const 5) (i32.load (i32.const 3024)) (i32.load (i32.const 3028)))";

/// A policy that imports forecasts; `players` puts two indices at 3000.
fn policy(players: &'static str) -> Vec<u8> {
    let imports = r#"(import "ranked:plugin/forecast@1.0.0" "forecast" (func $forecast (param i32 i32 i32 i32 i32 i32 i32)))"#;
    let base = Base { imports, extra: players, ..Base::SOUND };
    Policy { base, propose: ASK }.component_for("policy-with-forecast")
}

const ZERO_AND_ONE: &str = r#"(data (i32.const 3000) "\00\00\00\00\01\00\00\00")"#;
const ONE_AND_ZERO: &str = r#"(data (i32.const 3000) "\01\00\00\00\00\00\00\00")"#;
const ZERO_AND_TWO: &str = r#"(data (i32.const 3000) "\00\00\00\00\02\00\00\00")"#;

fn duel() -> QueueShape {
    QueueShape { queue: "duel".to_owned(), teams: 2, team_sizes: vec![1], ..QueueShape::default() }
}

fn load(runtime: &Runtime, players: &'static str) -> PolicyPlugin {
    let source = PluginSource::new(policy(players));
    runtime.load_policy(PluginSpec::new("duel.policy", Role::Policy, source), &duel()).unwrap()
}

/// Two who wait, the second far better.
fn pool() -> Pool {
    Pool {
        now_ms: 1_700_000_000_000,
        waited_ms: vec![1_000; 2],
        member_end: vec![1, 2],
        regions: vec![1; 2],
        mean: vec![20.0, 31.0],
        uncertainty: vec![4.0, 2.0],
        contests: vec![3, 90],
        roles: vec![0; 2],
        ..Pool::default()
    }
}

#[test]
fn a_policy_hears_what_the_queues_own_engine_predicts() {
    let runtime = Runtime::new().unwrap();
    let source = PluginSource::builtin("gaussian").unwrap();
    let engine = Arc::new(runtime.load_rating(PluginSpec::new("duel.rating", Role::Rating, source), &duel()).unwrap());
    let pool = pool();
    let entrant = |player: usize, team| Entrant {
        rating: Rating { mean: pool.mean[player], uncertainty: pool.uncertainty[player], memory: Vec::new() },
        team,
        contests: pool.contests[player],
        idle_s: 0,
        presence: 1.0,
        stats: Vec::new(),
    };
    let setting = Setting { at_s: UnixSeconds(1_700_000_000), ..Setting::default() };
    for (players, line_up) in [(ZERO_AND_ONE, [entrant(0, 0), entrant(1, 1)]), (ONE_AND_ZERO, [entrant(1, 0), entrant(0, 1)])] {
        let policy = load(&runtime, players);
        policy.forecast_with(Arc::clone(&engine) as _);
        let expected = engine.predict(&[], &line_up, &setting).unwrap();
        assert_ne!(expected, [0.5]);
        // Twice: the second call of the warm instance hears of its own pool.
        for _ in 0..2 {
            assert_eq!(policy.propose(&pool).unwrap().quality, expected, "{players:?}");
        }
    }
}

/// Faults whenever it is asked.
struct Broken;

impl RatingEngine for Broken {
    fn digest(&self) -> Digest {
        Digest([9; 32])
    }

    fn parameters(&self) -> &str {
        "{}"
    }

    fn initial(&self) -> Result<(Rating, f64), PluginFault> {
        Err(PluginFault::OutOfFuel { fuel_max: 1 })
    }

    fn rate(&self, _: &[u8], _: &Contest) -> Result<Update, PluginFault> {
        Err(PluginFault::OutOfFuel { fuel_max: 1 })
    }

    fn soften(&self, _: &Rating, _: f64) -> Result<(Rating, f64), PluginFault> {
        Err(PluginFault::OutOfFuel { fuel_max: 1 })
    }

    fn predict(&self, _: &[u8], _: &[Entrant], _: &Setting) -> Result<Vec<f64>, PluginFault> {
        Err(PluginFault::OutOfFuel { fuel_max: 1 })
    }
}

#[test]
fn a_policy_is_not_to_blame_for_a_rating_engine_that_faults() {
    let runtime = Runtime::new().unwrap();
    let policy = load(&runtime, ZERO_AND_ONE);
    policy.forecast_with(Arc::new(Broken));
    assert_eq!(policy.propose(&pool()).unwrap().quality, [0.5]);
    assert_eq!(policy.counters().faults_in_a_row, 0);
}

#[test]
fn asking_about_nobody_is_the_policys_fault() {
    let runtime = Runtime::new().unwrap();
    let policy = load(&runtime, ZERO_AND_TWO);
    let answer = |policy: &PolicyPlugin| -> Result<Proposals, PluginFault> { policy.propose(&pool()) };
    let PluginFault::Trap { detail } = answer(&policy).unwrap_err() else { panic!("no trap") };
    assert_eq!(detail, "asked for a forecast where no rating engine gives any in propose");
    policy.forecast_with(Arc::new(Broken));
    assert_eq!(answer(&policy), Err(PluginFault::BadOutput { place: "forecast", problem: "player 2 of 2".to_owned() }));
}

#[test]
fn only_policies_may_ask_for_forecasts() {
    let runtime = Runtime::new().unwrap();
    let source = PluginSource::new(policy(ZERO_AND_ONE));
    let error = runtime.load_rating(PluginSpec::new("duel.rating", Role::Rating, source), &duel()).err().unwrap();
    assert!(matches!(&error, LoadError::ForeignImport { .. }), "{error}");
    assert!(error.to_string().contains("forecasts are for policies alone"), "{error}");
}
