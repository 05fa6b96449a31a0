//! Appends encoded episodes to a dataset that appears under its name only when it is complete.
//!
//! Every episode goes to disk as it arrives, one row group each; what stays in memory are the task
//! texts, the running statistics and a few dozen episode rows. One writer, fed by many encoders.

use super::columns::{self, Place};
use super::episode_table::{EpisodeRow, EpisodeTable};
use super::feature_statistics::FeatureStatistics;
use super::layout::{self, Building, FileNumber};
use super::parquet_file::ParquetFile;
use super::spec::{DATA_FILE_MB, FILES_PER_CHUNK, Info};
use super::summary::{DatasetSummary, summary};
use super::{DatasetError, DatasetSpec, EncodedEpisode};
use arrow_schema::SchemaRef;
use parquet::schema::types::ColumnPath;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Different task texts a dataset may have.
const MAX_TASKS: usize = 10_000;

/// A dataset being written.
pub struct DatasetWriter {
    spec: DatasetSpec,
    provenance: Value,
    data: DataFiles,
    labels: ParquetFile,
    label_schema: SchemaRef,
    label_path: PathBuf,
    episodes: EpisodeTable,
    tasks: Vec<String>,
    task_numbers: HashMap<String, usize>,
    statistics: Vec<FeatureStatistics>,
    episode_count: usize,
    frame_count: usize,
    // Dropped last, after the files in the folder.
    building: Building,
}

impl DatasetWriter {
    /// Begins a dataset that will be called `dir`; until [`finish`](Self::finish) it grows in `dir.tmp-writing`.
    /// `provenance` says what made it: configuration, seeds, versions of simulator and physics.
    ///
    /// # Errors
    /// [`DatasetError::Exists`] when `dir` is there already, [`DatasetError::Busy`] when another process
    /// writes it, [`DatasetError::Spec`] for an impossible shape, or what the system refuses.
    pub fn create(dir: &Path, spec: DatasetSpec, provenance: Value) -> Result<Self, DatasetError> {
        spec.validate()?;
        let building = Building::begin(dir)?;
        for folder in ["meta/episodes/chunk-000", "data", "ralphton"] {
            building.folder(folder)?;
        }
        let label_path = building.dir().join(layout::LABELS);
        let label_schema = columns::label_schema(&spec);
        let episodes =
            EpisodeTable::create(&spec, building.dir().join(layout::EPISODES), building.dir().join(layout::ORIGINS))?;
        Ok(Self {
            data: DataFiles::new(building.dir(), &spec),
            labels: ParquetFile::create(label_path.clone(), Arc::clone(&label_schema), None)?,
            label_schema,
            label_path,
            episodes,
            tasks: Vec::new(),
            task_numbers: HashMap::new(),
            statistics: Vec::new(),
            episode_count: 0,
            frame_count: 0,
            spec,
            provenance,
            building,
        })
    }

    /// Episodes appended so far.
    pub fn episodes(&self) -> usize {
        self.episode_count
    }

    /// Frames appended so far.
    pub fn frames(&self) -> usize {
        self.frame_count
    }

    /// Appends an episode. The order of the calls is the order in the dataset.
    ///
    /// # Errors
    /// [`DatasetError::Episode`] when it was encoded for another shape, or what the disk refuses; after
    /// the latter the writer should be dropped.
    pub fn append(&mut self, episode: EncodedEpisode) -> Result<(), DatasetError> {
        if episode.spec != self.spec {
            return Err(DatasetError::Episode("it was encoded for a dataset of another shape".into()));
        }
        let place =
            Place { episode: self.episode_count, first_frame: self.frame_count, task: self.task(&episode.task)? };
        let statistics = all_statistics(&episode, place);
        let labels = columns::label_batch(&self.label_schema, &episode, place.first_frame, &self.label_path)?;
        let (frames, labelled) = (episode.frames(), episode.labelled_frames());
        let (task, origin) = (episode.task.clone(), episode.origin.clone());
        let data = self.data.append(&self.building, episode, place)?;
        self.labels.append(&labels)?;
        if self.statistics.is_empty() {
            self.statistics.clone_from(&statistics);
        } else {
            self.statistics.iter_mut().zip(&statistics).for_each(|(all, episode)| all.merge(episode));
        }
        self.episodes.push(EpisodeRow { place, frames, labelled, task, data, origin, statistics })?;
        self.episode_count += 1;
        self.frame_count += frames;
        Ok(())
    }

