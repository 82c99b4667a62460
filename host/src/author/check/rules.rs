//! Checks of stat rules.

use ladder::fault::PluginFault;
use ladder::queue::QueueShape;
use ladder::rules::{Claim, Finding, Line, ServerRecord, StatRules, Verdict};
use plugin_runtime::{LoadError, RulesPlugin, Runtime};

use super::{Check, Failing, Patience, Used, fix_of};
use crate::author::cases::{CaseFile, RulesCase};
use crate::author::chance::Chance;
use crate::author::subject::Subject;
use crate::config::QueueConfig;

/// Plausible claims per queue.
const SOUND: usize = 30;
/// What a game server may claim for a number.
const ABSURD: [(&str, f64); 10] = [
    ("not a number", f64::NAN),
    ("infinite", f64::INFINITY),
    ("minus infinite", f64::NEG_INFINITY),
    ("the largest number", f64::MAX),
    ("the smallest number", f64::MIN),
    ("the least above zero", f64::MIN_POSITIVE),
    ("minus zero", -0.0),
    ("minus one", -1.0),
    ("a billion", 1e9),
    ("half a kill", 0.5),
];
/// Game servers with a past.
const SERVERS: [ServerRecord; 3] = [
    ServerRecord { contests: 0, clamped: 0.0, disputed: 0.0 },
    ServerRecord { contests: 10_000, clamped: 1.0, disputed: 1.0 },
    ServerRecord { contests: u32::MAX, clamped: 0.0, disputed: 0.0 },
];

/// Stat rules in one queue, and what to have them review.
pub(super) struct Trial<'a> {
    pub(super) shape: &'a QueueShape,
    pub(super) rules: &'a dyn StatRules,
    /// The same component, compiled again in a sandbox of its own.
    pub(super) again: &'a dyn StatRules,
    pub(super) sound: Vec<Claim>,
    pub(super) absurd: Vec<Claim>,
}

pub(super) fn run(
    runtime: &Runtime,
    again: &Runtime,
    subject: &Subject,
    queues: &[QueueConfig],
    seed: u64,
) -> Result<Vec<Check>, LoadError> {
    let load = |queue| Ok((subject.load_rules(runtime, queue)?, subject.load_rules(again, queue)?));
    let pairs: Vec<(RulesPlugin, RulesPlugin)> = queues.iter().map(load).collect::<Result<_, LoadError>>()?;
    let trials: Vec<_> = queues.iter().zip(&pairs).map(|(queue, (rules, again))| Trial::new(&queue.shape, rules, again, seed)).collect();
    let mut checks = vec![bounds(&trials), answers(&trials), sound(&trials), clamps(&trials), determinism(&trials)];
    let mut used = Used::default();
    pairs.iter().for_each(|(rules, _)| used.add(&rules.counters()));
    checks.push(used.check(queues[0].plugin(subject.role).limits.memory_bytes_max));
    Ok(checks)
}

impl<'a> Trial<'a> {
    pub(super) fn new(shape: &'a QueueShape, rules: &'a dyn StatRules, again: &'a dyn StatRules, seed: u64) -> Self {
        let sound = sound_claims(shape, rules, seed);
        let absurd = absurd(&sound[0]);
        Self { shape, rules, again, sound, absurd }
    }

    fn claims(&self) -> impl Iterator<Item = &Claim> {
        self.sound.iter().chain(&self.absurd)
    }
}

/// Claims of honest game servers.
pub(crate) fn sound_claims(shape: &QueueShape, rules: &dyn StatRules, seed: u64) -> Vec<Claim> {
    let mut chance = Chance::new(seed, &shape.queue);
    (0..SOUND).map(|_| draw(shape, rules, &mut chance)).collect()
}

