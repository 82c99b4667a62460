//! The five models of Weng and Lin, as functions of teams: pure mathematics, no plugin in sight.
//!
//! R. C. Weng and C.-J. Lin, "A Bayesian approximation method for online ranking", JMLR 12 (2011), 267-300. A team performs at the sum
//! of its players' skills plus noise; a contest is explained by comparisons of teams, and the first two derivatives of its
//! likelihood say how far every belief moves:
//!
//! | model | a comparison of i and q, with `c^2 = s_i^2 + s_q^2 + 2 beta^2` | algorithm |
//! |---|---|---|
//! | Bradley-Terry | the logistic share `p = 1 / (1 + e^(-(m_i - m_q) / c))` | 1 (all pairs), 2 (neighbours) |
//! | Thurstone-Mosteller | the normal distribution with draws within `epsilon`: V, W, V~, W~ | 3 (all pairs, neighbours) |
//! | Plackett-Luce | the best of those not yet placed, again and again, `c^2 = sum (s_i^2 + beta^2)` | 4 |
//!
//! What the paper leaves open follows openskill.py, the best known implementation; `tests/peers.rs` compares with it, with openskill.js
//! and with skillratings. One thing differs on purpose: where those replace V and W far in the tails by rough bounds, these are exact.

use normal::{Truncated, above, within};

/// Which model explains a contest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Model {
    /// Algorithm 4: the places are drawn one after another.
    PlackettLuce,
    /// Algorithm 1 with all pairs of teams.
    BradleyTerryFull,
    /// Algorithm 2: each team is compared with its neighbours in the order of places.
    BradleyTerryPartial,
    /// Algorithm 3 with all pairs of teams.
    ThurstoneMostellerFull,
    /// Algorithm 3 with neighbours; the scale c is twice as large, as in the paper's experiments and in all peers.
    ThurstoneMostellerPartial,
}

impl Model {
    fn is_partial(self) -> bool {
        matches!(self, Model::BradleyTerryPartial | Model::ThurstoneMostellerPartial)
    }

    /// Whether the normal distribution explains a comparison; else it is the logistic one.
    pub fn is_thurstone_mosteller(self) -> bool {
        matches!(self, Model::ThurstoneMostellerFull | Model::ThurstoneMostellerPartial)
    }
}

/// How fast uncertainty shrinks: the factor gamma of the paper (section 3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gamma {
    /// `s_i / c`: what is known already slows the learning of more. The default of all peers.
    SigmaOverC,
    /// `1 / k` for k teams.
    OneOverK,
}

/// What the update assumes about the game, on the scale of the ratings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Game {
    /// Which model.
    pub model: Model,
    /// Variance of a team's performance around its skill.
    pub beta_squared: f64,
    /// Thurstone-Mosteller: half width of a draw.
    pub epsilon: f64,
    /// How fast uncertainty shrinks.
    pub gamma: Gamma,
    /// Partial pairing: with how many teams before and after each is compared.
    pub window: usize,
    /// Partial pairing: whether the comparisons of a team are averaged; else they are added up.
    pub averaged: bool,
}

/// A team before the contest, as the sum of its players.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Team {
    /// Expected skill.
    pub mean: f64,
    /// Variance of the skill.
    pub variance: f64,
    /// Place, 0 is best; equal places are a draw.
    pub place: u16,
    /// Score, where every team has one.
    pub score: Option<f64>,
}

/// What a contest says about one team, in the form in which every member's skill follows from it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Evidence {
    /// How far one unit of a member's variance moves the member's mean: Omega of the paper over the team's variance.
    pub pull: f64,
    /// What share of itself one unit of a member's variance loses: Delta of the paper over the team's variance.
    pub sharpening: f64,
}

impl Evidence {
    fn add(&mut self, other: Evidence) {
        self.pull += other.pull;
        self.sharpening += other.sharpening;
    }
}

/// Scores further apart than this make a victory clearer (openskill.py); 0 is off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Margin(pub f64);

impl Margin {
    /// By how much the gap between two teams' skills counts less, because their scores lay so far apart.
    fn divisor(self, first: &Team, second: &Team) -> f64 {
        match (first.score, second.score) {
            (Some(first), Some(second)) if self.0 > 0.0 && (first - second).abs() > self.0 => libm::log1p((first - second).abs() / self.0),
            _ => 1.0,
        }
    }
}

impl Game {
    /// What a contest of two teams says about each.
    pub fn two_teams(&self, first: &Team, second: &Team, margin: Margin) -> [Evidence; 2] {
        match self.model {
            // One draw of the first place is one comparison: Plackett-Luce of two teams is Bradley-Terry. With scores it is not.
            Model::PlackettLuce if margin.0 > 0.0 && first.score.is_some() => {
                let mut evidence = [Evidence::default(); 2];
                self.plackett_luce(&[*first, *second], margin, &mut evidence);
                evidence
            }
            _ => self.compare(first, second, margin, 2),
        }
    }

