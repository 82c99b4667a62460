//! Cases of matchmaking policies: who waits, and who should meet.
//!
//! ```toml
//! [[policy]]
//! name = "the two who are near each other meet"
//! tickets = [                                     # one entry per queue ticket: a party of one or more
//!     { players = [{ mean = 25.0 }], waited_s = 30 },
//!     { players = [{ mean = 26.0, uncertainty = 2.0, contests = 40, latency_ms = { eu = 20 } }] },
//!     { players = [{ mean = 90.0 }], regions = ["eu"], reach = 5.0, latency_max_ms = 80 },
//! ]
//! slots = { eu = 4 }                              # free game server slots; 100 in each region if nothing is said
//! apart = [[0, 2]]                                # must not meet; `rather_not = [[0, 2, 100]]` with a weight of 1 to 254
//! matches = 1                                     # how many are proposed
//! together = [[0, 1]]                             # each group stands in one match
//! separate = [[0, 2]]                             # no two of a group stand in one match
//! waiting = { 2 = "skill" }                       # what the ticket is told, in the words of the contract
//! quality_min = 0.5                               # of every match
//! ```
//! Whatever a case expects, every proposal has to keep the rules of the pool; one that breaks a rule fails the case.

use std::collections::BTreeMap;

use ladder::pool::{Checked, LATENCY_UNKNOWN, Limit, MUST_NOT_MEET, MatchmakingPolicy, Pool, Proposals, check};
use ladder::queue::QueueShape;

use super::compare::{Comparison, Mismatch};
use super::{CaseProblem, index_of};

/// Slots of a region of which a case says nothing.
const SLOTS_DEFAULT: u32 = 100;
/// A day in late 2023, in Unix milliseconds: the time of a tick of which a case says nothing.
const NOW_MS_DEFAULT: u64 = 1_700_000_000_000;

/// One case.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyCase {
    /// What it shows, as a sentence.
    pub name: String,
    /// The seed of the tick.
    pub seed: u64,
    /// How many matches are expected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matches: Option<usize>,
    /// Least quality of every match, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quality_min: Option<f64>,
    /// Pairs of tickets that must not meet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub apart: Vec<[u32; 2]>,
    /// Pairs of tickets that had rather not meet, and the weight, 1 to 254.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rather_not: Vec<(u32, u32, u8)>,
    /// Groups of tickets that stand in one match each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub together: Vec<Vec<u32>>,
    /// Groups of tickets of which no two stand in one match.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub separate: Vec<Vec<u32>>,
    /// Who waits.
    pub tickets: Vec<QueueTicketCase>,
    /// Free game server slots by region.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub slots: BTreeMap<String, u32>,
    /// By ticket: what keeps it waiting.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub waiting: BTreeMap<String, String>,
}

/// One queue ticket.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueueTicketCase {
    /// Seconds waited.
    pub waited_s: f64,
    /// Regions accepted; all if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regions: Option<Vec<String>>,
    /// Widest difference in mean; without limit if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reach: Option<f64>,
    /// Longest round trip in milliseconds; without limit if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_max_ms: Option<u16>,
    /// The party, one or more.
    pub players: Vec<TicketPlayer>,
}

/// One player of a queue ticket.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TicketPlayer {
    /// Expected skill.
    pub mean: f64,
    /// Standard deviation of the belief; 1 if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uncertainty: Option<f64>,
    /// Contests rated.
    pub contests: u32,
    /// Roles accepted; all if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roles: Option<Vec<String>>,
    /// Round trips by region; unknown where nothing is said.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub latency_ms: BTreeMap<String, u16>,
}