/// A claim that an honest game server makes: inside what the rules declare.
fn draw(shape: &QueueShape, rules: &dyn StatRules, chance: &mut Chance) -> Claim {
    let value = |stat: u16, total: bool, chance: &mut Chance| {
        let declared = rules.bounds().iter().find(|declared| (declared.stat, declared.total) == (stat, total));
        let (min, max) = declared.map_or((0.0, 20.0), |declared| (declared.bound.min(), declared.bound.max()));
        // In the lower half: many rules look twice at what is near the limit.
        chance.between(min, min + (max - min).min(40.0) / 2.0).floor().max(min)
    };
    let mut lines = Vec::new();
    let mut player = 0;
    for team in 0..shape.teams {
        for _ in 0..shape.team_size(usize::from(team)) {
            let stats = (0..).zip(&shape.stats);
            lines.extend(stats.map(|(stat, _)| Line { player, team, stat, value: value(stat, false, chance) }));
            player += 1;
        }
    }
    let totals = (0..).zip(&shape.totals);
    lines.extend(totals.map(|(stat, _)| Line { player: u16::MAX, team: 0, stat, value: value(stat, true, chance) }));
    let places: Vec<u16> =
        chance.order(usize::from(shape.teams)).into_iter().map(|place| u16::try_from(place).unwrap_or(u16::MAX)).collect();
    let scores = places.iter().map(|place| 16.0 - f64::from(*place)).collect();
    let server = ServerRecord { contests: u32::try_from(chance.below(100)).unwrap_or_default(), clamped: 0.0, disputed: 0.0 };
    Claim { duration_s: 600 + u32::try_from(chance.below(1200)).unwrap_or_default(), places, scores, lines, server }
}

/// Everything that no honest game server claims.
fn absurd(sound: &Claim) -> Vec<Claim> {
    let mut claims = Vec::new();
    for (_, value) in ABSURD {
        let all = sound.lines.iter().map(|line| Line { value, ..*line }).collect();
        claims.push(Claim { lines: all, ..sound.clone() });
        for index in [0, sound.lines.len().saturating_sub(1)] {
            let mut claim = sound.clone();
            claim.lines.iter_mut().skip(index).take(1).for_each(|line| line.value = value);
            claims.push(claim);
        }
        claims.push(Claim { scores: vec![value; sound.scores.len()], ..sound.clone() });
    }
    claims.extend([0, 1, ladder::report::DURATION_S_MAX].map(|duration_s| Claim { duration_s, ..sound.clone() }));
    claims.push(Claim { lines: Vec::new(), scores: Vec::new(), ..sound.clone() });
    claims.push(Claim { scores: Vec::new(), ..sound.clone() });
    claims.push(Claim { places: vec![0; sound.places.len()], ..sound.clone() });
    claims.extend(SERVERS.map(|server| Claim { server, ..sound.clone() }));
    claims
}

fn example(name: &str, shape: &QueueShape, claim: &Claim) -> CaseFile {
    CaseFile { rules: vec![RulesCase::of(name, shape, claim)], ..CaseFile::default() }
}

/// Leaves lines out for as long as it still fails.
fn shrink(claim: &Claim, problem: String, fails: &dyn Fn(&Claim) -> Option<String>) -> (Claim, String) {
    let (mut smallest, mut problem) = (claim.clone(), problem);
    let mut index = smallest.lines.len();
    let mut patience = Patience::new(index);
    while index > 0 && patience.is_left() {
        index -= 1;
        let mut changed = smallest.clone();
        changed.lines.remove(index);
        if let Some(found) = fails(&changed) {
            (smallest, problem) = (changed, found);
        }
    }
    (smallest, problem)
}

