//! Where the frames of a dataset with a video camera lie: many episodes one after another in each mp4 file.

use super::DatasetError;
use super::ffmpeg::FrameSource;
use super::layout::{self, FileNumber};
use super::parquet_file::ParquetSource;
use super::reader::{column, int64s};
use arrow_array::Float64Array;
use std::path::{Path, PathBuf};

/// The part of a video file that is an episode.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct VideoPart {
    /// First frame over the dataset, and the one after the last.
    pub frames: (usize, usize),
    /// The file.
    pub file: FileNumber,
    /// The first frame's place in the file.
    pub first_in_file: usize,
    /// As the table says.
    pub from_s: f64,
    /// As the table says.
    pub to_s: f64,
}

/// The video file of a camera.
pub(super) fn video_path(root: &Path, camera: &str, number: FileNumber) -> PathBuf {
    root.join(format!("videos/{camera}/chunk-{:03}/file-{:03}.mp4", number.chunk, number.file))
}

/// The columns of `meta/episodes` that say where a camera's video lies: chunk, file, from, to.
pub(super) fn columns_of(camera: &str) -> [String; 4] {
    ["chunk_index", "file_index", "from_timestamp", "to_timestamp"].map(|name| format!("videos/{camera}/{name}"))
}

/// Reads where each episode's video lies, in episode order.
pub(super) fn video_parts(root: &Path, camera: &str, fps: u32) -> Result<Vec<VideoPart>, DatasetError> {
    let names = columns_of(camera);
    let [chunk, file, from, to] = names.each_ref().map(String::as_str);
    let columns = ["dataset_from_index", "dataset_to_index", chunk, file, from, to];
    let mut parts = Vec::new();
    for path in layout::parquet_files(root, "meta/episodes")? {
        let source = ParquetSource::open(&path)?;
        for batch in source.read(&columns, None)? {
            let batch = batch?;
            let [begin, end, chunk, file] =
                ["dataset_from_index", "dataset_to_index", chunk, file].map(|name| int64s(&batch, name, &path));
            let (begin, end, chunk, file) = (begin?, end?, chunk?, file?);
            let (from, to) = (column::<Float64Array>(&batch, from, &path)?, column::<Float64Array>(&batch, to, &path)?);
            for row in 0..batch.num_rows() {
                let whole = |number: i64| {
                    usize::try_from(number)
                        .map_err(|_| DatasetError::malformed(&path, format!("{number} in row {row}")))
                };
                let (from_s, to_s) = (from.value(row), to.value(row));
                if !(0.0..1e9).contains(&from_s) {
                    return Err(DatasetError::malformed(&path, format!("row {row}: a video begins at {from_s} s")));
                }
                parts.push(VideoPart {
                    frames: (whole(begin[row])?, whole(end[row])?),
                    file: FileNumber { chunk: whole(chunk[row])?, file: whole(file[row])? },
                    first_in_file: (from_s * f64::from(fps)).round() as usize,
                    from_s,
                    to_s,
                });
            }
        }
    }
    Ok(parts)
}

/// A camera stored as video.
pub(super) struct VideoCamera {
    root: PathBuf,
    camera: String,
    size: (usize, usize),
    parts: Vec<VideoPart>,
}

impl VideoCamera {
    /// Reads the places; no frame yet. `size` is `(width, height)`.
    pub fn open(root: &Path, camera: &str, size: (usize, usize), fps: u32) -> Result<Self, DatasetError> {
        let parts = video_parts(root, camera, fps)?;
        Ok(Self { root: root.to_path_buf(), camera: camera.to_owned(), size, parts })
    }

    /// Decodes the `wanted` frames (ascending) into `pixels`, one after another. Each file is decoded from its beginning
    /// to the last frame that is wanted of it.
    pub fn read(&self, wanted: &[usize], pixels: &mut [u8]) -> Result<(), DatasetError> {
        let image_len = self.size.0 * self.size.1 * 3;
        let mut open: Option<(FileNumber, FrameSource, usize)> = None;
        for (&frame, pixels) in wanted.iter().zip(pixels.chunks_exact_mut(image_len)) {
            let at = self.parts.partition_point(|part| part.frames.1 <= frame);
            let Some(part) = self.parts.get(at).filter(|part| part.frames.0 <= frame) else {
                let problem = format!("no episode holds frame {frame}");
                return Err(DatasetError::malformed(&self.root.join("meta/episodes"), problem));
            };
            let place = part.first_in_file + (frame - part.frames.0);
            let (file, mut source, mut next) = match open.take() {
                Some((file, source, next)) if file == part.file && next <= place => (file, source, next),
                _ => {
                    let path = video_path(&self.root, &self.camera, part.file);
                    (part.file, FrameSource::open(&path, self.size, 0.0)?, 0)
                }
            };
            while next <= place {
                if !source.read(pixels)? {
                    let path = video_path(&self.root, &self.camera, part.file);
                    return Err(DatasetError::malformed(&path, format!("it ends after {next} frames; {place} is due")));
                }
                next += 1;
            }
            open = Some((file, source, next));
        }
        Ok(())
    }

    /// Decodes all frames of an episode in order; `take` gets each.
    pub fn episode(&self, episode: usize, take: &mut dyn FnMut(&[u8])) -> Result<(), DatasetError> {
        let Some(part) = self.parts.get(episode) else { return Ok(()) };
        let path = video_path(&self.root, &self.camera, part.file);
        let half_a_frame = 0.5 * (part.to_s - part.from_s) / (part.frames.1 - part.frames.0).max(1) as f64;
        let mut source = FrameSource::open(&path, self.size, (part.from_s - half_a_frame).max(0.0))?;
        let mut rgb = vec![0; self.size.0 * self.size.1 * 3];
        for frame in part.frames.0..part.frames.1 {
            if !source.read(&mut rgb)? {
                return Err(DatasetError::malformed(&path, format!("it ends before frame {frame}")));
            }
            take(&rgb);
        }
        Ok(())
    }
}
