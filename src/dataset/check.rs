//! Whether a dataset can be trusted: every file is read, every number looked at, every image decoded.
//!
//! Nothing stops at the first defect, so that one look shows everything; what cannot be judged because
//! something before it is broken is left out.

use super::columns::float_list;
use super::feature_statistics::NAMES;
use super::layout::{self, FileNumber};
use super::load::png_column;
use super::parquet_file::ParquetSource;
use super::png_image::decode_png;
use super::reader::{column, int64s, read_info, read_json, read_labels};
use super::spec::{DEFAULTS, Feature, Info};
use super::summary::origins;
use super::{ACTION_DIM, DatasetError};
use arrow_array::{Float32Array, RecordBatch};
use serde_json::{Map, Value};
use std::fmt;
use std::path::{Path, PathBuf};

/// Defects listed at most; a dataset with more is lost anyway.
const MAX_DEFECTS: usize = 100;

/// One thing that is wrong with a dataset, in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defect {
    /// The file or folder.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: String,
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.problem)
    }
}

/// Examines the dataset in `dir`; an empty list means that nothing is wrong.
///
/// # Errors
/// `dir` is not a folder. Everything wrong inside it is a defect, not an error.
pub fn check(dir: &Path) -> Result<Vec<Defect>, DatasetError> {
    if !dir.is_dir() {
        return Err(DatasetError::malformed(dir, "no such folder"));
    }
    let info = match read_info(dir) {
        Ok(info) => info,
        Err(error) => {
            return Ok(vec![Defect { path: dir.join(layout::INFO), problem: without_path(&error) }]);
        }
    };
    let mut examination = Examination { dir, info, defects: Vec::new() };
    examination.declaration();
    examination.try_part(layout::STATS, Examination::statistics);
    examination.try_part(layout::TASKS, Examination::tasks);
    let mut bounds = Vec::new();
    examination.try_part("meta/episodes", |this| {
        bounds = this.episodes()?;
        Ok(())
    });
    examination.try_part("data", |this| this.data(&bounds));
    if dir.join("ralphton").is_dir() {
        examination.try_part(layout::LABELS, |this| this.labels(&bounds));
        examination.try_part(layout::PROVENANCE, |this| read_json::<Value>(&this.path(layout::PROVENANCE)).map(drop));
    }
    Ok(examination.defects)
}

/// First frame and frame after the last of an episode.
type Bounds = (i64, i64);

struct Examination<'a> {
    dir: &'a Path,
    info: Info,
    defects: Vec<Defect>,
}

