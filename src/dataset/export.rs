//! A dataset of images as one of video, for exchange and for people: LeRobot's `dtype: video`.
//!
//! Everything but the camera's column is carried over as it is. The video loses a little colour; training here reads
//! the images.

use super::ffmpeg::{Codec, FrameSink};
use super::identity::{self, Provenance};
use super::image_file::decode_image;
use super::layout::{self, Building, FileNumber};
use super::parquet_file::{ParquetFile, ParquetSource};
use super::reader::{Opened, image_files, int64s, read_json};
use super::spec::{FILES_PER_CHUNK, VIDEO_FILE_MB};
use super::summary::{DatasetSummary, summary};
use super::videos::{columns_of, video_path};
use super::{DatasetError, columns};
use arrow_array::{ArrayRef, Float64Array, RecordBatch};
use arrow_schema::{Field, Schema};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

const VIDEO_PATH: &str = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4";

/// Writes the dataset of images in `from` as one of video to `to`; tells `on_frame` how many frames are done. The same
/// export again changes nothing.
///
/// # Errors
/// ffmpeg is not there, `from` cannot be read or is video already, or `to` is something else.
pub fn export_video(
    from: &Path,
    to: &Path,
    codec: Codec,
    on_frame: &mut dyn FnMut(usize),
) -> Result<DatasetSummary, DatasetError> {
    let opened = Opened::open(from)?;
    if opened.video {
        return Err(DatasetError::malformed(from, "it is a dataset of video already"));
    }
    codec.check_size(opened.width, opened.height)?;
    let source: Value = read_json::<Provenance>(&from.join(layout::PROVENANCE))
        .map_or_else(|_| json!(from.display().to_string()), |found| found.made_from);
    let made_from = json!({ "exported_from": source, "codec": codec });
    if fs::symlink_metadata(to).is_ok() {
        let found: Provenance =
            read_json(&to.join(layout::PROVENANCE)).map_err(|_| DatasetError::Exists(to.to_path_buf()))?;
        identity::check_same(to, &found.made_from, &made_from)?;
        return summary(to);
    }
    let building = Building::take(to)?;
    building.clear()?;
    let export = Export { opened: &opened, building: &building, codec };
    export.data()?;
    let parts = export.videos(on_frame)?;
    export.tables(&parts)?;
    let result = json!(null);
    let provenance = Provenance { config_hash: identity::config_hash(&made_from), made_from, result };
    building.folder("ralphton")?;
    export.json(layout::PROVENANCE, &provenance)?;
    export.info()?;
    summary(&building.finish()?)
}

/// Where an episode's video came to lie.
struct Part {
    file: FileNumber,
    from_s: f64,
    to_s: f64,
}

struct Export<'a> {
    opened: &'a Opened,
    building: &'a Building,
    codec: Codec,
}

