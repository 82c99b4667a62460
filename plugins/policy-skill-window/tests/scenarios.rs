//! Named situations, each with the one behavior it shows.
#![allow(missing_docs, clippy::unwrap_used)]

use plugin_sdk::{MatchmakingPolicy, Plugin, PoolBuilder, Proposals, ProposalsBuilder, QueueShape, parse_parameters};
use policy_skill_window::{Parameters, SkillWindow};

const ALL: u64 = u64::MAX;
const PLAYERS: u8 = 1;
const SKILL: u8 = 2;
const REGION: u8 = 3;
const LATENCY: u8 = 4;
const SERVERS: u8 = 6;
const APART: u8 = 7;
const IMPOSSIBLE: u8 = 8;

fn propose(team_sizes: &[u16], pool: PoolBuilder) -> Proposals {
    let shape = QueueShape { team_sizes: team_sizes.to_vec(), ..QueueShape::default() };
    let policy = SkillWindow::configure(&shape, Parameters::default()).unwrap();
    let pool = pool.build();
    let mut proposals = ProposalsBuilder::new(pool.ticket_count());
    policy.propose(&pool, &mut proposals);
    proposals.finish()
}

fn duel(pool: PoolBuilder) -> Proposals {
    propose(&[1, 1], pool)
}

#[test]
fn the_schema_states_the_defaults() {
    let schema: serde_json::Value = serde_json::from_str(SkillWindow::PARAMETERS_SCHEMA).unwrap();
    let properties = schema["properties"].as_object().unwrap();
    let defaults = properties.iter().map(|(name, property)| (name.clone(), property["default"].clone()));
    let written = serde_json::Value::Object(defaults.collect()).to_string();
    assert_eq!(parse_parameters::<Parameters>(&written).unwrap(), Parameters::default());
}

#[test]
fn a_queue_that_the_policy_cannot_serve_is_refused() {
    let roles = QueueShape { team_sizes: vec![5, 5], roles: vec!["tank".to_owned()], ..QueueShape::default() };
    assert!(SkillWindow::configure(&roles, Parameters::default()).unwrap_err()[0].problem.contains("roles"));
    let narrow = Parameters { window_max: 1.0, ..Parameters::default() };
    let duel = QueueShape { team_sizes: vec![1, 1], ..QueueShape::default() };
    assert_eq!(SkillWindow::configure(&duel, narrow).unwrap_err()[0].path, "window_max");
}

#[test]
fn a_window_widens_with_waiting_and_both_must_have_waited() {
    let pair = |waited: [u32; 2]| PoolBuilder::new(1, &[9]).ticket(waited[0], ALL, &[20.0]).ticket(waited[1], ALL, &[30.0]);
    assert_eq!(duel(pair([0, 0])).limit, [SKILL, SKILL]);
    assert_eq!(duel(pair([60_000, 0])).limit, [SKILL, SKILL], "the newcomer accepts 4 only");
    assert_eq!(duel(pair([12_000, 12_000])).limit, [0, 0]);
}

#[test]
fn the_reach_of_the_host_holds_for_both() {
    let pair = |reach: f64| {
        let pool = PoolBuilder::new(1, &[9]).ticket(90_000, ALL, &[20.0]).ticket(90_000, ALL, &[30.0]);
        pool.accepting(reach, u16::MAX)
    };
    assert_eq!(duel(pair(9.9)).limit, [SKILL, SKILL]);
    assert_eq!(duel(pair(10.0)).limit, [0, 0]);
}

#[test]
fn the_longest_waiting_is_served_first_with_the_nearest() {
    let pool = PoolBuilder::new(1, &[1]);
    let pool = pool.ticket(0, ALL, &[25.0]).ticket(9_000, ALL, &[26.0]).ticket(0, ALL, &[25.1]).ticket(0, ALL, &[26.5]);
    let proposals = duel(pool);
    assert_eq!(proposals.limit, [SERVERS, 0, SERVERS, 0]);
    assert_eq!(proposals.ticket.len(), 2);
}

#[test]
fn a_match_runs_where_everybody_may_play_and_is_near() {
    let far = |latencies: [u16; 2], regions: u64| {
        let pool = PoolBuilder::new(1, &[5, 5]).ticket(0, ALL, &[25.0]).latencies(&[30, 80]);
        pool.ticket(0, regions, &[25.0]).accepting(f64::INFINITY, 100).latencies(&latencies)
    };
    assert_eq!(duel(far([20, 20], 0b11)).region, [0]);
    assert_eq!(duel(far([20, 20], 0b10)).region, [1]);
    assert_eq!(duel(far([150, 90], 0b11)).region, [1]);
    assert_eq!(duel(far([150, 150], 0b11)).limit, [REGION, LATENCY]);
    assert_eq!(duel(far([20, 20], 0)).limit, [REGION, REGION]);
}

