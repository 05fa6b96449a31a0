//! Minimum, maximum, mean, deviation and quantiles of one feature, per episode and over the dataset.
//!
//! Sums are exact or in f64. Images are counted in histograms of their 256 levels over *every* frame, where LeRobot
//! samples frames; of images with a side of 300 pixels or more every n-th pixel both ways, as LeRobot does. Deviations
//! are those of the population. Quantiles over several episodes are count-weighted means, as LeRobot 0.4.4 makes them.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The quantiles kept, by LeRobot's names.
pub(super) const QUANTILES: [(&str, f64); 5] = [("q01", 0.01), ("q10", 0.1), ("q50", 0.5), ("q90", 0.9), ("q99", 0.99)];
/// All statistics by LeRobot's names, in the order of its columns.
pub(super) const NAMES: [&str; 10] = ["min", "max", "mean", "std", "count", "q01", "q10", "q50", "q90", "q99"];

/// How often each level of each colour channel occurs.
#[derive(Debug, Clone)]
pub(super) struct Histogram {
    counts: [[u64; 256]; 3],
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: [[0; 256]; 3] }
    }
}

impl Histogram {
    /// Counts an image of interleaved RGB bytes.
    pub fn add(&mut self, rgb: &[u8]) {
        let [red, green, blue] = &mut self.counts;
        for pixel in rgb.chunks_exact(3) {
            red[usize::from(pixel[0])] += 1;
            green[usize::from(pixel[1])] += 1;
            blue[usize::from(pixel[2])] += 1;
        }
    }

    /// Counts an image of this size, thinned where it is large.
    pub fn add_image(&mut self, rgb: &[u8], width: usize, height: usize) {
        let every = thinning(width, height);
        if every == 1 {
            return self.add(rgb);
        }
        let [red, green, blue] = &mut self.counts;
        for row in rgb.chunks_exact(width * 3).step_by(every) {
            for pixel in row.chunks_exact(3).step_by(every) {
                red[usize::from(pixel[0])] += 1;
                green[usize::from(pixel[1])] += 1;
                blue[usize::from(pixel[2])] += 1;
            }
        }
    }

    /// Joins what was counted elsewhere.
    pub fn merge(&mut self, other: &Self) {
        for (mine, others) in self.counts.iter_mut().flatten().zip(other.counts.iter().flatten()) {
            *mine += others;
        }
    }

    /// Mean and population deviation of each channel, levels scaled to 0..1.
    pub fn moments(&self) -> [(f64, f64); 3] {
        self.counts.map(|levels| {
            let (mut count, mut sum, mut squares) = (0_u64, 0_u64, 0_u128);
            for (level, &n) in (0_u64..).zip(&levels) {
                count += n;
                sum += n * level;
                squares += u128::from(n * level) * u128::from(level);
            }
            if count == 0 {
                return (0.0, 0.0);
            }
            // Count · squares − sum² in integers: no cancellation, whatever the number of pixels.
            let spread = u128::from(count) * squares - u128::from(sum) * u128::from(sum);
            let count = count as f64;
            (sum as f64 / count / 255.0, (spread as f64).sqrt() / count / 255.0)
        })
    }

    /// The statistics of `frames` images, levels scaled to 0..1; their count is that of frames, as LeRobot has it.
    pub fn statistics(&self, frames: usize) -> FeatureStatistics {
        let moments = self.moments();
        let level = |channel: usize, rank: u64| {
            let mut seen = 0;
            let found = self.counts[channel].iter().position(|&n| {
                seen += n;
                seen > rank
            });
            found.unwrap_or(255) as f64 / 255.0
        };
        let pixels: u64 = self.counts[0].iter().sum();
        let last = pixels.saturating_sub(1);
        let quantile = |channel: usize, q: f64| {
            let place = last as f64 * q;
            let (low, high) = (level(channel, place.floor() as u64), level(channel, place.ceil() as u64));
            low + (high - low) * place.fract()
        };
        let per_channel = |f: &dyn Fn(usize) -> f64| (0..3).map(f).collect::<Vec<f64>>();
        FeatureStatistics {
            min: per_channel(&|c| level(c, 0)),
            max: per_channel(&|c| level(c, last)),
            mean: per_channel(&|c| moments[c].0),
            std: per_channel(&|c| moments[c].1),
            count: frames,
            quantiles: QUANTILES.map(|(_, q)| per_channel(&|c| quantile(c, q))),
            image: true,
        }
    }
}

/// Every how manyth pixel is counted, both ways: about 150 remain of a long side of 300 or more.
fn thinning(width: usize, height: usize) -> usize {
    let long = width.max(height);
    if long < 300 { 1 } else { (long / 150).max(1) }
}

/// The statistics of one feature; each list has one number per channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct FeatureStatistics {
    pub min: Vec<f64>,
    pub max: Vec<f64>,
    pub mean: Vec<f64>,
    pub std: Vec<f64>,
    /// Rows (for images: frames) behind the numbers.
    pub count: usize,
    pub quantiles: [Vec<f64>; 5],
    /// Whether the lists are written in the shape (C, 1, 1).
    pub image: bool,
}

