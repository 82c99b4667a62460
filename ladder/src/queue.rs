//! The part of a queue that never changes while it runs.

use alloc::string::String;
use alloc::vec::Vec;

/// Names and sizes that every plugin call numbers by. Built from `plugins.toml`; positions in these lists are the indices of the contract.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueShape {
    /// The queue's name.
    pub queue: String,
    /// Teams per contest, 2 or more.
    pub teams: u16,
    /// Players per team, one entry a team; one entry for all teams of a free-for-all.
    pub team_sizes: Vec<u16>,
    /// Per-player statistics.
    pub stats: Vec<String>,
    /// Contest-wide statistics.
    pub totals: Vec<String>,
    /// Regions, at most 64.
    pub regions: Vec<String>,
    /// Maps, may be empty.
    pub maps: Vec<String>,
    /// Modes, may be empty.
    pub modes: Vec<String>,
    /// Sides, may be empty.
    pub sides: Vec<String>,
    /// Roles, at most 32, may be empty.
    pub roles: Vec<String>,
}

/// Regions fit a 64-bit mask.
pub const REGIONS_MAX: usize = 64;

impl QueueShape {
    /// Players that team `team` needs.
    #[must_use]
    pub fn team_size(&self, team: usize) -> u16 {
        match self.team_sizes.as_slice() {
            [all] => *all,
            sizes => sizes.get(team).copied().unwrap_or(0),
        }
    }

    /// Players of one contest.
    #[must_use]
    pub fn players(&self) -> usize {
        (0..usize::from(self.teams)).map(|team| usize::from(self.team_size(team))).sum()
    }
}
