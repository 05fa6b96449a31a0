//! One episode on its way to disk: checked, its frames already PNG, its statistics already counted.
//!
//! Encoding is the expensive part and happens in the threads that make episodes, frame by frame, so
//! that no episode is ever held as raw pixels. The writer only appends what lies here.

use super::feature_statistics::{FeatureStatistics, Histogram};
use super::image_file::encode_png;
use super::{ACTION_DIM, DatasetError, DatasetSpec, FrameNotes};
use serde::{Deserialize, Serialize};

/// Frames an episode may have: at 10 Hz about three hours.
const MAX_FRAMES: usize = 100_000;
/// Bytes of PNG an episode may have: arrow counts them in 32 bits.
const MAX_PNG_BYTES: usize = i32::MAX as usize;

/// Where an episode came from: what LeRobot has no place for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpisodeOrigin {
    /// Name of the scenario family.
    pub scenario: String,
    /// Seed of the scene.
    pub seed: u64,
    /// Bricks in the scene.
    pub bricks: u32,
    /// Who or what acted: `expert`, `noise`, `dagger`, `bad_start`, `recovery`.
    pub strategy: String,
    /// Whether every brick ended in the box.
    pub success: bool,
}

/// One frame as it was seen and acted on.
#[derive(Debug, Clone, PartialEq)]
pub struct FrameData {
    /// RGB bytes, `H·W·3`, row-major, interleaved.
    pub rgb: Vec<u8>,
    /// State in physical units.
    pub state: Vec<f32>,
    /// The action that was executed.
    pub action: [f32; ACTION_DIM],
    /// What the expert would have done from here, `T·A` numbers, when it was asked.
    pub label: Option<Vec<f32>>,
    /// Who acted, the phase, the privileged state.
    pub notes: FrameNotes,
}

/// A whole episode in memory; for long episodes or large images use [`EpisodeEncoder`] instead.
#[derive(Debug, Clone, PartialEq)]
pub struct EpisodeData {
    /// The task in words.
    pub task: String,
    /// The frames in order.
    pub frames: Vec<FrameData>,
    /// Where the episode came from.
    pub origin: EpisodeOrigin,
}

/// An episode ready to be appended to a dataset of the same shape.
#[derive(Debug, Clone)]
pub struct EncodedEpisode {
    pub(super) spec: DatasetSpec,
    pub(super) task: String,
    pub(super) origin: EpisodeOrigin,
    /// All PNG files, one after another, and the length of each.
    pub(super) png: Vec<u8>,
    pub(super) png_lens: Vec<usize>,
    pub(super) states: Vec<f32>,
    pub(super) actions: Vec<f32>,
    pub(super) labels: Vec<Option<Vec<f32>>>,
    pub(super) notes: Vec<FrameNotes>,
    /// Of the image, the state and the action, in feature order.
    pub(super) statistics: [FeatureStatistics; 3],
}

impl EncodedEpisode {
    /// Frames in the episode.
    pub fn frames(&self) -> usize {
        self.png_lens.len()
    }

    /// Frames with an expert label.
    pub fn labelled_frames(&self) -> usize {
        self.labels.iter().flatten().count()
    }

    /// Where the episode came from.
    pub fn origin(&self) -> &EpisodeOrigin {
        &self.origin
    }

    /// Bytes held, about what it will take on disk.
    pub fn bytes(&self) -> usize {
        let labels = self.labelled_frames() * self.spec.label_len();
        let privileged: usize = self.notes.iter().map(|notes| notes.privileged.len()).sum();
        self.png.len() + (self.states.len() + self.actions.len() + labels + privileged) * size_of::<f32>()
    }
}

/// Takes an episode frame by frame and keeps only PNG and numbers of it.
#[derive(Debug, Clone)]
pub struct EpisodeEncoder {
    spec: DatasetSpec,
    png: Vec<u8>,
    png_lens: Vec<usize>,
    states: Vec<f32>,
    actions: Vec<f32>,
    labels: Vec<Option<Vec<f32>>>,
    notes: Vec<FrameNotes>,
    histogram: Histogram,
}

impl EpisodeEncoder {
    /// An encoder without frames.
    pub fn new(spec: &DatasetSpec) -> Self {
        Self {
            spec: spec.clone(),
            png: Vec::new(),
            png_lens: Vec::new(),
            states: Vec::new(),
            actions: Vec::new(),
            labels: Vec::new(),
            notes: Vec::new(),
            histogram: Histogram::default(),
        }
    }

    /// Frames so far.
    pub fn len(&self) -> usize {
        self.png_lens.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.png_lens.is_empty()
    }

