//! Mean and deviation of every input and output: computed once from the training set, stored in the checkpoint,
//! used by training and inference alike.

use super::PolicyError;
use super::config::{ACTION_DIM, ActConfig};
use crate::dataset::TrainingSet;
use serde::{Deserialize, Serialize};

/// Added to a deviation before dividing, as in LeRobot.
const EPSILON: f32 = 1e-8;
/// A column that varies less than this is constant in the data. It is then only centred: dividing by a tiny
/// deviation would blow up the first value that differs.
const CONSTANT_BELOW: f64 = 1e-3;
/// Images used for the pixel statistics, evenly spread over the set: they move the mean by less than a grey level.
const IMAGES_MEASURED: usize = 500;

/// Mean and standard deviation, one number per column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeanStd {
    /// Means.
    pub mean: Vec<f32>,
    /// Standard deviations, all positive.
    pub std: Vec<f32>,
}

/// The statistics of a policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statistics {
    /// Of the three channels, for pixels in [0, 1].
    pub image: MeanStd,
    /// Of the state, in physical units.
    pub state: MeanStd,
    /// Of the action.
    pub action: MeanStd,
}

impl MeanStd {
    fn of(rows: impl Iterator<Item = f64> + Clone, columns: usize) -> MeanStd {
        let mut count = 0_u64;
        let mut mean = vec![0.0_f64; columns];
        for (i, value) in rows.clone().enumerate() {
            mean[i % columns] += value;
            count += 1;
        }
        let per_column = (count / columns as u64).max(1) as f64;
        mean.iter_mut().for_each(|m| *m /= per_column);
        let mut variance = vec![0.0_f64; columns];
        for (i, value) in rows.enumerate() {
            let column = i % columns;
            variance[column] += (value - mean[column]) * (value - mean[column]);
        }
        let deviation = |v: f64| Some((v / per_column).sqrt()).filter(|d| *d >= CONSTANT_BELOW).unwrap_or(1.0) as f32;
        MeanStd {
            mean: mean.into_iter().map(|m| m as f32).collect(),
            std: variance.into_iter().map(deviation).collect(),
        }
    }

    /// Whether there are `columns` finite means and positive deviations.
    pub fn fits(&self, columns: usize) -> bool {
        self.mean.len() == columns
            && self.std.len() == columns
            && self.mean.iter().all(|m| m.is_finite())
            && self.std.iter().all(|s| s.is_finite() && *s > 0.0)
    }

    /// Appends (x − mean) / (std + ε), rows of this many columns.
    pub fn normalise(&self, values: &[f32], out: &mut Vec<f32>) {
        let columns = self.mean.iter().zip(&self.std).cycle();
        out.extend(values.iter().zip(columns).map(|(x, (mean, std))| (x - mean) / (std + EPSILON)));
    }

    /// x·std + mean of the column.
    pub fn restore(&self, column: usize, value: f32) -> f32 {
        value * self.std[column] + self.mean[column]
    }
}

impl Statistics {
    /// Measures a training set. Padding actions are left out.
    pub fn of(set: &TrainingSet) -> Statistics {
        let step = set.len().div_ceil(IMAGES_MEASURED).max(1);
        let pixels = (0..set.len()).step_by(step).flat_map(|i| set.image(i)).map(|v| f64::from(*v) / 255.0);
        let state = set.states.iter().map(|v| f64::from(*v));
        let real = |i: usize| usize::from(set.valid[i]) * set.action_dim;
        let action = (0..set.len()).flat_map(|i| &set.chunk(i)[..real(i)]).map(|v| f64::from(*v));
        Statistics {
            image: MeanStd::of(pixels, 3),
            state: MeanStd::of(state, set.state_dim),
            action: MeanStd::of(action, set.action_dim),
        }
    }

    /// Refuses statistics that do not fit the configuration.
    pub fn check(&self, config: &ActConfig) -> Result<(), PolicyError> {
        for (what, columns, statistics) in
            [("image", 3, &self.image), ("state", config.state_dim, &self.state), ("action", ACTION_DIM, &self.action)]
        {
            if !statistics.fits(columns) {
                return Err(PolicyError::Shape {
                    what: "statistics",
                    wanted: format!("{columns} finite means and positive deviations of the {what}"),
                    got: format!("{statistics:?}"),
                });
            }
        }
        Ok(())
    }

    /// The normalised value of each byte, per channel.
    pub fn pixel_table(&self) -> PixelTable {
        let mut table = Box::new([[0.0; 256]; 3]);
        for (channel, row) in table.iter_mut().enumerate() {
            let (mean, std) = (self.image.mean[channel], self.image.std[channel]);
            for (byte, value) in row.iter_mut().enumerate() {
                *value = (byte as f32 / 255.0 - mean) / (std + EPSILON);
            }
        }
        PixelTable(table)
    }
}

/// Normalisation of bytes by looking them up.
pub struct PixelTable(Box<[[f32; 256]; 3]>);

impl PixelTable {
    /// Appends the normalised numbers of interleaved RGB bytes.
    pub fn normalise(&self, rgb: &[u8], out: &mut Vec<f32>) {
        let [red, green, blue] = &*self.0;
        let (pixels, _) = rgb.as_chunks::<3>();
        out.extend(
            pixels.iter().flat_map(|[r, g, b]| [red[usize::from(*r)], green[usize::from(*g)], blue[usize::from(*b)]]),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set() -> TrainingSet {
        let mut set = TrainingSet::new(1, 1, 2, 2, 1);
        set.push(&[0, 255, 51], &[1.0, 5.0], &[0.0, 1.0]);
        set.push(&[255, 255, 51], &[3.0, 5.0], &[0.5]);
        set
    }

    #[test]
    fn statistics_leave_padding_out_and_only_centre_constant_columns() {
        let statistics = Statistics::of(&set());
        assert_eq!(statistics.state, MeanStd { mean: vec![2.0, 5.0], std: vec![1.0, 1.0] });
        assert_eq!(statistics.action.mean, [0.5]);
        assert_eq!(statistics.image.mean, [0.5, 1.0, 0.2]);
        assert_eq!(statistics.image.std, [0.5, 1.0, 1.0]);
    }

    #[test]
    fn the_pixel_table_is_the_formula_and_restoring_undoes_normalising() {
        let statistics = Statistics::of(&set());
        let mut out = Vec::new();
        statistics.pixel_table().normalise(&[255, 0, 51], &mut out);
        for (got, wanted) in out.iter().zip([1.0, -1.0, 0.0]) {
            assert!((got - wanted).abs() < 1e-6, "{out:?}");
        }
        let mut normalised = Vec::new();
        statistics.state.normalise(&[2.5, 4.0], &mut normalised);
        assert_eq!(statistics.state.restore(0, normalised[0]), 2.5);
        assert_eq!(statistics.state.restore(1, normalised[1]), 4.0);
    }
}
