//! Two numbers at a time, lane by lane: the same bits as one after the other, on every machine.
//!
//! In a component the lanes are those of WebAssembly's vector instructions. They have to be asked for: compilers do not find them in plain
//! code, and a sandbox that watches every operation for NaN watches two numbers for less than the price of one.

use core::ops::{Add, Mul, Sub};

#[cfg(target_feature = "simd128")]
use core::arch::wasm32 as lanes;

/// Two numbers.
#[derive(Clone, Copy, Debug)]
#[cfg(target_feature = "simd128")]
pub struct Two(lanes::v128);

/// Two numbers.
#[derive(Clone, Copy, Debug)]
#[cfg(not(target_feature = "simd128"))]
pub struct Two([f64; 2]);

#[cfg(target_feature = "simd128")]
impl Two {
    /// The numbers of both lanes.
    #[inline(always)]
    pub fn new(first: f64, second: f64) -> Self {
        Two(lanes::f64x2(first, second))
    }

    /// The number of the first lane.
    #[inline(always)]
    pub fn first(self) -> f64 {
        lanes::f64x2_extract_lane::<0>(self.0)
    }

    /// The number of the second lane.
    #[inline(always)]
    pub fn second(self) -> f64 {
        lanes::f64x2_extract_lane::<1>(self.0)
    }

    /// Square roots.
    #[inline(always)]
    #[must_use]
    pub fn sqrt(self) -> Self {
        Two(lanes::f64x2_sqrt(self.0))
    }

    /// What one is, divided by each.
    #[inline(always)]
    #[must_use]
    pub fn recip(self) -> Self {
        Two(lanes::f64x2_div(lanes::f64x2_splat(1.0), self.0))
    }

    /// `least` where it is larger, or where there is no number.
    #[inline(always)]
    #[must_use]
    pub fn at_least(self, least: f64) -> Self {
        let least = lanes::f64x2_splat(least);
        Two(lanes::v128_bitselect(self.0, least, lanes::f64x2_gt(self.0, least)))
    }
}

#[cfg(target_feature = "simd128")]
macro_rules! lane_by_lane {
    ($trait:ident, $function:ident, $vector:ident, $scalar:tt) => {
        impl $trait for Two {
            type Output = Self;

            #[inline(always)]
            fn $function(self, other: Self) -> Self {
                Two(lanes::$vector(self.0, other.0))
            }
        }
    };
}

#[cfg(not(target_feature = "simd128"))]
impl Two {
    /// The numbers of both lanes.
    #[inline(always)]
    pub fn new(first: f64, second: f64) -> Self {
        Two([first, second])
    }

    /// The number of the first lane.
    #[inline(always)]
    pub fn first(self) -> f64 {
        self.0[0]
    }

    /// The number of the second lane.
    #[inline(always)]
    pub fn second(self) -> f64 {
        self.0[1]
    }

    /// Square roots.
    #[inline(always)]
    #[must_use]
    pub fn sqrt(self) -> Self {
        Two(self.0.map(f64::sqrt))
    }

    /// What one is, divided by each.
    #[inline(always)]
    #[must_use]
    pub fn recip(self) -> Self {
        Two(self.0.map(|x| 1.0 / x))
    }

    /// `least` where it is larger, or where there is no number.
    #[inline(always)]
    #[must_use]
    pub fn at_least(self, least: f64) -> Self {
        Two(self.0.map(|x| if x > least { x } else { least }))
    }
}

#[cfg(not(target_feature = "simd128"))]
macro_rules! lane_by_lane {
    ($trait:ident, $function:ident, $vector:ident, $scalar:tt) => {
        impl $trait for Two {
            type Output = Self;

            #[inline(always)]
            fn $function(self, other: Self) -> Self {
                Two([self.0[0] $scalar other.0[0], self.0[1] $scalar other.0[1]])
            }
        }
    };
}

lane_by_lane!(Add, add, f64x2_add, +);
lane_by_lane!(Sub, sub, f64x2_sub, -);
lane_by_lane!(Mul, mul, f64x2_mul, *);

impl Two {
    /// The same number in both lanes.
    #[inline(always)]
    pub fn both(x: f64) -> Self {
        Two::new(x, x)
    }

    /// The sum of both lanes.
    #[inline(always)]
    pub fn sum(self) -> f64 {
        self.first() + self.second()
    }
}