    /// Adds one frame: `rgb` has `H·W·3` bytes, `state` S numbers, `label` `T·A` numbers if the
    /// expert was asked; `notes` is for the side table.
    ///
    /// # Errors
    /// [`DatasetError::Episode`] when a length or a number is wrong; the encoder is as before then.
    pub fn push(
        &mut self,
        rgb: &[u8],
        state: &[f32],
        action: [f32; ACTION_DIM],
        label: Option<&[f32]>,
        notes: FrameNotes,
    ) -> Result<(), DatasetError> {
        let frame = self.len();
        let refuse = |why: String| Err(DatasetError::Episode(format!("frame {frame}: {why}")));
        if frame >= MAX_FRAMES {
            return refuse(format!("an episode has at most {MAX_FRAMES} frames"));
        }
        if rgb.len() != self.spec.image_len() {
            return refuse(format!("{} image bytes instead of {}", rgb.len(), self.spec.image_len()));
        }
        check_numbers(frame, "state", state, self.spec.state_names.len())?;
        check_numbers(frame, "action", &action, ACTION_DIM)?;
        if let Some(label) = label {
            check_numbers(frame, "label chunk", label, self.spec.label_len())?;
        }
        check_numbers(frame, "privileged state", &notes.privileged, notes.privileged.len())?;
        let before = self.png.len();
        encode_png(rgb, self.spec.width, self.spec.height, &mut self.png)
            .map_err(|error| DatasetError::Episode(format!("frame {frame}: {error}")))?;
        if self.png.len() > MAX_PNG_BYTES {
            self.png.truncate(before);
            return refuse("the images of the episode exceed 2 GiB; make shorter episodes".into());
        }
        self.png_lens.push(self.png.len() - before);
        self.histogram.add_image(rgb, self.spec.width, self.spec.height);
        self.states.extend_from_slice(state);
        self.actions.extend_from_slice(&action);
        self.labels.push(label.map(<[f32]>::to_vec));
        self.notes.push(notes);
        Ok(())
    }

    /// Ends the episode.
    ///
    /// # Errors
    /// [`DatasetError::Episode`] when there is no frame or no task text.
    pub fn finish(self, task: String, origin: EpisodeOrigin) -> Result<EncodedEpisode, DatasetError> {
        let frames = self.len();
        if frames == 0 {
            return Err(DatasetError::Episode("it has no frames".into()));
        }
        if task.trim().is_empty() {
            return Err(DatasetError::Episode("it has no task text".into()));
        }
        let states = self.spec.state_names.len();
        let statistics = [
            self.histogram.statistics(frames),
            FeatureStatistics::of(frames, states, |row, c| f64::from(self.states[row * states + c])),
            FeatureStatistics::of(frames, ACTION_DIM, |row, c| f64::from(self.actions[row * ACTION_DIM + c])),
        ];
        let Self { spec, png, png_lens, states, actions, labels, notes, histogram: _ } = self;
        Ok(EncodedEpisode { spec, task, origin, png, png_lens, states, actions, labels, notes, statistics })
    }
}

/// Checks and encodes a whole episode. Heavy on the CPU: call it from worker threads.
///
/// # Errors
/// [`DatasetError::Episode`] when a length or a number is wrong, naming the frame.
pub fn encode_episode(spec: &DatasetSpec, data: EpisodeData) -> Result<EncodedEpisode, DatasetError> {
    let mut encoder = EpisodeEncoder::new(spec);
    for frame in data.frames {
        encoder.push(&frame.rgb, &frame.state, frame.action, frame.label.as_deref(), frame.notes)?;
    }
    encoder.finish(data.task, data.origin)
}

fn check_numbers(frame: usize, what: &str, numbers: &[f32], expected: usize) -> Result<(), DatasetError> {
    if numbers.len() != expected {
        let len = numbers.len();
        return Err(DatasetError::Episode(format!("frame {frame}: {what} of {len} numbers instead of {expected}")));
    }
    match numbers.iter().position(|value| !value.is_finite()) {
        Some(at) => Err(DatasetError::Episode(format!("frame {frame}: {what}[{at}] is {}", numbers[at]))),
        None => Ok(()),
    }
}

#[cfg(test)]
pub(super) fn tiny_episode(spec: &DatasetSpec, frames: usize, seed: u64) -> EpisodeData {
    use super::Actor;
    let frame = |i: usize| {
        let wave = |k: usize| ((seed as usize * 31 + i * 7 + k) as f32 * 0.37).sin();
        FrameData {
            rgb: (0..spec.image_len()).map(|p| ((p * 5 + i * 11 + seed as usize * 17) % 256) as u8).collect(),
            state: (0..spec.state_names.len()).map(wave).collect(),
            action: [wave(10), wave(11), wave(12), wave(13)],
            label: i.is_multiple_of(2).then(|| (0..spec.label_len()).map(|k| wave(20 + k)).collect()),
            notes: FrameNotes {
                actor: Actor::ALL[i % 3],
                phase: if i < 2 { "search" } else { "carry" }.into(),
                privileged: (0..4 + i % 2).map(|k| wave(40 + k)).collect(),
            },
        }
    };
    EpisodeData {
        task: if seed.is_multiple_of(2) { "put the brick in the box" } else { "put the red brick in the box" }.into(),
        frames: (0..frames).map(frame).collect(),
        origin: EpisodeOrigin {
            scenario: "open_floor".into(),
            seed,
            bricks: 1,
            strategy: "expert".into(),
            success: !seed.is_multiple_of(3),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::spec::tiny_spec;

    #[test]
    fn bad_frames_are_refused_by_number() {
        let spec = tiny_spec();
        let mut data = tiny_episode(&spec, 3, 1);
        data.frames[2].state[1] = f32::NAN;
        assert_eq!(encode_episode(&spec, data).unwrap_err().to_string(), "episode refused: frame 2: state[1] is NaN");
        let mut data = tiny_episode(&spec, 3, 1);
        data.frames[1].rgb.pop();
        assert!(
            encode_episode(&spec, data).unwrap_err().to_string().contains("frame 1: 143 image bytes instead of 144")
        );
        assert!(encode_episode(&spec, tiny_episode(&spec, 0, 1)).unwrap_err().to_string().contains("no frames"));
    }

    #[test]
    fn encoding_is_deterministic() {
        let spec = tiny_spec();
        let encode = || encode_episode(&spec, tiny_episode(&spec, 5, 4)).unwrap();
        assert_eq!(encode().png, encode().png);
        assert_eq!(encode().labelled_frames(), 3);
    }
}
