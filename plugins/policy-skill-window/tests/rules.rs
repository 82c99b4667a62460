//! What every proposal must satisfy, over random pools, by a second reading of the rules that shares no code with the search.
#![allow(missing_docs, clippy::unwrap_used)]

use plugin_sdk::{MatchmakingPolicy, Plugin, Pool, PoolBuilder, Proposals, ProposalsBuilder, QueueShape};
use policy_skill_window::{Parameters, SkillWindow};
use proptest::prelude::*;

#[derive(Clone, Debug)]
struct TicketSpec {
    waited_ms: u32,
    regions: u64,
    means: Vec<f64>,
    reach: f64,
    latency_max_ms: u16,
    latencies: Vec<u16>,
}

#[derive(Clone, Debug)]
struct PoolSpec {
    seed: u64,
    team_sizes: Vec<u16>,
    slots: Vec<u32>,
    tickets: Vec<TicketSpec>,
    apart: Vec<(usize, usize, u8)>,
}

const REGIONS: usize = 3;

fn ticket_spec() -> impl Strategy<Value = TicketSpec> {
    let means = prop_oneof![4 => Just(1_usize), 1 => 2..=3_usize, 1 => 4..=6_usize]
        .prop_flat_map(|size| prop::collection::vec((0_i32..200).prop_map(|step| f64::from(step) * 0.25), size));
    let latencies = prop::collection::vec(prop_oneof![0_u16..60, 60_u16..300], REGIONS);
    let reach = prop_oneof![Just(f64::INFINITY), 0.0..30.0];
    (0_u32..120_000, 0_u64..16, means, reach, prop_oneof![Just(u16::MAX), 30_u16..150], latencies).prop_map(
        |(waited_ms, regions, means, reach, latency_max_ms, latencies)| TicketSpec {
            waited_ms,
            regions,
            means,
            reach,
            latency_max_ms,
            latencies,
        },
    )
}

fn pool_spec() -> impl Strategy<Value = PoolSpec> {
    let shapes =
        prop_oneof![Just(vec![1, 1]), Just(vec![5, 5]), Just(vec![1, 4]), Just(vec![2, 3, 1]), Just(vec![1; 8]), Just(vec![3, 3, 3]),];
    let tickets = prop::collection::vec(ticket_spec(), 0..80);
    let slots = prop::collection::vec(0_u32..6, REGIONS);
    let apart =
        prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), prop_oneof![Just(255_u8), 1_u8..255]), 0..20);
    (any::<u64>(), shapes, slots, tickets, apart).prop_map(|(seed, team_sizes, slots, tickets, apart)| {
        let pairs = apart.iter().filter(|_| !tickets.is_empty());
        let apart = pairs.map(|(first, second, weight)| (first.index(tickets.len()), second.index(tickets.len()), *weight));
        let apart = apart.filter(|(first, second, _)| first != second).collect();
        PoolSpec { seed, team_sizes, slots, tickets, apart }
    })
}

fn pool(spec: &PoolSpec) -> Pool {
    let mut pool = PoolBuilder::new(spec.seed, &spec.slots);
    for ticket in &spec.tickets {
        pool = pool.ticket(ticket.waited_ms, ticket.regions, &ticket.means).accepting(ticket.reach, ticket.latency_max_ms);
        pool = pool.latencies(&ticket.latencies);
    }
    for &(first, second, weight) in &spec.apart {
        pool = pool.apart((u32::try_from(first).unwrap(), u32::try_from(second).unwrap()), weight);
    }
    pool.build()
}

fn propose(spec: &PoolSpec) -> Proposals {
    let shape = QueueShape { team_sizes: spec.team_sizes.clone(), ..QueueShape::default() };
    let policy = SkillWindow::configure(&shape, Parameters::default()).unwrap();
    let pool = pool(spec);
    let mut proposals = ProposalsBuilder::new(pool.ticket_count());
    policy.propose(&pool, &mut proposals);
    proposals.finish()
}

fn mean(ticket: &TicketSpec) -> f64 {
    ticket.means.iter().sum::<f64>() / ticket.means.len() as f64
}

fn assert_valid(spec: &PoolSpec, proposals: &Proposals) {
    let mut used = vec![false; spec.tickets.len()];
    let mut slots = spec.slots.clone();
    for (index, teams) in proposals.matches().enumerate() {
        let sizes: Vec<usize> =
            teams.iter().map(|team| team.iter().map(|&ticket| spec.tickets[ticket as usize].means.len()).sum()).collect();
        let expected: Vec<usize> = spec.team_sizes.iter().map(|&size| usize::from(size)).collect();
        assert_eq!(sizes, expected, "team sizes of match {index}");
        let region = usize::from(proposals.region[index]);
        assert!(slots[region] > 0, "match {index} has no slot in region {region}");
        slots[region] -= 1;
        assert!((0.0..=1.0).contains(&proposals.quality[index]));
        let tickets: Vec<usize> = teams.concat().iter().map(|&ticket| ticket as usize).collect();
        for &ticket in &tickets {
            assert!(!std::mem::replace(&mut used[ticket], true), "ticket {ticket} is used twice");
            let spec = &spec.tickets[ticket];
            assert!(spec.regions >> region & 1 == 1, "ticket {ticket} may not play in region {region}");
            // The last member carries the latencies; the others of a test party are at 0 ms.
            assert!(spec.latencies[region] <= spec.latency_max_ms, "ticket {ticket} is too far from region {region}");
        }
        for &one in &tickets {
            for &other in &tickets {
                let own = &spec.tickets[one];
                let grown = (4.0 + 0.5 * f64::from(own.waited_ms) / 1000.0).min(50.0).min(own.reach);
                let gap = (mean(own) - mean(&spec.tickets[other])).abs();
                assert!(gap <= grown, "ticket {one} accepts {grown}, ticket {other} is {gap} away");
            }
        }
        for &(first, second, weight) in &spec.apart {
            let meet = tickets.contains(&first) && tickets.contains(&second);
            let widest = [first, second].iter().any(|&ticket| spec.tickets[ticket].waited_ms >= 92_000);
            assert!(!meet || (weight < 255 && widest), "tickets {first} and {second} must not meet");
        }
    }
    for (ticket, (&used, &limit)) in used.iter().zip(&proposals.limit).enumerate() {
        assert_eq!(used, limit == 0, "ticket {ticket} is told {limit}");
        assert!(limit <= 8);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_proposal_keeps_every_rule(spec in pool_spec()) {
        assert_valid(&spec, &propose(&spec));
    }

    #[test]
    fn the_same_pool_gives_the_same_answer(spec in pool_spec()) {
        prop_assert_eq!(propose(&spec), propose(&spec));
    }

    /// Who can play anywhere with anybody waits only for players or servers.
    #[test]
    fn nobody_waits_who_need_not(count in 0_usize..120, slots in 0_u32..8, size in 1_u16..6) {
        let open = TicketSpec {
            waited_ms: 0,
            regions: 1,
            means: vec![25.0],
            reach: f64::INFINITY,
            latency_max_ms: u16::MAX,
            latencies: vec![0; REGIONS],
        };
        let tickets = vec![open; count];
        let spec = PoolSpec { seed: 1, team_sizes: vec![size, size], slots: vec![slots, 0, 0], tickets, apart: Vec::new() };
        let proposals = propose(&spec);
        assert_valid(&spec, &proposals);
        let possible = (count / usize::from(2 * size)).min(slots as usize);
        prop_assert_eq!(proposals.region.len(), possible);
        prop_assert!(proposals.quality.iter().all(|&quality| quality == 1.0));
    }
}
