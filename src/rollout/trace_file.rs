//! Traces on disk: one parquet file for an evaluation, so that any scene can be read, repeated and filmed later.
//!
//! One row per control step: where the loader was, what it did, what it saw. The actions are exact, since they repeat
//! the run to the bit in the same build; the rest is rounded to millimetres, which makes the file small. Any reader of
//! parquet can open it. Bounded: a file holds at most so many steps; failed scenes go before solved ones.

use super::diagnosis::Run;
use super::evaluation::SceneResult;
use super::trace::{Trace, TracePoint};
use super::{RolloutError, SceneSet};
use crate::sim::{self, ACTION_DIM, Action};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, UInt32Type};
use arrow_array::{Array, ArrayRef, BooleanArray, Float32Array, RecordBatch, UInt32Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;

/// Steps that a file holds at most: about 20 MB. An evaluation of 130 scenes with one brick has about 50,000.
pub const MAX_TRACE_STEPS: usize = 500_000;
/// Entry of the file's own metadata that says what the rows belong to.
const ABOUT: &str = "ralphton.traces";
/// Version of the columns.
const FORMAT: u32 = 1;
const ACTIONS: [&str; ACTION_DIM] = ["steering", "throttle", "bucket", "lift"];

/// What the rows belong to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct About {
    format: u32,
    /// Version of the world in which the actions repeat the run.
    sim: String,
    rapier3d: String,
    set: SceneSet,
    /// The scenes kept, in order.
    results: Vec<SceneResult>,
    left_out: u32,
}

/// A file of traces being made in memory.
pub struct TraceWriter {
    schema: SchemaRef,
    about: About,
    writer: ArrowWriter<Vec<u8>>,
    steps: usize,
}

/// A finished file of traces.
#[derive(Debug, Clone)]
pub struct TraceBytes {
    /// The parquet file.
    pub bytes: Vec<u8>,
    /// Scenes in it.
    pub kept: u32,
    /// Scenes left out to keep it small.
    pub left_out: u32,
}

impl TraceWriter {
    /// A file for the scenes of `set`.
    ///
    /// # Errors
    /// When parquet refuses.
    pub fn new(set: &SceneSet) -> Result<Self, RolloutError> {
        let schema = schema();
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let writer = ArrowWriter::try_new(Vec::new(), Arc::clone(&schema), Some(properties)).map_err(failed)?;
        let about = About {
            format: FORMAT,
            sim: sim::SIM_VERSION.to_owned(),
            rapier3d: sim::RAPIER_VERSION.to_owned(),
            set: set.clone(),
            results: Vec::new(),
            left_out: 0,
        };
        Ok(Self { schema, about, writer, steps: 0 })
    }

    /// Adds a scene, if there is room: the second half of the room is for failed scenes alone.
    ///
    /// # Errors
    /// When parquet refuses.
    pub fn add(&mut self, result: &SceneResult, trace: &Trace) -> Result<(), RolloutError> {
        let room = if result.success { MAX_TRACE_STEPS / 2 } else { MAX_TRACE_STEPS };
        if self.steps + trace.points.len() > room {
            self.about.left_out += 1;
            return Ok(());
        }
        self.steps += trace.points.len();
        self.about.results.push(result.clone());
        let rows = RecordBatch::try_new(Arc::clone(&self.schema), columns(result.scene, trace));
        self.writer.write(&rows.map_err(|error| failed(error.into()))?).map_err(failed)
    }

    /// Ends the file.
    ///
    /// # Errors
    /// When parquet refuses.
    pub fn finish(mut self) -> Result<TraceBytes, RolloutError> {
        let about = serde_json::to_string(&self.about).map_err(|error| RolloutError::Trace(error.to_string()))?;
        self.writer.append_key_value_metadata(KeyValue::new(ABOUT.to_owned(), about));
        let bytes = self.writer.into_inner().map_err(failed)?;
        Ok(TraceBytes { bytes, kept: self.about.results.len() as u32, left_out: self.about.left_out })
    }
}

fn failed(error: ParquetError) -> RolloutError {
    RolloutError::Trace(error.to_string())
}

