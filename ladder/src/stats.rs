//! Limits on what a game server may claim, and the only way to get a number inside them.

use crate::reason::code;

/// Limits of one statistic, both included. Finite, `min <= max`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bound {
    min: f64,
    max: f64,
}

/// Limits that cannot be used. The operator's or the rules plugin's fault, whoever declared them.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("bounds {min} to {max} are not two finite numbers in order")]
pub struct BadBound {
    /// The lower limit as declared.
    pub min: f64,
    /// The upper limit as declared.
    pub max: f64,
}

impl Bound {
    /// Takes limits as declared.
    ///
    /// # Errors
    /// They are not finite or not in order.
    pub fn new(min: f64, max: f64) -> Result<Self, BadBound> {
        if min.is_finite() && max.is_finite() && min <= max {
            // Adding zero turns -0.0 into 0.0, so that a clamped value has one bit pattern.
            Ok(Self { min: min + 0.0, max: max + 0.0 })
        } else {
            Err(BadBound { min, max })
        }
    }

    /// The lower limit.
    #[must_use]
    pub fn min(self) -> f64 {
        self.min
    }

    /// The upper limit.
    #[must_use]
    pub fn max(self) -> f64 {
        self.max
    }

    /// What both limits allow; if they exclude each other, the nearest point of `self`: the operator's word stands.
    #[must_use]
    pub fn intersect(self, other: Self) -> Self {
        let min = other.min.clamp(self.min, self.max);
        let max = other.max.clamp(self.min, self.max);
        Self { min, max }
    }

    /// Forces a claim inside. Not-a-number has no place inside and becomes the lower limit; infinities become the limit on their side.
    #[must_use]
    pub fn clamp(self, claimed: f64) -> Clamped {
        if claimed.is_nan() {
            return Clamped { value: self.min, because: Some(code::NOT_FINITE) };
        }
        let value = claimed.clamp(self.min, self.max) + 0.0;
        let because = if !claimed.is_finite() {
            Some(code::NOT_FINITE)
        } else if claimed < self.min || claimed > self.max {
            Some(code::CLAMPED)
        } else {
            None
        };
        Clamped { value, because }
    }
}

/// A number that the rating may see. Only [`Bound::clamp`] makes one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clamped {
    value: f64,
    because: Option<&'static str>,
}

impl Clamped {
    /// The number: finite and inside its bound.
    #[must_use]
    pub fn value(self) -> f64 {
        self.value
    }

    /// Why the claim was changed, as a reason code; `None` if it was inside.
    #[must_use]
    pub fn because(self) -> Option<&'static str> {
        self.because
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hostile_numbers_end_inside_and_say_why() {
        let kills = Bound::new(0.0, 100.0).expect("in order");
        let table = [
            ("inside", 7.0, 7.0, None),
            ("lower edge", 0.0, 0.0, None),
            ("negative zero", -0.0, 0.0, None),
            ("upper edge", 100.0, 100.0, None),
            ("above", 100.5, 100.0, Some(code::CLAMPED)),
            ("below", -1.0, 0.0, Some(code::CLAMPED)),
            ("not a number", f64::NAN, 0.0, Some(code::NOT_FINITE)),
            ("infinite", f64::INFINITY, 100.0, Some(code::NOT_FINITE)),
            ("minus infinite", f64::NEG_INFINITY, 0.0, Some(code::NOT_FINITE)),
        ];
        for (name, claimed, value, because) in table {
            let clamped = kills.clamp(claimed);
            assert_eq!(clamped.value().to_bits(), f64::to_bits(value), "{name}");
            assert_eq!(clamped.because(), because, "{name}");
        }
    }

    #[test]
    fn unusable_limits_are_refused() {
        for (min, max) in [(1.0, 0.0), (f64::NAN, 1.0), (0.0, f64::INFINITY)] {
            assert!(Bound::new(min, max).is_err(), "{min} {max}");
        }
    }

    proptest! {
        #[test]
        fn clamping_twice_changes_nothing(min in -1e6..1e6f64, width in 0.0..1e6f64, claimed: f64) {
            let bound = Bound::new(min, min + width).expect("in order");
            let once = bound.clamp(claimed).value();
            prop_assert!(bound.min() <= once && once <= bound.max());
            prop_assert_eq!(bound.clamp(once).value().to_bits(), once.to_bits());
            prop_assert_eq!(bound.clamp(once).because(), None);
        }

        #[test]
        fn an_intersection_never_leaves_the_operators_bounds(a in -9.0..9.0f64, b in 0.0..9.0f64, c in -9.0..9.0f64, d in 0.0..9.0f64) {
            let outer = Bound::new(a, a + b).expect("in order");
            let inner = Bound::new(c, c + d).expect("in order");
            let both = outer.intersect(inner);
            prop_assert!(outer.min() <= both.min() && both.min() <= both.max() && both.max() <= outer.max());
        }
    }
}
