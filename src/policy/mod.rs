//! ACT (action chunking with transformers, Zhao et al. 2023) in candle: network, training, checkpoints, inference.
//!
//! Structure, parameter names and mathematics are those of LeRobot's `ACTPolicy`. Preprocessing is a part of a
//! checkpoint: a [`Policy`] takes raw pixels and physical states and returns actions in [−1, 1], and a loaded one
//! has reproduced its own recorded outputs first.
//!
//! Letters in shapes: B batch, H×W pixels, S state numbers, T actions of a chunk, A numbers of an action,
//! D features, K tokens of the encoder.

mod act;
mod backbone;
mod batch;
mod checkpoint;
mod config;
mod ensemble;
mod ensembler;
mod error;
mod exchange;
mod golden;
mod hold_out;
mod inference;
mod initial;
mod lerobot;
mod loss;
mod noise;
mod normalise;
mod ops;
mod optimiser;
mod parameters;
mod plan;
mod positions;
mod preset;
mod resnet;
mod state_file;
mod stop;
#[cfg(test)]
mod testing;
mod threads;
mod train;
mod transformer;
mod vae;
mod worker;

pub use config::{ActConfig, Backbone, Camera, L1Mean, NormMode};
pub use ensemble::TemporalEnsemble;
pub use ensembler::TemporalEnsembler;
pub use error::PolicyError;
pub use exchange::{RunOptions, StepRecipe, run_file};
pub use hold_out::HoldOut;
pub use inference::{DatasetMark, Observation, Policy};
pub use normalise::{Scale, Statistics};
pub use plan::TrainPlan;
pub use preset::{FineTune, ImageSize, Preset, Recipe};
pub use stop::Stop;
pub use threads::set_thread_environment;
pub use train::{Canary, TrainEvent, TrainOutcome, WindowLoss, train};