impl PolicyCase {
    /// Has the pool matched and compares.
    ///
    /// # Errors
    /// The case cannot be read, or the policy broke its contract.
    pub fn run(&self, shape: &QueueShape, policy: &dyn MatchmakingPolicy) -> Result<Vec<Mismatch>, CaseProblem> {
        let pool = self.pool(shape)?;
        let proposals = policy.propose(&pool)?;
        let Checked { proposals: good, faults } = check(shape, &pool, &proposals);
        let mut comparison = Comparison::default();
        for fault in &faults {
            comparison.differs("proposals", "every one keeps the rules", fault.to_string());
        }
        if let Some(matches) = self.matches {
            comparison.equal("matches", &matches, &good.len());
        }
        let mut match_of = vec![None; pool.tickets()];
        for (number, proposal) in good.iter().enumerate() {
            proposal.teams().iter().flatten().for_each(|&ticket| match_of[ticket] = Some(number));
            if let Some(least) = self.quality_min.filter(|least| proposal.quality() < *least) {
                comparison.differs(&format!("quality of match {number}"), format!("{least} or more"), proposal.quality().to_string());
            }
        }
        self.compare_groups(&match_of, &mut comparison)?;
        self.compare_waiting(&proposals, &mut comparison)?;
        Ok(comparison.mismatches)
    }

    fn compare_groups(&self, match_of: &[Option<usize>], comparison: &mut Comparison) -> Result<(), CaseProblem> {
        let of = |ticket: u32, place: &str| {
            let found = match_of.get(ticket as usize).copied();
            found.ok_or_else(|| CaseProblem::unusable(place, format!("there is no ticket {ticket}")))
        };
        for group in &self.together {
            let matches = group.iter().map(|&ticket| of(ticket, "together")).collect::<Result<Vec<_>, _>>()?;
            if matches.first().copied().flatten().is_none() || matches.iter().any(|number| *number != matches[0]) {
                comparison.differs("together", format!("{group:?} in one match"), shown_matches(group, &matches));
            }
        }
        for group in &self.separate {
            let matches = group.iter().map(|&ticket| of(ticket, "separate")).collect::<Result<Vec<_>, _>>()?;
            let meet = |(index, number): (usize, &Option<usize>)| number.is_some() && matches[..index].contains(number);
            if matches.iter().enumerate().any(meet) {
                comparison.differs("separate", format!("no two of {group:?} in one match"), shown_matches(group, &matches));
            }
        }
        Ok(())
    }

    fn compare_waiting(&self, proposals: &Proposals, comparison: &mut Comparison) -> Result<(), CaseProblem> {
        for (ticket, word) in &self.waiting {
            let place = format!("waiting.{ticket}");
            let limit = ticket.parse().ok().and_then(|ticket: usize| proposals.limit.get(ticket).copied());
            let Some(limit) = limit else { return Err(CaseProblem::unusable(place, "there is no such ticket")) };
            let got = Limit::from_number(limit).map_or("unknown", Limit::name);
            comparison.equal(&place, &word.as_str(), &got);
        }
        Ok(())
    }

    fn pool(&self, shape: &QueueShape) -> Result<Pool, CaseProblem> {
        let mut pool = Pool { now_ms: NOW_MS_DEFAULT, seed: self.seed, ..Pool::default() };
        for (index, ticket) in self.tickets.iter().enumerate() {
            ticket.enter(shape, &mut pool, &format!("tickets[{index}]"))?;
        }
        for name in self.slots.keys() {
            index_of(&shape.regions, name, "slots")?;
        }
        pool.slots = shape.regions.iter().map(|region| self.slots.get(region).copied().unwrap_or(SLOTS_DEFAULT)).collect();
        let pairs = self.apart.iter().map(|&[a, b]| (a, b, MUST_NOT_MEET)).chain(self.rather_not.iter().copied());
        for (a, b, weight) in pairs {
            if a.max(b) as usize >= self.tickets.len() || a == b || weight == 0 {
                return Err(CaseProblem::unusable("apart", format!("{a} and {b} are no two tickets, or the weight is 0")));
            }
            pool.apart.extend([a, b]);
            pool.apart_weight.push(weight);
        }
        Ok(pool)
    }

    /// A pool as a case that has it matched again: what `ranked plugin check` shows of a failure.
    #[must_use]
    pub fn of(name: &str, shape: &QueueShape, pool: &Pool) -> Self {
        let mut case = Self { name: name.to_owned(), seed: pool.seed, ..Self::default() };
        case.tickets = (0..pool.tickets()).map(|ticket| QueueTicketCase::of(shape, pool, ticket)).collect();
        case.slots = shape.regions.iter().cloned().zip(pool.slots.iter().copied()).collect();
        for (pair, &weight) in pool.apart.chunks_exact(2).zip(&pool.apart_weight) {
            match weight {
                MUST_NOT_MEET => case.apart.push([pair[0], pair[1]]),
                weight => case.rather_not.push((pair[0], pair[1], weight)),
            }
        }
        case
    }
}

