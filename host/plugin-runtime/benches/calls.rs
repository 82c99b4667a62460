//! What the sandbox costs: a live rating call in a fresh instance, a review, and a tick of the policy over a full pool.
//!
//! `cargo bench -p plugin-runtime --bench calls`; the figures stand in `docs/performance.md`.
#![allow(missing_docs, clippy::unwrap_used)]

use criterion::{Criterion, criterion_group, criterion_main};
use hostile::guest::{Base, Policy};
use ladder::pool::{MatchmakingPolicy, Pool};
use ladder::queue::QueueShape;
use ladder::rating::{Contest, Entrant, Rating, RatingEngine, Setting, Stat};
use ladder::rules::{Claim, Line, ServerRecord, StatRules};
use plugin_runtime::{PluginSource, PluginSpec, Role, Runtime, builtin_role};

const LIMITS_AT_THE_END: &str = "(call $column (i32.const 7) (i32.const 30000000) (i32.load offset=28 (local.get $pool)))";

fn five_against_five() -> QueueShape {
    let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
    QueueShape {
        queue: "five".to_owned(),
        teams: 2,
        team_sizes: vec![5, 5],
        stats: names(&["kills", "deaths", "assists"]),
        totals: names(&["rounds"]),
        regions: names(&["eu", "us"]),
        ..QueueShape::default()
    }
}

fn builtin(name: &str) -> PluginSpec {
    let role = builtin_role(name).unwrap();
    PluginSpec::new(format!("five.{role}"), role, PluginSource::builtin(name).unwrap())
}

fn contest() -> Contest {
    let entrant = |index: u16| Entrant {
        rating: Rating { mean: 20.0 + f64::from(index), uncertainty: 4.0, memory: Vec::new() },
        team: index / 5,
        contests: 12,
        idle_s: 3600,
        presence: 1.0,
        stats: (0..3).map(|stat| Stat { index: stat, value: f64::from(index) }).collect(),
    };
    Contest {
        places: vec![0, 1],
        scores: vec![13.0, 7.0],
        setting: Setting::default(),
        totals: vec![Stat { index: 0, value: 20.0 }],
        trust: 1.0,
        entrants: (0..10).map(entrant).collect(),
    }
}

fn claim() -> Claim {
    let line = |index: u16| Line { player: index / 3, team: index / 15, stat: index % 3, value: f64::from(index) };
    Claim {
        duration_s: 1800,
        places: vec![0, 1],
        scores: vec![13.0, 7.0],
        lines: (0..30).map(line).collect(),
        server: ServerRecord::default(),
    }
}

/// Single players, skills spread like a real ladder's, two regions; a simple congruential sequence stands for chance.
fn pool(tickets: u32) -> Pool {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut unit = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    let count = tickets as usize;
    Pool {
        now_ms: 1_700_000_000_000,
        seed: 7,
        waited_ms: (0..count).map(|_| (unit() * 120_000.0) as u32).collect(),
        member_end: (1..=tickets).collect(),
        regions: (0..count).map(|_| 1 + (unit() * 3.0) as u64).collect(),
        mean: (0..count).map(|_| (0..12).map(|_| unit()).sum::<f64>() * 8.0 - 23.0).collect(),
        uncertainty: vec![2.0; count],
        contests: vec![20; count],
        roles: vec![0; count],
        latency_ms: (0..2 * count).map(|_| 20 + (unit() * 60.0) as u16).collect(),
        reach: vec![4.0; count],
        latency_max_ms: vec![120; count],
        slots: vec![2_000, 2_000],
        ..Pool::default()
    }
}

fn calls(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let shape = five_against_five();
    let rating = runtime.load_rating(builtin("gaussian"), &shape).unwrap();
    let contest = contest();
    criterion.bench_function("rating.rate, fresh instance, 10 players", |bench| bench.iter(|| rating.rate(&[], &contest).unwrap()));
    criterion.bench_function("rating.rate and predict, one fresh instance, 10 players", |bench| {
        bench.iter(|| rating.rate_and_predict(&[], &contest).unwrap());
    });
    criterion.bench_function("rating.rate and predict, an instance each, 10 players", |bench| {
        bench.iter(|| (rating.rate(&[], &contest).unwrap(), rating.predict(&[], &contest.line_up(), &contest.setting).unwrap()));
    });
    let warm = rating.warm();
    criterion.bench_function("rating.rate, warm instance, 10 players", |bench| bench.iter(|| warm.rate(&[], &contest).unwrap()));
    let setting = Setting::default();
    criterion.bench_function("rating.predict, warm instance, 10 players", |bench| {
        bench.iter(|| warm.predict(&[], &contest.entrants, &setting).unwrap());
    });
    let rules = runtime.load_rules(builtin("bounds"), &shape).unwrap();
    let claim = claim();
    criterion.bench_function("rules.review, fresh instance, 30 lines", |bench| bench.iter(|| rules.review(&claim).unwrap()));
    let policy = runtime.load_policy(builtin("skill-window"), &shape).unwrap();
    let pool = pool(10_000);
    let proposals = policy.propose(&pool).unwrap();
    assert!(proposals.match_end.len() > 500, "only {} matches", proposals.match_end.len());
    criterion.bench_function("policy.propose, 10,000 queue tickets, 5v5", |bench| bench.iter(|| policy.propose(&pool).unwrap()));
    hand_over(criterion, &runtime, &shape);
}

/// What it costs to hand a full pool over, to a policy that looks at nothing and proposes nothing.
fn hand_over(criterion: &mut Criterion, runtime: &Runtime, shape: &QueueShape) {
    // The column of limits, all zeros, lies behind everything that is handed over.
    let base = Base { pages: 512, ..Base::SOUND };
    let component = Policy { base, ..Policy::proposing(LIMITS_AT_THE_END) }.component();
    let spec = PluginSpec::new("five.policy", Role::Policy, PluginSource::new(component));
    let policy = runtime.load_policy(spec, shape).unwrap();
    let pool = pool(100_000);
    assert!(policy.propose(&pool).unwrap().ticket.is_empty());
    criterion.bench_function("hand-over of 100,000 queue tickets, one call", |bench| bench.iter(|| policy.propose(&pool).unwrap()));
}

criterion_group!(benches, calls);
criterion_main!(benches);
