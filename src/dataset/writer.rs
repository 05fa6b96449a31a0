//! Appends encoded episodes to a dataset that appears under its name only when it is complete.
//!
//! Every episode goes to disk as it arrives, one row group each; what stays in memory are the task texts. The
//! [journal](super::journal) keeps the rest, so that a killed writer is followed by one that goes on, and ends with the
//! same bytes. One writer, fed by many encoders.

use super::columns::Place;
use super::episode_table::{EpisodeRow, EpisodeTable};
use super::feature_statistics::FeatureStatistics;
use super::frame_files::FrameFiles;
use super::identity::{self, Provenance};
use super::journal::{Closed, Journal, Left};
use super::layout::{self, Building};
use super::parquet_file::ParquetFile;
use super::spec::Info;
use super::summary::{DatasetSummary, summary};
use super::{DatasetError, DatasetSpec, EncodedEpisode, columns};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::path::Path;

/// Different task texts a dataset may have.
const MAX_TASKS: usize = 10_000;

/// A dataset being written.
pub struct DatasetWriter {
    spec: DatasetSpec,
    /// What the bytes follow from.
    made_from: Value,
    files: FrameFiles,
    journal: Journal,
    tasks: Vec<String>,
    task_numbers: HashMap<String, usize>,
    episode_count: usize,
    frame_count: usize,
    progress: Value,
    // Dropped last, after the files in the folder.
    building: Building,
}

impl DatasetWriter {
    /// Begins a dataset that will be called `dir`, or goes on with the same one where a killed writer left it; until
    /// [`finish`](Self::finish) it grows in `dir.tmp-writing`. `provenance` says what it is made from: configuration,
    /// seeds, versions of simulator and physics.
    ///
    /// # Errors
    /// [`DatasetError::Exists`] when `dir` is there already, [`DatasetError::Busy`] when another process writes it,
    /// [`DatasetError::Different`] when another dataset was begun there, [`DatasetError::Spec`] for an impossible shape,
    /// or what the system refuses.
    pub fn create(dir: &Path, spec: DatasetSpec, provenance: &Value) -> Result<Self, DatasetError> {
        spec.validate()?;
        let made_from = identity::identity(&spec, provenance);
        let mut building = Building::take(dir)?;
        let left = Left::read(building.dir());
        if let Some(left) = &left {
            building.keep = true;
            identity::check_same(building.dir(), &left.identity, &made_from)?;
            building.keep = false;
        }
        match left.as_ref().and_then(|left| left.closed.as_ref().map(|closed| (left, closed))) {
            Some((left, closed)) => Self::go_on(building, spec, made_from, left, closed),
            None => Self::begin(building, spec, made_from),
        }
    }

    fn begin(building: Building, spec: DatasetSpec, made_from: Value) -> Result<Self, DatasetError> {
        building.clear()?;
        make_folders(&building)?;
        Ok(Self {
            files: FrameFiles::new(building.dir(), &spec),
            journal: Journal::begin(building.dir(), &made_from)?,
            tasks: Vec::new(),
            task_numbers: HashMap::new(),
            episode_count: 0,
            frame_count: 0,
            progress: Value::Null,
            spec,
            made_from,
            building,
        })
    }

    fn go_on(
        mut building: Building,
        spec: DatasetSpec,
        made_from: Value,
        left: &Left,
        closed: &Closed,
    ) -> Result<Self, DatasetError> {
        building.keep = true;
        building.clear_after(closed.number)?;
        make_folders(&building)?;
        let mut files = FrameFiles::new(building.dir(), &spec);
        files.go_on_after(closed.number);
        Ok(Self {
            files,
            journal: left.go_on(building.dir())?,
            tasks: left.tasks.clone(),
            task_numbers: left.tasks.iter().cloned().zip(0..).collect(),
            episode_count: left.episodes,
            frame_count: left.frames,
            progress: closed.progress.clone(),
            spec,
            made_from,
            building,
        })
    }

    /// Episodes appended so far, also by the writer before this one.
    pub fn episodes(&self) -> usize {
        self.episode_count
    }

    /// Frames appended so far.
    pub fn frames(&self) -> usize {
        self.frame_count
    }

    /// What the writer before this one had [noted](Self::note_progress) when its last complete episode was appended;
    /// null at the beginning.
    pub fn progress(&self) -> &Value {
        &self.progress
    }

    /// Notes how far the maker is. It should be called after each episode, appended or not.
    pub fn note_progress(&mut self, progress: Value) {
        self.progress = progress;
    }

