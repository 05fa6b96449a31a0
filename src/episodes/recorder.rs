//! Frames on their way into an episode, held back until their labels are known.
//!
//! Where the expert drives undisturbed for a whole chunk, the label is what was executed: it is known a chunk later.
//! So the last chunk's frames wait here; older ones are PNG already.

use crate::dataset::{DatasetError, DatasetSpec, EncodedEpisode, EpisodeEncoder, EpisodeOrigin};
use crate::sim::{ACTION_DIM, Action};
use std::collections::VecDeque;

/// Where a frame's label comes from.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Label {
    /// It has none.
    None,
    /// The next actions that are executed.
    Executed,
    /// The expert was asked: a whole chunk.
    Asked(Vec<[f32; ACTION_DIM]>),
}

struct Frame {
    rgb: Vec<u8>,
    state: Vec<f32>,
    action: Action,
    label: Label,
}

/// An episode being recorded.
pub(super) struct Recorder {
    encoder: EpisodeEncoder,
    waiting: VecDeque<Frame>,
    chunk: usize,
}

impl Recorder {
    /// An empty recording for a dataset of this shape.
    pub(super) fn new(spec: &DatasetSpec) -> Self {
        Self { encoder: EpisodeEncoder::new(spec), waiting: VecDeque::with_capacity(spec.chunk), chunk: spec.chunk }
    }

    /// Adds what was seen and done at one control step.
    pub(super) fn push(
        &mut self,
        rgb: Vec<u8>,
        state: Vec<f32>,
        action: Action,
        label: Label,
    ) -> Result<(), DatasetError> {
        self.waiting.push_back(Frame { rgb, state, action, label });
        if self.waiting.len() < self.chunk { Ok(()) } else { self.write_oldest(&[]) }
    }

    /// Ends the episode. `after` holds what the expert would have gone on to do: a chunk less one action.
    pub(super) fn finish(
        mut self,
        after: &[Action],
        task: String,
        origin: EpisodeOrigin,
    ) -> Result<EncodedEpisode, DatasetError> {
        while !self.waiting.is_empty() {
            self.write_oldest(after)?;
        }
        self.encoder.finish(task, origin)
    }

    fn write_oldest(&mut self, after: &[Action]) -> Result<(), DatasetError> {
        let Some(oldest) = self.waiting.front() else { return Ok(()) };
        let label = match &oldest.label {
            Label::None => None,
            Label::Asked(actions) => Some(actions.as_flattened().to_vec()),
            Label::Executed => {
                let executed = self.waiting.iter().map(|frame| frame.action);
                Some(executed.chain(after.iter().copied()).take(self.chunk).flat_map(Action::to_array).collect())
            }
        };
        self.encoder.push(&oldest.rgb, &oldest.state, oldest.action.to_array(), label.as_deref())?;
        self.waiting.pop_front();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::{DatasetWriter, load_training_set};

    #[test]
    fn labels_are_what_was_executed_or_asked_also_at_the_end() {
        let spec = DatasetSpec {
            fps: 10,
            robot_type: "loader".into(),
            camera: "observation.images.ego".into(),
            height: 1,
            width: 1,
            state_names: vec!["a".into(), "b".into()],
            action_names: ["s", "t", "b", "l"].map(String::from).to_vec(),
            chunk: 3,
        };
        let action = |n: f32| Action { steering: n / 10.0, ..Action::default() };
        let mut recorder = Recorder::new(&spec);
        for n in 0..4_u8 {
            let label = match n {
                0 | 3 => Label::Executed,
                1 => Label::None,
                _ => Label::Asked(vec![[0.5; ACTION_DIM]; 3]),
            };
            recorder.push(vec![n; 3], vec![0.0, f32::from(n)], action(f32::from(n)), label).unwrap();
        }
        let origin =
            EpisodeOrigin { scenario: "s".into(), seed: 1, bricks: 1, strategy: "expert".into(), success: true };
        let episode = recorder.finish(&[action(4.0), action(5.0)], "task".into(), origin).unwrap();
        assert_eq!((episode.frames(), episode.labelled_frames()), (4, 3));

        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("set");
        let mut writer = DatasetWriter::create(&dir, spec, serde_json::json!({})).unwrap();
        writer.append(episode).unwrap();
        writer.finish().unwrap();
        let set = load_training_set(&[dir], 3, None).unwrap();
        let steering = |sample| set.chunk(sample).iter().step_by(ACTION_DIM).copied().collect::<Vec<f32>>();
        assert_eq!(steering(0), [0.0, 0.1, 0.2]);
        assert_eq!(steering(1), [0.5; 3]);
        assert_eq!(steering(2), [0.3, 0.4, 0.5]);
    }
}
