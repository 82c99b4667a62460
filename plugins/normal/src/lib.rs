//! The normal distribution, and what truncating it does to its moments.
//!
//! Everything here keeps its relative precision far out in the tails, where the textbook quotients are 0 / 0: an upset
//! of a hundred standard deviations has finite, exact moments. All transcendental functions come from `libm`, which is
//! plain arithmetic: a native build and a component give the same bits.

use core::f64::consts::{FRAC_1_SQRT_2, SQRT_2};

mod tables;
mod two;

pub use two::Two;

/// 1 / sqrt(2 pi).
const FRAC_1_SQRT_TAU: f64 = 0.398_942_280_401_432_7;

/// sqrt(pi) / 2.
const HALF_SQRT_PI: f64 = 0.886_226_925_452_758;

/// Where the tail's continued fraction takes over from the complementary error function.
const TAIL_Z: f64 = 6.0;

/// Levels of the continued fraction: at [`TAIL_Z`] and beyond they leave less than one unit in the last place.
const TAIL_LEVELS: u32 = 60;

/// Narrowest interval that counts as a draw, in standard deviations: a queue without draws that sees one after all.
const MARGIN_MIN: f64 = 1e-6;

/// Density at `x`.
pub fn density(x: f64) -> f64 {
    FRAC_1_SQRT_TAU * libm::exp(-0.5 * x * x)
}

/// Probability of a value below `x`.
pub fn probability_below(x: f64) -> f64 {
    tables::probability_below(x).unwrap_or_else(|| 0.5 * libm::erfc(-x * FRAC_1_SQRT_2))
}

/// The x for which a value within -x and x has probability `p`, 0 to below 1.
pub fn half_width_of(p: f64) -> f64 {
    // erf is concave above 0, so that Newton's method from the left never overshoots and stops where it no longer moves.
    let mut x = p * HALF_SQRT_PI;
    for _ in 0..100 {
        let step = (p - libm::erf(x)) * HALF_SQRT_PI * libm::exp(x * x);
        if step <= x * 1e-17 {
            break;
        }
        x += step;
    }
    x * SQRT_2
}

/// What observing an inequality does to a standard normal: how its mean moves, and what is left of its variance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Truncated {
    /// New mean minus old mean, in standard deviations: the function V of the literature.
    pub shift: f64,
    /// New variance as a share of the old one, above 0, at most 1: 1 - W of the literature.
    pub variance_left: f64,
}

/// A normal of mean `t` and variance 1 is observed to lie above `margin`: a win (Herbrich, Minka, Graepel 2006, V and W with >).
pub fn above(t: f64, margin: f64) -> Truncated {
    let z = margin - t;
    if z < TAIL_Z {
        let shift = tables::hazard(z).unwrap_or_else(|| density(z) / probability_below(-z));
        return Truncated { shift, variance_left: 1.0 - shift * (shift - z) };
    }
    // Far in the tail both the density and the probability vanish. Their quotient is z + 1/(z + 2/(z + 3/(z + ..))); what is
    // left of the variance is a difference of neighbouring fractions of it, and loses nothing.
    let second = tail_fraction(z);
    let first = 1.0 / (z + second);
    Truncated { shift: z + first, variance_left: first * (second - first) }
}

/// For the usual update: [`probability_below`] `x`, then the shift of [`above`] for mean and margin that are `z` apart and the share of the
/// variance that is lost (W of the literature; far in the tail it is 1 but for what `above` keeps).
#[inline(always)]
pub fn below_and_above(x: f64, z: f64) -> (f64, f64, f64) {
    match tables::probability_and_hazard(x, z) {
        Some(both) => (both.first(), both.second(), both.second() * (both.second() - z)),
        None => {
            let Truncated { shift, variance_left } = above(-z, 0.0);
            (probability_below(x), shift, 1.0 - variance_left)
        }
    }
}

/// 2/(z + 3/(z + 4/(z + ..))) for z of [`TAIL_Z`] and above.
fn tail_fraction(z: f64) -> f64 {
    let mut fraction = 0.0;
    for level in (2..TAIL_LEVELS).rev() {
        fraction = f64::from(level) / (z + fraction);
    }
    fraction
}

/// A normal of mean `t` and variance 1 is observed to lie within `-margin` and `margin`: a draw (ibid., V and W with |.|).
pub fn within(t: f64, margin: f64) -> Truncated {
    let margin = margin.max(MARGIN_MIN);
    // The literature's quotients are exact enough only where the interval is wide and near.
    if margin >= 1e-2 && t.abs() + margin < 5.0 { within_by_quotient(t, margin) } else { within_by_quadrature(t, margin) }
}

fn within_by_quotient(t: f64, margin: f64) -> Truncated {
    // Mirrored to the lower tail, where probabilities are small and their difference keeps its digits.
    let (upper, lower) = (margin - t.abs(), -margin - t.abs());
    let inside = probability_below(upper) - probability_below(lower);
    let (at_upper, at_lower) = (density(upper), density(lower));
    let shift = (at_lower - at_upper) / inside;
    let second = (lower * at_lower - upper * at_upper) / inside;
    Truncated { shift: shift.copysign(-t), variance_left: 1.0 + second - shift * shift }
}

