//! Checks of rating engines.

use ladder::fault::PluginFault;
use ladder::queue::QueueShape;
use ladder::rating::{Contest, Entrant, Rating, RatingEngine, Update};
use plugin_runtime::{LoadError, RatingPlugin, Runtime};

use super::bulk::bulk;
use super::contests::{HARSH, PLAYED, Sample, Unplayable, play, shrink};
use super::{Check, Failing, Used, fix_of};
use crate::author::cases::{CaseFile, RatingCase};
use crate::author::chance::Chance;
use crate::author::subject::{Subject, shape_name};
use crate::config::QueueConfig;

/// How far numbers may differ where the order of a sum may differ: relative to mean and uncertainty together.
const TOLERANCE: f64 = 1e-9;
/// Samples of a queue that each harshness is put on.
const HARSH_SAMPLES: usize = 3;

/// A rating engine in one queue, and the contests to try it with.
pub(super) struct Trial<'a> {
    pub(super) shape: &'a QueueShape,
    pub(super) engine: &'a dyn RatingEngine,
    /// The same component, compiled again in a sandbox of its own.
    pub(super) again: &'a dyn RatingEngine,
    pub(super) initial: Rating,
    pub(super) samples: Vec<Sample>,
}

pub(super) fn run(
    runtime: &Runtime,
    again: &Runtime,
    subject: &Subject,
    queues: &[QueueConfig],
    seed: u64,
) -> Result<Vec<Check>, LoadError> {
    let pairs: Vec<(RatingPlugin, RatingPlugin)> = queues
        .iter()
        .map(|queue| Ok((subject.load_rating(runtime, queue)?, subject.load_rating(again, queue)?)))
        .collect::<Result<_, LoadError>>()?;
    let (mut trials, mut declined) = (Vec::new(), None);
    for (queue, (engine, again)) in queues.iter().zip(&pairs) {
        match trial(&queue.shape, engine, again, seed) {
            Ok(trial) => trials.push(trial),
            // A typical queue that the author may not have had in mind.
            Err(unplayable) if matches!(unplayable.fault, PluginFault::Declined { .. }) && !subject.is_queue_chosen && queues.len() > 1 => {
                declined = Some(&queue.shape);
            }
            Err(unplayable) => return Ok(vec![failed(&queue.shape, &unplayable)]),
        }
    }
    let mut checks = vec![played(&trials, declined)];
    if trials.is_empty() {
        return Ok(checks);
    }
    checks.extend([
        determinism(&trials),
        order(&trials, seed),
        harsh(&trials),
        winner(&trials),
        prediction(&trials),
        season(&trials),
        bulk(&trials, seed),
    ]);
    let mut used = Used::default();
    pairs.iter().for_each(|(engine, _)| used.add(&engine.counters()));
    checks.push(used.check(queues[0].plugin(subject.role).limits.memory_bytes_max));
    Ok(checks)
}

fn trial<'a>(
    shape: &'a QueueShape,
    engine: &'a dyn RatingEngine,
    again: &'a dyn RatingEngine,
    seed: u64,
) -> Result<Trial<'a>, Box<Unplayable>> {
    let samples = play(engine, shape, &mut Chance::new(seed, &shape.queue))?;
    // Asked for once more: it was given when the population started to play.
    let (initial, _) = engine.initial().map_err(|fault| Unplayable { fault, sample: samples[0].clone() })?;
    Ok(Trial { shape, engine, again, initial, samples })
}

fn failed(shape: &QueueShape, Unplayable { fault, sample }: &Unplayable) -> Check {
    let failing = Failing::new(format!("it {fault}, at a plausible contest of {}", shape_name(shape)), fix_of(fault));
    Check::failed("contests", format!("{PLAYED} plausible contests"), failing.with_example(example("a plausible contest", shape, sample)))
}

