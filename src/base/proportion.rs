//! A success rate that never travels without its sample size.

use serde::{Deserialize, Serialize};
use std::fmt;

/// z for a two-sided 95 % interval.
const Z_95: f64 = 1.959_963_984_540_054;

/// `successes` out of `trials`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Proportion {
    /// How often it worked.
    pub successes: u32,
    /// How often it was tried.
    pub trials: u32,
}

impl Proportion {
    /// `successes` out of `trials`; more successes than trials are cut to the trials.
    pub fn new(successes: u32, trials: u32) -> Self {
        Self { successes: successes.min(trials), trials }
    }

    /// The observed share; 0 when nothing was tried.
    pub fn rate(self) -> f64 {
        if self.trials == 0 { 0.0 } else { f64::from(self.successes) / f64::from(self.trials) }
    }

    /// Wilson's score interval at 95 % (E. B. Wilson, JASA 22, 1927): `(low, high)` in `[0, 1]`.
    /// Nothing tried tells nothing: `(0, 1)`.
    pub fn wilson_95(self) -> (f64, f64) {
        if self.trials == 0 {
            return (0.0, 1.0);
        }
        let n = f64::from(self.trials);
        let p = self.rate();
        let z2 = Z_95 * Z_95;
        let centre = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
        let half = Z_95 / (1.0 + z2 / n) * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
        ((centre - half).max(0.0), (centre + half).min(1.0))
    }
}

/// `78.5 % (157/200, 95 % interval 72.3–83.6 %)`
impl fmt::Display for Proportion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.trials == 0 {
            return f.write_str("not measured");
        }
        let (low, high) = self.wilson_95();
        write!(
            f,
            "{:.1} % ({}/{}, 95 % interval {:.1}–{:.1} %)",
            100.0 * self.rate(),
            self.successes,
            self.trials,
            100.0 * low,
            100.0 * high
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reference: `statsmodels.stats.proportion.proportion_confint(k, n, method="wilson")`.
    #[test]
    fn wilson_matches_published_values() {
        for (successes, trials, low, high) in
            [(0, 10, 0.0, 0.277_532_8), (10, 10, 0.722_467_2, 1.0), (50, 100, 0.403_831_5, 0.596_168_5)]
        {
            let interval = Proportion::new(successes, trials).wilson_95();
            assert!((interval.0 - low).abs() < 1e-6, "{successes}/{trials}: {interval:?}");
            assert!((interval.1 - high).abs() < 1e-6, "{successes}/{trials}: {interval:?}");
        }
    }

    #[test]
    fn nothing_tried_is_said_and_tells_nothing() {
        assert_eq!(Proportion::default().wilson_95(), (0.0, 1.0));
        assert_eq!(Proportion::default().to_string(), "not measured");
    }
}
