//! `meta/episodes` and `ralphton/episodes.parquet`: one row per episode, written every few episodes.

use super::columns::{Place, batch, int64};
use super::feature_statistics::{FeatureStatistics, NAMES};
use super::layout::FileNumber;
use super::parquet_file::ParquetFile;
use super::spec::{DatasetSpec, Features};
use super::{DatasetError, EpisodeOrigin};
use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, ListArray, StringArray, UInt32Array, UInt64Array};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;

/// Rows held back before they are written as one row group.
const ROWS_PER_GROUP: usize = 64;

/// What is known of an episode once its frames are written.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct EpisodeRow {
    pub place: Place,
    pub frames: usize,
    pub labelled: usize,
    pub task: String,
    pub data: FileNumber,
    pub origin: EpisodeOrigin,
    /// In feature order.
    pub statistics: Vec<FeatureStatistics>,
}

/// Both episode tables of a dataset being written.
pub(super) struct EpisodeTable {
    features: Features,
    rows: Vec<EpisodeRow>,
    meta: ParquetFile,
    meta_schema: SchemaRef,
    meta_path: PathBuf,
    origins: ParquetFile,
    origin_schema: SchemaRef,
    origin_path: PathBuf,
}

impl EpisodeTable {
    pub fn create(spec: &DatasetSpec, meta_path: PathBuf, origin_path: PathBuf) -> Result<Self, DatasetError> {
        let features = spec.features();
        let (meta_schema, origin_schema) = (meta_schema(&features), origin_schema());
        Ok(Self {
            features,
            rows: Vec::new(),
            meta: ParquetFile::create(meta_path.clone(), Arc::clone(&meta_schema), None)?,
            meta_schema,
            meta_path,
            origins: ParquetFile::create(origin_path.clone(), Arc::clone(&origin_schema), None)?,
            origin_schema,
            origin_path,
        })
    }

    pub fn push(&mut self, row: EpisodeRow) -> Result<(), DatasetError> {
        self.rows.push(row);
        if self.rows.len() >= ROWS_PER_GROUP { self.flush() } else { Ok(()) }
    }

    pub fn close(mut self) -> Result<(), DatasetError> {
        self.flush()?;
        self.meta.close()?;
        self.origins.close().map(drop)
    }

    fn flush(&mut self) -> Result<(), DatasetError> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let meta = batch(&self.meta_schema, self.meta_columns(), &self.meta_path)?;
        let origins = batch(&self.origin_schema, self.origin_columns(), &self.origin_path)?;
        self.meta.append(&meta)?;
        self.origins.append(&origins)?;
        self.rows.clear();
        Ok(())
    }

    fn meta_columns(&self) -> Vec<ArrayRef> {
        let int = |value: fn(&EpisodeRow) -> usize| int64(self.rows.iter().map(value));
        let texts = Arc::new(StringArray::from_iter_values(self.rows.iter().map(|row| &row.task))) as ArrayRef;
        let mut columns = vec![
            int(|row| row.place.episode),
            list_of(texts, self.rows.iter().map(|_| 1)),
            int(|row| row.frames),
            int(|row| row.data.chunk),
            int(|row| row.data.file),
            int(|row| row.place.first_frame),
            int(|row| row.place.first_frame + row.frames),
        ];
        for feature in 0..self.features.0.len() {
            columns.extend(NAMES.iter().map(|name| self.statistic(feature, name)));
        }
        columns.extend([int(|_| 0), int(|_| 0)]);
        columns
    }

    fn statistic(&self, feature: usize, name: &str) -> ArrayRef {
        let mut lens = Vec::with_capacity(self.rows.len());
        let (mut numbers, mut counts) = (Vec::new(), Vec::new());
        for row in &self.rows {
            let statistics = &row.statistics[feature];
            let values = statistics.numbers(name);
            match values {
                Some(values) => numbers.extend_from_slice(values),
                None => counts.push(i64::try_from(statistics.count).unwrap_or(i64::MAX)),
            }
            lens.push(values.map_or(1, <[f64]>::len));
        }
        if !counts.is_empty() {
            return list_of(Arc::new(Int64Array::from(counts)), lens.into_iter());
        }
        let total = numbers.len();
        let mut values = Arc::new(Float64Array::from(numbers)) as ArrayRef;
        if self.features.0[feature].1.is_image() {
            values = list_of(values, (0..total).map(|_| 1));
            values = list_of(values, (0..total).map(|_| 1));
        }
        list_of(values, lens.into_iter())
    }

    fn origin_columns(&self) -> Vec<ArrayRef> {
        let origins = || self.rows.iter().map(|row| &row.origin);
        vec![
            int64(self.rows.iter().map(|row| row.place.episode)),
            Arc::new(StringArray::from_iter_values(origins().map(|origin| &origin.scenario))),
            Arc::new(UInt64Array::from_iter_values(origins().map(|origin| origin.seed))),
            Arc::new(UInt32Array::from_iter_values(origins().map(|origin| origin.bricks))),
            Arc::new(StringArray::from_iter_values(origins().map(|origin| &origin.strategy))),
            Arc::new(origins().map(|origin| Some(origin.success)).collect::<BooleanArray>()),
            int64(self.rows.iter().map(|row| row.frames)),
            int64(self.rows.iter().map(|row| row.labelled)),
        ]
    }
}

fn list_of(values: ArrayRef, lens: impl ExactSizeIterator<Item = usize>) -> ArrayRef {
    let element = Arc::new(Field::new("element", values.data_type().clone(), true));
    Arc::new(ListArray::new(element, OffsetBuffer::from_lengths(lens), values, None))
}

fn list_type(element: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("element", element, true)))
}

fn meta_schema(features: &Features) -> SchemaRef {
    let int = |name: &str| Field::new(name, DataType::Int64, true);
    let mut fields = vec![
        int("episode_index"),
        Field::new("tasks", list_type(DataType::Utf8), true),
        int("length"),
        int("data/chunk_index"),
        int("data/file_index"),
        int("dataset_from_index"),
        int("dataset_to_index"),
    ];
    for (key, feature) in &features.0 {
        fields.extend(NAMES.iter().map(|name| {
            let data_type = match (*name, feature.is_image()) {
                ("count", _) => list_type(DataType::Int64),
                (_, true) => list_type(list_type(list_type(DataType::Float64))),
                (_, false) => list_type(DataType::Float64),
            };
            Field::new(format!("stats/{key}/{name}"), data_type, true)
        }));
    }
    fields.extend([int("meta/episodes/chunk_index"), int("meta/episodes/file_index")]);
    Arc::new(Schema::new(fields))
}

fn origin_schema() -> SchemaRef {
    let field = |name: &str, data_type: DataType| Field::new(name, data_type, true);
    Arc::new(Schema::new(vec![
        field("episode_index", DataType::Int64),
        field("scenario", DataType::Utf8),
        field("seed", DataType::UInt64),
        field("bricks", DataType::UInt32),
        field("strategy", DataType::Utf8),
        field("success", DataType::Boolean),
        field("length", DataType::Int64),
        field("labelled_frames", DataType::Int64),
    ]))
}
