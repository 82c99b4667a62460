//! Each check finds the flaw it is there for, and finds none in an honest plugin. The flawed plugins are native: what is tried here is the
//! search, not the sandbox.
#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicU32, Ordering};

use ladder::bulk::{BulkRatingEngine, Cohort, Journal, Outcome};
use ladder::fault::PluginFault;
use ladder::id::Digest;
use ladder::pool::{MatchmakingPolicy, NEW_MATCH, Pool, Proposals};
use ladder::queue::QueueShape;
use ladder::rating::{Contest, Entrant, Rating, RatingEngine, Setting, Update};
use ladder::reason::Reason;
use ladder::rules::{Claim, Clamp, DeclaredBound, Finding, StatRules, Verdict};
use ladder::stats::Bound;

use super::contests::play;
use super::{Check, CheckVerdict, bulk, policy, rating, rules};
use crate::author::cases::{CaseFile, Tested};
use crate::author::chance::Chance;

fn shape() -> QueueShape {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    QueueShape {
        queue: "pairs".to_owned(),
        teams: 2,
        team_sizes: vec![2, 2],
        stats: names(&["kills", "deaths"]),
        totals: names(&["rounds"]),
        regions: names(&["eu"]),
        ..QueueShape::default()
    }
}

/// What is wrong with a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    Counts,
    FirstPlayer,
    FarApart,
    Winner,
    Lopsided,
    KillsDecide,
    ForgetsBetweenCalls,
    SoftensAtOne,
}

/// An Elo engine of teams, perhaps flawed.
struct Elo {
    flaw: Flaw,
    calls: AtomicU32,
}

impl Elo {
    fn new(flaw: Flaw) -> Self {
        Self { flaw, calls: AtomicU32::new(0) }
    }

    fn expected(&self, entrants: &[Entrant]) -> f64 {
        let mean = |team: u16| {
            let members = entrants.iter().filter(|entrant| entrant.team == team).map(|entrant| entrant.rating.mean);
            members.clone().sum::<f64>() / members.count() as f64
        };
        let lead = if self.flaw == Flaw::Lopsided { 0.1 } else { 0.0 };
        lead + (1.0 - lead) / (1.0 + 10_f64.powf((mean(1) - mean(0)) / 400.0))
    }
}

impl RatingEngine for Elo {
    fn digest(&self) -> Digest {
        Digest([0; 32])
    }

    fn parameters(&self) -> &str {
        "{}"
    }

    fn initial(&self) -> Result<(Rating, f64), PluginFault> {
        Ok((Rating { mean: 1500.0, uncertainty: 100.0, memory: Vec::new() }, 1500.0))
    }

    fn rate(&self, _memory: &[u8], contest: &Contest) -> Result<Update, PluginFault> {
        if contest.places.len() != 2 {
            return Err(PluginFault::Declined { detail: "unsupported-shape" });
        }
        let won = match contest.places[..] {
            [0, 0] => 0.5,
            [0, _] => 1.0,
            _ => 0.0,
        };
        let gap = (contest.entrants[0].rating.mean - contest.entrants[3 % contest.entrants.len()].rating.mean).abs();
        if self.flaw == Flaw::FarApart && gap > 1e5 {
            return Err(PluginFault::BadOutput { place: "rate", problem: "no rating: mean NaN".to_owned() });
        }
        let step = 32.0 * (won - self.expected(&contest.entrants));
        let ratings = contest.entrants.iter().enumerate().map(|(index, entrant)| {
            let sign = if entrant.team == 0 { 1.0 } else { -1.0 };
            let extra = match self.flaw {
                Flaw::Counts => f64::from(self.calls.fetch_add(1, Ordering::Relaxed)) * 1e-12,
                Flaw::FirstPlayer if index == 0 => 1.0,
                Flaw::Winner => -2.0 * sign * step,
                Flaw::KillsDecide if entrant.stats.first().is_some_and(|kills| kills.value > 20.0) => 40.0,
                _ => 0.0,
            };
            Rating { mean: entrant.rating.mean + sign * step * contest.trust + extra, ..entrant.rating.clone() }
        });
        let ratings: Vec<_> = ratings.collect();
        let visible = ratings.iter().map(|rating| rating.mean).collect();
        Ok(Update { ratings, visible, memory: Vec::new() })
    }

