//! The two functions that every update needs, as short polynomials: the normal distribution and its hazard.
//!
//! Both are smooth, so that around each of a few hundred centers seven powers leave an error of a few units in the last place. The
//! coefficients are worked out when the engine is compiled, in arithmetic that is the same on every machine. There are no branches that
//! a processor guesses wrong, and few operations, each of which a sandbox watches for NaN.

use crate::Two;

/// Centers per unit.
const PER_UNIT: f64 = 16.0;
/// Left end of both tables.
const FROM: f64 = -8.0;
/// Right end of the distribution; beyond it fewer than 1e-15 are left.
const PROBABILITY_TO: f64 = 8.0;
/// Right end of the hazard, where the tail's continued fraction takes over.
const HAZARD_TO: f64 = 6.0;

const TERMS: usize = 8;
type Polynomial = [f64; TERMS];

static PROBABILITY: [Polynomial; 257] = probabilities();
static HAZARD: [Polynomial; 225] = hazards();

/// 1 / sqrt(2 pi).
const FRAC_1_SQRT_TAU: f64 = 0.398_942_280_401_432_7;

/// Probability that a standard normal lies below `x`; `None` outside of -8 to 8.
pub(crate) fn probability_below(x: f64) -> Option<f64> {
    (x > FROM && x < PROBABILITY_TO).then(|| evaluate(&PROBABILITY, x))
}

/// Density over the probability of a value above `z`; `None` outside of -8 to 6.
pub(crate) fn hazard(z: f64) -> Option<f64> {
    (z > FROM && z < HAZARD_TO).then(|| evaluate(&HAZARD, z))
}

/// The probability of a value below `x` and the hazard at `z`, with the bits of [`probability_below`] and [`hazard`]; `None` if either has
/// none.
#[inline(always)]
pub(crate) fn probability_and_hazard(x: f64, z: f64) -> Option<Two> {
    let inside = x > FROM && x < PROBABILITY_TO && z > FROM && z < HAZARD_TO;
    if !inside {
        return None;
    }
    let (centers, at) = locate(Two::new(x, z));
    let (below, hazard) = (PROBABILITY.get(centers[0])?, HAZARD.get(centers[1])?);
    Some(polynomial(|term| Two::new(below[term], hazard[term]), at))
}

#[inline]
fn evaluate<const CENTERS: usize>(table: &[Polynomial; CENTERS], z: f64) -> f64 {
    let (centers, at) = locate(Two::both(z));
    let Some(terms) = table.get(centers[0]) else { return f64::NAN };
    polynomial(|term| Two::both(terms[term]), at).first()
}

/// The center next to each number, and how far from it the number is.
#[inline(always)]
fn locate(z: Two) -> ([usize; 2], Two) {
    // Adding 1.5 * 2^52 rounds to the nearest whole number and leaves it in the low bits.
    const ROUNDING: f64 = 6_755_399_441_055_744.0;
    let from_left = z - Two::both(FROM);
    let rounded = from_left * Two::both(PER_UNIT) + Two::both(ROUNDING);
    let center = |rounded: f64| (rounded.to_bits() & 0x1ff) as usize;
    let at = from_left - (rounded - Two::both(ROUNDING)) * Two::both(1.0 / PER_UNIT);
    ([center(rounded.first()), center(rounded.second())], at)
}

#[inline(always)]
fn polynomial(term: impl Fn(usize) -> Two, x: Two) -> Two {
    // Pairs of terms first: the processor works them out side by side.
    let x2 = x * x;
    let (low, high) = ((term(0) + term(1) * x, term(2) + term(3) * x), (term(4) + term(5) * x, term(6) + term(7) * x));
    (low.0 + low.1 * x2) + (high.0 + high.1 * x2) * (x2 * x2)
}

const fn center(index: usize) -> f64 {
    FROM + index as f64 / PER_UNIT
}

/// Taylor's series about each center: the density's derivatives follow from f' = -z f.
const fn probabilities() -> [Polynomial; 257] {
    let mut table = [[0.0; TERMS]; 257];
    let mut index = 0;
    while index < table.len() {
        let z = center(index);
        let mut density = [0.0; TERMS];
        density[0] = density_at(z);
        table[index][0] = probability_at(z);
        let mut n = 0;
        while n + 1 < TERMS {
            let before = if n == 0 { 0.0 } else { density[n - 1] };
            density[n + 1] = -(z * density[n] + before) / (n + 1) as f64;
            table[index][n + 1] = density[n] / (n + 1) as f64;
            n += 1;
        }
        index += 1;
    }
    table
}

