//! A policy on recorded ticks: whom it would have matched, how well, and which rules it would have broken.
//!
//! Each tick is tried by itself. Who is matched in one tick waits again in the next, because in the record they did: the figures are those of
//! single decisions and no simulation of a day.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use ladder::pool::{CheckedProposal, MatchmakingPolicy, PolicyFault, Pool, check};
use ladder::queue::QueueShape;

/// What came of one policy.
#[derive(Clone, Debug, Default)]
pub struct Tried {
    /// Ticks that it was asked about.
    pub ticks: u64,
    /// Matches that keep every rule.
    pub matches: u64,
    /// Players in them.
    pub players: u64,
    /// Players in them: milliseconds waited.
    pub waited_ms: Distribution,
    /// Matches: 0 to 1, as the policy rates them.
    pub quality: Distribution,
    /// Matches: the largest difference of the means of two teams.
    pub between_teams: Distribution,
    /// Matches: the difference of the best and the worst player.
    pub within: Distribution,
    /// Ticks: milliseconds that the policy took.
    pub took_ms: Distribution,
    /// Proposals that would have been dropped, by the rule that they break.
    pub violations: BTreeMap<&'static str, u64>,
    /// Ticks without an answer, by the fault's code.
    pub faults: BTreeMap<&'static str, u64>,
}

/// Numbers of which the middle and the tail are wanted.
#[derive(Clone, Debug, Default)]
pub struct Distribution(Vec<f64>);

impl Distribution {
    /// Adds one.
    pub fn add(&mut self, number: f64) {
        self.0.push(number);
    }

    /// `None`: there are none.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (!self.0.is_empty()).then(|| self.0.iter().sum::<f64>() / self.0.len() as f64)
    }

    /// The smallest number that this share, 0 to 1, does not exceed; `None`: there are none.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let rank = (share * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).copied()
    }
}

impl Tried {
    /// Asks the policy about one tick.
    pub fn ask(&mut self, policy: &dyn MatchmakingPolicy, shape: &QueueShape, pool: &Pool) {
        self.ticks += 1;
        let began = Instant::now();
        let answer = policy.propose(pool);
        self.took_ms.add(milliseconds(began.elapsed()));
        let proposals = match answer {
            Ok(proposals) => proposals,
            Err(fault) => {
                *self.faults.entry(fault.code()).or_default() += 1;
                return;
            }
        };
        let checked = check(shape, pool, &proposals);
        for fault in &checked.faults {
            *self.violations.entry(rule(fault)).or_default() += 1;
        }
        for proposal in &checked.proposals {
            self.take(pool, proposal);
        }
    }

    fn take(&mut self, pool: &Pool, proposal: &CheckedProposal) {
        self.matches += 1;
        self.quality.add(proposal.quality());
        let means = |tickets: &[usize]| -> Vec<f64> {
            tickets.iter().flat_map(|&ticket| pool.mean[pool.members(ticket)].iter().copied()).collect()
        };
        let teams: Vec<Vec<f64>> = proposal.teams().iter().map(|team| means(team)).collect();
        self.players += teams.iter().map(Vec::len).sum::<usize>() as u64;
        self.between_teams.add(spread(teams.iter().map(|team| team.iter().sum::<f64>() / team.len().max(1) as f64)));
        self.within.add(spread(teams.iter().flatten().copied()));
        for &ticket in proposal.teams().iter().flatten() {
            let members: Range<usize> = pool.members(ticket);
            members.for_each(|_| self.waited_ms.add(f64::from(pool.waited_ms[ticket])));
        }
    }
}

fn milliseconds(took: Duration) -> f64 {
    took.as_secs_f64() * 1e3
}

fn spread(numbers: impl Iterator<Item = f64>) -> f64 {
    let (least, most) = numbers.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), number| (least.min(number), most.max(number)));
    if least <= most { most - least } else { 0.0 }
}

/// The rule that a proposal breaks, in kebab-case.
fn rule(fault: &PolicyFault) -> &'static str {
    match fault {
        PolicyFault::Malformed => "malformed",
        PolicyFault::NotWaiting { .. } => "not-waiting",
        PolicyFault::UsedTwice { .. } => "used-twice",
        PolicyFault::Shape => "shape",
        PolicyFault::Region { .. } => "region",
        PolicyFault::Slots { .. } => "slots",
        PolicyFault::Latency { .. } => "latency",
        PolicyFault::Apart => "apart",
        PolicyFault::Reach { .. } => "reach",
        PolicyFault::Backfill { .. } => "backfill",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use ladder::fault::PluginFault;
    use ladder::id::Digest;
    use ladder::pool::{NEW_MATCH, Proposals};

    use super::*;

    struct Scripted(Result<Proposals, PluginFault>);

    impl MatchmakingPolicy for Scripted {
        fn digest(&self) -> Digest {
            Digest([0; 32])
        }
        fn propose(&self, _: &Pool) -> Result<Proposals, PluginFault> {
            self.0.clone()
        }
    }

    #[test]
    fn matches_violations_and_faults_are_counted_apart() {
        let regions = vec!["eu".to_owned()];
        let shape = QueueShape { queue: "duo".to_owned(), teams: 2, team_sizes: vec![2], regions, ..QueueShape::default() };
        let pool = Pool {
            waited_ms: vec![1_000, 9_000, 5_000],
            // A party of two, and two alone.
            member_end: vec![2, 3, 4],
            regions: vec![1; 3],
            mean: vec![20.0, 30.0, 22.0, 24.0],
            uncertainty: vec![1.0; 4],
            contests: vec![0; 4],
            roles: vec![0; 4],
            latency_ms: vec![20; 4],
            reach: vec![f64::MAX; 3],
            latency_max_ms: vec![100; 3],
            slots: vec![3],
            ..Pool::default()
        };
        let proposals = Proposals {
            ticket: vec![0, 1, 2, 0, 1, 2],
            team_end: vec![1, 3, 4, 6],
            match_end: vec![2, 4],
            region: vec![0; 2],
            quality: vec![0.75; 2],
            backfill: vec![NEW_MATCH; 2],
            ..Proposals::default()
        };
        let mut tried = Tried::default();
        tried.ask(&Scripted(Ok(proposals)), &shape, &pool);
        tried.ask(&Scripted(Err(PluginFault::Deadline { deadline_ms_max: 1 })), &shape, &pool);
        assert_eq!((tried.ticks, tried.matches, tried.players), (2, 1, 4));
        assert_eq!((tried.between_teams.mean(), tried.within.mean(), tried.quality.mean()), (Some(2.0), Some(10.0), Some(0.75)));
        assert_eq!((tried.waited_ms.quantile(0.5), tried.waited_ms.quantile(0.95)), (Some(1_000.0), Some(9_000.0)));
        assert_eq!(tried.violations.iter().collect::<Vec<_>>(), [(&"used-twice", &1)]);
        assert_eq!(tried.faults.iter().collect::<Vec<_>>(), [(&"deadline", &1)]);
        assert!(tried.took_ms.mean().is_some() && Distribution::default().quantile(0.5).is_none());
    }
}
