//! Samples in memory, in the form the trainer draws them: one image, one state, one chunk of labels each.

use std::ops::Range;

/// Samples held flat, one array per kind, so that a batch is a handful of copies.
///
/// Letters: N samples, H×W×3 image bytes, S state numbers, T actions a chunk, A numbers an action.
#[derive(Debug, Clone, Default)]
pub struct TrainingSet {
    /// Image height H in pixels.
    pub height: usize,
    /// Image width W in pixels.
    pub width: usize,
    /// State numbers S.
    pub state_dim: usize,
    /// Actions T in a chunk.
    pub chunk: usize,
    /// Numbers A in an action.
    pub action_dim: usize,
    /// RGB bytes, `N·H·W·3`, row-major, interleaved.
    pub images: Vec<u8>,
    /// States in physical units, `N·S`.
    pub states: Vec<f32>,
    /// Label chunks, `N·T·A`; what lies past the end of an episode repeats its last action.
    pub chunks: Vec<f32>,
    /// How many actions of each chunk are real, `N` numbers in `1..=T`; the rest is padding.
    pub valid: Vec<u8>,
    /// The action carried out just before each sample, `N·A`; zeros where an episode begins.
    pub previous: Vec<f32>,
    /// Which episode of its dataset each sample is of, `N` numbers.
    pub episodes: Vec<u32>,
    /// Where each dataset's samples lie, in the order the datasets were added; the last one is the newest.
    pub sources: Vec<Range<usize>>,
}

/// Where in its dataset a sample stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment<'a> {
    /// The episode's number.
    pub episode: u32,
    /// The action before; none where the episode begins.
    pub previous: Option<&'a [f32]>,
}

impl TrainingSet {
    /// An empty set for samples of this shape.
    pub fn new(height: usize, width: usize, state_dim: usize, chunk: usize, action_dim: usize) -> Self {
        Self { height, width, state_dim, chunk, action_dim, ..Self::default() }
    }

    /// How many samples there are.
    pub fn len(&self) -> usize {
        self.valid.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.valid.is_empty()
    }

    /// Bytes of one image, `H·W·3`.
    pub fn image_len(&self) -> usize {
        self.height * self.width * 3
    }

    /// RGB bytes of sample `index`.
    pub fn image(&self, index: usize) -> &[u8] {
        let len = self.image_len();
        &self.images[index * len..(index + 1) * len]
    }

    /// State of sample `index`, in physical units.
    pub fn state(&self, index: usize) -> &[f32] {
        &self.states[index * self.state_dim..(index + 1) * self.state_dim]
    }

    /// Label chunk of sample `index`, `T·A` numbers, of which the first `valid` actions are real.
    pub fn chunk(&self, index: usize) -> &[f32] {
        let len = self.chunk * self.action_dim;
        &self.chunks[index * len..(index + 1) * len]
    }

    /// The action carried out just before sample `index`.
    pub fn previous(&self, index: usize) -> &[f32] {
        &self.previous[index * self.action_dim..(index + 1) * self.action_dim]
    }

    /// Adds one sample that is an episode of its own. `actions` holds 1 to T actions of A numbers; the chunk is
    /// padded with the last one.
    ///
    /// # Panics
    /// When a slice has another length than the set's shape says: that is a defect of the caller.
    pub fn push(&mut self, image: &[u8], state: &[f32], actions: &[f32]) {
        assert_eq!(image.len(), self.image_len(), "image bytes");
        let begin = Moment { episode: u32::try_from(self.len()).unwrap_or(u32::MAX), previous: None };
        self.push_numbers(state, actions, begin);
        self.images.extend_from_slice(image);
    }

    /// Adds all of a sample but its image, which the caller owes.
    pub(super) fn push_numbers(&mut self, state: &[f32], actions: &[f32], moment: Moment<'_>) {
        assert_eq!(state.len(), self.state_dim, "state numbers");
        let valid = actions.len() / self.action_dim;
        assert!((1..=self.chunk).contains(&valid) && actions.len() == valid * self.action_dim, "label actions");
        self.states.extend_from_slice(state);
        self.chunks.extend_from_slice(actions);
        let last = &actions[(valid - 1) * self.action_dim..];
        for _ in valid..self.chunk {
            self.chunks.extend_from_slice(last);
        }
        self.valid.push(u8::try_from(valid).unwrap_or(u8::MAX));
        match moment.previous {
            Some(action) => self.previous.extend_from_slice(&action[..self.action_dim]),
            None => self.previous.extend(std::iter::repeat_n(0.0, self.action_dim)),
        }
        self.episodes.push(moment.episode);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_chunks_repeat_their_last_action_and_say_so() {
        let mut set = TrainingSet::new(1, 1, 1, 3, 2);
        set.push(&[1, 2, 3], &[0.5], &[0.1, 0.2]);
        assert_eq!(set.chunk(0), &[0.1, 0.2, 0.1, 0.2, 0.1, 0.2]);
        assert_eq!(set.valid, [1]);
        assert_eq!(set.image(0), &[1, 2, 3]);
        assert_eq!((set.previous(0), set.episodes[0]), (&[0.0, 0.0][..], 0));
    }
}