    fn soften(&self, rating: &Rating, keep: f64) -> Result<(Rating, f64), PluginFault> {
        let keep = if self.flaw == Flaw::SoftensAtOne { 0.9 * keep } else { keep };
        let (mean, uncertainty) = (1500.0 + keep * (rating.mean - 1500.0), 100.0 + keep * (rating.uncertainty - 100.0));
        Ok((Rating { mean, uncertainty, memory: Vec::new() }, mean))
    }

    fn predict(&self, _memory: &[u8], line_up: &[Entrant], _at: &Setting) -> Result<Vec<f64>, PluginFault> {
        if line_up.iter().any(|entrant| entrant.team > 1) {
            return Err(PluginFault::Declined { detail: "unsupported-shape" });
        }
        Ok(vec![self.expected(line_up)])
    }

    fn bulk(&self) -> Option<&dyn BulkRatingEngine> {
        Some(self)
    }
}

/// Rates one by one, except that the flawed one takes the first contest of every call twice.
impl BulkRatingEngine for Elo {
    fn rate_many(&self, memory: &[u8], mut cohort: Cohort, journal: &Journal, _traced: bool) -> Result<Outcome, PluginFault> {
        let mut outcome = Outcome { memory: memory.to_vec(), ..Outcome::default() };
        for number in 0..journal.len() {
            let contest = journal.contest(number, &cohort);
            outcome.predicted.extend(self.predict(&[], &contest.entrants, &contest.setting)?);
            let mut ratings = self.rate(&[], &contest)?.ratings;
            if number == 0 && self.flaw == Flaw::ForgetsBetweenCalls {
                ratings[0].mean += 1e-12 * ratings[0].mean;
            }
            for (&player, rating) in journal.players(number).iter().zip(&ratings) {
                let contests = cohort.played(player).0 + 1;
                cohort.set(player, (rating.mean, rating.uncertainty), contests, contest.setting.at_s, &[]);
                outcome.trace.mean.push(rating.mean);
                outcome.trace.uncertainty.push(rating.uncertainty);
                outcome.trace.visible.push(rating.mean);
            }
        }
        outcome.cohort = cohort;
        Ok(outcome)
    }

    fn predict_many(&self, _memory: &[u8], _cohort: &Cohort, _line_ups: &Journal) -> Result<Vec<f64>, PluginFault> {
        Ok(Vec::new())
    }

    fn visible_many(&self, cohort: &Cohort) -> Result<Vec<f64>, PluginFault> {
        Ok(cohort.means().to_vec())
    }
}

/// All checks of a rating engine.
fn rating_checks(flaw: Flaw) -> (QueueShape, Vec<Check>) {
    let (shape, engine, again) = (shape(), Elo::new(flaw), Elo::new(flaw));
    let samples = play(&engine, &shape, &mut Chance::new(1, "pairs")).unwrap();
    let (initial, _) = engine.initial().unwrap();
    let trials = [rating::Trial { shape: &shape, engine: &engine, again: &again, initial, samples }];
    let checks = vec![
        rating::determinism(&trials),
        rating::order(&trials, 1),
        rating::harsh(&trials),
        rating::winner(&trials),
        rating::prediction(&trials),
        rating::season(&trials),
        bulk::bulk(&trials, 1),
    ];
    (shape, checks)
}

fn failed(checks: &[Check]) -> Vec<&'static str> {
    checks.iter().filter(|check| check.is_failed()).map(|check| check.name).collect()
}

#[test]
fn each_flaw_of_a_rating_engine_is_found_by_its_check() {
    let table = [
        (Flaw::None, vec![]),
        (Flaw::FirstPlayer, vec!["order", "winner"]),
        (Flaw::FarApart, vec!["finite"]),
        (Flaw::Winner, vec!["winner"]),
        (Flaw::Lopsided, vec!["prediction"]),
        (Flaw::ForgetsBetweenCalls, vec!["bulk"]),
        (Flaw::SoftensAtOne, vec!["season"]),
    ];
    for (flaw, expected) in table {
        assert_eq!(failed(&rating_checks(flaw).1), expected, "{flaw:?}");
    }
    assert!(failed(&rating_checks(Flaw::Counts).1).contains(&"determinism"));
}

#[test]
fn a_winner_who_falls_by_statistics_alone_is_a_warning() {
    let (_, checks) = rating_checks(Flaw::KillsDecide);
    let winner = checks.iter().find(|check| check.name == "winner").unwrap();
    let CheckVerdict::Warning { problem, .. } = &winner.verdict else { panic!("{winner:?}") };
    assert!(problem.starts_with("by statistics, p"), "{problem}");
}

