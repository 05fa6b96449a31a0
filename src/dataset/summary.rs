//! What a dataset holds, in numbers: from its tables, without reading a frame.

use super::layout;
use super::parquet_file::ParquetSource;
use super::reader::{column, int64s, read_info};
use super::{DatasetError, EpisodeOrigin};
use arrow_array::{BooleanArray, StringArray, UInt32Array, UInt64Array};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A dataset in numbers. What only our side tables know is zero or empty for datasets from elsewhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatasetSummary {
    /// The dataset's folder.
    pub dir: PathBuf,
    /// Episodes.
    pub episodes: usize,
    /// Frames over all episodes.
    pub frames: usize,
    /// Frames with an expert label.
    pub labelled_frames: usize,
    /// Episodes that succeeded.
    pub successes: usize,
    /// Frames per second.
    pub fps: u32,
    /// Bytes on disk.
    pub bytes: u64,
    /// Episodes and successes of each scenario family.
    pub scenarios: BTreeMap<String, Share>,
    /// Episodes and successes of each strategy.
    pub strategies: BTreeMap<String, Share>,
}

/// Part of a dataset's episodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Share {
    /// Episodes of this kind.
    pub episodes: usize,
    /// Those of them that succeeded.
    pub successes: usize,
}

impl DatasetSummary {
    /// Seconds of driving.
    pub fn duration_s(&self) -> f64 {
        self.frames as f64 / f64::from(self.fps.max(1))
    }
}

/// Reads the summary of the dataset in `dir`.
///
/// # Errors
/// `meta/info.json` or a side table cannot be read.
pub fn summary(dir: &Path) -> Result<DatasetSummary, DatasetError> {
    let info = read_info(dir)?;
    let mut summary = DatasetSummary {
        dir: dir.to_path_buf(),
        episodes: info.total_episodes,
        frames: info.total_frames,
        labelled_frames: 0,
        successes: 0,
        fps: info.fps,
        bytes: layout::folder_bytes(dir)?,
        scenarios: BTreeMap::new(),
        strategies: BTreeMap::new(),
    };
    for row in origins(dir)? {
        let success = usize::from(row.origin.success);
        summary.labelled_frames += row.labelled_frames;
        summary.successes += success;
        for (shares, name) in
            [(&mut summary.scenarios, row.origin.scenario), (&mut summary.strategies, row.origin.strategy)]
        {
            let share = shares.entry(name).or_default();
            share.episodes += 1;
            share.successes += success;
        }
    }
    Ok(summary)
}

/// One row of `ralphton/episodes.parquet`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginRow {
    /// Where the episode came from.
    pub origin: EpisodeOrigin,
    /// Its frames.
    pub frames: usize,
    /// Those of them with an expert label.
    pub labelled_frames: usize,
}

/// Where the episodes of a dataset came from, in episode order; empty for datasets from elsewhere.
///
/// # Errors
/// The side table is there but cannot be read.
pub fn origins(dir: &Path) -> Result<Vec<OriginRow>, DatasetError> {
    let path = dir.join(layout::ORIGINS);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let source = ParquetSource::open(&path)?;
    let names = ["scenario", "seed", "bricks", "strategy", "success", "length", "labelled_frames"];
    let mut rows = Vec::new();
    for batch in source.read(&names, None)? {
        let batch = batch?;
        let (scenarios, strategies) =
            (column::<StringArray>(&batch, "scenario", &path)?, column::<StringArray>(&batch, "strategy", &path)?);
        let (seeds, bricks) =
            (column::<UInt64Array>(&batch, "seed", &path)?, column::<UInt32Array>(&batch, "bricks", &path)?);
        let successes = column::<BooleanArray>(&batch, "success", &path)?;
        let (lengths, labelled) = (int64s(&batch, "length", &path)?, int64s(&batch, "labelled_frames", &path)?);
        let count = |number: i64| usize::try_from(number).unwrap_or(0);
        rows.extend((0..batch.num_rows()).map(|row| OriginRow {
            origin: EpisodeOrigin {
                scenario: scenarios.value(row).to_owned(),
                seed: seeds.value(row),
                bricks: bricks.value(row),
                strategy: strategies.value(row).to_owned(),
                success: successes.value(row),
            },
            frames: count(lengths[row]),
            labelled_frames: count(labelled[row]),
        }));
    }
    Ok(rows)
}