    /// What a contest says about each team, written to `evidence`, which is as long as `teams`.
    pub fn many_teams(&self, teams: &[Team], margin: Margin, evidence: &mut [Evidence]) {
        evidence.fill(Evidence::default());
        match self.model {
            Model::PlackettLuce => self.plackett_luce(teams, margin, evidence),
            _ => self.pairs(teams, margin, evidence),
        }
    }

    /// Compares every team with every other, or with its neighbours in the order of places.
    fn pairs(&self, teams: &[Team], margin: Margin, evidence: &mut [Evidence]) {
        let order = by_place(teams);
        let window = if self.model.is_partial() { self.window } else { teams.len() };
        for (position, &first) in order.iter().enumerate() {
            for &second in order[position + 1..].iter().take(window) {
                let [of_first, of_second] = self.compare(&teams[first], &teams[second], margin, teams.len());
                evidence[first].add(of_first);
                evidence[second].add(of_second);
            }
        }
        if self.model.is_partial() && self.averaged {
            for (position, &team) in order.iter().enumerate() {
                let comparisons = position.min(window) + (order.len() - 1 - position).min(window);
                evidence[team].pull /= comparisons as f64;
                evidence[team].sharpening /= comparisons as f64;
            }
        }
    }

    /// What one comparison says about both sides.
    fn compare(&self, first: &Team, second: &Team, margin: Margin, teams: usize) -> [Evidence; 2] {
        let mut scale = (first.variance + second.variance + 2.0 * self.beta_squared).sqrt();
        if self.model == Model::ThurstoneMostellerPartial {
            scale *= 2.0;
        }
        let gap = (first.mean - second.mean) / margin.divisor(first, second) / scale;
        let (pull, information) = if self.model.is_thurstone_mosteller() {
            normal_step(gap, self.epsilon / scale, first, second)
        } else {
            logistic_step(gap, first, second)
        };
        let sharpening = information / (scale * scale);
        [
            Evidence { pull: pull / scale, sharpening: self.gamma(first, scale, teams) * sharpening },
            Evidence { pull: -pull / scale, sharpening: self.gamma(second, scale, teams) * sharpening },
        ]
    }

    fn gamma(&self, team: &Team, scale: f64, teams: usize) -> f64 {
        match self.gamma {
            Gamma::SigmaOverC => team.variance.sqrt() / scale,
            Gamma::OneOverK => 1.0 / teams as f64,
        }
    }

    /// Algorithm 4: for every place, which of the teams that were still to be placed took it.
    fn plackett_luce(&self, teams: &[Team], margin: Margin, evidence: &mut [Evidence]) {
        let order = by_place(teams);
        let scale = teams.iter().map(|team| team.variance + self.beta_squared).sum::<f64>().sqrt();
        let strengths: Vec<f64> = order.iter().map(|&team| stretched(teams, team, margin) / scale).collect();
        let mut shares = Shares::new(&strengths);
        let mut start = 0;
        while start < order.len() {
            let place = teams[order[start]].place;
            let tied = order[start..].iter().take_while(|&&team| teams[team].place == place).count();
            shares.among(start);
            for (position, &team) in order.iter().enumerate().skip(start) {
                let share = shares.of(position);
                // Each of the tied teams counts as a draw of this place with an equal part.
                let own = if position < start + tied { 1.0 / tied as f64 } else { 0.0 };
                evidence[team].add(Evidence { pull: own - share, sharpening: share * (1.0 - share) });
            }
            start += tied;
        }
        for (team, said) in teams.iter().zip(evidence) {
            said.pull /= scale;
            said.sharpening *= self.gamma(team, scale, teams.len()) / (scale * scale);
        }
    }
}

/// Bradley-Terry: how far the share of the win was from the expected one, and its variance.
fn logistic_step(gap: f64, first: &Team, second: &Team) -> (f64, f64) {
    let expected = logistic(gap);
    let share = match first.place.cmp(&second.place) {
        core::cmp::Ordering::Less => 1.0,
        core::cmp::Ordering::Equal => 0.5,
        core::cmp::Ordering::Greater => 0.0,
    };
    (share - expected, expected * (1.0 - expected))
}

/// Thurstone-Mosteller: V and W of the observed outcome.
fn normal_step(gap: f64, margin: f64, first: &Team, second: &Team) -> (f64, f64) {
    let (sign, Truncated { shift, variance_left }) = match first.place.cmp(&second.place) {
        core::cmp::Ordering::Less => (1.0, above(gap, margin)),
        core::cmp::Ordering::Equal => (1.0, within(gap, margin)),
        core::cmp::Ordering::Greater => (-1.0, above(-gap, margin)),
    };
    (sign * shift, 1.0 - variance_left)
}

