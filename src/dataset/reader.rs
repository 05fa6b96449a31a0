//! A dataset opened for reading: its declared shape, its files, and the small columns of all its frames.

use super::layout;
use super::lenient::{ImageBytes, integers, numbers};
use super::parquet_file::ParquetSource;
use super::side_table::SideTable;
use super::spec::{ACTION, Info, STATE};
use super::{ACTION_DIM, DatasetError};
use arrow_array::{Array, RecordBatch};
use serde::de::DeserializeOwned;
use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};

/// JSON files larger than this are not ours to read.
const MAX_JSON_BYTES: u64 = 64 * 1024 * 1024;

/// A dataset whose declared shape is one that can be trained on.
#[derive(Debug)]
pub(super) struct Opened {
    pub dir: PathBuf,
    pub info: Info,
    pub camera: String,
    /// Whether the camera is stored as video.
    pub video: bool,
    pub height: usize,
    pub width: usize,
    pub state_dim: usize,
    pub data: Vec<ParquetSource>,
}

/// State, action and episode of every frame.
#[derive(Debug, Default)]
pub(super) struct Frames {
    pub states: Vec<f32>,
    pub actions: Vec<f32>,
    pub episodes: Vec<i64>,
}

/// Expert labels of the side table.
#[derive(Debug, Default)]
pub(super) struct Labels {
    /// Actions in a label chunk.
    pub chunk: usize,
    /// `T·A` numbers for each labelled frame.
    pub numbers: Vec<f32>,
    /// The labelled frames, ascending.
    pub frames: Vec<usize>,
}

impl Opened {
    /// Reads the declaration and the footers of the data files; no frame yet.
    pub fn open(dir: &Path) -> Result<Self, DatasetError> {
        let info = read_info(dir)?;
        let path = dir.join(layout::INFO);
        let refuse = |problem: String| Err(DatasetError::malformed(&path, problem));
        let cameras: Vec<_> = info.features.0.iter().filter(|(_, feature)| feature.is_image()).collect();
        let [(camera, feature)] = cameras.as_slice() else {
            return refuse(format!("{} cameras declared; training takes exactly one", cameras.len()));
        };
        let Some((height, width)) = feature.image_size() else {
            return refuse(format!("{camera} has the shape {:?}; [height, width, 3] is needed", feature.shape));
        };
        let video = feature.dtype == "video";
        let Some(state_dim) = info.features.get(STATE).map(super::spec::Feature::channels) else {
            return refuse(format!("feature {STATE:?} is missing"));
        };
        match info.features.get(ACTION).map(super::spec::Feature::channels) {
            Some(ACTION_DIM) => {}
            Some(other) => return refuse(format!("actions of {other} numbers; {ACTION_DIM} are needed")),
            None => return refuse(format!("feature {ACTION:?} is missing")),
        }
        let files = layout::parquet_files(dir, "data")?;
        let data = files.iter().map(|path| ParquetSource::open(path)).collect::<Result<Vec<_>, _>>()?;
        let (camera, total) = (camera.clone(), info.total_frames);
        let opened = Self { dir: dir.to_path_buf(), info, camera, video, height, width, state_dim, data };
        let rows = opened.data.iter().map(ParquetSource::rows).fold(0, usize::saturating_add);
        if rows != total {
            return Err(DatasetError::malformed(
                &dir.join("data"),
                format!("{rows} frames where meta/info.json declares {total}"),
            ));
        }
        Ok(opened)
    }

    /// The names of a vector's numbers, from the declaration or made up.
    pub fn names(&self, key: &str, len: usize) -> Vec<String> {
        let declared = self.info.features.get(key).and_then(|feature| feature.names.as_ref());
        let list = declared.and_then(|names| names.as_array().or_else(|| names.get("motors")?.as_array()));
        let name =
            |at: usize| list.and_then(|list| list.get(at)?.as_str()).map_or_else(|| at.to_string(), str::to_owned);
        (0..len).map(name).collect()
    }

    /// Reads the numbers of all frames, a few hundred bytes each; the images stay on disk.
    pub fn frames(&self) -> Result<Frames, DatasetError> {
        let mut frames = Frames::default();
        for source in &self.data {
            for batch in source.read(&[STATE, ACTION, "episode_index", "index"], None)? {
                let batch = batch?;
                frames.states.extend_from_slice(&floats(&batch, STATE, self.state_dim, &source.path)?);
                frames.actions.extend_from_slice(&floats(&batch, ACTION, ACTION_DIM, &source.path)?);
                let indices = int64s(&batch, "index", &source.path)?;
                let expected = i64::try_from(frames.episodes.len()).unwrap_or(i64::MAX);
                if let Some((found, due)) = indices.iter().zip(expected..).find(|(found, due)| *found != due) {
                    return Err(DatasetError::malformed(&source.path, format!("index {found} where {due} is due")));
                }
                frames.episodes.extend_from_slice(&int64s(&batch, "episode_index", &source.path)?);
            }
        }
        Ok(frames)
    }