    /// Appends an episode. The order of the calls is the order in the dataset.
    ///
    /// # Errors
    /// [`DatasetError::Episode`] when it was encoded for another shape, or what the disk refuses. After the latter the
    /// writer should be dropped; what is complete stays for the next one.
    pub fn append(&mut self, episode: EncodedEpisode) -> Result<(), DatasetError> {
        if episode.spec != self.spec {
            return Err(DatasetError::Episode("it was encoded for a dataset of another shape".into()));
        }
        let appended = self.append_to_files(episode);
        if appended.is_err() {
            self.building.keep = self.files.any_closed();
        }
        appended
    }

    fn append_to_files(&mut self, episode: EncodedEpisode) -> Result<(), DatasetError> {
        if self.files.are_full_for(&episode) {
            self.close_files()?;
        }
        let place =
            Place { episode: self.episode_count, first_frame: self.frame_count, task: self.task(&episode.task)? };
        let statistics = all_statistics(&episode, place);
        let (frames, labelled) = (episode.frames(), episode.labelled_frames());
        let (task, origin) = (episode.task.clone(), episode.origin.clone());
        let data = self.files.append(&self.building, episode, place)?;
        self.journal.episode(EpisodeRow { place, frames, labelled, task, data, origin, statistics })?;
        self.episode_count += 1;
        self.frame_count += frames;
        Ok(())
    }

    fn close_files(&mut self) -> Result<(), DatasetError> {
        match self.files.close()? {
            Some((number, bytes)) => self.journal.closed(Closed { number, bytes, progress: self.progress.clone() }),
            None => Ok(()),
        }
    }

    /// Completes the dataset, brings it to the disk and gives it its name. `result` is kept with the provenance: what
    /// the maker wants to know when it finds the dataset again.
    ///
    /// # Errors
    /// [`DatasetError::Episode`] when nothing was appended, or what the disk refuses; nothing is left under
    /// the final name then.
    pub fn finish(mut self, result: Value) -> Result<DatasetSummary, DatasetError> {
        if self.episode_count == 0 {
            return Err(DatasetError::Episode("a dataset needs at least one".into()));
        }
        self.building.keep = self.files.any_closed();
        self.close_files()?;
        let dir = self.building.dir();
        let statistics = write_episode_tables(dir, &self.spec, self.journal)?;
        let tasks_path = dir.join(layout::TASKS);
        let tasks = columns::task_batch(&self.tasks, &tasks_path)?;
        let mut file = ParquetFile::create(tasks_path, tasks.schema(), None)?;
        file.append(&tasks)?;
        file.close()?;
        let features = self.spec.features();
        let stats: Map<String, Value> =
            features.keys().map(str::to_owned).zip(statistics.iter().map(FeatureStatistics::to_json)).collect();
        write_json(&dir.join(layout::STATS), &stats)?;
        let config_hash = identity::config_hash(&self.made_from);
        write_json(&dir.join(layout::PROVENANCE), &Provenance { config_hash, made_from: self.made_from, result })?;
        let info = Info::new(&self.spec, self.episode_count, self.frame_count, self.tasks.len());
        write_json(&dir.join(layout::INFO), &info)?;
        self.building.remove(super::journal::JOURNAL)?;
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

fn make_folders(building: &Building) -> Result<(), DatasetError> {
    ["meta/episodes/chunk-000", "data", layout::SIDE].into_iter().try_for_each(|folder| building.folder(folder))
}

/// Makes both episode tables from the journal; tells the statistics over all episodes.
fn write_episode_tables(
    dir: &Path,
    spec: &DatasetSpec,
    journal: Journal,
) -> Result<Vec<FeatureStatistics>, DatasetError> {
    let (meta, origins) = (dir.join(layout::EPISODES), dir.join(layout::ORIGINS));
    // A writer that was killed right here left some of these.
    for file in layout::MADE_AT_THE_END {
        layout::remove_if_there(&dir.join(file))?;
    }
    let mut table = EpisodeTable::create(spec, meta, origins)?;
    let mut all: Vec<FeatureStatistics> = Vec::new();
    for row in journal.close()? {
        let row = row?;
        if all.is_empty() {
            all.clone_from(&row.statistics);
        } else {
            all.iter_mut().zip(&row.statistics).for_each(|(all, episode)| all.merge(episode));
        }
        table.push(row)?;
    }
    table.close()?;
    Ok(all)
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
