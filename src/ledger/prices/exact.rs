//! Amounts finer than a billionth of a dollar, so that the cost of a single token is a whole number.

use crate::base::NanoUsd;
use std::iter::Sum;
use std::ops::Add;

/// Parts of a billionth of a dollar: a price per million tokens in billionths, times a multiplier in millionths.
const PARTS_PER_NANO: i128 = 1_000_000_000_000;
/// Multipliers are kept in millionths.
pub(super) const ONE: u64 = 1_000_000;

/// An amount in 10⁻²¹ US dollars. Prices have at most nine decimals and multipliers six, so nothing is rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Exact(i128);

impl Exact {
    /// `tokens` at `rate` per million of them, times `multiplier` millionths.
    pub(super) fn tokens(tokens: u64, rate: NanoUsd, multiplier: u64) -> Self {
        let cost = i128::from(tokens).saturating_mul(i128::from(rate.0));
        Self(cost.saturating_mul(i128::from(multiplier)))
    }

    /// `count` things at `price` each.
    pub(super) fn each(count: u64, price: NanoUsd) -> Self {
        Self(i128::from(count).saturating_mul(i128::from(price.0)).saturating_mul(PARTS_PER_NANO))
    }

    /// The amount that is booked: the next whole billionth of a dollar.
    pub fn rounded_up(self) -> NanoUsd {
        let parts = self.0.saturating_add(PARTS_PER_NANO - 1) / PARTS_PER_NANO;
        NanoUsd(i64::try_from(parts).unwrap_or(i64::MAX))
    }

    /// As a JSON number of billionths of a dollar: whole where it is whole, else with its decimals.
    pub fn nano_json(self) -> serde_json::Value {
        let whole = i64::try_from(self.0 / PARTS_PER_NANO);
        match whole {
            Ok(whole) if self.0 % PARTS_PER_NANO == 0 => whole.into(),
            // The shortest decimal that reads back as this number is the amount itself, up to 15 digits.
            Ok(_) | Err(_) => self.to_string().parse::<f64>().map_or(serde_json::Value::Null, Into::into),
        }
    }
}

impl Add for Exact {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Exact(self.0.saturating_add(other.0))
    }
}

impl Sum for Exact {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Exact::default(), Add::add)
    }
}

/// Billionths of a dollar, with as many decimals as there are: `87.5`.
impl std::fmt::Display for Exact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (whole, parts) = (self.0 / PARTS_PER_NANO, self.0 % PARTS_PER_NANO);
        if parts == 0 {
            return write!(f, "{whole}");
        }
        let decimals = format!("{parts:012}");
        write!(f, "{whole}.{}", decimals.trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_token_has_a_whole_cost_and_is_booked_rounded_up_once() {
        let token = Exact::tokens(1, NanoUsd::from_usd(0.0875), ONE);
        assert_eq!((token.to_string().as_str(), token.rounded_up()), ("87.5", NanoUsd(88)));
        assert_eq!((token + token).rounded_up(), NanoUsd(175));
        assert_eq!(token.nano_json(), serde_json::json!(87.5));
        assert_eq!((token + token).nano_json(), serde_json::json!(175));
        let abroad = Exact::tokens(1, NanoUsd::from_usd(0.3), 1_100_000);
        assert_eq!(abroad.to_string(), "330");
        assert_eq!(Exact::each(3, NanoUsd::from_usd(0.01)).rounded_up(), NanoUsd::from_usd(0.03));
    }
}
