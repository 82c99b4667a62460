//! `skill-window`: a matchmaking policy with windows of skill that widen with waiting time.
//!
//! A queue ticket accepts others whose mean differs from its own by at most its window, which starts at `window_base` and grows with
//! every second of waiting up to `window_max`, never beyond the reach that the host's schedule grants. In every proposed match
//! each ticket's window covers every other ticket: the rule of who waited for seconds holds as much as that of who waited for
//! minutes. The mean of a party is the average of its members.
//!
//! The longest waiting ticket is served first, in its nearest region with a free slot, with the tickets nearest in skill
//! (`gather.rs`). Parties stay whole in one team, teams have exactly the sizes of the queue, and are then balanced (`teams.rs`). Pairs
//! that must not meet never do; pairs that had rather not meet do once either waits with its widest window.
//!
//! Equal waits are ordered by the seed of the tick. Deliberately absent: roles and backfill; a queue with roles is refused.

mod gather;
mod neighbors;
mod teams;

use plugin_sdk::{Limit, MatchmakingPolicy, ParameterError, Plugin, Pool, ProposalsBuilder, QueueShape};

use gather::{Gatherer, Shortage};
use neighbors::Neighbors;

/// Candidates looked at in one tick at most; who is left then is first in line at the next.
const VISITS_MAX: u64 = 1_000_000;

/// Regions that a ticket can name: the contract has one bit each.
const REGIONS_MAX: usize = 64;

/// Parameters of the policy; windows are on the scale of the rating engine.
#[derive(Clone, Copy, Debug, PartialEq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Parameters {
    /// Widest difference in mean that a queue ticket accepts at first.
    pub window_base: f64,
    /// How much the window widens per second of waiting.
    pub window_growth_per_s: f64,
    /// Widest window, however long the wait.
    pub window_max: f64,
}

impl Default for Parameters {
    fn default() -> Self {
        Parameters { window_base: 4.0, window_growth_per_s: 0.5, window_max: 50.0 }
    }
}

impl Parameters {
    /// Widest difference in mean that a ticket accepts after `waited_ms`, where the host grants `reach`.
    pub fn window(&self, waited_ms: u32, reach: f64) -> f64 {
        let grown = self.window_base + self.window_growth_per_s * f64::from(waited_ms) / 1000.0;
        grown.min(self.window_max).min(reach)
    }

    /// Whether the window of a ticket grows no more.
    fn is_widest(&self, waited_ms: u32) -> bool {
        self.window_base + self.window_growth_per_s * f64::from(waited_ms) / 1000.0 >= self.window_max
    }
}

/// The policy of one queue.
#[derive(Clone, Debug)]
pub struct SkillWindow {
    parameters: Parameters,
    team_sizes: Vec<u16>,
}

impl Plugin for SkillWindow {
    const NAME: &'static str = "skill-window";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const PARAMETERS_SCHEMA: &'static str = include_str!("../parameters.schema.json");
    type Parameters = Parameters;

    fn configure(shape: &QueueShape, parameters: Parameters) -> Result<Self, Vec<ParameterError>> {
        let Parameters { window_base, window_growth_per_s, window_max } = parameters;
        let amount = |value: f64| value.is_finite() && value >= 0.0;
        let rules = [
            ("window_base", amount(window_base), "must be 0 or above"),
            ("window_growth_per_s", amount(window_growth_per_s), "must be 0 or above"),
            ("window_max", amount(window_max) && window_max >= window_base, "must be window_base or above"),
            ("", shape.team_sizes.len() >= 2, "the queue needs two teams at least"),
            ("", !shape.team_sizes.contains(&0), "the queue has a team without players"),
            ("", shape.roles.is_empty(), "skill-window assigns no roles; choose another policy or a queue without roles"),
            ("", shape.regions.len() <= REGIONS_MAX, "the queue has more than 64 regions"),
        ];
        let broken = rules.iter().filter(|(_, holds, _)| !holds);
        let errors: Vec<_> = broken.map(|&(path, _, problem)| ParameterError::new(path, problem)).collect();
        if errors.is_empty() { Ok(SkillWindow { parameters, team_sizes: shape.team_sizes.clone() }) } else { Err(errors) }
    }
}