/// An example is as small as the flaw allows, and can be run as a case.
#[test]
fn an_example_is_small_and_a_case_that_runs() {
    let (shape, checks) = rating_checks(Flaw::Winner);
    let failing = checks.iter().find(|check| check.name == "winner").unwrap();
    let CheckVerdict::Failed { example, problem, .. } = &failing.verdict else { panic!("{failing:?}") };
    let file: CaseFile = toml::from_str(example).unwrap_or_else(|error| panic!("{error}\n{example}"));
    let [case] = file.rating.as_slice() else { panic!("{example}") };
    assert_eq!(case.start.len(), 2, "one player a team shows it: {example}");
    assert!(problem.contains("falls from 1500 to") || problem.contains("rises from 1500 to"), "{problem}");
    let ends = file.run(&shape, &Tested::Rating(&Elo::new(Flaw::Winner)));
    assert!(ends.iter().all(super::super::cases::CaseEnd::passed), "nothing is expected yet: {ends:?}");
}

/// Rules that cap kills, perhaps flawed.
struct Caps {
    flaw: RulesFlaw,
    bounds: Vec<DeclaredBound>,
    calls: AtomicU32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RulesFlaw {
    None,
    Counts,
    Creeps,
    NotANumber,
    Rejects,
}

impl Caps {
    fn new(flaw: RulesFlaw) -> Self {
        let bound = Bound::new(0.0, 60.0).unwrap();
        Self { flaw, bounds: vec![DeclaredBound { stat: 0, total: false, bound }], calls: AtomicU32::new(0) }
    }
}

impl StatRules for Caps {
    fn digest(&self) -> Digest {
        Digest([0; 32])
    }

    fn bounds(&self) -> &[DeclaredBound] {
        &self.bounds
    }

    fn review(&self, claim: &Claim) -> Result<Verdict, PluginFault> {
        let mut verdict = Verdict::default();
        for (index, line) in (0..).zip(&claim.lines) {
            if line.value.is_nan() && self.flaw == RulesFlaw::NotANumber {
                return Err(PluginFault::BadOutput { place: "review", problem: "clamps to NaN".to_owned() });
            }
            let kills = line.player != u16::MAX && line.stat == 0;
            match self.flaw {
                RulesFlaw::Creeps if kills && line.value > 1.0 => verdict.clamps.push(Clamp { line: index, to: line.value - 1.0 }),
                _ if kills && line.value > 60.0 => verdict.clamps.push(Clamp { line: index, to: 60.0 }),
                _ => {}
            }
        }
        let calls = self.calls.fetch_add(1, Ordering::Relaxed);
        if self.flaw == RulesFlaw::Rejects || (self.flaw == RulesFlaw::Counts && calls % 2 == 1) {
            verdict.findings.push(Finding::Reject(Reason::new("never", "")));
        }
        Ok(verdict)
    }
}

#[test]
fn each_flaw_of_stat_rules_is_found_by_its_check() {
    let table: [(RulesFlaw, &[&str]); 4] = [
        (RulesFlaw::None, &[]),
        (RulesFlaw::Creeps, &["clamps"]),
        (RulesFlaw::NotANumber, &["claims"]),
        (RulesFlaw::Counts, &["determinism"]),
    ];
    for (flaw, expected) in table {
        let checks = rules_checks(flaw);
        assert_eq!(failed(&checks), expected, "{flaw:?}");
    }
    let warned = rules_checks(RulesFlaw::Rejects).into_iter().find(|check| check.name == "honest").unwrap();
    assert!(matches!(warned.verdict, CheckVerdict::Warning { .. }), "{warned:?}");
}

fn rules_checks(flaw: RulesFlaw) -> Vec<Check> {
    let (shape, caps, again) = (shape(), Caps::new(flaw), Caps::new(flaw));
    let trials = [rules::Trial::new(&shape, &caps, &again, 1)];
    vec![rules::answers(&trials), rules::sound(&trials), rules::clamps(&trials), rules::determinism(&trials)]
}

/// A policy for duels that pairs neighbors of the list, perhaps flawed.
struct Pairs {
    flaw: PolicyFlaw,
    calls: AtomicU32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PolicyFlaw {
    None,
    MeetsApart,
    Remembers,
    NeedsOrder,
    Idle,
}

impl MatchmakingPolicy for Pairs {
    fn digest(&self) -> Digest {
        Digest([0; 32])
    }

