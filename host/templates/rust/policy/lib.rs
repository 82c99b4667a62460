//! @NAME@: pairs players of nearest rating, region by region.
//!
//! Each tick the policy sees everybody who waits and keeps nothing. The host checks every proposal and drops what breaks a rule.

use std::collections::BTreeSet;

use plugin_sdk::{Limit, MatchmakingPolicy, ParameterError, Plugin, Pool, ProposalsBuilder, QueueShape, Ticket};

/// Weight of a pair that must not meet.
const MUST_NOT_MEET: u8 = 255;
/// A round trip that nobody measured.
const LATENCY_UNKNOWN: u16 = u16::MAX;

/// What an operator may write into `[queue.NAME.policy.parameters]`.
#[derive(Clone, Copy, Debug, serde::Deserialize)]
#[serde(default)]
pub struct Parameters {
    /// Widest difference in mean between any two players of a match.
    mean_difference_max: f64,
}

impl Default for Parameters {
    fn default() -> Self {
        Parameters { mean_difference_max: 1_000_000.0 }
    }
}

/// The policy of one queue.
pub struct Nearest {
    mean_difference_max: f64,
    team_sizes: Vec<usize>,
}

impl Plugin for Nearest {
    const NAME: &'static str = env!("CARGO_PKG_NAME");
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const PARAMETERS_SCHEMA: &'static str = r#"{
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "mean_difference_max": {
                "type": "number",
                "default": 1000000,
                "description": "Widest difference in mean between any two players of a match."
            }
        }
    }"#;
    type Parameters = Parameters;

    fn configure(shape: &QueueShape, parameters: Parameters) -> Result<Self, Vec<ParameterError>> {
        let mean_difference_max = parameters.mean_difference_max;
        if mean_difference_max <= 0.0 {
            return Err(vec![ParameterError::new("mean_difference_max", "must be above 0")]);
        }
        let team_sizes = shape.team_sizes.iter().map(|&size| usize::from(size)).collect();
        Ok(Nearest { mean_difference_max, team_sizes })
    }
}

impl MatchmakingPolicy for Nearest {
    fn propose(&self, pool: &Pool, proposals: &mut ProposalsBuilder) {
        let must_not_meet = pool.apart().filter(|pair| pair.weight == MUST_NOT_MEET);
        let apart: BTreeSet<_> = must_not_meet.flat_map(|pair| [pair.tickets, (pair.tickets.1, pair.tickets.0)]).collect();
        // A party of two or more waits for another policy: this one seats one player at a time.
        let mut by_mean: Vec<_> = pool.tickets().filter(|ticket| ticket.len() == 1).collect();
        // Equal means by index, so that the answer never depends on chance.
        by_mean.sort_by(|a, b| a.mean().total_cmp(&b.mean()).then(a.index().cmp(&b.index())));
        for region in 0..pool.region_count() {
            let (here, elsewhere): (Vec<_>, Vec<_>) = by_mean.into_iter().partition(|ticket| ticket.regions() >> region & 1 == 1);
            let left = self.seat_region(pool.slots(region), region, here, &apart, proposals);
            by_mean = merge(left, elsewhere);
        }
    }
}

impl Nearest {
    /// Walks along the means and makes a match of each run of neighbors who accept each other; returns who is left.
    fn seat_region<'p>(
        &self,
        mut slots: u32,
        region: usize,
        waiting: Vec<Ticket<'p>>,
        apart: &BTreeSet<(usize, usize)>,
        proposals: &mut ProposalsBuilder,
    ) -> Vec<Ticket<'p>> {
        let players: usize = self.team_sizes.iter().sum();
        let (mut left, mut position) = (Vec::new(), 0);
        while position < waiting.len() {
            let Some(table) = waiting.get(position..position + players) else {
                left.extend_from_slice(&waiting[position..]);
                break;
            };
            let problem = if slots == 0 { Some(Limit::Servers) } else { self.why_not(region, table, apart) };
            if let Some(problem) = problem {
                proposals.limit(table[0].index(), problem);
                left.push(table[0]);
                position += 1;
                continue;
            }
            slots -= 1;
            position += players;
            let mut started = proposals.start_match(region);
            for team in self.teams_of(table) {
                started.team(team);
            }
            started.quality(1.0 / (1.0 + gap(table)));
        }
        left
    }

    /// Deals the players out, best first and back and forth, so that every team gets strong and weak ones.
    fn teams_of(&self, table: &[Ticket<'_>]) -> Vec<Vec<u32>> {
        let mut teams = vec![Vec::new(); self.team_sizes.len()];
        let mut best_first = table.iter().rev().map(|ticket| ticket.index() as u32);
        let turns = self.team_sizes.iter().max().copied().unwrap_or(0);
        for turn in 0..turns {
            for seat in 0..teams.len() {
                let team = if turn % 2 == 0 { seat } else { teams.len() - 1 - seat };
                if teams[team].len() < self.team_sizes[team] {
                    teams[team].extend(best_first.next());
                }
            }
        }
        teams
    }

    /// What keeps these tickets from playing each other in this region.
    fn why_not(&self, region: usize, table: &[Ticket<'_>], apart: &BTreeSet<(usize, usize)>) -> Option<Limit> {
        let widest = table.iter().map(Ticket::reach).fold(self.mean_difference_max, f64::min);
        if gap(table) > widest {
            return Some(Limit::Skill);
        }
        let too_far = |ticket: &Ticket<'_>| {
            let latency = ticket.latency_ms(region);
            latency != LATENCY_UNKNOWN && latency > ticket.latency_max_ms()
        };
        if table.iter().any(too_far) {
            return Some(Limit::Latency);
        }
        let meets_badly = |a: &Ticket<'_>| table.iter().any(|b| apart.contains(&(a.index(), b.index())));
        table.iter().any(meets_badly).then_some(Limit::Apart)
    }
}

/// Difference between the best and the worst mean; the table is sorted.
fn gap(table: &[Ticket<'_>]) -> f64 {
    table.last().map_or(0.0, |best| best.mean() - table[0].mean())
}

/// Two lists sorted by mean as one.
fn merge<'p>(mut left: Vec<Ticket<'p>>, elsewhere: Vec<Ticket<'p>>) -> Vec<Ticket<'p>> {
    left.extend(elsewhere);
    left.sort_by(|a, b| a.mean().total_cmp(&b.mean()).then(a.index().cmp(&b.index())));
    left
}

plugin_sdk::export_policy!(Nearest);