/// The logistic function.
pub fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-x))
}

/// Teams in the order of places; those of one place stay in their order.
fn by_place(teams: &[Team]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..teams.len()).collect();
    order.sort_by_key(|&team| teams[team].place);
    order
}

/// A team's mean as Plackett-Luce sees it once the scores are known (openskill.py): moved toward or away from those it met.
fn stretched(teams: &[Team], team: usize, margin: Margin) -> f64 {
    let own = &teams[team];
    let Some(score) = own.score.filter(|_| margin.0 > 0.0) else { return own.mean };
    let (mut moved, mut met) = (0.0, 0.0);
    for other in teams.iter().filter(|other| other.score.is_some_and(|other| other != score)) {
        moved -= (own.mean - other.mean) * (margin.divisor(own, other) - 1.0);
        met += 1.0;
    }
    if met > 0.0 { own.mean + moved / met } else { own.mean }
}

/// Who of the teams from a position on is the best, by share; strengths are logarithms.
struct Shares<'a> {
    strengths: &'a [f64],
    /// The largest strength from each position on.
    best_left: Vec<f64>,
    /// Weights relative to `base`, from `start` on.
    weights: Vec<f64>,
    base: f64,
    sum: f64,
}

/// Weights whose base is further above all of them than this are taken anew: their sum may have vanished.
const BASE_GAP_MAX: f64 = 500.0;

impl<'a> Shares<'a> {
    fn new(strengths: &'a [f64]) -> Self {
        let mut best_left = strengths.to_vec();
        for position in (1..best_left.len()).rev() {
            if best_left[position - 1] < best_left[position] {
                best_left[position - 1] = best_left[position];
            }
        }
        Shares { strengths, best_left, weights: Vec::new(), base: f64::INFINITY, sum: 0.0 }
    }

    fn among(&mut self, start: usize) {
        if self.base - self.best_left[start] > BASE_GAP_MAX {
            self.base = self.best_left[start];
            let base = self.base;
            self.weights.clear();
            self.weights.extend(self.strengths.iter().map(|strength| libm::exp(strength - base)));
        }
        self.sum = self.weights[start..].iter().sum();
    }

    fn of(&self, position: usize) -> f64 {
        self.weights[position] / self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODELS: [Model; 5] = [
        Model::PlackettLuce,
        Model::BradleyTerryFull,
        Model::BradleyTerryPartial,
        Model::ThurstoneMostellerFull,
        Model::ThurstoneMostellerPartial,
    ];

    fn game(model: Model) -> Game {
        Game { model, beta_squared: 17.0, epsilon: 0.1, gamma: Gamma::SigmaOverC, window: 4, averaged: true }
    }

    fn team(mean: f64, deviation: f64, place: u16) -> Team {
        Team { mean, variance: deviation * deviation, place, score: None }
    }

    #[test]
    fn two_teams_are_many_teams() {
        for model in MODELS {
            for places in [[0, 1], [1, 1], [1, 0]] {
                let teams = [team(25.0, 8.0, places[0]), team(31.0, 3.0, places[1])];
                let mut many = [Evidence::default(); 2];
                game(model).many_teams(&teams, Margin(0.0), &mut many);
                for (two, many) in game(model).two_teams(&teams[0], &teams[1], Margin(0.0)).iter().zip(many) {
                    assert!((two.pull - many.pull).abs() < 1e-15, "{model:?} {places:?}");
                    assert!((two.sharpening - many.sharpening).abs() < 1e-15, "{model:?} {places:?}");
                }
            }
        }
    }

    #[test]
    fn shares_of_strengths_far_apart_add_up_to_one() {
        let strengths = [5_000.0, -3_000.0, 2_000.0, -9_000.0, -9_001.0];
        let mut shares = Shares::new(&strengths);
        for start in 0..strengths.len() {
            shares.among(start);
            let sum: f64 = (start..strengths.len()).map(|position| shares.of(position)).sum();
            assert!((sum - 1.0).abs() < 1e-12, "{start}: {sum}");
        }
        shares.among(3);
        assert!((shares.of(3) - logistic(1.0)).abs() < 1e-15);
    }

    #[test]
    fn pulls_within_a_contest_cancel_out() {
        // Full pairing and Plackett-Luce only move skill from team to team.
        for model in [Model::PlackettLuce, Model::BradleyTerryFull, Model::ThurstoneMostellerFull] {
            let teams = [team(25.0, 8.0, 2), team(31.0, 3.0, 0), team(19.0, 5.0, 1), team(22.0, 1.0, 1)];
            let mut evidence = [Evidence::default(); 4];
            game(model).many_teams(&teams, Margin(0.0), &mut evidence);
            assert!(evidence.iter().map(|said| said.pull).sum::<f64>().abs() < 1e-15, "{model:?}");
        }
    }
}