/// What the search needs to know about a queue ticket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    /// Average of the members' means.
    mean: f64,
    /// Widest difference in mean that the ticket accepts now.
    window: f64,
    /// Number of players.
    size: u16,
    /// Whether its window grows no more.
    is_widest: bool,
    /// Bit r set: every member may and can play in region r, and the region had a slot at the start of the tick.
    regions: u64,
}

impl MatchmakingPolicy for SkillWindow {
    fn propose(&self, pool: &Pool, proposals: &mut ProposalsBuilder) {
        let mut slots: Vec<u32> = (0..pool.region_count()).map(|region| pool.slots(region)).collect();
        let waiting = self.survey(pool, &slots, proposals);
        let neighbors = Neighbors::new(&waiting, pool.region_count());
        let mut gatherer = Gatherer::new(pool, &waiting, neighbors, &self.team_sizes);
        let mut nearest = Vec::new();
        for anchor in anchors(pool, &waiting) {
            if gatherer.visits() > VISITS_MAX {
                break;
            }
            if gatherer.is_matched(anchor) {
                continue;
            }
            match serve(pool, anchor, &mut gatherer, &slots, &mut nearest) {
                Ok(region) => {
                    slots[region] -= 1;
                    self.propose_match(&waiting, gatherer.accept(), region, proposals);
                }
                Err(limit) => proposals.limit(anchor, limit),
            }
        }
    }
}

impl SkillWindow {
    /// Looks at every ticket once; those that cannot be matched at this tick are told why and keep no region.
    fn survey(&self, pool: &Pool, slots: &[u32], proposals: &mut ProposalsBuilder) -> Vec<Waiting> {
        let size_max = self.team_sizes.iter().copied().max().unwrap_or(0);
        let open = slots.iter().enumerate().filter(|&(_, &free)| free > 0).fold(0_u64, |open, (region, _)| open | bit(region));
        let known = if pool.region_count() >= REGIONS_MAX { u64::MAX } else { bit(pool.region_count()) - 1 };
        let look = |ticket: plugin_sdk::Ticket<'_>| {
            let fits = !ticket.is_empty() && ticket.len() <= usize::from(size_max);
            let allowed = ticket.regions() & known;
            let near = regions_of(allowed & open).filter(|&region| ticket.latency_ms(region) <= ticket.latency_max_ms());
            let regions = if fits { near.fold(0, |near, region| near | bit(region)) } else { 0 };
            if regions == 0 {
                let limit = match () {
                    () if !fits => Limit::Impossible,
                    () if allowed == 0 => Limit::Region,
                    () if allowed & open == 0 => Limit::Servers,
                    () => Limit::Latency,
                };
                proposals.limit(ticket.index(), limit);
            }
            Waiting {
                mean: ticket.mean(),
                window: self.parameters.window(ticket.waited_ms(), ticket.reach()),
                // Cannot truncate: a ticket larger than a team has no region and is never looked at again.
                size: ticket.len() as u16,
                is_widest: self.parameters.is_widest(ticket.waited_ms()),
                regions,
            }
        };
        pool.tickets().map(look).collect()
    }

    /// Splits the gathered tickets into teams and proposes them.
    fn propose_match(&self, waiting: &[Waiting], gathered: &[u32], region: usize, proposals: &mut ProposalsBuilder) {
        let teams = teams::split(gathered, waiting, &self.team_sizes);
        let quality = self.quality(gathered, waiting, &teams);
        let mut proposed = proposals.start_match(region);
        for team in 0..self.team_sizes.len() {
            let members = gathered.iter().zip(teams.team_of()).filter(|&(_, &of)| usize::from(of) == team);
            proposed.team(members.map(|(&ticket, _)| ticket));
        }
        proposed.quality(quality);
    }

    /// 1 for equal teams of equals. Falls with the widest gap between the averages of two teams, measured in base windows, and by
    /// up to a half with the spread of all tickets, measured in widest windows.
    fn quality(&self, gathered: &[u32], waiting: &[Waiting], teams: &teams::Split) -> f64 {
        let means = gathered.iter().map(|&ticket| waiting[ticket as usize].mean);
        let (low, high) = means.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), mean| (low.min(mean), high.max(mean)));
        let share = |part: f64, whole: f64| if part > 0.0 { part / whole.max(f64::MIN_POSITIVE) } else { 0.0 };
        let evenness = libm::exp(-share(teams.gap(), self.parameters.window_base));
        evenness * (1.0 - 0.5 * share(high - low, self.parameters.window_max).min(1.0))
    }
}

