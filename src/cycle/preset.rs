//! Loop presets: the sizes of a loop as data, read from `agents.toml` under `[presets.<name>]`.

use crate::base::Stage;
use crate::sim::StatePreset;
use serde::{Deserialize, Serialize};

/// The sizes of a loop. Every number is what the playbook asks for when nothing speaks against it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoopPreset {
    /// The policy's preset, by name.
    pub policy: String,
    /// Which numbers the policy is told besides the image.
    pub state: StatePreset,
    /// Ego image width in pixels.
    pub width: usize,
    /// Ego image height in pixels.
    pub height: usize,
    /// Actions in a predicted chunk.
    pub chunk: usize,
    /// Sizes of data generation.
    pub generate: GenerateSizes,
    /// Sizes of training.
    pub train: TrainSizes,
    /// Sizes of evaluation.
    pub evaluate: EvaluateSizes,
    /// Seconds a persona has for a decision before the playbook decides as deputy.
    pub decision_deadline_s: u32,
    /// How long each stage may take.
    pub deadlines: Deadlines,
}

/// Minutes that each stage may take. A plan that does not fit is refused; work that takes longer all the same is cut.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Deadlines {
    /// Making episodes.
    pub generate_minutes: f64,
    /// Training, canary rollouts included.
    pub train_minutes: f64,
    /// Driving the hidden scenes.
    pub evaluate_minutes: f64,
    /// The gate, which may have to drive the champion.
    pub feedback_minutes: f64,
}

impl Deadlines {
    /// Seconds that `stage` may take.
    pub fn seconds(&self, stage: Stage) -> f64 {
        60.0 * match stage {
            Stage::Generate => self.generate_minutes,
            Stage::Train => self.train_minutes,
            Stage::Evaluate => self.evaluate_minutes,
            Stage::Feedback => self.feedback_minutes,
        }
    }

    /// Refuses what makes no sense, naming the key.
    ///
    /// # Errors
    /// In words: the key, what it is, what it may be.
    pub fn check(&self) -> Result<(), String> {
        for stage in Stage::ALL {
            let minutes = self.seconds(*stage) / 60.0;
            if !(minutes.is_finite() && minutes > 0.0 && minutes <= 100_000.0) {
                return Err(format!("deadlines.{stage}_minutes is {minutes}; give a number above 0"));
            }
        }
        Ok(())
    }
}

/// Sizes of data generation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GenerateSizes {
    /// Episodes in the first loop.
    pub first_episodes: u32,
    /// Episodes in every later loop.
    pub later_episodes: u32,
    /// Fewest bricks in an episode.
    pub bricks_min: u32,
    /// Most bricks in an episode.
    pub bricks_max: u32,
    /// Share of the expert's episodes disturbed by bursts of noise.
    pub noisy_share: f64,
    /// Share of the expert's episodes that begin in a bad situation.
    pub bad_start_share: f64,
    /// Share of a later loop's episodes that the policy drives while the expert labels.
    pub dagger_share: f64,
    /// Every n-th control step becomes a training sample.
    pub label_every: u32,
}

/// Sizes of training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainSizes {
    /// Samples drawn in the first loop.
    pub first_samples: u64,
    /// Samples drawn in every later loop.
    pub later_samples: u64,
    /// Samples in a batch.
    pub batch: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Extra probability of drawing from the newest dataset.
    pub newest_share: f64,
    /// Samples kept in memory at most; the newest datasets are kept whole first.
    pub memory_samples: usize,
    /// Canary rollouts during a training, evenly spread.
    pub canaries: u32,
    /// Scenes of one canary.
    pub canary_scenes: u32,
}

/// Sizes of evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvaluateSizes {
    /// Hidden scenes, spread over all families.
    pub scenes: u32,
    /// Bricks in a scene.
    pub bricks: u32,
    /// Actions of a chunk carried out before the policy looks again.
    pub execute_steps: u32,
    /// Other numbers of executed actions to try on the canary scenes before an evaluation; the hidden scenes are then
    /// driven with the one that is clearly better, if any is.
    pub sweep: Vec<u32>,
    /// Seconds of simulated time a brick may take.
    pub seconds_per_brick: f32,
}

impl Default for LoopPreset {
    fn default() -> Self {
        Self {
            policy: "quick".to_owned(),
            state: StatePreset::Full,
            width: 96,
            height: 72,
            chunk: 20,
            generate: GenerateSizes::default(),
            train: TrainSizes::default(),
            evaluate: EvaluateSizes::default(),
            decision_deadline_s: 120,
            deadlines: Deadlines::default(),
        }
    }
}

impl Default for Deadlines {
    fn default() -> Self {
        Self { generate_minutes: 20.0, train_minutes: 60.0, evaluate_minutes: 20.0, feedback_minutes: 20.0 }
    }
}

impl Default for GenerateSizes {
    fn default() -> Self {
        Self {
            first_episodes: 5000,
            later_episodes: 800,
            bricks_min: 1,
            bricks_max: 2,
            noisy_share: 0.13,
            bad_start_share: 0.85,
            dagger_share: 0.7,
            label_every: 10,
        }
    }
}

impl Default for TrainSizes {
    fn default() -> Self {
        Self {
            first_samples: 90_000,
            later_samples: 40_000,
            batch: 12,
            learning_rate: 7e-4,
            newest_share: 0.3,
            memory_samples: 60_000,
            canaries: 3,
            canary_scenes: 26,
        }
    }
}

impl Default for EvaluateSizes {
    fn default() -> Self {
        Self { scenes: 130, bricks: 1, execute_steps: 10, sweep: vec![5, 20], seconds_per_brick: 50.0 }
    }
}