impl Examination<'_> {
    fn path(&self, relative: &str) -> PathBuf {
        self.dir.join(relative)
    }

    fn note(&mut self, path: &Path, problem: impl Into<String>) {
        if self.defects.len() < MAX_DEFECTS {
            self.defects.push(Defect { path: path.to_path_buf(), problem: problem.into() });
        }
    }

    /// Runs a part of the examination; what keeps it from going on is a defect too.
    fn try_part(&mut self, relative: &str, part: impl FnOnce(&mut Self) -> Result<(), DatasetError>) {
        if let Err(error) = part(self) {
            self.note_error(relative, &error);
        }
    }

    fn note_error(&mut self, relative: &str, error: &DatasetError) {
        let fallback = self.path(relative);
        self.note(&path_of(error).unwrap_or(fallback), without_path(error));
    }

    fn declaration(&mut self) {
        let path = self.path(layout::INFO);
        for (index, key) in DEFAULTS.iter().enumerate() {
            let dtype = if index == 0 { "float32" } else { "int64" };
            match self.info.features.get(key) {
                Some(feature) if feature.dtype == dtype && feature.shape == [1] => {}
                Some(feature) => {
                    let problem =
                        format!("feature {key:?} is {} {:?} instead of {dtype} [1]", feature.dtype, feature.shape);
                    self.note(&path, problem);
                }
                None => self.note(&path, format!("feature {key:?} is missing")),
            }
        }
        let train = format!("0:{}", self.info.total_episodes);
        if self.info.splits.get("train").is_some_and(|split| *split != train) {
            self.note(&path, format!("split \"train\" is not {train:?}"));
        }
    }

    fn statistics(&mut self) -> Result<(), DatasetError> {
        let path = self.path(layout::STATS);
        let all: Map<String, Value> = read_json(&path)?;
        for (key, feature) in self.info.features.0.clone() {
            for name in NAMES {
                if let Some(problem) = bad_statistic(all.get(&key).and_then(|entry| entry.get(name)), name, &feature) {
                    self.note(&path, format!("{key}/{name} {problem}"));
                }
            }
        }
        Ok(())
    }

    fn tasks(&mut self) -> Result<(), DatasetError> {
        let path = self.path(layout::TASKS);
        let source = ParquetSource::open(&path)?;
        if source.entry("pandas").is_none() {
            self.note(&path, "pandas metadata is missing: readers would take row numbers for task texts");
        }
        if source.rows() != self.info.total_tasks {
            let problem = format!("{} tasks where {} are declared", source.rows(), self.info.total_tasks);
            self.note(&path, problem);
        }
        let mut due = 0;
        for batch in source.read(&["task_index"], None)? {
            for &found in int64s(&batch?, "task_index", &path)? {
                if found != due {
                    self.note(&path, format!("task_index {found} where {due} is due"));
                }
                due += 1;
            }
        }
        Ok(())
    }

    fn episodes(&mut self) -> Result<Vec<Bounds>, DatasetError> {
        let names = [
            "episode_index",
            "length",
            "dataset_from_index",
            "dataset_to_index",
            "data/chunk_index",
            "data/file_index",
        ];
        let mut bounds: Vec<Bounds> = Vec::new();
        for path in layout::parquet_files(self.dir, "meta/episodes")? {
            let source = ParquetSource::open(&path)?;
            for batch in source.read(&names, None)? {
                let batch = batch?;
                let [index, length, from, to, chunk, file] = names.map(|name| int64s(&batch, name, &path));
                let (index, length, from, to, chunk, file) = (index?, length?, from?, to?, chunk?, file?);
                for row in 0..batch.num_rows() {
                    let due = (bounds.len() as i64, bounds.last().map_or(0, |&(_, end)| end));
                    if (index[row], from[row]) != due {
                        let found = (index[row], from[row]);
                        self.note(&path, format!("(episode, first frame) is {found:?} where {due:?} is due"));
                    }
                    if to[row] - from[row] != length[row] || length[row] < 1 {
                        let (episode, length) = (index[row], length[row]);
                        self.note(&path, format!("episode {episode}: length {length} is not that of its frames"));
                    }
                    let number = FileNumber { chunk: chunk[row].max(0) as usize, file: file[row].max(0) as usize };
                    if !self.dir.join(number.data_path()).is_file() {
                        let problem = format!("episode {}: its file {} is missing", index[row], number.data_path());
                        self.note(&path, problem);
                    }
                    bounds.push((from[row], to[row]));
                }
            }
        }
        let path = self.path("meta/episodes");
        if bounds.len() != self.info.total_episodes {
            let problem = format!("{} episodes where {} are declared", bounds.len(), self.info.total_episodes);
            self.note(&path, problem);
        }
        Ok(bounds)
    }

    fn data(&mut self, bounds: &[Bounds]) -> Result<(), DatasetError> {
        let mut rows = 0_usize;
        for path in layout::parquet_files(self.dir, "data")? {
            match self.data_file(&path, rows, bounds) {
                Ok(read) => rows += read,
                Err(error) => self.note_error("data", &error),
            }
        }
        if rows != self.info.total_frames {
            let problem = format!("{rows} frames could be read where {} are declared", self.info.total_frames);
            self.note(&self.path("data"), problem);
        }
        Ok(())
    }

    /// Examines one data file whose first row should be frame `first`; tells its rows.
    fn data_file(&mut self, path: &Path, first: usize, bounds: &[Bounds]) -> Result<usize, DatasetError> {
        let source = ParquetSource::open(path)?;
        let declared: Vec<String> =
            self.info.features.0.iter().filter(|(_, f)| f.dtype != "video").map(|(key, _)| key.clone()).collect();
        for field in source.schema().fields() {
            if !declared.contains(field.name()) {
                self.note(path, format!("column {:?} is not declared in meta/info.json", field.name()));
            }
        }
        let columns: Vec<&str> = declared.iter().map(String::as_str).collect();
        let mut row = first;
        for batch in source.read(&columns, None)? {
            let batch = batch?;
            self.indices(&batch, path, row, bounds)?;
            for (key, feature) in self.info.features.0.clone() {
                if feature.dtype == "image" {
                    self.images(&batch, &key, &feature, path, row)?;
                } else if feature.dtype == "float32" && feature.shape != [1] {
                    self.numbers(&batch, &key, &feature, path, row);
                }
            }
            row += batch.num_rows();
        }
        Ok(row - first)
    }

    fn indices(
        &mut self,
        batch: &RecordBatch,
        path: &Path,
        first: usize,
        bounds: &[Bounds],
    ) -> Result<(), DatasetError> {
        let [frame, episode, index, task] =
            ["frame_index", "episode_index", "index", "task_index"].map(|name| int64s(batch, name, path));
        let (frame, episode, index, task) = (frame?, episode?, index?, task?);
        let time = column::<Float32Array>(batch, "timestamp", path)?.values();
        let tasks = self.info.total_tasks as i64;
        for row in 0..batch.num_rows() {
            let due = (first + row) as i64;
            let at = bounds.partition_point(|&(_, end)| end <= due);
            let Some(&(begin, _)) = bounds.get(at) else { continue };
            let found = (index[row], episode[row], frame[row]);
            let due = (due, at as i64, due - begin);
            if found != due {
                // One shifted row shifts all the others: the first says everything.
                self.note(path, format!("(index, episode, frame) is {found:?} where {due:?} is due"));
                return Ok(());
            }
            let due_s = frame[row] as f64 / f64::from(self.info.fps.max(1));
            // NaN must not pass.
            let on_time = (f64::from(time[row]) - due_s).abs() <= 1e-4;
            if !on_time {
                self.note(path, format!("frame {}: timestamp {} s where {due_s} s is due", index[row], time[row]));
            }
            if !(0..tasks).contains(&task[row]) {
                self.note(path, format!("frame {}: task {} of {tasks}", index[row], task[row]));
            }
        }
        Ok(())
    }

    fn numbers(&mut self, batch: &RecordBatch, key: &str, feature: &Feature, path: &Path, first: usize) {
        let channels = feature.channels();
        match batch.column_by_name(key).and_then(|column| float_list(column.as_ref(), channels)) {
            Some(numbers) => {
                if let Some(bad) = numbers.iter().position(|value| !value.is_finite()) {
                    let (frame, channel) = (first + bad / channels.max(1), bad % channels.max(1));
                    self.note(path, format!("frame {frame}: {key}[{channel}] is {}", numbers[bad]));
                }
            }
            None => self.note(path, format!("column {key:?} is not {channels} float32 numbers a row")),
        }
    }

    fn images(
        &mut self,
        batch: &RecordBatch,
        key: &str,
        feature: &Feature,
        path: &Path,
        first: usize,
    ) -> Result<(), DatasetError> {
        let &[height, width, 3] = feature.shape.as_slice() else {
            self.note(path, format!("{key} has the shape {:?}, not [height, width, 3]", feature.shape));
            return Ok(());
        };
        let bytes = png_column(batch, key, path)?;
        let mut pixels = vec![0; height * width * 3];
        for row in 0..batch.num_rows() {
            if let Err(problem) = decode_png(bytes.value(row), width, height, &mut pixels) {
                self.note(path, format!("frame {}: {problem}", first + row));
            }
        }
        Ok(())
    }

    fn labels(&mut self, bounds: &[Bounds]) -> Result<(), DatasetError> {
        let path = self.path(layout::LABELS);
        let labels = read_labels(self.dir, self.info.total_frames)?;
        let len = labels.chunk * ACTION_DIM;
        if let Some(bad) = labels.numbers.iter().position(|value| !value.is_finite()) {
            let frame = labels.frames[bad / len.max(1)];
            self.note(&path, format!("frame {frame}: its label holds {}", labels.numbers[bad]));
        }
        let path = self.path(layout::ORIGINS);
        let origins = origins(self.dir)?;
        if origins.len() != bounds.len() {
            self.note(&path, format!("{} episodes where the dataset has {}", origins.len(), bounds.len()));
            return Ok(());
        }
        for (episode, (row, &(from, to))) in origins.iter().zip(bounds).enumerate() {
            let within = |frame: i64| labels.frames.partition_point(|&labelled| (labelled as i64) < frame);
            let labelled = within(to).saturating_sub(within(from));
            if (row.frames as i64, row.labelled_frames) != (to - from, labelled) {
                let problem = format!(
                    "episode {episode}: {} frames, {} labelled; the other tables have {} and {labelled}",
                    row.frames,
                    row.labelled_frames,
                    to - from
                );
                self.note(&path, problem);
            }
        }
        Ok(())
    }
}

