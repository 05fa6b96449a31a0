//! The states of the frames that are trained on, without their images.

use super::DatasetError;
use super::reader::Opened;
use std::path::PathBuf;

/// States of training samples, in rows.
#[derive(Debug, Clone, Default)]
pub struct StateTable {
    /// Numbers in a state.
    pub dim: usize,
    /// States in physical units, one after another.
    pub states: Vec<f32>,
    /// The episode of each state, numbered over all datasets.
    pub episodes: Vec<u32>,
}

impl StateTable {
    /// How many states there are.
    pub fn len(&self) -> usize {
        self.episodes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.episodes.is_empty()
    }
}

/// Reads the states of the labelled frames of the datasets, or of all frames where none is labelled; at most `limit` of
/// them, at even distances.
///
/// # Errors
/// A dataset cannot be read, is damaged, or its states have another length than the first one's.
pub fn load_states(dirs: &[PathBuf], limit: usize) -> Result<StateTable, DatasetError> {
    let mut all = StateTable::default();
    let mut episodes_before = 0;
    for dir in dirs {
        let opened = Opened::open(dir)?;
        if all.dim != 0 && all.dim != opened.state_dim {
            let problem = format!("its states have {} numbers, those before it {}", opened.state_dim, all.dim);
            return Err(DatasetError::Mismatch { path: dir.clone(), problem });
        }
        all.dim = opened.state_dim;
        let (frames, labels) = (opened.frames()?, opened.labels()?);
        let total = frames.episodes.len();
        let rows: Vec<usize> = if labels.frames.is_empty() { (0..total).collect() } else { labels.frames };
        for row in rows {
            all.states.extend_from_slice(&frames.states[row * all.dim..(row + 1) * all.dim]);
            all.episodes.push(episodes_before + u32::try_from(frames.episodes[row]).unwrap_or(u32::MAX / 2));
        }
        episodes_before = all.episodes.last().map_or(0, |last| last + 1);
    }
    Ok(thinned(all, limit))
}

fn thinned(all: StateTable, limit: usize) -> StateTable {
    let (total, keep) = (all.len(), limit.min(all.len()));
    if keep == total {
        return all;
    }
    let mut kept = StateTable { dim: all.dim, ..StateTable::default() };
    for row in (0..total).filter(|row| (row + 1) * keep / total > row * keep / total) {
        kept.states.extend_from_slice(&all.states[row * all.dim..(row + 1) * all.dim]);
        kept.episodes.push(all.episodes[row]);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_thinned_at_even_distances() {
        let all = StateTable {
            dim: 2,
            states: (0..20).map(|value| value as f32).collect(),
            episodes: (0..10).map(|row| row / 5).collect(),
        };
        let kept = thinned(all.clone(), 5);
        assert_eq!(kept.len(), 5);
        assert_eq!(kept.states, [2.0, 3.0, 6.0, 7.0, 10.0, 11.0, 14.0, 15.0, 18.0, 19.0]);
        assert_eq!(kept.episodes, [0, 0, 1, 1, 1]);
        assert_eq!(thinned(all, 99).len(), 10);
    }
}
