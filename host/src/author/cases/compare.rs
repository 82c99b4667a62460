//! Expected beside got, field by field.

use std::fmt;

/// A field that came out otherwise than expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Which, as the case names it.
    pub field: String,
    /// As the case says.
    pub expected: String,
    /// As the plugin answered.
    pub got: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}, got {}", self.field, self.expected, self.got)
    }
}

/// Gathers what differs.
#[derive(Default)]
pub(super) struct Comparison {
    pub(super) mismatches: Vec<Mismatch>,
}

impl Comparison {
    /// Compares numbers; `tolerance` is absolute.
    pub(super) fn number(&mut self, field: &str, expected: f64, got: f64, tolerance: f64) {
        // Written so that a NaN on either side differs.
        let equal = (expected - got).abs() <= tolerance || expected.to_bits() == got.to_bits();
        if !equal {
            self.differs(field, format!("{expected} (within {tolerance})"), got.to_string());
        }
    }

    /// Compares anything else.
    pub(super) fn equal<T: PartialEq + fmt::Display>(&mut self, field: &str, expected: &T, got: &T) {
        if expected != got {
            self.differs(field, expected.to_string(), got.to_string());
        }
    }

    pub(super) fn differs(&mut self, field: &str, expected: impl Into<String>, got: impl Into<String>) {
        self.mismatches.push(Mismatch { field: field.to_owned(), expected: expected.into(), got: got.into() });
    }
}