    fn propose(&self, pool: &Pool) -> Result<Proposals, PluginFault> {
        let calls = self.calls.fetch_add(1, Ordering::Relaxed);
        let mut proposals = Proposals { limit: vec![1; pool.tickets()], ..Proposals::default() };
        let mut slots = pool.slots[0];
        let may_meet = |one: usize, other: usize| {
            let of_pair =
                |pair: &[u32]| [pair[0] as usize, pair[1] as usize] == [one, other] || [pair[1] as usize, pair[0] as usize] == [one, other];
            let reach = pool.reach[one].min(pool.reach[other]);
            (pool.mean[one] - pool.mean[other]).abs() <= reach
                && [one, other].iter().all(|&ticket| {
                    let latency = pool.latency_ms[ticket];
                    pool.regions[ticket] & 1 == 1 && (latency == u16::MAX || latency <= pool.latency_max_ms[ticket])
                })
                && (self.flaw == PolicyFlaw::MeetsApart || !pool.apart.chunks_exact(2).any(of_pair))
        };
        let single = |ticket: usize| pool.members(ticket).len() == 1;
        let sorted = pool.waited_ms.is_sorted();
        let mut free: Vec<usize> = (0..pool.tickets()).filter(|&ticket| single(ticket)).collect();
        // Parties shift the columns per player; a policy for duels has none of them.
        if free.len() < pool.tickets() || self.flaw == PolicyFlaw::Idle {
            free.clear();
        }
        while let Some(one) = free.pop() {
            let Some(position) = free.iter().rposition(|&other| may_meet(one, other)) else { continue };
            if slots == 0 {
                break;
            }
            slots -= 1;
            let other = if self.flaw == PolicyFlaw::NeedsOrder && !sorted { one } else { free.remove(position) };
            for ticket in [one, other] {
                proposals.ticket.push(u32::try_from(ticket).unwrap());
                proposals.team_end.push(u32::try_from(proposals.ticket.len()).unwrap());
            }
            proposals.match_end.push(u32::try_from(proposals.team_end.len()).unwrap());
            proposals.region.push(0);
            let memory = if self.flaw == PolicyFlaw::Remembers { f64::from(calls) } else { 0.0 };
            proposals.quality.push(1.0 / (1.0 + memory));
            proposals.backfill.push(NEW_MATCH);
        }
        Ok(proposals)
    }
}

fn policy_checks(flaw: PolicyFlaw) -> Vec<Check> {
    let shape = QueueShape { team_sizes: vec![1, 1], ..shape() };
    let (pairs, again) = (Pairs { flaw, calls: AtomicU32::new(0) }, Pairs { flaw, calls: AtomicU32::new(0) });
    let trials = [policy::Trial::new(&shape, &pairs, &again, 1)];
    vec![policy::proposals(&trials), policy::matches(&trials), policy::determinism(&trials), policy::order(&trials, 1)]
}

#[test]
fn each_flaw_of_a_policy_is_found_by_its_check() {
    for (flaw, expected) in [(PolicyFlaw::None, vec![]), (PolicyFlaw::MeetsApart, vec!["proposals", "order"])] {
        assert_eq!(failed(&policy_checks(flaw)), expected, "{flaw:?}");
    }
    assert!(failed(&policy_checks(PolicyFlaw::Remembers)).contains(&"determinism"));
    assert!(failed(&policy_checks(PolicyFlaw::NeedsOrder)).contains(&"order"));
    let idle = policy_checks(PolicyFlaw::Idle).into_iter().find(|check| check.name == "matches").unwrap();
    assert!(matches!(idle.verdict, CheckVerdict::Warning { .. }), "{idle:?}");
}

#[test]
fn a_failing_pool_is_made_small() {
    let proposals = policy_checks(PolicyFlaw::MeetsApart).swap_remove(0);
    let CheckVerdict::Failed { example, .. } = &proposals.verdict else { panic!("{proposals:?}") };
    let file: CaseFile = toml::from_str(example).unwrap_or_else(|error| panic!("{error}\n{example}"));
    // Not always two: this policy pairs neighbors of the list, so that leaving one out changes who meets whom.
    assert!(file.policy[0].tickets.len() <= 10 && !file.policy[0].apart.is_empty(), "{example}");
}
