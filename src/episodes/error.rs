//! What can go wrong while data is made.

use crate::base::Proportion;
use crate::dataset::DatasetError;
use crate::rollout::RolloutError;
use crate::sim::SimError;

/// Why no dataset came to be.
#[derive(Debug, thiserror::Error)]
pub enum EpisodesError {
    /// An order that makes no sense.
    #[error("this data cannot be ordered: {0}")]
    Order(String),
    /// The expert fails too often to be learnt from.
    #[error("the expert solved only {0} of its own undisturbed episodes; {min:.0} % are needed, so its data is refused", min = 100.0 * super::EXPERT_GATE)]
    ExpertBelowGate(Proportion),
    /// The expert does not master the families; the table says which.
    #[error("the expert is below its gate, so no data is made from it:\n{0}")]
    ExpertFails(String),
    /// Every episode was discarded, as none succeeded.
    #[error("all {0} episodes were discarded: the expert finished none of them within the time limit")]
    NothingKept(u32),
    /// Stopped before the first episode was complete.
    #[error("stopped before the first episode was complete")]
    Cancelled,
    /// The simulator refused a scene.
    #[error(transparent)]
    Sim(#[from] SimError),
    /// The dataset could not be written.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The policy could not drive.
    #[error(transparent)]
    Rollout(#[from] RolloutError),
}
