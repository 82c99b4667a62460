//! Pools to try a matchmaking policy with, drawn from a seed.

use ladder::pool::{LATENCY_UNKNOWN, MUST_NOT_MEET, Pool};
use ladder::queue::QueueShape;

use crate::author::chance::Chance;

/// A day in 2023, in Unix milliseconds.
const NOW_MS: u64 = 1_700_000_000_000;

/// A pool and what is special about it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NamedPool {
    pub(crate) name: &'static str,
    pub(crate) pool: Pool,
}

/// How a pool is drawn.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    tickets: usize,
    /// Largest party; cut to the largest team.
    party_max: usize,
    /// Pairs that must not meet or had rather not, as a share of the tickets.
    apart: f64,
    slots: u32,
    /// Whether reach, latency limit and regions are narrow.
    is_narrow: bool,
    /// Whether everybody is the same.
    is_flat: bool,
}

const PLAIN: Kind = Kind { name: "", tickets: 0, party_max: 1, apart: 0.0, slots: 1_000, is_narrow: false, is_flat: false };

const KINDS: [Kind; 13] = [
    Kind { name: "nobody", ..PLAIN },
    Kind { name: "one player", tickets: 1, ..PLAIN },
    Kind { name: "two players", tickets: 2, ..PLAIN },
    Kind { name: "ten players", tickets: 10, ..PLAIN },
    Kind { name: "a hundred players", tickets: 100, ..PLAIN },
    Kind { name: "a hundred tickets with parties", tickets: 100, party_max: 8, ..PLAIN },
    Kind { name: "a hundred who all are the same", tickets: 100, is_flat: true, ..PLAIN },
    Kind { name: "a hundred, many of whom must not meet", tickets: 100, party_max: 3, apart: 2.0, ..PLAIN },
    Kind { name: "a hundred with narrow wishes", tickets: 100, party_max: 3, is_narrow: true, ..PLAIN },
    Kind { name: "a hundred and no game server", tickets: 100, party_max: 3, slots: 0, ..PLAIN },
    Kind { name: "a hundred and one game server a region", tickets: 100, party_max: 3, slots: 1, ..PLAIN },
    Kind { name: "parties too large for a team", tickets: 20, party_max: 40, ..PLAIN },
    Kind { name: "a thousand tickets", tickets: 1_000, party_max: 5, apart: 0.1, is_narrow: true, ..PLAIN },
];

/// One pool of each kind.
pub(crate) fn pools(shape: &QueueShape, chance: &mut Chance) -> Vec<NamedPool> {
    KINDS.iter().map(|kind| NamedPool { name: kind.name, pool: draw(shape, *kind, chance) }).collect()
}

fn draw(shape: &QueueShape, kind: Kind, chance: &mut Chance) -> Pool {
    let team_max = (0..usize::from(shape.teams)).map(|team| usize::from(shape.team_size(team))).max().unwrap_or(1);
    // Parties beyond the team are a kind of their own.
    let party_max = if kind.party_max > 8 { kind.party_max } else { kind.party_max.min(team_max) };
    let mut pool = Pool { now_ms: NOW_MS, seed: chance.number(), slots: vec![kind.slots; shape.regions.len()], ..Pool::default() };
    let all_regions = (0..shape.regions.len().min(64)).fold(0_u64, |mask, region| mask | 1 << region);
    let all_roles = (0..shape.roles.len().min(32)).fold(0_u32, |mask, role| mask | 1 << role);
    for _ in 0..kind.tickets {
        for _ in 0..1 + chance.below(party_max) {
            pool.mean.push(if kind.is_flat { 25.0 } else { chance.between(0.0, 50.0) });
            pool.uncertainty.push(if kind.is_flat { 4.0 } else { chance.between(0.5, 9.0) });
            pool.contests.push(u32::try_from(chance.below(500)).unwrap_or_default());
            pool.roles.push(if chance.once_in(2) { all_roles } else { 1 << chance.below(shape.roles.len()) & all_roles });
            for _ in &shape.regions {
                let known = 5 + u16::try_from(chance.below(200)).unwrap_or_default();
                pool.latency_ms.push(if chance.once_in(10) { LATENCY_UNKNOWN } else { known });
            }
        }
        let narrow_regions = if chance.once_in(8) { 0 } else { 1 << chance.below(shape.regions.len()) & all_regions };
        pool.member_end.push(u32::try_from(pool.mean.len()).unwrap_or(u32::MAX));
        pool.waited_ms.push(if kind.is_flat { 5_000 } else { u32::try_from(chance.below(120_000)).unwrap_or_default() });
        pool.regions.push(if kind.is_narrow { narrow_regions } else { all_regions });
        pool.reach.push(if kind.is_narrow { chance.between(0.0, 10.0) } else { f64::MAX });
        pool.latency_max_ms.push(if kind.is_narrow { 40 + u16::try_from(chance.below(100)).unwrap_or_default() } else { 1_000 });
    }
    for _ in 0..(kind.tickets as f64 * kind.apart) as usize {
        let (one, other) = (chance.below(kind.tickets), chance.below(kind.tickets));
        if one != other {
            pool.apart.extend([one, other].map(|ticket| u32::try_from(ticket).unwrap_or_default()));
            pool.apart_weight.push(if chance.once_in(3) { 100 } else { MUST_NOT_MEET });
        }
    }
    pool
}

