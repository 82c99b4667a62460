//! The role of a matchmaking policy: who plays whom.
//!
//! A policy is stateless. Each tick it sees the whole pool, which crosses the sandbox in columns; here it reads as tickets with
//! members. The host checks every proposal again and drops what breaks a rule.

use crate::bindings::policy::exports::ranked::plugin::matchmaking_policy as wit;
use crate::bindings::policy::ranked::plugin::forecast;
use crate::{Export, Plugin, Proposals, ProposalsBuilder};

/// A matchmaking policy of a queue.
pub trait MatchmakingPolicy: Plugin {
    /// Proposes matches among the queue tickets of `pool`.
    ///
    /// Its answer depends on the pool alone; [`Pool::seed`] is the only source of chance.
    fn propose(&self, pool: &Pool, proposals: &mut ProposalsBuilder);
}

impl<E: Export<Plugin: MatchmakingPolicy>> wit::Guest for E {
    fn propose(pool: wit::Pool) -> wit::Proposals {
        let pool = Pool::new(pool, crate::policy::Forecaster::Host);
        let mut proposals = ProposalsBuilder::new(pool.ticket_count());
        E::slot().plugin().propose(&pool, &mut proposals);
        let Proposals { ticket, team_end, match_end, region, role, quality, backfill, limit } = proposals.finish();
        wit::Proposals { ticket, team_end, match_end, region, role, quality, backfill, limit }
    }
}

/// Where forecasts come from.
pub(crate) enum Forecaster {
    /// The queue's rating engine, through the host.
    Host,
    /// Nobody: a pool made for a test. Every pair is even.
    Even,
}

/// Everybody who waits in one queue at one tick.
pub struct Pool {
    columns: wit::Pool,
    region_count: usize,
    forecaster: Forecaster,
}

impl Pool {
    /// Checks that the columns fit together.
    ///
    /// # Panics
    /// The host's fault: columns of different lengths.
    pub(crate) fn new(columns: wit::Pool, forecaster: Forecaster) -> Self {
        let tickets = columns.member_end.len();
        let players = columns.mean.len();
        let region_count = columns.slots.len();
        let lengths = [
            ("waited-ms", columns.waited_ms.len(), tickets),
            ("regions", columns.regions.len(), tickets),
            ("reach", columns.reach.len(), tickets),
            ("latency-max-ms", columns.latency_max_ms.len(), tickets),
            ("member-end", columns.member_end.last().map_or(0, |&end| end as usize), players),
            ("uncertainty", columns.uncertainty.len(), players),
            ("contests", columns.contests.len(), players),
            ("roles", columns.roles.len(), players),
            ("latency-ms", columns.latency_ms.len(), players * region_count),
            ("apart-weight", columns.apart_weight.len() * 2, columns.apart.len()),
        ];
        for (name, got, expected) in lengths {
            assert!(got == expected, "pool column {name} counts {got}, expected {expected}");
        }
        Pool { columns, region_count, forecaster }
    }

    /// Unix milliseconds of the tick.
    pub fn now_ms(&self) -> u64 {
        self.columns.now_ms
    }

    /// The only source of chance; differs from tick to tick, and is the same when the tick is repeated.
    pub fn seed(&self) -> u64 {
        self.columns.seed
    }

    /// Number of queue tickets.
    pub fn ticket_count(&self) -> usize {
        self.columns.member_end.len()
    }