impl QueueTicketCase {
    fn enter(&self, shape: &QueueShape, pool: &mut Pool, place: &str) -> Result<(), CaseProblem> {
        if self.players.is_empty() {
            return Err(CaseProblem::unusable(place, "a queue ticket of nobody"));
        }
        for player in &self.players {
            player.enter(shape, pool, place)?;
        }
        pool.member_end.push(u32::try_from(pool.mean.len()).unwrap_or(u32::MAX));
        pool.waited_ms.push((self.waited_s * 1e3).clamp(0.0, f64::from(u32::MAX)) as u32);
        pool.regions.push(mask(self.regions.as_deref(), &shape.regions, place)?);
        pool.reach.push(self.reach.unwrap_or(f64::MAX));
        pool.latency_max_ms.push(self.latency_max_ms.unwrap_or(u16::MAX));
        Ok(())
    }

    fn of(shape: &QueueShape, pool: &Pool, ticket: usize) -> Self {
        let named = |mask: u64, names: &[String]| {
            let set = |&(bit, _): &(usize, &String)| bit < 64 && mask >> bit & 1 == 1;
            names.iter().enumerate().filter(set).map(|(_, name)| name.clone()).collect::<Vec<_>>()
        };
        let player = |player: usize| {
            let row = pool.latency_ms.iter().skip(player * shape.regions.len());
            TicketPlayer {
                mean: pool.mean[player],
                uncertainty: Some(pool.uncertainty[player]),
                contests: pool.contests[player],
                roles: (!shape.roles.is_empty()).then(|| named(u64::from(pool.roles[player]), &shape.roles)),
                latency_ms: shape.regions.iter().cloned().zip(row.copied()).filter(|(_, ms)| *ms != LATENCY_UNKNOWN).collect(),
            }
        };
        Self {
            waited_s: f64::from(pool.waited_ms[ticket]) / 1e3,
            regions: Some(named(pool.regions[ticket], &shape.regions)),
            reach: (pool.reach[ticket] != f64::MAX).then(|| pool.reach[ticket]),
            latency_max_ms: Some(pool.latency_max_ms[ticket]),
            players: pool.members(ticket).map(player).collect(),
        }
    }
}

impl TicketPlayer {
    fn enter(&self, shape: &QueueShape, pool: &mut Pool, place: &str) -> Result<(), CaseProblem> {
        for name in self.latency_ms.keys() {
            index_of(&shape.regions, name, &format!("{place}.latency_ms"))?;
        }
        let roles = mask(self.roles.as_deref(), &shape.roles, place)?;
        pool.mean.push(self.mean);
        pool.uncertainty.push(self.uncertainty.unwrap_or(1.0));
        pool.contests.push(self.contests);
        pool.roles.push(u32::try_from(roles).unwrap_or(u32::MAX));
        pool.latency_ms.extend(shape.regions.iter().map(|region| self.latency_ms.get(region).copied().unwrap_or(LATENCY_UNKNOWN)));
        Ok(())
    }
}

/// Bits of the names listed; all of them if nothing is listed.
fn mask(listed: Option<&[String]>, names: &[String], place: &str) -> Result<u64, CaseProblem> {
    let Some(listed) = listed else { return Ok((0..names.len().min(64)).fold(0, |mask, bit| mask | 1 << bit)) };
    let bit = |name: &String| index_of(names, name, place).map(|index| 1_u64.checked_shl(u32::from(index)).unwrap_or(0));
    listed.iter().try_fold(0, |mask, name| Ok(mask | bit(name)?))
}

fn shown_matches(group: &[u32], matches: &[Option<usize>]) -> String {
    let one = |(ticket, number): (&u32, &Option<usize>)| match number {
        Some(number) => format!("{ticket} in match {number}"),
        None => format!("{ticket} waits"),
    };
    group.iter().zip(matches).map(one).collect::<Vec<_>>().join(", ")
}
