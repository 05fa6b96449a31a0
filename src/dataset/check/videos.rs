//! `videos/`: every file is there, long enough, and can be decoded.

use super::Examination;
use crate::dataset::DatasetError;
use crate::dataset::ffmpeg::{FrameSource, ffmpeg_is_there};
use crate::dataset::layout::FileNumber;
use crate::dataset::spec::Feature;
use crate::dataset::videos::{VideoPart, video_parts, video_path};
use std::collections::BTreeMap;

/// How exact times in a video must be, as LeRobot has it.
const TOLERANCE_S: f64 = 1e-4;

impl Examination<'_> {
    pub(super) fn videos(&mut self) -> Result<(), DatasetError> {
        let cameras: Vec<(String, Feature)> =
            self.info.features.0.iter().filter(|(_, feature)| feature.dtype == "video").cloned().collect();
        if cameras.is_empty() {
            return Ok(());
        }
        let decode = ffmpeg_is_there();
        if !decode {
            let why = "videos were not decoded: ffmpeg is not installed (apt-get install ffmpeg)";
            self.findings.unjudged.push(why.into());
        }
        for (camera, feature) in cameras {
            let Some((height, width)) = feature.image_size() else { continue };
            let parts = video_parts(self.dir, &camera, self.info.fps)?;
            for (number, frames) in self.video_times(&camera, &parts) {
                let path = video_path(self.dir, &camera, number);
                if !path.is_file() {
                    self.note(&path, "no such video file, and episodes lie in it");
                } else if decode {
                    match count_frames(&path, (width, height)) {
                        Ok(found) if found < frames => {
                            self.note(&path, format!("{found} frames where its episodes have {frames}"));
                        }
                        Ok(_) => {}
                        Err(error) => self.add(super::defect_of(&error, &path)),
                    }
                }
            }
        }
        Ok(())
    }

    /// Frames that each file must have.
    fn video_times(&mut self, camera: &str, parts: &[VideoPart]) -> BTreeMap<FileNumber, usize> {
        let fps = f64::from(self.info.fps.max(1));
        let table = self.path("meta/episodes");
        let mut frames: BTreeMap<FileNumber, usize> = BTreeMap::new();
        for (episode, part) in parts.iter().enumerate() {
            let length = part.frames.1.saturating_sub(part.frames.0);
            let in_file = frames.entry(part.file).or_default();
            let due_s = *in_file as f64 / fps;
            if (part.from_s - due_s).abs() > TOLERANCE_S {
                let problem =
                    format!("episode {episode}: its {camera} begins at {} s where {due_s} s is due", part.from_s);
                self.note(&table, problem);
            }
            // NaN must not pass.
            let fits = (part.to_s - part.from_s - length as f64 / fps).abs() <= TOLERANCE_S;
            if !fits {
                let seconds = part.to_s - part.from_s;
                self.note(&table, format!("episode {episode}: {seconds} s of {camera} for {length} frames"));
            }
            let in_file = frames.entry(part.file).or_default();
            *in_file = in_file.saturating_add(length);
        }
        frames
    }
}

fn count_frames(path: &std::path::Path, size: (usize, usize)) -> Result<usize, DatasetError> {
    let mut source = FrameSource::open(path, size, 0.0)?;
    let mut rgb = vec![0; size.0 * size.1 * 3];
    let mut frames = 0;
    while source.read(&mut rgb)? {
        frames += 1;
    }
    Ok(frames)
}
