//! Checks of the bulk interface: many contests in one call give the bits of the same contests one by one, wherever the calls are split.

use ladder::bulk::{BulkRatingEngine, Cohort, Journal, Outcome};
use ladder::fault::PluginFault;
use ladder::rating::{Contest, Entrant, RatingEngine};
use ladder::time::UnixSeconds;

use super::rating::Trial;
use super::{Check, Failing};
use crate::author::chance::Chance;
use crate::author::subject::shape_name;

const NAME: &str = "bulk";
/// Ways to split the contests, beside all in one call and each in its own.
const SPLITS: usize = 4;

/// Contests between numbered players.
type Numbered = [(Contest, Vec<u32>)];

pub(super) fn bulk(trials: &[Trial<'_>], seed: u64) -> Check {
    if trials.iter().all(|trial| trial.engine.bulk().is_none()) {
        return Check::ok(NAME, "nothing: the component does not offer rating-engine-bulk, and replays call it contest by contest");
    }
    let contests: usize = trials.iter().map(|trial| trial.samples.len()).sum();
    let tried =
        format!("{contests} contests one by one, in one call, in one call each, and split {SPLITS} times at random; every bit compared");
    let problem = trials.iter().find_map(|trial| {
        let found = trial.engine.bulk().and_then(|bulk| differs(trial, bulk, &mut Chance::new(seed, "bulk")))?;
        Some(format!("{}: {found}", shape_name(trial.shape)))
    });
    match problem {
        None => Check::ok(NAME, tried),
        Some(problem) => {
            Check::failed(NAME, tried, Failing::new(problem, "let both end in the same function for one contest, as the SDK does"))
        }
    }
}

/// The first difference.
fn differs(trial: &Trial<'_>, bulk: &dyn BulkRatingEngine, chance: &mut Chance) -> Option<String> {
    let players = trial.shape.players() + trial.shape.players() / 2 + 1;
    let mut cohort = Cohort::default();
    for _ in 0..players {
        cohort.push(&trial.initial, 0, UnixSeconds::default());
    }
    let numbered: Vec<_> = trial.samples.iter().map(|sample| (sample.contest.clone(), seats(players, &sample.contest, chance))).collect();
    let expected = match one_by_one(trial.engine, cohort.clone(), &numbered) {
        Ok(expected) => expected,
        Err(fault) => return Some(format!("one by one it {fault}")),
    };
    let mut splits = vec![vec![numbered.len()], vec![1; numbered.len()]];
    splits.extend((0..SPLITS).map(|_| split(numbered.len(), chance)));
    splits.iter().find_map(|sizes| match in_calls(bulk, cohort.clone(), &numbered, sizes) {
        Ok(outcome) => unequal(&expected, &outcome).map(|what| format!("{what} in calls of {sizes:?} contests as it is one by one")),
        Err(fault) => Some(format!("in calls of {sizes:?} contests it {fault}")),
    })
}

fn seats(players: usize, contest: &Contest, chance: &mut Chance) -> Vec<u32> {
    let chosen = chance.order(players).into_iter().take(contest.entrants.len());
    chosen.map(|player| u32::try_from(player).unwrap_or_default()).collect()
}

/// Sizes of calls that make `len` together.
fn split(len: usize, chance: &mut Chance) -> Vec<usize> {
    let mut sizes = Vec::new();
    let mut left = len;
    while left > 0 {
        let size = 1 + chance.below(left.min(len / 2 + 1));
        sizes.push(size);
        left -= size;
    }
    sizes
}

/// What bulk has to answer: the host's own way with an engine that does not offer it.
fn one_by_one(engine: &dyn RatingEngine, mut cohort: Cohort, numbered: &Numbered) -> Result<Outcome, PluginFault> {
    let mut outcome = Outcome::default();
    for (contest, players) in numbered {
        let mut one = Journal::default();
        one.push(contest, players);
        let contest = one.contest(0, &cohort);
        // What the contest brought must play no part in its prediction.
        let before = |entrant: &Entrant| Entrant { presence: 1.0, stats: Vec::new(), ..entrant.clone() };
        let line_up: Vec<_> = contest.entrants.iter().map(before).collect();
        outcome.predicted.extend(engine.predict(&outcome.memory, &line_up, &contest.setting)?);
        let update = engine.rate(&outcome.memory, &contest)?;
        for (&player, rating) in one.players(0).iter().zip(&update.ratings) {
            let contests = cohort.played(player).0 + 1;
            cohort.set(player, (rating.mean, rating.uncertainty), contests, contest.setting.at_s, &rating.memory);
        }
        outcome.trace.mean.extend(update.ratings.iter().map(|rating| rating.mean));
        outcome.trace.uncertainty.extend(update.ratings.iter().map(|rating| rating.uncertainty));
        outcome.trace.visible.extend(update.visible);
        outcome.memory = update.memory;
    }
    outcome.cohort = cohort;
    Ok(outcome)
}

fn in_calls(bulk: &dyn BulkRatingEngine, cohort: Cohort, numbered: &Numbered, sizes: &[usize]) -> Result<Outcome, PluginFault> {
    let mut whole = Outcome { cohort, ..Outcome::default() };
    let mut rest = numbered.iter();
    for &size in sizes {
        let mut journal = Journal::default();
        rest.by_ref().take(size).for_each(|(contest, players)| journal.push(contest, players));
        let outcome = bulk.rate_many(&whole.memory, whole.cohort, &journal, true)?;
        (whole.cohort, whole.memory) = (outcome.cohort, outcome.memory);
        whole.declined.extend(outcome.declined);
        whole.predicted.extend(outcome.predicted);
        whole.trace.mean.extend(outcome.trace.mean);
        whole.trace.uncertainty.extend(outcome.trace.uncertainty);
        whole.trace.visible.extend(outcome.trace.visible);
    }
    Ok(whole)
}

/// What differs, as the beginning of a sentence.
fn unequal(expected: &Outcome, got: &Outcome) -> Option<String> {
    if !got.declined.is_empty() {
        return Some(format!("{} contests are not declined", got.declined.len()));
    }
    let columns: [(&str, &[f64], &[f64]); 6] = [
        ("prediction", &expected.predicted, &got.predicted),
        ("mean in the trace", &expected.trace.mean, &got.trace.mean),
        ("uncertainty in the trace", &expected.trace.uncertainty, &got.trace.uncertainty),
        ("visible rating in the trace", &expected.trace.visible, &got.trace.visible),
        ("mean of a player", expected.cohort.means(), got.cohort.means()),
        ("uncertainty of a player", expected.cohort.uncertainties(), got.cohort.uncertainties()),
    ];
    for (what, expected, got) in columns {
        if expected.len() != got.len() {
            return Some(format!("{} values of {what} are not {}", got.len(), expected.len()));
        }
        // -0.0 and 0.0 are one number to people: the trace shows the engine's own, the host's road adds zero.
        if let Some(index) = expected.iter().zip(got).position(|(one, other)| (one + 0.0).to_bits() != (other + 0.0).to_bits()) {
            return Some(format!("{what} {index} is {} and not {},", got[index], expected[index]));
        }
    }
    (expected.memory != got.memory || expected.cohort != got.cohort).then(|| "memory is not the same".to_owned())
}
