//! Two teams of one size whose members all count in full: the usual contest, with the number of players known to the compiler.
//!
//! The same closed form as [`two_teams`](crate::gaussian::two_teams). A component looks at its deadline at every turn of a loop and watches
//! every operation for NaN; here there are no turns, few operations, and most of them on two numbers at a time.

use normal::{Two, below_and_above, probability_below, within};

use crate::gaussian::{Comparison, Game};

/// Players of a contest for which there is a way of known length: one against one to six against six.
macro_rules! for_each_size {
    ($players:expr, $run:ident) => {
        match $players {
            2 => $run!(2),
            4 => $run!(4),
            6 => $run!(6),
            8 => $run!(8),
            10 => $run!(10),
            12 => $run!(12),
            _ => None,
        }
    };
}

/// Probability that the first half of the players does better than the second; `None` for a size that is not usual.
pub(crate) fn expected_share(game: &Game, mean: &[f64], uncertainty: &[f64]) -> Option<f64> {
    macro_rules! run {
        ($players:literal) => {
            Some(share_of::<$players>(game, &Sums::of(mean.first_chunk()?, uncertainty.first_chunk()?)))
        };
    }
    for_each_size!(mean.len(), run)
}

/// Rates a contest of the first half of the players against the second, and says what [`expected_share`] says of it; `None` for a size that
/// is not usual: then nothing has changed.
pub(crate) fn rate(game: &Game, mean: &mut [f64], uncertainty: &mut [f64], comparison: Comparison) -> Option<f64> {
    macro_rules! run {
        ($players:literal) => {
            Some(rate_sized::<$players>(game, mean.first_chunk_mut()?, uncertainty.first_chunk_mut()?, comparison))
        };
    }
    for_each_size!(mean.len(), run)
}

/// What is believed of two teams, and what of it stands before the update.
struct Sums<const PLAYERS: usize> {
    /// Expected skill of the first team beyond that of the second.
    gap: f64,
    /// Variance of all skills together.
    variance: f64,
    /// Variance of each skill, two by two.
    variances: [Two; PLAYERS],
}

impl<const PLAYERS: usize> Sums<PLAYERS> {
    #[inline(always)]
    fn of(mean: &[f64; PLAYERS], uncertainty: &[f64; PLAYERS]) -> Self {
        let signed = |seat: usize| if seat < PLAYERS / 2 { mean[seat] } else { -mean[seat] };
        let mut sums = Sums { gap: 0.0, variance: 0.0, variances: [Two::both(0.0); PLAYERS] };
        let mut gap = Two::new(signed(0), signed(1));
        let mut variance = Two::both(0.0);
        for two in 0..PLAYERS / 2 {
            let deviation = Two::new(uncertainty[2 * two], uncertainty[2 * two + 1]);
            sums.variances[two] = deviation * deviation;
            if two == 0 {
                variance = sums.variances[two];
            } else {
                variance = variance + sums.variances[two];
                gap = gap + Two::new(signed(2 * two), signed(2 * two + 1));
            }
        }
        sums.gap = gap.sum();
        sums.variance = variance.sum();
        sums
    }

    /// One through the deviation of the difference of the teams' performances: before the drift of a contest, and after.
    #[inline(always)]
    fn per_deviation(&self, game: &Game) -> Two {
        let (players, before) = (PLAYERS as f64, game.beta_squared);
        let noise = Two::new(players * before, players * (before + game.tau_squared));
        (Two::both(self.variance) + noise).sqrt().recip()
    }
}

#[inline(always)]
fn share_of<const PLAYERS: usize>(game: &Game, sums: &Sums<PLAYERS>) -> f64 {
    probability_below(sums.gap * sums.per_deviation(game).first())
}

#[inline(always)]
fn rate_sized<const PLAYERS: usize>(
    game: &Game,
    mean: &mut [f64; PLAYERS],
    uncertainty: &mut [f64; PLAYERS],
    comparison: Comparison,
) -> f64 {
    let sums = Sums::of(mean, uncertainty);
    let per_deviations = sums.per_deviation(game);
    let per_deviation = per_deviations.second();
    // Seen from the winner.
    let gap = if comparison == Comparison::Lost { -sums.gap } else { sums.gap };
    let margin = game.margin(PLAYERS as f64);
    let (share, shift, reduction) = if comparison == Comparison::Drew {
        let drew = within(gap * per_deviation, margin * per_deviation);
        (share_of(game, &sums), drew.shift, 1.0 - drew.variance_left)
    } else {
        let arguments = Two::new(sums.gap, margin - gap) * per_deviations;
        below_and_above(arguments.first(), arguments.second())
    };
    let pull = if comparison == Comparison::Lost { -shift } else { shift } * per_deviation;
    let sharpening = Two::both(reduction * (per_deviation * per_deviation));
    let own = |seat: usize| if seat < PLAYERS / 2 { pull } else { -pull };
    for two in 0..PLAYERS / 2 {
        let (first, second) = (2 * two, 2 * two + 1);
        let variance = sums.variances[two] + Two::both(game.tau_squared);
        let moved = Two::new(mean[first], mean[second]) + variance * Two::new(own(first), own(second));
        let left = (variance * (Two::both(1.0) - variance * sharpening)).at_least(f64::MIN_POSITIVE).sqrt();
        (mean[first], mean[second]) = (moved.first(), moved.second());
        (uncertainty[first], uncertainty[second]) = (left.first(), left.second());
    }
    share
}
