//! What `meta/info.json`, `meta/stats.json` and `meta/tasks.parquet` say.

use super::Examination;
use super::truth::Truth;
use crate::dataset::DatasetError;
use crate::dataset::feature_statistics::NAMES;
use crate::dataset::layout;
use crate::dataset::parquet_file::ParquetSource;
use crate::dataset::reader::{column, int64s, read_json};
use crate::dataset::spec::{DEFAULTS, Feature};
use arrow_array::{Array, StringArray};
use serde_json::{Map, Value};

impl Examination<'_> {
    pub(super) fn declaration(&mut self) {
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
        for (key, feature) in self.info.features.0.clone() {
            if key.contains('/') {
                self.note(&path, format!("feature {key:?} has a slash in its name"));
            }
            if feature.is_image() && feature.image_size().is_none() {
                let problem = format!("{key} has the shape {:?} instead of [height, width, 3]", feature.shape);
                self.note(&path, problem);
            }
        }
        let videos = self.info.features.0.iter().any(|(_, feature)| feature.dtype == "video");
        if videos && self.info.video_path.is_none() {
            self.note(&path, "video_path is missing, and a feature is video");
        }
        if self.info.fps == 0 {
            self.note(&path, "fps is 0");
        }
        if self.info.total_tasks == 0 {
            self.note(&path, "total_tasks is missing or 0: LeRobot 0.6 loads no tasks then");
        }
        let train = format!("0:{}", self.info.total_episodes);
        if self.info.splits.get("train").is_some_and(|split| *split != train) {
            self.note(&path, format!("split \"train\" is not {train:?}"));
        }
    }

    /// `truth` is what the frames themselves say, when all could be read.
    pub(super) fn statistics(&mut self, truth: Option<&Truth>) -> Result<(), DatasetError> {
        let path = self.path(layout::STATS);
        let all: Map<String, Value> = read_json(&path)?;
        for (key, feature) in self.info.features.0.clone() {
            if feature.dtype == "string" {
                continue;
            }
            let Some(entry) = all.get(&key) else {
                self.note(&path, format!("statistics of {key} are missing"));
                continue;
            };
            for name in NAMES {
                match statistic(entry.get(name), name, &feature) {
                    Ok(numbers) => {
                        let wrong = truth.and_then(|truth| truth.contradiction(&key, name, &numbers));
                        if let Some(problem) = wrong {
                            self.note(&path, format!("{key}/{name} {problem}"));
                        }
                    }
                    Err(problem) => self.note(&path, format!("{key}/{name} {problem}")),
                }
            }
        }
        Ok(())
    }

    pub(super) fn tasks(&mut self) -> Result<(), DatasetError> {
        let path = self.path(layout::TASKS);
        let source = ParquetSource::open(&path)?;
        let text = task_column(&source);
        if text.is_none() {
            self.note(&path, "pandas metadata is missing: readers would take row numbers for task texts");
        }
        if source.rows() != self.info.total_tasks {
            let problem = format!("{} tasks where {} are declared", source.rows(), self.info.total_tasks);
            self.note(&path, problem);
        }
        let columns: Vec<&str> = std::iter::once("task_index").chain(text.as_deref()).collect();
        let mut due = 0;
        for batch in source.read(&columns, None)? {
            let batch = batch?;
            if let Some(text) = &text {
                let texts = column::<StringArray>(&batch, text, &path)?;
                for row in (0..texts.len()).filter(|&row| texts.value(row).trim().is_empty()) {
                    self.note(&path, format!("task {} has no text", due + row as i64));
                }
            }
            for &found in int64s(&batch, "task_index", &path)?.iter() {
                if found != due {
                    self.note(&path, format!("task_index {found} where {due} is due"));
                }
                due += 1;
            }
        }
        Ok(())
    }
}

/// The column with the task texts, by the pandas metadata.
fn task_column(source: &ParquetSource) -> Option<String> {
    let pandas: Value = serde_json::from_str(source.entry("pandas")?).ok()?;
    let name = pandas["index_columns"].as_array()?.first()?.as_str()?;
    source.schema().column_with_name(name).map(|_| name.to_owned())
}

/// The numbers of one entry of `meta/stats.json`, or what is wrong with it.
fn statistic(entry: Option<&Value>, name: &str, feature: &Feature) -> Result<Vec<f64>, String> {
    fn flatten(value: &Value, out: &mut Vec<Option<f64>>) {
        match value.as_array() {
            Some(list) => list.iter().for_each(|value| flatten(value, out)),
            None => out.push(value.as_f64().filter(|number| number.is_finite())),
        }
    }
    let Some(entry) = entry else { return Err("is missing".into()) };
    let mut numbers = Vec::new();
    flatten(entry, &mut numbers);
    let due = if name == "count" { 1 } else { feature.channels() };
    if numbers.len() != due {
        return Err(format!("has {} numbers instead of {due}", numbers.len()));
    }
    let numbers: Option<Vec<f64>> = numbers.into_iter().collect();
    numbers.ok_or_else(|| "holds something that is not a number".into())
}
