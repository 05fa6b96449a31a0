//! How every input and output is normalised: computed once from the training set, stored in the checkpoint, used by
//! training and inference alike. The arithmetic is LeRobot's, number by number.

use super::PolicyError;
use super::config::{ActConfig, NormMode};
use crate::dataset::TrainingSet;
use serde::{Deserialize, Serialize};

/// Added to a deviation before dividing, and taken for a range that is zero, as in LeRobot.
pub(super) const EPSILON: f32 = 1e-8;
/// A column that varies less than this is constant in the data. It is then only centred: dividing by a tiny
/// deviation would blow up the first value that differs.
const CONSTANT_BELOW: f64 = 1e-3;
/// Images used for the pixel statistics, evenly spread over the set: they move the mean by less than a grey level.
const IMAGES_MEASURED: usize = 500;

/// Normalisation of one feature: a mode and two numbers per column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scale {
    /// Which formula.
    pub mode: NormMode,
    /// Mean, minimum or lower percentile of each column; zeros for the identity.
    pub low: Vec<f32>,
    /// Deviation, maximum or upper percentile of each column; ones for the identity.
    pub high: Vec<f32>,
}

impl NormMode {
    /// Names of the two statistics that the mode needs; none for the identity.
    pub fn statistics(self) -> Option<[&'static str; 2]> {
        match self {
            NormMode::MeanStd => Some(["mean", "std"]),
            NormMode::MinMax => Some(["min", "max"]),
            NormMode::Quantiles => Some(["q01", "q99"]),
            NormMode::Quantile10 => Some(["q10", "q90"]),
            NormMode::Identity => None,
        }
    }
}

impl Scale {
    /// Centred on `mean`, divided by `std`.
    pub fn mean_std(mean: Vec<f32>, std: Vec<f32>) -> Scale {
        Scale { mode: NormMode::MeanStd, low: mean, high: std }
    }

    /// Nothing is done to any of these columns.
    pub fn identity(columns: usize) -> Scale {
        Scale { mode: NormMode::Identity, low: vec![0.0; columns], high: vec![1.0; columns] }
    }

    fn of(rows: impl Iterator<Item = f64> + Clone, columns: usize) -> Scale {
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
        Scale::mean_std(mean.into_iter().map(|m| m as f32).collect(), variance.into_iter().map(deviation).collect())
    }

    /// Numbers in a row.
    pub fn columns(&self) -> usize {
        self.low.len()
    }

    /// Whether there are `columns` finite numbers of each kind, in their order.
    pub fn fits(&self, columns: usize) -> bool {
        let finite = |numbers: &[f32]| numbers.len() == columns && numbers.iter().all(|n| n.is_finite());
        let ordered = match self.mode {
            NormMode::MeanStd | NormMode::Identity => self.high.iter().all(|std| *std >= 0.0),
            NormMode::MinMax | NormMode::Quantiles | NormMode::Quantile10 => {
                self.low.iter().zip(&self.high).all(|(low, high)| low <= high)
            }
        };
        finite(&self.low) && finite(&self.high) && ordered
    }

    fn range(&self, column: usize) -> f32 {
        let range = self.high[column] - self.low[column];
        if range == 0.0 { EPSILON } else { range }
    }

    /// The normalised value of a number in `column`.
    pub fn apply(&self, column: usize, value: f32) -> f32 {
        match self.mode {
            NormMode::MeanStd => (value - self.low[column]) / (self.high[column] + EPSILON),
            NormMode::MinMax | NormMode::Quantiles | NormMode::Quantile10 => {
                2.0 * (value - self.low[column]) / self.range(column) - 1.0
            }
            NormMode::Identity => value,
        }
    }

    /// The value whose normalised form this is.
    pub fn restore(&self, column: usize, value: f32) -> f32 {
        match self.mode {
            NormMode::MeanStd => value * self.high[column] + self.low[column],
            NormMode::MinMax => (value + 1.0) / 2.0 * self.range(column) + self.low[column],
            NormMode::Quantiles | NormMode::Quantile10 => (value + 1.0) * self.range(column) / 2.0 + self.low[column],
            NormMode::Identity => value,
        }
    }

