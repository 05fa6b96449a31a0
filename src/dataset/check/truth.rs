//! What the frames say of their own statistics, to hold against what `meta/stats.json` claims.

use crate::dataset::feature_statistics::Histogram;
use std::collections::BTreeMap;

/// Of numbers, this share of their range may be wrong: sums in another order and single precision.
const NUMBERS_SHARE: f64 = 2e-3;
/// Of images, this many of 0..1: LeRobot counts a sample of the frames.
const IMAGES_SHARE: f64 = 0.08;

/// Count, sums and bounds of each channel of one feature.
#[derive(Debug, Clone, Default)]
pub(super) struct Moments {
    count: u64,
    mean: Vec<f64>,
    /// Sum of squared differences from the mean.
    spread: Vec<f64>,
    min: Vec<f64>,
    max: Vec<f64>,
}

impl Moments {
    /// Adds rows of `channels` numbers.
    pub fn add(&mut self, numbers: impl Iterator<Item = f64>, channels: usize) {
        if self.mean.is_empty() {
            self.mean = vec![0.0; channels];
            self.spread = vec![0.0; channels];
            self.min = vec![f64::INFINITY; channels];
            self.max = vec![f64::NEG_INFINITY; channels];
        }
        for (at, value) in numbers.enumerate() {
            let c = at % channels;
            self.count += u64::from(c == 0);
            let before = value - self.mean[c];
            self.mean[c] += before / self.count as f64;
            self.spread[c] += before * (value - self.mean[c]);
            self.min[c] = self.min[c].min(value);
            self.max[c] = self.max[c].max(value);
        }
    }

    /// Joins what was counted elsewhere.
    pub fn merge(&mut self, other: &Self) {
        if self.count == 0 || other.count == 0 {
            if self.count == 0 {
                self.clone_from(other);
            }
            return;
        }
        let (a, b) = (self.count as f64, other.count as f64);
        for c in 0..self.mean.len().min(other.mean.len()) {
            let delta = other.mean[c] - self.mean[c];
            self.mean[c] += delta * b / (a + b);
            self.spread[c] += other.spread[c] + delta * delta * a * b / (a + b);
            self.min[c] = self.min[c].min(other.min[c]);
            self.max[c] = self.max[c].max(other.max[c]);
        }
        self.count += other.count;
    }
}

/// The true statistics of what was read.
#[derive(Debug, Clone, Default)]
pub(super) struct Truth {
    pub numbers: BTreeMap<String, Moments>,
    pub images: BTreeMap<String, Histogram>,
}

impl Truth {
    /// Joins what was read elsewhere.
    pub fn merge(&mut self, other: &Self) {
        for (key, moments) in &other.numbers {
            self.numbers.entry(key.clone()).or_default().merge(moments);
        }
        for (key, histogram) in &other.images {
            self.images.entry(key.clone()).or_default().merge(histogram);
        }
    }

    /// What is wrong with the numbers claimed for the statistic `name` of a feature, if anything.
    pub fn contradiction(&self, key: &str, name: &str, claimed: &[f64]) -> Option<String> {
        if let Some(histogram) = self.images.get(key) {
            let moments = histogram.moments();
            let truth: Vec<f64> = match name {
                "mean" => moments.iter().map(|m| m.0).collect(),
                "std" => moments.iter().map(|m| m.1).collect(),
                _ => return None,
            };
            let advice = if name == "std" { " (LeRobot before 0.6.0 wrote wrong image deviations)" } else { "" };
            return differ(claimed, &truth, |_| IMAGES_SHARE, advice);
        }
        let moments = self.numbers.get(key)?;
        let truth: Vec<f64> = match name {
            "min" => moments.min.clone(),
            "max" => moments.max.clone(),
            "mean" => moments.mean.clone(),
            "std" => moments.spread.iter().map(|spread| (spread / moments.count.max(1) as f64).sqrt()).collect(),
            "count" => {
                let count = moments.count as f64;
                return (claimed != [count]).then(|| format!("is {claimed:?}, there are {count} frames"));
            }
            _ => return None,
        };
        let allowed = |c: usize| {
            let (min, max) = (moments.min[c], moments.max[c]);
            NUMBERS_SHARE * (max - min) + 1e-5 * (1.0 + max.abs().max(min.abs()))
        };
        differ(claimed, &truth, allowed, "")
    }
}

fn differ(claimed: &[f64], truth: &[f64], allowed: impl Fn(usize) -> f64, advice: &str) -> Option<String> {
    let wrong = |c: &usize| (claimed[*c] - truth[*c]).abs() > allowed(*c);
    let c = (0..claimed.len().min(truth.len())).find(wrong)?;
    Some(format!("says {:.4} for number {c}, the frames say {:.4}{advice}", claimed[c], truth[c]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_joined_equal_the_whole() {
        let values: Vec<f64> = (0..40).map(|i| f64::from(i).sin()).collect();
        let of = |values: &[f64]| {
            let mut moments = Moments::default();
            moments.add(values.iter().copied(), 2);
            moments
        };
        let whole = of(&values);
        let mut parts = of(&values[..14]);
        parts.merge(&of(&values[14..]));
        for c in 0..2 {
            assert!((whole.mean[c] - parts.mean[c]).abs() < 1e-12 && (whole.spread[c] - parts.spread[c]).abs() < 1e-12);
        }
        let truth = Truth { numbers: BTreeMap::from([("a".to_owned(), whole.clone())]), ..Truth::default() };
        assert_eq!(truth.contradiction("a", "mean", &whole.mean), None);
        let problem = truth.contradiction("a", "mean", &[whole.mean[0], 0.9]).unwrap();
        assert!(problem.contains("says 0.9000 for number 1"), "{problem}");
        assert!(truth.contradiction("a", "count", &[19.0]).unwrap().contains("20 frames"));
    }
}
