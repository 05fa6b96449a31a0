//! The two growing files of frames, LeRobot's data and the side table: equal numbers, equal rows, closed together.

use super::columns::{self, Place};
use super::layout::{Building, FileNumber, SIDE};
use super::parquet_file::ParquetFile;
use super::spec::{DATA_FILE_MB, FILES_PER_CHUNK};
use super::{DatasetError, DatasetSpec, EncodedEpisode};
use arrow_schema::SchemaRef;
use parquet::schema::types::ColumnPath;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Episodes of one data file at most: no more than these are lost when the writer is killed.
const EPISODES_PER_FILE: usize = 500;

/// The files of frames, of which one pair at a time is open.
pub(super) struct FrameFiles {
    root: PathBuf,
    data_schema: SchemaRef,
    side_schema: SchemaRef,
    image_bytes: ColumnPath,
    number: FileNumber,
    open: Option<OpenFiles>,
}

struct OpenFiles {
    data: ParquetFile,
    side: ParquetFile,
    episodes: usize,
}

impl FrameFiles {
    /// No files yet.
    pub fn new(root: &Path, spec: &DatasetSpec) -> Self {
        Self {
            root: root.to_path_buf(),
            data_schema: columns::data_schema(spec),
            side_schema: columns::side_schema(spec),
            image_bytes: ColumnPath::new(vec![spec.camera.clone(), "bytes".into()]),
            number: FileNumber::default(),
            open: None,
        }
    }

    /// The files up to `number` are there already.
    pub fn go_on_after(&mut self, number: FileNumber) {
        self.number = number.next(FILES_PER_CHUNK);
    }

    /// Whether files were closed before.
    pub fn any_closed(&self) -> bool {
        self.number != FileNumber::default()
    }

    /// Whether the open files should be closed before this episode.
    pub fn are_full_for(&self, episode: &EncodedEpisode) -> bool {
        self.open.as_ref().is_some_and(|open| {
            open.episodes >= EPISODES_PER_FILE
                || open.data.bytes() + episode.bytes() as u64 > DATA_FILE_MB * 1024 * 1024
        })
    }

    /// Writes the frames into the open files, or new ones; tells their number.
    pub fn append(
        &mut self,
        building: &Building,
        episode: EncodedEpisode,
        place: Place,
    ) -> Result<FileNumber, DatasetError> {
        let (data_path, side_path) = (self.root.join(self.number.data_path()), self.root.join(self.number.side_path()));
        let mut open = match self.open.take() {
            Some(open) => open,
            None => {
                for folder in ["data", SIDE] {
                    building.folder(&format!("{folder}/chunk-{:03}", self.number.chunk))?;
                }
                let images = Some(self.image_bytes.clone());
                OpenFiles {
                    data: ParquetFile::create(data_path.clone(), Arc::clone(&self.data_schema), images)?,
                    side: ParquetFile::create(side_path.clone(), Arc::clone(&self.side_schema), None)?,
                    episodes: 0,
                }
            }
        };
        open.side.append(&columns::side_batch(&self.side_schema, &episode, place.first_frame, &side_path)?)?;
        open.data.append(&columns::data_batch(&self.data_schema, episode, place, &data_path)?)?;
        open.episodes += 1;
        self.open = Some(open);
        Ok(self.number)
    }

    /// Completes the open files and brings them to the disk; tells their number and bytes.
    pub fn close(&mut self) -> Result<Option<(FileNumber, [u64; 2])>, DatasetError> {
        let Some(open) = self.open.take() else { return Ok(None) };
        let bytes = [open.data.close()?, open.side.close()?];
        let number = self.number;
        self.number = number.next(FILES_PER_CHUNK);
        Ok(Some((number, bytes)))
    }
}