impl FeatureStatistics {
    /// Of `rows` rows of `channels` numbers; `value(row, channel)` gives them. No rows give zeros.
    pub fn of(rows: usize, channels: usize, value: impl Fn(usize, usize) -> f64) -> Self {
        let mut all = Self {
            min: vec![],
            max: vec![],
            mean: vec![],
            std: vec![],
            count: rows,
            quantiles: Default::default(),
            image: false,
        };
        let mut sorted = Vec::with_capacity(rows);
        for channel in 0..channels {
            sorted.clear();
            sorted.extend((0..rows).map(|row| value(row, channel)));
            sorted.sort_by(f64::total_cmp);
            let n = rows.max(1) as f64;
            let mean = sorted.iter().sum::<f64>() / n;
            let variance = sorted.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
            all.min.push(sorted.first().copied().unwrap_or(0.0));
            all.max.push(sorted.last().copied().unwrap_or(0.0));
            all.mean.push(mean);
            all.std.push(variance.sqrt());
            for (quantile, (_, q)) in all.quantiles.iter_mut().zip(QUANTILES) {
                quantile.push(interpolate(&sorted, q));
            }
        }
        all
    }

    /// Joins the statistics of further rows of the same feature: parallel combination weighted by count.
    pub fn merge(&mut self, other: &Self) {
        let (a, b) = (self.count as f64, other.count as f64);
        let total = a + b;
        if total == 0.0 {
            return;
        }
        for c in 0..self.mean.len() {
            let delta = other.mean[c] - self.mean[c];
            let variance = (self.std[c].powi(2) * a + other.std[c].powi(2) * b + delta * delta * a * b / total) / total;
            self.mean[c] += delta * b / total;
            self.std[c] = variance.max(0.0).sqrt();
            self.min[c] = self.min[c].min(other.min[c]);
            self.max[c] = self.max[c].max(other.max[c]);
            for (mine, others) in self.quantiles.iter_mut().zip(&other.quantiles) {
                mine[c] = (mine[c] * a + others[c] * b) / total;
            }
        }
        self.count += other.count;
    }

    /// The numbers of the statistic called `name`; of `count` there is none here.
    pub fn numbers(&self, name: &str) -> Option<&[f64]> {
        match name {
            "min" => Some(&self.min),
            "max" => Some(&self.max),
            "mean" => Some(&self.mean),
            "std" => Some(&self.std),
            _ => QUANTILES.iter().position(|(q, _)| *q == name).map(|index| self.quantiles[index].as_slice()),
        }
    }

    /// As in `meta/stats.json`.
    pub fn to_json(&self) -> Value {
        let entry = |name: &&str| {
            let value = match self.numbers(name) {
                Some(numbers) if self.image => numbers.iter().map(|v| json!([[v]])).collect(),
                Some(numbers) => json!(numbers),
                None => json!([self.count]),
            };
            ((*name).to_owned(), value)
        };
        Value::Object(NAMES.iter().map(entry).collect())
    }
}

/// The quantile `q` of sorted numbers, linear between neighbours as numpy's default.
fn interpolate(sorted: &[f64], q: f64) -> f64 {
    let place = sorted.len().saturating_sub(1) as f64 * q;
    let at = |place: f64| sorted.get(place as usize).copied().unwrap_or(0.0);
    let (low, high) = (at(place.floor()), at(place.ceil()));
    low + (high - low) * place.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-12
    }

    #[test]
    fn numbers_match_hand_values() {
        let all = FeatureStatistics::of(4, 1, |row, _| [1.0, 2.0, 3.0, 6.0][row]);
        assert_eq!((all.min[0], all.max[0], all.mean[0], all.count), (1.0, 6.0, 3.0, 4));
        assert!(close(all.std[0], 3.5_f64.sqrt()), "population deviation");
        assert!(close(all.quantiles[2][0], 2.5) && close(all.quantiles[1][0], 1.3));
    }

    #[test]
    fn images_are_counted_exactly() {
        let mut histogram = Histogram::default();
        histogram.add(&[0, 255, 51, 255, 255, 51]);
        let all = histogram.statistics(1);
        assert_eq!((all.min.as_slice(), all.max.as_slice()), (&[0.0, 1.0, 0.2][..], &[1.0, 1.0, 0.2][..]));
        assert_eq!((all.mean.as_slice(), all.std.as_slice()), (&[0.5, 1.0, 0.2][..], &[0.5, 0.0, 0.0][..]));
        assert!(close(all.quantiles[2][0], 0.5));
        assert_eq!(all.to_json()["mean"], json!([[[0.5]], [[1.0]], [[0.2]]]));
    }

    #[test]
    fn large_images_are_thinned_as_lerobot_thins_them() {
        assert_eq!((thinning(96, 72), thinning(299, 8), thinning(320, 240), thinning(480, 640)), (1, 1, 2, 4));
        let (width, height) = (320, 4);
        let mut rgb = vec![200; width * height * 3];
        rgb[2 * 3] = 10;
        rgb[3 * 3] = 0;
        let mut histogram = Histogram::default();
        histogram.add_image(&rgb, width, height);
        let all = histogram.statistics(1);
        assert_eq!((all.min[0], all.count), (10.0 / 255.0, 1), "the third pixel counts, the fourth does not");
        assert_eq!(histogram.counts[1].iter().sum::<u64>(), 160 * 2);
    }

    #[test]
    fn merged_parts_equal_the_whole() {
        let value = |row: usize, channel: usize| (row as f64 * 1.7 + channel as f64).sin();
        let whole = FeatureStatistics::of(30, 2, value);
        let mut parts = FeatureStatistics::of(11, 2, value);
        parts.merge(&FeatureStatistics::of(19, 2, |row, channel| value(row + 11, channel)));
        for c in 0..2 {
            assert!(close(whole.mean[c], parts.mean[c]) && close(whole.std[c], parts.std[c]));
            assert_eq!((whole.min[c], whole.max[c], whole.count), (parts.min[c], parts.max[c], parts.count));
        }
    }
}