    /// One queue ticket by its index.
    pub fn ticket(&self, index: usize) -> Ticket<'_> {
        let start = if index == 0 { 0 } else { self.columns.member_end[index - 1] as usize };
        Ticket { pool: self, index, start, end: self.columns.member_end[index] as usize }
    }

    /// All queue tickets.
    pub fn tickets(&self) -> impl ExactSizeIterator<Item = Ticket<'_>> {
        (0..self.ticket_count()).map(|index| self.ticket(index))
    }

    /// Number of regions.
    pub fn region_count(&self) -> usize {
        self.region_count
    }

    /// Game server slots free in a region.
    pub fn slots(&self, region: usize) -> u32 {
        self.columns.slots[region]
    }

    /// Pairs of queue tickets that must not or had rather not meet.
    pub fn apart(&self) -> impl ExactSizeIterator<Item = Apart> + '_ {
        let pairs = self.columns.apart.chunks_exact(2).zip(&self.columns.apart_weight);
        pairs.map(|(pair, &weight)| Apart { tickets: (pair[0] as usize, pair[1] as usize), weight })
    }

    /// Running contests that want more players.
    ///
    /// # Panics
    /// The host's fault: the backfill columns do not fit `team_count`.
    pub fn backfills(&self, team_count: usize) -> impl ExactSizeIterator<Item = Backfill<'_>> {
        let regions = &self.columns.backfill_region;
        assert!(self.columns.backfill_missing.len() == regions.len() * team_count, "pool column backfill-missing");
        (0..regions.len()).map(move |index| Backfill {
            index,
            missing: &self.columns.backfill_missing[index * team_count..][..team_count],
            region: usize::from(regions[index]),
            mean: self.columns.backfill_mean[index],
        })
    }

    /// Asks the queue's rating engine about line-ups over this pool.
    ///
    /// A line-up is a list of teams, a team a list of players (indices from [`Member::index`]). The answer holds, line-up after
    /// line-up, the pairwise values that [`RatingEngine::predict`](crate::RatingEngine::predict) describes. The component
    /// imports `ranked:plugin/forecast` if, and only if, the policy calls this.
    pub fn forecast(&self, line_ups: &[Vec<Vec<u32>>]) -> Vec<f64> {
        let (mut player, mut team_end, mut line_up_end) = (Vec::new(), Vec::new(), Vec::new());
        for line_up in line_ups {
            for team in line_up {
                player.extend_from_slice(team);
                // Cannot truncate, here and below: a pool numbers its players with 32 bits.
                team_end.push(player.len() as u32);
            }
            line_up_end.push(team_end.len() as u32);
        }
        match self.forecaster {
            Forecaster::Host => forecast::forecast(&player, &team_end, &line_up_end),
            Forecaster::Even => {
                let pairs = |teams: usize| teams * teams.saturating_sub(1) / 2;
                vec![0.5; line_ups.iter().map(|line_up| pairs(line_up.len())).sum()]
            }
        }
    }
}

/// One queue ticket: a party of one or more who wait together.
#[derive(Clone, Copy)]
pub struct Ticket<'p> {
    pool: &'p Pool,
    index: usize,
    start: usize,
    end: usize,
}

impl<'p> Ticket<'p> {
    /// Index in the pool; what proposals name.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Milliseconds waited so far.
    pub fn waited_ms(&self) -> u32 {
        self.pool.columns.waited_ms[self.index]
    }

    /// Number of players.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether the ticket has no players; the host never sends one.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// The players.
    pub fn members(&self) -> impl ExactSizeIterator<Item = Member<'p>> + use<'p> {
        let pool = self.pool;
        (self.start..self.end).map(move |index| Member { pool, index })
    }

    /// Average of the members' means.
    pub fn mean(&self) -> f64 {
        let means = &self.pool.columns.mean[self.start..self.end];
        means.iter().sum::<f64>() / means.len() as f64
    }

    /// Bit r set: the ticket may play in region r.
    pub fn regions(&self) -> u64 {
        self.pool.columns.regions[self.index]
    }

    /// Widest difference in mean that the ticket accepts now, by the host's schedule.
    pub fn reach(&self) -> f64 {
        self.pool.columns.reach[self.index]
    }

    /// Longest round trip that the ticket accepts now, in milliseconds.
    pub fn latency_max_ms(&self) -> u16 {
        self.pool.columns.latency_max_ms[self.index]
    }

    /// Longest round trip of any member to a region, in milliseconds.
    pub fn latency_ms(&self, region: usize) -> u16 {
        self.members().map(|member| member.latency_ms(region)).max().unwrap_or(0)
    }
}

/// One player of a queue ticket.
#[derive(Clone, Copy)]
pub struct Member<'p> {
    pool: &'p Pool,
    index: usize,
}

