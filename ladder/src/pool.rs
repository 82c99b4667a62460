//! The pool that one tick looks at, what a policy proposes, and the check that turns proposals into facts.
//!
//! Both cross the sandbox in columns; the names and the order of the fields are those of the plugin contract (`wit/`).

use alloc::vec;
use alloc::vec::Vec;

use crate::fault::PluginFault;
use crate::id::Digest;
use crate::queue::QueueShape;

/// A round trip that nobody measured.
pub const LATENCY_UNKNOWN: u16 = u16::MAX;
/// `Proposals::backfill` of a match that is new.
pub const NEW_MATCH: u32 = u32::MAX;
/// `Pool::apart_weight` of two queue tickets that must not meet.
pub const MUST_NOT_MEET: u8 = 255;

/// Who waits, in columns. One entry per queue ticket, then one entry per player, as marked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pool {
    /// Host clock, Unix milliseconds.
    pub now_ms: u64,
    /// The only source of chance.
    pub seed: u64,
    /// Per queue ticket: milliseconds waited.
    pub waited_ms: Vec<u32>,
    /// Per queue ticket: end of its players in the columns per player.
    pub member_end: Vec<u32>,
    /// Per queue ticket: bit r set, may play in region r.
    pub regions: Vec<u64>,
    /// Per player: expected skill.
    pub mean: Vec<f64>,
    /// Per player: standard deviation of the belief.
    pub uncertainty: Vec<f64>,
    /// Per player: contests rated.
    pub contests: Vec<u32>,
    /// Per player: bit r set, will play role r.
    pub roles: Vec<u32>,
    /// Per player and region, row by row: round trip in milliseconds, [`LATENCY_UNKNOWN`] if not measured.
    pub latency_ms: Vec<u16>,
    /// Pairs of queue tickets, as indices.
    pub apart: Vec<u32>,
    /// Per pair: [`MUST_NOT_MEET`], or 1 to 254 for rather not.
    pub apart_weight: Vec<u8>,
    /// Per queue ticket: widest difference in mean to any other queue ticket of the match.
    pub reach: Vec<f64>,
    /// Per queue ticket: longest round trip.
    pub latency_max_ms: Vec<u16>,
    /// Per region: game server slots free.
    pub slots: Vec<u32>,
    /// Matches that want more players: sizes missing per team.
    pub backfill_missing: Vec<u16>,
    /// Their region.
    pub backfill_region: Vec<u16>,
    /// Their mean skill.
    pub backfill_mean: Vec<f64>,
}

impl Pool {
    /// Queue tickets in the pool.
    #[must_use]
    pub fn tickets(&self) -> usize {
        self.member_end.len()
    }

    /// The players of queue ticket `ticket`, as a range of the columns per player.
    #[must_use]
    pub fn members(&self, ticket: usize) -> core::ops::Range<usize> {
        let end = |index: usize| self.member_end.get(index).map_or(0, |&end| end as usize);
        let start = if ticket == 0 { 0 } else { end(ticket - 1) };
        start..end(ticket)
    }

    /// Mean skill of a queue ticket: the plain average of its members, summed in order.
    #[must_use]
    pub fn ticket_mean(&self, ticket: usize) -> f64 {
        let members = self.members(ticket);
        let count = members.len().max(1);
        self.mean[members].iter().sum::<f64>() / count as f64
    }
}

/// What keeps a queue ticket waiting, as the policy sees it. The number crosses the sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Limit {
    /// It was matched.
    Matched = 0,
    /// Too few players wait.
    Players = 1,
    /// Nobody close enough in skill.
    Skill = 2,
    /// Nobody in the same regions.
    Region = 3,
    /// Nobody within the latency limit.
    Latency = 4,
    /// No combination of roles.
    Role = 5,
    /// No game server slot is free.
    Servers = 6,
    /// Those who are close must not meet.
    Apart = 7,
    /// It can never match.
    Impossible = 8,
}