fn schema() -> SchemaRef {
    let float = |name: &str| Field::new(name, DataType::Float32, false);
    let maybe = |name: &str, kind: DataType| Field::new(name, kind, true);
    let mut fields = vec![Field::new("scene", DataType::UInt32, false), Field::new("step", DataType::UInt32, false)];
    fields.extend(["x_m", "z_m", "heading_rad", "lift_m", "tilt"].map(float));
    fields.extend(["touching", "loaded"].map(|name| Field::new(name, DataType::Boolean, false)));
    fields.push(Field::new("delivered", DataType::UInt32, false));
    fields.extend(["brick_forward_m", "brick_left_m"].map(|name| maybe(name, DataType::Float32)));
    fields.push(maybe("brick_visible", DataType::Boolean));
    fields.extend(ACTIONS.map(|name| maybe(&format!("action_{name}"), DataType::Float32)));
    Arc::new(Schema::new(fields))
}

fn columns(scene: u32, trace: &Trace) -> Vec<ArrayRef> {
    let points = &trace.points;
    let float = |of: fn(&TracePoint) -> f32| -> ArrayRef {
        Arc::new(Float32Array::from_iter_values(points.iter().map(|point| rounded(of(point)))))
    };
    let flag = |of: fn(&TracePoint) -> bool| -> ArrayRef {
        Arc::new(points.iter().map(|point| Some(of(point))).collect::<BooleanArray>())
    };
    let brick = |of: fn(&super::BrickSight) -> f32| -> ArrayRef {
        let seen = points.iter().map(|point| point.brick.as_ref().map(|brick| rounded(of(brick))));
        Arc::new(seen.collect::<Float32Array>())
    };
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(UInt32Array::from_iter_values(points.iter().map(|_| scene))),
        Arc::new(UInt32Array::from_iter_values(0..points.len() as u32)),
        float(|point| point.x_m),
        float(|point| point.z_m),
        float(|point| point.heading_rad),
        float(|point| point.lift_m),
        float(|point| point.tilt),
        flag(|point| point.touching),
        flag(|point| point.loaded),
        Arc::new(UInt32Array::from_iter_values(points.iter().map(|point| point.delivered))),
        brick(|brick| brick.forward_m),
        brick(|brick| brick.left_m),
        Arc::new(points.iter().map(|point| point.brick.map(|brick| brick.visible)).collect::<BooleanArray>()),
    ];
    for axis in 0..ACTION_DIM {
        let actions = trace.actions.iter().map(|action| Some(action.to_array()[axis]));
        // The first point has no action before it.
        let column: Float32Array = std::iter::once(None).chain(actions).take(points.len()).collect();
        columns.push(Arc::new(column));
    }
    columns
}

/// To the millimetre, or the thousandth of whatever it is.
fn rounded(value: f32) -> f32 {
    (value * 1000.0).round() / 1000.0
}

/// A file of traces read back.
#[derive(Debug, Clone)]
pub struct TraceFile {
    /// The scenes it is of.
    pub set: SceneSet,
    /// Scenes left out of the file.
    pub left_out: u32,
    /// The runs in it, in the order of scenes.
    pub runs: Vec<Run>,
}

impl TraceFile {
    /// Reads a file.
    ///
    /// # Errors
    /// [`RolloutError::Trace`] when it cannot be read, is no file of traces, or is of another version of the world, in
    /// which its actions would tell another story.
    pub fn open(path: &Path) -> Result<Self, RolloutError> {
        let named = |error: String| RolloutError::Trace(format!("{}: {error}", path.display()));
        let bytes = std::fs::read(path).map_err(|error| named(error.to_string()))?;
        Self::read(bytes).map_err(|error| if let RolloutError::Trace(why) = error { named(why) } else { error })
    }

