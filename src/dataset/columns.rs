//! The parquet columns of frames and tasks: schemas, and rows of an episode as one arrow batch.
//!
//! The schemas are those that LeRobot's own writer leaves (list children called `element`, nullable
//! columns, the `huggingface` and `pandas` entries), so that stricter tools can join files of both.

use super::spec::{ACTION, DEFAULTS, DatasetSpec, Feature, STATE};
use super::{ACTION_DIM, DatasetError, EncodedEpisode};
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, FixedSizeListArray, Float32Array, Int64Array, ListArray, RecordBatch,
    StringArray, StructArray,
};
use arrow_buffer::{Buffer, NullBuffer, OffsetBuffer};
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// Where the rows of an episode begin: its number, its first frame over the dataset, its task.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Place {
    pub episode: usize,
    pub first_frame: usize,
    pub task: usize,
}

/// Schema of `data/*.parquet`.
pub(super) fn data_schema(spec: &DatasetSpec) -> SchemaRef {
    let mut fields = vec![
        Field::new(&spec.camera, DataType::Struct(image_fields()), true),
        Field::new(STATE, list_type(spec.state_names.len()), true),
        Field::new(ACTION, list_type(ACTION_DIM), true),
    ];
    fields.extend(DEFAULTS.iter().enumerate().map(|(index, key)| {
        let data_type = if index == 0 { DataType::Float32 } else { DataType::Int64 };
        Field::new(*key, data_type, true)
    }));
    Arc::new(Schema::new_with_metadata(
        fields,
        HashMap::from([("huggingface".into(), huggingface(spec.features().0.iter()))]),
    ))
}

/// Schema of the side table `ralphton/frames`.
pub(super) fn side_schema(spec: &DatasetSpec) -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("index", DataType::Int64, true),
        Field::new("actor", DataType::Utf8, true),
        Field::new("phase", DataType::Utf8, true),
        Field::new("labelled", DataType::Boolean, true),
        Field::new("label", list_type(spec.label_len()), true),
        Field::new("privileged", DataType::List(Arc::new(element())), true),
    ]))
}

/// The frames of an episode, in the columns of [`data_schema`].
pub(super) fn data_batch(
    schema: &SchemaRef,
    episode: EncodedEpisode,
    place: Place,
    path: &Path,
) -> Result<RecordBatch, DatasetError> {
    let frames = episode.frames();
    let fps = episode.spec.fps as f32;
    let constant = |value: usize| int64((0..frames).map(|_| value));
    let columns = vec![
        images(episode.png, &episode.png_lens),
        lists(episode.states, episode.spec.state_names.len(), None),
        lists(episode.actions, ACTION_DIM, None),
        Arc::new(Float32Array::from_iter_values((0..frames).map(|frame| frame as f32 / fps))) as ArrayRef,
        int64(0..frames),
        constant(place.episode),
        int64((0..frames).map(|frame| place.first_frame + frame)),
        constant(place.task),
    ];
    batch(schema, columns, path)
}

/// The side table's rows of an episode, in the columns of [`side_schema`].
pub(super) fn side_batch(
    schema: &SchemaRef,
    episode: &EncodedEpisode,
    first_frame: usize,
    path: &Path,
) -> Result<RecordBatch, DatasetError> {
    let len = episode.spec.label_len();
    let labelled: Vec<bool> = episode.labels.iter().map(Option::is_some).collect();
    let mut numbers = Vec::with_capacity(labelled.len() * len);
    for label in &episode.labels {
        match label {
            Some(label) => numbers.extend_from_slice(label),
            None => numbers.resize(numbers.len() + len, 0.0),
        }
    }
    let notes = &episode.notes;
    let privileged: Vec<f32> = notes.iter().flat_map(|notes| notes.privileged.iter().copied()).collect();
    let offsets = OffsetBuffer::<i32>::from_lengths(notes.iter().map(|notes| notes.privileged.len()));
    let privileged = Arc::new(Float32Array::from(privileged)) as ArrayRef;
    let columns = vec![
        int64((0..labelled.len()).map(|frame| first_frame + frame)),
        Arc::new(StringArray::from_iter_values(notes.iter().map(|notes| notes.actor.as_str()))) as ArrayRef,
        Arc::new(StringArray::from_iter_values(notes.iter().map(|notes| &notes.phase))),
        Arc::new(BooleanArray::from(labelled.clone())),
        lists(numbers, len, Some(NullBuffer::from(labelled))),
        Arc::new(ListArray::new(Arc::new(element()), offsets, privileged, None)),
    ];
    batch(schema, columns, path)
}

