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