impl Limit {
    /// The limit with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        use Limit::*;
        [Matched, Players, Skill, Region, Latency, Role, Servers, Apart, Impossible].get(usize::from(number)).copied()
    }

    /// Kebab-case name, the word that players get.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Matched => "none",
            Self::Players => "players",
            Self::Skill => "skill",
            Self::Region => "region",
            Self::Latency => "latency",
            Self::Role => "role",
            Self::Servers => "servers",
            Self::Apart => "apart",
            Self::Impossible => "impossible",
        }
    }
}

/// What a policy answers, in columns. A claim: nothing of it is used before [`check`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Proposals {
    /// Queue tickets as indices into the pool, match after match, team after team.
    pub ticket: Vec<u32>,
    /// End of each team in `ticket`.
    pub team_end: Vec<u32>,
    /// End of each match in `team_end`.
    pub match_end: Vec<u32>,
    /// Per match.
    pub region: Vec<u16>,
    /// Role of each player, in the order of queue tickets and members; empty where the queue has no roles.
    pub role: Vec<u16>,
    /// Per match, 0 to 1.
    pub quality: Vec<f64>,
    /// Per match: index into the backfill columns, or [`NEW_MATCH`].
    pub backfill: Vec<u32>,
    /// Per queue ticket of the pool: what keeps it waiting.
    pub limit: Vec<u8>,
}

/// What the ladder asks of a matchmaking policy.
pub trait MatchmakingPolicy: Send + Sync {
    /// SHA-256 of the component.
    fn digest(&self) -> Digest;
    /// Proposes matches for one pool.
    ///
    /// # Errors
    /// The plugin's fault: the queue's fallback takes over for this tick.
    fn propose(&self, pool: &Pool) -> Result<Proposals, PluginFault>;
}

/// A proposal that keeps every rule the pool shows. Only [`check`] makes one; the store checks it once more against the database.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckedProposal {
    teams: Vec<Vec<usize>>,
    region: usize,
    quality: f64,
}

impl CheckedProposal {
    /// Queue tickets per team, as indices into the pool.
    #[must_use]
    pub fn teams(&self) -> &[Vec<usize>] {
        &self.teams
    }

    /// Index into `QueueShape::regions`.
    #[must_use]
    pub fn region(&self) -> usize {
        self.region
    }

    /// 0 to 1, as the policy rates it.
    #[must_use]
    pub fn quality(&self) -> f64 {
        self.quality
    }
}

/// Which rule a proposal broke. The policy's fault: that proposal is dropped and counted, the others go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyFault {
    /// The columns contradict each other: nothing of this answer can be read.
    #[error("the columns of the answer contradict each other")]
    Malformed,
    /// An index past the end of the pool.
    #[error("queue ticket {index} is not in the pool")]
    NotWaiting {
        /// As proposed.
        index: u32,
    },
    /// One queue ticket in two places.
    #[error("queue ticket {index} is used twice")]
    UsedTwice {
        /// As proposed.
        index: u32,
    },
    /// Another number of teams, or of players in a team, than the queue has.
    #[error("the teams do not have the queue's shape")]
    Shape,
    /// An unknown region, or one that somebody does not accept.
    #[error("region {region} is not open to everybody in the match")]
    Region {
        /// As proposed.
        region: u16,
    },
    /// No game server slot is left in the region.
    #[error("no game server slot is free in region {region}")]
    Slots {
        /// As proposed.
        region: u16,
    },
    /// Somebody's round trip is over the limit.
    #[error("a round trip is over the limit of queue ticket {index}")]
    Latency {
        /// Whose limit.
        index: u32,
    },
    /// Two who must not meet.
    #[error("two queue tickets that must not meet were matched")]
    Apart,
    /// Somebody is further away in skill than a queue ticket accepts.
    #[error("the match is wider than queue ticket {index} accepts")]
    Reach {
        /// Whose reach.
        index: u32,
    },
    /// A backfill that was not offered.
    #[error("backfill {index} was not offered")]
    Backfill {
        /// As proposed.
        index: u32,
    },
}

/// The part of an answer that may be used.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checked {
    /// In the order proposed.
    pub proposals: Vec<CheckedProposal>,
    /// One per dropped proposal.
    pub faults: Vec<PolicyFault>,
}

