//! `data/*.parquet`: every row of every file, row group by row group on all cores.

use super::episodes::Bounds;
use super::truth::Truth;
use super::{Defect, Examination, defect_of};
use crate::dataset::DatasetError;
use crate::dataset::image_file::decode_image;
use crate::dataset::layout::{self, FileNumber};
use crate::dataset::parquet_file::ParquetSource;
use crate::dataset::reader::{floats, image_files, int64s};
use crate::dataset::spec::{Feature, Info};
use arrow_array::RecordBatch;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Defects noted of one row group at most.
const MAX_IN_GROUP: usize = 5;

/// A row group to be read.
struct Piece<'a> {
    source: &'a ParquetSource,
    group: usize,
    /// The frame that its first row should be.
    first: usize,
}

/// What a row group holds.
#[derive(Default)]
struct Read {
    defects: Vec<Defect>,
    rows: usize,
    /// None when something in it could not be read.
    truth: Option<Truth>,
}

impl Examination<'_> {
    /// What the frames say of their statistics, when all could be read.
    pub(super) fn frames(&mut self, bounds: &[Bounds]) -> Result<Option<Truth>, DatasetError> {
        let (mut sources, mut all_open) = (Vec::new(), true);
        for path in layout::parquet_files(self.dir, "data")? {
            match ParquetSource::open(&path) {
                Ok(source) => sources.push(source),
                Err(error) => {
                    all_open = false;
                    self.add(defect_of(&error, &path));
                }
            }
        }
        let mut pieces = Vec::new();
        let mut running = 0_usize;
        for source in &sources {
            self.columns(source);
            let first = self.place_of_file(source, bounds, running);
            let mut at = first;
            for (group, rows) in source.group_rows().into_iter().enumerate() {
                pieces.push(Piece { source, group, first: at });
                at = at.saturating_add(rows);
            }
            running = at;
        }
        let read = read_all(&pieces, &self.info, bounds);
        let (mut rows, mut truth) = (0_usize, all_open.then(Truth::default));
        for piece in read {
            rows += piece.rows;
            piece.defects.into_iter().for_each(|defect| self.add(defect));
            match (&mut truth, &piece.truth) {
                (Some(all), Some(part)) => all.merge(part),
                _ => truth = None,
            }
        }
        self.findings.frames = rows;
        if rows != self.info.total_frames {
            let problem = format!("{rows} frames could be read where {} are declared", self.info.total_frames);
            self.note(&self.path("data"), problem);
            return Ok(None);
        }
        Ok(truth)
    }

    fn columns(&mut self, source: &ParquetSource) {
        for field in source.schema().fields() {
            let declared = self.info.features.get(field.name()).is_some_and(|feature| feature.dtype != "video");
            if !declared {
                let problem = format!("column {:?} is not declared in meta/info.json", field.name());
                self.note(&source.path, problem);
            }
        }
    }

    /// The frame with which a file should begin; and whether its episodes are wholly in it.
    fn place_of_file(&mut self, source: &ParquetSource, bounds: &[Bounds], running: usize) -> usize {
        let Some(number) = number_of(&source.path) else { return running };
        let mut of_file = bounds.iter().enumerate().filter(|(_, row)| row.file == number);
        let Some((first, begin)) = of_file.next() else {
            if !bounds.is_empty() {
                self.note(&source.path, "no episode lies in it, by meta/episodes");
            }
            return running;
        };
        let (last, end) = of_file.next_back().unwrap_or((first, begin));
        let (rows, due) = (source.rows() as i64, end.to.saturating_sub(begin.from));
        if rows != due {
            let problem = format!(
                "{rows} rows where its episodes {first} to {last} have {due} frames: an episode lies in one file"
            );
            self.note(&source.path, problem);
        }
        usize::try_from(begin.from).unwrap_or(running)
    }
}

/// The number in a file's name and its folder's.
fn number_of(path: &Path) -> Option<FileNumber> {
    let digits = |name: &std::ffi::OsStr, prefix: &str| name.to_str()?.strip_prefix(prefix)?.parse().ok();
    Some(FileNumber {
        chunk: digits(path.parent()?.file_name()?, "chunk-")?,
        file: digits(path.file_stem()?, "file-")?,
    })
}

/// Reads all pieces on all cores; what was read comes in their order.
fn read_all(pieces: &[Piece<'_>], info: &Info, bounds: &[Bounds]) -> Vec<Read> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(pieces.len()));
    let threads = thread::available_parallelism().map_or(1, usize::from).min(pieces.len());
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut reader = Reader::new(info, bounds);
                while let Some(piece) = pieces.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let read = reader.read(piece);
                    let place = (&piece.source.path, piece.group);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((place, read));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, read)| read).collect()
}

struct Reader<'a> {
    info: &'a Info,
    bounds: &'a [Bounds],
    pixels: Vec<u8>,
    path: PathBuf,
    read: Read,
}

impl<'a> Reader<'a> {
    fn new(info: &'a Info, bounds: &'a [Bounds]) -> Self {
        Self { info, bounds, pixels: Vec::new(), path: PathBuf::new(), read: Read::default() }
    }