    /// Appends the normalised values of rows of this many columns.
    pub fn normalise(&self, values: &[f32], out: &mut Vec<f32>) {
        let columns = self.columns().max(1);
        if self.mode == NormMode::MeanStd {
            let pairs = self.low.iter().zip(&self.high).cycle();
            out.extend(values.iter().zip(pairs).map(|(x, (mean, std))| (x - mean) / (std + EPSILON)));
        } else {
            out.extend(values.iter().enumerate().map(|(i, x)| self.apply(i % columns, *x)));
        }
    }

    /// The normalised value of each byte, per channel.
    pub fn pixel_table(&self) -> PixelTable {
        let mut table = Box::new([[0.0; 256]; 3]);
        for (channel, row) in table.iter_mut().enumerate() {
            for (byte, value) in row.iter_mut().enumerate() {
                *value = self.apply(channel, byte as f32 / 255.0);
            }
        }
        PixelTable(table)
    }
}

/// The normalisation of everything a policy sees and does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statistics {
    /// Of each camera's three channels, for pixels in [0, 1].
    pub images: Vec<Scale>,
    /// Of the state, in physical units; no columns when there is none.
    pub state: Scale,
    /// Of the environment's state; no columns when there is none.
    pub env: Scale,
    /// Of the action.
    pub action: Scale,
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
            images: vec![Scale::of(pixels, 3)],
            state: Scale::of(state, set.state_dim),
            env: Scale::identity(0),
            action: Scale::of(action, set.action_dim),
        }
    }

    /// Refuses statistics that do not fit the configuration.
    pub fn check(&self, config: &ActConfig) -> Result<(), PolicyError> {
        let modes = &config.normalization;
        let cameras = self.images.iter().map(|scale| ("image", 3, scale, modes.visual));
        let others = [
            ("state", config.state_dim, &self.state, modes.state),
            ("environment", config.env_dim, &self.env, modes.env),
            ("action", config.action_dim, &self.action, modes.action),
        ];
        if self.images.len() != config.cameras.len() {
            return Err(PolicyError::Shape {
                what: "statistics",
                wanted: format!("those of {} cameras", config.cameras.len()),
                got: format!("those of {}", self.images.len()),
            });
        }
        for (what, columns, scale, mode) in cameras.chain(others) {
            if !scale.fits(columns) || (scale.mode != mode && columns > 0) {
                return Err(PolicyError::Shape {
                    what: "statistics",
                    wanted: format!("{mode:?} with {columns} finite numbers of each kind for the {what}"),
                    got: format!("{scale:?}"),
                });
            }
        }
        Ok(())
    }

    /// The table of the first camera.
    pub fn pixel_table(&self) -> PixelTable {
        self.images.first().unwrap_or(&Scale::identity(3)).pixel_table()
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
        assert_eq!(statistics.state, Scale::mean_std(vec![2.0, 5.0], vec![1.0, 1.0]));
        assert_eq!(statistics.action.low, [0.5]);
        assert_eq!(statistics.images, [Scale::mean_std(vec![0.5, 1.0, 0.2], vec![0.5, 1.0, 1.0])]);
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

    #[test]
    fn every_mode_maps_its_ends_as_lerobot_does_and_back() {
        let scale = |mode| Scale { mode, low: vec![1.0, 4.0], high: vec![3.0, 4.0] };
        for mode in [NormMode::MinMax, NormMode::Quantiles, NormMode::Quantile10] {
            let scale = scale(mode);
            assert_eq!((scale.apply(0, 1.0), scale.apply(0, 3.0), scale.apply(0, 2.0)), (-1.0, 1.0, 0.0));
            // A column without range: its only value is the lower end.
            assert_eq!((scale.apply(1, 4.0), scale.restore(1, -1.0)), (-1.0, 4.0));
            assert_eq!((scale.restore(0, -1.0), scale.restore(0, 0.5)), (1.0, 2.5));
        }
        assert_eq!((scale(NormMode::MeanStd).apply(0, 4.0), scale(NormMode::MeanStd).restore(0, 1.0)), (1.0, 4.0));
        assert_eq!((scale(NormMode::Identity).apply(0, 4.0), scale(NormMode::Identity).restore(0, 4.0)), (4.0, 4.0));
    }
}