impl Export<'_> {
    fn json(&self, relative: &str, value: &impl serde::Serialize) -> Result<(), DatasetError> {
        let path = self.building.dir().join(relative);
        let text = serde_json::to_vec_pretty(value)
            .map_err(|error| DatasetError::malformed(&path, format!("cannot be written as JSON: {error}")))?;
        layout::write_synced(&path, &text)
    }

    /// A file of the new dataset at the place that `path` has in the old one.
    fn twin(&self, path: &Path) -> Result<std::path::PathBuf, DatasetError> {
        let relative = path.strip_prefix(&self.opened.dir).unwrap_or(path);
        let target = self.building.dir().join(relative);
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder).map_err(|error| DatasetError::io("create", folder, 0, error))?;
        }
        Ok(target)
    }

    /// The data files without the camera's column.
    fn data(&self) -> Result<(), DatasetError> {
        for source in &self.opened.data {
            let names: Vec<&str> = source
                .schema()
                .fields()
                .iter()
                .map(|f| f.name().as_str())
                .filter(|n| *n != self.opened.camera)
                .collect();
            let target = self.twin(&source.path)?;
            let mut file: Option<ParquetFile> = None;
            for group in 0..source.group_rows().len() {
                let batches = source.read(&names, Some(group))?.collect::<Result<Vec<_>, _>>()?;
                for batch in batches {
                    let schema = self.schema(batch.schema().as_ref());
                    let batch = columns::batch(&schema, batch.columns().to_vec(), &target)?;
                    let mut open = match file.take() {
                        Some(open) => open,
                        None => ParquetFile::create(target.clone(), Arc::clone(&schema), None)?,
                    };
                    open.append(&batch)?;
                    file = Some(open);
                }
            }
            if let Some(file) = file {
                file.close()?;
            }
        }
        Ok(())
    }

    /// The columns' schema, with what `datasets` should know of them.
    fn schema(&self, found: &Schema) -> Arc<Schema> {
        let entry =
            columns::huggingface(self.opened.info.features.0.iter().filter(|(key, _)| *key != self.opened.camera));
        let metadata = HashMap::from([("huggingface".to_owned(), entry)]);
        Arc::new(Schema::new_with_metadata(found.fields().clone(), metadata))
    }

    /// All frames as video, episode after episode.
    fn videos(&self, on_frame: &mut dyn FnMut(usize)) -> Result<Vec<Part>, DatasetError> {
        let (width, height) = (self.opened.width, self.opened.height);
        let fps = f64::from(self.opened.info.fps.max(1));
        let mut rgb = vec![0; width * height * 3];
        let (mut number, mut in_file, mut done) = (FileNumber::default(), 0_usize, 0_usize);
        let mut sink: Option<FrameSink> = None;
        let mut parts: Vec<Part> = Vec::new();
        let mut episode = -1;
        for source in &self.opened.data {
            for batch in source.read(&[&self.opened.camera, "episode_index"], None)? {
                let batch = batch?;
                let files = image_files(&batch, &self.opened.camera, &source.path)?;
                for (row, &of) in int64s(&batch, "episode_index", &source.path)?.iter().enumerate() {
                    let path = video_path(self.building.dir(), &self.opened.camera, number);
                    let written = fs::metadata(&path).map_or(0, |meta| meta.len());
                    if of != episode && written > VIDEO_FILE_MB * 1024 * 1024 {
                        sink.take().map_or(Ok(()), FrameSink::finish)?;
                        (number, in_file) = (number.next(FILES_PER_CHUNK), 0);
                    }
                    if of != episode {
                        let from_s = in_file as f64 / fps;
                        parts.push(Part { file: number, from_s, to_s: from_s });
                        episode = of;
                    }
                    decode_image(files.file(row), width, height, &mut rgb)
                        .map_err(|problem| DatasetError::malformed(&source.path, format!("frame {done}: {problem}")))?;
                    let mut open = match sink.take() {
                        Some(open) => open,
                        None => {
                            let path = video_path(self.building.dir(), &self.opened.camera, number);
                            self.twin(&video_path(&self.opened.dir, &self.opened.camera, number))?;
                            FrameSink::create(&path, (width, height), self.opened.info.fps, self.codec)?
                        }
                    };
                    open.write(&rgb)?;
                    sink = Some(open);
                    (in_file, done) = (in_file + 1, done + 1);
                    if let Some(part) = parts.last_mut() {
                        part.to_s = in_file as f64 / fps;
                    }
                    on_frame(done);
                }
            }
        }
        sink.take().map_or(Ok(()), FrameSink::finish)?;
        Ok(parts)
    }

    /// The tables: episodes with where their video lies, the others as they are.
    fn tables(&self, parts: &[Part]) -> Result<(), DatasetError> {
        let mut at = 0;
        for path in layout::parquet_files(&self.opened.dir, "meta/episodes")? {
            let source = ParquetSource::open(&path)?;
            let names: Vec<&str> = source.schema().fields().iter().map(|f| f.name().as_str()).collect();
            let target = self.twin(&path)?;
            let mut file: Option<ParquetFile> = None;
            for batch in source.read(&names, None)? {
                let batch = self.with_places(&batch?, parts, at, &target)?;
                at += batch.num_rows();
                let mut open = match file.take() {
                    Some(open) => open,
                    None => ParquetFile::create(target.clone(), batch.schema(), None)?,
                };
                open.append(&batch)?;
                file = Some(open);
            }
            if let Some(file) = file {
                file.close()?;
            }
        }
        for relative in [layout::STATS, layout::TASKS, layout::ORIGINS] {
            self.copy(&self.opened.dir.join(relative))?;
        }
        if self.opened.dir.join(layout::SIDE).is_dir() {
            layout::parquet_files(&self.opened.dir, layout::SIDE)?.iter().try_for_each(|path| self.copy(path))?;
        }
        Ok(())
    }

    fn copy(&self, path: &Path) -> Result<(), DatasetError> {
        if !path.is_file() {
            return Ok(());
        }
        let target = self.twin(path)?;
        let copied = fs::copy(path, &target).and_then(|_| fs::File::open(&target)?.sync_all());
        copied.map_err(|error| DatasetError::io("copy to", &target, 0, error))
    }

    /// Rows of `meta/episodes` with the four columns of the video.
    fn with_places(
        &self,
        batch: &RecordBatch,
        parts: &[Part],
        at: usize,
        path: &Path,
    ) -> Result<RecordBatch, DatasetError> {
        let Some(rows) = parts.get(at..at + batch.num_rows()) else {
            let problem = format!("{} episodes where the frames have {}", at + batch.num_rows(), parts.len());
            return Err(DatasetError::malformed(path, problem));
        };
        let seconds =
            |value: fn(&Part) -> f64| Arc::new(Float64Array::from_iter_values(rows.iter().map(value))) as ArrayRef;
        let new = [
            columns::int64(rows.iter().map(|part| part.file.chunk)),
            columns::int64(rows.iter().map(|part| part.file.file)),
            seconds(|part| part.from_s),
            seconds(|part| part.to_s),
        ];
        let mut fields: Vec<Arc<Field>> = batch.schema().fields().iter().cloned().collect();
        let mut all = batch.columns().to_vec();
        let place =
            fields.iter().position(|field| field.name() == "dataset_to_index").map_or(fields.len(), |at| at + 1);
        for (offset, (name, column)) in columns_of(&self.opened.camera).into_iter().zip(new).enumerate() {
            fields.insert(place + offset, Arc::new(Field::new(name, column.data_type().clone(), true)));
            all.insert(place + offset, column);
        }
        columns::batch(&Arc::new(Schema::new(fields)), all, path)
    }

    fn info(&self) -> Result<(), DatasetError> {
        let mut info = self.opened.info.clone();
        info.video_path = Some(VIDEO_PATH.into());
        info.video_files_size_in_mb = VIDEO_FILE_MB;
        for (key, feature) in &mut info.features.0 {
            if *key == self.opened.camera {
                feature.dtype = "video".into();
                feature.info = Some(json!({
                    "video.height": self.opened.height,
                    "video.width": self.opened.width,
                    "video.codec": self.codec.name(),
                    "video.pix_fmt": self.codec.pixel_format(),
                    "video.is_depth_map": false,
                    "video.fps": self.opened.info.fps,
                    "video.channels": 3,
                    "has_audio": false,
                }));
            }
        }
        self.json(layout::INFO, &info)
    }
}