impl Member<'_> {
    /// Index among all players of the pool; what forecasts name.
    pub fn index(&self) -> u32 {
        // Cannot truncate: a pool numbers its players with 32 bits.
        self.index as u32
    }

    /// Expected skill.
    pub fn mean(&self) -> f64 {
        self.pool.columns.mean[self.index]
    }

    /// Standard deviation of the belief about the skill.
    pub fn uncertainty(&self) -> f64 {
        self.pool.columns.uncertainty[self.index]
    }

    /// Contests rated so far.
    pub fn contests(&self) -> u32 {
        self.pool.columns.contests[self.index]
    }

    /// Bit r set: the player will play role r.
    pub fn roles(&self) -> u32 {
        self.pool.columns.roles[self.index]
    }

    /// Round trip to a region, in milliseconds.
    pub fn latency_ms(&self, region: usize) -> u16 {
        self.pool.columns.latency_ms[self.index * self.pool.region_count + region]
    }
}

/// Two queue tickets that must not or had rather not meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Apart {
    /// Their indices in the pool.
    pub tickets: (usize, usize),
    /// 255: must not meet; 1 to 254: rather not, the more the higher.
    pub weight: u8,
}

/// A running contest that wants more players.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backfill<'p> {
    /// Index; what a proposal names.
    pub index: usize,
    /// Players missing per team.
    pub missing: &'p [u16],
    /// Where it runs.
    pub region: usize,
    /// Average mean of who plays.
    pub mean: f64,
}

/// Makes pools for tests and benchmarks of policies.
///
/// ```
/// let pool = plugin_sdk::PoolBuilder::new(7, &[4, 4]).ticket(1_000, 0b11, &[25.0]).ticket(500, 0b01, &[24.0, 27.5]).build();
/// assert_eq!(pool.ticket(1).len(), 2);
/// ```
pub struct PoolBuilder(wit::Pool);

impl PoolBuilder {
    /// An empty pool with game server slots per region.
    pub fn new(seed: u64, slots: &[u32]) -> Self {
        PoolBuilder(wit::Pool {
            now_ms: 0,
            seed,
            waited_ms: Vec::new(),
            member_end: Vec::new(),
            regions: Vec::new(),
            mean: Vec::new(),
            uncertainty: Vec::new(),
            contests: Vec::new(),
            roles: Vec::new(),
            latency_ms: Vec::new(),
            apart: Vec::new(),
            apart_weight: Vec::new(),
            reach: Vec::new(),
            latency_max_ms: Vec::new(),
            slots: slots.to_vec(),
            backfill_missing: Vec::new(),
            backfill_region: Vec::new(),
            backfill_mean: Vec::new(),
        })
    }

    /// Adds a ticket whose members have these means; it accepts every skill and, at 0 ms away from each region, every latency.
    pub fn ticket(mut self, waited_ms: u32, regions: u64, means: &[f64]) -> Self {
        let pool = &mut self.0;
        pool.waited_ms.push(waited_ms);
        pool.regions.push(regions);
        pool.reach.push(f64::INFINITY);
        pool.latency_max_ms.push(u16::MAX);
        for &mean in means {
            pool.mean.push(mean);
            pool.uncertainty.push(1.0);
            pool.contests.push(0);
            pool.roles.push(0);
            pool.latency_ms.extend(pool.slots.iter().map(|_| 0));
        }
        // Cannot truncate: a pool numbers its players with 32 bits.
        pool.member_end.push(pool.mean.len() as u32);
        self
    }

    /// Sets what the last ticket accepts: difference in mean, and round trip in milliseconds.
    pub fn accepting(mut self, reach: f64, latency_max_ms: u16) -> Self {
        if let (Some(last_reach), Some(last_latency)) = (self.0.reach.last_mut(), self.0.latency_max_ms.last_mut()) {
            (*last_reach, *last_latency) = (reach, latency_max_ms);
        }
        self
    }

    /// Sets the round trip of the last player to each region.
    pub fn latencies(mut self, latency_ms: &[u16]) -> Self {
        let row = self.0.latency_ms.len() - self.0.slots.len();
        self.0.latency_ms[row..].copy_from_slice(latency_ms);
        self
    }

    /// Keeps two tickets apart.
    pub fn apart(mut self, tickets: (u32, u32), weight: u8) -> Self {
        self.0.apart.extend([tickets.0, tickets.1]);
        self.0.apart_weight.push(weight);
        self
    }

    /// The pool.
    pub fn build(self) -> Pool {
        Pool::new(self.0, Forecaster::Even)
    }
}
