//! `meta/episodes`: one row per episode, which says where its frames lie.

use super::Examination;
use crate::dataset::DatasetError;
use crate::dataset::feature_statistics::NAMES;
use crate::dataset::layout::{self, FileNumber};
use crate::dataset::lenient::numbers_of_lists;
use crate::dataset::parquet_file::ParquetSource;
use crate::dataset::reader::int64s;
use arrow_array::RecordBatch;
use std::collections::HashSet;
use std::path::Path;

/// Where an episode lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    /// First frame over the dataset.
    pub from: i64,
    /// The frame after the last.
    pub to: i64,
    /// The data file.
    pub file: FileNumber,
}

const COLUMNS: [&str; 6] =
    ["episode_index", "length", "dataset_from_index", "dataset_to_index", "data/chunk_index", "data/file_index"];

impl Examination<'_> {
    pub(super) fn episodes(&mut self) -> Result<Vec<Bounds>, DatasetError> {
        let mut bounds: Vec<Bounds> = Vec::new();
        let mut missing = HashSet::new();
        for path in layout::parquet_files(self.dir, "meta/episodes")? {
            let source = ParquetSource::open(&path)?;
            self.episode_columns(&source);
            let statistics: Vec<String> =
                source.schema().fields().iter().map(|f| f.name().clone()).filter(|n| n.starts_with("stats/")).collect();
            let columns: Vec<&str> = COLUMNS.into_iter().chain(statistics.iter().map(String::as_str)).collect();
            for batch in source.read(&columns, None)? {
                let batch = batch?;
                let first = bounds.len();
                self.episode_rows(&batch, &path, &mut bounds)?;
                self.episode_statistics(&batch, &statistics, &path, first);
            }
        }
        for (episode, row) in bounds.iter().enumerate() {
            let data = row.file.data_path();
            if !self.dir.join(&data).is_file() && missing.insert(row.file) {
                self.note(&self.path("meta/episodes"), format!("episode {episode}: its file {data} is missing"));
            }
        }
        if bounds.len() != self.info.total_episodes {
            let problem = format!("{} episodes where {} are declared", bounds.len(), self.info.total_episodes);
            self.note(&self.path("meta/episodes"), problem);
        }
        Ok(bounds)
    }

    /// Tools that merge and split datasets need every statistic of every feature.
    fn episode_columns(&mut self, source: &ParquetSource) {
        let has = |name: &str| source.schema().column_with_name(name).is_some();
        if !has("tasks") {
            self.note(&source.path, "column \"tasks\" is missing");
        }
        let lacking: Vec<String> = (self.info.features.0.iter())
            .filter(|(_, feature)| feature.dtype != "string")
            .flat_map(|(key, _)| NAMES.iter().map(move |name| format!("stats/{key}/{name}")))
            .filter(|name| !has(name))
            .collect();
        if let Some(first) = lacking.first() {
            let problem = format!("{} columns of statistics are missing, {first:?} for one", lacking.len());
            self.note(&source.path, problem);
        }
    }

    fn episode_rows(&mut self, batch: &RecordBatch, path: &Path, bounds: &mut Vec<Bounds>) -> Result<(), DatasetError> {
        let [index, length, from, to, chunk, file] = COLUMNS.map(|name| int64s(batch, name, path));
        let (index, length, from, to, chunk, file) = (index?, length?, from?, to?, chunk?, file?);
        for row in 0..batch.num_rows() {
            let due = (bounds.len() as i64, bounds.last().map_or(0, |last| last.to));
            if (index[row], from[row]) != due {
                let found = (index[row], from[row]);
                self.note(path, format!("(episode, first frame) is {found:?} where {due:?} is due"));
            }
            if to[row].checked_sub(from[row]) != Some(length[row]) || length[row] < 1 {
                let (episode, length) = (index[row], length[row]);
                self.note(path, format!("episode {episode}: length {length} is not that of its frames"));
            }
            let number = FileNumber { chunk: chunk[row].max(0) as usize, file: file[row].max(0) as usize };
            if bounds.last().is_some_and(|last| number < last.file) {
                let problem =
                    format!("episode {}: its file {} is before the last one's", index[row], number.data_path());
                self.note(path, problem);
            }
            bounds.push(Bounds { from: from[row], to: to[row], file: number });
        }
        Ok(())
    }

    fn episode_statistics(&mut self, batch: &RecordBatch, columns: &[String], path: &Path, first: usize) {
        for name in columns {
            let Some(column) = batch.column_by_name(name) else { continue };
            match numbers_of_lists(column.as_ref()) {
                Some(numbers) => {
                    if let Some(bad) = numbers.iter().find(|number| !number.is_finite()) {
                        self.note(path, format!("{name} holds {bad} in episodes from {first} on"));
                    }
                }
                None => self.note(path, format!("{name} has gaps or is not numbers, in episodes from {first} on")),
            }
        }
    }
}
