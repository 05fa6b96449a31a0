//! The side table of frames, read row by row: labels, who acted, the phase, the privileged state.

use super::layout;
use super::parquet_file::ParquetSource;
use super::reader::{column, int64s};
use super::{ACTION_DIM, Actor, DatasetError};
use arrow_array::{Array, BooleanArray, FixedSizeListArray, Float32Array, ListArray, RecordBatch, StringArray};
use arrow_schema::DataType;
use std::path::{Path, PathBuf};

/// The side table of a dataset; only the footers of its files were read yet.
pub(super) struct SideTable {
    dir: PathBuf,
    sources: Vec<ParquetSource>,
    /// Actions in a label chunk.
    pub chunk: usize,
}

/// One row.
#[derive(Debug, Clone, Copy)]
pub(super) struct SideFrame<'a> {
    /// The frame over the dataset.
    pub index: usize,
    /// Who acted; nothing for a name that is not known here.
    pub actor: Option<Actor>,
    pub phase: &'a str,
    /// `T·A` numbers when the expert was asked.
    pub label: Option<&'a [f32]>,
    pub privileged: &'a [f32],
}

impl SideTable {
    /// Opens the side table of the dataset in `dir`.
    pub fn open(dir: &Path) -> Result<Self, DatasetError> {
        let mut table = Self { dir: dir.to_path_buf(), sources: Vec::new(), chunk: 0 };
        for path in layout::parquet_files(dir, layout::SIDE)? {
            let source = ParquetSource::open(&path)?;
            let chunk = label_len(&source)? / ACTION_DIM;
            if !table.sources.is_empty() && chunk != table.chunk {
                let problem = format!("labels of {chunk} actions where the files before it have {}", table.chunk);
                return Err(DatasetError::malformed(&path, problem));
            }
            table.chunk = chunk;
            table.sources.push(source);
        }
        Ok(table)
    }

    /// Hands over all rows in order; tells how many there are.
    ///
    /// # Errors
    /// A file is damaged, or the rows are not numbered from 0 up.
    pub fn each(&self, take: &mut dyn FnMut(SideFrame<'_>)) -> Result<usize, DatasetError> {
        self.part(0, usize::MAX, take)
    }

    /// Hands over the rows `from..to`; tells how many rows came before `to`.
    ///
    /// # Errors
    /// As [`each`](Self::each).
    pub fn part(&self, from: usize, to: usize, take: &mut dyn FnMut(SideFrame<'_>)) -> Result<usize, DatasetError> {
        let mut row = 0_usize;
        for source in &self.sources {
            for (group, rows) in source.group_rows().into_iter().enumerate() {
                let end = row.saturating_add(rows);
                if end <= from || row >= to {
                    row = end;
                    continue;
                }
                for batch in
                    source.read(&["index", "actor", "phase", "labelled", "label", "privileged"], Some(group))?
                {
                    let batch = batch?;
                    let first = row;
                    hand_over(&batch, &source.path, first, &mut |frame| {
                        if (from..to).contains(&frame.index) {
                            take(frame);
                        }
                    })?;
                    row += batch.num_rows();
                }
            }
        }
        Ok(row)
    }

    /// Where it lies.
    pub fn path(&self) -> PathBuf {
        self.dir.join(layout::SIDE)
    }
}

fn hand_over(
    batch: &RecordBatch,
    path: &Path,
    first: usize,
    take: &mut dyn FnMut(SideFrame<'_>),
) -> Result<(), DatasetError> {
    let refuse = |problem: String| Err(DatasetError::malformed(path, problem));
    let indices = int64s(batch, "index", path)?;
    let actors = column::<StringArray>(batch, "actor", path)?;
    let phases = column::<StringArray>(batch, "phase", path)?;
    let flags = column::<BooleanArray>(batch, "labelled", path)?;
    let any = |name: &str| batch.column_by_name(name).map(|column| column.as_any());
    let (labels, label_numbers) = match any("label").and_then(|any| any.downcast_ref::<FixedSizeListArray>()) {
        Some(lists) => (lists, lists.values().as_any().downcast_ref::<Float32Array>()),
        None => return refuse("column \"label\" is not a list of fixed size".into()),
    };
    let privileged = column::<ListArray>(batch, "privileged", path)?;
    let privileged_numbers = privileged.values().as_any().downcast_ref::<Float32Array>();
    let (Some(label_numbers), Some(privileged_numbers)) = (label_numbers, privileged_numbers) else {
        return refuse("labels and privileged states must be float32".into());
    };
    let len = usize::try_from(labels.value_length()).unwrap_or(0);
    for (at, &index) in indices.iter().enumerate() {
        let row = first.saturating_add(at);
        if usize::try_from(index) != Ok(row) {
            return refuse(format!("index {index} where {row} is due"));
        }
        if flags.value(at) && !labels.is_valid(at) {
            return refuse(format!("frame {row} is labelled without a label"));
        }
        let [begin, end] = [at, at + 1].map(|at| privileged.value_offsets().get(at).map_or(0, |&o| o.max(0) as usize));
        let label = label_numbers.values().get(at * len..(at + 1) * len).filter(|_| flags.value(at));
        take(SideFrame {
            index: row,
            actor: Actor::from_name(actors.value(at)),
            phase: phases.value(at),
            label,
            privileged: privileged_numbers.values().get(begin..end).unwrap_or_default(),
        });
    }
    Ok(())
}

/// Numbers in a label.
fn label_len(source: &ParquetSource) -> Result<usize, DatasetError> {
    let refuse = |problem: String| Err(DatasetError::malformed(&source.path, problem));
    let Ok(field) = source.schema().field_with_name("label") else {
        return refuse("column \"label\" is missing".into());
    };
    let DataType::FixedSizeList(_, len) = field.data_type() else {
        return refuse(format!("labels of type {}, not lists of fixed size", field.data_type()));
    };
    match usize::try_from(*len) {
        Ok(len) if len > 0 && len.is_multiple_of(ACTION_DIM) && len <= 255 * ACTION_DIM => Ok(len),
        _ => refuse(format!("labels of {len} numbers, not 1 to 255 actions of {ACTION_DIM}")),
    }
}
