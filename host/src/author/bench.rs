//! What a call of a plugin costs: wall-clock time, fuel, the share of both that starting an instance takes, and contests a second in bulk.
//!
//! The calls are those of `check`: plausible contests, claims and pools, drawn from a seed. Figures of two machines cannot be compared;
//! those of two components in one run can, and fuel can everywhere.

use std::time::{Duration, Instant};

use ladder::bulk::{Cohort, Journal};
use ladder::fault::PluginFault;
use ladder::pool::MatchmakingPolicy as _;
use ladder::queue::QueueShape;
use ladder::rating::{Contest, RatingEngine};
use ladder::rules::StatRules as _;
use ladder::time::UnixSeconds;
use plugin_runtime::{LoadError, PluginCounters, Role, Runtime, RuntimeError};

use super::chance::Chance;
use super::check::contests::play;
use super::check::pools::pools;
use super::check::rules::sound_claims;
use super::subject::{Subject, shape_name};
use crate::config::QueueConfig;
use crate::plugins::chain;

/// Calls before the clock runs: caches and the pool of instances fill.
const WARM_UP_CALLS: usize = 16;
/// Calls of one row at most.
const CALLS_MAX: usize = 100_000;
/// Instances that are started to see what starting costs.
const STARTS: usize = 50;
/// Players of the cohort of the bulk measurement.
const COHORT_PLAYERS: usize = 2_000;
/// Contests of one bulk call.
const BULK_CONTESTS: usize = 4_096;

/// One component in one kind of queue.
#[derive(Clone, Debug)]
pub struct BenchRow {
    /// The component, as its author named it.
    pub component: String,
    /// What is called, and for what kind of queue.
    pub call: String,
    /// Calls measured.
    pub calls: usize,
    /// Calls a second, one after another.
    pub calls_per_s: f64,
    /// Half of the calls are faster.
    pub p50: Duration,
    /// 99 of 100 calls are faster.
    pub p99: Duration,
    /// Fuel of a call on average, in units.
    pub fuel_per_call: u64,
    /// Contests a second in bulk; `None` without the bulk interface.
    pub bulk_per_s: Option<f64>,
}

