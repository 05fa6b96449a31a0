//! Money as whole billionths of a dollar: list prices are fractions of a cent per token, and sums must be exact.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::iter::Sum;
use std::ops::{Add, Sub};

/// An amount in 10⁻⁹ US dollars.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NanoUsd(pub i64);

impl NanoUsd {
    /// Nothing.
    pub const ZERO: NanoUsd = NanoUsd(0);

    /// An amount given in dollars, rounded to the nearest billionth.
    pub fn from_usd(usd: f64) -> Self {
        NanoUsd((usd * 1e9).round() as i64)
    }

    /// The amount in dollars, for showing to people.
    pub fn as_usd(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// The sum, or the largest amount when it does not fit.
    pub fn saturating_add(self, other: Self) -> Self {
        NanoUsd(self.0.saturating_add(other.0))
    }
}

impl Add for NanoUsd {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        NanoUsd(self.0 + other.0)
    }
}

impl Sub for NanoUsd {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        NanoUsd(self.0 - other.0)
    }
}

impl Sum for NanoUsd {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(NanoUsd::ZERO, Add::add)
    }
}

/// `$1.25`; amounts under a cent keep four more digits: `$0.000120`.
impl fmt::Display for NanoUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let usd = self.as_usd();
        if self.0 != 0 && usd.abs() < 0.01 { write!(f, "${usd:.6}") } else { write!(f, "${usd:.2}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_cents_and_small_amounts() {
        assert_eq!(NanoUsd::from_usd(1.25).to_string(), "$1.25");
        assert_eq!(NanoUsd::from_usd(0.00012).to_string(), "$0.000120");
        assert_eq!(NanoUsd::ZERO.to_string(), "$0.00");
    }
}