/// Taylor's series about each center: h' = h (h - z).
const fn hazards() -> [Polynomial; 225] {
    let mut table = [[0.0; TERMS]; 225];
    let mut index = 0;
    while index < table.len() {
        let z = center(index);
        let mut h = [0.0; TERMS];
        h[0] = hazard_at(z);
        let mut n = 0;
        while n + 1 < TERMS {
            let mut square = 0.0;
            let mut i = 0;
            while i <= n {
                square += h[i] * h[n - i];
                i += 1;
            }
            let before = if n == 0 { 0.0 } else { h[n - 1] };
            h[n + 1] = (square - z * h[n] - before) / (n + 1) as f64;
            n += 1;
        }
        table[index] = h;
        index += 1;
    }
    table
}

/// Where the continued fraction of the tail is used instead of the series from the middle.
const TAIL_FROM: f64 = 1.5;
const TAIL_LEVELS: u32 = 500;
const SERIES_TERMS: u32 = 200;

const fn hazard_at(z: f64) -> f64 {
    if z < TAIL_FROM {
        return density_at(z) / probability_at(-z);
    }
    // z + 1/(z + 2/(z + 3/(z + ..)))
    let mut fraction = 0.0;
    let mut level = TAIL_LEVELS;
    while level > 0 {
        fraction = level as f64 / (z + fraction);
        level -= 1;
    }
    z + fraction
}

const fn probability_at(z: f64) -> f64 {
    if z <= -TAIL_FROM {
        return density_at(z) / hazard_at(-z);
    }
    // 1/2 + density * (z + z^3/3 + z^5/15 + ..)
    let (mut term, mut sum, mut n) = (z, z, 1);
    while n < SERIES_TERMS {
        term *= z * z / (2 * n + 1) as f64;
        sum += term;
        n += 1;
    }
    0.5 + density_at(z) * sum
}

const fn density_at(z: f64) -> f64 {
    FRAC_1_SQRT_TAU * exp(-0.5 * z * z)
}

/// e to the power of `y`, from -40 to 0.
const fn exp(y: f64) -> f64 {
    // The natural logarithm of 2 in two parts: a multiple of the first by a small number is exact.
    const LN2_HIGH: f64 = 6.931_471_803_691_238e-1;
    const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    let halvings = (-y / core::f64::consts::LN_2) as u32;
    let rest = y + halvings as f64 * LN2_HIGH + halvings as f64 * LN2_LOW;
    let (mut term, mut sum, mut n) = (1.0, 1.0, 1);
    while n < 30 {
        term *= rest / n as f64;
        sum += term;
        n += 1;
    }
    let mut halved = 0;
    while halved < halvings {
        sum *= 0.5;
        halved += 1;
    }
    sum
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn relative(got: f64, expected: f64) -> f64 {
        ((got - expected) / expected).abs()
    }

    #[test]
    fn the_tables_are_what_the_library_says() {
        let (mut worst_share, mut worst, mut worst_hazard) = (0.0_f64, 0.0_f64, 0.0_f64);
        for step in -79_999..80_000 {
            let x = f64::from(step) * 1e-4;
            let (got, expected) = (probability_below(x).unwrap(), 0.5 * libm::erfc(-x * core::f64::consts::FRAC_1_SQRT_2));
            worst_share = worst_share.max(relative(got, expected));
            worst = worst.max((got - expected).abs());
            if let Some(hazard) = hazard(x) {
                let above = 0.5 * libm::erfc(x * core::f64::consts::FRAC_1_SQRT_2);
                let expected = FRAC_1_SQRT_TAU * libm::exp(-0.5 * x * x) / above;
                worst_hazard = worst_hazard.max((hazard - expected).abs());
            }
        }
        assert!(worst_share < 1e-9 && worst < 2e-15 && worst_hazard < 1e-13, "{worst_share} {worst} {worst_hazard}");
    }

    #[test]
    fn both_at_once_have_the_bits_of_either_alone() {
        for step in -9_000..9_000 {
            let (x, z) = (f64::from(step) * 1e-3, f64::from(-step) * 0.7e-3 + 0.1);
            let alone = probability_below(x).zip(hazard(z)).map(|(below, hazard)| [below.to_bits(), hazard.to_bits()]);
            let at_once = probability_and_hazard(x, z).map(|both| [both.first().to_bits(), both.second().to_bits()]);
            assert_eq!(at_once, alone, "{x} {z}");
        }
        assert!(probability_and_hazard(f64::NAN, 0.0).is_none() && probability_and_hazard(0.0, f64::NAN).is_none());
    }

    #[test]
    fn beyond_the_tables_there_is_nothing() {
        for x in [-8.0, 8.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300] {
            assert_eq!((probability_below(x), hazard(x)), (None, None), "{x}");
        }
        assert_eq!(hazard(6.0), None);
    }
}