/// Integrates the moments over the part of the interval that carries any weight. Mean and variance are taken about the mode, so
/// that nothing cancels, and densities are relative to the mode's, so that nothing underflows.
fn within_by_quadrature(t: f64, margin: f64) -> Truncated {
    let mode = t.clamp(-margin, margin);
    let slope = t - mode;
    // Beyond this distance from the mode the density is below e^-40 of the mode's.
    let reach = 80.0 / (slope.abs() + (slope * slope + 80.0).sqrt());
    let (from, to) = ((mode - reach).max(-margin), (mode + reach).min(margin));
    // Panels of at most four e-foldings: exact to rounding with ten nodes.
    let length = to - from;
    let panels = libm::ceil((slope.abs() + 0.5 * length) * length / 4.0).clamp(1.0, PANELS_MAX) as u32;
    let half_panel = 0.5 * length / f64::from(panels);
    let (mut weight, mut first, mut second) = (0.0, 0.0, 0.0);
    for panel in 0..panels {
        let center = (from - mode) + half_panel * f64::from(2 * panel + 1);
        for (node, node_weight) in GAUSS_LEGENDRE_10 {
            for y in [center - half_panel * node, center + half_panel * node] {
                let mass = node_weight * libm::exp(slope * y - 0.5 * y * y);
                weight += mass;
                first += mass * y;
                second += mass * y * y;
            }
        }
    }
    let mean = first / weight;
    Truncated { shift: mean - slope, variance_left: second / weight - mean * mean }
}

/// Panels of the quadrature at most; both moments are cut off forty e-foldings from the mode, on either side.
const PANELS_MAX: f64 = 24.0;

/// Positive nodes and weights of the ten-point Gauss-Legendre rule on -1 to 1 (Abramowitz and Stegun, table 25.4).
const GAUSS_LEGENDRE_10: [(f64, f64); 5] = [
    (0.148_874_338_981_631_22, 0.295_524_224_714_752_87),
    (0.433_395_394_129_247_2, 0.269_266_719_309_996_35),
    (0.679_409_568_299_024_4, 0.219_086_362_515_982_04),
    (0.865_063_366_688_984_5, 0.149_451_349_150_580_6),
    (0.973_906_528_517_171_7, 0.066_671_344_308_688_14),
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[track_caller]
    fn close(got: f64, expected: f64, what: &str) {
        assert!((got - expected).abs() <= 1e-12 * expected.abs().max(1.0), "{what}: got {got}, expected {expected}");
    }

    #[test]
    fn the_half_width_covers_its_probability() {
        // Quantiles of the standard normal at (p + 1) / 2.
        for (p, expected) in [(0.0, 0.0), (0.1, 0.125_661_346_855_074_02), (0.5, 0.674_489_750_196_081_7), (0.95, 1.959_963_984_540_054)] {
            close(half_width_of(p), expected, "quantile");
        }
        for p in [1e-12, 1e-3, 0.3, 0.99] {
            let x = half_width_of(p);
            close(libm::erf(x * FRAC_1_SQRT_2) / p, 1.0, "round trip");
        }
    }

    #[test]
    fn a_hundred_standard_deviations_against_the_odds_stay_exact() {
        // Asymptotic series of the Mills ratio at z = 100, whose first terms are exact to 1e-16.
        let z = 100.0_f64;
        let won = above(-z, 0.0);
        close(won.shift, z + 1.0 / z - 2.0 / z.powi(3) + 10.0 / z.powi(5) - 74.0 / z.powi(7), "shift");
        close(won.variance_left * z * z, 1.0 - 6.0 / z.powi(2) + 50.0 / z.powi(4) - 518.0 / z.powi(6), "variance left");
        let expected = above(z, 0.0);
        assert_eq!((expected.shift, expected.variance_left), (0.0, 1.0));
    }

    #[test]
    fn the_two_ways_to_a_win_meet() {
        let (below, beyond) = (above(1e-9 - TAIL_Z, 0.0), above(-TAIL_Z, 0.0));
        assert!((below.shift - beyond.shift).abs() < 3e-9);
        assert!((below.variance_left - beyond.variance_left).abs() < 1e-9);
    }

    #[test]
    fn the_two_ways_to_a_draw_agree() {
        for margin in [1e-2, 0.05, 0.74, 2.0] {
            for t in [-2.9, -1.0, 0.0, 0.3, 2.0] {
                let (quotient, quadrature) = (within_by_quotient(t, margin), within_by_quadrature(t, margin));
                assert!((quotient.shift - quadrature.shift).abs() < 1e-11, "{t} {margin}");
                assert!((quotient.variance_left - quadrature.variance_left).abs() < 1e-11, "{t} {margin}");
            }
        }
    }

    #[test]
    fn an_observation_never_widens_and_never_ends_a_belief() {
        for step in -400..=400 {
            let t = f64::from(step) * 0.5;
            for margin in [0.0, 1e-9, 1e-4, 0.1, 3.0, 50.0] {
                for observed in [above(t, margin), within(t, margin)] {
                    assert!(observed.shift.is_finite(), "{t} {margin}");
                    assert!(observed.variance_left > 0.0 && observed.variance_left <= 1.0 + 1e-12, "{t} {margin} {observed:?}");
                }
            }
        }
    }
}
