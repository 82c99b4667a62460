//! How well predictions fared: log loss, Brier score and accuracy, prequential.
//!
//! Per contest: the mean over its pairs of teams of `-(s ln p + (1-s) ln(1-p))` with s = 1, 0.5 or 0; Brier likewise; accuracy over decisive
//! pairs, p = 0.5 counting half. Then the mean over contests.

use alloc::vec;
use alloc::vec::Vec;

/// Predictions at the edge are moved in by this much, so that one certain mistake costs a finite amount.
const PROBABILITY_MARGIN: f64 = 1e-12;

/// Running means over contests.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Score {
    contests: u64,
    log_loss: f64,
    brier: f64,
    decisive_contests: u64,
    accuracy: f64,
}

/// How the prediction of one contest fared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ContestScore {
    /// In nats. A coin scores 0.693; 0 is a certainty that came about.
    pub log_loss: f64,
    /// 0 to 1.
    pub brier: f64,
    /// Share of decisive pairs predicted right, 0 to 1; `None`: all drew.
    pub accuracy: Option<f64>,
}

impl ContestScore {
    /// `predicted` holds one probability per pair i < j, in the order (0,1), (0,2), .. (1,2), ... `None` for a contest without pairs, or with
    /// another number of predictions than pairs.
    #[must_use]
    pub fn of(places: &[u16], predicted: &[f64]) -> Option<Self> {
        let pairs = places.len() * places.len().saturating_sub(1) / 2;
        if pairs == 0 || pairs != predicted.len() {
            return None;
        }
        let (mut log_loss, mut brier, mut right, mut decisive) = (0.0, 0.0, 0.0, 0_u32);
        let mut predictions = predicted.iter();
        for (i, &first) in places.iter().enumerate() {
            for (&second, p) in places[i + 1..].iter().zip(&mut predictions) {
                let outcome = share_won(first, second);
                let p = p.clamp(PROBABILITY_MARGIN, 1.0 - PROBABILITY_MARGIN);
                log_loss -= outcome * libm::log(p) + (1.0 - outcome) * libm::log(1.0 - p);
                brier += (outcome - p) * (outcome - p);
                if outcome != 0.5 {
                    decisive += 1;
                    right += if p == 0.5 { 0.5 } else { f64::from((p > 0.5) == (outcome == 1.0)) };
                }
            }
        }
        // Exact: the number of pairs is far below 2^53.
        let pairs = pairs as f64;
        let accuracy = (decisive > 0).then(|| right / f64::from(decisive));
        Some(Self { log_loss: log_loss / pairs, brier: brier / pairs, accuracy })
    }
}

/// What the first of a pair of teams got of it: 1, 0.5 for a draw, or 0.
fn share_won(first: u16, second: u16) -> f64 {
    match first.cmp(&second) {
        core::cmp::Ordering::Less => 1.0,
        core::cmp::Ordering::Equal => 0.5,
        core::cmp::Ordering::Greater => 0.0,
    }
}

/// Per team, what was predicted: the mean probability to place before another team of the contest, draws counting half. For two teams the
/// probability to win. Empty if there is another number of predictions than pairs.
#[must_use]
pub fn expected_shares(teams: usize, predicted: &[f64]) -> Vec<f64> {
    if teams < 2 || predicted.len() != teams * (teams - 1) / 2 {
        return Vec::new();
    }
    let mut shares = vec![0.0; teams];
    let mut predictions = predicted.iter();
    for first in 0..teams {
        for (second, p) in (first + 1..teams).zip(&mut predictions) {
            shares[first] += p;
            shares[second] += 1.0 - p;
        }
    }
    let others = (teams - 1) as f64;
    shares.iter_mut().for_each(|share| *share /= others);
    shares
}

/// What a team got of its pairs: the share of the other teams that it placed before, draws counting half. `None`: no such team, or no other.
#[must_use]
pub fn share_of_pairs(places: &[u16], team: usize) -> Option<f64> {
    let own = *places.get(team)?;
    let others = places.iter().enumerate().filter(|&(other, _)| other != team);
    let won: f64 = others.map(|(_, &place)| share_won(own, place)).sum();
    (places.len() > 1).then(|| won / (places.len() - 1) as f64)
}

impl Score {
    /// Adds one contest: `predicted` holds one probability per pair i < j, in the order (0,1), (0,2), .. (1,2), ...
    ///
    /// A contest without pairs, or with another number of predictions than pairs, is left out.
    pub fn add(&mut self, places: &[u16], predicted: &[f64]) {
        if let Some(contest) = ContestScore::of(places, predicted) {
            self.add_contest(&contest);
        }
    }

    /// Adds one contest that was scored already.
    pub fn add_contest(&mut self, contest: &ContestScore) {
        self.contests += 1;
        self.log_loss += contest.log_loss;
        self.brier += contest.brier;
        if let Some(accuracy) = contest.accuracy {
            self.decisive_contests += 1;
            self.accuracy += accuracy;
        }
    }

    /// Contests added.
    #[must_use]
    pub fn contests(&self) -> u64 {
        self.contests
    }

    /// Mean log loss in nats; `None` before the first contest. A coin scores 0.693.
    #[must_use]
    pub fn log_loss(&self) -> Option<f64> {
        mean(self.log_loss, self.contests)
    }

    /// Mean Brier score, 0 to 1; `None` before the first contest.
    #[must_use]
    pub fn brier(&self) -> Option<f64> {
        mean(self.brier, self.contests)
    }