/// The pool with some of its queue tickets, in the given order.
pub(crate) fn select(pool: &Pool, tickets: &[usize]) -> Pool {
    let regions = pool.slots.len();
    let mut selected = Pool { now_ms: pool.now_ms, seed: pool.seed, slots: pool.slots.clone(), ..Pool::default() };
    let mut new_index = vec![None; pool.tickets()];
    for (index, &ticket) in (0_u32..).zip(tickets) {
        new_index[ticket] = Some(index);
        for player in pool.members(ticket) {
            selected.mean.push(pool.mean[player]);
            selected.uncertainty.push(pool.uncertainty[player]);
            selected.contests.push(pool.contests[player]);
            selected.roles.push(pool.roles[player]);
            selected.latency_ms.extend_from_slice(&pool.latency_ms[player * regions..(player + 1) * regions]);
        }
        selected.member_end.push(u32::try_from(selected.mean.len()).unwrap_or(u32::MAX));
        selected.waited_ms.push(pool.waited_ms[ticket]);
        selected.regions.push(pool.regions[ticket]);
        selected.reach.push(pool.reach[ticket]);
        selected.latency_max_ms.push(pool.latency_max_ms[ticket]);
    }
    for (pair, &weight) in pool.apart.chunks_exact(2).zip(&pool.apart_weight) {
        if let (Some(one), Some(other)) = (new_index[pair[0] as usize], new_index[pair[1] as usize]) {
            selected.apart.extend([one, other]);
            selected.apart_weight.push(weight);
        }
    }
    selected
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape() -> QueueShape {
        QueueShape { teams: 2, team_sizes: vec![5, 5], regions: vec!["eu".into(), "us".into()], ..QueueShape::default() }
    }

    #[test]
    fn every_pool_has_the_columns_that_the_contract_promises() {
        for NamedPool { name, pool } in pools(&shape(), &mut Chance::new(3, "pools")) {
            let (tickets, players) = (pool.tickets(), pool.mean.len());
            let per_ticket = [pool.waited_ms.len(), pool.regions.len(), pool.reach.len(), pool.latency_max_ms.len()];
            assert_eq!(per_ticket, [tickets; 4], "{name}");
            assert_eq!([pool.uncertainty.len(), pool.contests.len(), pool.roles.len()], [players; 3], "{name}");
            assert_eq!(pool.latency_ms.len(), 2 * players, "{name}");
            assert_eq!(pool.apart.len(), 2 * pool.apart_weight.len(), "{name}");
            assert_eq!(pool.member_end.last().map_or(0, |end| *end as usize), players, "{name}");
        }
    }

    #[test]
    fn a_selection_takes_parties_and_pairs_along() {
        let pool = pools(&shape(), &mut Chance::new(3, "pools")).swap_remove(7).pool;
        let order: Vec<usize> = (0..pool.tickets()).rev().collect();
        let back = select(&select(&pool, &order), &order);
        assert_eq!(back, pool);
        assert_eq!(select(&pool, &[]).apart, [0_u32; 0]);
    }
}