    fn read(&mut self, piece: &Piece<'_>) -> Read {
        self.path.clone_from(&piece.source.path);
        self.read = Read { truth: Some(Truth::default()), ..Read::default() };
        if let Err(error) = self.rows(piece) {
            self.read.defects.push(defect_of(&error, &piece.source.path));
            self.read.truth = None;
        }
        std::mem::take(&mut self.read)
    }

    /// Notes a defect. The first few of a row group say enough.
    fn note(&mut self, problem: String) {
        if self.read.defects.len() < MAX_IN_GROUP {
            self.read.defects.push(Defect { path: self.path.clone(), problem });
        }
    }

    fn rows(&mut self, piece: &Piece<'_>) -> Result<(), DatasetError> {
        let features: Vec<&(String, Feature)> =
            self.info.features.0.iter().filter(|(_, feature)| feature.dtype != "video").collect();
        let columns: Vec<&str> = features.iter().map(|(key, _)| key.as_str()).collect();
        let mut in_order = true;
        for batch in piece.source.read(&columns, Some(piece.group))? {
            let batch = batch?;
            let first = piece.first.saturating_add(self.read.rows);
            // One shifted row shifts all the others: the first says everything.
            in_order = in_order && self.indices(&batch, first)?;
            for (key, feature) in &features {
                match feature.dtype.as_str() {
                    "image" => self.images(&batch, key, feature, first)?,
                    "float32" | "float64" if feature.shape.len() == 1 => self.numbers(&batch, key, feature, first)?,
                    "int64" if feature.shape == [1] => {
                        let values = int64s(&batch, key, &self.path)?;
                        self.moments(key, 1, values.iter().map(|&value| value as f64));
                    }
                    _ => {}
                }
            }
            self.read.rows += batch.num_rows();
        }
        Ok(())
    }

    fn indices(&mut self, batch: &RecordBatch, first: usize) -> Result<bool, DatasetError> {
        let path = self.path.clone();
        let [frame, episode, index, task] =
            ["frame_index", "episode_index", "index", "task_index"].map(|name| int64s(batch, name, &path));
        let (frame, episode, index, task) = (frame?, episode?, index?, task?);
        let time = floats(batch, "timestamp", 1, &path)?;
        let tasks = self.info.total_tasks as i64;
        for row in 0..batch.num_rows() {
            let due = first.saturating_add(row) as i64;
            let at = self.bounds.partition_point(|bounds| bounds.to <= due);
            let Some(bounds) = self.bounds.get(at) else { continue };
            let found = (index[row], episode[row], frame[row]);
            let due = (due, at as i64, due.saturating_sub(bounds.from));
            if found != due {
                self.note(format!("(index, episode, frame) is {found:?} where {due:?} is due"));
                return Ok(false);
            }
            let due_s = frame[row] as f64 / f64::from(self.info.fps.max(1));
            // NaN must not pass.
            let on_time = (f64::from(time[row]) - due_s).abs() <= 1e-4;
            if !on_time {
                self.note(format!("frame {}: timestamp {} s where {due_s} s is due", index[row], time[row]));
            }
            if !(0..tasks).contains(&task[row]) {
                self.note(format!("frame {}: task {} of {tasks}", index[row], task[row]));
            }
        }
        Ok(true)
    }

    fn numbers(&mut self, batch: &RecordBatch, key: &str, feature: &Feature, first: usize) -> Result<(), DatasetError> {
        let channels = feature.channels().max(1);
        let path = self.path.clone();
        let numbers = floats(batch, key, channels, &path)?;
        match numbers.iter().position(|value| !value.is_finite()) {
            Some(bad) => {
                let (frame, channel) = (first + bad / channels, bad % channels);
                self.note(format!("frame {frame}: {key}[{channel}] is {}", numbers[bad]));
                self.read.truth = None;
            }
            None => self.moments(key, channels, numbers.iter().map(|&value| f64::from(value))),
        }
        Ok(())
    }

    fn moments(&mut self, key: &str, channels: usize, values: impl Iterator<Item = f64>) {
        if let Some(truth) = &mut self.read.truth {
            truth.numbers.entry(key.to_owned()).or_default().add(values, channels);
        }
    }

    fn images(&mut self, batch: &RecordBatch, key: &str, feature: &Feature, first: usize) -> Result<(), DatasetError> {
        // A shape that is not an image's was noted with the declaration.
        let Some((height, width)) = feature.image_size() else { return Ok(()) };
        let files = image_files(batch, key, &self.path)?;
        self.pixels.resize(height * width * 3, 0);
        for row in 0..batch.num_rows() {
            match decode_image(files.file(row), width, height, &mut self.pixels) {
                Ok(()) => {
                    if let Some(truth) = &mut self.read.truth {
                        let histogram = truth.images.entry(key.to_owned()).or_default();
                        histogram.add_image(&self.pixels, width, height);
                    }
                }
                Err(problem) => {
                    self.note(format!("frame {}: {key}: {problem}", first + row));
                    self.read.truth = None;
                }
            }
        }
        Ok(())
    }
}