    /// Completes the dataset, brings it to the disk and gives it its name.
    ///
    /// # Errors
    /// [`DatasetError::Episode`] when nothing was appended, or what the disk refuses; nothing is left under
    /// the final name then.
    pub fn finish(mut self) -> Result<DatasetSummary, DatasetError> {
        if self.episode_count == 0 {
            return Err(DatasetError::Episode("a dataset needs at least one".into()));
        }
        self.data.close()?;
        self.labels.close()?;
        self.episodes.close()?;
        let dir = self.building.dir();
        let tasks_path = dir.join(layout::TASKS);
        let tasks = columns::task_batch(&self.tasks, &tasks_path)?;
        let mut file = ParquetFile::create(tasks_path, tasks.schema(), None)?;
        file.append(&tasks)?;
        file.close()?;
        let features = self.spec.features();
        let stats: Map<String, Value> =
            features.keys().map(str::to_owned).zip(self.statistics.iter().map(FeatureStatistics::to_json)).collect();
        write_json(&dir.join(layout::STATS), &stats)?;
        let provenance = json!({ "label_chunk": self.spec.chunk, "provenance": self.provenance });
        write_json(&dir.join(layout::PROVENANCE), &provenance)?;
        let info = Info::new(&self.spec, self.episode_count, self.frame_count, self.tasks.len());
        write_json(&dir.join(layout::INFO), &info)?;
        summary(&self.building.finish()?)
    }

    fn task(&mut self, text: &str) -> Result<usize, DatasetError> {
        if let Some(&number) = self.task_numbers.get(text) {
            return Ok(number);
        }
        if self.tasks.len() >= MAX_TASKS {
            return Err(DatasetError::Episode(format!("more than {MAX_TASKS} different task texts")));
        }
        self.task_numbers.insert(text.to_owned(), self.tasks.len());
        self.tasks.push(text.to_owned());
        Ok(self.tasks.len() - 1)
    }
}

/// The data files, of which one at a time is open.
struct DataFiles {
    root: PathBuf,
    schema: SchemaRef,
    image_bytes: ColumnPath,
    number: FileNumber,
    open: Option<ParquetFile>,
}

impl DataFiles {
    fn new(root: &Path, spec: &DatasetSpec) -> Self {
        Self {
            root: root.to_path_buf(),
            schema: columns::data_schema(spec),
            image_bytes: ColumnPath::new(vec![spec.camera.clone(), "bytes".into()]),
            number: FileNumber::default(),
            open: None,
        }
    }

    /// Writes the frames into the open file, or a new one when that would grow too large.
    fn append(
        &mut self,
        building: &Building,
        episode: EncodedEpisode,
        place: Place,
    ) -> Result<FileNumber, DatasetError> {
        let grown = |file: &ParquetFile| file.bytes() + episode.bytes() as u64 > DATA_FILE_MB * 1024 * 1024;
        if let Some(full) = self.open.take_if(|file| grown(file)) {
            full.close()?;
            self.number = self.number.next(FILES_PER_CHUNK);
        }
        let path = self.root.join(self.number.data_path());
        let mut file = match self.open.take() {
            Some(file) => file,
            None => {
                building.folder(&format!("data/chunk-{:03}", self.number.chunk))?;
                ParquetFile::create(path.clone(), Arc::clone(&self.schema), Some(self.image_bytes.clone()))?
            }
        };
        let rows = columns::data_batch(&self.schema, episode, place, &path)?;
        file.append(&rows)?;
        self.open = Some(file);
        Ok(self.number)
    }

    fn close(&mut self) -> Result<(), DatasetError> {
        self.open.take().map_or(Ok(()), ParquetFile::close)
    }
}

/// The statistics of every feature in feature order: three counted by the encoder, five that follow from the place.
fn all_statistics(episode: &EncodedEpisode, place: Place) -> Vec<FeatureStatistics> {
    let frames = episode.frames();
    let fps = episode.spec.fps as f32;
    let scalar = |value: &dyn Fn(usize) -> f64| FeatureStatistics::of(frames, 1, |row, _| value(row));
    let mut all = episode.statistics.to_vec();
    all.extend([
        scalar(&|row| f64::from(row as f32 / fps)),
        scalar(&|row| row as f64),
        scalar(&|_| place.episode as f64),
        scalar(&|row| (place.first_frame + row) as f64),
        scalar(&|_| place.task as f64),
    ]);
    all
}

fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<(), DatasetError> {
    let text = serde_json::to_vec_pretty(value)
        .map_err(|error| DatasetError::malformed(path, format!("cannot be written as JSON: {error}")))?;
    layout::write_synced(path, &text)
}