/// Gathers a match around `anchor` in the nearest of its regions that has one; else tells what is missing in the region that
/// came closest. `nearest` is scratch space.
fn serve(pool: &Pool, anchor: usize, gatherer: &mut Gatherer<'_>, slots: &[u32], nearest: &mut Vec<(u16, usize)>) -> Result<usize, Limit> {
    let ticket = pool.ticket(anchor);
    nearest.clear();
    let open = regions_of(gatherer.regions(anchor)).filter(|&region| slots[region] > 0);
    nearest.extend(open.map(|region| (ticket.latency_ms(region), region)));
    nearest.sort_unstable();
    let mut closest = Shortage { gathered: 0, limit: Limit::Servers };
    for &(_, region) in nearest.iter() {
        match gatherer.gather(anchor, region) {
            Ok(()) => return Ok(region),
            Err(shortage) if shortage.gathered > closest.gathered => closest = shortage,
            Err(_) => {}
        }
    }
    Err(closest.limit)
}

/// Tickets that can be matched, in the order in which they are served: the longest waiting first, equal waits by the seed.
fn anchors(pool: &Pool, waiting: &[Waiting]) -> impl Iterator<Item = usize> {
    // Both halves in one integer, which sorts fastest. Multiplying by an odd number shuffles 32 bits and can be undone.
    let shuffle = Shuffle::new(pool.seed());
    let able = waiting.iter().enumerate().filter(|(_, waiting)| waiting.regions != 0);
    let key = |(index, _): (usize, &Waiting)| {
        let waited = u32::MAX - pool.ticket(index).waited_ms();
        // Cannot truncate: a pool numbers its tickets with 32 bits.
        u64::from(waited) << 32 | u64::from(shuffle.place_of(index as u32))
    };
    let mut order: Vec<u64> = able.map(key).collect();
    order.sort_unstable();
    order.into_iter().map(move |key| shuffle.index_at(key as u32) as usize)
}

/// A permutation of all 32-bit numbers, chosen by a seed.
#[derive(Clone, Copy)]
struct Shuffle {
    factor: u32,
    inverse: u32,
    mask: u32,
}

impl Shuffle {
    fn new(seed: u64) -> Self {
        // SplitMix64 (Steele, Lea, Flood 2014), so that neighboring seeds differ in every bit.
        let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        let factor = (z as u32) | 1;
        // Newton's method in the integers modulo 2^32: every step doubles the correct bits, and an odd number starts with 3.
        let inverse = (0..4).fold(factor, |inverse, _| inverse.wrapping_mul(2_u32.wrapping_sub(factor.wrapping_mul(inverse))));
        Shuffle { factor, inverse, mask: (z >> 32) as u32 }
    }

    fn place_of(self, index: u32) -> u32 {
        index.wrapping_mul(self.factor) ^ self.mask
    }

    fn index_at(self, place: u32) -> u32 {
        (place ^ self.mask).wrapping_mul(self.inverse)
    }
}

/// The mask of one region; none for regions that a mask cannot name.
pub(crate) fn bit(region: usize) -> u64 {
    if region < REGIONS_MAX { 1 << region } else { 0 }
}

/// The regions of a mask, in ascending order.
pub(crate) fn regions_of(mut mask: u64) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        let region = mask.trailing_zeros() as usize;
        mask &= mask.wrapping_sub(1);
        (region < REGIONS_MAX).then_some(region)
    })
}

plugin_sdk::export_policy!(SkillWindow);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shuffle_can_be_undone() {
        for seed in [0, 1, 7, u64::MAX, 0x0123_4567_89ab_cdef] {
            let shuffle = Shuffle::new(seed);
            for index in [0, 1, 2, 9_999, u32::MAX] {
                assert_eq!(shuffle.index_at(shuffle.place_of(index)), index, "{seed} {index}");
            }
        }
    }
}
