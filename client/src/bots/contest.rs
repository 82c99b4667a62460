//! How a bots' game ends: each team performs around the sum of its skills, the better performance wins, near ones draw.

use rand::{Rng, RngExt};
use rand_distr::{Distribution, StandardNormal};

/// Performance of one player on one day: skill plus this many units of luck (standard deviation).
const LUCK: f64 = 0.5;
/// Team performances closer than this are a draw.
const DRAW_MARGIN: f64 = 0.05;

/// A decided game.
#[derive(Clone, Debug, PartialEq)]
pub struct Contest {
    /// Place per team, 0 is best, equal places are a draw.
    pub places: Vec<u32>,
    /// Score per team.
    pub scores: Vec<f64>,
    /// Kills and deaths per team and player.
    pub stats: Vec<Vec<[f64; 2]>>,
}

/// Decides a game between teams of skills.
pub fn decide(teams: &[Vec<f64>], chance: &mut impl Rng) -> Contest {
    let performances: Vec<f64> = teams.iter().map(|team| team.iter().map(|skill| skill + LUCK * normal(chance)).sum()).collect();
    let places = performances
        .iter()
        .map(|own| performances.iter().filter(|other| **other - own > DRAW_MARGIN).count())
        .map(|better| u32::try_from(better).unwrap_or(u32::MAX))
        .collect();
    let scores = performances.iter().map(|own| (8.0 + 4.0 * own).round().clamp(0.0, 30.0)).collect();
    let stats = teams.iter().map(|team| team.iter().map(|skill| line(*skill, chance)).collect()).collect();
    Contest { places, scores, stats }
}

fn normal(chance: &mut impl Rng) -> f64 {
    StandardNormal.sample(chance)
}

/// Kills follow skill loosely; deaths go the other way.
fn line(skill: f64, chance: &mut impl Rng) -> [f64; 2] {
    let kills = 10.0 + 4.0 * skill + chance.random_range(-3.0..3.0);
    let deaths = 10.0 - 4.0 * skill + chance.random_range(-3.0..3.0);
    [kills.round().max(0.0), deaths.round().max(0.0)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn the_better_team_wins_most_and_somebody_is_always_first() {
        let mut chance = ChaCha8Rng::seed_from_u64(7);
        let mut wins = 0;
        for _ in 0..1000 {
            let contest = decide(&[vec![1.0, 0.0], vec![0.0, -1.0]], &mut chance);
            assert!(contest.places.contains(&0));
            wins += u32::from(contest.places == [0, 1]);
        }
        assert!((900..1000).contains(&wins), "{wins}");
    }
}