/// Checks a policy's answer against the pool it was given: each queue ticket once, parties whole (a queue ticket is never split), team shape,
/// region with a free slot, latency, apart pairs, mutual reach. A proposal that breaks a rule is dropped and named; the others go on.
///
/// Work: linear in the answer, plus a sort of the apart pairs.
#[must_use]
pub fn check(shape: &QueueShape, pool: &Pool, proposals: &Proposals) -> Checked {
    let mut checked = Checked::default();
    if !columns_agree(proposals) {
        checked.faults.push(PolicyFault::Malformed);
        return checked;
    }
    let mut rules = Rules::new(shape, pool);
    let mut first_team = 0;
    for (index, &match_end) in proposals.match_end.iter().enumerate() {
        let teams = first_team..match_end as usize;
        first_team = match_end as usize;
        match rules.check_one(proposals, index, teams) {
            Ok(proposal) => checked.proposals.push(proposal),
            Err(fault) => checked.faults.push(fault),
        }
    }
    checked
}

/// Ends ascend and lead exactly to the end of what they cut; every match has a region, a quality and a backfill entry.
fn columns_agree(proposals: &Proposals) -> bool {
    let matches = proposals.match_end.len();
    ends_cover(&proposals.match_end, proposals.team_end.len())
        && ends_cover(&proposals.team_end, proposals.ticket.len())
        && [proposals.region.len(), proposals.quality.len(), proposals.backfill.len()].iter().all(|&len| len == matches)
}

fn ends_cover(ends: &[u32], len: usize) -> bool {
    ends.is_sorted() && ends.last().map_or(0, |&end| end as usize) == len
}

/// What was used so far, beside what the pool demands.
struct Rules<'a> {
    shape: &'a QueueShape,
    pool: &'a Pool,
    used: Vec<bool>,
    slots: Vec<u32>,
    /// Pairs that must not meet, both ways round, sorted.
    apart: Vec<(u32, u32)>,
    /// Queue tickets of the proposal at hand; kept for its allocation.
    tickets: Vec<u32>,
}

impl<'a> Rules<'a> {
    fn new(shape: &'a QueueShape, pool: &'a Pool) -> Self {
        let pairs = pool.apart.chunks_exact(2).zip(&pool.apart_weight);
        let mut apart: Vec<(u32, u32)> =
            pairs.filter(|&(_, &weight)| weight == MUST_NOT_MEET).flat_map(|(pair, _)| [(pair[0], pair[1]), (pair[1], pair[0])]).collect();
        apart.sort_unstable();
        Self { shape, pool, used: vec![false; pool.tickets()], slots: pool.slots.clone(), apart, tickets: Vec::new() }
    }

    fn check_one(&mut self, proposals: &Proposals, index: usize, teams: core::ops::Range<usize>) -> Result<CheckedProposal, PolicyFault> {
        let backfill = proposals.backfill[index];
        if backfill != NEW_MATCH {
            return Err(PolicyFault::Backfill { index: backfill });
        }
        let first = if teams.start == 0 { 0 } else { proposals.team_end[teams.start - 1] as usize };
        let last = if teams.is_empty() { first } else { proposals.team_end[teams.end - 1] as usize };
        self.tickets.clear();
        self.tickets.extend_from_slice(&proposals.ticket[first..last]);
        self.check_unused()?;
        let split = self.check_shape(proposals, teams)?;
        let region = self.check_region(proposals.region[index])?;
        self.check_apart()?;
        self.check_reach()?;
        for &ticket in &self.tickets {
            self.used[ticket as usize] = true;
        }
        self.slots[region] -= 1;
        let quality = proposals.quality[index];
        let quality = if quality.is_finite() { quality.clamp(0.0, 1.0) } else { 0.0 };
        Ok(CheckedProposal { teams: split, region, quality })
    }

