//! Real history: every contest is predicted before it is rated, and the predictions are scored ([`history`]).
//!
//! The limits lie a little above what was measured on these files (docs/ratings.md), which are the first halves of histories whose
//! second halves were not seen when the engine was made.
#![allow(missing_docs, clippy::unwrap_used)]

mod history;

use history::{Score, score, shared};
use rating_adaptive::{Adaptive, Parameters};

#[test]
fn every_shape_of_real_history_is_predicted_as_well_as_documented() {
    for (name, log_loss_max) in [("halo2_h2h", 0.576), ("halo2_teams", 0.613), ("football_intl", 0.567), ("f1_races", 0.656)] {
        let (Score { log_loss, accuracy, .. }, _) = score::<Adaptive>(&shared(name), Parameters::default());
        assert!(log_loss < log_loss_max, "{name}: log loss {log_loss}, accuracy {accuracy}");
    }
}
