//! Two runs over the same scenes, pair by pair: what one solves and the other does not.

use super::evaluation::Evaluation;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// z for a two-sided 95 % interval.
const Z_95: f64 = 1.959_963_984_540_054;

/// Scenes by who solves them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Pairs {
    /// Only the first solves it.
    pub gained: u32,
    /// Only the second solves it.
    pub lost: u32,
    /// Both or neither.
    pub equal: u32,
}

impl Pairs {
    /// Pairs the outcomes `(scene, solved)` by scene; scenes that only one has are left out.
    pub fn of(first: impl IntoIterator<Item = (u32, bool)>, second: impl IntoIterator<Item = (u32, bool)>) -> Self {
        let second: BTreeMap<u32, bool> = second.into_iter().collect();
        let mut pairs = Pairs::default();
        for (scene, solved) in first {
            match (solved, second.get(&scene)) {
                (true, Some(false)) => pairs.gained += 1,
                (false, Some(true)) => pairs.lost += 1,
                (_, Some(_)) => pairs.equal += 1,
                (_, None) => {}
            }
        }
        pairs
    }

    /// Of two evaluations of the same set.
    pub fn of_evaluations(first: &Evaluation, second: &Evaluation) -> Self {
        let solved = |evaluation: &Evaluation| -> Vec<(u32, bool)> {
            evaluation.results.iter().map(|result| (result.scene, result.success)).collect()
        };
        Self::of(solved(first), solved(second))
    }

    /// Pairs.
    pub fn count(self) -> u32 {
        self.gained + self.lost + self.equal
    }

    /// How much more the first solves, as a share of the scenes, with a 95 % interval: `(difference, low, high)`.
    /// Wald's interval for paired proportions; nothing paired tells nothing.
    pub fn difference(self) -> (f64, f64, f64) {
        let n = f64::from(self.count());
        if n == 0.0 {
            return (0.0, -1.0, 1.0);
        }
        let (gained, lost) = (f64::from(self.gained), f64::from(self.lost));
        let difference = (gained - lost) / n;
        let half = Z_95 * (gained + lost - (gained - lost) * (gained - lost) / n).max(0.0).sqrt() / n;
        (difference, (difference - half).max(-1.0), (difference + half).min(1.0))
    }

    /// The chance that luck gives the first at least so many of the unequal pairs: the exact one-sided McNemar test.
    pub fn chance(self) -> f64 {
        let n = self.gained + self.lost;
        // Built up from i = 0 in logarithms, since 2^-n underflows for large n.
        let mut log_term = -f64::from(n) * std::f64::consts::LN_2;
        let mut sum = 0.0;
        for i in 0..=n {
            if i >= self.gained {
                sum += log_term.exp();
            }
            log_term += (f64::from(n) - f64::from(i)).ln() - (f64::from(i) + 1.0).ln();
        }
        sum.min(1.0)
    }
}

/// `+3.1 points (95 % interval -0.4 to +6.6; 6 gained, 2 lost)`
impl fmt::Display for Pairs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (difference, low, high) = self.difference();
        write!(
            f,
            "{:+.1} points (95 % interval {:+.1} to {:+.1}; {} gained, {} lost)",
            100.0 * difference,
            100.0 * low,
            100.0 * high,
            self.gained,
            self.lost
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_counted_by_scene() {
        let first = [(0, true), (1, true), (2, false), (3, false), (9, true)];
        let second = [(3, false), (2, true), (1, false), (0, true)];
        assert_eq!(Pairs::of(first, second), Pairs { gained: 1, lost: 1, equal: 2 });
    }

    #[test]
    fn chance_matches_hand_values() {
        assert!((Pairs { gained: 5, lost: 0, equal: 3 }.chance() - 1.0 / 32.0).abs() < 1e-12);
        assert!((Pairs { gained: 9, lost: 1, equal: 0 }.chance() - 11.0 / 1024.0).abs() < 1e-12);
        assert!((Pairs::default().chance() - 1.0).abs() < 1e-12);
    }

    /// Reference: statsmodels' formula for the paired difference, worked by hand: n = 100, b = 15, c = 5.
    #[test]
    fn the_interval_of_a_paired_difference() {
        let (difference, low, high) = Pairs { gained: 15, lost: 5, equal: 80 }.difference();
        assert!((difference - 0.1).abs() < 1e-12);
        assert!((low - 0.014_567).abs() < 1e-5 && (high - 0.185_433).abs() < 1e-5, "{low} {high}");
    }
}
