//! Checks of matchmaking policies.

use ladder::fault::PluginFault;
use ladder::pool::{MatchmakingPolicy, Pool, Proposals, check};
use ladder::queue::QueueShape;
use plugin_runtime::{LoadError, PolicyPlugin, Runtime};

use super::pools::{NamedPool, pools, select};
use super::{Check, Failing, Patience, Used, fix_of};
use crate::author::cases::{CaseFile, PolicyCase};
use crate::author::chance::Chance;
use crate::author::subject::{Subject, shape_name};
use crate::config::QueueConfig;

/// Attempts to make a failing pool smaller.
const SHRINK_MAX: usize = 400;
/// Queue tickets of an example that is shown in full.
const EXAMPLE_TICKETS_MAX: usize = 40;

/// A policy in one queue, and the pools to try it with.
pub(super) struct Trial<'a> {
    pub(super) shape: &'a QueueShape,
    pub(super) policy: &'a dyn MatchmakingPolicy,
    /// The same component, compiled again in a sandbox of its own.
    pub(super) again: &'a dyn MatchmakingPolicy,
    pub(super) pools: Vec<NamedPool>,
}

pub(super) fn run(
    runtime: &Runtime,
    again: &Runtime,
    subject: &Subject,
    queues: &[QueueConfig],
    seed: u64,
) -> Result<Vec<Check>, LoadError> {
    let load = |queue| Ok((subject.load_policy(runtime, queue)?, subject.load_policy(again, queue)?));
    let pairs: Vec<(PolicyPlugin, PolicyPlugin)> = queues.iter().map(load).collect::<Result<_, LoadError>>()?;
    let trials: Vec<_> = queues.iter().zip(&pairs).map(|(queue, (policy, again))| Trial::new(&queue.shape, policy, again, seed)).collect();
    let mut checks = vec![proposals(&trials), matches(&trials), determinism(&trials), order(&trials, seed)];
    let mut used = Used::default();
    pairs.iter().for_each(|(policy, _)| used.add(&policy.counters()));
    checks.push(used.check(queues[0].plugin(subject.role).limits.memory_bytes_max));
    Ok(checks)
}

impl<'a> Trial<'a> {
    pub(super) fn new(shape: &'a QueueShape, policy: &'a dyn MatchmakingPolicy, again: &'a dyn MatchmakingPolicy, seed: u64) -> Self {
        Self { shape, policy, again, pools: pools(shape, &mut Chance::new(seed, &shape.queue)) }
    }
}

/// Looks for the first pool that fails and leaves tickets out for as long as it still does.
fn search<'a>(trials: &'a [Trial<'a>], fails: &dyn Fn(&Trial<'_>, &Pool) -> Option<String>) -> Option<Failing> {
    for trial in trials {
        for NamedPool { name, pool } in &trial.pools {
            let Some(problem) = fails(trial, pool) else { continue };
            let (smallest, problem) = shrink(pool, problem, &|pool| fails(trial, pool));
            let failing = Failing { problem: format!("{name}, {}: {problem}", shape_name(trial.shape)), ..Failing::default() };
            if smallest.tickets() > EXAMPLE_TICKETS_MAX {
                return Some(failing);
            }
            let case = PolicyCase::of(name, trial.shape, &smallest);
            return Some(failing.with_example(CaseFile { policy: vec![case], ..CaseFile::default() }));
        }
    }
    None
}

/// Leaves out half of the tickets, then a quarter, down to single ones; and again, until each of them is needed.
fn shrink(pool: &Pool, problem: String, fails: &dyn Fn(&Pool) -> Option<String>) -> (Pool, String) {
    let (mut smallest, mut problem) = (pool.clone(), problem);
    let mut patience = Patience::new(SHRINK_MAX);
    loop {
        let tickets = smallest.tickets();
        let mut part = tickets / 2;
        while part > 0 {
            let mut start = 0;
            while start < smallest.tickets() {
                if !patience.is_left() {
                    return (smallest, problem);
                }
                let kept: Vec<usize> = (0..smallest.tickets()).filter(|ticket| !(start..start + part).contains(ticket)).collect();
                let changed = select(&smallest, &kept);
                match fails(&changed) {
                    Some(found) => (smallest, problem) = (changed, found),
                    None => start += part,
                }
            }
            part /= 2;
        }
        if smallest.tickets() == tickets {
            return (smallest, problem);
        }
    }
}

fn end(name: &'static str, tried: impl Into<String>, failing: Option<Failing>, fix: &str) -> Check {
    match failing {
        None => Check::ok(name, tried),
        Some(failing) => Check::failed(name, tried, Failing { fix: fix.to_owned(), ..failing }),
    }
}