/// The whole of `meta/tasks.parquet`: row i is task i, its text the pandas index.
pub(super) fn task_batch(tasks: &[String], path: &Path) -> Result<RecordBatch, DatasetError> {
    let column = |name: &str, pandas_type: &str, numpy_type: &str| json!({"name": name, "field_name": name, "pandas_type": pandas_type, "numpy_type": numpy_type, "metadata": null});
    let pandas = json!({
        "index_columns": ["task"],
        "column_indexes": [],
        "columns": [column("task_index", "int64", "int64"), column("task", "unicode", "object")],
        "creator": {"library": "ralphton", "version": env!("CARGO_PKG_VERSION")},
        "pandas_version": "2.2.0",
    });
    let fields = vec![Field::new("task_index", DataType::Int64, true), Field::new("task", DataType::Utf8, true)];
    let schema = Arc::new(Schema::new_with_metadata(fields, HashMap::from([("pandas".into(), pandas.to_string())])));
    let texts = Arc::new(StringArray::from_iter_values(tasks)) as ArrayRef;
    batch(&schema, vec![int64(0..tasks.len()), texts], path)
}

pub(super) fn batch(schema: &SchemaRef, columns: Vec<ArrayRef>, path: &Path) -> Result<RecordBatch, DatasetError> {
    RecordBatch::try_new(Arc::clone(schema), columns)
        .map_err(|error| DatasetError::malformed(path, format!("rows do not fit the columns: {error}")))
}

pub(super) fn int64(values: impl Iterator<Item = usize>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values.map(|value| i64::try_from(value).unwrap_or(i64::MAX))))
}

fn image_fields() -> Fields {
    Fields::from(vec![Field::new("bytes", DataType::Binary, true), Field::new("path", DataType::Utf8, true)])
}

fn element() -> Field {
    Field::new("element", DataType::Float32, true)
}

fn list_type(len: usize) -> DataType {
    DataType::FixedSizeList(Arc::new(element()), i32::try_from(len).unwrap_or(i32::MAX))
}

fn images(png: Vec<u8>, lens: &[usize]) -> ArrayRef {
    let offsets = OffsetBuffer::<i32>::from_lengths(lens.iter().copied());
    let bytes = Arc::new(BinaryArray::new(offsets, Buffer::from_vec(png), None)) as ArrayRef;
    let names = (0..lens.len()).map(|frame| format!("frame-{frame:06}.png"));
    let paths = Arc::new(StringArray::from_iter_values(names)) as ArrayRef;
    Arc::new(StructArray::new(image_fields(), vec![bytes, paths], None))
}

fn lists(numbers: Vec<f32>, len: usize, nulls: Option<NullBuffer>) -> ArrayRef {
    let size = i32::try_from(len).unwrap_or(i32::MAX);
    let values = Arc::new(Float32Array::from(numbers)) as ArrayRef;
    Arc::new(FixedSizeListArray::new(Arc::new(element()), size, values, nulls))
}

/// What `datasets` needs to know to decode the columns without LeRobot.
pub(super) fn huggingface<'a>(features: impl Iterator<Item = &'a (String, Feature)>) -> String {
    struct InOrder(Vec<(String, Value)>);
    impl Serialize for InOrder {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
        }
    }
    let value = |dtype: &str| json!({"dtype": dtype, "_type": "Value"});
    let features = features.map(|(key, feature)| {
        let described = if feature.is_image() {
            json!({"_type": "Image"})
        } else if feature.channels() == 1 {
            value(&feature.dtype)
        } else {
            json!({"feature": value(&feature.dtype), "length": feature.channels(), "_type": "List"})
        };
        (key.clone(), described)
    });
    let features = serde_json::to_string(&InOrder(features.collect())).unwrap_or_default();
    format!("{{\"info\":{{\"features\":{features}}}}}")
}