    /// Reads a file's bytes.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn read(bytes: Vec<u8>) -> Result<Self, RolloutError> {
        let builder = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes)).map_err(failed)?;
        let entries = builder.metadata().file_metadata().key_value_metadata();
        let about = entries.and_then(|entries| entries.iter().find(|entry| entry.key == ABOUT)?.value.clone());
        let Some(about) = about else {
            return Err(RolloutError::Trace("this is no file of traces".to_owned()));
        };
        let about: About = serde_json::from_str(&about).map_err(|error| RolloutError::Trace(error.to_string()))?;
        if about.format != FORMAT || about.sim != sim::SIM_VERSION || about.rapier3d != sim::RAPIER_VERSION {
            return Err(RolloutError::Trace(format!(
                "made in world {} on rapier3d {} (format {}); this program has {} on {} ({FORMAT}): run the rollout again",
                about.sim,
                about.rapier3d,
                about.format,
                sim::SIM_VERSION,
                sim::RAPIER_VERSION
            )));
        }
        let empty = |result| Run { result, actions: Vec::new() };
        let mut runs: Vec<_> = about.results.into_iter().map(empty).collect();
        for batch in builder.build().map_err(failed)? {
            read_actions(&batch.map_err(|error| failed(error.into()))?, &mut runs)?;
        }
        Ok(Self { set: about.set, left_out: about.left_out, runs })
    }

    /// The run of this scene, if it was kept.
    pub fn run(&self, scene: u32) -> Option<&Run> {
        self.runs.iter().find(|run| run.result.scene == scene)
    }
}

fn read_actions(batch: &RecordBatch, runs: &mut [Run]) -> Result<(), RolloutError> {
    let missing = |name: &str| RolloutError::Trace(format!("column {name} is missing or of another type"));
    let numbers = batch.column_by_name("scene").and_then(|column| column.as_primitive_opt::<UInt32Type>());
    let numbers = numbers.ok_or_else(|| missing("scene"))?;
    let mut axes = Vec::with_capacity(ACTION_DIM);
    for name in ACTIONS {
        let column = batch.column_by_name(&format!("action_{name}"));
        axes.push(column.and_then(|column| column.as_primitive_opt::<Float32Type>()).ok_or_else(|| missing(name))?);
    }
    for row in 0..batch.num_rows() {
        if axes[0].is_null(row) {
            continue;
        }
        let number = numbers.value(row);
        let at = runs.partition_point(|run| run.result.scene < number);
        if let Some(run) = runs.get_mut(at).filter(|run| run.result.scene == number) {
            run.actions.push(Action::from_array(std::array::from_fn(|axis| axes[axis].value(row))));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Pilot, RolloutOptions, evaluate_each, retrace};
    use super::*;
    use crate::base::{Cancel, EvaluationSeed};

    #[test]
    fn a_trace_comes_back_whole_and_repeats_the_run() {
        let set = SceneSet { seed: EvaluationSeed(9), families: vec![], bricks: 1, scenes: 4 };
        let options = RolloutOptions { seconds_per_brick: 6.0, ..RolloutOptions::default() };
        let mut writer = TraceWriter::new(&set).unwrap();
        let mut traces = Vec::new();
        let evaluation =
            evaluate_each(&Pilot::Expert, &set, &options, &Cancel::default(), &mut |_| (), &mut |result, trace| {
                writer.add(result, &trace)?;
                traces.push(trace);
                Ok(())
            })
            .unwrap();
        let file = writer.finish().unwrap();
        assert_eq!((file.kept, file.left_out), (4, 0));
        let steps: usize = traces.iter().map(|trace| trace.points.len()).sum();
        assert!(file.bytes.len() < 80 * steps + 8_000, "{} bytes for {steps} steps", file.bytes.len());

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("traces.parquet");
        std::fs::write(&path, &file.bytes).unwrap();
        let read = TraceFile::open(&path).unwrap();
        assert_eq!(read.set, set);
        for (kept, (result, trace)) in read.runs.iter().zip(evaluation.results.iter().zip(&traces)) {
            assert_eq!((&kept.result, &kept.actions), (result, &trace.actions));
            let again = retrace(&set.scene(result.scene).unwrap().1, &kept.actions).unwrap();
            assert_eq!(again.points, trace.points);
        }
        std::fs::write(&path, b"PAR1 not really").unwrap();
        assert!(TraceFile::open(&path).is_err());
    }
}