fn count(trials: &[Trial<'_>]) -> String {
    let pools = trials.first().map_or(0, |trial| trial.pools.len());
    let shapes: Vec<_> = trials.iter().map(|trial| shape_name(trial.shape)).collect();
    format!("{pools} pools of 0 to 1,000 tickets for {}", shapes.join(", "))
}

/// What is wrong with an answer, by the host's own check.
fn broken(shape: &QueueShape, pool: &Pool, answer: &Result<Proposals, PluginFault>) -> Option<String> {
    match answer {
        Err(fault) => Some(format!("it {fault}")),
        Ok(proposals) => {
            let faults = check(shape, pool, proposals).faults;
            let more = if faults.len() > 1 { format!(" (and {} more proposals)", faults.len() - 1) } else { String::new() };
            faults.first().map(|fault| format!("{fault}{more}"))
        }
    }
}

/// Every proposal keeps every rule of its pool.
pub(super) fn proposals(trials: &[Trial<'_>]) -> Check {
    let tried = format!("{}: parties, pairs apart, narrow wishes, no game servers; every proposal checked as the host does", count(trials));
    let fix = std::cell::Cell::new("the host drops such a proposal: look at `pool` in the contract for what each column demands");
    let fails = |trial: &Trial<'_>, pool: &Pool| {
        let answer = trial.policy.propose(pool);
        if let Err(fault) = &answer {
            fix.set(fix_of(fault));
        }
        broken(trial.shape, pool, &answer)
    };
    let failing = search(trials, &fails);
    end("proposals", tried, failing, fix.get())
}

/// Players with whom nothing stands in the way are matched.
pub(super) fn matches(trials: &[Trial<'_>]) -> Check {
    const EASY: &str = "a hundred who all are the same";
    let tried = format!("{EASY}, for each kind of queue");
    for trial in trials {
        let Some(NamedPool { pool, .. }) = trial.pools.iter().find(|pool| pool.name == EASY) else { continue };
        let Ok(proposals) = trial.policy.propose(pool) else { continue };
        if check(trial.shape, pool, &proposals).proposals.is_empty() {
            let problem = format!("of {EASY}, nobody is matched in a queue of {}", shape_name(trial.shape));
            return Check::warning("matches", tried, problem, "nothing to do if it waits for more on purpose; else players wait forever");
        }
    }
    Check::ok("matches", tried)
}

/// The same pool and seed give the same proposals: again, after other pools, and in another sandbox.
pub(super) fn determinism(trials: &[Trial<'_>]) -> Check {
    let tried =
        "each pool matched twice in one instance with another between, and once compiled anew in a sandbox of its own; every bit compared";
    let fails = |trial: &Trial<'_>, pool: &Pool| {
        let first = trial.policy.propose(pool);
        // What an instance keeps of another pool would show here.
        let between: Vec<usize> = (0..pool.tickets()).step_by(2).collect();
        drop(trial.policy.propose(&select(pool, &between)));
        if !same(&first, &trial.policy.propose(pool)) {
            return Some("another answer when called again after another pool".to_owned());
        }
        (!same(&first, &trial.again.propose(pool))).then(|| "another answer in another sandbox".to_owned())
    };
    let fix =
        "an answer may only depend on the pool and the parameters: `seed` is the only source of chance, nothing is kept from call to call";
    end("determinism", tried, search(trials, &fails), fix)
}

fn same(one: &Result<Proposals, PluginFault>, other: &Result<Proposals, PluginFault>) -> bool {
    let bits = |proposals: &Proposals| proposals.quality.iter().map(|quality| quality.to_bits()).collect::<Vec<_>>();
    match (one, other) {
        (Ok(one), Ok(other)) => one == other && bits(one) == bits(other),
        (one, other) => one == other,
    }
}

/// Tickets in another order still get proposals that keep every rule.
pub(super) fn order(trials: &[Trial<'_>], seed: u64) -> Check {
    let tried = "each pool with its tickets reversed and shuffled; every proposal checked";
    let fails = |trial: &Trial<'_>, pool: &Pool| {
        let tickets = pool.tickets();
        let orders = [(0..tickets).rev().collect(), Chance::new(seed, "order").order(tickets)];
        orders.iter().find_map(|order| {
            let moved = select(pool, order);
            broken(trial.shape, &moved, &trial.policy.propose(&moved))
        })
    };
    end("order", tried, search(trials, &fails), "take nothing for granted about the order of tickets")
}