fn search<'a>(
    name: &'static str,
    trials: &'a [Trial<'a>],
    claims: &dyn Fn(&Trial<'_>) -> Vec<Claim>,
    fails: &dyn Fn(&Trial<'_>, &Claim) -> Option<String>,
) -> Option<Failing> {
    for trial in trials {
        for claim in claims(trial) {
            let Some(problem) = fails(trial, &claim) else { continue };
            let (smallest, problem) = shrink(&claim, problem, &|claim| fails(trial, claim));
            return Some(Failing { problem, ..Failing::default() }.with_example(example(name, trial.shape, &smallest)));
        }
    }
    None
}

fn every(trial: &Trial<'_>) -> Vec<Claim> {
    trial.claims().cloned().collect()
}

fn end(name: &'static str, tried: impl Into<String>, failing: Option<Failing>, fix: &str) -> Check {
    match failing {
        None => Check::ok(name, tried),
        Some(failing) => Check::failed(name, tried, Failing { fix: fix.to_owned(), ..failing }),
    }
}

/// Loading has looked at each bound: known, once, two finite numbers in order. Here they are counted.
fn bounds(trials: &[Trial<'_>]) -> Check {
    let declared: usize = trials.iter().map(|trial| trial.rules.bounds().len()).sum();
    let known: usize = trials.iter().map(|trial| trial.shape.stats.len() + trial.shape.totals.len()).sum();
    let tried = format!("{declared} bounds declared for {known} statistics and totals: each known, once, in order");
    if declared == 0 && known > 0 {
        let problem = "no bound is declared: when `review` faults, nothing but the operator's outer bounds holds";
        return Check::warning("bounds", tried, problem, "declare the widest bounds that are still believable");
    }
    Check::ok("bounds", tried)
}

/// Every claim, however absurd, gets a sound answer.
pub(super) fn answers(trials: &[Trial<'_>]) -> Check {
    let count: usize = trials.iter().map(|trial| trial.claims().count()).sum();
    let fault = std::cell::Cell::new("");
    let fails = |trial: &Trial<'_>, claim: &Claim| {
        let found = trial.rules.review(claim).err()?;
        fault.set(fix_of(&found));
        Some(format!("it {found}"))
    };
    let failing = search("an absurd claim", trials, &every, &fails);
    end("claims", format!("{count} claims, plausible and absurd: infinite, not a number, negative, empty"), failing, fault.get())
}

/// What an honest game server claims is not held against it.
pub(super) fn sound(trials: &[Trial<'_>]) -> Check {
    let tried = format!("{SOUND} plausible claims per queue, in the lower half of what is declared");
    let fails = |trial: &Trial<'_>, claim: &Claim| {
        let verdict = trial.rules.review(claim).ok()?;
        verdict.findings.iter().find_map(|finding| match finding {
            Finding::Suspicious(_) => None,
            Finding::Hold(reason) => Some(format!("holds a plausible contest: {}", reason.code)),
            Finding::Reject(reason) => Some(format!("rejects a plausible contest: {}", reason.code)),
        })
    };
    match search("a plausible contest", trials, &|trial| trial.sound.clone(), &fails) {
        None => Check::ok("honest", tried),
        Some(Failing { problem, example, .. }) => Check::warning(
            "honest",
            tried,
            format!("{problem}\n{example}"),
            "nothing to do if it is meant to: its players wait for an operator",
        ),
    }
}

/// A claim that was clamped is not clamped again to something else.
pub(super) fn clamps(trials: &[Trial<'_>]) -> Check {
    let fails = |trial: &Trial<'_>, claim: &Claim| {
        let once = trial.rules.review(claim).ok()?;
        let clamped = accepted(trial.rules, claim, &once);
        let twice = trial.rules.review(&clamped).ok()?;
        let moved = twice.clamps.iter().find(|clamp| clamp.to != clamped.lines[clamp.line as usize].value)?;
        let was = clamped.lines[moved.line as usize].value;
        Some(format!("clamps a number to {was}, and that one to {}", moved.to))
    };
    let failing = search("clamped twice", trials, &every, &fails);
    end(
        "clamps",
        "each clamped claim reviewed again: nothing moves a second time",
        failing,
        "clamp to a value that the same rules leave alone",
    )
}

/// The claim as the host would accept it: the rules' clamps, then their bounds.
fn accepted(rules: &dyn StatRules, claim: &Claim, verdict: &Verdict) -> Claim {
    let mut accepted = claim.clone();
    for clamp in &verdict.clamps {
        accepted.lines[clamp.line as usize].value = clamp.to;
    }
    for line in &mut accepted.lines {
        let of_line = |total: bool| total == (line.player == u16::MAX);
        if let Some(declared) = rules.bounds().iter().find(|declared| declared.stat == line.stat && of_line(declared.total)) {
            line.value = declared.bound.clamp(line.value).value();
        }
    }
    accepted
}

/// The same claim gets the same verdict: again, and in another sandbox.
pub(super) fn determinism(trials: &[Trial<'_>]) -> Check {
    let tried = "each claim reviewed twice, and once more compiled anew in a sandbox of its own; every bit compared";
    let fails = |trial: &Trial<'_>, claim: &Claim| {
        let first = trial.rules.review(claim);
        for (other, whose) in [(trial.rules, "called again"), (trial.again, "in another sandbox")] {
            let other = other.review(claim);
            if !same(&first, &other) {
                return Some(format!("answers otherwise when {whose}: {first:?}, {other:?}"));
            }
        }
        None
    };
    let fix = "an answer may only depend on the claim and the parameters: no chance, no addresses, nothing kept from call to call";
    end("determinism", tried, search("not the same twice", trials, &every, &fails), fix)
}

fn same(one: &Result<Verdict, PluginFault>, other: &Result<Verdict, PluginFault>) -> bool {
    let bits = |verdict: &Verdict| verdict.clamps.iter().map(|clamp| (clamp.line, clamp.to.to_bits())).collect::<Vec<_>>();
    match (one, other) {
        (Ok(one), Ok(other)) => bits(one) == bits(other) && one.findings == other.findings,
        (one, other) => one == other,
    }
}