    /// Reads the labels of the side table; a dataset from elsewhere has none.
    pub fn labels(&self) -> Result<Labels, DatasetError> {
        if self.dir.join(layout::SIDE).exists() {
            read_labels(&self.dir, self.info.total_frames)
        } else {
            Ok(Labels::default())
        }
    }
}

/// Reads the labels in the side table of a dataset of `total` frames.
fn read_labels(dir: &Path, total: usize) -> Result<Labels, DatasetError> {
    let table = SideTable::open(dir)?;
    let mut labels = Labels { chunk: table.chunk, ..Labels::default() };
    let rows = table.each(&mut |frame| {
        if let Some(label) = frame.label {
            labels.numbers.extend_from_slice(label);
            labels.frames.push(frame.index);
        }
    })?;
    if rows != total {
        let problem = format!("{rows} rows where the dataset has {total} frames");
        return Err(DatasetError::malformed(&table.path(), problem));
    }
    Ok(labels)
}

/// Reads `meta/info.json` and refuses other format versions.
pub(super) fn read_info(dir: &Path) -> Result<Info, DatasetError> {
    let info: Info = read_json(&dir.join(layout::INFO))?;
    if !info.codebase_version.trim_start_matches('v').starts_with("3.") {
        let problem = format!("format version {:?}; only v3.x can be read, convert it first", info.codebase_version);
        return Err(DatasetError::malformed(&dir.join(layout::INFO), problem));
    }
    Ok(info)
}

/// Reads a JSON file.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, DatasetError> {
    let failed = |error| DatasetError::io("read", path, 0, error);
    if fs::metadata(path).map_err(failed)?.len() > MAX_JSON_BYTES {
        return Err(DatasetError::malformed(path, format!("larger than {MAX_JSON_BYTES} bytes")));
    }
    let text = fs::read(path).map_err(failed)?;
    serde_json::from_slice(&text)
        .map_err(|error| DatasetError::malformed(path, format!("not what it should be: {error}")))
}

/// A column of vectors of `len` numbers without gaps.
pub(super) fn floats<'a>(
    batch: &'a RecordBatch,
    name: &str,
    len: usize,
    path: &Path,
) -> Result<Cow<'a, [f32]>, DatasetError> {
    let found = batch.column_by_name(name).and_then(|column| numbers(column.as_ref(), len));
    found.ok_or_else(|| {
        DatasetError::malformed(path, format!("column {name:?} is not {len} numbers a row without gaps"))
    })
}

/// A column of whole numbers without gaps.
pub(super) fn int64s<'a>(batch: &'a RecordBatch, name: &str, path: &Path) -> Result<Cow<'a, [i64]>, DatasetError> {
    let found = batch.column_by_name(name).and_then(|column| integers(column.as_ref()));
    found.ok_or_else(|| DatasetError::malformed(path, format!("column {name:?} is not whole numbers without gaps")))
}

/// The image files of a batch of frames.
pub(super) fn image_files<'a>(
    batch: &'a RecordBatch,
    camera: &str,
    path: &Path,
) -> Result<ImageBytes<'a>, DatasetError> {
    let found = batch.column_by_name(camera).and_then(|column| ImageBytes::of(column.as_ref()));
    found.ok_or_else(|| DatasetError::malformed(path, format!("column {camera:?} does not hold the images themselves")))
}

/// A column of a known arrow type without gaps.
pub(super) fn column<'a, T: Array + 'static>(
    batch: &'a RecordBatch,
    name: &str,
    path: &Path,
) -> Result<&'a T, DatasetError> {
    let column = batch.column_by_name(name).and_then(|column| column.as_any().downcast_ref::<T>());
    column.filter(|column| column.null_count() == 0).ok_or_else(|| {
        let found = batch.column_by_name(name).map(|column| column.data_type().to_string());
        let found = found.unwrap_or_else(|| "absent".into());
        DatasetError::malformed(path, format!("column {name:?} has gaps or the wrong type ({found})"))
    })
}
