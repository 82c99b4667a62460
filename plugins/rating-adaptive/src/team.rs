//! Teams as sums of their players.

use plugin_sdk::Entrant;

use crate::grid::{LANES, Lanes};
use crate::player::Skill;
use crate::terms;

/// One entrant as the engine sees him: his skill with the time since, and the share of the contest he counts for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Player {
    pub(crate) skill: Skill,
    pub(crate) weight: f64,
    pub(crate) team: usize,
}

/// A team before a contest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Team {
    pub(crate) mean: Lanes,
    pub(crate) variance: Lanes,
    /// Variance of the performance about the skill.
    pub(crate) noise: f64,
    /// Players, each for as long as he counts.
    pub(crate) size: f64,
    /// What experience is worth, all players together.
    pub(crate) experience: f64,
}

impl Team {
    const EMPTY: Team = Team { mean: [0.0; LANES], variance: [0.0; LANES], noise: 0.0, size: 0.0, experience: 0.0 };

    fn add(&mut self, player: &Player, contests: u32) {
        let (weight, square) = (player.weight, player.weight * player.weight);
        for lane in 0..LANES {
            self.mean[lane] += weight * player.skill.mean[lane];
            self.variance[lane] += square * player.skill.variance[lane];
        }
        self.noise += square;
        self.size += weight;
        self.experience += weight * terms::experience(contests);
    }
}

/// The teams of a line-up.
pub(crate) fn gather(team_count: usize, entrants: &[Entrant], players: &[Player]) -> Vec<Team> {
    let mut teams = vec![Team::EMPTY; team_count];
    for (entrant, player) in entrants.iter().zip(players) {
        teams[player.team].add(player, entrant.contests);
    }
    teams
}

/// What a contest says about the performance of one team, in the form in which every member's skill follows from it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Evidence {
    /// How far one unit of a member's variance moves the member's mean, going by the places alone.
    pub(crate) result_pull: Lanes,
    /// The same with the margin.
    pub(crate) pull: Lanes,
    /// How much one unit of a member's variance shrinks it, per unit.
    pub(crate) sharpening: Lanes,
}

impl Evidence {
    pub(crate) const NONE: Evidence = Evidence { result_pull: [0.0; LANES], pull: [0.0; LANES], sharpening: [0.0; LANES] };

    /// The same about the opponent.
    pub(crate) fn mirrored(&self) -> Self {
        let turned = |pull: &Lanes| pull.map(|pull| -pull);
        Evidence { result_pull: turned(&self.result_pull), pull: turned(&self.pull), sharpening: self.sharpening }
    }
}