/// What is the same for all rows of a component.
#[derive(Clone, Debug)]
pub struct Bench {
    /// Compilation, as on the first load on a machine.
    pub compile: Duration,
    /// The median of starting an instance and asking it who it is.
    pub start: Duration,
    /// One row per kind of queue.
    pub rows: Vec<BenchRow>,
}

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// No sandbox: the environment's fault.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The component does not load. The author's fault.
    #[error("it {}", chain(.0))]
    Load(#[from] LoadError),
    /// It broke its contract at a plausible call. The author's fault.
    #[error("it {0}, at a plausible call")]
    Fault(#[from] PluginFault),
}

/// Measures a component, for about `span` per row.
///
/// # Errors
/// See [`BenchError`].
pub fn bench(subject: &Subject, span: Duration, seed: u64) -> Result<Bench, BenchError> {
    // A sandbox of its own: nothing is compiled yet.
    let runtime = Runtime::new()?;
    let compile = runtime.inspect(&subject.source)?.compile_time;
    let mut starts = Vec::with_capacity(STARTS);
    for _ in 0..STARTS {
        starts.push(runtime.inspect(&subject.source)?.described?.wall_time);
    }
    starts.sort_unstable();
    let mut rows = Vec::new();
    for queue in &subject.queues {
        match row(&runtime, subject, queue, span, seed) {
            Ok(row) => rows.push(row),
            // A typical queue that the author may not have had in mind.
            Err(BenchError::Load(LoadError::Parameters(_)) | BenchError::Fault(PluginFault::Declined { .. }))
                if !subject.is_queue_chosen && queue.shape != subject.queues[0].shape => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Bench { compile, start: starts[STARTS / 2], rows })
}

fn row(runtime: &Runtime, subject: &Subject, queue: &QueueConfig, span: Duration, seed: u64) -> Result<BenchRow, BenchError> {
    let shape = &queue.shape;
    let mut chance = Chance::new(seed, &shape.queue);
    let mut bulk_per_s = None;
    let (function, measured) = match subject.role {
        Role::Rating => {
            let engine = subject.load_rating(runtime, queue)?;
            let samples = play(&engine, shape, &mut chance).map_err(|unplayable| unplayable.fault)?;
            let measured = measure(&samples, span, || engine.counters(), |sample| engine.rate(&sample.memory, &sample.contest).map(drop))?;
            let contests: Vec<Contest> = samples.into_iter().map(|sample| sample.contest).collect();
            bulk_per_s = bulk(&engine, shape, &contests, span, &mut chance)?;
            ("rate", measured)
        }
        Role::Rules => {
            let rules = subject.load_rules(runtime, queue)?;
            let claims = sound_claims(shape, &rules, seed);
            ("review", measure(&claims, span, || rules.counters(), |claim| rules.review(claim).map(drop))?)
        }
        Role::Policy => {
            let policy = subject.load_policy(runtime, queue)?;
            let mut pools = pools(shape, &mut chance);
            // The last is the largest: what a tick costs where it matters.
            let pools = pools.split_off(pools.len() - 1);
            ("propose, 1,000 tickets", measure(&pools, span, || policy.counters(), |pool| policy.propose(&pool.pool).map(drop))?)
        }
    };
    let Measured { mut walls, fuel_per_call } = measured;
    walls.sort_unstable();
    let total: Duration = walls.iter().sum();
    let at = |share: usize| walls[(walls.len() * share / 100).min(walls.len() - 1)];
    Ok(BenchRow {
        component: subject.shown.clone(),
        call: format!("{function}, {}", shape_name(shape)),
        calls: walls.len(),
        calls_per_s: walls.len() as f64 / total.as_secs_f64().max(1e-9),
        p50: at(50),
        p99: at(99),
        fuel_per_call,
        bulk_per_s,
    })
}

struct Measured {
    /// At least one.
    walls: Vec<Duration>,
    fuel_per_call: u64,
}

/// Calls with one input after another, round and round.
fn measure<T>(
    inputs: &[T],
    span: Duration,
    counters: impl Fn() -> PluginCounters,
    call: impl Fn(&T) -> Result<(), PluginFault>,
) -> Result<Measured, PluginFault> {
    for input in inputs.iter().cycle().take(WARM_UP_CALLS) {
        call(input)?;
    }
    let before = counters();
    let (begin, mut walls) = (Instant::now(), Vec::new());
    for input in inputs.iter().cycle().take(CALLS_MAX) {
        let started = Instant::now();
        call(input)?;
        walls.push(started.elapsed());
        if begin.elapsed() >= span {
            break;
        }
    }
    let after = counters();
    let fuel_per_call = (after.fuel_used_total - before.fuel_used_total) / (after.calls - before.calls).max(1);
    Ok(Measured { walls, fuel_per_call })
}

/// Contests a second in bulk, by the same contests between players of a larger cohort.
fn bulk(
    engine: &dyn RatingEngine,
    shape: &QueueShape,
    contests: &[Contest],
    span: Duration,
    chance: &mut Chance,
) -> Result<Option<f64>, PluginFault> {
    let Some(bulk) = engine.bulk() else { return Ok(None) };
    let (stranger, _) = engine.initial()?;
    let players = COHORT_PLAYERS.max(2 * shape.players());
    let mut cohort = Cohort::default();
    for _ in 0..players {
        cohort.push(&stranger, 0, UnixSeconds::default());
    }
    let mut journal = Journal::default();
    for contest in contests.iter().cycle().take(BULK_CONTESTS) {
        // A stretch of a circle of all players: no player twice, everybody in turn.
        let first = chance.below(players);
        let seats = (0..contest.entrants.len()).map(|seat| u32::try_from((first + seat) % players).unwrap_or_default());
        journal.push(contest, &seats.collect::<Vec<_>>());
    }
    let mut memory = Vec::new();
    let (mut rated, begin) = (0_usize, Instant::now());
    loop {
        let outcome = bulk.rate_many(&memory, cohort, &journal, false)?;
        (cohort, memory) = (outcome.cohort, outcome.memory);
        rated += journal.len();
        let elapsed = begin.elapsed();
        if elapsed >= span {
            return Ok(Some(rated as f64 / elapsed.as_secs_f64()));
        }
    }
}