fn played(trials: &[Trial<'_>], declined: Option<&QueueShape>) -> Check {
    let names: Vec<_> = trials.iter().map(|trial| shape_name(trial.shape)).collect();
    let tried = format!("{} plausible contests of {}", PLAYED * trials.len(), names.join(", "));
    match declined {
        None => Check::ok("contests", tried),
        Some(shape) if trials.is_empty() => {
            let problem = format!("declines every kind of contest, {} among them", shape_name(shape));
            Check::failed("contests", tried, Failing::new(problem, "rate what the queue brings; --team-sizes names the queue it is for"))
        }
        Some(shape) => Check::warning(
            "contests",
            tried,
            format!("declines contests of {}", shape_name(shape)),
            "nothing to do if it is not for such queues; --team-sizes names yours",
        ),
    }
}

fn example(name: &str, shape: &QueueShape, sample: &Sample) -> CaseFile {
    let case = RatingCase::of(name, shape, &sample.memory, &sample.contest);
    CaseFile { rating: vec![case], ..CaseFile::default() }
}

/// Looks for the first sample that fails and makes it small.
fn search<'a>(
    name: &'static str,
    trials: &'a [Trial<'a>],
    samples: &dyn Fn(&Trial<'_>) -> Vec<Sample>,
    fails: &dyn Fn(&Trial<'_>, &Sample) -> Option<String>,
) -> Option<Failing> {
    for trial in trials {
        for sample in samples(trial) {
            let Some(problem) = fails(trial, &sample) else { continue };
            let (smallest, problem) = shrink(sample, problem, &trial.initial, &|sample| fails(trial, sample));
            let failing = Failing { problem, ..Failing::default() };
            return Some(failing.with_example(example(name, trial.shape, &smallest)));
        }
    }
    None
}

fn own(trial: &Trial<'_>) -> Vec<Sample> {
    trial.samples.clone()
}

/// The same call gives the same bits: again, and in another sandbox.
pub(super) fn determinism(trials: &[Trial<'_>]) -> Check {
    let tried = "each contest rated and predicted twice, and once more compiled anew in a sandbox of its own; every bit compared";
    let fails = |trial: &Trial<'_>, Sample { memory, contest }: &Sample| {
        let rate = |engine: &dyn RatingEngine| engine.rate(memory, contest);
        let predict = |engine: &dyn RatingEngine| engine.predict(memory, &contest.entrants, &contest.setting);
        let (first, forecast) = (rate(trial.engine), predict(trial.engine));
        for (other, whose) in [(trial.engine, "called again"), (trial.again, "in another sandbox")] {
            if !same_update(&first, &rate(other)) {
                return Some(format!("`rate` answers otherwise when {whose}: {}", beside(&first, &rate(other))));
            }
            if !same_predictions(&forecast, &predict(other)) {
                return Some(format!("`predict` answers otherwise when {whose}: {forecast:?}, {:?}", predict(other)));
            }
        }
        None
    };
    let fix = "an answer may only depend on arguments and parameters: no chance, no addresses, no order of a hash map, nothing kept from call to call";
    end("determinism", tried, search("not the same twice", trials, &own, &fails), fix)
}

fn same_update(one: &Result<Update, PluginFault>, other: &Result<Update, PluginFault>) -> bool {
    let bits = |update: &Update| -> Vec<u64> {
        let ratings = update.ratings.iter().flat_map(|rating| [rating.mean.to_bits(), rating.uncertainty.to_bits()]);
        ratings.chain(update.visible.iter().map(|visible| visible.to_bits())).collect()
    };
    match (one, other) {
        (Ok(one), Ok(other)) => one == other && bits(one) == bits(other),
        (one, other) => one == other,
    }
}

fn same_predictions(one: &Result<Vec<f64>, PluginFault>, other: &Result<Vec<f64>, PluginFault>) -> bool {
    match (one, other) {
        (Ok(one), Ok(other)) => one.iter().map(|p| p.to_bits()).eq(other.iter().map(|p| p.to_bits())),
        (one, other) => one == other,
    }
}

/// The first rating in which two answers differ.
fn beside(one: &Result<Update, PluginFault>, other: &Result<Update, PluginFault>) -> String {
    match (one, other) {
        (Ok(one), Ok(other)) => match one.ratings.iter().zip(&other.ratings).find(|(one, other)| one != other) {
            Some((one, other)) => format!("{} +- {} and {} +- {}", one.mean, one.uncertainty, other.mean, other.uncertainty),
            None => "memory or the visible rating".to_owned(),
        },
        (Err(fault), Ok(_)) | (Ok(_), Err(fault)) => format!("once it {fault}"),
        (Err(one), Err(other)) => format!("once it {one}, once it {other}"),
    }
}

/// Players in another order get the same ratings, within the rounding of a sum. Memory is opaque and not compared.
pub(super) fn order(trials: &[Trial<'_>], seed: u64) -> Check {
    let tried =
        format!("players of each contest reversed and shuffled; ratings and predictions within {TOLERANCE:e} of mean and uncertainty");
    let fails = |trial: &Trial<'_>, Sample { memory, contest }: &Sample| {
        let len = contest.entrants.len();
        let first = trial.engine.rate(memory, contest).ok()?;
        let forecast = trial.engine.predict(memory, &contest.entrants, &contest.setting).ok()?;
        for order in [(0..len).rev().collect(), Chance::new(seed, "order").order(len)] {
            let entrants: Vec<_> = order.iter().map(|&player| contest.entrants[player].clone()).collect();
            let moved = Contest { entrants, ..contest.clone() };
            let update = match trial.engine.rate(memory, &moved) {
                Ok(update) => update,
                Err(fault) => return Some(format!("in another order it {fault}")),
            };
            for (&player, other) in order.iter().zip(&update.ratings) {
                let one = &first.ratings[player];
                if !near(one, other) {
                    let (mean, uncertainty) = (one.mean, one.uncertainty);
                    return Some(format!(
                        "p{} is rated {mean} +- {uncertainty}, and {} +- {} if the players come in the order {}",
                        player + 1,
                        other.mean,
                        other.uncertainty,
                        order.iter().map(|player| format!("p{}", player + 1)).collect::<Vec<_>>().join(", "),
                    ));
                }
            }
            let other = trial.engine.predict(memory, &moved.entrants, &moved.setting).unwrap_or_default();
            if forecast.len() != other.len() || forecast.iter().zip(&other).any(|(one, other)| (one - other).abs() > TOLERANCE) {
                return Some(format!("predicted {forecast:?}, and {other:?} if the players come in another order"));
            }
        }
        None
    };
    let fix = "take players by their `team`, never by where they stand in the list";
    end("order", tried, search("the order of players matters", trials, &own, &fails), fix)
}

fn near(one: &Rating, other: &Rating) -> bool {
    let scale = one.mean.abs() + one.uncertainty;
    (one.mean - other.mean).abs() <= TOLERANCE * scale && (one.uncertainty - other.uncertainty).abs() <= TOLERANCE * scale
}

/// Whatever the contract allows gets a sound answer, or is declined.
pub(super) fn harsh(trials: &[Trial<'_>]) -> Check {
    let mut declined = Vec::new();
    let tried = |declined: &[&str]| {
        let list = if declined.is_empty() { String::new() } else { format!("; declined: {}", declined.join("; ")) };
        format!("{} kinds of harsh contest{list}", HARSH.len())
    };
    let fails = |trial: &Trial<'_>, Sample { memory, contest }: &Sample| {
        let rated = trial.engine.rate(memory, contest).err();
        let fault = rated.or_else(|| trial.engine.predict(memory, &contest.entrants, &contest.setting).err());
        fault.filter(|fault| !matches!(fault, PluginFault::Declined { .. })).map(|fault| format!("it {fault}"))
    };
    for (what, change) in HARSH {
        let changed = |trial: &Trial<'_>| -> Vec<Sample> {
            let mut samples = trial.samples[trial.samples.len() - HARSH_SAMPLES..].to_vec();
            samples.iter_mut().for_each(|sample| change(&mut sample.contest));
            samples
        };
        if let Some(failing) = search(what, trials, &changed, &fails) {
            let fix =
                "check sums and quotients for what a belief far off or a very small uncertainty makes of them; or answer out-of-range";
            return end("finite", tried(&declined), Some(failing), fix);
        }
        let refused = |sample: &Sample, trial: &Trial<'_>| {
            matches!(trial.engine.rate(&sample.memory, &sample.contest), Err(PluginFault::Declined { .. }))
        };
        if trials.iter().any(|trial| changed(trial).iter().any(|sample| refused(sample, trial))) {
            declined.push(what);
        }
    }
    Check::ok("finite", tried(&declined))
}