#[test]
fn without_a_slot_everybody_waits_for_servers() {
    let pool = PoolBuilder::new(1, &[0]).ticket(0, ALL, &[25.0]).ticket(0, ALL, &[25.0]);
    assert_eq!(duel(pool).limit, [SERVERS, SERVERS]);
}

#[test]
fn a_party_stays_whole_and_a_party_too_large_is_told() {
    let mut pool = PoolBuilder::new(1, &[5]).ticket(0, ALL, &[25.0; 3]).ticket(0, ALL, &[25.0; 2]).ticket(0, ALL, &[25.0; 4]);
    pool = pool.ticket(0, ALL, &[25.0]).ticket(0, ALL, &[25.0; 6]);
    let proposals = propose(&[5, 5], pool);
    let mut sides: Vec<Vec<u32>> = proposals.matches().next().unwrap().iter().map(|team| team.to_vec()).collect();
    sides.iter_mut().for_each(|side| side.sort_unstable());
    sides.sort();
    assert_eq!(sides, [vec![0, 1], vec![2, 3]]);
    assert_eq!(proposals.limit, [0, 0, 0, 0, IMPOSSIBLE]);
}

#[test]
fn parties_that_fill_no_team_wait_for_players() {
    let pool = PoolBuilder::new(1, &[5]).ticket(0, ALL, &[25.0; 2]).ticket(0, ALL, &[25.0; 2]).ticket(0, ALL, &[25.0; 2]);
    assert_eq!(propose(&[3, 3], pool).limit, [PLAYERS; 3]);
}

#[test]
fn one_may_meet_four() {
    let mut pool = PoolBuilder::new(1, &[5]).ticket(0, ALL, &[25.0; 2]);
    for _ in 0..3 {
        pool = pool.ticket(0, ALL, &[25.0]);
    }
    let proposals = propose(&[1, 4], pool);
    let sizes: Vec<usize> = proposals.matches().next().unwrap().iter().map(|team| team.len()).collect();
    assert_eq!(sizes, [1, 3], "the party is one ticket of the four");
}

#[test]
fn those_who_must_not_meet_do_not_and_those_who_had_rather_not_do_in_the_end() {
    let pair =
        |waited: u32, weight: u8| PoolBuilder::new(1, &[5]).ticket(waited, ALL, &[25.0]).ticket(0, ALL, &[25.0]).apart((0, 1), weight);
    assert_eq!(duel(pair(0, 255)).limit, [APART, APART]);
    assert_eq!(duel(pair(600_000, 255)).limit, [APART, APART]);
    assert_eq!(duel(pair(0, 100)).limit, [APART, APART]);
    assert_eq!(duel(pair(600_000, 100)).limit, [0, 0]);
}

#[test]
fn a_newcomer_with_a_narrow_window_does_not_stand_between_two_who_waited() {
    // The nearest to the first is the newcomer, who would keep out everybody else.
    let pool = PoolBuilder::new(1, &[5]).ticket(60_000, ALL, &[25.0]).ticket(0, ALL, &[24.0]);
    let pool = pool.ticket(50_000, ALL, &[35.0]).ticket(50_000, ALL, &[36.0]);
    assert_eq!(propose(&[1, 1, 1], pool).limit, [0, PLAYERS, 0, 0]);
}

#[test]
fn quality_falls_with_the_gap_between_teams() {
    let quality = |gap: f64| {
        let pool = PoolBuilder::new(1, &[5]).ticket(90_000, ALL, &[25.0]).ticket(90_000, ALL, &[25.0 + gap]);
        duel(pool).quality[0]
    };
    assert_eq!(quality(0.0), 1.0);
    assert!(quality(1.0) > quality(2.0) && quality(2.0) > quality(20.0) && quality(20.0) > 0.0);
}

#[test]
fn another_seed_breaks_ties_otherwise() {
    let first_served = |seed: u64| {
        let pool = (0..9).fold(PoolBuilder::new(seed, &[1]), |pool, _| pool.ticket(0, ALL, &[25.0]));
        let mut served = duel(pool).ticket;
        served.sort_unstable();
        served
    };
    assert!((0..20).map(first_served).collect::<std::collections::BTreeSet<_>>().len() > 3);
}