    /// Share of decisive pairs predicted right, 0 to 1; `None` before the first decisive contest.
    #[must_use]
    pub fn accuracy(&self) -> Option<f64> {
        mean(self.accuracy, self.decisive_contests)
    }
}

/// How often what was predicted came about: teams of pairs by the probability that was predicted for them.
///
/// Each pair counts twice, once from either side: no order of the teams is better than another. An engine is calibrated if the two means of
/// each tenth agree.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Calibration {
    tenths: [Tenth; 10],
}

/// The sides of pairs whose prediction fell into one tenth of 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tenth {
    /// How many.
    pub sides: u64,
    predicted: f64,
    came_about: f64,
}

impl Tenth {
    /// Mean of the predictions; `None` without any.
    #[must_use]
    pub fn predicted(&self) -> Option<f64> {
        mean(self.predicted, self.sides)
    }

    /// Share of sides that placed before the other, draws counting half; `None` without any.
    #[must_use]
    pub fn came_about(&self) -> Option<f64> {
        mean(self.came_about, self.sides)
    }

    fn add(&mut self, predicted: f64, came_about: f64) {
        self.sides += 1;
        self.predicted += predicted;
        self.came_about += came_about;
    }
}

impl Calibration {
    /// Adds one contest, as [`Score::add`] takes it; another number of predictions than pairs is left out.
    pub fn add(&mut self, places: &[u16], predicted: &[f64]) {
        if predicted.len() != places.len() * places.len().saturating_sub(1) / 2 {
            return;
        }
        let mut predictions = predicted.iter();
        for (i, &first) in places.iter().enumerate() {
            for (&second, &p) in places[i + 1..].iter().zip(&mut predictions) {
                let outcome = share_won(first, second);
                for (p, outcome) in [(p, outcome), (1.0 - p, 1.0 - outcome)] {
                    // A float-to-integer cast saturates: whatever p is, it falls into some tenth.
                    self.tenths[((p * 10.0) as usize).min(9)].add(p, outcome);
                }
            }
        }
    }

    /// From 0 to 0.1 up to 0.9 to 1.
    #[must_use]
    pub fn tenths(&self) -> &[Tenth; 10] {
        &self.tenths
    }
}

fn mean(sum: f64, count: u64) -> Option<f64> {
    (count > 0).then(|| sum / count as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coin_scores_ln_two_and_half_right() {
        let mut score = Score::default();
        score.add(&[0, 1], &[0.5]);
        assert!((score.log_loss().expect("one contest") - core::f64::consts::LN_2).abs() < 1e-12);
        assert_eq!(score.accuracy(), Some(0.5));
        assert_eq!(score.brier(), Some(0.25));
    }

    #[test]
    fn draws_count_for_log_loss_and_not_for_accuracy() {
        let mut score = Score::default();
        score.add(&[0, 0], &[0.9]);
        assert_eq!(score.accuracy(), None);
        let expected = -(0.5 * libm::log(0.9) + 0.5 * libm::log(0.1));
        assert!((score.log_loss().expect("one contest") - expected).abs() < 1e-12);
    }

    #[test]
    fn a_contest_with_a_foreign_number_of_predictions_is_left_out() {
        let mut score = Score::default();
        score.add(&[0, 1, 2], &[0.9]);
        score.add(&[0], &[]);
        assert_eq!(score.contests(), 0);
    }

    #[test]
    fn every_pair_falls_into_the_tenths_of_both_its_sides() {
        let mut calibration = Calibration::default();
        calibration.add(&[0, 1, 1], &[1.0, 0.75, 0.625]);
        calibration.add(&[0, 1], &[0.5, 0.5]);
        let tenths = calibration.tenths();
        assert_eq!((tenths[9].sides, tenths[9].came_about(), tenths[0].sides, tenths[0].came_about()), (1, Some(1.0), 1, Some(0.0)));
        assert_eq!((tenths[7].predicted(), tenths[7].came_about()), (Some(0.75), Some(1.0)));
        assert_eq!((tenths[2].predicted(), tenths[2].came_about()), (Some(0.25), Some(0.0)));
        assert_eq!((tenths[6].came_about(), tenths[3].came_about()), (Some(0.5), Some(0.5)), "a draw is half for either");
        assert_eq!((tenths[5].sides, tenths[5].predicted()), (0, None), "another number of predictions than pairs");
    }

    #[test]
    fn calibration_does_not_depend_on_which_team_stands_first() {
        let (mut one, mut other) = (Calibration::default(), Calibration::default());
        one.add(&[0, 1], &[0.75]);
        other.add(&[1, 0], &[0.25]);
        assert_eq!(one, other);
    }

    #[test]
    fn shares_expected_of_teams_and_shares_got_add_up() {
        let expected = expected_shares(3, &[0.75, 0.5, 0.25]);
        assert_eq!(expected, [0.625, 0.25, 0.625]);
        assert_eq!(expected_shares(2, &[0.75]), [0.75, 0.25]);
        assert_eq!((expected_shares(2, &[]), expected_shares(1, &[])), (vec![], vec![]));
        let got: Vec<_> = (0..4).map(|team| share_of_pairs(&[0, 1, 1], team)).collect();
        assert_eq!(got, [Some(1.0), Some(0.25), Some(0.25), None]);
        assert_eq!(share_of_pairs(&[0], 0), None);
    }

    #[test]
    fn a_certain_mistake_costs_a_finite_amount() {
        let mut score = Score::default();
        score.add(&[0, 1], &[0.0]);
        assert!(score.log_loss().expect("one contest").is_finite());
    }
}
