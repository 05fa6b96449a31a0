//! The journal of a dataset being written: what was appended, and which files are complete.
//!
//! Parquet files cannot be read before their last byte is written, so a killed writer can only keep what lies in closed
//! files. The journal has a line for each episode and one for each pair of files closed; after a crash everything up to
//! the last of the latter is whole, and the writer goes on from there. The episode tables are made from the journal at
//! the end, so that memory does not grow with the dataset and an interrupted dataset ends with the same bytes.

use super::DatasetError;
use super::episode_table::EpisodeRow;
use super::layout::FileNumber;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

/// The journal in the folder of an unfinished dataset.
pub(super) const JOURNAL: &str = "journal.jsonl";

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Entry {
    /// The first line: what is being made.
    Begun(Value),
    /// An episode was appended.
    Episode(Box<EpisodeRow>),
    /// The files of a number are whole.
    Closed(Closed),
}

/// A data file and its side table are complete and on the disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Closed {
    /// Their number.
    pub number: FileNumber,
    /// Bytes of the data file and of the side table.
    pub bytes: [u64; 2],
    /// What the caller had noted by then.
    pub progress: Value,
}

/// The journal, open for writing.
pub(super) struct Journal {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Journal {
    /// Begins the journal in `dir`; `identity` says what is being made.
    pub fn begin(dir: &Path, identity: &Value) -> Result<Self, DatasetError> {
        let path = dir.join(JOURNAL);
        let file = File::create_new(&path).map_err(|error| DatasetError::io("create", &path, 0, error))?;
        let mut journal = Self { path, file: BufWriter::new(file) };
        journal.write(&Entry::Begun(identity.clone()))?;
        journal.sync()?;
        Ok(journal)
    }

    /// Notes an episode. It counts once its files are closed.
    pub fn episode(&mut self, row: EpisodeRow) -> Result<(), DatasetError> {
        self.write(&Entry::Episode(Box::new(row)))
    }

    /// Notes that the files with all episodes so far are closed.
    pub fn closed(&mut self, closed: Closed) -> Result<(), DatasetError> {
        self.write(&Entry::Closed(closed))?;
        self.sync()
    }

    /// Ends writing; the rows can be read then.
    pub fn close(mut self) -> Result<Rows, DatasetError> {
        self.sync()?;
        Rows::open(&self.path)
    }

    fn write(&mut self, entry: &Entry) -> Result<(), DatasetError> {
        let mut line = serde_json::to_vec(entry)
            .map_err(|error| DatasetError::malformed(&self.path, format!("cannot be written as JSON: {error}")))?;
        line.push(b'\n');
        let written = self.file.write_all(&line);
        written.map_err(|error| DatasetError::io("write", &self.path, line.len() as u64, error))
    }

    fn sync(&mut self) -> Result<(), DatasetError> {
        let synced = self.file.flush().and_then(|()| self.file.get_ref().sync_data());
        synced.map_err(|error| DatasetError::io("write", &self.path, 0, error))
    }
}

/// The lines of a journal; a last line that was cut off ends them.
pub(super) struct Rows {
    path: PathBuf,
    file: BufReader<File>,
    /// Bytes read so far.
    at: u64,
}

impl Rows {
    fn open(path: &Path) -> Result<Self, DatasetError> {
        let file = File::open(path).map_err(|error| DatasetError::io("open", path, 0, error))?;
        Ok(Self { path: path.to_path_buf(), file: BufReader::new(file), at: 0 })
    }

    fn entry(&mut self) -> Result<Option<Entry>, DatasetError> {
        let mut line = Vec::new();
        let read = self.file.read_until(b'\n', &mut line);
        let read = read.map_err(|error| DatasetError::io("read", &self.path, 0, error))?;
        if line.last() != Some(&b'\n') {
            return Ok(None);
        }
        self.at += read as u64;
        let entry = serde_json::from_slice(&line);
        entry
            .map(Some)
            .map_err(|error| DatasetError::malformed(&self.path, format!("not a line of a journal: {error}")))
    }
}

impl Iterator for Rows {
    type Item = Result<EpisodeRow, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.entry() {
                Ok(Some(Entry::Episode(row))) => return Some(Ok(*row)),
                Ok(Some(Entry::Begun(_) | Entry::Closed(_))) => {}
                Ok(None) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// What an interrupted writer left.
pub(super) struct Left {
    /// What was being made.
    pub identity: Value,
    /// The newest complete files; none when no file was complete.
    pub closed: Option<Closed>,
    /// Episodes in complete files.
    pub episodes: usize,
    /// Their frames.
    pub frames: usize,
    /// Their task texts, by number.
    pub tasks: Vec<String>,
    /// Bytes of the journal that count.
    bytes: u64,
}

impl Left {
    /// Reads the journal in `dir`; nothing when there is none that can be read.
    pub fn read(dir: &Path) -> Option<Self> {
        let mut rows = Rows::open(&dir.join(JOURNAL)).ok()?;
        let Ok(Some(Entry::Begun(identity))) = rows.entry() else { return None };
        let mut left = Self { identity, closed: None, episodes: 0, frames: 0, tasks: Vec::new(), bytes: rows.at };
        let (mut episodes, mut frames, mut tasks) = (0, 0, Vec::new());
        // A damaged line ends what counts, as a cut one does.
        while let Ok(Some(entry)) = rows.entry() {
            match entry {
                Entry::Episode(row) => {
                    episodes += 1;
                    frames += row.frames;
                    if row.place.task == tasks.len() {
                        tasks.push(row.task);
                    }
                }
                Entry::Closed(closed) if is_whole(dir, &closed) => {
                    left = Self {
                        identity: left.identity,
                        closed: Some(closed),
                        episodes,
                        frames,
                        tasks: tasks.clone(),
                        bytes: rows.at,
                    };
                }
                Entry::Closed(_) | Entry::Begun(_) => break,
            }
        }
        Some(left)
    }

    /// Drops what does not count and opens the journal for going on.
    pub fn go_on(&self, dir: &Path) -> Result<Journal, DatasetError> {
        let path = dir.join(JOURNAL);
        let failed = |error| DatasetError::io("write", &path, 0, error);
        let file = OpenOptions::new().append(true).open(&path).map_err(failed)?;
        file.set_len(self.bytes).map_err(failed)?;
        Ok(Journal { path, file: BufWriter::new(file) })
    }
}

fn is_whole(dir: &Path, closed: &Closed) -> bool {
    let paths = [closed.number.data_path(), closed.number.side_path()];
    paths
        .iter()
        .zip(closed.bytes)
        .all(|(path, bytes)| fs::metadata(dir.join(path)).is_ok_and(|meta| meta.len() == bytes))
}