/// Whoever won does not fall, whoever lost does not rise: two teams, everybody there, full trust, nobody idle.
pub(super) fn winner(trials: &[Trial<'_>]) -> Check {
    const NAME: &str = "winner";
    let trials: Vec<&Trial<'_>> = trials.iter().filter(|trial| trial.shape.teams == 2).collect();
    let tried = "each contest of two teams won by either, beliefs close and far apart; with and without statistics";
    if trials.is_empty() {
        return Check::ok(NAME, "nothing: the queue is not one of two teams");
    }
    let fix = "with full presence and trust a win must not lower a mean, nor a loss raise one";
    for trial in &trials {
        let trial = std::slice::from_ref(*trial);
        let bare = |trial: &Trial<'_>| decided(trial, false);
        if let Some(failing) = search("a winner falls", trial, &bare, &falls) {
            return end(NAME, tried, Some(failing), fix);
        }
    }
    for trial in &trials {
        let trial = std::slice::from_ref(*trial);
        if let Some(failing) = search("a winner falls", trial, &|trial| decided(trial, true), &falls) {
            let problem = format!("by statistics, {}", failing.problem);
            return Check::warning(NAME, tried, problem, "nothing to do if it is meant to: players may not understand it");
        }
    }
    Check::ok(NAME, tried)
}

/// Each sample won by the one and by the other, as it is and with beliefs far apart.
fn decided(trial: &Trial<'_>, with_stats: bool) -> Vec<Sample> {
    let mut samples = Vec::new();
    for (number, sample) in trial.samples.iter().enumerate() {
        for places in [vec![0, 1], vec![1, 0]] {
            let mut sample = sample.clone();
            sample.contest.places = places;
            sample.contest.scores.clear();
            sample.contest.trust = 1.0;
            for entrant in &mut sample.contest.entrants {
                (entrant.presence, entrant.idle_s) = (1.0, 0);
                let apart = [0.0, 3.0, -3.0, 30.0, -30.0][number % 5] * entrant.rating.uncertainty;
                entrant.rating.mean += if entrant.team == 0 { apart } else { 0.0 };
                if !with_stats {
                    entrant.stats.clear();
                }
            }
            samples.push(sample);
        }
    }
    samples
}

fn falls(trial: &Trial<'_>, sample: &Sample) -> Option<String> {
    let update = trial.engine.rate(&sample.memory, &sample.contest).ok()?;
    for (player, (entrant, after)) in sample.contest.entrants.iter().zip(&update.ratings).enumerate() {
        let before = &entrant.rating;
        let rise = after.mean - before.mean;
        let (won, allowed) = (sample.contest.places[usize::from(entrant.team)] == 0, TOLERANCE * (before.mean.abs() + before.uncertainty));
        if (won && rise < -allowed) || (!won && rise > allowed) {
            let (what, how) = if won { ("won", "falls") } else { ("lost", "rises") };
            return Some(format!("p{} {what} and {how} from {} to {}", player + 1, before.mean, after.mean));
        }
    }
    None
}

/// What is predicted for two teams is the rest of what is predicted with the teams exchanged.
pub(super) fn prediction(trials: &[Trial<'_>]) -> Check {
    let tried = format!("each line-up with its teams in reverse: p(i, j) and p(j, i) make 1 within {TOLERANCE:e}; all from 0 to 1");
    let fails = |trial: &Trial<'_>, Sample { memory, contest }: &Sample| {
        let teams = contest.places.len();
        let exchanged = |team: usize| teams - 1 - team;
        let mut entrants = contest.entrants.clone();
        entrants.iter_mut().for_each(|entrant| entrant.team = u16::try_from(exchanged(usize::from(entrant.team))).unwrap_or_default());
        let mut setting = contest.setting.clone();
        setting.sides.reverse();
        let forecast = trial.engine.predict(memory, &contest.entrants, &contest.setting);
        let reverse = trial.engine.predict(memory, &entrants, &setting);
        let (forecast, reverse) = match (forecast, reverse) {
            (Ok(forecast), Ok(reverse)) => (forecast, reverse),
            (Err(fault), _) | (_, Err(fault)) => return Some(format!("`predict` {fault}, at a contest that it rates")),
        };
        let pair = |first: usize, second: usize| first * teams - first * (first + 1) / 2 + second - first - 1;
        for first in 0..teams {
            for second in first + 1..teams {
                let (p, q) = (forecast[pair(first, second)], reverse[pair(exchanged(second), exchanged(first))]);
                if (p + q - 1.0).abs() > TOLERANCE {
                    return Some(format!("team {first} before team {second}: {p}; the other way round: {q}; together {}", p + q));
                }
            }
        }
        None
    };
    let fix = "compute p(i, j) from the difference of the two teams, or divide by the sum of both";
    end("prediction", tried, search("a prediction that depends on who is named first", trials, &own, &fails), fix)
}

/// A season reset that keeps everything changes nothing, one that keeps nothing makes a stranger, and all between are sound.
pub(super) fn season(trials: &[Trial<'_>]) -> Check {
    const KEEPS: [f64; 5] = [0.0, 1e-9, 0.5, 0.999, 1.0];
    let tried = format!("`soften` of each player's belief, keeping {KEEPS:?}: 1 changes nothing, 0 gives `initial`, within {TOLERANCE:e}");
    let fails = |trial: &Trial<'_>, Sample { contest, .. }: &Sample| {
        let softened = |(player, entrant): (usize, &Entrant)| {
            KEEPS.iter().find_map(|&keep| {
                let after = match trial.engine.soften(&entrant.rating, keep) {
                    Ok((after, _)) => after,
                    Err(fault) => return Some(format!("keeping {keep} of p{}, it {fault}", player + 1)),
                };
                let expected = match keep {
                    0.0 => &trial.initial,
                    1.0 => &entrant.rating,
                    _ => return None,
                };
                let (wanted, got) = ((expected.mean, expected.uncertainty), (after.mean, after.uncertainty));
                (!near(expected, &after)).then(|| format!("keeping {keep} of p{} gives {got:?} and not {wanted:?}", player + 1))
            })
        };
        contest.entrants.iter().enumerate().find_map(softened)
    };
    let fix = "move mean and uncertainty from `initial` toward the belief by the share that is kept";
    end("season", tried, search("a season reset", trials, &own, &fails), fix)
}

fn end(name: &'static str, tried: impl Into<String>, failing: Option<Failing>, fix: &str) -> Check {
    match failing {
        None => Check::ok(name, tried),
        Some(failing) => Check::failed(name, tried, Failing { fix: fix.to_owned(), ..failing }),
    }
}