/// What is wrong with one entry of `meta/stats.json`, if anything.
fn bad_statistic(entry: Option<&Value>, name: &str, feature: &Feature) -> Option<String> {
    fn flatten(value: &Value, out: &mut Vec<Option<f64>>) {
        match value.as_array() {
            Some(list) => list.iter().for_each(|value| flatten(value, out)),
            None => out.push(value.as_f64().filter(|number| number.is_finite())),
        }
    }
    if feature.dtype == "string" {
        return None;
    }
    let Some(entry) = entry else { return Some("is missing".into()) };
    let mut numbers = Vec::new();
    flatten(entry, &mut numbers);
    let due = if name == "count" { 1 } else { feature.channels() };
    if numbers.len() != due {
        return Some(format!("has {} numbers instead of {due}", numbers.len()));
    }
    numbers.contains(&None).then(|| "holds something that is not a number".into())
}

fn path_of(error: &DatasetError) -> Option<PathBuf> {
    match error {
        DatasetError::Exists(path) | DatasetError::Busy(path) => Some(path.clone()),
        DatasetError::NoSpace { path, .. }
        | DatasetError::Io { path, .. }
        | DatasetError::Parquet { path, .. }
        | DatasetError::Malformed { path, .. }
        | DatasetError::Mismatch { path, .. } => Some(path.clone()),
        DatasetError::Spec(_) | DatasetError::Episode(_) => None,
    }
}

/// The error without its path, which the defect names already.
fn without_path(error: &DatasetError) -> String {
    match error {
        DatasetError::Io { doing, source, .. } => format!("cannot {doing} it: {source}"),
        DatasetError::Parquet { source, .. } => format!("truncated or damaged parquet: {source}"),
        DatasetError::Malformed { problem, .. } | DatasetError::Mismatch { problem, .. } => problem.clone(),
        DatasetError::Exists(_)
        | DatasetError::Busy(_)
        | DatasetError::NoSpace { .. }
        | DatasetError::Spec(_)
        | DatasetError::Episode(_) => error.to_string(),
    }
}