    fn check_unused(&self) -> Result<(), PolicyFault> {
        for (position, &index) in self.tickets.iter().enumerate() {
            match self.used.get(index as usize) {
                None => return Err(PolicyFault::NotWaiting { index }),
                Some(true) => return Err(PolicyFault::UsedTwice { index }),
                // A match holds few queue tickets: looking back beats a set.
                Some(false) if self.tickets[..position].contains(&index) => return Err(PolicyFault::UsedTwice { index }),
                Some(false) => {}
            }
        }
        Ok(())
    }

    fn check_shape(&self, proposals: &Proposals, teams: core::ops::Range<usize>) -> Result<Vec<Vec<usize>>, PolicyFault> {
        if teams.len() != usize::from(self.shape.teams) {
            return Err(PolicyFault::Shape);
        }
        let mut split = Vec::with_capacity(teams.len());
        for (number, team) in teams.enumerate() {
            let start = if team == 0 { 0 } else { proposals.team_end[team - 1] as usize };
            let tickets = &proposals.ticket[start..proposals.team_end[team] as usize];
            let players: usize = tickets.iter().map(|&ticket| self.pool.members(ticket as usize).len()).sum();
            if players != usize::from(self.shape.team_size(number)) {
                return Err(PolicyFault::Shape);
            }
            split.push(tickets.iter().map(|&ticket| ticket as usize).collect());
        }
        Ok(split)
    }

    fn check_region(&self, region: u16) -> Result<usize, PolicyFault> {
        let index = usize::from(region);
        let regions = self.shape.regions.len();
        let open = |&ticket: &u32| self.pool.regions[ticket as usize] >> region & 1 == 1;
        if index >= regions || !self.tickets.iter().all(open) {
            return Err(PolicyFault::Region { region });
        }
        if self.slots.get(index).is_none_or(|&slots| slots == 0) {
            return Err(PolicyFault::Slots { region });
        }
        for &ticket in &self.tickets {
            let limit = self.pool.latency_max_ms[ticket as usize];
            let too_far = |player: usize| {
                let latency = self.pool.latency_ms[player * regions + index];
                latency != LATENCY_UNKNOWN && latency > limit
            };
            if self.pool.members(ticket as usize).any(too_far) {
                return Err(PolicyFault::Latency { index: ticket });
            }
        }
        Ok(index)
    }

    fn check_apart(&self) -> Result<(), PolicyFault> {
        if self.apart.is_empty() {
            return Ok(());
        }
        for (position, &first) in self.tickets.iter().enumerate() {
            for &second in &self.tickets[position + 1..] {
                if self.apart.binary_search(&(first, second)).is_ok() {
                    return Err(PolicyFault::Apart);
                }
            }
        }
        Ok(())
    }

