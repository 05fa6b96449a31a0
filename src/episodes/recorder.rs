//! Kept frames on their way into an episode, held back until their labels are known.
//!
//! Where the expert drives undisturbed for a whole chunk, the label is what was executed: it is known a chunk later.
//! So the frames of the last
//! chunk wait here; older ones are PNG already.

use crate::dataset::{DatasetError, DatasetSpec, EncodedEpisode, EpisodeEncoder, EpisodeOrigin, FrameNotes};
use crate::sim::{ACTION_DIM, Action};
use std::collections::VecDeque;

/// Where a frame's label comes from.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Label {
    /// The next actions that are executed.
    Executed,
    /// The expert was asked: a whole chunk.
    Asked(Vec<[f32; ACTION_DIM]>),
}

struct Frame {
    step: usize,
    rgb: Vec<u8>,
    state: Vec<f32>,
    label: Label,
    notes: FrameNotes,
}

/// An episode being recorded.
pub(super) struct Recorder {
    encoder: EpisodeEncoder,
    /// Every action executed so far, also between the frames.
    actions: Vec<Action>,
    waiting: VecDeque<Frame>,
    chunk: usize,
}

impl Recorder {
    /// An empty recording for a dataset of this shape.
    pub(super) fn new(spec: &DatasetSpec) -> Self {
        let (encoder, actions, waiting) = (EpisodeEncoder::new(spec), Vec::new(), VecDeque::new());
        Self { encoder, actions, waiting, chunk: spec.chunk }
    }

    /// Keeps what is seen now, before the next action, with what the side table says of it.
    pub(super) fn see(&mut self, rgb: Vec<u8>, state: Vec<f32>, label: Label, notes: FrameNotes) {
        self.waiting.push_back(Frame { step: self.actions.len(), rgb, state, label, notes });
    }

    /// Takes the action that was executed.
    pub(super) fn act(&mut self, action: Action) -> Result<(), DatasetError> {
        self.actions.push(action);
        let complete = |frame: &Frame| frame.step + self.chunk <= self.actions.len();
        if self.waiting.front().is_some_and(complete) { self.write_oldest() } else { Ok(()) }
    }

    /// Ends the episode. `after` holds what the expert would have gone on to do: a chunk less one action.
    pub(super) fn finish(
        mut self,
        after: &[Action],
        task: String,
        origin: EpisodeOrigin,
    ) -> Result<EncodedEpisode, DatasetError> {
        self.actions.extend_from_slice(after);
        while !self.waiting.is_empty() {
            self.write_oldest()?;
        }
        self.encoder.finish(task, origin)
    }

    fn write_oldest(&mut self) -> Result<(), DatasetError> {
        let Some(frame) = self.waiting.pop_front() else { return Ok(()) };
        let from_here = &self.actions[frame.step..];
        let label: Vec<f32> = match frame.label {
            Label::Asked(actions) => actions.as_flattened().to_vec(),
            Label::Executed => from_here.iter().take(self.chunk).flat_map(|action| action.to_array()).collect(),
        };
        self.encoder.push(&frame.rgb, &frame.state, from_here[0].to_array(), Some(&label), frame.notes)
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
            let label = if n == 2 { Label::Asked(vec![[0.5; ACTION_DIM]; 3]) } else { Label::Executed };
            if n != 1 {
                recorder.see(vec![n; 3], vec![0.0, f32::from(n)], label, FrameNotes::default());
            }
            recorder.act(action(f32::from(n))).unwrap();
        }
        let origin =
            EpisodeOrigin { scenario: "s".into(), seed: 1, bricks: 1, strategy: "expert".into(), success: true };
        let episode = recorder.finish(&[action(4.0), action(5.0)], "task".into(), origin).unwrap();
        assert_eq!((episode.frames(), episode.labelled_frames()), (3, 3));

        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("set");
        let mut writer = DatasetWriter::create(&dir, spec, &serde_json::json!({})).unwrap();
        writer.append(episode).unwrap();
        writer.finish(serde_json::Value::Null).unwrap();
        let set = load_training_set(&[dir], 3, None).unwrap();
        let steering = |sample| set.chunk(sample).iter().step_by(ACTION_DIM).copied().collect::<Vec<f32>>();
        assert_eq!(steering(0), [0.0, 0.1, 0.2]);
        assert_eq!(steering(1), [0.5; 3]);
        assert_eq!(steering(2), [0.3, 0.4, 0.5]);
    }
}
