//! How well predictions fared: log loss, Brier score and accuracy, prequential.
//!
//! Per contest: the mean over its pairs of teams of `-(s ln p + (1-s) ln(1-p))` with s = 1, 0.5 or 0; Brier likewise; accuracy over decisive
//! pairs, p = 0.5 counting half. Then the mean over contests.

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

impl Score {
    /// Adds one contest: `predicted` holds one probability per pair i < j, in the order (0,1), (0,2), .. (1,2), ...
    ///
    /// A contest without pairs, or with another number of predictions than pairs, is left out.
    pub fn add(&mut self, places: &[u16], predicted: &[f64]) {
        let pairs = places.len() * places.len().saturating_sub(1) / 2;
        if pairs == 0 || pairs != predicted.len() {
            return;
        }
        let (mut log_loss, mut brier, mut right, mut decisive) = (0.0, 0.0, 0.0, 0_u32);
        let mut predictions = predicted.iter();
        for (i, first) in places.iter().enumerate() {
            for (second, p) in places[i + 1..].iter().zip(&mut predictions) {
                let outcome = match first.cmp(second) {
                    core::cmp::Ordering::Less => 1.0,
                    core::cmp::Ordering::Equal => 0.5,
                    core::cmp::Ordering::Greater => 0.0,
                };
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
        self.contests += 1;
        self.log_loss += log_loss / pairs;
        self.brier += brier / pairs;
        if decisive > 0 {
            self.decisive_contests += 1;
            self.accuracy += right / f64::from(decisive);
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

/// How often what was predicted came about: pairs of teams by the probability that was predicted for the first.
///
/// In the order in which teams stand, so that a pair counts once. An engine is calibrated if the two means of each tenth agree.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Calibration {
    tenths: [Tenth; 10],
}

/// The pairs whose prediction fell into one tenth of 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tenth {
    /// How many.
    pub pairs: u64,
    predicted: f64,
    came_about: f64,
}

impl Tenth {
    /// Mean of the predictions; `None` without pairs.
    #[must_use]
    pub fn predicted(&self) -> Option<f64> {
        mean(self.predicted, self.pairs)
    }

    /// Share of pairs whose first team placed before the second, draws counting half; `None` without pairs.
    #[must_use]
    pub fn came_about(&self) -> Option<f64> {
        mean(self.came_about, self.pairs)
    }
}

impl Calibration {
    /// Adds one contest, as [`Score::add`] takes it; another number of predictions than pairs is left out.
    pub fn add(&mut self, places: &[u16], predicted: &[f64]) {
        if predicted.len() != places.len() * places.len().saturating_sub(1) / 2 {
            return;
        }
        let mut predictions = predicted.iter();
        for (i, first) in places.iter().enumerate() {
            for (second, &p) in places[i + 1..].iter().zip(&mut predictions) {
                // A float-to-integer cast saturates: whatever p is, it falls into some tenth.
                let tenth = &mut self.tenths[((p * 10.0) as usize).min(9)];
                tenth.pairs += 1;
                tenth.predicted += p;
                tenth.came_about += match first.cmp(second) {
                    core::cmp::Ordering::Less => 1.0,
                    core::cmp::Ordering::Equal => 0.5,
                    core::cmp::Ordering::Greater => 0.0,
                };
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
    fn every_pair_falls_into_the_tenth_of_its_prediction() {
        let mut calibration = Calibration::default();
        calibration.add(&[0, 1, 1], &[1.0, 0.64, 0.61]);
        calibration.add(&[0, 1], &[0.5, 0.5]);
        let tenths = calibration.tenths();
        assert_eq!((tenths[9].pairs, tenths[9].came_about()), (1, Some(1.0)));
        assert_eq!((tenths[6].pairs, tenths[6].predicted(), tenths[6].came_about()), (2, Some(0.625), Some(0.75)));
        assert_eq!((tenths[5].pairs, tenths[5].predicted()), (0, None));
    }

    #[test]
    fn a_certain_mistake_costs_a_finite_amount() {
        let mut score = Score::default();
        score.add(&[0, 1], &[0.0]);
        assert!(score.log_loss().expect("one contest").is_finite());
    }
}