    fn check_reach(&self) -> Result<(), PolicyFault> {
        let means = || self.tickets.iter().map(|&ticket| self.pool.ticket_mean(ticket as usize));
        let lowest = means().fold(f64::INFINITY, f64::min);
        let highest = means().fold(f64::NEG_INFINITY, f64::max);
        for (&ticket, mean) in self.tickets.iter().zip(means()) {
            let reach = self.pool.reach[ticket as usize];
            if highest - mean > reach || mean - lowest > reach {
                return Err(PolicyFault::Reach { index: ticket });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn duel() -> QueueShape {
        QueueShape { queue: "duel".to_string(), teams: 2, team_sizes: vec![1], regions: vec!["eu".to_string()], ..QueueShape::default() }
    }

    /// `count` single players, one skill point apart, one region, one slot.
    fn pool(count: u32) -> Pool {
        let n = count as usize;
        Pool {
            waited_ms: vec![0; n],
            member_end: (1..=count).collect(),
            regions: vec![1; n],
            mean: (0..count).map(f64::from).collect(),
            uncertainty: vec![1.0; n],
            contests: vec![0; n],
            roles: vec![0; n],
            latency_ms: vec![20; n],
            reach: vec![f64::MAX; n],
            latency_max_ms: vec![100; n],
            slots: vec![9],
            ..Pool::default()
        }
    }

    fn one(tickets: &[u32]) -> Proposals {
        Proposals {
            ticket: tickets.to_vec(),
            team_end: vec![1, 2],
            match_end: vec![2],
            region: vec![0],
            quality: vec![0.5],
            backfill: vec![NEW_MATCH],
            ..Proposals::default()
        }
    }

    #[test]
    fn an_honest_proposal_passes() {
        let checked = check(&duel(), &pool(2), &one(&[1, 0]));
        assert_eq!(checked.faults, []);
        assert_eq!(checked.proposals[0].teams(), [[1], [0]]);
    }

    #[test]
    fn each_broken_rule_is_named_and_the_others_go_on() {
        let mut nobody_near = pool(2);
        nobody_near.reach[1] = 0.5;
        let mut far_away = pool(2);
        far_away.latency_ms[1] = 101;
        let mut elsewhere = pool(2);
        elsewhere.regions[0] = 0;
        let mut full = pool(2);
        full.slots[0] = 0;
        let mut apart = pool(2);
        apart.apart = vec![1, 0];
        apart.apart_weight = vec![MUST_NOT_MEET];
        let mut party = pool(2);
        party.member_end = vec![2, 2];
        let table = [
            ("past the end", pool(2), one(&[0, 2]), PolicyFault::NotWaiting { index: 2 }),
            ("twice", pool(2), one(&[1, 1]), PolicyFault::UsedTwice { index: 1 }),
            ("shape", party, one(&[0, 1]), PolicyFault::Shape),
            ("region", elsewhere, one(&[0, 1]), PolicyFault::Region { region: 0 }),
            ("unknown region", pool(2), Proposals { region: vec![7], ..one(&[0, 1]) }, PolicyFault::Region { region: 7 }),
            ("slots", full, one(&[0, 1]), PolicyFault::Slots { region: 0 }),
            ("latency", far_away, one(&[0, 1]), PolicyFault::Latency { index: 1 }),
            ("apart", apart, one(&[0, 1]), PolicyFault::Apart),
            ("reach", nobody_near, one(&[0, 1]), PolicyFault::Reach { index: 1 }),
            ("backfill", pool(2), Proposals { backfill: vec![0], ..one(&[0, 1]) }, PolicyFault::Backfill { index: 0 }),
            ("columns", pool(2), Proposals { match_end: vec![3], ..one(&[0, 1]) }, PolicyFault::Malformed),
            ("no region", pool(2), Proposals { region: vec![], ..one(&[0, 1]) }, PolicyFault::Malformed),
        ];
        for (name, pool, proposals, fault) in table {
            let checked = check(&duel(), &pool, &proposals);
            assert_eq!(checked.faults, [fault], "{name}");
            assert_eq!(checked.proposals, [], "{name}");
        }
    }

    #[test]
    fn a_ticket_of_a_dropped_proposal_may_be_used_by_the_next() {
        let proposals = Proposals {
            ticket: vec![0, 0, 0, 1],
            team_end: vec![1, 2, 3, 4],
            match_end: vec![2, 4],
            region: vec![0, 0],
            quality: vec![0.5, f64::NAN],
            backfill: vec![NEW_MATCH; 2],
            ..Proposals::default()
        };
        let checked = check(&duel(), &pool(2), &proposals);
        assert_eq!(checked.faults, [PolicyFault::UsedTwice { index: 0 }]);
        assert_eq!(checked.proposals.len(), 1);
        assert_eq!(checked.proposals[0].quality(), 0.0);
    }

    #[test]
    fn the_last_slot_is_given_once() {
        let mut pool = pool(4);
        pool.slots[0] = 1;
        let proposals = Proposals {
            ticket: vec![0, 1, 2, 3],
            team_end: vec![1, 2, 3, 4],
            match_end: vec![2, 4],
            region: vec![0, 0],
            quality: vec![1.0; 2],
            backfill: vec![NEW_MATCH; 2],
            ..Proposals::default()
        };
        let checked = check(&duel(), &pool, &proposals);
        assert_eq!((checked.proposals.len(), checked.faults.as_slice()), (1, [PolicyFault::Slots { region: 0 }].as_slice()));
    }
}
